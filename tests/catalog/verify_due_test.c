/*
 * What a run reads, in years of simulated nights: nothing stays unread for longer than promised, at any rhythm, and no run reads much more than its share.
 */
#include <string.h>

#include "maintain_internal.h"

#include "test_support.h"

#define HOUR (3600 * INT64_C(1000000000))
#define DAY (24 * HOUR)
#define PACKS_MAX 4096
#define MB UINT64_C(1000000)

static struct {
    struct verify_pack items[PACKS_MAX];
    size_t count;
    int64_t now_ns, last_ns;
    int64_t worst_ns; /* the longest that anything was unread when a run began */
    uint64_t most, all, runs, idle;
    uint64_t number;
} sim;

static void sim_begin(int64_t now_ns)
{
    memset(&sim, 0, sizeof(sim));
    sim.now_ns = now_ns;
}

static void sim_add(uint64_t size)
{
    assert_true(sim.count < PACKS_MAX);
    sim.items[sim.count++] = (struct verify_pack){.row = {.number = ++sim.number, .size = size, .made_ns = sim.now_ns}};
}

/* As backup/run.c does: the next run is expected after as long as the last one is ago. */
static uint64_t sim_run(int64_t within_ns)
{
    struct verify_rhythm r = {sim.now_ns, within_ns, sim.last_ns ? sim.now_ns - sim.last_ns : DAY};
    uint64_t read = 0;
    uint64_t due;

    if (r.interval_ns > within_ns)
        r.interval_ns = within_ns;
    verify_sort(sim.items, sim.count, sim.now_ns);
    due = verify_due(sim.items, sim.count, &r);
    for (size_t i = 0; i < sim.count; i++) {
        int64_t unread = sim.now_ns - verify_pack_since(&sim.items[i]);

        if (unread > sim.worst_ns)
            sim.worst_ns = unread;
        if (!sim.items[i].due)
            continue;
        read += sim.items[i].row.size;
        sim.items[i].read_ns = sim.now_ns;
    }
    assert_int_equal(read, due);
    if (sim.last_ns && read > sim.most) /* the first run can't know the rhythm */
        sim.most = read;
    sim.idle += read == 0;
    sim.all += read;
    sim.runs++;
    sim.last_ns = sim.now_ns;
    return read;
}

/* Retention: of the packs that each night brought only the newest stay. */
static void sim_drop_old(size_t base, size_t keep)
{
    uint64_t oldest = sim.number > keep ? sim.number - keep : 0;
    size_t to = 0;

    for (size_t i = 0; i < sim.count; i++)
        if (sim.items[i].row.number <= base || sim.items[i].row.number > oldest)
            sim.items[to++] = sim.items[i];
    sim.count = to;
}

static void due__a_large_old_pack_is_read_while_every_night_brings_new_ones(void **state)
{
    (void)state;
    sim_begin(1000 * DAY);
    sim_add(34 * MB / 10);
    for (unsigned night = 0; night < 400; night++) {
        sim_add(MB / 5);
        sim_run(30 * DAY);
        sim_drop_old(1, 30);
        sim.now_ns += DAY;
    }
    assert_true(sim.worst_ns <= 30 * DAY);
    assert_in_range(sim.most, 34 * MB / 10, 34 * MB / 10 + MB / 5);
    assert_true(sim.all < 400 / 27 * (34 * MB / 10) + 400 * MB / 5); /* nor is it read over and over again */
}

/* 200 packs that were made together, and one that each run brings, in twelve times the time in which all is to be read. */
static void simulate(int64_t every_ns, int64_t jitter_ns, int64_t within_ns)
{
    uint64_t random = 1;

    sim_begin(1000 * DAY);
    for (unsigned i = 0; i < 200; i++)
        sim_add(64 * MB);
    for (int64_t end = sim.now_ns + 12 * within_ns; sim.now_ns < end;) {
        random = random * UINT64_C(6364136223846793005) + 1;
        sim_add(MB);
        sim_run(within_ns);
        sim_drop_old(200, 20);
        sim.now_ns += every_ns + (int64_t)(random >> 2) % (2 * jitter_ns + 1) - jitter_ns;
    }
}

static void due__at_any_rhythm_nothing_waits_for_longer_than_the_time_and_an_interval(void **state)
{
    static const struct {
        int64_t every_ns, jitter_ns, within_ns;
    } rhythms[] = {{DAY, 0, 30 * DAY},          {DAY, HOUR, 30 * DAY},   {HOUR, 0, 30 * DAY},
                   {HOUR, HOUR / 12, 30 * DAY}, {7 * DAY, 0, 30 * DAY},  {7 * DAY, HOUR, 30 * DAY},
                   {30 * DAY, 0, 30 * DAY},     {60 * DAY, 0, 30 * DAY}, {6 * HOUR, 0, 7 * DAY},
                   {3 * DAY, 2 * DAY, 10 * DAY}};
    const uint64_t total = 200 * 64 * MB + 20 * MB;

    (void)state;
    for (size_t i = 0; i < sizeof(rhythms) / sizeof(*rhythms); i++) {
        int64_t longest = rhythms[i].every_ns + rhythms[i].jitter_ns;
        double share = (double)longest / (double)rhythms[i].within_ns;

        simulate(rhythms[i].every_ns, rhythms[i].jitter_ns, rhythms[i].within_ns);
        print_message("every %.2f of %.0f days: %.2f at most, %llu MB at most, %llu in the mean\n",
                      (double)rhythms[i].every_ns / DAY, (double)rhythms[i].within_ns / DAY, (double)sim.worst_ns / DAY,
                      (unsigned long long)(sim.most / MB), (unsigned long long)(sim.all / sim.runs / MB));
        assert_true(sim.worst_ns <= rhythms[i].within_ns + longest);
        if (rhythms[i].jitter_ns == 0 && rhythms[i].every_ns < rhythms[i].within_ns)
            assert_true(sim.worst_ns <= rhythms[i].within_ns);
        if (4 * rhythms[i].jitter_ns > rhythms[i].every_ns)
            continue; /* of a rhythm that is none no even share is known */
        assert_true((double)sim.most <= (share > 1 ? 1 : share) * 1.4 * (double)total + 4 * 64.0 * MB);
        assert_true((double)sim.all / (double)sim.runs <= (share > 1 ? 1 : share) * 1.1 * (double)total + MB);
    }
}

/* From a clock that was wrong: it is read now, and from then on as everything. */
static void due__what_is_dated_ahead_is_due(void **state)
{
    (void)state;
    sim_begin(5000 * DAY);
    sim_add(MB);
    sim.now_ns = 1000 * DAY;
    sim_add(MB);
    sim.last_ns = sim.now_ns - DAY;
    assert_int_equal(sim_run(30 * DAY), MB);
    assert_int_equal(sim.items[0].read_ns, sim.now_ns);
    sim.now_ns += DAY;
    assert_int_equal(sim_run(30 * DAY), 0);
}

static void due__a_large_pack_does_not_keep_small_ones_of_its_day_waiting(void **state)
{
    (void)state;
    sim_begin(1000 * DAY);
    sim_add(64 * MB);
    for (unsigned i = 0; i < 60; i++)
        sim_add(MB);
    for (unsigned night = 0; night < 300; night++) {
        sim_run(30 * DAY);
        sim.now_ns += DAY;
    }
    assert_true(sim.worst_ns <= 30 * DAY);
    assert_true(sim.most < 70 * MB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due__a_large_old_pack_is_read_while_every_night_brings_new_ones),
        cmocka_unit_test(due__at_any_rhythm_nothing_waits_for_longer_than_the_time_and_an_interval),
        cmocka_unit_test(due__what_is_dated_ahead_is_due),
        cmocka_unit_test(due__a_large_pack_does_not_keep_small_ones_of_its_day_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
