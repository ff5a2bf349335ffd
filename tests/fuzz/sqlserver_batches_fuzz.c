/* A T-SQL script: what is cut out of it lies in it, in order, begins on the line that is said, and holds no GO line of its own. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "sqlserver_batches_internal.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static uint64_t lines_before(const unsigned char *text, size_t at)
{
    uint64_t n = 0;

    for (size_t i = 0; i < at; i++)
        n += text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n');
    return n;
}

/* A batch is a script of one batch. */
static void check_again(const unsigned char *bytes, size_t len)
{
    struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
    struct error err = ERROR_INIT;

    must(sqlserver_batches_parse(bytes, len, &b, &err) == OK);
    must(b.count == 1 && b.items[0].begin == 0 && b.items[0].len == len && b.items[0].repeat == 1);
    must(memcmp(b.text.data, bytes, len) == 0);
    sqlserver_batches_release(&b);
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
        must(line == 1 + lines_before(b.text.data, b.items[i].begin));
        check_again(b.text.data + b.items[i].begin, b.items[i].len);
    }
    sqlserver_batches_release(&b);
    return 0;
}
