#!/bin/sh
# これから作るファイルのディレクトリを作る。
# 書けなければ、することを示して失敗する
# 使い方: writable.sh FILE...
set -eu

for file; do
    path=$file
    until [ -e "$path" ]; do path=$(dirname "$path"); done
    if [ ! -w "$path" ]; then
        echo "make: cannot write $path" >&2
        if [ "$(stat -c %u "$path")" = "$(id -u)" ] || [ "$(id -u)" = 0 ]; then
            echo '  ヒント: 書ける場所にコピーして、そこで make します' >&2
        else
            echo '  ヒント: ほかのユーザーが make したものです:' \
                "sudo chown -R $(id -u): '$PWD'" >&2
        fi
        exit 1
    fi
    mkdir -p "$(dirname "$file")"
done
