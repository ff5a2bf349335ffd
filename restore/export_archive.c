/* The one file that knows libarchive: its ways of failing become ours. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "restore_internal.h"

#define ACL_VERSION 2u
#define ACL_ENTRY_LEN 8

struct export_archive {
    struct archive *archive;
    struct archive_entry *entry;
    struct draft *draft;
    enum export_form form;
    locale_t utf8, before; /* names are converted by the thread's locale, which must not be "C" */
    struct error writing;  /* what the draft said, while libarchive only knows that it failed */
    uint64_t warnings;
    char first[1024];
};

/* ---- bytes out ---- */

static la_ssize_t write_out(struct archive *archive, void *arg, const void *bytes, size_t len)
{
    struct export_archive *a = arg;

    if (draft_write(a->draft, bytes, len, &a->writing)) {
        archive_set_error(archive, EIO, "the archive could not be written");
        return -1;
    }
    return (la_ssize_t)len;
}

/* ARCHIVE_WARN: done, but not exactly; anything worse is a failure. */
static enum error_kind judge(struct export_archive *a, int status, const char *what, struct error *err)
{
    const char *text = archive_error_string(a->archive);

    if (status == ARCHIVE_OK)
        return OK;
    if (status == ARCHIVE_WARN) {
        /* A name that is not UTF-8 is written byte for byte in pax headers; only a zip loses something. */
        if (a->form == EXPORT_TAR_ZST && archive_errno(a->archive) == EILSEQ)
            return OK;
        if (a->warnings++ == 0)
            snprintf(a->first, sizeof(a->first), "%s: %s", what, text ? text : "?");
        return OK;
    }
    if (a->writing.kind) {
        *err = a->writing;
        return err->kind;
    }
    return error_set(err, ERR_IO, 0, "putting %s into the archive: %s", what, text ? text : "?");
}

/* ---- entries ---- */

static int acl_tag(unsigned tag)
{
    switch (tag) {
    case 0x01:
        return ARCHIVE_ENTRY_ACL_USER_OBJ;
    case 0x02:
        return ARCHIVE_ENTRY_ACL_USER;
    case 0x04:
        return ARCHIVE_ENTRY_ACL_GROUP_OBJ;
    case 0x08:
        return ARCHIVE_ENTRY_ACL_GROUP;
    case 0x10:
        return ARCHIVE_ENTRY_ACL_MASK;
    case 0x20:
        return ARCHIVE_ENTRY_ACL_OTHER;
    default:
        return 0;
    }
}

/* The kernel's form of an ACL (version, then tag, permissions, id each), which tar has a text form for. */
static bool add_acl(struct archive_entry *entry, const struct tree_xattr *x, int type)
{
    struct cursor c = cursor_over(x->value, x->len);

    if (cursor_u32(&c) != ACL_VERSION || cursor_left(&c) % ACL_ENTRY_LEN != 0)
        return false;
    while (!c.bad && cursor_left(&c) > 0) {
        int tag = acl_tag(cursor_u16(&c));
        int permissions = cursor_u16(&c) & 7;
        uint32_t id = cursor_u32(&c);

        if (!tag)
            return false;
        archive_entry_acl_add_entry(entry, type, permissions, tag, id == UINT32_MAX ? -1 : (int)id, NULL);
    }
    return !c.bad;
}

static void set_xattrs(struct archive_entry *entry, const struct tree_entry *e)
{
    for (size_t i = 0; i < e->xattr_count; i++) {
        const struct tree_xattr *x = &e->xattrs[i];

        if (strcmp(x->name, "system.posix_acl_access") == 0 && add_acl(entry, x, ARCHIVE_ENTRY_ACL_TYPE_ACCESS))
            continue;
        if (strcmp(x->name, "system.posix_acl_default") == 0 && add_acl(entry, x, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT))
            continue;
        archive_entry_xattr_add_entry(entry, x->name, x->value, x->len);
    }
}

/* libarchive wants the runs of data; a file that is one hole is said to have an empty run. */
static void set_holes(struct archive_entry *entry, const struct tree_entry *e)
{
    struct extents x = extents_of(e);
    uint64_t offset = 0;
    size_t run;

    if (e->hole_count == 0)
        return;
    if (content_data_size(e) == 0)
        archive_entry_sparse_add_entry(entry, 0, 0);
    while ((run = extents_next(&x, SIZE_MAX, &offset)) > 0)
        archive_entry_sparse_add_entry(entry, (la_int64_t)offset, (la_int64_t)run);
}

static mode_t file_type(enum tree_type type)
{
    switch (type) {
    case TREE_FILE:
        return S_IFREG;
    case TREE_DIRECTORY:
        return S_IFDIR;
    case TREE_SYMLINK:
        return S_IFLNK;
    case TREE_FIFO:
        return S_IFIFO;
    case TREE_CHARACTER_DEVICE:
        return S_IFCHR;
    case TREE_BLOCK_DEVICE:
        return S_IFBLK;
    }
    return S_IFREG;
}

static void describe(struct export_archive *a, const char *path, const struct tree_entry *e, const char *hardlink)
{
    struct archive_entry *entry = archive_entry_clear(a->entry);

    archive_entry_copy_pathname(entry, path);
    archive_entry_set_mode(entry, file_type(e->type) | e->mode);
    archive_entry_set_uid(entry, e->uid);
    archive_entry_set_gid(entry, e->gid);
    if (e->owner[0])
        archive_entry_copy_uname(entry, e->owner);
    if (e->group[0])
        archive_entry_copy_gname(entry, e->group);
    archive_entry_set_mtime(entry, e->mtime_sec, e->mtime_nsec);
    archive_entry_set_size(entry, e->type == TREE_FILE && !hardlink ? (la_int64_t)e->size : 0);
    if (hardlink)
        archive_entry_copy_hardlink(entry, hardlink);
    if (e->type == TREE_SYMLINK)
        archive_entry_copy_symlink(entry, e->target);
    if (e->type == TREE_CHARACTER_DEVICE || e->type == TREE_BLOCK_DEVICE)
        archive_entry_set_rdev(entry, makedev(e->device_major, e->device_minor));
    if (a->form == EXPORT_ZIP || hardlink)
        return;
    set_xattrs(entry, e);
    if (e->type == TREE_FILE)
        set_holes(entry, e);
}

enum error_kind export_archive_entry(struct export_archive *a, const char *path, const struct tree_entry *e,
                                     const char *hardlink, struct error *err)
{
    describe(a, path, e, hardlink);
    return judge(a, archive_write_header(a->archive, a->entry), path, err);
}

enum error_kind export_archive_data(struct export_archive *a, const void *bytes, size_t len, struct error *err)
{
    const unsigned char *p = bytes;

    while (len > 0) {
        la_ssize_t n = archive_write_data(a->archive, p, len);

        if (n < 0)
            return judge(a, (int)n, "a file's content", err);
        if (n == 0)
            return error_set(err, ERR_IO, 0, "the archive takes no more of a file than it was told of");
        p += n;
        len -= (size_t)n;
    }
    return OK;
}

/* ---- beginning and end ---- */

static enum error_kind choose_form(struct export_archive *a, struct error *err)
{
    enum error_kind rc;

    if (a->form == EXPORT_ZIP) {
        rc = judge(a, archive_write_set_format_zip(a->archive), "the form", err);
        if (!rc)
            rc = judge(a, archive_write_set_format_option(a->archive, "zip", "hdrcharset", "UTF-8"), "the form", err);
        return rc;
    }
    rc = judge(a, archive_write_set_format_pax(a->archive), "the form", err);
    if (!rc)
        rc = judge(a, archive_write_add_filter_zstd(a->archive), "the form", err);
    return rc;
}

enum error_kind export_archive_open(struct draft *draft, enum export_form form, struct export_archive **out,
                                    struct error *err)
{
    struct export_archive *a = calloc(1, sizeof(*a));
    enum error_kind rc;

    if (!a)
        return error_set(err, ERR_MEMORY, 0, "out of memory for an archive");
    a->draft = draft;
    a->form = form;
    a->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (a->utf8)
        a->before = uselocale(a->utf8);
    a->archive = archive_write_new();
    a->entry = archive_entry_new();
    if (!a->archive || !a->entry) {
        export_archive_free(a);
        return error_set(err, ERR_MEMORY, 0, "out of memory for an archive");
    }
    rc = choose_form(a, err);
    if (!rc) /* no padding behind the compressed bytes, which zstd would take for a second, broken stream */
        rc = judge(a, archive_write_set_bytes_in_last_block(a->archive, 1), "the form", err);
    if (!rc)
        rc = judge(a, archive_write_open(a->archive, a, NULL, write_out, NULL), "the beginning", err);
    if (rc) {
        export_archive_free(a);
        return rc;
    }
    *out = a;
    return OK;
}

enum error_kind export_archive_end(struct export_archive *a, struct error *err)
{
    return judge(a, archive_write_close(a->archive), "the end", err);
}

uint64_t export_archive_warnings(const struct export_archive *a, const char **first)
{
    *first = a->first;
    return a->warnings;
}

void export_archive_free(struct export_archive *a)
{
    if (!a)
        return;
    if (a->entry)
        archive_entry_free(a->entry);
    if (a->archive)
        archive_write_free(a->archive);
    if (a->utf8) {
        uselocale(a->before);
        freelocale(a->utf8);
    }
    free(a);
}
