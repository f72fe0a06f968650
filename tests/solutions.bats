# 発展課題の答え (steps/*/solutions) のテスト。make solutions が先に要る
#
# test.sh --negative では、答えの代わりに、もとのステップのプログラムを使う。どの
# テストも、それでは失敗しなければならない。
# $ を展開するのは内側のシェル。stderr は run --separate-stderr が入れる
# shellcheck disable=SC2016,SC2153,SC2154
load helpers
load host/cgroups

setup() {
    requires root userns
    PIDS=()
    BRIDGE=$TOP/steps/09-cgroups-veth/solutions/bridge.sh
    [ -z "${negative:-}" ] || BRIDGE=true
}

teardown() {
    local pid
    stop_container
    for pid in "${PIDS[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    umount /etc/subuid /etc/subgid "$USER_HOME/volume/below" 2>/dev/null || true
    ip link delete br-steps 2>/dev/null || true
    ip link delete uplink 2>/dev/null || true
    # ほかのテストのパケットを捨てないように。ネットワークは、このスイートだけのもの
    nft flush ruleset 2>/dev/null || true
}

# 答えを、rootfs/fs の横にコピーする。BIN と、attendee から見た USER_BIN ができる: answer 05-reaper
answer() {
    local program=$TOP/build${ASAN_OPTIONS:+/sanitize}/solutions/$1
    [ -z "${negative:-}" ] || program=$TOP/step${1%%-*}
    [ -x "$program" ] || {
        echo "$program: not there; run make solutions"
        return 1
    }
    BIN=$(dirname "$BIN")/$1
    USER_BIN=$USER_HOME/$1
    cp "$program" "$BIN"
    cp "$program" "$USER_BIN"
}

# 背後のものが終わるのを待ち、終了ステータスを確かめる: ends_with STATUS PID
ends_with() {
    local status=0
    retry 5 is_gone "$2"
    wait "$2" || status=$?
    echo "exit status $status, wanted $1"
    [ "$status" = "$1" ]
}

# テストの中で作る小さなプログラムを、rootfs の /bin に置く: compile NAME [引数...] <<END
compile() {
    requires gcc
    gcc -static -pthread -x c -o "$(dirname "$BIN")/rootfs/fs/bin/$1" "${@:2}" -
}

# --- 01-usage ------------------------------------------------------------------

# 項目の数字だけを取り出す: used 経過
used() {
    awk -v name="$1" '$1 == name { print $2 }' <<<"$stderr"
}

@test "usage: a second of sleep takes time, but no CPU time; the exit status is the command's" {
    answer 01-usage
    run -3 --separate-stderr "$BIN" run sh -c 'echo said; sleep 1; exit 3'
    [ "$output" = said ]
    [ "${#stderr_lines[@]}" = 4 ]
    awk -v t="$(used 経過)" 'BEGIN { exit !(t >= 1 && t < 10) }'
    awk -v u="$(used ユーザー)" -v s="$(used システム)" 'BEGIN { exit !(u + s < 0.5) }'
}

@test "usage: what a grandchild burned and the memory at its peak are counted" {
    answer 01-usage
    run -0 --separate-stderr "$BIN" run sh -c \
        'sh -c "i=0; while [ \$i -lt 200000 ]; do i=\$((i + 1)); done"; dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null'
    awk -v u="$(used ユーザー)" 'BEGIN { exit !(u >= 0.02) }'
    awk -v m="$(used メモリー)" 'BEGIN { exit !(m >= 40 && m < 200) }'
    run -127 --separate-stderr env PATH=/bin "$BIN" run no-such-command
    [ "${stderr_lines[0]}" = "01-usage: exec no-such-command: No such file or directory" ]
    [ -n "$(used 経過)" ]
}

# --- 03-uid-range --------------------------------------------------------------

# attendee に範囲を貸す。/etc に書かず、重ねる
lend_range() {
    local file
    printf 'other:1000:1\n%s:200000:1000\n' "$1" >"$BATS_TEST_TMPDIR/ranges"
    for file in /etc/subuid /etc/subgid; do
        mount --bind "$BATS_TEST_TMPDIR/ranges" "$file"
    done
}

USE_RANGE='cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups | xargs
    touch "$1" && chown 1:2 "$1" && stat -c "%u %g" "$1" && grep Groups: /proc/self/status | xargs'

used_range() {
    [ "${lines[0]}" = "0 4711 1 1 200000 1000 0 4712 1 1 200000 1000 allow" ]
    [ "${lines[1]}" = "1 2" ]
    [ "${lines[2]}" = "Groups:" ]
    [ "$(stat -c '%u %g' "$1")" = "200000 200001" ]
}

@test "uid-range: chown works inside; outside the file belongs to the lent ids" {
    answer 03-uid-range
    lend_range attendee
    cd "$USER_HOME"
    SUDO_UID=4711 SUDO_GID=4712 run -0 "$BIN" run sh -c "$USE_RANGE" sh file
    used_range file
}

@test "uid-range: the same without root, where newuidmap writes the maps; no group is kept" {
    requires rootless newuidmap
    answer 03-uid-range
    lend_range 4711
    cd "$USER_HOME"
    run -0 as_user "$USER_BIN" run sh -c "$USE_RANGE" sh file-of-user
    used_range file-of-user
}

@test "uid-range: without a range, or without newuidmap, it says what to type: 125" {
    answer 03-uid-range
    lend_range nobody-else
    SUDO_UID=4711 SUDO_GID=4712 run -125 --separate-stderr "$BIN" run true
    [ "${stderr_lines[0]}" = "03-uid-range: /etc/subuid: no range for attendee" ]
    [[ ${stderr_lines[2]} == "  ヒント: sudo usermod --add-subuids "*" attendee" ]]
    umount /etc/subuid /etc/subgid
    lend_range attendee
    requires rootless
    run -125 --separate-stderr as_user env PATH=/none "$USER_BIN" run /bin/true
    [[ ${stderr_lines[-2]} == "03-uid-range: newuidmap failed" ]]
    [[ ${stderr_lines[-1]} == "  ヒント: "*"apt-get install uidmap"* ]]
}

@test "uid-range: a range that holds the user's own id is passed over; alone, it is named" {
    answer 03-uid-range
    lend_range attendee
    local ranges=$BATS_TEST_TMPDIR/ranges # 重ねたまま書き換える
    # 4711 も 4712 も含む範囲が、先にある
    printf 'attendee:4700:100\nattendee:200000:1000\n' >"$ranges"
    SUDO_UID=4711 SUDO_GID=4712 run -0 "$BIN" run sh -c 'xargs </proc/self/uid_map'
    [ "$output" = "0 4711 1 1 200000 1000" ]
    echo attendee:4700:100 >"$ranges"
    SUDO_UID=4711 SUDO_GID=4712 run -125 --separate-stderr "$BIN" run true
    [ "${stderr_lines[0]}" = "03-uid-range: /etc/subuid: no range for attendee" ]
    [[ ${stderr_lines[1]} == "  ヒント: 4711 と重ならない範囲"* ]]
    # 端の隣までは、重ならない
    echo attendee:4713:100 >"$ranges"
    SUDO_UID=4711 SUDO_GID=4712 run -0 "$BIN" run true
    echo attendee:4611:100 >"$ranges"
    SUDO_UID=4711 SUDO_GID=4712 run -0 "$BIN" run true
}

# --- 04-reexec -----------------------------------------------------------------

@test "reexec: the child runs /proc/self/exe init, which sets the host name and runs the command" {
    requires strace
    answer 04-reexec
    local host trace=$BATS_TEST_TMPDIR/trace
    host=$(uname -n)
    run -7 env PATH=/bin strace -f -qq -e trace=execve,sethostname -o "$trace" \
        "$BIN" run sh -c 'uname -n; exit 7' a '' 'b c'
    [ "$output" = container ]
    run -0 awk '{ $1 = ""; print }' "$trace"
    [[ ${lines[1]} == *'execve("/proc/self/exe", ["'"$BIN"'", "init", "'*'", "sh", "-c", "uname -n; exit 7", "a", "", "b c"],'* ]]
    [[ ${lines[2]} == *'sethostname("container", 9)'* ]]
    [[ ${lines[3]} == *'execve("/bin/sh", ["sh", "-c", "uname -n; exit 7", "a", "", "b c"],'* ]]
    # 人が打った init は断る。ホストの名前を変えてしまうから
    run -2 --separate-stderr "$BIN" init 5 uname -n
    [ "${stderr_lines[0]}" = "04-reexec: unknown command: init" ]
    "$BIN" init 1 true | cat
    [ "$(uname -n)" = "$host" ]
}

# --- 05-reaper -----------------------------------------------------------------

# 始めたコンテナの PID 1 (INIT) と、そのコマンドを待つ
start_reaper() {
    local name=$1
    env --default-signal "$BIN" run "$@" </dev/null 3>&- 4>&- >"$BATS_TEST_TMPDIR/out" &
    LAUNCHER=$!
    # PID 1 がコマンドになってしまえば、init はもう来ない
    retry 5 eval 'find_container || find_command "$name"'
    ! find_container || return 1
}

find_command() {
    INIT=$(pgrep -P "$LAUNCHER") && COMMAND=$(pgrep -P "$INIT" -x "$1")
}

@test "reaper: PID 1 is the small init, the command is PID 2 and its status is passed on" {
    answer 05-reaper
    run -7 "$BIN" run sh -c 'echo $$; cat /proc/1/comm; exit 7'
    [ "${lines[*]}" = "2 init" ]
    # PID 1 でないコマンドには、シグナルのデフォルトの動作が効く
    run -143 "$BIN" run sh -c 'kill -TERM $$; sleep 5'
    run -137 "$BIN" run sh -c 'kill -KILL $$; sleep 5'
    requires gcc
    ulimit -c 0
    gcc -static -o "$USER_HOME/abort" -x c - <<<'#include <stdlib.h>
        int main(void) { abort(); }'
    run -134 "$BIN" run "$USER_HOME/abort"
    run -127 --separate-stderr env PATH=/bin "$BIN" run no-such-command
    [ "${stderr_lines[0]}" = "05-reaper: exec no-such-command: No such file or directory" ]
}

@test "reaper: orphans of a command that never waits are reaped, no zombie stays" {
    answer 05-reaper
    env --default-signal "$BIN" run sh -c \
        'for i in 1 2 3; do (sleep 0.01 & echo $!); done; exec sleep 100' \
        </dev/null 3>&- 4>&- >"$BATS_TEST_TMPDIR/out" &
    LAUNCHER=$!
    retry 5 eval '[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 3 ]'
    INIT=$(pgrep -P "$LAUNCHER")
    retry 2 no_zombies
}

# PID 1 から見えるのは、自分とコマンドだけ
no_zombies() {
    COMMAND=$(pgrep -P "$INIT") && [ "$(wc -w <<<"$COMMAND")" = 1 ] &&
        ! pgrep -P "$COMMAND" && ! grep -q '^State:.Z' "/proc/$COMMAND/status"
}

@test "reaper: a signal for the launcher reaches the command, once" {
    answer 05-reaper
    local name
    for name in INT TERM HUP USR1; do
        start_reaper sh -c "n=0; trap 'n=\$((n + 1)); echo \$n' $name; echo ready
            while [ \$n -lt 2 ]; do sleep 0.02; done; exit 5"
        retry 5 grep -q ready "$BATS_TEST_TMPDIR/out"
        kill "-$name" "$LAUNCHER"
        retry 5 grep -qx 1 "$BATS_TEST_TMPDIR/out"
        # 2 度届いていれば、もう終わっている
        sleep 0.1
        kill "-$name" "$LAUNCHER"
        ends_with 5 "$LAUNCHER"
    done
    # ハンドラーがなければ、デフォルトの動作で終わる
    start_reaper sleep 100
    kill -TERM "$LAUNCHER"
    ends_with 143 "$LAUNCHER"
    # init は exec しないが、準備は終わっている
    start_reaper sleep 100
    kill -KILL "$INIT"
    ends_with 137 "$LAUNCHER"
}

# 端末の Ctrl-C と Ctrl-Z は、ランチャー、PID 1、コマンドの 3 つに届く
@test "reaper: Ctrl-C on a terminal reaches the command once; Ctrl-Z stops all, fg goes on" {
    answer 05-reaper
    requires script
    local keys=$BATS_TEST_TMPDIR/keys out=$BATS_TEST_TMPDIR/out shell
    mkfifo "$keys"
    : >"$out"
    cat >"$BATS_TEST_TMPDIR/job" <<END
set -m
'$BIN' run dash -c "trap 'echo got' INT; echo ready; sleep 100 & wait; sleep 0.2; exec sleep 100" >'$out'
read -r _
fg >/dev/null
echo "status \$?" >>'$out'
END
    env --default-signal script -qfec "exec bash '$BATS_TEST_TMPDIR/job'" /dev/null \
        <"$keys" >/dev/null 2>&1 3>&- 4>&- &
    PIDS+=($!)
    exec 8>"$keys"
    retry 5 grep -q ready "$out"
    shell=$(pgrep -P "${PIDS[0]}")
    LAUNCHER=$(pgrep -P "$shell")
    printf '\003' >&8
    retry 5 grep -q got "$out"
    retry 5 find_command sleep
    [ "$(cat "$out")" = $'ready\ngot' ]
    [ "$(cat "/proc/$INIT/comm")" = init ]
    printf '\032' >&8
    retry 5 grep -q '^State:.T' "/proc/$LAUNCHER/status"
    retry 5 grep -q '^State:.T' "/proc/$COMMAND/status"
    printf '\n' >&8
    retry 5 grep -q '^State:.S' "/proc/$COMMAND/status"
    retry 5 grep -q '^State:.S' "/proc/$INIT/status"
    kill -TERM "$LAUNCHER"
    retry 5 grep -qx 'status 143' "$out"
    LAUNCHER=
    exec 8>&-
}

# PID 1 が自分の PR_SET_PDEATHSIG を消すと、ランチャーを追って終わるものがなくなる。
# init がいれば、コマンドが消せるのは自分のものだけ
@test "reaper: PID 1 can clear its own death signal (OPEN in 05); the init goes with a killed launcher" {
    answer 05-reaper
    local answer=$BIN
    BIN=$(step 05)
    start_clearing
    retry 5 eval 'CONTAINER=$(pgrep -P "$LAUNCHER" -x sleep)'
    kill_launcher
    # 親が替わるときに送られるはずの SIGKILL が、来ていない
    run -0 grep -E '^(SigPnd|ShdPnd):.0+$' "/proc/$CONTAINER/status"
    [ "${#lines[@]}" = 2 ]
    kill -KILL "$CONTAINER"
    BIN=$answer
    start_clearing
    retry 5 find_command sleep
    kill_launcher
    promised 2 is_gone "$INIT"
    promised 2 is_gone "$COMMAND"
}

start_clearing() {
    env --default-signal "$BIN" run setpriv --pdeathsig clear sleep 100 </dev/null 3>&- 4>&- &
    LAUNCHER=$!
}

kill_launcher() {
    kill -KILL "$LAUNCHER"
    wait "$LAUNCHER" || true
    LAUNCHER=
}

# 守る行: prctl(PR_SET_DUMPABLE, 0)。sudo なら、id を変えたときにカーネルもそうする
@test "reaper: the init cannot be traced from inside, so nobody makes it clear its death signal" {
    answer 05-reaper
    compile trace <<'END'
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
int main(void)
{
    puts(ptrace(PTRACE_SEIZE, 1, 0, 0) == 0 ? "open" : strerror(errno));
}
END
    local trace
    trace=$(dirname "$BIN")/rootfs/fs/bin/trace
    run -0 inside "$trace; exit"
    [ "$output" = "Operation not permitted" ]
    SUDO_UID=4711 SUDO_GID=4712 run -0 inside "$trace; exit"
    [ "$output" = "Operation not permitted" ]
}

# --- 07-overlay ----------------------------------------------------------------

@test "overlay: what is changed inside is gone at exit, and rootfs is as before" {
    answer 07-overlay
    local fs before
    fs=$(dirname "$BIN")/rootfs/fs
    before=$(cd "$fs" && find . -printf '%P %m %u %s %T@\n' | sort)
    run -0 inside 'echo changed >>/demo/unchroot && rm -r /demo && echo hi >/note &&
        mkdir -p /new/dir && test ! -e /demo && cat /note'
    [ "$output" = hi ]
    [ "$(cd "$fs" && find . -printf '%P %m %u %s %T@\n' | sort)" = "$before" ]
    run -0 inside 'test -x /demo/unchroot && test ! -e /note && grep " / / " /proc/self/mountinfo'
    [[ $output == *" - overlay overlay "*userxattr* ]]
}

@test "overlay: two containers share one rootfs, and neither sees the other's changes" {
    answer 07-overlay
    start_container sh -c 'echo first >/note && while [ "$(cat /note)" = first ]; do sleep 0.02; done'
    retry 5 test -s "/proc/$CONTAINER/root/note"
    run -0 inside 'test ! -e /note && echo second >/note && cat /note'
    [ "$output" = second ]
    [ "$(cat "/proc/$CONTAINER/root/note")" = first ]
}

@test "overlay: --rootfs takes . too; / has other mounts on it, and is refused" {
    answer 07-overlay
    cd "$(dirname "$BIN")/rootfs/fs"
    run -0 "$BIN" run --rootfs . sh -c 'echo hi >/note && set -- /proc/[0-9]* && echo $#'
    [ "$output" = 1 ]
    [ ! -e note ]
    run -125 "$BIN" run --rootfs / true
    [[ ${lines[0]} == *": mount overlay: Invalid argument" ]]
}

# --- 07-volume -----------------------------------------------------------------

# ホストのディレクトリ。その下にもう 1 つのマウントがある
make_volume() {
    VOLUME=$USER_HOME/volume
    mkdir -p "$VOLUME/below"
    mount -t tmpfs tmpfs "$VOLUME/below"
    echo from-host >"$VOLUME/note"
    chmod 777 "$VOLUME" "$VOLUME/below"
}

@test "volume: a directory of the host is there, both sides write, and the files are the user's" {
    requires sudo
    answer 07-volume
    make_volume
    run -0 as_sudoer "$USER_BIN" run -v "$VOLUME:/mnt" sh -c 'cat /mnt/note && echo hi >/mnt/below/new && ls -ln /mnt/below'
    [ "${lines[0]}" = from-host ]
    [[ ${lines[2]} == *' 0 '*' 0 '*' new' ]]
    [ "$(cat "$VOLUME/below/new")" = hi ]
    [ "$(stat -c %U "$VOLUME/below/new")" = attendee ]
}

@test "volume: with :ro nothing can be written, not in a mount below it either" {
    answer 07-volume
    make_volume
    run -0 "$BIN" run -v "$VOLUME:/mnt:ro" sh -c 'cat /mnt/note && ! touch /mnt/x && ! touch /mnt/below/x &&
        ! mount -o remount,rw /mnt && ! umount /mnt/below'
    [ "${lines[0]}" = from-host ]
    [ ! -e "$VOLUME/below/x" ]
    touch "$VOLUME/below/x"
}

@test "volume: several, also a file; the host's mounts are as before" {
    answer 07-volume
    make_volume
    local before
    before=$(cat /proc/self/mountinfo)
    run -0 "$BIN" run -v "$VOLUME:/mnt" -v "$VOLUME/note:/etc/hosts:ro" -- cat /mnt/note /etc/hosts
    [ "$output" = $'from-host\nfrom-host' ]
    [ "$(cat /proc/self/mountinfo)" = "$before" ]
}

@test "volume: a target that is missing, a symlink, or the root itself is refused; .. stays inside" {
    answer 07-volume
    make_volume
    local fs error target
    fs=$(dirname "$BIN")/rootfs/fs
    ln -s "$VOLUME" "$fs/link"
    for error in 'openat2 /nowhere: No such file or directory' 'openat2 /link: Too many levels of symbolic links' \
        'move_mount /: Device or resource busy' 'move_mount /mnt/..: Device or resource busy' \
        'move_mount /etc/hosts: Invalid argument'; do
        target=${error#* }
        run -125 "$BIN" run -v "$VOLUME:${target%%: *}" true
        echo "${lines[0]}"
        [ "${lines[0]}" = "07-volume: $error" ]
    done
    rm "$fs/link"
    [ ! -e "$fs/nowhere" ]
    run -0 "$BIN" run -v "$VOLUME:/../../mnt" cat /mnt/note
    [ "$output" = from-host ]
}

@test "volume: a source that the invoking user cannot reach, or that is missing, is an error" {
    answer 07-volume
    make_volume
    run -125 "$BIN" run -v "$VOLUME/none:/mnt" true
    [ "${lines[0]}" = "07-volume: open_tree $VOLUME/none: No such file or directory" ]
    run -2 "$BIN" run -v "$VOLUME" true
    [ "${lines[0]}" = '07-volume: -v needs HOST:/CONTAINER[:ro]' ]
    run -2 "$BIN" run -v
    run -2 "$BIN" run -v "$VOLUME:/mnt:rw" true
    requires sudo
    mkdir -m 700 "$VOLUME/roots"
    run -125 as_sudoer "$USER_BIN" run -v "$VOLUME/roots/.:/mnt" true
    [[ $output == *"open_tree $VOLUME/roots/.: Permission denied"* ]]
}

# --- 07-terminal ---------------------------------------------------------------

# 本物の端末 (pty) の中で、bash のスクリプトを動かす。画面は SCREEN に、打つものは
# fd 8 に書く。$RUN が答えのプログラム。PID 名前空間が終わると、そのプロセスも消える
open_terminal() {
    requires script
    SCREEN=$BATS_TEST_TMPDIR/screen
    rm -f "$BATS_TEST_TMPDIR"/{keys,job,screen}
    : >"$SCREEN"
    mkfifo "$BATS_TEST_TMPDIR/keys"
    {
        printf 'RUN=%q\ncd %q\n' "$BIN" "$BATS_TEST_TMPDIR"
        echo 'stty rows 33 columns 99; stty -g >settings'
        echo "$1"
    } >"$BATS_TEST_TMPDIR/job"
    env --default-signal SHELL=/bin/sh script -qfec "exec bash '$BATS_TEST_TMPDIR/job'" "$SCREEN" \
        <"$BATS_TEST_TMPDIR/keys" >/dev/null 2>&1 3>&- 4>&- &
    PIDS+=($!)
    exec 8>"$BATS_TEST_TMPDIR/keys"
}

close_terminal() {
    exec 8>&-
    kill -TERM "${PIDS[-1]}" 2>/dev/null || true
    wait "${PIDS[-1]}" 2>/dev/null || true
}

# 画面に、この行が出るまで待つ
shows() {
    retry 5 has_line "$1" || {
        cat -v "$SCREEN"
        return 1
    }
}

has_line() {
    tr -d '\r' <"$SCREEN" | grep -qxF -- "$1"
}

type_keys() {
    # shellcheck disable=SC2059 # エスケープを使う
    printf "$1" >&8
}

# open_terminal のシェルの子が、ランチャー。その子が、コンテナと中継
find_launcher() {
    LAUNCHER=$(pgrep -P "$(pgrep -P "${PIDS[-1]}")" -x 07-terminal) &&
        CONTAINER=$(pgrep -P "$LAUNCHER" -x "$1")
}

@test "terminal: tty, size and controlling terminal are the container's own; no descriptor is the caller's" {
    answer 07-terminal
    open_terminal 'stty erase ^H; $RUN run sh -c "tty; stty size; stty -a | grep -ow \"erase = ..\"
        ls /dev/pts | xargs; readlink /proc/self/fd/2; echo to the terminal >/dev/tty; ps -o tty | tail -n 1; exit 7"; echo "status $?"'
    shows 'status 7'
    run -0 tr -d '\r' <"$SCREEN"
    [ "$(sed -n '/^.dev.pts.0$/,/^status/p' <<<"$output")" = "/dev/pts/0
33 99
erase = ^H
0 ptmx
/dev/pts/0
to the terminal
136,0
status 7" ]
}

# sh は、PID 1 でも自分の端末を管理できる
@test "terminal: Ctrl-C and Ctrl-Z go to what is in front inside, fg goes on, a new size arrives" {
    answer 07-terminal
    open_terminal '$RUN run sh; echo "status $?"'
    type_keys 'tty\n'
    shows /dev/pts/0
    retry 5 find_launcher sh
    type_keys 'sleep 100\n'
    retry 5 pgrep -P "$CONTAINER" -x sleep
    type_keys '\003echo interrupted $?\n'
    shows 'interrupted 130'
    type_keys 'sleep 101\n'
    retry 5 eval 'COMMAND=$(pgrep -P "$CONTAINER" -x sleep)'
    type_keys '\032'
    retry 5 grep -q '^State:.T' "/proc/$COMMAND/status"
    type_keys 'jobs | grep -c Stopped; fg\n'
    shows 1
    retry 5 grep -q '^State:.S' "/proc/$COMMAND/status"
    type_keys '\003stty size\n'
    shows '33 99'
    stty --file "/proc/$LAUNCHER/fd/1" rows 44 columns 111
    type_keys 'stty size\n'
    shows '44 111'
    # 前面のものは、大きさが変わったことを WINCH で知る
    type_keys 'sh -c "trap \\"stty size; exit\\" WINCH; echo waiting; while :; do sleep 0.02; done"\n'
    shows waiting
    stty --file "/proc/$LAUNCHER/fd/1" rows 45
    shows '45 111'
    type_keys 'exit 9\n'
    shows 'status 9'
}

@test "terminal: a megabyte of output, a paste into a busy program: not a byte is lost" {
    answer 07-terminal
    local fs
    fs=$(dirname "$BIN")/rootfs/fs
    rm -f "$fs/tmp/go"
    head -c 786432 /dev/urandom | base64 >"$fs/tmp/output"
    head -c 230000 /dev/urandom | base64 >"$BATS_TEST_TMPDIR/paste"
    # 打たれたものを読むのは、すべて書いたあと
    open_terminal '$RUN run sh -c "tty; stty -echo; echo ready; until [ -e /tmp/go ]; do :; done
        cat /tmp/output; echo end; cat >/tmp/pasted; exit 3"; echo "status $?"'
    shows /dev/pts/0
    shows ready
    cat "$BATS_TEST_TMPDIR/paste" >&8 &
    PIDS=($! "${PIDS[@]}")
    touch "$fs/tmp/go"
    shows end
    retry 5 is_gone "${PIDS[0]}"
    type_keys '\004'
    shows 'status 3'
    tr -d '\r' <"$SCREEN" | sed '1,/^ready$/d; /^end$/,$d' | cmp - "$fs/tmp/output"
    cmp "$BATS_TEST_TMPDIR/paste" "$fs/tmp/pasted"
}

# 守る行: waitpid(relay_pid, NULL, 0) と、コンテナが終わっても出力を届けること
@test "terminal: a launcher ends only when all that the container wrote is on the screen" {
    answer 07-terminal
    local relay fs
    fs=$(dirname "$BIN")/rootfs/fs
    rm -f "$fs/tmp/go"
    open_terminal '$RUN run sh -c "tty; until [ -e /tmp/go ]; do :; done; seq 1500"; echo "status $?"'
    shows /dev/pts/0
    retry 5 find_launcher sh
    relay=$(pgrep -P "$LAUNCHER" -x 07-terminal)
    kill -STOP "$relay"
    touch "$fs/tmp/go"
    retry 5 is_gone "$CONTAINER"
    retry 5 grep -q "^[0-9]* $(printf '0x%x' "$relay") " "/proc/$LAUNCHER/syscall"
    kill -CONT "$relay"
    shows 'status 0'
    tr -d '\r' <"$SCREEN" | sed '1,/pts/d; /^status/,$d' | cmp - <(seq 1500)
}

@test "terminal: however it ends, the caller's settings are as before" {
    answer 07-terminal
    local name
    # SIGKILL のあとだけは、中継が少し遅れて戻す
    local script='status=$?; until cmp settings <(stty -g) || [ $status != 137 ]; do :; done
        cmp settings <(stty -g) && echo "status $status"'
    for name in TERM INT KILL HUP; do
        open_terminal "\$RUN run sh -c 'tty; stty raw -echo; exec sleep 100'; $script"
        shows /dev/pts/0
        retry 5 find_launcher sleep
        retry 5 eval '[ "$(stty --file "/proc/$LAUNCHER/fd/1" -g)" != "$(cat "$BATS_TEST_TMPDIR/settings")" ]'
        kill -$name "$LAUNCHER"
        shows "status $((128 + $(kill -l $name)))"
        retry 2 is_gone "$CONTAINER"
        LAUNCHER=
        close_terminal
    done
    open_terminal "\$RUN run sh -c 'tty; kill -KILL \$\$; exec no-such-command'; $script"
    shows /dev/pts/0
    shows 'status 127'
    close_terminal
    open_terminal "\$RUN run no-such-command; $script"
    shows '07-terminal: exec no-such-command: No such file or directory'
    shows 'status 127'
}

@test "terminal: what is redirected stays as it is, and /dev/tty is never the caller's" {
    answer 07-terminal
    local look='for fd in 0 1 2; do [ ! -t $fd ] || readlink /proc/self/fd/$fd; done >&2
        echo out; { echo in >/dev/tty; } 2>/dev/null || echo none'
    open_terminal "echo typed | \$RUN run cat; \$RUN run sh -c 'cat; $look' </dev/null >out
        \$RUN run sh -c '$look' </dev/null >out2 2>err2; echo \"status \$?\""
    shows 'status 0'
    run -0 cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/out2"
    [ "$output" = $'out\nout\nnone' ]
    [ ! -s "$BATS_TEST_TMPDIR/err2" ]
    run -0 tr -d '\r' <"$SCREEN"
    grep -qx typed <<<"$output"
    grep -qx /dev/pts/0 <<<"$output"
    [ "$(grep -cx in <<<"$output")" = 1 ]
}

@test "terminal: started behind, it waits to be in front; stopped, it leaves the terminal alone" {
    answer 07-terminal
    open_terminal 'set -m; $RUN run sh -c "tty; stty size; read -r line; echo got \$line; exit 6" &
        until jobs | grep -i stopped; do :; done; stty -g | cmp - settings && echo same
        read -r line; fg; echo "status $?"; read -r line; echo $line; fg; echo "status $?"'
    shows same
    run ! grep /dev/pts "$SCREEN"
    type_keys '\n'
    shows /dev/pts/0
    retry 5 find_launcher sh
    kill -TSTP "$LAUNCHER"
    shows 'status 148'
    type_keys 'for the shell\n'
    shows 'for the shell'
    retry 5 eval '! grep -q "^State:.T" "/proc/$LAUNCHER/status"'
    type_keys 'for the container\n'
    shows 'got for the container'
    shows 'status 6'
}

# 守る行: in_front() を調べる 2 か所と、in = -1 (消すと、待たずに回り続ける)
@test "terminal: behind, it neither takes what is typed nor changes the caller's settings, and does not spin" {
    answer 07-terminal
    local relay dir=$BATS_TEST_TMPDIR
    open_terminal 'set -m; $RUN run sh -c "tty; exec sleep 100"; echo "status $?"
        stty "$(cat settings)"; stty -echo; stty -g >now; until [ -e one ]; do :; done
        bg; echo behind; until [ -e two ]; do :; done; cmp now <(stty -g) && echo same
        wait %1; echo "status $?"; cmp now <(stty -g) && read -r line && echo "same, $line"'
    shows /dev/pts/0
    retry 5 find_launcher sleep
    relay=$(pgrep -P "$LAUNCHER" -x 07-terminal)
    retry 5 is_asleep "$relay"
    kill -TSTP "$LAUNCHER"
    shows 'status 148'
    retry 5 test -s "$dir/now"
    type_keys 'typed\n'
    retry 5 is_asleep "$relay"
    touch "$dir/one"
    shows behind
    retry 5 is_asleep "$relay"
    touch "$dir/two"
    shows same
    kill -KILL "$CONTAINER"
    shows 'status 137'
    shows 'same, typed'
}

# 待っていて、届いたシグナルも残っていない
is_asleep() {
    [ "$(grep -cE '^(State:.S|SigPnd:.0+$|ShdPnd:.0+$)' "/proc/$1/status")" = 3 ]
}

# 守る行: 中継の ioctl(master, TIOCGPTPEER, ...) (消すと、待たずに回り続ける)
@test "terminal: a program that closes its terminal can open it again" {
    answer 07-terminal
    local fs
    fs=$(dirname "$BIN")/rootfs/fs
    rm -f "$fs/tmp/open" "$fs/tmp/closed"
    open_terminal '$RUN run sh -c "tty; exec <&- >&- 2>&-; touch /tmp/closed
        until [ -e /tmp/open ]; do :; done; exec </dev/tty >/dev/tty; echo back; read -r line; echo got \$line"
        echo "status $?"'
    shows /dev/pts/0
    retry 5 test -e "$fs/tmp/closed"
    LAUNCHER=$(pgrep -ox 07-terminal)
    retry 5 is_asleep "$(pgrep -P "$LAUNCHER" -x 07-terminal)"
    touch "$fs/tmp/open"
    shows back
    type_keys 'typed\n'
    shows 'got typed'
    shows 'status 0'
}

# 守る行: 中継の close(pipes->report[0]) (消すと、ランチャーがまだいるように見える)
@test "terminal: a launcher killed while the child changes its id leaves neither container nor relay" {
    requires strace
    answer 07-terminal
    local fs
    fs=$(dirname "$BIN")/rootfs/fs
    rm -f "$fs/tmp/ran"
    open_terminal 'SUDO_UID=4711 SUDO_GID=4712 strace -f -qq -o /dev/null -e trace=setresuid -e inject=setresuid:delay_exit=1000000 \
        $RUN run sh -c "touch /tmp/ran; sleep 107"'
    # ランチャー、コンテナ、中継
    retry 5 eval '[ "$(pgrep -cx 07-terminal)" = 3 ] && CONTAINER=$(pgrep -P "$(pgrep -ox 07-terminal)" -o) &&
        grep -q "^Uid:.4711" "/proc/$CONTAINER/status"'
    kill -KILL "$(pgrep -ox 07-terminal)"
    retry 5 eval '! pgrep -x "07-terminal|sleep"'
    [ ! -e "$fs/tmp/ran" ]
}

# 端末のウィンドウを閉じたとき
@test "terminal: when the caller's terminal is closed, nothing stays" {
    answer 07-terminal
    open_terminal '$RUN run sh -c "tty; exec sleep 100"'
    shows /dev/pts/0
    retry 5 find_launcher sleep
    kill -KILL "${PIDS[-1]}"
    retry 5 is_gone "$LAUNCHER"
    LAUNCHER=
    retry 5 is_gone "$CONTAINER"
    retry 5 eval '! pgrep -x 07-terminal'
}

# --- 08-seccomp ----------------------------------------------------------------

@test "seccomp: a filter is in force, also after --cap-add: mount, unshare, setns get EPERM" {
    answer 08-seccomp
    run -0 inside 'grep Seccomp: /proc/self/status | xargs; ls / >/dev/null; echo $?'
    [ "${lines[*]}" = "Seccomp: 2 0" ]
    run ! "$BIN" run --cap-add SYS_ADMIN mount -t tmpfs tmpfs /mnt
    [[ $output == *"permission denied"* ]]
    run ! "$BIN" run --cap-add SYS_ADMIN unshare -u true
    [[ $output == *"Operation not permitted"* ]]
    run ! "$BIN" run unshare -U true
    [[ $output == *"Operation not permitted"* ]]
}

# Docker のデフォルトのフィルターが、ケーパビリティなしでは許さないものと、ptrace の仲間
DENIED='acct add_key bpf chroot clock_settime delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick get_mempolicy init_module io_uring_enter
    io_uring_register io_uring_setup kcmp kexec_file_load kexec_load keyctl
    lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages
    nfsservctl open_by_handle_at open_tree perf_event_open personality pidfd_getfd
    pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl
    quotactl_fd reboot request_key set_mempolicy setdomainname sethostname setns
    settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup'

@test "seccomp: every system call of the table gets EPERM, with SYS_ADMIN as well" {
    answer 08-seccomp
    [ "$(uname -m)" != x86_64 ] || DENIED+=' ioperm iopl sysfs uselib ustat'
    # 表に足したものは、ここにも足す
    local name table
    table=$(sed -n '/^static const unsigned denied/,/};/p' "$TOP"/steps/08-*/solutions/seccomp.c |
        grep -o 'SYS_[a-z0-9_]*')
    for name in ${table//SYS_/}; do
        grep -qw "$name" <<<"$DENIED" || grep -qw "$name" <<<"ioperm iopl sysfs uselib ustat"
    done
    {
        printf '#include <errno.h>\n#include <stdio.h>\n#include <sys/syscall.h>\n'
        printf '#include <unistd.h>\nint main(void)\n{\n'
        for name in $DENIED; do
            printf 'errno = 0; syscall(SYS_%s, -1, -1, -1, -1, -1, -1);\n' "$name"
            printf 'printf("%s %%d\\n", errno);\n' "$name"
        done
        echo 'return 0; }'
    } | compile denied -D_GNU_SOURCE
    run -0 "$BIN" run --cap-add SYS_ADMIN denied
    [ "${#lines[@]}" = "$(wc -w <<<"$DENIED")" ]
    run ! grep -v ' 1$' <<<"$output"
}

@test "seccomp: what the table does not know yet gets ENOSYS, clone3 too; threads still work" {
    answer 08-seccomp
    compile calls <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *thread(void *nothing) { puts("thread"); return nothing; }
static void say(const char *name, long result)
{
    printf("%s %d\n", name, result == -1 ? errno : 0);
}
int main(void)
{
    struct { unsigned long long set, clear, propagation, userns; } writable = {.clear = 1};
    pthread_t id;
    /* open_tree_attr。Linux 6.15 から */
    say("open_tree_attr", syscall(467, AT_FDCWD, "/proc/sys", 0, &writable, sizeof(writable)));
    for (int number = 451; number < 520; number++)
        if (syscall(number, -1, -1, -1, -1, -1, -1) != -1 || errno != ENOSYS)
            printf("%d is there\n", number);
    say("clone3", syscall(SYS_clone3, NULL, 0));
    say("clone", syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0));
    say("alg", socket(38, SOCK_SEQPACKET, 0));
    say("vsock", socket(40, SOCK_STREAM, 0));
    say("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    fflush(stdout);
    return pthread_create(&id, NULL, thread, NULL) || pthread_join(id, NULL);
}
END
    # EPERM は 1、ENOSYS は 38
    run -0 "$BIN" run --cap-add SYS_ADMIN calls
    [ "${lines[*]}" = "open_tree_attr 38 clone3 38 clone 1 alg 1 vsock 1 unix 0 thread" ]
}

@test "seccomp: everyday work goes on: files, pipes, archives, sockets, signals, jobs" {
    answer 08-seccomp
    run -0 --separate-stderr "$BIN" run sh -c 'set -e
        mkdir -p /tmp/work/a; cd /tmp/work; echo text >a/b; ln -s b a/c; chmod 600 a/b
        touch -d 2001-01-01 a/b; cp -a a d; mv d e; mkfifo f; tar -c a e | tar -t | wc -l
        (echo fifo >f &) && cat f; dd if=/dev/zero bs=1k count=3 2>/dev/null | wc -c
        ps >/dev/null; df >/dev/null; id -u; date >/dev/null; find a -type f -exec cat {} +
        trap "echo trapped" USR1; kill -USR1 $$; sleep 100 & kill $!; wait $! || echo $?
        ip link >/dev/null; cd /; rm -r /tmp/work; grep Seccomp: /proc/self/status'
    [ "$(xargs <<<"$output")" = "6 fifo 3072 0 text trapped 143 Seccomp: 2" ]
}

@test "seccomp: a system call by an i386 or x32 number ends the process: 159" {
    [ "$(uname -m)" = x86_64 ] || skip "needs x86_64"
    answer 08-seccomp
    compile foreign <<'END'
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    long result = 20; /* i386 の getpid */
    if (argc > 1)
        result = syscall(0x40000000 | SYS_getpid);
    else
        __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    return argc > 1 ? 3 : result > 0 ? 0 : 4;
}
END
    ulimit -c 0
    # PID 1 にはシグナルのデフォルトの動作がないが、これは別。seccomp(2)
    run -159 "$BIN" run foreign x32
    run -159 "$BIN" run sh -c 'foreign x32; exit $?'
    # i386 を動かせないカーネルもある
    ! "$(dirname "$BIN")/rootfs/fs/bin/foreign" || run -159 "$BIN" run foreign
}

@test "seccomp: typing into the caller's terminal is refused, other ioctls are not" {
    answer 08-seccomp
    requires script
    compile type_ahead <<'END'
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <sys/ioctl.h>
int main(void)
{
    struct winsize size;
    errno = 0;
    ioctl(0, TIOCSTI, "x");
    printf("TIOCSTI: %s\n", strerror(errno));
    errno = 0;
    ioctl(0, TIOCLINUX, "\3"); /* 選んだ文字を貼り付ける */
    printf("TIOCLINUX: %s\n", strerror(errno));
    return ioctl(0, TIOCGWINSZ, &size);
}
END
    run -0 script -qec "'$BIN' run type_ahead" /dev/null
    [[ $output == *"TIOCSTI: Operation not permitted"* ]]
    [[ $output == *"TIOCLINUX: Operation not permitted"* ]]
}

# --- 09-exec -------------------------------------------------------------------

# コンテナ内の、名前空間の番号、特権、開いている fd。パイプでつなぐと、シェルが
# それを開いていることがある
LOOK='uname -n; id -u; cat /proc/1/comm; cd /proc/self/ns && for name in *; do
        [ "$(readlink $name)" = "$(readlink /proc/1/ns/$name)" ] || echo "another $name"; done
    grep -E "^(Cap|NoNewPrivs|Groups|Seccomp:)" /proc/self/status | xargs
    grep -E "^(Cap|NoNewPrivs|Groups|Seccomp:)" /proc/1/status | xargs
    cd /proc/$$/fd && echo *'

@test "exec: the command is in all of the container's namespaces, with its capabilities" {
    requires cgroup net
    answer 09-exec
    start_container sleep 100
    run -7 --separate-stderr "$BIN" exec "$CONTAINER" sh -c "$LOOK; exit 7"
    [ "$stderr" = "" ]
    [ "${lines[0]}" = container ]
    [ "${lines[1]}" = 0 ]
    [ "${lines[2]}" = sleep ]
    [[ ${lines[3]} == Groups:*"NoNewPrivs: 1"* ]]
    [ "${lines[3]}" = "${lines[4]}" ]
    # 0, 1, 2 と、* を広げるために開いたもの
    [ "${lines[5]}" = "0 1 2" ] || [ "${lines[5]}" = "0 1 2 3" ]
    # もとのプログラムで始めたコンテナにも入れる。制限も同じ
    run -0 "$BIN" exec "$CONTAINER" sh -c 'ip -o addr show veth-child; hostname'
    [[ $output == *"10.0.0.2/24"* ]]
}

@test "exec: the container's limits hold for the command as well" {
    requires cgroup net
    answer 09-exec
    start_container --pids 10 --no-veth sleep 100
    # リアルタイムのままでは、CPU の制限が効かない
    chrt --deadline --sched-runtime 1000000 --sched-period 10000000 0 \
        "$BIN" exec "$CONTAINER" sleep 100 </dev/null 3>&- 4>&- &
    PIDS+=($!)
    retry 5 eval 'is_gone "${PIDS[0]}" || ENTERED=$(pgrep -P "${PIDS[0]}" -x sleep)'
    [[ $(chrt --pid "$ENTERED") == *SCHED_OTHER* ]]
    diff "/proc/$CONTAINER/cgroup" "/proc/$ENTERED/cgroup"
    grep -q container-steps "/proc/$ENTERED/cgroup"
    run -0 "$BIN" exec "$CONTAINER" sh -c \
        '(i=0; while [ $i -lt 20 ]; do sleep 0.2 & i=$((i + 1)); done) 2>&1; true'
    [[ $output == *"can't fork"* ]]
}

@test "exec: of the caller's environment only TERM goes in, and no real-time priority" {
    requires cgroup net
    answer 09-exec
    start_container --no-veth sleep 100
    # 別の PID 名前空間に子を作ると、LeakSanitizer は終われない
    run -0 env -i PATH="$PATH" TERM=vt100 SECRET=secret \
        ${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} "$BIN" exec "$CONTAINER" env
    [ "$(grep -v ^_= <<<"$output" | sort)" = "HOME=/root
HOSTNAME=container
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
TERM=vt100" ]
    # 41 番目が、スケジューリングの方針。proc_pid_stat(5)
    local shown='cut -d " " -f 41 /proc/self/stat; grep "realtime priority" /proc/self/limits | xargs'
    # どちらも、できないマシンがある (CONFIG_RT_GROUP_SCHED、CAP_SYS_RESOURCE)
    local caller=()
    ! prlimit --rtprio=5 true || caller+=(prlimit --rtprio=5)
    ! chrt --rr 5 true || caller+=(chrt --rr 5)
    run -0 "${caller[@]}" "$BIN" exec "$CONTAINER" sh -c "$shown"
    [ "${lines[*]}" = "0 Max realtime priority 0 0" ]
}

@test "exec: status, signals and errors are as with run; it dies with the container" {
    requires cgroup net
    answer 09-exec
    start_container --no-veth sleep 100
    run -127 --separate-stderr "$BIN" exec "$CONTAINER" no-such-command
    [ "${stderr_lines[0]}" = "09-exec: exec no-such-command: No such file or directory" ]
    # 環境変数も、コンテナのもの。コマンドは、その PATH から探す
    run -0 env PATH=/nowhere HOME=/no/home SECRET=secret TERM=vt100 "$BIN" exec "$CONTAINER" env
    [ "${lines[*]}" = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root HOSTNAME=container TERM=vt100" ]
    env --default-signal "$BIN" exec "$CONTAINER" sleep 100 </dev/null 3>&- 4>&- &
    PIDS=($!)
    retry 5 eval 'pgrep -P "${PIDS[0]}" -x sleep'
    kill -INT "${PIDS[0]}"
    ends_with 130 "${PIDS[0]}"
    "$BIN" exec "$CONTAINER" sleep 100 </dev/null 3>&- 4>&- &
    PIDS=($!)
    retry 5 eval 'pgrep -P "${PIDS[0]}" -x sleep'
    stop_container
    ends_with 137 "${PIDS[0]}"
    # コンテナでないもの、もういないもの
    run -125 --separate-stderr "$BIN" exec $$ true
    [ "${stderr_lines[0]}" = "09-exec: exec: not a container" ]
    run -125 --separate-stderr "$BIN" exec "$CONTAINER" true
    [ "${stderr_lines[0]}" = "09-exec: pidfd_open $CONTAINER: No such process" ]
    run -125 --separate-stderr as_user "$USER_BIN" exec $$ true
    [ "${stderr_lines[0]}" = "09-exec: exec: must be root" ]
}

# exec する前のプロセスは、もうコンテナ内にいるのに、ホストの fd を持つ
# 守る行: prctl(PR_SET_DUMPABLE, 0) (消すと、fd が見える)
@test "exec: the process on its way in cannot be looked into from inside" {
    requires cgroup net strace
    answer 09-exec
    start_container --no-veth sleep 100
    strace -f -qq -o /dev/null -e trace=capset -e inject=capset:delay_exit=1000000 \
        "$BIN" exec "$CONTAINER" sleep 101 </dev/null 3>&- 4>&- &
    PIDS+=($!)
    # 特権を落とし終えたところで止まっている、自分の子でないプロセス
    local look='for dir in /proc/[0-9]*; do
        grep -qx 09-exec $dir/comm 2>/dev/null || continue
        grep -q "^CapEff:.*20000420" $dir/status || continue
        readlink $dir/fd/0 >/dev/null && echo open || echo closed; done'
    retry 10 looked "$look"
    echo "$output"
    [ "$output" = closed ]
}

looked() {
    run -0 "$BIN" exec "$CONTAINER" sh -c "$1"
    [ -n "$output" ]
}

# CVE-2019-5736。コマンドが "#!/proc/self/exe" のスクリプトなら、
# コンテナ内で動くのはホストのプログラム。PID 1 は、それを開いておき、終わってから書く
# 守る行: run_from_sealed_copy(argv)
# bats test_tags=san:no
@test "exec: a container cannot overwrite the host's program through /proc/PID/exe" {
    requires cgroup net gcc
    answer 09-exec
    local before fs=$BATS_TEST_TMPDIR/fs library
    before=$(sha256sum <"$BIN")
    cp -a "$(dirname "$BIN")/rootfs/fs" "$fs"
    for library in $(ldd "$BIN" | grep -o '/[^ :]*\.so[^ :]*'); do
        mkdir -p "$fs$(dirname "$library")"
        cp -L "$library" "$fs$library"
    done
    printf '#!/proc/self/exe\n' >"$fs/tool"
    chmod 755 "$fs/tool"
    # 中で動いたら、開かれるまで待つ。ホストの側では何もしない
    cc -shared -fPIC -o "$fs/wait.so" -x c - <<'END'
#include <unistd.h>
__attribute__((constructor)) static void wait_until_opened(void)
{
    if (access("/tool", X_OK) == 0)
        while (access("/opened", F_OK) == -1)
            usleep(1000);
}
END
    echo /wait.so >"$fs/etc/ld.so.preload"
    # 同じファイルで始めたコンテナは、そのランチャーが ETXTBSY にしてしまう
    BIN=$(step 09) start_container --no-veth --rootfs "$fs" sh -c '
        until [ -n "$found" ]; do
            for dir in /proc/[0-9]*; do
                case $(readlink $dir/exe) in *09-exec*) found=$dir ;; esac
            done
        done
        exec 9<$found/exe && >/opened
        until [ -e /ended ]; do sleep 0.01; done
        dd if=/proc/self/fd/9 bs=1 skip=1 count=3 of=/magic 2>/dev/null
        echo overwritten >>/proc/self/fd/9
        echo $? >/result; sleep 100'
    run -2 within 5 "$BIN" exec "$CONTAINER" /tool
    : >"$fs/ended"
    retry 5 test -s "$fs/result"
    # 開いていたのは、確かにプログラムだった
    [ "$(cat "$fs/magic")" = ELF ]
    [ "$(cat "$fs/result")" = 1 ]
    [ "$(sha256sum <"$BIN")" = "$before" ]
}

# vm.memfd_noexec は、PID 名前空間ごとの設定
@test "exec: works where memfds are not executable unless asked for (vm.memfd_noexec=1)" {
    [ -e /proc/sys/vm/memfd_noexec ] || skip "needs Linux 6.3"
    requires cgroup net
    answer 09-exec
    run -7 --separate-stderr within 10 unshare --fork --pid --mount-proc --kill-child bash -c '
        echo 1 >/proc/sys/vm/memfd_noexec
        "$1" run --no-veth sleep 100 </dev/null 3>&- 4>&- &
        until pid=$(pgrep -P $! -x sleep); do sleep 0.01; done
        "$2" exec "$pid" sh -c "uname -n; exit 7" </dev/null
        status=$?
        kill $!
        wait
        exit $status' bash "$(step 09)" "$BIN"
    [ "$output" = container ]
}

# --- 09 bridge.sh --------------------------------------------------------------

# ブリッジにつなぐ名前空間と、その先の「外」。外は、10.64.0.0/24 への経路を知らない
start_networks() {
    local name
    for name in FIRST SECOND OUTSIDE; do
        unshare --net sleep 1000 3>&- 4>&- &
        PIDS+=($!)
        declare -g "$name=$!"
        retry 5 eval '! [ /proc/$!/ns/net -ef /proc/self/ns/net ]'
    done
    ip link add uplink type veth peer name eth0 netns "$OUTSIDE"
    # IPv6 のアドレスは、しばらくしてから付く。前後を比べるので、使わない
    echo 1 >/proc/sys/net/ipv6/conf/uplink/disable_ipv6
    ip addr add 192.0.2.10/24 dev uplink
    ip link set uplink up
    inside_of "$OUTSIDE" ip addr add 192.0.2.1/24 dev eth0
    inside_of "$OUTSIDE" ip link set eth0 up
    retry 5 eval 'ip -br link show uplink | grep -q " UP "'
}

inside_of() {
    nsenter --target "$1" --net "${@:2}"
}

# FROM から TO のアドレスに、TCP で 1 行届くか。届いた相手のアドレスも調べる
reaches() {
    local from=$1 to=$2 address=$3 got=$BATS_TEST_TMPDIR/got
    : >"$got"
    inside_of "$to" nc -nvl -p 8080 </dev/null >"$got" 2>&1 3>&- 4>&- &
    local server=$!
    retry 5 eval '[ -n "$(inside_of "$to" ss -Hltn "sport = 8080")" ]'
    inside_of "$from" sh -c "echo hello | nc -N -w 2 $address 8080" || true
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    grep -qx hello "$got"
}

host_network() {
    ip -o link
    ip -o addr
    ip route show table all
    nft list ruleset
    cat /proc/sys/net/ipv4/ip_forward
}

@test "bridge: two containers reach each other, and the outside through NAT; then the host is as before" {
    requires net nc nft
    start_networks
    local before
    before=$(host_network)
    run -0 "$BRIDGE" up "$FIRST" "$SECOND"
    [ "${lines[0]}" = "br-steps 10.64.0.1/24" ]
    [ "${lines[1]}" = "$FIRST 10.64.0.2/24 br-steps1" ]
    [ "${lines[2]}" = "$SECOND 10.64.0.3/24 br-steps2" ]
    reaches "$FIRST" "$SECOND" 10.64.0.3
    reaches "$SECOND" "$FIRST" 10.64.0.2
    reaches "$FIRST" "$OUTSIDE" 192.0.2.1
    grep -qE '(on|from) .*192\.0\.2\.10\b' "$BATS_TEST_TMPDIR/got"
    run -0 "$BRIDGE" down
    [ "$(host_network)" = "$before" ]
    run ! inside_of "$FIRST" ip link show eth0
}

@test "bridge: what cannot be joined is refused before anything is made; others' things stay" {
    requires net nft
    start_networks
    local before
    before=$(host_network)
    run -1 --separate-stderr "$BRIDGE" up "$FIRST" $$
    [ "${stderr_lines[0]}" = "bridge.sh: process $$ is in the host's network" ]
    run -1 --separate-stderr "$BRIDGE" up 0
    [ "${stderr_lines[0]}" = "bridge.sh: no such process: '0'" ]
    [ "$(host_network)" = "$before" ]
    ip route add 10.64.0.0/30 dev uplink
    run -1 --separate-stderr "$BRIDGE" up "$FIRST"
    [ "${stderr_lines[0]}" = "bridge.sh: 10.64.0.0/24 is already in use" ]
    ip route delete 10.64.0.0/30
    # デフォルトの経路で届く相手と、話している
    ip route add default via 192.0.2.1
    exec {peer}<>/dev/udp/10.64.0.7/7
    run -1 --separate-stderr "$BRIDGE" up "$FIRST"
    [ "${stderr_lines[0]}" = "bridge.sh: 10.64.0.0/24 is already in use" ]
    exec {peer}>&-
    ip link add br-steps type bridge
    run -1 --separate-stderr "$BRIDGE" up "$FIRST"
    [ "${stderr_lines[0]}" = "bridge.sh: br-steps is already there" ]
    run -1 --separate-stderr "$BRIDGE" down
    [ "${stderr_lines[0]}" = "bridge.sh: no br-steps that was made here" ]
    ip link show br-steps
}

@test "bridge: when it fails halfway, nothing is left" {
    requires net nft
    start_networks
    local before
    before=$(host_network)
    # 作れるのに、表だけが断られる
    printf '#!/bin/sh\n[ "$1" != -f ]\n' >"$BATS_TEST_TMPDIR/nft"
    chmod +x "$BATS_TEST_TMPDIR/nft"
    PATH=$BATS_TEST_TMPDIR:$PATH run -1 "$BRIDGE" up "$FIRST" "$SECOND"
    [ "${#lines[@]}" = 3 ]
    [ "$(host_network)" = "$before" ]
}

# 守る行: add_bridge() の disable_ipv6。ping の返事が来れば、その前の広告も届いている
@test "bridge: a router advertisement from inside gives the host no route and no address" {
    requires net nft gcc
    cc -o "$BATS_TEST_TMPDIR/advertise" "$TOP/tests/escape/advertise.c"
    start_networks
    run -0 "$BRIDGE" up "$FIRST"
    inside_of "$FIRST" "$BATS_TEST_TMPDIR/advertise" eth0
    inside_of "$FIRST" busybox ping -c 1 -W 2 10.64.0.1
    ip -6 addr >"$BATS_TEST_TMPDIR/learned"
    ip -6 route >>"$BATS_TEST_TMPDIR/learned"
    run ! grep -e 2001:db8:bad -e fe80::bad "$BATS_TEST_TMPDIR/learned"
    run -0 "$BRIDGE" down
}

# Docker のあるホストのように、転送を捨てる規則を作る。名前空間の中だけのもの
drop_forwarding() {
    nft -f - <<'END'
table ip filter {
    chain DOCKER-USER {
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
    }
}
table inet others {
    chain passing {
        type filter hook forward priority filter + 10; policy drop;
    }
}
END
}

@test "bridge: on a host that drops what is forwarded, it says so, and what it tells to type helps" {
    requires net nc nft
    start_networks
    drop_forwarding
    local before
    before=$(nft list ruleset)
    run -0 --separate-stderr "$BRIDGE" up "$FIRST" "$SECOND"
    # 1 つの表に、理由と、両方の向きの規則
    [ "${#stderr_lines[@]}" = 8 ]
    [ "${stderr_lines[0]}" = "bridge.sh: packets are dropped: policy of ip filter FORWARD (Docker?)" ]
    [[ ${stderr_lines[1]} == "  ヒント: 転送を捨てる規則"*ホストの外* ]]
    [[ ${stderr_lines[2]} == "  ヒント: sudo "*" DOCKER-USER "* ]]
    [ "${stderr_lines[6]}" = "  ヒント: sudo nft insert rule inet others passing iifname br-steps accept" ]
    # br_netfilter があれば、コンテナどうしも同じ
    [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" != 1 ] ||
        [[ ${stderr_lines[1]} == *ほかのコンテナ* ]]
    run ! reaches "$FIRST" "$OUTSIDE" 192.0.2.1
    eval "$(sed -n 's/^  ヒント: sudo //p' <<<"$stderr")"
    reaches "$FIRST" "$OUTSIDE" 192.0.2.1
    reaches "$FIRST" "$SECOND" 10.64.0.3
    run -0 "$BRIDGE" down
    # もう通るなら、何も言わない
    run -0 --separate-stderr "$BRIDGE" up "$FIRST"
    [ "$stderr" = "" ]
    run -0 "$BRIDGE" down
    nft flush chain ip filter DOCKER-USER
    nft flush chain inet others passing
    [ "$(nft list ruleset)" = "$before" ]
}

# --- 09 publish.sh -------------------------------------------------------------

# 表ができるまで待つ: publish PID HOSTPORT:PORT...
publish() {
    env --default-signal "$PUBLISH" "$@" </dev/null >"$BATS_TEST_TMPDIR/published" 2>&1 3>&- 4>&- &
    PUBLISHER=$!
    PIDS+=("$PUBLISHER")
    retry 2 grep -q ' -> ' "$BATS_TEST_TMPDIR/published"
}

# TO が 80 で待ち受け、FROM から ADDRESS の 8080 に送った 1 行が届くか
reaches_published() {
    local from=$1 to=$2 address=$3 got=$BATS_TEST_TMPDIR/got server
    : >"$got"
    inside_of "$to" nc -nl -p 80 </dev/null >"$got" 2>&1 3>&- 4>&- &
    server=$!
    retry 5 eval '[ -n "$(inside_of "$to" ss -Hltn "sport = 80")" ]'
    inside_of "$from" sh -c "echo hello | nc -N -w 2 $address 8080" || true
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    grep -qx hello "$got"
}

@test "publish: the port is reached from 127.0.0.1, from the host and from outside; Ctrl-C leaves nothing" {
    requires net nc nft
    PUBLISH=${BRIDGE/bridge.sh/publish.sh}
    start_networks
    run -0 "$BRIDGE" up "$FIRST"
    local before
    before=$(nft list ruleset)
    publish "$FIRST" 8080:80
    reaches_published $$ "$FIRST" 127.0.0.1
    reaches_published $$ "$FIRST" 192.0.2.10
    reaches_published "$OUTSIDE" "$FIRST" 192.0.2.10
    run -1 --separate-stderr timeout 5 "$PUBLISH" "$FIRST" 8080:81
    [ "${stderr_lines[0]}" = "publish.sh: port 8080 is already in use" ]
    run -1 --separate-stderr timeout 5 "$PUBLISH" "$FIRST" 80
    [ "${stderr_lines[0]}" = "publish.sh: not HOSTPORT:PORT: '80'" ]
    kill -INT "$PUBLISHER"
    ends_with 130 "$PUBLISHER"
    [ "$(nft list ruleset)" = "$before" ]
    [ "$(cat /proc/sys/net/ipv4/conf/br-steps/route_localnet)" = 0 ]
    run -0 "$BRIDGE" down
}

@test "bridge: containers find each other by name; rootfs is not changed, and down takes the names away" {
    requires net nc nft
    [ -z "${negative:-}" ]
    local hosts first second
    hosts=$(dirname "$BIN")/rootfs/fs/etc/hosts
    local before
    before=$(cat "$hosts")
    start_container --no-veth --no-cgroup sleep 1000
    PIDS+=("$LAUNCHER")
    first=$CONTAINER
    start_container --no-veth --no-cgroup sleep 1001
    second=$CONTAINER
    run -0 "$BRIDGE" up "web=$first" "db=$second"
    run -0 nsenter --target "$first" --all cat /etc/hosts
    [[ $output == *$'\n10.64.0.2 web\n10.64.0.3 db' ]]
    run -0 nsenter --target "$second" --all ping -c 1 -W 2 web
    [[ $output == "PING web (10.64.0.2)"* ]]
    [ "$(cat "$hosts")" = "$before" ]
    run -0 "$BRIDGE" down
    [ "$(nsenter --target "$first" --all cat /etc/hosts)" = "$before" ]
    run -1 --separate-stderr "$BRIDGE" up "Web=$first"
    [ "${stderr_lines[0]}" = "bridge.sh: not a name: 'Web='" ] ||
        [ "${stderr_lines[0]}" = "bridge.sh: not a name: 'Web'" ]
}
