#!/usr/bin/env bash
# 文章を調べる (make lint-docs): 手引きの節の並び、`コード` との境目の空白、用語と文の規則
#   lint-prose.sh FILE...    リポジトリのトップからのパスで
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NO_COLOR=1

# 調べるのは、行の番号が同じコピー。コードブロックは空にする。
# textlint は HTML の中を見ないので、話すこと (「3 分。」で始まるコメント) は箇条書きに、
# 折りたたんだ答えの見出しは見出しに変える
copy_prose() {
    # shellcheck disable=SC2016 # ` は Markdown の記号
    sed -E '
        /^ *(```|~~~)/,/^ *(```|~~~)/s/.*//
        s,^ *(<details>)?<summary>(.*)</summary>,### \2,
        s/^<details>$//
        s/^ *<!-- *([0-9.]+ 分.*[^ ]) *-->.*/- \1/; t
        /^ *<!-- *[0-9.]+ 分/,/-->/{s/^ *<!-- */- /; s/ *-->.*//}
    ' "$1"
}

# prh の規則は文字だけの部分を見るので、`コード` との境目はここで見る
check_spaces() {
    # shellcheck disable=SC2016 # ` は Markdown の記号
    sed -E 's/`[^`]+`/`_`/g' "$work/$1" |
        grep -noP '\S*[ぁ-んァ-ヶー一-龠々]`_`|`_`[ぁ-んァ-ヶ一-龠]\S*' |
        sed "s|^\([0-9]*\):|$1:\1: a space is missing between Japanese and code: |" || true
}

# 長い説明は省き、1 つの指摘を 1 行にする。動かなかったときは、そのまま出す
check_words() {
    # 規則は、動かした場所の node_modules から探される
    (cd slides/tool && node_modules/.bin/textlint --format unix "${@/#/$work/}") >"$work/raw" 2>&1 ||
        sed "s,^$work/,," "$work/raw" | awk '
            /^[^ ]+:[0-9]+:[0-9]+: / { first = $0; sub(/ \[Error[^]]*\]$/, "", first) }
            match($0, /\[Error[^]]*\]$/) { print first, substr($0, RSTART); found = 1 }
            END { exit !found }' || cat "$work/raw"
}

for file; do
    mkdir -p "$work/$(dirname "$file")"
    copy_prose "$file" >"$work/$file"
    [[ $file != steps/0?-*/README.ja.md ]] || node slides/tool/check-guide.mjs "$file" || true
    check_spaces "$file"
done >"$work/found"
check_words "$@" >>"$work/found"
cat "$work/found"
[[ ! -s $work/found ]]
