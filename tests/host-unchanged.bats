# 約束 1: どう終わっても、ホストは前のまま
# $ を展開するのは内側のシェル
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153
load helpers
load host/cgroups

STEPS='01 02 03 04 05 06 07 08 09'

setup() {
    # 伝播があるほうが、漏れに気づける
    mount --make-rshared /
    BEFORE=$BATS_TEST_TMPDIR/before
    AFTER=$BATS_TEST_TMPDIR/after
    MARK=5$$.$BATS_TEST_NUMBER # sleep の引数。ほかの sleep と見分ける
    OTHERS=()
    state >"$BEFORE"
}

teardown() {
    stop_container
    local pid
    # unshare(1) は、待っているあいだ TERM を無視する。コンテナが終われば、終わる
    for pid in $(pgrep -fx "sleep $MARK" || true); do
        kill -KILL "$pid"
    done
    for pid in "${OTHERS[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    ip link del veth-host5 2>/dev/null || true
    remove_orphan
    rm -rf "$USER_HOME/workshop"
    remove_private_cgroups
    mount --make-rprivate /
}

# ホストの状態。コンテナの前と後で、同じでなければならない
host_state() {
    echo "== mounts" && sort /proc/self/mountinfo
    echo "== links" && ip -br link && ip -br addr && ip route show table all
    echo "== hostname" && uname -n
    # ほかのスイートの cgroup が、たどるあいだに消えることもある
    echo "== cgroups"
    find /sys/fs/cgroup -type d -name 'container-steps*' 2>/dev/null || true
    echo "== sysctls" && cat /proc/sys/user/max_user_namespaces \
        /proc/sys/kernel/core_pattern /proc/sys/net/ipv4/ip_forward
    echo "== namespaces" && readlink /proc/self/ns/*
    echo "== processes"
    pgrep -l '^step0' || true
}

# すべてのステップを動かしてから 1 度だけ比べる。1 回に数十ミリ秒かかる。
# cgroup の木は、並んで動くほかのスイートと共有しているので、別に調べる
state() {
    host_state | grep -v '/container-steps'
    echo "== files" && find "$(dirname "$BIN")/rootfs/fs" -newer "$BATS_TEST_TMPDIR" ! -path '*/tmp*' 2>/dev/null
    echo "== sleeps" && { pgrep -fx "sleep $MARK" || true; }
}

is_unchanged() {
    state >"$AFTER"
    cmp -s "$BEFORE" "$AFTER"
}

unchanged_within() {
    promised "$1" is_unchanged || {
        echo "the host has changed:"
        diff "$BEFORE" "$AFTER"
        return 1
    }
}

start() {
    local program
    program=$(step "$1")
    shift
    env --default-signal "$program" run "$@" </dev/null >/dev/null 2>&1 3>&- 4>&- &
    LAUNCHER=$!
    comes 5 find_container
}

# ランチャーが終わるまで待つ
finish() {
    retry 5 is_gone "$LAUNCHER"
    wait "$LAUNCHER" || true
    LAUNCHER=
}

# コンテナにいるあいだに、名前のある cgroup を控えておく
cgroups_of() {
    sed -nE 's/^[0-9]+:[^:]*:(.*container-steps\/.*)$/\1/p' "/proc/$1/cgroup" |
        while read -r path; do
            find /sys/fs/cgroup -maxdepth 5 -type d -path "*$path"
        done
}

all_removed() {
    local path
    for path; do
        [ ! -e "$path" ] || return 1
    done
}

@test "after a command that ends well, the host is as before" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        run -0 "$(step "$number")" run true
    done
    unchanged_within 0
}

@test "after a command that fails, the host is as before" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        run -7 "$(step "$number")" run sh -c 'exit 7'
    done
    unchanged_within 0
}

@test "after a command that does not exist, the host is as before" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        run -127 "$(step "$number")" run no-such-command
    done
    unchanged_within 0
}

@test "after a set-up that fails in the child, the host is as before" {
    requires root userns cgroup
    local number
    for number in 06 07 08 09; do
        run -125 "$(step "$number")" run --rootfs /nonexistent true
    done
    unchanged_within 0
}

# 足りないものを作れば、失敗したあとにも残る
@test "a rootfs is as before, also one that lacks the directories to mount on" {
    requires root userns cgroup
    local number before dir=$BATS_TEST_TMPDIR
    mkdir "$dir/empty"
    cp -a "$(dirname "$BIN")/rootfs/fs" "$dir/fs"
    before=$(find "$dir/empty" "$dir/fs" -printf '%p %y %m %U %s %T@ %C@\n')
    for number in 06 07 08 09; do
        run -125 "$(step "$number")" run --rootfs "$dir/empty" true
        run -127 "$(step "$number")" run --rootfs "$dir/fs" no-such-command
        run -7 "$(step "$number")" run --rootfs "$dir/fs" sh -c 'exit 7'
        [ "$(find "$dir/empty" "$dir/fs" -printf '%p %y %m %U %s %T@ %C@\n')" = "$before" ]
    done
    unchanged_within 0
}

@test "after a set-up that fails in the parent, the host is as before" {
    requires root userns cgroup strace
    local number
    for number in 03 04 05 06 07 08 09; do
        run -125 strace -qq -o /dev/null -e trace=clone3 -e inject=clone3:error=ENOSPC \
            "$(step "$number")" run true
        # 3 番目は、step08 までは gid_map、step09 では cgroup
        run -125 within 3 strace -qq -o /dev/null -e trace=write \
            -e inject=write:error=EPERM:when=3 "$(step "$number")" run true
    done
    unchanged_within 0
}

@test "after a launcher that was told to stop, the host is as before" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        start "$number" sleep "$MARK"
        run ! is_unchanged
        kill -TERM "$LAUNCHER"
        finish
    done
    unchanged_within 0
}

@test "within 2 s after the launcher's SIGKILL, the host is as before" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        start "$number" sleep "$MARK"
        run ! is_unchanged
        kill -KILL "$LAUNCHER"
        finish
    done
    unchanged_within 2
}

@test "within 2 s after the launcher's SIGKILL, no process of a whole family is left, in 05 to 09" {
    requires root userns cgroup
    local number
    for number in 05 07 08 09; do
        start "$number" sh -c "sleep $MARK & setsid sleep $MARK & exec sleep $MARK"
        retry 2 eval '[ "$(pgrep -cfx "sleep $MARK")" = 3 ]'
        kill -KILL "$LAUNCHER"
        finish
    done
    unchanged_within 2
}

@test "when PID 1 of the container is killed, the host is as before" {
    requires root userns cgroup
    local number
    for number in $STEPS; do
        start "$number" sleep "$MARK"
        kill -KILL "$CONTAINER"
        finish
    done
    unchanged_within 0
}

@test "the container's cgroups are gone after its end, and after a SIGKILL with the next run" {
    requires root userns cgroup
    local paths
    start 09 sleep "$MARK"
    mapfile -t paths < <(cgroups_of "$CONTAINER")
    [ "${#paths[@]}" -ge 1 ]
    kill -TERM "$LAUNCHER"
    finish
    all_removed "${paths[@]}"

    start 09 sleep "$MARK"
    mapfile -t paths < <(cgroups_of "$CONTAINER")
    [ "${#paths[@]}" -ge 1 ]
    kill -KILL "$LAUNCHER"
    finish
    promised 2 is_gone "$CONTAINER"
    if ! all_removed "${paths[@]}"; then
        run -0 "$BIN" run true
    fi
    promised 5 all_removed "${paths[@]}"
}

@test "a user's runs without root leave the host as before" {
    requires root userns
    as_user unshare --user --map-root-user --net --pid --fork --mount-proc true 2>/dev/null ||
        skip "needs user namespaces without root"
    local number
    for number in 02 03 04 05 06 07 08; do
        run -7 as_user "$USER_HOME/step$number" run sh -c 'exit 7'
    done
    unchanged_within 0
}

# --- make cleanup --------------------------------------------------------------

# 生きているランチャーを、そのままにして次へ進む
set_aside() {
    OTHERS+=("$LAUNCHER")
    LAUNCHER=
}

# 名前空間を誰かが開いていると (2 つ目の端末の nsenter など)、veth は消えずに残る
crash_with_link() {
    start 09 sleep "$MARK"
    nsenter --target "$CONTAINER" --net sleep "$MARK" </dev/null 3>&- 4>&- &
    OTHERS+=($!)
    retry 5 eval '[ "$(readlink "/proc/${OTHERS[-1]}/ns/net")" = "$(readlink "/proc/$CONTAINER/ns/net")" ]'
    kill -KILL "$LAUNCHER"
    finish
    promised 5 is_gone "$CONTAINER"
}

crash_stopped() {
    start 09 sleep "$MARK"
    kill -STOP "$CONTAINER"
    kill -KILL "$LAUNCHER"
    finish
    promised 5 is_gone "$CONTAINER"
}

@test "make cleanup removes what killed launchers left, and nothing of anybody else's" {
    requires root userns cgroup net sudo
    local running foreign point
    private_cgroups
    # いつもの利用者のように、make から本物の sudo を通して動かす
    mkdir "$USER_HOME/workshop"
    cp -R "$TOP"/{GNUmakefile,shared} "$USER_HOME/workshop"
    install -D "$TOP/tests/maintain.mk" "$USER_HOME/workshop/tests/maintain.mk"
    ip link add veth-host5 type veth peer name foreign5
    start 09 sleep "$MARK"
    running=$CONTAINER
    set_aside
    for point in "${POINTS[@]}"; do
        mkdir "$point/other"
        [ ! -d "$point/container-steps" ] || mkdir "$point/container-steps/99999"
    done
    foreign=$(private_dirs | sort)
    crash_with_link
    crash_stopped
    crash_stopped
    ip link show veth-host1
    [ "$(private_dirs | sort)" != "$foreign" ]

    run -0 as_user make --no-print-directory -C "$USER_HOME/workshop" cleanup
    [[ $output == *"cleanup.sh: ip link delete veth-host1 "* ]]
    [[ $output == *"cleanup.sh: rmdir "*"/container-steps/"* ]]
    run ! ip link show veth-host1
    ip link show veth-host5
    ip -br addr show veth-host | grep -q ' 10.0.0.1/24 '
    nsenter --target "$running" --net busybox ping -c 1 -W 2 10.0.0.1
    [ "$(private_dirs | sort)" = "$foreign" ]

    # もう何もないので、何も言わない
    run -0 as_user make --no-print-directory -C "$USER_HOME/workshop" cleanup
    [ "$output" = "" ]
    [ "$(private_dirs | sort)" = "$foreign" ]
    CONTAINER=$running
    [ "$(cat "$(group_of pids)/pids.max")" = 64 ]
}

# 守る行: cleanup.sh の namespace
@test "make cleanup keeps the link of a launcher in another PID namespace" {
    requires root userns cgroup net
    # その PID は、ここにはない
    unshare --fork --pid --mount-proc sh -c 'echo 31000 >/proc/sys/kernel/ns_last_pid; "$@"; exit' \
        sh "$BIN" run sleep "$MARK" </dev/null 3>&- 4>&- &
    OTHERS+=($!)
    retry 5 pgrep -fx "sleep $MARK"
    [[ $(ip link show veth-host) == *"alias container-steps 3100"* && ! -d /proc/31001 ]]
    run -0 "$TOP/shared/scripts/cleanup.sh"
    [[ $output != *"ip link delete"* ]]
    ip link show veth-host
    pkill -TERM -P "$(pgrep -P "${OTHERS[0]}")"
    wait "${OTHERS[@]}" || OTHERS=()
    unchanged_within 2
}

# 守る行: cleanup.sh の kill と cgroup.kill
@test "make cleanup ends a container that gave up its death signal, and outlived its launcher" {
    requires root userns cgroup net gcc
    private_cgroups
    start_orphan
    ip link show veth-host
    run -0 "$TOP/shared/scripts/cleanup.sh"
    [[ $output == *"cleanup.sh: rmdir "*"/container-steps/"* ]]
    promised 2 is_gone "$CONTAINER"
    no_private_dirs
    promised 2 eval '! ip link show veth-host'
}

# 守る行: cleanup.sh の flock
@test "make cleanup at any moment of a start does not take the new groups away" {
    requires root userns cgroup net strace
    local parents when
    private_cgroups
    parents=${#POINTS[@]}
    is_v2 cpuset || parents=$((parents - 1))
    # 親に鍵をかけてから自分の cgroup を作るまで、作ってから鍵をかけるまで
    for when in mkdir:2 flock:$((parents + 1)); do
        strace -qq -o /dev/null -e trace="${when%:*}" \
            -e inject="${when%:*}:delay_enter=500000:when=${when#*:}" \
            "$BIN" run --no-veth sh -c 'exit 7' </dev/null >"$AFTER" 2>&1 3>&- 4>&- &
        LAUNCHER=$!
        retry 10 eval 'private_dirs | grep -q /container-steps'
        while ! is_gone "$LAUNCHER"; do
            # 終わるときの空の親なら、どちらが先に消してもよい
            [[ $("$TOP/shared/scripts/cleanup.sh") != *"/container-steps/"* ]]
        done
        local status=0
        wait "$LAUNCHER" || status=$?
        LAUNCHER=
        cat "$AFTER"
        [ "$status" = 7 ]
        no_private_dirs
    done
}
