/* Records: what is read once is written and read again to the same end. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "fuzz.h"
#include "record_internal.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static void snapshot(const uint8_t *bytes, size_t len)
{
    struct snapshot_record r = SNAPSHOT_RECORD_INIT, back = SNAPSHOT_RECORD_INIT;
    struct buffer one = BUFFER_INIT(8 << 20), two = BUFFER_INIT(8 << 20);
    struct error err = ERROR_INIT;

    if (snapshot_record_decode(bytes, len, &r, &err) != OK)
        return;
    must(record_id_valid(r.id) && r.root_count <= SNAPSHOT_ROOTS_MAX && strlen(r.site_id) == 16);
    for (size_t i = 0; i < r.root_count; i++)
        must(name_is_safe((const unsigned char *)r.roots[i].name, strlen(r.roots[i].name)) &&
             path_is_safe_absolute(r.roots[i].path));
    if (snapshot_record_encode(&r, &one, &err) == OK) {
        must(snapshot_record_decode(one.data, one.len, &back, &err) == OK);
        must(snapshot_record_encode(&back, &two, &err) == OK);
        must(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
    }
    snapshot_record_release(&r);
    snapshot_record_release(&back);
    buffer_release(&one);
    buffer_release(&two);
}

static void small(enum chunk_type type, const uint8_t *bytes, size_t len)
{
    struct small_record r = SMALL_RECORD_INIT, back = SMALL_RECORD_INIT;
    struct buffer one = BUFFER_INIT(8 << 20);
    struct error err = ERROR_INIT;

    if (small_record_decode(type, bytes, len, &r, &err) != OK)
        return;
    must(record_id_valid(r.id) && r.targets.count > 0);
    for (size_t i = 0; i < r.targets.count; i++)
        must(record_id_valid(r.targets.items[i]));
    if (small_record_encode(&r, &one, &err) == OK)
        must(small_record_decode(type, one.data, one.len, &back, &err) == OK);
    small_record_release(&r);
    small_record_release(&back);
    buffer_release(&one);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const enum chunk_type types[] = {CHUNK_TOMBSTONE, CHUNK_HOLD, CHUNK_RELEASE, CHUNK_ACCEPT};

    snapshot(bytes, len);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        small(types[i], bytes, len);
    return 0;
}
