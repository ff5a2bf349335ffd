#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netns.h"
#include "text.h"
#include "thread.h"

#define TIMEOUT_MS 30000
/* "*robots*" is in the list of crawlers (App_Data/browscap.crawlersonly.xml) of every nopCommerce looked at, 3.90 to 4.90; "bot" is not. */
#define USER_AGENT "nopsnap/" NOPSNAP_VERSION " (robots)"

struct receiving {
    struct http_answer *answer;
    bool cut; /* longer than we keep */
    bool no_memory;
};

static size_t receive(char *data, size_t size, size_t n, void *arg)
{
    struct receiving *r = arg;
    struct buffer *body = &r->answer->body;
    struct error ignored = ERROR_INIT;
    size_t len = size * n;

    if (len > HTTP_BODY_MAX - body->len) {
        len = HTTP_BODY_MAX - body->len;
        r->cut = true;
    }
    if (buffer_append(body, data, len, &ignored))
        r->no_memory = true;
    return r->cut || r->no_memory ? CURL_WRITEFUNC_ERROR : len;
}

/* A request that hangs must not keep a signal waiting. */
static int interrupted(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)arg, (void)a, (void)b, (void)c, (void)d;
    return cancel_is_asked();
}

/* The name we ask for takes the place of the URL's, and the connection goes where the URL says: so the certificate is checked against the name. */
static enum error_kind ask_by_name(CURLU *u, const char *host, struct curl_slist **connect_to, struct error *err)
{
    const char *colon = strrchr(host, ':');
    bool has_port = colon && !strchr(colon, ']');
    char *to_host = NULL;
    char *to_port = NULL;
    char *name = NULL;
    char *route = NULL;
    enum error_kind rc;

    if (curl_url_get(u, CURLUPART_HOST, &to_host, 0) || curl_url_get(u, CURLUPART_PORT, &to_port, CURLU_DEFAULT_PORT)) {
        rc = error_set(err, ERR_USAGE, 0, "the shop's url has no host");
        goto done;
    }
    rc = memory_format(&route, err, "::%s:%s", to_host, to_port);
    if (!rc)
        rc = memory_format(&name, err, "%.*s", has_port ? (int)(colon - host) : (int)strlen(host), host);
    if (rc)
        goto done;
    if (curl_url_set(u, CURLUPART_HOST, name, 0) || curl_url_set(u, CURLUPART_PORT, has_port ? colon + 1 : NULL, 0)) {
        rc = error_set(err, ERR_USAGE, 0, "'%s' is no name of a host", host);
        goto done;
    }
    *connect_to = curl_slist_append(NULL, route);
    if (!*connect_to)
        rc = error_set(err, ERR_MEMORY, 0, "out of memory");

done:
    curl_free(to_host);
    curl_free(to_port);
    free(name);
    free(route);
    return rc;
}

static enum error_kind no_url(const char *url, struct error *err)
{
    char *shown = NULL;
    enum error_kind rc = http_url_shown(url, &shown, err);

    if (!rc) {
        rc = error_set(err, ERR_USAGE, 0, "%s is no URL that can be asked", shown);
        error_hint(err, "write it as http://HOST:PORT/ or https://HOST/");
    }
    free(shown);
    return rc;
}

static enum error_kind take(CURL *c, struct http_answer *a, struct error *err)
{
    char *text = NULL;
    enum error_kind rc = OK;

    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
    if (curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &text) == CURLE_OK && text)
        rc = memory_string(text, &a->location, err);
    if (!rc && curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &text) == CURLE_OK && text)
        rc = memory_string(text, &a->content_type, err);
    return rc;
}

static enum error_kind perform(CURL *c, struct receiving *r, struct error *err)
{
    struct http_answer *a = r->answer;
    char why[CURL_ERROR_SIZE] = "";
    CURLcode got;
    enum error_kind rc;

    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    got = curl_easy_perform(c);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    if (r->no_memory)
        return error_set(err, ERR_MEMORY, 0, "out of memory for an answer");
    if (got == CURLE_ABORTED_BY_CALLBACK && (rc = cancel_check(err)) != OK)
        return rc;
    if (got == CURLE_OK || (got == CURLE_WRITE_ERROR && r->cut))
        return take(c, a, err);
    a->untrusted = got == CURLE_PEER_FAILED_VERIFICATION || got == CURLE_SSL_CACERT_BADFILE;
    text_name(why, strlen(why), a->why, sizeof(a->why));
    if (!a->why[0])
        (void)snprintf(a->why, sizeof(a->why), "%s", curl_easy_strerror(got));
    return OK;
}

static curl_socket_t open_apart(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    const struct http_options *o = arg;
    struct error ignored = ERROR_INIT;
    int fd = -1;

    (void)purpose;
    return netns_socket(o->netns, to->family, to->socktype, to->protocol, &fd, &ignored) ? CURL_SOCKET_BAD : fd;
}

static void set_up(CURL *c, CURLU *u, const struct http_options *o, struct receiving *r)
{
    curl_easy_setopt(c, CURLOPT_CURLU, u);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_USERAGENT, USER_AGENT);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS));
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, interrupted);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
    if (o->netns > 0) {
        curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_apart);
        curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, (void *)(uintptr_t)o);
    }
    if (o->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, o->ca_file);
}

enum error_kind http_get(const char *url, const struct http_options *options, struct http_answer *out,
                         struct error *err)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    struct receiving r = {.answer = &a};
    struct curl_slist *connect_to = NULL;
    CURLU *u = curl_url();
    CURL *c = curl_easy_init();
    enum error_kind rc = OK;

    if (!u || !c) {
        rc = error_set(err, ERR_MEMORY, 0, "out of memory");
        goto done;
    }
    if (curl_url_set(u, CURLUPART_URL, url, 0)) {
        rc = no_url(url, err);
        goto done;
    }
    if (options->host)
        rc = ask_by_name(u, options->host, &connect_to, err);
    if (rc)
        goto done;
    set_up(c, u, options, &r);
    if (connect_to)
        curl_easy_setopt(c, CURLOPT_CONNECT_TO, connect_to);
    rc = perform(c, &r, err);
    if (rc)
        goto done;
    *out = a;
    a = (struct http_answer)HTTP_ANSWER_INIT;

done:
    curl_easy_cleanup(c);
    curl_url_cleanup(u);
    curl_slist_free_all(connect_to);
    http_answer_release(&a);
    return rc;
}

void http_answer_release(struct http_answer *a)
{
    free(a->location);
    free(a->content_type);
    buffer_release(&a->body);
    *a = (struct http_answer)HTTP_ANSWER_INIT;
}

/* ---- URLs as text ---- */

static const char *host_of(const char *url)
{
    const char *scheme = strstr(url, "://");

    return scheme && (size_t)(scheme - url) < strcspn(url, "/?#") ? scheme + 3 : NULL;
}

enum error_kind http_url_shown(const char *url, char **out, struct error *err)
{
    const char *host = host_of(url);
    const char *end;
    const char *at;

    if (!host)
        host = url;
    end = host + strcspn(host, "/?#");
    at = memrchr(host, '@', (size_t)(end - host));
    return memory_format(out, err, "%.*s%s", (int)(host - url), url, at ? at + 1 : host);
}

const char *http_url_path(const char *url)
{
    const char *host = host_of(url);

    return host ? host + strcspn(host, "/?#") : url;
}

/* How much of a base URL stands before the path of a page. */
static size_t base_length(const char *base)
{
    const char *path = http_url_path(base);
    size_t len = (size_t)(path - base) + strcspn(path, "?#");

    while (base + len > path && base[len - 1] == '/')
        len--;
    return len;
}

enum error_kind http_url_join(const char *base, const char *path, char **out, struct error *err)
{
    return memory_format(out, err, "%.*s%s", (int)base_length(base), base, path);
}

bool http_leads_to_install(const char *base, const char *location)
{
    const char *base_path = http_url_path(base);
    size_t base_len = base_length(base) - (size_t)(base_path - base);
    const char *path = location ? http_url_path(location) : "";

    if (strncmp(path, base_path, base_len) == 0)
        path += base_len;
    return strncasecmp(path, "/install", 8) == 0 && strchr("/?#", path[8]);
}
