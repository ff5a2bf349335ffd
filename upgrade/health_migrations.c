/*
 * MigrationVersionInfo: what was recorded stays recorded, and the new version has left its own rows.
 *
 * From 4.40 on a version is known by the descriptions of its rows ("nopCommerce version 4.80. Update Data", in older releases "4.40.0";
 * "SchemaMigration for 4.80.0"). Builds made in Debug never record the rows of the first sort, and minor releases date all of them anew, so
 * that no list of numbers fits every release of a version: one row by its name is what every one leaves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "health_internal.h"

enum { LINES_MAX = 10, FIRST_MIGRATING = 440, VERSION_MAX = 32 };

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

enum error_kind migrations_baseline(struct database *db, struct health_baseline *out, struct error *err)
{
    struct database_migrations now = {NULL, 0};
    void *memory = NULL;
    enum error_kind rc = database_migrations(db, &now, err);

    if (!rc)
        rc = memory_zeroed(now.count + 1, sizeof(*out->migrations), &memory, err);
    if (!rc) {
        out->migrations = memory;
        for (size_t i = 0; i < now.count; i++)
            out->migrations[i] = now.items[i].version;
        out->migration_count = now.count;
        qsort(out->migrations, now.count, sizeof(*out->migrations), by_value);
    }
    database_migrations_release(&now);
    return rc;
}

static bool is_recorded(const struct database_migrations *now, int64_t version)
{
    for (size_t i = 0; i < now->count; i++)
        if (now->items[i].version == version)
            return true;
    return false;
}

static enum error_kind check_list(const struct database_migrations *now, const int64_t *list, size_t count,
                                  const char *what, struct text_list *reasons, struct error *err)
{
    size_t missing = 0;
    enum error_kind rc = OK;

    for (size_t i = 0; i < count && !rc; i++) {
        if (!is_recorded(now, list[i]) && missing++ < LINES_MAX)
            rc = text_list_addf(reasons, err, "the migration %lld, %s, is not recorded", (long long)list[i], what);
    }
    if (!rc && missing > LINES_MAX)
        rc = text_list_addf(reasons, err, "and %zu more", missing - LINES_MAX);
    return rc;
}

/* ---- the target's own ---- */

/* Before 4.60 only the updates are known by their version's name, and a build made in Debug has none. */
static const struct {
    const char *version;
    int64_t number;
} known[] = {
    {"4.40", 637192635689037680}, /* Specification attribute grouping */
    {"4.50", 637691616000000000}, /* Pseudo-migration to update appSettings.json file */
};

struct marks {
    bool schema;
    bool data, localization, settings;
};

/* The text after "<prefix><version>[.0]"; NULL if the description does not begin so. */
static const char *after_version(const char *description, const char *prefix, const char *version)
{
    size_t len = strlen(prefix);

    if (strncmp(description, prefix, len) != 0)
        return NULL;
    description += len;
    len = strlen(version);
    if (strncmp(description, version, len) != 0)
        return NULL;
    description += len;
    return strncmp(description, ".0", 2) == 0 ? description + 2 : description;
}

static void mark(const struct database_migration *row, const char *version, struct marks *m)
{
    const char *description = row->description;
    const char *rest = after_version(description, "nopCommerce version ", version);

    if (rest) {
        m->data = m->data || strcmp(rest, ". Update Data") == 0;
        m->localization = m->localization || strcmp(rest, ". Update Localization") == 0;
        m->settings = m->settings || strcmp(rest, ". Update Settings") == 0;
    }
    rest = after_version(description, "SchemaMigration for ", version);
    if (!rest)
        rest = after_version(description, "AddIndexesMigration for ", version);
    m->schema = m->schema || (rest && *rest == '\0');
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        m->schema = m->schema || (row->version == known[i].number && strcmp(version, known[i].version) == 0);
}

/* "4.80" of "4.80.4"; false before 4.40, whose scripts do not record themselves. */
static bool version_name(const char *target, char out[VERSION_MAX])
{
    int major = 0;
    int minor = 0;

    if (sscanf(target, "%2d.%2d", &major, &minor) != 2 || major * 100 + minor < FIRST_MIGRATING)
        return false;
    (void)snprintf(out, VERSION_MAX, "%d.%02d", major, minor);
    return true;
}

static enum error_kind check_target(const char *target, const struct database_migrations *now,
                                    struct text_list *reasons, struct text_list *warnings, struct error *err)
{
    struct marks m = {false, false, false, false};
    char version[VERSION_MAX];
    int updates;

    if (!target || !version_name(target, version))
        return OK;
    for (size_t i = 0; i < now->count; i++)
        mark(&now->items[i], version, &m);
    updates = m.data + m.localization + m.settings;
    if (!m.schema && updates == 0)
        return text_list_addf(reasons, err, "no migration of nopCommerce %s is recorded in MigrationVersionInfo",
                              version);
    if (updates == 0 || updates == 3)
        return OK;
    return text_list_addf(warnings, err, "of the updates of nopCommerce %s these are not recorded:%s%s%s", version,
                          m.data ? "" : " Data", m.localization ? "" : " Localization", m.settings ? "" : " Settings");
}

enum error_kind migrations_check(const struct health_options *o, const struct health_baseline *before,
                                 const struct database_migrations *now, struct text_list *reasons,
                                 struct text_list *warnings, struct error *err)
{
    enum error_kind rc = OK;

    if (before)
        rc = check_list(now, before->migrations, before->migration_count, "recorded before the upgrade", reasons, err);
    if (!rc && o->expected)
        rc = check_list(now, o->expected, o->expected_count, "which this release makes", reasons, err);
    return rc ? rc : check_target(o->target, now, reasons, warnings, err);
}
