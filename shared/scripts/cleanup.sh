#!/usr/bin/env bash
# ランチャーが突然終わって残ったものを片付ける。目印があり、持ち主のランチャーがも
# ういないものだけを消す。何も残っていなければ、何もしない。
set -euo pipefail

# veth の目印は、リンクの別名 (alias) にある: container-steps PID
for alias in /sys/class/net/*/ifalias; do
    mark=
    read -r mark owner <"$alias" 2>/dev/null || true
    [[ $mark == container-steps && ! -d /proc/$owner ]] || continue
    link=$(basename "$(dirname "$alias")")
    echo "cleanup.sh: ip link delete $link (launcher $owner is gone)"
    ip link delete "$link"
done

# cgroup の目印は、ディレクトリーのスティッキービット。生きているランチャーは
# flock(2) で鍵をかけている
while read -r parent; do
    for group in "$parent"/[0-9]*/; do
        [[ -k $group ]] || continue
        if flock --nonblock "$group" rmdir "$group" 2>/dev/null; then
            echo "cleanup.sh: rmdir $group"
        fi
    done
    [[ -k $parent ]] && rmdir "$parent" 2>/dev/null && echo "cleanup.sh: rmdir $parent"
done < <(find /sys/fs/cgroup -type d -name container-steps 2>/dev/null)

# 委譲された cgroup の中で、ランチャーがいた枝。プロセスがいれば rmdir は失敗する
while read -r leaf; do
    [[ -k $leaf ]] && rmdir "$leaf" 2>/dev/null && echo "cleanup.sh: rmdir $leaf"
done < <(find /sys/fs/cgroup -type d -name container-steps-launcher 2>/dev/null)
exit 0
