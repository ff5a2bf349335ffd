/* What the shop is like before: asked of the running old one, and kept as JSON. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hash.h"
#include "health_internal.h"
#include "thread.h"

enum {
    PRODUCTS_TRIED = 5,
    CATEGORIES = 5,
    HOPS = 2,
    KINDS_MAX = 10000,
    MIGRATIONS_MAX = 100000,
    PATH_MAX_LENGTH = 2048
};

static void page_release(struct health_page *p)
{
    free(p->what);
    free(p->path);
    free(p->location);
    *p = (struct health_page){NULL, NULL, 0, NULL, false};
}

void health_baseline_release(struct health_baseline *b)
{
    for (size_t i = 0; i < b->page_count; i++)
        page_release(&b->pages[i]);
    free(b->pages);
    free(b->picture);
    free(b->kinds);
    free(b->migrations);
    text_list_release(&b->remarks);
    *b = (struct health_baseline)HEALTH_BASELINE_INIT;
}

static enum error_kind pages_allocate(struct health_baseline *b, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(HEALTH_PAGES_MAX, sizeof(*b->pages), &memory, err);

    b->pages = memory;
    return rc;
}

/* ---- taking ---- */

/*
 * Look at a page, and at where it leads as long as that is inside the shop: a shop with a language in its addresses redirects / to /en/. What
 * only visitors of a closed or broken shop come to is not followed.
 */
static enum error_kind look_through(const struct health_options *o, const char *path, char **at, struct page_seen *seen,
                                    struct error *err)
{
    char *now = NULL;
    enum error_kind rc = memory_string(path, &now, err);

    for (int hop = 0; !rc; hop++) {
        page_seen_release(seen);
        rc = page_look(o, now, seen, err);
        if (rc || hop == HOPS || seen->state != PAGE_BAD || !seen->location || seen->location[0] != '/' ||
            strncasecmp(seen->location, "/storeclosed", 12) == 0 ||
            strncasecmp(seen->location, "/errorpage", 10) == 0 || strncasecmp(seen->location, "/login", 6) == 0)
            break;
        free(now);
        now = NULL;
        rc = memory_string(seen->location, &now, err);
    }
    if (!rc && seen->state != PAGE_FINE && strcmp(now, path) != 0) {
        /* It led nowhere: the page itself is what is remembered. */
        free(now);
        now = NULL;
        page_seen_release(seen);
        rc = memory_string(path, &now, err);
        if (!rc)
            rc = page_look(o, path, seen, err);
    }
    if (rc)
        free(now);
    else
        *at = now;
    return rc;
}

static enum error_kind add_page(struct health_baseline *b, const char *what, char **path, const struct page_seen *seen,
                                struct error *err)
{
    struct health_page p = {.status = seen->status, .answered = seen->state == PAGE_FINE};
    enum error_kind rc = memory_string(what, &p.what, err);

    if (!rc && seen->location)
        rc = memory_string(seen->location, &p.location, err);
    if (!rc && !p.answered)
        rc = text_list_addf(&b->remarks, err, "%s, %s, %s already now", what, *path, seen->says);
    if (rc) {
        page_release(&p);
        return rc;
    }
    p.path = *path;
    *path = NULL;
    b->pages[b->page_count++] = p;
    return OK;
}

static enum error_kind take_page(const struct health_options *o, const char *what, const char *path,
                                 struct health_baseline *b, struct error *err)
{
    struct page_seen seen = PAGE_SEEN_INIT;
    char *at = NULL;
    enum error_kind rc = look_through(o, path, &at, &seen, err);

    if (!rc)
        rc = add_page(b, what, &at, &seen, err);
    page_seen_release(&seen);
    free(at);
    return rc;
}

static enum error_kind take_picture(const struct health_options *o, const char *path, struct health_baseline *b,
                                    struct error *err)
{
    struct page_seen seen = PAGE_SEEN_INIT;
    enum error_kind rc = memory_string(path ? path : "", &b->picture, err);

    if (!rc && path)
        rc = picture_look(o, path, &seen, err);
    if (!rc && path && seen.state != PAGE_FINE)
        rc = text_list_addf(&b->remarks, err, "the picture %s %s already now", path, seen.says);
    else if (!rc && path)
        b->picture_ok = !picture_is_stand_in(path);
    page_seen_release(&seen);
    return rc;
}

/* The first of some products that answers. */
static enum error_kind take_product(const struct health_options *o, struct database *db, struct health_baseline *b,
                                    struct error *err)
{
    struct text_list slugs = TEXT_LIST_INIT;
    bool done = false;
    enum error_kind rc = database_slugs(db, "Product", PRODUCTS_TRIED, &slugs, err);

    for (size_t i = 0; i < slugs.count && !rc && !done; i++) {
        struct page_seen seen = PAGE_SEEN_INIT;
        char *path = NULL;
        char *at = NULL;

        rc = slug_path(slugs.items[i], &path, err);
        if (!rc)
            rc = look_through(o, path, &at, &seen, err);
        done = !rc && (seen.state == PAGE_FINE || i + 1 == slugs.count);
        if (done) {
            b->product = b->page_count;
            rc = add_page(b, "a product's page", &at, &seen, err);
            if (!rc && seen.state == PAGE_FINE)
                rc = take_picture(o, seen.picture, b, err);
        }
        page_seen_release(&seen);
        free(path);
        free(at);
    }
    if (!rc && !done)
        rc = text_list_add(&b->remarks, "the shop has no published product whose page could be asked", err);
    text_list_release(&slugs);
    return rc;
}

static enum error_kind take_categories(const struct health_options *o, struct database *db, struct health_baseline *b,
                                       struct error *err)
{
    struct text_list slugs = TEXT_LIST_INIT;
    enum error_kind rc = database_slugs(db, "Category", CATEGORIES, &slugs, err);

    for (size_t i = 0; i < slugs.count && !rc; i++) {
        char *path = NULL;

        rc = slug_path(slugs.items[i], &path, err);
        if (!rc)
            rc = take_page(o, "a category's page", path, b, err);
        free(path);
    }
    text_list_release(&slugs);
    return rc;
}

static enum error_kind take_pages(const struct health_options *o, struct database *db, struct health_baseline *b,
                                  struct error *err)
{
    enum error_kind rc = take_page(o, "the first page", HEALTH_FIRST_PAGE, b, err);

    b->product = HEALTH_PAGES_MAX;
    if (!rc && b->pages[0].status != 0) { /* nobody there: the rest would wait for him one by one */
        rc = take_page(o, "the login page", "/login", b, err);
        if (!rc && db)
            rc = take_product(o, db, b, err);
        if (!rc && db)
            rc = take_categories(o, db, b, err);
    }
    if (b->product == HEALTH_PAGES_MAX)
        b->product = b->page_count;
    return rc ? rc : cancel_check(err);
}

enum error_kind health_baseline_take(const struct health_options *options, struct database *db,
                                     const struct progress *progress, struct health_baseline *out, struct error *err)
{
    struct health_baseline b = HEALTH_BASELINE_INIT;
    enum error_kind rc = pages_allocate(&b, err);

    progress_step(progress, "asking the shop's pages");
    if (!rc)
        rc = take_pages(options, db, &b, err);
    if (!rc && db)
        rc = log_baseline(db, &b, err);
    if (!rc && db)
        rc = migrations_baseline(db, &b, err);
    if (rc) {
        error_context(err, "looking at the shop before the upgrade");
    } else {
        *out = b;
        b = (struct health_baseline)HEALTH_BASELINE_INIT;
    }
    health_baseline_release(&b);
    return rc;
}

enum error_kind health_baseline_renew(struct health_baseline *b, struct database *db, struct error *err)
{
    struct health_baseline now = HEALTH_BASELINE_INIT;
    enum error_kind rc = log_baseline(db, &now, err);

    if (!rc)
        rc = migrations_baseline(db, &now, err);
    if (!rc) {
        b->log_last = now.log_last;
        free(b->kinds);
        b->kinds = now.kinds;
        b->kind_count = now.kind_count;
        free(b->migrations);
        b->migrations = now.migrations;
        b->migration_count = now.migration_count;
        now.kinds = NULL;
        now.migrations = NULL;
    } else {
        error_context(err, "looking at the shop's database before the upgrade");
    }
    health_baseline_release(&now);
    return rc;
}

/* ---- as JSON ---- */

static struct json *page_json(const struct health_page *p)
{
    struct json *v = json_object();

    json_put_text(v, "what", p->what);
    json_put_text(v, "path", p->path);
    json_put_number(v, "status", p->status);
    if (p->location)
        json_put_text(v, "location", p->location);
    json_put_flag(v, "answered", p->answered);
    return v;
}

enum error_kind health_baseline_encode(const struct health_baseline *b, struct json **out, struct error *err)
{
    struct json *v = json_object();
    struct json *pages = json_array();
    struct json *kinds = json_array();
    struct json *migrations = json_array();

    if (!v || !pages || !kinds || !migrations) {
        json_free(v);
        json_free(pages);
        json_free(kinds);
        json_free(migrations);
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    }
    for (size_t i = 0; i < b->page_count; i++)
        json_push(pages, page_json(&b->pages[i]));
    for (size_t i = 0; i < b->kind_count; i++) {
        unsigned char bytes[8];
        char hex[17];

        put_u64(bytes, b->kinds[i]);
        hex_encode(bytes, sizeof(bytes), hex);
        json_push_text(kinds, hex);
    }
    for (size_t i = 0; i < b->migration_count; i++) {
        struct json *row = json_object();

        json_put_number(row, "version", b->migrations[i]);
        json_push(migrations, row);
    }
    json_put(v, "pages", pages);
    json_put_number(v, "product", (int64_t)b->product);
    json_put_text(v, "picture", b->picture);
    json_put_flag(v, "picture_ok", b->picture_ok);
    json_put_number(v, "log_last", b->log_last);
    json_put(v, "log_kinds", kinds);
    json_put(v, "migrations", migrations);
    *out = v;
    return OK;
}

static enum error_kind spoilt(const char *what, struct error *err)
{
    return error_set(err, ERR_CORRUPT, 0, "what is kept of the shop before the upgrade is spoilt: %s", what);
}

static bool is_path(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (len == 0 || len > PATH_MAX_LENGTH || text[0] != '/')
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return false;
    return true;
}

static enum error_kind page_decode(struct json *v, struct health_page *p, struct error *err)
{
    const char *what = json_text(json_get(v, "what"));
    const char *path = json_text(json_get(v, "path"));
    const char *location = json_text(json_get(v, "location"));
    enum error_kind rc;

    if (!what || !is_path(path))
        return spoilt("a page", err);
    p->status = (long)json_number(json_get(v, "status"), 0);
    p->answered = json_flag(json_get(v, "answered"), false);
    rc = memory_string(what, &p->what, err);
    if (!rc)
        rc = memory_string(path, &p->path, err);
    return rc || !location ? rc : memory_string(location, &p->location, err);
}

static enum error_kind pages_decode(struct json *v, struct health_baseline *b, struct error *err)
{
    size_t count = json_length(v);
    enum error_kind rc = OK;

    if (count == 0 || count > HEALTH_PAGES_MAX)
        return spoilt("its pages", err);
    rc = pages_allocate(b, err);
    while (!rc && b->page_count < count) {
        rc = page_decode(json_at(v, b->page_count), &b->pages[b->page_count], err);
        b->page_count++;
    }
    return rc;
}

static int kinds_by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static enum error_kind kinds_decode(struct json *v, struct health_baseline *b, struct error *err)
{
    size_t count = json_length(v);
    void *memory = NULL;
    enum error_kind rc;

    if (count > KINDS_MAX)
        return spoilt("the kinds of errors", err);
    rc = memory_zeroed(count + 1, sizeof(*b->kinds), &memory, err);
    if (rc)
        return rc;
    b->kinds = memory;
    for (; b->kind_count < count; b->kind_count++) {
        const char *hex = json_text(json_at(v, b->kind_count));
        unsigned char bytes[8];

        if (!hex || hex_decode(hex, sizeof(bytes), bytes) != 0)
            return spoilt("the kinds of errors", err);
        b->kinds[b->kind_count] = get_u64(bytes);
    }
    qsort(b->kinds, count, sizeof(*b->kinds), kinds_by_value);
    return OK;
}

static enum error_kind migrations_decode(struct json *v, struct health_baseline *b, struct error *err)
{
    size_t count = json_length(v);
    void *memory = NULL;
    enum error_kind rc;

    if (count > MIGRATIONS_MAX)
        return spoilt("the migrations", err);
    rc = memory_zeroed(count + 1, sizeof(*b->migrations), &memory, err);
    if (rc)
        return rc;
    b->migrations = memory;
    for (; b->migration_count < count; b->migration_count++) {
        int64_t version = json_number(json_get(json_at(v, b->migration_count), "version"), INT64_MIN);

        if (version == INT64_MIN)
            return spoilt("the migrations", err);
        b->migrations[b->migration_count] = version;
    }
    return OK;
}

enum error_kind health_baseline_decode(struct json *v, struct health_baseline *out, struct error *err)
{
    struct health_baseline b = HEALTH_BASELINE_INIT;
    const char *picture = json_text(json_get(v, "picture"));
    int64_t product = json_number(json_get(v, "product"), -1);
    enum error_kind rc = pages_decode(json_get(v, "pages"), &b, err);

    if (!rc && (product < 0 || (size_t)product > b.page_count || (picture && *picture && !is_path(picture))))
        rc = spoilt("its product", err);
    b.product = (size_t)product;
    b.picture_ok = json_flag(json_get(v, "picture_ok"), false);
    b.log_last = json_number(json_get(v, "log_last"), -1);
    if (!rc && picture)
        rc = memory_string(picture, &b.picture, err);
    if (!rc)
        rc = kinds_decode(json_get(v, "log_kinds"), &b, err);
    if (!rc)
        rc = migrations_decode(json_get(v, "migrations"), &b, err);
    if (!rc) {
        *out = b;
        b = (struct health_baseline)HEALTH_BASELINE_INIT;
    }
    health_baseline_release(&b);
    return rc;
}
