#!/usr/bin/env bash
# image.sh SUITE ARCH KIND: 仮想マシンのイメージを debvm-create(1) で作り、
# その場所を表示する。中身を決めるものが同じなら、前に作ったものを使う。
#   bare   出荷したばかりの Debian。教材の使うパッケージは、取り寄せてあるだけ
#   ready  教材の使うパッケージが入っている
#
# build/vm/SUITE-ARCH-KIND-HASH/ には、root.ext4 と、この仮想マシンだけの鍵 id、
# ブートローダーを通さずに起動するための boot/ がある。root でも一般ユーザーでも作れる。
set -euo pipefail

suite=$1 arch=$2 kind=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=$top/build/vm

fail() {
    echo "image.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# setup.sh が入れるものを、そのまま入れる。ここに一覧を書きコピーすると、ずれる
packages=$(sh "$top/shared/scripts/setup.sh" list run-docs)
# shellcheck disable=SC2016,SC2054 # $1 (イメージのルート) を展開するのは、hook の sh
options=(
    --include=sudo,git,ca-certificates,libpam-systemd,dbus
    --architectures="$arch" --skip=cleanup/apt
    # 捨てるディスクなので、fsync は要らない。説明の小さなファイルを何千も書くのは、
    # ソフトウェアで動く CPU には重い
    --dpkgopt=force-unsafe-io
    --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/locale/*'
    # debvm-create が鍵を置くのは root だけ。sudo の使える人が入れるようにする
    --customize-hook='chroot "$1" useradd -m -u 1000 -s /bin/bash attendee'
    --customize-hook='cp -r "$1/root/.ssh" "$1/home/attendee"'
    --customize-hook='chroot "$1" chown -R attendee: /home/attendee'
    --customize-hook='echo "attendee ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/attendee"'
    --customize-hook='echo LANG=C.UTF-8 >"$1/etc/default/locale"'
    # 起動には手元に取り出したものを使う。パッケージを入れるたびに作り直すと、1 分かかる
    --customize-hook='echo update_initramfs=no >"$1/etc/initramfs-tools/update-initramfs.conf"'
    # テストの途中で、時刻どおりに始まるものに CPU を取られないように
    --customize-hook='chroot "$1" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer'
    # イメージの apt ではなく、手元の apt が入れる (名前解決などの用意が要らない)
    --customize-hook="APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -oDPkg::Chroot-Directory=\"\$1\" install --no-install-recommends \
        $([[ $kind == ready ]] || echo --download-only) $packages"
)
# 手元の apt の事情 (プロキシ、日付を調べるか) を、イメージの apt にも伝える
mapfile -t apt < <(apt-config dump |
    grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ')
for option in "${apt[@]}"; do
    options+=("--aptopt=$option")
done

hash=$({
    grep -v "^ *#" "${BASH_SOURCE[0]}" # コメントは、中身を決めない
    printf '%s\n' "$@" "${options[@]}" "${VM_MIRROR-}"
} | sha256sum | cut -c 1-16)
image=$build/$suite-$arch-$kind-$hash
mkdir -p "$build"

# 同時に始まったら、後の人は、先の人の作ったものを使う
exec 9>"$build/$suite-$arch-$kind.lock"
flock 9
if [[ -d $image ]]; then
    touch "$image"
    echo "$image"
    exit
fi

echo "# building the Debian $suite $arch $kind image (once; a minute or more)" >&2
new=$(mktemp -d "$build/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$new"
ssh-keygen -q -t ed25519 -N '' -C vm -f "$new/id"
# setsid: mmdebstrap は、失敗すると自分のプロセスグループに HUP を送る
create=(setsid --wait debvm-create -h debian -s autologin -k "$new/id.pub" -r "$suite" -z 8G -o "$new/root.ext4" --
    "${options[@]}" --customize-hook="copy-out /boot $new" ${VM_MIRROR:+"$VM_MIRROR"})
if [[ $arch == "$(dpkg --print-architecture)" ]] || arch-test "$arch" >/dev/null; then
    "${create[@]}"
else
    # ほかの CPU のプログラムの動かし方を知らないカーネル (コンテナの中など) には、
    # 自分のユーザー名前空間の中だけで教える。ホストは変わらない。Linux 6.7 から
    # shellcheck disable=SC2016 # 展開するのは、内側の bash
    unshare --user --mount --pid --fork --kill-child bash -c '
        until [[ $(id -u) == 0 ]]; do sleep 0.1; done
        mount -t proc proc /proc && mount -t binfmt_misc none /proc/sys/fs/binfmt_misc &&
            cat "/usr/lib/binfmt.d/qemu-$0.conf" >/proc/sys/fs/binfmt_misc/register &&
            exec "$@"' "${arch/arm64/aarch64}" "${create[@]}" &
    outside=$!
    until [[ $(readlink "/proc/$outside/ns/user") != "$(readlink /proc/self/ns/user)" ]]; do
        sleep 0.1
    done
    for map in uid_map gid_map; do
        echo '0 0 65536' >"/proc/$outside/$map"
    done
    wait "$outside"
fi >"$new/create.log" 2>&1 9>&- </dev/null || {
    tail -n 30 "$new/create.log" >&2
    fail 'debvm-create failed' \
        "make setup-dev とネットワークを確かめます。一般ユーザーには /etc/subuid も要ります"
}
mv "$new" "$image"
# 1 日使われていない古いものは消す
find "$build" -mindepth 1 -maxdepth 1 -name "$suite-$arch-$kind-*" ! -path "$image" \
    -mmin +1440 -exec rm -rf {} +
echo "$image"
