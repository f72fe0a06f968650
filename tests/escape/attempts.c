/*
 * attempts.c - コンテナ内から、外に届くはずのシステムコールを 1 つずつ試す
 *
 * 1 行に 1 つ、「名前 結果」を書く。結果は open (できた) か errno の名前。
 * どれも別の子で試す。できてしまってもホストが変わらないように、
 * 書く値は今と同じものか、何も起きないものにする。
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* 引数: ホストから見た、ホストのプロセスの PID */
static pid_t victim;

/* --- マウント ------------------------------------------------------------ */

static int mount_on_mnt(const char *type, const char *data)
{
    return mount(type, "/mnt", type, 0, data);
}

static int mount_tmpfs(void)
{
    return mount_on_mnt("tmpfs", NULL);
}
static int mount_proc(void)
{
    return mount_on_mnt("proc", NULL);
}
static int mount_sysfs(void)
{
    return mount_on_mnt("sysfs", NULL);
}
static int mount_devtmpfs(void)
{
    return mount_on_mnt("devtmpfs", NULL);
}
static int mount_cgroup(void)
{
    return mount_on_mnt("cgroup", "memory");
}
static int mount_cgroup2(void)
{
    return mount_on_mnt("cgroup2", NULL);
}
static int mount_debugfs(void)
{
    return mount_on_mnt("debugfs", NULL);
}
static int mount_securityfs(void)
{
    return mount_on_mnt("securityfs", NULL);
}
static int mount_bpf(void)
{
    return mount_on_mnt("bpf", NULL);
}
static int mount_overlay(void)
{
    return mount_on_mnt("overlay", "lowerdir=/bin:/etc");
}
static int mount_block_device(void)
{
    return mount("/dev/shm/disk", "/mnt", "ext4", 0, NULL);
}
static int bind_root(void)
{
    return mount("/", "/mnt", NULL, MS_BIND, NULL);
}
static int move_proc(void)
{
    return mount("/proc", "/mnt", NULL, MS_MOVE, NULL);
}
static int move_root(void)
{
    return mount("/", "/mnt", NULL, MS_MOVE, NULL);
}
static int share_root(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}
static int umount_root(void)
{
    return umount2("/", MNT_DETACH);
}
static int umount_proc(void)
{
    return umount2("/proc", MNT_DETACH);
}
static int umount_proc_sys(void)
{
    return umount2("/proc/sys", MNT_DETACH);
}
static int umount_keys(void)
{
    return umount2("/proc/keys", MNT_DETACH);
}
static int umount_dev_null(void)
{
    return umount2("/dev/null", MNT_DETACH);
}
static int remount_proc_sys(void)
{
    return mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
}
static int remount_sys(void)
{
    return mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
}
static int remount_sysfs(void)
{
    return mount(NULL, "/sys", NULL, MS_REMOUNT, NULL);
}
static int open_tree_clone(void)
{
    return syscall(SYS_open_tree, AT_FDCWD, "/proc/sys", 1 /* CLONE */);
}
static int open_file_system(void)
{
    return syscall(SYS_fsopen, "tmpfs", 0);
}
static int set_mount_attributes(void)
{
    struct {
        unsigned long long set, clear, propagation, userns;
    } attr = {.clear = 1 /* MOUNT_ATTR_RDONLY */};

    return syscall(SYS_mount_setattr, AT_FDCWD, "/sys", 0, &attr, sizeof(attr));
}
static int pivot_again(void)
{
    return syscall(SYS_pivot_root, ".", ".");
}
static int change_root(void)
{
    return chroot("/mnt");
}
/* ルートを下に移し、その外に残したカレントディレクトリから上へたどる */
static int climb_out(void)
{
    struct stat before, after;
    char top[64 * 3 + 1] = "";

    for (int i = 0; i < 64; i++)
        strcat(top, "../");
    if (stat("/", &before) == -1 || chdir("/") == -1 || chroot("/mnt") == -1 ||
        chdir(top) == -1 || stat(".", &after) == -1)
        return -1;
    errno = EPERM; /* 前のルートに戻っただけ */
    return before.st_ino == after.st_ino && before.st_dev == after.st_dev ? -1
                                                                          : 0;
}

/* --- デバイス ------------------------------------------------------------ */

static int make_char_device(void)
{
    return mknod("/tmp/attempt-char", S_IFCHR | 0600, makedev(1, 3));
}
static int make_block_device(void)
{
    return mknod("/tmp/attempt-block", S_IFBLK | 0600, makedev(7, 99));
}
static int make_device_in_dev(void)
{
    return mknod("/dev/attempt", S_IFCHR | 0600, makedev(1, 3));
}
/* 今と同じモードにするだけなので、できてもホストの /dev は変わらない */
static int chmod_device(const char *path)
{
    struct stat now;

    if (stat(path, &now) == -1 || !S_ISCHR(now.st_mode))
        return -1;
    return chmod(path, now.st_mode & 07777);
}
static int chmod_null(void)
{
    return chmod_device("/dev/null");
}
static int chmod_tty(void)
{
    return chmod_device("/dev/tty");
}
static int chown_null(void)
{
    return chown("/dev/null", 0, 0);
}
/* /proc のファイルのモードは、PID 名前空間が違っても 1 つしかない */
static int chmod_proc(void)
{
    return chmod("/proc/uptime", 0444);
}
static int chmod_sys(void)
{
    return chmod("/sys/kernel", 0755);
}
static int touch_null(void)
{
    struct stat now;

    if (stat("/dev/null", &now) == -1)
        return -1;
    struct timespec times[] = {now.st_atim, now.st_mtim};
    return utimensat(AT_FDCWD, "/dev/null", times, 0);
}

/* --- 名前空間 ------------------------------------------------------------ */

static int unshare_user(void)
{
    return unshare(CLONE_NEWUSER);
}
static int unshare_mount(void)
{
    return unshare(CLONE_NEWNS);
}
static int unshare_net(void)
{
    return unshare(CLONE_NEWNET);
}
static int unshare_pid(void)
{
    return unshare(CLONE_NEWPID);
}
static int unshare_ipc(void)
{
    return unshare(CLONE_NEWIPC);
}
static int unshare_uts(void)
{
    return unshare(CLONE_NEWUTS);
}
static int unshare_cgroup(void)
{
    return unshare(CLONE_NEWCGROUP);
}
static int unshare_time(void)
{
    return unshare(CLONE_NEWTIME);
}
static int clone_user(void)
{
    int pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

    if (pid == 0)
        _exit(0);
    return pid;
}
/* /proc/1/ns にあるのは自分のものだけ。stdin に呼び出し元の名前空間がある */
static int join(const char *path)
{
    int fd = open(path, O_RDONLY);

    return fd == -1 ? -1 : setns(fd, 0);
}
static int setns_pid1_mnt(void)
{
    return join("/proc/1/ns/mnt");
}
static int setns_pid1_net(void)
{
    return join("/proc/1/ns/net");
}
static int setns_pid1_user(void)
{
    return join("/proc/1/ns/user");
}
static int setns_stdin(void)
{
    return setns(0, 0);
}
/* 親のユーザー名前空間を、自分のものからたどる。NS_GET_PARENT は ioctl_ns(2) */
static int parent_user_ns(void)
{
    return ioctl(open("/proc/self/ns/user", O_RDONLY), _IO(0xb7, 2));
}

/* --- ほかのプロセス ------------------------------------------------------- */

static int kill_victim(void)
{
    return kill(victim, 0);
}
static int trace_victim(void)
{
    return ptrace(PTRACE_SEIZE, victim, NULL, NULL);
}
static int pidfd_victim(void)
{
    return syscall(SYS_pidfd_open, victim, 0);
}
static int priority_victim(void)
{
    return getpriority(PRIO_PROCESS, victim);
}
static int limits_victim(void)
{
    struct rlimit now;

    return prlimit(victim, RLIMIT_NOFILE, NULL, &now);
}
static int affinity_victim(void)
{
    cpu_set_t set;

    return sched_getaffinity(victim, sizeof(set), &set);
}
static int kill_all(void)
{
    /* 自分と PID 1 のほかには、何もいない。kill(2) */
    return kill(-1, SIGCONT);
}

/* --- カーネル全体 --------------------------------------------------------- */

static int load_module(void)
{
    return syscall(SYS_init_module, NULL, 0, "");
}
static int load_module_fd(void)
{
    return syscall(SYS_finit_module, -1, "", 0);
}
static int delete_module(void)
{
    return syscall(SYS_delete_module, "no_such_module", O_NONBLOCK);
}
static int load_kernel(void)
{
    return syscall(SYS_kexec_load, 0, 0, NULL, ~0UL);
}
/* Ctrl-Alt-Del の扱い。PID 名前空間では、許されても EINVAL。reboot(2) */
static int reboot_cad_off(void)
{
    return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
                   LINUX_REBOOT_CMD_CAD_OFF, NULL);
}
static int swap_on(void)
{
    return swapon("/no/such/swap", 0);
}
static int swap_off(void)
{
    return swapoff("/no/such/swap");
}
static int set_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}
static int adjust_clock(void)
{
    struct timex change = {.modes = 0};

    if (adjtimex(&change) == -1)
        return -1;
    change.modes = ADJ_TICK; /* 今と同じ値 */
    return adjtimex(&change);
}
static int set_host_name(void)
{
    char name[256];

    gethostname(name, sizeof(name));
    return sethostname(name, strlen(name));
}
static int set_domain_name(void)
{
    char name[256];

    if (getdomainname(name, sizeof(name)) == -1)
        return -1;
    return setdomainname(name, strlen(name));
}
/* SYSLOG_ACTION_SIZE_UNREAD */
static int read_kernel_log(void)
{
    return syscall(SYS_syslog, 9, NULL, 0);
}
static int accounting(void)
{
    return acct("/no/such/file");
}
static int bpf_map(void)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
                           .key_size = 4,
                           .value_size = 4,
                           .max_entries = 1};

    return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}
/* CPU 0 で動くすべてのプロセスを見る */
static int perf_of_a_cpu(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_SW_CPU_CLOCK};

    return syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
}
/* カーネルの中のフォールトも受け取る。userfaultfd(2) */
static int user_fault(void)
{
    return syscall(SYS_userfaultfd, 0);
}
static int watch_file_system(void)
{
    int fd = syscall(SYS_fanotify_init, 0, O_RDONLY);

    /* FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN */
    return fd == -1
               ? -1
               : syscall(SYS_fanotify_mark, fd, 0x101, 0x20ULL, AT_FDCWD, "/");
}
static int packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}
static int raw_socket(void)
{
    return socket(AF_INET, SOCK_RAW, 1);
}

/* 端末に、打ったことにする 1 文字を入れる。ioctl_tty(2) */
static int type_ahead(void)
{
    return ioctl(0, TIOCSTI, "x");
}

/* --- 権限と制限 ----------------------------------------------------------- */

static int raise_open_files(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max++;
    return setrlimit(RLIMIT_NOFILE, &limit);
}
static int raise_priority(void)
{
    int now = getpriority(PRIO_PROCESS, 0);

    return setpriority(PRIO_PROCESS, 0, now - 1);
}
static int real_time(void)
{
    struct sched_param one = {.sched_priority = 1};

    return sched_setscheduler(0, SCHED_FIFO, &one);
}
static int set_groups(void)
{
    gid_t other = 4713;

    return syscall(SYS_setgroups, 1, &other);
}
static int become_somebody(void)
{
    return syscall(SYS_setuid, 1000);
}
static int read_session_key(void)
{
    char text[64];
    /* KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING */
    long key = syscall(SYS_keyctl, 10, -3, "user", "escape-suite", 0);

    return key == -1 ? -1 : syscall(SYS_keyctl, 11, key, text, sizeof(text));
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
#define ATTEMPT(name) \
    { \
#name, name \
    }
    ATTEMPT(mount_tmpfs),
    ATTEMPT(mount_proc),
    ATTEMPT(mount_sysfs),
    ATTEMPT(mount_devtmpfs),
    ATTEMPT(mount_cgroup),
    ATTEMPT(mount_cgroup2),
    ATTEMPT(mount_debugfs),
    ATTEMPT(mount_securityfs),
    ATTEMPT(mount_bpf),
    ATTEMPT(mount_overlay),
    ATTEMPT(mount_block_device),
    ATTEMPT(bind_root),
    ATTEMPT(move_proc),
    ATTEMPT(move_root),
    ATTEMPT(share_root),
    ATTEMPT(umount_root),
    ATTEMPT(umount_proc),
    ATTEMPT(umount_proc_sys),
    ATTEMPT(umount_keys),
    ATTEMPT(umount_dev_null),
    ATTEMPT(remount_proc_sys),
    ATTEMPT(remount_sys),
    ATTEMPT(remount_sysfs),
    ATTEMPT(open_tree_clone),
    ATTEMPT(open_file_system),
    ATTEMPT(set_mount_attributes),
    ATTEMPT(pivot_again),
    ATTEMPT(change_root),
    ATTEMPT(climb_out),
    ATTEMPT(make_char_device),
    ATTEMPT(make_block_device),
    ATTEMPT(make_device_in_dev),
    ATTEMPT(chmod_null),
    ATTEMPT(chmod_tty),
    ATTEMPT(chown_null),
    ATTEMPT(touch_null),
    ATTEMPT(chmod_proc),
    ATTEMPT(chmod_sys),
    ATTEMPT(unshare_user),
    ATTEMPT(unshare_mount),
    ATTEMPT(unshare_net),
    ATTEMPT(unshare_pid),
    ATTEMPT(unshare_ipc),
    ATTEMPT(unshare_uts),
    ATTEMPT(unshare_cgroup),
    ATTEMPT(unshare_time),
    ATTEMPT(clone_user),
    ATTEMPT(setns_pid1_mnt),
    ATTEMPT(setns_pid1_net),
    ATTEMPT(setns_pid1_user),
    ATTEMPT(setns_stdin),
    ATTEMPT(parent_user_ns),
    ATTEMPT(kill_victim),
    ATTEMPT(trace_victim),
    ATTEMPT(pidfd_victim),
    ATTEMPT(priority_victim),
    ATTEMPT(limits_victim),
    ATTEMPT(affinity_victim),
    ATTEMPT(kill_all),
    ATTEMPT(load_module),
    ATTEMPT(load_module_fd),
    ATTEMPT(delete_module),
    ATTEMPT(load_kernel),
    ATTEMPT(reboot_cad_off),
    ATTEMPT(swap_on),
    ATTEMPT(swap_off),
    ATTEMPT(set_clock),
    ATTEMPT(adjust_clock),
    ATTEMPT(set_host_name),
    ATTEMPT(set_domain_name),
    ATTEMPT(read_kernel_log),
    ATTEMPT(accounting),
    ATTEMPT(bpf_map),
    ATTEMPT(perf_of_a_cpu),
    ATTEMPT(user_fault),
    ATTEMPT(watch_file_system),
    ATTEMPT(packet_socket),
    ATTEMPT(raw_socket),
    ATTEMPT(raise_open_files),
    ATTEMPT(raise_priority),
    ATTEMPT(real_time),
    ATTEMPT(set_groups),
    ATTEMPT(become_somebody),
    ATTEMPT(read_session_key),
    ATTEMPT(type_ahead),
};

int main(int argc, char *argv[])
{
    if (argc > 1)
        victim = atoi(argv[1]);
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        pid_t pid = fork();
        if (pid == -1)
            return 1;
        if (pid == 0) {
            /* 07 ではマウントを変えられる。次の試みに影響しないようにする */
            unshare(CLONE_NEWNS);
            errno = 0;
            int result = attempts[i].attempt();
            printf("%s %s\n", attempts[i].name,
                   result == -1 ? strerrorname_np(errno) : "open");
            fflush(stdout);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        if (status != 0)
            printf("%s killed\n", attempts[i].name);
        fflush(stdout);
    }
    return 0;
}
