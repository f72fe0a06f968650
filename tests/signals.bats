# シグナル、端末、終了ステータス (設計書の 4 章と、5 章の約束 2 と 3)
# $ を展開するのは内側のシェル。stderr は run --separate-stderr が入れる
# retry と eval の中で使う変数、printf に渡すエスケープ、サブシェルも承知の上
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2059,SC2153,SC2154
load helpers
load host/cgroups

PASSED_ON='INT TERM HUP QUIT USR1 USR2'
# PID 1 にならないもの、なるもの、全部入り
SOME_STEPS='01 05 09'

setup() {
    OUT=$BATS_TEST_TMPDIR/out
    KEYS=$BATS_TEST_TMPDIR/keys
    SCREEN=$BATS_TEST_TMPDIR/screen
    : >"$OUT"
    TERMINAL=
    START_WITH=()
}

teardown() {
    stop_family
    close_terminal
    [ -z "${FROZEN:-}" ] || rmdir "$FROZEN" 2>/dev/null || true
    remove_private_cgroups
}

# コンテナと、その子を終わらせる。PID 名前空間がないと、子は残る。TERM を無視する
# ものもあるので、ランチャーに頼まず、先にコンテナを終わらせる
stop_family() {
    if [ -n "${LAUNCHER:-}" ] && [ -n "${CONTAINER:-}" ]; then
        # shellcheck disable=SC2046 # 語に分ける
        kill -KILL "$CONTAINER" $(pgrep -P "$CONTAINER") 2>/dev/null || true
    fi
    stop_container
}

# start_container と同じ。ただし & が無視させた INT と QUIT を元に戻し、出力は OUT へ
start() {
    local program
    program=$(step "$1")
    shift
    env --default-signal "${START_WITH[@]}" "$program" run "$@" </dev/null >"$OUT" 2>&1 3>&- 4>&- &
    LAUNCHER=$!
    comes 20 find_container
}

# start のコンテナが終わるのを待ち、終了ステータスを確かめる
ends_with() {
    local status=0
    retry 20 is_gone "$LAUNCHER"
    wait "$LAUNCHER" || status=$?
    LAUNCHER=
    if [ "$status" != "$1" ]; then
        echo "exit status $status, not $1"
        return 1
    fi
}

# SigCgt などの行に、シグナルの印が付いているか
has_signal() {
    local mask
    mask=$(awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status")
    ((0x${mask:-0} >> ($(kill -l "$3") - 1) & 1))
}

# sleep は終わるまで trap を待たせるので、待つのは wait
on_signals() {
    local name script=
    for name; do
        script+="trap 'echo got $name' $name; "
    done
    echo "$script sleep 100 & while :; do wait; done"
}

# --- 端末 ------------------------------------------------------------------------

# 本物の端末 (pty) の中で sh のスクリプトを動かす。打つ文字は fd 8 に書く。前の端末の
# 残したファイルは、新しい端末が書く前に読まれると困る
open_terminal() {
    rm -f "$KEYS" "$SCREEN" "$OUT" "$BATS_TEST_TMPDIR"/{pid,shell}
    : >"$OUT"
    mkfifo "$KEYS"
    env --default-signal script -qfec "$1" "$SCREEN" <"$KEYS" >/dev/null 2>&1 3>&- 4>&- &
    TERMINAL=$!
    exec 8>"$KEYS"
}

# 残りのプロセスは、端末が切れた HUP と、PID 名前空間の終わりで消える
close_terminal() {
    [ -n "$TERMINAL" ] || return 0
    exec 8>&-
    kill -KILL "$TERMINAL" 2>/dev/null || true
    wait "$TERMINAL" 2>/dev/null || true
    TERMINAL=
    [ -z "${SHELL_PID:-}" ] || kill -KILL "$SHELL_PID" 2>/dev/null || true
}

type_keys() {
    printf "$1" >&8
}

shows() {
    grep -qF -- "$1" "$SCREEN"
}

count_of() {
    grep -cF -- "$1" "$OUT" || true
}

# open_terminal の中で始めたランチャーとコンテナを見つける
find_in_terminal() {
    [ -s "$BATS_TEST_TMPDIR/pid" ] && LAUNCHER=$(cat "$BATS_TEST_TMPDIR/pid") && find_container
}

# ランチャーが端末に乗る 3 つの形: tmux new-window のように端末のリーダーになる、
# シェルのスクリプトから動く、シェルのジョブになる
LEADER='exec bash ./launch'
SCRIPT='bash ./launch'
JOB='exec bash -c "set -m; bash ./launch; true"'

# 端末を開き、形 $1 でステップ $2 のコマンドを動かす。stdout は OUT へ
run_in_terminal() {
    local form=$1 program
    program=$(step "$2")
    shift 2
    {
        echo 'echo $$ >pid'
        printf '%q ' exec "$program" run "$@"
        echo ">'$OUT'"
    } >"$BATS_TEST_TMPDIR/launch"
    open_terminal "cd '$BATS_TEST_TMPDIR' && { $form; }"
    retry 20 find_in_terminal
    GROUP=
    [[ $program != *09 ]] || GROUP=$(group_of pids)
}

# 端末の大きさを変える: resize rows 33。stty(1) は、1 つ変えるごとに WINCH を送らせる
resize() {
    stty --file "/proc/$LAUNCHER/fd/0" "$@"
}

state_is() {
    [ "$(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null)" = "$2" ]
}

# --- 受け渡し --------------------------------------------------------------------

@test "a command with a handler gets INT TERM HUP QUIT USR1 USR2 from the launcher, each once" {
    requires root userns cgroup
    local number name
    for number in $SOME_STEPS; do
        # shellcheck disable=SC2086 # 語に分ける
        start "$number" sh -c "$(on_signals $PASSED_ON)"
        retry 10 has_signal "$CONTAINER" SigCgt USR2
        for name in $PASSED_ON; do
            kill "-$name" "$LAUNCHER"
            retry 10 grep -qx "got $name" "$OUT"
        done
        [ "$(wc -l <"$OUT")" = 6 ]
        stop_family
    done
}

@test "when the command handles the signal, its own exit status counts" {
    requires root userns cgroup
    local number name
    for number in $SOME_STEPS; do
        for name in $PASSED_ON; do
            start "$number" sh -c "trap 'kill \$!; exit 9' $name; sleep 100 & wait"
            retry 10 has_signal "$CONTAINER" SigCgt "$name"
            kill "-$name" "$LAUNCHER"
            ends_with 9
        done
    done
}

@test "without a handler, each signal ends the container, and the launcher's status is 128+n" {
    requires root userns cgroup
    local number name
    for number in $SOME_STEPS; do
        for name in $PASSED_ON; do
            start "$number" sleep 100
            kill "-$name" "$LAUNCHER"
            ends_with $((128 + $(kill -l "$name")))
            is_gone "$CONTAINER"
        done
    done
}

@test "WINCH and CONT reach a handler, and do not end a command without one" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        start "$number" sh -c "$(on_signals WINCH CONT)"
        retry 10 has_signal "$CONTAINER" SigCgt CONT
        kill -WINCH "$LAUNCHER"
        retry 10 grep -qx 'got WINCH' "$OUT"
        kill -CONT "$LAUNCHER"
        retry 10 grep -qx 'got CONT' "$OUT"
        stop_family

        # 小さい番号のシグナルから届くので、HUP では追い越してしまう
        start "$number" sh -c "$(on_signals USR1)"
        retry 10 has_signal "$CONTAINER" SigCgt USR1
        kill -WINCH "$LAUNCHER"
        kill -CONT "$LAUNCHER"
        retry 10 eval '! has_signal "$LAUNCHER" ShdPnd WINCH && ! has_signal "$LAUNCHER" ShdPnd CONT'
        kill -USR1 "$LAUNCHER"
        retry 10 grep -qx 'got USR1' "$OUT"
        kill -TERM "$LAUNCHER"
        ends_with 143
    done
}

@test "a signal that the command ignores does not end it" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        start "$number" sh -c "trap '' TERM; $(on_signals USR1)"
        retry 10 has_signal "$CONTAINER" SigCgt USR1
        kill -TERM "$LAUNCHER"
        kill -USR1 "$LAUNCHER"
        retry 10 grep -qx 'got USR1' "$OUT"
        state_is "$CONTAINER" S
        stop_family
    done
}

@test "a command that blocks a signal is not killed for it: the signal waits" {
    requires root userns
    local number
    for number in 01 05; do
        start "$number" env --block-signal=TERM sleep 100
        retry 10 has_signal "$CONTAINER" SigBlk TERM
        kill -TERM "$LAUNCHER"
        retry 10 has_signal "$CONTAINER" ShdPnd TERM
        kill -USR1 "$LAUNCHER"
        ends_with 138
    done
}

# 内側のランチャーはシグナルを止めて sigwaitinfo で待つので、handler がない
@test "a launcher as PID 1 of a container passes the signal on, instead of being killed" {
    requires root userns
    local inner
    start_nested sh -c 'trap "echo got TERM; exit 9" TERM; sleep 100 & wait'
    retry 20 eval 'inner=$(pgrep -P "$CONTAINER" -x sh) && has_signal "$inner" SigCgt TERM'
    kill -TERM "$LAUNCHER"
    ends_with 9
    grep -qx 'got TERM' "$OUT"
    retry 10 is_gone "$inner"

    start_nested sleep 100
    retry 20 pgrep -P "$CONTAINER" -x sleep
    kill -USR2 "$LAUNCHER"
    ends_with 140
}

# 内側のプログラムも同じなので、find_container では見分けられない。& の中で $(step) を
# 使うと、そのための子をコンテナと間違える
start_nested() {
    local program
    program=$(step 05)
    env --default-signal "$program" run "$program" run "$@" </dev/null >"$OUT" 2>&1 3>&- 4>&- &
    LAUNCHER=$!
    retry 20 eval 'CONTAINER=$(pgrep -P "$LAUNCHER") && pgrep -P "$CONTAINER"'
}

@test "a signal at any moment of the start ends everything with 128+n" {
    requires root userns cgroup
    local number name delay program
    for number in 01 03 05 07 09; do
        program=$(step "$number")
        for delay in 0 1 2 3 5 8 13; do
            name=TERM
            ((delay % 2)) || name=USR1
            env --default-signal "$program" run sleep "31$delay" </dev/null >"$OUT" 2>&1 3>&- 4>&- &
            LAUNCHER=$!
            # env が exec する前では、ランチャーの話にならない
            retry 10 eval '[ "$(cat "/proc/$LAUNCHER/comm")" = "step$number" ]'
            sleep "0.00$delay"
            kill "-$name" "$LAUNCHER"
            ends_with $((128 + $(kill -l $name)))
            retry 10 eval '! pgrep -x "step$number" >/dev/null && ! pgrep -fx "sleep 31$delay"'
        done
    done
}

@test "a signal during the set-up ends it with 128+n, and the command does not run" {
    requires root userns strace
    strace -f -qq -o /dev/null -e trace=sethostname -e inject=sethostname:signal=STOP \
        env --default-signal "$(step 05)" run echo ran </dev/null >"$OUT" 3>&- 4>&- &
    local tracer=$! child
    # マッピングが済み、名前を付ける所で止められる子
    retry 20 eval '[ "$(pgrep -cx step05)" = 2 ] && child=$(pgrep -x step05 --newest) &&
        [ -n "$(xargs <"/proc/$child/uid_map")" ]'
    kill -TERM "$(pgrep -x step05 --oldest)"
    local status=0
    retry 20 is_gone "$tracer"
    wait "$tracer" || status=$?
    [ "$status" = 143 ]
    [ ! -s "$OUT" ]
    retry 10 eval '! pgrep -x step05'
}

# タイマー、上限、電源、監視する側 (STOPSIGNAL=RTMIN+3, WatchdogSignal=ABRT) の使うもの
@test "a command with a handler gets ALRM VTALRM PROF XCPU XFSZ IO PWR ABRT SYS and real-time signals" {
    requires root userns cgroup
    local number signal
    for number in $SOME_STEPS; do
        start "$number" sh -c "$(on_signals 14 26 27 24 25 29 30 6 31 34 37 64)"
        retry 10 has_signal "$CONTAINER" SigCgt RTMAX
        for signal in 14 26 27 24 25 29 30 6 31 34 37 64; do
            kill "-$signal" "$LAUNCHER"
            retry 10 grep -qx "got $signal" "$OUT"
        done
        [ "$(wc -l <"$OUT")" = 12 ]
        stop_family
    done
}

@test "every signal whose default is to end a process ends the container with 128+n, and no cgroup stays" {
    requires root userns cgroup gcc
    local signal
    ulimit -c 0
    private_cgroups
    # posix_spawn(3) は 32 と 33 を無視させる。glibc では元に戻せない
    cat >"$BATS_TEST_TMPDIR/reset.c" <<'END'
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char *argv[])
{
    long standard[4] = {0};
    syscall(SYS_rt_sigaction, 32, standard, NULL, 8);
    syscall(SYS_rt_sigaction, 33, standard, NULL, 8);
    return argc < 2 || execv(argv[1], argv + 1);
}
END
    gcc -o "$BATS_TEST_TMPDIR/reset" "$BATS_TEST_TMPDIR/reset.c"
    START_WITH=("$BATS_TEST_TMPDIR/reset")
    for signal in {1..34} 50 64; do
        case $(kill -l "$signal") in
        KILL | STOP | CHLD | CONT | URG | WINCH | TSTP | TTIN | TTOU) continue ;;
        esac
        start 09 sleep 100
        [ -n "$(private_dirs)" ]
        kill "-$signal" "$LAUNCHER"
        ends_with $((128 + signal))
        is_gone "$CONTAINER"
        no_private_dirs
    done
}

@test "URG, ignored by default, does not end a command, and reaches a handler" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        start "$number" sh -c "$(on_signals URG)"
        retry 10 has_signal "$CONTAINER" SigCgt URG
        kill -URG "$LAUNCHER"
        retry 10 grep -qx 'got URG' "$OUT"
        stop_family

        start "$number" sh -c "$(on_signals USR1)"
        retry 10 has_signal "$CONTAINER" SigCgt USR1
        kill -URG "$LAUNCHER"
        retry 10 eval '! has_signal "$LAUNCHER" ShdPnd URG'
        kill -USR1 "$LAUNCHER"
        retry 10 grep -qx 'got USR1' "$OUT"
        stop_family
    done
}

# カーネルがランチャーだけに送るものは、同じプロセスグループの子には届いていない
@test "a signal that the kernel sends to the launcher alone (a timer's, a file's) reaches the command" {
    requires root userns cgroup python3
    local number
    for number in $SOME_STEPS; do
        start "$number" sh -c "$(on_signals IO)"
        retry 10 has_signal "$CONTAINER" SigCgt IO
        python3 -c '
import fcntl, os, sys
reader, writer = os.pipe()
fcntl.fcntl(reader, fcntl.F_SETOWN, int(sys.argv[1]))
fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
os.write(writer, b"x")' "$LAUNCHER"
        retry 10 grep -qx 'got IO' "$OUT"
        stop_family
    done
    # perl -e "alarm 1; exec @ARGV" と同じ。タイマーは exec のあとも残る
    private_cgroups
    run -142 python3 -c '
import os, signal, sys
signal.setitimer(signal.ITIMER_REAL, 0.5)
os.execv(sys.argv[1], sys.argv[1:])' "$(step 09)" run sleep 100 </dev/null
    no_private_dirs
}

@test "the value that sigqueue sent along arrives, once for each signal" {
    requires root userns gcc
    cat >"$BATS_TEST_TMPDIR/queue.c" <<'END'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char *argv[])
{
    siginfo_t info;
    sigset_t set;
    if (argc > 2)
        return sigqueue(atoi(argv[1]), 40, (union sigval){.sival_int = atoi(argv[2])});
    sigemptyset(&set);
    sigaddset(&set, 40);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) // EINTR は、止められて再開したとき
        if (sigwaitinfo(&set, &info) == 40) {
            fprintf(stderr, "%d\n", info.si_value.sival_int);
            if (info.si_value.sival_int == 3)
                return 9;
        }
}
END
    gcc -o "$BATS_TEST_TMPDIR/queue" "$BATS_TEST_TMPDIR/queue.c"
    local number value
    for number in 01 05; do
        start "$number" "$BATS_TEST_TMPDIR/queue"
        # 待っているあいだは、止めたシグナルも SigBlk に出ない
        retry 10 eval '[[ $(cat "/proc/$CONTAINER/wchan") == *sigtimedwait* ]]'
        for value in 1 2 3; do
            "$BATS_TEST_TMPDIR/queue" "$LAUNCHER" "$value"
        done
        ends_with 9
        [ "$(xargs <"$OUT")" = '1 2 3' ]
    done
}

# ulimit -f 0 でエラーをファイルに書くと、SIGXFSZ が届く。片付ける前に終わってはならない
@test "a limit on file sizes that the launcher itself exceeds does not end it before it has cleaned up" {
    requires root userns cgroup
    private_cgroups
    run -127 bash -c 'ulimit -f 0 && exec "$0" run no-such-command </dev/null 2>"$1"' \
        "$(step 09)" "$BATS_TEST_TMPDIR/error"
    no_private_dirs
}

# 補助グループが多いと、/proc/PID/status の SigCgt の行は 4,096 バイトより先にある
@test "a handler is found in however long a /proc/PID/status: with 600 supplementary groups" {
    requires root python3
    local program
    program=$(step 01)
    python3 -c '
import os, sys
os.setgroups(range(70000, 70600))
os.execvp(sys.argv[1], sys.argv[1:])' env --default-signal "$program" run \
        sh -c "trap 'kill \$!; exit 33' TERM; sleep 100 & wait" </dev/null >"$OUT" 2>&1 3>&- 4>&- &
    LAUNCHER=$!
    retry 20 eval '[ "$(cat "/proc/$LAUNCHER/comm")" = step01 ] && find_container'
    retry 10 has_signal "$CONTAINER" SigCgt TERM
    [ "$(wc -c <"/proc/$CONTAINER/status")" -gt 4096 ]
    kill -TERM "$LAUNCHER"
    ends_with 33
}

# 止まらない PID 1 を、止まるまで待ってはならない。vfork(2) の親は、子が exec するまで
# SIGSTOP を受け取らない
@test "TERM ends a container whose PID 1 cannot be stopped, because it is in vfork" {
    requires root userns gcc
    cat >"$BATS_TEST_TMPDIR/vfork.c" <<'END'
#include <unistd.h>
int main(void)
{
    if (vfork() == 0) {
        pause();
        _exit(0);
    }
}
END
    gcc -o "$BATS_TEST_TMPDIR/vfork" "$BATS_TEST_TMPDIR/vfork.c"
    start 05 "$BATS_TEST_TMPDIR/vfork"
    retry 10 state_is "$CONTAINER" D
    kill -TERM "$LAUNCHER"
    ends_with 143
    is_gone "$CONTAINER"
}

# v2 では凍っていても SIGKILL で終わる。v1 では、解けるまで届かない
@test "TERM ends a container whose PID 1 is frozen in a cgroup, on v1 as soon as it thaws" {
    requires root userns
    local top
    for top in $(findmnt -fnro TARGET -t cgroup2) $(findmnt -fnro TARGET -t cgroup -O freezer); do
        FROZEN=$top/bats-$BASHPID-$RANDOM
        mkdir "$FROZEN"
        start 05 sleep 100
        echo "$CONTAINER" >"$FROZEN/cgroup.procs"
        if [ -e "$FROZEN/cgroup.freeze" ]; then
            echo 1 >"$FROZEN/cgroup.freeze"
            retry 10 grep -qx 'frozen 1' "$FROZEN/cgroup.events"
            kill -TERM "$LAUNCHER"
        else
            echo FROZEN >"$FROZEN/freezer.state"
            retry 10 grep -qx FROZEN "$FROZEN/freezer.state"
            kill -TERM "$LAUNCHER"
            # ランチャーは、止まるのを待つのをあきらめて SIGKILL を送り、あとは寝ている
            retry 10 has_signal "$CONTAINER" ShdPnd KILL
            retry 10 grep -q sigtimedwait "/proc/$LAUNCHER/wchan"
            echo THAWED >"$FROZEN/freezer.state"
        fi
        ends_with 143
        is_gone "$CONTAINER"
        retry 10 rmdir "$FROZEN"
    done
}

# --- 終了ステータス --------------------------------------------------------------

@test "all 256 exit statuses pass through, in 01 and 09" {
    requires root userns
    local wanted status one nine
    one=$(step 01)
    nine=$(step 09)
    for ((wanted = 0; wanted < 256; wanted++)); do
        status=0
        "$one" run sh -c "exit $wanted" || status=$?
        [ "$status" = "$wanted" ]
    done
    for ((wanted = 0; wanted < 256; wanted++)); do
        status=0
        "$nine" run --no-cgroup --no-veth sh -c "exit $wanted" || status=$?
        [ "$status" = "$wanted" ]
    done
}

# --- 端末 ------------------------------------------------------------------------

@test "with a terminal on stdin, one line on stderr gives the PID as the host sees it" {
    requires root userns cgroup
    local number
    for number in 01 02 03 04 05 06 07 08 09; do
        open_terminal "echo \$\$ >'$BATS_TEST_TMPDIR/pid'; exec '$(step "$number")' run sleep 100 2>'$OUT'"
        retry 20 find_in_terminal
        retry 10 test -s "$OUT"
        [ "$(wc -l <"$OUT")" = 1 ]
        [[ $(cat "$OUT") == "step$number: "*" $CONTAINER "* ]]
        close_terminal
        stop_family
    done
}

@test "without a terminal on stdin, a successful run writes nothing of its own" {
    requires root userns cgroup
    local number
    for number in 01 02 03 04 05 06 07 08 09; do
        run -0 --separate-stderr "$(step "$number")" run true </dev/null
        [ "$output$stderr" = "" ]
    done
}

# 守る行: child() の die_with_parent() が、show_pid() より先にあること
@test "with the output stopped (Ctrl-S), nothing outlives a killed launcher" {
    requires root userns script
    local number
    for number in $SOME_STEPS; do
        # ランチャーがセッションのリーダーだと、死んだときに端末が切れる
        open_terminal "read -r go; sh -c 'echo \$\$ >\"$BATS_TEST_TMPDIR/pid\"
            exec \"$(step "$number")\" run sleep 100'; read -r end"
        # 端末は、打たれた順に読む
        type_keys '\023go\n'
        retry 20 test -s "$BATS_TEST_TMPDIR/pid"
        LAUNCHER=$(cat "$BATS_TEST_TMPDIR/pid")
        retry 20 eval '[ "$(cat "/proc/$LAUNCHER/comm")" = "step$number" ] && CONTAINER=$(pgrep -P "$LAUNCHER")'
        retry 20 state_is "$CONTAINER" S # 書き終わるのを待っている
        kill -KILL "$LAUNCHER"
        promised 2 is_gone "$CONTAINER"
        close_terminal
        LAUNCHER=
    done
}

# sudo の作る端末 (Defaults use_pty) は、root だけが開ける
@test "/dev/stderr can be opened on root's terminal and root's pipe, which are root's again afterwards" {
    requires root userns script
    local number end
    for number in 03 05 07 09; do
        for end in 'exit 5' 'kill -KILL $$; exit 5'; do
            open_terminal "export SUDO_UID=4711 SUDO_GID=4712
                cd '$BATS_TEST_TMPDIR' && tty >tty && chmod 600 \$(tty) && stat -c %u:%a \$(tty) >before
                '$(step "$number")' run sh -c 'echo to-\"\"stderr >/proc/self/fd/2; $end'
                stat -c %u:%a \$(tty) >after"
            retry 20 is_gone "$TERMINAL"
            shows to-stderr
            [ "$(cat "$BATS_TEST_TMPDIR/before")" = 0:600 ]
            [ "$(cat "$BATS_TEST_TMPDIR/after")" = 0:600 ]
            close_terminal
        done
        run -0 env SUDO_UID=4711 SUDO_GID=4712 "$(step "$number")" run sh -c 'echo out >/proc/self/fd/1' </dev/null
        [ "$output" = out ]
    done
}

@test "the owner of a file, of a fifo with a name and of a device does not change while it is stdin, stdout or stderr" {
    requires root userns
    local number
    cd "$BATS_TEST_TMPDIR"
    touch file && mkfifo fifo
    for number in 03 05 07 09; do
        SUDO_UID=4711 SUDO_GID=4712 "$(step "$number")" run sleep 100 <>fifo >file 2>/dev/null 3>&- 4>&- &
        LAUNCHER=$!
        retry 20 eval 'CONTAINER=$(pgrep -P "$LAUNCHER" -x sleep)'
        [ "$(stat -c %u fifo file /dev/null | xargs)" = '0 0 0' ]
        stop_family
    done
}

@test "a Ctrl-C on the terminal is delivered once" {
    requires root userns cgroup
    local number i
    for number in $SOME_STEPS; do
        open_terminal "echo \$\$ >'$BATS_TEST_TMPDIR/pid'
            exec '$(step "$number")' run sh -c \"$(on_signals INT USR1)\" >'$OUT'"
        retry 20 find_in_terminal
        retry 10 has_signal "$CONTAINER" SigCgt USR1
        for i in 1 2 3 4 5; do
            type_keys '\003'
            retry 10 eval '[ "$(count_of "got INT")" -ge $i ]'
            # ランチャーは順に渡すので、USR1 が届けば、その前の INT は渡し終えている
            kill -USR1 "$LAUNCHER"
            retry 10 eval '[ "$(count_of "got USR1")" = $i ]'
            [ "$(count_of 'got INT')" = "$i" ]
        done
        close_terminal
        stop_family
    done
}

@test "Ctrl-C and Ctrl-\\ end a command without a handler: 130 and 131" {
    requires root userns cgroup
    local number key
    for number in $SOME_STEPS; do
        for key in 003:130 034:131; do
            open_terminal "ulimit -c 0; sh -c 'echo \$\$ >\"$BATS_TEST_TMPDIR/pid\"
                exec \"$(step "$number")\" run sleep 100'; echo status \$?"
            retry 20 find_in_terminal
            # sh も同じ端末の INT を受けるので、状態は script -e が返すものを見る
            type_keys "\\${key%:*}"
            retry 10 is_gone "$CONTAINER"
            retry 10 is_gone "$LAUNCHER"
            LAUNCHER=
            local status=0
            retry 20 is_gone "$TERMINAL"
            wait "$TERMINAL" || status=$?
            [ "$status" = "${key#*:}" ] || shows "status ${key#*:}"
            close_terminal
        done
    done
}

# 対話的な bash に打ち込む。PS1 は、打った行と見分けるため
open_shell() {
    open_terminal "echo \$\$ >'$BATS_TEST_TMPDIR/shell'; PS1='ready> ' exec bash --norc --noprofile -i"
    retry 20 shows 'ready> '
    SHELL_PID=$(cat "$BATS_TEST_TMPDIR/shell")
}

# bash が前面に出した、いちばん新しいランチャー
find_job() {
    LAUNCHER=$(pgrep -P "$SHELL_PID" -x "step$1") && find_container
}

@test "Ctrl-Z stops the container, fg goes on with it, and Ctrl-C still ends it" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        open_shell
        type_keys "$(step "$number") run sleep 100\n"
        retry 20 find_job "$number"
        type_keys '\032'
        retry 10 shows 'Stopped'
        state_is "$LAUNCHER" T
        retry 10 state_is "$CONTAINER" T
        type_keys 'fg\n'
        retry 10 state_is "$LAUNCHER" S
        retry 10 state_is "$CONTAINER" S
        type_keys '\003'
        retry 10 is_gone "$LAUNCHER"
        type_keys 'echo "status=$?"\n'
        retry 10 shows 'status=130'
        LAUNCHER=
        close_terminal
    done
}

# 背後で始まったシェルは、fg まで止まる。PID 名前空間の中のシェルは、自分では止まれない
@test "a shell started in the background stops until fg, and works after it: also through sudo" {
    requires root userns cgroup sudo script
    local number program launcher
    for number in $SOME_STEPS sudo; do
        open_shell
        program="$(step "${number/sudo/05}") run"
        [ "$number" != sudo ] || program="sudo -n $program"
        [[ $number != 0[6-9] ]] || program+=' --env PS1'
        type_keys "PS1='in''side> ' $program sh -i &\n"
        retry 20 eval 'launcher=$(pgrep -P "$SHELL_PID" -x "step0.|sudo")'
        retry 20 state_is "$launcher" T
        # 前面は、まだ bash のもの
        type_keys 'echo "still $((40 + 2))"\n'
        retry 10 shows 'still 42'
        run ! shows 'inside> '
        type_keys 'fg\n'
        retry 20 shows 'inside> '
        type_keys 'echo "in $((40 + 3))"\n'
        retry 20 shows 'in 43'
        type_keys 'exit 5\n'
        retry 20 is_gone "$launcher"
        type_keys 'echo "status=$?"\n'
        retry 20 shows 'status=5'
        close_terminal
    done
}

# 守る行: lead_terminal() の wait_for_foreground()。用意の途中で、端末への出力を止めておく
@test "a shell that was sent to the background while it was being set up waits for fg as well" {
    requires root userns script
    local number launcher child
    for number in 01 05; do
        open_shell
        type_keys "echo wait''ing; read -r go; PS1='in''side> ' $(step "$number") run sh -i\n"
        retry 20 shows waiting
        type_keys '\023go\n'
        retry 20 eval 'launcher=$(pgrep -P "$SHELL_PID" -x "step$number") && child=$(pgrep -P "$launcher")'
        retry 20 state_is "$child" S
        kill -TSTP "$launcher"
        retry 20 state_is "$launcher" T
        type_keys '\021'
        retry 20 shows 'Stopped'
        type_keys 'bg\n'
        type_keys 'echo "still $((40 + 2))"\n'
        retry 20 shows 'still 42'
        retry 20 state_is "$launcher" T
        run ! shows 'inside> '
        type_keys 'fg\n'
        retry 20 shows 'inside> '
        type_keys 'exit 5\n'
        retry 20 is_gone "$launcher"
        type_keys 'echo "status=$?"\n'
        retry 20 shows 'status=5'
        close_terminal
    done
}

@test "a shell in the background that nobody can bring to the front is refused: 125 and a hint" {
    requires root userns script
    local status=$BATS_TEST_TMPDIR/status
    # 親のシェルがいなくなるのを待ってから始める。&& の続きがあるので、サブシェルは残る
    open_terminal "bash -c 'set -m
        (while kill -0 \$\$; do sleep 0.01; done; \"$(step 05)\" run sh; echo \$? >\"$status\") 2>\"$OUT\" &'
        while ! [ -s '$status' ]; do sleep 0.01; done"
    retry 20 test -s "$status"
    [ "$(cat "$status")" = 125 ]
    grep -qx 'step05: tcsetpgrp: Inappropriate ioctl for device' "$OUT"
    grep -q '^  ヒント: ' "$OUT"
}

@test "a shell in the container has job control: Ctrl-Z and fg work inside it" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        local pass=
        ((10#$number < 6)) || pass='--env PS1 '
        open_shell
        type_keys "PS1='in''side> ' $(step "$number") run ${pass}sh -i\n"
        retry 20 find_job "$number"
        retry 20 shows 'inside> '
        type_keys 'sleep 101\n'
        local inner
        retry 10 eval 'inner=$(pgrep -P "$CONTAINER" -x sleep)'
        type_keys '\032'
        retry 10 state_is "$inner" T
        state_is "$LAUNCHER" S
        type_keys 'fg\n'
        retry 10 state_is "$inner" S
        type_keys '\003'
        retry 10 is_gone "$inner"
        type_keys 'exit 7\n'
        retry 10 is_gone "$LAUNCHER"
        type_keys 'echo "status=$?"\n'
        retry 10 shows 'status=7'
        LAUNCHER=
        close_terminal
    done
}

@test "the terminal's modes are as before, however the command ends" {
    requires root userns cgroup
    local number end
    for number in $SOME_STEPS; do
        for end in 'exit 0' 'exit 7' 'kill -KILL $$; sleep 0.01; kill -TERM $$; exit 1'; do
            open_terminal "stty -g >'$BATS_TEST_TMPDIR/before'
                '$(step "$number")' run sh -c 'stty raw -echo; stty -g; $end' >'$OUT'
                stty -g >'$BATS_TEST_TMPDIR/after'"
            retry 20 is_gone "$TERMINAL"
            [ -s "$OUT" ]
            [ "$(cat "$OUT")" != "$(cat "$BATS_TEST_TMPDIR/before")" ]
            [ "$(cat "$BATS_TEST_TMPDIR/after")" = "$(cat "$BATS_TEST_TMPDIR/before")" ]
            close_terminal
        done
    done
}

@test "the terminal's modes are as before when the launcher is told to stop" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        open_terminal "stty -g >'$BATS_TEST_TMPDIR/before'
            sh -c 'echo \$\$ >\"$BATS_TEST_TMPDIR/pid\"
                exec \"$(step "$number")\" run sh -c \"stty raw -echo; echo raw; exec sleep 100\" >\"$OUT\"'
            stty -g >'$BATS_TEST_TMPDIR/after'"
        retry 20 find_in_terminal
        retry 20 grep -q raw "$OUT"
        kill -TERM "$LAUNCHER"
        retry 20 is_gone "$TERMINAL"
        LAUNCHER=
        [ "$(cat "$BATS_TEST_TMPDIR/after")" = "$(cat "$BATS_TEST_TMPDIR/before")" ]
        close_terminal
    done
}

@test "the terminal's modes are as before when PID 1 is killed, also of a shell that led the terminal" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        run_in_terminal "stty -g >before; $SCRIPT; echo \$? >status; stty -g >after" \
            "$number" sh -c 'stty raw -echo; echo raw; exec sleep 100'
        modes_survive_a_kill
        run_in_terminal "stty -g >before; $SCRIPT; echo \$? >status; stty -g >after" "$number" sh -i
        type_keys 'stty raw -echo; echo r""aw\n'
        modes_survive_a_kill
    done
}

modes_survive_a_kill() {
    retry 20 grep -q raw "$OUT"
    kill -KILL "$CONTAINER"
    retry 20 is_gone "$TERMINAL"
    LAUNCHER=
    [ "$(cat "$BATS_TEST_TMPDIR/status")" = 137 ]
    [ "$(cat "$BATS_TEST_TMPDIR/after")" = "$(cat "$BATS_TEST_TMPDIR/before")" ]
    close_terminal
}

@test "a new size of the terminal reaches the command: WINCH once, and stty size tells it" {
    requires root userns cgroup
    local number
    for number in $SOME_STEPS; do
        run_in_terminal "$SCRIPT" "$number" sh -c "trap 'stty size; echo got WINCH' WINCH; $(on_signals USR1)"
        retry 20 has_signal "$CONTAINER" SigCgt USR1
        resize rows 33
        retry 20 grep -qx 'got WINCH' "$OUT"
        resize columns 77
        retry 20 grep -qx '33 77' "$OUT"
        # ランチャーは順に渡すので、USR1 が届けば、その前の WINCH は渡し終えている
        kill -USR1 "$LAUNCHER"
        retry 20 grep -qx 'got USR1' "$OUT"
        [ "$(count_of 'got WINCH')" = 2 ]
        close_terminal
        stop_family
    done
}

@test "a new size of the terminal reaches a shell in the container, and the program that runs in it" {
    requires root userns cgroup
    local number inner
    for number in $SOME_STEPS; do
        run_in_terminal "$JOB" "$number" sh -i
        resize rows 33 columns 77
        type_keys 'stty size\n'
        retry 20 grep -qx '33 77' "$OUT"
        type_keys "sh -c 'trap \"stty size\" WINCH; sleep 102 & while :; do wait; done'\n"
        retry 20 eval 'inner=$(pgrep -P "$CONTAINER" -x sh) && pgrep -P "$inner" -x sleep'
        resize rows 40 columns 100
        retry 20 grep -qx '40 100' "$OUT"
        type_keys '\003'
        retry 20 is_gone "$inner"
        type_keys 'exit 7\n'
        retry 20 is_gone "$LAUNCHER"
        LAUNCHER=
        close_terminal
    done
}

# --- 端末を閉じる ----------------------------------------------------------------

# 端末の反対側を閉じる。端末のウィンドウを閉じたときや、tmux kill-pane と同じ
hang_up() {
    kill -KILL "$TERMINAL"
    wait "$TERMINAL" 2>/dev/null || true
}

# ランチャーもコンテナもなく、リンクも cgroup も残っていない
nothing_is_left() {
    retry 20 is_gone "$LAUNCHER"
    retry 20 is_gone "$CONTAINER"
    LAUNCHER=
    # 別の PID 名前空間の、同じ PID のランチャーが使うこともある名前
    [ -z "$GROUP" ] || promised 5 eval '[ ! -d "$GROUP" ]'
    run ! ip link show veth-host
    close_terminal
}

@test "closing the terminal ends the launcher, the container and all that it made" {
    requires root userns cgroup net
    local number form
    for number in $SOME_STEPS; do
        for form in "$LEADER" "$SCRIPT" "$JOB"; do
            run_in_terminal "$form" "$number" sleep 100
            hang_up
            nothing_is_left
        done
    done
}

@test "closing the terminal ends a shell in the container and the program that runs in it" {
    requires root userns cgroup net
    local number form inner
    for number in $SOME_STEPS; do
        for form in "$LEADER" "$SCRIPT" "$JOB"; do
            run_in_terminal "$form" "$number" sh -i
            type_keys 'echo ready\n'
            retry 20 grep -q ready "$OUT"
            hang_up
            nothing_is_left

            run_in_terminal "$form" "$number" sh -i
            type_keys 'sleep 103\n'
            retry 20 eval 'inner=$(pgrep -P "$CONTAINER" -x sleep)'
            hang_up
            nothing_is_left
            retry 20 is_gone "$inner"
        done
    done
}

# 守る行: already_delivered() の getsid()
@test "a command that handles HUP is told when the terminal closes, and ends in its own way" {
    requires root userns cgroup net
    local number form
    for number in $SOME_STEPS; do
        for form in "$LEADER" "$SCRIPT" "$JOB"; do
            run_in_terminal "$form" "$number" sh -c \
                'trap "echo got HUP; kill \$!; exit 9" HUP; sleep 100 & wait'
            retry 20 has_signal "$CONTAINER" SigCgt HUP
            hang_up
            nothing_is_left
            grep -qx 'got HUP' "$OUT"
        done
    done
}

# nohup(1) と同じ。コンテナは残るが、ランチャーも残って見張っている
@test "a command that ignores HUP outlives the terminal, but not its launcher" {
    requires root userns cgroup net
    local number form
    for number in $SOME_STEPS; do
        for form in "$LEADER" "$JOB"; do
            run_in_terminal "$form" "$number" sh -c "trap '' HUP; exec sleep 100"
            retry 20 has_signal "$CONTAINER" SigIgn HUP
            hang_up
            # HUP のあとに送った WINCH まで受け取っても、どちらも待ち続ける
            retry 20 eval '! has_signal "$LAUNCHER" ShdPnd HUP'
            kill -WINCH "$LAUNCHER"
            retry 20 eval '! has_signal "$LAUNCHER" ShdPnd WINCH'
            retry 20 state_is "$LAUNCHER" S
            retry 20 state_is "$CONTAINER" S
            kill -KILL "$LAUNCHER"
            retry 2 is_gone "$CONTAINER"
            retry 2 eval '! ip link show veth-host'
            run -0 "$(step 09)" run true
            nothing_is_left
        done
    done
}

@test "closing the terminal of a stopped container ends it as well" {
    requires root userns cgroup net
    local number
    for number in $SOME_STEPS; do
        open_shell
        type_keys "$(step "$number") run sleep 100\n"
        retry 20 find_job "$number"
        GROUP=
        [ "$number" != 09 ] || GROUP=$(group_of pids)
        type_keys '\032'
        retry 20 state_is "$CONTAINER" T
        retry 20 state_is "$LAUNCHER" T
        hang_up
        nothing_is_left
    done
}
