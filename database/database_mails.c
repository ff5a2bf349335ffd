/*
 * Mails that were queued at the snapshot and have been sent since: a restored shop would send them a second time.
 *
 * The restored database's unsent mails are read in batches by Id and looked up in the present one. Numbers may have
 * been given twice (after an earlier rollback), so a mail is the same only if number, addressee and time of creation
 * agree.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "database_internal.h"
#include "shop_table_internal.h"

enum { BATCH = 200, LINES_MAX = 1000, SQL_MAX = 64 * 1024 };

struct mail {
    int64_t id;
    char *to;
    char *created;
};

struct mails {
    struct database *present;
    struct database *restored;
    struct shop_table present_table;
    struct shop_table restored_table;
    struct mail batch[BATCH];
    size_t count;
    bool apply;
    uint64_t total;
    struct text_list *out;
    struct text_list updates; /* statements for `restored`, run after the lookup */
};

static void batch_release(struct mails *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free(m->batch[i].to);
        free(m->batch[i].created);
    }
    m->count = 0;
}

static enum error_kind append_select(struct database *db, const struct shop_table *t, struct buffer *sql,
                                     struct error *err)
{
    static const char *const columns[] = {"Id", "To", "CreatedOnUtc", "Subject", "SentOnUtc"};
    enum error_kind rc = buffer_append_text(sql, "SELECT ", err);

    for (size_t i = 0; !rc && i < sizeof columns / sizeof columns[0]; i++) {
        if (i)
            rc = buffer_append_text(sql, ", ", err);
        if (!rc)
            rc = shop_sql_column(db, t, "t", columns[i], sql, err);
    }
    return rc ? rc : buffer_append_format(sql, err, " FROM %s t WHERE ", t->quoted);
}

static bool has_columns(const struct shop_table *t)
{
    return t->quoted && shop_table_column(t, "Id") && shop_table_column(t, "To") &&
           shop_table_column(t, "CreatedOnUtc") && shop_table_column(t, "Subject") && shop_table_column(t, "SentOnUtc");
}

/* ---- listing ---- */

static enum error_kind add_line(struct mails *m, const struct database_row *row, struct error *err)
{
    char to[120];
    char subject[120];
    const char *text = row->values[3] ? row->values[3] : "";

    if (m->total++ >= LINES_MAX)
        return OK;
    text_name(row->values[1] ? row->values[1] : "", row->values[1] ? row->lengths[1] : 0, to, sizeof to);
    text_name(text, strlen(text), subject, sizeof subject);
    return text_list_addf(m->out, err, "#%s to %s, \"%s\", sent %.16s", row->values[0], to, subject, row->values[4]);
}

static enum error_kind list_row(void *arg, const struct database_row *row, struct error *err)
{
    if (!row->values[0] || !row->values[4])
        return OK;
    return add_line(arg, row, err);
}

/* Without a restored database: mails of before the snapshot, by number and time of making, sent after its moment. */
static enum error_kind list_from_present(struct mails *m, const struct database_facts *since, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    char moment[SHOP_MOMENT_MAX];
    enum error_kind rc;

    shop_moment(since->moment_ns, moment);
    rc = append_select(m->present, &m->present_table, &sql, err);
    if (!rc)
        rc = shop_sql_column(m->present, &m->present_table, "t", "Id", &sql, err);
    if (!rc)
        rc = buffer_append_format(&sql, err, " <= %" PRId64 " AND ", shop_old_maximum(since, "QueuedEmail"));
    if (!rc)
        rc = shop_sql_column(m->present, &m->present_table, "t", "SentOnUtc", &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " > ", err);
    if (!rc)
        rc = shop_sql_moment(m->present, moment, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " AND ", err);
    if (!rc)
        rc = shop_sql_column(m->present, &m->present_table, "t", "CreatedOnUtc", &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " <= ", err);
    if (!rc)
        rc = shop_sql_moment(m->present, moment, &sql, err);
    if (!rc)
        rc = m->present->ops->query(m->present, (char *)sql.data, list_row, m, err);
    buffer_release(&sql);
    return rc;
}

/* ---- comparing two databases ---- */

static enum error_kind keep_unsent(void *arg, const struct database_row *row, struct error *err)
{
    struct mails *m = arg;
    struct mail mail = {0, NULL, NULL};
    enum error_kind rc;

    if (m->count >= BATCH || !row->values[0])
        return OK;
    mail.id = strtoll(row->values[0], NULL, 10);
    rc = memory_string(row->values[1] ? row->values[1] : "", &mail.to, err);
    if (!rc)
        rc = memory_string(row->values[2] ? row->values[2] : "", &mail.created, err);
    if (rc) {
        free(mail.to);
        return rc;
    }
    m->batch[m->count++] = mail;
    return OK;
}

static enum error_kind read_batch(struct mails *m, int64_t after, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct database *db = m->restored;
    enum error_kind rc;

    batch_release(m);
    rc = append_select(db, &m->restored_table, &sql, err);
    if (!rc)
        rc = shop_sql_column(db, &m->restored_table, "t", "SentOnUtc", &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " IS NULL AND ", err);
    if (!rc)
        rc = shop_sql_column(db, &m->restored_table, "t", "Id", &sql, err);
    if (!rc)
        rc = buffer_append_format(&sql, err, " > %" PRId64 " ORDER BY ", after);
    if (!rc)
        rc = shop_sql_column(db, &m->restored_table, "t", "Id", &sql, err);
    if (!rc)
        rc =
            buffer_append_format(&sql, err, "%s%d%s", db->ops->dialect.first_open, BATCH, db->ops->dialect.first_close);
    if (!rc)
        rc = db->ops->query(db, (char *)sql.data, keep_unsent, m, err);
    buffer_release(&sql);
    return rc;
}

static const struct mail *batch_find(const struct mails *m, int64_t id)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->batch[i].id == id)
            return &m->batch[i];
    return NULL;
}

static enum error_kind append_update(struct mails *m, int64_t id, const char *sent, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct database *db = m->restored;
    const struct shop_table *t = &m->restored_table;
    const char *sent_column = shop_table_column(t, "SentOnUtc");
    enum error_kind rc;

    rc = buffer_append_format(&sql, err, "UPDATE %s SET ", t->quoted);
    if (!rc)
        rc = db->ops->quote_name(db, sent_column, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " = ", err);
    if (!rc)
        rc = shop_sql_moment(db, sent, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " WHERE ", err);
    if (!rc)
        rc = db->ops->quote_name(db, shop_table_column(t, "Id"), &sql, err);
    if (!rc)
        rc = buffer_append_format(&sql, err, " = %" PRId64 " AND ", id);
    if (!rc)
        rc = db->ops->quote_name(db, sent_column, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " IS NULL", err);
    if (!rc)
        rc = text_list_add(&m->updates, (char *)sql.data, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind match_sent(void *arg, const struct database_row *row, struct error *err)
{
    struct mails *m = arg;
    const struct mail *mail = NULL;
    enum error_kind rc;

    if (!row->values[0] || !row->values[4])
        return OK;
    mail = batch_find(m, strtoll(row->values[0], NULL, 10));
    if (!mail || strcmp(mail->to, row->values[1] ? row->values[1] : "") != 0 ||
        strcmp(mail->created, row->values[2] ? row->values[2] : "") != 0)
        return OK;
    rc = add_line(m, row, err);
    if (!rc && m->apply)
        rc = append_update(m, mail->id, row->values[4], err);
    return rc;
}

static enum error_kind look_up_batch(struct mails *m, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct database *db = m->present;
    enum error_kind rc;

    rc = append_select(db, &m->present_table, &sql, err);
    if (!rc)
        rc = shop_sql_column(db, &m->present_table, "t", "SentOnUtc", &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " IS NOT NULL AND ", err);
    if (!rc)
        rc = shop_sql_column(db, &m->present_table, "t", "Id", &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " IN (", err);
    for (size_t i = 0; !rc && i < m->count; i++)
        rc = buffer_append_format(&sql, err, "%s%" PRId64, i ? "," : "", m->batch[i].id);
    if (!rc)
        rc = buffer_append_text(&sql, ")", err);
    if (!rc)
        rc = db->ops->query(db, (char *)sql.data, match_sent, m, err);
    buffer_release(&sql);
    return rc;
}

/* One transaction a batch: a crash leaves some mails marked, and the same call marks the rest. */
static enum error_kind apply_updates(struct mails *m, struct error *err)
{
    struct database *db = m->restored;
    enum error_kind rc = OK;

    if (m->updates.count == 0)
        return OK;
    rc = db->ops->query(db, db->ops->dialect.begin, NULL, NULL, err);
    for (size_t i = 0; !rc && i < m->updates.count; i++)
        rc = db->ops->query(db, m->updates.items[i], NULL, NULL, err);
    if (!rc)
        rc = db->ops->query(db, "COMMIT", NULL, NULL, err);
    text_list_release(&m->updates);
    return rc;
}

static enum error_kind compare_both(struct mails *m, struct error *err)
{
    int64_t after = INT64_MIN;
    enum error_kind rc = OK;

    while (!rc) {
        rc = read_batch(m, after, err);
        if (rc || m->count == 0)
            break;
        after = m->batch[m->count - 1].id;
        rc = look_up_batch(m, err);
        if (!rc)
            rc = apply_updates(m, err);
    }
    return rc;
}

enum error_kind database_mails(struct database *present, const char *restored, const struct database_facts *since,
                               bool apply, struct text_list *out, struct error *err)
{
    struct mails *m = NULL;
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof *m, &memory, err);
    if (rc)
        return rc;
    m = memory;
    m->present = present;
    m->apply = apply && restored;
    m->out = out;
    rc = shop_table_find(present, "QueuedEmail", &m->present_table, err);
    if (rc || !has_columns(&m->present_table))
        goto done;
    if (!restored) {
        rc = list_from_present(m, since, err);
        goto done;
    }
    rc = database_open_beside(present, restored, &m->restored, err);
    if (!rc)
        rc = shop_table_find(m->restored, "QueuedEmail", &m->restored_table, err);
    if (!rc && has_columns(&m->restored_table))
        rc = compare_both(m, err);

done:
    if (!rc && m->total > LINES_MAX)
        rc = text_list_addf(out, err, "and %" PRIu64 " more", m->total - LINES_MAX);
    if (rc)
        error_context(err, "looking for mails that have been sent since");
    batch_release(m);
    text_list_release(&m->updates);
    shop_table_release(&m->present_table);
    shop_table_release(&m->restored_table);
    database_close(m->restored);
    free(m);
    return rc;
}
