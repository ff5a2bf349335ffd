/*
 * Everything that is read from a site: the first byte says which kind of file the rest is. Besides memory faults,
 * what is watched for is P10: a value that stands in a settings file must not come out in an error.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "site_internal.h"
#include "site_unit_internal.h"

#define SECRET "Pa55word"

static const char *const files[] = {
    "App_Data/Settings.txt",      "App_Data/dataSettings.json", "App_Data/appsettings.json",      "web.config",
    "Plugins/Misc.A/plugin.json", "Nop.Web.deps.json",          "Plugins/Misc.A/Description.txt", "Nop.Core.dll",
};

#define FILE_KINDS (sizeof(files) / sizeof(files[0]))

/* A place for the one file, made once and left to the system's cleaning: one name for each process. */
static const char *root(void)
{
    static char path[64];
    char folder[128];

    if (path[0])
        return path;
    snprintf(path, sizeof(path), "/tmp/nsfuzz%ld", (long)getpid());
    if (mkdir(path, 0700))
        abort();
    for (size_t i = 0; i < 3; i++) {
        static const char *const folders[] = {"App_Data", "Plugins", "Plugins/Misc.A"};

        snprintf(folder, sizeof(folder), "%s/%s", path, folders[i]);
        if (mkdir(folder, 0700))
            abort();
    }
    return path;
}

static void remove_root(void)
{
    static const char *const folders[] = {"App_Data", "Plugins/Misc.A", "Plugins", "."};
    char path[128];

    for (size_t i = 0; i < FILE_KINDS; i++) {
        snprintf(path, sizeof(path), "%s/%s", root(), files[i]);
        (void)unlink(path);
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), i < 3 ? "%s/%s" : "%s", root(), folders[i]);
        (void)rmdir(path);
    }
}

static void check_secret(const struct error *err)
{
    if (strstr(err->text, SECRET) || strstr(err->hint, SECRET))
        abort();
}

static void read_site(void)
{
    static const char *const versions[] = {"3.90", "4.30", "4.40", "4.60"};
    struct site_environment environment = SITE_ENVIRONMENT_INIT;
    struct text_list remarks = TEXT_LIST_INIT;
    struct text_list warnings = TEXT_LIST_INIT;
    struct site_notes notes = {&remarks, &warnings};
    struct site_version version = {0, 0, -1, ""};
    struct error err = ERROR_INIT;
    char *source = NULL;

    (void)site_version_detect(root(), SITE_CORE, &version, &source, &notes, &err);
    free(source);
    error_clear(&err);
    if (site_webconfig_environment(root(), &environment, &err))
        check_secret(&err);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};

        error_clear(&err);
        if (site_version_parse(versions[i], &version, &err))
            abort();
        if (site_settings_resolve(root(), &version, &environment, "Production", &c, &notes, &err))
            check_secret(&err);
        else if ((c.form == SITE_SETTINGS_NONE) != (c.string == NULL) || (c.string && !c.provider))
            abort();
        site_connection_release(&c);
    }
    for (size_t i = 0; i < warnings.count; i++) {
        if (strstr(warnings.items[i], SECRET))
            abort();
    }
    text_list_release(&remarks);
    text_list_release(&warnings);
    site_environment_release(&environment);
}

static void as_file(const char *relative, const uint8_t *bytes, size_t len)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", root(), relative);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd))
        abort();
    read_site();
    (void)unlink(path);
}

static enum error_kind ignore_entry(void *arg, const char *section, const char *key, const char *value, unsigned line,
                                    struct error *err)
{
    (void)arg;
    (void)err;
    if (!section || !key || !value || line == 0)
        abort();
    return OK;
}

/* What was spliced in is what is read afterwards; and a second splice of the same changes nothing. */
static void as_splice(enum site_settings_form form, const uint8_t *bytes, size_t len)
{
    static const char value[] = "Host=h;Password=\"\\x";
    struct buffer once = BUFFER_INIT(1 << 20);
    struct buffer twice = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    if (!site_connection_splice(form, bytes, len, value, &once, &err)) {
        if (site_connection_splice(form, once.data, once.len, value, &twice, &err) || twice.len != once.len ||
            memcmp(twice.data, once.data, once.len) != 0)
            abort();
    }
    check_secret(&err);
    buffer_release(&once);
    buffer_release(&twice);
}

static void as_text(unsigned kind, char *text)
{
    struct unit unit = UNIT_INIT;
    struct error err = ERROR_INIT;

    if (kind == 0 && unit_apply(&unit, text, "x.service", &err))
        check_secret(&err);
    if (kind == 1 && unit_environment_apply(&unit.environment, text, "x.env", &err))
        check_secret(&err);
    if (kind == 2)
        (void)site_ini_parse(text, "x.conf", ignore_entry, NULL, &err);
    unit_release(&unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static int ready;
    unsigned kind;
    char *text;

    if (!ready) {
        (void)root();
        ready = atexit(remove_root) == 0;
    }
    if (len == 0)
        return 0;
    kind = (unsigned)(bytes[0] - 'a') % (FILE_KINDS + 6);
    bytes++;
    len--;
    if (kind < FILE_KINDS) {
        as_file(files[kind], bytes, len);
        return 0;
    }
    if (kind < FILE_KINDS + 3) {
        as_splice((enum site_settings_form)(SITE_SETTINGS_TXT + (kind - FILE_KINDS)), bytes, len);
        return 0;
    }
    text = malloc(len + 1);
    if (!text)
        return 0;
    memcpy(text, bytes, len);
    text[len] = '\0';
    as_text(kind - (unsigned)FILE_KINDS - 3, text);
    free(text);
    return 0;
}
