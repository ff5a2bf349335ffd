/*
 * What changed most between the two newest good snapshots: folders by files, tables by rows.
 */
#include <stdlib.h>
#include <string.h>

#include "report_internal.h"
#include "restore.h"

#define FOLDERS_MAX 4096 /* told apart; more are counted together */
#define SHOWN 8

struct change {
    char *name;
    int64_t by;
};

struct changes {
    struct change *items;
    size_t count;
    uint64_t files;
};

static int by_weight(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;

    return (llabs(y->by) > llabs(x->by)) - (llabs(y->by) < llabs(x->by));
}

static void changes_release(struct changes *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].name);
    free(c->items);
}

static enum error_kind change_add(struct changes *c, const char *name, int64_t by, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = c->count; i > 0 && rc == OK; i--) /* the walk is in order: most often it is the last one */
        if (!strcmp(c->items[i - 1].name, name)) {
            c->items[i - 1].by += by;
            return OK;
        }
    if (c->count == FOLDERS_MAX)
        return OK;
    if (!c->items)
        rc = memory_zeroed(FOLDERS_MAX, sizeof(*c->items), (void **)&c->items, err);
    if (!rc)
        rc = memory_string(name, &c->items[c->count].name, err);
    if (!rc)
        c->items[c->count++].by = by;
    return rc;
}

static enum error_kind on_difference(void *arg, const struct difference *d, struct error *err)
{
    struct changes *c = arg;
    char folder[512];
    const char *cut = strchr(d->path, '/');
    const char *second = cut ? strchr(cut + 1, '/') : NULL;
    size_t n = second ? (size_t)(second - d->path) : cut ? (size_t)(cut - d->path) : 0;

    if (d->type != TREE_FILE)
        return OK;
    c->files++;
    n = n < sizeof(folder) ? n : sizeof(folder) - 1;
    memcpy(folder, n ? d->path : ".", n ? n : 1);
    folder[n ? n : 1] = '\0';
    return change_add(c, folder, 1, err);
}

static enum error_kind tables_of(const struct snapshot_record *r, struct database_facts *out, struct error *err)
{
    return r->dump_facts ? database_facts_decode(r->dump_facts, strlen(r->dump_facts), out, err) : OK;
}

/* Both are sorted by name. */
static enum error_kind compare_tables(const struct database_counts *a, const struct database_counts *b,
                                      struct changes *out, struct error *err)
{
    enum error_kind rc = OK;
    size_t i = 0;
    size_t k = 0;

    while (!rc && (i < a->count || k < b->count)) {
        int side = i == a->count ? 1 : k == b->count ? -1 : strcmp(a->tables[i].name, b->tables[k].name);
        int64_t before = side <= 0 ? (int64_t)a->tables[i].rows : 0;
        int64_t now = side >= 0 ? (int64_t)b->tables[k].rows : 0;

        if (now != before && out->count < FOLDERS_MAX)
            rc = change_add(out, side <= 0 ? a->tables[i].name : b->tables[k].name, now - before, err);
        i += side <= 0;
        k += side >= 0;
    }
    return rc;
}

static void put_changes(struct page *p, const char *title, const char *column, struct changes *c, bool sign)
{
    if (c->count)
        qsort(c->items, c->count, sizeof(*c->items), by_weight);
    page_put(p, "<div><table><tr><th>%s</th><th class=n>%s</th></tr>", title, column);
    for (size_t i = 0; i < c->count && i < SHOWN; i++) {
        page_put(p, "<tr><td>");
        page_words(p, c->items[i].name);
        page_put(p, sign ? "</td><td class=n>%+lld</td></tr>" : "</td><td class=n>%lld</td></tr>",
                 (long long)c->items[i].by);
    }
    if (!c->count)
        page_put(p, "<tr><td class=mute colspan=2>nothing</td></tr>");
    page_put(p, "</table></div>");
}

static enum error_kind compare(struct catalog *cat, const char *old_id, const char *new_id, struct changes *files,
                               struct changes *tables, struct error *err)
{
    struct snapshot_record a = SNAPSHOT_RECORD_INIT;
    struct snapshot_record b = SNAPSHOT_RECORD_INIT;
    struct database_facts x = DATABASE_FACTS_INIT;
    struct database_facts y = DATABASE_FACTS_INIT;
    enum error_kind rc = snapshot_read(cat, old_id, &a, err);

    if (!rc)
        rc = snapshot_read(cat, new_id, &b, err);
    if (!rc)
        rc = difference_snapshots(cat, &a, &b, on_difference, files, err);
    if (!rc)
        rc = tables_of(&a, &x, err);
    if (!rc)
        rc = tables_of(&b, &y, err);
    if (!rc)
        rc = compare_tables(&x.counts, &y.counts, tables, err);
    database_facts_release(&x);
    database_facts_release(&y);
    snapshot_record_release(&a);
    snapshot_record_release(&b);
    return rc;
}

void report_changes(struct page *p, struct catalog *cat, const struct overview_site *s)
{
    struct changes files = {.count = 0};
    struct changes tables = {.count = 0};
    const struct overview_point *before = NULL;
    struct error why = ERROR_INIT;
    char when[TEXT_MAX];

    for (const struct overview_point *at = s->good ? s->good + 1 : NULL; at && at < s->points + s->count && !before;
         at++)
        before = at->good ? at : NULL;
    if (!before)
        return;
    text_moment(before->made_ns, when);
    page_put(p, "<h3>What changed most since %s</h3>", when);
    if (compare(cat, before->id, s->good->id, &files, &tables, &why) != OK) {
        page_put(p, "<p class='problem damage'>");
        page_words(p, why.text);
        page_put(p, "</p>");
    } else {
        page_put(p, "<div class=two>");
        put_changes(p, "Folder", "changed files", &files, false);
        put_changes(p, "Table", "rows", &tables, true);
        page_put(p, "</div>");
    }
    changes_release(&files);
    changes_release(&tables);
}
