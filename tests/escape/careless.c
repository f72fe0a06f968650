/*
 * careless.c - 開いたままのものをたくさん残して、コマンドを exec する呼び出し元
 *
 * 使い方: careless DIR コマンド...
 * 3 番から 20 番まで: / 、DIR 、名前空間のファイル、
 * /proc を代わる代わる開いておく。セッションキーリングには、鍵 escape-suite を
 * 入れておく。
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST 3
#define LAST  20

int main(int argc, char *argv[])
{
    if (argc < 3)
        errx(2, "usage: careless DIR command...");
    const char *const paths[] = {"/", argv[1], "/proc/self/ns/mnt", "/proc"};

    for (int fd = FIRST; fd <= LAST; fd++) {
        int opened = open(paths[fd % 4], O_RDONLY);
        /* O_CLOEXEC なしのコピーを、決まった番号に置く */
        if (opened == -1 || dup2(opened, fd) == -1)
            err(1, "%s", paths[fd % 4]);
        if (opened != fd)
            close(opened);
    }
    /* KEYCTL_JOIN_SESSION_KEYRING, KEY_SPEC_SESSION_KEYRING。
     * 鍵のないカーネルなら、鍵なしで続ける */
    if (syscall(SYS_keyctl, 1, NULL, 0, 0, 0) != -1 &&
        syscall(SYS_add_key, "user", "escape-suite", "secret", 6, -3) == -1)
        err(1, "add_key");
    execvp(argv[2], argv + 2);
    err(127, "%s", argv[2]);
}
