/*
 * The program inside a lab guest. Its workload writes memory, and a disk if there is one, at set
 * rates, and can check that every page and block holds what was last written. It also sends a beat
 * each millisecond.
 *
 *   workload GUEST PAGES RATE PATTERN OBSERVER BEAT_PORT CONTROL_PORT [DISK DISK_RATE]
 *
 * GUEST is the guest's number, PAGES its working set in 4096-byte pages, RATE the pages to
 * write a second (0: none, -1: as fast as it goes), PATTERN "sequential" or "random"; DISK is a
 * block device, DISK_RATE the 4096-byte blocks to write to it a second.
 *
 * Writes are numbered. Write k goes to the page page_of(k), and leaves the numbers 8k .. 8k+7 at
 * the page's eight 512-byte steps; all else in the page stays zero. So the count of writes alone
 * determines what each page must hold: a check walks the numbers backwards, and the first number
 * that gives a page is the one that the page must hold. The counter is the only state beside the
 * pages, and the beats report it.
 *
 * Blocks hold the same, but writes go round the disk in order, past the guest's page cache. The
 * lab has made the first round (lab/disk_files.py): the disk's content shows where to go on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
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
enum { CHUNK = 256 }; /* blocks that a check reads at once */
static const uint64_t SECOND = 1000000000, MILLISECOND = 1000000;
/* After a stall of the machine, the burst that catches up is not longer than this. */
static const uint64_t LONGEST_CREDIT = 20000000;

struct beat { /* little-endian on the wire, as the guest is x86; read by observer.py */
    char magic[4];
    uint32_t guest;
    uint64_t sequence, guest_ns, writes;
};

/* A writer at a set rate, in a thread of its own. */
struct writer {
    _Atomic uint64_t writes; /* the number of the next write */
    _Atomic int64_t rate;    /* writes a second; -1: as fast as it goes */
    /* Odd while the writer must pause; the writer stores the wish that it has seen. With two flags
     * a writer that is slow to wake could be taken for a paused one. */
    _Atomic uint64_t pause_wish, pause_seen;
    void (*write_one)(uint64_t k);
};
static void write_page(uint64_t k), write_block(uint64_t k);
static struct writer memory_writer = {.write_one = write_page};
static struct writer disk_writer = {.write_one = write_block};

static uint64_t *memory;
static uint64_t pages;
static uint64_t filled_at; /* the number of the first write of the latest fill */
static bool random_order;
static int disk = -1;
static uint64_t blocks;
static uint64_t chunk[CHUNK * WORDS] __attribute__((aligned(PAGE))); /* of the control thread */
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

static void stamp(uint64_t *page, uint64_t k)
{
    for (int j = 0; j < STAMPS; j++)
        page[j * STEP] = k * STAMPS + (uint64_t)j;
}

static bool holds(const uint64_t *page, uint64_t k)
{
    uint64_t wrong = 0;
    for (uint64_t j = 0; j < STAMPS; j++, page += STEP) {
        wrong |= page[0] ^ (k * STAMPS + j);
        /* Unrolled: an emulated processor checks for interrupts at the end of each loop. */
#pragma GCC unroll 63
        for (int w = 1; w < STEP; w++)
            wrong |= page[w];
    }
    return wrong == 0;
}

static void write_page(uint64_t k)
{
    stamp(memory + page_of(k) * WORDS, k);
}

static void write_block(uint64_t k)
{
    static uint64_t block[WORDS] __attribute__((aligned(PAGE)));
    stamp(block, k);
    /* A failed write counts as made: the check finds that it was not. */
    if (pwrite(disk, block, PAGE, (off_t)(k % blocks * PAGE)) != PAGE)
        perror("workload: disk");
}

static void write_some(struct writer *writer, uint64_t count)
{
    uint64_t k = atomic_load(&writer->writes);
    for (uint64_t i = 0; i < count; i++)
        writer->write_one(k + i);
    atomic_store(&writer->writes, k + count);
}

static void fill(void)
{
    filled_at = atomic_load(&memory_writer.writes);
    write_some(&memory_writer, pages);
}

static void *run_writer(void *self)
{
    struct writer *writer = self;
    uint64_t paid = now(); /* the time up to which writes have been made */
    for (;;) {
        uint64_t wish = atomic_load(&writer->pause_wish);
        if (wish % 2) {
            atomic_store(&writer->pause_seen, wish);
            sleep_until(now() + MILLISECOND);
            paid = now();
            continue;
        }
        int64_t wanted = atomic_load(&writer->rate);
        if (wanted < 0) {
            write_some(writer, 64);
            continue;
        }
        uint64_t t = now();
        if (wanted == 0 || t - paid > LONGEST_CREDIT)
            paid = wanted == 0 ? t : t - LONGEST_CREDIT;
        uint64_t due = (t - paid) * (uint64_t)wanted / SECOND;
        if (due > 0) {
            write_some(writer, due);
            paid += due * SECOND / (uint64_t)wanted;
        }
        sleep_until(t + MILLISECOND);
    }
    return NULL;
}

static void *beater(void *unused)
{
    int out = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct beat beat = {.magic = "MLB1", .guest = guest};
    uint64_t next = now();
    for (;;) {
        beat.guest_ns = now();
        beat.writes = atomic_load(&memory_writer.writes);
        sendto(out, &beat, sizeof beat, 0, (struct sockaddr *)&observer, sizeof observer);
        beat.sequence++;
        next += MILLISECOND;
        if (next < beat.guest_ns) /* late: go on from here, without a burst */
            next = beat.guest_ns + MILLISECOND;
        sleep_until(next);
    }
    return unused;
}

static void pause_writer(struct writer *writer)
{
    uint64_t wish = atomic_fetch_add(&writer->pause_wish, 1) + 1;
    while (atomic_load(&writer->pause_seen) != wish)
        sleep_until(now() + MILLISECOND / 4);
}

static void resume_writer(struct writer *writer)
{
    atomic_fetch_add(&writer->pause_wish, 1);
}

/* Count the pages that do not hold, in every byte, what was last written. */
static uint64_t check_memory(void)
{
    uint64_t *expected = calloc(pages, sizeof *expected);
    uint8_t *known = calloc(pages, 1);
    uint64_t bad = 0, left = pages;
    if (!expected || !known)
        return pages;
    for (uint64_t k = atomic_load(&memory_writer.writes); left > 0 && k-- > filled_at;) {
        uint64_t p = page_of(k);
        if (!known[p]) {
            known[p] = 1;
            expected[p] = k;
            left--;
        }
    }
    for (uint64_t p = 0; p < pages; p++)
        bad += !known[p] || !holds(memory + p * WORDS, expected[p]);
    free(expected);
    free(known);
    return bad;
}

/* Read blocks from the first one on; an unreadable block gets a content that is never right. */
static uint64_t read_chunk(uint64_t first)
{
    uint64_t count = blocks - first < CHUNK ? blocks - first : CHUNK;
    ssize_t size = (ssize_t)(count * PAGE);
    if (pread(disk, chunk, (size_t)size, (off_t)(first * PAGE)) != size)
        memset(chunk, 0xff, (size_t)size);
    return count;
}

/* Count the blocks that do not hold it, each of them read from the disk. */
static uint64_t check_disk(void)
{
    uint64_t next = atomic_load(&disk_writer.writes), bad = 0;
    for (uint64_t first = 0, count; first < blocks; first += count) {
        count = read_chunk(first);
        for (uint64_t b = first; b < first + count; b++)
            bad += !holds(chunk + (b - first) * WORDS, next - 1 - (next - 1 - b) % blocks);
    }
    return bad;
}

/* Open the disk, and find the number after the newest write on it. */
static bool open_disk(const char *path)
{
    uint64_t newest = 0;
    off_t size;
    disk = open(path, O_RDWR | O_DIRECT);
    if (disk < 0 || (size = lseek(disk, 0, SEEK_END)) < PAGE)
        return false;
    blocks = (uint64_t)size / PAGE;
    for (uint64_t first = 0, count; first < blocks; first += count) {
        count = read_chunk(first);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t k = chunk[i * WORDS] / STAMPS;
            if (k > newest && holds(chunk + i * WORDS, k))
                newest = k;
        }
    }
    atomic_store(&disk_writer.writes, newest + 1);
    return true;
}

static void check(const char *id, char *reply, size_t size)
{
    pause_writer(&memory_writer);
    if (blocks > 0)
        pause_writer(&disk_writer);
    int length = snprintf(reply, size, "%s pages=%llu bad_pages=%llu writes=%llu", id,
                          (unsigned long long)pages, (unsigned long long)check_memory(),
                          (unsigned long long)atomic_load(&memory_writer.writes));
    if (blocks > 0) {
        snprintf(reply + length, size - (size_t)length, " disk_blocks=%llu bad_blocks=%llu",
                 (unsigned long long)blocks, (unsigned long long)check_disk());
        resume_writer(&disk_writer);
    }
    resume_writer(&memory_writer);
}

/* Damage a block, so that a test can see that the check finds it. */
static void spoil_block(uint64_t b)
{
    read_chunk(b);
    chunk[1] ^= 1;
    if (pwrite(disk, chunk, PAGE, (off_t)(b * PAGE)) != PAGE)
        perror("workload: disk");
}

/* A request is "ID VERB [NUMBER [PATTERN]]"; the answer begins with the same ID. */
static void answer(const char *request, char *reply, size_t size)
{
    char id[32] = "", verb[16] = "", pattern[16] = "";
    long long value = 0;
    int words = sscanf(request, "%31s %15s %lld %15s", id, verb, &value, pattern);
    bool number = words >= 3 && value >= 0;
    if (words >= 2 && strcmp(verb, "check") == 0) {
        check(id, reply, size);
        return;
    }
    if (words == 4 && strcmp(verb, "set") == 0) {
        bool wanted = strcmp(pattern, "random") == 0;
        pause_writer(&memory_writer);
        if (wanted != random_order) {
            random_order = wanted;
            fill();
        }
        atomic_store(&memory_writer.rate, value);
        resume_writer(&memory_writer);
    } else if (number && strcmp(verb, "set-disk") == 0 && blocks > 0) {
        atomic_store(&disk_writer.rate, value);
    } else if (number && strcmp(verb, "spoil") == 0 && (uint64_t)value < pages) {
        memory[(uint64_t)value * WORDS + 1] = 1; /* damage a page, as above */
    } else if (number && strcmp(verb, "spoil-block") == 0 && (uint64_t)value < blocks) {
        pause_writer(&disk_writer);
        spoil_block((uint64_t)value);
        resume_writer(&disk_writer);
    } else {
        snprintf(reply, size, "%s error=unknown", id);
        return;
    }
    snprintf(reply, size, "%s ok=1", id);
}

static void start(void *(*body)(void *), void *argument, int priority)
{
    pthread_t thread;
    pthread_create(&thread, NULL, body, argument);
    if (priority > 0) {
        struct sched_param param = {.sched_priority = priority};
        pthread_setschedparam(thread, SCHED_FIFO, &param);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8 && argc != 10) {
        fprintf(stderr, "workload GUEST PAGES RATE PATTERN OBSERVER BEAT_PORT CONTROL_PORT "
                        "[DISK DISK_RATE]\n");
        return 2;
    }
    guest = (uint32_t)atoi(argv[1]);
    pages = strtoull(argv[2], NULL, 10);
    atomic_store(&memory_writer.rate, atoll(argv[3]));
    random_order = strcmp(argv[4], "random") == 0;
    observer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[6]))};
    inet_pton(AF_INET, argv[5], &observer.sin_addr);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("workload: working set");
        return 1;
    }
    fill();
    if (argc == 10) {
        atomic_store(&disk_writer.rate, atoll(argv[9]));
        if (!open_disk(argv[8])) {
            perror("workload: disk");
            return 1;
        }
    }
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[7]))};
    if (bind(control, (struct sockaddr *)&here, sizeof here) != 0) {
        perror("workload: control port");
        return 1;
    }
    start(run_writer, &memory_writer, 0);
    if (blocks > 0)
        start(run_writer, &disk_writer, 0);
    start(beater, NULL, 50);
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
