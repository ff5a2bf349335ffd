/*
 * An nbdkit plugin that serves a disk image and records every write and every flush, so that a power cut at any moment can
 * be played back: all that was written up to the last flush, and any part of what came after.
 *
 *     nbdkit -U SOCKET recorder.so img=IMAGE rec=RECORD
 *
 * RECORD is a run of {kind u32 (1 write, 2 flush), length u32, offset u64} in little-endian order, a write's data behind it.
 * Requests are served one by one, so the record's order is the order in which the image changed.
 */
#define NBDKIT_API_VERSION 2

#include <errno.h>
#include <fcntl.h>
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

enum kind { KIND_WRITE = 1, KIND_FLUSH = 2 };

static char *image_path;
static char *record_path;
static int image = -1;
static int record = -1;

static int recorder_config(const char *key, const char *value)
{
    char **to = !strcmp(key, "img") ? &image_path : !strcmp(key, "rec") ? &record_path : NULL;

    if (!to) {
        nbdkit_error("unknown parameter %s", key);
        return -1;
    }
    free(*to);
    *to = nbdkit_absolute_path(value);
    return *to ? 0 : -1;
}

static int recorder_config_complete(void)
{
    if (image_path && record_path)
        return 0;
    nbdkit_error("img= and rec= are needed");
    return -1;
}

static int recorder_get_ready(void)
{
    image = open(image_path, O_RDWR | O_CLOEXEC);
    record = open(record_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (image >= 0 && record >= 0)
        return 0;
    nbdkit_error("cannot open the image or the record: %m");
    return -1;
}

static void recorder_unload(void)
{
    if (image >= 0)
        close(image);
    if (record >= 0)
        close(record);
    free(image_path);
    free(record_path);
}

static void *recorder_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t recorder_get_size(void *handle)
{
    struct stat st;

    (void)handle;
    if (fstat(image, &st) != 0) {
        nbdkit_error("fstat: %m");
        return -1;
    }
    return st.st_size;
}

static int recorder_pread(void *handle, void *bytes, uint32_t count, uint64_t offset, uint32_t flags)
{
    char *to = bytes;

    (void)handle;
    (void)flags;
    while (count > 0) {
        ssize_t n = pread(image, to, count, (off_t)offset);

        if (n <= 0) {
            nbdkit_error("pread: %m");
            return -1;
        }
        to += n;
        count -= (uint32_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int write_all(int fd, const char *from, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, from, count);

        if (n < 0) {
            nbdkit_error("write: %m");
            return -1;
        }
        from += n;
        count -= (size_t)n;
    }
    return 0;
}

static void put(unsigned char *to, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> (8 * i));
}

static int note(enum kind kind, uint32_t count, uint64_t offset)
{
    unsigned char head[16];

    put(head, kind, 4);
    put(head + 4, count, 4);
    put(head + 8, offset, 8);
    return write_all(record, (const char *)head, sizeof(head));
}

static int recorder_pwrite(void *handle, const void *bytes, uint32_t count, uint64_t offset, uint32_t flags)
{
    const char *from = bytes;
    uint32_t left = count;
    uint64_t at = offset;

    (void)handle;
    (void)flags;
    if (note(KIND_WRITE, count, offset) != 0 || write_all(record, bytes, count) != 0)
        return -1;
    while (left > 0) {
        ssize_t n = pwrite(image, from, left, (off_t)at);

        if (n < 0) {
            nbdkit_error("pwrite: %m");
            return -1;
        }
        from += n;
        left -= (uint32_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int recorder_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return note(KIND_FLUSH, 0, 0);
}

static int recorder_can_flush(void *handle)
{
    (void)handle;
    return 1;
}

/* A write that must be durable by itself becomes a write and a flush, which is what the replay understands. */
static int recorder_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_EMULATE;
}

static struct nbdkit_plugin plugin = {
    .name = "nopsnap-recorder",
    .config = recorder_config,
    .config_complete = recorder_config_complete,
    .get_ready = recorder_get_ready,
    .unload = recorder_unload,
    .open = recorder_open,
    .get_size = recorder_get_size,
    .pread = recorder_pread,
    .pwrite = recorder_pwrite,
    .flush = recorder_flush,
    .can_flush = recorder_can_flush,
    .can_fua = recorder_can_fua,
};

NBDKIT_REGISTER_PLUGIN(plugin)
