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

void receive_signals(void)
{
    static const int wanted[] = {
        SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
        SIGCHLD, SIGWINCH, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU,
    };

    sigemptyset(&self.signals);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        sigaddset(&self.signals, wanted[i]);
    sigset_t blocked = self.signals;
    sigaddset(&blocked, SIGPIPE); /* gate_open() は EPIPE のほうで知る */
    if (sigprocmask(SIG_BLOCK, &blocked, &self.caller_mask) == -1)
        die("sigprocmask");

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
    if (sigprocmask(SIG_SETMASK, &self.caller_mask, NULL) == -1)
        die("sigprocmask");
}

/* exec が済むと、CLOEXEC のパイプの書き込み側が閉じる */
static bool has_executed(const struct pipes *pipes)
{
    struct pollfd report = {.fd = pipes->report[0]};

    return poll(&report, 1, 0) == 1 && (report.revents & POLLHUP);
}

/* /proc/PID/status の SigIgn などの行に、シグナルの印が付いているか。proc(5) */
static bool status_has(const char *status, const char *field, int signal)
{
    const char *line = strstr(status, field);

    return line != NULL &&
           (strtoull(line + strlen(field), NULL, 16) >> (signal - 1) & 1);
}

/* /proc/PID/status を読む。読めなければ空文字列にする */
static void read_status(pid_t pid, char *status, size_t size)
{
    int fd = open(path_of("/proc/%d/status", pid), O_RDONLY | O_CLOEXEC);
    ssize_t length = fd == -1 ? -1 : read(fd, status, size - 1);

    if (fd != -1)
        close(fd);
    status[length > 0 ? length : 0] = '\0';
}

/* proc(5) の State。t は、strace(1) などに追跡されているとき */
static bool is_running_state(const char *status)
{
    const char *state = strstr(status, "\nState:\t");

    return state != NULL && strchr("TtZX", state[8]) == NULL;
}

/* sigwaitinfo(2) で待っているあいだは、待っているシグナルも SigBlk から消え
 * る。少し止めれば、本当のマスクが見える。catatonit や、このランチャー自身が
 * PID 1 のときに要る。端末が切れるときのように、ほかからも SIGCONT が来る。
 * 止まった知らせは失われるので、waitid(2) では待たず、止まった姿を見る */
static bool is_blocked_when_stopped(pid_t pid, int signal)
{
    struct timespec interval = {.tv_nsec = 50 * 1000};
    char status[4096];

    do {
        kill(pid, SIGSTOP);
        nanosleep(&interval, NULL);
        read_status(pid, status, sizeof(status));
    } while (is_running_state(status));
    kill(pid, SIGCONT);
    return status_has(status, "\nSigBlk:", signal);
}

/* 子にとって、そのシグナルが既定の動作のままか。PID 1 はそういうシグナルを捨て
 * るので、ランチャーが代わりに動作を起こす。pid_namespaces(7) */
static bool takes_default_action(pid_t pid, int signal,
                                 const struct pipes *pipes)
{
    char status[4096];
    /* 先に調べる。あとでは、exec の前に読んだ SigBlk を、コマンドのものと取り違
     * える */
    bool executed = has_executed(pipes);

    read_status(pid, status, sizeof(status));
    if (*status == '\0' || status_has(status, "\nSigIgn:", signal))
        return false;
    if (!executed)
        return !sigismember(&self.caller_mask, signal);
    return !status_has(status, "\nSigCgt:", signal) &&
           !status_has(status, "\nSigBlk:", signal) &&
           !is_blocked_when_stopped(pid, signal);
}

/* 端末がプロセスグループに送ったシグナルは、同じグループの子にも届いている。た
 * だし端末が切れた HUP は、セッションのリーダーだけに届く。credentials(7) */
static bool already_delivered(pid_t pid, const siginfo_t *info)
{
    if (info->si_signo == SIGHUP && getsid(0) == getpid())
        return false;
    return info->si_code == SI_KERNEL && getpgid(pid) == getpgrp();
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
    bool harmless = signal == SIGWINCH || signal == SIGCONT;
    bool by_default = !harmless && takes_default_action(pid, signal, pipes);

    if (!already_delivered(pid, info))
        kill(pid, signal);
    if (!by_default)
        return;
    if (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
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
        } else if (info.si_signo != SIGCHLD) {
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
