/*
 * ct.h - どのステップのレッスンでもないが、どのステップも使う道具
 *
 * エラーはすべて die() で終わる。呼び出し側が返り値を調べる必要があるのは、
 * そう書いてある関数だけ。
 */
#ifndef CT_H
#define CT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* 終了ステータス。126, 127, 128+n はシェルの決まりに従う。sh(1) */
#define EXIT_USAGE      2 /* 使い方の誤り */
#define EXIT_SETUP      125 /* コンテナを用意できず、コマンドは動いていない */
#define EXIT_CANNOT_RUN 126 /* コマンドはあるが、実行できない */
#define EXIT_NOT_FOUND  127 /* コマンドか、#! のプログラムか、ローダーがない */

/* parse_options() に渡す、そのステップで使えるオプション */
#define OPTION_ROOTFS  (1 << 0) /* --rootfs, --env */
#define OPTION_CAP_ADD (1 << 1) /* --cap-add */
#define OPTION_LIMITS  (1 << 2) /* --cpus から --no-veth まで */

#define CAP_ADD_MAX 64
#define ENV_MAX     64

/* コマンドラインを読んだ結果。使えないオプションの欄はデフォルト値のまま */
struct options {
    char **command; /* NULL で終わる。デフォルトは /bin/sh */
    const char *rootfs; /* デフォルトは実行ファイルの横の rootfs/fs */
    char *env[ENV_MAX]; /* "NAME=VALUE" か、消すなら "NAME"。NULL で終わる */
    const char *cap_add[CAP_ADD_MAX]; /* NULL で終わる */
    unsigned long cpu_quota; /* CPU_PERIOD あたりの時間 [us] */
    unsigned long long memory; /* [バイト] */
    unsigned long pids; /* プロセス (スレッド) の数 */
    uint64_t keep; /* 残すケーパビリティのビット */
    const char *cpuset; /* "0-1,3" の形。NULL なら制限しない */
    bool cgroup; /* --no-cgroup で false */
    bool veth; /* --no-veth で false */
};

#define CPU_PERIOD 100000 /* cpu.max の周期 [us] */

/* 親と子をつなぐ 2 本のパイプ。[0] が読み込み側、[1] が書き込み側 */
struct pipes {
    int report[2]; /* 子から親へ: exec に失敗した理由 */
    int gate[2]; /* 親から子へ: 「進め」の 1 バイト */
};

/* --- cli.c: コマンドライン ----------------------------------------------- */

/* コマンドラインを読む。accepted は OPTION_* の論理和。誤りがあれば使い方を
 * stderr に出し、EXIT_USAGE で終わる。-h なら stdout に出し、0 で終わる。
 * getopt_long(3) */
struct options parse_options(int argc, char *argv[], int accepted);

/* "step08: メッセージ" と使い方を stderr に出し、EXIT_USAGE で終わる */
_Noreturn void usage_error(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* --- ct-fail.c: 失敗を伝えて終わる --------------------------------------- */

/* "step07: <メッセージ>: <errno の説明>" とヒントを stderr に出し、
 * EXIT_SETUP で終わる。メッセージは「システムコール 対象」の形にする。
 * 親で失敗したときは、先に子を終わらせる。err(3) */
_Noreturn void die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* 親: 子の PID を覚える。このあと die() すると、子も終わらせる。0 なら忘れる */
void watch_child(pid_t pid);

/* --- ct-files.c: ファイルとマウント -------------------------------------- */

/* path を開き、書式どおりの文字列を 1 回の write(2) で書く。/proc や cgroup の
 * ファイルは、1 回の write を 1 つの命令とみなす。ファイルは作らない */
void write_file(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* text を書く。失敗は false と errno で、終わらない */
bool try_write(const char *path, const char *text);

/* 初めの size - 1 バイトまでを、1 回の read(2) で text に読む。終わりは '\0'。
 * 失敗は false と errno で、終わらない */
bool read_text(const char *path, char *text, size_t size);

/* 空白かコンマで区切った list に word があるか */
bool has_word(const char *list, const char *word);

/* 書式どおりのパスを作って返す。次に呼ぶまで有効 */
const char *path_of(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* mount(2) と同じ。ただし target は本物のディレクトリに限り、途中に
 * シンボリックリンクがあれば ELOOP で終わる。ほかのコンテナが書けるルートの
 * 中では、mount の直前に target をリンクに差し替えられるからだ。
 * カレントディレクトリには入り直すので、その権限が要る。openat2(2) */
void mount_dir(const char *source, const char *target, const char *type,
               unsigned long flags, const char *data);

/* マウントしてある "/proc", "/sys", "dev" のどれかに入る。リンクがあれば
 * ELOOP、それぞれ proc, sysfs, tmpfs でなければ EXDEV で終わる。入ったあとの
 * 1 語だけの名前は、外から差し替えられない。statfs(2) */
void enter_mount(const char *path);

/* glibc 2.36 より前のヘッダーと musl にはない。open_tree(2), move_mount(2) */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE         1
#define OPEN_TREE_CLOEXEC       O_CLOEXEC
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

/* --- ct-launcher.c: 子を作り、親と子をそろえる --------------------------- */

/* 子を作る前に 1 度だけ呼ぶ。閉じている 0, 1, 2 番の fd を /dev/null で埋め
 * (ディレクトリなら断る)、子に渡すシグナルを受け取れるようにし、端末の設定を
 * 覚える。command が対話的なシェルなら、端末の前面に出るまで止まる */
void prepare_launcher(char *const *command);

/* 子: 最初に呼ぶ。書くだけなので、report の読み込み側を閉じる。このあとの
 * die() は、親の後始末をしない */
void begin_child(const struct pipes *pipes);

/* 子: stdin が端末なら、ホストから見た自分の PID を stderr に知らせる。端末が
 * 止まっていると (Ctrl-S) 戻らないので、先に、親と一緒に終わるようにしておく */
void show_pid(void);

/* 子: ゲートが開くのを待ち、親の渡した 1 バイトを返す。親が死んだか、
 * 準備に失敗して終わったら (EOF)、ここで終わる */
uint8_t gate_wait(const struct pipes *pipes);

/* 親: ゲートを開ける。子がもういなくても、ここでは失敗にしない。
 * waitpid(2) が教えてくれる */
void gate_open(const struct pipes *pipes);

/* 同じ。ただし、子に 1 バイトを渡す */
void gate_send(const struct pipes *pipes, uint8_t byte);

/* ランチャーを実行したユーザーの id。sudo 経由なら SUDO_UID / SUDO_GID、
 * そうでなければ自分の id。sudo(8) の ENVIRONMENT */
uid_t invoking_uid(void);
gid_t invoking_gid(void);

/* --- ct-signals.c: シグナル ---------------------------------------------- */

/* 親: 子が終わるまで待ち、届いたシグナルを子に渡す。端末の設定も元に戻す。子は
 * まだ回収しないので、続けて waitpid(2) を呼ぶ。sigwaitinfo(2) */
void forward_signals(pid_t pid, const struct pipes *pipes);

/* --- ct-env.c: 環境変数 -------------------------------------------------- */

/* 子: 呼び出し元の環境変数を捨て、コンテナのもの (PATH, HOME, HOSTNAME と、
 * 呼び出し元の TERM) に替える。added は struct options の env。environ(7) */
void replace_environment(char *const *added);

/* --- ct-terminal.c: 端末 ------------------------------------------------- */

/* 親: stdin, stdout, stderr のうち、自分の端末とパイプを、終わるまで uid の
 * ものにする。sudo の作る端末は root のもので、コンテナの root は
 * /dev/stderr を開けない。fchown(2) */
void lend_stdio(uid_t uid);

/* --- ct-command.c: コマンドを探す ---------------------------------------- */

/* 子: 環境変数 PATH から command を探し、実行するパスを返す。次に呼ぶまで有効。
 * 見つからなければ空文字列なので、execv(3) は ENOENT で失敗する。探し方は
 * execvp(3) と同じ: "/" があれば探さず、PATH がなければ confstr(3) の値を使い、
 * 空の要素はカレントディレクトリとする。ただし、知らない形式のファイルを sh に
 * 渡しはしない */
const char *find_command(const char *command);

/* execve(2) が path を断る理由 (errno)。実行できるなら 0 */
int command_refusal(const char *path);

/* --- ct-exec.c: コマンドの exec と終了ステータス ------------------------- */

/* 子: シグナルを呼び出し元の状態に戻し、3 番以上の fd をすべて閉じる (report の
 * 書き込み側は exec が閉じる)。command が対話的なシェルなら、端末の前面に出す。
 * exec の直前に呼ぶ。close_range(2) */
void prepare_exec(char *const *command, const struct pipes *pipes);

/* 子: exec に失敗した理由 (errno) を親に知らせて終わる */
_Noreturn void report_exec_failure(const struct pipes *pipes,
                                   const char *command);

/* waitpid(2) の status から、ランチャーの終了ステータスを決める。子が exec に
 * 失敗していたり、その前にシグナルで終わっていたりすれば、stderr に出す */
int exit_status(int status, const struct pipes *pipes, const char *command);

#endif
