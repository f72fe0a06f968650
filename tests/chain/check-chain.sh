#!/usr/bin/env bash
# 9 つのプログラムのつながりを調べる (CI でも動かす)。見つけたものはすべて、
# 「ファイル:行: メッセージ」の形で並べる
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob

# 隣との差分の、追加と削除の上限。1 枚か 2 枚のスライドで説明できる長さにする。
# それより多いものは、理由を書いて、今の行数に少しだけ足した数にする
budget_of() {
    case $1 in
    # マウントの表、デバイス、pivot_root の 3 つがそろって、初めて動く
    # chroot の関数と mount_proc が、それに置き換わる
    07) echo 105 18 ;;
    # 力を抜くには、ケーパビリティーのほかに、覆うパスの表 (20 行) も要る
    08) echo 118 10 ;;
    # cgroup (v1 と v2) と veth。どちらも親の仕事で、片付けを共有する
    09) echo 190 10 ;;
    *) echo 45 10 ;;
    esac
}
MAX_FUNCTION=40 # 1 枚のスライドに入る行数

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mains=(steps/0?-*/main.c)
solutions=(steps/*/solutions/*.c)

# --- コンパイル ---------------------------------------------------------------
# 注釈の「作る:」から始まり、「\」で続くコマンド
command_in_header() {
    awk '
        /作る:/ && !found { found = 1; sub(/.*作る: */, ""); go = 1 }
        go {
            sub(/^ \* */, "")
            more = sub(/\\$/, "")
            printf "%s", $0
            if (!more)
                exit
        }
    ' "$1"
}

# コンパイラーのメッセージがもう「ファイル:行:」の形なので、そのまま出す。何も言
# わずに失敗したときのために、1 行足しておく
compile() {
    local file=$1 out compiler header
    out=$work/$(tr / - <<<"$file")
    for compiler in gcc clang; do
        command -v "$compiler" >/dev/null || continue
        "$compiler" -std=gnu11 -O2 -Wall -Wextra -Werror -c -o "$out.o" \
            "$file" || echo "$file:1: $compiler -Werror fails"
    done
    header=$(command_in_header "$file")
    if [[ -n $header ]]; then
        # 書いてあるとおりに打つ。出力先だけは変える
        header=$(sed -E "s|-o +[^ ]+|-o '$out.step'|" <<<"$header")
        (cd "$(dirname "$file")" && bash -c "$header") &&
            [[ -x $out.step ]] ||
            echo "$file:1: the command in the header comment fails"
    elif [[ $file == */main.c ]]; then
        echo "$file:1: no command (作る:) in the header comment"
    fi
}
export -f compile command_in_header
export work

check_compile() {
    # shellcheck disable=SC2016 # 展開するのは、中の bash
    printf '%s\n' "${mains[@]}" "${solutions[@]}" |
        xargs -P "$(nproc)" -n 1 bash -c \
            'compile "$1" >"$work/$(tr / - <<<"$1").log" 2>&1' compile
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

# あった行が消えて、また現れると、読む人は 2 度覚え直すことになる。かっこや空白だ
# けの行と、どこにでもある短い行 (return; など) は見ない
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

# --- 読みやすさ ---------------------------------------------------------------
# 関数の本体は、行頭の { から行頭の } まで。宣言の行から数える
check_functions() {
    awk -v max="$MAX_FUNCTION" '
        FNR == 1 || /^$/ || /^[}#]/ || /\*\/$/ { start = FNR + 1 }
        /^\{/ { body = start }
        /^\}/ && body {
            if (FNR - body + 1 > max)
                printf "%s:%d: function of %d lines, at most %d\n",
                    FILENAME, body, FNR - body + 1, max
            body = 0
        }
    ' "${mains[@]}" "${solutions[@]}" shared/*.c
}

# 番号を書くと、ステップを足したときに、関係のない行まで変わる
check_numbers() {
    grep -nE '[Ss]tep ?[0-9]|ステップ ?([0-9]|０|１|２|３|４|５|６|７|８|９)' \
        "${mains[@]}" "${solutions[@]}" /dev/null |
        sed -E 's/^([^:]*:[0-9]*:).*/\1 names a step by its number/' || true
}

check_width() {
    tests/chain/check-width.sh "${mains[@]}" "${solutions[@]}" \
        shared/*.[ch] || true
}

((${#mains[@]} == 9)) || echo 'steps:1: there must be nine steps' >"$work/found"
{
    check_compile
    check_circles
    check_diffs
    check_returning
    check_functions
    check_numbers
    check_width
} >>"$work/found"

if [[ -s $work/found ]]; then
    cat "$work/found"
    echo 'check-chain: failed' >&2
    echo '  ヒント: 上の行を見てください。決まりは CONTRIBUTING.ja.md にあります' >&2
    exit 1
fi
echo "check-chain: ${#mains[@]} steps and ${#solutions[@]} solutions are in order"
