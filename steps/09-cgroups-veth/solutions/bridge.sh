#!/usr/bin/env bash
# いくつかのコンテナを、1 つのブリッジでつなぐ (発展課題の答え)
#   bridge.sh up [NAME=]PID...  ブリッジを作り、PID のコンテナをつなぐ。NAME を付けると、
#                               どのコンテナからも、その名前で届く
#   bridge.sh down              作ったものを消し、ホストを元に戻す
# PID は、コンテナを始めたときに表示される、ホストから見た番号。コンテナは、別の
# 端末で sudo ./step09 run --no-veth として始めておく。nft(8) のパッケージは nftables。
#
#     コンテナ 4711              コンテナ 4712
#     eth0 10.64.0.2             eth0 10.64.0.3
#          |  veth                    |  veth
#     br-steps1 ------ br-steps ------ br-steps2
#                      10.64.0.1
#                          |  NAT
#                  ホストの eth0 など
#
# 名前解決: コンテナどうしは、NAME で届く。そのために、コンテナごとの hosts(5) を
# /etc/hosts に bind マウントする。rootfs のファイルは書き換えない。外のアドレスへは、
# ここまでで届く。外の名前を引くには、コンテナの
# /etc/resolv.conf に nameserver の行が要る。ホストの行をそのままコピーできるとは
# 限らない。127.0.0.53 (systemd-resolved) はホストの lo のアドレスで、コンテナの lo には
# 誰もいない。/run/systemd/resolve/resolv.conf にある、本当のサーバーを書く。
# docker は、これを起動のたびにしている。
#   sudo build/solutions/09-exec exec 4711 \
#       sh -c 'echo nameserver 192.0.2.53 >/etc/resolv.conf'
set -euo pipefail

BRIDGE=br-steps
TABLE=container_steps
SUBNET=10.64.0 # 10.64.0.0/24
MARK=container-steps-bridge
FORWARD=/proc/sys/net/ipv4/ip_forward
IPV6=/proc/sys/net/ipv6/conf

fail() {
    echo "bridge.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# PID のネットワーク名前空間の中で、ホストのコマンドを動かす。nsenter(1)
in_network_of() {
    nsenter --target "$1" --net "${@:2}"
}

# --- 作る前に確かめる -----------------------------------------------------------
check_container() {
    [[ $1 =~ ^[1-9][0-9]*$ && -d /proc/$1 ]] ||
        fail "no such process: '$1'" 'コンテナを始めたときに表示された PID を渡します'
    [[ ! /proc/$1/ns/net -ef /proc/self/ns/net ]] ||
        fail "process $1 is in the host's network" 'コンテナの PID を渡します'
    # /etc/hosts にマウントするので、ホストのマウント名前空間では、名前を付けられない
    [[ -z $2 || ! /proc/$1/ns/mnt -ef /proc/self/ns/mnt ]] ||
        fail "process $1 sees the host's mounts" 'コンテナの PID を渡します'
    ! in_network_of "$1" ip link show eth0 >/dev/null 2>&1 ||
        fail "container $1 already has eth0" \
            'ほかの PID を渡すか、bridge.sh down してから、もう一度つなぎます'
}

check_name() {
    [[ $1 =~ ^[a-z]([a-z0-9-]*[a-z0-9])?$ ]] ||
        fail "not a name: '$1'" '英小文字で始め、英小文字、数字、- を使います (例: web=4711)'
}

check_host() {
    ! ip link show "$BRIDGE" >/dev/null 2>&1 ||
        fail "$BRIDGE is already there" 'bridge.sh down で消してから、もう一度'
    # 同じ範囲への経路や、そこにいる相手との接続があると、どちらに届くか分からない
    [[ -z $(ip -4 route show root "$SUBNET.0/24" table all &&
        ss -Htun state established dst "$SUBNET.0/24") ]] ||
        fail "$SUBNET.0/24 is already in use" \
            'ip route show table all と ss -tun で確かめ、bridge.sh の SUBNET を変えてください'
}

# --- つなぐ ---------------------------------------------------------------------
# ブリッジは、ケーブルを何本も挿せるスイッチ。ホストも、アドレスを付ければ、そこに
# つながった 1 台になる。元の ip_forward の値は、消えるときまで別名 (alias) に書いておく
add_bridge() {
    ip link add "$BRIDGE" type bridge
    ip link set "$BRIDGE" alias "$MARK $(<"$FORWARD")"
    # コンテナの送るルーター広告 (RA) を、ホストが自分の経路にしないように、IPv6 を切る
    [[ ! -e $IPV6/$BRIDGE ]] || echo 1 >"$IPV6/$BRIDGE/disable_ipv6"
    ip addr add "$SUBNET.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    echo "$BRIDGE $SUBNET.1/24"
}

# veth の片方の端をブリッジに挿し、もう片方をコンテナの eth0 にする。ほかの
# ネットワークへのパケットは、ブリッジのアドレスに渡す (デフォルトの経路)。veth(4)
connect() {
    local pid=$1 port=$BRIDGE$2 address=$SUBNET.$(($2 + 1))/24
    ip link add "$port" type veth peer name eth0 netns "$pid"
    # down が、あとで /etc/hosts を外す
    [[ -z $3 ]] || ip link set "$port" alias "$MARK $pid"
    ip link set "$port" master "$BRIDGE" up
    in_network_of "$pid" ip addr add "$address" dev eth0
    in_network_of "$pid" ip link set eth0 up
    in_network_of "$pid" ip link set lo up
    in_network_of "$pid" ip route replace default via "$SUBNET.1"
    echo "$pid $address $port"
}

# コンテナの名前空間の中の sh だけを使う。ホストから /proc/PID/root/etc/hosts に書くと、
# コンテナが置いたシンボリックリンクをたどり、ホストのファイルを書き換えてしまうことがある。
# ファイルは、bind マウントしたあとなら、名前を消しても使える
# shellcheck disable=SC2016 # 展開するのは、コンテナの sh
ADD_HOSTS='file=/dev/shm/hosts.$$ && { cat /etc/hosts && cat; } >"$file" &&
    mount -o bind "$file" /etc/hosts && rm "$file"'

in_container() {
    nsenter --target "$1" --all "${@:2}"
}

# 外から見れば、10.64.0.2 は知らないアドレスで、返事を送れない。ホストが自分の
# アドレスに書き換えて送り、返事を元に戻す (masquerade)。nft(8)
add_nat() {
    nft -f - <<END
table ip $TABLE {
    chain postrouting {
        type nat hook postrouting priority srcnat
        ip saddr $SUBNET.0/24 oifname != "$BRIDGE" masquerade
    }
}
END
    # ほかのネットワークあてのパケットを、捨てずに転送する。ip-sysctl.rst
    echo 1 >"$FORWARD"
}

# --- 転送を捨てる規則 -----------------------------------------------------------
# Docker や ufw のあるホストでは、転送するパケットを捨てるのがデフォルトになっている
# (policy drop)。転送は、どの表も捨てないときだけ通る。捨てる表を、
# 「ファミリー 表 チェーン」の形で並べる。古い iptables の表は、nft には見えない
dropping_chains() {
    local family
    for family in ip inet; do
        nft list chains "$family" 2>/dev/null || true
    done | awk '$1 == "table" { table = $2 " " $3 }
        $1 == "chain" { chain = $2 }
        /hook forward .*policy drop/ { print table, chain }'
    ! grep -qsx filter /proc/net/ip_tables_names || ! command -v iptables-legacy >/dev/null ||
        iptables-legacy -S FORWARD | sed -n 's/^-P FORWARD DROP$/legacy filter FORWARD/p'
}

# この表には、もう通す規則があるか
is_allowed() {
    local list=(nft list table "$1" "$2")
    [[ $1 != legacy ]] || list=(iptables-legacy -S)
    "${list[@]}" 2>/dev/null | grep -iE "$BRIDGE\"? .*accept" >/dev/null
}

# 規則を足すコマンド。Docker は、DOCKER-USER を人のために空けてある。ip の filter は
# iptables(8) の表なので、あればそれを使う
allowing_commands() {
    local family=$1 table=$2 chain=$3 iptables="iptables"
    local user=(nft list chain "$family" "$table" DOCKER-USER)
    [[ $family != legacy ]] || iptables="iptables-legacy" user=(iptables-legacy -S DOCKER-USER)
    ! "${user[@]}" >/dev/null 2>&1 || chain=DOCKER-USER
    if [[ $table == filter && $family != inet ]] && command -v "$iptables" >/dev/null; then
        printf "sudo $iptables -I $chain -%s $BRIDGE -j ACCEPT\n" i o
    else
        printf "sudo nft insert rule $family $table $chain %s $BRIDGE accept\n" \
            iifname oifname
    fi
}

# ほかで作られた規則は変えずに、何をすればよいかを言う。br_netfilter があると、
# 同じブリッジのコンテナどうしのパケットも、転送の規則を通る
warn_of_drops() {
    local family table chain where=ホストの外には
    [[ $(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null) != 1 ]] ||
        where=ほかのコンテナにも、ホストの外にも
    while read -r family table chain; do
        ! is_allowed "$family" "$table" || continue
        echo "bridge.sh: packets are dropped: policy of $family $table $chain (Docker?)" >&2
        echo "  ヒント: 転送を捨てる規則があるので、${where}届きません。通すには" >&2
        allowing_commands "$family" "$table" "$chain" | sed 's/^/  ヒント: /' >&2
    done < <(dropping_chains)
}

up() {
    local argument pid number=0 hosts=""
    local -a names=() pids=()
    (($#)) || fail 'missing PID' 'bridge.sh up [NAME=]PID...'
    for argument; do
        pid=${argument#*=}
        names+=("${argument%"$pid"}")
        pids+=("$pid")
        [[ -z ${names[-1]} ]] || check_name "${names[-1]%=}"
        check_container "$pid" "${names[-1]}"
        ((++number))
        [[ -z ${names[-1]} ]] || hosts+="$SUBNET.$((number + 1)) ${names[-1]%=}"$'\n'
    done
    check_host
    trap down EXIT # 途中で失敗したら、消す
    add_bridge
    for number in "${!pids[@]}"; do
        connect "${pids[number]}" $((number + 1)) "${names[number]}"
    done
    for number in "${!pids[@]}"; do
        [[ -z ${names[number]} ]] ||
            in_container "${pids[number]}" sh -c "$ADD_HOSTS" <<<"${hosts%$'\n'}" ||
            fail "cannot mount /etc/hosts in ${pids[number]}" \
                'コンテナに /etc/hosts と /dev/shm があるか確かめてください'
    done
    add_nat
    trap - EXIT
    warn_of_drops
}

# --- 元に戻す -------------------------------------------------------------------
# まだ動いているコンテナの /etc/hosts を元に戻す。PID が別のプロセスになっていても、
# veth のもう片方がそこになければ、触らない
remove_hosts() {
    local port=$1 pid
    pid=$(ip -o link show "$port" | sed -nE "s/.*alias $MARK ([0-9]+).*/\\1/p")
    [[ -n $pid && -e /sys/class/net/$port/iflink ]] || return 0
    [[ $(in_network_of "$pid" ip -o link show eth0 2>/dev/null) == "$(<"/sys/class/net/$port/iflink"):"* ]] ||
        return 0
    in_container "$pid" umount /etc/hosts 2>/dev/null || true
}

# veth は、片方の端を消せば、もう片方も消える。コンテナが先に終わっていれば、もう
# ない。目印のないものは、名前が同じでも他人のものなので、消さない
down() {
    local port value
    value=$(ip -o link show "$BRIDGE" 2>/dev/null |
        sed -nE "s/.*alias $MARK ([01]).*/\\1/p") || true
    [[ -n $value ]] ||
        fail "no $BRIDGE that was made here" 'ip link show type bridge で確かめてください'
    nft delete table ip "$TABLE" 2>/dev/null || true
    for port in $(ip -o link show master "$BRIDGE" | sed -E 's/^[0-9]+: ([^:@]+).*/\1/'); do
        remove_hosts "$port"
        ip link delete "$port" 2>/dev/null || true
    done
    ip link delete "$BRIDGE"
    echo "$value" >"$FORWARD"
}

[[ $(id -u) == 0 ]] || fail 'must be root' 'sudo を付けて実行してください'
for tool in ip nft nsenter; do
    command -v "$tool" >/dev/null ||
        fail "$tool: command not found" 'sudo apt-get install iproute2 nftables util-linux'
done
case ${1-} in
up) up "${@:2}" ;;
down) down ;;
*) fail "unknown command: '${1-}'" 'bridge.sh up [NAME=]PID... か、bridge.sh down' ;;
esac
