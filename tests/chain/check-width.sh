#!/usr/bin/env bash
# 1 行が 80 桁を超えていないか調べる。全角は 2 桁と数える (clang-format は注釈を
# 折り返さない設定なので、ここで見る)。使い方: check-width.sh FILE...
set -euo pipefail

# mawk はバイト単位で動く。UTF-8 の 3 バイト文字は全角、先頭バイトは e0..ef
LC_ALL=C awk '
    {
        line = $0
        wide = gsub(/[\340-\357]/, "", line)
        gsub(/[\200-\277]/, "", line)
        width = length(line) + 2 * wide
        if (width > 80) {
            printf "%s:%d: %d columns\n", FILENAME, FNR, width
            bad = 1
        }
    }
    END { exit bad }
' "$@"
