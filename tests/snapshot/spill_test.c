/* The spill: what goes in, in walk order, comes out by directory, and by height. */
#include "spill_internal.h"

#include "test_support.h"

static void add(struct spill *s, const char *name, const void *encoded, size_t len, uint64_t at)
{
    struct error err = ERROR_INIT;
    struct spill_entry e = {.name = name,
                            .name_len = strlen(name),
                            .cacheable = true,
                            .content = SPILL_TICKETS,
                            .at = at,
                            .count = 1,
                            .encoded = encoded,
                            .len = len};

    e.key.inode = at * 3;
    assert_int_equal(spill_add(s, &e, &err), OK);
}

static void enter(struct spill *s, const char *name)
{
    struct error err = ERROR_INIT;
    struct spill_entry e = {.name = name, .name_len = strlen(name), .encoded = name, .len = strlen(name)};

    assert_int_equal(spill_enter(s, &e, &err), OK);
}

static void leave(struct spill *s)
{
    struct error err = ERROR_INIT;

    assert_int_equal(spill_leave(s, &err), OK);
}

/* Names in a directory's listing, each with a mark for what it is. */
static char *listing(struct spill *s, uint64_t number)
{
    struct error err = ERROR_INIT;
    struct spill_cursor c = {.window = BUFFER_INIT(0)};
    struct spill_directory d;
    struct spill_entry e;
    struct buffer out = BUFFER_INIT(1 << 20);
    bool more = true;

    assert_int_equal(spill_directory_get(s, number, &d, &err), OK);
    spill_cursor_open(&c, d.first);
    while (spill_cursor_next(s, &c, &e, &more, &err) == OK && more) {
        assert_int_equal(buffer_append_format(&out, &err, "%.*s", (int)e.name_len, (const char *)e.name), OK);
        if (e.content == SPILL_DIRECTORY)
            assert_int_equal(buffer_append_format(&out, &err, "/%u", (unsigned)e.at), OK);
        assert_int_equal(buffer_append_text(&out, " ", &err), OK);
        spill_cursor_rest(&c); /* resting anywhere changes nothing */
    }
    assert_int_equal(err.kind, OK);
    spill_cursor_rest(&c);
    if (!out.data)
        assert_int_equal(buffer_append_text(&out, "", &err), OK);
    return buffer_detach(&out);
}

static void expect_listing(struct spill *s, uint64_t number, const char *expected)
{
    char *got = listing(s, number);

    assert_string_equal(got, expected);
    free(got);
}

static void spill__listings_are_kept_apart_and_chained_by_height(void **state)
{
    struct error err = ERROR_INIT;
    struct spill *s = NULL;
    struct spill_directory d;

    (void)state;
    assert_int_equal(spill_new(NULL, &s, &err), OK);
    enter(s, ".");
    add(s, "a", "1", 1, 1);
    enter(s, "b");
    enter(s, "c");
    add(s, "d", "2", 1, 2);
    leave(s);
    add(s, "e", "3", 1, 3);
    leave(s);
    enter(s, "f");
    leave(s);
    add(s, "g", "4", 1, 4);
    leave(s);

    expect_listing(s, 0, "./1 ");
    expect_listing(s, 1, "a b/2 f/4 g ");
    expect_listing(s, 2, "c/3 e ");
    expect_listing(s, 3, "d ");
    expect_listing(s, 4, "");
    assert_int_equal(spill_heights(s), 4);
    assert_int_equal(spill_chain(s, 0), 4);
    assert_int_equal(spill_directory_get(s, 4, &d, &err), OK);
    assert_int_equal(d.next, 3);
    assert_int_equal(spill_chain(s, 1), 2);
    assert_int_equal(spill_chain(s, 2), 1);
    assert_int_equal(spill_chain(s, 3), 0);
    spill_free(s);
}

static void spill__long_entries_and_long_listings_come_back_whole(void **state)
{
    enum { COUNT = 5000, BIG = 3 << 20 };
    struct error err = ERROR_INIT;
    struct spill *s = NULL;
    struct spill_cursor c = {.window = BUFFER_INIT(0)};
    struct spill_directory d;
    struct spill_entry e;
    bool more = true;
    unsigned char *big = malloc(BIG);
    char name[32];

    (void)state;
    for (size_t i = 0; i < BIG; i++)
        big[i] = (unsigned char)(i * 31);
    assert_int_equal(spill_new(NULL, &s, &err), OK);
    enter(s, ".");
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%06u", i);
        add(s, name, big, i == 1234 ? BIG : i % 300, i);
        if (i % 1000 == 0) { /* a directory in between, with a listing of its own */
            snprintf(name, sizeof name, "%06u-", i);
            enter(s, name);
            add(s, "x", big, 100, 7);
            leave(s);
        }
    }
    leave(s);
    assert_int_equal(spill_directory_get(s, 1, &d, &err), OK);
    assert_true(d.pending);
    spill_cursor_open(&c, d.first);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%06u", i);
        assert_int_equal(spill_cursor_next(s, &c, &e, &more, &err), OK);
        assert_true(more);
        assert_int_equal(e.name_len, 6);
        assert_memory_equal(e.name, name, 6);
        assert_int_equal(e.at, i);
        assert_int_equal(e.key.inode, i * 3);
        assert_int_equal(e.len, i == 1234 ? BIG : i % 300);
        if (e.len)
            assert_memory_equal(e.encoded, big, e.len);
        if (i % 1000 == 0) {
            assert_int_equal(spill_cursor_next(s, &c, &e, &more, &err), OK);
            assert_int_equal(e.content, SPILL_DIRECTORY);
        }
    }
    assert_int_equal(spill_cursor_next(s, &c, &e, &more, &err), OK);
    assert_false(more);
    spill_cursor_rest(&c);
    spill_free(s);
    free(big);
}

static void spill__tickets_are_found_by_place_and_number(void **state)
{
    struct error err = ERROR_INIT;
    struct spill *s = NULL;
    store_ticket ticket;
    uint64_t places[100];

    (void)state;
    assert_int_equal(spill_new(NULL, &s, &err), OK);
    for (uint64_t file = 0; file < 100; file++) {
        places[file] = spill_ticket_place(s);
        for (uint64_t n = 0; n < file; n++)
            assert_int_equal(spill_ticket_add(s, file * 1000 + n, &err), OK);
    }
    for (uint64_t file = 0; file < 100; file++)
        for (uint32_t n = 0; n < file; n++) {
            assert_int_equal(spill_ticket_get(s, places[file], n, &ticket, &err), OK);
            assert_int_equal(ticket, file * 1000 + n);
        }
    spill_free(s);
}

/* More than wait in memory, of directories and of their listings. */
static void spill__many_directories_come_back_from_the_file(void **state)
{
    enum { COUNT = 40000 };
    struct error err = ERROR_INIT;
    struct spill *s = NULL;
    uint64_t number, found = 0;
    struct spill_directory d;
    char name[32], expected[32];

    (void)state;
    assert_int_equal(spill_new(NULL, &s, &err), OK);
    enter(s, ".");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%06d", i);
        enter(s, name);
        add(s, name, name, 6, 1);
        leave(s);
    }
    leave(s);
    for (number = spill_chain(s, 0); number != SPILL_NONE; number = d.next) {
        assert_int_equal(spill_directory_get(s, number, &d, &err), OK);
        snprintf(expected, sizeof expected, "%06d ", (int)number - 2);
        expect_listing(s, number, expected);
        d.ticket = number * 7;
        assert_int_equal(spill_directory_put(s, number, &d, &err), OK);
        found++;
    }
    assert_int_equal(found, COUNT);
    assert_int_equal(spill_directory_get(s, COUNT, &d, &err), OK);
    assert_int_equal(d.ticket, COUNT * 7);
    spill_free(s);
}

static void spill__is_deep_without_much_memory(void **state)
{
    enum { DEPTH = 3000 };
    struct error err = ERROR_INIT;
    struct spill *s = NULL;

    (void)state;
    assert_int_equal(spill_new(NULL, &s, &err), OK);
    enter(s, ".");
    for (int i = 0; i < DEPTH; i++) {
        add(s, "a", "1", 1, 1);
        enter(s, "d");
    }
    for (int i = 0; i < DEPTH; i++) {
        leave(s);
        add(s, "z", "1", 1, 1);
    }
    leave(s);
    assert_int_equal(spill_heights(s), DEPTH + 2);
    expect_listing(s, 1, "a d/2 z ");
    expect_listing(s, DEPTH, "a d/3001 z ");
    expect_listing(s, DEPTH + 1, "");
    spill_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spill__listings_are_kept_apart_and_chained_by_height),
        cmocka_unit_test(spill__long_entries_and_long_listings_come_back_whole),
        cmocka_unit_test(spill__tickets_are_found_by_place_and_number),
        cmocka_unit_test(spill__many_directories_come_back_from_the_file),
        cmocka_unit_test(spill__is_deep_without_much_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
