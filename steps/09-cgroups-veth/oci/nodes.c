/* nodes.c - コンテナの /dev を作る */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* config-linux.md の Default Devices */
static const struct {
    const char *path;
    int major, minor;
} default_devices[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

/* ユーザー名前空間の中では、ホストのデバイスを bind する (step 07) */
static void make_device(const char *path, mode_t mode, dev_t number, uid_t uid,
                        gid_t gid)
{
    const char *name;
    char plain[PATH_MAX];

    /* 終わりの "/" は、なくても同じ */
    snprintf(plain, sizeof(plain), "%s", path);
    for (size_t end = strlen(plain); end > 1 && plain[end - 1] == '/';)
        plain[--end] = '\0';
    int up = open_parent(plain, &name);
    if (mknodat(up, name, mode, number) == 0) {
        if (fchownat(up, name, uid, gid, AT_SYMLINK_NOFOLLOW) == -1)
            die("chown %s", path);
    } else if (errno == EPERM && !S_ISFIFO(mode)) {
        int target = open_target(path, false, 0);
        if (mount(path, fd_path(target), NULL, MS_BIND, NULL) == -1)
            die("mount %s", path);
        close(target);
    } else if (errno != EEXIST) {
        die("mknod %s", path);
    }
    close(up);
}

static void make_link(const char *to, const char *path)
{
    const char *name;
    int up = open_parent(path, &name);

    if (symlinkat(to, up, name) == -1 && errno != EEXIST)
        die("symlink %s", path);
    close(up);
}

/* bind した /dev は、ホストのものをそのまま見せるということ */
static bool has_host_dev(const cJSON *config)
{
    const cJSON *mount;

    cJSON_ArrayForEach(mount, json_get(config, "mounts"))
        if (read_mount_options(mount).is_bind &&
            strcmp(json_string(mount, "destination"), "/dev") == 0)
            return true;
    return false;
}

void populate_dev(const cJSON *config)
{
    const cJSON *device;

    if (has_host_dev(config))
        return;

    cJSON_ArrayForEach(device, json_get(config, "linux.devices")) {
        const char *path = json_path(device, "path");
        const char *type = json_string(device, "type");
        mode_t kind = type == NULL   ? 0
                      : *type == 'b' ? S_IFBLK
                      : *type == 'p' ? S_IFIFO
                                     : S_IFCHR;
        if (path == NULL || type == NULL || strchr("bcup", *type) == NULL)
            refuse("config.json: linux.devices: path or type is wrong");
        make_device(path, kind | json_uint(device, "fileMode", 0666),
                    makedev(json_uint(device, "major", 0),
                            json_uint(device, "minor", 0)),
                    json_uint(device, "uid", 0), json_uint(device, "gid", 0));
    }
    for (size_t i = 0; i < sizeof(default_devices) / sizeof(default_devices[0]);
         i++)
        make_device(default_devices[i].path, S_IFCHR | 0666,
                    makedev(default_devices[i].major, default_devices[i].minor),
                    0, 0);
    make_link("pts/ptmx", "/dev/ptmx");
    make_link("/proc/self/fd", "/dev/fd");
    make_link("/proc/self/fd/0", "/dev/stdin");
    make_link("/proc/self/fd/1", "/dev/stdout");
    make_link("/proc/self/fd/2", "/dev/stderr");
}
