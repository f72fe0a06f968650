# cgroup は v1、v2、その混在のどれでも動くか。どのテストも、コントローラーごとに今の
# ホストのバージョンを調べ、v1 でも v2 でも何かを確かめる。
#
# 各階層の一番上には空の cgroup を重ねるので、ほかのスイートとは混ざらない。
#
# shellcheck disable=SC2016,SC2030,SC2031 # $ を展開するのは、内側の sh
# shellcheck disable=SC2154 # stderr は --separate-stderr が入れる
load helpers
load host/cgroups

setup_file() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    export DIR=$USER_HOME/cgroups
    mkdir "$DIR"
    local program
    for program in careless lift; do
        cc -static -o "$DIR/$program" "$BATS_TEST_DIRNAME/escape/$program.c"
    done
    cp "$BIN" "$DIR/step09"
    mkdir "$DIR/rootfs"
    cp -a "$(dirname "$BIN")/rootfs/fs" "$DIR/rootfs/fs"
    cp "$DIR/lift" "$DIR/rootfs/fs/bin"
    chown -R attendee: "$DIR"
}

setup() {
    requires root userns cgroup net sudo gcc
    NAME=${BIN##*/}
    OTHERS=()
    private_cgroups
}

teardown() {
    local pid
    for pid in $LAUNCHER "${OTHERS[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    remove_private_cgroups
}

end_container() {
    kill -TERM "$LAUNCHER"
    wait "$LAUNCHER" 2>/dev/null || true
    LAUNCHER=
}

# --- 制限 ----------------------------------------------------------------------

# 制限のファイルと中身を、1 行に「ファイル=値」で
limits() {
    local file
    for file in $(limit_files); do
        echo "${file##*/}=$(cat "$file")"
    done
}

limit_files() {
    local group
    group=$(group_of cpu)
    is_v2 cpu && echo "$group/cpu.max" ||
        echo "$group/cpu.cfs_quota_us" "$group/cpu.cfs_period_us"
    group=$(group_of memory)
    is_v2 memory && echo "$group/memory.max" "$group/memory.swap.max" ||
        echo "$group/memory.limit_in_bytes" "$group/memory.memsw.limit_in_bytes"
    echo "$(group_of pids)/pids.max"
}

expected_limits() {
    if is_v2 cpu; then
        echo "cpu.max=20000 100000"
    else
        printf 'cpu.cfs_%s\n' quota_us=20000 period_us=100000
    fi
    if is_v2 memory; then
        printf 'memory.%s\n' max=52428800 swap.max=0
    else
        printf 'memory.%slimit_in_bytes=52428800\n' '' memsw.
    fi
    echo pids.max=64
}

# --- バージョンごと -----------------------------------------------------------

# 守る行: limit_cpu() と limit_memory() の group->version == 2、join_cgroups() の tasks
@test "each limit is set in the hierarchy that has its controller, and the process is in it" {
    start_container --no-veth sleep 100
    [ "$(limits)" = "$(expected_limits)" ]
    for name in cpu memory pids; do
        [[ $(group_of $name) == "$(top_of $name)/container-steps/$LAUNCHER" ]]
        grep -qx "$CONTAINER" "$(group_of $name)/cgroup.procs"
    done
    # 制限しないものの階層には、何も作らない
    is_v2 cpuset || [ ! -e "$(top_of cpuset)/container-steps" ]
    # v2 が何も持っていなければ、v2 の木では動かない
    if ! is_v2 cpu && ! is_v2 memory && ! is_v2 pids; then
        [ "$(grep '^0::' "/proc/$CONTAINER/cgroup")" = "$(grep '^0::' /proc/self/cgroup)" ]
    fi
    end_container
    no_private_dirs
}

# v2: 一番上は、作ったばかりだと何も配っていない (Debian 13 では cpu がない)
# 守る行: enable_controller(group, controllers[i].name)
@test "on v2 the controllers are switched on along the path; on v1 there is nothing to switch" {
    for point in "${POINTS[@]}"; do
        [ ! -e "$point/cgroup.subtree_control" ] ||
            [ "$(cat "$point/cgroup.subtree_control")" = "" ]
    done
    before=$(grep -s . /sys/fs/cgroup/unified/cgroup.subtree_control || true)
    # 初めから有効なものは、終わったあとも有効なまま
    ! is_v2 memory || echo +memory >"$(top_of memory)/cgroup.subtree_control"
    start_container --no-veth sleep 100
    for name in cpu memory pids; do
        is_v2 $name || continue
        grep -qw $name "$(top_of $name)/cgroup.subtree_control"
        grep -qw $name "$(top_of $name)/container-steps/cgroup.subtree_control"
    done
    [ "$(limits)" = "$(expected_limits)" ]
    is_v2 cpu || [ "$before" = "$(grep -s . /sys/fs/cgroup/unified/cgroup.subtree_control || true)" ]
    # 2 つ目が先に終わっても、1 つ目のものは有効なまま
    run -0 "$BIN" run --no-veth true
    [ "$(limits)" = "$(expected_limits)" ]
    end_container
    no_private_dirs
    ! is_v2 memory || [ "$(cat "$(top_of memory)/cgroup.subtree_control")" = memory ]
    # そのあいだに、誰かが隣の cgroup の制限に使い始めたものは、有効なまま
    if is_v2 pids; then
        start_container --no-veth sleep 100
        mkdir "$(top_of pids)/neighbour"
        echo 5 >"$(top_of pids)/neighbour/pids.max"
        end_container
        [ "$(cat "$(top_of pids)/neighbour/pids.max")" = 5 ]
        rmdir "$(top_of pids)/neighbour"
        echo -pids >"$(top_of pids)/cgroup.subtree_control"
    fi
    # 突然終わったランチャーのものは、次のランチャーが無効に戻す
    start_container --no-veth sleep 100
    kill -KILL "$LAUNCHER"
    wait "$LAUNCHER" || LAUNCHER=
    run -0 "$BIN" run --no-veth true
    no_private_dirs
    ! is_v2 memory || [ "$(cat "$(top_of memory)/cgroup.subtree_control")" = memory ]
}

# Docker の中の v2 では、コンテナのシェルなどが、見える木の一番上にいる。"+cpu" だけなら
# 書けてしまい、そこは "domain threaded" に変わる。v1 では、誰がいてもよい
# 守る行: cgroup.c の leave_top()
@test "a top cgroup with somebody else in it: v2 refuses with a hint and changes nothing" {
    sleep 100 3>&- 4>&- &
    OTHERS+=($!)
    for point in "${POINTS[@]}"; do echo "${OTHERS[0]}" >"$point/cgroup.procs"; done
    if is_v2 cpu; then
        run -125 "$BIN" run --no-veth touch /ran
        [[ ${lines[0]} == "$NAME: write "*"/cgroup.subtree_control: Device or resource busy" ]]
        [[ ${lines[1]} == "  ヒント: "* && $output == *--no-cgroup* ]]
        [ "$(cat "$(top_of cpu)/cgroup.type")" = domain ]
        [ "$(cat "$(top_of cpu)/cgroup.subtree_control")" = "" ]
    else
        run -0 "$BIN" run --no-veth true
    fi
    no_private_dirs
}

# 守る行: leave_top() の getpid() と has_left_top
@test "a top cgroup with nobody but the launcher in it: it works, and the launcher leaves nothing there" {
    for point in "${POINTS[@]}"; do
        run -0 in_groups "$BIN" run --no-veth cat /proc/self/cgroup
        ! is_v2 cpu || [[ ${lines[-1]} == "0::/" ]]
    done
    no_private_dirs
    ! is_v2 cpu || [ "$(cat "$(top_of cpu)/cgroup.type")" = domain ]
}

# 自分を POINTS に入れてから、コマンドになる
in_groups() (
    for point in "${POINTS[@]}"; do echo "$BASHPID" >"$point/cgroup.procs"; done
    exec "$@"
)

# 守る行: create_cgroups() の cgroup_find(group, controllers[i].name)
@test "a host without the controller: refused by its name, with a hint, and nothing is left" {
    for name in cpu memory pids; do
        run -125 without $name "$BIN" run --no-veth touch /ran
        [ "${lines[0]}" = "$NAME: controller $name: No such file or directory" ]
        [[ ${lines[1]} == "  ヒント: "* && $output == *--no-cgroup* ]]
        no_private_dirs
        run -0 without $name "$BIN" run --no-veth --no-cgroup echo unlimited
        [ "$output" = unlimited ]
    done
}

# 守る行: create_cgroups() の count
@test "a host without cpuset: only --cpuset is refused" {
    run -0 without cpuset "$BIN" run --no-veth echo limited
    [ "$output" = limited ]
    run -125 without cpuset "$BIN" run --no-veth --cpuset 0 touch /ran
    [ "${lines[0]}" = "$NAME: controller cpuset: No such file or directory" ]
    no_private_dirs
}

# /proc/self/mounts には、隠されたマウントも並ぶ。v2 の階層は 1 つなので、初めの
# コントローラーの名前が出る
# 守る行: limit_memory() (ファイルに書けなければ die) と atexit(clean_up)
@test "a hierarchy covered by something else is an error, not a container without a limit" {
    for name in cpu memory pids; do
        point=$(top_of $name)
        named=$name
        ! is_v2 cpu || [ "$point" != "$(top_of cpu)" ] || named=cpu
        mount -t tmpfs cover "$point"
        run "$BIN" run --no-veth touch /ran
        left=$(ls -A "$point")
        umount "$point"
        [ "$status" = 125 ]
        [[ ${lines[0]} == "$NAME: "*"$point"*": "* || ${lines[0]} == "$NAME: controller $named: "* ]]
        [ "$left" = "" ]
        no_private_dirs
    done
}

# 守る行: atexit(clean_up)
@test "the last hierarchy is read-only: what was made in the others before is removed" {
    point=$(top_of pids)
    mount -o remount,bind,ro "$point"
    run "$BIN" run --no-veth touch /ran
    mount -o remount,bind,rw "$point"
    [ "$status" = 125 ]
    [[ ${lines[0]} == "$NAME: "*" $point/"*": Read-only file system" ]]
    [[ ${lines[1]} == "  ヒント: "*"読み取り専用"* ]]
    no_private_dirs
}

# パスに空白があると、/proc/self/mounts では \040 になる
# 守る行: find_hierarchy() の getmntent() (/sys/fs/cgroup と決めつけない)
@test "a hierarchy mounted elsewhere, below a name with a space, is found there" {
    local elsewhere="$BATS_TEST_TMPDIR/a b" point
    point=$(top_of memory)
    mkdir "$elsewhere"
    mkfifo "$BATS_TEST_TMPDIR/hold"
    unshare --mount sh -c 'mount --bind "$1" "$2" && umount "$1" && umount "$1" &&
        [ ! -e "$1/cgroup.procs" ] && shift 2 && exec "$@"' sh "$point" "$elsewhere" \
        "$BIN" run --no-veth sh -c 'read -r _' <"$BATS_TEST_TMPDIR/hold" 3>&- 4>&- &
    LAUNCHER=$!
    exec 5>"$BATS_TEST_TMPDIR/hold"
    retry 5 test -d "$point/container-steps/$LAUNCHER"
    retry 5 grep -q . "$point/container-steps/$LAUNCHER/cgroup.procs"
    echo >&5
    exec 5>&-
    wait "$LAUNCHER"
    LAUNCHER=
    no_private_dirs
}

# 混在するホストでは、v2 の木がコントローラーの名前を挙げていても、v1 が使っていれば
# 配れない。v2 だけのホストでは、上が配っていなければ名前も挙がらない
# 守る行: enable_controller() の write_file()
@test "a controller that the v2 tree cannot give is an error" {
    if is_v2 cpu; then
        point=$(top_of cpu)
        mkdir "$point/empty"
        mount --bind "$point/empty" "$point"
        run "$BIN" run --no-veth touch /ran
        umount "$point"
        rmdir "$point/empty"
        [ "${lines[0]}" = "$NAME: controller cpu: No such file or directory" ]
    else
        point=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
        [ -n "$point" ] || return 0 # v2 のない、v1 だけのホスト
        mkdir "$point/$PRIVATE"
        echo cpu >"$BATS_TEST_TMPDIR/claim"
        run unshare --mount sh -c 'umount "$1" && umount "$1" && mount --bind "$2/$3" "$2" &&
            mount --bind "$4" "$2/cgroup.controllers" && shift 4 && exec "$@"' sh \
            "$(top_of cpu)" "$point" "$PRIVATE" "$BATS_TEST_TMPDIR/claim" \
            "$BIN" run --no-veth touch /ran
        left=$(find "$point/$PRIVATE" -mindepth 1 -type d)
        find "$point/$PRIVATE" -depth -type d -exec rmdir {} +
        [[ ${lines[0]} == "$NAME: write $point/cgroup.subtree_control: No such file or directory" ]]
        [[ ${lines[1]} == "  ヒント: "*v1* ]]
        [ "$left" = "" ]
    fi
    [ "$status" = 125 ]
    no_private_dirs
}

# --- 後始末 --------------------------------------------------------------------

# 守る行: cgroup.c の remove_stale()
@test "a stale group that cannot be removed is left alone; the next run works and takes what it can" {
    start_container --no-veth sleep 100
    group=$(group_of pids)
    memory=$(group_of memory)
    mkdir "$group/somebody"
    stop_container
    retry 5 eval '[ ! -s "$group/cgroup.procs" ]'
    run -0 --separate-stderr "$BIN" run --no-veth true
    [ "$output$stderr" = "" ]
    [ -d "$group/somebody" ]
    # v2 では、memory も同じディレクトリ
    [ "$memory" = "$group" ] || [ ! -e "$memory" ]
    rmdir "$group/somebody"
    run -0 "$BIN" run --no-veth true
    no_private_dirs
}

# 守る行: choose_name() の n と、remove_stale() の flock()
@test "two launchers with the same PID, in two PID namespaces, do not disturb each other" {
    for i in 1 2; do
        unshare --fork --pid --mount-proc \
            "$BIN" run --no-veth sleep 100 </dev/null 3>&- 4>&- &
        retry 5 grep -q . "/proc/$!/task/$!/children"
        OTHERS+=("$(xargs <"/proc/$!/task/$!/children")")
        retry 5 eval '[ "$(find "$(top_of pids)/container-steps" -mindepth 1 -type d \
            -exec cat {}/cgroup.procs \; 2>/dev/null | wc -l)" = $i ]'
    done
    [ "$(ls -d "$(top_of pids)"/container-steps/1*)" = "$(top_of pids)/container-steps/1
$(top_of pids)/container-steps/1-2" ]
    # 次のランチャーが来ても、どちらも消えない
    run -0 --separate-stderr "$BIN" run --no-veth true
    [ "$stderr" = "" ]
    for group in 1 1-2; do
        [ "$(wc -l <"$(top_of pids)/container-steps/$group/cgroup.procs")" = 1 ]
        [ "$(cat "$(top_of pids)/container-steps/$group/pids.max")" = 64 ]
    done
    kill -TERM "${OTHERS[@]}"
    wait
    no_private_dirs
}

# 半分は、それぞれ別の PID 名前空間で動く。だから、どのランチャーの PID も 1
# 守る行: lock_parent() と remove_stale() と cgroup_claim() の flock()
@test "20 launchers at once make and remove container-steps 5 times each, without an error" {
    for ((i = 0; i < 20; i++)); do
        local own=()
        ((i % 2)) || own=(unshare --fork --pid --mount-proc)
        for ((j = 0; j < 5; j++)); do
            "${own[@]}" "$BIN" run --no-veth sh -c 'exit 7' || echo "status $?"
        done >"$BATS_TEST_TMPDIR/$i" 2>&1 </dev/null 3>&- 4>&- &
        OTHERS+=($!)
    done
    wait "${OTHERS[@]}"
    OTHERS=()
    run -0 sort -u "$BATS_TEST_TMPDIR"/[0-9]*
    [ "$output" = "status 7" ]
    [ "$(cat "$BATS_TEST_TMPDIR"/[0-9]* | wc -l)" = 100 ]
    no_private_dirs
}

# flock(2) は、開けさえすれば取得できる。読み取りだけでもよい
# 守る行: cgroup.h の CGROUP_MODE
@test "nobody but root can open, and so lock, the groups; their files can be read by all" {
    start_container --no-veth sleep 100
    for name in cpu memory pids; do
        group=$(group_of $name)
        run ! as_user flock --shared --nonblock "$group" true
        [[ $output == *"ermission denied"* ]]
        run ! as_user flock --shared --nonblock "${group%/*}" true
        [[ $output == *"ermission denied"* ]]
        as_user cat "$group/cgroup.procs" >/dev/null
    done
}

# 守る行: cgroup.c の stop_signal()
@test "a launcher that waits for the lock of a stopped one still obeys TERM" {
    for name in cpu memory pids; do
        point=$(top_of $name)
        [ -d "$point/container-steps" ] || mkdir --mode 1711 "$point/container-steps"
    done
    exec 5<"$(top_of memory)/container-steps"
    flock 5
    "$BIN" run --no-veth touch /ran </dev/null 3>&- 4>&- 5<&- &
    LAUNCHER=$!
    retry 5 eval '[[ $(readlink /proc/$LAUNCHER/fd/*) == *"$(top_of memory)/container-steps"* ]]'
    kill -TERM "$LAUNCHER"
    local status=0
    wait "$LAUNCHER" || status=$?
    LAUNCHER=
    exec 5<&-
    [ "$status" = 143 ]
    run -0 "$BIN" run --no-veth true
    no_private_dirs
}

# 守る行: cgroup_claim() が、失敗しても parent の鍵を残さないこと
@test "a group that cannot be claimed is an error at once, and nothing is left" {
    requires strace
    # 階層ごとに 1 回ずつ parent に鍵をかける。その次が、初めての claim
    local parents
    parents=$(for name in cpu memory pids; do top_of $name; done | sort -u | wc -l)
    run -125 within 30 strace -o /dev/null -e trace=flock \
        -e inject=flock:error=EIO:when=$((parents + 1)) "$BIN" run --no-veth touch /ran
    [[ ${lines[0]} == "$NAME: flock "*"/container-steps/"*": Input/output error" ]]
    no_private_dirs
}

# --- 中から制限を外そうとする ---------------------------------------------------

# 引数 (sudoer か root) として lift を始め、終わりまで待つ。書けるはずのない cgroup の
# ディレクトリを、呼び出し元が 3 番から 20 番に開いたまま残す
start_lift() {
    local who=$1
    shift
    local ids=(-u SUDO_UID -u SUDO_GID)
    [ "$who" = root ] || ids=(SUDO_UID=4711 SUDO_GID=4712)
    env "${ids[@]}" "$DIR/careless" "$(top_of memory)" "$DIR/step09" run --no-veth "$@" lift \
        >"$BATS_TEST_TMPDIR/$who" 2>&1 </dev/null 3>&- 4>&- &
    LAUNCHER=$!
    retry 20 grep -qsx 'done' "$BATS_TEST_TMPDIR/$who"
    find_container
}

# 守る行: prepare_exec(pipes)、drop_capabilities(opt->keep)、
# write_file("/proc/sys/user/max_user_namespaces", "0") (0 にマッピングされるとき)
@test "no trick of the container's root lifts a limit: mounts, namespaces, descriptors, new groups" {
    for who in root sudoer; do
        start_lift $who --cpuset 0
        run -0 cat "$BATS_TEST_TMPDIR/$who"
        [ "${#lines[@]}" = 13 ]
        [[ $output != *open* ]]
        [ "$(limits)" = "$(expected_limits)" ]
        [ "$(cat "$(group_of cpuset)/cpuset.cpus")" = 0 ]
        for name in cpu memory pids cpuset; do
            grep -qx "$CONTAINER" "$(group_of $name)/cgroup.procs"
        done
        [ "$(find "${POINTS[@]}" -name deeper)" = "" ]
        end_container
    done
}
