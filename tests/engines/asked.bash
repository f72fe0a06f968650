# shellcheck shell=bash
# asked.bash - podman にも docker にも、同じ言葉で頼むこと
#
# ENGINE がエンジンの名前、C がこのテストのコンテナの名前。engines.bats が読み込む。
# $ を展開するのは内側のシェル。output、lines、status は run が入れる
# shellcheck disable=SC2016,SC2154

# --- 端末 ----------------------------------------------------------------------------

# 30 行 100 桁の端末で、コマンドを動かす。SCREEN が画面、TYPIST が script(1)
at_terminal() {
    SCREEN=$BATS_TEST_TMPDIR/screen
    KEYS=$BATS_TEST_TMPDIR/keys
    [ -e "$KEYS" ] || mkfifo "$KEYS"
    : >"$SCREEN"
    engine_inside script -qefc "stty rows 30 cols 100; exec $1" /dev/null \
        <"$KEYS" >"$SCREEN" 2>&1 3>&- 4>&- &
    TYPIST=$!
    exec 8>"$KEYS"
    # プロンプトが出るまでに打つと、端末を生 (raw) にするときに捨てられる
    shows '[#$] '
}

types() {
    printf '%s\n' "$1" >&8
}

shows() {
    LAUNCHER=$TYPIST comes 10 grep -q -e "$1" "$SCREEN" || {
        cat "$SCREEN"
        return 1
    }
}

ends_with() {
    local status=0
    exec 8>&-
    retry 10 is_gone "$TYPIST"
    wait "$TYPIST" || status=$?
    TYPIST=
    echo "exit status $status, wanted $1"
    [ "$status" = "$1" ]
}

use_terminal() {
    types 'tty; until [ "$(stty size)" = "30 100" ]; do usleep 10000; done; echo re""sized'
    shows resized
    grep -q /dev/pts/0 "$SCREEN"
    # Ctrl-C は、端末の前面のコマンドにだけ届く
    types 'echo be""fore; sleep 1000'
    shows before
    retry 5 sleeping
    printf '\003' >&8
    types 'echo status=$?'
    shows 'status=130'
    types 'exit 5'
    ends_with 5
}

sleeping() {
    "$ENGINE" exec "$C" pidof sleep >/dev/null
}

ask_terminal() {
    at_terminal "$ENGINE run --rm -it --name $C base sh"
    use_terminal
}

ask_exec_terminal() {
    run -0 "$ENGINE" run -d --name "$C" base tail -f /dev/null
    at_terminal "$ENGINE exec -it $C sh"
    use_terminal
    remove
}

# --- 始める、終わらせる --------------------------------------------------------------

# PID 1 は、ハンドラーのない TERM では終わらない。podman は、それを 10 秒待つ。conmon の
# 始めた後始末と重なると、shm がまだ使用中のことがある
remove() {
    retry 5 removed
}

removed() {
    local now=()
    [ "$ENGINE" != podman ] || now=(-t 0)
    "$ENGINE" rm -f "${now[@]}" "$C" || ! "$ENGINE" container inspect "$C" >/dev/null 2>&1
}

inspect() {
    "$ENGINE" inspect --format "$1" "$C"
}

is_state() {
    [ "$(inspect '{{.State.Status}}')" = "$1" ]
}

logs_have() {
    "$ENGINE" logs "$C" 2>&1 | grep -qx "$1"
}

ask_statuses() {
    run -0 "$ENGINE" run --rm base echo hello
    [ "$output" = hello ]
    run -3 --separate-stderr "$ENGINE" run --rm base sh -c 'echo out; echo err >&2; exit 3'
    [ "$output" = out ]
    [ "$stderr" = err ]
    [ "$(echo typed | "$ENGINE" run --rm -i base cat)" = typed ]
    run -125 "$ENGINE" run --no-such-option base
    run -126 "$ENGINE" run --rm base /etc/passwd
    [[ ${output,,} == *'permission denied'* ]]
    run -127 "$ENGINE" run --rm base no-such-command
    [[ $output == *no-such-command* ]]
    run -127 "$ENGINE" run --rm base /no/such/command
    run -0 "$ENGINE" run -d --name "$C" base sleep 1000
    run -0 "$ENGINE" kill "$C"
    run -0 "$ENGINE" wait "$C"
    [ "$output" = 137 ]
}

ask_detached() {
    run -0 "$ENGINE" run -d --name "$C" base sh -c \
        'trap "echo got TERM; exit 7" TERM; trap "echo got USR1" USR1; echo ready
        while :; do usleep 20000; done'
    retry 5 logs_have ready
    run -0 "$ENGINE" ps --format '{{.Names}}'
    [[ $output == *"$C"* ]]
    run -0 "$ENGINE" top "$C"
    [[ ${lines[1]} == *'sh -c trap'* ]]
    run -0 "$ENGINE" stats --no-stream --format '{{.Name}} {{.MemUsage}}' "$C"
    [[ $output == "$C "[1-9]* ]]
    run -0 "$ENGINE" kill --signal USR1 "$C"
    retry 5 logs_have 'got USR1'
    run -0 "$ENGINE" restart "$C"
    is_state running
    retry 5 logs_have 'got TERM'
    run -0 "$ENGINE" stop "$C"
    [ "$(inspect '{{.State.ExitCode}}')" = 7 ]
    run -0 "$ENGINE" start "$C"
    run -0 "$ENGINE" rm -f -v "$C"
    run -0 "$ENGINE" ps -a --format '{{.Names}}'
    [[ $output != *"$C"* ]]
}

ask_exec() {
    run -0 "$ENGINE" run -d --name "$C" -e FROM=run -w /tmp base sleep 1000
    run -0 --separate-stderr "$ENGINE" exec "$C" sh -c 'cat /proc/1/comm; pwd; echo $FROM; echo err >&2'
    [ "${lines[*]}" = 'sleep /tmp run' ]
    [ "$stderr" = err ]
    run -3 "$ENGINE" exec "$C" sh -c 'exit 3'
    run -126 "$ENGINE" exec "$C" /etc/passwd
    # Docker 20.10 は、runc でも 126 とする
    if [ "$ENGINE" = podman ]; then
        run -127 podman exec "$C" no-such-command
    else
        run ! docker exec "$C" no-such-command
        [[ $status == 12[67] ]]
    fi
    [ "$(echo typed | "$ENGINE" exec -i "$C" cat)" = typed ]
    run -0 "$ENGINE" exec -e A=b -w /etc -u user "$C" sh -c 'echo $A; pwd; id -u; grep CapEff /proc/self/status'
    [ "${lines[*]}" = $'b /etc 1000 CapEff:\t0000000000000000' ]
    # すべての名前空間と cgroup が、PID 1 と同じ
    run -0 "$ENGINE" exec "$C" sh -c 'for n in mnt pid net ipc uts cgroup; do
        [ "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" ] || echo "$n differs"
        done; diff /proc/self/cgroup /proc/1/cgroup && grep Seccomp: /proc/self/status'
    [ "$output" = $'Seccomp:\t2' ]
    run -0 "$ENGINE" exec -d "$C" sh -c 'echo later >/tmp/later'
    retry 5 "$ENGINE" exec "$C" test -s /tmp/later
    remove
}

ask_pause() {
    run -0 "$ENGINE" run -d --name "$C" base sleep 1000
    run -0 "$ENGINE" pause "$C"
    is_state paused
    run ! "$ENGINE" exec "$C" true
    run -0 "$ENGINE" unpause "$C"
    is_state running
    run -0 "$ENGINE" exec "$C" true
    # 止まったままのものも消せる
    run -0 "$ENGINE" pause "$C"
    remove
}

# $@ は、その init を使うオプション。親のいなくなったプロセスは、PID 1 が回収する
ask_init() {
    run -0 "$ENGINE" run -d --name "$C" "$@" base sh -c \
        'trap "exit 9" TERM; (usleep 1000 & exit); while :; do usleep 20000; done'
    run -0 "$ENGINE" exec "$C" sh -c 'readlink /proc/1/exe; while grep -sq "^State:.Z" /proc/[0-9]*/status; do
        usleep 20000; done'
    [[ $output == *init* ]]
    run -0 "$ENGINE" stop "$C"
    [ "$(inspect '{{.State.ExitCode}}')" = 9 ]
    remove
}

# --- ファイルとプロセス --------------------------------------------------------------

ask_volumes() {
    local dir=$VOLUMES/$C
    mkdir -m 777 "$dir"
    echo from-host >"$dir/note"
    run -0 "$ENGINE" run --rm -v "$dir:/mnt" base sh -c 'cat /mnt/note; echo from-inside >/mnt/new'
    [ "$output" = from-host ]
    [ "$(cat "$dir/new")" = from-inside ]
    run -1 "$ENGINE" run --rm -v "$dir:/mnt:ro" base touch /mnt/new
    [[ $output == *'Read-only file system'* ]]
    run -0 --separate-stderr "$ENGINE" run --rm -v "$dir/note:/etc/one:ro" -v "$dir/new:/deep/new/two" base \
        sh -c 'cat /etc/one && echo more >>/deep/new/two && ! touch /etc/one'
    [ "${lines[0]}" = from-host ]
    [ "$(cat "$dir/new")" = $'from-inside\nmore' ]
    # 名前のボリュームには、イメージの中身がコピーされる
    run -0 "$ENGINE" run --rm -v "volume-$C:/home" base sh -c 'echo kept >/home/note'
    run -0 "$ENGINE" run --rm -v "volume-$C:/mnt" base cat /mnt/note
    [ "$output" = kept ]
}

ask_process() {
    run -0 "$ENGINE" run --rm -e A='b c' -w /tmp --hostname box --ulimit nofile=123:123 --ulimit nproc=1000:1000 \
        --sysctl net.ipv4.ip_default_ttl=99 base \
        sh -c 'echo "$A"; pwd; hostname; ulimit -n; cat /proc/sys/net/ipv4/ip_default_ttl; echo $HOME; id'
    [ "${lines[0]}" = 'b c' ]
    [ "${lines[1]}" = /tmp ]
    [ "${lines[2]}" = box ]
    [ "${lines[3]}" = 123 ]
    [ "${lines[4]}" = 99 ]
    [ "${lines[5]}" = /root ]
    [[ ${lines[6]} == 'uid=0(root) gid=0(root)'* ]]
    run -0 "$ENGINE" run --rm -u user base sh -c 'id; echo $HOME'
    [ "${lines[0]}" = 'uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)' ] ||
        [ "${lines[0]}" = 'uid=1000(user) gid=1000(user) groups=2000(extra),1000(user)' ]
    [ "${lines[1]}" = /home ]
    # ないディレクトリは作る。podman は、ランタイムを呼ぶ前に断る
    [ "$ENGINE" = podman ] || [ "$("$ENGINE" run --rm -w /new/dir base pwd)" = /new/dir ]
    run -0 "$ENGINE" run --rm -u 4321:8765 base sh -c 'id -u; id -g'
    [ "${lines[*]}" = '4321 8765' ]
}

ask_read_only() {
    run -0 --separate-stderr "$ENGINE" run --rm --read-only --tmpfs /scratch:size=1m base \
        sh -c 'touch /new || echo refused; touch /scratch/new && stat -f -c %T /scratch
        dd if=/dev/zero of=/scratch/big bs=1M count=2 || echo full; echo hi >/dev/null && echo dev'
    [ "${lines[*]}" = 'refused tmpfs full dev' ]
    [[ $stderr == *'/new: Read-only file system'* ]]
}

ask_capabilities() {
    run -0 "$ENGINE" run --rm --cap-drop ALL --cap-add NET_BIND_SERVICE base \
        awk '/^Cap(Eff|Prm|Bnd)/ { print $2 }' /proc/self/status
    [ "${lines[*]}" = '0000000000000400 0000000000000400 0000000000000400' ]
    run -0 --separate-stderr "$ENGINE" run --rm --cap-add SYS_TIME --cap-drop CHOWN base \
        sh -c 'awk "/^CapEff/ { print \$2 }" /proc/self/status; chown 1 /etc/passwd || true'
    ((16#${lines[0]} >> 25 & 1 && !(16#${lines[0]} & 1)))
    [[ $stderr == *'Operation not permitted'* ]]
    run -0 "$ENGINE" run --rm -u 1000 base awk '/^Cap(Eff|Prm)/ { print $2 }' /proc/self/status
    [ "${lines[*]}" = '0000000000000000 0000000000000000' ]
}

ask_seccomp() {
    local show='grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status'
    run -0 "$ENGINE" run --rm base sh -c "$show"
    [ "${lines[*]}" = $'NoNewPrivs:\t0 Seccomp:\t2' ]
    run -0 "$ENGINE" run --rm --security-opt seccomp=unconfined --security-opt no-new-privileges base \
        sh -c "$show"
    [ "${lines[*]}" = $'NoNewPrivs:\t1 Seccomp:\t0' ]
    # 人の書いたプロファイル。getcwd(2) の errno も変えられる
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"],
        "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}' >"$VOLUMES/profile.json"
    run -1 "$ENGINE" run --rm --security-opt "seccomp=$VOLUMES/profile.json" base mkdir /new
    [[ $output == *"No space left on device" ]]
}

all_capabilities() {
    local last bound
    last=$(cat /proc/sys/kernel/cap_last_cap)
    bound=$(awk '/^CapBnd/ { print $2 }' /proc/self/status)
    ((16#$bound == (1 << (last + 1)) - 1))
}

ask_masked() {
    run -0 --separate-stderr "$ENGINE" run --rm base sh -c 'cd /proc; for f in kcore keys timer_list sched_debug; do
            [ ! -e $f ] || [ "$(head -c 1 $f | wc -c)" = 0 ] || echo "$f can be read"; done
        ls -A /sys/firmware; for dir in /sys /proc/sys /proc/irq /proc/bus; do
            awk -v d=$dir "\$2 == d && !/ ro,/" /proc/self/mounts; done
        echo h >/proc/sys/kernel/domainname || echo refused'
    [ "$output" = refused ]
    # このマシンに足りないケーパビリティがあると、dockerd は --privileged で始められない
    [ "$ENGINE" = podman ] || all_capabilities || return 0
    run -0 "$ENGINE" run --rm --privileged base sh -c \
        'echo inside >/proc/sys/kernel/domainname && cat /proc/sys/kernel/domainname; grep Seccomp: /proc/self/status'
    [ "${lines[*]}" = $'inside Seccomp:\t0' ]
}

ask_devices() {
    run -0 --separate-stderr "$ENGINE" run --rm base sh -c 'for d in null zero full random urandom tty; do
            [ -c /dev/$d ] || echo "no $d"; done
        head -c 3 /dev/zero | wc -c; echo lost >/dev/null; echo x >/dev/full; ls /dev/pts/ptmx
        [ -L /dev/fd ] && [ -L /dev/stdin ] && echo links; df /dev/shm | grep -c shm'
    [ "${lines[*]}" = '3 /dev/pts/ptmx links 1' ]
    [[ $stderr == *'No space left on device'* ]]
    # /dev/kmsg の番号。デバイスの cgroup が断る
    run -1 "$ENGINE" run --rm --cap-add MKNOD --cap-add SYSLOG base sh -c 'mknod /kmsg c 1 11 && head -c 1 /kmsg'
    [[ $output == *'Operation not permitted' ]]
    run -0 --separate-stderr "$ENGINE" run --rm --cap-add SYSLOG --device /dev/kmsg:/dev/mine:r base sh -c \
        'dd if=/dev/mine count=1 bs=8192 2>/dev/null | wc -l; echo x >/dev/mine || echo refused'
    [[ ${lines[0]} == [1-9]* ]]
    [ "${lines[1]}" = refused ]
}

# --- cgroup --------------------------------------------------------------------------

ask_memory() {
    run -137 "$ENGINE" run --name "$C" --memory 16m base tail /dev/zero
    [ "$(inspect '{{.State.ExitCode}}')" = 137 ]
}

# コンテナの PID 1 の cgroup にあるファイル: group_file CONTROLLER V1 V2
group_file() {
    local pid line file=$2
    pid=$(inspect '{{.State.Pid}}')
    if is_v2 "$1"; then
        file=$3
        line=$(engine_inside grep '^0::' "/proc/$pid/cgroup")
    else
        line=$(engine_inside grep -E "^[0-9]+:(.*,)?$1(,.*)?:" "/proc/$pid/cgroup")
    fi
    cat "$(top_of "$1")/$ENGINES_GROUP${line#*:*:}/$file"
}

cpu_limit() {
    if is_v2 cpu; then
        group_file cpu '' cpu.max
    else
        echo "$(group_file cpu cpu.cfs_quota_us '') $(group_file cpu cpu.cfs_period_us '')"
    fi
}

ask_limits() {
    run -0 "$ENGINE" run -d --name "$C" --memory 32m --cpus 0.5 --pids-limit 20 base sleep 1000
    run -0 group_file memory memory.limit_in_bytes memory.max
    [ "$output" = $((32 << 20)) ]
    run -0 group_file pids pids.max pids.max
    [ "$output" = 20 ]
    run -0 cpu_limit
    [ "$output" = '50000 100000' ]
    # 中から見える cgroup も、自分のもの
    run -0 "$ENGINE" exec "$C" sh -c 'cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max' 2>/dev/null
    [ "${lines[-1]}" = 20 ]
}

# --- ほかのコンテナ、ネットワーク、ビルド --------------------------------------------

# $@ は、1 つ目のコンテナのオプション
ask_shared() {
    local spaces='for n in net pid ipc mnt; do readlink /proc/self/ns/$n; done' theirs
    run -0 "$ENGINE" run -d --name "$C" "$@" base sleep 1000
    mapfile -t theirs < <("$ENGINE" exec "$C" sh -c "$spaces")
    run -0 "$ENGINE" run --rm --network "container:$C" --pid "container:$C" --ipc "container:$C" base \
        sh -c "$spaces; cat /proc/1/comm"
    [ "${lines[0]}" = "${theirs[0]}" ]
    [ "${lines[1]}" = "${theirs[1]}" ]
    [ "${lines[2]}" = "${theirs[2]}" ]
    [ "${lines[3]}" != "${theirs[3]}" ]
    [ "${lines[4]}" = sleep ]
    remove
}

# ask_port PORT [オプション...]
ask_port() {
    local port=$1
    shift
    run -0 "$ENGINE" run -d --name "$C" -p "$port:80" "$@" base httpd -f -p 80 -h /etc
    run -0 "$ENGINE" exec "$C" ip -o link show eth0
    retry 5 engine_inside busybox wget -qO "$VOLUMES/fetched" "http://127.0.0.1:$port/passwd"
    grep -q '^user:x:1000' "$VOLUMES/fetched"
    remove
}

ask_build() {
    local context=$VOLUMES/build-$C
    mkdir "$context"
    echo copied >"$context/file"
    printf '%s\n' 'FROM base' 'COPY file /file' 'RUN cat /file >/built && echo by $(id -u) >>/built' \
        'CMD cat /built; pwd' >"$context/Dockerfile"
    run -0 "$ENGINE" build -t "built-$C" "$context"
    run -0 "$ENGINE" run --rm "built-$C"
    [ "${lines[*]}" = 'copied by 0 /' ]
    run ! "$ENGINE" build -t "built-$C" - <<<$'FROM base\nRUN exit 3'
}

health_is() {
    [ "$(inspect '{{.State.Health.Status}}')" = "$1" ]
}
