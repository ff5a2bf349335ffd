#include "drill_note.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define NOTES_MAX (1u << 20)

static enum error_kind path_of(const struct catalog *cat, const char *site_id, char **out, struct error *err)
{
    return memory_format(out, err, "%s/drill-%s.json", catalog_path(cat), site_id);
}

void drill_notes_release(struct drill_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        free(notes->items[i].folder);
    free(notes->items);
    *notes = (struct drill_notes)DRILL_NOTES_INIT;
}

static enum error_kind append(struct drill_notes *notes, const struct drill_note *note, struct error *err)
{
    struct drill_note *grown = reallocarray(notes->items, notes->count + 1, sizeof(*grown));

    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu notes of drills", notes->count);
    notes->items = grown;
    notes->items[notes->count++] = *note;
    return OK;
}

enum error_kind drill_notes_add(struct drill_notes *notes, const char *folder, const char *token, bool has_database,
                                struct error *err)
{
    struct drill_note note = {.has_database = has_database};
    char *parent = NULL;
    enum error_kind rc = path_parent(folder, &parent, err);

    memcpy(note.token, token, sizeof(note.token));
    if (!rc)
        rc = file_identity_at(AT_FDCWD, parent, &note.parent, err);
    if (!rc)
        rc = memory_string(folder, &note.folder, err);
    if (!rc)
        rc = append(notes, &note, err);
    if (rc)
        free(note.folder);
    free(parent);
    return rc;
}

void drill_notes_drop(struct drill_notes *notes, size_t which)
{
    free(notes->items[which].folder);
    notes->count--;
    memmove(&notes->items[which], &notes->items[which + 1], (notes->count - which) * sizeof(*notes->items));
}

size_t drill_notes_find(const struct drill_notes *notes, const char *token)
{
    size_t i = 0;

    while (i < notes->count && strcmp(notes->items[i].token, token) != 0)
        i++;
    return i;
}

bool drill_note_in_reach(const struct drill_note *note)
{
    struct error ignored = ERROR_INIT;
    struct file_identity now;
    char *parent = NULL;
    bool same = path_parent(note->folder, &parent, &ignored) == OK &&
                file_identity_at(AT_FDCWD, parent, &now, &ignored) == OK && file_identity_equal(&now, &note->parent);

    free(parent);
    return same;
}

/* ---- the file ---- */

static enum error_kind parse_note(struct json *v, struct drill_note *out, struct error *err)
{
    struct buffer folder = BUFFER_INIT(1u << 16);
    struct json *parent = json_get(v, "parent");
    const char *token = json_text(json_get(v, "token"));
    struct drill_note note = {.has_database = json_flag(json_get(v, "database"), true)};
    enum error_kind rc = json_bytes(json_get(v, "folder"), &folder, err);

    if (!rc && (!token || strlen(token) != SCRATCH_TOKEN_LEN ||
                strspn(token, "0123456789abcdef") != SCRATCH_TOKEN_LEN || memchr(folder.data, '\0', folder.len)))
        rc = error_set(err, ERR_CORRUPT, 0, "not a note of a drill");
    if (!rc)
        rc = memory_format(&note.folder, err, "%.*s", (int)folder.len, (const char *)folder.data);
    if (!rc && !path_is_safe_absolute(note.folder))
        rc = error_set(err, ERR_CORRUPT, 0, "not a note of a drill");
    if (!rc) {
        memcpy(note.token, token, sizeof(note.token));
        note.parent.inode = (uint64_t)json_number(json_get(parent, "inode"), 0);
        note.parent.birth_sec = json_number(json_get(parent, "birth_sec"), 0);
        note.parent.birth_nsec = (uint32_t)json_number(json_get(parent, "birth_nsec"), 0);
        *out = note;
    } else {
        free(note.folder);
    }
    buffer_release(&folder);
    return rc;
}

static enum error_kind parse(const struct buffer *text, struct drill_notes *out, struct error *err)
{
    struct json *all = NULL;
    struct json *list;
    enum error_kind rc = json_parse(text->data, text->len, &all, err);

    list = json_get(all, "left");
    for (size_t i = 0; !rc && i < json_length(list); i++) {
        struct drill_note note;

        rc = parse_note(json_at(list, i), &note, err);
        if (rc)
            break;
        rc = append(out, &note, err);
        if (rc)
            free(note.folder);
    }
    json_free(all);
    return rc;
}

enum error_kind drill_notes_load(const struct catalog *cat, const char *site_id, struct drill_notes *out,
                                 struct error *err)
{
    struct buffer text = BUFFER_INIT(NOTES_MAX);
    struct drill_notes notes = DRILL_NOTES_INIT;
    struct error why = ERROR_INIT;
    char *path = NULL;
    enum error_kind rc = path_of(cat, site_id, &path, err);

    if (!rc) {
        rc = file_read_whole(AT_FDCWD, path, NOTES_MAX, &text, &why);
        if (!rc)
            rc = parse(&text, &notes, &why);
        if (rc == ERR_NOT_FOUND)
            rc = OK;
        else if (rc)
            error_copy(err, &why);
        if (rc)
            error_context(err, "%s", path);
    }
    if (rc)
        drill_notes_release(&notes);
    else
        *out = notes;
    buffer_release(&text);
    free(path);
    return rc;
}

enum error_kind drill_notes_set_aside(const struct catalog *cat, const char *site_id, char **aside, struct error *err)
{
    char *path = NULL;
    char *to = NULL;
    enum error_kind rc = path_of(cat, site_id, &path, err);

    if (!rc)
        rc = memory_format(&to, err, "%s.unread-%lld", path, (long long)clock_now());
    if (!rc)
        rc = file_rename_new(AT_FDCWD, path, AT_FDCWD, to, err);
    if (!rc)
        *aside = to;
    else
        free(to);
    free(path);
    return rc;
}

static struct json *as_json(const struct drill_notes *notes)
{
    struct json *all = json_object();
    struct json *list = json_array();

    for (size_t i = 0; i < notes->count; i++) {
        const struct drill_note *n = &notes->items[i];
        struct json *v = json_object();
        struct json *parent = json_object();

        json_put_bytes(v, "folder", n->folder, strlen(n->folder));
        json_put_text(v, "token", n->token);
        json_put_flag(v, "database", n->has_database);
        json_put_number(parent, "inode", (int64_t)n->parent.inode);
        json_put_number(parent, "birth_sec", n->parent.birth_sec);
        json_put_number(parent, "birth_nsec", n->parent.birth_nsec);
        json_put(v, "parent", parent);
        json_push(list, v);
    }
    json_put(all, "left", list);
    return all;
}

enum error_kind drill_notes_save(const struct catalog *cat, const char *site_id, const struct drill_notes *notes,
                                 struct error *err)
{
    struct buffer text = BUFFER_INIT(NOTES_MAX);
    struct error gone = ERROR_INIT;
    struct json *all = NULL;
    char *path = NULL;
    enum error_kind rc = path_of(cat, site_id, &path, err);

    if (!rc && !notes->count) {
        rc = file_unlink(AT_FDCWD, path, &gone);
        if (rc == ERR_NOT_FOUND)
            rc = OK;
        else if (rc)
            error_copy(err, &gone);
    } else if (!rc) {
        all = as_json(notes);
        rc = json_print(all, &text, err);
        if (!rc)
            rc = file_replace_alone(path, text.data, text.len, 0600, err);
        json_free(all);
    }
    buffer_release(&text);
    free(path);
    return rc;
}
