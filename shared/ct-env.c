/* ct-env.c - コンテナの環境変数を作る */
#define _GNU_SOURCE
#include "ct.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Docker のコンテナと同じ値 */
#define CONTAINER_PATH \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void set(const char *name, const char *value)
{
    if (value != NULL && setenv(name, value, 1) == -1)
        die("setenv %s", name);
}

void replace_environment(char *const *added)
{
    char host[HOST_NAME_MAX + 1] = "";
    const char *term = getenv("TERM"); /* 文字列は、捨てたあとも残る */

    if (gethostname(host, sizeof(host) - 1) == -1)
        die("gethostname");
    clearenv();
    set("PATH", CONTAINER_PATH);
    set("HOME", "/root");
    set("HOSTNAME", host);
    set("TERM", term);
    /* "=" のない語なら、その変数を消す。putenv(3) の NOTES */
    for (; *added != NULL; added++)
        if (putenv(*added) != 0)
            die("putenv %s", *added);
}
