/* hints.c - errno から、よくある原因と次の一手を日本語で示す */
#define _GNU_SOURCE
#include "ct-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* 上から順に調べ、最初に当てはまったものを出す。だから細かい条件を先に書く */
struct hint {
    const char *call; /* メッセージの最初の語 */
    const char *object; /* 残りに含まれる文字列。NULL なら何でもよい */
    int error;
    const char *file; /* NULL でなければ、このファイルが value で始まること */
    const char *value;
    const char *text; /* '\n' で 2 行になる。%s はメッセージの最後の語 */
};

#define SYSCTL   "/proc/sys/kernel/"
#define APPARMOR SYSCTL "apparmor_restrict_unprivileged_userns"
#define CLONE    SYSCTL "unprivileged_userns_clone"
#define MAX_USER "/proc/sys/user/max_user_namespaces"
#define APPARMOR_TEXT \
    "AppArmor が、一般ユーザーの名前空間の特権を止めています\n" \
    "(Ubuntu 24.04 のデフォルト)。sudo を付けて実行するか、次を実行します\n" \
    "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
#define NO_ADMIN_TEXT \
    "名前空間を分けていないか、それを所有するユーザー名前空間の\n" \
    "CAP_SYS_ADMIN がありません。uid 0 でないまま exec すると、消えています"
#define REALTIME_TEXT \
    "リアルタイムのプロセスは、この cgroup に入れません\n" \
    "chrt --other 0 を付けて実行してください。sched(7)"
#define SWAP_TEXT \
    "カーネルがスワップを数えていないので、止められません\n" \
    "カーネルの引数に swapaccount=1。制限をあきらめるなら --no-cgroup"

static const struct hint hints[] = {
    /* clone3(2) */
    {"clone3", NULL, EPERM, CLONE, "0",
     "一般ユーザーの名前空間が止められています\n"
     "sudo を付けるか、sudo sysctl -w kernel.unprivileged_userns_clone=1"},
    {"clone3", NULL, EPERM, NULL, NULL,
     "chroot の中や、権限を絞ったコンテナ (Docker など) の中では作れません\n"
     "ホストで直接実行するか、docker run --privileged で試してください"},
    {"clone3", NULL, EACCES, APPARMOR, "1", APPARMOR_TEXT},
    {"clone3", NULL, ENOSPC, MAX_USER, "0\n",
     "ユーザー名前空間の上限が 0 です (ディスクの空きとは関係ありません)\n"
     "sudo sysctl -w user.max_user_namespaces=10000"},
    {"clone3", NULL, ENOSPC, NULL, NULL,
     "名前空間の数か入れ子の深さ (32 段) が上限です (ディスクとは無関係)\n"
     "sysctl user で上限を確かめてください。namespaces(7)"},
    {"clone3", NULL, EAGAIN, NULL, NULL,
     "プロセス数の上限です。ulimit -u と pids.max を確かめてください"},
    {"clone3", NULL, ENOSYS, NULL, NULL,
     "カーネルが 5.3 より古いか、Docker の seccomp が clone3 を隠しています\n"
     "uname -r を確かめ、ホストで直接実行してください"},
    {"clone3", NULL, EINVAL, NULL, NULL,
     "カーネルが、その種類の名前空間を持っていません (CONFIG_USER_NS など)\n"
     "ls /proc/self/ns で、あるものを確かめてください"},
    {"unshare", NULL, ENOSPC, NULL, NULL,
     "名前空間の数が上限です (ディスクの空きとは関係ありません)\n"
     "sysctl user.max_cgroup_namespaces で上限を確かめてください"},
    {"fork", NULL, EAGAIN, NULL, NULL,
     "プロセス数の上限です。ulimit -u と pids.max を確かめてください"},

    /* stdin, stdout, stderr */
    {"fstat", NULL, EISDIR, NULL, NULL,
     "標準入出力 (%s 番) がディレクトリです。コンテナ内から、そこを通って\n"
     "ホストのファイルに届くので断りました。</dev/null などに替えてください"},
    {"tcsetpgrp", NULL, ENOTTY, NULL, NULL,
     "端末の背後で始まり、前面に出してくれるシェル (fg) もいません\n"
     "端末から直接実行するか、</dev/null を付けてください"},

    /* uid_map と gid_map。user_namespaces(7) */
    {"open", "/proc/", EROFS, NULL, NULL,
     "/proc が読み取り専用です (Docker などの中)\n"
     "ホストで実行するか、docker run --privileged で試してください"},
    {"open", "_map", EACCES, NULL, NULL,
     "子の /proc/PID に書く権限がありません。別の人の子です"},
    {"write", "_map", EACCES, NULL, NULL,
     "id のマッピングを書く権限がありません。sudo を付けて実行してください"},
    {"write", "gid_map", EPERM, NULL, NULL,
     "gid_map の前に setgroups へ deny と書く必要があります\n"
     "自分のものでない gid は、root でなければマッピングされません"},
    {"write", "uid_map", EPERM, NULL, NULL,
     "root でなければ、"
     "マッピングされるのは自分の uid だけです。コンテナ内では、\n"
     "cat /proc/self/uid_map にある uid だけです。1 度しか書けません"},
    {"write", "_map", EINVAL, NULL, NULL,
     "「内側 外側 個数」の形でないか、2 つの行の範囲が重なっています\n"
     "/etc/subuid に自分の uid を含む行がないかを確かめてください"},

    /* 子の特権 */
    {"sethostname", NULL, EPERM, APPARMOR, "1", APPARMOR_TEXT},
    {"sethostname", NULL, EPERM, NULL, NULL, "UTS " NO_ADMIN_TEXT},
    {"mount", NULL, EPERM, APPARMOR, "1", APPARMOR_TEXT},
    {"mount", NULL, EACCES, APPARMOR, "1", APPARMOR_TEXT},

    /* mount(2) */
    {"mount", "proc", EPERM, NULL, NULL,
     "外側の /proc の一部が隠されているか、"
     "自分の PID 名前空間がありません\n"
     "Docker の中なら --privileged か --security-opt systempaths=unconfined"},
    {"mount", "sys", EPERM, NULL, NULL,
     "外側の /sys の一部が隠されているか、"
     "自分のネットワーク名前空間がありません"},
    {"mount", NULL, EPERM, NULL, NULL, "マウント" NO_ADMIN_TEXT},
    {"mount", NULL, EACCES, NULL, NULL,
     "マウント元かマウント先に届きません。途中のディレクトリの権限を\n"
     "ls -ld で確かめてください"},
    {"mount", NULL, ENOENT, NULL, NULL,
     "マウント元かマウント先がありません。make rootfs で作り直してください"},
    {"mount", NULL, ENODEV, NULL, NULL,
     "カーネルに、%s にマウントするファイルシステムがありません\n"
     "cat /proc/filesystems で、あるものを確かめてください"},
    {"mount", NULL, EBUSY, NULL, NULL,
     "マウント先がもう使われています。findmnt で確かめてください"},
    {"mount", NULL, EINVAL, NULL, NULL,
     "マウント元がマウントポイントでないか、親からのロックされたマウントです\n"
     "ディレクトリを指すときは MS_BIND | MS_REC が要ります"},
    {"openat2", NULL, ELOOP, NULL, NULL,
     "マウント先がシンボリックリンクです。"
     "リンク先がホストかもしれないので断りました\n"
     "本物のディレクトリにしてください"},
    {"openat2", NULL, ENOENT, NULL, NULL,
     "ルートにマウント先のディレクトリがありません\n"
     "make rootfs で作り直すか、mkdir で作ってください"},
    {"openat2", NULL, ENOTDIR, NULL, NULL,
     "マウント先がディレクトリではありません"},
    {"fstatfs", NULL, EXDEV, NULL, NULL,
     "%s に、マウントしたはずのファイルシステムがありません\n"
     "同じルートを使う別のコンテナが、差し替えたのかもしれません"},

    {"mkdir", "cgroup", EEXIST, NULL, NULL,
     "同じ名前の cgroup を、別のプログラムが作っています。消さずに残しました\n"
     "要らないものなら、rmdir %s"},
    {"mkdir", "cgroup", EACCES, NULL, NULL,
     "cgroup を作る権限がありません。sudo を付けて実行してください\n"
     "制限をあきらめるなら --no-cgroup"},
    {"mkdir", "cgroup", ENOENT, NULL, NULL,
     "自分のいる cgroup が、見えているツリーにありません (コンテナの中など)\n"
     "sudo を付けてホストで実行してください。あきらめるなら --no-cgroup"},
    {"mkdir", "cgroup", ENOSPC, NULL, NULL,
     "cgroup の数が上限です (ディスクの空きとは関係ありません)\n"
     "cat /proc/cgroups で数を確かめ、要らないものを rmdir で消してください"},
    {"mkdir", "cgroup", EAGAIN, NULL, NULL,
     "上の cgroup の cgroup.max.descendants か cgroup.max.depth が上限です\n"
     "制限をあきらめるなら --no-cgroup"},
    {"mkdir", "cgroup", EROFS, NULL, NULL,
     "cgroup が読み取り専用です (Docker などの中)\n"
     "ホストで実行するか、docker run --privileged。あきらめるなら --no-cgroup"},
    {"chdir", NULL, ENOENT, NULL, NULL,
     "ルートにするディレクトリがありません。make rootfs で作ってください"},
    {"chdir", NULL, ENOTDIR, NULL, NULL,
     "--rootfs にはディレクトリを指定してください"},
    {"chdir", NULL, EACCES, NULL, NULL,
     "ルートに入れません。コンテナの root は、ホストではあなたです\n"
     "ls -ld で、あなたが入れる場所かどうかを確かめてください"},

    /* chroot(2), pivot_root(2) */
    {"chroot", NULL, ENOENT, NULL, NULL,
     "ルートにするディレクトリがありません。make rootfs で作ってください"},
    {"chroot", NULL, ENOTDIR, NULL, NULL,
     "--rootfs にはディレクトリを指定してください"},
    {"chroot", NULL, EACCES, NULL, NULL,
     "ルートに届きません。コンテナの root は、ホストではあなたです\n"
     "あなたの読める場所 (ホームディレクトリなど) に置いてください"},
    {"chroot", NULL, EPERM, APPARMOR, "1", APPARMOR_TEXT},
    {"chroot", NULL, EPERM, NULL, NULL,
     "ユーザー名前空間の CAP_SYS_CHROOT がありません\n"
     "uid 0 でないまま exec すると、ケーパビリティは消えます"},
    {"pivot_root", NULL, EINVAL, "/proc/mounts", "rootfs / ",
     "ホストのルートが initramfs なので、取り替えられません。"
     "次のシェルなら動きます\n"
     "unshare -m sh -c "
     "'mount --rbind / /mnt; cd /mnt; mount --move . /; exec chroot .'"},
    {"pivot_root", NULL, EINVAL, NULL, NULL,
     "新しいルートがマウントポイントでないか、伝播が shared のままです\n"
     "先に MS_BIND で自分自身に重ね、/ を MS_REC | MS_PRIVATE にします"},
    {"pivot_root", NULL, EBUSY, NULL, NULL,
     "新しいルートが、今のルートと同じマウントの上にあります"},
    {"pivot_root", NULL, ENOENT, NULL, NULL,
     "新しいルートのディレクトリがありません。make rootfs で作ってください"},
    {"pivot_root", NULL, ENOTDIR, NULL, NULL,
     "新しいルートがディレクトリではありません"},
    {"pivot_root", NULL, EACCES, NULL, NULL,
     "新しいルートに届きません。途中のディレクトリの権限を確かめてください"},
    {"pivot_root", NULL, EPERM, APPARMOR, "1", APPARMOR_TEXT},
    {"pivot_root", NULL, EPERM, NULL, NULL, "マウント" NO_ADMIN_TEXT},

    /* execve(2) */
    {"exec", "command", ENOENT, NULL, NULL,
     "コマンド %s が見つかりません\n"
     "コンテナ内にあるか、PATH が合っているかを確かめてください"},
    {"exec", "\r", ENOENT, NULL, NULL,
     "スクリプトの改行が Windows のもの (CR LF) です。#! のプログラムの名前に\n"
     "CR が付いています。sed -i 's/\\r$//' で直せます"},
    {"exec", "interpreter", ENOENT, NULL, NULL,
     "スクリプトはありますが、1 行目 (#!) のプログラム %s がありません"},
    {"exec", "loader", ENOENT, NULL, NULL,
     "ファイルはありますが、動的リンクのローダー %s がありません\n"
     "ldd で必要なファイルを調べてコピーするか、静的リンクしてください"},
    {"exec", "interpreter", ELOOP, NULL, NULL,
     "スクリプトの 1 行目 (#!) が、自分自身を指しているか、深すぎます\n"
     "最後にたどったのは %s です。5 段までです"},
    {"exec", "loader", ELIBBAD, NULL, NULL,
     "動的リンクのローダー %s が壊れているか、この CPU のものではありません"},
    {"exec", NULL, ENOTDIR, NULL, NULL,
     "%s の途中に、ディレクトリでないものがあります"},
    {"exec", NULL, EACCES, NULL, NULL,
     "%s は、実行を許可されたふつうのファイルではありません\n"
     "chmod +x と、noexec でマウントされていないかを確かめてください"},
    {"exec", NULL, ENOEXEC, NULL, NULL,
     "%s は、この CPU のプログラムでも #! で始まるスクリプトでもありません\n"
     "file で種類を確かめてください"},
    {"prepare", NULL, EINTR, NULL, NULL,
     "コマンドを始める前に、準備をしているプロセスが終わらせられました\n"
     "メモリー不足なら、dmesg に oom-kill の行があります"},

    /* keyctl(2) */
    {"keyctl", NULL, EDQUOT, NULL, NULL,
     "1 人のユーザーが持てる鍵の数の上限です (ディスクとは無関係)\n"
     "cat /proc/key-users で数を、"
     "sysctl kernel.keys.maxkeys で上限を見られます"},
    {"keyctl", NULL, EPERM, NULL, NULL,
     "keyctl が seccomp などで止められています (LXC, systemd-nspawn の中)\n"
     "ホストで直接実行してください"},

    /* cgroups(7) */
    {"controller", "memory", ENOENT, NULL, NULL,
     "memory コントローラーがありません (Raspberry Pi は初めから切っています)\n"
     "カーネルの引数に cgroup_enable=memory。あきらめるなら --no-cgroup"},
    {"controller", NULL, ENOENT, NULL, NULL,
     "このホストの cgroup に、そのコントローラーがありません\n"
     "制限をあきらめるなら --no-cgroup"},
    {"open", "memory.memsw", ENOENT, NULL, NULL, SWAP_TEXT},
    {"open", "memory.swap", ENOENT, NULL, NULL, SWAP_TEXT},
    {"open", "cgroup", ENOENT, NULL, NULL,
     "コントローラーがここでは有効ではありません。"
     "v1 が使っている場合もあります\n"
     "cat /sys/fs/cgroup/cgroup.controllers。あきらめるなら --no-cgroup"},
    {"open", "cgroup", EACCES, NULL, NULL,
     "cgroup に書く権限がありません。sudo を付けて実行してください\n"
     "制限をあきらめるなら --no-cgroup"},
    {"write", "cgroup", EACCES, NULL, NULL,
     "cgroup に書く権限がありません。sudo を付けて実行してください\n"
     "制限をあきらめるなら --no-cgroup"},
    {"write", "cgroup", EPERM, NULL, NULL,
     "cgroup の委譲 (delegation) の外には書けません\n"
     "sudo を付けて実行してください。cgroups(7)"},
    {"write", "/tasks", EINVAL, NULL, NULL, REALTIME_TEXT},
    {"write", "cgroup.procs", EINVAL, NULL, NULL, REALTIME_TEXT},
    {"write", "cgroup", EINVAL, NULL, NULL,
     "その値は、上の cgroup の制限を超えています\n"
     "値を小さくしてください。制限をあきらめるなら --no-cgroup"},
    {"write", "cgroup", EBUSY, NULL, NULL,
     "プロセスのいる cgroup は、下でコントローラーを有効にできません (v2)\n"
     "Docker なら --privileged --cgroupns=host を付けて始めます\n"
     "systemd なら systemd-run --user --scope -p Delegate=yes で始めます\n"
     "制限をあきらめるなら --no-cgroup"},
    {"write", "cgroup", ENOENT, NULL, NULL,
     "コントローラーがありません。v1 のほうで使われている場合もあります\n"
     "制限をあきらめるなら --no-cgroup"},
    {"open", "cgroup", EROFS, NULL, NULL,
     "cgroup が読み取り専用です (Docker などの中)\n"
     "ホストで実行するか、docker run --privileged。あきらめるなら --no-cgroup"},

    {"flock", NULL, EAGAIN, NULL, NULL,
     "別のプロセスが、%s のロックを取得したままです\n"
     "lslocks で、どのプロセスかを確かめてください"},

    /* rtnetlink(7) */
    {"netlink", NULL, EPERM, NULL, NULL,
     "ホストのネットワークを変えられるのは root だけです。sudo を付けて\n"
     "実行してください。ネットワークをあきらめるなら --no-veth"},
    {"netlink", "route", EEXIST, NULL, NULL,
     "10.0.0.0/24 から 10.0.255.0/24 まで、どれも使われています\n"
     "VPN が 10.0.0.0/8 や 0.0.0.0/1 の経路を足していないか、ip route で\n"
     "確かめてください。ネットワークをあきらめるなら --no-veth"},
    {"netlink", NULL, EOPNOTSUPP, NULL, NULL,
     "カーネルに veth がありません。sudo modprobe veth を試してください\n"
     "ネットワークをあきらめるなら --no-veth"},
    {"link", NULL, EBUSY, NULL, NULL,
     "コンテナは終わりましたが、そのネットワーク名前空間を誰かが使っています\n"
     "sudo lsns -t net で探し (nsenter など)、終わらせれば、これも消えます\n"
     "リンクだけを消すなら、sudo ip link delete %s"},
};

static bool file_starts_with(const char *path, const char *value)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return false;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    return length > 0 && strncmp(text, value, strlen(value)) == 0;
}

static bool applies(const struct hint *hint, const char *message, int error)
{
    size_t call = strcspn(message, " ");

    return hint->error == error && strlen(hint->call) == call &&
           strncmp(message, hint->call, call) == 0 &&
           (hint->object == NULL ||
            strstr(message + call, hint->object) != NULL) &&
           (hint->file == NULL || file_starts_with(hint->file, hint->value));
}

/* ファイルの名前に含まれる制御文字は、端末の表示を書き換えられるので、'?' に
 * 置き換える。UTF-8 では、U+0080 から U+009F も制御文字。console_codes(4) */
static void replace_controls(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char first = text[0], second = text[1];

        if (first < ' ' || first == '\177')
            *text = '?';
        if (first == 0xc2 && second >= 0x80 && second <= 0x9f)
            text[0] = text[1] = '?';
    }
}

void print_error(const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    replace_controls(message);
    dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, message);
}

/* 1 行ずつ "  ヒント: " を付けて出す。%s があれば subject に置き換える */
static void print_lines(const char *text, const char *subject)
{
    while (*text != '\0') {
        int length = strcspn(text, "\n");
        const char *mark = memmem(text, length, "%s", 2);
        int before = mark == NULL ? length : (int)(mark - text);
        int skip = mark == NULL ? before : before + 2;

        dprintf(STDERR_FILENO, "  ヒント: %.*s%s%.*s\n", before, text,
                mark == NULL ? "" : subject, length - skip, text + skip);
        text += length + (text[length] == '\n');
    }
}

void print_hint(const char *message, const char *subject, int error)
{
    char shown[512];

    snprintf(shown, sizeof(shown), "%s", subject);
    replace_controls(shown);
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (applies(&hints[i], message, error)) {
            print_lines(hints[i].text, shown);
            return;
        }
    }
}
