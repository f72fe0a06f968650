/*
 * cgroup.h - コントローラーがどこにあるかを探し、置き場所を用意する
 *
 * コンテナの cgroup は、階層の一番上に置いた STEP_CGROUP の下に作る。
 * ここで作るディレクトリには、目印としてスティッキービットを付ける。
 * 目印のないものは、名前が同じでも他人のものなので、使わず、消さない。
 *
 * ロックは 2 種類 (flock(2))。parent のロックを持つ人だけが、その下を作り、
 * 消す。path のロックは、ランチャーが生きている証拠になる。ほかのユーザーは、
 * 読み取りの許可がないので、ディレクトリを開けず、ロックも取得できない。
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define STEP_CGROUP "container-steps"
#define CGROUP_MODE 01711 /* スティッキービットが目印。mkdir(2) */

struct cgroup {
    int version; /* 1 か 2。0 なら使っていない */
    bool is_first; /* path を作る番か。v2 では 2 つ目から同じ path になる */
    char top[PATH_MAX]; /* 階層の一番上 */
    char parent[PATH_MAX + 32]; /* top/STEP_CGROUP */
    char path[PATH_MAX + 64]; /* parent/(ランチャーの PID) */
};

/* controller ("cpu" など) の階層を探し、このランチャーのための置き場所を
 * 決める。parent は作ってロックを取得するが、path を作るのは呼び出し側。
 * 死んだランチャーの cgroup は、中に残ったプロセスを終わらせて片付ける。
 * コントローラーがなければ die() で終わる。cgroups(7) */
void cgroup_find(struct cgroup *group, const char *controller);

/* 作り終えた cgroup のロックを取得し、parent のロックを解放する。ランチャーが
 * 終わるとロックも解放され、それが「もう片付けてよい」という印になる */
void cgroup_claim(void);

/* group を消す。最後のランチャーなら、parent も消し、上で有効にした
 * コントローラーを元に戻す。プロセスがいなくなってから呼ぶ。もう消えていても
 * 失敗ではない */
void cgroup_remove(const struct cgroup *group);

/* group の file に書式どおりの値を書き、読み返す。カーネルが別の値として
 * 受け取っていれば EINVAL で終わる。v1 は "-5" のような値を黙って
 * 受け取るからだ */
void cgroup_set(const struct cgroup *group, const char *file,
                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* 空の file に、親の cgroup の値をコピーする。v1 の cpuset に要る。cpuset(7) */
void cgroup_inherit(const struct cgroup *group, const char *file);

#endif
