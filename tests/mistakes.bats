# よくある間違いが、初めにどの要件で見つかるか (make check)
# shellcheck disable=SC2016,SC2154
load helpers

setup() {
    requires root userns gcc
    FILE=$BATS_TEST_TMPDIR/main.c
}

# プログラムを perl の式で書き換えて調べ、初めの失敗が、その名前のテストであることを確かめる:
# mistake STEP EDIT NAME (名前の一部)
mistake() {
    local step=$1 wanted program=$BATS_TEST_TMPDIR/step$1 objects
    perl -0pe "$2" "$TOP"/steps/"$step"-*/main.c >"$FILE"
    run ! cmp -s "$FILE" "$TOP"/steps/"$step"-*/main.c
    sed -i "s,\.\./\.\./shared,$TOP/shared," "$FILE"
    # 前に作った、もうないファイルの .o があるかもしれない
    objects=("$TOP"/shared/*.c)
    objects=("${objects[@]/#"$TOP/shared/"/"$TOP/build/"}")
    gcc -std=gnu11 -w -o "$program" "$FILE" "${objects[@]/%.c/.o}" -lcap -lmnl
    wanted=$(awk -v name="$3" '/^# 要件: / { wish = substr($0, 1) } index($0, "@test \"") == 1 && index($0, name) { print wish }' \
        "$TOP"/tests/"$step"-*.bats)
    [ -n "$wanted" ]
    # 初めの失敗で、依頼を取り下げる
    judged "$step" "$program" | tee "$BATS_TEST_TMPDIR/answers" >&2
    [ "# 要件: $(awk -F'\t' '$1 == "result" && $3 ~ /ng|hang|killed/ { print $5; exit }' "$BATS_TEST_TMPDIR/answers")" = "$wanted" ]
}

judged() {
    local line
    coproc JUDGE { exec "$TOP/shared/scripts/judge.sh" 3>&- 4>&-; }
    printf '%s\t%s\tmine\n' "$1" "$2" >&"${JUDGE[1]}"
    while IFS= read -r line <&"${JUDGE[0]}"; do
        [[ $line != end ]] || break
        printf '%s\n' "$line"
        [[ $line != result*$'\t'@(ng|hang|killed)$'\t'* ]] || break
    done
    eval "exec ${JUDGE[1]}>&-"
    wait "$JUDGE_PID"
}

@test "01: what is typically wrong is named by the requirement that it breaks" {
    # CLOEXEC を忘れる、閉じ忘れる、待った結果を捨てる、exec の失敗を知らせない
    mistake 01 's/pipe2\(pipes.report, O_CLOEXEC\)/pipe2(pipes.report, 0)/' 'from a CLOEXEC pipe'
    mistake 01 's/    close\(pipes.report\[1\]\);\n//' "the command's exit status is"
    mistake 01 's/return exit_status\(.*\);/return 0;/' "the command's exit status is"
    mistake 01 's/if \(prctl\(PR_SET_PDEATHSIG, SIGKILL\)/if (prctl(PR_SET_PDEATHSIG, 0)/' 'the command dies with its launcher'
}

@test "02: what is typically wrong is named by the requirement that it breaks" {
    mistake 02 's/^    flags \|= CLONE_NEWIPC;.*\n//m' 'exactly the links ipc'
    mistake 02 's/^    flags \|= CLONE_NEWNET;.*\n//m' 'exactly the links ipc'
    mistake 02 's/^        \.flags = flags,\n//m' 'exactly the links ipc'
    mistake 02 's/clone_child\(new_namespaces\(\)\)/clone_child(0)/' 'exactly the links ipc'
}

@test "03: what is typically wrong is named by the requirement that it breaks" {
    # ゲートを開け忘れる、id を変え忘れる、deny を書かない、親の死を見なくなる
    mistake 03 's/    gate_open\(&pipes\);\n//' 'id inside prints 0'
    mistake 03 's/    become_root\(\);\n//' 'a file made inside belongs to the invoking'
    mistake 03 's/.*setgroups", pid\), "deny"\);\n//' 'started by root itself, the maps are'
    mistake 03 's/(    become_root\(\);\n.*\n)    die_with_parent\(pipes\);\n/$1/' 'though its ids changed'
}

@test "04: what is typically wrong is named by the requirement that it breaks" {
    # 断られたことに気づかない、exec のあとに置く
    mistake 04 's/^    flags \|= CLONE_NEWUTS;.*\n//m' 'uname -n, hostname'
    mistake 04 's/^    flags \|= CLONE_NEWUTS;.*\n//m; s/if \(sethostname\((.*)\) == -1\)\n.*;/(void)!sethostname($1);/' 'uname -n, hostname'
    mistake 04 's/    set_hostname\(\);\n//; s/(    execv.*\n)/$1    set_hostname();\n/' 'uname -n, hostname'
}

@test "05: what is typically wrong is named by the requirement that it breaks" {
    mistake 05 's/^    flags \|= CLONE_NEWPID;.*\n//m' 'inside prints 1'
    mistake 05 's/    mount_proc\(\);\n//' 'ps inside shows'
    mistake 05 's/MS_REC \| MS_PRIVATE/MS_PRIVATE/' 'a mount that the host makes later'
    mistake 05 's/MS_NOSUID \| MS_NODEV \| MS_NOEXEC/0/' '/proc inside is a proc of its own'
    mistake 05 's/    make_mounts_private\(\);\n//' 'a mount that the host makes later'
}

@test "06: what is typically wrong is named by the requirement that it breaks" {
    mistake 06 's/    if \(chdir\("\/"\) == -1\)\n.*\n//' 'the command starts in / of the rootfs'
    mistake 06 's/(    change_root.*\n)(    mount_proc.*\n)/$2$1/' 'the only mount that the container'
    mistake 06 's/    if \(chroot\(rootfs\) == -1\)\n.*\n/    chroot(rootfs + 1);\n/' 'ls / inside lists'
}

@test "07: what is typically wrong is named by the requirement that it breaks" {
    mistake 07 's/    if \(umount2\(.*\n.*\n//' 'no longer reads a file outside'
    mistake 07 's/NO_SETUID_DEVICE_EXEC \| MS_RDONLY/NO_SETUID_DEVICE_EXEC/' 'are mounted with exactly their flags'
    mistake 07 's/    bind_device\("\/dev\/full"\);\n//' 'exactly thirteen mounts'
    mistake 07 's/    if \(fchdir\(tree\) == -1\)\n.*\n//' 'the old root is gone'
}

@test "08: what is typically wrong is named by the requirement that it breaks" {
    mistake 08 's/else if \(cap_drop_bound\(cap\) == -1\)/else if (0)/' 'after exec the five masks'
    mistake 08 's/    if \(cap_set_proc\(caps\) == -1\)\n.*\n//' 'the capabilities are gone before exec'
    mistake 08 's/    if \(prctl\(PR_SET_NO_NEW_PRIVS.*\n.*\n//' 'exec of a setuid program'
    mistake 08 's/lock = MS_BIND \| MS_REMOUNT/lock = MS_REMOUNT/' 'after exec the five masks'
}

@test "09: what is typically wrong is named by the requirement that it breaks" {
    mistake 09 's/    join_cgroups\(\);\n//' 'the default limits'
    mistake 09 's/    (if \(unshare\(CLONE_NEWCGROUP.*\n.*\n)/    if (0)\n        die("");\n/' 'inside, every cgroup is /'
    mistake 09 's/    link_up\(VETH_CHILD, .*\n//' 'veth-host has 10.0.0.1'
    mistake 09 's/    atexit\(clean_up\);\n//' 'link and groups are there'
}
