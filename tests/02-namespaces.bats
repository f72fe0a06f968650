# $ を展開するのは内側のシェル
# shellcheck disable=SC2016,SC2034,SC2154
load helpers

teardown() {
    stop_container
    ip link del probe-a 2>/dev/null || true
    [ -z "${SEGMENT:-}" ] || ipcrm -m "$SEGMENT"
    [ -z "${SEMAPHORE:-}" ] || ipcrm -s "$SEMAPHORE"
    [ -z "${QUEUE:-}" ] || ipcrm -q "$QUEUE"
}

LIST_LINKS='for link in /proc/self/ns/*; do
    echo "${link##*/} $(readlink "$link")"
done'

# 中と外で違う、/proc/self/ns のリンクの名前
different_links() {
    comm -13 <(sh -c "$LIST_LINKS" | sort) <(inside "$LIST_LINKS" | sort) |
        cut -d' ' -f1 | xargs
}

# 一般ユーザーだけでは名前空間を作れないホスト (Ubuntu 24.04 のデフォルトなど) がある
requires_rootless() {
    as_user unshare --user --net --ipc true 2>/dev/null ||
        skip "needs user namespaces without root"
}

# --- 名前空間 --------------------------------------------------------------------

# 要件: 分かれているのは ipc、net、user の 3 つ
# 手で: diff <(readlink /proc/self/ns/*) <(sudo my/step02 run readlink /proc/self/ns/*)  # ipc、net、user だけ
# 手引き: 動かす
# 項目: new_namespaces main clone_child
# bats test_tags=to03
@test "exactly the links ipc, net and user in /proc/self/ns differ from the host's" {
    requires root userns
    run -0 different_links
    [ "$output" = "ipc net user" ]
}

# 要件: 外から見ても、コンテナの 3 つの番号はホストと違う
# 手で: sudo my/step02 run sleep 100
# 手で 2: sudo lsns -p $(pgrep -fx 'sleep 100')  # ipc、net、user の COMMAND が sleep 100
# 手引き: 名前空間の番号をいろいろな方法で見る
# 項目: clone_child new_namespaces
# bats test_tags=to09
@test "the links ipc, net and user differ from the host's, seen from outside too" {
    requires root userns
    start_container sleep 100
    local name
    for name in ipc net user; do
        [ "$(readlink "/proc/$CONTAINER/ns/$name")" != "$(readlink "/proc/self/ns/$name")" ]
        [ "$(readlink "/proc/$LAUNCHER/ns/$name")" = "$(readlink "/proc/self/ns/$name")" ]
    done
}

# 要件: 2 つのコンテナは、3 つのどれも共有しない
# 手で: sudo my/step02 run sleep 100
# 手で 2: sudo readlink /proc/$(pgrep -fx 'sleep 100')/ns/{ipc,net,user}
# 手で 2: sudo my/step02 run readlink /proc/self/ns/{ipc,net,user}  # 上の 3 つとも違う
# 手引き: 名前空間の番号をいろいろな方法で見る
# 項目: clone_child new_namespaces
# bats test_tags=to09
@test "two containers share none of the three namespaces" {
    requires root userns
    local show='for name in ipc net user; do readlink /proc/self/ns/$name; done'
    start_container sleep 100
    run -0 inside "$show"
    [ "${#lines[@]}" = 3 ]
    local name
    for name in ipc net user; do
        [[ $output != *"$(readlink "/proc/$CONTAINER/ns/$name")"* ]]
        [[ $output != *"$(readlink "/proc/self/ns/$name")"* ]]
    done
}

# --- ネットワーク ----------------------------------------------------------------

# 要件: ネットワークデバイスは、DOWN の lo だけ。アドレスも経路もない
# 手で: sudo my/step02 run ip addr  # lo だけ
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to08
@test "the only link is lo, it is DOWN, and there is no address and no route" {
    requires root userns net
    ip link add probe-a type veth peer name probe-b
    [[ $(ip link) == *probe-a* ]]
    run -0 inside 'ip link; ip addr; ip route'
    [[ $output == *"1: lo: <LOOPBACK>"* ]]
    [[ $output != *UP* ]]
    [[ $output != *probe* ]]
    [[ $output != *inet* ]]
    run ! grep -vE '^ |: lo: ' <<<"$output"
}

# 要件: ホストがあとから作ったデバイスが、コンテナに現れない
# 手で: sudo my/step02 run ip -brief link  # lo だけ
# 手引き: ネットワーク名前空間が持つもの
# 項目: new_namespaces
# bats test_tags=to08
@test "a link that the host makes later does not appear inside" {
    requires root userns net
    start_container sleep 100
    ip link add probe-a type veth peer name probe-b
    grep -q probe-a /proc/self/net/dev
    run -0 cat "/proc/$CONTAINER/net/dev"
    [[ $output == *lo:* ]]
    [[ $output != *probe* ]]
}

# --- System V の IPC -------------------------------------------------------------

# 要件: ホストの共有メモリー、セマフォ、メッセージキューが見えない
# 手で: id=$(ipcmk -M 64 | grep -oE '[0-9]+$'); sudo my/step02 run ipcs -m; ipcrm -m $id  # 一覧は空
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to05
@test "the host's shared memory, semaphores and queues are in ipcs outside, not inside" {
    requires root userns
    SEGMENT=$(ipcmk -M 4096 | grep -oE '[0-9]+$')
    SEMAPHORE=$(ipcmk -S 1 | grep -oE '[0-9]+$')
    QUEUE=$(ipcmk -Q | grep -oE '[0-9]+$')
    run -0 ipcs
    [ "$(grep -c '^0x' <<<"$output")" = 3 ]
    run -0 inside ipcs
    [[ $output == *"Shared Memory"* ]]
    run ! grep '^0x' <<<"$output"
}

# rootfs に ipcs はない。/proc/sysvipc が同じことを教える
# 要件: /proc/sysvipc/shm にも、ホストの共有メモリーは見えない
# 手で: id=$(ipcmk -M 64 | grep -oE '[0-9]+$'); sudo my/step02 run cat /proc/sysvipc/shm; ipcrm -m $id  # 見出しの行だけ
# 手引き: ほかの行を消すと
# 項目: new_namespaces
# bats test_tags=to09
@test "the host's shared memory is not in /proc/sysvipc/shm inside" {
    requires root userns
    SEGMENT=$(ipcmk -M 4096 | grep -oE '[0-9]+$')
    [ "$(wc -l </proc/sysvipc/shm)" = 2 ]
    run -0 inside 'cat /proc/sysvipc/shm'
    [ "${#lines[@]}" = 1 ]
    [[ $output == *shmid* ]]
}

# 要件: コンテナ内で作った共有メモリーは外に現れず、コンテナと一緒に消える
# 手で: sudo my/step02 run sh -c 'id=$(ipcmk -M 64 | grep -oE "[0-9]+$"); ipcs -m; sleep 20; ipcrm -m $id'
# 手で 2: ipcs -m  # 端末 1 の一覧の行がない
# 手引き: ホストとコンテナを、行ったり来たりして比べる
# 項目: new_namespaces
# bats test_tags=to05
@test "a segment made inside does not appear outside, and goes with the container" {
    requires root userns
    local before
    before=$(ipcs)
    start_container sh -c 'ipcmk -M 4096 && exec sleep 100' >"$BATS_TEST_TMPDIR/made"
    retry 2 grep -q '[0-9]' "$BATS_TEST_TMPDIR/made"
    [ "$(ipcs)" = "$before" ]
    run -0 nsenter --target "$CONTAINER" --ipc ipcs -m
    [ "$(grep -c '^0x' <<<"$output")" = 1 ]
}

# --- ユーザー --------------------------------------------------------------------

# 要件: id は、ユーザーもグループも 65534
# 手で: sudo my/step02 run id  # 65534
# 手引き: 動かす
# 項目: new_namespaces
@test "id inside prints 65534 for user and group" {
    requires root userns
    run -0 inside 'id -u; id -g'
    [ "${lines[*]}" = "65534 65534" ]
}

# 要件: uid_map は空で、ホストの ps では root のまま
# 手で: sudo my/step02 run sleep 100
# 手で 2: cat /proc/$(pgrep -fx 'sleep 100')/uid_map  # 何も出ない
# 手で 2: ps -o user,cmd -p $(pgrep -fx 'sleep 100')  # root
# 手引き: 動かす
# 項目: new_namespaces
@test "the maps inside are empty, and the host's ps still shows the caller" {
    requires root userns
    run -0 inside 'cat /proc/self/uid_map /proc/self/gid_map && echo read'
    [ "$output" = read ]
    start_container sleep 100
    [ ! -s "/proc/$CONTAINER/uid_map" ]
    [ "$(ps -o user= --pid "$CONTAINER")" = root ]
}

# 要件: exec のあとには、ケーパビリティが残らない
# 手で: sudo my/step02 run grep -E 'Cap(Prm|Eff)' /proc/self/status  # どちらも 0
# 手引き: なぜ?
# 項目: new_namespaces
@test "exec as 65534 leaves the command without capabilities" {
    requires root userns
    run -0 inside 'grep -E "^Cap(Prm|Eff)" /proc/self/status'
    [ "${#lines[@]}" = 2 ]
    run ! grep -vE '0{16}$' <<<"$output"
}

# 要件: sudo で作ったファイルの所有者は、コンテナ内では 65534、ホストでは root
# 手で: sudo my/step02 run sh -c 'touch /tmp/probe; ls -ln /tmp/probe'  # 65534 65534
# 手で: ls -l /tmp/probe; sudo rm -f /tmp/probe  # root root
# 手引き: 動かす
# 項目: new_namespaces
@test "a file made inside is the caller's outside, and 65534's inside" {
    requires root userns
    run -0 inside "touch $BATS_TEST_TMPDIR/file && stat -c %u:%g $BATS_TEST_TMPDIR/file"
    [ "$output" = 65534:65534 ]
    [ "$(stat -c %u:%g "$BATS_TEST_TMPDIR/file")" = 0:0 ]
}

# 要件: sudo なしでも始まり、id は 65534
# 手で: my/step02 run id -u  # 65534
# 手引き: flags |= CLONE_NEWUSER; を消すと、sudo なしでは動かない
# 項目: new_namespaces
@test "a user without root can start it, and is 65534 inside too" {
    requires root userns
    requires_rootless
    run -0 as_user "$(user_bin)" run sh -c "id -u; $LIST_LINKS"
    [ "${lines[0]}" = 65534 ]
    run -0 comm -13 <(sh -c "$LIST_LINKS" | sort) <(tail -n +2 <<<"$output" | sort)
    [ "$(cut -d' ' -f1 <<<"$output" | xargs)" = "ipc net user" ]
}
