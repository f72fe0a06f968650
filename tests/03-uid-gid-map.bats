# $ を展開するのは内側のシェル
# shellcheck disable=SC2016,SC2034,SC2153,SC2154
load helpers

setup() {
    # /tmp は、並んで動くほかのスイートも使う。PID は、どの名前空間でも似た番号になる
    MARKER=/tmp/ran-${BATS_RUN_TMPDIR##*/}-$BATS_TEST_NUMBER
}

teardown() {
    stop_container
    rm -f "$(marker_outside)"
    [ -z "${SUDO_JOB:-}" ] || wait "$SUDO_JOB" || true
}

# sudo の環境変数を持たない、ただの root
as_plain_root() {
    env -u SUDO_UID -u SUDO_GID "$@"
}

# start_container と同じ。ただし attendee が sudo を付けて始める
start_container_as_sudoer() {
    as_sudoer sh -c 'echo $$ >"$1"; shift; exec "$@"' sh \
        "$USER_HOME/launcher" "$(user_bin)" run "$@" </dev/null 3>&- 4>&- &
    SUDO_JOB=$!
    retry 5 test -s "$USER_HOME/launcher"
    LAUNCHER=$(cat "$USER_HOME/launcher")
    rm -f "$USER_HOME/launcher"
    retry 5 find_container
}

requires_rootless() {
    as_user unshare --user --map-root-user --net --pid --fork --mount-proc true 2>/dev/null ||
        skip "needs user namespaces without root"
}

# コンテナ内の /tmp が、ホストのどこか
tmp_outside() {
    if ((10#$STEP < 6)); then
        echo /tmp
    else
        echo "$USER_HOME/rootfs/fs/tmp"
    fi
}

# MARKER が、外のどこか。デフォルトのルートは、プログラムの横にある
marker_outside() {
    local root=
    ((10#$STEP < 6)) || root=$(dirname "$(readlink -f "$BIN")")/rootfs/fs
    echo "$root$MARKER"
}

SHOW_MAPS='cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups'

# --- マッピング --------------------------------------------------------------------

# 要件: id は、ユーザーもグループも 0
# 手で: sudo my/step03 run id  # uid=0(root) gid=0(root)
# 手引き: 動かす
# 項目: write_id_maps become_root main child
# bats test_tags=to09
@test "id inside prints 0 for user and group" {
    requires root userns
    run -0 inside 'id -u; id -g'
    [ "${lines[*]}" = "0 0" ]
}

# 要件: root がそのまま始めると、マッピングは 0 0 1 で、setgroups は deny
# 手で: sudo env -u SUDO_UID -u SUDO_GID my/step03 run cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups  # 0 0 1、0 0 1、deny
# 手引き: 発展課題: 0 から 0 へのマッピング
# 項目: write_id_maps
# bats test_tags=to05
@test "started by root itself, the maps are 0 0 1 and setgroups is deny" {
    requires root userns
    run -0 as_plain_root "$BIN" run sh -c "$SHOW_MAPS"
    [ "$(xargs <<<"$output")" = "0 0 1 0 0 1 deny" ]
}

# 要件: sudo で始めると、0 は実行したユーザーの id にマッピングされる
# 手で: id; sudo my/step03 run cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups  # 0 自分の uid 1、0 自分の gid 1、deny
# 手引き: 動かす
# 項目: write_id_maps
# bats test_tags=to09
@test "started with sudo, the maps are 0 4711 1 and 0 4712 1 and setgroups is deny" {
    requires root userns sudo
    run -0 as_sudoer "$(user_bin)" run sh -c "$SHOW_MAPS"
    [ "$(xargs <<<"$output")" = "0 4711 1 0 4712 1 deny" ]
}

# 要件: sudo なしで始めても、マッピングは同じで、id は 0
# 手で: my/step03 run sh -c 'id -u; cat /proc/self/uid_map'  # 0、0 自分の uid 1
# 手引き: 誰にマッピングするか
# 項目: write_id_maps drop_groups
# bats test_tags=to08
@test "started without root, the maps are 0 4711 1 and 0 4712 1 and id prints 0" {
    requires root userns
    requires_rootless
    run -0 as_user "$(user_bin)" run sh -c "$SHOW_MAPS; id -u; id -g"
    [ "$(xargs <<<"$output")" = "0 4711 1 0 4712 1 deny 0 0" ]
}

# 要件: 一般ユーザーの決めた SUDO_UID は、使われない
# 手で: SUDO_UID=0 SUDO_GID=0 my/step03 run cat /proc/self/uid_map  # 自分の uid のまま
# 手引き: 誰にマッピングするか
# 項目: write_id_maps
# bats test_tags=to08
@test "only root's SUDO_UID counts: a user who sets it still gets the own id" {
    requires root userns
    requires_rootless
    run -0 as_user SUDO_UID=0 SUDO_GID=0 "$(user_bin)" run sh -c "$SHOW_MAPS"
    [ "$(xargs <<<"$output")" = "0 4711 1 0 4712 1 deny" ]
}

# setuid を付けた人の落ち度ではあるが、そのときも、ホストの root になってはならない
# 要件: set-user-ID の付いたランチャーでも、SUDO_UID は使われない
# 手で: sudo install -m 4755 my/step03 my/setuid03
# 手で: SUDO_UID=0 SUDO_GID=0 my/setuid03 run cat /proc/self/uid_map; sudo rm my/setuid03  # 自分の uid のまま
# 手引き: 誰にマッピングするか
# 項目: write_id_maps
# bats test_tags=to09
@test "a launcher that is setuid root maps the user who ran it, whatever SUDO_UID says" {
    requires root userns cgroup
    cp "$BIN" "$USER_HOME/setuid$STEP"
    chmod 4755 "$USER_HOME/setuid$STEP"
    run -0 as_user SUDO_UID=0 SUDO_GID=0 "$USER_HOME/setuid$STEP" run sh -c "$SHOW_MAPS"
    rm -f "$USER_HOME/setuid$STEP"
    [ "$(xargs <<<"$output")" = "0 4711 1 0 4712 1 deny" ]
}

# 要件: 数でない SUDO_UID は断られ、コマンドは動かない
# 手で: sudo env SUDO_UID=abc my/step03 run echo ran; echo $?  # ran は出ずに 125
# 手引き: 誰にマッピングするか
# 項目: write_id_maps
# bats test_tags=to09
@test "a SUDO_UID that is no number is refused: 125, and the command does not run" {
    requires root userns
    local value
    for value in '' abc -1 12x ' 12' 4294967295 18446744073709551616; do
        run -125 --separate-stderr env SUDO_UID="$value" SUDO_GID=4712 "$BIN" run echo ran
        [ "$output" = "" ]
        [[ ${stderr_lines[0]} == "$(basename "$BIN"): "*SUDO_UID*": Invalid argument" ]]
    done
}

# --- 外からはだれに見えるか ------------------------------------------------------

# 要件: root がそのまま始めると、作ったファイルは外でも root のもの
# 手で: sudo env -u SUDO_UID -u SUDO_GID my/step03 run sh -c 'touch /tmp/probe; ls -ln /tmp/probe'; ls -l /tmp/probe; sudo rm -f /tmp/probe  # 0 0、root root
# 手引き: 発展課題: 0 から 0 へのマッピング
# 項目: write_id_maps
# bats test_tags=to05
@test "a file made inside belongs to root outside, when root itself started it" {
    requires root userns
    run -0 as_plain_root "$BIN" run sh -c "touch $BATS_TEST_TMPDIR/file && stat -c %u:%g $BATS_TEST_TMPDIR/file"
    [ "$output" = 0:0 ]
    [ "$(stat -c %u:%g "$BATS_TEST_TMPDIR/file")" = 0:0 ]
}

# 要件: sudo で始めると、作ったファイルは外では実行したユーザーのもの
# 手で: sudo my/step03 run touch /tmp/probe; ls -l /tmp/probe; sudo rm -f /tmp/probe  # 自分の名前
# 手引き: 動かす
# 項目: become_root child write_id_maps
# bats test_tags=to09
@test "a file made inside belongs to the invoking user outside, when sudo started it" {
    requires root userns sudo
    local name="made-inside-${BATS_RUN_TMPDIR##*/}-$BATS_TEST_NUMBER"
    run -0 as_sudoer "$(user_bin)" run sh -c "touch /tmp/$name && stat -c %u:%g /tmp/$name"
    local outside
    outside=$(stat -c %u:%g "$(tmp_outside)/$name")
    rm -f "$(tmp_outside)/$name"
    [ "$output" = 0:0 ]
    [ "$outside" = 4711:4712 ]
}

# 要件: ホストの ps には、実行したユーザーの名前が見える
# 手で: sudo my/step03 run sleep 100
# 手で 2: ps -o user,cmd -p $(pgrep -fx 'sleep 100')  # 自分の名前
# 手引き: 動かす
# 項目: become_root write_id_maps
# bats test_tags=to09
@test "the host's ps shows the invoking user for the container's root" {
    requires root userns sudo
    start_container_as_sudoer sleep 100
    [ "$(ps -o user=,group= --pid "$CONTAINER" | xargs)" = "attendee attendee" ]
    [ "$(grep -E '^[UG]id:' "/proc/$CONTAINER/status" | xargs)" = \
        "Uid: 4711 4711 4711 4711 Gid: 4712 4712 4712 4712" ]
    [ "$(ps -o user= --pid "$LAUNCHER")" = root ]
}

# 要件: 実行したユーザーの補助グループが、残っていない
# 手で: sudo my/step03 run id -G  # 0 だけ
# 手引き: drop_groups(); を消すと、root のグループが残る
# 項目: drop_groups
# bats test_tags=to09
@test "the supplementary groups of the caller are dropped" {
    requires root userns sudo
    start_container_as_sudoer sleep 100
    [ "$(grep '^Groups:' "/proc/$CONTAINER/status" | xargs)" = "Groups:" ]
    stop_container
    run -0 setpriv --groups 4713,4712,0 "$BIN" run sh -c 'grep ^Groups: /proc/self/status; id -G'
    [ "$(xargs <<<"$output")" = "Groups: 0" ]
}

# 要件: sudo なしでは補助グループを外せないが、それでも始まる
# 手で: id -G; my/step03 run id -G  # 0 と、ほかのグループの代わりの 65534
# 手引き: ほかの行を消すと
# 項目: drop_groups
# bats test_tags=to08
@test "without root, groups cannot be dropped, and the container starts all the same" {
    requires root userns
    requires_rootless
    run -0 as_user "$(user_bin)" run sh -c 'id -u; grep ^Groups: /proc/self/status'
    [ "${lines[0]}" = 0 ]
    [ "$(xargs <<<"${lines[1]}")" = "Groups: 65534 0" ] ||
        [ "$(xargs <<<"${lines[1]}")" = "Groups: 0 65534" ]
}

# --- コンテナ内の root の特権 ---------------------------------------------------

# 要件: コンテナの root は、自分の名前空間ではすべてのケーパビリティを持つ
# 手で: sudo my/step03 run grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status  # 000001ffffffffff のように、どれも同じ
# 手引き: コンテナ内の root にできること、できないこと
# 項目: become_root child
# bats test_tags=to07
@test "root inside has every capability in its own namespace" {
    requires root userns
    local all
    all=$(printf %016x $(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1)))
    run -0 inside 'grep -E "^Cap(Prm|Eff|Bnd)" /proc/self/status'
    [ "$(grep -c "$all" <<<"$output")" = 3 ]
}

# 要件: マッピングにない id には、ファイルを渡せない
# 手で: sudo my/step03 run sh -c 'touch /tmp/probe; chown 0 /tmp/probe && echo mine; chown 1 /tmp/probe'; sudo rm -f /tmp/probe  # mine、Invalid argument
# 手引き: コンテナ内の root にできること、できないこと
# 項目: write_id_maps
# bats test_tags=to07
@test "root inside cannot give a file to an id outside the map" {
    requires root userns
    run ! inside 'file=/tmp/chown-$$
        touch $file && chown 0:0 $file && echo mine && chown 1 $file
        result=$?
        rm -f $file
        exit $result'
    [ "${lines[0]}" = mine ]
    [[ $output == *"Invalid argument"* ]]
}

# 要件: sudo で始めても、root のファイルには手が届かない
# 手で: sudo my/step03 run grep -o ^root: /etc/shadow  # Permission denied
# 手引き: 動かす
# 項目: become_root write_id_maps
# bats test_tags=to05
@test "started with sudo, root inside has no power over root's files and processes" {
    requires root userns sudo
    echo secret >"$BATS_TEST_TMPDIR/secret"
    chmod 755 "$BATS_TEST_TMPDIR"
    chmod 600 "$BATS_TEST_TMPDIR/secret"
    run ! as_sudoer "$(user_bin)" run cat "$BATS_TEST_TMPDIR/secret"
    [[ $output == *"Permission denied"* ]]
    run ! as_sudoer "$(user_bin)" run touch "$BATS_TEST_TMPDIR/new"
    [[ $output == *"Permission denied"* ]]
    run ! as_sudoer "$(user_bin)" run sh -c 'echo core >/proc/sys/kernel/core_pattern'
    [[ $output == *"ermission denied"* ]]
}

# PID の名前空間を分けると、シグナルを送る相手が見えなくなる
# 要件: sudo で始めても、root のプロセスにシグナルを送れない
# 手で: sudo my/step03 run kill -0 1  # Operation not permitted
# 手引き: コンテナ内の root にできること、できないこと
# 項目: become_root write_id_maps
# bats test_tags=to04
@test "started with sudo, root inside cannot signal root's processes" {
    requires root userns sudo
    run ! as_sudoer "$(user_bin)" run kill -0 $$
    [[ $output == *"not permitted"* ]]
}

# --- ゲート --------------------------------------------------------------------------

program_runs() {
    pgrep -x "$(basename "$BIN")" >/dev/null
}

# ランチャーの write は、setgroups、uid_map、gid_map、ゲートの順
# 要件: ゲートを開く前に親が死ねば、コマンドは動かない
# 手で: sudo strace -qqo /dev/null -e inject=write:signal=KILL:when=3 my/step03 run echo ran  # ran は出ない
# 手引き: strace でゲートを見る
# 項目: child main write_id_maps
# bats test_tags=to08
@test "the command does not run, and nothing is left, when the launcher dies before it opens the gate" {
    requires root userns strace
    local count
    for count in 1 2 3; do
        run -137 strace -qq -o /dev/null -e trace=write \
            -e inject=write:signal=KILL:when=$count "$BIN" run sh -c "echo ran >$MARKER"
        promised 2 eval '! program_runs'
        [ ! -e "$(marker_outside)" ]
    done
    # 何も起きなければ、書かれる
    run -0 inside "echo ran >$MARKER"
    [ -e "$(marker_outside)" ]
}

# prctl と poll を効かなくすると、残るのはゲートの EOF だけになる。4 番目の write がゲート。
# poll(3) は、arm64 では ppoll(2) になる
# 要件: ゲートが EOF になるだけでは、コマンドは動かない
# 手で: sudo strace -fqqo /dev/null -e inject=prctl,/poll:retval=0 -e inject=write:signal=KILL:when=4 my/step03 run echo ran  # ran は出ない
# 手引き: 差分を読む
# 項目: child
# bats test_tags=to08
@test "end-of-file at the gate alone keeps the command from running" {
    requires root userns strace
    run -137 strace -f -qq -o /dev/null -e trace=write,prctl,poll,ppoll -e inject=prctl,poll,ppoll:retval=0 \
        -e inject=write:signal=KILL:when=4 "$BIN" run sh -c "echo ran >$MARKER"
    promised 2 eval '! program_runs'
    [ ! -e "$(marker_outside)" ]
}

# 要件: 子は、ゲートを読んでから uid 0 になる
# 手で: sudo strace -fqq -e trace=read,write,setresuid my/step03 run true  # 親の write、子の read、setresuid の順
# 手引き: strace でゲートを見る
# 項目: child main
# bats test_tags=to09
@test "the child waits for the maps: it reads the gate before it becomes uid 0" {
    requires root userns strace
    local trace=$BATS_TEST_TMPDIR/trace gate
    # 32 ビットの x86 では、setresuid32 という名前になる
    run -0 strace -f -qq -o "$trace" -e 'trace=pipe2,read,write,/^setresuid(32)?$,execve' "$BIN" run true
    gate=$(sed -nE 's/.*pipe2\(\[[0-9]+, ([0-9]+)\], O_CLOEXEC\).*/\1/p' "$trace" | sed -n 2p)
    local launcher
    launcher=$(awk 'NR == 1 { print $1 }' "$trace")
    # 親がゲートに書いた行より前に、子が setresuid することはない
    [ "$(sed -nE "s/^($launcher) +write\($gate, .*/gate/p; s/.* setresuid(32)?\(0, 0, 0.*/uid/p" \
        "$trace" | xargs)" = "gate uid" ]
}

# 要件: id を変えたあとでも、親が死ねばコンテナも終わる
# 手で: sudo my/step03 run sleep 100
# 手で 2: sudo pkill -KILL -f '^my/step03'; sleep 1; pgrep -a sleep  # sleep 100 がいない
# 手引き: 2 度目の die_with_parent(pipes); を消すと、コンテナが置き去りになる
# 項目: child
# bats test_tags=to09
@test "the container dies with its launcher, though its ids changed after the first prctl" {
    requires root userns sudo
    start_container_as_sudoer sleep 100
    [ "$(xargs <"/proc/$CONTAINER/uid_map")" = "0 4711 1" ]
    kill -KILL "$LAUNCHER"
    promised 2 is_gone "$CONTAINER"
}
