/*
 * swap.c - 2 つの名前を、終わらされるまで入れ替え続ける
 *
 * 使い方: swap A B
 * マウント先のディレクトリ (A) を、調べてから使うまでのあいだに、
 * シンボリックリンク (B) に差し替える。rename(2) の RENAME_EXCHANGE
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    if (argc != 3)
        errx(2, "usage: swap A B");
    for (;;) {
        if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) ==
            -1)
            err(1, "%s", argv[1]);
        /* 入れ替わったままの時間も、いろいろな長さにする */
        usleep(getpid() % 7 * 10);
    }
}
