#include "schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "schedule_internal.h"

/* ---- the plan ---- */

void schedule_plan_release(struct schedule_plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->files[i].path);
        free(p->files[i].text);
        free(p->files[i].target);
    }
    text_list_release(&p->stop);
    text_list_release(&p->drop_ins);
    free(p->name);
    *p = (struct schedule_plan)SCHEDULE_PLAN_INIT;
}

static enum error_kind plan_room(struct schedule_plan *p, const char *folder, const char *name,
                                 struct schedule_file **out, struct error *err)
{
    struct schedule_file *f = &p->files[p->count];
    enum error_kind rc;

    if (p->count >= SCHEDULE_FILES_MAX)
        return error_set(err, ERR_REFUSED, 0, "too many schedules of one site; remove some by hand");
    *f = (struct schedule_file){.change = SCHEDULE_SAME};
    rc = path_join(folder, name, &f->path, err);
    if (!rc) {
        p->count++;
        *out = f;
    }
    return rc;
}

/* S1, S3. */
static enum error_kind check_ours(const struct schedule_head *h, const char *path, const char *site, bool force,
                                  struct error *err)
{
    const char *owner = schedule_head_note(h, "site");

    if (!h->there || (h->ours && !h->edited && owner && !strcmp(owner, site)))
        return OK;
    if (h->ours && !h->edited) {
        error_set(err, ERR_REFUSED, 0, "%s is the schedule of another site: %s", path, owner ? owner : "?");
        error_hint(err, "nopsnap schedule %s --remove, or another name in the config", owner ? owner : "SITE");
        return ERR_REFUSED;
    }
    if (force)
        return OK;
    error_set(err, ERR_REFUSED, 0, "%s %s", path,
              h->ours ? "was changed by hand" : "is there, and nopsnap has not written it");
    if (strchr(path_base(path), '.'))
        error_hint(
            err,
            "--force replaces it and keeps it as .bak; changes of your own are safe in a drop-in: systemctl edit %s",
            path_base(path));
    else
        error_hint(err, "--force replaces it and keeps it as .bak");
    return ERR_REFUSED;
}

static enum error_kind plan_text(struct schedule_plan *p, const char *folder, const char *name,
                                 const struct buffer *text, const char *site, bool force, struct error *err)
{
    struct buffer there = BUFFER_INIT(SCHEDULE_TEXT_MAX);
    struct schedule_head head = SCHEDULE_HEAD_INIT;
    struct schedule_file *f = NULL;
    enum error_kind rc = plan_room(p, folder, name, &f, err);

    if (!rc)
        rc = schedule_seal(text, &f->text, err);
    if (!rc)
        rc = schedule_head_read(f->path, &head, &there, err);
    if (!rc)
        rc = check_ours(&head, f->path, site, force, err);
    if (!rc) {
        f->edited = head.there && head.edited;
        f->change = !head.there                                                               ? SCHEDULE_NEW
                    : there.len == strlen(f->text) && !memcmp(there.data, f->text, there.len) ? SCHEDULE_SAME
                                                                                              : SCHEDULE_CHANGED;
        p->changed = p->changed || f->change != SCHEDULE_SAME;
    }
    buffer_release(&there);
    schedule_head_release(&head);
    return rc;
}

/* What `systemctl enable` makes of WantedBy=timers.target; made here, it needs no systemd that runs, and is synced. */
static enum error_kind plan_link(struct schedule_plan *p, const char *timer, struct error *err)
{
    char target[4096];
    struct schedule_file *f = NULL;
    char *folder = NULL;
    ssize_t n;
    enum error_kind rc = path_join(schedule_units_folder(), SCHEDULE_WANTS, &folder, err);

    if (!rc)
        rc = plan_room(p, folder, timer, &f, err);
    if (!rc)
        rc = path_join(schedule_units_folder(), timer, &f->target, err);
    if (!rc) {
        n = readlink(f->path, target, sizeof(target));
        f->change = n < 0                                                                     ? SCHEDULE_NEW
                    : (size_t)n == strlen(f->target) && !memcmp(target, f->target, (size_t)n) ? SCHEDULE_SAME
                                                                                              : SCHEDULE_CHANGED;
        p->changed = p->changed || f->change != SCHEDULE_SAME;
    }
    free(folder);
    return rc;
}

static bool has_path(const struct schedule_plan *p, const char *path)
{
    for (size_t i = 0; i < p->count; i++)
        if (!strcmp(p->files[i].path, path))
            return true;
    return false;
}

static enum error_kind plan_goes(struct schedule_plan *p, const char *folder, const char *name, const char *site,
                                 bool force, struct error *err)
{
    struct buffer there = BUFFER_INIT(SCHEDULE_TEXT_MAX);
    struct schedule_head head = SCHEDULE_HEAD_INIT;
    struct schedule_file *f = NULL;
    enum error_kind rc = plan_room(p, folder, name, &f, err);

    if (!rc)
        rc = schedule_head_read(f->path, &head, &there, err);
    if (!rc)
        rc = check_ours(&head, f->path, site, force, err);
    if (!rc) {
        f->edited = head.there && head.edited;
        f->change = head.there ? SCHEDULE_GOES : SCHEDULE_SAME;
        p->changed = p->changed || head.there;
    }
    buffer_release(&there);
    schedule_head_release(&head);
    return rc;
}

/* The owner's drop-ins stay, and are told. */
static enum error_kind note_drop_ins(struct schedule_plan *p, const char *unit, struct error *err)
{
    char *folder = NULL;
    enum error_kind rc = memory_format(&folder, err, "%s/%s.d", schedule_units_folder(), unit);

    if (!rc && access(folder, F_OK) == 0)
        rc = text_list_add(&p->drop_ins, folder, err);
    free(folder);
    return rc;
}

static enum error_kind plan_units_go(struct schedule_plan *p, const char *name, const char *site, bool force,
                                     struct error *err)
{
    char *timer = NULL;
    char *service = NULL;
    char *failed = NULL;
    char *wants = NULL;
    struct schedule_file *link = NULL;
    struct stat st;
    enum error_kind rc = memory_format(&timer, err, "%s.timer", name);

    if (!rc)
        rc = memory_format(&service, err, "%s.service", name);
    if (!rc)
        rc = memory_format(&failed, err, "%s" SCHEDULE_FAILED ".service", name);
    if (!rc)
        rc = path_join(schedule_units_folder(), SCHEDULE_WANTS, &wants, err);
    if (!rc)
        rc = text_list_add(&p->stop, timer, err);
    if (!rc)
        rc = plan_room(p, wants, timer, &link, err);
    if (!rc && lstat(link->path, &st) == 0)
        link->change = SCHEDULE_GOES;
    if (!rc)
        rc = plan_goes(p, schedule_units_folder(), timer, site, force, err);
    if (!rc)
        rc = plan_goes(p, schedule_units_folder(), service, site, force, err);
    if (!rc)
        rc = plan_goes(p, schedule_units_folder(), failed, site, force, err);
    if (!rc)
        rc = note_drop_ins(p, timer, err);
    if (!rc)
        rc = note_drop_ins(p, service, err);
    if (!rc)
        rc = note_drop_ins(p, failed, err);
    free(timer);
    free(service);
    free(failed);
    free(wants);
    return rc;
}

/* S2: every schedule of the site that is not the one that is planned. */
static enum error_kind plan_others_go(struct schedule_plan *p, const char *site, bool force, struct error *err)
{
    struct schedule_founds all = {NULL, 0};
    enum error_kind rc = schedule_founds_all(&all, err);

    for (size_t i = 0; i < all.count && !rc; i++) {
        const struct schedule_found *f = &all.items[i];
        const char *owner = schedule_head_note(&f->head, "site");

        if (!owner || strcmp(owner, site) != 0 || has_path(p, f->path))
            continue;
        rc = f->way == SCHEDULE_CRON ? plan_goes(p, schedule_cron_folder(), f->name, site, force, err)
                                     : plan_units_go(p, f->name, site, force, err);
    }
    schedule_founds_release(&all);
    return rc;
}

/* Neither a unit nor a crontab has a way to say what a terminal may not see as it is. */
static enum error_kind check_text(const char *text, const char *what, struct error *err)
{
    size_t room = text ? 4 * strlen(text) + 8 : 0;
    char *shown = NULL;
    enum error_kind rc = OK;

    if (!text)
        return OK;
    rc = memory_zeroed(1, room, (void **)&shown, err);
    if (rc)
        return rc;
    text_name(text, strlen(text), shown, room);
    if (strcmp(text, shown) != 0) {
        rc = error_set(err, ERR_REFUSED, 0, "a timer can't name %s: %s", what, shown);
        error_hint(err, "start nopsnap run from a script of your own");
    }
    free(shown);
    return rc;
}

static enum error_kind check_spec(const struct schedule_spec *s, struct error *err)
{
    enum error_kind rc = check_text(s->site->path, "this path", err);

    if (!rc)
        rc = check_text(s->catalog, "this path", err);
    if (!rc)
        rc = check_text(s->config_file, "this path", err);
    if (!rc)
        rc = check_text(s->program, "this path", err);
    if (!rc &&
        strpbrk(s->program, "\"'\\")) { /* systemd.service(5) lets no executable be called so, however it is quoted */
        rc = error_set(err, ERR_REFUSED, 0, "a timer can't start %s: the name has quotes or backslashes", s->program);
        error_hint(err, "install nopsnap in /usr/local/bin");
    }
    return rc ? rc : check_text(s->keep, "these rules", err);
}

typedef enum error_kind unit_text_fn(const struct schedule_spec *s, const char *name, struct buffer *out,
                                     struct error *err);

static enum error_kind plan_unit(const struct schedule_spec *s, unit_text_fn *write, const char *kind, bool force,
                                 struct schedule_plan *p, struct error *err)
{
    struct buffer text = BUFFER_INIT(SCHEDULE_TEXT_MAX);
    char *name = NULL;
    enum error_kind rc = write(s, p->name, &text, err);

    if (!rc)
        rc = memory_format(&name, err, "%s%s", p->name, kind);
    if (!rc)
        rc = plan_text(p, schedule_units_folder(), name, &text, s->site->path, force, err);
    free(name);
    buffer_release(&text);
    return rc;
}

static enum error_kind plan_units(const struct schedule_spec *s, bool force, struct schedule_plan *p, struct error *err)
{
    char *timer = NULL;
    enum error_kind rc = plan_unit(s, schedule_failed_text, SCHEDULE_FAILED ".service", force, p, err);

    if (!rc) /* S4: in this order */
        rc = plan_unit(s, schedule_service_text, ".service", force, p, err);
    if (!rc)
        rc = plan_unit(s, schedule_timer_text, ".timer", force, p, err);
    if (!rc)
        rc = memory_format(&timer, err, "%s.timer", p->name);
    if (!rc)
        rc = plan_link(p, timer, err);
    free(timer);
    return rc;
}

enum error_kind schedule_plan_make(const struct schedule_spec *spec, bool force, struct schedule_plan *out,
                                   struct error *err)
{
    struct schedule_plan p = {.way = spec->way};
    struct schedule_spec s = *spec;
    struct buffer text = BUFFER_INIT(SCHEDULE_TEXT_MAX);
    enum error_kind rc = check_spec(spec, err);

    if (s.delay_ms < 0)
        s.delay_ms = schedule_when_delay_ms(&s.when);
    if (!rc)
        rc = schedule_name_of(s.site, &p.name, err);
    if (!rc && s.way == SCHEDULE_SYSTEMD)
        rc = plan_units(&s, force, &p, err);
    if (!rc && s.way == SCHEDULE_CRON)
        rc = schedule_cron_text(&s, p.name, &text, err);
    if (!rc && s.way == SCHEDULE_CRON)
        rc = plan_text(&p, schedule_cron_folder(), p.name, &text, s.site->path, force, err);
    if (!rc)
        rc = plan_others_go(&p, s.site->path, force, err);
    buffer_release(&text);
    if (rc)
        schedule_plan_release(&p);
    else
        *out = p;
    return rc;
}

enum error_kind schedule_plan_removal(const char *site_path, bool force, struct schedule_plan *out, struct error *err)
{
    struct schedule_plan p = SCHEDULE_PLAN_INIT;
    enum error_kind rc = plan_others_go(&p, site_path, force, err);

    if (!rc && !p.count) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s has no schedule", site_path);
        error_hint(err, "nopsnap schedule lists those that there are");
    }
    if (rc)
        schedule_plan_release(&p);
    else
        *out = p;
    return rc;
}
