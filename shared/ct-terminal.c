/* ct-terminal.c - 端末の前面をコンテナのシェルに渡し、終われば元に戻す */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct {
    bool exists; /* stdin が端末か */
    bool is_ours; /* 始めたとき、前面のプロセスグループだったか */
    struct termios settings;
} terminal;

void remember_terminal(void)
{
    terminal.exists = tcgetattr(STDIN_FILENO, &terminal.settings) == 0;
    terminal.is_ours = terminal.exists && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

bool has_terminal(void)
{
    return terminal.exists;
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
    if (!terminal.is_ours || !is_interactive_shell(command))
        return;
    if (setpgid(0, 0) == -1)
        die("setpgid");
    /* SIGTTOU はまだ止めてあるので、背後からでも前面に出られる。tcsetpgrp(3) */
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) == -1)
        die("tcsetpgrp");
}

/* コンテナのシェルが残した端末の設定を、始める前に戻す。前面が死んだコンテナの
 * グループのままなら取り戻す (SIGTTOU は止めてあるので、背後からでもできる)。子
 * は wait するまでゾンビで、そのグループには kill(2) がまだ成功する。別のグルー
 * プがいるなら、それはユーザーのシェルなので触らない。tcsetpgrp(3) */
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
