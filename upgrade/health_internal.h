/* Inside the room: how a page is asked and what is read from an answer, the log's kinds, what migrations are expected. */
#ifndef NOPSNAP_HEALTH_INTERNAL_H
#define NOPSNAP_HEALTH_INTERNAL_H

#include "health.h"
#include "http.h"

#define HEALTH_FIRST_PAGE "/"
#define HEALTH_PAGES_MAX 16

/* ---- health_page.c ---- */

enum page_state {
    PAGE_FINE,    /* 200, something in it, not the error page */
    PAGE_SILENT,  /* nobody answers, or a proxy says so */
    PAGE_INSTALL, /* redirects to /install */
    PAGE_CRASHED, /* the application did not start, says IIS */
    PAGE_BAD,     /* anything else */
};

struct page_seen {
    enum page_state state;
    long status;
    char *location; /* path of a redirect below the base path, or a whole URL where it leads out of the shop; or NULL */
    char *picture;  /* path of the first thumbnail in it, below the base path, or NULL */
    char *says;     /* "answers with status 500": to stand behind the page's name */
};

#define PAGE_SEEN_INIT                   \
    {                                    \
        PAGE_SILENT, 0, NULL, NULL, NULL \
    }

/* Just ask it. path: below the base path. */
enum error_kind page_ask(const struct health_options *o, const char *path, struct http_answer *a, struct error *err);
enum error_kind page_look(const struct health_options *o, const char *path, struct page_seen *out, struct error *err);
void page_seen_release(struct page_seen *seen);
/* The same of a picture: fine is an image that is not empty. */
enum error_kind picture_look(const struct health_options *o, const char *path, struct page_seen *out,
                             struct error *err);
/* The path of a page by its slug, which may hold letters of any language: Kestrel takes them only encoded. Caller frees. */
enum error_kind slug_path(const char *slug, char **out, struct error *err);
/* Does nopCommerce show this instead of a picture that it has not? */
bool picture_is_stand_in(const char *path);
/* Is `text` in what this page of the owner's ("/path text", "URL text") answers? says: as above, NULL if it is well. Caller frees. */
enum error_kind owners_page_look(const struct health_options *o, const char *line, char **says, struct error *err);

/* ---- health_log.c ---- */

/* What of a message makes its kind: without numbers, and without what stands in quotes and brackets, which name the single case. */
uint64_t log_kind(const char *message);
enum error_kind log_baseline(struct database *db, struct health_baseline *out, struct error *err);
/* Fatal rows go to reasons, errors new in kind to warnings. */
enum error_kind log_check(struct database *db, const struct health_baseline *before, struct text_list *reasons,
                          struct text_list *warnings, struct error *err);

/* ---- health_migrations.c ---- */

enum error_kind migrations_baseline(struct database *db, struct health_baseline *out, struct error *err);
enum error_kind migrations_check(const struct health_options *o, const struct health_baseline *before,
                                 const struct database_migrations *now, struct text_list *reasons,
                                 struct text_list *warnings, struct error *err);

/* ---- health_check.c ---- */

/*
 * One round of everything that is asked of a shop that answers.
 *
 * reasons    what is broken, one line each; none: it is well
 */
enum error_kind health_check(const struct health_options *o, const struct health_baseline *before, struct database *db,
                             struct text_list *reasons, struct text_list *warnings, struct error *err);

#endif
