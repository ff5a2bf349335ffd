/* One page of the shop: asked, and told well from not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "health_internal.h"

#define PATH_LONGEST 2000 /* of what is taken from an answer */

static struct http_options http_of(const struct health_options *o)
{
    return (struct http_options){
        .host = o->host, .ca_file = o->ca_file, .timeout_ms = o->request_timeout_ms, .netns = o->netns};
}

void page_seen_release(struct page_seen *seen)
{
    free(seen->location);
    free(seen->picture);
    free(seen->says);
    *seen = (struct page_seen)PAGE_SEEN_INIT;
}

static bool body_has(const struct http_answer *a, const char *text)
{
    return a->body.len > 0 && strcasestr((const char *)a->body.data, text) != NULL;
}

/* wwwroot/ErrorPage.htm; 3.x redirects to /errorpage.htm; the pages of ASP.NET that developers see. */
static bool is_error_page(const struct http_answer *a)
{
    return body_has(a, "an internal error occurred") || body_has(a, "Server Error in '") ||
           body_has(a, "An unhandled exception occurred while processing the request");
}

/* The pages of IIS's module for an application that did not start: "HTTP Error 500.30 - ...", "HTTP Error 502.5 - ...". */
static bool is_crash_page(const struct http_answer *a)
{
    return a->status >= 500 && (body_has(a, "HTTP Error 500.3") || body_has(a, "HTTP Error 502.5"));
}

/* The length of a URL up to its path: scheme, host and port. */
static size_t origin_length(const char *url)
{
    return (size_t)(http_url_path(url) - url);
}

/* Does this redirect stay at the place that was asked? Its path below the base path then, else NULL. */
static const char *inside(const struct health_options *o, const char *location)
{
    const char *path = http_url_path(location);
    const char *base = http_url_path(o->url);
    size_t base_len = strcspn(base, "?#");
    const char *host = strstr(location, "://");
    const char *asked = strstr(o->url, "://");
    size_t host_len = 0;
    const char *at = NULL;

    if (!host || !asked || (host - location) != (asked - o->url) ||
        strncasecmp(location, o->url, (size_t)(host - location)) != 0)
        return NULL; /* another scheme */
    host += 3;
    asked += 3;
    host_len = (size_t)(path - host);
    at = memrchr(host, '@', host_len);
    if (at) {
        host_len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    at = memrchr(asked, '@', origin_length(o->url) - (size_t)(asked - o->url));
    if (at)
        asked = at + 1;
    if (o->host ? strncasecmp(host, o->host, host_len) != 0 || o->host[host_len] != '\0'
                : strncasecmp(host, asked, host_len) != 0 || asked + host_len != base)
        return NULL;
    while (base_len > 0 && base[base_len - 1] == '/')
        base_len--;
    return strncmp(path, base, base_len) == 0 && path[base_len] == '/' ? path + base_len : NULL;
}

static enum error_kind take_location(const struct health_options *o, const struct http_answer *a, char **out,
                                     struct error *err)
{
    const char *path = a->location ? inside(o, a->location) : NULL;
    char shown[512];

    if (!a->location)
        return OK;
    text_name(path ? path : a->location, strlen(path ? path : a->location), shown, sizeof(shown));
    return memory_string(shown, out, err);
}

/* ---- pictures ---- */

#define ENDS_ADDRESS "\"'()<>,;& \t\r\n" /* &quot; too */

/* The first address in a page that names a thumbnail, as a path below the base path. */
static enum error_kind find_picture(const struct health_options *o, const struct http_answer *a, char **out,
                                    struct error *err)
{
    const char *text = (const char *)a->body.data;
    const char *base = http_url_path(o->url);
    size_t base_len = strcspn(base, "?#");
    const char *found = a->body.len > 0 ? strcasestr(text, "/images/thumbs/") : NULL;
    const char *path = NULL;
    size_t len;

    if (!found)
        return OK;
    len = strcspn(found, ENDS_ADDRESS "?#");
    while (found > text && !strchr(ENDS_ADDRESS "=", found[-1])) {
        found--;
        len++;
    }
    path = http_url_path(found);
    if (path < found + len) { /* an absolute address names the shop by whatever name it has */
        len -= (size_t)(path - found);
        found = path;
    }
    while (base_len > 0 && base[base_len - 1] == '/')
        base_len--;
    if (len > base_len && strncmp(found, base, base_len) == 0) {
        found += base_len;
        len -= base_len;
    }
    return *found == '/' && len < PATH_LONGEST ? memory_format(out, err, "%.*s", (int)len, found) : OK;
}

bool picture_is_stand_in(const char *path)
{
    return strstr(path, "/default-image") != NULL || strstr(path, "/default-avatar") != NULL;
}

enum error_kind slug_path(const char *slug, char **out, struct error *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    struct buffer path = BUFFER_INIT(PATH_LONGEST);
    enum error_kind rc = buffer_append_text(&path, "/", err);

    for (const char *c = slug; *c && !rc; c++) {
        if (strchr(plain, *c))
            rc = buffer_append(&path, c, 1, err);
        else
            rc = buffer_append_format(&path, err, "%%%02X", (unsigned char)*c);
    }
    if (!rc)
        *out = buffer_detach(&path);
    buffer_release(&path);
    return rc;
}

/* ---- looking ---- */

static enum error_kind say(struct page_seen *seen, const struct http_answer *a, struct error *err)
{
    switch (seen->state) {
    case PAGE_FINE:
        return memory_string("answers", &seen->says, err);
    case PAGE_INSTALL:
        return memory_string(
            "redirects to /install: the shop has lost its configuration, and that page lets any visitor install over it",
            &seen->says, err);
    case PAGE_CRASHED:
        return memory_format(&seen->says, err, "says that the application did not start (%s)",
                             body_has(a, "HTTP Error 502.5") ? "502.5" : "500.3x");
    case PAGE_SILENT:
    case PAGE_BAD:
        break;
    }
    if (!a->status)
        return memory_format(&seen->says, err, "does not answer: %s%s", a->why,
                             a->untrusted ? " (ca-file names the certificate to trust, host-header the name it is for)"
                                          : "");
    if (seen->location)
        return memory_format(&seen->says, err, "redirects to %s (status %ld)", seen->location, a->status);
    if (is_error_page(a))
        return memory_format(&seen->says, err, "shows the error page with status %ld", a->status);
    if (a->status == 200)
        return memory_string("is empty", &seen->says, err);
    return memory_format(&seen->says, err, "answers with status %ld", a->status);
}

static enum page_state judge(const struct health_options *o, const struct http_answer *a)
{
    if (a->untrusted)
        return PAGE_BAD;
    if (http_leads_to_install(o->url, a->location))
        return PAGE_INSTALL;
    if (is_crash_page(a))
        return PAGE_CRASHED;
    if (a->status == 0 || a->status == 502 || a->status == 503 || a->status == 504)
        return PAGE_SILENT;
    return a->status == 200 && a->body.len > 0 && !is_error_page(a) ? PAGE_FINE : PAGE_BAD;
}

enum error_kind page_ask(const struct health_options *o, const char *path, struct http_answer *a, struct error *err)
{
    const struct http_options http = http_of(o);
    char *url = NULL;
    enum error_kind rc = OK;

    /* What the owner wrote is the first page, whether it ends with a slash or not. */
    if (strcmp(path, HEALTH_FIRST_PAGE) == 0)
        return http_get(o->url, &http, a, err);
    rc = http_url_join(o->url, path, &url, err);
    if (!rc)
        rc = http_get(url, &http, a, err);
    free(url);
    return rc;
}

enum error_kind page_look(const struct health_options *o, const char *path, struct page_seen *out, struct error *err)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    struct page_seen seen = PAGE_SEEN_INIT;
    enum error_kind rc = page_ask(o, path, &a, err);

    if (rc)
        return rc;
    seen.status = a.status;
    seen.state = judge(o, &a);
    rc = take_location(o, &a, &seen.location, err);
    if (!rc && seen.state == PAGE_FINE)
        rc = find_picture(o, &a, &seen.picture, err);
    if (!rc)
        rc = say(&seen, &a, err);
    if (!rc) {
        *out = seen;
        seen = (struct page_seen)PAGE_SEEN_INIT;
    }
    page_seen_release(&seen);
    http_answer_release(&a);
    return rc;
}

enum error_kind picture_look(const struct health_options *o, const char *path, struct page_seen *out, struct error *err)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    struct page_seen seen = PAGE_SEEN_INIT;
    enum error_kind rc = page_ask(o, path, &a, err);
    bool image = false;

    if (rc)
        return rc;
    image = a.content_type && strncasecmp(a.content_type, "image/", 6) == 0;
    seen.status = a.status;
    seen.state = judge(o, &a);
    if (seen.state == PAGE_FINE && !image)
        seen.state = PAGE_BAD;
    rc = take_location(o, &a, &seen.location, err);
    if (!rc && a.status == 200 && a.body.len > 0 && !image)
        rc = memory_string("is no picture", &seen.says, err);
    else if (!rc)
        rc = say(&seen, &a, err);
    if (!rc) {
        *out = seen;
        seen = (struct page_seen)PAGE_SEEN_INIT;
    }
    page_seen_release(&seen);
    http_answer_release(&a);
    return rc;
}

enum error_kind owners_page_look(const struct health_options *o, const char *line, char **says, struct error *err)
{
    const struct http_options own = http_of(o);
    const struct http_options other = {.ca_file = o->ca_file, .timeout_ms = o->request_timeout_ms};
    const char *text = line + strcspn(line, " \t");
    struct http_answer a = HTTP_ANSWER_INIT;
    char *where = NULL;
    char *url = NULL;
    enum error_kind rc = memory_format(&where, err, "%.*s", (int)(text - line), line);

    text += strspn(text, " \t");
    if (!rc && *where == '/')
        rc = http_url_join(o->url, where, &url, err);
    if (!rc) /* another place has a name of its own */
        rc = http_get(url ? url : where, url ? &own : &other, &a, err);
    if (rc)
        goto done;
    if (a.status == 0)
        rc = memory_format(says, err, "does not answer: %s", a.why);
    else if (a.status != 200)
        rc = memory_format(says, err, "answers with status %ld", a.status);
    else if (!a.body.len || !memmem(a.body.data, a.body.len, text, strlen(text)))
        rc = memory_format(says, err, "does not hold \"%s\"", text);

done:
    http_answer_release(&a);
    free(where);
    free(url);
    return rc;
}
