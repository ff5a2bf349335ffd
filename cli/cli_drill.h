/* What `drill` and `run` share. */
#ifndef NOPSNAP_CLI_DRILL_H
#define NOPSNAP_CLI_DRILL_H

#include "cli.h"
#include "drill.h"

/* A connect of drill_options and run_options; arg is a struct cli_database, and what that had open is closed. */
enum error_kind cli_connect(void *arg, const struct site *site, struct database **out, struct error *err);
/* "proved restorable: 4 min 12 s, 6900 files, 41 tables, 9000 rows" */
void cli_drill_words(const struct drill_result *r, char *out, size_t room);

#endif
