/*
 * What was said before: the rows of the run log tell what each endpoint took (invariant 2).
 */
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "notify_internal.h"
#include "run_log.h"

#define REMEMBERED 200 /* rows of the run log that are looked through for what an endpoint was told last */

const char *notify_endpoint_word(enum notify_endpoint e)
{
    static const char *const words[ENDPOINTS] = {"webhook", "mail"};

    return words[e];
}

static void keep(struct notify_memory *m, const struct run_entry *entry, const char *topic, const char *cause)
{
    if (m->known)
        return; /* there was a newer one */
    m->known = true;
    m->moment_ns = entry->started_ns;
    (void)snprintf(m->topic, sizeof(m->topic), "%s", topic);
    (void)snprintf(m->cause, sizeof(m->cause), "%s", cause ? cause : "");
}

static enum error_kind take_memory(void *arg, const struct run_entry *entry, struct error *err)
{
    struct notify_memories *all = arg;
    struct error ignored = ERROR_INIT;
    struct json *facts = NULL;
    const char *topic;
    const char *cause;

    (void)err;
    if (!entry->facts || json_parse(entry->facts, strlen(entry->facts), &facts, &ignored))
        return OK;
    topic = json_text(json_get(facts, "event"));
    cause = json_text(json_get(facts, "cause"));
    for (size_t i = 0; topic && i < json_length(json_get(facts, "told")); i++) {
        const char *told = json_text(json_at(json_get(facts, "told"), i));

        for (int e = 0; told && e < ENDPOINTS; e++) {
            if (strcmp(told, notify_endpoint_word((enum notify_endpoint)e)) != 0)
                continue;
            keep(&all->any[e], entry, topic, cause);
            if (strcmp(topic, notify_topic_word(TOPIC_OVERDUE)) != 0)
                keep(&all->run[e], entry, topic, cause);
            if (strcmp(topic, notify_topic_word(TOPIC_OVERDUE)) == 0 ||
                strcmp(topic, notify_topic_word(TOPIC_RECOVERY)) == 0)
                keep(&all->late[e], entry, topic, cause);
        }
    }
    json_free(facts);
    return OK;
}

static bool is_topic(const struct notify_memory *m, enum notify_topic topic)
{
    return m->known && strcmp(m->topic, notify_topic_word(topic)) == 0;
}

static bool may_repeat(const struct notify_settings *s, const struct notify_memory *m, int64_t now_ns)
{
    return s->repeat_ns > 0 && (now_ns - m->moment_ns >= s->repeat_ns || now_ns < m->moment_ns);
}

enum error_kind notify_memories_load(struct catalog *cat, const char *site_id, struct notify_memories *out,
                                     struct error *err)
{
    *out = (struct notify_memories){.any = {{.known = false}}};
    return catalog_run_each(cat, site_id, "notify", REMEMBERED, take_memory, out, err);
}

bool notify_is_news(const struct notify_settings *s, const struct notify_memories *all, enum notify_endpoint e,
                    enum notify_topic topic, const char *cause, int64_t now_ns)
{
    const struct notify_memory *any = &all->any[e];
    const struct notify_memory *run = &all->run[e];
    const struct notify_memory *late = &all->late[e];

    if (topic == TOPIC_RECOVERY)
        return any->known && !is_topic(any, TOPIC_RECOVERY);
    if (topic == TOPIC_OVERDUE)
        return !is_topic(late, TOPIC_OVERDUE) || may_repeat(s, late, now_ns);
    return !is_topic(run, topic) || strncmp(run->cause, cause, sizeof(run->cause) - 1) != 0 ||
           may_repeat(s, run, now_ns);
}

enum error_kind notify_remember(struct catalog *cat, const char *site_id, const struct notify_message *m,
                                const char *cause, struct json *told, struct json *missed, struct error *err)
{
    struct run_entry row = {m->moment_ns, clock_now(), site_id, "notify", json_length(missed) > 0 ? 3 : 0, NULL};
    struct buffer text = BUFFER_INIT(4096);
    struct json *facts = json_object();
    enum error_kind rc;

    json_put(facts, "told", told);
    json_put(facts, "missed", missed);
    json_put_text(facts, "event", notify_topic_word(m->topic));
    json_put_text(facts, "cause", cause);
    rc = json_print(facts, &text, err);
    if (!rc) {
        row.facts = (const char *)text.data;
        rc = catalog_run_add(cat, &row, err);
    }
    buffer_release(&text);
    json_free(facts);
    return rc;
}
