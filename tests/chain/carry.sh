#!/usr/bin/env bash
# あるステップの main.c の変更 (HEAD との差) を、後のステップにも入れる
#   使い方: carry.sh STEP
# ぶつかったら (conflict) 印を残して止まる。手で直して、もう一度同じように呼べば、
# 続きから始める。
#
# 03 の変更は 04 に、04 の変更は 05 に、と隣へ順に渡す。05 を手で直したら、06 には
# 直したあとの形が渡る。03 から 04, 05, 06... へじかに配ると、同じ所を手で何度も
# 直すことになる。各ステップの solutions/*.c には、そのステップの main.c から渡す。
#
# 手で直したかどうかは、ファイルを見ても分からない。だから、どこまで渡したかを .git
# の中の carry に書いておく。1 行が 1 つのファイルで、
#   ファイル 元のHEAD版 渡した版 結果の版 (ぶつかったときは conflict)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "carry: $1" >&2
    echo "  ヒント: $2" >&2
    exit "${3:-1}"
}

case ${1-} in
[1-9]) step=0$1 ;;
0[1-9]) step=$1 ;;
*) fail "no such step: '${1-}'" '01 から 09 を指定します: make carry STEP=03' 2 ;;
esac
git rev-parse --verify -q HEAD >/dev/null 2>&1 ||
    fail 'no git repository with a commit here' \
        '変更の前の形を git から読むので、clone したものの中で使います'
state=$(git rev-parse --git-path carry)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- 渡した記録 ---------------------------------------------------------------
declare -A records
if [[ -e $state ]]; then
    while read -r file record; do
        records[$file]=$record
    done <"$state"
fi

remember() {
    local file
    records[$1]="$2 $3 $4"
    for file in "${!records[@]}"; do
        echo "$file ${records[$file]}"
    done >"$state"
}

# もう渡してある版を absorbed に入れる。コミットすると、元の HEAD 版が変わるので、
# 古い記録は効かなくなる
find_record() {
    local to=$1 base=$2 theirs=$3 recorded_base result current
    read -r recorded_base absorbed result <<<"${records[$to]:-none none none}"
    [[ $recorded_base == "$base" ]] || return 1
    git cat-file -e "$absorbed" 2>/dev/null || return 1
    # HEAD と同じなら、渡したものを git checkout で捨てたのかもしれない。変更がもと
    # もと効かなかったときと、元のままでよいと決めたときだけ、渡したことにする
    current=$(git hash-object "$to")
    if [[ $current == $(git rev-parse -q --verify "HEAD:./$to") ]]; then
        [[ $result == "$current" ]] ||
            [[ $result == conflict && $absorbed == "$theirs" ]]
    fi
}

# --- 1 つのファイルに渡す -----------------------------------------------------
# 標題 (2 行目) と「見る」はステップごとに違うので、渡さない。FILE のものに替える
with_header_of() {
    awk '
        FNR == 1 { header = 1; look = 0 }
        header && /\*\// {
            header = 0
            if (look && NR != FNR)
                printf "%s", lines
            look = 0
        }
        header && /^ \* 見る:/ { look = 1 }
        NR == FNR {
            if (FNR == 2)
                title = $0
            if (look)
                lines = lines $0 "\n"
            next
        }
        look { next }
        FNR == 2 { $0 = title }
        { print }
    ' "$1" "$2"
}

carry_to() {
    local from=$1 to=$2 head base theirs absorbed status=0
    head=$(git rev-parse -q --verify "HEAD:./$from") ||
        fail "$from is not in HEAD" '新しいファイルは、先にコミットしてください'
    base=$head
    theirs=$(git hash-object -w "$from")
    if find_record "$to" "$head" "$theirs"; then
        base=$absorbed
    fi
    [[ $base != "$theirs" ]] || return 0

    git cat-file blob "$base" >"$work/from"
    with_header_of "$to" "$work/from" >"$work/base"
    with_header_of "$to" "$from" >"$work/theirs"
    git merge-file -p -q -L "$to" -L "$from (before)" -L "$from" \
        "$to" "$work/base" "$work/theirs" >"$work/result" || status=$?
    ((status < 128)) || fail "git merge-file $to: status $status" \
        'git merge-file のメッセージを見てください'
    # 同じなら触らない。時刻が変わると、make がコンパイルし直す
    if ! cmp -s "$work/result" "$to"; then
        cat "$work/result" >"$to"
        changed=$((changed + 1))
        ((status > 0)) || echo "  carried  $to"
    fi
    if ((status > 0)); then
        remember "$to" "$head" "$theirs" conflict
        echo "  CONFLICT $to"
        fail "$status conflict(s) in $to" \
            "<<<<<<< から >>>>>>> までを直して、もう一度 make carry STEP=$step"
    fi
    remember "$to" "$head" "$theirs" "$(git hash-object "$to")"
}

# --- 順に渡す -----------------------------------------------------------------
shopt -s nullglob
for ((n = 10#$step; n <= 9; n++)); do
    mains+=(steps/0"$n"-*/main.c)
done
((${#mains[@]} == 10 - 10#$step)) ||
    fail 'some steps/NN-*/main.c are missing, or there are two of one step' \
        'git status steps で確かめてください'

files=()
for main in "${mains[@]}"; do
    files+=("$main" "${main%main.c}"solutions/*.c)
done
if grep -nE '^(<{7}|>{7})( |$)' "${files[@]}" /dev/null >"$work/markers"; then
    sed 's/^/  /' "$work/markers" >&2
    fail 'conflict markers are left' \
        "上の行を直して、もう一度 make carry STEP=$step"
fi

changed=0
before=
for main in "${mains[@]}"; do
    [[ -z $before ]] || carry_to "$before" "$main"
    for solution in "${main%main.c}"solutions/*.c; do
        carry_to "$main" "$solution"
    done
    before=$main
done

if ((changed > 0)); then
    echo "carry: $changed file(s) changed"
    echo '  ヒント: git diff で見て、make check-chain と make test で確かめます'
elif git diff --quiet HEAD -- "${mains[0]}"; then
    echo "carry: nothing to carry: ${mains[0]} is as in HEAD"
else
    echo 'carry: nothing more to carry'
fi
