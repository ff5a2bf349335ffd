#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "restore.h"

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, const char **root)
{
    static const struct option options[] = {
        {"root", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c != 'r')
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        *root = optarg;
    }
    if (argc - optind != 1)
        return cli_usage(cli, me, "cat takes one ID:PATH");
    return -1;
}

int cli_cat(struct cli *cli, int argc, char **argv)
{
    struct cli_entry e = CLI_ENTRY_INIT;
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    const char *root = "site";
    char *id = NULL;
    char *path = NULL;
    int status = parse(cli, cli_command_find("cat"), argc, argv, &root);
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_reference_parse(argv[optind], &id, &path, &err);
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc)
        rc = cli_snapshot_open(cat, id, &record, &err);
    if (!rc)
        rc = cli_entry_open(cat, &record, root, path, &e, &err);
    if (!rc && e.entry.type != TREE_FILE) {
        rc = error_set(&err, ERR_USAGE, 0, "%s is no file", path[0] ? path : "the snapshot's root");
        error_hint(&err, "nopsnap ls %s:%s", id, path);
    }
    if (!rc)
        rc = restore_file_content(cat, &e.entry, STDOUT_FILENO, &err);
    cli_entry_release(&e);
    snapshot_record_release(&record);
    catalog_close(cat);
    free(id);
    free(path);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
