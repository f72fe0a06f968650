#!/usr/bin/env bash
# image.sh [SUITE]: 仮想マシンの像を作って（あれば再利用）場所を表示。
#
# build/vm/SUITE-HASH/ の中身:
#   base.img      出荷状態の Debian。この教材の setup が入れる物は入っていない
#   prepared.img  base.img に setup.sh を実行したあとのもの（make vm 用）
#   debs.tar      setup.sh が取り寄せたパッケージ。base.img の中で同じ setup を
#                 打つとき、TCG の遅いネットワークで取り直さずに済む
#   vmlinuz initrd   ブートローダーを通さず QEMU に直接渡す
#   id known_hosts   この像だけの ssh の鍵
#
# パッケージの一覧はここに書き写さない。setup.sh を本物の速さで（TCG の外で）
# 一度実行し、apt が取り寄せた物をそのまま残す。だからずれようがない。
# 像の中の apt は普通のミラーを向いたまま。debs.tar にない物や新しくなった物は
# ゲストが自分で取りに行く。
#
# mmdebstrap は root でも一般ユーザー（unshare モード、要 subuid）でも動く。
set -euo pipefail

# --- ここは mmdebstrap の hook として呼ばれた側 -------------------------------
# unshare モードの hook はユーザー名前空間の root で、呼んだ人のファイルは
# 読めないことがある（ホームが 0700 など）。だから要る物はみな $work にある。

# 遅い TCG の起動を縮める。止めるのは時刻どおりに走る仕事と、待つだけの物。
# マウント（debugfs や binfmt_misc の autofs など）は止めない。/proc や /sys を
# ユーザー名前空間でマウントできるかは、そこに何が乗っているかで変わるため。
hook_configure() {
    local unit
    echo vm >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 vm\n' >"$root/etc/hosts"
    echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
    # 空だと最初の起動とみなされ、systemd が全部の preset をやり直す。
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    mkdir -p "$root/etc/systemd/network" "$root/etc/systemd/journald.conf.d"
    # QEMU の user ネットワークは番地が決まっている。DHCP を待たない。
    # 名前で選ぶので、教材が作る veth には networkd は触らない。
    cat >"$root/etc/systemd/network/10-vm.network" <<-EOT
	[Match]
	Name=eth0
	[Network]
	Address=10.0.2.15/24
	Gateway=10.0.2.2
	LinkLocalAddressing=no
	IPv6AcceptRA=no
	EOT
    printf '[Journal]\nStorage=volatile\n' \
        >"$root/etc/systemd/journald.conf.d/vm.conf"
    cat >"$root/etc/systemd/system/vm-ready.service" <<-EOT
	[Unit]
	After=ssh.service systemd-networkd.service
	[Service]
	Type=oneshot
	ExecStart=/bin/echo VM-READY
	StandardOutput=tty
	TTYPath=/dev/console
	[Install]
	WantedBy=multi-user.target
	EOT
    chroot "$root" systemctl -q enable systemd-networkd ssh vm-ready
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer fstrim.timer man-db.timer \
        systemd-tmpfiles-clean.timer \
        systemd-networkd-wait-online.service ldconfig.service \
        systemd-hwdb-update.service systemd-journal-catalog-update.service \
        systemd-update-done.service systemd-pcrphase.service \
        systemd-pcrphase-sysinit.service systemd-pcrmachine.service \
        systemd-tpm2-setup.service systemd-tpm2-setup-early.service \
        systemd-timesyncd.service getty@tty1.service getty-static.service \
        serial-getty@ttyS0.service systemd-random-seed.service \
        e2scrub_reap.service systemd-pstore.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done

    chroot "$root" useradd -m -u 1000 -s /bin/bash "$user"
    echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/vm"
    chmod 440 "$root/etc/sudoers.d/vm"
    install -d -m 700 -o 1000 -g 1000 "$root/home/$user/.ssh"
    install -m 600 -o 1000 -g 1000 "$work/id.pub" \
        "$root/home/$user/.ssh/authorized_keys"
    rm -f "$root"/etc/ssh/ssh_host_*
    install -m 600 -o 0 -g 0 "$work/host" "$root/etc/ssh/ssh_host_ed25519_key"
    mkdir -p "$root/etc/ssh/sshd_config.d"
    cat >"$root/etc/ssh/sshd_config.d/vm.conf" <<-EOT
	HostKey /etc/ssh/ssh_host_ed25519_key
	UseDNS no
	PrintMotd no
	EOT
    # ディスクは捨てるので、パッケージを入れるたびの fsync は無駄。マニュアルや
    # 翻訳は何千もの小さなファイルで、TCG で展開すると時間の多くを取る。
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' \
        'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' \
        'path-exclude=/usr/share/info/*' >"$root/etc/dpkg/dpkg.cfg.d/vm"
}

# カーネルは .deb を展開するだけにする。普通に入れると initramfs-tools が来て、
# 像の中で initrd を作り、TCG の中でも（apt のたびに）作り直すことになる。
hook_kernel() {
    local pkg version module modules ko dir=$root/tmp/kernel
    mkdir "$dir"
    # cloud 版: 同じ設定の Debian のカーネルから、実機のドライバーを除いた物。
    pkg=$(chroot "$root" apt-cache depends --important linux-image-cloud-amd64 |
        sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    chroot "$root" sh -c "cd /tmp/kernel &&
        apt-get -o APT::Sandbox::User=root -qq download $pkg busybox-static &&
        dpkg-deb -x linux-image-*.deb k && dpkg-deb -x busybox-static*.deb ."
    version=$(basename "$(echo "$dir"/k/boot/vmlinuz-*)")
    version=${version#vmlinuz-}
    mkdir -p "$root/usr/lib/modules"
    # Debian 12 は /lib/modules、13 は /usr/lib/modules に入れている。
    for modules in "$dir"/k/{usr/,}lib/modules; do
        [ ! -d "$modules" ] || cp -a "$modules/." "$root/usr/lib/modules/"
    done
    chroot "$root" depmod "$version"
    cat "$dir/k/boot/vmlinuz-$version" >"$work/vmlinuz"

    # initrd: ext4 と virtio のモジュールを入れて、本物の root に渡すだけ。
    # initramfs-tools の物（udev が走る）より TCG で数秒速い。
    mkdir -p "$dir"/i/{dev,proc,root,bin,m}
    cp "$(find "$dir" -path '*bin/busybox' | head -n 1)" "$dir/i/bin/busybox"
    {
        echo '#!/bin/busybox sh'
        for module in virtio_pci virtio_blk ext4; do
            chroot "$root" modprobe -S "$version" --show-depends "$module" |
                while read -r insmod file _; do
                    [ "$insmod" = insmod ] || continue
                    # 圧縮は外して入れる。TCG の中で展開するのは遅い。
                    ko=$(basename "${file%.ko*}").ko
                    case $file in
                    *.xz) xz -dc "$root$file" >"$dir/i/m/$ko" ;;
                    *.zst) zstd -dcq "$root$file" >"$dir/i/m/$ko" ;;
                    *) cp "$root$file" "$dir/i/m/$ko" ;;
                    esac
                    echo "/bin/busybox insmod /m/$ko 2>/dev/null"
                done
        done
        # ディスクが見えるまで（モジュールの初期化は裏で進む）短く待つ。
        cat <<-'EOT'
		B=/bin/busybox
		$B mount -t devtmpfs dev /dev
		n=0
		while [ ! -b /dev/vda ] && [ $n -lt 300 ]; do
		    $B usleep 100000
		    n=$((n + 1))
		done
		$B mount -t ext4 -o noinit_itable,noatime /dev/vda /root || {
		    echo "Kernel panic: no root disk" >/dev/console
		    $B poweroff -f
		}
		$B mount --move /dev /root/dev
		exec $B switch_root -c /dev/console /root /sbin/init
		EOT
    } >"$dir/i/init"
    chmod 755 "$dir/i/init"
    chroot "$root" sh -c 'cd /tmp/kernel/i && find . |
        ./bin/busybox cpio -o -H newc 2>/dev/null' >"$work/initrd"
    rm -rf "$dir"
}

# 作っている間はホストの、起動してからは QEMU の名前解決を使う。
use_resolver() {
    rm -f "$root/etc/resolv.conf"
    printf '%s\n' "$1" >"$root/etc/resolv.conf"
}

# 1 段だけの bind マウント越しに写す。mmdebstrap が付けた /proc などを含めない。
hook_mke2fs() {
    local view=$work/view
    mkdir -p "$view"
    mount --bind "$root" "$view"
    # ジャーナルは要らない（捨てるディスク）。8 GiB は疎なので場所を取らない。
    mke2fs -q -F -t ext4 -O '^has_journal' -L vm -d "$view" "$1" 8G
    umount "$view"
}

# 本物の setup.sh をここで実行する。失敗しても像は作る（遅くなるだけ）。
# 手引きのコマンドを動かすものも、一緒に取り寄せておく。
# 失敗そのものは、あとで仮想マシンの中で同じ命令を打つ試験が見つける。
hook_setup() {
    local log=$work/setup.log
    mkdir -p "$root/tmp/repo"
    tar -C "$root/tmp/repo" -xf "$work/repo.tar"
    # 起動していない所で、入れたばかりのデーモンを始めさせない。
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    if ! (cd / && chroot "$root" sh -c 'cd /tmp/repo &&
        DEBIAN_FRONTEND=noninteractive sh shared/scripts/setup.sh run-docs') \
        >"$log" 2>&1 </dev/null; then
        echo failed >"$work/setup.failed"
    fi
    rm -rf "$root/tmp/repo" "$root/usr/sbin/policy-rc.d"
    (cd "$root/var/cache/apt/archives" &&
        find . -maxdepth 1 -name '*.deb' -print0 | sort -z |
        tar -cf "$work/debs.tar" --null -T -)
    rm -f "$root"/var/cache/apt/archives/*.deb
}

if [ "${1-}" = --hook ]; then
    work=$2 root=$3 user=$4
    PATH=$PATH:/usr/sbin:/sbin
    use_resolver "$(cat "$work/resolv.conf")"
    hook_configure
    hook_kernel
    # apt の一覧は、インストーラーで入れた Debian と同じく残す。索引も作って
    # おく（TCG の中で作ると 10 秒ほど余計にかかる）。
    rm -f "$root"/var/cache/apt/archives/*.deb
    chroot "$root" apt-cache gencaches
    use_resolver 'nameserver 10.0.2.3'
    hook_mke2fs "$work/base.img"
    use_resolver "$(cat "$work/resolv.conf")"
    hook_setup
    use_resolver 'nameserver 10.0.2.3'
    chroot "$root" apt-cache gencaches
    hook_mke2fs "$work/prepared.img"
    exit 0
fi

# --- ここから呼ばれた本体 -----------------------------------------------------
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

suite=${1:-${SUITE:-trixie}}
vm_check_suite "$suite"
vm_need mmdebstrap mke2fs ssh-keygen xz git tar flock sha256sum
[ "$(dpkg --print-architecture)" = amd64 ] ||
    vm_die 'this host is not x86-64' \
        "仮想マシンの像は x86-64 の Debian か Ubuntu で作ります。"

# ホストの apt の事情（プロキシ、日付の検査の有無）を、像の中の apt にも伝える。
# 127.0.0.1 のプロキシは、ゲストから見れば 10.0.2.2 にいる。
guest_options() {
    apt-config dump 2>/dev/null |
        grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ' |
        sed -e 's!//\(127\.0\.0\.1\|localhost\)\([:/"]\)!//10.0.2.2\2!' || true
}

mapfile -t options < <(guest_options)
setup=$vm_top/shared/scripts/setup.sh
[ -e "$setup" ] || vm_die "$setup: No such file or directory" \
    "仮想マシンの像は、教材のリポジトリの中でだけ作れます。"

# 像の中身を決めるものを全部ハッシュに入れる。どれかが変われば作り直し。
hash=$({
    cat "$0" "$setup"
    printf '%s\n' "$suite" "$vm_user" "${VM_MIRROR-}" "${options[@]}"
} | sha256sum | cut -c 1-16)
image=$vm_build/$suite-$hash

mkdir -p "$vm_build"
[ -e "$vm_build/.gitignore" ] || echo '*' >"$vm_build/.gitignore"
# 同時に呼ばれたら、後の人は先の人が作り終えるのを待って、それを使う。
exec 9>"$vm_build/$suite.lock"
flock -w "${VM_TIMEOUT:-3600}" 9 ||
    vm_die 'another build of this image takes too long' \
        "別の端末の make vm が像を作っています。終わってからもう一度。"

# 中身が欠けたものは最終の名前にならない（最後に 1 回の rename で置く）。
if [ -d "$image" ] && [ -z "${VM_REBUILD-}" ]; then
    touch "$image"
    echo "$image"
    exit 0
fi

vm_note "building the Debian $suite image (once; about a minute and a half)"
work=$(mktemp -d "${TMPDIR:-/tmp}/ct-image.XXXXXX")
new=$vm_build/new.$$
cleanup() {
    # unshare モードの残りは自分の物でないことがある。mmdebstrap が片付ける。
    rm -rf "$new"
    rm -rf "$work" || true
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# unshare モードの hook は別の uid なので、読める・書けるようにしておく。
# $work 自体は持ち主しか書けないので、他人が差し替えることはできない。
chmod 755 "$work"
mkdir -p "$work/view"
ssh-keygen -q -t ed25519 -N '' -C vm -f "$work/id"
ssh-keygen -q -t ed25519 -N '' -C vm -f "$work/host"
cp "$0" "$work/hook.sh"
cat /etc/resolv.conf >"$work/resolv.conf"
# setup.sh が他のファイルを読んでもよいように、scripts ごと渡す。
tar -C "$vm_top" -cf "$work/repo.tar" shared/scripts
touch "$work"/{base.img,prepared.img,vmlinuz,initrd,debs.tar,setup.log}
touch "$work/setup.failed"
chmod 666 "$work"/{base.img,prepared.img,vmlinuz,initrd,debs.tar,setup.log} \
    "$work/setup.failed"
# host の秘密鍵は像に入れるために hook から読める必要がある。像の中で使うだけ。
chmod 644 "$work/host" "$work/repo.tar" "$work/hook.sh" "$work/resolv.conf"

aptopts=()
for option in "${options[@]}"; do
    [ -z "$option" ] || aptopts+=("--aptopt=$option")
done
# variant=apt は essential と apt だけ。ここに足すのは、起動と ssh と git に
# 要る物だけで、教材の setup が入れるべき物（gcc など）は入れない。
packages=systemd-sysv,udev,dbus,libpam-systemd,openssh-server,sudo,git
packages+=,ca-certificates,kmod
# 時間の上限: 止まったミラーを相手に永久には待たない。
if ! timeout "${VM_TIMEOUT:-3600}" mmdebstrap --variant=apt --format=null \
    --include="$packages" "${aptopts[@]}" \
    --customize-hook="bash '$work/hook.sh' --hook '$work' \"\$1\" $vm_user" \
    "$suite" /dev/null ${VM_MIRROR:+"$VM_MIRROR"} \
    >"$work/mmdebstrap.log" 2>&1 9>&- </dev/null; then
    tail -n 30 "$work/mmdebstrap.log" >&2
    vm_die 'mmdebstrap failed' \
        "ネットワークと /etc/subuid（一般ユーザーの場合）を確かめます。" \
        "Ubuntu では Debian の鍵が要ります（make setup-dev）。"
fi

mkdir "$new"
for file in base.img prepared.img; do
    cp --sparse=always "$work/$file" "$new/$file"
done
cp "$work"/{vmlinuz,initrd,debs.tar,setup.log,mmdebstrap.log,id} "$new/"
echo "vm $(cut -d ' ' -f 1,2 "$work/host.pub")" >"$new/known_hosts"
if [ -s "$work/setup.failed" ]; then
    vm_note "setup.sh failed while the image was built; see $new/setup.log"
    mv "$new/setup.log" "$new/setup-failed.log"
fi
for file in base.img prepared.img initrd vmlinuz; do
    [ -s "$new/$file" ] ||
        vm_die "the image is incomplete: no $file" "もう一度実行します。"
done
rm -rf "$image"
mv -T "$new" "$image"
# 1 日使われていない古い像は消す（1 つで 1 GB ほど）。
find "$vm_build" -mindepth 1 -maxdepth 1 -type d -name "$suite-*" -mmin +1440 \
    ! -path "$image" -exec rm -rf {} +
echo "$image"
