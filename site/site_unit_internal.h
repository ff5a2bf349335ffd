/* The text of systemd units and of their environment files. */
#ifndef NOPSNAP_SITE_UNIT_INTERNAL_H
#define NOPSNAP_SITE_UNIT_INTERNAL_H

#include "site_internal.h"

/* What of a unit matters here, after its drop-ins. */
struct unit {
    char *name;                         /* "shop.service" */
    char *file;                         /* its own file */
    char *working_directory;            /* or NULL */
    struct text_list commands;          /* ExecStart lines */
    struct text_list environment_files; /* as written, with a leading '-' where absence is no fault */
    struct text_list unset;
    struct site_environment environment;
};

#define UNIT_INIT                                                                               \
    {                                                                                           \
        NULL, NULL, NULL, TEXT_LIST_INIT, TEXT_LIST_INIT, TEXT_LIST_INIT, SITE_ENVIRONMENT_INIT \
    }

void unit_release(struct unit *u);
/* Apply a unit file's or a drop-in's text, as systemd does: lists add up, an empty value empties them. */
enum error_kind unit_apply(struct unit *u, const char *text, const char *file, struct error *err);
/* Apply the text of an EnvironmentFile=. */
enum error_kind unit_environment_apply(struct site_environment *e, const char *text, const char *file,
                                       struct error *err);
/*
 * The next word of a value, with systemd's quotes and escapes undone.
 *
 * at         moved behind the word
 * out        the word; the caller frees; NULL when no word is left
 */
enum error_kind unit_word(const char **at, char **out, struct error *err);

#endif
