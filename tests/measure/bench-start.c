/*
 * bench-start.c - コンテナを始め、最初の 1 文字が届くまでの時間を測る
 *
 *   bench-start first LOCK COMMAND...
 *   bench-start whole LOCK COMMAND...
 *       1 つ始め、文字が届くまで、または終わるまで待つ。その時間は hyperfine が
 *       測る。ランチャーは LOCK の鍵を受け継ぐので、後始末の終わりは鍵で分かる
 *   bench-start at-once N COMMAND...
 *   bench-start in-turn N COMMAND...
 *       N 個を、同時に、または 1 つ届くごとに次を始める。どれも、すべて届くまで
 *       動いている。COMMAND の最後の語に番号 (1 から) を足す。番号、自分の始ま
 *       りから届くまで、最初の始まりから届くまで [ms] を、CSV で出す
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 1000

static struct {
    double begin, first;
    pid_t pid;
} runs[MAX];

static struct pollfd outputs[MAX];
static int hold[2]; /* コマンドの標準入力。閉じれば、すべて終わる */

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static pid_t start(char *command[], int input, int *output)
{
    int out[2];

    if (pipe2(out, O_CLOEXEC) == -1)
        err(1, "pipe2");
    pid_t pid = fork();
    if (pid == -1)
        err(1, "fork");
    if (pid == 0) {
        dup2(input, 0);
        dup2(out[1], 1);
        execvp(command[0], command);
        _exit(127);
    }
    close(out[1]);
    *output = out[0];
    return pid;
}

static void read_first(int fd, char *command[])
{
    char byte;

    if (read(fd, &byte, 1) != 1)
        errx(1, "%s gave no output", command[0]);
}

static int one(const char *lock, bool whole, char *command[])
{
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC), output, status = 0;
    int fd = open(lock, O_RDONLY | O_CREAT, 0600); /* コマンドが受け継ぐ */

    if (input == -1 || fd == -1 || flock(fd, LOCK_EX) == -1)
        err(1, "%s", lock);
    pid_t pid = start(command, input, &output);
    read_first(output, command);
    if (whole && waitpid(pid, &status, 0) == -1)
        err(1, "waitpid");
    return status != 0;
}

/* まだ届いていないものを、少なくとも 1 つ届くまで待つ。届いた数を返す */
static int wait_for_output(int started, char *command[])
{
    int count = 0;

    if (poll(outputs, started, 120 * 1000) < 1)
        errx(1, "%s is not ready after 120 s", command[0]);
    for (int i = 0; i < started; i++) {
        if (outputs[i].revents == 0)
            continue;
        runs[i].first = now_ms();
        read_first(outputs[i].fd, command);
        outputs[i].fd = -1; /* poll(2) はこれを飛ばす */
        count++;
    }
    return count;
}

static void start_numbered(int i, char *command[], char **last)
{
    char *word = *last, numbered[256];

    snprintf(numbered, sizeof(numbered), "%s%d", word, i + 1);
    *last = numbered;
    runs[i].begin = now_ms();
    runs[i].pid = start(command, hold[0], &outputs[i].fd);
    *last = word;
    outputs[i].events = POLLIN;
}

static int many(int count, bool in_turn, char *command[], char **last)
{
    int ready = 0, failed = 0, status;

    if (pipe2(hold, O_CLOEXEC) == -1)
        err(1, "pipe2");
    for (int i = 0; i < count; i++) {
        start_numbered(i, command, last);
        if (in_turn)
            ready += wait_for_output(i + 1, command);
    }
    while (ready < count)
        ready += wait_for_output(count, command);
    close(hold[1]);
    for (int i = 0; i < count; i++) {
        failed |= waitpid(runs[i].pid, &status, 0) == -1 || status != 0;
        printf("%d,%.3f,%.3f\n", i + 1, runs[i].first - runs[i].begin,
               runs[i].first - runs[0].begin);
    }
    return failed;
}

int main(int argc, char *argv[])
{
    if (argc < 4)
        errx(2, "usage: bench-start MODE LOCK|N COMMAND...");
    bool whole = strcmp(argv[1], "whole") == 0;
    if (whole || strcmp(argv[1], "first") == 0)
        return one(argv[2], whole, argv + 3);
    int count = atoi(argv[2]);
    if (count < 1 || count > MAX)
        errx(2, "bad count: %s", argv[2]);
    return many(count, strcmp(argv[1], "in-turn") == 0, argv + 3,
                argv + argc - 1);
}
