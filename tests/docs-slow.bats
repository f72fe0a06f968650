# run-docs.py: 文書に書いたことと違えば、必ず失敗するか。小さな文書を本当に動かす
load helpers

setup() {
    requires root userns net python3
    REPO=$BATS_TEST_TMPDIR/repo
    mkdir -p "$REPO/steps" "$REPO/slides" "$REPO/tests" "$REPO/shared"
    cp -a "$TOP"/{GNUmakefile,.gitignore} "$REPO"
    cp -a "$TOP"/shared/{*.[ch],scripts} "$REPO/shared"
    cp -a "$TOP"/tests/{host,docs,maintain.mk} "$REPO/tests"
    cp -a "$TOP/steps/04-uts-hostname" "$REPO/steps"
    rm -f "$REPO/steps/04-uts-hostname/README.ja.md"
    cp "$TOP/step04" "$REPO"
    mkdir "$REPO/build" && cp -a "$TOP"/build/*.[od] "$REPO/build"
    git init -q "$REPO"
    GUIDE=$REPO/steps/04-uts-hostname/README.ja.md
}

# 標準入力を文書として動かす: docs [OPTION...]
docs() {
    cat >"$GUIDE"
    "$REPO/tests/docs/run-docs.py" --patience 1 "$@" 04
}

@test "a block that shows what the terminal shows passes, in two terminals" {
    run -0 docs <<'END'
<!-- vary: debian 4711 -->
```console
$ make step04
  CC   build/step04.o
…
  LINK step04
$ sudo ./step04 run
step04: ホストから見たコンテナの PID は 4711 です
# uname -n
container
```
```console 2
$ uname -n
debian
$ ps -o pid=,args= -p 4711
4711 /bin/sh
```
```console 1 running
# sleep 1000
```
```console 1
^C
# exit
$ echo $?
130
$ cat <<EOF
>   indented
> EOF
  indented
```
END
    [[ $output == *'4 passed, 0 failed, 0 skipped' ]]
}

@test "a deck that runs a program it never made fails, whatever stands in the working tree" {
    local deck=$REPO/slides/04.md
    [ -x "$REPO/step04" ]
    # shellcheck disable=SC2016 # ` は Markdown の囲み
    printf '```console\n%s\n…\ncontainer\n```\n' '$ sudo ./step04 run uname -n' >"$deck"
    run -1 "$REPO/tests/docs/run-docs.py" 04
    [[ $output == *'sudo: ./step04: command not found'* ]]
    sed -i 's/^\$ /&make step04 \&\& /' "$deck"
    run -0 "$REPO/tests/docs/run-docs.py" 04
    [[ $output == *'1 passed, 0 failed, 0 skipped' ]]
}

@test "only what git knows is there: new files are, deleted and ignored ones are not" {
    touch "$REPO"/{deleted,new}
    git -C "$REPO" add deleted
    rm "$REPO/deleted"
    run -0 docs <<<$'```console\n$ ls\nGNUmakefile  new  shared  steps  tests\n```'
    rm -rf "$REPO/.git"
    run -1 docs <<<$'```console\n$ true\n```'
    [[ $output == *'host.sh: git ls-files names none'*'  ヒント: '* ]]
}

@test "^C ends a command also when the run itself ignores SIGINT, as in the background" {
    cat >"$GUIDE" <<'END'
```console
$ sh -c 'echo started; exec sleep 1000'
started
^C
$ echo $?
130
```
END
    run -0 env --ignore-signal=INT "$REPO/tests/docs/run-docs.py" 04
}

@test "a terminal does not hold the other ones open" {
    run -0 docs <<'END'
```console
$ true
```
```console 2
$ ls -C /proc/$$/fd
0 1 2 255
```
END
}

@test "a command that should run on but ends fails at once" {
    run -1 docs <<<$'```console 1 running\n$ echo 1\n1\n2\n```'
    [[ $output == *'document: 2'* ]]
    run -1 docs <<<$'```console 1 running\n$ true\n```'
    [[ $output == *'it does not run on'* ]]
    run -1 docs <<<$'```console\n$ exec true\n```'
    [[ $output == *'the shell has ended'* ]]
}

@test "nothing stays on the host: no directory, no cgroup" {
    mkdir "$BATS_TEST_TMPDIR/tmp"
    before=$(find /sys/fs/cgroup -name 'docs-*' | sort)
    TMPDIR=$BATS_TEST_TMPDIR/tmp run -0 docs <<'END'
```console
$ echo 1
1
```
END
    [[ $output == *'1 passed, 0 failed, 0 skipped' ]]
    [ "$(ls -A "$BATS_TEST_TMPDIR/tmp")" = "" ]
    [ "$(find /sys/fs/cgroup -name 'docs-*' | sort)" = "$before" ]
}

@test "a wrong number fails, and both lines are shown" {
    run -1 docs <<'END'
```console
$ echo 41 files
42 files
```
END
    [[ $output == *'document: 42 files'*'terminal: 41 files'* ]]
}

@test "equal tokens must be equal values" {
    run -1 docs <<'END'
<!-- vary: 4711 -->
```console
$ echo 1
4711
$ echo 2
4711
```
END
    [[ $output == *'document: 4711'*'terminal: 2'* ]]
    run -1 docs <<<$'<!-- vary: 4711 -->\n```console\n$ seq 2\n4711\n4711\n```'
    [[ $output == *'document: 4711'*'terminal: 2'* ]]
}

@test "different tokens must be different values" {
    run -1 docs <<'END'
<!-- vary: 4711 4712 -->
```console
$ echo 1
4711
$ echo 1
4712
```
END
    [[ $output == *'document: 4712'*'terminal: 1'* ]]
}

@test "a number that is used again may be the same, but for nothing else" {
    local tokens=$'<!-- vary: 4710 -->\n<!-- reuse: 4711 4712 -->\n'
    run -0 docs <<<"$tokens"$'```console\n$ seq 1 2; echo 2\n4710\n4711\n4712\n```'
    run -1 docs <<<"$tokens"$'```console\n$ seq 1 2; echo 1\n4710\n4711\n4712\n```'
    run -1 docs <<<"$tokens"$'```console\n$ echo 1; seq 1 2\n4710\n4711\n4712\n```'
    run -1 docs <<<"$tokens"$'```console\n$ seq 1 3; echo 1\n4710\n4711\n4712\n4711\n```'
}

@test "a value outside its tolerance fails, one inside passes" {
    run -0 docs <<<$'<!-- near: 1.00 20% -->\n```console\n$ echo took 1.15 s\ntook 1.00 s\n```'
    run -1 docs <<<$'<!-- near: 1.00 20% -->\n```console\n$ echo took 1.25 s\ntook 1.00 s\n```'
}

@test "a line too many and a line too few fail; … stands for any lines" {
    run -1 docs <<<$'```console\n$ seq 2\n1\n```'
    run -1 docs <<<$'```console\n$ seq 2\n1\n2\n3\n```'
    run -0 docs <<<$'```console\n$ seq 9\n1\n…\n9\n```'
}

@test "another prompt than the written one fails" {
    run -1 docs <<<$'```console\n# id -u\n0\n```'
    [[ $output == *"the prompt is '\$ ', not '# '"* ]]
}

@test "a process, a link, a network namespace, a cgroup or a mount left behind fails" {
    local kind
    run -1 docs <<'END'
```console
$ setsid -f sleep 1000
$ sudo ip link add left type veth peer name over
$ sudo ip netns add left
$ sudo mkdir "$(ls -d /sys/fs/cgroup/{.,memory} 2>/dev/null | tail -n 1)/left"
$ sudo mount -t tmpfs tmpfs /media
```
END
    rmdir /sys/fs/cgroup/left 2>/dev/null || true # cgroup v2 では、本物のホストに残る
    for kind in 'processes: *sleep' 'network links: over' 'network namespaces: left' \
        'cgroups: *left' 'mounts: /media'; do
        # shellcheck disable=SC2053 # * は、PID やパス
        [[ $output == *"left behind, "$kind* ]]
    done
}

@test "a skipped block needs a reason and is counted" {
    run -0 docs <<<$'```console skip="needs Docker"\n$ docker run debian\n```\n```console\n$ true\n```'
    [[ $output == *'needs Docker'*'1 passed, 0 failed, 1 skipped' ]]
    run ! docs <<<$'```console skip\n$ true\n```'
}

@test "a block that is never closed fails, and its line is shown" {
    run ! docs <<<$'# title\n```console\n$ true'
    [[ $output == *'README.ja.md:2: ``` is never closed'* ]]
}

@test "a block for the other cgroup version is counted as skipped" {
    local other=2
    ! grep -q ' cgroup2 .*' <(grep -w cpu /proc/self/cgroup || echo ' cgroup2 ') || other=1
    run -0 docs <<<$'```console if=cgroup'$other$'\n$ false\nnever seen\n```\n```console\n$ true\n```'
    [[ $output == *"needs cgroup v$other"*'1 skipped' ]]
}

# 「この 1 行を消すと」を動かす。引数は「見出し|差分|症状 (改行は @)」
# shellcheck disable=SC2016 # ` は Markdown の囲み
ablate() {
    local line title
    for line in "$@"; do
        title=${line%%|*}
        printf '### %s\n<!-- ablate -->\n```diff\n%s\n```\n```console\n%s\n```\n' \
            "$title" "$(cut -d'|' -f2 <<<"$line")" "$(cut -d'|' -f3 <<<"$line" | sed 's/@/\n/g')"
    done | docs --ablations
}

@test "each ablation is built and shows its symptom; fewer than three fail" {
    run -1 ablate "no name|-    set_hostname();|\$ sudo ./step04 run uname -n@…@debian"
    [[ $output == *'04  ok     set_hostname();'*'1 ablations, at least 3 are needed'* ]]
    run -0 ablate "no name|-    set_hostname();|\$ sudo ./step04 run uname -n@…@debian" \
        "no copy|-    set_hostname();|\$ sudo ./step04 run hostname@…@debian" \
        "no root|-    become_root();|\$ sudo ./step04 run id -u@…@65534"
    [[ $output == *'3 passed, 0 failed, 0 skipped' ]]
}

@test "an ablation fails when the whole program shows the same" {
    run -1 ablate "no name|-    set_hostname();|\$ sudo ./step04 run true@…"
    [[ $output == *'the program with the line shows the same: it proves nothing'* ]]
}

@test "an ablation passes when the whole program never comes to an end" {
    run -1 ablate "no name|-    set_hostname();|\$ sudo ./step04 run sh -c 'while [ \$(uname -n) != debian ]; do sleep 1; done; uname -n'@…@debian"
    [[ $output == *'04  ok     set_hostname();'* ]]
}

@test "an ablation fails when its line is not there, or stands twice" {
    run -1 ablate "gone|-    set_host_name();|\$ true"
    [[ $output == *'the deleted lines stand 0 times in the file, not once'* ]]
    run -1 ablate 'twice|-    int status;|$ true' 'twice|-        die("pipe2");|$ true'
    [[ $output == *'the deleted lines stand 2 times in the file, not once'* ]]
}

@test "--update writes what was really shown, and keeps what was right as it stood" {
    run -0 docs --update <<'END'
<!-- vary: 4711 -->
```console
$ echo $$
4711
$ echo "$$ has 42 files"
wrong
```
END
    [[ $output == *'updated'*'make test-docs'* ]]
    run -0 sed -n '6p' "$GUIDE"
    [ "$output" = '4711 has 42 files' ]
    run -0 "$REPO/tests/docs/run-docs.py" 04
    # 合う行は「…」も語も元のまま。合わない行の語も、ほかの行から分かれば元に戻る
    run -0 docs --update <<'END'
<!-- vary: 4720 -->
```console
$ printf '%s\n' start "$$ new" "$$ a long line" '  2 columns' more end
start
4720 old
4720 a …
2 columns
…
```
END
    run -0 sed -n '4,8p' "$GUIDE"
    [ "$output" = $'start\n4720 new\n4720 a …\n2 columns\n…' ]
}

@test "--update fails where there is more amiss than the output" {
    run -1 docs --update <<'END'
```console running
$ true
```
END
    [[ $output == *'FAILED'* ]]
}

@test "a differing output comes with the command that writes it anew" {
    run -1 docs <<'END'
```console
$ echo right
wrong
```
END
    [[ ${lines[-1]} == '  ヒント: '*'make docs-update'* ]]
}
