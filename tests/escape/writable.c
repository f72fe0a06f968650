/*
 * writable.c - 書き込みで開けるファイルを、ディレクトリの下からすべて探す
 *
 * 使い方: writable DIR...
 * 開くだけで、何も書かない。プロセスごとのディレクトリ (/proc/PID) は見ない。
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int visit(const char *path, const struct stat *file, int kind,
                 struct FTW *at)
{
    const char *name = path + at->base;

    if (at->level == 1 && *name >= '0' && *name <= '9')
        return FTW_SKIP_SUBTREE;
    if (kind != FTW_F)
        return FTW_CONTINUE;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd == -1)
        return FTW_CONTINUE;
    if (!S_ISCHR(file->st_mode)) /* 上に重ねた /dev/null */
        puts(path);
    close(fd);
    return FTW_CONTINUE;
}

int main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++)
        nftw(argv[i], visit, 64, FTW_PHYS | FTW_ACTIONRETVAL);
    puts("done");
    return 0;
}
