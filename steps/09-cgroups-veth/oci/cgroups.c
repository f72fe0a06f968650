/* cgroups.c - コンテナの cgroup を作り、入れ、止め、消す。v1 と v2 と、両方 */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT           10000 /* 消えるか、凍るまで待つ時間 [ms] */
#define DEFAULT_PARENT "/" RUNTIME

static struct hierarchy found[HIERARCHIES_MAX];
static size_t count;

const struct hierarchy *find_controller(const char *controller)
{
    char list[512];

    for (size_t i = 0; i < count; i++)
        if (found[i].version == 1 && has_word(found[i].controllers, controller))
            return &found[i];
    for (size_t i = 0; i < count; i++)
        if (found[i].version == 2 &&
            read_text(path_of("%s/cgroup.controllers", found[i].path), list,
                      sizeof(list)) &&
            has_word(list, controller))
            return &found[i];
    return NULL;
}

/* v2 では、凍らせるのも、デバイスを調べるのも、コントローラーではない */
static const struct hierarchy *find_core(const char *controller)
{
    const struct hierarchy *group = find_controller(controller);

    for (size_t i = 0; group == NULL && i < count; i++)
        if (found[i].version == 2)
            group = &found[i];
    return group;
}

/* --- 階層を探す ----------------------------------------------------------- */

static bool is_known(int version, const char *controllers)
{
    for (size_t i = 0; i < count; i++)
        if (found[i].version == version &&
            strcmp(found[i].controllers, controllers) == 0)
            return true;
    return false;
}

/* "... ルート マウント先 ... - 種類 元 オプション"。proc_pid_mountinfo(5) */
static void find_hierarchies(void)
{
    char line[8192], point[4096], type[64], options[1024];
    FILE *file = fopen("/proc/self/mountinfo", "re");

    if (file == NULL)
        die("open /proc/self/mountinfo");
    count = 0;
    while (fgets(line, sizeof(line), file) != NULL && count < HIERARCHIES_MAX) {
        const char *rest = strstr(line, " - ");
        if (rest == NULL ||
            sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 ||
            sscanf(rest, " - %63s %*s %1023s", type, options) != 2)
            continue;
        int version = strcmp(type, "cgroup2") == 0  ? 2
                      : strcmp(type, "cgroup") == 0 ? 1
                                                    : 0;
        const char *names = version == 2 ? "" : strchr(options, ',');
        if (version == 0 || names == NULL || access(point, X_OK) == -1)
            continue;
        names += *names == ',';
        if (is_known(version, names))
            continue;
        found[count++] = (struct hierarchy){.version = version,
                                            .controllers = strdup(names),
                                            .path = strdup(point)};
    }
    fclose(file);
}

/* 状態に書いてあるもの */
static void load_hierarchies(const struct container *box)
{
    const cJSON *list = json_get(box->state, "cgroups"), *entry;

    count = 0;
    cJSON_ArrayForEach(entry, list) {
        if (count == HIERARCHIES_MAX)
            break;
        found[count++] = (struct hierarchy){
            .version = json_int(entry, "version", 0),
            .controllers = json_string(entry, "controllers"),
            .path = json_string(entry, "path"),
        };
    }
}

/* --- 作る ----------------------------------------------------------------- */

/* cgroupsPath の 2 つの形: "/a/b" と、systemd の "slice:prefix:name" */
static const char *group_path(const struct container *box)
{
    static char path[PATH_MAX];
    char slice[256] = "", prefix[256] = "", name[1024] = "";
    const char *given = json_path(box->config, "linux.cgroupsPath");

    if (given == NULL || *given == '\0') {
        snprintf(path, sizeof(path), DEFAULT_PARENT "/%s", box->id);
        return path;
    }
    if (strstr(given, "..") != NULL)
        refuse("config.json: linux.cgroupsPath: has \"..\"");
    if (*given != '/' &&
        sscanf(given, "%255[^:]:%255[^:]:%1023[^:]", slice, prefix, name) == 3)
        snprintf(path, sizeof(path), "/%s/%s-%s.scope", slice, prefix, name);
    else
        snprintf(path, sizeof(path), "%s%s", *given == '/' ? "" : "/", given);
    return path;
}

/* v1 の新しい cpuset は空で、そのままではプロセスを入れられない。cpuset(7) */
static void inherit_cpuset(const char *parent, const char *path)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char value[512], own[512];

    for (size_t i = 0; i < 2; i++)
        if (read_text(path_of("%s/%s", path, files[i]), own, sizeof(own)) &&
            (*own == '\n' || *own == '\0') &&
            read_text(path_of("%s/%s", parent, files[i]), value, sizeof(value)))
            write_file(path_of("%s/%s", path, files[i]), "%s", value);
}

/* v2 では、親が有効にしたものだけを、子で使える。できないものは、その上限を
 * 書くときに失敗する。プロセスのいる cgroup では、有効にしない。"+cpu" だけは
 * 成功し、その下にプロセスを入れられなくなる (threaded)。cgroups(7) */
static void enable_controllers(const char *parent)
{
    char list[512], word[64], *rest;

    if (access(path_of("%s/cgroup.type", parent), F_OK) == 0 &&
        read_text(path_of("%s/cgroup.procs", parent), list, sizeof(list)) &&
        *list != '\0')
        return;
    if (!read_text(path_of("%s/cgroup.controllers", parent), list,
                   sizeof(list)))
        return;
    for (char *name = strtok_r(list, " \n", &rest); name != NULL;
         name = strtok_r(NULL, " \n", &rest)) {
        snprintf(word, sizeof(word), "+%s", name);
        try_write(path_of("%s/cgroup.subtree_control", parent), word);
    }
}

static void make_level(const struct hierarchy *group, const char *parent,
                       const char *path)
{
    if (group->version == 2)
        enable_controllers(parent);
    if (mkdir(path, 0755) == -1 && errno != EEXIST)
        die("mkdir %s", path);
    if (has_word(group->controllers, "cpuset"))
        inherit_cpuset(parent, path);
}

static void make_group(const struct hierarchy *group, size_t top)
{
    char path[PATH_MAX], parent[PATH_MAX];

    snprintf(path, sizeof(path), "%s/", group->path);
    for (char *slash = strchr(path + top + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        snprintf(parent, sizeof(parent), "%s", path);
        *strrchr(parent, '/') = '\0';
        make_level(group, parent, path);
        *slash = '/';
    }
}

/* 凍った cgroup に入ると、解けるまで動けない。他人のいる cgroup を使えば、
 * delete が他人を終わらせる */
static void check_free(const struct hierarchy *group)
{
    char text[256];

    if (read_text(path_of("%s/freezer.state", group->path), text,
                  sizeof(text)) &&
        strncmp(text, "THAWED", 6) != 0)
        refuse("cgroup %s: is frozen", group->path);
    if (read_text(path_of("%s/cgroup.events", group->path), text,
                  sizeof(text)) &&
        strstr(text, "frozen 1") != NULL)
        refuse("cgroup %s: is frozen", group->path);
    if (read_text(path_of("%s/cgroup.procs", group->path), text,
                  sizeof(text)) &&
        *text != '\0')
        refuse("cgroup %s: is not empty", group->path);
}

/* 作る前に書いておく。作っている途中で死んでも、delete が見つけて消す */
static void remember(struct container *box)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < count; i++) {
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddNumberToObject(entry, "version", found[i].version);
        cJSON_AddStringToObject(entry, "controllers", found[i].controllers);
        cJSON_AddStringToObject(entry, "path", found[i].path);
        cJSON_AddItemToArray(list, entry);
    }
    cJSON_ReplaceItemInObject(box->state, "cgroups", list);
    container_save(box);
}

/* cgroup に書けないユーザー (rootless) は、頼まれていなければ、なしで動かす */
static bool can_do_without(const struct container *box)
{
    return geteuid() != 0 ||
           json_path(box->config, "linux.cgroupsPath") == NULL;
}

static void drop_unwritable(const struct container *box)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (access(found[i].path, W_OK) == 0 || !can_do_without(box))
            found[kept++] = found[i];
    count = kept;
}

static void create_directories(struct container *box)
{
    const char *path = group_path(box);
    size_t tops[HIERARCHIES_MAX] = {0};

    find_hierarchies();
    drop_unwritable(box);
    for (size_t i = 0; i < count; i++) {
        tops[i] = strlen(found[i].path);
        found[i].path = strdup(path_of("%s%s", found[i].path, path));
        check_free(&found[i]);
    }
    remember(box);
    for (size_t i = 0; i < count; i++)
        make_group(&found[i], tops[i]);
}

/* --- systemd -------------------------------------------------------------- */

/* ユニットの cgroup は systemd(1) のもの。scope を作ってもらい、その中に入る。
 * busctl(1), org.freedesktop.systemd1(5) */
static void start_scope(const char *slice, const char *unit, pid_t pid)
{
    char number[16];
    int status;

    snprintf(number, sizeof(number), "%d", pid);
    /* clang-format off */
    const char *const argv[] = {
        "busctl", "--quiet", "call", "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
        "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "5",
        "Delegate", "b", "true",
        "DefaultDependencies", "b", "false",
        "CollectMode", "s", "inactive-or-failed",
        "Slice", "s", slice,
        "PIDs", "au", "1", number,
        "0", NULL};
    /* clang-format on */
    pid_t child = fork();
    if (child == -1)
        die("fork");
    if (child == 0) {
        execvp(argv[0], (char *const *)argv);
        die("exec busctl");
    }
    if (waitpid(child, &status, 0) == -1)
        die("waitpid busctl");
    if (status != 0)
        refuse("busctl StartTransientUnit %s failed", unit);
}

static bool is_inside(pid_t pid, const char *unit)
{
    char text[8192];

    return read_text(path_of("/proc/%d/cgroup", pid), text, sizeof(text)) &&
           strstr(text, unit) != NULL;
}

/* process (PID か "self") のいる cgroup を、すべての階層で求める */
static void find_groups_of(const char *process)
{
    char line[PATH_MAX + 256];
    FILE *file = fopen(path_of("/proc/%s/cgroup", process), "re");

    if (file == NULL)
        die("open /proc/%s/cgroup", process);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *names = strchr(line, ':') + 1;
        char *path = strchr(names, ':');
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        for (size_t i = 0; i < count; i++)
            if (*names == '\0' ? found[i].version == 2
                               : found[i].version == 1 &&
                                     has_word(found[i].controllers, names))
                found[i].path = strdup(path_of(
                    "%s%s", found[i].path, strcmp(path, "/") == 0 ? "" : path));
    }
    fclose(file);
}

/* systemd がユニットを作らなかった階層では、みんなの cgroup にいるまま。
 * そこは、コンテナのものではない */
static void keep_unit(const char *unit)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (strstr(found[i].path, unit) != NULL)
            found[kept++] = found[i];
    count = kept;
}

static void create_scope(struct container *box, pid_t pid)
{
    char path[PATH_MAX], slice[PATH_MAX], number[16];

    snprintf(path, sizeof(path), "%s", group_path(box));
    char *unit = strrchr(path, '/') + 1;
    snprintf(slice, sizeof(slice), "%.*s", (int)(unit - path - 1), path);
    if (strstr(unit, ".scope") == NULL)
        refuse("config.json: linux.cgroupsPath: not slice:prefix:name");
    char *name = strrchr(slice, '/');
    start_scope(name == NULL ? "system.slice" : name + 1, unit, pid);
    for (int i = 0; !is_inside(pid, unit); i++) {
        if (i == WAIT)
            refuse("systemd did not move the process into %s", unit);
        pause_briefly();
    }
    snprintf(number, sizeof(number), "%d", pid);
    find_hierarchies();
    find_groups_of(number);
    keep_unit(unit);
    remember(box);
}

/* --- 外から呼ぶもの ------------------------------------------------------- */

static void limit(const struct container *box)
{
    const cJSON *resources = json_get(box->config, "linux.resources");

    apply_limits(resources);
    apply_devices(json_get(resources, "devices"), find_core("devices"));
}

void cgroups_create_scope(struct container *box, pid_t pid)
{
    create_scope(box, pid);
    limit(box);
}

/* exec では、最初のプロセスのいるところ。コンテナの中で systemd などが下に
 * cgroup を作っていると、v2 の上には入れない。
 * ほかのプロセスを動かすと、カーネルは、マシン全体のロックを待つ (RCU の
 * 猶予期間。20 ミリ秒ほど)。自分 ("0") を tasks で動かすか、初めからそこに
 * 作れば (CLONE_INTO_CGROUP)、待たない */
struct cgroup_entry cgroups_open(const struct container *box)
{
    struct cgroup_entry entry = {0};
    char init[16];

    load_hierarchies(box);
    if (container_pid(box) != 0) {
        snprintf(init, sizeof(init), "%d", container_pid(box));
        find_hierarchies();
        find_groups_of(init);
    }
    for (size_t i = 0; i < count; i++) {
        bool is_v2 = found[i].version == 2;
        const char *path =
            is_v2 ? found[i].path : path_of("%s/tasks", found[i].path);
        int fd = open(path, is_v2 ? O_PATH | O_DIRECTORY | O_CLOEXEC
                                  : O_WRONLY | O_CLOEXEC);
        if (fd == -1)
            die("open %s", path);
        if (is_v2)
            entry.v2 = fd;
        else
            entry.tasks[entry.count++] = fd;
    }
    return entry;
}

struct cgroup_entry cgroups_create(struct container *box)
{
    create_directories(box);
    limit(box);
    return cgroups_open(box);
}

void cgroups_enter(const struct cgroup_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        if (write(entry->tasks[i], "0", 1) != 1)
            die("write tasks");
        close(entry->tasks[i]);
    }
    if (entry->v2 > 0)
        close(entry->v2);
}

void cgroups_limit(const struct container *box, const cJSON *resources)
{
    load_hierarchies(box);
    apply_limits(resources);
}

bool cgroups_is_frozen(const struct container *box)
{
    char text[256];

    load_hierarchies(box);
    const struct hierarchy *group = find_core("freezer");
    if (group == NULL)
        return false;
    if (group->version == 1)
        return read_text(path_of("%s/freezer.state", group->path), text,
                         sizeof(text)) &&
               strncmp(text, "THAWED", 6) != 0;
    return read_text(path_of("%s/cgroup.freeze", group->path), text,
                     sizeof(text)) &&
           *text == '1';
}

/* 凍りきるまでのあいだに fork した子は、もう一度書かないと凍らないことがある。
 * cgroups(7), freezer */
void cgroups_freeze(const struct container *box, bool freeze)
{
    char text[256];

    load_hierarchies(box);
    const struct hierarchy *group = find_core("freezer");
    if (group == NULL)
        refuse("pause: this machine has no freezer");
    for (int i = 0; i < WAIT; i++) {
        if (group->version == 1) {
            const char *wanted = freeze ? "FROZEN" : "THAWED";
            const char *file = path_of("%s/freezer.state", group->path);
            write_file(file, "%s", wanted);
            if (read_text(file, text, sizeof(text)) &&
                strncmp(text, wanted, 6) == 0)
                return;
        } else {
            write_file(path_of("%s/cgroup.freeze", group->path), "%d", freeze);
            if (read_text(path_of("%s/cgroup.events", group->path), text,
                          sizeof(text)) &&
                strstr(text, freeze ? "frozen 1" : "frozen 0") != NULL)
                return;
        }
        pause_briefly();
    }
    refuse("cgroup %s: does not %s", group->path, freeze ? "freeze" : "thaw");
}

/* --- コンテナ内のプロセス ------------------------------------------------- */

static int signal_to_send;
static bool has_processes;
static cJSON *processes;

static int visit(const char *path, const struct stat *status, int type,
                 struct FTW *ftw)
{
    int pid;
    FILE *file;

    (void)status, (void)ftw;
    if (type != FTW_D)
        return 0;
    file = fopen(path_of("%s/cgroup.procs", path), "re");
    while (file != NULL && fscanf(file, "%d", &pid) == 1) {
        if (pid <= 0)
            continue; /* 別の PID 名前空間のもの */
        has_processes = true;
        if (processes != NULL)
            cJSON_AddItemToArray(processes, cJSON_CreateNumber(pid));
        else
            kill(pid, signal_to_send);
    }
    if (file != NULL)
        fclose(file);
    return 0;
}

/* どの階層でも、中にいるものは同じ */
static const char *any_group(const struct container *box)
{
    load_hierarchies(box);
    const struct hierarchy *group = find_core("pids");
    return group == NULL ? count == 0 ? NULL : found[0].path : group->path;
}

bool cgroups_kill(const struct container *box, int signal)
{
    const char *path = any_group(box);

    signal_to_send = signal;
    has_processes = false;
    processes = NULL;
    if (path != NULL)
        nftw(path, visit, 16, FTW_PHYS);
    return has_processes;
}

void cgroups_processes(const struct container *box, cJSON *list)
{
    const char *path = any_group(box);

    processes = list;
    if (path != NULL)
        nftw(path, visit, 16, FTW_PHYS);
    processes = NULL;
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *ftw)
{
    (void)status, (void)ftw;
    if (type == FTW_DP)
        rmdir(path);
    return 0;
}

/* 最後のプロセスが終わった直後は、まだ EBUSY のことがある。cgroups(7) */
void cgroups_remove(const struct container *box)
{
    load_hierarchies(box);
    for (size_t i = 0; i < count; i++) {
        for (int wait = 0; rmdir(found[i].path) == -1 && errno != ENOENT;
             wait++) {
            if (wait == WAIT)
                die("rmdir %s", found[i].path);
            nftw(found[i].path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
            if (wait > 0)
                pause_briefly();
        }
        char *slash = strrchr(found[i].path, '/');
        const char *parent =
            path_of("%.*s", (int)(slash - found[i].path), found[i].path);
        size_t length = strlen(parent), own = strlen(DEFAULT_PARENT);
        if (length > own && strcmp(parent + length - own, DEFAULT_PARENT) == 0)
            rmdir(parent); /* ほかのコンテナがあれば EBUSY */
    }
}

/* --- コンテナの /sys/fs/cgroup -------------------------------------------- */

static int trees[HIERARCHIES_MAX];

/* cgroup 名前空間を分けると、"/proc/self/cgroup" は "/" になる。その前に開く */
void cgroups_open_trees(const struct container *box,
                        const struct mount_options *opt)
{
    struct mount_options plain = *opt;

    plain.is_recursive = plain.is_recursive_attr = false;
    load_hierarchies(box);
    if (count == 0) { /* systemd の scope は、子を作ったあとで決まる */
        find_hierarchies();
        find_groups_of("self");
    }
    for (size_t i = 0; i < count; i++)
        trees[i] = open_tree_of(found[i].path, &plain, 0);
}

/* "cpu,cpuacct" というディレクトリに置き、cpu と cpuacct のリンクを足す */
static void attach_v1(int top, const struct hierarchy *group, int tree)
{
    const char *names = strncmp(group->controllers, "name=", 5) == 0
                            ? group->controllers + 5
                            : group->controllers;
    char list[256], *rest;

    const char *equal = strstr(names, "name=");
    if (equal != NULL)
        names = equal + 5;
    if (mkdirat(top, names, 0755) == -1)
        die("mkdir %s", names);
    int target = openat(top, names, O_PATH | O_DIRECTORY | O_CLOEXEC);
    attach_tree(tree, target, names);
    close(target);
    snprintf(list, sizeof(list), "%s", names);
    for (char *one = strtok_r(list, ",", &rest);
         one != NULL && strchr(names, ',') != NULL;
         one = strtok_r(NULL, ",", &rest))
        if (symlinkat(names, top, one) == -1)
            die("symlink %s", one);
}

void cgroups_attach_trees(const char *path, const struct mount_options *opt)
{
    int target = open_target(path, true, 0);

    if (count == 1 && found[0].version == 2) {
        attach_tree(trees[0], target, path);
        return;
    }
    if (mount("tmpfs", fd_path(target), "tmpfs", opt->flags & ~MS_RDONLY,
              "mode=755") == -1)
        die("mount %s", path);
    close(target);
    target = open_target(path, true, 0);
    for (size_t i = 0; i < count; i++)
        if (found[i].version == 1)
            attach_v1(target, &found[i], trees[i]);
        else
            close(trees[i]);
    if (opt->flags & MS_RDONLY &&
        mount(NULL, fd_path(target), NULL, MS_REMOUNT | MS_BIND | opt->flags,
              NULL) == -1)
        die("mount %s", path);
    close(target);
}
