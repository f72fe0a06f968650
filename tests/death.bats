# いつ死んでも: ランチャー、コンテナの PID 1、その両方を、どのシステムコールの
# ところで殺しても、何も残らず、コマンドが半端に隔離されて動くこともない。
# ここでは、間引いた瞬間の表 (death.sh --some) を読む。すべての瞬間は make test-death
# shellcheck disable=SC2034,SC2154
load helpers
load campaign/inject

setup_file() {
    [ "$(id -u)" = 0 ] && command -v strace >/dev/null && command -v gcc >/dev/null || return 0
    DEATH_TABLE=$BATS_FILE_TMPDIR/table
    BIN_DIR=$(dirname "$BIN")
    export DEATH_TABLE BIN_DIR
    "$TOP/tests/campaign/death.sh" --some >"$DEATH_TABLE" 2>&1 3>&- || true
    build_inject "$BATS_FILE_TMPDIR"
}

setup() {
    requires root userns strace gcc
}

# 表のその行が、すべて問題なしで、少なくともその回数だけ試している
#   all_well TRIES SIGNAL TARGET MOMENTS STEP...
all_well() {
    local tries=$1 signal=$2 who=$3 how=$4 step
    shift 4
    for step; do
        awk -v row="$step $signal $who $how" -v tries="$tries" '
            $1 " " $2 " " $3 " " $4 == row && $5 >= tries && $6 == 0 { found = 1 }
            END { exit !found }' "$DEATH_TABLE" && continue
        echo "no good row: $step $signal $who $how"
        grep -A 20 "^$step $signal *$who *$how" "$DEATH_TABLE" || cat "$DEATH_TABLE"
        return 1
    done
}

@test "01 to 04: SIGKILL of the launcher at any system call ends the child too" {
    all_well 45 KILL launcher some 01 02 03 04
}

@test "05 to 09: SIGKILL of the launcher at any system call leaves nothing" {
    all_well 70 KILL launcher some 05 06 07 08
    all_well 150 KILL launcher some 09
}

@test "05, 07, 09: SIGKILL of the container's PID 1 at any system call leaves nothing" {
    all_well 35 KILL child some 05 07 09
}

@test "05, 09: SIGKILL of both at any system call leaves nothing" {
    all_well 35 KILL both some 05 09
}

@test "01, 05, 07, 09: SIGTERM at any system call: exit status 143, nothing is left" {
    all_well 45 TERM launcher some 01 05 07 09
}

@test "05: SIGTERM of PID 1 or of both at any system call leaves nothing" {
    all_well 35 TERM child some 05
    all_well 35 TERM both some 05
}

@test "05: SIGINT and SIGHUP at any system call: exit status 130 and 129, nothing is left" {
    all_well 70 INT launcher some 05
    all_well 70 HUP launcher some 05
}

@test "01, 05, 09: SIGKILL 0 to 10 ms after the start, untraced, leaves nothing" {
    all_well 101 KILL launcher time:100:10000 01 05 09
}

@test "01, 05, 09: SIGTERM 0 to 10 ms after the start, untraced: exit status 143" {
    all_well 51 TERM launcher time:200:10000 01 05 09
}

@test "05: SIGKILL while strace delays clone3, prctl and setresuid leaves nothing" {
    all_well 20 KILL launcher strace 05
}

# --- 1 つの瞬間 -----------------------------------------------------------------

# 1 回だけの試験に要るもの。名前空間は、スイートのものを使う
prepare_one() {
    CAMPAIGN_DIR=$(mktemp -d /tmp/campaign.XXXXXX)
    chmod 755 "$CAMPAIGN_DIR"
    cp "$BATS_FILE_TMPDIR/inject" "$CAMPAIGN_DIR"
    mkdir -p "$CAMPAIGN_DIR/fs"
    prepare_inject "$CAMPAIGN_DIR/one"
    cp -a "$TOP/rootfs/fs/." "$WORK/fs"
    ln -f "$WORK/inject" "$WORK/fs/inject"
    set_command "$1" pause
}

teardown() {
    [ -z "${CAMPAIGN_DIR:-}" ] || remove_private_cgroups
    [ -z "${CAMPAIGN_DIR:-}" ] || rm -rf "$CAMPAIGN_DIR"
}

# PID 1 は、ハンドラーのないシグナルを捨てる。exec の前に読んだ SigBlk を exec の
# あとで信じると、SIGTERM が失われる
@test "05: SIGTERM is not lost when the command starts while the launcher looks at it" {
    prepare_one 05
    "$WORK/inject" -o "$WORK/result" -r launcher,waitid,1,exit,kill=TERM@launcher \
        -r child,rt_sigprocmask,1,entry,delay=200 -r launcher,read,1,exit,delay=500 \
        -- "${COMMAND[@]}" >/dev/null
    cat "$WORK/result"
    [[ $(<"$WORK/result") == *"status=143 fired=1 "*"hung=0"* ]]
}

# 切れた端末のプロセスグループには、シェルやカーネルも SIGCONT を送る
# 守る行: is_blocked_when_stopped() の繰り返し
@test "05: SIGTERM is not lost when somebody continues the command while the launcher stops it" {
    prepare_one 05
    "$WORK/inject" -o "$WORK/result" -r "launcher,kill,1,exit,delay=$((1000 * SLOWNESS))" \
        -- "${COMMAND[@]}" >/dev/null 3>&- &
    local injector=$! pid
    retry 10 find_traced "$injector"
    kill -TERM "$LAUNCHER"
    pid=$CONTAINER
    retry 10 grep -q '^State:.T' "/proc/$pid/status"
    kill -CONT "$pid"
    wait "$injector"
    cat "$WORK/result"
    [[ $(<"$WORK/result") == *"status=143 "*"hung=0"* ]]
}

# inject の始めたランチャーと、その中で動き出したコマンド
find_traced() {
    LAUNCHER=$(pgrep -P "$1") && find_container
}

# 網は 3 枚あり、どれか 1 枚でも親の死に気づく。ほかを外して、1 枚だけにする
only_net() {
    "$WORK/inject" -o "$WORK/result" "$@" -- "${COMMAND[@]}" >"$WORK/out"
    cat "$WORK/result"
    [[ $(<"$WORK/result") == *" status=137 fired=$FIRED executed=0 "*"left=0" && ! -s $WORK/out ]]
}

# 守る行: gate_wait() の close(pipes->gate[1]) と length == 0
@test "03, 05, 09: without a death signal, the closed gate alone ends the child" {
    local step
    for step in 03 05 09; do
        prepare_one $step
        FIRED=2 only_net -r child,prctl,1,entry,skip=0 -r child,read,1,entry,kill=KILL@launcher
        teardown
    done
}

# 守る行: die_with_parent() の POLLERR
@test "02, 05, 09: a launcher that died before the death signal was asked for is noticed" {
    local step
    for step in 02 05 09; do
        prepare_one $step
        FIRED=1 only_net -r child,prctl,1,entry,kill=KILL@launcher
        teardown
    done
}

# 守る行: become_root() のあとの die_with_parent(pipes)
@test "03, 05, 09: the death signal is set again after the change of uid" {
    local step
    for step in 03 05 09; do
        prepare_one $step
        FIRED=1 only_net -r child,rt_sigprocmask,1,entry,kill=KILL@launcher
        teardown
        prepare_one $step
        # 開いたゲートを、もう通ったあと
        FIRED=1 only_net -r child,setresuid,1,exit,kill=KILL@launcher
        teardown
    done
}

leave_groups() {
    "$WORK/inject" -o "$WORK/result" -r launcher,rt_sigtimedwait,1,entry,kill=KILL@launcher \
        -- "${COMMAND[@]}" >/dev/null
    has_groups
}

@test "09: a directory of the same name that is not ours is refused, not waited for" {
    requires cgroup
    prepare_one 09
    mkdir "${PARENTS[0]}"
    set_command 09
    local status=0
    timeout 20 "${COMMAND[@]}" || status=$?
    rmdir "${PARENTS[0]}"
    [ "$status" = 125 ]
}

# 守る行: remove_stale() の flock()。PID では決めない
@test "09: the next run removes a dead launcher's cgroup though its PID is in use again" {
    requires cgroup
    prepare_one 09
    leave_groups
    local dir
    for dir in "${PARENTS[@]}"; do
        mkdir -m 1755 "$dir/$$"
    done
    set_command 09
    "${COMMAND[@]}" >/dev/null
    find "${PARENTS[@]}" -type d 2>/dev/null || true
    ! has_groups || { rmdir "${PARENTS[@]/%//$$}" "${PARENTS[@]}" && false; }
}
