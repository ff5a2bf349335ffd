#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool ends_with(const char *key, const char *end)
{
    size_t n = strlen(key);
    size_t m = strlen(end);

    return n > m && !strcmp(key + n - m, end);
}

/* What a number is tells the end of its name: times and sizes are words for people. */
static void append_number(struct buffer *b, const char *key, int64_t n)
{
    struct error ignored = ERROR_INIT;
    char shown[TEXT_MAX];
    size_t unit = 3;

    if (ends_with(key, "_ns") && n > 0)
        text_moment(n, shown);
    else if (ends_with(key, "_ns"))
        (void)snprintf(shown, sizeof(shown), "never");
    else if (ends_with(key, "_ms") && n >= 0)
        text_duration((uint64_t)n, shown);
    else if (ends_with(key, "_bytes") && n >= 0)
        text_size((uint64_t)n, shown);
    else
        (void)snprintf(shown, sizeof(shown), "%lld", (long long)n);
    if (ends_with(key, "_bytes"))
        unit = 6;
    else if (!ends_with(key, "_ns") && !ends_with(key, "_ms"))
        unit = 0;
    (void)buffer_append_format(b, &ignored, "  %.*s %s", (int)(strlen(key) - unit), key, shown);
}

static void append_member(const char *key, struct json *value, void *arg)
{
    struct buffer *b = arg;
    struct error ignored = ERROR_INIT;
    const char *text = json_text(value);
    bool is_id = text && strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;

    if (json_length(value) || json_is_object(value)) /* steps: print_steps(); a run's drill has a line of its own */
        return;
    if (!strcmp(key, "kind") && !text) /* a number of ours, and its text is there */
        return;
    if (text && *text)
        (void)buffer_append_format(b, &ignored, "  %s %.*s", key, is_id ? 8 : 200, text);
    else if (!text && json_flag(value, false))
        (void)buffer_append_format(b, &ignored, "  %s", key);
    else if (!text && json_flag(value, true)) /* no flag at all: a false one says nothing */
        append_number(b, key, json_number(value, 0));
}

/* With -v: a line a step, and of a run's what came of it. */
static void print_steps(struct json *steps)
{
    for (size_t i = 0; i < json_length(steps); i++) {
        struct json *step = json_at(steps, i);
        const char *name = json_text(json_get(step, "name"));
        const char *outcome = json_text(json_get(step, "outcome"));
        const char *why = json_text(json_get(step, "text"));
        char took[TEXT_MAX];

        text_duration((uint64_t)json_number(json_get(step, "took_ms"), json_number(json_get(step, "ms"), 0)), took);
        cli_line("    ", "%-10s %s%s%s%s%s", took, name ? name : "?", outcome ? ": " : "", outcome ? outcome : "",
                 why ? ", " : "", why ? why : "");
    }
}

/* Which steps of a run failed, and with what. */
static void append_failed(struct json *steps, struct buffer *b)
{
    struct error ignored = ERROR_INIT;

    for (size_t i = 0; i < json_length(steps); i++) {
        const char *name = json_text(json_get(json_at(steps, i), "name"));
        const char *outcome = json_text(json_get(json_at(steps, i), "outcome"));
        const char *why = json_text(json_get(json_at(steps, i), "text"));

        if (name && outcome && !strcmp(outcome, "failed"))
            (void)buffer_append_format(b, &ignored, "  %s failed: %.400s", name, why ? why : "?");
    }
}

static void event_json(const struct catalog_event *e)
{
    struct json *v = cli_json_new("event");
    struct json *detail = NULL;
    struct error ignored = ERROR_INIT;

    json_put_number(v, "moment_ns", e->moment_ns);
    json_put_text(v, "what", e->what);
    json_put_number(v, "status", e->status);
    if (e->detail && json_parse(e->detail, strlen(e->detail), &detail, &ignored) == OK)
        json_put(v, "detail", detail);
    cli_json(v);
}

static enum error_kind on_event(void *arg, const struct catalog_event *e, struct error *err)
{
    struct cli *cli = arg;
    struct buffer words = BUFFER_INIT(1u << 20);
    struct json *detail = NULL;
    struct error ignored = ERROR_INIT;
    char when[TEXT_MAX];

    (void)err;
    if (cli->json) {
        event_json(e);
        return OK;
    }
    if (e->detail && json_parse(e->detail, strlen(e->detail), &detail, &ignored) == OK)
        json_each(detail, append_member, &words); /* the members as words, ids shortened */
    if (!cli->verbose)
        append_failed(json_get(detail, "steps"), &words);
    text_moment(e->moment_ns, when);
    cli_line("", "%s  %-10s %3d%s", when, e->what, e->status, words.data ? (const char *)words.data : "");
    if (cli->verbose)
        print_steps(json_get(detail, "steps"));
    buffer_release(&words);
    json_free(detail);
    return OK;
}

int cli_history(struct cli *cli, int argc, char **argv)
{
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    char site_id[17];
    int status = cli_arguments(cli, cli_command_find("history"), argc, argv, 1, 1, "one site");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc)
        rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc)
        rc = cli_site_known(cli, cat, argv[optind], site.path, &err);
    if (!rc)
        rc = catalog_site_id(cat, site.path, site_id, &err);
    if (!rc) {
        cli_warn_pending(cli, site.path);
        if (!cli->json && !cli->quiet)
            printf("%-19s  %-10s %3s\n", "MOMENT", "WHAT", "EXIT");
        rc = catalog_event_each(cat, site_id, on_event, cli, &err);
    }
    site_release(&site);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
