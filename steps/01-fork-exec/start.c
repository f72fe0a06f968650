/*
 * 子プロセスを作り、別のプログラムに置き換える
 *
 * 作る:   cc -o ../../step main.c ../../shared/{ct*,cli,hints}.c
 * 動かす: sudo ../../step run
 * 見る:   子の終了ステータスが、そのままランチャーの終了ステータスになる
 */
#define _GNU_SOURCE
#include "../../shared/ct.h"

/* 親が死んだら、自分も SIGKILL で終わる。ランチャーのいないコンテナには、
 * 片付ける人がいない。PR_SET_PDEATHSIG(2const) */
static void die_with_parent(const struct pipes *pipes)
{
    /* ここに書く: 親が死んだら届くシグナルを決める */
    /* ここに書く: もう死んでいたら、ここで終わる */
}

/* 子がすること。上から順に読むと、コマンドが動き出すまでの手順になる */
static _Noreturn void child(const struct options *opt,
                            const struct pipes *pipes)
{
    begin_child(pipes);
    die_with_parent(pipes);
    show_pid();

    prepare_exec(opt->command, pipes);
    /* ここに書く: コマンドに置き換える (探すのは find_command) */
    report_exec_failure(pipes, opt->command[0]);
}

int main(int argc, char *argv[])
{
    struct options opt = parse_options(argc, argv, 0);
    struct pipes pipes;
    int status;

    prepare_launcher(opt.command);
    /* ここに書く: exec の失敗を知らせるパイプ pipes.report を作る */

    /* ここに書く: 子を作り、子では child() を呼ぶ */
    /* ここに書く: 親では書き込み側を閉じ、watch_child() を呼ぶ */

    /* ここに書く: forward_signals() を呼び、子の終わりを status に受け取る */
    return exit_status(status, &pipes, opt.command[0]);
}
