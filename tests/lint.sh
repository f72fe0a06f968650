#!/usr/bin/env bash
# 書式と静的解析。道具ごとに 1 行の結果を出し、だめなら、その道具の言い分も出す
#   lint.sh [TOOL...]    既定はすべて。TOOL を選べば、言い分を省かずに出す
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$TOP"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find_files() {
    local name test=()
    for name; do
        test+=(-o -name "$name")
    done
    find . \( -name .git -o -name build -o -name node_modules -o \
        -path ./rootfs/fs -o -path './rootfs/fs.*' \) -prune -o \
        -type f \( "${test[@]:1}" \) -print | sed 's,^\./,,' | sort
}

find_files '*.c' '*.h' >"$work/c"
find_files '*.sh' '*.bash' >"$work/sh"
find_files '*.bats' >"$work/bats"
[[ ! -e .ci/run ]] || echo .ci/run >>"$work/sh"

# --- 道具。1 つの関数が 1 つの道具 --------------------------------------------
lint_clang-format() {
    xargs -r clang-format --dry-run -Werror <"$work/c"
}

lint_cppcheck() {
    local args=(
        --quiet --error-exitcode=1 --std=c11 --library=posix
        '--enable=warning,performance,portability'
        '--template={file}:{line}: {id}: {message}'
        # die() が戻らないことを、_Noreturn からは読み取れない
        '-D_Noreturn=__attribute__((noreturn))'
        # ほかの CPU は #error になるファイルがある
        -D__x86_64__
        # 同じことを、cli.c の中の定義 (_Noreturn がない) では見落とす
        --suppress=arrayIndexOutOfBoundsCond:shared/cli.c
        # glibc の readdir は、DIR が別ならスレッドから呼べる。readdir(3)
        --suppress=readdirCalled
        # MAP_ANONYMOUS の fd は -1 で、失敗は NULL でない。mmap(2)
        --suppress=invalidFunctionArg:rootfs/demo/memhog.c
        --suppress=nullPointerOutOfMemory:rootfs/demo/memhog.c
        # 2.11 からの、枝が多いので途中までしか見ないという知らせ
        --suppress=normalCheckLevelMaxBranches
    )
    cppcheck "${args[@]}" --file-list="$work/c"
}

# 14 は、1 度に 2 つのファイルを渡すと va_list を誤って疑う。だから 1 つずつ渡す
lint_clang-tidy() {
    # shellcheck disable=SC2016 # 展開するのは、中の sh
    grep '\.c$' "$work/c" | xargs -r -P "$(nproc)" -n 1 sh -c \
        'out=$(clang-tidy --quiet "$1" -- -std=gnu11 2>&1) ||
            { printf "%s\n" "$out" | grep -v "warnings* generated"; exit 1; }' sh
}

lint_shellcheck() {
    # SC2030, SC2031: テストはどれもサブシェルで動く。ほかのテストとは関係ない
    # SC2164: bats では、cd に失敗すればそのテストが失敗する (set -e)
    xargs -r shellcheck -x -P SCRIPTDIR <"$work/sh" &&
        xargs -r shellcheck --shell=bats --exclude=SC2030,SC2031,SC2164 <"$work/bats"
}

lint_shfmt() {
    xargs -r shfmt -i 4 -d <"$work/sh" &&
        xargs -r shfmt -ln bats -i 4 -d <"$work/bats"
}

lint_width() {
    xargs -r tests/chain/check-width.sh <"$work/c"
}

lint_table() {
    tests/chain/step-table.sh --check
}

# --- 並べて動かす -------------------------------------------------------------
run_tool() {
    local start=$EPOCHREALTIME result=ok
    "lint_$1" >"$work/$1.log" 2>&1 || result=FAILED
    local time=$((${EPOCHREALTIME/./} - ${start/./}))
    printf '%-14s %-6s %4d.%d s\n' "$1" "$result" \
        $((time / 1000000)) $((time / 100000 % 10))
    if [[ $result != ok ]]; then
        # ほかの道具の出力と混ざらないように、1 度に書く
        awk -v max="$MAX_LINES" -v tool="$1" '
            NR <= max { print "    " $0 }
            END {
                if (NR > max)
                    printf "    (%d more lines: lint.sh %s)\n", NR - max, tool
            }
        ' "$work/$1.log" >"$work/$1.failed"
        cat "$work/$1.failed"
    fi
}

export MAX_LINES=1000000
tools=("$@")
if ((${#tools[@]} == 0)); then
    MAX_LINES=40
    tools=(clang-tidy shellcheck cppcheck shfmt clang-format width table)
fi
missing=()
for tool in "${tools[@]}"; do
    if ! declare -F "lint_$tool" >/dev/null; then
        echo "lint: no such tool: $tool" >&2
        echo '  ヒント: 名前は lint.sh の中の lint_ の後ろです' >&2
        exit 2
    fi
    [[ $tool == @(width|table) ]] || command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    echo "lint: command not found: ${missing[*]}" >&2
    echo '  ヒント: make setup-dev' >&2
    exit 1
fi

export work
export -f run_tool
# shellcheck disable=SC2163 # 名前は配列の中
for tool in "${tools[@]}"; do
    export -f "lint_$tool"
done
# shellcheck disable=SC2016 # 展開するのは、中の bash
printf '%s\n' "${tools[@]}" |
    xargs -P "$(nproc)" -n 1 bash -c 'run_tool "$1"' run_tool

if compgen -G "$work/*.failed" >/dev/null; then
    echo 'lint: failed' >&2
    echo '  ヒント: C の書式は clang-format -i、シェルは shfmt -i 4 -w で直せます' >&2
    exit 1
fi
