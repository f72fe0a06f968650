/* ct-command.c - コマンドを PATH から探し、実行できるかを調べる */
#define _GNU_SOURCE
#include "ct.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int command_refusal(const char *path)
{
    struct stat file;

    if (stat(path, &file) == -1)
        return errno;
    if (!S_ISREG(file.st_mode))
        return EACCES;
    return eaccess(path, X_OK) == -1 ? errno : 0;
}

const char *find_command(const char *command)
{
    static char found[PATH_MAX];
    char standard[64] = "";
    const char *dirs = getenv("PATH");

    if (strchr(command, '/') != NULL || *command == '\0')
        return command;
    if (dirs == NULL) {
        confstr(_CS_PATH, standard, sizeof(standard));
        dirs = standard;
    }
    *found = '\0';
    for (;;) {
        int length = strcspn(dirs, ":"); /* 0 ならカレントディレクトリ */
        const char *path =
            path_of("%.*s%s%s", length, dirs, length == 0 ? "" : "/", command);
        int error = command_refusal(path);
        /* 実行できないものは覚えておき、その先も探す */
        if (error == 0 || (error == EACCES && *found == '\0'))
            strcpy(found, path);
        if (error == 0 || dirs[length] == '\0')
            return found;
        dirs += length + 1;
    }
}
