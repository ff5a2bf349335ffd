/*
 * A T-SQL script cut into the batches between its GO lines, as Microsoft's own batch parser cuts it (reference E: microsoft/sqltoolsservice,
 * ManagedBatchParser). Knows of no server.
 */
#ifndef NOPSNAP_SQLSERVER_BATCHES_INTERNAL_H
#define NOPSNAP_SQLSERVER_BATCHES_INTERNAL_H

#include "buffer.h"
#include "database.h"
#include "error.h"

struct sqlserver_batch {
    size_t begin; /* in the script's text */
    size_t len;
    uint64_t line;   /* of its first byte, from 1 */
    uint32_t repeat; /* GO's count */
};

struct sqlserver_batches {
    struct buffer text; /* UTF-8 */
    struct sqlserver_batch *items;
    size_t count;
    size_t cap;
};
#define SQLSERVER_BATCHES_INIT                        \
    {                                                 \
        BUFFER_INIT(SQLSERVER_SCRIPT_MAX), NULL, 0, 0 \
    }

enum { SQLSERVER_SCRIPT_MAX = DATABASE_SCRIPT_MAX, SQLSERVER_REPEAT_MAX = 100000 };

/*
 * Cut a script. Everything is looked at before anything is handed out: ERR_REFUSED, with the line, for text that is neither UTF-8 nor UTF-16
 * with its mark, a string or comment without an end, a GO with something else behind it, and what only sqlcmd understands.
 *
 * bytes    the file; a byte order mark is dropped. Batches of nothing but blanks are left out
 */
enum error_kind sqlserver_batches_parse(const void *bytes, size_t len, struct sqlserver_batches *out,
                                        struct error *err);
void sqlserver_batches_release(struct sqlserver_batches *b);

#endif
