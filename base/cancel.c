#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "thread.h"

/* A handler may store to it (C17 7.14.1.1 allows lock-free atomics), every thread may read it. */
static atomic_int received;
static atomic_bool deferred;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "the handler needs a lock-free flag");

static void remember(int number)
{
    int none = 0;

    atomic_compare_exchange_strong(&received, &none, number);
}

enum error_kind cancel_install(struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    if (sigaction(SIGPIPE, &action, NULL))
        return error_set(err, ERR_IO, errno, "cannot ignore signal %d", SIGPIPE);
    action.sa_handler = remember; /* without SA_RESTART: a wait returns and sees the flag */
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction before;

        if (sigaction(numbers[i], NULL, &before))
            return error_set(err, ERR_IO, errno, "cannot look at signal %d", numbers[i]);
        if (numbers[i] == SIGHUP && before.sa_handler == SIG_IGN)
            continue; /* nohup(1) means it */
        if (sigaction(numbers[i], &action, NULL))
            return error_set(err, ERR_IO, errno, "cannot catch signal %d", numbers[i]);
    }
    return OK;
}

int cancel_signal(void)
{
    return atomic_load(&received);
}

enum error_kind cancel_check(struct error *err)
{
    int number = cancel_signal();

    if (number == 0)
        return OK;
    return error_set(err, ERR_CANCELLED, 0, "stopped by signal %d (%s)", number, sigdescr_np(number));
}

void cancel_defer(bool defer)
{
    atomic_store(&deferred, defer);
}

enum error_kind cancel_check_child(struct error *err)
{
    return atomic_load(&deferred) ? OK : cancel_check(err);
}

void cancel_reset(void)
{
    atomic_store(&received, 0);
}
