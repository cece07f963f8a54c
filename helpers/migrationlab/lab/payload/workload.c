/*
 * What runs inside a lab guest: a workload that writes memory at a set rate and can prove
 * that every page holds what was last written, and a beat each millisecond.
 *
 *   workload GUEST PAGES RATE PATTERN OBSERVER BEAT_PORT CONTROL_PORT
 *
 * GUEST is the guest's number, PAGES its working set in 4096-byte pages, RATE the pages to
 * write a second (0: none, -1: as fast as it goes), PATTERN "sequential" or "random".
 *
 * Writes are numbered. Write k goes to the page that page_of(k) names, and leaves the numbers
 * 8k .. 8k+7 at the page's eight 512-byte steps; all else in the page stays zero. So what each
 * page must hold follows from the count of writes alone: a check walks the numbers backwards,
 * and the first that names a page is the one that the page must hold. Nothing but the counter
 * is kept beside the pages, and the beats tell it to the world outside.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, STAMPS = 8, STEP = WORDS / STAMPS };
static const uint64_t SECOND = 1000000000, MILLISECOND = 1000000;
/* A stall of the machine is not made up for by a burst longer than this. */
static const uint64_t LONGEST_CREDIT = 20000000;

struct beat { /* little-endian on the wire, as the guest is x86; read by observer.py */
    char magic[4];
    uint32_t guest;
    uint64_t sequence, guest_ns, writes;
};

static uint64_t *memory;
static uint64_t pages;
static _Atomic uint64_t writes; /* the number of the next write */
static uint64_t filled_at;      /* the number of the write that began the latest fill */
static _Atomic int64_t rate;    /* pages a second; -1: as fast as it goes */
static bool random_order;
/* Odd while the writer is to stand still; the writer says which wish it has seen. With two flags
 * a writer that is slow to wake could be taken for one that stands still. */
static _Atomic uint64_t pause_wish, pause_seen;
static struct sockaddr_in observer;
static uint32_t guest;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t when)
{
    struct timespec t = {.tv_sec = (time_t)(when / SECOND), .tv_nsec = (long)(when % SECOND)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
 * generators, 2014): well spread over the pages, and the same for the same number. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t page_of(uint64_t k)
{
    if (k < filled_at + pages)
        return k - filled_at;
    return random_order ? mix(k) % pages : k % pages;
}

static void write_page(uint64_t k)
{
    uint64_t *page = memory + page_of(k) * WORDS;
    for (int j = 0; j < STAMPS; j++)
        page[j * STEP] = k * STAMPS + (uint64_t)j;
}

static void write_some(uint64_t count)
{
    uint64_t k = atomic_load(&writes);
    for (uint64_t i = 0; i < count; i++)
        write_page(k + i);
    atomic_store(&writes, k + count);
}

static void fill(void)
{
    filled_at = atomic_load(&writes);
    write_some(pages);
}

static void *writer(void *unused)
{
    uint64_t paid = now(); /* the time up to which writes have been made */
    for (;;) {
        uint64_t wish = atomic_load(&pause_wish);
        if (wish % 2) {
            atomic_store(&pause_seen, wish);
            sleep_until(now() + MILLISECOND);
            paid = now();
            continue;
        }
        int64_t wanted = atomic_load(&rate);
        if (wanted < 0) {
            write_some(64);
            continue;
        }
        uint64_t t = now();
        if (wanted == 0 || t - paid > LONGEST_CREDIT)
            paid = wanted == 0 ? t : t - LONGEST_CREDIT;
        uint64_t due = (t - paid) * (uint64_t)wanted / SECOND;
        if (due > 0) {
            write_some(due);
            paid += due * SECOND / (uint64_t)wanted;
        }
        sleep_until(t + MILLISECOND);
    }
    return unused;
}

static void *beater(void *unused)
{
    int out = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct beat beat = {.magic = "MLB1", .guest = guest};
    uint64_t next = now();
    for (;;) {
        beat.guest_ns = now();
        beat.writes = atomic_load(&writes);
        sendto(out, &beat, sizeof beat, 0, (struct sockaddr *)&observer, sizeof observer);
        beat.sequence++;
        next += MILLISECOND;
        if (next < beat.guest_ns) /* late: go on from here, without a burst */
            next = beat.guest_ns + MILLISECOND;
        sleep_until(next);
    }
    return unused;
}

static void pause_writer(void)
{
    uint64_t wish = atomic_fetch_add(&pause_wish, 1) + 1;
    while (atomic_load(&pause_seen) != wish)
        sleep_until(now() + MILLISECOND / 4);
}

static void resume_writer(void)
{
    atomic_fetch_add(&pause_wish, 1);
}

/* Count the pages that do not hold, in every byte, what was last written. */
static uint64_t check(void)
{
    uint64_t *expected = calloc(pages, sizeof *expected);
    uint8_t *known = calloc(pages, 1);
    uint64_t bad = 0, left = pages;
    if (!expected || !known)
        return pages;
    for (uint64_t k = atomic_load(&writes); left > 0 && k-- > filled_at;) {
        uint64_t p = page_of(k);
        if (!known[p]) {
            known[p] = 1;
            expected[p] = k;
            left--;
        }
    }
    for (uint64_t p = 0; p < pages; p++) {
        const uint64_t *step = memory + p * WORDS;
        uint64_t wrong = !known[p];
        for (uint64_t j = 0; j < STAMPS; j++, step += STEP) {
            wrong |= step[0] ^ (expected[p] * STAMPS + j);
            for (int w = 1; w < STEP; w++)
                wrong |= step[w];
        }
        bad += wrong != 0;
    }
    free(expected);
    free(known);
    return bad;
}

/* A request is "ID VERB [NUMBER [PATTERN]]"; the answer begins with the same ID. */
static void answer(const char *request, char *reply, size_t size)
{
    char id[32] = "", verb[16] = "", pattern[16] = "";
    long long value = 0;
    int words = sscanf(request, "%31s %15s %lld %15s", id, verb, &value, pattern);
    if (words >= 2 && strcmp(verb, "check") == 0) {
        pause_writer();
        uint64_t bad = check();
        snprintf(reply, size, "%s pages=%llu bad_pages=%llu writes=%llu", id,
                 (unsigned long long)pages, (unsigned long long)bad,
                 (unsigned long long)atomic_load(&writes));
        resume_writer();
    } else if (words == 4 && strcmp(verb, "set") == 0) {
        bool wanted = strcmp(pattern, "random") == 0;
        pause_writer();
        if (wanted != random_order) {
            random_order = wanted;
            fill();
        }
        atomic_store(&rate, value);
        resume_writer();
        snprintf(reply, size, "%s ok=1", id);
    } else if (words >= 3 && strcmp(verb, "spoil") == 0 && value >= 0 && (uint64_t)value < pages) {
        /* So that a test can see the check find what it is there to find. */
        memory[(uint64_t)value * WORDS + 1] = 1;
        snprintf(reply, size, "%s ok=1", id);
    } else {
        snprintf(reply, size, "%s error=unknown", id);
    }
}

static void start(void *(*body)(void *), int priority)
{
    pthread_t thread;
    pthread_create(&thread, NULL, body, NULL);
    if (priority > 0) {
        struct sched_param param = {.sched_priority = priority};
        pthread_setschedparam(thread, SCHED_FIFO, &param);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "workload GUEST PAGES RATE PATTERN OBSERVER BEAT_PORT CONTROL_PORT\n");
        return 2;
    }
    guest = (uint32_t)atoi(argv[1]);
    pages = strtoull(argv[2], NULL, 10);
    atomic_store(&rate, atoll(argv[3]));
    random_order = strcmp(argv[4], "random") == 0;
    observer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[6]))};
    inet_pton(AF_INET, argv[5], &observer.sin_addr);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("workload: working set");
        return 1;
    }
    fill();
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[7]))};
    if (bind(control, (struct sockaddr *)&here, sizeof here) != 0) {
        perror("workload: control port");
        return 1;
    }
    start(writer, 0);
    start(beater, 50);
    printf("migrationlab: workload runs\n");
    fflush(stdout);
    for (;;) {
        char request[256], reply[256];
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t n = recvfrom(control, request, sizeof request - 1, 0, (struct sockaddr *)&peer, &length);
        if (n <= 0)
            continue;
        request[n] = 0;
        answer(request, reply, sizeof reply);
        sendto(control, reply, strlen(reply), 0, (struct sockaddr *)&peer, length);
    }
}
