# setup_suite.bash - スイート全体の準備。bats が、最初に 1 度だけ呼ぶ
#
# 一般ユーザー attendee を作り、その人の手元にも、いつもと同じ配置を置く。

# shellcheck source-path=SCRIPTDIR source=host/attendee.bash
. "$(dirname "${BASH_SOURCE[0]}")/host/attendee.bash"

setup_suite() {
    if [ -z "${IN_OWN_NAMESPACES:-}" ]; then
        echo "setup_suite: not in namespaces of its own" >&2
        echo "  ヒント: bats を直に動かさず、shared/scripts/test.sh 04 のようにします" >&2
        return 1
    fi
    # 誰でも通れる場所に、いつもと同じ配置 (プログラムの横に rootfs/fs) を 2 つ作る。
    # コピーを試すのは、マッピングした root には、人のホームディレクトリ (Debian 13 では
    # 0700) の中が見えないから。/mnt の下にワークショップがあることもある (WSL)
    local place=/mnt bin_dir home
    [[ $TOP != /mnt/* ]] || place=/media
    mkdir "$BATS_SUITE_TMPDIR/etc"
    mount -t tmpfs -o mode=755 tmpfs "$place"
    make_attendee "$BATS_SUITE_TMPDIR/etc" 4711 4712 "$place/attendee"
    bin_dir=$(dirname "$BIN")
    [ -e "$bin_dir/step01" ] || bin_dir=$TOP
    for home in root attendee; do
        mkdir -p "$place/$home/rootfs"
        # make check では、試すものしか要らない
        [ -n "${SHOWN:-}" ] || cp "$bin_dir"/step0? "$place/$home"
        cp "$BIN" "$place/$home"
        [ ! -d "$TOP/rootfs/fs" ] || cp -a "$TOP/rootfs/fs" "$place/$home/rootfs"
        chown -R "$home:" "$place/$home"
    done
    export USER_HOME=$place/attendee
    cp "$BIN" "$USER_HOME/step$STEP"
    BIN=$place/root/$(basename "$BIN")
}
