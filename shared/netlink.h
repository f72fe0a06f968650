/*
 * netlink.h - ネットワークを調べ、リンク (ネットワークデバイス) を作る
 *
 * カーネルとは、ip(8) や ss(8) と同じ netlink(7) のメッセージで話す。
 * libmnl が要る。アドレスは、ホストのバイト順の数で表す。
 */
#ifndef NETLINK_H
#define NETLINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LINK_MARK "container-steps" /* リンクの別名 (alias) に付ける目印 */
#define SUBNET(n) (10U << 24 | (uint32_t)(n) << 8) /* 10.0.n.0 */

/* 10.0.N.0/24 が使われていれば、used[N] を true にする。
 * - 重なる経路が、main か local の表にある。デフォルトの経路 (0.0.0.0/0) は、
 *   数えない。ip route show table all
 * - 経路はなくても、今つながっている相手がいる。ss --tcp --udp */
void subnets_in_use(bool used[256]);

/* veth の対を作る。片方 (name) はここに、もう片方 (peer) は pid の
 * ネットワーク名前空間に置く。name の別名は、目印と、ランチャーの PID と、
 * その PID 名前空間にする。
 * 失敗は -1 と errno で、name がもうあれば EEXIST。だから、作れたことが、
 * その名前を取れた証拠になる。veth(4) */
int link_add_veth(const char *name, const char *peer, pid_t pid);

/* 自分のネットワーク名前空間にあるリンクに IPv4 アドレスを付け、up にする。
 * ip addr add ADDRESS/PREFIX dev NAME && ip link set NAME up */
void link_up(const char *name, uint32_t address, unsigned prefix);

/* link_add_veth() の作ったリンクが消えるまで待つ。2 秒ほどたっても残れば、
 * どれが、なぜ残ったかを stderr に出す */
void link_wait_gone(void);

#endif
