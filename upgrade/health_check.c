/* One round of everything that is asked of a shop that answers: pages, migrations, its log, the owner's own checks. */
#include <stdlib.h>
#include <string.h>

#include "health_internal.h"
#include "process.h"
#include "thread.h"

enum { COMMAND_TIMEOUT_MS = 120000, PRODUCTS_TRIED = 1 };

struct round {
    const struct health_options *o;
    const struct health_baseline *before; /* or NULL */
    struct database *db;                  /* or NULL */
    struct text_list *reasons;
    struct text_list *warnings;
};

/* ---- pages ---- */

/* Of a shop that did not answer at all nothing is known. */
static bool pages_are_known(const struct round *r)
{
    return r->before && r->before->page_count && r->before->pages[0].status != 0;
}

/* A page that is as well, or as ill, as it was before. */
static enum error_kind judge_page(struct round *r, const char *what, const char *path, bool answered_before,
                                  const struct page_seen *seen, struct error *err)
{
    if (seen->state == PAGE_FINE)
        return OK;
    if (answered_before)
        return text_list_addf(r->reasons, err, "%s, %s, %s", what, path, seen->says);
    return text_list_addf(r->warnings, err, "%s, %s, %s, nor did it answer before the upgrade", what, path, seen->says);
}

static enum error_kind check_picture(struct round *r, const char *page, const char *picture, struct error *err)
{
    const struct health_baseline *b = pages_are_known(r) ? r->before : NULL;
    struct page_seen seen = PAGE_SEEN_INIT;
    bool must = !b || b->picture_ok;
    enum error_kind rc = OK;

    if (!picture)
        return b && must ? text_list_addf(r->reasons, err, "a product's page, %s, has no picture any more", page) : OK;
    if (b && must && picture_is_stand_in(picture))
        return text_list_addf(r->reasons, err,
                              "a product's page, %s, shows the stand-in for a missing picture, and had its own before",
                              page);
    rc = picture_look(r->o, picture, &seen, err);
    if (!rc)
        rc = judge_page(r, "a product's picture", picture, must, &seen, err);
    page_seen_release(&seen);
    return rc;
}

static enum error_kind check_page(struct round *r, const char *what, const char *path, bool answered_before,
                                  bool picture, struct error *err)
{
    struct page_seen seen = PAGE_SEEN_INIT;
    enum error_kind rc = page_look(r->o, path, &seen, err);

    if (!rc)
        rc = judge_page(r, what, path, answered_before, &seen, err);
    if (!rc && picture && seen.state == PAGE_FINE)
        rc = check_picture(r, path, seen.picture, err);
    page_seen_release(&seen);
    return rc;
}

static enum error_kind check_pages_of_before(struct round *r, struct error *err)
{
    const struct health_baseline *b = r->before;
    enum error_kind rc = OK;

    for (size_t i = 0; i < b->page_count && !rc; i++)
        rc = check_page(r, b->pages[i].what, b->pages[i].path, b->pages[i].answered, i == b->product, err);
    return rc;
}

/* Nothing is known of before: what every shop has. That the database can't be read is said where it is checked. */
static enum error_kind check_usual_pages(struct round *r, struct error *err)
{
    struct text_list slugs = TEXT_LIST_INIT;
    struct error unread = ERROR_INIT;
    enum error_kind rc = check_page(r, "the first page", HEALTH_FIRST_PAGE, true, false, err);

    if (!rc)
        rc = check_page(r, "the login page", "/login", true, false, err);
    if (!rc && r->db && database_slugs(r->db, "Product", PRODUCTS_TRIED, &slugs, &unread))
        text_list_release(&slugs);
    for (size_t i = 0; i < slugs.count && !rc; i++) {
        char *path = NULL;

        rc = slug_path(slugs.items[i], &path, err);
        if (!rc)
            rc = check_page(r, "a product's page", path, true, true, err);
        free(path);
    }
    text_list_release(&slugs);
    return rc;
}

/* ---- the database ---- */

static enum error_kind check_database(struct round *r, struct error *err)
{
    struct database_migrations now = {NULL, 0};
    enum error_kind rc = database_migrations(r->db, &now, err);

    if (!rc)
        rc = migrations_check(r->o, r->before, &now, r->reasons, r->warnings, err);
    if (!rc)
        rc = log_check(r->db, r->before, r->reasons, r->warnings, err);
    database_migrations_release(&now);
    return rc;
}

/* A database that can't be read is as bad as a page. */
static enum error_kind check_database_or_say(struct round *r, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = check_database(r, &why);

    if (rc == ERR_CANCELLED || rc == ERR_MEMORY) {
        error_copy(err, &why);
        return rc;
    }
    return rc ? text_list_add(r->reasons, why.text, err) : OK;
}

/* ---- the owner's own ---- */

static enum error_kind check_command(struct round *r, const char *command, struct error *err)
{
    int limit = r->o->command_timeout_ms > 0 ? r->o->command_timeout_ms : COMMAND_TIMEOUT_MS;
    struct error why = ERROR_INIT;
    char within[TEXT_MAX];
    char shown[200];
    int status = 0;
    enum error_kind rc = process_shell_within(command, limit, &status, &why);

    text_name(command, strlen(command), shown, sizeof(shown));
    text_duration((uint64_t)limit, within);
    if (rc == ERR_REMOTE)
        return text_list_addf(r->reasons, err, "the check `%s` did not end within %s", shown, within);
    if (rc) {
        error_copy(err, &why);
        return rc;
    }
    return status ? text_list_addf(r->reasons, err, "the check `%s` ended with status %d", shown, status) : OK;
}

static enum error_kind check_owners_page(struct round *r, const char *line, struct error *err)
{
    char *says = NULL;
    char *where = NULL;
    char *shown = NULL;
    enum error_kind rc = owners_page_look(r->o, line, &says, err);

    if (!rc && says)
        rc = memory_format(&where, err, "%.*s", (int)strcspn(line, " \t"), line);
    if (!rc && says)
        rc = http_url_shown(where, &shown, err);
    if (!rc && says)
        rc = text_list_addf(r->reasons, err, "the page to check, %s, %s", shown, says);
    free(says);
    free(where);
    free(shown);
    return rc;
}

static enum error_kind check_owners(struct round *r, struct error *err)
{
    const struct text_list *pages = r->o->pages;
    const struct text_list *commands = r->o->commands;
    enum error_kind rc = OK;

    for (size_t i = 0; pages && i < pages->count && !rc; i++)
        rc = check_owners_page(r, pages->items[i], err);
    for (size_t i = 0; commands && i < commands->count && !rc; i++)
        rc = check_command(r, commands->items[i], err);
    return rc;
}

enum error_kind health_check(const struct health_options *o, const struct health_baseline *before, struct database *db,
                             struct text_list *reasons, struct text_list *warnings, struct error *err)
{
    struct round r = {o, before, db, reasons, warnings};
    enum error_kind rc = pages_are_known(&r) ? check_pages_of_before(&r, err) : check_usual_pages(&r, err);

    if (!rc && db)
        rc = check_database_or_say(&r, err);
    if (!rc && reasons->count == 0) /* else the verdict is there, and commands of others may change something */
        rc = check_owners(&r, err);
    return rc ? rc : cancel_check(err);
}
