/* Links to folders in a shop's tree: what the plan says of them, and what is noticed later. Each test begins in an empty folder of its own. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "release_support.h"
#include "upgrade_internal.h"

static void run(const char *command)
{
    assert_int_equal(system(command), 0);
}

/* A release with one picture, as 4.80 has them. */
static struct release *open_release(void)
{
    static const struct release_options small_reserve = {.limits = {.reserve = 1}};
    struct made *entries = calloc(shop_count + 1, sizeof(*entries));
    struct release *r = NULL;
    struct error err = ERROR_INIT;

    assert_non_null(entries);
    memcpy(entries, shop_entries, shop_count * sizeof(*entries));
    entries[shop_count] = (struct made){.name = "wwwroot/images/default-image.png", .content = "x"};
    made_archive("r.zip", MADE_ZIP, "", entries, shop_count + 1, NULL);
    free(entries);
    if (release_open("r.zip", &small_reserve, NULL, &r, &err))
        fail_msg("%s", err.text);
    return r;
}

/* The plan's words for the tree of 3.90 in "old". */
static void count(struct upgrade_plan *plan, struct text_list *problems)
{
    struct upgrade_context c = {.from = {.major = 3, .minor = 90, .text = "3.90"},
                                .to = {.major = 4, .minor = 80, .patch = 9, .text = "4.80.9"},
                                .layout = SITE_LEGACY};
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(site_assume(&site, "legacy", "3.90", &err), OK);
    site.path = realpath("old", NULL);
    c.site = &site;
    c.release = open_release();
    assert_int_equal(carry_names_of(&c, &err), OK);
    if (carry_count(&c, plan, problems, &err))
        fail_msg("%s", err.text);
    links_release(&c.links);
    carry_names_release(&c);
    release_free(c.release);
    site_release(&site);
}

static void has_line(const struct text_list *l, const char *begins)
{
    for (size_t i = 0; i < l->count; i++)
        if (strncmp(l->items[i], begins, strlen(begins)) == 0)
            return;
    for (size_t i = 0; i < l->count; i++)
        print_message("is there: %s\n", l->items[i]);
    fail_msg("not there: %s", begins);
}

static void plan__says_what_becomes_of_the_links_of_3x(void **state)
{
    struct upgrade_plan plan = {.release = NULL};
    struct text_list problems = TEXT_LIST_INIT;

    (void)state;
    run("mkdir -p disk/pictures old/Content/files old/uploads old/Views old/App_Data; ln -s ../../disk/pictures old/Content/Images;"
        "ln -s ../../uploads old/Content/files/ExportImport; ln -s ../elsewhere old/App_Data/dead; ln -s ../../disk old/Views/More; "
        "echo x >settings; ln -s ../../settings old/App_Data/Settings.txt");
    count(&plan, &problems);
    has_line(&plan.carried,
             "Content/Images, as wwwroot/images: stays a link to ../../disk/pictures (pictures); what is behind");
    has_line(&plan.carried,
             "Content/Images: 1 file of the release has no place there, since it is a link: default-image.png; put");
    has_line(&plan.carried,
             "Content/files/ExportImport, as wwwroot/files/exportimport: stays a link to ../../uploads (");
    has_line(&plan.carried, "Views/More: the link to ../../disk does not come over (code)");
    has_line(&plan.carried, "App_Data/Settings.txt: a link to ../../settings; the new version gets a file of its own");
    assert_int_equal(plan.carried.count, 5);
    assert_int_equal(problems.count, 0);
    text_list_release(&plan.carried);
}

static void plan__refuses_links_that_would_lead_nowhere(void **state)
{
    struct upgrade_plan plan = {.release = NULL};
    struct text_list problems = TEXT_LIST_INIT;
    char command[1024];

    (void)state;
    run("mkdir -p disk old/bin/pictures old/uploads old/Content/files; ln -s ../disk/unmounted old/Content/Images;"
        "ln -s ../../bin/pictures old/Content/files/own; ln -s ../disk old/App_Data; ln -s ../disk old/Plugins");
    (void)snprintf(command, sizeof(command), "ln -s %s/old/uploads old/Content/files/ExportImport", (char *)*state);
    run(command);
    count(&plan, &problems);
    has_line(&problems, "Content/Images is a link to ../disk/unmounted, which can't be reached");
    has_line(&problems,
             "Content/files/own is a link to ../../bin/pictures, a folder of the shop that does not come over");
    has_line(&problems, "App_Data is a link to ../disk, and the new version needs a folder of its own there");
    has_line(&problems, "Plugins is a link to ../disk, and the new version needs");
    (void)snprintf(
        command, sizeof(command),
        "Content/files/ExportImport is a link to %s/old/uploads, a folder of the shop that gets another name",
        (char *)*state);
    has_line(&problems, command);
    assert_int_equal(problems.count, 5);
    text_list_release(&plan.carried);
    text_list_release(&problems);
}

/* L2: what was decided by a link is not believed once it is another one, or something else has become one. */
static void links__that_change_until_the_stop_are_noticed(void **state)
{
    struct folder_link pictures = {(char *)"wwwroot/images", (char *)"../../disk"};
    struct site site = {.path = (char *)"old", .layout = SITE_CORE};
    struct upgrade_context c = {.site = &site,
                                .from = {.major = 4, .minor = 60, .text = "4.60"},
                                .to = {.major = 4, .minor = 70, .text = "4.70"},
                                .layout = SITE_CORE,
                                .links = {&pictures, 1}};
    struct error err = ERROR_INIT;

    (void)state;
    run("mkdir -p disk old/wwwroot/css; touch disk/a old/wwwroot/css/own.css");
    assert_int_equal(symlink("../../disk", "old/wwwroot/images"), 0);
    assert_true(carry_wants(&c, "wwwroot/images", false));
    assert_false(carry_wants(&c, "wwwroot/css/own.css", false));
    assert_false(carry_wants(&c, "wwwroot/css/gone.css", false));
    assert_int_equal(carry_check(&c, &err), OK);
    assert_int_equal(links_check(&c, "old", &err), OK);
    assert_int_equal(unlink("old/wwwroot/images"), 0);
    assert_int_equal(links_check(&c, "old", &err), ERR_REFUSED);
    assert_int_equal(symlink("../../disk/other", "old/wwwroot/images"), 0);
    error_clear(&err);
    assert_int_equal(links_check(&c, "old", &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "wwwroot/images is another link"));
    /* Another one, that the plan knew nothing of. */
    assert_int_equal(symlink("../disk", "old/wwwroot/bundles"), 0);
    assert_int_equal(mkdir("old/disk", 0755), 0);
    assert_false(carry_wants(&c, "wwwroot/bundles", false));
    error_clear(&err);
    assert_int_equal(carry_check(&c, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "has become a symlink"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(plan__says_what_becomes_of_the_links_of_3x),
        folder_test(plan__refuses_links_that_would_lead_nowhere),
        folder_test(links__that_change_until_the_stop_are_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
