/*
 * ct-private.h - ct.h の裏側のファイルが、互いに使うもの
 *
 * 呼び出しは一方通行。どのファイルも、ここより右にあるものだけを呼ぶ:
 * exec, ct, cli, files, fail, hints
 */
#ifndef CT_PRIVATE_H
#define CT_PRIVATE_H

#include <stdbool.h>
#include <sys/types.h>

/* --- hints.c: ヒント ----------------------------------------------------- */

/* そのエラーのよくある原因と次の一手を stderr に出す。message は die() に渡す
 * ものと同じ形。知らない組み合わせなら何も出さない */
void print_hint(const char *message, int error);

/* --- ct-fail.c: 失敗を伝えて終わる --------------------------------------- */

/* 子: このあとの die() は、親の atexit(3) の後始末をしない */
void fail_as_child(void);

/* --- ct.c: 子を作り、待つ ------------------------------------------------ */

/* 子: シグナルのマスクと SIGCHLD の扱いを、呼び出し元の状態に戻す */
void restore_signals(void);

/* 子を終わらせたシグナルを渡すと、もとのシグナルを返す。PID 1 が捨てたシグナル
 * は、forward_signals() が SIGKILL に替えている */
int requested_signal(int signal);

/* 子: command が対話的なシェルなら、自分のプロセスグループを作って前面に出る */
void lead_terminal(char *const *command);

#endif
