#!/usr/bin/env bash
# 自分の書いたプログラムが、ステップの要件を満たすかを調べる。
#   check.sh 05             my/05/main.c を作って調べる
#   check.sh --bin PATH 05  作ってあるプログラムを調べる
#   check.sh --watch 05     保存するたびに調べる (Ctrl-C で終わる)
# すべて満たせば 0、満たさないものがあれば 1 で終わる。
set -euo pipefail

NAME=check
# shellcheck source-path=SCRIPTDIR source=learn.bash
. "$(dirname "${BASH_SOURCE[0]}")/learn.bash"

bin='' watch=''
while (($#)); do
    case $1 in
    --bin) bin=$2 && shift ;;
    --watch) watch=1 ;;
    *)
        is_step "$1" || fail "no such step: $1" '01 から 09 を指定します: make check05' 2
        step=$1
        ;;
    esac
    shift
done

# 数と、初めの失敗と、次にすること
report() {
    local total=$((PASSED + FAILED + UNKNOWN)) color=$GREEN
    ((FAILED + UNKNOWN == 0)) || color=$RED
    ((UNKNOWN == 0)) || printf '  %s・ 残りの %d 個は、まだ調べていません%s\n' "$DIM" "$UNKNOWN" "$RESET"
    printf '\n%s要件 %d 個のうち、%d 個を満たしています%s\n' "$color$BOLD" "$total" "$PASSED" "$RESET"
    if ((FAILED + UNKNOWN > 0)); then
        explain_failure "$step"
        [[ -n $bin ]] || printf '\n  次の一手は make hint%s\n' "$step"
    elif [[ -z $bin ]]; then
        congratulate
    fi
}

congratulate() {
    local next
    printf '  読む: %s の「確かめる」から先\n' "$(guide "$step")"
    if [[ -n $watch ]]; then
        show_difference
    else
        printf '  比べる: make answer%s (こちらのプログラムとの違い)\n' "$step"
    fi
    if [[ $step == 09-oci ]]; then
        printf '  本物のエンジンから動かせます: sudo podman --runtime "%s" run …\n' "$PWD/my/step09-oci"
    elif [[ $step != 09 ]]; then
        next=$(after "$step")
        printf '  次: make start%s (my/%s/main.c: %s)\n' "$next" "$next" "$(title_of "$next")"
    else
        printf '  9 つのステップが、すべて終わりました\n'
        printf '  続き (任意): make start09-oci (%s)\n' "$(title_of 09-oci)"
    fi
}

# 違いの初めだけ。冒頭のコメントは、いつも違う
show_difference() {
    local text
    text=$("$SCRIPTS/diff.sh" --from "my/$step/main.c" "$step" | sed '1d; /^== header/,$d')
    [[ $text == *[![:space:]]* ]] || return 0
    printf '  こちらのプログラムとの違い (全体は make answer%s):\n' "$step"
    head -n 30 <<<"$text" | sed 's/^/    /'
}

# my/05/main.c を作って調べる
check_mine() {
    local mark status=0
    require_mine "$step"
    mark=$(stamp "$step")
    build "$step" || return 1
    [[ -n ${JUDGE_PID-} ]] || start_judge
    ask "$step" "$PROGRAM" "my/step$step" || status=$?
    ((status != 2)) || return 2
    remember "$step" "$mark"
    report
    return "$status"
}

# --- 見張る --------------------------------------------------------------------
# 時刻では、共有ディレクトリの保存が分からないことがある。だから中身を見る
content() {
    CONTENT=$(cksum <"$(mine "$step")" 2>/dev/null) || CONTENT=
}

# 保存が続いているあいだは待つ。2 度続けて同じなら、書き終えている
settle() {
    local last
    while :; do
        content && last=$CONTENT
        sleep 0.1
        content
        [[ -z $CONTENT || $CONTENT != "$last" ]] || return 0
    done
}

watch() {
    local seen='' status
    superseded() { content && [[ -n $CONTENT && $CONTENT != "$seen" ]]; }
    require_mine "$step"
    trap 'echo; exit 0' INT TERM
    while :; do
        content
        if [[ -n $CONTENT && $CONTENT != "$seen" ]]; then
            settle && seen=$CONTENT
            [[ ! -t 1 ]] || printf '\e[H\e[2J\e[3J'
            printf '%smake watch%s: %s%s\n' "$DIM" "$step" "$(date +%T)" "$RESET"
            status=0
            check_mine || status=$?
            # 調べているあいだに保存された。新しいほうを、初めから
            ((status != 2)) || { cancel && continue; }
            printf '\n%smy/%s/main.c を保存すると、また調べます。終わりは Ctrl-C%s\n' "$DIM" "$step" "$RESET"
        fi
        sleep 0.2
    done
}

# 空の依頼で、今の依頼を取り下げる
cancel() {
    echo >&"${JUDGE[1]}"
    drain
}

if [[ -n $watch ]]; then
    watch
elif [[ -n $bin ]]; then
    [[ -x $bin && -f $bin ]] || fail "not a program: $bin" '作ったプログラムのパスを指定します: make check05 BIN=./my-step05'
    start_judge
    status=0
    ask "$step" "$bin" "$bin" || status=$?
    report
    exit "$status"
else
    check_mine
fi
