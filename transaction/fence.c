/*
 * The fence: the shop is stopped, and kept from starting.
 *
 * F1  up:    drop-in and daemon-reload (systemd is asked whether it applies), fence file, fsync, stop. A reboot in between finds the drop-in
 *            before the file matters.
 * F2  start: the fence file goes, start, and the unit is seen active.
 * F3  again (to undo): the fence file comes first, then the stop.
 * F4  down:  the drop-in goes last, when nothing is left to protect.
 * With the owner's own stop and start commands only the stop is done; the plan says that nothing holds across a reboot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "transaction_internal.h"

#define ACTIVE_TIMEOUT_MS 30000

enum error_kind fence_init(struct fence *f, const struct place *p, const struct txn *txn, struct error *err)
{
    enum error_kind rc = place_path(p, "fence", &f->file, err);

    f->txn = txn;
    if (!rc && txn->service)
        rc = fence_unit_path(txn->service, &f->dropin, err);
    return rc;
}

void fence_release(struct fence *f)
{
    free(f->file);
    free(f->dropin);
    *f = (struct fence){NULL, NULL, NULL};
}

bool fence_can_stop(const struct txn *t)
{
    return t->service || t->stop;
}

enum error_kind fence_problems(const struct txn *t, struct text_list *out, struct error *err)
{
    enum error_kind rc = OK;

    if (t->service && geteuid() != 0) /* with a `stop` of the owner's too: the drop-in is ours */
        rc = text_list_addf(out, err, "stopping %s and keeping it stopped needs root", t->service);
    if (!rc && t->service)
        rc = fence_unit_problems(t->service, out, err);
    if (!rc && t->stop && !t->start && !t->service)
        rc = text_list_add(out, "the config has `stop` without `start` or `service`: the shop would stay stopped", err);
    return rc;
}

static enum error_kind put_file(const struct fence *f, struct error *err)
{
    static const char text[] = "nopsnap keeps the shop from starting while this file exists; see `nopsnap recover`\n";

    return file_replace(f->file, text, sizeof(text) - 1, 0600, err);
}

/* An owner's command that fails says so with its status; what it prints may hold secrets and is not repeated. */
static enum error_kind owners_command(const char *what, const char *command, struct error *err)
{
    int status = 0;
    enum error_kind rc = process_shell(command, NULL, &status, err);

    if (!rc && status != 0) {
        rc = error_set(err, ERR_REMOTE, 0, "the `%s` command of the config ended with status %d", what, status);
        error_hint(err, "run it by hand and see what it says");
    }
    return rc;
}

static enum error_kind unit_verb(const char *verb, const char *unit, struct error *err)
{
    const char *const argv[] = {"systemctl", verb, unit, NULL};
    struct process_spec spec = {.argv = argv};
    enum error_kind rc = process_run(&spec, NULL, NULL, err);

    if (rc)
        error_hint(err, "see `systemctl status %s`", unit);
    return rc;
}

/* Who may not start it needs not, where it runs: a stop that failed before it began must not end in the need of hands. */
static enum error_kind start_unit(const char *unit, struct error *err)
{
    struct error refused = ERROR_INIT;
    bool active = false;
    enum error_kind rc = unit_verb("start", unit, &refused);

    if (!rc)
        return OK;
    rc = fence_unit_active(unit, &active, err);
    if (!rc && !active) {
        error_copy(err, &refused);
        rc = err->kind;
    }
    return rc;
}

static enum error_kind stop(const struct fence *f, struct error *err)
{
    enum error_kind rc = OK;

    if (f->txn->close)
        rc = owners_command("close", f->txn->close, err);
    if (!rc && f->txn->stop)
        rc = owners_command("stop", f->txn->stop, err);
    else if (!rc && f->txn->service)
        rc = unit_verb("stop", f->txn->service, err);
    return rc;
}

enum error_kind fence_up(const struct fence *f, struct error *err)
{
    char *folder = NULL;
    enum error_kind rc = path_parent(f->file, &folder, err);

    if (!rc && f->dropin)
        rc = fence_unit_write(f->txn->service, f->dropin, f->file, folder, err);
    if (!rc)
        rc = put_file(f, err);
    if (!rc)
        rc = stop(f, err);
    if (rc)
        error_context(err, "stopping the shop");
    free(folder);
    return rc;
}

enum error_kind fence_again(const struct fence *f, struct error *err)
{
    char *folder = NULL;
    enum error_kind rc = put_file(f, err);

    if (!rc)
        rc = path_parent(f->file, &folder, err);
    if (!rc && f->dropin)
        rc = fence_unit_write(f->txn->service, f->dropin, f->file, folder, err);
    if (!rc)
        rc = stop(f, err);
    if (rc)
        error_context(err, "stopping the shop");
    free(folder);
    return rc;
}

static enum error_kind wait_active(const char *unit, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + ACTIVE_TIMEOUT_MS;
    bool active = false;
    enum error_kind rc;

    do {
        rc = fence_unit_active(unit, &active, err);
        if (rc || active)
            return rc;
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    } while (clock_monotonic_ms() < deadline);
    rc = error_set(err, ERR_REMOTE, 0, "%s does not become active", unit);
    error_hint(err, "see `journalctl -u %s`", unit);
    return rc;
}

enum error_kind fence_start(const struct fence *f, struct error *err)
{
    struct error gone = ERROR_INIT;
    enum error_kind rc = file_unlink(AT_FDCWD, f->file, &gone);

    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &gone);
        return rc;
    }
    rc = directory_sync_parent(f->file, err);
    if (!rc && f->txn->start)
        rc = owners_command("start", f->txn->start, err);
    else if (!rc && f->txn->service)
        rc = start_unit(f->txn->service, err);
    if (!rc && f->txn->service)
        rc = wait_active(f->txn->service, err);
    if (!rc && f->txn->open)
        rc = owners_command("open", f->txn->open, err);
    if (rc)
        error_context(err, "starting the shop");
    return rc;
}

enum error_kind fence_down(const struct fence *f, struct error *err)
{
    struct error gone = ERROR_INIT;
    enum error_kind rc = file_unlink(AT_FDCWD, f->file, &gone);

    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &gone);
        return rc;
    }
    rc = directory_sync_parent(f->file, err);
    if (!rc && f->dropin)
        rc = fence_unit_remove(f->dropin, err);
    return rc;
}
