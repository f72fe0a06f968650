/* process.c - コマンドの環境変数、上限、ラベルと、コマンドの場所 */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static const struct {
    const char *name;
    int resource;
} resources[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

static int resource_of(const char *name)
{
    for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
        if (name != NULL && strcmp(resources[i].name, name) == 0)
            return resources[i].resource;
    refuse("config.json: process.rlimits: %s: not supported",
           name == NULL ? "(none)" : name);
}

void limit_process(const cJSON *process, pid_t pid)
{
    const cJSON *entry;
    unsigned seen = 0;

    cJSON_ArrayForEach(entry, json_get(process, "rlimits")) {
        struct rlimit limit = {.rlim_cur = json_uint(entry, "soft", 0),
                               .rlim_max = json_uint(entry, "hard", 0)};
        int resource = resource_of(json_string(entry, "type"));
        if (seen >> resource & 1)
            refuse("config.json: process.rlimits: %s: is there twice",
                   json_string(entry, "type"));
        seen |= 1U << resource;
        if (prlimit(pid, resource, &limit, NULL) == -1)
            die("prlimit %s", json_string(entry, "type"));
    }
    if (json_get(process, "oomScoreAdj") != NULL)
        write_file(path_of("/proc/%d/oom_score_adj", pid), "%lld",
                   json_int(process, "oomScoreAdj", 0));
}

/* signal(2) は、glibc の使う 32 と 33 を断る。posix_spawn(3) で始まった
 * プログラムでは、それが無視されている。だから、カーネルを直に呼ぶ。nptl(7) */
void reset_signals(void)
{
    sigset_t none;
    const uint64_t standard[4] = {0}; /* SIG_DFL。カーネルの sigaction */

    for (int number = 1; number < NSIG; number++) /* KILL と STOP は断られる */
        syscall(SYS_rt_sigaction, number, standard, NULL, sizeof(uint64_t));
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) == -1)
        die("sigprocmask");
}

void leave_session_keyring(void)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) == -1 &&
        errno != ENOSYS)
        die("keyctl KEYCTL_JOIN_SESSION_KEYRING");
}

void become_root(void)
{
    if (setgroups(0, NULL) == -1 && errno != EPERM)
        die("setgroups");
    if (setresgid(0, 0, 0) == -1 || setresuid(0, 0, 0) == -1)
        die("setresuid 0");
}

/* /dev/stderr を、コマンドのユーザーにも開けるように。/dev/null はそのまま */
static void own_stdio(uid_t uid)
{
    struct stat status;

    for (int fd = 0; fd <= 2; fd++)
        if (fstat(fd, &status) == 0 && status.st_uid != uid &&
            !(S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)))
            (void)!fchown(fd, uid, -1); /* できない所もある (EROFS など) */
}

void become_user(const cJSON *process)
{
    const cJSON *list = json_get(process, "user.additionalGids"), *entry;
    gid_t groups[NGROUPS_MAX], gid = json_uint(process, "user.gid", 0);
    uid_t uid = json_uint(process, "user.uid", 0);
    size_t count = 0;

    cJSON_ArrayForEach(entry, list) {
        if (!cJSON_IsNumber(entry) || count == NGROUPS_MAX)
            refuse("config.json: process.user.additionalGids: is wrong");
        groups[count++] = entry->valuedouble;
    }
    own_stdio(uid);
    /* 自分のユーザー名前空間で禁じられていても、外すものがなければよい */
    if (setgroups(count, groups) == -1 && (errno != EPERM || count > 0))
        die("setgroups");
    if (setresgid(gid, gid, gid) == -1)
        die("setresgid %u", gid);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1)
        die("prctl PR_SET_KEEPCAPS");
    if (setresuid(uid, uid, uid) == -1)
        die("setresuid %u", uid);
    umask(json_uint(process, "user.umask", 022));
}

bool enter_cwd(const cJSON *process, bool must)
{
    char now[PATH_MAX];
    const char *cwd = json_path(process, "cwd");

    if (chdir(cwd) == -1) {
        if (must)
            die("chdir %s", cwd);
        return false;
    }
    if (getcwd(now, sizeof(now)) == NULL || *now != '/')
        refuse("config.json: process.cwd: %s is outside the container", cwd);
    return true;
}

/* HOME は、コンテナの passwd から。getpwuid(3) は、コンテナのライブラリを
 * 読み込むことがある。nss(5) */
static const char *home_of(uid_t uid)
{
    static char home[PATH_MAX];
    struct passwd *entry;
    FILE *file = fopen("/etc/passwd", "re");

    while (file != NULL && *home == '\0' && (entry = fgetpwent(file)) != NULL)
        if (entry->pw_uid == uid)
            snprintf(home, sizeof(home), "%s", entry->pw_dir);
    if (file != NULL)
        fclose(file);
    return *home == '\0' ? "/" : home;
}

void set_environment(const cJSON *process)
{
    char **variables = json_strings(process, "env");

    clearenv();
    for (; *variables != NULL; variables++) {
        if (strchr(*variables, '=') == NULL)
            refuse("config.json: process.env: no \"=\": %.100s", *variables);
        if (putenv(*variables) != 0)
            die("putenv");
    }
    const char *home = getenv("HOME");
    if (home == NULL || *home == '\0')
        setenv("HOME", home_of(json_uint(process, "user.uid", 0)), 1);
}

static int word_of(const char *name, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++)
        if (name != NULL && strcmp(words[i], name) == 0)
            return i;
    refuse("config.json: process: %s: not supported",
           name == NULL ? "(none)" : name);
}

/* glibc 2.41 より前には、構造体も関数もない。sched_setattr(2) */
static void set_scheduler(const cJSON *scheduler)
{
    static const char *const policies[] = {
        "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",       "SCHED_BATCH",
        "SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE", NULL};
    static const char *const flags[] = {
        "SCHED_FLAG_RESET_ON_FORK",  "SCHED_FLAG_RECLAIM",
        "SCHED_FLAG_DL_OVERRUN",     "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS",    "SCHED_FLAG_UTIL_CLAMP_MIN",
        "SCHED_FLAG_UTIL_CLAMP_MAX", NULL};
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {
        .size = sizeof(attr),
        .policy = word_of(json_string(scheduler, "policy"), policies),
        .nice = json_int(scheduler, "nice", 0),
        .priority = json_int(scheduler, "priority", 0),
        .runtime = json_uint(scheduler, "runtime", 0),
        .deadline = json_uint(scheduler, "deadline", 0),
        .period = json_uint(scheduler, "period", 0),
    };

    for (char **flag = json_strings(scheduler, "flags"); *flag != NULL; flag++)
        attr.flags |= 1ULL << word_of(*flag, flags);
    if (syscall(SYS_sched_setattr, 0, &attr, 0) == -1)
        die("sched_setattr");
}

void set_scheduling(const cJSON *process)
{
    static const char *const classes[] = {"IOPRIO_CLASS_NONE",
                                          "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
                                          "IOPRIO_CLASS_IDLE", NULL};
    const cJSON *io = json_get(process, "ioPriority");
    const cJSON *scheduler = json_get(process, "scheduler");

    if (scheduler != NULL)
        set_scheduler(scheduler);
    if (io != NULL &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                IOPRIO_PRIO_VALUE(word_of(json_string(io, "class"), classes),
                                  json_int(io, "priority", 0))) == -1)
        die("ioprio_set");
}

void set_personality(const cJSON *config)
{
    const cJSON *asked = json_get(config, "linux.personality");
    const char *domain = json_string(asked, "domain");
    unsigned long value = PER_LINUX;

    if (asked == NULL)
        return;
    if (domain != NULL && strcmp(domain, "LINUX32") == 0)
        value = PER_LINUX32;
    else if (domain == NULL || strcmp(domain, "LINUX") != 0)
        refuse("config.json: linux.personality.domain: not supported");
    if (cJSON_GetArraySize(json_get(asked, "flags")) > 0)
        refuse("config.json: linux.personality.flags: not supported");
    if (personality(value) == -1)
        die("personality");
}

/* --- コマンド ------------------------------------------------------------- */

/* create のうちに失敗させる。start まで進むと、エンジンは 127 にできない。
 * seccomp のフィルターがあると、調べられないこともある。だから、先に、
 * 少しだけそのユーザーになって調べる */
const char *look_up(const cJSON *process)
{
    const char *command = json_strings(process, "args")[0];
    uid_t uid = json_uint(process, "user.uid", 0);
    gid_t gid = json_uint(process, "user.gid", 0);

    for (char **cap = json_strings(process, "capabilities.effective");
         *cap != NULL; cap++)
        if (strcmp(*cap, "CAP_DAC_OVERRIDE") == 0)
            uid = gid = 0; /* 許可を調べられない */
    if (setresgid(-1, gid, -1) == -1 || setresuid(-1, uid, -1) == -1)
        die("setresuid %u", uid);
    const char *path = getenv("PATH") == NULL ? command : find_command(command);
    int error = command_refusal(path); /* 見つからなければ ENOENT */
    if (setresuid(-1, 0, -1) == -1 || setresgid(-1, 0, -1) == -1)
        die("setresuid 0");
    errno = error;
    if (error == ENOENT) /* エンジンは、この言葉を探す */
        die("exec: \"%.1000s\": executable file not found in $PATH", command);
    if (error != 0)
        die("exec %.1000s", command);
    return path;
}

/* --- ラベル --------------------------------------------------------------- */

static int label_file = -1;
static bool is_apparmor;

void open_label(const cJSON *process)
{
    const char *profile = json_string(process, "apparmorProfile");
    const char *label = json_string(process, "selinuxLabel");
    const char *path = "/proc/self/attr/apparmor/exec";
    struct statfs fs;

    is_apparmor = profile != NULL && *profile != '\0';
    if (!is_apparmor && (label == NULL || *label == '\0'))
        return;
    if (access(is_apparmor ? "/sys/kernel/security/apparmor"
                           : "/sys/fs/selinux/enforce",
               F_OK) == -1) {
        warn_log("config.json: process.%s: this kernel has no such labels",
                 is_apparmor ? "apparmorProfile" : "selinuxLabel");
        return;
    }
    if (!is_apparmor || access(path, F_OK) == -1)
        path = "/proc/self/attr/exec";
    label_file = open(path, O_WRONLY | O_CLOEXEC);
    if (label_file == -1 || fstatfs(label_file, &fs) == -1)
        die("open %s", path);
    if (fs.f_type != PROC_SUPER_MAGIC)
        refuse("%s: not on proc", path); /* exec では、コンテナの /proc */
}

void write_label(const cJSON *process)
{
    char text[512];

    if (label_file == -1)
        return;
    if (is_apparmor)
        snprintf(text, sizeof(text), "exec %s",
                 json_string(process, "apparmorProfile"));
    else
        snprintf(text, sizeof(text), "%s",
                 json_string(process, "selinuxLabel"));
    if (write(label_file, text, strlen(text)) == -1)
        die("write /proc/self/attr/exec");
    close(label_file);
}

void close_on_exec(unsigned keep)
{
    if (syscall(SYS_close_range, 3 + keep, ~0U, CLOSE_RANGE_CLOEXEC) == -1)
        die("close_range %u", 3 + keep);
}

/* --- exec ----------------------------------------------------------------- */

static void set_user(cJSON *process, const char *text)
{
    unsigned uid = 0, gid = 0;
    int end = 0, long_end = 0;
    cJSON *user = cJSON_CreateObject();

    sscanf(text, "%u%n:%u%n", &uid, &end, &gid, &long_end);
    if (*text < '0' || *text > '9' ||
        text[long_end > 0 ? long_end : end] != '\0')
        refuse("--user %s: not UID or UID:GID", text);
    cJSON_AddNumberToObject(user, "uid", uid);
    cJSON_AddNumberToObject(user, "gid", gid);
    cJSON_DeleteItemFromObject(process, "user");
    cJSON_AddItemToObject(process, "user", user);
}

static void add_gid(cJSON *user, const char *text)
{
    char *end;
    unsigned long gid = strtoul(text, &end, 10);
    cJSON *list = cJSON_GetObjectItem(user, "additionalGids");

    if (*text < '0' || *text > '9' || *end != '\0')
        refuse("--additional-gids %s: not a GID", text);
    if (list == NULL)
        list = cJSON_AddArrayToObject(user, "additionalGids");
    cJSON_AddItemToArray(list, cJSON_CreateNumber((double)gid));
}

static void add_strings(cJSON *object, const char *name, char *const *strings)
{
    cJSON *list = cJSON_GetObjectItem(object, name);

    if (list == NULL && *strings != NULL)
        list = cJSON_AddArrayToObject(object, name);
    for (; *strings != NULL; strings++)
        cJSON_AddItemToArray(list, cJSON_CreateString(*strings));
}

/* アンビエントになれるのは、継承されるものだけ。capabilities(7) */
static void add_caps(cJSON *capabilities, char *const *caps)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        add_strings(capabilities, sets[i], caps);
    for (char **has = json_strings(capabilities, "inheritable"); *has != NULL;
         has++)
        for (char *const *cap = caps; *cap != NULL; cap++)
            if (strcmp(*has, *cap) == 0)
                add_strings(capabilities, "ambient", (char *[]){*cap, NULL});
}

static void replace(cJSON *object, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObject(object, name);
    cJSON_AddItemToObject(object, name, value);
}

const cJSON *process_to_exec(const struct options_oci *opt, const cJSON *config)
{
    cJSON *process = opt->process != NULL
                         ? json_read(opt->process)
                         : cJSON_Duplicate(json_get(config, "process"), true);

    if (opt->process == NULL) {
        replace(process, "terminal", cJSON_CreateBool(opt->tty));
        cJSON_DeleteItemFromObject(process, "args");
        add_strings(process, "args", opt->args);
        add_strings(process, "env", opt->env);
        add_caps(cJSON_GetObjectItem(process, "capabilities"), opt->caps);
        if (opt->cwd != NULL)
            replace(process, "cwd", cJSON_CreateString(opt->cwd));
        if (opt->user != NULL)
            set_user(process, opt->user);
        for (char *const *gid = opt->gids; *gid != NULL; gid++)
            add_gid(cJSON_GetObjectItem(process, "user"), *gid);
        if (opt->no_new_privs)
            replace(process, "noNewPrivileges", cJSON_CreateTrue());
    }
    check_process(process);
    return process;
}
