/* The scripts at hand, by the version that each begins at. */
#include "scripts.h"

#include <stdlib.h>
#include <string.h>

int scripts_next(int version)
{
    static const int chain[] = {390, 400, 410, 420, 430};

    for (size_t i = 0; i + 1 < sizeof(chain) / sizeof(chain[0]); i++)
        if (chain[i] == version)
            return chain[i + 1];
    return 0;
}

const struct upgrade_script *scripts_step(const struct upgrade_scripts *s, int from)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].from == from)
            return &s->items[i];
    return NULL;
}

void upgrade_script_release(struct upgrade_script *s)
{
    free(s->name);
    free(s->problem);
    buffer_release(&s->text);
    text_list_release(&s->notes);
}

void scripts_release(struct upgrade_scripts *s)
{
    for (size_t i = 0; i < s->count; i++)
        upgrade_script_release(&s->items[i]);
    free(s->items);
    free(s->place);
    text_list_release(&s->problems);
    *s = (struct upgrade_scripts)UPGRADE_SCRIPTS_INIT;
}
