/*
 * The announced fallback: the live database's content is dropped and loaded anew in one transaction, so that it is old or
 * new whatever happens (P1). pg_restore turns the dump into SQL that ends with COMMIT, psql runs it. The end of that SQL is
 * held back until the whole dump was read and found good and pg_restore has ended well: a stream that breaks off, or fails
 * its checks after its last byte, rolls back. (Without --single-transaction pg_restore would put a BEGIN and COMMIT of its
 * own around large objects, and with it end ours half-way.)
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "postgres_internal.h"
#include "thread.h"

enum { LIST_MAX = 64 * 1024 * 1024, PIECE = 64 * 1024, HELD = 4096 };

/* Everything that is not an extension's, and no extension: those may belong to a superuser. What a CASCADE has
 * taken along already is skipped by IF EXISTS; the statements are put together before the first is run. */
static const char prelude[] =
    "BEGIN;\n"
    "SET LOCAL lock_timeout = '60s';\n"
    "SET LOCAL statement_timeout = 0;\n"
    "SET LOCAL idle_in_transaction_session_timeout = 0;\n"
    "SET LOCAL client_min_messages = warning;\n"
    "DO $nopsnap$\n"
    "DECLARE statements text[]; statement text;\n"
    "BEGIN\n"
    "  PERFORM pg_catalog.set_config('search_path', '', true);\n"
    "  CREATE TEMPORARY TABLE nopsnap_schema ON COMMIT DROP AS\n"
    "    SELECT n.oid, n.nspname, n.nspname = 'public' OR EXISTS (SELECT 1 FROM pg_catalog.pg_extension e\n"
    "      WHERE e.extnamespace = n.oid) OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d\n"
    "      WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e') AS stays\n"
    "    FROM pg_catalog.pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema';\n"
    "  SELECT array_agg(s) INTO statements FROM (\n"
    "    SELECT 0 AS step, format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) AS s FROM pg_temp.nopsnap_schema WHERE NOT stays\n"
    "    UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 1 WHEN 'm' THEN 1 WHEN 'S' THEN 3 ELSE 2 END,\n"
    "      format('DROP %s IF EXISTS %I.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'\n"
    "      WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, n.nspname, c.relname)\n"
    "      FROM pg_class c JOIN pg_temp.nopsnap_schema n ON n.oid = c.relnamespace AND n.stays\n"
    "      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (SELECT 1 FROM pg_depend d\n"
    "        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')\n"
    "    UNION ALL SELECT 4, format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)\n"
    "      FROM pg_proc p JOIN pg_temp.nopsnap_schema n ON n.oid = p.pronamespace AND n.stays\n"
    "      WHERE NOT EXISTS (SELECT 1 FROM pg_depend d\n"
    "        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')\n"
    "    UNION ALL SELECT 5, format('DROP %s IF EXISTS %I.%I CASCADE', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,\n"
    "      n.nspname, t.typname) FROM pg_type t JOIN pg_temp.nopsnap_schema n ON n.oid = t.typnamespace AND n.stays\n"
    "      LEFT JOIN pg_class c ON c.oid = t.typrelid\n"
    "      WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')) AND NOT EXISTS (SELECT 1 FROM pg_depend d\n"
    "        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')\n"
    "    UNION ALL SELECT 6, format('DROP COLLATION IF EXISTS %I.%I CASCADE', n.nspname, c.collname)\n"
    "      FROM pg_collation c JOIN pg_temp.nopsnap_schema n ON n.oid = c.collnamespace AND n.stays\n"
    "      WHERE NOT EXISTS (SELECT 1 FROM pg_depend d\n"
    "        WHERE d.classid = 'pg_collation'::regclass AND d.objid = c.oid AND d.deptype = 'e')\n"
    "    UNION ALL SELECT 7, format('DROP TEXT SEARCH CONFIGURATION IF EXISTS %I.%I CASCADE', n.nspname, c.cfgname)\n"
    "      FROM pg_ts_config c JOIN pg_temp.nopsnap_schema n ON n.oid = c.cfgnamespace AND n.stays\n"
    "      WHERE NOT EXISTS (SELECT 1 FROM pg_depend d\n"
    "        WHERE d.classid = 'pg_ts_config'::regclass AND d.objid = c.oid AND d.deptype = 'e')\n"
    "    UNION ALL SELECT 8, format('DROP TEXT SEARCH DICTIONARY IF EXISTS %I.%I CASCADE', n.nspname, c.dictname)\n"
    "      FROM pg_ts_dict c JOIN pg_temp.nopsnap_schema n ON n.oid = c.dictnamespace AND n.stays\n"
    "      WHERE NOT EXISTS (SELECT 1 FROM pg_depend d\n"
    "        WHERE d.classid = 'pg_ts_dict'::regclass AND d.objid = c.oid AND d.deptype = 'e')\n"
    "    UNION ALL SELECT 9, format('DROP PUBLICATION IF EXISTS %I CASCADE', pubname) FROM pg_publication\n"
    "    UNION ALL SELECT 9, format('DROP EVENT TRIGGER IF EXISTS %I CASCADE', evtname) FROM pg_event_trigger\n"
    "    UNION ALL SELECT 10, format('SELECT lo_unlink(%s)', oid) FROM pg_largeobject_metadata ORDER BY 1) x;\n"
    "  FOREACH statement IN ARRAY coalesce(statements, '{}') LOOP\n"
    "    EXECUTE statement;\n"
    "  END LOOP;\n"
    "  DROP TABLE pg_temp.nopsnap_schema;\n"
    "END $nopsnap$;\n";

/* ---- what of the dump is left out ---- */

struct present {
    struct text_list extensions;
};

static enum error_kind add_extension(void *arg, const struct database_row *row, struct error *err)
{
    struct present *p = arg;

    return text_list_add(&p->extensions, row->values[0], err);
}

static bool names_present_extension(const struct present *p, const char *text)
{
    for (size_t i = 0; i < p->extensions.count; i++) {
        size_t len = strlen(p->extensions.items[i]);

        if (strncmp(text, p->extensions.items[i], len) == 0 && (text[len] == ' ' || text[len] == '\0'))
            return true;
    }
    return false;
}

/* Extensions that are there stay there, with their comments, which only their owner could set. */
static bool keep_entry(void *arg, const char *kind, const char *line)
{
    const struct present *p = arg;

    (void)line;
    if (strncmp(kind, "EXTENSION - ", 12) == 0)
        return !names_present_extension(p, kind + 12);
    if (strncmp(kind, "COMMENT - EXTENSION ", 20) == 0)
        return !names_present_extension(p, kind + 20);
    return true;
}

static enum error_kind make_list(struct postgres *pg, const struct postgres_archive *archive, struct secret_file *out,
                                 struct error *err)
{
    struct present present = {TEXT_LIST_INIT};
    struct buffer list = BUFFER_INIT(LIST_MAX);
    enum error_kind rc;

    rc = postgres_query(pg, "SELECT extname FROM pg_extension", add_extension, &present, err);
    if (!rc)
        rc = postgres_archive_list(archive, keep_entry, &present, &list, err);
    if (!rc)
        rc = secret_file_make(out, list.data, list.len, err);
    text_list_release(&present.extensions);
    buffer_release(&list);
    return rc;
}

/* ---- the two tools ---- */

struct pump {
    int from;
    int to;
    unsigned char held[HELD + PIECE]; /* the end of what was read: at most HELD bytes between two reads */
    size_t len;
    struct error error;
};

/* Pass on all but the last HELD bytes. */
static enum error_kind pass_on(struct pump *p, size_t got)
{
    size_t excess;

    p->len += got;
    excess = p->len > HELD ? p->len - HELD : 0;
    if (excess && file_write(p->to, p->held, excess, "the input of psql", &p->error))
        return p->error.kind;
    memmove(p->held, p->held + excess, p->len - excess);
    p->len -= excess;
    return OK;
}

/* From pg_restore to psql, in a thread of its own, because the dump has to be fed at the same time. */
static void *pump_script(void *arg)
{
    struct pump *p = arg;
    size_t got = 0;

    do {
        if (file_read(p->from, p->held + p->len, PIECE, &got, "the output of pg_restore", &p->error))
            break;
    } while (got && !pass_on(p, got));
    /* So that pg_restore does not wait for a reader that has given up. */
    while (p->error.kind && got) {
        struct error ignored = ERROR_INIT;

        if (file_read(p->from, p->held, PIECE, &got, "the output of pg_restore", &ignored))
            break;
    }
    return NULL;
}

/* Is the COMMIT in what is held back, and so not yet sent? */
static enum error_kind check_end(struct pump *p, struct error *err)
{
    static const char end[] = "\nCOMMIT;\n\n--\n-- PostgreSQL database dump complete\n";

    if (memmem(p->held, p->len, end, sizeof end - 1))
        return OK;
    return error_set(err, ERR_REMOTE, 0, "the SQL that pg_restore makes does not end as it should");
}

struct in_place {
    struct process restore;
    struct process psql;
    struct postgres_environment environment;
    struct secret_file list;
    char *restore_path;
    char *psql_path;
    char *connection;
};

static enum error_kind start_psql(struct in_place *p, struct error *err)
{
    const char *argv[] = {p->psql_path, "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-",
                          "--dbname",   p->connection, NULL};
    struct process_spec spec = {.argv = argv, .environment = p->environment.list, .pipe_stdin = true};
    enum error_kind rc = process_start(&p->psql, &spec, err);

    return rc ? rc : file_write(p->psql.stdin_fd, prelude, strlen(prelude), "the input of psql", err);
}

static enum error_kind start_restore(struct in_place *p, bool owners, bool grants, struct error *err)
{
    const char *argv[12] = {p->restore_path, "--single-transaction", "--format=custom",
                            "--file=-",      "--use-list",           p->list.path};
    struct process_spec spec = {
        .argv = argv, .environment = p->environment.list, .pipe_stdin = true, .pipe_stdout = true};
    int n = 6;

    if (!owners)
        argv[n++] = "--no-owner";
    if (!grants)
        argv[n++] = "--no-privileges";
    return process_start(&p->restore, &spec, err);
}

/* Only when everything before went well does psql get to see the COMMIT. */
static enum error_kind finish(struct in_place *p, struct pump *pump, enum error_kind so_far, struct error *err)
{
    struct error said = ERROR_INIT;
    enum error_kind rc = so_far;

    if (!rc)
        rc = check_end(pump, err);
    if (rc && !pump->error.kind) { /* its end undoes what it has done so far */
        process_kill(&p->psql);
        return rc;
    }
    if (!rc)
        rc = file_write(p->psql.stdin_fd, pump->held, pump->len, "the input of psql", err);
    if (postgres_tool_wait(&p->psql, "psql", &said)) {
        *err = said; /* psql's words are the reason, our failing to write to it a consequence */
        return said.kind;
    }
    return rc;
}

static enum error_kind run_both(struct in_place *p, struct postgres_archive *archive, struct pump *pump,
                                struct error *err)
{
    pthread_t thread;
    enum error_kind rc;

    pump->from = p->restore.stdout_fd;
    pump->to = p->psql.stdin_fd;
    rc = thread_start(&thread, pump_script, pump, err);
    if (rc)
        return rc;
    rc = postgres_archive_feed(archive, p->restore.stdin_fd, err);
    file_close(&p->restore.stdin_fd);
    if (rc) /* only the signal: the thread still reads from the pipe */
        kill(p->restore.pid, SIGKILL);
    pthread_join(thread, NULL);
    if (!rc)
        rc = postgres_tool_wait(&p->restore, "pg_restore", err);
    if (!rc && pump->error.kind) {
        error_copy(err, &pump->error);
        rc = err->kind;
    }
    return finish(p, pump, rc, err);
}

static enum error_kind replace_content(struct in_place *p, struct postgres_archive *archive, bool owners, bool grants,
                                       struct error *err)
{
    struct pump *pump = NULL;
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof *pump, &memory, err);
    if (rc)
        return rc;
    pump = memory;
    rc = start_psql(p, err);
    if (!rc)
        rc = start_restore(p, owners, grants, err);
    if (!rc)
        rc = run_both(p, archive, pump, err);
    free(pump);
    return rc;
}

enum error_kind postgres_load_in_place(struct database *db, const struct database_facts *facts,
                                       database_source_fn *source, void *arg, struct error *err)
{
    struct in_place p = {PROCESS_INIT, PROCESS_INIT, POSTGRES_ENVIRONMENT_INIT, SECRET_FILE_INIT, NULL, NULL, NULL};
    struct postgres_archive archive = {NULL, NULL, BUFFER_INIT(0), BUFFER_INIT(0)};
    struct postgres *pg = NULL;
    bool owners = true;
    bool grants = true;
    enum error_kind rc;

    rc = postgres_live(db, &pg, err);
    if (!rc)
        rc = postgres_properties_roles(pg, facts->properties, &owners, &grants, &db->notes, err);
    if (!rc)
        rc = postgres_restore_tool(pg, facts, &p.restore_path, err);
    if (!rc)
        rc = postgres_tool("psql", postgres_server_major(pg), &p.psql_path, NULL, err);
    if (!rc)
        rc = postgres_environment_make(db, pg, &p.environment, err);
    if (!rc)
        rc = postgres_conninfo_name(db->name, &p.connection, err);
    if (!rc)
        rc = postgres_archive_open(p.restore_path, source, arg, &archive, err);
    if (!rc)
        rc = make_list(pg, &archive, &p.list, err);
    if (!rc)
        rc = replace_content(&p, &archive, owners, grants, err);
    if (!rc)
        rc = postgres_query(pg, "ANALYZE", NULL, NULL, err);
    if (!rc)
        rc = postgres_properties_apply(pg, db->name, facts->properties, PROPERTIES_ALL, &db->notes, err);
    process_kill(&p.restore);
    process_kill(&p.psql);
    postgres_environment_release(&p.environment);
    secret_file_release(&p.list);
    postgres_archive_release(&archive);
    free(p.restore_path);
    free(p.psql_path);
    free(p.connection);
    return rc;
}
