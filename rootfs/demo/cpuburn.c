/*
 * cpuburn: 決まった量の計算をスレッドごとに行い、かかった秒数を表示する。
 *   使い方: /demo/cpuburn [スレッド数 [倍率]]   (省略すると 1 本、1 倍)
 *   例:     /demo/cpuburn 4 0.5
 * 1 倍で 1 本がおよそ 1 秒。時間でなく仕事の量が決まっているので、
 * CPU を制限されると、そのぶん秒数が延びる。
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ずっと遅いマシンのために作るときは、-D で変えられる */
#ifndef ROUNDS_PER_SCALE
#define ROUNDS_PER_SCALE 700000000.0
#endif
#define MAX_THREADS 1024
#define MAX_SCALE   1000.0
#define USAGE       "usage: cpuburn [THREADS [SCALE]]"

struct burner {
    pthread_t thread;
    int number;
    uint64_t rounds;
};

static double now_seconds(void)
{
    struct timespec now;

    /* 時計合わせで戻らない時計を使う。 clock_gettime(2) */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *burn(void *arg)
{
    const struct burner *self = arg;
    double start = now_seconds();
    uint64_t value = (uint64_t)self->number;

    for (uint64_t i = 0; i < self->rounds; i++) {
        value = value * 6364136223846793005U + 1;
        /* 結果を使わない計算は消されるので、使ったことにする。 */
        __asm__ volatile("" : "+r"(value));
    }
    printf("thread %d: %.3f s\n", self->number, now_seconds() - start);
    return NULL;
}

static double parse_number(const char *text, const char *what, double max)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !isfinite(value) ||
        value <= 0 || value > max)
        errx(2, "bad %s: '%s'\n%s", what, text, USAGE);
    return value;
}

static void run_burners(int count, double scale)
{
    struct burner burners[MAX_THREADS];

    for (int i = 0; i < count; i++) {
        int error;

        burners[i].number = i + 1;
        burners[i].rounds = (uint64_t)(scale * ROUNDS_PER_SCALE);
        /* errno は使われず、返り値が errno の値になる。 pthread_create(3) */
        error = pthread_create(&burners[i].thread, NULL, burn, &burners[i]);
        if (error != 0)
            errx(1, "pthread_create %d: %s", i + 1, strerror(error));
    }
    for (int i = 0; i < count; i++)
        pthread_join(burners[i].thread, NULL);
}

int main(int argc, char *argv[])
{
    double start = now_seconds();
    double count = 1;
    double scale = 1;

    if (argc > 3)
        errx(2, "too many arguments\n%s", USAGE);
    if (argc > 1)
        count = parse_number(argv[1], "THREADS", MAX_THREADS);
    if (count != (int)count)
        errx(2, "bad THREADS: '%s'\n%s", argv[1], USAGE);
    if (argc > 2)
        scale = parse_number(argv[2], "SCALE", MAX_SCALE);
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_burners((int)count, scale);
    printf("total: %.3f s\n", now_seconds() - start);
    return 0;
}
