/* The process of a shop that a transaction has started. */
#include <string.h>

#include "health.h"
#include "transaction.h"

_Static_assert(sizeof(((struct shop_life *)0)->run) <= sizeof(((struct health_process *)0)->run), "a run's name fits");
_Static_assert(sizeof(((struct shop_life *)0)->ended) <= sizeof(((struct health_process *)0)->ended),
               "so does its end");

enum error_kind health_probe_shop(void *watch, struct health_process *out, struct error *err)
{
    struct shop_life life = {.known = false};
    enum error_kind rc = shop_watch_look(watch, &life, err);

    if (rc)
        return rc;
    *out = (struct health_process){.known = life.known, .alive = life.alive};
    memcpy(out->run, life.run, sizeof(life.run));
    memcpy(out->ended, life.ended, sizeof(life.ended));
    return OK;
}
