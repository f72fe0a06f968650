#!/usr/bin/env bash
# ヘッダーがなければ、それを入れるコマンドを示して失敗する
# 使い方: need-header.sh HEADER PACKAGE
set -euo pipefail

if ! echo "#include <$1>" | ${CC:-cc} -E - >/dev/null 2>&1; then
    echo "make: missing header <$1> ($2)" >&2
    echo "  ヒント: sudo apt-get install $2 (すべて入れるなら make setup)" >&2
    exit 1
fi
