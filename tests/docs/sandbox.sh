#!/usr/bin/env bash
# 使い捨てのホストを用意して、その中でコマンドを動かす。run-docs.py が使う。
#   sandbox.sh outside NAME DIR COMMAND...  cgroup に入り、名前空間を分けて inside へ
#   sandbox.sh inside NAME DIR COMMAND...   ホスト名、ユーザー、ホームなどを整える
# NAME は、文書ごとの cgroup の名前。cgroup v2 のときは、分けずにそのまま使う (v2 の
# 根でない cgroup では、プロセスがいるとコントローラーを配れない。cgroups(7))
# DIR は、中だけで使う tmpfs を重ねる、空のディレクトリー。cgroup と DIR は、あとで呼
# び出し元が消す。中からは消せない
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../host/attendee.bash
. "$TOP/tests/host/attendee.bash"

v1_points() {
    awk '$3 == "cgroup" && $4 ~ /(^|,)cpu(,|$)/ { v1 = 1 }
        $3 == "cgroup" || $3 == "cgroup2" { points = points $2 "\n" }
        END { if (v1) printf "%s", points }' /proc/self/mounts
}

outside() {
    local name=$1 point file cgroup=
    for point in $(v1_points); do
        cgroup=--cgroup
        mkdir "$point/$name"
        for file in cpuset.mems cpuset.cpus; do
            [[ ! -e $point/$file ]] || cat "$point/$file" >"$point/$name/$file"
        done
        echo 0 >"$point/$name/cgroup.procs"
    done
    shift
    exec unshare --fork --kill-child --pid --uts --ipc --net --mount --mount-proc $cgroup \
        "${BASH_SOURCE[0]}" inside "$name" "$@"
}

# 自分の cgroup を、階層の一番上に見せる
cover_cgroups() {
    local point
    for point in $(v1_points); do
        mount --bind "$point/$1" "$point"
    done
}

make_network() {
    ip link set lo up
    ip link add eth0 type veth peer name eth0-far
    ip addr add 192.0.2.10/24 dev eth0
    ip link set eth0 up
    # 相手の端は、見えない所に置く。プロセスがいる間だけ残る名前空間に入れる
    unshare --net sleep infinity &
    until [[ $(readlink "/proc/$!/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do
        sleep 0.01
    done
    ip link set eth0-far netns "$!"
    nsenter --net="/proc/$!/ns/net" ip link set eth0-far up
}

# 端末の番号が 0 から始まるようにする
make_terminals() {
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts /dev/pts
    mount --bind /dev/pts/ptmx /dev/ptmx
}

make_home() {
    local home=$1/attendee
    mkdir -p "$home/workshop"
    # 手元の変更も含める。作りかけのもの (build/vm など) は要らない
    tar -C "$TOP" --exclude=./.git --exclude=./slides/tool/node_modules --exclude='./build/*/*' \
        --exclude=./slides/build -cf - . | tar -C "$home/workshop" -xf -
    mkdir -p "$home/workshop/build/demo"
    [[ ! -d $TOP/build/demo ]] || cp -a "$TOP/build/demo" "$home/workshop/build"
    # shellcheck disable=SC2016 # 展開するのは、中の bash
    printf '%s\n' 'PS1="\$ "' 'PS2="> "' 'unset HISTFILE' >"$home/.docsrc"
    chown -R attendee:attendee "$home"
    chmod 755 "$home"
}

inside() {
    local name=$1 work=$2
    mount -t tmpfs -o mode=755 tmpfs "$work"
    hostname debian
    cover_cgroups "$name"
    make_network
    make_terminals
    mkdir "$work/etc" "$work/home"
    make_attendee "$work/etc" 1000 1000 /home/attendee
    make_home "$work/home"
    mkdir -p /run/netns
    mount -t tmpfs tmpfs /run/netns
    mount --bind "$work/home" /home
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    # systemd が起動したときと同じ。unshare(1) は、すべてを private にする
    mount --make-rshared /
    shift 2
    cd /home/attendee/workshop
    # exec しない。PID 1 の bash は、親のいなくなったプロセスを引き取って回収する
    "$@"
}

case ${1-} in
outside | inside) "$@" ;;
*)
    echo "sandbox.sh: unknown place: ${1-}" >&2
    echo '  ヒント: make test-docs から使います' >&2
    exit 2
    ;;
esac
