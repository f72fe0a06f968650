# 200 個のコンテナを同時に動かす。テストは 1 つの大きな準備 (setup_file) を分け合う

load helpers

COUNT=200

# コンテナで動くスクリプト: 自分のアドレスを答えるサーバーを始め、ゲートウェイと話した結果を
# 書き、標準入力が閉じるまで待つ。ゲートウェイも、相手のアドレスをそのまま返す
# shellcheck disable=SC2016 # 展開するのは、内側の sh
talk='
own=$(ip -4 -o addr show veth-child | sed "s/.*inet \([0-9.]*\).*/\1/")
nc -ll -p 7001 -e echo "$own" &
answer=$(nc -w 20 "${own%.2}.1" 7000 </dev/null)
echo "$own $answer"
read -r _
'

setup_file() {
    export COUNT
    mkdir -p "$BATS_FILE_TMPDIR/out"
    start_server
    local i stdin
    # 書き込み側をこのシェルだけが持つので、閉じれば全部のコンテナが終わる
    mkfifo "$BATS_FILE_TMPDIR/hold"
    exec {stdin}<>"$BATS_FILE_TMPDIR/hold"
    local launchers=()
    for ((i = 1; i <= COUNT; i++)); do
        "$BIN" run sh -c "$talk" <"$BATS_FILE_TMPDIR/hold" \
            >"$BATS_FILE_TMPDIR/out/$i" 2>&1 3>&- 4>&- {stdin}>&- &
        launchers+=($!)
    done
    retry 180 all_have_answered || tail -n 3 "$BATS_FILE_TMPDIR"/out/* >&2
    ip -o link show | grep -c 'veth-host' >"$BATS_FILE_TMPDIR/links" || true

    local owns=()
    for ((i = 1; i <= COUNT; i++)); do
        owns+=("$(cut -d' ' -f1 "$BATS_FILE_TMPDIR/out/$i")")
    done
    retry 120 host_hears_all || true
    ask_from_host >"$BATS_FILE_TMPDIR/asked"
    ask_others >"$BATS_FILE_TMPDIR/others"

    # 半分を突然終わらせても、残りは話せるか
    kill -KILL "${launchers[@]:0:COUNT/2}"
    local survivors=("${launchers[@]:COUNT/2}")
    retry 60 half_of_the_links_are_gone || true
    ip -o link show | grep -c 'veth-host' >"$BATS_FILE_TMPDIR/links-after" || true
    ask_gateways >"$BATS_FILE_TMPDIR/survivors"

    # 残りを、ふつうに終わらせる
    for ((i = 0; i < COUNT / 2; i++)); do echo >&"$stdin"; done
    for launcher in "${survivors[@]}"; do
        local status=0
        wait "$launcher" || status=$?
        echo "$status"
    done >"$BATS_FILE_TMPDIR/statuses"
    exec {stdin}>&-
    kill "$SERVER"
}

# 7000 番で待ち、つないできた相手のアドレスを返す
start_server() {
    cat >"$BATS_FILE_TMPDIR/server.c" <<'C'
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
    int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7000)};
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(server, (struct sockaddr *)&any, sizeof(any)) || listen(server, 512))
        return 1;
    for (;;) {
        struct sockaddr_in peer;
        socklen_t size = sizeof(peer);
        int client = accept(server, (struct sockaddr *)&peer, &size);
        dprintf(client, "%s\n", inet_ntoa(peer.sin_addr));
        close(client);
    }
}
C
    cc -o "$BATS_FILE_TMPDIR/server" "$BATS_FILE_TMPDIR/server.c"
    "$BATS_FILE_TMPDIR/server" 3>&- 4>&- &
    SERVER=$!
    retry 5 grep -q ' 00000000:1B58 ' /proc/net/tcp
}

all_have_answered() {
    [ "$(cat "$BATS_FILE_TMPDIR"/out/* | wc -l)" -ge "$COUNT" ]
}

half_of_the_links_are_gone() {
    [ "$(ip -o link show | grep -c veth-host)" -le $((COUNT / 2)) ]
}

# ADDRESS/PORT... に順につなぎ、相手と、その答え (なければ nobody) を書く
# shellcheck disable=SC2016 # 展開するのは、内側の bash
ask='
for target; do
    answer=
    read -r answer <"/dev/tcp/$target"
    echo "$target ${answer:-nobody}"
done 2>/dev/null
'

# ask_from NUMBER ADDRESS/PORT...: コンテナのネットワーク名前空間から
ask_from() {
    local launcher=${launchers[$1 - 1]} pid
    pid=$(<"/proc/$launcher/task/$launcher/children")
    timeout 60 nsenter --target "${pid% }" --net bash -c "$ask" bash "${@:2}" || true
}

# ホストからなら、どのコンテナのサーバーとも話せる。仮想マシンでは 20 秒を超える
ask_from_host() {
    timeout 120 bash -c "$ask" bash "${owns[@]/%//7001}" || true
}

host_hears_all() {
    [ "$(ask_from_host | grep -cv nobody)" = "$COUNT" ]
}

# 次に始めたコンテナと、そのゲートウェイに話しかける
ask_others() {
    local i next
    for ((i = 1; i <= COUNT; i++)); do
        next=${owns[i % COUNT]}
        ask_from "$i" "$next/7001" "${next%.2}.1/7000"
    done
}

# 残ったコンテナ内から、もう一度ゲートウェイに話しかける
ask_gateways() {
    local i
    for ((i = COUNT / 2 + 1; i <= COUNT; i++)); do
        echo "${owns[i - 1]} $(ask_from "$i" "${owns[i - 1]%.2}.1/7000")"
    done
}

teardown_file() {
    jobs -p | xargs --no-run-if-empty kill 2>/dev/null || true
}

@test "200 containers run at once, each with an address of its own" {
    [ "$(cat "$BATS_FILE_TMPDIR/links")" = "$COUNT" ]
    [ "$(cut -d' ' -f1 "$BATS_FILE_TMPDIR"/out/* | sort -u | wc -l)" = "$COUNT" ]
}

@test "each of the 200 reaches its own gateway and is seen under its own address" {
    run -0 cat "$BATS_FILE_TMPDIR"/out/*
    [ "${#lines[@]}" = "$COUNT" ]
    for line in "${lines[@]}"; do
        [[ $line =~ ^10\.0\.[0-9]+\.2\ 10\.0\.[0-9]+\.2$ ]]
        [ "${line% *}" = "${line#* }" ]
    done
}

@test "none of the 200 reaches another container, nor another's gateway" {
    # ホストとは話すので、待っている相手がいないから、ではない
    run -0 sort -u "$BATS_FILE_TMPDIR/asked"
    [ "${#lines[@]}" = "$COUNT" ]
    for line in "${lines[@]}"; do
        [ "${line%/7001 *}" = "${line#* }" ]
    done
    run -0 cat "$BATS_FILE_TMPDIR/others"
    [ "${#lines[@]}" = $((COUNT * 2)) ]
    for line in "${lines[@]}"; do
        [[ $line == *" nobody" ]]
    done
}

@test "killing half of the launchers leaves the other half talking" {
    [ "$(cat "$BATS_FILE_TMPDIR/links-after")" = $((COUNT / 2)) ]
    run -0 cat "$BATS_FILE_TMPDIR/survivors"
    [ "${#lines[@]}" = $((COUNT / 2)) ]
    for line in "${lines[@]}"; do
        [ "${line%% *}" = "${line##* }" ]
    done
}

@test "the other half ends with status 0" {
    run -0 sort -u "$BATS_FILE_TMPDIR/statuses"
    [ "$output" = 0 ]
    [ "$(wc -l <"$BATS_FILE_TMPDIR/statuses")" = $((COUNT / 2)) ]
}

@test "after the next run, no link, process or cgroup of the 200 is left" {
    run -0 "$BIN" run true
    run -1 grep veth-host <(ip -o link show)
    run -1 pgrep -x step09
    run -0 left_over_cgroups
    [ -z "$output" ]
}

# 鍵のかかっていない cgroup。ほかのスイートのコンテナは、鍵をかけている
left_over_cgroups() {
    local group
    for group in /sys/fs/cgroup/container-steps/*/ /sys/fs/cgroup/*/container-steps/*/; do
        ! flock --nonblock "$group" true 2>/dev/null || echo "$group"
    done
}
