/* cgroup.c - コントローラーを探す。約束ごとは cgroup.h に書いてある */
#define _GNU_SOURCE
#include "cgroup.h"

#include "ct.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
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

/* 使っている階層。v2 では、すべてのコントローラーが同じところを使う */
static struct {
    char parent[PATH_MAX + 32];
    char path[PATH_MAX + 64];
    int lock; /* parent か、cgroup_claim() のあとは path の鍵 */
} used[PARENTS_MAX];

/* 空白かコンマで区切った list に word があるか */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (; *list != '\0'; list += strspn(list, " ,\n")) {
        size_t next = strcspn(list, " ,\n");
        if (next == length && strncmp(list, word, length) == 0)
            return true;
        list += next;
    }
    return false;
}

static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return false;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length >= 0;
}

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

/* v2 では、プロセスのいる cgroup は下にコントローラーを配れない。委譲された
 * cgroup にいるのが自分だけなら、自分が枝に移れば配れるようになる。他人がいれ
 * ば EBUSY になり、それは動かさない。cgroups(7) の "no internal processes" */
static void leave_top(const struct cgroup *group)
{
    const char *leaf = path_of("%s/" LAUNCHER_CGROUP, group->top);

    if (mkdir(leaf, CGROUP_MODE) == -1 && errno != EEXIST)
        die("mkdir %s", leaf);
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
    if (access(group->top, W_OK) == -1 && errno == EACCES) {
        append_own_cgroup(group, controller);
        if (group->version == 2)
            leave_top(group);
    }
}

/* fd が今もこの名前で見えているか。鍵を待つあいだに消されると、別のものになる。
 * そのときも、もうないときも、errno は ENOENT になる */
static bool is_current(int fd, const char *path, struct stat *opened)
{
    struct stat named;

    if (fstat(fd, opened) == -1 || stat(path, &named) == -1)
        return false;
    errno = ENOENT;
    return named.st_ino == opened->st_ino && named.st_dev == opened->st_dev;
}

/* 鍵がかかっているのは、ふつうは 1 ミリ秒もない。持ち主が止められていたら、
 * シグナルを止めたまま待ち続けるわけにはいかないので、10 秒であきらめる。
 * flock(2) */
static bool lock_within_10s(int fd)
{
    struct timespec interval = {.tv_nsec = 1000 * 1000};

    for (int i = 0; i < 10000; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return false;
        nanosleep(&interval, NULL);
    }
    return false;
}

/* fd を閉じてから終わる。鍵を持ったまま後始末に入ると、自分を待ってしまう */
static _Noreturn void give_up(int fd, int error, const char *what,
                              const char *path)
{
    close(fd);
    errno = error;
    die("%s %s", what, path);
}

/* parent を作って鍵をかける。誰かが消すのとすれ違ったら、作り直す */
static int lock_parent(const char *path)
{
    struct stat found;

    for (;;) {
        if (mkdir(path, CGROUP_MODE) == -1 && errno != EEXIST)
            die("mkdir %s", path);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd == -1 && errno == ENOENT)
            continue;
        if (fd == -1)
            die("open %s", path);
        if (!lock_within_10s(fd))
            give_up(fd, errno, "flock", path);
        if (!is_current(fd, path, &found)) {
            if (errno != ENOENT)
                give_up(fd, errno, "stat", path);
            close(fd);
            continue;
        }
        if (found.st_mode & S_ISVTX)
            return fd;
        give_up(fd, EEXIST, "mkdir", path);
    }
}

/* ランチャーが突然死んで残った cgroup を消す。生きているランチャーは鍵をかけ
 * ている。PID は使い回されるので、名前の PID が生きているかどうかでは決められ
 * ない */
static void remove_stale(int parent, const char *path)
{
    struct dirent *entry;
    struct stat found;
    DIR *dir = opendir(path); /* parent を dup(2) すると、鍵まで写る */

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = -1;
        if (atoi(entry->d_name) > 0)
            fd = openat(parent, entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd == -1)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &found) == 0 &&
            (found.st_mode & S_ISVTX))
            unlinkat(parent, entry->d_name, AT_REMOVEDIR);
        close(fd);
    }
    if (dir != NULL)
        closedir(dir);
}

/* 使われていない名前を選ぶ。別の PID 名前空間のランチャーとは、PID が重なること
 * がある。鍵をかけているので、選んでから作るまでに取られることはない */
static void choose_name(char *path, const char *parent)
{
    sprintf(path, "%s/%d", parent, getpid());
    for (unsigned n = 2; access(path, F_OK) == 0; n++)
        sprintf(path, "%s/%d-%u", parent, getpid(), n);
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
        remove_stale(used[i].lock, group->parent);
        choose_name(used[i].path, group->parent);
    }
    strcpy(group->path, used[i].path);
}

void cgroup_claim(void)
{
    for (size_t i = 0; i < PARENTS_MAX; i++) {
        if (used[i].lock == 0)
            continue;
        int fd = open(used[i].path, O_RDONLY | O_CLOEXEC);
        if (fd == -1 || flock(fd, LOCK_EX) == -1)
            die("flock %s", used[i].path); /* parent の鍵は後始末が外す */
        close(used[i].lock);
        used[i].lock = fd;
    }
}

/* 片付けられなかったことを、黙っていない。コマンドはもう終わっているので、終了
 * ステータスは変えない。残ったものは、次のランチャーが片付ける */
static void tell_left(const char *what, const char *path)
{
    dprintf(STDERR_FILENO, "%s: %s %s: %s\n", program_invocation_short_name,
            what, path, strerror(errno));
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

/* parent も、誰も使っていなければ消す。ほかのランチャーの cgroup があれば EBUSY
 * になる。それは失敗ではない */
static void remove_parent(const char *path)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd == -1 && errno != ENOENT)
        tell_left("open", path);
    if (fd == -1)
        return;
    if (!lock_within_10s(fd)) {
        tell_left("flock", path);
    } else if (!is_current(fd, path, &found)) {
        if (errno != ENOENT)
            tell_left("stat", path);
    } else if (found.st_mode & S_ISVTX) {
        rmdir(path); /* ほかの人のものなら EACCES。それも失敗ではない */
    }
    close(fd);
}

void cgroup_remove(const struct cgroup *group)
{
    struct stat found;

    /* 鍵は、消し終えるまで持つ。先に外すと、同じ PID を持つ別の PID 名前空間
     * のランチャーが同じ名前で作り直し、こちらがそれを消してしまう */
    for (size_t i = 0; i < PARENTS_MAX && group->is_first; i++) {
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
    }
    remove_parent(group->parent);
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
