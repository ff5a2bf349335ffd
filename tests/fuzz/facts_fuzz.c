/* The record of a dump as it comes from a catalogue: what is accepted can be written and read again. */
#include <stdlib.h>

#include "database.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct database_facts again = DATABASE_FACTS_INIT;
    struct buffer text = BUFFER_INIT(16 << 20);
    struct error err = ERROR_INIT;

    if (database_facts_decode(bytes, len, &facts, &err))
        return 0;
    if (!database_facts_encode(&facts, &text, &err) && database_facts_decode(text.data, text.len, &again, &err))
        abort();
    database_facts_release(&facts);
    database_facts_release(&again);
    buffer_release(&text);
    return 0;
}
