/*
 * システムコールのいくつかを、どのケーパビリティがあっても断る (発展課題の答え)
 *
 * 動かす: make solutions && sudo build/solutions/08-seccomp run
 * 見る:   コンテナ内の grep Seccomp: /proc/self/status と linux32 uname -m
 */
#define _GNU_SOURCE
#include "../../../shared/ct.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTNAME "container"

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

/* どの引数でも断るもの。Docker のデフォルトのフィルターが、
 * ケーパビリティなしでは許さないものに、ptrace の仲間を足した */
static const unsigned denied[] = {
    /* マウント、ルート、名前空間。--cap-add で残しても使えない、2 つ目の守り */
    SYS_chroot, SYS_fsconfig, SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_mount,
    SYS_mount_setattr, SYS_move_mount, SYS_open_tree, SYS_pivot_root, SYS_setns,
    SYS_umount2, SYS_unshare,
    /* カーネル全体を変えるか、ホストの中身を見せるもの */
    SYS_acct, SYS_clock_settime, SYS_delete_module, SYS_fanotify_init,
    SYS_finit_module, SYS_init_module, SYS_kexec_load, SYS_lookup_dcookie,
    SYS_nfsservctl, SYS_open_by_handle_at, SYS_quotactl, SYS_quotactl_fd,
    SYS_reboot, SYS_setdomainname, SYS_sethostname, SYS_settimeofday,
    SYS_swapoff, SYS_swapon, SYS_syslog, SYS_vhangup,
#ifdef SYS_kexec_file_load /* 32 ビットの x86 にはない */
    SYS_kexec_file_load,
#endif
#if defined(__x86_64__) || defined(__i386__)
    SYS_ioperm, SYS_iopl, SYS_sysfs, SYS_uselib, SYS_ustat,
#endif
    /* 特権がなくても使えて、カーネルの脆弱性がよく見つかるもの */
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    /* アドレスのランダム化を止められる */
    SYS_personality,
    /* これで頼んだ仕事は、フィルターを通らない */
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    /* ほかのプロセスやそのメモリーに手を出すもの */
    SYS_get_mempolicy, SYS_kcmp, SYS_mbind, SYS_migrate_pages, SYS_move_pages,
    SYS_pidfd_getfd, SYS_process_madvise, SYS_process_vm_readv,
    SYS_process_vm_writev, SYS_ptrace, SYS_set_mempolicy,
    /* キーリングの一部は、名前空間で分かれていない。keyrings(7) */
    SYS_add_key, SYS_keyctl, SYS_request_key};

#define DENIED (sizeof(denied) / sizeof(denied[0]))

/* フィルターは、小さな命令の並び。カーネルがシステムコールのたびに上から実行
 * し、RETURN の値に従う。読めるのは番号と引数だけで、ポインターの先は見えない。
 * seccomp(2) */
#define LOAD(field) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define FAIL(error)   RETURN(SECCOMP_RET_ERRNO | (error))

/* 読んだ値が条件に合わなければ、次から skip 個の命令を飛ばす */
#define IF_EQUAL(value, skip) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define IF_ABOVE(value, skip) \
    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, value, 0, skip)
#define IF_ANY_BIT(bits, skip) \
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, skip)
#define GO(count) BPF_STMT(BPF_JMP | BPF_JA, count)

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define NATIVE AUDIT_ARCH_I386
#endif
#define OTHER_NUMBERS 0x40000000 /* x86-64 の x32。ほかの CPU では使わない */

#define NEW_NAMESPACES \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | \
     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static const struct sock_filter filter[] = {
    /* 番号の意味は CPU によって違う。x86-64 では、i386 や x32 の番号でも
     * 呼べて、下の比べ方をすり抜ける。だから先に、ほかの番号の呼び出しを
     * 終わらせる */
    LOAD(arch),
    IF_EQUAL(NATIVE, 1),
    GO(1),
    RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    IF_ANY_BIT(OTHER_NUMBERS, 1),
    RETURN(SECCOMP_RET_KILL_PROCESS),

    /* 表より新しいもの。たとえば open_tree_attr は、
     * mount_setattr の代わりになる。ないことにすれば、
     * C のライブラリは古いもので済ませる。syscalls(2) */
    IF_ABOVE(SYS_futex_waitv, 1), /* Linux 5.16 */
    FAIL(ENOSYS),

    /* 引数で決めるもの。clone3 のフラグはポインターの先なので、調べられない。
     * ないことにすれば、C のライブラリは clone を呼び直す */
    IF_EQUAL(SYS_clone3, 1),
    FAIL(ENOSYS),
    IF_EQUAL(SYS_clone, 4),
    LOAD(args[0]),
    IF_ANY_BIT(NEW_NAMESPACES, 1),
    FAIL(EPERM),
    LOAD(nr),
    /* カーネルの暗号 (弱点がよく見つかる) と、仮想マシンの外との通信
     * (ネットワーク名前空間では分かれない)。vsock(7) */
    IF_EQUAL(SYS_socket, 6),
    LOAD(args[0]),
    IF_EQUAL(AF_ALG, 1),
    FAIL(EPERM),
    IF_EQUAL(AF_VSOCK, 1),
    FAIL(EPERM),
    LOAD(nr),
    /* ホストのシェルと同じ端末に、打たれたことになる文字を送れる。
     * コンソールでは TIOCLINUX でもできる。ioctl_tty(2) */
    IF_EQUAL(SYS_ioctl, 6),
    LOAD(args[1]),
    IF_EQUAL(TIOCSTI, 1),
    FAIL(EPERM),
    IF_EQUAL(TIOCLINUX, 1),
    FAIL(EPERM),
    LOAD(nr),
};

#define LENGTH (sizeof(filter) / sizeof(filter[0]))

/* 一度付けると外せず、子にも exec のあとにも続く。no_new_privs が先に要る。
 * setuid のプログラムをだますのに使えるからだ。seccomp(2) */
static void filter_system_calls(void)
{
    struct sock_filter whole[LENGTH + 2 * DENIED + 1];
    struct sock_filter *next = whole + LENGTH;

    memcpy(whole, filter, sizeof(filter));
    for (size_t i = 0; i < DENIED; i++) {
        *next++ = (struct sock_filter)IF_EQUAL(denied[i], 1);
        *next++ = (struct sock_filter)FAIL(EPERM);
    }
    *next++ = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);

    struct sock_fprog program = {.len = next - whole, .filter = whole};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == -1)
        die("seccomp SECCOMP_SET_MODE_FILTER");
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
    gate_wait(pipes);
    become_root();
    /* id を変えると PR_SET_PDEATHSIG が消えるので、もう一度。prctl(2) */
    die_with_parent(pipes);
    set_hostname();
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
    filter_system_calls();
    /* PATH や HOME はホストのパスで、ほかの値には秘密もある。environ(7) */
    replace_environment(opt->env);

    prepare_exec(opt->command, pipes);
    /* 成功すると戻らない。中身は入れ替わるが、PID は変わらない。execve(2) */
    execv(find_command(opt->command[0]), opt->command);
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    struct options opt =
        parse_options(argc, argv, OPTION_ROOTFS | OPTION_CAP_ADD);
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

    pid_t pid = clone_child(new_namespaces());
    if (pid == -1)
        die("clone3");
    if (pid == 0)
        child(&opt, &pipes);
    /* 親が書き込み側を持っていると、いつまでも EOF にならない。pipe(7) */
    close(pipes.report[1]);
    watch_child(pid);
    write_id_maps(pid);
    gate_open(&pipes);

    forward_signals(pid, &pipes);
    /* 誰かが wait するまで、子はゾンビとして残る。waitpid(2) */
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid %d", pid);
    return exit_status(status, &pipes, opt.command[0]);
}
