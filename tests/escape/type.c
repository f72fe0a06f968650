/*
 * type - 呼び出し元の端末に、打ったことにする 1 行を入れる。ioctl_tty(2)
 *   type         stdin と、/dev/tty から開いた端末に入れ、2 つの結果を書く
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static void type(const char *name, int fd)
{
    for (const char *c = "typed\n"; *c != '\0'; c++) {
        if (ioctl(fd, TIOCSTI, c) == -1) {
            printf("%s: %s\n", name, strerrorname_np(errno));
            return;
        }
    }
    printf("%s: open\n", name);
}

int main(void)
{
    type("stdin", 0);
    type("/dev/tty", open("/dev/tty", O_RDWR));
    return 0;
}
