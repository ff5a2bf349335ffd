/*
 * Errors: how every function of nopsnap that can fail says so.
 *
 * A function returns an enum error_kind, zero for success, and on failure has filled the caller's struct error:
 * a kind to decide on, the system's number, one line of text, and perhaps one line with the user's next move.
 * No allocation, no global state, no hidden jump.
 *
 *     rc = file_sync(fd, path, err);
 *     if (rc)
 *         goto done;
 *
 * err is never NULL and is untouched on success. error_set() is called where the fault is first seen,
 * error_context() once per layer that can say what was being attempted. Nobody rewrites a lower layer's words.
 * Control characters that arrive in arguments (names of files may hold newlines) are escaped, so that an error
 * stays one line. No text may hold a password or a connection string (P10).
 */
#ifndef NOPSNAP_ERROR_H
#define NOPSNAP_ERROR_H

enum error_kind {
    OK = 0,
    ERR_USAGE,     /* the caller (a person) asked for something that has no meaning */
    ERR_NOT_FOUND, /* the thing named does not exist */
    ERR_EXISTS,    /* the place is taken (a target that is not empty, a catalogue that is there) */
    ERR_BUSY,      /* someone else holds the lock: exit status 6 */
    ERR_PENDING,   /* an unfinished transaction needs `recover`, or other hands: exit status 5 */
    ERR_CORRUPT,   /* bytes and checksum, or catalogue and index, disagree: exit status 7 */
    ERR_REFUSED,   /* a promise or a preflight check forbids it; nothing was changed */
    ERR_REMOTE,    /* a database server, a client tool or another host said no */
    ERR_IO,        /* the system said no; err->sys has errno */
    ERR_SPACE,     /* no room left on a device or in a quota */
    ERR_MEMORY,    /* an allocation failed, or a ceiling was reached */
    ERR_CANCELLED, /* a signal asked us to stop */
};

struct error {
    enum error_kind kind;
    int sys;         /* errno, or 0 */
    char text[2048]; /* one line: what and where; no full stop, no newline */
    char hint[512];  /* the user's next move, or empty */
};

#define ERROR_INIT \
    {              \
        .kind = OK \
    }

/*
 * Fill err. Appends ": <strerror(sys)>" when sys is not 0. ENOSPC and EDQUOT turn ERR_IO into ERR_SPACE.
 *
 * Returns    the kind now stored, so that `return error_set(...)` and `rc = error_set(...)` read well
 */
enum error_kind error_set(struct error *err, enum error_kind kind, int sys, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#ifdef __clang_analyzer__
/* It looks at one file at a time and would else follow paths on which a failure is reported but not returned. */
static inline enum error_kind error_stored(enum error_kind set, enum error_kind kind)
{
    (void)set;
    return kind;
}
#define error_set(err, kind, ...) error_stored(error_set(err, kind, __VA_ARGS__), kind)
#endif

/* Put "<context>: " before the text that is there. */
void error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Set the hint unless a lower layer, which knows more, has set one. */
void error_hint(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copy a failure from one struct to another (a worker's to its caller's); the first failure in dst stays. */
void error_copy(struct error *dst, const struct error *src);

/* Forget a failure that was handled. */
void error_clear(struct error *err);

#endif
