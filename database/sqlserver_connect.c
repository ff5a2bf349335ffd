/*
 * A login as a connection string says it (reference D.6). What the library has no call for (encryption, certificates, instances) it reads from
 * a freetds.conf: ours lies in memory, has a section for every server that is asked for, and holds neither a user nor a password.
 *
 * The environment is changed once, by sqlserver_library_prepare(), before there is a second thread (main() calls database_prepare()).
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sybdb.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "process.h"
#include "sqlserver_connect_internal.h"
#include "text.h"

enum {
    SECTION_MAX = 16 * 1024,
    CONF_MAX = 1024 * 1024,
    CREDENTIAL_MAX = 128, /* bytes, however many characters they are; the library takes no more */
    PACKET_BYTES = 32767,
    DEFAULT_SECONDS = 15,
    KLIST_MS = 10 * 1000,
    ENDLESS_SECONDS = 3600, /* for a timeout of 0, which the library takes for "not set" */
};

/* ---- the private file ---- */

static pthread_mutex_t conf_lock = PTHREAD_MUTEX_INITIALIZER;
static int conf_fd = -1;
static struct buffer conf = BUFFER_INIT(CONF_MAX);
static unsigned conf_sections;

void sqlserver_library_prepare(void)
{
    /* Each of these overrides what is asked for, or writes passwords to a file (TDSDUMP). */
    static const char *const meddlers[] = {"TDSDUMP", "TDSDUMPCONFIG", "TDSVER", "TDSPORT",
                                           "TDSHOST", "TDSQUERY",      "DSQUERY"};
    char path[64];

    if (conf_fd >= 0)
        return;
    conf_fd = memfd_create("freetds.conf", MFD_CLOEXEC);
    if (conf_fd < 0)
        return;
    for (size_t i = 0; i < sizeof meddlers / sizeof meddlers[0]; i++)
        (void)unsetenv(meddlers[i]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", conf_fd);
    (void)setenv("FREETDSCONF", path, 1);
}

/* The name of the section with this content: an old one, or a new one at the end of the file. */
static enum error_kind find_section(const struct buffer *content, char *name, size_t room, struct error *err)
{
    struct buffer text = BUFFER_INIT(SECTION_MAX);
    const char *at = NULL;
    enum error_kind rc = OK;

    if (conf_fd < 0)
        return error_set(err, ERR_IO, ENOMEM, "no file in memory for the SQL Server library");
    pthread_mutex_lock(&conf_lock);
    at = conf.len ? strstr((const char *)conf.data, (const char *)content->data) : NULL;
    if (at) { /* "[nopsnap7]\n" stands before it */
        const char *open = at;

        while (open > (const char *)conf.data && *open != '[')
            open--;
        snprintf(name, room, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
    } else {
        snprintf(name, room, "nopsnap%u", ++conf_sections);
        rc = buffer_append_format(&text, err, "[%s]\n%s", name, (const char *)content->data);
        if (!rc)
            rc = file_write(conf_fd, text.data, text.len, "a file in memory", err);
        if (!rc)
            rc = buffer_append(&conf, text.data, text.len, err);
    }
    pthread_mutex_unlock(&conf_lock);
    buffer_release(&text);
    return rc;
}

/* ---- what the string may say ---- */

enum option_use { OPTION_USED, OPTION_IGNORED, OPTION_REFUSED, OPTION_REFUSED_IF_ON };

struct option {
    const char *key; /* lower case, without blanks */
    enum option_use use;
};

/* Of Microsoft.Data.SqlClient 5 and System.Data.SqlClient. What is pooled, how often is tried and what the server is told of us makes no difference here. */
static const struct option options[] = {
    {"encrypt", OPTION_USED},
    {"trustservercertificate", OPTION_USED},
    {"servercertificate", OPTION_USED},
    {"integratedsecurity", OPTION_USED},
    {"trusted_connection", OPTION_USED},
    {"connecttimeout", OPTION_USED},
    {"connectiontimeout", OPTION_USED},
    {"timeout", OPTION_USED},
    {"applicationintent", OPTION_USED},
    {"authentication", OPTION_USED},
    {"applicationname", OPTION_IGNORED},
    {"app", OPTION_IGNORED},
    {"asynchronousprocessing", OPTION_IGNORED},
    {"async", OPTION_IGNORED},
    {"commandtimeout", OPTION_IGNORED},
    {"connectionlifetime", OPTION_IGNORED},
    {"connectionreset", OPTION_IGNORED},
    {"connectretrycount", OPTION_IGNORED},
    {"connectretryinterval", OPTION_IGNORED},
    {"currentlanguage", OPTION_IGNORED},
    {"language", OPTION_IGNORED},
    {"enlist", OPTION_IGNORED},
    {"failoverpartner", OPTION_IGNORED},
    {"ipaddresspreference", OPTION_IGNORED},
    {"loadbalancetimeout", OPTION_IGNORED},
    {"maxpoolsize", OPTION_IGNORED},
    {"minpoolsize", OPTION_IGNORED},
    {"multipleactiveresultsets", OPTION_IGNORED},
    {"mars", OPTION_IGNORED},
    {"multisubnetfailover", OPTION_IGNORED},
    {"packetsize", OPTION_IGNORED},
    {"persistsecurityinfo", OPTION_IGNORED},
    {"persistsecurityinformation", OPTION_IGNORED},
    {"poolblockingperiod", OPTION_IGNORED},
    {"pooling", OPTION_IGNORED},
    {"replication", OPTION_IGNORED},
    {"transactionbinding", OPTION_IGNORED},
    {"transparentnetworkipresolution", OPTION_IGNORED},
    {"typesystemversion", OPTION_IGNORED},
    {"workstationid", OPTION_IGNORED},
    {"wsid", OPTION_IGNORED},
    {"columnencryptionsetting", OPTION_REFUSED_IF_ON},
    {"userinstance", OPTION_REFUSED_IF_ON},
    {"hostnameincertificate", OPTION_REFUSED},
};

static enum error_kind refuse(const char *key, const char *why, const char *hint, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "the connection string has the option \"%s\", %s", key, why);
    error_hint(err, "%s", hint);
    return ERR_REFUSED;
}

static const char own_login[] = "name a login of nopsnap's own with database-admin in the config";

static bool is_on(const char *value)
{
    static const char *const words[] = {"true", "yes", "sspi", "enabled", "mandatory"};

    for (size_t i = 0; value && i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

static bool is_off(const char *value)
{
    return value && (!strcasecmp(value, "false") || !strcasecmp(value, "no") || !strcasecmp(value, "disabled") ||
                     !strcasecmp(value, "optional"));
}

static const struct option *find_option(const char *key)
{
    char plain[64];
    size_t n = 0;

    for (; *key && n + 1 < sizeof plain; key++)
        if (*key != ' ' && *key != '\t')
            plain[n++] = (char)(*key >= 'A' && *key <= 'Z' ? *key + 32 : *key);
    plain[n] = '\0';
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(plain, options[i].key) == 0)
            return &options[i];
    return NULL;
}

static enum error_kind check_options(const struct database_target *t, struct error *err)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct option *o = find_option(t->keys[i]);

        if (!o)
            return refuse(t->keys[i], "which is none of SQL Server's", own_login, err);
        if (o->use == OPTION_REFUSED || (o->use == OPTION_REFUSED_IF_ON && !is_off(t->values[i])))
            return refuse(t->keys[i], "which nopsnap can't honour", own_login, err);
    }
    return OK;
}

/* ---- one login ---- */

struct wish {
    char host[256];
    char instance[128];
    int port;
    bool encrypted; /* everything; else at least the login where the server can */
    bool verified;
    const char *certificate; /* a file to check against; NULL: the system's authorities */
    bool kerberos;
    bool read_only;
    int seconds; /* for everything */
    int left;    /* of them, for the library */
};

static enum error_kind check_text(const char *what, const char *text, size_t max, struct error *err)
{
    for (const char *p = text ? text : ""; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 127)
            return error_set(err, ERR_REFUSED, 0, "the %s in the connection string has a control character", what);
    }
    if (text && strlen(text) > max)
        return error_set(err, ERR_REFUSED, 0, "the %s in the connection string has more than %zu bytes", what, max);
    return OK;
}

/* In freetds.conf a comment may begin anywhere, and blanks around a value are not of it: a cut path would leave a certificate unchecked. */
static enum error_kind check_conf(const char *what, const char *text, size_t max, struct error *err)
{
    enum error_kind rc = check_text(what, text, max, err);
    size_t n = text ? strlen(text) : 0;

    if (!rc && n && (strpbrk(text, ";#") || text[0] == ' ' || text[n - 1] == ' ')) {
        rc = error_set(err, ERR_REFUSED, 0,
                       "the %s in the connection string has a ; or #, or a blank at an end, which the FreeTDS library "
                       "would cut off",
                       what);
        error_hint(err, "%s", own_login);
    }
    return rc;
}

/* Of several names for one thing the one that the string says last counts. */
static const char *last_of(const struct database_target *t, const char *const *names, size_t count)
{
    const char *value = NULL;

    for (size_t i = 0; i < t->count; i++)
        for (size_t n = 0; n < count; n++)
            if (database_target_same_key(t->keys[i], names[n]))
                value = t->values[i];
    return value;
}

static enum error_kind take_host(const struct database_target *t, const struct database_target *shop, struct wish *w,
                                 struct error *err)
{
    static const char *const other_ways[] = {"np:", "lpc:", "admin:", "\\\\", "(localdb)"};
    const char *host = t->host ? t->host : shop->host ? shop->host : "localhost";
    const char *backslash = strchr(host, '\\');
    size_t len = backslash ? (size_t)(backslash - host) : strlen(host);
    enum error_kind rc = check_conf("host", host, sizeof w->host - 1, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof other_ways / sizeof other_ways[0]; i++)
        if (strncasecmp(host, other_ways[i], strlen(other_ways[i])) == 0) {
            error_set(err, ERR_REFUSED, 0, "the connection string's host begins with %s: nopsnap speaks TCP only",
                      other_ways[i]);
            error_hint(err, "%s", own_login);
            return ERR_REFUSED;
        }
    w->port = t->port ? t->port : t->host ? 0 : shop->port;
    if (backslash && !w->port) { /* a port says more than an instance */
        if (strlen(backslash + 1) >= sizeof w->instance || strpbrk(backslash + 1, "\\]["))
            return error_set(err, ERR_REFUSED, 0, "the connection string's instance is none that can be");
        snprintf(w->instance, sizeof w->instance, "%s", backslash + 1);
    }
    if (len == 0 || (len == 1 && *host == '.') || (len == 7 && strncasecmp(host, "(local)", 7) == 0))
        snprintf(w->host, sizeof w->host, "localhost");
    else
        snprintf(w->host, sizeof w->host, "%.*s", (int)len, host);
    if (!w->port && !w->instance[0])
        w->port = 1433;
    return OK;
}

/*
 * Where the string says nothing, Microsoft.Data.SqlClient from 4 on encrypts and older clients do not. Every server can: it makes itself a
 * certificate. So silence means encryption here, and the certificate is checked only where encryption was asked for by name, as
 * both clients do then.
 */
static enum error_kind take_encryption(const struct database_target *t, struct wish *w, struct error *err)
{
    const char *encrypt = database_target_option(t, "Encrypt");
    const char *trust = database_target_option(t, "Trust Server Certificate");

    if (encrypt && strcasecmp(encrypt, "strict") == 0)
        return refuse("Encrypt", "whose value strict (TDS 8.0) the FreeTDS library does not speak", own_login, err);
    if (encrypt && !is_on(encrypt) && !is_off(encrypt))
        return refuse("Encrypt", "whose value is none that is known", own_login, err);
    w->encrypted = !is_off(encrypt);
    w->certificate = database_target_option(t, "Server Certificate");
    if (w->certificate && !*w->certificate)
        w->certificate = NULL;
    w->verified = w->certificate || (is_on(encrypt) && !is_on(trust)) || (!encrypt && is_off(trust));
    return check_conf("certificate's path", w->certificate, 4096, err);
}

static enum error_kind take_login(const struct database_target *t, struct wish *w, struct error *err)
{
    static const char *const names[] = {"Integrated Security", "Trusted_Connection"};
    const char *authentication = database_target_option(t, "Authentication");
    enum error_kind rc;

    w->kerberos = is_on(last_of(t, names, sizeof names / sizeof names[0]));
    if (authentication && *authentication && strcasecmp(authentication, "SqlPassword") != 0 &&
        strcasecmp(authentication, "Sql Password") != 0)
        return refuse("Authentication", "whose way to log in the FreeTDS library does not know", own_login, err);
    rc = check_text("user", t->user, CREDENTIAL_MAX, err);
    if (!rc)
        rc = check_text("password", t->password, CREDENTIAL_MAX, err);
    if (!rc)
        rc = check_text("database", t->name, CREDENTIAL_MAX, err);
    if (!rc && !w->kerberos && (!t->user || !*t->user)) {
        rc = error_set(err, ERR_REFUSED, 0, "the connection string names no user");
        error_hint(err, "%s", own_login);
    }
    return rc;
}

static void take_rest(const struct database_target *t, struct wish *w)
{
    static const char *const names[] = {"Connect Timeout", "Connection Timeout", "Timeout"};
    const char *intent = database_target_option(t, "ApplicationIntent");
    const char *text = last_of(t, names, sizeof names / sizeof names[0]);
    long n = text && *text ? strtol(text, NULL, 10) : -1;

    w->seconds = n < 0 ? DEFAULT_SECONDS : n == 0 || n > ENDLESS_SECONDS ? ENDLESS_SECONDS : (int)n;
    w->left = w->seconds;
    w->read_only = intent && strcasecmp(intent, "ReadOnly") == 0;
}

static enum error_kind understand(const struct database_target *login, const struct database_target *shop,
                                  struct wish *w, struct error *err)
{
    enum error_kind rc = check_options(login, err);

    if (!rc)
        rc = take_host(login, shop, w, err);
    if (!rc)
        rc = take_encryption(login, w, err);
    if (!rc)
        rc = take_login(login, w, err);
    if (!rc)
        take_rest(login, w);
    return rc;
}

static enum error_kind write_section(const struct wish *w, char *name, size_t room, struct error *err)
{
    struct buffer text = BUFFER_INIT(SECTION_MAX);
    enum error_kind rc = buffer_append_format(&text, err, "\thost = %s\n", w->host);

    if (!rc)
        rc = buffer_append_format(&text, err, "\tport = %d\n", w->port);
    if (!rc)
        rc = buffer_append_format(
            &text, err,
            "\ttds version = 7.4\n\tclient charset = UTF-8\n\tencryption = %s\n\tinitial block size = %d\n"
            "\tconnect timeout = %d\n",
            w->encrypted ? "require" : "request", PACKET_BYTES, w->left);
    if (!rc && w->verified) /* without this line no certificate is looked at */
        rc = buffer_append_format(&text, err, "\tca file = %s\n\tcheck certificate hostname = yes\n",
                                  w->certificate ? w->certificate : "system");
    if (!rc)
        rc = buffer_append_text(&text, "\n", err);
    if (!rc)
        rc = find_section(&text, name, room, err);
    buffer_release(&text);
    return rc;
}

/* ---- why it failed ---- */

enum { NO_SUCH_LOGIN = 18456, NO_TRUST = 18452, NO_SUCH_DATABASE = 4060, UNKNOWN_DATABASE = 911, SEAT_TAKEN = 924 };

static enum error_kind explain(const struct wish *w, const struct sqlserver_refusal *r, struct error *err)
{
    char where[512];

    if (w->instance[0])
        snprintf(where, sizeof where, "%s\\%s", w->host, w->instance);
    else
        snprintf(where, sizeof where, "%s:%d", w->host, w->port);
    switch (r->number) {
    case NO_SUCH_LOGIN:
    case NO_TRUST:
        error_set(err, ERR_REMOTE, 0, "SQL Server %s refuses the login: %s", where, r->text);
        error_hint(err,
                   w->kerberos
                       ? "the Kerberos ticket of this process's user is what logs in: see klist, or name a login with "
                         "database-admin in the config"
                       : "check user and password in the shop's settings, or name another login with database-admin in "
                         "the config");
        return ERR_REMOTE;
    case NO_SUCH_DATABASE:
    case UNKNOWN_DATABASE:
        error_set(err, ERR_NOT_FOUND, 0, "SQL Server %s: %s", where, r->text);
        error_hint(err, "the database is not there, or this login may not enter it");
        return ERR_NOT_FOUND;
    default:
        break;
    }
    if (r->number) {
        error_set(err, ERR_REMOTE, 0, "SQL Server %s: %s (%d)", where, r->text, r->number);
        return ERR_REMOTE;
    }
    if (r->library == SYBETIME)
        error_set(err, ERR_REMOTE, 0, "SQL Server %s does not answer within %d s", where, w->seconds);
    else if (r->library == SYBEUHST)
        error_set(err, ERR_REMOTE, 0, "SQL Server %s can't be reached: no such host", where);
    else if (r->library == SYBECONN)
        error_set(err, ERR_REMOTE, 0, "SQL Server %s can't be reached", where);
    else if (w->kerberos) {
        error_set(err, ERR_REMOTE, 0, "SQL Server %s: the connection was given up at the login with Kerberos", where);
        error_hint(
            err,
            "get a ticket with kinit for the user that runs this, or name a login with database-admin in the config");
        return ERR_REMOTE;
    } else if (w->verified) {
        error_set(err, ERR_REMOTE, 0,
                  "SQL Server %s: no encrypted connection with a certificate that is trusted for %s", where, w->host);
        error_hint(
            err,
            "install the server's certificate authority here, name its certificate with Server Certificate=FILE, or trust it "
            "with TrustServerCertificate=True, in a login of nopsnap's own (database-admin in the config)");
        return ERR_REMOTE;
    } else if (w->encrypted) {
        error_set(err, ERR_REMOTE, 0, "SQL Server %s answers, but not with an encrypted connection", where);
        error_hint(err, "if it has none, say Encrypt=False in a login of nopsnap's own (database-admin in the config)");
        return ERR_REMOTE;
    } else
        error_set(err, ERR_REMOTE, 0, "SQL Server %s: the connection was given up: %s", where,
                  *r->text ? r->text : "no reason given");
    error_hint(err, "is it running, does it listen on TCP, and does a firewall let this host in?");
    return ERR_REMOTE;
}

/* ---- a Windows login ---- */

/* GSSAPI takes a first ticket by itself where a keytab of the client's own is. */
static bool has_client_keytab(void)
{
    char path[64];

    snprintf(path, sizeof path, "/var/lib/krb5/user/%lu/client.keytab", (unsigned long)geteuid());
    return getenv("KRB5_CLIENT_KTNAME") || access(path, R_OK) == 0;
}

/* The library only says that it gave up. Where klist is not installed it has the last word. */
static enum error_kind check_ticket(struct error *err)
{
    static const char *const argv[] = {"klist", "-s", NULL};
    struct process_spec spec = {.argv = argv, .timeout_ms = KLIST_MS};
    int status = 0;
    enum error_kind rc;

    if (has_client_keytab() || !process_exists("klist"))
        return OK;
    rc = process_run(&spec, NULL, &status, err);
    if (rc || !status)
        return rc;
    error_set(
        err, ERR_REMOTE, 0,
        "the connection string logs in with Kerberos, and the user that runs this has no valid ticket: there is none, or "
        "it has expired");
    error_hint(err, "get one with kinit for that user, or name a login with database-admin in the config");
    return ERR_REMOTE;
}

/* What has to be known before the library is let at the network. The Browser's time is of the timeout. */
static enum error_kind prepare_way(struct wish *w, struct error *err)
{
    int64_t began = clock_monotonic_ms();
    enum error_kind rc = w->kerberos ? check_ticket(err) : OK;

    if (!rc && !w->port) {
        rc = sqlserver_instance_port(w->host, w->instance, w->seconds, &w->port, err);
        w->left = w->seconds - (int)((clock_monotonic_ms() - began) / 1000);
        w->left = w->left < 1 ? 1 : w->left;
    }
    return rc;
}

enum error_kind sqlserver_connect(const struct database_target *login, const struct database_target *shop,
                                  const char *database, void (*before)(void *arg), struct sqlserver_refusal *refusal,
                                  void *arg, void **process, struct error *err)
{
    struct wish w = {.port = 0};
    LOGINREC *record = NULL;
    char section[32];
    enum error_kind rc = understand(login, shop, &w, err);

    if (!rc)
        rc = prepare_way(&w, err);
    if (!rc)
        rc = write_section(&w, section, sizeof section, err);
    if (rc)
        return rc;
    record = dblogin();
    if (!record)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a login");
    if (w.kerberos)
        DBSETLNETWORKAUTH(record, TRUE);
    else {
        DBSETLUSER(record, login->user);
        DBSETLPWD(record, login->password ? login->password : "");
    }
    if (w.read_only)
        DBSETLREADONLY(record, TRUE);
    DBSETLAPP(record, "nopsnap");
    DBSETLCHARSET(record, "UTF-8");
    DBSETLDBNAME(record, database);
    DBSETLPACKET(record, PACKET_BYTES);
    DBSETLVERSION(record, DBVERSION_74);
    BCP_SETL(record, TRUE);
    before(arg);
    *process = dbopen(record, section);
    dbloginfree(record);
    if (!*process)
        return explain(&w, refusal, err);
    if (w.encrypted)
        rc = sqlserver_check_encrypted(*process, w.host, w.seconds, err);
    if (rc) {
        dbclose(*process);
        *process = NULL;
    }
    return rc;
}
