/*
 * Events switched off or on in a dump. The tools write an event as one statement that begins a line with EVENT_LINE and has
 * its schedule and status on that line, in the server's own canonical form; a row's text can't begin a line (line breaks
 * in it are escaped).
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mysql_internal.h"

#define EVENT_LINE "/*!50106 CREATE*/ "

enum { LINE_LEN = sizeof EVENT_LINE - 1, STATEMENT_MAX = 1024 * 1024 };

struct mysql_events {
    const struct text_list *enable;
    struct text_list *found;
    database_sink_fn *sink;
    void *arg;
    struct buffer line; /* how a line begins, until it is known to be no event; or an event up to its status */
    enum { LINE_BEGIN, LINE_REST, EVENT } place;
};

enum error_kind mysql_events_new(const struct text_list *enable, struct text_list *found, database_sink_fn *sink,
                                 void *arg, struct mysql_events **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof **out, &memory, err);

    if (rc)
        return rc;
    *out = memory;
    (*out)->enable = enable;
    (*out)->found = found;
    (*out)->sink = sink;
    (*out)->arg = arg;
    (*out)->line = (struct buffer)BUFFER_INIT(STATEMENT_MAX);
    return OK;
}

void mysql_events_free(struct mysql_events *e)
{
    if (!e)
        return;
    buffer_release(&e->line);
    free(e);
}

/* ---- the statement ---- */

struct words {
    const char *at;
    const char *end;
    const char *word; /* the last one found */
    size_t len;
};

static void skip_quoted(struct words *w)
{
    char quote = *w->at++;

    while (w->at < w->end && *w->at != quote) {
        if (*w->at == '\\' && quote != '`' && w->at + 1 < w->end)
            w->at++;
        w->at++;
    }
    if (w->at < w->end)
        w->at++;
}

/* The next bare word; quoted names and texts are passed over. */
static bool next_word(struct words *w)
{
    while (w->at < w->end && !isalpha((unsigned char)*w->at)) {
        if (*w->at == '\'' || *w->at == '"' || *w->at == '`')
            skip_quoted(w);
        else
            w->at++;
    }
    w->word = w->at;
    while (w->at < w->end && (isalnum((unsigned char)*w->at) || *w->at == '_'))
        w->at++;
    w->len = (size_t)(w->at - w->word);
    return w->len > 0;
}

static bool word_is(const struct words *w, const char *word)
{
    return w->len == strlen(word) && strncasecmp(w->word, word, w->len) == 0;
}

bool mysql_event_status(const char *sql, size_t len, size_t *begin, size_t *end)
{
    struct words w = {sql, sql + len, sql, 0};
    bool found = false;

    while (!found && next_word(&w))
        if (word_is(&w, "COMPLETION")) {
            found = next_word(&w);
            if (found && word_is(&w, "NOT"))
                found = next_word(&w);
            found = found && word_is(&w, "PRESERVE");
        }
    if (!found || !next_word(&w) || w.at == w.end) /* a word at the very end may go on in the next piece */
        return false;
    if (!word_is(&w, "ENABLE") && !word_is(&w, "DISABLE"))
        return false;
    *begin = (size_t)(w.word - sql);
    *end = (size_t)(w.at - sql);
    if (!next_word(&w) || w.at == w.end)
        return false;
    if (word_is(&w, "ON")) { /* DISABLE ON SLAVE */
        if (!next_word(&w) || w.at == w.end)
            return false;
        *end = (size_t)(w.at - sql);
    }
    return true;
}

/* The name after the word EVENT; NULL if there is none. */
static char *event_name(const char *sql, size_t len)
{
    struct words w = {sql, sql + len, sql, 0};
    char *name = NULL;
    size_t n = 0;

    while (next_word(&w))
        if (word_is(&w, "EVENT"))
            break;
    while (w.at < w.end && *w.at == ' ')
        w.at++;
    if (w.at == w.end || *w.at != '`')
        return NULL;
    name = malloc((size_t)(w.end - w.at) + 1);
    for (const char *at = w.at + 1; name && at < w.end; at++) {
        if (*at == '`') {
            if (at + 1 == w.end || at[1] != '`') {
                name[n] = '\0';
                return name;
            }
            at++;
        }
        name[n++] = *at;
    }
    free(name);
    return NULL;
}

static enum error_kind switch_event(struct mysql_events *e, size_t begin, size_t end, struct error *err)
{
    const char *sql = (const char *)e->line.data;
    char *name = event_name(sql, e->line.len);
    const char *status = sql + begin;
    size_t status_len = end - begin;
    bool was_on = status_len == strlen("ENABLE"); /* the others are longer */
    enum error_kind rc = OK;

    if (!name)
        return error_set(err, ERR_CORRUPT, 0, "the dump has an event without a name");
    if (e->enable ? mysql_list_has(e->enable, name) : was_on) {
        status = e->enable ? "ENABLE" : "DISABLE";
        status_len = strlen(status);
    }
    if (was_on && e->found)
        rc = text_list_add(e->found, name, err);
    free(name);
    if (!rc)
        rc = e->sink(e->arg, sql, begin, err);
    if (!rc)
        rc = e->sink(e->arg, status, status_len, err);
    if (!rc)
        rc = e->sink(e->arg, sql + end, e->line.len - end, err);
    return rc;
}

/* ---- the stream ---- */

static enum error_kind hand_line(struct mysql_events *e, struct error *err)
{
    size_t len = e->line.len;

    e->line.len = 0;
    return len ? e->sink(e->arg, e->line.data, len, err) : OK;
}

/* Gather the line's first bytes until they tell whether it is an event. */
static enum error_kind line_begin(struct mysql_events *e, const char **at, const char *end, struct error *err)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    size_t wanted = LINE_LEN - e->line.len;
    size_t there = (size_t)((newline ? newline + 1 : end) - *at);
    size_t take = there < wanted ? there : wanted;
    enum error_kind rc = buffer_append(&e->line, *at, take, err);

    if (rc)
        return rc;
    *at += take;
    if (memcmp(e->line.data, EVENT_LINE, e->line.len) == 0) {
        if (e->line.len == LINE_LEN)
            e->place = EVENT;
        return OK;
    }
    e->place = (*at)[-1] == '\n' ? LINE_BEGIN : LINE_REST;
    return hand_line(e, err);
}

static enum error_kind line_rest(struct mysql_events *e, const char **at, const char *end, struct error *err)
{
    const char *from = *at;
    const char *newline = memchr(from, '\n', (size_t)(end - from));

    /* Whole lines that can't be an event go out in one piece: an event's line begins with a slash. */
    while (newline && newline + 1 < end && newline[1] != '/')
        newline = memchr(newline + 1, '\n', (size_t)(end - newline - 1));
    *at = newline ? newline + 1 : end;
    e->place = newline ? LINE_BEGIN : LINE_REST;
    return e->sink(e->arg, from, (size_t)(*at - from), err);
}

static enum error_kind event(struct mysql_events *e, const char **at, const char *end, struct error *err)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    size_t take = (size_t)((newline ? newline + 1 : end) - *at);
    size_t begin = 0;
    size_t stop = 0;
    enum error_kind rc = buffer_append(&e->line, *at, take, err);

    if (rc) {
        error_context(err, "an event of the dump");
        return rc;
    }
    *at += take;
    if (!mysql_event_status((const char *)e->line.data, e->line.len, &begin, &stop))
        return OK; /* its status comes later */
    rc = switch_event(e, begin, stop, err);
    e->line.len = 0;
    e->place = (*at)[-1] == '\n' ? LINE_BEGIN : LINE_REST;
    return rc;
}

enum error_kind mysql_events_feed(struct mysql_events *e, const void *bytes, size_t len, struct error *err)
{
    const char *at = bytes;
    const char *end = at + len;
    enum error_kind rc = OK;

    while (!rc && at < end)
        rc = e->place == LINE_BEGIN ? line_begin(e, &at, end, err)
             : e->place == EVENT    ? event(e, &at, end, err)
                                    : line_rest(e, &at, end, err);
    return rc;
}

enum error_kind mysql_events_end(struct mysql_events *e, struct error *err)
{
    if (e->place == EVENT)
        return error_set(err, ERR_CORRUPT, 0, "the dump ends in the middle of an event");
    return hand_line(e, err);
}
