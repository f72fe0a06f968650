/* options.c - コマンドラインを読む */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 1 文字のないオプションの番号 */
enum {
    ROOT = 256,
    LOG,
    LOG_FORMAT,
    SYSTEMD_CGROUP,
    PID_FILE,
    CONSOLE_SOCKET,
    PRESERVE_FDS,
    NO_PIVOT,
    NO_NEW_KEYRING,
    KEEP,
    CWD,
    NO_NEW_PRIVS,
    IGNORE_PAUSED,
    CRIU,
    LIMIT,
};

static const struct option global_options[] = {
    {"root", required_argument, NULL, ROOT},
    {"log", required_argument, NULL, LOG},
    {"log-format", required_argument, NULL, LOG_FORMAT},
    {"systemd-cgroup", no_argument, NULL, SYSTEMD_CGROUP},
    {"cgroup-manager", required_argument, NULL, CRIU},
    {"debug", no_argument, NULL, 'd'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const struct option command_options[] = {
    {"bundle", required_argument, NULL, 'b'},
    {"pid-file", required_argument, NULL, PID_FILE},
    {"console-socket", required_argument, NULL, CONSOLE_SOCKET},
    {"preserve-fds", required_argument, NULL, PRESERVE_FDS},
    {"no-pivot", no_argument, NULL, NO_PIVOT},
    {"no-new-keyring", no_argument, NULL, NO_NEW_KEYRING},
    {"keep", no_argument, NULL, KEEP},
    {"process", required_argument, NULL, 'p'},
    {"detach", no_argument, NULL, 'd'},
    {"tty", no_argument, NULL, 't'},
    {"cwd", required_argument, NULL, CWD},
    {"user", required_argument, NULL, 'u'},
    {"env", required_argument, NULL, 'e'},
    {"cap", required_argument, NULL, 'c'},
    {"no-new-privs", no_argument, NULL, NO_NEW_PRIVS},
    {"ignore-paused", no_argument, NULL, IGNORE_PAUSED},
    {"all", no_argument, NULL, 'a'},
    {"force", no_argument, NULL, 'f'},
    {"format", required_argument, NULL, 'F'},
    {"quiet", no_argument, NULL, 'q'},
    {"resources", required_argument, NULL, 'r'},
    {"help", no_argument, NULL, 'h'},
    /* update: 値は、linux.resources の中の名前の順に、下の表にある */
    {"memory", required_argument, NULL, LIMIT + 0},
    {"memory-reservation", required_argument, NULL, LIMIT + 1},
    {"memory-swap", required_argument, NULL, LIMIT + 2},
    {"pids-limit", required_argument, NULL, LIMIT + 3},
    {"cpu-quota", required_argument, NULL, LIMIT + 4},
    {"cpu-period", required_argument, NULL, LIMIT + 5},
    {"cpu-burst", required_argument, NULL, LIMIT + 6},
    {"cpu-share", required_argument, NULL, LIMIT + 7},
    {"cpu-idle", required_argument, NULL, LIMIT + 8},
    {"blkio-weight", required_argument, NULL, LIMIT + 9},
    {"cpuset-cpus", required_argument, NULL, LIMIT + 10},
    {"cpuset-mems", required_argument, NULL, LIMIT + 11},
    {0},
};

static const struct {
    const char *group, *name;
} limit_names[] = {
    {"memory", "limit"},   {"memory", "reservation"}, {"memory", "swap"},
    {"pids", "limit"},     {"cpu", "quota"},          {"cpu", "period"},
    {"cpu", "burst"},      {"cpu", "shares"},         {"cpu", "idle"},
    {"blockIO", "weight"}, {"cpu", "cpus"},           {"cpu", "mems"},
};

/* どのコマンドが、どのオプションを使うか。1 文字のないものは、長い名前だけ */
static const struct {
    const char *name, *letters;
    bool has_id, enters;
} commands[] = {
    {"create", "+:b:h", true, true},       {"run", "+:b:dh", true, true},
    {"exec", "+:p:dtu:e:c:h", true, true}, {"start", "+:h", true, false},
    {"state", "+:h", true, false},         {"kill", "+:ah", true, false},
    {"delete", "+:fh", true, false},       {"ps", "+:f:h", true, false},
    {"pause", "+:h", true, false},         {"resume", "+:h", true, false},
    {"update", "+:r:h", true, false},      {"list", "+:f:qh", false, false},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

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

/* bundle に移るので、相対パスは、その前に直しておく */
static const char *absolute(const char *path)
{
    char now[PATH_MAX];

    if (*path == '/')
        return path;
    if (getcwd(now, sizeof(now)) == NULL)
        die("getcwd");
    return strdup(path_of("%s/%s", now, path));
}

/* "64M" のような値も、人は打つ */
static void add_limit(struct options_oci *opt, int index, const char *text)
{
    char *end;
    const char *group = limit_names[index].group;
    const char *name = limit_names[index].name;
    static const char units[] = "kmgt";

    if (opt->update == NULL)
        opt->update = cJSON_CreateObject();
    cJSON *object = cJSON_GetObjectItem(opt->update, group);
    if (object == NULL)
        object = cJSON_AddObjectToObject(opt->update, group);
    if (strcmp(name, "cpus") == 0 || strcmp(name, "mems") == 0) {
        cJSON_AddStringToObject(object, name, text);
        return;
    }
    double value = strtoll(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end | 0x20);
    if (end == text || (*end != '\0' && (unit == NULL || end[1] != '\0')))
        usage_error("%s %s: not a number", name, text);
    for (; unit != NULL && unit >= units; unit--)
        value *= 1024;
    cJSON_AddNumberToObject(object, name, value);
}

static void add_word(char **list, size_t max, char *word)
{
    size_t n = 0;

    while (list[n] != NULL)
        n++;
    if (n == max)
        usage_error("%s: too many", word);
    list[n] = word;
}

static void read_option(struct options_oci *opt, int letter, char *value)
{
    switch (letter) {
    case 'b':
        opt->bundle = absolute(value);
        break;
    case 'p':
        opt->process = absolute(value);
        break;
    case 'r':
        opt->resources = strcmp(value, "-") ? absolute(value) : "-";
        break;
    case 'd':
        opt->detach = true;
        break;
    case 't':
        opt->tty = true;
        break;
    case 'u':
        opt->user = value;
        break;
    case 'e':
        add_word(opt->env, ENV_MAX, value);
        break;
    case 'c':
        add_word(opt->caps, CAP_ADD_MAX, value);
        break;
    case 'a':
        opt->all = true;
        break;
    case 'f':
        opt->force = true;
        opt->format = value;
        break;
    case 'F':
        opt->format = value;
        break;
    case 'q':
        opt->quiet = true;
        break;
    case PID_FILE:
        opt->pid_file = absolute(value);
        break;
    case CONSOLE_SOCKET:
        opt->console_socket = absolute(value);
        break;
    case PRESERVE_FDS:
        opt->preserve_fds = atoi(value);
        break;
    case KEEP:
        opt->keep = true;
        break;
    case CWD:
        opt->cwd = value;
        break;
    case NO_NEW_PRIVS:
        opt->no_new_privs = true;
        break;
    case IGNORE_PAUSED:
        opt->ignore_paused = true;
        break;
    case NO_PIVOT:
        usage_error("--no-pivot: not supported");
    case NO_NEW_KEYRING:
        break; /* 空の鍵束に替えるだけなので、害はない */
    case 'h':
        print_usage(stdout);
        exit(0);
    case ':':
        usage_error("%s: an option needs a value", opt->command);
    case '?':
        usage_error("%s: unknown option", opt->command);
    default:
        add_limit(opt, letter - LIMIT, value);
    }
}

static void read_command(struct options_oci *opt, int argc, char *argv[])
{
    size_t i = 0;
    int letter;

    while (i < COMMANDS && strcmp(commands[i].name, argv[0]) != 0)
        i++;
    if (i == COMMANDS)
        usage_error("%s: unknown command", argv[0]);
    opt->command = commands[i].name;
    optind = 0; /* 2 度目の getopt は、初めから */
    opterr = 0;
    while ((letter = getopt_long(argc, argv, commands[i].letters,
                                 command_options, NULL)) != -1)
        read_option(opt, letter, optarg);
    if (commands[i].has_id) {
        if (optind == argc)
            usage_error("%s: container id is missing", opt->command);
        opt->id = argv[optind++];
    }
    opt->args = &argv[optind];
}

struct options_oci parse_command_line(int argc, char *argv[])
{
    const char *log = NULL, *format = "text";
    const char *runtime_dir = getenv("XDG_RUNTIME_DIR");
    struct options_oci opt = {
        .command = "", .root = "/run/" RUNTIME, .bundle = "."};
    int letter;

    if (geteuid() != 0 && runtime_dir != NULL)
        opt.root = strdup(path_of("%s/" RUNTIME, runtime_dir));
    opterr = 0;
    while ((letter = getopt_long(argc, argv, "+:dvh", global_options, NULL)) !=
           -1)
        switch (letter) {
        case ROOT:
            opt.root = absolute(optarg);
            break;
        case LOG:
            log = absolute(optarg);
            break;
        case LOG_FORMAT:
            format = optarg;
            break;
        case SYSTEMD_CGROUP:
            opt.systemd_cgroup = true;
            break;
        case CRIU:
            opt.systemd_cgroup = strcmp(optarg, "systemd") == 0;
            break;
        case 'd':
            break;
        case 'v':
            printf("%s version 1.0\nspec: " OCI_VERSION "\n", RUNTIME);
            exit(0);
        case 'h':
            print_usage(stdout);
            exit(0);
        default:
            usage_error("%s: unknown option", argv[optind - 1]);
        }
    if (log != NULL)
        log_open(log, strcmp(format, "json") == 0);
    if (optind == argc)
        usage_error("command is missing");
    read_command(&opt, argc - optind, argv + optind);
    return opt;
}
