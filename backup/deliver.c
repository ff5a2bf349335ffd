/*
 * One attempt to reach an endpoint, by libcurl: the only file of this room that includes curl.h.
 *
 * Redirects are not followed: a POST would become a GET, and a login goes to nobody but its own host. libcurl's own words for a fault are used,
 * never its error buffer, which may hold what the other side says.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "notify_internal.h"
#include "thread.h"

#define ANSWER_MAX (64u << 10) /* read and thrown away; more ends the request */

struct attempt {
    CURL *curl;
    size_t answered;
    const struct buffer *mail;
    size_t sent;
};

static size_t throw_away(char *data, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;

    (void)data;
    a->answered += size * n;
    return a->answered > ANSWER_MAX ? CURL_WRITEFUNC_ERROR : size * n;
}

static size_t hand_over(char *out, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    size_t len = a->mail->len - a->sent;

    if (len > size * n)
        len = size * n;
    memcpy(out, a->mail->data + a->sent, len);
    a->sent += len;
    return len;
}

static int interrupted(void *arg, curl_off_t x, curl_off_t y, curl_off_t z, curl_off_t w)
{
    (void)arg, (void)x, (void)y, (void)z, (void)w;
    return cancel_is_asked();
}

static enum error_kind begin(struct attempt *a, const struct notify_settings *s, int timeout_ms, struct error *err)
{
    CURL *c = curl_easy_init();

    if (!c)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a notification");
    a->curl = c;
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "nopsnap/" NOPSNAP_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, throw_away);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, interrupted);
    if (s->ca_file)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file);
    return OK;
}

/* Faults that the next attempt need not have. */
static bool may_pass(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_SSL_CONNECT_ERROR:
        return true;
    default:
        return false;
    }
}

static enum error_kind fault(CURLcode code, long status, enum delivered *out, char why[WHY_MAX], struct error *err)
{
    enum error_kind rc = cancel_check(err);

    if (rc)
        return rc;
    if (code == CURLE_OUT_OF_MEMORY)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a notification");
    /* An SMTP server's 4xx means "later". */
    *out = may_pass(code) || (status >= 400 && status < 500) ? DELIVER_LATER : DELIVER_NEVER;
    if (status > 0)
        (void)snprintf(why, WHY_MAX, "%s (%ld)", curl_easy_strerror(code), status);
    else
        (void)snprintf(why, WHY_MAX, "%s", curl_easy_strerror(code));
    return OK;
}

enum error_kind deliver_http(const struct notify_settings *s, const char *url, const struct buffer *json,
                             int timeout_ms, enum delivered *out, char why[WHY_MAX], struct error *err)
{
    struct attempt a = {NULL, 0, NULL, 0};
    struct curl_slist *headers = NULL;
    enum error_kind rc = begin(&a, s, timeout_ms, err);
    CURLcode code;
    long status = 0;

    if (rc)
        return rc;
    (void)curl_easy_setopt(a.curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(a.curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (json) {
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        (void)curl_easy_setopt(a.curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(a.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)json->len);
        (void)curl_easy_setopt(a.curl, CURLOPT_POSTFIELDS, json->data);
    }
    code = curl_easy_perform(a.curl);
    (void)curl_easy_getinfo(a.curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_WRITE_ERROR && a.answered > ANSWER_MAX)
        code = CURLE_OK; /* the status was there long before */
    if (code) {
        rc = fault(code, 0, out, why, err);
    } else if (status >= 200 && status < 300) {
        *out = DELIVERED;
    } else {
        *out = status == 408 || status == 429 || status >= 500 ? DELIVER_LATER : DELIVER_NEVER;
        (void)snprintf(why, WHY_MAX,
                       status >= 300 && status < 400 ? "it answers %ld: it has another address now" : "it answers %ld",
                       status);
    }
    curl_easy_cleanup(a.curl);
    curl_slist_free_all(headers);
    return rc;
}

/* The name that we greet with; what is no name of a host is not said. */
static void own_name(char out[256])
{
    if (gethostname(out, 255) || out[0] == '\0' ||
        out[strspn(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] != '\0')
        (void)snprintf(out, 256, "localhost");
    out[255] = '\0';
}

/* A server on this host may be without TLS, as long as it gets no login. */
static bool is_own_host(const char *server)
{
    const char *host = strstr(server, "://") + 3;
    size_t len = strncmp(host, "[::1]", 5) == 0 ? 5 : strcspn(host, ":");

    return (len == 9 && strncasecmp(host, "localhost", len) == 0) || strncmp(host, "127.", 4) == 0 ||
           (len == 5 && host[0] == '[');
}

static struct curl_slist *receivers(const struct text_list *to)
{
    struct curl_slist *list = NULL;

    for (size_t i = 0; i < to->count; i++) {
        struct curl_slist *longer = curl_slist_append(list, to->items[i]);

        if (!longer) {
            curl_slist_free_all(list);
            return NULL;
        }
        list = longer;
    }
    return list;
}

enum error_kind deliver_mail(const struct notify_settings *s, const struct buffer *mail, int timeout_ms,
                             enum delivered *out, char why[WHY_MAX], struct error *err)
{
    struct attempt a = {NULL, 0, mail, 0};
    struct curl_slist *to = receivers(&s->mail_to);
    bool may_be_plain = !s->mail_user && is_own_host(s->mail_server);
    char greeting[256];
    char *url = NULL;
    CURLcode code;
    long status = 0;
    enum error_kind rc = to ? begin(&a, s, timeout_ms, err) : error_set(err, ERR_MEMORY, 0, "out of memory for a mail");

    own_name(greeting);
    if (!rc)
        rc = memory_format(&url, err, "%s/%s", s->mail_server, greeting);
    if (rc)
        goto done;
    (void)curl_easy_setopt(a.curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(a.curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    (void)curl_easy_setopt(a.curl, CURLOPT_USE_SSL, may_be_plain ? (long)CURLUSESSL_TRY : (long)CURLUSESSL_ALL);
    if (s->mail_user) {
        (void)curl_easy_setopt(a.curl, CURLOPT_USERNAME, s->mail_user);
        (void)curl_easy_setopt(a.curl, CURLOPT_PASSWORD, s->mail_password);
    }
    (void)curl_easy_setopt(a.curl, CURLOPT_MAIL_FROM, s->mail_from);
    (void)curl_easy_setopt(a.curl, CURLOPT_MAIL_RCPT, to);
    (void)curl_easy_setopt(a.curl, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(a.curl, CURLOPT_READFUNCTION, hand_over);
    (void)curl_easy_setopt(a.curl, CURLOPT_READDATA, &a);
    (void)curl_easy_setopt(a.curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)mail->len);
    code = curl_easy_perform(a.curl);
    (void)curl_easy_getinfo(a.curl, CURLINFO_RESPONSE_CODE, &status);
    if (code)
        rc = fault(code, status >= 400 ? status : 0, out, why, err);
    else
        *out = DELIVERED;

done:
    curl_easy_cleanup(a.curl);
    curl_slist_free_all(to);
    free(url);
    return rc;
}

enum error_kind deliver_host(const char *url, char **out, struct error *err)
{
    CURLU *u = curl_url();
    char *host = NULL;
    enum error_kind rc;

    if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        (void)curl_url_get(u, CURLUPART_HOST, &host, 0);
    rc = memory_string(host ? host : "?", out, err);
    curl_free(host);
    curl_url_cleanup(u);
    return rc;
}

bool deliver_is_url(const char *url)
{
    CURLU *u = curl_url();
    char *scheme = NULL;
    bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);

    curl_free(scheme);
    curl_url_cleanup(u);
    return good;
}
