#include "release.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "file.h"
#include "release_internal.h"

#define ENTRIES_MAX 200000u
#define BYTES_MAX (UINT64_C(8) << 30)
#define ARCHIVE_MAX (UINT64_C(2) << 30)
#define RESERVE (UINT64_C(256) << 20)

/* ---- what the caller asks ---- */

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static void take_limits(const struct release_limits *asked, struct release_limits *out)
{
    out->max_entries = or_default(asked->max_entries, ENTRIES_MAX);
    out->max_bytes = or_default(asked->max_bytes, BYTES_MAX);
    out->max_archive = or_default(asked->max_archive, ARCHIVE_MAX);
    out->reserve = or_default(asked->reserve, RESERVE);
}

static enum error_kind sum_check(const char *sha256, struct error *err)
{
    unsigned char ignored[RELEASE_SHA256_LEN / 2];

    if (!sha256 || hex_decode(sha256, sizeof(ignored), ignored) == 0)
        return OK;
    error_set(err, ERR_USAGE, 0, "'%.80s' is no SHA-256", sha256);
    error_hint(err, "it has 64 hexadecimal digits, as sha256sum prints them");
    return ERR_USAGE;
}

/* ---- archives ---- */

static enum error_kind compare_sum(const struct release *r, const char *expected, struct error *err)
{
    if (!expected || strcasecmp(expected, r->facts.sha256) == 0)
        return OK;
    error_set(err, ERR_REFUSED, 0, "its SHA-256 is %s and not %.80s", r->facts.sha256, expected);
    error_hint(err, "it is another file than the one that the sum is of, or damaged: do not use it");
    return ERR_REFUSED;
}

static enum error_kind list_archive(struct release *r, const struct progress *progress, struct error *err)
{
    struct archive_reader *a = NULL;
    struct archive_item item;
    char name[PATH_MAX];
    bool more = true;
    enum error_kind rc = archive_reader_open(r->fd, progress, &a, err);

    while (!rc && more) {
        rc = archive_reader_next(a, &item, &more, err);
        if (rc || !more)
            break;
        rc = release_name_clean(item.name, name, err);
        if (!rc && name[0] == '\0' && !item.folder)
            rc = error_set(err, ERR_REFUSED, 0, "it has a file without a name");
        if (!rc && name[0] != '\0')
            rc = release_list_add(r, name, item.folder, item.folder ? 0 : item.size, item.mtime, err);
    }
    archive_reader_close(a);
    return rc;
}

static enum error_kind read_archive(struct release *r, const char *expected, const struct progress *progress,
                                    struct error *err)
{
    char limit[TEXT_MAX];
    enum error_kind rc;

    text_size(r->limits.max_archive, limit);
    if ((uint64_t)r->was.st_size > r->limits.max_archive)
        return error_set(err, ERR_REFUSED, 0, "it is larger than %s", limit);
    progress_step(progress, "summing %s", r->name);
    rc = release_sum(r->fd, (uint64_t)r->was.st_size, r->name, progress, r->facts.sha256, err);
    if (rc)
        return rc;
    progress_note(progress, "the SHA-256 of %s is %s", r->name, r->facts.sha256);
    rc = compare_sum(r, expected, err);
    if (rc)
        return rc;
    progress_step(progress, "reading the list of %s", r->name);
    return list_archive(r, progress, err);
}

/* ---- what it is ---- */

/* A new folder of our own: in `work`, or where temporary files go. */
enum error_kind release_temporary_folder(const char *work, char **out, struct error *err)
{
    const char *places[] = {work, getenv("TMPDIR"), "/var/tmp", "/tmp"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *path = NULL;
        enum error_kind rc;

        if (!places[i] || (i > 0 && places[i][0] != '/'))
            continue;
        rc = memory_format(&path, err, "%s/" DRAFT_PREFIX "XXXXXX", places[i]);
        if (rc)
            return rc;
        if (mkdtemp(path)) {
            *out = path;
            return OK;
        }
        free(path);
        if (work)
            break;
    }
    error_set(err, ERR_IO, errno, "cannot make a temporary folder%s%s", work ? " in " : "", work ? work : "");
    error_hint(err, "set TMPDIR to a folder that can be written");
    return err->kind;
}

/* An archive's few telling files are taken out, looked at and removed. */
static enum error_kind look_into_archive(struct release *r, const char *work, struct error *err)
{
    struct error trouble = ERROR_INIT;
    char *folder = NULL;
    int fd = -1;
    enum error_kind rc = release_temporary_folder(work, &folder, err);

    if (rc)
        return rc;
    rc = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = release_take_out(r, fd, release_tells, err);
    if (!rc)
        rc = release_look(r, folder, err);
    file_close(&fd);
    if (directory_remove_tree(AT_FDCWD, folder, &trouble) && !rc) {
        error_copy(err, &trouble);
        rc = err->kind;
    }
    free(folder);
    return rc;
}

static enum error_kind look_into_folder(struct release *r, struct error *err)
{
    char *root = NULL;
    enum error_kind rc = path_join(r->path, r->dropped, &root, err);

    if (!rc)
        rc = release_look(r, root, err);
    free(root);
    return rc;
}

static enum error_kind list(struct release *r, const struct release_options *options, const struct progress *progress,
                            struct error *err)
{
    enum error_kind rc =
        r->path ? release_folder_list(r, progress, err) : read_archive(r, options->sha256, progress, err);

    return rc ? rc : release_list_finish(r, err);
}

static enum error_kind look(struct release *r, const struct release_options *options, const struct progress *progress,
                            struct error *err)
{
    enum error_kind rc = list(r, options, progress, err);

    if (!rc)
        rc = release_layout(r, err);
    if (!rc)
        rc = r->path ? look_into_folder(r, err) : look_into_archive(r, options->work, err);
    return rc;
}

/* ---- where it is ---- */

static enum error_kind open_local(const char *source, const struct release_options *options, struct release *r,
                                  struct error *err)
{
    enum error_kind rc = memory_string(path_base(source), &r->name, err);

    if (!rc)
        rc = file_open(AT_FDCWD, source, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &r->fd, err);
    if (rc == ERR_NOT_FOUND)
        error_hint(err, "name an archive, a folder, or an https:// address");
    if (!rc && fstat(r->fd, &r->was))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", source);
    if (rc)
        return rc;
    if (S_ISREG(r->was.st_mode))
        return OK;
    if (!S_ISDIR(r->was.st_mode))
        return error_set(err, ERR_REFUSED, 0, "%s is neither an archive nor a folder", source);
    if (options->sha256) {
        error_set(err, ERR_USAGE, 0, "%s is a folder, of which there is no SHA-256", source);
        error_hint(err, "leave the sum away, or name the archive");
        return ERR_USAGE;
    }
    return path_real(source, &r->path, err);
}

static enum error_kind open_fetched(const char *url, const struct release_options *options,
                                    const struct progress *progress, struct release *r, struct error *err)
{
    enum error_kind rc = release_url_shown(url, &r->name, err);

    if (!rc)
        rc = release_fetch(url, r->name, options, &r->limits, progress, &r->fd, err);
    if (!rc && fstat(r->fd, &r->was))
        rc = error_set(err, ERR_IO, errno, "cannot look at the download of %s", r->name);
    return rc;
}

static enum error_kind release_new(const struct release_options *options, struct release **out, struct error *err)
{
    struct release *r = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(*r), (void **)&r, err);

    if (rc)
        return rc;
    r->fd = -1;
    r->facts.version.patch = -1;
    take_limits(&options->limits, &r->limits);
    *out = r;
    return OK;
}

enum error_kind release_open(const char *source, const struct release_options *options, const struct progress *progress,
                             struct release **out, struct error *err)
{
    static const struct release_options defaults = {.sha256 = NULL};
    struct release *r = NULL;
    enum error_kind rc;

    options = options ? options : &defaults;
    rc = sum_check(options->sha256, err);
    if (!rc)
        rc = release_new(options, &r, err);
    if (rc)
        return rc;
    rc = release_is_url(source) ? open_fetched(source, options, progress, r, err) : open_local(source, options, r, err);
    if (!rc) {
        r->facts.name = r->name;
        rc = look(r, options, progress, err);
        if (rc)
            error_context(err, "%s", r->name);
        /* Whatever is wrong with a download, the next try shall not begin with it. */
        if (rc == ERR_REFUSED && release_is_url(source) && ftruncate(r->fd, 0))
            error_hint(err, "remove the download by hand");
    }
    if (rc) {
        release_free(r);
        return rc;
    }
    *out = r;
    return OK;
}

enum error_kind release_open_package(const char *path, const struct release_options *options,
                                     const struct progress *progress, struct release **out, struct error *err)
{
    struct release *r = NULL;
    enum error_kind rc = release_new(options, &r, err);

    if (rc)
        return rc;
    rc = open_local(path, options, r, err);
    if (!rc) {
        r->facts.name = r->name;
        rc = list(r, options, progress, err);
    }
    if (rc) {
        release_free(r);
        return rc;
    }
    *out = r;
    return OK;
}

void release_free(struct release *r)
{
    if (!r)
        return;
    release_list_release(r);
    text_list_release(&r->facts.remarks);
    file_close(&r->fd);
    free(r->dropped);
    free(r->name);
    free(r->source);
    free(r->path);
    free(r);
}

/* ---- what is known ---- */

const struct release_facts *release_facts(const struct release *r)
{
    return &r->facts;
}

const struct release_list *release_list(const struct release *r)
{
    return &r->list;
}

const struct release_entry *release_find(const struct release *r, const char *path)
{
    size_t place = release_list_place(&r->list, path);

    return place == SIZE_MAX ? NULL : &r->list.items[place];
}
