#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "overview_internal.h"

#define METRICS_MAX ((size_t)64 << 20)

/* One sample of a site; -1: none. */
typedef int64_t site_value(const struct overview_site *s);

static int64_t moment(int64_t ns)
{
    return ns ? ns / NS_PER_S : -1;
}

static int64_t state(const struct overview_site *s)
{
    return (int64_t)overview_site_grade(s);
}

static int64_t snapshots(const struct overview_site *s)
{
    return (int64_t)s->count;
}

static int64_t stored(const struct overview_site *s)
{
    return (int64_t)s->stored;
}

static int64_t newest(const struct overview_site *s)
{
    return s->count ? moment(s->points[0].made_ns) : -1;
}

static int64_t newest_good(const struct overview_site *s)
{
    return s->good ? moment(s->good->made_ns) : -1;
}

static int64_t expected(const struct overview_site *s)
{
    return s->expect_ms ? s->expect_ms / 1000 : -1;
}

static int64_t files(const struct overview_site *s)
{
    return s->good ? (int64_t)s->good->files : -1;
}

static int64_t files_bytes(const struct overview_site *s)
{
    return s->good ? (int64_t)s->good->bytes : -1;
}

static int64_t dump_bytes(const struct overview_site *s)
{
    return s->good ? (int64_t)s->good->dump_bytes : -1;
}

static int64_t rows(const struct overview_site *s)
{
    return s->tables ? (int64_t)s->rows : -1;
}

static int64_t next_run(const struct overview_site *s)
{
    return moment(s->next_ns);
}

static int64_t run(const struct overview_site *s)
{
    return moment(s->run.ended_ns);
}

static int64_t run_status(const struct overview_site *s)
{
    return s->run.ended_ns ? s->run.status : -1;
}

static int64_t drill(const struct overview_site *s)
{
    return moment(s->drill_good.ended_ns);
}

/* As long as the record says: without the removal of what was restored. */
static int64_t drill_took_ms(const struct overview_site *s)
{
    return s->drill_good.ended_ns ? (s->drill_good.ended_ns - s->drill_good.started_ns) / NS_PER_MS : -1;
}

static int64_t trial_end(const struct overview_site *s)
{
    return moment(s->kept.trial_end_ns);
}

enum unit { WHOLE, THOUSANDTHS };

static const struct family {
    const char *name, *help;
    site_value *value;
    enum unit unit; /* what the value counts */
} families[] = {
    {"nopsnap_site_state", "0 well, 1 note, 2 warning, 3 damage, 4 something unfinished.", state, WHOLE},
    {"nopsnap_site_snapshots", "Snapshots of the site.", snapshots, WHOLE},
    {"nopsnap_site_stored_bytes", "What its snapshots added to the catalogue.", stored, WHOLE},
    {"nopsnap_site_last_snapshot_timestamp_seconds", "When the newest snapshot was made.", newest, WHOLE},
    {"nopsnap_site_last_good_snapshot_timestamp_seconds",
     "When the newest good snapshot was made: whole, not flagged, and not of what a rollback took away.", newest_good,
     WHOLE},
    {"nopsnap_site_expected_age_seconds", "How old the newest good snapshot may be.", expected, WHOLE},
    {"nopsnap_site_files", "Files in the newest good snapshot.", files, WHOLE},
    {"nopsnap_site_files_bytes", "Bytes of those files.", files_bytes, WHOLE},
    {"nopsnap_site_dump_bytes", "Bytes of the database dump in the newest good snapshot.", dump_bytes, WHOLE},
    {"nopsnap_site_database_rows", "Rows in that dump.", rows, WHOLE},
    {"nopsnap_site_next_run_timestamp_seconds", "When the next run is expected.", next_run, WHOLE},
    {"nopsnap_site_last_run_timestamp_seconds", "When the last scheduled run ended.", run, WHOLE},
    {"nopsnap_site_last_run_status", "Exit status of the last scheduled run.", run_status, WHOLE},
    {"nopsnap_site_last_good_drill_timestamp_seconds", "When a restore was last proved to work.", drill, WHOLE},
    {"nopsnap_site_last_good_drill_duration_seconds", "How long the last restore that was proved to work took.",
     drill_took_ms, THOUSANDTHS},
    {"nopsnap_site_trial_end_timestamp_seconds", "When the trial of an upgrade ends.", trial_end, WHOLE},
};

/* Printable, then as the format wants it: backslash, quote and line end escaped. */
static enum error_kind put_label(struct buffer *out, const char *value, struct error *err)
{
    char shown[4096];
    enum error_kind rc = OK;

    text_name(value, strlen(value), shown, sizeof(shown));
    for (const char *p = shown; *p && !rc; p++)
        rc = buffer_append_format(out, err, *p == '\\' || *p == '"' ? "\\%c" : "%c", *p);
    return rc;
}

static enum error_kind put_head(struct buffer *out, const char *name, const char *help, struct error *err)
{
    return buffer_append_format(out, err, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static enum error_kind put_value(struct buffer *out, int64_t value, enum unit unit, struct error *err)
{
    if (unit == THOUSANDTHS)
        return buffer_append_format(out, err, "%lld.%03d", (long long)(value / 1000), (int)(value % 1000));
    return buffer_append_format(out, err, "%lld", (long long)value);
}

static enum error_kind put_family(const struct overview *o, const struct family *f, struct buffer *out,
                                  struct error *err)
{
    enum error_kind rc = put_head(out, f->name, f->help, err);

    for (size_t i = 0; i < o->count && !rc; i++) {
        int64_t value = f->value(&o->sites[i]);

        if (value < 0 || !o->sites[i].here) /* another host's has the same path, perhaps: two samples of one name */
            continue;
        rc = buffer_append_format(out, err, "%s{site=\"", f->name);
        if (!rc)
            rc = put_label(out, o->sites[i].name ? o->sites[i].name : "", err);
        if (!rc)
            rc = buffer_append_text(out, "\",path=\"", err);
        if (!rc)
            rc = put_label(out, o->sites[i].path, err);
        if (!rc)
            rc = buffer_append_text(out, "\"} ", err);
        if (!rc)
            rc = put_value(out, value, f->unit, err);
        if (!rc)
            rc = buffer_append_text(out, "\n", err);
    }
    return rc;
}

static enum error_kind put_one(struct buffer *out, const char *name, const char *help, int64_t value, struct error *err)
{
    enum error_kind rc = put_head(out, name, help, err);

    return rc || value < 0 ? rc : buffer_append_format(out, err, "%s %lld\n", name, (long long)value);
}

enum error_kind metrics_print(const struct overview *o, struct buffer *out, struct error *err)
{
    enum error_kind rc =
        put_one(out, "nopsnap_written_timestamp_seconds", "When nopsnap wrote this file.", moment(o->now_ns), err);

    if (!rc)
        rc = put_one(out, "nopsnap_catalog_stored_bytes", "Bytes of the catalogue's packs.", (int64_t)o->pack_bytes,
                     err);
    if (!rc)
        rc = put_one(out, "nopsnap_catalog_packs", "Packs of the catalogue.", (int64_t)o->packs, err);
    if (!rc)
        rc = put_one(out, "nopsnap_catalog_damaged", "1 when stored data is known to be damaged.", o->damaged, err);
    if (!rc)
        rc = put_one(out, "nopsnap_catalog_oldest_unread_timestamp_seconds",
                     "When the data that nobody checked for the longest time was last read.",
                     moment(o->oldest_unread_ns), err);
    for (size_t i = 0; i < sizeof(families) / sizeof(*families) && !rc; i++)
        rc = put_family(o, &families[i], out, err);
    return rc;
}

enum error_kind metrics_write(const struct overview *o, const char *path, struct error *err)
{
    struct buffer text = BUFFER_INIT(METRICS_MAX);
    struct draft draft = DRAFT_INIT;
    enum error_kind rc = metrics_print(o, &text, err);

    if (!rc)
        rc = draft_open(&draft, path, 0600, err);
    if (!rc && fchmod(draft.fd, 0644))
        rc = error_set(err, ERR_IO, errno, "cannot make %s readable for the collector", path);
    if (!rc)
        rc = draft_write(&draft, text.data, text.len, err);
    if (!rc)
        rc = draft_commit(&draft, err);
    if (rc)
        error_context(err, "writing the metrics");
    draft_discard(&draft);
    buffer_release(&text);
    return rc;
}
