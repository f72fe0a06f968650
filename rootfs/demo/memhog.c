/*
 * memhog: メモリーを 1 MB ずつ取り、取れた量を 1 行ずつ表示する。
 *   使い方: /demo/memhog [最大 MB [間隔 ms]]   (省略すると 256 MB、20 ms)
 *   例:     /demo/memhog 100
 * メモリーの上限があるコンテナでは、上限の手前で Killed になる。
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STEP_BYTES      (1024 * 1024)
#define DEFAULT_MAX_MB  256
#define DEFAULT_PACE_MS 20
#define LIMIT           1000000000L

static long parse_number(const char *text, const char *what)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > LIMIT)
        errx(2, "bad %s: '%s'\nusage: memhog [MAX_MB [MS]]", what, text);
    return value;
}

static void sleep_ms(long ms)
{
    struct timespec pace = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&pace, &pace) == -1 && errno == EINTR)
        ;
}

/* 使わないページは数えられない。1 バイト書いて初めてメモリーになる。 mmap(2) */
static void take_step(size_t page_size)
{
    volatile char *mem = mmap(NULL, STEP_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mem == MAP_FAILED)
        err(1, "mmap %d bytes", STEP_BYTES);
    for (size_t i = 0; i < STEP_BYTES; i += page_size)
        mem[i] = 1;
}

int main(int argc, char *argv[])
{
    long max_mb = DEFAULT_MAX_MB;
    long pace_ms = DEFAULT_PACE_MS;

    if (argc > 3)
        errx(2, "too many arguments\nusage: memhog [MAX_MB [MS]]");
    if (argc > 1)
        max_mb = parse_number(argv[1], "MAX_MB");
    if (argc > 2)
        pace_ms = parse_number(argv[2], "MS");
    /* SIGKILL で死ぬと、ためた行は失われる。1 行ずつ出す。 setvbuf(3) */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (long mb = 1; mb <= max_mb; mb++) {
        take_step((size_t)sysconf(_SC_PAGESIZE));
        printf("memhog: %ld MB\n", mb);
        sleep_ms(pace_ms);
    }
    return 0;
}
