/*
 * advertise.c - 偽のルーターになり、ルーター広告 (RA) を 1 つ送る (escape.bats)
 *
 *   advertise LINK
 *
 * デフォルトの経路は fe80::bad、アドレスは 2001:db8:bad::/64 から、と告げる。
 * 自分のアドレスがまだ使えなくても送れるように、IPv6 のパケットを丸ごと作る。
 * packet(7), RFC 4861
 */
#include <arpa/inet.h>
#include <err.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>

static struct {
    struct ip6_hdr ip;
    struct nd_router_advert advert;
    struct nd_opt_prefix_info prefix;
} __attribute__((packed)) packet;

#define BODY (sizeof(packet) - sizeof(packet.ip))

/* ICMPv6 のチェックサムは、送り手と宛先のアドレスも含める。RFC 4443 */
static uint16_t checksum(void)
{
    uint16_t words[(32 + BODY) / 2];
    uint32_t sum = htons(BODY) + htons(IPPROTO_ICMPV6);

    memcpy(words, &packet.ip.ip6_src, 32);
    memcpy(words + 16, &packet.advert, BODY);
    for (size_t i = 0; i < sizeof(words) / 2; i++)
        sum += words[i];
    sum = (sum >> 16) + (sum & 0xffff);
    return ~(sum + (sum >> 16));
}

int main(int argc, char *argv[])
{
    struct sockaddr_ll all_nodes = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_IPV6),
        .sll_halen = ETH_ALEN,
        .sll_addr = {0x33, 0x33, 0, 0, 0, 1},
        .sll_ifindex = argc == 2 ? if_nametoindex(argv[1]) : 0,
    };
    int fd = socket(AF_PACKET, SOCK_DGRAM, 0);

    if (fd == -1 || all_nodes.sll_ifindex == 0)
        err(1, "advertise LINK");
    packet.ip.ip6_flow = htonl(6 << 28);
    packet.ip.ip6_plen = htons(BODY);
    packet.ip.ip6_nxt = IPPROTO_ICMPV6;
    packet.ip.ip6_hlim = 255;
    inet_pton(AF_INET6, "fe80::bad", &packet.ip.ip6_src);
    inet_pton(AF_INET6, "ff02::1", &packet.ip.ip6_dst);
    packet.advert.nd_ra_type = ND_ROUTER_ADVERT;
    packet.advert.nd_ra_router_lifetime = htons(1800);
    packet.prefix.nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION;
    packet.prefix.nd_opt_pi_len = sizeof(packet.prefix) / 8;
    packet.prefix.nd_opt_pi_prefix_len = 64;
    packet.prefix.nd_opt_pi_flags_reserved =
        ND_OPT_PI_FLAG_ONLINK | ND_OPT_PI_FLAG_AUTO;
    packet.prefix.nd_opt_pi_valid_time = htonl(1800);
    packet.prefix.nd_opt_pi_preferred_time = htonl(1800);
    inet_pton(AF_INET6, "2001:db8:bad::", &packet.prefix.nd_opt_pi_prefix);
    packet.advert.nd_ra_cksum = checksum();
    if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&all_nodes,
               sizeof(all_nodes)) != sizeof(packet))
        err(1, "sendto");
    return 0;
}
