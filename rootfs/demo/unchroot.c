/*
 * unchroot: 二重の chroot で、chroot の外へ出る。
 *   使い方: /demo/unchroot [コマンド [引数...]]   (省略すると /bin/sh)
 *   例:     /demo/unchroot ls /
 * chroot だけのコンテナでは、ホストの / が見える。
 * pivot_root で古いルートを外したコンテナでは、同じ手順でも外へ出られない。
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ルートだけを空のディレクトリへ移す。カレントディレクトリは古いルートの
 * まま。 */
static void leave_cwd_outside(void)
{
    char dir[] = "/tmp/unchroot.XXXXXX";

    if (chdir("/") == -1)
        err(1, "chdir /");
    if (mkdtemp(dir) == NULL)
        err(1, "mkdtemp %s", dir);
    /* chroot はカレントディレクトリを変えない。これが穴になる。 chroot(2) */
    if (chroot(dir) == -1) {
        int saved_errno = errno;

        rmdir(dir);
        errno = saved_errno;
        err(1, "chroot %s", dir);
    }
    /* 使用中でも消せる。カレントディレクトリは元の / なので、相対パスで指す。
     * rmdir(2) */
    if (rmdir(dir + 1) == -1)
        warn("rmdir %s", dir + 1);
}

static void stat_dir(const char *path, struct stat *st)
{
    if (stat(path, st) == -1)
        err(1, "stat %s", path);
}

/* 本当のルートでだけ、. と .. は同じ inode になる。 path_resolution(7) */
static int at_top(void)
{
    struct stat here;
    struct stat parent;

    stat_dir(".", &here);
    stat_dir("..", &parent);
    return here.st_dev == parent.st_dev && here.st_ino == parent.st_ino;
}

/* ルートはもう自分の真上にないので、.. を止めるものがない。 */
static void climb_to_top(void)
{
    while (!at_top()) {
        if (chdir("..") == -1)
            err(1, "chdir ..");
    }
    if (chroot(".") == -1)
        err(1, "chroot .");
}

int main(int argc, char *argv[])
{
    char *shell[] = {"/bin/sh", NULL};
    char **command = argc > 1 ? argv + 1 : shell;

    leave_cwd_outside();
    climb_to_top();
    execvp(command[0], command);
    err(errno == ENOENT ? 127 : 126, "execvp %s", command[0]);
}
