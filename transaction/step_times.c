/*
 * How long each step took, for the history and for whoever plans the next night: a progress that passes everything on and looks at the clock when a
 * step is named.
 */
#include <stdio.h>
#include <string.h>

#include "transaction_internal.h"

static void close_last(struct step_times *t)
{
    int64_t now = clock_monotonic_ms();

    if (t->count)
        t->steps[t->count - 1].ms += (uint64_t)(now - t->since_ms);
    t->since_ms = now;
}

static void on_step(void *arg, const char *line)
{
    struct step_times *t = arg;

    close_last(t);
    if (t->count < TRANSACTION_STEPS_MAX) {
        struct transaction_step *s = &t->steps[t->count++];

        *s = (struct transaction_step){.ms = 0};
        (void)snprintf(s->name, sizeof(s->name), "%s", line);
    } /* else the last one has the rest */
    progress_step(t->outer, "%s", line);
}

static void on_advance(void *arg, uint64_t done, uint64_t total, const char *unit)
{
    progress_advance(((struct step_times *)arg)->outer, done, total, unit);
}

static void on_note(void *arg, const char *line)
{
    progress_note(((struct step_times *)arg)->outer, "%s", line);
}

static void on_warn(void *arg, const char *line)
{
    progress_warn(((struct step_times *)arg)->outer, "%s", line);
}

void step_times_begin(struct step_times *t, const struct progress *outer)
{
    *t = (struct step_times){.outer = outer, .since_ms = clock_monotonic_ms()};
    t->progress = (struct progress){.arg = t, .step = on_step, .advance = on_advance, .note = on_note, .warn = on_warn};
}

void step_times_end(struct step_times *t, struct forward_result *out)
{
    close_last(t);
    memcpy(out->steps, t->steps, sizeof(out->steps));
    out->step_count = t->count;
}
