/*
 * A made shop in a catalogue, small and the same every time: directories with files of many sizes, one file of many chunks, links, a dump.
 * Its bytes follow from three numbers, so that whoever reads it back can tell each wrong one.
 */
#ifndef NOPSNAP_SHOP_FIXTURE_H
#define NOPSNAP_SHOP_FIXTURE_H

#include "catalog.h"
#include "record.h"
#include "store.h"

struct shop {
    unsigned seed;           /* which shop */
    unsigned version;        /* every seventh file differs from the version before, and the dump's tail */
    unsigned folders, files; /* files in each folder */
    size_t big;              /* bytes of the file of many chunks; 0: none */
    size_t dump;             /* bytes of the dump; 0: none */
};

#define SHOP_SMALL                                                                          \
    {                                                                                       \
        .seed = 1, .version = 0, .folders = 4, .files = 12, .big = 3000000, .dump = 2000000 \
    }

/* Take a snapshot of it. record: released by the caller. site_id: 16 hex digits. */
enum error_kind shop_snapshot(struct catalog *cat, const struct shop *shop, const char *site_id,
                              struct snapshot_record *record, struct error *err);
/* The same without the commit: what a crash leaves. */
enum error_kind shop_store(struct catalog *cat, const struct shop *shop, struct error *err);

struct shop_check {
    unsigned good;    /* files and dumps that came back byte for byte */
    unsigned damaged; /* reported as ERR_CORRUPT */
    unsigned wrong;   /* came back, but with other bytes: must never be */
    char first[2048]; /* the first error's text */
};
/* Read all of a snapshot back. Errors other than damage are returned. */
enum error_kind shop_check(struct catalog *cat, const struct shop *shop, const struct snapshot_record *record,
                           struct shop_check *out, struct error *err);

#endif
