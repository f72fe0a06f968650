#!/bin/sh
# 必要なパッケージを、まだないものだけ入れる。
#   setup.sh        作る、動かす、確かめるのに必要なもの
#   setup.sh run    そのうち、README の初めの 2 つを動かすものだけ
#   setup.sh dev    開発に使うもの (静的解析、計測、仮想マシンなど) も
#   setup.sh docs   スライドと手引きを作り、確かめるものも
#   setup.sh site   スライドと、ブラウザーのタブで動くページを作るものも
#   setup.sh engines  make engines で動かすエンジンも
#   setup.sh run-docs  手引きのコマンドを動かすものだけ (仮想マシンの中で使う)
#   setup.sh list [run-docs]  入れずに、名前だけを表示する
# make kit で作ったキットがあれば、run と引数なしは、ネットワークを使わない。
#   KIT=パスか URL  キットの場所 (デフォルトはこのリポジトリの kit/)。空なら使わない
# まだ make も bash もないかもしれないので、POSIX の sh で書く。
# Debian 12, 13 と Ubuntu 24.04 で使える。22.04 では、bats だけ新しくする。
set -eu
# su で root になっても、PATH に sbin のないことがある。
# dpkg は、そこにあるものを使う。su(1)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

run='
gcc libc6-dev make              # コンパイル (サニタイザーも gcc と一緒に入る)
sudo                            # README のとおりに打てるように
busybox-static                  # rootfs の中身
procps psmisc util-linux        # ps, pstree, unshare
'
base="$run
git                             # ステップの差分
libcap-dev                      # ケーパビリティ
libmnl-dev                      # rtnetlink
libcjson-dev libseccomp-dev     # 09 の続き: config.json、システムコールのフィルター
bats strace                     # テスト
iproute2 netcat-openbsd         # ip, nc
iputils-ping                    # ping
bsdextrautils                   # column
libcap2-bin libcap-ng-utils     # capsh, pscap
nftables uidmap                 # 発展課題の答え: NAT、newuidmap
"

dev='
clang clang-format clang-tidy   # 2 つ目のコンパイラー、書式、静的解析
cppcheck                        # 静的解析
shellcheck shfmt                # シェルスクリプトの静的解析、書式
datamash gnuplot-nox            # 計測、グラフ
fonts-noto-cjk                  # グラフの日本語
bubblewrap runc crun            # 計測で比べる相手
podman                          # コンテナイメージの書き出し
mmdebstrap                      # Debian の rootfs
debian-archive-keyring          # Ubuntu で Debian の署名を調べる
tmux                            # 端末を使うテスト
qemu-system-x86 qemu-system-arm # 仮想マシン (x86-64, arm64)
locales                         # 日本語のロケールでのテスト
xz-utils zstd                   # 圧縮した tar から作る rootfs のテスト
debvm qemu-user-static arch-test # 仮想マシンのイメージを作る (x86-64, arm64)
openssh-client python3-pexpect  # 仮想マシンに入る
gdb python3-yaml python3-jsonschema # make editor とマシンの作り方のテスト
'
# x86-64 でだけ使うもの
dev_amd64='
gcc-aarch64-linux-gnu           # arm64 でもコンパイルできるか調べる
libc6-dev-arm64-cross
'

run_docs='
python3-pexpect                 # 手引きのコマンドを、本物の端末に打つ
python3-markdown-it             # 手引き (Markdown) を読む
gnuplot-nox                     # CPU の実験のグラフ
runc                            # 同じコンテナを runc で動かす
podman                          # イメージのルートファイルシステムを取り出す
'
docs='
chromium                        # スライドを PDF にする、調べる
fonts-noto-cjk fontconfig       # 図とスライドの日本語
libharfbuzz-bin                 # 使う字だけの書体を埋め込む
poppler-utils                   # PDF のページを数える
libxml2-utils                   # 図 (SVG) を調べる
universal-ctags                 # スライドの差分を関数ごとに分ける
'

site='
flex bison bc                   # カーネルを作る
gcc-i686-linux-gnu libc6-dev-i386-cross
mmdebstrap uidmap debian-archive-keyring # i386 の Debian
cpio zstd                       # 1 つのファイルにする
seabios                         # v86 の BIOS
'

engines='
podman conmon                   # podman と、その shim に当たるもの
docker.io containerd            # dockerd と containerd
containernetworking-plugins iptables # ポートの公開 (-p)
catatonit                       # --init
'

fail() {
    echo "setup.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# 一覧からコメントを除き、1 行に並べる
names() {
    echo "$1" | sed 's/#.*//' | xargs
}

# 渡された名前のうち、入っていないもの
missing() {
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" \
        2>/dev/null | sed -n 's/^installed //p') || true
    for package; do
        echo "$installed" | grep -qxF -e "$package" || printf '%s ' "$package"
    done
}

as_root() {
    [ "$(id -u)" = 0 ] || set -- sudo "$@"
    "$@"
}

# 画面でなければ、進み具合は出さない
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"
}

# キットの、このマシンのパッケージのある場所を $kit に入れる
find_kit() {
    place=$(. /etc/os-release && echo "${VERSION_CODENAME-}")-$(dpkg --print-architecture)
    kit=${KIT-${0%"${0##*/}"}../../kit}
    case $kit in
    '') return ;;
    *://*) kit=$kit/$place && return ;;
    esac
    if ! [ -e "$kit/$place/Packages" ]; then
        if [ -n "${KIT-}" ]; then
            fail "no packages for $place in $KIT" \
                "make kit RELEASES=${place%%-*} で作ったキットの kit/ を指定してください"
        fi
        kit=
        return
    fi
    kit=$(cd "$kit/$place" && pwd)
}

# キットだけから入れる。マシンの /etc/apt と、パッケージの一覧は変えない
install_from_kit() {
    work=$(mktemp -d)
    trap 'as_root rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    # パスには、sources.list(5) に書けない字もある
    case $kit in
    *://*) url=$kit ;;
    *) ln -s "$kit" "$work/kit" && url=file:$work/kit ;;
    esac
    # パッケージの署名は、キットを作るときに調べてある
    echo "deb [trusted=yes] $url ./" >"$work/kit.list"
    # ホームの中は、apt-get のふだん使うユーザー (_apt) には読めない。ネットワークがないと、
    # 時計も合っていないことがある
    kit_apt() {
        apt_get -o Dir::Etc::SourceList="$work/kit.list" -o Dir::Etc::SourceParts=/dev/null \
            -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User=root \
            -o Acquire::Languages=none -o Acquire::Check-Date=false \
            -o APT::Update::Error-Mode=any "$@"
    }
    kit_apt -qq update && kit_apt install --no-install-recommends "$@"
}

kit=
case ${1-} in
'' | run)
    [ -z "${1-}" ] || base=$run
    wanted=$(names "$base")
    ;;
dev) wanted=$(names "$base $dev") ;;
run-docs) wanted=$(names "$base $run_docs") ;;
engines)
    # Debian 13 の docker.io は、コマンドの docker を含まない
    ! apt-cache show docker-cli >/dev/null 2>&1 || engines="$engines docker-cli"
    wanted=$(names "$base $engines")
    ;;
docs | site)
    [ "$1" = docs ] || docs=$docs$site
    # Node.js は、Debian のものでなくてもよい。別のものがあれば、重ねて入れない
    command -v node >/dev/null || docs="$docs nodejs"
    command -v npm >/dev/null || docs="$docs npm"
    wanted=$(names "$base $run_docs $docs")
    ;;
list)
    [ "${2-}" = run-docs ] || run_docs=
    names "$base $run_docs"
    exit
    ;;
*) fail "unknown argument: $1" 'sh shared/scripts/setup.sh [run|dev|docs|site|engines|run-docs|list]' ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    fail 'apt-get: command not found' \
        "Debian と Ubuntu のほかでは、次に当たるものを入れてください: $wanted"
fi
if [ "${1-}" = dev ] && [ "$(dpkg --print-architecture)" = amd64 ]; then
    wanted="$wanted $(names "$dev_amd64")"
fi

# shellcheck disable=SC2086 # 名前は空白で区切ってある
needed=$(missing $wanted)
if [ -z "$needed" ]; then
    echo 'setup: すべて入っています'
else
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        fail 'must be root, and sudo is not installed' \
            "root で動かしてください: su -c 'sh shared/scripts/setup.sh $*'"
    fi
    echo "setup: 次のものを入れます: $needed"
    case ${1-} in '' | run) find_kit ;; esac
    # パッケージの一覧がない (コンテナイメージなど) か、古いときだけ取り直す
    # shellcheck disable=SC2086
    if [ -n "$kit" ]; then
        install_from_kit $needed ||
            fail "cannot install from the kit: $kit" \
                "マシンのほうが新しいと、キットからは入りません。ネットワークからなら: \
KIT= sh shared/scripts/setup.sh $*"
    elif ! apt-get -s install --no-install-recommends $needed >/dev/null 2>&1; then
        apt_get update
        apt_get install --no-install-recommends $needed
    elif ! apt_get install --no-install-recommends $needed; then
        apt_get update
        apt_get install --no-install-recommends $needed
    fi
fi

[ "${1-}" != run ] || exit 0

# Ubuntu 22.04 の bats は 1.2 で、テストを選ぶ機能 (タグ) がない
version=$(bats --version 2>/dev/null | sed 's/[^0-9]*//')
if [ "$(printf '%s\n' 1.8.0 "$version" | sort -V | head -n 1)" != 1.8.0 ]; then
    echo "setup.sh: bats $version is too old, make test needs 1.8 or later" >&2
    echo '  ヒント: git clone -b v1.11.0 https://github.com/bats-core/bats-core &&' \
        'sudo bats-core/install.sh /usr/local' >&2
fi
