/*
 * What verify, prune and rebuild share: the book of all records, and marks on what snapshots reach.
 */
#ifndef NOPSNAP_MAINTAIN_INTERNAL_H
#define NOPSNAP_MAINTAIN_INTERNAL_H

#include "maintain.h"
#include "record_internal.h"

/* verify.c: the checksum of a row of `checks`. */
int64_t check_row_sum(uint64_t pack, int64_t moment_ns);

/* ---- the book: every record, as the packs have them, never as index rows do (P7, P8) ---- */

struct book_entry {
    enum chunk_type type;
    char id[RECORD_ID_LEN + 1];
    uint64_t pack; /* its number */
    struct chunk_id chunk;
    bool is_void; /* snapshot: forgotten. hold: released, or its snapshot has gone */
    struct text_list targets;
};

struct book {
    struct book_entry *items; /* sorted by type and id once read */
    size_t count, cap;
    struct text_list damage; /* packs of records that can't be read: one line each */
    struct catalog *cat;     /* while it is read */
};
#define BOOK_INIT                        \
    {                                    \
        NULL, 0, 0, TEXT_LIST_INIT, NULL \
    }
/* No snapshot repairs a record, since none stores it again. */
#define HINT_RECORDS "bring the pack back from a copy of the catalogue; or move it away and run: nopsnap rebuild"
/*
 * Read all records.
 *
 * Returns    OK with damage listed, and remembered: what can't be read may be anything, so who removes must refuse then
 */
enum error_kind book_read(struct catalog *cat, struct book *out, struct error *err);
void book_release(struct book *b);
const struct book_entry *book_find(const struct book *b, enum chunk_type type, const char *id); /* NULL: none */
/* The record of a snapshot in the book. */
enum error_kind book_snapshot(struct catalog *cat, const struct book_entry *e, struct snapshot_record *out,
                              struct error *err);
/*
 * Make the index's rows say what the records say: a snapshot or a hold that has a record gets a row, one that is void loses it. In
 * transactions of its own.
 */
enum error_kind book_apply(struct catalog *cat, const struct book *b, struct error *err);

/* ---- when a pack was last read whole (verify.c) ---- */

/* 0 when it was never read, or the note about it is damaged: then its making counts. */
enum error_kind check_row_read(struct index *ix, uint64_t pack, int64_t *moment_ns, struct error *err);
enum error_kind check_row_write(struct index *ix, uint64_t pack, int64_t moment_ns, struct error *err);

/* ---- which packs a run reads (verify_due.c) ---- */

struct verify_pack {
    struct pack_row row;
    int64_t read_ns; /* when it was last read whole; 0: never */
    int64_t
        since_ns; /* verify_sort() sets it: unread since; 0 where that is of the future, which tells nothing: a clock was wrong */
    bool due;
};
/* Since when nobody has read it: the reading, or the making of one that was never read. */
int64_t verify_pack_since(const struct verify_pack *p);
/* Longest unread first. */
void verify_sort(struct verify_pack *items, size_t count, int64_t now_ns);

struct verify_rhythm {
    int64_t now_ns;
    int64_t within_ns;   /* everything is to be read once in this time */
    int64_t interval_ns; /* until the next run, presumably */
};
/*
 * Choose what is due of a sorted list, at any rhythm of runs and with nothing remembered but the moments themselves:
 *
 *   in time   what would be late at the next run; so nothing stays unread for longer than the time and one interval, however irregular runs are
 *   evenly    and as much of the next ones, whole packs, as fits into an even pace: many that were made together are not read together
 *   no more   a pack that does not fit waits for the runs that it is worth, so that few large ones are not read each time
 *
 * Returns    their bytes
 */
uint64_t verify_due(struct verify_pack *items, size_t count, const struct verify_rhythm *r);

/* ---- marks: what is reached (mark.c) ---- */

/*
 * One bit a chunk, by the row in the index, found by id and checked: set when the chunk and all below it were seen to stand. What bears
 * a mark is not entered again, so marking every snapshot costs what there is, not what there was.
 */
struct mark;
/* What was found wrong, and where: "site/wwwroot/a.jpg", "the database's dump". Return an error to stop. */
typedef enum error_kind mark_wrong_fn(void *arg, const char *path, const char *why, struct error *err);

enum error_kind mark_new(struct catalog *cat, struct mark **out, struct error *err);
void mark_free(struct mark *m); /* accepts NULL */
/*
 * Mark all that a snapshot reaches.
 *
 * wrong      told of each chunk that is missing, damaged or of the wrong type. NULL: the first one is the error, except a damaged
 *            piece of data, which is marked all the same
 * whole      set to whether nothing was wrong
 */
enum error_kind mark_snapshot(struct mark *m, const struct snapshot_record *record, mark_wrong_fn *wrong, void *arg,
                              bool *whole, struct error *err);
bool mark_has(const struct mark *m, int64_t row);
/*
 * Does the index place a chunk of this frame in this pack, one that is marked?
 *
 * m          NULL: any chunk counts
 * at         the pack's first chunk to look at: that of the frame, or one before it
 */
enum error_kind mark_frame(struct catalog *cat, const struct mark *m, const struct pack *pack, uint64_t number,
                           uint32_t frame, uint32_t at, bool *out, struct error *err);
/* Raw bytes and chunks that are marked in a pack. */
uint64_t mark_pack_bytes(const struct mark *m, uint64_t pack);
uint64_t mark_pack_chunks(const struct mark *m, uint64_t pack);

#endif
