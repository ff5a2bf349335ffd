/*
 * Progress: a bar with rate and ETA on a terminal, sparse lines elsewhere. Always on stderr.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buffer.h"
#include "cli.h"
#include "file.h"

#define BAR_INTERVAL_MS 100
#define LINE_INTERVAL_MS 10000
#define LINE_FIRST_MS 2000

struct cli_bar {
    bool terminal;
    bool drawn;
    char what[256];
    int64_t step_began_ms, last_ms;
    pthread_mutex_t mutex; /* steps are reported from worker threads too */
};

static size_t columns(void)
{
    const char *given = getenv("COLUMNS");
    struct winsize w;

    if (given && atoi(given) > 20)
        return (size_t)atoi(given);
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20)
        return w.ws_col;
    return 80;
}

static void clear(struct cli_bar *b)
{
    if (b->drawn)
        fputs("\r\033[K", stderr);
    b->drawn = false;
}

static void on_step(void *arg, const char *what)
{
    struct cli *cli = arg;
    struct cli_bar *b = cli->bar;

    pthread_mutex_lock(&b->mutex);
    clear(b);
    (void)snprintf(b->what, sizeof(b->what), "%s", what);
    b->step_began_ms = clock_monotonic_ms();
    b->last_ms = b->step_began_ms - (b->terminal ? BAR_INTERVAL_MS : LINE_INTERVAL_MS - LINE_FIRST_MS);
    if (!cli->quiet && b->terminal) {
        fprintf(stderr, "%s...", b->what);
        b->drawn = true;
    } else if (!cli->quiet) {
        fprintf(stderr, "%s\n", b->what);
    }
    (void)fflush(stderr);
    pthread_mutex_unlock(&b->mutex);
}

static void amount(uint64_t n, const char *unit, char out[TEXT_MAX])
{
    if (!strcmp(unit, "bytes"))
        text_size(n, out);
    else
        (void)snprintf(out, TEXT_MAX, "%llu %s", (unsigned long long)n, unit);
}

/* "reading files  1.2 GiB of 3.4 GiB  36%  210 MiB/s  ETA 11 s" */
static void describe(const struct cli_bar *b, uint64_t done, uint64_t total, const char *unit, int64_t now, char *out,
                     size_t len)
{
    uint64_t ms = (uint64_t)(now - b->step_began_ms) + 1;
    uint64_t rate = done * 1000 / ms;
    char have[TEXT_MAX];
    char all[TEXT_MAX];
    char speed[TEXT_MAX];
    char eta[TEXT_MAX] = "";

    amount(done, unit, have);
    amount(total, unit, all);
    amount(rate, unit, speed);
    if (total > done && rate)
        text_duration((total - done) / rate * 1000, eta);
    if (total)
        (void)snprintf(out, len, "%s  %s of %s  %u%%  %s/s%s%s", b->what, have, all,
                       (unsigned)(total ? done * 100 / total : 0), speed, eta[0] ? "  ETA " : "", eta);
    else
        (void)snprintf(out, len, "%s  %s  %s/s", b->what, have, speed);
}

static void on_advance(void *arg, uint64_t done, uint64_t total, const char *unit)
{
    struct cli *cli = arg;
    struct cli_bar *b = cli->bar;
    int64_t now = clock_monotonic_ms();
    char line[512];

    if (cli->quiet)
        return;
    pthread_mutex_lock(&b->mutex);
    if (now - b->last_ms >= (b->terminal ? BAR_INTERVAL_MS : LINE_INTERVAL_MS)) {
        b->last_ms = now;
        describe(b, done, total, unit, now, line, sizeof(line));
        if (b->terminal) {
            line[columns() - 1 < sizeof(line) ? columns() - 1 : sizeof(line) - 1] = '\0';
            fprintf(stderr, "\r\033[K%s", line);
            b->drawn = true;
        } else {
            fprintf(stderr, "%s\n", line);
        }
        (void)fflush(stderr);
    }
    pthread_mutex_unlock(&b->mutex);
}

static void on_note(void *arg, const char *line)
{
    cli_note(arg, "%s", line);
}

static void on_warn(void *arg, const char *line)
{
    cli_warn(arg, "%s", line);
}

static void on_lock(void *arg, const char *line)
{
    cli_note(arg, "%s: waiting", line);
}

enum error_kind cli_progress_init(struct cli *cli, struct error *err)
{
    enum error_kind rc = memory_zeroed(1, sizeof(*cli->bar), (void **)&cli->bar, err);

    if (rc)
        return rc;
    pthread_mutex_init(&cli->bar->mutex, NULL);
    cli->bar->terminal = isatty(STDERR_FILENO) == 1;
    cli->progress = (struct progress){on_step, on_advance, on_note, on_warn, cli};
    file_lock_on_wait(on_lock, cli);
    return OK;
}

void cli_progress_end(struct cli *cli)
{
    if (!cli->bar)
        return;
    pthread_mutex_lock(&cli->bar->mutex);
    clear(cli->bar);
    (void)fflush(stderr);
    pthread_mutex_unlock(&cli->bar->mutex);
}

void cli_progress_free(struct cli *cli)
{
    if (!cli->bar)
        return;
    cli_progress_end(cli);
    file_lock_on_wait(NULL, NULL);
    pthread_mutex_destroy(&cli->bar->mutex);
    free(cli->bar);
    cli->bar = NULL;
}
