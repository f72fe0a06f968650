/*
 * descriptors.c - 受け継いだ fd を数え、そこから外のファイルに届くかを試す
 *
 * 使い方: descriptors 目印のパス
 * 3 番以上の fd があれば "fd N"、目印に届いたら "fd N escapes" と書く。
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST 3
#define LAST  4095

/* 何度も ".." をたどれば、その fd の属する木の一番上に着く */
static int escapes(int fd, const char *mark)
{
    char path[4096] = "";

    for (int i = 0; i < 64; i++)
        strcat(path, "../");
    strncat(path, mark + 1, 2048);
    return faccessat(fd, path, F_OK, 0) == 0 ||
           (fchdir(fd) == 0 && access(path, F_OK) == 0);
}

int main(int argc, char *argv[])
{
    if (argc != 2)
        return 2;
    for (int fd = FIRST; fd <= LAST; fd++) {
        if (fcntl(fd, F_GETFD) == -1)
            continue;
        printf("fd %d%s\n", fd, escapes(fd, argv[1]) ? " escapes" : "");
        /* ホストの名前空間のファイルなら、入れるか */
        if (setns(fd, 0) == 0)
            printf("fd %d joins\n", fd);
    }
    puts("done");
    return 0;
}
