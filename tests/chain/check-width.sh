#!/usr/bin/env bash
# 1 行が 80 桁を超えていないか調べる。全角 (UTF-8 で 3 バイトの文字) は 2 桁と数える
# (clang-format はコメントを折り返さない設定なので、ここで見る)。使い方: check-width.sh FILE...
set -euo pipefail

# shellcheck disable=SC2016 # Perl の変数
LC_ALL=C perl -CD -lne '
    my $width = length() + (() = /[\x{800}-\x{ffff}]/g);
    $bad = print "$ARGV:$.: $width columns" if $width > 80;
    close ARGV if eof;
    END { $? = $bad }' "$@"
