/*
 * Lines of a dump rewritten as it passes. The tools write two kinds of lines that must not reach another schema as they are:
 *
 *   an event, which would run where it is only stored: one statement that begins a line with EVENT_LINE and has its schedule
 *   and status on that line, in the server's own canonical form
 *
 *   ALTER DATABASE `name` CHARACTER SET ..., put around a routine whose schema had another collation when it was made: by its
 *   name it would change the database that was dumped, and not the one that is loaded (D3). Without a name it means the
 *   one in use
 *
 * A row's text can't begin a line: line breaks in it are escaped.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mysql_internal.h"

#define EVENT_LINE "/*!50106 CREATE*/ "
#define ALTER_LINE "ALTER DATABASE `"

enum { STATEMENT_MAX = 1024 * 1024 };

struct mysql_lines {
    const struct text_list *enable;
    struct text_list *found;
    database_sink_fn *sink;
    void *arg;
    struct buffer line; /* how a line begins, until it is known to be no event; or an event up to its status */
    enum { LINE_BEGIN, LINE_REST, EVENT, ALTER } place;
};

enum error_kind mysql_lines_new(const struct text_list *enable, struct text_list *found, database_sink_fn *sink,
                                void *arg, struct mysql_lines **out, struct error *err)
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

void mysql_lines_free(struct mysql_lines *l)
{
    if (!l)
        return;
    buffer_release(&l->line);
    free(l);
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

static enum error_kind switch_event(struct mysql_lines *l, size_t begin, size_t end, struct error *err)
{
    const char *sql = (const char *)l->line.data;
    char *name = event_name(sql, l->line.len);
    const char *status = sql + begin;
    size_t status_len = end - begin;
    bool was_on = status_len == strlen("ENABLE"); /* the others are longer */
    enum error_kind rc = OK;

    if (!name)
        return error_set(err, ERR_CORRUPT, 0, "the dump has an event without a name");
    if (l->enable ? text_list_has(l->enable, name) : was_on) {
        status = l->enable ? "ENABLE" : "DISABLE";
        status_len = strlen(status);
    }
    if (was_on && l->found)
        rc = text_list_add(l->found, name, err);
    free(name);
    if (!rc)
        rc = l->sink(l->arg, sql, begin, err);
    if (!rc)
        rc = l->sink(l->arg, status, status_len, err);
    if (!rc)
        rc = l->sink(l->arg, sql + end, l->line.len - end, err);
    return rc;
}

/* ---- the stream ---- */

static enum error_kind hand_line(struct mysql_lines *l, struct error *err)
{
    size_t len = l->line.len;

    l->line.len = 0;
    return len ? l->sink(l->arg, l->line.data, len, err) : OK;
}

static bool could_begin(const struct buffer *line, const char *words)
{
    size_t len = strlen(words);

    return memcmp(line->data, words, line->len < len ? line->len : len) == 0;
}

/* Gather the line's first bytes until they tell what it is. */
static enum error_kind line_begin(struct mysql_lines *l, const char **at, const char *end, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && *at < end && l->place == LINE_BEGIN) {
        char c = *(*at)++;

        rc = buffer_append(&l->line, &c, 1, err);
        if (rc)
            return rc;
        if (could_begin(&l->line, EVENT_LINE))
            l->place = l->line.len == strlen(EVENT_LINE) ? EVENT : LINE_BEGIN;
        else if (could_begin(&l->line, ALTER_LINE))
            l->place = l->line.len == strlen(ALTER_LINE) ? ALTER : LINE_BEGIN;
        else {
            l->place = c == '\n' ? LINE_BEGIN : LINE_REST;
            rc = hand_line(l, err);
        }
    }
    return rc;
}

/* The name ends at a backtick that is not doubled: the byte behind it has to be seen, too. */
static enum error_kind alter(struct mysql_lines *l, const char **at, struct error *err)
{
    static const char words[] = "ALTER DATABASE";
    const unsigned char *name = NULL;
    size_t quotes = 0;
    char c = *(*at)++;
    enum error_kind rc = buffer_append(&l->line, &c, 1, err);

    if (rc)
        return rc;
    name = l->line.data + strlen(ALTER_LINE);
    for (const unsigned char *p = name; p < l->line.data + l->line.len; p++)
        quotes += *p == '`';
    if (c == '`' || quotes % 2 == 0)
        return OK;
    rc = c == ' ' ? l->sink(l->arg, words, sizeof words - 1, err) : l->sink(l->arg, l->line.data, l->line.len - 1, err);
    if (!rc)
        rc = l->sink(l->arg, &c, 1, err);
    l->line.len = 0;
    l->place = c == '\n' ? LINE_BEGIN : LINE_REST;
    return rc;
}

static enum error_kind line_rest(struct mysql_lines *l, const char **at, const char *end, struct error *err)
{
    const char *from = *at;
    const char *newline = memchr(from, '\n', (size_t)(end - from));

    /* Whole lines that can be neither go out in one piece. */
    while (newline && newline + 1 < end && newline[1] != EVENT_LINE[0] && newline[1] != ALTER_LINE[0])
        newline = memchr(newline + 1, '\n', (size_t)(end - newline - 1));
    *at = newline ? newline + 1 : end;
    l->place = newline ? LINE_BEGIN : LINE_REST;
    return l->sink(l->arg, from, (size_t)(*at - from), err);
}

static enum error_kind event(struct mysql_lines *l, const char **at, const char *end, struct error *err)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    size_t take = (size_t)((newline ? newline + 1 : end) - *at);
    size_t begin = 0;
    size_t stop = 0;
    enum error_kind rc = buffer_append(&l->line, *at, take, err);

    if (rc) {
        error_context(err, "an event of the dump");
        return rc;
    }
    *at += take;
    if (!mysql_event_status((const char *)l->line.data, l->line.len, &begin, &stop))
        return OK; /* its status comes later */
    rc = switch_event(l, begin, stop, err);
    l->line.len = 0;
    l->place = (*at)[-1] == '\n' ? LINE_BEGIN : LINE_REST;
    return rc;
}

enum error_kind mysql_lines_feed(struct mysql_lines *l, const void *bytes, size_t len, struct error *err)
{
    const char *at = bytes;
    const char *end = at + len;
    enum error_kind rc = OK;

    while (!rc && at < end)
        rc = l->place == LINE_BEGIN ? line_begin(l, &at, end, err)
             : l->place == EVENT    ? event(l, &at, end, err)
             : l->place == ALTER    ? alter(l, &at, err)
                                    : line_rest(l, &at, end, err);
    return rc;
}

enum error_kind mysql_lines_end(struct mysql_lines *l, struct error *err)
{
    if (l->place == EVENT || l->place == ALTER)
        return error_set(err, ERR_CORRUPT, 0, "the dump ends in the middle of a statement");
    return hand_line(l, err);
}
