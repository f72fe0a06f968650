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

# bats test_tags=to09
@test "uname -n, hostname and /proc/sys/kernel/hostname inside print container" {
    requires root userns
    run -0 inside 'uname -n; hostname; cat /proc/sys/kernel/hostname'
    [ "${lines[*]}" = "container container container" ]
}

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

@test "exactly the links ipc, net, user and uts in /proc/self/ns differ from the host's" {
    requires root userns
    run -0 comm -13 <(sh -c "$LIST_LINKS" | sort) <(inside "$LIST_LINKS" | sort)
    [ "$(cut -d' ' -f1 <<<"$output" | xargs)" = "ipc net user uts" ]
}

# bats test_tags=to09
@test "the link uts differs from the host's" {
    requires root userns
    run -0 inside 'readlink /proc/self/ns/uts'
    [[ $output == uts:* ]]
    [ "$output" != "$(readlink /proc/self/ns/uts)" ]
}

# bats test_tags=to09
@test "the new names start as a copy of the host's: the domain name is still there" {
    requires root userns
    echo probe.example >/proc/sys/kernel/domainname
    run -0 inside 'uname -n; cat /proc/sys/kernel/domainname'
    [ "${lines[*]}" = "container probe.example" ]
}

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

# bats test_tags=to07
@test "root inside can change its own host name, and no other" {
    requires root userns
    run -0 inside 'uname -n; hostname inner && uname -n'
    [ "${lines[*]}" = "container inner" ]
    [ "$(uname -n)" = "$HOST_NAME" ]
    run -0 inside 'uname -n'
    [ "$output" = container ]
}

# bats test_tags=to08
@test "a user without root gets the name container too" {
    requires root userns
    requires_rootless
    run -0 as_user "$(user_bin)" run uname -n
    [ "$output" = container ]
}
