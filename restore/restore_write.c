/*
 * A writer's beginning and end, and the damage that it meets.
 */
#include <stdlib.h>

#include "restore_write_internal.h"

#define JOB_QUEUE (2u * (WINDOW_FILES + WINDOW_PLAIN)) /* the walk must never wait for a place */
#define WRITERS_DEFAULT_MAX 4                          /* each holds a frame in memory */

/* ---- damage ---- */

enum error_kind writer_file_damaged(struct writer *w, const char *path, struct error *err)
{
    enum error_kind kind = err->kind;
    struct error adding = ERROR_INIT;

    pthread_mutex_lock(&w->lock);
    text_list_addf(&w->spec.result->damaged, &adding, "%s: %s", path, err->text);
    pthread_mutex_unlock(&w->lock);
    if (w->options->keep_going && !adding.kind) {
        error_clear(err);
        return OK;
    }
    error_context(err, "restoring %s", path);
    return kind;
}

enum error_kind writer_damaged(struct writer *w, const char *path, const struct error *why, struct error *err)
{
    *err = *why;
    return writer_file_damaged(w, path[0] ? path : ".", err);
}

/* ---- beginning and end ---- */

static enum error_kind hand_init(struct hand *h, struct writer *w, struct error *err)
{
    *h = (struct hand){w, NULL, BUFFER_INIT(RESTORE_PATH_MAX), OPEN_FRAME_INIT, 0, 0, -1, -1};
    return tree_scratch_new(&h->scratch, err);
}

static void hand_release(struct hand *h)
{
    if (!h->writer)
        return;
    tree_scratch_free(h->scratch);
    buffer_release(&h->path);
    open_frame_release(&h->held);
    file_close(&h->target_fd);
    file_close(&h->live_fd);
}

static enum error_kind start_hands(struct writer *w, struct error *err)
{
    void *states[WRITERS_DEFAULT_MAX * 4];
    unsigned count = w->options->writers ? w->options->writers : (unsigned)thread_processors() + 1;
    void *memory = NULL;
    enum error_kind rc;

    if (!w->options->writers && count > WRITERS_DEFAULT_MAX)
        count = WRITERS_DEFAULT_MAX;
    if (count > sizeof(states) / sizeof(states[0]))
        count = sizeof(states) / sizeof(states[0]);
    rc = memory_zeroed(count, sizeof(*w->hands), &memory, err);
    if (rc)
        return rc;
    w->hands = memory;
    w->hand_count = count;
    for (unsigned i = 0; !rc && i < count; i++) {
        rc = hand_init(&w->hands[i], w, err);
        states[i] = &w->hands[i];
    }
    return rc ? rc : crew_start(count, JOB_QUEUE, put_job_run, states, &w->crew, err);
}

enum error_kind writer_new(const struct writer_spec *spec, struct writer **out, struct error *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    enum error_kind rc;

    if (!w)
        return error_set(err, ERR_MEMORY, 0, "out of memory for writing files");
    w->spec = *spec;
    w->options = spec->options;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->over, NULL);
    rc = hand_init(&w->walker, w, err);
    for (unsigned i = 0; !rc && i < 2 * LANES; i++)
        rc = write_window_init(&w->lanes[i / 2].windows[i % 2], i / 2 == LANE_FRAMES ? WINDOW_FILES : WINDOW_PLAIN,
                               w->options->placed != NULL, err);
    if (!rc)
        rc = start_hands(w, err);
    if (rc) {
        writer_free(w);
        return rc;
    }
    *out = w;
    return OK;
}

/* Wait for whatever is under way, so that no thread and no folder is left behind. */
static enum error_kind drain(struct writer *w, struct error *err)
{
    enum error_kind rc = OK;

    for (unsigned i = 0; i < LANES; i++) {
        struct window *win = &w->lanes[i].windows[w->lanes[i].filling];

        if (win->count > 0)
            write_window_launch(w, win);
    }
    for (unsigned i = 0; i < 2 * LANES; i++) {
        struct error settling = ERROR_INIT;

        if (write_window_settle(w, &w->lanes[i / 2].windows[i % 2], &settling) && !rc) {
            rc = settling.kind;
            *err = settling;
        }
    }
    return rc;
}

enum error_kind writer_end(struct writer *w, struct error *err)
{
    struct restore_result *r = w->spec.result;
    struct error crew_error = ERROR_INIT;
    enum error_kind rc = drain(w, err);

    /* What a thread met is why the walk failed, if both did. */
    if (crew_end(w->crew, &crew_error)) {
        rc = crew_error.kind;
        *err = crew_error;
    }
    w->crew = NULL;
    r->files += atomic_load(&w->files);
    r->directories += atomic_load(&w->directories);
    r->bytes_written += atomic_load(&w->bytes);
    r->linked += atomic_load(&w->linked);
    r->reflinked += atomic_load(&w->reflinked);
    return rc;
}

void writer_free(struct writer *w)
{
    struct error ignored = ERROR_INIT;

    if (!w)
        return;
    if (w->crew)
        writer_end(w, &ignored);
    for (unsigned i = 0; i < w->hand_count; i++)
        hand_release(&w->hands[i]);
    free(w->hands);
    hand_release(&w->walker);
    for (unsigned i = 0; i < 2 * LANES; i++)
        write_window_release(&w->lanes[i / 2].windows[i % 2]);
    free(w->seen);
    pthread_cond_destroy(&w->over);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
