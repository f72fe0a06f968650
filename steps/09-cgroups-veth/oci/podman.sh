#!/bin/sh
# podman に、log-calls.sh を通して step09-oci を使わせる。引数は podman(1) のもの:
#   sudo podman.sh run --rm --network none --rootfs DIR COMMAND
# データはすべて /tmp/oci に置くので、このマシンの podman のものとは混ざらない
set -eu

dir=/tmp/oci
oci=$(realpath "$(dirname "$0")")

fail() {
    printf 'podman.sh: %s\n  ヒント: %s\n' "$1" "$2" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail 'must be root' 'sudo を付けます'
[ -x "$oci/../../../step09-oci" ] || fail 'step09-oci: no such program' 'make step09-oci'
command -v podman >/dev/null || fail 'podman: command not found' 'make setup-engines'
# /tmp には、だれでも書ける
[ -d "$dir" ] || mkdir -m 755 "$dir"
if [ ! -O "$dir" ] || [ -L "$dir" ]; then
    fail "$dir: not mine" 'そのディレクトリを消します'
fi

# conmon の cgroup は作らない。上限は今のまま: 上げられない機械 (コンテナ内など) もある。
# プロセスの数は、podman が自分を pid_max までにしてから始める
files=$(awk '/^Max open files/ { print $(NF - 1) }' /proc/self/limits)
processes=$(awk 'FNR == NR { most = $1 } /^Max processes/ { print $3 < most ? $3 : most }' \
    /proc/sys/kernel/pid_max /proc/self/limits)
printf '[containers]\ncgroups = "no-conmon"\ndefault_ulimits = ["nofile=%s:%s", "nproc=%s:%s"]\n' \
    "$files" "$files" "$processes" "$processes" >"$dir/containers.conf"

status=0
CONTAINERS_CONF=$dir/containers.conf podman --root "$dir/root" --runroot "$dir/run" \
    --tmpdir "$dir/tmp" --storage-driver vfs --events-backend file \
    --cgroup-manager cgroupfs --runtime "$oci/log-calls.sh" "$@" || status=$?
# podman は、コンテナの cgroup の親を残す。まだコンテナがいれば、消えない
rmdir /sys/fs/cgroup/libpod_parent /sys/fs/cgroup/*/libpod_parent 2>/dev/null || :
exit "$status"
