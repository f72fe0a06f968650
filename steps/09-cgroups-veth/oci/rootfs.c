/* rootfs.c - コンテナのルートの中のパスを、外に出ずにたどる */
#define _GNU_SOURCE
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 40 /* カーネルがたどる数と同じ。path_resolution(7) */

const char *fd_path(int fd)
{
    static char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

static int openat_in_root(int root, const char *path, uint64_t flags,
                          uint64_t resolve)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
    };
    int fd;

    /* 別のところで名前が変わると、EAGAIN でやり直すように言われる */
    do
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
    while (fd == -1 && errno == EAGAIN);
    return fd;
}

int open_in_root(const char *path, uint64_t flags, uint64_t resolve)
{
    return openat_in_root(AT_FDCWD, path, flags, resolve);
}

/* path のディレクトリを開く。なければ作る。行き先のないリンクなら、その行き先を
 * 作る */
static int open_directory(const char *path, uint64_t resolve, int links)
{
    char parent[PATH_MAX], link[PATH_MAX] = "";
    int fd = open_in_root(path, O_PATH | O_DIRECTORY, resolve);

    if (fd != -1 || errno != ENOENT || links == 0)
        return fd;
    snprintf(parent, sizeof(parent), "%s", path);
    for (size_t end = strlen(parent); end > 0 && parent[end - 1] == '/';)
        parent[--end] = '\0';
    char *slash = strrchr(parent, '/');
    const char *name = slash == NULL ? parent : slash + 1;
    if (slash != NULL)
        *slash = '\0';
    int up = open_directory(slash == NULL || *parent == '\0' ? "/" : parent,
                            resolve, links - 1);
    if (up == -1)
        return -1;
    bool is_made = mkdirat(up, name, 0755) == 0;
    if (!is_made && errno == EEXIST &&
        readlinkat(up, name, link, sizeof(link) - 1) > 0) {
        char target[2 * PATH_MAX];
        snprintf(target, sizeof(target), "%s/%s", *link == '/' ? "" : parent,
                 link);
        fd = open_directory(target, resolve, links - 1);
    } else if (is_made || errno == EEXIST || errno == EINVAL) {
        /* up から name を開くと、".." はルートの外にも出る */
        fd = open_in_root(path, O_PATH | O_DIRECTORY, resolve);
    }
    int error = errno;
    close(up);
    errno = error;
    return fd;
}

int open_parent(const char *path, const char **name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL || slash[1] == '\0' || strlen(path) >= sizeof(parent))
        refuse("config.json: not a path of a file: %s", path);
    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    *name = slash + 1;
    int fd = open_directory(*parent == '\0' ? "/" : parent, 0, LINKS_MAX);
    if (fd == -1)
        die("openat2 %s", parent);
    return fd;
}

/* path が行き先のないリンクなら、その行き先に作る */
static void make_file(const char *path, int links)
{
    char link[PATH_MAX] = "", target[2 * PATH_MAX];
    const char *name;
    int up = open_parent(path, &name);
    int made =
        openat(up, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (made == -1 && errno == ELOOP && links > 0 &&
        readlinkat(up, name, link, sizeof(link) - 1) > 0) {
        snprintf(target, sizeof(target), "%.*s%s",
                 *link == '/' ? 0 : (int)(name - path), path, link);
        make_file(target, links - 1);
    } else if (made == -1) {
        die("open %s", path);
    }
    if (made != -1)
        close(made);
    close(up);
}

int open_target(const char *path, bool is_directory, uint64_t resolve)
{
    int fd;

    if (is_directory) {
        fd = open_directory(path, resolve, LINKS_MAX);
    } else {
        fd = open_in_root(path, O_PATH, resolve);
        if (fd == -1 && errno == ENOENT) {
            make_file(path, LINKS_MAX);
            fd = open_in_root(path, O_PATH, resolve);
        }
    }
    if (fd == -1)
        die("openat2 %s", path);
    return fd;
}

/* --- tmpcopyup ------------------------------------------------------------ */

static void copy_file(int from, int to, const char *name,
                      const struct stat *status)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (in == -1 || out == -1)
        die("open %s", name);
    for (off_t left = status->st_size; left > 0;) {
        ssize_t length = sendfile(out, in, NULL, left);
        if (length == -1)
            die("sendfile %s", name);
        if (length == 0)
            break; /* コピーのあいだに短くなった */
        left -= length;
    }
    close(in);
    close(out);
}

static void copy_entry(int from, int to, const char *name)
{
    char link[PATH_MAX] = "";
    struct stat status;

    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) == -1)
        die("stat %s", name);
    if (S_ISDIR(status.st_mode)) {
        int in =
            openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (in == -1 || mkdirat(to, name, 0700) == -1)
            die("mkdir %s", name);
        int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        copy_directory(in, out);
        close(out);
        close(in);
    } else if (S_ISLNK(status.st_mode)) {
        if (readlinkat(from, name, link, sizeof(link) - 1) == -1 ||
            symlinkat(link, to, name) == -1)
            die("symlink %s", name);
    } else if (S_ISREG(status.st_mode)) {
        copy_file(from, to, name, &status);
    } else if (mknodat(to, name, status.st_mode, status.st_rdev) == -1) {
        die("mknod %s", name);
    }
    if (fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) ==
        -1)
        die("chown %s", name);
    if (!S_ISLNK(status.st_mode) &&
        fchmodat(to, name, status.st_mode & 07777, 0) == -1)
        die("chmod %s", name);
}

void copy_directory(int from, int to)
{
    struct dirent *entry;
    DIR *dir = fdopendir(openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    if (dir == NULL)
        die("opendir a directory to copy");
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            copy_entry(from, to, entry->d_name);
    closedir(dir);
}
