# 保守の道具 (tests/chain, tests/lint.mk, shared/scripts) のテスト。
# どれも、一時的な git のリポジトリで動かす
load helpers

# 小さな 9 つのステップ。隣とは関数が 1 つ違う。本物のステップは make check-chain が見る
make_steps() {
    local n m dir alphabet=ABCDEFGHIJ
    for n in {1..9}; do
        dir=steps/0$n-topic$n
        mkdir -p "$dir"
        {
            printf '/*\n * title %d\n *\n' "$n"
            printf ' * 作る:   cc -o ../../step main.c%s\n' "$([ "$n" -lt 8 ] || echo ' -lm')"
            printf ' * 動かす: sudo ../../step run\n * 見る:   look %d\n */\n' "$n"
            printf '#include <stdio.h>\n\n'
            for ((m = 2; m <= n; m++)); do
                printf '/* %s */\nstatic void add_%d(void)\n{\n' 足したもの "$m"
                printf '    puts("CLONE_NEW%c");\n}\n\n' "${alphabet:m:1}"
            done
            printf '/* 最後の関数 */\nint main(void)\n{\n'
            printf '    puts("first line");\n    puts("second line");\n'
            for ((m = 2; m <= n; m++)); do
                printf '    add_%d();\n' "$m"
            done
            printf '    puts("last line");\n    return 0;\n}\n'
        } >"$dir/main.c"
    done
}

setup_file() {
    # 利用者の設定 (署名、フック、色) に左右されないように
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.org
    export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.org
    unset NO_COLOR
    mkdir "$BATS_FILE_TMPDIR/repo"
    cd "$BATS_FILE_TMPDIR/repo"
    mkdir tests shared
    cp -R "$TOP"/{GNUmakefile,.clang-tidy} .
    cp -R "$TOP"/shared/scripts shared
    cp -R "$TOP"/tests/{chain,maintain.mk,lint.mk} tests
    printf '# README\n\n<!-- steps:begin -->\n<!-- steps:end -->\n' >README.ja.md
    make_steps
    echo 'void two(void); void one(void); void one(void) { two(); }' >shared/one.c
    echo 'void two(void); void two(void) {}' >shared/two.c
    tests/chain/step-table.sh
    git init --quiet
    commit
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    cp -R "$BATS_FILE_TMPDIR/repo" .
    cd repo
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

# 03 の 1 行を変える: change first
change() {
    sed -i "s/puts(\"first line\")/puts(\"$1\")/" "$(main_of 03)"
}

# 変更のあるファイルは、どれも 1 行だけ変わっている: one_line_in COUNT
one_line_in() {
    run -0 git diff --numstat -- '*.c'
    [ "${#lines[@]}" -eq "$1" ]
    for line in "${lines[@]}"; do
        [[ $line == $'1\t1\tsteps/'* ]]
    done
}

# 変えた形が、ちょうど COUNT 個の main.c にある: found_in COUNT TEXT
found_in() {
    run -0 grep -l "$2" steps/*/main.c
    [ "${#lines[@]}" -eq "$1" ]
}

# 失敗したら、1 行目が英語のメッセージ、次がヒント
assert_error() {
    [[ ${lines[-2]} == *"$1"* ]]
    [[ ${lines[-1]} == '  ヒント: '* ]]
}

# make の終わりの行 (*** Error) の前にある 2 行: assert_error_with MESSAGE HINT
assert_error_with() {
    [[ $output == *"$1"$'\n  ヒント: '*"$2"* ]]
}

# 06 から後で行末に足した行を、03 で変える。06 でコンフリクトする
make_conflict() {
    local step
    for step in 06 07 08 09; do
        sed -i 's,puts("first line");,& /* mine */,' "$(main_of $step)"
    done
    commit
    change new
}

# --- carry ------------------------------------------------------------------

@test "carry: a changed line reaches all later steps and nothing else" {
    change new
    run -0 carry 03
    one_line_in 7
    found_in 7 'puts("new")'
    # 変わった行数は、README の表にも出る
    run -0 git diff --name-only
    [[ ${#lines[@]} -eq 8 && ${lines[0]} == README.ja.md ]]
}

@test "carry: an inserted and a deleted line are carried too" {
    sed -i 's/^    puts("first line");$/&\n    puts("more");/
            /second line/d' "$(main_of 01)"
    run -0 carry 1
    found_in 9 'puts("more")'
    run -1 grep -l 'second line' steps/*/main.c
}

@test "carry: a changed line beside lines that a later step inserted is no conflict" {
    # 前の行の、すぐ上に関数が足されている
    sed -i 's,最後の関数,終わりの関数,' "$(main_of 03)"
    run -0 carry 03
    one_line_in 7
    # 次の行の、すぐ上に呼び出しが足されている
    commit
    sed -i 's,last line,end,' "$(main_of 03)"
    run -0 carry 03
    one_line_in 7
    found_in 6 'add_4();'
}

@test "carry: a line inserted beside a line that a later step changed is no conflict" {
    local step text
    for step in 04 05 06 07 08 09; do
        sed -i 's,second line,two lines,' "$(main_of $step)"
    done
    commit
    # 変わった行の、上と下
    for text in 'puts("above");\n    &' '&\n    puts("below");'; do
        sed -i "s,puts(\"second line\");,$text," "$(main_of 03)"
        run -0 carry 03
        commit
    done
    run -0 grep -B 1 -A 1 'two lines' "$(main_of 09)"
    [ "$output" = '    puts("above");
    puts("two lines");
    puts("below");' ]
}

@test "carry: a second run changes nothing and touches no file" {
    change new
    run -0 carry 03
    git diff >../before
    touch --date='2020-01-01' steps/*/main.c README.ja.md
    run -0 carry 03
    [[ $output == *'nothing more to carry'* ]]
    git diff | diff ../before -
    run -0 find steps README.ja.md -type f -newermt '2020-01-02'
    [ -z "$output" ]
}

@test "carry: the header's title and 見る stay each step's own; README's table follows" {
    sed -i '2s/.*/ * new title/; s/見る:.*/見る:   new/' "$(main_of 03)"
    run -0 carry 03
    [[ $output == *'updated  README.ja.md'*'nothing more to carry'* ]]
    run -0 git diff --name-only
    [ "$output" = "README.ja.md"$'\n'"$(main_of 03)" ]
    [[ $(<README.ja.md) == *'| new title | '*CLONE_NEWD*' | new | +9 −2 |'* ]]
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
    grep -q 'puts("new")' "$(main_of 05)"
    git diff --quiet "$(main_of 07)" "$(main_of 08)" "$(main_of 09)"
}

@test "carry: two different lines inserted at one place are a conflict" {
    sed -i 's,puts("second line");,&\n    puts("a");,' "$(main_of 05)"
    commit
    sed -i 's,puts("second line");,&\n    puts("b");,' "$(main_of 04)"
    run -1 carry 04
    assert_error "1 conflict(s) in $(main_of 05)"
}

@test "carry: markers that are left and lines that are too wide are refused before anything is touched" {
    make_conflict
    run -1 carry 03
    sed -i "s,last line,$(printf '長%.0s' {1..34})," "$(main_of 07)"
    git diff >../before
    run -1 carry 03
    assert_error 'conflict markers are left, or lines are wider than 80 columns'
    [[ $output == *"$(main_of 06):"*'<<<<<<<'* ]]
    [[ $output == *"$(main_of 07):"*': 81 columns'* ]]
    git diff | diff ../before -
}

@test "carry: a changed line that the step before has too is named, for it is carried only forward" {
    change new
    run -0 carry 03
    [[ $output == *"$(main_of 02) has this line too"*'puts("first line");'*'  ヒント: '*'STEP=02'* ]]
    commit
    # このステップが足した行なら、言うことはない
    sed -i 's,CLONE_NEWD,CLONE_NEWX,' "$(main_of 03)"
    run -0 carry 03
    [[ $output != *'has this line too'* ]]
}

@test "carry: after a conflict was resolved, it goes on with the next step" {
    make_conflict
    run -1 carry 03
    # 両方を生かした形に直す
    sed -i '/^<<<<<<< /,/^>>>>>>> /c\    puts("new"); /* mine */' "$(main_of 06)"
    cp "$(main_of 06)" ../resolved
    run -0 carry 03
    diff ../resolved "$(main_of 06)"
    found_in 7 '^    puts("new");'
    # 直した形も、隣へ渡っている
    grep -q 'puts("new"); /\* mine \*/' "$(main_of 09)"
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

@test "carry: what changes after the first run is carried as well: again, undone, thrown away" {
    change first
    run -0 carry 03
    sed -i 's/puts("first")/puts("second")/' "$(main_of 03)"
    run -0 carry 03
    found_in 7 'puts("second")'
    git checkout --quiet "$(main_of 05)" "$(main_of 06)"
    run -0 carry 03
    found_in 7 'puts("second")'
    git checkout --quiet "$(main_of 03)"
    run -0 carry 03
    git diff --quiet
}

@test "carry: an old record does not count after a commit" {
    change first
    run -0 carry 03
    commit
    run -0 carry 03
    [[ $output == *'nothing to carry'* ]]
    # 記録の版 (first) は、HEAD からもうなくなった
    sed -i 's/puts("first")/puts("other")/' steps/*/main.c
    commit
    sed -i 's/puts("other")/puts("second")/' "$(main_of 03)"
    echo '/* an own change */' >>"$(main_of 04)"
    run -0 carry 03
    found_in 7 'puts("second")'
}

@test "carry: own changes in a later step are kept and go on from there" {
    change new
    sed -i 's/puts("last line")/puts("own")/' "$(main_of 05)"
    run -0 carry 03
    found_in 7 'puts("new")'
    found_in 5 'puts("own")'
}

@test "carry: answers get the change of their own step" {
    local step dir
    for step in 03 05; do
        dir=$(dirname "$(main_of $step)")/solutions
        mkdir "$dir"
        cp "$(main_of $step)" "$dir/answer.c"
    done
    commit
    change new
    run -0 carry 03
    one_line_in 9
    run -0 grep -l 'puts("new")' steps/*/solutions/*.c
    [ "${#lines[@]}" -eq 2 ]
}

@test "carry: without a change it says so; anything that is no step is refused" {
    run -0 carry 09
    [[ $output == "carry: nothing to carry: $(main_of 09) is as in HEAD" ]]
    for step in '' 0 00 10 003 x 3x ../3; do
        run -2 carry "$step"
        assert_error "no such step: '$step'"
    done
}

@test "carry: outside a git repository it says what it needs; in another user's, what git says" {
    requires root
    chown -R 4711 .
    run -1 carry 03
    [[ $output == *safe.directory* ]]
    assert_error 'no git repository'
    rm -rf .git
    GIT_CEILING_DIRECTORIES=$BATS_TEST_TMPDIR run -1 carry 03
    assert_error 'no git repository'
}

@test "make carry passes the step on, and asks for it" {
    change new
    run -0 make carry STEP=3
    found_in 7 'puts("new")'
    run ! env -u STEP make carry
    [[ $output == *'STEP=NN is missing'* ]]
}

# --- check-chain ------------------------------------------------------------

@test "check-chain: steps in order pass, and every kind of mistake is listed in one run" {
    requires gcc
    run -0 tests/chain/check-chain.sh
    [ "$output" = 'check-chain: 9 steps and 0 solutions are in order' ]
    local main number
    main=$(main_of 04)
    # 使われない変数、ステップの番号、多すぎる行
    cat >>"$main" <<END
/* step05 では変わる */
int long_function(void);
int long_function(void)
{
    int unused;
$(printf '    puts("line %d");\n' {1..44})
    return 0;
}
END
    # 前のステップにあり、04 になく、05 にまたある行
    sed -i '/second line/d' "$main"
    sed -i 's/main\.c/no-such-file.c/; 2s/.*/ * new title/' "$(main_of 06)"
    sed -i '/作る:/d' "$(main_of 08)"
    sed -i '/puts("CLONE/d' "$(main_of 09)"
    sed -i '/puts("CLONE/{p;p}' "$(main_of 08)"
    echo 'void one(void); void two(void); void two(void) { one(); }' >shared/two.c
    mkdir "$(dirname "$main")/solutions"
    echo 'int main(void) { return none; }' >"$(dirname "$main")/solutions/a.c"
    run -1 tests/chain/check-chain.sh
    number=$(grep -n 'step05' "$main" | cut -d : -f 1)
    [[ $output == *"$main:$((number + 4)):"*'unused'* ]]
    [[ $output == *"$main:1: with -Werror, this fails: cc "* ]]
    [[ $output == *"solutions/a.c:1: with -Werror, this fails: cc -c"* ]]
    [[ $output == *"$main:1: "*' lines added, the budget is 45'* ]]
    [[ $output == *"$main:$number: names a step by its number"* ]]
    [[ $output == *"$(main_of 05):"*'is back:     puts("second line");'* ]]
    [[ $output == *"$(main_of 06):1: with -Werror, this fails: cc -o ../../step no-such-file.c"* ]]
    [[ $output == *"$(main_of 08):1: no command (作る:) in the header comment"* ]]
    [[ $output == *"$(main_of 09):1: "*' lines deleted, the budget is 10'* ]]
    [[ $output == *'shared/one.c:1: is in a circle of calls'* ]]
    [[ $output == *'shared/two.c:1: is in a circle of calls'* ]]
    [[ $output == *'README.ja.md:1: the table of steps is out of date'* ]]
    assert_error 'check-chain: failed'
}

# --- lint -------------------------------------------------------------------

# 何も入っていない PATH
make_path() {
    mkdir ../path
    for tool in "$@"; do
        ln -s "$(type -P "$tool")" ../path
    done
}

@test "lint: missing tools are named together" {
    make_path sh make git grep id cat nproc
    PATH=$PWD/../path run -2 make lint-shfmt
    for tool in clang-tidy shellcheck cppcheck shfmt clang-format; do
        [[ $output == *"$tool: not found"* ]]
    done
    [[ $output == *$'\n  ヒント: make setup-dev\n'* ]]
}

@test "lint: all tools run, whatever fails, over tracked and new files but no ignored ones" {
    make_path sh bash make git grep id cat nproc perl
    # 道具は作り物。何を頼まれたかを ../log に残し、すべて失敗する
    for tool in clang-tidy shellcheck cppcheck shfmt clang-format; do
        printf '#!/bin/sh\necho "%s $*" >>../log\necho "%s fails"\nexit 1\n' "$tool" "$tool" >../path/"$tool"
        chmod +x ../path/"$tool"
    done
    echo ignored.c >.gitignore
    printf 'int wide; /* %s */\n' "$(printf '長%.0s' {1..40})" | tee new.c >ignored.c
    : >new.sh
    : >new.bats
    rm "$(main_of 09)"
    PATH=$PWD/../path run -2 make lint
    for tool in clang-tidy/new.c shellcheck/new.sh cppcheck shfmt clang-format width; do
        [[ $output == *"lint-$tool] Error "* ]]
    done
    [[ $output == *'new.c:1: 96 columns'* && $output == *'cppcheck fails'* ]]
    run -0 cat ../log
    [[ $output == *'clang-tidy '*' new.c -- '* && $output == *'cppcheck '*' new.c'* ]]
    [[ $output == *'shellcheck '*' new.sh'* && $output == *'shellcheck '*'SC2030'*' new.bats'* ]]
    [[ $output == *'clang-format '*' new.c'* && $output == *'shfmt '*' new.bats'* ]]
    [[ $output != *ignored.c* && $output != *09-topic9* ]]
}

@test "lint: a function of 41 lines is refused, one of 40 is not" {
    # make lint に要るので、CI には必ずある
    command -v clang-tidy >/dev/null || skip 'needs clang-tidy'
    for count in 40 41; do
        printf '%s\n' 'int many(int *n);' 'int many(int *n)' '{' >"$count.c"
        printf '    *n += %d;\n' $(seq 5 $count) >>"$count.c"
        printf '    return *n;\n}\n' >>"$count.c"
        [ "$(sed 1d "$count.c" | wc -l)" -eq "$count" ]
    done
    run -0 clang-tidy --quiet 40.c --
    run -1 clang-tidy --quiet 41.c --
    [[ $output == *"41.c:2:5: error: function 'many' exceeds"*'readability-function-size'* ]]
}

@test "lint: outside a git repository it says what it needs" {
    rm -rf .git
    GIT_CEILING_DIRECTORIES=$BATS_TEST_TMPDIR run -2 make lint
    [[ $output == *'no files to check'*'  ヒント: '* ]]
}

# --- diff -------------------------------------------------------------------

diff_step() {
    shared/scripts/diff.sh "$@"
}

# 05 のデッキ。main を先に説明する
make_deck() {
    mkdir slides
    cat >slides/05.md <<'END'
# 05 title

<!-- diff: 04 05 -->
<!-- 1 分。全体の
ノート -->
前置き。

<!-- explain: main, header 00000000 -->
**呼び出し**が `add_5()` に増えます。
<!-- 1 分。話すこと。 -->
<!-- page -->
続きの説明。

---

## 次のスライド
END
}

@test "diff: functions are headings, context is folded, the header is one line; status 0" {
    run -0 --keep-empty-lines diff_step 05
    [ "$output" = '== 04-topic4 → 05-topic5 +9 -2 ==

== 冒頭のコメント +2 -2 行 (FN=header で表示) ==

== add_5() +5 ==
+/* 足したもの */
+static void add_5(void)
+{
+    puts("CLONE_NEWF");
+}

== main() +2 ==
 /* 最後の関数 */
 int main(void)
 {
 ⋯ 変わらない 3 行
     add_3();
     add_4();
+    add_5();
     puts("last line");
     return 0;
 }'$'\n' ]
    run -0 make diff05
    [ "${lines[0]}" = '== 04-topic4 → 05-topic5 +9 -2 ==' ]
}

@test "diff: the order is that of the deck's explanations; what has none comes last" {
    make_deck
    run -0 diff_step 05
    run -0 grep -o '^== .*() ' <<<"$output"
    [ "$output" = $'== main() \n== add_5() ' ]
}

@test "diff: FN shows one function; another name is refused, with the names that there are" {
    run -0 make --silent diff05 FN=main
    [[ ${lines[0]} == '== main() +2 ==' && $output == *$'\n+    add_5();\n'* && $output != *CLONE* ]]
    FN='main()' run -0 diff_step 05
    [ "${lines[0]}" = '== main() +2 ==' ]
    FN=header run -0 diff_step 05
    [[ $output == *$'\n- * title 4\n+ * title 5\n'* ]]
    FN=add_4 run -2 diff_step 05
    assert_error 'no such function: add_4'
    [[ $output == *'header, add_5, main' ]]
}

# 端末の中で動かす: on_terminal COMMAND
on_terminal() {
    GIT_PAGER=${GIT_PAGER-cat} timeout 20 script --quiet --return --command "$1" /dev/null
}

@test "diff: colours and changed words on a terminal only, and not with NO_COLOR" {
    sed -i 's/first line/third line/' "$(main_of 02)"
    run -0 diff_step 02
    [[ $output != *$'\e['* ]]
    run -0 on_terminal 'make diff02'
    [[ $output == *$'\e[32m+    add_2();'* ]]
    [[ $output == *$'\e[31m-    puts("\e[7mfirst\e[27m line");\e[m'* ]]
    [[ $output == *$'\e[32m+    puts("\e[7mthird\e[27m line");\e[m'* ]]
    NO_COLOR=1 run -0 on_terminal 'make diff02'
    [[ $output != *$'\e['* ]]
}

@test "diff: git's pager on a terminal only; one that is not installed is no error" {
    export GIT_PAGER="sed 's/^/paged /'"
    run -0 diff_step 02
    [[ $output != *paged* ]]
    run -0 on_terminal 'make diff02'
    [[ $output == *'paged '*'== main()'* ]]
    GIT_PAGER=no-such-pager run -0 on_terminal 'make diff02'
    [[ $output == *'== main()'* ]]
}

@test "tour: every part is followed by the deck's explanation, without marks and notes" {
    make_deck
    run -0 --keep-empty-lines make --silent tour05
    [[ $output == *'main() +2'*'前置き。'*'== main() +2 =='*'+    add_5();'*$'}\n\n== 冒頭のコメント +2 -2 ==\n'* ]]
    [[ $output == *$'\n\n呼び出しが add_5() に増えます。\n続きの説明。\n\n== add_5() +5 =='* ]]
    [[ $output != *ノート* && $output != *話すこと* && $output != *次のスライド* && $output != *$'\f'* ]]
    run -0 make --silent tour05 FN=main
    [[ $output == '== main() +2 =='*'続きの説明。' ]]
    rm slides/05.md
    run -1 shared/scripts/diff.sh --tour 05
    assert_error 'no explanations: slides/05.md'
}

@test "tour: on a terminal it waits for Enter between the parts, and q ends it" {
    make_deck
    run -0 on_terminal 'make tour05' < <(sleep 1 && printf '\n' && sleep 1 && printf 'q\n')
    [[ $output == *'-- 1 / 3: Enter'*'== main() +2'*'-- 2 / 3: Enter'* ]]
    [[ $output != *'== add_5()'* ]]
}

@test "diff: the same in an unpacked tarball and in other directories" {
    diff_step 07 >../expected
    grep -q '^+.*add_7' ../expected
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

# --- make ---------------------------------------------------------------------

# attendee のものにした小さな 9 つ
make_own() {
    rm -rf "$USER_HOME/repo"
    cp -R . "$USER_HOME/repo"
    chown -R attendee: "$USER_HOME/repo"
    cd "$USER_HOME/repo"
}

@test "make: what is made with sudo belongs to the user" {
    requires root sudo gcc
    make_own
    as_user sudo -n make step01
    [ -x step01 ]
    [ -z "$(find . ! -user attendee)" ]
    # root の作業場所なら、root のもの
    chown root: . && rm -rf build
    as_user sudo -n make step01
    [ "$(stat -c %U build/step01.o)" = root ]
}

@test "make: a file that another user made is named, with the command that helps" {
    requires root gcc
    make_own
    make step01
    touch "$(main_of 01)"
    run -2 as_user make step01
    assert_error_with "make: cannot write build/step01.o" "sudo chown -R 4711: '$PWD'"
    run -2 as_user make clean
    assert_error_with "make: cannot write build/" "sudo chown -R 4711: '$PWD'"
    chown -R attendee: .
    as_user make step01
    # 読み取り専用なら、所有者を変えても書けない
    # shellcheck disable=SC2016 # 展開するのは、内側の sh
    run -2 unshare --mount sh -c 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" &&
        make -B step01'
    assert_error_with "make: cannot write build/step01.o" '書ける場所にコピー'
}

# --- need-header, help, setup -----------------------------------------

@test "need-header: a missing header names the package and the command" {
    run -0 shared/scripts/need-header.sh stdio.h libc6-dev
    [ -z "$output" ]
    run -1 shared/scripts/need-header.sh no/such.h libno-dev
    [ "${lines[0]}" = 'make: missing header <no/such.h> (libno-dev)' ]
    [[ ${lines[1]} == '  ヒント: '*'apt-get install libno-dev'*'make setup'* ]]
}

@test "help: every target with a ## comment is there, in aligned columns" {
    run -0 make help
    for target in all step01 rootfs diff02 tour02 test check01 vm slides setup help; do
        [[ $output == *$'\n  '"$target "* ]]
    done
    [[ $output == *$'\n  step01 ... step09            1 つだけ作る'* ]]
    [[ $output == *'FN=child'* && $output == *'SAN=1'* && $output == *'V=1'* && $output == *'ROOTFS='* ]]
    [[ $output != *FORCE* && $output != *SECONDEXPANSION* ]]
    # 説明は、どれも同じ桁から始まる
    # shellcheck disable=SC2016 # awk の変数
    run -0 awk '/^付けられる/ { exit } /^  / && substr($0, 30, 3) !~ /^  [^ ]/' \
        <<<"$output"
    [ -z "$output" ]
}

@test "setup: with everything there, neither apt-get nor sudo is run" {
    make_path sh echo sed xargs grep dpkg sort head id
    local name
    # shellcheck disable=SC2016 # 内側の sh の変数
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
    # shellcheck disable=SC2016 # 内側の sh の変数
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
    # README の初めの 2 つに、テストの道具は要らない
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh run
    [ "$output" = 'setup: 次のものを入れます: make ' ]
}

@test "setup: a user's apt-get goes through sudo; without sudo it says what to do" {
    make_system
    FAKE_UID=1000 PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    [ "$(grep -c sudo ../log)" -eq 2 ]
    rm ../path/sudo
    FAKE_UID=1000 PATH=$PWD/../path run -1 sh shared/scripts/setup.sh
    assert_error 'must be root, and sudo is not installed'
}

@test "setup: sbin is in PATH, also after an su that keeps the user's" {
    make_system
    : >../updated
    # shellcheck disable=SC2016 # 内側の sh の変数
    printf '#!/bin/sh\necho ":$PATH:" >../sbin\n' >../path/apt-get
    PATH=$PWD/../path run -0 sh shared/scripts/setup.sh
    [[ $(<../sbin) == *:/usr/sbin:* ]]
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

# --- editor -------------------------------------------------------------------

# 名前に空白と引用符のあるところに置いた、本物の教材
make_odd_place() {
    rm -rf "a b"
    mkdir "a b"
    mkdir "a b/it's \"1\""
    cd "a b/it's \"1\""
    mkdir -p rootfs my/05
    cp -R "$TOP"/{GNUmakefile,steps,shared,tests} .
    cp -R "$TOP/rootfs"/{build.sh,demo} rootfs
    cp steps/05-*/main.c my/05
}

needs() {
    command -v "$1" >/dev/null || [ -n "${REQUIRE_ALL:-}" ] || skip "needs $1"
}

@test "editor: clang parses every C file of the learner's road with the flags of make" {
    needs clang-tidy
    make_odd_place
    run -0 make editor
    run -0 /usr/bin/python3 -c '
import json
print(*(entry["file"] for entry in json.load(open("compile_commands.json"))), sep="\n")'
    files=("${lines[@]}")
    [ "$(printf '%s\n' "${files[@]}" | sort)" = "$(printf '%s\n' \
        steps/*/{main,solutions/*}.c my/*/main.c shared/*.c rootfs/demo/*.c | sort)" ]
    run -0 clang-tidy --quiet -p . --checks='-*,clang-diagnostic-*,misc-misplaced-const' --warnings-as-errors='*' \
        "${files[@]}"
    # make が使うものと同じ
    run -0 make -n V=1 SAN=1 build/sanitize/step01.o
    flags=$(sed -n 's/^cc \(.*\)  *-MMD .*/\1/p' <<<"$output" | xargs)
    run -0 make editor SAN=1
    run -0 /usr/bin/python3 -c '
import json
print(*json.load(open("compile_commands.json"))[0]["arguments"][1:-2])'
    [ "$output" = "$flags" ]
}

@test "editor: what a person changed stays, and the new one is put beside it" {
    make_odd_place
    run -0 make editor
    run -0 make editor
    [ "$output" = "" ]
    echo '// mine' >>.vscode/launch.json
    echo '[]' >compile_commands.json
    cp .vscode/launch.json mine
    run -0 make editor
    [[ $output == *"KEEP .vscode/launch.json"$'\n  ヒント: '*.vscode/launch.json.new* ]]
    cmp .vscode/launch.json mine
    [ "$(cat compile_commands.json)" = '[]' ]
    [[ $(cat compile_commands.json.new) == *my/05/main.c* ]]
    # 変えていないものは、新しくなる
    rm compile_commands.json
    make editor
    rm -r my
    run -0 make editor
    [[ $output == *"EDIT compile_commands.json"* && $(cat compile_commands.json) != *my/05* ]]
}

@test "editor: the debugger stops in the container's child, and leaves its command alone" {
    requires root userns
    needs gdb
    make editor
    run -0 within 10 .vscode/sudo-gdb -q -batch -x .vscode/child.gdb -ex 'break gate_wait' \
        -ex run -ex 'info inferiors' -ex continue --args "$TOP/step05" run \
        sh -c 'echo "pid $$"; true; sh -c "exit 3"'
    [[ $output == *'hit Breakpoint 1, gate_wait'* ]]
    [[ $output == *$'\npid 1\n'* ]]
    [[ $output == *'[Inferior 2 ('*') exited with code 03]'* ]]
}

# --- CI ----------------------------------------------------------------------

# 2 つを並べる小さな CI。失敗するほうのコマンドを渡す: ci COMMAND...
ci() {
    mkdir -p .ci
    cp "$TOP/.ci/phases.bash" .ci
    cat >.ci/small <<'END'
set -euo pipefail
. .ci/phases.bash
left() { phase one true && phase two "$@" && phase three true; }
right() { phase long sh -c 'echo $$ >../long && exec sleep 100'; }
arguments=("$@")
short() { left "${arguments[@]}"; }
[[ $1 == true ]] || side_by_side short right
phase suite echo '3 passed, 0 failed, 0 skipped'
print_table
END
    bash .ci/small "$@"
}

@test "ci: a phase that fails shows its last 50 lines and stops the others; every log is kept" {
    run -1 ci sh -c 'until [ -s ../long ]; do :; done; seq 100; exit 7'
    [[ $output == *$'\n    51\n'* && $output != *$'\n    50\n'* ]]
    [[ $output == *'== two: FAILED (status 7) after '*', see build/ci/small/two.log'* ]]
    [[ $output != *'== three'* && $output != *'== suite'* ]]
    retry 5 is_gone "$(cat ../long)"
    [ "$(wc -l <build/ci/small/two.log)" = 100 ]
    [ -e build/ci/small/one.log ]
}

@test "ci: the table tells each phase's seconds, its summary line and the total" {
    run -0 ci true
    [[ ${lines[-2]} =~ ^suite\ +[0-9]+\ +ok\ 3\ passed,\ 0\ failed,\ 0\ skipped ]]
    [[ ${lines[-1]} =~ ^total\ +[0-9]+ ]]
}

# bats を直に動かすと、attendee を作る準備が、実行したユーザーのマシンの /etc を隠してしまう
@test "campaigns: a call that the kernel restarts is one call, and the call of a handler is another" {
    mkdir bin
    cat >bin/strace <<'END'
#!/bin/sh
cat >"$6" <<'LOG'
7 execve("/x", ["x"], 0x7 /* 9 vars */) = 0
7 write(3</a>, "1", 1) = ? ERESTARTNOINTR (To be restarted)
7 write(3</a>, "1", 1 <unfinished ...>
7 <... write resumed>) = ? ERESTARTNOINTR (To be restarted)
7 write(3</a>, "1", 1) = 1
7 write(3</a>, "2", 1) = ? ERESTARTNOINTR (To be restarted)
7 --- SIGCHLD {si_signo=SIGCHLD} ---
7 rt_sigreturn({mask=[]}) = 1
7 write(3</a>, "2", 1) = 1
LOG
END
    chmod +x bin/strace
    # shellcheck disable=SC2016 # 展開するのは、内側の bash
    run -0 env PATH="$PWD/bin:$PATH" WORK="$PWD" bash -c '
        . "$TOP/tests/campaign/inject.bash"
        COMMAND=(true)
        traced_calls'
    [ "$output" = "before write 1 1 /a
before write 2 2 /a
before rt_sigreturn 1 3 {mask=[]}
before write 3 4 /a" ]
}

@test "a suite refuses to prepare its user outside namespaces of its own" {
    requires root
    before=$(cat /proc/self/mountinfo)
    run -1 env -u IN_OWN_NAMESPACES -u BATS_RUN_TMPDIR BATS_TMPDIR="$BATS_TEST_TMPDIR" \
        bats "$TOP/tests/04-uts-hostname.bats"
    [[ $output == *'setup_suite: not in namespaces of its own'* ]]
    [[ $output == *'  ヒント: '* ]]
    [ "$(cat /proc/self/mountinfo)" = "$before" ]
}
