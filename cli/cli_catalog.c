/*
 * Which catalogue, and whether it lies in a good place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "file.h"

#define LOCK_TIMEOUT_MS 60000

static enum error_kind default_path(char **out, struct error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (geteuid() == 0)
        return memory_string("/var/lib/nopsnap", out, err);
    if (state && state[0] == '/')
        return memory_format(out, err, "%s/nopsnap", state);
    if (home && home[0] == '/')
        return memory_format(out, err, "%s/.local/state/nopsnap", home);
    error_set(err, ERR_USAGE, 0, "no home folder, so no default catalogue");
    error_hint(err, "name one with --catalog DIR");
    return ERR_USAGE;
}

enum error_kind cli_catalog_path(struct cli *cli, char **out, bool *is_default, struct error *err)
{
    const char *named = cli->catalog_given ? cli->catalog_given : cli->config.catalog;

    *is_default = !named;
    return named ? memory_string(named, out, err) : default_path(out, err);
}

static enum error_kind make_default(struct cli *cli, const char *path, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = path_parent(path, &parent, err);

    if (!rc)
        rc = directory_make_all(parent, err);
    if (!rc)
        rc = catalog_init(path, err);
    if (!rc)
        cli_note(cli, "made a new catalogue: %s", path);
    free(parent);
    return rc;
}

enum error_kind cli_catalog_open(struct cli *cli, enum catalog_mode mode, bool make, struct catalog **out,
                                 struct error *err)
{
    struct error why = ERROR_INIT;
    bool is_default = false;
    char *path = NULL;
    enum error_kind rc = cli_catalog_path(cli, &path, &is_default, err);

    if (rc)
        return rc;
    rc = catalog_open(path, mode, LOCK_TIMEOUT_MS, out, &why);
    if (rc == ERR_NOT_FOUND && make && is_default) {
        rc = make_default(cli, path, err);
        if (!rc)
            rc = catalog_open(path, mode, LOCK_TIMEOUT_MS, out, err);
    } else if (rc) {
        if (why.sys == EACCES && geteuid() != 0)
            error_hint(
                &why,
                "as root, or with a catalogue of your own: --catalog DIR, or catalog = DIR in ~/.config/nopsnap.conf");
        error_copy(err, &why);
    }
    free(path);
    return rc;
}

enum error_kind cli_catalog_check_place(struct cli *cli, const char *catalog, const struct site *site,
                                        struct error *err)
{
    char *real = NULL;
    struct stat a;
    struct stat b;
    size_t n = strlen(site->path);
    enum error_kind rc = path_real(catalog, &real, err);

    if (rc)
        return rc;
    if ((!strncmp(real, site->path, n) && (real[n] == '/' || real[n] == '\0')) || site_serves(real)) {
        rc = error_set(err, ERR_REFUSED, 0, "the catalogue %s is inside a site: visitors could read it", real);
        error_hint(err, "make one elsewhere, best on another disk: nopsnap --catalog DIR init");
    } else if (stat(real, &a) == 0 && stat(site->path, &b) == 0 && a.st_dev == b.st_dev) {
        cli_note(cli, "note: the catalogue is on the shop's own disk; a copy elsewhere survives that disk");
    }
    free(real);
    return rc;
}
