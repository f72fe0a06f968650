/* sealed.c - コンテナからは書き換えられない、自分のコピーになる */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* 閉じている 0 から 2 を埋める。空いていると、このあと開くものが stdin などに
 * なる。子を待てるように、SIGCHLD の扱いも戻す */
void prepare_process(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd == -1)
        die("open /dev/null");
    close(fd);
    signal(SIGCHLD, SIG_DFL);
}

static bool is_sealed(int exe)
{
    int seals = fcntl(exe, F_GET_SEALS);

    return seals != -1 && (seals & SEALS) == SEALS;
}

static int copy_sealed(int exe)
{
    struct stat file;
    int copy = memfd_create(RUNTIME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (copy == -1)
        die("memfd_create");
    if (fstat(exe, &file) == -1)
        die("fstat /proc/self/exe");
    for (off_t left = file.st_size; left > 0;) {
        ssize_t length = sendfile(copy, exe, NULL, left);
        if (length <= 0)
            die("sendfile /proc/self/exe");
        left -= length;
    }
    if (fcntl(copy, F_ADD_SEALS, SEALS) == -1)
        die("fcntl F_ADD_SEALS");
    return copy;
}

/* コンテナのプロセスは、入ってきたランタイムの /proc/PID/exe から、ホストの
 * 実行ファイルを開ける。ランタイムが exec して手放したあとで書き換えれば、次に
 * 動くのは、書き換えたもの (CVE-2019-5736)。コピーなら書けず、書けても捨てる */
void run_sealed_copy(char *argv[], unsigned keep)
{
    char name[PATH_MAX] = "";
    int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    if (exe == -1)
        die("open /proc/self/exe");
    /* 同じユーザーのプロセスからも、覗かれないようにする。prctl(2) */
    if (prctl(PR_SET_DUMPABLE, 0) == -1)
        die("prctl PR_SET_DUMPABLE");
    if (!is_sealed(exe)) {
        int copy = copy_sealed(exe);
        close_on_exec(keep); /* 呼び出し元から漏れてきたものも、ここで閉じる */
        if (readlink("/proc/self/exe", name, sizeof(name) - 1) == -1)
            die("readlink /proc/self/exe");
        fexecve(copy, argv, environ);
        die("fexecve %s", name);
    }
    close(exe);
}
