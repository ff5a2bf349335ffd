/* The copy of the shop as a process: a child of ours, so that it dies with us. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "pidns.h"
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

/* ---- its environment ---- */

/* Of nopsnap's own only what a program needs to run; a name with "__" would be a setting of the shop. */
static bool is_passed_on(const char *variable)
{
    static const char *const names[] = {"PATH=", "HOME=", "LANG=", "LC_", "TZ=", "TMPDIR=", "DOTNET_"};
    const char *underscores = strstr(variable, "__");

    if (underscores && underscores < strchrnul(variable, '='))
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strncmp(variable, names[i], strlen(names[i])))
            return true;
    return false;
}

static enum error_kind add_secret(struct text_list *l, const char *name, const char *value, struct error *err)
{
    char *line = NULL;
    enum error_kind rc = memory_format(&line, err, "%s=%s", name, value);

    if (!rc)
        rc = text_list_add(l, line, err);
    memory_free_secret(line);
    return rc;
}

/*
 * Whatever a settings file says, the environment wins from 4.40 on: the copy's database is named there too, and nothing that nopsnap happened
 * to be started with is, which could undo what was emptied (H2).
 */
static enum error_kind make_environment(const struct rehearsal *r, struct text_list *l, struct error *err)
{
    enum error_kind rc = add_secret(l, "ConnectionStrings__ConnectionString", r->string, err);

    if (!rc)
        rc = add_secret(l, "ConnectionStrings__DataProvider", r->connection.provider, err);
    if (!rc)
        rc = add_secret(l, "dataSettings__DataConnectionString", r->string, err);
    if (!rc && r->site->config->environment)
        rc = text_list_addf(l, err, "ASPNETCORE_ENVIRONMENT=%s", r->site->config->environment);
    for (char **e = environ; e && *e && !rc; e++)
        if (is_passed_on(*e))
            rc = text_list_add(l, *e, err);
    return rc;
}

static void forget(struct text_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        explicit_bzero(l->items[i], strlen(l->items[i]));
    text_list_release(l);
}

/* ---- started ---- */

/* The list as an array that ends with NULL; the words stay the list's. Caller frees the array. */
static enum error_kind to_array(const struct text_list *l, const char ***out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(l->count + 1, sizeof(char *), &memory, err);

    *out = memory;
    for (size_t i = 0; i < l->count && !rc; i++)
        (*out)[i] = l->items[i];
    return rc;
}

static enum error_kind list_covers(const struct rehearsal *r, struct process_cover **out, struct error *err)
{
    enum error_kind rc = memory_zeroed(r->covers.count + 1, sizeof(**out), (void **)out, err);

    for (size_t i = 0; i < r->covers.count && !rc; i++)
        (*out)[i] = (struct process_cover){r->covers.items[i], r->cover_options.items[i]};
    return rc;
}

static enum error_kind refuse_uncovered(const struct rehearsal *r, const struct error *why, struct error *err)
{
    const char *first = r->cover_names.items[0];

    error_set(err, ERR_REFUSED, 0,
              "what the copy would write behind %s, which leads out of it, can't be kept apart: %s", first, why->text);
    error_hint(err, "where it may write there, say so in the config: rehearse-allow = %s", first);
    return ERR_REFUSED;
}

/* Where it can't have PIDs of its own, what a kill of nopsnap leaves running is ended by the next rehearsal (H4). */
enum error_kind rehearse_start(struct rehearsal *r, struct error *err)
{
    struct text_list words = TEXT_LIST_INIT;
    struct text_list variables = TEXT_LIST_INIT;
    const char **argv = NULL;
    const char **environment = NULL;
    struct process_cover *covers = NULL;
    struct error kept_in = ERROR_INIT;
    enum error_kind rc = split(r, r->site->config->rehearse_start, &words, err);

    if (!rc)
        rc = make_environment(r, &variables, err);
    if (!rc)
        rc = to_array(&words, &argv, err);
    if (!rc)
        rc = to_array(&variables, &environment, err);
    if (!rc)
        rc = list_covers(r, &covers, err);
    if (!rc) {
        struct process_spec spec = {.argv = argv,
                                    .environment = environment,
                                    .clear = true,
                                    .directory = r->place.tree,
                                    .netns = r->netns > 0 ? r->netns : 0,
                                    .own_pids = true,
                                    .covers = covers,
                                    .cover_count = r->covers.count};

        rc = process_start(&r->process, &spec, &kept_in);
        spec.own_pids = false;
        if (rc == ERR_REFUSED && !r->covers.count)
            rc = process_start(&r->process, &spec, err);
        else if (rc == ERR_REFUSED)
            rc = refuse_uncovered(r, &kept_in, err);
        else if (rc)
            error_copy(err, &kept_in);
    }
    free(argv);
    free(environment);
    free(covers);
    forget(&variables);
    text_list_release(&words);
    if (rc)
        error_context(err, "starting the copy of the shop by `rehearse-start`");
    return rc;
}

/* ---- how it is ---- */

/* .NET says first what is wrong and then where, line by line: else the last line counts. */
static const char *telling_line(char *said)
{
    char *line = strstr(said, "Unhandled exception");
    char *end;

    if (line) {
        line[strcspn(line, "\r\n")] = '\0';
        return line;
    }
    for (end = said + strlen(said); end > said && strchr("\r\n ", end[-1]); end--)
        end[-1] = '\0';
    line = strrchr(said, '\n');
    return line ? line + 1 : said;
}

/* P10: a driver may show its connection string. */
static bool has_secret(const struct rehearsal *r, const char *line)
{
    return strcasestr(line, "password") || strcasestr(line, "pwd") || (r->password && strstr(line, r->password));
}

static void tell_end(struct rehearsal *r, const siginfo_t *ended, struct health_process *out)
{
    struct buffer said = BUFFER_INIT(64u << 10);
    struct error ignored = ERROR_INIT;
    int how = ended->si_status;
    bool killed = ended->si_code != CLD_EXITED || how > 128; /* as a shell and a namespace's init tell it */
    const char *line = "";
    char shown[384];

    if (process_said(&r->process, &said, &ignored) == OK && buffer_append(&said, "", 1, &ignored) == OK)
        line = telling_line((char *)said.data);
    text_name(line, strlen(line), shown, sizeof(shown));
    (void)snprintf(out->ended, sizeof(out->ended), "%s %d%s%s", killed ? "by signal" : "with status",
                   how > 128 ? how - 128 : how, *line ? ": " : "",
                   has_secret(r, line) ? "(what it said last has a secret in it)" : shown);
    buffer_release_secret(&said);
}

enum error_kind rehearse_probe(void *arg, struct health_process *out, struct error *err)
{
    struct rehearsal *r = arg;
    siginfo_t ended = {.si_pid = 0};

    (void)err;
    *out = (struct health_process){.known = true};
    if (r->process.pid > 0 && waitid(P_PID, (id_t)r->process.pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0) {
        out->alive = ended.si_pid == 0;
        if (!out->alive)
            tell_end(r, &ended, out);
    }
    return OK;
}
