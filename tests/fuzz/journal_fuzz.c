/* A transaction's journal as recovery finds it: replayed whatever its bytes are, and what was replayed can be written again. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "transaction_internal.h"

static void write_again(const struct txn *t)
{
    struct error err = ERROR_INIT;
    struct json *record = NULL;
    struct txn copy = TXN_INIT;

    if (txn_encode(t, &record, &err))
        return;
    /* A journal that never said where it is about can't be decoded; one that did must come back the same. */
    if (t->token[0] && t->site_path && !txn_decode(record, &copy, &err) &&
        (strcmp(copy.token, t->token) != 0 || strcmp(copy.site_path, t->site_path) != 0 ||
         copy.units.count != t->units.count || copy.area_count != t->area_count))
        abort();
    json_free(record);
    txn_release(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct error err = ERROR_INIT;
    struct txn t = TXN_INIT;
    struct json *record = NULL;
    uint64_t good = 0;

    if (!journal_replay(bytes, len, txn_replay, &t, &good, &err)) {
        if (good > len)
            abort();
        write_again(&t);
    }
    txn_release(&t);
    /* Checksums keep a fuzzer out: the same bytes as the JSON of one record. */
    t = (struct txn)TXN_INIT;
    error_clear(&err);
    if (!json_parse(bytes, len, &record, &err) && !txn_replay(&t, record, &err))
        write_again(&t);
    json_free(record);
    txn_release(&t);
    return 0;
}
