# 設計書の 4 章: コマンドラインと終了ステータス
# $ を展開するのは内側のシェル。stderr と stderr_lines は run --separate-stderr が入れる
# shellcheck disable=SC2016,SC2034,SC2154
load helpers

STEPS='01 02 03 04 05 06 07 08 09'
LIMITS=(--cpus --memory --pids --cpuset)

# そのステップが受け取るオプション
options_of() {
    ((10#$1 < 6)) || printf '%s\n' --rootfs --env
    ((10#$1 < 8)) || echo --cap-add
    ((10#$1 < 9)) || printf '%s\n' "${LIMITS[@]}" --no-cgroup --no-veth
}

# 誤った使い方: 2、stdout は空、stderr は英語の 1 行と使い方。何百回も呼ぶので、
# run は使わない
refused() {
    local status=0 LC_ALL=C
    "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
    mapfile -t stderr_lines <"$BATS_TEST_TMPDIR/err"
    if ! [[ $status = 2 && ! -s $BATS_TEST_TMPDIR/out &&
        ${stderr_lines[0]} == "${1##*/}: "* && ${stderr_lines[0]} != *[^\ -~]* &&
        ${stderr_lines[1]} == "使い方: ${1##*/} run "* ]]; then
        printf 'not refused with 2:'
        printf ' <%s>' "$@"
        echo " (status $status)" && cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err"
        return 1
    fi
}

# 用意に失敗: 125、stdout は空、stderr は英語の 1 行とヒント
failed_set_up() {
    run -125 --separate-stderr "$@"
    [ "$output" = "" ]
    [ "$(grep -vc '^  ヒント: ' <<<"$stderr")" = 1 ]
    LC_ALL=C run ! grep '[^ -~]' <<<"${stderr_lines[0]}"
}

# 何かを作るシステムコールを 1 つも呼ばずに断る
starts_nothing() {
    strace -f -qq -o "$BATS_TEST_TMPDIR/trace" -e trace=fork,vfork,clone,clone3,unshare,mount,mkdir,mkdirat,socket,setgroups,pipe2 \
        "$@" >/dev/null 2>&1 || [ $? = 2 ]
    ! grep . "$BATS_TEST_TMPDIR/trace"
}

# option に悪い値を 1 つずつ渡す
refuse_values() {
    local option=$1 value
    shift
    for value; do
        refused "$BIN" run "$option" "$value" echo ran
    done
    refused "$BIN" run "$option=$1" echo ran
}

# 遅いものを避けて、試したいこと以外を外す
light() {
    "$BIN" run --no-cgroup --no-veth "$@"
}

# --- ヘルプと使い方の誤り --------------------------------------------------------

@test "-h and --help print the usage on stdout and end with 0, in all nine programs" {
    local number program word
    for number in $STEPS; do
        program=$(step "$number")
        for word in -h --help 'run -h' 'run --help' 'run -h no-such-command'; do
            # shellcheck disable=SC2086 # 2 語に分ける
            run -0 --separate-stderr "$program" $word
            [ "$stderr" = "" ]
            [ "${lines[0]}" = "使い方: step$number run [オプション] [--] [コマンド [引数...]]" ]
            [[ ${lines[1]} == *"step$number -h | --help" ]]
        done
    done
}

@test "a help that cannot be written is an error: 125 and one English line, in all nine programs" {
    local number word
    for number in $STEPS; do
        for word in -h 'run --help'; do
            # shellcheck disable=SC2086
            run -125 --separate-stderr bash -c '"$@" >/dev/full' bash "$(step "$number")" $word
            [ "$stderr" = "step$number: write stdout: No space left on device" ]
            # shellcheck disable=SC2086
            run -125 --separate-stderr bash -c '"$@" >&-' bash "$(step "$number")" $word
            [ "$stderr" = "step$number: write stdout: Bad file descriptor" ]
        done
    done
}

@test "the help of each program lists exactly the options of its step" {
    local number
    for number in $STEPS; do
        run -0 "$(step "$number")" --help
        run -0 diff <(options_of "$number") <(sed -nE 's/^  (--[a-z-]+).*/\1/p' <<<"$output")
    done
}

@test "no arguments, an unknown command and an unknown option are refused with 2, in all nine programs" {
    local number program
    for number in $STEPS; do
        program=$(step "$number")
        refused "$program"
        [ "${stderr_lines[0]}" = "step$number: missing command: run" ]
        refused "$program" start
        [ "${stderr_lines[0]}" = "step$number: unknown command: start" ]
        refused "$program" ''
        refused "$program" --version
        refused "$program" sh
        refused "$program" run --no-such-option echo ran
        [ "${stderr_lines[0]}" = "step$number: unknown option: --no-such-option" ]
        refused "$program" run -x echo ran
        [ "${stderr_lines[0]}" = "step$number: unknown option: -x" ]
    done
}

@test "an option of a later step is unknown to the earlier ones" {
    local number option
    for number in $STEPS; do
        for option in $(comm -23 <(options_of 09 | sort) <(options_of "$number" | sort)); do
            refused "$(step "$number")" run "$option" 1 echo ran
            [ "${stderr_lines[0]}" = "step$number: unknown option: $option" ]
        done
    done
}

@test "an option without its value is refused" {
    local option
    for option in --rootfs --env --cap-add "${LIMITS[@]}"; do
        refused "$BIN" run "$option"
        [ "${stderr_lines[0]}" = "$(basename "$BIN"): $option: missing value" ]
    done
}

@test "a value for an option that takes none is refused, and the message names that option" {
    local option
    for option in --no-cgroup --no-veth --help; do
        refused "$BIN" run "$option=1" echo ran
        [[ ${stderr_lines[0]} == *"$option"* ]]
    done
}

@test "wrong usage starts nothing: no process, no mount, no directory, no socket" {
    requires strace
    local number option
    for number in $STEPS; do
        starts_nothing "$(step "$number")"
        starts_nothing "$(step "$number")" start
        starts_nothing "$(step "$number")" run --no-such-option echo ran
    done
    for option in "${LIMITS[@]}"; do
        starts_nothing "$BIN" run "$option" abc echo ran
        starts_nothing "$BIN" run "$option" '' echo ran
        starts_nothing "$BIN" run --no-cgroup "$option" 1 echo ran
    done
    starts_nothing "$BIN" run --cap-add NOPE echo ran
    starts_nothing "$BIN" run --rootfs '' echo ran
    # 正しければ何かを作るので、上の空振りではないことが分かる
    run ! starts_nothing "$BIN" run true
}

# --- コマンド --------------------------------------------------------------------

@test "without a command /bin/sh runs, in all nine programs" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        run -7 "$(step "$number")" run <<<'echo "$0"; exit 7'
        [ "$output" = /bin/sh ]
        run -6 "$(step "$number")" run -- <<<'exit 6'
    done
}

@test "options stop at the first word that is no option, in all nine programs" {
    requires root userns cgroup
    local number program
    for number in $STEPS; do
        program=$(step "$number")
        run -0 "$program" run echo -h --help --rootfs -- --cpus abc
        [ "$output" = "-h --help --rootfs -- --cpus abc" ]
        run -0 "$program" run -- echo -- -x
        [ "$output" = "-- -x" ]
        run -127 --separate-stderr "$program" run -- --help
        [ "${stderr_lines[0]}" = "step$number: exec --help: No such file or directory" ]
    done
}

@test "an empty command is a command that is not found: 127" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        run -127 --separate-stderr "$(step "$number")" run ''
        [ "$output" = "" ]
        [ "${stderr_lines[0]}" = "step$number: exec : No such file or directory" ]
        [ "$(grep -vc '^  ヒント: ' <<<"$stderr")" = 1 ]
    done
}

# musl と、2.34 より古い glibc にはない
@test "no program needs the function close_range() of the C library" {
    requires gcc
    local number
    for number in $STEPS; do
        nm --undefined-only "$(step "$number")" | grep -q ' fork\| syscall'
        run ! grep close_range <(nm --undefined-only "$(step "$number")")
    done
}

# 中から openat(2) の ".." で、ホストのファイルに届く
@test "a directory on stdin, stdout or stderr is refused with 125, and nothing runs, in all nine programs" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        failed_set_up "$(step "$number")" run echo ran </
        [ "${stderr_lines[0]}" = "step$number: fstat 0: Is a directory" ]
        failed_set_up bash -c 'exec "$@" 1</' bash "$(step "$number")" run echo ran
        [ "${stderr_lines[0]}" = "step$number: fstat 1: Is a directory" ]
        run -125 bash -c 'exec "$@" 2</' bash "$(step "$number")" run echo ran
        [ "$output" = "" ]
    done
}

@test "when the child cannot be made: 125, one English line, then hints, in all nine programs" {
    requires root userns cgroup strace
    local number
    for number in $STEPS; do
        failed_set_up strace -qq -o /dev/null -e trace=clone,clone3,fork \
            -e inject=clone,clone3,fork:error=EAGAIN "$(step "$number")" run echo ran
        [[ $stderr == "step$number: "*": Resource temporarily unavailable"* ]]
    done
}

@test "when the child's set-up fails: 125, one English line, nothing ran, in 03 to 09" {
    requires root userns cgroup strace
    local number
    for number in 03 04 05 06 07 08 09; do
        failed_set_up strace -f -qq -o /dev/null -e trace=setresuid \
            -e inject=setresuid:error=EPERM "$(step "$number")" run echo ran
        [ "${stderr_lines[0]}" = "step$number: setresuid 0: Operation not permitted" ]
    done
}

@test "when the parent's work fails: 125, one English line, and the waiting child is gone, in 03 to 09" {
    requires root userns cgroup strace
    local number
    for number in 03 04 05 06 07 08 09; do
        failed_set_up strace -qq -o /dev/null -e trace=write \
            -e inject=write:error=EPERM:when=2 "$(step "$number")" run echo ran
        [[ ${stderr_lines[0]} == "step$number: write /"*": Operation not permitted" ]]
        run ! pgrep -x "step$number"
    done
}

# 片付けが、自分の持っている鍵を待って止まらないこと
@test "whichever write of the parent fails: 125 and one English line, without hanging" {
    requires root userns cgroup strace
    local count
    for count in 1 2 3 4 5 6 7 8; do
        failed_set_up within 10 strace -qq -o /dev/null -e trace=write \
            -e inject=write:error=EPERM:when=$count "$BIN" run echo ran
        run ! pgrep -x "$(basename "$BIN")"
    done
}

# --- --rootfs --------------------------------------------------------------------

# 別の場所に、見分けの付くルートを作る
make_root() {
    mkdir -p "$1"/{bin,dev,proc,sys}
    cp "$(dirname "$BIN")/rootfs/fs/bin/busybox" "$1/bin/busybox" 2>/dev/null ||
        cp "$TOP/rootfs/fs/bin/busybox" "$1/bin/busybox"
    ln -s busybox "$1/bin/sh"
    echo "$2" >"$1/mark"
    chmod 755 "$BATS_TEST_TMPDIR"
}

SHOW_MARK='read mark </mark && echo "$mark"'

@test "--rootfs takes an absolute path and a relative one, with blanks and .. in it, in 06 to 09" {
    requires root userns cgroup
    make_root "$BATS_TEST_TMPDIR/my root" mine
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    local number path
    for number in 06 07 08 09; do
        for path in "$BATS_TEST_TMPDIR/my root" '../my root' '../work/../my root/' "$BATS_TEST_TMPDIR/my root/."; do
            run -0 env -u SUDO_UID -u SUDO_GID "$(step "$number")" run --rootfs "$path" sh -c "$SHOW_MARK"
            [ "$output" = mine ]
        done
        run -0 env -u SUDO_UID -u SUDO_GID "$(step "$number")" run "--rootfs=../my root" sh -c "$SHOW_MARK"
        [ "$output" = mine ]
    done
}

@test "the default root is beside the program: from any directory, by PATH, and through a link" {
    requires root userns cgroup
    local number copy=$BATS_TEST_TMPDIR/copy
    make_root "$copy/rootfs/fs" beside
    make_root "$BATS_TEST_TMPDIR/elsewhere/rootfs/fs" elsewhere
    for number in 06 07 08 09; do
        cp "$(step "$number")" "$copy"
        ln -s "$copy/step$number" "$BATS_TEST_TMPDIR/elsewhere/link$number"
        cd "$BATS_TEST_TMPDIR/elsewhere"
        run -0 env -u SUDO_UID -u SUDO_GID "$copy/step$number" run sh -c "$SHOW_MARK"
        [ "$output" = beside ]
        run -0 env -u SUDO_UID -u SUDO_GID PATH="$copy:$PATH" "step$number" run sh -c "$SHOW_MARK"
        [ "$output" = beside ]
        run -0 env -u SUDO_UID -u SUDO_GID "./link$number" run sh -c "$SHOW_MARK"
        [ "$output" = beside ]
        cd /
        run -0 env -u SUDO_UID -u SUDO_GID "$copy/step$number" run sh -c "$SHOW_MARK"
        [ "$output" = beside ]
    done
}

@test "a root that is missing, is a file or has nothing in it: 125 or 127, one English line" {
    requires root userns cgroup
    local number
    mkdir -m 755 "$BATS_TEST_TMPDIR/empty"
    : >"$BATS_TEST_TMPDIR/file"
    chmod 755 "$BATS_TEST_TMPDIR"
    for number in 06 07 08 09; do
        failed_set_up "$(step "$number")" run --rootfs /nonexistent echo ran
        [[ ${stderr_lines[0]} == "step$number: "*" /nonexistent: No such file or directory" ]]
        failed_set_up "$(step "$number")" run --rootfs "$BATS_TEST_TMPDIR/file" echo ran
        [[ ${stderr_lines[0]} == "step$number: "*": Not a directory" ]]
        refused "$(step "$number")" run --rootfs '' echo ran
    done
}

# --- 制限 ------------------------------------------------------------------------

@test "bad values for --cpus are refused with 2 before anything is made" {
    local cpus
    cpus=$(getconf _NPROCESSORS_ONLN)
    refuse_values --cpus '' 0 -5 abc 1x 18446744073709551616 18446744073709551617 1e3 ' 1' '1 ' +1 0x10 \
        nan inf -0.5 . .5 1. 1.2.3 0,5 0.0 0.001 0.00999 $((cpus + 1)) "$cpus.1" "$cpus.00001" \
        99999999999999999999999999999999 1844674407370955.3
}

@test "bad values for --memory are refused with 2 before anything is made" {
    local kilobytes
    kilobytes=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
    refuse_values --memory '' 0 -5 abc 1x 18446744073709551616 18446744073709551617 1e3 ' 1' '1 ' +50M 0x10 \
        nan M 0M 1K 1 50MB 50MiB '50 M' ' 50M' 1.5G -50M 50T $((kilobytes * 2))K $((kilobytes / 1024 / 1024 + 8))G \
        17592186044417M 18014398509481985K 17179869185G 18446744073709551615
}

@test "bad values for --pids are refused with 2 before anything is made" {
    refuse_values --pids '' 0 -5 abc 1x 18446744073709551616 18446744073709551617 1e3 ' 1' '1 ' +1 0x10 \
        nan 1.5 max $(($(cat /proc/sys/kernel/pid_max) + 1)) 4294967297
}

@test "bad values for --cpuset are refused with 2 before anything is made" {
    local cpus
    cpus=$(getconf _NPROCESSORS_CONF)
    refuse_values --cpuset '' -5 abc 1x 18446744073709551616 18446744073709551617 1e3 ' 0' '0 ' +0 0x0 nan \
        0- -0 1-0 0,,0 0, ,0 0:0 0-1-1 '0, 0' "$cpus" "0-$cpus" "0,$cpus" 99999 4294967296 0-18446744073709551616 ,
}

@test "good limits are accepted, down to the smallest and up to the machine" {
    requires root userns cgroup
    local cpus value
    cpus=$(getconf _NPROCESSORS_ONLN)
    for value in 1 1.0 0.5 00.5 0.01 "$cpus" "$cpus.0"; do
        run -0 "$BIN" run --no-veth --cpus "$value" true
    done
    for value in 50M 50m 51200K 52428800 1G 8M "$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)K"; do
        run -0 "$BIN" run --no-veth --memory "$value" true
    done
    for value in 1 64 007 "$(cat /proc/sys/kernel/pid_max)"; do
        run -0 "$BIN" run --no-veth --pids "$value" true
    done
    for value in 0 0-0 0,0 "0-$((cpus - 1))"; do
        run -0 "$BIN" run --no-veth --cpuset "$value" true
    done
    run -0 "$BIN" run --cpus 1 --memory=64M --pids 10 --cpuset=0 --no-veth true
    run -0 "$BIN" run --no-veth --pids 1 --pids 20 sh -c 'true | true'
}

@test "--no-cgroup is refused together with a limit, in either order" {
    local limit
    for limit in --cpus=1 --memory=50M --pids=1 --cpuset=0; do
        refused "$BIN" run --no-cgroup "$limit" echo ran
        [[ ${stderr_lines[0]} == *"--no-cgroup"* ]]
        refused "$BIN" run "$limit" --no-cgroup echo ran
    done
}

@test "--no-cgroup leaves the cgroup alone, and --no-veth leaves only a lo that is DOWN" {
    requires root userns cgroup net
    run -0 light sh -c 'ip link'
    [[ $output == *"lo: <LOOPBACK>"* ]]
    [[ $output != *veth* ]]
    "$BIN" run --no-cgroup --no-veth sleep 100 </dev/null 3>&- 4>&- &
    LAUNCHER=$!
    retry 5 find_container
    [ "$(cat "/proc/$CONTAINER/cgroup")" = "$(cat /proc/self/cgroup)" ]
}

teardown() {
    stop_container
}

# --- ケーパビリティ ------------------------------------------------------------

effective() {
    "$@" grep ^CapEff: /proc/self/status | cut -f2
}

@test "--cap-add takes NET_RAW in capitals and in small letters" {
    requires root userns
    local name mask
    mask=$(printf %016x $((1 << 29 | 1 << 5 | 1 << 10 | 1 << 13)))
    for name in NET_RAW net_raw; do
        run -0 effective light --cap-add "$name"
        [ "$output" = "$mask" ]
    done
    run -0 effective "$(step 08)" run --cap-add=NET_RAW
    [ "$output" = "$mask" ]
}

@test "--cap-add takes the name with the prefix CAP_ too" {
    requires root userns
    run -0 effective light --cap-add CAP_NET_RAW
    [ "$output" = "$(effective light --cap-add NET_RAW)" ]
}

@test "--cap-add can be given again and again" {
    requires root userns
    run -0 effective light --cap-add NET_RAW --cap-add CHOWN --cap-add NET_RAW
    [ "$output" = "$(printf %016x $((1 << 29 | 1 << 5 | 1 << 10 | 1 << 13 | 1)))" ]
}

@test "--cap-add with no such name is refused with 2" {
    local name
    for name in NOPE '' ' NET_RAW' 'NET_RAW ' NET_RAW,CHOWN CAP_ ALL 13 64 -1 'NET RAW' CAP_CAP_NET_RAW; do
        refused "$BIN" run --cap-add "$name" echo ran
    done
    refused "$(step 08)" run --cap-add NOPE echo ran
}

# --- 環境変数 --------------------------------------------------------------------

@test "--env with no name, or with a blank or a control character in it, is refused with 2" {
    local value
    refuse_values --env '' = =value ' ' 'a b' 'a b=1' ' A=1' $'A\tB=1' $'A\nB' $'\x7f=1'
    for value in 06 07 08 09; do
        refused "$(step "$value")" run --env =value echo ran
        [ "${stderr_lines[0]}" = "step$value: --env '=value': not a variable" ]
    done
}

@test "--env takes 63 variables, and refuses the 64th" {
    requires root userns
    local -a words=()
    local n
    for n in {1..63}; do words+=(--env "N$n=$n"); done
    run -0 light "${words[@]}" sh -c 'echo $N1 $N63'
    [ "$output" = '1 63' ]
    refused "$BIN" run "${words[@]}" --env N64=64 echo ran
}
