/* The way out of a network namespace: to one address of the loopback, both ways, and nowhere else. Skipped where root may have no namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "netns.h"
#include "process.h"
#include "relay.h"
#include "test_support.h"

#define LONG (3u << 20)

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_here(int *port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 16) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

/* Sends back what it gets, until its peer has said all; then it says all too. */
static void *echo(void *arg)
{
    int fd;

    while ((fd = accept(*(int *)arg, NULL, NULL)) >= 0) {
        char piece[4096];
        ssize_t got;

        while ((got = read(fd, piece, sizeof(piece))) > 0)
            assert_int_equal(send(fd, piece, (size_t)got, MSG_NOSIGNAL), got);
        close(fd);
    }
    return NULL;
}

static int connect_inside(int netns, int port)
{
    struct sockaddr_in to = loopback(port);
    struct error err = ERROR_INIT;
    int fd = -1;

    assert_int_equal(netns_socket(netns, AF_INET, SOCK_STREAM, 0, &fd, &err), OK);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
        file_close(&fd);
    return fd;
}

static void *send_long(void *arg)
{
    char *bytes = malloc(LONG);

    for (size_t i = 0; i < LONG; i++)
        bytes[i] = (char)(i % 251);
    for (size_t sent = 0; sent < LONG;) {
        ssize_t n = send(*(int *)arg, bytes + sent, LONG - sent, MSG_NOSIGNAL);

        assert_true(n > 0);
        sent += (size_t)n;
    }
    shutdown(*(int *)arg, SHUT_WR);
    free(bytes);
    return NULL;
}

static void comes_back(int fd)
{
    unsigned char piece[8192];
    pthread_t sender;
    size_t at = 0;
    ssize_t got;

    assert_int_equal(pthread_create(&sender, NULL, send_long, &fd), 0);
    while ((got = read(fd, piece, sizeof(piece))) > 0)
        for (ssize_t i = 0; i < got; i++, at++)
            assert_int_equal(piece[i], at % 251);
    assert_int_equal(at, LONG);
    pthread_join(sender, NULL);
}

static int apart(void)
{
    struct error err = ERROR_INIT;
    int netns = -1;

    if (netns_make(&netns, &err) == ERR_REFUSED)
        skip();
    assert_true(netns >= 0);
    return netns;
}

static void relay__leads_there_and_nowhere_else(void **state)
{
    struct error err = ERROR_INIT;
    struct relay *relay = NULL;
    pthread_t server;
    int netns = apart();
    int port, other_port, one, two;
    int listener = listen_here(&port);
    int other = listen_here(&other_port);

    (void)state;
    assert_int_equal(pthread_create(&server, NULL, echo, &listener), 0);
    assert_int_equal(connect_inside(netns, port), -1); /* nothing leads out by itself */
    assert_int_equal(relay_start(netns, "localhost", port, &relay, &err), OK);
    one = connect_inside(netns, port);
    assert_true(one >= 0);
    comes_back(one);
    two = connect_inside(netns, port); /* open when the relay ends: it is cut off */
    assert_true(two >= 0);
    assert_int_equal(send(two, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read(two, &(char){0}, 1), 1);
    assert_int_equal(connect_inside(netns, other_port), -1);
    relay_stop(relay);
    assert_true(read(two, &(char){0}, 1) <= 0);
    assert_int_equal(connect_inside(netns, port), -1);
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(one);
    close(two);
    close(listener);
    close(other);
    close(netns);
}

/* A server that takes nobody holds up its own client, not the relay, and not its end. */
static void relay__ends_while_a_server_lets_its_clients_wait(void **state)
{
    struct error err = ERROR_INIT;
    struct relay *relay = NULL;
    int netns = apart();
    int port, one, two;
    int listener = listen_here(&port);
    int filling[8];
    struct sockaddr_in to;

    (void)state;
    assert_int_equal(relay_start(netns, "127.0.0.1", port, &relay, &err), OK);
    assert_int_equal(listen(listener, 0), 0);
    to = loopback(port);
    for (size_t i = 0; i < 8; i++) {
        filling[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filling[i], (struct sockaddr *)&to, sizeof(to));
    }
    alarm(100); /* connect(2) alone gives up later */
    one = connect_inside(netns, port);
    two = connect_inside(netns, port);
    assert_true(one >= 0 && two >= 0);
    usleep(100000); /* both are taken */
    relay_stop(relay);
    assert_true(read(one, &(char){0}, 1) <= 0);
    assert_true(read(two, &(char){0}, 1) <= 0);
    alarm(0);
    for (size_t i = 0; i < 8; i++)
        close(filling[i]);
    close(one);
    close(two);
    close(listener);
    close(netns);
}

static void relay__to_another_machine_or_to_nobody_is_refused(void **state)
{
    struct error err = ERROR_INIT;
    struct relay *relay = NULL;
    int netns = apart();
    int port;
    int listener = listen_here(&port);

    (void)state;
    assert_int_equal(relay_start(netns, "192.0.2.1", port, &relay, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "another machine"));
    error_clear(&err);
    close(listener);
    assert_int_equal(relay_start(netns, "127.0.0.1", port, &relay, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "nobody listens"));
    error_clear(&err);
    assert_null(relay);
    close(netns);
}

/* The program that is started in it sees the loopback alone. */
static void process__in_a_namespace_has_its_loopback_alone(void **state)
{
    const char *const argv[] = {"cat", "/proc/net/dev", NULL};
    struct buffer out = BUFFER_INIT(4096);
    struct error err = ERROR_INIT;
    struct process_spec spec = {.argv = argv};
    int status = -1;
    unsigned lines = 0;

    (void)state;
    spec.netns = apart();
    assert_int_equal(process_run(&spec, &out, &status, &err), OK);
    assert_int_equal(status, 0);
    assert_non_null(strstr((char *)out.data, "lo:"));
    for (const char *c = (char *)out.data; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 3); /* two of headings */
    buffer_release(&out);
    close(spec.netns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relay__leads_there_and_nowhere_else),
        cmocka_unit_test(relay__ends_while_a_server_lets_its_clients_wait),
        cmocka_unit_test(relay__to_another_machine_or_to_nobody_is_refused),
        cmocka_unit_test(process__in_a_namespace_has_its_loopback_alone),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
