/*
 * Runs a fuzzer's target without libFuzzer, in every build: on each file of its corpus, and on mutations of
 * them from a fixed seed. What this finds once, it finds every time.
 *
 *     <name>_replay [corpus folder] [mutations]
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 65536
#define SEEDS_MAX 512

struct input {
    size_t len;
    unsigned char bytes[INPUT_MAX];
};

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* On a heap block of just that length, so that the sanitizers see a read beyond it. */
static void run(const struct input *in)
{
    unsigned char *copy = malloc(in->len > 0 ? in->len : 1);

    if (!copy)
        exit(1);
    memcpy(copy, in->bytes, in->len);
    LLVMFuzzerTestOneInput(copy, in->len);
    free(copy);
}

static void mutate_once(struct input *in)
{
    static const unsigned char telling[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '/', '{', '}', '\n', '*'};
    size_t at = in->len > 0 ? next_random() % in->len : 0;
    size_t run_len = 1 + next_random() % 16;

    switch (next_random() % 6) {
    case 0: /* flip a bit */
        if (in->len > 0)
            in->bytes[at] ^= (unsigned char)(1U << next_random() % 8);
        break;
    case 1: /* a byte that parsers look for */
        if (in->len > 0)
            in->bytes[at] = telling[next_random() % sizeof(telling)];
        break;
    case 2: /* cut the end off */
        in->len = at;
        break;
    case 3: /* take some out */
        if (run_len > in->len - at)
            run_len = in->len - at;
        memmove(in->bytes + at, in->bytes + at + run_len, in->len - at - run_len);
        in->len -= run_len;
        break;
    case 4: /* double some */
        if (run_len > in->len - at)
            run_len = in->len - at;
        if (in->len + run_len <= INPUT_MAX) {
            memmove(in->bytes + at + run_len, in->bytes + at, in->len - at);
            in->len += run_len;
        }
        break;
    default: /* a length or an offset of all ones */
        for (size_t i = at; i < in->len && i < at + 4; i++)
            in->bytes[i] = 0xff;
        break;
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_seed(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static size_t load(const char *folder, struct input **seeds)
{
    struct dirent **names = NULL;
    int found = scandir(folder, &names, is_seed, by_name);
    size_t count = 0;

    for (int i = 0; i < found; i++) {
        char path[4096];
        struct input *in = calloc(1, sizeof(*in));
        int fd;

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (in && fd >= 0 && count < SEEDS_MAX) {
            ssize_t got = read(fd, in->bytes, INPUT_MAX);

            in->len = got > 0 ? (size_t)got : 0;
            seeds[count++] = in;
            in = NULL;
        }
        if (fd >= 0)
            close(fd);
        free(in);
        free(names[i]);
    }
    free(names);
    return count;
}

int main(int argc, char **argv)
{
    static struct input *seeds[SEEDS_MAX];
    static struct input work;
    size_t count = argc > 1 ? load(argv[1], seeds) : 0;
    unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

    if (count == 0) {
        fprintf(stderr, "there is no corpus in %s\n", argc > 1 ? argv[1] : "no folder");
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        run(seeds[i]);
    for (unsigned long i = 0; i < mutations; i++) {
        work = *seeds[next_random() % count];
        for (uint64_t n = 1 + next_random() % 8; n > 0; n--)
            mutate_once(&work);
        run(&work);
    }
    printf("%zu seeds, %lu mutations\n", count, mutations);
    for (size_t i = 0; i < count; i++)
        free(seeds[i]);
    return 0;
}
