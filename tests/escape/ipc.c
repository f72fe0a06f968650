/*
 * ipc.c - ファイルを通らない通信を、ホストで用意し、コンテナ内から探す
 *
 * ipc hold    外で: 用意して "ready" と書き、終わらされるまで待つ
 * ipc look    中で: 「名前 found」か「名前 absent」を 1 行ずつ書く
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEY  0x45534341
#define NAME "/escape-suite"

/* 抽象ソケット: 名前が '\0' で始まり、ファイルがない。unix(7) */
static const struct sockaddr_un address = {
    .sun_family = AF_UNIX,
    .sun_path = "\0escape-suite",
};
static const socklen_t size =
    offsetof(struct sockaddr_un, sun_path) + sizeof("\0escape-suite") - 1;

static int hold(void)
{
    int server = socket(AF_UNIX, SOCK_STREAM, 0);

    if (bind(server, (const struct sockaddr *)&address, size) == -1 ||
        listen(server, 9) == -1)
        err(1, "socket");
    if (shmget(KEY, 4096, IPC_CREAT | 0666) == -1)
        err(1, "shmget");
    if (semget(KEY, 1, IPC_CREAT | 0666) == -1)
        err(1, "semget");
    if (msgget(KEY, IPC_CREAT | 0666) == -1)
        err(1, "msgget");
    if (mq_open(NAME, O_CREAT | O_RDWR, 0666, NULL) == (mqd_t)-1)
        err(1, "mq_open");
    close(open("/dev/shm" NAME, O_CREAT | O_RDWR, 0666));
    puts("ready");
    fflush(stdout);
    return pause();
}

static void look(const char *name, int result)
{
    printf("%s %s\n", name, result == -1 ? "absent" : "found");
}

int main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "hold") == 0)
        return hold();
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    look("abstract", connect(client, (const struct sockaddr *)&address, size));
    look("shm", shmget(KEY, 0, 0));
    look("sem", semget(KEY, 0, 0));
    look("msg", msgget(KEY, 0));
    look("mqueue", mq_open(NAME, O_RDONLY));
    look("/dev/shm", access("/dev/shm" NAME, F_OK));
    return 0;
}
