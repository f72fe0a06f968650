#!/usr/bin/env bash
# 起動の速さを測り、表にする。数は build/bench/*.csv に、gnuplot があればグラフも
# build/bench/*.svg に残す。
#   起動  コマンドの最初の 1 文字が届くまで
#   全体  後始末が済み、ランチャーが終わるまで
# 使い方: [RUNS=測る回数] bench.sh
# ホストのネットワークや /run に触れないように、自分の名前空間の中で動く。
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=build/bench

# 途中で止められても、cgroup を残さない。ほかはすべて、名前空間と一緒に消える
remove_cgroups() {
    find /sys/fs/cgroup -depth -type d -name "$BENCH_ID*" -exec rmdir {} + 2>/dev/null || true
    unshare --fork --pid --mount-proc ./step09 run --no-veth true || true
}

if [[ $(id -u) != 0 ]]; then
    echo "bench.sh: must be root" >&2
    echo "  ヒント: make bench (sudo は make が付けます)" >&2
    exit 1
fi
if [[ -z ${BENCH_ID:-} ]]; then
    export BENCH_ID=bench-$$-
    trap : INT TERM
    status=0
    unshare --fork --kill-child --pid --mount-proc --mount --net --ipc --uts \
        "tests/measure/bench.sh" || status=$?
    remove_cgroups
    # sudo で動かしても、結果は本人のもの
    [[ -z ${SUDO_UID:-} || ! -d $out ]] || chown -R "$SUDO_UID:${SUDO_GID:-}" "$out"
    exit "$status"
fi
trap 'exit 130' INT TERM

runs=${RUNS:-50}
rounds=$(((runs + 9) / 10)) # たくさん動かすほうの回数
counts="1 2 5 10 20 50 100 200"
rootfs=$PWD/rootfs/fs
work=/run/bench
lock=$work/lock

# runc や podman は /run と /dev/shm に状態を残すので、空のものを重ねる。crun は v1
# と v2 が両方見えると動かないので、使っていないほうの v2 を外す
prepare() {
    if ! command -v hyperfine >/dev/null; then
        echo "bench.sh: hyperfine: command not found" >&2
        echo "  ヒント: sudo apt-get install hyperfine (すべて入れるなら make setup-dev)" >&2
        exit 1
    fi
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /dev/shm
    umount /sys/fs/cgroup/unified 2>/dev/null || true
    mkdir -p "$work/bundle" "$out"
    rm -f "$out"/*
    ${CC:-cc} -O2 -static -o "$work/start" tests/measure/bench-start.c
}

# --- 測るもの -----------------------------------------------------------------
names=()
declare -A command note
left_out=()

# どれも同じ静的な sh を動かす。1 文字書き、標準入力が閉じるまで待つ
sh="sh -c 'echo x; read -r _; true' $BENCH_ID"
host_sh="'$rootfs/bin/'$sh"

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
        left_out+=("$1: 入っていません")
    elif said=$(eval "$3" 2>&1 </dev/null) && [[ $said == x ]]; then
        add "$@"
    else
        left_out+=("$1: ここでは動きません: $(tail -n 1 <<<"$said")")
    fi
}

# runc spec(8) の既定のまま (なければ crun の)、ルートとコマンドだけを変える
write_bundle() {
    local runtime
    runtime=$(command -v runc || command -v crun) || return 0
    (cd "$work/bundle" && "$runtime" spec)
    sed -i -e "s|\"path\": \"rootfs\"|\"path\": \"$rootfs\"|" \
        -e 's|"terminal": true|"terminal": false|' \
        -e 's|"sh"|"sh", "-c", "echo x; read -r _; true"|' "$work/bundle/config.json"
}

add_all() {
    local podman="podman --root $work/p --runroot $work/q --tmpdir $work/t --storage-driver vfs"
    local limits="--ulimit nofile=1024:1024 --ulimit nproc=1024:1024"

    add plain "コンテナなし" "$host_sh"
    add step01 "子プロセス" "./step01 run $host_sh"
    add step02 "IPC、ネットワーク、ユーザー" "./step02 run $host_sh"
    add step03 "uid と gid の対応" "./step03 run $host_sh"
    add step04 "ホスト名" "./step04 run $host_sh"
    add step05 "PID、マウント、/proc" "./step05 run $host_sh"
    add step06 "chroot" "./step06 run $sh"
    add step07 "pivot_root、/dev など" "./step07 run $sh"
    add step08 "ケーパビリティー、/proc の覆い" "./step08 run $sh"
    add step09 "cgroup、veth" "./step09 run $sh"
    add step09-no-veth "step09 --no-veth" "./step09 run --no-veth $sh"
    add step09-no-cgroup "step09 --no-cgroup" "./step09 run --no-cgroup $sh"

    add_peer unshare "step05 に近い" "unshare --fork --kill-child --pid --uts --ipc --net --mount --user --map-root-user --mount-proc $host_sh"
    add_peer bubblewrap "step07 に近い。/sys がなく、ケーパビリティーは残らない" "bwrap --unshare-all --die-with-parent --bind '$rootfs' / --proc /proc --dev /dev /bin/$sh"
    write_bundle
    add_peer runc "step08 と cgroup。seccomp、ユーザー名前空間、veth はない" "runc --root $work/runc run --bundle $work/bundle $BENCH_ID"
    add_peer crun "runc と同じ設定" "crun --root $work/crun run --bundle $work/bundle $BENCH_ID"
    add_peer podman "step08 と seccomp。cgroup、veth はない。見張り役 conmon も始める" "$podman run --rm --cgroups=disabled --network=none $limits --rootfs '$rootfs' $sh"
}

# --- 測り方 -------------------------------------------------------------------
median() {
    sort -n | awk '{ v[NR] = $1 } END { printf "%.3f\n", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# measure CSV first|whole: すべてのコマンドの中央値を、名前の順に
measure() {
    local name args=()
    for name in "${names[@]}"; do
        args+=(--command-name "$name" "$work/start $2 $lock ${command[$name]}")
    done
    hyperfine --shell=none --warmup 5 --runs "$runs" --style none \
        --prepare "flock $lock true" --export-csv "$out/$1" "${args[@]}" \
        >/dev/null 2>"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
}

# 前に動かしたものの名前空間を、カーネルが片付け終えるのを待つ。CPU が 8 割空くま
# で、長くても 1 秒
settle() {
    local before now try
    for ((try = 0; try < 10; try++)); do
        read -r _ _ _ _ before _ </proc/stat
        sleep 0.1
        read -r _ _ _ _ now _ </proc/stat
        ((now - before < 8 * $(nproc))) || return 0
    done
}

# many at-once|in-turn NAME N: 番号、自分の起動、始めからの時間
many() {
    settle
    eval "$work/start $1 $3 ${command[$2]}"
}

measure_startup() {
    # ランチャーも鍵を受け継ぐ。次の計測は、後始末が済むのを待って始まる
    measure hyperfine-start.csv first
    measure hyperfine-whole.csv whole
    {
        echo name,start_ms,whole_ms
        paste -d, "$out"/hyperfine-{start,whole}.csv |
            awk -F, 'NR > 1 { printf "%s,%.3f,%.3f\n", $1, $4 * 1000, $12 * 1000 }'
    } >"$out/startup.csv"
}

# 増えた分。step09 は、外したときとの差で 2 つに分ける
derive_features() {
    local name numbers
    note[cgroup]="step09 のうち cgroup の分"
    note[veth]="step09 のうち veth の分"
    awk -F, '
        function row(name, more, less) {
            printf "%s,%.3f,%.3f\n", name, start[more] - start[less], whole[more] - whole[less]
        }
        { start[$1] = $2; whole[$1] = $3 }
        $1 ~ /^step0.$/ { row($1, $1, last) }
        { last = $1 }
        END {
            row("cgroup", "step09", "step09-no-cgroup")
            row("veth", "step09", "step09-no-veth")
        }
    ' "$out/startup.csv" >"$work/features"
    echo name,start_ms,whole_ms,label >"$out/features.csv"
    while IFS=, read -r name numbers; do
        echo "$name,$numbers,${note[$name]}"
    done <"$work/features" >>"$out/features.csv"
}

measure_at_once() {
    local name n i
    echo name,count,all_ms,one_ms >"$out/at-once.csv"
    for name in step07 step09 bubblewrap runc crun; do
        [[ -n ${command[$name]:-} ]] || continue
        for n in $counts; do
            : >"$work/all"
            : >"$work/one"
            for ((i = 0; i < rounds; i++)); do
                many at-once "$name" "$n" >"$work/many"
                cut -d, -f3 "$work/many" | sort -n | tail -n 1 >>"$work/all"
                cut -d, -f2 "$work/many" | median >>"$work/one"
            done
            echo "$name,$n,$(median <"$work/all"),$(median <"$work/one")" >>"$out/at-once.csv"
        done
    done
}

# 1 つ届くごとに次を始める。k 番目は、k - 1 個が動いている所で始まる
measure_in_turn() {
    local i k
    many in-turn step09 5 >/dev/null
    for ((i = 0; i < rounds; i++)); do
        many in-turn step09 200
    done >"$work/many"
    echo k,start_ms >"$out/in-turn.csv"
    for ((k = 1; k <= 200; k++)); do
        echo "$k,$(awk -F, -v k="$k" '$1 == k { print $2 }' "$work/many" | median)"
    done >>"$out/in-turn.csv"
}

# --- 表 -----------------------------------------------------------------------
print_startup() {
    local name row reason
    echo "起動と全体の時間 (中央値 [ms], $runs 回)。差は、1 つ前のステップから増えた分"
    echo "                       起動     全体 起動の差 全体の差"
    awk -F, '
        FNR == 1 { next }
        FILENAME ~ /features/ { cost[$1] = sprintf("%+8.2f %+8.2f", $2, $3); next }
        { printf "%s,  %-16s %8.1f %8.1f %17s\n", $1, $1, $2, $3, cost[$1] }
    ' "$out/features.csv" "$out/startup.csv" | while IFS=, read -r name row; do
        echo "$row  ${note[$name]}"
    done
    for reason in "${left_out[@]}"; do
        echo "  比べないもの: $reason"
    done
    awk -F, '
        function ratio(a, b) {
            if (b in start)
                printf "  %s / %-10s  起動 %.2f, 全体 %.2f\n", a, b, start[a] / start[b], whole[a] / whole[b]
        }
        $1 == "cgroup" || $1 == "veth" { printf "  %s: 起動 %+.2f, 全体 %+.2f\n", $4, $2, $3 }
        { start[$1] = $2; whole[$1] = $3 }
        END { ratio("step07", "bubblewrap"); ratio("step09", "runc"); ratio("step09", "crun") }
    ' "$out/features.csv" "$out/startup.csv"
    echo "  どの行にも、測る道具の分が入る。plain は、ほとんどそれだけ"
    echo "  step09 の全体には、veth がホストから消えるのを見届ける時間も入る"
}

print_at_once() {
    echo
    echo "N 個を同時に始める: すべて届くまで / 1 つの起動 (中央値 [ms], $rounds 回)"
    awk -F, -v counts="$counts" '
        NR == 1 { next }
        !($1 in seen) { seen[$1] = 1; name[++columns] = $1 }
        { cell[$1, $2] = sprintf("%7.1f /%7.1f", $3, $4) }
        END {
            printf "%5s", "N"
            for (c = 1; c <= columns; c++) printf "%18s", name[c]
            rows = split(counts, n, " ")
            for (i = 1; i <= rows; i++) {
                printf "\n%5d", n[i]
                for (c = 1; c <= columns; c++) printf "  %16s", cell[name[c], n[i]]
            }
            print ""
        }
    ' "$out/at-once.csv"
}

print_in_turn() {
    echo
    echo "step09 を 1 つずつ 200 個まで増やす: k 番目の起動 (中央値 [ms], $rounds 回)"
    awk -F, '
        NR == 1 { next }
        { start[$1] = $2 }
        END {
            count = split("1 2 5 10 20 50 100 150 200", k, " ")
            printf "    k"; for (i = 1; i <= count; i++) printf "%7d", k[i]
            printf "\n   ms"; for (i = 1; i <= count; i++) printf "%7.2f", start[k[i]]
            printf "\n  200 番目 / 1 番目: %.2f", start[200] / start[1]
        }
    ' "$out/in-turn.csv"
    awk -v first="$(sed -n 2,11p "$out/in-turn.csv" | cut -d, -f2 | median)" \
        -v last="$(tail -n 10 "$out/in-turn.csv" | cut -d, -f2 | median)" 'BEGIN {
            printf ", 終わりの 10 個 / 初めの 10 個 (中央値): %.2f\n", last / first
        }'
}

prepare
add_all
echo "$(uname -srm), $(nproc) CPU, 負荷 $(cut -d' ' -f1-3 /proc/loadavg)"
awk -v cpus="$(nproc)" '$1 > cpus / 2 {
    print "  ほかの仕事が動いています。数は当てになりません"
}' /proc/loadavg
measure_startup
derive_features
print_startup
measure_at_once
print_at_once
measure_in_turn
print_in_turn
echo
if command -v gnuplot >/dev/null; then
    gnuplot -c tests/measure/bench.gp "$out"
    echo "$out/ に、CSV とグラフ (SVG) を書きました"
else
    echo "$out/ に、CSV を書きました。グラフには gnuplot が要ります: make setup-dev"
fi
