/* What the text of a script, its Readme.txt and the names around it say. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "scripts.h"

#define HEAD_MAX 4096
#define NOTES_MAX 40 /* lines of one Readme.txt; the longest real one has 24 */
#define NOTE_MAX 1000

/* ---- versions ---- */

/* "4.10" and nothing that makes another number of it: not 14.10, 4.100 or 4.10.2. Returns what is behind it. */
static const char *take_version(const char *p, const char *begin, int *out)
{
    if (p > begin && (isdigit((unsigned char)p[-1]) || p[-1] == '.'))
        return NULL;
    if (!isdigit((unsigned char)p[0]) || p[1] != '.' || !isdigit((unsigned char)p[2]) || !isdigit((unsigned char)p[3]))
        return NULL;
    if (isdigit((unsigned char)p[4]) || (p[4] == '.' && isdigit((unsigned char)p[5])))
        return NULL;
    *out = (p[0] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
    return p + 4;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static const char *skip_word(const char *p, const char *word)
{
    size_t len = strlen(word);

    return strncasecmp(p, word, len) == 0 ? p + len : NULL;
}

/* ---- a script's first lines ---- */

/* Text of any of the encodings that a script may have, as far as it is ASCII: a UTF-16 file has a zero beside each letter. */
static void as_ascii(const void *bytes, size_t len, char out[HEAD_MAX + 1])
{
    const unsigned char *p = bytes;
    size_t n = 0;

    for (size_t i = 0; i < len && n < HEAD_MAX; i++)
        if (p[i] != 0 && p[i] < 0x80)
            out[n++] = (char)p[i];
    out[n] = '\0';
}

static bool header_line(const char *line, int *from, int *to)
{
    const char *p = skip_blanks(line + strspn(line, "-"));

    p = skip_word(p, "upgrade scripts from nopCommerce");
    if (!p || !(p = take_version(skip_blanks(p), line, from)))
        return false;
    p = skip_word(skip_blanks(p), "to");
    if (!p)
        return false;
    p = skip_blanks(p);
    if (skip_word(p, "nopCommerce"))
        p = skip_blanks(skip_word(p, "nopCommerce"));
    return take_version(p, line, to) != NULL;
}

bool scripts_header(const void *bytes, size_t len, int *from, int *to)
{
    char head[HEAD_MAX + 1];
    char *rest = head;

    as_ascii(bytes, len, head);
    while (rest && *rest) {
        char *line = rest;

        rest = strpbrk(rest, "\r\n");
        if (rest)
            *rest++ = '\0';
        line = (char *)skip_blanks(line);
        if (!*line)
            continue;
        if (strncmp(line, "--", 2) != 0) /* the statements begin */
            return false;
        if (header_line(line, from, to))
            return true;
    }
    return false;
}

/* ---- names ---- */

static bool component_step(const char *name, size_t len, int *from, int *to)
{
    char text[256];
    const char *p;

    if (len >= sizeof(text))
        return false;
    memcpy(text, name, len);
    text[len] = '\0';
    for (p = text; *p; p++) {
        const char *q = take_version(p, text, from);

        if (!q)
            continue;
        q = skip_blanks(q);
        if (*q == '-')
            q++;
        else
            q = skip_word(q, "to");
        if (!q)
            continue;
        q = skip_blanks(q);
        if (take_version(q, q, to))
            return true;
    }
    return false;
}

bool scripts_path_step(const char *path, int *from, int *to)
{
    size_t end = strlen(path);

    while (end > 0) {
        size_t begin = end;

        while (begin > 0 && path[begin - 1] != '/')
            begin--;
        if (component_step(path + begin, end - begin, from, to))
            return true;
        end = begin ? begin - 1 : 0;
    }
    return false;
}

/* ---- Readme.txt ---- */

/* "Notes:" */
static bool is_heading(const char *line, size_t len)
{
    return len > 1 && line[len - 1] == ':' && !isdigit((unsigned char)line[0]);
}

static enum error_kind add_note(const char *line, size_t len, struct text_list *out, struct error *err)
{
    if (out->count == NOTES_MAX)
        return text_list_add(out, "... and more: see its Readme.txt", err);
    if (out->count > NOTES_MAX)
        return OK;
    return text_list_addf(out, err, "%.*s", (int)(len < NOTE_MAX ? len : NOTE_MAX), line);
}

/* The steps are the same in each: back up, run the script, replace the files, bring the settings over. */
enum error_kind scripts_notes(const void *bytes, size_t len, struct text_list *out, struct error *err)
{
    struct buffer text = BUFFER_INIT(1u << 20);
    const unsigned char *p = bytes;
    bool steps = false;
    enum error_kind rc = OK;

    if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        len -= 3;
    }
    for (size_t i = 0; i < len && !rc; i++)
        if (p[i] != 0 && p[i] != 0xFF && p[i] != 0xFE)
            rc = buffer_append_u8(&text, p[i], err);
    for (const char *line = (const char *)text.data; !rc && line && *line;) {
        size_t whole = strcspn(line, "\r\n");
        size_t shown = whole;

        while (shown && (line[shown - 1] == ' ' || line[shown - 1] == '\t'))
            shown--;
        if (is_heading(line, shown))
            steps = shown == strlen("Steps:") && strncasecmp(line, "Steps:", shown) == 0;
        if (shown && !steps)
            rc = add_note(line, shown, out, err);
        line += whole + strspn(line + whole, "\r\n");
    }
    buffer_release(&text);
    return rc;
}
