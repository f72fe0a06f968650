#!/usr/bin/env bash
# 前のステップとの差分を表示する。使い方: diff.sh STEP
# git のリポジトリでなくても (tar で配ったものでも) 使える。
set -euo pipefail

fail() {
    echo "diff: $1" >&2
    echo "  ヒント: $2" >&2
    exit "${3:-1}"
}

case ${1-} in
[2-9]) step=0$1 ;;
0[2-9]) step=$1 ;;
*) fail "no such step: '${1-}'" '02 から 09 を指定します: make diff05' 2 ;;
esac
# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../../steps"
before=$(echo 0$((10#$step - 1))-*/main.c)
after=$(echo "$step"-*/main.c)

# sed へのパイプの中では端末かどうか分からないので、先に調べる
color=never
[[ ! -t 1 || -n ${NO_COLOR-} ]] || color=always

# 違いがあると 1 で終わる。初めの 2 行 (diff --git と index) は、読む人には要らない
status=0
git --no-pager diff --no-index --histogram --no-ext-diff --no-prefix \
    --color="$color" "$before" "$after" | sed 1,2d || status=$?
# 141 は、読む側 (head や less) が先に終わったとき
((status <= 1 || status == 141)) || fail "git diff: status $status" \
    'git のメッセージを見てください'
