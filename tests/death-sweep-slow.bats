# いつ死んでも: ランチャー、コンテナの PID 1、その両方を、どのシステムコールのとこ
# ろで殺しても、何も残らず、コマンドが半端に隔離されて動くこともない。
# ここでは場所を間引く。すべての場所は death-slow.bats
# shellcheck disable=SC2034,SC2154
load helpers
load inject

setup_file() {
    [ "$(id -u)" = 0 ] && command -v strace >/dev/null && command -v gcc >/dev/null || return 0
    # bats の作業ディレクトリーは、SUDO_UID の人には読めない
    DEATH_DIR=$(mktemp -d /tmp/death.XXXXXX)
    export DEATH_DIR BIN_DIR
    BIN_DIR=$(dirname "$BIN")
    chmod 755 "$DEATH_DIR"
    build_inject "$DEATH_DIR"
}

teardown_file() {
    [ -z "${DEATH_DIR:-}" ] || rm -rf "$DEATH_DIR"
}

setup() {
    requires root userns strace gcc
    PRIVATE=()
    prepare_inject "$DEATH_DIR"
    # id が変わると PR_SET_PDEATHSIG が消える。やさしくないほうで試す
    export SUDO_UID=4711 SUDO_GID=4712
}

teardown() {
    release_cgroups
}

for_steps() {
    local body=$1 step failed=
    shift
    for step; do
        prepare_deaths "$step"
        "$body"
        report_deaths || failed=1
    done
    [ -z "$failed" ]
}

kill_launcher() { sweep KILL launcher 137 some exit before launcher child; }
kill_child() { sweep KILL child "137 125" some exit launcher child; }
kill_both() { sweep KILL both 137 some exit launcher child; }
stop_with_term() { sweep TERM launcher 143 some exit before launcher child; }
stop_with_int() { sweep INT launcher 130 some exit before launcher child; }
stop_with_hup() { sweep HUP launcher 129 some exit before launcher child; }

@test "01 to 04: SIGKILL of the launcher at any system call ends the child too" {
    for_steps kill_launcher 01 02 03 04
}

@test "05, 07: SIGKILL of the launcher at any system call leaves nothing" {
    for_steps kill_launcher 05 07
}

@test "09: SIGKILL of the launcher at any system call leaves nothing after the next run" {
    for_steps kill_launcher 09
}

@test "05, 07, 09: SIGKILL of the container's PID 1 at any system call leaves nothing" {
    for_steps kill_child 05 07 09
}

@test "05: SIGKILL of both at any system call leaves nothing" {
    for_steps kill_both 05
}

@test "05, 07, 09: SIGTERM at any system call: exit status 143, nothing is left" {
    for_steps stop_with_term 05 07 09
}

@test "05: SIGINT at any system call: exit status 130, nothing is left" {
    for_steps stop_with_int 05
}

@test "05: SIGHUP at any system call: exit status 129, nothing is left" {
    for_steps stop_with_hup 05
}

kill_in_time() { sweep_time KILL 137 0 10000 100; }
stop_in_time() { sweep_time TERM 143 0 10000 200; }

@test "01, 05, 09: SIGKILL 0 to 10 ms after the start, untraced, leaves nothing" {
    unset SUDO_UID SUDO_GID
    for_steps kill_in_time 01 05 09
}

@test "05, 09: SIGTERM 0 to 10 ms after the start, untraced: exit status 143" {
    unset SUDO_UID SUDO_GID
    for_steps stop_in_time 05 09
}

# PID 1 は、ハンドラーのないシグナルを捨てる。exec の前に読んだ SigBlk を exec のあ
# とで信じると、SIGTERM が失われる
@test "05: SIGTERM is not lost when the command starts while the launcher looks at it" {
    prepare_deaths 05
    local line
    "$WORK/inject" -o "$WORK/result" -r launcher,waitid,1,exit,kill=TERM@launcher \
        -r child,rt_sigprocmask,1,entry,delay=200 -r launcher,read,1,exit,delay=500 \
        -- "${PAUSED[@]}" >/dev/null
    read -r line <"$WORK/result"
    echo "$line"
    [[ $line == *"status=143 fired=3 "*"hung=0"* ]]
}

# strace の子である、ランチャーの PID。strace は、初めに別の子も作る
find_traced() {
    read -r LAUNCHER _ <"/proc/$1/task/$1/children" || true # 改行で終わらない
    [[ -n $LAUNCHER && /proc/$LAUNCHER/exe -ef ${PAUSED[0]} ]]
}

# 回収を待つだけになったか、もういない
has_ended() {
    local stat=
    read -r stat 2>/dev/null <"/proc/$1/stat" || true
    [[ -z $stat || $stat == *") Z "* ]]
}

# strace でゆっくり動かしているところを殺す
kill_slowed() {
    local delay ms tracer
    for delay in clone3:delay_exit prctl:delay_enter prctl:delay_exit \
        setresuid:delay_enter setresuid:delay_exit; do
        for ms in 0 20 40 60; do
            # 背後のコマンドは、SIGINT と SIGQUIT を無視して始まる
            env --default-signal=INT,QUIT strace -f -o /dev/null -e trace=clone3,prctl,setresuid \
                -e inject="$delay=20000:when=1..3" "${PAUSED[@]}" \
                >"$WORK/out" 2>"$WORK/err" </dev/null 3>&- &
            tracer=$!
            retry 5 find_traced "$tracer"
            sleep "0.0$ms"
            kill -KILL "$LAUNCHER" 2>/dev/null || true
            retry 2 has_ended "$tracer" || problem=" strace-still-has-a-process"
            kill -KILL "$tracer" 2>/dev/null || true
            wait "$tracer" 2>/dev/null || true
            local status=137 hung=0 left=0 where="$delay, $ms ms" problem=${problem:-}
            check_death 137
            problem=
        done
    done
}

@test "05, 09: SIGKILL while strace delays clone3, prctl and setresuid leaves nothing" {
    for_steps kill_slowed 05 09
}

# --- 残った cgroup -------------------------------------------------------------

leave_groups() {
    "$WORK/inject" -o "$WORK/result" -r launcher,rt_sigtimedwait,1,entry,kill=KILL@launcher \
        -- "${PAUSED[@]}" >/dev/null
    has_groups
}

@test "09: a directory of the same name that is not ours is refused, not waited for" {
    requires cgroup
    prepare_deaths 09
    ((${#PRIVATE[@]} > 0)) || skip "needs cgroups of its own"
    mkdir "${PRIVATE[0]}/container-steps"
    local status=0
    timeout 5 "${SHORT[@]}" || status=$?
    rmdir "${PRIVATE[0]}/container-steps"
    [ "$status" = 125 ]
}

@test "09: the next run removes a dead launcher's cgroup though its PID is in use again" {
    requires cgroup
    prepare_deaths 09
    ((${#PRIVATE[@]} > 0)) || skip "needs cgroups of its own"
    leave_groups
    local dir
    for dir in "${PRIVATE[@]}"; do
        mkdir -m 1755 "$dir/container-steps/$$" 2>/dev/null || true
    done
    "${SHORT[@]}" >/dev/null
    find "${PRIVATE[@]/%//container-steps}" -type d 2>/dev/null || true
    no_groups || { rmdir "${PRIVATE[@]/%//container-steps/$$}" "${PARENTS[@]}" && false; }
}
