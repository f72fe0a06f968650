/*
 * lift.c - コンテナの root として、自分の制限を外そうとする
 *
 * 「手口 結果」を 1 行ずつ書き、最後に done と書いて、終わらされるまで待つ。
 * 結果は open (外せたかもしれない) か errno の名前。本当に外れたかは外から
 * 見る。
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* 書けたら制限が外れるファイルと、書く値。v1 と v2 の両方 */
static const char *const limits[][2] = {
    {"memory.memsw.limit_in_bytes", "-1"},
    {"memory.limit_in_bytes", "-1"},
    {"memory.max", "max"},
    {"memory.swap.max", "max"},
    {"cpu.cfs_quota_us", "-1"},
    {"cpu.max", "max"},
    {"pids.max", "max"},
    {"cgroup.subtree_control", "-memory"},
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

static int write_at(int dir, const char *name, const char *value)
{
    int fd = openat(dir, name, O_WRONLY);

    return fd == -1 ? -1 : write(fd, value, strlen(value));
}

static int lifted; /* lift_file() が書けた数 */

static int lift_file(const char *path, const struct stat *file, int kind,
                     struct FTW *at)
{
    (void)file;
    (void)kind;
    for (size_t i = 0; i < LIMITS; i++)
        if (strcmp(path + at->base, limits[i][0]) == 0 &&
            write_at(AT_FDCWD, path, limits[i][1]) != -1)
            lifted++;
    return 0;
}

/* path の下にあるすべての制限を外し、入れそうな cgroup に入る */
static int lift_below(const char *path)
{
    lifted = 0;
    nftw(path, lift_file, 64, FTW_PHYS);
    if (chdir(path) == -1)
        return -1;
    if (write_at(AT_FDCWD, "cgroup.procs", "0") != -1)
        lifted++;
    if (mkdir("deeper", 0755) == 0)
        lifted++;
    return lifted > 0 ? 0 : -1;
}

/* --- 手口 ---------------------------------------------------------------- */

static int mount_controller(const char *type, const char *controller)
{
    return mount(type, "/mnt", type, 0, controller) == -1 ? -1
                                                          : lift_below("/mnt");
}

static int mount_any(void)
{
    static const char *const names[] = {"memory", "cpu", "pids", "cpuset"};
    int result = mount_controller("cgroup2", NULL);

    for (size_t i = 0; i < 4 && result == -1; i++)
        result = mount_controller("cgroup", names[i]);
    return result;
}
static int mount_in_cgroup_ns(void)
{
    return unshare(CLONE_NEWCGROUP) == -1 ? -1 : mount_any();
}
static int mount_in_user_ns(void)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) == -1
               ? -1
               : mount_any();
}
static int mount_in_mount_ns(void)
{
    return unshare(CLONE_NEWNS) == -1 ? -1 : mount_any();
}
static int files_in_sys(void)
{
    return lift_below("/sys/fs/cgroup");
}
static int files_of_pid1(void)
{
    return lift_below("/proc/1/root/sys/fs/cgroup");
}
static int inherited_descriptors(void)
{
    int result = -1;

    for (int fd = 3; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) == -1)
            continue;
        for (size_t i = 0; i < LIMITS; i++)
            if (write_at(fd, limits[i][0], limits[i][1]) != -1)
                result = 0;
        if (write_at(fd, "cgroup.procs", "0") != -1)
            result = 0;
        if (mkdirat(fd, "deeper", 0755) == 0)
            result = 0;
    }
    return result;
}
static int clone_into_descriptor(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct clone_args args = {
            .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = fd};
        int pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            return 0;
    }
    return -1;
}
static int raise_limits(void)
{
    int result = -1;

    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        if (getrlimit(which, &limit) == -1 || limit.rlim_max == RLIM_INFINITY)
            continue;
        limit.rlim_max++;
        if (setrlimit(which, &limit) == 0)
            result = 0;
    }
    return result;
}
static int all_cpus(void)
{
    cpu_set_t wanted, actual;

    /* 許されない CPU は、黙って外される */
    memset(&wanted, 0xff, sizeof(wanted));
    if (sched_setaffinity(0, sizeof(wanted), &wanted) == -1)
        return -1;
    sched_getaffinity(0, sizeof(actual), &actual);
    errno = EINVAL;
    return CPU_COUNT(&actual) > 1 ? 0 : -1;
}
static int real_time(void)
{
    struct sched_param one = {.sched_priority = 1};

    return sched_setscheduler(0, SCHED_FIFO, &one);
}
static int never_kill_me(void)
{
    int fd = open("/proc/self/oom_score_adj", O_RDONLY);
    char now[16] = "";
    ssize_t length = fd == -1 ? -1 : read(fd, now, sizeof(now) - 1);

    if (fd != -1)
        close(fd);
    if (length == -1)
        return -1;
    return write_at(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
#define ATTEMPT(name) \
    { \
#name, name \
    }
    ATTEMPT(mount_any),
    ATTEMPT(mount_in_cgroup_ns),
    ATTEMPT(mount_in_mount_ns),
    ATTEMPT(mount_in_user_ns),
    ATTEMPT(files_in_sys),
    ATTEMPT(files_of_pid1),
    ATTEMPT(inherited_descriptors),
    ATTEMPT(clone_into_descriptor),
    ATTEMPT(raise_limits),
    ATTEMPT(all_cpus),
    ATTEMPT(real_time),
    ATTEMPT(never_kill_me),
};

int main(void)
{
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        pid_t pid = fork();
        if (pid == -1)
            return 1;
        if (pid == 0) {
            errno = EPERM;
            int result = attempts[i].attempt();
            printf("%s %s\n", attempts[i].name,
                   result == -1 ? strerrorname_np(errno) : "open");
            fflush(stdout);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    puts("done");
    fflush(stdout);
    return pause();
}
