#include "release_support.h"

#include <archive.h>
#include <archive_entry.h>

#define MOMENT 1700000000

const char *const made_endings[MADE_FORMS] = {"zip", "7z", "tar", "tar.gz", "tar.xz", "tar.zst", "tar.bz2"};

/* "4.80.9" with its length before it, as a metadata heap has it, and the bytes around. */
const char core_dll[] = "MZ\x90 a library\x0c"
                        "4\0.\0"
                        "8\0"
                        "0\0.\0"
                        "9\0 and more of it";
const size_t core_dll_len = sizeof(core_dll) - 1;

static const char deps[] = "{\"runtimeTarget\": {\"name\": \".NETCoreApp,Version=v9.0/linux-x64\"},"
                           " \"libraries\": {\"Nop.Core/4.80.0\": {}}}";
static const char runtime_config[] = "\xef\xbb\xbf{\"runtimeOptions\": {\"tfm\": \"net9.0\", \"includedFrameworks\": ["
                                     "{\"name\": \"Microsoft.NETCore.App\", \"version\": \"9.0.0\"},"
                                     "{\"name\": \"Microsoft.AspNetCore.App\", \"version\": \"9.0.1\"}]}}";

const struct made shop_entries[] = {
    {.name = "Nop.Core.dll", .content = core_dll, .len = sizeof(core_dll) - 1},
    {.name = "Nop.Web.dll", .content = "MZ the web"},
    {.name = "Nop.Web", .content = "\177ELF an apphost"},
    {.name = "libcoreclr.so", .content = "\177ELF a library"},
    {.name = "libz.so.1", .content = "\177ELF another"},
    {.name = "tool.sh", .content = "#!/bin/sh\n", .mode = 0755},
    {.name = "Nop.Web.deps.json", .content = deps},
    {.name = "Nop.Web.runtimeconfig.json", .content = runtime_config},
    {.name = "App_Data", .type = MADE_FOLDER},
    {.name = "App_Data/Localization/defaultResources.nopres.xml", .content = "<Language/>"},
    {.name = "Plugins/Payments.Manual/plugin.json", .content = "{\"SupportedVersions\": [\"4.80\"]}"},
    {.name = "wwwroot/css/a.css", .content = "a {}"},
    {.name = "wwwroot/images/thumbs/placeholder.txt", .content = "x"},
    {.name = "wwwroot/empty.txt", .content = ""},
};
const size_t shop_count = sizeof(shop_entries) / sizeof(shop_entries[0]);

static void choose_form(struct archive *a, enum made_form form)
{
    switch (form) {
    case MADE_ZIP:
        assert_int_equal(archive_write_set_format_zip(a), ARCHIVE_OK);
        return;
    case MADE_7Z:
        assert_int_equal(archive_write_set_format_7zip(a), ARCHIVE_OK);
        return;
    case MADE_TAR_GZ:
        assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
        break;
    case MADE_TAR_XZ:
        assert_int_equal(archive_write_add_filter_xz(a), ARCHIVE_OK);
        break;
    case MADE_TAR_ZST:
        assert_int_equal(archive_write_add_filter_zstd(a), ARCHIVE_OK);
        break;
    case MADE_TAR_BZ2:
        assert_int_equal(archive_write_add_filter_bzip2(a), ARCHIVE_OK);
        break;
    default:
        break;
    }
    assert_int_equal(archive_write_set_format_gnutar(a), ARCHIVE_OK);
    if (form !=
        MADE_TAR) /* no padding behind the compressed bytes, which zstd would take for a second, broken stream */
        assert_int_equal(archive_write_set_bytes_in_last_block(a, 1), ARCHIVE_OK);
}

static unsigned file_type(enum made_type type)
{
    static const unsigned types[] = {AE_IFREG, AE_IFDIR, AE_IFLNK, AE_IFREG, AE_IFIFO, AE_IFCHR};

    return types[type];
}

static void add(struct archive *a, const char *above, const struct made *m)
{
    struct archive_entry *e = archive_entry_new();
    size_t len = m->type != MADE_FILE ? 0 : m->len ? m->len : strlen(m->content);
    char name[8192];

    assert_non_null(e);
    snprintf(name, sizeof(name), "%s%s", above, m->name);
    archive_entry_copy_pathname(e, name);
    archive_entry_set_filetype(e, file_type(m->type));
    archive_entry_set_perm(e, m->mode ? m->mode : m->type == MADE_FOLDER ? 0755 : 0644);
    archive_entry_set_mtime(e, MOMENT, 0);
    archive_entry_set_size(e, (la_int64_t)len);
    if (m->type == MADE_SYMLINK)
        archive_entry_copy_symlink(e, m->content);
    if (m->type == MADE_HARDLINK)
        archive_entry_copy_hardlink(e, m->content);
    assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
    if (len > 0)
        assert_int_equal(archive_write_data(a, m->content, len), len);
    archive_entry_free(e);
}

void made_archive(const char *path, enum made_form form, const char *above, const struct made *entries, size_t count,
                  const char *options)
{
    struct archive *a = archive_write_new();

    assert_non_null(a);
    choose_form(a, form);
    if (options)
        assert_int_equal(archive_write_set_options(a, options), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++)
        add(a, above, &entries[i]);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

char *content_of(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *bytes = malloc(1 << 20);

    assert_non_null(f);
    assert_non_null(bytes);
    *len = fread(bytes, 1, (1 << 20) - 1, f);
    bytes[*len] = '\0';
    assert_int_equal(fclose(f), 0);
    return bytes;
}
