/*
 * forkbomb: 何もしない子を、上限の数まで fork する。
 *   使い方: /demo/forkbomb [子の数]   (省略すると 1000)
 *   例:     /demo/forkbomb 200
 * 作れた数と、fork が失敗した理由を表示し、作った子だけを終わらせる。
 * pids の上限があるコンテナでは EAGAIN になる。本物と違い、増え続けない。
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_CHILDREN 1000
#define MAX_CHILDREN     100000

static int parse_count(const char *text)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 ||
        value > MAX_CHILDREN)
        errx(2, "bad N: '%s'\nusage: forkbomb [N]", text);
    return (int)value;
}

static _Noreturn void wait_for_the_end(pid_t parent)
{
    /* 親が殺されても子が残らないようにする。 prctl(2) */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* prctl より先に親が死んでいたら、シグナルは来ない。 */
    if (getppid() != parent)
        _exit(1);
    for (;;)
        pause();
}

/* 作れた子の数を返す。足りなければ、そのとき errno が理由を持つ。 fork(2) */
static int fork_children(pid_t *pids, int max)
{
    pid_t parent = getpid();

    for (int i = 0; i < max; i++) {
        pids[i] = fork();
        if (pids[i] == -1)
            return i;
        if (pids[i] == 0)
            wait_for_the_end(parent);
    }
    return max;
}

/* 名前や -1 でなく、覚えておいた PID だけを終わらせる。 kill(2) */
static void end_children(const pid_t *pids, int count)
{
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    for (int i = 0; i < count; i++)
        waitpid(pids[i], NULL, 0);
}

int main(int argc, char *argv[])
{
    int max = DEFAULT_CHILDREN;
    int count;
    int saved_errno;
    pid_t *pids;

    if (argc > 2)
        errx(2, "too many arguments\nusage: forkbomb [N]");
    if (argc > 1)
        max = parse_count(argv[1]);
    pids = calloc((size_t)max, sizeof(*pids));
    if (pids == NULL)
        err(1, "calloc %d", max);
    count = fork_children(pids, max);
    saved_errno = errno;
    if (count == max)
        printf("forkbomb: %d children, no limit reached\n", count);
    else
        printf("forkbomb: %d children, then fork: %s\n", count,
               strerror(saved_errno));
    fflush(stdout);
    end_children(pids, count);
    free(pids);
    return 0;
}
