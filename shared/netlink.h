/*
 * netlink.h - カーネルのネットワーク設定を rtnetlink(7) のメッセージで変える
 *
 * ip(8) も同じメッセージを送っている。どの関数も、失敗したら -1 を返し、errno
 * にカーネルの答えを入れる。libmnl が要る。
 */
#ifndef NETLINK_H
#define NETLINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LINK_MARK "container-steps" /* リンクの別名 (alias) に付ける目印 */

struct mnl_socket;

/* pid のネットワーク名前空間につながるソケットを開く (0 なら自分のもの)。別の
 * 名前空間には、その所有者への CAP_SYS_ADMIN が要る。失敗は NULL。ソケットを開
 * いているあいだ、その名前空間は消えない。setns(2) */
struct mnl_socket *netlink_open(pid_t pid);
void netlink_close(struct mnl_socket *nl);

/* veth の対を作る。片方 (name) はここに、もう片方 (peer) は pid のネットワーク
 * 名前空間に置く。name がもうあれば EEXIST なので、作れたことが、その名前を取れ
 * た証拠になる。name には、目印とランチャーの PID を別名に付ける。veth(4) */
int link_add_veth(struct mnl_socket *nl, const char *name, const char *peer,
                  pid_t pid);

/* リンクを up にする。ip link set NAME up */
int link_up(struct mnl_socket *nl, const char *name);

/* リンクに IPv4 アドレスを付ける。address はホストのバイト順、prefix はビット
 * 数。ip addr add ADDRESS/PREFIX dev NAME */
int addr_add(struct mnl_socket *nl, const char *name, uint32_t address,
             unsigned prefix);

/* その番号のリンクが name でなくなるまで、2 秒まで待つ。同じ名前の新しいリンク
 * とは、番号で見分ける。番号が分からなければ (0)、名前だけで見る */
void link_wait_gone(const char *name, unsigned index);

/* 10.0.N.0/24 と重なる経路が main か local の表にあれば、used[N] を true にす
 * る。既定の経路 (0.0.0.0/0) は数えない。ip route show table all */
int routes_in_use(struct mnl_socket *nl, bool used[256]);

#endif
