/* cli.c - コマンドラインを読み、コンテナを作り始める前に誤りを断る */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CPUS   "0.2"
#define DEFAULT_MEMORY "50M"
#define DEFAULT_PIDS   "64"

#define CPU_QUOTA_MIN 1000 /* カーネルが受け取る最小の quota [us] */
#define MEMORY_MIN    (1ULL << 20) /* これより小さいと exec もできない */

/* 使い方の 1 行と、それを受け取るステップ */
struct option_help {
    int group; /* OPTION_* */
    struct option option;
    const char *help;
};

static const struct option_help table[] = {
    {OPTION_ROOTFS,
     {"rootfs", required_argument, NULL, 'r'},
     "--rootfs DIR    コンテナのルートにするディレクトリ"
     " (デフォルト: rootfs/fs)"},
    {OPTION_ROOTFS,
     {"env", required_argument, NULL, 'e'},
     "--env NAME[=V]  環境変数を足す (値を省くと、呼び出し元の値)"},
    {OPTION_CAP_ADD,
     {"cap-add", required_argument, NULL, 'a'},
     "--cap-add NAME  残すケーパビリティを足す (例: NET_RAW)"},
    {OPTION_LIMITS,
     {"cpus", required_argument, NULL, 'c'},
     "--cpus N        使える CPU の数 (デフォルト: " DEFAULT_CPUS
     " = 1 個の 20 %)"},
    {OPTION_LIMITS,
     {"memory", required_argument, NULL, 'm'},
     "--memory SIZE   使えるメモリー (デフォルト: " DEFAULT_MEMORY ")"},
    {OPTION_LIMITS,
     {"pids", required_argument, NULL, 'p'},
     "--pids N        作れるプロセスの数 (デフォルト: " DEFAULT_PIDS ")"},
    {OPTION_LIMITS,
     {"cpuset", required_argument, NULL, 's'},
     "--cpuset LIST   使ってよい CPU の番号 (例: 0-1,3)"},
    {OPTION_LIMITS,
     {"no-cgroup", no_argument, NULL, 'C'},
     "--no-cgroup     リソースを制限しない"},
    {OPTION_LIMITS,
     {"no-veth", no_argument, NULL, 'V'},
     "--no-veth       ネットワークをつながない"},
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

static int accepted_options;

static void print_usage(FILE *out)
{
    const char *name = program_invocation_short_name;

    fprintf(out,
            "使い方: %s run [オプション] [--] [コマンド [引数...]]\n"
            "        %s -h | --help\n"
            "コマンドを省くと /bin/sh を動かします。\n",
            name, name);
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].group & accepted_options)
            fprintf(out, "  %s\n", table[i].help);
}

void usage_error(const char *format, ...)
{
    char message[900];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    print_error("%s", message);
    print_usage(stderr);
    exit(EXIT_USAGE);
}

/* text を整数として読む。数字だけからなり、min 以上 max 以下でなければ断る。
 * strtoull(3) は "-1" や " 1" も受け取ってしまう */
static unsigned long long parse_number(const char *option, const char *text,
                                       unsigned long long min,
                                       unsigned long long max)
{
    char *end;

    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0')
        usage_error("--%s '%s': not a number", option, text);
    if (errno != 0 || number < min || number > max)
        usage_error("--%s %s: out of range (%llu to %llu)", option, text, min,
                    max);
    return number;
}

/* "0.2" を 1 周期あたりのマイクロ秒にする。小数は 5 桁まで意味がある */
static unsigned long parse_cpus(const char *text)
{
    unsigned long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned long max = cpus * CPU_PERIOD;
    unsigned long quota = 0, unit = CPU_PERIOD;
    const char *next = text;

    for (; *next >= '0' && *next <= '9'; next++)
        if (quota <= max)
            quota = quota * 10 + (unsigned long)(*next - '0') * unit;
    bool digits = next > text;
    if (digits && *next == '.')
        for (next++; *next >= '0' && *next <= '9'; next++)
            quota += (unsigned long)(*next - '0') * (unit /= 10);
    if (!digits || *next != '\0' || next[-1] == '.')
        usage_error("--cpus '%s': not a number", text);
    if (quota < CPU_QUOTA_MIN || quota > max)
        usage_error("--cpus %s: out of range (0.01 to %lu)", text, cpus);
    return quota;
}

/* "50M" をバイトにする。K, M, G は 1024 のべき。ページの倍数に切り捨てる */
static unsigned long long parse_memory(const char *text)
{
    static const char units[] = "kmg";
    unsigned long long page = sysconf(_SC_PAGESIZE);
    unsigned long long max = page * sysconf(_SC_PHYS_PAGES);
    char digits[32];
    size_t length = strlen(text);
    int shift = 0;

    if (length == 0 || length >= sizeof(digits))
        usage_error("--memory '%s': not a size", text);
    strcpy(digits, text);
    const char *unit = strchr(units, text[length - 1] | 0x20);
    if (unit != NULL) {
        shift = 10 * (int)(unit - units + 1);
        digits[length - 1] = '\0';
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end != '\0')
        usage_error("--memory '%s': not a size", text);
    if (errno != 0 || number > max >> shift || number << shift < MEMORY_MIN)
        usage_error("--memory %s: out of range (%lluM to %lluM)", text,
                    MEMORY_MIN >> 20, max >> 20);
    return (number << shift) / page * page;
}

/* "0-1,3" の形を調べる。このプロセスが使える CPU に限る。
 * sched_getaffinity(2) */
static const char *parse_cpuset(const char *text)
{
    cpu_set_t usable;
    const char *next = text;

    if (sched_getaffinity(0, sizeof(usable), &usable) == -1)
        die("sched_getaffinity");
    do {
        char *end;
        unsigned long first = strtoul(next, &end, 10), last = first;
        bool bad = *next < '0' || *next > '9';
        if (!bad && *end == '-') {
            next = end + 1;
            last = strtoul(next, &end, 10);
            bad = *next < '0' || *next > '9';
        }
        if (bad || (*end != ',' && *end != '\0'))
            usage_error("--cpuset '%s': not a list of CPUs", text);
        if (last < first || last >= CPU_SETSIZE)
            usage_error("--cpuset %s: no such CPU", text);
        for (unsigned long cpu = first; cpu <= last; cpu++)
            if (!CPU_ISSET(cpu, &usable))
                usage_error("--cpuset %s: no such CPU: %lu", text, cpu);
        next = *end == ',' ? end + 1 : end;
        if (*end == ',' && *next == '\0')
            usage_error("--cpuset '%s': not a list of CPUs", text);
    } while (*next != '\0');
    return text;
}

static unsigned long pid_max(void)
{
    unsigned long max = 32768;
    FILE *file = fopen("/proc/sys/kernel/pid_max", "re");

    if (file != NULL) {
        if (fscanf(file, "%lu", &max) != 1)
            max = 32768;
        fclose(file);
    }
    return max;
}

/* 実行ファイルの横の rootfs/fs。どこから起動しても同じ場所を指す。proc(5) の
 * /proc/PID/exe */
static const char *default_rootfs(void)
{
    static char rootfs[PATH_MAX + sizeof("/rootfs/fs")];
    char exe[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (length == -1)
        die("readlink /proc/self/exe");
    exe[length] = '\0';
    snprintf(rootfs, sizeof(rootfs), "%s/rootfs/fs", dirname(exe));
    return rootfs;
}

/* "NAME" だけなら、呼び出し元の値を付ける。呼び出し元にもなければ、消す印として
 * そのまま残す。docker-run(1) の --env */
static void add_variable(struct options *opt, char *text)
{
    size_t count = 0, length = strcspn(text, "=");
    bool bad = length == 0;

    for (size_t i = 0; i < length; i++)
        bad |= (unsigned char)text[i] <= ' ' || text[i] == '\177';
    if (bad)
        usage_error("--env '%s': not a variable", text);
    while (opt->env[count] != NULL)
        count++;
    if (count == ENV_MAX - 1)
        usage_error("--env %s: too many variables", text);
    for (char **own = environ; text[length] == '\0' && *own != NULL; own++)
        if (strncmp(*own, text, length) == 0 && (*own)[length] == '=')
            text = *own;
    opt->env[count] = text;
}

/* 名前は cap_from_name(3) が調べる。ここでは、書き方を "NET_RAW" にそろえる */
static void add_capability(struct options *opt, const char *name)
{
    size_t count = 0;

    if (name[strspn(name,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                    "abcdefghijklmnopqrstuvwxyz")] != '\0')
        usage_error("--cap-add '%s': no such capability", name);
    if (strncasecmp(name, "cap_", 4) == 0)
        name += 4;
    while (opt->cap_add[count] != NULL)
        count++;
    if (count == CAP_ADD_MAX - 1)
        usage_error("--cap-add %s: too many capabilities", name);
    opt->cap_add[count] = name;
}

static void set_option(struct options *opt, int letter, char *value)
{
    switch (letter) {
    case 'r':
        if (*value == '\0')
            usage_error("--rootfs '': not a directory");
        opt->rootfs = value;
        break;
    case 'e':
        add_variable(opt, value);
        break;
    case 'a':
        add_capability(opt, value);
        break;
    case 'c':
        opt->cpu_quota = parse_cpus(value);
        break;
    case 'm':
        opt->memory = parse_memory(value);
        break;
    case 'p':
        opt->pids = parse_number("pids", value, 1, pid_max());
        break;
    case 's':
        opt->cpuset = parse_cpuset(value);
        break;
    case 'C':
        opt->cgroup = false;
        break;
    case 'V':
        opt->veth = false;
        break;
    }
}

/* getopt_long(3) は、"-x" の形のときだけ、optopt に文字を残して optind を
 * 進めないことがある */
static _Noreturn void refuse_option(const char *word)
{
    if (strncmp(word, "--", 2) != 0 && optopt != 0)
        usage_error("unknown option: -%c", optopt);
    if (strchr(word, '=') != NULL && optopt != 0)
        usage_error("%s: takes no value", word);
    usage_error("unknown option: %s", word);
}

/* argv[1] 以降のオプションを読み、最初のオプションでない語の位置を返す */
static int read_options(int argc, char *argv[], struct options *opt)
{
    struct option known[TABLE_SIZE + 2] = {{"help", no_argument, NULL, 'h'}};
    int letter, count = 1;
    bool limited = false;

    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].group & accepted_options)
            known[count++] = table[i].option;
    opterr = 0;
    /* "+" は、最初のオプションでない語で読むのをやめる印。getopt(3) */
    while ((letter = getopt_long(argc, argv, "+:h", known, NULL)) != -1) {
        if (letter == 'h') {
            print_usage(stdout);
            if (fclose(stdout) == EOF) /* 書けたかどうかは、ここで分かる */
                die("write stdout");
            exit(EXIT_SUCCESS);
        }
        if (letter == ':')
            usage_error("%s: missing value", argv[optind - 1]);
        if (letter == '?')
            refuse_option(argv[optind - 1]);
        limited |= strchr("cmps", letter) != NULL;
        set_option(opt, letter, optarg);
    }
    if (limited && !opt->cgroup)
        usage_error("--no-cgroup: cannot be combined with limits");
    return optind;
}

struct options parse_options(int argc, char *argv[], int accepted)
{
    static char *shell[] = {"/bin/sh", NULL};
    struct options opt = {.command = shell, .cgroup = true, .veth = true};

    accepted_options = accepted;
    if (argc < 2)
        usage_error("missing command: run");
    if (strcmp(argv[1], "-h") != 0 && strcmp(argv[1], "--help") != 0 &&
        strcmp(argv[1], "run") != 0)
        usage_error("unknown command: %s", argv[1]);
    if (accepted & OPTION_LIMITS) {
        opt.cpu_quota = parse_cpus(DEFAULT_CPUS);
        opt.memory = parse_memory(DEFAULT_MEMORY);
        opt.pids = parse_number("pids", DEFAULT_PIDS, 1, pid_max());
    }
    bool run = strcmp(argv[1], "run") == 0;
    int first = read_options(argc - run, argv + run, &opt) + run;
    if (first < argc)
        opt.command = argv + first;
    if ((accepted & OPTION_ROOTFS) && opt.rootfs == NULL)
        opt.rootfs = default_rootfs();
    return opt;
}
