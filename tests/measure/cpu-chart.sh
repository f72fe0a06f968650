#!/usr/bin/env bash
# step09 の --cpus を変えながら /demo/cpuburn を動かし、CPU の上限とかかった時間の関
# 係を、このマシンで測る。数は build/cpu-chart.csv に、gnuplot があればグラフも
# build/cpu-chart.svg に残す。30 秒ほどかかる
#   cpu-chart.sh           表とグラフを出す
#   cpu-chart.sh --update  slides/pictures/cpu-chart.svg も書き直す
# 使い捨てのホストの中で動くので、ホストは変わらない
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=build/cpu-chart
WORK=0.25 # 1 本のスレッドにさせる仕事。CPU を 1 つ使って、この秒数 [s]

fail() {
    echo "cpu-chart.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit "${3:-1}"
}

# --- 中 -----------------------------------------------------------------------
# ほかの仕事で待たされても変わらない、CPU を使った時間で測る
cpu_seconds() {
    local TIMEFORMAT=%U
    { time build/demo/cpuburn 1 "$1" >/dev/null; } 2>&1
}

# このマシンで WORK 秒かかる倍率。初めの 1 回は、CPU を起こすだけ
find_scale() {
    cpu_seconds 0.1 >/dev/null
    awk -v work=$WORK -v trial="$(cpu_seconds 0.2)" 'BEGIN { print 0.2 * work / trial }'
}

measure() {
    ./step09 run --no-veth --cpus "$1" /demo/cpuburn "$2" "$scale" </dev/null |
        sed -n 's/^total: \(.*\) s$/\1/p'
}

inside() {
    local cpus quota threads scale work
    cpus=$(nproc)
    scale=$(find_scale)
    work=$(cpu_seconds "$scale")
    echo "# 1 本の仕事 $work s, CPU $cpus 個, 始めたときの負荷 $(cut -d " " -f 1 /proc/loadavg)"
    echo "cpus,threads,expected,measured"
    for threads in 1 4; do
        for quota in 0.1 0.2 0.5 1 2 4; do
            ((${quota%.*} <= cpus)) || continue
            echo "$quota,$threads,$(measure $quota $threads)"
        done
    done | awk -F, -v OFS=, -v work="$work" -v cpus="$cpus" '
        $3 == "" { exit 1 } # 動かなかった
        {
            # 上限までの CPU を使い続けたとき、仕事が終わるまでの秒数
            most = $2 < cpus ? $2 : cpus
            print $1, $2, sprintf("%.3f", $2 * work / ($1 < most ? $1 : most)), $3
        }'
}

# --- 外 -----------------------------------------------------------------------
print_table() {
    sed -n '1s/^# //p' "$out.csv"
    awk -F, '
        NR == 2 { print "CPU の上限  スレッド   仕事 / 上限   測った時間" }
        NR > 2 { printf "%10s %9d %11.2f s %10.2f s\n", $1, $2, $3, $4 }' "$out.csv"
}

draw() {
    local description
    if ! command -v gnuplot >/dev/null; then
        echo 'グラフも見るには: sudo apt-get install gnuplot-nox'
        return
    fi
    gnuplot -c tests/measure/cpu-chart.gp "$out.csv" "$out.svg"
    # 読み上げのための名前と説明を、測った数にする
    description=$(awk -F, 'NR > 2 { printf "上限 %s で %s スレッドなら %s 秒。", $1, $2, $4 }' "$out.csv")
    sed -i "0,/<title>/s|<title>.*</title>|<title>CPU の上限と、同じ仕事にかかる時間</title>|
        s|<desc>.*</desc>|<desc>$description</desc>|" "$out.svg"
    [[ ! -t 1 ]] || gnuplot -c tests/measure/cpu-chart.gp "$out.csv"
    echo "$out.svg"
}

main() {
    [[ $(id -u) == 0 ]] || fail 'must be root' 'make cpu-chart (sudo は make が付けます)'
    tests/host/host.sh -- tests/measure/cpu-chart.sh inside >"$out.part" ||
        fail 'a measurement failed' '上のメッセージを見てください'
    mv "$out.part" "$out.csv"
    print_table
    draw
    # sudo で動かしても、結果は本人のもの
    chown --reference=GNUmakefile build "$out".*
    [[ ${1-} != --update ]] || cat "$out.svg" >slides/pictures/cpu-chart.svg
}

case ${1-} in
inside) inside ;;
'' | --update) main "$@" ;;
*) fail "unknown argument: $1" 'cpu-chart.sh [--update]' 2 ;;
esac
