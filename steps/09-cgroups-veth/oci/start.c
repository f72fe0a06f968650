/*
 * 本物のエンジン (podman、Docker、containerd) が動かせるランタイムにする
 *
 * 作る:   make step09-oci
 * 動かす: sudo podman --runtime $PWD/step09-oci run --rm -it イメージ
 * 見る:   エンジンがこのプログラムを呼ぶ順番と、渡してくる config.json
 */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* 終わりの user には、終わりに入る。2 つ目は、/proc/PID/ns での名前 */
const struct namespace_kind kinds[KINDS] = {
    {"ipc", "ipc", CLONE_NEWIPC},          {"network", "net", CLONE_NEWNET},
    {"uts", "uts", CLONE_NEWUTS},          {"pid", "pid", CLONE_NEWPID},
    {"mount", "mnt", CLONE_NEWNS},         {"time", "time", CLONE_NEWTIME},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"user", "user", CLONE_NEWUSER},
};

static int kind_of(const cJSON *entry)
{
    const char *type = json_string(entry, "type");

    for (int i = 0; type != NULL && i < KINDS; i++)
        if (strcmp(kinds[i].name, type) == 0)
            return i;
    refuse("config.json: linux.namespaces: a type is unknown");
}

/* path のない名前空間は作り、ある名前空間には入る。Pod とは、同じ path に入った
 * コンテナの集まりのこと */
struct namespaces {
    uint64_t all,
        fresh; /* clone3(2) のフラグ。fresh は、そのうち新しく作るもの */
    int joined[KINDS]; /* 入るものの fd。なければ 0 */
};

static struct namespaces read_namespaces(const cJSON *config)
{
    struct namespaces ns = {0};
    const cJSON *entry;

    cJSON_ArrayForEach(entry, json_get(config, "linux.namespaces")) {
        const char *path = json_path(entry, "path");
        int kind = kind_of(entry);
        if (ns.all & kinds[kind].flag)
            refuse("config.json: linux.namespaces: %s is there twice",
                   kinds[kind].name);
        if (is_own_namespace(path, kinds[kind].proc_name))
            continue; /* 分けないのと同じ */
        ns.all |= kinds[kind].flag;
        if (path == NULL || *path == '\0')
            ns.fresh |= kinds[kind].flag;
        /* ここに書く: path があれば、ns.joined に開く */
    }
    return ns;
}

/* ユーザー名前空間は、終わりに入る。先に入ると、ホストの持つほかの名前空間に
 * 入る特権がなくなる。PID 名前空間に入るのは、次に作る子。setns(2) */
static void join_namespaces(const struct namespaces *ns, uint64_t which)
{
    /* ここに書く: ns->joined のうち、which にある種類のものに入る */
}

/* 作ったプロセスの親の子になり、初めから v2 の cgroup の中にいる。clone3(2) */
static pid_t clone_child(uint64_t flags, int cgroup)
{
    struct clone_args args = {
        .flags = flags | CLONE_PARENT | (cgroup > 0 ? CLONE_INTO_CGROUP : 0),
        .cgroup = cgroup,
    };

    return syscall(SYS_clone3, &args, sizeof(args));
}

static void bind_rootfs(const char *rootfs)
{
    if (chdir(rootfs) == -1)
        die("chdir %s", rootfs);
    int tree = syscall(SYS_open_tree, AT_FDCWD, ".",
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree == -1)
        die("open_tree .");
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, ".",
                MOVE_MOUNT_F_EMPTY_PATH) == -1)
        die("move_mount .");
    if (fchdir(tree) == -1)
        die("fchdir .");
    close(tree);
}

/* path はイメージの中のリンクかもしれない。RESOLVE_IN_ROOT なら、どうたどっても
 * ルートの外には出ない。proc と sysfs では、リンクそのものを断る: 別の場所に
 * マウントさせ、本物の /proc を偽物にできる (CVE-2019-19921)。openat2(2) */
static void mount_one(const cJSON *mount, const struct source *early)
{
    struct mount_options opt = read_mount_options(mount);
    const char *path = json_path(mount, "destination");
    struct stat status = {.st_mode = S_IFDIR};
    uint64_t resolve = 0;

    if (path == NULL || *path == '\0')
        refuse("config.json: mounts: destination is missing");
    if (is_type(mount, "cgroup")) {
        cgroups_attach_trees(path, &opt);
        return;
    }
    int tree = open_source(mount, &opt, early);
    if (tree != -1 && fstat(tree, &status) == -1)
        die("fstat %s", path);
    /* ここに書く: proc と sysfs のマウント先には、リンクを許さない */
    keep_mode(mount, &opt);
    int target = open_target(path, S_ISDIR(status.st_mode), resolve);
    check_mount_target(target, mount);
    if (tree != -1)
        attach_tree(tree, target, path);
    else
        mount_file_system(mount, target, &opt);
    close(target);
}

/* 自分のマウント名前空間がなければ、ルートを取り替えると、ほかのプロセスの
 * ルートまで変わる。step 06 の chroot で我慢する */
static void switch_root(const cJSON *config, bool is_separate)
{
    if (!is_separate && chroot(".") == -1)
        die("chroot .");
    if (is_separate && (syscall(SYS_pivot_root, ".", ".") == -1 ||
                        umount2(".", MNT_DETACH) == -1))
        die("pivot_root .");
    if (chdir("/") == -1)
        die("chdir /");
    if (json_bool(config, "root.readonly"))
        make_read_only("/");
    set_root_propagation(config);
}

/* 親と子が、一緒に使うもの */
struct launch {
    struct container *box;
    const cJSON *process; /* config.json の process か、exec --process の中身 */
    struct namespaces ns;
    struct gate gate;
    struct cgroup_entry cgroups;
    int init; /* exec: コンテナの最初のプロセス。pidfd_open(2) */
    int start; /* create: start を待つソケット */
    int console; /* 端末のマスターを渡す先。なければ 0 */
    struct source *sources; /* bind マウントの元 */
    unsigned keep; /* コマンドに渡す fd の数 */
};

/* create と start は、step 09 を exec の直前で 2 つに切ったもの。step 03 の
 * ゲートと違い、開ける人とは親子でない。だからソケットで待つ。start がつなげば
 * 進み、exec に成功するとソケットが閉じて (EOF)、start に伝わる */
static void wait_for_start(const struct launch *it)
{
    /* ここに書く: 用意ができたと親に伝え、start がつなぐのを待つ */
    /* ここに書く: このあとの失敗は、start に伝える */
    run_hooks(it->box, "startContainer", "created", true);
}

/* create も exec も、終わりは同じ */
static _Noreturn void become_command(const struct launch *it)
{
    const cJSON *filter = json_get(it->box->config, "linux.seccomp");
    const cJSON *capabilities = json_get(it->process, "capabilities");
    bool no_new_privs = json_bool(it->process, "noNewPrivileges");
    char **args = json_strings(it->process, "args");

    reset_signals();
    leave_session_keyring();
    set_scheduling(it->process);
    set_personality(it->box->config);
    close_on_exec(it->keep);
    set_environment(it->process);
    const char *path = look_up(it->process);
    bool has_entered = enter_cwd(it->process, false);
    /* ここに書く: CAP_SYS_ADMIN が要るなら、今のうちにフィルターを入れる */
    drop_bounding(capabilities);
    become_user(it->process);
    set_capabilities(capabilities);
    if (!has_entered) /* そのユーザーだけが入れるところもある */
        enter_cwd(it->process, true);
    if (no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        die("prctl PR_SET_NO_NEW_PRIVS");
    write_label(it->process);
    if (it->start != 0)
        wait_for_start(it);
    /* ここに書く: no_new_privs なら、ここでフィルターを入れる */
    execv(path, args);
    die("exec %.1000s", args[0]);
}

static void mount_all(const struct launch *it)
{
    const cJSON *config = it->box->config, *mount;
    int n = 0;

    cJSON_ArrayForEach(mount, json_get(config, "mounts"))
        mount_one(mount, &it->sources[n++]);
    populate_dev(config);
    if (it->console != 0)
        console_open(it->console, it->process, true);
    cover_paths(config);
    close(
        open_target(json_path(it->process, "cwd"), true, 0)); /* なければ作る */
}

/* 子がすること。step 09 の child() と見比べる */
static _Noreturn void container_init(struct launch *it)
{
    const cJSON *config = it->box->config;

    close(it->gate.parent);
    close(it->box->directory); /* ロックも一緒に持ってしまう */
    fail_to(it->gate.child);
    cgroups_enter(&it->cgroups);
    cJSON_SetNumberValue(cJSON_GetObjectItem(it->box->state, "pid"),
                         gate_expect(it->gate.child, GO, false));
    setsid();
    umask(0);
    open_label(it->process);
    open_cgroup_trees(it->box);
    join_namespaces(&it->ns, CLONE_NEWCGROUP);
    if (it->ns.fresh & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) == -1)
        die("unshare CLONE_NEWCGROUP");
    if (it->ns.all & CLONE_NEWUSER)
        become_root();
    if (it->ns.fresh & CLONE_NEWNET)
        raise_loopback();
    set_names(config, it->ns.all);
    set_sysctls(config, it->ns.all);
    /* ホストであとからしたマウントは、受け取ってもよい。逆は困る */
    if (it->ns.fresh & CLONE_NEWNS &&
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == -1)
        die("mount /");
    bind_rootfs(json_path(config, "root.path"));
    mount_all(it);
    gate_tell(it->gate.child, MOUNTED, 0);
    gate_expect(it->gate.child, GO, false);
    run_hooks(it->box, "createContainer", "creating", true);
    switch_root(config, it->ns.fresh & CLONE_NEWNS);
    become_command(it);
}

/* exec は、動いているコンテナの名前空間に入り、同じ終わりの手順をする */
static _Noreturn void join_init(struct launch *it)
{
    close(it->gate.parent);
    fail_to(it->gate.child);
    cgroups_enter(&it->cgroups);
    gate_expect(it->gate.child, GO, false);
    setsid();
    if (it->ns.all & CLONE_NEWCGROUP && setns(it->init, CLONE_NEWCGROUP) == -1)
        die("setns pidfd");
    if (!(it->ns.all & CLONE_NEWNS))
        enter_root_of(container_pid(it->box));
    if (it->ns.all & CLONE_NEWUSER)
        become_root();
    open_label(it->process);
    if (it->console != 0)
        console_open(it->console, it->process, false);
    become_command(it);
}

/* 名前空間に入るのは、間の子。ランタイムは、ホストに残って後始末をする。
 * コンテナのプロセスは、間の子でなく、ランタイムの子になる */
static pid_t spawn(struct launch *it, uint64_t flags,
                   void (*run)(struct launch *))
{
    it->gate = make_gate();
    pid_t middle = fork();
    if (middle == -1)
        die("fork");
    if (middle == 0) {
        fail_to(it->gate.child);
        /* ここに書く: exec なら、it->init の名前空間すべてに、一度に入る */
        join_namespaces(&it->ns, ~CLONE_NEWCGROUP);
        if (flags & CLONE_NEWTIME)
            new_time_namespace(it->box->config);
        /* cgroup だけは、その cgroup に入ってから分けるか、入る */
        flags &= ~(CLONE_NEWCGROUP | CLONE_NEWTIME);
        pid_t pid = clone_child(flags, it->cgroups.v2);
        if (pid == -1)
            die("clone3");
        if (pid == 0)
            run(it);
        gate_tell(it->gate.child, BORN, pid);
        _exit(0);
    }
    close(it->gate.child);
    pid_t pid = gate_expect(it->gate.parent, BORN, false);
    waitpid(middle, NULL, 0);
    return pid;
}

static struct container box;
static pid_t newborn;

static void end_newborn(void)
{
    if (newborn > 0 && kill(newborn, SIGKILL) == 0)
        waitpid(newborn, NULL, 0);
}

static void undo_create(void)
{
    end_newborn();
    delete_container(&box);
}

static void create_container(const struct options_oci *opt, int pair[2])
{
    cJSON *config = load_config(opt->bundle, opt->config);
    struct launch it = {.box = &box,
                        .process = json_get(config, "process"),
                        .ns = read_namespaces(config),
                        .keep = opt->preserve_fds};
    box = container_create(opt, config);
    on_failure(undo_create);
    it.console = open_console(opt, it.process, pair);
    it.start = start_gate_listen(box.directory);
    it.sources = open_sources(config, it.ns.all & CLONE_NEWUSER);
    if (!opt->systemd_cgroup)
        it.cgroups = cgroups_create(&box);
    newborn = spawn(&it, it.ns.fresh, container_init);
    if (it.ns.fresh & CLONE_NEWUSER)
        write_mappings(newborn, json_get(config, "linux"));
    if (opt->systemd_cgroup)
        cgroups_create_scope(&box, newborn);
    container_set_pid(&box, newborn);
    gate_tell(it.gate.parent, GO, newborn);
    gate_expect(it.gate.parent, MOUNTED, false);
    limit_process(it.process, newborn);
    /* ここに書く: prestart と createRuntime のフックを動かす */
    gate_tell(it.gate.parent, GO, 0);
    gate_expect(it.gate.parent, READY, false);
    start_gate_ready(box.directory);
    write_pid_file(opt->pid_file, newborn);
    on_failure(NULL);
}

static void start_container(struct container created)
{
    box = created;
    const char *status = container_status(&box);

    if (strcmp(status, "created") != 0)
        refuse("cannot start a container that is %s", status);
    /* ここに書く: ゲートを開け、exec の成功 (EOF) を待ち、ソケットを消す */
    on_failure(undo_create);
    run_hooks(&box, "poststart", "running", true);
    on_failure(NULL);
}

static int exec_in_container(const struct options_oci *opt)
{
    int pair[2] = {0, 0};

    box = container_load(opt, false);
    struct launch it = {.box = &box,
                        .process = process_to_exec(opt, box.config),
                        .keep = opt->preserve_fds};
    it.init = open_running(&box, opt);
    it.ns.all = different_namespaces(container_pid(&box));
    it.console = open_console(opt, it.process, pair);
    it.cgroups = cgroups_open(&box);
    newborn = spawn(&it, 0, join_init);
    on_failure(end_newborn);
    limit_process(it.process, newborn);
    gate_tell(it.gate.parent, GO, newborn);
    gate_expect(it.gate.parent, READY, true); /* exec に成功すれば EOF */
    write_pid_file(opt->pid_file, newborn);
    return opt->detach ? 0 : console_relay(newborn, receive_console(pair));
}

static int run_container(const struct options_oci *opt)
{
    int pair[2] = {0, 0};

    create_container(opt, pair);
    on_failure(undo_create);
    int master = receive_console(pair);
    start_container(box);
    container_unlock(&box);
    if (opt->detach)
        return 0;
    int status = console_relay(newborn, master);
    if (!opt->keep)
        delete_container(&box);
    return status;
}

int main(int argc, char *argv[])
{
    prepare_process();
    struct options_oci opt = parse_command_line(argc, argv);
    if (enters_container(&opt))
        run_sealed_copy(argv, opt.preserve_fds);
    if (strcmp(opt.command, "create") == 0)
        create_container(&opt, (int[2]){0});
    else if (strcmp(opt.command, "run") == 0)
        return run_container(&opt);
    else if (strcmp(opt.command, "exec") == 0)
        return exec_in_container(&opt);
    else if (strcmp(opt.command, "start") == 0)
        start_container(container_load(&opt, true));
    else
        manage(&opt);
    return 0;
}
