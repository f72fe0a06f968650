/*
 * ct-private.h - ct.h の裏側のファイルが、互いに使うもの
 *
 * 呼び出しは一方通行。どのファイルも、ここより右にあるものだけを呼ぶ:
 * launcher, exec, command, env, signals, terminal, cli, files, fail, hints
 */
#ifndef CT_PRIVATE_H
#define CT_PRIVATE_H

#include <stdbool.h>
#include <sys/types.h>

/* --- hints.c: ヒント ----------------------------------------------------- */

/* "step07: メッセージ" を stderr に出す。制御文字は '?' に置き換える */
void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* そのエラーのよくある原因と次の一手を stderr に出す。message は die() に渡す
 * ものと同じ形で、subject はそのうちの対象 (パスなど)。知らない組み合わせなら
 * 何も出さない */
void print_hint(const char *message, const char *subject, int error);

/* --- ct-fail.c: 失敗を伝えて終わる --------------------------------------- */

/* die() と同じものを stderr に出すが、終わらない */
void report_error(const char *message, int error);

/* 子: このあとの die() は、親の atexit(3) の後始末をしない */
void fail_as_child(void);

/* --- ct-signals.c: シグナル ---------------------------------------------- */

/* 親: シグナルを止め、forward_signals() が受け取れるようにする。SIGCHLD は、
 * デフォルトの扱いにする */
void receive_signals(void);

/* 子: シグナルのマスクと SIGCHLD の扱いを、呼び出し元の状態に戻す */
void restore_signals(void);

/* 子を終わらせたシグナルを渡すと、もとのシグナルを返す。PID 1 が捨てた
 * シグナルは、forward_signals() が SIGKILL に替えている */
int requested_signal(int signal);

/* forward_signals() が待った子は、exec する前に終わらせられたか。ランチャーの
 * 渡したシグナルで終わったなら false */
bool died_unprepared(void);

/* --- ct-terminal.c: 端末 ------------------------------------------------- */

/* 親: stdin が端末なら、その設定と、前面にいたかどうかを覚える。command が
 * 対話的なシェルなら、前面に出るまで待つ。tcgetattr(3) */
void remember_terminal(char *const *command);

/* stdin は、覚えたときに端末だったか */
bool has_terminal(void);

/* 子: command が対話的なシェルなら、自分のプロセスグループを作って前面に出る */
void lead_terminal(char *const *command);

/* 親: pid の子が終わったら、端末の設定と前面のプロセスグループを元に戻す */
void restore_terminal(pid_t pid);

#endif
