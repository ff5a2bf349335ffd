/*
 * The command table. Adding a verb: a row here, a file cli_<verb>.c, its line in CMakeLists.txt, its tests, its page in docs/.
 */
#include <string.h>

#include "cli.h"

const struct command cli_commands[] = {
    {"init", "", "make a catalogue",
     "The folder is named by --catalog before the command, or by `catalog =` in the config.\n\n"
     "Example:\n"
     "  nopsnap --catalog /backup/nopsnap init\n",
     cli_init},
    {"snapshot", "SITE [OPTIONS]", "save a shop: files, pictures, database",
     "SITE is a path, or a name from the config.\n\n"
     "  --mode online|stopped   stopped: the shop is stopped for the moment that matters\n"
     "  --tag T                 a word to find it by; may be repeated\n"
     "  --files-only            leave the database out; marked as partial\n"
     "  --database-only         leave the files out; marked as partial\n"
     "  --exclude P             leave out what matches, e.g. 'wwwroot/files/exportimport/**'\n"
     "  --include P             save it although it is left out by default, e.g. 'wwwroot/images/thumbs/**'\n\n"
     "Examples:\n"
     "  nopsnap snapshot /var/www/shop\n"
     "  nopsnap snapshot shop --tag before-plugin\n",
     cli_snapshot},
    {"list", "[SITE]", "list snapshots, newest first",
     "Examples:\n"
     "  nopsnap list\n"
     "  nopsnap list /var/www/shop\n",
     cli_list},
    {"rollback", "SITE [OPTIONS]", "bring a shop back to a snapshot: files and database together",
     "Shows what will change and what will be lost, and asks. What is taken away becomes a snapshot, so that one more\n"
     "rollback undoes it.\n\n"
     "  --to ID                 the snapshot to go back to\n"
     "  --only files|database   only that part\n"
     "  --dry-run               only show the plan\n"
     "  --yes                   do not ask\n"
     "  --export-lost DIR       write orders, customers and addresses newer than the snapshot there, as CSV\n"
     "  --keep-connection       keep today's connection string (a password changed since the snapshot)\n"
     "  --shared                go on although another known site uses the same database\n"
     "  --other-host            the snapshot may be of another host or path\n\n"
     "Examples:\n"
     "  nopsnap rollback /var/www/shop --dry-run\n"
     "  nopsnap rollback /var/www/shop\n",
     cli_rollback},
    {"recover", "SITE", "finish or undo what a crash interrupted, and nothing else",
     "May be run any number of times.\n\n"
     "Example:\n"
     "  nopsnap recover /var/www/shop\n",
     cli_recover},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct command *cli_command_find(const char *name)
{
    for (const struct command *c = cli_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}
