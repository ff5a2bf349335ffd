#include "neutralise.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Words in the name of a setting that a service outside is reached with, whichever plugin has it. */
static const char *const emptied[] = {
    "secret",         "password",      "apikey",     "accesskey", "accesstoken", "refreshtoken",
    "merchantid",     "privatekey",    "apitoken",   "clientid",  "licensekey",  "webhook",
    "trackingscript", "accountnumber", "serviceurl", "apiurl",    "gatewayurl",
};

/* Addresses that only go into pages, and folders that are judged elsewhere. */
static const char *const harmless[] = {
    "storeinformationsettings.facebooklink",
    "storeinformationsettings.twitterlink",
    "storeinformationsettings.youtubelink",
    "storeinformationsettings.instagramlink",
    "storeinformationsettings.linkedinlink",
    "storeinformationsettings.pinterestlink",
    "storeinformationsettings.tiktoklink",
    "adminareasettings.licenseterms",
    "seosettings.customheadtags",
    "seosettings.microdataenabled",
    "commonsettings.sitemapcustomurls",
    "sitemapsettings.sitemapcustomurls",
    "vendorsettings.termsofserviceurl",
    "newssettings.url",
    "catalogsettings.pagesharecode",
    "commonsettings.faviconandappiconsheadcode",
    "robotstxtsettings.disallowpaths",
    "robotstxtsettings.localizabledisallowpaths",
    "allowedhosts", /* of appsettings.json, and the next two: who may come in */
    "hostingconfig.knownproxies",
    "hostingconfig.knownnetworks",
};

/* ---- what looks like an address without saying so by "://" ---- */

#define WORD_MAX 256
#define PORT_LOWEST 21 /* "columns:3" is none */
#define BETWEEN_WORDS ",;|=\"'<>()[]{} \t\r\n"

static const char *const file_types[] = {
    "png", "jpg",   "jpeg", "gif", "svg",  "webp", "ico",    "bmp",  "css",  "js",  "json", "xml",
    "txt", "html",  "htm",  "csv", "xls",  "doc",  "cshtml", "xlsx", "docx", "pdf", "zip",  "woff",
    "ttf", "woff2", "eot",  "dll", "less", "map",  "tif",    "mp4",  "webm", "mp3", "scss",
};

static bool is_file_type(const char *s)
{
    for (size_t i = 0; i < sizeof(file_types) / sizeof(file_types[0]); i++)
        if (strcasecmp(s, file_types[i]) == 0)
            return true;
    return false;
}

static bool is_all(const char *s, const char *set)
{
    return s[strspn(s, set)] == '\0';
}

static bool is_of_letters(const char *s)
{
    while (isalpha((unsigned char)*s))
        s++;
    return *s == '\0';
}

/* "Payments.Manual", "Nop.Services.Tasks", as against "shop.example" and "SHOP.EXAMPLE". */
static bool is_name_in_code(const char *s, const char *last)
{
    bool has_lower = false;

    for (const char *c = s; *c; c++)
        has_lower = has_lower || islower((unsigned char)*c);
    return has_lower && isupper((unsigned char)s[0]) && isupper((unsigned char)last[0]);
}

/* "shop.example": labels, and a last one as a domain has it; no file's name, no name of code, no way to write a date. */
static bool is_host(const char *s)
{
    const char *last = strrchr(s, '.');

    if (!last || last == s || !isalnum((unsigned char)s[0]) || strstr(s, "..") ||
        !is_all(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"))
        return false;
    last++;
    if (strncasecmp(last, "xn--", 4) != 0 && (strlen(last) < 2 || !is_of_letters(last)))
        return false;
    return !is_file_type(last) && !is_name_in_code(s, last) && !is_all(s, "dMyHhmsftKz.");
}

static bool is_ip(const char *s)
{
    unsigned char a[16];

    return inet_pton(AF_INET, s, a) == 1 || (strchr(s, ':') && inet_pton(AF_INET6, s, a) == 1);
}

/* Ends the word before ":6379". */
static bool cut_port(char *s)
{
    char *colon = strrchr(s, ':');
    char *end = NULL;
    long port = colon && isdigit((unsigned char)colon[1]) ? strtol(colon + 1, &end, 10) : 0;

    if (port < PORT_LOWEST || port > 65535 || *end || colon == s || strchr(s, ':') != colon)
        return false;
    *colon = '\0';
    return true;
}

static bool has_letter(const char *s)
{
    while (*s && !isalpha((unsigned char)*s))
        s++;
    return *s != '\0';
}

/* name: a mail address is only contact data where it says so; mail itself goes by the accounts, which are emptied. */
static bool is_address(char *word, const char *name, bool is_prose)
{
    size_t n = strlen(word);
    char *at = strrchr(word, '@');
    bool has_port;

    while (n > 0 && strchr(".:?!", word[n - 1]))
        word[--n] = '\0';
    if (is_ip(word))
        return !strcasestr(name, "version");
    has_port = cut_port(word);
    if (at && at > word)
        return at[1] && (has_port || strchr(word, ':') || !is_host(at + 1) ||
                         !(strcasestr(name, "mail") || strcasestr(name, "contact")));
    if (has_port)
        return is_ip(word) || (has_letter(word) && strlen(word) > 1 &&
                               is_all(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"));
    return !is_prose && is_host(word) && !strcasestr(name, "systemname") && !strcasestr(name, "version");
}

/* A sentence may have "etc.and" in it; a list and a connection string have no space between two words. */
static bool is_sentence(const char *value)
{
    for (const char *c = value; *c; c++)
        if (*c == ' ' && c > value && isalnum((unsigned char)c[-1]) && isalnum((unsigned char)c[1]) &&
            !strchr(value, '='))
            return true;
    return false;
}

static bool has_address(const char *name, const char *value)
{
    bool is_prose = is_sentence(value);
    char word[WORD_MAX];

    for (const char *c = value + strspn(value, BETWEEN_WORDS); *c; c += strspn(c, BETWEEN_WORDS)) {
        size_t n = strcspn(c, BETWEEN_WORDS);

        if (n < sizeof(word)) {
            memcpy(word, c, n);
            word[n] = '\0';
            if (is_address(word, name, is_prose))
                return true;
        }
        c += n;
    }
    return false;
}

static bool leads_out(const char *name, const char *value)
{
    return strstr(value, "://") || strncmp(value, "//", 2) == 0 || strncmp(value, "\\\\", 2) == 0 ||
           (value[0] == '/' && isalnum((unsigned char)value[1])) ||
           (isalpha((unsigned char)value[0]) && value[1] == ':' && (value[2] == '\\' || value[2] == '/')) ||
           has_address(name, value);
}

/* How long a password must be is no password. */
static bool is_policy(const char *name, const char *value)
{
    return strncasecmp(name, "customersettings.", 17) == 0 || strcasecmp(value, "true") == 0 ||
           strcasecmp(value, "false") == 0;
}

enum site_outside site_outside_setting(const char *name, const char *value)
{
    if (!*value)
        return SITE_OUTSIDE_NONE;
    if (strcasecmp(name, "mediasettings.picturepath") ==
        0) /* the live shop's pictures, where it is no folder of the tree */
        return value[0] == '/' || strchr(value, ':') ? SITE_OUTSIDE_UNKNOWN : SITE_OUTSIDE_NONE;
    for (size_t i = 0; i < sizeof(emptied) / sizeof(emptied[0]) && !is_policy(name, value); i++)
        if (strcasestr(name, emptied[i]))
            return SITE_OUTSIDE_EMPTY;
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (strcasecmp(name, harmless[i]) == 0)
            return SITE_OUTSIDE_NONE;
    return leads_out(name, value) ? SITE_OUTSIDE_UNKNOWN : SITE_OUTSIDE_NONE;
}
