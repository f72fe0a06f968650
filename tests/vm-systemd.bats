# systemd が動いている本物の機械でだけ試せること: 委譲された cgroup、サービス、
# ログインのセッション、networkd。仮想マシンの中 (VM=1) でだけ動く (test.sh)。
# 消えてよい機械なので、PID とネットワークは分けない。
#
# shellcheck disable=SC2016 # $ を展開するのは、内側の sh
# shellcheck disable=SC2154 # stderr は --separate-stderr が入れる
load helpers

setup_file() {
    # ログインしているユーザー。スイートの attendee と同じ名前かもしれないので、番号で呼ぶ
    USER_ID=$(stat -c %u /run/user/[1-9]* | head -n 1)
    export USER_ID
    # サービスには、このスイートのマウントは見えない
    cp -a "$(dirname "$BIN")" /var/lib/bats-workshop
}

teardown_file() {
    rm -rf /var/lib/bats-workshop
}

setup() {
    [ -d /run/systemd/system ]
    TOP_CGROUP=/sys/fs/cgroup
    [ -e "$TOP_CGROUP/cgroup.controllers" ] || TOP_CGROUP=
    SERVICE=/var/lib/bats-workshop/$(basename "$BIN")
    SLEEPERS=$(pgrep -xc sleep || true)
}

needs_v2() {
    [ -n "$TOP_CGROUP" ] || skip "this machine was booted with cgroup v1"
}

as_login_user() {
    setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups \
        env -i PATH="$PATH" XDG_RUNTIME_DIR="/run/user/$USER_ID" "$@"
}

in_delegated_scope() {
    as_login_user systemd-run --quiet --user --scope -p Delegate=yes "$@"
}

# systemd の作った cgroup と、その中のプロセス。このスイートのものは除く
systemd_groups() {
    systemd-cgls --no-pager --full 2>/dev/null | grep -oE '[a-z@0-9.-]+\.(slice|service|scope)' |
        grep -vE '^run-|bats-' | sort
}

nothing_left() {
    [ -z "$(find /sys/fs/cgroup -name 'container-steps*' 2>/dev/null)" ] &&
        ! ip link show veth-host >/dev/null 2>&1
}

@test "in a delegated scope, an ordinary user's container has its limits, and lifts none" {
    needs_v2
    run -0 in_delegated_scope "$BIN" run --no-veth sh -c \
        'cat /proc/self/cgroup; /demo/memhog; echo $?'
    [[ $output == *"0::/"$'\n'* ]]
    [ "${lines[-1]}" = 137 ]
    in_delegated_scope "$BIN" run --no-veth sleep 100 3>&- &
    retry 5 find_scoped_group
    [ "$(cat "$GROUP/cpu.max")" = "20000 100000" ]
    [ "$(cat "$GROUP/memory.max" "$GROUP/memory.swap.max" "$GROUP/pids.max" | xargs)" = "52428800 0 64" ]
    [[ $GROUP == */user.slice/*.scope/container-steps/* ]]
    kill -TERM "${GROUP##*/}"
    wait $! || [ $? = 143 ]
    retry 5 nothing_left
}

# そのユーザーの sleep がいる、container-steps の下の cgroup
find_scoped_group() {
    local procs
    while read -r procs; do
        [ -n "$(cat "$procs")" ] && GROUP=${procs%/cgroup.procs} && return 0
    done < <(find "$TOP_CGROUP/user.slice" -path '*/container-steps/*/cgroup.procs')
    return 1
}

@test "in a delegated scope with another process in it: refused with a hint, nobody is moved" {
    needs_v2
    run --separate-stderr in_delegated_scope sh -c '
        sleep 100 & before=$(cat /proc/$!/cgroup)
        "$0" run --no-veth true; echo status $?
        [ "$(cat /proc/$!/cgroup)" = "$before" ] && echo not moved
        kill $!' "$BIN"
    [ "$output" = $'status 125\nnot moved' ]
    [[ ${stderr_lines[0]} == "step09: write "*"/cgroup.subtree_control: Device or resource busy" ]]
    [[ ${stderr_lines[1]} == "  ヒント: "* ]]
    retry 5 nothing_left
}

@test "a login session is not delegated: an ordinary user is refused with a hint" {
    needs_v2
    run -125 --separate-stderr as_login_user "$BIN" run --no-veth true
    [[ ${stderr_lines[0]} == "step09: "*": Permission denied" ]]
    [[ $stderr == *"  ヒント: "* ]]
    nothing_left
}

@test "systemd's own cgroups and their processes are as before and during a container" {
    before=$(systemd_groups)
    start_container sleep 100
    [ "$(systemd_groups)" = "$before" ]
    stop_container
    [ "$(systemd_groups)" = "$before" ]
    retry 5 nothing_left
}

@test "systemd-networkd does not take the link: its address stays" {
    start_container sleep 100
    networkctl reload
    run -0 networkctl --no-legend list veth-host
    [[ $output == *unmanaged* ]]
    ip -4 addr show veth-host | grep -q 10.0.0.1/24
    stop_container
    retry 5 nothing_left
}

@test "as a service: systemctl stop ends the container, and nothing is left" {
    start_service
    systemctl stop bats-container
    retry 5 nothing_left
    sleepers_are_gone
}

@test "as a service: SIGKILL of all that systemd knows ends the container; groups go with the next run" {
    start_service
    systemctl kill --signal KILL bats-container
    retry 5 sleepers_are_gone
    run -0 "$BIN" run true
    retry 5 nothing_left
}

# systemd は 143 (128+SIGTERM) を失敗とみなすので、そうでないと伝える
start_service() {
    systemd-run --quiet --collect -p SuccessExitStatus=143 --unit bats-container \
        "$SERVICE" run sleep 100
    retry 5 service_runs
}

service_runs() {
    ip link show veth-host >/dev/null 2>&1 && ! sleepers_are_gone
}

sleepers_are_gone() {
    [ "$(pgrep -xc sleep || true)" = "$SLEEPERS" ]
}

# 誰もログインしていない Debian 13 の一番上は、cpu を配っていない
@test "where the root does not hand out cpu, the first container switches it on, and the last off" {
    needs_v2
    local file
    while read -r file; do
        ! grep -qw cpu "$file" || echo -cpu >"$file"
    done < <(find "$TOP_CGROUP" -name cgroup.subtree_control -printf '%d %p\n' |
        sort -rn | cut -d ' ' -f 2) # 深いほうから。上は、下が手放すまで外せない
    run ! grep -w cpu "$TOP_CGROUP/cgroup.subtree_control"
    start_container sleep 100
    grep -qw cpu "$TOP_CGROUP/cgroup.subtree_control"
    run -0 "$BIN" run true
    grep -qw cpu "$TOP_CGROUP/cgroup.subtree_control"
    stop_container
    run ! grep -w cpu "$TOP_CGROUP/cgroup.subtree_control"
    nothing_left
}

@test "after all of that, systemd is running and no unit has failed" {
    [ "$(systemctl is-system-running)" = running ]
    [ -z "$(systemctl --failed --no-legend)" ]
}
