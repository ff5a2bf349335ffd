/*
 * What a killed nopsnap left in the folder that it shares with the server. A file's name says whose it is:
 *
 *     nopsnap_<host><run><process><random>.bak      8 hex digits each: of machine and host name, of boot and namespace of processes, the process's number
 *
 * Of this host and run it is a leftover as soon as there is no such process; of this host's earlier boots when a day has gone by since it was written
 * (another container may share the host's name and id). Those of other hosts, and whatever else lies there, are left alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"
#include "sqlserver_native_internal.h"

enum { PART = 8, PARTS = 4, DAY_S = 24 * 3600, ID_MAX = 512 };

/* A line of a file of the kernel's or system's; nothing where there is none. */
static void add_line(char *id, const char *path)
{
    size_t len = strlen(id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, id + len, ID_MAX - 1 - len);

    if (fd >= 0)
        close(fd);
    id[len + (n > 0 ? (size_t)n : 0)] = '\0';
}

static void put_part(const char *id, char *out)
{
    snprintf(out, PART + 1, "%08x", (unsigned)(hash64_of(0, id, strlen(id)) & 0xffffffffu));
}

static void put_host(char *out)
{
    char id[ID_MAX] = "";

    (void)gethostname(id, sizeof id / 2);
    id[sizeof id / 2 - 1] = '\0';
    add_line(id, "/etc/machine-id");
    put_part(id, out);
}

static void put_run(char *out)
{
    char id[ID_MAX] = "";
    struct stat st;

    if (stat("/proc/self/ns/pid", &st) == 0)
        snprintf(id, sizeof id, "%llu ", (unsigned long long)st.st_ino);
    add_line(id, "/proc/sys/kernel/random/boot_id");
    put_part(id, out);
}

enum error_kind sqlserver_file_token(char out[SQLSERVER_TOKEN_LEN + 1], struct error *err)
{
    unsigned char bytes[PART / 2];
    enum error_kind rc = random_bytes(bytes, sizeof bytes, err);

    put_host(out);
    put_run(out + PART);
    snprintf(out + 2 * PART, PART + 1, "%08x", (unsigned)getpid());
    if (!rc)
        hex_encode(bytes, sizeof bytes, out + 3 * PART);
    return rc;
}

static bool is_ours(const char *name, char token[SQLSERVER_TOKEN_LEN + 1])
{
    size_t len = strlen(SQLSERVER_FILE_PREFIX);
    unsigned char bytes[SQLSERVER_TOKEN_LEN / 2];

    if (strncmp(name, SQLSERVER_FILE_PREFIX, len) != 0 ||
        strlen(name) != len + SQLSERVER_TOKEN_LEN + strlen(SQLSERVER_FILE_SUFFIX) ||
        strcmp(name + len + SQLSERVER_TOKEN_LEN, SQLSERVER_FILE_SUFFIX) != 0)
        return false;
    memcpy(token, name + len, SQLSERVER_TOKEN_LEN);
    token[SQLSERVER_TOKEN_LEN] = '\0';
    return hex_decode(token, sizeof bytes, bytes) == 0;
}

static bool is_leftover(const char *token, const struct stat *st)
{
    char host[PART + 1];
    char run[PART + 1];
    char process[PART + 1];
    long pid;

    put_host(host);
    put_run(run);
    if (strncmp(token, host, PART) != 0)
        return false;
    if (strncmp(token + PART, run, PART) != 0)
        return st->st_mtime < time(NULL) - DAY_S;
    memcpy(process, token + 2 * PART, PART);
    process[PART] = '\0';
    pid = strtol(process, NULL, 16);
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

enum error_kind sqlserver_sweep(const struct sqlserver_share *share, struct text_list *notes, struct error *err)
{
    DIR *dir = opendir(share->local);
    struct dirent *e;
    enum error_kind rc = OK;

    while (!rc && dir && (e = readdir(dir))) {
        char token[SQLSERVER_TOKEN_LEN + 1];
        struct stat st;

        if (!is_ours(e->d_name, token) || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || !is_leftover(token, &st))
            continue;
        if (unlinkat(dirfd(dir), e->d_name, 0) == 0)
            rc = text_list_addf(notes, err, "%s/%s, which a run that was killed had left, is removed", share->local,
                                e->d_name);
        else if (errno != ENOENT)
            rc = text_list_addf(notes, err,
                                "%s/%s, which a run that was killed has left, can't be removed (%s): delete it",
                                share->local, e->d_name, strerror(errno));
    }
    if (dir)
        closedir(dir);
    return rc;
}
