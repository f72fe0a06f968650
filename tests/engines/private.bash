#!/usr/bin/env bash
# private.bash - 本物のエンジン (podman, docker, containerd) を、ほかと混ざらないように始める
#
# マウント、PID、UTS、IPC、ネットワーク、cgroup の名前空間を分け、データはすべて、その中だけの
# /run に置く。マシンで動いているエンジンには触らず、終われば何も残らない。読み込んで使う:
#   engines_start RUNTIME ENGINE...  始める。root で呼ぶ。準備ができるのは待たない
#   engine_ready ENGINE              そのエンジンの準備ができるまで待つ
#   engine_inside COMMAND...         そこで動かす。podman、docker、ctr は、RUNTIME を使う
#   engine_log ENGINE                そのエンジンの記録
#   engines_stop                     片付ける。何度呼んでもよい
# ENGINE は podman か docker か containerd。イメージ base (BusyBox) が、どれにも入っている。

# shellcheck source-path=SCRIPTDIR source=../host/cgroups.bash
. "$(dirname "${BASH_SOURCE[0]}")/../host/cgroups.bash"

PRIVATE_BASH=$(realpath "${BASH_SOURCE[0]}")
# その中だけの /run の下。エンジンのデータと、RUNTIME を渡すラッパーがある
ENGINES=/run/engines
# 1 つのコマンドを、ここまで待つ [s]
ENGINE_TIMEOUT=${ENGINE_TIMEOUT:-120}

# エンジンのコマンドのうち、このマシンにないもの
engine_missing() {
    local command commands
    case $1 in
    podman) commands='podman conmon' ;;
    docker) commands='dockerd docker containerd' ;;
    containerd) commands='containerd ctr containerd-shim-runc-v2' ;;
    *) commands=$1 ;;
    esac
    for command in $commands busybox; do
        command -v "$command" >/dev/null || echo "$command"
    done
}

# --- 外から使うもの ------------------------------------------------------------------

# 書き出した変数は、ほかのプロセス (bats のテスト) でも使える
engines_start() {
    local runtime=$1
    shift
    ENGINES_WORK=$(mktemp -d "${TMPDIR:-/tmp}/engines.XXXXXX")
    ENGINES_GROUP=${ENGINES_NAME:-engines}-$BASHPID-$RANDOM$RANDOM
    export ENGINES_WORK ENGINES_GROUP ENGINES_HOLDER
    chmod 711 "$ENGINES_WORK"
    make_engine_groups || {
        engines_stop
        return 1
    }
    # 呼び出し元が死ねば、エンジンもすべて死ぬ。端末の Ctrl-C は、ここには届かない
    setpriv --pdeathsig KILL setsid env --default-signal \
        unshare --fork --kill-child --pid --uts --ipc --net --mount --mount-proc \
        "$PRIVATE_BASH" --enter "$runtime" "$@" \
        </dev/null >"$ENGINES_WORK/log" 2>&1 3>&- 4>&- &
    ENGINES_LAUNCHER=$!
    until [ -e "$ENGINES_WORK/inside" ] && find_engines_holder; do
        if ! kill -0 "$ENGINES_LAUNCHER" 2>/dev/null; then
            cat "$ENGINES_WORK/log" >&2
            engines_stop
            return 1
        fi
        sleep 0.01
    done
}

# その PID 名前空間の PID 1
find_engines_holder() {
    local task=/proc/$ENGINES_LAUNCHER/task/$ENGINES_LAUNCHER/children
    ENGINES_HOLDER=$(cat "$task" 2>/dev/null) && ENGINES_HOLDER=${ENGINES_HOLDER% } &&
        [ -n "$ENGINES_HOLDER" ]
}

engine_ready() {
    until [ -e "$ENGINES_WORK/$1.ready" ]; do
        if [ -e "$ENGINES_WORK/$1.failed" ] || ! kill -0 "$ENGINES_HOLDER" 2>/dev/null; then
            echo "engines: $1 did not start" >&2
            engine_log "$1" >&2
            return 1
        fi
        sleep 0.02
    done
}

engine_log() {
    tail -n "${2:-20}" "$ENGINES_WORK/$1.log"
}

# エンジンは、自分のいる cgroup の下にコンテナのものを作る。だから、そこに入ってから始める。
# カレントディレクトリも、その中だけの /run の下になる。conmon(8) は、そこに oom を書く
engine_inside() (
    while read -r group; do echo 0 >"$group/cgroup.procs"; done <"$ENGINES_WORK/groups"
    # 時間が来たときに終わらせるのは、nsenter でなく、その先のコマンド
    exec env PATH="$ENGINES/bin:$PATH" nsenter --all --wd --target "$ENGINES_HOLDER" \
        timeout --foreground --kill-after 5 "$ENGINE_TIMEOUT" "$@"
)

# PID 1 が死ねば、その PID 名前空間のプロセスはすべて死ぬ。pid_namespaces(7)
engines_stop() {
    [ -n "${ENGINES_WORK:-}" ] || return 0
    if [ -n "${ENGINES_LAUNCHER:-}" ]; then
        ! find_engines_holder || kill -KILL "$ENGINES_HOLDER" 2>/dev/null || true
        [ -e "$ENGINES_WORK/inside" ] || kill -KILL "$ENGINES_LAUNCHER" 2>/dev/null || true
        wait "$ENGINES_LAUNCHER" 2>/dev/null || true
    fi
    remove_engine_groups || echo "engines: cgroups are left: $ENGINES_GROUP" >&2
    rm -rf "$ENGINES_WORK"
    ENGINES_WORK='' ENGINES_LAUNCHER='' ENGINES_HOLDER=''
}

# 階層のマウントポイント。重ねたものは、1 つと数える
cgroup_points() {
    awk '($3 == "cgroup" || $3 == "cgroup2") && !seen[$2]++ { print $2 }' /proc/self/mounts
}

# どの階層にも、自分だけの cgroup を作る。エンジンのものは、その下にできる。v2 では、
# コントローラーを有効にできるように、プロセスを葉 (host) に置く。cgroups(7)
make_engine_groups() {
    local point controller
    : >"$ENGINES_WORK/groups"
    for point in $(cgroup_points); do
        make_group "$point" "$ENGINES_GROUP" || return 1
        if [ -s "$point/cgroup.controllers" ]; then
            for controller in $(<"$point/cgroup.controllers"); do
                grep -qw "$controller" "$point/cgroup.subtree_control" && continue
                # 一番上にプロセスがいると、断られる
                echo "+$controller" 2>/dev/null >"$point/cgroup.subtree_control" || continue
                echo "$point -$controller" >>"$ENGINES_WORK/enabled"
            done
            mkdir "$point/$ENGINES_GROUP/host"
            echo "$point/$ENGINES_GROUP/host"
        else
            echo "$point/$ENGINES_GROUP"
        fi >>"$ENGINES_WORK/groups"
    done
}

# 自分の作ったものだけを消す。有効にしたコントローラーも元に戻す。その他のユーザーが隣で
# 使っていれば、残す
remove_engine_groups() {
    local point controller name try=0
    for point in $(cgroup_points); do
        until [ ! -d "$point/$ENGINES_GROUP" ] ||
            find "$point/$ENGINES_GROUP" -depth -type d -exec rmdir {} + 2>/dev/null; do
            ((++try < 500)) || return 1
            sleep 0.01
        done
    done
    [ -e "$ENGINES_WORK/enabled" ] || return 0
    while read -r point controller; do
        name=${controller#-}
        grep -qsv -e '^max' "$point"/*/"$name.max" /dev/null && continue
        echo "$controller" 2>/dev/null >"$point/cgroup.subtree_control" || true
    done <"$ENGINES_WORK/enabled"
}

# --- 名前空間の中で動くもの -----------------------------------------------------------

# PID 1。cgroup 名前空間の根は、作るときにいた cgroup になる。cgroup_namespaces(7)
enter_groups() {
    local point
    for point in $(cgroup_points); do
        echo 0 >"$point/$ENGINES_GROUP/cgroup.procs"
    done
    exec unshare --cgroup "$PRIVATE_BASH" --inside "$@"
}

# 自分の cgroup が、どの階層でも一番上に見えるようにする。v2 の葉にも、このあいだに移る
mount_groups() {
    local point controller n=0
    mkdir /run/cgroups
    for point in $(cgroup_points); do
        mkdir "/run/cgroups/$((++n))"
        mount --bind "$point/$ENGINES_GROUP" "/run/cgroups/$n"
        if [ -d "/run/cgroups/$n/host" ]; then
            echo 0 >"/run/cgroups/$n/host/cgroup.procs"
            for controller in $(<"/run/cgroups/$n/cgroup.controllers"); do
                echo "+$controller" >"/run/cgroups/$n/cgroup.subtree_control"
            done
        fi
    done
    n=0
    for point in $(cgroup_points | grep -v ^/run/cgroups/); do
        while mountpoint -q "$point" && [ "$point" != /sys/fs/cgroup ]; do umount --lazy "$point"; done
        mount --move "/run/cgroups/$((++n))" "$point"
    done
    rmdir /run/cgroups/* /run/cgroups
}

# /sys/class/net は、マウントしたときのネットワーク名前空間のものを見せる
mount_sysfs() {
    mkdir /run/moved
    mount --move /sys/fs/cgroup /run/moved
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    mount --move /run/moved /sys/fs/cgroup
    rmdir /run/moved
}

# エンジンが書く場所を、ここだけのものにする
hide_places() {
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p "$ENGINES"/{bin,tmp,home,docker,containerd,podman} /run/lock
    # /var/lib や /etc の下にある RUNTIME も使えるように
    touch "$ENGINES/bin/$(basename "$RUNTIME")"
    mount --bind "$RUNTIME" "$ENGINES/bin/$(basename "$RUNTIME")"
    RUNTIME=$ENGINES/bin/$(basename "$RUNTIME")
    cp -a /etc "$ENGINES/etc"
    mount --bind "$ENGINES/etc" /etc
    local place
    for place in /var/lib /var/cache; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
    # 呼び出し元と共有するのは、1 つのディレクトリだけ
    mkdir /run/shared
    mount --bind "$ENGINES_WORK" /run/shared
    for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$place"; done
    mkdir -p "$ENGINES_WORK"
    mount --move /run/shared "$ENGINES_WORK"
    rmdir /run/shared
    # ほかには書かせない。bind がないと、ファイルシステムそのものが変わる。mount(8)
    mount -o remount,bind,ro /
    cd "$ENGINES/home"
    # /run を指すリンクかもしれない
    rm -f /etc/resolv.conf
    echo 'nameserver 127.0.0.1' >/etc/resolv.conf
    mkdir -p /etc/containers
    [ -e /etc/containers/policy.json ] ||
        echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
}

# ラッパー: 本物の名前で、この中のエンジンと RUNTIME を使う: wrapper NAME [引数...]
wrapper() {
    local name=$1 real
    real=$(command -v "$name")
    shift
    printf '#!/bin/sh\n%s\nexec %s %s "$@"\n' "$(cat)" "$real" "$*" >"$ENGINES/bin/$name"
    chmod 755 "$ENGINES/bin/$name"
}

# イメージの中身: BusyBox と、すべての名前のリンク
make_rootfs() {
    local fs=$ENGINES/rootfs
    mkdir -p "$fs"/{bin,etc,proc,sys,dev,root,tmp,home,mnt,var}
    chmod 1777 "$fs/tmp"
    cp "$(command -v busybox)" "$fs/bin/busybox"
    chroot "$fs" /bin/busybox --install -s /bin
    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'user:x:1000:1000::/home:/bin/sh' >"$fs/etc/passwd"
    printf '%s\n' 'root:x:0:' 'user:x:1000:' 'extra:x:2000:user' >"$fs/etc/group"
    tar -C "$fs" --owner 0 --group 0 -cf "$ENGINES/base.tar" .
}

prepare_podman() {
    local data=$ENGINES/podman nproc
    # 上限を上げる権限 (CAP_SYS_RESOURCE) がなくても動くように
    nproc=$(ulimit -Hu)
    [ "$nproc" != unlimited ] || nproc=9000
    cat >"$data/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=$nproc:$nproc"]
netns = "none"
log_driver = "k8s-file"
[network]
network_config_dir = "$data/networks"
cni_plugin_dirs = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"]
END
    printf '[storage]\ndriver = "vfs"\nrunroot = "%s"\ngraphroot = "%s"\n' \
        "$data/run" "$data/root" >"$data/storage.conf"
    echo 'unqualified-search-registries = []' >"$data/registries.conf"
    wrapper podman --root "$data/root" --runroot "$data/run" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend file --runtime "$RUNTIME" <<END
unset CONTAINER_HOST CONTAINER_CONNECTION
export CONTAINERS_CONF=$data/containers.conf CONTAINERS_STORAGE_CONF=$data/storage.conf \
    CONTAINERS_REGISTRIES_CONF=$data/registries.conf BUILDAH_ISOLATION=oci \
    BUILDAH_RUNTIME=$RUNTIME TMPDIR=$ENGINES/tmp HOME=$ENGINES/home XDG_RUNTIME_DIR=
END
    podman import --change 'ENV PATH=/bin' --change 'CMD ["sh"]' "$ENGINES/base.tar" base
}

# bridge や iptables の使えないカーネルでは、使わずに始める
prepare_docker() {
    local data=$ENGINES/docker options=()
    wrapper docker <<END
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY
# BuildKit は、渡したランタイムを使わない
export DOCKER_CONFIG=$data/config HOME=$ENGINES/home TMPDIR=$ENGINES/tmp DOCKER_BUILDKIT=0
END
    if ! ip link add engines0 type bridge; then
        options+=(--bridge none --iptables=false)
    elif ip link delete engines0 && ! iptables -t nat -S; then
        options+=(--iptables=false)
    fi
    echo '{}' >"$data/daemon.json"
    TMPDIR=$ENGINES/tmp HOME=$ENGINES/home dockerd --config-file "$data/daemon.json" \
        --data-root "$data/data" --exec-root /run/docker -H unix:///run/docker.sock \
        -p /run/docker.pid --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs \
        --add-runtime "under-test=$RUNTIME" --default-runtime under-test "${options[@]}" &
    # 始まる前につないだものは、始まるまで待たされる
    until [ -S /run/docker.sock ]; do kill -0 $! && sleep 0.02; done
    docker import --change 'ENV PATH=/bin' --change 'CMD ["sh"]' "$ENGINES/base.tar" base
}

# ctr image import の読むもの: docker save と同じ形。コマンドは、Pod の pause の代わりになる
make_archive() {
    local dir=$ENGINES/archive id arch
    case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) arch=$(uname -m) ;;
    esac
    mkdir "$dir"
    cp "$ENGINES/base.tar" "$dir/layer.tar"
    id=$(sha256sum <"$dir/layer.tar")
    printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sleep","1000"]},
        "rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$arch" "${id%% *}" >"$dir/config.json"
    echo '[{"Config":"config.json","RepoTags":["docker.io/library/base:latest"],"Layers":["layer.tar"]}]' \
        >"$dir/manifest.json"
    tar -C "$dir" -cf "$ENGINES/archive.tar" manifest.json config.json layer.tar
}

# CRI は、crictl があるときだけ使う。RuntimeClass の handler が under-test
prepare_containerd() {
    local data=$ENGINES/containerd plugin disabled=(snapshotter.v1.{devmapper,btrfs,zfs,aufs})
    command -v crictl || disabled+=(grpc.v1.cri)
    {
        printf 'version = 2\nroot = "%s"\nstate = "%s"\n' "$data/root" "$data/state"
        echo 'disabled_plugins = ['
        for plugin in "${disabled[@]}"; do echo "  \"io.containerd.$plugin\","; done
        cat <<END
]
[grpc]
address = "$data/sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$data/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/base:latest"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
default_runtime_name = "under-test"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.under-test]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.under-test.options]
BinaryName = "$RUNTIME"
END
    } >"$data/config.toml"
    wrapper ctr <<END
export CONTAINERD_ADDRESS=$data/sock CONTAINERD_SNAPSHOTTER=native
[ "\${1-}" != run ] || { shift; set -- run --runc-binary $RUNTIME "\$@"; }
END
    TMPDIR=$ENGINES/tmp containerd --config "$data/config.toml" &
    make_archive
    until [ -S "$data/sock" ]; do kill -0 $! && sleep 0.02; done
    ctr image import "$ENGINES/archive.tar"
    ctr image tag docker.io/library/base:latest base
    command -v crictl || return 0
    wrapper crictl --runtime-endpoint "unix://$data/sock" --image-endpoint "unix://$data/sock" </dev/null
    ctr --namespace k8s.io image import "$ENGINES/archive.tar"
}

prepare() {
    # if や ! の中では、set -e が効かない。bash(1)
    trap ': >"$ENGINES_WORK/$engine.failed"' EXIT
    "prepare_$1"
    : >"$ENGINES_WORK/$1.ready"
    trap - EXIT
}

inside() {
    RUNTIME=$1
    shift
    hide_places
    mount_groups
    mount_sysfs
    ip link set lo up
    : >"$ENGINES_WORK/inside"
    make_rootfs
    PATH=$ENGINES/bin:$PATH
    local engine
    for engine; do
        prepare "$engine" >"$ENGINES_WORK/$engine.log" 2>&1 &
    done
    # PID 1 の bash は、親のいなくなったプロセスを引き取って回収する
    sleep infinity &
    while :; do wait || true; done
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case ${1:-} in
    --enter) enter_groups "${@:2}" ;;
    --inside) inside "${@:2}" ;;
    *)
        echo 'private.bash: source it from a suite or from engines.sh' >&2
        echo '  ヒント: make engines か、make test-suites SUITES=engines とします' >&2
        exit 2
        ;;
    esac
fi
