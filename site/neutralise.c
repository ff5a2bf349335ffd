#include "neutralise.h"

#include <stdbool.h>
#include <stddef.h>
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
};

static bool leads_out(const char *value)
{
    return strstr(value, "://") || strncmp(value, "//", 2) == 0 || strncmp(value, "\\\\", 2) == 0 ||
           (value[0] == '/' && strchr(value + 1, '/')) || (value[0] && value[1] == ':' && value[2] == '\\');
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
    return leads_out(value) ? SITE_OUTSIDE_UNKNOWN : SITE_OUTSIDE_NONE;
}
