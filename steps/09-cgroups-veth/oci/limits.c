/* limits.c - linux.resources を、cgroup のファイルに書く */
#define _GNU_SOURCE
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* config.json の数を、ファイルに書く形にする方法 */
enum unit {
    NUMBER,
    LIMIT, /* 負なら上限なし: v2 では "max" */
    SHARES, /* 2 から 262144 を、v2 の cpu.weight 1 から 10000 に */
    WEIGHT, /* 10 から 1000 を、v2 の io.weight 1 から 10000 に */
};

/* v1 か v2 のファイルがなければ、その版では断る。handled_elsewhere は下で */
static const struct {
    const char *key, *v1, *v2;
    enum unit unit;
} limits[] = {
    {"memory.reservation", "memory.soft_limit_in_bytes", "memory.low", LIMIT},
    {"memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", NULL, LIMIT},
    {"cpu.shares", "cpu.shares", "cpu.weight", SHARES},
    {"cpu.idle", "cpu.idle", "cpu.idle", NUMBER},
    {"cpu.realtimePeriod", "cpu.rt_period_us", NULL, NUMBER},
    {"cpu.realtimeRuntime", "cpu.rt_runtime_us", NULL, NUMBER},
    {"blockIO.weight", "blkio.weight", "io.weight", WEIGHT},
    {"blockIO.leafWeight", "blkio.leaf_weight", NULL, NUMBER},
    {"network.classID", "net_cls.classid", NULL, NUMBER},
};

static _Noreturn void refuse_limit(const char *key, const char *why)
{
    refuse("config.json: linux.resources.%s: %s", key, why);
}

/* そのファイルのある階層。ファイルの名前は、コントローラーの名前で始まる */
static const struct hierarchy *group_of(const char *key, const char *v1,
                                        const char *v2)
{
    char name[32];
    const struct hierarchy *group = NULL;

    if (v1 != NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(v1, "."), v1);
        group = find_controller(name);
    }
    if (group == NULL && v2 != NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(v2, "."), v2);
        group = find_controller(name);
    }
    if (group == NULL)
        refuse_limit(key, "this machine has no such controller");
    if ((group->version == 1 ? v1 : v2) == NULL)
        refuse_limit(key, group->version == 1 ? "not supported on cgroup v1"
                                              : "not supported on cgroup v2");
    return group;
}

static void set(const struct hierarchy *group, const char *v1, const char *v2,
                const char *value)
{
    char path[PATH_MAX];
    const char *file = group->version == 1 ? v1 : v2;

    if (file == NULL)
        return; /* group_of() が、もう断っている */
    const char *weight = strstr(file, ".weight");
    snprintf(path, sizeof(path), "%s/%s", group->path, file);
    /* 重みを見るスケジューラーは、今のカーネルでは BFQ だけのこともある */
    if (weight != NULL && access(path, F_OK) == -1)
        snprintf(path, sizeof(path), "%s/%.*s.bfq%s", group->path,
                 (int)(weight - file), file, weight);
    write_file(path, "%s", value);
}

static void format_limit(char *text, size_t size, long long value,
                         const struct hierarchy *group, enum unit unit)
{
    if (group->version == 2 && unit == SHARES)
        value = value < 2 ? 1 : 1 + (value - 2) * 9999 / 262142;
    if (group->version == 2 && unit == WEIGHT)
        value = value < 10 ? 1 : 1 + (value - 10) * 9999 / 990;
    if (group->version == 2 && unit == LIMIT && value < 0)
        snprintf(text, size, "max");
    else
        snprintf(text, size, "%lld", value);
}

static void set_simple_limits(const cJSON *resources)
{
    char text[32];

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        long long value = json_int(resources, limits[i].key, 0);
        bool is_idle = strcmp(limits[i].key, "cpu.idle") == 0;
        /* Docker は、指定のないものを 0 と書く */
        if (value == 0 && !(is_idle && json_get(resources, limits[i].key)))
            continue;
        const struct hierarchy *group =
            group_of(limits[i].key, limits[i].v1, limits[i].v2);
        format_limit(text, sizeof(text), value, group, limits[i].unit);
        set(group, limits[i].v1, limits[i].v2, text);
    }
}

/* pids だけは、0 にも意味がある */
static void set_pids(const cJSON *resources)
{
    if (json_get(resources, "pids.limit") == NULL)
        return;
    long long value = json_int(resources, "pids.limit", 0);
    const struct hierarchy *group =
        group_of("pids.limit", "pids.max", "pids.max");
    set(group, "pids.max", "pids.max",
        value <= 0 ? "max" : path_of("%lld", value));
}

/* 書く。ほかの値を先に変えなければならないときだけ、false */
static bool accepts(const char *path, const char *text)
{
    bool is_set = try_write(path, text);

    if (!is_set && errno != EINVAL)
        die("write %s", path);
    return is_set;
}

/* v1 の memsw は、メモリーとスワップの合計。大きくするときは先に、小さくする
 * ときはあとに書かないと、EINVAL になる */
static void set_memory_v1(const struct hierarchy *group, long long limit,
                          long long swap)
{
    char path[PATH_MAX], text[32];

    snprintf(path, sizeof(path), "%s/memory.limit_in_bytes", group->path);
    snprintf(text, sizeof(text), "%lld", limit);
    bool is_set = limit == 0 || accepts(path, text);
    if (swap != 0)
        write_file(path_of("%s/memory.memsw.limit_in_bytes", group->path),
                   "%lld", swap);
    if (!is_set)
        write_file(path, "%s", text);
}

static void set_memory(const cJSON *memory)
{
    long long limit = json_int(memory, "limit", 0);
    long long swap = json_int(memory, "swap", 0);
    char text[32];

    if (limit == 0 && swap == 0)
        return;
    if (limit < 0 && swap == 0)
        swap = -1; /* 上限のないメモリーより、合計が小さくてはならない */
    const struct hierarchy *group =
        group_of("memory.limit", "memory.limit_in_bytes", "memory.max");
    if (group->version == 1) {
        set_memory_v1(group, limit, swap);
        return;
    }
    if (limit != 0) {
        format_limit(text, sizeof(text), limit, group, LIMIT);
        write_file(path_of("%s/memory.max", group->path), "%s", text);
    }
    if (swap == 0)
        return;
    if (swap > 0 && (limit <= 0 || swap < limit))
        refuse_limit("memory.swap", "is less than memory.limit");
    format_limit(text, sizeof(text), swap < 0 ? swap : swap - limit, group,
                 LIMIT);
    write_file(path_of("%s/memory.swap.max", group->path), "%s", text);
}

static void set_oom(const cJSON *memory)
{
    unsigned long long swappiness = UINT64_MAX;

    if (json_int(memory, "swappiness", -1) >= 0)
        swappiness = json_uint(memory, "swappiness", UINT64_MAX);
    if (swappiness <= INT64_MAX) {
        const struct hierarchy *group =
            group_of("memory.swappiness", "memory.swappiness", NULL);
        set(group, "memory.swappiness", NULL, path_of("%llu", swappiness));
    }
    if (json_bool(memory, "disableOOMKiller"))
        set(group_of("memory.disableOOMKiller", "memory.oom_control", NULL),
            "memory.oom_control", NULL, "1");
    if (json_bool(memory, "checkBeforeUpdate"))
        refuse_limit("memory.checkBeforeUpdate", "not supported");
}

/* 親の cgroup にも上限があると、途中の組み合わせだけが断られることがある。
 * そのときは、逆の順で書く */
static void set_quota_v1(const struct hierarchy *group, long long quota,
                         unsigned long long period)
{
    char path[PATH_MAX], text[32];

    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", group->path);
    snprintf(text, sizeof(text), "%llu", period);
    bool is_set = period == 0 || accepts(path, text);
    if (quota != 0)
        set(group, "cpu.cfs_quota_us", NULL, path_of("%lld", quota));
    if (!is_set)
        write_file(path, "%s", text);
}

/* 周期と一緒に、1 行で書く。指定のないほうは、今のまま */
static void set_quota_v2(const struct hierarchy *group, long long quota,
                         unsigned long long period)
{
    char text[64] = "max", path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/cpu.max", group->path);
    FILE *file = fopen(path, "re");
    if (quota > 0)
        snprintf(text, sizeof(text), "%lld", quota);
    else if (quota == 0 && file != NULL && fscanf(file, "%31s", text) != 1)
        die("read %s", path);
    if (file != NULL)
        fclose(file);
    size_t length = strlen(text);
    if (period != 0)
        snprintf(text + length, sizeof(text) - length, " %llu", period);
    write_file(path, "%s", text);
}

static void set_cpu_quota(const cJSON *cpu)
{
    long long quota = json_int(cpu, "quota", 0);
    unsigned long long period = json_uint(cpu, "period", 0);
    unsigned long long burst = json_uint(cpu, "burst", 0);
    bool has_burst = json_get(cpu, "burst") != NULL;

    if (quota == 0 && period == 0 && !has_burst)
        return;
    const struct hierarchy *group =
        group_of("cpu.quota", "cpu.cfs_quota_us", "cpu.max");
    if (group->version == 1)
        set_quota_v1(group, quota, period);
    else if (quota != 0 || period != 0)
        set_quota_v2(group, quota, period);
    if (has_burst)
        set(group, "cpu.cfs_burst_us", "cpu.max.burst", path_of("%llu", burst));
}

static void set_cpuset(const cJSON *cpu)
{
    static const char *const keys[] = {"cpus", "mems"};

    for (size_t i = 0; i < 2; i++) {
        char file[32], key[32];
        const char *value = json_string(cpu, keys[i]);

        if (value == NULL || *value == '\0')
            continue;
        snprintf(file, sizeof(file), "cpuset.%s", keys[i]);
        snprintf(key, sizeof(key), "cpu.%s", keys[i]);
        set(group_of(key, file, file), file, file, value);
    }
}

/* デバイスごとの上限: v1 は「8:0 1000」、v2 は「8:0 rbps=1000」 */
static void set_block_io(const cJSON *block)
{
    static const struct {
        const char *key, *v1, *v2, *value;
    } lists[] = {
        {"weightDevice", "blkio.weight_device", "io.weight", "weight"},
        {"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps",
         "rate"},
        {"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps",
         "rate"},
        {"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops",
         "rate"},
        {"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops",
         "rate"},
    };
    const cJSON *entry;
    char text[128], key[64];

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        cJSON_ArrayForEach(entry, json_get(block, lists[i].key)) {
            bool is_weight = i == 0;
            snprintf(key, sizeof(key), "blockIO.%s", lists[i].key);
            const struct hierarchy *group =
                group_of(key, lists[i].v1, is_weight ? "io.weight" : "io.max");
            bool is_v2_rate = group->version == 2 && !is_weight;
            snprintf(text, sizeof(text), "%lld:%lld %s%s%llu",
                     json_int(entry, "major", 0), json_int(entry, "minor", 0),
                     is_v2_rate ? lists[i].v2 : "", is_v2_rate ? "=" : "",
                     json_uint(entry, lists[i].value, 0));
            set(group, lists[i].v1, is_weight ? "io.weight" : "io.max", text);
        }
}

static void set_huge_pages(const cJSON *list)
{
    const cJSON *entry;
    char v1[128], v2[128];

    cJSON_ArrayForEach(entry, list) {
        const char *size = json_string(entry, "pageSize");
        if (size == NULL || strpbrk(size, "/.") != NULL)
            refuse_limit("hugepageLimits", "pageSize is wrong");
        snprintf(v1, sizeof(v1), "hugetlb.%s.limit_in_bytes", size);
        snprintf(v2, sizeof(v2), "hugetlb.%s.max", size);
        set(group_of("hugepageLimits", v1, v2), v1, v2,
            path_of("%llu", json_uint(entry, "limit", 0)));
    }
}

static void set_network_and_rdma(const cJSON *resources)
{
    const cJSON *entry;

    cJSON_ArrayForEach(entry, json_get(resources, "network.priorities")) {
        set(group_of("network.priorities", "net_prio.ifpriomap", NULL),
            "net_prio.ifpriomap", NULL,
            path_of("%s %llu", json_string(entry, "name"),
                    json_uint(entry, "priority", 0)));
    }
    cJSON_ArrayForEach(entry, json_map(resources, "rdma")) {
        set(group_of("rdma", "rdma.max", "rdma.max"), "rdma.max", "rdma.max",
            path_of("%s hca_handle=%llu hca_object=%llu", entry->string,
                    json_uint(entry, "hcaHandles", UINT32_MAX),
                    json_uint(entry, "hcaObjects", UINT32_MAX)));
    }
}

/* v2 のファイルに、書いてあるとおりに書く */
static void set_unified(const cJSON *unified)
{
    const cJSON *entry;

    cJSON_ArrayForEach(entry, unified) {
        if (strchr(entry->string, '/') != NULL || !cJSON_IsString(entry))
            refuse_limit("unified", "a name or value is wrong");
        set(group_of("unified", NULL, entry->string), NULL, entry->string,
            entry->valuestring);
    }
}

void apply_limits(const cJSON *resources)
{
    const cJSON *memory = json_get(resources, "memory");
    const cJSON *cpu = json_get(resources, "cpu");

    set_memory(memory);
    set_oom(memory);
    set_cpu_quota(cpu);
    set_cpuset(cpu);
    set_pids(resources);
    set_simple_limits(resources);
    set_block_io(json_get(resources, "blockIO"));
    set_huge_pages(json_get(resources, "hugepageLimits"));
    set_network_and_rdma(resources);
    set_unified(json_map(resources, "unified"));
}
