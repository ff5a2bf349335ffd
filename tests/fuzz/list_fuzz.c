/* Lists of ids, and groups of hard links. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "fuzz.h"
#include "links_internal.h"
#include "list_internal.h"

#define ROOTS 3

static void must(int condition)
{
    if (!condition)
        abort();
}

static enum error_kind see_link(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    bool *any = arg;

    (void)err;
    must(*any || first);
    *any = true;
    must(root < ROOTS && path_is_safe_relative(path));
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct error err = ERROR_INIT;
    struct list_view view;
    bool any = false;

    if (list_parse(bytes, len, &view, &err) == OK) {
        for (size_t i = 0; i < view.count; i++) {
            struct chunk_id id;
            unsigned char again[CHUNK_ID_LEN];

            list_view_id(&view, i, &id);
            chunk_id_encode(&id, again);
            must(memcmp(again, view.ids + i * CHUNK_ID_LEN, CHUNK_ID_LEN) == 0);
        }
    }
    (void)links_parse(bytes, len, true, ROOTS, see_link, &any, &err);
    any = true;
    (void)links_parse(bytes, len, false, ROOTS, see_link, &any, &err);
    return 0;
}
