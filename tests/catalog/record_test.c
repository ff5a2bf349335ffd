/* Records as JSON: exact round trips, strict reading (P11). */
#include "maintain_support.h"

static void fill_record(struct snapshot_record *r)
{
    struct error err = ERROR_INIT;

    *r = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    assert_int_equal(record_id_new(r->id, &err), OK);
    r->made_ns = 1763866800123456789;
    r->site_id = strdup(SITE);
    r->site_path = strdup("/var/www/caf\xe9\n\\shop"); /* Latin-1, a newline, a backslash */
    r->site_name = strdup("shop");
    r->host = strdup("host");
    r->host_id = strdup("hid");
    r->tool = strdup("nopsnap 0");
    r->kind = SNAPSHOT_BEFORE_UPGRADE;
    r->part = SNAPSHOT_FILES_ONLY;
    r->stopped = true;
    r->from_ns = 5;
    r->to_ns = 6;
    r->root_count = 2;
    for (size_t i = 0; i < 2; i++) {
        r->roots[i].name = strdup(i ? "pictures" : "site");
        r->roots[i].path = strdup(i ? "/srv/pictures" : "/var/www/shop");
        memset(&r->roots[i].tree, 0x40 + (int)i, sizeof(r->roots[i].tree));
        r->roots[i].files = 41000;
        r->roots[i].bytes = INT64_MAX;
    }
    r->links = calloc(2, sizeof(*r->links));
    r->link_count = 2;
    r->has_dump = true;
    memset(&r->dump, 9, sizeof(r->dump));
    r->dump_bytes = 77;
    r->dump_facts = strdup("{\"engine\":\"postgresql\",\"tables\":[{\"name\":\"Order\",\"rows\":12}]}");
    r->nop_version = strdup("4.70");
    r->nop_layout = strdup("published");
    r->left_out = calloc(1, sizeof(*r->left_out));
    r->left_out_count = 1;
    r->left_out[0].path = strdup("wwwroot/images/thumbs");
    r->left_out[0].reason = strdup("regenerated");
    r->left_out[0].files = 3;
    r->left_out[0].bytes = 4;
    assert_int_equal(text_list_add(&r->patterns, "exclude caf\xe9/*.bak", &err), OK);
    assert_int_equal(text_list_add(&r->unread,
                                   "a\xff"
                                   "b: permission denied",
                                   &err),
                     OK);
    assert_int_equal(text_list_add(&r->notes, "a socket was left out", &err), OK);
    assert_int_equal(text_list_add(&r->tags, "nightly", &err), OK);
    r->transaction = strdup("t1");
    r->transaction_only = strdup("database");
    r->bytes_new = 10;
    r->bytes_stored = 5;
    r->suspicious = true;
    r->suspicion = strdup("half is gone");
}

static void record__comes_back_whole(void **state)
{
    struct snapshot_record r, back = SNAPSHOT_RECORD_INIT;
    struct buffer bytes = BUFFER_INIT(1 << 20), again = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    (void)state;
    fill_record(&r);
    assert_int_equal(snapshot_record_encode(&r, &bytes, &err), OK);
    if (snapshot_record_decode(bytes.data, bytes.len, &back, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(back.id, r.id);
    assert_true(back.made_ns == r.made_ns);
    assert_string_equal(back.site_path, r.site_path);
    assert_string_equal(back.unread.items[0], r.unread.items[0]);
    assert_int_equal(back.patterns.count, 1);
    assert_string_equal(back.patterns.items[0], r.patterns.items[0]);
    assert_int_equal(back.roots[1].bytes, r.roots[1].bytes);
    assert_string_equal(back.dump_facts, r.dump_facts);
    assert_string_equal(back.transaction_only, "database");
    assert_int_equal(back.kind, SNAPSHOT_BEFORE_UPGRADE);
    assert_int_equal(snapshot_record_encode(&back, &again, &err), OK); /* and nothing was left out */
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, bytes.len);
    snapshot_record_release(&r);
    snapshot_record_release(&back);
    buffer_release(&bytes);
    buffer_release(&again);
}

static void record__a_great_many_unread_files_are_counted_not_dropped(void **state)
{
    struct snapshot_record r, back = SNAPSHOT_RECORD_INIT;
    struct buffer bytes = BUFFER_INIT(8 << 20);
    struct error err = ERROR_INIT;
    unsigned more = 0;

    (void)state;
    fill_record(&r);
    for (unsigned i = 0; i < 200000; i++)
        assert_int_equal(text_list_addf(&r.unread, &err, "some/path/to/a/file%u: permission denied", i), OK);
    assert_int_equal(snapshot_record_encode(&r, &bytes, &err), OK);
    assert_true(bytes.len < RECORD_LEN_MAX);
    assert_int_equal(snapshot_record_decode(bytes.data, bytes.len, &back, &err), OK);
    assert_int_equal(sscanf(back.unread.items[back.unread.count - 1], "and %u more", &more), 1);
    assert_int_equal(back.unread.count - 1 + more, r.unread.count);
    snapshot_record_release(&r);
    snapshot_record_release(&back);
    buffer_release(&bytes);
}

static void record__left_out_paths_without_room_are_added_up(void **state)
{
    enum { MANY = 2000 };
    struct snapshot_record r, back = SNAPSHOT_RECORD_INIT;
    struct buffer bytes = BUFFER_INIT(8 << 20);
    struct error err = ERROR_INIT;
    uint64_t files = 0, sum = 0;
    char path[2001];

    (void)state;
    fill_record(&r);
    for (size_t i = 0; i < r.left_out_count; i++) {
        free(r.left_out[i].path);
        free(r.left_out[i].reason);
    }
    r.left_out = reallocarray(r.left_out, MANY, sizeof(*r.left_out));
    r.left_out_count = MANY;
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    for (size_t i = 0; i < MANY; i++)
        r.left_out[i] = (struct snapshot_left_out){strdup(path), strdup("excluded"), 2, 10 + i};
    assert_int_equal(snapshot_record_encode(&r, &bytes, &err), OK);
    assert_true(bytes.len < RECORD_LEN_MAX);
    assert_int_equal(snapshot_record_decode(bytes.data, bytes.len, &back, &err), OK);
    assert_true(back.left_out_count < MANY);
    assert_string_equal(back.left_out[back.left_out_count - 1].path, ".");
    for (size_t i = 0; i < back.left_out_count; i++) {
        files += back.left_out[i].files;
        sum += back.left_out[i].bytes;
    }
    assert_int_equal(files, 2 * MANY);
    assert_int_equal(sum, 10 * MANY + MANY * (MANY - 1) / 2);
    snapshot_record_release(&r);
    snapshot_record_release(&back);
    buffer_release(&bytes);
}

/* Replace one piece of the text; it must be there. */
static void replace(const struct buffer *in, const char *what, const char *by, struct buffer *out)
{
    struct error err = ERROR_INIT;
    const char *at = strstr((const char *)in->data, what);

    assert_non_null(at);
    buffer_clear(out);
    buffer_append(out, in->data, (size_t)(at - (const char *)in->data), &err);
    buffer_append_text(out, by, &err);
    buffer_append_text(out, at + strlen(what), &err);
}

static void record__nonsense_is_refused(void **state)
{
    static const char *const changes[][2] = {
        {"\"record\":\"snapshot\"", "\"record\":\"hold\""},
        {"\"kind\":\"before-upgrade\"", "\"kind\":\"other\""},
        {"\"mode\":\"stopped\"", "\"mode\":7"},
        {"\"partial\":\"files\"", "\"partial\":\"all\""},
        {"\"id\":\"" SITE "\"", "\"id\":\"../../../etc\""},
        {"\"tree\":\"4040", "\"tree\":\"40"},
        {"\"files\":41000", "\"files\":-1"},
        {"\"files\":41000", "\"files\":\"many\""},
        {"\"name\":\"pictures\"", "\"name\":\"site\""},
        {"\"name\":\"pictures\"", "\"name\":\"../../etc\""},
        {"\"name\":\"pictures\"", "\"name\":\"/etc\""},
        {"\"name\":\"pictures\"", "\"name\":\"..\""},
        {"\"name\":\"pictures\"", "\"name\":\"\""},
        {"\"path\":\"/srv/pictures\"", "\"path\":\"srv/pictures\""},
        {"\"path\":\"/srv/pictures\"", "\"path\":\"/srv/../etc\""},
        {"\"path\":\"/srv/pictures\"", "\"path\":\"/srv/pictures/\""},
        {"\"path\":\"/srv/pictures\"", "\"path\":\"/\""},
        {"\"made\":1763866800123456789", "\"mode\":1"},
        {"\"line\":\"nightly\"", "\"line\":[]"},
        {"\"list\":", "\"lost\":"},
    };
    struct snapshot_record r, back = SNAPSHOT_RECORD_INIT;
    struct buffer bytes = BUFFER_INIT(1 << 20), changed = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    (void)state;
    fill_record(&r);
    assert_int_equal(snapshot_record_encode(&r, &bytes, &err), OK);
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        replace(&bytes, changes[i][0], changes[i][1], &changed);
        if (snapshot_record_decode(changed.data, changed.len, &back, &err) != ERR_CORRUPT)
            fail_msg("%s was accepted", changes[i][1]);
    }
    for (size_t len = 0; len < bytes.len; len += 7)
        assert_int_equal(snapshot_record_decode(bytes.data, len, &back, &err), ERR_CORRUPT);
    snapshot_record_release(&r);
    buffer_release(&bytes);
    buffer_release(&changed);
}

static void small_records__come_back(void **state)
{
    static const enum chunk_type types[] = {CHUNK_TOMBSTONE, CHUNK_HOLD, CHUNK_RELEASE, CHUNK_ACCEPT};
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct small_record r = SMALL_RECORD_INIT, back = SMALL_RECORD_INIT;
        struct buffer bytes = BUFFER_INIT(1 << 16);

        r.type = types[i];
        r.made_ns = 3;
        r.until_ns = 4;
        r.by_person = true;
        r.reason = strdup("because \xff");
        assert_int_equal(record_id_new(r.id, &err), OK);
        assert_int_equal(text_list_add(&r.targets, r.id, &err), OK);
        assert_int_equal(small_record_encode(&r, &bytes, &err), OK);
        assert_int_equal(small_record_decode(types[i], bytes.data, bytes.len, &back, &err), OK);
        assert_string_equal(back.targets.items[0], r.id);
        if (types[i] == CHUNK_HOLD) {
            assert_string_equal(back.reason, r.reason);
            assert_true(back.by_person && back.until_ns == 4);
        }
        assert_int_equal(small_record_decode(types[(i + 1) % 4], bytes.data, bytes.len, &back, &err), ERR_CORRUPT);
        small_record_release(&r);
        small_record_release(&back);
        buffer_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__comes_back_whole),
        cmocka_unit_test(record__a_great_many_unread_files_are_counted_not_dropped),
        cmocka_unit_test(record__left_out_paths_without_room_are_added_up),
        cmocka_unit_test(record__nonsense_is_refused),
        cmocka_unit_test(small_records__come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
