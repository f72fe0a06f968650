#!/usr/bin/env bash
# ランチャーが突然終わって残ったものを片付ける。目印があり、持ち主のランチャーがも
# ういないものだけを消す。何も残っていなければ、何もしない。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"

# veth の目印は、リンクの別名 (alias) にある: container-steps PID。/sys/class/net は、
# 別のネットワーク名前空間のものが見えていることがある
while read -r link owner; do
    [[ ! -d /proc/$owner ]] || continue
    # 中の名前空間と一緒に、今消えたところかもしれない
    ip link delete "$link" 2>/dev/null || continue
    echo "cleanup.sh: ip link delete $link (launcher $owner is gone)"
done < <(ip -o link show type veth |
    sed -nE 's/^[0-9]+: ([^:@]+).*\\ +alias container-steps ([0-9]+)\\?.*/\1 \2/p')

# cgroup のマウントポイントの下で、目印 (スティッキービット) のある NAME を探す
find_marked() {
    findmnt -rno TARGET -t cgroup,cgroup2 | sort -u | while read -r point; do
        find "$(printf %b "$point")" -xdev -type d -name "$1" -perm -1000 2>/dev/null || true
    done
}

# 生きているランチャーは、自分の cgroup に flock(2) で鍵をかけている。作ってからかけ
# るまでは、親の鍵を持っている。だから、親の鍵を取ってから調べる
clean_parent() {
    local parent=$1 lock group
    exec {lock}<"$parent" || return 0
    # 鍵を待つあいだに、別のランチャーが作り直したかもしれない
    if flock --timeout 10 "$lock" && [[ /dev/fd/$lock -ef $parent ]]; then
        for group in "$parent"/[0-9]*/; do
            [[ -k $group ]] || continue
            flock --nonblock "$group" rmdir "$group" 2>/dev/null || continue
            echo "cleanup.sh: rmdir $group"
        done
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
