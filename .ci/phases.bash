# shellcheck shell=bash
# .ci/run と .ci/nightly の部品。1 つの phase が 1 つのコマンドで、記録は build/ci に残る

LOGS=build/ci/$(basename "$0")
rm -rf "$LOGS"
mkdir -p "$LOGS"

# phase NAME COMMAND...: 終わると、かかった秒数と、まとめの行を出す。失敗したら、記録の
# 終わりの 50 行も出す
phase() {
    local name=$1 start=$SECONDS status=0 log=$LOGS/$1.log summary
    shift
    echo "== $name: $*"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    summary=$(grep -E '^[0-9]+ (passed|tries), [0-9]+ ' "$log" | tail -n 1) || true
    printf '%s\t%s\t%s\t%s\n' "$name" $((SECONDS - start)) "$status" "$summary" >>"$LOGS/phases"
    if ((status != 0)); then
        # 並んで動くほかの phase の出力と混ざらないように、1 度に書く
        printf '%s\n' "$(tail -n 50 "$log" | sed 's/^/    /')" \
            "== $name: FAILED (status $status) after $((SECONDS - start)) s, see $log"
        return 1
    fi
    echo "== $name: $((SECONDS - start)) s${summary:+, $summary}"
}

# 引数の関数を並べて動かす。1 つが失敗したら、ほかも終わらせる
side_by_side() {
    local lane
    local -a pids=()
    set -m # 関数ごとに、まとめて終わらせられるプロセスグループを作る
    for lane; do
        "$lane" &
        pids+=($!)
    done
    set +m
    # shellcheck disable=SC2064 # 今の PID でよい
    trap "kill -TERM ${pids[*]/#/-} 2>/dev/null || true" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    for lane; do
        wait -n || exit 1
    done
    trap - EXIT INT TERM
}

# 終わった phase の表と、全体の秒数
print_table() {
    printf '\n%-12s %6s  %s\n' phase seconds result
    awk -F '\t' '{
        printf "%-12s %6d  %s%s\n", $1, $2, $3 ? "FAILED " : "ok ", $4
    }' "$LOGS/phases"
    printf '%-12s %6d  %s\n' total "$SECONDS" "$(uname -m), $(nproc) CPU"
}
