/* What the files of a release share. */
#ifndef NOPSNAP_RELEASE_INTERNAL_H
#define NOPSNAP_RELEASE_INTERNAL_H

#include <limits.h>
#include <sys/stat.h>

#include "buffer.h"
#include "release.h"

#define RELEASE_NAMES_MAX (64u << 20) /* bytes of all names together */

struct release {
    struct release_facts facts;
    struct release_limits limits;
    struct release_list list;
    size_t cap;      /* of list.items */
    size_t names;    /* bytes of all names, for RELEASE_NAMES_MAX */
    size_t skipped;  /* bytes that every path of the list was moved on by */
    char *dropped;   /* those bytes: the one folder that all is in, with its slash; "" if there is none */
    char *name;      /* facts.name */
    char *source;    /* version_source */
    char *path;      /* of a folder; NULL for an archive */
    int fd;          /* the archive or the folder */
    struct stat was; /* the archive when it was summed (R1) */
};

/* ---- release.c ---- */

/*
 * An archive or a folder whose names were checked (R2 to R4) and of which nothing is known but its list: it need be no shop.
 *
 * Returns    as release_open()
 */
enum error_kind release_open_package(const char *path, const struct release_options *options,
                                     const struct progress *progress, struct release **out, struct error *err);
/* A new folder of our own, 0700: in `work`, or where temporary files go. Caller removes and frees. */
enum error_kind release_temporary_folder(const char *work, char **out, struct error *err);

/* ---- release_names.c ---- */

/*
 * R2 for one name. A name that is nothing but "." comes out empty.
 *
 * out        smoothed, relative
 */
enum error_kind release_name_clean(const char *raw, char out[PATH_MAX], struct error *err);
/* Append, in any order, with the ceilings of R4; release_list_finish() then sorts, adds folders that only their content told of, drops the
 * one folder that all is in, and checks the whole. */
enum error_kind release_list_add(struct release *r, const char *path, bool folder, uint64_t size, int64_t mtime,
                                 struct error *err);
enum error_kind release_list_finish(struct release *r, struct error *err);
/* Place of a path in the sorted list; SIZE_MAX if it is not there. */
size_t release_list_place(const struct release_list *list, const char *path);
void release_list_release(struct release *r);

/* ---- release_archive.c: the one file of this room that knows libarchive ---- */

struct archive_item {
    const char *name; /* as the archive has it; good until the next call */
    bool folder;
    bool executable; /* so the archive says */
    bool sized;      /* the size is told beforehand */
    bool sparse;     /* what no piece covers is zeros */
    uint64_t size;
    int64_t mtime; /* INT64_MIN: not told */
};

struct archive_reader;

/*
 * fd         regular file, borrowed; its offset is left alone
 * progress   told of bytes of the archive read, out of all; may be NULL
 * Returns    ERR_REFUSED for what is no archive
 */
enum error_kind archive_reader_open(int fd, const struct progress *progress, struct archive_reader **out,
                                    struct error *err);
/* The next entry; *more is false at the end. R3 is checked here. */
enum error_kind archive_reader_next(struct archive_reader *a, struct archive_item *out, bool *more, struct error *err);
/* The next piece of the entry's content; *more is false at its end. Between pieces are holes. */
enum error_kind archive_reader_data(struct archive_reader *a, const void **bytes, size_t *len, uint64_t *offset,
                                    bool *more, struct error *err);
void archive_reader_close(struct archive_reader *a); /* accepts NULL */

/* ---- release_rar.c ---- */

struct rar_walk {
    int fd;
    uint64_t at, size;
    bool second; /* of rar's two forms */
};

/* False if it is no rar, or has a program before it. */
bool rar_walk_begin(int fd, uint64_t size, struct rar_walk *w);
/*
 * The next file or folder, in the archive's order.
 *
 * sum        CRC-32 of its content
 * more       false at the end, which there must be
 * Returns    ERR_REFUSED where it is cut short, encrypted, one of several, or without checksums
 */
enum error_kind rar_walk_file(struct rar_walk *w, uint32_t *sum, bool *more, struct error *err);
uint32_t rar_sum(uint32_t sum, const void *bytes, size_t len);

/* ---- release_unpack.c ---- */

typedef bool release_wanted_fn(const struct release_entry *e);

/* Into target what `wanted` wants (with folders that it needs), without modes and times; the rest is passed over. */
enum error_kind release_take_out(struct release *r, int target, release_wanted_fn *wanted, struct error *err);

/* ---- release_folder.c ---- */

enum error_kind release_folder_list(struct release *r, const struct progress *progress, struct error *err);

/* ---- release_sum.c: the one file that knows libcrypto ---- */

/* Of len bytes of a file, into 64 digits and a NUL. */
enum error_kind release_sum(int fd, uint64_t len, const char *shown, const struct progress *progress,
                            char out[RELEASE_SHA256_LEN + 1], struct error *err);

/* ---- release_fetch.c: the one file of this room that knows libcurl ---- */

bool release_is_url(const char *source); /* of any scheme */
/* An http or https URL without credentials, query and fragment. ERR_USAGE for another one. Caller frees. */
enum error_kind release_url_shown(const char *url, char **out, struct error *err);
/* ERR_REFUSED where a redirect must not be followed. */
enum error_kind release_redirect_check(const char *from, const char *to, struct error *err);
/*
 * Fetch, or go on fetching.
 *
 * out        a file of the whole, open for reading and writing; with options.work it has a name there, and a lock
 * Returns    ERR_NOT_FOUND (404, 410), ERR_REMOTE, ERR_REFUSED, ERR_BUSY (another process fetches the same), ERR_SPACE, ...
 */
enum error_kind release_fetch(const char *url, const char *shown, const struct release_options *options,
                              const struct release_limits *limits, const struct progress *progress, int *out,
                              struct error *err);

/* ---- release_facts.c ---- */

/*
 * Layout, version, system and runtime, from files of a tree.
 *
 * root       holds at least what release_tells() wants
 */
enum error_kind release_look(struct release *r, const char *root, struct error *err);
bool release_tells(const struct release_entry *e);
/* From the list alone: the layout, or ERR_REFUSED for what has no built shop. */
enum error_kind release_layout(struct release *r, struct error *err);

#endif
