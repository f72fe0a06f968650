/* console.c - コンテナの端末を作り、マスターをエンジンに渡す */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int console_connect(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (snprintf(directory, sizeof(directory), "%.*s",
                 slash == NULL ? 1 : (int)(slash - path + 1),
                 slash == NULL ? "." : path) >= (int)sizeof(directory))
        refuse("--console-socket: too long");
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (dir == -1 || fd == -1)
        die("open %s", directory);
    struct sockaddr_un address =
        socket_address(dir, slash == NULL ? path : slash + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        die("connect %s", path);
    close(dir);
    return fd;
}

/* fd は、番号でなく、開いたものそのものを渡す。相手には別の番号で届く。
 * unix(7) の SCM_RIGHTS */
static void console_send(int socket, int master)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {.iov_base = "/dev/ptmx", .iov_len = 9};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &master, sizeof(int));
    if (sendmsg(socket, &message, MSG_NOSIGNAL) == -1)
        die("sendmsg SCM_RIGHTS");
}

int open_console(const struct options_oci *opt, const cJSON *process,
                 int pair[2])
{
    if (!json_bool(process, "terminal"))
        return 0;
    if (opt->console_socket != NULL)
        return console_connect(opt->console_socket);
    if (opt->detach || strcmp(opt->command, "create") == 0)
        refuse("process.terminal needs --console-socket");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
        die("socketpair");
    return pair[1];
}

int receive_console(const int pair[2])
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, text[16];
    struct iovec data = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int master = -1;

    if (pair[0] == 0)
        return -1;
    close(pair[1]);
    if (recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC) == -1)
        die("recvmsg SCM_RIGHTS");
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS)
        memcpy(&master, CMSG_DATA(head), sizeof(int));
    if (master == -1)
        refuse("the container did not send its terminal");
    /* 端末でなくファイルなどに出すのなら、"\n" を "\r\n" にしない */
    struct termios settings;
    if (!(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) &&
        tcgetattr(master, &settings) == 0) {
        settings.c_oflag &= ~ONLCR;
        tcsetattr(master, TCSANOW, &settings);
    }
    return master;
}

/* コンテナの devpts から開く。ほかのものに差し替えたイメージは断る */
static int open_master(bool in_root)
{
    struct statfs fs;
    int fd = in_root ? open_in_root("/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0)
                     : open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd == -1)
        die("open /dev/pts/ptmx");
    if (fstatfs(fd, &fs) == -1)
        die("fstatfs /dev/pts/ptmx");
    if (fs.f_type != DEVPTS_SUPER_MAGIC)
        refuse("/dev/pts/ptmx: not on devpts");
    return fd;
}

/* パスで開き直すと、そのあいだに差し替えられる。マスターから直に開く。
 * TIOCGPTPEER は ioctl_tty(2) */
static int open_slave(int master)
{
    int unlock = 0;

    if (ioctl(master, TIOCSPTLCK, &unlock) == -1)
        die("ioctl TIOCSPTLCK");
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave == -1)
        die("ioctl TIOCGPTPEER");
    return slave;
}

static void bind_console(int slave)
{
    char source[32];
    int target = open_target("/dev/console", false, 0);

    snprintf(source, sizeof(source), "%s", fd_path(slave));
    if (mount(source, fd_path(target), NULL, MS_BIND, NULL) == -1)
        die("mount /dev/console");
    close(target);
}

void console_open(int socket, const cJSON *process, bool in_root)
{
    int master = open_master(in_root), slave = open_slave(master);
    struct winsize size = {
        .ws_row = json_uint(process, "consoleSize.height", 0),
        .ws_col = json_uint(process, "consoleSize.width", 0),
    };

    /* 決まっていなければ、呼び出し元の端末と同じに */
    if (size.ws_row == 0)
        ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    if (size.ws_row != 0 && ioctl(slave, TIOCSWINSZ, &size) == -1)
        die("ioctl TIOCSWINSZ");
    if (in_root)
        bind_console(slave);
    /* 端末は、コマンドを動かすユーザーのもの */
    if (fchown(slave, json_uint(process, "user.uid", 0), -1) == -1 &&
        errno != EPERM && errno != EINVAL)
        die("fchown the terminal");
    if (ioctl(slave, TIOCSCTTY, 0) == -1)
        die("ioctl TIOCSCTTY");
    console_send(socket, master);
    for (int fd = 0; fd <= 2; fd++)
        if (dup2(slave, fd) == -1)
            die("dup2 %d", fd);
    close(slave);
    close(master);
    close(socket);
}

/* --- 前面の run と exec --------------------------------------------------- */

static struct termios saved;
static bool is_raw;

static void restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    is_raw = false;
}

/* キーの意味 (Ctrl-C など) は、内側の端末が決める */
static void make_raw(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) == -1)
        return;
    raw = saved;
    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == -1)
        die("tcsetattr");
    is_raw = true;
    atexit(restore);
}

static void copy_size(int master)
{
    struct winsize size;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}

/* 読めたものをすべて書く。終わりなら false。端末の終わりは EIO */
static bool pass(int from, int to)
{
    char data[4096];
    ssize_t length = read(from, data, sizeof(data));

    for (ssize_t at = 0; at < length;) {
        ssize_t done = write(to, data + at, length - at);
        if (done == -1 && errno != EINTR)
            return false;
        at += done > 0 ? done : 0;
    }
    return length > 0 || (length == -1 && errno == EINTR);
}

/* シグナルはコンテナのプロセスに渡す。終わっていれば true */
static bool handle_signal(int signals, pid_t pid, int master, int *status)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return false;
    if (info.ssi_signo == SIGWINCH && master != -1)
        copy_size(master);
    else if (info.ssi_signo != SIGCHLD)
        kill(pid, info.ssi_signo);
    return waitpid(pid, status, WNOHANG) == pid;
}

int console_relay(pid_t pid, int master)
{
    sigset_t set;
    int status = 0;

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals == -1)
        die("signalfd");
    struct pollfd polled[] = {
        {.fd = signals, .events = POLLIN},
        {.fd = master, .events = POLLIN},
        {.fd = master == -1 ? -1 : STDIN_FILENO, .events = POLLIN},
    };
    if (master != -1) {
        copy_size(master);
        make_raw();
    }
    /* すでに終わっていたら、SIGCHLD はもう来ない */
    bool is_over = waitpid(pid, &status, WNOHANG) == pid;
    while (!is_over && poll(polled, 3, -1) != -1) {
        if (polled[1].revents != 0 && !pass(master, STDOUT_FILENO))
            polled[1].fd = -1;
        if (polled[2].revents != 0 && !pass(STDIN_FILENO, master))
            polled[2].fd = -1;
        if (polled[0].revents != 0)
            is_over = handle_signal(signals, pid, master, &status);
    }
    while (master != -1 && poll(&polled[1], 1, 0) == 1 &&
           pass(master, STDOUT_FILENO))
        ; /* 終わる前に書いたもの */
    restore();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
