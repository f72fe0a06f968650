#!/usr/bin/env bash
# スイートを動かす。
#   test.sh [--bin-dir DIR]      すべてのスイート
#   test.sh 05 cli               選んだスイートだけ
#   test.sh --bin PATH 05        05 のテストを、別のプログラムで
#   test.sh --negative           どのテストも、1 つ前のステップでは失敗するか
# スイートは 1 つずつ専用の名前空間で動くので、CPU の数だけ並べて動かせる。load だけは、
# ほかのテストの時間まで奪うので、最後に 1 つで動かす。
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export TOP
bin_dir=$TOP
bin=
negative=
suites=()

while (($#)); do
    case $1 in
    --bin-dir) bin_dir=$(realpath "$2") && shift ;;
    --bin) bin=$(realpath "$2") && shift ;;
    --negative) negative=1 ;;
    *) suites+=("$1") ;;
    esac
    shift
done

if [[ $(id -u) != 0 ]]; then
    echo "test.sh: must be root" >&2
    echo "  ヒント: make test (sudo は make が付けます)" >&2
    exit 1
fi
if ! command -v bats >/dev/null; then
    echo "test.sh: bats: command not found" >&2
    echo "  ヒント: sudo apt-get install bats (すべて入れるなら make setup)" >&2
    exit 1
fi

# sudo で始めても、スイートの中の root は「sudo を使わない root」とする
unset SUDO_UID SUDO_GID SUDO_USER SUDO_COMMAND
# make から始めても、スイートの中の make は 1 つ目の make として動く
unset MAKEFLAGS MFLAGS MAKELEVEL

# LeakSanitizer は ptrace(2) を使うので、strace で調べるテストとは一緒に使えない
[[ $bin_dir == "$TOP" ]] || export ASAN_OPTIONS=detect_leaks=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 1 つの単位: NAME STEP BIN BATS の引数...
# ステップ 05 のテストのうち to07 の付いたものは、06 と 07 のプログラムでも成り立つ
plan() {
    local n m tags file
    # 起動したばかりの様子を見るものから始める
    if [[ -n ${VM:-} && -d /run/systemd/system ]]; then
        for file in "$TOP"/tests/vm-*.bats; do
            echo "$(basename "$file" .bats) 09 $bin_dir/step09 $file"
        done
    fi
    for n in 01 02 03 04 05 06 07 08 09; do
        echo "$n $n $bin_dir/step$n $TOP/tests/$n-*.bats"
        # 遅い仮想マシンでは、すべてを受け継いだ最後のステップだけ
        [[ $n != 01 && (-z ${VM:-} || $n == 09) ]] || continue
        tags=
        for ((m = 10#$n; m <= 9; m++)); do
            tags+=" --filter-tags to0$m"
        done
        echo "$n-inherited $n $bin_dir/step$n$tags$(
            for ((m = 1; m < 10#$n; m++)); do printf ' %s' "$TOP/tests/0$m"-*.bats; done
        )"
    done
    # ld.so.preload で入り込もうとするテストは、サニタイザーと合わない
    tags=
    [[ $bin_dir == "$TOP" ]] || tags=" --filter-tags !san:no"
    for file in "$TOP"/tests/[a-z]*.bats; do
        [[ $file != *-slow.bats && $file != */vm-*.bats ]] || continue
        echo "$(basename "$file" .bats) 09 $bin_dir/step09$tags $file"
    done
}

plan_negative() {
    local n before=/bin/true
    for n in 01 02 03 04 05 06 07 08 09; do
        echo "$n $n $before $TOP/tests/$n-*.bats"
        before=$bin_dir/step$n
    done
    # 発展課題の答えのかわりに、答えのないプログラムで
    echo "solutions 09 $bin_dir/step09 $TOP/tests/solutions.bats"
}

# SUITE は、拡張子のない名前 (rootfs) か、ステップの番号 (05)
plan_selected() {
    local suite file n
    for suite in "${suites[@]}"; do
        file=$TOP/tests/$suite.bats
        [[ -e $file ]] || file=$(compgen -G "$TOP/tests/$suite-*.bats") || {
            echo "test.sh: no such suite: $suite" >&2
            exit 1
        }
        n=${suite:0:2}
        [[ $n == 0[1-9] ]] || n=09
        echo "$(basename "$file" .bats) $n ${bin:-$bin_dir/step$n} $file"
    done
}

# 専用の名前空間で bats を動かし、TAP を $work/NAME.tap に残す
run_unit() {
    local name=$1
    export STEP=$2 BIN=$3
    shift 3
    local status=0 start=$SECONDS
    local private="--fork --pid --uts --ipc --net --mount --mount-proc"
    [[ $name != rootfs-slow ]] || private=${private/--net/} # パッケージを取りに行く
    [[ $name != vm-* ]] || private=--mount                  # 本物の systemd と話す
    # setup_suite.bash が確かめる。ないまま動かすと、ホストの /etc を覆ってしまう
    export IN_OWN_NAMESPACES=1
    # 背後で始められると INT や HUP が無視されたままになるので、元に戻す
    # shellcheck disable=SC2048,SC2086 # tests/05-*.bats は、ここで広げる
    env --default-signal unshare $private \
        sh -c 'ip link set lo up && exec bats --tap "$@"' bats $* \
        </dev/null >"$work/$name.tap" 2>"$work/$name.err" || status=$?
    # bats が 1 つもテストを見つけずに終わったのは、失敗
    if ! grep -qE '^1\.\.' "$work/$name.tap"; then
        echo "not ok 1 $name: bats did not run (status $status)" >>"$work/$name.tap"
        sed 's/^/# /' "$work/$name.err" >>"$work/$name.tap"
    fi
    echo $((SECONDS - start)) >"$work/$name.seconds"
}

report() {
    local name=$1 tap=$work/$1.tap passed failed skipped
    skipped=$(grep -cE '^ok .*# skip' "$tap") || true
    passed=$(($(grep -cE '^ok ' "$tap") - skipped)) || true
    failed=$(grep -cE '^not ok ' "$tap") || true
    if [[ -n $negative ]]; then
        # 前のステップで成功したテストは、このステップの何も見ていない
        printf '%-16s %3d fail without the step, %d do not\n' "$name" "$failed" "$passed"
        grep -E '^ok ' "$tap" | grep -v '# skip' || true
        echo "$failed $passed $skipped" >>"$work/counts"
    else
        printf '%-16s %3d passed, %d failed, %d skipped %4d s\n' \
            "$name" "$passed" "$failed" "$skipped" "$(<"$work/$name.seconds")"
        # 数えた表 (load-slow) は、成功しても見せる
        awk '/^(not )?ok /{show = /^not ok/ || /# skip/} show || /^# .* before, .* after/' "$tap"
        echo "$passed $failed $skipped" >>"$work/counts"
    fi
}

# 計画の行を標準入力から読み、指定した数だけ並べて動かす
run_units() {
    # shellcheck disable=SC2016 # 展開するのは、中の bash
    xargs --no-run-if-empty -P "$1" -L 1 bash -c 'run_unit "$@"; report "$1"' run
}

export -f run_unit report
export work negative
if [[ -n $negative ]]; then
    # どのテストも失敗するはずなので、待つ時間は短くてよい (tests/helpers.bash)
    export WAIT_FACTOR=${WAIT_FACTOR:-1}
    plan_negative
elif ((${#suites[@]})); then
    plan_selected
else
    plan
fi >"$work/plan"

awk '$1 != "load"' "$work/plan" | run_units "$(nproc)"
awk '$1 == "load"' "$work/plan" | run_units 1
awk '{ p += $1; f += $2; s += $3 }
    END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$work/counts"
