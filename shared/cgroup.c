/* cgroup.c - コントローラーを探す。約束ごとは cgroup.h に書いてある */
#define _GNU_SOURCE
#include "cgroup.h"

#include "ct-private.h"
#include "ct.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <mntent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PARENTS_MAX     8
#define LAUNCHER_CGROUP STEP_CGROUP "-launcher"
#define LOCK_WAIT       10000 /* 所有者が止められていたら諦める [ms] */

/* 使っている階層。v2 では、すべてのコントローラーが同じところを使う */
static struct {
    char parent[PATH_MAX + 32];
    char path[PATH_MAX + 64];
    int lock; /* parent か、cgroup_claim() のあとは path のロック */
} used[PARENTS_MAX];

static bool has_left_top; /* v2 で、自分の cgroup から枝に移ったか */

/* この行が controller の階層なら、そのバージョンを返す。違えば 0。v2 には名前を
 * 書いたマウントがないので、cgroup.controllers を読む */
static int version_of(const struct mntent *mount, const char *controller)
{
    char list[256];

    if (strcmp(mount->mnt_type, "cgroup") == 0)
        return has_word(mount->mnt_opts, controller) ? 1 : 0;
    if (strcmp(mount->mnt_type, "cgroup2") == 0 &&
        read_text(path_of("%s/cgroup.controllers", mount->mnt_dir), list,
                  sizeof(list)))
        return has_word(list, controller) ? 2 : 0;
    return 0;
}

/* 自分のいる cgroup を path に足す。一番上に書けないユーザーでも、systemd から
 * 委譲された cgroup の中なら作れる。/proc/PID/cgroup は cgroups(7) */
static void append_own_cgroup(struct cgroup *group, const char *controller)
{
    char line[PATH_MAX];
    FILE *file = fopen("/proc/self/cgroup", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *list = strchr(line, ':') + 1;
        char *path = strchr(list, ':');
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (group->version == 2 ? *list == '\0' : has_word(list, controller)) {
            char *leaf = strstr(path, "/" LAUNCHER_CGROUP);
            if (leaf != NULL)
                *leaf = '\0';
            size_t length = strlen(group->top);
            snprintf(group->top + length, sizeof(group->top) - length, "%s",
                     strcmp(path, "/") == 0 ? "" : path);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

/* v2 では、プロセスのいる cgroup は下でコントローラーを有効にできない
 * (ツリーの根は別)。いるのが自分だけなら、下に移ればよい。ほかのプロセスは
 * 動かさず、EBUSY で終わる。書いてみて確かめると、"+cpu" は成功してしまい、
 * その cgroup は "domain threaded" に変わる。
 * cgroups(7) の "no internal processes" */
static void leave_top(const struct cgroup *group)
{
    FILE *procs = fopen(path_of("%s/cgroup.procs", group->top), "re");
    bool inside = false;
    int pid;

    while (procs != NULL && fscanf(procs, "%d", &pid) == 1) {
        inside = true;
        if (pid != getpid()) {
            errno = EBUSY;
            die("write %s/cgroup.subtree_control", group->top);
        }
    }
    if (procs != NULL)
        fclose(procs);
    if (!inside)
        return;
    const char *leaf = path_of("%s/" LAUNCHER_CGROUP, group->top);
    if (mkdir(leaf, CGROUP_MODE) == -1 && errno != EEXIST)
        die("mkdir %s", leaf);
    has_left_top = true;
    write_file(path_of("%s/" LAUNCHER_CGROUP "/cgroup.procs", group->top), "0");
}

static void find_hierarchy(struct cgroup *group, const char *controller)
{
    struct mntent *mount;
    FILE *mounts = setmntent("/proc/self/mounts", "re");

    group->version = 0;
    if (mounts == NULL)
        die("open /proc/self/mounts");
    while (group->version == 0 && (mount = getmntent(mounts)) != NULL) {
        group->version = version_of(mount, controller);
        snprintf(group->top, sizeof(group->top), "%s", mount->mnt_dir);
    }
    /* getmntent(3) は、読めなかったことと終わりを、同じ NULL で返す */
    if (group->version == 0 && ferror(mounts))
        die("read /proc/self/mounts");
    endmntent(mounts);
    if (group->version == 0) {
        errno = ENOENT;
        die("controller %s", controller);
    }
    if (access(group->top, W_OK) == -1 && errno == EACCES)
        append_own_cgroup(group, controller);
    /* cgroup.type がないのは、本物の木の根だけ */
    if (group->version == 2 && access(group->top, W_OK) == 0 &&
        access(path_of("%s/cgroup.type", group->top), F_OK) == 0)
        leave_top(group);
}

/* 待っているあいだに終わるように言われたら、そのシグナル。無視するシグナルも、
 * ブロックしているあいだは捨てられずにたまる。sigpending(2) */
static int stop_signal(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    struct sigaction action;
    sigset_t pending;

    sigpending(&pending);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigismember(&pending, signals[i]) == 1 &&
            sigaction(signals[i], NULL, &action) == 0 &&
            action.sa_handler != SIG_IGN)
            return signals[i];
    return 0;
}

/* ロックを待つのは、ふつうは 1 ミリ秒もない。待つあいだのシグナルには従う
 * (EINTR)。flock(2) */
static bool wait_lock(int fd, int milliseconds)
{
    struct timespec interval = {.tv_nsec = 1000 * 1000};

    for (int i = 0; i < milliseconds; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return false;
        if (stop_signal() != 0) {
            errno = EINTR;
            return false;
        }
        nanosleep(&interval, NULL);
    }
    return false;
}

/* path を開いてロックを取得する。失敗なら -1。目印がなければ EEXIST、
 * 待つあいだに消されたか、作り直されていたら ENOENT */
static int open_locked(const char *path, int milliseconds)
{
    struct stat opened, named;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd == -1)
        return -1;
    if (wait_lock(fd, milliseconds) && fstat(fd, &opened) == 0 &&
        stat(path, &named) == 0) {
        if (opened.st_ino != named.st_ino)
            errno = ENOENT;
        else if (!(opened.st_mode & S_ISVTX))
            errno = EEXIST;
        else
            return fd;
    }
    int error = errno;
    close(fd); /* ロックを持ったまま後始末に入ると、自分を待ってしまう */
    errno = error;
    return -1;
}

/* parent を作ってロックを取得する。誰かが消すのとすれ違ったら、作り直す */
static int lock_parent(const char *path)
{
    int fd;

    do {
        if (mkdir(path, CGROUP_MODE) == -1 && errno != EEXIST)
            die("mkdir %s", path);
        fd = open_locked(path, LOCK_WAIT);
    } while (fd == -1 && errno == ENOENT);
    if (fd == -1 && errno == EINTR)
        exit(128 + stop_signal());
    /* 使えないものがもうある。ほかのプログラムか、その他のユーザーのもの */
    bool taken = errno == EEXIST || errno == EACCES;
    if (fd == -1)
        die(taken ? "mkdir %s" : "flock %s", path);
    return fd;
}

/* group に残ったプロセスを終わらせる。いなければ false。CPU の割り当てを
 * 使い切ると、死ぬのも次の周期を待つので、先に制限を外す。別の PID 名前空間の
 * ものは 0 に見え、cgroup.kill (v2、Linux 5.14 から) でしか殺せない。
 * cgroups(7) */
static bool kill_processes(const char *group)
{
    bool found = false;
    int pid;
    FILE *procs = fopen(path_of("%s/cgroup.procs", group), "re");

    try_write(path_of("%s/cpu.max", group), "max");
    try_write(path_of("%s/cpu.cfs_quota_us", group), "-1");
    try_write(path_of("%s/cgroup.kill", group), "1");
    while (procs != NULL && fscanf(procs, "%d", &pid) == 1)
        if (pid > 0) /* 0 は、自分のプロセスグループのこと。kill(2) */
            found |= kill(pid, SIGKILL) == 0;
    if (procs != NULL)
        fclose(procs);
    return found;
}

/* ランチャーが突然死んで残った cgroup を、残ったプロセスごと消す。PID 1 は、
 * 親の死を知らせるシグナルを断れるので、まだ動いていることもある。prctl(2) */
static void remove_stale_group(const char *path)
{
    struct timespec interval = {.tv_nsec = 1000 * 1000};

    /* 誰もいないのに消せないなら、その他のユーザーが下に cgroup を作っている */
    for (int i = 0, empty = 0; i < 1000 && empty < 10; i++) {
        if (rmdir(path) == 0)
            return;
        empty = kill_processes(path) ? 0 : empty + 1;
        nanosleep(&interval, NULL);
    }
}

/* 生きているランチャーは、自分の cgroup のロックを持っている。
 * PID は使い回されるので、名前の PID が生きているかどうかでは決められない */
static void remove_stale(const char *parent)
{
    struct dirent *entry;
    struct stat found;
    char path[PATH_MAX + 512];
    DIR *dir = opendir(parent);

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (atoi(entry->d_name) <= 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd == -1)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &found) == 0 &&
            (found.st_mode & S_ISVTX))
            remove_stale_group(path);
        close(fd);
    }
    if (dir != NULL)
        closedir(dir);
}

/* 使われていない名前を選ぶ。別の PID 名前空間のランチャーとは、PID が重なる
 * ことがある。ロックがあるので、選んでから作るまでに取られることはない */
static void choose_name(char *path, const char *parent)
{
    sprintf(path, "%s/%d", parent, getpid());
    for (unsigned n = 2; access(path, F_OK) == 0; n++)
        sprintf(path, "%s/%d-%u", parent, getpid(), n);
}

/* 上の cgroup がまだ有効にしていないコントローラーなら、あとで無効に戻すための
 * 印を残す。名前が、そのまま subtree_control に書くものになる。cgroups(7) */
static void remember_disabled(const struct cgroup *group,
                              const char *controller)
{
    char enabled[256];
    const char *file = path_of("%s/cgroup.subtree_control", group->top);

    if (!read_text(file, enabled, sizeof(enabled)))
        die("read %s", file);
    if (has_word(enabled, controller))
        return;
    const char *mark = path_of("%s/-%s", group->parent, controller);
    if (mkdir(mark, CGROUP_MODE) == -1 && errno != EEXIST)
        die("mkdir %s", mark);
}

void cgroup_find(struct cgroup *group, const char *controller)
{
    size_t i = 0;

    find_hierarchy(group, controller);
    snprintf(group->parent, sizeof(group->parent), "%s/" STEP_CGROUP,
             group->top);

    while (i < PARENTS_MAX - 1 && used[i].lock != 0 &&
           strcmp(used[i].parent, group->parent) != 0)
        i++;
    group->is_first = used[i].lock == 0;
    if (group->is_first) {
        strcpy(used[i].parent, group->parent);
        used[i].lock = lock_parent(group->parent);
        remove_stale(group->parent);
        choose_name(used[i].path, group->parent);
    }
    strcpy(group->path, used[i].path);
    if (group->version == 2)
        remember_disabled(group, controller);
}

void cgroup_claim(void)
{
    for (size_t i = 0; i < PARENTS_MAX; i++) {
        if (used[i].lock == 0)
            continue;
        int fd = open(used[i].path, O_RDONLY | O_CLOEXEC);
        if (fd == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1)
            die("flock %s", used[i].path);
        close(used[i].lock);
        used[i].lock = fd;
    }
}

/* 片付けられなかったことを、黙っていない。コマンドはもう終わっているので、
 * 終了ステータスは変えない。残ったものは、次のランチャーが片付ける */
static void tell_left(const char *what, const char *path)
{
    print_error("%s %s: %s", what, path, strerror(errno));
}

/* 最後のプロセスが終わった直後は、まだ EBUSY のことがある。cgroups(7) */
static void remove_group(const char *path)
{
    struct timespec interval = {.tv_nsec = 1000 * 1000};

    for (int i = 0; i < 1000; i++) {
        if (rmdir(path) == 0 || errno == ENOENT)
            return;
        nanosleep(&interval, NULL);
    }
    tell_left("rmdir", path);
}

/* parent の下で、次のディレクトリの名前を返す。marks なら '-' で始まる印だけ、
 * そうでなければ、印でないものだけ。終わりなら NULL */
static const char *next_dir(DIR *dir, bool marks)
{
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            (entry->d_name[0] == '-') == marks)
            return entry->d_name;
    return NULL;
}

/* 隣の cgroup が、mark ("-cpu" など) のコントローラーで何かを制限しているか。
 * 制限のない cpu.max は "max" で始まり、cpuset.cpus は空。cgroups(7) */
static bool is_used(const char *top, const char *mark)
{
    const char *file = strcmp(mark, "-cpuset") == 0 ? "cpus" : "max";
    char value[64];
    bool used = false;
    glob_t found;

    if (glob(path_of("%s/*/%s.%s", top, mark + 1, file), 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++)
        used |= read_text(found.gl_pathv[i], value, sizeof(value)) &&
                strchr("m\n", value[0]) == NULL;
    globfree(&found);
    return used;
}

/* 最後のランチャーなら、有効にしたコントローラーを無効に戻す。そのあいだに
 * その他のユーザーが隣で制限に使っていれば、有効なまま残す。隣がさらに下で
 * 有効にしていれば EBUSY になり、やはり残る。systemd(1) も、要らなくなれば
 * 無効に戻す */
static void disable_controllers(const struct cgroup *group)
{
    const char *name;
    DIR *dir = opendir(group->parent);

    if (next_dir(dir, false) == NULL && dir != NULL) {
        rewinddir(dir);
        while ((name = next_dir(dir, true)) != NULL) {
            try_write(path_of("%s/cgroup.subtree_control", group->parent),
                      name);
            if (!is_used(group->top, name))
                try_write(path_of("%s/cgroup.subtree_control", group->top),
                          name);
            rmdir(path_of("%s/%s", group->parent, name));
        }
    }
    if (dir != NULL)
        closedir(dir);
}

/* parent も、誰も使っていなければ消す。ほかのランチャーの cgroup があれば
 * EBUSY になる。それは失敗ではない */
static void remove_parent(const struct cgroup *group, int milliseconds)
{
    int fd = open_locked(group->parent, milliseconds);

    if (fd == -1) {
        if (errno != ENOENT && errno != EEXIST && milliseconds > 1)
            tell_left("flock", group->parent);
        return;
    }
    if (group->version == 2)
        disable_controllers(group);
    rmdir(group->parent); /* 所有者が違えば EACCES。それも失敗ではない */
    if (has_left_top) {
        try_write(path_of("%s/cgroup.procs", group->top), "0");
        rmdir(path_of("%s/" LAUNCHER_CGROUP, group->top));
    }
    close(fd);
}

void cgroup_remove(const struct cgroup *group)
{
    bool was_locked = false;
    struct stat found;

    if (!group->is_first)
        return;
    /* ロックは、消し終えるまで持つ。先に解放すると、同じ PID を持つ、
     * 別の PID 名前空間のランチャーが同じ名前で作り直し、それを消してしまう */
    for (size_t i = 0; i < PARENTS_MAX; i++) {
        if (used[i].lock == 0 || strcmp(used[i].path, group->path) != 0)
            continue;
        if (stat(group->path, &found) == -1) {
            if (errno != ENOENT)
                tell_left("stat", group->path);
        } else if (found.st_mode & S_ISVTX) {
            remove_group(group->path);
        }
        close(used[i].lock);
        used[i].lock = 0;
        was_locked = true;
    }
    /* ロックを取得できずに終わるのなら、もう一度は待たない */
    remove_parent(group, was_locked ? LOCK_WAIT : 1);
}

void cgroup_set(const struct cgroup *group, const char *file,
                const char *format, ...)
{
    char wanted[256], actual[256] = "", path[PATH_MAX + 256];
    va_list args;

    va_start(args, format);
    vsnprintf(wanted, sizeof(wanted), format, args);
    va_end(args);
    snprintf(path, sizeof(path), "%s/%s", group->path, file);
    write_file(path, "%s", wanted);
    if (!read_text(path, actual, sizeof(actual)))
        die("read %s", path);
    actual[strcspn(actual, "\n")] = '\0';
    if (strcmp(wanted, actual) == 0)
        return;
    errno = EINVAL;
    die("write %s (%s, not %s)", path, actual, wanted);
}

void cgroup_inherit(const struct cgroup *group, const char *file)
{
    char top[256] = "", value[256] = "";
    const char *const dirs[] = {group->parent, group->path};

    if (!read_text(path_of("%s/%s", group->top, file), top, sizeof(top)))
        die("read %s/%s", group->top, file);
    for (size_t i = 0; i < 2; i++)
        if (read_text(path_of("%s/%s", dirs[i], file), value, sizeof(value)) &&
            (value[0] == '\n' || value[0] == '\0'))
            write_file(path_of("%s/%s", dirs[i], file), "%s", top);
}
