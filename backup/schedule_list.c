/*
 * Which schedules there are, and when each starts next.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "process.h"
#include "schedule_internal.h"

#define PREFIX "nopsnap-"
#define FAILED_SERVICE SCHEDULE_FAILED ".service"
#define ENTRIES_MAX 10000
#define SHOW_MS 10000
#define NEXT "NextElapseUSecRealtime="
#define PAUSE_MAX_S (INT64_C(100) * 366 * 86400)
#define NS_PER_S INT64_C(1000000000)

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t tail = strlen(end);

    return n > tail && !strcmp(text + n - tail, end);
}

/* ---- what is there ---- */

void schedule_founds_release(struct schedule_founds *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].name);
        free(f->items[i].path);
        schedule_head_release(&f->items[i].head);
    }
    free(f->items);
    *f = (struct schedule_founds){NULL, 0};
}

static enum error_kind founds_add(struct schedule_founds *f, const char *folder, const char *file,
                                  enum schedule_way way, struct error *err)
{
    struct buffer text = BUFFER_INIT(SCHEDULE_TEXT_MAX);
    struct schedule_found one = {.way = way, .head = SCHEDULE_HEAD_INIT};
    struct error strange = ERROR_INIT;
    struct schedule_found *grown = reallocarray(f->items, f->count + 1, sizeof(*grown));
    enum error_kind rc = grown ? OK : error_set(err, ERR_MEMORY, 0, "out of memory: %zu schedules", f->count);

    if (grown)
        f->items = grown;
    if (!rc)
        rc = path_join(folder, file, &one.path, err);
    if (!rc)
        rc = memory_string(file, &one.name, err);
    if (!rc && way == SCHEDULE_SYSTEMD)
        one.name[strlen(file) - strlen(ends_with(file, FAILED_SERVICE) ? FAILED_SERVICE : strrchr(file, '.'))] = '\0';
    if (!rc) /* what can't be read, is a folder, or is too long, is none of ours */
        (void)schedule_head_read(one.path, &one.head, &text, &strange);
    buffer_release(&text);
    if (rc || !one.head.ours || !schedule_head_note(&one.head, "site")) {
        free(one.name);
        free(one.path);
        schedule_head_release(&one.head);
        return rc;
    }
    f->items[f->count++] = one;
    return OK;
}

static bool is_there(const char *folder, const char *name, size_t len, const char *ending)
{
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%.*s%s", folder, (int)len, name, ending);
    return access(path, F_OK) == 0;
}

/* A service whose timer is gone is what a removal that was killed has left; and so is one that tells of failures, without both. */
static bool is_candidate(const char *folder, const char *name, enum schedule_way way)
{
    size_t n = strlen(name);

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    if (way == SCHEDULE_CRON)
        return !strchr(name, '.');
    if (ends_with(name, ".timer"))
        return true;
    if (!ends_with(name, ".service"))
        return false;
    if (!ends_with(name, FAILED_SERVICE))
        return !is_there(folder, name, n - strlen(".service"), ".timer");
    n -= strlen(FAILED_SERVICE);
    return !is_there(folder, name, n, ".timer") && !is_there(folder, name, n, ".service");
}

static enum error_kind founds_of(struct schedule_founds *f, enum schedule_way way, struct error *err)
{
    const char *folder = way == SCHEDULE_SYSTEMD ? schedule_units_folder() : schedule_cron_folder();
    struct dirent *entry;
    enum error_kind rc = OK;
    DIR *dir = opendir(folder);

    if (!dir)
        return errno == ENOENT || errno == ENOTDIR ? OK : error_set(err, ERR_IO, errno, "cannot look into %s", folder);
    while (!rc && (entry = readdir(dir)))
        if (f->count < ENTRIES_MAX && is_candidate(folder, entry->d_name, way))
            rc = founds_add(f, folder, entry->d_name, way, err);
    closedir(dir);
    return rc;
}

enum error_kind schedule_founds_all(struct schedule_founds *f, struct error *err)
{
    enum error_kind rc = founds_of(f, SCHEDULE_SYSTEMD, err);

    return rc ? rc : founds_of(f, SCHEDULE_CRON, err);
}

/* ---- as entries ---- */

void schedule_list_release(struct schedule_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].name);
        free(l->items[i].site);
        free(l->items[i].catalog);
        free(l->items[i].keep);
    }
    free(l->items);
    *l = (struct schedule_list){NULL, 0};
}

static enum error_kind copy_note(const struct schedule_head *h, const char *key, char **out, struct error *err)
{
    const char *value = schedule_head_note(h, key);

    return value && !*out ? memory_string(value, out, err) : OK;
}

static enum error_kind head_of(const struct schedule_entry *e, const char *ending, struct schedule_head *out,
                               struct error *err)
{
    struct buffer text = BUFFER_INIT(SCHEDULE_TEXT_MAX);
    char *path = NULL;
    enum error_kind rc = memory_format(&path, err, "%s/%s%s", schedule_units_folder(), e->name, ending);

    if (!rc)
        rc = schedule_head_read(path, out, &text, err);
    free(path);
    buffer_release(&text);
    return rc;
}

/* What of a site's units is not in the timer. */
static enum error_kind add_services(struct schedule_entry *e, struct error *err)
{
    struct schedule_head head = SCHEDULE_HEAD_INIT;
    struct schedule_head failed = SCHEDULE_HEAD_INIT;
    char *link = NULL;
    struct stat st;
    enum error_kind rc = memory_format(&link, err, "%s/" SCHEDULE_WANTS "/%s.timer", schedule_units_folder(), e->name);

    if (!rc)
        rc = head_of(e, ".service", &head, err);
    if (!rc)
        rc = head_of(e, FAILED_SERVICE, &failed, err);
    if (!rc)
        rc = copy_note(&head, "catalogue", &e->catalog, err);
    if (!rc)
        rc = copy_note(&head, "keep", &e->keep, err);
    if (!rc) {
        e->own_command = schedule_head_note(&head, "after-run") != NULL;
        e->enabled = lstat(link, &st) == 0 && head.there;
        e->edited = e->edited || head.edited || failed.edited;
    }
    free(link);
    schedule_head_release(&head);
    schedule_head_release(&failed);
    return rc;
}

static enum error_kind entry_of(const struct schedule_found *f, struct schedule_entry *e, struct error *err)
{
    const char *when = schedule_head_note(&f->head, "when");
    const char *delay = schedule_head_note(&f->head, "delay");
    const char *pauses = schedule_head_note(&f->head, "pauses");
    struct error ignored = ERROR_INIT;
    long long shortest = 0;
    long long longest = 0;
    enum error_kind rc;

    e->way = f->way;
    e->edited = f->head.edited;
    e->enabled = true;
    e->own_command = f->way == SCHEDULE_CRON;
    e->delay_ms = delay ? strtoll(delay, NULL, 10) * 1000 : 0;
    rc = memory_string(f->name, &e->name, err);
    if (!rc)
        rc = copy_note(&f->head, "site", &e->site, err);
    if (!rc)
        rc = copy_note(&f->head, "catalogue", &e->catalog, err);
    if (!rc)
        rc = copy_note(&f->head, "keep", &e->keep, err);
    if (!rc && f->way == SCHEDULE_SYSTEMD)
        rc = add_services(e, err);
    if (!rc && (!when || schedule_when_parse(when, &e->when, &ignored)))
        e->enabled = false; /* spoilt by hand: nobody knows when */
    if (pauses && sscanf(pauses, "%lld %lld", &shortest, &longest) == 2 && longest >= 0 && longest < PAUSE_MAX_S) {
        e->when.shortest_s = shortest;
        e->when.longest_s = longest;
    }
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct schedule_entry *x = a;
    const struct schedule_entry *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (int)x->way - (int)y->way;
}

static struct schedule_entry *timer_of(struct schedule_list *l, const char *unit)
{
    for (size_t i = 0; i < l->count; i++) {
        size_t n = strlen(l->items[i].name);

        if (l->items[i].way == SCHEDULE_SYSTEMD && !strncmp(unit, l->items[i].name, n) && !strcmp(unit + n, ".timer"))
            return &l->items[i];
    }
    return NULL;
}

/*
 * A block for each timer that systemd knows, its lines in any order: "NextElapseUSecRealtime=Sat 2026-11-28 03:00:00 UTC",
 * "Id=nopsnap-shop.timer", "ActiveState=active".
 */
static void take_answer(struct schedule_list *l, char *text, int64_t now_ns)
{
    struct schedule_entry *e = NULL;
    bool active = false;
    int64_t next = -1;

    for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n")) {
        if (!strncmp(line, "Id=", 3))
            e = timer_of(l, line + 3);
        active = active || !strcmp(line, "ActiveState=active");
        if (!strncmp(line, NEXT, strlen(NEXT)))
            next = schedule_moment_parse(line + strlen(NEXT));
        if (*line)
            continue;
        if (e && active) {
            e->idle = false;
            if (next > now_ns)
                e->times.next_ns = next;
        }
        e = NULL;
        active = false;
        next = -1;
    }
}

/* systemd itself knows better: drop-ins count, and the random delay. One question for all; without an answer what was computed stays. */
static void ask_systemd(struct schedule_list *l, int64_t now_ns)
{
    static const char *const argv[] = {"systemctl", "show", "--property=Id,ActiveState,NextElapseUSecRealtime",
                                       "nopsnap-*.timer", NULL};
    static const char *const environment[] = {"LC_ALL=C", "TZ=UTC",
                                              NULL}; /* --timestamp=unix is not for this property */
    struct process_spec spec = {.argv = argv, .environment = environment, .timeout_ms = SHOW_MS};
    struct buffer said = BUFFER_INIT(1u << 20);
    struct error ignored = ERROR_INIT;
    int status = 0;

    if (process_run(&spec, &said, &status, &ignored) == OK && status == 0 &&
        buffer_append_text(&said, "\n\n", &ignored) == OK) {
        for (size_t i = 0; i < l->count; i++) /* one that it does not name it does not know */
            l->items[i].idle = l->items[i].way == SCHEDULE_SYSTEMD && l->items[i].enabled;
        take_answer(l, (char *)said.data, now_ns);
    }
    buffer_release(&said);
}

/* What systemd did not tell. It is not asked again for the next of a calendar expression: each answer is a process. */
static void reckon(struct schedule_entry *e, int64_t now_ns)
{
    int64_t told = e->times.next_ns;

    if (!e->enabled)
        e->times = (struct schedule_times){0, 0};
    else if (told && e->when.rule == SCHEDULE_CALENDAR)
        e->times.longest_ns = e->when.longest_s * NS_PER_S;
    else
        schedule_when_times(&e->when, e->way, now_ns, &e->times);
    if (e->enabled && told)
        e->times.next_ns = told;
}

enum error_kind schedule_list_load(int64_t now_ns, struct schedule_list *out, struct error *err)
{
    struct schedule_founds all = {NULL, 0};
    struct schedule_list l = {NULL, 0};
    bool units = false;
    enum error_kind rc = schedule_founds_all(&all, err);

    if (!rc && all.count)
        rc = memory_zeroed(all.count, sizeof(*l.items), (void **)&l.items, err);
    for (size_t i = 0; i < all.count && !rc; i++) {
        units = units || all.items[i].way == SCHEDULE_SYSTEMD;
        rc = entry_of(&all.items[i], &l.items[l.count++], err);
    }
    schedule_founds_release(&all);
    if (rc) {
        schedule_list_release(&l);
        return rc;
    }
    if (l.count)
        qsort(l.items, l.count, sizeof(*l.items), by_name);
    if (units && schedule_has_systemd())
        ask_systemd(&l, now_ns);
    for (size_t i = 0; i < l.count; i++)
        reckon(&l.items[i], now_ns);
    *out = l;
    return OK;
}

const struct schedule_entry *schedule_list_find(const struct schedule_list *l, const char *site_path)
{
    const struct schedule_entry *found = NULL;

    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i].site, site_path) && (!found || (!found->enabled && l->items[i].enabled)))
            found = &l->items[i];
    return found;
}
