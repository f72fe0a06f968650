#!/usr/bin/env bash
# ステップ 05 の中で打ったところを録画し、1 枚の図 slides/session.svg にする
#   session-picture.sh          録画し直す
#   session-picture.sh --check  録画し直した文字が、図と違えば失敗する (PID は見ない)
# 使い捨てのホストの中で、tmux から本物の端末に打つ。
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
picture=slides/session.svg
# shellcheck disable=SC2016 # $$ は、中のシェルが展開する
COMMANDS=('sudo ./step05 run' 'echo $$' 'id -u' 'uname -n' ps exit)
export LC_ALL=C.UTF-8

fail() {
    echo "session-picture: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# --- 使い捨てのホストの中 ------------------------------------------------------
as_attendee() {
    setpriv --reuid attendee --regid attendee --init-groups \
        env HOME=/home/attendee USER=attendee "$@"
}

screen() {
    as_attendee tmux -L session capture-pane -p
}

# プロンプトが、打った数より 1 つ多くなるまで待つ: wait_prompt 打った数
wait_prompt() {
    local end=$((SECONDS + ${VM:+6}60))
    until (($(screen | grep -cE '^[$#]( |$)') > $1)); do
        if ((SECONDS > end)); then
            screen >&2
            fail 'no prompt came' '上の画面で止まりました'
        fi
        sleep 0.05
    done
}

type_line() {
    as_attendee tmux -L session send-keys -l "$1"
    as_attendee tmux -L session send-keys Enter
}

# 録画は、1 行に 1 つの JSON (asciicast v2)。標準出力に出す
inside() {
    local cast=/home/attendee/session.cast i
    as_attendee tmux -L session -f /dev/null new-session -d -x 62 -y 20 \
        "asciinema rec --quiet --command 'bash --rcfile /home/attendee/.docsrc -i' $cast"
    for ((i = 0; i < ${#COMMANDS[@]}; i++)); do
        wait_prompt "$i"
        type_line "${COMMANDS[i]}"
    done
    wait_prompt "$i"
    # 録画を書き終えるのを待つ。この exit は、図には入れない
    type_line exit
    while as_attendee tmux -L session has-session 2>/dev/null; do
        sleep 0.05
    done
    cat "$cast"
}

# --- 外 -----------------------------------------------------------------------
record() {
    local name=session-$$ status=0
    mkdir "$work/home"
    shared/scripts/docs/sandbox.sh outside "$name" "$work/home" \
        shared/scripts/session-picture.sh inside || status=$?
    find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} +
    return "$status"
}

# 図の中の文字。動かすたびに変わる PID と端末の番号は N にする
text_of() {
    node shared/scripts/session-picture.mjs --text "$1" | sed -E '
        s/PID は [0-9]+/PID は N/
        s,^ *[0-9]+ pts/[0-9]+ .* ps$,N pts/N ps,
        s,pts/[0-9]+ .* sh$,pts/N sh,'
}

main() {
    local tool
    for tool in node tmux asciinema; do
        command -v "$tool" >/dev/null || fail "$tool: command not found" 'make setup-docs'
    done
    [[ $(id -u) == 0 ]] || fail 'must be root' 'sudo を付けてください'
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    record >"$work/cast" || fail 'the recording failed' '上のメッセージを見てください'
    node shared/scripts/session-picture.mjs "$work/cast" >"$work/svg"
    if [[ ${1-} == --check ]]; then
        diff -u --label "$picture" --label now <(text_of "$picture") <(text_of "$work/svg") ||
            fail "$picture is out of date" 'session-picture.sh で録画し直してください'
    else
        cat "$work/svg" >"$picture"
    fi
}

case ${1-} in
inside) inside ;;
'' | --check) main "$@" ;;
*)
    echo "session-picture: unknown argument: $1" >&2
    echo '  ヒント: session-picture.sh [--check]' >&2
    exit 2
    ;;
esac
