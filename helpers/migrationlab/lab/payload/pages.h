/*
 * Which page a write goes to, and what it leaves there: pure functions of the write's number, so
 * that the count of writes alone determines what each page must hold.
 *
 * A page has eight steps of 512 bytes. Write k leaves the numbers 8k .. 8k+7 at the steps' starts.
 * After each of them come `noise` words that do not compress; the rest stays zero. Noise is a part
 * of a fixed table of random words, each of them XOR a seed: this is fast, and nothing in a page
 * repeats within the page or in a page of another seed.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { PAGE = 4096, WORDS = PAGE / 8, STAMPS = 8, STEP = WORDS / STAMPS };
enum { NOISE_WORDS = 2 * WORDS };
enum pattern { SEQUENTIAL, RANDOM, HOT_COLD, ZIPF, PATTERNS };
static const char *const PATTERN_NAMES[PATTERNS] = {"sequential", "random", "hot-cold", "zipf"};
static const uint64_t MILLION = 1000000;

/* The pages of one writer. */
struct area {
    uint64_t first, pages;
    uint64_t filled_at;    /* its first write of the latest fill, which goes to every page once */
    uint64_t first_number; /* of its write 0: no two writers have a number in common */
    enum pattern pattern;
    uint64_t hot_pages, hot_writes; /* each in millionths of all */
};

static uint64_t noise_table[NOISE_WORDS];
static int noise;        /* words a step */
static bool fresh_noise; /* new noise at each write; else the noise of a page never changes */

/* The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
 * generators, 2014): well spread over the pages, and the same for the same number. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void make_noise_table(void)
{
    for (uint64_t i = 0; i < NOISE_WORDS; i++)
        noise_table[i] = mix(i << 32);
}

static uint64_t hot_cold(const struct area *area, uint64_t r)
{
    uint64_t hot = area->pages * area->hot_pages / MILLION;
    if (hot >= area->pages)
        hot = area->pages - 1;
    if (hot == 0)
        hot = 1;
    if (hot == area->pages || (r & 0xffffffff) < (area->hot_writes << 32) / MILLION)
        return (r >> 32) % hot;
    return hot + (r >> 32) % (area->pages - hot);
}

/* Page p is written as often as 1 / (p + 1) says, roughly: pages 2^e - 1 .. 2^(e+1) - 2 are an
 * octave, all octaves are written equally often, and so are all pages of an octave. An octave that
 * the area cuts off has its share of writes. */
static uint64_t zipf(const struct area *area, uint64_t r)
{
    uint64_t last = 0; /* the last octave, which may be cut off */
    while (((uint64_t)2 << last) - 1 < area->pages)
        last++;
    uint64_t cut = area->pages - (((uint64_t)1 << last) - 1); /* pages of it that there are */
    uint64_t all = (last << 16) + ((cut << 16) >> last);      /* octaves, in 65536ths */
    uint64_t octave = ((r & 0xffffffff) * all) >> 48;
    uint64_t width = octave == last ? cut : (uint64_t)1 << octave;
    return ((uint64_t)1 << octave) - 1 + (r >> 32) % width;
}

/* The page, counted from the area's first, of the area's write k. */
static uint64_t page_of(const struct area *area, uint64_t k)
{
    if (k < area->filled_at + area->pages)
        return k - area->filled_at;
    uint64_t r = mix(area->first_number + k);
    switch (area->pattern) {
    case RANDOM:
        return r % area->pages;
    case HOT_COLD:
        return hot_cold(area, r);
    case ZIPF:
        return zipf(area, r);
    default:
        return k % area->pages;
    }
}

/* The seed of the noise that write `number` leaves at a page, which is counted from memory's first. */
static uint64_t noise_seed(uint64_t number, uint64_t page)
{
    return mix(~(fresh_noise ? number : page));
}

static void write_words(uint64_t *page, uint64_t number, uint64_t seed, int count)
{
    const uint64_t *from = noise_table + seed % WORDS;
    for (uint64_t j = 0; j < STAMPS; j++, page += STEP, from += STEP) {
        page[0] = number * STAMPS + j;
#pragma GCC unroll 8
        for (int w = 1; w <= count; w++)
            page[w] = from[w] ^ seed;
    }
}

static bool holds(const uint64_t *page, uint64_t number, uint64_t seed, int count)
{
    const uint64_t *from = noise_table + seed % WORDS;
    uint64_t wrong = 0;
    for (uint64_t j = 0; j < STAMPS; j++, page += STEP, from += STEP) {
        int w = 1;
        wrong |= page[0] ^ (number * STAMPS + j);
        /* Unrolled: an emulated processor checks for interrupts at the end of each loop. */
#pragma GCC unroll 8
        for (; w <= count; w++)
            wrong |= page[w] ^ from[w] ^ seed;
#pragma GCC unroll 8
        for (; w < STEP; w++)
            wrong |= page[w];
    }
    return wrong == 0;
}
