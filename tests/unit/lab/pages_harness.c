/*
 * Print what the pure functions of the workload say, for a comparison with a model:
 *
 *   pages PATTERN PAGES FIRST_NUMBER HOT_PAGES HOT_WRITES FROM COUNT   the page of each write
 *   page NUMBER PAGE NOISE FRESH                                      the words of a page
 *   rate RATE PHASES MS ...                                           the rate at each moment
 */
#define _GNU_SOURCE
#include <string.h>

#include "memory.h"

static uint64_t word(const char *text)
{
    return strtoull(text, NULL, 10);
}

static void print_pages(char **argv)
{
    struct area area = {
        .pages = word(argv[1]),
        .first_number = word(argv[2]),
        .pattern = (enum pattern)pattern_of(argv[0]),
        .hot_pages = word(argv[3]),
        .hot_writes = word(argv[4]),
    };
    for (uint64_t k = word(argv[5]), end = k + word(argv[6]); k < end; k++)
        printf("%llu\n", (unsigned long long)page_of(&area, k));
}

static void print_page(char **argv)
{
    static uint64_t page[WORDS];
    uint64_t number = word(argv[0]);
    int count = atoi(argv[2]);
    fresh_noise = atoi(argv[3]) != 0;
    make_noise_table();
    uint64_t seed = noise_seed(number, word(argv[1]));
    write_words(page, number, seed, count);
    for (int i = 0; i < WORDS; i++)
        printf("%llu\n", (unsigned long long)page[i]);
    for (int i = 0; i < WORDS; i++) {
        if (!holds(page, number, seed, count))
            exit(1);
        page[i] ^= (uint64_t)1 << (i % 64);
        if (holds(page, number, seed, count))
            exit(1);
        page[i] ^= (uint64_t)1 << (i % 64);
    }
}

int main(int argc, char **argv)
{
    if (strcmp(argv[1], "pages") == 0)
        print_pages(argv + 2);
    else if (strcmp(argv[1], "page") == 0)
        print_page(argv + 2);
    else {
        struct writer writer = {.has_phases = true};
        atomic_store(&writer.rate, atoll(argv[2]));
        read_phases(argv[3]);
        for (int i = 4; i < argc; i++)
            printf("%lld\n", (long long)present_rate(&writer, word(argv[i]) * MILLISECOND));
    }
    return 0;
}
