#!/usr/bin/env bash
# 文章を調べる。道具ごとに 1 行の結果を出し、だめなら、その道具の言い分も出す
#   lint-docs.sh [FILE...]    既定は、README、手引き、スライド、図のすべて
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOL=slides/tool
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8 NO_COLOR=1

# 手引きの節。どのステップも、この順に並べる
SECTIONS=(
    ねらい 前のステップとの差分 手でやってみる 動かす こう表示されたら成功 'なぜ?'
    'この 1 行を消すと' うまくいかないとき 発展課題 'man ページ' 後始末
)
MIN_ABLATIONS=3

# まだないものも並べる。なければ files の検査が失敗する
all_files() {
    local dir
    echo README.ja.md
    echo CONTRIBUTING.ja.md
    echo rootfs/README.ja.md
    for dir in steps/0?-*; do
        echo "$dir/README.ja.md"
    done
    printf 'slides/%s.md\n' 00 01 02 03 04 05 06 07 08 09
    printf '%s\n' slides/pictures/*.svg
}

# --- 調べる前に ---------------------------------------------------------------
# コードブロックの行を空にする。行の番号は変わらない
without_blocks() {
    awk '
        /^ *(```|~~~)/ { code = !code; print ""; next }
        { print code ? "" : $0 }' "$1"
}

# textlint は HTML の中を見ない。話すこと (「3 分。」で始まる注釈) と、折りたたんだ
# 答えの見出しを、同じ番号の行に取り出す
hidden_prose() {
    without_blocks "$1" | awk '
        { text = "" }
        match($0, /<summary>.*<\/summary>/) {
            text = "### " substr($0, RSTART + 9, RLENGTH - 19)
        }
        sub(/^ *<!-- *[0-9.]+ 分/, "&") { note = 1; sub(/^ *<!-- */, "") }
        note { text = $0; if (sub(/ *-->.*/, "", text)) note = 0 }
        { print text }'
}

# --- 道具。1 つの関数が 1 つの道具 --------------------------------------------
lint_files() {
    local file missing=0
    for file in "${files[@]}"; do
        [[ -f $file ]] || { echo "$file: no such file" && missing=1; }
    done
    return "$missing"
}

lint_textlint() {
    local file
    for file in "${present[@]}"; do
        mkdir -p "$work/hidden/$(dirname "$file")"
        hidden_prose "$file" >"$work/hidden/$file"
    done
    # 規則は、動かした場所の node_modules から探される
    (cd "$TOOL" && node_modules/.bin/textlint --format unix "${present[@]/#/$TOP/}" \
        "${present[@]/#/$work/hidden/}") >"$work/raw" 2>&1 && return
    # 長い説明は省き、1 つの指摘を 1 行にする。動かなかったときは、そのまま出す
    sed "s,^$work/hidden/,,; s,^$TOP/,," "$work/raw" | awk '
        /^[^ ]+:[0-9]+:[0-9]+: / { first = $0; sub(/ \[Error[^]]*\]$/, "", first) }
        match($0, /\[Error[^]]*\]$/) { print first, substr($0, RSTART); found = 1 }
        END { exit !found }' || cat "$work/raw"
    return 1
}

lint_links() {
    "$TOOL/node_modules/.bin/remark" --rc-path "$TOOL/.remarkrc.json" --frail --quiet --no-stdout --no-color "${present[@]}"
}

# prh の規則は文字だけの部分を見るので、`コード` との境目はここで見る
lint_spaces() {
    local file found=0
    for file in "${present[@]}"; do
        # shellcheck disable=SC2016 # ` は Markdown の記号
        without_blocks "$file" | sed -E 's/`[^`]+`/`_`/g' |
            grep -noP '\S*[ぁ-んァ-ヶー一-龠々]`_`|`_`[ぁ-んァ-ヶ一-龠]\S*' |
            sed "s|^\([0-9]*\):|$file:\1: a space is missing between Japanese and code: |" &&
            found=1
    done
    return "$found"
}

lint_sections() {
    local file dir title bad=0
    for file in "${present[@]}"; do
        [[ $file == steps/0?-*/README.ja.md ]] || continue
        dir=$(dirname "$file")
        without_blocks "$file" >"$work/guide"
        title="# $(basename "$dir" | cut -c 1-2) $(sed -n '2s/^ \* //p' "$dir/main.c")"
        grep -qxF "$title" "$work/guide" ||
            { echo "$file:1: the title is not: $title" && bad=1; }
        sed -n 's/^## //p' "$work/guide" |
            diff -U 20 --label "$file" --label expected - \
                <(printf '%s\n' "${SECTIONS[@]}") || bad=1
        (($(grep -c '^ *<!-- ablate -->' "$work/guide") >= MIN_ABLATIONS)) ||
            { echo "$file:1: fewer than $MIN_ABLATIONS ablations" && bad=1; }
    done
    return "$bad"
}

lint_table() {
    tests/chain/step-table.sh --check
}

# README の図は、HTML より厳しく、XML として読まれる
lint_pictures() {
    xmllint --noout "${pictures[@]}"
}

# --- 並べて動かす -------------------------------------------------------------
run_tool() {
    local start=$EPOCHREALTIME result=ok time
    "lint_$1" >"$work/$1.log" 2>&1 || result=FAILED
    time=$((${EPOCHREALTIME/./} - ${start/./}))
    {
        printf '%-14s %-6s %4d.%d s\n' "$1" "$result" \
            $((time / 1000000)) $((time / 100000 % 10))
        [[ $result == ok ]] || sed 's/^/    /' "$work/$1.log"
    } >"$work/$1.report"
    cat "$work/$1.report" # ほかの道具の出力と混ざらないように、1 度に書く
    [[ $result == ok ]]
}

files=()
for file; do
    file=$(realpath -m --relative-base="$TOP" "$file")
    files+=("$file")
done
cd "$TOP"
tools=(files)
if ((${#files[@]} == 0)); then
    mapfile -t files < <(all_files)
    tools+=(table)
fi
if [[ ! -x $TOOL/node_modules/.bin/textlint ]]; then
    echo 'lint-docs: textlint is not installed' >&2
    echo '  ヒント: make setup-docs' >&2
    exit 1
fi
present=()
pictures=()
for file in "${files[@]}"; do
    [[ -f $file ]] || continue
    if [[ $file == *.svg ]]; then pictures+=("$file"); else present+=("$file"); fi
done
((${#present[@]} == 0)) || tools+=(textlint links spaces sections)
((${#pictures[@]} == 0)) || tools+=(pictures)

pids=()
for tool in "${tools[@]}"; do
    run_tool "$tool" &
    pids+=($!)
done
status=0
for pid in "${pids[@]}"; do
    wait "$pid" || status=1
done
if ((status)); then
    echo 'lint-docs: failed' >&2
    echo '  ヒント: 用語は prh.yml に、文の規則は .textlintrc.yml にあります' >&2
    exit 1
fi
