# $ を展開するのは中のシェル。stderr と stderr_lines は run --separate-stderr が入れる
# shellcheck disable=SC2016,SC2054,SC2153,SC2154
load helpers

NAME=$(basename "$BIN")

teardown() {
    stop_container
}

# 1 行目が英語のエラーで、残りがすべてヒントであること
one_error_and_hints() {
    local i
    [ "${stderr_lines[0]}" = "$1" ]
    [ "${#stderr_lines[@]}" -ge 2 ]
    for ((i = 1; i < ${#stderr_lines[@]}; i++)); do
        [[ ${stderr_lines[i]} == "  ヒント: "* ]] || return 1
    done
}

# 開いている fd の番号。$$ は、どの PID 名前空間でも、その中の /proc での番号
OPEN_FDS='i=0
while [ $i -lt 300 ]; do
    ! [ -e /proc/$$/fd/$i ] || printf "%s " $i
    i=$((i + 1))
done'

# --- 子プロセスとコマンド --------------------------------------------------------

# bats test_tags=to09
@test "the command's exit status is the launcher's: 0 1 2 7 42 125 126 127 128 255" {
    requires root
    local status_wanted
    for status_wanted in 0 1 2 7 42 125 126 127 128 255; do
        run "-$status_wanted" --separate-stderr inside "sleep 0.001; echo end; exit $status_wanted"
        [ "$output" = end ]
        [ "$stderr" = "" ]
    done
}

# PID 1 になると、自分に送ったシグナルは捨てられる
# bats test_tags=to04
@test "a command that signal n ended gives 128+n: HUP INT QUIT KILL SEGV PIPE TERM USR1" {
    requires root
    ulimit -c 0
    local name
    for name in HUP INT QUIT KILL SEGV PIPE TERM USR1; do
        run "-$((128 + $(kill -l $name)))" env --default-signal \
            "$BIN" run sh -c "kill -$name \$\$; sleep 5"
    done
}

# bats test_tags=to04
@test "the command is the launcher's only child, and its PID is the one the command sees" {
    requires root
    start_container sh -c 'echo "$$ $PPID" >"$1"; exec sleep 100' sh "$BATS_TEST_TMPDIR/pids"
    retry 2 test -s "$BATS_TEST_TMPDIR/pids"
    [ "$(cat "$BATS_TEST_TMPDIR/pids")" = "$CONTAINER $LAUNCHER" ]
    [ "$(cat "/proc/$CONTAINER/comm")" = sleep ]
    [ "$(cat "/proc/$LAUNCHER/comm")" = "$NAME" ]
    [ "$(ps -o pid= -o args= --ppid "$LAUNCHER" | xargs)" = "$CONTAINER sleep 100" ]
}

# bats test_tags=to04
@test "fork's return value is the PID that execs the command" {
    requires root strace
    run -3 strace -f -qq -o "$BATS_TEST_TMPDIR/trace" \
        -e trace=fork,vfork,clone,clone3,execve "$BIN" run sh -c 'exit 3'
    local child
    # 子の行が間に挟まると、"clone3(... <unfinished ...>" と "<... clone3 resumed>" になる
    child=$(sed -nE 's/.*(fork|clone3?)[( ].* = ([0-9]+)$/\2/p' "$BATS_TEST_TMPDIR/trace")
    # strace -f が付ける番号は、外から見たもの
    grep -qE "^$child +execve\(.*/sh\", \[\"sh\", \"-c\"" "$BATS_TEST_TMPDIR/trace"
}

# bats test_tags=to09
@test "arguments, environment, standard streams and umask arrive unchanged" {
    requires root
    run -0 "$BIN" run printf '<%s>' 'a b' '' '*' -n $'tab\there' あ
    [ "$output" = $'<a b><><*><-n><tab\there><あ>' ]
    GREETING='hello  world' run -0 inside 'printf %s "$GREETING"'
    [ "$output" = 'hello  world' ]
    run -0 --separate-stderr "$BIN" run sh -c 'cat; echo problem >&2' <<<'from stdin'
    [ "$output" = 'from stdin' ]
    [ "$stderr" = problem ]
    umask 027
    run -0 inside umask
    [ "$output" = 0027 ]
}

# bats test_tags=to05
@test "the command starts in the caller's directory" {
    requires root
    cd /usr/bin
    run -0 "$BIN" run pwd
    [ "$output" = /usr/bin ]
}

# bats test_tags=to09
@test "resource limits of the caller hold for the command" {
    requires root
    run -0 bash -c 'ulimit -n 47 && exec "$@"' bash "$BIN" run sh -c 'ulimit -n'
    [ "$output" = 47 ]
}

# --- exec の失敗を親が知るパイプ -------------------------------------------------

# bats test_tags=to09
@test "a command that does not exist: 127, one English line, then hints, nothing on stdout" {
    requires root
    run -127 --separate-stderr "$BIN" run no-such-command --with arguments
    [ "$output" = "" ]
    one_error_and_hints "$NAME: exec no-such-command: No such file or directory"
    run -127 --separate-stderr "$BIN" run /no/such/path
    one_error_and_hints "$NAME: exec /no/such/path: No such file or directory"
}

# bats test_tags=to09
@test "a file without execute permission and a directory: 126, one English line, then hints" {
    requires root
    run -126 --separate-stderr "$BIN" run /etc/passwd
    [ "$output" = "" ]
    one_error_and_hints "$NAME: exec /etc/passwd: Permission denied"
    run -126 --separate-stderr "$BIN" run /etc
    one_error_and_hints "$NAME: exec /etc: Permission denied"
}

# bats test_tags=to05
@test "a script without its interpreter is found but cannot be executed: 126" {
    requires root
    local script=$BATS_TEST_TMPDIR/script
    printf '#!/no/such/interpreter\n' >"$script"
    chmod 755 "$BATS_TEST_TMPDIR" "$script"
    run -126 --separate-stderr "$BIN" run "$script"
    one_error_and_hints "$NAME: exec $script: No such file or directory"
    [[ $stderr == *"/no/such/interpreter"* ]]
}

# bats test_tags=to09
@test "a command's own 126 and 127 come without an error line" {
    requires root
    run -127 --separate-stderr inside 'exit 127'
    [ "$stderr" = "" ]
    run -126 --separate-stderr inside 'exit 126'
    [ "$stderr" = "" ]
}

# bats test_tags=to09
@test "the parent reads the reason of exec's failure from a CLOEXEC pipe, and end-of-file when exec worked" {
    requires root strace
    local trace=$BATS_TEST_TMPDIR/trace from to
    local strace=(strace -f -qq -o "$trace" -e trace=pipe2,read,write)

    run -127 "${strace[@]}" "$BIN" run no-such-command
    read -r from to < <(sed -nE 's/.*pipe2\(\[([0-9]+), ([0-9]+)\], O_CLOEXEC\).*/\1 \2/p' "$trace" | head -1)
    local launcher child
    launcher=$(sed -nE "s/^([0-9]+) +read\($from, .* = [1-9][0-9]*\$/\1/p" "$trace")
    child=$(sed -nE "s/^([0-9]+) +write\($to, .* = [1-9][0-9]*\$/\1/p" "$trace")
    [ -n "$launcher" ]
    [ -n "$child" ]
    [ "$launcher" != "$child" ]

    run -0 "${strace[@]}" "$BIN" run true
    read -r from to < <(sed -nE 's/.*pipe2\(\[([0-9]+), ([0-9]+)\], O_CLOEXEC\).*/\1 \2/p' "$trace" | head -1)
    grep -qE "read\($from, \"\", [0-9]+\) += 0" "$trace"
}

# --- fd とシグナル ---------------------------------------------------------------

# bats test_tags=to09
@test "only the descriptors 0, 1 and 2 are open in the command" {
    requires root
    run -0 inside "$OPEN_FDS"
    [ "$output" = "0 1 2 " ]
}

# bats test_tags=to09
@test "files that the caller has open do not reach the command" {
    requires root
    local fds last=$(($(ulimit -n) > 300 ? 299 : 63))
    for fds in '3</' '3</ 4</ 5</etc/passwd 6>/dev/null 7</ 8</ 9</' "50</ $last</" "4</ 6</ 8</ $last</"; do
        run -0 bash -c 'exec 3>&- 4>&-; eval "exec $1"; shift; exec "$@"' bash \
            "$fds" "$BIN" run sh -c "$OPEN_FDS"
        [ "$output" = "0 1 2 " ]
    done
}

# bats test_tags=to09
@test "a caller with any of 0, 1, 2 closed: the command has all three, and no other" {
    requires root
    local closed
    # 3 つとも閉じていると何も書けないので、終了ステータスで答える
    local answer='i=0
        while [ $i -lt 20 ]; do
            ! [ -e /proc/$$/fd/$i ] || fds=$fds$i
            i=$((i + 1))
        done
        [ "$fds" = 012 ] && exit 7'
    for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
        run -7 bash -c 'eval "exec 3>&- 4>&- $1"; shift; exec "$@"' bash \
            "$closed" "$BIN" run sh -c "$answer"
        run -127 bash -c 'eval "exec 3>&- 4>&- $1"; shift; exec "$@"' bash \
            "$closed" "$BIN" run no-such-command
    done
}

# bats test_tags=to09
@test "the caller's signal mask and ignored signals arrive unchanged" {
    requires root
    local setting
    local show=(grep -E '^(Sig|Shd)(Pnd|Blk|Ign):' /proc/self/status)
    for setting in --default-signal --block-signal=INT,TERM,HUP,QUIT,USR1,USR2,CHLD,PIPE,WINCH,CONT \
        --block-signal=RTMIN,ALRM,TSTP,TTOU --ignore-signal=INT,QUIT --ignore-signal=CHLD,PIPE,TERM,WINCH; do
        run -0 env "$setting" "${show[@]}"
        local direct=$output
        run -0 env "$setting" "$BIN" run "${show[@]}"
        [ -n "$output" ]
        [ "$output" = "$direct" ]
    done
}

# bats test_tags=to09
@test "a caller that ignores SIGCHLD still gets the command's own exit status" {
    requires root
    run -7 env --ignore-signal=CHLD "$BIN" run sh -c 'exit 7'
    run -127 env --ignore-signal=CHLD "$BIN" run no-such-command
    run -5 env --block-signal=CHLD "$BIN" run sh -c 'exit 5'
}

# bats test_tags=to09
@test "the command dies with its launcher" {
    requires root
    start_container sleep 100
    kill -KILL "$LAUNCHER"
    promised 2 is_gone "$CONTAINER"
}
