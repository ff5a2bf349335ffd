/*
 * Asking a shop over HTTP: one GET, never followed to another place. http.c is the only file of the program that includes curl.h.
 *
 *     struct http_answer a = HTTP_ANSWER_INIT;
 *     rc = http_get("https://127.0.0.1:5001/login", &options, &a, err);
 *     if (!rc && a.status == 200) ...
 *     http_answer_release(&a);
 *
 * The shop takes us for a crawler, so that a request makes no guest customer. The environment's proxies are not used: what a proxy
 * answers says nothing of the shop.
 */
#ifndef NOPSNAP_HTTP_H
#define NOPSNAP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"
#include "error.h"

struct http_options {
    const char *
        host; /* "shop.example" or "shop.example:8443": the name it is asked by, and its certificate's; NULL: the URL's own */
    const char *ca_file; /* certificates (PEM) that are trusted instead of the system's; or NULL */
    int timeout_ms;      /* for the whole answer; 0: 30 s */
    int netns;           /* of netns_make(): where the shop listens; 0: in ours */
};

struct http_answer {
    long status;        /* 0: there was no answer, and why says so */
    char *location;     /* where a redirect leads, as an absolute URL; or NULL */
    char *content_type; /* as sent, or NULL */
    struct buffer body; /* its first 4 MiB */
    bool untrusted;     /* there was none because of the certificate */
    char why[256];
};

#define HTTP_BODY_MAX (4u << 20)
#define HTTP_ANSWER_INIT                                         \
    {                                                            \
        0, NULL, NULL, BUFFER_INIT(HTTP_BODY_MAX + 1), false, "" \
    }

/*
 * Ask once.
 *
 * url        http or https, perhaps with "user:password@"
 * Returns    OK also when nobody answers (status 0); ERR_USAGE for what is no URL, ERR_CANCELLED once a signal came, ERR_MEMORY
 */
enum error_kind http_get(const char *url, const struct http_options *options, struct http_answer *out,
                         struct error *err);
void http_answer_release(struct http_answer *a);

/* The URL for people: without the "user:password@" that it may have (P10). Caller frees. */
enum error_kind http_url_shown(const char *url, char **out, struct error *err);
/* Where the path of a URL begins: borrowed, "" if it has none; a text that is no URL is a path. */
const char *http_url_path(const char *url);
/*
 * The URL of a page of the shop: base without query and closing slash, then path.
 *
 * base       the URL of the shop's first page; its path is the base path
 * path       begins with a slash
 */
enum error_kind http_url_join(const char *base, const char *path, char **out, struct error *err);
/*
 * Does this redirect lead to the page /install below base? With its configuration lost, every URL of nopCommerce does, and that page
 * lets any visitor install over the shop.
 */
bool http_leads_to_install(const char *base, const char *location);

#endif
