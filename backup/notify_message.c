/*
 * What is said, and how it is laid out for a webhook and for mail.
 *
 * Every line goes through text_name() first: what a site, a file or a server is called can neither begin a new line nor a new header.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hash.h"
#include "json.h"
#include "notify_internal.h"

#define SHOWN_MAX 4096
#define MESSAGE_MAX (256u << 10)
#define FACTS_MAX 50
#define WORD_BYTES \
    39 /* of an encoded word: 52 characters of base64, so that "Subject:" fits before it into the 76 of RFC 2047 */
#define LINE_BYTES 57 /* 76 characters of base64 */

const char *notify_topic_word(enum notify_topic topic)
{
    static const char *const words[] = {"failure", "doubtful", "recovery", "overdue", "test"};

    return words[topic];
}

static const char *title_of(enum notify_topic topic)
{
    static const char *const titles[] = {"Backup of %s on %s failed", "Backup of %s on %s wants a look",
                                         "Backup of %s on %s works again", "Backup of %s on %s is overdue",
                                         "Test message from nopsnap for %s on %s"};

    return titles[topic];
}

static enum error_kind add_line(struct buffer *out, const char *line, struct error *err)
{
    char shown[SHOWN_MAX];

    text_name(line, strlen(line), shown, sizeof(shown));
    return buffer_append_format(out, err, "%s\n", shown);
}

enum error_kind notify_message_make(enum notify_topic topic, const char *site, int status, const char *first,
                                    const struct text_list *facts, struct notify_message *out, struct error *err)
{
    struct notify_message m = {.topic = topic, .site = site, .status = status, .moment_ns = clock_now()};
    struct buffer text = BUFFER_INIT(MESSAGE_MAX);
    char shown[SHOWN_MAX];
    char *title = NULL;
    char *host_id = NULL;
    enum error_kind rc = catalog_host(&m.host, &host_id, err);

    if (!rc)
        rc = memory_format(&title, err, title_of(topic), site, m.host);
    if (!rc) {
        text_name(title, strlen(title), shown, sizeof(shown));
        rc = memory_string(shown, &m.title, err);
    }
    if (!rc && first)
        rc = add_line(&text, first, err);
    for (size_t i = 0; facts && i < facts->count && i < FACTS_MAX && !rc; i++)
        rc = add_line(&text, facts->items[i], err);
    if (!rc && facts && facts->count > FACTS_MAX)
        rc = buffer_append_format(&text, err, "and %zu more lines\n", facts->count - FACTS_MAX);
    if (!rc)
        rc = memory_string(text.data ? (const char *)text.data : "", &m.text, err);
    if (!rc) {
        *out = m;
        m = (struct notify_message){.topic = topic};
    }
    notify_message_release(&m);
    buffer_release(&text);
    free(title);
    free(host_id);
    return rc;
}

void notify_message_release(struct notify_message *m)
{
    free(m->host);
    free(m->title);
    free(m->text);
    *m = (struct notify_message){.topic = m->topic};
}

/* ---- the webhook's JSON ---- */

static enum error_kind append_word(const struct notify_message *m, const char *name, size_t len, struct buffer *out,
                                   struct error *err)
{
    const char *const texts[][2] = {{"title", m->title},
                                    {"text", m->text},
                                    {"site", m->site},
                                    {"host", m->host},
                                    {"event", notify_topic_word(m->topic)}};

    if (len == 7 && strncmp(name, "message", len) == 0)
        return buffer_append_format(out, err, "%s\n%s", m->title, m->text);
    if (len == 6 && strncmp(name, "status", len) == 0)
        return buffer_append_format(out, err, "%d", m->status);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strlen(texts[i][0]) == len && strncmp(texts[i][0], name, len) == 0)
            return buffer_append_text(out, texts[i][1], err);
    }
    return buffer_append_format(out, err, "{%.*s}", (int)len, name);
}

static enum error_kind fill(const struct notify_message *m, const char *text, struct buffer *out, struct error *err)
{
    enum error_kind rc = OK;

    while (*text != '\0' && !rc) {
        size_t plain = strcspn(text, "{");
        size_t len;

        rc = buffer_append(out, text, plain, err);
        text += plain;
        len = *text ? strcspn(text + 1, "{}") : 0;
        if (*text && !rc && text[len + 1] == '}') {
            rc = append_word(m, text + 1, len, out, err);
            text += len + 2;
        } else if (*text && !rc) {
            rc = buffer_append(out, text, 1, err);
            text++;
        }
    }
    return rc;
}

/* One value of the template goes to an object under a key, or to the end of an array. */
struct filling {
    const struct notify_message *m;
    struct json *object, *array; /* one of them */
    struct error *err;
    enum error_kind rc;
};

static void place(struct filling *f, const char *key, struct json *value)
{
    if (f->object)
        json_put(f->object, key, value);
    else
        json_push(f->array, value);
}

static void fill_value(const char *key, struct json *value, void *arg);

static void fill_text(struct filling *f, const char *key, const char *text)
{
    struct buffer filled = BUFFER_INIT(MESSAGE_MAX * 4);

    f->rc = fill(f->m, text, &filled, f->err);
    if (!f->rc && f->object)
        json_put_text(f->object, key, filled.data ? (const char *)filled.data : "");
    else if (!f->rc)
        json_push_text(f->array, filled.data ? (const char *)filled.data : "");
    buffer_release(&filled);
}

/* Depth is what json_parse() allows. */
static void fill_value(const char *key, struct json *value, void *arg) /* NOLINT(misc-no-recursion) */
{
    struct filling *f = arg;
    const char *text = json_text(value);
    struct filling inner = {f->m, NULL, NULL, f->err, OK};

    if (f->rc)
        return;
    if (text) {
        fill_text(f, key, text);
    } else if (json_is_object(value)) {
        inner.object = json_object();
        json_each(value, fill_value, &inner);
        place(f, key, inner.object);
    } else if (json_length(value) > 0) {
        inner.array = json_array();
        for (size_t i = 0; i < json_length(value); i++)
            fill_value(NULL, json_at(value, i), &inner);
        place(f, key, inner.array);
    } else if (!value && f->object) {
        json_put_text(f->object, key, NULL);
    } else if (!value) {
        json_push_null(f->array);
    } else {
        place(f, key, json_copy(value));
    }
    if (inner.rc)
        f->rc = inner.rc;
}

static struct json *own_object(const struct notify_message *m)
{
    struct json *v = json_object();

    json_put_text(v, "type", "notification");
    json_put_text(v, "event", notify_topic_word(m->topic));
    json_put_text(v, "site", m->site);
    json_put_text(v, "host", m->host);
    json_put_number(v, "status", m->status);
    json_put_number(v, "moment_ns", m->moment_ns);
    json_put_text(v, "title", m->title);
    json_put_text(v, "text", m->text);
    return v;
}

enum error_kind notify_message_json(const struct notify_message *m, const char *template, struct buffer *out,
                                    struct error *err)
{
    struct filling f = {m, NULL, NULL, err, OK};
    struct json *parsed = NULL;
    enum error_kind rc = OK;

    if (template) {
        rc = json_parse(template, strlen(template), &parsed, err);
        f.object = rc ? NULL : json_object();
        if (!rc)
            json_each(parsed, fill_value, &f);
        rc = rc ? rc : f.rc;
    } else {
        f.object = own_object(m);
    }
    if (!rc)
        rc = json_print(f.object, out, err);
    json_free(parsed);
    json_free(f.object);
    return rc;
}

/* ---- mail ---- */

static bool is_ascii(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80)
            return false;
    }
    return true;
}

static enum error_kind append_base64(struct buffer *out, const char *bytes, size_t len, struct error *err)
{
    unsigned char encoded[4 * ((LINE_BYTES + 2) / 3) + 1];

    (void)EVP_EncodeBlock(encoded, (const unsigned char *)bytes, (int)len);
    return buffer_append_text(out, (const char *)encoded, err);
}

/* RFC 2047: words of at most so many bytes, none of which ends within a character. Long plain lines are folded likewise. */
static enum error_kind append_subject(struct buffer *out, const char *text, struct error *err)
{
    enum error_kind rc = buffer_append_text(out, "Subject:", err);

    if (is_ascii(text) && strlen(text) < 900)
        return rc ? rc : buffer_append_format(out, err, " %s\r\n", text);
    while (*text && !rc) {
        size_t len = strlen(text);

        if (len > WORD_BYTES) {
            for (len = WORD_BYTES; len > 1 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
                ;
        }
        rc = buffer_append_text(out, " =?UTF-8?B?", err);
        if (!rc)
            rc = append_base64(out, text, len, err);
        text += len;
        if (!rc)
            rc = buffer_append_text(out, *text ? "?=\r\n" : "?=", err);
    }
    return rc ? rc : buffer_append_text(out, "\r\n", err);
}

static enum error_kind append_receivers(struct buffer *out, const struct text_list *to, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < to->count && !rc; i++)
        rc = buffer_append_format(out, err, "%s%s", i ? ",\r\n " : "To: ", to->items[i]);
    return rc ? rc : buffer_append_text(out, "\r\n", err);
}

/* Lines of 998 characters are the most that RFC 5322 allows. */
static bool goes_as_it_is(const char *text)
{
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        if (strcspn(p, "\n") > 900)
            return false;
    }
    return is_ascii(text);
}

static enum error_kind append_plain(struct buffer *out, const char *text, struct error *err)
{
    enum error_kind rc = buffer_append_text(out, "Content-Transfer-Encoding: 7bit\r\n\r\n", err);

    while (*text && !rc) {
        size_t len = strcspn(text, "\n");

        rc = buffer_append_format(out, err, "%.*s\r\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
    return rc;
}

static enum error_kind append_encoded(struct buffer *out, const char *text, struct error *err)
{
    enum error_kind rc = buffer_append_text(out, "Content-Transfer-Encoding: base64\r\n\r\n", err);
    size_t left = strlen(text);

    while (left > 0 && !rc) {
        size_t len = left > LINE_BYTES ? LINE_BYTES : left;

        rc = append_base64(out, text, len, err);
        if (!rc)
            rc = buffer_append_text(out, "\r\n", err);
        text += len;
        left -= len;
    }
    return rc;
}

static enum error_kind append_header(struct buffer *out, const struct notify_message *m, const char *from,
                                     struct error *err)
{
    time_t seconds = (time_t)(m->moment_ns / 1000000000);
    unsigned char id[12];
    char hex[2 * sizeof(id) + 1];
    char date[64] = "";
    struct tm tm;
    enum error_kind rc = random_bytes(id, sizeof(id), err);

    if (rc)
        return rc;
    hex_encode(id, sizeof(id), hex);
    if (localtime_r(&seconds, &tm))
        (void)strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S %z\r\n", &tm);
    return buffer_append_format(out, err,
                                "%sFrom: nopsnap <%s>\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\n"
                                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n",
                                date, from, hex, strchr(from, '@') + 1);
}

enum error_kind notify_message_mail(const struct notify_message *m, const char *from, const struct text_list *to,
                                    struct buffer *out, struct error *err)
{
    enum error_kind rc = append_receivers(out, to, err);

    if (!rc)
        rc = append_subject(out, m->title, err);
    if (!rc)
        rc = append_header(out, m, from, err);
    if (rc)
        return rc;
    return goes_as_it_is(m->text) ? append_plain(out, m->text, err) : append_encoded(out, m->text, err);
}
