/* mounts.c - config.json のマウントのオプションを、カーネルのフラグにする */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITABLE_MAX 64

/* 古いヘッダーのために。mount_setattr(2) */
#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY      0x00000001
#define MOUNT_ATTR_NOSUID      0x00000002
#define MOUNT_ATTR_NODEV       0x00000004
#define MOUNT_ATTR_NOEXEC      0x00000008
#define MOUNT_ATTR__ATIME      0x00000070
#define MOUNT_ATTR_RELATIME    0x00000000
#define MOUNT_ATTR_NOATIME     0x00000010
#define MOUNT_ATTR_STRICTATIME 0x00000020
#define MOUNT_ATTR_NODIRATIME  0x00000080
#define MOUNT_ATTR_IDMAP       0x00100000
struct mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* is_on は、付ける語か。atime の 3 つは、どれか 1 つだけが立つ */

static const struct {
    const char *name;
    bool is_on;
    unsigned long flag;
    uint64_t attr;
} words[] = {
    {"ro", true, MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"rw", false, MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"nosuid", true, MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"suid", false, MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"nodev", true, MS_NODEV, MOUNT_ATTR_NODEV},
    {"dev", false, MS_NODEV, MOUNT_ATTR_NODEV},
    {"noexec", true, MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"exec", false, MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"nosymfollow", true, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"symfollow", false, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime", true, MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"atime", false, MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"relatime", true, MS_RELATIME, MOUNT_ATTR_RELATIME},
    {"norelatime", false, MS_RELATIME, MOUNT_ATTR_RELATIME},
    {"strictatime", true, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    {"nostrictatime", false, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    {"nodiratime", true, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"diratime", false, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    /* 次のものは、ファイルシステム全体のもの */
    {"sync", true, MS_SYNCHRONOUS, 0},
    {"async", false, MS_SYNCHRONOUS, 0},
    {"dirsync", true, MS_DIRSYNC, 0},
    {"mand", true, MS_MANDLOCK, 0},
    {"nomand", false, MS_MANDLOCK, 0},
    {"lazytime", true, MS_LAZYTIME, 0},
    {"nolazytime", false, MS_LAZYTIME, 0},
    {"silent", true, MS_SILENT, 0},
    {"loud", false, MS_SILENT, 0},
    {"iversion", true, MS_I_VERSION, 0},
    {"noiversion", false, MS_I_VERSION, 0},
    {"remount", true, MS_REMOUNT, 0},
    {"defaults", true, 0, 0},
};

static const struct {
    const char *name;
    unsigned long flags;
} propagations[] = {
    {"shared", MS_SHARED},
    {"slave", MS_SLAVE},
    {"private", MS_PRIVATE},
    {"unbindable", MS_UNBINDABLE},
    {"rshared", MS_SHARED | MS_REC},
    {"rslave", MS_SLAVE | MS_REC},
    {"rprivate", MS_PRIVATE | MS_REC},
    {"runbindable", MS_UNBINDABLE | MS_REC},
};

unsigned long propagation_of(const char *name)
{
    for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]); i++)
        if (strcmp(propagations[i].name, name) == 0)
            return propagations[i].flags;
    return 0;
}

void add_mount_words(cJSON *to)
{
    cJSON *list = cJSON_AddArrayToObject(to, "mountOptions");

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(words[i].name));
    for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]); i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(propagations[i].name));
}

static void set_attribute(struct mount_options *opt, bool is_on, uint64_t attr)
{
    bool is_atime =
        attr == MOUNT_ATTR_RELATIME || (attr & MOUNT_ATTR__ATIME) != 0;

    if (is_atime)
        opt->clear |= MOUNT_ATTR__ATIME;
    else if (is_on)
        opt->clear &= ~attr;
    else
        opt->clear |= attr;
    if (is_on)
        opt->set |= attr;
    else
        opt->set &= ~attr;
}

/* "rro" のように r で始まる語は、下にあるマウントにも効く */
static bool read_flag(struct mount_options *opt, const char *word)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        bool is_recursive =
            *word == 'r' && strcmp(word + 1, words[i].name) == 0;
        if (strcmp(word, words[i].name) != 0 &&
            !(is_recursive && words[i].attr != 0))
            continue;
        opt->is_recursive_attr |= is_recursive;
        if (words[i].is_on)
            opt->flags |= words[i].flag;
        else
            opt->flags &= ~words[i].flag;
        if (words[i].attr != 0 || words[i].flag == MS_RELATIME)
            set_attribute(opt, words[i].is_on, words[i].attr);
        return true;
    }
    return false;
}

struct mount_options read_mount_options(const cJSON *mount)
{
    struct mount_options opt = {0};
    const char *type = json_string(mount, "type");
    size_t length = 0;

    opt.is_bind = type != NULL && strcmp(type, "bind") == 0;
    opt.is_recursive = opt.is_bind;
    for (char **word = json_strings(mount, "options"); *word != NULL; word++) {
        if (strcmp(*word, "bind") == 0 || strcmp(*word, "rbind") == 0) {
            opt.is_bind = true;
            opt.is_recursive = **word == 'r';
        } else if (strcmp(*word, "tmpcopyup") == 0) {
            opt.copy_up = true;
        } else if (propagation_of(*word) != 0) {
            opt.propagation = propagation_of(*word);
        } else if (!read_flag(&opt, *word)) {
            if (strcmp(*word, "idmap") == 0 || strcmp(*word, "ridmap") == 0) {
                opt.is_mapped = true; /* 中身は、uidMappings などにある */
                opt.is_recursive_attr |= **word == 'r';
                continue;
            }
            length += snprintf(opt.data + length, sizeof(opt.data) - length,
                               "%s%s", length > 0 ? "," : "", *word);
            if (length >= sizeof(opt.data))
                refuse("config.json: mounts: options are too long");
        }
    }
    return opt;
}

/* --- ツリー --------------------------------------------------------------- */

/* 親: マッピングは、ユーザー名前空間で渡す。それだけのための子を作る。
 * 書く相手の PID は、ホストの /proc のもの */
static int user_namespace_of(const cJSON *mount)
{
    struct gate gate = make_gate();
    pid_t pid = fork();

    if (pid == -1)
        die("fork");
    if (pid == 0) {
        close(gate.parent);
        fail_to(gate.child);
        if (unshare(CLONE_NEWUSER) == -1)
            die("unshare CLONE_NEWUSER");
        gate_tell(gate.child, READY, 0);
        gate_expect(gate.child, GO, true);
        _exit(0);
    }
    close(gate.child);
    gate_expect(gate.parent, READY, false);
    write_mappings(pid, mount);
    int fd = open(path_of("/proc/%d/ns/user", pid), O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        die("open /proc/%d/ns/user", pid);
    close(gate.parent);
    waitpid(pid, NULL, 0);
    return fd;
}

/* ホストのツリーのコピーは、伝播 (propagation) でつながったままなので、
 * 頼まれなければ切っておく。mount_namespaces(7) */
static void set_tree_propagation(int tree, unsigned long propagation)
{
    struct mount_attr attr = {.propagation = propagation & ~MS_REC};
    bool is_recursive = propagation == 0 || propagation & MS_REC;

    if (propagation == 0)
        attr.propagation = MS_PRIVATE;
    if (syscall(SYS_mount_setattr, tree, "",
                AT_EMPTY_PATH | (is_recursive ? AT_RECURSIVE : 0), &attr,
                sizeof(attr)) == -1)
        die("mount_setattr propagation");
}

int open_tree_of(const char *source, const struct mount_options *opt,
                 int user_namespace)
{
    unsigned flags = opt->is_recursive ? AT_RECURSIVE : 0;
    struct mount_attr attr = {.attr_set = opt->set, .attr_clr = opt->clear};
    int tree = syscall(SYS_open_tree, AT_FDCWD, source,
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);

    if (tree == -1)
        die("open_tree %s", source);
    if (user_namespace > 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = user_namespace;
    }
    if ((attr.attr_set | attr.attr_clr) != 0 &&
        syscall(SYS_mount_setattr, tree, "",
                AT_EMPTY_PATH | (opt->is_recursive_attr ? AT_RECURSIVE : 0),
                &attr, sizeof(attr)) == -1)
        die("mount_setattr %s", source);
    if (user_namespace > 0)
        close(user_namespace);
    set_tree_propagation(tree, opt->propagation);
    return tree;
}

void attach_tree(int tree, int target, const char *name)
{
    if (syscall(SYS_move_mount, tree, "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | 0x40 /* T_EMPTY_PATH */) == -1)
        die("move_mount %s", name);
    close(tree);
}

int open_source(const cJSON *mount, const struct mount_options *opt,
                const struct source *early)
{
    const char *source = json_path(mount, "source");

    if (!opt->is_bind)
        return -1;
    if (early->tree != 0)
        return early->tree;
    if (source == NULL)
        refuse("config.json: mounts: source is missing");
    return open_tree_of(source, opt, early->user_namespace);
}

/* ユーザー名前空間の中の root には、元までたどる権限がないかもしれない。
 * 伝播 (shared) でつなぐものも、ホストのツリーからコピーする。ほかのものは、
 * 前のマウントの中にあるかもしれないので、その番が来てから子が開く */
struct source *open_sources(const cJSON *config, bool is_user_separate)
{
    const cJSON *mounts = json_get(config, "mounts"), *mount;
    struct source *all = calloc(cJSON_GetArraySize(mounts) + 1, sizeof(*all)),
                  *one = all;
    const char *root = json_string(config, "linux.rootfsPropagation");
    bool is_shared = root != NULL && propagation_of(root) & MS_SHARED;

    if (all == NULL)
        die("calloc");
    cJSON_ArrayForEach(mount, mounts) {
        struct mount_options opt = read_mount_options(mount);
        bool has_maps = cJSON_GetArraySize(json_get(mount, "uidMappings")) > 0;
        if (opt.is_mapped && !has_maps)
            refuse("config.json: mounts: idmap: needs uidMappings");
        if (opt.is_bind)
            json_make_absolute(mount, "source");
        if (opt.is_bind && has_maps)
            one->user_namespace = user_namespace_of(mount);
        if (opt.is_bind &&
            (is_user_separate || (is_shared && opt.propagation & MS_SHARED)))
            one->tree = open_source(mount, &opt, one);
        one++;
    }
    return all;
}

bool is_type(const cJSON *mount, const char *type)
{
    const char *given = json_string(mount, "type");

    return given != NULL && strncmp(given, type, strlen(type)) == 0;
}

void open_cgroup_trees(const struct container *box)
{
    const cJSON *mounts = json_get(box->config, "mounts"), *mount;

    cJSON_ArrayForEach(mount, mounts)
        if (is_type(mount, "cgroup")) {
            struct mount_options opt = read_mount_options(mount);
            cgroups_open_trees(box, &opt);
        }
}

/* --- コンテナのルートの中にマウントする ----------------------------------- */

/* /proc の中のファイルに重ねてよいのは、LXCFS などの使う、読むだけのものだけ。
 * ほかは、ランタイム自身が書くものを偽物にできる (CVE-2019-16884) */
void check_mount_target(int target, const cJSON *mount_entry)
{
    const char *path = json_path(mount_entry, "destination");
    static const char *const harmless[] = {
        "/proc/cpuinfo",  "/proc/diskstats",
        "/proc/loadavg",  "/proc/meminfo",
        "/proc/slabinfo", "/proc/stat",
        "/proc/swaps",    "/proc/sys/crypto/fips_enabled",
        "/proc/uptime",   "/proc/sys/kernel/ns_last_pid",
    };
    struct statfs fs;

    if (fstatfs(target, &fs) == -1)
        die("fstatfs %s", path);
    if (fs.f_type != PROC_SUPER_MAGIC)
        return;
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (strcmp(harmless[i], path) == 0)
            return;
    if (strcmp(path, "/proc") == 0 && is_type(mount_entry, "proc"))
        return; /* 本物を、もう 1 度 */
    refuse("config.json: mounts: %s: is inside /proc", path);
}

/* 重ねる前のディレクトリの中身を、新しい tmpfs に移す */
static void copy_up(int below, const char *path)
{
    int top = open_in_root(path, O_RDONLY | O_DIRECTORY, 0);

    if (top == -1)
        die("open %s", path);
    copy_directory(below, top);
    close(top);
}

/* mode がなければ、前からあるディレクトリと同じにする。なかったのなら、tmpfs の
 * デフォルト (1777) のまま */
void keep_mode(const cJSON *mount_entry, struct mount_options *opt)
{
    struct stat status;
    size_t length = strlen(opt->data);
    const char *path = json_path(mount_entry, "destination");
    int fd = is_type(mount_entry, "tmpfs") ? open_in_root(path, O_PATH, 0) : -1;

    if (fd == -1)
        return;
    if (strstr(opt->data, "mode=") == NULL && fstat(fd, &status) == 0 &&
        length + 16 < sizeof(opt->data))
        snprintf(opt->data + length, 16, "%smode=%o", length > 0 ? "," : "",
                 status.st_mode & 07777);
    close(fd);
}

/* 読み取り専用の tmpfs。その下のマウントとデバイスができるまで、待たせておく */
static struct {
    int fd;
    unsigned long flags;
} writable[WRITABLE_MAX];
static size_t writable_count;

void mount_file_system(const cJSON *mount_entry, int target,
                       const struct mount_options *opt)
{
    const char *path = json_path(mount_entry, "destination");
    const char *type = json_string(mount_entry, "type");
    const char *source = json_string(mount_entry, "source");
    bool is_tmpfs = type != NULL && strcmp(type, "tmpfs") == 0;
    unsigned long late = is_tmpfs ? opt->flags & MS_RDONLY : 0;

    if (mount(source == NULL ? type : source, fd_path(target), type,
              opt->flags & ~late, opt->data) == -1)
        die("mount %s", path);
    if (is_tmpfs && opt->copy_up)
        copy_up(target, path);
    if (late == 0 && opt->propagation == 0)
        return;
    int top = open_in_root(path, O_PATH, 0);
    if (top == -1)
        die("openat2 %s", path);
    if (opt->propagation != 0 &&
        mount(NULL, fd_path(top), NULL, opt->propagation, NULL) == -1)
        die("mount %s", path);
    if (late == 0) {
        close(top);
        return;
    }
    if (writable_count == WRITABLE_MAX)
        refuse("config.json: mounts: too many read-only tmpfs");
    writable[writable_count].fd = top;
    writable[writable_count++].flags = opt->flags;
}

static void lock_mounts(void)
{
    while (writable_count > 0) {
        writable_count--;
        if (mount(NULL, fd_path(writable[writable_count].fd), NULL,
                  MS_REMOUNT | MS_BIND | writable[writable_count].flags,
                  NULL) == -1)
            die("mount a read-only tmpfs");
        close(writable[writable_count].fd);
    }
}

/* 自分に重ねて、重ねたほうだけを読み取り専用にする。"/" は、もう重ねてある */
void make_read_only(const char *path)
{
    struct mount_options opt = {.set = MOUNT_ATTR_RDONLY,
                                .is_recursive = true,
                                .is_recursive_attr = true};
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    if (strcmp(path, "/") == 0) {
        if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) ==
            -1)
            die("mount_setattr /");
        return;
    }
    int target = open_in_root(path, O_PATH, 0);
    if (target == -1 && (errno == ENOENT || errno == ENOTDIR))
        return;
    if (target == -1)
        die("openat2 %s", path);
    attach_tree(open_tree_of(fd_path(target), &opt, 0), target, path);
    close(target);
}

void set_root_propagation(const cJSON *config)
{
    const char *name = json_string(config, "linux.rootfsPropagation");

    if (name == NULL || *name == '\0')
        return;
    if (propagation_of(name) == 0)
        refuse("config.json: linux.rootfsPropagation: %s is unknown", name);
    if (mount(NULL, "/", NULL, propagation_of(name), NULL) == -1)
        die("mount /");
}

/* 重ねる "/dev/null" は、イメージのものでなく、ホストのもの (CVE-2025-31133) */
static void mask_path(const char *path)
{
    struct stat status;
    int target = open_in_root(path, O_PATH, 0);

    if (target == -1 && (errno == ENOENT || errno == ENOTDIR))
        return;
    if (target == -1 || fstat(target, &status) == -1)
        die("openat2 %s", path);
    int result =
        S_ISDIR(status.st_mode)
            ? mount("tmpfs", fd_path(target), "tmpfs", MS_RDONLY, "size=0k")
            : mount("/dev/null", fd_path(target), NULL, MS_BIND, NULL);
    if (result == -1)
        die("mount %s", path);
    close(target);
}

void cover_paths(const cJSON *config)
{
    char **path = json_strings(config, "linux.readonlyPaths");

    lock_mounts();
    for (; *path != NULL; path++)
        make_read_only(*path);
    for (path = json_strings(config, "linux.maskedPaths"); *path != NULL;
         path++)
        mask_path(*path);
}
