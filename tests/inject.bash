# inject.bash - 壊す試験 (faults.sh, death.bats, death-slow.bats) の道具
#
# prepare_inject DIR のあと、次の変数が使える。
#   WORK     作業ディレクトリー。inject、rootfs の写し (fs)、結果がある
#   LINKS    ホスト側 (このスイート) の名前空間のリンク
#   PARENTS  cgroup の階層ごとの、container-steps ディレクトリーの場所
# 何千回も動かすので、1 回ごとの検査ではプロセスを作らない (bash の機能だけ)。

# システムコールの名前の表は、その CPU のヘッダーから作る
build_inject() {
    local names
    names=$(echo '#include <sys/syscall.h>' | cc -E -dM - |
        sed -n 's/^#define __NR_\([a-z_0-9]*\) .*/X(\1)/p' | tr '\n' ' ')
    echo "#define CALL_NAMES(X) $names" >"$1/calls.h"
    cc -std=gnu11 -O2 -Wall -Wextra -static -include "$1/calls.h" \
        -o "$1/inject" "$TOP/tests/inject.c"
}

# rootfs の写しに、コマンドの代わりの inject も入れる。SUDO_UID の人にも読める場所
# に置くこと
prepare_inject() {
    WORK=$1
    chmod 755 "$WORK"
    [ -x "$WORK/inject" ] || build_inject "$WORK"
    if [ ! -d "$WORK/fs" ]; then
        cp -a "$TOP/rootfs/fs" "$WORK/fs"
        cp "$WORK/inject" "$WORK/fs/inject"
    fi
    LINKS=$(readlink /proc/self/ns/* | xargs)
    isolate_cgroups
}

# cgroup はホストに 1 つしかない。自分用の cgroup を階層の一番上に重ね、ほかのスイ
# ートと混ざらないようにする。コントローラーを配っていない v2 は、そのまま使う
isolate_cgroups() {
    CAMPAIGN=campaign-$$-$RANDOM$RANDOM PARENTS=() PRIVATE=()
    local dir type shared
    while read -r _ dir type _; do
        [[ $type == cgroup* ]] || continue
        PARENTS+=("$dir/container-steps")
        if [[ $type == cgroup2 ]]; then
            shared=" $(cat "$dir/cgroup.subtree_control") "
            [[ $shared == *" cpu "* && $shared == *" memory "* && $shared == *" pids "* ]] || continue
        elif [[ ! $dir =~ /(cpu|cpu,cpuacct|memory|pids)$ ]]; then
            continue
        fi
        mkdir "$dir/$CAMPAIGN" && PRIVATE+=("$dir")
    done </proc/self/mounts
    # ほかのスイートの使う階層は、見ても分からない
    ((${#PRIVATE[@]} == 0)) || PARENTS=("${PRIVATE[@]/%//container-steps}")
    for dir in "${PRIVATE[@]}"; do
        mount --bind "$dir/$CAMPAIGN" "$dir"
    done
}

# 何度呼んでもよい
release_cgroups() {
    local dir
    for dir in "${PRIVATE[@]}"; do
        umount --lazy "$dir" && rmdir "$dir/$CAMPAIGN"
    done
    PRIVATE=()
}

# ステップ NN の、試すためのコマンド行を COMMAND に入れる。最後の引数が pause なら、
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

# COMMAND の呼ぶシステムコールを、strace で調べる。1 行に 1 つ、呼ばれた順に
#   役 (before, launcher, child) 名前 何回目 通し番号 対象 (パス、なければ引数)
list_calls() {
    strace -f -y -s 256 -o "$WORK/strace" "${COMMAND[@]}" >"$WORK/expected" 2>&1
    awk '
        # 途中でほかのプロセスの行が挟まると、exec の成功は別の行に出る
        $2 == "<..." && $3 == "execve" && / = 0$/ { done[$1] = 1 }
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
            gsub(/[ \t]/, "", object)
            if (rest ~ /O_NONBLOCK/) object = object ":O_NONBLOCK" # opendir(3)
            who = $1 == launcher ? role : "child"
            print who, call, ++count[who, call], ++total[who], object == "" ? "-" : object
            if (who == "child" && call == "execve" && / = 0$/) done[$1] = 1
            if (who == "before" && call ~ /^(clone3?|v?fork)$/) role = "launcher"
        }' "$WORK/strace"
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

no_groups() {
    ! has_groups
}

# --- 殺す (death.bats, death-slow.bats) ----------------------------------------

# ステップの呼び出しを調べ、元の状態を覚える。NAMES に「役 通し番号」を入れる
prepare_deaths() {
    read_state
    BEFORE=$STATE
    set_command "$1"
    list_calls >"$WORK/list"
    IFS= read -r -d '' EXPECTED <"$WORK/expected" || true
    SHORT=("${COMMAND[@]}")
    set_command "$1" pause
    PAUSED=("${COMMAND[@]}")
    STEP=$1 PROBLEMS=() TRIES=0
    # ここから先は、コマンドが終わるまで届かない
    WAITS=$(awk '$1 == "launcher" && $2 == "rt_sigtimedwait" { print $4; exit }' "$WORK/list")
}

# 役の、殺す場所 (通し番号)。some なら、同じ名前のものは最初の 2 つと最後だけ
points() {
    awk -v role="$1" -v some="$2" '
        $1 == role { name[$4] = $2; n = $4; first[$2] += 0; last[$2] = $4 }
        END {
            print 0
            for (i = 1; i <= n; i++)
                if (name[i] != "" && (some != "some" || ++first[name[i]] <= 2 || last[name[i]] == i))
                    print i
        }' "$WORK/list"
}

# 1 回殺し、そのあとを調べる。WANTED は許す終了ステータスの並び
#   kill_at ROLE N WHEN SIGNAL WHO WANTED
kill_at() {
    local status=-1 fired=0 executed=0 groups=0 hung=0 left=0 line out where="$*" problem=
    local when=$3
    COMMAND=("${PAUSED[@]}")
    [[ $1 != launcher ]] || (($2 <= WAITS)) || COMMAND=("${SHORT[@]}")
    # 待っているところからは、戻らない
    [[ $1 != launcher || $2 != "$WAITS" ]] || when=entry
    "$WORK/inject" -o "$WORK/result" -r "$1,any,$2,$when,kill=$4@$5" -- \
        "${COMMAND[@]}" >"$WORK/out" 2>"$WORK/err" </dev/null
    read -r line <"$WORK/result"
    # shellcheck disable=SC2086,SC2229 # NAME=VALUE を並べたもの
    local $line
    # 後始末で待つ回数は、そのつど違う
    [[ $fired == 1 || ${COMMAND[*]} == "${SHORT[*]}" ]] || problem+=" not-fired"
    [[ $fired == 1 ]] || set -- "${@:1:5}" "$6 0"
    # ランチャーが先に死んだなら、コマンドは動かない
    [[ $1 == launcher || $4 != KILL || $executed == 0 || ! -s $WORK/out ]] || problem+=" command-ran"
    check_death "$6"
}

# 結果の変数 (status, hung, ...) と WORK/out を調べる
check_death() {
    local out="" _
    TRIES=$((TRIES + 1))
    IFS= read -r -d '' out <"$WORK/out" || true
    [[ " $1 " == *" $status "* ]] || problem+=" status=$status"
    [[ $hung == 0 ]] || problem+=" hangs"
    [[ $left == 0 ]] || problem+=" processes-left=$left"
    [[ -z $out || $out == "$EXPECTED" ]] || problem+=" half-isolated"
    retry 2 same_state "$BEFORE" ||
        problem+=" host-changed: $(diff <(echo "$BEFORE") <(echo "$STATE") | head -5 | tr -s '\n ' ' ')"
    # cgroup は、遅くとも次に動かしたときには消える
    if has_groups; then
        "${SHORT[@]}" >/dev/null 2>&1 || problem+=" next-run-fails"
        no_groups || problem+=" cgroups-left"
        retry 2 same_state "$BEFORE" || problem+=" host-changed-by-next-run"
    fi
    [[ -z $problem ]] || PROBLEMS+=("step$STEP $where:$problem $(head -1 "$WORK/err")")
}

# 見つけたことを出す。何もしていないなら、それも失敗
report_deaths() {
    echo "$TRIES tries, ${#PROBLEMS[@]} problems"
    ((${#PROBLEMS[@]} == 0)) || printf '%s\n' "${PROBLEMS[@]:0:30}"
    ((TRIES > 0 && ${#PROBLEMS[@]} == 0))
}

# 役ごとに、すべて (all) か一部 (some) の場所で殺す
#   sweep SIGNAL WHO WANTED all|some WHEN ROLE...
sweep() {
    local signal=$1 who=$2 wanted=$3 how=$4 when=$5 role n allowed
    shift 5
    for role; do
        while read -r n; do
            allowed=$wanted
            # コマンドが終わってからの TERM は、間に合わなくてもよい
            [[ $role != launcher || $signal == KILL ]] || ((n <= WAITS)) || allowed+=" 0"
            [[ $who != child || $role != launcher ]] || ((n <= WAITS)) || continue
            kill_at "$role" "$n" "$when" "$signal" "$who" "$allowed"
        done < <(points "$role" "$how")
    done
}

# ptrace なしで、始めてから FROM から TO マイクロ秒まで、STEP_US おきに殺す
#   sweep_time SIGNAL WANTED FROM TO STEP_US
sweep_time() {
    local status hung left line us where problem
    # shellcheck disable=SC2034
    local launcher fired executed groups
    for ((us = $3; us <= $4; us += $5)); do
        status=-1 hung=0 left=0 where="$1 after $us us" problem=
        "$WORK/inject" -o "$WORK/result" -t "$us,$1" -- "${PAUSED[@]}" \
            >"$WORK/out" 2>"$WORK/err" </dev/null
        read -r line <"$WORK/result"
        # shellcheck disable=SC2086,SC2229
        local $line
        check_death "$2"
    done
}
