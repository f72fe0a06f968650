/* ct-exec.c - コマンドを exec する。できなければ、その理由を親に知らせる */
#define _GNU_SOURCE
#include "ct-private.h"
#include "ct.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* exec が ENOENT で失敗した本当の理由 */
enum missing {
    MISSING_COMMAND, /* コマンドそのものがない */
    MISSING_INTERPRETER, /* スクリプトの 1 行目 (#!) のプログラムがない */
    MISSING_LOADER, /* 動的リンクのローダー (ld-linux など) がない */
};

/* exec に失敗した理由。PIPE_BUF より小さいので、1 回の write(2) で届く */
struct exec_failure {
    int error;
    enum missing missing;
    char path[256];
};

void prepare_exec(char *const *command, const struct pipes *pipes)
{
    unsigned int report = pipes->report[1];

    lead_terminal(command);
    restore_signals();
    if (report > 3 && close_range(3, report - 1, 0) == -1)
        die("close_range 3");
    if (close_range(report + 1, ~0U, 0) == -1)
        die("close_range %u", report + 1);
}

/* --- ENOENT の理由を調べる ------------------------------------------------ */

/* execvp(3) と同じ順に探し、最初に見つかったファイルのパスを path に入れる */
static bool find_command(const char *command, char *path, size_t size)
{
    const char *dirs = getenv("PATH");

    snprintf(path, size, "%s", command);
    if (strchr(command, '/') != NULL || *command == '\0')
        return access(path, F_OK) == 0;
    while (dirs != NULL && *dirs != '\0') {
        int length = strcspn(dirs, ":");

        snprintf(path, size, "%.*s/%s", length, dirs, command);
        if (access(path, F_OK) == 0)
            return true;
        dirs += length + (dirs[length] == ':');
    }
    snprintf(path, size, "%s", command);
    return false;
}

/* ELF のプログラムヘッダーから PT_INTERP を探す。32 ビットと 64 ビットでは構造
 * 体が違うだけなので、同じ手順を型だけ変えて 2 度作る。elf(5) */
#define DEFINE_READ_LOADER(bits) \
    static bool read_loader##bits(int fd, char *path, size_t size) \
    { \
        Elf##bits##_Ehdr head; \
        Elf##bits##_Phdr part; \
\
        if (pread(fd, &head, sizeof(head), 0) != sizeof(head)) \
            return false; \
        for (int i = 0; i < head.e_phnum; i++) { \
            off_t at = head.e_phoff + (off_t)i * head.e_phentsize; \
            if (pread(fd, &part, sizeof(part), at) != sizeof(part)) \
                return false; \
            if (part.p_type != PT_INTERP || part.p_filesz >= size) \
                continue; \
            ssize_t length = pread(fd, path, part.p_filesz, part.p_offset); \
            path[length > 0 ? length : 0] = '\0'; \
            return length > 0; \
        } \
        return false; \
    }
DEFINE_READ_LOADER(32)
DEFINE_READ_LOADER(64)

/* "#! /bin/sh -e\n" から /bin/sh を取り出す */
static bool read_interpreter(const char *head, char *path, size_t size)
{
    if (strncmp(head, "#!", 2) != 0)
        return false;
    head += 2 + strspn(head + 2, " \t");
    snprintf(path, size, "%.*s", (int)strcspn(head, " \t\n"), head);
    return *path != '\0';
}

/* command を PATH から探し、足りないもののパスを path (size バイト) に入れる。
 * そのファイルが見えるルートの中で呼ぶこと。execve(2), elf(5) */
static enum missing find_missing(const char *command, char *path, size_t size)
{
    char head[128] = "";

    /* 実行できないファイルなら、理由はそのファイルにある */
    if (!find_command(command, path, size) || access(path, X_OK) == -1)
        return MISSING_COMMAND;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return MISSING_COMMAND;
    ssize_t length = read(fd, head, sizeof(head) - 1);
    bool elf = length > EI_CLASS && memcmp(head, ELFMAG, SELFMAG) == 0;
    bool has_loader =
        elf && (head[EI_CLASS] == ELFCLASS64 ? read_loader64(fd, path, size)
                                             : read_loader32(fd, path, size));
    close(fd);
    if (has_loader)
        return MISSING_LOADER;
    if (!read_interpreter(head, path, size))
        return MISSING_COMMAND;
    /* インタープリターがあるなら、足りないのはそのローダー */
    if (access(path, X_OK) == 0)
        return find_missing(path_of("%s", path), path, size);
    return MISSING_INTERPRETER;
}

void report_exec_failure(const struct pipes *pipes, const char *command)
{
    struct exec_failure failure = {.error = errno};

    failure.missing = find_missing(command, failure.path, sizeof(failure.path));
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

    dprintf(STDERR_FILENO, "%s: exec %s: %s\n", program_invocation_short_name,
            command, strerror(failure->error));
    snprintf(message, sizeof(message), "exec %s %s", what[failure->missing],
             failure->path);
    print_hint(message, failure->error);
    bool found = failure->missing != MISSING_COMMAND;
    return failure->error == ENOENT && !found ? EXIT_NOT_FOUND
                                              : EXIT_CANNOT_RUN;
}

int exit_status(int status, const struct pipes *pipes, const char *command)
{
    struct exec_failure failure;

    watch_child(0); /* 回収したので、PID はもう他人のものかもしれない */
    /* 子は終わっているので、読めなければすぐ EOF になる: exec は成功していた */
    ssize_t length = read(pipes->report[0], &failure, sizeof(failure));
    if (length == -1)
        die("read report");
    if (length > 0)
        return report_failure(&failure, command);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return 128 + requested_signal(WTERMSIG(status));
}
