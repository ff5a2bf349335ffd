/*
 * Whether the shop that was started still runs: as its unit says, or, where a command of the owner's starts it, as the process says that
 * runs a program of the tree (its executable lies there, or it maps a file there, as .NET does with assemblies). Who only works in the tree
 * or reads it (a shell, a backup) is nobody to judge by.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "transaction_internal.h"

_Static_assert(sizeof(((struct shop_life *)0)->run) == FENCE_RUN_MAX, "a unit's run fits");

#define GONE_MS 3000    /* one program may hand over to the next */
#define HANDOVERS_MAX 2 /* a tool before the shop, a launcher: more of them is a shop that falls over again and again */
#define NEVER_SEEN_MS 20000 /* a start command may return before the program begins */
#define TICK_MS 20          /* the kernel counts a process's start in ticks */

void shop_watch_release(struct shop_watch *w)
{
    if (w->held)
        file_close(&w->fd);
    w->held = false;
}

static int64_t since_boot_ms(void)
{
    struct timespec t = {.tv_sec = 0};

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void shop_watch_expect(struct shop_watch *w, const struct txn *t)
{
    int fd = t->service ? -1 : quiet_program(t->site_path, 0);

    w->expected = w->expected || fd >= 0;
    file_close(&fd);
}

void shop_watch_begin(struct shop_watch *w, const struct txn *t)
{
    bool expected = w->expected;

    shop_watch_release(w);
    *w = (struct shop_watch){.service = t->service, .root = t->site_path, .expected = expected};
    w->began_ms = since_boot_ms();
    w->patience_ms = NEVER_SEEN_MS;
    shop_watch_allow(w, t->health_timeout_ms);
}

void shop_watch_allow(struct shop_watch *w, int64_t ms)
{
    if (w->patience_ms < ms)
        w->patience_ms = ms;
}

/* ---- its process ---- */

static void take(struct shop_watch *w, int fd)
{
    char run[sizeof(w->run)];
    long pid = 0;
    int64_t start = quiet_start_ms(fd, &pid);
    bool came_after;

    (void)snprintf(run, sizeof(run), "%ld of %lld", pid, (long long)start);
    came_after = w->seen_ms && start >= w->seen_ms - TICK_MS &&
                 strcmp(run, w->last) != 0; /* else it was there beside the one that has gone */
    w->handovers += came_after;
    if (!w->seen_ms || (came_after && w->handovers > HANDOVERS_MAX))
        memcpy(w->run, run, sizeof(run));
    memcpy(w->last, run, sizeof(run));
    shop_watch_release(w);
    w->fd = fd;
    w->held = true;
}

static void tell_end(const struct shop_watch *w, int64_t now, struct shop_life *out)
{
    char lasted[TEXT_MAX];

    text_duration((uint64_t)((w->seen_ms ? w->seen_ms : now) - w->began_ms), lasted);
    if (w->seen_ms)
        (void)snprintf(out->ended, sizeof(out->ended), "%s after its start", lasted);
    else
        (void)snprintf(out->ended, sizeof(out->ended), "or has never begun: nobody runs it %s after its start", lasted);
}

static void look_at_process(struct shop_watch *w, struct shop_life *out)
{
    int64_t now = since_boot_ms();
    int64_t patience = w->seen_ms ? GONE_MS : w->patience_ms;
    int64_t since;

    if (!w->looked_ms)
        w->looked_ms = now; /* the start command has ended, however long it took */
    since = w->seen_ms ? w->seen_ms : w->looked_ms;
    *out = (struct shop_life){.known = false};
    if (!w->root || (!w->seen_ms && !w->expected && now - since > patience))
        return; /* it can't be seen from here */
    if (!w->held || !quiet_runs_program(w->root, w->fd)) {
        int fd = quiet_program(w->root, w->began_ms - TICK_MS);

        if (fd >= 0)
            take(w, fd);
        else
            shop_watch_release(w);
    }
    if (w->held)
        w->seen_ms = now;
    out->alive = w->held;
    out->known = w->held || (now - since > patience);
    memcpy(out->run, w->run, sizeof(out->run));
    if (out->known && !out->alive)
        tell_end(w, now, out);
}

/* ---- both ---- */

enum error_kind shop_watch_look(struct shop_watch *w, struct shop_life *out, struct error *err)
{
    struct shop_life life = {.known = true};
    enum error_kind rc = OK;

    if (w->service) {
        rc = fence_unit_active(w->service, &life.alive, err);
        if (!rc)
            rc = fence_unit_run(w->service, life.run, err);
    } else {
        look_at_process(w, &life);
    }
    if (!rc)
        *out = life;
    return rc;
}
