load helpers

setup() {
    requires root userns
    ROOTFS=$(realpath "$(dirname "$BIN")/rootfs/fs")
    NAME=${BIN##*/}
}

teardown() {
    stop_container
    ip link del outer 2>/dev/null || true
    umount "$BATS_TEST_TMPDIR/point" 2>/dev/null || true
    mount --make-rprivate /
}

list_rootfs() {
    find "$ROOTFS" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort
}

# コンテナのマウント名前空間にあるすべてのマウント。setns(2) は、その名前空間の
# 一番上をルートにするので、コンテナのルートの外にあるものも見える
all_mounts() {
    nsenter --target "$CONTAINER" --mount --pid cat /proc/self/mountinfo
}

# bats test_tags=to09
@test "/demo/unchroot no longer reads a file outside the rootfs" {
    echo secret >"$BATS_TEST_TMPDIR/marker"
    run inside "/demo/unchroot cat $BATS_TEST_TMPDIR/marker"
    [ "$status" = 1 ]
    [[ $output != *secret* ]]
}

@test "after the escape program, / is still the rootfs" {
    run -0 inside '/demo/unchroot ls -A /'
    [ "$(sort <<<"$output")" = "$(list_rootfs)" ]
}

# bats test_tags=to09
@test "the old root is gone: every mount in the namespace is at or below the new root" {
    start_container sleep 100
    run -0 all_mounts
    mounts=$output
    points=$(awk '{ print $5 }' <<<"$mounts")
    [ "${points%%$'\n'*}" = / ]
    [ "$(grep -cx / <<<"$points")" = 1 ]
    run ! grep -vE '^/($|proc$|proc/|sys$|sys/|dev$|dev/)' <<<"$points"
    run ! grep -E ' - (cgroup2?|securityfs|debugfs|tracefs|bpf|binfmt_misc) ' <<<"$mounts"
}

@test "the namespace holds exactly thirteen mounts" {
    start_container sleep 100
    run -0 all_mounts
    expected='/ /dev /dev/full /dev/mqueue /dev/null /dev/pts /dev/random /dev/shm
        /dev/tty /dev/urandom /dev/zero /proc /sys'
    # shellcheck disable=SC2086 # 1 語ずつに分ける
    [ "$(awk '{ print $5 }' <<<"$output" | sort)" = "$(printf '%s\n' $expected | sort)" ]
}

# bats test_tags=to09
@test "proc, sysfs, /dev, devpts, shm and mqueue are mounted with exactly their flags" {
    run -0 inside 'cat /proc/self/mountinfo'
    [ "$(awk '$5 ~ "^/(proc|sys|dev|dev/pts|dev/shm|dev/mqueue)$" {
        sub(/,relatime/, "", $6)
        for (i = 7; $i != "-"; i++);
        print $5, $(i + 1), $6 }' <<<"$output")" = '/proc proc rw,nosuid,nodev,noexec
/sys sysfs ro,nosuid,nodev,noexec
/dev tmpfs rw,nosuid,nodev,noexec
/dev/pts devpts rw,nosuid,noexec
/dev/shm tmpfs rw,nosuid,nodev,noexec
/dev/mqueue mqueue rw,nosuid,nodev,noexec' ]
    grep -q ' / /dev .*mode=755' <<<"$output"
    grep -q ' / /dev .*size=64k' <<<"$output"
    grep -q ' / /dev/pts .*ptmxmode=666' <<<"$output"
    grep -q ' / /dev/shm .*size=65536k' <<<"$output"
    run -0 inside 'stat -c %a /dev/shm'
    [ "$output" = 1777 ]
}

# bats test_tags=to09
@test "/dev/null swallows what is written, and reads as empty" {
    # 先に -c を調べるのは、なければ rootfs に普通のファイルができてしまうから
    run -0 inside '[ -c /dev/null ] && echo gone >/dev/null && cat /dev/null'
    [ "$output" = "" ]
}

# bats test_tags=to09
@test "/dev/zero gives zeros, and /dev/full is always full" {
    run -0 inside '[ -c /dev/zero ] && head -c 4 /dev/zero | od -An -tx1'
    [ "$output" = " 00 00 00 00" ]
    run ! inside '[ -c /dev/full ] && echo x >/dev/full'
    [[ $output == *"No space left on device"* ]]
}

# 小さなコンテナや chroot の中には、/dev の一部しかない
# bats test_tags=to09
@test "a device that the host does not have is left out, the others are there" {
    # shellcheck disable=SC2016 # 内側の sh が展開する
    run -0 unshare --mount sh -c 'mkdir "$1" && mount -t tmpfs tmpfs "$1" &&
        for name in null zero random urandom tty; do
            touch "$1/$name" && mount --bind "/dev/$name" "$1/$name" || exit
        done && mount --rbind "$1" /dev && exec "$0" run ls /dev' "$BIN" "$BATS_TEST_TMPDIR/dev"
    [[ $output != *full* ]]
    [[ $output == *null*zero* ]]
}

# bats test_tags=to09
@test "/dev/random and /dev/urandom give different bytes each time" {
    # shellcheck disable=SC2016 # $dev は、内側の sh が展開する
    run -0 inside 'for i in 1 2; do
        for dev in random urandom; do
            [ -c /dev/$dev ] && head -c 16 /dev/$dev | od -An -tx8
        done
    done'
    [ "${#lines[@]}" = 4 ]
    [ "$(sort -u <<<"$output" | wc -l)" = 4 ]
}

# bats test_tags=to09
@test "/dev/tty is the terminal on which the container was started" {
    [ -n "$(command -v script)" ] || skip "needs script"
    run -0 script -qec "'$BIN' run sh -c '[ -c /dev/tty ] && echo to the terminal >/dev/tty'" \
        /dev/null </dev/null
    [[ $output == *"to the terminal"* ]]
    # 端末がなければ、開けない
    run ! setsid -w "$BIN" run sh -c '[ -c /dev/tty ] && : </dev/tty'
    [[ $output == *"No such device or address"* ]]
}

# bats test_tags=to09
@test "/dev/fd, stdin, stdout, stderr and ptmx are links, and they work" {
    # shellcheck disable=SC2016 # $link は、内側の sh が展開する
    run -0 inside 'for link in fd stdin stdout stderr ptmx; do readlink /dev/$link; done'
    [ "$output" = '/proc/self/fd
/proc/self/fd/0
/proc/self/fd/1
/proc/self/fd/2
pts/ptmx' ]
    run -0 --separate-stderr inside 'echo through the pipe | cat /dev/stdin | cat /dev/fd/0 >/dev/stdout'
    [ "$output" = "through the pipe" ]
    run -0 --separate-stderr inside '[ -L /dev/stderr ] && echo problem | cat >/proc/self/fd/2'
    # shellcheck disable=SC2154 # stderr は --separate-stderr が入れる
    [ "$output" = "" ] && [ "$stderr" = problem ]
}

# bats test_tags=to09
@test "opening /dev/ptmx makes the first terminal of the container's own devpts" {
    run -0 inside 'ls /dev/pts && echo -- && exec 3<>/dev/ptmx && ls /dev/pts && [ -c /dev/pts/0 ]'
    [ "$output" = $'ptmx\n--\n0\nptmx' ]
}

# bats test_tags=to09
@test "/dev/shm starts empty and can be written; the host's does not change" {
    before=$(ls -A /dev/shm)
    run -0 inside 'ls -A /dev/shm; grep -q " /dev/shm tmpfs " /proc/mounts &&
        echo shared >/dev/shm/file && cat /dev/shm/file'
    [ "$output" = shared ]
    [ "$before" = "$(ls -A /dev/shm)" ]
}

# bats test_tags=to09
@test "a message queue made in /dev/mqueue exists in the container only" {
    start_container sh -c 'grep -q " /dev/mqueue mqueue " /proc/mounts &&
        touch /dev/mqueue/queue && exec sleep 100'
    comes 5 grep -q '^QSIZE:0 ' "/proc/$CONTAINER/root/dev/mqueue/queue"
    mkdir "$BATS_TEST_TMPDIR/mqueue"
    mount -t mqueue mqueue "$BATS_TEST_TMPDIR/mqueue"
    outside=$(ls -A "$BATS_TEST_TMPDIR/mqueue")
    umount "$BATS_TEST_TMPDIR/mqueue"
    [ "$outside" = "" ]
}

# bats test_tags=to09
@test "/sys is read-only and shows the container's network devices, not the host's" {
    ip link add outer type veth peer name outer-peer
    run -0 inside 'grep -q " /sys sysfs ro," /proc/mounts && ls /sys/class/net'
    [[ $output == lo* && $output != *outer* ]]
    run ! inside 'grep -q " /sys sysfs " /proc/mounts && mkdir /sys/made'
    [[ $output == *"Read-only file system"* ]]
    run ! inside 'grep -q " /sys sysfs " /proc/mounts && echo 1 >/sys/kernel/profiling'
    [[ $output == *"Read-only file system"* ]]
}

# bats test_tags=to09
@test "root and working directory are / of the container's own mount, seen from both sides" {
    for dir in / "$ROOTFS/tmp" "$TOP" "$BATS_TEST_TMPDIR"; do
        cd "$dir"
        # shellcheck disable=SC2016 # $5 は、内側の awk が読む
        run -0 inside 'pwd -P; readlink /proc/self/cwd; awk "\$5 == \"/\"" /proc/self/mountinfo'
        [ "${lines[0]}" = / ]
        [ "${lines[1]}" = / ]
        [ "${#lines[@]}" = 3 ]
        start_container sleep 100
        [ "$(readlink "/proc/$CONTAINER/root")" = / ]
        [ "$(readlink "/proc/$CONTAINER/cwd")" = / ]
        stop_container
    done
}

# bats test_tags=to09
@test "a rootfs whose dev, proc or sys is a symbolic link is refused, nothing is mounted" {
    cp -a "$ROOTFS" "$BATS_TEST_TMPDIR/fs"
    cd "$BATS_TEST_TMPDIR"
    mkdir outside fs/target
    before=$(cat /proc/self/mountinfo)
    for dir in proc sys dev; do
        for target in target "$BATS_TEST_TMPDIR/outside"; do
            rmdir "fs/$dir"
            ln -s "$target" "fs/$dir"
            run -125 "$BIN" run --rootfs fs touch /ran
            [ "${lines[0]}" = "$NAME: openat2 $dir: Too many levels of symbolic links" ]
            [[ ${lines[1]} == "  ヒント: "* ]]
            rm "fs/$dir"
            mkdir "fs/$dir"
        done
    done
    [ ! -e fs/ran ]
    [ "$before" = "$(cat /proc/self/mountinfo)" ]
    [ "$(ls -A outside fs/target)" = $'fs/target:\n\noutside:' ]
}

# rootfs は使う人のもの。足りないディレクトリを作ると、失敗しても残る
# bats test_tags=to09
@test "a rootfs without dev, proc or sys is refused, and nothing is made in it" {
    mkdir "$BATS_TEST_TMPDIR/fs" "$BATS_TEST_TMPDIR/fs/"{dev,proc,sys}
    cd "$BATS_TEST_TMPDIR"
    for dir in dev proc sys; do
        rmdir "fs/$dir"
        before=$(find fs)
        run -125 "$BIN" run --rootfs fs true
        [ "${lines[0]}" = "$NAME: openat2 $dir: No such file or directory" ]
        [[ ${lines[1]} == "  ヒント: "* ]]
        [ "$(find fs)" = "$before" ]
        mkdir "fs/$dir"
    done
    # コマンドが見つからないときも同じ
    run -127 "$BIN" run --rootfs fs no-such-command
    [ "$(find fs | sort)" = $'fs\nfs/dev\nfs/proc\nfs/sys' ]
}

# "/" や "." という名前は、重ねたあとも下のほうを指す
# bats test_tags=to09
@test "--rootfs /, . and .. hold, and so do a mount point and a shared mount: own processes, sysfs, devices" {
    ip link add outer type veth peer name outer-peer
    mkdir "$BATS_TEST_TMPDIR/point"
    mount --bind "$ROOTFS" "$BATS_TEST_TMPDIR/point"
    mount --make-shared "$BATS_TEST_TMPDIR/point"
    state=$(cat /proc/self/mountinfo)
    for case in /:/ "$ROOTFS:." "$ROOTFS/bin:.." "$ROOTFS/bin:../bin/.." "/:$BATS_TEST_TMPDIR/point" \
        "$BATS_TEST_TMPDIR/point:."; do
        cd "${case%%:*}"
        # shellcheck disable=SC2016 # $# は、内側の sh が展開する
        run -0 "$BIN" run --rootfs "${case#*:}" sh -c 'set -- /proc/[0-9]*
            echo $#; ls -A /sys/fs/cgroup | wc -l; echo /sys/class/net/*; echo /dev/*
            echo gone >/dev/null; cat /dev/null; readlink /proc/self/cwd'
        cd /
        [ "${lines[0]}" = 1 ] && [ "${lines[1]}" = 0 ]
        [[ ${lines[2]} == /sys/class/net/lo* && ${lines[2]} != *outer* ]]
        [ "${lines[3]}" = "$(printf ' /dev/%s' fd full mqueue null ptmx pts random shm \
            stderr stdin stdout tty urandom zero | cut -c 2-)" ]
        [ "${lines[4]}" = / ]
    done
    [ "$state" = "$(cat /proc/self/mountinfo)" ]
    umount "$BATS_TEST_TMPDIR/point"
}

# bats test_tags=to09
@test "the host's mounts are the same before, during and after, also when its / is shared" {
    mount --make-rshared /
    before=$(cat /proc/self/mountinfo)
    start_container sleep 100
    during=$(cat /proc/self/mountinfo)
    inner=$(cat "/proc/$CONTAINER/mountinfo")
    stop_container
    grep -q ' / /dev/mqueue ' <<<"$inner"
    # コンテナのほうは、伝播が切れている
    run ! grep -E ' (shared|master|propagate_from):' <<<"$inner"
    [ "$before" = "$during" ]
    [ "$before" = "$(cat /proc/self/mountinfo)" ]
}

# bats test_tags=to09
@test "a mount made on the host afterwards does not appear inside, and the rootfs' own directories stay empty" {
    mount --make-rshared /
    start_container sleep 100
    mkdir "$BATS_TEST_TMPDIR/late"
    mount -t tmpfs late "$BATS_TEST_TMPDIR/late"
    inner=$(cat "/proc/$CONTAINER/mountinfo")
    everything=$(all_mounts)
    umount "$BATS_TEST_TMPDIR/late"
    grep -q ' / /dev/shm ' <<<"$inner"
    [[ $everything != *late* ]]
    [ "$(find "$ROOTFS/dev" "$ROOTFS/proc" "$ROOTFS/sys" -mindepth 1)" = "" ]
}
