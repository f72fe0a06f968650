/* hooks.c - フック: エンジンが、決まった時に動かしてほしいプログラム */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* 子: state を stdin から読めるようにして、フックになる */
static _Noreturn void become_hook(const cJSON *hook, const int in[2], int err,
                                  const char *cwd)
{
    const char *path = json_path(hook, "path");
    char *only_path[] = {(char *)path, NULL};
    char **args = json_strings(hook, "args");

    if (dup2(in[0], STDIN_FILENO) == -1 || dup2(err, STDERR_FILENO) == -1 ||
        (cwd != NULL && chdir(cwd) == -1))
        _exit(EXIT_SETUP);
    close_on_exec(0);
    execve(path, *args == NULL ? only_path : args,
           json_get(hook, "env") == NULL ? environ : json_strings(hook, "env"));
    _exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

/* seconds 待っても終わらなければ、終わらせる。0 なら、いつまでも待つ。
 * pidfd_open(2) */
static int wait_hook(pid_t pid, int seconds)
{
    int status;
    struct pollfd end = {.fd = syscall(SYS_pidfd_open, pid, 0),
                         .events = POLLIN};

    if (end.fd != -1 && poll(&end, 1, seconds == 0 ? -1 : seconds * 1000) == 0)
        kill(pid, SIGKILL);
    if (end.fd != -1)
        close(end.fd);
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid a hook");
    return status;
}

static int run_hook(const cJSON *hook, const char *state, int err,
                    const char *cwd)
{
    int in[2];

    if (pipe2(in, O_CLOEXEC) == -1)
        die("pipe2");
    pid_t pid = fork();
    if (pid == -1)
        die("fork");
    if (pid == 0)
        become_hook(hook, in, err, cwd);
    close(in[0]);
    /* 読まずに終わるフックもある */
    signal(SIGPIPE, SIG_IGN);
    (void)!write(in[1], state, strlen(state));
    close(in[1]);
    int status = wait_hook(pid, json_int(hook, "timeout", 0));
    signal(SIGPIPE, SIG_DFL);
    return status;
}

/* フックの終わり方と、stderr に書いたこと。何もなければ空 */
static const char *hook_report(const char *name, const cJSON *hook, int result,
                               int err)
{
    static char text[1024];
    char said[512];
    ssize_t length = pread(err, said, sizeof(said), 0);
    const char *how = WIFEXITED(result) ? "exit status" : "signal";
    int value = WIFEXITED(result) ? WEXITSTATUS(result) : WTERMSIG(result);

    while (length > 0 && said[length - 1] == '\n')
        length--;
    if (result == 0 && length <= 0)
        return "";
    snprintf(text, sizeof(text), "hooks.%s: %s: %s %d%s%.*s", name,
             json_string(hook, "path"), how, value, length > 0 ? ": " : "",
             length > 0 ? (int)length : 0, said);
    return text;
}

void run_hooks(const struct container *box, const char *name,
               const char *status, bool is_fatal)
{
    const cJSON *list = json_get(json_get(box->config, "hooks"), name), *hook;

    if (list == NULL)
        return;
    /* startContainer だけは、もうコンテナの中にいる */
    const char *cwd = strcmp(name, "startContainer") == 0
                          ? NULL
                          : json_string(box->state, "bundle");
    cJSON *state = container_state(box, status);
    char *text = cJSON_PrintUnformatted(state);
    cJSON_ArrayForEach(hook, list) {
        /* エンジンは、ランタイムのログだけを人に見せる。memfd_create(2) */
        int err = memfd_create("hook", MFD_CLOEXEC);
        if (err == -1)
            die("memfd_create");
        int result = run_hook(hook, text, err, cwd);
        const char *report = hook_report(name, hook, result, err);
        close(err);
        if (result != 0 && is_fatal)
            refuse("%s", report);
        if (*report != '\0')
            warn_log("%s", report);
    }
    free(text);
    cJSON_Delete(state);
}
