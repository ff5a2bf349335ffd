#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct listing {
    struct cli *cli;
    struct catalog *cat;
    bool recursive;
};

static char type_letter(enum tree_type type)
{
    switch (type) {
    case TREE_FILE:
        return '-';
    case TREE_DIRECTORY:
        return 'd';
    case TREE_SYMLINK:
        return 'l';
    case TREE_FIFO:
        return 'p';
    case TREE_CHARACTER_DEVICE:
        return 'c';
    case TREE_BLOCK_DEVICE:
        return 'b';
    }
    return '?';
}

static void mode_text(const struct tree_entry *e, char out[11])
{
    static const char letters[] = "rwxrwxrwx";

    out[0] = type_letter(e->type);
    for (int i = 0; i < 9; i++)
        out[i + 1] = e->mode & (0400u >> i) ? letters[i] : '-';
    if (e->mode & 04000)
        out[3] = out[3] == 'x' ? 's' : 'S';
    if (e->mode & 02000)
        out[6] = out[6] == 'x' ? 's' : 'S';
    if (e->mode & 01000)
        out[9] = out[9] == 'x' ? 't' : 'T';
    out[10] = '\0';
}

static void entry_text(const struct tree_entry *e, const char *path)
{
    char mode[11];
    char size[TEXT_MAX] = "";
    char when[TEXT_MAX];
    char owner[32];
    char group[32];

    mode_text(e, mode);
    if (e->type == TREE_FILE)
        text_size(e->size, size);
    text_moment(e->mtime_sec * 1000000000 + e->mtime_nsec, when);
    (void)snprintf(owner, sizeof(owner), "%u", e->uid);
    (void)snprintf(group, sizeof(group), "%u", e->gid);
    if (e->owner && e->owner[0])
        text_name(e->owner, strlen(e->owner), owner, 17);
    if (e->group && e->group[0])
        text_name(e->group, strlen(e->group), group, 17);
    printf("%s %-8s %-8s %10s %s ", mode, owner, group, size, when);
    cli_line("", "%s%s", path, e->type == TREE_DIRECTORY ? "/" : "");
    if (e->type == TREE_SYMLINK && e->target)
        cli_line("           -> ", "%.*s", (int)e->target_len, e->target);
}

static void entry_json(const struct tree_entry *e, const char *path)
{
    static const char *const types[] = {"", "file", "directory", "symlink", "fifo", "character", "block"};
    struct json *v = cli_json_new("entry");

    json_put_bytes(v, "path", path, strlen(path));
    json_put_text(v, "kind", types[e->type]);
    json_put_number(v, "mode", e->mode);
    json_put_number(v, "uid", e->uid);
    json_put_number(v, "gid", e->gid);
    json_put_number(v, "mtime_ns", e->mtime_sec * 1000000000 + e->mtime_nsec);
    if (e->type == TREE_FILE)
        json_put_number(v, "size", (int64_t)e->size);
    if (e->type == TREE_SYMLINK)
        json_put_bytes(v, "target", e->target, e->target_len);
    cli_json(v);
}

static void print_entry(const struct listing *l, const struct tree_entry *e, const char *path)
{
    if (l->cli->json)
        entry_json(e, path);
    else
        entry_text(e, path);
}

/* The folders on the way down: a stack on the heap, since a tree may be deeper than our own stack is. */
struct level {
    struct tree_reader *reader;
    size_t prefix_len;
};

struct descent {
    struct level *levels;
    size_t count, cap;
    struct buffer path;
};

static enum error_kind go_down(struct listing *l, struct descent *d, const struct chunk_id *tree, struct error *err)
{
    enum error_kind rc;

    if (d->count == d->cap) {
        struct level *grown = realloc(d->levels, (d->cap * 2 + 8) * sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        d->levels = grown;
        d->cap = d->cap * 2 + 8;
    }
    d->levels[d->count] = (struct level){NULL, d->path.len};
    rc = tree_reader_open(l->cat, tree, &d->levels[d->count].reader, err);
    if (!rc)
        d->count++;
    return rc;
}

static void go_up(struct descent *d)
{
    tree_reader_close(d->levels[--d->count].reader);
}

static enum error_kind next_entry(struct listing *l, struct descent *d, struct error *err)
{
    struct level *top = &d->levels[d->count - 1];
    struct tree_entry e = {.name = NULL};
    bool more = false;
    enum error_kind rc = tree_reader_next(top->reader, &e, &more, err);

    if (rc)
        return rc;
    if (!more) {
        go_up(d);
        return OK;
    }
    d->path.len = top->prefix_len;
    if (d->path.len)
        rc = buffer_append(&d->path, "/", 1, err);
    if (!rc)
        rc = buffer_append(&d->path, e.name, e.name_len, err);
    if (rc)
        return rc;
    print_entry(l, &e, (const char *)d->path.data);
    return l->recursive && e.type == TREE_DIRECTORY ? go_down(l, d, &e.tree, err) : OK;
}

static enum error_kind list_directory(struct listing *l, const char *path, const struct chunk_id *tree,
                                      struct error *err)
{
    struct descent d = {NULL, 0, 0, BUFFER_INIT(1u << 30)};
    enum error_kind rc = buffer_append_text(&d.path, path, err);

    if (!rc)
        rc = go_down(l, &d, tree, err);
    while (!rc && d.count)
        rc = next_entry(l, &d, err);
    while (d.count)
        go_up(&d);
    free(d.levels);
    buffer_release(&d.path);
    return rc;
}

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, const char **root, bool *recursive)
{
    static const struct option options[] = {{"recursive", no_argument, NULL, 'R'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c == 'R')
            *recursive = true;
        else if (c == 'r')
            *root = optarg;
        else
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
    }
    if (argc - optind != 1)
        return cli_usage(cli, me, "ls takes one ID or ID:PATH");
    return -1;
}

int cli_ls(struct cli *cli, int argc, char **argv)
{
    struct listing l = {cli, NULL, false};
    struct cli_entry e = CLI_ENTRY_INIT;
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    const char *root = "site";
    char *id = NULL;
    char *path = NULL;
    int status = parse(cli, cli_command_find("ls"), argc, argv, &root, &l.recursive);
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_reference_parse(argv[optind], &id, &path, &err);
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_READ, false, &l.cat, &err);
    if (!rc)
        rc = cli_snapshot_open(l.cat, id, &record, &err);
    if (!rc)
        rc = cli_entry_open(l.cat, &record, root, path, &e, &err);
    if (!rc && e.entry.type == TREE_DIRECTORY)
        rc = list_directory(&l, path, &e.entry.tree, &err);
    else if (!rc)
        print_entry(&l, &e.entry, path);
    cli_entry_release(&e);
    snapshot_record_release(&record);
    catalog_close(l.cat);
    free(id);
    free(path);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
