/* manage.c - 動き出したあとのコンテナを、調べ、止め、変え、消す */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KILL_WAIT 10000 /* SIGKILL で終わるまで待つ [ms] */

static bool has_namespace(const struct container *box, const char *type)
{
    const cJSON *entry;

    cJSON_ArrayForEach(entry, json_get(box->config, "linux.namespaces")) {
        const char *name = json_string(entry, "type");
        if (name != NULL && strcmp(name, type) == 0)
            return true;
    }
    return false;
}

static bool is_status(const struct container *box, const char *status)
{
    return strcmp(container_status(box), status) == 0;
}

/* "15", "TERM", "SIGTERM", "RTMIN+3"。signal(7) */
static int signal_of(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*text != '\0' && *end == '\0') {
        if (number < 0 || number > SIGRTMAX)
            usage_error("unknown signal %s", text);
        return number;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (int i = 1; i < SIGRTMIN; i++)
        if (sigabbrev_np(i) != NULL && strcasecmp(text, sigabbrev_np(i)) == 0)
            return i;
    if (strncasecmp(text, "RTMIN", 5) == 0 && atoi(text + 5) >= 0 &&
        SIGRTMIN + atoi(text + 5) <= SIGRTMAX)
        return SIGRTMIN + atoi(text + 5);
    usage_error("unknown signal %s", text);
}

/* PID は使い回される。pidfd を開いたあとで、まだ同じプロセスか確かめる。
 * pidfd_send_signal(2) */
static int open_init(const struct container *box)
{
    pid_t pid = container_pid(box);
    int fd = pid == 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd != -1 && container_pid(box) != pid) {
        close(fd);
        return -1;
    }
    return fd;
}

int open_running(const struct container *box, const struct options_oci *opt)
{
    const char *status = container_status(box);
    bool is_paused = strcmp(status, "paused") == 0;
    int fd = open_init(box);

    if (is_paused && !opt->ignore_paused)
        refuse("cannot exec in a paused container");
    if (fd == -1 || strcmp(status, "creating") == 0)
        refuse("cannot exec in a %s container", status);
    return fd;
}

static void send_signal(const struct container *box, int signal)
{
    int fd = open_init(box);

    if (fd == -1 ||
        (syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == -1 &&
         errno == ESRCH))
        refuse("container not running");
    close(fd);
}

static void kill_container(const struct container *box,
                           const struct options_oci *opt)
{
    int signal = signal_of(opt->args[0] == NULL ? "TERM" : opt->args[0]);

    if (opt->all) {
        cgroups_kill(box, signal);
        return;
    }
    send_signal(box, signal);
    /* 自分の PID 名前空間がなければ、PID 1 と一緒に終わるものはない */
    if (signal == SIGKILL && !has_namespace(box, "pid"))
        cgroups_kill(box, signal);
    if (signal == SIGKILL && cgroups_is_frozen(box))
        cgroups_freeze(box, false); /* 凍ったままでは、死ねない */
}

/* 子も孫も、いなくなるまで */
static void kill_everything(const struct container *box)
{
    int fd = open_init(box);
    struct pollfd end = {.fd = fd, .events = POLLIN};

    if (fd != -1)
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    if (cgroups_is_frozen(box))
        cgroups_freeze(box, false);
    for (int i = 0; i < KILL_WAIT && cgroups_kill(box, SIGKILL); i++)
        pause_briefly();
    if (fd != -1)
        poll(&end, 1, KILL_WAIT);
    if (fd != -1)
        close(fd);
}

/* 自分のマウント名前空間がなければ、マウントしたものは、こちらに残っている */
static void unmount_rootfs(const struct container *box)
{
    const char *bundle = json_string(box->state, "bundle");
    const char *rootfs = json_path(box->config, "root.path");

    if (bundle == NULL || rootfs == NULL || has_namespace(box, "mount"))
        return;
    umount2(*rootfs == '/' ? rootfs : path_of("%s/%s", bundle, rootfs),
            MNT_DETACH | UMOUNT_NOFOLLOW);
}

void delete_container(const struct container *box)
{
    kill_everything(box);
    unmount_rootfs(box);
    cgroups_remove(box);
    container_remove(box);
    run_hooks(box, "poststop", "stopped", false);
}

static void delete_by_command(const struct options_oci *opt)
{
    if (opt->force && !container_exists(opt))
        return;
    struct container box = container_load(opt, true);
    if (!opt->force && !is_status(&box, "stopped"))
        refuse("cannot delete container %s that is not stopped: %s", opt->id,
               container_status(&box));
    delete_container(&box);
}

static void list_processes(const struct container *box,
                           const struct options_oci *opt)
{
    cJSON *list = cJSON_CreateArray(), *pid;
    char pids[65536] = "", *argv[64] = {"ps", "-f"};
    size_t length = 0, n = opt->args[0] == NULL ? 2 : 1;

    cgroups_processes(box, list);
    if (opt->format != NULL && strcmp(opt->format, "json") == 0) {
        puts(cJSON_PrintUnformatted(list));
        return;
    }
    cJSON_ArrayForEach(pid, list)
        if (length < sizeof(pids) - 16)
            length += sprintf(pids + length, "%s%d", length == 0 ? "" : ",",
                              (int)pid->valuedouble);
    if (length == 0)
        return;
    for (char **arg = opt->args; *arg != NULL && n < 60; arg++)
        argv[n++] = *arg;
    argv[n++] = "-p";
    argv[n++] = pids;
    execvp("ps", argv);
    die("exec ps");
}

static void update_limits(const struct container *box,
                          const struct options_oci *opt)
{
    const cJSON *resources =
        opt->resources == NULL ? opt->update : json_read(opt->resources);

    if (is_status(box, "stopped"))
        refuse("container not running");
    if (resources == NULL)
        usage_error("update: nothing to change");
    if (cJSON_GetArraySize(json_get(resources, "devices")) > 0)
        refuse("update: devices: not supported");
    cgroups_limit(box, resources);
}

static void pause_container(const struct container *box, bool pause)
{
    const char *wanted = pause ? "running" : "paused";
    const char *status = container_status(box);

    if (strcmp(status, wanted) != 0 &&
        !(pause && strcmp(status, "created") == 0))
        refuse("container is %s, not %s", status, wanted);
    cgroups_freeze(box, pause);
}

void manage(const struct options_oci *opt)
{
    const char *command = opt->command;
    struct container box;

    if (strcmp(command, "list") == 0) {
        list_containers(opt);
        return;
    }
    if (strcmp(command, "spec") == 0) {
        write_spec(opt);
        return;
    }
    if (strcmp(command, "features") == 0) {
        print_features();
        return;
    }
    if (strcmp(command, "delete") == 0) {
        delete_by_command(opt);
        return;
    }
    box = container_load(opt, false);
    if (strcmp(command, "state") == 0)
        puts(cJSON_Print(container_state(&box, container_status(&box))));
    else if (strcmp(command, "kill") == 0)
        kill_container(&box, opt);
    else if (strcmp(command, "ps") == 0)
        list_processes(&box, opt);
    else if (strcmp(command, "update") == 0)
        update_limits(&box, opt);
    else
        pause_container(&box, strcmp(command, "pause") == 0);
}
