/*
 * A dump read as a stream. Invariants:
 *
 *   S1  what comes out is the same SQL as what went in: only the borders between INSERT statements differ
 *   S2  a row is counted once, when its closing parenthesis is seen outside of quotes
 *   S3  where a statement ends depends on the bytes of its last row alone (or on STATEMENT_MAX, which such an end almost
 *       always forestalls), never on what came before
 *   S4  memory is bounded by one table's definition and one statement's head
 */
#include "mysql_internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    OUT_SIZE = 256 * 1024,
    HEAD_MAX = 4 * 1024 * 1024,     /* INSERT INTO `t` (columns) VALUES */
    DDL_MAX = 16 * 1024 * 1024,     /* one CREATE TABLE */
    STATEMENT_TARGET = 64 * 1024,   /* mean length of a statement */
    STATEMENT_MAX = 16 * 64 * 1024, /* reached once in e^16 statements of small rows */
    HASHED_BYTES = 64,              /* of a row: its key lies there */
    DELIMITER_LINE = 12,            /* "DELIMITER ;\n" */
};

enum place {
    BETWEEN,    /* no statement is open */
    HEAD,       /* the first bytes, not yet told apart */
    OTHER,      /* a statement that is only passed on */
    DEFINITION, /* CREATE TABLE: passed on, and kept for its columns */
    DELIMITED, /* DELIMITER ;; until DELIMITER ; — bodies of triggers and routines, whose text is no business of ours */
    ROWS_HEAD,  /* INSERT INTO ... up to the first row */
    BEFORE_ROW, /* between rows */
    ROW,
};

enum mode { CODE, SINGLE, DOUBLE, BACKTICK, LINE_COMMENT, SLASH_STAR, SLASH_STAR_M, BLOCK_COMMENT };

struct mysql_scan {
    database_sink_fn *sink;
    void *arg;
    unsigned char *out;
    size_t out_len;

    enum place place;
    enum mode mode;
    bool escaped;   /* the byte before was a backslash within quotes */
    bool code_seen; /* more than comments since the statement began */
    char last[2];   /* the last two bytes of code, for "--", and "*" before "/" */
    struct buffer head;
    struct buffer definition;
    char line[DELIMITER_LINE + 1]; /* how the current line begins, in DELIMITED */
    size_t line_len;

    /* the table whose rows are coming */
    struct database_counts counts;
    size_t table;     /* index in counts; SIZE_MAX: none yet */
    long id_position; /* of the column Id in its definition, -1: none that is an integer */
    long id_in_rows;  /* the same in the rows of this statement */

    const char *ids_table; /* whose Ids are handed over; NULL: none's */
    database_id_fn *ids;
    void *ids_arg;
    bool ids_wanted; /* of the rows that are coming */

    /* the row */
    int depth;
    long column;
    uint64_t row_len;
    uint32_t hash;
    bool number_ok, number_negative, number_seen;
    int64_t number;

    /* the statement being handed out */
    struct buffer open_head; /* its first words; len 0: none is open */
    uint64_t open_len;
    bool cut;             /* it ends after the row that was last seen */
    bool swallow_newline; /* the one after an INSERT's semicolon: we write our own */
    uint64_t largest;
};

enum error_kind mysql_scan_new(database_sink_fn *sink, void *arg, struct mysql_scan **out, struct error *err)
{
    struct mysql_scan *s = NULL;
    void *memory = NULL;
    void *room = NULL;
    enum error_kind rc;

    rc = memory_allocate(OUT_SIZE, &room, err);
    if (!rc)
        rc = memory_zeroed(1, sizeof *s, &memory, err);
    if (rc) {
        free(room);
        return rc;
    }
    s = memory;
    s->sink = sink;
    s->arg = arg;
    s->out = room;
    s->head = (struct buffer)BUFFER_INIT(HEAD_MAX);
    s->open_head = (struct buffer)BUFFER_INIT(HEAD_MAX);
    s->definition = (struct buffer)BUFFER_INIT(DDL_MAX);
    s->table = SIZE_MAX;
    s->id_position = -1;
    *out = s;
    return OK;
}

void mysql_scan_ids(struct mysql_scan *s, const char *table, database_id_fn *fn, void *arg)
{
    s->ids_table = table;
    s->ids = fn;
    s->ids_arg = arg;
}

void mysql_scan_free(struct mysql_scan *s)
{
    if (!s)
        return;
    buffer_release(&s->head);
    buffer_release(&s->open_head);
    buffer_release(&s->definition);
    database_counts_release(&s->counts);
    free(s->out);
    free(s);
}

void mysql_scan_counts(struct mysql_scan *s, struct database_counts *out)
{
    *out = s->counts;
    s->counts = (struct database_counts){NULL, 0};
    s->table = SIZE_MAX;
}

uint64_t mysql_scan_largest(const struct mysql_scan *s)
{
    return s->largest;
}

/* ---- handing out ---- */

static enum error_kind flush(struct mysql_scan *s, struct error *err)
{
    size_t len = s->out_len;

    s->out_len = 0;
    return len ? s->sink(s->arg, s->out, len, err) : OK;
}

static enum error_kind put(struct mysql_scan *s, const void *bytes, size_t len, struct error *err)
{
    const unsigned char *at = bytes;
    enum error_kind rc = OK;

    while (!rc && len) {
        size_t room = OUT_SIZE - s->out_len;
        size_t part = len < room ? len : room;

        memcpy(s->out + s->out_len, at, part);
        s->out_len += part;
        at += part;
        len -= part;
        if (s->out_len == OUT_SIZE)
            rc = flush(s, err);
    }
    return rc;
}

static enum error_kind close_statement(struct mysql_scan *s, struct error *err)
{
    if (!s->open_head.len)
        return OK;
    buffer_clear(&s->open_head);
    return put(s, ";\n", 2, err);
}

/* ---- names ---- */

/* The name between the backticks that begin at text; *end is behind the closing one. NULL when it does not close. */
static char *unquote(const char *text, const char **end)
{
    size_t len = strlen(text);
    char *name = malloc(len + 1);
    size_t n = 0;

    assert(*text == '`');
    for (const char *at = text + 1; name && *at; at++) {
        if (*at == '`' && at[1] != '`') {
            name[n] = '\0';
            *end = at + 1;
            return name;
        }
        at += *at == '`';
        name[n++] = *at;
    }
    free(name);
    return NULL;
}

static bool is_integer(const char *type)
{
    static const char *const words[] = {"int", "bigint", "smallint", "mediumint", "tinyint"};

    type += strspn(type, " ");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t len = strlen(words[i]);
        if (strncmp(type, words[i], len) == 0 && !isalpha((unsigned char)type[len]))
            return true;
    }
    return false;
}

/* Lines of a definition that begin with a backtick are columns, in order: SHOW CREATE TABLE writes one a line. */
static long find_id(const char *definition)
{
    long position = 0;

    for (const char *line = strchr(definition, '\n'); line; line = strchr(line, '\n')) {
        const char *end = NULL;
        char *name = NULL;
        bool is_id = false;

        line++;
        line += strspn(line, " \t");
        if (*line != '`')
            continue;
        name = unquote(line, &end);
        is_id = name && strcasecmp(name, "id") == 0;
        free(name);
        if (is_id)
            return is_integer(end) ? position : -1;
        position++;
    }
    return -1;
}

/* Position of Id in "(`a`, `Id`) VALUES", or the table's own when no columns are listed. */
static long id_in_head(const char *after_name, long id_position)
{
    long position = 0;
    const char *at = after_name + strspn(after_name, " ");

    if (id_position < 0 || *at != '(')
        return id_position;
    for (at++; *at; position++) {
        const char *end = NULL;
        char *name = NULL;
        bool is_id = false;

        at += strspn(at, " ,\n");
        if (*at != '`' || !(name = unquote(at, &end)))
            return -1;
        is_id = strcasecmp(name, "id") == 0;
        free(name);
        if (is_id)
            return position;
        at = end;
    }
    return -1;
}

static enum error_kind use_table(struct mysql_scan *s, const char *name, struct error *err)
{
    if (s->table != SIZE_MAX && strcmp(s->counts.tables[s->table].name, name) == 0)
        return OK;
    for (size_t i = 0; i < s->counts.count; i++)
        if (strcmp(s->counts.tables[i].name, name) == 0) {
            s->table = i;
            return OK;
        }
    s->table = s->counts.count;
    return database_counts_add(&s->counts, name, 0, -1, err);
}

static enum error_kind definition_done(struct mysql_scan *s, struct error *err)
{
    const char *text = (const char *)s->definition.data;
    const char *end = NULL;
    char *name = unquote(strchr(text, '`'), &end);
    enum error_kind rc;

    if (!name)
        return error_set(err, ERR_REMOTE, 0, "the dump has a table without a name");
    rc = use_table(s, name, err);
    if (!rc)
        s->id_position = find_id(end);
    free(name);
    buffer_clear(&s->definition);
    return rc;
}

/* ---- statements that are only passed on ---- */

static bool starts_comment(const struct mysql_scan *s, char c)
{
    return s->last[0] == '-' && s->last[1] == '-' && isspace((unsigned char)c);
}

static void step_code(struct mysql_scan *s, char c)
{
    if (starts_comment(s, c))
        s->mode = c == '\n' ? CODE : LINE_COMMENT;
    else if (c == '#')
        s->mode = LINE_COMMENT;
    else if (c == '\'')
        s->mode = SINGLE;
    else if (c == '"')
        s->mode = DOUBLE;
    else if (c == '`')
        s->mode = BACKTICK;
    else if (c == '*' && s->last[1] == '/')
        s->mode = SLASH_STAR;
    else if (!isspace((unsigned char)c) && c != '-' && c != '/')
        s->code_seen = true;
    if (s->mode == SINGLE || s->mode == DOUBLE || s->mode == BACKTICK)
        s->code_seen = true;
    s->last[0] = s->last[1];
    s->last[1] = s->mode == CODE ? c : '\0';
}

/* One byte of a statement that is passed on. True when it ended the statement (or the comment that was all there was). */
static bool step(struct mysql_scan *s, char c)
{
    switch (s->mode) {
    case CODE:
        step_code(s, c);
        return (c == ';' && s->mode == CODE) || (c == '\n' && !s->code_seen && s->mode == CODE);
    case SINGLE:
    case DOUBLE:
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == (s->mode == SINGLE ? '\'' : '"'))
            s->mode = CODE;
        return false;
    case BACKTICK:
        if (c == '`')
            s->mode = CODE;
        return false;
    case LINE_COMMENT:
        if (c != '\n')
            return false;
        s->mode = CODE;
        return !s->code_seen;
    case SLASH_STAR: /* a versioned comment is code; SLASH_STAR_M is MariaDB's own kind of it */
        s->mode = c == '!' ? CODE : c == 'M' ? SLASH_STAR_M : BLOCK_COMMENT;
        s->code_seen = s->code_seen || s->mode == CODE;
        return false;
    case SLASH_STAR_M:
        s->mode = c == '!' ? CODE : BLOCK_COMMENT;
        return false;
    case BLOCK_COMMENT:
        if (c == '/' && s->last[1] == '*')
            s->mode = CODE;
        s->last[1] = s->mode == CODE ? '\0' : c;
        return false;
    }
    return false;
}

static void begin_other(struct mysql_scan *s, enum place place)
{
    s->place = place;
    s->mode = CODE;
    s->escaped = false;
    s->code_seen = false;
    s->last[0] = s->last[1] = '\0';
}

static enum error_kind pass_on(struct mysql_scan *s, const char *at, const char *end, const char **next,
                               struct error *err)
{
    const char *from = at;
    bool ended = false;
    enum error_kind rc;

    while (at < end && !ended)
        ended = step(s, *at++);
    *next = at;
    rc = put(s, from, (size_t)(at - from), err);
    if (!rc && s->place == DEFINITION)
        rc = buffer_append(&s->definition, from, (size_t)(at - from), err);
    if (!rc && ended && s->place == DEFINITION)
        rc = definition_done(s, err);
    if (ended)
        s->place = BETWEEN;
    return rc;
}

/* ---- the first bytes of a statement ---- */

static const char rows_words[] = "INSERT INTO `";
static const char definition_words[] = "CREATE TABLE `";
static const char delimiter_words[] = "DELIMITER ;;\n";

static bool could_be(const struct buffer *head, const char *words)
{
    size_t len = strlen(words);

    return memcmp(head->data, words, head->len < len ? head->len : len) == 0;
}

static bool is(const struct buffer *head, const char *words)
{
    return head->len == strlen(words) && could_be(head, words);
}

/* The head turned out to be nothing special, or a definition: it goes the way of the bytes that follow. */
static enum error_kind release_head(struct mysql_scan *s, enum place place, struct error *err)
{
    const char *next = NULL;
    const char *at = (const char *)s->head.data;
    const char *end = at + s->head.len;
    enum error_kind rc = close_statement(s, err);

    begin_other(s, place);
    if (!rc)
        rc = pass_on(s, at, end, &next, err);
    if (!rc && next < end) { /* "DELIMITER ;" outside of its section ended before its last byte */
        char rest[sizeof delimiter_words];
        size_t len = (size_t)(end - next);

        memcpy(rest, next, len);
        buffer_clear(&s->head);
        return mysql_scan_feed(s, rest, len, err);
    }
    buffer_clear(&s->head);
    return rc;
}

static enum error_kind step_head(struct mysql_scan *s, char c, struct error *err)
{
    enum error_kind rc = buffer_append(&s->head, &c, 1, err);

    if (rc)
        return rc;
    if (is(&s->head, rows_words)) {
        s->place = ROWS_HEAD; /* an open statement may go on: decided when the whole head is known */
        s->mode = BACKTICK;
        return OK;
    }
    if (is(&s->head, definition_words))
        return release_head(s, DEFINITION, err);
    if (is(&s->head, delimiter_words)) {
        rc = close_statement(s, err);
        if (!rc)
            rc = put(s, s->head.data, s->head.len, err);
        buffer_clear(&s->head);
        s->place = DELIMITED;
        s->line_len = 0;
        return rc;
    }
    if (could_be(&s->head, rows_words) || could_be(&s->head, definition_words) || could_be(&s->head, delimiter_words))
        return OK;
    return release_head(s, OTHER, err);
}

static enum error_kind step_between(struct mysql_scan *s, char c, struct error *err)
{
    bool swallow = s->swallow_newline && c == '\n';
    enum error_kind rc = OK;

    s->swallow_newline = false;
    if (swallow)
        return OK;
    if (!isspace((unsigned char)c)) {
        s->place = HEAD;
        return step_head(s, c, err);
    }
    rc = close_statement(s, err);
    return rc ? rc : put(s, &c, 1, err);
}

static enum error_kind step_delimited(struct mysql_scan *s, const char *at, const char *end, const char **next,
                                      struct error *err)
{
    const char *from = at;
    bool ended = false;

    while (at < end && !ended) {
        if (s->line_len < DELIMITER_LINE)
            s->line[s->line_len++] = *at;
        if (*at == '\n') {
            ended = s->line_len == DELIMITER_LINE && memcmp(s->line, "DELIMITER ;\n", DELIMITER_LINE) == 0;
            s->line_len = 0;
        }
        at++;
    }
    *next = at;
    if (ended)
        s->place = BETWEEN;
    return put(s, from, (size_t)(at - from), err);
}

/* ---- rows ---- */

static enum error_kind rows_begin(struct mysql_scan *s, struct error *err)
{
    const char *text = (const char *)s->head.data;
    const char *end = NULL;
    char *name = unquote(strchr(text, '`'), &end);
    enum error_kind rc;

    if (!name)
        return error_set(err, ERR_REMOTE, 0, "the dump has rows of a table without a name");
    rc = use_table(s, name, err);
    s->ids_wanted = s->ids_table && strcasecmp(name, s->ids_table) == 0;
    free(name);
    if (rc)
        return rc;
    s->id_in_rows = id_in_head(end, s->id_position);
    if (s->open_head.len != s->head.len || memcmp(s->open_head.data, s->head.data, s->head.len) != 0)
        rc = close_statement(s, err);
    s->place = BEFORE_ROW;
    return rc;
}

/* Up to and with the blank after VALUES; quoted names may hold any word. */
static enum error_kind step_rows_head(struct mysql_scan *s, char c, struct error *err)
{
    static const char values[] = "VALUES";
    size_t words = sizeof values - 1;
    enum error_kind rc = buffer_append(&s->head, &c, 1, err);

    if (rc)
        return rc;
    if (c == '`')
        s->mode = s->mode == BACKTICK ? CODE : BACKTICK;
    if (s->mode == BACKTICK || !isspace((unsigned char)c) || s->head.len < words + 1)
        return OK;
    if (memcmp(s->head.data + s->head.len - 1 - words, values, words) == 0)
        return rows_begin(s, err);
    return OK;
}

static enum error_kind row_begin(struct mysql_scan *s, struct error *err)
{
    enum error_kind rc = OK;

    if (s->open_head.len && s->cut)
        rc = close_statement(s, err);
    if (!rc && s->open_head.len) {
        rc = put(s, ",\n", 2, err);
        s->open_len += 2;
    } else if (!rc) {
        rc = buffer_append(&s->open_head, s->head.data, s->head.len, err);
        if (!rc)
            rc = put(s, s->head.data, s->head.len, err);
        s->open_len = s->head.len;
    }
    s->place = ROW;
    s->mode = CODE;
    s->escaped = false;
    s->depth = 0;
    s->column = 0;
    s->row_len = 0;
    s->hash = 2166136261u;
    s->number_ok = true;
    s->number_seen = s->number_negative = false;
    s->number = 0;
    s->cut = false;
    return rc;
}

static enum error_kind note_id(struct mysql_scan *s, struct error *err)
{
    struct database_table *t = &s->counts.tables[s->table];
    int64_t id = s->number_negative ? -s->number : s->number;

    if (id > t->max_id)
        t->max_id = id;
    return s->ids_wanted ? s->ids(s->ids_arg, id, err) : OK;
}

static enum error_kind row_end(struct mysql_scan *s, struct error *err)
{
    uint32_t mixed = s->hash * 2654435761u;
    enum error_kind rc = OK;

    s->counts.tables[s->table].rows++;
    if (s->number_seen && s->number_ok)
        rc = note_id(s, err);
    s->open_len += s->row_len;
    if (s->open_len > s->largest)
        s->largest = s->open_len;
    /* The chance to end is the row's share of the wanted length, thrown with the row's own bytes (S3). */
    mixed ^= mixed >> 15;
    s->cut = (uint64_t)mixed * STATEMENT_TARGET < s->row_len << 32 || s->open_len >= STATEMENT_MAX;
    s->place = BEFORE_ROW;
    return rc;
}

static void step_number(struct mysql_scan *s, char c)
{
    if (c == '-' && !s->number_seen)
        s->number_negative = true;
    else if (c < '0' || c > '9' || s->number > (INT64_MAX - 9) / 10)
        s->number_ok = false;
    else {
        s->number = s->number * 10 + (c - '0');
        s->number_seen = true;
    }
}

/* A byte outside of quotes. True at the row's closing parenthesis. */
static bool step_plain(struct mysql_scan *s, char c)
{
    if (c == '\'')
        s->mode = SINGLE;
    else if (c == '(')
        s->depth++;
    else if (c == ')') {
        s->depth--;
        return s->depth == 0;
    } else if (c == ',' && s->depth == 1)
        s->column++;
    else if (s->column == s->id_in_rows && s->depth == 1)
        step_number(s, c);
    return false;
}

/* Most of a dump's bytes pass here: the loops over text and over hexadecimal digits are as short as can be. */
static const char *skip_row_bytes(const struct mysql_scan *s, const char *at, const char *end)
{
    if (s->mode == SINGLE)
        while (at < end && *at != '\'' && *at != '\\')
            at++;
    else if (s->column != s->id_in_rows)
        while (at < end && *at != '\'' && *at != ',' && *at != '(' && *at != ')')
            at++;
    return at;
}

static enum error_kind step_row(struct mysql_scan *s, const char *at, const char *end, const char **next,
                                struct error *err)
{
    const char *from = at;
    bool ended = false;
    enum error_kind rc = OK;

    while (at < end && !ended) {
        if (!s->escaped)
            at = skip_row_bytes(s, at, end);
        if (at == end)
            break;
        if (s->mode == CODE)
            ended = step_plain(s, *at);
        else if (s->escaped)
            s->escaped = false;
        else if (*at == '\\')
            s->escaped = true;
        else if (*at == '\'')
            s->mode = CODE;
        at++;
    }
    for (const char *h = from; h < at && s->row_len + (uint64_t)(h - from) < HASHED_BYTES; h++)
        s->hash = (s->hash ^ (unsigned char)*h) * 16777619u;
    s->row_len += (uint64_t)(at - from);
    *next = at;
    if (ended)
        rc = row_end(s, err);
    return rc ? rc : put(s, from, (size_t)(at - from), err);
}

static enum error_kind step_before_row(struct mysql_scan *s, char c, const char **at, struct error *err)
{
    if (c == '(')
        return row_begin(s, err); /* the parenthesis itself belongs to the row */
    *at += 1;
    if (c == ',' || isspace((unsigned char)c))
        return OK;
    if (c != ';')
        return error_set(err, ERR_REMOTE, 0, "the dump has rows of %s in a form that is not known",
                         s->counts.tables[s->table].name);
    buffer_clear(&s->head);
    s->place = BETWEEN;
    s->swallow_newline = true;
    return OK;
}

/* ---- the stream ---- */

enum error_kind mysql_scan_feed(struct mysql_scan *s, const void *bytes, size_t len, struct error *err)
{
    const char *at = bytes;
    const char *end = at + len;
    enum error_kind rc = OK;

    while (!rc && at < end) {
        switch (s->place) {
        case BETWEEN:
            rc = step_between(s, *at++, err);
            break;
        case HEAD:
            rc = step_head(s, *at++, err);
            break;
        case OTHER:
        case DEFINITION:
            rc = pass_on(s, at, end, &at, err);
            break;
        case DELIMITED:
            rc = step_delimited(s, at, end, &at, err);
            break;
        case ROWS_HEAD:
            rc = step_rows_head(s, *at++, err);
            break;
        case BEFORE_ROW:
            rc = step_before_row(s, *at, &at, err);
            break;
        case ROW:
            rc = step_row(s, at, end, &at, err);
            break;
        }
    }
    return rc;
}

enum error_kind mysql_scan_end(struct mysql_scan *s, struct error *err)
{
    enum error_kind rc;

    if (s->place != BETWEEN && !(s->place == OTHER && !s->code_seen))
        return error_set(err, ERR_REMOTE, 0, "the dump ends in the middle of a statement");
    rc = close_statement(s, err);
    return rc ? rc : flush(s, err);
}
