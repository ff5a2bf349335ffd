/* Page by page: what the copy answers beside what the live shop answers. */
#include <libxml/HTMLparser.h>
#include <libxml/xpath.h>
#include <stdlib.h>
#include <string.h>

#include "health_internal.h"
#include "rehearse_internal.h"

#define TITLE_MAX 120

/* Half or twice as long is another page. */
#define TIMES_LONGER 2

static enum error_kind take_title(const struct http_answer *a, char **out, struct error *err)
{
    htmlDocPtr doc =
        a->body.len == 0
            ? NULL
            : htmlReadMemory((const char *)a->body.data, (int)a->body.len, NULL, NULL,
                             HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
    xmlXPathContextPtr context = doc ? xmlXPathNewContext(doc) : NULL;
    xmlXPathObjectPtr found =
        context ? xmlXPathEvalExpression((const xmlChar *)"normalize-space(//title)", context) : NULL;
    const char *text = found && found->stringval ? (const char *)found->stringval : "";
    char shown[TITLE_MAX];
    enum error_kind rc;

    text_name(text, strlen(text), shown, sizeof(shown));
    rc = memory_string(shown, out, err);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return rc;
}

/* Below the base path and without the query, which may name the shop's own address again. */
static enum error_kind take_location(const struct health_options *o, const struct http_answer *a, char **out,
                                     struct error *err)
{
    const char *path = a->location ? http_url_path(a->location) : "";
    const char *base = http_url_path(o->url);
    size_t n = strcspn(base, "?");
    char shown[TITLE_MAX];

    while (n > 0 && base[n - 1] == '/')
        n--;
    if (!strncmp(path, base, n) && (path[n] == '/' || !path[n]))
        path += n;
    text_name(path, strcspn(path, "?#"), shown, sizeof(shown));
    return memory_string(shown, out, err);
}

static enum error_kind look(const struct health_options *o, const char *path, struct rehearse_seen *out,
                            struct error *err)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    enum error_kind rc = page_ask(o, path, &a, err);

    if (rc)
        return rc;
    out->status = a.status;
    out->bytes = a.body.len;
    rc = take_title(&a, &out->title, err);
    if (!rc)
        rc = take_location(o, &a, &out->location, err);
    http_answer_release(&a);
    return rc;
}

static bool is_other(const struct rehearse_page *p)
{
    return p->live.status != p->copy.status || strcmp(p->live.title, p->copy.title) != 0 ||
           strcmp(p->live.location, p->copy.location) != 0 || p->live.bytes > TIMES_LONGER * p->copy.bytes ||
           p->copy.bytes > TIMES_LONGER * p->live.bytes;
}

static const char *leads(const struct rehearse_seen *seen)
{
    return seen->location[0] ? ", leads to " : "";
}

static enum error_kind compare(const struct health_options *live, const struct health_options *copy,
                               const struct health_page *page, struct rehearse_result *out, struct error *err)
{
    struct rehearse_page *p = &out->pages[out->page_count];
    enum error_kind rc = memory_string(page->path, &p->path, err);

    if (rc)
        return rc;
    out->page_count++; /* from here on it is released with the rest */
    rc = look(live, page->path, &p->live, err);
    if (!rc)
        rc = look(copy, page->path, &p->copy, err);
    if (rc)
        return rc;
    p->differs = is_other(p);
    return p->differs
               ? text_list_addf(&out->warnings, err,
                                "%s (%s) is another page in the copy: status %ld, %zu bytes, \"%s\"%s%s; the live "
                                "shop: status %ld, %zu bytes, \"%s\"%s%s",
                                page->what, page->path, p->copy.status, p->copy.bytes, p->copy.title, leads(&p->copy),
                                p->copy.location, p->live.status, p->live.bytes, p->live.title, leads(&p->live),
                                p->live.location)
               : OK;
}

enum error_kind rehearse_pages(const struct rehearsal *r, const struct health_options *copy,
                               struct rehearse_result *out, struct error *err)
{
    const struct health_options *live = &r->context->health;
    const struct health_baseline *before = &r->context->before;
    void *memory = NULL;
    enum error_kind rc = OK;

    if (!live->url || !before->page_count)
        return OK;
    rc = memory_zeroed(before->page_count, sizeof(*out->pages), &memory, err);
    out->pages = memory;
    for (size_t i = 0; i < before->page_count && !rc; i++)
        rc = compare(live, copy, &before->pages[i], out, err);
    return rc;
}
