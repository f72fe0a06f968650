/* sync.c - 親と子、create と start をそろえる */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CREATING "creating.sock"
#define CREATED  "start.sock"

struct gate make_gate(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        die("socketpair");
    return (struct gate){.parent = pair[0], .child = pair[1]};
}

struct packet {
    char kind, error;
    int value;
};

/* FAILED と WARNED には、値でなく文が続く */
union message {
    struct packet packet;
    char text[2048];
};

void gate_tell(int fd, enum signal_kind kind, int value)
{
    struct packet packet = {.kind = kind, .value = value};

    /* 相手が死んでいれば、次に待つときに EOF で分かる */
    (void)!send(fd, &packet, sizeof(packet), MSG_NOSIGNAL);
}

/* 1 つ読む。EOF なら 0 */
static ssize_t receive(int fd, union message *in)
{
    ssize_t length;

    do
        length = recv(fd, in->text, sizeof(in->text) - 1, 0);
    while (length == -1 && errno == EINTR);
    if (length == -1 && errno != ECONNRESET)
        die("recv gate");
    in->text[length > 0 ? length : 0] = '\0';
    return length > 0 ? length : 0;
}

int gate_expect(int fd, enum signal_kind kind, bool may_close)
{
    union message in;

    while (receive(fd, &in) > 0) {
        if (in.packet.kind == (char)kind)
            return in.packet.value;
        if (in.packet.kind != WARNED)
            refuse("%s", in.text + 2); /* FAILED */
        warn_log("%s", in.text + 2);
    }
    if (!may_close)
        refuse("the container's process died before it was ready");
    return 0;
}

struct sockaddr_un socket_address(int directory, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s",
                 fd_path(directory), name) >= (int)sizeof(address.sun_path))
        refuse("socket %.100s: the name is too long", name);
    return address;
}

void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

static int make_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd == -1)
        die("socket AF_UNIX");
    return fd;
}

int start_gate_listen(int directory)
{
    struct sockaddr_un address = socket_address(directory, CREATING);
    int fd = make_socket();

    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        die("bind " CREATING);
    if (listen(fd, 1) == -1)
        die("listen " CREATING);
    return fd;
}

void start_gate_ready(int directory)
{
    if (renameat(directory, CREATING, directory, CREATED) == -1)
        die("rename " CREATING);
}

bool start_gate_is_pending(int directory)
{
    return faccessat(directory, CREATING, F_OK, 0) == 0;
}

bool start_gate_exists(int directory)
{
    return faccessat(directory, CREATED, F_OK, 0) == 0;
}

int start_gate_connect(int directory)
{
    struct sockaddr_un address = socket_address(directory, CREATED);
    int fd = make_socket();

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        die("connect " CREATED);
    return fd;
}

void start_gate_forget(int directory)
{
    if (unlinkat(directory, CREATED, 0) == -1 && errno != ENOENT)
        die("unlink " CREATED);
}
