/*
 * The page that an owner looks at.
 */
#include <string.h>

#include "cli.h"
#include "file.h"
#include "report.h"

#define REPORT_MAX ((size_t)64 << 20)

static enum error_kind write_report(struct cli *cli, struct catalog *cat, const char *file, struct error *err)
{
    struct overview o = OVERVIEW_INIT;
    struct buffer page = BUFFER_INIT(REPORT_MAX);
    enum error_kind rc = overview_gather(cat, &cli->config, NULL, &o, err);

    if (!rc)
        rc = report_print(cat, &o, &page, err);
    if (!rc)
        rc = file_replace(file, page.data, page.len, 0600, err);
    if (!rc && cli->json) {
        struct json *v = cli_json_new("report");

        json_put_bytes(v, "file", file, strlen(file));
        json_put_number(v, "bytes", (int64_t)page.len);
        json_put_number(v, "sites", (int64_t)o.count);
        cli_json(v);
    } else if (!rc && !cli->quiet) {
        cli_line("", "the report is %s", file);
    }
    buffer_release(&page);
    overview_release(&o);
    return rc;
}

int cli_report(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"html", required_argument, NULL, 'H'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const struct command *me = cli_command_find("report");
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    const char *file = NULL;
    enum error_kind rc;
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c != 'H')
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        file = optarg;
    }
    if (!file || argc != optind)
        return cli_usage(cli, me, "report takes --html FILE");
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc)
        rc = cli_refuse_in_site(cli, cat, file, &err);
    if (!rc)
        rc = write_report(cli, cat, file, &err);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
