/*
 * Reading archives: libarchive's ways of failing become ours. It is asked for what releases are packed with, and nothing else: each reader
 * that is not there can't be attacked. A zip is read by the directory at its end alone, so that one that was cut short has none.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "release_internal.h"
#include "thread.h"

#define PIECE (256u << 10)
#define TAR_BLOCK 512

struct archive_reader {
    struct archive *archive;
    const struct progress *progress;
    int fd;
    uint64_t at, size;
    bool is_rar;
    struct rar_walk rar;      /* libarchive lets stored files' checksums and a missing end pass */
    uint32_t expected, found; /* CRC-32 of a rar's file */
    locale_t utf8, before;    /* names are converted by the thread's locale, which must not be "C" */
    struct error reading;     /* what the system or a signal said, while libarchive only knows that it failed */
    unsigned char piece[PIECE];
};

/* ---- bytes in ---- */

/* With pread(): the offset of a descriptor is shared by all who have it. */
static la_ssize_t read_in(struct archive *archive, void *arg, const void **bytes)
{
    struct archive_reader *a = arg;
    uint64_t left = a->at < a->size ? a->size - a->at : 0;
    size_t want = left < PIECE ? (size_t)left : PIECE;

    if (cancel_check(&a->reading) || file_read_at(a->fd, a->piece, want, a->at, "the archive", &a->reading)) {
        archive_set_error(archive, EIO, "the archive could not be read");
        return -1;
    }
    a->at += want;
    progress_advance(a->progress, a->at, a->size, "bytes");
    *bytes = a->piece;
    return (la_ssize_t)want;
}

static la_int64_t skip_in(struct archive *archive, void *arg, la_int64_t request)
{
    struct archive_reader *a = arg;
    uint64_t left = a->at < a->size ? a->size - a->at : 0;
    uint64_t by = request > 0 ? (uint64_t)request : 0;

    (void)archive;
    by = by < left ? by : left;
    a->at += by;
    return (la_int64_t)by;
}

static la_int64_t seek_in(struct archive *archive, void *arg, la_int64_t offset, int whence)
{
    struct archive_reader *a = arg;
    la_int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (la_int64_t)a->at : (la_int64_t)a->size;
    la_int64_t to;

    if (__builtin_add_overflow(base, offset, &to) || to < 0 || (uint64_t)to > a->size) {
        archive_set_error(archive, EINVAL, "it points to a place outside of itself");
        return ARCHIVE_FATAL;
    }
    a->at = (uint64_t)to;
    return to;
}

/* ---- failures ---- */

static enum error_kind failed(const struct archive_reader *a, struct error *err)
{
    const char *text = archive_error_string(a->archive);

    if (a->reading.kind) {
        *err = a->reading;
        return err->kind;
    }
    if (archive_errno(a->archive) == ENOMEM)
        return error_set(err, ERR_MEMORY, 0, "reading the archive: %s", text ? text : "out of memory");
    text = text ? text : "no reason given";
    return error_set(err, ERR_REFUSED, 0, "it is damaged or cut short: %.*s", (int)strcspn(text, "\n"), text);
}

/* What somebody may have in hands instead of an archive. */
static enum error_kind no_archive(const struct archive_reader *a, struct error *err)
{
    unsigned char head[6] = "";
    struct error ignored = ERROR_INIT;

    if (a->reading.kind)
        return failed(a, err);
    if (a->size == 0)
        return error_set(err, ERR_REFUSED, 0, "it is empty");
    (void)file_read_at(a->fd, head, a->size < sizeof(head) ? (size_t)a->size : sizeof(head), 0, "it", &ignored);
    if (memcmp(head, "PK\3\4", 4) == 0)
        return error_set(err, ERR_REFUSED, 0, "it is damaged or cut short: a zip without the directory at its end");
    if (memcmp(head, "Rar!", 4) == 0 || memcmp(head, "7z\xbc\xaf", 4) == 0)
        return failed(a, err);
    error_set(err, ERR_REFUSED, 0, "it is no archive that nopsnap can read");
    if (head[0] == '<')
        error_hint(err, "it looks like a web page: download the release in a browser and name the file");
    else
        error_hint(err, "releases are zip, 7z, rar, or tar (plain, gz, xz, zst, bz2)");
    return ERR_REFUSED;
}

/* ---- beginning and end ---- */

static bool set_up(struct archive_reader *a)
{
    struct archive *x = a->archive;

    return !archive_read_support_filter_gzip(x) && !archive_read_support_filter_bzip2(x) &&
           !archive_read_support_filter_xz(x) && !archive_read_support_filter_zstd(x) &&
           !archive_read_support_format_tar(x) && !archive_read_support_format_zip_seekable(x) &&
           !archive_read_support_format_7zip(x) && !archive_read_support_format_rar(x) &&
           !archive_read_support_format_rar5(x) && !archive_read_set_read_callback(x, read_in) &&
           !archive_read_set_skip_callback(x, skip_in) && !archive_read_set_seek_callback(x, seek_in) &&
           !archive_read_set_callback_data(x, a);
}

enum error_kind archive_reader_open(int fd, const struct progress *progress, struct archive_reader **out,
                                    struct error *err)
{
    struct archive_reader *a = NULL;
    struct stat st;
    enum error_kind rc;

    if (fstat(fd, &st))
        return error_set(err, ERR_IO, errno, "cannot look at the archive");
    rc = memory_zeroed(1, sizeof(*a), (void **)&a, err);
    if (rc)
        return rc;
    a->fd = fd;
    a->size = (uint64_t)st.st_size;
    a->progress = progress;
    a->is_rar = rar_walk_begin(fd, a->size, &a->rar);
    a->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (a->utf8)
        a->before = uselocale(a->utf8);
    a->archive = archive_read_new();
    if (!a->archive)
        rc = error_set(err, ERR_MEMORY, 0, "out of memory for an archive");
    else if (!set_up(a))
        rc = error_set(err, ERR_IO, 0, "libarchive lacks a reader: %s", archive_error_string(a->archive));
    else if (archive_read_open1(a->archive) != ARCHIVE_OK)
        rc = no_archive(a, err);
    if (rc) {
        archive_reader_close(a);
        return rc;
    }
    *out = a;
    return OK;
}

void archive_reader_close(struct archive_reader *a)
{
    if (!a)
        return;
    if (a->archive)
        archive_read_free(a->archive);
    if (a->utf8) {
        uselocale(a->before);
        freelocale(a->utf8);
    }
    free(a);
}

/* ---- entries ---- */

static const char *type_name(unsigned type)
{
    switch (type) {
    case AE_IFLNK:
        return "a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK:
        return "a device";
    case AE_IFIFO:
        return "a FIFO";
    case AE_IFSOCK:
        return "a socket";
    default:
        return "of no kind that a release has";
    }
}

static enum error_kind encrypted(struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "it is encrypted");
    error_hint(err, "unpack it yourself and name the folder");
    return ERR_REFUSED;
}

static enum error_kind entry_check(struct archive_entry *e, const char *name, struct error *err)
{
    unsigned type = archive_entry_filetype(e);

    if (!name)
        return error_set(err, ERR_REFUSED, 0, "it has an entry without a usable name");
    if (archive_entry_is_encrypted(e))
        return encrypted(err);
    if (archive_entry_hardlink(e))
        return error_set(err, ERR_REFUSED, 0, "%s is a hard link, which no release has", name);
    if (archive_entry_symlink(e) || (type != AE_IFREG && type != AE_IFDIR))
        return error_set(err, ERR_REFUSED, 0, "%s is %s, which no release has", name,
                         type_name(archive_entry_symlink(e) ? AE_IFLNK : type));
    if (archive_entry_size_is_set(e) && archive_entry_size(e) < 0)
        return error_set(err, ERR_REFUSED, 0, "%s has no possible size", name);
    return OK;
}

/* A plain tar that was cut between two entries looks whole but for the zeros that should end it; everything else has checksums. */
static enum error_kind end_check(struct archive_reader *a, struct error *err)
{
    static const unsigned char zeros[TAR_BLOCK];
    unsigned char last[TAR_BLOCK];
    enum error_kind rc;

    if ((archive_format(a->archive) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_TAR ||
        archive_filter_count(a->archive) > 1)
        return OK;
    if (a->size < TAR_BLOCK)
        return error_set(err, ERR_REFUSED, 0, "it is cut short");
    rc = file_read_at(a->fd, last, TAR_BLOCK, a->size - TAR_BLOCK, "the archive", err);
    if (!rc && memcmp(last, zeros, TAR_BLOCK) != 0)
        rc = error_set(err, ERR_REFUSED, 0, "it is cut short: a tar without its end");
    return rc;
}

/* In step with libarchive, which must see the same entries. */
static enum error_kind rar_next(struct archive_reader *a, bool entry, struct error *err)
{
    int format = archive_format(a->archive) & ARCHIVE_FORMAT_BASE_MASK;
    bool more = false;
    enum error_kind rc;

    if (format != ARCHIVE_FORMAT_RAR && format != ARCHIVE_FORMAT_RAR_V5)
        return OK;
    if (!a->is_rar) {
        error_set(err, ERR_REFUSED, 0, "it is a rar with a program before it");
        error_hint(err, "unpack it yourself and name the folder");
        return ERR_REFUSED;
    }
    a->found = 0;
    rc = rar_walk_file(&a->rar, &a->expected, &more, err);
    if (!rc && more != entry)
        rc = error_set(err, ERR_REFUSED, 0, "it is damaged or cut short: a rar whose files are not all to be found");
    return rc;
}

enum error_kind archive_reader_next(struct archive_reader *a, struct archive_item *out, bool *more, struct error *err)
{
    struct archive_entry *e = NULL;
    const char *name;
    enum error_kind rc;
    int status;

    status = archive_read_next_header(a->archive, &e);
    if (status == ARCHIVE_EOF) {
        *more = false;
        rc = rar_next(a, false, err);
        return rc ? rc : end_check(a, err);
    }
    if (status != ARCHIVE_OK && !archive_format(a->archive))
        return no_archive(a, err);
    /* Even a warning: a zip whose two headers of a file disagree, a name that is no text. Real releases give none. */
    if (status != ARCHIVE_OK)
        return archive_read_has_encrypted_entries(a->archive) > 0 ? encrypted(err) : failed(a, err);
    name = archive_entry_pathname(e);
    rc = entry_check(e, name, err);
    if (!rc)
        rc = rar_next(a, true, err);
    if (rc)
        return rc;
    *out = (struct archive_item){
        .name = name,
        .folder = archive_entry_filetype(e) == AE_IFDIR,
        .executable = (archive_entry_perm(e) & 0111) != 0,
        .sized = archive_entry_size_is_set(e),
        .sparse = archive_entry_sparse_count(e) > 0,
        .size = archive_entry_size_is_set(e) ? (uint64_t)archive_entry_size(e) : 0,
        .mtime = archive_entry_mtime_is_set(e) ? (int64_t)archive_entry_mtime(e) : INT64_MIN,
    };
    *more = true;
    return OK;
}

enum error_kind archive_reader_data(struct archive_reader *a, const void **bytes, size_t *len, uint64_t *offset,
                                    bool *more, struct error *err)
{
    la_int64_t at = 0;
    int status = archive_read_data_block(a->archive, bytes, len, &at);

    *more = status == ARCHIVE_OK;
    if (status == ARCHIVE_EOF && a->is_rar && a->found != a->expected)
        return error_set(err, ERR_REFUSED, 0, "it is damaged: a file's checksum is wrong");
    if (status == ARCHIVE_EOF)
        return OK;
    /* Even a warning: a zip's wrong checksum is no more than that to libarchive. */
    if (status != ARCHIVE_OK)
        return archive_read_has_encrypted_entries(a->archive) > 0 ? encrypted(err) : failed(a, err);
    if (at < 0)
        return error_set(err, ERR_REFUSED, 0, "it has content before a file's beginning");
    if (a->is_rar)
        a->found = rar_sum(a->found, *bytes, *len);
    *offset = (uint64_t)at;
    return OK;
}
