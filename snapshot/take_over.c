/* Files that a snapshot has already become part of another one: what is taken over is ids, and what was said of them. */
#include <stdlib.h>
#include <string.h>

#include "left_out_internal.h"
#include "snapshot_internal.h"

static enum error_kind take_root(const struct snapshot_root *from, struct snapshot_record *record, struct error *err)
{
    struct snapshot_root *root = &record->roots[record->root_count];
    enum error_kind rc = memory_string(from->name, &root->name, err);

    if (!rc)
        rc = memory_string(from->path, &root->path, err);
    if (rc) {
        free(root->name);
        root->name = NULL;
        return rc;
    }
    root->tree = from->tree;
    root->files = from->files;
    root->bytes = from->bytes;
    record->root_count++;
    return OK;
}

static enum error_kind take_links(const struct snapshot_record *from, struct snapshot_record *record, struct error *err)
{
    enum error_kind rc;

    if (!from->link_count)
        return OK;
    rc = memory_zeroed(from->link_count, sizeof(*record->links), (void **)&record->links, err);
    if (rc)
        return rc;
    memcpy(record->links, from->links, from->link_count * sizeof(*record->links));
    record->link_count = from->link_count;
    return OK;
}

static enum error_kind take_lines(const struct text_list *from, struct text_list *to, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < from->count; i++)
        rc = text_list_add(to, from->items[i], err);
    return rc;
}

static enum error_kind take_said(const struct snapshot_record *from, struct snapshot_record *record, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < from->left_out_count; i++) {
        const struct snapshot_left_out *l = &from->left_out[i];

        rc = left_out_add_path(record, l->path, l->reason, l->files, l->bytes, err);
    }
    if (!rc)
        rc = take_lines(&from->unread, &record->unread, err);
    if (!rc)
        rc = take_lines(&from->notes, &record->notes, err);
    text_list_release(&record->patterns);
    return rc ? rc : take_lines(&from->patterns, &record->patterns, err);
}

enum error_kind take_over(struct taking *t, const struct snapshot_record *from, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < from->root_count; i++) {
        rc = take_root(&from->roots[i], record, err);
        t->result->files += from->roots[i].files;
        t->result->bytes += from->roots[i].bytes;
    }
    if (!rc)
        rc = take_links(from, record, err);
    record->from_ns = from->from_ns;
    record->to_ns = from->to_ns;
    return rc ? rc : take_said(from, record, err);
}
