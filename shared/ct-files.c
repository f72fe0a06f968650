/* ct-files.c - ファイルに書き、マウントし、ディレクトリに入る */
#define _GNU_SOURCE
#include "ct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

const char *path_of(const char *format, ...)
{
    static char path[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return path;
}

void write_file(const char *path, const char *format, ...)
{
    char text[4096];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if ((size_t)length >= sizeof(text)) {
        errno = E2BIG;
        die("write %s", path);
    }

    /* O_CREAT を付けると、ファイルがないときに EACCES という別の話になる */
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1)
        die("open %s", path);
    if (write(fd, text, length) != length)
        die("write %s", path);
    close(fd);
}

bool has_word(const char *list, const char *word)
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

bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return false;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length >= 0;
}

bool try_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd != -1 && write(fd, text, strlen(text)) != -1;
    int error = errno;

    if (fd != -1)
        close(fd);
    errno = error;
    return ok;
}

/* ディレクトリを開く。途中にシンボリックリンクがあれば ELOOP で終わる。
 * openat2(2) */
static int open_dir(const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_NO_SYMLINKS,
    };
    int dir = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    if (dir == -1)
        die("openat2 %s", path);
    return dir;
}

void mount_dir(const char *source, const char *target, const char *type,
               unsigned long flags, const char *data)
{
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (here == -1)
        die("open .");
    int dir = open_dir(target);
    /* 開いたディレクトリそのものにマウントするので、すり替える隙がない */
    if (fchdir(dir) == -1)
        die("fchdir %s", target);
    if (mount(source, ".", type, flags, data) == -1)
        die("mount %s", target);
    if (fchdir(here) == -1)
        die("fchdir .");
    close(dir);
    close(here);
}

void enter_mount(const char *path)
{
    static const struct {
        const char *path;
        long type;
    } expected[] = {
        {"/proc", PROC_SUPER_MAGIC},
        {"/sys", SYSFS_MAGIC},
        {"dev", TMPFS_MAGIC},
    };
    int dir = open_dir(path);
    struct statfs fs;
    bool right = false;

    if (fstatfs(dir, &fs) == -1)
        die("fstatfs %s", path);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        if (strcmp(expected[i].path, path) == 0)
            right = fs.f_type == expected[i].type;
    errno = EXDEV;
    if (!right)
        die("fstatfs %s", path);
    if (fchdir(dir) == -1)
        die("fchdir %s", path);
    close(dir);
}
