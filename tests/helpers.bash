# helpers.bash - すべてのスイートが load する道具
#
# shared/scripts/test.sh が次の変数を渡す。
#   BIN   試すプログラム (絶対パス)。デフォルトは ./stepNN
#   STEP  その番号 (01 から 09)
#   TOP   リポジトリのトップ
# スイートは、使い捨てのホスト (tests/host/host.sh) の中で動く。

bats_require_minimum_version 1.8.0

# 約束の時間と、わざと遅らせる時間を何倍にするか。ソフトウェアで動く仮想マシン
# (VM=1) は、10 倍ほど遅い
SLOWNESS=${VM:+10}
SLOWNESS=${SLOWNESS:-1}
# 待つ時間を何倍にするか。待ちきるのは失敗するときだけなので、混んだ機械でも足りる長さに
# する。どのテストも失敗するはずのとき (test.sh --negative) は、1 倍で足りる
WAIT_FACTOR=${WAIT_FACTOR:-$((SLOWNESS > 5 ? SLOWNESS : 5))}
# 待つ時間の上限 [us]。make check では、ほかが失敗したあとは短くする (judge.bash)
WAIT_MOST=${WAIT_MOST:-600000000}

# 足りないものがあれば skip する。知らない語は失敗。REQUIRE_ALL=1 (CI) では、skip も
# 失敗にする。あると分かったものは、スイートの中で 1 度しか調べない
requires() {
    local word met found
    for word; do
        found=${BATS_SUITE_TMPDIR:-$BATS_TEST_TMPDIR}/found-$word
        [ ! -e "$found" ] || continue
        met=true
        case $word in
        root) [ "$EUID" = 0 ] || met=false ;;
        userns) unshare --user true 2>/dev/null || met=false ;;
        cgroup) grep -q '^[0-9]*:[^:]*\(cpu\|\):' /proc/self/cgroup || met=false ;;
        rootless) setpriv --reuid 4711 --regid 4711 --clear-groups \
            unshare --user true 2>/dev/null || met=false ;;
        cpus2) [ "$(nproc)" -ge 2 ] || met=false ;;
        japanese) compgen -G '/usr/share/locale*/ja/LC_MESSAGES/coreutils.mo' >/dev/null &&
            [ -e /usr/share/i18n/locales/ja_JP ] || met=false ;;
        net) unshare --net true 2>/dev/null || met=false ;;
        docker) command -v docker >/dev/null && command -v dockerd >/dev/null || met=false ;;
        containerd) command -v containerd >/dev/null && command -v ctr >/dev/null || met=false ;;
        sudo | strace | podman | mmdebstrap | debootstrap | gcc | nc | tmux | python3 | nft | newuidmap | script)
            command -v "$word" >/dev/null || met=false
            ;;
        *)
            echo "requires: unknown word: $word" >&2
            return 1
            ;;
        esac
        $met && : >"$found" && continue
        if [ -n "${REQUIRE_ALL:-}" ]; then
            echo "requires: $word is missing, and REQUIRE_ALL is set" >&2
            return 1
        fi
        skip "needs $word"
    done
}

# 試すプログラムの横にある、別のステップ: step 05。setup_suite.bash が、そこに置く
step() {
    echo "${BIN%/*}/step$1"
}

# コンテナ内で sh のスクリプトを動かす。run と組み合わせる: run -0 inside 'id -u'
inside() {
    "$BIN" run sh -c "$1"
}

# 秒数のあいだ、コマンドが成功するまで繰り返す: retry 2 test -e FILE
retry() {
    local wait=$(($1 * WAIT_FACTOR * 1000000))
    local end=$((${EPOCHREALTIME/./} + (wait < WAIT_MOST ? wait : WAIT_MOST)))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < end)) || return 1
        sleep 0.01
    done
}

# 秒数のあいだ、ランチャーが動いているかぎり、コマンドが成功するまで繰り返す
comes() {
    retry "$1" comes_or_ends "${@:2}" && "${@:2}"
}

comes_or_ends() {
    "$@" || is_gone "$LAUNCHER"
}

# 秒数が約束のとき: ランチャーが死んでから片付くまで。混んだ機械でも延ばさない
promised() {
    WAIT_FACTOR=$SLOWNESS retry "$@"
}

# 終わらないかもしれないコマンドを、秒数で止める: run -125 within 5 "$BIN" run true
within() {
    timeout --signal KILL $(($1 * WAIT_FACTOR)) "${@:2}"
}

# コンテナを背後で始め、そのコマンドが動き出すまで待つ。LAUNCHER にランチャーの
# PID を、CONTAINER にコンテナの PID 1 の (ホストから見た) PID を入れる
start_container() {
    # 背後のジョブは INT と QUIT を無視させられているので、元に戻す
    env --default-signal "$BIN" run "$@" </dev/null 3>&- 4>&- &
    LAUNCHER=$!
    comes 5 find_container
}

# exec が済んだかどうかは、プログラムが変わったことで分かる
find_container() {
    CONTAINER=$(cat "/proc/$LAUNCHER/task/$LAUNCHER/children" 2>/dev/null) &&
        CONTAINER=${CONTAINER% } && [ -n "$CONTAINER" ] &&
        [ "$(readlink "/proc/$CONTAINER/exe")" != "$(readlink "/proc/$LAUNCHER/exe")" ]
}

# start_container したものを終わらせる。何度呼んでも、途中で失敗していてもよい
stop_container() {
    [ -n "${LAUNCHER:-}" ] || return 0
    kill -TERM "$LAUNCHER" 2>/dev/null || true
    retry 2 is_gone "$LAUNCHER" || kill -KILL "$LAUNCHER" 2>/dev/null || true
    wait "$LAUNCHER" 2>/dev/null || true
    LAUNCHER=
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

# 一般ユーザー attendee として動かす。setup_suite.bash が、スイートの中だけで作る。
# そのユーザーの読める場所に、プログラムと rootfs のコピーがある
as_user() {
    setpriv --reuid attendee --regid attendee --init-groups env -i PATH="$PATH" \
        HOME="$USER_HOME" USER=attendee ${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} "$@"
}

# 同じユーザーから、本物の sudo を通して動かす
as_sudoer() {
    as_user sudo -n "$@"
}

# attendee から見たプログラム
user_bin() {
    echo "$USER_HOME/step$STEP"
}
