/*
 * A plan becomes files, and systemd is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "process.h"
#include "schedule_internal.h"

#define SYSTEMCTL_MS 90000
#define ASIDE_MAX 1000

/* Folders of units are for everybody to read, whatever this process keeps private otherwise. */
static enum error_kind folder_make(const char *path, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = directory_make(AT_FDCWD, path, 0755, &why);

    if (rc == ERR_EXISTS)
        return OK;
    if (rc)
        error_copy(err, &why);
    else if (chmod(path, 0755))
        rc = error_set(err, ERR_IO, errno, "cannot set the mode of %s", path);
    return rc ? rc : directory_sync_parent(path, err);
}

/* As a link, so that there is no moment without the file itself, under a name that is free: what was kept before stays. */
static enum error_kind keep_aside(const struct schedule_file *f, struct error *err)
{
    struct error taken = ERROR_INIT;
    char number[16] = "";
    enum error_kind rc = ERR_EXISTS;

    for (unsigned i = 1; rc == ERR_EXISTS && i <= ASIDE_MAX; i++) {
        char *aside = NULL;

        error_clear(&taken);
        if (i > 1)
            (void)snprintf(number, sizeof(number), ".%u", i);
        rc = memory_format(&aside, &taken, "%s.bak%s", f->path, number);
        if (!rc)
            rc = file_link(AT_FDCWD, f->path, AT_FDCWD, aside, &taken);
        free(aside);
    }
    if (rc)
        error_copy(err, &taken);
    return rc;
}

/* Units hold no secret (S5), and their tools read them as any user. */
static enum error_kind write_text(const struct schedule_file *f, struct error *err)
{
    struct draft d = DRAFT_INIT;
    enum error_kind rc = draft_open(&d, f->path, 0644, err);

    if (!rc && fchmod(d.fd, 0644))
        rc = error_set(err, ERR_IO, errno, "cannot set the mode of %s", f->path);
    if (!rc)
        rc = draft_write(&d, f->text, strlen(f->text), err);
    if (!rc)
        rc = draft_sync(&d, err);
    if (!rc && f->edited)
        rc = keep_aside(f, err);
    if (!rc)
        rc = draft_commit(&d, err);
    draft_discard(&d);
    return rc;
}

static enum error_kind write_link(const struct schedule_file *f, struct error *err)
{
    char *folder = NULL;
    char *fresh = NULL;
    enum error_kind rc = path_parent(f->path, &folder, err);

    if (!rc)
        rc = folder_make(folder, err);
    if (!rc)
        rc = memory_format(&fresh, err, "%s/" DRAFT_PREFIX "%s", folder, path_base(f->path));
    if (!rc) {
        (void)unlink(fresh); /* of a run that was killed here */
        if (symlink(f->target, fresh))
            rc = error_set(err, ERR_IO, errno, "cannot make the link %s", f->path);
    }
    if (!rc)
        rc = file_rename(AT_FDCWD, fresh, AT_FDCWD, f->path, err);
    if (!rc)
        rc = directory_sync(AT_FDCWD, folder, err);
    free(folder);
    free(fresh);
    return rc;
}

static enum error_kind remove_file(const struct schedule_file *f, struct error *err)
{
    enum error_kind rc = f->edited ? keep_aside(f, err) : OK;

    if (!rc)
        rc = file_unlink(AT_FDCWD, f->path, err);
    return rc ? rc : directory_sync_parent(f->path, err);
}

enum error_kind schedule_plan_apply(const struct schedule_plan *p, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < p->count && !rc; i++) {
        const struct schedule_file *f = &p->files[i];

        if (f->change == SCHEDULE_SAME)
            continue;
        rc = f->change == SCHEDULE_GOES ? remove_file(f, err) : f->target ? write_link(f, err) : write_text(f, err);
    }
    if (rc && (err->sys == EACCES || err->sys == EPERM || err->sys == EROFS))
        schedule_hint_root(err);
    return rc;
}

static enum error_kind systemctl(const char *verb, const char *option, const char *unit, struct error *err)
{
    const char *argv[5] = {"systemctl", verb};
    struct process_spec spec = {.argv = argv, .timeout_ms = SYSTEMCTL_MS};
    size_t n = 2;

    if (option)
        argv[n++] = option;
    if (unit)
        argv[n++] = unit;
    return process_run(&spec, NULL, NULL, err);
}

enum error_kind schedule_deactivate(const struct schedule_plan *p, struct error *err)
{
    struct error ignored = ERROR_INIT;
    enum error_kind rc = OK;

    for (size_t i = 0; i < p->stop.count && !rc; i++) {
        rc = systemctl("stop", NULL, p->stop.items[i], err);
        if (!rc) /* when it last ran: a schedule of the same name that is made later would catch up at once */
            (void)systemctl("clean", "--what=state", p->stop.items[i], &ignored);
        if (rc)
            error_hint(err, "systemctl stop %s", p->stop.items[i]);
    }
    return rc;
}

void schedule_reactivate(const struct schedule_plan *p)
{
    struct error ignored = ERROR_INIT;

    (void)systemctl("daemon-reload", NULL, NULL, &ignored); /* some of the new files may be there */
    for (size_t i = 0; i < p->stop.count; i++)
        (void)systemctl("start", NULL, p->stop.items[i], &ignored);
}

enum error_kind schedule_activate(const struct schedule_plan *p, struct error *err)
{
    char *timer = NULL;
    enum error_kind rc = systemctl("daemon-reload", NULL, NULL, err);

    if (!rc && p->name && p->way == SCHEDULE_SYSTEMD) {
        rc = memory_format(&timer, err, "%s.timer", p->name);
        if (!rc) /* starts it, too; one that waits learns of another rhythm only so */
            rc = systemctl("restart", NULL, timer, err);
    }
    if (rc && p->name && p->way == SCHEDULE_SYSTEMD)
        error_hint(err, "systemctl daemon-reload && systemctl restart %s.timer", p->name);
    else if (rc)
        error_hint(err, "systemctl daemon-reload");
    free(timer);
    return rc;
}
