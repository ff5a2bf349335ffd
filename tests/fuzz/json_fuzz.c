/* Settings files: parsed, printed and parsed again, and one value replaced. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"

#define CEILING (16 << 20)

static void must_at(int condition, int line)
{
    if (condition)
        return;
    fprintf(stderr, "json_fuzz.c:%d\n", line);
    abort();
}

#define must(condition) must_at(condition, __LINE__)

static void print_and_parse(struct json *root)
{
    struct buffer line = BUFFER_INIT(CEILING);
    struct buffer name = BUFFER_INIT(CEILING);
    struct error err = ERROR_INIT;
    struct json *again = NULL;

    if (root && !json_print(root, &line, &err) && !json_parse(line.data, line.len, &again, &err))
        json_free(again);
    (void)json_bytes(root, &name, &err);
    buffer_release(&line);
    buffer_release(&name);
}

/* A value that is set is what is read afterwards, and setting it again changes nothing. */
static void set_value(const uint8_t *bytes, size_t len, struct buffer *out)
{
    static const char *const path[] = {"HostingConfig", "UseProxy", NULL};
    struct buffer again = BUFFER_INIT(CEILING);
    struct error err = ERROR_INIT;
    struct json *value = NULL;
    struct json *root = NULL;

    must(json_parse("{\"k\": [true, null]}", 19, &value, &err) == OK);
    if (!json_splice_value(bytes, len, path, value, out, &err)) {
        must(json_parse(out->data, out->len, &root, &err) == OK);
        must(json_length(json_get(json_get_nocase(json_get_nocase(root, path[0]), path[1]), "k")) == 2);
        json_free(root);
        must(json_splice_value(out->data, out->len, path, value, &again, &err) == OK);
        must(again.len == out->len && memcmp(again.data, out->data, again.len) == 0);
    }
    json_free(value);
    buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char *const path[] = {"ConnectionStrings", "ConnectionString", NULL};
    static const char value[] = "Server=\"new\"\\;Password=x";
    struct buffer out = BUFFER_INIT(CEILING);
    struct error err = ERROR_INIT;
    struct json *root = NULL;

    if (!json_parse(bytes, len, &root, &err))
        print_and_parse(root);
    json_free(root);
    if (!json_splice_text(bytes, len, path, value, &out, &err)) {
        const char *text;

        must(json_parse(out.data, out.len, &root, &err) == OK);
        text = json_text(json_get_nocase(json_get_nocase(root, path[0]), path[1]));
        must(text && strcmp(text, value) == 0);
        json_free(root);
    }
    buffer_clear(&out);
    set_value(bytes, len, &out);
    buffer_release(&out);
    return 0;
}
