/* netlink.c - netlink のメッセージを組み立て、答えを読む */
#define _GNU_SOURCE
#include "netlink.h"
#include "ct-private.h"
#include "ct.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* 1 つの要求。属性を書き足していく。大きさは libmnl の examples にならう */
struct request {
    union {
        struct nlmsghdr head;
        char buffer[1024];
    };
};

static void *start(struct request *req, int type, int flags, size_t size)
{
    mnl_nlmsg_put_header(&req->head);
    req->head.nlmsg_type = type;
    req->head.nlmsg_flags = NLM_F_REQUEST | flags;
    return mnl_nlmsg_put_extra_header(&req->head, size);
}

/* 要求を送り、答えのメッセージを 1 つずつ callback に渡す */
static int exchange(struct mnl_socket *nl, struct request *req,
                    mnl_cb_t callback, void *data)
{
    char answer[16384];
    int result;

    if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == -1 ||
        mnl_socket_sendto(nl, &req->head, req->head.nlmsg_len) == -1)
        return -1;
    do {
        ssize_t length = mnl_socket_recvfrom(nl, answer, sizeof(answer));
        if (length == -1)
            return -1;
        result = mnl_cb_run(answer, length, 0, mnl_socket_get_portid(nl),
                            callback, data);
    } while (result > 0);
    return result;
}

/* protocol は、カーネルのどこと話すか。socket(2) の 3 つ目。netlink(7) */
static int talk(int protocol, struct request *req, mnl_cb_t callback,
                void *data)
{
    struct mnl_socket *nl = mnl_socket_open2(protocol, SOCK_CLOEXEC);
    int result = nl == NULL ? -1 : exchange(nl, req, callback, data);
    int error = errno;

    if (nl != NULL)
        mnl_socket_close(nl);
    errno = error;
    return result;
}

/* --- 使われている 10.0.N.0/24 を調べる ------------------------------------ */

/* 短いほうのプレフィックスで比べて等しければ、2 つの範囲は重なっている。ホスト
 * 自身のアドレスは local の表にあり、リンクが止まっていても載っている。
 * ほかの表は、使う人の決めた規則しだいなので見ない。ip-rule(8) */
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
        for (int n = 0; n < 256; n++)
            used[n] |= (subnet ^ SUBNET(n)) >> (32 - length) == 0;
    }
    return MNL_CB_OK;
}

/* IPv6 のソケットは、IPv4 の相手を ::ffff:10.0.0.5 のように表す。ipv6(7) */
static uint32_t ipv4_of(int family, const uint32_t *address)
{
    const uint32_t mapped[] = {0, 0, htonl(0xffff)};

    if (family == AF_INET)
        return ntohl(address[0]);
    return memcmp(address, mapped, sizeof(mapped)) ? 0 : ntohl(address[3]);
}

/* デフォルトの経路で届く相手 (ssh の接続元など) のいる範囲を取ると、
 * 返事がコンテナへ行ってしまう。両端が同じ範囲にあるものは数えない。
 * 終わったコンテナとの接続が、しばらく残ったもの。sock_diag(7) */
static int mark_peer(const struct nlmsghdr *head, void *data)
{
    bool *used = data;
    const struct inet_diag_msg *found = mnl_nlmsg_get_payload(head);
    uint32_t own = ipv4_of(found->idiag_family, found->id.idiag_src);
    uint32_t peer = ipv4_of(found->idiag_family, found->id.idiag_dst);

    if ((peer ^ SUBNET(0)) >> 16 == 0 && (peer ^ own) >> 8 != 0)
        used[peer >> 8 & 0xff] = true;
    return MNL_CB_OK;
}

static int mark_peers(int family, int protocol, bool used[256])
{
    struct request req;
    struct inet_diag_req_v2 *diag =
        start(&req, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*diag));

    diag->sdiag_family = family;
    diag->sdiag_protocol = protocol;
    diag->idiag_states = ~(1U << TCP_TIME_WAIT); /* もう終わった接続 */
    if (talk(NETLINK_SOCK_DIAG, &req, mark_peer, used) == 0)
        return 0;
    return errno == ENOENT ? 0 : -1; /* CONFIG_INET_DIAG のないカーネル */
}

void subnets_in_use(bool used[256])
{
    struct request req;
    struct rtmsg *route = start(&req, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));

    route->rtm_family = AF_INET;
    if (talk(NETLINK_ROUTE, &req, mark_route, used) == -1)
        die("netlink route 10.0.0.0/16");
    if (mark_peers(AF_INET, IPPROTO_TCP, used) == -1 ||
        mark_peers(AF_INET6, IPPROTO_TCP, used) == -1 ||
        mark_peers(AF_INET, IPPROTO_UDP, used) == -1 ||
        mark_peers(AF_INET6, IPPROTO_UDP, used) == -1)
        die("netlink sock_diag 10.0.0.0/16");
}

/* --- リンクを作り、動かし、消えるのを待つ --------------------------------- */

/* 作ったリンク。番号は、ほかで作られた同じ名前のリンクと見分けるため */
static struct {
    char name[IFNAMSIZ];
    unsigned index;
} made;

int link_add_veth(const char *name, const char *peer, pid_t pid)
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
    snprintf(made.name, sizeof(made.name), "%s", name);
    if (talk(NETLINK_ROUTE, &req, NULL, NULL) == -1) {
        if (errno != ENOBUFS) /* 答えを読めなかっただけなら、作れている */
            made.name[0] = '\0';
        return -1;
    }
    made.index = if_nametoindex(name);

    char mark[64], ns[32] = "";
    if (readlink("/proc/self/ns/pid", ns, sizeof(ns) - 1) == -1)
        return -1;
    snprintf(mark, sizeof(mark), LINK_MARK " %d %s", getpid(), ns);
    start(&req, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(&req.head, IFLA_IFNAME, name);
    mnl_attr_put_strz(&req.head, IFLA_IFALIAS, mark);
    return talk(NETLINK_ROUTE, &req, NULL, NULL);
}

static void set_address(int fd, const char *call, int request,
                        struct ifreq *link, uint32_t address)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(address)};

    memcpy(&link->ifr_addr, &in, sizeof(in));
    if (ioctl(fd, request, link) == -1)
        die("ioctl %s %s", call, link->ifr_name);
}

/* netlink でなく ioctl を使う。netlink のソケットを閉じても、カーネルは
 * 名前空間をすぐには放さない (RCU の猶予期間。20 ミリ秒ほど)。
 * 短いコマンドでは、veth が消えるのが、それだけ遅くなる。netdevice(7) */
void link_up(const char *name, uint32_t address, unsigned prefix)
{
    struct ifreq link = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd == -1)
        die("socket AF_INET");
    snprintf(link.ifr_name, sizeof(link.ifr_name), "%s", name);
    set_address(fd, "SIOCSIFADDR", SIOCSIFADDR, &link, address);
    set_address(fd, "SIOCSIFNETMASK", SIOCSIFNETMASK, &link,
                ~0U << (32 - prefix));
    if (ioctl(fd, SIOCGIFFLAGS, &link) == -1)
        die("ioctl SIOCGIFFLAGS %s", name);
    link.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &link) == -1)
        die("ioctl SIOCSIFFLAGS %s", name);
    close(fd);
}

void link_wait_gone(void)
{
    struct timespec interval = {.tv_nsec = 500 * 1000};
    unsigned now;

    for (int i = 0; i < 4000; i++) {
        now = if_nametoindex(made.name);
        if (now == 0 || (made.index != 0 && now != made.index))
            return;
        nanosleep(&interval, NULL);
    }
    report_error(path_of("link %s", made.name), EBUSY);
}
