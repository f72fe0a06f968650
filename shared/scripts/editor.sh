#!/usr/bin/env bash
# エディターのためのファイルを作る: clangd が読む compile_commands.json と、
# デバッガー (VS Code、gdb) が読む .vscode/ の中のもの
# 使い方: editor.sh コンパイルのコマンド...   (make editor が渡す)
#
# 手で書き換えたものには触らず、新しいものを隣に .new として置く。
# 書き換えたかどうかは、前に作ったものの控え (.vscode/generated) と比べて決める
set -euo pipefail

[ $# -gt 0 ] || {
    echo 'editor.sh: no compile command' >&2
    echo '  ヒント: make editor で動かします' >&2
    exit 2
}
kept=.vscode/generated

# 文字列を JSON にする。パスには、空白も引用符も改行もありうる
json() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    printf '"%s"' "$text"
}

# 1 つのファイルの分: entry FILE [FLAG...]
entry() {
    local file=$1 word
    shift
    printf '%s{"directory": %s, "file": %s, "arguments": [' "$comma" "$(json "$PWD")" \
        "$(json "$file")"
    comma=$',\n'
    for word in "${compile[@]}" "$@" -c; do
        printf '%s, ' "$(json "$word")"
    done
    printf '%s]}' "$(json "$file")"
}

compile_commands() {
    local file comma=
    printf '[\n'
    for file in steps/*/main.c steps/*/solutions/*.c my/*/main.c shared/*.c; do
        entry "$file"
    done
    for file in rootfs/demo/*.c; do
        entry "$file" -static -pthread
    done
    printf '\n]\n'
}

# 開いている my/NN/main.c を調べるものと、選んだ stepNN を調べるもの
launch() {
    local settings
    # shellcheck disable=SC2016 # ${workspaceFolder} は、VS Code が置き換える
    settings='"type": "cppdbg",
      "request": "launch",
      "args": ["run"],
      "cwd": "${workspaceFolder}",
      "MIMode": "gdb",
      "miDebuggerPath": "${workspaceFolder}/.vscode/sudo-gdb",
      "setupCommands": [
        {"text": "source ${workspaceFolder}/.vscode/child.gdb"}
      ]'
    cat <<END
{
  "version": "0.2.0",
  "configurations": [
    {
      "name": "my/NN/main.c (開いているファイル)",
      "program": "\${workspaceFolder}/my/step\${fileDirnameBasename}",
      "preLaunchTask": "my/stepNN",
      $settings
    },
    {
      "name": "stepNN (選ぶ)",
      "program": "\${workspaceFolder}/step\${input:step}",
      "preLaunchTask": "stepNN",
      $settings
    }
  ],
  "inputs": [
    {
      "id": "step",
      "type": "pickString",
      "description": "ステップ",
      "options": ["01", "02", "03", "04", "05", "06", "07", "08", "09"],
      "default": "05"
    }
  ]
}
END
}

# -O2 では child() が main() の中に展開され、そこで止められない。だから -Og で、
# ct.h と main.c が新しくなったことにして (-W) 作り直す
tasks() {
    cat <<'END'
{
  "version": "2.0.0",
  "tasks": [
    {
      "label": "make",
      "type": "shell",
      "command": "make",
      "problemMatcher": "$gcc",
      "group": {"kind": "build", "isDefault": true}
    },
    {
      "label": "my/stepNN",
      "type": "shell",
      "command": "make CFLAGS='-Og -g' -W shared/ct.h -W my/${fileDirnameBasename}/main.c my/step${fileDirnameBasename}",
      "problemMatcher": "$gcc"
    },
    {
      "label": "stepNN",
      "type": "shell",
      "command": "make CFLAGS='-Og -g' -W shared/ct.h $(printf ' -W %s' steps/*/main.c)",
      "problemMatcher": "$gcc"
    }
  ]
}
END
}

# 子 (clone3 で作るもの) に付いていき、親は先に進ませる。止めておくと、子はゲートで
# 待ち続ける。コマンド (シェル) になったあとは、その子には付いていかない
child_gdb() {
    cat <<'END'
# コンテナの子に付いていく (make editor が作ったもの)
set follow-fork-mode child
set detach-on-fork on
python gdb.events.new_inferior.connect(lambda event: gdb.execute('set follow-fork-mode parent'))
END
}

# エディターは、デバッガーと標準入出力で話すので、sudo がパスワードを聞く場所がない
sudo_gdb() {
    cat <<'END'
#!/bin/sh
# gdb を root で動かす (make editor が作ったもの)
[ "$(id -u)" != 0 ] || exec gdb "$@"
sudo -n true || {
    echo 'sudo-gdb: sudo asks for a password' >&2
    echo '  ヒント: 端末から使ってください: sudo gdb my/step05' >&2
    exit 1
}
exec sudo -n gdb "$@"
END
}

# 標準入力を FILE に置く: place FILE MODE
place() {
    local file=$1 mode=$2 last=$kept/${1##*/} part=$kept/${1##*/}.$$
    cat >"$part"
    chmod "$mode" "$part"
    if cmp -s "$part" "$file"; then
        mv "$part" "$last"
    elif [ ! -e "$file" ] || cmp -s "$last" "$file"; then
        cp -p "$part" "$part.copy"
        mv "$part.copy" "$file"
        mv "$part" "$last"
        echo "  EDIT $file"
    else
        mv "$part" "$file.new"
        echo "  KEEP $file"
        echo "  ヒント: 書き換えてあるので、そのままにしました。新しいものは $file.new です"
    fi
}

compile=("$@")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob
shared/scripts/writable.sh compile_commands.json .vscode/launch.json "$kept/launch.json"
compile_commands | place compile_commands.json 644
launch | place .vscode/launch.json 644
tasks | place .vscode/tasks.json 644
child_gdb | place .vscode/child.gdb 644
sudo_gdb | place .vscode/sudo-gdb 755
