/* names.c - 名前空間ごとにある、名前と設定と時刻 */
#define _GNU_SOURCE
#include "oci.h"

#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* 同じ名前空間は、同じ inode になる。namespaces(7) */
bool is_own_namespace(const char *path, const char *proc_name)
{
    struct stat one, own;

    return path != NULL && stat(path, &one) == 0 &&
           stat(path_of("/proc/self/ns/%s", proc_name), &own) == 0 &&
           one.st_dev == own.st_dev && one.st_ino == own.st_ino;
}

uint64_t different_namespaces(pid_t pid)
{
    uint64_t flags = 0;
    char path[64];

    for (int i = 0; i < KINDS; i++) {
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kinds[i].proc_name);
        if (access(path, F_OK) == 0 &&
            !is_own_namespace(path, kinds[i].proc_name))
            flags |= kinds[i].flag;
    }
    return flags;
}

void enter_root_of(pid_t pid)
{
    const char *root = path_of("/proc/%d/root", pid);

    if (chroot(root) == -1)
        die("chroot %s", root);
    if (chdir("/") == -1)
        die("chdir /");
}

void set_names(const cJSON *config, uint64_t namespaces)
{
    const char *host = json_string(config, "hostname");
    const char *domain = json_string(config, "domainname");
    const cJSON *same = cJSON_GetObjectItemCaseSensitive(
        json_map(config, "linux.sysctl"), "kernel.domainname");

    if ((host != NULL || domain != NULL) && !(namespaces & CLONE_NEWUTS))
        refuse("config.json: hostname: needs a UTS namespace");
    if (domain != NULL && same != NULL && cJSON_IsString(same) &&
        strcmp(same->valuestring, domain) != 0)
        refuse(
            "config.json: linux.sysctl: kernel.domainname is not domainname");
    if (host != NULL && sethostname(host, strlen(host)) == -1)
        die("sethostname %s", host);
    if (domain != NULL && setdomainname(domain, strlen(domain)) == -1)
        die("setdomainname %s", domain);
}

/* 名前空間ごとにあるものだけ。ほかは、ホストの設定を変えてしまう */
void set_sysctls(const cJSON *config, uint64_t namespaces)
{
    static const struct {
        const char *prefix;
        uint64_t flag;
    } separate[] = {
        {"net.", CLONE_NEWNET},       {"fs.mqueue.", CLONE_NEWIPC},
        {"kernel.msg", CLONE_NEWIPC}, {"kernel.sem", CLONE_NEWIPC},
        {"kernel.shm", CLONE_NEWIPC}, {"kernel.domainname", CLONE_NEWUTS},
    };
    const cJSON *entry;

    cJSON_ArrayForEach(entry, json_map(config, "linux.sysctl")) {
        char path[256];
        bool is_separate = false;
        for (size_t i = 0; i < sizeof(separate) / sizeof(separate[0]); i++)
            is_separate |= namespaces & separate[i].flag &&
                           strncmp(entry->string, separate[i].prefix,
                                   strlen(separate[i].prefix)) == 0;
        if (!is_separate || strstr(entry->string, "..") != NULL ||
            !cJSON_IsString(entry))
            refuse(
                "config.json: linux.sysctl: %s is not in a namespace of "
                "the container",
                entry->string);
        snprintf(path, sizeof(path), "/proc/sys/%s", entry->string);
        for (char *c = path; *c != '\0'; c++)
            *c = *c == '.' ? '/' : *c;
        write_file(path, "%s", entry->valuestring);
    }
}

/* 起動からの時間をずらせるのは、誰もその名前空間に入らないうちだけ。
 * time_namespaces(7) */
void new_time_namespace(const cJSON *config)
{
    const cJSON *offset;

    if (unshare(CLONE_NEWTIME) == -1)
        die("unshare CLONE_NEWTIME");
    cJSON_ArrayForEach(offset, json_map(config, "linux.timeOffsets"))
        write_file("/proc/self/timens_offsets", "%s %lld %lld\n",
                   offset->string, json_int(offset, "secs", 0),
                   json_int(offset, "nanosecs", 0));
}

static void write_map(pid_t pid, const char *kind, const cJSON *maps)
{
    char text[4096] = "";
    size_t length = 0;
    const cJSON *map;

    cJSON_ArrayForEach(map, maps) {
        length +=
            snprintf(text + length, sizeof(text) - length, "%llu %llu %llu\n",
                     json_uint(map, "containerID", 0),
                     json_uint(map, "hostID", 0), json_uint(map, "size", 0));
        if (length >= sizeof(text))
            refuse("config.json: %sMappings: too many", kind);
    }
    write_file(path_of("/proc/%d/%s_map", pid, kind), "%s", text);
}

void write_mappings(pid_t pid, const cJSON *from)
{
    write_map(pid, "uid", json_get(from, "uidMappings"));
    write_map(pid, "gid", json_get(from, "gidMappings"));
}

void raise_loopback(void)
{
    struct ifreq link = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd == -1)
        die("socket AF_INET");
    if (ioctl(fd, SIOCGIFFLAGS, &link) == -1)
        die("ioctl SIOCGIFFLAGS lo");
    link.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &link) == -1)
        die("ioctl SIOCSIFFLAGS lo");
    close(fd);
}
