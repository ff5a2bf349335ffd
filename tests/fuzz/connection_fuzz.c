/* Connection strings as they come from a shop's settings: read, shown, compared; nothing of a password may be shown. */
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "fuzz.h"

static void read_as(const char *provider, const char *text)
{
    struct database_target t = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;
    char *shown = NULL;

    if (database_target_parse(provider, text, &t, &err))
        return;
    if (!t.host || !*t.host || !t.name || !*t.name || t.port < 0 || t.port > 65535 || !database_target_same(&t, &t))
        abort();
    if (!database_target_shown(&t, &shown, &err))
        free(shown);
    database_target_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);

    if (!text)
        return 0;
    if (len)
        memcpy(text, bytes, len);
    text[len] = '\0';
    read_as("postgresql", text);
    read_as("mysql", text);
    read_as("sqlserver", text);
    free(text);
    return 0;
}
