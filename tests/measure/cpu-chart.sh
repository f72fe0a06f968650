#!/usr/bin/env bash
# CPU の上限とかかった時間の関係を、このマシンで測る。1 分足らずかかる
#   表      上限とスレッドの数を変え、決まった量の計算にかかった時間を測る
#   グラフ  上限 20 % で、仕事の量を 1 ms から 98 ms まで変える
# 数は build/cpu-chart.csv に、gnuplot があればグラフも build/cpu-chart.svg に残す
#   cpu-chart.sh           表とグラフを出す
#   cpu-chart.sh --update  slides/pictures/cpu-chart.svg も書き直す
# 使い捨てのホストの中で動くので、ホストは変わらない
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=../host/cgroups.bash
. tests/host/cgroups.bash
# shellcheck source-path=SCRIPTDIR source=chart.bash
. tests/measure/chart.bash
# shellcheck disable=SC2034 # chart.bash が使う
CHART=cpu-chart TITLE='CPU の上限が 20 % のとき、仕事の量とかかった時間'
out=build/$CHART
runs=3
WORK=1    # 1 本のスレッドにさせる仕事。CPU を 1 つ使って、この秒数 [s]
LESS=0.03 # 上限が 1 % のときの仕事。1 秒の仕事では 100 秒もかかる
# 上限 20 % のグラフの点 [ms]。20 の倍数は、次の周期に回るかどうかの境目なので避ける
STEPS='1 2 5 10 15 18 22 30 38 42 50 58 62 70 78 82 90 98'

# --- 中 -----------------------------------------------------------------------
# ほかの仕事で待たされても変わらない、CPU を使った時間で測る
cpu_seconds() {
    local TIMEFORMAT=%U
    { time build/demo/cpuburn 1 "$1" >/dev/null; } 2>&1
}

# このマシンで 1 秒かかる倍率。初めの 1 回は、CPU を起こすだけ
find_scale() {
    cpu_seconds 0.1 >/dev/null
    awk -v trial="$(cpu_seconds 0.5)" 'BEGIN { print 0.5 / trial }'
}

# cgroup に入れ、上限だけをなくしてから始める
without_limit() {
    local group
    coproc TARGET { exec ./step09 run --no-veth sh -c 'read -r go; exec "$@"' sh "$@"; }
    local launcher=$TARGET_PID in=${TARGET[1]} from=${TARGET[0]}
    until CONTAINER=$(cat "/proc/$launcher/task/$launcher/children") &&
        CONTAINER=${CONTAINER% } && [[ $(cat "/proc/$CONTAINER/comm") == sh ]]; do
        kill -0 "$launcher"
        sleep 0.01
    done 2>/dev/null
    group=$(group_of cpu)
    if [[ -e $group/cpu.max ]]; then
        echo max >"$group/cpu.max"
    else
        echo -1 >"$group/cpu.cfs_quota_us"
    fi
    echo go >&"$in"
    cat <&"$from"
    wait "$launcher"
}

# 上限を決めてコマンドを動かす: limited none|max|数 COMMAND...
limited() {
    case $1 in
    none) ./step09 run --no-veth --no-cgroup "${@:2}" ;;
    max) without_limit "${@:2}" ;;
    *) ./step09 run --no-veth --cpus "$1" "${@:2}" ;;
    esac </dev/null
}

# 1 行: measure_row 上限 スレッド。どれも、多くの周期の平均になる
measure_row() {
    local work=$WORK
    [[ $1 != 0.01 ]] || work=$LESS
    limited "$1" /demo/cpuburn "$2" "$(awk "BEGIN { print $work * $scale }")" |
        sed -n "s/^total: \\(.*\\) s\$/$1,$2,$work,\\1/p"
}

# 合わせても CPU の半分しか使わないもの (20 % と 1 %) は、並べて測る
measure_table() {
    local limit threads rows
    rows=$(mktemp -d)
    for threads in 1 4; do
        for limit in 0.2 0.01; do
            measure_row $limit $threads >"$rows/$threads-$limit" &
        done
    done
    wait
    for threads in 1 4; do
        for limit in none max 1 0.5; do
            measure_row $limit $threads
        done
        cat "$rows/$threads"-{0.2,0.01}
    done | awk -F, -v OFS=, -v cpus="$(nproc)" '
        {
            # 上限までの CPU を使い続けたとき、仕事が終わるまでの秒数
            most = $2 < cpus ? $2 : cpus
            print "limit", $1, $2, $3, sprintf("%.3f", $2 * $3 / ($1 + 0 && $1 < most ? $1 : most)), $4
        }
        END { exit NR != 12 } # 動かなかったものがある
    '
    rm -r "$rows"
}

# 周期の初めから使い始めたとき、20 ms ごとに 80 ms 待つ
measure_steps() {
    local i
    for ((i = 0; i < runs; i++)); do
        # shellcheck disable=SC2086 # 数は空白で区切ってある
        limited 0.2 /demo/quota $STEPS
    done | awk '{ print $1 / 1000, $5 / 1000 }' | sort -n | awk -v runs=$runs -v OFS=, '
        # 仕事の量ごとに runs 個が、速い順に並ぶ
        NR % runs == int((runs + 1) / 2) % runs {
            ms = $1 * 1000
            print "step", 0.2, 1, $1, sprintf("%.3f", (ms + 80 * int((ms - 0.001) / 20)) / 1000), $2
        }'
}

inside() {
    local scale
    scale=$(find_scale)
    echo "# CPU $(nproc) 個, 始めたときの負荷 $(cut -d " " -f 1 /proc/loadavg)"
    echo "kind,limit,threads,work,expected,measured"
    measure_table
    measure_steps
}

# --- 外 -----------------------------------------------------------------------
print_table() {
    sed -n '1s/^# //p' "$out.csv"
    awk -F, '
        NR == 2 { print "  上限  スレッド  1 本の仕事   仕事 / 上限   測った時間" }
        $1 == "step" && !steps++ {
            print "\n上限 20 %, 1 スレッドで、周期の初めから"
            print "                1 本の仕事          予想   測った時間"
        }
        NR > 2 {
            limit = $2 == "none" ? "  なし" : $2 == "max" ? "   max" : sprintf("%4d %%", $2 * 100)
            if ($1 == "step")
                printf "%23d ms %10d ms %9d ms\n", $4 * 1000, $5 * 1000, $6 * 1000
            else
                printf "%s %9d %9.2f s %11.2f s %10.2f s\n", limit, $3, $4, $5, $6
        }' "$out.csv"
}

describe() {
    awk -F, '$1 == "step" { printf "%d ms の仕事は %d ms。", $4 * 1000, $6 * 1000 }' "$out.csv"
}

run_chart "$@"
