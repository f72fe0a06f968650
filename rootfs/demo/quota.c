/*
 * quota: CPU を何ミリ秒か使い、そのあいだに経った時間を表示する。
 *   使い方: /demo/quota MS...
 *   例:     /demo/quota 10 30 50
 * CPU の上限があれば、使い切って止められたあと、次の周期の初めから測る。
 * 上限がなければ、止められないので、すぐに測る。
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_MS  10000.0
#define STOP_MS 15.0 /* これより長く止まれば、周期の終わりまで待たされた */
#define GIVE_UP 300.0 /* CPU をこれだけ使っても止まらなければ、上限はない */

static double now_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* 計算を続けて、時計が跳ぶ (動けない時間がある) のを待つ */
static bool wait_for_period(void)
{
    double end = now_ms(CLOCK_THREAD_CPUTIME_ID) + GIVE_UP;
    double last = now_ms(CLOCK_MONOTONIC);

    while (now_ms(CLOCK_THREAD_CPUTIME_ID) < end) {
        double now = now_ms(CLOCK_MONOTONIC);

        if (now - last > STOP_MS)
            return true;
        last = now;
    }
    return false;
}

/* 待たされた時間は、スレッドの CPU 時間に入らない。 clock_gettime(2) */
static double burn(double ms)
{
    double start = now_ms(CLOCK_MONOTONIC);
    double end = now_ms(CLOCK_THREAD_CPUTIME_ID) + ms;

    while (now_ms(CLOCK_THREAD_CPUTIME_ID) < end)
        ;
    return now_ms(CLOCK_MONOTONIC) - start;
}

static double parse_ms(const char *text)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !isfinite(value) ||
        value <= 0 || value > MAX_MS)
        errx(2, "bad MS: '%s'\nusage: quota MS...", text);
    return value;
}

int main(int argc, char *argv[])
{
    if (argc < 2)
        errx(2, "missing MS\nusage: quota MS...");
    for (int i = 1; i < argc; i++)
        parse_ms(argv[i]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        double ms = parse_ms(argv[i]);

        wait_for_period();
        printf("%g ms of CPU: %.0f ms\n", ms, burn(ms));
    }
    return 0;
}
