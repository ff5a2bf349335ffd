#include "release_support.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <time.h>

#include "buffer.h"

#define MOMENT 1700000000

const char *const made_endings[MADE_FORMS] = {"zip",     "7z",      "tar", "tar.gz", "tar.xz",
                                              "tar.zst", "tar.bz2", "rar", "rar"};

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

static size_t content_len(const struct made *m)
{
    return m->type != MADE_FILE ? 0 : m->len ? m->len : strlen(m->content);
}

static unsigned mode_of(const struct made *m)
{
    if (m->type == MADE_FOLDER)
        return S_IFDIR | (m->mode ? m->mode : 0755);
    return S_IFREG | (m->mode ? m->mode : 0644);
}

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
    size_t len = content_len(m);
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

/* ---- rar, both forms: headers with a checksum before them, and content as it is ---- */

static uint32_t crc32_of(const void *bytes, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= ((const unsigned char *)bytes)[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void put(struct buffer *b, const void *bytes, size_t len)
{
    struct error err = ERROR_INIT;

    assert_int_equal(buffer_append(b, bytes, len, &err), OK);
}

static void put_number(struct buffer *b, uint64_t v, size_t len)
{
    unsigned char bytes[8];

    put_u64(bytes, v);
    put(b, bytes, len);
}

/* Seven bits in a byte, the lowest first. */
static void put_vint(struct buffer *b, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        put_number(b, (v & 0x7f) | 0x80, 1);
    put_number(b, v, 1);
}

static uint32_t dos_time(time_t moment)
{
    struct tm t;

    assert_non_null(localtime_r(&moment, &t));
    return (uint32_t)(t.tm_year - 80) << 25 | (uint32_t)(t.tm_mon + 1) << 21 | (uint32_t)t.tm_mday << 16 |
           (uint32_t)t.tm_hour << 11 | (uint32_t)t.tm_min << 5 | (uint32_t)t.tm_sec / 2;
}

static void rar_block(struct buffer *out, unsigned type, unsigned flags, const struct buffer *body)
{
    struct buffer header = BUFFER_INIT(1 << 16);

    put_number(&header, type, 1);
    put_number(&header, flags, 2);
    put_number(&header, 7 + body->len, 2);
    put(&header, body->data, body->len);
    put_number(out, crc32_of(header.data, header.len), 2);
    put(out, header.data, header.len);
    buffer_release(&header);
}

static void rar_entry(struct buffer *out, const char *name, const struct made *m)
{
    struct buffer body = BUFFER_INIT(1 << 16);
    size_t len = content_len(m);

    put_number(&body, len, 4);
    put_number(&body, len, 4);
    put_number(&body, 3, 1); /* made on Unix */
    put_number(&body, crc32_of(m->content, len), 4);
    put_number(&body, dos_time(MOMENT), 4);
    put_number(&body, 20, 1);
    put_number(&body, 0x30, 1); /* stored */
    put_number(&body, strlen(name), 2);
    put_number(&body, mode_of(m), 4);
    put(&body, name, strlen(name));
    rar_block(out, 0x74, m->type == MADE_FOLDER ? 0x80e0 : 0x8000, &body);
    put(out, m->content, len);
    buffer_release(&body);
}

static void rar5_block(struct buffer *out, const struct buffer *body)
{
    struct buffer header = BUFFER_INIT(1 << 16);

    put_vint(&header, body->len);
    put(&header, body->data, body->len);
    put_number(out, crc32_of(header.data, header.len), 4);
    put(out, header.data, header.len);
    buffer_release(&header);
}

static void rar5_entry(struct buffer *out, const char *name, const struct made *m)
{
    struct buffer body = BUFFER_INIT(1 << 16);
    size_t len = content_len(m);

    put_vint(&body, 2); /* a file header */
    put_vint(&body, 2); /* with data behind it */
    put_vint(&body, len);
    put_vint(&body, (m->type == MADE_FOLDER ? 1 : 0) | 2 | 4); /* a folder; time; checksum */
    put_vint(&body, len);
    put_vint(&body, mode_of(m));
    put_number(&body, MOMENT, 4);
    put_number(&body, crc32_of(m->content, len), 4);
    put_vint(&body, 0); /* stored */
    put_vint(&body, 1); /* made on Unix */
    put_vint(&body, strlen(name));
    put(&body, name, strlen(name));
    rar5_block(out, &body);
    put(out, m->content, len);
    buffer_release(&body);
}

static void rar_begin(struct buffer *out, enum made_form form)
{
    static const unsigned char zeros[6];
    struct buffer body = BUFFER_INIT(64);

    if (form == MADE_RAR) {
        put(out, "Rar!\x1a\x07\x00", 7);
        put(&body, zeros, 6);
        rar_block(out, 0x73, 0, &body);
    } else {
        put(out, "Rar!\x1a\x07\x01\x00", 8);
        put(&body, "\1\0\0", 3);
        rar5_block(out, &body);
    }
    buffer_release(&body);
}

static void rar_end(struct buffer *out, enum made_form form)
{
    struct buffer body = BUFFER_INIT(64);

    if (form == MADE_RAR) {
        rar_block(out, 0x7b, 0x4000, &body);
    } else {
        put(&body, "\5\0\0", 3);
        rar5_block(out, &body);
    }
    buffer_release(&body);
}

static void made_rar(const char *path, enum made_form form, const char *above, const struct made *entries, size_t count)
{
    struct buffer out = BUFFER_INIT(16 << 20);
    FILE *f;

    rar_begin(&out, form);
    for (size_t i = 0; i < count; i++) {
        char name[8192];

        snprintf(name, sizeof(name), "%s%s", above, entries[i].name);
        if (form == MADE_RAR)
            rar_entry(&out, name, &entries[i]);
        else
            rar5_entry(&out, name, &entries[i]);
    }
    rar_end(&out, form);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(out.data, 1, out.len, f), out.len);
    assert_int_equal(fclose(f), 0);
    buffer_release(&out);
}

/* ---- all forms ---- */

void made_archive(const char *path, enum made_form form, const char *above, const struct made *entries, size_t count,
                  const char *options)
{
    struct archive *a = NULL;

    if (form == MADE_RAR || form == MADE_RAR5) {
        made_rar(path, form, above, entries, count);
        return;
    }
    a = archive_write_new();
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
