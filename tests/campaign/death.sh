#!/usr/bin/env bash
# ランチャー、コンテナの PID 1、その両方を、あらゆる瞬間に終わらせ、何が残るかを
# 調べる。瞬間とは、どちらかがシステムコールに入るとき、または出たところ。
#   death.sh [STEP...]         すべての瞬間、すべてのシグナル (数分)
#   death.sh --some [STEP...]  間引いたもの (数十秒)
#   BIN_DIR=dir death.sh       stepNN を別の場所から
#
# どの瞬間でも、次のとおりでなければならない。
#   - プロセス、リンク、アドレス、経路、マウントが残らない
#   - cgroup は、遅くとも次に動かしたときには消える
#   - コマンドは、隔離が済んでから動くか、動かないか。ランチャーが先に死んだなら動かない
#   - 終了ステータスは 128+n (準備のあいだに子を失ったランチャーは 125)
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export TOP
# shellcheck source=inject.bash
source "$TOP/tests/campaign/inject.bash"

# 調べることの一覧: ステップ シグナル 相手 方法
#   entry, exit  入るとき、出たところ。some は、同じ名前のものを最初の 2 つと最後だけ
#   time:US:TO   ptrace なしで、始めてから US マイクロ秒おきに、TO まで
#   strace       strace で遅らせた clone3, prctl, setresuid の前後
plan_all() {
    local step signal who
    for step in 09 08 07 06 05 04 03 02 01; do
        for signal in KILL TERM INT HUP; do
            for who in launcher child both; do
                # INT と HUP は、扱いが TERM と同じ
                [[ $signal == [IH]* && $who != launcher ]] || echo "$step $signal $who entry"
                [[ $signal == [IH]* ]] || echo "$step $signal $who exit"
            done
            [[ $signal != KILL && $signal != TERM ]] || echo "$step $signal launcher time:40:20000"
        done
        [[ $step == 01 ]] || echo "$step KILL launcher strace"
    done
}

plan_some() {
    local step
    echo "09 KILL launcher some"
    echo "09 KILL both some"
    echo "09 KILL child some"
    echo "09 TERM launcher some"
    for step in 09 05 01; do
        echo "$step KILL launcher time:100:10000"
        echo "$step TERM launcher time:200:10000"
    done
    echo "05 KILL launcher strace"
    for step in 08 07 06 05 04 03 02 01; do
        echo "$step KILL launcher some"
    done
    for step in 07 05 01; do
        echo "$step KILL child some"
        echo "$step TERM launcher some"
    done
    echo "05 KILL both some"
    echo "05 TERM both some"
    echo "05 TERM child some"
    echo "05 INT launcher some"
    echo "05 HUP launcher some"
}

# --- 1 回 ------------------------------------------------------------------------

# ステップの呼び出しを調べ、元の状態を覚える
prepare_deaths() {
    STEP=$1 PROBLEMS=() TRIES=0
    read_state
    BEFORE=$STATE
    set_command "$STEP"
    SHORT=("${COMMAND[@]}")
    list_calls
    # ここから先は、コマンドが終わるまで届かない
    WAITS=$(awk '$1 == "launcher" && $2 == "rt_sigtimedwait" { print $4; exit }' "$WORK/list")
    # ゲートのないステップでは、ランチャーが clone から戻る前に、コマンドが動いていてもよい
    CLONES=
    ((10#$STEP > 2)) || CLONES=$(awk '$1 == "before" { n = $4 } END { print n }' "$WORK/list")
    set_command "$STEP" pause
    PAUSED=("${COMMAND[@]}")
    # 残った cgroup を片付けるだけなら、veth を待たなくてよい
    NEXT=("${SHORT[0]}" run --no-veth "${SHORT[@]:2}")
}

# 役の、殺す場所 (通し番号)
points() {
    awk -v role="$1" -v how="$2" '
        $1 == role { name[$4] = $2; n = $4; first[$2] += 0; last[$2] = $4 }
        END {
            print 0
            for (i = 1; i <= n; i++)
                if (name[i] != "" && (how != "some" || ++first[name[i]] <= 2 || last[name[i]] == i))
                    print i
        }' "$WORK/list"
}

# 結果の変数 (status, hung, ...) と WORK/out を調べる。WANTED は許す終了ステータス
check_death() {
    local out="" line=""
    TRIES=$((TRIES + 1))
    IFS= read -r -d '' out <"$WORK/out" || true
    [[ " $1 " == *" $status "* ]] || problem+=" exit status $status, not ${1// / or };"
    [[ $hung == 0 ]] || problem+=" hangs;"
    [[ $left == 0 ]] || problem+=" $left processes left;"
    [[ -z $out || $out == "$EXPECTED" ]] ||
        problem+=" half isolated: $(differences "$EXPECTED" "$out");"
    # exec の瞬間に SIGKILL が届いていると、もうどの cgroup にもいない
    [[ $executed == 0 || -z $out || $groups == "$GROUPS_WANTED" ]] || problem+=" in $groups cgroups;"
    until_true 5 same_state "$BEFORE" ||
        problem+=" host changed: $(differences "$BEFORE" "$STATE");"
    # cgroup は、遅くとも次に動かしたときには消える
    if has_groups; then
        "${NEXT[@]}" >/dev/null 2>&1 || problem+=" the next run fails;"
        ! has_groups || problem+=" cgroups left;"
        until_true 5 same_state "$BEFORE" || problem+=" the next run changes the host;"
    fi
    [[ -n $problem ]] || return 0
    IFS= read -r line <"$WORK/err" || true
    PROBLEMS+=("$where:$problem $line")
}

# その瞬間に殺し、そのあとを調べる: kill_at ROLE N WHEN SIGNAL WHO
kill_at() {
    local role=$1 n=$2 when=$3 signal=$4 who=$5 wanted problem=
    local where="$role $n $when"
    # shellcheck disable=SC2034 # 結果の行にあるものを、すべて受け取る
    local -i status=-1 fired=0 executed=0 groups=0 hung=0 left=0 launcher=0
    case $signal-$who in
    KILL-child) wanted="137 125" ;;
    # 外から直接送られたら、PID 1 は捨てる。PID 1 でなければ終わる
    *-child) wanted=0 && ((10#$STEP > 4)) || wanted="0 143" ;;
    KILL-*) wanted=137 ;;
    TERM-*) wanted=143 ;;
    INT-*) wanted=130 ;;
    HUP-*) wanted=129 ;;
    esac
    COMMAND=("${PAUSED[@]}")
    [[ $signal == KILL || $who != child ]] || COMMAND=("${SHORT[@]}")
    if [[ $role == launcher ]]; then
        # 待っているところからは、戻らない
        ((n != WAITS)) || when=entry
        if ((n > WAITS)); then
            COMMAND=("${SHORT[@]}")
            # コマンドが終わってからでは、間に合わなくてもよい
            [[ $signal == KILL ]] || wanted+=" 0"
        fi
    fi
    "$WORK/inject" -o "$WORK/result" -r "$role,any,$n,$when,kill=$signal@$who" -- \
        "${COMMAND[@]}" >"$WORK/out" 2>"$WORK/err" </dev/null
    take_result
    # 自分のいた瞬間なら、exec したかどうかで決まる
    [[ $signal-$role-$who != KILL-child-child ]] || wanted=$((executed ? 137 : 125))
    if ((fired != 1)); then
        # 後始末で待つ回数は、そのつど違う
        [[ ${COMMAND[*]} == "${SHORT[*]}" ]] || problem+=" the moment never came;"
        wanted+=" 0"
    fi
    # ランチャーが先に死んだなら、コマンドは動かない
    [[ $role == launcher || $role$n == "before$CLONES" || $signal != KILL || ! -s $WORK/out ]] || problem+=" the command ran;"
    check_death "$wanted"
}

# 同じ欠陥は、何百回も見なくてよい
seen_enough() {
    ((${#PROBLEMS[@]} >= 5))
}

# --- 方法 ------------------------------------------------------------------------

# 役ごとに、それぞれの瞬間で
sweep() {
    local signal=$1 who=$2 how=$3 role n when=$3
    local roles=(before launcher child)
    [[ $who == launcher ]] || roles=(launcher child)
    [[ $how != some ]] || when="exit"
    for role in "${roles[@]}"; do
        for n in $(points "$role" "$how"); do
            ! seen_enough || return 0
            # もう子はいない
            [[ $who == launcher || $role != launcher ]] || ((n <= WAITS)) || continue
            kill_at "$role" "$n" "$when" "$signal" "$who"
        done
    done
}

# ptrace なしで、STEP_US おきに
sweep_time() {
    local signal=$1 step_us=$2 to=$3 us where problem wanted=137
    [[ $signal == KILL ]] || wanted=143
    for ((us = 0; us <= to; us += step_us)); do
        ! seen_enough || break
        # shellcheck disable=SC2034 # 結果の行にあるものを、すべて受け取る
        local -i status=-1 fired=0 executed=0 groups=0 hung=0 left=0 launcher=0
        where="after $us us" problem=
        "$WORK/inject" -o "$WORK/result" -t "$us,$signal" -- "${PAUSED[@]}" \
            >"$WORK/out" 2>"$WORK/err" </dev/null
        take_result
        check_death "$wanted"
    done
}

# strace の子である、ランチャーの PID。strace は、初めに別の子も作る
find_traced() {
    read -r LAUNCHER _ <"/proc/$1/task/$1/children" || true # 改行で終わらない
    [[ -n $LAUNCHER && /proc/$LAUNCHER/exe -ef ${PAUSED[0]} ]]
}

# 回収を待つだけになったか、もういない
has_ended() {
    local stat=
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || true
    [[ -z $stat || $stat == *") Z "* ]]
}

# strace でゆっくり動かしているところを殺す
sweep_strace() {
    local delay ms tracer where problem
    local -i status hung=0 left=0 executed=0 groups=0
    for delay in clone3:delay_exit prctl:delay_enter prctl:delay_exit \
        setresuid:delay_enter setresuid:delay_exit; do
        [[ $delay != setresuid:* ]] || grep -q '^child setresuid' "$WORK/list" || continue
        for ms in 0 12 24 36; do
            ! seen_enough || return 0
            # 背後のコマンドは、SIGINT と SIGQUIT を無視して始まる
            env --default-signal=INT,QUIT strace -f -o /dev/null -e trace=clone3,prctl,setresuid \
                -e inject="$delay=20000:when=1..3" "${PAUSED[@]}" \
                >"$WORK/out" 2>"$WORK/err" </dev/null &
            tracer=$!
            problem='' where="$delay, $ms ms"
            until_true 20 find_traced "$tracer"
            sleep "0.0$ms" # 待つのではなく、瞬間を選んでいる
            kill -KILL "$LAUNCHER" 2>/dev/null || true
            until_true 20 has_ended "$tracer" || problem+=" processes left;"
            kill -KILL "$tracer" 2>/dev/null || true
            status=0
            wait "$tracer" 2>/dev/null || status=$?
            check_death 137
        done
    done
}

# 1 つの行
run_unit() {
    local step=$1 signal=$2 who=$3 how=$4
    trap remove_private_cgroups EXIT
    prepare_inject "$CAMPAIGN_DIR/$step-$signal-$who-$how"
    prepare_deaths "$step"
    case $how in
    time:*) IFS=: read -r _ us to <<<"$how" && sweep_time "$signal" "$us" "$to" ;;
    strace) sweep_strace ;;
    *) sweep "$signal" "$who" "$how" ;;
    esac
    printf '%s %-4s %-8s %-15s %5d %8d\n' \
        "$step" "$signal" "$who" "$how" "$TRIES" "${#PROBLEMS[@]}"
    ((${#PROBLEMS[@]} == 0)) || printf '    %s\n' "${PROBLEMS[@]}"
}

# --- 全体 ------------------------------------------------------------------------

if [[ ${1:-} == --unit ]]; then
    run_unit "${@:2}"
    exit
fi

plan=plan_all
if [[ ${1:-} == --some ]]; then
    plan=plan_some
    shift
fi
[[ $# != 0 ]] || set -- 01 02 03 04 05 06 07 08 09
prepare_campaign "$@"

printf '%-2s %-4s %-8s %-15s %5s %8s\n' step signal target moments tries problems
$plan | awk -v steps="$*" 'index(steps, $1)' | run_units "$(($(nproc) * 2))"
awk '/the unit failed$/ { problems++; next }
    /^0[1-9] / { tries += $5; problems += $6; if ($5 == 0) problems++; next }
    END {
        printf "%d tries, %d problems\n", tries, problems
        exit problems > 0 || tries == 0
    }' "$CAMPAIGN_DIR/table"
