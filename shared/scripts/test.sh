#!/usr/bin/env bash
# スイートを動かす。
#   test.sh                       すべてのスイート
#   test.sh --bin-dir DIR [--all] DIR にある、サニタイザー付きのプログラムで。
#                                 プログラムを動かさないものと、受け継いだテストの
#                                 うち 02 から 08 のもの (09 と同じテスト) は省く。
#                                 --all なら省かない
#   test.sh 05 cli                選んだスイートだけ
#   test.sh --negative            どのテストも、1 つ前のステップでは失敗するか
# スイートは 1 つずつ使い捨てのホストで動くので、CPU の数だけ並べて動かせる。
# load だけは、ほかのテストの時間まで奪うので、最後に 1 つで動かす。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export TOP
bin_dir=$TOP
negative='' all=''
suites=()

fail() {
    printf 'test.sh: %s\n  ヒント: %s\n' "$1" "$2" >&2
    exit 1
}

while (($#)); do
    case $1 in
    --bin-dir) bin_dir=$(realpath "$2") && shift ;;
    --negative) negative=1 ;;
    --all) all=1 ;;
    *) suites+=("$1") ;;
    esac
    shift
done
cd "$TOP"

[[ $(id -u) == 0 ]] || fail "must be root" "make test (sudo は make が付けます)"
command -v bats >/dev/null ||
    fail "bats: command not found" "sudo apt-get install bats (すべて入れるなら make setup)"

# sudo で始めても、スイートの中の root は「sudo を使わない root」とする
unset SUDO_UID SUDO_GID SUDO_USER SUDO_COMMAND
# make から始めても、スイートの中の make は 1 つ目の make として動く
unset MAKEFLAGS MFLAGS MAKELEVEL
# /tmp のかわりの場所 (pam_tmpdir(8)) は、ほかのユーザーには読めない
unset TMPDIR

# LeakSanitizer は ptrace(2) を使うので、strace で調べるテストとは一緒に使えない
sanitized=
[[ $bin_dir == "$TOP" ]] || export sanitized=1 ASAN_OPTIONS=detect_leaks=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 1 つの単位: NAME STEP PROGRAM BATS の引数...
# TOP に空白や ' があってもよいように、PROGRAM は bin_dir からの、
# ファイルは TOP からの相対パスにする
# ステップ 05 のテストのうち to07 の付いたものは、06 と 07 のプログラムでも成り立つ
plan() {
    local n file name
    for n in 01 02 03 04 05 06 07 08 09; do
        echo "$n $n step$n tests/$n-*.bats"
        # 遅い所では、すべてを受け継いだ最後のステップだけ
        [[ $n == 09 || ($n != 01 && (-n $all || -z ${VM:-}$sanitized)) ]] || continue
        echo "$n-inherited $n step$n" $(seq -f "--filter-tags to%02g" "$n" 9) \
            $(seq -f "tests/%02g-*.bats" $((10#$n - 1)))
    done
    for file in tests/[a-z]*.bats; do
        name=$(basename "$file" .bats)
        case $name in
        *-slow) continue ;;
        vm-*) [[ -n ${VM:-} && -d /run/systemd/system ]] || continue ;;
        # サニタイザー付きのプログラムを動かさない
        host | rootfs | tools | kit | doctor | learn | mistakes) [[ -n $all || -z $sanitized ]] || continue ;;
        # エンジンが要るので、make test-engines で
        engines) continue ;;
        oci) echo "oci 09-oci step09-oci $file" && continue ;;
        esac
        # ld.so.preload で入り込もうとするテストは、サニタイザーと合わない
        echo "$name 09 step09${sanitized:+ --filter-tags !san:no} $file"
    done
}

plan_negative() {
    local n before=/bin/true
    for n in 01 02 03 04 05 06 07 08 09; do
        echo "$n $n $before tests/$n-*.bats"
        before=step$n
    done
    # 発展課題の答えのかわりに、答えのないプログラムで
    echo "solutions 09 step09 tests/solutions.bats"
}

# SUITE は、拡張子のない名前 (rootfs) か、ステップの番号 (05)
plan_selected() {
    local suite file n
    for suite in "${suites[@]}"; do
        file=tests/$suite.bats
        [[ -e $file ]] || file=$(compgen -G "tests/$suite-*.bats") ||
            fail "no such suite: $suite" "05 のような番号か、tests/ にある .bats の名前です"
        n=${suite:0:2}
        [[ $n == 0[1-9] ]] || n=09
        [[ $suite != oci && $suite != engines ]] || n=09-oci
        echo "$(basename "$file" .bats) $n step$n $file"
    done
}

# 使い捨てのホストで bats を動かし、結果を見せる
run_unit() {
    local name=$1 status=0 start=$SECONDS host=("$TOP/tests/host/host.sh")
    local tap=$work/$1.tap
    export STEP=$2 BIN
    BIN=$(cd "$bin_dir" && realpath "$3")
    shift 3
    case $name in
    rootfs-slow) host+=(--real-network) ;;                                   # パッケージを取りに行く
    vm-*) host=(unshare --mount env --default-signal IN_OWN_NAMESPACES=1) ;; # 本物の systemd と話す
    esac
    # shellcheck disable=SC2048,SC2086 # tests/05-*.bats は、ここで広げる
    "${host[@]}" bats --tap $* </dev/null >"$tap" 2>"$tap.err" || status=$?
    # 失敗したテストがないのに失敗したのは、
    # bats がテストを動かさなかったか、途中で終わったとき
    if ! grep -q '^1\.\.' "$tap" || { ((status)) && ! grep -q '^not ok ' "$tap"; }; then
        echo "not ok 1 $name: bats did not run all tests (status $status)" >>"$tap"
        sed 's/^/# /' "$tap.err" >>"$tap"
    fi
    report "$name" "$((SECONDS - start))" <"$tap"
}

# 数と、失敗したテストと skip したテスト。数えた表 (load-slow) は、成功しても
# 見せる。1 つ前のステップで成功したテストは、このステップの何も見ていない。だから
# negative では、成功と失敗を入れ替える
report() {
    awk -v name="$1" -v seconds="$2" -v negative="$negative" '
        /^(not )?ok / { result = negative ? /^ok/ : /^not ok/; show = result }
        /^ok .*# skip/ { result = "skipped"; show = 1 }
        /^(not )?ok / { count[result]++ }
        show || /^# .* before, .* after/ { text = text $0 "\n" }
        END {
            printf "%-16s %3d passed, %d failed, %d skipped %4d s\n%s",
                name, count[0], count[1], count["skipped"], seconds, text
            print count[0] + 0, count[1] + 0, count["skipped"] + 0 >>counts
        }' counts="$work/counts" -
}

# 計画のうち、条件に合う行を、指定した数だけ並べて動かす
run_units() {
    # shellcheck disable=SC2016 # 展開するのは、内側の bash
    awk "$2" "$work/plan" | xargs --no-run-if-empty -P "$1" -L 1 bash -c 'run_unit "$@"' run
}

export -f run_unit report
export work negative bin_dir
if [[ -n $negative ]]; then
    # どのテストも失敗するはずなので、待つ時間は短くてよい (tests/helpers.bash)
    export WAIT_FACTOR=${WAIT_FACTOR:-1}
    echo "passed: fails with the program of the step before" >&2
    plan_negative
elif ((${#suites[@]})); then
    plan_selected
else
    plan
fi >"$work/plan"

# 起動したばかりの様子を見るものから始める
run_units 1 '/^vm-/'
run_units "$(nproc)" '!/^(vm-|load )/'
run_units 1 '/^load /'
awk '{ p += $1; f += $2; s += $3 }
    END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$work/counts"
