/* What json_splice.c needs of json.c beyond the public interface. */
#ifndef NOPSNAP_JSON_INTERNAL_H
#define NOPSNAP_JSON_INTERNAL_H

#include "json.h"

/* Change the text of an existing string member, whatever the case of its key; nothing happens if there is none. */
void json_replace_text(struct json *object, const char *key, const char *text);

/* Put a copy of a value under the key that is there in whatever case, or under a new one. */
void json_set_nocase(struct json *object, const char *key, struct json *value);

#endif
