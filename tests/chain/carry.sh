#!/usr/bin/env bash
# あるステップの main.c の変更 (HEAD との差) を、後のステップにも入れる
#   使い方: carry.sh STEP
# コンフリクトしたら、印を残して止まる。手で直して、もう一度同じように呼べば、
# 続きから始める。終わりに、README のステップの表も作り直す。
#
# 03 の変更は 04 に、04 の変更は 05 に、と隣へ順に渡す。05 を手で直したら、06 には
# 直したあとの形が渡る。03 から 04, 05, 06... へじかに配ると、同じ所を手で何度も
# 直すことになる。各ステップの solutions/*.c には、そのステップの main.c から渡す。
#
# 手で直したかどうかは、ファイルを見ても分からない。だから、どこまで渡したかを
# .git の中の carry に書き足していく。1 行が 1 回で、同じファイルなら終わりの行が効く。
#   ファイル 元のHEAD版 渡した版 結果の版 (コンフリクトしたときは conflict)
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
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
git rev-parse --verify -q HEAD >/dev/null ||
    fail 'no git repository with a commit here' \
        '変更の前の形を git から読むので、clone したものの中で使います'
state=$(git rev-parse --git-path carry)
# どのステップも HEAD のままなら、渡したものはもうない
git diff --quiet HEAD -- steps && rm -f "$state"
: >>"$state"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# もう渡してある版を absorbed に入れる。コミットすると、元の HEAD 版が変わるので、
# 古い記録は効かなくなる
find_record() {
    local to=$1 head=$2 theirs=$3 recorded_head result current
    read -r recorded_head absorbed result < <(
        sed -n "s|^$to ||p" "$state" | tail -n 1
    ) && [[ $recorded_head == "$head" ]] || return 1
    git cat-file -e "$absorbed" 2>/dev/null || return 1
    # HEAD と同じなら、渡したものを git checkout で捨てたのかもしれない。
    # 変更がもともと効かなかったときと、元のままでよいと決めたときだけ、渡したことにする
    current=$(git hash-object "$to")
    [[ $current != $(git rev-parse -q --verify "HEAD:./$to") || $result == "$current" ]] ||
        [[ $result == conflict && $absorbed == "$theirs" ]]
}

# 標題 (2 行目) と「見る」(コメントの終わりまで) はステップごとに違うので、渡さない。
# 2 つ目のファイルのものを、1 つ目のものに替える
with_header_of() {
    sed -n 2p "$1" >"$work/title"
    sed -n '/^ \* 見る:/,/\*\//p' "$1" >"$work/look"
    sed -e "1r $work/title" -e 2d \
        -e "/^ \* 見る:/,/\*\//{/\*\//r $work/look" -e 'd}' "$2"
}

# 片方が足しただけの行と、もう片方が変えた行が隣り合うと、git はコンフリクトとする
# (--diff-algorithm=histogram でも同じ)。足したほうには、元の行がそのまま残っている。
# それが 1 か所にだけあるなら、そこを変えた行にして、両方を生かす
join_neighbours() {
    # shellcheck disable=SC2016 # Perl の変数
    LC_ALL=C perl -0pe '
        my $lines = qr/(?:(?![<|=>]{7}).*\n)*/;
        s{^<{7} .*\n($lines)\|{7} .*\n($lines)={7}\n($lines)>{7} .*\n}{
            my ($all, $ours, $base, $theirs) = ($&, $1, $2, $3);
            my %joined;
            for ([$ours, $theirs], [$theirs, $ours]) {
                my ($added, $changed) = @$_;
                my @around = split /^\Q$base\E/m, $added, -1;
                $joined{join $changed, @around} = 1 if @around == 2;
            }
            $base ne "" && keys %joined == 1 ? (keys %joined)[0] : $all
        }gem'
}

# --- 1 つのファイルに渡す -----------------------------------------------------
carry_to() {
    local from=$1 to=$2 head base theirs absorbed result=conflict conflicts
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
    git merge-file -p -q --zdiff3 -L "$to" -L "$from (before)" -L "$from" \
        "$to" "$work/base" "$work/theirs" >"$work/merged" || (($? < 128)) ||
        fail "git merge-file $to fails" 'git merge-file のメッセージを見てください'
    join_neighbours <"$work/merged" >"$work/result"
    conflicts=$(grep -c '^<<<<<<< ' "$work/result") ||
        result=$(git hash-object "$work/result")
    # 同じなら触らない。時刻が変わると、make がコンパイルし直す
    if ! cmp -s "$work/result" "$to"; then
        cat "$work/result" >"$to"
        changed=$((changed + 1))
        ((conflicts)) || echo "  carried  $to"
    fi
    echo "$to $head $theirs $result" >>"$state"
    if ((conflicts)); then
        echo "  CONFLICT $to"
        fail "$conflicts conflict(s) in $to" \
            "<<<<<<< から >>>>>>> までを直して、もう一度 make carry STEP=$step"
    fi
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

# 何かに触る前に調べる。長すぎる行を渡すと、同じ行を何度も折り直すことになる
{
    grep -nE '^(<{7}|>{7})( |$)' "${files[@]}" /dev/null | sed 's/$/: a conflict marker/'
    tests/chain/check-width.sh "${files[@]}"
} >"$work/refused" || true
if [[ -s $work/refused ]]; then
    sed 's/^/  /' "$work/refused" >&2
    fail 'conflict markers are left, or lines are wider than 80 columns' \
        "上の行を直して、もう一度 make carry STEP=$step"
fi

# 変えた行が前のステップにもあれば、ふつうはそこから直す。渡すのは後へだけなので、
# そうしないと、前のステップとの差分に、その行も現れる
if before=$(compgen -G "steps/0$((10#$step - 1))-*/main.c"); then
    git diff -U0 --no-ext-diff --no-color HEAD -- "${mains[0]}" |
        sed -n 's/^-\(.*[^ {}();].*\)/\1/p' >"$work/gone"
    if grep -xF -f "$work/gone" "$before" >"$work/earlier"; then
        echo "carry: $before has this line too:"
        cat "$work/earlier"
        echo "  ヒント: そこも同じに直すなら、直して make carry STEP=${before:6:2}"
    fi
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
tests/chain/step-table.sh

if ((changed > 0)); then
    echo "carry: $changed file(s) changed"
    echo '  ヒント: git diff で見て、make check-chain と make test で確かめます'
elif git diff --quiet HEAD -- "${mains[0]}"; then
    echo "carry: nothing to carry: ${mains[0]} is as in HEAD"
else
    echo 'carry: nothing more to carry'
fi
