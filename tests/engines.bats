# 本物のエンジン (podman, docker, containerd) に、step09-oci を低レベルランタイムとして使わせる
#
# 1 つのテストが、人のする 1 つのこと。エンジンは、スイートの初めに 1 度だけ、並べて始める
# (engines/private.bash)。RUNTIME=/usr/sbin/runc などとすれば、ほかのランタイムを試せる。
# $ を展開するのは内側のシェル。stderr は run --separate-stderr が入れる
# shellcheck disable=SC2016,SC2153,SC2154
load helpers
load engines/private
load engines/asked

setup_file() {
    [ "$EUID" = 0 ] && unshare --net true || return 0
    local engine found=()
    export RUNTIME=${RUNTIME:-${bin_dir:-$TOP}/step09-oci}
    if ! [ -x "$RUNTIME" ]; then
        echo "engines.bats: $RUNTIME: no such program" >&2
        return 1
    fi
    # 遅いものから始める
    for engine in docker containerd podman; do
        [ -n "$(engine_missing $engine)" ] || found+=("$engine")
    done
    engines_start "$(realpath "$RUNTIME")" "${found[@]}"
    VOLUMES=$ENGINES_WORK/volumes
    mkdir "$VOLUMES"
    export VOLUMES
}

teardown_file() {
    engines_stop
}

setup() {
    requires root net
    C=c$BATS_TEST_NUMBER
    TYPIST=
}

teardown() {
    # 失敗したものの出力
    [ -n "$BATS_TEST_COMPLETED" ] || tail -n 20 <<<"${output:-}"
    [ -z "$TYPIST" ] || kill -KILL "$TYPIST" 2>/dev/null || true
}

# 使うエンジンの準備ができるまで待つ。ENGINE は、2 つに共通のテストで使う
needs() {
    ENGINE=$1
    requires "$@"
    engine_ready "$ENGINE"
}

podman() {
    engine_inside podman "$@"
}

docker() {
    engine_inside docker "$@"
}

ctr() {
    engine_inside ctr "$@"
}

# --- podman と docker に共通のもの: asked.bash の ask_... ------------------------------

@test "podman: run prints, exit statuses 0 3 125 126 127 137" {
    needs podman
    run -0 podman info --format '{{.Host.OCIRuntime.Path}}'
    [ "$output" = "$ENGINES/bin/${RUNTIME##*/}" ]
    ask_statuses
}

@test "docker: run prints, exit statuses 0 3 125 126 127 137" {
    needs docker
    run -0 docker info --format '{{.DefaultRuntime}}'
    [ "$output" = under-test ]
    ask_statuses
}

@test "podman: run -it is a terminal: its size, what is typed, Ctrl-C, exit status" {
    needs podman script
    ask_terminal
}

@test "docker: run -it is a terminal: its size, what is typed, Ctrl-C, exit status" {
    needs docker script
    ask_terminal
}

@test "podman: run -d, logs, top, stats, stop, restart, kill, rm" {
    needs podman
    ask_detached
}

@test "docker: run -d, logs, top, stats, stop, restart, kill, rm" {
    needs docker
    ask_detached
}

@test "podman: exec prints, exit statuses 0 3 126 127, -e -w -u -d" {
    needs podman
    ask_exec
}

@test "docker: exec prints, exit statuses 0 3 126 127, -e -w -u -d" {
    needs docker
    ask_exec
}

@test "podman: exec -it is a terminal" {
    needs podman script
    ask_exec_terminal
}

@test "docker: exec -it is a terminal" {
    needs docker script
    ask_exec_terminal
}

@test "podman: -v mounts a directory, :ro, and a single file" {
    needs podman
    ask_volumes
}

@test "docker: -v mounts a directory, :ro, and a single file" {
    needs docker
    ask_volumes
}

@test "podman: -e -w -u --hostname --ulimit set up the process" {
    needs podman
    ask_process
}

@test "docker: -e -w -u --hostname --ulimit set up the process" {
    needs docker
    ask_process
}

@test "podman: --read-only and --tmpfs" {
    needs podman
    ask_read_only
}

@test "docker: --read-only and --tmpfs" {
    needs docker
    ask_read_only
}

@test "podman: --cap-drop and --cap-add; another user has none" {
    needs podman
    ask_capabilities
}

@test "docker: --cap-drop and --cap-add; another user has none" {
    needs docker
    ask_capabilities
}

@test "podman: seccomp is in force, and can be switched off; no-new-privileges" {
    needs podman
    ask_seccomp
}

@test "docker: seccomp is in force, and can be switched off; no-new-privileges" {
    needs docker
    ask_seccomp
}

@test "podman: /proc and /sys are masked and read-only; --privileged opens them" {
    needs podman
    ask_masked
}

@test "docker: /proc and /sys are masked and read-only; --privileged opens them" {
    needs docker
    ask_masked
}

@test "podman: --device gives a device, the other ones stay closed" {
    needs podman
    ask_devices
}

@test "docker: --device gives a device, the other ones stay closed" {
    needs docker
    ask_devices
}

# Podman 5.0 より前は、conmon が oom を書いた場所を見ない。podman の PR 21523
@test "podman: --memory: a process that takes more is killed, 137, and the kill is reported" {
    needs podman cgroup
    ask_memory
    run -0 podman inspect --format '{{.State.OOMKilled}}' "$C"
    [ "$output" = true ] || engine_inside test -e oom
}

@test "docker: --memory: a process that takes more is killed, 137, OOMKilled is true" {
    needs docker cgroup
    ask_memory
    run -0 docker inspect --format '{{.State.OOMKilled}}' "$C"
    [ "$output" = true ]
}

@test "podman: --memory --cpus --pids-limit are in the cgroup's files" {
    needs podman cgroup
    ask_limits
}

@test "docker: --memory --cpus --pids-limit are in the cgroup's files; update changes them" {
    needs docker cgroup
    ask_limits
    run -0 docker update --memory 48m --cpus 0.25 --pids-limit 30 "$C"
    run -0 group_file memory memory.limit_in_bytes memory.max
    [ "$output" = $((48 << 20)) ]
    run -0 group_file pids pids.max pids.max
    [ "$output" = 30 ]
    run -0 cpu_limit
    [ "$output" = '25000 100000' ]
}

@test "podman: pause and unpause" {
    needs podman cgroup
    ask_pause
}

@test "docker: pause and unpause" {
    needs docker cgroup
    ask_pause
}

# catatonit(1) がなければ、Docker の tini を使う。どちらも静的にリンクしてある
@test "podman: --init reaps orphans and passes signals on" {
    needs podman
    if command -v catatonit >/dev/null; then
        ask_init --init
    elif command -v docker-init >/dev/null; then
        ask_init --init --init-path "$(command -v docker-init)"
    else
        skip 'needs catatonit or docker-init'
    fi
}

@test "docker: --init reaps orphans and passes signals on" {
    needs docker
    command -v docker-init >/dev/null || skip 'needs docker-init'
    ask_init --init
}

@test "podman: --network, --pid and --ipc container:ID share the namespaces" {
    needs podman
    ask_shared
}

@test "docker: --network, --pid and --ipc container:ID share the namespaces" {
    needs docker
    ask_shared --ipc shareable
}

# ネットワークを作るのは、ランタイムを呼ぶ前の netavark か CNI
@test "podman: -p: a port of the host reaches the container's eth0" {
    needs podman
    if [ "$(podman info --format '{{.Host.NetworkBackend}}')" = cni ] &&
        ! compgen -G '/usr/lib/cni/bridge' >/dev/null; then
        skip 'needs netavark or containernetworking-plugins; see the test with ns:PATH'
    fi
    ask_port 8081 --network podman
}

# ネットワークを作るのは、prestart フックの libnetwork-setkey
@test "docker: -p: a port of the host reaches the container's eth0 (prestart hook)" {
    needs docker
    [ -n "$(engine_inside ls /sys/class/net/docker0 2>/dev/null)" ] || skip 'this kernel has no bridge'
    ask_port 8082
}

@test "podman: --network ns:PATH joins a namespace made by hand" {
    needs podman
    engine_inside sh -c 'ip netns add hand && ip netns exec hand ip link add dummy7 type veth peer name peer7'
    run -0 podman run --rm --network ns:/run/netns/hand base ip link
    [[ $output == *dummy7@peer7* ]]
}

@test "podman: a health check, by exec" {
    needs podman
    run -0 podman run -d --name "$C" --health-cmd 'test -e /tmp/well' --health-interval disable \
        base sleep 1000
    run -1 podman healthcheck run "$C"
    run -0 podman exec "$C" touch /tmp/well
    run -0 podman healthcheck run "$C"
    remove
}

@test "docker: a health check, by exec" {
    needs docker
    run -0 docker run -d --name "$C" --health-cmd 'test -e /tmp/well' --health-interval 200ms \
        --health-retries 1 base sleep 1000
    retry 5 health_is unhealthy
    run -0 docker exec "$C" touch /tmp/well
    retry 5 health_is healthy
    remove
}

@test "podman: build runs its steps" {
    needs podman
    ask_build
}

@test "docker: build runs its steps" {
    needs docker
    ask_build
}

# --- podman だけのもの ---------------------------------------------------------------

# bind マウントの元が、マッピングした root の通れないディレクトリの下にある
@test "podman: --uidmap: root inside is 100000 outside, also on a volume below a closed directory" {
    needs podman userns
    mkdir -m 700 "$VOLUMES/closed"
    mkdir -m 777 "$VOLUMES/closed/$C"
    run -0 podman run --rm --uidmap 0:100000:65536 --gidmap 0:200000:65536 \
        -v "$VOLUMES/closed/$C:/mnt" base \
        sh -c 'touch /mnt/new && id -u && xargs </proc/self/uid_map && xargs </proc/self/gid_map
            stat -c %u:%g /etc/passwd'
    [ "${lines[0]}" = 0 ]
    [ "${lines[1]}" = '0 100000 65536' ]
    [ "${lines[2]}" = '0 200000 65536' ]
    [ "${lines[3]}" = 0:0 ]
    [ "$(stat -c %u:%g "$VOLUMES/closed/$C/new")" = 100000:200000 ]
    # 端末と exec も、ユーザー名前空間の中
    run -0 podman run -d --name "$C" --uidmap 0:100000:65536 base sleep 1000
    run -0 podman exec "$C" sh -c 'xargs </proc/self/uid_map; echo hi >/dev/null; cat /proc/1/comm'
    [ "${lines[*]}" = '0 100000 65536 sleep' ]
    remove
}

@test "podman: a pod shares its network, IPC and host name; each has its own processes" {
    needs podman
    run -0 podman pod create --name "pod-$C" --infra-image base --infra-command 'sleep 1000'
    run -0 podman run -d --pod "pod-$C" --name "$C" base httpd -f -p 127.0.0.1:80 -h /etc
    run -0 podman run --rm --pod "pod-$C" base sh -c \
        'for i in $(seq 100); do wget -qO- http://127.0.0.1/passwd && break; usleep 20000; done; hostname; pidof httpd || echo none'
    [ "${lines[0]}" = root:x:0:0:root:/root:/bin/sh ]
    [ "${lines[2]}" = "pod-$C" ]
    [ "${lines[3]}" = none ]
    run -0 podman pod rm -f -t 0 "pod-$C"
}

@test "podman: --rootfs runs a directory without an image" {
    needs podman
    run -0 podman run --rm --rootfs "$ENGINES/rootfs" /bin/sh -c 'echo hello'
    [ "$output" = hello ]
}

# --- containerd ----------------------------------------------------------------------

@test "containerd: ctr run prints, the exit status is the command's; a missing command is named" {
    needs containerd
    run -0 ctr run --rm base "$C" echo hello
    [ "$output" = hello ]
    run -3 ctr run --rm base "$C" sh -c 'exit 3'
    run -1 ctr run --rm base "$C" no-such-command
    [[ $output == *no-such-command* ]]
    run -0 --separate-stderr ctr run --rm --env A=b --cwd /tmp --mount type=bind,src=/etc,dst=/mnt,options=rbind:ro \
        base "$C" sh -c 'echo $A; pwd; test -e /mnt/passwd; touch /mnt/new || echo refused'
    [ "${lines[*]}" = 'b /tmp refused' ]
}

@test "containerd: ctr run --rootfs runs a directory without an image" {
    needs containerd
    run -0 ctr run --rm --env PATH=/bin --rootfs "$ENGINES/rootfs" "$C" /bin/sh -c 'echo hello'
    [ "$output" = hello ]
}

@test "containerd: ctr run -t is a terminal" {
    needs containerd script
    at_terminal "ctr run --rm -t base $C sh"
    types 'tty; echo a$((1 + 1))b'
    shows a2b
    grep -q /dev/pts/0 "$SCREEN"
    types 'exit 5'
    ends_with 5
}

@test "containerd: task exec, metrics, pause, resume, kill, rm, container rm" {
    needs containerd cgroup
    run -0 ctr run -d base "$C" sleep 1000
    run -0 ctr task exec --exec-id e1 "$C" sh -c 'cat /proc/1/comm; id -u'
    [ "${lines[*]}" = 'sleep 0' ]
    run -3 ctr task exec --exec-id e2 "$C" sh -c 'exit 3'
    run -0 ctr task metrics "$C"
    [[ $output == *memory* ]]
    run -0 ctr task pause "$C"
    run -0 ctr task ls
    [[ $output == *PAUSED* ]]
    run -0 ctr task resume "$C"
    run -0 ctr task ls
    [[ $output == *RUNNING* ]]
    run -0 ctr task ps "$C"
    [ "${#lines[@]}" = 2 ]
    run -0 ctr task kill --signal KILL "$C"
    retry 5 task_stopped
    run -0 ctr task rm "$C"
    [[ $output == *'exit code 137'* ]]
    run -0 ctr container rm "$C"
    run -0 ctr container ls --quiet
    [[ $output != *$C* ]]
}

task_stopped() {
    [[ $(ctr task ls) == *STOPPED* ]]
}

@test "containerd: ctr run --memory-limit: a process that takes more is killed, 137" {
    needs containerd cgroup
    run -137 ctr run --rm --memory-limit $((16 << 20)) base "$C" tail /dev/zero
}

# --- CRI -----------------------------------------------------------------------------

# crictl がなければ、containerd が設定を読めることだけを見る。Pod は動かさない
@test "CRI: containerd reads the lines that make a RuntimeClass of the runtime (no pod is run)" {
    needs containerd
    # 使わないことにしたプラグインの設定は、読まない
    run -0 --separate-stderr engine_inside sh -c 'cd '"$ENGINES"'/containerd &&
        sed "/\"io.containerd.grpc.v1.cri\",/d" config.toml >cri.toml && containerd --config cri.toml config dump'
    [[ $output == *'.containerd.runtimes.under-test]'*'runtime_type = "io.containerd.runc.v2"'* ]]
    [[ $output == *"BinaryName = \"$ENGINES/bin/${RUNTIME##*/}\""* ]]
}

# crictl は Debian のパッケージにないので、skip も失敗としない
@test "CRI: a pod on the host's network runs a container; exec, logs, stop" {
    needs containerd
    command -v crictl >/dev/null || skip 'needs crictl: no pod is run by the CRI'
    local pod container dir=$VOLUMES/cri
    mkdir "$dir"
    echo '{"metadata": {"name": "pod", "namespace": "default", "uid": "1", "attempt": 0},
        "log_directory": "'"$dir"'", "linux": {"security_context": {"namespace_options": {"network": 2}}}}' \
        >"$dir/pod.json"
    echo '{"metadata": {"name": "main"}, "image": {"image": "docker.io/library/base:latest"},
        "command": ["sh", "-c", "echo said; exec sleep 1000"], "log_path": "main.log"}' >"$dir/main.json"
    pod=$(engine_inside crictl runp --runtime under-test "$dir/pod.json")
    container=$(engine_inside crictl create "$pod" "$dir/main.json" "$dir/pod.json")
    run -0 engine_inside crictl start "$container"
    run -0 engine_inside crictl exec "$container" cat /proc/1/comm
    [ "$output" = sleep ]
    retry 5 grep -q said "$dir/main.log"
    run -0 engine_inside crictl stopp "$pod"
    run -0 engine_inside crictl rmp "$pod"
}

# --- make engines --------------------------------------------------------------------

# engines.sh だけの名前と場所に、何が残ったか
left_overs() {
    find /sys/fs/cgroup -maxdepth 2 -name "$ENGINES_NAME-*"
    find "$TMPDIR" -mindepth 1 -name 'engines*'
    findmnt -rno TARGET | sort
}

@test "engines.sh: says each command and what it did, names a missing engine, leaves nothing" {
    requires containerd
    export ENGINES_NAME=shown-$$ TMPDIR=$BATS_TEST_TMPDIR
    local before bin=$BATS_TEST_TMPDIR/bin
    before=$(left_overs)
    run -0 "$TOP/shared/scripts/engines.sh" containerd
    [[ $output == *$'✓ ctr run --rm base one echo hello\n    hello\n'* ]]
    [[ $output != *✗* ]]
    [ "$(left_overs)" = "$before" ]
    run -1 env RUNTIME=/bin/false "$TOP/shared/scripts/engines.sh" containerd
    [[ $output == *'✗ ctr run --rm base one echo hello'* ]]
    [ "$(left_overs)" = "$before" ]
    mkdir "$bin"
    ln -s /usr/bin/* "$bin"
    rm -f "$bin"/{podman,docker,ctr}
    run -1 --separate-stderr env PATH="$bin" "$TOP/shared/scripts/engines.sh"
    [[ ${lines[0]} == 'podman: このマシンにはありません (podman)。make setup-engines で入ります' ]]
    [ "${#lines[@]}" = 3 ]
    [ "${stderr_lines[0]}" = 'engines.sh: no engine to run' ]
    run -2 --separate-stderr "$TOP/shared/scripts/engines.sh" rkt
    [ "${stderr_lines[0]}" = 'engines.sh: unknown engine: rkt' ]
}

@test "engines.sh: Ctrl-C ends it, and leaves nothing" {
    requires containerd
    export ENGINES_NAME=stopped-$$ TMPDIR=$BATS_TEST_TMPDIR
    local before pid status=0
    before=$(left_overs)
    env --default-signal setsid "$TOP/shared/scripts/engines.sh" containerd </dev/null \
        >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- 4>&- &
    pid=$!
    retry 20 grep -q ✓ "$BATS_TEST_TMPDIR/out"
    kill -INT "-$pid"
    retry 10 is_gone "$pid"
    wait "$pid" || status=$?
    [ "$status" = 130 ]
    [ "$(left_overs)" = "$before" ]
}
