# make matrix (tests/measure/matrix.sh) のテスト。1 度動かした表を、いくつものテストで見る
load helpers

setup_file() {
    [ "$EUID" = 0 ] || return 0
    make_repo "$BATS_FILE_TMPDIR/repo"
    cd "$BATS_FILE_TMPDIR/repo"
    this_host >../before
    SUDO_UID=1234 SUDO_GID=1234 tests/measure/matrix.sh >../table 2>../errors || true
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
    cd "$BATS_FILE_TMPDIR/repo"
    unset SUDO_UID SUDO_GID
}

# 道具とプログラムだけのコピー。壊して試せるように
make_repo() {
    local from
    from=$(dirname "$BIN")
    mkdir -p "$1/tests" "$1/slides" "$1/shared/scripts"
    cp "$TOP/shared/scripts/environment.bash" "$1/shared/scripts"
    cp -R "$TOP"/tests/{host,measure} "$1/tests"
    cp "$TOP/README.ja.md" "$1"
    cp "$TOP/slides/00.md" "$1/slides"
    cp "$from"/step0? "$1"
    cp -a "$from/rootfs" "$1"
}

# 表の 1 行の、左の列から変わったところと、その値: row_of uid
row_of() {
    awk -F '  +' -v title="$1" '
        NR == 1 { split($0, head) }
        $1 == title {
            for (i = 3; i <= NF; i++)
                if ($i != "〃")
                    row = row ", " head[i] ": " $i
            found = 1
        }
        END { print substr(row, 3); exit !found }' ../table
}

@test "the table has all columns and fits 100 columns of the terminal" {
    [ ! -s ../errors ]
    run -0 cat ../table
    [ "${#lines[@]}" = 18 ]
    [[ ${lines[0]} =~ ^調べるもの\ +ホスト\ +01\ .*\ 09$ ]]
    # 全角は 2 桁
    LC_ALL=C.UTF-8 sed 's/[^ -~]/__/g' ../table >../widths
    run ! grep -E '.{101}' ../widths
}

@test "every step changes what it adds, and nothing else" {
    [ "$(row_of 'uid')" = '02: 65534, 03: 0' ]
    [ "$(row_of 'ホスト名')" = '04: container' ]
    [ "$(row_of 'シェルの PID')" = '05: 1' ]
    [ "$(row_of '見えるプロセス')" = '05: 1' ]
    [ "$(row_of 'ネットワーク')" = '02: lo (DOWN), 09: lo veth-child' ]
    [ "$(row_of '共有メモリーの数')" = '02: 0' ]
    [[ $(row_of '見えるマウントの数') =~ ^05:\ [0-9]+,\ 06:\ 1,\ 07:\ [0-9]+,\ 08:\ [0-9]+$ ]]
    [ "$(row_of '/ の場所')" = '06: rootfs' ]
    [ "$(row_of 'ホストの / に届くか')" = '07: いいえ' ]
    [ "$(row_of 'cgroup のパス')" = '09: /' ]
    [ "$(row_of '自分だけの cgroup')" = '09: あり' ]
    [ "$(row_of 'ホストから見た uid')" = '03: 1234' ]
    [[ $(row_of 'ケーパビリティ') =~ ^02:\ 0,\ 03:\ [0-9]+,\ 08:\ 3$ ]]
    [ "$(row_of 'CPU の上限')" = '09: 0.2' ]
    [ "$(row_of 'メモリーの上限')" = '09: 50M' ]
    [ "$(row_of 'プロセス数の上限')" = '09: 64' ]
}

@test "it leaves the host as it was" {
    diff ../before ../after
}

@test "--check accepts the committed documents, whoever runs it" {
    SUDO_UID=1234 SUDO_GID=1234 run -0 tests/measure/matrix.sh --check
    [ "$output" = "" ]
}

@test "--check names the row that differs, and --update writes it anew" {
    # マウントの数の 22 は、マシンによって違うので許す。1 は、そうでない
    sed -i '/^| ホスト名 /s/container/other/; /^| 見えるマウントの数 /s/\*\*[0-9][0-9]\*\*/**22**/' README.ja.md
    sed -i '/^| シェルの PID /s/\*\*1\*\*/**2**/' slides/00.md
    run -1 tests/measure/matrix.sh --check
    [ "$(grep -c '^- *|\|^-|' <<<"$output")" = 2 ]
    [[ $output == *$'\n'-'| ホスト名 |'*other*$'\n'+'| ホスト名 |'*container* ]]
    [[ $output == *'--- slides/00.md'*'| シェルの PID |'* ]]
    [ "${lines[-2]}" = 'matrix: the table is out of date' ]
    [[ ${lines[-1]} == '  ヒント: '*--update* ]]
    run -0 tests/measure/matrix.sh --update
    run -0 tests/measure/matrix.sh --check
    # 表のほかは変わらない
    for document in README.ja.md slides/00.md; do
        diff <(grep -v '^| 見えるマウントの数 \|^| ケーパビリティ ' "$TOP/$document") \
            <(grep -v '^| 見えるマウントの数 \|^| ケーパビリティ ' "$document")
    done
}

@test "a document without the table fails the check" {
    cp slides/00.md kept
    sed -i '/^| 調べるもの /,/^$/d' slides/00.md
    run -1 tests/measure/matrix.sh --check
    mv kept slides/00.md
    [[ $output == *'slides/00.md'*'matrix: the table is out of date'* ]]
}

@test "a program that lacks its step's feature fails the check: step 04 in place of 05" {
    cp step05 kept
    cp step04 step05
    run -1 tests/measure/matrix.sh --check
    mv kept step05
    [[ $output == *'+| シェルの PID | 外と同じ | 〃 | 〃 | 〃 | 〃 | 〃 | **1** |'* ]]
    [[ $output == *'+| 見えるプロセス '* ]]
    [[ $output != *'| ホスト名 |'* ]]
}

@test "a step that does not start is an error that shows the step's own message" {
    cp step03 kept
    printf '#!/bin/sh\necho "step03: broken" >&2\nexit 125\n' >step03
    run -1 tests/measure/matrix.sh
    mv kept step03
    [[ $output == *'step03: broken'* ]]
    [[ $output == *'matrix: step 03 did not run'* ]]
    [[ $output != *調べるもの* ]]
}

@test "an unknown argument is refused, and so is a plain user" {
    run -2 tests/measure/matrix.sh --bogus
    [[ ${lines[0]} == 'matrix: unknown argument: --bogus' ]]
    [[ ${lines[1]} == '  ヒント: '* ]]
    # ホームは、その他のユーザーには見えない。コピーを試す
    mkdir -p "$USER_HOME/tests/measure" "$USER_HOME/shared/scripts"
    cp "$TOP/tests/measure/matrix.sh" "$USER_HOME/tests/measure"
    cp "$TOP/shared/scripts/environment.bash" "$USER_HOME/shared/scripts"
    run -1 setpriv --reuid 4711 --regid 4711 --clear-groups "$USER_HOME/tests/measure/matrix.sh"
    [[ ${lines[0]} == 'matrix: must be root' ]]
}
