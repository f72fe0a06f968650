# 保守の道具 (shared/scripts) のテスト。どれも、一時的な git のリポジトリーで動かす
load helpers

setup() {
    # 利用者の設定 (署名、フック、色) に左右されないように
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.org
    export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.org
    unset NO_COLOR
    cd "$BATS_TEST_TMPDIR"
    mkdir repo
    cd repo
    cp -R "$TOP"/{steps,shared,GNUmakefile} .
    mkdir tests
    cp -R "$TOP"/tests/{chain,maintain.mk,lint.sh} tests
    rm -rf steps/*/solutions
    git init --quiet
    commit
}

commit() {
    git add --all
    git commit --quiet --message "a commit"
}

carry() {
    tests/chain/carry.sh "$@"
}

main_of() {
    echo steps/"$1"-*/main.c
}

# 失敗したら、1 行目が英語のメッセージ、次がヒント
assert_error() {
    [[ ${lines[-2]} == *"$1"* ]]
    [[ ${lines[-1]} == '  ヒント: '* ]]
}

# 06 から後で行末に足した行を、03 で変える。06 でぶつかる
make_conflict() {
    local step
    for step in 06 07 08 09; do
        sed -i 's,die("setresuid 0");,& /* mine */,' "$(main_of $step)"
    done
    commit
    sed -i 's/die("setresuid 0")/die("new")/' "$(main_of 03)"
}

# --- carry ------------------------------------------------------------------

@test "carry: a changed line reaches all later steps and nothing else" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 carry 03
    run -0 git diff --name-only
    [ "${#lines[@]}" -eq 7 ]
    run -0 git diff --numstat
    for line in "${lines[@]}"; do
        [[ $line == $'1\t1\tsteps/0'[3-9]-*/main.c ]]
    done
    run -0 grep -l 'die("setresgid")' steps/*/main.c
    [ "${#lines[@]}" -eq 7 ]
}

@test "carry: an inserted and a deleted line are carried too" {
    sed -i 's/^    prepare_launcher();$/&\n    prepare_more();/
            /子は書くだけ/d' "$(main_of 01)"
    run -0 carry 1
    run -0 grep -l prepare_more steps/*/main.c
    [ "${#lines[@]}" -eq 9 ]
    run -1 grep -l 子は書くだけ steps/*/main.c
}

@test "carry: a second run changes nothing and touches no file" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 carry 03
    git diff >../before
    touch --date='2020-01-01' steps/*/main.c
    run -0 carry 03
    [[ $output == *'nothing more to carry'* ]]
    git diff | diff ../before -
    run -0 find steps -name main.c -newermt '2020-01-02'
    [ -z "$output" ]
}

@test "carry: the header's title and 見る stay each step's own" {
    sed -i '2s/.*/ * new title/; s/見る:.*/見る:   new/' "$(main_of 03)"
    run -0 carry 03
    [[ $output == *'nothing more to carry'* ]]
    run -0 git diff --name-only
    [ "$output" = "$(main_of 03)" ]
}

@test "carry: the header's command is carried as far as it is the same" {
    sed -i '2s/.*/ * new title/; s/作る:   cc/& -O2/' "$(main_of 03)"
    run -1 carry 03
    assert_error "1 conflict(s) in $(main_of 08)"
    run -0 git diff --numstat "$(main_of 04)" "$(main_of 07)"
    [[ ${lines[0]} == $'1\t1\t'* && ${lines[1]} == $'1\t1\t'* ]]
    grep -q '作る:   cc -O2' "$(main_of 07)"
}

@test "carry: a conflict stops there, names the file and leaves later steps alone" {
    make_conflict
    run -1 carry 03
    assert_error "1 conflict(s) in $(main_of 06)"
    grep -q '^<<<<<<< ' "$(main_of 06)"
    grep -q 'die("new")' "$(main_of 05)"
    git diff --quiet "$(main_of 07)" "$(main_of 08)" "$(main_of 09)"
}

@test "carry: refuses to go on while markers are left" {
    make_conflict
    run -1 carry 03
    git diff >../before
    run -1 carry 03
    assert_error 'conflict markers are left'
    [[ $output == *"$(main_of 06):"*'<<<<<<<'* ]]
    git diff | diff ../before -
}

@test "carry: after a conflict was resolved, it goes on with the next step" {
    make_conflict
    run -1 carry 03
    # 両方を生かした形に直す
    sed -i '/^<<<<<<< /,/^>>>>>>> /c\        die("new"); /* mine */' "$(main_of 06)"
    cp "$(main_of 06)" ../resolved
    run -0 carry 03
    diff ../resolved "$(main_of 06)"
    run -0 grep -l '^        die("new");' steps/*/main.c
    [ "${#lines[@]}" -eq 7 ]
    # 直した形も、隣へ渡っている
    grep -q 'die("new"); /\* mine \*/' "$(main_of 09)"
    run -0 carry 03
    [[ $output == *'nothing more to carry'* ]]
}

@test "carry: a conflict resolved by keeping the old lines is not asked again" {
    make_conflict
    run -1 carry 03
    git checkout --quiet "$(main_of 06)"
    run -0 carry 03
    git diff --quiet "$(main_of 06)" "$(main_of 09)"
}

@test "carry: a change made after the first run is carried as well" {
    sed -i 's/die("setresgid 0")/die("first")/' "$(main_of 03)"
    run -0 carry 03
    sed -i 's/die("first")/die("second")/' "$(main_of 03)"
    run -0 carry 03
    run -0 grep -l 'die("second")' steps/*/main.c
    [ "${#lines[@]}" -eq 7 ]
}

@test "carry: undoing the change undoes it in the later steps" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 carry 03
    git checkout --quiet "$(main_of 03)"
    run -0 carry 03
    git diff --quiet
}

@test "carry: thrown away results are made again" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 carry 03
    git checkout --quiet "$(main_of 05)" "$(main_of 06)"
    run -0 carry 03
    run -0 grep -l 'die("setresgid")' steps/*/main.c
    [ "${#lines[@]}" -eq 7 ]
}

@test "carry: an old record does not count after a commit" {
    sed -i 's/die("setresgid 0")/die("first")/' "$(main_of 03)"
    run -0 carry 03
    commit
    run -0 carry 03
    [[ $output == *'nothing to carry'* ]]
    # 記録の版 (first) は、HEAD からもうなくなった
    sed -i 's/die("first")/die("other")/' steps/*/main.c
    commit
    sed -i 's/die("other")/die("second")/' "$(main_of 03)"
    echo '/* an own change */' >>"$(main_of 04)"
    run -0 carry 03
    run -0 grep -l 'die("second")' steps/*/main.c
    [ "${#lines[@]}" -eq 7 ]
}

@test "carry: own changes in a later step are kept and go on from there" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    sed -i 's/die("mount \/")/die("mount root")/' "$(main_of 05)"
    run -0 carry 03
    grep -q 'die("setresgid")' "$(main_of 05)"
    run -0 grep -l 'die("mount root")' steps/*/main.c
    [ "${#lines[@]}" -eq 5 ]
}

@test "carry: answers get the change of their own step" {
    local step dir
    for step in 03 05; do
        dir=$(dirname "$(main_of $step)")/solutions
        mkdir "$dir"
        sed 's,"\.\./\.\./shared,"../../../shared,' "$(main_of $step)" >"$dir/answer.c"
    done
    commit
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 carry 03
    run -0 git diff --numstat -- 'steps/*/solutions/*'
    [ "${#lines[@]}" -eq 2 ]
    run -0 grep -l 'die("setresgid")' steps/*/solutions/*.c
    [ "${#lines[@]}" -eq 2 ]
}

@test "carry: without a change it says so" {
    run -0 carry 09
    [[ $output == "carry: nothing to carry: $(main_of 09) is as in HEAD" ]]
}

@test "carry: 3 means 03; anything that is no step is refused" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 carry 3
    for step in '' 0 00 10 003 x 3x ../3; do
        run -2 carry "$step"
        assert_error "no such step: '$step'"
    done
}

@test "carry: outside a git repository it says what it needs" {
    rm -rf .git
    GIT_CEILING_DIRECTORIES=$BATS_TEST_TMPDIR run -1 carry 03
    assert_error 'no git repository'
}

@test "make carry passes the step on, and asks for it" {
    sed -i 's/die("setresgid 0")/die("setresgid")/' "$(main_of 03)"
    run -0 make carry STEP=03
    run ! env -u STEP make carry
    [[ $output == *'STEP=NN is missing'* ]]
}

# --- check-chain ------------------------------------------------------------

check_chain() {
    tests/chain/check-chain.sh
}

@test "check-chain: the steps are in order" {
    run -0 check_chain
    [[ $output == 'check-chain: 9 steps and '* ]]
}

@test "check-chain: every kind of mistake is listed in one run" {
    requires gcc
    local main
    main=$(main_of 04)
    # 使われない変数、80 桁を超える行、ステップの番号
    cat >>"$main" <<END

/* $(printf '長%.0s' {1..40}) */
/* step05 では変わる */
static void long_function(void)
{
    int unused;
$(printf '    die("line %d");\n' {1..40})
}
END
    # 前のステップにあり、04 になく、05 にまたある行
    sed -i '/^    watch_child(pid);$/d' "$main"
    sed -i '/作る:/s/main\.c/no-such-file.c/' "$(main_of 06)"
    # die() は、逆に hints.c を呼ぶ
    cat >>shared/hints.c <<'END'
void die(const char *format, ...);
void give_up(void);
void give_up(void)
{
    die("give up");
}
END
    run -1 check_chain
    local number
    number=$(grep -n 'static void long_function' "$main" | cut -d : -f 1)
    [[ $output == *"$main:$((number + 2)):"*'unused'* ]]
    [[ $output == *"$main:1: gcc -Werror fails"* ]]
    [[ $output == *"$main:1: "*' lines added, the budget is 45'* ]]
    [[ $output == *"$main:$number: function of 44 lines, at most 40"* ]]
    [[ $output == *"$main:$((number - 1)): names a step by its number"* ]]
    [[ $output == *"$main:$((number - 2)): 86 columns"* ]]
    [[ $output == *"$(main_of 05):"*'is back:     watch_child(pid);'* ]]
    [[ $output == *"$(main_of 06):1: the command in the header comment fails"* ]]
    [[ $output == *$'shared/ct-fail.c:1: is in a circle of calls\n'* ]]
    [[ $output == *$'shared/hints.c:1: is in a circle of calls\n'* ]]
    assert_error 'check-chain: failed'
}

@test "check-chain: too many deleted lines are over the budget" {
    sed -i '/^static void drop_groups/,/^}/d' "$(main_of 04)"
    sed -i '/^static void write_id_maps/,/^}/d' "$(main_of 04)"
    run -1 check_chain
    [[ $output == *"$(main_of 04):1: "*' lines deleted, the budget is 10'* ]]
}

@test "check-chain: an answer is compiled too" {
    mkdir steps/04-uts-hostname/solutions
    echo 'int main(void) { return none; }' >steps/04-uts-hostname/solutions/a.c
    run -1 check_chain
    [[ $output == *'steps/04-uts-hostname/solutions/a.c:1: gcc -Werror fails'* ]]
}

# --- diff -------------------------------------------------------------------

diff_step() {
    shared/scripts/diff.sh "$@"
}

@test "diff: short labels, then hunks with the function's name; status 0" {
    run -0 diff_step 05
    [ "${lines[0]}" = '--- 04-uts-hostname/main.c' ]
    [ "${lines[1]}" = '+++ 05-pid-mount/main.c' ]
    [[ ${lines[2]} == '@@ -1,'* ]]
    [[ $output == *'@@ static uint64_t new_namespaces(void)'* ]]
    [[ $output == *$'\n+    mount_proc();'* ]]
    run -0 make diff05
    [ "${lines[0]}" = '--- 04-uts-hostname/main.c' ]
}

@test "diff: colours on a terminal only, and not with NO_COLOR" {
    run -0 diff_step 02
    [[ $output != *$'\e['* ]]
    run -0 script --quiet --return --command 'make diff02' /dev/null
    [[ $output == *$'\e[32m+'* ]]
    NO_COLOR=1 run -0 script --quiet --return --command 'make diff02' /dev/null
    [[ $output != *$'\e['* ]]
}

@test "diff: the same in an unpacked tarball and in other directories" {
    diff_step 07 >../expected
    grep -q '^+.*pivot_root' ../expected
    rm -rf .git
    cd /
    GIT_CEILING_DIRECTORIES=$BATS_TEST_TMPDIR \
        "$BATS_TEST_TMPDIR/repo/shared/scripts/diff.sh" 7 |
        diff "$BATS_TEST_TMPDIR/expected" -
}

@test "diff: a reader that stops early is no error" {
    run -0 --separate-stderr bash -c 'shared/scripts/diff.sh 09 | head -n 1'
    [ -z "$stderr" ]
}

@test "diff: a step without a step before it is refused" {
    for step in '' 01 1 10 x; do
        run -2 diff_step "$step"
        assert_error "no such step: '$step'"
    done
}

# --- need-header, help, lint, setup -----------------------------------------

@test "need-header: a missing header names the package and the command" {
    run -0 shared/scripts/need-header.sh stdio.h libc6-dev
    [ -z "$output" ]
    run -1 shared/scripts/need-header.sh no/such.h libno-dev
    [ "${lines[0]}" = 'make: missing header <no/such.h> (libno-dev)' ]
    [[ ${lines[1]} == '  ヒント: '*'apt-get install libno-dev'*'make setup'* ]]
}

@test "help: every target with a ## comment is there, in aligned columns" {
    run -0 make help
    for target in all step01 rootfs diff02 test check01 vm slides setup help; do
        [[ $output == *$'\n  '"$target "* ]]
    done
    [[ $output == *$'\n  step01 ... step09        1 つだけ作る'* ]]
    [[ $output == *'SAN=1'* && $output == *'V=1'* && $output == *'ROOTFS='* ]]
    [[ $output != *FORCE* && $output != *SECONDEXPANSION* ]]
    # 説明は、どれも同じ桁から始まる
    # shellcheck disable=SC2016 # awk の変数
    run -0 awk '/^付けられる/ { exit } /^  / && substr($0, 26, 3) !~ /^  [^ ]/' \
        <<<"$output"
    [ -z "$output" ]
}

# 何も入っていない PATH
make_path() {
    mkdir ../path
    for tool in "$@"; do
        ln -s "$(type -P "$tool")" ../path
    done
}

@test "lint: missing tools are named together" {
    make_path bash dirname mktemp rm find sed sort
    PATH=$PWD/../path run -1 bash tests/lint.sh
    assert_error 'lint: command not found: clang-tidy shellcheck cppcheck'
    [[ ${lines[-1]} == *'make setup-dev'* ]]
}

@test "setup: with everything there, neither apt-get nor sudo is run" {
    make_path sh echo sed xargs grep dpkg sort head id
    local name
    # shellcheck disable=SC2016 # 中の sh の変数
    printf '#!/bin/sh\nshift 3\nfor p; do echo "installed $p"; done\n' \
        >../path/dpkg-query
    printf '#!/bin/sh\necho Bats 1.8.2\n' >../path/bats
    for name in apt-get sudo; do
        printf '#!/bin/sh\necho "%s was run" >&2\nexit 1\n' $name >../path/$name
    done
    chmod +x ../path/{dpkg-query,bats,apt-get,sudo}
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    [ "$output" = 'setup: すべて入っています' ]
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh dev
    [ "$output" = 'setup: すべて入っています' ]
}

# 入っているものも、apt-get と sudo も作り物。何をどの順に頼まれたかを ../log に残す
make_system() {
    make_path sh echo sed xargs grep dpkg sort head env
    cat >../path/dpkg-query <<'END'
#!/bin/sh
shift 3
for p; do [ "$p" = make ] || [ "$p" = bats ] || echo "installed $p"; done
exit 1
END
    cat >../path/apt-get <<'END'
#!/bin/sh
echo "apt-get $*" >>../log
case $* in
*install*) [ -e ../updated ] || exit 100 ;;
*update*) : >../updated ;;
esac
END
    printf '#!/bin/sh\necho "sudo" >>../log\nexec "$@"\n' >../path/sudo
    # shellcheck disable=SC2016 # 中の sh の変数
    printf '#!/bin/sh\necho "${FAKE_UID:-0}"\n' >../path/id
    printf '#!/bin/sh\necho Bats 1.8.2\n' >../path/bats
    chmod +x ../path/{dpkg-query,apt-get,sudo,id,bats}
}

@test "setup: only what is missing is installed, after an update if one is needed" {
    make_system
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    run -0 cat ../log
    [ "${#lines[@]}" -eq 3 ]
    [[ ${lines[0]} == 'apt-get -s install '*' make bats' ]]
    [[ ${lines[1]} == *' update' ]]
    [[ ${lines[2]} == *' install --no-install-recommends make bats' ]]
    rm ../log
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    run -0 cat ../log
    [ "${#lines[@]}" -eq 2 ]
    [[ $output != *update* && $output != *sudo* ]]
}

@test "setup: a user's apt-get goes through sudo; without sudo it says what to do" {
    make_system
    FAKE_UID=1000 PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    [ "$(grep -c sudo ../log)" -eq 2 ]
    rm ../path/sudo
    FAKE_UID=1000 PATH=$PWD/../path run -1 sh shared/scripts/setup.sh
    assert_error 'must be root, and sudo is not installed'
}

@test "setup: a system without apt-get is told the packages" {
    make_path sh echo sed xargs
    PATH=$PWD/../path run -1 sh shared/scripts/setup.sh
    assert_error 'apt-get: command not found'
    [[ $output == *libcap-dev*libmnl-dev* ]]
    PATH=$PWD/../path run -1 sh shared/scripts/setup.sh nonsense
    assert_error 'unknown argument: nonsense'
}

@test "setup: a bats that is too old for the suites is pointed out" {
    make_system
    : >../updated
    printf '#!/bin/sh\necho Bats 1.2.1\n' >../path/bats
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    assert_error 'bats 1.2.1 is too old'
}

# bats を直に動かすと、attendee を作る準備が、動かした人のマシンの /etc を覆ってしまう
@test "a suite refuses to prepare its user outside namespaces of its own" {
    requires root
    before=$(cat /proc/self/mountinfo)
    run -1 env -u IN_OWN_NAMESPACES -u BATS_RUN_TMPDIR BATS_TMPDIR="$BATS_TEST_TMPDIR" \
        bats "$TOP/tests/04-uts-hostname.bats"
    [[ $output == *'setup_suite: not in namespaces of its own'* ]]
    [[ $output == *'  ヒント: '* ]]
    [ "$(cat /proc/self/mountinfo)" = "$before" ]
}
