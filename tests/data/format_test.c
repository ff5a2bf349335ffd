/*
 * Catalogues of every format version that was ever released can be read for ever. format-N.tar is one, never made again, and
 * format-N.txt says what is in its latest snapshot: hash, bytes and path of each file, and of the dump.
 */
#include "chunk.h"
#include "maintain.h"
#include "record.h"
#include "tree.h"

#include "test_support.h"

static char folder[4096];

static void say(FILE *out, const struct buffer *content, const char *path)
{
    fprintf(out, "%016llx %zu %s\n", (unsigned long long)hash64_of(0, content->data, content->len), content->len, path);
}

static void append_chunk(struct catalog *cat, const struct chunk_id *id, struct buffer *out)
{
    struct buffer chunk = BUFFER_INIT(16u << 20);
    struct error err = ERROR_INIT;

    if (chunk_read(cat, id, CHUNK_DATA, &chunk, &err) != OK || buffer_append(out, chunk.data, chunk.len, &err) != OK)
        fail_msg("%s", err.text);
    buffer_release(&chunk);
}

static void append_list(struct catalog *cat, const struct chunk_id *list, struct buffer *out)
{
    struct list_reader *r = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id id;
    bool more = true;

    if (list_reader_open(cat, list, &r, &err) != OK)
        fail_msg("%s", err.text);
    while (list_reader_next(r, &id, &more, &err) == OK && more)
        append_chunk(cat, &id, out);
    assert_false(more);
    list_reader_close(r);
}

static void say_tree(FILE *out, struct catalog *cat, const struct chunk_id *tree, const char *path)
{
    struct tree_reader *r = NULL;
    struct tree_entry e;
    struct error err = ERROR_INIT;
    struct buffer content = BUFFER_INIT(64u << 20);
    bool more = true;

    if (tree_reader_open(cat, tree, &r, &err) != OK)
        fail_msg("%s", err.text);
    for (;;) {
        char below[4096];

        if (tree_reader_next(r, &e, &more, &err) != OK)
            fail_msg("%s", err.text);
        if (!more)
            break;
        snprintf(below, sizeof(below), "%.2000s/%.*s", path, (int)e.name_len, (const char *)e.name);
        if (e.type == TREE_DIRECTORY)
            say_tree(out, cat, &e.tree, below);
        buffer_clear(&content);
        if (e.type == TREE_FILE && e.has_list)
            append_list(cat, &e.list, &content);
        for (size_t i = 0; i < e.chunk_count; i++)
            append_chunk(cat, &e.chunks[i], &content);
        if (e.type == TREE_FILE)
            say(out, &content, below);
    }
    tree_reader_close(r);
    buffer_release(&content);
}

static void say_snapshot(const char *to, struct catalog *cat)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    struct buffer dump = BUFFER_INIT(64u << 20);
    FILE *out = fopen(to, "w");

    assert_non_null(out);
    if (snapshot_find(cat, NULL, "latest", &record, &err) != OK)
        fail_msg("%s", err.text);
    say_tree(out, cat, &record.roots[0].tree, "");
    append_list(cat, &record.dump, &dump);
    say(out, &dump, "dump");
    fclose(out);
    snapshot_record_release(&record);
    buffer_release(&dump);
}

static enum error_kind count_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    unsigned *counts = arg;

    (void)err;
    counts[0]++;
    counts[1] += row->held;
    return OK;
}

static void assert_as_told(unsigned format)
{
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    unsigned counts[2] = {0, 0};
    char command[8300];

    if (catalog_open("catalogue", CATALOG_READ, 0, &cat, &err) != OK)
        fail_msg("%s", err.text);
    say_snapshot("told.txt", cat);
    assert_int_equal(snapshot_row_each(cat, NULL, count_row, counts, &err), OK);
    assert_int_equal(counts[0], 2); /* a third one was forgotten */
    assert_int_equal(counts[1], 1);
    catalog_close(cat);
    snprintf(command, sizeof(command), "diff '%s/format-%u.txt' told.txt", folder, format);
    assert_int_equal(system(command), 0);
}

static void format_1__can_be_read_and_rebuilt(void **state)
{
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    char command[8300];

    (void)state;
    snprintf(command, sizeof(command), "tar -xf '%s/format-1.tar'", folder);
    assert_int_equal(system(command), 0);
    assert_as_told(1);
    assert_int_equal(unlink("catalogue/catalog.sqlite"), 0);
    if (catalog_rebuild("catalogue", NULL, &report, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.count, 0);
    assert_as_told(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {folder_test(format_1__can_be_read_and_rebuilt)};
    const char *source = getenv("NOPSNAP_SOURCE_DIR");

    snprintf(folder, sizeof(folder), "%s/tests/data", source ? source : ".");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
