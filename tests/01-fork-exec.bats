# $ を展開するのは内側のシェル。stderr と stderr_lines は run --separate-stderr が入れる
# shellcheck disable=SC2016,SC2054,SC2153,SC2154
load helpers

NAME=$(basename "$BIN")

teardown() {
    stop_container
}

# 1 行目が英語のエラーで、残りがすべてヒントであること
one_error_and_hints() {
    local i
    [ "${stderr_lines[0]}" = "$1" ]
    [ "${#stderr_lines[@]}" -ge 2 ]
    for ((i = 1; i < ${#stderr_lines[@]}; i++)); do
        [[ ${stderr_lines[i]} == "  ヒント: "* ]] || return 1
    done
}

# 開いている fd の番号。$$ は、どの PID 名前空間でも、その中の /proc での番号
OPEN_FDS='i=0
while [ $i -lt 300 ]; do
    ! [ -e /proc/$$/fd/$i ] || printf "%s " $i
    i=$((i + 1))
done'

# --- 子プロセスとコマンド --------------------------------------------------------

# 要件: コマンドの終了ステータスが、そのままランチャーのものになる
# 手で: my/step01 run sh -c 'exit 7'; echo $?  # 7
# 手引き: 動かす
# 項目: main child
# bats test_tags=to09
@test "the command's exit status is the launcher's: 0 1 2 7 42 125 126 127 128 255" {
    requires root
    local status_wanted
    for status_wanted in 0 1 2 7 42 125 126 127 128 255; do
        run "-$status_wanted" --separate-stderr inside "sleep 0.001; echo end; exit $status_wanted"
        [ "$output" = end ]
        [ "$stderr" = "" ]
    done
}

# PID 1 になると、自分に送ったシグナルは捨てられる
# 要件: シグナル n で終わったコマンドは、128 + n になる
# 手で: my/step01 run sh -c 'kill -TERM $$'; echo $?  # 143
# 手引き: 動かす
# 項目: main
# bats test_tags=to04
@test "a command that signal n ended gives 128+n: HUP INT QUIT KILL SEGV PIPE TERM USR1" {
    requires root
    ulimit -c 0
    local name
    for name in HUP INT QUIT KILL SEGV PIPE TERM USR1; do
        run "-$((128 + $(kill -l $name)))" env --default-signal \
            "$BIN" run sh -c "kill -$name \$\$; sleep 5"
    done
}

# PID 1 になると、SIGABRT も捨てられる
# 要件: abort() で終わったコマンドは、134 になる
# 手で: my/step01 run sh -c 'kill -ABRT $$'; echo $?  # 134
# 手引き: 失敗させる
# 項目: main
# bats test_tags=to04
@test "a command that calls abort() gives 134" {
    requires root gcc
    ulimit -c 0
    chmod 755 "$BATS_TEST_TMPDIR"
    gcc -o "$BATS_TEST_TMPDIR/abort" -x c - <<<'#include <stdlib.h>
        int main(void) { abort(); }'
    run -134 --separate-stderr "$BIN" run "$BATS_TEST_TMPDIR/abort"
    [ "$stderr" = "" ]
}

# 要件: コマンドは、ランチャーのただ 1 つの子で、PID も同じ
# 手で: my/step01 run sh -c 'echo $$; exec sleep 100'
# 手で 2: pstree -p $(pgrep -f '^my/step01')  # step01───sleep
# 手引き: 動かす
# 項目: main child
# bats test_tags=to04
@test "the command is the launcher's only child, and its PID is the one the command sees" {
    requires root
    start_container sh -c 'echo "$$ $PPID" >"$1"; exec sleep 100' sh "$BATS_TEST_TMPDIR/pids"
    retry 2 test -s "$BATS_TEST_TMPDIR/pids"
    [ "$(cat "$BATS_TEST_TMPDIR/pids")" = "$CONTAINER $LAUNCHER" ]
    [ "$(cat "/proc/$CONTAINER/comm")" = sleep ]
    [ "$(cat "/proc/$LAUNCHER/comm")" = "$NAME" ]
    [ "$(ps -o pid= -o args= --ppid "$LAUNCHER" | xargs)" = "$CONTAINER sleep 100" ]
}

# 要件: fork の返り値が、コマンドに置き換わる子の PID
# 手で: strace -f -e trace=clone,clone3,fork,execve my/step01 run true  # clone の返り値が、次の execve の [pid …]
# 手引き: システムコールを見る
# 項目: main child
# bats test_tags=to04
@test "fork's return value is the PID that execs the command" {
    requires root strace
    run -3 strace -f -qq -o "$BATS_TEST_TMPDIR/trace" \
        -e trace=fork,vfork,clone,clone3,execve "$BIN" run sh -c 'exit 3'
    local child
    # 子の行が間に挟まると、"clone3(... <unfinished ...>" と "<... clone3 resumed>" になる
    child=$(sed -nE 's/.*(fork|clone3?)[( ].* = ([0-9]+)$/\2/p' "$BATS_TEST_TMPDIR/trace")
    # strace -f が付ける番号は、外から見たもの
    grep -qE "^$child +execve\(.*/sh\", \[\"sh\", \"-c\"" "$BATS_TEST_TMPDIR/trace"
}

# 要件: 引数、標準入出力、umask が、そのまま届く
# 手で: my/step01 run printf '<%s>\n' 'a b' '' '*'  # <a b>、<>、<*> の 3 行
# 手で: (umask 027; my/step01 run sh -c 'cat; umask' <<<in)  # in、0027
# 手引き: 子が引き継ぐもの
# 項目: child
# bats test_tags=to09
@test "arguments, standard streams and umask arrive unchanged" {
    requires root
    run -0 "$BIN" run printf '<%s>' 'a b' '' '*' -n $'tab\there' あ
    [ "$output" = $'<a b><><*><-n><tab\there><あ>' ]
    run -0 --separate-stderr "$BIN" run sh -c 'cat; echo problem >&2' <<<'from stdin'
    [ "$output" = 'from stdin' ]
    [ "$stderr" = problem ]
    umask 027
    run -0 inside umask
    [ "$output" = 0027 ]
}

# 要件: 環境変数が、そのまま届く
# 手で: GREETING=hello my/step01 run env | grep GREETING  # GREETING=hello
# 手引き: 子が引き継ぐもの
# 項目: child
# bats test_tags=to05
@test "the environment arrives unchanged" {
    requires root
    local variables=(PATH="$PATH" HOME=/no/home GREETING='hello  world' EMPTY=)
    run -0 env -i "${variables[@]}" "$BIN" run env
    [ "$output" = "$(env -i "${variables[@]}" env)" ]
}

# 要件: コマンドは、カレントディレクトリで始まる
# 手で: (cd /usr/bin && "$OLDPWD"/my/step01 run pwd)  # /usr/bin
# 手引き: 子が引き継ぐもの
# 項目: child
# bats test_tags=to05
@test "the command starts in the caller's directory" {
    requires root
    cd /usr/bin
    run -0 "$BIN" run pwd
    [ "$output" = /usr/bin ]
}

# 要件: リソースの上限が、そのまま届く
# 手で: (ulimit -n 47; my/step01 run sh -c 'ulimit -n')  # 47
# 手引き: 子が引き継ぐもの
# 項目: child
# bats test_tags=to09
@test "resource limits of the caller hold for the command" {
    requires root
    run -0 bash -c 'ulimit -n 47 && exec "$@"' bash "$BIN" run sh -c 'ulimit -n'
    [ "$output" = 47 ]
}

# --- exec の失敗を親が知るパイプ -------------------------------------------------

# 要件: ないコマンドなら 127。理由が 1 行で出る
# 手で: my/step01 run no-such-command; echo $?  # 127
# 手引き: 失敗させる
# 項目: main child
# bats test_tags=to09
@test "a command that does not exist: 127, one English line, then hints, nothing on stdout" {
    requires root
    run -127 --separate-stderr "$BIN" run no-such-command --with arguments
    [ "$output" = "" ]
    one_error_and_hints "$NAME: exec no-such-command: No such file or directory"
    run -127 --separate-stderr "$BIN" run /no/such/path
    one_error_and_hints "$NAME: exec /no/such/path: No such file or directory"
    # 長すぎる名前は切り、理由は切らない
    run -126 --separate-stderr "$BIN" run "/$(printf '%05000d' 0)"
    [[ ${stderr_lines[0]} == "$NAME: exec /000"*"0: File name too long" ]]
}

# 要件: 実行できないファイルなら 126。理由が 1 行で出る
# 手で: my/step01 run /etc/passwd; echo $?  # 126
# 手引き: 失敗させる
# 項目: main child
# bats test_tags=to09
@test "a file without execute permission and a directory: 126, one English line, then hints" {
    requires root
    run -126 --separate-stderr "$BIN" run /etc/passwd
    [ "$output" = "" ]
    one_error_and_hints "$NAME: exec /etc/passwd: Permission denied"
    run -126 --separate-stderr "$BIN" run /etc
    one_error_and_hints "$NAME: exec /etc: Permission denied"
}

# 要件なし: 理由を探すのは shared/ の仕事
# bats test_tags=to05
@test "a script without its interpreter: 127, as in a shell, and the hint names it" {
    requires root
    local script=$BATS_TEST_TMPDIR/script
    printf '#!/no/such/interpreter\n' >"$script"
    chmod 755 "$BATS_TEST_TMPDIR" "$script"
    run -127 --separate-stderr "$BIN" run "$script"
    one_error_and_hints "$NAME: exec $script: No such file or directory"
    [[ $stderr == *"/no/such/interpreter"* ]]
}

# 実行できるファイルを作る: program FILE <内容
program() {
    mkdir -p "${1%/*}"
    cat >"$1"
    chmod 755 "$1"
}

# execvp(3) は、知らない形式のものを sh に渡す
# 要件: プログラムでもスクリプトでもないファイルは、sh に渡さずに 126
# 手で: echo 'echo ran' >my/text; chmod +x my/text
# 手で: my/step01 run my/text; echo $?; rm my/text  # ran は出ずに 126
# 手引き: 失敗させる
# 項目: child
# bats test_tags=to05
@test "a file that is neither a program nor a script is not handed to sh: 126" {
    requires root
    cd "$BATS_TEST_TMPDIR"
    chmod 755 .
    program ./text <<<'echo ran'
    program ./empty </dev/null
    program ./cut <<<"#!/$(printf '%0300d' 0)"
    program ./foreign <"$(type -P true)"
    printf '\367' | dd of=foreign bs=1 seek=18 conv=notrunc status=none
    local name
    for name in text empty cut foreign; do
        PATH=$PWD:$PATH run -126 --separate-stderr "$BIN" run "$name"
        [ "$output" = "" ]
        one_error_and_hints "$NAME: exec $name: Exec format error"
        [[ ${stderr_lines[1]} == *"$PWD/$name "* ]]
    done
}

# 理由を調べるのは、まだ権限のある子。中身がどうであっても、止まったり落ちたりしない
# 要件なし: 理由を探すのは shared/ の仕事
# bats test_tags=to05
@test "files made to mislead the search for a reason: 126 or 127 at once, never a crash or a wait" {
    requires root python3
    cd "$BATS_TEST_TMPDIR"
    chmod 755 .
    program ./itself <<<"#!$PWD/itself"
    program ./other <<<"#!$PWD/itself"
    mkfifo -m 755 fifo
    program ./reader <<<"#!$PWD/fifo"
    program ./directory <<<"#!$PWD"
    program ./zero <<<'#!/dev/zero'
    program ./nothing <<<'#! '
    python3 - "$(type -P true)" <<'END'
import os, struct, sys
elf = open(sys.argv[1], 'rb').read()
phoff, = struct.unpack_from('<Q', elf, 32)
size, count = struct.unpack_from('<HH', elf, 54)
at = next(o for o in range(phoff, phoff + size * count, size) if elf[o] == 3)
def damage(name, offset, value):
    with open(name, 'wb') as file:
        file.write(elf)
        file.seek(offset)
        file.write(value)
    os.chmod(name, 0o755)
damage('many', 54, b'\xff' * 4)         # e_phentsize, e_phnum
damage('far', 32, b'\xff' * 8)          # e_phoff
damage('outside', at + 8, b'\xff' * 8)  # p_offset
damage('large', at + 32, b'\xff' * 8)   # p_filesz
damage('none', at + 32, bytes(8))
END
    truncate -s 1G many
    local name
    for name in itself other fifo reader directory zero nothing many far outside large none; do
        run --separate-stderr within 5 "$BIN" run "./$name"
        echo "$name: $status $stderr"
        [[ $status == 12[67] ]]
        [ "$output" = "" ]
        [[ ${stderr_lines[0]} == "$NAME: exec ./$name: "* ]]
    done
}

# PATH が VALUE なら、word は WORD と言うものになる: finds VALUE WORD
finds() {
    PATH=$1 run -0 "$BIN" run word
    [ "$output" = "$2" ]
}

# 要件なし: PATH を探すのは find_command() の仕事
# bats test_tags=to05
@test "PATH is searched as execvp(3) does it" {
    requires root
    cd "$BATS_TEST_TMPDIR"
    chmod 755 .
    program ./here/word <<<$'#!/bin/sh\necho here'
    program ./there/word <<<$'#!/bin/sh\necho there'
    mkdir -p plain directory/word
    echo 'not executable' >plain/word
    finds "$PWD/here:$PWD/there" here
    finds "$PWD/none:/etc/passwd:$PWD/there" there
    # 実行できないものは飛ばして、先を探す
    finds "$PWD/plain:$PWD/directory:$PWD/there" there
    # 空の要素は、カレントディレクトリ
    finds there there
    cd here
    for path in '' : ":$PWD/../there" "/none::$PWD/../there" /none:; do
        finds "$path" here
    done
    PATH=/none run -127 "$BIN" run word
    # "/" があれば探さない。PATH がなければ、標準のところを探す
    PATH=/none run -0 "$BIN" run ./word
    [ "$output" = here ]
    run -0 env -u PATH "$BIN" run expr 1 + 1
    [ "$output" = 2 ]
    run -127 env -u PATH "$BIN" run word
    # 見つかったのが実行できないものだけなら、そう言う
    cd "$BATS_TEST_TMPDIR"
    run -126 --separate-stderr env "PATH=$PWD/none:$PWD/plain:$PWD/directory" "$BIN" run word
    one_error_and_hints "$NAME: exec word: Permission denied"
    [[ ${stderr_lines[1]} == *"$PWD/plain/word"* ]]
}

# 要件なし: エラーを書くのは shared/ の仕事
# bats test_tags=to09
@test "a name's control characters do not reach the terminal; blanks and other letters do" {
    requires root
    local name=$'no such\e[31m\r\n\t\x7f\xc2\x9b31mコマンド'
    run -127 --separate-stderr "$BIN" run "$name"
    one_error_and_hints "$NAME: exec no such?[31m??????31mコマンド: No such file or directory"
    [[ ${stderr_lines[1]} == *' no such?[31m??????31mコマンド '* ]]
}

# strace が、exec の直前の子だけを殺す
# 要件: exec の前に子が殺されたら 125、あとなら 137
# 手で: strace -fqqo /dev/null -e inject=close_range:signal=KILL my/step01 run echo ran; echo $?  # 125
# 手で: my/step01 run sleep 100; echo $?  # 端末 2 のあとで 137
# 手で 2: pkill -KILL -fx 'sleep 100'
# 手引き: 失敗させる
# 項目: main child
# bats test_tags=to09
@test "a child that is killed before exec: 125, one English line and hints; after it, 137" {
    requires root strace
    run -125 --separate-stderr strace -f -qq -o /dev/null -e trace=close_range \
        -e inject=close_range:signal=KILL "$BIN" run echo ran
    [ "$output" = "" ]
    one_error_and_hints "$NAME: prepare echo: Killed"
    start_container sleep 100
    kill -KILL "$CONTAINER"
    local launcher_status=0
    wait "$LAUNCHER" || launcher_status=$?
    [ "$launcher_status" = 137 ]
}

# 要件: コマンド自身の 126 と 127 には、エラーの行が出ない
# 手で: my/step01 run sh -c 'exit 127'; echo $?  # 127 だけ
# 手引き: 失敗させる
# 項目: main
# bats test_tags=to09
@test "a command's own 126 and 127 come without an error line" {
    requires root
    run -127 --separate-stderr inside 'exit 127'
    [ "$stderr" = "" ]
    run -126 --separate-stderr inside 'exit 126'
    [ "$stderr" = "" ]
}

# 要件: exec に失敗した理由はパイプで届き、成功なら EOF になる
# 手で: strace -fqq -e trace=pipe2,read,write my/step01 run no-such-command  # 子の write と、親の read が同じ
# 手で: strace -fqq -e trace=pipe2,read,write my/step01 run true  # pipe2 に O_CLOEXEC、最後に、親の read が 0 (EOF)
# 手引き: システムコールを見る
# 項目: main child
# bats test_tags=to09
@test "the parent reads the reason of exec's failure from a CLOEXEC pipe, and end-of-file when exec worked" {
    requires root strace
    local trace=$BATS_TEST_TMPDIR/trace from to
    local strace=(strace -f -qq -o "$trace" -e trace=pipe2,read,write)

    run -127 "${strace[@]}" "$BIN" run no-such-command
    read -r from to < <(sed -nE 's/.*pipe2\(\[([0-9]+), ([0-9]+)\], O_CLOEXEC\).*/\1 \2/p' "$trace" | head -1)
    local launcher child
    launcher=$(sed -nE "s/^([0-9]+) +read\($from, .* = [1-9][0-9]*\$/\1/p" "$trace")
    child=$(sed -nE "s/^([0-9]+) +write\($to, .* = [1-9][0-9]*\$/\1/p" "$trace")
    [ -n "$launcher" ]
    [ -n "$child" ]
    [ "$launcher" != "$child" ]

    run -0 "${strace[@]}" "$BIN" run true
    read -r from to < <(sed -nE 's/.*pipe2\(\[([0-9]+), ([0-9]+)\], O_CLOEXEC\).*/\1 \2/p' "$trace" | head -1)
    grep -qE "read\($from, \"\", [0-9]+\) += 0" "$trace"
}

# --- fd とシグナル ---------------------------------------------------------------

# 要件: コマンドで開いているのは、fd 0、1、2 だけ
# 手で: my/step01 run ls -l /proc/self/fd  # 0、1、2 と、ls が開いた 3 だけ
# 手引き: prepare_exec(opt->command, pipes); を消すと、開いたファイルが漏れる
# 項目: child main
# bats test_tags=to09
@test "only the descriptors 0, 1 and 2 are open in the command" {
    requires root
    run -0 inside "$OPEN_FDS"
    [ "$output" = "0 1 2 " ]
}

# 要件: 開いたままのファイルが、コマンドに渡らない
# 手で: my/step01 run ls -l /proc/self/fd 5</etc/passwd  # 5 はない
# 手引き: prepare_exec(opt->command, pipes); を消すと、開いたファイルが漏れる
# 項目: child
# bats test_tags=to09
@test "files that the caller has open do not reach the command" {
    requires root
    local fds last=$(($(ulimit -n) > 300 ? 299 : 63))
    for fds in '3</' '3</ 4</ 5</etc/passwd 6>/dev/null 7</ 8</ 9</' "50</ $last</" "4</ 6</ 8</ $last</"; do
        run -0 bash -c 'exec 3>&- 4>&-; eval "exec $1"; shift; exec "$@"' bash \
            "$fds" "$BIN" run sh -c "$OPEN_FDS"
        [ "$output" = "0 1 2 " ]
    done
}

# 要件: 0、1、2 が閉じていても、コマンドでは 3 つとも開いている
# 手で: my/step01 run ls -l /proc/self/fd <&-  # 0 もある
# 手引き: 子が引き継ぐもの
# 項目: child
# bats test_tags=to09
@test "a caller with any of 0, 1, 2 closed: the command has all three, and no other" {
    requires root
    local closed
    # 3 つとも閉じていると何も書けないので、終了ステータスで答える
    local answer='i=0
        while [ $i -lt 20 ]; do
            ! [ -e /proc/$$/fd/$i ] || fds=$fds$i
            i=$((i + 1))
        done
        [ "$fds" = 012 ] && exit 7'
    for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
        run -7 bash -c 'eval "exec 3>&- 4>&- $1"; shift; exec "$@"' bash \
            "$closed" "$BIN" run sh -c "$answer"
        run -127 bash -c 'eval "exec 3>&- 4>&- $1"; shift; exec "$@"' bash \
            "$closed" "$BIN" run no-such-command
    done
}

# 要件: シグナルマスクと、無視の設定が、そのまま届く
# 手で: env --ignore-signal=INT grep SigIgn /proc/self/status
# 手で: env --ignore-signal=INT my/step01 run grep SigIgn /proc/self/status  # 上と同じ
# 手引き: 子が引き継ぐもの
# 項目: child
# bats test_tags=to09
@test "the caller's signal mask and ignored signals arrive unchanged" {
    requires root
    local setting
    local show=(grep -E '^(Sig|Shd)(Pnd|Blk|Ign):' /proc/self/status)
    for setting in --default-signal --block-signal=INT,TERM,HUP,QUIT,USR1,USR2,CHLD,PIPE,WINCH,CONT \
        --block-signal=RTMIN,ALRM,TSTP,TTOU --ignore-signal=INT,QUIT --ignore-signal=CHLD,PIPE,TERM,WINCH; do
        run -0 env "$setting" "${show[@]}"
        local direct=$output
        run -0 env "$setting" "$BIN" run "${show[@]}"
        [ -n "$output" ]
        [ "$output" = "$direct" ]
    done
}

# 要件: SIGCHLD を無視していても、終了ステータスが届く
# 手で: env --ignore-signal=CHLD my/step01 run sh -c 'exit 7'; echo $?  # 7
# 手引き: なぜ?
# 項目: main
# bats test_tags=to09
@test "a caller that ignores SIGCHLD still gets the command's own exit status" {
    requires root
    run -7 env --ignore-signal=CHLD "$BIN" run sh -c 'exit 7'
    run -127 env --ignore-signal=CHLD "$BIN" run no-such-command
    run -5 env --block-signal=CHLD "$BIN" run sh -c 'exit 5'
}

# 要件: ランチャーが死ねば、コマンドも終わる
# 手で: my/step01 run sleep 100
# 手で 2: pkill -KILL -f '^my/step01'; sleep 1; pgrep -a sleep  # sleep 100 がいない
# 手引き: die_with_parent(pipes); を消すと、ランチャーが死んでもコマンドが残る
# 項目: die_with_parent
# bats test_tags=to09
@test "the command dies with its launcher" {
    requires root
    start_container sleep 100
    kill -KILL "$LAUNCHER"
    promised 2 is_gone "$CONTAINER"
}
