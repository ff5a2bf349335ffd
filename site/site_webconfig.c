/* web.config through libxml2: no network, no external entities, a size limit. */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "site_internal.h"

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
