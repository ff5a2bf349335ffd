/* The record of a dump as JSON, counts and their comparison, private names, secret files. */
#include "test_support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "database_internal.h"

static void fill(struct database_facts *f)
{
    struct error err = ERROR_INIT;

    f->engine = DATABASE_MYSQL;
    assert_int_equal(memory_string("shop \"x\" \xf0\x9f\x91\x8d", &f->database, &err), OK);
    assert_int_equal(memory_string("10.11.14-MariaDB", &f->server_version, &err), OK);
    assert_int_equal(memory_string("sql", &f->format, &err), OK);
    assert_int_equal(memory_string("{\"owner\":\"shop\"}", &f->properties, &err), OK);
    f->moment_ns = 1763866800123456789;
    f->pictures_in_database = true;
    f->is_nopcommerce = true;
    assert_int_equal(database_counts_add(&f->counts, "public.Order", 18446744073709551ULL, 9007199254740993, &err), OK);
    assert_int_equal(database_counts_add(&f->counts, "public.Address", 0, -1, &err), OK);
    database_counts_sort(&f->counts);
    assert_int_equal(text_list_add(&f->warnings, "table log is not transactional", &err), OK);
}

static void facts__come_back_as_they_were(void **state)
{
    struct database_facts in = DATABASE_FACTS_INIT;
    struct database_facts out = DATABASE_FACTS_INIT;
    struct buffer text = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    (void)state;
    fill(&in);
    assert_int_equal(database_facts_encode(&in, &text, &err), OK);
    assert_null(memchr(text.data, '\n', text.len));
    assert_int_equal(database_facts_decode(text.data, text.len, &out, &err), OK);
    assert_int_equal(out.engine, in.engine);
    assert_string_equal(out.database, in.database);
    assert_string_equal(out.server_version, in.server_version);
    assert_null(out.tool_version);
    assert_string_equal(out.format, in.format);
    assert_string_equal(out.properties, in.properties);
    assert_true(out.moment_ns == in.moment_ns);
    assert_null(out.picture_path);
    assert_true(out.pictures_in_database && out.is_nopcommerce);
    assert_int_equal(out.counts.count, 2);
    assert_string_equal(out.counts.tables[0].name, "public.Address");
    assert_true(out.counts.tables[0].max_id == -1);
    assert_true(out.counts.tables[1].rows == 18446744073709551ULL);
    assert_true(out.counts.tables[1].max_id == 9007199254740993);
    assert_int_equal(out.warnings.count, 1);
    database_facts_release(&in);
    database_facts_release(&out);
    buffer_release(&text);
}

static void facts_decode__refuses_what_it_did_not_write(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"engine\":\"oracle\",\"database\":\"a\",\"format\":\"b\"}",
        "{\"engine\":\"none\",\"database\":\"a\",\"format\":\"b\"}",
        "{\"engine\":\"mysql\",\"format\":\"b\"}",
        "{\"engine\":\"mysql\",\"database\":\"a\"}",
        "{\"engine\":\"mysql\",\"database\":7,\"format\":\"b\"}",
        "{\"engine\":\"mysql\",\"database\":\"a\",\"format\":\"b\",\"tables\":[{}]}",
        "{\"engine\":\"mysql\",\"database\":\"a\",\"format\":\"b\",\"tables\":[{\"name\":\"x\",\"rows\":-1}]}",
        "{\"engine\":\"mysql\",\"database\":\"a\",\"format\":\"b\",\"tables\":[{\"rows\":1}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct database_facts out = DATABASE_FACTS_INIT;
        struct error err = ERROR_INIT;

        if (database_facts_decode(texts[i], strlen(texts[i]), &out, &err) != ERR_CORRUPT)
            fail_msg("accepted: %s", texts[i]);
        assert_null(out.database);
    }
}

static void facts_decode__survives_every_truncation(void **state)
{
    struct database_facts in = DATABASE_FACTS_INIT;
    struct buffer text = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    (void)state;
    fill(&in);
    assert_int_equal(database_facts_encode(&in, &text, &err), OK);
    for (size_t len = 0; len < text.len; len++) {
        struct database_facts out = DATABASE_FACTS_INIT;

        error_clear(&err);
        assert_int_equal(database_facts_decode(text.data, len, &out, &err), ERR_CORRUPT);
    }
    database_facts_release(&in);
    buffer_release(&text);
}

static void counts_compare__names_every_difference(void **state)
{
    struct database_counts a = {NULL, 0};
    struct database_counts b = {NULL, 0};
    struct text_list lines = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    database_counts_add(&a, "d", 4, -1, &err);
    database_counts_add(&a, "a", 1, -1, &err);
    database_counts_add(&a, "b", 2, -1, &err);
    database_counts_add(&b, "b", 3, -1, &err);
    database_counts_add(&b, "c", 3, -1, &err);
    database_counts_add(&b, "d", 4, 77, &err);
    database_counts_sort(&a);
    database_counts_sort(&b);
    assert_int_equal(database_counts_compare(&a, &b, &lines, &err), OK);
    assert_int_equal(lines.count, 3);
    assert_string_equal(lines.items[0], "a: missing, expected 1 rows");
    assert_string_equal(lines.items[1], "b: 3 rows, expected 2");
    assert_string_equal(lines.items[2], "c: not expected, has 3 rows");
    text_list_release(&lines);
    assert_int_equal(database_counts_compare(&a, &a, &lines, &err), OK);
    assert_int_equal(lines.count, 0);
    database_counts_release(&a);
    database_counts_release(&b);
}

static void counts_find__prefers_the_exact_name(void **state)
{
    struct database_counts c = {NULL, 0};
    struct error err = ERROR_INIT;

    (void)state;
    database_counts_add(&c, "public.order", 1, -1, &err);
    database_counts_add(&c, "public.Order", 2, -1, &err);
    database_counts_add(&c, "public.MyOrder", 3, -1, &err);
    assert_int_equal(database_counts_find(&c, "Order")->rows, 2);
    assert_int_equal(database_counts_find(&c, "ORDER")->rows, 1);
    assert_int_equal(database_counts_find(&c, "MyOrder")->rows, 3);
    assert_null(database_counts_find(&c, "Items"));
    database_counts_release(&c);
}

static void private_name__fits_and_is_known_again(void **state)
{
    const char *long_name = "a_shop_with_a_name_that_fills_all_of_the_sixty_three_bytes_there";
    const char *utf8 =
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9";
    const char *names[] = {"shop", long_name, utf8};
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *beside = NULL;
        char *kept = NULL;

        assert_int_equal(database_private_name(names[i], DATABASE_INFIX_BESIDE, "0123abcd", 63, &beside, &err), OK);
        assert_int_equal(database_private_name(names[i], DATABASE_INFIX_KEPT, "0123abcd", 63, &kept, &err), OK);
        assert_true(strlen(beside) <= 63 && strlen(kept) <= 63);
        assert_true(strcmp(beside, kept) != 0);
        assert_true(database_is_private_name(beside, names[i], DATABASE_INFIX_BESIDE, 63));
        assert_true(database_is_private_name(kept, names[i], DATABASE_INFIX_KEPT, 63));
        assert_false(database_is_private_name(kept, names[i], DATABASE_INFIX_BESIDE, 63));
        assert_false(database_is_private_name(names[i], names[i], DATABASE_INFIX_BESIDE, 63));
        assert_false(database_is_private_name(beside, "other", DATABASE_INFIX_BESIDE, 63));
        /* never half a character */
        assert_true(((unsigned char)kept[strlen(kept) - 21 - 1] & 0xC0) == 0x80 || i < 2);
        free(beside);
        free(kept);
    }
    char *none = NULL;
    assert_int_equal(database_private_name("shop", DATABASE_INFIX_KEPT, "../../..", 63, &none, &err), ERR_USAGE);
}

static void secret_file__is_private_and_vanishes(void **state)
{
    struct secret_file f = SECRET_FILE_INIT;
    struct error err = ERROR_INIT;
    struct stat st;
    char path[64];
    char text[16] = "";
    int fd;

    (void)state;
    assert_int_equal(secret_file_make(&f, "secret", 6, &err), OK);
    fd = open(f.path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof text), 6);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_nlink, 0);
    close(fd);
    memcpy(path, f.path, sizeof path);
    secret_file_release(&f);
    assert_true(open(path, O_RDONLY) < 0);
    secret_file_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts__come_back_as_they_were),
        cmocka_unit_test(facts_decode__refuses_what_it_did_not_write),
        cmocka_unit_test(facts_decode__survives_every_truncation),
        cmocka_unit_test(counts_compare__names_every_difference),
        cmocka_unit_test(counts_find__prefers_the_exact_name),
        cmocka_unit_test(private_name__fits_and_is_known_again),
        cmocka_unit_test(secret_file__is_private_and_vanishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
