load helpers
load host/cgroups

setup() {
    requires root userns cgroup net
    NAME=${BIN##*/}
    OTHERS=()
}

# ランチャーを SIGKILL すると cgroup が残るので、TERM で終わらせる
teardown() {
    local pid
    for pid in $LAUNCHER $LISTENER "${OTHERS[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    remove_private_cgroups
    remove_orphan
    ip rule del table 4711 2>/dev/null || true
    ip route flush table 4711 2>/dev/null || true
    ip addr del 10.0.3.7/32 dev lo 2>/dev/null || true
    ip addr del 10.0.0.2/32 dev lo 2>/dev/null || true
    ip link del veth-host 2>/dev/null || true
    ip route flush root 10.0.0.0/8 2>/dev/null || true
    ip netns del far 2>/dev/null || true
}

end_container() {
    kill -TERM "$LAUNCHER"
    wait "$LAUNCHER" 2>/dev/null || true
    LAUNCHER=
}

# 自分から終わるコンテナを待つ。ランチャーの終了ステータスを返す
wait_container() {
    local pid=$LAUNCHER
    LAUNCHER=
    wait "$pid"
}

# 今のコンテナはそのままにして、もう 1 つ始められるようにする
set_aside() {
    OTHERS+=("$LAUNCHER")
    LAUNCHER=
}

# --- 制限 ----------------------------------------------------------------------

# すべての制限: CPU の quota と周期 [us]、メモリーとスワップ [バイト]、プロセス数
limits() {
    local cpu memory
    cpu=$(group_of cpu)
    memory=$(group_of memory)
    if is_v2 cpu; then
        cat "$cpu/cpu.max"
    else
        cat "$cpu/cpu.cfs_quota_us" "$cpu/cpu.cfs_period_us"
    fi
    if is_v2 memory; then
        cat "$memory/memory.max" "$memory/memory.swap.max"
    else
        # v1 の memsw は、メモリーとスワップの合計
        cat "$memory/memory.limit_in_bytes"
        echo $(($(cat "$memory/memory.memsw.limit_in_bytes") - $(cat "$memory/memory.limit_in_bytes")))
    fi
    cat "$(group_of pids)/pids.max"
}

# limits の出力を 1 行にしたもの
limits_are() {
    [ "$(limits | xargs)" = "$*" ]
}

oom_kills() {
    local file=memory.oom_control
    ! is_v2 memory || file=memory.events
    awk '$1 == "oom_kill" { print $2 }' "$(group_of memory)/$file"
}

# 要件: デフォルトの上限は、CPU 20 %、メモリー 50 MB、スワップなし、64 プロセス
# 手で: sudo my/step09 run sleep 100
# 手で 2: sudo grep -r . /sys/fs/cgroup --include='*.max' | grep 'steps/[0-9]'  # v1 では memory.limit_in_bytes など
# 手引き: 動かす
# 項目: create_cgroups groups limit_cpu limit_memory limit_pids main
# bats test_tags=to09
@test "the default limits: 20 ms of CPU in 100 ms, 50 MB, no swap, 64 processes" {
    start_container sleep 100
    limits_are 20000 100000 52428800 0 64
}

# 要件: --cpus、--memory、--pids で、上限が変わる
# 手で: sudo my/step09 run --memory 80M --pids 20 sleep 100
# 手で 2: sudo grep -r . /sys/fs/cgroup --include='*.max' | grep 'steps/[0-9]'  # 83886080 と 20
# 手引き: 動かす
# 項目: limit_cpu limit_memory limit_pids groups
@test "--cpus, --memory and --pids set the limits" {
    start_container --cpus 0.5 --memory 80M --pids 20 sleep 100
    limits_are 50000 100000 83886080 0 20
    end_container
    start_container --cpus 1 --memory 8388608 --pids 1 sleep 100
    limits_are 100000 100000 8388608 0 1
    end_container
    start_container --cpus 0.01 --memory 4096k sleep 100
    limits_are 1000 100000 4194304 0 64
}

# 要件: 生まれてすぐのプロセスも、コンテナの cgroup に入っている
# 手で: sudo my/step09 run sh -c 'sleep 100 & sleep 100'
# 手で 2: cat /proc/$(pgrep -fxn 'sleep 100')/cgroup
# 手引き: なぜ?
# 項目: join_cgroups create_cgroups main child
@test "a process that is born at once is in the container's groups as well" {
    start_container sh -c 'sleep 100 & sleep 100 & wait'
    for name in cpu memory pids; do
        [[ $(group_of $name) == */container-steps/* ]]
        # shellcheck disable=SC2016 # eval が展開する
        retry 5 eval '[ "$(wc -l <"$(group_of $name)/cgroup.procs")" = 3 ]'
        grep -qx "$CONTAINER" "$(group_of $name)/cgroup.procs"
    done
}

# --- メモリー ------------------------------------------------------------------

# 要件: memhog は 50 MB 近くで終わらされ、終了ステータスは 137
# 手で: sudo my/step09 run /demo/memhog; echo $?  # 137
# 手引き: メモリーの実験
# 項目: limit_memory create_cgroups
@test "memhog takes nearly 50 MB, then it is killed: status 137" {
    run -137 "$BIN" run /demo/memhog 200 0
    [[ ${lines[-1]} =~ ^"memhog: "([0-9]+)" MB"$ ]]
    ((BASH_REMATCH[1] >= 40 && BASH_REMATCH[1] <= 50))
}

# 要件: --memory 16M なら、memhog は 16 MB に届かない
# 手で: sudo my/step09 run --memory 16M /demo/memhog; echo $?
# 手引き: メモリーの実験
# 項目: limit_memory
@test "--memory 16M: memhog gets less than 16 MB; with --memory 64M it gets 55" {
    run -137 "$BIN" run --memory 16M /demo/memhog 200 0
    [[ ${lines[-1]} =~ ^"memhog: "([0-9]+)" MB"$ ]]
    ((BASH_REMATCH[1] >= 10 && BASH_REMATCH[1] <= 16))
    run -0 "$BIN" run --memory 64M /demo/memhog 55 0
    [ "${lines[-1]}" = "memhog: 55 MB" ]
}

# 要件: memhog が終わらされても、シェルは残る
# 手で: sudo my/step09 run sh -c '/demo/memhog; echo $?'  # 137
# 手引き: メモリーの実験
# 項目: limit_memory
@test "the shell survives memhog and sees 137; the group counts oom_kill 1" {
    start_container sh -c '/demo/memhog 200 0 >/dev/null; echo $?; exec sleep 100' \
        >"$BATS_TEST_TMPDIR/out" 2>&1
    [ "$(oom_kills)" = 0 ] || [ "$(oom_kills)" = 1 ]
    retry 20 grep -q '^[0-9]' "$BATS_TEST_TMPDIR/out"
    [ "$(tail -n 1 "$BATS_TEST_TMPDIR/out")" = 137 ]
    [ "$(oom_kills)" = 1 ]
}

# --- プロセスの数と cpuset -----------------------------------------------------

# 要件: プロセスは 64 個まで。増やし続けても、EAGAIN で止まる
# 手で: sudo my/step09 run --pids 20 /demo/forkbomb
# 手引き: 動かす
# 項目: limit_pids create_cgroups
@test "a fork bomb gets EAGAIN: 63 children by default, 19 with --pids 20" {
    run -0 "$BIN" run /demo/forkbomb 200
    [ "$output" = "forkbomb: 63 children, then fork: Resource temporarily unavailable" ]
    run -0 "$BIN" run --pids 20 /demo/forkbomb 200
    [ "$output" = "forkbomb: 19 children, then fork: Resource temporarily unavailable" ]
}

# 要件: --cpuset の CPU だけを使い、taskset でも変えられない
# 手で: sudo my/step09 run --cpuset 0 grep Cpus_allowed_list /proc/self/status  # 0
# 手引き: 動いているシェルを、1 つの CPU に移す
# 項目: limit_cpuset groups
@test "with --cpuset the process may use that CPU only, and taskset cannot change it" {
    requires cpus2
    list=$(taskset -cp $$)
    first=${list##* }
    first=${first%%[-,]*}
    other=${list##*[-, ]}
    start_container --cpuset "$first" sleep 100
    grep -qx "Cpus_allowed_list:.$first" "/proc/$CONTAINER/status"
    [ "$(cat "$(group_of cpuset)/cpuset.cpus")" = "$first" ]
    end_container
    run -0 "$BIN" run --cpuset "$first,$other" taskset "$(printf %x $((1 << other)))" true
    run ! "$BIN" run --cpuset "$first" taskset "$(printf %x $((1 << other)))" true
    [[ $output == *"Invalid argument"* ]]
}

# --- cgroup 名前空間 -----------------------------------------------------------

# 要件: コンテナ内の cgroup は、どれも /
# 手で: sudo my/step09 run cat /proc/self/cgroup
# 手引き: cgroup 名前空間だけを分ける
# 項目: join_cgroups child
@test "inside, every cgroup is /; outside, the same process is deep below" {
    start_container sh -c 'cat /proc/self/cgroup; exec sleep 100' >"$BATS_TEST_TMPDIR/inner"
    retry 5 test -s "$BATS_TEST_TMPDIR/inner"
    run ! grep -v ':/$' "$BATS_TEST_TMPDIR/inner"
    for name in cpu memory pids; do
        [[ $(group_of "$name") == *"/container-steps/"* ]]
    done
    [ "$(readlink "/proc/$CONTAINER/ns/cgroup")" != "$(readlink /proc/self/ns/cgroup)" ]
}

# 要件: コンテナ内から、上限を外せない
# 手で: sudo my/step09 run ls /sys/fs/cgroup  # 空
# 手引き: なぜ?
# 項目: create_cgroups join_cgroups
@test "the limits cannot be lifted from inside: no file to write to, no cgroup mount" {
    start_container sh -c 'mount -t cgroup -o memory none /mnt
        mount -t cgroup2 none /mnt
        find / -xdev -name "memory*" ! -path "/proc/*"
        find /sys/fs/cgroup -mindepth 1
        echo refused; exec sleep 100' >"$BATS_TEST_TMPDIR/out" 2>&1
    retry 10 grep -qx refused "$BATS_TEST_TMPDIR/out"
    run -0 cat "$BATS_TEST_TMPDIR/out"
    [ "${#lines[@]}" = 3 ]
    run ! grep -v -e denied -e 'not permitted' -e refused <<<"$output"
    limits_are 20000 100000 52428800 0 64
}

# 要件: CAP_SYS_ADMIN があっても、上限は見えるだけで変えられない
# 手で: sudo my/step09 run --cap-add SYS_ADMIN sh -c 'mount -t cgroup2 none /mnt && echo max >/mnt/pids.max'
# 手引き: なぜ?
# 項目: create_cgroups
@test "even with CAP_SYS_ADMIN, the attendee's root may look at the limits but not change them" {
    export SUDO_UID=4711 SUDO_GID=4712
    file=memory.limit_in_bytes
    ! is_v2 memory || file=memory.max
    run ! "$(user_bin)" run --cap-add SYS_ADMIN sh -c "mkdir -p /dev/shm/group && {
        mount -t cgroup -o memory none /dev/shm/group || mount -t cgroup2 none /dev/shm/group
        } 2>/dev/null && cd /dev/shm/group && cat $file && echo 100000000 >$file"
    [ "${lines[0]}" = 52428800 ]
    [[ ${lines[1]} == *"ermission denied"* ]]
}

# 要件: --no-cgroup なら、cgroup はそのままで、veth だけを作る
# 手で: sudo my/step09 run --no-cgroup ip addr
# 手引き: うまくいかないとき
# 項目: main
@test "--no-cgroup leaves the process where the launcher is, and still makes the link" {
    start_container --no-cgroup sleep 100
    [ "$(cat "/proc/$CONTAINER/cgroup")" = "$(cat "/proc/$LAUNCHER/cgroup")" ]
    ip link show veth-host
}

# --- ネットワーク --------------------------------------------------------------

# /proc/net/tcp で、このポートが待ち受け中 (0A) になるまで待つ: listening DIR 8080
listening() {
    retry 5 grep -qE "$(printf ':%04X 0*:0000 0A ' "$2")" "$1/net/tcp" "$1/net/tcp6"
}

# up にしてから、カーネルがそう表示するまでには、少し間がある
both_ends_are_up() {
    ip -br link show veth-host | grep -q ' UP ' &&
        nsenter --target "$CONTAINER" --net ip -br link show veth-child | grep -q ' UP '
}

# 要件: veth-host は 10.0.0.1/24、veth-child は 10.0.0.2/24、lo は UP
# 手で: sudo my/step09 run sh -c 'ip addr; sleep 100'
# 手で 2: ip addr show veth-host
# 手引き: 動かす
# 項目: create_veth configure_network main child
@test "veth-host has 10.0.0.1/24 outside, veth-child has 10.0.0.2/24 inside, lo is up" {
    start_container sleep 100
    retry 5 both_ends_are_up
    run -0 ip -br addr show veth-host
    [[ $output =~ ^"veth-host@"[^\ ]+\ +UP\ +"10.0.0.1/24 "$ ]]
    run -0 nsenter --target "$CONTAINER" --net ip -br addr
    [ "${#lines[@]}" = 2 ]
    [[ ${lines[0]} =~ ^"lo "\ *[^\ ]+\ +"127.0.0.1/8 " ]]
    [[ ${lines[1]} =~ ^"veth-child@"[^\ ]+\ +UP\ +"10.0.0.2/24 " ]]
    nsenter --target "$CONTAINER" --net ip -br link show lo up | grep -q lo
}

# 要件: 動いているあいだは cgroup とリンクがあり、終わればすぐに消える
# 手で: sudo my/step09 run true; find /sys/fs/cgroup -name container-steps; ip -brief link  # 何も残らない
# 手引き: ほかの行を消すと
# 項目: clean_up create_cgroups create_veth
@test "link and groups are there while it runs, and gone as soon as the launcher has exited" {
    private_cgroups
    for try in 1 2 3; do
        start_container sleep 100
        ip link show veth-host
        grep -qx "$CONTAINER" "$(group_of cpu)/cgroup.procs"
        [[ $(private_dirs) == *"$(group_of memory)"* ]]
        end_container
        run ! ip link show veth-host
        no_private_dirs
    done
    # 短いものでも、次はまた 10.0.0.2 になる
    for try in 1 2 3; do
        run -0 inside 'ip -o -4 addr show veth-child'
        [[ $output == *" 10.0.0.2/24 "* ]]
        run ! ip link show veth-host
        no_private_dirs
    done
}

# 要件: ホストから、コンテナのサーバーに TCP で届く
# 手で: sudo my/step09 run nc -l -p 80
# 手で 2: echo hello | nc -N 10.0.0.2 80
# 手引き: 一言送り合う
# 項目: create_veth configure_network
@test "TCP from the host reaches a server inside" {
    start_container nc -l -p 8080 >"$BATS_TEST_TMPDIR/received"
    listening "/proc/$CONTAINER" 8080
    echo "from the host" >/dev/tcp/10.0.0.2/8080
    wait_container
    [ "$(cat "$BATS_TEST_TMPDIR/received")" = "from the host" ]
}

# 要件: コンテナから、ホストのサーバーに TCP で届く
# 手で: nc -l 8080
# 手で 2: sudo my/step09 run sh -c 'echo hello | nc 10.0.0.1 8080'
# 手引き: 一言送り合う
# 項目: create_veth configure_network
@test "TCP from inside reaches a server on the host" {
    # 終わりのない stdin にする。EOF だと nc が送信側を閉じ、コンテナ内の nc は送る前に終わる
    mkfifo "$BATS_TEST_TMPDIR/silence"
    busybox nc -l -p 8081 <>"$BATS_TEST_TMPDIR/silence" >"$BATS_TEST_TMPDIR/received" 3>&- 4>&- &
    LISTENER=$!
    listening /proc/self 8081
    run -0 inside 'echo from the inside | nc -w 5 10.0.0.1 8081'
    wait "$LISTENER"
    LISTENER=
    [ "$(cat "$BATS_TEST_TMPDIR/received")" = "from the inside" ]
}

# 要件: ping が、どちらの向きにも通る
# 手で: sudo my/step09 run --cap-add NET_RAW ping -c 1 10.0.0.1
# 手引き: veth でつなぐ
# 項目: create_veth configure_network
@test "ping works both ways, inside with --cap-add NET_RAW" {
    run -0 "$BIN" run --cap-add NET_RAW ping -c 1 -W 2 10.0.0.1
    start_container sleep 100
    busybox ping -c 1 -W 2 10.0.0.2
}

# 要件: 届くのは自分のサブネットだけ。経路のないホストには届かない
# 手で: sudo my/step09 run ip route  # 10.0.0.0/24 の 1 行
# 手引き: veth でつなぐ
# 項目: configure_network create_veth
@test "a host without any route to it is not reached: only the own subnet is" {
    run -0 inside 'ip route'
    [[ $output == "10.0.0.0/24 dev veth-child "* ]]
    [ "${#lines[@]}" = 1 ]
}

# 要件: --no-veth なら lo だけになり、上限は残る
# 手で: sudo my/step09 run --no-veth ip addr  # lo だけ
# 手引き: うまくいかないとき
# 項目: main
@test "--no-veth gives the container nothing but lo, and still limits it" {
    start_container --no-veth sleep 100
    run -0 nsenter --target "$CONTAINER" --net ip -br link
    [[ $output == "lo "* && ${#lines[@]} = 1 ]]
    run ! ip link show veth-host
    limits_are 20000 100000 52428800 0 64
}

# 要件: 同時に始めた 2 つ目は 10.0.1.2 になり、どちらもホストと話せる
# 手で: sudo my/step09 run sleep 100
# 手で 2: sudo my/step09 run ip addr  # 10.0.1.2
# 手引き: なぜ?
# 項目: create_veth
@test "a second container at the same time gets 10.0.1.2, and both talk to the host" {
    start_container nc -l -p 8080 >"$BATS_TEST_TMPDIR/first"
    first=$CONTAINER
    set_aside
    start_container nc -l -p 8080 >"$BATS_TEST_TMPDIR/second"
    ip -br addr show veth-host | grep -q ' 10.0.0.1/24 '
    ip -br addr show veth-host1 | grep -q ' 10.0.1.1/24 '
    nsenter --target "$first" --net ip -br addr show veth-child | grep -q ' 10.0.0.2/24 '
    nsenter --target "$CONTAINER" --net ip -br addr show veth-child | grep -q ' 10.0.1.2/24 '
    nsenter --target "$first" --net busybox ping -c 1 -W 2 10.0.0.1
    nsenter --target "$CONTAINER" --net busybox ping -c 1 -W 2 10.0.1.1
    listening "/proc/$first" 8080
    listening "/proc/$CONTAINER" 8080
    echo one >/dev/tcp/10.0.0.2/8080
    echo two >/dev/tcp/10.0.1.2/8080
    wait_container
    wait "${OTHERS[0]}"
    [ "$(cat "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/second")" = $'one\ntwo' ]
}

# 要件: 他人の veth-host には触れず、次のサブネットを使う
# 手で: sudo ip link add veth-host type veth peer name foreign; sudo my/step09 run ip -4 addr show veth-child; sudo ip link del veth-host  # 10.0.1.2
# 手引き: なぜ?
# 項目: create_veth
@test "a link of somebody else's called veth-host is kept; the container takes the next subnet" {
    ip link add veth-host type veth peer name foreign
    index=$(cat /sys/class/net/veth-host/ifindex 2>/dev/null || ip -o link show veth-host | cut -d: -f1)
    start_container sleep 100
    ip -br addr show veth-host1 | grep -q ' 10.0.1.1/24 '
    nsenter --target "$CONTAINER" --net busybox ping -c 1 -W 2 10.0.1.1
    end_container
    run ! ip link show veth-host1
    [ "$(ip -o link show veth-host | cut -d: -f1)" = "$index" ]
    run -0 ip -br addr show veth-host
    [[ $output != *10.0.0.1* ]]
}

# 要件: ホストの経路にあるサブネットは使わない
# 手で: sudo ip route add 10.0.0.0/24 dev lo; sudo my/step09 run ip -4 addr show veth-child; sudo ip route del 10.0.0.0/24 dev lo  # 10.0.1.2
# 手引き: なぜ?
# 項目: create_veth
@test "a subnet that the host already routes is skipped" {
    ip route add 10.0.0.0/24 dev lo
    ip route add 10.0.1.7/32 dev lo
    start_container sleep 100
    ip -br addr show veth-host2 | grep -q ' 10.0.2.1/24 '
    nsenter --target "$CONTAINER" --net busybox ping -c 1 -W 2 10.0.2.1
    end_container
    [ "$(ip route | sort | xargs)" = "10.0.0.0/24 dev lo scope link 10.0.1.7 dev lo scope link" ]
}

# アドレスだけのホストでは、main の表に経路がない。守る行: RT_TABLE_LOCAL
# 要件: ホストが自分のアドレスに使うサブネットは使わない
# 手で: sudo ip addr add 10.0.0.2/32 dev lo; sudo my/step09 run ip -4 addr show veth-child; sudo ip addr del 10.0.0.2/32 dev lo  # 10.0.1.2
# 手引き: なぜ?
# 項目: create_veth
@test "a subnet with an address of the host's own is skipped, though nothing routes it" {
    ip addr add 10.0.0.2/32 dev lo
    ip route add 10.0.1.0/24 dev lo
    ip route add 10.0.2.0/24 dev lo
    ip addr add 10.0.3.7/32 dev lo
    [[ $(ip route) != *10.0.3.7* ]]
    start_container sleep 100
    ip -br addr show veth-host4 | grep -q ' 10.0.4.1/24 '
    nsenter --target "$CONTAINER" --net busybox ping -c 1 -W 2 10.0.4.1
    end_container
    [ "$(ip -br addr show lo | xargs -n 1 | grep -c '^10\.0\.')" = 2 ]
}

# どの表を使うかは、ip rule を書いた人が決める。約束するのは main と local だけ
# 要件: 別の経路表の経路は、そのまま残す
# 手で: sudo ip route add 10.0.0.0/24 dev lo table 4711; sudo my/step09 run ip -4 addr show veth-child; sudo ip route flush table 4711  # 10.0.0.2
# 手引き: なぜ?
# 項目: create_veth
@test "a route in another table does not take a subnet, and stays" {
    ip rule add to 10.0.0.0/24 table 4711 priority 40000
    ip route add 10.0.0.0/24 dev lo table 4711
    start_container sleep 100
    ip -br addr show veth-host | grep -q ' 10.0.0.1/24 '
    nsenter --target "$CONTAINER" --net busybox ping -c 1 -W 2 10.0.0.1
    end_container
    [ "$(ip route show table 4711 | xargs)" = "10.0.0.0/24 dev lo scope link" ]
}

# ホストの外にいる相手。デフォルトの経路で届く。名前空間 far の中で、TCP で待つ:
# start_far ADDRESS/PORT...
start_far() {
    local target
    ip netns add far
    ip link add uplink type veth peer name uplink netns far
    ip addr add 192.0.2.2/24 dev uplink
    ip link set uplink up
    ip route add default via 192.0.2.1
    ip -n far addr add 192.0.2.1/24 dev uplink
    ip -n far link set uplink up
    ip -n far link set lo up
    mkfifo "$BATS_TEST_TMPDIR/silence" # 終わりのない stdin
    for target; do
        ip -n far addr add "${target%/*}" dev lo
        ip netns exec far busybox nc -l -p "${target#*/}" \
            <>"$BATS_TEST_TMPDIR/silence" 3>&- 4>&- &
        OTHERS+=($!)
        retry 5 far_listens "${target#*/}"
    done
}

far_listens() {
    ip netns exec far ss -Htnl | grep -q ":$1 "
}

# 要件: デフォルト経路の先の相手のサブネットは使わない
# 手で: sudo my/step09 run ip addr show veth-child
# 手引き: なぜ?
# 項目: create_veth
@test "a subnet of a peer that only the default route leads to is skipped: TCP, UDP, IPv6 sockets" {
    start_far 10.0.0.5/7 10.0.2.6/8
    exec {tcp}<>/dev/tcp/10.0.0.5/7 {udp}<>/dev/udp/10.0.1.6/7
    exec {mapped_tcp}<>/dev/tcp/::ffff:10.0.2.6/8 {mapped_udp}<>/dev/udp/::ffff:10.0.3.7/7
    start_container sleep 100
    ip -br addr show veth-host4 | grep -q ' 10.0.4.1/24 '
    [[ $(ip route get 10.0.0.5) == *" via 192.0.2.1 "* ]]
    end_container
    # 接続がなくなれば、また使う
    exec {tcp}>&- {udp}>&- {mapped_tcp}>&- {mapped_udp}>&-
    retry 5 next_is_first
}

next_is_first() {
    inside 'ip -o -4 addr show veth-child' | grep -q ' 10.0.0.2/24 '
}

# 守る行: mark_peer() の (peer ^ own) >> 8
# 要件: 終わったコンテナの接続が残っていても、サブネットを使える
# 手で: sudo my/step09 run ip addr show veth-child  # いつも 10.0.0.2
# 手引き: なぜ?
# 項目: create_veth clean_up
@test "a connection that outlives its own container does not take the subnet" {
    start_container nc -l -p 8080
    listening "/proc/$CONTAINER" 8080
    exec {tcp}<>/dev/tcp/10.0.0.2/8080
    end_container
    ss -Htn state connected | grep -q ' 10.0.0.2:8080'
    run -0 inside 'ip -o -4 addr show veth-child'
    [[ $output == *" 10.0.0.2/24 "* ]]
    exec {tcp}>&-
}

# 要件なし: 256 のサブネットをすべて使うので、時間がかかる
@test "with all 256 subnets taken, the start is refused with a hint; one that is freed is used" {
    requires strace
    private_cgroups
    # 半分は名前、半分は経路
    {
        for n in {1..127}; do echo "link add veth-host$n type veth peer name other$n"; done
        echo "link add veth-host type veth peer name other0"
        for n in {128..255}; do echo "route add 10.0.$n.0/24 dev lo"; done
    } | ip -batch -
    links=$(ip -br link)
    run -125 within 30 "$BIN" run true
    [ "${lines[0]}" = "$NAME: netlink route 10.0.0.0/16: File exists" ]
    [[ ${lines[1]} == "  ヒント: "* ]]
    no_private_dirs
    [ "$links" = "$(ip -br link)" ]
    # ほかで作られたリンクが消えるのを待たない
    run -125 strace -qq -f -e signal=none -e trace=nanosleep,clock_nanosleep \
        -o "$BATS_TEST_TMPDIR/trace" "$BIN" run --no-cgroup true
    [ ! -s "$BATS_TEST_TMPDIR/trace" ]

    ip route del 10.0.200.0/24
    run -0 inside 'ip -o -4 addr show veth-child'
    [[ $output == *" 10.0.200.2/24 "* ]]
    ip link del veth-host77
    run -0 inside 'ip -o -4 addr show veth-child'
    [[ $output == *" 10.0.77.2/24 "* ]]
    for n in {0..127}; do echo "link del other$n"; done | ip -force -batch - 2>/dev/null || true
}

# 10.0.0.0/8 も 0.0.0.0/1 も、VPN のクライアントが足すもの
# 要件: 10.0.0.0/8 がすべて使われていれば断り、何も残さない
# 手で: sudo ip route add 10.0.0.0/8 dev lo; sudo my/step09 run true; echo $?; sudo ip route del 10.0.0.0/8
# 手引き: うまくいかないとき
# 項目: create_veth clean_up
@test "when the host routes all of 10.0.0.0/8, the start is refused with a hint, nothing is left" {
    private_cgroups
    links=$(ip -br link)
    for range in 10.0.0.0/8 0.0.0.0/1; do
        ip route add "$range" dev lo
        run -125 within 30 "$BIN" run true
        [ "${lines[0]}" = "$NAME: netlink route 10.0.0.0/16: File exists" ]
        [[ ${lines[1]} == "  ヒント: "* && $output == *"$range"*"ip route"*--no-veth* ]]
        no_private_dirs
        [ "$links" = "$(ip -br link)" ]
        ip route del "$range" dev lo
    done
    ip route add 10.0.0.0/8 dev lo
    run -0 "$BIN" run --no-veth true
    no_private_dirs
}

# --- 後始末 --------------------------------------------------------------------

# netlink のソケットは、閉じてからも 20 ms ほど名前空間をつかみ、全体の時間がその分延びる。
# 3 列目は、開いた人の番号。0 はカーネル
# 要件: コンテナのネットワークに、netlink のソケットが残っていない
# 手で: sudo my/step09 run cat /proc/net/netlink  # Pid の列はどれも 0
# 手引き: なぜ?
# 項目: configure_network create_veth
@test "nobody but the kernel has a netlink socket in the container's network" {
    start_container sleep 100
    nsenter --target "$CONTAINER" --net ip link show veth-child
    [ "$(tail -n +2 "/proc/$CONTAINER/net/netlink" | tr -s ' ' | cut -d' ' -f3 | sort -u)" = 0 ]
}

# 要件なし: netlink の応答を待つので、時間がかかる
@test "a link whose namespace somebody else holds stays, and the launcher says which and why" {
    start_container sleep 100 2>"$BATS_TEST_TMPDIR/err"
    nsenter --target "$CONTAINER" --net sleep 100 3>&- 4>&- &
    OTHERS+=($!)
    retry 5 test "/proc/$!/ns/net" -ef "/proc/$CONTAINER/ns/net"
    end_container
    mapfile -t lines <"$BATS_TEST_TMPDIR/err"
    [ "${lines[0]}" = "$NAME: link veth-host: Device or resource busy" ]
    [[ ${lines[1]} == "  ヒント: "* && ${lines[*]} == *lsns*nsenter*"ip link delete veth-host" ]]
    ip link show veth-host
    kill "${OTHERS[-1]}"
    retry 5 eval '! ip link show veth-host'
}

# 要件: 名前を取った他人のリンクは、消さずに残す
# 手で: sudo my/step09 run sleep 5
# 手で 2: sudo ip link del veth-host; sudo ip link add veth-host type veth peer name foreign; sleep 6; ip -brief link show veth-host; sudo ip link del veth-host
# 手引き: なぜ?
# 項目: clean_up
@test "somebody else's link that has taken the name is neither waited for nor spoken of" {
    start_container sleep 100 2>"$BATS_TEST_TMPDIR/err"
    ip link del veth-host
    ip link add veth-host type veth peer name foreign
    end_container
    [ "$(cat "$BATS_TEST_TMPDIR/err")" = "" ]
    ip link show veth-host
}

# 要件: ランチャーを SIGKILL すると、リンクは 2 秒で消え、cgroup は次に始めたときに消える
# 手で: sudo my/step09 run sleep 100
# 手で 2: sudo pkill -KILL -f '^my/step09'; sleep 2; ip -brief link; make cleanup
# 手引き: なぜ?
# 項目: create_cgroups clean_up
@test "after SIGKILL of the launcher: processes and link within 2 s, groups with the next run" {
    private_cgroups
    start_container sh -c 'sleep 100 & setsid sleep 100 & exec sleep 100'
    pids=$(cat "$(group_of pids)/cgroup.procs")
    ip link show veth-host
    kill -KILL "$LAUNCHER"
    wait_container || true
    for pid in $pids; do
        promised 2 is_gone "$pid"
    done
    promised 2 eval '! ip link show veth-host'
    run -0 inside 'ip -o -4 addr show veth-child'
    [[ $output == *" 10.0.0.2/24 "* ]]
    no_private_dirs
}

# 割り当てを使い切って止められていても、すぐに終わる
# 要件: 次に始めたものが、置き去りのコンテナを終わらせる
# 手で: make cleanup
# 手引き: なぜ?
# 項目: create_cgroups
@test "the next run ends a container that gave up its death signal, and outlived its launcher" {
    private_cgroups
    requires gcc
    start_orphan --cpus 0.01
    run -0 "$BIN" run --no-veth true
    promised 2 is_gone "$CONTAINER"
    no_private_dirs
    promised 2 eval '! ip link show veth-host'
}

# 要件: 次に始めたものは、動いているコンテナの cgroup に触れない
# 手で: sudo my/step09 run sleep 100
# 手で 2: sudo my/step09 run true; pgrep -a sleep  # まだ動いている
# 手引き: なぜ?
# 項目: create_cgroups
@test "the next run does not touch the groups of a container that is still running" {
    private_cgroups
    start_container sleep 100
    dirs=$(private_dirs)
    [ -n "$dirs" ]
    run -0 inside true
    [ "$dirs" = "$(private_dirs)" ]
    limits_are 20000 100000 52428800 0 64
}

# 要件: 他人の container-steps なら、パスを示して断り、残す
# 手で: sudo find /sys/fs/cgroup -name container-steps
# 手引き: うまくいかないとき
# 項目: create_cgroups
@test "a directory of somebody else's called container-steps: refused with its path, kept" {
    private_cgroups
    mkdir "${POINTS[@]/%//container-steps}"
    before=$(find "${POINTS[@]}" -mindepth 1 -type d -printf '%p %i %m\n')
    run -125 within 30 "$BIN" run true
    [[ ${lines[0]} =~ ^"$NAME: mkdir ".*"/container-steps: File exists"$ ]]
    [ "$before" = "$(find "${POINTS[@]}" -mindepth 1 -type d -printf '%p %i %m\n')" ]
    run ! ip link show veth-host
}

# 要件: 同じ名前の他人の cgroup は、使わず、消さない
# 手で: sudo find /sys/fs/cgroup -path '*container-steps/*' -type d
# 手引き: なぜ?
# 項目: create_cgroups
@test "a group of somebody else's with the very name is neither used nor removed" {
    private_cgroups
    start_container sleep 100
    # 次の PID のどれかと必ず重なるように、たくさん作る。目印は付けない
    next=$CONTAINER
    own=$(group_of memory)
    for point in "${POINTS[@]}"; do
        [ -d "$point/container-steps" ] || continue
        seq -f "$point/container-steps/%.0f" $((next + 1)) $((next + 100)) | xargs mkdir
    done
    foreign=$(private_dirs | grep -v "/${own##*/}\$" | sort)
    end_container
    start_container sleep 100
    ((LAUNCHER > next && CONTAINER < next + 100))
    limits_are 20000 100000 52428800 0 64
    run ! grep -qxF "$(group_of memory)" <<<"$foreign"
    # shellcheck disable=SC2046 # 1 行に 1 つのディレクトリ
    run cat $(sed 's/.*[0-9]$/&\/cgroup.procs/;t;d' <<<"$foreign")
    [ "$status" = 0 ] && [ "$output" = "" ]
    end_container
    [ "$(private_dirs | sort)" = "$foreign" ]
}

# 要件: カーネルが上限を断れば、cgroup を残さずに終わる
# 手で: sudo my/step09 run --cpuset 9999 true; echo $?; find /sys/fs/cgroup -name container-steps
# 手引き: うまくいかないとき
# 項目: create_cgroups clean_up limit_cpuset
@test "a limit that the kernel refuses leaves no group behind" {
    private_cgroups
    # 上の cgroup にない CPU は、カーネルが断る
    requires cpus2
    list=$(taskset -cp $$)
    first=${list##* }
    first=${first%%[-,]*}
    for point in "${POINTS[@]}"; do
        [ ! -e "$point/cpuset.cpus" ] || echo "$first" >"$point/cpuset.cpus"
    done
    ! is_v2 cpuset || skip "v2 ignores CPUs that the parent does not have"
    run -125 within 30 "$BIN" run --cpuset "${list##*[-, ]}" true
    [[ ${lines[0]} == *"/cpuset.cpus: Permission denied" ]]
    no_private_dirs
}

# --- CPU -----------------------------------------------------------------------

# コンテナのスレッドが動いた時間 [us]。proc_pid_schedstat(5)
cpu_time() {
    cat /proc/"$CONTAINER"/task/*/schedstat | awk '{ sum += $1 } END { printf "%d", sum / 1000 }'
}

# マシンが混んでいても順番が来るように、重みを一番大きくする。割り当ては変わらない
prefer_container() {
    local point dir
    point=$(top_of cpu)
    for dir in "$point" "$point/container-steps" "$(group_of cpu)"; do
        if is_v2 cpu; then
            echo 10000 >"$dir/cpu.weight"
        else
            echo 262144 >"$dir/cpu.shares"
        fi
    done
}

# 1.2 秒のあいだに使った CPU が、SHARE % の 25 % 以内か。少なすぎれば、3 回まで測る
uses_about() {
    local share=$1 try used start percent
    for try in 1 2 3; do
        used=$(cpu_time)
        start=${EPOCHREALTIME/./}
        sleep 1.2
        used=$(($(cpu_time) - used))
        percent=$((used * 1000 / (${EPOCHREALTIME/./} - start)))
        echo "try $try: $percent/1000 of a CPU, wanted: $share/100"
        ((percent < share * 10 * 5 / 4)) || return 1
        ((percent < share * 10 * 3 / 4)) || return 0
    done
    return 1
}

# 要件: 1 つのスレッドが使えるのは、CPU の 20 %
# 手で: sudo my/step09 run /demo/cpuburn 1 1
# 手引き: CPU の実験
# 項目: limit_cpu create_cgroups
@test "one burning thread gets its 20 % of a CPU by default" {
    private_cgroups
    start_container /demo/cpuburn 1 100
    prefer_container
    uses_about 20
}

# 要件なし: CPU の半分が空いていないマシンでは、正しいものでも足りない
@test "four burning threads get 50 % together with --cpus 0.5, and are throttled" {
    private_cgroups
    start_container --cpus 0.5 /demo/cpuburn 4 100
    prefer_container
    uses_about 50
    (($(awk '$1 == "nr_throttled" { print $2 }' "$(group_of cpu)/cpu.stat") > 5))
}

# v1 の cpu の cgroup の中では、リアルタイムのポリシーのうち deadline しか許されない
# ことがある
# 要件: リアルタイムの呼び出し元から始めても、普通のスケジューリングになる
# 手で: sudo chrt -f 10 my/step09 run grep policy /proc/self/sched  # 0
# 手引き: なぜ?
# 項目: leave_real_time
@test "the command of a real-time caller is an ordinary process, and cannot become one again" {
    local real_time=(chrt --deadline --sched-runtime 1000000 --sched-period 10000000 0)
    "${real_time[@]}" true
    # RTPRIO を上げる権限のないホストでは、初めから 0
    prlimit --rtprio=5 true 2>/dev/null && prlimit --pid $$ --rtprio=5
    "${real_time[@]}" env --default-signal "$BIN" run --no-veth sleep 100 </dev/null 3>&- 4>&- &
    LAUNCHER=$!
    comes 5 find_container
    run -0 chrt --pid "$CONTAINER"
    [[ ${lines[0]} == *SCHED_OTHER ]]
    [ "$(awk '/^Max realtime priority/ { print $4, $5 }' "/proc/$CONTAINER/limits")" = "0 0" ]
    limits_are 20000 100000 52428800 0 64
    end_container
}
