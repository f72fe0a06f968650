#!/usr/bin/env bats
# rootfs/build.sh と rootfs/demo/*.c。時間のかかる種類は rootfs-slow.bats。

# 各 @test はサブシェルなので、変数の変更が外に出ないのは承知の上。
# shellcheck disable=SC2030,SC2031

load helpers

setup_file() {
    local name
    export DEMO_DIR=$BATS_FILE_TMPDIR/demo
    mkdir "$DEMO_DIR"
    for name in unchroot memhog cpuburn quota forkbomb; do
        "${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread \
            -o "$DEMO_DIR/$name" "$TOP/rootfs/demo/$name.c"
    done
    "$TOP/rootfs/build.sh" busybox "$BATS_FILE_TMPDIR/fs"
}

setup() {
    unset SUDO_UID SUDO_GID IMAGE TARBALL SUITE MIRROR BUSYBOX
    build=$TOP/rootfs/build.sh
    fs=$BATS_FILE_TMPDIR/fs # 読むだけのテストはこれを使う
    cd "$BATS_TEST_TMPDIR" || return
    pids=() # ここで始めて、まだ待っていないプロセス
    user=$((100000 + BASHPID % 100000 + BATS_TEST_NUMBER * 100000))
}

teardown() {
    local pid
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [[ -n ${user_dir:-} ]]; then
        rm -rf "$user_dir"
    fi
}

has_line() { grep -qx -- "$2" "$1" 2>/dev/null; }

processes_of() { ps -o pid= -u "$1"; }

no_process_of() { ! processes_of "$1"; }

half_built() { compgen -G 'fs.tmp.*/fs/bin/sh'; }

# ほかに誰もいない uid で実行する。bats の作業場所はその人には見えない。
as_uid() {
    setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
}

make_user_dir() {
    user_dir=$(mktemp -d /tmp/rootfs-test.XXXXXX)
    mkdir "$user_dir/rootfs" "$user_dir/shared"
    cp "$build" "$user_dir/rootfs"
    cp -R "$TOP/shared/scripts" "$user_dir/shared"
    cp -R "$DEMO_DIR" "$user_dir"
    chown -R "$user:$user" "$user_dir"
}

# build.sh が残すのは、木と .kind だけ。
assert_only() {
    local name
    for name in "$@"; do
        [[ -e $name ]] || {
            echo "missing: $name"
            return 1
        }
    done
    [[ $(find . -mindepth 1 -maxdepth 1 | wc -l) -eq $# ]] || {
        find . -mindepth 1 -maxdepth 1
        return 1
    }
}

# 英語の 1 行と、日本語のヒントの 1 行だけが出る。
assert_error() {
    [[ ${#lines[@]} -eq 2 ]] || {
        echo "$output"
        return 1
    }
    [[ ${lines[0]} == "build.sh: "*"$1"* && ${lines[1]} == '  ヒント: '*"$2"* ]]
}

# 小さな tar を作る。引数は tar に加えるもの。
make_tarball() {
    mkdir -p tree/bin
    cp /bin/busybox tree/bin/sh
    tar -C tree -cf root.tar . "$@"
    rm -rf tree
}

# 半分まで展開したところで、続きを待って止まる build.sh を始める。
start_half_build() {
    make_tarball
    mkfifo half
    # 読み書きで開くと、tar は EOF を見ずに待ち続ける
    exec 8<>half
    # bash は裏のプロセスに SIGINT を無視させる。元に戻して始める
    TARBALL=half env --default-signal=INT "$build" tar fs \
        8>&- 3>&- >log 2>&1 &
    pids+=("$!")
    head -c 1000000 root.tar >&8 &
    feeder=$!
    pids+=("$feeder")
    retry 10 half_built
}

# --- 種類 -------------------------------------------------------------------

@test "busybox: sh, ls, ps, id, ip, nc, mount, unshare and the rest are there" {
    local name applets links
    for name in sh ls ps id ip nc mount umount unshare hostname chroot sleep; do
        [[ $(readlink "$fs/bin/$name") == busybox ]]
    done
    applets=$("$fs/bin/busybox" --list | grep -cvx busybox)
    links=$(find "$fs/bin" -type l -lname busybox | wc -l)
    [[ $applets -eq $links ]]
}

@test "busybox: a command is found under every directory of a usual PATH" {
    requires root
    local dir
    for dir in /bin /sbin /usr/bin /usr/sbin; do
        run -0 chroot "$fs" "$dir/sh" -c "PATH=$dir; id; ls /demo"
        [[ ${lines[0]} == 'uid=0(root) gid=0(root)'* ]]
        [[ $output == *unchroot* ]]
    done
}

@test "busybox: mount points are real directories, /tmp is world-writable" {
    local dir
    for dir in proc sys dev tmp demo etc root; do
        [[ -d $fs/$dir && ! -L $fs/$dir ]]
    done
    [[ $(stat -c %a "$fs/tmp") == 1777 ]]
    grep -q '^root:x:0:0:' "$fs/etc/passwd"
    grep -q '^127.0.0.1 .*container' "$fs/etc/hosts"
}

# README.ja.md がそう言う
@test "busybox: ls shows a Japanese name as ?, find and the shell as it is" {
    requires root
    run -0 "$build" busybox fs
    touch fs/root/日本語
    run -0 chroot fs sh -c 'LANG=C.UTF-8 ls /root; find /root -type f; cd /root; echo *'
    [[ ${lines[*]} == '??? /root/日本語 日本語' ]]
}

@test "busybox is built when no kind is named, and the kind is recorded" {
    run -0 "$build" '' fs
    [[ $(<fs.kind) == 'busybox /bin/busybox' ]]
    assert_only fs fs.kind
}

@test "busybox: a dynamically linked one is refused" {
    cp "$(type -P ls)" busybox
    BUSYBOX=./busybox run -1 "$build" busybox fs
    assert_error 'not statically linked' 'apt-get install busybox-static'
    assert_only busybox
}

@test "busybox: a missing one is refused" {
    BUSYBOX=./none run -1 "$build" busybox fs
    assert_error './none: not found' 'make setup'
    assert_only
}

@test "host: sh, ls, ps and ip start inside, so nothing of theirs is missing" {
    requires root
    "$build" host fs
    run -0 chroot fs /bin/sh -c 'ls /; id; cat /etc/hosts; hostname; uname'
    [[ $output == *demo* && $output == *'uid=0(root)'* && $output == *Linux* ]]
    run -0 chroot fs mount --version
    run -0 chroot fs ip -V
    # /proc がないので失敗するが、起動はする (127 でない)
    run chroot fs ps
    [[ $output == */proc* ]]
    [[ $(<fs.kind) == 'host /' ]]
}

@test "host: the libraries are exactly those that ldd lists" {
    local name
    "$build" host fs
    for name in sh ls cat id ps mount umount uname hostname sleep ip; do
        ldd "$(PATH=$PATH:/usr/sbin type -P "$name")"
    done | grep -o '/[^ ]*' | xargs -n 1 basename | sort -u >wanted
    find fs/ -name '*.so*' -printf '%f\n' | sort -u >found
    diff wanted found
}

@test "host: the loader is at the path that the programs name" {
    local loader
    "$build" host fs
    loader=$(ldd "$(type -P ls)" | awk '$1 ~ /^\// { print $1 }')
    [[ -n $loader ]]
    [[ $(realpath -m "fs$loader") == "$BATS_TEST_TMPDIR/fs/"* ]]
    [[ -x fs$loader ]]
}

@test "tar: plain, gzip, xz and zstd tarballs are unpacked" {
    local file tool files
    make_tarball
    # gzip のほかは、入っていれば試す。CI には、どれも入っている
    for tool in gzip xz zstd; do
        command -v "$tool" >/dev/null || continue
        "$tool" -q -k root.tar
    done
    files=(root.tar*)
    ((${#files[@]} >= 2))
    for file in "${files[@]}"; do
        TARBALL=$file run -0 "$build" tar fs
        cmp /bin/busybox fs/bin/sh
        [[ -x fs/demo/unchroot && $(<fs.kind) == "tar $file" ]]
        rm -r "$file" fs/bin
    done
    assert_only fs fs.kind
}

@test "tar: a rebuild without TARBALL takes the one of the last build" {
    make_tarball
    TARBALL=root.tar "$build" tar fs
    rm fs/bin/sh
    run -0 "$build" tar fs
    [[ -x fs/bin/sh && $(<fs.kind) == 'tar root.tar' ]]
}

@test "tar: mount points that the tarball lacks are made" {
    make_tarball
    TARBALL=root.tar "$build" tar fs
    [[ -d fs/proc && -d fs/sys && -d fs/dev && -d fs/demo ]]
    [[ $(stat -c %a fs/tmp) == 1777 ]]
}

@test "tar: a mount point that is a symbolic link is refused" {
    local dir
    for dir in proc sys dev tmp demo etc; do
        mkdir -p tree outside
        ln -s "$BATS_TEST_TMPDIR/outside" "tree/$dir"
        make_tarball
        TARBALL=root.tar run -1 "$build" tar fs
        assert_error "/$dir in root.tar is not a real directory" "/$dir"
        [[ -z $(ls -A outside) ]]
        assert_only outside root.tar
    done
}

@test "tar: a member that would escape writes nothing outside" {
    touch escaped
    make_tarball -P --transform 's,^escaped$,../../escaped-up,' -C .. escaped
    TARBALL=root.tar run -1 "$build" tar fs
    assert_error "Member name contains '..'" tar
    assert_only escaped root.tar

    make_tarball -P --transform "s,^escaped\$,$PWD/escaped-abs,rh" -C .. escaped
    TARBALL=root.tar run -0 "$build" tar fs
    [[ -e fs$PWD/escaped-abs ]]
    assert_only escaped fs fs.kind root.tar
}

@test "tar: a link in the tarball is not followed to the outside" {
    mkdir -p outside link
    touch link/escaped
    mkdir tree
    ln -s "$PWD/outside" tree/link
    make_tarball -C .. link/escaped
    TARBALL=root.tar run -1 "$build" tar fs
    assert_error 'link/escaped' tar
    [[ -z $(ls -A outside) ]]
    assert_only link outside root.tar
}

@test "tar: devices and setuid bits are left out" {
    requires root
    mkdir -p tree/dev tree/lib
    mknod tree/dev/null c 1 3
    mknod tree/lib/null c 1 3
    cp /bin/busybox tree/lib/su
    chmod 6755 tree/lib/su
    make_tarball
    TARBALL=root.tar "$build" tar fs
    [[ -x fs/lib/su ]]
    run -0 find fs -type c -o -type b -o -type f -perm /6000
    [[ -z $output ]]

    make_user_dir
    cp root.tar "$user_dir"
    TARBALL=$user_dir/root.tar DEMO_DIR=$user_dir/demo run -0 \
        as_uid "$user_dir/rootfs/build.sh" tar "$user_dir/fs"
    [[ -x $user_dir/fs/lib/su && ! -e $user_dir/fs/lib/null ]]
}

@test "tar: something else than a root file system is refused" {
    echo hello >text
    TARBALL=text run -1 "$build" tar fs
    assert_error 'cannot unpack text' 'tar -tf'
    tar -cf saved.tar text
    TARBALL=saved.tar run -1 "$build" tar fs
    assert_error 'neither bin nor usr' 'docker export'
    assert_only saved.tar text
}

@test "debian: the tool's tarball becomes a tree, the suite is recorded" {
    make_tarball
    mkdir bin
    cat >bin/mmdebstrap <<END
#!/bin/sh
echo "\$@" >"$PWD/args"
cat "$PWD/root.tar"
END
    chmod +x bin/mmdebstrap
    export PATH=$PWD/bin:$PATH SUITE=trixie MIRROR=file:/mirror
    run -0 "$build" debian fs
    [[ -x fs/bin/sh && $(<fs.kind) == 'debian trixie' ]]
    [[ $(<args) == *' trixie - file:/mirror' ]]
}

@test "debian: a failing tool leaves nothing and says what to check" {
    mkdir bin
    printf '#!/bin/sh\necho "E: no such suite" >&2\nexit 25\n' >bin/mmdebstrap
    chmod +x bin/mmdebstrap
    PATH=$PWD/bin:$PATH SUITE=nosuch run -1 "$build" debian fs
    [[ ${lines[-2]} == 'build.sh: cannot build Debian nosuch' ]]
    [[ ${lines[-1]} == '  ヒント: '*SUITE* ]]
    assert_only bin
}

# --- 名前解決 ---------------------------------------------------------------

# /etc と /run を小さなものに替えて、木を作る。
build_with_resolv_conf() {
    mkdir etc
    cp "$1" etc/resolv.conf
    cp -a /etc/alternatives etc # awk などは、ここを通る
    # shellcheck disable=SC2016 # 内側のシェルで展開する
    unshare --mount sh -ec '
        mount --bind etc /etc
        mount -t tmpfs tmpfs /run
        if [ -e "$1" ]; then
            mkdir -p /run/systemd/resolve
            cp "$1" /run/systemd/resolve/resolv.conf
        fi
        exec "$2" busybox fs' sh "$2" "$build"
}

@test "resolv.conf: the host's name servers are copied" {
    requires root
    printf 'nameserver 192.0.2.53\nsearch example.org\n' >host
    build_with_resolv_conf host none
    diff host fs/etc/resolv.conf
}

@test "resolv.conf: a loopback server is replaced by those behind it" {
    requires root
    printf 'nameserver 127.0.0.53\n' >host
    printf 'nameserver 192.0.2.54\n' >resolved
    build_with_resolv_conf host resolved
    diff resolved fs/etc/resolv.conf
}

@test "resolv.conf: without a usable server the file names none" {
    requires root
    printf 'nameserver 127.0.0.53\n' >host
    build_with_resolv_conf host none
    run -1 grep nameserver fs/etc/resolv.conf
    [[ -s fs/etc/resolv.conf ]]
}

# --- 誤った使い方 -----------------------------------------------------------

@test "an unknown kind is refused" {
    run -1 "$build" alpine fs
    assert_error 'unknown kind: alpine' busybox
    assert_only
}

@test "a missing TARBALL or IMAGE is named" {
    run -1 "$build" tar fs
    assert_error 'TARBALL is not set' 'make rootfs ROOTFS=tar TARBALL='
    TARBALL=nowhere.tar run -1 "$build" tar fs
    assert_error 'nowhere.tar: cannot be read' 'ls -l'
    run -1 "$build" image fs
    assert_error 'IMAGE is not set' 'make rootfs ROOTFS=image IMAGE='
    assert_only
}

@test "missing demo programs are named" {
    DEMO_DIR=$PWD/none run -1 "$build" busybox fs
    assert_error "no demo programs in $PWD/none" 'make rootfs'
    assert_only
}

@test "a missing tool is named together with its package" {
    mkdir path
    ln -s /usr/bin/* /usr/sbin/* path/ 2>/dev/null || true
    rm -f path/{mmdebstrap,debootstrap,podman,docker}
    PATH=$PWD/path run -1 "$build" debian fs
    assert_error 'mmdebstrap: not found' 'apt-get install mmdebstrap'
    PATH=$PWD/path IMAGE=x run -1 "$build" image fs
    assert_error 'podman or docker: not found' 'apt-get install podman'
    assert_only path
}

@test "a directory that build.sh did not make is not replaced" {
    mkdir fs
    touch fs/thesis
    run -1 "$build" busybox fs
    assert_error 'was not made by build.sh' ''
    [[ -e fs/thesis ]]
    ln -s fs link
    run -1 "$build" busybox link
    assert_error 'is not a directory' ''
    assert_only fs link
}

@test "a tree with a mount in it is refused, and the mount's source survives" {
    requires root
    "$build" busybox fs
    mkdir 'my source'
    touch 'my source/precious'
    mkdir 'fs/mnt/with space'
    # shellcheck disable=SC2016 # 内側のシェルで展開する
    run -1 unshare --mount sh -c '
        mount --bind "my source" "fs/mnt/with space"
        exec "$0" busybox fs' "$build"
    assert_error 'fs/mnt/with space is still mounted' 'umount'
    [[ -e 'my source/precious' ]]
    assert_only fs fs.kind 'my source'
}

# --- 置き換え ---------------------------------------------------------------

@test "a new build replaces the old tree whole, also read-only directories" {
    requires root
    make_user_dir
    export DEMO_DIR=$user_dir/demo
    as_uid "$user_dir/rootfs/build.sh" busybox "$user_dir/fs"
    mkdir -p "$user_dir/fs/locked/deep"
    touch "$user_dir/fs/locked/deep/file"
    chown -R "$user" "$user_dir/fs/locked"
    chmod 500 "$user_dir/fs/locked/deep"
    chmod 000 "$user_dir/fs/locked"
    as_uid "$user_dir/rootfs/build.sh" host "$user_dir/fs"
    [[ ! -e $user_dir/fs/locked && ! -e $user_dir/fs/bin/busybox ]]
    [[ $(<"$user_dir/fs.kind") == 'host /' ]]
    cd "$user_dir"
    assert_only demo fs fs.kind rootfs shared
}

@test "a failed build leaves the old tree and its kind as they were" {
    "$build" busybox fs
    echo hello >text
    TARBALL=text run -1 "$build" tar fs
    [[ -e fs/bin/busybox && $(<fs.kind) == 'busybox /bin/busybox' ]]
    assert_only fs fs.kind text
}

@test "clean removes the tree, its record and what a killed build left" {
    "$build" busybox fs
    mkdir -p fs/locked/deep fs.tmp.abcdef/fs
    chmod 000 fs/locked
    touch mine
    run -0 "$build" clean fs
    [[ -z $output ]]
    assert_only mine
    mkdir other
    touch other/thesis
    run -1 "$build" clean other
    [[ -e other/thesis ]]
}

@test "without root every file belongs to the builder" {
    requires root
    make_user_dir
    export DEMO_DIR=$user_dir/demo
    cp -R "$fs" "$user_dir/old"
    tar -C "$user_dir/old" -cf "$user_dir/root.tar" .
    as_uid "$user_dir/rootfs/build.sh" busybox "$user_dir/busybox"
    as_uid "$user_dir/rootfs/build.sh" host "$user_dir/host"
    TARBALL=$user_dir/root.tar as_uid "$user_dir/rootfs/build.sh" tar "$user_dir/tar"
    run -0 find "$user_dir"/{busybox,host,tar} "$user_dir"/*.kind ! -uid "$user"
    [[ -z $output ]]
    [[ -x $user_dir/tar/demo/unchroot ]]
}

@test "under sudo every file belongs to the one who typed it" {
    requires root
    SUDO_UID=$user SUDO_GID=$user "$build" busybox fs
    run -0 find fs fs.kind ! \( -uid "$user" -a -gid "$user" \)
    [[ -z $output ]]
}

# --- 中断 -------------------------------------------------------------------

@test "SIGTERM, SIGINT, SIGHUP in the middle end the build, nothing is left" {
    local signal
    for signal in TERM:143 INT:130 HUP:129; do
        start_half_build
        kill "-${signal%:*}" "${pids[0]}"
        wait "${pids[0]}" || status=$?
        [[ $status -eq ${signal#*:} ]]
        run -1 pgrep -f "$PWD/fs.tmp" # tar も残らない
        kill "$feeder" 2>/dev/null || true
        exec 8>&-
        pids=()
        rm half
        assert_only log root.tar
    done
}

@test "SIGTERM in the middle keeps the tree that was there" {
    "$build" host fs
    start_half_build
    kill -TERM "${pids[0]}"
    wait "${pids[0]}" || true
    [[ -x fs/bin/ls && $(<fs.kind) == 'host /' ]]
    assert_only fs fs.kind half log root.tar
}

@test "after SIGKILL no half-built tree shows, and the next build cleans up" {
    start_half_build
    kill -KILL "${pids[0]}"
    wait "${pids[0]}" || true
    [[ ! -e fs && ! -e fs.kind ]]
    half_built
    # 残された tar は EOF で終わる。次のビルドはそれを待つ
    "$build" busybox fs 8>&- 3>&- >log 2>&1 &
    pids+=("$!")
    retry 10 grep -q waiting log
    [[ ! -e fs ]]
    kill "$feeder" 2>/dev/null || true
    exec 8>&-
    wait "${pids[-1]}"
    [[ -x fs/bin/busybox ]]
    assert_only fs fs.kind half log root.tar
}

@test "a tree moved aside by a killed build comes back if the next one fails" {
    "$build" busybox fs
    mkdir fs.tmp.abcdef
    mv fs fs.tmp.abcdef/old
    rm fs.kind
    echo hello >text
    TARBALL=text run -1 "$build" tar fs
    [[ -e fs/bin/busybox ]]
    assert_only fs text
}

@test "concurrent builds of one tree all succeed and leave one whole tree" {
    local i kinds=(busybox host)
    for ((i = 0; i < 6; i++)); do
        "$build" "${kinds[i % 2]}" fs >"log$i" 2>&1 3>&- &
        pids+=("$!")
    done
    for i in "${pids[@]}"; do
        wait "$i"
    done
    pids=()
    rm log*
    assert_only fs fs.kind
    case $(<fs.kind) in
    busybox*) [[ $(readlink fs/bin/sh) == busybox && ! -e fs/usr/lib ]] ;;
    host*) [[ -x fs/bin/ls && ! -e fs/bin/busybox ]] ;;
    esac
    [[ -x fs/demo/unchroot && -s fs/etc/resolv.conf ]]
}

# --- デモのプログラム -------------------------------------------------------

@test "demo programs are static: they run where no library is" {
    local name
    for name in unchroot memhog cpuburn quota forkbomb; do
        run ldd "$DEMO_DIR/$name"
        [[ $output == *'not a dynamic executable'* ||
            $output == *'statically linked'* ]]
    done
}

@test "unchroot: a command run by it in a chroot sees the host's files" {
    requires root
    echo outside >marker
    run -1 chroot "$fs" cat "$PWD/marker"
    run -0 unshare --mount chroot "$fs" /demo/unchroot cat "$PWD/marker"
    [[ $output == outside ]]
}

@test "unchroot: its directory is removed, the exit status is the command's" {
    requires root
    run -7 chroot "$fs" /demo/unchroot sh -c 'exit 7'
    run -127 chroot "$fs" /demo/unchroot /no/such/command
    [[ $output == 'unchroot: execvp /no/such/command: '* ]]
    [[ -z $(ls -A "$fs/tmp") ]]
}

@test "unchroot: without a command it starts a shell" {
    requires root
    echo outside >marker
    run -0 chroot "$fs" /demo/unchroot <<<"cat '$PWD/marker'"
    [[ $output == outside ]]
}

@test "unchroot: after pivot_root it runs the command, which is still inside" {
    requires root
    echo outside >marker
    # shellcheck disable=SC2016 # 内側のシェルで展開する
    run -0 unshare --mount sh -ec '
        mount --bind "$1" "$1"
        cd "$1"
        pivot_root . .
        umount -l .
        exec /demo/unchroot sh -c "ls /; cat $2 || true"' sh "$fs" "$PWD/marker"
    [[ $output == *demo* && $output == *'No such file'* ]]
    [[ $output != *$'\noutside'* ]]
}

@test "unchroot: without the right to chroot it says so, nothing is left" {
    requires root
    run -1 chroot --userspec="$user:$user" "$fs" /demo/unchroot true
    [[ ${#lines[@]} -eq 1 ]]
    [[ $output == 'unchroot: chroot /tmp/unchroot.'*': Operation not '* ]]
    [[ -z $(ls -A "$fs/tmp") ]]
}

@test "memhog: one line per MB, and that much memory is really used" {
    run -0 "$DEMO_DIR/memhog" 30 0
    [[ ${#lines[@]} -eq 30 ]]
    [[ ${lines[0]} == 'memhog: 1 MB' && ${lines[29]} == 'memhog: 30 MB' ]]
    run -0 "$fs/bin/busybox" time -f '%M' "$DEMO_DIR/memhog" 40 0
    ((lines[-1] > 40000))
}

@test "memhog: lines appear while it runs, also through a pipe" {
    "$DEMO_DIR/memhog" 1000 100 3>&- > >(cat >log) &
    pids+=("$!")
    retry 10 has_line log 'memhog: 3 MB'
    kill -0 "${pids[0]}"
    run grep -c . log
    ((output < 1000))
}

@test "memhog: refused memory is reported" {
    run -1 prlimit --as=20000000 "$DEMO_DIR/memhog" 100 0
    [[ ${lines[-1]} == 'memhog: mmap 1048576 bytes: Cannot allocate memory' ]]
    run -2 "$DEMO_DIR/memhog" 10x
    [[ ${lines[0]} == "memhog: bad MAX_MB: '10x'" ]]
}

# 使った CPU 時間 (ミリ秒)。
cpu_time() {
    local TIMEFORMAT=%3U
    { time "$@" >/dev/null 3>&-; } 2>&1 | tr -d .
}

@test "cpuburn: each thread prints its seconds, then the total" {
    run -0 "$DEMO_DIR/cpuburn" 3 0.05
    [[ ${#lines[@]} -eq 4 ]]
    [[ ${lines[3]} =~ ^total:\ [0-9]+\.[0-9]{3}\ s$ ]]
    run -0 sort <<<"$output"
    [[ ${lines[*]%%:*} == 'thread 1 thread 2 thread 3 total' ]]
    run -2 "$DEMO_DIR/cpuburn" 0
}

@test "cpuburn: the work is fixed: threads and scale multiply the CPU time" {
    local one two scaled
    one=$(cpu_time "$DEMO_DIR/cpuburn" 1 0.3)
    two=$(cpu_time "$DEMO_DIR/cpuburn" 2 0.3)
    scaled=$(cpu_time "$DEMO_DIR/cpuburn" 1 0.9)
    echo "one=$one two=$two scaled=$scaled"
    ((10#$two * 10 > 10#$one * 14 && 10#$two < 10#$one * 3))
    ((10#$scaled * 10 > 10#$one * 20 && 10#$scaled < 10#$one * 5))
}

@test "quota: it uses so much CPU time, and says how long that took" {
    run -0 "$DEMO_DIR/quota" 20 0.5
    [[ ${lines[0]} =~ ^'20 ms of CPU: '([0-9]+)' ms'$ ]]
    ((BASH_REMATCH[1] >= 20))
    [[ ${lines[1]} =~ ^'0.5 ms of CPU: '[0-9]+' ms'$ ]]
    # 時計を読む時間は、カーネルの分になる
    local TIMEFORMAT='%U %S' used
    used=$({ time "$DEMO_DIR/quota" 600 >/dev/null 3>&-; } 2>&1)
    echo "used $used"
    awk '{ exit !($1 + $2 >= 0.58) }' <<<"$used"
    run -2 "$DEMO_DIR/quota"
    [[ ${lines[0]} == 'quota: missing MS' ]]
    run -2 "$DEMO_DIR/quota" 5 0
    [[ ${lines[0]} == "quota: bad MS: '0'" ]]
}

@test "forkbomb: a limit shows as EAGAIN, the children are gone afterwards" {
    requires root
    make_user_dir
    run -0 prlimit --nproc=20 setpriv --reuid="$user" --regid="$user" \
        --clear-groups "$user_dir/demo/forkbomb" 100
    [[ $output == 'forkbomb: 19 children, then fork: Resource temporarily '* ]]
    no_process_of "$user"
}

@test "forkbomb: without a limit it stops at its own" {
    run -0 "$DEMO_DIR/forkbomb" 50
    [[ $output == 'forkbomb: 50 children, no limit reached' ]]
    run -2 "$DEMO_DIR/forkbomb" -1
}

@test "forkbomb: its children die with it when it is killed" {
    requires root
    make_user_dir
    setpriv --reuid="$user" --regid="$user" --clear-groups \
        "$user_dir/demo/forkbomb" 3000 3>&- >/dev/null &
    pids+=("$!")
    retry 10 pgrep -u "$user" -P "${pids[0]}"
    # 子を終わらせ始める前に止める
    kill -STOP "${pids[0]}"
    run -0 processes_of "$user"
    ((${#lines[@]} > 1))
    kill -KILL "${pids[0]}"
    retry 10 no_process_of "$user"
}
