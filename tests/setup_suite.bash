# setup_suite.bash - スイート全体の準備。bats が、最初に 1 度だけ呼ぶ
#
# 一般ユーザー attendee を作り、その人の手元にも、いつもと同じ配置を置く。

# shellcheck source-path=SCRIPTDIR source=host/attendee.bash
. "$(dirname "${BASH_SOURCE[0]}")/host/attendee.bash"

setup_suite() {
    TOP=${TOP:-$(cd "$BATS_TEST_DIRNAME/.." && pwd)}
    [ "$(id -u)" = 0 ] || return 0
    if [ -z "${IN_OWN_NAMESPACES:-}" ]; then
        echo "setup_suite: not in namespaces of its own" >&2
        echo "  ヒント: bats を直に動かさず、shared/scripts/test.sh 04 のようにします" >&2
        return 1
    fi
    # 誰でも通れる場所に、いつもと同じ配置 (プログラムの横に rootfs/fs) を 2 つ作る。
    # コピーを試すのは、マッピングした root には、人のホームディレクトリ (Debian 13 では
    # 0700) の中が見えないから。/mnt の下にワークショップがあることもある (WSL)
    local place=/mnt dir=$BATS_SUITE_TMPDIR/etc
    [[ $TOP != /mnt/* ]] || place=/media
    mkdir -p "$dir"
    mount -t tmpfs -o mode=755 tmpfs "$place"
    export USER_HOME=$place/attendee
    make_attendee "$dir" 4711 4712 "$USER_HOME"
    copy_workshop "$place/workshop" root:root
    copy_workshop "$USER_HOME" attendee:attendee
    if [ -n "${BIN:-}" ]; then
        cp "$BIN" "$USER_HOME/step$STEP"
        cp "$BIN" "$place/workshop/$(basename "$BIN")"
        BIN=$place/workshop/$(basename "$BIN")
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
