/*
 * コンテナに、自分の端末を持たせる (発展課題の答え)
 *
 * 動かす: make solutions && sudo build/solutions/07-terminal run
 * 見る:   コンテナ内の tty は /dev/pts/0。窓の大きさを変えて、stty size
 */
#define _GNU_SOURCE
#include "../../../shared/ct.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
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

/* --- 端末 ----------------------------------------------------------------- */

/* 呼び出し元の端末。0 から 2 が端末でなければ、fd は -1 */
static struct {
    int in, out;
    struct termios settings;
    struct winsize size;
} host = {.in = -1};

/* 親: 0 から 2 にある端末を覚える。stdin の端末は、別の番号に移す。
 * ランチャーが、その端末の前面をコンテナのシェルに渡さないようにするため */
static void set_terminal_aside(void)
{
    if (isatty(STDIN_FILENO)) {
        host.in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(STDIN_FILENO);
        if (host.in == -1 || open("/dev/null", O_RDONLY) != STDIN_FILENO)
            die("open /dev/null");
    }
    host.out = isatty(STDOUT_FILENO)   ? STDOUT_FILENO
               : isatty(STDERR_FILENO) ? STDERR_FILENO
                                       : host.in;
    int terminal = host.in == -1 ? host.out : host.in;
    tcgetattr(terminal, &host.settings);
    ioctl(terminal, TIOCGWINSZ, &host.size);
    /* 背後で始めたら、シェルと同じように、ここで止まり (SIGTTOU)、fg で続く。
     * tcsetattr(3) */
    tcsetattr(host.in, TCSADRAIN, &host.settings);
}

/* fd の番号に意味があるのは、そのプロセスの中だけ。だからカーネルに頼み、
 * 開いたもの自体を渡す。SCM_RIGHTS は unix(7), CMSG_DATA は cmsg(3) */
union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int))];
};

static void send_fd(int socket, int fd)
{
    union control control = {{.cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(sizeof(fd))}};
    struct iovec byte = {"", 1}; /* 1 バイトもないと、届かない */
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    if (sendmsg(socket, &message, 0) == -1)
        die("sendmsg");
}

/* 送る前に子が終われば EOF になり、-1 を返す */
static int receive_fd(int socket)
{
    union control control;
    char data;
    struct iovec byte = {&data, 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1)
        memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
    return fd;
}

/* 子: コンテナの devpts に端末を 1 つ作り、0 から 2 にある呼び出し元の端末と
 * 取り替える。中継に要るマスター側は、親に渡す。端末がなくても、セッションは
 * 分ける。同じセッションにいると、/dev/tty から呼び出し元の端末を開ける。
 * pty(7), setsid(2), ioctl_tty(2) */
static void open_terminal(int socket)
{
    if (setsid() == -1)
        die("setsid");
    if (host.out == -1)
        return;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master == -1 || unlockpt(master) == -1)
        die("open /dev/ptmx");
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave == -1 || tcsetattr(slave, TCSANOW, &host.settings) == -1 ||
        ioctl(slave, TIOCSWINSZ, &host.size) == -1 ||
        ioctl(slave, TIOCSCTTY, 0) == -1)
        die("ioctl /dev/pts");
    if (host.in != -1)
        dup2(slave, STDIN_FILENO);
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (isatty(fd))
            dup2(slave, fd);
    send_fd(socket, master);
}

/* --- 中継 ----------------------------------------------------------------- */

/* 背後にいるあいだは、呼び出し元の端末に触らない。自分のセッションの
 * 端末でなければ、前面も背後もない (-1)。tcgetpgrp(3) */
static bool in_front(void)
{
    pid_t front = tcgetpgrp(host.in);

    return front == getpgrp() || front == -1;
}

/* 呼び出し元の端末を、打ったバイトがそのまま読める状態 (raw) にし、読む fd を
 * 返す。Ctrl-C などをシグナルに変えるのは、コンテナの端末の仕事になる。
 * 大きさもコピーすると、カーネルが、コンテナ内の前面のグループに SIGWINCH を
 * 送る。cfmakeraw(3) */
static int follow_terminal(int master)
{
    struct termios raw = host.settings;

    if (ioctl(host.out, TIOCGWINSZ, &host.size) == 0)
        ioctl(master, TIOCSWINSZ, &host.size);
    if (!in_front())
        return -1;
    cfmakeraw(&raw);
    tcsetattr(host.in, TCSADRAIN, &raw);
    return host.in;
}

/* 端末に書く。端末がもうなければ捨て、コンテナは止めない */
static void show(const char *data, ssize_t length)
{
    struct pollfd screen = {.fd = host.out, .events = POLLOUT};

    while (length > 0 && poll(&screen, 1, -1) == 1) {
        ssize_t done = write(host.out, data, length);
        if (done == -1 && errno != EAGAIN)
            return;
        data += done > 0 ? done : 0;
        length -= done > 0 ? done : 0;
    }
}

/* 2 つの端末の間でバイトを届ける。コンテナが読まず、打たれたものを書けない
 * あいだも、その書いたものは届ける。書けるまで待つと、互いに待ち合って止まる。
 * コンテナが終わっても、出力が残っていれば届ける。poll(2) */
static void relay(int master, int ended, int signals)
{
    char typed[256], shown[4096];
    ssize_t waiting = 0; /* typed のうち、まだ書けていない長さ */
    int in = follow_terminal(master);

    for (;;) {
        struct pollfd fds[] = {
            {.fd = waiting > 0 ? -1 : in, .events = POLLIN},
            {.fd = master, .events = POLLIN | (waiting > 0 ? POLLOUT : 0)},
            {.fd = signals, .events = POLLIN},
            {.fd = ended, .events = POLLIN},
        };
        struct signalfd_siginfo info;

        poll(fds, 4, -1);
        if (fds[2].revents != 0 && read(signals, &info, sizeof(info)) > 0)
            in = follow_terminal(master);
        if (fds[0].revents != 0 && (waiting = read(in, typed, 256)) <= 0)
            in = -1; /* 端末が切れたか、背後に回った (EIO) */
        if (fds[1].revents & POLLOUT) {
            ssize_t done = write(master, typed, waiting);
            if (done > 0)
                memmove(typed, typed + done, waiting -= done);
        }
        if (fds[1].revents & POLLIN)
            show(shown, read(master, shown, sizeof(shown)));
        else if (fds[3].revents != 0)
            return;
    }
}

static _Noreturn void run_relay(int socket, int ended)
{
    sigset_t signals;

    sigfillset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGWINCH); /* 大きさが変わった */
    sigaddset(&signals, SIGCONT); /* fg で前面に戻ったかもしれない */
    int master = receive_fd(socket);
    if (master != -1) {
        /* コンテナ内の全員が端末を閉じると、切れたことになり、poll(2) がすぐに
         * 戻り続ける。また開くまで待てるように、ここでも開いておく */
        ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        relay(master, ended, signalfd(-1, &signals, SFD_CLOEXEC));
        if (in_front())
            tcsetattr(host.in, TCSADRAIN, &host.settings);
    }
    _exit(0);
}

/* 親: 中継するプロセスを作る。ランチャーが SIGKILL で終わっても、コンテナの
 * 終わりまで残り、端末を元に戻す。report を開いたままにすると、子には、
 * ランチャーがまだいるように見える */
static pid_t start_relay(pid_t container, const int sockets[2],
                         const struct pipes *pipes)
{
    int ended = syscall(SYS_pidfd_open, container, 0);

    close(sockets[1]);
    if (host.out == -1)
        return -1;
    if (ended == -1)
        die("pidfd_open %d", container);
    if (host.in != -1)
        dprintf(STDERR_FILENO, "%s: ホストから見たコンテナの PID は %d です\n",
                program_invocation_short_name, container);
    pid_t pid = fork();
    if (pid == -1)
        die("fork");
    if (pid == 0) {
        close(pipes->report[0]);
        run_relay(sockets[0], ended);
    }
    return pid;
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
                            const struct pipes *pipes, int socket)
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
    bind_rootfs(opt->rootfs);
    mount_file_systems();
    populate_dev();
    switch_root();
    open_terminal(socket);
    /* PATH や HOME はホストのパスで、ほかの値には秘密もある。environ(7) */
    replace_environment(opt->env);

    prepare_exec(opt->command, pipes);
    /* 成功すると戻らない。中身は入れ替わるが、PID は変わらない。execve(2) */
    execv(find_command(opt->command[0]), opt->command);
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    struct options opt = parse_options(argc, argv, OPTION_ROOTFS);
    struct pipes pipes;
    int status, sockets[2];

    set_terminal_aside();
    prepare_launcher(opt.command);
    /* exec に成功すると閉じるパイプ。だから親にとって、何か読めれば exec の
     * 失敗、EOF なら成功 (か、その前に子が終わった)。O_CLOEXEC は open(2) */
    if (pipe2(pipes.report, O_CLOEXEC) == -1)
        die("pipe2");
    if (pipe2(pipes.gate, O_CLOEXEC) == -1) /* 子を待たせるゲート */
        die("pipe2");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == -1)
        die("socketpair");
    drop_groups();

    pid_t pid = clone_child(new_namespaces());
    if (pid == -1)
        die("clone3");
    if (pid == 0)
        child(&opt, &pipes, sockets[1]);
    /* 親が書き込み側を持っていると、いつまでも EOF にならない。pipe(7) */
    close(pipes.report[1]);
    watch_child(pid);
    write_id_maps(pid);
    pid_t relay_pid = start_relay(pid, sockets, &pipes);
    gate_open(&pipes);

    forward_signals(pid, &pipes);
    /* 誰かが wait するまで、子はゾンビとして残る。waitpid(2) */
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid %d", pid);
    /* 出力を届け終え、端末を元に戻すまで待つ */
    waitpid(relay_pid, NULL, 0);
    return exit_status(status, &pipes, opt.command[0]);
}
