#!/usr/bin/env bash
# コンテナのポートを、ホストのポートとして公開する (発展課題の答え)
#   publish.sh PID HOSTPORT:PORT...
# docker run -p HOSTPORT:PORT と同じ。PID は、コンテナを始めたときに表示される、
# ホストから見た番号。Ctrl-C か、コンテナの終わりで、作ったものを消す。veth-host でも、
# bridge.sh のブリッジでもよい。nft(8) のパッケージは nftables。
#
#     ほかのマシン --> eth0 :8080 --+
#                                   +--> 宛先を 10.0.0.2:80 に書き換える (DNAT)
#     ホスト -> 127.0.0.1:8080 -----+              |
#                                              veth-host --> コンテナ
#
# ほかのマシンから届くには、ホストが転送しなければならない (ip_forward)。この設定は
# 変えない。bridge.sh up は、これを 1 にする。
set -euo pipefail

CONF=/proc/sys/net/ipv4/conf
TABLE=container_steps_publish_

fail() {
    echo "publish.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# --- 確かめる -------------------------------------------------------------------
# コンテナのアドレスと、そこへ届くホストのデバイスを調べる
find_container() {
    [[ $pid =~ ^[1-9][0-9]*$ && -d /proc/$pid ]] ||
        fail "no such process: '$pid'" 'コンテナを始めたときに表示された PID を渡します'
    [[ ! /proc/$pid/ns/net -ef /proc/self/ns/net ]] ||
        fail "process $pid is in the host's network" 'コンテナの PID を渡します'
    address=$(nsenter --target "$pid" --net ip -4 -o addr show scope global |
        sed -nE '1s|.* inet ([0-9.]+/[0-9]+) .*|\1|p')
    [[ -n $address ]] || fail "container $pid has no address" \
        '--no-veth で始めたコンテナなら、先に bridge.sh up でつなぎます'
    network=$(nsenter --target "$pid" --net ip -4 route show scope link |
        sed -nE '1s/^([0-9.\/]+) .*/\1/p')
    # デフォルトの経路がなければ、知らないアドレスには返事を送れない
    sources="ip saddr { 127.0.0.0/8, $network }"
    [[ -n $(nsenter --target "$pid" --net ip -4 route show default) ]] || sources=""
    device=$(ip -4 -o route get "${address%/*}" | sed -nE 's/.* dev ([^ ]+) .*/\1/p')
}

is_port() {
    [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 <= 65535))
}

# 公開しているものの表。名前の終わりは、publish.sh の PID
our_tables() {
    nft list tables ip | sed -n "s/^table ip \\(${TABLE}[0-9]*\\)\$/\\1/p"
}

# 書き換えは、ホストで待ち受けるプログラムより先に効く。黙って奪わない
check_port() {
    local table host=${1%%:*}
    if [[ $1 != *:* ]] || ! is_port "$host" || ! is_port "${1#*:}"; then
        fail "not HOSTPORT:PORT: '$1'" '8080:80 のように書きます。どちらも 1 から 65535 です'
    fi
    for table in $(our_tables); do
        nft list table ip "$table"
    done | cat - <(ss -Hltn "sport = :$host" | sed "s/^/tcp dport $host /") |
        grep -w "tcp dport $host" >/dev/null || return 0
    fail "port $host is already in use" 'ss -ltn と sudo nft list ruleset で確かめてください'
}

# --- 公開する -------------------------------------------------------------------
# 表を消す。127.0.0.1 から出るパケットは、表を使うものがほかになければ、また捨てさせる。
# guard がなくなるより先に
remove() {
    local table device
    device=$(nft list table ip "$1" | sed -n 's/.*iifname "\(.*\)" ip daddr.*/\1/p')
    for table in $(our_tables); do
        [[ $table == "$1" ]] || ! nft list table ip "$table" | grep -F "iifname \"$device\"" >/dev/null ||
            device=""
    done
    [[ -z $device || ! -e $CONF/$device ]] ||
        cat "$CONF/default/route_localnet" >"$CONF/$device/route_localnet"
    nft delete table ip "$1"
}

# 突然終わった publish.sh の残りを消す
remove_stale() {
    local table
    for table in $(our_tables); do
        grep -qs publish.sh "/proc/${table#"$TABLE"}/cmdline" || remove "$table"
    done
}

# 1 つのポートの規則。自分のアドレスに来たものだけを書き換える
redirect() {
    local argument
    for argument in "${ports[@]}"; do
        echo "fib daddr type local tcp dport ${argument%%:*} dnat to ${address%/*}:${argument#*:}"
    done
}

# guard: 127.0.0.1 から出るパケットを通すと (route_localnet)、コンテナからホストの
#   127.0.0.1 あてに送ったものも届いてしまう。先に捨てる (CVE-2020-8558)
# incoming: ほかのマシンから来たもの。output: ホスト自身が送るもの
# back: 差出人が 127.0.0.1 や同じネットワークのままでは、返事がホストを通らない。
#   ホストのアドレスに書き換える
add_rules() {
    nft -f - <<END
table ip $TABLE$$ {
    chain guard {
        type filter hook prerouting priority mangle
        iifname "$device" ip daddr 127.0.0.0/8 drop
    }
    chain incoming {
        type nat hook prerouting priority dstnat
        $(redirect)
    }
    chain output {
        type nat hook output priority -100
        $(redirect)
    }
    chain back {
        type nat hook postrouting priority srcnat
        ct status dnat oifname "$device" $sources masquerade
    }
}
END
}

clean_up() {
    trap '' INT TERM HUP
    [[ -z $waiter ]] || kill "$waiter" 2>/dev/null || true
    remove "$TABLE$$"
}

[[ $(id -u) == 0 ]] || fail 'must be root' 'sudo を付けて実行してください'
for tool in ip nft nsenter ss; do
    command -v "$tool" >/dev/null ||
        fail "$tool: command not found" 'sudo apt-get install iproute2 nftables util-linux'
done
(($# >= 2)) || fail 'missing PID or HOSTPORT:PORT' 'publish.sh PID HOSTPORT:PORT...'
pid=$1 ports=("${@:2}") waiter=""
find_container
remove_stale
for argument in "${ports[@]}"; do
    check_port "$argument"
done
add_rules
trap clean_up EXIT
echo 1 >"$CONF/$device/route_localnet"
for argument in "${ports[@]}"; do
    echo "0.0.0.0:${argument%%:*} -> ${address%/*}:${argument#*:}"
done
[[ $(</proc/sys/net/ipv4/ip_forward) == 1 ]] ||
    echo 'publish.sh: このホストからだけ届きます。ほかのマシンのパケットは転送しません (ip_forward)' >&2
# コンテナが終わるのを待つ。背後に置くと、待っているあいだもシグナルで trap が動く
tail --pid="$pid" -f /dev/null &
waiter=$!
wait "$waiter"
