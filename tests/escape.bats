# コンテナの外へ出ようとする、あらゆる試み。出られないルートを持つ 07 からあとの
# 3 つのプログラムを、sudo 経由 (コンテナ内の root はホストの attendee) と、本物の
# root (0 が 0 にマッピングされる) の両方で調べる。
#
# わざと開いているものは「開いている」ことを確かめ、どこで閉じるかを書く。
#
# 「守る行」は、消すとそのテストが失敗する行。main.c のものは、どのステップかも書く。
# 2 つ並べて「と」とあるのは二重の守りで、両方を消して初めて失敗する。
#
# shellcheck disable=SC2016,SC2030,SC2031 # $ を展開するのは、内側の sh
load helpers

setup_file() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    # マッピングされた attendee にも届く、スイートだけの tmpfs
    export DIR=$USER_HOME/escape MARK=$USER_HOME/escape/marker
    mkdir "$DIR"
    cp "$(dirname "$BIN")"/step0[789] "$DIR"
    cp -a "$(dirname "$BIN")/rootfs/fs" "$DIR/fs"
    local program
    for program in advertise attempts careless descriptors handle ipc overwrite swap type writable; do
        echo "$program"
    done | xargs -P "$(nproc)" -I @ \
        cc -static -o "$BATS_FILE_TMPDIR/@" "$BATS_TEST_DIRNAME/escape/@.c"
    cp "$BATS_FILE_TMPDIR"/* "$DIR/fs/bin"
    chown -R attendee: "$DIR"
    cp "$BATS_FILE_TMPDIR"/{careless,swap,handle,ipc} "$DIR"
    echo secret >"$MARK"
    chmod 644 "$MARK"
    start_victims
    attempt_everything
}

# コンテナ内の root と同じ id の、ホストのプロセス。コンテナから見えてはいけない
start_victims() {
    sleep 1000 3>&- 4>&- &
    export ROOT_VICTIM=$!
    setpriv --reuid attendee --regid attendee --clear-groups sleep 1000 3>&- 4>&- &
    export USER_VICTIM=$!
    retry 5 eval '[ "$(stat -c %u /proc/$USER_VICTIM)" = 4711 ]'
}

# 時間のかかる準備は 1 度だけ。表は RESULTS にできる: 08-root.attempts など
attempt_everything() {
    local step who victim
    export RESULTS=$BATS_FILE_TMPDIR/results
    mkdir "$RESULTS"
    for step in 07 08 09; do
        for who in root sudoer; do
            victim=$ROOT_VICTIM
            [ $who = root ] || victim=$USER_VICTIM
            launch "$step" "$who" attempts "$victim" >"$RESULTS/$step-$who.attempts" \
                2>&1 </proc/self/ns/net || true
            launch "$step" "$who" writable /proc /sys >"$RESULTS/$step-$who.writable" 2>&1 || true
        done
    done
}

teardown_file() {
    kill "$ROOT_VICTIM" "$USER_VICTIM" 2>/dev/null || true
}

setup() {
    requires root userns cgroup net sudo gcc
    RACER=
}

teardown() {
    stop_container
    if [ -n "$RACER" ]; then
        kill "$RACER" 2>/dev/null || true
        wait "$RACER" 2>/dev/null || true
    fi
}

# WHO として、コンテナ内でコマンドを動かす: launch 08 sudoer COMMAND...
# FS は rootfs、WRAP はランチャーの前に置くコマンド
launch() {
    local step=$1 who=$2
    shift 2
    if [ "$who" = sudoer ]; then
        # shellcheck disable=SC2086 # WRAP は語に分ける
        as_sudoer ${WRAP:-} "$DIR/step$step" run --rootfs "${FS:-$DIR/fs}" "$@"
    else
        # shellcheck disable=SC2086
        env -u SUDO_UID -u SUDO_GID ${WRAP:-} \
            "$DIR/step$step" run --rootfs "${FS:-$DIR/fs}" "$@"
    fi
}

# attempts の表で、名前の並びがすべて RESULT か: result "07 08" "root" EPERM NAME...
# RESULT が refused なら、権限がないという errno のどれか
result() {
    local steps=$1 whos=$2 wanted=$3 step who name actual
    local -A table
    shift 3
    for step in $steps; do
        for who in $whos; do
            table=()
            while read -r name actual; do
                table[$name]=$actual
            done <"$RESULTS/$step-$who.attempts"
            for name; do
                actual=${table[$name]:-}
                case $wanted/$actual in
                "$wanted/$wanted") ;;
                refused/EPERM | refused/EACCES | refused/EROFS | refused/ENOSYS | refused/ENODEV) ;;
                *)
                    echo "step$step as $who: $name is ${actual:-missing}, not $wanted"
                    return 1
                    ;;
                esac
            done
        done
    done
}

BOTH='root sudoer'
ALL='07 08 09'

# --- 開いたままの fd ----------------------------------------------------------

# 守る行: prepare_exec(pipes)
@test "eighteen descriptors that the caller left open, / among them, are not there inside" {
    for step in $ALL; do
        for who in $BOTH; do
            WRAP="$DIR/careless $DIR/fs" run -0 launch "$step" "$who" descriptors "$MARK"
            [ "$output" = 'done' ]
        done
    done
}

# CVE-2024-21626: カレントディレクトリやコマンドを、閉じる前の fd ごしに指す
# 守る行: prepare_exec(pipes) が execvp() より先にあること
@test "a command named through a descriptor of the caller's is not found" {
    cp "$(command -v busybox)" "$DIR/outside"
    ln -sf outside "$DIR/true"
    for fd in 3 4 5 6 7 8 9 10 11 12 20; do
        # 開いているのは / か、rootfs か、どちらか
        for path in "/proc/self/fd/$fd$DIR/true" "/proc/self/fd/$fd/../true"; do
            WRAP="$DIR/careless $DIR/fs" run -127 launch 08 root "$path"
        done
    done
}

# 守る行: bind_rootfs() の chdir(rootfs)
@test "started outside the rootfs, or in a directory that is gone, nothing leads back" {
    mkdir -p "$DIR/gone"
    for step in $ALL; do
        cd "$DIR"
        run -0 launch "$step" root sh -c "cd ../../../../.. && pwd && ls -d .$MARK marker; true"
        [ "${lines[0]}" = / ]
        [[ $output != *secret* && ${lines[1]} == *"No such file"* && ${lines[2]} == *"No such file"* ]]
        mkdir -p "$DIR/gone"
        cd "$DIR/gone"
        rmdir "$DIR/gone"
        run -0 launch "$step" root sh -c 'readlink /proc/self/cwd; cd ..; pwd'
        [ "$output" = $'/\n/' ]
    done
}

# ホストのファイルが、コンテナのもの。それでも、プロセスと cgroup は見えない
# 守る行: bind_rootfs() の fchdir(tree)
@test "with --rootfs / and --rootfs . the processes and cgroups are the container's only" {
    for step in $ALL; do
        for who in $BOTH; do
            for FS in / .; do
                cd "$DIR/fs"
                run -0 launch "$step" "$who" sh -c 'set -- /proc/[0-9]*
                    echo $#; kill -0 "$0" 2>/dev/null; ls -A /sys/fs/cgroup' "$USER_VICTIM"
                [ "$output" = 1 ]
            done
        done
    done
}

# --- /proc と /sys ------------------------------------------------------------

# 守る行: flags |= CLONE_NEWPID と、mount_file_systems() の mount_dir("proc", ...)
@test "root and cwd of every process that the container sees are the container's" {
    script='[ /proc/1/root/ -ef / ] || echo "another root"
        for dir in /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/task/*/root; do
            [ ! -e "$dir$0" ] && [ ! -e "$dir/../../../../../..$0" ] || echo "$dir escapes"
        done
        for link in /proc/[0-9]*/exe /proc/[0-9]*/fd/*; do
            case $(readlink "$link") in
            /bin/* | pipe:* | /dev/null | /proc/*/fd | /tmp/* | "") ;;
            *) echo "$link is $(readlink "$link")" ;;
            esac
        done
        set -- /proc/[0-9]*
        echo "$# processes"'
    for step in $ALL; do
        for who in $BOTH; do
            run -0 launch "$step" "$who" sh -c "$script" "$MARK" </dev/null
            [ "$output" = "1 processes" ]
        done
    done
}

# 守る行: 08 の cover_paths() と、mount_file_systems() の sysfs の MS_RDONLY
@test "from 08 on, nothing of the kernel in /proc and /sys can be opened for writing" {
    for step in 08 09; do
        for who in $BOTH; do
            # /proc/pressure は誰でも開ける (自分への通知を頼むだけ)。proc(5)
            run -0 grep -v '^/proc/pressure/' "$RESULTS/$step-$who.writable"
            [ "$output" = 'done' ]
        done
    done
}

# 07 では、自分の名前空間の分だけを変えられる。残りはホストの root のもの
# 守る行: write_id_maps() の invoking_uid()
@test "in 07, the attendee's root may change the sysctls of its own namespaces only" {
    run -0 grep -vE '^/proc/(pressure/|sys/(net|user|fs/mqueue)/)' "$RESULTS/07-sudoer.writable"
    run -0 grep -vE '^/proc/sys/kernel/(shm|sem|msg|auto_msgmni|pid_max$|ns_last_pid$)' <<<"$output"
    [ "$output" = 'done' ]
}

# わざと開けてある: 0 が 0 にマッピングされると、許可ビットの上ではホストの root そのもの。
# core_pattern に書ければホストを乗っ取れる。08 の cover_paths() が閉じる
@test "in 07, plain root may still open the host's core_pattern: OPEN on purpose" {
    grep -qx /proc/sys/kernel/core_pattern "$RESULTS/07-root.writable"
    [ ! -e /proc/sysrq-trigger ] || grep -qx /proc/sysrq-trigger "$RESULTS/07-root.writable"
    # /sys は、もう読み取り専用
    run ! grep ^/sys/ "$RESULTS/07-root.writable"
}

# --- マウント -----------------------------------------------------------------

# 守る行: switch_root() の pivot_root (chroot に替えると、07 で出られる)
@test "moving the root further down and climbing up ends at the same root" {
    result "$ALL" "$BOTH" EPERM climb_out
    grep -q "^change_root open" "$RESULTS/07-root.attempts"
}

# 守る行: drop_capabilities(opt->keep)
@test "from 08 on, every mount, move, remount, umount and pivot_root is refused: EPERM" {
    result "08 09" "$BOTH" EPERM mount_tmpfs mount_proc mount_sysfs mount_devtmpfs \
        mount_cgroup mount_cgroup2 mount_debugfs mount_securityfs mount_bpf mount_overlay \
        mount_block_device bind_root move_proc move_root share_root umount_root umount_proc \
        umount_proc_sys umount_keys umount_dev_null remount_proc_sys remount_sys \
        remount_sysfs open_tree_clone open_file_system set_mount_attributes pivot_again \
        change_root
}

# わざと開けてある: 07 の root は、自分の名前空間の中では何でもマウントできる。
# ホストのマウントは変わらない。08 の drop_capabilities() が閉じる
@test "in 07, mounts of its own are OPEN on purpose, but none that shows the host" {
    result 07 "$BOTH" open mount_tmpfs mount_proc mount_overlay bind_root umount_proc change_root
    # 守る行: flags |= CLONE_NEWUSER
    result 07 "$BOTH" refused mount_devtmpfs mount_cgroup2 mount_debugfs \
        mount_securityfs mount_bpf mount_block_device remount_sysfs
    # v2 だけのホストには、マウントできる v1 の階層がない
    result 07 "$BOTH" refused mount_cgroup || result 07 "$BOTH" EINVAL mount_cgroup
    # ルートは、外したり動かしたりできない
    result 07 "$BOTH" EINVAL umount_root move_root pivot_again
}

# 守る行: flags |= CLONE_NEWUSER
@test "opening by file handle (shocker) finds nothing outside the rootfs" {
    for path in "$DIR" "$USER_HOME" /; do
        read -r type hex <<<"$("$DIR/handle" show "$path")"
        for step in $ALL; do
            for who in $BOTH; do
                run -0 launch "$step" "$who" handle open "$type" "$hex"
                [[ $output == EPERM || $output == ESTALE ]]
            done
        done
    done
}

# --- デバイス -----------------------------------------------------------------

# 守る行: 07 は flags |= CLONE_NEWUSER、08 からはそれと drop_capabilities()
@test "no device can be made with mknod: EPERM" {
    result "$ALL" "$BOTH" EPERM make_char_device make_block_device make_device_in_dev
}

# /dev/null などは、ホストのデバイスそのもの。所有者が同じなら chmod できてしまう
# 守る行: write_id_maps() の invoking_uid()
@test "the attendee's root cannot change the mode or times of the host's devices and /proc" {
    result "$ALL" sudoer refused chmod_null chmod_tty touch_null chmod_proc chmod_sys
}

# 守る行: bind_device() の MS_RDONLY (07 では、それを外せる力もまだある)
@test "from 08 on, plain root cannot change the mode or times of the host's devices either" {
    result "08 09" root EROFS chmod_null chmod_tty chown_null touch_null
}

# わざと開けてある: /proc のファイルのモードは、PID 名前空間が違っても 1 つしかなく、
# 0 にマッピングされた root はその所有者。sudo から動かせば閉じる
@test "with plain root, chmod of a file in /proc is OPEN, and reaches the host's" {
    result "$ALL" root open chmod_proc
}

# --- 名前空間 -----------------------------------------------------------------

# 守る行: write_file("sys/user/max_user_namespaces", "0") と drop_capabilities()
@test "from 08 on, no namespace of any kind can be made or joined" {
    result "08 09" "$BOTH" ENOSPC unshare_user clone_user
    result "08 09" "$BOTH" EPERM unshare_mount unshare_net unshare_pid unshare_ipc \
        unshare_uts unshare_cgroup unshare_time setns_pid1_mnt setns_pid1_net
    result "08 09" "$BOTH" EINVAL setns_pid1_user
}

# わざと開けてある: 作れるのは、自分のユーザー名前空間の下だけ。08 が閉じる
@test "in 07, all kinds of namespaces are OPEN on purpose" {
    result 07 "$BOTH" open unshare_user unshare_mount unshare_net unshare_pid unshare_ipc \
        unshare_uts unshare_cgroup unshare_time clone_user
}

# 守る行: 07 は flags |= CLONE_NEWUSER、08 からはそれと drop_capabilities()
@test "the caller's network namespace on stdin cannot be joined, the parent user namespace not be had" {
    result "$ALL" "$BOTH" EPERM setns_stdin parent_user_ns
}

# --- ほかのプロセス -----------------------------------------------------------

# 守る行: flags |= CLONE_NEWPID
@test "a process of the host's with the same uid cannot be signalled, traced or even asked about" {
    result "$ALL" "$BOTH" ESRCH kill_victim trace_victim pidfd_victim priority_victim \
        limits_victim affinity_victim
}

# 守る行: flags |= CLONE_NEWPID
@test "kill -9 -1 inside ends the container's own processes only" {
    for step in $ALL; do
        run launch "$step" sudoer sh -c 'sleep 100 & kill -9 -1; wait; echo alone'
        [ "$status" = 0 ]
        kill -0 "$USER_VICTIM"
    done
}

# reboot(2) は、PID 名前空間の中ではその PID 1 を終わらせるだけ
# 守る行: drop_capabilities(opt->keep)
@test "reboot: in 07 it only ends the container, from 08 on it is refused" {
    result 07 "$BOTH" EINVAL reboot_cad_off
    result "08 09" "$BOTH" EPERM reboot_cad_off
    run -129 launch 07 sudoer reboot -f
    run -1 launch 08 sudoer reboot -f
}

# --- カーネル全体 -------------------------------------------------------------

# 守る行: 07 は flags |= CLONE_NEWUSER、08 からはそれと drop_capabilities()
@test "modules, kexec, swap, clocks, accounting, the kernel's log, bpf and fanotify are refused" {
    result "$ALL" "$BOTH" refused load_module load_module_fd delete_module load_kernel \
        swap_on swap_off set_clock adjust_clock accounting read_kernel_log bpf_map \
        watch_file_system
    # この 2 つは、ホストの設定で誰にでも許せる
    [ "$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null)" = 1 ] ||
        result "$ALL" "$BOTH" refused user_fault
    (($(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo 3) <= 0)) ||
        result "$ALL" "$BOTH" refused perf_of_a_cpu
}

# 守る行: drop_capabilities(opt->keep)
@test "from 08 on, raw sockets and a new host name are refused; in 07 they are OPEN on purpose" {
    result 07 "$BOTH" open packet_socket raw_socket set_host_name set_domain_name
    result "08 09" "$BOTH" EPERM packet_socket raw_socket set_host_name set_domain_name
}

# 守る行: 07 は flags |= CLONE_NEWUSER、08 からはそれと drop_capabilities()
@test "resource limits, priorities and groups cannot be raised" {
    result "$ALL" "$BOTH" refused raise_open_files raise_priority real_time set_groups
    result "$ALL" "$BOTH" EINVAL become_somebody
}

# --- 通信 ---------------------------------------------------------------------

# 守る行: flags |= CLONE_NEWNET (abstract) と flags |= CLONE_NEWIPC (ほか)
@test "abstract sockets, SysV and POSIX queues and /dev/shm of the host are not there" {
    mkfifo "$BATS_TEST_TMPDIR/ready"
    "$DIR/ipc" hold >"$BATS_TEST_TMPDIR/ready" 3>&- 4>&- &
    RACER=$!
    read -r ready <"$BATS_TEST_TMPDIR/ready"
    [ "$ready" = ready ]
    run -0 "$DIR/ipc" look
    [ "$(grep -c found <<<"$output")" = 6 ]
    for step in $ALL; do
        for who in $BOTH; do
            run -0 launch "$step" "$who" ipc look
            [ "$(grep -c absent <<<"$output")" = 6 ]
        done
    done
    rm -f /dev/shm/escape-suite
}

# セッションキーリングは fork でも名前空間でも切れない。鍵を読むのに権限は要らず、
# 「持っている」ことが権限になる。session-keyring(7)
# 守る行: KEYCTL_JOIN_SESSION_KEYRING (08)
@test "from 08 on, a key in the caller's session keyring cannot be read" {
    for step in 08 09; do
        for who in $BOTH; do
            WRAP="$DIR/careless $DIR/fs" run -0 launch "$step" "$who" attempts 1
            key=$(sed -n 's/^read_session_key //p' <<<"$output")
            [[ $key == ENOKEY || $key == ENOSYS || $key == EACCES ]]
        done
    done
}

# 端末の中で、コンテナの type がしたことと、そのあと呼び出し元のシェルが読むものを見る。
# 2 つ目のコンテナには端末を渡さないが、/dev/tty はある: types STEP PROGRAM
types() {
    local run="'$2' run --rootfs '$DIR/fs' type" keys=$BATS_TEST_TMPDIR/keys
    [ -n "$(command -v script)" ] || skip "needs script"
    # script は、stdin が終わると ^D を打つ。終わらない stdin にする
    [ -p "$keys" ] || mkfifo "$keys"
    SHELL=/bin/bash run -0 script -qec "$run
        read -t 0 && read -r first; read -t 0 && read -r second
        $run </dev/null >'$BATS_TEST_TMPDIR/redirected' 2>&1
        read -t 0 && read -r third; echo \"$1 caller: \$first \$second \$third.\"" /dev/null <>"$keys"
}

# 開いている: コンテナは、呼び出し元の端末をそのまま使う (シェルのジョブ制御に要る)。
# だから、そこに打ったことにする文字を入れられる。seccomp か、次のテストの
# 07-terminal が閉じる。Linux 6.2 からは、dev.tty.legacy_tiocsti=0 も閉じる。ioctl_tty(2)
@test "typing into the caller's terminal (TIOCSTI) is as OPEN as the host's sysctl says" {
    for step in $ALL; do
        types "$step" "$DIR/step$step"
        if kernel_lets_type; then
            [[ $output == *"stdin: open"*"/dev/tty: open"*"$step caller: typed typed typed."* ]]
            grep -qx '/dev/tty: open' "$BATS_TEST_TMPDIR/redirected"
        else
            [[ $output == *"stdin: EIO"*"$step caller:   ."* ]]
        fi
    done
    # 端末でないものには、入れられない
    result "$ALL" "$BOTH" ENOTTY type_ahead
}

# 6.2 より前のカーネルには、閉じる設定がない
kernel_lets_type() {
    [ "$(cat /proc/sys/dev/tty/legacy_tiocsti 2>/dev/null)" != 0 ]
}

# 守る行: open_terminal() の setsid() (端末を渡さなくても) と、dup2()
@test "a container with a terminal of its own (07-terminal) types into that, never into the caller's" {
    kernel_lets_type || skip "the kernel closes it: dev.tty.legacy_tiocsti is 0"
    cp "$TOP/build${ASAN_OPTIONS:+/sanitize}/solutions/07-terminal" "$DIR"
    types 07 "$DIR/07-terminal"
    # 自分の端末には入れられる。読むのも自分
    [[ $output == *"stdin: open"*"/dev/tty: open"*"07 caller:   ."* ]]
    grep -qx '/dev/tty: EBADF' "$BATS_TEST_TMPDIR/redirected"
}

# --- ランチャーのプログラム ---------------------------------------------------

# 悪意のあるイメージを作る: /proc/self/exe を実行すると、イメージの用意した
# ライブラリがホストのプログラムを乗っ取る
make_evil_image() {
    local library
    FS=$DIR/evil
    cp -a "$DIR/fs" "$FS"
    while read -r library; do
        mkdir -p "$FS$(dirname "$library")"
        cp -L "$library" "$FS$library"
    done < <(ldd "$DIR/step0"[789] | grep -o '/[^ :]*\.so[^ :]*' | sort -u)
    mkdir -p "$FS/lib"
    cc -shared -fPIC -o "$FS/lib/preload.so" "$BATS_TEST_DIRNAME/escape/preload.c"
    echo /lib/preload.so >"$FS/etc/ld.so.preload"
    cp "$FS/bin/overwrite" "$FS/overwrite"
    printf '#!/proc/self/exe\n' >"$FS/script"
    chmod 755 "$FS/script"
    chown -R attendee: "$FS"
}

# 悪意のあるイメージを attendee として始め、ランチャーのファイルを開くまで待つ
start_evil() {
    rm -f "$FS/opened" "$BATS_TEST_TMPDIR/out"
    SUDO_UID=4711 SUDO_GID=4712 "$1" run --rootfs "$FS" "$2" \
        >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null 3>&- 4>&- &
    LAUNCHER=$!
    # "elf: 1" なら、開けたのは確かにホストのプログラム
    retry 5 grep -qsx 'elf: 1' "$BATS_TEST_TMPDIR/out"
    CONTAINER=$(cat "/proc/$LAUNCHER/task/$LAUNCHER/children")
    CONTAINER=${CONTAINER% }
}

# CVE-2019-5736。実行中のファイルに書けない (ETXTBSY) のは、ランチャーが生きている
# あいだは同じファイルを実行しているから。死ねば、コンテナも死ぬ。ただし SIGKILL では、
# ランチャーがメモリーを手放してから子に届くまでの、ごくわずかな隙がある
# 守る行: 2 度目の die_with_parent(pipes) (消すと、コンテナが残って書ける)
# bats test_tags=san:no
@test "the launcher's own program cannot be opened for writing while it runs; then the container dies" {
    make_evil_image
    sums=$(sha256sum "$DIR"/step0[789])
    for step in $ALL; do
        for command in /proc/self/exe /script; do
            start_evil "$DIR/step$step" "$command"
            grep -qx 'write: Text file busy' "$BATS_TEST_TMPDIR/out"
            # ふつうに終わらせるかぎり、隙はない
            kill -TERM "$LAUNCHER"
            wait "$LAUNCHER" || true
            LAUNCHER=
            promised 2 is_gone "$CONTAINER"
            [ ! -e "$FS/opened" ]
        done
        start_evil "$DIR/step$step" /script
        stop_container
        promised 2 is_gone "$CONTAINER"
    done
    [ "$sums" = "$(sha256sum "$DIR"/step0[789])" ]
}

# わざと開けてある: PID 1 は PR_SET_PDEATHSIG を自分で消せる。そのあとランチャーが
# SIGKILL で死ねば、残って、ランチャーのファイルに書ける。09-exec のように、
# 封をしたコピー (memfd_create(2)) から自分を実行し直せば閉じるが、
# 起動が 0.6 ms ほど遅くなる
# bats test_tags=san:no
@test "after SIGKILL of its launcher, a PID 1 that cleared its death signal can write the program: OPEN" {
    [ -d "$DIR/evil" ] || make_evil_image
    FS=$DIR/evil
    : >"$FS/survive"
    for step in $ALL; do
        start_evil "$DIR/step$step" /script
        kill -KILL "$LAUNCHER"
        wait "$LAUNCHER" || true
        LAUNCHER=
        retry 5 test -e "$FS/opened"
        # 書き終えて、もういないかもしれない
        kill -KILL "$CONTAINER" 2>/dev/null || true
        retry 5 is_gone "$CONTAINER"
    done
    rm "$FS/survive"
    # 残った cgroup は、次に動かしたものが片付ける
    run -0 launch 09 root true
}

# わざと開けてある: 所有者なら、書けないファイルのモードは変えられる。ランチャーの
# ファイルが自分のものだから。root の持つ場所に置けば閉じる
# bats test_tags=san:no
@test "a launcher that root owns can neither be written nor be chmod-ed by the attendee's root" {
    [ -d "$DIR/evil" ] || make_evil_image
    FS=$DIR/evil
    mkdir -p "$DIR/safe"
    cp "$DIR"/step0[789] "$DIR/safe"
    for step in $ALL; do
        start_evil "$DIR/safe/step$step" /script
        [ "$(cat "$BATS_TEST_TMPDIR/out")" = 'write: Permission denied
chmod: Operation not permitted
elf: 1' ]
        stop_container
    done
}

# --- ネットワーク ---------------------------------------------------------------

# CVE-2020-10749 と CVE-2020-13401。ping の返事が来れば、その前の広告も届いている
# 守る行: 09 の disable_ipv6(name)
@test "a router advertisement from inside, with NET_RAW, gives the host no route and no address" {
    before=$(ip -6 route && ip -6 addr)
    start_container --rootfs "$DIR/fs" --cap-add NET_RAW sh -c 'advertise veth-child &&
        ping -c 1 -W 2 10.0.0.1 && echo sent; exec sleep 100' >"$BATS_TEST_TMPDIR/out" 2>&1
    retry 5 grep -qx sent "$BATS_TEST_TMPDIR/out"
    [ "$before" = "$(ip -6 route && ip -6 addr)" ]
}

# --- マウント先のシンボリックリンク -------------------------------------------

# CVE-2021-30465 と CVE-2025-31133 の仲間
# 守る行: mount_dir() の RESOLVE_NO_SYMLINKS
@test "proc, sys and dev that are links to /, to the outside or to each other are refused" {
    cp -a "$DIR/fs" "$DIR/links"
    FS=$DIR/links
    state=$(cat /proc/self/mountinfo)
    for step in $ALL; do
        for dir in proc sys dev; do
            for target in / ../../../../../.. tmp; do
                rmdir "$FS/$dir"
                ln -s "$target" "$FS/$dir"
                SUDO_UID=4711 SUDO_GID=4712 run -125 \
                    "$DIR/step$step" run --rootfs "$FS" touch /ran
                [ "${lines[0]}" = "step$step: openat2 $dir: Too many levels of symbolic links" ]
                rm "$FS/$dir"
                mkdir "$FS/$dir"
            done
        done
    done
    [ ! -e "$FS/ran" ]
    [ "$state" = "$(cat /proc/self/mountinfo)" ]
}

# 調べたあとに差し替える: コンテナを COUNT 個始めるあいだ、rootfs の所有者が、
# ディレクトリとリンクを入れ替え続ける。race COUNT STEP WHO NAME SCRIPT
race() {
    local count=$1 step=$2 who=$3 name=$4 i
    "$DIR/swap" "$FS/$name" "$FS/$name-other" 3>&- 4>&- &
    RACER=$!
    for ((i = 0; i < count; i++)); do
        if [ "$who" = sudoer ]; then
            SUDO_UID=4711 SUDO_GID=4712 "$DIR/step$step" run --rootfs "$FS" sh -c "$5"
        else
            env -u SUDO_UID -u SUDO_GID "$DIR/step$step" run --rootfs "$FS" sh -c "$5"
        fi
    done >"$BATS_TEST_TMPDIR/race" 2>&1 </dev/null || true
    kill "$RACER"
    wait "$RACER" || true
    RACER=
}

# 守る行: populate_dev() が、dev の中をたどり直さないこと
@test "while somebody swaps dev for a link, 70 starts make nothing outside the rootfs" {
    cp -a "$DIR/fs" "$DIR/swapped-dev"
    FS=$DIR/swapped-dev
    mkdir -m 777 "$DIR/target"
    ln -s "../../../../../../..$DIR/target" "$FS/dev-other"
    race 70 08 sudoer dev 'true'
    [ "$(ls -A "$DIR/target")" = "" ]
    race 30 07 root dev 'true'
    [ "$(ls -A "$DIR/target")" = "" ]
    # ふつうに戻せば、また始まる
    rm -rf "${FS:?}/dev" "$FS/dev-other"
    mkdir "$FS/dev"
    run -0 launch 08 sudoer sh -c '[ -c /dev/null ]'
}

# 守る行: cover_paths() が、本物の proc の中で重ねること
@test "while somebody swaps proc for a fake, 80 starts leave no core_pattern to write" {
    cp -a "$DIR/fs" "$DIR/swapped-proc"
    FS=$DIR/swapped-proc
    mkdir -p "$FS/proc-other/"{bus,dynamic_debug,fs,irq,sys/user,acpi,asound,scsi}
    touch "$FS/proc-other/"{sysrq-trigger,kcore,keys,latency_stats,sched_debug} \
        "$FS/proc-other/"{timer_list,timer_stats,sys/user/max_user_namespaces}
    # 差し替わっていないあいだに、1 度でも開けるか。開くだけで、何も書かない
    race 80 08 root proc 'for try in 1 2 3 4 5 6 7 8 9; do
        [ -e /proc/sys/kernel/core_pattern ] || continue
        { true >>/proc/sys/kernel/core_pattern; } 2>/dev/null && echo UNCOVERED
        read -r max </proc/sys/user/max_user_namespaces && echo "MAX $max"
    done'
    run ! grep -e UNCOVERED -e 'MAX [1-9]' "$BATS_TEST_TMPDIR/race"
}
