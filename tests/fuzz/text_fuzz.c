/* Patterns, durations and names from people and archives: a line for the pattern, the rest is the path. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "fuzz.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);
    char shown[64];
    char *path;

    if (!text)
        return 0;
    memcpy(text, bytes, len);
    text[len] = '\0';
    text_name(bytes, len, shown, sizeof(shown));
    for (const char *p = shown; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20)
            abort(); /* one line, whatever came in */
    }
    path = strchr(text, '\n');
    if (path)
        *path++ = '\0';
    (void)text_parse_duration(text);
    if (path && path_is_safe_relative(path)) {
        if (text_match(text, path, 0) && !text_match(text, path, 1))
            abort(); /* what matches with case matches without */
    }
    free(text);
    return 0;
}
