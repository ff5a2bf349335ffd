/*
 * Releases made by hand: a list of entries becomes an archive of any form that libarchive can write, or of rar's two, which are put together
 * here from stored files.
 */
#ifndef NOPSNAP_TEST_RELEASE_SUPPORT_H
#define NOPSNAP_TEST_RELEASE_SUPPORT_H

#include "test_support.h"

#include "release.h"

enum made_type { MADE_FILE, MADE_FOLDER, MADE_SYMLINK, MADE_HARDLINK, MADE_FIFO, MADE_DEVICE };

struct made {
    const char *name;
    const char *content; /* of a file; target of a link */
    size_t len;          /* 0: strlen(content) */
    enum made_type type;
    unsigned mode; /* 0: 0644, 0755 for a folder */
};

enum made_form {
    MADE_ZIP,
    MADE_7Z,
    MADE_TAR,
    MADE_TAR_GZ,
    MADE_TAR_XZ,
    MADE_TAR_ZST,
    MADE_TAR_BZ2,
    MADE_RAR,
    MADE_RAR5,
    MADE_FORMS
};

extern const char *const made_endings[MADE_FORMS];

/*
 * An archive at `path`; every name has `above` before it. `options` as archive_write_set_options() takes them, or NULL. A rar holds files and
 * folders only.
 */
void made_archive(const char *path, enum made_form form, const char *above, const struct made *entries, size_t count,
                  const char *options);
/* What a real release has, in small: files[] of 4.80.9 for linux-x64. */
extern const struct made shop_entries[];
extern const size_t shop_count;
/* The Nop.Core.dll of shop_entries[]. */
extern const char core_dll[];
extern const size_t core_dll_len;

/* The whole content of a file below the working directory; the caller frees. */
char *content_of(const char *path, size_t *len);

#endif
