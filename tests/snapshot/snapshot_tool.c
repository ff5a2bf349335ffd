/*
 * Takes one snapshot of a folder's files and says in one line of JSON what it did: for scripts that watch a whole process
 * (which files it opens, how much memory it takes).
 *
 *     snapshot_tool CATALOGUE FOLDER [--no-cache|--steps]
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "snapshot.h"
#include "thread.h"

static void warn(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

/* Where the time goes: each step with the milliseconds since the start. */
static void step(void *arg, const char *what)
{
    fprintf(stderr, "%6lld ms %s\n", (long long)(clock_monotonic_ms() - *(const int64_t *)arg), what);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "error: %s\n", err->text);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return 1;
}

static void print(const struct snapshot_result *r, int64_t ms)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"id\":\"%s\",\"files\":%llu,\"read\":%llu,\"bytes\":%llu,\"bytes_read\":%llu,\"new\":%llu,\"stored\":%llu,"
        "\"unread\":%zu,\"ms\":%lld,\"rss_kib\":%ld}\n",
        r->record.id, (unsigned long long)r->files, (unsigned long long)r->files_read, (unsigned long long)r->bytes,
        (unsigned long long)r->bytes_read, (unsigned long long)r->record.bytes_new,
        (unsigned long long)r->record.bytes_stored, r->record.unread.count, (long long)ms, usage.ru_maxrss);
}

int main(int argc, char **argv)
{
    struct snapshot_options options = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.record = SNAPSHOT_RECORD_INIT};
    struct progress progress = {.warn = warn, .note = warn};
    struct catalog *cat = NULL;
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    int64_t begin = clock_monotonic_ms();
    enum error_kind rc;

    if (argc < 3) {
        fprintf(stderr, "usage: %s CATALOGUE FOLDER [--no-cache|--steps]\n", argv[0]);
        return 2;
    }
    options.part = SNAPSHOT_FILES_ONLY;
    options.no_stat_cache = argc > 3 && !strcmp(argv[3], "--no-cache");
    progress.arg = &begin;
    if (argc > 3 && !strcmp(argv[3], "--steps"))
        progress.step = step;
    rc = catalog_open(argv[1], CATALOG_WRITE, 0, &cat, &err);
    if (rc == ERR_NOT_FOUND) {
        error_clear(&err);
        rc = catalog_init(argv[1], &err);
        if (!rc)
            rc = catalog_open(argv[1], CATALOG_WRITE, 0, &cat, &err);
    }
    if (!rc)
        rc = site_inspect(argv[2], NULL, &site, &err);
    if (!rc)
        rc = snapshot_take(cat, &site, NULL, &options, &progress, &result, &err);
    if (!rc)
        print(&result, clock_monotonic_ms() - begin);
    snapshot_result_release(&result);
    site_release(&site);
    catalog_close(cat);
    return rc ? fail(&err) : 0;
}
