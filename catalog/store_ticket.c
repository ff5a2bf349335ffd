#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"
#include "unnamed_file.h"

/* Tickets are asked for in the order of the tree and were handed out in the order of reading: pages are small, since most are read for one. */
#define PAGE_RECORDS 128
#define PAGES 512 /* in memory; page n lives in place n modulo PAGES */

struct page {
    unsigned char *bytes; /* NULL: not used yet */
    uint64_t number;
    bool dirty;
};

struct paged_file {
    struct catalog *cat;
    size_t record_len, page_len;
    struct page pages[PAGES];
    uint64_t pages_written; /* pages below this number may be in the file */
    int fd;                 /* -1 until a page has to leave the memory */
};

enum error_kind paged_file_new(struct catalog *cat, size_t record_len, struct paged_file **out, struct error *err)
{
    enum error_kind rc = memory_zeroed(1, sizeof(**out), (void **)out, err);

    if (rc)
        return rc;
    (*out)->cat = cat;
    (*out)->record_len = record_len;
    (*out)->page_len = record_len * PAGE_RECORDS;
    (*out)->fd = -1;
    return OK;
}

void paged_file_free(struct paged_file *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < PAGES; i++)
        free(f->pages[i].bytes);
    file_close(&f->fd);
    free(f);
}

static enum error_kind page_out(struct paged_file *f, struct page *p, struct error *err)
{
    enum error_kind rc;

    if (!p->bytes || !p->dirty)
        return OK;
    rc = f->fd < 0 ? unnamed_file_open(f->cat->dirfd, CACHE_NAME, &f->fd, err) : OK;
    if (!rc)
        rc = file_write_at(f->fd, p->bytes, f->page_len, p->number * f->page_len, "tickets", err);
    if (rc)
        return rc;
    p->dirty = false;
    if (f->pages_written <= p->number)
        f->pages_written = p->number + 1;
    return OK;
}

/* A hole, or the end, reads as zero. */
static enum error_kind read_page(struct paged_file *f, struct page *p, struct error *err)
{
    size_t have = 0;

    while (have < f->page_len) {
        ssize_t got = pread(f->fd, p->bytes + have, f->page_len - have, (off_t)(p->number * f->page_len + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, ERR_IO, errno, "reading tickets");
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return OK;
}

static enum error_kind page_in(struct paged_file *f, struct page *p, uint64_t number, struct error *err)
{
    enum error_kind rc = OK;

    if (!p->bytes)
        rc = memory_allocate(f->page_len, (void **)&p->bytes, err);
    if (rc)
        return rc;
    p->number = number;
    p->dirty = false;
    memset(p->bytes, 0, f->page_len);
    return number < f->pages_written ? read_page(f, p, err) : OK;
}

enum error_kind paged_file_at(struct paged_file *f, uint64_t n, bool write, unsigned char **record, struct error *err)
{
    uint64_t number = n / PAGE_RECORDS;
    struct page *p = &f->pages[number % PAGES];
    enum error_kind rc = OK;

    if (!p->bytes || p->number != number) {
        rc = page_out(f, p, err);
        if (!rc)
            rc = page_in(f, p, number, err);
        if (rc)
            return rc;
    }
    p->dirty = p->dirty || write;
    *record = p->bytes + n % PAGE_RECORDS * f->record_len;
    return OK;
}
