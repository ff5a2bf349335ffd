/*
 * Which version a database is of, before migrations record that: by one column for each version, which its script makes (upgrade.sql of each step) and
 * no version before it has. A script that runs twice, or on half of what it builds on, is not sure to say so.
 */
#include "upgrade_internal.h"

static const struct {
    int version;
    const char *table, *column;
} marks[] = {
    {400, "CustomerRole", "OverrideTaxDisplayType"},
    {410, "PictureBinary", "BinaryData"},
    {420, "Picture", "VirtualPath"},
    {430, "Discount", "AdminComment"},
};

static enum error_kind look(struct database *db, int version, size_t *mark, bool *there, struct error *err)
{
    size_t n = sizeof(marks) / sizeof(marks[0]);

    *there = false;
    for (*mark = 0; *mark < n; (*mark)++)
        if (marks[*mark].version == version)
            return database_has_column(db, marks[*mark].table, marks[*mark].column, there, err);
    return OK;
}

/* Of a shop of 3.90 nothing is missing that can be named. */
enum error_kind schema_check_before(struct database *db, const struct upgrade_stage *stage, struct text_list *problems,
                                    struct error *err)
{
    const struct upgrade_script *first = stage->script_count ? stage->scripts[0] : NULL;
    bool there = false;
    size_t mark;
    enum error_kind rc;

    if (!first || !db)
        return OK;
    rc = look(db, first->from, &mark, &there, err);
    if (!rc && !there && first->from >= marks[0].version)
        rc = text_list_addf(problems, err, "the database is not one of nopCommerce %d.%02d: it has no %s.%s",
                            first->from / 100, first->from % 100, marks[mark].table, marks[mark].column);
    if (!rc)
        rc = look(db, first->to, &mark, &there, err);
    if (!rc && there)
        rc = text_list_addf(
            problems, err,
            "the database has %s.%s already, which the script %d.%02d-%d.%02d makes: that was run before, "
            "in whole or in part, and is not run again",
            marks[mark].table, marks[mark].column, first->from / 100, first->from % 100, first->to / 100,
            first->to % 100);
    return rc;
}

enum error_kind schema_check_after(struct database *db, const struct upgrade_script *s, struct error *err)
{
    bool there = false;
    size_t mark;
    enum error_kind rc = look(db, s->to, &mark, &there, err);

    if (!rc && !there)
        rc = error_set(err, ERR_REFUSED, 0, "%s has run, but the database has no %s.%s", s->name, marks[mark].table,
                       marks[mark].column);
    return rc;
}
