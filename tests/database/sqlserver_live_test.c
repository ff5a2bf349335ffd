/*
 * A logical dump and load against a real server, whichever NOPSNAP_TEST_SQLSERVER (a connection string of a login that may make databases)
 * names. Skipped, visibly, without it. It makes databases of its own and drops them.
 */
#include "test_support.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include "sqlserver_logical_internal.h"

enum { SKIPPED = 77, STREAM_MAX = 1024 * 1024 * 1024 };

static struct database_target target = DATABASE_TARGET_INIT;
static struct database db;

/* What the common part asks an engine for its facts: this database is no shop. */
static enum error_kind no_table(struct database *d, const char *name, char **quoted, struct text_list *columns,
                                struct error *err)
{
    (void)d;
    (void)name;
    (void)columns;
    (void)err;
    *quoted = NULL;
    return OK;
}

static const struct database_engine_ops ops = {.engine = DATABASE_SQLSERVER, .name_max = 128, .table = no_table};

static void must(enum error_kind rc, const struct error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

static struct sqlserver_link *open_link(const char *database)
{
    struct sqlserver_link *l = NULL;
    struct error err = ERROR_INIT;

    must(sqlserver_link_open(&db, database, &l, &err), &err);
    return l;
}

static void run(struct sqlserver_link *l, const char *sql)
{
    struct error err = ERROR_INIT;

    if (sqlserver_link_run(l, sql, NULL, NULL, &err))
        fail_msg("%s\n%s", err.text, sql);
}

/* ---- databases of a test ---- */

struct scene {
    char source[64];
    char copy[64];
};

static void on_master(const char *format, const char *name, bool must_work)
{
    struct sqlserver_link *l = open_link(NULL);
    char sql[256];
    struct error err = ERROR_INIT;
    enum error_kind rc;

    snprintf(sql, sizeof sql, format, name);
    rc = sqlserver_link_run(l, sql, NULL, NULL, &err);
    for (int i = 0; rc && must_work && i < 50 && strstr(err.text, "in use");
         i++) { /* the server has not seen yet who left */
        usleep(100000);
        error_clear(&err);
        rc = sqlserver_link_run(l, sql, NULL, NULL, &err);
    }
    sqlserver_link_close(l);
    if (must_work)
        must(rc, &err);
}

static int scene_setup(void **state)
{
    static int number;
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    number++;
    snprintf(s->source, sizeof s->source, "nopsnap_live_%d_%d", (int)getpid(), number);
    snprintf(s->copy, sizeof s->copy, "nopsnap_copy_%d_%d", (int)getpid(), number);
    on_master("CREATE DATABASE [%s]", s->source, true);
    *state = s;
    return 0;
}

static int scene_teardown(void **state)
{
    struct scene *s = *state;

    on_master("DROP DATABASE [%s]", s->source, false);
    on_master("DROP DATABASE [%s]", s->copy, false);
    free(s);
    return 0;
}

/* ---- dump and load ---- */

static enum error_kind gather(void *arg, const void *bytes, size_t len, struct error *err)
{
    return buffer_append(arg, bytes, len, err);
}

struct input {
    const struct buffer *bytes;
    size_t at;
};

static enum error_kind feed(void *arg, const void **bytes, size_t *len, struct error *err)
{
    struct input *in = arg;
    size_t left = in->bytes->len - in->at;

    (void)err;
    *len = left < 100000 ? left : 100000;
    *bytes = in->bytes->data + in->at;
    in->at += *len;
    return OK;
}

static void dump(const char *name, struct buffer *out, struct database_facts *facts)
{
    struct database_dump d = {.db = &db};
    struct error err = ERROR_INIT;

    db.name = (char *)(uintptr_t)name;
    must(sqlserver_logical_dump_begin(&d, &err), &err);
    must(sqlserver_logical_dump_run(&d, gather, out, &err), &err);
    must(sqlserver_logical_dump_end(&d, facts, &err), &err);
    facts->engine = DATABASE_SQLSERVER;
    for (size_t i = 0; i < facts->warnings.count; i++)
        print_message("warning: %s\n", facts->warnings.items[i]);
}

static void load(const char *name, const struct buffer *stream, const struct database_facts *facts)
{
    struct input in = {.bytes = stream};
    struct error err = ERROR_INIT;

    must(sqlserver_logical_load_run(&db, name, facts, feed, &in, &err), &err);
    for (size_t i = 0; i < db.notes.count; i++)
        print_message("note: %s\n", db.notes.items[i]);
}

/* Dump, load, dump again: the load has compared every row; here the counts. */
static void go_round(struct scene *s)
{
    struct buffer first = BUFFER_INIT(STREAM_MAX);
    struct buffer second = BUFFER_INIT(STREAM_MAX);
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct database_facts again = DATABASE_FACTS_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;

    dump(s->source, &first, &facts);
    load(s->copy, &first, &facts);
    dump(s->copy, &second, &again);
    must(database_counts_compare(&facts.counts, &again.counts, &differences, &err), &err);
    assert_int_equal(differences.count, 0);
    text_list_release(&differences);
    database_facts_release(&facts);
    database_facts_release(&again);
    buffer_release(&first);
    buffer_release(&second);
}

/* ---- tests ---- */

static void plain_types__come_back_to_the_byte(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);

    run(l,
        "CREATE TABLE dbo.Plain (Id int IDENTITY(3, 2) NOT NULL PRIMARY KEY, b bit NULL, t tinyint NULL, s smallint NULL, "
        "g bigint NULL, r real NULL, f float NULL, m money NULL, sm smallmoney NULL, d decimal(38, 10) NULL, "
        "d9 decimal(9, 2) NULL, d19 numeric(19, 4) NULL, d28 decimal(28, 0) NULL, da date NULL, ti time(3) NULL, "
        "d0 datetime2(0) NULL, d6 datetime2(6) NULL, o datetimeoffset(3) NULL, dt datetime NULL, sd smalldatetime NULL, "
        "u uniqueidentifier NULL, c char(5) NULL, v varchar(50) NULL, vm varchar(max) NULL, n nchar(4) NULL, "
        "nv nvarchar(50) NOT NULL, nm nvarchar(max) NULL, bi binary(4) NULL, vb varbinary(20) NULL, bm varbinary(max) NULL)");
    run(l, "INSERT INTO dbo.Plain (nv) VALUES (N'')");
    run(l,
        "INSERT INTO dbo.Plain (b, t, s, g, r, f, m, sm, d, d9, d19, d28, da, ti, d0, d6, o, dt, sd, u, c, v, vm, n, nv, nm, bi, vb, "
        "bm) VALUES (1, 255, -32768, -9223372036854775808, 1.5e-30, 0.1, -922337203685477.5808, 214748.3647, "
        "-999999999999999999999999999.9999999999, 9999999.99, -123456789012345.6789, 9999999999999999999999999999, '0001-01-01', "
        "'23:59:59.997', '9999-12-31 23:59:59', '2026-11-26 12:34:56.123456', '2026-11-26 12:34:56.123 +05:30', "
        "'2026-11-26 12:34:56.997', '2079-06-06 23:59', '00112233-4455-6677-8899-aabbccddeeff', 'ab', 'caf' + CHAR(233), '', N'xy', "
        "N'snow' + NCHAR(9731), N'', 0x01000000, 0x, 0x00ff00)");
    run(l,
        "INSERT INTO dbo.Plain (b, t, f, m, d, da, nv, nm, bm) VALUES (0, 0, -0.0, -0.0001, 0.0000000001, '9999-12-31', "
        "N'end', REPLICATE(CAST(N'a' AS nvarchar(max)), 300000), CAST(REPLICATE(CAST('b' AS varchar(max)), 700000) AS varbinary(max)))");
    sqlserver_link_close(l);
    go_round(s);
}

static void schema__keys_and_modules_come_back(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);

    run(l,
        "CREATE TABLE dbo.Parent (Id int IDENTITY(1, 1) NOT NULL CONSTRAINT PK_Parent PRIMARY KEY, Name nvarchar(100) NOT NULL "
        "CONSTRAINT DF_Name DEFAULT (N'x'), Price decimal(18, 4) NOT NULL, CONSTRAINT CK_Price CHECK (Price >= 0))");
    run(l, "CREATE TABLE dbo.Child (Id int IDENTITY(1, 1) NOT NULL PRIMARY KEY, ParentId int NOT NULL, "
           "CONSTRAINT FK_Parent FOREIGN KEY (ParentId) REFERENCES dbo.Parent (Id) ON DELETE CASCADE)");
    run(l, "CREATE TABLE dbo.Heap (a int NULL, b nvarchar(20) NULL)");
    run(l, "CREATE INDEX IX_Name ON dbo.Parent (Name) INCLUDE (Price)");
    run(l, "CREATE VIEW dbo.Names AS SELECT Id, Name FROM dbo.Parent");
    run(l, "CREATE PROCEDURE dbo.Count_ AS SELECT COUNT(*) FROM dbo.Names");
    run(l, "INSERT INTO dbo.Parent (Name, Price) VALUES (N'a', 1), (N'b', 2.5)");
    run(l, "INSERT INTO dbo.Child (ParentId) VALUES (1), (2), (2)");
    run(l, "INSERT INTO dbo.Heap (a, b) VALUES (1, N'x'), (1, N'x'), (NULL, NULL), (2, N'')");
    sqlserver_link_close(l);
    go_round(s);
    l = open_link(s->copy);
    if (!getenv("NOPSNAP_TEST_SQLSERVER_RUNS_NO_BODIES")) /* the model keeps a procedure's text, and no more */
        run(l, "EXEC dbo.Count_");
    run(l, "INSERT INTO dbo.Parent (Name, Price) VALUES (N'c', 3)");
    sqlserver_link_close(l);
}

static void staging__xml_comes_back(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);

    run(l, "CREATE TABLE dbo.Staged (Id int IDENTITY(1, 1) NOT NULL PRIMARY KEY, x xml NULL)");
    run(l, "INSERT INTO dbo.Staged (x) VALUES (N'<a b=\"1\">text</a>'), (NULL), (N'<e/>')");
    sqlserver_link_close(l);
    go_round(s);
}

static void staging__variants_come_back(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);
    struct error said = ERROR_INIT;

    if (sqlserver_link_run(l, "SELECT CONVERT(varbinary(8000), CAST(CAST(1.25 AS decimal(10, 4)) AS sql_variant))",
                           NULL, NULL, &said)) {
        print_message("this server can't give a sql_variant's bytes: %s\n", said.text);
        sqlserver_link_close(l);
        skip();
    }
    run(l, "CREATE TABLE dbo.Staged (Id int IDENTITY(1, 1) NOT NULL PRIMARY KEY, v sql_variant NULL)");
    run(l,
        "INSERT INTO dbo.Staged (v) VALUES (CAST(5 AS int)), (NULL), "
        "(CAST(N'snow' AS nvarchar(20))), (CAST(1.25 AS decimal(10, 4))), (CAST(0.1 AS float)), "
        "(CAST('2026-11-26 12:34:56.997' AS datetime)), (CAST(-1.5 AS money)), (CAST(1.5 AS smallmoney)), (CAST(1 AS bit)), "
        "(CAST(255 AS tinyint)), (CAST(-2 AS smallint)), (CAST(-9223372036854775808 AS bigint)), (CAST(-0.25 AS real)), "
        "(CAST('ab' AS char(5))), (CAST('' AS varchar(10))), (CAST(N'xy' AS nchar(4))), (CAST(0x0001 AS binary(4))), "
        "(CAST(0x AS varbinary(8))), (CAST('2026-11-26' AS date)), (CAST('23:59:59.997' AS time(3))), "
        "(CAST('2026-11-26 12:34:56.1234567' AS datetime2(7))), (CAST('2026-11-26 12:34:56.12 +05:30' AS datetimeoffset(2))), "
        "(CAST('2079-06-06 23:59' AS smalldatetime)), (CAST('00112233-4455-6677-8899-aabbccddeeff' AS uniqueidentifier)), "
        "(CAST(-99999999999999999999999999999999999999 AS decimal(38, 0)))");
    sqlserver_link_close(l);
    go_round(s);
}

static void staging__clr_types_come_back(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);
    struct error said = ERROR_INIT;

    if (sqlserver_link_run(
            l,
            "CREATE TABLE dbo.Clr (Id int NOT NULL PRIMARY KEY, h hierarchyid NULL, g geography NULL, m geometry NULL, n int NULL)",
            NULL, NULL, &said)) {
        print_message("this server has no such types: %s\n", said.text);
        sqlserver_link_close(l);
        skip();
    }
    run(l,
        "INSERT INTO dbo.Clr (Id, h, g, m, n) VALUES (1, CAST(0x5AC0 AS hierarchyid), "
        "CAST(0xE6100000010C17D9CEF753F34740D34D6210589954C0 AS geography), "
        "CAST(0x00000000010C000000000000F03F0000000000000040 AS geometry), 7), (2, NULL, NULL, NULL, NULL), (3, CAST(0x AS hierarchyid), NULL, NULL, 8)");
    sqlserver_link_close(l);
    go_round(s);
}

static void in_place__keeps_the_recovery_model(void **state)
{
    struct scene *s = *state;
    struct buffer stream = BUFFER_INIT(STREAM_MAX);
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct input in = {.bytes = &stream};
    struct sqlserver_link *l = open_link(s->source);
    struct error err = ERROR_INIT;
    char *model = NULL;

    run(l, "CREATE TABLE dbo.Heap (a int NULL)");
    sqlserver_link_close(l);
    on_master("ALTER DATABASE [%s] SET RECOVERY SIMPLE", s->source, true);
    dump(s->source, &stream, &facts);
    on_master("ALTER DATABASE [%s] SET RECOVERY FULL", s->source, true);
    must(sqlserver_logical_load_in_place(&db, &facts, feed, &in, &err), &err);
    l = open_link(s->source);
    must(sqlserver_link_text(l, "SELECT d.recovery_model_desc FROM sys.databases d WHERE d.database_id = DB_ID()",
                             &model, &err),
         &err);
    sqlserver_link_close(l);
    if (strcmp(facts.properties ? facts.properties : "", "") != 0 &&
        strstr(facts.properties, "SIMPLE")) { /* else the server has but one */
        assert_string_equal(model, "FULL");
        assert_int_equal(db.notes.count, 1);
        assert_non_null(strstr(db.notes.items[0], "keeps its recovery model FULL"));
    }
    free(model);
    buffer_release(&stream);
    database_facts_release(&facts);
}

/* ---- what the library does that nobody would expect ---- */

/* It asks for the table's columns under the name as it is given, in brackets or not. */
static void trap__names_of_any_letters_are_bulk_loaded(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);

    run(l, "CREATE SCHEMA [sch ema]");
    run(l,
        "CREATE TABLE [sch ema].[odd ]]na'me.x] ([a b] int NOT NULL PRIMARY KEY, [c]]d] nvarchar(10) NULL, [select] xml NULL)");
    run(l, "INSERT INTO [sch ema].[odd ]]na'me.x] VALUES (1, N'x', N'<a/>'), (2, NULL, NULL)");
    sqlserver_link_close(l);
    go_round(s);
}

/* It counts columns that it does not send. */
static void trap__columns_that_are_not_sent_move_no_others(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);
    struct error said = ERROR_INIT;

    if (sqlserver_link_run(
            l,
            "CREATE TABLE dbo.Gaps (v rowversion NOT NULL, a int NOT NULL PRIMARY KEY, b AS (a * 2) PERSISTED, c nvarchar(10) NULL, "
            "d AS (c + N'!'), e int NULL)",
            NULL, NULL, &said)) {
        print_message("this server has no such columns: %s\n", said.text);
        sqlserver_link_close(l);
        skip();
    }
    run(l, "INSERT INTO dbo.Gaps (a, c, e) VALUES (1, N'one', 10), (2, N'', NULL), (3, NULL, 30)");
    run(l, "ALTER TABLE dbo.Gaps DROP COLUMN e");
    run(l, "ALTER TABLE dbo.Gaps ADD f int NULL");
    run(l, "UPDATE dbo.Gaps SET f = a + 40");
    sqlserver_link_close(l);
    go_round(s);
}

/* It ends the process at a NULL for a column of fixed size that takes none, and calls what follows a failed row a success. */
static void trap__a_null_where_none_may_be_ends_the_load_alone(void **state)
{
    static const struct sqlserver_column columns[] = {{.name = (char *)(uintptr_t) "a", .kind = SQLSERVER_INT},
                                                      {.name = (char *)(uintptr_t) "b", .kind = SQLSERVER_INT}};
    static const unsigned char one[4] = {1};
    const struct scene *s = *state;
    const struct sqlserver_value good[] = {{.bytes = one, .len = sizeof one}, {.bytes = one, .len = sizeof one}};
    const struct sqlserver_value bad[] = {{.bytes = one, .len = sizeof one}, {.bytes = NULL}};
    struct sqlserver_link *l = open_link(s->source);
    struct error err = ERROR_INIT;
    int64_t rows = -1;

    run(l, "CREATE TABLE dbo.Strict (a int NOT NULL, b int NOT NULL)");
    must(sqlserver_bulk_begin(l, "[dbo].[Strict]", columns, 2, &err), &err);
    must(sqlserver_bulk_row(l, good, &err), &err);
    assert_int_equal(sqlserver_bulk_row(l, bad, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "column b"));
    error_clear(&err);
    assert_int_equal(sqlserver_link_run(l, "SELECT 1", NULL, NULL, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "given up"));
    error_clear(&err);
    sqlserver_link_close(l);
    l = open_link(s->source);
    must(sqlserver_link_number(l, "SELECT COUNT(*) FROM dbo.Strict", -1, &rows, &err), &err);
    assert_int_equal(rows, 0);
    sqlserver_link_close(l);
}

static char *text_of(struct sqlserver_link *l, const char *sql)
{
    struct error err = ERROR_INIT;
    char *text = NULL;

    must(sqlserver_link_text(l, sql, &text, &err), &err);
    assert_non_null(text);
    return text;
}

/* It takes the locale's characters for the client's, and turns what it has none for into a question mark. */
static void trap__texts_are_utf8_whatever_the_locale(void **state)
{
    struct sqlserver_link *l = open_link(NULL);
    struct error err = ERROR_INIT;
    char *text;

    (void)state;
    text = text_of(l, "SELECT N'caf' + NCHAR(233) + NCHAR(8364) + NCHAR(55357) + NCHAR(56832)");
    assert_string_equal(text, "caf\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    free(text);
    text = NULL;
    if (sqlserver_link_ways(l)->utf16_as_bytes) { /* half a pair has no UTF-8 */
        assert_int_not_equal(sqlserver_link_text(l, "SELECT N'a' + NCHAR(55357)", &text, &err), OK);
        error_clear(&err);
        free(text);
    }
    sqlserver_link_close(l);
}

/* Texts end after 4 KB until the session says otherwise: a procedure would come back cut. */
static void trap__long_texts_are_not_cut(void **state)
{
    struct sqlserver_link *l = open_link(NULL);
    char *text;

    (void)state;
    text = text_of(l, "SELECT REPLICATE(CAST(N'x' AS nvarchar(max)), 100000)");
    assert_int_equal(strlen(text), 100000);
    free(text);
    sqlserver_link_close(l);
}

/* It marks every text with the connection's code page: what has another goes as n-type, by way of a staging table. */
static void trap__text_of_another_code_page_comes_back(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);
    struct error said = ERROR_INIT;

    if (sqlserver_link_run(
            l,
            "CREATE TABLE dbo.Pages (Id int NOT NULL PRIMARY KEY, r varchar(20) COLLATE Cyrillic_General_CI_AS NULL, "
            "m varchar(max) COLLATE Cyrillic_General_CI_AS NULL, v varchar(20) NULL)",
            NULL, NULL, &said)) {
        print_message("this server has no such collation: %s\n", said.text);
        sqlserver_link_close(l);
        skip();
    }
    run(l,
        "INSERT INTO dbo.Pages (Id, r, m, v) VALUES (1, NCHAR(1055) + NCHAR(1088) + NCHAR(1080), NCHAR(1078), NCHAR(233)), (2, '', '', ''), (3, NULL, NULL, NULL)");
    sqlserver_link_close(l);
    go_round(s);
    l = open_link(s->copy);
    {
        char *text = text_of(l, "SELECT CAST(r AS nvarchar(20)) FROM dbo.Pages WHERE Id = 1");

        assert_string_equal(text, "\xd0\x9f\xd1\x80\xd0\xb8");
        free(text);
    }
    sqlserver_link_close(l);
}

/* What a server that keeps texts as UTF-8 or moments in microseconds can't hold. */
static void extremes__come_back_to_the_byte(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);

    if (!sqlserver_link_ways(l)->utf16_as_bytes) {
        print_message("this server keeps its texts as UTF-8\n");
        sqlserver_link_close(l);
        skip();
    }
    run(l,
        "CREATE TABLE dbo.Extreme (Id int NOT NULL PRIMARY KEY, n nvarchar(20) NULL, m nvarchar(max) NULL, c nchar(3) NULL, t ntext NULL, "
        "d decimal(38, 10) NULL, w decimal(38, 0) NULL, d7 datetime2(7) NULL, o7 datetimeoffset(7) NULL, t7 time(7) NULL, f float NULL, r real NULL)");
    run(l,
        "INSERT INTO dbo.Extreme (Id, n, m, c, t, d, w, d7, o7, t7, f, r) VALUES "
        "(1, NCHAR(55357), NCHAR(56834) + N'x' + NCHAR(55357), NCHAR(55357), NCHAR(55357) + NCHAR(56834), "
        "-9999999999999999999999999999.9999999999, 99999999999999999999999999999999999999, '9999-12-31 23:59:59.9999999', "
        "'9999-12-31 09:59:59.9999999 -14:00', '23:59:59.9999999', 1.7976931348623157E+308, 3.4028235E+38), "
        "(2, N'', N'', N'', N'', 0, 0, '0001-01-01', '0001-01-01 14:00:00 +14:00', '00:00', 4.9406564584124654E-324, 1.401298E-45), "
        "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)");
    sqlserver_link_close(l);
    go_round(s);
}

static void large__a_value_of_100_megabytes_comes_in_pieces(void **state)
{
    struct scene *s = *state;
    struct sqlserver_link *l = open_link(s->source);

    run(l, "CREATE TABLE dbo.Large (Id int NOT NULL PRIMARY KEY, b varbinary(max) NULL)");
    run(l,
        "INSERT INTO dbo.Large (Id, b) VALUES (1, CAST(REPLICATE(CAST('0123456789' AS varchar(max)), 10485760) AS varbinary(max))), "
        "(2, NULL), (3, 0x), (4, 0x01)");
    sqlserver_link_close(l);
    go_round(s);
}

/* ---- the engine itself, on a shop's database ---- */

struct shop {
    struct database_target target;
    struct database *db;
};

static void shop_open(struct shop *s, const char *name)
{
    char connection[2048];
    struct error err = ERROR_INIT;

    *s = (struct shop){DATABASE_TARGET_INIT, NULL};
    snprintf(connection, sizeof connection, "%s;Initial Catalog=%s", getenv("NOPSNAP_TEST_SQLSERVER"), name);
    must(database_target_parse("sqlserver", connection, &s->target, &err), &err);
    must(database_open(&s->target, NULL, &s->db, &err), &err);
}

static void shop_close(struct shop *s)
{
    database_close(s->db);
    database_target_release(&s->target);
}

/* Another nopsnap of this host: a process with a session in a database. */
struct neighbour {
    char database[128];
    pid_t pid;
    int to, from;
};

static void neighbour_run(const char *database, int in, int out)
{
    struct sqlserver_link *l = NULL;
    struct error err = ERROR_INIT;
    bool lives;
    char c = '.';

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sqlserver_link_open(&db, database, &l, &err) || write(out, &c, 1) != 1 || read(in, &c, 1) != 1)
        _exit(2);
    lives = sqlserver_link_run(l, "SELECT 1", NULL, NULL, &err) == OK;
    sqlserver_link_close(l);
    _exit(lives ? 0 : 1);
}

static void neighbour_start(struct neighbour *n)
{
    int to[2];
    int from[2];
    char c;

    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    n->pid = fork();
    assert_true(n->pid >= 0);
    if (n->pid == 0)
        neighbour_run(n->database, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    n->to = to[1];
    n->from = from[0];
    assert_int_equal(read(n->from, &c, 1), 1); /* its session is there */
}

static bool neighbour_lives(struct neighbour *n)
{
    int status = 0;

    assert_int_equal(write(n->to, ".", 1), 1);
    assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
    close(n->to);
    close(n->from);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

static void own_sessions__of_another_shop_are_left_alone(void **state)
{
    static const struct {
        const char *tail;
        bool ours;
    } cases[] = {
        {"", true},
        {"_nopsnap_0123abcd", true},
        {"_nopsnap_old_0123abcd", true},
        {"2", false},
        {"2_nopsnap_0123abcd", false},
        {"_nopsnap_archive1", false},
        {"_nopsnap_0123abcd2", false},
    };
    enum { COUNT = sizeof cases / sizeof cases[0] };
    const struct scene *s = *state;
    struct neighbour neighbours[COUNT];
    struct error err = ERROR_INIT;
    struct shop shop;

    for (size_t i = 0; i < COUNT; i++) {
        snprintf(neighbours[i].database, sizeof neighbours[i].database, "%s%s", s->source, cases[i].tail);
        if (i)
            on_master("CREATE DATABASE [%s]", neighbours[i].database, true);
        neighbour_start(&neighbours[i]);
    }
    shop_open(&shop, s->source);
    must(database_end_own_sessions(shop.db, &err), &err);
    shop_close(&shop);
    for (size_t i = 0; i < COUNT; i++)
        if (neighbour_lives(&neighbours[i]) == cases[i].ours)
            fail_msg("the session in %s was %s", neighbours[i].database, cases[i].ours ? "left" : "ended");
    for (size_t i = 1; i < COUNT; i++)
        on_master("DROP DATABASE [%s]", neighbours[i].database, true);
}

static enum error_kind ask(void *link, const char *sql, database_row_fn *row, void *arg, struct error *err)
{
    return sqlserver_link_run(link, sql, row, arg, err);
}

static void fill(const char *database, int tables)
{
    struct sqlserver_link *l = open_link(database);
    char sql[512];

    for (int i = 0; i < tables; i++) {
        snprintf(sql, sizeof sql, "CREATE TABLE [dbo].[t%d] ([Id] int NOT NULL PRIMARY KEY, [v] nvarchar(max) NULL)",
                 i);
        run(l, sql);
        for (int row = 0; row < (i % 2 ? 40 : 2); row++) {
            snprintf(sql, sizeof sql,
                     "INSERT INTO [dbo].[t%d] VALUES (%d, REPLICATE(CAST(N'%c' AS nvarchar(max)), 60000))", i, row,
                     'a' + row % 26);
            run(l, sql);
        }
    }
    sqlserver_link_close(l);
}

/* All tables by `readers`, or by the link alone. */
static void write_all(struct sqlserver_link *l, const struct sqlserver_table *tables, size_t count,
                      struct sqlserver_readers *readers, struct sqlserver_sum *sums, struct buffer *out,
                      unsigned char shape[HASH_LEN])
{
    struct sqlserver_writer *w = NULL;
    struct error err = ERROR_INIT;

    must(sqlserver_writer_new(gather, out, &w, &err), &err);
    for (size_t i = 0; i < count; i++)
        must(readers ? sqlserver_readers_take(readers, i, w, &err)
                     : sqlserver_table_read(l, &tables[i], w, NULL, NULL, &sums[i], &err),
             &err);
    must(sqlserver_writer_flush(w, &err), &err);
    memcpy(shape, sqlserver_writer_shape(w), HASH_LEN);
    sqlserver_writer_free(w);
}

static void readers__give_the_bytes_of_one_connection(void **state)
{
    enum { TABLES = 7 };
    const struct scene *s = *state;
    struct sqlserver_sum sums[2][TABLES] = {0};
    unsigned char shapes[2][HASH_LEN];
    struct buffer bytes[2] = {BUFFER_INIT(STREAM_MAX), BUFFER_INIT(STREAM_MAX)};
    struct sqlserver_schema *schema = NULL;
    struct sqlserver_readers *readers = NULL;
    struct sqlserver_table *tables = NULL;
    struct sqlserver_link *l;
    struct error err = ERROR_INIT;
    size_t count = 0;

    fill(s->source, TABLES);
    l = open_link(s->source);
    must(sqlserver_schema_read(ask, l, &schema, &err), &err);
    must(sqlserver_schema_tables(schema, &tables, &count, &err), &err);
    assert_int_equal(count, TABLES);
    write_all(l, tables, count, NULL, sums[0], &bytes[0], shapes[0]);
    db.name = (char *)(uintptr_t)s->source;
    must(sqlserver_readers_start(&db, tables, sums[1], count, SIZE_MAX, &readers, &err), &err);
    assert_non_null(readers);
    write_all(l, tables, count, readers, sums[1], &bytes[1], shapes[1]);
    sqlserver_readers_end(readers);
    assert_int_equal(bytes[0].len, bytes[1].len);
    assert_true(bytes[0].len > 3 * 40 * 120000);
    assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].len);
    assert_memory_equal(shapes[0], shapes[1], HASH_LEN);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sums[0][i].rows, sums[1][i].rows);
        assert_int_equal(sums[0][i].max_id, sums[1][i].max_id);
    }
    /* One that is given up in its midst ends all the same. */
    must(sqlserver_readers_start(&db, tables, sums[1], count, 0, &readers, &err), &err);
    sqlserver_readers_end(readers);
    for (size_t i = 0; i < count; i++)
        sqlserver_table_release(&tables[i]);
    free(tables);
    sqlserver_schema_free(schema);
    sqlserver_link_close(l);
    buffer_release(&bytes[0]);
    buffer_release(&bytes[1]);
}

static void readers__fail_when_their_table_is_gone(void **state)
{
    const struct scene *s = *state;
    struct sqlserver_sum sums[4] = {{0}};
    struct buffer bytes = BUFFER_INIT(STREAM_MAX);
    struct sqlserver_schema *schema = NULL;
    struct sqlserver_readers *readers = NULL;
    struct sqlserver_table *tables = NULL;
    struct sqlserver_writer *w = NULL;
    struct sqlserver_link *l;
    struct error err = ERROR_INIT;
    enum error_kind rc = OK;
    size_t count = 0;

    fill(s->source, 4);
    l = open_link(s->source);
    must(sqlserver_schema_read(ask, l, &schema, &err), &err);
    must(sqlserver_schema_tables(schema, &tables, &count, &err), &err);
    run(l, "DROP TABLE [dbo].[t2]");
    db.name = (char *)(uintptr_t)s->source;
    must(sqlserver_writer_new(gather, &bytes, &w, &err), &err);
    must(sqlserver_readers_start(&db, tables, sums, count, SIZE_MAX, &readers, &err), &err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = sqlserver_readers_take(readers, i, w, &err);
    assert_int_equal(rc, ERR_REMOTE);
    assert_non_null(strstr(err.text, "reading table dbo.t2"));
    error_clear(&err);
    sqlserver_readers_end(readers);
    sqlserver_writer_free(w);
    buffer_release(&bytes);
    for (size_t i = 0; i < count; i++)
        sqlserver_table_release(&tables[i]);
    free(tables);
    sqlserver_schema_free(schema);
    sqlserver_link_close(l);
}

static void view__that_was_lost_is_seen(void **state)
{
    const struct scene *s = *state;
    enum sqlserver_view_kind kind = SQLSERVER_VIEW_SNAPSHOT;
    struct text_list remark = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct sqlserver_link *l;
    int64_t moment = 0;

    fill(s->source, 1);
    l = open_link(s->source);
    must(sqlserver_view_open(l, &kind, &moment, &remark, &err), &err);
    must(sqlserver_view_check(l, &err), &err);
    run(l, "ROLLBACK TRANSACTION");
    assert_int_equal(sqlserver_view_check(l, &err), ERR_REMOTE);
    error_clear(&err);
    sqlserver_link_close(l);
    text_list_release(&remark);
}

static void identity_of(struct database *d, char *out, size_t room)
{
    struct database_info info = DATABASE_INFO_INIT;
    struct error err = ERROR_INIT;

    must(database_probe(d, &info, &err), &err);
    assert_non_null(info.identity);
    snprintf(out, room, "%s", info.identity);
    database_info_release(&info);
}

static void kept__another_database_under_that_name_is_left_alone(void **state)
{
    const struct scene *s = *state;
    struct error err = ERROR_INIT;
    struct shop shop;
    struct shop kept;
    char recorded[128];
    char other[128];

    on_master("CREATE DATABASE [%s]", s->copy, true);
    shop_open(&kept, s->copy);
    identity_of(kept.db, recorded, sizeof recorded);
    shop_close(&kept);
    on_master("DROP DATABASE [%s]", s->copy, true);
    on_master("CREATE DATABASE [%s]", s->copy, true); /* somebody else's */
    shop_open(&kept, s->copy);
    identity_of(kept.db, other, sizeof other);
    shop_close(&kept);
    assert_string_not_equal(recorded, other);
    shop_open(&shop, s->source);
    assert_int_equal(database_kept_drop(shop.db, s->copy, recorded, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "not the one that nopsnap kept"));
    error_clear(&err);
    sqlserver_link_close(open_link(s->copy)); /* it is still there */
    assert_int_equal(database_kept_drop(shop.db, s->source, recorded, &err), ERR_REFUSED);
    error_clear(&err);
    must(database_kept_drop(shop.db, s->copy, other, &err), &err);
    must(database_kept_drop(shop.db, s->copy, other, &err), &err); /* absent is fine */
    shop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_types__come_back_to_the_byte, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(schema__keys_and_modules_come_back, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(extremes__come_back_to_the_byte, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(staging__xml_comes_back, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(staging__variants_come_back, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(in_place__keeps_the_recovery_model, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(staging__clr_types_come_back, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(trap__names_of_any_letters_are_bulk_loaded, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(trap__columns_that_are_not_sent_move_no_others, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(trap__a_null_where_none_may_be_ends_the_load_alone, scene_setup,
                                        scene_teardown),
        cmocka_unit_test(trap__texts_are_utf8_whatever_the_locale),
        cmocka_unit_test(trap__long_texts_are_not_cut),
        cmocka_unit_test_setup_teardown(trap__text_of_another_code_page_comes_back, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(large__a_value_of_100_megabytes_comes_in_pieces, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(readers__give_the_bytes_of_one_connection, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(readers__fail_when_their_table_is_gone, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(view__that_was_lost_is_seen, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(own_sessions__of_another_shop_are_left_alone, scene_setup, scene_teardown),
        cmocka_unit_test_setup_teardown(kept__another_database_under_that_name_is_left_alone, scene_setup,
                                        scene_teardown),
    };
    const char *connection = getenv("NOPSNAP_TEST_SQLSERVER");
    struct error err = ERROR_INIT;
    int failed;

    if (!connection || !*connection) {
        puts("skipped: NOPSNAP_TEST_SQLSERVER names no server");
        return SKIPPED;
    }
    if (database_target_parse("sqlserver", connection, &target, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    db = (struct database){.ops = &ops, .target = &target, .name = target.name};
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    text_list_release(&db.notes);
    database_target_release(&target);
    return failed;
}
