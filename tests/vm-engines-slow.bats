# systemd と cgroup v2 の動く機械の、ふだんのエンジン (podman、dockerd、containerd) で、
# step09-oci を使う。podman と dockerd の cgroup は systemd が作る (--systemd-cgroup)。
# 消えてよい仮想マシンの中でだけ動かす:
#   VM_TEST='make setup setup-engines test-suites SUITES=vm-engines-slow' make vm-test
#
# shellcheck disable=SC2016 # $ を展開するのは、内側の sh
load helpers

setup_file() {
    export RUNTIME=/usr/local/sbin/step09-oci IMAGE=/var/lib/engines-base.tar
    install "$TOP/step09-oci" "$RUNTIME"
    tar -C "$TOP/rootfs/fs" -cf "$IMAGE" .
}

setup() {
    [ -d /run/systemd/system ]
}

teardown() {
    pod rm --all --force --time 0 >/dev/null 2>&1 || true
}

teardown_file() {
    systemctl stop docker.socket docker containerd 2>/dev/null || true
    rm -f "$RUNTIME" "$IMAGE" /etc/docker/daemon.json
}

# この機械のファイルシステムの上では、overlay を使えない
pod() {
    timeout 120 podman --storage-driver vfs --runtime "$RUNTIME" "$@"
}

@test "podman with systemd's manager: the scope has the limits, exec joins it, and it is gone afterwards" {
    requires podman
    run -0 pod info --format '{{.Host.CgroupManager}} {{.Host.CgroupsVersion}}'
    [ "$output" = "systemd v2" ]
    pod import --quiet "$IMAGE" base
    run -0 pod run -d --name one --network none --memory 64m --pids-limit 50 --cpus 0.5 base sleep 1000
    local id=$output pid scope
    pid=$(pod inspect --format '{{.State.Pid}}' one)
    scope=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
    [[ $scope == *"/libpod-$id.scope"* ]]
    [ "$(cat "$scope/memory.max")" = 67108864 ]
    [ "$(cat "$scope/pids.max")" = 50 ]
    [ "$(cat "$scope/cpu.max")" = "50000 100000" ]
    run -0 pod exec one sh -c 'cat /proc/self/cgroup; exit 0'
    run -3 pod exec one sh -c 'exit 3'
    run -0 pod rm --force --time 0 one
    retry 10 test ! -e "$scope"
}

@test "podman: BPF keeps the other devices closed; a listed one opens; OOM is 137" {
    requires podman
    run -0 pod run --rm --network none --cap-add MKNOD --device /dev/loop-control base sh -c \
        'head -c 0 /dev/loop-control && mknod /dev/own-null c 1 3 && head -c 0 /dev/own-null &&
        mknod /dev/mem c 1 1 && ! head -c 1 /dev/mem 2>/dev/null && echo closed'
    [ "$output" = closed ]
    run -137 pod run --rm --network none --memory 16m base tail /dev/zero
}

@test "dockerd with systemd's manager runs it as one of its runtimes" {
    requires docker
    mkdir -p /etc/docker
    printf '{ "runtimes": { "step09-oci": { "path": "%s" } } }\n' "$RUNTIME" >/etc/docker/daemon.json
    systemctl restart docker
    docker import "$IMAGE" base >/dev/null
    run -0 timeout 120 docker run --rm --runtime step09-oci base sh -c 'ls /sys/class/net; grep Seccomp: /proc/self/status'
    [[ $output == *eth0* && $output == *Seccomp:*2* ]]
    run -127 timeout 120 docker run --rm --runtime step09-oci base nosuch
    run -126 timeout 120 docker run --rm --runtime step09-oci base /etc
    run -0 timeout 120 docker run -d --name two --runtime step09-oci --memory 64m base sleep 1000
    run -0 timeout 120 docker update --memory 96m --memory-swap 96m two
    run -0 sh -c 'cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/$(docker inspect --format "{{.State.Pid}}" two)/cgroup)/memory.max'
    [ "$output" = 100663296 ]
    run -4 timeout 120 docker exec two sh -c 'exit 4'
    run -0 timeout 120 docker rm --force two
}

@test "containerd runs it by ctr" {
    requires containerd
    systemctl start containerd
    run -0 timeout 120 ctr run --rm --runc-binary "$RUNTIME" --rootfs "$TOP/rootfs/fs" one /bin/echo hello
    [ "$output" = hello ]
}
