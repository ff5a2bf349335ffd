/*
 * Why a unit has failed, by what systemd remembers of it.
 *
 * What was seen of systemd 252: a start that fails by a dependency runs OnFailure=, too, and leaves every word of the last run as it was, also in
 * $MONITOR_...; only the moment of the process's end tells one from the other.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "process.h"
#include "schedule_internal.h"

#define SHOW_MS 10000
#define JUST_NOW_MS 60000
#define SYSTEMD_STATUS \
    200 /* and above: what systemd itself ends with before it has started anything (systemd.exec(5)) */

struct known {
    char result[32];
    int code; /* CLD_EXITED... of waitid(2); 0: no process was started yet */
    int status;
    long long ended_us; /* by the steady clock; 0: no process has ended yet */
    bool active;
};

static void take_line(struct known *k, const char *line)
{
    (void)sscanf(line, "Result=%31s", k->result);
    (void)sscanf(line, "ExecMainCode=%d", &k->code);
    (void)sscanf(line, "ExecMainStatus=%d", &k->status);
    (void)sscanf(line, "ExecMainExitTimestampMonotonic=%lld", &k->ended_us);
    k->active = k->active || !strcmp(line, "ActiveState=active") || !strcmp(line, "ActiveState=activating");
}

static enum error_kind ask(const char *unit, struct known *out, struct error *err)
{
    const char *argv[] = {
        "systemctl", "show", "--property=ActiveState,Result,ExecMainCode,ExecMainStatus,ExecMainExitTimestampMonotonic",
        "--",        unit,   NULL};
    static const char *const environment[] = {"LC_ALL=C", NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .timeout_ms = SHOW_MS};
    struct buffer said = BUFFER_INIT(1u << 16);
    char *rest = NULL;
    enum error_kind rc = process_run(&spec, &said, NULL, err);

    if (!rc)
        rc = buffer_append_text(&said, "\n", err);
    for (char *line = rc ? NULL : strtok_r((char *)said.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        take_line(out, line);
    buffer_release(&said);
    return rc;
}

/* The likeliest of systemd's own; systemd.exec(5) has all. */
static const char *meaning_of(int status)
{
    static const struct {
        int status;
        const char *meaning;
    } known[] = {
        {200, "CHDIR, a folder is not there"},
        {203, "EXEC, the program is not there or can't be executed"},
        {217, "USER, the user is not known"},
        {218, "CAPABILITIES"},
        {226, "NAMESPACE, a path that its sandbox names is not there"},
        {228, "SECCOMP, the kernel does not take its filter of system calls"},
        {243, "CREDENTIALS, a file with a secret is not there or can't be read"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (known[i].status == status)
            return known[i].meaning;
    return "see systemd.exec(5)";
}

static void judge_signal(const struct known *k, struct schedule_failure *out)
{
    const char *name = sigabbrev_np(k->status);

    if (k->status == SIGTERM || k->status == SIGINT || k->status == SIGHUP) { /* whoever stops a run knows */
        out->known = true;
        return;
    }
    (void)snprintf(out->cause, sizeof(out->cause), "%s %d", k->result, k->status);
    (void)snprintf(out->text, sizeof(out->text), "it was ended by signal %d (%s)%s before it could tell", k->status,
                   name ? name : "?", !strcmp(k->result, "oom-kill") ? ", since the machine had no memory left," : "");
}

/* Of a process of the run that has ended just now. */
static void judge_end(const struct known *k, struct schedule_failure *out)
{
    if (!strcmp(k->result, "timeout") ||
        !strcmp(k->result, "watchdog")) { /* systemd ends it with SIGTERM: nobody knows */
        (void)snprintf(out->cause, sizeof(out->cause), "%s", k->result);
        (void)snprintf(out->text, sizeof(out->text), "systemd ended it, since it took longer than its unit allows (%s)",
                       k->result);
    } else if (k->code != CLD_EXITED) {
        judge_signal(k, out);
    } else if (k->status < SYSTEMD_STATUS) {
        out->known = true;
    } else {
        (void)snprintf(out->cause, sizeof(out->cause), "%s %d", k->result, k->status);
        (void)snprintf(out->text, sizeof(out->text), "systemd could not start it: %s, status %d (%s)", k->result,
                       k->status, meaning_of(k->status));
    }
}

/* Words that are those of the process that ended last, whenever that was. */
static bool says_nothing_new(const char *result)
{
    static const char *const of_processes[] = {"",          "success",  "exit-code", "signal",
                                               "core-dump", "oom-kill", "timeout",   "watchdog"};

    for (size_t i = 0; i < sizeof(of_processes) / sizeof(*of_processes); i++)
        if (!strcmp(result, of_processes[i]))
            return true;
    return false;
}

static void judge_refusal(const struct known *k, struct schedule_failure *out)
{
    if (says_nothing_new(k->result)) {
        (void)snprintf(out->cause, sizeof(out->cause), "dependency");
        (void)snprintf(
            out->text, sizeof(out->text),
            "systemd did not start it: something that it requires is not there, such as a mount (or this is told "
            "late, of a run that failed more than a minute ago)");
    } else {
        (void)snprintf(out->cause, sizeof(out->cause), "%s", k->result);
        (void)snprintf(out->text, sizeof(out->text), "systemd did not start it: %s", k->result);
    }
}

void schedule_failure_of(const char *unit, struct schedule_failure *out)
{
    struct known k = {.result = ""};
    struct error why = ERROR_INIT;
    int64_t passed_ms;

    *out = (struct schedule_failure){.known = false};
    if (ask(unit, &k, &why) != OK) {
        (void)snprintf(out->cause, sizeof(out->cause), "not known");
        (void)snprintf(out->text, sizeof(out->text), "its unit has failed, and why can't be asked: %.200s", why.text);
        return;
    }
    passed_ms = clock_monotonic_ms() - k.ended_us / 1000;
    if (k.active) /* started once more meanwhile: that one tells of itself */
        out->known = true;
    else if (k.ended_us && passed_ms >= 0 && passed_ms < JUST_NOW_MS)
        judge_end(&k, out);
    else
        judge_refusal(&k, out);
}
