# OCI の低レベルランタイム step09-oci。エンジンから使うほうは engines.bats にある
#
# config.json は、tests/oci.bash の bundle が作る。$ を展開するのは、内側の sh
# shellcheck disable=SC2016,SC2034,SC2153
load helpers
load host/cgroups
load oci

setup() {
    requires root userns cgroup net
    make_boxes
}

teardown() {
    remove_boxes
}

# --- create と start -------------------------------------------------------------

# 要件: create はコマンドを動かさずに戻り、status は created
# 手で: sudo my/step09-oci create --bundle steps/09-cgroups-veth/oci/bundle demo; sudo my/step09-oci state demo
# 手引き: 動かす
# 項目: wait_for_start
@test "create does not run the command; state says created, with the process that waits" {
    bundle box touch /ran
    run -0 create box
    [ "$output" = "" ]
    run -0 oci state box
    [[ $output == *'"status":'*'"created"'* ]]
    CONTAINER=$(pid_of box)
    kill -0 "$CONTAINER"
    [ ! -e "$BOXES/box/rootfs/ran" ]
}

# 要件: start でコマンドが動き、終われば stopped、delete で何も残らない
# 手で: sudo my/step09-oci start demo; sudo my/step09-oci kill demo KILL; sudo my/step09-oci delete demo; sudo my/step09-oci list
# 手引き: 動かす
# 項目: wait_for_start start_container
@test "start runs the command; then stopped, and delete removes the state and the groups" {
    bundle box touch /ran
    run -0 create box
    run -0 oci start box
    [ "$output" = "" ]
    retry 2 test -e "$BOXES/box/rootfs/ran"
    retry 2 status_is box stopped
    [ -e "$STATES/box" ]
    run -0 oci delete box
    [ "$output" = "" ]
    nothing_left box
}

# 要件: run は、コマンドの出力と終了ステータスのまま終わる
# 手で: mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|"sleep", "1000"|"sh", "-c", "exit 7"|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci run --bundle build/hand demo; echo $?  # 7
# 手引き: 動かす
# 項目: wait_for_start start_container
@test "run is create, start and delete: output, exit status, nothing left" {
    bundle box sh -c 'echo hello; exit 7'
    run -7 run_in box
    [ "$output" = hello ]
    nothing_left box
}

# create の調べる、ファイルがあって実行できるかだけでは、分からない失敗
# 要件: start のあとの exec に失敗したら、start がそう言って失敗する
# 手で: printf '#!/none\n' | sudo install -m 755 /dev/stdin rootfs/fs/tmp/none; mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|"sleep", "1000"|"/tmp/none"|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci create --bundle build/hand demo; sudo my/step09-oci start demo
# 手引き: 書いてみる
# 項目: wait_for_start start_container
@test "when exec fails after start, start fails with the reason" {
    bundle box /bin/own
    printf '#!/none\n' >"$BOXES/box/rootfs/bin/own"
    chmod 755 "$BOXES/box/rootfs/bin/own"
    run -0 create box
    run -1 oci start box
    [[ $output == *"exec /bin/own: no such file or directory" ]]
    retry 2 status_is box stopped
}

# 要件: start を 2 度は受け付けない
# 手で: sudo my/step09-oci run --detach --bundle steps/09-cgroups-veth/oci/bundle demo; sudo my/step09-oci start demo; sudo my/step09-oci delete --force demo
# 手引き: 書いてみる
# 項目: start_container
@test "start of a running or a stopped container fails and says so" {
    start_box
    run -0 status_is box running
    run -1 oci start box
    [[ $output == *running* ]]
    kill -KILL "$CONTAINER"
    retry 2 status_is box stopped
    run -1 oci start box
    [[ $output == *stopped* ]]
}

# Docker の eth0 は、prestart フックが、コンテナのネットワーク名前空間に置く
# 要件: prestart、createRuntime のフックが、コマンドより先に、state を stdin から読んで動く
# 手で: 手引きのようにして: sudo my/step09-oci run --detach --bundle build/hooked demo; sudo my/step09-oci exec demo ip addr show eth0
# 手引き: フック: Docker の eth0 はどこから来るか
# 項目: create_container
@test "hooks run in their order; the runtime's ones get the state and are outside" {
    local log=$BOXES/log name
    : >"$log"
    for name in prestart createRuntime poststart poststop; do
        hook $name "echo $name \$(readlink /proc/self/ns/mnt) >>$log; cat >$BOXES/$name"
    done
    hook createContainer "echo createContainer \$(readlink /proc/self/ns/mnt) >>$log"
    hook startContainer 'echo startContainer >>/log; cat >/state'
    bind_mount "$log" /log
    TOP_LEVEL='"annotations": {"mine": "yes"}' bundle box sh -c 'echo command >>/log; exec sleep 1000'
    run -0 create box
    [ "$(cut -d' ' -f1 "$log" | xargs)" = 'prestart createRuntime createContainer' ]
    CONTAINER=$(pid_of box)
    grep -qF "prestart $(readlink /proc/self/ns/mnt)" "$log"
    grep -qF "createContainer $(readlink "/proc/$CONTAINER/ns/mnt")" "$log"
    run -0 oci start box
    retry 2 grep -qx command "$log"
    run -0 oci delete --force box
    # コマンドと poststart は、どちらが先でもよい
    [ "$(cut -d' ' -f1 "$log" | grep -vE '^(command|poststart)$' | xargs)" = \
        'prestart createRuntime createContainer startContainer poststop' ]
    grep -q poststart "$log"
    for name in prestart createRuntime poststart; do
        grep -q "\"pid\":$CONTAINER,\"bundle\":\"$BOXES/box\"" "$BOXES/$name"
        grep -q '"annotations":{"mine":"yes"}' "$BOXES/$name"
    done
    grep -q '"status":"stopped"' "$BOXES/poststop"
    grep -q '"id":"box"' "$BOXES/box/rootfs/state"
}

# 要件: createRuntime のフックが失敗したら、create も失敗して、何も残さない
# 手で: mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e '2i "hooks": { "prestart": [{ "path": "/bin/false" }] },' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci create --bundle build/hand demo; sudo my/step09-oci list
# 手引き: フック: Docker の eth0 はどこから来るか
# 項目: create_container wait_for_start
@test "a failing hook before the command fails with its status; nothing is left" {
    local name
    for name in prestart createRuntime createContainer; do
        HOOKS=
        hook $name 'echo no eth0 >&2; exit 3'
        bundle box true
        run -1 create box
        [[ $output == *"hooks.$name: /bin/sh: exit status 3: no eth0" ]]
        nothing_left box
    done
    HOOKS=
    hook startContainer 'exit 3'
    bundle box touch /ran
    run -0 create box
    run -1 oci start box
    [[ $output == *'hooks.startContainer: /bin/sh: exit status 3'* ]]
    retry 2 status_is box stopped
    [ ! -e "$BOXES/box/rootfs/ran" ]
}

# --- exec ------------------------------------------------------------------------

# 要件: exec のコマンドは、コンテナのすべての名前空間に入る
# 手で: sudo my/step09-oci run --detach --bundle steps/09-cgroups-veth/oci/bundle demo; sudo my/step09-oci exec demo sh -c 'hostname; ps; exit 7'; echo $?; sudo my/step09-oci delete --force demo
# 手引き: exec は、setns と同じ終わりの手順
# 項目: spawn
@test "exec is in every namespace and group of the container, and passes the exit status on" {
    NAMESPACES='pid mount uts ipc network cgroup user time' \
        LINUX='"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}],
            "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}]' start_box
    run -7 oci exec box sh -c 'cd /proc/self/ns && ls -l | grep -oE "[a-z_]+:.*" | sort -u; exit 7'
    local name
    for name in pid mnt uts ipc net cgroup user time; do
        grep -qxF "$(readlink "/proc/$CONTAINER/ns/$name")" <<<"$output"
    done
    run -0 oci exec box cat /proc/self/cgroup
    [ "$output" = "$(oci exec box cat /proc/1/cgroup)" ]
    run -0 oci exec box readlink /proc/self/root
    [ "$output" = / ]
}

# --- マウント ---------------------------------------------------------------------

# 要件: イメージの /proc や /sys がリンクなら、そこには proc をマウントせず、断る (CVE-2019-19921)
# 手で: mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|"/proc"|"/sbin"|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci create --bundle build/hand demo  # /sbin は /bin へのリンク
# 手引き: 書いてみる
# 項目: mount_one
@test "an image whose /proc or /sys is a symlink is refused" {
    bundle box true
    rmdir "$BOXES/box/rootfs/proc"
    ln -s /tmp "$BOXES/box/rootfs/proc"
    run -1 create box
    [[ $output == *'/proc: too many levels of symbolic links' ]]
    nothing_left box
    MOUNTS='{"destination": "/link", "type": "sysfs", "source": "sysfs"}' bundle other true
    ln -s /sys "$BOXES/other/rootfs/link"
    run -1 create other
    [[ $output == *'/link: too many levels of symbolic links' ]]
    nothing_left other
}

# --- 名前空間 ---------------------------------------------------------------------

# 要件: path のある名前空間には、新しく作らずに入る (Pod)
# 手で: sudo ip netns add own; mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|"network"|&, "path": "/run/netns/own"|' -e 's|"sleep", "1000"|"readlink", "/proc/self/ns/net"|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci run --bundle build/hand demo; sudo ip netns exec own readlink /proc/self/ns/net
# 手引き: Pod: 2 つのコンテナを、名前空間のパスでつなぐ
# 項目: read_namespaces join_namespaces
@test "two containers share net, ipc, uts and pid by path, and nothing else" {
    TOP_LEVEL='"hostname": "pod"' start_box
    local ns=/proc/$CONTAINER/ns name
    NAMESPACES="mount cgroup network=$ns/net ipc=$ns/ipc uts=$ns/uts pid=$ns/pid" \
        bundle other sh -c 'cd /proc/self/ns && ls -l | grep -oE "[a-z_]+:.*"; hostname; cat /proc/1/comm'
    run -0 run_in other
    for name in net ipc uts pid; do
        grep -qxF "$(readlink "$ns/$name")" <<<"$output"
    done
    for name in mnt cgroup; do
        run ! grep -qxF "$(readlink "$ns/$name")" <<<"$output"
    done
    run -0 run_in other
    [ "${lines[-2]}" = pod ]
    [ "${lines[-1]}" = sleep ]
    status_is box running
}

# 要件: ユーザー名前空間に入るのは、ほかの名前空間に入ったあと
# 手で: sudo unshare --user --map-root-user sleep 1000 & sleep 1; mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|{ "type": "ipc" }|&, { "type": "user", "path": "/proc/'$(pgrep -nx sleep)'/ns/user" }|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci create --bundle build/hand demo
# 手引き: 書いてみる
# 項目: join_namespaces
@test "a user namespace is joined by path, together with the host's network" {
    NAMESPACES='pid mount uts user' LINUX='"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 10}]' start_box
    # ネットワークの名前空間は、ユーザー名前空間のものではない
    unshare --net sleep 1000 3>&- 4>&- &
    OTHERS+=($!)
    retry 2 eval '! [ /proc/$!/ns/net -ef /proc/self/ns/net ]'
    NAMESPACES="pid mount network=/proc/$!/ns/net user=/proc/$CONTAINER/ns/user" \
        bundle other sh -c 'for name in user net; do readlink /proc/self/ns/$name; done; id -u; xargs </proc/self/uid_map'
    run -0 run_in other
    [ "${lines[0]}" = "$(readlink "/proc/$CONTAINER/ns/user")" ]
    [ "${lines[1]}" = "$(readlink "/proc/$!/ns/net")" ]
    [ "${lines[2]}" = 0 ]
    [ "${lines[3]}" = '0 100000 10' ]
}

# --- seccomp ---------------------------------------------------------------------

seccomp() { # SYSCALLS [FIELD]
    printf '"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", %s"syscalls": [%s]}' "${2:+$2, }" "$1"
}

# 要件: noNewPrivileges がなくても、一般ユーザーのコマンドにフィルターが効く
# 手で: mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|"noNewPrivileges": true|"noNewPrivileges": false|' -e 's|"resources"|"seccomp": { "defaultAction": "SCMP_ACT_LOG" }, &|' -e 's|"sleep", "1000"|"grep", "Seccomp:", "/proc/self/status"|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci run --bundle build/hand demo  # 2
# 手引き: 書いてみる
# 項目: become_command
@test "a seccomp filter without noNewPrivileges is in force for another user as well" {
    LINUX=$(seccomp '{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}')
    PROCESS='"user": {"uid": 1000, "gid": 1000}'
    bundle box sh -c 'mkdir /tmp/new; grep -E "Seccomp:|NoNewPrivs:" /proc/self/status'
    run -0 run_in box
    [[ ${lines[0]} == *'Function not implemented' ]]
    [ "${lines[1]}" = $'NoNewPrivs:\t0' ]
    [ "${lines[2]}" = $'Seccomp:\t2' ]
}

# フィルターのあとで動くシステムコールは、フィルターが許さなければならない。Docker のものは、
# ほかのユーザーになるときに要るものを許すが、自分で書いたものは許さないかもしれない
# 要件: noNewPrivileges があれば、フィルターはユーザーを変えたあとで入れる
# 手で: mkdir -p build/hand; sed -e 's|../../../../rootfs|../../rootfs|' -e 's|"resources"|"seccomp": { "defaultAction": "SCMP_ACT_LOG" }, &|' -e 's|"sleep", "1000"|"grep", "Seccomp:", "/proc/self/status"|' steps/09-cgroups-veth/oci/bundle/config.json >build/hand/config.json; sudo my/step09-oci run --bundle build/hand demo  # 2
# 手引き: 書いてみる
# 項目: become_command
@test "with noNewPrivileges the filter comes last: it may deny what the runtime itself used" {
    LINUX=$(seccomp '{"names": ["setresuid", "setresgid", "setgroups", "capset", "accept", "accept4",
        "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}')
    PROCESS='"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": true, "capabilities": {}'
    bundle box sh -c 'mkdir /tmp/new; grep -E "Seccomp:|NoNewPrivs:" /proc/self/status'
    run -0 run_in box
    [[ ${lines[0]} == *'Operation not permitted' ]]
    [ "${lines[1]}" = $'NoNewPrivs:\t1' ]
    [ "${lines[2]}" = $'Seccomp:\t2' ]
}

# --- 状態とエラー -------------------------------------------------------------------

# 要件なし: 書くところではない
@test "a second container with the same id is refused, the first one is left alone" {
    start_box
    run -1 launch box
    [[ $output == *'already exists'*box* ]]
    status_is box running
    kill -0 "$CONTAINER"
}

# 要件なし: 書くところではない
@test "delete refuses a created or running container; --force kills all that is in its groups" {
    bundle box sh -c 'setsid sleep 1000 & setsid sleep 1000 & exec sleep 1000'
    run -0 create box
    run -1 oci delete box
    [[ $output == *'not stopped: created' ]]
    run -0 oci start box
    CONTAINER=$(pid_of box)
    retry 2 eval '[ "$(oci ps --format json box | tr -cd , | wc -c)" = 2 ]'
    local pids
    pids=$(oci ps --format json box | tr -cs 0-9 ' ')
    run -1 oci delete box
    [[ $output == *'not stopped: running' ]]
    run -0 oci delete --force box
    for pid in $pids; do
        retry 2 is_gone "$pid"
    done
    nothing_left box
    run -0 oci delete --force box
    run -1 oci delete box
    [[ $output == *'does not exist'* ]]
}

# 要件なし: 書くところではない
@test "--force kills the processes of a container without a PID namespace, too" {
    NAMESPACES='mount uts' bundle box sh -c 'setsid sleep 1000 & setsid sleep 1000 & exec sleep 1000'
    run -0 launch box
    local pids
    retry 2 eval '[ "$(oci ps --format json box | tr -cd , | wc -c)" = 2 ]'
    pids=$(oci ps --format json box | tr -cs 0-9 ' ')
    run -0 oci delete -f box
    for pid in $pids; do
        retry 2 is_gone "$pid"
    done
    nothing_left box
}

# 要件なし: 書くところではない
@test "kill sends signals by number and name; a dead one is not running" {
    bundle box sh -c 'trap "echo term" TERM; trap "echo usr1" USR1; trap "exit 5" HUP; echo ready
        while :; do sleep 0.02; done'
    run -0 launch box
    retry 2 grep -q ready "$BOXES/box/out"
    run -0 oci kill box
    retry 2 grep -q term "$BOXES/box/out"
    run -0 oci kill box 10
    retry 2 grep -q usr1 "$BOXES/box/out"
    run -1 oci kill box NONSENSE
    [[ $output == *'unknown signal NONSENSE' ]]
    run -0 oci kill box SIGHUP
    retry 2 status_is box stopped
    run -1 oci kill box KILL
    [[ $output == *'container not running' ]]
    run -1 oci kill nobody KILL
    [[ $output == *'container does not exist: nobody' ]]
}

# 要件なし: 書くところではない
@test "the pid file is complete when create returns, relative to the caller, absent on failure" {
    bundle box sleep 1000
    cd "$BOXES"
    run -0 create box --pid-file box.pid
    [ "$(cat "$BOXES/box.pid")" = "$(pid_of box)" ]
    kill -0 "$(cat "$BOXES/box.pid")"
    bundle other no-such-command
    run -1 create other --pid-file other.pid
    [ ! -e "$BOXES/other.pid" ]
    run -0 oci start box
    run -0 aside box oci exec --detach --pid-file exec.pid box sleep 1000
    grep -qz sleep "/proc/$(cat "$BOXES/exec.pid")/cmdline"
    run -255 oci exec --detach --pid-file failed.pid box no-such-command
    [ ! -e "$BOXES/failed.pid" ]
    # create が 0 で終わってから読むので、途中のものが残っていてはいけない
    [ -z "$(find "$BOXES" -maxdepth 1 -name '*.new')" ]
}

# 要件なし: 書くところではない
@test "a missing or not executable command fails in create, in the words the engines look for" {
    bundle box no-such-command
    run -1 create box --pid-file "$BOXES/pid"
    [[ $output == *'"no-such-command": executable file not found in $PATH'*'no such file or directory' ]]
    nothing_left box
    bundle box /bin/no-such-command
    run -1 create box
    [[ $output == *'no such file or directory' ]]
    bundle box /etc/passwd
    run -1 create box
    [[ $output == *'exec /etc/passwd: permission denied' ]]
    bundle box /etc
    run -1 create box
    [[ $output == *'exec /etc: permission denied' ]]
    # 調べるのは、そのユーザーにできるか
    cp "$BOXES/box/rootfs/bin/busybox" "$BOXES/box/rootfs/bin/own"
    chmod 700 "$BOXES/box/rootfs/bin/own"
    PROCESS='"user": {"uid": 1000, "gid": 1000}' bundle box own
    run -1 create box
    [[ $output == *'exec own: permission denied' ]]
    nothing_left box
    start_box
    run -255 oci exec box no-such-command
    [[ $output == *'executable file not found in $PATH'* ]]
}

# 要件なし: 書くところではない
@test "--log gets a failure as JSON in Go's spelling, or as text; nothing without one" {
    bundle box no-such-command
    run -1 oci --log "$BOXES/log.json" --log-format json create --bundle "$BOXES/box" box
    grep -qE '^\{"level":"error","msg":".*\\"no-such-command\\".*no such file or directory","time":"[0-9T:-]+Z"\}$' \
        "$BOXES/log.json"
    run -1 oci --log "$BOXES/log" --log-format text create --bundle "$BOXES/no-such-bundle" box
    grep -qE '^time="[0-9T:-]+Z" level=error msg=".*no-such-bundle: no such file or directory"$' "$BOXES/log"
    bundle box true
    rm "$BOXES/log"
    run -0 oci --log "$BOXES/log" --log-format json run --bundle "$BOXES/box" box
    [ ! -s "$BOXES/log" ]
}

# 要件なし: 書くところではない
@test "list shows every container, as a table, as names and as JSON; --version and --help" {
    bundle box true
    bundle other true
    run -0 oci list
    [ "${#lines[@]}" = 1 ]
    run -0 create box
    run -0 create other
    run -0 oci list -q
    [ "$(sort <<<"$output" | xargs)" = 'box other' ]
    run -0 oci list
    [[ $output == *"box "*"$(pid_of box)"*created*"$BOXES/box"* ]]
    run -0 oci list --format json
    [[ $output == '['*'"id":"box"'*']' && $output == *'"ociVersion":"1.'* ]]
    run -0 oci --version
    [[ $output == *' version '*'spec: 1.'* ]]
    run -0 oci --help
    [[ $output == usage:* ]]
    run -1 oci no-such-command
    run -1 oci create --no-such-option box
}

# 要件なし: 書くところではない
@test "bad ids are refused, and nothing is made outside --root" {
    local id
    bundle box true
    for id in '' . .. ../x a/b '/etc' 'a b' $'a\nb' "$(printf '%01025d' 0)"; do
        run -1 oci create --bundle "$BOXES/box" "$id"
        [[ $output == *'invalid id format'* ]]
        run -1 oci delete --force "$id"
        [[ $output == *'invalid id format'* ]]
    done
    [ ! -e "$STATES" ] || [ -z "$(ls -A "$STATES")" ]
    [ ! -e "$BOXES/x" ]
    # --root は、何段も先まで、まだなくてよい
    STATES=$BOXES/a/b/c/d
    run -0 create box
    [ -e "$BOXES/a/b/c/d/box/state.json" ]
}

# config.c にある、断る欄の名前: fields_of not_supported
fields_of() {
    sed -n "/\*const $1\[\]/,/NULL}/p" "$TOP/steps/09-cgroups-veth/oci/config.c" | grep -oE '"[^"]+"' | tr -d '"'
}

# "a.b.c" から {"a": {"b": {"c": {"x": 1}}}} の中身
nested() {
    local name text='{"x": 1}'
    for name in $(tr . '\n' <<<"$1" | tac); do
        text="\"$name\": $text"
        [ "$name" = "${1%%.*}" ] || text="{$text}"
    done
    echo "$text"
}

# 要件なし: 書くところではない
@test "what is asked for and not supported is refused by its name; unknown fields are ignored" {
    local names name
    names=$(fields_of not_supported)
    [ "$(wc -w <<<"$names")" -ge 8 ]
    for name in $names; do
        TOP_LEVEL='' LINUX=''
        case $name in
        linux.*) LINUX=$(nested "${name#linux.}") ;;
        *) TOP_LEVEL=$(nested "$name") ;;
        esac
        bundle box true
        run -1 create box
        [[ $output == *"config.json: $name: not supported" ]]
    done
    unset TOP_LEVEL LINUX
    names=$(fields_of process_not_supported)
    [ -n "$names" ]
    for name in $names; do
        PROCESS=$(nested "$name") bundle box true
        run -1 create box
        [[ $output == *"config.json: process.$name: not supported" ]]
    done
    nothing_left box
    # 空なら、頼んでいない
    TOP_LEVEL='"windows": {}, "vm": null, "unknownThing": {"a": [1]}, "domainname": "example.org"' \
        LINUX='"intelRdt": {}, "unknownThing": 1' bundle box sh -c 'cat /proc/sys/kernel/domainname'
    run -0 run_in box
    [ "$output" = example.org ]
}

# 要件なし: 書くところではない
@test "a broken or wrong config.json is refused with the name of the field" {
    local text
    bundle box true
    for text in '' '{' '[]' '"text"' '{"ociVersion": "1.0.2"} more'; do
        echo "$text" >"$BOXES/box/config.json"
        run -1 create box
        [[ $output == *'config.json: not a JSON object' ]]
    done
    wrong() { # 変数 値 期待
        local "$1=$2"
        bundle box true
        run -1 create box
        [[ $output == *"config.json: "*"$3"* ]]
    }
    wrong TOP_LEVEL '"ociVersion": "2.0"' 'ociVersion'
    wrong TOP_LEVEL '"ociVersion": 1' 'ociVersion: not a string'
    wrong TOP_LEVEL '"process": []' 'not an object'
    wrong TOP_LEVEL '"process": null' 'process'
    wrong TOP_LEVEL '"linux": "text"' 'not an object'
    wrong TOP_LEVEL '"hostname": 7' 'hostname: not a string'
    wrong TOP_LEVEL '"hooks": {"prestart": [{"path": "relative"}]}' 'hooks.prestart: path'
    wrong TOP_LEVEL '"hooks": {"prestart": [{"path": "/bin/true", "timeout": 0}]}' 'hooks.prestart: timeout'
    wrong PROCESS '"args": []' 'args: is empty'
    wrong PROCESS '"args": "true"' 'args: not an array'
    wrong PROCESS '"args": [1]' 'args: not an array of strings'
    wrong PROCESS '"cwd": "tmp"' 'cwd: not an absolute path'
    wrong PROCESS '"env": ["NOTHING"]' 'env'
    wrong PROCESS '"terminal": "yes"' 'terminal: not true or false'
    wrong PROCESS '"user": {"uid": -1}' 'uid'
    wrong PROCESS '"rlimits": [{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]' 'RLIMIT_NONE'
    wrong LINUX '"namespaces": [{"type": "none"}]' 'a type is unknown'
    wrong LINUX '"namespaces": [{"type": "uts"}, {"type": "uts"}]' 'uts is there twice'
    wrong LINUX '"sysctl": {"kernel.panic": "1"}' 'kernel.panic'
    wrong LINUX '"sysctl": {"net.../../kernel.panic": "1"}' 'sysctl'
    wrong LINUX '"resources": {"memory": {"limit": "64M"}}' 'limit: not a number'
    wrong LINUX '"resources": {"devices": [{"allow": true, "access": "q"}]}' 'devices'
    wrong LINUX '"seccomp": {"defaultAction": "SCMP_ACT_NOTHING"}' 'SCMP_ACT_NOTHING'
    wrong LINUX '"cgroupsPath": "/../x"' 'cgroupsPath'
    wrong LINUX '"rootfsPropagation": "sideways"' 'rootfsPropagation'
    NAMESPACES='pid mount' TOP_LEVEL='"hostname": "box"' bundle box true
    run -1 create box
    [[ $output == *'needs a UTS namespace' ]]
    nothing_left box
    # 端末を操る文字を、そのまま出さない
    TOP_LEVEL='"ociVersion": "1.0", "process": {"args": ["\u001b[31m"], "cwd": "/"}' bundle box
    run -1 create box
    [[ $output == *'?[31m'* && $output != *$'\e'* ]]
}

# --- 前面の run と exec ---------------------------------------------------------------

# 要件なし: 書くところではない
@test "run leaves stdin, stdout and stderr alone, and passes signals on" {
    bundle box sh -c 'cat; readlink /proc/self/fd/1; echo error >&2'
    within 5 "$BIN" --root "$STATES" run --bundle "$BOXES/box" box <<<'from stdin' >"$BOXES/out" 2>"$BOXES/err"
    [ "$(cat "$BOXES/out")" = "from stdin
$BOXES/out" ]
    [ "$(cat "$BOXES/err")" = error ]
    NAMESPACES='mount uts' bundle box sh -c 'kill -KILL $$'
    run -137 run_in box
    bundle box sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.02; done'
    env --default-signal "$BIN" --root "$STATES" run --bundle "$BOXES/box" box </dev/null >"$BOXES/out" 3>&- 4>&- &
    retry 2 grep -q ready "$BOXES/out"
    OTHERS+=($!)
    kill -TERM $!
    retry 2 is_gone $!
    local status=0
    wait $! || status=$?
    [ "$status" = 9 ]
    nothing_left box
}

# 要件なし: 書くところではない
@test "a caller without stdin, stdout and stderr, or one that ignores SIGCHLD, changes nothing" {
    bundle box touch /ran
    # run の出力をつかむので、run の外で
    within 2 "$BIN" --root "$STATES" create --bundle "$BOXES/box" box <&- >&- 2>&- 3>&- 4>&-
    status_is box created
    [ ! -e "$BOXES/box/rootfs/ran" ]
    run -0 oci start box
    retry 2 test -e "$BOXES/box/rootfs/ran"
    hook prestart true
    bundle other sh -c 'exit 3'
    run -3 env --ignore-signal=CHLD timeout --signal KILL "$((2 * SLOWNESS))" "$BIN" --root "$STATES" run --bundle "$BOXES/other" other
    [ "$output" = "" ]
}

# 要件なし: 書くところではない
@test "run --detach leaves it running, --keep leaves the state behind" {
    start_box
    status_is box running
    bundle other true
    run -0 oci run --keep --bundle "$BOXES/other" other
    status_is other stopped
}

# 要件なし: 書くところではない
@test "exec: --cwd, --env, --user, --process, --cap, stdin; a stopped or unknown one is refused" {
    PROCESS='"env": ["PATH=/bin", "FROM=config"], "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"]}' start_box
    run -0 oci exec --cwd /tmp --env MORE=1 --env FROM=exec --user 1000:1001 box \
        sh -c 'pwd; echo $MORE $FROM; id -u; id -g; grep CapEff /proc/self/status'
    [ "${lines[*]}" = $'/tmp 1 exec 1000 1001 CapEff:\t0000000000000000' ]
    run -0 oci exec --cap CAP_KILL box grep CapEff /proc/self/status
    [ "$output" = $'CapEff:\t0000000000000020' ]
    # root でなければ、アンビエントのものだけが残る
    run -0 oci exec --user 1000 --cap CAP_KILL --cap CAP_CHOWN box grep CapEff /proc/self/status
    [ "$output" = $'CapEff:\t0000000000000020' ]
    to_strings sh -c 'cat; echo $A; exit 6'
    echo '{"args": '"$STRINGS"', "cwd": "/", "env": ["PATH=/bin", "A=b"], "user": {"uid": 7, "gid": 8}}' >"$BOXES/process.json"
    run -6 oci exec --process "$BOXES/process.json" box <<<'from stdin'
    [ "$output" = 'from stdin
b' ]
    cd "$BOXES"
    run -6 oci exec -p process.json box </dev/null
    run -137 oci exec box sh -c 'kill -KILL $$'
    run -255 oci exec nobody true
    [[ $output == *'does not exist'* ]]
    kill -KILL "$CONTAINER"
    retry 2 status_is box stopped
    run -255 oci exec box true
    [[ $output == *'cannot exec in a stopped container' ]]
    bundle other true
    run -0 create other
    run -0 oci exec other true
}

# 端末の中で動かす: at_terminal COMMAND
at_terminal() {
    printf 'typed\n' | within 5 env -u LANG SHELL=/bin/sh script -qec "stty rows 33 cols 77; $1" /dev/null | tr -d '\r'
}

# 要件なし: 書くところではない
@test "run and exec -t have a terminal of the container: its size, what is typed, exit status" {
    requires script
    local ask='tty; stty size; test -t 0 && ls -l /dev/console | cut -c1; read line; echo "[$line]"; exit 4'
    PROCESS='"terminal": true' bundle box sh -c "$ask"
    run at_terminal "$BIN --root $STATES run --bundle $BOXES/box box; echo status=\$?"
    [[ $output == */dev/pts/0* && $output == *'33 77'* && $output == *'[typed]'* && $output == *'status=4'* ]]
    start_box
    run at_terminal "$BIN --root $STATES exec -t box sh -c '${ask/ls -l*cut -c1;/}'; echo status=\$?"
    [[ $output == */dev/pts/0* && $output == *'33 77'* && $output == *'[typed]'* && $output == *'status=4'* ]]
    # 端末がなければ、端末のないまま
    run -1 oci exec box test -t 0
    # パイプに出すときは、改行の前に CR がない
    PROCESS='"terminal": true' bundle piped echo hello
    run at_terminal "$BIN --root $STATES run --bundle $BOXES/piped piped | tr '\\r' @"
    [[ $output == *hello* && $output != *hello@* ]]
}

# 要件なし: 書くところではない
@test "--console-socket gets the master of the container's terminal; without one create refuses" {
    requires python3
    local python=/usr/bin/python3
    [ -x $python ] || python=python3
    cat >"$BOXES/receive.py" <<'END'
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
os.chdir(sys.argv[1])
server.bind("s")
server.listen(2)
for n in range(2):
    _, fds, _, _ = socket.recv_fds(server.accept()[0], 100, 1)
    os.write(fds[0], b"typed\n")
    text = b""
    try:
        while data := os.read(fds[0], 1000):
            text += data
    except OSError:
        pass
    with open(str(n) + ".new", "wb") as out:
        out.write(text)
    os.rename(str(n) + ".new", str(n))
END
    # ソケットのパスは 108 バイトまで、ではない
    local deep
    deep=$BOXES/$(printf '%0120d' 0)
    mkdir "$deep"
    timeout 20 $python "$BOXES/receive.py" "$deep" 3>&- 4>&- &
    OTHERS+=($!)
    PROCESS='"terminal": true, "consoleSize": {"height": 11, "width": 22}, "user": {"uid": 1000, "gid": 0}' \
        bundle box sh -c 'tty; stty size; stat -c %u $(tty); echo owned >/dev/console; read line; echo "[$line]"; exec sleep 1000'
    run -1 create box
    [[ $output == *'needs --console-socket' ]]
    retry 5 test -S "$deep/s"
    run -0 launch box --console-socket "$deep/s"
    [ ! -s "$BOXES/box/out" ]
    CONTAINER=$(pid_of box)
    to_strings sh -c 'tty; test -t 2 && read line; echo "<$line>"'
    echo '{"args": '"$STRINGS"', "cwd": "/", "env": ["PATH=/bin"], "terminal": true}' >"$BOXES/process.json"
    retry 2 eval '[ "$(cat /proc/$CONTAINER/comm)" = sleep ]'
    kill -KILL "$CONTAINER"
    retry 5 test -e "$deep/0"
    # 打ったもののエコーは、どこに来てもよい
    run -0 eval "tr -d '\r' <$deep/0 | grep -vx typed"
    [[ $output == $'/dev/pts/0\n11 22\n1000\nowned\n[typed]' ]]
    bundle other sleep 1000
    run -0 launch other
    run -0 aside other oci exec --detach --process "$BOXES/process.json" --console-socket "$deep/s" other
    retry 5 test -e "$deep/1"
    run -0 eval "tr -d '\r' <$deep/1 | grep -vx typed"
    [ "$output" = $'/dev/pts/0\n<typed>' ]
}

# --- 名前空間 -----------------------------------------------------------------------

# 要件なし: 書くところではない
@test "new namespaces: each is the container's own, the ones that are not asked for are the host's" {
    local name kinds=(pid:pid mount:mnt uts:uts ipc:ipc network:net cgroup:cgroup time:time user:user)
    NAMESPACES='pid mount uts ipc network cgroup time user' TOP_LEVEL='"hostname": "own"' \
        LINUX='"timeOffsets": {"boottime": {"secs": 10000000}, "monotonic": {"secs": 5}},
            "sysctl": {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4711"},
            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000},
                {"containerID": 2000, "hostID": 300000, "size": 1}, {"containerID": 1000, "hostID": 200000, "size": 7}],
            "gidMappings": [{"containerID": 0, "hostID": 400000, "size": 3}, {"containerID": 5, "hostID": 500000, "size": 1}]' \
        PROCESS='"user": {"uid": 2000, "gid": 5}' \
        bundle box sh -c 'hostname; cut -d. -f1 /proc/uptime; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax
            ip -o link show lo; cat /proc/self/cgroup; exec sleep 1000'
    run -0 launch box
    CONTAINER=$(pid_of box)
    retry 2 eval '[ "$(cat /proc/$CONTAINER/comm)" = sleep ]'
    for name in "${kinds[@]#*:}"; do
        [ ! "/proc/$CONTAINER/ns/$name" -ef "/proc/self/ns/$name" ]
    done
    [ "$(stat -c %u:%g "/proc/$CONTAINER")" = 300000:500000 ]
    [ "$(tr -s ' ' <"/proc/$CONTAINER/uid_map")" = ' 0 100000 1000
 2000 300000 1
 1000 200000 7' ]
    [ "$(tr -s ' ' <"/proc/$CONTAINER/gid_map")" = ' 0 400000 3
 5 500000 1' ]
    mapfile -t lines <"$BOXES/box/out"
    [ "${lines[0]}" = own ]
    ((lines[1] > 10000000))
    [ "${lines[2]}" = 1 ]
    [ "${lines[3]}" = 4711 ]
    [[ ${lines[4]} == *,UP* ]]
    run ! grep -v ':/$' <(printf '%s\n' "${lines[@]:5}")

    NAMESPACES='mount' bundle other sleep 1000
    run -0 launch other
    CONTAINER=$(pid_of other)
    [ ! "/proc/$CONTAINER/ns/mnt" -ef /proc/self/ns/mnt ]
    for name in pid uts ipc net cgroup time user; do
        [ "/proc/$CONTAINER/ns/$name" -ef "/proc/self/ns/$name" ]
    done
}

# 要件なし: 書くところではない
@test "a path that is not a namespace, or one of another kind, is refused" {
    NAMESPACES="pid mount network=$BOXES/none" bundle box true
    run -1 create box
    [[ $output == *"open $BOXES/none: no such file or directory" ]]
    NAMESPACES='pid mount network=/proc/self/ns/uts' bundle box true
    run -1 create box
    [[ $output == *'setns network: invalid argument' ]]
    nothing_left box
}

# 要件なし: 書くところではない
@test "without a mount namespace the host keeps its root, and delete takes the mounts away" {
    local before
    before=$(cut -d' ' -f5 /proc/self/mountinfo | sort)
    bind_mount /etc /mnt
    NAMESPACES='pid' bundle box sh -c 'ls /; exec sleep 1000'
    run -0 launch box
    CONTAINER=$(pid_of box)
    [ "/proc/$CONTAINER/ns/mnt" -ef /proc/self/ns/mnt ]
    [ "$(readlink "/proc/$CONTAINER/root")" = "$BOXES/box/rootfs" ]
    [ "$(readlink /proc/self/root)" = / ]
    run -0 oci exec box test -e /mnt/passwd
    run -0 oci delete --force box
    [ "$(cut -d' ' -f5 /proc/self/mountinfo | sort)" = "$before" ]
    nothing_left box
}

# --- マウント -------------------------------------------------------------------------

# 要件なし: 書くところではない
@test "binds: a directory, one file, relative sources, ro, rro; the target is made" {
    mkdir -p "$BOXES/box/data/sub"
    echo file >"$BOXES/box/one"
    mount -t tmpfs tmpfs "$BOXES/box/data/sub"
    bind_mount data /a/b/data rbind
    bind_mount "$BOXES/box/one" /a/one bind
    bind_mount data /ro rbind ro
    bind_mount data /rro rbind rro
    bind_mount one /ro-one bind ro
    bind_mount data /no-sub bind
    bundle box sh -c 'cat /a/one; echo new >/a/b/data/new; echo new >>/a/one
            for file in /ro/x /ro/sub/x /rro/x /rro/sub/x /ro-one; do
                (echo x >>$file) 2>/dev/null && echo "wrote $file"
            done; for name in no-sub ro; do grep -o " /$name/sub " /proc/mounts; done'
    run -0 run_in box
    [ "${lines[*]}" = 'file wrote /ro/sub/x  /ro/sub ' ]
    [ "$(cat "$BOXES/box/data/new")" = new ]
    [ "$(xargs <"$BOXES/box/one")" = 'file new' ]
    [ -e "$BOXES/box/data/sub/x" ]
    umount "$BOXES/box/data/sub"
}

# 要件なし: 書くところではない
@test "tmpfs keeps the mode of what it covers, with tmpcopyup its contents too; flags are set" {
    bundle box true
    install -d -m 1770 -o 12 -g 34 "$BOXES/box/rootfs/covered" "$BOXES/box/rootfs/covered/dir"
    install -m 640 -o 56 /dev/null "$BOXES/box/rootfs/covered/file"
    echo content >"$BOXES/box/rootfs/covered/file"
    ln -s /etc/passwd "$BOXES/box/rootfs/covered/link"
    cp -a "$BOXES/box/rootfs/covered" "$BOXES/box/rootfs/plain"
    MOUNTS='{"destination": "/covered", "type": "tmpfs", "source": "t", "options": ["tmpcopyup", "ro", "noexec"]},
        {"destination": "/plain", "type": "tmpfs", "source": "t", "options": ["nosuid", "nodev", "size=64k"]}' \
        once 'stat -c %a /covered /plain; cd /covered; stat -c "%a %u %g %F" dir file; cat file; readlink link
            (echo x >file) 2>/dev/null || echo refused; ls -A /plain; grep -E " /(covered|plain) " /proc/mounts' >"$BOXES/out"
    mapfile -t lines <"$BOXES/out"
    [ "${lines[*]:0:7}" = '1770 1770 1770 12 34 directory 640 56 0 regular file content /etc/passwd refused' ]
    [[ ${lines[7]} == 't /covered tmpfs ro,'*noexec* ]]
    [[ ${lines[8]} == 't /plain tmpfs rw,'*nosuid*nodev*size=64k* ]]
}

# 要件なし: 書くところではない
@test "a read-only tmpfs becomes so at the end: mounts and devices below it are made first" {
    bundle box true
    MOUNTS='{"destination": "/locked", "type": "tmpfs", "source": "t", "options": ["ro"]},
        {"destination": "/locked/open", "type": "tmpfs", "source": "t"}' \
        run -0 once 'touch /locked/x; touch /locked/open/x && ls /locked/open'
    [[ $output == *'Read-only file system'* && ${lines[-1]} == x ]]
    bundle box sh -c 'echo >/dev/null && touch /dev/new'
    sed -i 's/"nosuid", "mode=755"/"nosuid", "mode=755", "ro"/' "$BOXES/box/config.json"
    run -1 run_in box
    [[ $output == *'/dev/new: Read-only file system' ]]
}

# 要件なし: 書くところではない
@test "an idmapped bind shows mapped ids, also of what an earlier mount has put there" {
    local maps='"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 9}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 9}]'
    bundle box true
    mkdir -p "$BOXES/source/below"
    : >"$BOXES/source/below/file"
    bind_mount "$BOXES/source" /first bind
    MOUNTS+=", {\"destination\": \"/second\", \"type\": \"bind\", \"source\": \"$BOXES/box/rootfs/first/below\",
        \"options\": [\"bind\", \"idmap\"], $maps}"
    run once 'stat -c "%u %g" /first/below/file /second/file'
    # tmpfs は Linux 6.3 から
    [[ $output != *'mount_setattr '*'nvalid argument' ]] || skip "this kernel cannot map the ids of this file system"
    [ "$output" = $'0 0\n1000 1000' ]
    MOUNTS=${MOUNTS%%, \"uidMappings\"*}'}'
    run -1 once true
    [[ $output == *'mounts: idmap: needs uidMappings' ]]
    nothing_left box
}

# 要件なし: 書くところではない
@test "signals that the caller ignores or blocks are as usual again for the command" {
    bundle box grep -E 'SigBlk|SigIgn' /proc/self/status
    run -0 within 5 env --ignore-signal=USR1,PIPE --block-signal=USR2 "$BIN" --root "$STATES" run --bundle "$BOXES/box" box
    [ "$output" = $'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000' ]
    # posix_spawn(3) は、glibc の使う 32 と 33 も無視させる
    requires python3
    run -0 within 5 python3 -c 'import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))' "$BIN" --root "$STATES" run --bundle "$BOXES/box" box
    [ "$output" = $'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000' ]
}

# 要件なし: 書くところではない
@test "a mount made later on the host comes in with rslave, and not without it" {
    mkdir -p "$BOXES/shared/sub"
    mount --bind "$BOXES/shared" "$BOXES/shared"
    mount --make-shared "$BOXES/shared"
    bind_mount "$BOXES/shared" /slave bind rslave
    bind_mount "$BOXES/shared" /private bind
    bind_mount "$BOXES/shared" /shared bind rshared
    LINUX='"rootfsPropagation": "rshared"' start_box
    mount -t tmpfs tmpfs "$BOXES/shared/sub"
    : >"$BOXES/shared/sub/seen"
    run -0 oci exec box sh -c 'for dir in slave private shared; do test ! -e /$dir/sub/seen || echo $dir; done'
    [ "${lines[*]}" = 'slave shared' ]
    # 中でしたマウントが出てくるのは、shared だけ
    run -0 oci exec box sh -c 'mkdir /slave/a /shared/b && mount -t tmpfs t /slave/a && mount -t tmpfs t /shared/b'
    run ! mountpoint -q "$BOXES/shared/a"
    run -0 mountpoint -q "$BOXES/shared/b"
    umount "$BOXES/shared/b" "$BOXES/shared/sub" "$BOXES/shared"
}

# 要件なし: 書くところではない
@test "links in the image lead no destination out of it" {
    local outside=$BOXES/outside
    mkdir "$outside" "$BOXES/data"
    echo data >"$BOXES/data/file"
    bundle box true
    ln -s "$outside" "$BOXES/box/rootfs/absolute"
    ln -s ../../../../../../../../../.."$outside" "$BOXES/box/rootfs/up"
    ln -s "$outside/made" "$BOXES/box/rootfs/dangling"
    mkdir -p "$BOXES/box/rootfs/usr/share" "$BOXES/box/rootfs/real"
    ln -s ../../real "$BOXES/box/rootfs/usr/share/link"
    bind_mount "$BOXES/data" /absolute/a bind
    bind_mount "$BOXES/data" /up/b bind
    bind_mount "$BOXES/data" /dangling bind
    bind_mount "$BOXES/data/file" /absolute/file bind
    bind_mount "$BOXES/data" /usr/share/link bind
    bind_mount "$BOXES/data" "/../../../..$outside/c" bind
    MOUNTS+=', {"destination": "/up/t", "type": "tmpfs", "source": "t"}'
    LINUX='"maskedPaths": ["/absolute/a/file", "/up/../../../../../../etc/hosts"], "readonlyPaths": ["/up/t"],
        "devices": [{"path": "/absolute/null", "type": "c", "major": 1, "minor": 3}]'
    PROCESS='"cwd": "/absolute/cwd"'
    bundle box sh -c "pwd; cd $outside; cat b/file made/file file c/file /real/file; ls -d t null
        wc -c <a/file; wc -c </etc/hosts; touch t/new 2>/dev/null || echo refused"
    run -0 run_in box
    [ "${lines[*]}" = "$outside/cwd data data data data data null t 0 0 refused" ]
    [ -z "$(ls -A "$outside")" ]
    [ "$(ls "$BOXES/data")" = file ]
}

# 要件なし: 書くところではない
@test "a mount inside /proc is refused, but for the harmless files (CVE-2019-16884)" {
    local target
    for target in /proc/sys /proc/self/attr /proc/1 /link/sys; do
        MOUNTS=
        bind_mount /tmp $target bind
        bundle box true
        ln -sfn proc "$BOXES/box/rootfs/link"
        run -1 create box
        [[ $output == *"$target: is inside /proc" ]]
    done
    nothing_left box
    echo own >"$BOXES/box/own"
    MOUNTS=
    bind_mount "$BOXES/box/own" /proc/meminfo bind
    bundle box cat /proc/meminfo
    run -0 run_in box
    [ "$output" = own ]
}

# 要件なし: 書くところではない
@test "masked and readonly paths, root.readonly; the image's own /dev/null masks nothing (CVE-2025-31133)" {
    bundle box true
    mkdir "$BOXES/box/rootfs/hidden"
    echo secret | tee "$BOXES/box/rootfs/secret" >"$BOXES/box/rootfs/hidden/file"
    echo evil >"$BOXES/box/rootfs/dev/null"
    LINUX='"maskedPaths": ["/secret", "/hidden", "/none", "/proc/sysrq-trigger"], "readonlyPaths": ["/tmp", "/proc/sys", "/no/ne"]' \
        bundle box sh -c 'cat /secret; ls /hidden; (: >/tmp/x) 2>/tmp/y || echo read-only
            (echo x >/proc/sys/kernel/hostname) || echo read-only; : >/free; cat /dev/null'
    # tmpfs の /dev がなければ、イメージのものが見える
    sed -i 's/{"destination": "\/dev", [^}]*},//; s/{"destination": "\/dev\/pts"/{"destination": "\/pts"/' "$BOXES/box/config.json"
    run -0 --separate-stderr run_in box
    [ "$output" = 'read-only
read-only
evil' ]
    [ -e "$BOXES/box/rootfs/free" ]
    [ "$(cat "$BOXES/box/rootfs/dev/null")" = evil ]
    ROOT='"readonly": true' bundle other sh -c '(: >/free) 2>/dev/null || echo refused; : >/dev/shm-is-tmpfs && echo dev'
    run -0 run_in other
    [ "${lines[*]}" = 'refused dev' ]
}

# 要件なし: 書くところではない
@test "with a user namespace, a source below a closed directory can still be mounted" {
    mkdir -m 700 "$BOXES/closed"
    mkdir -m 777 "$BOXES/closed/data"
    bind_mount "$BOXES/closed/data" /mnt bind
    MOUNTS+=', {"destination": "/sys", "type": "sysfs", "source": "sysfs"}'
    NAMESPACES='pid mount uts ipc network cgroup user'
    LINUX='"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}]'
    once 'touch /mnt/new; stat -c %u /mnt/new; echo x >/dev/null && head -c 1 /dev/zero | wc -c; test -d /sys/class && echo sys' >"$BOXES/out"
    [ "$(xargs <"$BOXES/out")" = '0 1 sys' ]
    [ "$(stat -c %u "$BOXES/closed/data/new")" = 100000 ]
}

# 要件なし: 書くところではない
@test "/dev has the default devices and the ones asked for, with their modes" {
    LINUX='"devices": [{"path": "/dev/own", "type": "c", "major": 240, "minor": 7, "fileMode": 384, "uid": 3, "gid": 4},
        {"path": "/dev/deep/pipe", "type": "p"}]' \
        once 'cd /dev; stat -c "%n %A %t:%T" null zero full random urandom tty; stat -c "%A %u %g %t:%T" own; test -p deep/pipe
            echo $?; readlink fd stdin; for name in ptmx fd stdin; do readlink $name; done; test -c /dev/ptmx; echo $?' >"$BOXES/out"
    [ "$(xargs <"$BOXES/out")" = 'null crw-rw-rw- 1:3 zero crw-rw-rw- 1:5 full crw-rw-rw- 1:7 random crw-rw-rw- 1:8 urandom crw-rw-rw- 1:9 tty crw-rw-rw- 5:0 crw------- 3 4 f0:7 0 pts/ptmx /proc/self/fd /proc/self/fd/0 0' ]
}

# 要件なし: 書くところではない
@test "the container's /sys/fs/cgroup shows its own groups only, read-only if asked" {
    requires cgroup
    MOUNTS='{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}' \
        bundle box sh -c 'find /sys/fs/cgroup -name cgroup.procs | head -n 1
            find /sys/fs/cgroup -name cgroup.procs -exec grep -qx $$ {} \; -print | wc -l
            find /sys/fs/cgroup -name cgroup.procs | wc -l
            find /sys/fs/cgroup -name cgroup.procs | while read -r file; do (echo 0 >$file) 2>/dev/null && echo wrote; done; true'
    run -0 --separate-stderr run_in box
    [[ ${lines[0]} == /sys/fs/cgroup/* ]]
    ((lines[1] > 0 && lines[1] == lines[2]))
    [ "${#lines[@]}" = 3 ]
}

# --- プロセス -------------------------------------------------------------------------

# 要件なし: 書くところではない
@test "user, additional gids, umask, environment, HOME of the container's passwd, cwd is made" {
    bundle box true
    rm "$BOXES/box/rootfs/etc/passwd"
    printf 'root:x:0:0:root:/root:/bin/sh\nown:x:1234:5:Own:/home/own:/bin/sh\n' >"$BOXES/box/rootfs/etc/passwd"
    PROCESS='"user": {"uid": 1234, "gid": 567, "additionalGids": [8, 9], "umask": 39}, "cwd": "/not/there/yet",
        "env": ["PATH=/bin:/sbin", "A=b c"], "oomScoreAdj": 321,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]' \
        bundle box sh -c 'id -u; id -g; id -G; umask; echo $HOME; pwd; echo $A; cat /proc/self/oom_score_adj
            ulimit -n; ulimit -Hn; ulimit -c; env | grep -cvE "^(PATH|A|HOME|PWD|SHLVL)=" || true'
    run -0 run_in box
    [ "${lines[*]}" = '1234 567 567 8 9 0047 /home/own /not/there/yet b c 321 100 200 0 0' ]
    PROCESS='"user": {"uid": 99, "gid": 0}' bundle box sh -c 'echo $HOME; umask'
    run -0 run_in box
    [ "${lines[*]}" = '/ 0022' ]
    PROCESS='"env": ["PATH=/bin", "HOME=/own"]' bundle box sh -c 'echo $HOME'
    run -0 run_in box
    [ "$output" = /own ]
}

# 要件なし: 書くところではない
@test "the five capability sets; unknown ones only warn" {
    local all='"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]'
    PROCESS="\"user\": {\"uid\": 1000, \"gid\": 1000}, \"capabilities\": {$all}" \
        bundle box grep ^Cap /proc/self/status
    run -0 run_in box
    [ "$(cut -c5- <<<"$output" | tr '\t\n' '  ')" = 'nh: 0000000000000020 rm: 0000000000000020 ff: 0000000000000020 nd: 0000000000000021 mb: 0000000000000020 ' ]
    PROCESS="\"capabilities\": {${all/CAP_KILL\"\], \"eff/CAP_KILL\", \"CAP_NONE\"], \"eff}}" \
        bundle box grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status
    run -0 run_in box
    [[ ${lines[0]} == *capabilities.bounding*CAP_NONE* ]]
    [ "$(tail -n 3 <<<"$output" | cut -f2 | xargs)" = '0000000000000021 0000000000000021 0000000000000021' ]
    PROCESS='"capabilities": {}' bundle box sh -c 'grep -E "^Cap(Prm|Bnd)" /proc/self/status | cut -f2; chown 1 /tmp 2>&1'
    run -1 run_in box
    [[ ${lines[*]} == '0000000000000000 0000000000000000 chown:'*'Operation not permitted' ]]
}

# 要件なし: 書くところではない
@test "a working directory through a leaked descriptor is refused (CVE-2024-21626)" {
    local fd
    for fd in 3 4 5 6 7 8 9 10 11 12; do
        PROCESS="\"cwd\": \"/proc/self/fd/$fd\"" bundle box sh -c 'pwd; ls'
        run -1 run_in box </dev/null 9</
        [[ $output != *etc* ]]
    done
    # イメージの中のリンクからも
    PROCESS='"cwd": "/link"' bundle box sh -c 'pwd; ls -a'
    ln -s /proc/self/fd/9 "$BOXES/box/rootfs/link"
    run -1 run_in box </dev/null 9</
    nothing_left box
    start_box
    for fd in 3 4 5 6 7 8 9 10 11 12; do
        run -255 oci exec --cwd /proc/self/fd/$fd box sh -c 'pwd; ls' 9</
    done
}

# 要件なし: 書くところではない
@test "no descriptor of the runtime or the caller leaks; --preserve-fds passes that many on" {
    local ask='ls /proc/self/fd | xargs'
    bundle box sh -c "$ask"
    run -0 run_in box 7</etc/passwd
    [ "$output" = '0 1 2 3' ]
    run -0 run_in box --preserve-fds 2 3</etc/passwd 4</etc/group 5</etc/hosts
    [ "$output" = '0 1 2 3 4 5' ]
    start_box
    run -0 oci exec box sh -c "$ask" 7</etc/passwd
    [ "$output" = '0 1 2 3' ]
    run -0 oci exec --preserve-fds 1 box sh -c 'head -n 1 <&3' 3</etc/passwd 4</etc/group
    [ "$output" = "$(head -n 1 /etc/passwd)" ]
    [ "$(find "/proc/$CONTAINER/fd" -mindepth 1 -printf '%f\n' | sort | xargs)" = '0 1 2' ]
}

# 要件なし: 書くところではない
@test "seccomp: errno, kill, compared arguments, unknown names; exec has the filter as well" {
    local rules
    rules='{"names": ["umask", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
            "args": [{"index": 0, "value": 63, "op": "SCMP_CMP_EQ"}]},
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"}'
    LINUX=$(seccomp "$rules" '"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_NONE"]') start_box
    run -0 oci exec box sh -c 'umask 0027; umask; umask 0077; umask; mkdir /tmp/x 2>/dev/null || echo refused'
    [ "${lines[*]}" = '0027 0027 refused' ]
    run -159 oci exec box hostname new
    LINUX='"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": []}' bundle other true
    run ! create other
}

# 要件なし: 書くところではない
@test "the runtime in the container is a sealed copy: it cannot be used to write the file (CVE-2019-5736)" {
    local before
    before=$(cksum <"$BIN")
    bundle box sleep 1000
    run -0 create box
    CONTAINER=$(pid_of box)
    [ ! "/proc/$CONTAINER/exe" -ef "$BIN" ]
    # コンテナの root がするように、動いているあいだに開いておき、終わってから書く
    exec 9<"/proc/$CONTAINER/exe"
    run -0 oci start box
    retry 2 eval '[ "$(cat /proc/$CONTAINER/comm)" = sleep ]'
    run ! sh -c 'echo x >/proc/self/fd/9'
    run ! sh -c 'echo x >>/proc/self/fd/9'
    exec 9<&-
    [ "$(cksum <"$BIN")" = "$before" ]
    # exec の途中も。start を待つ create のように止められないので、システムコールのところで見る
    requires strace
    run -0 strace -f -qq -e trace=execve,execveat -o "$BOXES/trace" "$BIN" --root "$STATES" exec box true
    grep -qE 'exec(ve|veat)\(.*(memfd|, "", |/proc/self/fd)' "$BOXES/trace"
}

# --- cgroup ---------------------------------------------------------------------------

LIMITS='"cpu": {"shares": 512, "quota": 20000, "period": 50000}, "pids": {"limit": 33},
    "memory": {"limit": 67108864, "swap": 67108864}'

limits() {
    limit_of pids pids.max pids.max
    limit_of memory memory.limit_in_bytes memory.max
    if is_v2 cpu; then
        limit_of cpu - cpu.max
    else
        limit_of cpu cpu.cfs_quota_us -
        limit_of cpu cpu.cfs_period_us -
    fi
}

# 要件なし: 書くところではない
@test "limits of config.json are in the container's groups; update changes them" {
    LINUX="\"resources\": {$LIMITS}" start_box
    [ "$(limits | xargs)" = '33 67108864 20000 50000' ]
    [ "$(limit_of cpu cpu.shares cpu.weight)" = "$(is_v2 cpu && echo 20 || echo 512)" ]
    [[ $(group_of memory) == *"$GROUP-box" ]]
    run -0 oci update --memory 96M --memory-swap 96M --pids-limit 44 --cpu-quota 30000 --cpu-period 60000 box
    [ "$(limits | xargs)" = '44 100663296 30000 60000' ]
    echo '{"memory": {"limit": 33554432, "swap": 33554432}, "pids": {"limit": 22}}' >"$BOXES/resources.json"
    run -0 oci update --resources "$BOXES/resources.json" box
    [ "$(limits | xargs)" = '22 33554432 30000 60000' ]
    run -0 oci update -r - box <<<'{"pids": {"limit": -1}}'
    [ "$(limits | head -n 1)" = max ]
    run -1 oci update box
    run -1 oci update --memory lots box
    run -0 oci delete --force box
    nothing_left box
}

# 要件なし: 書くところではない
@test "more processes or memory than the limit are refused, and 137 is passed on" {
    LINUX='"resources": {"pids": {"limit": 5}, "memory": {"limit": 16777216, "swap": 16777216}}' \
        bundle box sh -c 'for n in 1 2 3 4 5 6 7; do sleep 100 & done 2>/dev/null; jobs | wc -l; exit'
    run run_in box
    [ "$status" != 0 ] || ((lines[-1] < 6))
    LINUX='"resources": {"memory": {"limit": 16777216, "swap": 16777216}}' bundle box /demo/memhog 100 0
    run -137 run_in box
    nothing_left box
}

# 要件なし: 書くところではない
@test "cgroupsPath: several levels, slice:prefix:name, and none at all" {
    local path
    LINUX="\"cgroupsPath\": \"$GROUP-a/b/c\"" start_box
    [[ $(group_of pids) == *"$GROUP-a/b/c" ]]
    run -0 oci delete --force box
    [[ $(groups_left) != */b/c* ]]
    [ -z "$(groups_left | while read -r dir; do find "$dir" -name c; done)" ]
    LINUX="\"cgroupsPath\": \"${GROUP#/}-d.slice:pre:name\"" start_box
    [[ $(group_of pids) == *"$GROUP-d.slice/pre-name.scope" ]]
    run -0 oci delete --force box
    LINUX='"cgroupsPath": ""' bundle "${GROUP#/}" sleep 1000
    run -0 launch "${GROUP#/}"
    CONTAINER=$(pid_of "${GROUP#/}")
    [[ $(group_of pids) == */step09-oci"$GROUP" ]]
    path=$(group_of pids)
    run -0 oci delete --force "${GROUP#/}"
    [ ! -e "$path" ]
}

# 要件なし: 書くところではない
@test "device rules: what is not allowed cannot be opened, the default devices can" {
    # このデバイスのドライバーはないので、許されたものは ENXIO になる
    local ask='rm -f /n; mknod /n c 240 7 || exit; cat /n; (: >/n); (: >/dev/null) && head -c 1 /dev/urandom | wc -c; (: >/dev/tty)'
    bundle box sh -c "$ask"
    run run_in box
    [[ ${lines[0]} == *'Operation not permitted' && ${lines[1]} == *'Operation not permitted' ]]
    [ "${lines[2]}" = 1 ]
    [[ ${lines[3]} == *'No such device or address' ]]
    LINUX='"resources": {"devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 240, "minor": 7, "access": "r"}]}' bundle box sh -c "$ask"
    run run_in box
    [[ ${lines[0]} == *'No such device or address' && ${lines[1]} == *'Operation not permitted' ]]
    LINUX='"resources": {"devices": [{"allow": true, "access": "rwm"},
        {"allow": false, "type": "c", "major": 240, "access": "w"}]}' bundle box sh -c "$ask"
    run run_in box
    [[ ${lines[0]} == *'No such device or address' && ${lines[1]} == *'Operation not permitted' ]]
    LINUX='"resources": {"devices": [{"allow": true, "access": "rwm"}]}' bundle box sh -c "$ask"
    run run_in box
    [[ ${lines[0]} == *'No such device or address' && ${lines[1]} == *'No such device or address' ]]
}

frozen() {
    limit_of freezer freezer.state cgroup.events
}

# 要件なし: 書くところではない
@test "pause freezes, exec is refused then, kill still works; resume goes on" {
    bundle box sh -c 'while :; do echo x >>/count; sleep 0.01; done'
    run -0 launch box
    CONTAINER=$(pid_of box)
    run -0 oci pause box
    status_is box paused
    [[ $(frozen) == *@(FROZEN|'frozen 1')* ]]
    run -255 oci exec box true
    [[ $output == *'paused'* ]]
    run -1 oci pause box
    local count
    count=$(wc -l <"$BOXES/box/rootfs/count")
    run -0 oci resume box
    status_is box running
    retry 2 eval '(($(wc -l <"$BOXES/box/rootfs/count") > '"$count"'))'
    run -1 oci resume box
    run -0 oci pause box
    run -0 oci kill box KILL
    retry 2 status_is box stopped
    run -0 oci delete box
    nothing_left box
    start_box
    run -0 oci pause box
    run -0 oci delete --force box
    nothing_left box
}

# 要件なし: 書くところではない
@test "a created container can be paused, resumed and then started" {
    bundle box sleep 1000
    run -0 create box
    run -0 oci pause box
    status_is box paused
    run -1 oci start box
    [[ $output == *paused* ]]
    run -0 oci resume box
    status_is box created
    run -0 oci start box
    status_is box running
}

# 要件なし: 書くところではない
@test "ps lists the processes of the container" {
    bundle box sh -c 'sleep 4711 & exec sleep 4712'
    run -0 launch box
    CONTAINER=$(pid_of box)
    retry 2 eval '[ "$(oci ps --format json box | tr -cd , | wc -c)" = 1 ]'
    run -0 oci ps --format json box
    [[ $output =~ ^\[[0-9]+,[0-9]+\]$ && $output == *"$CONTAINER"* ]]
    run -0 oci ps box
    [[ $output == *'sleep 4711'* && $output == *'sleep 4712'* ]]
    [ "${#lines[@]}" = 3 ]
    run -0 oci ps box -o pid,comm
    [[ ${lines[0]} == *PID*COMMAND ]]
}

# 要件なし: 書くところではない
@test "a group that is frozen, or where somebody else is, is refused and left alone" {
    local point
    point=$(top_of pids)
    make_group "$point" "${GROUP#/}-box"
    sleep 1000 3>&- 4>&- &
    OTHERS+=($!)
    echo $! >"$point$GROUP-box/cgroup.procs"
    bundle box true
    run -1 create box
    [[ $output == *"$point$GROUP-box: is not empty" ]]
    kill -0 $!
    grep -qx $! "$point$GROUP-box/cgroup.procs"
    point=$(top_of freezer)
    make_group "$point" "${GROUP#/}-other"
    if is_v2 freezer; then
        echo 1 >"$point$GROUP-other/cgroup.freeze"
    else
        echo FROZEN >"$point$GROUP-other/freezer.state"
    fi
    bundle other true
    run -1 create other
    [[ $output == *"$point$GROUP-other: is frozen" ]]
    [ ! -e "$STATES/other" ]
}

# systemd の代わりに、頼まれた cgroup を作って入れる busctl(1)
fake_busctl() {
    mkdir -p "$BOXES/bin"
    cat >"$BOXES/bin/busctl" <<'END'
#!/bin/bash
echo "$*" >>"$0.log"
[ ! -e "$0.fail" ] || exit 1
unit=$8 pid=${*: -2:1}
while [ "$1" != Slice ]; do shift; done
for point in $(findmnt -nro TARGET -t cgroup,cgroup2 | sort -u); do
    mkdir -p "$point/$3/$unit"
    for file in cpuset.mems cpuset.cpus; do
        [ -e "$point/cgroup.controllers" ] || [ ! -e "$point/$file" ] ||
            for dir in "$point/$3" "$point/$3/$unit"; do cat "$point/$file" >"$dir/$file"; done
    done
    for dir in "$point" "$point/$3"; do
        [ ! -e "$point/cgroup.controllers" ] || echo +pids >"$dir/cgroup.subtree_control" || true
    done
    echo "$pid" >"$point/$3/$unit/cgroup.procs"
done
END
    chmod 755 "$BOXES/bin/busctl"
}

# 要件なし: 書くところではない
@test "--systemd-cgroup asks systemd for a scope, and fails cleanly without it" {
    local slice=${GROUP#/}-s.slice
    fake_busctl
    LINUX="\"cgroupsPath\": \"$slice:pre:name\", \"resources\": {\"pids\": {\"limit\": 33}}" bundle box sleep 1000
    export PATH=$BOXES/bin:$PATH
    run -0 aside box oci --systemd-cgroup run --detach --bundle "$BOXES/box" box
    CONTAINER=$(pid_of box)
    [[ $(group_of pids) == *"/$slice/pre-name.scope" ]]
    [ "$(limit_of pids pids.max pids.max)" = 33 ]
    grep -q "StartTransientUnit.*pre-name.scope fail.*Delegate b true.*Slice s $slice PIDs au 1 $CONTAINER 0$" "$BOXES/bin/busctl.log"
    run -0 oci exec box cat /proc/self/cgroup
    run -0 oci delete --force box
    [ -z "$(groups_left | while read -r dir; do find "$dir" -name '*.scope'; done)" ]
    : >"$BOXES/bin/busctl.fail"
    run -1 aside box oci --systemd-cgroup run --detach --bundle "$BOXES/box" box
    [[ $output == *'StartTransientUnit pre-name.scope failed' ]]
    [ ! -e "$STATES/box" ]
    retry 2 no_runtimes
}

# --- フック ---------------------------------------------------------------------------

# 要件なし: 書くところではない
@test "poststop only warns; a failing poststart ends the container; a hook that takes too long is killed" {
    hook poststop 'exit 4'
    bundle box true
    run -0 run_in box
    [[ $output == *'hooks.poststop: /bin/sh: exit status 4'* ]]
    nothing_left box
    HOOKS=
    hook poststart 'exit 3'
    bundle box sleep 1000
    run -0 create box
    run -1 oci start box
    [[ $output == *'hooks.poststart: /bin/sh: exit status 3'* ]]
    nothing_left box
    HOOKS=
    hook createRuntime 'exec sleep 1000' '"timeout": 1'
    bundle box true
    run -1 create box
    [[ $output == *'hooks.createRuntime: /bin/sh: signal 9' ]]
    nothing_left box
}

# --- 途中の死 -------------------------------------------------------------------------

# 要件なし: 書くところではない
@test "a create that is killed at any moment leaves what delete --force removes" {
    requires strace
    local call when
    bundle box sh -c 'exec sleep 1000'
    for call in ?mkdir,mkdirat:1 ?mkdir,mkdirat:2 ?mkdir,mkdirat:4 bind:1 ?renameat,?renameat2:1 ?renameat,?renameat2:2 \
        ?renameat,?renameat2:3 ?renameat,?renameat2:4 ?renameat,?renameat2:5 socketpair:1 wait4:1 prlimit64:1 sendto:1 \
        sendto:2 recvfrom:1 recvfrom:2 recvfrom:3; do
        when=${call##*:}
        run ! aside box within 5 strace -qq -e signal=none -o /dev/null -e "trace=${call%:*}" \
            -e "inject=${call%:*}:signal=KILL:when=$when" "$BIN" --root "$STATES" create --bundle "$BOXES/box" box
        [ "$status" = 137 ] || echo "not killed: $call"
        run -0 oci delete --force box
        [ "$output" = "" ]
        nothing_left box
    done
    for when in 0.001 0.003 0.005 0.007 0.009 0.012 0.015; do
        aside box timeout --signal KILL $when "$BIN" --root "$STATES" create --bundle "$BOXES/box" box 2>/dev/null || true
        run -0 oci delete --force box
        nothing_left box
    done
}

# 要件なし: 書くところではない
@test "a start that is killed, and a container that died by itself, can be deleted" {
    bundle box true
    run -0 create box
    CONTAINER=$(pid_of box)
    kill -KILL "$CONTAINER"
    retry 2 status_is box stopped
    run -1 oci start box
    run -0 oci delete box
    nothing_left box
}
