#include <fcntl.h>
#include <string.h>

#include "restore_internal.h"

#define DUMP_NAME "database.dump"

struct exporting {
    struct catalog *cat;
    const struct snapshot_record *snapshot;
    const struct progress *progress;
    enum export_form form;
    struct export_archive *archive;
    struct link_table *links; /* of the root that is being written */
    const char *root;
    struct buffer path, leader;
    struct open_frame held;
    uint64_t done, total;
    uint64_t nodes, split, attributes; /* what a zip can't hold: FIFOs and devices, hard links, extended attributes */
};

/* ---- bytes ---- */

static enum error_kind put_bytes(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct exporting *x = arg;

    x->done += len;
    progress_advance(x->progress, x->done, x->total, "bytes");
    return export_archive_data(x->archive, bytes, len, err);
}

/* ---- entries ---- */

static enum error_kind name_in(const char *root, const char *path, struct buffer *out, struct error *err)
{
    enum error_kind rc;

    buffer_clear(out);
    rc = buffer_append_text(out, root, err);
    if (!rc && path[0])
        rc = buffer_append_u8(out, '/', err);
    return rc || !path[0] ? rc : buffer_append_text(out, path, err);
}

/* The earlier name of the same file, as it stands in the archive; NULL when there is none, or a zip can't say it. */
static enum error_kind find_leader(struct exporting *x, const char *path, const char **out, struct error *err)
{
    const char *leader = link_table_leader(x->links, path);
    enum error_kind rc;

    *out = NULL;
    if (!leader || strcmp(leader, path) == 0)
        return OK;
    if (x->form == EXPORT_ZIP) {
        x->split++;
        return OK;
    }
    rc = name_in(x->root, leader, &x->leader, err);
    if (!rc)
        *out = (const char *)x->leader.data;
    return rc;
}

static bool zip_lacks(struct exporting *x, const struct tree_entry *e)
{
    if (x->form != EXPORT_ZIP)
        return false;
    x->attributes += e->xattr_count > 0;
    if (e->type == TREE_FILE || e->type == TREE_DIRECTORY || e->type == TREE_SYMLINK)
        return false;
    x->nodes++;
    return true;
}

static enum error_kind put_entry(struct exporting *x, const struct descent_item *item, struct error *err)
{
    const struct tree_entry *e = &item->entry;
    const char *leader = NULL;
    enum error_kind rc;

    if (zip_lacks(x, e))
        return OK;
    rc = name_in(x->root, item->path, &x->path, err);
    if (!rc && e->type != TREE_DIRECTORY)
        rc = find_leader(x, item->path, &leader, err);
    if (!rc)
        rc = export_archive_entry(x->archive, (const char *)x->path.data, e, leader, err);
    if (rc || e->type != TREE_FILE || leader)
        return rc;
    return content_pour(x->cat, e, &x->held, put_bytes, x, err);
}

static enum error_kind put_root(struct exporting *x, unsigned root, struct error *err)
{
    struct descent_item item = {.event = DESCENT_ENTER};
    struct descent *d = NULL;
    enum error_kind rc;

    x->root = x->snapshot->roots[root].name;
    if (!name_is_safe((const unsigned char *)x->root, strlen(x->root)))
        return error_set(err, ERR_CORRUPT, 0, "a root of the snapshot has no usable name");
    rc = link_table_load(x->cat, x->snapshot, root, NULL, &x->links, err);
    if (!rc)
        rc = descent_open(x->cat, &x->snapshot->roots[root].tree, &d, err);
    while (!rc) {
        rc = cancel_check(err);
        if (!rc)
            rc = descent_next(d, &item, err);
        if (rc || item.event == DESCENT_END)
            break;
        if (item.event == DESCENT_DAMAGED) {
            *err = item.error;
            rc = err->kind;
        } else if (item.event != DESCENT_LEAVE) {
            rc = put_entry(x, &item, err);
        }
        if (rc)
            error_context(err, "exporting %s", item.path[0] ? item.path : ".");
    }
    descent_close(d);
    link_table_free(x->links);
    x->links = NULL;
    return rc;
}

static enum error_kind put_dump(struct exporting *x, struct error *err)
{
    const struct tree_entry e = {.type = TREE_FILE,
                                 .mode = 0600,
                                 .owner = "",
                                 .group = "",
                                 .mtime_sec = x->snapshot->made_ns / 1000000000,
                                 .mtime_nsec = (uint32_t)(x->snapshot->made_ns % 1000000000),
                                 .size = x->snapshot->dump_bytes,
                                 .has_list = true,
                                 .list = x->snapshot->dump};
    enum error_kind rc = export_archive_entry(x->archive, DUMP_NAME, &e, NULL, err);

    if (!rc)
        rc = content_pour(x->cat, &e, &x->held, put_bytes, x, err);
    if (rc)
        error_context(err, "exporting the database's dump");
    return rc;
}

static void warn(const struct exporting *x)
{
    const char *first = "";
    uint64_t count = export_archive_warnings(x->archive, &first);

    if (x->nodes > 0)
        progress_warn(x->progress, "a zip holds no FIFOs and devices: %llu left out", (unsigned long long)x->nodes);
    if (x->split > 0)
        progress_warn(x->progress, "a zip holds no hard links: %llu became files of their own",
                      (unsigned long long)x->split);
    if (x->attributes > 0)
        progress_warn(x->progress, "a zip holds no extended attributes or ACLs: those of %llu entries are left out",
                      (unsigned long long)x->attributes);
    if (count > 0)
        progress_warn(x->progress, "%llu entries of the archive are not exact, the first: %s",
                      (unsigned long long)count, first);
}

/* ---- the archive ---- */

static enum error_kind form_of(const char *file, enum export_form *out, struct error *err)
{
    size_t len = strlen(file);

    if (len > 8 && strcmp(file + len - 8, ".tar.zst") == 0)
        *out = EXPORT_TAR_ZST;
    else if (len > 4 && strcmp(file + len - 4, ".zip") == 0)
        *out = EXPORT_ZIP;
    else {
        error_set(err, ERR_USAGE, 0, "%s ends neither in .tar.zst nor in .zip", file);
        error_hint(err, "the ending says what is written, e.g. %.200s.tar.zst", path_base(file));
        return ERR_USAGE;
    }
    return OK;
}

static enum error_kind put_all(struct exporting *x, struct draft *draft, struct error *err)
{
    enum error_kind rc = export_archive_open(draft, x->form, &x->archive, err);

    for (unsigned i = 0; !rc && i < x->snapshot->root_count; i++)
        rc = put_root(x, i, err);
    if (!rc && x->snapshot->has_dump)
        rc = put_dump(x, err);
    if (!rc)
        rc = export_archive_end(x->archive, err);
    return rc;
}

static enum error_kind is_there(const char *file, struct error *err)
{
    error_set(err, ERR_EXISTS, 0, "%s is there already", file);
    error_hint(err, "name a file that does not exist");
    return ERR_EXISTS;
}

enum error_kind restore_export(struct catalog *cat, const struct snapshot_record *snapshot, const char *file,
                               const struct progress *progress, struct error *err)
{
    struct exporting x = {.cat = cat,
                          .snapshot = snapshot,
                          .progress = progress,
                          .path = BUFFER_INIT(RESTORE_PATH_MAX),
                          .leader = BUFFER_INIT(RESTORE_PATH_MAX),
                          .total = snapshot->dump_bytes};
    struct draft draft = DRAFT_INIT;
    struct stat st;
    enum error_kind rc;

    rc = form_of(file, &x.form, err);
    if (rc)
        return rc;
    if (fstatat(AT_FDCWD, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return is_there(file, err);
    for (size_t i = 0; i < snapshot->root_count; i++)
        x.total += snapshot->roots[i].bytes;
    progress_step(progress, "writing %s", path_base(file));
    rc = draft_open(&draft, file, 0600, err);
    if (!rc)
        rc = put_all(&x, &draft, err);
    if (!rc)
        warn(&x);
    export_archive_free(x.archive);
    if (!rc)
        rc = draft_commit_new(&draft, err);
    if (rc == ERR_EXISTS) /* it came while we wrote */
        rc = is_there(file, err);
    draft_discard(&draft);
    buffer_release(&x.path);
    buffer_release(&x.leader);
    open_frame_release(&x.held);
    return rc;
}
