/* Releases from archives and folders: what comes out is what was put in, and what is hostile is refused before anything is written. */
#include "release_support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "buffer.h"
#include "file.h"
#include "release_internal.h"

#define MOMENT 1700000000
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct release_options small_reserve = {.limits = {.reserve = 1}};

static void fail_with(const struct error *err)
{
    fail_msg("%s (hint: %s)", err->text, err->hint);
}

static struct release *opened(const char *path)
{
    struct error err = ERROR_INIT;
    struct release *r = NULL;

    if (release_open(path, &small_reserve, NULL, &r, &err))
        fail_with(&err);
    return r;
}

static int target_make(const char *name)
{
    int fd;

    assert_int_equal(mkdir(name, 0700), 0);
    fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void unpacked(struct release *r, const char *name)
{
    struct error err = ERROR_INIT;
    int fd = target_make(name);

    if (release_unpack(r, fd, RELEASE_SYNC_NONE, NULL, &err) || release_verify(r, fd, NULL, &err))
        fail_with(&err);
    close(fd);
}

/* Refused at the opening or at the unpacking, with these words, with nothing beside the target. */
static void refused(const char *path, enum error_kind kind, const char *words)
{
    struct error err = ERROR_INIT;
    struct release *r = NULL;
    struct stat st;
    enum error_kind rc = release_open(path, &small_reserve, NULL, &r, &err);
    int fd = -1;

    if (!rc) {
        fd = target_make("refusing");
        rc = release_unpack(r, fd, RELEASE_SYNC_NONE, NULL, &err);
        close(fd);
        assert_int_equal(system("rm -rf refusing"), 0);
    }
    release_free(r);
    if (rc != kind || !strstr(err.text, words))
        fail_msg("kind %d, text %s instead of kind %d, %s", (int)rc, err.text, (int)kind, words);
    assert_null(strchr(err.text, '\n'));
    assert_int_not_equal(stat("../evil", &st), 0);
    assert_int_not_equal(stat("evil", &st), 0);
}

static void bytes_write(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void check_tree(const char *root)
{
    for (size_t i = 0; i < shop_count; i++) {
        const struct made *m = &shop_entries[i];
        char path[512];
        struct stat st;
        char *bytes;
        size_t len;

        snprintf(path, sizeof(path), "%s/%s", root, m->name);
        assert_int_equal(lstat(path, &st), 0);
        if (m->type == MADE_FOLDER) {
            assert_int_equal(st.st_mode & 07777, 0755);
            continue;
        }
        bytes = content_of(path, &len);
        assert_int_equal(len, m->len ? m->len : strlen(m->content));
        assert_memory_equal(bytes, m->content, len);
        assert_int_equal(st.st_mode & 07777, strcmp(m->name, "Nop.Web") == 0 || m->mode == 0755 ? 0755 : 0644);
        assert_int_equal(st.st_mtim.tv_sec, MOMENT);
        free(bytes);
    }
}

static void check_facts(const struct release *r)
{
    const struct release_facts *f = release_facts(r);
    char line[128];

    assert_int_equal(f->layout, SITE_CORE);
    assert_string_equal(f->version.text, "4.80.9");
    assert_string_equal(f->version_source, "literal in Nop.Core.dll");
    assert_int_equal(f->system, RELEASE_LINUX);
    assert_string_equal(f->rid, "linux-x64");
    assert_true(f->self_contained);
    assert_string_equal(f->runtime, "Microsoft.AspNetCore.App 9.0.1");
    assert_int_equal(f->files, shop_count - 1);
    assert_int_equal(f->remarks.count, 0);
    release_flavour(f, line, sizeof(line));
    assert_string_equal(line, "linux-x64, self-contained");
}

static void check_list(const struct release *r)
{
    const struct release_list *list = release_list(r);

    for (size_t i = 1; i < list->count; i++)
        assert_true(release_path_compare(list->items[i - 1].path, list->items[i].path) < 0);
    for (size_t i = 0; i < shop_count; i++)
        assert_non_null(release_find(r, shop_entries[i].name));
    assert_true(release_find(r, "Plugins/Payments.Manual")->folder); /* only its content told of it */
    assert_true(release_find(r, "wwwroot")->folder);
    assert_null(release_find(r, "wwwroot/"));
    assert_null(release_find(r, "nowhere"));
    assert_int_equal(release_find(r, "Nop.Core.dll")->size, core_dll_len);
}

/* ---- what comes out ---- */

static void open__every_form_of_archive_gives_the_same_tree(void **state)
{
    static const char *const around[] = {"", "nopCommerce_4.80.9_NoSource_linux_x64/", "./", "a/b/"};

    (void)state;
    for (int form = 0; form < MADE_FORMS; form++) {
        for (size_t i = 0; i < COUNT(around); i++) {
            char path[64];
            char target[64];
            struct release *r;

            snprintf(path, sizeof(path), "release%zu.%s", i, made_endings[form]);
            snprintf(target, sizeof(target), "tree%d-%zu", form, i);
            made_archive(path, form, around[i], shop_entries, shop_count, NULL);
            r = opened(path);
            check_facts(r);
            check_list(r);
            unpacked(r, target);
            check_tree(target);
            assert_true(release_find(r, "Nop.Web")->executable);
            assert_false(release_find(r, "libcoreclr.so")->executable);
            assert_false(release_find(r, "libz.so.1")->executable);
            release_free(r);
        }
    }
}

static void open__a_stored_zip_and_a_stored_7z(void **state)
{
    struct release *r;

    (void)state;
    made_archive("s.zip", MADE_ZIP, "", shop_entries, shop_count, "zip:compression=store");
    r = opened("s.zip");
    unpacked(r, "s1");
    check_tree("s1");
    release_free(r);
    made_archive("s.7z", MADE_7Z, "", shop_entries, shop_count, "7zip:compression=store");
    r = opened("s.7z");
    unpacked(r, "s2");
    check_tree("s2");
    release_free(r);
}

static void open__a_folder_is_copied(void **state)
{
    struct release *first;
    struct release *r;

    (void)state;
    made_archive("r.tar", MADE_TAR, "shop/", shop_entries, shop_count, NULL);
    first = opened("r.tar");
    unpacked(first, "by-hand");
    r = opened("by-hand");
    check_facts(r);
    check_list(r);
    assert_string_equal(release_facts(r)->sha256, "");
    unpacked(r, "tree");
    check_tree("tree");
    assert_memory_equal(&release_find(r, "Nop.Web.dll")->hash, &release_find(first, "Nop.Web.dll")->hash, HASH_LEN);
    release_free(r);
    release_free(first);
    assert_int_equal(system("mkdir outer && mv by-hand outer/nop"), 0);
    r = opened("outer"); /* the one folder in it is dropped too */
    check_facts(r);
    unpacked(r, "tree2");
    check_tree("tree2");
    release_free(r);
}

static void open__windows_names_and_modes(void **state)
{
    struct made windows[32] = {{.name = NULL}};
    char *names[32] = {NULL};
    struct release *r;

    (void)state;
    for (size_t i = 0; i < shop_count; i++) {
        windows[i] = shop_entries[i];
        names[i] = strdup(shop_entries[i].name);
        for (char *p = names[i]; *p; p++)
            *p = *p == '/' ? '\\' : *p;
        windows[i].name = names[i];
        windows[i].mode = strcmp(names[i], "tool.sh") == 0 ? 0755 : 0600;
    }
    made_archive("w.zip", MADE_ZIP, "", windows, shop_count, NULL);
    r = opened("w.zip");
    check_list(r);
    unpacked(r, "tree");
    check_tree("tree");
    release_free(r);
    for (size_t i = 0; i < shop_count; i++)
        free(names[i]);
}

static void unpack__a_strict_umask_changes_nothing(void **state)
{
    mode_t before = umask(0077);
    struct release *r;

    (void)state;
    made_archive("r.zip", MADE_ZIP, "", shop_entries, shop_count, NULL);
    r = opened("r.zip");
    unpacked(r, "tree");
    umask(before);
    check_tree("tree");
    release_free(r);
}

static void unpack__every_way_to_sync(void **state)
{
    static const enum release_sync ways[] = {RELEASE_SYNC_NONE, RELEASE_SYNC_FILES, RELEASE_SYNC_FILESYSTEM};
    struct error err = ERROR_INIT;
    struct release *r;

    (void)state;
    made_archive("r.tar", MADE_TAR, "", shop_entries, shop_count, NULL);
    r = opened("r.tar");
    for (size_t i = 0; i < COUNT(ways); i++) {
        char name[16];
        int fd;

        snprintf(name, sizeof(name), "tree%zu", i);
        fd = target_make(name);
        if (release_unpack(r, fd, ways[i], NULL, &err))
            fail_with(&err);
        close(fd);
        check_tree(name);
    }
    release_free(r);
}

static void unpack__a_filled_target_is_left_alone(void **state)
{
    struct error err = ERROR_INIT;
    struct release *r;
    size_t len;
    char *bytes;
    int fd;

    (void)state;
    made_archive("r.tar", MADE_TAR, "", shop_entries, shop_count, NULL);
    r = opened("r.tar");
    fd = target_make("tree");
    bytes_write("tree/mine", "mine", 4);
    assert_int_equal(release_unpack(r, fd, RELEASE_SYNC_NONE, NULL, &err), ERR_EXISTS);
    assert_int_not_equal(access("tree/Nop.Web.dll", F_OK), 0);
    bytes = content_of("tree/mine", &len);
    assert_string_equal(bytes, "mine");
    free(bytes);
    close(fd);
    release_free(r);
}

static void check__hashes_without_writing(void **state)
{
    struct error err = ERROR_INIT;
    struct hash expected;
    struct release *r;

    (void)state;
    made_archive("r.7z", MADE_7Z, "", shop_entries, shop_count, NULL);
    r = opened("r.7z");
    assert_false(release_find(r, "Nop.Web.dll")->hashed);
    if (release_check(r, NULL, &err))
        fail_with(&err);
    hash_of(0, core_dll, core_dll_len, &expected);
    assert_true(release_find(r, "Nop.Core.dll")->hashed);
    assert_memory_equal(&release_find(r, "Nop.Core.dll")->hash, &expected, HASH_LEN);
    release_free(r);
}

static void verify__what_differs_is_named(void **state)
{
    struct error err = ERROR_INIT;
    struct release *r;
    int fd;

    (void)state;
    made_archive("r.zip", MADE_ZIP, "", shop_entries, shop_count, NULL);
    r = opened("r.zip");
    unpacked(r, "tree");
    fd = open("tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bytes_write("tree/wwwroot/css/a.css", "b {}", 4);
    assert_int_equal(release_verify(r, fd, NULL, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "wwwroot/css/a.css"));
    bytes_write("tree/wwwroot/css/a.css", "a {}", 4);
    error_clear(&err);
    assert_int_equal(release_verify(r, fd, NULL, &err), OK);
    assert_int_equal(unlink("tree/wwwroot/css/a.css"), 0);
    assert_int_equal(release_verify(r, fd, NULL, &err), ERR_NOT_FOUND);
    close(fd);
    release_free(r);
}

/* ---- the sum ---- */

static void open__the_sum_is_told_and_compared_first(void **state)
{
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char shouted[] = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
    struct release_options options = small_reserve;
    struct error err = ERROR_INIT;
    struct release *r = NULL;

    (void)state;
    bytes_write("abc.zip", "abc", 3);
    options.sha256 = "00000000000000000000000000000000000000000000000000000000000000aa";
    assert_int_equal(release_open("abc.zip", &options, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, abc));
    options.sha256 = abc; /* the right one: now that it is no archive is what matters */
    assert_int_equal(release_open("abc.zip", &options, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "no archive"));
    options.sha256 = shouted;
    assert_int_equal(release_open("abc.zip", &options, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "no archive"));
    options.sha256 = "abc";
    assert_int_equal(release_open("abc.zip", &options, NULL, &r, &err), ERR_USAGE);
    options.sha256 = abc;
    assert_int_equal(release_open(".", &options, NULL, &r, &err), ERR_USAGE);
    assert_null(r);
}

static void unpack__a_file_that_changed_since_it_was_summed_is_refused(void **state)
{
    struct error err = ERROR_INIT;
    struct release *r;
    int fd;

    (void)state;
    made_archive("r.zip", MADE_ZIP, "", shop_entries, shop_count, NULL);
    r = opened("r.zip");
    made_archive("r.zip", MADE_ZIP, "other/", shop_entries, shop_count, NULL);
    fd = target_make("tree");
    assert_int_equal(release_unpack(r, fd, RELEASE_SYNC_NONE, NULL, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "changed"));
    close(fd);
    release_free(r);
}

/* ---- what it is ---- */

static void facts_of(const struct made *entries, size_t count, struct release **out)
{
    made_archive("f.zip", MADE_ZIP, "", entries, count, NULL);
    *out = opened("f.zip");
}

static void open__framework_dependent_windows_and_old_ones(void **state)
{
    const struct made portable[] = {
        shop_entries[0],
        {.name = "Nop.Web.dll", .content = "MZ"},
        {.name = "Nop.Web.runtimeconfig.json",
         .content = "{\"runtimeOptions\": {\"tfm\": \"net8.0\", \"frameworks\": ["
                    "{\"name\": \"Microsoft.NETCore.App\", \"version\": \"8.0.0\"},"
                    "{\"name\": \"Microsoft.AspNetCore.App\", \"version\": \"8.0.0\"}]}}"},
        {.name = "Nop.Web.deps.json", .content = "{\"runtimeTarget\": {\"name\": \".NETCoreApp,Version=v8.0\"}}"},
    };
    const struct made windows[] = {
        shop_entries[0],
        {.name = "Nop.Web.exe", .content = "MZ"},
        {.name = "Nop.Web.dll", .content = "MZ"},
        {.name = "Nop.Web.runtimeconfig.json",
         .content = "{\"runtimeOptions\": {\"includedFrameworks\": ["
                    "{\"name\": \"Microsoft.NETCore.App\", \"version\": \"9.0.0\"}]}}"},
        {.name = "Nop.Web.deps.json",
         .content = "{\"runtimeTarget\": {\"name\": \".NETCoreApp,Version=v9.0/win-x64\"}}"},
    };
    const struct made legacy[] = {
        {.name = "bin/Nop.Core.dll", .content = "MZ"},
        {.name = "bin/Nop.Web.dll", .content = "MZ"},
        {.name = "Global.asax", .content = "<%@ %>"},
        {.name = "Plugins/Misc.A/Description.txt", .content = "SupportedVersions: 3.90\r\n"},
    };
    struct release *r;
    char line[128];

    (void)state;
    facts_of(portable, COUNT(portable), &r);
    assert_int_equal(release_facts(r)->system, RELEASE_ANY);
    assert_false(release_facts(r)->self_contained);
    release_flavour(release_facts(r), line, sizeof(line));
    assert_string_equal(line, "any system with Microsoft.AspNetCore.App 8.0.0");
    release_free(r);
    facts_of(windows, COUNT(windows), &r);
    assert_int_equal(release_facts(r)->system, RELEASE_WINDOWS);
    assert_string_equal(release_facts(r)->rid, "win-x64");
    release_free(r);
    facts_of(legacy, COUNT(legacy), &r);
    assert_int_equal(release_facts(r)->layout, SITE_LEGACY);
    assert_string_equal(release_facts(r)->version.text, "3.90");
    assert_int_equal(release_facts(r)->system, RELEASE_WINDOWS);
    release_flavour(release_facts(r), line, sizeof(line));
    assert_string_equal(line, "Windows with .NET Framework");
    release_free(r);
}

static void open__settings_and_case_clashes_are_told(void **state)
{
    struct made entries[32] = {{.name = NULL}};
    struct release *r;
    size_t n = shop_count;
    bool settings = false;
    bool clash = false;

    (void)state;
    memcpy(entries, shop_entries, sizeof(shop_entries[0]) * shop_count);
    entries[n++] = (struct made){.name = "App_Data/dataSettings.json", .content = "{}"};
    entries[n++] = (struct made){.name = "Logs/a.txt", .content = "a"};
    entries[n++] = (struct made){.name = "logs/b.txt", .content = "b"};
    made_archive("r.zip", MADE_ZIP, "", entries, n, NULL);
    r = opened("r.zip");
    for (size_t i = 0; i < release_facts(r)->remarks.count; i++) {
        settings = settings || strstr(release_facts(r)->remarks.items[i], "App_Data/dataSettings.json");
        clash = clash || strstr(release_facts(r)->remarks.items[i], "Logs and logs");
    }
    assert_true(settings);
    assert_true(clash);
    assert_int_equal(release_facts(r)->remarks.count, 2);
    unpacked(r, "tree");
    assert_int_equal(access("tree/Logs/a.txt", F_OK), 0);
    assert_int_equal(access("tree/logs/b.txt", F_OK), 0);
    release_free(r);
}

static void open__what_is_no_built_shop_is_refused(void **state)
{
    static const struct made source[] = {
        {.name = "src/Presentation/Nop.Web/Nop.Web.csproj", .content = "<Project/>"},
        {.name = "src/NopCommerce.sln", .content = ""},
    };
    static const struct made scripts[] = {
        {.name = "upgradescripts/4.20-4.30/upgrade.sql", .content = "GO"},
        {.name = "upgradescripts/4.20-4.30/Readme.txt", .content = "read"},
    };
    static const struct made deeper[] = {
        {.name = "nop/Nop.Web.dll", .content = "MZ"},
        {.name = "nop/Nop.Core.dll", .content = "MZ"},
        {.name = "readme.txt", .content = "read"},
    };
    struct error err = ERROR_INIT;
    struct release *r = NULL;

    (void)state;
    made_archive("source.zip", MADE_ZIP, "nopCommerce-release-4.80.9/", source, COUNT(source), NULL);
    assert_int_equal(release_open("source.zip", &small_reserve, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "source code"));
    assert_non_null(strstr(err.hint, "NoSource"));
    made_archive("scripts.zip", MADE_ZIP, "", scripts, COUNT(scripts), NULL);
    refused("scripts.zip", ERR_REFUSED, "upgrade scripts");
    made_archive("none.tar", MADE_TAR, "", NULL, 0, NULL);
    refused("none.tar", ERR_REFUSED, "");
    made_archive("deeper.zip", MADE_ZIP, "", deeper, COUNT(deeper), NULL);
    error_clear(&err);
    assert_int_equal(release_open("deeper.zip", &small_reserve, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.hint, "nop/Nop.Web.dll"));
    bytes_write("page.zip", "<!DOCTYPE html><html></html>", 28);
    error_clear(&err);
    assert_int_equal(release_open("page.zip", &small_reserve, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.hint, "web page"));
    bytes_write("empty.zip", "", 0);
    refused("empty.zip", ERR_REFUSED, "empty");
    refused("nowhere.zip", ERR_NOT_FOUND, "nowhere.zip");
    refused("/dev/null", ERR_REFUSED, "neither");
}

/* ---- P11 ---- */

/* Of a rar, libarchive itself refuses these. */
static bool libarchive_says(const char *words)
{
    return strcmp(words, "both") == 0 || strcmp(words, "twice") == 0 || strcmp(words, "too long for a path") == 0;
}

/* The shop and one more entry, in each form that can hold it. */
static void refused_with(const struct made *more, size_t count, const char *words)
{
    static const enum made_form forms[] = {MADE_TAR, MADE_ZIP, MADE_7Z, MADE_RAR, MADE_RAR5};
    struct made entries[64] = {{.name = NULL}};

    memcpy(entries, shop_entries, sizeof(shop_entries[0]) * shop_count);
    memcpy(entries + shop_count, more, sizeof(*more) * count);
    for (size_t i = 0; i < COUNT(forms); i++) {
        if (forms[i] != MADE_TAR &&
            (more->type == MADE_HARDLINK || more->type == MADE_FIFO || more->type == MADE_DEVICE))
            continue; /* zip and 7z don't have them */
        if (forms[i] >= MADE_RAR && more->type == MADE_SYMLINK)
            continue;
        made_archive("evil.bin", forms[i], "", entries, shop_count + count, NULL);
        refused("evil.bin", ERR_REFUSED, forms[i] >= MADE_RAR && libarchive_says(words) ? "" : words);
    }
}

static void open__names_that_lead_elsewhere_are_refused(void **state)
{
    static const struct made names[] = {
        {.name = "../evil", .content = "x"},         {.name = "a/../../evil", .content = "x"},
        {.name = "wwwroot/../x", .content = "x"},    {.name = "..", .type = MADE_FOLDER},
        {.name = "..\\evil", .content = "x"},        {.name = "a\\..\\..\\evil", .content = "x"},
        {.name = "wwwroot/..", .type = MADE_FOLDER},
    };
    static const struct made absolute[] = {
        {.name = "/tmp/evil", .content = "x"},
        {.name = "\\evil", .content = "x"},
        {.name = "C:\\evil", .content = "x"},
        {.name = "c:evil", .content = "x"},
    };
    static const struct made control = {.name = "a\nb", .content = "x"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        refused_with(&names[i], 1, "leads out");
    for (size_t i = 0; i < COUNT(absolute); i++)
        refused_with(&absolute[i], 1, "absolute");
    refused_with(&control, 1, "control characters");
}

static void open__links_and_devices_are_refused(void **state)
{
    static const struct made kinds[] = {
        {.name = "wwwroot/link", .content = "/etc", .type = MADE_SYMLINK},
        {.name = "inside", .content = "wwwroot", .type = MADE_SYMLINK},
        {.name = "hard", .content = "Nop.Web.dll", .type = MADE_HARDLINK},
        {.name = "hard", .content = "/etc/passwd", .type = MADE_HARDLINK},
        {.name = "fifo", .type = MADE_FIFO},
        {.name = "null", .type = MADE_DEVICE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++)
        refused_with(&kinds[i], 1, "no release has");
    assert_int_equal(system("mkdir f && echo > f/Nop.Web.dll && echo > f/Nop.Core.dll && ln -s /etc f/l"), 0);
    refused("f", ERR_REFUSED, "symbolic link");
    assert_int_equal(system("rm f/l && mkfifo f/l"), 0);
    refused("f", ERR_REFUSED, "neither a file nor a folder");
}

/* A link first, then something through it: the classic. */
static void open__a_link_to_write_through_is_refused(void **state)
{
    static const struct made through[] = {
        {.name = "out", .content = "..", .type = MADE_SYMLINK},
        {.name = "out/evil", .content = "x"},
    };

    (void)state;
    refused_with(through, 2, "no release has");
}

static void open__names_that_clash_are_refused(void **state)
{
    static const struct made twice[] = {{.name = "twice", .content = "1"}, {.name = "./twice", .content = "2"}};
    static const struct made below[] = {{.name = "file", .content = "1"}, {.name = "file/in", .content = "2"}};
    static const struct made later[] = {{.name = "file/in", .content = "2"}, {.name = "file", .content = "1"}};
    static const struct made both[] = {{.name = "both", .type = MADE_FOLDER}, {.name = "both", .content = "1"}};
    static const struct made own = {.name = ".nopsnap/journal", .content = "1"};
    static const struct made folders[] = {{.name = "same/", .type = MADE_FOLDER},
                                          {.name = "same", .type = MADE_FOLDER}};
    struct made entries[32] = {{.name = NULL}};
    struct release *r;

    (void)state;
    refused_with(twice, 2, "twice");
    refused_with(below, 2, "is a file");
    refused_with(later, 2, "is a file");
    refused_with(both, 2, "both");
    refused_with(&own, 1, ".nopsnap");
    memcpy(entries, shop_entries, sizeof(shop_entries[0]) * shop_count);
    memcpy(entries + shop_count, folders, sizeof(folders));
    made_archive("same.tar", MADE_TAR, "", entries, shop_count + 2, NULL); /* a folder may come twice */
    r = opened("same.tar");
    unpacked(r, "tree");
    release_free(r);
}

static void open__names_too_long_are_refused(void **state)
{
    static char component[300];
    static char path[6000];
    struct made long_one = {.name = component, .content = "x"};

    (void)state;
    memset(component, 'a', 256);
    refused_with(&long_one, 1, "too long for a file");
    for (size_t i = 0; i < 4200; i++)
        path[i] = i % 100 == 99 ? '/' : 'b';
    long_one.name = path;
    refused_with(&long_one, 1, "too long for a path");
}

static void open__limits_hold(void **state)
{
    struct release_options options = small_reserve;
    struct error err = ERROR_INIT;
    struct release *r = NULL;

    (void)state;
    for (int form = 0; form < MADE_FORMS; form++) {
        made_archive("r.bin", form, "", shop_entries, shop_count, NULL);
        options.limits = (struct release_limits){.max_entries = shop_count - 1, .reserve = 1};
        assert_int_equal(release_open("r.bin", &options, NULL, &r, &err), ERR_REFUSED);
        assert_non_null(strstr(err.text, "files and folders"));
        options.limits = (struct release_limits){.max_bytes = 100, .reserve = 1};
        assert_int_equal(release_open("r.bin", &options, NULL, &r, &err), ERR_REFUSED);
        assert_non_null(strstr(err.text, "unpacked"));
        options.limits = (struct release_limits){.max_archive = 100, .reserve = 1};
        assert_int_equal(release_open("r.bin", &options, NULL, &r, &err), ERR_REFUSED);
        assert_non_null(strstr(err.text, "larger than"));
    }
    /* Folders of which only their content tells count too. */
    options.limits = (struct release_limits){.max_entries = shop_count + 2, .reserve = 1};
    assert_int_equal(release_open("r.bin", &options, NULL, &r, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "files and folders"));
}

static void unpack__without_room_nothing_is_written(void **state)
{
    struct release_options options = {.limits = {.reserve = UINT64_MAX / 2}};
    struct error err = ERROR_INIT;
    struct release *r = NULL;
    int fd;

    (void)state;
    made_archive("r.zip", MADE_ZIP, "", shop_entries, shop_count, NULL);
    assert_int_equal(release_open("r.zip", &options, NULL, &r, &err), OK);
    fd = target_make("tree");
    assert_int_equal(release_unpack(r, fd, RELEASE_SYNC_NONE, NULL, &err), ERR_SPACE);
    assert_int_equal(rmdir("tree"), 0);
    close(fd);
    release_free(r);
}

/* Cut at many places: always refused, never half a release that passes for a whole one. */
static void open__archives_that_are_cut_short_are_refused(void **state)
{
    (void)state;
    for (int form = 0; form < MADE_FORMS; form++) {
        size_t len = 0;
        char *bytes;

        made_archive("whole.bin", form, "", shop_entries, shop_count, NULL);
        bytes = content_of("whole.bin", &len);
        /* GNU tar's padding behind the two blocks of zeros that are the end is no loss. */
        if (form == MADE_TAR) {
            while (bytes[len - 1] == '\0')
                len--;
            len = (len + 511) / 512 * 512;
        }
        for (size_t i = 1; i < 40; i++) {
            bytes_write("cut.bin", bytes, len * i / 40);
            refused("cut.bin", ERR_REFUSED, "");
        }
        bytes_write("cut.bin", bytes, form == MADE_TAR ? len : len - 1);
        refused("cut.bin", ERR_REFUSED, "");
        free(bytes);
    }
}

/* One bit anywhere: refused, or all content is what it was. */
static void open__archives_with_a_flipped_bit_never_give_other_content(void **state)
{
    static const enum made_form forms[] = {MADE_ZIP,     MADE_7Z,  MADE_TAR_GZ, MADE_TAR_XZ,
                                           MADE_TAR_BZ2, MADE_RAR, MADE_RAR5};
    unsigned refusals = 0;

    (void)state;
    for (size_t f = 0; f < COUNT(forms); f++) {
        struct hash right;
        size_t len = 0;
        char *bytes;

        hash_of(0, core_dll, core_dll_len, &right);
        made_archive("whole.bin", forms[f], "", shop_entries, shop_count, NULL);
        bytes = content_of("whole.bin", &len);
        for (size_t i = 0; i < len; i += 7) {
            struct error err = ERROR_INIT;
            struct release *r = NULL;

            bytes[i] ^= 1 << i % 8;
            bytes_write("flipped.bin", bytes, len);
            bytes[i] ^= 1 << i % 8;
            if (release_open("flipped.bin", &small_reserve, NULL, &r, &err) || release_check(r, NULL, &err))
                refusals++;
            else
                assert_memory_equal(&release_find(r, "Nop.Core.dll")->hash, &right, HASH_LEN);
            release_free(r);
        }
        free(bytes);
    }
    assert_true(refusals > 100);
}

static void open__encrypted_archives_are_refused(void **state)
{
    size_t len = 0;
    char *bytes;

    (void)state;
    made_archive("r.zip", MADE_ZIP, "", shop_entries, shop_count, NULL);
    bytes = content_of("r.zip", &len);
    for (size_t i = 0; i + 10 < len; i++) { /* the flag in each local header and directory entry */
        if (memcmp(bytes + i, "PK\3\4", 4) == 0)
            bytes[i + 6] |= 1;
        if (memcmp(bytes + i, "PK\1\2", 4) == 0)
            bytes[i + 8] |= 1;
    }
    bytes_write("r.zip", bytes, len);
    refused("r.zip", ERR_REFUSED, "encrypted");
    free(bytes);
}

/* The walk alone: libarchive would see a header's wrong checksum first. Counts the files up to the end. */
static enum error_kind walked(enum made_form form, size_t at, char bits, unsigned *files, struct error *err)
{
    struct rar_walk walk;
    uint32_t sum = 0;
    size_t len = 0;
    bool more = true;
    enum error_kind rc = OK;
    char *bytes;
    int fd;

    made_archive("r.rar", form, "", shop_entries, shop_count, NULL);
    bytes = content_of("r.rar", &len);
    bytes[at] |= bits;
    bytes_write("r.rar", bytes, len);
    free(bytes);
    fd = open("r.rar", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(rar_walk_begin(fd, len, &walk));
    for (*files = 0; !rc && more; *files += !rc && more)
        rc = rar_walk_file(&walk, &sum, &more, err);
    close(fd);
    return rc;
}

static void rar_walk__parts_of_several_are_refused(void **state)
{
    struct error err = ERROR_INIT;
    unsigned files;

    (void)state;
    assert_int_equal(walked(MADE_RAR, 0, 0, &files, &err), OK);
    assert_int_equal(files, shop_count);
    assert_int_equal(walked(MADE_RAR5, 0, 0, &files, &err), OK);
    assert_int_equal(files, shop_count);
    assert_int_equal(walked(MADE_RAR, 7 + 3, 1, &files, &err), ERR_REFUSED); /* signature; checksum and type */
    assert_non_null(strstr(err.text, "several"));
    error_clear(&err);
    assert_int_equal(walked(MADE_RAR5, 8 + 7, 1, &files, &err), ERR_REFUSED); /* checksum, length, type, flags */
    assert_non_null(strstr(err.text, "several"));
    error_clear(&err);
    assert_int_equal(walked(MADE_RAR5, 8 + 5, 4, &files, &err), OK); /* type 1 becomes 5: the end at once */
    assert_int_equal(files, 0);
}

/* A zip whose wwwroot/bomb of 2,000,000 bytes says that it has 10: in the directory at the end, or before the content too. */
static void bomb_write(const char *path, bool everywhere)
{
    static char zeros[2000000];
    struct made entries[32] = {{.name = NULL}};
    size_t len = 0;
    char *bytes;

    memcpy(entries, shop_entries, sizeof(shop_entries[0]) * shop_count);
    entries[shop_count] = (struct made){.name = "wwwroot/bomb", .content = zeros, .len = sizeof(zeros)};
    made_archive(path, MADE_ZIP, "", entries, shop_count + 1, NULL);
    bytes = content_of(path, &len);
    for (size_t i = 46; i + 12 < len; i++) {
        if (memcmp(bytes + i, "wwwroot/bomb", 12) != 0)
            continue;
        if (memcmp(bytes + i - 46, "PK\1\2", 4) == 0)
            put_u32((unsigned char *)bytes + i - 46 + 24, 10);
        else if (everywhere)
            put_u32((unsigned char *)bytes + i - 30 + 22, 10);
    }
    bytes_write(path, bytes, len);
    free(bytes);
}

static void unpack__more_than_announced_is_refused(void **state)
{
    (void)state;
    bomb_write("bomb.zip", true);
    refused("bomb.zip", ERR_REFUSED, "wwwroot/bomb is longer than announced");
    bomb_write("bomb.zip", false);
    refused("bomb.zip", ERR_REFUSED, "Inconsistent");
}

/* Bytes that are no UTF-8, as old Windows tools write them, are a name like another. */
static void unpack__names_of_any_bytes(void **state)
{
    struct made entries[32] = {{.name = NULL}};
    struct release *r;

    (void)state;
    memcpy(entries, shop_entries, sizeof(shop_entries[0]) * shop_count);
    entries[shop_count] = (struct made){.name = "wwwroot/gr\xfc\xdf.txt", .content = "x"};
    made_archive("r.tar", MADE_TAR, "", entries, shop_count + 1, NULL);
    made_archive("r.zip", MADE_ZIP, "", entries, shop_count + 1, NULL);
    r = opened("r.tar");
    unpacked(r, "tree1");
    assert_int_equal(access("tree1/wwwroot/gr\xfc\xdf.txt", F_OK), 0);
    release_free(r);
    r = opened("r.zip");
    unpacked(r, "tree2");
    assert_int_equal(access("tree2/wwwroot/gr\xfc\xdf.txt", F_OK), 0);
    release_free(r);
}

/* ---- who is asked ---- */

static void open__leaves_nothing_behind(void **state)
{
    struct release_options options = {.work = "work", .limits = {.reserve = 1}};
    struct error err = ERROR_INIT;
    struct release *r = NULL;

    (void)state;
    assert_int_equal(mkdir("work", 0700), 0);
    made_archive("r.zip", MADE_ZIP, "", shop_entries, shop_count, NULL);
    assert_int_equal(release_open("r.zip", &options, NULL, &r, &err), OK);
    release_free(r);
    assert_int_equal(rmdir("work"), 0);
    r = NULL;
    assert_int_equal(release_open("r.zip", &options, NULL, &r, &err), ERR_IO); /* the caller's folder, or none */
    release_free(r);
}

static void path_compare__a_folder_stands_before_its_content(void **state)
{
    static const char *const order[] = {"a", "a/b", "a/b/c", "a/z", "a b", "a-b", "ab", "b"};

    (void)state;
    for (size_t i = 0; i < COUNT(order); i++) {
        for (size_t k = 0; k < COUNT(order); k++) {
            int found = release_path_compare(order[i], order[k]);

            assert_int_equal((found > 0) - (found < 0), (i > k) - (i < k));
        }
    }
}

static void redirect__https_never_leads_to_http(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(release_redirect_check("https://a/x", "https://b/y?t=1", &err), OK);
    assert_int_equal(release_redirect_check("http://a/x", "https://b/y", &err), OK);
    assert_int_equal(release_redirect_check("http://a/x", "http://b/y", &err), OK);
    assert_int_equal(release_redirect_check("https://a/x", "http://me:Pa55word@b/y?t=T0ken", &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "http://b/y,"));
    assert_null(strstr(err.text, "Pa55word"));
    assert_null(strstr(err.text, "T0ken"));
    assert_int_equal(release_redirect_check("HTTPS://a/x", "HTTP://b/y", &err), ERR_REFUSED);
    assert_int_equal(release_redirect_check("https://a/x", "ftp://b/y", &err), ERR_REFUSED);
    assert_int_equal(release_redirect_check("https://a/x", "file:///etc/passwd", &err), ERR_REFUSED);
}

static void url_shown__hides_what_may_be_secret(void **state)
{
    static const char *const pairs[][2] = {
        {"https://me:Pa55word@example.com/a/b.zip?token=T0ken#f", "https://example.com/a/b.zip"},
        {"http://Pa55word@example.com:8080/b.zip", "http://example.com:8080/b.zip"},
        {"https://example.com", "https://example.com/"},
    };
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char *shown = NULL;

        assert_int_equal(release_url_shown(pairs[i][0], &shown, &err), OK);
        assert_string_equal(shown, pairs[i][1]);
        free(shown);
    }
    assert_true(release_is_url("https://x"));
    assert_true(release_is_url("s3://x"));
    assert_false(release_is_url("C://x"));
    assert_false(release_is_url("/tmp/x.zip"));
    assert_false(release_is_url("x.zip"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(open__every_form_of_archive_gives_the_same_tree),
        folder_test(open__a_stored_zip_and_a_stored_7z),
        folder_test(open__a_folder_is_copied),
        folder_test(open__windows_names_and_modes),
        folder_test(unpack__a_strict_umask_changes_nothing),
        folder_test(unpack__every_way_to_sync),
        folder_test(unpack__a_filled_target_is_left_alone),
        folder_test(check__hashes_without_writing),
        folder_test(verify__what_differs_is_named),
        folder_test(open__the_sum_is_told_and_compared_first),
        folder_test(unpack__a_file_that_changed_since_it_was_summed_is_refused),
        folder_test(open__framework_dependent_windows_and_old_ones),
        folder_test(open__settings_and_case_clashes_are_told),
        folder_test(open__what_is_no_built_shop_is_refused),
        folder_test(open__names_that_lead_elsewhere_are_refused),
        folder_test(open__links_and_devices_are_refused),
        folder_test(open__a_link_to_write_through_is_refused),
        folder_test(open__names_that_clash_are_refused),
        folder_test(open__names_too_long_are_refused),
        folder_test(open__limits_hold),
        folder_test(unpack__without_room_nothing_is_written),
        folder_test(open__archives_that_are_cut_short_are_refused),
        folder_test(open__archives_with_a_flipped_bit_never_give_other_content),
        folder_test(open__encrypted_archives_are_refused),
        folder_test(rar_walk__parts_of_several_are_refused),
        folder_test(unpack__more_than_announced_is_refused),
        folder_test(unpack__names_of_any_bytes),
        folder_test(open__leaves_nothing_behind),
        folder_test(redirect__https_never_leads_to_http),
        folder_test(url_shown__hides_what_may_be_secret),
        folder_test(path_compare__a_folder_stands_before_its_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
