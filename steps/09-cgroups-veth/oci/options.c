/* options.c - コマンドラインを読む */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 値の読み方と、入れる場所 */
enum kind {
    FLAG, /* bool を true に */
    TEXT,
    PATH, /* bundle に移るので、絶対パスに直しておく */
    NUMBER,
    LIST, /* 何度も書ける */
    LIMIT, /* update の値 */
    IGNORED, /* しなくても、害のないもの */
};

#define FIELD(name) offsetof(struct options_oci, name)

struct option_row {
    const char *name;
    char letter; /* 1 文字の形。なければ 0 */
    enum kind kind;
    size_t field; /* 入れる場所。LIMIT では、limit_names の番号 */
};

static const struct option_row global_rows[] = {
    {"root", 0, PATH, FIELD(root)},
    {"log", 0, PATH, FIELD(log)},
    {"log-format", 0, TEXT, FIELD(log_format)},
    {"systemd-cgroup", 0, FLAG, FIELD(systemd_cgroup)},
    {"cgroup-manager", 0, TEXT, FIELD(cgroup_manager)}, /* crun(1) の形 */
    {"debug", 0, IGNORED, 0},
    {"version", 'v', FLAG, FIELD(version)},
    {"help", 'h', FLAG, FIELD(help)},
};

static const struct option_row command_rows[] = {
    {"bundle", 'b', PATH, FIELD(bundle)},
    {"config", 0, TEXT, FIELD(config)},
    {"pid-file", 0, PATH, FIELD(pid_file)},
    {"console-socket", 0, PATH, FIELD(console_socket)},
    {"preserve-fds", 0, NUMBER, FIELD(preserve_fds)},
    {"no-new-keyring", 0, IGNORED, 0},
    {"keep", 0, FLAG, FIELD(keep)},
    {"process", 'p', PATH, FIELD(process)},
    {"detach", 'd', FLAG, FIELD(detach)},
    {"tty", 't', FLAG, FIELD(tty)},
    {"cwd", 0, TEXT, FIELD(cwd)},
    {"user", 'u', TEXT, FIELD(user)},
    {"env", 'e', LIST, FIELD(env)},
    {"additional-gids", 'g', LIST, FIELD(gids)},
    {"cap", 'c', LIST, FIELD(caps)},
    {"no-new-privs", 0, FLAG, FIELD(no_new_privs)},
    {"ignore-paused", 0, FLAG, FIELD(ignore_paused)},
    {"all", 'a', FLAG, FIELD(all)},
    {"force", 'f', FLAG, FIELD(force)},
    {"format", 'f', TEXT, FIELD(format)},
    {"quiet", 'q', FLAG, FIELD(quiet)},
    {"resources", 'r', PATH, FIELD(resources)},
    {"help", 'h', FLAG, FIELD(help)},
    {"memory", 0, LIMIT, 0},
    {"memory-reservation", 0, LIMIT, 1},
    {"memory-swap", 0, LIMIT, 2},
    {"pids-limit", 0, LIMIT, 3},
    {"cpu-quota", 0, LIMIT, 4},
    {"cpu-period", 0, LIMIT, 5},
    {"cpu-burst", 0, LIMIT, 6},
    {"cpu-share", 0, LIMIT, 7},
    {"cpu-idle", 0, LIMIT, 8},
    {"blkio-weight", 0, LIMIT, 9},
    {"cpuset-cpus", 0, LIMIT, 10},
    {"cpuset-mems", 0, LIMIT, 11},
    {"cpu-rt-period", 0, LIMIT, 12},
    {"cpu-rt-runtime", 0, LIMIT, 13},
};

static const struct {
    const char *group, *name;
} limit_names[] = {
    {"memory", "limit"},       {"memory", "reservation"},
    {"memory", "swap"},        {"pids", "limit"},
    {"cpu", "quota"},          {"cpu", "period"},
    {"cpu", "burst"},          {"cpu", "shares"},
    {"cpu", "idle"},           {"blockIO", "weight"},
    {"cpu", "cpus"},           {"cpu", "mems"},
    {"cpu", "realtimePeriod"}, {"cpu", "realtimeRuntime"},
};

/* 空白で区切った、そのコマンドで使えるオプション。-f は、delete では force、
 * ほかでは format のこと */
static const struct {
    const char *name, *options;
    bool has_id, enters;
    bool has_args; /* 名前より後ろは、ほかのコマンドのもの */
} commands[] = {
    {"create",
     "bundle config pid-file console-socket preserve-fds no-new-keyring help",
     true, true, false},
    {"run",
     "bundle config pid-file console-socket preserve-fds no-new-keyring "
     "detach keep help",
     true, true, false},
    {"exec",
     "process pid-file console-socket preserve-fds detach tty cwd user env "
     "additional-gids cap no-new-privs ignore-paused help",
     true, true, true},
    {"start", "help", true, false, false},
    {"state", "help", true, false, false},
    {"kill", "all help", true, false, false},
    {"delete", "force help", true, false, false},
    {"ps", "format help", true, false, true},
    {"pause", "help", true, false, false},
    {"resume", "help", true, false, false},
    {"update",
     "resources memory memory-reservation memory-swap pids-limit cpu-quota "
     "cpu-period cpu-burst cpu-share cpu-idle blkio-weight cpuset-cpus "
     "cpuset-mems cpu-rt-period cpu-rt-runtime help",
     true, false, false},
    {"list", "format quiet help", false, false, true},
    {"spec", "bundle help", false, false, false},
    {"features", "help", false, false, false},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))
#define ROWS_MAX 64

bool enters_container(const struct options_oci *opt)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, opt->command) == 0)
            return commands[i].enters;
    return false;
}

static void print_usage(FILE *to)
{
    fprintf(to,
            "usage: %s [--root DIR] [--log FILE] [--log-format json|text] "
            "[--systemd-cgroup]\n"
            "       COMMAND [OPTION...] [ID] [ARG...]\n"
            "       COMMAND:",
            program_invocation_short_name);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, " %s", commands[i].name);
    fputc('\n', to);
}

void usage_error(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_usage(stderr);
    refuse("%s", text);
}

/* "-" は、stdin のこと */
static const char *absolute(const char *path)
{
    static char paths[ROWS_MAX][PATH_MAX];
    static size_t used;
    char now[PATH_MAX];

    if (*path == '/' || strcmp(path, "-") == 0 || used == ROWS_MAX)
        return path;
    if (getcwd(now, sizeof(now)) == NULL)
        die("getcwd");
    if (snprintf(paths[used], PATH_MAX, "%s/%s", now, path) >= PATH_MAX)
        usage_error("%.100s: too long", path);
    return paths[used++];
}

/* "64M" のような値も、人は打つ */
static double number_of(const char *name, const char *text)
{
    static const char units[] = "kmgt";
    char *end;
    double value = strtoll(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end | 0x20);

    if (end == text || (*end != '\0' && (unit == NULL || end[1] != '\0')))
        usage_error("%s %s: not a number", name, text);
    for (size_t i = 0; unit != NULL && i <= (size_t)(unit - units); i++)
        value *= 1024;
    return value;
}

static void add_limit(struct options_oci *opt, size_t index, const char *text)
{
    const char *group = limit_names[index].group;
    const char *name = limit_names[index].name;

    if (opt->update == NULL)
        opt->update = cJSON_CreateObject();
    cJSON *object = cJSON_GetObjectItem(opt->update, group);
    if (object == NULL)
        object = cJSON_AddObjectToObject(opt->update, group);
    if (strcmp(name, "cpus") == 0 || strcmp(name, "mems") == 0)
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNumberToObject(object, name, number_of(name, text));
}

static void add_word(char **list, char *word)
{
    size_t n = 0;

    while (list[n] != NULL)
        n++;
    if (n == LIST_MAX)
        usage_error("%s: too many", word);
    list[n] = word;
}

static void take(struct options_oci *opt, const struct option_row *row,
                 char *value)
{
    void *field = (char *)opt + row->field;

    switch (row->kind) {
    case FLAG:
        *(bool *)field = true;
        break;
    case TEXT:
        *(const char **)field = value;
        break;
    case PATH:
        *(const char **)field = absolute(value);
        break;
    case NUMBER:
        *(unsigned *)field = number_of(row->name, value);
        break;
    case LIST:
        add_word(field, value);
        break;
    case LIMIT:
        add_limit(opt, row->field, value);
        break;
    case IGNORED:
        break;
    }
}

/* 1 文字の形のものは、どのコマンドのものかで意味が違う */
static const struct option_row *find_letter(const struct option_row *rows,
                                            size_t count, const char *allowed,
                                            int letter)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].letter == letter && has_word(allowed, rows[i].name))
            return &rows[i];
    return NULL;
}

/* rows のうち allowed にあるものを読む。stops なら、オプションでない語で
 * やめる。getopt_long(3) */
static void read_options(struct options_oci *opt, int argc, char *argv[],
                         const struct option_row *rows, size_t count,
                         const char *allowed, bool stops)
{
    struct option longs[ROWS_MAX] = {0};
    int found;

    for (size_t i = 0; i < count; i++) {
        bool has_value = rows[i].kind != FLAG && rows[i].kind != IGNORED;
        longs[i] =
            (struct option){rows[i].name, has_value, NULL, (int)(1000 + i)};
    }
    optind = 0; /* 2 度目の getopt も、初めから */
    opterr = 0;
    const char *letters = "+:b:p:u:e:c:g:r:f::dtaqvh";
    while ((found = getopt_long(argc, argv, letters + !stops, longs, NULL)) !=
           -1) {
        const struct option_row *row =
            found >= 1000 ? &rows[found - 1000]
                          : find_letter(rows, count, allowed, found);
        if (found == ':')
            usage_error("%s: needs a value", argv[optind - 1]);
        if (row == NULL || !has_word(allowed, row->name))
            usage_error("%s: unknown option", argv[optind - 1]);
        /* -f json のように、離して書いた値 */
        if (found == 'f' && row->kind == TEXT && optarg == NULL)
            optarg = optind < argc ? argv[optind++] : "";
        take(opt, row, optarg);
    }
    if (opt->help) {
        print_usage(stdout);
        exit(0);
    }
}

static void read_command(struct options_oci *opt, int argc, char *argv[])
{
    size_t i = 0;

    while (i < COMMANDS && strcmp(commands[i].name, argv[0]) != 0)
        i++;
    if (i == COMMANDS)
        usage_error("%s: unknown command", argv[0]);
    opt->command = commands[i].name;
    if (strcmp(opt->command, "exec") == 0)
        fail_with(255); /* コマンドのステータスと、見分けられるように */
    read_options(opt, argc, argv, command_rows,
                 sizeof(command_rows) / sizeof(command_rows[0]),
                 commands[i].options, commands[i].has_args);
    if (commands[i].has_id) {
        if (optind == argc)
            usage_error("%s: container id is missing", opt->command);
        opt->id = argv[optind++];
    }
    opt->args = &argv[optind];
}

struct options_oci parse_command_line(int argc, char *argv[])
{
    static char user_root[PATH_MAX];
    const char *runtime_dir = getenv("XDG_RUNTIME_DIR");
    struct options_oci opt = {
        .command = "",
        .root = "/run/" RUNTIME,
        .bundle = ".",
        .config = "config.json",
    };

    if (geteuid() != 0 && runtime_dir != NULL) {
        snprintf(user_root, sizeof(user_root), "%s/" RUNTIME, runtime_dir);
        opt.root = user_root;
    }
    read_options(
        &opt, argc, argv, global_rows,
        sizeof(global_rows) / sizeof(global_rows[0]),
        "root log log-format systemd-cgroup cgroup-manager debug version help",
        true);
    opt.systemd_cgroup |= opt.cgroup_manager != NULL &&
                          strcmp(opt.cgroup_manager, "systemd") == 0;
    if (opt.version) {
        printf("%s version 1.0\nspec: " OCI_VERSION "\n", RUNTIME);
        exit(0);
    }
    if (opt.log_format != NULL && strcmp(opt.log_format, "json") != 0 &&
        strcmp(opt.log_format, "text") != 0)
        usage_error("--log-format %s: not json or text", opt.log_format);
    if (opt.log != NULL)
        log_open(opt.log,
                 opt.log_format != NULL && strcmp(opt.log_format, "json") == 0);
    if (optind == argc)
        usage_error("command is missing");
    read_command(&opt, argc - optind, argv + optind);
    return opt;
}
