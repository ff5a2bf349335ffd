/* Temporary files without a name: they go with their descriptor, whatever becomes of the process. */
#ifndef NOPSNAP_UNNAMED_FILE_H
#define NOPSNAP_UNNAMED_FILE_H

#include "error.h"

/*
 * folder     tried first, relative to dirfd; may be NULL. Then $TMPDIR, /var/tmp, /tmp
 * out        open for reading and writing, 0600, close-on-exec
 */
enum error_kind unnamed_file_open(int dirfd, const char *folder, int *out, struct error *err);

#endif
