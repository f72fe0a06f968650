#!/usr/bin/env bash
# ブラウザーのタブで動くマシン (i386) の、カーネルとルートファイルシステムを作る。
#   build.sh kernel OUT   Debian のソースから、必要なものだけのカーネルを作る (OUT/bzImage)
#   build.sh tree OUT     Debian のパッケージと、この教材から、ルートの木を作る (OUT/tree)
#   build.sh initrd OUT   木を 1 つのファイルにする (OUT/initrd.zst)
#   build.sh state OUT    起動してすべて作り、状態を保存する (OUT/state.zst、save-state.mjs)
#   build.sh all OUT      そのすべて
# root でなくてもよい。
set -euo pipefail

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$here/../../shared/scripts/environment.bash"
top=$(realpath "$here/../..")
SUITE=trixie
MIRROR=${MIRROR:-http://deb.debian.org/debian}
SOURCE=linux-source-6.12
CROSS=i686-linux-gnu-
ROUNDS=45000000.0 # ここでも、cpuburn の 1 倍がおよそ 1 秒になるように
# どこで、いつ作っても、同じものになるように
export SOURCE_DATE_EPOCH KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER=workshop KBUILD_BUILD_HOST=machine
SOURCE_DATE_EPOCH=$(git -C "$top" log -1 --format=%ct)
KBUILD_BUILD_TIMESTAMP=@0

fail() {
    printf 'build.sh: %s\n  ヒント: %s\n' "$1" "$2" >&2
    exit 1
}

# --- カーネル --------------------------------------------------------------------
# 4 分ほどかかるので、ホームのキャッシュに置き、設定かソースが変わったときだけ作り直す
make_kernel() {
    local home version key cache kernel
    home=$(getent passwd "$(id -u)" | cut -d: -f6) # sudo make では、HOME は root のもの
    cache=${XDG_CACHE_HOME:-$home/.cache}/container-steps
    version=$(apt-cache show "$SOURCE" | sed -n 's/^Version: //p' | head -n 1)
    [[ -n $version ]] || fail "$SOURCE: no such package" 'sudo apt-get update && make setup-site'
    key=$(printf '%s\n' "$version" | cat - "$here/kernel.config" | sha256sum)
    kernel=$cache/kernel-${key:0:16}
    [[ -e $kernel ]] || (build_kernel "$kernel")
    cp "$kernel" "$out/bzImage"
}

build_kernel() {
    local make=(make -s ARCH=i386 "CROSS_COMPILE=$CROSS") work
    work=$(mktemp -d "$out/source.XXXXXX")
    # shellcheck disable=SC2064 # 今のパスでよい
    trap "rm -rf '$work'" EXIT
    cd "$work"
    apt-get -q download "$SOURCE" >log 2>&1 || fail "cannot download $SOURCE" 'sudo apt-get update'
    dpkg-deb --fsys-tarfile ./*.deb | tar -xO --wildcards '*.tar.xz' |
        xz -dc -T0 | tar -x --strip-components=1
    configure_kernel
    "${make[@]}" -j"$(nproc)" bzImage >log 2>&1 ||
        fail 'the kernel does not build' "$(tail -n 5 log)"
    # 途中で終わっても、作りかけは残らない
    install -D -m 644 arch/x86/boot/bzImage "$1.$$" && mv "$1.$$" "$1"
}

# 依存する設定がないと、書いた設定は黙って捨てられる
configure_kernel() {
    local line
    "${make[@]}" tinyconfig >log 2>&1
    cat "$here/kernel.config" >>.config
    "${make[@]}" olddefconfig >log 2>&1
    grep -E '^(CONFIG_|# CONFIG_.* is not set)' "$here/kernel.config" | while read -r line; do
        case $line in
        '#'*) ! grep -q "^${line:2:${#line}-13}=" .config ;;
        *) grep -qxF -e "$line" .config ;;
        esac || fail "the kernel's configuration lost: $line" 'kernel.config で、依存する設定を足してください'
    done
}

# --- 木 --------------------------------------------------------------------------
packages='
bash dash busybox-static        # シェル。busybox は、init と rootfs の中身
coreutils findutils grep sed mawk diffutils bsdextrautils gzip tar less nano
hostname debianutils ncurses-base # which、端末の種類
procps psmisc util-linux mount bsdutils login passwd
sudo libpam-modules
make tcc libtcc-dev libc6-dev linux-libc-dev libcap-dev libmnl-dev
git                             # 差分、元に戻す
iproute2 iputils-ping netcat-openbsd nftables
strace libc-bin libcap2-bin libcap-ng-utils uidmap
'

make_tree() {
    local list
    list=$(grep -oE '^[^#]+' <<<"$packages" | xargs | tr ' ' ,)
    rm -rf "$out/tree"
    mkdir "$out/tree"
    # パッケージのプログラムは動かさない (extract) ので、どの CPU でも作れる
    mmdebstrap --quiet --mode=unshare --architectures=i386 --variant=extract --include="$list" \
        --format=tar "$SUITE" - "deb $MIRROR $SUITE main" | tar -C "$out/tree" --no-same-owner -xf -
    (cd "$out/tree" && prune && check_libraries && cp -a "$here/skeleton/." . && link_alternatives)
    copy_workshop
}

# 使わないもの: 文書、翻訳、perl、git のネットワークのためのもの、静的なライブラリ、ほかの CPU のヘッダー
prune() {
    rm -rf usr/share/{doc,man,info,locale,lintian,bash-completion,gitweb,perl,perl5,bug,doc-base} \
        usr/share/{common-licenses,gdb,initramfs-tools,nano,pam,util-linux,debconf,zoneinfo} \
        usr/lib/git-core usr/lib/i386-linux-gnu/{perl,perl-base,gconv} \
        usr/lib/i386-linux-gnu/lib{perl,curl,ldap,sqlite3,gnutls,p11,ngtcp2,ssh2,nghttp,nettle}* \
        usr/lib/i386-linux-gnu/lib{hogweed,brotli,asn1,expat,db-,lastlog2,rtmp,sasl2,lber,psl,tasn1,nsl,form,menu,panel}* \
        usr/lib/i386-linux-gnu/{libtcc.a,libcap2,engines-3,ossl-modules,krb5,sasl2,security/pam_userdb.so} \
        usr/bin/{rdma,vdir,dir,lscpu,pinky,localedef,cvtsudoers} \
        usr/bin/{nstat,zipdetails,rpcgen,sudoreplay,partx,lslogins} \
        usr/sbin/{tc,ldconfig,sudo_logsrvd,sudo_sendlog,visudo,devlink,tipc,dcb,vdpa,genl,rtmon,rtacct,arpd} \
        usr/sbin/{newusers,zramctl,mkswap,blkid,agetty} \
        usr/include/linux/{nl80211,v4l2*,videodev2,vfio,kfd_ioctl,comedi,cec*,btrfs*,soundcard,kvm,rkisp1*}.h \
        usr/include/linux/{media,mtd,dvb,hdlc,raid,sunrpc,usb} \
        usr/include/{drm,sound,rdma,mtd,scsi,video,xen,misc} usr/bin/perl* usr/bin/{git-shell,scalar} \
        var/cache var/lib/apt etc/apt etc/rc?.d etc/init.d
    find usr/lib/i386-linux-gnu -maxdepth 1 -name '*.a' ! -name libc_nonshared.a -delete
    find usr/lib/linux/uapi -mindepth 1 -maxdepth 1 ! -name x86 -exec rm -r {} +
}

# どのプログラムが使うライブラリも、消していないこと
check_libraries() {
    local missing
    missing=$(comm -23 <(find usr -type f -exec readelf -d {} + 2>/dev/null |
        sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u) <(find usr/lib* -name '*.so*' -printf '%f\n' | sort -u))
    [[ -z $missing ]] || fail "a library is missing: $missing" 'prune が消しています'
}

# update-alternatives と、パッケージのスクリプトがすること
link_alternatives() {
    ln -sf dash usr/bin/sh
    ln -sf mawk usr/bin/awk
    ln -sf nc.openbsd usr/bin/nc
    ln -sf less usr/bin/pager
    ln -sf which.debianutils usr/bin/which
    ln -sf ../bin/busybox usr/sbin/init
    ln -sf busybox usr/bin/clear
    ln -sf busybox usr/bin/reset
    ln -sf ../proc/self/mounts etc/mtab
    mkdir -p dev proc sys run tmp new mnt media var/tmp
    chmod 4755 usr/bin/{sudo,mount,umount,newuidmap,newgidmap}
    chmod 440 etc/sudoers.d/attendee
    chmod 640 etc/shadow
}

# 教材そのもの。git restore が使えるように、1 つのコミットにする
copy_workshop() {
    local home=$out/tree/home/attendee/workshop
    mkdir -p "$home"
    (cd "$top" && git ls-files --cached --others --exclude-standard |
        grep -vE '^(\.ci|\.devcontainer|machines|slides/(tool|site|pictures)|tests/(vm|campaign|docs|measure)|rootfs/machine)/' |
        while IFS= read -r file; do [[ ! -e $file ]] || printf '%s\n' "$file"; done |
        tar -cf - -T -) | tar -C "$home" -xf -
    cd "$home"
    # コンテナのルート。デモは静的にリンクするので、ここで作る
    make -s CC=${CROSS}gcc CFLAGS="-O2 -DROUNDS_PER_SCALE=$ROUNDS" BUSYBOX="$out/tree/usr/bin/busybox" rootfs
    git init -q -b main
    git config core.compression 0 # 圧縮しないほうが、全体を縮めたときに小さい
    git add -A
    git -c user.name=workshop -c user.email=workshop@localhost commit -q -m 'The workshop'
}

# --- 1 つのファイルに -------------------------------------------------------------
# cpio の中の所有者は root。attendee のものは、init が変える
make_initrd() {
    cd "$out/tree"
    find . -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    echo "$SOURCE_DATE_EPOCH" >built # 保存するときの時刻
    find . -print0 | LC_ALL=C sort -z |
        cpio --quiet --null --create --format=newc --owner=0:0 --reproducible |
        zstd -q -T0 -10 -f -o "$out/initrd.zst"
}

# --- 状態 ------------------------------------------------------------------------
# 同じ内容が離れた所にもあるので、窓を広くする
make_state() {
    node "$here/save-state.mjs" "$out"
    zstd -q --ultra -20 --long=27 -T0 -f "$out/state" -o "$out/state.zst"
    rm "$out/state"
}

make_all() {
    make_kernel
    make_tree
    make_initrd
    make_state
}

mkdir -p "$2"
out=$(realpath "$2")
case $1 in
kernel | tree | initrd | state | all) "make_$1" ;;
*) fail "unknown part: $1" 'kernel tree initrd state all のどれかです' ;;
esac
