/* capabilities.c - process.capabilities の 5 つの集合 */
#define _GNU_SOURCE
#include "oci.h"

#include <sys/capability.h>

static uint64_t capability_bits(const cJSON *capabilities, const char *set)
{
    uint64_t bits = 0;
    cap_value_t cap;

    for (char **name = json_strings(capabilities, set); *name != NULL; name++)
        if (cap_from_name(*name, &cap) == 0)
            bits |= 1ULL << cap;
        else
            warn_log("config.json: process.capabilities: %s is unknown", *name);
    return bits;
}

/* 順番は step 08 と同じ: CAP_SETPCAP があるうちに、バウンディングセットから */
void drop_bounding(const cJSON *capabilities)
{
    uint64_t keep = capability_bits(capabilities, "bounding");

    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
        if (!(keep >> cap & 1) && cap_drop_bound(cap) == -1)
            die("cap_drop_bound %d", cap);
}

void set_capabilities(const cJSON *capabilities)
{
    static const struct {
        const char *name;
        cap_flag_t flag;
    } sets[] = {
        {"effective", CAP_EFFECTIVE},
        {"permitted", CAP_PERMITTED},
        {"inheritable", CAP_INHERITABLE},
    };
    cap_t caps = cap_init();
    uint64_t ambient = capability_bits(capabilities, "ambient");

    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
        for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
            if (capability_bits(capabilities, sets[i].name) >> cap & 1)
                cap_set_flag(caps, sets[i].flag, 1, &cap, CAP_SET);
    if (cap_set_proc(caps) == -1)
        die("cap_set_proc");
    cap_free(caps);
    /* 許可され、継承もされるものだけが、アンビエントになる。capabilities(7) */
    bool is_refused = false;
    for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
        if (ambient >> cap & 1)
            is_refused |= cap_set_ambient(cap, CAP_SET) == -1;
    if (is_refused)
        warn_log("config.json: process.capabilities.ambient: not inheritable");
}
