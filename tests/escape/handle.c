/*
 * handle.c - パスでなく、ファイルハンドルで開く (shocker.c の手口)
 *
 * handle show PATH          外で: ハンドルを「種類 16 進」で書く
 * handle open 種類 16進     中で: それを開き、"open" か errno の名前を書く
 * open_by_handle_at(2)
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static union {
    struct file_handle head;
    unsigned char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
} handle;

static int show(const char *path)
{
    int mount;

    handle.head.handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0) == -1)
        err(1, "%s", path);
    printf("%d ", handle.head.handle_type);
    for (unsigned i = 0; i < handle.head.handle_bytes; i++)
        printf("%02x", handle.head.f_handle[i]);
    puts("");
    return 0;
}

static int open_handle(const char *type, const char *hex)
{
    unsigned length = strlen(hex) / 2;

    handle.head.handle_type = atoi(type);
    handle.head.handle_bytes = length;
    for (unsigned i = 0; i < length && i < MAX_HANDLE_SZ; i++)
        sscanf(hex + 2 * i, "%2hhx", &handle.head.f_handle[i]);
    int root = open("/", O_RDONLY | O_DIRECTORY);
    int fd = open_by_handle_at(root, &handle.head, O_RDONLY | O_DIRECTORY);
    puts(fd == -1 ? strerrorname_np(errno) : "open");
    return 0;
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return show(argv[2]);
    if (argc == 4 && strcmp(argv[1], "open") == 0)
        return open_handle(argv[2], argv[3]);
    errx(2, "usage: handle show PATH | handle open TYPE HEX");
}
