#!/usr/bin/env bash
# 上限が 50 MB のコンテナで /demo/memhog を動かし、使っているメモリーが増えて、OOM
# killer に終わらされるまでを、ホストから見る。数は build/memory-chart.csv に、
# gnuplot があればグラフも build/memory-chart.svg に残す。10 秒ほどかかる
#   memory-chart.sh           表とグラフを出す
#   memory-chart.sh --update  slides/pictures/memory-chart.svg も書き直す
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
CHART=memory-chart TITLE='上限が 50 MB のコンテナの、メモリーの量'
out=build/$CHART

# --- 中 -----------------------------------------------------------------------
# memhog が終わっても、シェルが残る。シェルの標準入力を閉じれば、コンテナも終わる
inside() {
    local group start now used killed seen=0 begun=0
    coproc TARGET { exec ./step09 run --no-veth sh -c \
        'read -r go; exec 2>/dev/null; /demo/memhog 200 50 >/dev/null; read -r end'; }
    local launcher=$TARGET_PID in=${TARGET[1]}
    until CONTAINER=$(cat "/proc/$launcher/task/$launcher/children") &&
        CONTAINER=${CONTAINER% } && [[ $(cat "/proc/$CONTAINER/comm") == sh ]]; do
        kill -0 "$launcher"
        sleep 0.01
    done 2>/dev/null
    group=$(group_of memory)
    # 左が v2、右が v1 の名前
    local limit=$group/memory.max current=$group/memory.current events=$group/memory.events
    [[ -e $limit ]] || limit=$group/memory.limit_in_bytes \
        current=$group/memory.usage_in_bytes events=$group/memory.oom_control
    echo "# 上限 $(<"$limit") バイト, ファイル ${current##*/}"
    echo "seconds,bytes,oom_kill"
    start=${EPOCHREALTIME/./}
    # 終わらされたあとも、少しのあいだ見る
    while ((seen < 10)); do
        used=$(<"$current") now=${EPOCHREALTIME/./}
        killed=$(sed -n 's/^oom_kill //p' "$events")
        # memhog を始める前の量から見る
        if ((!begun && now > start + 200000)); then
            begun=1
            echo >&"$in"
        fi
        ((killed == 0)) || ((++seen))
        ((now < start + 60000000)) || return 1
        awk -v us=$((now - start)) "BEGIN { printf \"%.2f,$used,$killed\\n\", us / 1e6 }"
        sleep 0.05
    done
    exec {in}>&-
    wait "$launcher" || true
}

# --- 外 -----------------------------------------------------------------------
# 10 行に 1 行と、初めて終わらされた行を表にする
print_table() {
    sed -n '1s/^# //p' "$out.csv"
    awk -F, '
        NR == 2 { print "    時間   メモリー  oom_kill" }
        NR > 2 && (NR % 10 == 3 || $3 > killed) {
            printf "%6.2f s %7.1f MB %9d\n", $1, $2 / 1048576, $3
            killed = $3
        }' "$out.csv"
}

describe() {
    awk -F, 'NR > 2 && $2 > most { most = $2 }
        $3 > 0 && !end { end = $1 }
        END { printf "メモリーは %.1f MB まで増え、%.1f 秒のところで memhog が終わらされた。", most / 1048576, end }' "$out.csv"
}

run_chart "$@"
