#!/usr/bin/env bash
# 1 つのステップの要件を、使い捨てのホストの中で順に調べる (check.sh が使う)。
#   judge.bash STEP FROM   FROM は、初めに調べる要件の番号 (1 から)
# 要件は tests/STEP-*.bats のテストで、bats の代わりに、この 1 つのシェルが読んで動かす。
# 環境変数: BIN (試すプログラム)、SHOWN (その見せ方)、WORK (詳しい結果を書く
# ディレクトリ)、SPENT (ここまでの時間 [ms])、FAILED (ここまでの失敗の数)、AGAIN (確かめ直す
# 要件の番号)。
# 結果は、1 つに 1 行: 番号、ok か ng か skip か late、時間 [ms]、要件 (タブ区切り)。
# すべて調べたら 0、新しいホストで続きから始めるべきなら 3、初めの失敗を確かめ直すべきなら
# 4 で終わる。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=places.bash
. "$(dirname "${BASH_SOURCE[0]}")/places.bash"
STEP=$1 FROM=$2
export STEP
# 時間 [ms]。混んだ機械では、遅い分だけ延ばす (SLOW)
FIRST_LIMIT=2500 # 失敗するまでは、1 つの要件に
LATER_LIMIT=1000 # 1 つ失敗したあとは、1 つの要件に
BUDGET=4300      # 1 つ失敗したあとは、全体に
MOST_WAIT=2000   # テストの中で、起きるのを待つのは
[[ $STEP != 09* ]] || FIRST_LIMIT=5000 LATER_LIMIT=2500 BUDGET=12000
export WAIT_FACTOR=1 WAIT_MOST # tests/helpers.bash

now() { # NOW に、今の時刻 [ms]
    NOW=${EPOCHREALTIME/[.,]/}
    NOW=${NOW%???}
}

# --- テストを読む --------------------------------------------------------------
# @test を関数にしたものを書く。行の番号は変わらない
read_suite() {
    local line pattern='^@test "(.*)" \{$' count=0 number=0
    WISHES=() STARTS=() NAMES=() HANDS=() PLACES=() ITEMS=() LINES=()
    local wish='' hand='' place='' items=''
    mapfile -t LINES <"$SUITE"
    for line in "${LINES[@]}"; do
        ((++number))
        case $line in
        '# 要件: '*) wish=${line#*: } ;;
        '# 要件なし: '*) wish=none ;;
        '# 手で'*) hand+=${line#'# 手で'}$'\n' ;;
        '# 手引き: '*) place=${line#*: } ;;
        '# 項目: '*) items=${line#*: } ;;
        esac
        if [[ $line =~ $pattern ]]; then
            ((++count))
            STARTS[count]=$number
            WISHES[count]=${wish:-${BASH_REMATCH[1]}} NAMES[count]=${BASH_REMATCH[1]}
            HANDS[count]=$hand PLACES[count]=$place ITEMS[count]=$items
            wish='' hand='' place='' items=''
            line="judged_$count() {"
        fi
        printf '%s\n' "$line"
    done
}

# --- bats の語 -----------------------------------------------------------------
load() {
    # shellcheck disable=SC1090
    . "$TOP/tests/$1.bash"
}

bats_require_minimum_version() { :; }

skip() {
    printf '%s\n' "$1" >"$DETAIL/skip"
    exit 0
}

# run [-N | !] [--separate-stderr] COMMAND...
run() {
    local wanted='' separate=''
    while :; do
        case $1 in
        --separate-stderr) separate=1 ;;
        -[0-9]*) wanted=${1#-} ;;
        !) wanted=! ;;
        *) break ;;
        esac
        shift
    done
    note_command "$@"
    # 成功しなくても、ここでは失敗ではない
    if [[ -n $separate ]]; then
        output=$("$@" 2>"$BATS_TEST_TMPDIR/.stderr") && status=0 || status=$?
        stderr=$(<"$BATS_TEST_TMPDIR/.stderr")
        split_lines stderr_lines "$stderr"
    else
        output=$("$@" 2>&1) && status=0 || status=$?
        unset stderr stderr_lines
    fi
    split_lines lines "$output"
    case $wanted in
    '') ;;
    !) ((status)) ;;
    *) ((status == wanted)) ;;
    esac
}

# 空でない行
split_lines() {
    local IFS=$'\n'
    read -rd '' -a "$1" <<<"$2" || true
}

# --- 失敗のくわしい様子 --------------------------------------------------------
# 語を、端末に打てる形にする
quote() {
    local word shown=()
    for word; do
        [[ $word == "$BIN" || $word == "${USER_HOME-}/step$STEP" ]] && word=$SHOWN
        word=${word//"$BATS_TEST_TMPDIR"//tmp}
        case $word in
        '' | *[!A-Za-z0-9_/.,:=@%+-]*)
            [[ $word == *[$'\n\t\e\r']* ]] && word=${word@Q} || word=\'${word//\'/\'\\\'\'}\'
            ;;
        esac
        shown+=("$word")
    done
    printf '%s' "${shown[*]}"
}

note_command() {
    case $1 in
    inside) set -- "$BIN" run sh -c "$2" ;;
    within) shift 2 ;;
    esac
    case $1 in
    as_user) shift ;;
    as_sudoer) set -- sudo "${@:2}" ;;
    as_plain_root) set -- sudo env -u SUDO_UID -u SUDO_GID "${@:2}" ;;
    "$BIN") set -- sudo "$@" ;;
    esac
    quote "$@" >"$DETAIL/command"
}

# 失敗した行の、期待と結果。ERR の trap から呼ぶ。$( ) の中の失敗は、まだ失敗とは限らない
note_failure() {
    local command=$1 at line=0 file=$DETAIL/failure
    [[ $BASHPID == "$TEST_PID" && ! -e $file ]] || return 0
    for at in "${!FUNCNAME[@]}"; do
        [[ ${FUNCNAME[at]} != "judged_$NUMBER" ]] || line=${BASH_LINENO[at - 1]}
    done
    {
        printf 'line\t%s\n' "$line"
        explain "$command"
    } >"$file"
    [[ -z ${status-} ]] || printf '%s' "$status" >"$DETAIL/status"
    [[ -z ${output-} ]] || printf '%s\n' "$output" >"$DETAIL/output"
    [[ -z ${stderr-} ]] || printf '%s\n' "$stderr" >>"$DETAIL/output"
}

# 比べているものの値
explain() {
    local pattern='^\[ (.*) (=|!=|-eq|-ne|-lt|-le|-gt|-ge|-ef) (.*) \]$' left right bare=$1
    # 関数の引数は、ここからは見えない。' ' の中は awk などのもの
    while [[ $bare == *\'*\'* ]]; do
        bare=${bare%%\'*}${bare#*\'*\'}
    done
    if [[ $1 == '(('*status*wanted* ]]; then
        printf 'status\t%s\n' "$wanted"
    elif [[ $1 =~ $pattern && $bare != *\$[0-9@*#?]* ]]; then
        eval "left=${BASH_REMATCH[1]} right=${BASH_REMATCH[3]}" || return 0
        left=${left//$'\t'/ } right=${right//$'\t'/ }
        printf 'compare\t%s\t%s\t%s\n' "${BASH_REMATCH[2]}" "${right//$'\n'/␤}" "${left//$'\n'/␤}"
    elif ((line > 0)); then
        read -r left <<<"${LINES[line - 1]}"
        printf 'claim\t%s\n' "$left"
    fi
}

# --- 1 つずつ調べる ------------------------------------------------------------
judge_one() {
    NUMBER=$1 TEST_PID=$BASHPID
    set +m +u +o pipefail
    exec 3>&- 4>&- </dev/null >"$DETAIL/messages" 2>&1
    # shellcheck disable=SC2034 # テストが使う
    BATS_TEST_NUMBER=$NUMBER BATS_TEST_TMPDIR=$BATS_RUN_TMPDIR/test/$NUMBER
    mkdir -p "$BATS_TEST_TMPDIR"
    trap 'finish $?' EXIT
    set -eET
    trap 'note_failure "$BASH_COMMAND"' ERR
    ! declare -F setup >/dev/null || setup
    "judged_$NUMBER"
}

finish() {
    local result=ok
    trap - ERR EXIT
    set +eET
    (($1 == 0)) || result=ng
    ! declare -F teardown >/dev/null || teardown || result=ng
    [[ ! -e $DETAIL/skip ]] || result=skip
    echo "$result" >"$WORK/done"
}

# 要件を調べた前と後で、使い捨てのホストの様子が同じか
host_state() {
    STATE=$(</proc/self/mountinfo)$(</proc/sys/kernel/hostname)
}

judge_all() {
    local number before result started limit
    for ((number = FROM; number <= ${#NAMES[@]}; number++)); do
        [[ ${WISHES[number]} != none ]] || continue
        DETAIL=$WORK/$number
        mkdir "$DETAIL"
        printf '%s\n' "${HANDS[number]}" >"$DETAIL/hand"
        printf '%s\n' "${WISHES[number]}" >"$DETAIL/wish"
        printf '%s\n' "${PLACES[number]}" "${ITEMS[number]}" "${NAMES[number]}" >"$DETAIL/place"
        host_state && before=$STATE
        now && started=$NOW
        limit=$((FIRST_LIMIT * SLOW / 100)) WAIT_MOST=$((MOST_WAIT * SLOW * 10))
        if ((FAILED > 0 || AGAIN == number)); then
            limit=$((LATER_LIMIT * SLOW / 100)) WAIT_MOST=$((LATER_LIMIT * SLOW * 4))
            # 確かめ直すものは、いつも調べる。そうしないと、失敗したものが 1 つも残らない
            ((AGAIN == number || SPENT + started - BEGUN + limit <= BUDGET * SLOW / 100)) || limit=0
        fi
        result=late
        if ((limit > 0)); then
            set -m
            judge_one "$number" &
            set +m
            read -r -t "$((limit / 1000)).$(printf %03d $((limit % 1000)))" -u 3 result || result=hang
            # 残ったものを終わらせる。PID 1 と自分のほかは、すべて
            kill -KILL -1 2>/dev/null || true
            wait 2>/dev/null || true
        fi
        if [[ $result == @(ng|hang) ]]; then
            # 初めの失敗は、新しいホストでもう一度確かめる。たまたま遅かっただけかもしれない
            ((FAILED > 0 || AGAIN == number)) || { tidy_cgroups && exit 4; }
            ((++FAILED))
        fi
        [[ -e $DETAIL/failure ]] || printf 'line\t%s\n' "${STARTS[number]}" >"$DETAIL/failure"
        now
        printf '%s\t%s\t%s\t%s\n' "$number" "$result" "$((NOW - started))" "${WISHES[number]}"
        host_state
        # 途中で終わらせたか、ホストが元のままでないなら、新しいホストで続ける
        if [[ $result == hang || $STATE != "$before" ]]; then
            tidy_cgroups
            exit 3
        fi
    done
}

# 途中で終わらせたテストの、重ねたままの cgroup (tests/host/cgroups.bash)
tidy_cgroups() {
    local root point rest
    declare -F remove_private_cgroups >/dev/null || return 0
    while read -r _ _ _ root point rest; do
        [[ ${root##*/} == bats-* && $rest == *' - cgroup'* ]] || continue
        # shellcheck disable=SC2034 # remove_private_cgroups が使う
        PRIVATE=${root##*/} POINTS=("$point")
        remove_private_cgroups || true
    done </proc/self/mountinfo
}

now && BEGUN=$NOW
SUITE=$TOP/$(cd "$TOP" && suite_of "$STEP")
export BATS_RUN_TMPDIR=$WORK/bats/$FROM
export BATS_SUITE_TMPDIR=$BATS_RUN_TMPDIR/suite BATS_TEST_FILENAME=$SUITE
mkdir -p "$BATS_SUITE_TMPDIR"
rm -f "$WORK/done"
mkfifo "$WORK/done"
exec 3<>"$WORK/done"
read_suite >"$WORK/suite.bash"
# shellcheck source-path=SCRIPTDIR source=../../tests/setup_suite.bash
. "$TOP/tests/setup_suite.bash"
setup_suite
# 混んだ機械や、ソフトウェアで動く仮想マシンでは、準備が遅い分だけ長く待つ。プログラムを
# 動かす前に 1 度だけ測る
if [[ ! -e $WORK/slow ]]; then
    now
    SLOW=$(((NOW - BEGUN) * 100 / 150))
    ((SLOW >= 100)) || SLOW=100
    ((SLOW <= 1500)) || SLOW=1500
    echo "$SLOW" >"$WORK/slow"
fi
SLOW=$(<"$WORK/slow")
# shellcheck disable=SC1091
. "$WORK/suite.bash"
judge_all
