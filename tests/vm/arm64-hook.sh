#!/usr/bin/env bash
# arm64-hook.sh ROOT WORK: 展開しただけの arm64 の Debian を、起動できる像に。
#
# arm64.sh が、mmdebstrap の hook として呼ぶ。WORK の root.img vmlinuz initrd に
# 書く。arm64 のプログラムはここでは動かせないので、パッケージの postinst の
# 代わりに、試験に要る分だけをファイルとして置く。
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
root=$1
work=$2

# alternatives が作るリンク。LINK TARGET
link() {
    [ -e "$root/$1" ] || ln -s "$2" "$root/$1"
}

configure() {
    local name type
    mkdir -p "$root"/{media,mnt,opt,srv} "$root"/usr/local/{bin,sbin,lib}
    for name in passwd group; do
        cp "$root/usr/share/base-passwd/$name.master" "$root/etc/$name"
    done
    sed -E 's/^([^:]*):.*/\1:*:19000:0:99999:7:::/' "$root/etc/passwd" \
        >"$root/etc/shadow"
    chmod 640 "$root/etc/shadow"
    cp "$root/usr/share/libc-bin/nsswitch.conf" "$root/etc/"
    echo vm >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 vm\n' >"$root/etc/hosts"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    : >"$root/etc/resolv.conf"
    rm -f "$root/etc/fstab"
    link etc/mtab ../proc/self/mounts
    link usr/bin/awk mawk
    link usr/bin/cc gcc
    link usr/bin/nc nc.openbsd
    link usr/bin/which which.debianutils
    link var/run /run
    # カーネルが呼ぶ modprobe。kmod の索引 (*.bin) は、ここでは作れない
    ln -sf ../bin/busybox "$root/usr/sbin/modprobe"
    # sudo と su が読む、パスワードを調べない最小の PAM
    for name in account auth password session session-noninteractive; do
        type=${name%-*}
        echo "$type required pam_unix.so" >"$root/etc/pam.d/common-$name"
    done
    chmod 440 "$root/etc/sudoers"
    chmod 750 "$root/etc/sudoers.d"
    # 説明は場所を取るだけ
    rm -rf "$root"/usr/share/{doc,man,locale,info}/* "$root"/boot/System.map*
}

# systemd の代わり。マウントを Debian 13 と同じにして、命令を 1 つ動かす。
write_init() {
    cat <<'EOT'
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8
mount -t proc -o nosuid,nodev,noexec proc /proc
dmesg -n 1 # 画面に、試験の出力だけが出るように
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
mount -t tmpfs -o nosuid,nodev tmpfs /tmp
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
mount --make-rshared /
ln -sf /proc/self/fd /dev/fd
for name in stdin:0 stdout:1 stderr:2; do
    ln -sf "/proc/self/fd/${name#*:}" "/dev/${name%:*}"
done
mkdir -p /run/lock /run/sudo
ulimit -Hn 524288
hostname -F /etc/hostname 2>/dev/null || hostname "$(cat /etc/hostname)"
sysctl --system >/dev/null 2>&1
ip link set lo up
ldconfig
mkdir /root/repo
tar -C /root/repo --no-same-owner -xf /dev/vdb
cd /root/repo || poweroff -f
echo VM-BEGIN
# 端末ではなく、パイプにつなぐ (色や、出力の溜め方が変わるため)
setsid bash vm-command </dev/null 2>&1 | cat
echo "VM-END ${PIPESTATUS[0]}"
dmesg | tail -n 300
sync
echo o >/proc/sysrq-trigger
sleep 60
EOT
}

# 要るドライバーのうち、カーネルに組み込まれていないのは virtio_blk だけ
write_initrd() {
    local tree=$root/tmp/initrd
    mkdir -p "$tree"/{bin,dev,root}
    cp "$root/usr/bin/busybox" "$tree/bin/"
    find "$root/usr/lib/modules" -name 'virtio_blk.ko.xz' -exec xz -dc {} \; \
        >"$tree/virtio_blk.ko"
    cat >"$tree/init" <<'EOT'
#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs dev /dev
$B insmod /virtio_blk.ko
while [ ! -b /dev/vda ] || [ ! -b /dev/vdb ]; do
    $B usleep 50000
done
$B mount -t ext4 -o noinit_itable,noatime /dev/vda /root || $B poweroff -f
$B mount --move /dev /root/dev
exec $B switch_root -c /dev/console /root /usr/local/sbin/vm-init
EOT
    chmod 755 "$tree/init"
    (cd "$tree" && find . -print0 | cpio --null -o -H newc -R 0:0 --quiet) \
        >"$work/initrd"
    rm -rf "$tree"
}

# 1 段だけの bind マウント越しに写す。mmdebstrap が付けた /proc などを含めない。
write_image() {
    mount --bind "$root" "$work/view"
    # ジャーナルは要らない (捨てるディスク)。疎なので場所を取らない
    mke2fs -q -F -t ext4 -O '^has_journal' -L vm -d "$work/view" \
        "$work/root.img" 4G
    umount "$work/view"
}

configure
write_init >"$root/usr/local/sbin/vm-init"
chmod 755 "$root/usr/local/sbin/vm-init"
cat "$root"/boot/vmlinuz-* >"$work/vmlinuz"
rm -f "$root"/boot/vmlinuz-*
busybox depmod -b "$root" "$(ls "$root/usr/lib/modules")"
write_initrd
write_image
