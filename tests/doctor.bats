# doctor.bats - doctor の結論を、その同じ条件でステップが本当にすることと比べる
#
# shellcheck disable=SC2016 # $ を展開するのは、内側の sh か awk
load helpers
load host/cgroups

# システムコールを断るプログラム: refuse NAME:ERRNO... -- COMMAND。seccomp(2)
setup_file() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    local place
    for place in "${BIN%/*}" "$USER_HOME"; do
        mkdir -p "$place/shared/scripts"
        cp "$TOP"/shared/scripts/doctor.sh "$TOP"/shared/scripts/setup.sh "$place/shared/scripts"
    done
    chown -R attendee: "$USER_HOME/shared"
    cc -o "$USER_HOME/refuse" -x c - <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char *argv[])
{
    int error = atoi(argv[1]);
    for (argv += 2; **argv != '-'; argv++) {
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ, atoi(*argv), 0, 1),
            BPF_STMT(BPF_RET, SECCOMP_RET_ERRNO | error),
            BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW),
        };
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){4, code}))
            return 1;
    }
    execvp(argv[1], argv + 1);
    return 1;
}
END
    {
        echo '#include <sys/syscall.h>'
        for name in unshare clone3 mount pivot_root chroot sethostname keyctl; do
            echo "$name SYS_$name"
        done
    } | cc -E -P - | tail -n 7 >"$USER_HOME/numbers"
    # 結論を 1 つずつ、本当にすることと比べる: judge.sh DIR
    cat >"$USER_HOME/judge.sh" <<'END'
cd "$1" || exit
out=$(sh shared/scripts/doctor.sh 2>&1)
status=$?
line=${out##*$'\n'}
echo "$line"
[[ $line == "ct1 "*" end" && $line != *[![:ascii:]]* ]] || echo "not a line to paste"
for word in $line; do [[ $word != *=* ]] || declare "d_${word%%=*}=${word#*=}" 2>/dev/null; done
sudo_steps=$(sed 's/.* sudo-steps=\([^ ]*\).*/\1/' <<<"$line")
[ "$status" = "$([ "$d_steps" = 123456789 ] && echo 0 || echo 1)" ] || echo "exit status $status"
real() { "$@" run ${options:+$options} true </dev/null >/dev/null 2>&1 && echo works || echo fails; }
results=$(for n in 1 2 3 4 5 6 7 8 9; do echo "$n:$(real "./step0$n")" & done; wait)
for n in 1 2 3 4 5 6 7 8 9; do
    options=
    plain=$(sed -n "s/^$n://p" <<<"$results")
    case $n in
    [$d_steps])
        if [[ $sudo_steps == *$n* ]]; then
            [ "$plain" = fails ] || echo "$n: sudo is not needed"
            [ "$d_sudo" = password ] || [ "$(real sudo -n "./step0$n")" = works ] || echo "$n: fails with sudo"
        else
            [ "$plain" = works ] || echo "$n: fails"
        fi
        ;;
    [$d_part])
        [ "$plain" = fails ] || echo "$n: works as a whole"
        options=$(sed -n 's/^  09 [^-]*\(--.*\) なら.*/\1/p' <<<"$out")
        as=()
        [[ $out != *"  09 "*"sudo と --"* ]] || as=(sudo -n)
        [ "$(real "${as[@]}" ./step09)" = works ] || echo "$n: fails with $options"
        case $options in *' '*) for options in $options; do
            [ "$(real ./step09)" = fails ] || echo "$n: $options is enough"
        done ;; esac
        ;;
    *)
        [ "$plain" = fails ] || echo "$n: works"
        ! sudo -n true 2>/dev/null || [ "$(real sudo -n "./step0$n")" = fails ] || echo "$n: works with sudo"
        [[ $out =~ "0$n 動かない: "[^[:space:]] ]] || echo "$n: no reason"
        ;;
    esac
done
END
    chmod 755 "$USER_HOME/refuse" "$USER_HOME/judge.sh"
    export REFUSE=$USER_HOME/refuse JUDGE=$USER_HOME/judge.sh ROOTS=${BIN%/*}
}

setup() {
    requires root userns cgroup net gcc
    MOUNTS=$(cat /proc/self/mountinfo)
    LINKS=$(ip -br link)
    unset SUDO_UID SUDO_GID
}

teardown() {
    chmod 755 "$USER_HOME" "$USER_HOME/shared"
    ip route flush root 10.0.0.0/8 2>/dev/null || true
    [ "$MOUNTS" = "$(cat /proc/self/mountinfo)" ]
    [ "$LINKS" = "$(ip -br link)" ]
}

# その条件の中で、root または attendee として比べる。引数は、条件になってからコマンドを
# 動かすもの: judged root COMMAND...
judged() {
    local who=$1 dir=$ROOTS
    shift
    set -- "$@" setpriv
    if [ "$who" = attendee ]; then
        dir=$USER_HOME
        set -- "$@" --reuid attendee --regid attendee --init-groups
    fi
    run "$@" env -i PATH="$PATH" HOME="$dir" bash "$JUDGE" "$dir"
    echo "$output"
    # 1 行目のほかに出るのは、食い違ったものだけ
    [ "${#lines[@]}" = 1 ]
}

# マウント名前空間の中で SCRIPT をしてから、コマンドになる: mounted SCRIPT COMMAND...
mounted() {
    local script=$1
    shift
    unshare --mount sh -c "$script
exec \"\$@\"" sh "$@"
}

# 行に、語がすべてあるか: says WORD...
says() {
    local word
    for word; do
        [[ " $output " == *" $word "* ]] || {
            echo "missing: $word"
            return 1
        }
    done
}

number() {
    sed -n "s/^$1 //p" "$USER_HOME/numbers"
}

NO_SUDO='mount --bind /dev/null "$(command -v sudo)"'

@test "root on an ordinary host: all nine work" {
    judged root
    says steps=123456789 sudo-steps=- sudo=root userns=all why=- maybe=-
}

@test "a user with sudo: 09 needs it, the others do not" {
    requires sudo rootless
    judged attendee
    says steps=123456789 sudo-steps=9 sudo=yes userns=all why=-
}

# Debian 13 では、ホームディレクトリは 0700
@test "a user with sudo, whose home nobody else can enter: the same" {
    requires sudo rootless
    chmod 700 "$USER_HOME" "$USER_HOME/shared"
    judged attendee
    says steps=123456789 sudo-steps=9 sudo=yes
}

@test "a user without sudo: 09 works with --no-cgroup --no-veth" {
    requires rootless
    judged attendee mounted "$NO_SUDO"
    says steps=12345678 part=9 sudo=none why=9:cgroup-root
}

@test "a user whose sudo asks for a password, or refuses: it is never asked" {
    requires sudo rootless
    sed '/^attendee/d' /etc/sudoers >"$BATS_TEST_TMPDIR/sudoers"
    echo 'attendee ALL=(ALL) ALL' >>"$BATS_TEST_TMPDIR/sudoers"
    chmod 440 "$BATS_TEST_TMPDIR/sudoers"
    judged attendee mounted "mount --bind $BATS_TEST_TMPDIR/sudoers /etc/sudoers"
    says sudo=no steps=12345678 part=9
    sed 's/^\(sudo\|helpers\):\(.*\)$/\1:\2/; s/^sudo:x:\([0-9]*\):.*/sudo:x:\1:attendee/' /etc/group >"$BATS_TEST_TMPDIR/group"
    judged attendee mounted "mount --bind $BATS_TEST_TMPDIR/sudoers /etc/sudoers
        mount --bind $BATS_TEST_TMPDIR/group /etc/group"
    says sudo=password steps=123456789 sudo-steps=9 maybe=9
}

@test "root cannot be tried though sudo works: perhaps, instead of no" {
    requires sudo rootless
    local first=$USER_HOME/first
    mkdir "$first"
    printf '#!/bin/sh\ncase $* in *--probe) exit 1 ;; esac\nexec %s "$@"\n' "$(command -v sudo)" >"$first/sudo"
    chmod 755 "$first" "$first/sudo"
    PATH=$first:$PATH judged attendee
    says sudo=yes steps=123456789 sudo-steps=9 maybe=9
}

@test "user.max_user_namespaces is 0: only 01 works, for root too" {
    judged root unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh
    says steps=1 userns=none part=- why=23456789:userns-off
}

@test "another kind of namespace has the limit 0: 03 still works, 04 does not" {
    judged root unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_uts_namespaces && exec "$@"' sh
    says steps=123 userns=none
    [[ $output == *" why=456789:ns-limit "* ]]
}

@test "root in a user namespace of its own: 09 works without cgroup and veth" {
    judged root unshare --user --map-root-user
    says steps=12345678 part=9
}

@test "unprivileged_userns_clone is 0 and the user has no sudo" {
    judged attendee mounted "$NO_SUDO; mount -t tmpfs -o mode=755 tmpfs /proc/sys/kernel
        echo 0 >/proc/sys/kernel/unprivileged_userns_clone" "$REFUSE" 1 "$(number unshare)" "$(number clone3)" --
    says steps=1 userns=none
    [[ $output == *" why=23456789:userns-clone "* ]]
}

@test "AppArmor takes the capabilities, and the user has no sudo: 02 and 03 work" {
    judged attendee mounted "$NO_SUDO; mount -t tmpfs -o mode=755 tmpfs /proc/sys/kernel
        echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns" \
        "$REFUSE" 1 "$(number sethostname)" "$(number mount)" "$(number pivot_root)" "$(number chroot)" --
    says steps=123 userns=none
    [[ $output == *" why=456789:apparmor "* ]]
}

@test "a part of /proc is masked, as in Docker: 05 and later do not work" {
    judged root mounted 'mount --bind /dev/null /proc/version'
    says steps=1234
    [[ $output =~ \ in=(docker|container)\  ]] # /.dockerenv のあるマシンもある
    [[ $output == *" why=56789:masked-proc "* ]]
}

@test "a whole Docker-like container: masks, /proc/sys and /sys read-only, few capabilities" {
    judged root mounted 'mount --bind /dev/null /proc/version
        mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
        mount --make-rprivate /
        mount -t tmpfs -o ro tmpfs /sys/firmware
        mount -o remount,bind,ro /sys' \
        "$REFUSE" 1 "$(number unshare)" "$(number mount)" "$(number pivot_root)" "$(number sethostname)" -- \
        "$REFUSE" 38 "$(number clone3)" -- setpriv --bounding-set -sys_admin,-net_admin,-sys_ptrace --inh-caps -all
    says steps=1 part=-
    [[ $output == *" why=23456789:syscall "* ]]
}

@test "root with hardly any capability, as in runc: the maps cannot be written, so 03 and later do not work" {
    judged root setpriv --bounding-set -all,+kill,+audit_write --inh-caps -all
    says steps=12
    [[ $output == *" why=3456789:"* && $output != *masked* ]]
}

@test "/proc is read-only: the maps cannot be written, so 03 and later do not work" {
    judged root mounted 'mount -o remount,bind,ro /proc'
    says steps=12
    [[ $output == *" why=3456789:masked-proc "* ]]
}

@test "a part of /sys is masked: 07 and later do not work" {
    judged root mounted 'mount -t tmpfs tmpfs /sys/kernel'
    says steps=123456 in=none
    [[ $output == *" why=789:masked-sys "* ]]
}

@test "clone3 is hidden, as by an old seccomp profile" {
    judged root "$REFUSE" 38 "$(number clone3)" --
    says steps=1
    [[ $output == *" why=23456789:syscall "* ]]
}

@test "pivot_root is refused: 07 and later do not work" {
    judged root "$REFUSE" 22 "$(number pivot_root)" --
    says steps=123456
}

@test "keyctl is refused, as in LXC: 08 and 09 do not work" {
    judged root "$REFUSE" 1 "$(number keyctl)" --
    says steps=1234567 why=89:keyctl
}

@test "no CAP_NET_ADMIN: 09 works with --no-veth" {
    judged root setpriv --bounding-set -net_admin --inh-caps -all
    says steps=12345678 part=9 why=9:net-admin
}

@test "a VPN has taken 10.0.0.0/8: 09 works with --no-veth" {
    ip route add 10.0.0.0/8 dev lo
    judged root
    says steps=12345678 part=9 why=9:routes
}

@test "the cgroups are read-only: 09 works with --no-cgroup" {
    judged root mounted 'for point in $(findmnt -rno TARGET -t cgroup,cgroup2); do
        mount -o remount,bind,ro "$point"; done'
    says steps=12345678 part=9 why=9:cgroup-ro
}

@test "the cgroups are read-only, for a user with sudo: 09 works with sudo and --no-cgroup" {
    requires sudo rootless
    judged attendee mounted 'for point in $(findmnt -rno TARGET -t cgroup,cgroup2); do
        mount -o remount,bind,ro "$point"; done'
    says steps=12345678 part=9 why=9:cgroup-ro
}

@test "no cgroup is mounted: 09 works with --no-cgroup" {
    judged root mounted 'umount -a -t cgroup,cgroup2'
    says steps=12345678 part=9 cg=none why=9:cgroup-none
}

@test "one controller is missing, or covered by something else: 09 works with --no-cgroup" {
    private_cgroups
    judged root without pids
    says steps=12345678 part=9
    judged root mounted "mount -t tmpfs cover '$(top_of memory)'"
    says steps=12345678 part=9
    remove_private_cgroups
}

@test "only v1 is mounted: all nine work" {
    ! is_v2 cpu || skip "needs v1"
    judged root mounted 'umount -a -t cgroup2'
    says steps=123456789 cg=v1
}

# v2 の木が一覧にコントローラーを挙げていても、v1 のマウントが先なら、そちらを使う
@test "the kind of each controller comes from the mount table: v2 alone, and a mixture" {
    ! is_v2 cpu || skip "needs v1"
    point=$(findmnt -fnro TARGET -t cgroup2)
    [ -n "$point" ]
    echo 'cpuset cpu memory pids' >"$BATS_TEST_TMPDIR/controllers"
    claim="mount --bind $BATS_TEST_TMPDIR/controllers $point/cgroup.controllers"
    run mounted "$claim; umount -a -t cgroup" sh "$ROOTS/shared/scripts/doctor.sh"
    [[ $output == *"cpu v2、memory v2、pids v2、cpuset v2"* && $output == *" cg=v2 "* ]]
    run mounted "$claim; umount $(top_of memory)" sh "$ROOTS/shared/scripts/doctor.sh"
    [[ $output == *"cpu v1、memory v2、pids v1、cpuset v1"* && $output == *" cg=hybrid "* ]]
}

@test "the directory is mounted noexec: nothing works" {
    judged root mounted "mount --bind '$ROOTS' '$ROOTS' && mount -o remount,bind,noexec '$ROOTS'"
    says steps=-
    [[ $output == *" why=123456789:noexec "* ]]
}

@test "inside a chroot: only 01 works" {
    mkdir "$BATS_TEST_TMPDIR/root"
    judged root mounted "mount --rbind / $BATS_TEST_TMPDIR/root" chroot "$BATS_TEST_TMPDIR/root"
    says steps=1
    [[ $output == *" why=23456789:chroot "* ]]
}

# --- 道具のないマシン --------------------------------------------------------------

# 名前を挙げたコマンドのほかは、いつもの場所にある PATH: path_without NAME...
path_without() {
    local name
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s /usr/sbin/* /usr/bin/* "$BATS_TEST_TMPDIR/bin" 2>/dev/null || true
    for name; do rm -f "$BATS_TEST_TMPDIR/bin/$name"; done
}

# 作る前のワークショップで、/usr/sbin なども隠して動かす
bare() {
    mkdir -p "$BATS_TEST_TMPDIR/w/shared"
    cp -a "$TOP/shared/scripts" "$BATS_TEST_TMPDIR/w/shared"
    # doctor は PATH に sbin を足す
    sed -i '/^PATH=/d; s,^unshare=/.*,unshare=unshare,' "$BATS_TEST_TMPDIR/w/shared/scripts/doctor.sh"
    run env PATH="$BATS_TEST_TMPDIR/bin" sh "$BATS_TEST_TMPDIR/w/shared/scripts/doctor.sh"
    echo "$output"
}

@test "no compiler, nothing built: it works once the packages are in, and make agrees" {
    path_without cc gcc make
    bare
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *" steps=- "*" setup=123456789 part=- "* && ${lines[-1]} =~ \ need=([a-z0-9,.-]*,)?gcc(,|\ ) ]]
    [[ $output == *"01 パッケージを入れれば、動く"*"sh shared/scripts/setup.sh"* ]]
    ln -s "$(command -v make)" "$BATS_TEST_TMPDIR/bin/make"
    cp -a "$TOP"/GNUmakefile "$TOP"/steps "$TOP"/shared "$BATS_TEST_TMPDIR/w"
    mkdir "$BATS_TEST_TMPDIR/w/tests"
    cp "$TOP"/tests/*.mk "$BATS_TEST_TMPDIR/w/tests"
    run -2 env PATH="$BATS_TEST_TMPDIR/bin" make -C "$BATS_TEST_TMPDIR/w" step01
    [[ $output == *"cc: "* ]]
}

@test "none of perl, ip, timeout, locale: the same verdicts" {
    path_without perl ip timeout locale gcc
    run env PATH="$BATS_TEST_TMPDIR/bin" sh "$ROOTS/shared/scripts/doctor.sh"
    [[ ${lines[-1]} == *" steps=123456789 "* ]]
}

@test "without unshare it only reads, and says so" {
    path_without unshare
    bare
    [[ $output == *"02 "*たぶん動く* && ${lines[-1]} == *" maybe=2"* ]]
}

# 1 つは、UTF-8 でないロケールで。空きの数は、そのあいだにも変わる
@test "dash, busybox sh and bash say the same, nothing goes to stderr; a locale without UTF-8 is told" {
    same() {
        run --separate-stderr env LC_ALL="$1" "${@:2}" "$ROOTS/shared/scripts/doctor.sh"
        # shellcheck disable=SC2154
        [ "$stderr" = "" ]
        seen=$(grep -v -e 'ディスクの空き' -e '文字コード' <<<"$output")
        [ -z "${first:-}" ] || [ "$seen" = "$first" ]
        first=$seen
    }
    same C.UTF-8 dash
    [[ $output == *"文字コード      UTF-8"* ]]
    same C.UTF-8 busybox sh
    same C bash --posix
    [[ $output == *"UTF-8 ではありません"*"export LC_ALL=C.UTF-8"* ]]
}

@test "nothing is changed: mounts, links, host name, limits; no file is made outside its namespaces" {
    requires strace
    look() {
        cat /proc/self/mountinfo /proc/sys/user/max_*
        ip -br link
        uname -n
    }
    before=$(look)
    strace -f -qq -o "$BATS_TEST_TMPDIR/trace" -e signal=none \
        -e trace='/^(open(at2?)?$|creat|mkdir|mknod|rename|unlink|rmdir|symlink|link|chmod|chown|fchmod|fchown|truncate|utime)' \
        sh "$ROOTS/shared/scripts/doctor.sh" >"$BATS_TEST_TMPDIR/out"
    [[ $(tail -n 1 "$BATS_TEST_TMPDIR/out") == *" steps=123456789 "* ]]
    [ "$before" = "$(look)" ]
    # 書くために開いたもの。null、pts、mqueue は、自分の tmpfs の中
    made=$(grep -vE 'open.*O_RDONLY| = -1 |^[^"]*$' "$BATS_TEST_TMPDIR/trace" |
        sed -E 's/^[^"]*"([^"]*)".*/\1/; s/[0-9]+/N/g' | sort -u | xargs)
    echo "$made"
    [ "$made" = '/dev/null /proc/N/gid_map /proc/N/setgroups /proc/N/uid_map /proc/sys/user/max_user_namespaces mqueue null pts' ]
}

@test "WSL is told by the kernel's name; on WSL1 nothing works" {
    path_without uname
    for kernel in 5.15.167.4-microsoft-standard-WSL2 4.4.0-19041-Microsoft 5.4.0-1; do
        printf '#!/bin/sh\ncase $1 in -r) echo %s ;; *) exec busybox uname "$@" ;; esac\n' $kernel >"$BATS_TEST_TMPDIR/bin/uname"
        chmod 755 "$BATS_TEST_TMPDIR/bin/uname"
        bare
        case $kernel in
        *WSL2) [[ $output == *WSL2*" in=wsl2 "* && $output == *" 5.15 "* ]] ;;
        *Microsoft) [[ $output == *" in=wsl1 "*" why=123456789:wsl1 "* ]] ;;
        *) [[ $output == *" why=123456789:kernel "* ]] ;;
        esac
    done
}

@test "every reason that the script can give is in its table, with what to do" {
    sh "$TOP/shared/scripts/doctor.sh" --reasons >"$BATS_TEST_TMPDIR/reasons"
    run ! awk -F '\t' 'NF != 3 || $2 == "" || $3 == "" { print; bad = 1 } END { exit !bad }' "$BATS_TEST_TMPDIR/reasons"
    # 理由は、echo か、all= か、first の引数になる
    given=$(grep -oE '(echo |all=|map |proc |sysfs |refused=|keyctl )[a-z0-9-]+( |$|;|\))' "$TOP/shared/scripts/doctor.sh" |
        sed -E 's/.*[ =]([a-z0-9-]+).*/\1/' | sort -u)
    known=$(cut -f 1 "$BATS_TEST_TMPDIR/reasons" | sort)
    [ "$(comm -12 <(echo "$given") <(echo "$known"))" = "$known" ]
}

@test "the parts that mount and name a host do nothing when they are called by hand" {
    for part in --inside --mounts; do
        for argument in '' x; do
            run -0 unshare --mount --uts sh -c 'before=$(cat /proc/self/mounts); sh "$0" "$1" "$2" full no
                [ "$before" = "$(cat /proc/self/mounts)" ] && uname -n' \
                "$ROOTS/shared/scripts/doctor.sh" $part "$argument"
            [ "$output" = "$(uname -n)" ]
        done
    done
}

@test "an unknown argument is refused with a hint" {
    run -2 sh "$TOP/shared/scripts/doctor.sh" --fix
    [[ ${lines[0]} == "doctor.sh: unknown argument: --fix" && ${lines[1]} == "  ヒント: "* ]]
}

# --- 教室 ---------------------------------------------------------------------------

MACHINE='x86_64 6.12 cg=v2 userns=all sudo=yes in=none'

class() {
    cat >"$BATS_TEST_TMPDIR/lines"
    run -0 sh "$TOP/shared/scripts/class.sh" "$BATS_TEST_TMPDIR/lines"
    echo "$output"
}

row() {
    xargs < <(grep "^  $1 " <<<"$output")
}

@test "class: thirty lines with names, quotes, CR, duplicates, wrapped lines and chat are tallied" {
    {
        echo 'おはようございます'
        for i in $(seq 1 24); do
            printf '[10:%02d] 人%d: ct1 debian-13 %s need=- steps=123456789 sudo-steps=9 setup=- part=- maybe=- why=- id=%08x end\r\n' \
                "$i" "$i" "$MACHINE" "$i"
        done
        echo "> > 人3: ct1 debian-13 $MACHINE need=- steps=123456789 sudo-steps=9 setup=- part=- maybe=- why=- id=00000003 end"
        echo "佐藤 ct1 ubuntu-24.04 $MACHINE need=bats,gcc steps=- sudo-steps=- setup=123456789 part=- maybe=- why=- id=000000aa end です"
        echo "鈴木　ct1 debian-12 $MACHINE need=bats"
        echo ' steps=12345678 sudo-steps=-  setup=- part=9 maybe=9 why=9:cgroup-ro'
        echo '> id=000000bb end'
        echo "ct1 debian-12 x86_64 6.12 cg=v1 userns=none sudo=root in=docker need=- steps=1 sudo-steps=- setup=- part=- maybe=- why=23456789:container id=000000cc end"
        printf '田中: ct1 debian-12 x86_64 6.12 cg=v1'
    } >"$BATS_TEST_TMPDIR/in"
    class <"$BATS_TEST_TMPDIR/in"
    [ "${lines[0]}" = "27 人 (同じマシンの行 1、読めない行 2)" ]
    [ "$(row 01)" = "01 26/27 1 0 0" ]
    [ "$(row 02)" = "02 25/27 1 0 1" ]
    [ "$(row 09)" = "09 24/27 1 1 1 (たぶん 1)" ]
    [[ $output == *"bats: 2 人 (佐藤、鈴木)"*"gcc: 1 人 (佐藤)"* ]]
    [[ $output == *"読み取り専用です"*"→ "*"鈴木 (debian-12, "*": 09"* ]]
    [[ $output == *"31 行目"*"in=docker"*": 02 03 04 05 06 07 08 09"* ]]
    [[ $output == *"1 行目: おはようございます"*"32 行目: 田中: ct1 "* ]]
}

@test "class: the last line of a machine counts, and the name stays" {
    class <<END
山田: ct1 debian-13 $MACHINE need=gcc steps=- sudo-steps=- setup=123456789 part=- maybe=- why=- id=000000aa end
ct1 debian-13 $MACHINE need=- steps=123456789 sudo-steps=9 setup=- part=- maybe=- why=- id=000000aa end
END
    [ "$(row 01)" = "01 1/1 0 0 0" ]
    [[ $output != *gcc* ]]
}

@test "class: what doctor prints is what class reads" {
    as_user sh "$USER_HOME/shared/scripts/doctor.sh" >"$BATS_TEST_TMPDIR/in"
    sed -i '$!d' "$BATS_TEST_TMPDIR/in"
    class <"$BATS_TEST_TMPDIR/in"
    [ "${lines[0]}" = "1 人 (同じマシンの行 0、読めない行 0)" ]
}

@test "class: unknown reasons and forged fields do no harm; an empty file is nobody" {
    class <<END
a ct1 debian-13 $MACHINE need=- steps=12 sudo-steps=- setup=- part=- maybe=- why=3:new-reason id=000000aa end
b ct1 debian-13 $MACHINE need=- steps=\$(id) sudo-steps=- setup=- part=- maybe=- why=- id=000000bb end
END
    [[ ${lines[0]} == "1 人 (同じマシンの行 0、読めない行 1)" && $output == *"new-reason"* ]]
    class </dev/null
    [[ ${lines[0]} == "0 人 "* ]]
}

@test "make class: without a file it asks for one" {
    run ! make -s -C "$TOP" class
    [[ $output == *"FILE=lines.txt is missing"* ]]
    run -1 sh "$TOP/shared/scripts/class.sh" /nowhere
    [[ ${lines[0]} == "class.sh: cannot read /nowhere" && ${lines[1]} == "  ヒント: "* ]]
}
