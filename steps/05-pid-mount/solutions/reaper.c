/*
 * PID 1 を、孤児を引き取る小さな init にする (発展課題の答え)
 *
 * 動かす: make solutions && sudo build/solutions/05-reaper run
 * 見る:   コンテナ内の ps で、PID 1 は 05-reaper、シェルは PID 2
 */
#define _GNU_SOURCE
#include "../../../shared/ct.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
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

/* /proc は、マウントしたときの PID 名前空間を映す。だから ps のために、
 * 自分のものを重ねる。set-user-ID もデバイスも実行も、ここには要らないので、
 * フラグで禁じる。proc(5) */
static void mount_proc(void)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    if (mount("proc", "/proc", "proc", flags, NULL) == -1)
        die("mount /proc");
}

static pid_t command_pid; /* PID 1 から見た、コマンドの PID */

/* コマンドは PID 1 でないので、シグナルのデフォルトの動作もそのまま起きる。
 * 端末が同じグループのコマンドにも送ったもの (SI_KERNEL) は、2 度は渡さない */
static void pass_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code != SI_KERNEL || getpgid(command_pid) != getpgrp())
        kill(command_pid, signal);
}

/* ランチャーは、PID 1 が受け取るシグナルなら、そのまま渡してくる。受け取らない
 * TSTP などでは、PID 1 ごと止める。その前後に STOP と CONT を送って PID 1 を
 * 調べるので、CONT は渡してはならない。Ctrl-Z で止まったコマンドが
 * 動き出してしまう。sigaction(2) */
static void catch_signals(void)
{
    static const int signals[] = {
        SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH,
    };
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t none;

    action.sa_sigaction = pass_signal;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigaction(signals[i], &action, NULL) == -1)
            die("sigaction %d", signals[i]);
    sigemptyset(&none); /* 届いていたシグナルは、ここで受け取る */
    if (sigprocmask(SIG_SETMASK, &none, NULL) == -1)
        die("sigprocmask");
}

/* 親が先に終わった孤児は、PID 1 の子になる。誰かが wait するまで、
 * 終わってもゾンビとして残るので、すべての子を待つ。コマンドが終わったら、
 * その終了ステータスで終わる。残ったプロセスは、名前空間と一緒にカーネルが
 * 片付ける。pid_namespaces(7) */
static _Noreturn void reap(void)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(-1, &status, 0);
        if (pid == -1)
            die("waitpid -1");
        if (pid != command_pid)
            continue;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

/* ここで 2 つに分かれる。PID 1 は残り、コマンドになる PID 2 だけが戻る */
static void fork_command(const struct pipes *pipes)
{
    /* 中から ptrace(2) で操られ、ランチャーと一緒に終わる設定を消されないように
     * する。コマンドは、exec すると元に戻る。PR_SET_DUMPABLE(2const) */
    if (prctl(PR_SET_DUMPABLE, 0) == -1)
        die("prctl PR_SET_DUMPABLE");
    command_pid = fork();
    if (command_pid == -1)
        die("fork");
    if (command_pid == 0)
        return;
    /* 親は、書き込み側がすべて閉じたことで、exec の成功を知る */
    close(pipes->report[1]);
    /* exec しない。準備を終えたことは、名前で知らせる。PR_SET_NAME(2const) */
    if (prctl(PR_SET_NAME, "init") == -1)
        die("prctl PR_SET_NAME");
    catch_signals();
    reap();
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
    mount_proc();
    fork_command(pipes);

    prepare_exec(opt->command, pipes);
    /* 成功すると戻らない。中身は入れ替わるが、PID は変わらない。execve(2) */
    execv(find_command(opt->command[0]), opt->command);
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    struct options opt = parse_options(argc, argv, 0);
    struct pipes pipes;
    int status;

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
