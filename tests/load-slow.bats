# 1,000 回続けて動かし、何も積み上がらないことを確かめる

load helpers

memory_kb() {
    awk '/^Slab:|^PageTables:|^KernelStack:|^Percpu:/ { sum += $2 } END { print sum }' /proc/meminfo
}

links() {
    ip -o link show | wc -l
}

# 消したあとも、カーネルが片付けるまでは数に入る
memory_cgroups() {
    awk '$1 == "memory" { print $3 }' /proc/cgroups
}

@test "1,000 containers one after another leave links and cgroups as they were" {
    run -0 "$BIN" run true
    links_before=$(links)
    cgroups_before=$(memory_cgroups)
    kernel_before=$(memory_kb)
    for ((i = 0; i < 1000; i++)); do
        "$BIN" run true || return 1
    done
    # ほかのスイートの分 (多くて数十) を見込んでも、1,000 の漏れなら分かる
    retry 30 settled
    run -1 pgrep -x step09
    kernel_after=$(memory_kb)
    echo "kernel memory: $kernel_before kB before, $kernel_after kB after" >&3
    # 1 回あたり 20 kB を超えて残れば、何かが漏れている
    [ $((kernel_after - kernel_before)) -lt 20000 ]
}

settled() {
    [ "$(links)" = "$links_before" ] &&
        [ "$(memory_cgroups)" -lt $((cgroups_before + 100)) ]
}
