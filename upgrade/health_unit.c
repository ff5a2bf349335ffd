/* The process of a shop that systemd started. */
#include <stdio.h>

#include "health.h"
#include "transaction_internal.h"

_Static_assert(FENCE_RUN_MAX <= sizeof(((struct health_process *)0)->run), "a run's name fits");

enum error_kind health_probe_unit(void *unit, struct health_process *out, struct error *err)
{
    struct health_process p = {.known = true};
    enum error_kind rc = fence_unit_active(unit, &p.alive, err);

    if (!rc)
        rc = fence_unit_run(unit, p.run, err);
    if (!rc)
        *out = p;
    return rc;
}
