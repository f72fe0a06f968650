/* config.c - config.json を読む。しないことは、名前を言って断る */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX (16 << 20) /* これより大きなファイルは、設定ではない */

cJSON *json_read(const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    char *text = malloc(CONFIG_MAX + 1);

    if (file == NULL)
        die("open %s", path);
    if (text == NULL)
        die("malloc");
    size_t length = fread(text, 1, CONFIG_MAX, file);
    if (ferror(file))
        die("read %s", path);
    text[length] = '\0';
    if (!is_stdin)
        fclose(file);
    cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
    free(text);
    if (!cJSON_IsObject(json))
        refuse("%s: not a JSON object", path);
    return json;
}

/* config.json は、途中の欄がなければ、その先もない */
const cJSON *json_get(const cJSON *from, const char *path)
{
    char name[64];

    while (from != NULL && *path != '\0') {
        size_t length = strcspn(path, ".");
        snprintf(name, sizeof(name), "%.*s", (int)length, path);
        if (!cJSON_IsObject(from))
            refuse("config.json: %s: its parent is not an object", path);
        from = cJSON_GetObjectItemCaseSensitive(from, name);
        path += length + (path[length] == '.');
    }
    return cJSON_IsNull(from) ? NULL : from;
}

static _Noreturn void wrong_type(const char *path, const char *type)
{
    refuse("config.json: %s: not %s", path, type);
}

const cJSON *json_map(const cJSON *from, const char *path)
{
    const cJSON *item = json_get(from, path);

    if (item != NULL && !cJSON_IsObject(item))
        wrong_type(path, "an object");
    return item;
}

const char *json_string(const cJSON *from, const char *path)
{
    const cJSON *item = json_get(from, path);

    if (item != NULL && !cJSON_IsString(item))
        wrong_type(path, "a string");
    return item == NULL ? NULL : item->valuestring;
}

bool json_bool(const cJSON *from, const char *path)
{
    const cJSON *item = json_get(from, path);

    if (item != NULL && !cJSON_IsBool(item))
        wrong_type(path, "true or false");
    return cJSON_IsTrue(item);
}

/* cJSON の数は double。大きすぎる数は、型の端にとどめる */
long long json_int(const cJSON *from, const char *path, long long fallback)
{
    const cJSON *item = json_get(from, path);

    if (item == NULL)
        return fallback;
    if (!cJSON_IsNumber(item))
        wrong_type(path, "a number");
    if (item->valuedouble >= 0x1p63)
        return LLONG_MAX;
    if (item->valuedouble < -0x1p63)
        return LLONG_MIN;
    return item->valuedouble;
}

unsigned long long json_uint(const cJSON *from, const char *path,
                             unsigned long long fallback)
{
    const cJSON *item = json_get(from, path);

    if (item == NULL)
        return fallback;
    if (!cJSON_IsNumber(item))
        wrong_type(path, "a number");
    if (item->valuedouble < 0)
        wrong_type(path, "a number of 0 or more");
    return item->valuedouble >= 0x1p64 ? UINT64_MAX
                                       : (uint64_t)item->valuedouble;
}

char **json_strings(const cJSON *from, const char *path)
{
    const cJSON *list = json_get(from, path), *item;
    char **strings = calloc(cJSON_GetArraySize(list) + 1, sizeof(*strings));
    size_t n = 0;

    if (strings == NULL)
        die("calloc");
    if (list != NULL && !cJSON_IsArray(list))
        wrong_type(path, "an array");
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item))
            wrong_type(path, "an array of strings");
        strings[n++] = item->valuestring;
    }
    return strings;
}

const char *json_path(const cJSON *from, const char *path)
{
    const char *name = json_string(from, path);

    if (name != NULL && strlen(name) >= PATH_MAX - 256)
        refuse("config.json: %s: too long", path);
    return name;
}

/* bundle からの相対パスは、ルートを移ると使えない */
void json_make_absolute(const cJSON *from, const char *name)
{
    char now[PATH_MAX], absolute[2 * PATH_MAX];
    const char *path = json_path(from, name);

    if (path == NULL || *path == '/')
        return;
    if (getcwd(now, sizeof(now)) == NULL)
        die("getcwd");
    snprintf(absolute, sizeof(absolute), "%s/%s", now, path);
    cJSON_SetValuestring(cJSON_GetObjectItem(from, name), absolute);
}

/* --- しないこと ----------------------------------------------------------- */

/* 空の欄 ("", [], {}, 0, false) は、頼んでいないのと同じ */
static bool is_asked(const cJSON *item)
{
    if (item == NULL || cJSON_IsFalse(item))
        return false;
    if (cJSON_IsString(item))
        return *item->valuestring != '\0';
    if (cJSON_IsNumber(item))
        return item->valuedouble != 0;
    return cJSON_IsBool(item) || item->child != NULL;
}

static void refuse_fields(const cJSON *from, const char *prefix,
                          const char *const *paths)
{
    for (; *paths != NULL; paths++)
        if (is_asked(json_get(from, *paths)))
            refuse("config.json: %s%s: not supported", prefix, *paths);
}

/* 手引きの表にも、同じものがある */
/* clang-format off */
static const char *const not_supported[] = {
    "linux.intelRdt", "linux.memoryPolicy", "linux.netDevices",
    "linux.seccomp.listenerMetadata", "linux.seccomp.listenerPath",
    "freebsd", "solaris", "vm", "windows", "zos", NULL};
/* clang-format on */
static const char *const process_not_supported[] = {"commandLine",
                                                    "execCPUAffinity", NULL};

void check_process(const cJSON *process)
{
    const char *cwd = json_path(process, "cwd");

    refuse_fields(process, "process.", process_not_supported);
    if (cwd == NULL || *cwd != '/')
        refuse("config.json: process.cwd: not an absolute path");
    char **args = json_strings(process, "args");
    if (args[0] == NULL)
        refuse("config.json: process.args: is empty");
    free(args);
}

static void check_hooks(const cJSON *hooks)
{
    const cJSON *list, *hook;

    cJSON_ArrayForEach(list, hooks)
        cJSON_ArrayForEach(hook, list) {
            const char *path = json_path(hook, "path");
            const cJSON *timeout = json_get(hook, "timeout");
            if (path == NULL || *path != '/')
                refuse("config.json: hooks.%s: path is not absolute",
                       list->string);
            if (timeout != NULL && json_int(hook, "timeout", 0) <= 0)
                refuse("config.json: hooks.%s: timeout is not positive",
                       list->string);
        }
}

/* SELinux のないカーネルでは、ラベルは何の働きもしない */
static void check_mount_label(const cJSON *config)
{
    const char *label = json_string(config, "linux.mountLabel");

    if (label == NULL || *label == '\0')
        return;
    if (access("/sys/fs/selinux/enforce", F_OK) == 0)
        refuse("config.json: linux.mountLabel: not supported");
    warn_log("config.json: linux.mountLabel: this kernel has no SELinux");
}

static void check_config(const cJSON *config)
{
    const char *version = json_string(config, "ociVersion");

    if (version == NULL || strncmp(version, "1.", 2) != 0)
        refuse("config.json: ociVersion: not 1.x");
    if (json_path(config, "root.path") == NULL)
        refuse("config.json: root.path: is missing");
    refuse_fields(config, "", not_supported);
    check_mount_label(config);
    if (json_get(config, "process") == NULL)
        refuse("config.json: process: is missing");
    check_process(json_get(config, "process"));
    check_hooks(json_map(config, "hooks"));
}

cJSON *load_config(const char *bundle, const char *file)
{
    if (chdir(bundle) == -1)
        die("chdir %s", bundle);
    cJSON *config = json_read(file);
    check_config(config);
    json_make_absolute(json_get(config, "root"), "path");
    return config;
}
