/*
 * ホストのディレクトリを、コンテナ内に見せる (発展課題の答え)
 *
 * 動かす: make solutions && build/solutions/07-volume run -v ~:/mnt:ro
 * 見る:   コンテナ内の ls /mnt はホストの ls ~。touch /mnt/x は断られる
 */
#define _GNU_SOURCE
#include "../../../shared/ct.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTNAME "container"

/* 何を分けるかは、フラグで 1 つずつ選ぶ。clone3(2), namespaces(7) */
static uint64_t new_namespaces(void)
{
    uint64_t flags = 0;

    flags |= CLONE_NEWIPC; /* 共有メモリー、セマフォ、メッセージキュー */
    flags |= CLONE_NEWNET; /* ネットワークデバイス、アドレス、経路 */
    flags |= CLONE_NEWUSER; /* uid、gid とケーパビリティ */
    flags |= CLONE_NEWUTS; /* ホスト名 */
    flags |= CLONE_NEWPID; /* PID。最初の子が PID 1 になる */
    flags |= CLONE_NEWNS; /* マウント。最初の名前空間なので NEWNS と呼ぶ */
    return flags;
}

/* フラグがなければ、fork(2) と同じ。スタックを渡さないので、子は親のスタックの
 * コピーの上で、同じ所から動き出す。glibc に関数はない。clone3(2) */
static pid_t clone_child(uint64_t flags)
{
    struct clone_args args = {
        .flags = flags,
        .exit_signal = SIGCHLD, /* 終わると、親にこのシグナルが届く */
    };

    return syscall(SYS_clone3, &args, sizeof(args));
}

/* 補助グループはマッピングできず、ホストの権限のまま子に残る。だから、
 * 外せる (CAP_SETGID のある) うちに外しておく。setgroups(2) */
static void drop_groups(void)
{
    if (setgroups(0, NULL) == -1 && errno != EPERM)
        die("setgroups");
}

/* 「コンテナ内の id、ホストの id、個数」を書く。コンテナ内の 0 を、実行した
 * ユーザーにマッピングする。自分を締め出すグループから抜けられないように、
 * gid_map より先に setgroups を禁じる (Linux 3.19 から)。user_namespaces(7) */
static void write_id_maps(pid_t pid)
{
    write_file(path_of("/proc/%d/setgroups", pid), "deny");
    write_file(path_of("/proc/%d/uid_map", pid), "0 %u 1\n", invoking_uid());
    write_file(path_of("/proc/%d/gid_map", pid), "0 %u 1\n", invoking_gid());
    lend_stdio(invoking_uid()); /* sudo の端末は root のもの */
}

/* sudo で始めると、子の uid はホストの 0 のまま。それはコンテナのどの uid にも
 * マッピングされていないので、65534 に見える。uid 0 になってから exec
 * しないと、ケーパビリティが消える。capabilities(7) */
static void become_root(void)
{
    if (setresgid(0, 0, 0) == -1)
        die("setresgid 0");
    if (setresuid(0, 0, 0) == -1)
        die("setresuid 0");
}

/* 新しい UTS 名前空間は、ホスト名が複製された状態から始まる。変えられるのは、
 * その名前空間の CAP_SYS_ADMIN を持つプロセスだけ。uid 0 になっておけば、
 * exec をはさんでも失わない。sethostname(2) */
static void set_hostname(void)
{
    if (sethostname(HOSTNAME, strlen(HOSTNAME)) == -1)
        die("sethostname " HOSTNAME);
}

/* マウントのツリーはコピーでも、伝播 (propagation) はつながったまま。
 * 切っておかないと、ホストであとからしたマウントがコンテナにも現れる。
 * mount_namespaces(7) */
static void make_mounts_private(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
        die("mount /");
}

/* pivot_root は、新しいルートがマウントポイントであることを求める。
 * ただのディレクトリも、自分自身に重ねればそうなる。重ねたあとの "." は、
 * まだ下のディレクトリを指す。だから、重ねたほうに入り直す。open_tree(2) */
static void bind_rootfs(const char *rootfs)
{
    if (chdir(rootfs) == -1)
        die("chdir %s", rootfs);
    int tree = syscall(SYS_open_tree, AT_FDCWD, ".",
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree == -1)
        die("open_tree .");
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, ".",
                MOVE_MOUNT_F_EMPTY_PATH) == -1)
        die("move_mount .");
    if (fchdir(tree) == -1)
        die("fchdir .");
    close(tree);
}

#define NO_SETUID_DEVICE_EXEC (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* カレントディレクトリ (rootfs) の下にマウントする。ユーザー名前空間の中では、
 * proc と sysfs は、ホストのものが見えているときしかマウントできない。だから、
 * ルートを取り替える前に済ませる。user_namespaces(7) */
static void mount_file_systems(void)
{
    mount_dir("proc", "proc", "proc", NO_SETUID_DEVICE_EXEC, NULL);
    mount_dir("sysfs", "sys", "sysfs", NO_SETUID_DEVICE_EXEC | MS_RDONLY, NULL);
    mount_dir("tmpfs", "dev", "tmpfs", NO_SETUID_DEVICE_EXEC,
              "mode=755,size=64k");
}

static void make_mount(const char *type, const char *target,
                       unsigned long flags, const char *data)
{
    if (mkdir(target, 0755) == -1)
        die("mkdir %s", target);
    mount_dir(type, target, type, flags, data);
}

/* ユーザー名前空間の中では mknod(2) ができない。ホストのデバイスを bind
 * マウントして使う。読み取り専用でもデバイスには書けるが、ホストのファイルの
 * モードは変えられない */
static void bind_device(const char *device)
{
    const char *target = strrchr(device, '/') + 1; /* "/dev/null" -> "null" */
    unsigned long lock = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID;

    if (access(device, F_OK) == -1 && errno == ENOENT)
        return; /* ホストにないものは、コンテナにもない */
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd == -1)
        die("open %s", target);
    close(fd);
    if (mount(device, target, NULL, MS_BIND, NULL) == -1 ||
        mount(NULL, target, NULL, lock | MS_NOEXEC, NULL) == -1)
        die("mount %s", target);
}

static void make_link(const char *to, const char *path)
{
    if (symlink(to, path) == -1)
        die("symlink %s", path);
}

/* dev に入ってから作る。"dev/null" とたどり直すと、そのあいだに dev をリンクに
 * 差し替えられる。runc(8) も、ほぼ同じものを並べる */
static void populate_dev(void)
{
    enter_mount("dev");
    /* ここの端末はデバイスなので、devpts にだけは MS_NODEV を付けられない */
    make_mount("devpts", "pts", MS_NOSUID | MS_NOEXEC,
               "newinstance,ptmxmode=666");
    make_mount("tmpfs", "shm", NO_SETUID_DEVICE_EXEC, "mode=1777,size=64m");
    make_mount("mqueue", "mqueue", NO_SETUID_DEVICE_EXEC, NULL);
    bind_device("/dev/null");
    bind_device("/dev/zero");
    bind_device("/dev/full");
    bind_device("/dev/random");
    bind_device("/dev/urandom");
    bind_device("/dev/tty");
    make_link("pts/ptmx", "ptmx");
    make_link("/proc/self/fd", "fd");
    make_link("/proc/self/fd/0", "stdin");
    make_link("/proc/self/fd/1", "stdout");
    make_link("/proc/self/fd/2", "stderr");
    if (chdir("..") == -1)
        die("chdir ..");
}

/* -v HOST:CONTAINER[:ro] の 1 つ */
static struct volume {
    char *source, *target;
    bool read_only;
    int tree; /* HOST の木。まだどこにもマウントされていない */
} volumes[16];
static size_t volume_count;

/* run のすぐ後ろの -v を取り出し、残りを詰める。新しい argc を返す */
static int take_volumes(int argc, char *argv[])
{
    const size_t most = sizeof(volumes) / sizeof(volumes[0]);
    int next = 2;

    for (; next < argc && strcmp(argv[next], "-v") == 0; next += 2) {
        char *words = argv[next + 1];
        struct volume volume = {.source = strsep(&words, ":")};

        volume.target = strsep(&words, ":");
        volume.read_only = words != NULL;
        if (volume.target == NULL || volume.target[0] != '/' ||
            (words != NULL && strcmp(words, "ro") != 0))
            usage_error("-v needs HOST:/CONTAINER[:ro]");
        if (volume_count == most)
            usage_error("-v: more than %zu", most);
        volumes[volume_count++] = volume;
    }
    if (next > 2)
        memmove(argv + 2, argv + next, sizeof(*argv) * (argc - next + 1));
    return argc - next + 2;
}

/* glibc 2.36 より前のヘッダーと musl にはない。mount_setattr(2) */
#ifndef MOVE_MOUNT_T_EMPTY_PATH
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif
#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 1
#define MOUNT_ATTR_NOSUID 2
#define MOUNT_ATTR_NODEV  4
struct mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};
#endif

/* ルートを替えると、ホストのパスはたどれない。その前に、木を複製しておく。
 * uid 0 になってからなので、開けるのは、実行したユーザーに開けるものだけ。
 * MS_REMOUNT では、下にあるマウントが書けるまま残る。AT_RECURSIVE なら、
 * すべてが読み取り専用になる (Linux 5.12 から)。mount_setattr(2) */
static void open_volumes(void)
{
    for (size_t i = 0; i < volume_count; i++) {
        struct volume *volume = &volumes[i];
        struct mount_attr attr = {
            .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        };

        if (volume->read_only)
            attr.attr_set |= MOUNT_ATTR_RDONLY;
        volume->tree =
            syscall(SYS_open_tree, AT_FDCWD, volume->source,
                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (volume->tree == -1)
            die("open_tree %s", volume->source);
        if (syscall(SYS_mount_setattr, volume->tree, "",
                    AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == -1)
            die("mount_setattr %s", volume->source);
    }
}

/* ルートそのものに重ねると、pivot_root が、その下のものをルートにしてしまう */
static bool is_same(int a, int b)
{
    struct stat one, other;

    if (fstat(a, &one) == -1 || fstat(b, &other) == -1)
        die("fstat");
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* 先にあるものの上に重ねる。マウント先は作らない。作ると、rootfs に残る。
 * 途中のシンボリックリンクは、ホストを指すかもしれないので断る。パスでなく
 * 開いた場所に重ねるので、すり替える隙もない。openat2(2), move_mount(2) */
static void attach_volumes(void)
{
    int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
    };

    for (size_t i = 0; i < volume_count; i++) {
        const struct volume *volume = &volumes[i];
        int place =
            syscall(SYS_openat2, root, volume->target, &how, sizeof(how));

        if (place == -1)
            die("openat2 %s", volume->target);
        errno = EBUSY;
        if (is_same(place, root) ||
            syscall(SYS_move_mount, volume->tree, "", place, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == -1)
            die("move_mount %s", volume->target);
        close(place);
        close(volume->tree);
    }
    close(root);
}

/* カレントディレクトリを "/" にする。同じ場所を 2 度渡すと、古いルートは新しい
 * ルートの上に重なる。それを外せば、ホストへ戻る道は残らない。pivot_root(2) の
 * NOTES */
static void switch_root(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == -1)
        die("pivot_root .");
    if (umount2(".", MNT_DETACH) == -1)
        die("umount2 .");
    if (chdir("/") == -1)
        die("chdir /");
}

/* 親が死んだら、自分も SIGKILL で終わる。ランチャーのいないコンテナには、
 * 片付ける人がいない。PR_SET_PDEATHSIG(2const) */
static void die_with_parent(const struct pipes *pipes)
{
    struct pollfd report = {.fd = pipes->report[1]};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
        die("prctl PR_SET_PDEATHSIG");
    /* その前に親が死んでいたら、シグナルはもう来ない。読む人のいないパイプは
     * POLLERR になる。getppid(2) は、新しい PID 名前空間の中ではいつも 0 */
    if (poll(&report, 1, 0) == -1)
        die("poll");
    if (report.revents & POLLERR)
        _exit(EXIT_SETUP);
}

/* 子がすること。上から順に読むと、コマンドが動き出すまでの手順になる */
static _Noreturn void child(const struct options *opt,
                            const struct pipes *pipes)
{
    begin_child(pipes);
    die_with_parent(pipes);
    show_pid();
    gate_wait(pipes);
    become_root();
    /* id を変えると PR_SET_PDEATHSIG が消えるので、もう一度。prctl(2) */
    die_with_parent(pipes);
    set_hostname();
    make_mounts_private();
    open_volumes();
    bind_rootfs(opt->rootfs);
    mount_file_systems();
    populate_dev();
    attach_volumes();
    switch_root();
    /* PATH や HOME はホストのパスで、ほかの値には秘密もある。environ(7) */
    replace_environment(opt->env);

    prepare_exec(opt->command, pipes);
    /* 成功すると戻らない。中身は入れ替わるが、PID は変わらない。execve(2) */
    execv(find_command(opt->command[0]), opt->command);
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    argc = take_volumes(argc, argv);
    struct options opt = parse_options(argc, argv, OPTION_ROOTFS);
    struct pipes pipes;
    int status;

    prepare_launcher(opt.command);
    /* exec に成功すると閉じるパイプ。だから親にとって、何か読めれば exec の
     * 失敗、EOF なら成功 (か、その前に子が終わった)。O_CLOEXEC は open(2) */
    if (pipe2(pipes.report, O_CLOEXEC) == -1)
        die("pipe2");
    if (pipe2(pipes.gate, O_CLOEXEC) == -1) /* 子を待たせるゲート */
        die("pipe2");
    drop_groups();

    pid_t pid = clone_child(new_namespaces());
    if (pid == -1)
        die("clone3");
    if (pid == 0)
        child(&opt, &pipes);
    /* 親が書き込み側を持っていると、いつまでも EOF にならない。pipe(7) */
    close(pipes.report[1]);
    watch_child(pid);
    write_id_maps(pid);
    gate_open(&pipes);

    forward_signals(pid, &pipes);
    /* 誰かが wait するまで、子はゾンビとして残る。waitpid(2) */
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid %d", pid);
    return exit_status(status, &pipes, opt.command[0]);
}
