/* ct.c - プロセスを作り、待つ道具。約束ごとは ct.h に書いてある */
#define _GNU_SOURCE
#include "ct.h"
#include "ct-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* このプロセス自身のこと。ランチャーは 1 つのコンテナしか作らない */
static struct {
    int killed_by; /* 子が無視したので代わりに SIGKILL したシグナル */
    sigset_t signals; /* ランチャーが受け取るシグナル */
    sigset_t caller_mask; /* 呼び出し元のシグナルマスク */
    struct sigaction caller_sigchld; /* 呼び出し元の SIGCHLD の扱い */
    bool has_terminal; /* stdin が端末か */
    bool owns_terminal; /* 始めたとき、前面のプロセスグループだったか */
    struct termios terminal;
} self;

/* --- 誰が動かしたか ------------------------------------------------------ */

/* sudo が残した環境変数から id を読む。片方だけだったり、数でなかったりすれば、
 * 黙って root の id にせず終わる */
static unsigned long sudo_id(const char *name, unsigned long fallback)
{
    char *end = NULL;

    if (geteuid() != 0 || getenv("SUDO_UID") == NULL)
        return fallback;
    const char *text = getenv(name);
    errno = 0;
    unsigned long id = text == NULL ? 0 : strtoul(text, &end, 10);
    if (end == NULL || *text < '0' || *text > '9' || *end != '\0' ||
        id >= UINT32_MAX)
        errno = EINVAL;
    if (errno != 0)
        die("getenv %s", name);
    return id;
}

uid_t invoking_uid(void)
{
    return sudo_id("SUDO_UID", getuid());
}

gid_t invoking_gid(void)
{
    return sudo_id("SUDO_GID", getgid());
}

/* --- 準備 ---------------------------------------------------------------- */

void prepare_launcher(void)
{
    static const int wanted[] = {
        SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
        SIGCHLD, SIGWINCH, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU,
    };

    /* 0 から 2 が空いていると、このあと開くパイプが stdin などになってしまう */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) == -1)
            die("open /dev/null");

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

    self.has_terminal = tcgetattr(STDIN_FILENO, &self.terminal) == 0;
    self.owns_terminal =
        self.has_terminal && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

pid_t clone_child(uint64_t flags)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};

    return syscall(SYS_clone3, &args, sizeof(args));
}

/* --- 子 ------------------------------------------------------------------ */

void begin_child(const struct pipes *pipes)
{
    char pid[32] = "";

    fail_as_child();
    /* まだホストの /proc が見えているので、/proc/self はホストから見た PID を
     * 指す。getpid(2) では、新しい PID 名前空間の 1 になってしまう */
    if (self.has_terminal && readlink("/proc/self", pid, sizeof(pid) - 1) != -1)
        dprintf(STDERR_FILENO, "%s: ホストから見たコンテナの PID は %s です\n",
                program_invocation_short_name, pid);
    die_with_parent(pipes);
}

void die_with_parent(const struct pipes *pipes)
{
    struct pollfd reader = {.fd = pipes->report[1]};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
        die("prctl PR_SET_PDEATHSIG");
    /* その前に親が死んでいたら、シグナルはもう来ない。読む人のいないパイプは
     * POLLERR になる。getppid(2) は新しい PID 名前空間では 0 しか返さない */
    if (poll(&reader, 1, 0) == -1)
        die("poll");
    if (reader.revents & POLLERR)
        _exit(EXIT_SETUP);
}

void gate_wait(const struct pipes *pipes)
{
    char go;

    /* 自分が書き込み側を持っていると、親が死んでも EOF が来ない。pipe(7) */
    close(pipes->gate[1]);
    ssize_t length = read(pipes->gate[0], &go, 1);
    if (length == -1)
        die("read gate");
    if (length == 0)
        _exit(EXIT_SETUP);
    close(pipes->gate[0]);
}

void gate_open(const struct pipes *pipes)
{
    close(pipes->gate[0]);
    if (write(pipes->gate[1], "", 1) == -1 && errno != EPIPE)
        die("write gate");
    close(pipes->gate[1]);
}

/* スクリプトを渡されていないシェル: sh, bash -l など */
static bool is_interactive_shell(char *const *command)
{
    size_t length = strlen(command[0]);

    if (length < 2 || strcmp(command[0] + length - 2, "sh") != 0)
        return false;
    while (*++command != NULL)
        if (**command != '-' || strchr(*command, 'c') != NULL)
            return false;
    return true;
}

/* シェルは、自分で端末を管理する。PID 名前空間の外にあるランチャーのグループ
 * は 0 にしか見えず、終わるときに戻せないので、自分のグループを作る。ほかの
 * コマンドは同じグループに残し、Ctrl-C がランチャーにも届くようにする */
void lead_terminal(char *const *command)
{
    if (!self.owns_terminal || !is_interactive_shell(command))
        return;
    if (setpgid(0, 0) == -1)
        die("setpgid");
    /* SIGTTOU はまだ止めてあるので、背後からでも前面に出られる。tcsetpgrp(3) */
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) == -1)
        die("tcsetpgrp");
}

void restore_signals(void)
{
    if (sigaction(SIGCHLD, &self.caller_sigchld, NULL) == -1)
        die("sigaction SIGCHLD");
    if (sigprocmask(SIG_SETMASK, &self.caller_mask, NULL) == -1)
        die("sigprocmask");
}

/* --- 親: シグナル --------------------------------------------------------- */

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

static bool is_running(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == -1)
        die("waitid %d", pid);
    return info.si_pid == 0;
}

/* コンテナのシェルが残した端末の設定を、始める前に戻す。前面が死んだコンテナの
 * グループのままなら取り戻す (SIGTTOU は止めてあるので、背後からでもできる)。子
 * は wait するまでゾンビで、そのグループには kill(2) がまだ成功する。別のグルー
 * プがいるなら、それはユーザーのシェルなので触らない。tcsetpgrp(3) */
static void restore_terminal(pid_t pid)
{
    if (!self.owns_terminal)
        return;
    pid_t front = tcgetpgrp(STDIN_FILENO);
    if (front == pid || (front > 0 && kill(-front, 0) == -1 && errno == ESRCH))
        tcsetpgrp(STDIN_FILENO, getpgrp());
    if (tcgetpgrp(STDIN_FILENO) == getpgrp())
        tcsetattr(STDIN_FILENO, TCSADRAIN, &self.terminal);
}

void forward_signals(pid_t pid, const struct pipes *pipes)
{
    siginfo_t info;

    while (is_running(pid)) {
        if (sigwaitinfo(&self.signals, &info) == -1) {
            if (errno != EINTR)
                die("sigwaitinfo");
        } else if (info.si_signo != SIGCHLD) {
            pass_on(pid, &info, pipes);
        }
    }
    restore_terminal(pid);
}

int requested_signal(int signal)
{
    return signal == SIGKILL && self.killed_by != 0 ? self.killed_by : signal;
}
