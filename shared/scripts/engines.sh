#!/usr/bin/env bash
# 本物のエンジン (podman, docker, containerd) に、step09-oci を使わせて見せる。
#   engines.sh         入っているものすべてで
#   engines.sh docker  それだけで
#   RUNTIME=/usr/sbin/runc engines.sh  ほかのランタイムで
# エンジンは専用の名前空間の中で始めるので、マシンで動いているものには触らない。終われば、
# Ctrl-C で止めても、何も残らない。1 つでも失敗すれば 1 で終わる。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
# shellcheck source-path=SCRIPTDIR source=../../tests/engines/private.bash
. "$TOP/tests/engines/private.bash"

passed=0 failed=0

fail() {
    printf 'engines.sh: %s\n  ヒント: %s\n' "$1" "$2" >&2
    exit "${3:-1}"
}

# 打つとおりのコマンドと、その出力の初めの 3 行: try STATUS 出力の正規表現 コマンド
try() {
    local status=0 output
    # script(1) は、入力の終わりを ^D や ^@ と見せる
    output=$(engine_inside sh -c "$3" 2>&1 </dev/null | tr -d '\r\b\0' |
        sed -E 's/\^[@D]//g; /^$/d') || status=$?
    if ((status == $1)) && grep -qE -e "$2" <<<"$output"; then
        passed=$((passed + 1))
        echo "✓ $3"
        # 表は切り、エラーの文は折る
        if ((status)); then fold -s -w 76; else cut -c 1-76; fi <<<"$output" |
            head -n 3 | sed '/^$/d; s/^/    /'
        ((status == 0)) || echo "    (終了ステータス $status)"
    else
        failed=$((failed + 1))
        echo "✗ $3"
        tail -n 8 <<<"$output" | sed '/^$/d; s/^/    /'
        echo "    (終了ステータス $status。$1 のはずでした${2:+。出力には $2})"
    fi
}

# 端末の代わりは script(1) がする
try_terminal() {
    ! command -v script >/dev/null || try 0 /dev/pts/ "script -qec '$1' /dev/null"
}

# podman と docker で、同じように打てるもの
show_runs() {
    try 0 '^hello$' "$1 run --rm base echo hello"
    try 3 '' "$1 run --rm base sh -c 'exit 3'"
    try 127 no-such "$1 run --rm base no-such-command"
    try_terminal "$1 run --rm -it base tty"
    try 0 '^box 1000$' "$1 run --rm --hostname box -u 1000 base sh -c 'echo \$(hostname) \$(id -u)'"
    try 0 'Seccomp:.2' "$1 run --rm --cap-drop ALL base grep -E 'CapEff|Seccomp:' /proc/self/status"
    try 137 '' "$1 run --rm --memory 16m base tail /dev/zero"
}

# 動かしたままの web: show_web ENGINE ネットワークのオプション
show_web() {
    try 0 '^[0-9a-f]{64}$' "$1 run -d --name web $2 base httpd -f -p 80 -h /etc"
    try 0 httpd "$1 exec web ps"
    [[ $2 != *-p* ]] || try 0 '^root:' 'busybox wget -qO- http://127.0.0.1:8080/passwd'
    try 0 web "$1 stats --no-stream web"
    try 0 '' "$1 pause web && $1 unpause web"
}

show_podman() {
    local port='--network none'
    # ネットワークを作るのは netavark か CNI
    if [[ $(engine_inside podman info --format '{{.Host.NetworkBackend}}' 2>/dev/null) != cni ]] ||
        compgen -G '/usr/lib/cni/bridge' >/dev/null; then
        port='--network podman -p 8080:80'
    fi
    show_runs podman
    try 0 '0 +100000 +65536' 'podman run --rm --uidmap 0:100000:65536 base cat /proc/self/uid_map'
    show_web podman "$port"
    try 0 web 'podman rm -f -t 0 web'
}

show_docker() {
    local port=''
    [[ -z $(engine_inside ls /sys/class/net/docker0 2>/dev/null) ]] || port='-p 8080:80'
    show_runs docker
    show_web docker "$port"
    try 0 web 'docker update --pids-limit 20 web'
    try 0 web 'docker rm -f web'
}

show_containerd() {
    try 0 '^hello$' "ctr run --rm base one echo hello"
    try 3 '' "ctr run --rm base one sh -c 'exit 3'"
    try 1 no-such "ctr run --rm base one no-such-command"
    try_terminal "ctr run --rm -t base one tty"
    try 137 '' "ctr run --rm --memory-limit 16777216 base one tail /dev/zero"
    try 0 '' "ctr run -d base web httpd -f -h /etc"
    try 0 httpd 'ctr task exec --exec-id two web ps'
    try 0 memory 'ctr task metrics web'
    try 0 PAUSED 'ctr task pause web && ctr task ls && ctr task resume web'
    try 0 '' 'ctr task rm --force web'
    try 0 '' 'ctr container rm web'
}

case ${1:-} in
'') engines=(podman docker containerd) ;;
podman | docker | containerd) engines=("$1") ;;
*) fail "unknown engine: $1" 'podman、docker、containerd のどれかです' 2 ;;
esac
[[ $EUID == 0 ]] || fail 'must be root' 'make engines (sudo は make が付けます)'
RUNTIME=${RUNTIME:-$TOP/step09-oci}
[[ -x $RUNTIME ]] || fail "$RUNTIME: no such program" 'make step09-oci で作ります'
unshare --fork --pid --uts --ipc --net --mount --cgroup true 2>/dev/null ||
    fail 'cannot make namespaces here' 'make doctor で、足りないものが分かります'

found=()
for engine in "${engines[@]}"; do
    missing=$(engine_missing "$engine" | xargs)
    if [[ -n $missing ]]; then
        echo "$engine: このマシンにはありません ($missing)。make setup-engines で入ります"
    else
        found+=("$engine")
    fi
done
((${#found[@]})) || fail 'no engine to run' 'make setup-engines で入れてから、もう一度 make engines とします'

trap engines_stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
echo "ランタイムは $RUNTIME です。エンジンを、専用の名前空間の中で始めています"
engines_start "$(realpath "$RUNTIME")" "${found[@]}" || fail 'cannot start' 'make doctor で、足りないものが分かります'
for engine in "${found[@]}"; do
    printf '\n--- %s\n' "$engine"
    if engine_ready "$engine"; then
        "show_$engine"
    else
        echo "✗ $engine が始まりません。上の行が、その記録です"
        failed=$((failed + 1))
    fi
done
engines_stop
printf '\n%d 個が成功、%d 個が失敗しました。エンジンは終わらせました\n' "$passed" "$failed"
((failed == 0))
