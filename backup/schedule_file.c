/*
 * Files of a schedule: what they are called, whose they are, and whether somebody has changed them (S1, S3).
 *
 *     # nopsnap-schedule 1 0123456789abcdef0123456789abcdef       XXH3-128 of all that follows this line
 *     # site: /var/www/shop
 *     ...
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"
#include "schedule_internal.h"

#define FIRST_LINE "# nopsnap-schedule 1 "
#define NAME_MAX_LEN 64

static const char *folder_of(const char *variable, const char *otherwise)
{
    const char *folder = getenv(variable);

    return folder && *folder ? folder : otherwise;
}

const char *schedule_units_folder(void)
{
    return folder_of("NOPSNAP_SYSTEMD_ETC", "/etc/systemd/system"); /* tests, and images that are prepared offline */
}

const char *schedule_cron_folder(void)
{
    return folder_of("NOPSNAP_CRON_ETC", "/etc/cron.d");
}

bool schedule_has_systemd(void)
{
    return access("/run/systemd/system", F_OK) == 0; /* sd_booted(3) */
}

/* The same command by sudo would take root's config and catalogue: another shop, perhaps. */
void schedule_hint_root(struct error *err)
{
    error_hint(err,
               "timers are root's, with root's config and catalogue; your own crontab can run: nopsnap -q run SITE");
}

enum error_kind schedule_place_check(enum schedule_way way, struct error *err)
{
    const char *folder = way == SCHEDULE_SYSTEMD ? schedule_units_folder() : schedule_cron_folder();

    if (access(folder, W_OK | X_OK) == 0)
        return OK;
    error_set(err, ERR_REFUSED, errno, "no timer can be written to %s", folder);
    if (errno == ENOENT || errno == ENOTDIR)
        error_hint(err, way == SCHEDULE_CRON ? "apt install cron" : "without systemd: --cron");
    else
        schedule_hint_root(err);
    return ERR_REFUSED;
}

/* ---- names ---- */

/* Letters, digits, "_" and single "-" between them: what systemd and cron both take as it is (cron passes by files with a dot). */
static bool is_plain(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > NAME_MAX_LEN || name[0] == '-' || name[n - 1] == '-' || strstr(name, "--"))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    return true;
}

enum error_kind schedule_name_of(const struct site *site, char **out, struct error *err)
{
    const char *name = site->config ? site->config->name : NULL;
    char readable[NAME_MAX_LEN / 2 + 1];
    unsigned char sum[8];
    char hex[2 * sizeof(sum) + 1];
    size_t used = 0;

    if (name && is_plain(name))
        return memory_format(out, err, "nopsnap-%s", name);
    for (const char *c = name ? name : path_base(site->path); *c && used < sizeof(readable) - 1; c++) {
        bool fits = (isalnum((unsigned char)*c) && (unsigned char)*c < 0x80) || *c == '_';

        if (fits || (used > 0 && readable[used - 1] != '-'))
            readable[used++] = fits ? *c : '-';
    }
    while (used > 0 && readable[used - 1] == '-')
        used--;
    readable[used] = '\0';
    put_u64(sum, hash64_of(0, site->path, strlen(site->path)));
    hex_encode(sum, sizeof(sum), hex);
    return memory_format(out, err, "nopsnap-%s--%s", used ? readable : "site", hex);
}

/* ---- the first line, and notes ---- */

static void sum_of(const void *bytes, size_t len, char hex[2 * HASH_LEN + 1])
{
    struct hash sum;

    hash_of(0, bytes, len, &sum);
    hex_encode(sum.bytes, sizeof(sum.bytes), hex);
}

enum error_kind schedule_seal(const struct buffer *text, char **out, struct error *err)
{
    char hex[2 * HASH_LEN + 1];

    sum_of(text->data, text->len, hex);
    return memory_format(out, err, FIRST_LINE "%s\n%s", hex, (const char *)text->data);
}

enum error_kind schedule_note(struct buffer *b, const char *key, const char *value, struct error *err)
{
    return buffer_append_format(b, err, "# %s: %s\n", key, value);
}

static enum error_kind take_notes(char *text, struct text_list *out, struct error *err)
{
    char *rest = NULL;
    enum error_kind rc = OK;

    for (char *line = strtok_r(text, "\n", &rest); line && *line == '#' && !rc; line = strtok_r(NULL, "\n", &rest))
        if (line[1] == ' ' && strstr(line, ": "))
            rc = text_list_add(out, line + 2, err);
    return rc;
}

static enum error_kind judge(struct schedule_head *h, const struct buffer *text, struct error *err)
{
    const char *all = (const char *)text->data;
    size_t head = strlen(FIRST_LINE) + 2 * HASH_LEN + 1;
    char hex[2 * HASH_LEN + 1];
    char *copy = NULL;
    enum error_kind rc;

    h->there = true;
    h->edited = true;
    if (text->len < head || memchr(all, '\0', text->len) || strncmp(all, FIRST_LINE, strlen(FIRST_LINE)) != 0 ||
        all[head - 1] != '\n')
        return OK;
    h->ours = true;
    sum_of(all + head, text->len - head, hex);
    h->edited = memcmp(hex, all + strlen(FIRST_LINE), 2 * HASH_LEN) != 0;
    rc = memory_string(all + head, &copy, err);
    if (!rc)
        rc = take_notes(copy, &h->notes, err);
    free(copy);
    return rc;
}

enum error_kind schedule_head_read(const char *path, struct schedule_head *out, struct buffer *text, struct error *err)
{
    struct schedule_head h = SCHEDULE_HEAD_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc = file_read_whole(AT_FDCWD, path, SCHEDULE_TEXT_MAX, text, &why);

    if (rc && rc != ERR_NOT_FOUND)
        error_copy(err, &why);
    if (!rc)
        rc = judge(&h, text, err);
    if (rc && rc != ERR_NOT_FOUND) {
        schedule_head_release(&h);
        return rc;
    }
    *out = h;
    return OK;
}

const char *schedule_head_note(const struct schedule_head *h, const char *key)
{
    size_t n = strlen(key);

    for (size_t i = 0; i < h->notes.count; i++)
        if (!strncmp(h->notes.items[i], key, n) && !strncmp(h->notes.items[i] + n, ": ", 2))
            return h->notes.items[i] + n + 2;
    return NULL;
}

void schedule_head_release(struct schedule_head *h)
{
    text_list_release(&h->notes);
    *h = (struct schedule_head)SCHEDULE_HEAD_INIT;
}
