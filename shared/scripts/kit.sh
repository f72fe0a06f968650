#!/usr/bin/env bash
# ネットワークの細い教室のために、USB メモリーや教室のサーバーに置く 1 つのファイルを作り、
# その場所を表示する。開くと container-workshop/ ができる。中身は次の 3 つ。
#   このリポジトリ  コミットする前の変更も、1 つのコミットにして入れる
#   slides/build/   スライド (作る道具があれば、初めに作る)
#   kit/            setup.sh の入れるパッケージと、それに要るものすべて
# 環境変数:
#   RELEASES="bookworm trixie"  どのリリースのものを入れるか
#   ARCH=amd64                  どの CPU のものを入れるか (デフォルトはこのマシン)
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
arch=${ARCH:-$(dpkg --print-architecture)}
out=$PWD/build/kit

fail() {
    echo "kit.sh: $1" >&2
    echo "  ヒント: $2" >&2
    exit 1
}

# このマシンの使っているパッケージの置き場を、リリースの名前だけ変えて使う。
# ミラーやプロキシの設定は、そのまま生きる
sources() {
    # shellcheck disable=SC2016 # 展開するのは、apt-get
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)' \
        'Created-By: Packages' | sort -u | awk -v here="$here" -v release="$1" -v id="$ID" '
        tolower($1) == id && $3 ~ "^" here "(-updates|-security)?$" {
            sub(here, release, $3)
            keyring = "/usr/share/keyrings/" id "-archive-keyring.gpg"
            print "deb [signed-by=" keyring "]", $2, $3, $4
        }'
}

# $1 のリリースの、空のマシンから始めて要るものすべてを、kit/ に置く。libc6-dev のように
# 同じ版の libc6 を求めるものがあるので、どのマシンにもあるものも要る
collect() {
    local place=$1-$arch cache=$out/cache/$1-$arch stage=$out/new/kit/$1-$arch apt
    local -a packages
    mkdir -p "$cache"/{lists,packages} "$stage"
    sources "$1" >"$cache/sources.list"
    [[ -s $cache/sources.list ]] ||
        fail "no package source for $1" 'sudo apt-get update のあとで、もう一度'
    : >"$cache/empty"
    apt=(-q -o Dir::Etc::SourceList="$cache/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Dir::State="$cache" -o Dir::State::status="$cache/empty" -o Dir::Cache="$cache"
        -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User=root
        -o APT::Default-Release= -o Acquire::Languages=none -o APT::Update::Error-Mode=any)
    apt-get "${apt[@]}" update >&2 ||
        fail "cannot read the package lists of $1" \
            'Debian では Debian の、Ubuntu では Ubuntu のリリースだけです (RELEASES)'
    mapfile -t packages < <(
        # shellcheck disable=SC2046 # 名前は空白で区切ってある
        apt-get "${apt[@]}" -s install --no-install-recommends \
            $(sh shared/scripts/setup.sh list) |
            awk '$1 == "Inst" { print $2 "=" substr($3, 2) }'
    )
    ((${#packages[@]})) || fail "no packages for $place" '上のメッセージを見てください'
    # 署名のある一覧の SHA256 と比べながら取り寄せる。前に取り寄せたものは使い回す
    (cd "$cache/packages" && apt-get "${apt[@]}" download "${packages[@]}") >&2
    # 一覧は、署名を調べたものから抜き出す。ファイルの場所だけが変わる
    apt-cache "${apt[@]}" show "${packages[@]}" | awk '
        { field[$1] = $2 }
        /^Filename: / {
            gsub(/:/, "%3a", field["Version:"])
            $2 = "./" field["Package:"] "_" field["Version:"] "_" field["Architecture:"] ".deb"
        }
        { print }' >"$stage/Packages"
    sed -n 's/^Filename: //p' "$stage/Packages" |
        (cd "$cache/packages" && xargs ln -t "$stage")
    (
        cd "$stage"
        printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(date -uR)" \
            "$(sha256sum <Packages | cut -c 1-64)" "$(stat -c %s Packages)" >Release
        sha256sum -- *.deb Packages Release >SHA256SUMS
    )
    echo "# $place: ${#packages[@]} packages, $(du -sm "$stage" | cut -f 1) MB" >&2
}

# 手元の様子のとおりの、きれいな作業ツリー。履歴もあるので、git restore も git log も使える
copy_repository() {
    local origin copy=$out/new
    git clone -q --no-hardlinks --single-branch --no-checkout . "$copy"
    git --git-dir="$copy/.git" --work-tree=. add -A
    git -C "$copy" diff --cached --quiet ||
        git -C "$copy" -c user.name=kit -c user.email=kit@localhost commit -qm 'Workshop as taught'
    git -C "$copy" reset -q --hard
    git -C "$copy" remote remove origin
    # このマシンの中の場所や、パスワードは配らない
    origin=$(git remote get-url origin 2>/dev/null) || true
    [[ ! $origin =~ ^https://[^@]*$ ]] || git -C "$copy" remote add origin "$origin"
}

copy_slides() {
    if [[ -d slides/tool/node_modules ]] && command -v node >/dev/null; then
        make --no-print-directory slides >&2
    fi
    if [[ -d slides/build ]]; then
        mkdir -p "$out/new/slides" && cp -R slides/build "$out/new/slides"
    else
        echo '# スライドは入れません。入れるなら: make setup-docs slides kit' >&2
    fi
}

command -v apt-get >/dev/null || fail 'apt-get: not found' 'Debian か Ubuntu で作ってください'
git rev-parse -q --verify HEAD >/dev/null ||
    fail 'not a git repository' 'git clone したものの中で作ってください'
# shellcheck source=/dev/null
. /etc/os-release
here=${VERSION_CODENAME-}
releases=${RELEASES:-$([[ $ID == debian ]] && echo bookworm trixie || echo "$here")}

rm -rf "$out/new"
mkdir -p "$out"
copy_repository
copy_slides
for release in $releases; do
    collect "$release"
done
file=$out/container-workshop-$(tr ' ' - <<<"$releases")-$arch.tar
mv -T "$out/new" "$out/container-workshop"
tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner -cf "$file.new" container-workshop
rm -rf "$out/container-workshop"
mv "$file.new" "$file"
cat >&2 <<END
# $(du -m "$file" | cut -f 1) MB, SHA256 $(sha256sum "$file" | cut -c 1-64)
# 使う人は、これを開いて、その中で README のとおりに打ちます:
#   tar -xf ${file##*/} && cd container-workshop
END
echo "$file"
