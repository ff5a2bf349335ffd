/*
 * The SQL scripts that bring a shop's database from one version of nopCommerce to the next, 3.90 to 4.30, as its makers hand them out.
 *
 *     rc = scripts_open("/root/scripts", work, &progress, &scripts, err);      found, read, cut into batches: nothing is run
 *     script = scripts_step(&scripts, 410);                                    the one from 4.10, or NULL
 *     scripts_release(&scripts);
 *
 * What is promised:
 *   S1  a script is known by what it says in its first lines ("--upgrade scripts from nopCommerce 4.10 to 4.20"), else by the folder or archive
 *       that it is in ("4.10-4.20"). Where the two disagree it is of no use
 *   S2  what was looked through is what is run: a script is held in memory from then on
 *   S3  packages are hostile until they are checked, as releases are (R2 to R6 in release.h)
 */
#ifndef NOPSNAP_UPGRADE_SCRIPTS_H
#define NOPSNAP_UPGRADE_SCRIPTS_H

#include <stdbool.h>

#include "buffer.h"
#include "text.h"

#define SCRIPT_BYTES_MAX (64u << 20) /* the largest real one has 220 kB */

struct upgrade_script {
    int from, to;       /* 410, 420 */
    char *name;         /* "4.10-4.20/upgrade.sql", "nopCommerce_4.20_UpgradeScripts.rar/upgrade.sql" */
    struct buffer text; /* as its file has it */
    uint64_t batches;   /* between its GO lines */
    struct text_list
        notes;     /* lines of its Readme.txt, but for the steps that every one has, which nopsnap takes itself */
    char *problem; /* why it can't be run, or NULL */
};

struct upgrade_scripts {
    char *place; /* as the caller named it; NULL: no scripts were named */
    struct upgrade_script *items;
    size_t count;
    struct text_list problems; /* packages that were refused */
};
#define UPGRADE_SCRIPTS_INIT \
    {                        \
        .place = NULL        \
    }

/*
 * Find scripts and look them through.
 *
 * place      a folder with packages, each unpacked or an archive (zip, 7z, rar, tar), in any depth; or one archive
 * work       see release_options
 * Returns    ERR_NOT_FOUND, ERR_IO, ERR_SPACE, ERR_MEMORY, ERR_CANCELLED. What is wrong with a package is in out->problems, what with a
 *            script in its problem
 */
enum error_kind scripts_open(const char *place, const char *work, const struct progress *progress,
                             struct upgrade_scripts *out, struct error *err);
void scripts_release(struct upgrade_scripts *s);
void upgrade_script_release(struct upgrade_script *s);

/* The script that begins at this version; NULL: there is none. Two that differ share a problem. */
const struct upgrade_script *scripts_step(const struct upgrade_scripts *s, int from);

/* ---- what versions are, 4.10 being 410 ---- */

/* The version whose script comes next; 0: none does, because migrations begin there, or because it is too old or unknown. */
int scripts_next(int version);

/* ---- scripts_text.c: what a script's own text and its surroundings say ---- */

/* "--upgrade scripts from nopCommerce 4.10 to 4.20" among the comments that a script begins with. */
bool scripts_header(const void *bytes, size_t len, int *from, int *to);
/* "4.10-4.20" or "4.10 to 4.20" in a path, the deepest folder first. */
bool scripts_path_step(const char *path, int *from, int *to);
enum error_kind scripts_notes(const void *bytes, size_t len, struct text_list *out, struct error *err);

#endif
