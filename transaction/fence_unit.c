/*
 * The systemd side of the fence: a drop-in that keeps the unit from starting while the fence file exists, across reboots too.
 *
 * ConditionPathExists=! makes a start succeed without starting anything (systemd.unit(5)), so a start is believed only
 * when the unit was seen active. RequiresMountsFor= keeps the unit waiting until the filesystem with the fence file is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "transaction_internal.h"

#define DROPIN_NAME "zz-nopsnap-fence.conf"

static const char *units_folder(void)
{
    const char *folder = getenv("NOPSNAP_SYSTEMD_ETC"); /* tests, and images that are prepared offline */

    return folder && *folder ? folder : "/etc/systemd/system";
}

enum error_kind fence_unit_path(const char *unit, char **out, struct error *err)
{
    char *name = NULL;
    enum error_kind rc;

    if (!name_is_safe((const unsigned char *)unit, strlen(unit)) || unit[0] == '-')
        return error_set(err, ERR_REFUSED, 0, "\"%s\" is no name of a unit", unit);
    rc = site_unit_full_name(unit, &name, err);
    if (!rc)
        rc = memory_format(out, err, "%s/%s.d/" DROPIN_NAME, units_folder(), name);
    free(name);
    return rc;
}

/* systemd's specifiers begin with %, so a % in a path is doubled. */
static enum error_kind append_specified(struct buffer *b, const char *path, bool quoted, struct error *err)
{
    enum error_kind rc = OK;

    for (const char *c = path; *c && !rc; c++) {
        if (*c == '%')
            rc = buffer_append_text(b, "%%", err);
        else if (quoted && (*c == '"' || *c == '\\'))
            rc = buffer_append_format(b, err, "\\%c", *c);
        else
            rc = buffer_append(b, c, 1, err);
    }
    return rc;
}

static enum error_kind dropin_text(struct buffer *b, const char *fence_file, const char *folder, struct error *err)
{
    enum error_kind rc = buffer_append_text(
        b,
        "# Written by nopsnap: the shop is kept from starting while its files or its database are exchanged.\n"
        "# If nopsnap is not running, `nopsnap recover` of the site removes this.\n"
        "[Unit]\nConditionPathExists=!",
        err);

    if (!rc)
        rc = append_specified(b, fence_file, false, err);
    if (!rc)
        rc = buffer_append_text(b, "\nRequiresMountsFor=\"", err);
    if (!rc)
        rc = append_specified(b, folder, true, err);
    if (!rc)
        rc = buffer_append_text(b, "\"\n", err);
    return rc;
}

static enum error_kind systemctl(const char *verb, const char *unit, int *status, struct error *err)
{
    const char *const argv[] = {"systemctl", verb, unit, NULL};
    struct process_spec spec = {.argv = argv};

    return process_run(&spec, NULL, status, err);
}

/* What `systemctl show` says of one property, ended with NUL. */
static enum error_kind show(const char *unit, const char *property, struct buffer *out, struct error *err)
{
    const char *const argv[] = {"systemctl", "show", "--value", "--property", property, "--", unit, NULL};
    struct process_spec spec = {.argv = argv};
    enum error_kind rc = process_run(&spec, out, NULL, err);

    return rc ? rc : buffer_append(out, "", 1, err);
}

/* A drop-in that systemd does not apply to the unit would let the shop start in the middle of it all. */
static enum error_kind check_applies(const char *unit, const char *dropin, struct error *err)
{
    struct buffer paths = BUFFER_INIT(1u << 20);
    enum error_kind rc = show(unit, "DropInPaths", &paths, err);

    if (!rc && !strstr((const char *)paths.data, "/" DROPIN_NAME)) {
        rc = error_set(err, ERR_REMOTE, 0, "systemd does not apply %s to %s", dropin, unit);
        error_hint(err, "see `systemctl cat %s`; `service` in the config has to be the unit's own name", unit);
    }
    buffer_release(&paths);
    return rc;
}

enum error_kind fence_unit_write(const char *unit, const char *dropin, const char *fence_file, const char *folder,
                                 struct error *err)
{
    struct buffer b = BUFFER_INIT(64u << 10);
    struct error made = ERROR_INIT;
    char *parent = NULL;
    char *above = NULL;
    enum error_kind rc = path_parent(dropin, &parent, err);

    if (!rc)
        rc = path_parent(parent, &above, err);
    if (!rc && strpbrk(fence_file, "\n\r"))
        rc = error_set(err, ERR_REFUSED, 0, "a unit's condition can't name %s", fence_file);
    if (!rc)
        rc = dropin_text(&b, fence_file, folder, err);
    if (rc)
        goto done;
    rc = directory_make(AT_FDCWD, parent, 0755, &made);
    if (rc && rc != ERR_EXISTS) {
        error_copy(err, &made);
        goto done;
    }
    rc = directory_sync(AT_FDCWD, above, err);
    if (!rc)
        rc = file_replace(dropin, b.data, b.len, 0644, err); /* no secret; systemd and its tools read it */
    if (!rc)
        rc = systemctl("daemon-reload", NULL, NULL, err);
    if (!rc)
        rc = check_applies(unit, dropin, err);
done:
    if (rc)
        error_context(err, "keeping the unit from starting");
    buffer_release(&b);
    free(parent);
    free(above);
    return rc;
}

enum error_kind fence_unit_remove(const char *dropin, struct error *err)
{
    struct error gone = ERROR_INIT;
    char *parent = NULL;
    enum error_kind rc = file_unlink(AT_FDCWD, dropin, &gone);

    if (rc == ERR_NOT_FOUND)
        return OK;
    if (rc) {
        error_copy(err, &gone);
        return rc;
    }
    rc = path_parent(dropin, &parent, err);
    if (!rc && rmdir(parent) != 0) /* stays when the owner has drop-ins of their own there */
        rc = directory_sync(AT_FDCWD, parent, err);
    if (!rc)
        rc = systemctl("daemon-reload", NULL, NULL, err);
    free(parent);
    return rc;
}

enum error_kind fence_unit_run(const char *unit, char out[FENCE_RUN_MAX], struct error *err)
{
    struct buffer id = BUFFER_INIT(1u << 16);
    enum error_kind rc = show(unit, "InvocationID", &id, err);

    if (!rc)
        (void)snprintf(out, FENCE_RUN_MAX, "%s", (const char *)id.data);
    buffer_release(&id);
    return rc;
}

/* A start or stop of what is not loaded (not there, masked, spoilt) fails, and an undo's too: a journal with it could not be ended. */
enum error_kind fence_unit_problems(const char *unit, struct text_list *out, struct error *err)
{
    struct buffer state = BUFFER_INIT(1u << 16);
    struct error unasked = ERROR_INIT;
    enum error_kind rc = OK;

    if (show(unit, "LoadState", &state, &unasked)) {
        rc = text_list_addf(out, err, "systemd can't be asked about %s: %s", unit, unasked.text);
    } else {
        char *word = (char *)state.data;

        word[strcspn(word, "\n")] = '\0';
        if (!strcmp(word, "not-found"))
            rc =
                text_list_addf(out, err, "there is no unit %s: name the shop's own with `service` in the config", unit);
        else if (strcmp(word, "loaded") != 0)
            rc = text_list_addf(out, err, "systemd can't start %s: it is %s; see `systemctl status %s`", unit,
                                *word ? word : "not loaded", unit);
    }
    buffer_release(&state);
    return rc;
}

enum error_kind fence_unit_active(const char *unit, bool *out, struct error *err)
{
    int status = 0;
    enum error_kind rc = systemctl("is-active", unit, &status, err);

    *out = !rc && status == 0;
    return rc;
}
