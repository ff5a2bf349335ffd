#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct listing {
    struct cli *cli;
    uint64_t count;
};

static enum error_kind row_json(const struct snapshot_row *r)
{
    struct json *v = cli_json_new("row");

    json_put_text(v, "id", r->id);
    json_put_bytes(v, "site", r->site_path ? r->site_path : "", r->site_path ? strlen(r->site_path) : 0);
    json_put_text(v, "version", r->nop_version);
    json_put_number(v, "made_ns", r->made_ns);
    json_put_text(v, "kind", cli_kind_word(r->kind));
    json_put_text(v, "part", cli_part_word(r->part));
    json_put_number(v, "files", (int64_t)r->files);
    json_put_number(v, "bytes", (int64_t)r->bytes);
    json_put_number(v, "dump_bytes", (int64_t)r->dump_bytes);
    json_put_number(v, "stored_bytes", (int64_t)r->bytes_stored);
    json_put_flag(v, "held", r->held);
    json_put_flag(v, "suspicious", r->suspicious);
    json_put_flag(v, "warned", r->warned);
    json_put_text(v, "tags", r->tags);
    cli_json(v);
    return OK;
}

/* The end of a path tells more than its beginning. */
static void site_column(const char *path, char *out, size_t room)
{
    size_t n = strlen(path);
    const char *tail = n < room ? path : path + n - (room - 4);

    while (tail > path && ((unsigned char)*tail & 0xc0) == 0x80)
        tail++; /* no half of a character */
    (void)snprintf(out, room, "%s", tail > path ? "..." : "");
    text_name(tail, strlen(tail), out + strlen(out), room - strlen(out));
}

/* id 8, moment to the minute 16, version 6, kind 10, size 10, flags 3, site 17: 80 columns with the gaps. */
static enum error_kind row_text(const struct snapshot_row *r)
{
    char when[TEXT_MAX];
    char size[TEXT_MAX];
    char site[64];
    char kind[16];

    text_moment(r->made_ns, when);
    text_size(r->bytes + r->dump_bytes, size);
    site_column(r->site_path ? r->site_path : "?", site, 18);
    (void)snprintf(kind, sizeof(kind), "%.10s",
                   r->part == SNAPSHOT_FILES_ONLY      ? "files only"
                   : r->part == SNAPSHOT_DATABASE_ONLY ? "db only"
                                                       : cli_kind_word(r->kind));
    printf("%.8s  %-16.16s  %-6.6s  %-10s  %10s %c%c%c %s\n", r->id, when, r->nop_version ? r->nop_version : "-", kind,
           size, r->held ? 'H' : ' ', r->suspicious ? '?' : ' ', r->warned ? '!' : ' ', site);
    return OK;
}

static enum error_kind on_row(void *arg, const struct snapshot_row *r, struct error *err)
{
    struct listing *l = arg;

    (void)err;
    if (!l->count++ && !l->cli->json)
        printf("%-8s  %-16s  %-6s  %-10s  %10s     %s\n", "ID", "MOMENT", "SHOP", "KIND", "SIZE", "SITE");
    return l->cli->json ? row_json(r) : row_text(r);
}

int cli_list(struct cli *cli, int argc, char **argv)
{
    struct listing l = {cli, 0};
    struct catalog *cat = NULL;
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    char site_id[17];
    bool one = false;
    int status = cli_arguments(cli, cli_command_find("list"), argc, argv, 0, 1, "one site, or none for all");
    enum error_kind rc;

    if (status >= 0)
        return status;
    one = argc - optind == 1;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc && one)
        rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc && one)
        rc = cli_site_known(cli, cat, argv[optind], site.path, &err);
    if (!rc && one) {
        cli_warn_pending(cli, site.path);
        rc = catalog_site_id(cat, site.path, site_id, &err);
    }
    if (!rc)
        rc = snapshot_row_each(cat, one ? site_id : NULL, on_row, &l, &err);
    if (!rc && !l.count && !cli->json)
        printf("no snapshots%s%s\n", one ? " of " : "", one ? site.path : "");
    else if (!rc && !cli->json && !cli->quiet)
        printf("H held, ? flagged (nopsnap accept), ! made with warnings\n");
    catalog_close(cat);
    site_release(&site);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
