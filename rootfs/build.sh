#!/usr/bin/env bash
# コンテナのルートファイルシステムを作る。
#   使い方: rootfs/build.sh [KIND [DEST]]
#     busybox  busybox-static と、その名前のリンク (省略時)
#     host     ホストの sh, ls など数個と、ldd が挙げるライブラリ
#     debian   Debian の最小構成 (SUITE=trixie MIRROR=URL)
#     image    コンテナイメージの書き出し (IMAGE=名前)
#     tar      tar の展開 (TARBALL=ファイル)
#     clean    作ったものを消す
# DEMO_DIR の静的な実行ファイルを DEST/demo に入れる。
# 種類と元を、木の隣の DEST.kind に書く。同じ種類で作り直すなら、元は省ける。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../shared/scripts/environment.bash"
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
demo_dir=${DEMO_DIR:-$top/build/demo}
kind=${1:-busybox}
dest=${2:-$top/rootfs/fs}
origin=    # DEST.kind に書く、元になったもの
work=      # 作りかけを置く DEST.tmp.XXXXXX
tree=      # 作りかけの木 $work/fs
worker=    # 木を作るプロセス (グループのリーダー)
container= # podman か docker

warn() {
    printf 'build.sh: %s\n  ヒント: %s\n' "$1" "$2" >&2
}

die() {
    warn "$1" "$2"
    exit 1
}

# --- 消す -------------------------------------------------------------------

# バインドマウントが残った木を消すと、マウント元のファイルまで消える。
refuse_mounts() {
    local point
    while read -r _ _ _ _ point _; do
        printf -v point '%b' "$point" # 空白は \040 と書かれている
        if [[ $point == "$1" || $point == "$1"/* ]]; then
            die "$point is still mounted" \
                "外してから、もう一度: sudo umount '$point'"
        fi
    done </proc/self/mountinfo
}

# 書けないディレクトリの中身は、所有者でも消せない。先に書けるようにする。
remove_tree() {
    refuse_mounts "$1"
    find "$1" -type d ! -perm -u=rwx -exec chmod u+rwx {} \; 2>/dev/null || true
    rm -rf --one-file-system -- "$1" 2>/dev/null || warn "cannot remove $1" \
        "その他のユーザーのファイルがあります: sudo rm -rf '$1'"
}

# 途中で終わったビルドの後始末。SIGKILL されたものは、次のビルドがここへ渡す。
discard() {
    local tool
    if [[ -d $1/old && ! -e $dest ]]; then
        mv -T -- "$1/old" "$dest" # 入れ替えの途中だった。元の木を戻す
    fi
    for tool in podman docker; do
        [[ ! -s $1/container.$tool ]] ||
            "$tool" rm -v "$(<"$1/container.$tool")" >/dev/null 2>&1 9<&- || true
    done
    remove_tree "$1"
}

remove_leftovers() {
    local dir
    for dir in "$dest".tmp.??????; do
        [[ -d $dir && ! -L $dir ]] || continue
        # その他のユーザーが置いたものを、root の権限で触らない。
        case $(stat -c %u "$dir") in
        "$EUID" | "${SUDO_UID:-$EUID}") discard "$dir" ;;
        *) warn "$dir was left by another user" "sudo rm -rf '$dir'" ;;
        esac
    done
}

# 子孫 (tar や mmdebstrap) が書き終えるまで待たないと、消した後にまた作られる。
stop_worker() {
    local i
    kill -TERM -- "-$worker" 2>/dev/null || return 0
    wait "$worker" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do
        kill -0 -- "-$worker" 2>/dev/null || return 0
        sleep 0.05
    done
}

# shellcheck disable=SC2317,SC2329 # trap から呼ばれる
cleanup() {
    trap '' HUP INT TERM
    [[ -z $worker ]] || stop_worker
    [[ ! -d $work ]] || discard "$work"
}

# --- 何かを作る前に確かめる -------------------------------------------------

check_dest() {
    local parent name elsewhere='別の場所を指定するか、それを移してください'
    parent=$(dirname -- "$dest")
    name=$(basename -- "$dest")
    [[ -d $parent ]] || die "no such directory: $parent" \
        "先に作ってください: mkdir -p '$parent'"
    [[ ! $name =~ ^(/|\.|\.\.)$ ]] || die "bad destination: $dest" \
        '例: rootfs/build.sh busybox rootfs/fs'
    parent=$(realpath -- "$parent")
    dest=${parent%/}/$name
    [[ ! -L $dest && (! -e $dest || -d $dest) ]] ||
        die "$dest is not a directory" "$elsewhere"
    # ほかの大事なディレクトリを、うっかり置き換えない。
    [[ ! -d $dest || -e $dest.kind || (-d $dest/proc && -d $dest/demo) ||
        -z $(ls -A -- "$dest") ]] ||
        die "$dest was not made by build.sh" "$elsewhere"
    refuse_mounts "$dest"
}

# 前と同じ種類なら、名前を省いたときの元は、前と同じものにする。
previous_origin() {
    local old_kind old_origin
    if [[ -r $dest.kind ]] && read -r old_kind old_origin <"$dest.kind" &&
        [[ $old_kind == "$kind" ]]; then
        echo "$old_origin"
    fi
}

# demo_programs ACTION: find(1) のアクション
demo_programs() {
    find "$demo_dir" -maxdepth 1 -type f -perm /111 "$@"
}

check_demo() {
    [[ -n $(demo_programs -print -quit 2>/dev/null) ]] ||
        die "no demo programs in $demo_dir" \
            'make rootfs と打つと、コンパイルもします'
}

check_busybox() {
    local busybox=${BUSYBOX:-/bin/busybox} libraries
    local hint='sudo apt-get install busybox-static (または make setup)'
    [[ -x $busybox ]] || die "$busybox: not found" "$hint"
    # 動的リンクの busybox は、ローダーのない木では動かない。 ld.so(8)
    ! libraries=$(ldd "$busybox" 2>&1) ||
        [[ $libraries == *'statically linked'* ]] ||
        die "$busybox: not statically linked" "$hint"
    origin=$busybox
}

check_host() {
    command -v ldd >/dev/null ||
        die 'ldd: not found' 'sudo apt-get install libc-bin'
    origin=/
}

check_debian() {
    local suite
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && [[ $ID == debian ]] &&
        echo "${VERSION_CODENAME:-}") || true
    origin=${SUITE:-$(previous_origin)}
    origin=${origin:-${suite:-trixie}}
    [[ $origin =~ ^[a-z][a-z0-9-]*$ ]] || die "bad SUITE: $origin" \
        '例: make rootfs ROOTFS=debian SUITE=trixie'
    command -v mmdebstrap >/dev/null || die 'mmdebstrap: not found' \
        'sudo apt-get install mmdebstrap uidmap'
}

check_image() {
    local tool
    origin=${IMAGE:-$(previous_origin)}
    [[ -n $origin && $origin != -* ]] || die 'IMAGE is not set' \
        'make rootfs ROOTFS=image IMAGE=イメージ名'
    # イメージを持っている方を使う。どちらもなければ、見つかった方が取りに行く。
    for tool in podman docker; do
        command -v "$tool" >/dev/null || continue
        container=${container:-$tool}
        if "$tool" image inspect "$origin" >/dev/null 2>&1; then
            container=$tool
            return
        fi
    done
    [[ -n $container ]] ||
        die 'podman or docker: not found' 'sudo apt-get install podman'
}

check_tar() {
    origin=${TARBALL:-$(previous_origin)}
    [[ -n $origin ]] || die 'TARBALL is not set' \
        'make rootfs ROOTFS=tar TARBALL=ファイル'
    [[ -r $origin && ! -d $origin ]] || die "$origin: cannot be read" \
        "ファイルの場所を確かめてください: ls -l '$origin'"
}

# --- 木を作る ---------------------------------------------------------------

# /bin /sbin /usr/bin /usr/sbin を 1 つにする。どの PATH でも見つかる。
make_busybox() {
    mkdir -p "$tree/bin" "$tree/usr"
    ln -s bin "$tree/sbin"
    ln -s ../bin "$tree/usr/bin"
    ln -s ../bin "$tree/usr/sbin"
    install -m 755 "$origin" "$tree/bin/busybox"
    # --install -s はホストのパスへリンクする。相対リンクなら木を動かせる。
    (cd "$tree/bin" && ./busybox --list | grep -vx busybox |
        xargs -n 1 ln -s busybox)
    make_etc
}

# ホストのプログラムと、ldd の挙げるライブラリを、同じパスにコピーする。
make_host() {
    local dir name program programs=()
    # /lib -> usr/lib のようなホストでは同じ形にする。ローダーは、実行ファイルに
    # 書かれたパス (/lib64/ld-linux-x86-64.so.2 など) でしか探されない。
    for dir in bin sbin lib lib32 lib64 libx32; do
        [[ -L /$dir ]] || continue
        mkdir -p "$tree/$(readlink "/$dir")"
        ln -s "$(readlink "/$dir" | sed 's,^/,,')" "$tree/$dir"
    done
    unset LD_PRELOAD LD_LIBRARY_PATH # ldd の答えを変える
    PATH=$PATH:/usr/sbin:/sbin       # ip は一般ユーザーの PATH にないことがある
    for name in sh ls cat id ps mount umount uname hostname sleep ip; do
        program=$(type -P "$name") || continue
        programs+=("$program")
    done
    # 「名前 => パス (番地)」と、ローダーの「パス (番地)」がある。リンクはたどって
    # 中身をコピーする。setuid は付かない。 ldd(1)
    { ldd "${programs[@]}" 2>/dev/null || true; } |
        sed -nE 's/^\t(.* => )?(\/[^ ]*) \(.*/\2/p' | sort -u |
        xargs cp --dereference --parents --target-directory="$tree" "${programs[@]}"
    make_etc
}

# 一度 tar にして受け取る。一般ユーザーでも、すべて自分のファイルになる。
make_debian() {
    local packages=procps,iproute2,mount,netcat-openbsd
    # mmdebstrap は、ホストの apt のプロキシー設定を読まない。 apt-config(8)
    if [[ -z ${http_proxy:-} ]]; then
        eval "$(apt-config shell http_proxy Acquire::http::Proxy || true)"
        export http_proxy
    fi
    # 殺されたときの残りも、次のビルドが消せる
    ((EUID != 0)) || export TMPDIR=$work
    # 内側の sh が >&N と書き、dash の N は 1 桁に限られる。番号を空けておく。
    mmdebstrap --variant=essential --include="$packages" --format=tar \
        "$origin" - ${MIRROR:+"$MIRROR"} >"$work/root.tar" \
        3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- ||
        die "cannot build Debian $origin" \
            'ネットワークと SUITE を確かめてください (sudo なしなら uidmap も)'
    unpack "$work/root.tar"
}

make_image() {
    local id_file=$work/container.$container id
    # 作るだけで動かさない。起動コマンドのないイメージのために sh を渡す。
    # fd 9 (ロック) は渡さない。居残るプロセスがロックを持ち続けてしまう。
    "$container" create --cidfile "$id_file" "$origin" sh >/dev/null 9<&- ||
        die "$container create $origin failed" \
            "イメージを確かめてください: $container pull '$origin'"
    id=$(<"$id_file")
    "$container" export --output "$work/root.tar" "$id" 9<&- ||
        die "$container export $origin failed" \
            "空き容量を確かめてください: df -h '$work'"
    "$container" rm -v "$id" >/dev/null 9<&-
    rm "$id_file"
    unpack "$work/root.tar"
}

make_tar() {
    unpack "$origin"
}

# tar を $tree に展開する。root で実行しても、一般ユーザーと同じ木になる。
unpack() {
    local log=$work/tar.log
    # /dev の中身は除く。デバイスは一般ユーザーには作れない。 mknod(2)
    # 所有者は利用者になる。setuid も外す。残すと、誰でもその人になれてしまう。
    # .. や、リンク越しに木の外を指す名前があれば、tar は失敗する。 tar(1)
    tar --extract --file="$1" --force-local --directory="$tree" \
        --no-same-owner --no-same-permissions --delay-directory-restore \
        --anchored --exclude='dev/*' --exclude='./dev/*' --exclude='/dev/*' \
        --warning=no-timestamp --warning=no-unknown-keyword \
        2>"$log" || check_tar_log "$log"
    chmod u+rwx,go+rx "$tree"
    [[ -d $tree/bin || -L $tree/bin || -d $tree/usr ]] ||
        die "no root file system in $origin: neither bin nor usr" \
            'docker save でなく docker export で作った tar を渡してください'
    find "$tree" \( -type b -o -type c \) -delete
}

# /dev の外のデバイスを作れないのは構わない。ほかの失敗は見逃さない。
check_tar_log() {
    local cause expected='Cannot mknod: Operation not permitted'
    cause=$(grep -v -e ': Removing leading ' -e ': Exiting with ' "$1") || true
    if [[ -n $cause ]] && ! grep -qv "$expected" <<<"$cause"; then
        return
    fi
    cause=$(grep -v "$expected" <<<"$cause" | head -n 1) || true
    die "cannot unpack $origin: ${cause:-tar was killed}" \
        'tar -tf で確かめてください (.zst は zstd、.xz は xz-utils が必要)'
}

make_etc() {
    mkdir -p "$tree"/{etc,root,home,mnt,run,var/tmp}
    chmod 1777 "$tree/var/tmp"
    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' \
        'nobody:x:65534:65534:nobody:/nonexistent:/bin/false' \
        >"$tree/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
    printf '%s\n' '127.0.0.1 localhost container' '::1 localhost' \
        >"$tree/etc/hosts"
    # sh -l のときだけ読まれる。ただの sh は /etc/profile を読まない。 sh(1)
    printf '%s\n' 'PATH=/usr/sbin:/usr/bin:/sbin:/bin' \
        "PS1='[container] \\w \\\$ '" >"$tree/etc/profile"
}

# 127.0.0.53 はホストの systemd-resolved を指す。コンテナの 127.0.0.53 は
# コンテナ自身なので役に立たない。その先の本当のサーバーの一覧を探す。
# 見つからなければ、サーバーのないファイルにする。 resolv.conf(5)
make_resolv_conf() {
    local file
    rm -rf "$tree/etc/resolv.conf"
    for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf \
        /run/NetworkManager/no-stub-resolv.conf; do
        [[ -f $file && -r $file ]] || continue
        awk '$1 == "nameserver" && $2 ~ /^(127\.|::1$)/ { next }
            $1 == "nameserver" { found = 1 } { print } END { exit !found }' \
            "$file" >"$tree/etc/resolv.conf" && return
    done
    echo '# no usable name server on the host' >"$tree/etc/resolv.conf"
}

# マウント先がリンクだと、マウントが木の外へ出る。本物のディレクトリにする。
make_mount_points() {
    local dir
    for dir in proc sys dev tmp demo etc; do
        [[ ! -L $tree/$dir && (! -e $tree/$dir || -d $tree/$dir) ]] ||
            die "/$dir in $origin is not a real directory" \
                "/$dir が普通のディレクトリである tar を使ってください"
        mkdir -p "$tree/$dir"
        chmod u+rwx,go+rx "$tree/$dir"
    done
    chmod 1777 "$tree/tmp"
}

# コンテナの uid 0 は sudo を打った人で、ほかの uid はマッピングしない。
# 木がすべてその人のものでないと、コンテナ内の root にも書けない。 user_namespaces(7)
give_back() {
    ((EUID != 0)) || [[ -z ${SUDO_UID:-} ]] ||
        chown -hR "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$1"
}

make_tree() {
    mkdir "$tree"
    "make_$kind"
    make_mount_points
    make_resolv_conf
    demo_programs -exec install -m 755 -t "$tree/demo" {} +
    give_back "$tree"
}

# --- 全体の流れ -------------------------------------------------------------

# 親ディレクトリをロックする。ロックファイルが残らない。 flock(1)
lock() {
    exec 9<"$(dirname -- "$dest")"
    flock -n 9 && return
    echo "build.sh: waiting for another build of $dest" >&2
    flock 9
}

# 前面のコマンドを待つ間、trap は動かない。長い仕事は子に任せる。 bash(1)
run_worker() {
    set -m # 自分のプロセスグループにする。まとめて止められる
    make_tree </dev/null &
    worker=$!
    set +m
    wait "$worker" || exit 1
    worker=
}

# できた木だけが DEST になる。種類の記録は最後。あれば木は完成している。
replace_tree() {
    refuse_mounts "$dest"
    rm -f -- "$dest.kind"
    [[ ! -e $dest ]] || mv -T -- "$dest" "$work/old" 2>/dev/null ||
        die "cannot replace $dest" "所有者を確かめてください: ls -ld '$dest'"
    mv -T -- "$tree" "$dest"
    printf '%s %s\n' "$kind" "$origin" >"$work/kind"
    give_back "$work/kind"
    mv -T -- "$work/kind" "$dest.kind"
}

clean() {
    lock
    remove_leftovers
    rm -f -- "$dest.kind"
    [[ ! -d $dest ]] || remove_tree "$dest"
}

main() {
    case $kind in
    busybox | host | debian | image | tar | clean) ;;
    *) die "unknown kind: $kind" 'busybox host debian image tar のどれかです' ;;
    esac
    (($# <= 2)) ||
        die "too many arguments: $*" '使い方: rootfs/build.sh [KIND [DEST]]'
    check_dest
    if [[ $kind == clean ]]; then
        clean
        return
    fi
    check_demo
    "check_$kind"
    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    lock
    remove_leftovers
    work=$(mktemp -d -- "$dest.tmp.XXXXXX")
    chmod 755 "$work"
    tree=$work/fs
    run_worker
    replace_tree
    echo "$dest: $kind ($origin)"
}

main "$@"
