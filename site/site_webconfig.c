/* web.config through libxml2: no network, no external entities, a size limit. */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "settings_internal.h"

/* An element and what to do with it; returning an error ends the walk. */
typedef enum error_kind element_fn(xmlNode *element, void *arg, struct error *err);

static void be_quiet(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

static enum error_kind parse(const struct buffer *text, const char *shown, xmlDoc **out, struct error *err)
{
    xmlDoc *doc;

    if (text->len > INT_MAX)
        return error_set(err, ERR_REFUSED, 0, "%s is too long", shown);
    /* libxml2's own messages quote the text, which may hold a password (P10). */
    xmlSetGenericErrorFunc(NULL, be_quiet);
    doc = xmlReadMemory((const char *)text->data, (int)text->len, shown, NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!doc)
        return error_set(err, ERR_REFUSED, 0, "%s is not well-formed XML", shown);
    *out = doc;
    return OK;
}

/* In document order, without recursion: depth is the file's to choose. */
static enum error_kind walk(xmlNode *root, element_fn *fn, void *arg, struct error *err)
{
    xmlNode *node = root;
    enum error_kind rc = OK;

    while (node && !rc) {
        if (node->type == XML_ELEMENT_NODE)
            rc = fn(node, arg, err);
        if (node->type == XML_ELEMENT_NODE && node->children) {
            node = node->children;
            continue;
        }
        while (node && node != root && !node->next)
            node = node->parent;
        node = node && node != root ? node->next : NULL;
    }
    return rc;
}

static bool is_named(const xmlNode *node, const char *name)
{
    return strcasecmp((const char *)node->name, name) == 0;
}

/* Open the site's web.config and walk it; a site without one gives OK and no calls. */
static enum error_kind visit(const char *root, element_fn *fn, void *arg, struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error absent = ERROR_INIT;
    xmlDoc *doc = NULL;
    char *found = NULL;
    enum error_kind rc = OK;

    if (site_file_find(root, "web.config", &found, &absent))
        goto done;
    rc = site_file_text(root, found, SITE_TEXT_MAX, &text, err);
    if (!rc)
        rc = parse(&text, found, &doc, err);
    if (!rc)
        rc = walk(xmlDocGetRootElement(doc), fn, arg, err);

done:
    xmlFreeDoc(doc);
    buffer_release_secret(&text);
    free(found);
    return rc;
}

static enum error_kind take_variable(xmlNode *element, void *arg, struct error *err)
{
    struct site_environment *out = arg;
    xmlChar *name = NULL;
    xmlChar *value = NULL;
    enum error_kind rc = OK;

    if (!is_named(element, "environmentVariable") || !element->parent ||
        !is_named(element->parent, "environmentVariables"))
        return OK;
    name = xmlGetProp(element, (const xmlChar *)"name");
    value = xmlGetProp(element, (const xmlChar *)"value");
    if (name && value)
        rc = site_environment_set(out, (const char *)name, (const char *)value, "web.config", err);
    xmlFree(name);
    memory_free_secret((char *)value); /* xmlFree() is free() unless a program replaces it, which we don't */
    return rc;
}

enum error_kind site_webconfig_environment(const char *root, struct site_environment *out, struct error *err)
{
    return visit(root, take_variable, out, err);
}

static enum error_kind take_azure(xmlNode *element, void *arg, struct error *err)
{
    bool *out = arg;
    xmlChar *value;

    (void)err;
    if (!is_named(element, "AzureBlobStorage"))
        return OK;
    value = xmlGetProp(element, (const xmlChar *)"ConnectionString");
    if (value && value[0] != '\0')
        *out = true;
    memory_free_secret((char *)value);
    return OK;
}

enum error_kind site_webconfig_azure(const char *root, bool *out, struct error *err)
{
    return visit(root, take_azure, out, err);
}

/* ---- options of a 3.x Web.config ---- */

/* Where an attribute of 3.x is in the sections Hosting and Nop of 4.x. */
static const struct {
    const char *element;
    const char *key; /* for <add key="..." value="..."/>, or NULL */
    const char *attribute;
    const char *section;
    const char *name;
} legacy_options[] = {
    {"add", "Use_HTTP_CLUSTER_HTTPS", "value", "Hosting", "UseHttpClusterHttps"},
    {"add", "Use_HTTP_X_FORWARDED_PROTO", "value", "Hosting", "UseHttpXForwardedProto"},
    {"add", "ForwardedHTTPheader", "value", "Hosting", "ForwardedHttpHeader"},
    {"AzureBlobStorage", NULL, "ConnectionString", "Nop", "AzureBlobStorageConnectionString"},
    {"AzureBlobStorage", NULL, "ContainerName", "Nop", "AzureBlobStorageContainerName"},
    {"AzureBlobStorage", NULL, "EndPoint", "Nop", "AzureBlobStorageEndPoint"},
    {"RedisCaching", NULL, "Enabled", "Nop", "RedisCachingEnabled"},
    {"RedisCaching", NULL, "ConnectionString", "Nop", "RedisCachingConnectionString"},
    {"UserAgentStrings", NULL, "databasePath", "Nop", "UserAgentStringsPath"},
    {"UserAgentStrings", NULL, "crawlersOnlyDatabasePath", "Nop", "CrawlerOnlyUserAgentStringsPath"},
};

struct legacy_walk {
    struct json *hosting;
    struct json *nop;
    struct text_list *lost;
};

static bool attribute_is(xmlNode *element, const char *attribute, const char *wanted)
{
    xmlChar *value = xmlGetProp(element, (const xmlChar *)attribute);
    bool same = value && strcasecmp((const char *)value, wanted) == 0;

    memory_free_secret((char *)value);
    return same;
}

/* What 4.x has no file for. */
static enum error_kind note_legacy(xmlNode *element, struct text_list *lost, struct error *err)
{
    if (is_named(element, "machineKey"))
        return text_list_addf(lost, err,
                              "machineKey in Web.config: 4.x makes its own keys, so every visitor is logged out once");
    if (is_named(element, "sessionState"))
        return text_list_addf(lost, err, "sessionState in Web.config: 4.x has no such section");
    if (is_named(element, "WebFarms") && attribute_is(element, "MultipleInstancesEnabled", "true"))
        return text_list_addf(lost, err,
                              "WebFarms in Web.config: 4.x has no such switch; a farm needs its distributed cache");
    return OK;
}

static enum error_kind take_legacy(xmlNode *element, void *arg, struct error *err)
{
    struct legacy_walk *w = arg;

    for (size_t i = 0; i < sizeof(legacy_options) / sizeof(legacy_options[0]); i++) {
        xmlChar *value;

        if (!is_named(element, legacy_options[i].element) ||
            (legacy_options[i].key && !attribute_is(element, "key", legacy_options[i].key)))
            continue;
        value = xmlGetProp(element, (const xmlChar *)legacy_options[i].attribute);
        if (value)
            json_put_text(strcmp(legacy_options[i].section, "Nop") == 0 ? w->nop : w->hosting, legacy_options[i].name,
                          (const char *)value);
        memory_free_secret((char *)value);
    }
    return note_legacy(element, w->lost, err);
}

enum error_kind site_webconfig_options(const char *root, struct json **out, struct text_list *lost, struct error *err)
{
    struct legacy_walk walk = {json_object(), json_object(), lost};
    struct json *source = json_object();
    enum error_kind rc = visit(root, take_legacy, &walk, err);

    json_put(source, "Hosting", walk.hosting);
    json_put(source, "Nop", walk.nop);
    if (!rc && (!source || !json_get(source, "Nop")))
        rc = error_set(err, ERR_MEMORY, 0, "out of memory for options");
    if (rc)
        json_free(source);
    else
        *out = source;
    return rc;
}

/* ---- merging ---- */

/* What .NET's publishing makes and the release alone knows. */
static const char *const release_sections[] = {"configSections", "runtime", "startup"};

/* By which attribute an entry is known among its like. */
static const char *const identities[] = {"name", "key", "fileExtension", "path", "extension", "input"};

struct merge {
    xmlDoc *fresh;
    struct text_list *kept;
    struct text_list *lost;
    bool changed;
};

static xmlNode *next_element(xmlNode *node)
{
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->next;
    return node;
}

static xmlNode *first_child(const xmlNode *parent)
{
    return next_element(parent->children);
}

/* "<add name=X-Frame-Options>" as the plan names an entry; never a value. */
static enum error_kind shown(xmlNode *element, char **out, struct error *err)
{
    for (size_t i = 0; i < sizeof(identities) / sizeof(identities[0]); i++) {
        xmlChar *id = xmlGetProp(element, (const xmlChar *)identities[i]);
        enum error_kind rc;

        if (!id)
            continue;
        rc = memory_format(out, err, "<%.60s %s=%.100s>", (const char *)element->name, identities[i], (const char *)id);
        xmlFree(id);
        return rc;
    }
    return memory_format(out, err, "<%.60s>", (const char *)element->name);
}

static bool same_identity(xmlNode *a, xmlNode *b)
{
    bool same = true;

    for (size_t i = 0; i < sizeof(identities) / sizeof(identities[0]) && same; i++) {
        xmlChar *left = xmlGetProp(a, (const xmlChar *)identities[i]);
        xmlChar *right = xmlGetProp(b, (const xmlChar *)identities[i]);
        bool decided = left || right;

        same = (left == NULL) == (right == NULL) && (!left || strcasecmp((const char *)left, (const char *)right) == 0);
        xmlFree(left);
        xmlFree(right);
        if (decided)
            return same;
    }
    return same;
}

static xmlNode *find_like(const xmlNode *parent, xmlNode *wanted)
{
    for (xmlNode *child = first_child(parent); child; child = next_element(child->next)) {
        if (is_named(child, (const char *)wanted->name) && same_identity(child, wanted))
            return child;
    }
    return NULL;
}

/* Behind the last child, with the blank that stands before the first, which is of the children's depth. */
static enum error_kind add_copy(struct merge *m, xmlNode *parent, xmlNode *node, struct error *err)
{
    xmlNode *copy = xmlDocCopyNode(node, m->fresh, 1);
    xmlNode *last = parent->last;

    if (!copy)
        return error_set(err, ERR_MEMORY, 0, "out of memory for web.config");
    if (last && last->type == XML_TEXT_NODE && xmlIsBlankNode(last)) {
        xmlNode *blank = parent->children && parent->children->type == XML_TEXT_NODE && xmlIsBlankNode(parent->children)
                             ? xmlDocCopyNode(parent->children, m->fresh, 1)
                             : NULL;

        xmlAddPrevSibling(last, copy);
        if (blank)
            xmlAddPrevSibling(copy, blank);
    } else {
        xmlAddChild(parent, copy);
    }
    m->changed = true;
    return OK;
}

static enum error_kind keep(struct merge *m, xmlNode *parent, xmlNode *node, struct error *err)
{
    char *name = NULL;
    enum error_kind rc = shown(node, &name, err);

    if (!rc)
        rc = add_copy(m, parent, node, err);
    if (!rc)
        rc = text_list_addf(m->kept, err, "web.config: %s of <%.60s> is kept", name, (const char *)parent->name);
    free(name);
    return rc;
}

/* How the program is started, which each release knows best, and which differs from one to the next. */
static bool is_release_attribute(const xmlNode *element, const xmlAttr *a)
{
    static const char *const names[] = {"processPath", "arguments", "hostingModel", "modules"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((is_named(element, "aspNetCore") || is_named(element, "add")) &&
            strcasecmp((const char *)a->name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Attributes of an element that both files have, with other values: the release's stay. */
static enum error_kind tell_differences(struct merge *m, xmlNode *old, xmlNode *fresh, struct error *err)
{
    char *name = NULL;
    enum error_kind rc = shown(old, &name, err);

    for (xmlAttr *a = old->properties; a && !rc; a = a->next) {
        xmlChar *was = xmlGetProp(old, a->name);
        xmlChar *is = xmlGetProp(fresh, a->name);

        if (!is_release_attribute(old, a) && (!is || (was && strcmp((const char *)was, (const char *)is) != 0)))
            rc = text_list_addf(m->lost, err, "web.config: %s: %.60s is as the release has it, not as the shop had it",
                                name, (const char *)a->name);
        memory_free_secret((char *)was);
        memory_free_secret((char *)is);
    }
    free(name);
    return rc;
}

/* An owner's variable is the owner's, whatever the release says. */
static enum error_kind merge_variable(struct merge *m, xmlNode *parent, xmlNode *variable, struct error *err)
{
    xmlNode *there = find_like(parent, variable);
    xmlChar *value;

    if (!there)
        return keep(m, parent, variable, err);
    value = xmlGetProp(variable, (const xmlChar *)"value");
    if (value && !xmlSetProp(there, (const xmlChar *)"value", value)) {
        memory_free_secret((char *)value);
        return error_set(err, ERR_MEMORY, 0, "out of memory for web.config");
    }
    m->changed = true;
    memory_free_secret((char *)value);
    return OK;
}

/* Is this where an entry stands for itself, with nothing inside that could be merged? */
static bool is_entry(const xmlNode *node)
{
    return !first_child(node);
}

/* One element that both files have: its children, and theirs. Depth is bounded by libxml2's own limit of 256. */
static enum error_kind merge_element(struct merge *m, xmlNode *old, xmlNode *fresh, struct error *err)
{
    enum error_kind rc = tell_differences(m, old, fresh, err);

    for (xmlNode *child = first_child(old); child && !rc; child = next_element(child->next)) {
        xmlNode *there = find_like(fresh, child);

        if (is_named(child, "environmentVariable"))
            rc = merge_variable(m, fresh, child, err);
        else if (!there && is_named(child, "environmentVariables") && is_entry(child))
            continue; /* an empty one, as Visual Studio writes it */
        else if (!there)
            rc = keep(m, fresh, child, err);
        else
            rc = merge_element(m, child, there, err);
    }
    return rc;
}

static bool is_release_section(const xmlNode *node)
{
    for (size_t i = 0; i < sizeof(release_sections) / sizeof(release_sections[0]); i++) {
        if (is_named(node, release_sections[i]))
            return true;
    }
    return false;
}

/* <system.webServer>, which publishing may have put into a <location>. */
static xmlNode *find_server(xmlNode *root)
{
    for (xmlNode *child = first_child(root); child; child = next_element(child->next)) {
        xmlNode *inner = is_named(child, "location") ? first_child(child) : child;

        for (; inner; inner = inner == child ? NULL : next_element(inner->next)) {
            if (is_named(inner, "system.webServer"))
                return inner;
        }
    }
    return NULL;
}

static enum error_kind merge_beside(struct merge *m, xmlNode *old, xmlNode *fresh, struct error *err)
{
    enum error_kind rc = OK;

    for (xmlNode *child = first_child(old); child && !rc; child = next_element(child->next)) {
        if (is_named(child, "system.webServer") ||
            (is_named(child, "location") && find_server(old) && find_server(old)->parent == child))
            continue;
        if (is_release_section(child) || find_like(fresh, child))
            rc = text_list_addf(m->lost, err, "web.config: <%.60s> is as the release has it, not as the shop had it",
                                (const char *)child->name);
        else
            rc = keep(m, fresh, child, err);
    }
    return rc;
}

static enum error_kind merge_documents(struct merge *m, xmlDoc *old, struct error *err)
{
    xmlNode *old_root = xmlDocGetRootElement(old);
    xmlNode *fresh_root = xmlDocGetRootElement(m->fresh);
    xmlNode *old_server = old_root ? find_server(old_root) : NULL;
    xmlNode *fresh_server = fresh_root ? find_server(fresh_root) : NULL;
    enum error_kind rc = OK;

    if (!old_root || !fresh_root)
        return error_set(err, ERR_REFUSED, 0, "web.config has no root element");
    if (old_server && fresh_server)
        rc = merge_element(m, old_server, fresh_server, err);
    else if (old_server)
        rc = keep(m, fresh_root, old_server, err);
    return rc ? rc : merge_beside(m, old_root, fresh_root, err);
}

enum error_kind site_webconfig_merge(const struct buffer *old, const struct buffer *fresh, struct buffer *out,
                                     struct text_list *kept, struct text_list *lost, struct error *err)
{
    struct merge m = {NULL, kept, lost, false};
    xmlDoc *old_doc = NULL;
    xmlChar *text = NULL;
    int len = 0;
    enum error_kind rc;

    rc = parse(old, "the shop's web.config", &old_doc, err);
    if (!rc)
        rc = parse(fresh, "the release's web.config", &m.fresh, err);
    if (!rc)
        rc = merge_documents(&m, old_doc, err);
    if (!rc && m.changed) {
        xmlDocDumpMemoryEnc(m.fresh, &text, &len, "utf-8");
        rc = text ? buffer_append(out, text, (size_t)len, err)
                  : error_set(err, ERR_MEMORY, 0, "out of memory for web.config");
    } else if (!rc) {
        rc = buffer_append(out, fresh->data, fresh->len, err);
    }
    if (rc == ERR_REFUSED)
        error_hint(err, "mend that file, then plan again");
    xmlFreeDoc(old_doc);
    xmlFreeDoc(m.fresh);
    memory_free_secret((char *)text);
    return rc;
}
