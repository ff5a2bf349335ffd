#include "database.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "database_internal.h"
#include "file.h"
#include "json.h"
#include "sqlserver_connect_internal.h"

const char *database_engine_name(enum database_engine engine)
{
    switch (engine) {
    case DATABASE_POSTGRESQL:
        return "PostgreSQL";
    case DATABASE_MYSQL:
        return "MySQL";
    case DATABASE_SQLSERVER:
        return "SQL Server";
    case DATABASE_NONE:
        break;
    }
    return "no database";
}

static enum error_kind engine_ops(enum database_engine engine, const struct database_engine_ops **out,
                                  struct error *err)
{
    switch (engine) {
    case DATABASE_POSTGRESQL:
        *out = &postgres_engine_ops;
        return OK;
    case DATABASE_MYSQL:
        *out = &mysql_engine_ops;
        return OK;
    case DATABASE_SQLSERVER:
        *out = &sqlserver_engine_ops;
        return OK;
    case DATABASE_NONE:
        break;
    }
    return error_set(err, ERR_USAGE, 0, "no database is named");
}

const struct database_target *database_login(const struct database *db)
{
    return db->admin ? db->admin : db->target;
}

static enum error_kind open_named(const struct database_target *target, const struct database_target *admin,
                                  const char *name, struct database **out, struct error *err)
{
    const struct database_engine_ops *ops = NULL;
    struct database *db = NULL;
    void *memory = NULL;
    char *shown = NULL;
    enum error_kind rc;

    rc = engine_ops(target->engine, &ops, err);
    if (rc)
        goto done;
    if (admin && admin->engine != target->engine) {
        rc = error_set(err, ERR_REFUSED, 0, "the administrative login is for %s, the shop's database is %s",
                       database_engine_name(admin->engine), database_engine_name(target->engine));
        error_hint(err, "check database-admin in the config");
        goto done;
    }
    if (!name || !*name) {
        rc = error_set(err, ERR_REFUSED, 0, "the connection string names no database");
        goto done;
    }
    rc = memory_zeroed(1, sizeof *db, &memory, err);
    if (rc)
        goto done;
    db = memory;
    db->ops = ops;
    db->target = target;
    db->admin = admin;
    rc = memory_string(name, &db->name, err);
    if (rc)
        goto done;
    rc = ops->open(db, err);
    if (rc) {
        struct error shown_err = ERROR_INIT;
        if (!database_target_shown(admin ? admin : target, &shown, &shown_err))
            error_context(err, "%s", shown);
        goto done;
    }
    *out = db;
    db = NULL;

done:
    free(shown);
    database_close(db);
    return rc;
}

void database_prepare(void)
{
    sqlserver_library_prepare();
}

enum error_kind database_open(const struct database_target *target, const struct database_target *admin,
                              struct database **out, struct error *err)
{
    return open_named(target, admin, target->name, out, err);
}

enum error_kind database_open_by(const struct database_target *target, const char *spec, struct database_target *admin,
                                 struct database **out, char **without, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = spec ? database_target_admin(target, spec, admin, &why) : OK;

    if (!spec)
        return database_open(target, NULL, out, err);
    if (!rc)
        rc = database_open(target, admin, out, &why);
    if (!rc)
        return OK;
    database_target_release(admin);
    if (rc == ERR_CANCELLED || rc == ERR_MEMORY) {
        error_copy(err, &why);
        return rc;
    }
    rc = database_open(target, NULL, out, err);
    if (!rc)
        rc = memory_format(without, err, "database-admin (%s) is of no use, and the shop's own login is used: %s", spec,
                           why.text);
    if (rc && *out) {
        database_close(*out);
        *out = NULL;
    }
    return rc;
}

enum error_kind database_open_beside(struct database *db, const char *name, struct database **out, struct error *err)
{
    return open_named(db->target, db->admin, name, out, err);
}

/* The engine may have written no properties into `saved`: then the server's own are right. */
static enum error_kind saved_properties(const char *saved, const char *key, char **out, struct error *err)
{
    struct json *root = NULL;
    const char *text;
    enum error_kind rc;

    if (!saved)
        return OK;
    rc = json_parse(saved, strlen(saved), &root, err);
    if (rc)
        return rc;
    text = json_text(json_get(root, key));
    if (text)
        rc = memory_string(text, out, err);
    json_free(root);
    return rc;
}

static enum error_kind open_former(struct database *db, const char *name, const char *saved, const char *key,
                                   struct database **out, struct error *err)
{
    struct database *former = NULL;
    enum error_kind rc = open_named(db->target, db->admin, name, &former, err);

    if (!rc)
        rc = saved_properties(saved, key, &former->properties, err);
    if (rc) {
        database_close(former);
        return rc;
    }
    *out = former;
    return OK;
}

enum error_kind database_open_kept(struct database *db, const struct database_swap *swap, enum database_side side,
                                   struct database **out, struct error *err)
{
    return side == DATABASE_OLD ? open_former(db, swap->kept, swap->saved, "old_properties", out, err)
                                : open_former(db, swap->beside, swap->saved, "new_properties", out, err);
}

enum error_kind database_open_point(struct database *db, const struct database_point *point, struct database **out,
                                    struct error *err)
{
    return open_former(db, point->name, point->saved, "properties", out, err);
}

void database_close(struct database *db)
{
    if (!db)
        return;
    db->ops->close(db);
    text_list_release(&db->notes);
    free(db->name);
    free(db->properties);
    free(db);
}

const struct text_list *database_notes(const struct database *db)
{
    return &db->notes;
}

void database_native_use(struct database *db, const struct database_native *native)
{
    db->native = *native;
}

bool database_way_parse(const char *text, enum database_way *out)
{
    static const char *const names[] = {"logical", "auto", "native"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *out = (enum database_way)i;
        return true;
    }
    return false;
}

void database_on_percent(struct database *db, database_percent_fn *fn, void *arg)
{
    db->percent = fn;
    db->percent_arg = arg;
}

enum error_kind database_login_works(const struct database_target *target, struct error *err)
{
    const struct database_engine_ops *ops = NULL;
    enum error_kind rc = engine_ops(target->engine, &ops, err);

    return rc ? rc : ops->login_works(target, err);
}

enum error_kind database_probe(struct database *db, struct database_info *out, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc;

    info.engine = db->ops->engine;
    rc = memory_string(db->name, &info.name, err);
    if (rc)
        goto done;
    rc = db->ops->probe(db, &info, err);
    if (rc)
        goto done;
    if (info.exists)
        rc = database_shop_facts(db, &info.is_nopcommerce, &info.picture_path, &info.pictures_in_database, err);
    if (rc)
        goto done;
    *out = info;
    info = (struct database_info)DATABASE_INFO_INIT;

done:
    database_info_release(&info);
    return rc;
}

static bool proves(const char *identity)
{
    return identity && strncmp(identity, "name:", 5) != 0;
}

bool database_identity_differs(const char *a, const char *b)
{
    return proves(a) && proves(b) && strcmp(a, b) != 0;
}

enum error_kind database_sessions(struct database *db, const char *name, struct text_list *out, struct error *err)
{
    return db->ops->sessions(db, name ? name : db->name, out, err);
}

bool database_session_is_shops(const struct database *db, const char *line)
{
    const char *user = db->target->user;
    size_t len = user ? strlen(user) : 0;

    return !user || (strncmp(line, "user ", 5) == 0 && strncmp(line + 5, user, len) == 0 &&
                     strncmp(line + 5 + len, " from ", 6) == 0);
}

enum error_kind database_end_own_sessions(struct database *db, struct error *err)
{
    return db->ops->end_own_sessions(db, err);
}

enum error_kind database_dump_begin(struct database *db, struct database_dump **out, struct error *err)
{
    struct database_dump *dump = NULL;
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof *dump, &memory, err);
    if (rc)
        return rc;
    dump = memory;
    dump->db = db;
    text_list_release(&db->notes);
    rc = db->ops->dump_begin(dump, err);
    if (rc) {
        struct error ignored = ERROR_INIT;
        db->ops->dump_end(dump, NULL, &ignored);
        free(dump);
        error_context(err, "dumping database %s", db->name);
        return rc;
    }
    *out = dump;
    return OK;
}

void database_dump_pictures(struct database_dump *dump, database_id_fn *fn, void *arg)
{
    dump->picture = fn;
    dump->picture_arg = arg;
}

enum error_kind database_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err)
{
    enum error_kind rc = dump->db->ops->dump_run(dump, sink, arg, err);

    if (rc)
        error_context(err, "dumping database %s", dump->db->name);
    return rc;
}

enum error_kind database_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct database *db = dump->db;
    enum error_kind rc;

    facts.engine = db->ops->engine;
    rc = db->ops->dump_end(dump, out ? &facts : NULL, err);
    free(dump);
    if (rc)
        goto done;
    if (!out)
        goto done;
    rc = memory_string(db->name, &facts.database, err);
    if (!rc && db->properties) {
        free(facts.properties);
        facts.properties = NULL;
        rc = memory_string(db->properties, &facts.properties, err);
    }
    if (rc)
        goto done;
    database_counts_sort(&facts.counts);
    *out = facts;
    facts = (struct database_facts)DATABASE_FACTS_INIT;

done:
    if (rc)
        error_context(err, "dumping database %s", db->name);
    database_facts_release(&facts);
    return rc;
}

/* A dump of one engine means nothing to another. */
static enum error_kind check_engine(const struct database *db, const struct database_facts *facts, struct error *err)
{
    if (facts->engine == db->ops->engine)
        return OK;
    error_set(err, ERR_REFUSED, 0, "the snapshot holds a %s dump, the database is %s",
              database_engine_name(facts->engine), database_engine_name(db->ops->engine));
    return ERR_REFUSED;
}

enum error_kind database_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                    char **name, struct error *err)
{
    enum error_kind rc = check_engine(db, facts, err);

    if (!rc)
        rc = db->ops->load_begin(db, facts, token, name, err);
    if (rc)
        error_context(err, "creating a database beside %s", db->name);
    return rc;
}

enum error_kind database_load_check(struct database *db, const struct database_facts *facts, bool beside,
                                    struct error *err)
{
    enum error_kind rc = check_engine(db, facts, err);

    return rc || !db->ops->load_check ? rc : db->ops->load_check(db, facts, beside, err);
}

enum error_kind database_beside_name(const struct database *db, const char *token, char **name, struct error *err)
{
    return database_private_name(db->target->name, DATABASE_INFIX_BESIDE, token, db->ops->name_max, name, err);
}

enum error_kind database_lend(struct database *db, const char *name, struct error *err)
{
    return db->ops->lend ? db->ops->lend(db, name, err) : OK;
}

enum error_kind database_lend_check(struct database *db, struct error *err)
{
    return db->ops->lend_check ? db->ops->lend_check(db, err) : OK;
}

enum error_kind database_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                  database_source_fn *source, void *arg, struct error *err)
{
    enum error_kind rc = check_engine(db, facts, err);

    text_list_release(&db->notes);
    if (!rc)
        rc = db->ops->load_run(db, name, facts, source, arg, err);
    if (rc)
        error_context(err, "loading database %s", name);
    return rc;
}

enum error_kind database_load_in_place(struct database *db, const struct database_facts *facts,
                                       database_source_fn *source, void *arg, struct error *err)
{
    enum error_kind rc = check_engine(db, facts, err);

    text_list_release(&db->notes);
    if (!rc)
        rc = db->ops->load_in_place(db, facts, source, arg, err);
    if (rc)
        error_context(err, "replacing the content of database %s", db->name);
    return rc;
}

enum error_kind database_compare(struct database *db, const char *name, const struct database_counts *expected,
                                 struct text_list *differences, struct error *err)
{
    struct database_counts found = {NULL, 0};
    enum error_kind rc;

    rc = db->ops->count(db, name ? name : db->name, &found, err);
    if (rc)
        goto done;
    database_counts_sort(&found);
    rc = database_counts_compare(expected, &found, differences, err);

done:
    if (rc)
        error_context(err, "counting the rows of database %s", name ? name : db->name);
    database_counts_release(&found);
    return rc;
}

bool database_copies(const struct database *db)
{
    return db->ops->copy != NULL;
}

enum error_kind database_copy(struct database *db, struct database_swap *swap, struct database_counts *counts,
                              struct error *err)
{
    struct text_list differences = TEXT_LIST_INIT;
    struct database_counts original = {NULL, 0};
    enum error_kind rc;

    text_list_release(&db->notes);
    rc = db->ops->count(db, swap->live, &original, err);
    if (!rc)
        rc = db->ops->copy(db, swap, counts, err);
    database_counts_sort(&original);
    database_counts_sort(counts);
    if (!rc)
        rc = database_counts_compare(&original, counts, &differences, err);
    if (!rc && differences.count)
        rc = error_set(err, ERR_CORRUPT, 0, "the server's copy is not what was copied: %s%s", differences.items[0],
                       differences.count > 1 ? ", and more" : "");
    text_list_release(&differences);
    database_counts_release(&original);
    return rc;
}

enum error_kind database_swap_prepare(struct database *db, const char *beside, const char *token,
                                      struct database_swap *out, struct error *err)
{
    return db->ops->swap_prepare(db, beside, token, out, err);
}

enum error_kind database_fence(struct database *db, const struct database_swap *swap, struct error *err)
{
    enum error_kind rc = db->ops->fence(db, swap, err);

    if (rc)
        error_context(err, "closing database %s", swap->live);
    return rc;
}

enum error_kind database_unfence(struct database *db, const struct database_swap *swap, struct error *err)
{
    enum error_kind rc = db->ops->unfence(db, swap, err);

    if (rc)
        error_context(err, "opening database %s", swap->live);
    return rc;
}

enum error_kind database_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                                 struct error *err)
{
    enum error_kind rc = db->ops->swap_to(db, swap, side, err);

    if (rc)
        error_context(err, "exchanging databases %s and %s", swap->live, swap->beside);
    return rc;
}

enum error_kind database_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                   struct error *err)
{
    return db->ops->swap_side(db, swap, out, err);
}

enum error_kind database_swap_finish(struct database *db, const struct database_swap *swap, struct error *err)
{
    return db->ops->swap_finish(db, swap, err);
}

enum error_kind database_kept_drop(struct database *db, const char *name, const char *identity, struct error *err)
{
    enum error_kind rc;

    assert(name && identity);
    rc = db->ops->kept_drop(db, name, identity, err);
    if (rc)
        error_context(err, "dropping database %s", name);
    return rc;
}

void database_point_release(struct database_point *p)
{
    free(p->name);
    free(p->identity);
    free(p->saved);
    *p = (struct database_point){NULL, NULL, NULL};
}

bool database_has_points(const struct database *db)
{
    return db->ops->point_possible != NULL;
}

enum error_kind database_point_possible(struct database *db, char **why, struct error *err)
{
    assert(db->ops->point_possible);
    *why = NULL;
    return db->ops->point_possible(db, why, err);
}

enum error_kind database_point_name(const struct database *db, const char *token, char **name, struct error *err)
{
    return database_private_name(db->target->name, DATABASE_INFIX_POINT, token, db->ops->name_max, name, err);
}

enum error_kind database_point_make(struct database *db, struct database_point *point, struct error *err)
{
    assert(point->name && db->ops->point_make);
    return db->ops->point_make(db, point, err);
}

enum error_kind database_point_look(struct database *db, const struct database_point *point, struct error *err)
{
    assert(point->name && db->ops->point_look);
    return db->ops->point_look(db, point, err);
}

enum error_kind database_point_revert(struct database *db, const struct database_point *point, struct error *err)
{
    enum error_kind rc;

    assert(point->name && db->ops->point_revert);
    text_list_release(&db->notes);
    rc = db->ops->point_revert(db, point, err);
    if (rc)
        error_context(err, "going back to the database snapshot %s", point->name);
    return rc;
}

enum error_kind database_point_drop(struct database *db, const struct database_point *point, struct error *err)
{
    assert(point->name && db->ops->point_drop);
    return db->ops->point_drop(db, point, err);
}

enum error_kind database_point_clear(struct database *db, struct error *err)
{
    assert(db->ops->point_clear);
    return db->ops->point_clear(db, err);
}

enum error_kind database_takes_scripts(enum database_engine engine, struct error *err)
{
    if (engine == DATABASE_SQLSERVER)
        return OK;
    error_set(err, ERR_REFUSED, 0, "scripts are run on SQL Server only, this database is %s",
              database_engine_name(engine));
    error_hint(err, "run it with %s", engine == DATABASE_POSTGRESQL ? "psql" : "the mysql or mariadb client");
    return ERR_REFUSED;
}

enum error_kind database_run_script_text(struct database *db, const struct database_script *script,
                                         database_say_fn *say, void *arg, uint64_t *batches, struct error *err)
{
    enum error_kind rc = database_takes_scripts(db->ops->engine, err);

    return rc ? rc : db->ops->run_script(db, script, say, arg, batches, err);
}

enum error_kind database_run_script(struct database *db, const char *path, database_say_fn *say, void *arg,
                                    uint64_t *batches, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(DATABASE_SCRIPT_MAX);
    enum error_kind rc = database_takes_scripts(db->ops->engine, err);

    *batches = 0;
    if (!rc)
        rc = file_read_whole(AT_FDCWD, path, DATABASE_SCRIPT_MAX, &bytes, err);
    if (!rc) {
        const struct database_script script = {path_base(path), bytes.data, bytes.len};

        rc = database_run_script_text(db, &script, say, arg, batches, err);
    }
    buffer_release(&bytes);
    return rc;
}

enum error_kind database_check_script(enum database_engine engine, const struct database_script *script,
                                      uint64_t *batches, struct error *err)
{
    const struct database_engine_ops *ops = NULL;
    enum error_kind rc = database_takes_scripts(engine, err);

    if (!rc)
        rc = engine_ops(engine, &ops, err);
    return rc ? rc : ops->check_script(script, batches, err);
}
