/* seccomp.c - エンジンの決めたフィルターを、libseccomp で BPF にして入れる */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX 6

static uint32_t action_of(const char *name, unsigned error)
{
    const struct {
        const char *name;
        uint32_t action;
    } actions[] = {
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
        {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(error)},
        {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(error)},
        {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    };

    for (size_t i = 0; name != NULL && i < sizeof(actions) / sizeof(*actions);
         i++)
        if (strcmp(actions[i].name, name) == 0)
            return actions[i].action;
    refuse("config.json: linux.seccomp: action %s: not supported",
           name == NULL ? "(none)" : name);
}

static enum scmp_compare compare_of(const char *name)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } operators[] = {
        {"SCMP_CMP_NE", SCMP_CMP_NE},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_GE", SCMP_CMP_GE},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };

    for (size_t i = 0;
         name != NULL && i < sizeof(operators) / sizeof(*operators); i++)
        if (strcmp(operators[i].name, name) == 0)
            return operators[i].op;
    refuse("config.json: linux.seccomp: op %s: not supported",
           name == NULL ? "(none)" : name);
}

/* double では表せない数を、近い数に丸めたまま調べることはしない */
static uint64_t argument(const cJSON *entry, const char *name)
{
    uint64_t value = json_uint(entry, name, 0);

    if (value > 1ULL << 53 && value != UINT64_MAX)
        refuse("config.json: linux.seccomp: %s: too large", name);
    return value;
}

/* 条件がすべて合うときだけ、その動作になる。同じ引数を 2 度調べる条件は、
 * libseccomp では 1 つにできないので、別々の (どれかが合えばよい) 規則にする。
 * runc(8) も同じ */
static void add_rule(scmp_filter_ctx filter, uint32_t action, int call,
                     const cJSON *list)
{
    struct scmp_arg_cmp args[ARGUMENTS_MAX];
    unsigned n = 0, seen = 0;
    bool is_repeated = false;
    const cJSON *entry;

    cJSON_ArrayForEach(entry, list) {
        unsigned index = json_uint(entry, "index", 0);
        if (index >= ARGUMENTS_MAX || n == ARGUMENTS_MAX)
            refuse("config.json: linux.seccomp: too many args");
        is_repeated |= seen >> index & 1;
        seen |= 1U << index;
        args[n++] = (struct scmp_arg_cmp){
            .arg = index,
            .op = compare_of(json_string(entry, "op")),
            .datum_a = argument(entry, "value"),
            .datum_b = argument(entry, "valueTwo"),
        };
    }
    int error = 0;
    for (unsigned i = 0; is_repeated && i < n && error == 0; i++)
        error = seccomp_rule_add_array(filter, action, call, 1, &args[i]);
    if (!is_repeated)
        error = seccomp_rule_add_array(filter, action, call, n, args);
    if (error != 0 && error != -EEXIST) {
        errno = -error;
        die("seccomp_rule_add");
    }
}

static void add_group(scmp_filter_ctx filter, const cJSON *group,
                      uint32_t fallback)
{
    unsigned error = json_uint(group, "errnoRet", EPERM);
    uint32_t action = action_of(json_string(group, "action"), error);

    if (action == fallback)
        return; /* 決めなくても、そうなる */
    for (char **name = json_strings(group, "names"); *name != NULL; name++) {
        int call = seccomp_syscall_resolve_name(*name);
        /* このカーネルや CPU にないシステムコールもある */
        if (call != __NR_SCMP_ERROR)
            add_rule(filter, action, call, json_get(group, "args"));
    }
}

static void add_architectures(scmp_filter_ctx filter, const cJSON *seccomp)
{
    for (char **name = json_strings(seccomp, "architectures"); *name != NULL;
         name++) {
        char word[32];
        snprintf(word, sizeof(word), "%s",
                 strncmp(*name, "SCMP_ARCH_", 10) == 0 ? *name + 10 : *name);
        for (char *c = word; *c != '\0'; c++)
            *c |= 0x20; /* 小文字に */
        uint32_t arch = seccomp_arch_resolve_name(word);
        if (arch == 0)
            continue; /* この libseccomp の知らない CPU の命令は、動かない */
        int error = seccomp_arch_add(filter, arch);
        if (error != 0 && error != -EEXIST) {
            errno = -error;
            die("seccomp_arch_add %s", word);
        }
    }
}

static void set_flags(scmp_filter_ctx filter, const cJSON *seccomp)
{
    for (char **flag = json_strings(seccomp, "flags"); *flag != NULL; flag++) {
        enum scmp_filter_attr attr;
        if (strcmp(*flag, "SECCOMP_FILTER_FLAG_TSYNC") == 0)
            attr = SCMP_FLTATR_CTL_TSYNC;
        else if (strcmp(*flag, "SECCOMP_FILTER_FLAG_LOG") == 0)
            attr = SCMP_FLTATR_CTL_LOG;
        else if (strcmp(*flag, "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
            attr = SCMP_FLTATR_CTL_SSB;
        else
            refuse("config.json: linux.seccomp.flags: %s: not supported",
                   *flag);
        seccomp_attr_set(filter, attr, 1);
    }
}

void load_seccomp(const cJSON *seccomp)
{
    const cJSON *group;

    if (seccomp == NULL)
        return;
    uint32_t fallback = action_of(json_string(seccomp, "defaultAction"),
                                  json_uint(seccomp, "defaultErrnoRet", EPERM));
    scmp_filter_ctx filter = seccomp_init(fallback);
    if (filter == NULL)
        refuse("config.json: linux.seccomp: defaultAction is wrong");
    /* no_new_privs は、config.json が決める。勝手に付けない */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    /* 規則が多いと、順に比べるより、木にするほうが速い */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    add_architectures(filter, seccomp);
    set_flags(filter, seccomp);
    cJSON_ArrayForEach(group, json_get(seccomp, "syscalls"))
        add_group(filter, group, fallback);
    int error = seccomp_load(filter);
    if (error != 0) {
        errno = -error;
        die("seccomp_load");
    }
    seccomp_release(filter);
}
