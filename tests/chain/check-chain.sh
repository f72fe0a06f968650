#!/usr/bin/env bash
# 9 つのプログラムのつながりを調べる (CI でも動かす)。見つけたものはすべて、
# 「ファイル:行: メッセージ」の形で並べる。
# 1 つのファイルだけで決まること (行の幅、関数の長さなど) は、make lint が見る
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob

# 隣との差分の、追加と削除の上限。1 枚か 2 枚のスライドで説明できる長さにする。
# それより多いものは、理由を書いて、今の行数に少しだけ足した数にする
budget_of() {
    case $1 in
    # マウントの表、デバイス、pivot_root の 3 つがそろって、初めて動く
    # chroot の関数と mount_proc が、それに置き換わる
    07) echo 110 18 ;;
    # 特権を落とすには、ケーパビリティのほかに、マスクするパスの表 (20 行) も要る
    08) echo 120 10 ;;
    # cgroup (v1 と v2) と veth。どちらも親の仕事で、片付けを共有する
    09) echo 185 10 ;;
    *) echo 45 10 ;;
    esac
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mains=(steps/0?-*/main.c)
solutions=(steps/*/solutions/*.c)

# --- コンパイル ---------------------------------------------------------------
# コメントの「作る:」に書いたとおりに打つ。変えるのは、警告と出力先だけ。
# 答えには「作る:」がないので (make solutions が作る)、コンパイルだけを試す。
# clang の警告は make lint が見る
compile() {
    local file=$1 command
    command=$(sed -nE ':a; /\\$/{N; s/\\\n \* *//; ba}; s/^ \* 作る: *//p' "$file")
    [[ -n $command || $file != */main.c ]] ||
        echo "$file:1: no command (作る:) in the header comment"
    command=${command:-cc -c -o answer.o ${file##*/}}
    sed -E "s|^cc |cc -std=gnu11 -O2 -Wall -Wextra -Werror |
        s|-o +[^ ]+|-o '$work/$$'|" <<<"$command" >"$work/$$.sh"
    (cd "$(dirname "$file")" && bash "$work/$$.sh" 2>&1) |
        sed -E "s|^[^ ]+\.c:|$(dirname "$file")/&|"
    [[ -s $work/$$ ]] || echo "$file:1: with -Werror, this fails: $command"
}
export -f compile
export work

check_compile() {
    # shellcheck disable=SC2016 # 展開するのは、内側の bash
    printf '%s\n' "${mains[@]}" "${solutions[@]}" |
        xargs -P "$(nproc)" -n 1 bash -c 'compile "$1" >"$work/$$.log" 2>&1' compile
    cat "$work"/*.log
}

# shared/ のファイルは、1 つずつ読めるように、呼び出しが輪にならないようにする。使う
# ファイルから名前へ、名前から定義のあるファイルへたどり、輪は tsort(1) が見つける
check_circles() {
    local file
    mkdir "$work/shared"
    for file in shared/*.c; do
        gcc -std=gnu11 -c -o "$work/$file" "$file" 2>&1 || true
    done
    (cd "$work" && nm -gA shared/*) |
        awk '{ sub(/:.*/, "", $1); print $(NF - 1) == "U" ? $1 " " $NF : $NF " " $1 }' |
        tsort 2>&1 >/dev/null |
        sed -n 's,^tsort: \(shared/.*\),\1:1: is in a circle of calls,p' || true
}

# 書き始め (make start01, make start09-oci) は、main.c から書くところを抜いたもの
check_start() {
    local start
    for start in steps/01-*/start.c steps/09-*/oci/start.c; do
        diff --unchanged-line-format= --new-line-format= \
            --old-line-format="$start:%dn: not in main.c, in this order: %L" \
            <(sed 's,^.*/\* ここに書く: .*,,' "$start") "${start%start.c}main.c" |
            grep -v 'order: $' || true
    done
}

# --- 差分 ---------------------------------------------------------------------
check_diffs() {
    local i before after step added deleted max_added max_deleted
    for ((i = 1; i < ${#mains[@]}; i++)); do
        before=${mains[i - 1]} after=${mains[i]}
        step=${after:6:2}
        read -r added deleted _ <<<"$(git diff --no-index --histogram \
            --no-ext-diff --numstat "$before" "$after")"
        read -r max_added max_deleted <<<"$(budget_of "$step")"
        ((added <= max_added)) ||
            echo "$after:1: $added lines added, the budget is $max_added"
        ((deleted <= max_deleted)) ||
            echo "$after:1: $deleted lines deleted, the budget is $max_deleted"
    done
}

# あった行が消えて、また現れると、読む人は 2 度覚え直すことになる。かっこや
# 空白だけの行と、どこにでもある短い行 (return; など) は見ない
check_returning() {
    awk '
        FNR == 1 { now++ }
        {
            text = $0
            gsub(/[^a-zA-Z0-9\200-\377]/, "", text)
            if (length(text) < 9)
                next
            if ($0 in last && last[$0] < now - 1)
                printf "%s:%d: was there in step %d, gone, and is back: %s\n",
                    FILENAME, FNR, last[$0], $0
            last[$0] = now
        }
    ' "${mains[@]}"
}

# 番号を書くと、ステップを足したときに、関係のない行まで変わる
check_numbers() {
    grep -nE '[Ss]tep ?[0-9]|ステップ ?([0-9]|０|１|２|３|４|５|６|７|８|９)' \
        "${mains[@]}" "${solutions[@]}" /dev/null |
        sed -E 's/^([^:]*:[0-9]*:).*/\1 names a step by its number/' || true
}

((${#mains[@]} == 9)) || echo 'steps:1: there must be nine steps' >"$work/found"
{
    check_compile
    check_circles
    check_start
    check_diffs
    check_returning
    check_numbers
    tests/chain/step-table.sh --check || true
} >>"$work/found"

if [[ -s $work/found ]]; then
    cat "$work/found"
    echo 'check-chain: failed' >&2
    echo '  ヒント: 上の行を見てください。決まりは CONTRIBUTING.ja.md にあります' >&2
    exit 1
fi
echo "check-chain: ${#mains[@]} steps and ${#solutions[@]} solutions are in order"
