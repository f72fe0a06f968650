/*
 * inject.c - 決まった場所でシステムコールを失敗させ、プロセスを終わらせる
 *
 * strace(1) の -e inject= は、システムコールとプロセスの組ごとに回数を数え
 * ("per syscall and per tracee")、どのプロセスかは選べない。when=3 なら、
 * ランチャーの 3 回目も子の 3 回目も失敗する。片方だけを試すには、これが要る。
 *
 *   inject [-o FILE] [-r RULE]... -- PROGRAM [ARG...]
 *       PROGRAM を追跡し、RULE の場所で RULE のことをする。RULE は
 *       ROLE,CALL,K,WHEN,ACTION をコンマでつないだもの
 *         ROLE    before (ランチャー、子を作るまで)、launcher (作ったあと)、
 *                 child (子、コマンドの exec まで)
 *         CALL    名前か番号。any なら、何でも数える
 *         K       その役の何回目か。0 は役の始まり (CALL は any)
 *         WHEN    entry (まだ何も起きていない) か exit (もう起きた)
 *         ACTION  fail=ERRNO    実行せずに失敗させる
 *                 fake=ERRNO    実行してから、失敗したと言う
 *                 skip=0        実行せずに、成功したと言う
 *                 kill=SIG@WHO  WHO は launcher, child, both
 *                 delay=MS      そこで止めておく。ほかのプロセスは進む
 *   inject [-o FILE] -t USEC,SIG -- PROGRAM [ARG...]
 *       追跡せず、始めてから USEC マイクロ秒でランチャーにシグナルを送る
 *   inject probe HOST_LINKS [pause]
 *       コマンドの代わり。隔離の様子を、1 回の write(2) で stdout に書く
 *
 * PROGRAM が終わると FILE に結果を書く (NAME=VALUE を空白でつないだ 1 行)。
 * 残ったプロセスは、ここに引き取って数えてから終わらせる。ptrace(2),
 * PR_SET_CHILD_SUBREAPER(2const)
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 8
/* どちらも、そこまで待てば失敗というだけ。遅い機械でも足りるように長くとる */
#define GRACE_SEC 5 /* ランチャーが死んでから、残りが消えるまで */
#define HANG_SEC  20 /* これより長く動いていたら、止まらなくなったとみなす */
#define TRAP_CALL (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD の印 */
#define ANY_CALL  (-1)
/* カーネルの中だけの値で、ヘッダーにはない。ptrace(2) には見える */
#define ERESTARTNOINTR 513
#define TRACE_FLAGS \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
     PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

/* 名前の表は、ヘッダーから作って -include で渡す (inject.bash)。CPU によって、
 * ある名前とない名前が違う */
#ifndef CALL_NAMES
#define CALL_NAMES(X)
#endif
#define CALL_ENTRY(name) {#name, __NR_##name},
static const struct {
    const char *name;
    long number;
} call_names[] = {CALL_NAMES(CALL_ENTRY){NULL, 0}};

enum role {
    BEFORE,
    LAUNCHER,
    CHILD,
};

enum action {
    FAIL,
    FAKE,
    SKIP,
    KILL,
    DELAY,
};

struct rule {
    enum role role;
    long call;
    int nth;
    bool at_exit;
    enum action action;
    int value; /* errno、シグナル、ミリ秒 */
    bool hit_launcher, hit_child; /* KILL の相手 */
    int seen; /* ここまでに数えた回数 */
    bool armed; /* 今のシステムコールがそれ */
};

struct tracee {
    pid_t pid; /* 0 なら、まだいないか、もういない */
    enum role role;
    bool started; /* inject 自身のコピーでなくなった */
    bool detached; /* コマンドになったので、もう追っていない */
    bool in_call;
    bool restarts; /* 今のシステムコールを、カーネルがやり直す */
    long call;
    int error; /* 戻るときに見せる errno。0 ならそのまま */
    bool skipped; /* 戻るときに 0 を見せる */
    int64_t held_until; /* 止めておく時刻 [us]。0 なら止めていない */
};

static struct rule rules[RULES_MAX];
static int rule_count;
static struct tracee launcher = {.role = BEFORE}, child = {.role = CHILD};
static volatile sig_atomic_t timed_out;

/* FILE に書く結果 */
static struct {
    pid_t launcher;
    int status; /* ランチャーの終了ステータス。シグナルなら 128+n。-1 はまだ */
    int fired; /* 実行された RULE の数。遅らせただけのものは数えない */
    int executed; /* コマンドの exec が成功したか */
    int groups; /* そのとき、いくつの container-steps cgroup の中にいたか */
    int hung, left;
} result = {.status = -1};

static _Noreturn void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "inject: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, ": %s\n", strerror(errno));
    va_end(args);
    exit(3);
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* --- 引数を読む ----------------------------------------------------------- */

static long call_number(const char *text)
{
    if (strcmp(text, "any") == 0)
        return ANY_CALL;
    for (int i = 0; call_names[i].name != NULL; i++)
        if (strcmp(call_names[i].name, text) == 0)
            return call_names[i].number;
    char *end;
    long number = strtol(text, &end, 10);
    errno = EINVAL;
    if (end == text || *end != '\0')
        fail("system call %s", text);
    return number;
}

static int error_number(const char *text)
{
    for (int i = 1; i < 134; i++) {
        const char *name = strerrorname_np(i);
        if (name != NULL && strcmp(name, text) == 0)
            return i;
    }
    errno = EINVAL;
    fail("errno %s", text);
}

static int signal_number(const char *text)
{
    for (int i = 1; i < NSIG; i++) {
        const char *name = sigabbrev_np(i);
        if (name != NULL && strcmp(name, text) == 0)
            return i;
    }
    errno = EINVAL;
    fail("signal %s", text);
}

static void parse_action(struct rule *rule, char *text)
{
    char *value = strchr(text, '=');

    errno = EINVAL;
    if (value == NULL)
        fail("action %s", text);
    *value++ = '\0';
    if (strcmp(text, "delay") == 0) {
        rule->action = DELAY;
        rule->value = atoi(value);
    } else if (strcmp(text, "kill") == 0) {
        char *who = strsep(&value, "@");
        rule->action = KILL;
        rule->value = signal_number(who);
        rule->hit_launcher = value != NULL && strcmp(value, "child") != 0;
        rule->hit_child = value != NULL && strcmp(value, "launcher") != 0;
    } else if (strcmp(text, "skip") == 0) {
        rule->action = SKIP;
    } else {
        rule->action = strcmp(text, "fake") == 0 ? FAKE : FAIL;
        rule->value = error_number(value);
    }
}

static void parse_rule(char *text)
{
    static const char *const roles[] = {"before", "launcher", "child"};
    struct rule *rule = &rules[rule_count++];
    char *role = strsep(&text, ","), *call = strsep(&text, ",");
    char *nth = strsep(&text, ","), *when = strsep(&text, ",");

    errno = EINVAL;
    if (text == NULL || rule_count > RULES_MAX - 1)
        fail("rule %s", role);
    for (rule->role = BEFORE; strcmp(roles[rule->role], role) != 0;)
        if (rule->role++ == CHILD)
            fail("role %s", role);
    rule->call = call_number(call);
    rule->nth = atoi(nth);
    rule->at_exit = strcmp(when, "exit") == 0;
    parse_action(rule, text);
}

/* --- レジスター。ここだけが CPU によって違う ------------------------------ */

#if defined(__x86_64__)
static void set_call(pid_t pid, long number)
{
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax),
           number);
}

static void set_return(pid_t pid, long value)
{
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), value);
}
#elif defined(__aarch64__)
static void set_call(pid_t pid, long number)
{
    int value = number;
    struct iovec part = {.iov_base = &value, .iov_len = sizeof(value)};

    ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part);
}

static void set_return(pid_t pid, long value)
{
    struct user_regs_struct regs;
    struct iovec part = {.iov_base = &regs, .iov_len = sizeof(regs)};

    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part);
    regs.regs[0] = value;
    ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part);
}
#else
#error "x86-64 と arm64 だけ"
#endif

/* --- RULE を実行する ------------------------------------------------------ */

static void note_exit(pid_t pid, int status)
{
    if (pid == result.launcher) {
        struct itimerval grace = {{0, 100000}, {GRACE_SEC, 0}};

        result.status =
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        launcher.pid = 0;
        setitimer(ITIMER_REAL, &grace, NULL);
    } else if (pid == child.pid) {
        child.pid = 0;
    }
}

/* 相手が確かに死んでから、次へ進む。「親が先に死んでいた」が確実に起きる */
static void kill_now(struct tracee *target)
{
    int status;
    pid_t pid = target->pid;

    if (pid == 0 || kill(pid, SIGKILL) == -1 || target->detached)
        return;
    while (waitpid(pid, &status, __WALL) == pid) {
        if (WIFSTOPPED(status))
            continue;
        note_exit(pid, status);
        break;
    }
}

static void fire(const struct rule *rule, struct tracee *tracee)
{
    result.fired += rule->action != DELAY;
    switch (rule->action) {
    case FAIL:
        set_call(tracee->pid, -1);
        /* fall through */
    case FAKE:
        tracee->error = rule->value;
        break;
    case SKIP:
        set_call(tracee->pid, -1);
        tracee->skipped = true;
        break;
    case DELAY:
        tracee->held_until = now_us() + rule->value * 1000LL;
        break;
    case KILL:
        if (rule->value != SIGKILL) {
            if (rule->hit_launcher && launcher.pid != 0)
                kill(launcher.pid, rule->value);
            if (rule->hit_child && child.pid != 0)
                kill(child.pid, rule->value);
            break;
        }
        /* both は同時に近づける。先に送ってから、両方を待つ */
        if (rule->hit_launcher && rule->hit_child && child.pid != 0)
            kill(child.pid, SIGKILL);
        if (rule->hit_launcher)
            kill_now(&launcher);
        if (rule->hit_child)
            kill_now(&child);
    }
}

static void enter_call(struct tracee *tracee, long number)
{
    tracee->in_call = true;
    tracee->call = number;
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];

        if (rule->role != tracee->role || rule->nth == 0 ||
            (rule->call != ANY_CALL && rule->call != number) ||
            ++rule->seen != rule->nth)
            continue;
        if (rule->at_exit)
            rule->armed = true;
        else
            fire(rule, tracee);
    }
}

static void leave_call(struct tracee *tracee)
{
    tracee->in_call = false;
    if (tracee->error != 0 || tracee->skipped)
        set_return(tracee->pid, -tracee->error);
    tracee->error = 0;
    tracee->skipped = false;
    for (int i = 0; i < rule_count; i++) {
        /* clone3 から戻るとき、ランチャーの役はもう変わっている */
        if (!rules[i].armed ||
            (rules[i].role == CHILD) != (tracee->role == CHILD))
            continue;
        rules[i].armed = false;
        fire(&rules[i], tracee);
    }
}

/* 役の始まり (0 回目) */
static void begin_role(struct tracee *tracee, enum role role)
{
    tracee->started = true;
    tracee->role = role;
    for (int i = 0; i < rule_count; i++)
        if (rules[i].role == role && rules[i].nth == 0)
            fire(&rules[i], tracee);
}

/* --- 追跡する ------------------------------------------------------------- */

/* コマンドが動き出す直前に、どの cgroup の中にいるかを外から見る */
static void count_groups(pid_t pid)
{
    char path[64], line[4096];

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        result.groups += strstr(line, "/container-steps/") != NULL;
    if (file != NULL)
        fclose(file);
}

static void on_call(struct tracee *tracee)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->pid, sizeof(info), &info) <= 0)
        return;
    if (!tracee->started)
        return;
    /* rtnl を待つ write などは、終わらずに、同じ呼び出しをもう 1 度始める */
    bool restarted = tracee->restarts;
    tracee->restarts = info.op == PTRACE_SYSCALL_INFO_EXIT && tracee->in_call &&
                       info.exit.rval == -ERESTARTNOINTR;
    if (tracee->restarts)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        if (!restarted || (long)info.entry.nr != tracee->call)
            enter_call(tracee, info.entry.nr);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracee->in_call)
        leave_call(tracee);
}

static void on_event(struct tracee *tracee, int event)
{
    unsigned long message = 0;

    switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        if (tracee != &launcher)
            break;
        ptrace(PTRACE_GETEVENTMSG, tracee->pid, 0, &message);
        if (!child.started)
            child.pid = message;
        begin_role(&launcher, LAUNCHER);
        break;
    case PTRACE_EVENT_EXEC:
        if (tracee == &launcher) {
            begin_role(&launcher, BEFORE);
            break;
        }
        result.executed = 1;
        count_groups(tracee->pid);
        leave_call(tracee);
        break;
    case PTRACE_EVENT_STOP:
        if (tracee == &child && !tracee->started)
            begin_role(&child, CHILD);
    }
}

static void resume(struct tracee *tracee, int event, int signal)
{
    tracee->held_until = 0;
    /* コマンドまでは追わない */
    if (event == PTRACE_EVENT_EXEC && tracee == &child) {
        ptrace(PTRACE_DETACH, tracee->pid, 0, 0);
        child.detached = true; /* 殺す相手としては、覚えておく */
        return;
    }
    /* 止まったままでいるべきときは、止まったままにする (ジョブ制御) */
    bool stopped = event == PTRACE_EVENT_STOP && signal != SIGTRAP;
    if (event != 0)
        signal = 0;
    ptrace(stopped ? PTRACE_LISTEN : PTRACE_SYSCALL, tracee->pid, 0, signal);
}

static void on_stop(struct tracee *tracee, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;

    if (event != 0) {
        on_event(tracee, event);
    } else if (signal == TRAP_CALL) {
        on_call(tracee);
        signal = 0;
    }
    if (tracee->pid != 0 && tracee->held_until == 0)
        resume(tracee, event, signal);
}

/* 止めておく時間が過ぎたものを進める。1 つもなければ false */
static bool release_held(void)
{
    struct tracee *both[] = {&launcher, &child};
    bool waiting = false;

    for (int i = 0; i < 2; i++) {
        if (both[i]->held_until == 0)
            continue;
        if (both[i]->pid == 0)
            both[i]->held_until = 0;
        else if (now_us() >= both[i]->held_until)
            resume(both[i], 0, 0);
        else
            waiting = true;
    }
    return waiting;
}

static void take_report(pid_t pid, int status)
{
    if (!WIFSTOPPED(status)) {
        note_exit(pid, status);
        return;
    }
    /* 子の最初の停止は、ランチャーの PTRACE_EVENT_FORK より先のこともある */
    if (pid != result.launcher && !child.started)
        child.pid = pid;
    if (pid == launcher.pid)
        on_stop(&launcher, status);
    else if (pid == child.pid)
        on_stop(&child, status);
    else
        ptrace(PTRACE_DETACH, pid, 0, 0);
}

/* 引き取った孤児も含めて、誰もいなくなるまで待つ。時間切れなら false */
static bool wait_for_all(void)
{
    int status;

    while (!timed_out) {
        bool held = release_held();
        pid_t pid = waitpid(-1, &status, __WALL | (held ? WNOHANG : 0));

        if (pid > 0)
            take_report(pid, status);
        else if (pid == -1 && errno == ECHILD)
            return true;
        else if (held)
            usleep(100);
    }
    return false;
}

/* --- 後始末 --------------------------------------------------------------- */

static void on_alarm(int signal)
{
    (void)signal;
    timed_out = 1;
}

/* 残った子を数え、終わらせる。proc_pid_task_children(5) */
static void kill_the_rest(void)
{
    char path[64];
    int pid;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    do {
        FILE *file = fopen(path, "re");
        while (file != NULL && fscanf(file, "%d", &pid) == 1) {
            result.left += pid != result.launcher;
            kill(pid, SIGKILL);
        }
        if (file != NULL)
            fclose(file);
        int status;
        while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR)
            if (pid > 0)
                note_exit(pid, status);
    } while (errno != ECHILD);
}

static void write_result(const char *path)
{
    FILE *file = path == NULL ? stderr : fopen(path, "we");

    if (file == NULL)
        fail("open %s", path);
    fprintf(file,
            "launcher=%d status=%d fired=%d executed=%d groups=%d hung=%d "
            "left=%d\n",
            result.launcher, result.status, result.fired, result.executed,
            result.groups, result.hung, result.left);
    fclose(file);
}

/* --- 始める --------------------------------------------------------------- */

/* trace なら、親が追跡を始めるまで exec を待つ */
static void start(char **command, bool trace)
{
    int go[2];

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pipe2(go, O_CLOEXEC) == -1)
        fail("pipe2");
    pid_t pid = fork();
    if (pid == -1)
        fail("fork");
    if (pid == 0) {
        char byte;
        if (read(go[0], &byte, 1) != 1)
            _exit(3);
        /* 呼ぶ回数を、数えたときと同じにする (inject.bash の traced_calls) */
        personality(ADDR_NO_RANDOMIZE);
        execvp(command[0], command);
        fail("exec %s", command[0]);
    }
    result.launcher = launcher.pid = pid;
    if (trace && ptrace(PTRACE_SEIZE, pid, 0, TRACE_FLAGS) == -1)
        fail("ptrace");
    if (write(go[1], "", 1) != 1)
        fail("write");
    close(go[0]);
    close(go[1]);
}

/* sleep では、数十マイクロ秒の刻みにならない */
static void kill_after(char *text)
{
    int64_t end = now_us() + atoi(strsep(&text, ","));
    int signal = signal_number(text);

    while (now_us() < end)
        continue;
    kill(launcher.pid, signal);
    result.fired++;
}

/* --- コマンドの役 --------------------------------------------------------- */

static char report[8192];

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
    size_t used = strlen(report);
    va_list args;

    va_start(args, format);
    vsnprintf(report + used, sizeof(report) - used, format, args);
    va_end(args);
}

/* /proc/self/status の、権限とシグナルの行をコピーする。SigPnd と ShdPnd は
 * 除く。ランチャーが調べるために送った SIGSTOP が、届く前に見えることがある */
static void say_status(void)
{
    static const char *const wanted[] = {
        "Uid:", "Gid:", "Cap", "NoNew", "SigBlk:", "SigIgn:", "SigCgt:"};
    char line[1024];
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                say("%s", line);
    if (file != NULL)
        fclose(file);
}

static void say_links(const char *host)
{
    static const char *const kinds[] = {"cgroup", "ipc",  "mnt", "net",
                                        "pid",    "user", "uts"};
    char path[64], link[64];

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
        ssize_t length = readlink(path, link, sizeof(link) - 1);
        link[length > 0 ? length : 0] = '\0';
        say("ns %s %s\n", kinds[i],
            length <= 0          ? "unknown"
            : strstr(host, link) ? "host"
                                 : "own");
    }
}

static void say_file(const char *path)
{
    char line[256] = "";
    int count = 0;
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        count++;
    line[strcspn(line, "\n")] = '\0';
    /* 値は 1 行のファイルだけ。ほかは行数で足りる */
    say("%s %d %s\n", path, count, count == 1 ? line : "");
    if (file != NULL)
        fclose(file);
}

static int probe(const char *host, bool stay)
{
    char text[256] = "";
    int signal = 0;

    gethostname(text, sizeof(text));
    say("host %s\n", text);
    say("pid %s\n", getpid() == 1 ? "1" : "other");
    say("cwd %s\n", getcwd(text, sizeof(text)) ? text : "unknown");
    prctl(PR_GET_PDEATHSIG, &signal);
    say("pdeathsig %d\n", signal);
    say("fds");
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            say(" %d", fd);
    say("\n");
    say_status();
    say_links(host);
    say_file("/proc/self/mounts");
    say_file("/proc/sys/user/max_user_namespaces");
    say_file("/proc/net/route");
    say("writable %d\n", access("/proc/sys/kernel/core_pattern", W_OK) == 0);
    if (write(STDOUT_FILENO, report, strlen(report)) == -1)
        return 3;
    if (stay)
        for (;;)
            pause();
    return 0;
}

int main(int argc, char *argv[])
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval hang = {{0, 100000}, {HANG_SEC, 0}};
    char *output = NULL, *after = NULL;
    int option;

    if (argc >= 3 && strcmp(argv[1], "probe") == 0)
        return probe(argv[2], argc > 3);
    while ((option = getopt(argc, argv, "+o:r:t:")) != -1) {
        if (option == 'o')
            output = optarg;
        else if (option == 'r')
            parse_rule(optarg);
        else if (option == 't')
            after = optarg;
        else
            return 2;
    }
    sigaction(SIGALRM, &action, NULL);
    start(argv + optind, after == NULL);
    setitimer(ITIMER_REAL, &hang, NULL);
    if (after != NULL)
        kill_after(after);
    if (!wait_for_all()) {
        result.hung = result.status == -1;
        kill_the_rest();
    }
    write_result(output);
    return 0;
}
