/* The one file that knows libcrypto. SHA-256 is what people compare downloads by; nothing of nopsnap's own is named by it. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "release_internal.h"
#include "thread.h"

#define PIECE (1u << 20)

static enum error_kind sum_file(EVP_MD_CTX *sum, int fd, uint64_t len, void *piece, const char *shown,
                                const struct progress *progress, struct error *err)
{
    enum error_kind rc = OK;

    for (uint64_t done = 0; !rc && done < len;) {
        size_t want = len - done < PIECE ? (size_t)(len - done) : PIECE;

        rc = cancel_check(err);
        if (!rc)
            rc = file_read_at(fd, piece, want, done, shown, err);
        if (!rc && EVP_DigestUpdate(sum, piece, want) != 1)
            rc = error_set(err, ERR_MEMORY, 0, "libcrypto can't go on with a SHA-256");
        done += want;
        if (!rc)
            progress_advance(progress, done, len, "bytes");
    }
    return rc;
}

enum error_kind release_sum(int fd, uint64_t len, const char *shown, const struct progress *progress,
                            char out[RELEASE_SHA256_LEN + 1], struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    void *piece = NULL;
    enum error_kind rc;

    rc = memory_allocate(PIECE, &piece, err);
    if (!rc && (!sum || EVP_DigestInit_ex(sum, EVP_sha256(), NULL) != 1))
        rc = error_set(err, ERR_MEMORY, 0, "libcrypto has no SHA-256");
    if (!rc)
        rc = sum_file(sum, fd, len, piece, shown, progress, err);
    if (!rc && (EVP_DigestFinal_ex(sum, digest, &digest_len) != 1 || digest_len != RELEASE_SHA256_LEN / 2))
        rc = error_set(err, ERR_MEMORY, 0, "libcrypto can't end a SHA-256");
    if (!rc)
        hex_encode(digest, digest_len, out);
    EVP_MD_CTX_free(sum);
    free(piece);
    return rc;
}
