/*
 * The one place that picks an exit status.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "cli.h"
#include "thread.h"

int cli_status_of(enum error_kind kind)
{
    switch (kind) {
    case OK:
        return EXIT_DONE;
    case ERR_USAGE:
        return EXIT_USAGE;
    case ERR_BUSY:
        return EXIT_BUSY;
    case ERR_PENDING:
        return EXIT_HANDS;
    case ERR_CORRUPT:
        return EXIT_DAMAGE;
    case ERR_CANCELLED:
        return EXIT_SIGNAL + cancel_signal();
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_REFUSED:
    case ERR_REMOTE:
    case ERR_IO:
    case ERR_SPACE:
    case ERR_MEMORY:
        return EXIT_FAILED;
    }
    abort();
}

int cli_status_worse(int a, int b)
{
    static const int order[] = {EXIT_HANDS, EXIT_DAMAGE, EXIT_UNDONE, EXIT_FAILED,
                                EXIT_USAGE, EXIT_BUSY,   EXIT_WARNED, EXIT_DONE};

    if (a > EXIT_SIGNAL || b > EXIT_SIGNAL) /* whatever was done before, it was cut short */
        return a > b ? a : b;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a > b ? a : b;
}

int cli_fail(struct cli *cli, const struct error *err)
{
    int status = cli_status_of(err->kind);

    cli_progress_end(cli);
    if (cli->json) {
        struct json *v = cli_json_new("error");

        json_put_text(v, "text", err->text);
        if (err->hint[0])
            json_put_text(v, "hint", err->hint);
        json_put_number(v, "status", status);
        cli_json(v);
    }
    fprintf(stderr, "nopsnap: %s\n", err->text);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return status;
}

int cli_usage(struct cli *cli, const struct command *command, const char *format, ...)
{
    struct error err = ERROR_INIT;
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    error_set(&err, ERR_USAGE, 0, "%s", text);
    error_hint(&err, "nopsnap %s --help", command->name);
    return cli_fail(cli, &err);
}

int cli_done(const struct cli *cli)
{
    return cli->warned ? EXIT_WARNED : EXIT_DONE;
}
