/* Words and numbers for people: sizes, durations, moments, names of any bytes. */
#ifndef NOPSNAP_TEXT_H
#define NOPSNAP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define TEXT_MAX 32

void text_size(uint64_t bytes, char out[TEXT_MAX]);    /* "1.4 GiB" */
void text_duration(uint64_t ms, char out[TEXT_MAX]);   /* "4 min 12 s" */
void text_moment(int64_t unix_ns, char out[TEXT_MAX]); /* "2026-11-23 03:00:07" local time */
/* A name as a terminal may see it: control characters and bad UTF-8 as \n, \x1b; cut with "..." to fit out_len. */
void text_name(const void *bytes, size_t len, char *out, size_t out_len);
/* "10m", "7d", "1h30m", "45s" to milliseconds; -1 if malformed. */
int64_t text_parse_duration(const char *text);
/* Now, in ns since 1970; NOPSNAP_CLOCK (a file with such a number) replaces it in tests of schedules. */
int64_t clock_now(void);
int64_t clock_monotonic_ms(void);

/* A list of owned strings. */
struct text_list {
    char **items;
    size_t count;
    size_t cap;
};
#define TEXT_LIST_INIT \
    {                  \
        .items = NULL  \
    }
enum error_kind text_list_add(struct text_list *l, const char *text, struct error *err);
enum error_kind text_list_addf(struct text_list *l, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool text_list_has(const struct text_list *l, const char *text);
/* A copy of each line of another list, behind those that are there. */
enum error_kind text_list_add_all(struct text_list *l, const struct text_list *more, struct error *err);
void text_list_release(struct text_list *l);

/*
 * Shell-style pattern against a relative path: '*' and '?' stop at '/', '**' does not; a pattern without '/'
 * matches a name at any depth; a leading '/' anchors at the root; matching a directory matches what is below it.
 * Case matters unless nocase.
 */
int text_match(const char *pattern, const char *path, int nocase);
/* The pattern that matches this path alone (and what is below it), whatever characters it has. Caller frees. */
enum error_kind text_pattern_of(const char *path, char **out, struct error *err);

/* Progress is reported through this, so that only cli/ prints. Any member may be NULL. */
struct progress {
    void (*step)(void *arg, const char *what);                                   /* "walking files" */
    void (*advance)(void *arg, uint64_t done, uint64_t total, const char *unit); /* total 0: unknown */
    void (*note)(void *arg, const char *line);                                   /* a fact the user should read */
    void (*warn)(void *arg, const char *line);                                   /* makes the exit status 3 */
    void *arg;
};
void progress_step(const struct progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void progress_advance(const struct progress *p, uint64_t done, uint64_t total, const char *unit);
void progress_note(const struct progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void progress_warn(const struct progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
