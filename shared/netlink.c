/* netlink.c - rtnetlink のメッセージを組み立て、答えを待つ */
#define _GNU_SOURCE
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SUBNET(n) (10U << 24 | (n) << 8) /* 10.0.n.0 */

/* 1 つの要求。属性を書き足していく。大きさは libmnl の examples にならう */
struct request {
    union {
        struct nlmsghdr head;
        char buffer[1024];
    };
};

static struct mnl_socket *open_here(void)
{
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

    if (nl != NULL && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == -1) {
        mnl_socket_close(nl);
        nl = NULL;
    }
    return nl;
}

struct mnl_socket *netlink_open(pid_t pid)
{
    char path[64];

    if (pid == 0)
        return open_here();
    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(path, O_RDONLY | O_CLOEXEC);
    struct mnl_socket *nl = NULL;

    /* ソケットは、開いたときの名前空間にずっと属する。だから開いたらすぐ戻る */
    if (here != -1 && there != -1 && setns(there, CLONE_NEWNET) == 0) {
        nl = open_here();
        if (setns(here, CLONE_NEWNET) == -1) {
            netlink_close(nl);
            nl = NULL;
        }
    }
    int error = errno;
    close(here);
    close(there);
    errno = error;
    return nl;
}

void netlink_close(struct mnl_socket *nl)
{
    if (nl != NULL)
        mnl_socket_close(nl);
}

/* 要求を送り、答えのメッセージを 1 つずつ callback に渡す */
static int talk(struct mnl_socket *nl, struct request *req, mnl_cb_t callback,
                void *data)
{
    static unsigned sequence;
    char answer[16384];
    unsigned port = mnl_socket_get_portid(nl);
    int result;

    req->head.nlmsg_seq = ++sequence;
    if (mnl_socket_sendto(nl, &req->head, req->head.nlmsg_len) == -1)
        return -1;
    do {
        ssize_t length = mnl_socket_recvfrom(nl, answer, sizeof(answer));
        if (length == -1)
            return -1;
        result = mnl_cb_run(answer, length, sequence, port, callback, data);
    } while (result > 0);
    return result;
}

static void *start(struct request *req, int type, int flags, size_t size)
{
    mnl_nlmsg_put_header(&req->head);
    req->head.nlmsg_type = type;
    req->head.nlmsg_flags = NLM_F_REQUEST | flags;
    return mnl_nlmsg_put_extra_header(&req->head, size);
}

int link_add_veth(struct mnl_socket *nl, const char *name, const char *peer,
                  pid_t pid)
{
    struct request req;
    int flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

    start(&req, RTM_NEWLINK, flags, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(&req.head, IFLA_IFNAME, name);
    struct nlattr *info = mnl_attr_nest_start(&req.head, IFLA_LINKINFO);
    mnl_attr_put_strz(&req.head, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(&req.head, IFLA_INFO_DATA);
    struct nlattr *other = mnl_attr_nest_start(&req.head, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(&req.head, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(&req.head, IFLA_IFNAME, peer);
    mnl_attr_put_u32(&req.head, IFLA_NET_NS_PID, pid);
    mnl_attr_nest_end(&req.head, other);
    mnl_attr_nest_end(&req.head, data);
    mnl_attr_nest_end(&req.head, info);
    if (talk(nl, &req, NULL, NULL) == -1)
        return -1;

    char mark[64];
    snprintf(mark, sizeof(mark), LINK_MARK " %d", getpid());
    start(&req, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(&req.head, IFLA_IFNAME, name);
    mnl_attr_put_strz(&req.head, IFLA_IFALIAS, mark);
    return talk(nl, &req, NULL, NULL);
}

int link_up(struct mnl_socket *nl, const char *name)
{
    struct request req;
    struct ifinfomsg *link = start(&req, RTM_NEWLINK, NLM_F_ACK, sizeof(*link));

    link->ifi_flags = IFF_UP;
    link->ifi_change = IFF_UP;
    mnl_attr_put_strz(&req.head, IFLA_IFNAME, name);
    return talk(nl, &req, NULL, NULL);
}

static int save_index(const struct nlmsghdr *head, void *data)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(head);

    *(int *)data = link->ifi_index;
    return MNL_CB_OK;
}

/* リンクの番号を返す。なければ -1 と ENODEV。ip link show NAME */
static int link_index(struct mnl_socket *nl, const char *name)
{
    struct request req;
    int index = -1;

    /* ACK も頼むのは、答えの最後がどれかを talk() に知らせるため */
    start(&req, RTM_GETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(&req.head, IFLA_IFNAME, name);
    return talk(nl, &req, save_index, &index) == -1 ? -1 : index;
}

void link_wait_gone(const char *name, unsigned index)
{
    struct timespec interval = {.tv_nsec = 500 * 1000};
    unsigned now;

    for (int i = 0; i < 4000 && (now = if_nametoindex(name)) != 0; i++) {
        if (index != 0 && now != index)
            return;
        nanosleep(&interval, NULL);
    }
}

int addr_add(struct mnl_socket *nl, const char *name, uint32_t address,
             unsigned prefix)
{
    struct request req;
    int flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    int index = link_index(nl, name);
    struct ifaddrmsg *addr = start(&req, RTM_NEWADDR, flags, sizeof(*addr));

    if (index == -1)
        return -1;
    addr->ifa_family = AF_INET;
    addr->ifa_prefixlen = prefix;
    addr->ifa_index = index;
    mnl_attr_put_u32(&req.head, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(&req.head, IFA_ADDRESS, htonl(address));
    return talk(nl, &req, NULL, NULL);
}

/* 短いほうのプレフィックスで比べて等しければ、2 つの範囲は重なっている。ホスト
 * 自身のアドレスは local の表にあり、リンクが止まっていても載っている。ほかの表
 * は、使う人の決めた規則しだいなので見ない。ip-rule(8) */
static int mark_route(const struct nlmsghdr *head, void *data)
{
    bool *used = data;
    const struct rtmsg *route = mnl_nlmsg_get_payload(head);
    const struct nlattr *attr;
    unsigned length = route->rtm_dst_len > 24 ? 24 : route->rtm_dst_len;

    if (route->rtm_table != RT_TABLE_MAIN && route->rtm_table != RT_TABLE_LOCAL)
        return MNL_CB_OK;
    if (length == 0)
        return MNL_CB_OK;
    mnl_attr_for_each(attr, head, sizeof(*route))
    {
        if (mnl_attr_get_type(attr) != RTA_DST)
            continue;
        uint32_t subnet = ntohl(mnl_attr_get_u32(attr));
        for (uint32_t n = 0; n < 256; n++)
            used[n] |= (subnet ^ SUBNET(n)) >> (32 - length) == 0;
    }
    return MNL_CB_OK;
}

int routes_in_use(struct mnl_socket *nl, bool used[256])
{
    struct request req;
    struct rtmsg *route = start(&req, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));

    route->rtm_family = AF_INET;
    return talk(nl, &req, mark_route, used);
}
