#!/usr/bin/env bash
# ランチャーが突然終わって残ったものを片付ける。目印があり、所有者のランチャーがもう
# いないものだけを消す。何も残っていなければ、何もしない。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"

# cgroup のマウントポイントの下で、目印 (スティッキービット) のある NAME を探す
find_marked() {
    findmnt -rno TARGET -t cgroup,cgroup2 | sort -u | while read -r point; do
        find "$(printf %b "$point")" -xdev -type d -name "$1" -perm -1000 2>/dev/null || true
    done
}

# 書けなければ、その cgroup にはないか、今消えたところ
try_write() {
    { echo "$1" >"$2"; } 2>/dev/null || true
}

# 残ったプロセスを終わらせて、cgroup を消す。CPU の割り当てを使い切ると、死ぬのも
# 次の周期を待つので、先に制限を外す。0 は、別の PID 名前空間のもの
remove_group() {
    local group=$1 try
    for ((try = 0; try < 100; try++)); do
        ! rmdir "$group" 2>/dev/null || return 0
        try_write max "$group/cpu.max"
        try_write -1 "$group/cpu.cfs_quota_us"
        try_write 1 "$group/cgroup.kill"
        grep -svx 0 "$group/cgroup.procs" | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
        sleep 0.01
    done
    return 1
}

# v2 の上の cgroup で有効にしたコントローラーを、無効に戻す。-cpu のような名前の印が、
# そのまま書くものになる。隣の cgroup の制限に使われていれば、有効なまま残す
disable_controllers() {
    local parent=$1 mark
    for mark in "$parent"/-*/; do
        [[ -k $mark && -z $(find "$parent" -mindepth 1 -maxdepth 1 -type d ! -name '-*') ]] || return 0
        mark=$(basename -- "$mark")
        try_write "$mark" "$parent/cgroup.subtree_control"
        grep -qsv -e '^max' -e '^$' "$parent"/../*/"${mark#-}".{max,cpus} ||
            try_write "$mark" "$parent/../cgroup.subtree_control"
        rmdir "$parent/$mark"
    done
}

# 生きているランチャーは、自分の cgroup のロックを持っている (flock(2))。作ってから取得
# するまでは、親のロックを持っている。だから、親のロックを取得してから調べる
clean_parent() {
    local parent=$1 lock own group
    { exec {lock}<"$parent"; } 2>/dev/null || return 0
    # ロックを待つあいだに、別のランチャーが作り直したかもしれない
    if flock --timeout 10 "$lock" && [[ /dev/fd/$lock -ef $parent ]]; then
        for group in "$parent"/[0-9]*/; do
            [[ -k $group ]] || continue
            { exec {own}<"$group"; } 2>/dev/null || continue
            ! flock --nonblock "$own" || ! remove_group "$group" || echo "cleanup.sh: rmdir $group"
            exec {own}<&-
        done
        disable_controllers "$parent"
        ! rmdir "$parent" 2>/dev/null || echo "cleanup.sh: rmdir $parent"
    fi
    exec {lock}<&-
}

while read -r parent; do
    clean_parent "$parent"
done < <(find_marked container-steps)

# 委譲された cgroup の中で、ランチャーがいた枝。プロセスがいれば rmdir は失敗する
while read -r leaf; do
    ! rmdir "$leaf" 2>/dev/null || echo "cleanup.sh: rmdir $leaf"
done < <(find_marked container-steps-launcher)

# veth の目印は、リンクの別名 (alias) にある: container-steps PID pid:[PID 名前
# 空間]。別の名前空間の PID からは、ランチャーが生きているかどうかは分からない。
# /sys/class/net は、別のネットワーク名前空間のものが見えていることがある
namespace=$(readlink /proc/self/ns/pid)
while read -r link owner where; do
    [[ $where == "$namespace" && ! -d /proc/$owner ]] || continue
    # コンテナの名前空間と一緒に、今消えたところかもしれない
    ip link delete "$link" 2>/dev/null || continue
    echo "cleanup.sh: ip link delete $link (launcher $owner is gone)"
done < <(ip -o link show type veth |
    sed -nE 's/^[0-9]+: ([^:@]+).*\\ +alias container-steps ([0-9]+) (pid:\[[0-9]+\]).*/\1 \2 \3/p')
