/*
 * Releases from http and https: the only file of this room that includes curl.h.
 *
 * What was fetched is gone on with after a drop, also by the next process, when the answer can be told to be the same one: by a strong ETag,
 * by Last-Modified, or by the size alone. Beside the bytes lies a small state file that says which answer they are of; it is written before the
 * first of them. The bytes themselves are proved by the sum and by the archive's own checksums.
 *
 * Redirects are followed here and not by libcurl, so that each step is looked at: https never leads to http, and what an URL has in
 * credentials goes to its own host alone.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "release_internal.h"
#include "thread.h"
#include "unnamed_file.h"

#define REDIRECTS_MAX 10
#define ATTEMPTS_MAX 5 /* in a row that bring nothing new */
#define ATTEMPTS_ALL_MAX 1000
#define PASSED_MAX (1u << 20)
#define CONNECT_TIMEOUT_MS 30000L
#define STALL_MS 60000
#define SLOW_BYTES 100L /* in a second: less is a stall */
#define STATE_MAX 4096u
#define VALIDATOR_MAX 256
#define LOOK_AT_SPACE (64u << 20)

/* Which answer the bytes in the file are of. */
struct answer {
    char etag[VALIDATOR_MAX];     /* strong, or "" */
    char modified[VALIDATOR_MAX]; /* Last-Modified, or "" */
    uint64_t total;               /* bytes; 0: not known */
};

enum verdict {
    GOES_ON,   /* the answer's content is wanted */
    IS_HERE,   /* 304: what is in the file is the whole of it */
    ELSEWHERE, /* a redirect */
    ANEW,      /* the part that is here is of no use */
    LATER,     /* a status that may pass */
    NEVER,     /* a status that will not */
    BROKEN,    /* our side failed: download.failed */
};

struct download {
    const struct release_limits *limits;
    const struct progress *progress;
    CURL *curl;
    int fd;
    char *state;        /* path of the state file; NULL: the file has no name either */
    struct answer part; /* what is in the file */
    uint64_t have, looked;
    size_t passed; /* bytes of an answer that are for nobody */
    bool judged;   /* the verdict on this answer is there */
    enum verdict verdict;
    long status;
    struct error failed;
};

/* ---- addresses ---- */

bool release_is_url(const char *source)
{
    size_t len = strspn(source, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    return len > 1 && strncmp(source + len, "://", 3) == 0;
}

static bool is_https(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

enum error_kind release_url_shown(const char *url, char **out, struct error *err)
{
    static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY,
                                       CURLUPART_FRAGMENT};
    CURLU *u = curl_url();
    char *shown = NULL;
    enum error_kind rc = OK;
    bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;

    for (size_t i = 0; good && i < sizeof(hidden) / sizeof(hidden[0]); i++)
        good = curl_url_set(u, hidden[i], NULL, 0) == CURLUE_OK;
    good = good && curl_url_get(u, CURLUPART_URL, &shown, 0) == CURLUE_OK;
    if (!good) {
        rc = error_set(err, ERR_USAGE, 0, "that is no address that a release could be fetched from");
        error_hint(err, "addresses look like https://example.com/nopCommerce_4.80.9_NoSource_linux_x64.zip");
    } else if (strncasecmp(shown, "https://", 8) != 0 && strncasecmp(shown, "http://", 7) != 0) {
        rc = error_set(err, ERR_USAGE, 0, "%s is neither http nor https", shown);
        error_hint(err, "fetch it by other means and name the file");
    } else {
        rc = memory_string(shown, out, err);
    }
    curl_free(shown);
    curl_url_cleanup(u);
    return rc;
}

enum error_kind release_redirect_check(const char *from, const char *to, struct error *err)
{
    char *shown = NULL;
    enum error_kind rc = release_url_shown(to, &shown, err);

    if (rc) {
        rc = error_set(err, ERR_REFUSED, 0, "it leads to an address that is none of the web's");
    } else if (is_https(from) && !is_https(to)) {
        rc = error_set(err, ERR_REFUSED, 0, "it leads from https to %s, where anybody on the way could change it",
                       shown);
        error_hint(err, "fetch the release in another way, compare its SHA-256, and name the file");
    }
    free(shown);
    return rc;
}

/* ---- the state file ---- */

static void state_read(struct download *d)
{
    struct buffer text = BUFFER_INIT(STATE_MAX);
    struct error ignored = ERROR_INIT;
    struct json *state = NULL;

    if (d->state && !file_read_whole(AT_FDCWD, d->state, STATE_MAX, &text, &ignored) &&
        !json_parse(text.data, text.len, &state, &ignored)) {
        const char *etag = json_text(json_get(state, "etag"));
        const char *modified = json_text(json_get(state, "modified"));
        int64_t total = json_number(json_get(state, "total"), 0);

        (void)snprintf(d->part.etag, sizeof(d->part.etag), "%s", etag ? etag : "");
        (void)snprintf(d->part.modified, sizeof(d->part.modified), "%s", modified ? modified : "");
        d->part.total = total > 0 ? (uint64_t)total : 0;
    } else {
        d->have = 0; /* bytes of which nobody knows what they are */
    }
    json_free(state);
    buffer_release(&text);
}

static enum error_kind state_write(const struct download *d, struct error *err)
{
    struct buffer text = BUFFER_INIT(STATE_MAX);
    struct json *state;
    enum error_kind rc;

    if (!d->state)
        return OK;
    state = json_object();
    json_put_text(state, "etag", d->part.etag);
    json_put_text(state, "modified", d->part.modified);
    json_put_number(state, "total", (int64_t)d->part.total);
    rc = json_print(state, &text, err);
    if (!rc)
        rc = file_replace(d->state, text.data, text.len, 0600, err);
    json_free(state);
    buffer_release(&text);
    return rc;
}

/* ---- an answer's beginning ---- */

static bool is_whole(const struct download *d)
{
    return d->part.total > 0 && d->have == d->part.total;
}

static void header_take(CURL *curl, const char *name, char out[VALIDATOR_MAX])
{
    struct curl_header *h = NULL;

    out[0] = '\0';
    if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK && strlen(h->value) < VALIDATOR_MAX)
        (void)snprintf(out, VALIDATOR_MAX, "%s", h->value);
}

static void answer_take(CURL *curl, struct answer *out)
{
    curl_off_t len = -1;

    header_take(curl, "ETag", out->etag);
    if (strncmp(out->etag, "W/", 2) == 0) /* weak: the same page, not the same bytes */
        out->etag[0] = '\0';
    header_take(curl, "Last-Modified", out->modified);
    (void)curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &len);
    out->total = len > 0 ? (uint64_t)len : 0;
}

static enum error_kind space_check(const struct download *d, uint64_t need, struct error *err)
{
    struct statvfs st;
    uint64_t available;

    if (fstatvfs(d->fd, &st))
        return error_set(err, ERR_IO, errno, "cannot tell how much room there is for a download");
    available = (uint64_t)st.f_bavail * st.f_frsize;
    if (available >= need && available - need >= d->limits->reserve)
        return OK;
    error_set(err, ERR_SPACE, 0, "there is no room for the download of %llu bytes", (unsigned long long)need);
    error_hint(err, "make room where the download goes to");
    return ERR_SPACE;
}

static enum error_kind size_check(const struct download *d, uint64_t size, struct error *err)
{
    char limit[TEXT_MAX];

    if (size <= d->limits->max_archive)
        return OK;
    text_size(d->limits->max_archive, limit);
    return error_set(err, ERR_REFUSED, 0, "it is larger than %s", limit);
}

static enum verdict begin_anew(struct download *d)
{
    struct error *err = &d->failed;
    enum error_kind rc;

    answer_take(d->curl, &d->part);
    rc = size_check(d, d->part.total, err);
    if (!rc)
        rc = space_check(d, d->part.total, err);
    if (!rc && ftruncate(d->fd, 0))
        rc = error_set(err, ERR_IO, errno, "cannot empty the file of a download");
    d->have = 0;
    if (!rc)
        rc = state_write(d, err);
    return rc ? BROKEN : GOES_ON;
}

/* "bytes 1000-4999/5000", where the 5000 may be a star */
static bool range_continues(const struct download *d)
{
    char range[VALIDATOR_MAX];
    unsigned long long from;
    unsigned long long last;
    unsigned long long total;
    struct answer now;

    header_take(d->curl, "Content-Range", range);
    if (sscanf(range, "bytes %19llu-%19llu/%19llu", &from, &last, &total) != 3 || from != d->have || last < from ||
        last >= total || total != d->part.total)
        return false;
    answer_take(d->curl, &now);
    return (!now.etag[0] || !d->part.etag[0] || strcmp(now.etag, d->part.etag) == 0) &&
           (!now.modified[0] || !d->part.modified[0] || strcmp(now.modified, d->part.modified) == 0);
}

static enum verdict judge(struct download *d)
{
    (void)curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &d->status);
    switch (d->status) {
    case 200:
        return begin_anew(d);
    case 206:
        return range_continues(d) ? GOES_ON : ANEW;
    case 304:
        return is_whole(d) ? IS_HERE : NEVER;
    case 416:
    case 412:
        return ANEW;
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return ELSEWHERE;
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return LATER;
    default:
        return NEVER;
    }
}

/* ---- bytes ---- */

static size_t take_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct download *d = arg;
    size_t len = size * n;
    enum error_kind rc;

    if (!d->judged) {
        d->verdict = judge(d);
        d->judged = true;
    }
    if (d->verdict == ELSEWHERE && (d->passed += len) <= PASSED_MAX)
        return len; /* libcurl tells where it leads only at the end of the page */
    if (d->verdict != GOES_ON)
        return CURL_WRITEFUNC_ERROR; /* the page behind another status is nothing for us */
    rc = size_check(d, d->have + len, &d->failed);
    if (!rc && d->part.total && d->have + len > d->part.total)
        rc = error_set(&d->failed, ERR_REMOTE, 0, "it sends more than it announced");
    if (!rc && d->have - d->looked >= LOOK_AT_SPACE) {
        d->looked = d->have;
        rc = space_check(d, 0, &d->failed);
    }
    if (!rc)
        rc = file_write_at(d->fd, bytes, len, d->have, "a download", &d->failed);
    if (rc) {
        d->verdict = BROKEN;
        return CURL_WRITEFUNC_ERROR;
    }
    d->have += len;
    return len;
}

static int on_the_way(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    struct download *d = arg;

    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    if (cancel_check(&d->failed)) {
        d->verdict = BROKEN;
        d->judged = true;
        return 1;
    }
    progress_advance(d->progress, d->have, d->part.total, "bytes");
    return 0;
}

/* ---- a request ---- */

static enum error_kind add_header(struct curl_slist **list, const char *name, const char *value, struct error *err)
{
    char line[VALIDATOR_MAX + 64];
    struct curl_slist *longer;

    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    longer = curl_slist_append(*list, line);
    if (!longer)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a request");
    *list = longer;
    return OK;
}

/* Only what is missing, if it is still the same; or, with everything here, only if it is no longer the same. */
static enum error_kind add_conditions(const struct download *d, struct curl_slist **headers, struct error *err)
{
    const char *validator = d->part.etag[0] ? d->part.etag : d->part.modified;
    char range[32];

    if (d->have == 0 || d->part.total == 0)
        return OK;
    if (is_whole(d)) {
        if (!validator[0])
            return OK; /* no way to ask: it is fetched again */
        return add_header(headers, d->part.etag[0] ? "If-None-Match" : "If-Modified-Since", validator, err);
    }
    (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)d->have);
    (void)curl_easy_setopt(d->curl, CURLOPT_RANGE, range);
    return validator[0] ? add_header(headers, "If-Range", validator, err) : OK;
}

static void set_up(struct download *d, const char *url, long stall_s, char why[CURL_ERROR_SIZE])
{
    CURL *c = d->curl;

    curl_easy_reset(c);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "nopsnap/" NOPSNAP_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, stall_s);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, d);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_the_way);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, d);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
}

static bool may_pass(const struct download *d, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return d->have > 0; /* it was there a moment ago */
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

/* These texts may have an URL in them, and that a password (P10). */
static bool tells_too_much(CURLcode code)
{
    return code == CURLE_URL_MALFORMAT || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_UNSUPPORTED_PROTOCOL;
}

/* libcurl's code and our verdict on the answer become one verdict; `err` says why for LATER, NEVER and BROKEN. */
static enum verdict conclude(struct download *d, CURLcode code, const char *why, struct error *err)
{
    if (d->judged && d->verdict == BROKEN) {
        *err = d->failed;
        return BROKEN;
    }
    if (!d->judged && code == CURLE_OK) { /* an answer without content */
        d->verdict = judge(d);
        d->judged = true;
        if (d->verdict == BROKEN)
            *err = d->failed;
    }
    if (d->judged && d->verdict != GOES_ON) {
        if (d->verdict == LATER || d->verdict == NEVER)
            error_set(err, d->status == 404 || d->status == 410 ? ERR_NOT_FOUND : ERR_REMOTE, 0,
                      "the server answers with status %ld", d->status);
        return d->verdict;
    }
    if (code == CURLE_OK && (d->part.total == 0 || is_whole(d)))
        return IS_HERE;
    code = code ? code : CURLE_PARTIAL_FILE;
    error_set(err, ERR_REMOTE, 0, "%s", why[0] && !tells_too_much(code) ? why : curl_easy_strerror(code));
    return may_pass(d, code) || (d->judged && code != CURLE_WRITE_ERROR) ? LATER : NEVER;
}

static enum verdict request(struct download *d, const char *url, long stall_s, struct error *err)
{
    struct curl_slist *headers = NULL;
    char why[CURL_ERROR_SIZE] = "";
    enum verdict verdict = BROKEN;

    d->judged = false;
    d->status = 0;
    d->passed = 0;
    set_up(d, url, stall_s, why);
    if (!add_conditions(d, &headers, err)) {
        CURLcode code;

        (void)curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, headers);
        code = curl_easy_perform(d->curl);
        verdict = conclude(d, code, why, err);
    }
    curl_slist_free_all(headers);
    return verdict;
}

/* ---- one attempt: a request, and where it leads ---- */

struct way {
    const char *start;
    long stall_s;
    bool open; /* a step went over http */
};

static enum error_kind follow(const struct download *d, char **url, struct error *err)
{
    char *next = NULL;
    char *copy = NULL;
    enum error_kind rc;

    (void)curl_easy_getinfo(d->curl, CURLINFO_REDIRECT_URL, &next);
    if (!next)
        return error_set(err, ERR_REMOTE, 0, "the server answers with status %ld and does not say where it leads",
                         d->status);
    rc = release_redirect_check(*url, next, err);
    if (!rc)
        rc = memory_string(next, &copy, err);
    if (rc)
        return rc;
    memory_free_secret(*url);
    *url = copy;
    return OK;
}

static enum verdict attempt(struct download *d, struct way *way, struct error *err)
{
    enum verdict verdict = ELSEWHERE;
    char *url = NULL;

    if (memory_string(way->start, &url, err))
        return BROKEN;
    for (unsigned i = 0; verdict == ELSEWHERE; i++) {
        way->open = way->open || !is_https(url);
        verdict = request(d, url, way->stall_s, err);
        if (verdict != ELSEWHERE)
            break;
        if (i == REDIRECTS_MAX) {
            error_set(err, ERR_REMOTE, 0, "it leads from one address to the next more than %d times", REDIRECTS_MAX);
            verdict = BROKEN;
        } else if (follow(d, &url, err)) {
            verdict = BROKEN;
        }
    }
    memory_free_secret(url);
    return verdict;
}

/* ---- until it is here ---- */

static enum error_kind wait_before(unsigned attempts, struct error *err)
{
    enum error_kind rc = cancel_check(err);

    for (unsigned tenths = attempts > 1 ? 10u << (attempts - 2) : 0; !rc && tenths > 0; tenths--) {
        (void)poll(NULL, 0, 100);
        rc = cancel_check(err);
    }
    return rc;
}

static enum error_kind give_up(const struct download *d, struct error *err)
{
    if (d->status == 401 || d->status == 403 || d->status == 407)
        error_hint(
            err,
            "the server wants to know who asks, or the address is no longer good: download the release in a browser");
    else if (err->kind == ERR_NOT_FOUND)
        error_hint(err, "look the address up at https://www.nopcommerce.com/download-nopcommerce");
    else if (err->kind == ERR_REMOTE)
        error_hint(err, "try again later%s, or download the release in another way and name the file",
                   d->state && d->have ? " (what came is kept)" : "");
    return err->kind;
}

static enum error_kind fetch_all(struct download *d, struct way *way, struct error *err)
{
    uint64_t best = d->have;
    unsigned attempts = 0; /* in a row that brought nothing new */

    for (unsigned all = 1;; all++) {
        enum verdict verdict;
        enum error_kind rc;

        error_clear(err);
        verdict = attempt(d, way, err);
        if (verdict == IS_HERE) {
            error_clear(err);
            return OK;
        }
        attempts = d->have > best ? 1 : attempts + 1;
        best = d->have > best ? d->have : best;
        if (verdict == ANEW) {
            d->have = 0;
            error_set(err, ERR_REMOTE, 0, "the server does not go on where it stopped");
        }
        if ((verdict != LATER && verdict != ANEW) || attempts >= ATTEMPTS_MAX || all == ATTEMPTS_ALL_MAX)
            return give_up(d, err);
        progress_note(d->progress, "the download broke off (%s): going on at %llu bytes", err->text,
                      (unsigned long long)d->have);
        error_clear(err);
        rc = verdict == ANEW ? cancel_check(err) : wait_before(attempts, err);
        if (rc)
            return rc;
    }
}

/* ---- where it goes ---- */

static enum error_kind open_named(struct download *d, const char *work, const char *url, struct error *err)
{
    unsigned long long key = hash64_of(0, url, strlen(url));
    char *path = NULL;
    struct stat st;
    enum error_kind rc = memory_format(&path, err, "%s/release-%016llx", work, key);

    if (!rc)
        rc = memory_format(&d->state, err, "%s.state", path);
    if (!rc)
        rc = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &d->fd, err);
    if (!rc && flock(d->fd, LOCK_EX | LOCK_NB))
        rc = error_set(err, ERR_BUSY, 0, "another process is fetching it");
    if (!rc && (fstat(d->fd, &st) || !S_ISREG(st.st_mode)))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", path);
    if (!rc) {
        d->have = (uint64_t)st.st_size;
        state_read(d);
        if (d->part.total == 0 || d->have > d->part.total)
            d->have = 0;
    }
    free(path);
    return rc;
}

/* With the right sum in the file already nobody needs to be asked. */
static enum error_kind is_known(const struct download *d, const char *sha256, bool *out, struct error *err)
{
    char sum[RELEASE_SHA256_LEN + 1];
    enum error_kind rc;

    *out = false;
    if (!sha256 || !is_whole(d))
        return OK;
    rc = release_sum(d->fd, d->have, "a download", NULL, sum, err);
    *out = !rc && strcasecmp(sum, sha256) == 0;
    return rc;
}

static enum error_kind fetch(struct download *d, const char *url, const char *shown,
                             const struct release_options *options, struct error *err)
{
    int stall_ms = options->stall_ms > 0 ? options->stall_ms : STALL_MS;
    struct way way = {.start = url, .stall_s = (stall_ms + 999) / 1000};
    bool known = false;
    enum error_kind rc =
        options->work ? open_named(d, options->work, url, err) : unnamed_file_open(AT_FDCWD, NULL, &d->fd, err);

    if (!rc)
        rc = is_known(d, options->sha256, &known, err);
    if (rc || known)
        return rc;
    d->curl = curl_easy_init();
    if (!d->curl)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a download");
    rc = fetch_all(d, &way, err);
    if (!rc && d->have == 0)
        rc = error_set(err, ERR_REMOTE, 0, "the server sends nothing");
    if (!rc && way.open && !options->sha256)
        progress_warn(d->progress,
                      "%s came over http, where anybody on the way can change it: compare its SHA-256 with its makers'",
                      shown);
    return rc;
}

enum error_kind release_fetch(const char *url, const char *shown, const struct release_options *options,
                              const struct release_limits *limits, const struct progress *progress, int *out,
                              struct error *err)
{
    struct download d = {.limits = limits, .progress = progress, .fd = -1};
    enum error_kind rc;

    progress_step(progress, "fetching %s", shown);
    rc = fetch(&d, url, shown, options, err);
    if (!rc && ftruncate(d.fd, (off_t)d.have)) /* nothing is behind it; said to be sure */
        rc = error_set(err, ERR_IO, errno, "cannot end a download");
    if (!rc) {
        *out = d.fd;
        d.fd = -1;
    } else {
        error_context(err, "fetching %s", shown);
    }
    file_close(&d.fd);
    if (d.curl)
        curl_easy_cleanup(d.curl);
    free(d.state);
    return rc;
}
