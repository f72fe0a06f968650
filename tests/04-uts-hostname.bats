# $ を展開するのは内側のシェル
# shellcheck disable=SC2016,SC2154
load helpers

setup() {
    HOST_NAME=$(uname -n)
    HOST_DOMAIN=$(cat /proc/sys/kernel/domainname)
}

teardown() {
    stop_container
    hostname "$HOST_NAME"
    echo "$HOST_DOMAIN" >/proc/sys/kernel/domainname
}

requires_rootless() {
    as_user unshare --user --map-root-user --uts true 2>/dev/null ||
        skip "needs user namespaces without root"
}

LIST_LINKS='for link in /proc/self/ns/*; do
    echo "${link##*/} $(readlink "$link")"
done'

# 要件: コンテナ内の uname -n は container
# 手で: sudo my/step04 run sh -c 'uname -n; cat /proc/sys/kernel/hostname'  # どちらも container
# 手引き: 動かす
# 項目: set_hostname new_namespaces child
# bats test_tags=to09
@test "uname -n, hostname and /proc/sys/kernel/hostname inside print container" {
    requires root userns
    run -0 inside 'uname -n; hostname; cat /proc/sys/kernel/hostname'
    [ "${lines[*]}" = "container container container" ]
}

# 要件: ホストの uname -n は、前も、動いているあいだも、後も同じ
# 手で: uname -n; sudo my/step04 run uname -n; uname -n  # 1 行目と 3 行目は同じ
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to09
@test "the host's name is the same before, during and after" {
    requires root userns
    start_container sh -c 'uname -n >&2; exec sleep 100'
    local during inner
    during=$(uname -n)
    inner=$(nsenter --target "$CONTAINER" --uts uname -n)
    stop_container
    [ "$inner" = container ]
    [ "$HOST_NAME" != container ]
    [ "$during" = "$HOST_NAME" ]
    [ "$(uname -n)" = "$HOST_NAME" ]
}

# 要件: 分かれているのは ipc、net、user、uts の 4 つ
# 手で: diff <(readlink /proc/self/ns/*) <(sudo my/step04 run readlink /proc/self/ns/*)  # ipc、net、user、uts だけ
# 手引き: コンテナの root が名前を変える
# 項目: new_namespaces
@test "exactly the links ipc, net, user and uts in /proc/self/ns differ from the host's" {
    requires root userns
    run -0 comm -13 <(sh -c "$LIST_LINKS" | sort) <(inside "$LIST_LINKS" | sort)
    [ "$(cut -d' ' -f1 <<<"$output" | xargs)" = "ipc net user uts" ]
}

# 要件: コンテナの /proc/self/ns/uts は、ホストと違う番号
# 手で: readlink /proc/self/ns/uts; sudo my/step04 run readlink /proc/self/ns/uts  # 2 つは違う
# 手引き: 動かす
# 項目: new_namespaces
# bats test_tags=to09
@test "the link uts differs from the host's" {
    requires root userns
    run -0 inside 'readlink /proc/self/ns/uts'
    [[ $output == uts:* ]]
    [ "$output" != "$(readlink /proc/self/ns/uts)" ]
}

# 要件: ドメイン名は、ホストのものが複製されている
# 手で: cat /proc/sys/kernel/domainname; sudo my/step04 run cat /proc/sys/kernel/domainname  # 2 つは同じ
# 手引き: 発展課題: ドメイン名も複製されるか
# 項目: new_namespaces
# bats test_tags=to09
@test "the new names start as a copy of the host's: the domain name is still there" {
    requires root userns
    echo probe.example >/proc/sys/kernel/domainname
    run -0 inside 'uname -n; cat /proc/sys/kernel/domainname'
    [ "${lines[*]}" = "container probe.example" ]
}

# 要件: ホストの名前をあとから変えても、コンテナには届かない
# 手で: sudo my/step04 run cat /proc/sys/kernel/hostname  # ホストの名前ではない
# 手引き: 手でやってみる
# 項目: new_namespaces
# bats test_tags=to09
@test "a name that the host takes later does not reach the container" {
    requires root userns
    start_container sleep 100
    hostname renamed
    echo renamed.example >/proc/sys/kernel/domainname
    run -0 nsenter --target "$CONTAINER" --uts sh -c 'uname -n; cat /proc/sys/kernel/domainname'
    [ "${lines[0]}" = container ]
    [ "${lines[1]}" = "$HOST_DOMAIN" ]
    [ "$(uname -n)" = renamed ]
}

# 要件: コンテナの root は、自分のホスト名だけを変えられる
# 手で: sudo my/step04 run sh -c 'hostname inner && uname -n'; uname -n  # inner と、ホストの名前
# 手引き: コンテナの root が名前を変える
# 項目: new_namespaces child
# bats test_tags=to07
@test "root inside can change its own host name, and no other" {
    requires root userns
    run -0 inside 'uname -n; hostname inner && uname -n'
    [ "${lines[*]}" = "container inner" ]
    [ "$(uname -n)" = "$HOST_NAME" ]
    run -0 inside 'uname -n'
    [ "$output" = container ]
}

# 要件: sudo なしでも、名前は container になる
# 手で: my/step04 run uname -n  # container
# 手引き: 動かす
# 項目: set_hostname new_namespaces
# bats test_tags=to08
@test "a user without root gets the name container too" {
    requires root userns
    requires_rootless
    run -0 as_user "$(user_bin)" run uname -n
    [ "$output" = container ]
}
