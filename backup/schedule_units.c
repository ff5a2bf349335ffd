/*
 * The units' text. Beside each line that keeps something out stands what `nopsnap run` needs all the same.
 *
 * Quoting (systemd.service(5), systemd.unit(5)): words stand in double quotes, where \ and " have a \ before them; % begins a specifier
 * and is doubled everywhere; $ begins a variable in the arguments of a command, and only there, and is doubled. Bytes below a blank and
 * bad UTF-8 have no place in a unit: such paths are refused before.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "credential.h"
#include "file.h"
#include "schedule_internal.h"

/* A text that is put together: what went wrong first stays. */
struct unit_text {
    struct buffer *out;
    struct error *err;
    enum error_kind rc;
};

static void put(struct unit_text *t, const char *text)
{
    if (!t->rc)
        t->rc = buffer_append_text(t->out, text, t->err);
}

/* dollar: in a command's argument. quoted: with quotes around it. */
static void put_value(struct unit_text *t, const char *value, bool quoted, bool dollar)
{
    char one[3];

    put(t, quoted ? "\"" : "");
    for (const char *c = value; *c; c++) {
        bool doubled = *c == '%' || (dollar && *c == '$');
        bool escaped = quoted && (*c == '"' || *c == '\\');

        (void)snprintf(one, sizeof(one), doubled ? "%c%c" : escaped ? "\\%c" : "%c", *c, *c);
        put(t, one);
    }
    put(t, quoted ? "\"" : "");
}

/* KEY="path", with what stands before the path ("-": it may be missing). */
static void put_path(struct unit_text *t, const char *key, const char *before, const char *path)
{
    put(t, key);
    if (*before) { /* within the quotes */
        char *whole = NULL;

        if (!t->rc)
            t->rc = memory_format(&whole, t->err, "%s%s", before, path);
        if (!t->rc)
            put_value(t, whole, true, false);
        free(whole);
    } else {
        put_value(t, path, true, false);
    }
    put(t, "\n");
}

static void put_argument(struct unit_text *t, const char *option, const char *value)
{
    if (!value)
        return;
    put(t, " ");
    put(t, option);
    put(t, *option ? " " : "");
    put_value(t, value, true, true);
}

/* ---- what the run needs ---- */

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return path && !strncmp(path, folder, n) && (path[n] == '/' || path[n] == '\0');
}

static bool has_own_command(const struct schedule_spec *s)
{
    return s->site->config && s->site->config->after_run;
}

static bool drills(const struct schedule_spec *s)
{
    return s->site->config && s->site->config->drill && config_every_ms(s->site->config->drill) > 0;
}

static bool in_tmp(const char *path)
{
    return is_below(path, "/tmp") || is_below(path, "/var/tmp");
}

static bool any_in_tmp(const struct text_list *paths)
{
    for (size_t i = 0; paths && i < paths->count; i++)
        if (in_tmp(paths->items[i]))
            return true;
    return false;
}

static bool is_home(const char *path)
{
    return !strcmp(path, "/home") || !strcmp(path, "/root") || !strcmp(path, "/run/user");
}

/* Right in one of them, so that the folder itself has to be writable. */
static bool file_is_in_home(const char *file)
{
    static const char *const homes[] = {"/home", "/root", "/run/user"};

    for (size_t i = 0; file && i < sizeof(homes) / sizeof(homes[0]); i++)
        if (is_below(file, homes[i]) && !strchr(file + strlen(homes[i]) + 1, '/'))
            return true;
    return false;
}

static bool has_in_root(const struct text_list *paths)
{
    for (size_t i = 0; paths && i < paths->count; i++)
        if (!strchr(paths->items[i] + 1, '/'))
            return true;
    return false;
}

/* Somewhere in a text that may name a socket: a connection string, an administrator's login. */
static bool names_tmp(const char *text)
{
    return text && (strstr(text, "/tmp") != NULL);
}

/* A server's socket where only its own settings, or a default that was compiled in, say so. */
static bool has_socket_in_tmp(void)
{
    glob_t found = {0};
    bool there = glob("/tmp/.s.PGSQL.*", 0, NULL, &found) == 0;

    globfree(&found);
    return there || access("/tmp/mysql.sock", F_OK) == 0;
}

static bool needs_tmp(const struct schedule_spec *s)
{
    const struct site_config *c = s->site->config;

    return has_socket_in_tmp() || in_tmp(getenv("HOME")) || in_tmp(getenv("XDG_CONFIG_HOME")) ||
           in_tmp(s->site->path) || in_tmp(s->catalog) || in_tmp(s->program) || in_tmp(s->config_file) ||
           names_tmp(s->site->connection.string) || any_in_tmp(s->outside) || in_tmp(s->config->metrics_file) ||
           (c && (names_tmp(c->database_admin) || in_tmp(c->ca_file) || in_tmp(c->drill_folder)));
}

static void put_secret(struct unit_text *t, const struct config_secret *own, const struct config_secret *shared)
{
    const char *path = own && own->path ? own->path : shared->path;
    char name[CREDENTIAL_NAME_MAX];

    if (!path || !path_is_safe_absolute(path)) /* systemd takes no other: the run reads the file itself */
        return;
    credential_name(path, name);
    put(t, "LoadCredential=");
    put(t, name);
    put(t, ":");
    put_value(t, path, false, false); /* the rest of the line, without quotes (systemd.exec(5)) */
    put(t, "\n");
}

static void put_secrets(struct unit_text *t, const struct schedule_spec *s)
{
    const struct notify_config *own = s->site->config ? &s->site->config->notify : NULL;
    const struct notify_config *all = &s->config->notify;

    put_secret(t, own ? &own->webhook : NULL, &all->webhook);
    put_secret(t, own ? &own->ping : NULL, &all->ping);
    put_secret(t, own ? &own->mail_login : NULL, &all->mail_login);
}

/* A service has no home by itself, and the config and the clients' files may be there. */
static void put_environment(struct unit_text *t, const char *name)
{
    const char *value = getenv(name);
    char *both = NULL;

    if (!value || value[0] != '/' || strpbrk(value, "\n\r"))
        return;
    if (!t->rc)
        t->rc = memory_format(&both, t->err, "%s=%s", name, value);
    if (!t->rc) {
        put(t, "Environment=");
        put_value(t, both, true, false);
        put(t, "\n");
    }
    free(both);
}

/* value: of an option of the verb, or NULL */
static void put_command(struct unit_text *t, const struct schedule_spec *s, const char *verb, const char *option,
                        const char *value)
{
    put(t, "ExecStart=");
    put_value(t, s->program, true, false);
    put(t, " -q");
    put_argument(t, "--config", s->config_file);
    put_argument(t, "--catalog", s->catalog_named ? s->catalog : NULL);
    put(t, " ");
    put(t, verb);
    put_argument(t, option, value);
    put_argument(t, "--", s->site->path);
    put(t, "\n");
}

/* Beside the pictures, too, a transaction keeps what it took away. */
static void put_outside(struct unit_text *t, const struct schedule_spec *s)
{
    for (size_t i = 0; s->outside && i < s->outside->count && !t->rc; i++) {
        char *parent = NULL;

        t->rc = path_parent(s->outside->items[i], &parent, t->err);
        if (!t->rc)
            put_path(t, "ReadWritePaths=", "-", parent);
        free(parent);
    }
}

/* A run writes it whole and renames it: its folder. */
static void put_metrics(struct unit_text *t, const struct schedule_spec *s)
{
    char *folder = NULL;

    if (!s->config->metrics_file || t->rc)
        return;
    t->rc = path_parent(s->config->metrics_file, &folder, t->err);
    if (!t->rc)
        put_path(t, "ReadWritePaths=", "-", folder);
    free(folder);
}

/*
 * The parent of the shop's folder, not the folder: each of these paths becomes a mount of its own, and .nopsnap-<site> beside the shop has
 * to be on the shop's, or neither links nor renames between the two would work, and the shop would look like a mount point. The run needs it
 * to end what an upgrade or a rollback has kept there.
 */
static void put_writable(struct unit_text *t, const struct schedule_spec *s, const char *parent, bool tmp)
{
    const struct site_config *c = s->site->config;
    const char *backups = !c ? NULL : c->sqlserver_backup_local ? c->sqlserver_backup_local : c->sqlserver_backup_path;

    put_path(t, "ReadWritePaths=", "-", s->catalog); /* a run that finds none tells */
    put_path(t, "ReadWritePaths=", "", parent);
    put_outside(t, s);
    if (backups && backups[0] == '/') /* what SQL Server wrote there is removed after it was read */
        put_path(t, "ReadWritePaths=", "-", backups);
    if (c && c->drill_folder)
        put_path(t, "ReadWritePaths=", "-", c->drill_folder);
    put_metrics(t, s);
    if (tmp)
        put(t, "ReadWritePaths=/tmp /var/tmp\n");
}

/* What keeps the run from everything else. Not where the owner's own command runs as a part of it: nobody knows what that needs. */
static void put_limits(struct unit_text *t, const struct schedule_spec *s)
{
    put(t,
        "NoNewPrivileges=true\n"
        "PrivateDevices=true\n"
        "ProtectClock=true\n"
        "ProtectControlGroups=true\n"
        "ProtectHostname=true\n"
        "ProtectKernelLogs=true\n"
        "ProtectKernelModules=true\n"
        "ProtectKernelTunables=true\n"
        "LockPersonality=true\n"
        "MemoryDenyWriteExecute=true\n"
        "RestrictNamespaces=true\n"
        "RestrictRealtime=true\n"
        /* databases and mail by IP, local sockets; the resolver asks the kernel by netlink which addresses this host has */
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"
        "SystemCallArchitectures=native\n"
        /* a call that is not there fails, as on an old kernel: nopsnap has another way for each that may be missing */
        "SystemCallFilter=@system-service\n"
        "SystemCallErrorNumber=EPERM\n");
    if (!drills(s)) /* what a drill restores has the modes that it had: folders of a group with g+s */
        put(t, "RestrictSUIDSGID=true\n");
}

static void put_sandbox(struct unit_text *t, const struct schedule_spec *s, const char *parent)
{
    bool tmp = needs_tmp(s);

    put(t, "\n");
    if (has_own_command(s)) {
        put(t, "# The command of after-run is a part of this: only what no backup can need is kept from it.\n"
               "ProtectControlGroups=true\nProtectKernelModules=true\nRestrictRealtime=true\n");
        return;
    }
    if (!strcmp(parent, "/") || has_in_root(s->outside)) {
        put(t, "# The shop or its pictures lie in /, so that / has to be writable.\nProtectSystem=full\n");
    } else {
        put(t, "ProtectSystem=strict\n");
        put_writable(t, s, parent, tmp);
        /* pictures outside the shop, the owner's logins and service files may be in a home: only the database tells where pictures are */
        if (!is_home(parent) && !is_home(s->catalog) &&
            !file_is_in_home(s->config->metrics_file)) /* of two words on one path the stricter counts */
            put(t, "ProtectHome=read-only\n");
    }
    if (!tmp) /* else something that the run needs is there, such as a database's socket */
        put(t, "PrivateTmp=true\n");
    put_limits(t, s);
}

/* ---- the three units ---- */

static void put_names(struct unit_text *t, const struct schedule_spec *s, const char *name, const char *kind,
                      const char *description)
{
    char *line = NULL;

    if (!t->rc)
        t->rc = memory_format(
            &line, t->err,
            "# Written by `nopsnap schedule`, which changes and removes it again. Changes of your own: systemctl edit "
            "%s%s\n\n[Unit]\nDescription=%s ",
            name, kind, description);
    if (!t->rc)
        put(t, line);
    put_value(t, s->site->path, false, false);
    put(t, "\n");
    free(line);
}

/* One that nobody has named is made where it is missing: not below a mount that failed. */
static void put_catalog_mounts(struct unit_text *t, const struct schedule_spec *s)
{
    if (!s->catalog_named && !s->config->catalog)
        put_path(t, "RequiresMountsFor=", "", s->catalog);
    else if (!t->rc)
        t->rc = schedule_mount_lines(s->catalog, t->out, t->err);
}

enum error_kind schedule_service_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                      struct error *err)
{
    struct unit_text t = {out, err, OK};
    char *parent = NULL;

    t.rc = schedule_note(out, "site", s->site->path, err);
    if (!t.rc)
        t.rc = schedule_note(out, "catalogue", s->catalog, err);
    if (!t.rc && s->keep)
        t.rc = schedule_note(out, "keep", s->keep, err);
    if (!t.rc && has_own_command(s))
        t.rc = schedule_note(out, "after-run", "yes", err);
    if (!t.rc)
        t.rc = path_parent(s->site->path, &parent, err);
    put_names(&t, s, name, ".service", "nopsnap run of");
    put(&t, "OnFailure=");
    put(&t, name);
    put(&t, SCHEDULE_FAILED ".service\n");
    put_catalog_mounts(&t, s);
    put_path(&t, "RequiresMountsFor=", "", s->site->path);
    put(&t, "Wants=network-online.target\n"
            /* a run that is caught up after a reboot waits for the shop's server, where it is one of these */
            "After=network-online.target postgresql.service mysql.service mariadb.service mssql-server.service\n"
            "\n[Service]\nType=oneshot\n");
    put_command(&t, s, "run", "--keep", s->keep);
    put(&t, "# 3: done, with warnings; 6: somebody else was at work, the next run does it\n"
            "SuccessExitStatus=3 6\n");
    put_environment(&t, "HOME");
    put_environment(&t, "XDG_CONFIG_HOME");
    put_secrets(&t, s);
    put(&t, "Nice=15\nCPUWeight=20\nIOWeight=20\nIOSchedulingClass=idle\nUMask=0077\n");
    if (parent)
        put_sandbox(&t, s, parent);
    free(parent);
    return t.rc;
}

enum error_kind schedule_failed_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                     struct error *err)
{
    struct unit_text t = {out, err, OK};
    char *service = NULL;

    t.rc = memory_format(&service, err, "%s.service", name);
    if (!t.rc)
        t.rc = schedule_note(out, "site", s->site->path, err);
    put_names(&t, s, name, SCHEDULE_FAILED ".service", "nopsnap, to tell of a failed run of");
    put(&t, "Wants=network-online.target\nAfter=network-online.target\n"
            "\n[Service]\nType=oneshot\n");
    put_command(&t, s, "notify", "--failed", service);
    put(&t, "# 3: not everybody could be told\n"
            "SuccessExitStatus=3\n");
    put_environment(&t, "HOME");
    put_environment(&t, "XDG_CONFIG_HOME");
    put(&t, "UMask=0077\n"
            "# No sandbox and no credentials: those of the run may be what has failed.\n");
    free(service);
    return t.rc;
}

enum error_kind schedule_timer_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                    struct error *err)
{
    struct unit_text t = {out, err, OK};
    char when[SCHEDULE_WHEN_MAX];
    char calendar[SCHEDULE_CALENDAR_MAX];
    char delay[TEXT_MAX];
    char pauses[2 * TEXT_MAX];

    (void)snprintf(pauses, sizeof(pauses), "%lld %lld", (long long)s->when.shortest_s, (long long)s->when.longest_s);
    schedule_when_text(&s->when, when);
    schedule_when_calendar_of(&s->when, calendar);
    (void)snprintf(delay, sizeof(delay), "%lld", (long long)(s->delay_ms / 1000));
    t.rc = schedule_note(out, "site", s->site->path, err);
    if (!t.rc)
        t.rc = schedule_note(out, "when", when, err);
    if (!t.rc)
        t.rc = schedule_note(out, "delay", delay, err);
    if (!t.rc &&
        s->when.rule ==
            SCHEDULE_CALENDAR) /* so that nobody who asks for the age that is expected has to count them again */
        t.rc = schedule_note(out, "pauses", pauses, err);
    put_names(&t, s, name, ".timer", "nopsnap run of");
    put(&t, "\n[Timer]\nOnCalendar=");
    put_value(&t, calendar, false, false);
    put(&t, "\nPersistent=true\nRandomizedDelaySec=");
    put(&t, delay);
    put(&t, "\n\n[Install]\nWantedBy=timers.target\n");
    return t.rc;
}
