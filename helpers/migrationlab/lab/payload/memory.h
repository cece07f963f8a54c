/* The memory that the workload writes: its writers, its content, and the check of both. */
#pragma once
#include <string.h>
#include <sys/mman.h>

#include "latency.h"
#include "writers.h"

enum { MOST_WRITERS = 16, HUGE_PAGE = 2 << 20 };
static struct writer writers[MOST_WRITERS];
static int writer_count = 1;
static uint64_t *memory;
static uint64_t pages, fill_pages;
/* The number of the write that filled page 0, above those of all writers. */
static const uint64_t FILL_NUMBER = (uint64_t)MOST_WRITERS << 48;

static void put_page(const struct writer *self, uint64_t k)
{
    uint64_t page = self->area.first + page_of(&self->area, k), number = self->area.first_number + k;
    bool noisy = fresh_noise || k < self->area.filled_at + self->area.pages;
    write_words(memory + page * WORDS, number, noise_seed(number, page), noisy ? noise : 0);
}

static void write_page(const struct writer *self, uint64_t k)
{
    bool timed = is_timed(k);
    uint64_t begun = timed ? now() : 0;
    put_page(self, k);
    if (timed)
        count_duration(now() - begun);
}

static void fill(struct writer *writer)
{
    writer->area.filled_at = atomic_load(&writer->writes);
    write_some(writer, writer->area.pages);
}

/* Write the pages beside the working set. */
static void fill_rest(void)
{
    for (uint64_t page = pages; page < pages + fill_pages; page++) {
        uint64_t number = FILL_NUMBER + page;
        write_words(memory + page * WORDS, number, noise_seed(number, page), noise);
    }
}

static uint64_t all_writes(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < writer_count; i++)
        sum += atomic_load(&writers[i].writes);
    return sum;
}

static void pause_writers(void)
{
    for (int i = 0; i < writer_count; i++)
        pause_writer(&writers[i]);
}

static void resume_writers(void)
{
    for (int i = 0; i < writer_count; i++)
        resume_writer(&writers[i]);
}

/* Count the pages of a writer that do not hold, in every byte, what it last wrote. */
static uint64_t check_area(const struct writer *writer)
{
    const struct area *area = &writer->area;
    uint64_t *expected = calloc(area->pages, sizeof *expected);
    uint8_t *known = calloc(area->pages, 1);
    uint64_t bad = 0, left = area->pages;
    if (!expected || !known)
        return area->pages;
    for (uint64_t k = atomic_load(&writer->writes); left > 0 && k-- > area->filled_at;) {
        uint64_t p = page_of(area, k);
        if (!known[p]) {
            known[p] = 1;
            expected[p] = area->first_number + k;
            left--;
        }
    }
    for (uint64_t p = 0; p < area->pages; p++) {
        uint64_t page = area->first + p, seed = noise_seed(expected[p], page);
        bad += !known[p] || !holds(memory + page * WORDS, expected[p], seed, noise);
    }
    free(expected);
    free(known);
    return bad;
}

static uint64_t check_memory(void)
{
    uint64_t bad = 0;
    for (int i = 0; i < writer_count; i++)
        bad += check_area(&writers[i]);
    for (uint64_t page = pages; page < pages + fill_pages; page++) {
        uint64_t number = FILL_NUMBER + page;
        bad += !holds(memory + page * WORDS, number, noise_seed(number, page), noise);
    }
    return bad;
}

static int pattern_of(const char *name)
{
    int i = 0;
    while (i < PATTERNS && strcmp(name, PATTERN_NAMES[i]) != 0)
        i++;
    return i;
}

/* Give each writer its part of a rate, and begin the phases anew. */
static void share_rate(int64_t rate)
{
    for (int64_t i = 0; i < writer_count; i++) {
        int64_t part = rate * (i + 1) / writer_count - rate * i / writer_count;
        atomic_store(&writers[i].rate, rate < 0 ? rate : part);
    }
    time_part_of(rate < 0 ? rate : rate / writer_count);
    atomic_store(&phases_since, now());
}

/* Another order begins with a write to each page, and another content with all of memory. */
static void set_workload(int64_t rate, enum pattern pattern, int words, bool fresh)
{
    pause_writers();
    bool new_content = words != noise || fresh != fresh_noise;
    noise = words;
    fresh_noise = fresh;
    if (new_content) /* a write leaves what it does not write as it was */
        memset(memory, 0, (pages + fill_pages) * PAGE);
    for (int i = 0; i < writer_count; i++)
        if (new_content || writers[i].area.pattern != pattern) {
            writers[i].area.pattern = pattern;
            fill(&writers[i]);
        }
    if (new_content)
        fill_rest();
    share_rate(rate);
    resume_writers();
}

static void make_writers(void)
{
    int pattern = pattern_of(text_of("pattern"));
    writer_count = (int)number_of("writers");
    if (pattern == PATTERNS || writer_count < 1 || writer_count > MOST_WRITERS ||
        pages < (uint64_t)writer_count) {
        fprintf(stderr, "workload: no such pattern, or no such number of writers\n");
        exit(2);
    }
    for (uint64_t i = 0, n = (uint64_t)writer_count; i < n; i++) {
        uint64_t first = pages * i / n;
        writers[i].write_one = write_page;
        writers[i].has_phases = true;
        writers[i].area = (struct area){
            .first = first,
            .pages = pages * (i + 1) / n - first,
            .first_number = i << 48,
            .pattern = (enum pattern)pattern,
            .hot_pages = (uint64_t)number_of("hot_pages"),
            .hot_writes = (uint64_t)number_of("hot_writes"),
        };
    }
    share_rate(number_of("rate"));
}

/* The kernel gives huge pages where it has room; it alone knows how many. */
static void tell_huge_pages(void)
{
    char line[128];
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    long long kib = -1;
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "AnonHugePages: %lld", &kib);
    if (file)
        fclose(file);
    printf("workload: %lld KiB of memory in huge pages\n", kib);
    if (kib <= 0) {
        fprintf(stderr, "workload: this kernel gives no huge pages\n");
        exit(1);
    }
}

static void make_pages(void)
{
    make_noise_table();
    noise = (int)number_of("noise");
    fresh_noise = number_of("fresh") != 0;
    bool huge = number_of("huge") != 0;
    size_t size = (pages + fill_pages) * PAGE, spare = huge ? HUGE_PAGE : 0;
    char *found = mmap(NULL, size + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) {
        perror("workload: working set");
        exit(1);
    }
    memory = (uint64_t *)(found + (spare ? spare - (uintptr_t)found % HUGE_PAGE : 0));
    if (huge && madvise(memory, size, MADV_HUGEPAGE) != 0) {
        perror("workload: huge pages");
        exit(1);
    }
    for (int i = 0; i < writer_count; i++)
        fill(&writers[i]);
    fill_rest();
    if (huge)
        tell_huge_pages();
}
