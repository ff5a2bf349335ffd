/*
 * The conversion of settings: the first byte says which file of the old tree the rest is, and between which versions it goes. What is
 * watched for besides memory faults: the shop uses the same database afterwards, and no value that stands in a file comes out in a line
 * (P10).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "fuzz.h"
#include "settings_convert.h"

#define SECRET "Pa55;word" /* no name of a key or a plugin could be that */

static const struct {
    const char *file;
    const char *old;
    const char *fresh[4];
} kinds[] = {
    {"App_Data/Settings.txt", "3.90", {"3.90", "4.00", "4.30", "4.60"}},
    {"App_Data/dataSettings.json", "4.30", {"4.30", "4.40", "4.50", "4.90"}},
    {"App_Data/appsettings.json", "4.40", {"4.40", "4.50", "4.60", "4.90"}},
    {"App_Data/appsettings.json", "4.60", {"4.60", "4.70", "4.80", "4.90"}},
    {"appsettings.json", "4.00", {"4.00", "4.20", "4.40", "4.60"}},
    {"Web.config", "3.90", {"3.90", "4.00", "4.40", "4.60"}},
    {"App_Data/InstalledPlugins.txt", "3.90", {"3.90", "4.00", "4.20", "4.60"}},
    {"App_Data/installedPlugins.json", "4.00", {"4.00", "4.10", "4.20", "4.60"}},
    {"App_Data/plugins.json", "4.20", {"4.20", "4.30", "4.60", "4.90"}},
    {"web.config", "4.60", {"4.60", "4.70", "4.80", "4.90"}},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static char old_root[64];
static char new_root[64];

static const char release_root_json[] =
    "{\n  // of the release\n  \"Hosting\": {\n    \"UseHttpXForwardedProto\": false\n  },\n"
    "  \"Nop\": {\n    \"RedisEnabled\": false,\n    \"UseRedisForCaching\": false\n  }\n}\n";
static const char release_web_config[] =
    "<configuration><system.webServer><aspNetCore processPath='x'/></system.webServer></configuration>";

static void must_at(int condition, int line)
{
    if (condition)
        return;
    fprintf(stderr, "settings_fuzz.c:%d\n", line);
    abort();
}

#define must(condition) must_at(condition, __LINE__)

static void write_file(const char *root, const char *relative, const void *bytes, size_t len)
{
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", root, relative);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

static void remove_roots(void)
{
    struct error err = ERROR_INIT;

    (void)directory_remove_tree(AT_FDCWD, old_root, &err);
    (void)directory_remove_tree(AT_FDCWD, new_root, &err);
}

static void make_root(const char *root)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/App_Data", root);
    must(mkdir(root, 0700) == 0 && mkdir(path, 0700) == 0);
}

static void remove_file(const char *root, const char *relative)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", root, relative);
    (void)unlink(path);
}

static void put_release(void)
{
    write_file(new_root, "appsettings.json", release_root_json, sizeof(release_root_json) - 1);
    write_file(new_root, "web.config", release_web_config, sizeof(release_web_config) - 1);
}

/* A release that stays, and a shop with a database: of 3.x and up to 4.40 in a file beside the one looked at. */
static void make_roots(void)
{
    snprintf(old_root, sizeof(old_root), "/tmp/nsfuzz-old%ld", (long)getpid());
    snprintf(new_root, sizeof(new_root), "/tmp/nsfuzz-new%ld", (long)getpid());
    must(atexit(remove_roots) == 0);
    make_root(old_root);
    make_root(new_root);
    put_release();
}

static void put_database(const char *version)
{
    static const char txt[] = "DataProvider: sqlserver\nDataConnectionString: Data Source=h;Password=" SECRET "\n";
    static const char json[] =
        "{\"DataProvider\": \"sqlserver\", \"DataConnectionString\": \"Data Source=h;Password=" SECRET "\"}";

    if (version[0] == '3')
        write_file(old_root, "App_Data/Settings.txt", txt, sizeof(txt) - 1);
    else if (strcmp(version, "4.50") < 0)
        write_file(old_root, "App_Data/dataSettings.json", json, sizeof(json) - 1);
}

/* Names of plugins and of what stands in web.config are shown as they are, and the fuzzer puts the secret there too. */
static void check_lines(const struct text_list *list, const char *file)
{
    if (strcasestr(file, "plugins") || strcasestr(file, "web.config"))
        return;
    for (size_t i = 0; i < list->count; i++)
        must(!strstr(list->items[i], SECRET));
}

/* Each as its version reads it. */
static void check_connection(const struct site_version *old, const struct site_version *fresh)
{
    struct site_connection was = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct site_connection is = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct error err = ERROR_INIT;

    must(site_connection_read(old_root, old, false, &was, &err) == OK);
    must(site_connection_read(new_root, fresh, false, &is, &err) == OK);
    must((was.string == NULL) == (is.string == NULL));
    must(!was.string || (strcmp(was.string, is.string) == 0 && strcmp(was.provider, is.provider) == 0));
    site_connection_release(&was);
    site_connection_release(&is);
}

static void convert(const char *file, const char *from, const char *to)
{
    struct site_version old;
    struct site_version fresh;
    struct site_settings_request request = {old_root, &old, new_root, &fresh, NULL, NULL};
    struct site_settings settings = SITE_SETTINGS_INIT;
    struct error err = ERROR_INIT;
    int old_fd = open(old_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int new_fd = open(new_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    must(old_fd >= 0 && new_fd >= 0);
    must(site_version_parse(from, &old, &err) == OK && site_version_parse(to, &fresh, &err) == OK);
    if (!site_settings_convert(&request, &settings, &err)) {
        check_lines(&settings.moved, file);
        check_lines(&settings.left, file);
        check_lines(&settings.lost, file);
        check_lines(&settings.warnings, file);
        must(site_settings_place(&settings, old_fd, new_fd, &err) == OK);
        check_connection(&old, &fresh);
    }
    must(!strstr(err.text, SECRET) && !strstr(err.hint, SECRET));
    for (size_t i = 0; i < settings.count; i++)
        remove_file(new_root, settings.files[i].path);
    if (settings.count > 0)
        put_release();
    site_settings_release(&settings);
    close(old_fd);
    close(new_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    size_t kind;
    size_t pair;

    if (!old_root[0])
        make_roots();
    if (len < 2)
        return 0;
    kind = (size_t)(bytes[0] - 'a') % KIND_COUNT;
    pair = (size_t)bytes[1] % 4;
    put_database(kinds[kind].old);
    write_file(old_root, kinds[kind].file, bytes + 2, len - 2);
    convert(kinds[kind].file, kinds[kind].old, kinds[kind].fresh[pair]);
    remove_file(old_root, kinds[kind].file);
    remove_file(old_root, "App_Data/Settings.txt");
    remove_file(old_root, "App_Data/dataSettings.json");
    return 0;
}
