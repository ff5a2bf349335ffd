#include "upgrade_path.h"

#include <string.h>

#define LAST_BY_SCRIPT 430
#define FIRST_OF_SCRIPTS 390
#define LAST_ON_WINDOWS 400

static int number(const struct site_version *v)
{
    return v->major * 100 + v->minor;
}

/* ---- one stage ---- */

/* Those that the stage lacks, in one line: the owner fetches them together. */
static enum error_kind say_missing(const struct path_question *q, const struct upgrade_stage *s,
                                   const struct text_list *missing, struct text_list *problems, struct error *err)
{
    struct buffer names = BUFFER_INIT(4096);
    enum error_kind rc = OK;

    for (size_t i = 0; i < missing->count && !rc; i++)
        rc = buffer_append_format(&names, err, "%s%s", i ? ", " : "", missing->items[i]);
    if (!rc && q->scripts->place)
        rc = text_list_addf(problems, err, "%s holds no upgrade script for %s", q->scripts->place, (char *)names.data);
    else if (!rc)
        rc = text_list_addf(
            problems, err,
            "from %s to %s the database is brought forward by nopCommerce's SQL scripts, here %s: name the folder "
            "with their packages by --scripts",
            s->from.text, s->to.text, (char *)names.data);
    buffer_release(&names);
    return rc;
}

static enum error_kind take_scripts(const struct path_question *q, struct upgrade_stage *s, struct text_list *problems,
                                    struct error *err)
{
    struct text_list missing = TEXT_LIST_INIT;
    int end = number(&s->to);
    enum error_kind rc = OK;
    int next;

    for (int v = number(&s->from); !rc && (next = scripts_next(v)) != 0 && next <= end; v = next) { /* W1 */
        const struct upgrade_script *script = scripts_step(q->scripts, v);

        if (!script)
            rc = text_list_addf(&missing, err, "%d.%02d-%d.%02d", v / 100, v % 100, next / 100, next % 100);
        else if (script->problem)
            rc = text_list_add(problems, script->problem, err);
        else
            s->scripts[s->script_count++] = script;
    }
    if (!rc && missing.count)
        rc = say_missing(q, s, &missing, problems, err);
    if (!rc && (missing.count || s->script_count) && q->engine != DATABASE_SQLSERVER)
        rc = text_list_addf(problems, err, "nopCommerce's upgrade scripts are for SQL Server, this database is %s",
                            database_engine_name(q->engine));
    text_list_release(&missing);
    return rc;
}

static enum error_kind check_windows(const struct path_question *q, const struct upgrade_stage *s,
                                     struct text_list *problems, struct error *err)
{
    const struct site_version *v = number(&s->from) <= LAST_ON_WINDOWS ? &s->from : &s->to;

    if (number(v) > LAST_ON_WINDOWS || q->own_commands)
        return OK; /* W2 */
    return text_list_addf(
        problems, err,
        "nopCommerce %s runs on Windows, where nopsnap can neither stop nor start it: name your own `stop`, `start` and "
        "`url` in the config",
        v->text);
}

static bool known(int version)
{
    return version >= LAST_BY_SCRIPT || scripts_next(version) != 0;
}

static enum error_kind plan_stage(const struct path_question *q, struct upgrade_stage *s, struct text_list *problems,
                                  struct error *err)
{
    int from = number(&s->from);
    int to = number(&s->to);
    enum error_kind rc;

    if (q->to_count > 1 && site_version_compare(&s->to, &s->from) <= 0)
        return text_list_addf(problems, err, "%s does not come after %s: name the releases on the way in their order",
                              s->to.text, s->from.text);
    if (from == to)
        return check_windows(q, s, problems, err);
    if (to < from) /* the files alone: whoever allowed it knows */
        return to > LAST_BY_SCRIPT
                   ? OK
                   : text_list_addf(problems, err, "no script leads from %s back to %s: nopsnap rollback does",
                                    s->from.text, s->to.text);
    if (!known(from) || !known(to))
        return text_list_addf(problems, err, "nopsnap knows no way from %s to %s: it begins at %d.%02d", s->from.text,
                              s->to.text, FIRST_OF_SCRIPTS / 100, FIRST_OF_SCRIPTS % 100);
    rc = check_windows(q, s, problems, err);
    if (!rc && from == FIRST_OF_SCRIPTS && scripts_next(from) != to) /* W3 */
        rc = text_list_addf(problems, err,
                            "from %s the files of nopCommerce 4.00 have to be installed and run before those of %s: "
                            "name that release by --via",
                            s->from.text, s->to.text);
    s->migrates = to > LAST_BY_SCRIPT;
    return rc ? rc : take_scripts(q, s, problems, err);
}

/* ---- the whole ---- */

enum error_kind path_plan(const struct path_question *q, struct upgrade_path *out, struct text_list *problems,
                          struct error *err)
{
    struct site_version from = q->from;
    enum error_kind rc = OK;

    *out = (struct upgrade_path){.count = 0};
    for (size_t i = 0; i < q->to_count && !rc; i++) {
        struct upgrade_stage *s = &out->stages[out->count++];

        s->from = from;
        s->to = q->to[i];
        rc = plan_stage(q, s, problems, err);
        from = q->to[i];
    }
    return rc;
}
