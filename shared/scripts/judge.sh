#!/usr/bin/env bash
# 要件を調べる。root で動き、プログラムは使い捨てのホストの中でだけ動かす (learn.bash が使う)。
# 標準入力の 1 行が 1 つの依頼: ステップ、プログラムのパス、その見せ方。調べているあいだに
# 次の行が来るか、標準入力が閉じると、途中でやめる。
# 答えは標準出力に、すべてタブ区切りで:
#   result 番号 ok|ng|hang|late|skip 時間[ms] 要件 項目 手引きの節
#   detail 名前 値     初めの失敗の、くわしい様子
#   error 文           調べられなかった
#   end                1 つの依頼の終わり
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export TOP
cd "$TOP"
# sudo で始めても、スイートの中の root は「sudo を使わない root」とする
unset SUDO_UID SUDO_GID SUDO_USER SUDO_COMMAND MAKEFLAGS MFLAGS MAKELEVEL TMPDIR

GROUP=check-$$-$RANDOM$RANDOM
MOST_PROCESSES=1000 # プロセスを増やし続けるプログラムが、本物のホストを埋めないように
WORK=
export WORK

# 終わったばかりのプロセスが、まだいることがある。SIGKILL で終わった judge.sh のものも消す
remove_groups() {
    local point try
    while read -r point; do
        find "$point" -depth -path "$point/check-*" -mmin +5 -type d -exec rmdir {} + 2>/dev/null || true
        for ((try = 0; try < 200; try++)); do
            [[ -d $point/$GROUP ]] || break
            find "$point/$GROUP" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.01
        done
    done < <(findmnt -rno TARGET -t cgroup,cgroup2 | sort -u)
}

clean() {
    remove_groups
    [[ -z $WORK ]] || rm -rf "$WORK"
    WORK=
}
trap clean EXIT

detail() { # 名前 ファイル
    local line
    [[ -e $2 ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        printf 'detail\t%s\t%s\n' "$1" "$line"
    done <"$2"
}

# 初めの失敗: 動かしたもの、期待と結果、手で見る方法
details() {
    local dir=$WORK/$1 name
    printf 'detail\tnumber\t%s\n' "$1"
    for name in command failure status output messages hand; do
        detail "$name" "$dir/$name"
    done
    rm -rf "${dir:?}"/{output,messages}
}

# judge.bash の 1 行に、項目と手引きの節を足して渡す
pass_on() {
    local number=$1 result=$2 place items
    {
        read -r place
        read -r items
    } <"$WORK/$number/place"
    printf 'result\t%s\t%s\t%s\t%s\t%s\t%s\n' "$number" "$result" "$3" "$4" "$items" "$place"
    if [[ $result == ng || $result == hang || $result == killed ]]; then
        ((FAILED++)) || details "$number"
    fi
}

# 新しい依頼が来たか、頼んだ人がいなくなった
called_off() {
    read -r -t 0 -u 4
}

judge() {
    local step=$1 from=1 status number result time wish begun=${EPOCHREALTIME/[.,]/}
    export BIN=$2 SHOWN=$3 SPENT=0 FAILED=0 AGAIN=0
    WORK=$(mktemp -d)
    chmod 755 "$WORK"
    while :; do
        SPENT=$(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
        while IFS=$'\t' read -r number result time wish; do
            pass_on "$number" "$result" "$time" "$wish"
            from=$((number + 1))
            ! called_off || break
        done < <(exec tests/host/host.sh --cgroup "$GROUP" --pids "$MOST_PROCESSES" --read-only -- \
            shared/scripts/judge.bash "$step" "$from" </dev/null 2>"$WORK/log" 4<&-)
        ! called_off || kill -TERM $! 2>/dev/null || true
        status=0
        wait $! || status=$?
        remove_groups
        ! called_off || break
        number=$(find "$WORK" -maxdepth 1 -name '[0-9]*' -printf '%f\n' | sort -n | tail -n 1)
        case $status in
        0) break ;;
        3) continue ;;
        4)
            AGAIN=$number from=$number
            rm -rf "${WORK:?}/$number" "$WORK/bats"
            continue
            ;;
        esac
        # 調べるほうが、途中で終わらされた。それをさせた要件の、次から続ける
        if [[ -z $number ]] || ((number < from)); then
            printf 'error\t%s\n' "$(tail -n 3 "$WORK/log" | tr '\n\t' '  ')"
            break
        fi
        pass_on "$number" killed 0 "$(<"$WORK/$number/wish")"
        from=$((number + 1))
    done
    rm -rf "$WORK"
    WORK=
    echo end
}

exec 4<&0
while IFS=$'\t' read -r step bin shown; do
    # 空の依頼は、今のものをやめるため
    [[ -z $step ]] || judge "$step" "$bin" "$shown"
done
