# cgroups.bash - cgroup を調べ、ほかのスイートと混ざらないようにする道具
#
# private_cgroups のあと、次の変数が使える。
#   PRIVATE  重ねた cgroup の名前
#   POINTS   重ねた場所 (階層のマウントポイント)

POINTS=()
PRIVATE=none

# そのコントローラーの階層の一番上。v1 になければ、v2 の木: top_of cpu
top_of() {
    findmnt -fnro TARGET -t cgroup -O "$1" || findmnt -fnro TARGET -t cgroup2
}

is_v2() {
    ! findmnt -f -t cgroup -O "$1" >/dev/null
}

# コンテナがいる cgroup のディレクトリ: group_of cpu
group_of() {
    local line
    line=$(grep -E "^[0-9]+:(.*,)?$1(,.*)?:" "/proc/$CONTAINER/cgroup") ||
        line=$(grep '^0::' "/proc/$CONTAINER/cgroup")
    line=${line#*:*:}
    echo "$(top_of "$1")${line#"/$PRIVATE"}"
}

# 空の cgroup を作る。v1 の cpuset は、CPU とメモリーを決めるまで使えない
make_group() {
    local file
    mkdir "$1/$2"
    for file in cpuset.mems cpuset.cpus; do
        [ -e "$1/cgroup.controllers" ] || [ ! -e "$1/$file" ] || cat "$1/$file" >"$1/$2/$file"
    done
}

# 各階層の一番上に、空の cgroup を重ねる。ほかのスイートのコンテナと混ざらないので、
# 何が残ったかを正確に数えられ、他人のディレクトリの役も置ける。引数は
# コントローラー。省くと、教材の使う 4 つ
private_cgroups() {
    local point name
    (($#)) || set -- cpu memory pids cpuset
    PRIVATE=bats-$BASHPID-$RANDOM$RANDOM
    for point in $(for name; do top_of "$name"; done | sort -u); do
        make_group "$point" "$PRIVATE"
        POINTS+=("$point")
        for name; do
            ! grep -qsw "$name" "$point/cgroup.controllers" ||
                echo "+$name" >"$point/cgroup.subtree_control"
        done
        mount --bind "$point/$PRIVATE" "$point"
    done
}

# 重ねた cgroup の中にある、container-steps とコンテナのディレクトリ
private_dirs() {
    find "${POINTS[@]}" -mindepth 1 -type d
}

no_private_dirs() {
    [ -z "$(private_dirs)" ]
}

# 何度呼んでもよい。途中で失敗していても、重ねたものをすべて外す。殺したランチャーの
# cgroup は、プロセスが消えるまで、まだ中にあることもある
remove_private_cgroups() {
    local point try=0
    mount --make-rprivate / # 重ねた下のものまで外れないように
    for point in "${POINTS[@]}"; do
        until [ -d "$point/$PRIVATE" ]; do umount --lazy "$point"; done
        until find "$point/$PRIVATE" -depth -type d -exec rmdir {} + 2>/dev/null; do
            ((++try < 500)) || return 1
            sleep 0.01
        done
    done
    POINTS=()
}

# コントローラーを 1 つ隠して、コマンドを動かす。private_cgroups のあとで使う。v1 は
# 階層を外し、v2 は、持っているコントローラーの一覧に、その名前のないコピーを重ねる:
# without cpu COMMAND...
without() {
    local name=$1 script
    shift
    if is_v2 "$name"; then
        # shellcheck disable=SC2016 # $ を展開するのは、内側の sh
        script='sed "s/\<$1\>//" "$2/cgroup.controllers" >"$3" &&
            mount --bind "$3" "$2/cgroup.controllers"'
    else
        # 重ねた cgroup の下の、本物のほうも外す
        # shellcheck disable=SC2016
        script='umount "$2" && umount "$2"'
    fi
    unshare --mount sh -c "set -- \"\$@\"; { $script; } && shift 3 && exec \"\$@\"" sh \
        "$name" "$(top_of "$name")" "$BATS_TEST_TMPDIR/controllers" "$@"
}

# 親の死を知らせるシグナルを断つコンテナを始め、ランチャーを突然終わらせる。プログラムは
# rootfs の /tmp に作るので、remove_orphan で消す
start_orphan() {
    cc -static -x c -o "${BIN%/*}/rootfs/fs/tmp/orphan" - <<'END'
#include <sys/prctl.h>
#include <unistd.h>
int main(void)
{
    return prctl(PR_SET_PDEATHSIG, 0) == 0 ? pause() : 1;
}
END
    start_container "$@" /tmp/orphan
    retry 5 grep -q '^State:.S' "/proc/$CONTAINER/status"
    kill -KILL "$LAUNCHER"
    wait "$LAUNCHER" || LAUNCHER=
    kill -0 "$CONTAINER"
}

remove_orphan() {
    local pid
    for pid in $(pgrep -fx /tmp/orphan || true); do
        kill -KILL "$pid"
    done
    rm -f "${BIN%/*}/rootfs/fs/tmp/orphan"
}
