/* Small sites made by hand, in the working directory. */
#ifndef NOPSNAP_SITE_TEST_SUPPORT_H
#define NOPSNAP_SITE_TEST_SUPPORT_H

#include "test_support.h"

#include <sys/stat.h>

#include "site_internal.h"

/* A file with its folders; not synced, a test has no power cut to fear. */
static inline void put_bytes(const char *path, const void *bytes, size_t len)
{
    char folder[512];
    FILE *f;

    snprintf(folder, sizeof(folder), "%s", path);
    for (char *p = strchr(folder + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(folder, 0755);
        *p = '/';
    }
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0644), 0);
}

static inline void put(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

/* What tells a site of 4.x; its version comes from one plugin. */
static inline void put_core(const char *root, const char *version)
{
    char path[256];
    char text[256];

    snprintf(path, sizeof(path), "%s/Plugins/Misc.Acme/plugin.json", root);
    snprintf(text, sizeof(text), "{\"SupportedVersions\": [\"%s\"]}", version);
    put(path, text);
    snprintf(path, sizeof(path), "%s/wwwroot/css/a.css", root);
    put(path, "a {}");
    snprintf(path, sizeof(path), "%s/App_Data/plugins.json", root);
    put(path, "{}");
    snprintf(path, sizeof(path), "%s/Nop.Web.dll", root);
    put(path, "MZ");
}

static inline void put_legacy(const char *root)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/Plugins/Misc.Acme/Description.txt", root);
    put(path, "SystemName: Misc.Acme\r\nSupportedVersions: 3.80, 3.90\r\n");
    snprintf(path, sizeof(path), "%s/Global.asax", root);
    put(path, "<%@ %>");
    snprintf(path, sizeof(path), "%s/App_Data/InstalledPlugins.txt", root);
    put(path, "Misc.Acme\r\n");
    snprintf(path, sizeof(path), "%s/Content/Images/Thumbs/placeholder.txt", root);
    put(path, "");
}

static inline bool list_mentions(const struct text_list *list, const char *what)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strstr(list->items[i], what))
            return true;
    }
    return false;
}

/* No unit of this machine may have a say in a test. */
static inline int site_setup(void **state)
{
    setenv("NOPSNAP_SYSTEMD_PATH", "/nonexistent", 1);
    return folder_setup(state);
}

#define site_test(f) cmocka_unit_test_setup_teardown(f, site_setup, folder_teardown)

#endif
