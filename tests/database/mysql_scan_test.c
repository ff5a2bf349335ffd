/* Dumps as streams, without a server: counting, cutting, events; and grants. */
#include "test_support.h"

#include "mysql_internal.h"

struct collected {
    struct buffer bytes;
};

static enum error_kind collect(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct collected *c = arg;

    return buffer_append(&c->bytes, bytes, len, err);
}

/* Feed `text` in pieces of `piece` bytes. */
static char *scan(const char *text, size_t piece, struct database_counts *counts)
{
    struct error err = ERROR_INIT;
    struct collected c = {BUFFER_INIT(64 * 1024 * 1024)};
    struct mysql_scan *s = NULL;
    size_t len = strlen(text);

    assert_int_equal(mysql_scan_new(collect, &c, &s, &err), OK);
    for (size_t at = 0; at < len; at += piece)
        if (mysql_scan_feed(s, text + at, len - at < piece ? len - at : piece, &err))
            fail_msg("%s", err.text);
    if (mysql_scan_end(s, &err))
        fail_msg("%s", err.text);
    mysql_scan_counts(s, counts);
    mysql_scan_free(s);
    return buffer_detach(&c.bytes);
}

static const char small[] =
    "/*!40101 SET NAMES utf8mb4 */;\n"
    "-- a comment; with INSERT INTO `t` VALUES (1);\n"
    "DROP TABLE IF EXISTS `t`;\n"
    "CREATE TABLE `t` (\n  `a` varchar(3) DEFAULT 'x;y',\n  `Id` int(11) NOT NULL COMMENT 'it\\'s; `',\n"
    "  PRIMARY KEY (`Id`)\n) ENGINE=InnoDB;\n\n"
    "/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n"
    "INSERT INTO `t` VALUES\n('a),(9',5),\n('it\\'s ('';',-7),\n(NULL,0x00FF);\n"
    "/*!40000 ALTER TABLE `t` ENABLE KEYS */;\n"
    "CREATE TABLE `e` (\n  `id` bigint(20) NOT NULL\n) ENGINE=InnoDB;\n"
    "CREATE TABLE `w` (\n  `x` int(11),\n  `Id` int(11) NOT NULL,\n  `y` int(11)\n);\n"
    "INSERT INTO `w` (`y`, `Id`, `odd `` VALUES `) VALUES (1,100,'a'),\n(2,30,'b');\n"
    "DELIMITER ;;\n"
    "/*!50003 CREATE*/ /*!50003 TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN\n"
    "INSERT INTO `t` VALUES (1,2);\n-- don't\nEND */;;\n"
    "DELIMITER ;\n"
    "/*!50001 CREATE VIEW `v` AS select 'INSERT INTO `t` VALUES (1)' AS `c` */;\n"
    "/* a comment that isn't closed by ; */\n# another one's\n"
    "INSERT INTO `t` VALUES\n('z',8);\n";

static void mysql_scan__counts_rows_and_ids_through_quotes_comments_and_bodies(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 70; piece++) {
        struct database_counts counts = {NULL, 0};
        char *out = scan(small, piece, &counts);
        const struct database_table *t = database_counts_find(&counts, "t");

        assert_int_equal(counts.count, 3);
        assert_int_equal(t->rows, 4);
        assert_int_equal(t->max_id, 8);
        assert_int_equal(database_counts_find(&counts, "e")->rows, 0);
        assert_int_equal(database_counts_find(&counts, "e")->max_id, -1);
        assert_int_equal(database_counts_find(&counts, "w")->rows, 2);
        assert_int_equal(database_counts_find(&counts, "w")->max_id, 100);
        free(out);
        database_counts_release(&counts);
    }
}

static void mysql_scan__few_rows_pass_unchanged(void **state)
{
    struct database_counts counts = {NULL, 0};
    char *out = NULL;

    (void)state;
    for (size_t piece = 1; piece < 5000; piece += 613) {
        out = scan(small, piece, &counts);
        assert_string_equal(out, small);
        free(out);
        database_counts_release(&counts);
    }
}

static char *made_dump(size_t rows, size_t per_statement, size_t skip)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    size_t in_statement = 0;

    assert_non_null(f);
    fprintf(f, "CREATE TABLE `t` (\n  `Id` int(11) NOT NULL,\n  `v` text\n);\n");
    for (size_t i = 0; i < rows; i++) {
        if (i == skip)
            continue;
        fprintf(f, "%s(%zu,'row number %zu of the table, with some text in it')",
                in_statement ? ",\n" : "INSERT INTO `t` VALUES\n", i, i);
        if (++in_statement == per_statement) {
            fprintf(f, ";\n");
            in_statement = 0;
        }
    }
    fprintf(f, "%sUNLOCK TABLES;\n", in_statement ? ";\n" : "");
    fclose(f);
    return text;
}

/* Length of the common end of two texts. */
static size_t common_end(const char *a, const char *b)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);
    size_t n = 0;

    while (n < la && n < lb && a[la - 1 - n] == b[lb - 1 - n])
        n++;
    return n;
}

static void mysql_scan__statements_end_where_the_rows_say_so(void **state)
{
    struct database_counts counts = {NULL, 0};
    char *in[3] = {made_dump(20000, 700, SIZE_MAX), made_dump(20000, 333, SIZE_MAX), made_dump(20000, 700, 5)};
    char *out[3];
    size_t statements = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        out[i] = scan(in[i], 4096, &counts);
        assert_int_equal(counts.tables[0].rows, i == 2 ? 19999 : 20000);
        assert_int_equal(counts.tables[0].max_id, 19999);
        database_counts_release(&counts);
    }
    assert_string_equal(out[0], out[1]);           /* how the tool cut does not show */
    assert_true(common_end(in[0], in[2]) < 50000); /* a missing row shifts all of the tool's cuts... */
    assert_true(common_end(out[0], out[2]) > strlen(out[0]) - 200 * 1024); /* ...and only the first of ours */
    for (const char *at = out[0]; (at = strstr(at, "INSERT INTO")) != NULL; at++)
        statements++;
    assert_in_range(statements, 8, 60); /* 1.2 MB in pieces of 64 KiB on average */
    for (size_t i = 0; i < 3; i++) {
        free(in[i]);
        free(out[i]);
    }
}

static void mysql_scan__a_dump_cut_short_is_an_error(void **state)
{
    static const char *const cut[] = {"INSERT INTO `t` VALUES\n('a", "INSERT INTO `t` VALUES\n(1),",
                                      "CREATE TABLE `t` (\n", "/*!40101 SET NAMES", "INSERT INTO `t"};

    (void)state;
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        struct error err = ERROR_INIT;
        struct collected c = {BUFFER_INIT(1024)};
        struct mysql_scan *s = NULL;

        assert_int_equal(mysql_scan_new(collect, &c, &s, &err), OK);
        assert_int_equal(mysql_scan_feed(s, cut[i], strlen(cut[i]), &err), OK);
        assert_int_equal(mysql_scan_end(s, &err), ERR_REMOTE);
        mysql_scan_free(s);
        buffer_release(&c.bytes);
    }
}

struct noted {
    int64_t ids[8];
    size_t count, fail_at;
};

static enum error_kind note_id(void *arg, int64_t id, struct error *err)
{
    struct noted *n = arg;

    if (n->fail_at && n->count + 1 == n->fail_at)
        return error_set(err, ERR_CANCELLED, 0, "enough");
    assert_true(n->count < 8);
    n->ids[n->count++] = id;
    return OK;
}

static void mysql_scan__hands_over_the_ids_of_one_table(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 70; piece++) {
        struct error err = ERROR_INIT;
        struct collected c = {BUFFER_INIT(1024 * 1024)};
        struct noted noted = {.count = 0};
        struct mysql_scan *s = NULL;
        size_t len = strlen(small);

        assert_int_equal(mysql_scan_new(collect, &c, &s, &err), OK);
        mysql_scan_ids(s, "T", note_id, &noted);
        for (size_t at = 0; at < len; at += piece)
            assert_int_equal(mysql_scan_feed(s, small + at, len - at < piece ? len - at : piece, &err), OK);
        assert_int_equal(mysql_scan_end(s, &err), OK);
        assert_string_equal((char *)c.bytes.data, small);
        assert_int_equal(noted.count, 3); /* 0x00FF is no number, and the trigger's row none of the table's */
        assert_int_equal(noted.ids[0], 5);
        assert_int_equal(noted.ids[1], -7);
        assert_int_equal(noted.ids[2], 8);
        mysql_scan_free(s);
        buffer_release(&c.bytes);
    }
}

static void mysql_scan__ends_where_an_id_is_refused(void **state)
{
    struct error err = ERROR_INIT;
    struct collected c = {BUFFER_INIT(1024 * 1024)};
    struct noted noted = {.fail_at = 2};
    struct mysql_scan *s = NULL;

    (void)state;
    assert_int_equal(mysql_scan_new(collect, &c, &s, &err), OK);
    mysql_scan_ids(s, "w", note_id, &noted);
    assert_int_equal(mysql_scan_feed(s, small, strlen(small), &err), ERR_CANCELLED);
    assert_int_equal(noted.count, 1);
    assert_int_equal(noted.ids[0], 100);
    mysql_scan_free(s);
    buffer_release(&c.bytes);
}

/* ---- events ---- */

static char *switch_events(const char *text, size_t piece, const struct text_list *enable, struct text_list *found)
{
    struct error err = ERROR_INIT;
    struct collected c = {BUFFER_INIT(1024 * 1024)};
    struct mysql_lines *e = NULL;
    size_t len = strlen(text);

    assert_int_equal(mysql_lines_new(enable, found, collect, &c, &e, &err), OK);
    for (size_t at = 0; at < len; at += piece)
        assert_int_equal(mysql_lines_feed(e, text + at, len - at < piece ? len - at : piece, &err), OK);
    assert_int_equal(mysql_lines_end(e, &err), OK);
    mysql_lines_free(e);
    return buffer_detach(&c.bytes);
}

#define EVENT(name, status)                                                         \
    "/*!50106 CREATE*/ /*!50117 DEFINER=`root`@`localhost`*/ /*!50106 EVENT `" name \
    "` ON SCHEDULE EVERY '1 ENABLE' DAY "                                           \
    "ON COMPLETION NOT PRESERVE " status                                            \
    " COMMENT 'ENABLE' DO begin\n select 'ON COMPLETION PRESERVE ENABLE';\nend */ ;;\n"

static void mysql_lines__come_out_disabled_and_are_named(void **state)
{
    static const char in[] = "x\n/*!50106 SET @save_time_zone= @@TIME_ZONE */ ;\n" EVENT("on``e", "ENABLE")
        EVENT("off", "DISABLE") EVENT("far", "DISABLE ON SLAVE") "end";
    static const char want[] = "x\n/*!50106 SET @save_time_zone= @@TIME_ZONE */ ;\n" EVENT("on``e", "DISABLE")
        EVENT("off", "DISABLE") EVENT("far", "DISABLE ON SLAVE") "end";

    (void)state;
    for (size_t piece = 1; piece < 400; piece++) {
        struct text_list found = TEXT_LIST_INIT;
        char *out = switch_events(in, piece, NULL, &found);

        assert_string_equal(out, want);
        assert_int_equal(found.count, 1);
        assert_string_equal(found.items[0], "on`e");
        text_list_release(&found);
        free(out);
    }
}

static void mysql_lines__held_back_ones_come_out_enabled(void **state)
{
    struct error err = ERROR_INIT;
    struct text_list enable = TEXT_LIST_INIT;
    char *out = NULL;

    (void)state;
    assert_int_equal(text_list_add(&enable, "b", &err), OK);
    out = switch_events(EVENT("a", "DISABLE") EVENT("b", "DISABLE"), 17, &enable, NULL);
    assert_string_equal(out, EVENT("a", "DISABLE") EVENT("b", "ENABLE"));
    free(out);
    text_list_release(&enable);
}

static void mysql_lines__the_name_of_the_dumped_database_is_taken_out(void **state)
{
    static const char in[] =
        "ALTER DATABASE `shop` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;\nx ALTER DATABASE `shop` CHARACTER\n"
        "ALTER DATABASE `a``b c` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;;\nALTER TABLE `shop` DISABLE KEYS;\n";
    static const char want[] =
        "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;\nx ALTER DATABASE `shop` CHARACTER\n"
        "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;;\nALTER TABLE `shop` DISABLE KEYS;\n";

    (void)state;
    for (size_t piece = 1; piece < 200; piece++) {
        char *out = switch_events(in, piece, NULL, NULL);

        assert_string_equal(out, want);
        free(out);
    }
}

/* ---- grants ---- */

static void mysql_grant_gives__knows_scopes_patterns_and_lists(void **state)
{
    static const struct {
        const char *grant, *schema, *privilege;
        bool gives;
    } cases[] = {
        {"GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", "any", "CREATE VIEW", true},
        {"GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", NULL, "SUPER", true},
        {"GRANT USAGE ON *.* TO `shop`@`%` IDENTIFIED BY PASSWORD '*ON'", "shop", "SELECT", false},
        {"GRANT ALL PRIVILEGES ON `shop`.* TO `shop`@`%`", "shop", "DROP", true},
        {"GRANT ALL PRIVILEGES ON `shop`.* TO `shop`@`%`", "shop_nopsnap_00000000", "DROP", false},
        {"GRANT ALL PRIVILEGES ON `shop\\_%`.* TO `shop`@`%`", "shop_nopsnap_00000000", "DROP", true},
        {"GRANT ALL PRIVILEGES ON `shop\\_%`.* TO `shop`@`%`", "shopXnopsnap", "DROP", false},
        {"GRANT ALL PRIVILEGES ON `shop_`.* TO `shop`@`%`", "shopX", "DROP", true},
        {"GRANT SELECT, CREATE VIEW, SHOW VIEW ON `shop`.* TO `shop`@`%`", "shop", "CREATE VIEW", true},
        {"GRANT SELECT, CREATE VIEW, SHOW VIEW ON `shop`.* TO `shop`@`%`", "shop", "CREATE", false},
        {"GRANT SELECT, CREATE VIEW, SHOW VIEW ON `shop`.* TO `shop`@`%`", "shop", "VIEW", false},
        {"GRANT ALL PRIVILEGES ON `shop`.`Order` TO `shop`@`%`", "shop", "SELECT", false},
        {"GRANT SELECT (`Id`) ON `shop`.`Order` TO `shop`@`%`", "shop", "SELECT", false},
        {"GRANT SET USER, PROCESS ON *.* TO `a`@`%`", NULL, "SET USER", true},
        {"GRANT ALL PRIVILEGES ON `shop`.* TO `shop`@`%`", NULL, "SUPER", false},
        {"GRANT `some_role` TO `shop`@`%`", "shop", "SELECT", false},
        {"GRANT PROXY ON ``@`%` TO `root`@`localhost` WITH GRANT OPTION", "shop", "SELECT", false},
        {"", "shop", "SELECT", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (mysql_grant_gives(cases[i].grant, cases[i].schema, cases[i].privilege) != cases[i].gives)
            fail_msg("%s: %s on %s", cases[i].grant, cases[i].privilege, cases[i].schema ? cases[i].schema : "all");
}

static void mysql_version_number__reads_what_servers_and_tools_say(void **state)
{
    (void)state;
    assert_int_equal(mysql_version_number("10.11.14-MariaDB-0+deb12u2"), 101114);
    assert_int_equal(mysql_version_number("8.0.38"), 80038);
    assert_int_equal(mysql_version_number("11.4"), 110400);
    assert_int_equal(mysql_version_number("5.7.44-log"), 50744);
    assert_int_equal(mysql_version_number("MariaDB"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mysql_scan__counts_rows_and_ids_through_quotes_comments_and_bodies),
        cmocka_unit_test(mysql_scan__few_rows_pass_unchanged),
        cmocka_unit_test(mysql_scan__statements_end_where_the_rows_say_so),
        cmocka_unit_test(mysql_scan__a_dump_cut_short_is_an_error),
        cmocka_unit_test(mysql_scan__hands_over_the_ids_of_one_table),
        cmocka_unit_test(mysql_scan__ends_where_an_id_is_refused),
        cmocka_unit_test(mysql_lines__come_out_disabled_and_are_named),
        cmocka_unit_test(mysql_lines__held_back_ones_come_out_enabled),
        cmocka_unit_test(mysql_lines__the_name_of_the_dumped_database_is_taken_out),
        cmocka_unit_test(mysql_grant_gives__knows_scopes_patterns_and_lists),
        cmocka_unit_test(mysql_version_number__reads_what_servers_and_tools_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
