/*
 * What the login may do, from SHOW GRANTS: the only account of it that includes roles and is readable by everybody.
 * The lines are never shown; the one for *.* may carry the hash of a password (P10).
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mysql_internal.h"

/* LIKE with MySQL's wildcards and backslash as escape: grants name schemas by pattern. */
static bool like(const char *pattern, size_t pattern_len, const char *text)
{
    for (; pattern_len; pattern++, pattern_len--) {
        if (*pattern == '%') {
            for (size_t i = 0; i <= strlen(text); i++)
                if (like(pattern + 1, pattern_len - 1, text + i))
                    return true;
            return false;
        }
        if (*pattern == '\\' && pattern_len > 1) {
            pattern++;
            pattern_len--;
            if (tolower((unsigned char)*pattern) != tolower((unsigned char)*text))
                return false;
        } else if (*pattern != '_' && tolower((unsigned char)*pattern) != tolower((unsigned char)*text))
            return false;
        if (!*text)
            return false;
        text++;
    }
    return !*text;
}

/* "SELECT (`a`), CREATE VIEW": is the privilege among them? Those for single columns do not count. */
static bool list_has(const char *list, size_t len, const char *privilege)
{
    size_t want = strlen(privilege);
    const char *end = list + len;

    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        const char *stop = comma ? comma : end;

        list += strspn(list, " ");
        while (stop > list && stop[-1] == ' ')
            stop--;
        if ((size_t)(stop - list) == want && strncasecmp(list, privilege, want) == 0)
            return true;
        list = comma ? comma + 1 : end;
    }
    return false;
}

static bool covers_all(const char *list, size_t len, const char *privilege)
{
    bool all = list_has(list, len, "ALL PRIVILEGES") || list_has(list, len, "ALL");

    return all && strcasecmp(privilege, "GRANT OPTION") != 0 && strcasecmp(privilege, "PROXY") != 0;
}

bool mysql_grant_gives(const char *grant, const char *schema, const char *privilege)
{
    const char *list = grant + strlen("GRANT ");
    const char *on = strstr(grant, " ON ");
    const char *scope = on ? on + strlen(" ON ") : NULL;
    const char *end = NULL;

    if (strncmp(grant, "GRANT ", strlen("GRANT ")) != 0 || !on)
        return false; /* a role: what it gives is in lines of its own */
    if (strcasecmp(privilege, "GRANT OPTION") == 0) {
        if (!strstr(on, " WITH GRANT OPTION"))
            return false;
    } else if (!list_has(list, (size_t)(on - list), privilege) && !covers_all(list, (size_t)(on - list), privilege))
        return false;
    if (strncmp(scope, "*.* ", 4) == 0)
        return true;
    if (!schema || *scope != '`')
        return false;
    end = strstr(scope + 1, "`.*"); /* whole schemas only: a grant on one table is not enough */
    return end && like(scope + 1, (size_t)(end - scope - 1), schema);
}

static enum error_kind read_grants(struct database *db, struct error *err)
{
    struct mysql *m = mysql_of(db);
    enum error_kind rc;

    if (m->grants.count)
        return OK;
    rc = mysql_list(db, &m->grants, err, "SHOW GRANTS");
    if (rc)
        text_list_release(&m->grants);
    return rc;
}

enum error_kind mysql_may(struct database *db, const char *schema, const char *privilege, bool *out, struct error *err)
{
    struct mysql *m = mysql_of(db);
    enum error_kind rc = read_grants(db, err);

    if (rc)
        return rc;
    *out = false;
    for (size_t i = 0; i < m->grants.count; i++)
        *out = *out || mysql_grant_gives(m->grants.items[i], schema, privilege);
    return OK;
}

enum error_kind mysql_may_define_as_others(struct database *db, bool *out, struct error *err)
{
    /* MariaDB before and from 10.5; MySQL 8.0 and 8.2 on. */
    static const char *const any[] = {"SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"};
    bool may = false;
    enum error_kind rc = OK;

    *out = false;
    for (size_t i = 0; !rc && i < sizeof any / sizeof any[0]; i++) {
        rc = mysql_may(db, NULL, any[i], &may, err);
        *out = *out || (!rc && may);
    }
    return rc;
}
