# 1,000 回続けて動かし、何も積み上がらないことを確かめる

load helpers

# 「名前 数」の行。ランチャーは毎回終わるので、積み上がるならカーネルの中になる。
# スラブは、ほかから使われて増えもするキャッシュ (dentry など) を数えない
counts() {
    echo "links $(ip -o link show | wc -l)"
    echo "routes $(ip route show table all | wc -l)"
    echo "mounts $(wc -l </proc/self/mountinfo)"
    echo "processes $(pgrep -c . || true)"
    # 消したあとも、カーネルが片付けるまでは数に入る
    awk '$1 == "memory" { print "memory-cgroups", $3 }' /proc/cgroups
    cat /sys/fs/cgroup/{,unified/}cgroup.stat 2>/dev/null |
        awk '/^nr_(dying_)?descendants/ { print $1, $2 }'
    awk '{ keys += $3 } END { print "keys", keys }' /proc/key-users
    awk '$1 ~ /^(net|pid|user|uts)_namespace$|^(mnt_cache|nsproxy|sock_inode_cache|key_jar)$/ {
        print $1, $2
    }' /proc/slabinfo
    awk '/^(SUnreclaim|KernelStack|Percpu):/ { sum += $2 } END { print "kernel-kB", sum }' /proc/meminfo
}

# このスイートの名前空間のものは、1 つも増えない。ホスト全体のものは、ほかの
# スイートでも動くので、1,000 回の漏れと区別できる所 (2 回に 1 つ、1 回に 20 kB) で
# 分ける
settled() {
    counts >"$BATS_TEST_TMPDIR/after"
    paste -d' ' "$BATS_TEST_TMPDIR"/{before,after} | awk '
        {
            allowed = $1 ~ /^(links|routes|mounts|processes)$/ ? 0 : 500
            if ($1 == "kernel-kB") allowed = 20000
            leak = $4 - $2 > allowed
            leaks += leak
            printf "# %-21s %8d before, %8d after%s\n", $1, $2, $4, leak ? ": LEAK" : ""
        }
        END { exit leaks > 0 }
    ' >"$BATS_TEST_TMPDIR/table"
}

@test "1,000 containers one after another leave kernel memory, cgroups and links as they were" {
    for ((i = 0; i < 50; i++)); do
        "$BIN" run true || return 1
    done
    counts >"$BATS_TEST_TMPDIR/before"
    for ((i = 0; i < 1000; i++)); do
        "$BIN" run true || return 1
    done
    retry 30 settled || leaked=1
    cat "$BATS_TEST_TMPDIR/table" >&3
    [ -z "${leaked:-}" ]
}
