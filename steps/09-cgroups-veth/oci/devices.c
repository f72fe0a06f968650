/* devices.c - どのデバイスを開いてよいか。v1 は一覧、v2 は BPF のプログラム */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANY       (-1)
#define RULES_MAX 512
#define CODE_MAX  (RULES_MAX * 10 + 16)

struct rule {
    bool allow;
    char type; /* 'a', 'b', 'c' */
    long long major, minor; /* ANY なら、どれでも */
    const char *access; /* "rwm" */
};

/* 断れないもの。config-linux.md の Default Devices と、端末、mknod(2) */
static const struct rule always[] = {
    {true, 'c', ANY, ANY, "m"}, {true, 'b', ANY, ANY, "m"},
    {true, 'c', 1, 3, "rwm"},   {true, 'c', 1, 5, "rwm"},
    {true, 'c', 1, 7, "rwm"},   {true, 'c', 1, 8, "rwm"},
    {true, 'c', 1, 9, "rwm"},   {true, 'c', 5, 0, "rwm"},
    {true, 'c', 5, 2, "rwm"},   {true, 'c', 136, ANY, "rwm"},
};

static struct rule rules[RULES_MAX];
static size_t rule_count;

static void add_rule(struct rule rule)
{
    if (rule_count == RULES_MAX)
        refuse("config.json: linux.resources.devices: too many");
    rules[rule_count++] = rule;
}

/* 前から順に重ね、あとのものが勝つ。初めは、すべてだめ */
static void collect_rules(const cJSON *list)
{
    const cJSON *entry;

    rule_count = 0;
    add_rule((struct rule){false, 'a', ANY, ANY, "rwm"});
    cJSON_ArrayForEach(entry, list) {
        const char *type = json_string(entry, "type");
        const char *access = json_string(entry, "access");
        struct rule rule = {
            .allow = json_bool(entry, "allow"),
            .type = type == NULL || *type == '\0' ? 'a' : *type,
            .major = json_int(entry, "major", ANY),
            .minor = json_int(entry, "minor", ANY),
            .access = access == NULL || *access == '\0' ? "rwm" : access,
        };
        if (strchr("abcup", rule.type) == NULL ||
            rule.access[strspn(rule.access, "rwm")] != '\0')
            refuse("config.json: linux.resources.devices: a rule is wrong");
        if (rule.type == 'u')
            rule.type = 'c';
        add_rule(rule);
    }
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        add_rule(always[i]);
}

static void number_or_star(char *text, size_t size, long long number)
{
    if (number < 0)
        snprintf(text, size, "*");
    else
        snprintf(text, size, "%lld", number);
}

static void write_list(const char *group)
{
    char major[24], minor[24];

    for (size_t i = 0; i < rule_count; i++) {
        const struct rule *rule = &rules[i];
        const char *file =
            path_of("%s/devices.%s", group, rule->allow ? "allow" : "deny");
        number_or_star(major, sizeof(major), rule->major);
        number_or_star(minor, sizeof(minor), rule->minor);
        if (rule->type == 'a')
            write_file(file, "a");
        else
            write_file(file, "%c %s:%s %s", rule->type, major, minor,
                       rule->access);
    }
}

/* --- v2 ------------------------------------------------------------------- */

static struct bpf_insn code[CODE_MAX];
static size_t length;

static void emit(uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
    code[length++] = (struct bpf_insn){
        .code = op, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

static int access_bits(const char *access)
{
    return (strchr(access, 'm') != NULL ? BPF_DEVCG_ACC_MKNOD : 0) |
           (strchr(access, 'r') != NULL ? BPF_DEVCG_ACC_READ : 0) |
           (strchr(access, 'w') != NULL ? BPF_DEVCG_ACC_WRITE : 0);
}

/* r2 = 種類、r3 = 求めるアクセス、r4 = major、r5 = minor。合えば allow を返して
 * 終わり、合わなければ次の規則へ跳ぶ。許すのは、求めるものをすべて含むとき、
 * 断るのは、1 つでも含むとき */
static void emit_rule(const struct rule *rule)
{
    size_t jumps[5], jump_count = 0;
    int bits = access_bits(rule->access);

#define SKIP_IF(op, reg, value) \
    do { \
        jumps[jump_count++] = length; \
        emit(BPF_JMP | (op) | BPF_K, reg, 0, 0, value); \
    } while (0)
    if (rule->type != 'a')
        SKIP_IF(BPF_JNE, BPF_REG_2,
                rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (bits != 7) {
        emit(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
        emit(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0,
             rule->allow ? ~bits & 7 : bits);
        SKIP_IF(rule->allow ? BPF_JNE : BPF_JEQ, BPF_REG_1, 0);
    }
    if (rule->major >= 0)
        SKIP_IF(BPF_JNE, BPF_REG_4, rule->major);
    if (rule->minor >= 0)
        SKIP_IF(BPF_JNE, BPF_REG_5, rule->minor);
#undef SKIP_IF
    emit(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule->allow);
    emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (size_t i = 0; i < jump_count; i++)
        code[jumps[i]].off = length - jumps[i] - 1;
}

/* 文脈の access_type は、下の 16 ビットが種類、上が求めるアクセス。
 * bpf(2), linux/bpf.h の bpf_cgroup_dev_ctx */
static void emit_program(void)
{
    const uint8_t load = BPF_LDX | BPF_W | BPF_MEM;

    length = 0;
    emit(load, BPF_REG_2, BPF_REG_1,
         offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
    emit(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
    emit(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
    emit(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
    emit(load, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major),
         0);
    emit(load, BPF_REG_5, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor),
         0);
    /* あとのものが勝つので、後ろから調べる。「すべて」の先には、もう来ない */
    for (size_t i = rule_count; i-- > 0;) {
        emit_rule(&rules[i]);
        if (rules[i].type == 'a' && rules[i].major < 0 && rules[i].minor < 0 &&
            access_bits(rules[i].access) == 7)
            break;
    }
}

static int bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static void attach_program(const char *group)
{
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insns = (uintptr_t)code,
        .insn_cnt = length,
        .license = (uintptr_t) "GPL",
    };
    union bpf_attr attach = {
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI,
    };
    int program = bpf(BPF_PROG_LOAD, &load);

    if (program == -1)
        die("bpf BPF_PROG_LOAD");
    int directory = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory == -1)
        die("open %s", group);
    attach.target_fd = directory;
    attach.attach_bpf_fd = program;
    if (bpf(BPF_PROG_ATTACH, &attach) == -1)
        die("bpf BPF_PROG_ATTACH %s", group);
    close(directory);
    close(program);
}

/* ユーザー名前空間の中のランタイム (rootless) には、どちらもできない。そこでは
 * mknod(2) もできないので、コンテナが増やせるデバイスはない */
static bool is_in_user_namespace(void)
{
    unsigned inside, outside, size;
    FILE *file = fopen("/proc/self/uid_map", "re");
    bool is_whole = file != NULL &&
                    fscanf(file, "%u %u %u", &inside, &outside, &size) == 3 &&
                    size == UINT32_MAX;

    if (file != NULL)
        fclose(file);
    return !is_whole;
}

void apply_devices(const cJSON *list, const struct hierarchy *group)
{
    if (group == NULL || is_in_user_namespace())
        return;
    collect_rules(list);
    if (group->version == 1) {
        write_list(group->path);
        return;
    }
    emit_program();
    attach_program(group->path);
}
