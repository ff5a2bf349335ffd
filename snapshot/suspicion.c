/*
 * Is this snapshot to be trusted? One that stands for a shop that has lost most of itself is kept, but flagged: it does not count as good
 * until somebody accepts it, so that neither retention nor a rollback takes an emptied shop for the shop.
 *
 * It is compared with the newest snapshot of the same site that counts as good; once a flagged one is accepted, that one is the measure.
 *
 * S1  nothing is flagged without a measure, nor what a transaction took away: whoever goes back wants just that
 * S2  what nopCommerce itself empties (logs, mails that were sent, guests) is no loss
 * S3  a measure that can't be read is none: the next older one is. Where there were some and none can be read, nobody knows, and the snapshot is flagged
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "retention.h"
#include "snapshot_internal.h"

enum {
    LINES_MAX = 4,         /* losses that are told one by one */
    VANISHED_LEAST = 10,   /* rows that a table must have had to be missed */
    CORE_LEAST = 10,       /* fewer than half of so many rows of a table that is the shop */
    OTHER_LEAST = 100,     /* fewer than a quarter of so many rows of any other */
    EMPTIED_LEAST = 20,    /* none left of so many */
    FILES_LEAST = 50,      /* fewer than half of so many files */
    DUMP_LEAST = 64 * 1024 /* less than half of so many bytes */
};

/* What nopCommerce, or its schedule, empties. Where pictures move to the disk their bytes leave the database. */
static const char *const noise[] = {"Log",          "ActivityLog",      "QueuedEmail",   "SearchTerm", "Sessions",
                                    "ProxySession", "DistributedCache", "PictureBinary", "GdprLog",    NULL};
/* What guests leave behind and the task "Delete guests" clears: it may shrink, but not vanish. */
static const char *const guests[] = {
    "Customer",         "Address", "CustomerAddresses", "Customer_CustomerRole_Mapping", "GenericAttribute",
    "ShoppingCartItem", NULL};
/* Customers who have registered have a password. */
static const char *const core[] = {
    "Order",     "OrderItem", "Product", "Category", "CustomerPassword", "Setting", "LocaleStringResource",
    "UrlRecord", "Picture",   NULL};

/* "public.Order" and "shop.order" are both the table Order. */
static const char *bare(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

static bool is_one_of(const char *const *names, const char *table)
{
    for (; *names; names++)
        if (!strcasecmp(*names, table))
            return true;
    return false;
}

struct losses {
    struct text_list *out;
    bool noise_shrank; /* then a smaller dump says nothing */
};

static bool lost_most(const char *table, uint64_t then, uint64_t now)
{
    if (is_one_of(core, table))
        return then >= CORE_LEAST && now < then / 2;
    return (then >= OTHER_LEAST && now < then / 4) || (then >= EMPTIED_LEAST && now == 0);
}

/* now: NULL when the table is not there any more. */
static enum error_kind compare_table(struct losses *l, const struct database_table *then,
                                     const struct database_table *now, bool same_version, struct error *err)
{
    const char *table = bare(then->name);

    if (is_one_of(noise, table) || (now && is_one_of(guests, table))) {
        l->noise_shrank = l->noise_shrank || !now || now->rows < then->rows / 2;
        return OK;
    }
    if (!now && (!same_version || then->rows < VANISHED_LEAST)) /* migrations rename and drop tables */
        return OK;
    if (!now)
        return text_list_addf(l->out, err, "table %s is gone; it had %llu rows", then->name,
                              (unsigned long long)then->rows);
    if (!lost_most(table, then->rows, now->rows))
        return OK;
    return text_list_addf(l->out, err, "table %s has %llu of %llu rows", then->name, (unsigned long long)now->rows,
                          (unsigned long long)then->rows);
}

static const struct database_table *find_table(const struct database_counts *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (!strcasecmp(bare(c->tables[i].name), bare(name)))
            return &c->tables[i];
    return NULL;
}

static bool same_version(const struct snapshot_record *a, const struct snapshot_record *b)
{
    return a->nop_version && b->nop_version && !strcmp(a->nop_version, b->nop_version);
}

static bool dump_shrank(const struct snapshot_record *now, const struct snapshot_record *then,
                        const struct database_facts *a, const struct database_facts *b)
{
    return a->engine == b->engine && !strcmp(a->format, b->format) &&
           a->pictures_in_database == b->pictures_in_database && then->dump_bytes >= DUMP_LEAST &&
           now->dump_bytes < then->dump_bytes / 2;
}

static enum error_kind compare_databases(const struct snapshot_record *now, const struct snapshot_record *then,
                                         struct text_list *out, struct error *err)
{
    struct database_facts a = DATABASE_FACTS_INIT;
    struct database_facts b = DATABASE_FACTS_INIT;
    struct losses l = {out, false};
    enum error_kind rc = database_facts_decode(now->dump_facts, strlen(now->dump_facts), &a, err);

    if (!rc)
        rc = database_facts_decode(then->dump_facts, strlen(then->dump_facts), &b, err);
    if (!rc && b.is_nopcommerce && !a.is_nopcommerce)
        rc = text_list_add(out, "the database has none of the shop's tables any more", err);
    for (size_t i = 0; !rc && i < b.counts.count; i++)
        rc = compare_table(&l, &b.counts.tables[i], find_table(&a.counts, b.counts.tables[i].name),
                           same_version(now, then), err);
    if (!rc && !l.noise_shrank && dump_shrank(now, then, &a, &b)) {
        char small[TEXT_MAX];
        char large[TEXT_MAX];

        text_size(now->dump_bytes, small);
        text_size(then->dump_bytes, large);
        rc = text_list_addf(out, err, "the dump has %s, it had %s", small, large);
    }
    database_facts_release(&a);
    database_facts_release(&b);
    return rc;
}

static const struct snapshot_root *find_root(const struct snapshot_record *r, const char *name)
{
    for (size_t i = 0; i < r->root_count; i++)
        if (!strcmp(r->roots[i].name, name))
            return &r->roots[i];
    return NULL;
}

/* Another version has other files, and pictures that moved are elsewhere. */
static enum error_kind compare_files(const struct snapshot_record *now, const struct snapshot_record *then,
                                     struct text_list *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < then->root_count; i++) {
        const struct snapshot_root *was = &then->roots[i];
        const struct snapshot_root *is = find_root(now, was->name);

        if (is && same_version(now, then) && was->files >= FILES_LEAST && is->files < was->files / 2)
            rc = text_list_addf(out, err, "%s has %llu of %llu files", is->path, (unsigned long long)is->files,
                                (unsigned long long)was->files);
    }
    return rc;
}

enum error_kind suspicion_compare(const struct snapshot_record *now, const struct snapshot_record *then, char **out,
                                  struct error *err)
{
    struct text_list lines = TEXT_LIST_INIT;
    struct buffer text = BUFFER_INIT(1 << 20);
    char moment[TEXT_MAX];
    enum error_kind rc = OK;

    if (then->has_dump && !now->has_dump && now->part != SNAPSHOT_FILES_ONLY)
        rc = text_list_add(&lines, "it has no database", err);
    else if (then->dump_facts && now->dump_facts)
        rc = compare_databases(now, then, &lines, err);
    if (!rc && now->part != SNAPSHOT_DATABASE_ONLY)
        rc = compare_files(now, then, &lines, err);
    for (size_t i = 0; !rc && i < lines.count && i < LINES_MAX; i++)
        rc = buffer_append_format(&text, err, "%s%s", i ? "; " : "", lines.items[i]);
    if (!rc && lines.count > LINES_MAX)
        rc = buffer_append_format(&text, err, "; and %zu more", lines.count - LINES_MAX);
    if (!rc && lines.count) {
        text_moment(then->made_ns, moment);
        rc = buffer_append_format(&text, err, " (against snapshot %.8s of %s)", then->id, moment);
    }
    *out = !rc && lines.count ? (char *)buffer_detach(&text) : NULL;
    buffer_release(&text);
    text_list_release(&lines);
    return rc;
}

struct measures {
    struct text_list ids; /* newest first */
    int64_t now_ns;
};

static enum error_kind note_measure(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct measures *m = arg;
    const struct snapshot_standing s = snapshot_row_standing(row);

    return snapshot_is_good(&s, m->now_ns) ? text_list_add(&m->ids, row->id, err) : OK;
}

static enum error_kind compare_with(struct taking *t, const char *id, char **suspicion, struct error *err)
{
    struct snapshot_record then = SNAPSHOT_RECORD_INIT;
    enum error_kind rc = snapshot_read(t->cat, id, &then, err);

    if (!rc)
        rc = suspicion_compare(&t->result->record, &then, suspicion, err);
    snapshot_record_release(&then);
    return rc;
}

static bool ends_it(enum error_kind rc)
{
    return rc == ERR_CANCELLED || rc == ERR_MEMORY;
}

/* S3 */
static enum error_kind compare_with_newest(struct taking *t, char **suspicion, struct error *err)
{
    struct measures m = {.now_ns = clock_now()};
    struct error fault = ERROR_INIT;
    enum error_kind rc = snapshot_row_each(t->cat, t->result->record.site_id, note_measure, &m, &fault);
    bool known = !rc && !m.ids.count;

    for (size_t i = 0; i < m.ids.count && !known && !ends_it(rc); i++) {
        error_clear(&fault);
        rc = compare_with(t, m.ids.items[i], suspicion, &fault);
        known = !rc;
        if (rc && !ends_it(rc))
            progress_note(t->progress, "not compared with snapshot %.8s: %s", m.ids.items[i], fault.text);
    }
    text_list_release(&m.ids);
    if (ends_it(rc)) {
        *err = fault;
        return rc;
    }
    return known ? OK
                 : memory_string("none of the good snapshots before it can be read to compare it with", suspicion, err);
}

enum error_kind suspicion_flag(struct taking *t, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    enum error_kind rc;

    if (record->kind != SNAPSHOT_SCHEDULED) /* S1; by hand somebody looks */
        return OK;
    rc = t->options->suspicion ? memory_string(t->options->suspicion, &record->suspicion, err)
                               : compare_with_newest(t, &record->suspicion, err);
    record->suspicious = record->suspicion != NULL;
    if (!rc && record->suspicious)
        progress_warn(t->progress, "the snapshot is kept, but flagged: %s", record->suspicion);
    return rc;
}
