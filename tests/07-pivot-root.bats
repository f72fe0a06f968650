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

# 要件: /demo/unchroot は、rootfs の外のファイルを読めない
# 手で: sudo my/step07 run /demo/unchroot ls /  # rootfs の中身のまま
# 手引き: 動かす
# 項目: switch_root bind_rootfs child
# bats test_tags=to09
@test "/demo/unchroot no longer reads a file outside the rootfs" {
    echo secret >"$BATS_TEST_TMPDIR/marker"
    run inside "/demo/unchroot cat $BATS_TEST_TMPDIR/marker"
    [ "$status" = 1 ]
    [[ $output != *secret* ]]
}

# 要件: /demo/unchroot のあとも、/ は rootfs のまま
# 手で: sudo my/step07 run /demo/unchroot ls -di /
# 手引き: 動かす
# 項目: switch_root
@test "after the escape program, / is still the rootfs" {
    run -0 inside '/demo/unchroot ls -A /'
    [ "$(sort <<<"$output")" = "$(list_rootfs)" ]
}

# 要件: 見えるマウントは、どれも新しいルートの下にある
# 手で: sudo my/step07 run cat /proc/self/mountinfo
# 手引き: この 1 行を消すと
# 項目: switch_root
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

# 要件: 見えるマウントは 13 個
# 手で: sudo my/step07 run sh -c 'wc -l </proc/self/mountinfo'  # 13
# 手引き: /dev と /sys を確かめる
# 項目: mount_file_systems populate_dev bind_rootfs switch_root
@test "the namespace holds exactly thirteen mounts" {
    start_container sleep 100
    run -0 all_mounts
    expected='/ /dev /dev/full /dev/mqueue /dev/null /dev/pts /dev/random /dev/shm
        /dev/tty /dev/urandom /dev/zero /proc /sys'
    # shellcheck disable=SC2086 # 1 語ずつに分ける
    [ "$(awk '{ print $5 }' <<<"$output" | sort)" = "$(printf '%s\n' $expected | sort)" ]
}

# 要件: proc、sysfs、/dev などに、決めたフラグが付いている
# 手で: sudo my/step07 run cat /proc/self/mounts
# 手引き: /dev と /sys を確かめる
# 項目: mount_file_systems make_mount
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

# 要件: /dev/null は、書いたものを捨て、読むと空
# 手で: sudo my/step07 run sh -c '[ -c /dev/null ] && echo x >/dev/null && wc -c </dev/null'  # 0
# 手引き: /dev と /sys を確かめる
# 項目: bind_device populate_dev
# bats test_tags=to09
@test "/dev/null swallows what is written, and reads as empty" {
    # 先に -c を調べるのは、なければ rootfs に普通のファイルができてしまうから
    run -0 inside '[ -c /dev/null ] && echo gone >/dev/null && cat /dev/null'
    [ "$output" = "" ]
}

# 要件: /dev/zero は 0 を返し、/dev/full はいつも一杯
# 手で: sudo my/step07 run sh -c '[ -c /dev/full ] && echo x >/dev/full'  # No space left on device
# 手引き: /dev と /sys を確かめる
# 項目: populate_dev bind_device
# bats test_tags=to09
@test "/dev/zero gives zeros, and /dev/full is always full" {
    run -0 inside '[ -c /dev/zero ] && head -c 4 /dev/zero | od -An -tx1'
    [ "$output" = " 00 00 00 00" ]
    run ! inside '[ -c /dev/full ] && echo x >/dev/full'
    [[ $output == *"No space left on device"* ]]
}

# 小さなコンテナや chroot の中には、/dev の一部しかない
# 要件: ホストにないデバイスは省き、ほかは使える
# 手で: sudo my/step07 run ls -l /dev
# 手引き: /dev と /sys を確かめる
# 項目: bind_device
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

# 要件: /dev/random と /dev/urandom は、毎回違うバイトを返す
# 手で: sudo my/step07 run sh -c 'head -c 8 /dev/urandom | hexdump'
# 手引き: /dev と /sys を確かめる
# 項目: populate_dev bind_device
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

# 要件: /dev/tty は、コンテナを始めた端末
# 手で: sudo my/step07 run sh -c '[ -c /dev/tty ] && echo hello >/dev/tty'  # hello
# 手引き: /dev と /sys を確かめる
# 項目: populate_dev bind_device
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

# 要件: /dev/fd、stdin、stdout、stderr、ptmx はリンクで、使える
# 手で: sudo my/step07 run ls -l /dev
# 手引き: /dev と /sys を確かめる
# 項目: make_link populate_dev
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

# 要件: /dev/ptmx を開くと、コンテナの devpts に初めの端末ができる
# 手で: sudo my/step07 run sh -c '[ -c /dev/ptmx ] && exec 3<>/dev/ptmx; ls /dev/pts'  # 0 がある
# 手引き: 発展課題: コンテナに自分の端末を持たせる
# 項目: mount_file_systems make_link populate_dev
# bats test_tags=to09
@test "opening /dev/ptmx makes the first terminal of the container's own devpts" {
    run -0 inside 'ls /dev/pts && echo -- && exec 3<>/dev/ptmx && ls /dev/pts && [ -c /dev/pts/0 ]'
    [ "$output" = $'ptmx\n--\n0\nptmx' ]
}

# 要件: /dev/shm は空で始まり、ホストのものは変わらない
# 手で: sudo my/step07 run sh -c 'ls -A /dev/shm; touch /dev/shm/probe'; ls /dev/shm
# 手引き: /dev と /sys を確かめる
# 項目: mount_file_systems
# bats test_tags=to09
@test "/dev/shm starts empty and can be written; the host's does not change" {
    before=$(ls -A /dev/shm)
    run -0 inside 'ls -A /dev/shm; grep -q " /dev/shm tmpfs " /proc/mounts &&
        echo shared >/dev/shm/file && cat /dev/shm/file'
    [ "$output" = shared ]
    [ "$before" = "$(ls -A /dev/shm)" ]
}

# 要件: /dev/mqueue に作ったキューは、コンテナだけにある
# 手で: sudo my/step07 run sh -c 'touch /dev/mqueue/probe; ls /dev/mqueue'
# 手引き: /dev と /sys を確かめる
# 項目: mount_file_systems
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

# 要件: /sys は読み取り専用で、コンテナのネットワークデバイスだけを見せる
# 手で: sudo my/step07 run ls /sys/class/net  # lo だけ
# 手引き: /dev と /sys を確かめる
# 項目: mount_file_systems
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

# 要件: ルートもカレントディレクトリも、コンテナのマウントの /
# 手で: sudo my/step07 run sleep 100
# 手で 2: sudo readlink /proc/$(pgrep -fx 'sleep 100')/root  # /
# 手引き: ホストから、コンテナのルートを見る
# 項目: switch_root
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

# 要件: dev、proc、sys がリンクの rootfs は断り、何もマウントしない
# 手で: mkdir -p /tmp/bad/sys /tmp/bad/dev && ln -sfn /tmp /tmp/bad/proc; sudo my/step07 run --rootfs /tmp/bad true; echo $?  # 125
# 手引き: うまくいかないとき
# 項目: make_mount
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
# 要件: dev、proc、sys のない rootfs は断り、中に何も作らない
# 手で: mkdir -p /tmp/empty; sudo my/step07 run --rootfs /tmp/empty true; echo $?; ls -A /tmp/empty
# 手引き: うまくいかないとき
# 項目: make_mount
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
# 要件: --rootfs / や . でも、自分のプロセスとデバイスになる
# 手で: sudo my/step07 run --rootfs / ls /dev  # fd、full、mqueue など、自分のものだけ
# 手引き: pivot_root の条件を 1 つずつ破る
# 項目: bind_rootfs mount_file_systems switch_root
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

# 要件: ホストのマウントが、前も、動いているあいだも、後も同じ
# 手で: wc -l /proc/self/mountinfo; sudo my/step07 run true; wc -l /proc/self/mountinfo  # 同じ数
# 手引き: この 1 行を消すと
# 項目: bind_rootfs switch_root
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

# 要件: ホストがあとからしたマウントは現れず、rootfs のディレクトリも空のまま
# 手で: sudo my/step07 run true; ls rootfs/fs/proc rootfs/fs/dev rootfs/fs/sys  # どれも空
# 手引き: ホストから、コンテナのルートを見る
# 項目: bind_rootfs switch_root
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
