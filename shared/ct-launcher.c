/* ct-launcher.c - 子を作り、親と子の足並みをそろえる */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0 から 2 は、そのままコンテナに渡る。ホストのディレクトリがあれば、そこから
 * openat(2) の ".." で外に出られる */
static void check_stdio(void)
{
    struct stat status;

    for (int fd = 0; fd <= 2; fd++) {
        if (fstat(fd, &status) == -1) {
            if (errno != EBADF)
                die("fstat %d", fd);
            /* 空いていると、このあと開くパイプが stdin などになってしまう */
            if (open("/dev/null", O_RDWR) == -1)
                die("open /dev/null");
        } else if (S_ISDIR(status.st_mode)) {
            errno = EISDIR;
            die("fstat %d", fd);
        }
    }
}

void prepare_launcher(char *const *command)
{
    check_stdio();
    remember_terminal(command);
    receive_signals();
}

void begin_child(const struct pipes *pipes)
{
    fail_as_child();
    close(pipes->report[0]);
}

void show_pid(void)
{
    char pid[32] = "";

    /* まだホストの /proc が見えているので、/proc/self はホストから見た PID を
     * 指す。getpid(2) では、新しい PID 名前空間の 1 になってしまう */
    if (has_terminal() && readlink("/proc/self", pid, sizeof(pid) - 1) != -1)
        dprintf(STDERR_FILENO, "%s: ホストから見たコンテナの PID は %s です\n",
                program_invocation_short_name, pid);
}

uint8_t gate_wait(const struct pipes *pipes)
{
    uint8_t byte;

    /* 自分が書き込み側を持っていると、親が死んでも EOF が来ない。pipe(7) */
    close(pipes->gate[1]);
    ssize_t length = read(pipes->gate[0], &byte, 1);
    if (length == -1)
        die("read gate");
    if (length == 0)
        _exit(EXIT_SETUP);
    close(pipes->gate[0]);
    return byte;
}

void gate_open(const struct pipes *pipes)
{
    gate_send(pipes, 0);
}

void gate_send(const struct pipes *pipes, uint8_t byte)
{
    close(pipes->gate[0]);
    if (write(pipes->gate[1], &byte, 1) == -1 && errno != EPIPE)
        die("write gate");
    close(pipes->gate[1]);
}

/* --- 実行したユーザー ----------------------------------------------------- */

/* sudo が残した環境変数から id を読む。片方だけだったり、数でなかったりすれば、
 * 黙って root の id にせず終わる。呼び出した人も root のときだけ信じる:
 * setuid のプログラムになると、環境変数は誰でも書ける */
static unsigned long sudo_id(const char *name, unsigned long fallback)
{
    char *end = NULL;

    if (getuid() != 0 || geteuid() != 0 || getenv("SUDO_UID") == NULL)
        return fallback;
    const char *text = getenv(name);
    errno = 0;
    unsigned long id = text == NULL ? 0 : strtoul(text, &end, 10);
    if (end == NULL || *text < '0' || *text > '9' || *end != '\0' ||
        id >= UINT32_MAX)
        errno = EINVAL;
    if (errno != 0)
        die("getenv %s", name);
    return id;
}

uid_t invoking_uid(void)
{
    return sudo_id("SUDO_UID", getuid());
}

gid_t invoking_gid(void)
{
    return sudo_id("SUDO_GID", getgid());
}
