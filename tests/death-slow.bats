# death.bats と同じことを、すべての場所、すべてのシグナルで (十数分)
# shellcheck disable=SC2034,SC2154
load helpers
load inject

setup_file() {
    [ "$(id -u)" = 0 ] && command -v strace >/dev/null && command -v gcc >/dev/null || return 0
    DEATH_DIR=$(mktemp -d /tmp/death.XXXXXX)
    export DEATH_DIR BIN_DIR
    BIN_DIR=$(dirname "$BIN")
    chmod 755 "$DEATH_DIR"
    build_inject "$DEATH_DIR"
}

teardown_file() {
    [ -z "${DEATH_DIR:-}" ] || rm -rf "$DEATH_DIR"
}

setup() {
    requires root userns strace gcc
    PRIVATE=()
    prepare_inject "$DEATH_DIR"
    export SUDO_UID=4711 SUDO_GID=4712
}

teardown() {
    release_cgroups
}

# everywhere SIGNAL WHO WANTED STEP...
everywhere() {
    local signal=$1 who=$2 wanted=$3 step failed=
    shift 3
    local roles=(before launcher child)
    [ "$who" = launcher ] || roles=(launcher child)
    for step; do
        prepare_deaths "$step"
        sweep "$signal" "$who" "$wanted" all entry "${roles[@]}"
        sweep "$signal" "$who" "$wanted" all exit "${roles[@]}"
        report_deaths || failed=1
    done
    [ -z "$failed" ]
}

@test "SIGKILL of the launcher at every entry and exit" {
    everywhere KILL launcher 137 01 02 03 04 05 06 07 08 09
}

@test "SIGKILL of the container's PID 1 at every entry and exit" {
    everywhere KILL child "137 125" 05 06 07 08 09
}

@test "SIGKILL of both at every entry and exit" {
    everywhere KILL both 137 05 06 07 08 09
}

@test "SIGTERM at every entry and exit" {
    everywhere TERM launcher 143 01 02 03 04 05 07 09
}

@test "SIGINT at every entry and exit" {
    everywhere INT launcher 130 05 07 09
}

@test "SIGHUP at every entry and exit" {
    everywhere HUP launcher 129 05 07 09
}

@test "SIGKILL 0 to 20 ms after the start, untraced, 1000 times" {
    unset SUDO_UID SUDO_GID
    local step failed=
    for step in 05 07 09; do
        prepare_deaths "$step"
        sweep_time KILL 137 0 20000 20
        report_deaths || failed=1
    done
    [ -z "$failed" ]
}
