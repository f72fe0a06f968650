/*
 * コンテナ内の 1 番からも、/etc/subuid の範囲にマッピングする (発展課題の答え)
 *
 * 動かす: make solutions && sudo build/solutions/03-uid-range run
 * 見る:   コンテナ内で touch f; chown 1:1 f。ホストの ls -ln では別の番号
 */
#define _GNU_SOURCE
#include "../../../shared/ct.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* 何を分けるかは、フラグで 1 つずつ選ぶ。clone3(2), namespaces(7) */
static uint64_t new_namespaces(void)
{
    uint64_t flags = 0;

    flags |= CLONE_NEWIPC; /* 共有メモリー、セマフォ、メッセージキュー */
    flags |= CLONE_NEWNET; /* ネットワークデバイス、アドレス、経路 */
    flags |= CLONE_NEWUSER; /* uid、gid とケーパビリティ */
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

/* die() の仲間。子がいれば、ゲートが閉じたのを見て自分で終わる */
static _Noreturn void fail(const char *message, const char *hint)
{
    dprintf(STDERR_FILENO, "%s: %s\n  ヒント: %s\n",
            program_invocation_short_name, message, hint);
    exit(EXIT_SETUP);
}

/* 管理者が、その人に貸した id の範囲 */
struct range {
    unsigned first, count;
};

/* file から、その人の行を探す。「名前か uid:初めの id:個数」。
 * own (その人自身の id) は 0 にマッピングするので、
 * それと重なる範囲は使えない。subuid(5) */
static struct range find_range(const char *file, unsigned own)
{
    struct passwd entry, *user = NULL;
    char buffer[4096], line[256], owner[128], message[256], hint[256];
    struct range range = {0, 0};
    FILE *ranges = fopen(file, "re");

    errno = getpwuid_r(invoking_uid(), &entry, buffer, sizeof(buffer), &user);
    if (errno != 0)
        die("getpwuid_r %u", invoking_uid());
    const char *id = path_of("%u", invoking_uid());
    const char *name = user == NULL ? id : user->pw_name;
    while (ranges != NULL && fgets(line, sizeof(line), ranges) != NULL)
        if (sscanf(line, "%127[^:]:%u:%u", owner, &range.first, &range.count) ==
                3 &&
            (strcmp(owner, name) == 0 || strcmp(owner, id) == 0) &&
            (own < range.first || own - range.first >= range.count)) {
            fclose(ranges);
            return range;
        }
    snprintf(message, sizeof(message), "%s: no range for %s", file, name);
    snprintf(hint, sizeof(hint),
             "%u と重ならない範囲が要ります。次のようにして足せます\n"
             "  ヒント: sudo usermod --add-subuids 100000-165535"
             " --add-subgids 100000-165535 %s",
             own, name);
    fail(message, hint);
}

/* 一般ユーザーが自分で書けるのは、自分の id だけの 1 行。2 行目は、
 * 貸してあることを確かめて書いてくれる、setuid のプログラムに頼む。
 * newuidmap(1) */
static void ask_helper(const char *helper, pid_t pid, unsigned id,
                       struct range range)
{
    char command[256];
    int status;

    snprintf(command, sizeof(command), "exec %s %d 0 %u 1 1 %u %u", helper, pid,
             id, range.first, range.count);
    char *argv[] = {"sh", "-c", command, NULL};
    errno = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ);
    if (errno != 0)
        die("posix_spawn /bin/sh");
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid %d", pid);
    if (status != 0)
        fail(path_of("%s failed", helper),
             "なければ、sudo apt-get install uidmap で入れてください");
}

/* 「コンテナ内の id、ホストの id、個数」の行を、1 回の write(2) で書く。0 は
 * 実行したユーザーで、1 からは貸してある範囲。setgroups は禁じなくてよい。
 * あれは、一般ユーザーが、自分を締め出すグループから抜けないようにするもの。
 * ここで gid_map を書くのは、もともとグループを変えられる root か、
 * 管理者の書いた /etc/subgid を確かめた newgidmap になる。user_namespaces(7) */
static void write_id_maps(pid_t pid, struct range uids, struct range gids)
{
    if (geteuid() != 0) {
        ask_helper("newuidmap", pid, invoking_uid(), uids);
        ask_helper("newgidmap", pid, invoking_gid(), gids);
        return;
    }
    write_file(path_of("/proc/%d/uid_map", pid), "0 %u 1\n1 %u %u\n",
               invoking_uid(), uids.first, uids.count);
    write_file(path_of("/proc/%d/gid_map", pid), "0 %u 1\n1 %u %u\n",
               invoking_gid(), gids.first, gids.count);
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
    drop_groups(); /* マッピングが済めば、一般ユーザーも外せる */
    become_root();
    /* id を変えると PR_SET_PDEATHSIG が消えるので、もう一度。prctl(2) */
    die_with_parent(pipes);

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
    struct range uids = find_range("/etc/subuid", invoking_uid());
    struct range gids = find_range("/etc/subgid", invoking_gid());

    pid_t pid = clone_child(new_namespaces());
    if (pid == -1)
        die("clone3");
    if (pid == 0)
        child(&opt, &pipes);
    /* 親が書き込み側を持っていると、いつまでも EOF にならない。pipe(7) */
    close(pipes.report[1]);
    watch_child(pid);
    write_id_maps(pid, uids, gids);
    gate_open(&pipes);

    forward_signals(pid, &pipes);
    /* 誰かが wait するまで、子はゾンビとして残る。waitpid(2) */
    if (waitpid(pid, &status, 0) == -1)
        die("waitpid %d", pid);
    return exit_status(status, &pipes, opt.command[0]);
}
