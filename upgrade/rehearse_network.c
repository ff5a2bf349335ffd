/* The network of the copy: its own loopback, and the way to the database. Nothing else leads out (H2), as far as this machine lets us. */
#include <string.h>

#include "file.h"
#include "netns.h"
#include "rehearse_internal.h"

static int port_of(const struct database_target *t)
{
    if (t->port)
        return t->port;
    return t->engine == DATABASE_POSTGRESQL ? 5432 : t->engine == DATABASE_MYSQL ? 3306 : 1433;
}

static void use_host_network(struct rehearsal *r, const char *why)
{
    rehearse_network_end(r);
    text_name(why, strlen(why), r->network_why, sizeof(r->network_why));
}

enum error_kind rehearse_network(struct rehearsal *r, const struct database_target *target, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (r->host_network) {
        use_host_network(r, "so you asked");
        return OK;
    }
    rc = netns_make(&r->netns, &why);
    if (!rc && (!target->host || !*target->host || strchr(target->host, '\\') || strchr(target->host, ',')))
        rc = error_set(&why, ERR_REFUSED, 0, "how its connection string reaches the database is not known");
    /* A socket in the filesystem is in every namespace. */
    if (!rc && target->host[0] != '/')
        rc = relay_start(r->netns, target->host, port_of(target), &r->relay, &why);
    if (rc == ERR_REFUSED || rc == ERR_IO) {
        use_host_network(r, why.text);
        return OK;
    }
    if (rc)
        error_copy(err, &why);
    return rc;
}

void rehearse_network_end(struct rehearsal *r)
{
    relay_stop(r->relay);
    r->relay = NULL;
    file_close(&r->netns);
}
