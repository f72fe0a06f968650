/* ct-terminal.c - 端末の前面と所有者をコンテナに渡し、終われば元に戻す */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

static struct {
    bool exists; /* stdin が端末か */
    bool is_ours; /* 始めたとき、前面のプロセスグループだったか */
    struct termios settings;
} terminal;

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

/* シェルは、背後で始まると、前面に出るまで (fg) 自分を止める。PID 名前空間の
 * コンテナ内のシェルには、それができない。前面も自分も、同じ 0 番に見える。
 * だから代わりに止まる。背後から前面に出ようとすると、カーネルが SIGTTOU で
 * 止め、再開すればやり直す。無視していると前面を奪ってしまうので、
 * その間は戻す。tcsetpgrp(3) */
static void wait_for_foreground(void)
{
    struct sigaction stop = {.sa_handler = SIG_DFL}, before;
    sigset_t ttou, mask;

    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    if (sigaction(SIGTTOU, &stop, &before) == -1 ||
        sigprocmask(SIG_UNBLOCK, &ttou, &mask) == -1)
        die("sigaction SIGTTOU");
    /* 自分も PID 名前空間の中なら ESRCH。グループは 0 番に見え、指せない。
     * そこまで進むのは、前面にいるときだけ */
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) == -1 && errno != ESRCH)
        die("tcsetpgrp");
    if (sigprocmask(SIG_SETMASK, &mask, NULL) == -1 ||
        sigaction(SIGTTOU, &before, NULL) == -1)
        die("sigaction SIGTTOU");
}

void remember_terminal(char *const *command)
{
    /* 前面のグループが分かるのは、自分の端末だけ。tcgetpgrp(3) */
    if (is_interactive_shell(command) && tcgetpgrp(STDIN_FILENO) != -1)
        wait_for_foreground();
    terminal.exists = tcgetattr(STDIN_FILENO, &terminal.settings) == 0;
    terminal.is_ours = terminal.exists && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

bool has_terminal(void)
{
    return terminal.exists;
}

/* シェルは、自分で端末を管理する。PID 名前空間の外にあるランチャーのグループは
 * 0 にしか見えず、終わるときに戻せないので、自分のグループを作る。ほかの
 * コマンドは同じグループに残し、Ctrl-C がランチャーにも届くようにする */
void lead_terminal(char *const *command)
{
    if (!terminal.is_ours || !is_interactive_shell(command))
        return;
    wait_for_foreground(); /* 用意のあいだに、bg で背後に回ったかもしれない */
    if (setpgid(0, 0) == -1)
        die("setpgid");
    /* SIGTTOU はまだ止めてあるので、背後からでも前面に出られる。tcsetpgrp(3) */
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) == -1)
        die("tcsetpgrp");
}

/* コンテナのシェルが残した端末の設定を、始める前に戻す。前面が死んだコンテナの
 * グループのままなら取り戻す (SIGTTOU は止めてあるので、背後からでもできる)。
 * 子は wait するまでゾンビで、そのグループには kill(2) がまだ成功する。
 * 別のグループがいるなら、それはユーザーのシェルなので触らない。tcsetpgrp(3) */
void restore_terminal(pid_t pid)
{
    if (!terminal.is_ours)
        return;
    pid_t front = tcgetpgrp(STDIN_FILENO);
    if (front == pid || (front > 0 && kill(-front, 0) == -1 && errno == ESRCH))
        tcsetpgrp(STDIN_FILENO, getpgrp());
    if (tcgetpgrp(STDIN_FILENO) == getpgrp())
        tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.settings);
}

/* --- 所有者 -------------------------------------------------------------- */

static uid_t borrower;
static bool is_lent[3];

static void take_stdio_back(void)
{
    struct stat status;

    for (int fd = 0; fd <= 2; fd++)
        if (is_lent[fd] && fstat(fd, &status) == 0 && status.st_uid == borrower)
            (void)!fchown(fd, getuid(), -1);
}

/* 端末と、名前のないパイプだけ。ファイルやほかのデバイスは、誰かも使う */
static bool is_lendable(int fd)
{
    struct statfs fs;

    return isatty(fd) || (fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC);
}

void lend_stdio(uid_t uid)
{
    struct stat status;

    borrower = uid;
    atexit(take_stdio_back);
    for (int fd = 0; fd <= 2; fd++)
        /* 変えられるのは root だけで、変えてよいのは自分のものだけ */
        is_lent[fd] = getuid() == 0 && uid != 0 && is_lendable(fd) &&
                      fstat(fd, &status) == 0 && status.st_uid == 0 &&
                      fchown(fd, uid, -1) == 0;
}
