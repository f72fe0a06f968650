#!/usr/bin/env bash
# README のステップの表を、main.c と、前のステップとの差から作る。
#   step-table.sh          README.ja.md の表を書き直す (make carry も終わりに動かす)
#   step-table.sh --check  表が古ければ、書き直さずに失敗する (make check-chain)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readme=README.ja.md

# プログラムの呼ぶもの。失敗したときの die("システムコール 対象") の最初の語、成功す
# ると戻らない execvp、名前空間のフラグ。現れる順に、1 度ずつ
calls_in() {
    grep -oE 'die\("[a-z0-9_]+|^ *execvp\(|\bCLONE_NEW[A-Z]+' "$1" |
        sed -E 's/^die\("//; s/[ (]//g' | awk '!seen[$0]++'
}

# 前のステップにない呼び出し。フラグは後に並べる
new_calls() {
    local calls
    calls=$(calls_in "$2" | grep -vxF -f <(calls_in "$1"))
    awk '
        !/^CLONE_/ { first = first ", `" $0 "`" }
        /^CLONE_/ { last = last ", `" $0 "`" }
        END { print substr(first last, 3) }' <<<"$calls"
}

print_table() {
    local main before=/dev/null name title look plus minus calls
    echo '| ステップ | 加えるもの | 主な呼び出し | 動かして見るもの | 差分 | 資料 |'
    echo '|---|---|---|---|---|---|'
    for main in steps/0?-*/main.c; do
        name=$(basename "$(dirname "$main")")
        title=$(sed -n '2s/^ \* //p' "$main")
        look=$(sed -n 's/^ \* 見る: *//p' "$main")
        read -r plus minus _ < <(git diff --no-index --histogram --numstat "$before" "$main")
        calls=$(new_calls "$before" "$main")
        printf '| [%s](steps/%s/README.ja.md) | %s | %s | %s | +%s −%s | %s |\n' \
            "$name" "$name" "$title" "$calls" "$look" \
            "$plus" "$minus" "[コード](steps/$name/main.c), [スライド](slides/${name%%-*}.md)"
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
[[ $new != "$(<"$readme")" ]] || exit 0
if [[ ${1:-} == --check ]]; then
    echo "$readme:1: the table of steps is out of date (tests/chain/step-table.sh)"
    exit 1
fi
echo "$new" >"$readme"
echo "  updated  $readme"
