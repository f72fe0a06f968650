# rootless.bats - 一般ユーザー attendee が、sudo なしで、または本物の sudo を通して使う
load helpers

setup() {
    requires root userns cgroup net
    MOUNTS=$(cat /proc/self/mountinfo)
    LINKS=$(ip -br link)
    # start_container から使えるように、attendee になってから動かすプログラムにする。
    # exec でつなぐので、ランチャーの PID は変わらない
    cat >"$BATS_TEST_TMPDIR/as-attendee" <<'END'
#!/bin/sh
step=${0##*-}
exec setpriv --reuid attendee --regid attendee --init-groups \
    env -i PATH="$PATH" HOME="$USER_HOME" USER=attendee "$USER_HOME/step$step" "$@"
END
    chmod 755 "$BATS_TEST_TMPDIR/as-attendee"
    for STEP in 01 02 03 04 05 06 07 08 09; do
        ln -s as-attendee "$BATS_TEST_TMPDIR/step-$STEP"
    done
    cd "$USER_HOME" || return 1
}

teardown() {
    stop_container
    rm -rf "$USER_HOME"/made-by-the-test "$USER_HOME"/rootfs/fs/tmp/*
    ip link del veth-host 2>/dev/null || true
}

# attendee として動かすステップを選ぶ: as_attendee 05
as_attendee() {
    BIN=$BATS_TEST_TMPDIR/step-$1
}

# 一般ユーザーのユーザー名前空間が使えるホストか。Ubuntu 24.04 の AppArmor は、作る
# ことを許し、中でのマウントを拒む
rootless_is_allowed() {
    as_user unshare --user --map-root-user --mount mount -t tmpfs tmpfs /mnt 2>/dev/null ||
        if [ -n "${REQUIRE_ALL:-}" ]; then
            echo "rootless namespaces are refused here, and REQUIRE_ALL is set" >&2
            return 1
        else
            skip "this host refuses rootless namespaces"
        fi
}

@test "01 to 08 run as an ordinary user, and the exit status passes through" {
    rootless_is_allowed
    for step in 01 02 03 04 05 06 07 08; do
        as_attendee $step
        run -0 inside 'echo it runs'
        [ "$output" = "it runs" ]
        run -7 inside 'exit 7'
    done
}

@test "02: the user is 65534 inside, with its own three namespaces" {
    rootless_is_allowed
    as_attendee 02
    run -0 inside 'id -u; cat /proc/self/uid_map'
    [ "$output" = 65534 ]
    start_container sleep 100
    for name in ipc net user; do
        [ "$(readlink "/proc/$CONTAINER/ns/$name")" != "$(readlink "/proc/self/ns/$name")" ]
    done
}

@test "03 to 08: uid 0 and gid 0 inside are attendee outside" {
    rootless_is_allowed
    for step in 03 04 05 06 07 08; do
        as_attendee $step
        run -0 inside 'id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups'
        [ "$(xargs <<<"$output")" = "0 0 0 4711 1 0 4712 1 deny" ]
        start_container sleep 100
        [ "$(ps -o user= -p "$CONTAINER")" = attendee ]
        stop_container
    done
}

@test "03 to 08: a file that root makes inside belongs to attendee outside" {
    rootless_is_allowed
    for step in 03 04 05; do
        as_attendee $step
        run -0 inside "echo x >$USER_HOME/made-by-the-test && stat -c %u:%g $USER_HOME/made-by-the-test"
        [ "$output" = 0:0 ]
        [ "$(stat -c %U:%G "$USER_HOME/made-by-the-test")" = attendee:attendee ]
        rm "$USER_HOME/made-by-the-test"
    done
    for step in 06 07 08; do
        as_attendee $step
        run -0 inside 'echo x >/tmp/made && stat -c %u:%g /tmp/made'
        [ "$output" = 0:0 ]
        [ "$(stat -c %U:%G "$USER_HOME/rootfs/fs/tmp/made")" = attendee:attendee ]
        rm "$USER_HOME/rootfs/fs/tmp/made"
    done
}

@test "root inside has no power over root's files outside" {
    rootless_is_allowed
    echo secret >"$USER_HOME/made-by-the-test"
    chmod 600 "$USER_HOME/made-by-the-test"
    for step in 03 04 05; do
        as_attendee $step
        run inside "id -u; cat $USER_HOME/made-by-the-test; chown 0 $USER_HOME/made-by-the-test"
        [ "${lines[0]}" = 0 ]
        [[ $output != *secret* ]]
    done
    [ "$(stat -c %U:%a "$USER_HOME/made-by-the-test")" = root:600 ]
}

@test "04: the host name inside is container, the host's is unchanged" {
    rootless_is_allowed
    before=$(uname -n)
    for step in 04 05 06 07 08; do
        as_attendee $step
        run -0 inside 'uname -n'
        [ "$output" = container ]
    done
    [ "$before" = "$(uname -n)" ]
}

@test "05: ps shows the container's own processes, and the shell is number 1" {
    rootless_is_allowed
    for step in 05 06 07 08; do
        as_attendee $step
        # shellcheck disable=SC2016 # $$ は、内側の sh が展開する
        run -0 inside 'echo $$; ls /proc | grep -c "^[0-9]"; true'
        [ "${lines[0]}" = 1 ]
        ((lines[1] <= 3))
    done
}

@test "06: chroot works and unchroot escapes; 07 and 08: it does not" {
    rootless_is_allowed
    echo public >"$USER_HOME/made-by-the-test"
    as_attendee 06
    run -0 inside "ls -d /demo; /demo/unchroot cat $USER_HOME/made-by-the-test"
    [ "$output" = $'/demo\npublic' ]
    for step in 07 08; do
        as_attendee $step
        run ! inside "ls -d /demo; /demo/unchroot cat $USER_HOME/made-by-the-test"
        [[ $output == /demo* && $output != *public* ]]
    done
}

@test "07: the whole mount table and the devices work" {
    rootless_is_allowed
    as_attendee 07
    run -0 inside 'echo x >/dev/null && head -c 2 /dev/zero | od -An -tx1 &&
        wc -l </proc/self/mountinfo && exec 3<>/dev/ptmx && ls /dev/pts | head -n 1 &&
        touch /dev/shm/a /dev/mqueue/b && ls /sys/class/net'
    [ "$(xargs <<<"$output")" = "00 00 13 0 lo" ]
}

@test "08: the five masks, NoNewPrivs, no nested user namespace, --cap-add" {
    rootless_is_allowed
    as_attendee 08
    run -0 inside "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | cut -f2"
    [ "$(xargs <<<"$output")" = "0000000000000000 0000000020000420 0000000020000420 0000000020000420 0000000000000000 1" ]
    run ! inside 'unshare -U true'
    [[ $output == *"No space left on device"* ]]
    run -0 "$BIN" run --cap-add SYS_CHROOT chroot / true
}

@test "09 without sudo is refused at the cgroup, with a hint, and nothing is left" {
    as_attendee 09
    run -125 "$BIN" run echo ran
    [[ ${lines[0]} == "step09: mkdir "*": Permission denied" ]]
    [[ ${lines[1]} == "  ヒント: "*sudo* ]]
    [[ $output == *--no-cgroup* && $output != *ran* ]]
    [ "$LINKS" = "$(ip -br link)" ]
    run ! pgrep -u attendee
}

@test "09 without sudo is refused in the same words while root's container runs" {
    BIN=$USER_HOME/step09 start_container --no-veth sleep 100
    as_attendee 09
    run -125 "$BIN" run echo ran
    [[ ${lines[0]} == "step09: mkdir "*": Permission denied" ]]
    [[ ${lines[1]} == "  ヒント: "*sudo* ]]
}

@test "09 with --no-cgroup alone is refused at the link, with a hint, and nothing is left" {
    rootless_is_allowed
    as_attendee 09
    run -125 "$BIN" run --no-cgroup echo ran
    [[ ${lines[0]} == "step09: netlink link veth-host: Operation not permitted" ]]
    [[ $output == *"  ヒント: "*--no-veth* && $output != *$'\n'ran* ]]
    [ "$LINKS" = "$(ip -br link)" ]
    run ! pgrep -u attendee
}

@test "09 with --no-cgroup --no-veth works, and lo is its only link" {
    rootless_is_allowed
    as_attendee 09
    run -0 "$BIN" run --no-cgroup --no-veth sh -c \
        'id -u; ls /sys/class/net; grep ^CapEff /proc/self/status'
    [ "$output" = $'0\nlo\nCapEff:\t0000000020000420' ]
}

@test "through sudo: root inside is attendee, in the map, for ps and for files; no groups are left" {
    requires sudo
    run -0 as_sudoer "$USER_HOME/step09" run sh -c \
        'id -u; id -g; id -G; cat /proc/self/uid_map /proc/self/gid_map; echo x >/tmp/made'
    [ "$(xargs <<<"$output")" = "0 0 0 0 4711 1 0 4712 1" ]
    [ "$(stat -c %U:%G "$USER_HOME/rootfs/fs/tmp/made")" = attendee:attendee ]
    as_sudoer "$USER_HOME/step09" run sleep 12345 </dev/null 3>&- 4>&- &
    LAUNCHER=$!
    retry 5 pgrep -x -u attendee sleep
    CONTAINER=$(pgrep -x -u attendee sleep)
    [ "$(ps -o user= -p "$CONTAINER")" = attendee ]
    [ "$(awk '$1 == "Groups:" { print NF }' "/proc/$CONTAINER/status")" = 1 ]
    ip -br addr show veth-host | grep -q ' 10.0.0.1/24 '
    grep -q /container-steps "/proc/$CONTAINER/cgroup"
    # sudo は、ランチャーが終わるのを待って終わる
    kill -TERM "$(awk '$1 == "PPid:" { print $2 }' "/proc/$CONTAINER/status")"
    wait "$LAUNCHER" || true
    LAUNCHER=
    run ! ip link show veth-host
}

@test "through sudo: root inside cannot read root's files" {
    requires sudo
    echo secret >"$USER_HOME/made-by-the-test"
    chmod 600 "$USER_HOME/made-by-the-test"
    run as_sudoer "$USER_HOME/step05" run sh -c "id -u; cat $USER_HOME/made-by-the-test"
    [ "${lines[0]}" = 0 ]
    [[ $output == *"ermission denied"* && $output != *secret* ]]
}

@test "when user.max_user_namespaces is 0, the hint names that switch" {
    rootless_is_allowed
    for step in 02 05 08; do
        # shellcheck disable=SC2016 # $0 は、内側の sh が展開する
        run -125 as_user unshare --user --map-root-user sh -c \
            'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" run true' "$USER_HOME/step$step"
        [ "${lines[0]}" = "step$step: clone3: No space left on device" ]
        [[ $output == *"  ヒント: "*"sysctl -w user.max_user_namespaces="* ]]
    done
}

# Ubuntu 24.04 は名前空間を作らせるが、そこでのケーパビリティをすべて拒む。マッピングは外の
# 親が書くので、03 までは動く。スイッチのファイルは、本物と同じ場所に作る
@test "when AppArmor takes the capabilities, 02 and 03 still run, and the hint names its switch in 04 to 08" {
    requires strace
    rootless_is_allowed
    for step in 02 03 04 05 06 07 08; do
        # shellcheck disable=SC2016 # $0 などは、内側の sh が展開する
        run unshare --mount sh -c 'mount -t tmpfs -o mode=755 tmpfs /proc/sys/kernel &&
            echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns &&
            exec setpriv --reuid attendee --regid attendee --init-groups strace -f -qq -o /dev/null \
                -e trace=sethostname,mount,chroot,pivot_root \
                -e inject=sethostname,chroot:error=EPERM -e inject=mount,pivot_root:error=EACCES \
                "$0" run echo ran' "$USER_HOME/step$step"
        case $step in
        02 | 03) [ "$status:$output" = 0:ran ] ;;
        *)
            [ "$status" = 125 ]
            [ "${lines[0]}" = "step$step: sethostname container: Operation not permitted" ]
            [[ $output == *"  ヒント: "*AppArmor* && $output != *ran* ]]
            [[ $output == *"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"* ]]
            ;;
        esac
    done
    [ "$MOUNTS" = "$(cat /proc/self/mountinfo)" ]
}

@test "when a part of /proc is masked outside, as in Docker, the hint says so" {
    rootless_is_allowed
    for step in 05 06 07 08; do
        # shellcheck disable=SC2016 # $0 は、内側の sh が展開する
        run -125 unshare --mount sh -c 'mount --bind /dev/null /proc/version && exec "$0" run true' \
            "$BATS_TEST_TMPDIR/step-$step"
        [[ ${lines[0]} =~ ^"step$step: mount "/?"proc: Operation not permitted"$ ]]
        [[ ${lines[1]} == "  ヒント: "*/proc* ]]
    done
    [ "$MOUNTS" = "$(cat /proc/self/mountinfo)" ]
}
