/*
 * More releases than one, one after the other, in one upgrade: each is started on what the one before has left, and the last one stays. There is one
 * held snapshot, one restore point, one kept tree and one kept database, whatever the number of stages: until the decision everything is undone to the
 * old shop, and the journal needs to know no more than that a new one was started.
 *
 *   G1  the tree that a stage leaves is the live one, with the identity that was exchanged: it is changed into the next stage's in place, while it is
 *       fenced. Nobody goes back to a state between two stages, so that there is nothing to keep whole there (P2 is about the old tree)
 *   G2  what snapshots leave out (thumbs, logs, db_backups) stays in the live tree, where an undo looks for it
 *   G3  what no stage carries on lies in the transaction's folder until all of them are well
 */
#include <fcntl.h>
#include <stdlib.h>

#include "thread.h"
#include "transaction_internal.h"

#define ASIDE "stages"

static enum error_kind aside_make(const struct transaction_context *x, size_t stage, char **out, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = memory_format(&path, err, "%s/" ASIDE "/%zu", x->txn.stage, stage);

    if (!rc)
        rc = directory_make_all(path, err);
    if (rc)
        free(path);
    else
        *out = path;
    return rc;
}

static enum error_kind aside_remove(const struct transaction_context *x, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = path_join(x->txn.stage, ASIDE, &path, err);

    if (!rc)
        rc = directory_remove_tree(AT_FDCWD, path, err);
    free(path);
    return rc;
}

static enum error_kind next(struct transaction_context *x, size_t stage, const struct progress *progress,
                            struct error *err)
{
    char *aside = NULL;
    enum error_kind rc = switch_pause(x, progress, err);

    if (!rc)
        rc = aside_make(x, stage, &aside, err);
    if (!rc)
        rc = x->steps->advance(x->steps->arg, stage, x->txn.site_path, aside, progress, err);
    if (!rc)
        rc = stage_sync(x, err);
    if (!rc && x->steps->scripts)
        rc = x->steps->scripts(x->steps->arg, x->reach.db, progress, err);
    free(aside);
    return rc;
}

enum error_kind forward_stages(struct transaction_context *x, bool *warned, const struct progress *progress,
                               struct error *err)
{
    enum error_kind rc = OK;

    if (x->steps->stages < 2)
        return OK;
    for (size_t i = 1; i < x->steps->stages && !rc; i++) {
        bool so = false;

        rc = cancel_check(err);
        if (!rc)
            rc = next(x, i, progress, err);
        if (!rc)
            rc = forward_start(x, &so, progress, err);
        *warned = *warned || so;
    }
    return rc ? rc : aside_remove(x, err); /* G3 */
}
