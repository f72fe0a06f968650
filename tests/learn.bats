# 自分で書く人の道具 (make start, check, hint, watch, answer, reset, progress, next)
# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
load helpers
load host/cgroups

# attendee の手元にある教材。作ったものも持っていく (作る時間を省くだけ)
setup_file() {
    export WORKSHOP=$USER_HOME/workshop
    as_user mkdir "$WORKSHOP" "$WORKSHOP/build"
    cp -a "$TOP"/{GNUmakefile,shared,steps,tests,rootfs} "$WORKSHOP"
    mkdir "$WORKSHOP/slides"
    cp -a "$TOP"/slides/0?.md "$WORKSHOP/slides"
    cp -a "$TOP"/build/*.[od] "$TOP/build/demo" "$WORKSHOP/build"
    chown -R attendee: "$WORKSHOP"
}

setup() {
    requires root userns sudo gcc
    cd "$WORKSHOP"
    rm -rf my
    PIDS_TO_KILL=
    MOUNTED=
}

teardown() {
    local pid
    for pid in $PIDS_TO_KILL; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    [ -z "$MOUNTED" ] || umount --lazy "$MOUNTED"
    remove_private_cgroups
}

# attendee の端末で打つ
user() {
    as_user make --no-print-directory "$@"
}

# そのステップの、こちらのプログラムを書いたことにする
write_ours() {
    as_user mkdir -p "my/$1"
    as_user cp steps/"$1"-*/main.c "my/$1/main.c"
}

# その 1 行を、sed で書き換える
edit() {
    local before
    before=$(cat "my/$1/main.c")
    as_user sed -i "$2" "my/$1/main.c"
    [ "$(cat "my/$1/main.c")" != "$before" ]
}

# --- 始める、やり直す ------------------------------------------------------------

@test "start: the program of the step before, with this step's header and the guide's list of what to do" {
    run -0 user start05
    [ "${lines[0]}" = 'my/05/main.c を置きました: 04 のプログラム' ]
    [[ $output == *"$(sed -n '/^<!-- start -->$/{n;p}' steps/05-*/README.ja.md | tr -d '\`')"* ]]
    [[ $output == *'make check05'*'make hint05'* ]]
    [ "$(sed -n 2p my/05/main.c)" = "$(sed -n 2p steps/05-*/main.c)" ]
    [ "$(sed '1,/^ \*\//d' my/05/main.c)" = "$(sed '1,/^ \*\//d' steps/04-*/main.c)" ]
    [ "$(stat -c %U my my/05 my/05/main.c | sort -u)" = attendee ]
}

@test "start: any step can be the first; the first one's program has its calls left out" {
    user start07
    cmp <(sed '1,/^ \*\//d' my/07/main.c) <(sed '1,/^ \*\//d' steps/06-*/main.c)
    user start09
    [ "$(sed -n '2,/^ \*\//{ /^ \*.*:/p; }' my/09/main.c | wc -l)" = 3 ]
    run ! grep -F 'shared/{ct' my/09/main.c
    user start01
    [ "$(grep -c 'ここに書く' my/01/main.c)" -ge 4 ]
    run ! grep -wE 'fork|execv|waitpid|pipe2|prctl|poll' my/01/main.c
}

@test "start: what is already there stays" {
    user start05
    echo '/* mine */' >>my/05/main.c
    run -0 user start05
    [ "${lines[0]}" = 'my/05/main.c は、もうあります (そのままです)' ]
    [ "$(tail -n 1 my/05/main.c)" = '/* mine */' ]
}

@test "start: one's own program of the step before, if it passes; ours with a word, if it does not" {
    write_ours 04
    echo '/* mine */' >>my/04/main.c
    run -0 user start05
    [[ $output == *'my/05/main.c を置きました: 自分の書いた my/04/main.c'* ]]
    [ "$(tail -n 1 my/05/main.c)" = '/* mine */' ]
    [ "$(sed -n 2p my/05/main.c)" = "$(sed -n 2p steps/05-*/main.c)" ]
    rm -r my/05
    edit 04 's/^    set_hostname();$//'
    run -0 user start05
    [[ $output == *'04 のプログラム (自分の my/04/main.c は、まだ要件をすべては満たしていません)'* ]]
    [ "$(tail -n 1 my/05/main.c)" != '/* mine */' ]
}

@test "start: lines that end as in Windows: the header is replaced all the same" {
    write_ours 04
    edit 04 's/$/\r/'
    user start05
    [ "$(grep -c '^ \* 見る:' my/05/main.c)" = 1 ]
    grep -q 'set_hostname();' my/05/main.c
}

@test "reset: starts again and keeps every copy" {
    user start05
    echo '/* one */' >>my/05/main.c
    run -0 user reset05
    [[ $output == *'my/05/main.c.~1~'* ]]
    run ! grep '/\* one' my/05/main.c
    echo '/* two */' >>my/05/main.c
    user reset05
    [ "$(tail -qn 1 my/05/main.c.~1~ my/05/main.c.~2~ | xargs)" = '/* one */ /* two */' ]
}

@test "start and reset: also where there are no hard links, as in a folder shared from Windows" {
    as_user mkdir -p "$USER_HOME/bin"
    as_user tee "$USER_HOME/bin/ln" >/dev/null <<<'#!/bin/sh
        exit 1'
    chmod 755 "$USER_HOME/bin/ln"
    as_user PATH="$USER_HOME/bin:$PATH" shared/scripts/learn.sh start 05
    as_user tee -a my/05/main.c >/dev/null <<<'/* mine */'
    as_user PATH="$USER_HOME/bin:$PATH" shared/scripts/learn.sh start 05
    as_user PATH="$USER_HOME/bin:$PATH" shared/scripts/learn.sh reset 05
    as_user PATH="$USER_HOME/bin:$PATH" shared/scripts/learn.sh reset 05
    rm "$USER_HOME/bin/ln"
    [ "$(tail -n 1 my/05/main.c.~1~)" = '/* mine */' ]
    cmp my/05/main.c my/05/main.c.~2~
}

@test "nothing is started: every command says how to begin" {
    local word
    for word in check hint watch answer reset; do
        run -2 user "${word}05"
        [ "${lines[0]##*: }" = my/05/main.c ]
        [[ ${lines[1]} == '  ヒント: make start05'* ]]
    done
}

# --- 確かめる --------------------------------------------------------------------

@test "check: a right program: one line a requirement, in the suite's own words, status 0" {
    write_ours 05
    run -0 user check05
    [ "$(grep -c '^  ✓ ' <<<"$output")" = "$(grep -c '^# 要件: ' tests/05-*.bats)" ]
    diff <(sed -n 's/^  ✓ //p' <<<"$output") <(sed -n 's/^# 要件: //p' tests/05-*.bats)
    [[ $output == *'make answer05'*'make start06'* ]]
    [[ $output != *$'\e'* ]]
}

@test "check: on a terminal, colours" {
    requires script
    write_ours 04
    run -0 as_user TERM=xterm script -qec 'make check04' /dev/null
    [[ $output == *$'\e[32m✓'* ]]
}

@test "check: a wrong program: status 1, and the first failure in full" {
    write_ours 05
    edit 05 '/CLONE_NEWPID;/d'
    run -1 as_user shared/scripts/check.sh 05
    [ "$(grep -cE '^  (✓|✗) ' <<<"$output")" = "$(grep -c '^# 要件: ' tests/05-*.bats)" ]
    [[ $output == *$'\n✗ コンテナ内の echo $$ が 1 になる\n'* ]]
    [[ $output == *"  動かしたもの: sudo my/step05 run sh -c 'echo \$\$'"* ]]
    [[ $output == *'  期待: 終了ステータス 0'*'  出力 (終了ステータス 125):'*'step05: mount /proc: Operation not permitted'* ]]
    [[ $output == *'  手で見る:'*'$ sudo my/step05 run'* ]]
    [[ $output == *'  読む所: steps/05-pid-mount/README.ja.md の「'* ]]
    [[ $output == *"  テスト: tests/05-pid-mount.bats:$(grep -n "inside 'echo \$\$'" tests/05-*.bats | cut -d: -f1)"* ]]
    # くわしいのは、初めの 1 つだけ
    [ "$(grep -c '期待:' <<<"$output")" = 1 ]
}

@test "check: values that differ are shown side by side" {
    write_ours 05
    edit 05 's/^    mount_proc();$/    (void)mount_proc;/'
    edit 05 's/^    flags |= CLONE_NEWPID;.*//'
    run -1 as_user shared/scripts/check.sh 05
    [[ $output == *'  期待: 1'$'\n''  結果: '[0-9]* ]]
}

@test "check: a compile error is the first message with its reason, not a wall" {
    write_ours 05
    edit 05 's/MS_REC | MS_PRIVATE, NULL)/MS_REC | MS_PRIVAT, NULL)/'
    edit 05 's/die("clone3");/die("clone3")/'
    run -1 as_user shared/scripts/check.sh 05
    [ "${lines[0]}" = '✗ my/05/main.c をコンパイルできません' ]
    [ "$(grep -c 'error:' <<<"$output")" = 1 ]
    [[ $output == *'  ヒント: 定数 MS_PRIVAT の宣言がありません'* ]]
    [[ $output == *'エラーはあと 1 個あります'* ]]
}

@test "check: a function that nobody calls is pointed out" {
    write_ours 05
    edit 05 '/^    mount_proc();$/d'
    run -1 as_user shared/scripts/check.sh 05
    [[ $output == *"警告: my/05/main.c:"*mount_proc*'  ヒント: 書いた関数が、まだ呼ばれていません'* ]]
}

@test "check: BIN is any other program, also with a blank in its name" {
    as_user cp "$USER_HOME/step04" 'my step'
    run -0 user check04 BIN='my step'
    [[ $output == *'✓ '* && $output != *'✗'* ]]
    run -2 user check05 BIN='my step'
    [[ $output == *"動かしたもの: sudo 'my step' run sh -c 'echo \$\$'"* ]]
    [ ! -e my ]
    run -2 user check05 BIN=nothing
    [ "${lines[0]}" = 'check: not a program: nothing' ]
}

@test "check: root's sudo is asked for once, and what it leaves belongs to the user" {
    write_ours 05
    as_user mkdir -p "$USER_HOME/bin"
    as_user tee "$USER_HOME/bin/sudo" >/dev/null <<<'#!/bin/sh
        echo sudo >>~/calls
        exec /usr/bin/sudo "$@"'
    chmod 755 "$USER_HOME/bin/sudo"
    as_user PATH="$USER_HOME/bin:$PATH" make check05
    [ "$(cat "$USER_HOME/calls")" = sudo ]
    as_sudoer make check05
    run -0 find my build ! -user attendee
    [ -z "$output" ]
}

# 相手を待ち続ける。背後の子も残る
@test "check: a program that never ends gets its verdict" {
    as_user mkdir -p my/05
    as_user tee my/05/main.c >/dev/null <<<'#include <unistd.h>
        int main(void) { for (fork();;) pause(); }'
    run -1 as_user timeout --signal KILL "$((60 * SLOWNESS))" shared/scripts/check.sh 05
    [[ $output == *'秒待っても終わりませんでした'*'まだ調べていません'* ||
        $output == *'まだ調べていません'*'秒待っても終わりませんでした'* ]]
    run ! pgrep -f '^/(mnt|media)/.*/step05'
}

# ファイルを作り、ホストの名前を変え、/proc を隠し、ほかを終わらせ、プロセスの表を埋める
@test "check: a program that attacks its host leaves the real one as it was" {
    local name mounts
    private_cgroups
    name=$(hostname)
    mounts=$(cat /proc/self/mountinfo)
    as_user mkdir -p my/05
    as_user tee my/05/main.c >/dev/null <<<'#include <fcntl.h>
        #include <signal.h>
        #include <sys/mount.h>
        #include <unistd.h>
        int main(void)
        {
            creat("/made-by-a-wrong-program", 0644);
            sethostname("broken", 6);
            mount("none", "/proc", "tmpfs", 0, NULL);
            mount("none", "/etc", "tmpfs", 0, NULL);
            kill(-1, SIGKILL);
            for (;;)
                fork();
        }'
    run -1 as_user timeout --signal KILL "$((60 * SLOWNESS))" shared/scripts/check.sh 05
    [[ $output == *$'\n✗ '* ]]
    run ! rm /made-by-a-wrong-program
    [ "$(hostname)" = "$name" ]
    [ "$(cat /proc/self/mountinfo)" = "$mounts" ]
    run ! pgrep -f '^/(mnt|media)/.*/step05'
    no_private_dirs
}

# --- ヒント、答え ----------------------------------------------------------------

@test "hint: a ladder of four, from the kind to the lines, cut from the diff; then the next item" {
    user start05
    run -0 user hint05
    [[ $output == *'✗ コンテナ内の echo $$ が 1 になる'*'ヒント 1 / 4'*'PID 1 になる'* ]]
    [[ $output != *CLONE_NEWPID* ]]
    run -0 user hint05
    [[ $output == *'ヒント 2 / 4'*CLONE_NEWPID* ]]
    run -0 user hint05
    [[ $output == *'ヒント 3 / 4'*'new_namespaces の中'* ]]
    run -0 user hint05
    [[ $output == *'ヒント 4 / 4'*'+    flags |= CLONE_NEWPID;'* ]]
    run -0 user hint05
    [[ $output == *'ヒント 1 / 4'* || $output == *'make answer05'* ]]
}

@test "hint: what does not compile is the hint; what passes needs none" {
    write_ours 05
    edit 05 's/mount_proc();/mount_proc()/'
    run -2 user hint05
    [[ ${lines[0]} == '✗ my/05/main.c をコンパイルできません' ]]
    write_ours 05
    run -0 user hint05
    [ "${lines[0]}" = 'すべての要件を満たしています。違いを見るなら make answer05' ]
}

@test "answer: what is missing in one's own program, function by function" {
    user start05
    run -0 user answer05
    [[ ${lines[0]} == '== my/05 → 05-pid-mount '* ]]
    [[ $output == *'+    mount_proc();'* ]]
    write_ours 05
    run -0 user answer05
    [[ $output != *$'\n+'* ]]
}

# --- 見張る ----------------------------------------------------------------------

# 端末の Ctrl-C は、グループの全部に届く。だから、自分だけのグループで始める
start_watch() {
    touch "$BATS_TEST_TMPDIR/watch"
    as_user setsid --wait env --default-signal sh -c 'echo $$ >watch-pid; exec shared/scripts/check.sh --watch "$1"' \
        sh "$1" </dev/null >"$BATS_TEST_TMPDIR/watch" 2>&1 3>&- 4>&- &
    retry 5 test -s watch-pid
    PIDS_TO_KILL=$(cat watch-pid)
    rm -f watch-pid
}

press_ctrl_c() {
    kill -INT -- "-$PIDS_TO_KILL"
    retry 5 is_gone "$PIDS_TO_KILL"
    retry 5 eval '! pgrep -f "judge[.](sh|bash)"'
}

verdicts() {
    grep -c '要件 [0-9]* 個のうち\|コンパイルできません' "$BATS_TEST_TMPDIR/watch" || true
}

has_verdicts() {
    [ "$(verdicts)" = "$1" ]
}

@test "watch: a verdict for every save, one for several quick ones, also by rename; Ctrl-C leaves nothing" {
    write_ours 04
    start_watch 04
    retry 5 has_verdicts 1
    grep '8 個を満たしています' "$BATS_TEST_TMPDIR/watch"
    # 続けて 3 度。初めの 2 つは、コンパイルもできない
    echo one >>my/04/main.c
    echo two >>my/04/main.c
    as_user sed 's/^    set_hostname();$//' steps/04-*/main.c >"$USER_HOME/new"
    mv "$USER_HOME/new" my/04/main.c
    retry 5 has_verdicts 2
    retry 5 grep 動かしたもの "$BATS_TEST_TMPDIR/watch"
    # 時刻も大きさも同じままの保存
    touch -r my/04/main.c "$BATS_TEST_TMPDIR/time"
    sed -i 's/    become_root/    become_roof/' my/04/main.c
    touch -r "$BATS_TEST_TMPDIR/time" my/04/main.c
    retry 5 has_verdicts 3
    retry 5 grep become_roof "$BATS_TEST_TMPDIR/watch"
    press_ctrl_c
    has_verdicts 3
    [ -z "$(find my -name '.new*')" ]
}

@test "watch: a save while it judges throws the old verdict away" {
    write_ours 09
    start_watch 09
    retry 5 grep '✓' "$BATS_TEST_TMPDIR/watch"
    echo broken >>my/09/main.c
    retry 5 has_verdicts 1
    grep 'コンパイルできません' "$BATS_TEST_TMPDIR/watch"
    press_ctrl_c
}

# --- 進み具合 --------------------------------------------------------------------

@test "progress and next: nine steps with their state, and what to do now" {
    run -0 user next
    [[ $output == '次は make start01'* ]]
    write_ours 03
    user check03
    run -0 user next
    [[ $output == '次は make start04'* ]]
    user start04
    run -0 user next
    [[ $output == '次は my/04/main.c を書いて make check04' ]]
    run -2 user check04
    run -0 user progress
    [[ ${lines[2]} == '  ✓ 03 '* ]]
    [[ ${lines[3]} == '  ✗ 04 '*' / 8' ]]
    [[ ${lines[8]} == '  - 09 '* ]]
    [[ ${lines[9]} == '次は my/04/main.c を直して'* ]]
    echo >>my/03/main.c
    run -0 user progress
    [[ ${lines[2]} == '  ? 03 '* ]]
}

# --- 何も失わない ----------------------------------------------------------------

@test "a full disk: nothing is lost or half written, and the verdict comes all the same" {
    user start05
    echo '/* mine */' >>my/05/main.c
    cp my/05/main.c "$BATS_TEST_TMPDIR/mine"
    cp -a my "$BATS_TEST_TMPDIR/my"
    # 実行ファイルと main.c のほかは、入らない
    MOUNTED=$PWD/my
    user check05 || true
    mount -t tmpfs -o size=256k,mode=777 tmpfs my
    cp -a "$BATS_TEST_TMPDIR/my/." my
    chown attendee: my
    user my/step05
    cat /dev/zero >my/full 2>/dev/null || true
    run -1 as_user shared/scripts/check.sh 05
    [[ $output == *'を満たしています'* ]]
    run -2 user reset05
    [[ $output == *'ディスクの空き'* ]]
    run -2 user start06
    [[ $output == *'ディスクの空き'* ]]
    cmp my/05/main.c "$BATS_TEST_TMPDIR/mine"
    [ ! -e my/06/main.c ]
    [ -z "$(find my -name '.new*')" ]
}

@test "two terminals at once: one start wins, both checks give a verdict" {
    user start05 >"$BATS_TEST_TMPDIR/one" 2>&1 3>&- 4>&- &
    user start05 >"$BATS_TEST_TMPDIR/two" 2>&1 3>&- 4>&- || true
    wait $! || true
    grep -q main my/05/main.c
    [ "$(cat "$BATS_TEST_TMPDIR"/{one,two} | grep -c 'を置きました')" = 1 ]
    write_ours 05
    user check05 >"$BATS_TEST_TMPDIR/one" 2>&1 3>&- 4>&- &
    user check05 >"$BATS_TEST_TMPDIR/two" 2>&1 3>&- 4>&-
    wait $!
    grep -L 'を満たしています' "$BATS_TEST_TMPDIR"/{one,two} | wc -l | grep -x 0
}

# --- 要件 ------------------------------------------------------------------------

@test "requirements: a test without one, an unknown heading or item, and the same twice are named" {
    local suite=$BATS_TEST_TMPDIR/04-wrong.bats
    run -0 tests/chain/requirements.sh
    sed -e '0,/^# 要件: /{/^# 要件: /d}' -e '0,/^# 手引き: 動かす/s//# 手引き: ない節/' \
        -e '0,/^# 項目: set_hostname/s//# 項目: set_nothing/' -e '0,/^# 手で: /{/^# 手で: /d}' \
        tests/04-*.bats >"$suite"
    sed -n 's/^# 要件: //p' tests/04-*.bats | tail -n 1 >"$BATS_TEST_TMPDIR/last"
    sed -i "0,/^# 要件: /s/^# 要件: .*/# 要件: $(cat "$BATS_TEST_TMPDIR/last")/" "$suite"
    run -1 tests/chain/requirements.sh "$suite"
    [[ $output == *"$suite:"*': no such heading in the guide: ない節'* ]]
    [[ $output == *"$suite:"*': no such item in the diff: set_nothing'* ]]
    [[ $output == *"$suite:"*': a test without # 要件: '* ]]
    [[ $output == *"$suite:"*': the same requirement as in line '* ]]
    [[ $output == *'  ヒント: '*CONTRIBUTING* ]]
    sed -i 's/^# 手引き: .*//' "$suite"
    run -1 tests/chain/requirements.sh "$suite"
    [[ $output == *': a requirement without # 手で:, # 手引き: or # 項目:'* ]]
}
