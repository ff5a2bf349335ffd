/*
 * A release of nopCommerce: what its makers hand out becomes a checked tree in a folder that the caller names.
 *
 *     rc = release_open("nopCommerce_4.80.9_NoSource_linux_x64.zip", &options, &progress, &release, err);
 *     ... release_facts(release)->version, release_list(release) ...       nothing is unpacked yet: --dry-run ends here
 *     rc = release_unpack(release, staged, RELEASE_SYNC_FILESYSTEM, &progress, err);
 *     rc = release_verify(release, staged, &progress, err);                P9
 *     release_free(release);
 *
 * A release is a zip, 7z, rar, or tar (plain, gz, xz, zst, bz2) told by its content and not by its name, the folder that one was unpacked
 * into, or an http(s) URL of such an archive. All are hostile until they are checked (P11). What is promised:
 *   R1  the SHA-256 is compared before the archive is looked into, and the bytes that are unpacked are those that were summed: a file that
 *       changes meanwhile is refused
 *   R2  every name is checked before the first byte is written, and once more when it is written. Refused: absolute names, drive letters,
 *       "..", control characters, names that the system can't hold, a name that is there twice, a name below a file, nopsnap's own
 *       ".nopsnap". A backslash is Windows' slash. "./" and "//" are smoothed out
 *   R3  a release holds files and folders. A symlink, a hard link, a device, a FIFO or an encrypted entry is refused whatever it says;
 *       owners, ACLs, extended attributes and set-id bits are not taken over
 *   R4  entries, bytes and names have ceilings, in what is announced and in what comes; the device keeps a reserve
 *   R5  writing goes below the target's descriptor, never through a symlink, and replaces nothing
 *   R6  an archive that is cut short or whose checksums disagree is refused. One that is may have left a part of itself in the target, which
 *       is the caller's to remove; nothing else was touched
 * Memory is what the list of names takes, whatever the size of the files. libarchive holds a zip's or 7z's directory, and a 7z's or rar's
 * dictionary, in memory besides: max_archive bounds the former.
 */
#ifndef NOPSNAP_RELEASE_H
#define NOPSNAP_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "hash.h"
#include "site.h"
#include "text.h"

#define RELEASE_SHA256_LEN 64 /* hexadecimal digits */

/* What a release may take at most. 0: the default. A real one has 5,200 files, 300 MB unpacked and 120 MB packed. */
struct release_limits {
    uint64_t max_entries; /* files and folders; 200,000 */
    uint64_t max_bytes;   /* unpacked; 8 GiB */
    uint64_t max_archive; /* the archive itself; 2 GiB */
    uint64_t reserve;     /* bytes that must stay free where it is unpacked or downloaded to; 256 MiB */
};

struct release_options {
    const char *sha256; /* expected, 64 hexadecimal digits of any case; or NULL */
    /*
     * A folder of the caller's (0700) for a download and what is taken out to tell the version; NULL: unnamed or removed ones where
     * temporary files go. A download stays in it, so that a broken one is gone on with and a whole one is not fetched again.
     */
    const char *work;
    struct release_limits limits;
    int stall_ms; /* a download that brings next to nothing for so long is broken off and tried again; 0: 60,000 */
};

/* What the shop of a release runs on. */
enum release_system {
    RELEASE_ANY,     /* needs a runtime, and has no program of its own for one system only */
    RELEASE_LINUX,   /* facts.rid says which processor */
    RELEASE_WINDOWS, /* also .NET Framework, as all before 4.10 */
    RELEASE_OTHER,
};

struct release_facts {
    const char *name; /* of the file, folder or URL, for people: an URL without credentials and query */
    char sha256[RELEASE_SHA256_LEN + 1]; /* of the archive; "" for a folder */
    enum site_layout layout;             /* SITE_CORE or SITE_LEGACY */
    struct site_version version;         /* major 0: no file tells it */
    const char *version_source;          /* "literal in Nop.Core.dll"; NULL if there is no version */
    enum release_system system;
    char rid[32];            /* "linux-x64" as .NET calls it; "" where the release does not say */
    bool self_contained;     /* brings its runtime with it */
    char runtime[64];        /* "Microsoft.NETCore.App 9.0.0", the one that it brings or needs; "" if it does not say */
    uint64_t files, folders; /* in release_list() */
    uint64_t bytes;          /* of all files, as announced */
    struct text_list
        remarks; /* facts worth showing: names that differ by case alone, a shop's settings inside, evidence that disagrees */
};

/* One file or folder that the release ships. */
struct release_entry {
    const char *path; /* relative to the shop's root, "/" between names */
    bool folder;
    bool executable;  /* files; known once `hashed` */
    bool hashed;      /* release_unpack() or release_check() has read it */
    uint64_t size;    /* files; exact once `hashed`, until then as announced */
    int64_t mtime;    /* seconds since 1970; INT64_MIN: not told */
    struct hash hash; /* XXH3-128, seed 0 */
};

struct release_list {
    struct release_entry *items; /* sorted as release_path_compare() says: a folder stands right before what is in it */
    size_t count;
};

struct release;

/*
 * Fetch it if it is an URL, sum it, read its list, tell what it is. Takes out of it only what tells the version.
 *
 * source     file, folder or URL; an URL may hold credentials, which no message shows
 * options    borrowed for the call; NULL: nothing expected, all defaults
 * progress   may be NULL. The sum is noted, what makes a download untrustworthy warned of
 * Returns    ERR_NOT_FOUND (no such file, HTTP 404 or 410), ERR_USAGE (a sum or URL that is none, a sum for a folder), ERR_REFUSED (another
 *            sum, source code, upgrade scripts, no shop, R1 to R6), ERR_REMOTE, ERR_SPACE, ERR_IO, ERR_MEMORY, ERR_CANCELLED
 * Durable    a finished download, not synced
 */
enum error_kind release_open(const char *source, const struct release_options *options, const struct progress *progress,
                             struct release **out, struct error *err);
void release_free(struct release *r); /* accepts NULL */

/* Both are borrowed until release_free(). */
const struct release_facts *release_facts(const struct release *r);
const struct release_list *release_list(const struct release *r);
/* NULL if the release does not ship it. Case matters. */
const struct release_entry *release_find(const struct release *r, const char *path);
/* Byte by byte, with "/" before all others, as a walk that sorts every folder goes. */
int release_path_compare(const char *a, const char *b);
/* "linux-x64, self-contained", "any system with Microsoft.NETCore.App 9.0.0", ...: one line for people. */
void release_flavour(const struct release_facts *facts, char *out, size_t out_len);

enum release_sync {
    RELEASE_SYNC_NONE,       /* the caller syncs */
    RELEASE_SYNC_FILES,      /* fsync of every file and folder: quick where others write much to the same filesystem */
    RELEASE_SYNC_FILESYSTEM, /* one syncfs at the end: quick otherwise */
};

/*
 * Unpack. Files at the top of the archive, or in one folder, whose name is dropped, come to lie in the target itself. Folders and
 * executables (ELF programs without .so in their names, what the archive says) are 0755, other files 0644, whatever the umask; the owner
 * is the process'. Files get the modification time that the archive has for them.
 *
 * target     an empty folder, open for reading; must not be reachable by others (0700 above it)
 * Returns    ERR_EXISTS if it is not empty; ERR_SPACE before anything is written when it would not leave the reserve, and when the device
 *            fills up meanwhile; ERR_REFUSED as R1 to R6 say
 * Durable    as `sync` says; the target's own entry in its parent is the caller's
 */
enum error_kind release_unpack(struct release *r, int target, enum release_sync sync, const struct progress *progress,
                               struct error *err);
/* Read everything as release_unpack() would, and write nothing: is it whole, and what are the hashes? */
enum error_kind release_check(struct release *r, const struct progress *progress, struct error *err);
/*
 * Read back what release_unpack() wrote (P9), which must have been called: sizes, hashes, modes. What else lies in the target is not looked
 * at.
 *
 * Returns    ERR_CORRUPT naming the first file that differs; ERR_NOT_FOUND if one is gone
 */
enum error_kind release_verify(const struct release *r, int target, const struct progress *progress, struct error *err);

#endif
