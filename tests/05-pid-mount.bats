# $ を展開するのは内側のシェル
# shellcheck disable=SC2016,SC2153,SC2154
load helpers

setup() {
    PIDS_TO_KILL=
    MOUNTED=
    borrow_dev
}

teardown() {
    stop_container
    local pid
    for pid in $PIDS_TO_KILL; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    [ -z "$MOUNTED" ] || umount "$MOUNTED" 2>/dev/null || true
    return_dev
    mount --make-rprivate /
}

# 06 のルートには /dev/null がなく、busybox の sh は & を使えない。ここでは & を
# 使いたいだけなので、ホストの /dev を重ねておく
borrow_dev() {
    DEV=$(dirname "$(readlink -f "$BIN")")/rootfs/fs/dev
    [ "$STEP" != 06 ] || mount --bind /dev "$DEV"
}

return_dev() {
    [ "$STEP" != 06 ] || umount "$DEV"
}

requires_rootless() {
    as_user unshare --user --map-root-user --net --pid --fork --mount-proc true 2>/dev/null ||
        skip "needs user namespaces without root"
}

# ホストの / が shared (systemd のデフォルト) でも確かめる
share_root() {
    mount --make-rshared /
    # マウントの元は / とは限らない (btrfs のサブボリューム、bind マウント)
    findmnt -no PROPAGATION / | grep -x shared
}

LIST_LINKS='for link in /proc/self/ns/*; do
    echo "${link##*/} $(readlink "$link")"
done'

link_of() {
    readlink "/proc/$1/ns/$2"
}

has_own() {
    [ "$(link_of "$CONTAINER" "$1")" != "$(link_of self "$1")" ]
}

# コンテナの PID 名前空間にいるプロセスの、ホストから見た PID
container_pids() {
    local link wanted
    wanted=$(link_of "$CONTAINER" pid) || return
    for link in /proc/[0-9]*/ns/pid; do
        [ "$(readlink "$link" 2>/dev/null)" != "$wanted" ] || grep -oE '[0-9]+' <<<"$link"
    done
}

has_processes() {
    PIDS_TO_KILL=$(container_pids)
    [ "$(wc -w <<<"$PIDS_TO_KILL")" = "$1" ]
}

all_gone() {
    local pid
    for pid in $PIDS_TO_KILL; do
        is_gone "$pid" || return 1
    done
}

# 背後の子、孫、セッションを分けた孫を持つコンテナ
FAMILY='sleep 100 & (sleep 101 &) ; setsid sleep 102 & exec sleep 103'

# --- PID -------------------------------------------------------------------------

# 要件: コンテナ内の echo $$ が 1 になる
# 手で: sudo my/step05 run sh -c 'echo $$'  # 1
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to09
@test "echo \$\$ inside prints 1" {
    requires root userns
    run -0 inside 'echo $$'
    [ "$output" = 1 ]
}

# 要件: 分かれているのは ipc、mnt、net、pid、user、uts の 6 つ
# 手で: diff <(readlink /proc/self/ns/*) <(sudo my/step05 run readlink /proc/self/ns/*)  # ipc、mnt、net、pid (2 行)、user、uts だけ
# 手引き: 分かれた名前空間を数える
# 項目: new_namespaces
# bats test_tags=to08
@test "exactly the links ipc, mnt, net, pid, user and uts in /proc/self/ns differ from the host's" {
    requires root userns
    run -0 comm -13 <(sh -c "$LIST_LINKS" | sort) <(inside "$LIST_LINKS" | sort)
    [ "$(cut -d' ' -f1 <<<"$output" | xargs)" = "ipc mnt net pid pid_for_children user uts" ]
}

# 要件: ps にはコンテナのプロセスだけが見える
# 手で: sudo my/step05 run ps ax  # 1 つだけ
# 手引き: 動かす
# 項目: mount_proc child
# bats test_tags=to09
@test "ps inside shows only its own processes" {
    requires root userns
    run -0 inside 'sleep 100 >/dev/null 2>&1 & ps ax'
    [ "$(awk 'NR > 1 { print $1 }' <<<"$output" | sort -n | head -2 | xargs)" = "1 2" ]
    [ "${#lines[@]}" -le 4 ]
    [[ $output == *"sleep 100"* ]]
    [[ $output != *bats* ]]
    [[ $output != *"$(basename "$BIN")"* ]]
}

# 要件: 同じ sleep が、コンテナ内では PID 1、ホストでは別の PID になる
# 手で: sudo my/step05 run sleep 12345
# 手で 2: grep NSpid /proc/$(pgrep -fx 'sleep 12345')/status  # 最後は 1
# 手引き: 1 つのプロセスを 2 つの番号で見る
# 項目: new_namespaces mount_proc
# bats test_tags=to09
@test "sleep 12345 has PID 1 inside and another PID outside" {
    requires root userns
    start_container sleep 12345
    [ "$CONTAINER" != 1 ]
    [ "$(awk '/^NSpid:/ { print $NF }' "/proc/$CONTAINER/status")" = 1 ]
    [ "$(awk '/^NSpid:/ { print $2 }' "/proc/$CONTAINER/status")" = "$CONTAINER" ]
    [ "$(ps -o args= --pid "$CONTAINER")" = "sleep 12345" ]
    [ "$(ps -o ppid= --pid "$CONTAINER" | xargs)" = "$LAUNCHER" ]
    run -0 nsenter --target "$CONTAINER" --pid --mount --root --user --preserve-credentials \
        sh -c 'tr "\0" " " </proc/1/cmdline'
    [ "$output" = "sleep 12345 " ]
}

# 要件: PID 1 を終わらせると、コンテナのプロセスがすべて終わる
# 手で: sudo my/step05 run sh -c 'sleep 100 & exec sleep 101'
# 手で 2: sudo pkill -KILL -fx 'sleep 101'; sleep 1; pgrep -a sleep  # sleep 100 もいない
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to09
@test "the namespace dies with its PID 1: killing it ends every process inside" {
    requires root userns
    start_container sh -c "$FAMILY"
    has_own pid
    retry 2 has_processes 4
    kill -KILL "$CONTAINER"
    local status=0
    retry 5 is_gone "$LAUNCHER"
    wait "$LAUNCHER" || status=$?
    [ "$status" = 137 ]
    promised 2 all_gone
}

# 要件: PID 1 が終わると、残した背後のプロセスも終わる
# 手で: sudo my/step05 run sh -c 'setsid sleep 100 & exit 3'; echo $?; sleep 1; pgrep -a sleep  # 3 だけで、sleep 100 はいない
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to09
@test "when PID 1 exits, the processes that it left behind are gone" {
    requires root userns
    start_container sh -c 'trap "exit 3" USR1; sleep 100 & setsid sleep 101 & wait'
    has_own pid
    retry 2 has_processes 3
    kill -USR1 "$LAUNCHER"
    local status=0
    retry 5 is_gone "$LAUNCHER"
    wait "$LAUNCHER" || status=$?
    [ "$status" = 3 ]
    promised 2 all_gone
}

# 要件: ランチャーが死ぬと、別のセッションにいるプロセスも終わる
# 手で: sudo my/step05 run sh -c 'setsid sleep 100 & exec sleep 101'
# 手で 2: sudo pkill -KILL -f '^my/step05'; sleep 1; pgrep -a sleep  # sleep 100 も 101 もいない
# 手引き: 2 度目の die_with_parent(pipes); を消す: ランチャーが死んでも残る
# 項目: new_namespaces child
# bats test_tags=to09
@test "every process inside dies with the launcher, also one in a session of its own" {
    requires root userns
    start_container sh -c "$FAMILY"
    has_own pid
    retry 2 has_processes 4
    kill -KILL "$LAUNCHER"
    promised 2 all_gone
}

# INT がないのは、sh -c の sh が自分で受け取るから
# 要件: PID 1 は、受け取る用意のないシグナルでは終わらない
# 手で: sudo my/step05 run sh -c 'kill -KILL $$; echo alive'  # alive
# 手引き: PID 1 とシグナル
# 項目: new_namespaces
# bats test_tags=to09
@test "PID 1 drops the signals it has no handler for, KILL and STOP from inside too" {
    requires root userns
    run -0 inside 'for name in TERM HUP QUIT USR1 KILL STOP; do kill -$name $$; done; echo alive'
    [ "$output" = alive ]
}

# glibc の abort() は、SIGABRT で終わらなければ、CPU の例外を起こす: x86 では SEGV
# (139)、arm64 では TRAP (133) になる
# 要件: PID 1 の abort() は、134 では終わらない (x86 では 139)
# 手で: sudo my/step05 run perl -MPOSIX -e abort; echo $?
# 手引き: PID 1 とシグナル
# 項目: new_namespaces
@test "PID 1 drops the SIGABRT of its own abort() too: the status is no longer 134" {
    requires root userns gcc
    ulimit -c 0
    chmod 755 "$BATS_TEST_TMPDIR"
    gcc -o "$BATS_TEST_TMPDIR/abort" -x c - <<<'#include <stdlib.h>
        int main(void) { abort(); }'
    run "$BIN" run "$BATS_TEST_TMPDIR/abort"
    [[ $status == 139 || $status == 133 ]]
    # PID 1 でなければ、SIGABRT で終わる
    run -134 "$BIN" run sh -c '"$0"; exit $?' "$BATS_TEST_TMPDIR/abort"
}

# 要件: 孤児の新しい親は、コンテナの PID 1 になる
# 手で: sudo my/step05 run sh -c '(sleep 1 &); ps -o pid,ppid,args'  # sh の PID も、sleep の PPID も 1
# 手引き: PID 1 とシグナル
# 項目: new_namespaces mount_proc
# bats test_tags=to09
@test "an orphan's new parent is PID 1 of the container" {
    requires root userns
    run -0 inside 'pid=$( (sleep 100 >/dev/null 2>&1 & echo $!) ); grep PPid: /proc/$pid/status; echo $$'
    [ "$(xargs <<<"$output")" = "PPid: 1 1" ]
}

# 要件: PID 1 のシェルが孤児を回収し、ゾンビが残らない
# 手で: sudo my/step05 run sh -c '(true & true); sleep 0.1; ps ax'  # 1 は sh で、<defunct> の行がない
# 手引き: 発展課題: 孤児を引き取る PID 1 を書く
# 項目: new_namespaces mount_proc
# bats test_tags=to09
@test "a shell as PID 1 reaps orphans: no zombie is left inside" {
    requires root userns
    run -0 inside 'echo $$
        for i in 1 2 3; do (true & true); done
        i=0
        while zombies=$(grep -lE "^State:.Z" /proc/[0-9]*/status) && [ $((i += 1)) -lt 50 ]; do
            sleep 0.02
        done
        echo "$zombies" none'
    [ "$(xargs <<<"$output")" = "1 none" ]
}

# --- マウント --------------------------------------------------------------------

# 要件: /proc は自分のもので、nosuid、nodev、noexec が付いている
# 手で: sudo my/step05 run grep ' /proc proc' /proc/self/mounts  # ホストの行の下に、nosuid,nodev,noexec の行
# 手引き: 差分を読む
# 項目: mount_proc
# bats test_tags=to09
@test "/proc inside is a proc of its own, with nosuid, nodev and noexec" {
    requires root userns
    local line
    run -0 inside 'grep " /proc .* - proc " /proc/self/mountinfo | tail -n 1'
    line=$output
    [[ $line == *" / /proc rw,nosuid,nodev,noexec,"*" - proc proc "* ]]
    run -0 inside 'stat -c %d /proc'
    [ "$output" != "$(stat -c %d /proc)" ]
}

# 要件: コンテナ内でしたマウントが、ホストに現れない
# 手で: sudo my/step05 run sh -c 'mount -t tmpfs probe /mnt && sleep 20'
# 手で 2: grep probe /proc/self/mounts  # 何も出ない
# 手引き: 動かす
# 項目: new_namespaces make_mounts_private
# bats test_tags=to07
@test "a mount made inside is not seen outside, also where the host's / is shared" {
    requires root userns
    local before
    for propagation in private shared; do
        mount --make-r$propagation /
        before=$(sort /proc/self/mountinfo)
        start_container sh -c 'mount -t tmpfs -o size=64k probe-inside /mnt && exec sleep 100'
        has_own mnt
        retry 2 grep -q probe-inside "/proc/$CONTAINER/mountinfo"
        [ "$(sort /proc/self/mountinfo)" = "$before" ]
        stop_container
        [ "$(sort /proc/self/mountinfo)" = "$before" ]
    done
}

# 要件: ホストのマウントの一覧が、前も、動いているあいだも、後も同じ
# 手で: cat /proc/self/mountinfo >my/before; sudo my/step05 run sleep 20
# 手で 2: diff my/before /proc/self/mountinfo; rm my/before  # 何も出ない
# 手引き: マウントは、どちらの向きにも伝わらない
# 項目: make_mounts_private new_namespaces
# bats test_tags=to09
@test "the host's mountinfo is the same before, during and after, also where its / is shared" {
    requires root userns
    share_root
    local before
    before=$(sort /proc/self/mountinfo)
    start_container sleep 100
    has_own mnt
    [ "$(sort /proc/self/mountinfo)" = "$before" ]
    stop_container
    [ "$(sort /proc/self/mountinfo)" = "$before" ]
}

# 要件: ホストがあとからしたマウントが、コンテナに現れない
# 手で: sudo my/step05 run sh -c 'sleep 20; grep probe /proc/self/mounts'  # 何も出ない
# 手で 2: sudo mount -t tmpfs probe /mnt; sleep 20; sudo umount /mnt  # 端末 1 のあと、すぐに
# 手引き: make_mounts_private(); を消す: ホストのマウントがコンテナに現れる
# 項目: make_mounts_private
# bats test_tags=to09
@test "a mount that the host makes later does not appear inside, also where its / is shared" {
    requires root userns
    share_root
    start_container sleep 100
    MOUNTED=$BATS_TEST_TMPDIR
    mount -t tmpfs -o size=64k probe-outside "$MOUNTED"
    grep -q probe-outside /proc/self/mountinfo
    grep -q ' - proc ' "/proc/$CONTAINER/mountinfo"
    run ! grep probe-outside "/proc/$CONTAINER/mountinfo"
}

# 要件: コンテナ内のマウントは、どれも伝播しない
# 手で: sudo my/step05 run grep -E 'shared:|master:' /proc/self/mountinfo  # 何も出ない
# 手引き: 伝播を 3 通り試す
# 項目: make_mounts_private
# bats test_tags=to09
@test "no mount inside is shared with or fed by the host, where the host's / is shared" {
    requires root userns
    share_root
    run -0 inside 'cat /proc/self/mountinfo'
    [[ $output == *" - proc "* ]]
    [[ $output != *shared:* ]]
    [[ $output != *master:* ]]
}

# 要件: ホストから受け取ったマウントは、コンテナの root にも外せない
# 手で: sudo my/step05 run sh -c 'umount /proc; umount /proc'  # 2 度目は断られる
# 手引き: なぜ?
# 項目: new_namespaces mount_proc
# bats test_tags=to07
@test "root inside cannot unmount what it got from the host" {
    requires root userns
    run -0 inside 'echo $$; umount /proc && ! umount /proc'
    [ "${lines[0]}" = 1 ]
    [ -e /proc/self/status ]
}

# 要件: sudo なしでも、PID 1 と自分の /proc を持てる
# 手で: my/step05 run sh -c 'echo $$; ps ax'  # 1。ps には自分のプロセスだけ
# 手引き: 動かす
# 項目: new_namespaces mount_proc
# bats test_tags=to08
@test "a user without root gets PID 1, an own /proc, and nothing is left when the launcher dies" {
    requires root userns
    requires_rootless
    run -0 as_user "$(user_bin)" run sh -c 'echo $$; grep -c "^" /proc/1/status >/dev/null && ls -d /proc/[0-9]*'
    [ "${lines[0]}" = 1 ]
    [ "${lines[1]}" = /proc/1 ]
    [ "${#lines[@]}" -le 3 ]
}

# sudo -i のあとの /root のように、コンテナの root の入れないディレクトリから
# 要件: root だけが入れるディレクトリからでも始められる
# 手で: sudo sh -c 'cd /root && "$0" run sh -c "echo \$\$"' "$PWD/my/step05"  # 1
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to09
@test "started in a directory that only the host's root may enter, the container starts all the same" {
    mkdir -m 700 "$BATS_TEST_TMPDIR/closed"
    cd "$BATS_TEST_TMPDIR/closed"
    # shellcheck disable=SC2016 # $$ は、内側の sh が展開する
    SUDO_UID=4711 SUDO_GID=4712 run -0 "$(user_bin)" run sh -c 'echo $$; readlink /proc/self/ns/pid'
    [ "${lines[0]}" = 1 ]
    [ "${lines[1]}" != "$(readlink /proc/self/ns/pid)" ]
}
