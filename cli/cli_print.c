/*
 * Words for people on stderr, objects for programs on stdout.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void say(struct cli *cli, const char *type, const char *prefix, const char *format, va_list args)
{
    char raw[4096];
    char text[8192];

    (void)vsnprintf(raw, sizeof(raw), format, args);
    text_name(raw, strlen(raw), text, sizeof(text));
    cli_progress_end(cli);
    if (cli->json) {
        struct json *v = cli_json_new(type);

        json_put_text(v, "text", text);
        cli_json(v);
    }
    fprintf(stderr, "%s%s\n", prefix, text);
}

void cli_warn(struct cli *cli, const char *format, ...)
{
    va_list args;

    cli->warned = true;
    va_start(args, format);
    say(cli, "warning", "warning: ", format, args);
    va_end(args);
}

void cli_note(struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, format);
    say(cli, "note", "", format, args);
    va_end(args);
}

void cli_line(const char *prefix, const char *format, ...)
{
    char raw[8192];
    char text[16384];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    text_name(raw, strlen(raw), text, sizeof(text));
    printf("%s%s\n", prefix, text);
}

void cli_site_column(const char *shown, char *out, size_t room)
{
    size_t n = strlen(shown);
    const char *tail = n < room ? shown : shown + n - (room - 4);

    while (tail > shown && ((unsigned char)*tail & 0xc0) == 0x80)
        tail++; /* no half of a character */
    (void)snprintf(out, room, "%s", tail > shown ? "..." : "");
    text_name(tail, strlen(tail), out + strlen(out), room - strlen(out));
}

const char *cli_kind_word(enum snapshot_kind kind)
{
    static const char *const words[] = {"manual", "scheduled", "safety", "before-upgrade"};

    return words[kind];
}

const char *cli_part_word(enum snapshot_part part)
{
    static const char *const words[] = {"whole", "files", "database"};

    return words[part];
}

struct json *cli_json_new(const char *type)
{
    struct json *v = json_object();

    json_put_text(v, "type", type);
    return v;
}

void cli_json(struct json *object)
{
    struct buffer b = BUFFER_INIT(64u << 20);
    struct error err = ERROR_INIT;

    if (json_print(object, &b, &err) == OK) {
        (void)fwrite(b.data, 1, b.len, stdout);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
    }
    buffer_release(&b);
    json_free(object);
}

void cli_event(struct cli *cli, struct catalog *cat, const char *site_id, const char *what, struct json *detail,
               int status)
{
    struct buffer b = BUFFER_INIT(1u << 20);
    struct error err = ERROR_INIT;
    struct catalog_event event = {.moment_ns = clock_now(), .status = status};
    enum error_kind rc = json_print(detail, &b, &err);

    event.site_id = (char *)(uintptr_t)site_id; /* borrowed for the call */
    event.what = (char *)(uintptr_t)what;
    event.detail = (char *)b.data;
    if (!rc)
        rc = catalog_event_add(cat, &event, &err);
    if (rc)
        cli_warn(cli, "this is not in the history: %s", err.text);
    buffer_release(&b);
    json_free(detail);
}
