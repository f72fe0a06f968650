#!/usr/bin/env bash
# step09-oci を、どのシステムコールに入るところで終わらせても、delete --force で何も残らないか。
#   oci-death.sh        create, start, delete, exec の、すべての瞬間 (1 分ほど)
#   oci-death.sh --some 間引いたもの
# create のあいだに作られた子も、別に終わらせる。手引きのとおり、名前は x。
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
BIN=${BIN:-$TOP/step09-oci}

refuse() {
    printf 'oci-death.sh: %s\n  ヒント: %s\n' "$1" "$2" >&2
    exit 1
}

# 使い捨てのホストの中で、もう一度始める
if [[ -z ${IN_OWN_NAMESPACES:-} ]]; then
    [[ $(id -u) == 0 ]] || refuse 'must be root' 'make test-death (sudo は make が付けます)'
    command -v strace >/dev/null || refuse 'strace: command not found' 'make setup-dev で入ります'
    [[ -x $BIN ]] || refuse 'step09-oci: not built' 'make step09-oci で作ります'
    exec env IN_OWN_NAMESPACES=1 "$TOP/tests/host/host.sh" "$0" "$@"
fi

some=1
[[ ${1:-} != --some ]] || some=9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tries=0 problems=0

run() {
    "$BIN" --root "$work/state" "$@"
}

write_config() {
    mkdir -p "$work/bundle"
    cat >"$work/bundle/config.json" <<END
{ "ociVersion": "1.0.2", "root": { "path": "$TOP/rootfs/fs" },
  "process": { "cwd": "/", "args": ["sleep", "1000"], "env": ["PATH=/bin"] },
  "mounts": [ { "destination": "/proc", "type": "proc" },
              { "destination": "/dev", "type": "tmpfs" } ],
  "linux": { "namespaces": [ { "type": "pid" }, { "type": "mount" }, { "type": "ipc" },
             { "type": "network" }, { "type": "uts" }, { "type": "cgroup" } ] } }
END
}

# コマンドの前にしておくこと
prepare() {
    case $1 in
    start) run create --bundle "$work/bundle" x </dev/null >/dev/null ;;
    exec) run run --detach --bundle "$work/bundle" x </dev/null >/dev/null ;;
    delete)
        run run --detach --bundle "$work/bundle" x </dev/null >/dev/null
        run kill x KILL
        ;;
    esac
}

# 試すコマンド
command_of() {
    case $1 in
    create) COMMAND=(create --bundle "$work/bundle" x) ;;
    exec) COMMAND=(exec x true) ;;
    *) COMMAND=("$1" x) ;;
    esac
}

# strace の子 (ランタイム) が終わるまで待つ。create のあとも、strace -f は、作られた子を追い続ける
wait_runtime() {
    local children quiet=0
    while ((quiet < 3)) && kill -0 "$1" 2>/dev/null; do
        children=
        sleep 0.01
        read -r children <"/proc/$1/task/$1/children" || true # 改行で終わらない
        [[ -n $children ]] && quiet=0 || quiet=$((quiet + 1))
    done 2>/dev/null
}

# strace のオプションを渡し、終わったら片付ける: traced [OPTION...]
traced() {
    local tracer
    strace "$@" "$BIN" --root "$work/state" "${COMMAND[@]}" </dev/null >/dev/null 2>"$work/err" &
    tracer=$!
    wait_runtime "$tracer"
    left=''
    timeout 20 "$BIN" --root "$work/state" delete --force x 2>"$work/err" ||
        left="delete --force: $(<"$work/err")"
    wait "$tracer" 2>/dev/null || true
}

# システムコールの名前と、その何回目か
moments() {
    local left
    prepare "$1"
    command_of "$1"
    traced "${@:2}" -o "$work/list"
    sed -E 's/^[0-9]+ +//; s/\(.*//' "$work/list" | grep -E '^[a-z_0-9]+$' |
        grep -vE '^(execve|exit|exit_group)$' |
        awk -v some="$some" '{ k = ++seen[$1] } NR % some == 0 { print $1, k }'
}

leftovers() {
    ls "$work/state" 2>/dev/null
    find /sys/fs/cgroup -maxdepth 3 -name x -path '*step09-oci*' 2>/dev/null
    # 凍りも隠れもせず、死んでいる
    pgrep -x sleep || true
}

try() {
    local command=$1 call=$2 nth=$3 left
    shift 3
    tries=$((tries + 1))
    prepare "$command"
    command_of "$command"
    # 終わらせたという、シェルの知らせは要らない
    traced "$@" -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$nth" 2>/dev/null
    left+=$(leftovers)
    [[ -n $left ]] || return 0
    problems=$((problems + 1))
    echo "$command: $call $nth${1:+ ($*)}: ${left//$'\n'/, }"
}

write_config
for command in create start exec delete; do
    while read -r call nth; do
        try "$command" "$call" "$nth"
    done < <(moments "$command")
    # 作られた子も。どれでも、その呼び出しの nth 回目に先に着いたものが終わる
    [[ $command == delete ]] || while read -r call nth; do
        try "$command" "$call" "$nth" -f
    done < <(moments "$command" -f | awk '$2 <= 3')
done
printf '%d tries, %d problems\n' "$tries" "$problems"
((problems == 0 && tries > 0))
