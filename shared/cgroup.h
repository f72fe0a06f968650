/*
 * cgroup.h - コントローラーがどこにあるかを探し、置き場所を用意する
 *
 * コンテナの cgroup は、階層の一番上に置いた STEP_CGROUP の下に作る。ここで作る
 * ディレクトリーには、目印としてスティッキービットを付ける。目印のないものは、
 * 名前が同じでも他人のものなので、使わず、消さない。
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define STEP_CGROUP "container-steps"
#define CGROUP_MODE 01755 /* スティッキービットが目印。mkdir(2) */

struct cgroup {
    int version; /* 1 か 2。0 なら使っていない */
    bool is_first; /* path を作る番か。v2 では 2 つ目から同じ path になる */
    char top[PATH_MAX]; /* 階層の一番上 */
    char parent[PATH_MAX + 32]; /* top/STEP_CGROUP */
    char path[PATH_MAX + 64]; /* parent/(ランチャーの PID) */
};

/* controller ("cpu" など) の階層を探し、このランチャーのための置き場所を決め
 * る。parent は作って鍵をかけるが、path を作るのは呼び出し側。もう動いていな
 * いランチャーの cgroup は片付ける。コントローラーがなければ die() で終わる。
 * cgroups(7) */
void cgroup_find(struct cgroup *group, const char *controller);

/* 作り終えた cgroup に鍵をかけ、parent の鍵を外す。ランチャーが終わると鍵は外
 * れ、それが「もう片付けてよい」という印になる。flock(2) */
void cgroup_claim(void);

/* group を消す。parent も、誰も使っていなければ消す。中のプロセスが終わってから
 * 呼ぶ。もう消えていても失敗ではない。rmdir(2) */
void cgroup_remove(const struct cgroup *group);

/* group の file に書式どおりの値を書き、読み返す。カーネルが別の値として受け取
 * っていれば EINVAL で終わる。v1 は "-5" のような値を黙って受け取るからだ */
void cgroup_set(const struct cgroup *group, const char *file,
                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* 空の file に、上の cgroup の値を写す。v1 の cpuset に要る。cpuset(7) */
void cgroup_inherit(const struct cgroup *group, const char *file);

#endif
