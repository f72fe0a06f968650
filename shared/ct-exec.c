/* ct-exec.c - コマンドを exec する。できなければ、その理由を親に知らせる */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* exec が失敗した原因はどのファイルにあるか。ENOENT なら、それがない */
enum missing {
    MISSING_COMMAND, /* コマンドそのもの */
    MISSING_INTERPRETER, /* スクリプトの 1 行目 (#!) のプログラム */
    MISSING_LOADER, /* 動的リンクのローダー (ld-linux など) */
};

/* exec に失敗した理由。PIPE_BUF より小さいので、1 回の write(2) で届く */
struct exec_failure {
    int error;
    enum missing missing;
    char path[256];
};

#define HEAD_SIZE        256 /* カーネルが #! を探す、先頭のバイト数 */
#define INTERPRETERS_MAX 5 /* カーネルが #! をたどる回数 */

void prepare_exec(char *const *command, const struct pipes *pipes)
{
    unsigned int report = pipes->report[1];

    lead_terminal(command);
    restore_signals();
    /* musl と、2.34 より古い glibc には、close_range() という関数がない */
    if (report > 3 && syscall(SYS_close_range, 3, report - 1, 0) == -1)
        die("close_range 3");
    if (syscall(SYS_close_range, report + 1, ~0U, 0) == -1)
        die("close_range %u", report + 1);
}

/* --- 失敗の理由を調べる --------------------------------------------------- */

/* ELF のプログラムヘッダーから PT_INTERP を探す。32 ビットと 64 ビットでは
 * 構造体が違うだけなので、同じ手順を型だけ変えて 2 度作る。ヘッダーは合わせて
 * 64 KiB までで、それより大きいものはカーネルも読まない。elf(5) */
#define DEFINE_READ_LOADER(bits) \
    static bool read_loader##bits(int fd, char *path, size_t size) \
    { \
        Elf##bits##_Ehdr head; \
        Elf##bits##_Phdr part; \
\
        if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || \
            head.e_phnum > 65536 / sizeof(part)) \
            return false; \
        for (int i = 0; i < head.e_phnum; i++) { \
            off_t at = head.e_phoff + i * sizeof(part); \
            if (pread(fd, &part, sizeof(part), at) != sizeof(part)) \
                return false; \
            if (part.p_type != PT_INTERP || part.p_filesz >= size) \
                continue; \
            ssize_t length = pread(fd, path, part.p_filesz, part.p_offset); \
            path[length > 0 ? length : 0] = '\0'; \
            return *path != '\0'; \
        } \
        return false; \
    }
DEFINE_READ_LOADER(32)
DEFINE_READ_LOADER(64)

static bool read_loader(int fd, const char *head, char *path, size_t size)
{
    if (memcmp(head, ELFMAG, SELFMAG) != 0)
        return false;
    return head[EI_CLASS] == ELFCLASS64 ? read_loader64(fd, path, size)
                                        : read_loader32(fd, path, size);
}

/* "#! /bin/sh -e\n" から /bin/sh を取り出す。head の終わり (HEAD_SIZE) で
 * 切れた名前は、カーネルも使わない。execve(2) の Interpreter scripts */
static bool read_interpreter(const char *head, char *path, size_t size)
{
    if (strncmp(head, "#!", 2) != 0)
        return false;
    const char *name = head + 2 + strspn(head + 2, " \t");
    int length = strcspn(name, " \t\n");
    if (length == 0 || name + length == head + HEAD_SIZE)
        return false;
    snprintf(path, size, "%.*s", length, name);
    return true;
}

/* path を動かすのに要るプログラムを 1 つだけ調べ、そのパスを next に入れて
 * 種類を返す。何も要らないなら MISSING_COMMAND。ほかのコンテナが FIFO に
 * 差し替えていても、O_NONBLOCK なら待たされない。fifo(7) */
static enum missing next_program(const char *path, char *next, size_t size)
{
    char head[HEAD_SIZE + 1] = "";
    enum missing kind = MISSING_COMMAND;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd == -1)
        return kind;
    if (pread(fd, head, HEAD_SIZE, 0) > 0) {
        if (read_interpreter(head, next, size))
            kind = MISSING_INTERPRETER;
        else if (read_loader(fd, head, next, size))
            kind = MISSING_LOADER;
    }
    close(fd);
    return kind;
}

/* exec に失敗した command から #! と PT_INTERP を順にたどり、見つからないものや
 * 実行できないもののパスを failure に入れる。#! が自分自身を指していても、
 * カーネルと同じ回数でやめる。そのファイルが見えるルートの中で呼ぶこと。
 * execve(2), elf(5) */
static void find_missing(const char *command, struct exec_failure *failure)
{
    char next[sizeof(failure->path)];
    const char *found = find_command(command);

    snprintf(failure->path, sizeof(failure->path), "%s",
             *found == '\0' ? command : found);
    for (int depth = 0; depth < INTERPRETERS_MAX; depth++) {
        if (command_refusal(failure->path) != 0)
            return;
        enum missing kind = next_program(failure->path, next, sizeof(next));
        /* 形式が違うなら、ローダーまで進んでいない */
        if (kind == MISSING_COMMAND ||
            (kind == MISSING_LOADER && failure->error == ENOEXEC))
            return;
        failure->missing = kind;
        strcpy(failure->path, next);
    }
}

void report_exec_failure(const struct pipes *pipes, const char *command)
{
    struct exec_failure failure = {.error = errno};

    find_missing(command, &failure);
    /* 親がもういなければ、知らせる相手もいない */
    if (write(pipes->report[1], &failure, sizeof(failure)) == -1)
        _exit(EXIT_SETUP);
    _exit(EXIT_CANNOT_RUN);
}

/* --- 親: 終了ステータス --------------------------------------------------- */

static int report_failure(const struct exec_failure *failure,
                          const char *command)
{
    static const char *const what[] = {
        [MISSING_COMMAND] = "command",
        [MISSING_INTERPRETER] = "interpreter",
        [MISSING_LOADER] = "loader",
    };
    char message[512];

    print_error("exec %.500s: %s", command, strerror(failure->error));
    snprintf(message, sizeof(message), "exec %s %s", what[failure->missing],
             failure->path);
    print_hint(message, failure->path, failure->error);
    return failure->error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

int exit_status(int status, const struct pipes *pipes, const char *command)
{
    struct exec_failure failure;

    watch_child(0); /* 回収したので、PID はもう他人のものかもしれない */
    /* 子は終わっているので、読めなければすぐ EOF になる: exec に成功したか、
     * そこまで進まなかった */
    ssize_t length = read(pipes->report[0], &failure, sizeof(failure));
    if (length == -1)
        die("read report");
    if (length > 0)
        return report_failure(&failure, command);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (died_unprepared()) {
        print_error("prepare %.500s: %s", command, strsignal(WTERMSIG(status)));
        print_hint("prepare", "", EINTR);
        return EXIT_SETUP;
    }
    return 128 + requested_signal(WTERMSIG(status));
}
