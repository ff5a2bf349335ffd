/*
 * Calendar expressions are systemd's own language: `systemd-analyze calendar` is asked, which needs no running systemd.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"
#include "schedule_internal.h"

#define NS_PER_S INT64_C(1000000000)
#define ASK_MS 20000

int64_t schedule_moment_parse(const char *text)
{
    struct tm tm = {.tm_isdst = 0};
    const char *day = strchr(text, ' ');
    const char *rest = day ? strptime(day, " %Y-%m-%d %H:%M:%S", &tm) : NULL;

    return rest && !strncmp(rest, " UTC", 4) ? (int64_t)timegm(&tm) * NS_PER_S : -1;
}

/* Where the local zone is UTC there is no line "(in UTC)"; TZ=UTC would change what the expression means. */
static size_t moments_of(char *text, int64_t *out, size_t room)
{
    static const char *const heads[] = {"Next elapse: ", "Iter. #", "(in UTC): "};
    size_t count = 0;
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *colon = strstr(line, ": ");
        int64_t ns;

        line += strspn(line, " ");
        for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]) && colon; i++) {
            ns = strncmp(line, heads[i], strlen(heads[i])) != 0 ? -1 : schedule_moment_parse(colon + 2);
            if (ns >= 0 && count < room)
                out[count++] = ns;
        }
    }
    return count;
}

enum error_kind schedule_calendar_ask(const char *expression, int64_t now_ns, bool by_utc, int64_t *starts_ns,
                                      size_t room, size_t *count, struct error *err)
{
    char base[64];
    char times[32];
    const char *const argv[] = {"systemd-analyze", "calendar", "--no-pager", base, times, "--", expression, NULL};
    const char *const environment[] = {"LC_ALL=C", "SYSTEMD_COLORS=0", by_utc ? "TZ=UTC" : NULL, NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .timeout_ms = ASK_MS};
    struct buffer said = BUFFER_INIT(1u << 20);
    int status = 0;
    enum error_kind rc;

    *count = 0;
    if (!process_exists(argv[0]))
        return OK;
    (void)snprintf(base, sizeof(base), "--base-time=@%lld", (long long)(now_ns / NS_PER_S));
    (void)snprintf(times, sizeof(times), "--iterations=%zu", room);
    rc = process_run(&spec, &said, &status, err);
    if (!rc && status != 0) {
        rc = error_set(err, ERR_USAGE, 0, "--on-calendar %s: systemd does not understand it", expression);
        error_hint(err, "such as 'Mon..Fri 03:00'; man systemd.time has them all");
    }
    if (!rc && said.len > 0)
        *count = moments_of((char *)said.data, starts_ns, room);
    buffer_release(&said);
    return rc;
}
