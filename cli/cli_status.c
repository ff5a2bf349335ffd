/*
 * How the sites are: newest snapshot, what is pending, what is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file.h"

struct site_state {
    char *path, *version;
    int64_t newest_ns, whole_ns; /* 0: none */
    uint64_t snapshots, stored;
};

struct states {
    struct site_state *items;
    size_t count, cap;
};

static void states_release(struct states *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->items[i].path);
        free(s->items[i].version);
    }
    free(s->items);
}

static enum error_kind find_or_add(struct states *s, const char *path, struct site_state **out, struct error *err)
{
    enum error_kind rc;

    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->items[i].path, path)) {
            *out = &s->items[i];
            return OK;
        }
    if (s->count == s->cap) {
        struct site_state *grown = realloc(s->items, (s->cap * 2 + 8) * sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        s->items = grown;
        s->cap = s->cap * 2 + 8;
    }
    *out = &s->items[s->count];
    **out = (struct site_state){.path = NULL};
    rc = memory_string(path, &(*out)->path, err);
    if (!rc)
        s->count++;
    return rc;
}

/* Rows come newest first. */
static enum error_kind on_row(void *arg, const struct snapshot_row *r, struct error *err)
{
    struct site_state *state = NULL;
    enum error_kind rc = find_or_add(arg, r->site_path ? r->site_path : "?", &state, err);

    if (rc)
        return rc;
    if (!state->newest_ns) {
        state->newest_ns = r->made_ns;
        rc = r->nop_version ? memory_string(r->nop_version, &state->version, err) : OK;
    }
    if (!state->whole_ns && r->part == SNAPSHOT_WHOLE && !r->suspicious)
        state->whole_ns = r->made_ns;
    state->snapshots++;
    state->stored += r->bytes_stored;
    return rc;
}

static enum error_kind add_configured(struct cli *cli, struct states *s, const char *only, struct error *err)
{
    struct site_state *state = NULL;
    enum error_kind rc = only ? find_or_add(s, only, &state, err) : OK;

    for (size_t i = 0; !only && i < cli->config.count && !rc; i++) {
        struct error gone = ERROR_INIT;
        char *real = NULL;

        if (!cli->config.sites[i].path)
            continue;
        if (path_real(cli->config.sites[i].path, &real, &gone) != OK)
            rc = memory_string(cli->config.sites[i].path, &real, err);
        if (!rc)
            rc = find_or_add(s, real, &state, err);
        free(real);
    }
    return rc;
}

static void print_kept(struct cli *cli, const char *path, struct json *v)
{
    struct kept_state kept = {.exists = false};
    struct error err = ERROR_INIT;
    char size[TEXT_MAX];
    char since[TEXT_MAX];

    if (kept_look(path, &kept, &err) != OK) {
        cli_warn(cli, "%s", err.text);
    } else if (kept.exists && v) {
        json_put_number(v, "kept_bytes", (int64_t)kept.bytes);
        json_put_number(v, "kept_since_ns", kept.since_ns);
        if (kept.trial_end_ns) {
            json_put_number(v, "trial_end_ns", kept.trial_end_ns);
            json_put_text(v, "trial_from", kept.from_version);
            json_put_text(v, "trial_to", kept.to_version);
        }
    } else if (kept.trial_end_ns) {
        text_size(kept.bytes, size);
        text_moment(kept.trial_end_ns, since);
        cli_line("  trial     ",
                 "of the upgrade from %s to %s, until %s: nopsnap rollback takes it back, nopsnap confirm ends it",
                 kept.from_version ? kept.from_version : "?", kept.to_version ? kept.to_version : "?", since);
        cli_line("  kept      ", "%s for that: %s", size, kept.tree ? kept.tree : "");
    } else if (kept.exists) {
        text_size(kept.bytes, size);
        text_moment(kept.since_ns, since);
        cli_line("  kept      ", "%s since %s (the next snapshot or rollback clears it): %s", size, since,
                 kept.tree       ? kept.tree
                 : kept.database ? kept.database
                                 : "");
    }
    kept_state_release(&kept);
}

static void print_site(struct cli *cli, const struct site_state *s)
{
    struct json *v = cli->json ? cli_json_new("site") : NULL;
    char when[TEXT_MAX];
    char size[TEXT_MAX];

    text_moment(s->newest_ns, when);
    text_size(s->stored, size);
    if (v) {
        json_put_bytes(v, "path", s->path, strlen(s->path));
        json_put_text(v, "version", s->version ? s->version : "");
        json_put_number(v, "snapshots", (int64_t)s->snapshots);
        json_put_number(v, "stored_bytes", (int64_t)s->stored);
        json_put_number(v, "newest_ns", s->newest_ns);
        json_put_number(v, "newest_whole_ns", s->whole_ns);
    } else if (s->newest_ns) {
        cli_line("", "%s: nopCommerce %s, %llu snapshot%s, %s stored, newest %s%s", s->path,
                 s->version ? s->version : "?", (unsigned long long)s->snapshots, s->snapshots == 1 ? "" : "s", size,
                 when, s->whole_ns ? "" : ", none whole");
    } else {
        cli_line("", "%s: no snapshot", s->path);
    }
    print_kept(cli, s->path, v);
    if (v)
        cli_json(v);
    cli_warn_pending(cli, s->path);
}

int cli_status(struct cli *cli, int argc, char **argv)
{
    struct states states = {NULL, 0, 0};
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    char site_id[17];
    int status = cli_arguments(cli, cli_command_find("status"), argc, argv, 0, 1, "one site, or none for all");
    bool one;
    enum error_kind rc;

    if (status >= 0)
        return status;
    one = argc - optind == 1;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc && one)
        rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc && one)
        rc = cli_site_known(cli, cat, argv[optind], site.path, &err);
    if (!rc && one)
        rc = catalog_site_id(cat, site.path, site_id, &err);
    if (!rc)
        rc = snapshot_row_each(cat, one ? site_id : NULL, on_row, &states, &err);
    if (!rc)
        rc = add_configured(cli, &states, one ? site.path : NULL, &err);
    for (size_t i = 0; i < states.count && !rc; i++)
        print_site(cli, &states.items[i]);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (!rc && catalog_damaged(cat)) {
        error_set(&err, ERR_CORRUPT, 0, "the catalogue %s has damage that no repair has cleared", catalog_path(cat));
        error_hint(&err, "nopsnap verify names it");
        status = cli_status_worse(status, cli_fail(cli, &err));
    } else if (!rc && !states.count && !cli->json) {
        printf("no site is known: nopsnap snapshot SITE\n");
    }
    states_release(&states);
    site_release(&site);
    catalog_close(cat);
    return status;
}
