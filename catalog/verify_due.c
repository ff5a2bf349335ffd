#include <stdlib.h>

#include "maintain_internal.h"

#define OF_FUTURE_NS (3600 * INT64_C(1000000000)) /* a clock may be put right by so much */
#define FRESH_SHARE 8 /* what was read in this part of the time is not read again to even out the load */

int64_t verify_pack_since(const struct verify_pack *p)
{
    return p->read_ns ? p->read_ns : p->row.made_ns;
}

static int compare_age(const void *x, const void *y)
{
    const struct verify_pack *a = x;
    const struct verify_pack *b = y;

    if (a->since_ns != b->since_ns)
        return a->since_ns < b->since_ns ? -1 : 1;
    return (a->row.number > b->row.number) - (a->row.number < b->row.number);
}

void verify_sort(struct verify_pack *items, size_t count, int64_t now_ns)
{
    for (size_t i = 0; i < count; i++) {
        int64_t since = verify_pack_since(&items[i]);

        items[i].since_ns = since > now_ns + OF_FUTURE_NS ? 0 : since;
    }
    if (count > 0)
        qsort(items, count, sizeof(*items), compare_age);
}

/* How many runs can still read it in time, this one included: at least that one. */
static int64_t runs_left(const struct verify_pack *p, const struct verify_rhythm *r)
{
    int64_t left = p->since_ns + r->within_ns - r->now_ns;

    return left <= r->interval_ns || r->interval_ns <= 0 ? 1 : (left - 1) / r->interval_ns + 1;
}

/*
 * The least even pace at which every pack of a sorted list is read in time: of all beginnings of the list, the one with the most bytes for the runs
 * that are left to its last one. It says how much this run should read, and up to which pack the pace holds.
 */
static double even_amount(const struct verify_pack *items, size_t count, const struct verify_rhythm *r, size_t *last)
{
    double bytes = 0;
    double amount = 0;

    *last = 0;
    for (size_t i = 0; i < count; i++) {
        double here;

        bytes += (double)items[i].row.size;
        here = bytes / (double)runs_left(&items[i], r);
        if (here < amount)
            continue;
        amount = here;
        *last = i;
    }
    return amount;
}

uint64_t verify_due(struct verify_pack *items, size_t count, const struct verify_rhythm *r)
{
    size_t last = 0;
    double amount = even_amount(items, count, r, &last);
    uint64_t due = 0;

    for (size_t i = 0; i < count; i++) {
        items[i].due = runs_left(&items[i], r) == 1;
        due += items[i].due ? items[i].row.size : 0;
    }
    for (size_t i = 0; i < count && i <= last; i++) {
        if (items[i].due || (double)(due + items[i].row.size) > amount ||
            r->now_ns - items[i].since_ns < r->within_ns / FRESH_SHARE)
            continue;
        items[i].due = true;
        due += items[i].row.size;
    }
    return due;
}
