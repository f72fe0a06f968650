/* ct-fail.c - 失敗を 1 行で伝え、子も残さずに終わる */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child; /* die() が終わらせる子。0 なら、いない */
static bool is_child; /* 自分が子の側か */

void watch_child(pid_t pid)
{
    child = pid;
}

void fail_as_child(void)
{
    is_child = true;
}

/* 子を終わらせる。子のほうが先に失敗を報告していれば true。そのとき親が気づいた
 * 失敗 (ESRCH など) は結果でしかないので、2 行目を出さない */
static bool child_failed_first(void)
{
    int status;
    pid_t pid = child;

    child = 0;
    return pid > 0 && kill(pid, SIGKILL) == 0 &&
           waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == EXIT_SETUP;
}

void report_error(const char *message, int error)
{
    const char *object = strchr(message, ' ');

    print_error("%s: %s", message, strerror(error));
    print_hint(message, object == NULL ? "" : object + 1, error);
}

void die(const char *format, ...)
{
    int error = errno;
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    if (!is_child && child_failed_first())
        exit(EXIT_SETUP);
    report_error(message, error);

    /* 子は親の atexit(3) の後始末をしてはならない。_exit(2) */
    if (is_child)
        _exit(EXIT_SETUP);
    exit(EXIT_SETUP);
}
