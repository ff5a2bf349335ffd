/*
 * JSON by json-c, behind names of our own. Reading is relaxed the way nopCommerce's settings need: a UTF-8 BOM,
 * comments and trailing commas are accepted; depth is limited; text after the value is refused (P11).
 */
#ifndef NOPSNAP_JSON_H
#define NOPSNAP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "error.h"

struct json; /* one value; children are borrowed from their parent */

enum error_kind json_parse(const void *bytes, size_t len, struct json **out, struct error *err); /* ERR_CORRUPT */
void json_free(struct json *root); /* only what json_parse() or json_object() gave; accepts NULL */

/* Reading. A missing or wrongly typed member gives NULL, false or the fallback; `v` may be NULL. */
struct json *json_get(struct json *v, const char *key);
struct json *json_get_nocase(struct json *v, const char *key); /* .NET's configuration ignores case */
const char *json_text(struct json *v);                         /* borrowed; NULL if not a string */
bool json_is_object(struct json *v);
int64_t json_number(struct json *v, int64_t fallback);
bool json_flag(struct json *v, bool fallback);
size_t json_length(struct json *array); /* 0 if not an array */
struct json *json_at(struct json *array, size_t i);
/* Walk an object's members in file order. */
typedef void json_member_fn(const char *key, struct json *value, void *arg);
void json_each(struct json *object, json_member_fn *fn, void *arg);

/* Building. A failed allocation sticks to the root and is reported by json_print(). Text that is not UTF-8 is
 * written with each bad byte as U+FFFD by json_put_text(), and exactly, as "\\x" escapes, by json_put_bytes(). */
struct json *json_object(void);
struct json *json_array(void);
void json_put(struct json *object, const char *key, struct json *value);    /* takes ownership of value */
void json_put_text(struct json *object, const char *key, const char *text); /* NULL: null */
void json_put_bytes(struct json *object, const char *key, const void *bytes, size_t len);
void json_put_number(struct json *object, const char *key, int64_t n);
void json_put_flag(struct json *object, const char *key, bool on);
void json_push(struct json *array, struct json *value);
void json_push_text(struct json *array, const char *text);
void json_push_null(struct json *array);
struct json *json_copy(struct json *v); /* owned by the caller; NULL for null, and if there is no memory */
/* Inverse of json_put_bytes(). ERR_CORRUPT when the escape is malformed. */
enum error_kind json_bytes(struct json *v, struct buffer *out, struct error *err);
/* One line without spaces. */
enum error_kind json_print(struct json *root, struct buffer *out, struct error *err);
/* As .NET indents, by two, with these line ends ("\n", "\r\n"); no end behind the last line. */
enum error_kind json_print_indented(struct json *root, const char *line_end, const char *indent, struct buffer *out,
                                    struct error *err);

/*
 * Replace one string value inside the text of a settings file, leaving every other byte as it is (json-c forgets
 * comments and layout, so the file is spliced, then parsed again to prove that just that value changed).
 *
 * path       keys from the root, NULL-terminated ("ConnectionStrings", "ConnectionString")
 * Returns    ERR_NOT_FOUND if there is no such string
 */
enum error_kind json_splice_text(const void *bytes, size_t len, const char *const *path, const char *value,
                                 struct buffer *out, struct error *err);

/*
 * The same for any value: replaced at its place, or added behind the last member of its object, laid out as its neighbours
 * are; objects missing on the way are made. An empty text counts as {}.
 *
 * value      borrowed; its spelling in the text is json_print_indented()'s
 * Returns    ERR_REFUSED where something on the way is no object
 */
enum error_kind json_splice_value(const void *bytes, size_t len, const char *const *path, struct json *value,
                                  struct buffer *out, struct error *err);

#endif
