/*
 * コマンドが使った時間とメモリーを表示する (発展課題の答え)
 *
 * 動かす: make solutions && sudo build/solutions/01-usage run sleep 1
 * 見る:   経過は 1 秒なのに、CPU の時間 (ユーザーとシステム) はほぼ 0
 */
#define _GNU_SOURCE
#include "../../../shared/ct.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval time)
{
    return time.tv_sec + time.tv_usec / 1e6;
}

/* 時計合わせで進んだり戻ったりしない時計を使う。clock_gettime(2) */
static double now(void)
{
    struct timespec time;

    if (clock_gettime(CLOCK_MONOTONIC, &time) == -1)
        die("clock_gettime CLOCK_MONOTONIC");
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* コマンドの出力に混ざらないように、stderr に書く。メモリーは、
 * 一番多かったときの量 (KiB で届く)。exec する前、ランチャーのコピーだった
 * ときも数えるので、小さなコマンドでは、その分が出る。getrusage(2) */
static void print_usage(double elapsed, const struct rusage *usage)
{
    dprintf(STDERR_FILENO, "経過      %8.3f 秒\n", elapsed);
    dprintf(STDERR_FILENO, "ユーザー  %8.3f 秒\n", seconds(usage->ru_utime));
    dprintf(STDERR_FILENO, "システム  %8.3f 秒\n", seconds(usage->ru_stime));
    dprintf(STDERR_FILENO, "メモリー  %8.1f MB\n", usage->ru_maxrss / 1024.0);
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

    prepare_exec(opt->command, pipes);
    /* 成功すると戻らない。中身は入れ替わるが、PID は変わらない。execve(2) */
    execv(find_command(opt->command[0]), opt->command);
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    struct options opt = parse_options(argc, argv, 0);
    struct pipes pipes;
    struct rusage usage;
    int status;

    prepare_launcher(opt.command);
    /* exec に成功すると閉じるパイプ。だから親にとって、何か読めれば exec の
     * 失敗、EOF なら成功 (か、その前に子が終わった)。O_CLOEXEC は open(2) */
    if (pipe2(pipes.report, O_CLOEXEC) == -1)
        die("pipe2");

    double start = now();
    pid_t pid = fork();
    if (pid == -1)
        die("fork");
    if (pid == 0)
        child(&opt, &pipes);
    /* 親が書き込み側を持っていると、いつまでも EOF にならない。pipe(7) */
    close(pipes.report[1]);
    watch_child(pid);

    forward_signals(pid, &pipes);
    /* 誰かが wait するまで、子はゾンビとして残る。使った量も、
     * そこに残っている。子が wait した孫の分も入る。wait4(2) */
    if (wait4(pid, &status, 0, &usage) == -1)
        die("wait4 %d", pid);
    double elapsed = now() - start;
    status = exit_status(status, &pipes, opt.command[0]);
    print_usage(elapsed, &usage);
    return status;
}
