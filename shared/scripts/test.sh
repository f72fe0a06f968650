#!/usr/bin/env bash
# スイートを動かす。
#   test.sh                       すべてのスイート
#   test.sh --bin-dir DIR [--all] DIR にある、サニタイザー付きのプログラムで。プログラムを動
#                                 かさないものと、受け継いだテストのうち 02 から 08 の
#                                 もの (09 と同じテスト) は省く。--all なら省かない
#   test.sh 05 cli                選んだスイートだけ
#   test.sh --bin PATH 05         05 のテストを、別のプログラムで。初めの失敗を詳しく見せ、
#                                 3 つ失敗したら、残りは省く
#   test.sh --negative            どのテストも、1 つ前のステップでは失敗するか
# スイートは 1 つずつ使い捨てのホストで動くので、CPU の数だけ並べて動かせる。load だけ
# は、ほかのテストの時間まで奪うので、最後に 1 つで動かす。
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export TOP
bin_dir=$TOP
bin='' negative='' all=''
suites=()

while (($#)); do
    case $1 in
    --bin-dir) bin_dir=$(realpath "$2") && shift ;;
    --bin)
        bin=$(realpath "$2")
        export CHECK=1 # tests/helpers.bash が、失敗したあとは長く待たない
        shift
        ;;
    --negative) negative=1 ;;
    --all) all=1 ;;
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

sanitized=
if [[ $bin_dir != "$TOP" ]]; then
    sanitized=1
    # LeakSanitizer は ptrace(2) を使うので、strace で調べるテストとは一緒に使えない
    export ASAN_OPTIONS=detect_leaks=0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 1 つの単位: NAME STEP BIN BATS の引数...
# ステップ 05 のテストのうち to07 の付いたものは、06 と 07 のプログラムでも成り立つ
plan() {
    local n m tags file name
    # 起動したばかりの様子を見るものから始める
    if [[ -n ${VM:-} && -d /run/systemd/system ]]; then
        for file in "$TOP"/tests/vm-*.bats; do
            echo "$(basename "$file" .bats) 09 $bin_dir/step09 $file"
        done
    fi
    for n in 01 02 03 04 05 06 07 08 09; do
        echo "$n $n $bin_dir/step$n $TOP/tests/$n-*.bats"
        # 遅い所では、すべてを受け継いだ最後のステップだけ
        [[ $n == 09 || ($n != 01 && (-n $all || -z ${VM:-}$sanitized)) ]] || continue
        tags=
        for ((m = 10#$n; m <= 9; m++)); do
            tags+=" --filter-tags to0$m"
        done
        echo "$n-inherited $n $bin_dir/step$n$tags$(
            for ((m = 1; m < 10#$n; m++)); do printf ' %s' "$TOP/tests/0$m"-*.bats; done
        )"
    done
    for file in "$TOP"/tests/[a-z]*.bats; do
        name=$(basename "$file" .bats)
        case $name in
        *-slow | vm-*) continue ;;
        # プログラムを動かさない
        rootfs | tools) [[ -n $all || -z $sanitized ]] || continue ;;
        esac
        # ld.so.preload で入り込もうとするテストは、サニタイザーと合わない
        echo "$name 09 $bin_dir/step09${sanitized:+ --filter-tags !san:no} $file"
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

# 使い捨てのホストで bats を動かし、TAP を $work/NAME.tap に残す
run_unit() {
    local name=$1 status=0 start=$SECONDS host=("$TOP/tests/host/host.sh")
    export STEP=$2 BIN=$3 TAP=$work/$1.tap
    shift 3
    case $name in
    rootfs-slow) host+=(--real-network) ;;                  # パッケージを取りに行く
    vm-*) host=(unshare --mount env IN_OWN_NAMESPACES=1) ;; # 本物の systemd と話す
    esac
    [[ -z $bin ]] || host+=(bash -c 'end_stuck & exec "$@"' bash)
    # shellcheck disable=SC2048,SC2086 # tests/05-*.bats は、ここで広げる
    "${host[@]}" bats --tap $* </dev/null >"$TAP" 2>"$work/$name.err" || status=$?
    # bats が 1 つもテストを見つけずに終わったのは、失敗
    if ! grep -qE '^1\.\.' "$TAP"; then
        echo "not ok 1 $name: bats did not run (status $status)" >>"$TAP"
        sed 's/^/# /' "$work/$name.err" >>"$TAP"
    fi
    echo $((SECONDS - start)) >"$work/$name.seconds"
}

# 止まったままのプログラムを終わらせる。ゲートを開け忘れたランチャーは、いつまでも待つ
end_stuck() {
    local after=${STUCK_AFTER:-30}
    while sleep 1; do
        ! grep -q '^not ok ' "$TAP" || after=5
        pkill -KILL --older "$after" -f "^/(mnt|media)/(workshop|attendee)/${BIN##*/} run" || true
    done
}

report() {
    local name=$1 tap=$work/$1.tap passed failed skipped left
    left=$(grep -c '# skip left out$' "$tap") || true
    skipped=$(($(grep -cE '^ok .*# skip' "$tap") - left)) || true
    passed=$(($(grep -cE '^ok ' "$tap") - skipped - left)) || true
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
        awk -v one="$bin" '
            /^(not )?ok /{ show = /^not ok/ || (/# skip/ && !/# skip left out$/) }
            show || /^# .* before, .* after/
            # 自分のプログラムを試すときは、初めの失敗だけを詳しく
            /^not ok / { if (one && failures++) show = 0 }' "$tap"
        ((left == 0)) || echo "... left out: $left tests (3 have failed)"
        echo "$passed $failed $skipped" >>"$work/counts"
    fi
}

# 計画の行を標準入力から読み、指定した数だけ並べて動かす
run_units() {
    # shellcheck disable=SC2016 # 展開するのは、中の bash
    xargs --no-run-if-empty -P "$1" -L 1 bash -c 'run_unit "$@"; report "$1"' run
}

export -f run_unit end_stuck report
export work negative bin
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
