#!/usr/bin/env bash
# README のステップの表を、main.c と、前のステップとの差から作る。
#   step-table.sh          README.ja.md の表を書き直す (make carry も終わりに動かす)
#   step-table.sh --check  表が古ければ、書き直さずに失敗する (make check-chain)
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readme=README.ja.md

# 呼び出しの欄は、前のステップにないもの。失敗したときの die("システムコール 対象") の
# 最初の語、成功すると戻らない execv、名前空間のフラグ。現れる順に、フラグは後に
print_rows() {
    local main before=/dev/null plus minus args=()
    for main in steps/0?-*/main.c; do
        read -r plus minus _ < <(git diff --no-index --histogram --numstat "$before" "$main")
        args+=("lines=+$plus −$minus" "$main")
        before=$main
    done
    awk '
        function print_row() {
            printf "| [%s](steps/%s/README.ja.md) | %s | %s | %s | %s | ",
                name, name, title, substr(calls flags, 3), look, diff
            printf "[コード](steps/%s/main.c), [スライド](slides/%s.md) |\n",
                name, substr(name, 1, 2)
        }
        FNR == 1 {
            if (step++)
                print_row()
            split(FILENAME, path, "/")
            name = path[2]
            diff = lines
            calls = flags = ""
        }
        FNR == 2 { title = substr($0, 4) }
        sub(/^ \* 見る: */, "") { look = $0 }
        {
            while (match($0, /die\("[a-z0-9_]+|^ *execv\(|CLONE_NEW[A-Z]+/)) {
                call = substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
                gsub(/^die\("|[ (]/, "", call)
                if (last[call] < step - 1 || !last[call]) {
                    if (call ~ /^CLONE_/)
                        flags = flags ", `" call "`"
                    else
                        calls = calls ", `" call "`"
                }
                last[call] = step
            }
        }
        END { print_row() }' "${args[@]}"
    print_oci
}

# 09 の続き。ほとんどの行が 09 と違うので、差分でなく、行の数のおよそにする
print_oci() {
    local dir=steps/09-cgroups-veth/oci title look lines
    [[ -e $dir/main.c ]] || return 0
    title=$(sed -n '2s/^ \* //p' "$dir/main.c")
    lines=$(wc -l <"$dir/main.c")
    look=$(sed -n 's/^ \* 見る: *//p' "$dir/main.c")
    # shellcheck disable=SC2016 # ` は Markdown の記号
    printf '| [09-oci](%s/README.ja.md) (任意) | %s | `setns`, `accept4`, `mount_setattr`, `seccomp` | %s | 約 %d 行 | ' \
        "$dir" "$title" "$look" $(((lines + 5) / 10 * 10))
    printf '[コード](%s/main.c), [スライド](slides/09-oci.md) |\n' "$dir"
}

# 目印の行のあいだを、作った表に置き換える
new=$(awk -v rows="$(print_rows)" '
    /<!-- steps:end -->/ { skip = 0 }
    !skip { print }
    /<!-- steps:begin -->/ {
        print "| ステップ | 加えるもの | 主な呼び出し | 動かして見るもの | 差分 | 資料 |"
        print "|---|---|---|---|---|---|\n" rows
        skip = 1
    }' "$readme")
[[ $new != "$(<"$readme")" ]] || exit 0
if [[ ${1:-} == --check ]]; then
    echo "$readme:1: the table of steps is out of date (tests/chain/step-table.sh)"
    exit 1
fi
echo "$new" >"$readme"
echo "  updated  $readme"
