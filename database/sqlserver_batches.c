/*
 * GO is no T-SQL: it counts at the beginning of a line only, outside of strings, quoted names and comments, which nest. What is cut is
 * what was there: no byte of a batch is changed.
 *
 * Where Microsoft's tools do not agree what a line is (GO; is an error to one, and to the other a part of the batch, where
 * SELECT 1 GO; names a column), it is refused.
 */
#include "sqlserver_batches_internal.h"

#include <errno.h>
#include <iconv.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cutter {
    const char *text; /* NUL-terminated */
    size_t len;
    size_t at;
    uint64_t line;
    size_t begin; /* of the batch */
    uint64_t begin_line;
    struct sqlserver_batches *out;
};

/* ---- encodings ---- */

/* A line ends with CRLF, LF or a lone CR. */
static uint64_t line_of(const char *text, size_t at)
{
    uint64_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += text[i] == '\r' || (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'));
    return line;
}

/* To UTF-8; from UTF-8 too, for the sake of its checks. */
static enum error_kind convert(const char *from_name, const char *bytes, size_t len, struct buffer *out,
                               struct error *err)
{
    iconv_t conversion = iconv_open("UTF-8", from_name);
    char *from = (char *)(uintptr_t)bytes;
    size_t left = len;
    char *to = NULL;
    size_t room = 0;
    enum error_kind rc = OK;

    if (conversion == (iconv_t)-1)
        return error_set(err, ERR_IO, errno, "this system can't read %s", from_name);
    rc = buffer_reserve(out, len + len / 2 + 4, err);
    if (rc)
        goto done;
    to = (char *)out->data;
    room = out->cap;
    if (iconv(conversion, &from, &left, &to, &room) == (size_t)-1) {
        out->len = (size_t)(to - (char *)out->data);
        rc = error_set(err, ERR_REFUSED, 0, "line %" PRIu64 ": text that is not %s",
                       line_of((char *)out->data, out->len), from_name);
        error_hint(err, "save the script as UTF-8 or as Unicode (UTF-16)");
        goto done;
    }
    out->len = (size_t)(to - (char *)out->data);

done:
    iconv_close(conversion);
    return rc;
}

static enum error_kind decode(const unsigned char *bytes, size_t len, struct buffer *out, struct error *err)
{
    if (len >= 2 && bytes[0] == 0xFF && bytes[1] == 0xFE)
        return convert("UTF-16LE", (const char *)bytes + 2, len - 2, out, err);
    if (len >= 2 && bytes[0] == 0xFE && bytes[1] == 0xFF)
        return convert("UTF-16BE", (const char *)bytes + 2, len - 2, out, err);
    if (len >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF)
        return convert("UTF-8", (const char *)bytes + 3, len - 3, out, err);
    return convert("UTF-8", (const char *)bytes, len, out, err);
}

/* ---- walking ---- */

static char peek(const struct cutter *c, size_t ahead)
{
    return c->at + ahead < c->len ? c->text[c->at + ahead] : '\0';
}

/* Bytes of the end of a line that is here; 0: none is. */
static size_t line_end(const struct cutter *c)
{
    if (peek(c, 0) == '\r')
        return peek(c, 1) == '\n' ? 2 : 1;
    return peek(c, 0) == '\n' ? 1 : 0;
}

/* One byte, or the whole end of a line. */
static void step(struct cutter *c)
{
    size_t end = line_end(c);

    c->line += end > 0;
    c->at += end ? end : 1;
}

static enum error_kind refuse(uint64_t line, const char *what, struct error *err)
{
    return error_set(err, ERR_REFUSED, 0, "line %" PRIu64 ": %s", line, what);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* $(document).ready: what stands in a shop's texts is JavaScript far more often than a variable of such a name. */
static bool is_javascript(const struct cutter *c, size_t len)
{
    static const char *const objects[] = {"document", "window", "this"};
    const char *name = c->text + c->at + 2;

    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++)
        if (len == strlen(objects[i]) && strncmp(name, objects[i], len) == 0)
            return name[len + 1] == '.';
    return false;
}

/* sqlcmd puts a value in place of $(name), also within texts and quoted names, but not in comments. */
static enum error_kind check_variable(const struct cutter *c, bool quoted, struct error *err)
{
    size_t len = 0;
    char name = peek(c, 2);

    if (peek(c, 0) != '$' || peek(c, 1) != '(')
        return OK;
    while (is_letter(peek(c, 2 + len)) || is_digit(peek(c, 2 + len)) || peek(c, 2 + len) == '_' ||
           peek(c, 2 + len) == '-')
        len++;
    if (quoted && (!(is_letter(name) || name == '_') || peek(c, 2 + len) != ')' || is_javascript(c, len)))
        return OK;
    error_set(err, ERR_REFUSED, 0, "line %" PRIu64 ": a variable of sqlcmd, $(%.*s)", c->line, len > 64 ? 64 : (int)len,
              c->text + c->at + 2);
    error_hint(err, "run this script with sqlcmd, or put its value in place of the variable%s",
               quoted ? "; a text that is meant as it is can be written as '$' + '(...'" : "");
    return ERR_REFUSED;
}

/* From an opening quote to behind its end; the end doubled is itself. */
static enum error_kind skip_quoted(struct cutter *c, char end, const char *what, struct error *err)
{
    uint64_t line = c->line;
    enum error_kind rc;

    step(c);
    while (c->at < c->len) {
        if (c->text[c->at] == end) {
            step(c);
            if (peek(c, 0) != end)
                return OK;
        }
        rc = check_variable(c, true, err);
        if (rc)
            return rc;
        step(c);
    }
    return refuse(line, what, err);
}

static enum error_kind skip_comment(struct cutter *c, struct error *err)
{
    uint64_t line = c->line;
    size_t depth = 0;

    while (c->at < c->len) {
        if (peek(c, 0) == '/' && peek(c, 1) == '*') {
            depth++;
            c->at += 2;
        } else if (peek(c, 0) == '*' && peek(c, 1) == '/') {
            c->at += 2;
            if (--depth == 0)
                return OK;
        } else
            step(c);
    }
    return refuse(line, "a comment that does not end", err);
}

static void skip_line(struct cutter *c)
{
    while (c->at < c->len && !line_end(c))
        c->at++;
}

/* ---- batches ---- */

static enum error_kind add_batch(struct cutter *c, size_t end, uint32_t repeat, struct error *err)
{
    struct sqlserver_batches *b = c->out;
    void *grown;
    size_t cap = b->cap ? 2 * b->cap : 64;

    if (strspn(c->text + c->begin, " \t\r\n") >= end - c->begin)
        return OK;
    if (b->count == b->cap) {
        grown = realloc(b->items, cap * sizeof *b->items);
        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        b->items = grown;
        b->cap = cap;
    }
    b->items[b->count++] =
        (struct sqlserver_batch){.begin = c->begin, .len = end - c->begin, .line = c->begin_line, .repeat = repeat};
    return OK;
}

/* What looks like a blank, or like nothing, but is none to a parser: web pages and editors leave it. */
static bool is_unseen(const char *p)
{
    static const char *const blanks[] = {"\xc2\x85",     "\xc2\xa0",     "\xe2\x80\xa8", "\xe2\x80\xa9",
                                         "\xe2\x80\xaf", "\xe3\x80\x80", "\xef\xbb\xbf"};

    for (size_t i = 0; i < sizeof blanks / sizeof blanks[0]; i++)
        if (strncmp(p, blanks[i], strlen(blanks[i])) == 0)
            return true;
    return strncmp(p, "\xe2\x80", 2) == 0 && (unsigned char)p[2] >= 0x80 && (unsigned char)p[2] <= 0x8b;
}

static bool is_word(const char *p)
{
    return is_letter(*p) || is_digit(*p) || *p == '_' || *p == '@' || *p == '#' ||
           (((unsigned char)*p & 0x80) && !is_unseen(p));
}

/* At the first thing of a line: is it GO? */
static bool at_go(const struct cutter *c)
{
    return (peek(c, 0) == 'G' || peek(c, 0) == 'g') && (peek(c, 1) == 'O' || peek(c, 1) == 'o') &&
           !is_word(c->text + c->at + 2);
}

static enum error_kind take_count(struct cutter *c, uint32_t *out, struct error *err)
{
    uint64_t n = 0;

    *out = 1;
    if (!is_digit(peek(c, 0)))
        return OK;
    for (; is_digit(peek(c, 0)); c->at++)
        n = n > SQLSERVER_REPEAT_MAX ? n : n * 10 + (uint64_t)(peek(c, 0) - '0');
    if (n == 0 || n > SQLSERVER_REPEAT_MAX)
        return refuse(c->line, "GO with a count that can't be meant", err);
    *out = (uint32_t)n;
    return OK;
}

static void skip_blanks(struct cutter *c)
{
    while (peek(c, 0) == ' ' || peek(c, 0) == '\t')
        c->at++;
}

static enum error_kind refuse_go(const struct cutter *c, struct error *err)
{
    if (!is_unseen(c->text + c->at))
        return refuse(c->line, "something behind GO that is neither a count nor a -- comment", err);
    refuse(c->line, "a character behind GO that can't be seen", err);
    error_hint(err, "write that line again");
    return ERR_REFUSED;
}

static enum error_kind take_go(struct cutter *c, size_t line_begin, struct error *err)
{
    uint32_t repeat = 1;
    enum error_kind rc;

    c->at += 2;
    skip_blanks(c);
    rc = take_count(c, &repeat, err);
    if (rc)
        return rc;
    skip_blanks(c);
    if (peek(c, 0) == '-' && peek(c, 1) == '-')
        skip_line(c);
    if (c->at < c->len && !line_end(c))
        return refuse_go(c, err);
    rc = add_batch(c, line_begin, repeat, err);
    if (c->at < c->len)
        step(c);
    c->begin = c->at;
    c->begin_line = c->line;
    return rc;
}

/* What sqlcmd would do is not done here, and would be half a script if it were passed over. */
static enum error_kind check_directive(const struct cutter *c, struct error *err)
{
    const char *at = c->text + c->at;
    size_t len = *at == ':';

    if (strncmp(at + len, "!!", 2) == 0)
        len += 2;
    else if (len)
        while (is_letter(at[len]))
            len++;
    if (len < 2)
        return OK;
    error_set(err, ERR_REFUSED, 0, "line %" PRIu64 ": a command of sqlcmd, %.*s", c->line, len > 64 ? 64 : (int)len,
              at);
    error_hint(err, "run this script with sqlcmd, or take the command out");
    return ERR_REFUSED;
}

/* Files that were put together by copying: the server would refuse the batch, and take a GO behind the mark for a part of it. */
static enum error_kind check_mark(const struct cutter *c, struct error *err)
{
    if (strncmp(c->text + c->at, "\xef\xbb\xbf", 3) != 0)
        return OK;
    refuse(c->line, "a byte order mark within the script", err);
    error_hint(err, "it was put together from files that each begin with one: save them as UTF-8 without it");
    return ERR_REFUSED;
}

static enum error_kind begin_line(struct cutter *c, bool *was_go, struct error *err)
{
    size_t line_begin = c->at;
    enum error_kind rc;

    *was_go = false;
    skip_blanks(c);
    if (at_go(c)) {
        *was_go = true;
        return take_go(c, line_begin, err);
    }
    rc = check_mark(c, err);
    return rc ? rc : check_directive(c, err);
}

static enum error_kind take_one(struct cutter *c, struct error *err)
{
    enum error_kind rc;

    switch (peek(c, 0)) {
    case '\'':
        return skip_quoted(c, '\'', "a text that does not end", err);
    case '"':
        return skip_quoted(c, '"', "a quoted name that does not end", err);
    case '[':
        return skip_quoted(c, ']', "a name in brackets that does not end", err);
    case '/':
        if (peek(c, 1) == '*')
            return skip_comment(c, err);
        break;
    case '-':
        if (peek(c, 1) == '-') {
            skip_line(c);
            return OK;
        }
        break;
    case '$':
        rc = check_variable(c, false, err);
        if (rc)
            return rc;
        break;
    default:
        break;
    }
    step(c);
    return OK;
}

static enum error_kind cut(struct cutter *c, struct error *err)
{
    bool line_begins = true;
    enum error_kind rc = OK;

    while (!rc && c->at < c->len) {
        if (line_begins) {
            rc = begin_line(c, &line_begins, err); /* behind GO the next line begins */
            continue;
        }
        line_begins = line_end(c) > 0;
        rc = take_one(c, err);
    }
    return rc ? rc : add_batch(c, c->len, 1, err);
}

enum error_kind sqlserver_batches_parse(const void *bytes, size_t len, struct sqlserver_batches *out, struct error *err)
{
    struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
    struct cutter c = {.line = 1, .begin_line = 1, .out = &b};
    enum error_kind rc;

    rc = buffer_append(&b.text, "", 0, err);
    if (!rc)
        rc = decode(bytes, len, &b.text, err);
    if (!rc)
        rc = buffer_append(&b.text, "", 1, err); /* its end can be looked at */
    if (!rc && memchr(b.text.data, '\0', b.text.len - 1))
        rc = refuse(line_of((char *)b.text.data, strlen((char *)b.text.data)), "a NUL character", err);
    if (!rc) {
        c.text = (char *)b.text.data;
        c.len = b.text.len - 1;
        rc = cut(&c, err);
    }
    if (rc) {
        sqlserver_batches_release(&b);
        return rc;
    }
    *out = b;
    return OK;
}

void sqlserver_batches_release(struct sqlserver_batches *b)
{
    buffer_release(&b->text);
    free(b->items);
    *b = (struct sqlserver_batches)SQLSERVER_BATCHES_INIT;
}
