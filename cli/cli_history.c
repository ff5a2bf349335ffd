#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void append_member(const char *key, struct json *value, void *arg)
{
    struct buffer *b = arg;
    struct error ignored = ERROR_INIT;
    const char *text = json_text(value);
    bool is_id = text && strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;

    if (text)
        (void)buffer_append_format(b, &ignored, "  %s %.*s", key, is_id ? 8 : 200, text);
    else
        (void)buffer_append_format(b, &ignored, "  %s %lld", key, (long long)json_number(value, 0));
}

/* The members of the detail as words, ids shortened. */
static void describe(const char *detail, struct buffer *out)
{
    struct json *v = NULL;
    struct error err = ERROR_INIT;

    if (detail && json_parse(detail, strlen(detail), &v, &err) == OK)
        json_each(v, append_member, out);
    json_free(v);
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
    char when[TEXT_MAX];

    (void)err;
    if (cli->json) {
        event_json(e);
        return OK;
    }
    describe(e->detail, &words);
    text_moment(e->moment_ns, when);
    cli_line("", "%s  %-10s %3d%s", when, e->what, e->status, words.data ? (const char *)words.data : "");
    buffer_release(&words);
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
