/* ct-signals.c - シグナルを子に渡す。PID 1 が捨てるものは、代わりに起こす */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* このプロセス自身のこと。ランチャーは 1 つのコンテナしか作らない */
static struct {
    int killed_by; /* 子が無視したので代わりに SIGKILL したシグナル */
    bool unprepared; /* 子が、exec する前にほかからのシグナルで終わった */
    sigset_t signals; /* ランチャーが受け取るシグナル */
    sigset_t caller_mask; /* 呼び出し元のシグナルマスク */
    struct sigaction caller_sigchld; /* 呼び出し元の SIGCHLD の扱い */
} self;

/* glibc は、32 と 33 を自分用に使い、止めさせない。じかに呼べば、それを
 * 送られたときも片付けられる。nptl(7) */
static void change_mask(int how, const sigset_t *set, sigset_t *old)
{
    if (syscall(SYS_rt_sigprocmask, how, set, old, sizeof(uint64_t)) == -1)
        die("sigprocmask");
}

/* 止められるものは、すべて止める。片付ける前に終わらないように。
 * 自分の誤りによる SIGSEGV などは、止めてあってもランチャーを終わらせる。
 * sigprocmask(2) */
void receive_signals(void)
{
    memset(&self.signals, 0xff, sizeof(self.signals));
    change_mask(SIG_BLOCK, &self.signals, &self.caller_mask);

    /* 呼び出し元が SIGCHLD を無視していると、子の終了ステータスが失われる。
     * waitpid(2) の NOTES */
    struct sigaction standard = {.sa_handler = SIG_DFL};
    if (sigaction(SIGCHLD, &standard, &self.caller_sigchld) == -1)
        die("sigaction SIGCHLD");
}

void restore_signals(void)
{
    if (sigaction(SIGCHLD, &self.caller_sigchld, NULL) == -1)
        die("sigaction SIGCHLD");
    change_mask(SIG_SETMASK, &self.caller_mask, NULL);
}

/* exec が済むと、CLOEXEC のパイプの書き込み側が閉じる */
static bool has_executed(const struct pipes *pipes)
{
    struct pollfd report = {.fd = pipes->report[0]};

    return poll(&report, 1, 0) == 1 && (report.revents & POLLHUP);
}

/* /proc/PID/status から読むもの。マスクは、ビット 0 がシグナル 1。proc(5) */
struct process {
    char state; /* 読めなければ 0 */
    unsigned long long blocked, ignored, caught;
};

/* 長さは決まっていない。補助グループが多いと、1 行が何百 KB にもなる */
static struct process read_process(pid_t pid)
{
    struct process process = {.state = 0};
    char line[256];
    FILE *status = fopen(path_of("/proc/%d/status", pid), "re");

    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        sscanf(line, "State: %c", &process.state);
        sscanf(line, "SigBlk: %llx", &process.blocked);
        sscanf(line, "SigIgn: %llx", &process.ignored);
        sscanf(line, "SigCgt: %llx", &process.caught);
    }
    if (status != NULL)
        fclose(status);
    return process;
}

static bool has_signal(unsigned long long mask, int signal)
{
    return mask >> (signal - 1) & 1;
}

/* sigwaitinfo(2) で待っているあいだは、待っているシグナルも SigBlk から消える。
 * 少し止めれば、本当のマスクが見える。catatonit や、このランチャー自身が
 * PID 1 のときに要る。
 * - 端末が切れるときのように、ほかからも SIGCONT が来る。止まった知らせは
 *   失われるので、waitid(2) では待たず、止まった姿を見る
 * - 凍結された cgroup の中や vfork(2) の途中など、止まらないこともある。
 *   0.8 秒であきらめ、見えているマスクを信じる */
static bool is_blocked_when_stopped(pid_t pid, int signal)
{
    const long limit = 500 * 1000 * 1000;
    struct process process = {.state = 0};

    for (struct timespec wait = {0, 50 * 1000}; wait.tv_nsec < limit;
         wait.tv_nsec *= 2) {
        kill(pid, SIGSTOP);
        nanosleep(&wait, NULL);
        process = read_process(pid);
        /* t は strace(1) の下、Z と X は終わったもの、0 は消えたもの */
        if (strchr("TtZX", process.state) != NULL)
            break;
    }
    kill(pid, SIGCONT);
    return has_signal(process.blocked, signal);
}

/* 子にとって、そのシグナルがデフォルトの動作のままか。PID 1 はそういうものを
 * 捨てるので、ランチャーが代わりにその動作をする。pid_namespaces(7) */
static bool takes_default_action(pid_t pid, int signal,
                                 const struct pipes *pipes)
{
    /* 先に調べる。あとでは、exec の前に読んだ SigBlk を、コマンドのものと
     * 取り違える */
    bool executed = has_executed(pipes);
    struct process process = read_process(pid);

    if (process.state == 0 || has_signal(process.ignored, signal))
        return false;
    if (!executed)
        return !sigismember(&self.caller_mask, signal);
    return !has_signal(process.caught, signal) &&
           !has_signal(process.blocked, signal) &&
           !is_blocked_when_stopped(pid, signal);
}

/* デフォルトの動作は 3 つ: 無視する、止まる、終わる。signal(7) */
static bool is_harmless(int signal)
{
    return signal == SIGWINCH || signal == SIGCONT || signal == SIGURG;
}

static bool is_stop(int signal)
{
    return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* ランチャー自身の書き込みの失敗 (SIGPIPE, SIGXFSZ) か、CPU 時間の使いすぎ。
 * 子に関わりはない。同じ上限は子にもあり、超えれば子に届く。setrlimit(2) */
static bool is_about_launcher(const siginfo_t *info)
{
    if (info->si_signo == SIGXCPU)
        return info->si_code == SI_KERNEL;
    return info->si_code == SI_USER && info->si_pid == getpid();
}

/* 端末がプロセスグループに送ったシグナルは、同じグループの子にも届いている。
 * ただし端末が切れた HUP は、セッションのリーダーだけに届く。credentials(7)
 * タイマーなどのシグナル (SIGALRM) は、カーネルからでもランチャーだけに届く */
static bool already_delivered(pid_t pid, const siginfo_t *info)
{
    int signal = info->si_signo;

    if (signal == SIGHUP && getsid(0) == getpid())
        return false;
    if (signal != SIGINT && signal != SIGQUIT && signal != SIGHUP &&
        !is_stop(signal) && !is_harmless(signal))
        return false;
    return info->si_code == SI_KERNEL && getpgid(pid) == getpgrp();
}

/* sigqueue(3) の値も一緒に渡す */
static void send_signal(pid_t pid, const siginfo_t *info)
{
    if (info->si_code == SI_QUEUE)
        sigqueue(pid, info->si_signo, info->si_value);
    else
        kill(pid, info->si_signo);
}

/* 子を止め、自分も止まる。再開したら子も再開する */
static void stop_together(pid_t pid, int signal)
{
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, signal);
    kill(pid, SIGSTOP);
    raise(signal);
    sigprocmask(SIG_UNBLOCK, &one, NULL); /* ここで止まる */
    sigprocmask(SIG_BLOCK, &one, NULL);
    kill(pid, SIGCONT);
}

static void pass_on(pid_t pid, const siginfo_t *info, const struct pipes *pipes)
{
    int signal = info->si_signo;
    bool by_default =
        !is_harmless(signal) && takes_default_action(pid, signal, pipes);

    if (!already_delivered(pid, info))
        send_signal(pid, info);
    if (!by_default)
        return;
    if (is_stop(signal)) {
        stop_together(pid, signal);
        return;
    }
    self.killed_by = signal;
    kill(pid, SIGKILL);
}

static bool is_running(pid_t pid, siginfo_t *end)
{
    end->si_pid = 0;
    if (waitid(P_PID, pid, end, WEXITED | WNOHANG | WNOWAIT) == -1)
        die("waitid %d", pid);
    return end->si_pid == 0;
}

/* fork されてから、まだ exec していないか。ゾンビになっても残っている印で、
 * ps(1) も F の列に 1 と出す。exec しなくても、別の名前を名乗っていれば、準備を
 * 終えて動いている。proc(5) の /proc/PID/stat の comm と flags */
static bool never_executed(pid_t pid)
{
    const unsigned forked_but_not_executed = 0x40; /* <linux/sched.h> の PF_ */
    char text[512] = "", own[16], name[64];
    unsigned flags = 0;
    int fd = open(path_of("/proc/%d/stat", pid), O_RDONLY | O_CLOEXEC);

    if (fd == -1 || read(fd, text, sizeof(text) - 1) == -1)
        die("read /proc/%d/stat", pid);
    close(fd);
    if (prctl(PR_GET_NAME, own) == -1)
        die("prctl PR_GET_NAME");
    /* "4711 (step) Z ..." の形。flags は、名前のあとの 7 番目 */
    int length = snprintf(name, sizeof(name), "%d (%s) ", pid, own);
    if (strncmp(text, name, length) == 0)
        sscanf(text + length, "%*c %*d %*d %*d %*d %*d %u", &flags);
    return flags & forked_but_not_executed;
}

void forward_signals(pid_t pid, const struct pipes *pipes)
{
    siginfo_t info, end;

    while (is_running(pid, &end)) {
        if (sigwaitinfo(&self.signals, &info) == -1) {
            if (errno != EINTR)
                die("sigwaitinfo");
        } else if (info.si_signo != SIGCHLD && !is_about_launcher(&info)) {
            pass_on(pid, &info, pipes);
        }
    }
    if (end.si_code != CLD_EXITED && self.killed_by == 0)
        self.unprepared = never_executed(pid);
    restore_terminal(pid);
}

bool died_unprepared(void)
{
    return self.unprepared;
}

int requested_signal(int signal)
{
    return signal == SIGKILL && self.killed_by != 0 ? self.killed_by : signal;
}
