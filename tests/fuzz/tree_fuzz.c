/* Trees and their entries: what is accepted is safe, in order, and encodes to the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "fuzz.h"
#include "tree_internal.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

/* There is one way to write an entry. */
static void must_encode_alike(const struct tree_entry *e, const void *encoded, size_t len)
{
    struct buffer again = BUFFER_INIT(2 * TREE_ENTRY_MAX);
    struct error err = ERROR_INIT;

    must(tree_entry_encode(e, &again, &err) == OK);
    must(again.len == len && memcmp(again.data, encoded, len) == 0);
    must(tree_entry_equal(e, e));
    buffer_release(&again);
}

static void read_tree(const uint8_t *bytes, size_t len)
{
    struct tree_reader *r = NULL;
    struct error err = ERROR_INIT;
    struct tree_entry e;
    const void *encoded = NULL;
    size_t encoded_len = 0;
    bool more = true, dot = false;

    if (tree_reader_over(bytes, len, &r, &err) != OK)
        return;
    while (tree_reader_next_encoded(r, &e, &encoded, &encoded_len, &more, &err) == OK && more) {
        must(!dot);
        dot = e.name_len == 1 && e.name[0] == '.';
        must(dot || name_is_safe(e.name, e.name_len));
        must_encode_alike(&e, encoded, encoded_len);
    }
    tree_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct tree_scratch *scratch = NULL;
    struct error err = ERROR_INIT;
    struct tree_entry e;

    read_tree(bytes, len);
    must(tree_scratch_new(&scratch, &err) == OK);
    if (tree_entry_decode(scratch, bytes, len, &e, &err) == OK)
        must_encode_alike(&e, bytes, len);
    tree_scratch_free(scratch);
    return 0;
}
