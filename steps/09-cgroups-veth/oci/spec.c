/* spec.c - 自分で呼ぶ人のための config.json と、何ができるか (features) */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <unistd.h>

/* 文字列の中の " を書かずに済むように、' で書く */
static const char template[] =
    "{'ociVersion': '" OCI_VERSION
    "',\n"
    "'process': {'terminal': true, 'user': {'uid': 0, 'gid': 0},\n"
    "'args': ['sh'], 'cwd': '/', 'env': ['PATH=/usr/local/sbin:"
    "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],\n"
    "'capabilities': {\n"
    "'bounding': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],\n"
    "'effective': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],\n"
    "'permitted': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']},\n"
    "'rlimits': [{'type': 'RLIMIT_NOFILE', 'hard': 1024, 'soft': 1024}],\n"
    "'noNewPrivileges': true},\n"
    "'root': {'path': 'rootfs', 'readonly': true},\n"
    "'hostname': 'container',\n"
    "'mounts': [\n"
    "{'destination': '/proc', 'type': 'proc', 'source': 'proc'},\n"
    "{'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs',\n"
    "'options': ['nosuid', 'strictatime', 'mode=755', 'size=65536k']},\n"
    "{'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',\n"
    "'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666',\n"
    "'mode=0620', 'gid=5']},\n"
    "{'destination': '/dev/shm', 'type': 'tmpfs', 'source': 'shm',\n"
    "'options': ['nosuid', 'noexec', 'nodev', 'mode=1777',\n"
    "'size=65536k']},\n"
    "{'destination': '/dev/mqueue', 'type': 'mqueue', 'source': 'mqueue',\n"
    "'options': ['nosuid', 'noexec', 'nodev']},\n"
    "{'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs',\n"
    "'options': ['nosuid', 'noexec', 'nodev', 'ro']},\n"
    "{'destination': '/sys/fs/cgroup', 'type': 'cgroup',\n"
    "'source': 'cgroup',\n"
    "'options': ['nosuid', 'noexec', 'nodev', 'relatime', 'ro']}],\n"
    "'linux': {\n"
    "'resources': {'devices': [{'allow': false, 'access': 'rwm'}]},\n"
    "'namespaces': [{'type': 'pid'}, {'type': 'network'}, {'type': 'ipc'},\n"
    "{'type': 'uts'}, {'type': 'mount'}, {'type': 'cgroup'}],\n"
    "'maskedPaths': ['/proc/acpi', '/proc/asound', '/proc/kcore',\n"
    "'/proc/keys', '/proc/latency_stats', '/proc/timer_list',\n"
    "'/proc/timer_stats', '/proc/sched_debug', '/sys/firmware',\n"
    "'/proc/scsi'],\n"
    "'readonlyPaths': ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys',\n"
    "'/proc/sysrq-trigger']}}";

static cJSON *parse_template(void)
{
    char text[sizeof(template)];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = template[i] == '\'' ? '"' : template[i];
    cJSON *json = cJSON_Parse(text);
    if (json == NULL)
        refuse("spec: the template is broken");
    /* v1 では、自分の cgroup のほかも見えるので、分けても隠れない */
    cJSON *list =
        cJSON_GetObjectItem(cJSON_GetObjectItem(json, "linux"), "namespaces");
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == -1)
        cJSON_DeleteItemFromArray(list, cJSON_GetArraySize(list) - 1);
    return json;
}

/* bundle に config.json を置く。もうあれば、上書きしない */
void write_spec(const struct options_oci *opt)
{
    char *text = cJSON_Print(parse_template());

    if (chdir(opt->bundle) == -1)
        die("chdir %s", opt->bundle);
    int fd = open("config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd == -1)
        die("open config.json");
    if (dprintf(fd, "%s\n", text) < 0)
        die("write config.json");
    close(fd);
    free(text);
}

static void add_words(cJSON *to, const char *name, const char *const *words)
{
    cJSON *list = cJSON_AddArrayToObject(to, name);

    for (; *words != NULL; words++)
        cJSON_AddItemToArray(list, cJSON_CreateString(*words));
}

static void add_capabilities(cJSON *to)
{
    cJSON *list = cJSON_AddArrayToObject(to, "capabilities");

    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++) {
        char *name = cap_to_name(cap);
        for (char *c = name; *c != '\0'; c++)
            *c = *c >= 'a' && *c <= 'z' ? *c - 0x20 : *c;
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
        cap_free(name);
    }
}

/* features.md */
void print_features(void)
{
    static const char *const hooks[] = {"prestart",
                                        "createRuntime",
                                        "createContainer",
                                        "startContainer",
                                        "poststart",
                                        "poststop",
                                        NULL};
    static const char *const namespaces[] = {"cgroup",  "ipc", "mount",
                                             "network", "pid", "time",
                                             "user",    "uts", NULL};
    cJSON *out = cJSON_CreateObject();

    cJSON_AddStringToObject(out, "ociVersionMin", "1.0.0");
    cJSON_AddStringToObject(out, "ociVersionMax", OCI_VERSION);
    add_words(out, "hooks", hooks);
    add_mount_words(out);
    cJSON *linux_part = cJSON_AddObjectToObject(out, "linux");
    add_words(linux_part, "namespaces", namespaces);
    add_capabilities(linux_part);
    cJSON *cgroup = cJSON_AddObjectToObject(linux_part, "cgroup");
    cJSON_AddTrueToObject(cgroup, "v1");
    cJSON_AddTrueToObject(cgroup, "v2");
    cJSON_AddTrueToObject(cgroup, "systemd");
    cJSON_AddFalseToObject(cgroup, "systemdUser");
    cJSON *seccomp = cJSON_AddObjectToObject(linux_part, "seccomp");
    cJSON_AddTrueToObject(seccomp, "enabled");
    cJSON *apparmor = cJSON_AddObjectToObject(linux_part, "apparmor");
    cJSON_AddTrueToObject(apparmor, "enabled");
    char *text = cJSON_Print(out);
    puts(text);
    free(text);
    cJSON_Delete(out);
}
