#!/usr/bin/env bash
# test.sh: まっさらな Debian の仮想マシンで、README の 2 つの命令を打つ。
#
# 確かめるのは「初めての人が README のとおりに打てば動く」こと。そのため:
#   - 命令は README.ja.md から読む（ここに書き写さない）
#   - 像には setup が入れる物が入っていない。一般ユーザーが sudo で入れる
#   - 1 つ目の命令はコンテナのシェルで終わる。本物の端末（pty）で打ち、
#     中で echo $$、id -u、ps と打って答えを見る
#   - 2 つ目の命令は教材の試験の全部。終了状態をそのまま返す
# 入るのは HEAD の写しで、コミットしていない変更は含まない。
#
# 環境変数: SUITE=trixie|bookworm  VM_ACCEL=tcg|kvm  VM_TIMEOUT=秒（全体）
#           VM_CPUS  VM_MEMORY  VM_TEST=他の命令（2 つ目の代わりに打つ）
#           VM_ALSO=命令（最後に打つ。起動と準備を 2 度しないため）
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

suite=${SUITE:-trixie}
readme=$vm_top/README.ja.md
passed=0
failed=0
suite_started=
logs=

# shellcheck disable=SC2317 # trap から呼ばれる
finish() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ] && [ -n "$VM_RUN" ]; then
        keep_logs || true
    fi
    vm_stop
    [ -z "$VM_RUN" ] || rm -rf "$VM_RUN"
    exit "$status"
}

# 失敗したときだけ残す。成功した回の山に埋もれさせない。
# shellcheck disable=SC2317 # finish から呼ばれる
keep_logs() {
    local file
    logs=$vm_build/logs/$suite-$(date +%Y%m%d-%H%M%S)-$$
    mkdir -p "$logs"
    if [ -S "$VM_RUN/ssh" ] && kill -0 "$VM_PID" 2>/dev/null; then
        timeout 60 ssh "${VM_SSH[@]}" "$vm_user@127.0.0.1" \
            'sudo dmesg' </dev/null >"$logs/dmesg.log" 2>&1 || true
        timeout 60 ssh "${VM_SSH[@]}" "$vm_user@127.0.0.1" \
            'sudo journalctl -b --no-pager' </dev/null \
            >"$logs/journal.log" 2>&1 || true
    fi
    for file in console qemu try suite; do
        [ ! -s "$VM_RUN/$file.log" ] || cp "$VM_RUN/$file.log" "$logs/"
    done
    vm_note "logs: ${logs#"$vm_top"/}"
}

check() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok - vm $suite: $2"
    else
        failed=$((failed + 1))
        echo "not ok - vm $suite: $2"
    fi
}

# readme_command NAME: 印 <!-- command: NAME --> の次の囲みの、ただ 1 行。
readme_command() {
    awk -v mark="<!-- command: $1 -->" '
        index($0, mark) { found = 1; next }
        found && !open && /^```(console|sh|bash)?[ \t]*$/ { open = 1; next }
        found && !open && /[^ \t]/ { exit }
        open && /^```/ { exit }
        open { sub(/^[ \t]*\$ /, ""); print }
    ' "$readme"
}

load_command() {
    local text
    text=$(readme_command "$1")
    case $text in
    '') vm_die "README.ja.md: no block after <!-- command: $1 -->" \
        "印のすぐ次に \`\`\`console か \`\`\`sh の囲みを置きます。" ;;
    *$'\n'*) vm_die "README.ja.md: block '$1' has more than one line" \
        "囲みの中は、打つ命令 1 行だけにします。" ;;
    esac
    printf '%s\n' "$text"
}

# --- 端末の向こうと話す -------------------------------------------------------
# expect(1) を足さずに済む程度の、小さな期待・応答。
PTY_TEXT=

pty_open() {
    # TERM=dumb: 色や括弧付き貼り付けの制御文字を混ぜさせない。
    coproc PTY {
        TERM=dumb exec timeout --foreground "$(vm_left)" \
            ssh "${VM_SSH[@]}" -tt "$vm_user@127.0.0.1" 2>&1
    }
    PTY_SSH=$PTY_PID
    # coproc が先に終わると bash は PTY を消す。自分の番号に複写しておく。
    exec {PTY_IN}>&"${PTY[1]}" {PTY_OUT}<&"${PTY[0]}"
}

pty_close() {
    exec {PTY_IN}>&- {PTY_OUT}<&-
    kill "$PTY_SSH" 2>/dev/null || true
    wait "$PTY_SSH" 2>/dev/null || true
}

pty_type() {
    PTY_TEXT=
    printf '%s\n' "$1" >&"$PTY_IN"
}

# pty_expect REGEX SECONDS: 画面の終わりに現れるまで待つ。
pty_expect() {
    local limit=$((SECONDS + $2)) chunk status
    while :; do
        chunk=
        status=0
        # 時間切れでも、そこまでに届いた分は chunk に入る。
        IFS= read -r -d '' -t 0.3 -u "$PTY_OUT" chunk || status=$?
        PTY_TEXT+=${chunk//$'\r'/}
        printf '%s' "$chunk" >>"$VM_RUN/try.log"
        # 長い apt の出力を毎回初めから照合しない。
        [ ${#PTY_TEXT} -le 20000 ] || PTY_TEXT=${PTY_TEXT: -2000}
        [[ ! $PTY_TEXT =~ $1 ]] || return 0
        # 128 を超えるのは時間切れ。それ以外の失敗は接続が切れた印。
        if [ "$status" -ne 0 ] && [ "$status" -le 128 ]; then
            return 1
        fi
        if [ $SECONDS -ge $limit ] || [ $SECONDS -ge "$VM_DEADLINE" ]; then
            return 1
        fi
    done
}

# pty_ask COMMAND: 打って、その答え（反響とプロンプトを除く）を ANSWER に置く。
# 次のプロンプトは「行末に # か $ と空白」。dash でも bash でも ash でも同じ。
pty_ask() {
    pty_type "$1"
    ANSWER=
    pty_expect $'\n[^\n]*[#$] $' 60 || return 1
    # 1 行目は打った命令の反響。最後の行は次のプロンプト。
    ANSWER=${PTY_TEXT#*"$1"$'\n'}
    case $ANSWER in
    *$'\n'*) ANSWER=${ANSWER%$'\n'*} ;;
    *) ANSWER= ;;
    esac
}

# ps の答えに、シェルと ps 自身の他は 1 つもないこと。
only_own_processes() {
    awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "PID") column = i; next }
        $column == 1 { first = 1 }
        $NF ~ /(^|\/)-?(sh|dash|bash|ash|busybox|ps)$/ { own++; next }
        { other++ }
        END { exit !(column && first && own >= 1 && own <= 3 && !other) }' \
        <<<"$ANSWER"
}

try_command() {
    local started=$SECONDS status=0
    pty_open
    pty_expect '[#$] $' 120 || true
    # 終わった命令の終了状態が分かるプロンプトにする。export しないので、
    # コンテナの中のシェルには伝わらない（見分けも付く）。
    # 手元の標準入力が端末でないと、ssh は反響なしの pty を作る。sane に戻す。
    pty_type "stty sane rows 24 cols 80; cd repo && PS1='<<\$?>> '"
    pty_expect '(^|[^\n]*\n)<<0>> $' 60 || status=1
    check $status 'a login shell on a terminal, in the repository'
    status=0
    pty_type "$1"
    pty_expect $'\n([^\n<]*[#$]|<<[0-9]+>>) $' "$(vm_left)" || status=1
    [[ ! $PTY_TEXT =~ \<\<[0-9]+\>\>\ $ ]] || status=1
    check $status "README: '$1' ends in a shell"
    vm_note "README's first command: $((SECONDS - started)) s"
    if [ $status -ne 0 ]; then
        tail -n 25 <<<"$PTY_TEXT" | sed 's/^/#   /'
        pty_close
        return 0
    fi
    # shellcheck disable=SC2016 # 展開するのは中のシェル
    pty_ask 'echo $$' || true
    [ "$ANSWER" = 1 ] || status=1
    check $status "inside, 'echo \$\$' answers 1 (got '$ANSWER')"
    status=0
    pty_ask 'id -u' || true
    [ "$ANSWER" = 0 ] || status=1
    check $status "inside, 'id -u' answers 0 (got '$ANSWER')"
    status=0
    pty_ask ps || true
    only_own_processes || status=1
    check $status "inside, 'ps' shows only the container's processes"
    [ $status -eq 0 ] || printf '#   %s\n' "${ANSWER//$'\n'/$'\n#   '}"
    status=0
    pty_type exit
    pty_expect $'\n<<0>> $' 60 || status=1
    check $status "'exit' comes back to the user's shell with status 0"
    # 端末が壊れていれば、打った文字の反響か答えのどちらかが来ない。
    status=0
    pty_type 'stty -a | grep -c " echo "'
    pty_expect $'grep -c " echo "\n1\n<<0>> $' 60 || status=1
    check $status 'the terminal is as before'
    pty_close
}

# --- 教材の試験 ---------------------------------------------------------------
# run_suite NAME COMMAND
run_suite() {
    local status=0 env=(VM=1) name quoted
    # 呼んだ人が決めた厳しさは、中でも同じにする。
    for name in CI REQUIRE_ALL V; do
        [ -z "${!name-}" ] || env+=("$name=${!name}")
    done
    printf -v quoted '%q ' "${env[@]}"
    suite_started=$SECONDS
    : >>"$VM_RUN/suite.log" # tail より先に、必ずあるように
    # 終わりまで打ったものは、もう流さない
    local seen
    seen=$(wc -c <"$VM_RUN/suite.log")
    vm_ssh "cd repo && export $quoted && exec bash -l" <<<"$2" \
        >>"$VM_RUN/suite.log" 2>&1 &
    local ssh=$! tail
    # 出たそばから画面にも流す。前面で待つのは wait だけにする。前面の命令を
    # 待っているあいだ、bash は trap（SIGTERM の後始末）を動かさないため。
    tail -c +$((seen + 1)) -f --pid=$ssh -s 0.5 "$VM_RUN/suite.log" &
    tail=$!
    wait $ssh || status=$?
    wait $tail || true
    vm_note "$1: $((SECONDS - suite_started)) s, exit $status"
    [ "$status" -ne 124 ] ||
        vm_note 'the suite ran into the overall time limit (VM_TIMEOUT)'
    return $status
}

# 最後の行は、ここの検査と中の試験を足したもの。
summary() {
    local p f s
    read -r p f s < <(vm_totals "$VM_RUN/suite.log")
    passed=$((passed + p))
    failed=$((failed + f))
    # 中の試験が数を出さずに落ちた（ビルドの失敗など）のも 1 つの失敗。
    [ "$1" -eq 0 ] || [ "$f" -gt 0 ] || failed=$((failed + 1))
    echo "$passed passed, $failed failed, $s skipped"
}

vm_check_suite "$suite"
vm_need qemu-system-x86_64 ssh git awk setpriv setsid timeout
vm_set_deadline "${VM_TIMEOUT:-3600}"
[ -e "$readme" ] || vm_die 'README.ja.md: No such file or directory' \
    "打つ命令は README.ja.md から読みます。"
try=$(load_command try)
suite_command=${VM_TEST:-$(load_command test)}
vm_accel_args

image=$(VM_TIMEOUT=$(vm_left) "$vm_here/image.sh" "$suite")
vm_note "image ready after $SECONDS s: ${image#"$vm_top"/}"
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
vm_work_dir
# tar を置いたディスクとして渡すと、ssh で送るよりずっと速い。
vm_start "$image" "$image/base.img" \
    -drive "file=$image/debs.tar,format=raw,if=virtio,readonly=on"
# 起動を待つあいだに写しを作る。
vm_clone "$VM_RUN/repo"
[ -z "$(vm_git status --porcelain)" ] ||
    vm_note 'uncommitted changes are not part of this test (it takes HEAD)'
vm_wait
vm_ssh 'sudo tar -C /var/cache/apt/archives -xf /dev/vdb' </dev/null ||
    vm_note 'the package cache could not be used; the VM downloads instead'
vm_send "$VM_RUN/repo"
# shellcheck disable=SC2016 # 展開するのはゲスト
vm_note "$(vm_ssh '. /etc/os-release; echo "$PRETTY_NAME, Linux $(uname -r)"' \
    </dev/null)"

try_command "$try"
status=0
run_suite "README's second command" "$suite_command" || status=$?
if [ -n "${VM_ALSO:-}" ]; then
    run_suite "$VM_ALSO" "$VM_ALSO" || status=$?
fi
summary "$status"
vm_note "total: $SECONDS s"
if [ "$status" -eq 0 ] && [ "$failed" -gt 0 ]; then
    status=1
fi
exit "$status"
