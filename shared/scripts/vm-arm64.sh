#!/usr/bin/env bash
# vm-arm64.sh [DIR]: 9 つのプログラムを、arm64 のカーネルで 1 回ずつ動かす。
# vm-arm64.sh --build: クロスコンパイルだけする（CI=1 なら警告もエラー）。
#
# DIR には、静的リンクした arm64 の step01..step09 と rootfs/fs を置く。省くと、
# 手元のソース（コミット前の変更も含む）をクロスコンパイルして使う。
#
# vm-test.sh と違って Debian を丸ごと起動しない。busybox だけの initramfs なら、
# TCG でも起動から終わりまで十数秒で済む。確かめるのは、ABI の違いで壊れる所
# （システムコールの番号、構造体、clone3、rtnetlink）が動くこと。
# カーネルと busybox とライブラリは .deb から取り出すだけなので、arm64 の
# プログラムを動かす仕組み（qemu-user、binfmt）は要らない。
#
# 環境変数: VM_TIMEOUT=秒（全体）
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=vm-lib.sh
. "$(dirname "$0")/vm-lib.sh"

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

# Debian の arm64 の部品: カーネル、veth、busybox、ヘッダーと静的ライブラリ。
fetch_parts() {
    local packages=busybox-static,linux-image-cloud-arm64
    packages+=,libc6-dev,linux-libc-dev,libcap-dev,libmnl-dev
    parts=$vm_build/arm64-$(printf '%s\n' 1 "${VM_MIRROR-}" "$packages" |
        sha256sum | cut -c 1-16)
    exec 9>"$vm_build/arm64.lock"
    flock -w "$(vm_left)" 9 || vm_die 'another build takes too long' \
        "別の端末の vm-arm64.sh が終わってから、もう一度実行します。"
    if [ ! -d "$parts" ]; then
        vm_need mmdebstrap xz
        vm_note 'fetching the arm64 kernel and libraries (once)'
        new=$vm_build/new.arm64.$$
        mkdir -p "$new/x"
        # extract: 依存するものも含めて展開だけする（中の物を実行しない）。
        timeout "$(vm_left)" mmdebstrap --variant=extract --format=tar \
            --architectures=arm64 --include="$packages" trixie \
            "$new/all.tar" ${VM_MIRROR:+"$VM_MIRROR"} \
            >"$VM_RUN/mmdebstrap.log" 2>&1 9>&- </dev/null || {
            tail -n 20 "$VM_RUN/mmdebstrap.log" >&2
            vm_die 'mmdebstrap failed' "ネットワークを確かめます。"
        }
        tar -C "$new/x" --no-same-owner -xf "$new/all.tar" \
            --exclude=./dev --wildcards ./boot './usr/include' \
            './usr/lib/aarch64-linux-gnu/*.[ao]' './usr/bin/busybox' \
            './usr/lib/modules/*/kernel/drivers/net/veth.ko*'
        mkdir -p "$new/lib"
        mv "$new"/x/usr/include "$new/include"
        mv "$new"/x/usr/lib/aarch64-linux-gnu/*.[ao] "$new/lib/"
        mv "$new"/x/boot/vmlinuz-* "$new/vmlinuz"
        mv "$new"/x/usr/bin/busybox "$new/busybox"
        find "$new/x" -name 'veth.ko.xz' -exec xz -dc {} \; >"$new/veth.ko"
        rm -rf "$new/x" "$new/all.tar"
        mv -T "$new" "$parts"
        new=
    fi
    exec 9>&-
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

bin_dir=${1-}
vm_need cpio git timeout
[ "$bin_dir" = --build ] || vm_need qemu-system-aarch64 setpriv setsid
vm_set_deadline "${VM_TIMEOUT:-900}"
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
vm_work_dir
fetch_parts
case $bin_dir in
--build)
    cross_build
    check_programs
    vm_note "arm64: nine programs built in $SECONDS s"
    exit 0
    ;;
'') cross_build ;;
esac
make_initrd
started=$SECONDS
setsid setpriv --pdeathsig KILL -- qemu-system-aarch64 -M virt \
    -cpu cortex-a57 -smp 2 -m 1024 -accel tcg,thread=multi -nodefaults \
    -no-user-config -display none -monitor none -no-reboot -nic none \
    -serial "file:$VM_RUN/console.log" -kernel "$parts/vmlinuz" \
    -initrd "$VM_RUN/initrd" -append 'console=ttyAMA0 quiet panic=-1' \
    </dev/null >"$VM_RUN/qemu.log" 2>&1 &
VM_PID=$!
while kill -0 "$VM_PID" 2>/dev/null; do
    [ $SECONDS -lt "$VM_DEADLINE" ] || vm_die 'timed out in the arm64 VM' \
        "遅い計算機では VM_TIMEOUT=1800 を付けます。"
    sleep 0.2
done
wait "$VM_PID" || cat "$VM_RUN/qemu.log" >&2
VM_PID=
tr -d '\r' <"$VM_RUN/console.log" |
    grep -E '^(ok|not ok|#|[0-9]+ passed)' || true
vm_note "arm64: $((SECONDS - started)) s in the VM, $SECONDS s in all"
# 最後まで行かなかった（途中で panic した）なら、まとめの行がない。
grep -qE '^[1-9][0-9]* passed, 0 failed' "$VM_RUN/console.log" ||
    vm_die 'the arm64 run failed' "console.log を見てください。"
