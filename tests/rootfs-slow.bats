#!/usr/bin/env bats
# rootfs/build.sh のうち、時間のかかる種類 (debian と image)。
# debian は Debian のミラーを使う。--net のない名前空間で動かすこと。

# 各 @test はサブシェルなので、変数の変更が外に出ないのは承知の上。
# shellcheck disable=SC2030,SC2031

load helpers

setup_file() {
    export DEMO_DIR=$BATS_FILE_TMPDIR/demo
    mkdir "$DEMO_DIR"
    "${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra -Werror -static \
        -o "$DEMO_DIR/unchroot" "$TOP/rootfs/demo/unchroot.c"
}

setup() {
    requires root
    unset SUDO_UID SUDO_GID IMAGE
    build=$TOP/rootfs/build.sh
    cd "$BATS_TEST_TMPDIR" || return
}

requires_network() {
    if [[ -n $(ip route show default) && -r /etc/resolv.conf ]]; then
        return
    fi
    if [[ -n ${REQUIRE_ALL:-} ]]; then
        echo 'no network for a Debian mirror, and REQUIRE_ALL is set'
        return 1
    fi
    skip 'needs a network for a Debian mirror'
}

# 1 つの uid しか持たないツリーで、そこのコマンドが動く。
assert_usable() {
    run -0 chroot fs sh -c 'ls /demo && id -u && cat /etc/resolv.conf'
    [[ ${lines[0]} == unchroot && ${lines[1]} == 0 ]]
    local dir
    for dir in proc sys dev tmp demo; do
        [[ -d fs/$dir && ! -L fs/$dir ]]
    done
    [[ -z $(ls -A fs/dev) ]]
    run -0 find fs \( -type b -o -type c -o -type f -perm /6000 \)
    [[ -z $output ]]
}

assert_no_leftovers() {
    [[ ! -e fs && ! -e fs.kind ]]
    run ! compgen -G 'fs.tmp.*'
}

# 本物の podman を、このテストだけの場所で動かす。ホストの /var/lib も隠す。
make_podman() {
    requires podman
    mkdir bin storage
    cat >bin/podman <<END
#!/bin/sh
exec unshare --mount sh -c '
    mount -t tmpfs tmpfs /var/lib
    exec $(command -v podman) --root "$PWD/storage/root" \\
        --runroot "$PWD/storage/run" --tmpdir "$PWD/storage/tmp" \\
        --storage-driver vfs --cgroup-manager cgroupfs \\
        --events-backend none "\$@"' podman "\$@"
END
    chmod +x bin/podman
    PATH=$PWD/bin:$PATH
}

# 小さなイメージ。起動コマンドはなく、VOLUME がある。
make_image() {
    "$build" busybox seed
    tar -C seed -cf seed.tar .
    rm -rf seed seed.kind
    podman import --quiet --change VOLUME=/data seed.tar localhost/seed:1
}

@test "debian: sh, ps, ip, mount and nc of a real Debian run inside" {
    requires mmdebstrap
    requires_network
    SUDO_UID=61234 SUDO_GID=61234 SUITE=bookworm run -0 "$build" debian fs
    [[ $(<fs.kind) == 'debian bookworm' ]]
    assert_usable
    run -0 cat fs/etc/os-release
    [[ $output == *VERSION_CODENAME=bookworm* ]]
    run -0 chroot fs ip -V
    run -0 chroot fs mount --version
    run -0 chroot fs sh -c 'command -v ps && command -v nc'
    # 端末に出すときと同じ (-q)
    touch fs/root/日本語
    LC_ALL='' LANG=C.UTF-8 run -0 chroot fs ls -q /root
    [[ $output == 日本語 ]]
    rm fs/root/日本語
    # sudo を打った人以外のものは、1 つもない
    run -0 find fs fs.kind ! \( -uid 61234 -a -gid 61234 \)
    [[ -z $output ]]
}

@test "debian: an unknown suite leaves nothing behind" {
    requires mmdebstrap
    requires_network
    SUITE=nosuchsuite run -1 "$build" debian fs
    [[ ${lines[-2]} == 'build.sh: cannot build Debian nosuchsuite' ]]
    assert_no_leftovers
}

@test "image: a podman image becomes a tree, and no container is left" {
    make_podman
    make_image
    IMAGE=localhost/seed:1 run -0 "$build" image fs
    [[ $(<fs.kind) == 'image localhost/seed:1' ]]
    assert_usable
    run -0 podman ps --all --quiet
    [[ -z $output ]]
    run -0 podman volume ls --quiet
    [[ -z $output ]]
    run -0 podman images --quiet
    [[ -n $output ]]
}

@test "image: other containers of the same image are left alone" {
    make_podman
    make_image
    podman create --name bystander localhost/seed:1 sh
    IMAGE=localhost/seed:1 run -0 "$build" image fs
    run -0 podman ps --all --format '{{.Names}}'
    [[ $output == bystander ]]
}

@test "image: an image that cannot be had leaves nothing behind" {
    make_podman
    IMAGE=localhost/nosuch:1 run -1 "$build" image fs
    [[ ${lines[-2]} == 'build.sh: podman create localhost/nosuch:1 failed' ]]
    [[ ${lines[-1]} == '  ヒント: '*'podman pull'* ]]
    assert_no_leftovers
}

@test "image: a build ended during the export removes its container" {
    make_podman
    make_image
    # export のところで止まる podman
    mv bin/podman bin/real
    cat >bin/podman <<END
#!/bin/sh
case \$1 in
export) echo \$\$ >"$PWD/exporting" && exec sleep 100 ;;
*) exec "$PWD/bin/real" "\$@" ;;
esac
END
    chmod +x bin/podman
    local signal pid exporter
    for signal in TERM KILL; do
        IMAGE=localhost/seed:1 "$build" image fs 3>&- >log 2>&1 &
        pid=$!
        retry 10 test -s exporting
        exporter=$(<exporting)
        [[ -n $(bin/real ps --all --quiet) ]]
        kill "-$signal" "$pid"
        wait "$pid" || true
        rm exporting
        # SIGKILL の後は、次のビルドが片付ける
        if [[ $signal == KILL ]]; then
            kill "$exporter"
            "$build" busybox fs
        fi
        run -0 bin/real ps --all --quiet
        [[ -z $output ]]
        run ! compgen -G 'fs.tmp.*'
    done
    [[ -x fs/bin/busybox ]]
}
