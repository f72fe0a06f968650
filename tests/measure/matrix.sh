#!/usr/bin/env bash
# 9 つのステップが何を分けるかを、動かして表にする。どの値も、中で調べるか、外から
# 見たもの。使い捨てのホストの中で動かすので、ホストは変わらない
#   matrix.sh           表を端末に出す
#   matrix.sh --update  README とスライドにある表を書き直す
#   matrix.sh --check   README とスライドにある表が、今の結果と違えば失敗する
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
DOCUMENTS=(README.ja.md slides/00.md)

# 行の名前。初めの 10 行は中で調べるもの、残りは外から見るもの
TITLES=(
    'uid' 'ホスト名' 'シェルの PID' '見えるプロセス' 'ネットワーク'
    '共有メモリーの数' '見えるマウントの数' '/ の場所' 'ホストの / に届くか' 'cgroup のパス'
    '自分だけの cgroup' 'ホストから見た uid' 'ケーパビリティ'
    'CPU の上限' 'メモリーの上限' 'プロセス数の上限'
)

fail() {
    echo "matrix: $1" >&2
    echo "  ヒント: $2" >&2
    exit "${3:-1}"
}

# --- 使い捨てのホストの中 ------------------------------------------------------
# プロセスのいる cgroup。v1 では pids の行、v2 では 1 つしかない行にある
FIND_CGROUP='s/^[0-9]*:\(.*,\)*\(pids\)*\(,.*\)*://p'

# コンテナ内で動くので、busybox の sh とコマンドだけで書く。$1 はホストの / の番号
# shellcheck disable=SC2016 # 展開するのは、内側の sh
PROBE='
yes_if() { "$@" && echo はい || echo いいえ; }
host=$1 find_cgroup=$2
id -u
uname -n
echo $$
set -- /proc/[0-9]*
echo $#
echo $(ip -o link | awk "{ sub(/[:@].*/, \"\", \$2)
    print \$2 (/[<,]UP[,>]/ ? \"\" : \" (DOWN)\") }" | sort)
echo $(($(wc -l </proc/sysvipc/shm) - 1))
wc -l </proc/self/mountinfo
here=$(stat -c %d:%i /)
[ "$here" = "$host" ] && echo ホスト || echo rootfs
[ "$here" = "$host" ] || here=$(/demo/unchroot stat -c %d:%i / 2>&1)
yes_if [ "$here" = "$host" ]
sed -n "$find_cgroup" /proc/self/cgroup | head -n 1
echo end
read -r go
'

cgroup_of() {
    sed -n "$FIND_CGROUP" "/proc/$1/cgroup" | head -n 1
}

# 標準入力の 1 行を、上限として読む。一番上の cgroup にはファイルがない (v2)。-1 や
# max や大きな数も、上限がないこと。割るものがなければ、2 つ目の語 (周期) で割る
limit() {
    awk -v unit="$1" -v suffix="${2-}" 'END {
        limited = $1 + 0 > 0 && $1 + 0 < 2 ^ 60
        print limited ? $1 / (unit ? unit : $2) suffix : "なし" }'
}

# 動いているあいだに、外から見る。CONTAINER は、ホストから見た PID
look_from_outside() {
    local cpu memory pids uid capabilities
    cpu=$(group_of cpu) memory=$(group_of memory) pids=$(group_of pids)
    [[ $(cgroup_of "$CONTAINER") == "$(cgroup_of self)" ]] && echo なし || echo あり
    read -r uid capabilities < <(awk '/^(Uid|CapEff):/ { printf "%s ", $2 } END { print "" }' \
        "/proc/$CONTAINER/status")
    echo "$uid"
    capsh --decode="$capabilities" | awk -F cap_ '{ print NF - 1 }'
    # ファイルの名前は、v1 と v2 で違う
    limit 0 < <(cat "$cpu/cpu.max" 2>/dev/null ||
        paste -d ' ' "$cpu"/cpu.cfs_{quota,period}_us 2>/dev/null)
    limit $((1 << 20)) M < <(cat "$memory"/memory.{max,limit_in_bytes} 2>/dev/null)
    limit 1 < <(cat "$pids/pids.max" 2>/dev/null)
}

# 1 つの列。動かすものを渡さなければ、ホストそのものを調べる: probe [./step05 run]
probe() {
    local values launcher in outside i
    coproc TARGET { exec "$@" sh -c "$PROBE" probe "$HOST_ROOT" "$FIND_CGROUP"; }
    launcher=$TARGET_PID in=${TARGET[1]}
    mapfile -t -n 11 -u "${TARGET[0]}" values
    if [[ ${values[*]: -1} != end ]]; then
        wait "$launcher" || true
        return 1
    fi
    CONTAINER=$launcher
    (($# == 0)) || CONTAINER=$(tr -d ' ' <"/proc/$launcher/task/$launcher/children")
    # 外からも同じに見えるなら、そう書く。番号や数は、動かすたびに違う
    set -- /proc/[0-9]*
    outside=([2]=$CONTAINER [3]=$# [9]=$(cgroup_of "$CONTAINER"))
    for i in "${!outside[@]}"; do
        [[ ${values[i]} != "${outside[i]}" ]] || values[i]=外と同じ
    done
    printf '%s\n' "${values[@]:0:10}"
    look_from_outside
    echo go >&"$in"
    wait "$launcher"
}

# 列ごとのファイルを $1 に作る
inside() {
    local step
    # shellcheck source-path=SCRIPTDIR source=../host/cgroups.bash
    . tests/host/cgroups.bash
    # ホームディレクトリの中は、コンテナの root になった人に見えないことがある。誰でも
    # 通れる場所から動かす
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /mnt/workshop
    mount --bind . /mnt/workshop
    cd /mnt/workshop
    HOST_ROOT=$(stat -c %d:%i /)
    ipcmk --shmem 4096 >/dev/null
    { echo ホスト && probe; } >"$1/00"
    for step in 01 02 03 04 05 06 07 08 09; do
        { echo "$step" && probe "./step$step" run; } >"$1/$step" ||
            fail "step $step did not run" '上のメッセージを見てください'
    done
}

# --- 表にする ------------------------------------------------------------------
# 左と同じ値は 〃 にし、変わった値は太くする
print_table() {
    printf '%s\n' 調べるもの "${TITLES[@]}" | paste -d '|' - "$1"/?? | awk -F '|' '
        NR == 2 { gsub(/[^|]+/, "---", rule); print rule }
        {
            line = "| " $1 " | " $2 " |"
            for (i = 3; i <= NF; i++)
                line = line " " ($i == $(i - 1) ? "〃" : NR == 1 ? $i : "**" $i "**") " |"
            print line
            rule = line
        }'
}

# スライドには、後ろの席から読める数だけ
ON_SLIDE='調べるもの|uid|ホスト名|シェルの PID|ネットワーク|/ の場所|ホストの / に届くか|ケーパビリティ|CPU の上限'

# 文書の表を、今の表に替える。表は 1 行目で見分け、なければ終わりに足す
with_table() {
    local table=$table
    [[ $1 != slides/* ]] || table=$(grep -E "^\|( ($ON_SLIDE) |---)" <<<"$table")
    awk -v table="$table" '
        /^\| 調べるもの / { print table; skip = found = 1 }
        !/^\|/ { skip = 0 }
        !skip
        END { if (!found) print table }' "$1"
}

# マシンやカーネルによって違う数
without_numbers() {
    sed -E '/^\| (見えるマウントの数|ケーパビリティ) /s/[0-9]{2,}/N/g'
}

case ${1-} in
inside)
    inside "$2"
    exit
    ;;
'' | --check | --update) ;;
*) fail "unknown argument: $1" 'matrix.sh [--check|--update]' 2 ;;
esac
[[ $(id -u) == 0 ]] || fail 'must be root' 'make matrix (sudo は make が付けます)'
columns=$(mktemp -d)
trap 'rm -rf "$columns"' EXIT
# 文書の表は、いつも uid 1000 の人が sudo で動かしたことにする
[[ -n ${SUDO_UID-} && -z ${1-} ]] || export SUDO_UID=1000 SUDO_GID=1000
tests/host/host.sh --eth0 -- tests/measure/matrix.sh inside "$columns"
table=$(print_table "$columns")
if [[ -z ${1-} ]]; then
    grep -v '^|---' <<<"$table" | sed 's/\*//g; s/^| //; s/ |$//; s/ | /|/g' |
        column -t -s '|'
    echo '〃 は、左の列と同じ'
    exit
fi
stale=''
for document in "${DOCUMENTS[@]}"; do
    with_table "$document" >"$columns/new"
    if [[ $1 == --update ]]; then
        cat "$columns/new" >"$document"
    else
        diff -U 0 --label "$document" --label now <(without_numbers <"$document") \
            <(without_numbers <"$columns/new") || stale=1
    fi
done
[[ -z $stale ]] || fail 'the table is out of date' \
    '+ の行が今の値です。プログラムが正しければ sudo tests/measure/matrix.sh --update'
