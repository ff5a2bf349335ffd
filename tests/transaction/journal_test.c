/* The journal: J1 to J3 of journal.c, at every byte; and the decision. */
#include "test_support.h"

#include <fcntl.h>

#include "transaction_internal.h"

#define TOKEN "0123abcd"

static void place_here(struct place *p, const char *folder)
{
    struct error err = ERROR_INIT;

    *p = (struct place)PLACE_INIT;
    assert_int_equal(memory_format(&p->root, &err, "%s/shop", folder), OK);
    assert_int_equal(memory_string(folder, &p->parent, &err), OK);
    assert_int_equal(memory_format(&p->folder, &err, "%s/.nopsnap-shop", folder), OK);
    assert_int_equal(place_make(p, &err), OK);
}

static struct json *begin_record(void)
{
    struct txn t = TXN_INIT;
    struct json *record = NULL;
    struct error err = ERROR_INIT;

    memcpy(t.token, TOKEN, sizeof(t.token));
    t.has_files = true;
    assert_int_equal(memory_string("/srv/sh\xffop", &t.site_path, &err), OK); /* no UTF-8 */
    assert_int_equal(memory_string("/srv/catalog", &t.catalog, &err), OK);
    assert_int_equal(memory_string("11111111111111111111111111111111", &t.target, &err), OK);
    assert_int_equal(text_list_add(&t.rules, "layout core", &err), OK);
    assert_int_equal(text_list_add(&t.rules,
                                   "exclude /vid\xff"
                                   "eos",
                                   &err),
                     OK);
    assert_int_equal(txn_begin_record(&t, &record, &err), OK);
    txn_release(&t);
    return record;
}

static void write_journal(struct place *p, struct buffer *bytes)
{
    static const char *const steps[] = {"staged", "load_begun", "fence_begun", "switch_begun"};
    struct journal j = JOURNAL_INIT;
    struct error err = ERROR_INIT;
    struct json *begin = begin_record();

    assert_int_equal(journal_create(&j, p, begin, &err), OK);
    json_free(begin);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(txn_step(&j, steps[i], &err), OK);
    assert_int_equal(file_read_whole(AT_FDCWD, j.path, 1 << 20, bytes, &err), OK);
    journal_close(&j);
}

/* Where each record ends. */
static size_t record_ends(const struct buffer *b, size_t ends[8])
{
    size_t n = 0;

    for (size_t at = 0; at < b->len; n++) {
        at += 16 + ((size_t)b->data[at + 4] | (size_t)b->data[at + 5] << 8);
        assert_in_range(n, 0, 7);
        ends[n] = at;
    }
    return n;
}

static unsigned steps_of(const struct txn *t)
{
    return (unsigned)t->staged + (unsigned)t->load_begun + (unsigned)t->fence_begun + (unsigned)t->switch_begun;
}

static void journal__is_replayed_as_it_was_written(void **state)
{
    struct place p;
    struct buffer b = BUFFER_INIT(1 << 20);
    struct journal j = JOURNAL_INIT;
    struct txn t = TXN_INIT;
    struct error err = ERROR_INIT;

    place_here(&p, *state);
    write_journal(&p, &b);
    assert_int_equal(journal_open(&j, &p, txn_replay, &t, &err), OK);
    assert_string_equal(t.token, TOKEN);
    assert_string_equal(t.site_path, "/srv/sh\xffop");
    assert_int_equal(t.rules.count, 2);
    assert_string_equal(t.rules.items[1], "exclude /vid\xff"
                                          "eos");
    assert_int_equal(steps_of(&t), 4);
    assert_false(t.start_begun);
    assert_int_equal(txn_step(&j, "start_begun", &err), OK);
    journal_close(&j);
    txn_release(&t);
    t = (struct txn)TXN_INIT;
    assert_int_equal(journal_open(&j, &p, txn_replay, &t, &err), OK);
    assert_true(t.start_begun);
    journal_close(&j);
    txn_release(&t);
    buffer_release(&b);
    place_release(&p);
}

static void journal__torn_at_any_byte_keeps_the_records_before(void **state)
{
    struct place p;
    struct buffer b = BUFFER_INIT(1 << 20);
    size_t ends[8];
    size_t n;

    place_here(&p, *state);
    write_journal(&p, &b);
    n = record_ends(&b, ends);
    assert_int_equal(n, 5);
    for (size_t len = 0; len <= b.len; len++) {
        struct txn t = TXN_INIT;
        struct error err = ERROR_INIT;
        uint64_t good = 0;
        size_t whole = 0;

        while (whole < n && ends[whole] <= len)
            whole++;
        assert_int_equal(journal_replay(b.data, len, txn_replay, &t, &good, &err), OK);
        assert_int_equal(good, whole ? ends[whole - 1] : 0);
        assert_int_equal(steps_of(&t), whole ? whole - 1 : 0);
        txn_release(&t);
    }
    buffer_release(&b);
    place_release(&p);
}

static void journal__any_changed_byte_is_torn_or_damage(void **state)
{
    struct place p;
    struct buffer b = BUFFER_INIT(1 << 20);
    size_t ends[8];
    size_t n;

    place_here(&p, *state);
    write_journal(&p, &b);
    n = record_ends(&b, ends);
    for (size_t at = 0; at < b.len; at++) {
        struct txn t = TXN_INIT;
        struct error err = ERROR_INIT;
        uint64_t good = 0;
        enum error_kind rc;

        b.data[at] ^= 0x40;
        rc = journal_replay(b.data, b.len, txn_replay, &t, &good, &err);
        b.data[at] ^= 0x40;
        assert_int_equal(rc, at < ends[n - 2] ? ERR_PENDING : OK); /* J3; J2 for the last record */
        if (!rc)
            assert_int_equal(good, ends[n - 2]);
        txn_release(&t);
    }
    buffer_release(&b);
    place_release(&p);
}

static void journal__opening_cuts_the_torn_record_off(void **state)
{
    struct place p;
    struct buffer b = BUFFER_INIT(1 << 20);
    struct journal j = JOURNAL_INIT;
    struct txn t = TXN_INIT;
    struct error err = ERROR_INIT;
    size_t ends[8];
    char *path = NULL;
    struct stat st;

    place_here(&p, *state);
    write_journal(&p, &b);
    (void)record_ends(&b, ends);
    assert_int_equal(place_path(&p, "journal", &path, &err), OK);
    assert_int_equal(truncate(path, (off_t)ends[3] + 7), 0);
    assert_int_equal(journal_open(&j, &p, txn_replay, &t, &err), OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, ends[3]);
    assert_int_equal(steps_of(&t), 3);
    journal_close(&j);
    txn_release(&t);
    assert_int_equal(truncate(path, 5), 0); /* not even its beginning */
    assert_int_equal(journal_open(&j, &p, txn_replay, &t, &err), ERR_PENDING);
    journal_close(&j);
    txn_release(&t);
    free(path);
    buffer_release(&b);
    place_release(&p);
}

static void journal__is_not_begun_twice(void **state)
{
    struct place p;
    struct buffer b = BUFFER_INIT(1 << 20);
    struct journal j = JOURNAL_INIT;
    struct error err = ERROR_INIT;
    struct json *begin = begin_record();

    place_here(&p, *state);
    write_journal(&p, &b);
    assert_int_equal(journal_create(&j, &p, begin, &err), ERR_PENDING);
    assert_int_equal(j.fd, -1);
    json_free(begin);
    journal_close(&j);
    buffer_release(&b);
    place_release(&p);
}

static void journal__its_end_and_tidying_leave_nothing(void **state)
{
    struct place p;
    struct journal j = JOURNAL_INIT;
    struct error err = ERROR_INIT;
    struct json *begin = begin_record();

    place_here(&p, *state);
    assert_int_equal(journal_create(&j, &p, begin, &err), OK);
    assert_int_equal(decision_write(&p, TOKEN, DECISION_COMMIT, &err), OK);
    assert_int_equal(journal_end(&j, &p, &err), OK);
    assert_false(place_has(&p, "journal"));
    assert_false(place_has(&p, "decision"));
    assert_int_equal(file_replace(".nopsnap-shop/journal.new", "x", 1, 0600, &err), OK);
    assert_int_equal(file_replace(".nopsnap-shop/.nopsnap-draft-77", "x", 1, 0600, &err), OK);
    assert_int_equal(journal_tidy(&p, &err), OK);
    assert_int_equal(rmdir(".nopsnap-shop"), 0);
    assert_int_equal(journal_tidy(&p, &err), OK);
    json_free(begin);
    place_release(&p);
}

static enum decision decision_now(const struct place *p, const char *token)
{
    enum decision d = DECISION_COMMIT;
    struct error err = ERROR_INIT;

    assert_int_equal(decision_read(p, token, &d, &err), OK);
    return d;
}

static void decision__counts_only_for_its_transaction_and_undamaged(void **state)
{
    struct place p;
    struct error err = ERROR_INIT;
    char *path = NULL;
    struct buffer b = BUFFER_INIT(4096);

    place_here(&p, *state);
    assert_int_equal(decision_now(&p, TOKEN), DECISION_NONE);
    assert_int_equal(decision_write(&p, TOKEN, DECISION_COMMIT, &err), OK);
    assert_int_equal(decision_now(&p, TOKEN), DECISION_COMMIT);
    assert_int_equal(decision_now(&p, "ffffffff"), DECISION_NONE);
    assert_int_equal(place_path(&p, "decision", &path, &err), OK);
    assert_int_equal(file_read_whole(AT_FDCWD, path, 4096, &b, &err), OK);
    for (size_t i = 0; i < b.len; i++) { /* T3: no damage may read as "commit" */
        b.data[i] ^= 1;
        assert_int_equal(file_replace(path, b.data, b.len, 0600, &err), OK);
        assert_int_equal(decision_now(&p, TOKEN), DECISION_NONE);
        b.data[i] ^= 1;
        assert_int_equal(file_replace(path, b.data, i, 0600, &err), OK);
        assert_int_equal(decision_now(&p, TOKEN), DECISION_NONE);
    }
    assert_int_equal(decision_write(&p, TOKEN, DECISION_UNDO, &err), OK);
    assert_int_equal(decision_now(&p, TOKEN), DECISION_UNDO);
    free(path);
    buffer_release(&b);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(journal__is_replayed_as_it_was_written),
        folder_test(journal__torn_at_any_byte_keeps_the_records_before),
        folder_test(journal__any_changed_byte_is_torn_or_damage),
        folder_test(journal__opening_cuts_the_torn_record_off),
        folder_test(journal__is_not_begun_twice),
        folder_test(journal__its_end_and_tidying_leave_nothing),
        folder_test(decision__counts_only_for_its_transaction_and_undamaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
