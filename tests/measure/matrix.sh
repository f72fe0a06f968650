#!/usr/bin/env bash
# 9 つのステップが何を分けるかを、動かして表にする。どの値も、中で調べるか、外から
# 見たもの。使い捨てのホストの中で動かすので、ホストは変わらない
#   matrix.sh           表を出し、build/matrix に matrix.csv と matrix.svg を書く
#   matrix.sh --update  slides/pictures/matrix.svg も書き直す
#   matrix.sh --check   slides/pictures/matrix.svg の印や値が、今の結果と違えば失敗する
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PICTURE=$TOP/slides/pictures/matrix.svg
STEPS=(host 01 02 03 04 05 06 07 08 09)

fail() {
    echo "matrix: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# --- 使い捨てのホストの中 ------------------------------------------------------
# コンテナの中で動くので、busybox の sh とコマンドだけで書く。$1 はホストの / の番号
# shellcheck disable=SC2016 # 展開するのは、中の sh
PROBE='
count_bits() {
    bits=$((0x$1)) count=0
    while [ $bits -ne 0 ]; do count=$((count + (bits & 1))) bits=$((bits >> 1)); done
    echo $count
}
links() {
    for link in $(sed -n "s/^ *\([^ :]*\):.*/\1/p" /proc/net/dev | sort); do
        ip -o link show "$link" | grep -q "[<,]UP[,>]" || link="$link (DOWN)"
        printf "%s " "$link"
    done
}
reach() {
    here=$(stat -c %d:%i /)
    [ "$here" = "$1" ] || here=$(/demo/unchroot stat -c %d:%i / 2>&1)
    [ "$here" = "$1" ] && echo はい || echo いいえ
}
echo "uid $(id -u)"
echo "hostname $(uname -n)"
echo "pid $$"
set -- "$1" /proc/[0-9]*
echo "processes $(($# - 1))"
echo "links $(links)"
echo "ipc $(($(wc -l </proc/sysvipc/shm) - 1))"
echo "mounts $(wc -l </proc/self/mountinfo)"
echo "root $(stat -c %i /)"
echo "reach $(reach "$1")"
echo "capabilities $(count_bits "$(sed -n "s/^CapEff:[^0-9a-f]*//p" /proc/self/status)")"
echo "inner $(sed -n "s/^[0-9]*:\(.*,\)*\(pids\)*\(,.*\)*://p" /proc/self/cgroup | head -n 1)"
echo end
read -r go
'

# 動いているあいだに、外から見る。CONTAINER は、ホストから見た PID
look_from_outside() {
    local status=/proc/$CONTAINER/status outer
    echo "owner $(awk '/^Uid:/ { print $2 }' "$status")"
    echo "pid-namespace $(readlink "/proc/$CONTAINER/ns/pid")"
    echo "cpu $(cpu_limit "$(group_of cpu)")"
    echo "memory $(memory_limit "$(group_of memory)")"
    echo "pids $(pids_limit "$(group_of pids)")"
    outer=$(grep -E '^[0-9]+:(.*,)?pids(,.*)?:' "/proc/$CONTAINER/cgroup") ||
        outer=$(grep '^0::' "/proc/$CONTAINER/cgroup")
    echo "outer ${outer#*:*:}"
}

# 一番上の cgroup には、上限のファイルがない (v2)。-1 や大きな数も、上限がないこと
cpu_limit() {
    local quota=max period=1
    if [[ -e $1/cpu.cfs_quota_us ]]; then
        quota=$(<"$1/cpu.cfs_quota_us") period=$(<"$1/cpu.cfs_period_us")
    elif [[ -e $1/cpu.max ]]; then
        read -r quota period <"$1/cpu.max"
    fi
    awk -v quota="$quota" -v period="$period" '
        BEGIN { print (quota + 0 > 0 ? quota / period : "なし") }'
}

memory_limit() {
    local bytes
    bytes=$(cat "$1/memory.max" "$1/memory.limit_in_bytes" 2>/dev/null) || true
    if [[ $bytes =~ ^[0-9]+$ ]] && ((bytes < 1 << 60)); then
        echo "$((bytes >> 20))M"
    else
        echo なし
    fi
}

pids_limit() {
    local pids
    pids=$(cat "$1/pids.max" 2>/dev/null) || true
    [[ $pids =~ ^[0-9]+$ ]] && echo "$pids" || echo なし
}

# 動かすものを渡さなければ、ホストそのものを調べる: probe [./step05 run]
probe() {
    local line launcher in
    coproc TARGET { exec "$@" sh -c "$PROBE" probe "$HOST_ROOT"; }
    launcher=$TARGET_PID in=${TARGET[1]}
    while read -r line && [[ $line != end ]]; do
        echo "$line"
    done <&"${TARGET[0]}"
    if [[ $line != end ]]; then
        wait "$launcher" || true
        return 1
    fi
    CONTAINER=$launcher
    (($# == 0)) || CONTAINER=$(tr -d ' ' <"/proc/$launcher/task/$launcher/children")
    look_from_outside
    echo go >&"$in"
    wait "$launcher"
}

# 相手の端は、見えない所 (眠っているだけのプロセスの名前空間) に置く
make_network() {
    ip link set lo up
    ip link add eth0 type veth peer name far
    ip link set eth0 up
    unshare --net sleep infinity &
    until [[ $(readlink "/proc/$!/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do
        sleep 0.01
    done
    ip link set far netns "$!"
}

# ホームディレクトリーの中は、コンテナの root になった人に見えないことがある。誰でも
# 通れる場所から動かす
enter_workshop() {
    cd "$TOP"
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /mnt/workshop
    mount --bind . /mnt/workshop
    cd /mnt/workshop
}

inside() {
    local step
    hostname debian
    make_network
    enter_workshop
    # shellcheck source-path=SCRIPTDIR source=../host/cgroups.bash
    . tests/host/cgroups.bash
    HOST_ROOT=$(stat -c %d:%i /)
    ipcmk --shmem 4096 >/dev/null
    for step in "${STEPS[@]}"; do
        echo "step $step"
        if [[ $step == host ]]; then
            probe
        else
            probe "./step$step" run
        fi || fail "step $step did not run" '上のメッセージを見てください'
    done
}

# --- 使い捨てのホストを作る ----------------------------------------------------
# どの cgroup にいるかが見えるように、一番上でない cgroup に入って始める
run_probes() {
    # shellcheck source-path=SCRIPTDIR source=../host/cgroups.bash
    . "$TOP/tests/host/cgroups.bash"
    CONTAINER=self
    group=$(group_of pids)/matrix-$$
    trap clean_up EXIT
    mkdir -p "$group/session"
    # sudo を通していないときも、uid 1000 の人が sudo で動かしたことにする
    (
        echo 0 >"$group/session/cgroup.procs"
        exec env SUDO_UID="${SUDO_UID:-1000}" SUDO_GID="${SUDO_GID:-1000}" \
            unshare --fork --kill-child --pid --uts --ipc --net --mount \
            --mount-proc "${BASH_SOURCE[0]}" inside
    )
}

# --- 表にする ------------------------------------------------------------------
show() {
    local mode=$1
    shift
    LC_ALL=C awk -v mode="$mode" -f "$TOP/tests/measure/matrix.awk" "$@"
}

# sudo で動かしても、ファイルは自分のものにする
give_back() {
    [[ -z ${SUDO_UID-} ]] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$@"
}

main() {
    local out=$TOP/build/matrix color='' results
    results=$out/probes.txt
    [[ $(id -u) == 0 ]] || fail 'must be root' 'make matrix (sudo は make が付けます)'
    mkdir -p "$out"
    run_probes >"$results"
    give_back "$out"
    if [[ ${1-} == --check ]]; then
        show check "$results" "$PICTURE" ||
            fail 'slides/pictures/matrix.svg is out of date' \
                '「図 -> 今」の形です。プログラムが正しければ matrix.sh --update'
        return
    fi
    [[ ! -t 1 || -n ${NO_COLOR-} ]] || color=1
    show table -v color=$color "$results"
    show csv "$results" >"$out/matrix.csv"
    show svg "$results" >"$out/matrix.svg"
    give_back "$out"
    [[ ${1-} == --update ]] || return 0
    cp "$out/matrix.svg" "$PICTURE"
    give_back "$PICTURE"
}

clean_up() {
    rmdir "$group/session" "$group"
}

case ${1-} in
inside) inside ;;
'' | --check | --update) main "$@" ;;
*)
    echo "matrix: unknown argument: $1" >&2
    echo '  ヒント: matrix.sh [--check|--update]' >&2
    exit 2
    ;;
esac
