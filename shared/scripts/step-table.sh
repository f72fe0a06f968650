#!/usr/bin/env bash
# README のステップの表を、main.c の先頭の注釈と前のステップとの差から作る。
#   step-table.sh          README.ja.md の表を書き直す
#   step-table.sh --check  表が古ければ失敗する
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readme=README.ja.md

print_table() {
    local main before=/dev/null name title look plus minus
    echo '| ステップ | 加えるもの | 動かして見るもの | 差分 |'
    echo '|---|---|---|---|'
    for main in steps/0?-*/main.c; do
        name=$(basename "$(dirname "$main")")
        title=$(sed -n '2s/^ \* //p' "$main")
        look=$(sed -n 's/^ \* 見る: *//p' "$main")
        read -r plus minus _ < <(git diff --no-index --histogram --numstat "$before" "$main")
        echo "| [$name](steps/$name/main.c) | $title | $look | +$plus −$minus |"
        before=$main
    done
}

# 目印の行のあいだを、標準入力に置き換える
replace_table() {
    awk -v table="$(cat)" '
        /<!-- steps:end -->/ { skip = 0 }
        !skip { print }
        /<!-- steps:begin -->/ { print table; skip = 1 }' "$readme"
}

new=$(print_table | replace_table)
if [[ ${1:-} != --check ]]; then
    echo "$new" >"$readme"
elif [[ $new != "$(cat "$readme")" ]]; then
    echo "step-table.sh: the table of steps in $readme is out of date" >&2
    echo "  ヒント: shared/scripts/step-table.sh で作り直してください" >&2
    exit 1
fi
