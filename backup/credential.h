/* Files with secrets: read only where nobody else could have read or written them. */
#ifndef NOPSNAP_CREDENTIAL_H
#define NOPSNAP_CREDENTIAL_H

#include "buffer.h"
#include "error.h"

/* Room for the name that a credential of this file has in a unit. */
#define CREDENTIAL_NAME_MAX 32
void credential_name(const char *path, char out[CREDENTIAL_NAME_MAX]);

/*
 * Read a file with a secret: a regular one, of this user or root, mode 0600 at most. Where the service manager has put a copy into
 * $CREDENTIALS_DIRECTORY (LoadCredential=), that one is read: its name is made from the path, so that a unit that was written for another
 * file has none.
 *
 * out        secret: buffer_release_secret()
 * Returns    ERR_NOT_FOUND, ERR_REFUSED, ERR_IO, each naming the file
 */
enum error_kind credential_read(const char *path, struct buffer *out, struct error *err);

#endif
