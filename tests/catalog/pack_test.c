/* Packs by themselves: what is written is read, and what a hostile hand has written is refused, checksums in order or not (P11). */
#include "catalog_fixture.h"

#include "codec_internal.h"

static int catalogue_folder(struct catalog_format *format)
{
    struct error err = ERROR_INIT;
    int dirfd;

    catalog_close(make_catalogue());
    dirfd = open(CATALOGUE, O_RDONLY | O_DIRECTORY);
    assert_true(dirfd >= 0);
    assert_ok(format_read(dirfd, format, &err));
    return dirfd;
}

static struct pack_draft *begin_draft(int dirfd, const struct catalog_format *format)
{
    struct pack_draft *draft = NULL;
    struct error err = ERROR_INIT;

    assert_ok(pack_draft_begin(dirfd, format, PACK_DATA, &draft, &err));
    return draft;
}

static void add_frame(struct pack_draft *draft, const void *bytes, uint32_t len)
{
    struct error err = ERROR_INIT;
    struct footer_frame where;
    uint32_t frame;

    assert_ok(pack_draft_frame(draft, CODEC_STORED, bytes, len, len, &frame, &where, &err));
}

static void add_chunk(struct pack_draft *draft, unsigned type, uint32_t frame, uint32_t offset, uint32_t len)
{
    struct footer_chunk chunk = {.type = (enum chunk_type)type, .frame = frame, .offset = offset, .len = len};
    struct error err = ERROR_INIT;

    assert_ok(pack_draft_chunk(draft, &chunk, &err));
}

/* Seal and publish it as if nothing were wrong, then open it. */
static enum error_kind publish_and_open(int dirfd, const struct catalog_format *format, struct pack_draft *draft,
                                        struct pack **pack)
{
    unsigned char name[PACK_NAME_LEN];
    struct error err = ERROR_INIT;
    enum error_kind rc;

    memcpy(name, pack_draft_name(draft), PACK_NAME_LEN);
    assert_ok(pack_draft_seal(draft, &err));
    assert_ok(pack_draft_publish(draft, &err));
    pack_draft_free(draft);
    rc = pack_open(dirfd, name, format, pack, &err);
    if (rc)
        assert_non_null(strstr(err.text, "packs/"));
    return rc;
}

static void draft__is_read_back(void **state)
{
    struct buffer out = BUFFER_INIT(FRAME_RAW_MAX);
    struct catalog_format format;
    struct error err = ERROR_INIT;
    struct footer_chunk chunk;
    struct pack *pack = NULL;
    int dirfd = catalogue_folder(&format);
    struct pack_draft *draft = begin_draft(dirfd, &format);

    (void)state;
    add_frame(draft, "firstsecond", 11);
    add_frame(draft, "third", 5);
    add_chunk(draft, CHUNK_DATA, 0, 0, 5);
    add_chunk(draft, CHUNK_TREE, 0, 5, 6);
    add_chunk(draft, CHUNK_DATA, 1, 0, 0);
    add_chunk(draft, CHUNK_DATA, 1, 0, 5);
    assert_int_equal(publish_and_open(dirfd, &format, draft, &pack), OK);
    assert_int_equal(pack_frame_count(pack), 2);
    assert_int_equal(pack_chunk_count(pack), 4);
    assert_int_equal(pack_chunk_search(pack, 0, 5), 1);
    assert_int_equal(pack_chunk_search(pack, 0, 6), 2);
    assert_int_equal(pack_chunk_search(pack, 1, 0), 2);
    assert_int_equal(pack_chunk_search(pack, 7, 0), 4);
    pack_chunk_at(pack, 1, &chunk);
    assert_int_equal(chunk.type, CHUNK_TREE);
    assert_int_equal(chunk.len, 6);
    assert_ok(pack_frame_read(pack, 0, &out, &err));
    assert_int_equal(out.len, 11);
    assert_memory_equal(out.data, "firstsecond", 11);
    assert_int_equal(pack_frame_read(pack, 2, &out, &err), ERR_CORRUPT);
    buffer_release(&out);
    pack_close(pack);
    close(dirfd);
}

static void draft__given_up_leaves_no_file(void **state)
{
    struct catalog_format format;
    int dirfd = catalogue_folder(&format);
    struct pack_draft *draft = begin_draft(dirfd, &format);

    (void)state;
    add_frame(draft, "lost", 4);
    assert_int_equal(find_packs().parts, 1);
    pack_draft_free(draft);
    assert_int_equal(find_packs().parts, 0);
    assert_int_equal(find_packs().packs, 0);
    close(dirfd);
}

static void open__entries_out_of_bounds_are_refused(void **state)
{
    static const struct {
        const char *what;
        struct {
            unsigned type;
            uint32_t frame, offset, len;
        } chunks[2];
    } bad[] = {
        {"a frame that is not there", {{1, 0, 0, 4}, {1, 2, 0, 1}}},
        {"the greatest frame", {{1, 0, 0, 4}, {1, UINT32_MAX, 0, 1}}},
        {"an offset behind its frame", {{1, 0, 0, 4}, {1, 1, 9, 0}}},
        {"a length behind its frame", {{1, 0, 0, 4}, {1, 1, 4, 5}}},
        {"a sum that overflows", {{1, 0, 0, 4}, {1, 1, 4, UINT32_MAX - 2}}},
        {"an overlap", {{1, 0, 0, 4}, {1, 0, 3, 2}}},
        {"frames out of order", {{1, 1, 0, 4}, {1, 0, 0, 4}}},
        {"a type that does not exist", {{1, 0, 0, 4}, {9, 1, 0, 4}}},
        {"a record among data", {{1, 0, 0, 4}, {CHUNK_SNAPSHOT, 1, 0, 4}}},
    };
    struct catalog_format format;
    int dirfd = catalogue_folder(&format);

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct pack_draft *draft = begin_draft(dirfd, &format);
        struct pack *pack = NULL;

        add_frame(draft, "12345678", 8);
        add_frame(draft, "12345678", 8);
        for (int k = 0; k < 2; k++)
            add_chunk(draft, bad[i].chunks[k].type, bad[i].chunks[k].frame, bad[i].chunks[k].offset,
                      bad[i].chunks[k].len);
        if (publish_and_open(dirfd, &format, draft, &pack) != ERR_CORRUPT)
            fail_msg("%s went unnoticed", bad[i].what);
    }
    close(dirfd);
}

/* Every byte of a small pack, two bits each: refused at opening, or in the frame; never other bytes. */
static void flip__anywhere_is_never_believed(void **state)
{
    struct buffer out = BUFFER_INIT(FRAME_RAW_MAX);
    unsigned char name[PACK_NAME_LEN];
    struct catalog_format format;
    struct error err = ERROR_INIT;
    struct found_pack file;
    struct pack *pack = NULL;
    unsigned char bytes[300];
    int dirfd = catalogue_folder(&format);
    struct pack_draft *draft = begin_draft(dirfd, &format);

    (void)state;
    fill_text(bytes, sizeof(bytes), 1);
    memcpy(name, pack_draft_name(draft), PACK_NAME_LEN);
    add_frame(draft, bytes, sizeof(bytes));
    add_chunk(draft, CHUNK_DATA, 0, 0, sizeof(bytes));
    assert_int_equal(publish_and_open(dirfd, &format, draft, &pack), OK);
    pack_close(pack);
    file = find_packs();
    for (uint64_t at = 0; at < file.size; at++) {
        for (unsigned bit = 1; bit < 256; bit *= 16) {
            enum error_kind rc;

            pack = NULL;
            flip_byte(file.path, at, (unsigned char)bit);
            rc = pack_open(dirfd, name, &format, &pack, &err);
            if (!rc)
                rc = pack_frame_read(pack, 0, &out, &err);
            if (rc != ERR_CORRUPT && rc != ERR_REFUSED)
                fail_msg("flip at %u went unnoticed", (unsigned)at);
            pack_close(pack);
            flip_byte(file.path, at, (unsigned char)bit);
        }
    }
    buffer_release(&out);
    close(dirfd);
}

static void header__newer_format_is_refused_by_name(void **state)
{
    struct pack_header header = {.kind = PACK_DATA};
    unsigned char raw[PACK_HEADER_LEN];
    struct error err = ERROR_INIT;

    (void)state;
    pack_header_encode(&header, raw);
    assert_ok(pack_header_decode(raw, "p", &header, &err));
    put_u16(raw + 8, PACK_FORMAT + 1);
    put_u64(raw + 120, hash64_of(0, raw, 120));
    assert_int_equal(pack_header_decode(raw, "p", &header, &err), ERR_REFUSED);
    put_u16(raw + 8, PACK_FORMAT);
    raw[60 + 30] = 1; /* what is zero in this format must be zero */
    put_u64(raw + 120, hash64_of(0, raw, 120));
    assert_int_equal(pack_header_decode(raw, "p", &header, &err), OK); /* a cutting parameter: any value */
    raw[119] = 1;
    put_u64(raw + 120, hash64_of(0, raw, 120));
    assert_int_equal(pack_header_decode(raw, "p", &header, &err), ERR_CORRUPT);
}

static void frame_header__lengths_are_limited(void **state)
{
    struct frame_header header = {.codec = CODEC_ZSTD, .raw = FRAME_RAW_MAX, .stored = 5}, back;
    unsigned char raw[FRAME_HEADER_LEN];
    struct error err = ERROR_INIT;

    (void)state;
    frame_header_encode(&header, raw);
    assert_ok(frame_header_decode(raw, &back, &err));
    header.raw = FRAME_RAW_MAX + 1;
    frame_header_encode(&header, raw);
    assert_int_equal(frame_header_decode(raw, &back, &err), ERR_CORRUPT);
    header.raw = 1;
    header.cipher = 1;
    frame_header_encode(&header, raw);
    assert_int_equal(frame_header_decode(raw, &back, &err), ERR_CORRUPT);
}

static void name__only_ours_is_ours(void **state)
{
    static const char *const others[] = {
        "",
        "3f",
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef.pac",
        "0123456789abcdef0123456789abcdef.packs",
        "0123456789ABCDEF0123456789abcdef.pack",
        "0123456789abcdeg0123456789abcdef.pack",
        "0123456789abcdef0123456789abcdef.tmp ",
    };
    unsigned char name[PACK_NAME_LEN];
    char path[PACK_PATH_MAX];
    bool part = true;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_false(pack_name_parse(others[i], &part, name));
    assert_true(pack_name_parse("0123456789abcdef0123456789abcdef.pack", &part, name));
    assert_false(part);
    pack_path(name, false, path);
    assert_string_equal(path, "packs/01/0123456789abcdef0123456789abcdef.pack");
    assert_true(pack_name_parse("0123456789abcdef0123456789abcdef.part", &part, name));
    assert_true(part);
}

static void codec__wrong_lengths_and_garbage_are_corrupt(void **state)
{
    struct buffer out = BUFFER_INIT(FRAME_RAW_MAX);
    struct compressor *compressor = NULL;
    struct error err = ERROR_INIT;
    unsigned char raw[5000], back[5000];
    const void *stored = NULL;
    size_t len = 0;
    uint8_t codec = 9;

    (void)state;
    fill_text(raw, sizeof(raw), 3);
    assert_ok(compressor_new(CODEC_LEVEL_DEFAULT, &compressor, &err));
    assert_ok(codec_compress(compressor, raw, sizeof(raw), &out, &codec, &stored, &len, &err));
    assert_int_equal(codec, CODEC_ZSTD);
    assert_true(len < sizeof(raw) / 2);
    assert_ok(codec_decompress(codec, stored, len, back, sizeof(back), &err));
    assert_memory_equal(raw, back, sizeof(raw));
    assert_int_equal(codec_decompress(codec, stored, len, back, sizeof(back) - 1, &err), ERR_CORRUPT);
    assert_int_equal(codec_decompress(codec, stored, len - 1, back, sizeof(back), &err), ERR_CORRUPT);
    assert_int_equal(codec_decompress(codec, raw, sizeof(raw), back, sizeof(back), &err), ERR_CORRUPT);
    assert_int_equal(codec_decompress(CODEC_STORED, raw, 10, back, 11, &err), ERR_CORRUPT);
    assert_int_equal(codec_decompress(7, raw, 10, back, 10, &err), ERR_CORRUPT);
    compressor_free(compressor);
    assert_int_equal(compressor_new(1000, &compressor, &err), OK); /* clamped by zstd to its highest */
    compressor_free(compressor);
    buffer_release(&out);
}

/* P11: its length is asked for before memory is. */
static void open__footer_beyond_all_measure(void **state)
{
    unsigned char raw[PACK_HEADER_LEN], tail[PACK_TRAILER_LEN];
    struct pack_header header = {.kind = PACK_DATA, .name = {1, 2, 3}};
    struct pack_trailer trailer = {.footer_at = PACK_HEADER_LEN, .footer_len = UINT64_C(1) << 40};
    char path[PACK_PATH_MAX], folder[PACK_PATH_MAX];
    struct error err = ERROR_INIT;
    struct pack *pack = NULL;
    int dirfd = catalogue_folder(&header.format);
    int fd;

    (void)state;
    for (; trailer.footer_len > 16u << 20; trailer.footer_len /= 16) {
        memcpy(trailer.name, header.name, PACK_NAME_LEN);
        pack_header_encode(&header, raw);
        pack_trailer_encode(&trailer, tail);
        pack_path(header.name, false, path);
        snprintf(folder, sizeof(folder), "%.8s", path);
        (void)mkdirat(dirfd, folder, 0700);
        fd = openat(dirfd, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, raw, sizeof(raw), 0), sizeof(raw));
        assert_int_equal(pwrite(fd, tail, sizeof(tail), (off_t)(PACK_HEADER_LEN + trailer.footer_len)), sizeof(tail));
        close(fd);
        assert_int_equal(pack_open(dirfd, header.name, &header.format, &pack, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, "trailer is damaged"));
    }
    close(dirfd);
}

/* Its bytes are in the file and its entry is not in the table: such a pack must never be sealed. */
static void draft__frame_that_found_no_place_in_the_table_ends_it(void **state)
{
    struct catalog_format format;
    struct error err = ERROR_INIT;
    struct footer_frame where;
    enum error_kind rc = OK;
    uint32_t frame = 0;
    int dirfd = catalogue_folder(&format);
    struct pack_draft *draft = begin_draft(dirfd, &format);

    (void)state;
    while (!rc && frame < FOOTER_MAX / FOOTER_FRAME_LEN)
        rc = pack_draft_frame(draft, CODEC_STORED, "", 0, 0, &frame, &where, &err);
    assert_int_equal(rc, ERR_MEMORY);
    error_clear(&err);
    /* Whoever goes on is told the same. */
    assert_int_equal(pack_draft_frame(draft, CODEC_STORED, "", 0, 0, &frame, &where, &err), ERR_MEMORY);
    error_clear(&err);
    assert_int_equal(pack_draft_seal(draft, &err), ERR_MEMORY);
    pack_draft_free(draft);
    close(dirfd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(draft__is_read_back),
        folder_test(draft__given_up_leaves_no_file),
        folder_test(open__entries_out_of_bounds_are_refused),
        folder_test(draft__frame_that_found_no_place_in_the_table_ends_it),
        folder_test(open__footer_beyond_all_measure),
        folder_test(flip__anywhere_is_never_believed),
        folder_test(header__newer_format_is_refused_by_name),
        folder_test(frame_header__lengths_are_limited),
        folder_test(name__only_ours_is_ours),
        folder_test(codec__wrong_lengths_and_garbage_are_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
