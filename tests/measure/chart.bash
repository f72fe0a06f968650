# chart.bash - 使い捨てのホストの中で測り、表とグラフにする (cpu-chart.sh, memory-chart.sh)
# 読み込む側が決めるもの: CHART (cpu-chart など)、TITLE、out (build/$CHART)、inside (測る)、
# print_table、describe (グラフを読み上げるための 1 文)。終わりに run_chart "$@" とする
# shellcheck shell=bash disable=SC2154

fail() {
    echo "$CHART.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit "${3:-1}"
}

draw() {
    if ! command -v gnuplot >/dev/null; then
        echo 'グラフも見るには: sudo apt-get install gnuplot-nox'
        return
    fi
    gnuplot -c "tests/measure/$CHART.gp" "$out.csv" "$out.svg"
    # 読み上げのための名前と説明を、測った数にする
    sed -i "0,/<title>/s|<title>.*</title>|<title>$TITLE</title>|
        s|<desc>.*</desc>|<desc>$(describe)</desc>|" "$out.svg"
    [[ ! -t 1 ]] || gnuplot -c "tests/measure/$CHART.gp" "$out.csv"
    echo "$out.svg"
}

measure() {
    [[ $(id -u) == 0 ]] || fail 'must be root' "make $CHART (sudo は make が付けます)"
    tests/host/host.sh -- "tests/measure/$CHART.sh" inside >"$out.part" ||
        fail 'a measurement failed' '上のメッセージを見てください'
    mv "$out.part" "$out.csv"
    print_table
    draw
    # sudo で動かしても、結果は本人のもの
    chown --reference=GNUmakefile build "$out".*
    [[ ${1-} != --update ]] || cat "$out.svg" >"slides/pictures/$CHART.svg"
}

run_chart() {
    case ${1-} in
    inside) inside ;;
    '' | --update) measure "$@" ;;
    *) fail "unknown argument: $1" "$CHART.sh [--update]" 2 ;;
    esac
}
