/* capabilities.c - process.capabilities の 5 つの集合。順番は step 08 と同じ */
#define _GNU_SOURCE
#include "oci.h"

#include <sys/capability.h>

/* 知らない名前や、自分も持っていないものは、警告だけ残す。
 * config.md の Linux Process */
static uint64_t capability_bits(const cJSON *capabilities, const char *set)
{
    uint64_t bits = 0;
    cap_value_t cap;

    for (char **name = json_strings(capabilities, set); *name != NULL; name++)
        if (cap_from_name(*name, &cap) == -1 || cap_get_bound(cap) != 1)
            warn_log("config.json: process.capabilities.%s: %s: not available",
                     set, *name);
        else
            bits |= 1ULL << cap;
    return bits;
}

/* CAP_SETPCAP があるうちに、バウンディングセットから */
void drop_bounding(const cJSON *capabilities)
{
    uint64_t keep = capability_bits(capabilities, "bounding");

    if (capabilities == NULL)
        return; /* 指定がなければ、そのまま */
    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
        if (!(keep >> cap & 1) && cap_drop_bound(cap) == -1)
            die("cap_drop_bound %d", cap);
}

static void set_ambient(uint64_t bits)
{
    bool is_refused = false;

    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
        if (bits >> cap & 1)
            is_refused |= cap_set_ambient(cap, CAP_SET) == -1;
    if (is_refused) /* 許可され、継承もされるものだけが、アンビエントになる */
        warn_log("config.json: process.capabilities.ambient: not inheritable");
}

void set_capabilities(const cJSON *capabilities)
{
    const struct {
        cap_flag_t flag;
        uint64_t bits;
    } sets[] = {
        {CAP_EFFECTIVE, capability_bits(capabilities, "effective")},
        {CAP_PERMITTED, capability_bits(capabilities, "permitted")},
        {CAP_INHERITABLE, capability_bits(capabilities, "inheritable")},
    };
    cap_t caps = cap_init();

    if (capabilities == NULL)
        return;
    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
        for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
            if (sets[i].bits >> cap & 1)
                cap_set_flag(caps, sets[i].flag, 1, &cap, CAP_SET);
    if (cap_set_proc(caps) == -1)
        die("cap_set_proc");
    cap_free(caps);
    set_ambient(capability_bits(capabilities, "ambient"));
}
