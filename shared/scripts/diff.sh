#!/usr/bin/env bash
# 前のステップとの差分を、関数ごとに表示する。使い方: diff.sh [--tour] STEP
#   --tour     スライドの説明も、1 つずつ表示する
#   --from FILE 前のステップのかわりに、このファイルとの差分
#   FN=child   1 つの関数だけを表示する
# git のリポジトリでなくても (tar で配ったものでも) 使える。
set -euo pipefail

fail() {
    echo "diff: $1" >&2
    echo "  ヒント: $2" >&2
    exit "${3:-1}"
}

tour='' from=''
while [[ ${1-} == --* ]]; do
    case $1 in
    --tour) tour=1 ;;
    --from) from=$(realpath "$2") && shift ;;
    *) fail "unknown option: $1" 'make help に一覧があります' 2 ;;
    esac
    shift
done
case ${1-} in
[2-9]) step=0$1 ;;
0[2-9]) step=$1 ;;
09-oci) step=09-oci ;;
01)
    [[ -n $from ]] || fail "no such step: '$1'" '02 から 09 を指定します: make diff05' 2
    step=01
    ;;
*) fail "no such step: '${1-}'" '02 から 09 を指定します: make diff05' 2 ;;
esac
# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
# shellcheck source-path=SCRIPTDIR source=places.bash
. "$(dirname "${BASH_SOURCE[0]}")/places.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
before=${from:-$(before_of "$step")}
# 続きは、書くところを抜いたものでなく、09 と比べる
[[ -n $from || $step != 09-oci ]] || before=$(step_dir 09)/main.c
after=$(step_dir "$step")/main.c
cd steps
[[ $before == /* ]] || before=${before#steps/}
after=${after#steps/}
label=${before%/*}
label=${label#"$(realpath ..)"/}
# 項目の順と説明は、スライドのもの。なければ、プログラムの順になる
deck=../slides/$step.md
[[ -e $deck ]] || deck=/dev/null
[[ -z $tour || $deck != /dev/null ]] ||
    fail "no explanations: slides/$step.md" "差分だけなら: make diff$step"

command -v git >/dev/null || fail 'git: command not found' 'make setup'

color=
[[ ! -t 1 || -n ${NO_COLOR-} ]] || color=1
fn=${FN-}
fn=${fn%'()'}

# 違いがあると 1 で終わる
whole() {
    git --no-pager diff --no-index --histogram --no-ext-diff --no-color \
        --unified=1000000 -- "$before" "$after" || (($? == 1))
}

# 空のファイルも 1 つと数えるように、デッキには 1 行を足す
status=0
text=$(whole | LC_ALL=C awk -v tour="$tour" -v color="$color" -v fn="$fn" \
    -v before="$label" -v after="${after%/*}" -f ../shared/scripts/diff.awk \
    <(echo && cat "$deck") "$before" "$after" -) || status=$?
((status != 3)) || fail "no such function: $fn" "変わったのは: $text" 2
((status == 0)) || fail "git diff, awk: status $status" '上のメッセージを見てください'

# git と同じページャー。less は、1 画面に入れば待たずに終わる。git-var(1)
show() {
    local pager
    pager=$(git var GIT_PAGER 2>/dev/null) || pager=
    [[ -t 1 ]] && command -v "${pager%% *}" >/dev/null || pager='cat'
    LESS=${LESS-FRX} sh -c "$pager" <<<"$1" ||
        # 141 は、読む側 (head や less) が先に終わったとき
        (($? == 141))
}

# 部分の終わりには、改ページがある。端末なら、そこで待つ
walk() {
    local parts part at=0 answer
    mapfile -d $'\f' -t parts <<<"$1"
    unset 'parts[-1]'
    for part in "${parts[@]}"; do
        printf '%s\n' "$part"
        ((++at < ${#parts[@]})) || break
        [[ -t 0 && -t 1 ]] || continue
        read -r -p "-- $at / ${#parts[@]}: Enter で次へ、q で終わり -- " answer || break
        [[ $answer != q ]] || break
    done
}

if [[ -n $tour ]]; then
    walk "$text"
else
    show "$text"
fi
