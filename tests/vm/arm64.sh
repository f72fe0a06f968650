#!/usr/bin/env bash
# arm64.sh [DIR]: 9 つのプログラムを、arm64 のカーネルで 1 回ずつ動かす。
# arm64.sh --build: クロスコンパイルだけする（CI=1 なら警告もエラー）。
# arm64.sh --suite: arm64 の Debian 13 で、教材の試験を全部動かす（遅い）。
#
# DIR には、静的リンクした arm64 の step01..step09 と rootfs/fs を置く。省くと、
# 手元のソース（コミット前の変更も含む）をクロスコンパイルして使う。
#
# test.sh と違って Debian を丸ごと起動しない。busybox だけの initramfs なら、
# TCG でも起動から終わりまで十数秒で済む。確かめるのは、ABI の違いで壊れる所
# （システムコールの番号、構造体、clone3、rtnetlink）が動くこと。
# カーネルと busybox とライブラリは .deb から取り出すだけなので、arm64 の
# プログラムを動かす仕組み（qemu-user、binfmt）は要らない。
#
# --suite も、パッケージを展開しただけの Debian を使い、systemd は動かさない。
# 試験は root で、cgroup v2 の下で動く。入るのは HEAD の写し。
#
# 環境変数: VM_TIMEOUT=秒（全体）
#           VM_CPUS  VM_MEMORY  VM_TEST=他の命令（make test の代わりに。--suite）
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2317 # trap から呼ばれる
finish() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ -s "${VM_RUN:-/nonexistent}/console.log" ]; then
        local logs
        logs=$vm_build/logs/arm64-$(date +%Y%m%d-%H%M%S)-$$
        mkdir -p "$logs"
        cp "$VM_RUN"/*.log "$logs/"
        vm_note "logs: ${logs#"$vm_top"/}"
    fi
    vm_stop
    [ -z "$VM_RUN" ] || rm -rf "$VM_RUN"
    [ -z "${new-}" ] || rm -rf "$new"
    exit "$status"
}

# cached NAME KEY COMMAND: build/vm/NAME-HASH に、COMMAND の作るものを置いて使う。
# 場所は $cache に入る。COMMAND は $new の中に作る。
cached() {
    cache=$vm_build/$1-$(printf '%s\n' "${VM_MIRROR-}" "$2" |
        sha256sum | cut -c 1-16)
    exec 9>"$vm_build/$1.lock"
    flock -w "$(vm_left)" 9 || vm_die 'another build takes too long' \
        "別の端末の arm64.sh が終わってから、もう一度実行します。"
    if [ ! -d "$cache" ]; then
        vm_need mmdebstrap xz
        new=$vm_build/new.$1.$$
        mkdir -p "$new"
        "$3"
        mv -T "$new" "$cache"
        new=
        # 1 日使われていない古いものは消す。
        find "$vm_build" -mindepth 1 -maxdepth 1 -type d -name "$1-[0-9a-f]*" \
            -mmin +1440 ! -path "$cache" -exec rm -rf {} +
    fi
    touch "$cache"
    exec 9>&-
}

# extract_debian TARGET OPTION...: Debian 13 の arm64 を、依存するものも含めて
# 展開だけする（中の物を実行しない）。
extract_debian() {
    local target=$1
    shift
    timeout "$(vm_left)" mmdebstrap --variant=extract --architectures=arm64 \
        "$@" trixie "$target" ${VM_MIRROR:+"$VM_MIRROR"} \
        >"$VM_RUN/mmdebstrap.log" 2>&1 9>&- </dev/null || {
        tail -n 20 "$VM_RUN/mmdebstrap.log" >&2
        vm_die 'mmdebstrap failed' "ネットワークを確かめます。"
    }
}

# Debian の arm64 の部品: カーネル、veth、busybox、ヘッダーと静的ライブラリ。
parts_packages=busybox-static,linux-image-cloud-arm64
parts_packages+=,libc6-dev,linux-libc-dev,libcap-dev,libmnl-dev
fetch_parts() {
    vm_note 'fetching the arm64 kernel and libraries (once)'
    mkdir "$new/x" "$new/lib"
    extract_debian "$new/all.tar" --format=tar --include="$parts_packages"
    tar -C "$new/x" --no-same-owner -xf "$new/all.tar" \
        --exclude=./dev --wildcards ./boot './usr/include' \
        './usr/lib/aarch64-linux-gnu/*.[ao]' './usr/bin/busybox' \
        './usr/lib/modules/*/kernel/drivers/net/veth.ko*'
    mv "$new"/x/usr/include "$new/include"
    mv "$new"/x/usr/lib/aarch64-linux-gnu/*.[ao] "$new/lib/"
    mv "$new"/x/boot/vmlinuz-* "$new/vmlinuz"
    mv "$new"/x/usr/bin/busybox "$new/busybox"
    find "$new/x" -name 'veth.ko.xz' -exec xz -dc {} \; >"$new/veth.ko"
    rm -rf "$new/x" "$new/all.tar"
}

# Debian 13 の全体。入れるものは setup.sh に聞く。
build_image() {
    local work=$VM_RUN/image file
    vm_need mke2fs busybox
    vm_note 'building the arm64 image (once; about a minute)'
    # 一般ユーザーなら、hook は別の uid で動く。読める・書けるようにしておく。
    chmod 755 "$VM_RUN"
    # $VM_RUN は持ち主しか書けないので、他人が差し替えることはできない。
    mkdir -p "$work/view"
    cp "$hook" "$work/hook.sh"
    touch "$work"/{root.img,vmlinuz,initrd}
    chmod 666 "$work"/{root.img,vmlinuz,initrd}
    extract_debian /dev/null --format=null --include='?essential' \
        --include="$image_packages" \
        --extract-hook="bash '$work/hook.sh' \"\$1\" '$work'"
    for file in root.img vmlinuz initrd; do
        cp --sparse=always "$work/$file" "$new/$file"
    done
    rm -rf "$work"
}

# 元の木を汚さない（build/ や step01 は x86-64 のまま）よう、写しの中で作る。
cross_build() {
    local src=$VM_RUN/src cc
    vm_need aarch64-linux-gnu-gcc make
    vm_clone "$src"
    vm_overlay "$src"
    cc="aarch64-linux-gnu-gcc -isystem $parts/include"
    cc+=" -isystem $parts/include/aarch64-linux-gnu"
    # ヘッダーと同じ版の libc（crt1.o も）を使う。混ぜると未定義の記号が出る。
    cc+=" -B$parts/lib -L$parts/lib"
    env -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES make -s -C "$src" -j2 \
        CC="$cc" LDFLAGS=-static CI="${CI-}" all \
        >"$VM_RUN/build.log" 2>&1 9>&- </dev/null || {
        tail -n 30 "$VM_RUN/build.log" >&2
        vm_die 'cross-compiling for arm64 failed' "上のメッセージを見ます。"
    }
    bin_dir=$src
}

# ELF の e_machine が 183 (EM_AARCH64) であること。
check_programs() {
    local step
    for step in 01 02 03 04 05 06 07 08 09; do
        [ -e "$bin_dir/step$step" ] || vm_die "$bin_dir/step$step: not found" \
            "静的リンクした arm64 の step01..step09 を置きます。"
        case $(LC_ALL=C od -An -t u2 -j 18 -N 2 "$bin_dir/step$step") in
        *183) ;;
        *) vm_die "$bin_dir/step$step: not an arm64 program" \
            "引数を省くと、クロスコンパイルから行います。" ;;
        esac
    done
}

make_initrd() {
    local tree=$VM_RUN/tree
    mkdir -p "$tree"/{bin,dev,proc,sys,tmp,work/rootfs}
    cp "$parts/busybox" "$tree/bin/busybox"
    cp "$parts/veth.ko" "$tree/"
    check_programs
    cp "$bin_dir"/step0? "$tree/work/"
    cp -a "$bin_dir/rootfs/fs" "$tree/work/rootfs/fs"
    # rootfs の中の名前は busybox へのリンクなので、本体だけ取り替えればよい。
    cp --remove-destination "$parts/busybox" "$tree/work/rootfs/fs/bin/busybox"
    echo marker >"$tree/work/rootfs/fs/etc/arm64-marker"
    write_init >"$tree/init"
    write_checks >"$tree/checks"
    chmod 755 "$tree/init" "$tree/checks"
    # 持ち主は root にしておく（一般ユーザーが作っても同じ像になる）。
    (cd "$tree" && find . -print0 |
        cpio --null -o -H newc -R 0:0 --quiet) >"$VM_RUN/initrd"
}

# 最初の root（rootfs）は pivot_root できない。tmpfs に移ってから試験する。
write_init() {
    cat <<'EOT'
#!/bin/busybox sh
if [ ! -e /moved ]; then
    B=/bin/busybox
    $B mount -t tmpfs -o mode=755 tmpfs /tmp
    $B mkdir /tmp/tmp
    $B cp -a /bin /work /veth.ko /init /checks /tmp/
    $B mkdir /tmp/dev /tmp/proc /tmp/sys
    $B touch /tmp/moved
    exec $B switch_root /tmp /init
fi
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
insmod /veth.ko
chmod 1777 /tmp
sh /checks </dev/null >/dev/console 2>&1
poweroff -f
EOT
}

write_checks() {
    cat <<'EOT'
# sudo で呼ばれたのと同じにする（コンテナの root は uid 1000 になる）。
export SUDO_UID=1000 SUDO_GID=1000
passed=0 failed=0
expect() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        echo "ok - arm64: $1"
    else
        failed=$((failed + 1))
        echo "not ok - arm64: $1"
        echo "# wanted '$2', got '$3'"
    fi
}
cd /work
out=$(./step01 run sh -c 'echo hello; exit 7' 2>&1) ; status=$?
expect 'step01 runs a command and passes its status on' 'hello 7' "$out $status"
out=$(./step02 run sh -c 'id -u; readlink /proc/self/ns/net' 2>&1)
host=$(readlink /proc/self/ns/net)
case $out in *"$host"*) out="$out (the host's)" ;; 65534*net:*) out=own ;; esac
expect 'step02 has its own network namespace and uid 65534' own "$out"
expect 'step03 is uid 0 inside' 0 "$(./step03 run id -u 2>&1)"
before=$(uname -n)
expect 'step04 has its own host name' container "$(./step04 run uname -n 2>&1)"
expect 'step04 leaves the host name alone' "$before" "$(uname -n)"
expect 'step05 is PID 1 with its own /proc' '1 1' \
    "$(./step05 run sh -c 'echo $$ $(readlink /proc/self/ns/pid >/dev/null &&
        ls -d /proc/[0-9]* | head -n 1 | cut -d / -f 3)' 2>&1)"
expect 'step06 sees the rootfs' marker \
    "$(./step06 run cat /etc/arm64-marker 2>&1)"
expect 'step07 sees the rootfs and has a working /dev/null' marker \
    "$(./step07 run sh -c 'echo x >/dev/null && cat /etc/arm64-marker' 2>&1)"
expect 'step08 keeps three capabilities' 0000000020000420 \
    "$(./step08 run sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status 2>&1)"
out=$(./step09 run ip -4 -o addr show 2>&1)
case $out in *10.0.0.2/24*) out=yes ;; esac
expect 'step09 has 10.0.0.2/24' yes "$out"
./step09 run --memory 20M /demo/memhog >/tmp/memhog 2>&1 ; status=$?
expect 'step09 stops a memory hog' 137 "$status"
out=$(ip -o link show 2>&1 | grep veth; find /sys/fs/cgroup -mindepth 1 -type d)
expect 'nothing is left after exit' '' "$out"
echo "$passed passed, $failed failed, 0 skipped"
EOT
}

# start_vm KERNEL INITRD [QEMU-OPTION...]: 起動して、すぐ戻る。
start_vm() {
    local args=(
        -M virt -cpu cortex-a57 -smp "${VM_CPUS:-2}" -m "${VM_MEMORY:-2048}"
        -accel "tcg,thread=multi,tb-size=512" -nodefaults -no-user-config
        -display none -monitor none -no-reboot -nic none
        -serial "file:$VM_RUN/console.log" -kernel "$1" -initrd "$2"
        -append "console=ttyAMA0 quiet panic=-1 ${vm_cmdline[*]}"
    )
    shift 2
    : >"$VM_RUN/console.log" # tail より先に、必ずあるように
    started=$SECONDS
    setsid setpriv --pdeathsig KILL -- qemu-system-aarch64 "${args[@]}" "$@" \
        </dev/null >"$VM_RUN/qemu.log" 2>&1 &
    VM_PID=$!
}

wait_vm() {
    while kill -0 "$VM_PID" 2>/dev/null; do
        if [ $SECONDS -ge "$VM_DEADLINE" ]; then
            timed_out=1
            vm_stop
            return
        fi
        sleep 0.2
    done
    wait "$VM_PID" || cat "$VM_RUN/qemu.log" >&2
    VM_PID=
}

check_timeout() {
    [ -z "$timed_out" ] || vm_die 'timed out in the arm64 VM' \
        "遅い計算機では VM_TIMEOUT=$((SECONDS * 2)) を付けます。"
}

quick() {
    cached arm64 "2 $parts_packages" fetch_parts
    parts=$cache
    if [ "$1" = --build ] || [ -z "$1" ]; then
        cross_build
    fi
    if [ "$1" = --build ]; then
        check_programs
        vm_note "arm64: nine programs built in $SECONDS s"
        return
    fi
    make_initrd
    start_vm "$parts/vmlinuz" "$VM_RUN/initrd"
    wait_vm
    check_timeout
    tr -d '\r' <"$VM_RUN/console.log" |
        grep -E '^(ok|not ok|#|[0-9]+ passed)' || true
    vm_note "arm64: $((SECONDS - started)) s in the VM, $SECONDS s in all"
    # 最後まで行かなかった（途中で panic した）なら、まとめの行がない。
    grep -qE '^[1-9][0-9]* passed, 0 failed' "$VM_RUN/console.log" ||
        vm_die 'the arm64 run failed' "console.log を見てください。"
}

# ゲストの init は、VM-BEGIN と VM-END の行のあいだで試験を動かす。
suite() {
    local repo=$VM_RUN/repo status tail passed failed skipped
    image_packages=$(sh "$vm_here/setup.sh" list | tr ' ' ',')
    image_packages+=,linux-image-cloud-arm64
    cached arm64-suite "1 $image_packages $(<"$hook")" build_image
    vm_clone "$repo"
    [ -z "$(vm_git status --porcelain)" ] ||
        vm_note 'uncommitted changes are not part of this test (it takes HEAD)'
    vm_command >"$repo/vm-command"
    tar -C "$repo" -cf "$VM_RUN/repo.tar" .
    rm -rf "$repo"
    start_vm "$cache/vmlinuz" "$cache/initrd" \
        -drive "file=$cache/root.img,format=raw,if=virtio,snapshot=on,cache=unsafe" \
        -drive "file=$VM_RUN/repo.tar,format=raw,if=virtio,readonly=on"
    # 出たそばから画面に流す。前面で待つのは wait_vm だけにする（trap のため）。
    tail -n +1 -f --pid="$VM_PID" -s 0.5 "$VM_RUN/console.log" |
        sed -u -n 's/\r$//; /^VM-BEGIN/,/^VM-END/{/^VM-/!p}' |
        tee "$VM_RUN/suite.log" &
    tail=$!
    wait_vm
    wait "$tail" || true
    vm_note "arm64: $((SECONDS - started)) s in the VM, $SECONDS s in all"
    status=$(sed -n 's/\r$//; s/^VM-END //p' "$VM_RUN/console.log")
    [ "$status" != 0 ] || return 0
    # 途中で終わっても、make が失敗を告げた後でも、最後の行はまとめにする。
    read -r passed failed skipped < <(vm_totals "$VM_RUN/suite.log")
    # 数を出さずに落ちた（ビルドの失敗など）のも 1 つの失敗。
    [ "$failed" -gt 0 ] || failed=1
    echo "$passed passed, $failed failed, $skipped skipped"
    check_timeout
    [ -n "$status" ] || vm_die 'the arm64 VM ended before the tests did' \
        "console.log を見てください。"
    return "$status"
}

# 呼んだ人が決めた厳しさは、中でも同じにする。
vm_command() {
    local name
    echo 'export VM=1'
    for name in CI REQUIRE_ALL V; do
        [ -z "${!name-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    # sudo は、root でも打てる（VM_TEST に書ける命令を test.sh と同じにする）。
    printf '%s\n' "${VM_TEST:-make test}"
}

hook=$vm_here/arm64-hook.sh
timed_out=
bin_dir=${1-}
vm_need cpio git timeout
[ "$bin_dir" = --build ] || vm_need qemu-system-aarch64 setpriv setsid
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
vm_work_dir
if [ "$bin_dir" = --suite ]; then
    vm_set_deadline "${VM_TIMEOUT:-5400}"
    suite
else
    vm_set_deadline "${VM_TIMEOUT:-900}"
    quick "$bin_dir"
fi
