#!/usr/bin/env bash
# 起動の速さを測り、表にする。数は build/bench/*.csv に、グラフは build/bench/*.svg に
# 残す。
#   起動  コマンドの最初の 1 文字が届くまで
#   全体  後始末が済み、ランチャーが終わるまで
# 使い方: [RUNS=測る回数] bench.sh
# 使い捨てのホストの中で動くので、ネットワークや /run には触れない
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=build/bench
runs=${RUNS:-50}
rounds=$(((runs + 9) / 10)) # たくさん動かすほうの回数
work=/run/bench

# --- 測るもの -----------------------------------------------------------------
names=()
declare -A command note

# どれも同じ静的な sh を動かす。1 文字書き、標準入力が閉じるまで待つ。最後の語には、
# 番号が付く
script='printf x; read -r _; true'

# add NAME NOTE COMMAND
add() {
    names+=("$1")
    note[$1]=$2
    command[$1]=$3
}

# 入っていて、ここで本当に動くものだけを比べる
add_peer() {
    local said
    if ! command -v "${3%% *}" >/dev/null; then
        echo "  比べないもの: $1: 入っていません"
    elif said=$(eval "$3" 2>&1 </dev/null) && [[ $said == x ]]; then
        add "$@"
    else
        echo "  比べないもの: $1: ここでは動きません: $(tail -n 1 <<<"$said")"
    fi
}

# runc spec(8) のデフォルトのまま (なければ crun の)、ルートとコマンドだけを変える
write_bundle() {
    local runtime
    runtime=$(command -v runc || command -v crun) || return 0
    (cd "$work/bundle" && "$runtime" spec)
    sed -i -e "s|\"path\": \"rootfs\"|\"path\": \"$PWD/rootfs/fs\"|" \
        -e 's|"terminal": true|"terminal": false|' \
        -e "s|\"sh\"|\"sh\", \"-c\", \"$script\"|" "$work/bundle/config.json"
}

add_all() {
    local rootfs=$PWD/rootfs/fs
    local sh="sh -c '$script' $BENCH_ID" host_sh
    local podman="podman --root $work/p --runroot $work/q --tmpdir $work/t --storage-driver vfs"
    local limits="--ulimit nofile=1024:1024 --ulimit nproc=1024:1024"
    host_sh="'$rootfs/bin/'$sh"

    # step01 からは、1 つ前に何を足したか。この順に差を取る
    add plain "コンテナなし" "$host_sh"
    add step01 "子プロセス" "./step01 run $host_sh"
    add step02 "IPC、ネットワーク、ユーザー" "./step02 run $host_sh"
    add step03 "uid と gid のマッピング" "./step03 run $host_sh"
    add step04 "ホスト名" "./step04 run $host_sh"
    add step05 "PID、マウント、/proc" "./step05 run $host_sh"
    add step06 "chroot" "./step06 run $sh"
    add step07 "pivot_root、/dev など" "./step07 run $sh"
    add step08 "ケーパビリティ、/proc のマスク" "./step08 run $sh"
    add step09-no-veth "cgroup" "./step09 run --no-veth $sh"
    add step09 "veth" "./step09 run $sh"

    add_peer unshare "step05 に近い" "unshare --fork --kill-child --pid --uts --ipc --net --mount --user --map-root-user --mount-proc $host_sh"
    add_peer bubblewrap "step07 に近い。/sys がなく、ケーパビリティは残らない" "bwrap --unshare-all --die-with-parent --bind '$rootfs' / --proc /proc --dev /dev /bin/$sh"
    write_bundle
    add_peer runc "step08 と cgroup。seccomp、ユーザー名前空間、veth はない" "runc --root $work/runc run --bundle $work/bundle $BENCH_ID"
    add_peer crun "runc と同じ設定" "crun --root $work/crun run --bundle $work/bundle $BENCH_ID"
    add_peer podman "step08 と seccomp。cgroup、veth はない。見張り役 conmon も始める" "$podman run --rm --cgroups=disabled --network=none $limits --rootfs '$rootfs' $sh"
}

# --- 測って、表にする -----------------------------------------------------------
# たくさん動かしたあとは、カーネルが名前空間を片付け終えるのを待つ。
# CPU が 8 割空くまで、長くても 1 秒
settle() {
    local before now try
    for ((try = 0; try < 10; try++)); do
        read -r _ _ _ _ before _ </proc/stat
        sleep 0.1
        read -r _ _ _ _ now _ </proc/stat
        ((now - before < 8 * $(nproc))) || return 0
    done
}

# start at-once|in-turn N NAME: 始めたとき、届いたとき、終わったとき [ms]
# 1 つだけのときも、前のもののあと片付けが済むまで間を空ける。名前空間やソケットは、
# 終わってから数十ミリ秒あと (RCU の猶予期間) に解放され、その手間が次の時間に
# 入ってしまう
start() {
    if (($2 == 1)); then sleep 0.15; else settle; fi
    eval "$work/start $1 $2 ${command[$3]}"
}

# どれにも同じ条件になるように、1 回ずつ順に動かす。中央値を取るので、
# 初めの 1 回が遅くても構わない。増えた分は、1 つ前のステップとの差
measure_startup() {
    local round i name
    for ((round = 0; round < runs; round++)); do
        for i in "${!names[@]}"; do
            name=${names[i]}
            echo "$((i + 100)),$name,${note[$name]},$(start at-once 1 "$name")"
        done
    done | datamash -s -t , -g 1,2,3 median 5 median 6 | awk -F , -v OFS=, '
        {
            more = $2 ~ /^step/ ? sprintf("%+.2f,%+.2f", $4 - start, $5 - whole) : ","
            print $2, sprintf("%.2f,%.2f", start = $4, whole = $5), more, $3
        }' | sed '1i name,start_ms,whole_ms,start_diff,whole_diff,note' >"$out/startup.csv"
    echo "起動と全体の時間 (中央値 [ms], $runs 回)。差は、1 つ前のステップから増えた分"
    sed '1s/.*/,起動,全体,起動の差,全体の差,/' "$out/startup.csv" |
        column -t -s , -R 2,3,4,5
    awk -F , '
        function ratio(a, b) {
            if (b in start)
                printf "  %s / %-10s  起動 %.2f, 全体 %.2f\n", a, b, start[a] / start[b], whole[a] / whole[b]
        }
        { start[$1] = $2; whole[$1] = $3 }
        END { ratio("step07", "bubblewrap"); ratio("step09", "runc"); ratio("step09", "crun") }
    ' "$out/startup.csv"
    echo "  step09 の全体には、veth がホストから消えるのを見届ける時間も入る"
}

# すべてが届くまでと、自分の始まりから届くまでの平均
measure_at_once() {
    local name n i
    for name in step07 step09 bubblewrap runc crun; do
        [[ -n ${command[$name]:-} ]] || continue
        for n in 1 2 5 10 20 50 100 200; do
            for ((i = 0; i < rounds; i++)); do
                echo "$name,$n,$(start at-once "$n" "$name" |
                    awk -F , '{ one += $2 - $1 } END { print $2 "," one / NR }')"
            done
        done
    done | datamash -t , -g 1,2 median 3 median 4 |
        sed '1i name,count,all_ms,one_ms' >"$out/at-once.csv"
    echo
    echo "N 個を同時に始める: すべて届くまで / 1 つの起動の平均 (中央値 [ms], $rounds 回)"
    awk -F , 'NR > 1 { printf "%s,%3d,%.1f / %.1f\n", $1, $2, $3, $4 }' "$out/at-once.csv" |
        datamash -s -t , crosstab 2,1 unique 3 | column -t -s , -R 0
}

# 1 つ届くごとに次を始める。k 番目は、k - 1 個が動いている所で始まる
measure_in_turn() {
    local i first last
    for ((i = 0; i < rounds; i++)); do
        start in-turn 200 step09 | awk -F , '{ print NR "," $2 - $1 }'
    done | sort -n | datamash -t , -g 1 median 2 |
        sed '1i k,start_ms' >"$out/in-turn.csv"
    first=$(sed -n 2,11p "$out/in-turn.csv" | datamash -t , median 2)
    last=$(tail -n 10 "$out/in-turn.csv" | datamash -t , median 2)
    echo
    echo "step09 を 1 つずつ 200 個まで増やす: k 番目の起動 (中央値 [ms], $rounds 回)"
    grep -E '^(k|1|2|5|10|20|50|100|150|200),' "$out/in-turn.csv" |
        datamash -t , transpose | column -t -s , -R 0
    awk "BEGIN { printf \"  終わりの 10 個 / 初めの 10 個 (中央値): %.2f\\n\", $last / $first }"
}

# --- 全体の流れ ---------------------------------------------------------------
# runc や podman は /run と /dev/shm に状態を残すので、空のものを重ねる。crun は
# v1 と v2 が両方見えると動かないので、使っていないほうの v2 を外す
inside() {
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /dev/shm
    umount /sys/fs/cgroup/unified 2>/dev/null || true
    mkdir -p "$work/bundle"
    rm -f "$out"/*
    ${CC:-cc} -O2 -static -o "$work/start" tests/measure/bench-start.c
    echo "$(uname -srm), $(nproc) CPU, 負荷 $(cut -d' ' -f1-3 /proc/loadavg)"
    awk -v cpus="$(nproc)" '$1 > cpus / 2 {
        print "  ほかの仕事が動いています。数は当てになりません"
    }' /proc/loadavg
    add_all
    measure_startup
    measure_at_once
    measure_in_turn
    gnuplot -c tests/measure/bench.gp "$out"
    echo
    echo "$out/ に、CSV とグラフ (SVG) を書きました"
}

# 途中で止められても、cgroup を残さない。ほかはすべて、使い捨てのホストと一緒に消える
clean_up() {
    find /sys/fs/cgroup -depth -type d -name "$BENCH_ID*" -exec rmdir {} + 2>/dev/null || true
    tests/host/host.sh -- ./step09 run --no-veth true || true
    # sudo で動かしても、結果は本人のもの
    chown -R --reference=GNUmakefile "$out"
}

if [[ ${1-} == inside ]]; then
    trap 'exit 130' INT TERM
    inside
    exit
fi
if [[ $(id -u) != 0 ]] || ! type datamash column gnuplot >/dev/null 2>&1; then
    echo 'bench.sh: needs root, datamash, column and gnuplot' >&2
    echo '  ヒント: make setup-dev && make bench (sudo は make が付けます)' >&2
    exit 1
fi
export BENCH_ID=bench-$$-
mkdir -p "$out"
trap : INT TERM
trap clean_up EXIT
tests/host/host.sh -- tests/measure/bench.sh inside
