/*
 * A catalogue with a history: one small shop, its snapshots at made moments, some of them from a schedule, and what runs and drills said.
 * For tests of what is told about all this; every snapshot has the same files.
 *
 *     plant_history CATALOGUE PATH NOW_S SNAPSHOTS EVERY_S        the newest one is an hour old
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_log.h"
#include "shop_fixture.h"

#define NS INT64_C(1000000000)

static const char dump_facts[] =
    "{\"engine\":\"mysql\",\"database\":\"shop\",\"format\":\"sql\",\"moment_ns\":1,\"is_nopcommerce\":true,\"tables\":["
    "{\"name\":\"Customer\",\"rows\":%d,\"max_id\":9},{\"name\":\"Order\",\"rows\":%d,\"max_id\":9},"
    "{\"name\":\"<b>odd</b>\",\"rows\":%d,\"max_id\":-1}],\"warnings\":[]}";

static void turn_into(struct snapshot_record *r, const char *path, int64_t made_ns, int age, int count)
{
    char facts[512];

    r->id[0] = '\0';
    r->made_ns = r->from_ns = r->to_ns = made_ns;
    free(r->site_path);
    r->site_path = strdup(path);
    r->roots[0].bytes = 40000000 + (uint64_t)(count - age) * 90000;
    r->bytes_new = r->bytes_stored = 20000 + (uint64_t)(age % 7) * 4000;
    r->kind = age % 10 == 9 ? SNAPSHOT_BEFORE_UPGRADE : SNAPSHOT_SCHEDULED;
    (void)snprintf(facts, sizeof(facts), dump_facts, 1000 + (count - age) * 3, 5000 + (count - age) * 11, count - age);
    free(r->dump_facts);
    r->dump_facts = strdup(facts);
    free(r->nop_version);
    r->nop_version = strdup(age > count / 2 ? "4.60.3" : "4.70.2");
}

static enum error_kind log_work(struct catalog *cat, const char *site_id, const char *kind, int64_t at_ns, int status,
                                const char *facts, struct error *err)
{
    struct run_entry e = {at_ns - 252 * NS - NS / 4, at_ns, site_id, kind, status, facts};

    return catalog_run_add(cat, &e, err);
}

static enum error_kind plant(struct catalog *cat, const char *path, int64_t now_ns, int count, int64_t every_ns,
                             struct error *err)
{
    struct shop shop = {.seed = 1, .version = 0, .folders = 2, .files = 4, .big = 0, .dump = 20000};
    struct snapshot_record r = SNAPSHOT_RECORD_INIT;
    struct store *store = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(cat, path, site_id, err);

    if (!rc)
        rc = shop_snapshot(cat, &shop, site_id, &r, err);
    if (!rc) {
        const char *first = r.id;

        rc = snapshot_forget(cat, &first, 1, err);
    }
    if (!rc)
        rc = store_begin(cat, NULL, &store, err);
    for (int age = count - 1; age >= 0 && !rc; age--) {
        turn_into(&r, path, now_ns - 3600 * NS - age * every_ns, age, count);
        rc = snapshot_commit(store, &r, err);
        if (!rc && age < 40)
            rc = log_work(cat, site_id, "run", r.made_ns + 252 * NS, age == 3 ? 1 : 0, "{\"bytes\":1}", err);
        if (!rc && age % 7 == 1 && age < 40)
            rc = log_work(cat, site_id, "drill", r.made_ns + 999 * NS, 0, NULL, err);
        if (!rc && age == count / 2)
            rc = log_work(cat, site_id, "upgrade", r.made_ns + 1000 * NS, 0,
                          "{\"from\":\"4.60.3\",\"to\":\"4.70.2\",\"down_ms\":95000}", err);
    }
    store_free(store);
    snapshot_record_release(&r);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;
    enum error_kind rc;

    if (argc != 6)
        return 2;
    rc = catalog_init(argv[1], &err);
    if (!rc)
        rc = catalog_open(argv[1], CATALOG_WRITE, 0, &cat, &err);
    if (!rc)
        rc = plant(cat, argv[2], strtoll(argv[3], NULL, 10) * NS, atoi(argv[4]), strtoll(argv[5], NULL, 10) * NS, &err);
    catalog_close(cat);
    if (rc)
        fprintf(stderr, "%s\n", err.text);
    return rc ? 1 : 0;
}
