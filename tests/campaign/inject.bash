# inject.bash - 壊す試験 (faults.sh, death.sh, death.bats) の道具
#
# prepare_campaign のあと run_units が、単位ごとに専用の名前空間で「$0 --unit 引数」を
# 動かす。その中で prepare_inject DIR をすると、次の変数が使える。
#   WORK     作業用のディレクトリ。inject、rootfs のコピー (fs)、結果がある
#   LINKS    ホスト側 (その単位) の名前空間のリンク
#   PARENTS  cgroup の階層ごとの、container-steps ディレクトリの場所
# 何千回も動かすので、1 回ごとの検査ではプロセスを作らない (bash の機能だけ)。

# shellcheck source=../host/cgroups.bash
source "$TOP/tests/host/cgroups.bash"

refuse() {
    printf '%s: %s\n  ヒント: %s\n' "${0##*/}" "$1" "$2" >&2
    exit 1
}

# 動かせるかを確かめ、CAMPAIGN_DIR に材料を作る。引数はステップの番号
prepare_campaign() {
    local name=${0##*/} step tool
    [[ $(id -u) == 0 ]] ||
        refuse "must be root" "make test-${name%.sh} (sudo は make が付けます)"
    for tool in cc strace; do
        command -v "$tool" >/dev/null || refuse "$tool: command not found" "make setup-dev で入ります"
    done
    for step; do
        [[ -x ${BIN_DIR:-$TOP}/step$step ]] || refuse "step$step: not built" "make で作ります"
    done
    # マッピングした root (SUDO_UID の人) にも読める場所でなければならない。ホーム
    # ディレクトリは、Debian 13 では 0700
    CAMPAIGN_DIR=$(mktemp -d /tmp/campaign.XXXXXX)
    export CAMPAIGN_DIR
    trap 'rm -rf "$CAMPAIGN_DIR"' EXIT
    chmod 755 "$CAMPAIGN_DIR"
    build_inject "$CAMPAIGN_DIR"
    cp -a "$TOP/rootfs/fs" "$CAMPAIGN_DIR/fs"
    cp "$CAMPAIGN_DIR/inject" "$CAMPAIGN_DIR/fs/inject"
}

# stdin の 1 行を 1 つの単位として、使い捨てのホストで N 個ずつ並べて動かす。
# 出力は、単位ごとに続けて stdout と CAMPAIGN_DIR/table に出す。待つ時間 (veth の
# 片付け) が長いので、CPU の数より多く並べると速い
run_units() {
    # shellcheck disable=SC2016 # 展開するのは、内側の bash
    xargs -P "$1" -L 1 bash -c '
        output=$("$TOP/tests/host/host.sh" "$0" --unit "$@" </dev/null 2>&1) ||
            output+="${output:+$'\''\n'\''}$* the unit failed"
        printf "%s\n" "$output" | tee -a "$CAMPAIGN_DIR/table"' "$0"
}

# システムコールの名前の表は、その CPU のヘッダーから作る
build_inject() {
    local names
    names=$(echo '#include <sys/syscall.h>' | cc -E -dM - |
        sed -n 's/^#define __NR_\([a-z_0-9]*\) .*/X(\1)/p' | tr '\n' ' ')
    echo "#define CALL_NAMES(X) $names" >"$1/calls.h"
    cc -std=gnu11 -O2 -Wall -Wextra -static -include "$1/calls.h" \
        -o "$1/inject" "$TOP/tests/campaign/inject.c"
}

# コピーといっても、ファイルはハードリンクで足りる。違うのはディレクトリだけ
prepare_inject() {
    WORK=$1
    mkdir -p "$WORK"
    chmod 755 "$WORK"
    ln -f "$CAMPAIGN_DIR/inject" "$WORK/inject"
    cp -al "$CAMPAIGN_DIR/fs" "$WORK/fs"
    exec {NAP}<> <(:) # until_true が使う。コマンドに漏れてはならない fd でもある
    LINKS=$(readlink /proc/self/ns/* | xargs)
    # マッピングする id が変わると PR_SET_PDEATHSIG が消える。やさしくないほうで試す
    export SUDO_UID=4711 SUDO_GID=4712
    private_cgroups cpu memory pids
    PARENTS=("${POINTS[@]/%//container-steps}")
    # systemd のあるホストと同じ。unshare(1) は private にしてしまう
    mount --make-rshared /
}

# ステップ NN の、試すためのコマンドラインを COMMAND に入れる。最後の引数が pause なら、
# コマンドは終わらない
set_command() {
    local step=$1
    COMMAND=("${BIN_DIR:-$TOP}/step$step" run)
    if ((10#$step < 6)); then
        COMMAND+=("$WORK/inject")
    else
        COMMAND+=(--rootfs "$WORK/fs" /inject)
    fi
    COMMAND+=(probe "$LINKS" "${@:2}")
}

# COMMAND の呼ぶシステムコールを strace で調べ、WORK/list に書く。出力は EXPECTED に
# 入れる。子のほうが早いとランチャーは 1 度も待たずに終わるので、待つまで繰り返す
# shellcheck disable=SC2034 # EXPECTED と GROUPS_WANTED は、呼び出し元が使う
list_calls() {
    until traced_calls >"$WORK/list" && grep -q '^launcher rt_sigtimedwait ' "$WORK/list"; do
        continue
    done
    IFS= read -r -d '' EXPECTED <"$WORK/expected" || true
    if [[ $EXPECTED != *$'\nfds 0 1 2\n'* ]]; then
        echo "descriptors leak into the command: $EXPECTED"
        return 1
    fi
    # コマンドが入っているはずの cgroup の数。子は、1 つずつ自分で入る
    GROUPS_WANTED=$(grep -c '^child openat .*/container-steps/' "$WORK/list") || true
}

# 1 行に 1 つ、呼ばれた順に
#   役 (before, launcher, child) 名前 何回目 通し番号 対象 (パス、なければ引数)
# ASan は初めに /proc/self/maps を読む。アドレスが変わると行の長さも変わり、呼ぶ回数が
# まれに 1 つ違う。数えた番号で止めるので、inject と同じくアドレスを固定する
traced_calls() {
    setarch -R strace -f -y -s 256 -o "$WORK/strace" "${COMMAND[@]}" >"$WORK/expected" 2>&1
    awk '
        # 途中でほかのプロセスの行が挟まると、exec の成功は別の行に出る
        $2 == "<..." && $3 == "execve" && / = 0$/ { done[$1] = 1 }
        # カーネルがやり直すもの (rtnl を待つ write など) は、何回でも 1 つの呼び出し
        { name = $2 == "<..." ? $3 : $2; sub(/\(.*/, "", name); redo = 0 }
        again[$1] && $2 ~ /^[a-z]/ { redo = name == again[$1]; again[$1] = "" }
        / = \? ERESTARTNOINTR/ { again[$1] = name }
        redo { next }
        $2 ~ /^(\+\+\+|---|<\.\.\.)/ { next }
        launcher == "" { launcher = $1; role = "before"; next }
        done[$1] { next }
        # veth が消えるのを待つあいだ、同じ 3 つを繰り返す。回数はそのつど違う
        $1 == launcher && $2 ~ /^clock_nanosleep/ { done[$1] = 1; next }
        {
            call = rest = substr($0, index($0, $2))
            sub(/\(.*/, "", call)
            sub(/^[a-z_0-9]*\(/, "", rest)
            object = rest
            if (sub(/^[0-9]+</, "", object))
                sub(/>.*/, "", object)
            else if (match(rest, /"[^"]*"/))
                object = substr(rest, RSTART + 1, RLENGTH - 2)
            else
                sub(/[,) ].*/, "", object)
            # 同じ種類のソケットは見分けられないので、要求のほう
            if (call == "ioctl" && match(rest, /, [A-Z0-9_]+/))
                object = substr(rest, RSTART + 2, RLENGTH - 2)
            gsub(/[ \t]/, "", object)
            who = $1 == launcher ? role : "child"
            # opendir(3) と、それで開いた fd。ほかの fstat(2) と分ける
            if (rest ~ /O_NONBLOCK/ && match(rest, / = [0-9]+/)) {
                opened[who] = substr(rest, RSTART + 3, RLENGTH - 3)
                object = object ":O_NONBLOCK"
            } else if (match(rest, /^[0-9]+</) && substr(rest, 1, RLENGTH - 1) == opened[who]) {
                object = object ":O_NONBLOCK"
                if (call == "close") opened[who] = ""
            }
            print who, call, ++count[who, call], ++total[who], object == "" ? "-" : object
            if (who == "child" && call == "execve" && / = 0$/) done[$1] = 1
            if (who == "before" && call ~ /^(clone3?|v?fork)$/) role = "launcher"
        }' "$WORK/strace"
}

# 秒数のあいだ、コマンドが成功するまで繰り返す。sleep(1) のプロセスは作らない
until_true() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < end)) || return 1
        read -r -t 0.002 -u "$NAP" || true
    done
}

# inject の書いた結果 (NAME=VALUE の並び) を、呼び出し元の変数に入れる
take_result() {
    local pair
    for pair in $(<"$WORK/result"); do
        printf -v "${pair%%=*}" %s "${pair#*=}"
    done
}

# ホストの状態を STATE に入れる。cgroup は groups_of で別に見る
read_state() {
    local file text line
    STATE=
    for file in self/mountinfo net/route sys/kernel/hostname \
        sys/user/max_user_namespaces sys/kernel/core_pattern; do
        text=
        [[ ! -e /proc/$file ]] || IFS= read -r -d '' text <"/proc/$file" || true
        STATE+="$file: $text"$'\n'
    done
    while read -r line _; do
        STATE+="link $line"$'\n'
    done </proc/net/dev
    # アドレスだけ。木の形は、足して消すと元と違うことがある
    while read -r line text; do
        [[ $line != "|--" ]] || STATE+="address $text"$'\n'
    done </proc/net/fib_trie
    for file in "$WORK"/fs/* "$WORK"/fs/{dev,proc,sys}/*; do
        STATE+="$file"$'\n'
    done
}

# 2 つの文字列の違いを、1 行で
differences() {
    diff <(echo "$1") <(echo "$2") | head -6 | tr -s '\n ' ' ' || true
}

same_state() {
    read_state
    [[ $STATE == "$1" ]]
}

# container-steps が、まだどこかにあるか
has_groups() {
    local parent
    for parent in "${PARENTS[@]}"; do
        [[ ! -d $parent ]] || return 0
    done
    return 1
}
