# oci.bash - tests/oci.bats の道具: bundle を作り、ランタイムを動かし、cgroup を読む
#
# 次の変数が使える。
#   BOXES   テストごとのディレクトリ。bundle は $BOXES/NAME
#   HIERARCHIES  cgroup の階層のマウントポイント
#   GROUP  テストごとの cgroup の名前。コンテナ NAME のものは $GROUP-NAME
# shellcheck disable=SC2034 # スイートが使う

# マッピングした root からも届く所に置く
make_boxes() {
    GROUP=/oci-$RANDOM$RANDOM$RANDOM
    BOXES=${BIN%/*}/oci$GROUP
    STATES=$BOXES/state
    OTHERS=() MOUNTS='' HOOKS=''
    mapfile -t HIERARCHIES < <(findmnt -nro TARGET -t cgroup,cgroup2 | sort -u)
    mkdir -p "$BOXES"
    chmod 755 "$BOXES"
}

# 何度呼んでもよい。何も片付けないプログラムのあとでも、何も残さない
remove_boxes() {
    local pid point dir try
    for pid in "${OTHERS[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    for dir in "$STATES"/*/; do
        [ ! -d "$dir" ] || within 5 "$BIN" --root "$STATES" delete --force "$(basename "$dir")" 2>/dev/null || true
    done
    for dir in $(groups_left); do
        [ ! -e "$dir/freezer.state" ] || echo THAWED >"$dir/freezer.state"
        [ ! -e "$dir/cgroup.freeze" ] || echo 0 >"$dir/cgroup.freeze"
        while read -r pid; do
            ((pid == 0)) || kill -KILL "$pid" 2>/dev/null || true
        done < <(find "$dir" -name cgroup.procs -exec cat {} +)
        for ((try = 0; try < 200; try++)); do
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.01
        done
    done
    for point in $(grep -o " $BOXES/[^ ]*" /proc/self/mountinfo | tac); do
        umount --lazy "$point" 2>/dev/null || true
    done
    rm -rf --one-file-system "$BOXES"
}

# --- bundle --------------------------------------------------------------------

# bats は、テストの 1 行ずつに時間をかけ、$( ) のたびに fork する。だから、bundle から呼ぶものは、
# 答えを変数に入れる

# JSON の文字列の配列を STRINGS に: to_strings a b
to_strings() {
    local text
    (($#)) || { STRINGS='[]' && return; }
    # 引用符の中の " と \ と改行
    printf -v text '\x01%s\x01' "$@"
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\x01\x01'/'", "'}
    STRINGS="[${text//$'\x01'/'"'}]"
}

# 変数の並べた欄に、その名前のものがなければ足す: fill NAME FIELD...
fill() {
    local -n text=$1
    local field
    for field in "${@:2}"; do
        [[ $text == *"${field%%:*}:"* ]] || text+=${text:+, }$field
    done
}

# bundle を作る: bundle NAME COMMAND...
# 足すか、取り替える欄を書ける変数は、TOP_LEVEL PROCESS ROOT LINUX。
# MOUNTS は /proc、/dev、/dev/pts の次のもので、NAMESPACES は種類の名前で、"network=PATH" のような
# パスも書ける
bundle() {
    local name=$1 kind list='' top=${TOP_LEVEL-} process=${PROCESS-} root=${ROOT-} linux=${LINUX-}
    # 中身のファイルは書き換えないので、リンクでよい
    [ -e "$BOXES/$name/rootfs" ] || { mkdir -p "$BOXES/$name" && cp -al "${BIN%/*}/rootfs/fs" "$BOXES/$name/rootfs"; }
    for kind in ${NAMESPACES-pid mount uts ipc network cgroup}; do
        list+="${list:+, }{\"type\": \"${kind%%=*}\""
        [[ $kind != *=* ]] || list+=", \"path\": \"${kind#*=}\""
        list+='}'
    done
    to_strings "${@:2}"
    fill process "\"args\": $STRINGS" '"cwd": "/"' '"env": ["PATH=/bin"]' '"user": {"uid": 0, "gid": 0}'
    fill root '"path": "rootfs"'
    fill linux "\"namespaces\": [$list]" "\"cgroupsPath\": \"$GROUP-$name\""
    [ -z "$HOOKS" ] || fill top "\"hooks\": {$HOOKS}"
    fill top '"ociVersion": "1.0.2"' "\"process\": {$process}" "\"root\": {$root}" "\"linux\": {$linux}" \
        '"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}'"${MOUNTS:+, $MOUNTS}]"
    printf '{%s}\n' "$top" >"$BOXES/$name/config.json"
}

# 次に作る bundle に足す bind マウント: bind_mount SOURCE DESTINATION [OPTION...]
bind_mount() {
    to_strings "${@:3}"
    MOUNTS+="${MOUNTS:+, }{\"destination\": \"$2\", \"type\": \"bind\", \"source\": \"$1\", \"options\": $STRINGS}"
}

# 次に作る bundle に足すフック: hook NAME SCRIPT [FIELD]。ホストの sh か、コンテナの sh で動かす
hook() {
    to_strings sh -c "$2"
    HOOKS+="${HOOKS:+, }\"$1\": [{\"path\": \"/bin/sh\", \"args\": $STRINGS,
        \"env\": [\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"]${3:+, $3}}]"
}

# --- ランタイム ----------------------------------------------------------------

# make check が失敗したときに見せるのは、終わりに動かしたもの (judge.bash)
oci() {
    ! declare -F note_command >/dev/null || note_command "$BIN" "${@/#$BOXES//tmp}"
    within 5 "$BIN" --root "$STATES" "$@"
}

# 残るコンテナが run の出力をつかまないように、bundle の out と err に書かせ、
# ランタイムの言うことだけを、あとで出す: aside NAME COMMAND...
aside() {
    local status=0 dir=$BOXES/$1
    "${@:2}" </dev/null >"$dir/out" 2>"$dir/err" 3>&- 4>&- || status=$?
    cat "$dir/err"
    return "$status"
}

# create NAME [OPTION...]
create() {
    aside "$1" oci create --bundle "$BOXES/$1" "${@:2}" "$1"
}

# 動かし続ける: launch NAME [OPTION...]
launch() {
    aside "$1" oci run --detach --bundle "$BOXES/$1" "${@:2}" "$1"
}

# 前面で動かす: run_in NAME [OPTION...]
run_in() {
    oci run --bundle "$BOXES/$1" "${@:2}" "$1"
}

# bundle を作り、前面で動かす: once SCRIPT
once() {
    bundle box sh -c "$1"
    run_in box
}

# 動き続けるコンテナ box を始める
start_box() {
    bundle box sleep 1000
    launch box
    CONTAINER=$(pid_of box)
}

# state の欄: field NAME status
field() {
    oci state "$1" | sed -nE "s/^[[:space:]]*\"$2\":[[:space:]]*\"?([^\",]*)\"?,?\$/\1/p"
}

pid_of() {
    field "$1" pid
}

status_is() {
    [ "$(field "$1" status)" = "$2" ]
}

# --- 残ったもの ----------------------------------------------------------------

groups_left() {
    local point dir
    for point in "${HIERARCHIES[@]}"; do
        for dir in "$point$GROUP"-*; do
            [ ! -d "$dir" ] || echo "$dir"
        done
    done
}

# 名前空間の中へ入る途中のランタイム
no_runtimes() {
    [ -z "$(find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' \( -lname '/memfd:*' -o -lname "$BIN" \) -print 2>/dev/null)" ]
}

# コンテナ NAME の、状態も、cgroup も、プロセスも、マウントもない
nothing_left() {
    [ ! -e "$STATES/$1" ] && [ -z "$(groups_left)" ] && ! grep -qF "$BOXES/" /proc/self/mountinfo &&
        retry 2 no_runtimes
}

# --- cgroup --------------------------------------------------------------------

# CONTAINER のいる cgroup のファイル。版ごとの名前: limit_of memory V1 V2
limit_of() {
    if is_v2 "$1"; then
        cat "$(group_of "$1")/$3"
    else
        cat "$(group_of "$1")/$2"
    fi
}
