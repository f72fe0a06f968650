# 受講者のいろいろな環境で、作って、試す。1 つのテストが 1 つの環境 (make nightly)
#
# どの環境でも、attendee が make し、sudo を通して試す。sudo は環境変数の多くを
# 捨てるので、初めから root の人としても試す
load helpers

setup() {
    requires root userns net sudo
    WORKSHOP=$USER_HOME/workshop
    SUITES='01 03 07'
    place "$WORKSHOP"
}

teardown() {
    mount --make-rprivate /
    for mounted in /usr/lib/locale "$WORKSHOP" /tmp; do
        [ -z "${MOUNTED:-}" ] || [ "$mounted" != "$MOUNTED" ] || umount --lazy "$mounted"
    done
    rm -rf "$WORKSHOP" ${LINK:+"$LINK"}
}

# 作る前のワークショップのコピーを置く: place DIR
place() {
    mkdir -p "$1"
    tar -C "$TOP" --exclude=./.git --exclude=./slides/tool/node_modules --exclude=./build \
        --exclude='./step0?' --exclude='./rootfs/fs*' -cf - . | tar -C "$1" -xf -
    chown -R attendee: "$USER_HOME"
}

# その人のシェルで打つ: attendee LINE [NAME=VALUE...]。LINE の前に、環境 (IN) を整える
attendee() {
    as_user TERM=xterm "${@:2}" sh -c "cd \"\$0\" && ${IN:-:} && $1" "$WORKSHOP"
}

root() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=xterm "${@:2}" \
        sh -c "cd \"\$0\" && ${IN:-:} && $1" "$WORKSHOP"
}

# 作り、試し、差分を見る: everything [NAME=VALUE...]
everything() {
    attendee 'make -j2 && make test01 && make diff02 | grep -q "^+.*clone"' "$@"
    root "make test-suites SUITES='$SUITES'" "$@"
}

@test "messages in Japanese" {
    requires japanese
    # C.UTF-8 のあるディレクトリに、1 つ足す
    cp -a /usr/lib/locale "$BATS_TEST_TMPDIR/locale"
    localedef -i ja_JP -f UTF-8 "$BATS_TEST_TMPDIR/locale/ja_JP.utf8"
    mount --bind "$BATS_TEST_TMPDIR/locale" /usr/lib/locale
    MOUNTED=/usr/lib/locale
    attendee 'ls /nowhere 2>&1' LANG=ja_JP.UTF-8 | grep そのような
    SUITES='03 signals rootfs tools' everything LANG=ja_JP.UTF-8 LANGUAGE=ja
}

@test "a locale that is not installed" {
    everything LC_ALL=xx_XX.UTF-8
}

@test "a path with blanks, a quote and Japanese" {
    mv "$WORKSHOP" "$USER_HOME/it's コンテナ  講習"
    WORKSHOP="$USER_HOME/it's コンテナ  講習"
    everything
    attendee 'cp step01 "my step" && make check01 BIN="my step"'
    run -2 attendee 'make vm </dev/null'
    [[ $output == *'vm.py: the path has a blank, a quote or a comma'*'  ヒント: '* ]]
}

@test "a path through a symbolic link" {
    LINK=$(mktemp -d /tmp/link.XXXXXX)
    chmod 755 "$LINK"
    ln -s "$WORKSHOP" "$LINK/workshop"
    WORKSHOP=$LINK/workshop
    everything
}

@test "/tmp is mounted noexec" {
    mount --bind /tmp /tmp
    mount -o remount,bind,noexec /tmp
    MOUNTED=/tmp
    everything
}

@test "umask 077" {
    IN='umask 077' everything
}

@test "at most 64 open files" {
    IN='ulimit -n 64' everything
}

@test "no standard input; signals that the shell ignores" {
    IN='exec <&-; trap "" HUP INT QUIT PIPE CHLD' everything
}

@test "a directory for temporary files that nobody else can read, with a blank" {
    mkdir -m 700 "$BATS_TEST_TMPDIR/of root"
    everything TMPDIR="$BATS_TEST_TMPDIR/of root"
}

@test "POSIXLY_CORRECT" {
    everything POSIXLY_CORRECT=1
}

@test "a shell that ends at once, no home directory, no terminal type" {
    everything SHELL=/bin/false HOME=/nonexistent TERM=
}

@test "a shell with settings of its own" {
    echo 'echo noise; set -o noclobber' >"$USER_HOME/settings"
    everything CDPATH=. BASH_ENV="$USER_HOME/settings" SHELLOPTS=noclobber NO_COLOR=1 \
        PS_FORMAT=pid TAR_OPTIONS=--verbose GREP_OPTIONS=-v
}

@test "sbin is not in PATH" {
    everything PATH=/usr/bin:/bin
}

@test "make's own flags: in parallel, keep going, silent" {
    everything MAKEFLAGS='-j4 -k -s'
}

@test "from a hook of git" {
    attendee 'git init --quiet ../other'
    SUITES='01 tools' everything GIT_DIR="$USER_HOME/other/.git" GIT_INDEX_FILE="$USER_HOME/other/.git/index"
}

@test "make once with sudo, then without" {
    attendee 'sudo -n make -j2 all solutions SAN=1 && sudo -n make -j2 all solutions'
    [ -z "$(find "$WORKSHOP" ! -user attendee)" ]
    attendee 'touch steps/02-*/main.c && make step02 && make clean'
}

@test "a workshop that nobody can write to, once it is built" {
    attendee 'make -j2 all solutions'
    mount --bind "$WORKSHOP" "$WORKSHOP"
    mount -o remount,bind,ro "$WORKSHOP"
    MOUNTED=$WORKSHOP
    attendee 'make && make test01 && make diff02 >/dev/null'
    run -2 attendee 'make -B step02'
    [[ $output == *'make: cannot write build/step02.o'*'  ヒント: '* ]]
}
