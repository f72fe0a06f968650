#!/usr/bin/env bash
# 子を作る前後のシステムコールを 1 つずつ失敗させ、何が起きるかを調べる。
#   faults.sh [STEP...]      デフォルトは 01 から 09 まで
#   BIN_DIR=dir faults.sh    stepNN を別の場所から
#
# どれが失敗しても、結果は次のどれかでなければならない (outcome の列)。
#   setup   125。1 行目は「stepNN: 呼び出し 対象: 理由」で、理由は失敗させた errno。
#           ヒントがあれば出る。コマンドは動いていない
#   exec    126 か 127。ほかは setup と同じ
#   same    何も起きなかったときと同じ
#   late    コマンドはもう動いているかもしれない。125 で、コマンドも終わる
#   told    same と同じだが、片付けられなかった cgroup が次に動かすときまで残る。
#           何ができなかったかを 1 行で言う
#   left    told と同じだが、何も言わない
#   never   失敗することがないので、試さない
# どの場合も、ホストは元のまま、プロセスは残らず、止まらなくなることもない。
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export TOP
# shellcheck source=inject.bash
source "$TOP/tests/campaign/inject.bash"

# --- 失敗させる errno ----------------------------------------------------------
# 権限を絞った環境や、リソースの足りない環境で本当に返るもの
declare -A ERRNO=(
    [access]=EACCES
    [bind]=ENOMEM
    [brk]=ENOMEM
    [capget]=EPERM # seccomp
    [capset]=EPERM
    [chdir]=EACCES
    [chroot]="EPERM EACCES"
    [clone3]="EPERM ENOSPC EAGAIN ENOSYS"
    [clone]=EAGAIN       # glibc の fork(3)
    [close]=EIO          # NFS などの、遅れて届いた書き込みエラー
    [close_range]=ENOSYS # Linux 5.9 より前、または seccomp
    [execve]="EACCES ENOENT ENOMEM"
    [fchdir]=EACCES
    [fcntl]=EPERM # seccomp
    [flock]=ENOLCK
    [fork]=EAGAIN
    [fstatfs]=EIO
    [getdents64]=EIO
    [getsockname]=ENOMEM
    [getrandom]=ENOSYS
    [ioctl]=ENODEV
    [keyctl]="EDQUOT EPERM" # 鍵の数の上限、seccomp
    [lseek]=EINVAL          # rewinddir(3)
    [mkdir]="EACCES EROFS"
    [mkdirat]="EACCES EROFS"
    [mount]="EPERM EACCES EBUSY"
    [move_mount]="EPERM EINVAL"
    [newfstatat]=EACCES
    [fstat]=EACCES
    [openat]="EACCES EMFILE"
    [open_tree]="EPERM ENOSYS" # 5.2 より前、または seccomp
    [openat2]="ELOOP ENOSYS"   # 5.6 より前、または seccomp
    [pipe2]=EMFILE
    [pivot_root]="EINVAL EPERM"
    [poll]=ENOMEM
    [prlimit64]=EPERM
    [ppoll]=ENOMEM
    [prctl]=EPERM
    [read]=EIO
    [readlink]=EACCES
    [readlinkat]=EACCES
    [recvmsg]=ENOBUFS
    [rmdir]=EBUSY
    [rt_sigaction]=EINVAL
    [rt_sigprocmask]=EINVAL
    [rt_sigtimedwait]="EINVAL EINTR"
    [sched_setscheduler]=EPERM # seccomp
    [sendto]="EPERM ENOBUFS"
    [set_robust_list]=EINVAL
    [setgroups]=ENOMEM # EPERM は、一般ユーザーのときの普通の答え
    [sethostname]=EPERM
    [setns]=EPERM
    [setresgid]=EPERM
    [setresuid]="EPERM EAGAIN" # RLIMIT_NPROC
    [socket]="EMFILE EAFNOSUPPORT"
    [symlink]=ENOSPC # 64k の tmpfs
    [symlinkat]=ENOSPC
    [umount2]=EINVAL
    [uname]=EFAULT
    [unlinkat]=EBUSY
    [unshare]="EPERM ENOSPC"
    [wait4]=ECHILD # 呼び出し元が SIGCHLD を無視
    [waitid]=ECHILD
    [write]="EIO EPERM EBUSY"
)

# メッセージに出る名前。glibc の関数の名前や、ライブラリの名前になるもの
declare -A SHOWN=(
    [clone]=fork
    [openat]="open|flock|read" # 開いて鍵をかける、開いて読む
    [rt_sigprocmask]=sigprocmask
    [rt_sigaction]=sigaction
    [rt_sigtimedwait]=sigwaitinfo
    [wait4]=waitpid
    [ppoll]=poll
    [mkdirat]=mkdir
    [symlinkat]=symlink
    [socket]="netlink|socket"
    [bind]=netlink
    [getsockname]=netlink
    [sendto]=netlink
    [readlink]=netlink # リンクの目印に書く、PID 名前空間
    [readlinkat]=netlink
    [recvmsg]=netlink
    [prctl]="prctl|cap_drop_bound"
    [newfstatat]="stat|fstat|flock" # ロックを取得したものが、まだその名前か
    [fstat]="stat|fstat|flock"
    [prlimit64]=setrlimit
    [capset]=cap_set_proc
    [execve]=exec
)

# --- 失敗しても setup にならないもの ------------------------------------------
# 役 システムコール errno 対象 結果 理由
EXCEPTIONS='
*        close           *      *          same   Linux は、失敗と答えても閉じている。close(2)
*        get*id          *      *          never  失敗しない。getuid(2), getpid(2)
*        exit_group      *      *          never  戻らない
child    execve          *      *          exec   コマンドが見つからない、実行できない
child    capget          *      *          same   libcap がカーネルの版を尋ねるだけ
child    brk             *      *          never  カーネルの brk は errno を返さない。brk(2)
child    getrandom       *      *          same   malloc は時刻などを使う
child    access          *      /dev/*     same   mount が確かめる
child    uname           *      *          never  失敗しない。uname(2)
child    set_robust_list *      *          same   glibc の fork が呼び、結果を見ない
before   fcntl           *      *          same   F_GETFD: 閉じているとみなすだけ。ほかは古い cgroup の片付け
before   ioctl           *      *          same   端末でないとみなすだけ
before   access          *      */container-steps/* same 名前が空いているとみなす。mkdir が確かめる
before   access          *      *          never  書けなければ自分の cgroup の下。どこにいるかで違う (cgroup-versions.bats)
before   newfstatat      *      /proc/*    same   stdio の大きさ調べ
before   fstat           *      /proc/*    same   同じ
before   openat          *      *:O_NONBLOCK same 他人の残した cgroup の片付けは、できるときだけ
before   newfstatat      *      *:O_NONBLOCK same 同じ
before   fstat           *      *:O_NONBLOCK same 同じ
before   getdents64      *      *:O_NONBLOCK same 同じ
launcher rt_sigtimedwait EINTR  *          same   やり直す
launcher rt_sigtimedwait *      *          late   待てないなら、コマンドごと終わる
launcher waitid          *      *          late   同じ
launcher wait4           *      *          late   コマンドは終わったが、終了ステータスが分からない
launcher openat          *      */*.max    left   v2: 隣の cgroup は、使っていないとみなす
launcher read            *      */*.max    left   同じ
launcher read            *      *          late   同じ。exec に失敗したのかもしれない
launcher rmdir           *      */container-steps left ほかのランチャーが使っているとみなす
launcher rmdir           *      *          same   まだ空でないとみなし、やり直す
launcher openat          *      *:O_NONBLOCK left v2 のコントローラーは、次のランチャーが無効に戻す
launcher newfstatat      *      *:O_NONBLOCK left 同じ
launcher fstat           *      *:O_NONBLOCK left 同じ
launcher getdents64      *      *:O_NONBLOCK left 同じ
launcher lseek           *      *:O_NONBLOCK left 同じ
launcher openat          *      */cgroup.subtree_control left 同じ
launcher write           *      */cgroup.subtree_control left 同じ
launcher openat          *      */container-steps told コマンドはもう終わっている
launcher newfstatat      *      */container-steps* told 同じ
launcher fstat           *      */container-steps* told 同じ
launcher flock           *      */container-steps told 同じ
launcher socket          *      AF_UNIX    left   if_nametoindex(3): もう消えたとみなす
launcher ioctl           *      SIOCGIFINDEX left 同じ
launcher access          *      */disable_ipv6 same あるとみなす。write_file() が確かめる
launcher ioctl           *      TCGETS     same   端末でないとみなすだけ
launcher fstatfs         *      *          same   パイプでないとみなすだけ
launcher clock_nanosleep *      *          same   待つ間隔が短くなるだけ
'

# 結果を WANTED に、理由を REASON に入れる
find_outcome() {
    local role call error object
    WANTED=setup REASON=
    while read -r role call error object WANTED REASON; do
        # shellcheck disable=SC2053 # 右辺はパターン
        [[ $1 != $role || $2 != $call || $3 != $error || $4 != $object ]] || return 0
    done <<<"$EXCEPTIONS"
    WANTED=setup REASON=
}

# --- 検査 ------------------------------------------------------------------------

# stderr は、「stepNN: 」で始まる 1 行と、それに合ったヒントだけ
check_message() {
    local step=$1 call=$2 error=$3 line rest name
    line=${ERR[0]:-}
    [[ $line == "step$step: "* ]] || fail "no first line: $line"
    rest=${line#"step$step: "}
    name=${rest%%[ :]*}
    [[ " $name " =~ ^\ (${SHOWN[$call]:-$call})\ $ ]] || fail "the line names $name"
    [[ $rest == *": ${TEXT[$error]}" ]] || fail "not the errno: $line"
    [[ $name != exec && $WANTED != told ]] || return 0
    local hints
    "$CAMPAIGN_DIR/hint" "${rest%": ${TEXT[$error]}"}" "$error" >"$WORK/hints" 2>&1
    mapfile -t hints <"$WORK/hints"
    [[ "${ERR[*]:1}" == "${hints[*]}" ]] || fail "hints: ${ERR[*]:1}"
}

check_command() {
    local marker=$1
    case $WANTED in
    setup | exec) [[ $marker == none ]] || fail "the command ran ($marker)" ;;
    late) [[ $marker != partial ]] || fail "the command ran half isolated" ;;
    *) [[ $marker == full ]] || fail "the command's isolation is $marker" ;;
    esac
    # コマンドが動いたのに、cgroup に入っていない
    [[ $executed == 0 || $groups == "$GROUPS_WANTED" ]] || fail "in $groups cgroups"
}

check_status() {
    local wanted=125
    case $WANTED in
    same | told | left) wanted=0 ;;
    exec) wanted=126 && [[ $1 != ENOENT ]] || wanted=127 ;;
    esac
    [[ $status == "$wanted" ]] || fail "exit status $status, not $wanted"
}

check_host() {
    local _
    [[ $left == 0 ]] || fail "$left processes left"
    if [[ $WANTED == left || $WANTED == told ]]; then
        "${COMMAND[@]}" >"$WORK/out" 2>&1 || fail "the next run fails"
    fi
    # リンクが見えなくなってから、そのアドレスが消えるまでには、少し間がある
    for _ in {1..10}; do
        same_state "$BEFORE" && break
        [[ $STATE != *veth* ]] || break
        sleep 0.01
    done
    if [[ $STATE != "$BEFORE" ]]; then
        fail "the host changed: $(differences "$BEFORE" "$STATE")"
        for _ in {1..300}; do
            same_state "$BEFORE" && break
            sleep 0.01
        done
    fi
    ! has_groups || fail "cgroups left"
    for _ in {1..200}; do
        has_groups || break
        rmdir "${PARENTS[@]/%//*/}" "${PARENTS[@]}" 2>/dev/null || true
        sleep 0.01
    done
}

fail() {
    PROBLEM+="${PROBLEM:+; }$1"
}

# 1 つの場合を動かして、1 行の表にする
run_case() {
    local step=$1 role=$2 call=$3 k=$4 error=$5 object=$6
    # shellcheck disable=SC2034 # 結果の行にあるものを、すべて受け取る
    local launcher status=-1 fired=0 executed=0 groups=0 hung=0 left=0 marker
    find_outcome "$role" "$call" "$error" "$object"
    [[ $WANTED != never ]] || return 0
    local action=fail
    [[ $call != close ]] || action=fake
    PROBLEM=
    local hold=()
    # ランチャーが待つところまで来るように、子を止めておく
    [[ $call != @(rt_sigtimedwait|waitid) ]] || hold=(-r "child,execve,1,entry,delay=50")
    "$WORK/inject" -o "$WORK/result" -r "$role,$call,$k,entry,$action=$error" "${hold[@]}" -- \
        "${COMMAND[@]}" >"$WORK/out" 2>"$WORK/err" </dev/null
    take_result
    mapfile -t ERR <"$WORK/err"
    IFS= read -r -d '' OUT <"$WORK/out" || true
    marker=partial
    [[ $OUT != "$EXPECTED" ]] || marker=full
    [[ -n $OUT ]] || marker=none

    [[ $fired == 1 ]] || fail "the call was not made"
    [[ $hung == 0 ]] || fail "the launcher hangs"
    check_status "$error"
    case $WANTED in
    same | left) ((${#ERR[@]} == 0)) || fail "stderr: ${ERR[*]}" ;;
    *) check_message "$step" "$call" "$error" ;;
    esac
    check_command "$marker"
    check_host
    printf '%s %-8s %-15s %3d %-12s %-5s %s\n' "$step" "$role" "$call" "$k" "$error" \
        "$WANTED" "${PROBLEM:-ok}${REASON:+ ($REASON)}"
}

# 1 つのステップの、1 つの役
run_unit() {
    local step=$1 wanted=$2 role call k object error started=
    trap remove_private_cgroups EXIT
    prepare_inject "$CAMPAIGN_DIR/$step-$wanted"
    set_command "$step"
    read_state
    BEFORE=$STATE
    list_calls
    while read -r role call k _ object; do
        # prepare_launcher より前は、ローダーと引数の処理
        [[ $role != before || $call != fcntl ]] || started=1
        [[ $role == "$wanted" && ($role != before || -n $started) ]] || continue
        [[ $call != clock_nanosleep ]] || continue # 待つ回数は、そのつど違う
        if [[ -z ${ERRNO[$call]:-} && $call != get*id && $call != exit_group ]]; then
            echo "$step $role $call $k - - no errno is known for $call"
            continue
        fi
        for error in ${ERRNO[$call]:-EPERM}; do
            run_case "$step" "$role" "$call" "$k" "$error" "$object"
        done
    done <"$WORK/list"
}

# --- 全体 ------------------------------------------------------------------------

# shared/hints.c そのものに、出るはずのヒントを尋ねる。引数がなければ、errno の
# 名前と説明の一覧
build_hint() {
    cc -std=gnu11 -I"$TOP/shared" -o "$1/hint" -x c - "$TOP/shared/hints.c" <<'END'
#define _GNU_SOURCE
#include "ct-private.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char *argv[])
{
    const char *object = argc > 1 ? strchr(argv[1], ' ') : NULL;
    for (int error = 1; error < 134; error++) {
        const char *name = strerrorname_np(error);
        if (name != NULL && argc < 3)
            printf("%s %s\n", name, strerror(error));
        else if (name != NULL && strcmp(name, argv[2]) == 0)
            print_hint(argv[1], object == NULL ? "" : object + 1, error);
    }
    return 0;
}
END
}

declare -A TEXT
if [[ ${1:-} == --unit ]]; then
    while read -r name text; do
        TEXT[$name]=$text
    done < <("$CAMPAIGN_DIR/hint")
    run_unit "$2" "$3"
    exit
fi

[[ $# != 0 ]] || set -- 09 08 07 06 05 04 03 02 01
prepare_campaign "$@"
build_hint "$CAMPAIGN_DIR"

for step; do
    printf "$step %s\n" child before launcher
done | run_units "$(($(nproc) * 2))" >/dev/null

# 終わりは test.sh と同じ形。動かなかった役は、失敗に数える
printf '%-2s %-8s %-15s %3s %-12s %-5s %s\n' step role call k errno out result
grep . "$CAMPAIGN_DIR/table" | sort -s -k 1,2
printf '\n%-4s' step
printf ' %6s' setup exec same late told left failed
awk '
    $7 == "ok" { passed++; count[$1, $6]++ }
    $7 != "ok" { failed++; count[$1, "failed"]++ }
    { steps[$1] = 1 }
    END {
        n = split("setup exec same late told left failed", outcome)
        for (step = 1; step <= 9; step++) {
            name = sprintf("%02d", step)
            if (!(name in steps)) continue
            printf "\n%-4s", name
            for (i = 1; i <= n; i++) printf " %6d", count[name, outcome[i]]
        }
        printf "\n%d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }' <(grep . "$CAMPAIGN_DIR/table")
