/* The copy of the shop as a process: a child of ours, so that it dies with us. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "rehearse_internal.h"

#define WORDS_MAX 64

enum error_kind rehearse_port(int *out, struct error *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum error_kind rc = OK;

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || getsockname(fd, (struct sockaddr *)&at, &len))
        rc = error_set(err, ERR_IO, errno, "looking for a free port");
    else
        *out = ntohs(at.sin_port);
    file_close(&fd);
    return rc;
}

/* One word of the command, with {dir} and {port} put in. */
static enum error_kind put_in(const struct rehearsal *r, const char *word, size_t len, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(64u << 10);
    enum error_kind rc = OK;

    for (size_t i = 0; i < len && !rc;) {
        if (len - i >= 5 && !strncmp(word + i, "{dir}", 5)) {
            rc = buffer_append_text(&b, r->place.tree, err);
            i += 5;
        } else if (len - i >= 6 && !strncmp(word + i, "{port}", 6)) {
            rc = buffer_append_format(&b, err, "%d", r->port);
            i += 6;
        } else {
            rc = buffer_append(&b, word + i++, 1, err);
        }
    }
    if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}

static enum error_kind split(const struct rehearsal *r, const char *command, struct text_list *words, struct error *err)
{
    enum error_kind rc = OK;

    for (const char *p = command + strspn(command, " \t"); *p && !rc; p += strspn(p, " \t")) {
        size_t len = strcspn(p, " \t");
        char *word = NULL;

        rc = put_in(r, p, len, &word, err);
        if (!rc)
            rc = text_list_add(words, word, err);
        free(word);
        p += len;
    }
    if (!rc && (!words->count || words->count >= WORDS_MAX))
        rc = error_set(err, ERR_REFUSED, 0, "`rehearse-start` of the config has no word, or more than %d",
                       WORDS_MAX - 1);
    return rc;
}

/* Whatever a settings file says, the environment wins from 4.40 on: the copy's database is named there too (H2). */
enum error_kind rehearse_start(struct rehearsal *r, struct error *err)
{
    struct text_list words = TEXT_LIST_INIT;
    const char *argv[WORDS_MAX] = {NULL};
    char *set[4] = {NULL};
    const char *environment[5] = {NULL};
    size_t n = 0;
    enum error_kind rc = split(r, r->site->config->rehearse_start, &words, err);

    if (!rc)
        rc = memory_format(&set[0], err, "ConnectionStrings__ConnectionString=%s", r->string);
    if (!rc)
        rc = memory_format(&set[1], err, "ConnectionStrings__DataProvider=%s", r->provider);
    if (!rc)
        rc = memory_format(&set[2], err, "dataSettings__DataConnectionString=%s", r->string);
    if (!rc && r->site->config->environment)
        rc = memory_format(&set[3], err, "ASPNETCORE_ENVIRONMENT=%s", r->site->config->environment);
    if (!rc) {
        struct process_spec spec = {
            .argv = argv, .environment = environment, .directory = r->place.tree, .netns = r->netns > 0 ? r->netns : 0};

        for (size_t i = 0; i < words.count; i++)
            argv[i] = words.items[i];
        for (size_t i = 0; i < 4; i++)
            if (set[i])
                environment[n++] = set[i];
        rc = process_start(&r->process, &spec, err);
    }
    for (size_t i = 0; i < 4; i++)
        memory_free_secret(set[i]);
    text_list_release(&words);
    if (rc)
        error_context(err, "starting the copy of the shop by `rehearse-start`");
    return rc;
}

enum error_kind rehearse_probe(void *arg, struct health_process *out, struct error *err)
{
    const struct rehearsal *r = arg;
    siginfo_t ended = {.si_pid = 0};

    (void)err;
    *out = (struct health_process){.known = true};
    out->alive = r->process.pid > 0 && waitid(P_PID, (id_t)r->process.pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                 ended.si_pid == 0;
    return OK;
}
