load helpers

setup() {
    requires root userns
    ROOTFS=$(realpath "$(dirname "$BIN")/rootfs/fs")
    NAME=${BIN##*/}
}

teardown() {
    stop_container
}

# 書き換えてよい rootfs のコピーを作り、そのパスを出す
copy_rootfs() {
    cp -a "$ROOTFS" "$BATS_TEST_TMPDIR/fs"
    echo "$BATS_TEST_TMPDIR/fs"
}

# 要件: ls / に見えるのは、ホストではなく rootfs の中身
# 手で: sudo my/step06 run ls /
# 手引き: 動かす
# 項目: change_root child
# bats test_tags=to09
@test "ls / inside lists the root file system, not the host" {
    run -0 inside 'ls -A /'
    [ "$(sort <<<"$output")" = "$(find "$ROOTFS" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)" ]
}

# 要件: 外から見ると、コンテナのルートは rootfs
# 手で: sudo my/step06 run sleep 100
# 手で 2: sudo readlink /proc/$(pgrep -fx 'sleep 100')/root  # …/rootfs/fs
# 手引き: 動かす
# 項目: change_root
@test "from outside, the container's root directory is the rootfs" {
    start_container sleep 100
    [ "$(readlink "/proc/$CONTAINER/root")" = "$ROOTFS" ]
    [ "$(readlink "/proc/$LAUNCHER/root")" = / ]
}

# 要件: コンテナに見えるマウントは、自分の /proc だけ
# 手で: sudo my/step06 run cat /proc/self/mounts  # /proc の 1 行
# 手引き: 動かす
# 項目: mount_proc change_root
@test "the only mount that the container sees is its own /proc" {
    run -0 inside 'cat /proc/self/mountinfo'
    [ "${#lines[@]}" = 1 ]
    [[ ${lines[0]} =~ ' / /proc rw,nosuid,nodev,noexec,relatime - proc ' ]]
    run -0 inside 'cat /proc/1/comm'
    [ "$output" = cat ] || [ "$output" = sh ]
}

# 要件: コンテナの / に作ったファイルは、rootfs の中だけにできる
# 手で: sudo my/step06 run touch /tmp/probe; ls rootfs/fs/tmp /tmp/probe; rm -f rootfs/fs/tmp/probe
# 手引き: 動かす
# 項目: change_root
# bats test_tags=to09
@test "a file made in / inside lies in the rootfs outside, and nowhere else" {
    fs=$(copy_rootfs)
    run -0 "$BIN" run --rootfs "$fs" sh -c 'echo inside >/made-by-the-test'
    [ "$(cat "$fs/made-by-the-test")" = inside ]
    [ ! -e /made-by-the-test ]
}

# 要件: --rootfs には、絶対パスも相対パスもリンクも使える
# 手で: sudo my/step06 run --rootfs rootfs/fs ls /
# 手引き: 動かす
# 項目: main change_root
# bats test_tags=to09
@test "--rootfs takes an absolute path, a relative path and a symbolic link to the directory" {
    fs=$(copy_rootfs)
    echo right >"$fs/which"
    ln -s fs "$BATS_TEST_TMPDIR/link"
    cd "$BATS_TEST_TMPDIR"
    for dir in "$fs" fs ./fs/ ../"${BATS_TEST_TMPDIR##*/}"/fs link; do
        run -0 "$BIN" run --rootfs "$dir" cat /which
        [ "$output" = right ]
    done
}

# 要件: どこから始めても、デフォルトはプログラムの横の rootfs/fs
# 手で: cd / && sudo "$OLDPWD"/my/step06 run ls /; cd "$OLDPWD"
# 手引き: 動かす
# 項目: main change_root
# bats test_tags=to09
@test "the default rootfs is the one beside the program, whatever the working directory" {
    home=$BATS_TEST_TMPDIR/home
    mkdir -p "$home/rootfs" "$home/elsewhere"
    cp "$BIN" "$home/program"
    cp -a "$ROOTFS" "$home/rootfs/fs"
    echo right >"$home/rootfs/fs/which"
    ln -s ../program "$home/elsewhere/link"
    cd "$home"
    run -0 ./program run cat /which
    [ "$output" = right ]
    cd elsewhere
    run -0 ../program run cat /which
    [ "$output" = right ]
    run -0 ./link run cat /which
    [ "$output" = right ]
    cd /
    PATH=$home:$PATH run -0 program run cat /which
    [ "$output" = right ]
}

# 要件: コマンドは、今いたディレクトリではなく / で始まる
# 手で: sudo my/step06 run pwd  # /
# 手引き: この 1 行を消すと
# 項目: change_root
# bats test_tags=to09
@test "the command starts in / of the rootfs, not in the caller's directory" {
    for dir in "$TOP" "$ROOTFS/bin" /; do
        cd "$dir"
        run -0 inside 'readlink /proc/self/cwd && [ . -ef / ] && ls -d demo'
        [ "$output" = $'/\ndemo' ]
    done
}

# 要件: コマンドは rootfs の中で探す。ホストのものは見つからない
# 手で: sudo my/step06 run gcc; echo $?  # 127
# 手引き: 環境変数
# 項目: change_root child
# bats test_tags=to09
@test "the command is looked up inside the rootfs: a program of the host's is not found" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho host\n' >"$BATS_TEST_TMPDIR/bin/only-on-the-host"
    chmod +x "$BATS_TEST_TMPDIR/bin/only-on-the-host"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run -127 "$BIN" run only-on-the-host
    [ "${lines[0]}" = "$NAME: exec only-on-the-host: No such file or directory" ]
}

# 呼び出し元の環境変数から、コンテナに入るもの
environment() {
    env -i PATH="$PATH" HOME="$HOME" SECRET=secret SUDO_USER=somebody LD_LIBRARY_PATH=/none "$@" |
        grep -v '^_=' | sort
}

# 要件: 環境変数は、コンテナだけのもの (PATH、HOME、HOSTNAME、TERM)
# 手で: sudo my/step06 run env
# 手引き: 環境変数
# 項目: child
# bats test_tags=to09
@test "the container has its own environment: PATH, HOME, HOSTNAME and the caller's TERM, nothing else" {
    local own=(HOME=/root HOSTNAME=container
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    run -0 environment "$BIN" run env
    [ "$output" = "$(printf '%s\n' "${own[@]}")" ]
    run -0 environment TERM=vt100 "$BIN" run env
    [ "$output" = "$(printf '%s\n' "${own[@]}" TERM=vt100)" ]
    # HOME は、このルートにある
    run -0 env HOME=/no/home "$BIN" run sh -c 'cd && pwd'
    [ "$output" = /root ]
}

# 要件: --env で、環境変数を足し、替えられる
# 手で: sudo my/step06 run --env GREETING=hello env
# 手引き: 環境変数
# 項目: child main
# bats test_tags=to09
@test "--env adds a variable, replaces one, takes the caller's value, and does so again and again" {
    local name
    run -0 environment ADDED=no TAKEN='a b' TERM=vt100 "$BIN" run --env ADDED='x y=z' --env EMPTY= \
        --env TAKEN --env HOME=/tmp --env=HOME=/mnt --env NOT_THERE -- env
    for name in 'ADDED=x y=z' EMPTY= 'TAKEN=a b' HOME=/mnt HOSTNAME=container TERM=vt100; do
        grep -qxF "$name" <<<"$output"
    done
    [ "${#lines[@]}" = 7 ]
    # 呼び出し元にもない名前なら、消える
    run -0 env -u HOME "$BIN" run --env HOME env
    [[ $output != *HOME=* ]]
}

# 要件: コマンドは、ホストではなくコンテナの PATH で探す
# 手で: sudo my/step06 run --env PATH=/nowhere ls; echo $?  # 127
# 手引き: 環境変数
# 項目: child
# bats test_tags=to09
@test "the command is looked up in the container's PATH, not in the caller's" {
    fs=$(copy_rootfs)
    mkdir "$fs/own"
    printf '#!/bin/sh\necho own\n' >"$fs/own/word"
    chmod +x "$fs/own/word"
    run -0 env PATH=/nowhere "$BIN" run --rootfs "$fs" sh -c 'ls -d demo'
    [ "$output" = demo ]
    run -127 env PATH="$PATH:/own" "$BIN" run --rootfs "$fs" word
    run -0 "$BIN" run --rootfs "$fs" --env PATH=/own:/bin word
    [ "$output" = own ]
    # 空の要素は、カレントディレクトリ。コンテナの / から始まる
    mv "$fs/own/word" "$fs/word"
    run -0 "$BIN" run --rootfs "$fs" --env PATH= word
    [ "$output" = own ]
}

# 要件: それでも /demo/unchroot は、rootfs の外に出られる
# 手で: sudo my/step06 run /demo/unchroot ls /  # ホストの / が見える
# 手引き: 動かす
# 項目: change_root
@test "/demo/unchroot ESCAPES: it reads a file outside the rootfs and lists the host's /" {
    echo secret >"$BATS_TEST_TMPDIR/marker"
    [[ $BATS_TEST_TMPDIR != "$ROOTFS"/* ]]
    run ! inside "cat $BATS_TEST_TMPDIR/marker"
    run -0 inside "/demo/unchroot cat $BATS_TEST_TMPDIR/marker"
    [ "$output" = secret ]
    run -0 inside '/demo/unchroot ls -A /'
    [ "$(sort <<<"$output")" = "$(find / -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)" ]
}

# 要件: rootfs にローダーのないプログラムは 127。ヒントがその名を示す
# 手で: cp /bin/true rootfs/fs/tmp/; sudo my/step06 run /tmp/true; echo $?; rm -f rootfs/fs/tmp/true  # 127
# 手引き: ローダーを忘れると
# 項目: child change_root
# bats test_tags=to09
@test "a program whose loader is not in the rootfs: No such file, and the hint names the loader" {
    fs=$(copy_rootfs)
    loader=$(ldd /bin/ls | grep -o '/[^ ]*/ld-[^ ]*')
    rm -f "$fs$loader"
    cp /bin/ls "$fs/dynamic"
    run -127 "$BIN" run --rootfs "$fs" /dynamic
    [ "${lines[0]}" = "$NAME: exec /dynamic: No such file or directory" ]
    [[ ${lines[1]} == "  ヒント: "*"$loader"* ]]
}

# 要件: proc がリンクの rootfs は断り、リンク先には何もマウントしない
# 手で: mkdir -p /tmp/bad && ln -sfn /tmp /tmp/bad/proc; sudo my/step06 run --rootfs /tmp/bad true; echo $?  # 125
# 手引き: 開いたファイルは、外のまま
# 項目: mount_proc
# bats test_tags=to09
@test "a rootfs whose proc is a symbolic link is refused, and nothing is mounted on its target" {
    fs=$(copy_rootfs)
    rmdir "$fs/proc"
    mkdir "$fs/target"
    ln -s target "$fs/proc"
    before=$(cat /proc/self/mountinfo)
    run -125 "$BIN" run --rootfs "$fs" touch /ran
    [[ ${lines[0]} =~ ^"$NAME: openat2 "/?"proc: Too many levels of symbolic links"$ ]]
    [[ ${lines[1]} == "  ヒント: "* ]]
    [ ! -e "$fs/ran" ]
    [ "$before" = "$(cat /proc/self/mountinfo)" ]
}

# 要件: ない rootfs なら 125。パスとヒントが出る
# 手で: sudo my/step06 run --rootfs /nowhere true; echo $?  # 125
# 手引き: うまくいかないとき
# 項目: change_root main
# bats test_tags=to09
@test "a rootfs that is not there: status 125, the path and a hint" {
    run -125 "$BIN" run --rootfs /no/such/rootfs true
    [[ ${lines[0]} =~ ^"$NAME: "(chroot|chdir)" /no/such/rootfs: No such file or directory"$ ]]
    [[ ${lines[1]} == "  ヒント: "* ]]
}

# 要件: ファイルを rootfs にすると 125。パスと理由が出る
# 手で: sudo my/step06 run --rootfs /etc/passwd true; echo $?  # 125
# 手引き: うまくいかないとき
# 項目: change_root main
# bats test_tags=to09
@test "a rootfs that is a file: status 125, the path and why" {
    touch "$BATS_TEST_TMPDIR/file"
    run -125 "$BIN" run --rootfs "$BATS_TEST_TMPDIR/file" true
    [[ ${lines[0]} =~ ^"$NAME: "[a-z]+" $BATS_TEST_TMPDIR/file: Not a directory"$ ]]
}
