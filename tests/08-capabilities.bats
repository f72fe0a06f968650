load helpers

setup() {
    requires root userns
    ROOTFS=$(realpath "$(dirname "$BIN")/rootfs/fs")
}

teardown() {
    stop_container
    umount "$BATS_TEST_TMPDIR/fs" 2>/dev/null || true
}

# 書き換えてよい rootfs のコピーを、setuid やファイルのケーパビリティが効く場所に
# 作る (Debian 13 の /tmp は nosuid)。busybox は名前で働きが変わるので、名前のほうは
# 同じにする
copy_rootfs() {
    mkdir "$BATS_TEST_TMPDIR/fs"
    mount -t tmpfs -o mode=755 tmpfs "$BATS_TEST_TMPDIR/fs"
    cp -a "$ROOTFS/." "$BATS_TEST_TMPDIR/fs"
    mkdir "$BATS_TEST_TMPDIR/fs/copy"
    cp "$(command -v busybox)" "$BATS_TEST_TMPDIR/fs/copy/busybox"
}

# /proc/PID/status の 5 つのマスク。引数は、残っているケーパビリティ
masks() {
    printf 'CapInh:\t%016x\nCapPrm:\t%016x\nCapEff:\t%016x\nCapBnd:\t%016x\nCapAmb:\t%016x' \
        0 "$1" "$1" "$1" 0
}

# runc spec が並べるもの。カーネルの構成によっては、ないものもある
MASKED='/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats
    /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware'
READONLY='/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger'
# Docker だけが並べるものと、どちらにもないもの
MASKED+=' /proc/interrupts /sys/devices/virtual/powercap /sys/devices/virtual/tpm'
READONLY+=' /proc/dynamic_debug'

# 要件: exec のあとのケーパビリティは、許可、有効、バウンディングの 3 つずつだけ
# 手で: sudo my/step08 run grep Cap /proc/self/status
# 手引き: 動かす
# 項目: drop_capabilities capabilities_to_keep child
# bats test_tags=to09
@test "after exec the five masks are 0, 20000420 three times, and 0" {
    run -0 inside 'grep ^Cap /proc/self/status'
    [ "$output" = "$(masks 0x20000420)" ]
    run -0 "$BIN" run grep ^Cap /proc/1/status
    [ "$output" = "$(masks 0x20000420)" ]
    start_container sleep 100
    [ "$(grep ^Cap "/proc/$CONTAINER/status")" = "$(masks 0x20000420)" ]
}

# 要件: --cap-add NET_RAW で、そのビットだけが増える
# 手で: sudo my/step08 run --cap-add NET_RAW grep Cap /proc/self/status
# 手引き: ケーパビリティを 1 つ足す
# 項目: capabilities_to_keep main
# bats test_tags=to09
@test "--cap-add NET_RAW adds its bit to permitted, effective and bounding, and no other" {
    run -0 "$BIN" run --cap-add NET_RAW grep ^Cap /proc/self/status
    [ "$output" = "$(masks 0x20002420)" ]
    run -0 "$BIN" run --cap-add=net_raw grep ^Cap /proc/self/status
    [ "$output" = "$(masks 0x20002420)" ]
}

# 要件: --cap-add は、何度でも指定できる
# 手で: sudo my/step08 run --cap-add NET_RAW --cap-add CHOWN grep CapEff /proc/self/status
# 手引き: ケーパビリティを 1 つ足す
# 項目: capabilities_to_keep main
# bats test_tags=to09
@test "--cap-add can be given several times; one that is kept anyway changes nothing" {
    run -0 "$BIN" run --cap-add NET_RAW --cap-add SYS_CHROOT --cap-add CHOWN \
        --cap-add KILL grep ^Cap /proc/self/status
    [ "$output" = "$(masks 0x20042421)" ]
}

# 要件: --cap-add SYS_CHROOT で、chroot だけが戻る
# 手で: sudo my/step08 run --cap-add SYS_CHROOT chroot / true; echo $?  # 0
# 手引き: 発展課題: CAP_SYS_CHROOT を残すと外に出られるか
# 項目: capabilities_to_keep drop_capabilities
# bats test_tags=to09
@test "--cap-add SYS_CHROOT gives chroot back, and only that" {
    run -0 "$BIN" run --cap-add SYS_CHROOT chroot / true
    run ! "$BIN" run --cap-add SYS_CHROOT mount -t tmpfs tmpfs /mnt
}

# 要件: set-user-ID のプログラムを動かしても、何も増えない
# 手で: sudo my/step08 run grep NoNewPrivs /proc/self/status  # 1
# 手引き: ほかの行を消すと
# 項目: child drop_capabilities
# bats test_tags=to09
@test "exec of a setuid program as uid 0 gains nothing, NoNewPrivs is 1" {
    copy_rootfs
    chmod 4755 "$BATS_TEST_TMPDIR/fs/copy/busybox"
    run -0 "$BIN" run --rootfs "$BATS_TEST_TMPDIR/fs" \
        /copy/busybox grep -E '^(Cap|NoNewPrivs)' /proc/self/status
    [ "$output" = "$(masks 0x20000420)"$'\nNoNewPrivs:\t1' ]
}

# 要件: ファイルにケーパビリティの付いたプログラムでも、何も増えない
# 手で: cp rootfs/fs/bin/busybox rootfs/fs/tmp/ && sudo setcap cap_sys_chroot+p rootfs/fs/tmp/busybox; sudo my/step08 run /tmp/busybox grep CapPrm /proc/self/status; rm -f rootfs/fs/tmp/busybox  # 20000420
# 手引き: ファイルに付いたケーパビリティ
# 項目: child drop_capabilities
# bats test_tags=to09
@test "exec of a program with file capabilities gains nothing, or is refused" {
    [ -n "$(command -v setcap)" ] || skip "needs setcap"
    copy_rootfs
    setcap cap_sys_chroot,cap_kill+p "$BATS_TEST_TMPDIR/fs/copy/busybox"
    run -0 "$BIN" run --rootfs "$BATS_TEST_TMPDIR/fs" \
        /copy/busybox grep ^CapPrm /proc/self/status
    [ "$output" = $'CapPrm:\t0000000020000420' ]
    # 初めから有効 (e) なものは、足りなければ exec が失敗する。capabilities(7)
    setcap cap_sys_chroot,cap_kill+ep "$BATS_TEST_TMPDIR/fs/copy/busybox"
    run -126 "$BIN" run --rootfs "$BATS_TEST_TMPDIR/fs" /copy/busybox chroot / true
    [[ ${lines[0]} == *": exec /copy/busybox: Operation not permitted" ]]
}

# 要件: chroot は断られ、/demo/unchroot は始まらない
# 手で: sudo my/step08 run /demo/unchroot ls /  # Operation not permitted
# 手引き: 動かす
# 項目: drop_capabilities
# bats test_tags=to09
@test "chroot is refused: EPERM, and so the escape program does not even start" {
    run ! inside 'chroot / true'
    [[ $output == *"Operation not permitted"* ]]
    run -1 inside '/demo/unchroot ls /'
    [[ $output == "unchroot: chroot "*": Operation not permitted" ]]
}

# 要件: mount、umount、新しいマウント名前空間は断られる
# 手で: sudo my/step08 run mount -t tmpfs tmpfs /mnt  # 断られる
# 手引き: 動かす
# 項目: drop_capabilities
# bats test_tags=to09
@test "mount, umount and a new mount namespace are refused: EPERM" {
    run ! inside 'mount -t tmpfs tmpfs /mnt'
    [[ $output == *"ermission denied"* || $output == *"not permitted"* ]]
    run ! inside 'umount /dev/shm'
    [[ $output == *"not permitted"* ]]
    run ! inside 'unshare -m true'
    [[ $output == *"not permitted"* ]]
}

# 要件: ホスト名、時計、アドレスは変えられない
# 手で: sudo my/step08 run hostname other  # 断られる
# 手引き: 07 でできたことを試す
# 項目: drop_capabilities
# bats test_tags=to09
@test "sethostname, setting the clock and adding an address are refused: EPERM" {
    run ! inside 'hostname other'
    [[ $output == *"Operation not permitted"* ]]
    # 万一許されても時計が狂わないように、今の時刻にする。busybox の date は、失敗
    # しても 0 で終わる
    # shellcheck disable=SC2016 # $() は、内側の sh が展開する
    run inside 'date -s @$(date +%s)'
    [[ $output == *"Operation not permitted"* ]]
    run ! inside 'ip addr add 10.9.9.9/32 dev lo'
    [[ $output == *"Operation not permitted"* ]]
}

# 要件: 000 のファイルは、コンテナの root にも読めず、chown もできない
# 手で: sudo my/step08 run sh -c 'touch /tmp/f; chmod 0 /tmp/f; cat /tmp/f; rm -f /tmp/f'  # Permission denied
# 手引き: 07 でできたことを試す
# 項目: drop_capabilities
# bats test_tags=to09
@test "permission bits bind the root inside: a file of mode 000 cannot be read, chown is refused" {
    run ! inside 'cd /dev/shm && echo x >file && chmod 0 file && cat file'
    [[ $output == *"Permission denied"* ]]
    run ! inside 'cd /dev/shm && echo x >file && chown 1 file'
    [[ $output == "chown: "* ]]
}

# 要件: コンテナ内で、ユーザー名前空間を作れない
# 手で: sudo my/step08 run unshare -U true  # No space left on device
# 手引き: ほかの行を消すと
# 項目: child
# bats test_tags=to09
@test "unshare -U is refused inside: the number of user namespaces there is 0, the host's is untouched" {
    before=$(cat /proc/sys/user/max_user_namespaces)
    ((before > 0))
    run ! inside 'unshare -U true'
    [[ $output == *"No space left on device"* ]]
    start_container sh -c 'cat /proc/sys/user/max_user_namespaces; exec sleep 100' \
        >"$BATS_TEST_TMPDIR/inner"
    retry 5 test -s "$BATS_TEST_TMPDIR/inner"
    [ "$(cat "$BATS_TEST_TMPDIR/inner")" = 0 ]
    [ "$(cat /proc/sys/user/max_user_namespaces)" = "$before" ]
    unshare --user true
    run ! inside 'echo 1 >/proc/sys/user/max_user_namespaces'
    [[ $output == *"Read-only file system"* ]]
}

# 要件: core_pattern には、ホストの root で始めても書けない
# 手で: sudo my/step08 run sh -c ': >/proc/sys/kernel/core_pattern'  # Read-only file system
# 手引き: ほかの行を消すと
# 項目: cover_paths covers
# bats test_tags=to09
@test "writing core_pattern is refused, also when the root inside is the host's root" {
    before=$(cat /proc/sys/kernel/core_pattern)
    # 万一書けても変わらないように、読んだものを書く
    # shellcheck disable=SC2016 # $old は、内側の sh が展開する
    script='read -r old </proc/sys/kernel/core_pattern; echo "$old" >/proc/sys/kernel/core_pattern'
    unset SUDO_UID SUDO_GID
    run ! inside "$script"
    [[ $output == *"core_pattern: Read-only file system" ]]
    export SUDO_UID=4711 SUDO_GID=4712
    run ! "$(user_bin)" run sh -c "grep -q ' /proc/sys proc ro,' /proc/mounts && $script"
    [[ $output == *"core_pattern: "* ]]
    [ "$(cat /proc/sys/kernel/core_pattern)" = "$before" ]
}

# 要件: /proc/sys のファイルは、1 つも書き込みで開けない
# 手で: sudo my/step08 run sh -c ': >/proc/sys/kernel/panic'  # Read-only file system
# 手引き: ほかの行を消すと
# 項目: cover_paths covers
# bats test_tags=to09
@test "not one file in /proc/sys can be opened for writing" {
    unset SUDO_UID SUDO_GID
    # 追記で開くだけで、何も書かない
    # shellcheck disable=SC2016 # $file は、内側の sh が展開する
    run -0 inside 'find /proc/sys -type f -perm -200 | while read -r file; do
        if { true >>"$file"; } 2>/dev/null; then echo "$file"; fi
    done'
    [ "$output" = "" ]
}

# 要件: ホストのことが分かるファイルは、空に見える
# 手で: sudo my/step08 run sh -c 'cat /proc/keys; ls /sys/firmware'  # 何も出ない
# 手引き: マスクを見る
# 項目: cover_paths covers
# bats test_tags=to09
@test "what reveals the host in /proc and /sys shows nothing" {
    found=0
    for path in $MASKED; do
        [ -e "$path" ] || continue
        ((found += 1))
        # shellcheck disable=SC2016 # $0 は、内側の sh が展開する
        run -0 "$BIN" run sh -c 'if [ -d "$0" ]; then ls -A "$0"; else cat "$0"; fi' "$path"
        [ "$output" = "" ]
        # ファイルには /dev/null が重なっているので、nodev だと読めない
        run -0 "$BIN" run grep " $path " /proc/mounts
        [[ $output == *" ro,nosuid,"*noexec* ]]
    done
    ((found > 0))
}

# この機械にないものも、あれば隠すことになっている
# 要件: 隠すパスは、表のとおり (runc spec のものを含む)
# 手で: make diff08 FN=covers
# 手引き: runc は何を書くか
# 項目: covers cover_paths
# bats test_tags=to09
@test "exactly the listed paths are looked for, all that runc spec lists among them" {
    requires strace
    strace -f -qq -y -e trace=access,faccessat,faccessat2,fchdir -o "$BATS_TEST_TMPDIR/trace" "$BIN" run true
    # fchdir(2) で入った所と、そこで探した名前を、1 つのパスにする
    found=$(sed -nE 's/.* fchdir\([0-9]+<(.*)>\).*/dir \1/p; s/.*access(at2?)?\(([^"]*, )?"([a-z][^"]*)".*/name \3/p' \
        "$BATS_TEST_TMPDIR/trace" | awk '$1 == "dir" { dir = $2 } $1 == "name" { print dir "/" $2 }' | sort)
    # shellcheck disable=SC2086 # 1 語ずつに分ける
    [ "$found" = "$(printf '%s\n' $MASKED $READONLY | sort)" ]
    [ -n "$(command -v runc)" ] || return 0
    cd "$BATS_TEST_TMPDIR"
    runc spec
    run -0 sed -n '/"\(masked\|readonly\)Paths"/,/]/s/^[^"]*"\(\/.*\)".*/\1/p' config.json
    [ "${#lines[@]}" -gt 10 ]
    for path in "${lines[@]}"; do
        grep -qx "$path" <<<"$found"
    done
}

# 要件: カーネルを変える /proc の下は、読み取り専用のまま nosuid なども残る
# 手で: sudo my/step08 run grep ' /proc/sys ' /proc/self/mounts
# 手引き: ほかの行を消すと
# 項目: cover_paths covers
# bats test_tags=to09
@test "what changes the kernel in /proc is read-only, and still refuses set-uid, devices, exec" {
    found=0
    for path in $READONLY; do
        [ -e "$path" ] || continue
        ((found += 1))
        run -0 "$BIN" run grep " $path " /proc/mounts
        [[ $output == "proc $path proc ro,nosuid,nodev,noexec"* ]]
    done
    ((found > 0))
    # ホストの /proc は、書けるまま
    [[ $(findmnt -n -o OPTIONS /proc) == rw* ]]
    # shellcheck disable=SC2016 # $$ は、内側の sh が展開する
    run -0 inside 'grep -q "^proc /proc proc rw," /proc/mounts && echo 0 >/proc/$$/oom_score_adj'
}

# 要件: 残した 3 つだけで、kill とポート 80 の bind ができる
# 手で: sudo my/step08 run sh -c 'sleep 9 & kill $!; echo $?'  # 0
# 手引き: 動かす
# 項目: capabilities_to_keep drop_capabilities
# bats test_tags=to09
@test "with nothing but the three capabilities, kill works and a server can bind port 80" {
    # shellcheck disable=SC2016 # $! は、内側の sh が展開する
    run -0 inside 'grep -q "^CapEff:.0000000020000420" /proc/self/status &&
        { sleep 100 & } && kill $! && { wait $!; echo $?; }'
    [ "${lines[-1]}" = 143 ]
    start_container sh -c 'grep -q "^CapEff:.0000000020000420" /proc/self/status &&
        exec nc -l -p 80'
    # 80 番は 16 進で 0050、待ち受け中は 0A。proc_pid_net(5)
    retry 5 grep -qE ':0050 0*:0000 0A ' "/proc/$CONTAINER/net/tcp" "/proc/$CONTAINER/net/tcp6"
}

# exec の許可は、exec する前のケーパビリティで調べられる。バウンディングセットを
# 減らすだけでは、まだ CAP_DAC_OVERRIDE がある
# 要件: exec の前に、もう特権がない
# 手で: cp rootfs/fs/bin/busybox rootfs/fs/tmp/ && chmod 1 rootfs/fs/tmp/busybox; sudo my/step08 run /tmp/busybox true; rm -f rootfs/fs/tmp/busybox  # Permission denied
# 手引き: なぜ?
# 項目: drop_capabilities child
# bats test_tags=to09
@test "the capabilities are gone before exec: a program that only others may execute is refused" {
    copy_rootfs
    chmod 755 "$BATS_TEST_TMPDIR/fs/copy/busybox"
    run -0 "$BIN" run --rootfs "$BATS_TEST_TMPDIR/fs" /copy/busybox true
    chmod 1 "$BATS_TEST_TMPDIR/fs/copy/busybox"
    run -126 "$BIN" run --rootfs "$BATS_TEST_TMPDIR/fs" /copy/busybox true
    [[ ${lines[0]} == *": exec /copy/busybox: Permission denied" ]]
}

# 要件: 呼び出し元のアンビエントと継承可能な特権は、渡らない
# 手で: sudo capsh --inh=cap_net_raw --addamb=cap_net_raw -- -c 'my/step08 run grep Cap /proc/self/status'
# 手引き: exec の式をすべて使う
# 項目: drop_capabilities
# bats test_tags=to09
@test "a caller with ambient and inheritable capabilities hands none of them on" {
    run -0 setpriv --inh-caps +chown,+sys_admin --ambient-caps +chown,+sys_admin \
        grep -cE '^Cap(Inh|Amb):.*[1-9a-f]' /proc/self/status
    [ "$output" = 2 ]
    run -0 setpriv --inh-caps +chown,+sys_admin --ambient-caps +chown,+sys_admin \
        "$BIN" run grep ^Cap /proc/self/status
    [ "$output" = "$(masks 0x20000420)" ]
}

# 要件: 呼び出し元のセッションの鍵は、コンテナから読めない
# 手で: cc -static -o rootfs/fs/tmp/key tests/escape/key.c; sudo rootfs/fs/tmp/key add my/step08 run /tmp/key read; rm -f rootfs/fs/tmp/key  # ENOKEY
# 手引き: なぜ?
# 項目: leave_session_keyring child
# bats test_tags=to09
@test "a key in the caller's session keyring cannot be read inside" {
    requires gcc
    copy_rootfs
    cc -static -o "$BATS_TEST_TMPDIR/key" "$TOP/tests/escape/key.c"
    cp "$BATS_TEST_TMPDIR/key" "$BATS_TEST_TMPDIR/fs/copy"
    cd "$BATS_TEST_TMPDIR"
    ./key add true || skip "needs a kernel with keys"
    run -0 ./key add ./key read
    [ "$output" = secret ]
    run -0 ./key add "$BIN" run --rootfs fs /copy/key read
    [ "$output" = ENOKEY ]
}

# 要件: --rootfs / でも、カーネルの設定とホストの秘密は隠れる
# 手で: sudo my/step08 run --rootfs / sh -c ': >/proc/sys/kernel/panic'  # Read-only file system
# 手引き: マスクを見る
# 項目: cover_paths
# bats test_tags=to09
@test "with --rootfs / too, the kernel's settings and the host's secrets are covered" {
    # shellcheck disable=SC2016 # $# は、内側の sh が展開する
    run -0 "$BIN" run --rootfs / sh -c 'set -- /proc/[0-9]*; echo $#; cat /proc/keys 2>/dev/null
        { true >>/proc/sys/kernel/core_pattern; } 2>/dev/null && echo open
        umount /proc 2>/dev/null && echo gone; ls -A /sys/firmware /sys/fs/cgroup'
    [ "$output" = $'1\n/sys/firmware:\n\n/sys/fs/cgroup:' ]
}
