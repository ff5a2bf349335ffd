#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog_internal.h"

#define MACHINE_ID_FILE "/etc/machine-id"
#define HOST_SEED 0x6e6f70736e617001ull

struct catalog_site_lock {
    struct file_lock lock;
};

static bool site_id_is_valid(const char *id)
{
    unsigned char raw[8];

    return hex_decode(id, sizeof(raw), raw) == 0;
}

static enum error_kind take_lock(struct catalog *cat, const char *kind, const char *site_id, bool exclusive,
                                 int timeout_ms, struct catalog_site_lock **out, struct error *err)
{
    struct catalog_site_lock *lock = NULL;
    char *path = NULL;
    enum error_kind rc;

    if (!site_id_is_valid(site_id))
        return error_set(err, ERR_USAGE, 0, "%s is no site's id", site_id);
    rc = memory_zeroed(1, sizeof(*lock), (void **)&lock, err);
    if (rc)
        return rc;
    lock->lock = (struct file_lock)FILE_LOCK_INIT;
    rc = memory_format(&path, err, "%s/" LOCKS_NAME "/%s-%s.lock", cat->path, kind, site_id);
    if (!rc)
        rc = file_lock_take(&lock->lock, path, exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED, timeout_ms,
                            kind[0] == 'r'   ? "the site's run"
                            : kind[0] == 'd' ? "the site's drill"
                                             : "the site",
                            err);
    free(path);
    if (rc) {
        free(lock);
        return rc;
    }
    *out = lock;
    return OK;
}

enum error_kind catalog_site_lock(struct catalog *cat, const char *site_id, bool exclusive, int timeout_ms,
                                  struct catalog_site_lock **out, struct error *err)
{
    return take_lock(cat, "site", site_id, exclusive, timeout_ms, out, err);
}

enum error_kind catalog_run_lock(struct catalog *cat, const char *site_id, int timeout_ms,
                                 struct catalog_site_lock **out, struct error *err)
{
    return take_lock(cat, "run", site_id, true, timeout_ms, out, err);
}

enum error_kind catalog_drill_lock(struct catalog *cat, const char *site_id, struct catalog_site_lock **out,
                                   struct error *err)
{
    return take_lock(cat, "drill", site_id, true, 0, out, err);
}

void catalog_site_unlock(struct catalog_site_lock *lock)
{
    if (!lock)
        return;
    file_lock_drop(&lock->lock);
    free(lock);
}

/* The machine's id is confidential (machine-id(5)): what is kept is a hash of it. "" when the machine has none. */
static void machine_id(char out[17])
{
    const char *path = getenv("NOPSNAP_MACHINE_ID"); /* a file in its place: tests that move between hosts */
    struct error ignored = ERROR_INIT;
    struct buffer text = BUFFER_INIT(4096);
    unsigned char raw[8];
    uint64_t sum;

    out[0] = '\0';
    if (!file_read_whole(AT_FDCWD, path && *path ? path : MACHINE_ID_FILE, 4096, &text, &ignored)) {
        while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == ' '))
            text.len--;
        if (text.len >= 8 && !(text.len == 13 && memcmp(text.data, "uninitialized", 13) == 0)) {
            sum = hash64_of(HOST_SEED, text.data, text.len);
            put_u64(raw, sum);
            hex_encode(raw, sizeof(raw), out);
        }
    }
    buffer_release(&text);
}

enum error_kind catalog_host(char **name, char **id, struct error *err)
{
    char host[HOST_NAME_MAX + 1] = "";
    char machine[17];
    char *made_name = NULL, *made_id = NULL;
    enum error_kind rc;

    if (gethostname(host, sizeof(host)) != 0)
        return error_set(err, ERR_IO, errno, "cannot read the host's name");
    host[sizeof(host) - 1] = '\0';
    machine_id(machine);
    rc = memory_string(host, &made_name, err);
    if (!rc)
        rc = memory_string(machine[0] ? machine : host, &made_id, err);
    if (rc) {
        free(made_name);
        return rc;
    }
    *name = made_name;
    *id = made_id;
    return OK;
}

enum error_kind catalog_site_id(const struct catalog *cat, const char *real_path, char out[17], struct error *err)
{
    struct buffer text = BUFFER_INIT(1 << 20);
    char *name = NULL, *host = NULL;
    unsigned char raw[8];
    enum error_kind rc;

    rc = catalog_host(&name, &host, err);
    if (!rc)
        rc = buffer_append(&text, cat->format.catalogue, sizeof(cat->format.catalogue), err);
    if (!rc)
        rc = buffer_append(&text, host, strlen(host) + 1, err);
    if (!rc)
        rc = buffer_append(&text, real_path, strlen(real_path), err);
    if (!rc) {
        put_u64(raw, hash64_of(cat->format.seed, text.data, text.len));
        hex_encode(raw, sizeof(raw), out);
    }
    buffer_release(&text);
    free(name);
    free(host);
    return rc;
}
