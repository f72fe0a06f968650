/*
 * oci.h - main.c のレッスンではない、ランタイムの部品
 *
 * write_file(), path_of() などは、どのステップとも同じ shared/ のもの。エラーは
 * すべて die() か refuse() で終わり、子の中なら、親に伝えて終わる。
 */
#ifndef OCI_H
#define OCI_H

#include "../../../shared/ct.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <sys/types.h>
#include <sys/un.h>

#define HIERARCHIES_MAX 32 /* cgroup の階層の数 */
#define RUNTIME         "step09-oci"
#define OCI_VERSION     "1.0.2-dev" /* containerd と podman は 1.x なら読む */

/* --- options.c: コマンドライン ------------------------------------------- */

#define LIST_MAX 64 /* --env などの数。並びは NULL で終わる */

/* 使えないオプションの欄は、0 か NULL のまま */
struct options_oci {
    const char *command; /* "create" など */
    const char *root; /* 状態を置くディレクトリ。デフォルトは /run/step09-oci */
    const char *log, *log_format, *cgroup_manager;
    char *id; /* コンテナの名前。list にはない */
    char **args; /* 名前より後ろ。NULL で終わる */
    const char *bundle, *config, *pid_file, *console_socket, *process,
        *resources;
    const char *cwd, *user, *format;
    char *env[LIST_MAX + 1], *caps[LIST_MAX + 1], *gids[LIST_MAX + 1];
    cJSON *update; /* update のオプションを、config.json の形にしたもの */
    unsigned preserve_fds; /* 3 番から、コマンドに渡す fd の数 */
    bool systemd_cgroup, version, help, all, force, detach, tty, keep, quiet;
    bool no_new_privs, ignore_paused;
};

/* 誤りがあれば、使い方を stderr に出して終わる。usage_error() も、ここにある。
 * getopt_long(3) */
struct options_oci parse_command_line(int argc, char *argv[]);

/* コンテナの中に入るプロセスを作るコマンドか */
bool enters_container(const struct options_oci *opt);

/* --- log.c: 失敗を伝えて終わる (shared/ct-fail.c の代わり) --------------- */

/* errno のない失敗。"config.json: linux.intelRdt: not supported" など */
_Noreturn void refuse(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* 今の UTC の時刻: "2026-01-02T03:04:05Z"。次に呼ぶまで有効 */
const char *time_now(void);

/* 終わらないほかは、refuse() と同じ。level は "warning" になる。子の警告も、
 * コンテナの stderr でなく、親のほうに出る */
void warn_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* die() と refuse() を、stderr のほかに path にも書く。json でなければ 1 行の
 * テキスト。エンジンは、ここを読んで失敗の理由を知る */
void log_open(const char *path, bool json);

/* 失敗したときの終了ステータス。デフォルトは 1 */
void fail_with(int status);

/* 親: 失敗したら、終わる前に function を呼ぶ。NULL なら、もう呼ばない */
void on_failure(void (*function)(void));

/* 子: このあとの失敗は、fd の先の親に伝える */
void fail_to(int fd);

/* --- sync.c: 親と子をそろえる (step 03 のゲート) ------------------------- */

/* 親と子の、双方向のゲート。unix(7) の SOCK_SEQPACKET は、1 回の send が 1 回の
 * recv で読め、相手が死ねば EOF になる */
struct gate {
    int parent, child;
};

enum signal_kind { GO, BORN, MOUNTED, READY, FAILED, WARNED };

struct gate make_gate(void);
void gate_tell(int fd, enum signal_kind kind, int value);

/* kind を待ち、一緒に来た値を返す。FAILED が来れば、その失敗で自分も終わる。
 * EOF なら、相手が死んだ。閉じれば成功とする相手なら、may_close */
int gate_expect(int fd, enum signal_kind kind, bool may_close);

/* 起きるのを調べるあいだの、1 ミリ秒 */
void pause_briefly(void);

/* directory の中の name というソケット。パスは 108 バイトまでなので、
 * fd から短く書く。unix(7) */
struct sockaddr_un socket_address(int directory, const char *name);

/* 状態のディレクトリに、start を待つソケットを作る。子の用意ができたら、名前を
 * 付け替える。状態が created かどうかは、その名前があるかで決まる */
int start_gate_listen(int directory);
void start_gate_ready(int directory);
bool start_gate_is_pending(int directory); /* まだ用意の途中か */
bool start_gate_exists(int directory);
int start_gate_connect(int directory);
void start_gate_forget(int directory);

/* --- config.c: config.json を読む ---------------------------------------- */

/* ファイルを読む。"-" なら stdin から */
cJSON *json_read(const char *path);

/* path は "process.user.uid" の形。なければ NULL、0、false か fallback を返し、
 * 型が違えば終わる */
const cJSON *json_get(const cJSON *from, const char *path);
const cJSON *json_map(const cJSON *from, const char *path); /* 名前と値の組 */
const char *json_string(const cJSON *from, const char *path);
bool json_bool(const cJSON *from, const char *path);
long long json_int(const cJSON *from, const char *path, long long fallback);
unsigned long long json_uint(const cJSON *from, const char *path,
                             unsigned long long fallback);

/* 文字列の配列を、NULL で終わる配列にする。なければ空の配列 */
char **json_strings(const cJSON *from, const char *path);

/* ファイルのパス。長すぎれば終わる */
const char *json_path(const cJSON *from, const char *path);

/* from の name を、カレントディレクトリから絶対パスにする */
void json_make_absolute(const cJSON *from, const char *name);

/* bundle に移り、file (config.json) を読む。しないことを頼まれていたら、
 * その欄の名前を言って終わる。黙って無視しない */
cJSON *load_config(const char *bundle, const char *file);
void check_process(const cJSON *process);

/* --- state.c: コンテナの状態 --------------------------------------------- */

struct container {
    const char *id;
    const char *root; /* --root */
    int directory; /* 状態のディレクトリの fd。ロックも兼ねる */
    cJSON *state; /* state.json */
    cJSON *config; /* create のときの config.json の控え */
};

/* 状態のディレクトリを作る。もうあれば終わる */
struct container container_create(const struct options_oci *opt, cJSON *config);

/* 読む。なければ終わる。lock なら、ほかの create, start, delete を待つ */
struct container container_load(const struct options_oci *opt, bool lock);
bool container_exists(const struct options_oci *opt);

/* 長く待つ前に、ロックを放す。flock(2) */
void container_unlock(const struct container *box);

/* state.json を書く。途中で死んでも、前のものか新しいもののどちらかが残る */
void container_save(const struct container *box);
void container_set_pid(struct container *box, pid_t pid);
void container_remove(const struct container *box);

/* "creating", "created", "running", "paused", "stopped"。
 * runtime.md の State */
const char *container_status(const struct container *box);

/* 最初のプロセスの PID。もういなければ 0 */
pid_t container_pid(const struct container *box);

/* state の出力と、フックの stdin に渡すもの */
cJSON *container_state(const struct container *box, const char *status);
void list_containers(const struct options_oci *opt);
void write_pid_file(const char *path, pid_t pid);

/* --- rootfs.c: コンテナのルートの中のパス -------------------------------- */

/* カレントディレクトリを "/" とみなして path を開く。リンクをたどっても、その
 * 外には出ない。openat2(2) の RESOLVE_IN_ROOT */
int open_in_root(const char *path, uint64_t flags, uint64_t resolve);

/* マウントする先を開く。なければ、ディレクトリか空のファイルを作る */
int open_target(const char *path, bool is_directory, uint64_t resolve);

/* path の親のディレクトリを開き (なければ作り)、最後の名前を name に入れる */
int open_parent(const char *path, const char **name);

/* fd の指すものの、いつでも使えるパス。次に呼ぶまで有効 */
const char *fd_path(int fd);

/* ディレクトリの中身を、属性ごとコピーする。リンクはたどらない */
void copy_directory(int from, int to);

/* --- mounts.c: マウントのオプション -------------------------------------- */

struct mount_options {
    unsigned long flags; /* mount(2) */
    uint64_t set, clear; /* mount_setattr(2) */
    unsigned long propagation;
    bool is_bind, is_recursive, is_recursive_attr, copy_up, is_mapped;
    char data[4096]; /* ファイルシステムに渡すもの */
};

struct mount_options read_mount_options(const cJSON *mount);
unsigned long propagation_of(const char *name);
void add_mount_words(cJSON *to); /* 使える語を、to の mountOptions に */

/* source を、まだマウントしていないツリーとして開き、オプションを付ける。
 * user_namespace はマッピングで、なければ 0。使ったら閉じる。
 * open_tree(2), mount_setattr(2) */
int open_tree_of(const char *source, const struct mount_options *opt,
                 int user_namespace);

/* ツリーを target に置く。move_mount(2) */
void attach_tree(int tree, int target, const char *name);

/* 親が先に開いておいたもの。なければ 0 */
struct source {
    int tree, user_namespace; /* ツリーと、マッピング (idmap) */
};

/* 親: ホストの権限で開いておくべきものを、mounts の順に並べて返す */
struct source *open_sources(const cJSON *config, bool is_user_separate);

/* bind マウントの元のツリー。bind でなければ -1 */
int open_source(const cJSON *mount, const struct mount_options *opt,
                const struct source *early);
bool is_type(const cJSON *mount, const char *type);

/* 子: config.json の 1 つを、target にマウントする。mount(2) */
void check_mount_target(int target, const cJSON *mount_entry);
void keep_mode(const cJSON *mount_entry, struct mount_options *opt);
void mount_file_system(const cJSON *mount_entry, int target,
                       const struct mount_options *opt);

/* 子: path を読み取り専用にする。path がなければ、何もしない */
void make_read_only(const char *path);

/* 子: linux.rootfsPropagation */
void set_root_propagation(const cJSON *config);

/* 子: linux.readonlyPaths と linux.maskedPaths */
void cover_paths(const cJSON *config);

/* --- nodes.c と names.c: /dev と、名前空間ごとの設定 ---------------------- */

void populate_dev(const cJSON *config);

#define KINDS 8

/* 名前空間の種類の表。main.c にある */
extern const struct namespace_kind {
    const char *name, *proc_name;
    uint64_t flag; /* clone3(2) */
} kinds[KINDS];

/* path の名前空間に、自分ももういるか。path が NULL なら false */
bool is_own_namespace(const char *path, const char *proc_name);

/* pid のいる名前空間のうち、自分とは違うもの。clone3(2) のフラグ */
uint64_t different_namespaces(pid_t pid);

/* 子: マウント名前空間が同じときに、pid のルートに移る。chroot(2) */
void enter_root_of(pid_t pid);

/* namespaces は、コンテナが持つ名前空間のフラグ。ないものの設定は断る */
void set_names(const cJSON *config, uint64_t namespaces);
void set_sysctls(const cJSON *config, uint64_t namespaces);
void new_time_namespace(const cJSON *config);

/* 新しいネットワーク名前空間の lo は、止まっている。ip link set lo up */
void raise_loopback(void);

/* 親: from の uidMappings と gidMappings を、pid の uid_map と gid_map に */
void write_mappings(pid_t pid, const cJSON *from);

/* --- cgroups.c: どこに作り、どう制限するか ------------------------------- */

/* 入るための fd。v2 は clone3(2) の CLONE_INTO_CGROUP に渡す。なければ 0 */
struct cgroup_entry {
    int v2;
    int tasks[HIERARCHIES_MAX];
    size_t count;
};

/* 親: config.json のとおりに cgroup を作り、入るための fd を返す。作る前に、
 * 場所を state に書く。cgroups(7) */
struct cgroup_entry cgroups_create(struct container *box);

/* 親: 同じものを systemd(1) に作ってもらい、pid を入れる */
void cgroups_create_scope(struct container *box, pid_t pid);

/* 親: 動いているコンテナの cgroup に入るための fd */
struct cgroup_entry cgroups_open(const struct container *box);
void cgroups_enter(const struct cgroup_entry *entry); /* 子 */
void cgroups_limit(const struct container *box, const cJSON *resources);
void cgroups_freeze(const struct container *box, bool freeze);
bool cgroups_is_frozen(const struct container *box);

/* signal を、コンテナ内のすべてのプロセスに送る。いなければ false */
bool cgroups_kill(const struct container *box, int signal);
void cgroups_remove(const struct container *box);

/* コンテナ内のプロセスを、list (JSON の配列) に足す */
void cgroups_processes(const struct container *box, cJSON *list);

/* 子: コンテナの /sys/fs/cgroup になるツリーを開いておく。cgroup 名前空間を
 * 分けると、自分のいる cgroup が分からなくなる */
void open_cgroup_trees(const struct container *box);
void cgroups_open_trees(const struct container *box,
                        const struct mount_options *opt);
void cgroups_attach_trees(const char *path, const struct mount_options *opt);

/* --- limits.c と devices.c: cgroups.c が使う ------------------------------ */

/* 1 つの階層。v2 には、コントローラーの名前がない */
struct hierarchy {
    int version;
    const char *controllers; /* v1: "cpu,cpuacct" など */
    const char *path; /* コンテナの cgroup のディレクトリ */
};

/* v1 なら controller の階層、v2 ならただ 1 つの階層。なければ NULL */
const struct hierarchy *find_controller(const char *controller);
void apply_limits(const cJSON *resources);

/* list を、v1 の devices のファイルか、v2 の BPF のプログラムにする */
void apply_devices(const cJSON *list, const struct hierarchy *group);

/* --- console.c: 端末 ----------------------------------------------------- */

/* 親: エンジンの待っているソケットにつなぐ */
int console_connect(const char *path);

/* 親: process.terminal なら、マスターを渡す先を返す。エンジンのソケットか、
 * なければ、自分で受け取るための pair の片方。端末がなければ 0 */
int open_console(const struct options_oci *opt, const cJSON *process,
                 int pair[2]);
int receive_console(const int pair[2]); /* 端末がなければ -1 */

/* 子: 端末を作り、制御端末にして、マスターを socket の先へ渡す。コンテナの
 * /dev/console にも置く (in_root)。pty(7), unix(7) の SCM_RIGHTS */
void console_open(int socket, const cJSON *process, bool in_root);

/* 前面の run と exec: コマンドが終わるまで、端末と master をつなぐ */
int console_relay(pid_t pid, int master);

/* --- hooks.c: フック ----------------------------------------------------- */

/* hooks.(name) を順に動かす。stdin には state を渡す。失敗したら、
 * is_fatal なら終わり、そうでなければ警告だけ残す */
void run_hooks(const struct container *box, const char *name,
               const char *status, bool is_fatal);

/* --- seccomp.c: システムコールのフィルター -------------------------------- */

void load_seccomp(const cJSON *seccomp);

/* --- capabilities.c と process.c: コマンドを動かすユーザー、環境、上限 ---- */

/* 親: 上げるにはホストの特権の要るもの (rlimits, oomScoreAdj) */
void limit_process(const cJSON *process, pid_t pid);
void set_environment(const cJSON *process);
void leave_session_keyring(void);
void reset_signals(void); /* 呼び出し元のシグナルの扱いを、持ち込まない */
void drop_bounding(const cJSON *capabilities);
void set_capabilities(const cJSON *capabilities);

/* ユーザー名前空間の中の uid 0 になる (step 03) */
void become_root(void);

/* uid、gid、補助グループ、umask。特権は、set_capabilities() まで残す */
void become_user(const cJSON *process);

/* process.cwd に入る。コンテナの外に出ていたら終わる (CVE-2024-21626)。
 * 入れなければ false か、must なら終わる */
bool enter_cwd(const cJSON *process, bool must);

/* exec --process の中身か、config.json の process を、オプションで変えたもの */
const cJSON *process_to_exec(const struct options_oci *opt,
                             const cJSON *config);
void set_scheduling(const cJSON *process);
void set_personality(const cJSON *config); /* personality(2) */

/* process.args[0] のパス。そのユーザーに実行できなければ終わる */
const char *look_up(const cJSON *process);

/* AppArmor や SELinux のラベルは、exec のときに付く。書くファイルは、ホストの
 * /proc が見えるうちに開いておく */
void open_label(const cJSON *process);
void write_label(const cJSON *process);

/* 3 番以上の fd を、exec で閉じるようにする。keep 個は残す */
void close_on_exec(unsigned keep);

/* --- sealed.c: 書き換えられない自分のコピー ------------------------------- */

/* 初めに 1 度だけ呼ぶ */
void prepare_process(void);

/* コンテナに入る前に、封をしたコピーから動き直す。memfd_create(2) */
void run_sealed_copy(char *argv[], unsigned keep);

/* --- spec.c: spec と features -------------------------------------------- */

void write_spec(const struct options_oci *opt);
void print_features(void);

/* --- manage.c: 動き出したあとのコマンド ----------------------------------- */

/* start と exec のほかのもの */
void manage(const struct options_oci *opt);

/* exec: 動いているコンテナの、最初のプロセスの pidfd。pidfd_open(2) */
int open_running(const struct container *box, const struct options_oci *opt);
void delete_container(const struct container *box);

#endif
