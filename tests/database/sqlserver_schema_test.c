/* A SQL Server schema: catalog rows in, T-SQL in its order out. The rows are what the documented catalog views give. */
#include "test_support.h"

#include "sqlserver_schema_internal.h"

/* ---- a catalog ---- */

/* Answers a query by its name with rows of text: "column|column\nvalue|value\n"; "~" is NULL. */
struct answer {
    const char *name;
    const char *rows;
};

struct catalog {
    const struct answer *answers;
    struct text_list asked;
};

enum { COLUMNS_MAX = 48 };

static size_t split(char *line, const char **cells)
{
    size_t n = 0;

    for (char *at = line; at;) {
        char *end = strchr(at, '|');

        if (end)
            *end++ = '\0';
        assert_true(n < COLUMNS_MAX);
        cells[n++] = at;
        at = end;
    }
    return n;
}

static enum error_kind answer_rows(const char *rows, database_row_fn *row, void *arg, struct error *err)
{
    char *copy = strdup(rows);
    const char *names[COLUMNS_MAX] = {NULL};
    size_t lengths[COLUMNS_MAX];
    size_t columns = 0;
    char *save = NULL;
    enum error_kind rc = OK;

    for (char *line = strtok_r(copy, "\n", &save); !rc && line; line = strtok_r(NULL, "\n", &save)) {
        const char *cells[COLUMNS_MAX] = {NULL};
        struct database_row r = {.names = names, .values = cells, .lengths = lengths};

        if (!columns) {
            columns = split(line, names);
            continue;
        }
        assert_int_equal(split(line, cells), columns);
        for (size_t i = 0; i < columns; i++) {
            if (cells[i] && strcmp(cells[i], "~") == 0)
                cells[i] = NULL;
            lengths[i] = cells[i] ? strlen(cells[i]) : 0;
        }
        r.columns = (int)columns;
        rc = row(arg, &r, err);
    }
    free(copy);
    return rc;
}

static enum error_kind ask(void *arg, const char *sql, database_row_fn *row, void *row_arg, struct error *err)
{
    struct catalog *c = arg;
    const char *begin = strstr(sql, "/* nopsnap: ") + strlen("/* nopsnap: ");
    size_t len = (size_t)(strstr(begin, " */") - begin);

    assert_null(strpbrk(sql, "{}"));
    assert_int_equal(text_list_add(&c->asked, sql, err), OK);
    for (const struct answer *a = c->answers; a->name; a++)
        if (strlen(a->name) == len && strncmp(a->name, begin, len) == 0)
            return answer_rows(a->rows, row, row_arg, err);
    return OK;
}

static const char database_row_text[] =
    "collation_name|compatibility_level|recovery_model_desc|is_read_committed_snapshot_on|snapshot_isolation_state|code_page\n"
    "Latin1_General_CI_AS|150|FULL|1|1|1252\n";

static const char columns_header[] =
    "object_id|column_id|name|type_name|type_schema|type_is_user_defined|base_name|max_length|precision|scale|collation_name|"
    "code_page|is_nullable|is_identity|seed_value|increment_value|last_value|computed|is_persisted|is_rowguidcol\n";

#define VIEWS                                                                                                             \
    "view_name|column_name\ntables|name\nsequences|last_used_value\nsql_expression_dependencies|x\nsynonyms|name\n"       \
    "xml_schema_collections|x\ntrigger_events|object_id\ndata_spaces|name\nextended_properties|class\ntable_types|name\n" \
    "database_permissions|class\n"

struct scene {
    struct catalog catalog;
    struct sqlserver_schema *schema;
    struct sqlserver_script script;
};

static void open_scene(struct scene *s, const struct answer *answers)
{
    struct error err = ERROR_INIT;

    *s = (struct scene){.catalog = {.answers = answers}};
    if (sqlserver_schema_read(ask, &s->catalog, &s->schema, &err) != OK ||
        sqlserver_schema_script(s->schema, &s->script, &err) != OK)
        fail_msg("%s", err.text);
}

static void close_scene(struct scene *s)
{
    text_list_release(&s->catalog.asked);
    sqlserver_script_release(&s->script);
    sqlserver_schema_free(s->schema);
}

/* Where a statement stands; fails if it is not there. */
static size_t place_of(const struct scene *s, const char *sql)
{
    for (size_t i = 0; i < s->script.count; i++)
        if (strcmp(s->script.items[i].sql, sql) == 0)
            return i;
    for (size_t i = 0; i < s->script.count; i++)
        print_message("%s\n", s->script.items[i].sql);
    fail_msg("missing: %s", sql);
    return 0;
}

/* ---- a shop of two tables ---- */

static const char shop_columns[] =
    "10|1|Id|int|sys|0|int|4|10|0|~|~|0|1|1|1|7|~|~|0\n"
    "10|2|Name|nvarchar|sys|0|nvarchar|800|0|0|Latin1_General_CI_AS|1252|0|0|~|~|~|~|~|0\n"
    "10|3|Price|decimal|sys|0|decimal|9|18|4|~|~|1|0|~|~|~|~|~|0\n"
    "10|4|Double|decimal|sys|0|decimal|9|19|4|~|~|1|0|~|~|~|([Price]*(2))|1|0\n"
    "10|5|Text|varchar|sys|0|varchar|-1|0|0|Greek_CI_AS|1253|1|0|~|~|~|~|~|0\n"
    "10|6|Version|timestamp|sys|0|timestamp|8|0|0|~|~|0|0|~|~|~|~|~|0\n"
    "20|1|Id|bigint|sys|0|bigint|8|19|0|~|~|0|1|5|-1|~|~|~|0\n"
    "20|2|ProductId|int|sys|0|int|4|10|0|~|~|1|0|~|~|~|~|~|0\n"
    "20|3|At|datetime2|sys|0|datetime2|7|22|3|~|~|0|0|~|~|~|~|~|0\n"
    "20|4|Odd]name|Phone|dbo|1|varchar|20|0|0|Latin1_General_CI_AS|1252|1|0|~|~|~|~|~|0\n";

static char shop_columns_all[4096];

static const struct answer shop[] = {
    {"catalog", VIEWS},
    {"database", database_row_text},
    {"tables", "object_id|schema_name|name|uses_ansi_nulls\n20|dbo|OrderNote|1\n10|dbo|Product|1\n"},
    {"columns", shop_columns_all},
    {"alias types",
     "schema_name|name|type_name|type_is_user_defined|max_length|is_nullable\ndbo|Phone|varchar|0|20|1\n"},
    {"defaults",
     "object_id|parent|parent_column_id|name|definition\n31|10|3|DF_Product_Price|((0))\n32|20|3|~|(getutcdate())\n"},
    {"checks",
     "object_id|parent|name|definition|is_disabled|is_not_trusted|is_not_for_replication\n"
     "41|10|CK_Price|([Price]>=(0))|0|1|0\n42|10|CK_Name|([Name]<>N'')|1|1|0\n43|10|CK_Fine|([Id]>(0))|0|0|0\n"},
    {"indexes",
     "object_id|index_id|name|type|is_unique|is_primary_key|is_unique_constraint|ignore_dup_key|fill_factor|is_padded|"
     "is_disabled|is_hypothetical|allow_row_locks|allow_page_locks|has_filter|filter_definition|schema_name|table_name|table_type\n"
     "10|1|PK_Product|1|1|1|0|0|0|0|0|0|1|1|0|~|dbo|Product|U \n"
     "10|2|IX_Name|2|0|0|0|0|80|1|1|0|1|0|1|([Price]>(1))|dbo|Product|U \n"
     "10|3|UQ_Name|2|1|0|1|0|0|0|0|0|1|1|0|~|dbo|Product|U \n"
     "20|0|~|0|0|0|0|0|0|0|0|0|1|1|0|~|dbo|OrderNote|U \n"
     "20|2|PK_Note|2|1|1|0|0|0|0|0|0|1|1|0|~|dbo|OrderNote|U \n"
     "50|1|IX_View|1|1|0|0|0|0|0|0|0|1|1|0|~|dbo|v_b|V \n"},
    {"index columns",
     "object_id|index_id|name|key_ordinal|is_descending_key|is_included_column\n"
     "10|1|Id|1|0|0\n10|2|Name|1|1|0\n10|2|Price|0|0|1\n10|3|Name|1|0|0\n20|2|Id|1|0|0\n50|1|Id|1|0|0\n"},
    {"foreign keys",
     "object_id|parent|name|referenced_schema|referenced_name|on_delete|on_update|is_disabled|is_not_trusted|is_not_for_replication\n"
     "61|20|FK_a|dbo|Product|CASCADE|NO_ACTION|0|0|0\n62|20|FK_b|dbo|Product|SET_NULL|SET_DEFAULT|1|1|1\n"},
    {"foreign key columns", "object_id|name|referenced_name\n61|ProductId|Id\n62|ProductId|Id\n"},
    {"modules",
     "object_id|type|schema_name|name|definition|uses_ansi_nulls|uses_quoted_identifier|is_schema_bound|parent_schema|parent_name|is_disabled\n"
     "50|V |dbo|v_b|CREATE VIEW v_b WITH SCHEMABINDING AS SELECT Id FROM dbo.v_z|1|1|1|~|~|~\n"
     "51|V |dbo|v_z|/* old */ create view [dbo].[v_old] AS SELECT Id FROM dbo.Product|0|0|0|~|~|~\n"
     "52|TR|dbo|t|CREATE TRIGGER dbo.t ON dbo.Product AFTER INSERT AS PRINT 1|1|1|0|dbo|Product|1\n"
     "53|FN|dbo|f|CREATE FUNCTION dbo.f() RETURNS int AS BEGIN RETURN 1 END|1|1|0|~|~|~\n"},
    {"dependencies", "object_id|referenced\n50|51\n41|53\n51|10\n"},
    {"trigger order", "schema_name|name|type_desc|is_first\ndbo|t|INSERT|1\n"},
    {"synonyms", "schema_name|name|base_object_name\ndbo|s|[other].[dbo].[x]\n"},
    {"schemas", "name|owner_name\nshop|dbo\n"},
    {"extended properties",
     "class|name|value|base_type|schema_name|object_name|type|parent_name|parent_type|minor_name|minor_id\n"
     "1|MS_Description|it's|nvarchar|dbo|Product|U |~|~|Name|2\n0|v|3|int|~|~|~|~|~|~|0\n"},
    {"permissions", "class|state|permission_name|grantee_name|schema_name|object_name|column_name\n"
                    "1|W|SELECT|reader|dbo|Product|Name\n3|D|EXECUTE|reader|dbo|~|~\n"},
    {NULL, NULL},
};

static int build_columns(void **state)
{
    (void)state;
    snprintf(shop_columns_all, sizeof shop_columns_all, "%s%s", columns_header, shop_columns);
    return 0;
}

static const char create_product[] = "CREATE TABLE [dbo].[Product] (\n"
                                     "    [Id] int IDENTITY(1, 1) NOT NULL,\n"
                                     "    [Name] nvarchar(400) COLLATE Latin1_General_CI_AS NOT NULL,\n"
                                     "    [Price] decimal(18, 4) NULL,\n"
                                     "    [Double] AS ([Price]*(2)) PERSISTED,\n"
                                     "    [Text] varchar(max) COLLATE Greek_CI_AS NULL,\n"
                                     "    [Version] rowversion NOT NULL\n)";

static const char create_index[] =
    "CREATE NONCLUSTERED INDEX [IX_Name] ON [dbo].[Product] ([Name] DESC) INCLUDE ([Price]) WHERE ([Price]>(1)) "
    "WITH (PAD_INDEX = ON, FILLFACTOR = 80, ALLOW_PAGE_LOCKS = OFF)";

static const char create_key_a[] =
    "ALTER TABLE [dbo].[OrderNote] ADD CONSTRAINT [FK_a] FOREIGN KEY ([ProductId]) REFERENCES "
    "[dbo].[Product] ([Id]) ON DELETE CASCADE";

static const char create_key_b[] =
    "ALTER TABLE [dbo].[OrderNote] WITH NOCHECK ADD CONSTRAINT [FK_b] FOREIGN KEY ([ProductId]) REFERENCES "
    "[dbo].[Product] ([Id]) ON DELETE SET NULL ON UPDATE SET DEFAULT NOT FOR REPLICATION";

static void script__has_every_part_in_the_order_in_which_it_can_be_made(void **state)
{
    struct scene s;
    static const char *const order[] = {
        "IF SCHEMA_ID(N'shop') IS NULL EXEC (N'CREATE SCHEMA [shop]')",
        "CREATE TYPE [dbo].[Phone] FROM varchar(20) NULL",
        "CREATE FUNCTION dbo.f() RETURNS int AS BEGIN RETURN 1 END",
        create_product,
        "ALTER TABLE [dbo].[Product] ADD CONSTRAINT [PK_Product] PRIMARY KEY CLUSTERED ([Id])",
        create_index,
        "ALTER TABLE [dbo].[Product] ADD CONSTRAINT [UQ_Name] UNIQUE NONCLUSTERED ([Name])",
        "ALTER TABLE [dbo].[OrderNote] ADD CONSTRAINT [PK_Note] PRIMARY KEY NONCLUSTERED ([Id])",
        "ALTER TABLE [dbo].[Product] ADD CONSTRAINT [DF_Product_Price] DEFAULT ((0)) FOR [Price]",
        "ALTER TABLE [dbo].[OrderNote] ADD DEFAULT (getutcdate()) FOR [At]",
        "ALTER TABLE [dbo].[Product] WITH NOCHECK ADD CONSTRAINT [CK_Price] CHECK ([Price]>=(0))",
        "ALTER TABLE [dbo].[Product] WITH NOCHECK ADD CONSTRAINT [CK_Name] CHECK ([Name]<>N'')",
        "ALTER TABLE [dbo].[Product] NOCHECK CONSTRAINT [CK_Name]",
        "ALTER TABLE [dbo].[Product] ADD CONSTRAINT [CK_Fine] CHECK ([Id]>(0))",
        create_key_a,
        create_key_b,
        "ALTER TABLE [dbo].[OrderNote] NOCHECK CONSTRAINT [FK_b]",
        "/* old */ create view [dbo].[v_z] AS SELECT Id FROM dbo.Product",
        "CREATE VIEW [dbo].[v_b] WITH SCHEMABINDING AS SELECT Id FROM dbo.v_z",
        "CREATE TRIGGER dbo.t ON dbo.Product AFTER INSERT AS PRINT 1",
        "CREATE UNIQUE CLUSTERED INDEX [IX_View] ON [dbo].[v_b] ([Id])",
        "DISABLE TRIGGER [dbo].[t] ON [dbo].[Product]",
    };

    (void)state;
    open_scene(&s, shop);
    for (size_t i = 1; i < sizeof order / sizeof order[0]; i++)
        if (place_of(&s, order[i - 1]) >= place_of(&s, order[i]))
            fail_msg("%s\nis not before\n%s", order[i - 1], order[i]);
    place_of(&s, "ALTER INDEX [IX_Name] ON [dbo].[Product] DISABLE");
    place_of(&s, "CREATE SYNONYM [dbo].[s] FOR [other].[dbo].[x]");
    place_of(&s, "EXEC sys.sp_settriggerorder @triggername = N'[dbo].[t]', @order = N'First', @stmttype = N'INSERT'");
    place_of(&s, "GRANT SELECT ON OBJECT::[dbo].[Product] ([Name]) TO [reader] WITH GRANT OPTION");
    place_of(&s, "DENY EXECUTE ON SCHEMA::[dbo] TO [reader]");
    place_of(
        &s,
        "DECLARE @value nvarchar(3750); SET @value = CAST(N'it''s' AS nvarchar(3750)); EXEC sys.sp_addextendedproperty "
        "@name = N'MS_Description', @value = @value, @level0type = N'SCHEMA', @level0name = N'dbo', "
        "@level1type = N'TABLE', @level1name = N'Product', @level2type = N'COLUMN', @level2name = N'Name'");
    for (size_t i = 1; i < s.script.count; i++)
        assert_true(s.script.items[i - 1].phase <= s.script.items[i].phase);
    close_scene(&s);
}

static void script__modules_keep_their_own_settings(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, shop);
    assert_int_equal(
        s.script.items[place_of(&s, "/* old */ create view [dbo].[v_z] AS SELECT Id FROM dbo.Product")].flags,
        SQLSERVER_MODULE);
    assert_int_equal(s.script.items[place_of(&s, "CREATE TRIGGER dbo.t ON dbo.Product AFTER INSERT AS PRINT 1")].flags,
                     SQLSERVER_MODULE | SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER);
    close_scene(&s);
}

static void tables__leave_out_what_cannot_be_written_and_know_their_order(void **state)
{
    struct scene s;
    struct sqlserver_table *tables = NULL;
    size_t count = 0;
    struct error err = ERROR_INIT;

    (void)state;
    open_scene(&s, shop);
    assert_int_equal(sqlserver_schema_tables(s.schema, &tables, &count, &err), OK);
    assert_int_equal(count, 2);
    assert_string_equal(tables[0].name, "OrderNote");
    assert_true(tables[0].keyed);
    assert_int_equal(tables[0].columns[0].order, 1);
    assert_string_equal(tables[0].columns[3].type, "[dbo].[Phone]");
    assert_int_equal(tables[0].columns[3].kind, SQLSERVER_VARCHAR);
    assert_string_equal(tables[1].name, "Product");
    assert_int_equal(tables[1].count, 4);
    assert_true(tables[1].columns[0].identity);
    assert_string_equal(tables[1].columns[2].type, "decimal(18, 4)");
    assert_string_equal(tables[1].columns[3].name, "Text");
    assert_int_equal(tables[1].columns[3].code_page, 1253);
    for (size_t i = 0; i < count; i++)
        sqlserver_table_release(&tables[i]);
    free(tables);
    close_scene(&s);
}

static void positions__follow_whether_there_are_rows(void **state)
{
    struct sqlserver_table tables[] = {{.schema = (char[]){"dbo"}, .name = (char[]){"Product"}},
                                       {.schema = (char[]){"dbo"}, .name = (char[]){"OrderNote"}}};
    static const struct {
        uint64_t rows[2];
        const char *sql;
    } cases[] = {
        {{3, 0}, "DBCC CHECKIDENT ('[dbo].[Product]', RESEED, 7)"},
        {{0, 0},
         "DECLARE @sql nvarchar(1000); SET @sql = N'DBCC CHECKIDENT (''[dbo].[Product]'', RESEED, ' + CAST(CAST(7 AS "
         "decimal(38, 0)) + CAST(1 AS decimal(38, 0)) AS nvarchar(40)) + N')'; EXEC (@sql)"},
    };
    struct scene s;

    (void)state;
    open_scene(&s, shop);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sqlserver_script out = SQLSERVER_SCRIPT_INIT;
        struct sqlserver_sum sums[2] = {{.rows = cases[i].rows[0]}, {.rows = cases[i].rows[1]}};
        struct error err = ERROR_INIT;

        assert_int_equal(sqlserver_script_positions(s.schema, tables, sums, 2, &out, &err), OK);
        assert_int_equal(out.count, 1); /* the second was never used */
        assert_string_equal(out.items[0].sql, cases[i].sql);
        sqlserver_script_release(&out);
    }
    close_scene(&s);
}

static void check__refuses_and_lists_before_anything_is_written(void **state)
{
    static const struct answer strange[] = {
        {"database", "collation_name|is_encrypted\nLatin1_General_CI_AS|1\n"},
        {"tables",
         "object_id|schema_name|name|is_memory_optimized|is_external\n10|dbo|Fast|1|0\n20|dbo|Far|0|1\n30|dbo|Plain|0|0\n"},
        {"columns",
         "object_id|column_id|name|type_name|type_is_user_defined|encryption_type|is_filestream|is_assembly_type\n"
         "30|1|Card|int|0|1|0|0\n30|2|File|int|0|~|1|0\n30|3|Stamp|timestamp|0|~|0|0\n30|4|Own|Point|1|~|0|1\n"},
        {"modules", "object_id|type|schema_name|name|definition\n1|P |dbo|secret|~\n"},
        {"others", "kind|schema_name|name\nSERVICE_QUEUE|dbo|q\nEDGE_CONSTRAINT|dbo|e\n"},
        {"principals", "name|type|authentication_type\napp|A|0\n"},
        {NULL, NULL},
    };
    struct scene s = {.catalog = {.answers = strange}};
    struct text_list refused = TEXT_LIST_INIT;
    struct text_list lost = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(sqlserver_schema_read(ask, &s.catalog, &s.schema, &err), OK);
    assert_int_equal(sqlserver_schema_check(s.schema, &refused, &lost, &err), OK);
    assert_int_equal(refused.count, 7);
    assert_string_equal(refused.items[0], "table dbo.Fast is memory-optimized");
    assert_string_equal(refused.items[2], "column Card of table dbo.Plain is encrypted by its clients");
    assert_string_equal(refused.items[5], "the text of dbo.secret is encrypted or hidden from this login");
    assert_int_equal(lost.count, 4);
    assert_string_equal(lost.items[1], "SERVICE_QUEUE dbo.q");
    text_list_release(&refused);
    text_list_release(&lost);
    close_scene(&s);
}

static void queries__ask_only_for_what_the_catalog_has(void **state)
{
    static const struct answer old[] = {
        {"catalog", "view_name|column_name\ntables|name\n"}, {"database", database_row_text}, {NULL, NULL}};
    static const struct answer new[] = {
        {"catalog",
         "view_name|column_name\nmasked_columns|object_id\nColumns|is_hidden\nperiods|name\nsequences|name\nsequences|last_used_value\n"},
        {"database", database_row_text},
        {NULL, NULL}};
    struct scene s;
    bool masked = false;

    (void)state;
    open_scene(&s, old);
    for (size_t i = 0; i < s.catalog.asked.count; i++) {
        assert_null(strstr(s.catalog.asked.items[i], "masked_columns"));
        assert_null(strstr(s.catalog.asked.items[i], "sys.sequences"));
    }
    close_scene(&s);
    open_scene(&s, new);
    for (size_t i = 0; i < s.catalog.asked.count; i++)
        masked = masked || (strstr(s.catalog.asked.items[i], "LEFT JOIN sys.masked_columns") &&
                            strstr(s.catalog.asked.items[i], "c.is_hidden"));
    assert_true(masked);
    close_scene(&s);
}

static void module_name__is_found_in_every_spelling(void **state)
{
    static const struct {
        const char *text;
        const char *name;
    } cases[] = {
        {"CREATE VIEW v AS SELECT 1", "v"},
        {"-- CREATE VIEW x\n/* /* nested */ create view y */ CrEaTe\tOr AlTeR  PROC [a b].[c]]d] AS", "[a b].[c]]d]"},
        {"create procedure \"a\" . \"b\"\n@x int as", "\"a\" . \"b\""},
        {"CREATE FUNCTION dbo.f(@x int)", "dbo.f"},
        {"CREATE TRIGGER\n\n[t]ON x", "[t]"},
        {"CREATE TABLE t", NULL},
        {"CREATE VIEW", NULL},
        {"CREATE VIEW [open", NULL},
        {"/* open", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t begin = 0;
        size_t end = 0;
        bool found = sqlserver_module_name(cases[i].text, &begin, &end);

        if (found != (cases[i].name != NULL))
            fail_msg("%s", cases[i].text);
        if (found) {
            assert_int_equal(end - begin, strlen(cases[i].name));
            assert_memory_equal(cases[i].text + begin, cases[i].name, end - begin);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script__has_every_part_in_the_order_in_which_it_can_be_made),
        cmocka_unit_test(script__modules_keep_their_own_settings),
        cmocka_unit_test(tables__leave_out_what_cannot_be_written_and_know_their_order),
        cmocka_unit_test(positions__follow_whether_there_are_rows),
        cmocka_unit_test(check__refuses_and_lists_before_anything_is_written),
        cmocka_unit_test(queries__ask_only_for_what_the_catalog_has),
        cmocka_unit_test(module_name__is_found_in_every_spelling),
    };

    return cmocka_run_group_tests(tests, build_columns, NULL);
}
