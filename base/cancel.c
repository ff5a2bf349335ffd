#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "thread.h"

/* A handler may store to it (C17 7.14.1.1 allows lock-free atomics), every thread may read it. */
static atomic_int received;
static atomic_bool deferred;
/* An eventfd that the handler rings, so that a wait sees a signal that another thread got, or that came just before it. */
static atomic_int bell = -1;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "the handler needs a lock-free flag");

static void remember(int number)
{
    int none = 0;
    int saved = errno;
    uint64_t one = 1;

    atomic_compare_exchange_strong(&received, &none, number);
    (void)!write(atomic_load(&bell), &one, sizeof(one)); /* full only if it rings already */
    errno = saved;
}

enum error_kind cancel_install(struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    if (atomic_load(&bell) < 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        if (fd < 0)
            return error_set(err, ERR_IO, errno, "cannot open an eventfd");
        atomic_store(&bell, fd); /* for the process's life: a handler may write to it at any moment */
    }
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

static int asked(void)
{
    return atomic_load(&deferred) ? 0 : cancel_signal();
}

bool cancel_is_asked(void)
{
    return asked() != 0;
}

enum error_kind cancel_check(struct error *err)
{
    int number = asked();

    if (number == 0)
        return OK;
    return error_set(err, ERR_CANCELLED, 0, "stopped by signal %d (%s)", number, sigdescr_np(number));
}

void cancel_defer(bool defer)
{
    atomic_store(&deferred, defer);
}

enum error_kind cancel_wait_input(int fd, struct error *err)
{
    struct pollfd waits[2] = {{.fd = fd, .events = POLLIN}, {.fd = atomic_load(&bell), .events = POLLIN}};
    enum error_kind rc = cancel_check(err);

    while (!rc) {
        int n = poll(waits, 2, -1);

        if (n < 0 && errno != EINTR)
            return error_set(err, ERR_IO, errno, "cannot wait for an answer");
        rc = cancel_check(err);
        if (n > 0 && waits[0].revents)
            break;
    }
    return rc;
}

void cancel_reset(void)
{
    uint64_t count;

    atomic_store(&received, 0);
    (void)!read(atomic_load(&bell), &count, sizeof(count)); /* nothing to read if it did not ring */
}
