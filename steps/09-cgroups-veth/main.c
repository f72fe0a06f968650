/*
 * リソースを制限し、ホストとネットワークでつなぐ
 *
 * 作る:   cc -o ../../step main.c \
 *             ../../shared/{ct*,cli,hints,cgroup,netlink}.c -lcap -lmnl
 * 動かす: sudo ../../step run
 * 見る:   コンテナ内の ip addr と /demo/memhog。ホストの ip addr show veth-host
 */
#define _GNU_SOURCE
#include "../../shared/cgroup.h"
#include "../../shared/ct.h"
#include "../../shared/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTNAME "container"

#define VETH_HOST  "veth-host"
#define VETH_CHILD "veth-child"

/* 何を分けるかは、フラグで 1 つずつ選ぶ。clone3(2), namespaces(7) */
static uint64_t new_namespaces(void)
{
    uint64_t flags = 0;

    flags |= CLONE_NEWIPC; /* 共有メモリー、セマフォ、メッセージキュー */
    flags |= CLONE_NEWNET; /* ネットワークデバイス、アドレス、経路 */
    flags |= CLONE_NEWUSER; /* uid、gid とケーパビリティ */
    flags |= CLONE_NEWUTS; /* ホスト名 */
    flags |= CLONE_NEWPID; /* PID。最初の子が PID 1 になる */
    flags |= CLONE_NEWNS; /* マウント。最初の名前空間なので NEWNS と呼ぶ */
    return flags;
}

/* フラグがなければ、fork(2) と同じ。スタックを渡さないので、子は親のスタックの
 * コピーの上で、同じ所から動き出す。glibc に関数はない。clone3(2) */
static pid_t clone_child(uint64_t flags)
{
    struct clone_args args = {
        .flags = flags,
        .exit_signal = SIGCHLD, /* 終わると、親にこのシグナルが届く */
    };

    return syscall(SYS_clone3, &args, sizeof(args));
}

/* 補助グループはマッピングできず、ホストの権限のまま子に残る。だから、
 * 外せる (CAP_SETGID のある) うちに外しておく。setgroups(2) */
static void drop_groups(void)
{
    if (setgroups(0, NULL) == -1 && errno != EPERM)
        die("setgroups");
}

/* 「コンテナ内の id、ホストの id、個数」を書く。コンテナ内の 0 を、実行した
 * ユーザーにマッピングする。自分を締め出すグループから抜けられないように、
 * gid_map より先に setgroups を禁じる (Linux 3.19 から)。user_namespaces(7) */
static void write_id_maps(pid_t pid)
{
    write_file(path_of("/proc/%d/setgroups", pid), "deny");
    write_file(path_of("/proc/%d/uid_map", pid), "0 %u 1\n", invoking_uid());
    write_file(path_of("/proc/%d/gid_map", pid), "0 %u 1\n", invoking_gid());
    lend_stdio(invoking_uid()); /* sudo の端末は root のもの */
}

/* v2 では、親の cgroup が有効にしたコントローラーだけを、子で使える。
 * Debian 13 でも、ルートの cgroup は cpu を有効にしていない。cgroups(7) */
static void enable_controller(const struct cgroup *group, const char *name)
{
    write_file(path_of("%s/cgroup.subtree_control", group->top), "+%s", name);
    write_file(path_of("%s/cgroup.subtree_control", group->parent), "+%s",
               name);
}

/* 周期 (100 ms) ごとに、全 CPU の合計で quota だけ動ける。0.2 なら 20 ms */
static void limit_cpu(const struct cgroup *group, const struct options *opt)
{
    if (group->version == 2) {
        cgroup_set(group, "cpu.max", "%lu %d", opt->cpu_quota, CPU_PERIOD);
        return;
    }
    cgroup_set(group, "cpu.cfs_period_us", "%d", CPU_PERIOD);
    cgroup_set(group, "cpu.cfs_quota_us", "%lu", opt->cpu_quota);
}

/* スワップも止める。そうしないと、あふれた分がディスクに逃げるだけで終わる。
 * v1 の memsw は、メモリーとスワップの合計 */
static void limit_memory(const struct cgroup *group, const struct options *opt)
{
    if (group->version == 2) {
        cgroup_set(group, "memory.max", "%llu", opt->memory);
        cgroup_set(group, "memory.swap.max", "0");
        return;
    }
    cgroup_set(group, "memory.limit_in_bytes", "%llu", opt->memory);
    cgroup_set(group, "memory.memsw.limit_in_bytes", "%llu", opt->memory);
}

static void limit_pids(const struct cgroup *group, const struct options *opt)
{
    cgroup_set(group, "pids.max", "%lu", opt->pids);
}

/* v1 の新しい cpuset は空で、そのままではプロセスを入れられない。cpuset(7) */
static void limit_cpuset(const struct cgroup *group, const struct options *opt)
{
    if (group->version == 1) {
        cgroup_inherit(group, "cpuset.mems");
        cgroup_inherit(group, "cpuset.cpus");
    }
    write_file(path_of("%s/cpuset.cpus", group->path), "%s", opt->cpuset);
}

static const struct {
    const char *name;
    void (*limit)(const struct cgroup *group, const struct options *opt);
} controllers[] = {
    {"cpu", limit_cpu},
    {"memory", limit_memory},
    {"pids", limit_pids},
    {"cpuset", limit_cpuset},
};

static struct cgroup groups[sizeof(controllers) / sizeof(controllers[0])];

/* リアルタイムのプロセスには、CPU の制限が効かない。呼び出し元がそうでも、
 * ふつうに戻し、コンテナ内でもなれないようにする。sched(7) */
static void leave_real_time(void)
{
    if (sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}) == -1)
        die("sched_setscheduler SCHED_OTHER");
    if (setrlimit(RLIMIT_RTPRIO, &(struct rlimit){0}) == -1)
        die("setrlimit RLIMIT_RTPRIO");
}

static void create_cgroups(const struct options *opt)
{
    leave_real_time();
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        struct cgroup *group = &groups[i];

        if (controllers[i].limit == limit_cpuset && opt->cpuset == NULL)
            continue; /* 頼まれたときだけ */
        cgroup_find(group, controllers[i].name);
        if (group->version == 2)
            enable_controller(group, controllers[i].name);
        if (group->is_first && mkdir(group->path, CGROUP_MODE) == -1)
            die("mkdir %s", group->path);
        controllers[i].limit(group, opt);
    }
    cgroup_claim();
}

/* "0" は自分のこと。コマンドより先に入らないと、コマンドの作った子が外に残る。
 * v1 では、自分だけを動かす tasks のほうが速い。cgroups(7) */
static void join_cgroups(void)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        const struct cgroup *group = &groups[i];
        const char *file = group->version == 2 ? "cgroup.procs" : "tasks";

        if (group->is_first)
            write_file(path_of("%s/%s", group->path, file), "0");
    }
}

/* コンテナの送るルーター広告 (RA) を、ホストは自分の経路にしてしまう。
 * だから、up にする前に IPv6 を切る。IPv6 のないカーネルには、ファイルもない */
static void disable_ipv6(const char *name)
{
    const char *file = path_of("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);

    if (access(file, F_OK) == 0 || errno != ENOENT)
        write_file(file, "1");
}

/* 使われていない 10.0.N.0/24 を探し、ホストとコンテナを 1 本のケーブルで
 * つなぐ。同じ名前のリンクは作れないので、作れたことが、N を取れた証拠になる。
 * ホストに端を置くには、ホストの root の特権が要る。だから親が作る。veth(4) */
static uint8_t create_veth(pid_t pid)
{
    bool used[256] = {false};
    char name[IFNAMSIZ];

    subnets_in_use(used);
    for (int n = 0; n < 256; n++) {
        if (used[n])
            continue;
        snprintf(name, sizeof(name), n ? "%s%d" : "%s", VETH_HOST, n);
        if (link_add_veth(name, VETH_CHILD, pid) == 0) {
            disable_ipv6(name);
            link_up(name, SUBNET(n) + 1, 24);
            return n;
        }
        if (errno != EEXIST)
            die("netlink link %s", name);
    }
    errno = EEXIST;
    die("netlink route 10.0.0.0/16");
}

/* コンテナ側の端は、子が用意する。自分のネットワーク名前空間を変えるには、
 * 自分のユーザー名前空間の CAP_NET_ADMIN があればよい。netdevice(7) */
static void configure_network(uint8_t n)
{
    link_up(VETH_CHILD, SUBNET(n) + 2, 24);
    link_up("lo", INADDR_LOOPBACK, 8);
}

/* 失敗したときも呼ばれる。veth は名前空間と一緒に消えるが、少しあとになる。
 * ホストが元に戻るのを見届ける。atexit(3) */
static void clean_up(void)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (groups[i].version != 0)
            cgroup_remove(&groups[i]);
    link_wait_gone();
}

/* sudo で始めると、子の uid はホストの 0 のまま。それはコンテナのどの uid にも
 * マッピングされていないので、65534 に見える。uid 0 になってから exec
 * しないと、ケーパビリティが消える。capabilities(7) */
static void become_root(void)
{
    if (setresgid(0, 0, 0) == -1)
        die("setresgid 0");
    if (setresuid(0, 0, 0) == -1)
        die("setresuid 0");
}

/* 新しい UTS 名前空間は、ホスト名が複製された状態から始まる。変えられるのは、
 * その名前空間の CAP_SYS_ADMIN を持つプロセスだけ。uid 0 になっておけば、
 * exec をはさんでも失わない。sethostname(2) */
static void set_hostname(void)
{
    if (sethostname(HOSTNAME, strlen(HOSTNAME)) == -1)
        die("sethostname " HOSTNAME);
}

/* マウントのツリーはコピーでも、伝播 (propagation) はつながったまま。
 * 切っておかないと、ホストであとからしたマウントがコンテナにも現れる。
 * mount_namespaces(7) */
static void make_mounts_private(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
        die("mount /");
}

/* pivot_root は、新しいルートがマウントポイントであることを求める。
 * ただのディレクトリも、自分自身に重ねればそうなる。重ねたあとの "." は、
 * まだ下のディレクトリを指す。だから、重ねたほうに入り直す。open_tree(2) */
static void bind_rootfs(const char *rootfs)
{
    if (chdir(rootfs) == -1)
        die("chdir %s", rootfs);
    int tree = syscall(SYS_open_tree, AT_FDCWD, ".",
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree == -1)
        die("open_tree .");
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, ".",
                MOVE_MOUNT_F_EMPTY_PATH) == -1)
        die("move_mount .");
    if (fchdir(tree) == -1)
        die("fchdir .");
    close(tree);
}

#define NO_SETUID_DEVICE_EXEC (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* カレントディレクトリ (rootfs) の下にマウントする。ユーザー名前空間の中では、
 * proc と sysfs は、ホストのものが見えているときしかマウントできない。だから、
 * ルートを取り替える前に済ませる。user_namespaces(7) */
static void mount_file_systems(void)
{
    mount_dir("proc", "proc", "proc", NO_SETUID_DEVICE_EXEC, NULL);
    mount_dir("sysfs", "sys", "sysfs", NO_SETUID_DEVICE_EXEC | MS_RDONLY, NULL);
    mount_dir("tmpfs", "dev", "tmpfs", NO_SETUID_DEVICE_EXEC,
              "mode=755,size=64k");
}

static void make_mount(const char *type, const char *target,
                       unsigned long flags, const char *data)
{
    if (mkdir(target, 0755) == -1)
        die("mkdir %s", target);
    mount_dir(type, target, type, flags, data);
}

/* ユーザー名前空間の中では mknod(2) ができない。ホストのデバイスを bind
 * マウントして使う。読み取り専用でもデバイスには書けるが、ホストのファイルの
 * モードは変えられない */
static void bind_device(const char *device)
{
    const char *target = strrchr(device, '/') + 1; /* "/dev/null" -> "null" */
    unsigned long lock = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID;

    if (access(device, F_OK) == -1 && errno == ENOENT)
        return; /* ホストにないものは、コンテナにもない */
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd == -1)
        die("open %s", target);
    close(fd);
    if (mount(device, target, NULL, MS_BIND, NULL) == -1 ||
        mount(NULL, target, NULL, lock | MS_NOEXEC, NULL) == -1)
        die("mount %s", target);
}

static void make_link(const char *to, const char *path)
{
    if (symlink(to, path) == -1)
        die("symlink %s", path);
}

/* dev に入ってから作る。"dev/null" とたどり直すと、そのあいだに dev をリンクに
 * 差し替えられる。runc(8) も、ほぼ同じものを並べる */
static void populate_dev(void)
{
    enter_mount("dev");
    /* ここの端末はデバイスなので、devpts にだけは MS_NODEV を付けられない */
    make_mount("devpts", "pts", MS_NOSUID | MS_NOEXEC,
               "newinstance,ptmxmode=666");
    make_mount("tmpfs", "shm", NO_SETUID_DEVICE_EXEC, "mode=1777,size=64m");
    make_mount("mqueue", "mqueue", NO_SETUID_DEVICE_EXEC, NULL);
    bind_device("/dev/null");
    bind_device("/dev/zero");
    bind_device("/dev/full");
    bind_device("/dev/random");
    bind_device("/dev/urandom");
    bind_device("/dev/tty");
    make_link("pts/ptmx", "ptmx");
    make_link("/proc/self/fd", "fd");
    make_link("/proc/self/fd/0", "stdin");
    make_link("/proc/self/fd/1", "stdout");
    make_link("/proc/self/fd/2", "stderr");
    if (chdir("..") == -1)
        die("chdir ..");
}

/* カレントディレクトリを "/" にする。同じ場所を 2 度渡すと、古いルートは新しい
 * ルートの上に重なる。それを外せば、ホストへ戻る道は残らない。pivot_root(2) の
 * NOTES */
static void switch_root(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == -1)
        die("pivot_root .");
    if (umount2(".", MNT_DETACH) == -1)
        die("umount2 .");
    if (chdir("/") == -1)
        die("chdir /");
}

/* name に何を重ねるか。/dev/null は、MS_NODEV を付けると開けなくなる */
#define READ_ONLY(name)  name, name, MS_BIND, NO_SETUID_DEVICE_EXEC
#define EMPTY_FILE(name) name, "/dev/null", MS_BIND, MS_NOSUID | MS_NOEXEC
#define EMPTY_DIR(name)  name, "tmpfs", 0, NO_SETUID_DEVICE_EXEC

/* カーネルの設定を変えるものは読み取り専用に、ホストの中身が見えるものは空に
 * する。runc spec(8) の readonlyPaths と maskedPaths のすべてに、
 * Docker が隠す interrupts と powercap、どちらにもない dynamic_debug
 * (カーネルのデバッグ出力を切り替える) と tpm (起動の記録) を足した */
static const struct {
    const char *dir, *name, *cover;
    unsigned long bind, flags;
} covers[] = {
    {"/proc", READ_ONLY("bus")},
    {"/proc", READ_ONLY("dynamic_debug")},
    {"/proc", READ_ONLY("fs")},
    {"/proc", READ_ONLY("irq")},
    {"/proc", READ_ONLY("sys")},
    {"/proc", READ_ONLY("sysrq-trigger")},
    {"/proc", EMPTY_FILE("interrupts")},
    {"/proc", EMPTY_FILE("kcore")},
    {"/proc", EMPTY_FILE("keys")},
    {"/proc", EMPTY_FILE("latency_stats")},
    {"/proc", EMPTY_FILE("sched_debug")},
    {"/proc", EMPTY_FILE("timer_list")},
    {"/proc", EMPTY_FILE("timer_stats")},
    {"/proc", EMPTY_DIR("acpi")},
    {"/proc", EMPTY_DIR("asound")},
    {"/proc", EMPTY_DIR("scsi")},
    {"/sys", EMPTY_DIR("devices/virtual/powercap")},
    {"/sys", EMPTY_DIR("devices/virtual/tpm")},
    {"/sys", EMPTY_DIR("firmware")},
};

/* 重ねてから読み取り専用にする。MS_BIND なしの MS_REMOUNT は、重ねた 1 つでなく
 * ファイルシステム全体を変える。ホストのものなら、EPERM になる。mount(2) */
static void cover_paths(void)
{
    unsigned long lock = MS_BIND | MS_REMOUNT | MS_RDONLY;

    for (size_t i = 0; i < sizeof(covers) / sizeof(covers[0]); i++) {
        const char *dir = covers[i].dir, *name = covers[i].name;

        enter_mount(dir);
        if (access(name, F_OK) == -1) {
            if (errno == ENOENT)
                continue; /* カーネルの構成によっては、ない */
            die("access %s/%s", dir, name);
        }
        if (mount(covers[i].cover, name, "tmpfs", covers[i].bind, NULL) == -1 ||
            mount(NULL, name, NULL, lock | covers[i].flags, NULL) == -1)
            die("mount %s/%s", dir, name);
    }
    if (chdir("/") == -1)
        die("chdir /");
}

/* 呼び出し元のセッションキーリングは、名前空間を分けても引き継がれる。
 * そこにある鍵は、持っているだけで読める。空のものに替える。
 * session-keyring(7) */
static void leave_session_keyring(void)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) == -1 &&
        errno != ENOSYS)
        die("keyctl KEYCTL_JOIN_SESSION_KEYRING");
}

/* 残すケーパビリティ。デフォルトは runc spec(8) と同じ 3 つ */
static uint64_t capabilities_to_keep(const char *const *names)
{
    uint64_t keep = 1ULL << CAP_AUDIT_WRITE | 1ULL << CAP_KILL |
                    1ULL << CAP_NET_BIND_SERVICE;
    cap_value_t cap;

    for (; *names != NULL; names++) {
        if (cap_from_name(path_of("cap_%s", *names), &cap) == -1)
            usage_error("--cap-add %s: no such capability", *names);
        keep |= 1ULL << cap;
    }
    return keep;
}

/* uid 0 の exec は、バウンディングセットのものをすべて取り戻す。だから先に
 * それを減らし (CAP_SETPCAP があるうちに)、残りの 4 つをあとで減らす。
 * アンビエントは、継承可能なものがなければ空になる。capabilities(7) */
static void drop_capabilities(uint64_t keep)
{
    cap_t caps = cap_init(); /* 継承可能 (inheritable) なものは残さない */

    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++) {
        if (keep >> cap & 1) {
            cap_set_flag(caps, CAP_PERMITTED, 1, &cap, CAP_SET);
            cap_set_flag(caps, CAP_EFFECTIVE, 1, &cap, CAP_SET);
        } else if (cap_drop_bound(cap) == -1) {
            die("cap_drop_bound %d", cap);
        }
    }
    if (cap_set_proc(caps) == -1)
        die("cap_set_proc");
    cap_free(caps);
}

/* 親が死んだら、自分も SIGKILL で終わる。ランチャーのいないコンテナには、
 * 片付ける人がいない。PR_SET_PDEATHSIG(2const) */
static void die_with_parent(const struct pipes *pipes)
{
    struct pollfd report = {.fd = pipes->report[1]};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
        die("prctl PR_SET_PDEATHSIG");
    /* その前に親が死んでいたら、シグナルはもう来ない。読む人のいないパイプは
     * POLLERR になる。getppid(2) は、新しい PID 名前空間の中ではいつも 0 */
    if (poll(&report, 1, 0) == -1)
        die("poll");
    if (report.revents & POLLERR)
        _exit(EXIT_SETUP);
}

/* 子がすること。上から順に読むと、コマンドが動き出すまでの手順になる */
static _Noreturn void child(const struct options *opt,
                            const struct pipes *pipes)
{
    begin_child(pipes);
    die_with_parent(pipes);
    show_pid();
    uint8_t subnet = gate_wait(pipes);
    join_cgroups();
    /* 自分のいる cgroup が "/" に見えるようになる。cgroup_namespaces(7) */
    if (unshare(CLONE_NEWCGROUP) == -1)
        die("unshare CLONE_NEWCGROUP");
    become_root();
    /* id を変えると PR_SET_PDEATHSIG が消えるので、もう一度。prctl(2) */
    die_with_parent(pipes);
    set_hostname();
    if (opt->veth)
        configure_network(subnet);
    make_mounts_private();
    bind_rootfs(opt->rootfs);
    mount_file_systems();
    populate_dev();
    switch_root();
    /* またユーザー名前空間を作れると、その中でケーパビリティを再び得る。
     * この上限は名前空間ごとのもので、ホストは変わらない。namespaces(7) */
    enter_mount("/proc"); /* 続く名前は、ここからたどる */
    write_file("sys/user/max_user_namespaces", "0");
    cover_paths();
    leave_session_keyring();
    drop_capabilities(opt->keep);
    /* setuid のプログラムを exec しても、特権は増えない。prctl(2) */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        die("prctl PR_SET_NO_NEW_PRIVS");
    /* PATH や HOME はホストのパスで、ほかの値には秘密もある。environ(7) */
    replace_environment(opt->env);

    prepare_exec(opt->command, pipes);
    /* 成功すると戻らない。中身は入れ替わるが、PID は変わらない。execve(2) */
    execv(find_command(opt->command[0]), opt->command);
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    struct options opt = parse_options(
        argc, argv, OPTION_ROOTFS | OPTION_CAP_ADD | OPTION_LIMITS);
    struct pipes pipes;
    int status;

    opt.keep = capabilities_to_keep(opt.cap_add);
    prepare_launcher(opt.command);
    /* exec に成功すると閉じるパイプ。だから親にとって、何か読めれば exec の
     * 失敗、EOF なら成功 (か、その前に子が終わった)。O_CLOEXEC は open(2) */
    if (pipe2(pipes.report, O_CLOEXEC) == -1)
        die("pipe2");
    if (pipe2(pipes.gate, O_CLOEXEC) == -1) /* 子を待たせるゲート */
        die("pipe2");
    drop_groups();
    atexit(clean_up);
    if (opt.cgroup)
        create_cgroups(&opt);

    pid_t pid = clone_child(new_namespaces());
    if (pid == -1)
        die("clone3");
    if (pid == 0)
        child(&opt, &pipes);
    /* 親が書き込み側を持っていると、いつまでも EOF にならない。pipe(7) */
    close(pipes.report[1]);
    watch_child(pid);
    write_id_maps(pid);
    gate_send(&pipes, opt.veth ? create_veth(pid) : 0);

    forward_signals(pid, &pipes);
    /* 誰かが wait するまで、子はゾンビとして残る。waitpid(2) */
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid %d", pid);
    return exit_status(status, &pipes, opt.command[0]);
}
