# make matrix (tests/measure/matrix.sh) のテスト。動かすのに時間がかかるので、1 度動か
# した結果 (matrix.csv) を、いくつものテストで見る
load helpers

setup_file() {
    [ "$EUID" = 0 ] || return 0
    make_repo "$BATS_FILE_TMPDIR/repo"
    cd "$BATS_FILE_TMPDIR/repo"
    find /sys/fs/cgroup -type d -name 'matrix-*' | sort >../groups
    this_host >../before
    NO_COLOR=1 tests/measure/matrix.sh >../table 2>../errors || true
    this_host >../after
}

# ほかのスイートのコンテナに左右されないものだけ
this_host() {
    sort /proc/self/mountinfo
    ip -br link && ip -br addr && ip route show table all
    uname -n
    ipcs --shmems
    cat /proc/self/cgroup
}

setup() {
    requires root userns net cgroup
    repo=$BATS_FILE_TMPDIR/repo
    cd "$repo"
}

# 道具とプログラムだけの写し。壊して試せるように
make_repo() {
    local from
    from=$(dirname "$BIN")
    mkdir -p "$1/tests" "$1/slides/pictures"
    cp -R "$TOP/shared" "$1"
    cp -R "$TOP"/tests/{host,measure} "$1/tests"
    cp "$TOP/slides/pictures/matrix.svg" "$1/slides/pictures"
    cp "$from"/step0? "$1"
    cp -a "$from/rootfs" "$1"
}

# 表の 1 行のうち、印の付いた列: marks_of ホスト名
marks_of() {
    awk -F, -v title="$1" '
        NR == 1 { split($0, head, ",") }
        $1 == title {
            for (i = 2; i <= NF; i++)
                if ($i ~ /\*$/)
                    marks = marks " " head[i]
            found = 1
        }
        END { print substr(marks, 2); exit !found }' build/matrix/matrix.csv
}

# 1 つのセル: cell_of ホスト名 04
cell_of() {
    awk -F, -v title="$1" -v step="$2" '
        NR == 1 { for (i = 2; i <= NF; i++) if ($i == step) column = i }
        $1 == title { print $column }' build/matrix/matrix.csv
}

@test "the table has all columns and fits 100 columns of the terminal" {
    [ ! -s ../errors ]
    run -0 cat ../table
    [ "${#lines[@]}" -ge 18 ]
    [[ ${lines[0]} =~ ^\ +ホスト\ +01\ .*\ 09$ ]]
    # 全角は 2 桁
    LC_ALL=C.UTF-8 sed 's/…/_/g; s/[^ -~]/__/g' ../table >../widths
    run ! grep -E '.{101}' ../widths
    [[ $(cat ../table) != *$'\e['* ]]
}

@test "every step changes what it adds, and nothing else" {
    [ "$(marks_of '中の uid')" = "02 03" ]
    [ "$(marks_of '外から見た uid')" = "03" ]
    [ "$(marks_of 'ホスト名')" = "04" ]
    # shellcheck disable=SC2016 # $$ は表の見出し
    [ "$(marks_of '中の PID ($$)')" = "05" ]
    [ "$(marks_of '見えるプロセス')" = "05" ]
    [ "$(marks_of 'ネットワーク')" = "02 09" ]
    [ "$(marks_of 'ホストの共有メモリー')" = "02" ]
    [ "$(marks_of 'マウントの数')" = "05 06 07 08" ]
    [ "$(marks_of '/ の inode')" = "06" ]
    [ "$(marks_of 'ホストの / に届くか')" = "07" ]
    [ "$(marks_of 'ケーパビリティー')" = "02 03 08" ]
    for limit in "CPU の" メモリーの プロセス数の; do
        [ "$(marks_of "${limit}上限")" = "09" ]
    done
    [ "$(marks_of '中から見た cgroup')" = "09" ]
    [ "$(marks_of '外から見た cgroup')" = "09" ]
}

@test "the cells are what the programs do: ids, limits, links, three capabilities" {
    [ "$(cell_of '中の uid' 02)" = '65534*' ]
    [ "$(cell_of '外から見た uid' 09)" = "${SUDO_UID:-1000}" ]
    [ "$(cell_of '見えるプロセス' 05)" = '1*' ]
    [ "$(cell_of 'ネットワーク' 09)" = 'lo veth-child*' ]
    [ "$(cell_of 'ケーパビリティー' 08)" = '3*' ]
    [ "$(cell_of 'CPU の上限' 09)" = '0.2*' ]
    [ "$(cell_of 'メモリーの上限' 09)" = '50M*' ]
    [ "$(cell_of 'プロセス数の上限' 09)" = '64*' ]
    [ "$(cell_of '中から見た cgroup' 09)" = '/*' ]
    [[ $(cell_of '外から見た cgroup' 09) == */container-steps/*'*' ]]
}

@test "it leaves the host as it was" {
    diff ../before ../after
    find /sys/fs/cgroup -type d -name 'matrix-*' | sort | diff ../groups -
}

@test "the SVG is well-formed, holds the same table, and marks as many cells" {
    local svg=build/matrix/matrix.svg marked
    # make setup では入らない。入っていなければ、この 1 行だけ調べない
    ! command -v xmllint >/dev/null || xmllint --noout "$svg"
    run -0 sed -n '/^<metadata>$/,/^<\/metadata>$/p' "$svg"
    [ "$output" = "<metadata>
$(cat build/matrix/matrix.csv)
</metadata>" ]
    marked=$(tr -cd '*' <build/matrix/matrix.csv | wc -c)
    ((marked > 15))
    [ "$(grep -o '<path class="changed"' "$svg" | wc -l)" = "$marked" ]
    # 1 つ多いのは、印の見本
    [ "$(grep -o '<path class="corner"' "$svg" | wc -l)" = $((marked + 1)) ]
    grep -q '^<title .*>9 つのステップが分けるもの</title>$' "$svg"
    grep -q '^<desc .*04 で変わるもの: ホスト名 は container。.*</desc>$' "$svg"
}

@test "with color, marked cells are bold on a terminal" {
    printf 'step host\nuid 0\npid-namespace a\nstep 01\nuid 5\npid-namespace a\n' >results
    LC_ALL=C run -0 awk -v mode=table -v color=1 -f tests/measure/matrix.awk results
    [[ $output == *$'\e[1m*5\e[m'* ]]
}

@test "--check accepts the committed picture" {
    run -0 tests/measure/matrix.sh --check
    [ "$output" = "" ]
}

@test "the check names the cell in which the picture differs, by value or by mark" {
    local picture=../changed.svg
    check() {
        LC_ALL=C awk -v mode=check -f tests/measure/matrix.awk build/matrix/probes.txt $picture
    }
    cp slides/pictures/matrix.svg $picture
    run -0 check
    sed -i '/^ホスト名,/s/container\*/other*/; /^マウントの数,/s/\*//' $picture
    run -1 check
    [ "${#lines[@]}" = 2 ]
    [ "${lines[0]}" = 'ホスト名, 04: other* -> container*' ]
    [[ ${lines[1]} == 'マウントの数, 05: '*'*' ]]
    # 表のない図とは、何もかも違う
    echo '<svg/>' >$picture
    run -1 check
    ((${#lines[@]} > 50))
}

@test "a program that lacks its step's feature fails the check: step 04 in place of 05" {
    cp step05 kept
    cp step04 step05
    run -1 tests/measure/matrix.sh --check
    mv kept step05
    # shellcheck disable=SC2016 # $$ は表の見出し
    [[ $output == *'中の PID ($$), 05: 1* -> '* ]]
    [[ $output == *'見えるプロセス, 05: 1* -> '* ]]
    [[ $output == *'見えるプロセス, 06: 1 -> 1*'* ]]
    [[ $output != *'ホスト名, '* ]]
    [ "${lines[-2]}" = 'matrix: slides/pictures/matrix.svg is out of date' ]
    [[ ${lines[-1]} == '  ヒント: '* ]]
}

@test "a step that does not start is an error that shows the step's own message" {
    cp step03 kept
    printf '#!/bin/sh\necho "step03: broken" >&2\nexit 125\n' >step03
    run -1 tests/measure/matrix.sh
    mv kept step03
    [[ $output == *'step03: broken'* ]]
    [[ $output == *'matrix: step 03 did not run'* ]]
    [ -z "$(find /sys/fs/cgroup -type d -name 'matrix-*' | sort | comm -13 ../groups -)" ]
}

@test "an unknown argument is refused, and so is a plain user" {
    run -2 tests/measure/matrix.sh --bogus
    [[ ${lines[0]} == 'matrix: unknown argument: --bogus' ]]
    [[ ${lines[1]} == '  ヒント: '* ]]
    # 人のホームの中は、ほかの人には見えない。写しを試す
    mkdir -p "$USER_HOME/tests/measure"
    cp "$TOP/tests/measure/matrix.sh" "$USER_HOME/tests/measure"
    run -1 setpriv --reuid 4711 --regid 4711 --clear-groups "$USER_HOME/tests/measure/matrix.sh"
    [[ ${lines[0]} == 'matrix: must be root' ]]
}
