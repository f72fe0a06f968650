/* state.c - コンテナの状態を、ディレクトリ 1 つに置く */
#define _GNU_SOURCE
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_CHARACTERS \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."
#define ID_MAX    1024
#define LOCK_WAIT 10000 /* ほかのコマンドが終わるのを待つ [ms] */

/* id はパスの一部になる。"../etc" などを通さない */
static void check_id(const char *id)
{
    if (*id == '\0' || *id == '.' || strlen(id) > ID_MAX ||
        id[strspn(id, ID_CHARACTERS)] != '\0')
        refuse("invalid id format: %.100s", id);
}

/* --root は、何段も先まで、まだないことがある */
static void make_root(const char *path)
{
    char part[PATH_MAX];

    if (snprintf(part, sizeof(part), "%s/", path) >= (int)sizeof(part))
        refuse("--root: too long");
    for (char *slash = strchr(part + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0711) == -1 && errno != EEXIST)
            die("mkdir %s", part);
        *slash = '/';
    }
}

static int open_root(const struct options_oci *opt)
{
    return open(opt->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_state(const struct options_oci *opt)
{
    int root = open_root(opt);
    int fd =
        openat(root, opt->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;

    close(root);
    errno = error;
    return fd;
}

static void lock_state(int fd)
{
    for (int i = 0; i < LOCK_WAIT; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return;
        pause_briefly();
    }
    die("flock the state directory");
}

void container_unlock(const struct container *box)
{
    if (flock(box->directory, LOCK_UN) == -1)
        die("flock the state directory");
}

static void write_json(int directory, const char *name, const cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    int fd = openat(directory, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                    0600);

    if (fd == -1)
        die("open %s", name);
    if (dprintf(fd, "%s\n", text) < 0)
        die("write %s", name);
    close(fd);
    free(text);
    if (renameat(directory, ".new", directory, name) == -1)
        die("rename %s", name);
}

static cJSON *read_json(int directory, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, name);
    if (access(path, F_OK) == -1)
        return NULL; /* create が、途中で突然終わった */
    return json_read(path);
}

struct container container_create(const struct options_oci *opt, cJSON *config)
{
    struct container box = {.id = opt->id, .root = opt->root, .config = config};
    char bundle[PATH_MAX];

    check_id(opt->id);
    make_root(opt->root);
    int root = open_root(opt);
    if (root == -1)
        die("open %s", opt->root);
    if (mkdirat(root, opt->id, 0711) == -1) {
        if (errno == EEXIST)
            refuse("container with given ID already exists: %s", opt->id);
        die("mkdir %s/%s", opt->root, opt->id);
    }
    close(root);
    box.directory = open_state(opt);
    if (box.directory == -1)
        die("open %s/%s", opt->root, opt->id);
    lock_state(box.directory);
    if (getcwd(bundle, sizeof(bundle)) == NULL)
        die("getcwd");
    box.state = cJSON_CreateObject();
    cJSON_AddStringToObject(box.state, "bundle", bundle);
    cJSON_AddStringToObject(box.state, "created", time_now());
    cJSON_AddNumberToObject(box.state, "pid", 0);
    cJSON_AddNumberToObject(box.state, "startTime", 0);
    cJSON_AddArrayToObject(box.state, "cgroups");
    write_json(box.directory, "config.json", config);
    container_save(&box);
    return box;
}

bool container_exists(const struct options_oci *opt)
{
    check_id(opt->id);
    int fd = open_state(opt);
    if (fd != -1)
        close(fd);
    return fd != -1;
}

struct container container_load(const struct options_oci *opt, bool lock)
{
    struct container box = {.id = opt->id, .root = opt->root};

    check_id(opt->id);
    box.directory = open_state(opt);
    if (box.directory == -1 && errno == ENOENT)
        refuse("container does not exist: %s", opt->id);
    if (box.directory == -1)
        die("open %s/%s", opt->root, opt->id);
    if (lock)
        lock_state(box.directory);
    box.state = read_json(box.directory, "state.json");
    box.config = read_json(box.directory, "config.json");
    if (box.state == NULL)
        box.state = cJSON_CreateObject();
    if (box.config == NULL)
        box.config = cJSON_CreateObject();
    return box;
}

void container_save(const struct container *box)
{
    write_json(box->directory, "state.json", box->state);
}

/* --- プロセス ------------------------------------------------------------- */

/* 始まった時刻 (22 番目)。PID は使い回されるので、PID だけでは決められない。
 * 終わっていれば 0。名前には空白も ')' も入るので、後ろから探す。
 * proc_pid_stat(5) */
static unsigned long long start_time_of(pid_t pid)
{
    char text[1024];
    unsigned long long time = 0;
    char state = 'X';
    FILE *file = fopen(path_of("/proc/%d/stat", pid), "re");

    if (file == NULL)
        return 0;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    const char *rest = strrchr(text, ')');
    if (rest != NULL)
        sscanf(rest + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
               "%*d %*d %*d %*d %llu",
               &state, &time);
    return state == 'Z' || state == 'X' ? 0 : time;
}

void container_set_pid(struct container *box, pid_t pid)
{
    cJSON_SetNumberValue(cJSON_GetObjectItem(box->state, "pid"), pid);
    cJSON_SetNumberValue(cJSON_GetObjectItem(box->state, "startTime"),
                         (double)start_time_of(pid));
    container_save(box);
}

pid_t container_pid(const struct container *box)
{
    pid_t pid = json_int(box->state, "pid", 0);
    unsigned long long time = json_uint(box->state, "startTime", 0);

    return pid > 0 && time != 0 && start_time_of(pid) == time ? pid : 0;
}

const char *container_status(const struct container *box)
{
    if (container_pid(box) == 0)
        return "stopped";
    if (start_gate_is_pending(box->directory))
        return "creating";
    if (cgroups_is_frozen(box))
        return "paused";
    return start_gate_exists(box->directory) ? "created" : "running";
}

/* --- 出力 ----------------------------------------------------------------- */

static void add_copy(cJSON *to, const char *name, const cJSON *value)
{
    if (value != NULL)
        cJSON_AddItemToObject(to, name, cJSON_Duplicate(value, true));
}

cJSON *container_state(const struct container *box, const char *status)
{
    cJSON *out = cJSON_CreateObject();
    const char *bundle = json_string(box->state, "bundle");
    const char *rootfs = json_string(box->config, "root.path");

    cJSON_AddStringToObject(out, "ociVersion", OCI_VERSION);
    cJSON_AddStringToObject(out, "id", box->id);
    cJSON_AddStringToObject(out, "status", status);
    cJSON_AddNumberToObject(out, "pid",
                            strcmp(status, "stopped") == 0
                                ? 0
                                : (double)json_int(box->state, "pid", 0));
    cJSON_AddStringToObject(out, "bundle", bundle == NULL ? "" : bundle);
    if (rootfs != NULL && bundle != NULL)
        cJSON_AddStringToObject(
            out, "rootfs",
            *rootfs == '/' ? rootfs : path_of("%s/%s", bundle, rootfs));
    add_copy(out, "created", json_get(box->state, "created"));
    add_copy(out, "annotations", json_get(box->config, "annotations"));
    cJSON_AddStringToObject(out, "owner", "");
    return out;
}

static void print_row(const cJSON *row)
{
    printf("%-11s %-11d %-11s %s  %s\n", json_string(row, "id"),
           (int)json_int(row, "pid", 0), json_string(row, "status"),
           json_string(row, "bundle"), json_string(row, "created"));
}

void list_containers(const struct options_oci *opt)
{
    struct options_oci one = *opt;
    struct dirent **entries = NULL;
    bool json = opt->format != NULL && strcmp(opt->format, "json") == 0;
    cJSON *rows = cJSON_CreateArray(), *row;
    int n = scandir(opt->root, &entries, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        one.id = entries[i]->d_name;
        if (*one.id == '.' || !container_exists(&one))
            continue;
        struct container box = container_load(&one, false);
        cJSON_AddItemToArray(rows,
                             container_state(&box, container_status(&box)));
        close(box.directory);
    }
    if (json) {
        puts(cJSON_PrintUnformatted(rows));
        return;
    }
    if (!opt->quiet)
        printf("%-11s %-11s %-11s %s  %s\n", "ID", "PID", "STATUS", "BUNDLE",
               "CREATED");
    cJSON_ArrayForEach(row, rows) {
        if (opt->quiet)
            puts(json_string(row, "id"));
        else
            print_row(row);
    }
}

/* エンジンは、create が戻ったらすぐに読む。途中まで書いたものを見せない */
void write_pid_file(const char *path, pid_t pid)
{
    char new[PATH_MAX];

    if (path == NULL)
        return;
    if (snprintf(new, sizeof(new), "%s.new", path) >= (int)sizeof(new))
        refuse("--pid-file: too long");
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd == -1)
        die("open %s", new);
    if (dprintf(fd, "%d", pid) < 0)
        die("write %s", new);
    close(fd);
    if (rename(new, path) == -1)
        die("rename %s", path);
}

/* コンテナのディレクトリは平らで、ほかには何もない */
void container_remove(const struct container *box)
{
    struct dirent *entry;
    int root = open(box->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy = dup(box->directory);
    DIR *dir = copy == -1 ? NULL : fdopendir(copy);

    if (dir == NULL)
        die("opendir %s", box->id);
    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_type != DT_DIR &&
            unlinkat(box->directory, entry->d_name, 0) == -1)
            die("unlink %s/%s", box->id, entry->d_name);
    closedir(dir);
    if (unlinkat(root, box->id, AT_REMOVEDIR) == -1)
        die("rmdir %s/%s", box->root, box->id);
    close(root);
}
