#!/bin/sh
# どのステップがこのマシンで動くかを調べて、足りないものと直し方を示す。
#   doctor.sh            調べる。9 つとも動けば 0、そうでなければ 1 で終わる
#   doctor.sh --reasons  動かない理由と直し方の表を、タブで区切って出す
# 何も変えない。マウントなどは、終われば消える名前空間の中でだけ試す。
# まだ何も入っていないマシンで使うので、POSIX の sh と、Debian に初めからある
# ものだけで書く。パスワードは聞かない。
#
# shellcheck disable=SC2034,SC2154 # p_NAME などは、eval で読み書きする
set -u
# su で root になっても、PATH に sbin のないことがある。su(1)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
locale_now=${LC_ALL:-${LC_CTYPE:-${LANG:-}}}
unset LANGUAGE
export LC_ALL=C
self=$0
# busybox の sh は、自分の unshare を先に使う。それは -C を知らない
unshare=/usr/bin/unshare
[ -x $unshare ] || unshare=unshare

# 動かない理由: 名前|なぜ|どうする
reasons='
kernel|カーネルが古すぎます (5.9 から動きます)|新しい Debian か Ubuntu を使ってください
syscall|カーネルか seccomp が、新しいシステムコール (clone3 など) を拒んでいます|uname -r が 5.9 以上なら、コンテナの外 (ホスト) で直接実行してください
noexec|このディレクトリは noexec でマウントされています|ホームディレクトリなど、別の場所に置き直してください
wsl1|WSL1 には、Linux のカーネルがありません|PowerShell で wsl --set-version ディストリビューション名 2 とします
userns-off|ユーザー名前空間の上限が 0 です|sudo sysctl -w user.max_user_namespaces=10000
userns-clone|一般ユーザーの名前空間が止められています|sudo を付けて実行するか、sudo sysctl -w kernel.unprivileged_userns_clone=1
apparmor|AppArmor が、一般ユーザーの名前空間を制限しています|sudo を付けて実行するか、sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
no-userns|カーネルに、ユーザー名前空間がありません|Debian か Ubuntu の標準のカーネルで起動してください
ns-limit|名前空間の数の上限が 0 です|sysctl user で 0 のものを探し、sudo sysctl -w で 10000 にします
chroot|chroot の中では、ユーザー名前空間を作れません|chroot の外で実行してください
container|コンテナの中なので、名前空間やマウントを断られました|ホストで直接実行するか、docker run --privileged --cgroupns=host で始めます
refused|カーネルが、名前空間やマウントを断りました|sudo を付けて、もう一度 doctor を動かしてください。同じなら、この出力を講師に見せてください
masked-proc|外側の /proc の一部が隠されているか、読み取り専用です (Docker など)|ホストで直接実行するか、docker run --privileged --cgroupns=host で始めます
masked-sys|外側の /sys の一部が隠されています (Docker など)|ホストで直接実行するか、docker run --privileged --cgroupns=host で始めます
initramfs|ルートが initramfs なので、pivot_root で取り替えられません|make vm の仮想マシンを使うか、ディスクから起動してください
keyctl|keyctl が止められています (LXC、systemd-nspawn、Docker の中)|ホストで直接実行してください
cgroup-none|cgroup のコントローラー (cpu、memory、pids) が足りません|--no-cgroup を付けます。WSL なら wsl --update を試してください
memory|memory コントローラーが切られています (Raspberry Pi など)|カーネルの引数に cgroup_enable=memory を足して、再起動します
swap|カーネルがスワップを数えていません|カーネルの引数に swapaccount=1 を足して、再起動します
cgroup-ro|cgroup が読み取り専用です (Docker など)|ホストで直接実行するか、docker run --privileged --cgroupns=host で始めます
cgroup-busy|ここの cgroup にはほかのプロセスもいるので、制限を有効にできません (v2)|docker run --privileged --cgroupns=host で始めます
cgroup-root|cgroup を作れるのは root だけです|sudo の使えるユーザーで実行してください
net-root|ホストのネットワークを変えられるのは root だけです|sudo の使えるユーザーで実行してください
net-admin|root ですが、ホストのネットワークを変えられません (CAP_NET_ADMIN)|ホストで直接実行するか、docker run --privileged --cgroupns=host で始めます
sysctl-ro|/proc/sys が読み取り専用です (Docker など)|ホストで直接実行するか、docker run --privileged --cgroupns=host で始めます
routes|10.0.0.0/16 が、もう使われています (VPN など)|VPN を切ってから実行してください
veth|カーネルに veth がないようです|sudo modprobe veth を試してください
'

# ファイルの 1 行目。なければ空
line_of() {
    sed -n 1p "$1" 2>/dev/null
}

status_of() {
    sed -n "s/^$1:[[:space:]]*//p" /proc/self/status 2>/dev/null
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# 空白か , で区切った一覧に語があるか: has_word LIST WORD
has_word() {
    case " $1 " in *[\ ,]"$2"[\ ,]*) return 0 ;; esac
    return 1
}

# --- 名前空間の中で試す --------------------------------------------------------

# コマンドがなければ「?」。動けば ok、断られれば no
attempt() {
    name=$1
    shift
    if ! has "$1"; then
        echo "$name ?"
    elif "$@" >/dev/null 2>&1; then
        echo "$name ok"
    else
        echo "$name no"
    fi
}

# 外 (引数) とは違うユーザー名前空間で、id のマッピングも enter が書いたものか。
# そうでなければ、ホストのものを変えてしまう
require_own() {
    read -r _ _ count </proc/self/uid_map
    [ "$count" = 1 ] && [ "$(readlink /proc/self/ns/user)" != "${1:-$(readlink /proc/self/ns/user)}" ] || exit
}

# ステップと同じことを、順に試す
try_inside() {
    require_own "$1"
    echo "map ok"
    [ "$2" = full ] || exit
    attempt uts hostname container
    attempt chroot chroot / true
    # -f で、続きは新しい PID 名前空間の PID 1 になる
    "$unshare" -p -m -f sh -c "$DOCTOR_CODE" "$self" --mounts "$1" "$3" || echo "private no"
} 2>/dev/null

try_mounts() {
    require_own "$1"
    attempt private mount --make-rprivate /
    attempt proc mount -t proc -o nosuid,nodev,noexec proc /proc
    attempt sysfs mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys
    if "$unshare" --help 2>&1 | grep -q -e ' -C,'; then
        attempt cgroupns "$unshare" -C true
    else
        echo "cgroupns ?"
    fi
    [ "$2" = no ] || attempt veth ip link add type veth
    # keyctl(2) の番号は、CPU によって違う
    case $(uname -m) in
    x86_64) attempt keyctl perl -e 'exit(syscall(250, 1, 0) == -1 && !$!{ENOSYS})' ;;
    aarch64) attempt keyctl perl -e 'exit(syscall(219, 1, 0) == -1 && !$!{ENOSYS})' ;;
    esac
    # コマンドやこのスクリプトを隠さない場所に重ねる
    attempt tmpfs mount -t tmpfs -o mode=755,size=64k tmpfs /sys
    cd /sys || exit
    mkdir pts mqueue && : >null
    attempt devpts mount -t devpts -o newinstance,ptmxmode=666 devpts pts
    attempt mqueue mount -t mqueue mqueue mqueue
    attempt bind mount --bind /dev/null null
    if { echo 0 >/proc/sys/user/max_user_namespaces; } 2>/dev/null; then
        echo "limit ok"
    else
        echo "limit no"
    fi
    attempt pivot pivot_root . .
    exit 0
} 2>/dev/null

# 短く待つ。小数を知らない sleep もある
nap() {
    sleep 0.002 || sleep 1
} 2>/dev/null

# id のマッピングは、ステップと同じように外から書く。それを待つ。
# マッピングのあとの exec で、ケーパビリティがそろう。capabilities(7)
wait_map() {
    parent=$PPID
    until read -r _ </proc/self/gid_map; do
        [ -d "/proc/$parent" ] || exit
        nap
    done
    exec sh -c "$DOCTOR_CODE" "$self" --inside "$@"
}

# 0700 のホームディレクトリにあると、0 を 0 にマッピングした root からは読めない。
# だから、このスクリプトの中身を環境変数で渡す
share_code() {
    DOCTOR_CODE=$(cat "$self")
    export DOCTOR_CODE
}

# 試した結果を「名前 結果」の行にする: enter {full|map} VETH FLAGS...
enter() {
    mode=$1 veth=$2 mine=$(readlink /proc/self/ns/user)
    shift 2
    "$unshare" "$@" sh -c "$DOCTOR_CODE" "$self" --wait "$mine" "$mode" "$veth" 2>/dev/null </dev/null &
    child=$! tries=0 created='?'
    while [ "$created" = '?' ] && [ $tries -lt 1000 ]; do
        tries=$((tries + 1))
        case $(line_of "/proc/$child/stat") in '' | *') Z '*) created=no ;; esac
        theirs=$(readlink "/proc/$child/ns/user" 2>/dev/null) || theirs=$mine
        if [ "$theirs" != "$mine" ]; then created=ok; else nap; fi
    done
    echo "create $created"
    if [ "$created" != ok ]; then
        kill "$child"
    elif ! { echo deny >"/proc/$child/setgroups" && echo "0 $(id -u) 1" >"/proc/$child/uid_map" &&
        echo "0 $(id -g) 1" >"/proc/$child/gid_map"; }; then
        echo "map no"
        kill "$child"
    fi
    wait "$child"
} 2>/dev/null

# --- 理由を読む ----------------------------------------------------------------

around() {
    version=$(uname -r)
    # docker run は、初めのプロセスの環境に container を書かない
    manager=$({ tr '\0' '\n' </proc/1/environ; } 2>/dev/null | sed -n 's/^container=//p')
    [ -n "$manager" ] || manager=$(line_of /run/systemd/container)
    [ -n "$manager" ] || manager=$(line_of /run/host/container-manager)
    case $version in
    *-Microsoft) wsl=wsl1 ;;
    *microsoft* | *WSL2*) wsl=wsl2 ;;
    *) wsl= ;;
    esac
    # コンテナのイメージから作った仮想マシンにも、ファイルは残る
    if [ -e /.dockerenv ] && is_contained; then
        echo docker
    elif [ -e /run/.containerenv ]; then
        echo podman
    elif [ -n "$manager" ]; then
        echo "$manager" | tr -cd 'a-z0-9-'
    elif grep -qs '[ ]/proc/[a-z]* .*lxcfs' /proc/self/mountinfo; then
        echo lxc
    elif [ -n "$wsl" ]; then
        echo $wsl
    elif is_chroot; then
        echo chroot
    elif is_contained; then
        echo container
    else
        echo none
    fi
}

is_contained() {
    [ "$(status_of Seccomp)" = 2 ] || masked /proc || grep -q ' / / .* - overlay ' /proc/self/mountinfo
}

# ルートがマウントポイントでないか、同じマウント名前空間の PID 1 のものと違うか
is_chroot() {
    ! grep -q '^[0-9]* [0-9]* [^ ]* [^ ]* / ' /proc/self/mountinfo ||
        { [ "$(readlink /proc/1/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] &&
            [ "$(mount_id /)" != "$(mount_id /proc/1/root/.)" ]; }
} 2>/dev/null

mount_id() {
    sed -n 's/^mnt_id:[[:space:]]*//p' /proc/self/fdinfo/0 <"$1"
}

# その下に、隠すためのマウントがあるか。systemd の binfmt_misc は違う
masked() {
    awk -v top="$1/" 'index($5, top) == 1 && $5 !~ /binfmt_misc|^\/sys\/(fs|kernel)\// { found = 1 }
        END { exit !found }' /proc/self/mountinfo 2>/dev/null
}

why_refused() {
    if [ ! -e /proc/self/ns/user ]; then
        echo no-userns
    elif [ "$(line_of /proc/sys/user/max_user_namespaces)" = 0 ]; then
        echo userns-off
    elif [ "$uid" != 0 ] && [ "$(line_of /proc/sys/kernel/unprivileged_userns_clone)" = 0 ]; then
        echo userns-clone
    elif [ "$uid" != 0 ] && [ "$(line_of /proc/sys/kernel/apparmor_restrict_unprivileged_userns)" = 1 ]; then
        echo apparmor
    elif grep -qsx 0 /proc/sys/user/max_*_namespaces; then
        echo ns-limit
    elif is_chroot || blames_chroot; then
        echo chroot
    elif [ "$in" != none ] && [ "$in" != wsl2 ]; then
        echo container
    else
        echo refused
    fi
}

# ほかに断るもの (seccomp など) がなければ、EPERM は chroot のしるし。unshare(2)
blames_chroot() {
    [ "$p_create" = no ] && [ "$(status_of Seccomp)" = 0 ] &&
        "$unshare" -U true 2>&1 | grep -q 'not permitted'
}

# /proc が読み取り専用でなければ、CAP_SETUID などがない。user_namespaces(7)
why_map() {
    ! grep -q ' /proc proc ro' /proc/mounts || { echo masked-proc && return; }
    why_refused
}

why_pivot() {
    ! grep -q '^rootfs / ' /proc/mounts || { echo initramfs && return; }
    why_refused
}

# コントローラーの階層を、ステップ 09 と同じ順に探す。version と top に入れる
find_controller() {
    version=none top=
    while read -r _ point type options _; do
        case $point in *\\*) point=$(printf %b "$point") ;; esac
        case $type in
        cgroup) has_word "$options" "$1" || continue ;;
        cgroup2) has_word "$(line_of "$point/cgroup.controllers")" "$1" || continue ;;
        *) continue ;;
        esac
        version=v1
        [ "$type" = cgroup ] || version=v2
        top=$point
        top_options=$options
        return
    done </proc/self/mounts
}

# 上に書けなくても、委譲された (delegated) cgroup の中なら作れる。cgroups(7)
own_cgroup() {
    if [ "$version" = v2 ]; then
        sed -n 's/^0:://p' /proc/self/cgroup
    else
        sed -n "s/^[0-9]*:\([^:]*,\)\{0,1\}$1\(,[^:]*\)\{0,1\}://p" /proc/self/cgroup
    fi
}

controller_verdict() {
    find_controller "$1"
    if [ ! -e "$top/cgroup.procs" ]; then
        [ "$1" != memory ] || ! grep -qs '^memory.*0$' /proc/cgroups || { echo memory && return; }
        echo cgroup-none
        return
    fi
    if [ ! -w "$top" ]; then
        ! has_word "$top_options" ro || { echo cgroup-ro && return; }
        own=$top$(own_cgroup "$1")
        if [ ! -w "$own" ]; then
            # root が断られるのは、別のマウントの下になっているとき
            if [ "$uid" = 0 ]; then echo cgroup-ro; else echo cgroup-root; fi
            return
        fi
        top=$own
    fi
    if [ "$version" = v2 ]; then
        # ツリーの根にだけ、cgroup.type がない
        ! [ -e "$top/cgroup.type" ] || ! grep -qvx $$ "$top/cgroup.procs" || { echo cgroup-busy && return; }
        ! grep -qsw swapaccount=0 /proc/cmdline || { echo swap && return; }
    elif [ "$1" = memory ] && [ ! -e "$top/memory.memsw.limit_in_bytes" ]; then
        echo swap
        return
    fi
    echo ok
}

cgroup_verdict() {
    for name in cpu memory pids; do
        verdict=$(controller_verdict $name)
        [ "$verdict" = ok ] || break
    done
    echo "$verdict"
}

# 10.0.0.0/16 をすべて含む経路 (デフォルトの経路のほか)。/proc/net/route の
# 番号は、下の桁から並ぶ 16 進数。proc_net(5)
routes_taken() {
    while read -r _ dest _ _ _ _ _ mask _; do
        case $mask in 00000000 | Mask) continue ;; 0000????) ;; *) continue ;; esac
        # 10.0 のうち、マスクに入る分と比べる
        case $dest in *00??) ;; *) continue ;; esac
        [ $((10 & 0x${mask#??????})) != $((0x${dest#??????})) ] || return 0
    done </proc/net/route
    return 1
} 2>/dev/null

# 今のネットワーク名前空間が、今のユーザー名前空間のものか。ioctl_nsfs(2)
owns_network() {
    # shellcheck disable=SC2016 # $ は perl のもの
    perl -e 'open(my $net, "<", "/proc/self/ns/net") or exit 1;
        my $fd = ioctl($net, 0xb701, 0) or exit 1;
        exit(readlink("/proc/self/fd/$fd") ne readlink("/proc/self/ns/user"))'
}

veth_verdict() {
    caps=$(status_of CapEff)
    if [ "$uid" != 0 ] && [ $((0x${caps#????????} >> 12 & 1)) = 0 ]; then
        echo net-root
    elif [ $((0x${caps#????????} >> 12 & 1)) = 0 ]; then
        echo net-admin
    elif has perl && ! owns_network; then
        echo net-admin
    elif [ -e /proc/sys/net/ipv6/conf/default/disable_ipv6 ] &&
        [ ! -w /proc/sys/net/ipv6/conf/default/disable_ipv6 ]; then
        echo sysctl-ro
    elif routes_taken; then
        echo routes
    elif knows_veth || [ "$p_veth" = ok ]; then
        echo ok
    elif [ "$p_veth" = no ]; then
        echo veth
    else
        echo '?ok'
    fi
}

# モジュールを読み込ませないように、読み込まれていないものは一覧で見る
knows_veth() {
    [ -e /sys/module/veth ] ||
        grep -qs '/veth\.ko' "/lib/modules/$(uname -r)/modules.builtin" "/lib/modules/$(uname -r)/modules.dep"
}

# --- 1 人のユーザーとして調べる ------------------------------------------------

# 初めに当てはまった理由を出す。どれも ok なら ok: first NAME REASON...
first() {
    result=ok
    while [ $# -gt 0 ]; do
        eval "got=\$p_$1"
        case $got in
        no)
            echo "$2"
            return
            ;;
        '?') result='?ok' ;;
        esac
        shift 2
    done
    echo "$result"
}

old_kernel() {
    release=$(uname -r)
    major=${release%%.*} minor=${release#*.}
    minor=${minor%%[!0-9]*}
    [ "$major" -lt 5 ] || { [ "$major" = 5 ] && [ "${minor:-0}" -lt 9 ]; }
}

# ないシステムコールの番号。どれも、おかしな引数で呼ぶ。あれば EINVAL などになる。番号は
# どの CPU でも同じ: 428 open_tree、429 move_mount、435 clone3、436 close_range、437 openat2
lacking_syscalls() {
    # shellcheck disable=SC2016 # $ は perl のもの
    ! has perl || perl -e 'for (428, 429, 435, 436, 437) {
        print "$_ " if syscall($_, -1, 0, -1, -1, -1) == -1 && $!{ENOSYS} }'
}

# ディレクトリがあるマウントのオプション (長く一致したもの)
is_noexec() {
    awk -v dir="$(pwd -P)/" '{ point = $5 == "/" ? "/" : $5 "/" }
        index(dir, point) == 1 && length(point) >= best { best = length(point); options = $6 }
        END { exit !((options ",") ~ /(^|,)noexec,/) }' /proc/self/mountinfo 2>/dev/null
}

# 試した結果の名前。試せなければ ?
names='create map uts private proc chroot sysfs tmpfs devpts mqueue bind pivot limit keyctl cgroupns veth'

take() {
    while read -r name value; do
        case " $names " in *" $name "*) eval "p_$name=\$value" ;; esac
    done <<END
$1
END
}

# ステップごとに「番号 理由」。09 は、base (--no-cgroup --no-veth)、cgroup、veth に分ける
probe() {
    uid=$(id -u)
    in=$(around)
    cgroup=$(cgroup_verdict)
    lacking=$(lacking_syscalls)
    all=
    if [ "$in" = wsl1 ]; then
        all=wsl1
    elif old_kernel; then
        all=kernel
    elif has_word "$lacking" 436; then
        all=syscall
    elif is_noexec; then
        all=noexec
    fi
    for name in $names; do eval "p_$name='?'"; done
    if has "$unshare"; then
        p_create=no
        share_code
        try_veth=yes
        ! knows_veth || try_veth=no
        result=$(enter full $try_veth -U -i -n -u)
        take "$result"
        if [ "$p_create" = no ]; then
            # UTS 名前空間だけが断られるのかもしれない
            p_uts=no
            result=$(enter map no -U -i -n)
            take "$result"
        fi
    else
        case $(why_refused) in refused | container) ;; *) p_create=no ;; esac
    fi
    refused=$(why_refused)
    if has_word "$lacking" 435; then
        p_create=no refused=syscall
    elif has_word "$lacking" 437; then
        p_chroot=no
    elif has_word "$lacking" 428 || has_word "$lacking" 429; then
        p_bind=no
    fi
    map=$(why_map)
    s2=$(first create "$refused")
    s3=$(first create "$refused" map "$map")
    s4=$(first create "$refused" map "$map" uts "$refused")
    s5=$(first create "$refused" map "$map" uts "$refused" private "$refused" proc masked-proc)
    s6=$s5
    [ "$s5" != ok ] || s6=$(first chroot "$refused")
    s7=$s6
    [ "$s6" != ok ] || s7=$(first sysfs masked-sys tmpfs "$refused" devpts "$refused" \
        mqueue "$refused" bind "$refused" pivot "$(why_pivot)")
    s8=$s7
    [ "$s7" != ok ] || s8=$(first limit "$refused" keyctl keyctl)
    base=$s8
    [ "$s8" != ok ] || base=$(first cgroupns "$refused")
    [ -z "$all" ] || s2=$all s3=$all s4=$all s5=$all s6=$all s7=$all s8=$all base=$all
    echo "s1 ${all:-ok}"
    for name in s2 s3 s4 s5 s6 s7 s8 base; do eval "echo $name \"\$$name\""; done
    echo "cgroup $cgroup"
    echo "veth $(veth_verdict)"
}

# 結果から 1 つ取り出す: of "$RESULT" s5
of() {
    echo "$1" | sed -n "s/^$2 //p"
}

# --- 結果を見せる --------------------------------------------------------------

explain() {
    echo "$reasons" | sed -n "s/^$1|\(.*\)|\(.*\)/\\$2/p"
}

missing_packages() {
    list=$(sh "$top_dir/shared/scripts/setup.sh" list 2>/dev/null)
    if has dpkg-query; then
        # shellcheck disable=SC2086 # 名前は空白で区切ってある
        installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $list 2>/dev/null | sed -n 's/^installed //p' | tr '\n' ' ')
        for package in $list; do
            has_word "$installed" "$package" || echo "$package"
        done
    fi
    # 入っていても、PATH になければ使えない
    has cc || echo gcc
    has make || echo make
    [ -e /usr/include/stdlib.h ] || echo libc6-dev
    [ -e /usr/include/sys/capability.h ] || echo libcap-dev
    [ -e /usr/include/libmnl/libmnl.h ] || echo libmnl-dev
    [ -x /bin/busybox ] || echo busybox-static
}

# ステップ N を作るのに足りないもの。もう作ってあれば、要らない
needs() {
    wanted=
    [ -x "step0$1" ] || {
        wanted='gcc make libc6-dev'
        case $1 in 8) wanted="$wanted libcap-dev" ;; 9) wanted="$wanted libcap-dev libmnl-dev" ;; esac
    }
    case $1 in
    [6-9]) [ -d rootfs/fs/bin ] || wanted="$wanted busybox-static make gcc libc6-dev" ;;
    esac
    for package in $wanted; do
        ! has_word "$missing" "$package" || return 0
    done
    return 1
}

find_sudo() {
    if [ "$uid" = 0 ]; then
        echo root
    elif ! has sudo; then
        echo none
    elif [ "$(status_of NoNewPrivs)" = 1 ]; then
        echo no
    elif $limit sudo -n true </dev/null >/dev/null 2>&1; then
        echo yes
    elif id -nG | tr ' ' '\n' | grep -qxE 'sudo|wheel|admin|root'; then
        echo password
    else
        echo no
    fi
}

# 1 つのステップの結論: how (plain sudo setup part no)、why、maybe (? なら、たぶん)
judge() {
    n=$1 maybe='' why='' how=no options=''
    if [ "$n" = 9 ]; then
        judge_9
    else
        mine=$(of "$user" "s$n") theirs=$(of "$root" "s$n")
        case $mine in
        ok | '?ok') how=plain ;;
        esac
        [ "$mine" != '?ok' ] || maybe='?'
        if [ $how = no ] && [ -n "$theirs" ]; then
            case $theirs in ok | '?ok') how=sudo ;; esac
            [ "$theirs" != '?ok' ] || maybe='?'
        elif [ $how = no ] && [ -n "$unsure" ]; then
            case $mine in apparmor | userns-clone) how=sudo maybe='?' ;; esac
        fi
        [ $how != no ] || why=${theirs:-$mine}
    fi
    case $how in
    plain | sudo)
        ! needs "$n" || how=setup
        ;;
    esac
}

# root になれる人は root の、なれない人は自分の結果で決める
judge_9() {
    seen=$user
    [ -z "$root" ] || seen=$root
    base=$(of "$seen" base) cgroup=$(of "$seen" cgroup) veth=$(of "$seen" veth)
    if [ -n "$unsure" ]; then
        # root ならどうなるかを、読めるものだけから
        case $base in apparmor | userns-clone) base=ok ;; esac
        [ "$cgroup" != cgroup-root ] || cgroup=ok
        [ "$veth" != net-root ] || veth=ok
        maybe='?'
    fi
    case $base in
    ok | '?ok') ;;
    *)
        why=$base maybe=''
        return
        ;;
    esac
    case $base$veth in *\?*) maybe='?' ;; esac
    veth=${veth#\?}
    [ "$cgroup" = ok ] || options=--no-cgroup why=$cgroup
    [ "$veth" = ok ] || options="$options${options:+ }--no-veth" why=${why:-$veth}
    how=part
    [ -n "$why" ] || how=sudo
    [ "$uid" != 0 ] || [ $how != sudo ] || how=plain
}

say() {
    printf '  %s %s\n' "$1" "$2"
}

userns_words() {
    for seen in "$user" "$root"; do
        case $(of "$seen" s4) in
        ok | '?ok') echo yes ;;
        *) echo no ;;
        esac
    done | tr '\n' ' '
}

read_os() {
    os_id=linux os_version='' os_name=$(uname -s)
    for file in /etc/os-release /usr/lib/os-release; do
        [ -r $file ] || continue
        os_id=$(sed -n 's/^ID=//p' $file | tr -d '"' | tr -cd 'a-zA-Z0-9._-')
        os_version=$(sed -n 's/^VERSION_ID=//p' $file | tr -d '"' | tr -cd 'a-zA-Z0-9._-')
        os_name=$(sed -n 's/^PRETTY_NAME=//p' $file | tr -d '"')
        return
    done
}

read_cgroups() {
    cg_text='' cg_kinds='' cg_v2=''
    for name in cpu memory pids cpuset; do
        find_controller $name
        word=$version
        [ "$version" != none ] || word=なし
        cg_text="$cg_text${cg_text:+、}$name $word"
        has_word "$cg_kinds" "$version" || cg_kinds="$cg_kinds $version"
    done
    ! grep -q ' cgroup2 ' /proc/self/mounts || cg_v2=yes
    case $cg_kinds in
    ' v1') cg=v1 && [ -z "$cg_v2" ] || cg=hybrid ;;
    ' v2') cg=v2 ;;
    ' none') cg=none ;;
    *none*) cg=part ;;
    *) cg=hybrid ;;
    esac
    cgroup=$(of "$user" cgroup)
    [ -z "$root" ] || cgroup=$(of "$root" cgroup)
}

findings() {
    say 'OS             ' "$os_name、$(uname -m)、Linux $(uname -r)"
    case $in in
    none) text='コンテナの中ではありません' ;;
    wsl2) text='WSL2 (Windows の中の仮想マシン) です' ;;
    wsl1) text='WSL1 です' ;;
    chroot) text='chroot の中です' ;;
    container) text='何かのコンテナの中です' ;;
    *) text="コンテナ ($in) の中です" ;;
    esac
    say 'まわり         ' "$text"
    case $userns in
    all) text='使えます' ;;
    root) text='root (sudo) だけが使えます' ;;
    *) text='使えません' ;;
    esac
    say '名前空間       ' "$text"
    case $cgroup in
    ok | '?ok') text=' (制限を設定できます)' ;;
    cgroup-root) text=' (root だけが設定できます)' ;;
    *) text=' (制限を設定できません)' ;;
    esac
    say 'cgroup         ' "$cg_text$text"
    case $sudo in
    root) text='root で実行しています' ;;
    yes) text='使えます' ;;
    password) text='使えるようです (パスワードが要ります)' ;;
    no) text='ありますが、このユーザーでは使えません' ;;
    none) text='ありません' ;;
    esac
    say 'sudo           ' "$text"
    case $missing in
    '') text='すべて入っています' ;;
    *) text="足りません: $missing" ;;
    esac
    say 'パッケージ     ' "$text"
    text="$((free / 1024)) MB"
    [ "$free" -ge 600000 ] || [ -z "$missing" ] || text="$text。少なすぎます。600 MB ほど空けてください"
    say 'ディスクの空き ' "$text"
    case $charmap in
    UTF-8) text=UTF-8 ;;
    *) text="UTF-8 ではありません。文字が崩れるなら export LC_ALL=C.UTF-8" ;;
    esac
    ! has locale || ! locale -a 2>/dev/null | grep -qi '^ja_JP.utf' || text="$text (日本語のメッセージも使えます)"
    say '文字コード     ' "$text"
}

verdicts() {
    steps='' with_sudo='' setup='' part='' guess='' whys='' last=''
    for n in 1 2 3 4 5 6 7 8 9; do
        judge $n
        certain=
        [ -z "$maybe" ] || certain=たぶん
        case $how in
        plain)
            steps=$steps$n
            text=${certain}動く
            ;;
        sudo)
            steps=$steps$n with_sudo=$with_sudo$n
            text="${certain}動く (sudo を付けて)"
            ;;
        setup)
            setup=$setup$n
            text="パッケージを入れれば、${certain}動く"
            ;;
        part)
            part=$n
            text="$options なら、${certain}動く"
            case $uid$options in 0* | *--no-veth*) ;; *) text="sudo と $text" ;; esac
            ! needs "$n" || text="パッケージを入れて、$text"
            ;;
        *) text='動かない' ;;
        esac
        [ -z "$maybe" ] || guess=$guess$n
        if [ "$why" = "$last" ] && [ -n "$why" ]; then
            text="$text: 上と同じ理由です"
            whys=$(echo "$whys" | sed "s/:$why\$/$n:$why/")
        elif [ -n "$why" ]; then
            text="$text: $(explain "$why" 1)"
            whys="$whys${whys:+,}$n:$why"
        fi
        last=$why
        echo "  0$n $text"
    done
}

todo() {
    for pair in $(echo "$whys" | tr , ' '); do
        echo "  - $(echo "${pair%%:*}" | sed 's/./0& /g; s/ $//'): $(explain "${pair#*:}" 2)"
    done
    [ -z "$missing" ] || case $sudo in
    root | yes | password) echo '  - パッケージ: sh shared/scripts/setup.sh' ;;
    *) echo "  - パッケージ: root で sh shared/scripts/setup.sh (su -c 'sh shared/scripts/setup.sh')" ;;
    esac
    [ -z "$guess" ] || [ -z "$unsure" ] ||
        echo '  - 「たぶん」: 先に sudo -v とすると、もう一度 doctor を動かしたときに確かめられます'
}

# 名前も IP アドレスも入れず、ASCII だけにする。id は、同じマシンの 2 度目の行を
# 見分けるためのもので、元には戻せない
paste_line() {
    id=$({ cat /etc/machine-id /proc/sys/kernel/random/boot_id && uname -n && id -u; } 2>/dev/null | cksum)
    id=$(printf %08x "${id%% *}")
    kernel=$(uname -r | sed 's/^\([0-9]*\.[0-9]*\).*/\1/')
    need=$(echo "$missing" | tr ' ' ,)
    echo "ct1 $os_id${os_version:+-$os_version} $(uname -m) $kernel cg=$cg userns=$userns" \
        "sudo=$sudo in=$in need=${need:--} steps=${steps:--} sudo-steps=${with_sudo:--}" \
        "setup=${setup:--} part=${part:--} maybe=${guess:--} why=${whys:--} id=$id end"
}

report() {
    uid=$(id -u)
    in=$(around)
    limit=
    ! has timeout || limit='timeout 20'
    sudo=$(find_sudo)
    user=$(probe) root=
    [ "$sudo" != yes ] || root=$($limit sudo -n sh "$self" --probe </dev/null 2>/dev/null)
    # 終わらせたときは、途中までしかない
    case $root in *"
veth "*) ;; *) root= ;; esac
    # root になれるはずでも、試せてはいない
    unsure=
    case $sudo$root in password | yes) unsure=yes ;; esac
    missing=$(missing_packages | awk '!seen[$0]++' | tr '\n' ' ')
    missing=${missing% }
    case $(userns_words) in
    yes*) userns=all ;;
    'no yes '*) userns=root ;;
    *) userns=none ;;
    esac
    [ "$userns" != none ] || [ -z "$unsure" ] || case $(of "$user" s4) in
    apparmor | userns-clone) userns=root ;;
    esac
    # 一般ユーザーとしては試せないので、設定を読む
    if [ "$uid" = 0 ] && [ "$userns" = all ] &&
        { [ "$(line_of /proc/sys/kernel/unprivileged_userns_clone)" = 0 ] ||
            [ "$(line_of /proc/sys/kernel/apparmor_restrict_unprivileged_userns)" = 1 ]; }; then
        userns=root
    fi
    read_os
    read_cgroups
    free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print $4 }')
    free=${free:-0}
    charmap=$(LC_ALL=$locale_now locale charmap 2>/dev/null) || charmap=$locale_now
    case $charmap in *[uU][tT][fF]*8*) charmap=UTF-8 ;; esac

    echo 'このマシン'
    findings
    echo
    echo 'ステップ'
    verdicts
    list=$(todo)
    if [ -n "$list" ]; then
        echo
        echo 'すること'
        echo "$list"
    fi
    echo
    echo '講師に送る 1 行 (名前は入っていません)'
    paste_line
    [ "$steps" = 123456789 ]
}

case ${1-} in
--wait | --inside | --mounts | --probe) ;;
*)
    top_dir=$(dirname "$self")/../..
    top_dir=$(cd "$top_dir" && pwd -P) || exit
    self=$top_dir/shared/scripts/$(basename "$self")
    cd "$top_dir" || exit
    ;;
esac

case ${1-} in
'') report ;;
--reasons) echo "$reasons" | sed '/^$/d' | tr '|' '\t' ;;
--probe) probe ;;
--wait)
    shift
    wait_map "$@"
    ;;
--inside)
    shift
    try_inside "$@"
    ;;
--mounts)
    shift
    try_mounts "$@"
    ;;
*)
    echo "doctor.sh: unknown argument: $1" >&2
    echo '  ヒント: sh shared/scripts/doctor.sh [--reasons]' >&2
    exit 2
    ;;
esac
