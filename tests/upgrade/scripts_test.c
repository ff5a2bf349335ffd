/* The path between two versions, and the scripts on it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "test_support.h"
#include "upgrade_path.h"

/* ---- what texts and names say ---- */

static void expect_header(const char *text, size_t len, int from, int to)
{
    int f = 0;
    int t = 0;

    assert_int_equal(scripts_header(text, len, &f, &t), from != 0);
    if (from) {
        assert_int_equal(f, from);
        assert_int_equal(t, to);
    }
}

static void header__is_among_the_comments_before_the_first_statement(void **state)
{
    static const char *const told[] = {
        "--upgrade scripts from nopCommerce 4.10 to 4.20\n\ndeclare @x int",
        "\xef\xbb\xbf\r\n-- Upgrade scripts from nopCommerce 4.10 to nopCommerce 4.20",
        "--a copyright\n\n  --upgrade scripts from nopcommerce 4.10 to 4.20 (final)\nGO",
    };
    static const char *const untold[] = {
        "",
        "--upgrade scripts from nopCommerce 4.10 to the next version",
        "--upgrade scripts from nopCommerce 4.10.2 to 4.20",
        "--upgrade scripts from nopCommerce 14.10 to 4.20",
        "--upgrade scripts from nopCommerce 4.10 to 4.200",
        "-- 7Spikes upgrade scripts from nopCommerce 4.10 to 4.20",
        "SELECT 1\n--upgrade scripts from nopCommerce 4.10 to 4.20",
    };
    static const char wide[] = "\xff\xfe-\0-\0u\0p\0g\0r\0a\0d\0e\0 \0s\0c\0r\0i\0p\0t\0s\0 \0f\0r\0o\0m\0 \0n\0o\0p\0"
                               "C\0o\0m\0m\0e\0r\0c\0e\0 \0"
                               "4\0.\0"
                               "2\0"
                               "0\0 \0t\0o\0 \0"
                               "4\0.\0"
                               "3\0"
                               "0\0";

    (void)state;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        expect_header(told[i], strlen(told[i]), 410, 420);
    for (size_t i = 0; i < sizeof(untold) / sizeof(untold[0]); i++)
        expect_header(untold[i], strlen(untold[i]), 0, 0);
    expect_header(wide, sizeof(wide) - 1, 420, 430);
}

static void path__of_the_deepest_folder_that_names_a_step_counts(void **state)
{
    int from = 0;
    int to = 0;

    (void)state;
    assert_true(scripts_path_step("scripts 3.90-4.00/4.10-4.20 (final)/upgrade.sql", &from, &to));
    assert_int_equal(from * 1000 + to, 410420);
    assert_true(scripts_path_step("from 4.20 to 4.30/upgrade.sql", &from, &to));
    assert_int_equal(from * 1000 + to, 420430);
    assert_true(scripts_path_step("nopCommerce_4.20_4.10 - 4.20.zip/upgrade.sql", &from, &to));
    assert_int_equal(from * 1000 + to, 410420);
    assert_false(scripts_path_step("nopCommerce_4.20_UpgradeScripts.rar/upgrade.sql", &from, &to));
    assert_false(scripts_path_step("4.10/4.20/upgrade.sql", &from, &to));
    assert_false(scripts_path_step("4.10-the next version/upgrade.sql", &from, &to));
    assert_false(scripts_path_step("", &from, &to));
}

static void notes__are_all_but_the_steps_that_every_script_has(void **state)
{
    static const char readme[] =
        "\xef\xbb\xbfSteps:\r\n1. Backup your existing database\r\n\r\n\r\nVersion specific steps:\r\n"
        "7. Rename a file:  \r\n[\r\n]\r\n\r\nNotes:\r\n1. Pictures";
    static const char *const kept[] = {
        "Version specific steps:", "7. Rename a file:", "[", "]", "Notes:", "1. Pictures"};
    struct text_list notes = TEXT_LIST_INIT;
    struct buffer many = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(scripts_notes(readme, sizeof(readme) - 1, &notes, &err), OK);
    assert_int_equal(notes.count, sizeof(kept) / sizeof(kept[0]));
    for (size_t i = 0; i < notes.count; i++)
        assert_string_equal(notes.items[i], kept[i]);
    text_list_release(&notes);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buffer_append_text(&many, "a line\n", &err), OK);
    assert_int_equal(scripts_notes(many.data, many.len, &notes, &err), OK);
    assert_int_equal(notes.count, 41);
    text_list_release(&notes);
    assert_int_equal(scripts_notes("", 0, &notes, &err), OK);
    assert_int_equal(notes.count, 0);
    buffer_release(&many);
}

/* ---- the path ---- */

/* All four scripts, of which some can be taken out. */
static struct upgrade_script all[4] = {{.from = 390, .to = 400, .name = (char *)"a"},
                                       {.from = 400, .to = 410, .name = (char *)"b"},
                                       {.from = 410, .to = 420, .name = (char *)"c"},
                                       {.from = 420, .to = 430, .name = (char *)"d"}};

static struct path_question question(const char *from, const char *to, const struct upgrade_scripts *scripts)
{
    struct path_question q = {.to_count = 1, .scripts = scripts, .engine = DATABASE_SQLSERVER, .own_commands = true};
    struct error err = ERROR_INIT;

    assert_int_equal(site_version_parse(from, &q.from, &err), OK);
    assert_int_equal(site_version_parse(to, &q.to[0], &err), OK);
    return q;
}

/* The names of the scripts of all stages with a bar between two stages and + for a migration, or what is in the way. */
static void expect_path(const struct path_question *q, const char *expected)
{
    struct text_list problems = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct upgrade_path path;
    char found[1000] = "";

    assert_int_equal(path_plan(q, &path, &problems, &err), OK);
    for (size_t i = 0; i < problems.count; i++)
        (void)strncat(strncat(found, problems.items[i], 400), ";", 2);
    for (size_t i = 0; i < path.count && !problems.count; i++) {
        (void)strcat(found, i ? "|" : "");
        for (size_t k = 0; k < path.stages[i].script_count; k++)
            (void)strncat(found, path.stages[i].scripts[k]->name, 2);
        (void)strcat(found, path.stages[i].migrates ? "+" : "");
    }
    text_list_release(&problems);
    if (strstr(found, expected) == NULL || (!strchr(found, ' ') && strcmp(found, expected) != 0))
        fail_msg("%s is not %s", found, expected);
}

static void expect_way(const char *from, const char *to, const char *expected)
{
    const struct upgrade_scripts scripts = {.place = (char *)"/scripts", .items = all, .count = 4};
    const struct path_question q = question(from, to, &scripts);

    expect_path(&q, expected);
}

static void path__takes_every_script_once_and_in_order(void **state)
{
    (void)state;
    expect_way("3.90", "4.00", "a");
    expect_way("4.00", "4.10", "b");
    expect_way("4.00", "4.30", "bcd");
    expect_way("4.10", "4.20", "c");
    expect_way("4.20", "4.20", "");
    expect_way("4.20", "4.90.3", "d+");
    expect_way("4.00", "4.60.5", "bcd+");
    expect_way("4.30", "4.90.3", "+");
    expect_way("4.60.2", "4.60.5", "");
    expect_way("4.90.3", "4.60.5", "");
}

static void expect_stages(const char *from, const char *via, const char *to, const char *expected)
{
    const struct upgrade_scripts scripts = {.place = (char *)"/scripts", .items = all, .count = 4};
    struct path_question q = question(from, via, &scripts);
    struct error err = ERROR_INIT;

    assert_int_equal(site_version_parse(to, &q.to[1], &err), OK);
    q.to_count = 2;
    expect_path(&q, expected);
}

static void path__with_a_release_on_the_way_has_two_stages(void **state)
{
    (void)state;
    expect_stages("3.90", "4.00", "4.30", "a|bcd");
    expect_stages("4.10", "4.30", "4.90.3", "cd|+");
    expect_stages("4.20", "4.20", "4.30", "does not come after");
    expect_stages("4.20", "4.40.1", "4.90.3", "d+|+");
    expect_stages("4.60.1", "4.60.5", "4.90.3", "|+");
    expect_stages("4.60.1", "4.80.2", "4.70.5", "4.70.5 does not come after 4.80.2");
    expect_stages("3.90", "4.10", "4.20", "have to be installed and run before those of 4.10");
}

static void path__that_is_none_is_told(void **state)
{
    (void)state;
    expect_way("3.80", "4.00", "knows no way from 3.80 to 4.00");
    expect_way("3.90", "4.10", "the files of nopCommerce 4.00 have to be installed and run before those of 4.10");
    expect_way("4.30", "4.10", "no script leads from 4.30 back to 4.10");
    expect_way("4.90.3", "4.30", "no script leads from 4.90.3 back");
}

static void path__with_a_gap_a_bad_script_or_another_engine_is_told(void **state)
{
    struct upgrade_script some[2] = {all[1], all[3]};
    struct upgrade_scripts scripts = {.place = (char *)"/scripts", .items = some, .count = 2};
    const struct upgrade_scripts none = UPGRADE_SCRIPTS_INIT;
    struct path_question q = question("4.00", "4.30", &scripts);

    (void)state;
    expect_path(&q, "/scripts holds no upgrade script for 4.10-4.20;");
    some[1].problem = (char *)"d is broken";
    expect_path(&q, "d is broken;/scripts holds no upgrade script for 4.10-4.20;");
    q.engine = DATABASE_MYSQL;
    expect_path(&q, "this database is MySQL");
    q = question("4.10", "4.90.1", &none);
    expect_path(&q, "here 4.10-4.20, 4.20-4.30: name the folder");
    q = question("4.30", "4.90.1", &none);
    q.engine = DATABASE_MYSQL;
    expect_path(&q, "+");
}

static void path__on_windows_needs_the_owners_commands(void **state)
{
    const struct upgrade_scripts scripts = {.place = (char *)"/scripts", .items = all, .count = 4};
    static const char *const windows[][2] = {{"3.90", "4.00"}, {"4.00", "4.20"}, {"4.00", "4.00"}};
    struct path_question q;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        q = question(windows[i][0], windows[i][1], &scripts);
        q.own_commands = false;
        expect_path(&q, "runs on Windows");
    }
    q = question("4.10", "4.20", &scripts);
    q.own_commands = false;
    expect_path(&q, "c");
}

/* ---- finding ---- */

static void write_file(const char *folder, const char *name, const char *text)
{
    struct error err = ERROR_INIT;
    char *path = NULL;

    assert_int_equal(path_join(folder, name, &path, &err), OK);
    assert_int_equal(file_replace(path, text, strlen(text), 0644, &err), OK);
    free(path);
}

static void find__takes_what_is_inside_and_leaves_the_rest(void **state)
{
    char folder[] = "/tmp/scripts_test_XXXXXX";
    char inner[64];
    struct upgrade_scripts s = UPGRADE_SCRIPTS_INIT;
    const struct upgrade_script *script;
    struct error err = ERROR_INIT;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(inner, sizeof(inner), "%s/4.20-4.30", folder);
    assert_int_equal(mkdir(inner, 0755), 0);
    write_file(inner, "UPGRADE.SQL", "SELECT 1\nGO\nSELECT 2\nGO\n"); /* known by its folder */
    write_file(inner, "readme.TXT", "Notes:\n1. One");
    write_file(inner, "helper.sql", ":r of nobody's concern");
    write_file(folder, "any name.sql", "--upgrade scripts from nopCommerce 4.10 to 4.20\nSELECT 1\n");
    write_file(folder, "old.sql", "--upgrade scripts from nopCommerce 2.30 to nopCommerce 2.40\n:r\n");
    write_file(folder, "jump.sql", "--upgrade scripts from nopCommerce 4.00 to 4.20\nSELECT 1\n");
    write_file(folder, "upgrade.sql", "SELECT 'whatever'");
    write_file(folder, "broken.zip", "PK\3\4 and nothing more");
    assert_int_equal(scripts_open(folder, NULL, NULL, &s, &err), OK);
    assert_int_equal(s.count, 3);
    script = scripts_step(&s, 420);
    assert_non_null(script);
    assert_null(script->problem);
    assert_int_equal(script->batches, 2);
    assert_string_equal(script->notes.items[1], "1. One");
    script = scripts_step(&s, 410);
    assert_non_null(script);
    assert_int_equal(script->batches, 1);
    assert_int_equal(script->notes.count, 0);
    assert_non_null(
        strstr(scripts_step(&s, 400)->problem, "jump.sql goes from 4.00 to 4.20: a script goes one version"));
    assert_int_equal(s.problems.count, 1);
    assert_non_null(strstr(s.problems.items[0], "broken.zip: it is damaged or cut short"));
    scripts_release(&s);
    assert_int_equal(directory_remove_tree(AT_FDCWD, folder, &err), OK);
    assert_int_equal(scripts_open(folder, NULL, NULL, &s, &err), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header__is_among_the_comments_before_the_first_statement),
        cmocka_unit_test(path__of_the_deepest_folder_that_names_a_step_counts),
        cmocka_unit_test(notes__are_all_but_the_steps_that_every_script_has),
        cmocka_unit_test(path__takes_every_script_once_and_in_order),
        cmocka_unit_test(path__with_a_release_on_the_way_has_two_stages),
        cmocka_unit_test(path__that_is_none_is_told),
        cmocka_unit_test(path__with_a_gap_a_bad_script_or_another_engine_is_told),
        cmocka_unit_test(path__on_windows_needs_the_owners_commands),
        cmocka_unit_test(find__takes_what_is_inside_and_leaves_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
