/*
 * What the files of this room share. The public side is transaction.h; the story is told in docs/architecture.md.
 */
#ifndef NOPSNAP_TRANSACTION_INTERNAL_H
#define NOPSNAP_TRANSACTION_INTERNAL_H

#include <sys/stat.h>

#include "file.h"
#include "json.h"
#include "transaction.h"
#include "walk.h"

/* ---- place.c: where the journal lives ---- */

struct place {
    char *root;   /* the live tree's real path; it may be gone */
    char *parent; /* folder that holds root */
    char *folder; /* .nopsnap-<name> beside root, or <root>/.nopsnap */
    bool inside;  /* the latter */
    struct file_lock lock;
    int64_t seen_ns; /* when the folder last changed, as the plan saw it; 0: it was not there */
    bool made;       /* by this process: nobody was there before */
};
#define PLACE_INIT                                        \
    {                                                     \
        NULL, NULL, NULL, false, FILE_LOCK_INIT, 0, false \
    }

/* Real path of a site that may be gone: symlinks resolved as far as they lead. */
enum error_kind place_resolve(const char *site_path, char **out, struct error *err);
/*
 * Find the folder of an existing journal, or of kept things; else the one that a new transaction would use.
 * Returns    ERR_PENDING when both places hold a journal
 */
enum error_kind place_find(const char *site_path, struct place *out, struct error *err);
/* Where a new transaction's folder will be; fills why (may be NULL) when it is inside the root. */
enum error_kind place_choose(const char *site_path, bool root_is_served, struct place *out, struct error *err);
enum error_kind place_make(struct place *p, struct error *err); /* mkdir 0700, synced */
/* The same for any folder; one of others is refused. made: was it not there before? */
enum error_kind place_make_private(const char *folder, bool *made, struct error *err);
/* When the folder last changed, which every transaction does; 0 if it is not there. */
int64_t place_changed_ns(const struct place *p);
/* What was looked at before another transaction went no longer holds. */
enum error_kind place_refuse_stale(const struct place *p, struct error *err);
/* Take the lock of a folder that exists. ERR_BUSY names the holder. */
enum error_kind place_lock(struct place *p, int timeout_ms, struct error *err);
/*
 * Lock, and tell whether a transaction went since the folder had last changed at seen_ns. Where a power cut took the lock's file, making
 * it again is a change of ours.
 */
enum error_kind place_lock_since(struct place *p, int64_t seen_ns, int timeout_ms, bool *changed, struct error *err);
void place_release(struct place *p);
enum error_kind place_path(const struct place *p, const char *name, char **out, struct error *err);
bool place_has(const struct place *p, const char *name);

/* ---- journal.c ---- */

enum decision { DECISION_NONE, DECISION_COMMIT, DECISION_UNDO };

struct journal {
    int fd;
    char *path;
    uint64_t len;
};
#define JOURNAL_INIT \
    {                \
        -1, NULL, 0  \
    }

/* Durable    the record, and the journal's name in its folder, survive power loss on return */
enum error_kind journal_create(struct journal *j, const struct place *p, struct json *begin, struct error *err);
enum error_kind journal_append(struct journal *j, struct json *record, struct error *err); /* T1 */
typedef enum error_kind journal_fn(void *arg, struct json *record, struct error *err);
/* Replay and open for appending; a torn last record is cut off. ERR_NOT_FOUND, ERR_PENDING when it is damaged. */
enum error_kind journal_open(struct journal *j, const struct place *p, journal_fn *fn, void *arg, struct error *err);
/* Replay without changing anything: for transaction_look() and fuzzing. good_len: where the torn part begins. */
enum error_kind journal_replay(const void *bytes, size_t len, journal_fn *fn, void *arg, uint64_t *good_len,
                               struct error *err);
/* look.c: what the journal of a place says, without changing anything. ERR_NOT_FOUND where there is none. */
struct txn;
enum error_kind journal_look(const struct place *p, struct txn *out, struct error *err);
/* The transaction is over: the journal goes, then the decision. */
enum error_kind journal_end(struct journal *j, const struct place *p, struct error *err);
void journal_close(struct journal *j);
/* What a crash before the first record, or after the last step, left of a journal's files. Under the lock, with no journal there. */
enum error_kind journal_tidy(const struct place *p, struct error *err);

enum error_kind decision_write(const struct place *p, const char *token, enum decision d, struct error *err); /* T3 */
/* DECISION_NONE if absent, of another transaction, or its checksum is wrong. */
enum error_kind decision_read(const struct place *p, const char *token, enum decision *out, struct error *err);

/* A small JSON file with a checksum, replaced atomically. */
enum error_kind sealed_write(const char *path, struct json *value, struct error *err);
enum error_kind sealed_read(const char *path, struct json **out, struct error *err); /* ERR_NOT_FOUND, ERR_CORRUPT */

/* ---- exchange.c: trees ---- */

/* The smallest thing that is exchanged on its own: the whole root, or one entry where a mount forbids that. */
struct unit {
    char *live;
    char *slot;
    bool has_old, has_new;
    struct file_identity old_identity, new_identity;
};
struct units {
    struct unit *items;
    size_t count;
};
#define UNITS_INIT \
    {              \
        NULL, 0    \
    }
void units_release(struct units *u);
enum error_kind units_add(struct units *u, const char *live, const char *slot, struct error *err);
/* Fill in identities of what stands at live and slot now (before the first exchange). */
enum error_kind units_identify(struct units *u, struct error *err);
/* Bring the wanted side to the live path; repeatable; parents synced (T2, T4). */
enum error_kind units_ensure(const struct units *u, bool new_side, struct error *err);
/* Is the wanted side live everywhere? */
enum error_kind units_are(const struct units *u, bool new_side, bool *out, struct error *err);
/* Does the wanted side stand where what was taken away is kept? missing: the first place where it does not, borrowed; or NULL */
enum error_kind units_are_kept(const struct units *u, bool new_side, const char **missing, struct error *err);

/* ---- mounts.c ---- */

/* Mount points at or below root, real paths. */
enum error_kind mounts_below(const char *root, struct text_list *out, struct error *err);
/* ERR_REFUSED where one is: for folders that are exchanged as a whole. */
enum error_kind mounts_refuse(const char *root, struct error *err);

/* ---- journal_state.c: what a journal says ---- */

struct area {        /* a place on one filesystem where part of the new state is staged, beside txn.stage */
    char *root_name; /* "site" or "pictures" */
    char *prefix;    /* relative to that root: "" or a mount's path */
    char *live;      /* the live root that it belongs to */
    char *folder;    /* .../tx-<token>; the tree is in <folder>/<root_name> */
};

struct txn {
    char token[9]; /* 8 hex digits */
    char *site_path, *site_given, *site_name;
    char *catalog, *catalog_id;
    char *target; /* snapshot; NULL when the shop is only stopped for one */
    char *only;   /* "files", "database" or NULL */
    int64_t began_ns;
    /* When the side that was live was last written to: the old one as the exchange began, the new one as its undo did. 0: not yet */
    int64_t old_until_ns, new_until_ns;
    bool has_files, has_database, split; /* split: the tree is exchanged in parts */
    bool database_in_place;
    char *database_engine, *database_host, *database_name; /* which database: the one that the plan looked at */
    int database_port;
    char *database_identity; /* NULL if it did not exist */
    char *service, *stop, *start, *open, *close, *url, *environment, *database_admin, *cache_flush;
    char *host_header, *ca_file; /* how the shop is asked at url */
    char *safety;                /* snapshot taken before the switch: where nothing can be kept, and of every upgrade */
    char *from_version, *to_version; /* of an upgrade; NULL in a rollback */
    int64_t trial_ms;                /* of an upgrade: how long what it takes away is kept at least */
    bool
        going_back; /* an upgrade in its trial is taken back: there is no way forward, and recovery goes on going back */
    bool was_unwell; /* the shop of before did not answer when this began */
    bool
        database_later; /* the restore point has the files only as yet: its dump is made from what is kept of the database (kept_point.c) */
    char *
        taken; /* snapshot of a database changed in place that an undo takes away: the shop ran on it, or the restore point is lost */
    char *stage; /* tx-<token> folder */
    struct area *areas;
    size_t area_count;
    struct units units;
    struct text_list rules; /* of what crosses the exchange, as site_rules_list() gives them: today's may be others */
    struct database_swap swap;
    bool has_swap;
    struct database_point
        point; /* of an upgrade that changes the database where it is: the server keeps what it was (T8) */
    bool has_point;
    bool point_begun; /* going back has: what is in the database may be the old state */
    bool
        point_lost; /* it can't be gone back to: what is in the database is saved, and a dump of before is loaded into it */
    bool point_spent; /* it was gone back to, and nothing may go back to it again: the shop may have run since */
    int health_timeout_ms;
    /* progress: information for messages and for choosing what to undo, never evidence of who is where */
    bool staged, fence_begun, switch_begun, start_begun, load_begun;
    bool
        copy_begun; /* the server copies into the beside database, whose identity in swap is no longer, or not yet, its own */
    char *beside; /* database loaded beside */
};
#define TXN_INIT    \
    {               \
        .token = "" \
    }
void txn_release(struct txn *t);
bool txn_is_upgrade(const struct txn *t);
/* The pictures outside the site, if they are exchanged too; or NULL. */
const struct area *area_outside(const struct txn *t);
/* journal_begin.c: a new token, the site, how it is stopped and started */
enum error_kind txn_describe(struct txn *t, const struct site *site, int health_timeout_ms, struct error *err);
enum error_kind txn_describe_catalog(struct txn *t, struct catalog *cat, struct error *err);
enum error_kind txn_begin_record(const struct txn *t, struct json **out, struct error *err);
enum error_kind txn_point_record(const struct txn *t, struct json **out, struct error *err);
/* The server keeps a restore point of the database, or does not: then the database is copied. */
void txn_set_point(struct txn *t, bool has);
enum error_kind txn_swap_record(const struct txn *t, struct json **out, struct error *err);
enum error_kind txn_units_record(const struct txn *t, struct json **out, struct error *err);
enum error_kind txn_replay(void *txn, struct json *record, struct error *err); /* a journal_fn */
enum error_kind txn_step(struct journal *j, const char *step,
                         struct error *err); /* a record with nothing but its name */
/* The side that is live now is at rest, and about to be taken away: noted once, whoever asks again. */
enum error_kind txn_note_rest(struct journal *j, struct txn *t, bool old_side, struct error *err);
/* For `kept`, which must say the same after the journal is gone. */
enum error_kind txn_encode(const struct txn *t, struct json **out, struct error *err);
enum error_kind txn_decode(struct json *v, struct txn *out, struct error *err);

/* ---- fence.c ---- */

struct fence {
    const struct txn *txn; /* how to stop and start; borrowed */
    char *file;            /* <folder>/fence */
    char *dropin;          /* unit drop-in, or NULL */
};
enum error_kind fence_init(struct fence *f, const struct place *p, const struct txn *txn, struct error *err);
void fence_release(struct fence *f);
bool fence_can_stop(const struct txn *t);
/* Preflight (P12): why the shop could not be stopped, kept stopped or started again; one line each. */
enum error_kind fence_problems(const struct txn *t, struct text_list *out, struct error *err);
/* drop-in, reload, fence file, sync, stop */
enum error_kind fence_up(const struct fence *f, struct error *err);
/* fence file first, then stop: to undo after a start */
enum error_kind fence_again(const struct fence *f, struct error *err);
/* fence file away, start, seen active; a unit that is active already needs no start */
enum error_kind fence_start(const struct fence *f, struct error *err);
/* the drop-in goes last */
enum error_kind fence_down(const struct fence *f, struct error *err);

/* fence_unit.c: the unit's side */
enum error_kind fence_unit_path(const char *unit, char **out, struct error *err);
/* ERR_REMOTE when systemd does not apply the drop-in to the unit. */
enum error_kind fence_unit_write(const char *unit, const char *dropin, const char *fence_file, const char *folder,
                                 struct error *err);
enum error_kind fence_unit_remove(const char *dropin, struct error *err);
enum error_kind fence_unit_active(const char *unit, bool *out, struct error *err);
/* Preflight (P12): why systemd would not start or stop the unit; nothing is added where it would. */
enum error_kind fence_unit_problems(const char *unit, struct text_list *out, struct error *err);
/* Which run of the unit this is: another text after each restart. */
#define FENCE_RUN_MAX 64
enum error_kind fence_unit_run(const char *unit, char out[FENCE_RUN_MAX], struct error *err);

/* ---- quiet.c: proof that nobody is in a tree (T5) ---- */

/*
 * Processes (not ours) with a working directory, executable, mapping or open file below one of the roots.
 * out         one line each: "pid 4711 dotnet (www-data): cwd /var/www/shop"
 * complete    false when /proc could not be read for some process; may be NULL
 */
enum error_kind quiet_processes(const char *const *roots, size_t count, struct text_list *out, bool *complete,
                                struct error *err);
/* Wait until there is none. ERR_REFUSED naming them. */
enum error_kind quiet_wait(const char *const *roots, size_t count, int timeout_ms, struct error *err);
/* End whoever is there (SIGKILL): for a tree of nopsnap's own that nobody else has a reason to be in. ERR_REFUSED naming who stays. */
enum error_kind quiet_end(const char *root, int timeout_ms, struct error *err);

/* When a process began, by its folder in /proc: milliseconds since the boot, in the kernel's ticks; 0 where that can't be read. pid: its number,
 * untouched then. */
int64_t quiet_start_ms(int pid_fd, long *pid);
/* Does it run a program of the tree: does its executable, or a file that it maps, lie below root? */
bool quiet_runs_program(const char *root, int pid_fd);
/* The folder in /proc of a process that does, and that began no earlier; caller closes. -1: there is none that can be seen. */
int quiet_program(const char *root, int64_t not_before_ms);

/* ---- shop_watch.c ---- */

/* Before the stop: who can be seen now can be missed after the start. */
void shop_watch_expect(struct shop_watch *w, const struct txn *t);
/* Right before the start. Borrows t. */
void shop_watch_begin(struct shop_watch *w, const struct txn *t);
void shop_watch_release(struct shop_watch *w);

/* ---- health.c ---- */

/*
 * Wait until the shop answers: URL 2xx/3xx and not /install; one whose process has ended is not waited for. Without a URL its unit has to stay
 * active for some seconds, in one run. ERR_REMOTE.
 */
enum error_kind health_wait(const struct txn *t, struct shop_watch *w, const struct progress *progress,
                            struct error *err);

/* Does the shop that runs now answer? Without a URL it is not asked, and well. A moment's silence is none. */
bool health_is_well(const struct txn *t);
/* The tag of a snapshot whose shop did not answer when it was taken away. */
#define TAG_UNWELL "unwell"
/* Was it known not to answer, so that going back to it can't ask for more? */
bool health_was_unwell(const struct snapshot_record *r);

/* ---- linked.c: what linked files looked like (T7) ---- */

enum linked_state { LINKED_NO, LINKED_SAME, LINKED_CHANGED };

struct linked_writer;
enum error_kind linked_begin(const char *path, struct linked_writer **out, struct error *err);
enum error_kind linked_add(struct linked_writer *w, const char *file, const struct stat *st, struct error *err);
enum error_kind linked_commit(struct linked_writer *w, struct error *err); /* sorted, checksummed, synced; frees w */
void linked_discard(struct linked_writer *w);

struct linked;
enum error_kind linked_open(const char *path, struct linked **out, struct error *err); /* OK and NULL if absent */
enum linked_state linked_find(const struct linked *l, const char *file, const struct stat *st);
uint64_t linked_count(const struct linked *l); /* 0 for NULL */
/* The newest ctime in it; 0 if there is none, or l is NULL. */
int64_t linked_newest_ns(const struct linked *l);
/* The link was broken on purpose: the file is no longer shared. */
enum error_kind linked_forget(struct linked *l, const char *file, struct error *err);
enum error_kind linked_sync(struct linked *l, struct error *err);
void linked_close(struct linked *l);
/*
 * Where the snapshot that linked files were proved equal to is gone: another that has them, as they were. That is what was taken of the stopped shop before the
 * exchange, for a file that had changed until then was given a link's end. out stays empty where there is none.
 */
enum error_kind linked_stand_in(struct catalog *cat, const struct txn *t, struct snapshot_record *out,
                                struct error *err);
/*
 * Walk a tree; every linked file that is not what its record says is replaced by the snapshot's content. An empty snapshot is one that is
 * gone: ERR_PENDING where it is needed, saying what a person can do.
 */
enum error_kind linked_repair(struct catalog *cat, const struct snapshot_record *snapshot, struct linked *l,
                              const char *tree, bool forget, uint64_t *repaired, struct error *err);

/* ---- renewal.c: the stat cache, after links came and went (N1 to N6) ---- */

/* Begin the record of what staging writes below one root, in the stage's folder: linked_add(), linked_commit(). */
enum error_kind renewal_written_begin(const struct txn *t, const char *root_name, struct linked_writer **out,
                                      struct error *err);
/*
 * Names of linked files that go: what the file looks like since, under the name that stays. A record of them can't be had: NULL, which costs time
 * at the next snapshot, no more.
 */
#define RENEWAL_UNLINKED "unlinked" /* in the journal's folder */
void renewal_unlink_begin(const struct place *p, struct linked_writer **out);
/* Unlink an entry of a walk. linked: of its tree; noted: NULL inside when there is none */
enum error_kind renewal_unlink(const struct linked *linked, const struct walk_item *item, struct linked_writer **noted,
                               struct error *err);
/* All linked files of a tree that is about to go. */
enum error_kind renewal_unlink_tree(const struct linked *linked, const char *tree, struct linked_writer **noted,
                                    struct error *err);
void renewal_unlink_end(struct linked_writer *noted); /* frees it; accepts NULL */
/*
 * While the shop is still open: remember what linking made of the live tree's files, so that the walk of the stopped shop takes them for what they
 * are. Waits as above. false: it was not done, and is not needed.
 */
bool renewal_linked(struct catalog *cat, const struct site *site, const struct txn *t,
                    const struct snapshot_record *target, const struct linked *linked, const struct progress *progress);
/*
 * Write the live roots' stat caches anew, from those records and the caches that are there. The shop runs: up to 2 s are waited, until what was
 * unlinked is old enough to be believed. cat may be NULL.
 */
void renewal_run(struct catalog *cat, const struct site *site, const struct place *p, const struct txn *t,
                 const struct progress *progress);

/* ---- moves.c ---- */

/*
 * Rename what snapshots leave out from one tree to the other, where it is missing there. Repeatable; synced.
 *
 * make_parents  also where the folder that holds it is missing there (what the shop makes again excepted); not on the way back, where whatever came
 *               finds its folder
 * new_version   caches stay behind: they are of the version that made them
 */
enum error_kind moves_left_out(const struct site *rules, const char *from, const char *to, bool make_parents,
                               bool new_version, uint64_t *moved, struct error *err);
/* moves_parent.c: open a folder of the tree `to`, never through a symlink. ERR_NOT_FOUND also where something else has its name. */
enum error_kind moves_parent_open(int from, int to, const char *folder, bool make, int *out, struct error *err);
/*
 * Before a staged tree is removed: does it still hold something that snapshots leave out and that the live tree has not? What came from the target snapshot
 * is in it; anything else crossed over, and might be the only copy. What the shop makes again does not count.
 *
 * cat        may be NULL: then nothing is known to be in the target
 * Returns    ERR_PENDING naming it
 */
enum error_kind moves_refuse_only_copy(struct catalog *cat, const struct snapshot_record *target,
                                       const struct site *rules, const char *staged, const char *live,
                                       struct error *err);

/* ---- connection.c: how to reach the database ---- */

struct reach {
    struct site_connection connection;
    struct database_target target, admin;
    struct database *db;
    char *without; /* why the config's administrative login is not used; or NULL */
};
#define REACH_INIT                                                                                     \
    {                                                                                                  \
        {SITE_SETTINGS_NONE, NULL, NULL, NULL}, DATABASE_TARGET_INIT, DATABASE_TARGET_INIT, NULL, NULL \
    }
/* A plan's database, of which can_beside is known: what is wrong with that login is a warning, or a problem where it would be needed. */
enum error_kind reach_say_without(const struct reach *r, bool can_beside, struct preflight *p,
                                  const struct progress *progress, struct error *err);
void reach_release(struct reach *r);
enum error_kind reach_by(struct reach *r, const struct site_connection *connection, const char *admin_spec,
                         struct error *err);
/* The connection that a snapshot's own settings name. ERR_NOT_FOUND when it has none. */
enum error_kind reach_snapshot_connection(struct catalog *cat, const struct snapshot_record *snapshot,
                                          const struct site_config *config, struct site_connection *out,
                                          struct error *err);
/* The journal says which database it is about. */
enum error_kind txn_describe_database(struct txn *t, const struct database_target *target, const char *identity,
                                      struct error *err);
/*
 * Open the database that `txn` is about: by the environment of the shop's unit, the live tree's settings, the other tree's, then the
 * snapshot's; the first that names the journal's database and logs in. site may be NULL.
 *
 * Returns    ERR_REFUSED when what is reached under that name is another database: one that is changed in place has nothing else
 *            that would keep a load from it
 */
enum error_kind reach_for_txn(struct reach *r, struct catalog *cat, const struct site *site, const struct txn *t,
                              const struct snapshot_record *target, struct error *err);

/* ---- the steps ---- */

/* Everything a running transaction holds. */
struct transaction_context {
    struct catalog *cat;
    struct catalog_site_lock *site_lock;
    struct place place;
    struct journal journal;
    struct txn txn;
    struct fence fence;
    struct site *site; /* rules for walks; borrowed */
    struct snapshot_record target;
    struct snapshot_record point; /* of an upgrade: the restore point */
    struct database_facts facts;
    bool has_facts;
    bool may_point;   /* of an upgrade: the server may be able to keep a restore point of the database */
    bool links_known; /* the stat cache has what linking made of the live files */
    struct reach reach;
    struct linked *linked;
    const struct forward_steps *steps; /* of an upgrade, by this process; NULL in a rollback and in recovery */
    bool commit_tried;       /* by this process: whether the decision is on disk is known only if it was written */
    struct shop_watch watch; /* of the start */
    bool keep_connection;
    char *keep_string; /* today's connection string, secret */
    const char *export_lost;
    int64_t stopped_ms, started_ms, began_ms;
    struct text_list *exported; /* names of CSV files go here; borrowed, or NULL */
};
void transaction_context_release(struct transaction_context *x);

/* rollback_target.c */
enum error_kind rollback_target(struct catalog *cat, const struct site *site, const char *site_id,
                                const struct rollback_options *o, struct rollback_plan *plan, struct error *err);
enum error_kind target_rules(struct site *site, const struct snapshot_record *target, struct error *err);
/* exchange_split.c: the highest entries that hold no mount; a mount on which nothing but left-out things can lie stays */
enum error_kind units_build(const struct txn *t, const struct place *p, const struct site *rules, struct units *out,
                            struct error *err);
/* rollback_preflight.c */
enum error_kind rollback_preflight(struct transaction_context *x, const struct rollback_options *o,
                                   struct rollback_plan *plan, struct error *err);
/* preflight.c: what every plan asks */
/* A problem where there is less room than that. */
enum error_kind need_space(const char *where, const char *what, uint64_t need, struct preflight *p, struct error *err);
enum error_kind preflight_catalog(struct transaction_context *x, struct preflight *p, struct error *err);
enum error_kind preflight_processes(struct transaction_context *x, struct preflight *p, struct error *err);
enum error_kind preflight_fence(struct transaction_context *x, struct preflight *p, struct error *err);
enum error_kind preflight_sharing(struct transaction_context *x, const struct config *config, struct preflight *p,
                                  struct error *err);
#define SPACE_MARGIN (64ull << 20) /* directories, the journal, what grows meanwhile */
#define SPACE_PER_FILE 4096ull     /* a block each */
/* rollback_pictures.c: what speaks against exchanging pictures outside the site */
enum error_kind check_pictures(struct transaction_context *x, const struct rollback_options *o,
                               struct rollback_plan *plan, struct error *err);
/* rollback_stage.c */
enum error_kind stage_tree(struct transaction_context *x, const struct progress *progress,
                           struct transaction_result *out, struct error *err);
enum error_kind stage_database(struct transaction_context *x, const struct progress *progress, struct error *err);
/* An upgrade's: an empty database beside the live one, named in the journal as what will be exchanged; and, once the shop is stopped, its content. */
enum error_kind stage_database_place(struct transaction_context *x, const struct progress *progress, struct error *err);
enum error_kind stage_database_fill(struct transaction_context *x, const struct snapshot_record *from,
                                    const struct progress *progress, struct error *err);
/* The same by the server's own copy of the live database, which is fenced. The journal says so before and after. */
enum error_kind stage_database_copy(struct transaction_context *x, const struct progress *progress, struct error *err);
/* stage_point.c: the server is tried; txn.has_point says whether it keeps a restore point of the database. */
enum error_kind stage_point_try(struct transaction_context *x, const struct progress *progress, struct error *err);
/* Once the shop is stopped: make it. */
enum error_kind stage_point_make(struct transaction_context *x, const struct progress *progress, struct error *err);
/*
 * The newest snapshot with a dump of before: the restore point if it has its dump by now, else that of before the stop, which is held as long as
 * this is pending (F1). ERR_PENDING: there is none. Caller releases out, which is empty then.
 */
enum error_kind stage_point_dump(struct transaction_context *x, struct snapshot_record *out, struct error *err);
/* Make the database what it was, once. */
enum error_kind stage_point_back(struct transaction_context *x, const struct progress *progress, struct error *err);
/* A snapshot of the stopped shop, through the database's fence. prove: read back whole */
enum error_kind stage_save(struct transaction_context *x, const struct snapshot_options *o, bool prove,
                           const struct progress *progress, struct snapshot_result *out, struct error *err);
enum error_kind stage_note_safety(struct transaction_context *x, const char *id, struct error *err);
enum error_kind stage_sync(struct transaction_context *x, struct error *err);
/* forward_late.c: what is carried as the restore point has it, where that is not what the first snapshot had */
/* Start the new shop and wait until it is well. */
enum error_kind forward_start(struct transaction_context *x, bool *warned, const struct progress *progress,
                              struct error *err);
/* forward_stages.c: the releases after the first one, if there are any. */
enum error_kind forward_stages(struct transaction_context *x, bool *warned, const struct progress *progress,
                               struct error *err);
enum error_kind forward_catch_up(struct transaction_context *x, const char *tree, struct error *err);
/* P9: ERR_CORRUPT when a table has not as many rows as were dumped. name NULL: the live database. */
enum error_kind loaded_counts_check(struct database *db, const char *name, const struct database_counts *expected,
                                    struct error *err);
enum error_kind stage_catch_up(struct transaction_context *x, const struct progress *progress, struct error *err);
enum error_kind area_remove(const struct area *a, struct error *err);
enum error_kind stage_remove(struct transaction_context *x, struct error *err);
/* <stage>/site; caller frees */
enum error_kind stage_tree_path(const struct txn *t, char **out, struct error *err);

/* run.c: what every transaction that builds a new state does */
/* Lock, areas, journal. ERR_PENDING, ERR_REFUSED where something else is to be done first, ERR_BUSY where the plan no longer holds. */
enum error_kind run_begin(struct transaction_context *x, const struct progress *progress, struct error *err);
/* A record with nothing but its name, and what it says set in txn; a signal is heard here. */
enum error_kind run_step(struct transaction_context *x, const char *name, bool *flag, struct error *err);
/* Mounts are looked at again, just before the exchange. */
enum error_kind run_note_units(struct transaction_context *x, struct error *err);
/* Undo, and say in `err` why: the first failure, with what became of it. */
enum error_kind run_give_up(struct transaction_context *x, const struct progress *progress,
                            struct transaction_result *out, struct error *err);
void run_note_times(struct transaction_context *x, struct transaction_result *out);
/* The lock on the journal is held until here; saving what was taken away takes it again. */
void run_save_taken(struct transaction_context *x, const struct progress *progress, struct transaction_result *out);

/*
 * health.c, once the transaction is at its end: is the shop that is back well? There is nothing better to put in its place, so what is amiss is a
 * warning, and goes into out->unwell. Two minutes at most; a signal ends the waiting. started_ms becomes the moment of the answer.
 */
void health_tell(struct transaction_context *x, const struct progress *progress, struct transaction_result *out);

/* marks.c: an upgrade's marks in the catalogue */
enum error_kind marks_hold_first(struct catalog *cat, const struct txn *t, const char *snapshot, struct error *err);
/* At the end of an upgrade, or of what is left of one; repeatable. cat may be NULL. */
void marks_tidy(struct catalog *cat, const struct txn *t, bool undone, const struct progress *progress);

/* step_times.c */
struct step_times {
    struct progress progress; /* to be handed on; its arg is this struct */
    const struct progress *outer;
    struct transaction_step steps[TRANSACTION_STEPS_MAX];
    size_t count;
    int64_t since_ms;
};
void step_times_begin(struct step_times *t, const struct progress *outer);
void step_times_end(struct step_times *t, struct forward_result *out);

/* trial.c: an upgrade in its trial is taken back */
enum error_kind trial_is_open(const char *site_path, bool *out, struct error *err);
enum error_kind trial_plan(struct transaction_context *x, const struct progress *progress, struct rollback_plan *plan,
                           struct error *err);
enum error_kind trial_run(struct transaction_context *x, const struct progress *progress,
                          struct transaction_result *out, struct error *err);

/* switch.c: going to a side and starting there; both directions, both by rollback and by recovery */
/* Stop the new shop between two stages: fenced, and proved to be quiet. Its database stays open to others. */
enum error_kind switch_pause(struct transaction_context *x, const struct progress *progress, struct error *err);
enum error_kind switch_stop(struct transaction_context *x, bool again, const struct progress *progress,
                            struct error *err);
/*
 * Wait until nobody is in the live database, or nobody with the shop's own login: a session ends a moment after the process that had it.
 * ERR_REFUSED naming one.
 */
enum error_kind quiet_database_wait(struct database *db, bool shops_only, int timeout_ms, struct error *err);
enum error_kind switch_to(struct transaction_context *x, bool new_side, const struct progress *progress,
                          struct error *err);
enum error_kind switch_start(struct transaction_context *x, bool health, const struct progress *progress,
                             struct error *err);
/* Whatever the live database holds now, as a snapshot that the journal names; once (P3). */
enum error_kind switch_save_now(struct transaction_context *x, const struct progress *progress, struct error *err);
/* Load a snapshot's dump into the live database, and count its rows. */
enum error_kind switch_load_in_place(struct transaction_context *x, const struct snapshot_record *from,
                                     const struct progress *progress, struct error *err);
/* The shop ran on the database that was changed in place: what it wrote there is saved before it goes (P3). */
enum error_kind switch_save_in_place(struct transaction_context *x, const struct progress *progress, struct error *err);
/* After the decision: write `kept`, drop-in away, journal gone. */
enum error_kind switch_end(struct transaction_context *x, bool new_side, struct error *err);
/* Undo from wherever it is; writes the decision first, which may fail only where there is a commit to override. */
enum error_kind switch_undo(struct transaction_context *x, const struct progress *progress, struct error *err);

/* kept.c, kept_remove.c, kept_entries.c */
struct kept {
    struct txn txn;
    bool kept_is_old; /* the old side was taken away (commit), or the new side (undo after a start) */
    char *snapshot;
    int64_t since_ns;
};
/*
 * A snapshot of what is about to go, read back whole (T6). Where what it shares with older ones is damaged, it is taken once more,
 * which stores that anew.
 */
enum error_kind take_proved(struct catalog *cat, const struct site *site, struct database *db,
                            const struct snapshot_options *o, const struct progress *progress,
                            struct snapshot_result *out, struct error *err);
enum error_kind kept_write(const struct place *p, const struct txn *t, bool kept_is_old, const char *snapshot,
                           int64_t since_ns, struct error *err);
enum error_kind kept_read(const struct place *p, struct kept *out, struct error *err); /* ERR_NOT_FOUND */
void kept_release(struct kept *k);
/* What was kept of the database, to be dumped: the one that was exchanged, or the server's restore point. */
bool kept_has_database(const struct kept *k);
const char *kept_database(const struct kept *k);
enum error_kind kept_database_open(struct database *db, const struct kept *k, struct database **out, struct error *err);
/* Is what was kept of the database still on the server? */
enum error_kind kept_database_is_there(struct database *kept_db, const struct kept *k, bool *out, struct error *err);
/* kept_point.c: give the restore point its dump, if it has none yet. k names the whole snapshot then. */
enum error_kind kept_complete(struct catalog *cat, const struct site *site, const struct place *p, struct kept *k,
                              const struct progress *progress, struct error *err);
/* Remove a kept tree, entry by entry, what the snapshot has; what it has not stays and is named (P8). noted: renewal_unlink()'s */
enum error_kind kept_remove_tree(struct catalog *cat, const struct snapshot_record *snapshot, const struct site *rules,
                                 const char *tree, struct linked_writer **noted, struct text_list *left,
                                 struct error *err);
/* Is what an upgrade took away still on trial? */
bool kept_in_trial(const struct kept *k);
int64_t kept_trial_end_ns(const struct kept *k); /* 0: there is none */
/* In-step reading of a snapshot's entries while a tree is walked in walk order. */
struct entry_steps;
enum error_kind entry_steps_open(struct catalog *cat, const struct snapshot_record *snapshot, const char *root_name,
                                 struct entry_steps **out, struct error *err);
/* The entry for `path`, NULL if the snapshot has none; borrowed until the next call. Paths in walk order. */
enum error_kind entry_steps_get(struct entry_steps *s, const char *path, const struct tree_entry **out,
                                struct error *err);
void entry_steps_close(struct entry_steps *s);

/* A linked file stands for the entry of the target snapshot that it was proved equal to, whatever another tree's shop wrote through it since. */
struct linked_entries {
    struct linked *linked; /* borrowed */
    struct entry_steps *steps;
    struct buffer encoded;
    struct catalog *cat;
    bool kept_is_old;
    bool own_writes;  /* it is the live tree that is read: what was written through a link is its own */
    const char *live; /* the tree that shares them */
};
#define LINKED_ENTRIES_INIT               \
    {                                     \
        .encoded = BUFFER_INIT(16u << 20) \
    }
/* A snapshot_entry_fn. */
enum error_kind linked_entries_ask(void *entries, const char *path, const struct stat *st, const void **encoded,
                                   size_t *len, struct error *err);
void linked_entries_release(struct linked_entries *l);

#endif
