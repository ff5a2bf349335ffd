/* The stat cache's header and the payload of a block (whose checksum would keep most mutations out). */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "stat_cache_internal.h"
#include "tree.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static void payload(const uint8_t *bytes, size_t len)
{
    struct cursor c = cursor_over(bytes, len);
    struct buffer path = BUFFER_INIT(2 * STAT_PATH_MAX);
    struct tree_scratch *scratch = NULL;
    struct error err = ERROR_INIT;
    struct stat_entry entry;
    struct tree_entry e;

    must(tree_scratch_new(&scratch, &err) == OK);
    while (cursor_left(&c) > 0 && stat_entry_parse(&c, &path, &entry)) {
        must(strlen((const char *)path.data) == path.len);
        must(stat_path_compare((const char *)path.data, (const char *)path.data) == 0);
        (void)tree_entry_decode(scratch, entry.encoded, entry.len, &e, &err);
    }
    tree_scratch_free(scratch);
    buffer_release(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct stat_header h;

    if (len >= STAT_HEADER_LEN && stat_header_decode(bytes, &h)) {
        unsigned char again[STAT_HEADER_LEN];

        must(strlen(h.site_id) <= 16);
        stat_header_encode(&h, again);
    }
    payload(bytes, len);
    return 0;
}
