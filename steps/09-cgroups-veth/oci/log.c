/* log.c - 失敗を stderr とログに書いて終わる。shared/ct-fail.c の代わり */
#define _GNU_SOURCE
#include "oci.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
    int fd;
    bool json;
} log_file = {.fd = -1};

static int failure_status = 1;
static int parent = -1; /* 子: 失敗を伝える先 */
static void (*undo)(void);

void log_open(const char *path, bool json)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd == -1)
        die("open %s", path);
    log_file.fd = fd;
    log_file.json = json;
}

void fail_with(int status)
{
    failure_status = status;
}

void on_failure(void (*function)(void))
{
    undo = function;
}

void fail_to(int fd)
{
    parent = fd;
    undo = NULL;
}

const char *time_now(void)
{
    static char text[32];
    time_t seconds = time(NULL);

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ",
             gmtime_r(&seconds, &(struct tm){0}));
    return text;
}

static void append_log(const char *level, const char *text)
{
    const char *now = time_now();
    cJSON *line = cJSON_CreateObject();

    cJSON_AddStringToObject(line, "level", level);
    cJSON_AddStringToObject(line, "msg", text);
    cJSON_AddStringToObject(line, "time", now);
    char *printed = cJSON_PrintUnformatted(line);
    if (log_file.json)
        dprintf(log_file.fd, "%s\n", printed);
    else
        dprintf(log_file.fd, "time=\"%s\" level=%s msg=\"%s\"\n", now, level,
                text);
    free(printed);
    cJSON_Delete(line);
}

/* 設定から来た文字列に、端末を操る制御文字があるかもしれない */
static void report(const char *level, char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, text);
    if (log_file.fd != -1)
        append_log(level, text);
}

static void tell_parent(enum signal_kind kind, int error, const char *text)
{
    char packet[2048];
    int length = snprintf(packet, sizeof(packet), "%c%c%s", kind,
                          error > 255 ? 0 : error, text);

    (void)!send(parent, packet, length, MSG_NOSIGNAL);
}

static _Noreturn void fail(int error, char *text)
{
    if (parent != -1) {
        tell_parent(FAILED, error, text);
        _exit(1);
    }
    report("error", text);
    void (*function)(void) = undo;
    undo = NULL;
    if (function != NULL)
        function();
    exit(failure_status);
}

/* dockerd は、理由を Go のつづりで探す: "no such file or directory" */
void die(const char *format, ...)
{
    int error = errno;
    char text[1500];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, 1300, format, args);
    va_end(args);
    if (length > 1299)
        length = 1299;
    snprintf(text + length, sizeof(text) - length, ": %s", strerror(error));
    text[length + 2] = tolower(text[length + 2]);
    fail(error, text);
}

void refuse(const char *format, ...)
{
    char text[1500];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fail(0, text);
}

void warn_log(const char *format, ...)
{
    char text[1500];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (parent != -1)
        tell_parent(WARNED, 0, text);
    else
        report("warning", text);
}
