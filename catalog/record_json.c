#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "record_internal.h"

static const char *const kind_names[] = {
    [SNAPSHOT_MANUAL] = "manual",
    [SNAPSHOT_SCHEDULED] = "scheduled",
    [SNAPSHOT_SAFETY] = "safety",
    [SNAPSHOT_BEFORE_UPGRADE] = "before-upgrade",
};
#define KINDS (sizeof(kind_names) / sizeof(kind_names[0]))

static const char *small_name(enum chunk_type type)
{
    switch (type) {
    case CHUNK_TOMBSTONE:
        return "tombstone";
    case CHUNK_HOLD:
        return "hold";
    case CHUNK_RELEASE:
        return "release";
    case CHUNK_ACCEPT:
        return "accept";
    default:
        return "";
    }
}

bool record_id_valid(const char *id)
{
    return strspn(id, "0123456789abcdef") == RECORD_ID_LEN && id[RECORD_ID_LEN] == '\0';
}

enum error_kind record_id_new(char out[RECORD_ID_LEN + 1], struct error *err)
{
    unsigned char bytes[RECORD_ID_LEN / 2];
    enum error_kind rc = random_bytes(bytes, sizeof(bytes), err);

    if (!rc)
        hex_encode(bytes, sizeof(bytes), out);
    return rc;
}

void snapshot_record_release(struct snapshot_record *r)
{
    for (size_t i = 0; i < r->root_count; i++) {
        free(r->roots[i].name);
        free(r->roots[i].path);
    }
    for (size_t i = 0; i < r->left_out_count; i++) {
        free(r->left_out[i].path);
        free(r->left_out[i].reason);
    }
    free(r->left_out);
    free(r->links);
    free(r->site_id);
    free(r->site_path);
    free(r->site_name);
    free(r->host);
    free(r->host_id);
    free(r->tool);
    free(r->dump_facts);
    free(r->nop_version);
    free(r->nop_layout);
    text_list_release(&r->patterns);
    text_list_release(&r->unread);
    text_list_release(&r->notes);
    text_list_release(&r->tags);
    free(r->transaction);
    free(r->transaction_only);
    free(r->suspicion);
    *r = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
}

void small_record_release(struct small_record *r)
{
    text_list_release(&r->targets);
    free(r->reason);
    *r = (struct small_record)SMALL_RECORD_INIT;
}

/* ---- writing ---- */

static void put_bytes(struct json *object, const char *key, const char *text)
{
    if (text)
        json_put_bytes(object, key, text, strlen(text));
}

static void put_id(struct json *object, const char *key, const struct chunk_id *id)
{
    unsigned char bytes[CHUNK_ID_LEN];
    char hex[2 * CHUNK_ID_LEN + 1];

    chunk_id_encode(id, bytes);
    hex_encode(bytes, sizeof(bytes), hex);
    json_put_text(object, key, hex);
}

static void push_id(struct json *array, const struct chunk_id *id)
{
    unsigned char bytes[CHUNK_ID_LEN];
    char hex[2 * CHUNK_ID_LEN + 1];

    chunk_id_encode(id, bytes);
    hex_encode(bytes, sizeof(bytes), hex);
    json_push_text(array, hex);
}

/* Lines of any bytes, as [{"line": …}]; what passes the limit is counted in the last one, never dropped in silence. */
static void put_lines(struct json *object, const char *key, const struct text_list *lines)
{
    struct json *array = json_array();
    size_t used = 0;

    for (size_t i = 0; i < lines->count; i++) {
        struct json *line = json_object();

        used += strlen(lines->items[i]) + 16;
        if (used > RECORD_LINES_MAX) {
            char more[64];

            snprintf(more, sizeof(more), "and %zu more", lines->count - i);
            put_bytes(line, "line", more);
            i = lines->count;
        } else {
            put_bytes(line, "line", lines->items[i]);
        }
        json_push(array, line);
    }
    json_put(object, key, array);
}

/* These are applied again, so none may be cut: a record that would be too long is refused as a whole. */
static void put_patterns(struct json *object, const struct text_list *patterns)
{
    struct json *array = json_array();

    for (size_t i = 0; i < patterns->count; i++) {
        struct json *line = json_object();

        put_bytes(line, "line", patterns->items[i]);
        json_push(array, line);
    }
    json_put(object, "patterns", array);
}

static struct json *site_json(const struct snapshot_record *r)
{
    struct json *site = json_object();

    put_bytes(site, "id", r->site_id);
    put_bytes(site, "path", r->site_path);
    put_bytes(site, "name", r->site_name);
    return site;
}

static struct json *roots_json(const struct snapshot_record *r)
{
    struct json *roots = json_array();

    for (size_t i = 0; i < r->root_count; i++) {
        struct json *root = json_object();

        put_bytes(root, "name", r->roots[i].name);
        put_bytes(root, "path", r->roots[i].path);
        put_id(root, "tree", &r->roots[i].tree);
        json_put_number(root, "files", (int64_t)r->roots[i].files);
        json_put_number(root, "bytes", (int64_t)r->roots[i].bytes);
        json_push(roots, root);
    }
    return roots;
}

static void push_left_out(struct json *array, const struct snapshot_left_out *l)
{
    struct json *one = json_object();

    put_bytes(one, "path", l->path);
    put_bytes(one, "reason", l->reason);
    json_put_number(one, "files", (int64_t)l->files);
    json_put_number(one, "bytes", (int64_t)l->bytes);
    json_push(array, one);
}

/* What finds no room is added up in a last one, as a snapshot does with what it can't list. */
static struct json *left_out_json(const struct snapshot_record *r)
{
    char everywhere[] = ".", further[] = "further paths";
    struct snapshot_left_out rest = {.path = everywhere, .reason = further};
    struct json *array = json_array();
    size_t used = 0;

    for (size_t i = 0; i < r->left_out_count; i++) {
        const struct snapshot_left_out *l = &r->left_out[i];

        if (used <= RECORD_LINES_MAX) {
            push_left_out(array, l);
            used += strlen(l->path) + strlen(l->reason) + 64;
            continue;
        }
        rest.files += l->files;
        rest.bytes += l->bytes;
    }
    if (used > RECORD_LINES_MAX && (rest.files > 0 || rest.bytes > 0))
        push_left_out(array, &rest);
    return array;
}

static enum error_kind put_dump(struct json *root, const struct snapshot_record *r, struct error *err)
{
    struct json *dump;
    struct json *facts = NULL;
    enum error_kind rc = OK;

    if (!r->has_dump)
        return OK;
    if (r->dump_facts)
        rc = json_parse(r->dump_facts, strlen(r->dump_facts), &facts, err);
    if (rc) {
        error_context(err, "the database's description");
        return rc;
    }
    dump = json_object();
    put_id(dump, "list", &r->dump);
    json_put_number(dump, "bytes", (int64_t)r->dump_bytes);
    if (facts)
        json_put(dump, "facts", facts);
    json_put(root, "dump", dump);
    return OK;
}

static void put_transaction(struct json *root, const struct snapshot_record *r)
{
    struct json *transaction;

    if (!r->transaction)
        return;
    transaction = json_object();
    put_bytes(transaction, "id", r->transaction);
    put_bytes(transaction, "only", r->transaction_only);
    json_put(root, "transaction", transaction);
}

static struct json *snapshot_json(const struct snapshot_record *r)
{
    struct json *root = json_object();
    struct json *window = json_object();
    struct json *links = json_array();
    struct json *nop = json_object();
    struct json *growth = json_object();

    json_put_text(root, "record", "snapshot");
    json_put_text(root, "id", r->id);
    json_put_number(root, "made", r->made_ns);
    put_bytes(root, "host", r->host);
    put_bytes(root, "host_id", r->host_id);
    put_bytes(root, "tool", r->tool);
    json_put(root, "site", site_json(r));
    json_put_text(root, "kind", kind_names[r->kind]);
    json_put_text(root, "mode", r->stopped ? "stopped" : "online");
    if (r->part != SNAPSHOT_WHOLE)
        json_put_text(root, "partial", r->part == SNAPSHOT_FILES_ONLY ? "files" : "database");
    json_put_number(window, "from", r->from_ns);
    json_put_number(window, "to", r->to_ns);
    json_put(root, "window", window);
    json_put(root, "roots", roots_json(r));
    for (size_t i = 0; i < r->link_count; i++)
        push_id(links, &r->links[i]);
    json_put(root, "links", links);
    put_bytes(nop, "version", r->nop_version);
    put_bytes(nop, "layout", r->nop_layout);
    json_put(root, "nop", nop);
    json_put(root, "left_out", left_out_json(r));
    put_patterns(root, &r->patterns);
    put_lines(root, "unread", &r->unread);
    put_lines(root, "notes", &r->notes);
    put_lines(root, "tags", &r->tags);
    put_transaction(root, r);
    json_put_number(growth, "new", (int64_t)r->bytes_new);
    json_put_number(growth, "stored", (int64_t)r->bytes_stored);
    json_put(root, "growth", growth);
    if (r->suspicious)
        put_bytes(root, "suspicion", r->suspicion ? r->suspicion : "");
    return root;
}

static enum error_kind print_record(struct json *root, struct buffer *out, struct error *err)
{
    enum error_kind rc = json_print(root, out, err);

    if (!rc && out->len > RECORD_LEN_MAX)
        rc = error_set(err, ERR_REFUSED, 0, "the record would take %zu bytes", out->len);
    return rc;
}

enum error_kind snapshot_record_encode(const struct snapshot_record *r, struct buffer *out, struct error *err)
{
    struct json *root = NULL;
    enum error_kind rc;

    assert(record_id_valid(r->id) && r->root_count <= SNAPSHOT_ROOTS_MAX && (size_t)r->kind < KINDS);
    root = snapshot_json(r);
    rc = put_dump(root, r, err);
    if (!rc)
        rc = print_record(root, out, err);
    json_free(root);
    if (rc)
        error_context(err, "the record of the snapshot");
    return rc;
}

enum error_kind small_record_encode(const struct small_record *r, struct buffer *out, struct error *err)
{
    struct json *root = json_object();
    struct json *targets = json_array();
    enum error_kind rc;

    assert(record_id_valid(r->id));
    json_put_text(root, "record", small_name(r->type));
    json_put_text(root, "id", r->id);
    json_put_number(root, "made", r->made_ns);
    json_put_text(root, "tool", "nopsnap " NOPSNAP_VERSION);
    for (size_t i = 0; i < r->targets.count; i++)
        json_push_text(targets, r->targets.items[i]);
    json_put(root, "of", targets);
    if (r->type == CHUNK_HOLD) {
        put_bytes(root, "reason", r->reason ? r->reason : "");
        json_put_text(root, "by", r->by_person ? "person" : "upgrade");
        json_put_number(root, "until", r->until_ns);
    }
    rc = print_record(root, out, err);
    json_free(root);
    return rc;
}

/* ---- reading: the first thing that is wrong sticks, so that a decoder reads as a list of members ---- */

struct decoder {
    enum error_kind rc;
    struct error *err;
};

static void wrong(struct decoder *d, const char *member)
{
    if (!d->rc)
        d->rc = error_set(d->err, ERR_CORRUPT, 0, "a record's member \"%s\" is missing or makes no sense", member);
}

/* NULL when the member is absent, which is wrong only if it is needed. */
static char *take_text(struct decoder *d, struct json *object, const char *key, bool needed)
{
    struct buffer text = BUFFER_INIT(RECORD_LEN_MAX);
    struct json *v = json_get(object, key);

    if (d->rc || (!v && !needed))
        return NULL;
    if (!json_text(v)) {
        wrong(d, key);
        return NULL;
    }
    d->rc = json_bytes(v, &text, d->err);
    if (!d->rc && text.len > 0 && memchr(text.data, '\0', text.len))
        wrong(d, key);
    if (d->rc) {
        buffer_release(&text);
        return NULL;
    }
    return buffer_detach(&text);
}

static uint64_t take_count(struct decoder *d, struct json *object, const char *key)
{
    int64_t n = json_number(json_get(object, key), -1);

    if (n < 0)
        wrong(d, key);
    return n < 0 ? 0 : (uint64_t)n;
}

static int64_t take_moment(struct decoder *d, struct json *object, const char *key)
{
    int64_t n = json_number(json_get(object, key), INT64_MIN);

    if (n == INT64_MIN)
        wrong(d, key);
    return n;
}

static void take_chunk(struct decoder *d, struct json *v, const char *key, struct chunk_id *out)
{
    const char *hex = json_text(v);
    unsigned char bytes[CHUNK_ID_LEN];

    if (!hex || hex_decode(hex, sizeof(bytes), bytes) != 0)
        wrong(d, key);
    else
        chunk_id_decode(bytes, out);
}

static void take_record_id(struct decoder *d, struct json *v, const char *key, char out[RECORD_ID_LEN + 1])
{
    const char *id = json_text(v);

    if (!id || !record_id_valid(id))
        wrong(d, key);
    else
        memcpy(out, id, RECORD_ID_LEN + 1);
}

static void take_lines(struct decoder *d, struct json *object, const char *key, struct text_list *out)
{
    struct json *array = json_get(object, key);

    for (size_t i = 0; !d->rc && i < json_length(array); i++) {
        char *line = take_text(d, json_at(array, i), "line", true);

        if (!d->rc)
            d->rc = text_list_add(out, line, d->err);
        free(line);
    }
}

static bool is_word(struct json *object, const char *key, const char *word)
{
    const char *text = json_text(json_get(object, key));

    return text && strcmp(text, word) == 0;
}

static void take_kind(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    size_t kind = 0;

    while (kind < KINDS && !is_word(root, "kind", kind_names[kind]))
        kind++;
    if (kind == KINDS)
        wrong(d, "kind");
    else
        r->kind = (enum snapshot_kind)kind;
    r->stopped = is_word(root, "mode", "stopped");
    if (!r->stopped && !is_word(root, "mode", "online"))
        wrong(d, "mode");
    if (is_word(root, "partial", "files"))
        r->part = SNAPSHOT_FILES_ONLY;
    else if (is_word(root, "partial", "database"))
        r->part = SNAPSHOT_DATABASE_ONLY;
    else if (json_get(root, "partial"))
        wrong(d, "partial");
}

static void take_site(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    struct json *site = json_get(root, "site");
    struct json *nop = json_get(root, "nop");
    unsigned char bytes[8];

    r->site_id = take_text(d, site, "id", true);
    if (!d->rc && hex_decode(r->site_id, sizeof(bytes), bytes) != 0)
        wrong(d, "site.id");
    r->site_path = take_text(d, site, "path", true);
    r->site_name = take_text(d, site, "name", false);
    r->host = take_text(d, root, "host", false);
    r->host_id = take_text(d, root, "host_id", false);
    r->tool = take_text(d, root, "tool", false);
    r->nop_version = take_text(d, nop, "version", false);
    r->nop_layout = take_text(d, nop, "layout", false);
}

/* A restore joins the name to its target, and a rollback writes where the path leads (P11). */
static void check_root(struct decoder *d, const struct snapshot_root *root)
{
    if (!d->rc && !name_is_safe((const unsigned char *)root->name, strlen(root->name)))
        wrong(d, "roots.name");
    if (!d->rc && !path_is_safe_absolute(root->path))
        wrong(d, "roots.path");
}

static void take_roots(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    struct json *roots = json_get(root, "roots");

    if (json_length(roots) > SNAPSHOT_ROOTS_MAX)
        wrong(d, "roots");
    for (size_t i = 0; !d->rc && i < json_length(roots); i++) {
        struct json *v = json_at(roots, i);
        struct snapshot_root *to = &r->roots[r->root_count++];

        to->name = take_text(d, v, "name", true);
        to->path = take_text(d, v, "path", true);
        check_root(d, to);
        take_chunk(d, json_get(v, "tree"), "roots.tree", &to->tree);
        to->files = take_count(d, v, "files");
        to->bytes = take_count(d, v, "bytes");
        for (size_t j = 0; !d->rc && j < i; j++)
            if (strcmp(r->roots[j].name, to->name) == 0)
                wrong(d, "roots.name");
    }
}

static void take_links(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    struct json *links = json_get(root, "links");
    size_t count = json_length(links);
    void *memory = NULL;

    if (d->rc || count == 0)
        return;
    d->rc = memory_zeroed(count, sizeof(*r->links), &memory, d->err);
    if (d->rc)
        return;
    r->links = memory;
    r->link_count = count;
    for (size_t i = 0; i < count; i++)
        take_chunk(d, json_at(links, i), "links", &r->links[i]);
}

static void take_dump(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    struct json *dump = json_get(root, "dump");
    struct json *facts = json_get(dump, "facts");
    struct buffer text = BUFFER_INIT(RECORD_LEN_MAX);

    if (!dump || d->rc)
        return;
    take_chunk(d, json_get(dump, "list"), "dump.list", &r->dump);
    r->dump_bytes = take_count(d, dump, "bytes");
    r->has_dump = true;
    if (d->rc || !facts)
        return;
    d->rc = json_print(facts, &text, d->err);
    if (d->rc)
        buffer_release(&text);
    else
        r->dump_facts = buffer_detach(&text);
}

static void take_left_out(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    struct json *array = json_get(root, "left_out");
    size_t count = json_length(array);
    void *memory = NULL;

    if (d->rc || count == 0)
        return;
    d->rc = memory_zeroed(count, sizeof(*r->left_out), &memory, d->err);
    if (d->rc)
        return;
    r->left_out = memory;
    r->left_out_count = count;
    for (size_t i = 0; !d->rc && i < count; i++) {
        struct json *v = json_at(array, i);

        r->left_out[i].path = take_text(d, v, "path", true);
        r->left_out[i].reason = take_text(d, v, "reason", true);
        r->left_out[i].files = take_count(d, v, "files");
        r->left_out[i].bytes = take_count(d, v, "bytes");
    }
}

static void take_rest(struct decoder *d, struct json *root, struct snapshot_record *r)
{
    struct json *window = json_get(root, "window");
    struct json *growth = json_get(root, "growth");
    struct json *transaction = json_get(root, "transaction");

    take_record_id(d, json_get(root, "id"), "id", r->id);
    r->made_ns = take_moment(d, root, "made");
    r->from_ns = take_moment(d, window, "from");
    r->to_ns = take_moment(d, window, "to");
    take_lines(d, root, "patterns", &r->patterns);
    take_lines(d, root, "unread", &r->unread);
    take_lines(d, root, "notes", &r->notes);
    take_lines(d, root, "tags", &r->tags);
    if (transaction) {
        r->transaction = take_text(d, transaction, "id", true);
        r->transaction_only = take_text(d, transaction, "only", false);
    }
    r->bytes_new = take_count(d, growth, "new");
    r->bytes_stored = take_count(d, growth, "stored");
    r->suspicion = take_text(d, root, "suspicion", false);
    r->suspicious = r->suspicion != NULL;
}

static enum error_kind parse_record(const void *bytes, size_t len, const char *name, struct json **out,
                                    struct error *err)
{
    enum error_kind rc;

    if (len > RECORD_LEN_MAX)
        return error_set(err, ERR_CORRUPT, 0, "a record has %zu bytes", len);
    rc = json_parse(bytes, len, out, err);
    if (!rc && !is_word(*out, "record", name))
        rc = error_set(err, ERR_CORRUPT, 0, "a record does not say that it is a %s", name);
    return rc;
}

enum error_kind snapshot_record_decode(const void *bytes, size_t len, struct snapshot_record *out, struct error *err)
{
    struct snapshot_record r = SNAPSHOT_RECORD_INIT;
    struct json *root = NULL;
    struct decoder d = {OK, err};

    d.rc = parse_record(bytes, len, "snapshot", &root, err);
    if (!d.rc) {
        take_rest(&d, root, &r);
        take_kind(&d, root, &r);
        take_site(&d, root, &r);
        take_roots(&d, root, &r);
        take_links(&d, root, &r);
        take_dump(&d, root, &r);
        take_left_out(&d, root, &r);
    }
    json_free(root);
    if (d.rc) {
        snapshot_record_release(&r);
        return d.rc;
    }
    *out = r;
    return OK;
}

enum error_kind small_record_decode(enum chunk_type type, const void *bytes, size_t len, struct small_record *out,
                                    struct error *err)
{
    struct small_record r = SMALL_RECORD_INIT;
    struct json *root = NULL;
    struct json *targets;
    struct decoder d = {OK, err};

    d.rc = parse_record(bytes, len, small_name(type), &root, err);
    targets = json_get(root, "of");
    r.type = type;
    if (!d.rc) {
        take_record_id(&d, json_get(root, "id"), "id", r.id);
        r.made_ns = take_moment(&d, root, "made");
        if (json_length(targets) == 0)
            wrong(&d, "of");
    }
    for (size_t i = 0; !d.rc && i < json_length(targets); i++) {
        char id[RECORD_ID_LEN + 1] = "";

        take_record_id(&d, json_at(targets, i), "of", id);
        if (!d.rc)
            d.rc = text_list_add(&r.targets, id, err);
    }
    if (!d.rc && type == CHUNK_HOLD) {
        r.reason = take_text(&d, root, "reason", true);
        r.by_person = is_word(root, "by", "person");
        r.until_ns = take_moment(&d, root, "until");
    }
    json_free(root);
    if (d.rc) {
        small_record_release(&r);
        return d.rc;
    }
    *out = r;
    return OK;
}
