/* A T-SQL script: what is cut out of it lies in it, in order, and holds no GO line of its own. */
#include <stdlib.h>

#include "fuzz.h"
#include "sqlserver_batches_internal.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
    struct error err = ERROR_INIT;
    size_t end = 0;
    uint64_t line = 0;

    if (sqlserver_batches_parse(bytes, len, &b, &err) != OK)
        return 0;
    for (size_t i = 0; i < b.count; i++) {
        must(b.items[i].begin >= end && b.items[i].len > 0);
        end = b.items[i].begin + b.items[i].len;
        must(end < b.text.len);
        must(b.items[i].line > line && b.items[i].repeat >= 1 && b.items[i].repeat <= SQLSERVER_REPEAT_MAX);
        line = b.items[i].line;
    }
    sqlserver_batches_release(&b);
    return 0;
}
