/*
 * bench-start.c - コンテナを始め、最初の 1 文字が届くまでの時間を測る
 *
 *   bench-start at-once|in-turn N COMMAND...
 *
 * N 個を、同時に、または 1 つ届くごとに次を始める。どれも、すべて届くまで
 * 動いている。COMMAND は 1 文字だけを書き、標準入力が閉じたら終わるもの。
 * 最後の語に番号 (1 から) を足す。1 つごとに、始めたとき、k 番目の文字が
 * 届いたとき、終わったときを、最初の始まりからの時間 [ms] の CSV で出す
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 1000

static struct {
    double begin, first, end;
    pid_t pid;
} runs[MAX];

static int hold[2]; /* コマンドの標準入力。閉じれば、すべて終わる */
static int output[2];

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* 動いているはずのあいだに終わるのは、失敗したときだけ */
static void give_up(int signo)
{
    static const char message[] = "bench-start: a command ended or hung\n";

    (void)signo;
    (void)!write(2, message, sizeof(message) - 1);
    _exit(1);
}

static void start(int i, char *command[], char **last)
{
    static char numbered[256];

    snprintf(numbered, sizeof(numbered), "%s%d", *last, i + 1);
    runs[i].begin = now_ms();
    runs[i].pid = fork();
    if (runs[i].pid == -1)
        err(1, "fork");
    if (runs[i].pid != 0)
        return;
    *last = numbered;
    dup2(hold[0], 0);
    dup2(output[1], 1);
    execvp(command[0], command);
    err(127, "%s", command[0]);
}

static void read_first(int i)
{
    if (read(output[0], &(char){0}, 1) != 1)
        err(1, "read");
    runs[i].first = now_ms();
}

static int wait_all(int count)
{
    int failed = 0, status;

    for (int i = 0; i < count; i++) {
        failed |= waitpid(runs[i].pid, &status, 0) == -1 || status != 0;
        runs[i].end = now_ms();
    }
    /* 見張り役 (podman の conmon) のような、引き取った孫も待つ */
    while (wait(NULL) != -1)
        ;
    return failed;
}

int main(int argc, char *argv[])
{
    int count = argc > 3 ? atoi(argv[2]) : 0;
    if (count < 1 || count > MAX)
        errx(2, "usage: bench-start at-once|in-turn N COMMAND...");
    int in_turn = strcmp(argv[1], "in-turn") == 0;
    if (pipe2(hold, O_CLOEXEC) == -1 || pipe2(output, O_CLOEXEC) == -1)
        err(1, "pipe2");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGCHLD, give_up);
    signal(SIGALRM, give_up);
    alarm(120);
    for (int i = 0; i < count; i++) {
        start(i, argv + 3, argv + argc - 1);
        if (in_turn)
            read_first(i);
    }
    for (int i = in_turn ? count : 0; i < count; i++)
        read_first(i);
    signal(SIGCHLD, SIG_DFL);
    close(hold[1]);
    int failed = wait_all(count);
    for (int i = 0; i < count; i++)
        printf("%.3f,%.3f,%.3f\n", runs[i].begin - runs[0].begin,
               runs[i].first - runs[0].begin, runs[i].end - runs[0].begin);
    return failed;
}
