/* systemd.syntax(7) and systemd.exec(5), as far as the environment of a service goes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "site_unit_internal.h"

void unit_release(struct unit *u)
{
    free(u->name);
    free(u->file);
    free(u->working_directory);
    text_list_release(&u->commands);
    text_list_release(&u->environment_files);
    text_list_release(&u->unset);
    site_environment_release(&u->environment);
    *u = (struct unit)UNIT_INIT;
}

static int number_of(const char *p, size_t digits, int base)
{
    int value = 0;

    for (size_t i = 0; i < digits; i++) {
        int d = isdigit((unsigned char)p[i])    ? p[i] - '0'
                : isxdigit((unsigned char)p[i]) ? tolower(p[i]) - 'a' + 10
                                                : 99;

        if (d >= base)
            return -1;
        value = value * base + d;
    }
    return value > 0 && value < 256 ? value : -1;
}

/* The character behind a backslash at p; *used tells how long the escape is. An unknown escape stays as it is. */
static char unescape(const char *p, size_t *used)
{
    static const char names[] = "abfnrtv\\\"'s";
    static const char values[] = "\a\b\f\n\r\t\v\\\"' ";
    const char *known = p[1] != '\0' ? strchr(names, p[1]) : NULL;
    int number = -1;

    *used = 2;
    if (known)
        return values[known - names];
    if (p[1] == 'x' && (number = number_of(p + 2, 2, 16)) > 0)
        *used = 4;
    else if ((number = number_of(p + 1, 3, 8)) > 0)
        *used = 4;
    if (number > 0)
        return (char)number;
    *used = 1;
    return '\\';
}

enum error_kind unit_word(const char **at, char **out, struct error *err)
{
    struct buffer word = BUFFER_INIT(SITE_TEXT_MAX);
    const char *p = *at + strspn(*at, " \t\r\n");
    enum error_kind rc = OK;
    char quote = '\0';
    bool any = *p != '\0';

    while (!rc && *p != '\0' && (quote || !strchr(" \t\r\n", *p))) {
        char c = *p;
        size_t used = 1;

        if ((c == '"' || c == '\'') && (!quote || quote == c)) {
            quote = quote ? '\0' : c;
            p++;
            continue;
        }
        if (c == '\\')
            c = unescape(p, &used);
        rc = buffer_append(&word, &c, 1, err);
        p += used;
    }
    if (!rc) {
        *at = p;
        *out = any ? buffer_detach(&word) : NULL;
        if (any && !*out)
            rc = error_set(err, ERR_MEMORY, 0, "out of memory for a word of a unit");
    }
    buffer_release_secret(&word);
    return rc;
}

/* "%%" is a percent sign; %n, %N, %p and %i are parts of the unit's name. Others are left as they are. */
static enum error_kind expand(const struct unit *u, const char *text, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(SITE_TEXT_MAX);
    const char *name = u->name ? u->name : "";
    size_t stem = strlen(name);
    size_t prefix = strcspn(name, "@.");
    enum error_kind rc = OK;

    if (stem > 8 && strcmp(name + stem - 8, ".service") == 0)
        stem -= 8;
    for (const char *p = text; *p != '\0' && !rc; p++) {
        char next = *p == '%' ? p[1] : '\0';

        if (next == '%')
            rc = buffer_append(&b, "%", 1, err);
        else if (next == 'n')
            rc = buffer_append_text(&b, name, err);
        else if (next == 'N')
            rc = buffer_append(&b, name, stem, err);
        else if (next == 'p')
            rc = buffer_append(&b, name, prefix, err);
        else if (next == 'i')
            rc = buffer_append(&b, name + prefix + (name[prefix] == '@'), name[prefix] == '@' ? stem - prefix - 1 : 0,
                               err);
        else
            rc = buffer_append(&b, p, 1, err);
        p += next != '\0' && strchr("%nNpi", next) ? 1 : 0;
    }
    if (!rc && !(*out = buffer_detach(&b)))
        rc = error_set(err, ERR_MEMORY, 0, "out of memory for a unit");
    buffer_release_secret(&b);
    return rc;
}

static enum error_kind assign(struct unit *u, const char *word, const char *file, struct error *err)
{
    char *text = NULL;
    char *equals;
    enum error_kind rc;

    rc = expand(u, word, &text, err);
    if (rc)
        return rc;
    equals = strchr(text, '=');
    if (equals && equals != text) {
        *equals = '\0';
        rc = site_environment_set(&u->environment, text, equals + 1, file, err);
    }
    memory_free_secret(text);
    return rc;
}

static enum error_kind take_environment(struct unit *u, const char *value, const char *file, struct error *err)
{
    enum error_kind rc = OK;
    char *word = NULL;

    if (*value == '\0')
        site_environment_clear(&u->environment);
    while (!rc && (rc = unit_word(&value, &word, err)) == OK && word) {
        rc = assign(u, word, file, err);
        memory_free_secret(word);
        word = NULL;
    }
    return rc;
}

static enum error_kind take_list(const struct unit *u, struct text_list *list, const char *value, bool words,
                                 struct error *err)
{
    enum error_kind rc;
    char *text = NULL;
    char *rest = NULL;

    if (*value == '\0') {
        text_list_release(list);
        return OK;
    }
    rc = expand(u, value, &text, err);
    if (!rc && !words)
        rc = text_list_add(list, text, err);
    for (char *w = rc || !words ? NULL : strtok_r(text, " \t", &rest); w && !rc; w = strtok_r(NULL, " \t", &rest))
        rc = text_list_add(list, w, err);
    free(text);
    return rc;
}

static enum error_kind take_directory(struct unit *u, const char *value, struct error *err)
{
    free(u->working_directory);
    u->working_directory = NULL;
    return *value == '\0' ? OK : expand(u, value + (*value == '-'), &u->working_directory, err);
}

static enum error_kind take_setting(struct unit *u, const char *key, const char *value, const char *file,
                                    struct error *err)
{
    if (strcmp(key, "Environment") == 0)
        return take_environment(u, value, file, err);
    if (strcmp(key, "EnvironmentFile") == 0)
        return take_list(u, &u->environment_files, value, false, err);
    if (strcmp(key, "UnsetEnvironment") == 0)
        return take_list(u, &u->unset, value, true, err);
    if (strcmp(key, "ExecStart") == 0)
        return take_list(u, &u->commands, value, false, err);
    if (strcmp(key, "WorkingDirectory") == 0)
        return take_directory(u, value, err);
    return OK;
}

/*
 * The next line with what continues it: a backslash before the newline is read as a space, and comments between
 * continued lines are skipped. False at the end of the text.
 */
static bool next_line(const char **at, struct buffer *out, enum error_kind *rc, struct error *err)
{
    bool more = true;
    bool any = false;

    buffer_clear(out);
    while (more && **at != '\0' && !*rc) {
        size_t len = strcspn(*at, "\n");
        const char *line = *at;
        size_t blank = strspn(line, " \t\r");
        bool comment = line[blank] == '#' || line[blank] == ';';
        size_t end = len > 0 && line[len - 1] == '\r' ? len - 1 : len;

        *at += len + (line[len] == '\n');
        if (comment && any)
            continue;
        any = true;
        more = !comment && end > 0 && line[end - 1] == '\\';
        *rc = buffer_append(out, line, comment ? 0 : more ? end - 1 : end, err);
        if (!*rc && more)
            *rc = buffer_append(out, " ", 1, err);
    }
    return any && !*rc;
}

static char *trimmed(char *text)
{
    size_t len;

    text += strspn(text, " \t\r");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]))
        text[--len] = '\0';
    return text;
}

enum error_kind unit_apply(struct unit *u, const char *text, const char *file, struct error *err)
{
    struct buffer line = BUFFER_INIT(SITE_TEXT_MAX);
    enum error_kind rc = OK;
    bool service = false;

    while (next_line(&text, &line, &rc, err)) {
        char *content = line.data ? trimmed((char *)line.data) : NULL;
        char *equals = content ? strchr(content, '=') : NULL;

        if (content && *content == '[') {
            service = strcmp(content, "[Service]") == 0;
        } else if (service && equals) {
            *equals = '\0';
            rc = take_setting(u, trimmed(content), trimmed(equals + 1), file, err);
        }
    }
    buffer_release_secret(&line);
    return rc;
}

/*
 * The value of a line in an environment file: quotes may stand anywhere in it; outside and in double quotes a
 * backslash takes the next character as it is; white space at the end goes unless quoted.
 */
static enum error_kind file_value(const char **at, struct buffer *out, struct error *err)
{
    const char *p = *at + strspn(*at, " \t");
    enum error_kind rc = OK;
    size_t solid = 0; /* length up to the last character that must stay */
    char quote = '\0';

    buffer_clear(out);
    for (; !rc && *p != '\0' && (quote || *p != '\n'); p++) {
        char c = *p;

        if ((c == '"' || c == '\'') && (!quote || quote == c)) {
            quote = quote ? '\0' : c;
            solid = out->len;
            continue;
        }
        if (c == '\\' && quote != '\'' && p[1] != '\0') {
            if (*++p == '\n')
                continue;
            if (quote && !strchr("\"\\`$", *p))
                rc = buffer_append(out, "\\", 1, err);
            c = *p;
            if (!rc)
                rc = buffer_append(out, &c, 1, err);
            solid = out->len;
            continue;
        }
        if (c == '\r' && !quote)
            continue;
        rc = buffer_append(out, &c, 1, err);
        if (quote || !strchr(" \t", c))
            solid = out->len;
    }
    *at = p + (*p == '\n');
    if (!rc && out->len > solid) {
        out->len = solid;
        out->data[solid] = '\0';
    }
    return rc;
}

enum error_kind unit_environment_apply(struct site_environment *e, const char *text, const char *file,
                                       struct error *err)
{
    struct buffer value = BUFFER_INIT(SITE_TEXT_MAX);
    enum error_kind rc = OK;

    while (*text != '\0' && !rc) {
        size_t line = strcspn(text, "\n");
        const char *start = text + strspn(text, " \t\r");
        const char *equals = memchr(text, '=', line);
        char *name;

        if (start >= text + line || *start == '#' || *start == ';' || !equals || equals == start) {
            text += line + (text[line] == '\n');
            continue;
        }
        text = equals + 1;
        rc = file_value(&text, &value, err);
        name = rc ? NULL : strndup(start, (size_t)(equals - start));
        if (!rc && !name)
            rc = error_set(err, ERR_MEMORY, 0, "out of memory for a variable");
        if (!rc)
            rc = site_environment_set(e, trimmed(name), value.data ? (const char *)value.data : "", file, err);
        free(name);
    }
    buffer_release_secret(&value);
    return rc;
}
