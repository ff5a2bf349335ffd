/*
 * A file for cron, where there is no systemd.
 *
 * Quoting: /bin/sh gets the command, words in single quotes. Before that cron reads it: % ends a command unless a \ is before it, and some
 * crons make one \ of two, others don't. So % has its \, and no \ ever stands before another or before a %: quotes are closed and opened
 * again behind each.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "schedule_internal.h"

#define COMMAND_MAX 990 /* cron's own limit is 1000, and it fails without a word */

/* Debian's, cronie's, busybox's: one of both names. */
static bool is_cron(int proc, const char *pid)
{
    struct buffer name = BUFFER_INIT(64);
    struct error ignored = ERROR_INIT;
    char path[64];
    bool cron;

    (void)snprintf(path, sizeof(path), "%.32s/comm", pid);
    cron = file_read_whole(proc, path, 64, &name, &ignored) == OK && name.len > 0 &&
           ((name.len == 5 && !memcmp(name.data, "cron\n", 5)) || (name.len == 6 && !memcmp(name.data, "crond\n", 6)));
    buffer_release(&name);
    return cron;
}

bool schedule_has_cron(void)
{
    DIR *proc;
    struct dirent *d;
    bool found = false;

    if (getenv("NOPSNAP_CRON_ETC"))
        return true;
    proc = opendir("/proc");
    if (!proc)
        return true; /* not known */
    while (!found && (d = readdir(proc)) != NULL)
        found = isdigit((unsigned char)d->d_name[0]) && is_cron(dirfd(proc), d->d_name);
    (void)closedir(proc);
    return found;
}

static enum error_kind word(struct buffer *b, const char *text, struct error *err)
{
    enum error_kind rc = buffer_append_text(b, "'", err);
    char one[2] = "";

    for (const char *c = text; *c && !rc; c++) {
        one[0] = *c;
        rc = buffer_append_text(b, *c == '\'' ? "'\"'\"'" : *c == '%' ? "\\%" : *c == '\\' ? "\\''" : one, err);
    }
    return rc ? rc : buffer_append_text(b, "' ", err);
}

static enum error_kind option(struct buffer *b, const char *name, const char *value, struct error *err)
{
    enum error_kind rc = value ? buffer_append_text(b, name, err) : OK;

    return rc || !value ? rc : word(b, value, err);
}

static enum error_kind environment(struct buffer *b, const char *name, struct error *err)
{
    const char *value = getenv(name);
    char equals[32];

    if (!value || value[0] != '/' || strpbrk(value, "\n\r"))
        return OK;
    (void)snprintf(equals, sizeof(equals), "%s=", name);
    return option(b, equals, value, err);
}

static enum error_kind command(const struct schedule_spec *s, struct buffer *b, struct error *err)
{
    enum error_kind rc = environment(b, "HOME", err);

    if (!rc)
        rc = environment(b, "XDG_CONFIG_HOME", err);
    if (!rc)
        rc = option(b, "nice -n 15 ionice -c 3 ", s->program, err);
    if (!rc)
        rc = buffer_append_text(b, "-q ", err);
    if (!rc)
        rc = option(b, "--config ", s->config_file, err);
    if (!rc)
        rc = option(b, "--catalog ", s->catalog_named ? s->catalog : NULL, err);
    if (!rc)
        rc = buffer_append_text(b, "run ", err);
    if (!rc)
        rc = option(b, "--keep ", s->keep, err);
    if (!rc)
        rc = option(b, "-- ", s->site->path, err);
    if (!rc && b->len > COMMAND_MAX) {
        rc = error_set(err, ERR_REFUSED, 0, "a command of %zu characters is too long for cron", b->len);
        error_hint(err, "start it from a script of your own, or use --systemd");
    }
    return rc;
}

enum error_kind schedule_cron_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                   struct error *err)
{
    struct buffer b = BUFFER_INIT(64u << 10);
    char when[SCHEDULE_WHEN_MAX];
    char fields[TEXT_MAX];
    enum error_kind rc = schedule_when_cron(&s->when, fields, err);

    schedule_when_text(&s->when, when);
    if (!rc)
        rc = command(s, &b, err);
    if (!rc)
        rc = schedule_note(out, "site", s->site->path, err);
    if (!rc)
        rc = schedule_note(out, "catalogue", s->catalog, err);
    if (!rc)
        rc = schedule_note(out, "when", when, err);
    if (!rc && s->keep)
        rc = schedule_note(out, "keep", s->keep, err);
    if (!rc)
        rc = buffer_append_format(
            out, err,
            "# Written by `nopsnap schedule`, which changes and removes it again. Changes of your own belong into another file than\n"
            "# %s. A run that was missed while the machine was off is not caught up: cron has no memory.\n"
            "SHELL=/bin/sh\n"
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
            "%s root %.*s\n",
            name, fields, (int)b.len - 1, (const char *)b.data);
    buffer_release(&b);
    return rc;
}
