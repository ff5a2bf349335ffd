/* notify_run() and notify_overdue() for notify_test.py: notify_tool CONFIG CATALOG SITE start|success|failure|overdue [CAUSE [MESSAGE]];
 * notify_tool name FILE */
#include <stdio.h>
#include <string.h>

#include "credential.h"
#include "notify.h"
#include "thread.h"

static void warn(void *arg, const char *line)
{
    (void)arg;
    printf("warning %s\n", line);
}

static enum error_kind tell(struct catalog *cat, const struct config *config, int argc, char **argv, struct error *err)
{
    static const char *const words[] = {"start", "success", "failure"};
    const struct progress progress = {.warn = warn};
    const struct site_config *site = config_find(config, argv[3]);
    char site_id[17];
    struct text_list facts = TEXT_LIST_INIT;
    struct notify_event event = {.site_name = argv[3], .site_id = site_id, .started_ns = clock_now(), .facts = &facts};
    enum error_kind rc = catalog_site_id(cat, site ? site->path : argv[3], site_id, err);

    if (!rc && strcmp(argv[4], "overdue") == 0)
        return notify_overdue(cat, config, &progress, err);
    for (int i = 0; i < 3; i++) {
        if (strcmp(argv[4], words[i]) == 0)
            event.outcome = (enum notify_outcome)i;
    }
    event.status = event.outcome == NOTIFY_FAILED;
    event.cause = argc > 5 ? argv[5] : NULL;
    event.message = argc > 6 ? argv[6] : NULL;
    if (!rc)
        rc = text_list_add(&facts, "a fact\r\nBcc: everybody@evil.example", err);
    if (!rc)
        rc = notify_run(cat, config, site, &event, &progress, err);
    text_list_release(&facts);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct config config = CONFIG_INIT;
    struct catalog *cat = NULL;
    enum error_kind rc;

    if (argc == 3) {
        char name[CREDENTIAL_NAME_MAX];

        credential_name(argv[2], name);
        puts(name);
        return 0;
    }
    rc = argc < 5 ? ERR_USAGE : cancel_install(&err);
    if (!rc)
        rc = config_load(argv[1], &config, &err);
    if (!rc)
        rc = catalog_open(argv[2], CATALOG_WRITE, 1000, &cat, &err);
    if (!rc)
        rc = tell(cat, &config, argc, argv, &err);
    if (rc)
        printf("error %s\nhint %s\n", err.text, err.hint);
    catalog_close(cat);
    config_release(&config);
    return (int)rc;
}
