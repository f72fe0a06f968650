#!/usr/bin/env bats
# make kit と、キットから入れる setup.sh のテスト。ネットワークは使わない。
# パッケージの置き場も、入れる先のマシンも、一時的なディレクトリに作ったもの
load helpers

# package NAME VERSION DEPENDS: 中身が 1 つのファイルだけのパッケージ
package() {
    mkdir -p "tree/DEBIAN" "tree/opt" archive/pool
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: test\nDepends: %s\n' \
        "$1" "$2" "$3" | sed '/^Depends: $/d' >tree/DEBIAN/control
    echo 'Description: test' >>tree/DEBIAN/control
    echo "$2" >"tree/opt/$1"
    dpkg-deb --build --root-owner-group tree "archive/pool/$1_${2#*:}.deb" >/dev/null
    rm -r tree
}

# release NAME: archive/pool にあるものすべてを持つ、$ID のリリース
release() {
    local main=archive/dists/$1/main/binary-$ARCH deb
    mkdir -p "$main"
    for deb in archive/pool/*.deb; do
        dpkg-deb --field "$deb"
        echo "Filename: pool/${deb##*/}"
        echo "Size: $(stat -c %s "$deb")"
        echo "SHA256: $(sha256sum <"$deb" | cut -c 1-64)"
        echo
    done >"$main/Packages"
    {
        printf 'Origin: %s\nSuite: %s\nCodename: %s\n' "${ID^}" "$1" "$1"
        printf 'Architectures: %s\nComponents: main\nDate: %s\nSHA256:\n' "$ARCH" "$(date -uR)"
        printf ' %s %s main/binary-%s/Packages\n' "$(sha256sum <"$main/Packages" | cut -c 1-64)" \
            "$(stat -c %s "$main/Packages")" "$ARCH"
    } >"archive/dists/$1/Release"
}

# apt-get の見るマシン。置き場に署名はない
make_machine() {
    mkdir -p machine/{lists,cache,etc/apt.conf.d} machine/root/var/lib/dpkg/{info,updates}
    : >machine/root/var/lib/dpkg/status
    : >machine/root/var/lib/dpkg/available
    echo "deb [trusted=yes] file:$PWD/archive $CODENAME main" >machine/etc/sources.list
    cat >machine/apt.conf <<END
Dir::Etc "$PWD/machine/etc";
Dir::State "$PWD/machine";
Dir::State::status "$PWD/machine/root/var/lib/dpkg/status";
Dir::Cache "$PWD/machine/cache";
Dir::Log "$PWD/machine";
DPkg::Options { "--root=$PWD/machine/root"; "--log=/dev/null"; };
Acquire::AllowInsecureRepositories "true";
APT::Get::AllowUnauthenticated "true";
APT::Sandbox::User "root";
END
    export APT_CONFIG=$PWD/machine/apt.conf
    apt-get -q update
}

# 入れるのは pair だけの、小さなワークショップ
make_workshop() {
    mkdir -p workshop/shared workshop/slides/build
    cp -R "$TOP/shared/scripts" workshop/shared
    cp "$TOP"/{GNUmakefile,.gitignore} workshop
    sed -i "/^run='/,/^'/c run=pair" workshop/shared/scripts/setup.sh
    sed -i '/^base="/,/^"/c base=pair' workshop/shared/scripts/setup.sh
    echo deck >workshop/slides/build/00.html
    echo before >workshop/kept
    (
        cd workshop
        git init -q -b main
        git add -A
        git commit -qm first
        git remote add origin /on/this/machine
    )
}

setup_file() {
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.org
    export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.org
    command -v apt-get >/dev/null || return 0
    ARCH=$(dpkg --print-architecture)
    ID=$(. /etc/os-release && echo "$ID")
    CODENAME=$(. /etc/os-release && echo "$VERSION_CODENAME")
    export ARCH ID CODENAME
    cd "$BATS_FILE_TMPDIR"
    package pair 2:1.0+a 'half (= 1:1.0~b)'
    package half 1:1.0~b ''
    package unrelated 1 ''
    release "$CODENAME"
    release nextone
    make_machine
    make_workshop
    # git はあるが、まだコミットしていないもの
    echo after >workshop/kept
    echo new >workshop/added
    echo secret >workshop/ignored.o
    KIT_TAR=$(cd workshop && RELEASES="$CODENAME nextone" shared/scripts/kit.sh 2>../kit.log) || {
        cat kit.log
        return 1
    }
    export KIT_TAR
}

# エラーの 1 行目と、ヒントに含まれる文字列
assert_error() {
    [[ $output == *"$1"*$'\n  ヒント: '*"$2"* ]]
}

setup() {
    command -v apt-get >/dev/null || skip 'needs apt-get'
    cd "$BATS_FILE_TMPDIR"
    make_machine >/dev/null
    cd "$BATS_TEST_TMPDIR"
    export APT_CONFIG=$BATS_FILE_TMPDIR/machine/apt.conf
    ROOT=$BATS_FILE_TMPDIR/machine/root
    tar -xf "$KIT_TAR"
    cd container-workshop
}

teardown() {
    rm -rf "$BATS_FILE_TMPDIR/machine"
}

@test "kit: one file with a clean repository, decks and each release's packages" {
    [ "${KIT_TAR##*/}" = "container-workshop-$CODENAME-nextone-$ARCH.tar" ]
    [ "$(cat kept added)" = $'after\nnew' ]
    [ ! -e ignored.o ]
    [ "$(<slides/build/00.html)" = deck ]
    # 出力がなければ、きれい
    [ -z "$(git status --short)" ]
    rm kept
    git restore kept
    [ "$(<kept)" = after ]
    git log --format=%s | grep -qx first
    run -0 git remote
    [ -z "$output" ]
    for place in "$CODENAME-$ARCH" "nextone-$ARCH"; do
        run -0 ls "kit/$place"
        [ "${lines[*]}" = "Packages Release SHA256SUMS half_1%3a1.0~b_all.deb pair_2%3a1.0+a_all.deb" ]
        (cd "kit/$place" && sha256sum --quiet -c SHA256SUMS)
    done
}

@test "setup: everything comes from the kit beside it, whatever the path; /etc/apt is unread" {
    mv ../container-workshop "../my [kit] 100%"
    cd "../my [kit] 100%"
    echo 'deb file:/nowhere broken main' >"$BATS_FILE_TMPDIR/machine/etc/sources.list"
    local before
    before=$(find "$BATS_FILE_TMPDIR/machine"/{etc,lists} -type f -exec sha256sum {} + | sort)
    export TMPDIR=$BATS_TEST_TMPDIR/tmp
    mkdir "$TMPDIR"
    run -0 sh shared/scripts/setup.sh run
    [ "$(cat "$ROOT"/opt/{pair,half})" = $'2:1.0+a\n1:1.0~b' ]
    [ ! -e "$ROOT/opt/unrelated" ]
    [ "$before" = "$(find "$BATS_FILE_TMPDIR/machine"/{etc,lists} -type f -exec sha256sum {} + | sort)" ]
    [ -z "$(ls "$TMPDIR")" ]
}

@test "setup: KIT names a kit elsewhere; without this release's packages it says which to make" {
    mv kit ..
    KIT=../kit run -0 sh shared/scripts/setup.sh
    [ -e "$ROOT/opt/pair" ]
    rm -r "../kit/$CODENAME-$ARCH"
    KIT=../kit run -1 sh shared/scripts/setup.sh
    assert_error "no packages for $CODENAME-$ARCH in ../kit" "RELEASES=$CODENAME"
}

@test "setup: a kit beside it without this release's packages, or KIT=, is left alone" {
    local path=$PATH
    mkdir ../path
    printf '#!/bin/sh\necho "apt-get $*" >>"%s"\n' "$PWD/../log" >../path/apt-get
    chmod +x ../path/apt-get
    PATH=$PWD/../path:$path KIT='' run -0 sh shared/scripts/setup.sh run
    rm -r "kit/$CODENAME-$ARCH"
    PATH=$PWD/../path:$path run -0 sh shared/scripts/setup.sh run
    run -0 grep -c SourceList ../log || true
    [ "$output" = 0 ]
    grep -q 'install --no-install-recommends pair' ../log
}

@test "setup: a package changed on its way is refused" {
    echo x >>"kit/$CODENAME-$ARCH/half_1%3a1.0~b_all.deb"
    run -1 sh shared/scripts/setup.sh run
    assert_error 'cannot install from the kit' 'KIT= sh shared/scripts/setup.sh run'
    [ ! -e "$ROOT/opt/half" ]
}

@test "kit: a release that the machine's sources do not have, no git" {
    RELEASES=nosuch run -1 shared/scripts/kit.sh
    assert_error 'cannot read the package lists of nosuch' 'RELEASES'
    run ! compgen -G 'build/kit/*.tar*'
    rm -rf .git
    run -1 shared/scripts/kit.sh
    assert_error 'not a git repository' 'git clone'
}
