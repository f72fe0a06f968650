/*
 * overwrite.c - 開いたままのランチャーのファイル (fd 9) を書き換えようとする
 *
 * 最初の結果を書き、あとは終わらされるまで、書き込みで開けるかを試し続ける。
 * 開けたら /opened を作る (ファイルの中身は変えない)。
 * /survive があれば、ランチャーが死んでも生き残る。
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/proc/self/fd/9"

static int try_to_open(void)
{
    int fd = open(PATH, O_WRONLY);

    if (fd == -1)
        return errno;
    close(fd);
    return 0;
}

int main(void)
{
    struct stat file;
    char magic[4];
    int error = try_to_open();

    if (access("/survive", F_OK) == 0)
        prctl(PR_SET_PDEATHSIG, 0);
    printf("write: %s\n", error ? strerror(error) : "open");
    printf("chmod: %s\n",
           fstat(9, &file) == 0 && chmod(PATH, file.st_mode & 07777) == 0
               ? "open"
               : strerror(errno));
    printf("elf: %d\n", pread(9, magic, 4, 0) == 4 && magic[1] == 'E');
    fflush(stdout);
    while (error != 0)
        error = try_to_open();
    close(open("/opened", O_CREAT | O_WRONLY, 0666));
    return 0;
}
