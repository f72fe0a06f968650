# setup_suite.bash - スイート全体の準備。bats が、最初と最後に 1 度ずつ呼ぶ
#
# 一般ユーザー attendee を作る。マウント名前空間の中で /etc のファイルに写しを重ね
# るので、ホストの /etc は変わらず、突然終わっても何も残らない。

setup_suite() {
    TOP=${TOP:-$(cd "$BATS_TEST_DIRNAME/.." && pwd)}
    [ "$(id -u)" = 0 ] || return 0
    local dir=$BATS_SUITE_TMPDIR/etc
    mkdir -p "$dir"

    cp /etc/passwd /etc/group /etc/shadow "$dir"
    echo 'attendee:x:4711:4712::/mnt/attendee:/bin/sh' >>"$dir/passwd"
    echo 'attendee:x:4712:' >>"$dir/group"
    echo 'helpers:x:4713:attendee' >>"$dir/group"
    echo 'attendee:*:19000:0:99999:7:::' >>"$dir/shadow"
    local file
    for file in passwd group shadow; do
        mount --bind "$dir/$file" "/etc/$file"
    done
    if [ -d /etc/sudoers.d ]; then
        mount -t tmpfs -o mode=750 tmpfs /etc/sudoers.d
        echo 'attendee ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/attendee
        chmod 440 /etc/sudoers.d/attendee
    fi

    # 誰でも通れる場所に、いつもと同じ配置 (プログラムの横に rootfs/fs) を 2 つ作る。
    # 写しを試すのは、対応づけた root には、人のホームディレクトリー (Debian 13 では
    # 0700) の中が見えないから
    mount -t tmpfs -o mode=755 tmpfs /mnt
    export USER_HOME=/mnt/attendee
    copy_workshop /mnt/workshop root:root
    copy_workshop "$USER_HOME" attendee:attendee
    if [ -n "${BIN:-}" ]; then
        cp "$BIN" "$USER_HOME/step$STEP"
        cp "$BIN" "/mnt/workshop/$(basename "$BIN")"
        BIN=/mnt/workshop/$(basename "$BIN")
    fi
}

copy_workshop() {
    local bin_dir
    bin_dir=$(dirname "${BIN:-$TOP/step01}")
    mkdir -p "$1/rootfs"
    cp "$bin_dir"/step0? "$1" 2>/dev/null || cp "$TOP"/step0? "$1"
    [ ! -d "$TOP/rootfs/fs" ] || cp -a "$TOP/rootfs/fs" "$1/rootfs/fs"
    chown -R "$2" "$1"
}

teardown_suite() {
    :
}
