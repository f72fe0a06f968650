#!/usr/bin/env bash
# 起動の速さを、unshare(1), bubblewrap, runc と並べて測る (hyperfine)。
#   起動  コマンドの最初の 1 文字が届くまで
#   全体  後始末が済み、ランチャーが終わるまで
# 使い方: bench.sh [測る回数]
# ホストのネットワークに触れないように、自分の名前空間の中で動く。
set -euo pipefail

if [[ -z ${BENCH_INSIDE:-} ]]; then
    exec env BENCH_INSIDE=1 unshare --fork --pid --mount-proc --mount --net \
        "${BASH_SOURCE[0]}" "$@"
fi

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
runs=${1:-50}
rootfs=$PWD/rootfs/fs

if ! command -v hyperfine >/dev/null; then
    echo "bench.sh: hyperfine: command not found" >&2
    echo "  ヒント: sudo apt-get install hyperfine (すべて入れるなら make setup-dev)" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export BENCH_LOCK=$work/lock

names=()
starts=()
wholes=()

# add NAME COMMAND: COMMAND は 1 文字だけ書いて終わるもの
add() {
    names+=("$1")
    wholes+=("$2")
    # ランチャーも fd 9 の鍵を受け継ぐ。次の計測は、後始末が済むのを待って始まる
    starts+=("bash -c 'exec 9>$BENCH_LOCK; flock 9; read -rN1 _ < <(exec $2)'")
}

add echo "echo x"
for n in 1 2 3 4 5 6 7 8 9; do
    add "step0$n" "./step0$n run echo x"
done
add "unshare(1)" "unshare --fork --kill-child --pid --uts --ipc --net --mount --user --map-root-user --mount-proc echo x"
if command -v bwrap >/dev/null; then
    add bubblewrap "bwrap --unshare-all --die-with-parent --bind $rootfs / --proc /proc --dev /dev /bin/echo x"
fi
if command -v runc >/dev/null; then
    (
        mkdir "$work/bundle" && cd "$work/bundle" && runc spec
        sed -i -e "s|\"path\": \"rootfs\"|\"path\": \"$rootfs\"|" \
            -e 's|"terminal": true|"terminal": false|' \
            -e 's|"sh"|"/bin/echo", "x"|' config.json
    )
    add runc "runc --root $work/runc run --bundle $work/bundle bench"
fi

measure() {
    local csv=$1
    shift
    hyperfine --shell=none --warmup 5 --runs "$runs" --style none \
        --prepare "flock $BENCH_LOCK true" --export-csv "$csv" "$@" >/dev/null 2>"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
}
measure "$work/start.csv" "${starts[@]}"
measure "$work/whole.csv" "${wholes[@]}"

# CSV の列は後ろから数える。コマンドの中にコンマがあっても、ずれないように
column() { awk -F, 'NR > 1 { printf "%.2f\n", $(NF - 4) * 1000 }' "$1"; }
echo "$(uname -srm), $(nproc) CPU, 中央値 [ms], $runs 回"
printf '%-12s %8s %8s\n' "" 起動 全体
paste <(printf '%s\n' "${names[@]}") <(column "$work/start.csv") <(column "$work/whole.csv") |
    awk -F '\t' '{ printf "%-12s %6.1f %6.1f\n", $1, $2, $3; start[$1] = $2; whole[$1] = $3 }
        END {
            if ("bubblewrap" in start)
                printf "step07 / bubblewrap: 起動 %.2f, 全体 %.2f\n",
                    start["step07"] / start["bubblewrap"], whole["step07"] / whole["bubblewrap"]
            if ("runc" in start)
                printf "step09 / runc:       起動 %.2f, 全体 %.2f\n",
                    start["step09"] / start["runc"], whole["step09"] / whole["runc"]
        }'
