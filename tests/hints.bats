# hints.bats - shared/hints.c の表にあるすべてのヒントを、本物のプログラムで出す
#
# 簡単に作れる状況は本当に作り、そうでないエラーは strace(1) に返させる。expect の
# 最初の引数が表の項目で、最後のテストが、書き漏らした項目のないことを確かめる。
load helpers
load campaign/inject

# 表を「呼び出し|対象|errno|条件のファイル<TAB>文」の行にして書き出すプログラム
setup_file() {
    export TABLE=$BATS_FILE_TMPDIR/table
    cat >"$BATS_FILE_TMPDIR/dump.c" <<'END'
#include "hints.c"
int main(void)
{
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        const struct hint *hint = &hints[i];
        const char *file = hint->file ? strrchr(hint->file, '/') + 1 : "-";
        const char *object = hint->object ? hint->object : "-";
        printf("%s|%s|%s|%s\t", hint->call, *object == '\r' ? "CR" : object,
               strerrorname_np(hint->error), file);
        for (const char *c = hint->text; *c != '\0'; c++)
            *c == '\n' ? fputs("\\n", stdout) : putchar(*c);
        putchar('\n');
    }
}
END
    cc -I "$TOP/shared" -o "$BATS_FILE_TMPDIR/dump" "$BATS_FILE_TMPDIR/dump.c"
    "$BATS_FILE_TMPDIR/dump" >"$TABLE"
}

setup() {
    requires root userns cgroup net strace gcc script
    MOUNTS=$(cat /proc/self/mountinfo)
    LINKS=$(ip -br link)
    # strace の下では、リークを調べられない。SAN=1 で作ったときのため
    export ASAN_OPTIONS=detect_leaks=0
    unset SUDO_UID SUDO_GID
}

teardown() {
    remove_private_cgroups
    ip route flush root 10.0.0.0/8 2>/dev/null || true
}

# ランチャーは、ほかのコンテナが残した cgroup も開いてみる。自分用のものを重ねないと、
# 同じ呼び出しが毎回同じ順番にならない
cover_cgroups() {
    private_cgroups
    MOUNTS=$(cat /proc/self/mountinfo)
}

# 呼び出しが、いつも (WHEN があれば、その回だけ) ERRNO で失敗するようにして動かす:
# inject 07 chroot EPERM [WHEN]
inject() {
    run strace -f -qq -o /dev/null -e trace="$2" \
        -e inject="$2:error=$3${4:+:when=$4}" "$(step "$1")" run true
}

# ふつうに動かして、PATTERN に当てはまるのが、そのプロセスの何回目の呼び出しかを
# 調べる: number_of 09 write PATTERN
number_of() {
    local found
    rm -f "$BATS_TEST_TMPDIR"/trace.*
    strace -ff -qq -y -s 200 -e trace="$2" -e signal=none -o "$BATS_TEST_TMPDIR/trace" \
        "$(step "$1")" run true
    found=$(cd "$BATS_TEST_TMPDIR" && grep -nE -m 1 "$3" trace.* | head -n 1)
    found=${found#*:}
    echo "${found%%:*}"
}

# PATTERN に当てはまる呼び出しだけを失敗させる: inject_at 09 write EBUSY PATTERN
inject_at() {
    inject "$1" "$2" "$3" "$(number_of "$1" "$2" "$4")"
}

# /proc/sys/kernel に NAME があって、値が VALUE のホストに見せかけて動かす
with_sysctl() {
    local name=$1 value=$2
    shift 2
    # shellcheck disable=SC2016 # $0 などは、内側の sh が展開する
    unshare --mount sh -c 'mount -t tmpfs tmpfs /proc/sys/kernel &&
        echo "$1" >"/proc/sys/kernel/$0" && shift && exec "$@"' "$name" "$value" "$@"
}

inject_with_sysctl() {
    run with_sysctl "$1" "$2" strace -f -qq -o /dev/null -e trace="$4" \
        -e inject="$4:error=$5" "$(step "$3")" run true
}

no_step_runs() {
    ! pgrep '^step0' >/dev/null
}

# 終了ステータス、1 行目、表の文のとおりのヒント。ほかには何も出ず、何も残らない:
# expect 表の項目 ステータス 1行目のパターン
expect() {
    local text piece count=1
    echo "status $status, output: $output"
    [ "$status" = "$2" ]
    # shellcheck disable=SC2053 # 右辺はパターン
    [[ ${lines[0]} == step0[1-9]": "$3 ]]
    text=$(awk -F '\t' -v key="$1" '$1 == key { print $2 }' "$TABLE")
    [ -n "$text" ]
    while read -r piece; do
        piece=${piece//\\/\\\\}
        # shellcheck disable=SC2053 # %s は何にでも当てはまる
        [[ ${lines[count]} == "  ヒント: "${piece//'%s'/*} ]]
        ((count += 1))
    done <<<"${text//'\n'/$'\n'}"
    [ "${#lines[@]}" = "$count" ]
    promised 2 no_step_runs
    [ "$MOUNTS" = "$(cat /proc/self/mountinfo)" ]
    [ "$LINKS" = "$(ip -br link)" ]
}

copy_rootfs() {
    cp -a "$(dirname "$BIN")/rootfs/fs" "$BATS_TEST_TMPDIR/fs"
    cd "$BATS_TEST_TMPDIR" || return 1
}

# 一般ユーザーから見える、そのユーザーの読めない rootfs
closed_rootfs() {
    mkdir -p "$USER_HOME/closed/fs"
    chmod 700 "$USER_HOME/closed"
}

# --- clone3, fork --------------------------------------------------------------

@test "user namespaces are switched off for ordinary users" {
    inject_with_sysctl unprivileged_userns_clone 0 02 clone3 EPERM
    expect 'clone3|-|EPERM|unprivileged_userns_clone' 125 'clone3: Operation not permitted'
}

# unprivileged_userns のプロファイルがないと、AppArmor は名前空間を作らせない
@test "AppArmor lets ordinary users make no user namespace at all" {
    inject_with_sysctl apparmor_restrict_unprivileged_userns 1 02 clone3 EACCES
    expect 'clone3|-|EACCES|apparmor_restrict_unprivileged_userns' 125 'clone3: Permission denied'
}

@test "inside a chroot no user namespace can be made" {
    mkdir "$BATS_TEST_TMPDIR/root"
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mount --rbind / "$0" && exec chroot "$0" "$1" run true' \
        "$BATS_TEST_TMPDIR/root" "$(realpath "$(step 02)")"
    expect 'clone3|-|EPERM|-' 125 'clone3: Operation not permitted'
}

@test "user.max_user_namespaces is 0" {
    # shellcheck disable=SC2016
    run unshare --user --map-root-user sh -c \
        'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" run true' "$(step 02)"
    expect 'clone3|-|ENOSPC|max_user_namespaces' 125 'clone3: No space left on device'
}

@test "another number of namespaces has reached its limit" {
    # shellcheck disable=SC2016
    run unshare --user --map-root-user sh -c \
        'echo 0 >/proc/sys/user/max_uts_namespaces && exec "$0" run true' "$(step 04)"
    expect 'clone3|-|ENOSPC|-' 125 'clone3: No space left on device'
}

@test "the user has no more processes left, with clone3 and with fork" {
    run as_user bash -c "ulimit -u 1 && exec '$USER_HOME/step02' run true"
    expect 'clone3|-|EAGAIN|-' 125 'clone3: Resource temporarily unavailable'
    run as_user bash -c "ulimit -u 1 && exec '$USER_HOME/step01' run true"
    expect 'fork|-|EAGAIN|-' 125 'fork: Resource temporarily unavailable'
}

@test "the kernel does not have clone3, or not that kind of namespace" {
    inject 02 clone3 ENOSYS
    expect 'clone3|-|ENOSYS|-' 125 'clone3: Function not implemented'
    inject 02 clone3 EINVAL
    expect 'clone3|-|EINVAL|-' 125 'clone3: Invalid argument'
}

@test "the number of cgroup namespaces has reached its limit" {
    # shellcheck disable=SC2016
    run unshare --user --map-root-user sh -c \
        'echo 0 >/proc/sys/user/max_cgroup_namespaces && exec "$0" run --no-cgroup --no-veth true' \
        "$(step 09)"
    expect 'unshare|-|ENOSPC|-' 125 'unshare CLONE_NEWCGROUP: No space left on device'
}

# --- 標準入出力 ------------------------------------------------------------------

@test "stdin is a directory" {
    run "$(step 05)" run true </
    expect 'fstat|-|EISDIR|-' 125 'fstat 0: Is a directory'
}

# 本当に起こすのは signals.bats
@test "a shell starts in the background, and nobody can bring it to the front" {
    run script -qec "strace -qq -o /dev/null -e trace=ioctl -e inject=ioctl:error=ENOTTY:when=2 \
        '$(step 05)' run sh >'$BATS_TEST_TMPDIR/out' 2>&1" /dev/null </dev/null
    mapfile -t lines <"$BATS_TEST_TMPDIR/out"
    expect 'tcsetpgrp|-|ENOTTY|-' 125 'tcsetpgrp: Inappropriate ioctl for device'
}

# --- uid_map, gid_map ----------------------------------------------------------

@test "the maps cannot be opened or written, or their lines are wrong" {
    inject_at 03 openat EACCES /uid_map
    expect 'open|_map|EACCES|-' 125 'open /proc/*/uid_map: Permission denied'
    inject_at 03 write EACCES /uid_map
    expect 'write|_map|EACCES|-' 125 'write /proc/*/uid_map: Permission denied'
    inject_at 03 write EINVAL /gid_map
    expect 'write|_map|EINVAL|-' 125 'write /proc/*/gid_map: Invalid argument'
}

@test "an id that the launcher's own namespace does not have cannot be mapped" {
    run unshare --user --map-root-user env SUDO_UID=5 SUDO_GID=0 "$(step 03)" run true
    expect 'write|uid_map|EPERM|-' 125 'write /proc/*/uid_map: Operation not permitted'
    run unshare --user --map-root-user env SUDO_UID=0 SUDO_GID=5 "$(step 03)" run true
    expect 'write|gid_map|EPERM|-' 125 'write /proc/*/gid_map: Operation not permitted'
}

# --- sethostname, mount --------------------------------------------------------

@test "AppArmor takes the privileges of ordinary users' namespaces" {
    name=apparmor_restrict_unprivileged_userns
    inject_with_sysctl $name 1 04 sethostname EPERM
    expect 'sethostname|-|EPERM|apparmor_restrict_unprivileged_userns' 125 \
        'sethostname container: Operation not permitted'
    inject_with_sysctl $name 1 05 mount EPERM
    expect 'mount|-|EPERM|apparmor_restrict_unprivileged_userns' 125 \
        'mount /: Operation not permitted'
    inject_with_sysctl $name 1 05 mount EACCES
    expect 'mount|-|EACCES|apparmor_restrict_unprivileged_userns' 125 \
        'mount /: Permission denied'
    inject_with_sysctl $name 1 06 chroot EPERM
    expect 'chroot|-|EPERM|apparmor_restrict_unprivileged_userns' 125 \
        'chroot */rootfs/fs: Operation not permitted'
    # /proc/sys/kernel を隠すと、proc はマウントできない。そこだけ、できたことにする
    run with_sysctl $name 1 strace -f -qq -o /dev/null -e trace=mount,pivot_root \
        -e inject=mount:retval=0:when="$(number_of 07 mount '^mount\("proc"')" \
        -e inject=pivot_root:error=EPERM "$(step 07)" run true
    expect 'pivot_root|-|EPERM|apparmor_restrict_unprivileged_userns' 125 \
        'pivot_root .: Operation not permitted'
}

@test "sethostname and mount without the privilege" {
    inject 04 sethostname EPERM
    expect 'sethostname|-|EPERM|-' 125 'sethostname container: Operation not permitted'
    inject 05 mount EPERM
    expect 'mount|-|EPERM|-' 125 'mount /: Operation not permitted'
}

@test "a part of /proc is masked outside" {
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mount --bind /dev/null /proc/version && exec "$0" run true' \
        "$(step 05)"
    expect 'mount|proc|EPERM|-' 125 'mount /proc: Operation not permitted'
}

@test "a part of /sys is masked outside" {
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mount -t tmpfs tmpfs /sys/kernel && exec "$0" run true' \
        "$(step 07)"
    expect 'mount|sys|EPERM|-' 125 'mount sys: Operation not permitted'
}

@test "what is mounted is missing, is busy, is no mount point, cannot be reached" {
    null='^mount\("/dev/null"'
    inject_at 07 mount ENOENT "$null"
    expect 'mount|-|ENOENT|-' 125 'mount null: No such file or directory'
    inject_at 07 mount EACCES "$null"
    expect 'mount|-|EACCES|-' 125 'mount null: Permission denied'
    inject_at 07 mount EBUSY "$null"
    expect 'mount|-|EBUSY|-' 125 'mount null: Device or resource busy'
    inject_at 07 mount EINVAL "$null"
    expect 'mount|-|EINVAL|-' 125 'mount null: Invalid argument'
}

@test "the kernel does not have the file system" {
    inject_at 07 mount ENODEV '"mqueue"'
    expect 'mount|-|ENODEV|-' 125 'mount mqueue: No such device'
    [[ ${lines[1]} == *mqueue* ]]
}

@test "the file system that was mounted is not there" {
    inject 07 fstatfs EXDEV
    expect 'fstatfs|-|EXDEV|-' 125 'fstatfs dev: Invalid cross-device link'
}

@test "the root is read-only and lacks a directory to mount on" {
    copy_rootfs
    rmdir fs/dev
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mount --bind fs fs && mount -o remount,bind,ro fs &&
        exec "$0" run --rootfs fs true' "$(step 07)"
    expect 'openat2|-|ENOENT|-' 125 'openat2 dev: No such file or directory'
}

@test "a mount target is a symbolic link, is missing, is a file" {
    copy_rootfs
    rmdir fs/proc
    run "$(step 06)" run --rootfs fs true
    expect 'openat2|-|ENOENT|-' 125 'openat2 /proc: No such file or directory'
    ln -s tmp fs/proc
    run "$(step 07)" run --rootfs fs true
    expect 'openat2|-|ELOOP|-' 125 'openat2 proc: Too many levels of symbolic links'
    rm fs/proc
    touch fs/proc
    run "$(step 07)" run --rootfs fs true
    expect 'openat2|-|ENOTDIR|-' 125 'openat2 proc: Not a directory'
}

# --- chroot, pivot_root --------------------------------------------------------

@test "the new root for chroot is missing, is a file, cannot be reached, is not allowed" {
    run "$(step 06)" run --rootfs /no/such/rootfs true
    expect 'chroot|-|ENOENT|-' 125 'chroot /no/such/rootfs: No such file or directory'
    run "$(step 06)" run --rootfs /etc/passwd true
    expect 'chroot|-|ENOTDIR|-' 125 'chroot /etc/passwd: Not a directory'
    closed_rootfs
    run as_user "$USER_HOME/step06" run --rootfs "$USER_HOME/closed/fs" true
    expect 'chroot|-|EACCES|-' 125 "chroot $USER_HOME/closed/fs: Permission denied"
    inject 06 chroot EPERM
    expect 'chroot|-|EPERM|-' 125 'chroot */rootfs/fs: Operation not permitted'
}

@test "the new root for pivot_root is missing, is a file, cannot be entered" {
    run "$(step 07)" run --rootfs /no/such/rootfs true
    expect 'chdir|-|ENOENT|-' 125 'chdir /no/such/rootfs: No such file or directory'
    run "$(step 07)" run --rootfs /etc/passwd true
    expect 'chdir|-|ENOTDIR|-' 125 'chdir /etc/passwd: Not a directory'
    # 所有者は root なので、attendee は入れない
    closed_rootfs
    for root in "$USER_HOME/closed" "$USER_HOME/closed/fs"; do
        run as_user "$USER_HOME/step07" run --rootfs "$root" true
        expect 'chdir|-|EACCES|-' 125 "chdir $root: Permission denied"
    done
}

@test "pivot_root fails in each of its ways" {
    inject 07 pivot_root EINVAL
    expect 'pivot_root|-|EINVAL|-' 125 'pivot_root .: Invalid argument'
    inject 07 pivot_root EBUSY
    expect 'pivot_root|-|EBUSY|-' 125 'pivot_root .: Device or resource busy'
    inject 07 pivot_root ENOENT
    expect 'pivot_root|-|ENOENT|-' 125 'pivot_root .: No such file or directory'
    inject 07 pivot_root ENOTDIR
    expect 'pivot_root|-|ENOTDIR|-' 125 'pivot_root .: Not a directory'
    inject 07 pivot_root EACCES
    expect 'pivot_root|-|EACCES|-' 125 'pivot_root .: Permission denied'
    inject 07 pivot_root EPERM
    expect 'pivot_root|-|EPERM|-' 125 'pivot_root .: Operation not permitted'
}

# initramfs のルートは、親のマウントがないので取り替えられない。/proc/mounts の
# 1 行目は "rootfs / ..." になる
@test "the host's root is an initramfs" {
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mkdir "$1" && mount -t tmpfs rootfs "$1" && cd "$1" && mkdir old &&
        for dir in /*; do
            [ ! -d "$dir" ] || { mkdir ".$dir" && mount --rbind "$dir" ".$dir"; } || exit
        done
        pivot_root . old && umount --lazy /old && exec strace -f -qq -o /dev/null \
            -e trace=pivot_root -e inject=pivot_root:error=EINVAL "$0" run true' \
        "$(step 07)" "$BATS_TEST_TMPDIR/host"
    expect 'pivot_root|-|EINVAL|mounts' 125 'pivot_root .: Invalid argument'
}

# --- exec ----------------------------------------------------------------------

@test "the command, its interpreter or its loader is missing, each named in the hint" {
    copy_rootfs
    run "$(step 06)" run no-such-command
    expect 'exec|command|ENOENT|-' 127 'exec no-such-command: No such file or directory'
    [[ ${lines[1]} == *no-such-command* ]]
    run "$(step 06)" run 'no such command'
    expect 'exec|command|ENOENT|-' 127 'exec no such command: No such file or directory'
    [[ ${lines[1]} == *" no such command "* ]]
    printf '#!/no/such/interpreter\n' >fs/script
    chmod +x fs/script
    run "$(step 06)" run --rootfs fs /script
    expect 'exec|interpreter|ENOENT|-' 127 'exec /script: No such file or directory'
    [[ ${lines[1]} == *" /no/such/interpreter "* ]]
    loader=$(ldd /bin/ls | grep -o '/[^ ]*/ld-[^ ]*')
    cp /bin/ls fs/dynamic
    rm -f "fs$loader"
    run "$(step 06)" run --rootfs fs /dynamic
    expect 'exec|loader|ENOENT|-' 127 'exec /dynamic: No such file or directory'
    [[ ${lines[1]} == *" $loader "* ]]
    mkdir -p "fs${loader%/*}"
    head -c 4096 /dev/zero >"fs$loader"
    chmod +x "fs$loader"
    run "$(step 06)" run --rootfs fs /dynamic
    expect 'exec|loader|ELIBBAD|-' 126 'exec /dynamic: Accessing a corrupted shared library'
    [[ ${lines[1]} == *" $loader "* ]]
}

@test "the command is not executable, or its file system is noexec, or it is no program" {
    copy_rootfs
    cp fs/bin/busybox fs/plain
    chmod 644 fs/plain
    run "$(step 06)" run --rootfs fs /plain
    expect 'exec|-|EACCES|-' 126 'exec /plain: Permission denied'
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mount -t tmpfs -o noexec tmpfs fs/mnt &&
        cp fs/bin/busybox fs/mnt && exec "$0" run --rootfs fs /mnt/busybox' "$(step 06)"
    expect 'exec|-|EACCES|-' 126 'exec /mnt/busybox: Permission denied'
    # 別の CPU のプログラム。sh に渡すと、構文の誤りになってしまう
    cp fs/bin/busybox fs/foreign
    printf '\367' | dd of=fs/foreign bs=1 seek=18 conv=notrunc status=none
    run "$(step 06)" run --rootfs fs /foreign
    expect 'exec|-|ENOEXEC|-' 126 'exec /foreign: Exec format error'
    run "$(step 06)" run --rootfs fs /foreign/program
    expect 'exec|-|ENOTDIR|-' 126 'exec /foreign/program: Not a directory'
}

@test "a script's first line ends with CR LF, or names the script itself" {
    copy_rootfs
    printf '#!/bin/sh\r\necho hello\r\n' >fs/script
    chmod +x fs/script
    run "$(step 06)" run --rootfs fs /script
    expect 'exec|CR|ENOENT|-' 127 'exec /script: No such file or directory'
    [[ $output != *$'\r'* ]]
    echo '#!/script' >fs/script
    run "$(step 06)" run --rootfs fs /script
    expect 'exec|interpreter|ELOOP|-' 126 'exec /script: Too many levels of symbolic links'
}

@test "the child is killed before it could exec the command" {
    run strace -f -qq -o /dev/null -e trace=close_range -e inject=close_range:signal=KILL \
        "$(step 05)" run true
    expect 'prepare|-|EINTR|-' 125 'prepare true: Killed'
}

# --- keyctl --------------------------------------------------------------------

@test "the user has no more keys left, or keyctl is not allowed" {
    inject 08 keyctl EDQUOT
    expect 'keyctl|-|EDQUOT|-' 125 'keyctl KEYCTL_JOIN_SESSION_KEYRING: Disk quota exceeded'
    inject 08 keyctl EPERM
    expect 'keyctl|-|EPERM|-' 125 'keyctl KEYCTL_JOIN_SESSION_KEYRING: Operation not permitted'
}

# --- cgroup --------------------------------------------------------------------

@test "the host has no cgroup controllers" {
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'umount --recursive --lazy /sys/fs/cgroup && exec "$0" run true' \
        "$(step 09)"
    expect 'controller|-|ENOENT|-' 125 'controller cpu: No such file or directory'
}

@test "an ordinary user cannot make a cgroup" {
    run as_user "$USER_HOME/step09" run true
    expect 'mkdir|cgroup|EACCES|-' 125 'mkdir /sys/fs/cgroup/*: Permission denied'
}

@test "the host has no memory controller" {
    cover_cgroups
    run without memory "$(step 09)" run true
    expect 'controller|memory|ENOENT|-' 125 'controller memory: No such file or directory'
}

# v1 で別の木を重ねたときや、cgroup 名前空間の外から入ってきたとき
@test "the cgroup that the user is in cannot be seen" {
    cover_cgroups
    mkdir "$(top_of cpu)/inner"
    run in_cgroup "$(top_of cpu)/inner" as_user "$USER_HOME/step09" run true
    expect 'mkdir|cgroup|ENOENT|-' 125 \
        'mkdir /sys/fs/cgroup/*/inner/container-steps*: No such file or directory'
}

# 自分をこの cgroup に入れてから、コマンドを動かす
in_cgroup() (
    echo "$BASHPID" >"$1/cgroup.procs"
    "${@:2}"
)

@test "cgroups are read-only" {
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'for dir in $(findmnt -rno TARGET -t cgroup,cgroup2); do
        mount -o remount,bind,ro "$dir"; done; exec "$0" run true' "$(step 09)"
    # 同じ v2 の木にほかのランチャーがいれば、ディレクトリはもうある
    [[ $output == *": open "* ]] ||
        expect 'mkdir|cgroup|EROFS|-' 125 'mkdir /sys/fs/cgroup/*: Read-only file system'
    cover_cgroups
    inject_at 09 openat EROFS 'cgroup/.*O_WRONLY'
    expect 'open|cgroup|EROFS|-' 125 'open /sys/fs/cgroup/*: Read-only file system'
}

@test "/proc is read-only" {
    # shellcheck disable=SC2016
    run unshare --mount sh -c 'mount -o remount,bind,ro /proc && exec "$0" run true' "$(step 03)"
    expect 'open|/proc/|EROFS|-' 125 'open /proc/*/setgroups: Read-only file system'
}

@test "somebody else has a cgroup of the name that is wanted" {
    cover_cgroups
    local point
    for point in "${POINTS[@]}"; do mkdir "$point/container-steps"; done
    run within 20 "$(step 09)" run true
    expect 'mkdir|cgroup|EEXIST|-' 125 'mkdir /sys/fs/cgroup*/container-steps: File exists'
    for point in "${POINTS[@]}"; do rmdir "$point/container-steps"; done
}

@test "a file of the cgroup is missing or cannot be opened" {
    cover_cgroups
    inject_at 09 openat ENOENT 'cgroup/.*O_WRONLY'
    expect 'open|cgroup|ENOENT|-' 125 'open /sys/fs/cgroup/*: No such file or directory'
    inject_at 09 openat EACCES 'cgroup/.*O_WRONLY'
    expect 'open|cgroup|EACCES|-' 125 'open /sys/fs/cgroup/*: Permission denied'
    if is_v2 memory; then
        inject_at 09 openat ENOENT 'memory\.swap\.max.*O_WRONLY'
        expect 'open|memory.swap|ENOENT|-' 125 'open *.swap.max: No such file or directory'
    else
        inject_at 09 openat ENOENT 'memory\.memsw.*O_WRONLY'
        expect 'open|memory.memsw|ENOENT|-' 125 'open *.memsw.limit_in_bytes: No such file or directory'
    fi
}

@test "there are as many cgroups as there can be, in the kernel or below this one" {
    cover_cgroups
    inject_at 09 '?mkdir,?mkdirat' ENOSPC /sys/fs/cgroup/
    expect 'mkdir|cgroup|ENOSPC|-' 125 'mkdir /sys/fs/cgroup/*: No space left on device'
    inject_at 09 '?mkdir,?mkdirat' EAGAIN /sys/fs/cgroup/
    expect 'mkdir|cgroup|EAGAIN|-' 125 'mkdir /sys/fs/cgroup/*: Resource temporarily unavailable'
}

# 待つ時間を 0 にして、すぐにあきらめさせる
@test "somebody else holds the lock of the cgroups" {
    cover_cgroups
    run strace -qq -o /dev/null -e trace=flock,clock_nanosleep -e inject=flock:error=EAGAIN:when=1..10000 \
        -e inject=clock_nanosleep:retval=0 "$(step 09)" run true
    expect 'flock|-|EAGAIN|-' 125 'flock /sys/fs/cgroup/*: Resource temporarily unavailable'
}

@test "a real-time process cannot enter the cgroup, or a value exceeds the cgroup above" {
    cover_cgroups
    build_inject "$BATS_TEST_TMPDIR"
    # 子が初めに書くのは、cgroup に入るとき。strace では、親の書くものも失敗してしまう
    run "$BATS_TEST_TMPDIR/inject" -o "$BATS_TEST_TMPDIR/result" \
        -r child,write,1,entry,fail=EINVAL -- "$(step 09)" run true
    status=$(sed -nE 's/.*status=([0-9]+).*/\1/p' "$BATS_TEST_TMPDIR/result")
    if is_v2 cpu; then
        expect 'write|cgroup.procs|EINVAL|-' 125 'write /sys/fs/cgroup/*/cgroup.procs: Invalid argument'
    else
        expect 'write|/tasks|EINVAL|-' 125 'write /sys/fs/cgroup/*/tasks: Invalid argument'
    fi
    inject_at 09 write EINVAL '/cpu\.[a-z_]*>'
    expect 'write|cgroup|EINVAL|-' 125 'write /sys/fs/cgroup/*: Invalid argument'
}

@test "a file of the cgroup cannot be written" {
    inject_at 09 write EACCES '</sys/fs/cgroup/'
    expect 'write|cgroup|EACCES|-' 125 'write /sys/fs/cgroup/*: Permission denied'
    inject_at 09 write EPERM '</sys/fs/cgroup/'
    expect 'write|cgroup|EPERM|-' 125 'write /sys/fs/cgroup/*: Operation not permitted'
    inject_at 09 write EBUSY '</sys/fs/cgroup/'
    expect 'write|cgroup|EBUSY|-' 125 'write /sys/fs/cgroup/*: Device or resource busy'
    inject_at 09 write ENOENT '</sys/fs/cgroup/'
    expect 'write|cgroup|ENOENT|-' 125 'write /sys/fs/cgroup/*: No such file or directory'
}

# --- rtnetlink -----------------------------------------------------------------

@test "an ordinary user cannot make a link, nor can root without CAP_NET_ADMIN" {
    run as_user "$USER_HOME/step09" run --no-cgroup true
    expect 'netlink|-|EPERM|-' 125 'netlink *: Operation not permitted'
    run setpriv --bounding-set -net_admin "$(step 09)" run --no-cgroup true
    expect 'netlink|-|EPERM|-' 125 'netlink *: Operation not permitted'
}

@test "all subnets are taken, or the kernel has no veth" {
    ip route add 10.0.0.0/8 dev lo
    run "$(step 09)" run --no-cgroup true
    expect 'netlink|route|EEXIST|-' 125 'netlink route 10.0.0.0/16: File exists'
    ip route del 10.0.0.0/8 dev lo
    inject 09 sendto EOPNOTSUPP
    expect 'netlink|-|EOPNOTSUPP|-' 125 'netlink *: Operation not supported'
}

links_are_as_before() {
    [ "$LINKS" = "$(ip -br link)" ]
}

# コンテナのネットワーク名前空間に、nsenter が残る。それが終わるまで、リンクは消えない
end_while_held() {
    local holder status=0
    BIN=$(step 09) start_container --no-cgroup sleep 100
    nsenter --target "$CONTAINER" --net sleep 100 >/dev/null 2>&1 3>&- 4>&- &
    holder=$!
    retry 5 test "/proc/$holder/ns/net" -ef "/proc/$CONTAINER/ns/net"
    kill -TERM "$LAUNCHER"
    wait "$LAUNCHER" || status=$?
    kill "$holder"
    wait "$holder" 2>/dev/null || true
    retry 5 links_are_as_before
    return "$status"
}

@test "somebody else holds the network namespace of a container that has ended" {
    run end_while_held
    expect 'link|-|EBUSY|-' 143 'link veth-host: Device or resource busy'
}

# --- 表そのもの ----------------------------------------------------------------

@test "no hint that the table does not have: an unknown pair of call and errno" {
    inject 05 mount ENOMEM
    [ "$status" = 125 ]
    [ "$output" = "step05: mount /: Cannot allocate memory" ]
}

@test "every entry of the table has been provoked above, and no entry is there twice" {
    grep -oE "^ *expect '[^']+'" "$BATS_TEST_FILENAME" | cut -d"'" -f2 | sort -u \
        >"$BATS_TEST_TMPDIR/provoked"
    cut -f1 "$TABLE" | sort >"$BATS_TEST_TMPDIR/entries"
    [ -s "$BATS_TEST_TMPDIR/entries" ]
    diff "$BATS_TEST_TMPDIR/entries" "$BATS_TEST_TMPDIR/provoked"
}

@test "every line of every hint is short, and every hint is Japanese" {
    cut -f2 "$TABLE" | sed 's/\\n/\n/g' >"$BATS_TEST_TMPDIR/lines"
    [ -s "$BATS_TEST_TMPDIR/lines" ]
    run ! grep -x '' "$BATS_TEST_TMPDIR/lines"
    # どの項目にも仮名がある。1 行は、全角を 2 桁と数えて 90 桁まで
    run ! env LC_ALL=C.UTF-8 grep -Pv '[\x{3041}-\x{30ff}]' <(cut -f2 "$TABLE")
    [ "$(LC_ALL=C.UTF-8 wc -L <"$BATS_TEST_TMPDIR/lines")" -le 90 ]
}
