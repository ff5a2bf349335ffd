/*
 * The shops that this machine has, by config and catalogue.
 */
#ifndef NOPSNAP_SHOPS_H
#define NOPSNAP_SHOPS_H

#include <stdbool.h>

#include "catalog.h"
#include "site_config.h"

/*
 * Is this folder, there or not, where visitors of any shop could read what is put there (P10), or in the tree of one that is known (P2)?
 *
 * cat, config    whose shops are known, a catalogue's as far as they are of this host; either may be NULL
 */
enum error_kind shops_hold(struct catalog *cat, const struct config *config, const char *folder, bool *out,
                           struct error *err);

#endif
