/*
 * key.c - セッションキーリングの鍵
 *
 * 使い方: key add コマンド...  新しいセッションキーリングに鍵を入れ、exec する
 *         key read             鍵の中身か、読めない理由 (errno の名前) を書く
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME "container-steps"

int main(int argc, char *argv[])
{
    char text[64] = "";

    if (argc > 2 && strcmp(argv[1], "add") == 0) {
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) == -1 ||
            syscall(SYS_add_key, "user", NAME, "secret", 6,
                    KEY_SPEC_SESSION_KEYRING) == -1)
            err(1, "add_key");
        execvp(argv[2], argv + 2);
        err(127, "%s", argv[2]);
    }
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING,
                       "user", NAME, 0);
    if (key == -1 ||
        syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof(text) - 1) == -1)
        puts(strerrorname_np(errno));
    else
        puts(text);
    return 0;
}
