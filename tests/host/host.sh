#!/usr/bin/env bash
# 使い捨てのホストを作り、その中でコマンドを動かす。終了ステータスはコマンドのもの。
#   host.sh [OPTION...] [--] COMMAND [ARG...]
#     --real-network  ネットワークだけは、本物のホストのものを使う
#     --eth0          systemd で起動したマシンらしくする: eth0 (192.0.2.10/24)、ホスト名
#                     debian、伝播するマウント
#     --cgroup NAME   cgroup v1 なら、どの階層でも自分だけの cgroup にいる。あとで
#                     消すのは呼び出し元 (中からは消せない)。v2 では何もしない:
#                     根でない cgroup にプロセスがいると、コントローラーを有効に
#                     できない。cgroups(7)
#     --pids N        --cgroup の中のプロセスを、ここまでにする。v2 では、そのためにだけ
#                     cgroup に入る
#     --read-only     本物のファイルは、/tmp と /run の下のほかは書き換えられない
#     --attendee DIR  sudo の使える attendee がいて、そのホームに、git clone したばかりの
#                     ワークショップがある。コマンドもそこから始まる。DIR は、マウントに
#                     使う空のディレクトリ
#     --built         そこに、手元で作ったもの (プログラムと rootfs) も置く
# ホストの名前 (リンク、/dev/shm、/run/netns、/run/step09-oci、IPC) は、中からは見えない。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export TOP
# shellcheck source-path=SCRIPTDIR source=attendee.bash
. "$TOP/tests/host/attendee.bash"
# shellcheck source-path=SCRIPTDIR source=cgroups.bash
. "$TOP/tests/host/cgroups.bash"

# 自分の cgroup は、v1 のときだけ、すべての階層に作る
cgroup_points() {
    [[ -z $cgroup ]] || is_v2 cpu ||
        # 重ねたものは、1 つと数える
        awk '($3 == "cgroup" || $3 == "cgroup2") && !seen[$2]++ { print $2 }' /proc/self/mounts
}

enter_cgroups() {
    local point
    for point in $(cgroup_points); do
        private+=(--cgroup)
        make_group "$point" "$cgroup"
        echo 0 >"$point/$cgroup/cgroup.procs"
    done
    [[ -z $pids ]] || limit_pids
}

# pids のコントローラーがなければ、何もしない
limit_pids() {
    local top
    top=$(top_of pids) && [[ -n $top ]] || return 0
    if is_v2 pids; then
        grep -qw pids "$top/cgroup.controllers" || return 0
        echo +pids >"$top/cgroup.subtree_control"
        mkdir -p "$top/$cgroup"
        echo 0 >"$top/$cgroup/cgroup.procs"
    fi
    echo "$pids" >"$top/$cgroup/pids.max"
}

# /sys/class/net は、マウントしたときのネットワーク名前空間のものを見せる。
# 隠すだけでは、古いほうが /proc/self/mounts に残るので、作り直す。ほかの仕事が
# chroot などに置いた proc と sysfs も外す。どこも隠れていないものが 1 つでも見えると、
# 隠した /proc や /sys の下でも、名前空間の中で新しくマウントできてしまう
make_sysfs() {
    local point
    mount --move /sys/fs/cgroup /mnt
    # 別のマウントの下になって、パスでは届かないものは、外せない
    findmnt -rno TARGET -t proc,sysfs | grep -vx /proc | while read -r point; do
        point=$(printf %b "$point")
        ! mountpoint -q "$point" || umount --lazy "$point"
    done
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    mount --move /mnt /sys/fs/cgroup
}

# ip(8) は、/run/netns にある名前をすべて開こうとし、使えない名前があればエラーを書く
make_names() {
    mkdir -p /run/netns /run/step09-oci
    mount -t tmpfs tmpfs /run/netns
    mount -t tmpfs -o mode=711 tmpfs /run/step09-oci
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
}

# 相手の端は、見えない所に置く。プロセスがいるあいだだけ残る名前空間から作る
make_eth0() {
    unshare --net sh -c 'ip link add eth0-far up type veth peer name eth0 netns 1 &&
        exec sleep infinity' </dev/null >/dev/null 2>&1 &
    until ip link set eth0 up 2>/dev/null; do
        kill -0 $!
        sleep 0.01
    done
    ip addr add 192.0.2.10/24 dev eth0
}

# 端末の番号は 0 から始まり、/tmp は空
make_home() {
    mount -t tmpfs -o mode=755 tmpfs "$attendee"
    mkdir -p "$attendee/etc" "$attendee/home/attendee/workshop"
    make_attendee "$attendee/etc" 1000 1000 /home/attendee
    copy_workshop "$attendee/home/attendee"
    mount --bind "$attendee/home" /home
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts /dev/pts
    mount --bind /dev/pts/ptmx /dev/ptmx
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    TOP=/home/attendee/workshop
    cd "$TOP"
}

# git の知っているファイル。手元の変更は含み、消したものは除く
known_files() {
    local file
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
        while IFS= read -rd '' file; do
            [[ ! -e $file ]] || printf '%s\0' "$file"
        done
}

# 作ったものがあると、make を書き忘れた文書も動いてしまう
copy_workshop() {
    local files file
    cd "$TOP"
    mapfile -d '' files < <(known_files)
    if ((${#files[@]} == 0)); then
        echo "host.sh: git ls-files names none in $TOP" >&2
        echo '  ヒント: 置くファイルは git に聞くので、clone したものの中で使います' >&2
        return 1
    fi
    for file in step0? step09-oci build/*.[od] build/oci build/demo rootfs/fs rootfs/fs.kind; do
        [[ -z $built || ! -e $file ]] || files+=("$file")
    done
    # 時刻を秒に切り捨てると、make が rootfs を作り直す
    tar --format=posix -cf - "${files[@]}" | tar -C "$1/workshop" -xf -
    # shellcheck disable=SC2016 # 展開するのは、内側の bash
    printf '%s\n' 'PS1="\$ "' 'PS2="> "' 'unset HISTFILE' >"$1/.docsrc"
    chown -R attendee:attendee "$1"
    chmod 755 "$1"
}

# テストは、/tmp の下でもプログラムを作って動かす。
# noexec は、この名前空間のマウントでだけ外す
allow_exec() {
    local point
    # 重ねてあれば、上のものが最後に出る
    ! point=$(findmnt -nro TARGET -O noexec -T /tmp | tail -n 1) ||
        mount -o remount,bind,exec "$(printf %b "$point")"
}

# この名前空間のマウントだけを、読み取り専用にする。bind がないと、ファイルシステムそのものが
# 変わる。mount(8)
protect_files() {
    local point type
    # mount(8) や sudo(8) は、/run に書く
    for point in /tmp /run; do mount --rbind "$point" "$point"; done
    findmnt -rno TARGET,FSTYPE | while read -r point type; do
        case $type in
        proc | sysfs | tmpfs | ramfs | devtmpfs | devpts | cgroup* | mqueue | hugetlbfs | *fs_pipefs | binfmt_misc | bpf | tracefs | debugfs | securityfs | pstore | configfs) continue ;;
        esac
        point=$(printf %b "$point")
        # 別のマウントの下になったものは、パスでは届かない
        [[ $point == @(/tmp|/run) ]] || mount -o remount,bind,ro "$point" 2>/dev/null || true
    done
}

inside() {
    local point
    allow_exec
    ulimit -S -c 0 # core を残さない
    # 絞ってあれば、戻せるときは戻す。getrlimit(2)
    (($(ulimit -n) >= 1024)) || ulimit -n 1024 2>/dev/null || true
    for point in $(cgroup_points); do
        mount --bind "$point/$cgroup" "$point"
    done
    make_names
    if [[ -z $real_network ]]; then
        ip link set lo up
        make_sysfs
    fi
    [[ -z $read_only ]] || protect_files
    if [[ -n $eth0 ]]; then
        hostname debian
        make_eth0
    fi
    [[ -z $attendee ]] || make_home
    # unshare(1) は、すべてを private にする
    [[ -z $eth0 ]] || mount --make-rshared /
    # exec しない。PID 1 の bash は、親のいなくなったプロセスを引き取って回収する
    IN_OWN_NAMESPACES=1 "$@"
}

given=("$@") inside='' real_network='' eth0='' cgroup='' pids='' read_only='' attendee='' built=''
while (($#)); do
    case $1 in
    --inside) inside=1 ;;
    --real-network) real_network=1 ;;
    --eth0) eth0=1 ;;
    --cgroup) cgroup=$2 && shift ;;
    --read-only) read_only=1 ;;
    --pids) pids=$2 && shift ;;
    --attendee) attendee=$2 && shift ;;
    --built) built=1 ;;
    --) shift && break ;;
    -*)
        echo "host.sh: unknown option: $1" >&2
        echo '  ヒント: make test や make test-docs から使います' >&2
        exit 2
        ;;
    *) break ;;
    esac
    shift
done

if [[ -n $inside ]]; then
    inside "$@"
    exit
fi
private=(--pid --uts --ipc --mount --mount-proc)
[[ -n $real_network ]] || private+=(--net)
enter_cgroups
# 呼び出し元が死ねば、このホストのプロセスもすべて死ぬ。背後で始められて無視していた INT や QUIT は、
# 元に戻す
exec setpriv --pdeathsig KILL env --default-signal unshare --fork --kill-child "${private[@]}" \
    "${BASH_SOURCE[0]}" --inside "${given[@]}"
