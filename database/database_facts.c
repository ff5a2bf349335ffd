/*
 * What a snapshot records about a dump, as JSON and back. The text comes back from a catalogue, so that it is checked
 * like anything from outside (P11): types, ranges, the number of tables.
 */
#include <stdlib.h>
#include <string.h>

#include "database_internal.h"
#include "json.h"

void database_info_release(struct database_info *info)
{
    free(info->name);
    free(info->server_version);
    free(info->identity);
    free(info->why_in_place);
    free(info->picture_path);
    text_list_release(&info->obstacles);
    text_list_release(&info->remarks);
    text_list_release(&info->unreadable);
    *info = (struct database_info)DATABASE_INFO_INIT;
}

void database_facts_release(struct database_facts *f)
{
    free(f->database);
    free(f->server_version);
    free(f->tool_version);
    free(f->format);
    free(f->properties);
    free(f->picture_path);
    database_counts_release(&f->counts);
    text_list_release(&f->warnings);
    *f = (struct database_facts)DATABASE_FACTS_INIT;
}

void database_swap_release(struct database_swap *s)
{
    free(s->live);
    free(s->beside);
    free(s->kept);
    free(s->old_identity);
    free(s->new_identity);
    free(s->saved);
    *s = (struct database_swap)DATABASE_SWAP_INIT;
}

static const char *const engine_words[] = {"none", "postgresql", "mysql", "sqlserver"};

static void put_optional(struct json *object, const char *key, const char *text)
{
    if (text)
        json_put_text(object, key, text);
}

enum error_kind database_facts_encode(const struct database_facts *facts, struct buffer *out, struct error *err)
{
    struct json *root = json_object();
    struct json *tables = json_array();
    struct json *warnings = json_array();
    enum error_kind rc;

    json_put_text(root, "engine", engine_words[facts->engine]);
    put_optional(root, "database", facts->database);
    put_optional(root, "server_version", facts->server_version);
    put_optional(root, "tool_version", facts->tool_version);
    put_optional(root, "format", facts->format);
    put_optional(root, "properties", facts->properties);
    json_put_number(root, "moment_ns", facts->moment_ns);
    put_optional(root, "picture_path", facts->picture_path);
    json_put_flag(root, "pictures_in_database", facts->pictures_in_database);
    json_put_flag(root, "is_nopcommerce", facts->is_nopcommerce);
    for (size_t i = 0; i < facts->counts.count; i++) {
        const struct database_table *t = &facts->counts.tables[i];
        struct json *row = json_object();

        json_put_text(row, "name", t->name);
        json_put_number(row, "rows", (int64_t)t->rows);
        json_put_number(row, "max_id", t->max_id);
        json_push(tables, row);
    }
    json_put(root, "tables", tables);
    for (size_t i = 0; i < facts->warnings.count; i++)
        json_push_text(warnings, facts->warnings.items[i]);
    json_put(root, "warnings", warnings);
    rc = json_print(root, out, err);
    json_free(root);
    return rc;
}

static enum error_kind get_optional(struct json *object, const char *key, char **out, struct error *err)
{
    const char *text = json_text(json_get(object, key));

    return text ? memory_string(text, out, err) : OK;
}

static enum error_kind decode_engine(struct json *root, enum database_engine *out, struct error *err)
{
    const char *word = json_text(json_get(root, "engine"));

    for (size_t i = 1; word && i < sizeof engine_words / sizeof engine_words[0]; i++)
        if (strcmp(word, engine_words[i]) == 0) {
            *out = (enum database_engine)i;
            return OK;
        }
    return error_set(err, ERR_CORRUPT, 0, "the record of a dump names no database engine that is known");
}

static enum error_kind decode_tables(struct json *tables, struct database_counts *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < json_length(tables); i++) {
        struct json *row = json_at(tables, i);
        const char *name = json_text(json_get(row, "name"));
        int64_t rows = json_number(json_get(row, "rows"), -1);

        if (!name || rows < 0)
            rc = error_set(err, ERR_CORRUPT, 0, "the record of a dump has a table without name or rows");
        else
            rc = database_counts_add(out, name, (uint64_t)rows, json_number(json_get(row, "max_id"), -1), err);
    }
    if (!rc)
        database_counts_sort(out);
    return rc;
}

enum error_kind database_facts_decode(const void *bytes, size_t len, struct database_facts *out, struct error *err)
{
    static const char *const keys[] = {"database", "server_version", "tool_version",
                                       "format",   "properties",     "picture_path"};
    struct database_facts facts = DATABASE_FACTS_INIT;
    char **const places[] = {&facts.database, &facts.server_version, &facts.tool_version,
                             &facts.format,   &facts.properties,     &facts.picture_path};
    struct json *root = NULL;
    struct json *warnings = NULL;
    enum error_kind rc;

    rc = json_parse(bytes, len, &root, err);
    if (rc)
        goto done;
    rc = decode_engine(root, &facts.engine, err);
    for (size_t i = 0; !rc && i < sizeof keys / sizeof keys[0]; i++)
        rc = get_optional(root, keys[i], places[i], err);
    if (rc)
        goto done;
    if (!facts.database || !facts.format) {
        rc = error_set(err, ERR_CORRUPT, 0, "the record of a dump names no database or no format");
        goto done;
    }
    facts.moment_ns = json_number(json_get(root, "moment_ns"), 0);
    facts.pictures_in_database = json_flag(json_get(root, "pictures_in_database"), false);
    facts.is_nopcommerce = json_flag(json_get(root, "is_nopcommerce"), false);
    rc = decode_tables(json_get(root, "tables"), &facts.counts, err);
    if (rc)
        goto done;
    warnings = json_get(root, "warnings");
    for (size_t i = 0; !rc && i < json_length(warnings); i++) {
        const char *line = json_text(json_at(warnings, i));

        if (line)
            rc = text_list_add(&facts.warnings, line, err);
    }
    if (rc)
        goto done;
    *out = facts;
    facts = (struct database_facts)DATABASE_FACTS_INIT;

done:
    if (rc)
        error_context(err, "reading the record of a database dump");
    database_facts_release(&facts);
    json_free(root);
    return rc;
}
