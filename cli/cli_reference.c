/*
 * What a user types after a verb: nothing but arguments, a snapshot's id, ID:PATH.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file.h"

int cli_arguments(struct cli *cli, const struct command *command, int argc, char **argv, int least, int most,
                  const char *takes)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int c = cli_option(cli, command, argc, argv, options);

    if (c != -1)
        return c == 'h' ? EXIT_DONE : EXIT_USAGE;
    if (argc - optind < least || (most >= 0 && argc - optind > most))
        return cli_usage(cli, command, "%s takes %s", command->name, takes);
    return -1;
}

enum error_kind cli_snapshot_open_of(struct catalog *cat, const char *site_id, const char *id,
                                     struct snapshot_record *out, struct error *err)
{
    struct error none = ERROR_INIT;
    enum error_kind rc = ERR_NOT_FOUND;

    if (site_id && !strcmp(id, "latest"))
        rc = snapshot_find(cat, site_id, id, out, &none);
    if (rc == ERR_NOT_FOUND)
        rc = snapshot_find(cat, NULL, id, out, err);
    else if (rc)
        error_copy(err, &none);
    if (rc == ERR_NOT_FOUND)
        error_hint(err, "nopsnap list shows what there is");
    return rc;
}

enum error_kind cli_snapshot_open(struct catalog *cat, const char *id, struct snapshot_record *out, struct error *err)
{
    return cli_snapshot_open_of(cat, NULL, id, out, err);
}

enum error_kind cli_snapshot_own(const struct snapshot_record *record, bool other_host, struct error *err)
{
    char *name = NULL;
    char *id = NULL;
    enum error_kind rc = other_host ? OK : catalog_host(&name, &id, err);

    if (!rc && !other_host && record->host_id && strcmp(id, record->host_id) != 0) {
        rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s is of another host: %s", record->id,
                       record->host ? record->host : "its name is not known");
        error_hint(err, "if that is what you want, say --other-host");
    }
    free(name);
    free(id);
    return rc;
}

enum error_kind cli_reference_parse(const char *given, char **id, char **path, struct error *err)
{
    const char *colon = strchr(given, ':');
    const char *rest = colon ? colon + 1 : "";
    size_t n;
    enum error_kind rc = memory_string(given, id, err);

    if (rc)
        return rc;
    (*id)[colon ? (size_t)(colon - given) : strlen(given)] = '\0';
    while (*rest == '/' || !strncmp(rest, "./", 2))
        rest += *rest == '/' ? 1 : 2;
    if (!strcmp(rest, "."))
        rest = "";
    rc = memory_string(rest, path, err);
    for (n = rc ? 0 : strlen(*path); n && (*path)[n - 1] == '/'; n--)
        (*path)[n - 1] = '\0';
    if (!rc && (*path)[0] && !path_is_safe_relative(*path))
        rc = error_set(err, ERR_USAGE, 0, "%s is no path inside a snapshot", rest);
    return rc;
}

static const struct snapshot_root *find_root(const struct snapshot_record *record, const char *name)
{
    for (size_t i = 0; i < record->root_count; i++)
        if (!strcmp(record->roots[i].name, name))
            return &record->roots[i];
    return NULL;
}

enum error_kind cli_entry_open(struct catalog *cat, const struct snapshot_record *record, const char *root_name,
                               const char *path, struct cli_entry *out, struct error *err)
{
    const struct snapshot_root *root = find_root(record, root_name);
    enum error_kind rc;

    if (!root) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "snapshot %.8s has no files called \"%s\"", record->id, root_name);
        error_hint(err, "nopsnap show %.8s tells what it has", record->id);
        return rc;
    }
    rc = tree_lookup(cat, &root->tree, path, &out->encoded, err);
    if (rc == ERR_NOT_FOUND)
        error_hint(err, "nopsnap ls %.8s lists what is there", record->id);
    if (!rc)
        rc = tree_scratch_new(&out->scratch, err);
    if (!rc)
        rc = tree_entry_decode(out->scratch, out->encoded.data, out->encoded.len, &out->entry, err);
    return rc;
}

void cli_entry_release(struct cli_entry *e)
{
    tree_scratch_free(e->scratch);
    buffer_release(&e->encoded);
    e->scratch = NULL;
}
