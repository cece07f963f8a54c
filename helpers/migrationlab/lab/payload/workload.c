/*
 * The program inside a lab guest. Its workload writes memory, and a disk if there is one, at set
 * rates, and can check that every page and block holds what was last written. It also sends a beat
 * each millisecond. pages.h has what a page holds.
 *
 * Its settings are in the environment:
 *
 *   guest, observer, beat_port, control_port   the guest's number; where beats go to and
 *                                              requests come from
 *   pages, fill_pages   the working set, and pages that are written once, in 4096-byte pages
 *   rate                pages to write a second (0: none, -1: as fast as it goes), by all writers
 *   pattern, hot_pages, hot_writes   the order of writes; the latter two in millionths
 *   noise, fresh        words a step that do not compress; 1: new ones at each write
 *   huge                1: the memory is held in huge pages, of 2 MiB; the kernel must have them
 *   writers             threads, each with its own part of the working set and of the rate
 *   phases              "SHARE:MS,SHARE:MS ...": millionths of the rate, and for how long; again and
 *                       again, unless the last one has no time
 *   disk, disk_rate     a block device, or nothing; its 4096-byte blocks to write a second
 *
 * Writes are numbered. The counter of each writer is the only state beside the pages, and the beats
 * report their sum. A check walks the numbers backwards: the first number that gives a page is the
 * one that the page must hold.
 *
 * Blocks hold numbers and no noise, and writes go round the disk in order, past the guest's page
 * cache. The lab has made the first round (lab/disk_files.py): the disk's content shows where to go
 * on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "disk.h"
#include "memory.h"

struct beat { /* little-endian on the wire, as the guest is x86; read by observer.py */
    char magic[4];
    uint32_t guest;
    uint64_t sequence, guest_ns, writes;
};

/* Added to a guest's number in the beats of its thread of normal priority, if it has one. */
enum { NORMAL_PRIORITY = 1 << 16 };
static struct sockaddr_storage observer;
static socklen_t address_size; /* of an address of the observer's family */
static uint32_t guest;

static void *beater(void *added)
{
    int out = socket(observer.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct beat beat = {.magic = "MLB1", .guest = guest + (uint32_t)(uintptr_t)added};
    uint64_t next = now();
    for (;;) {
        beat.guest_ns = now();
        beat.writes = all_writes();
        sendto(out, &beat, sizeof beat, 0, (struct sockaddr *)&observer, address_size);
        beat.sequence++;
        next += MILLISECOND;
        if (next < beat.guest_ns) /* late: go on from here, without a burst */
            next = beat.guest_ns + MILLISECOND;
        sleep_until(next);
    }
    return NULL;
}

static void check(const char *id, char *reply, size_t size)
{
    pause_writers();
    if (blocks > 0)
        pause_writer(&disk_writer);
    int length = snprintf(reply, size, "%s pages=%llu bad_pages=%llu writes=%llu", id,
                          (unsigned long long)(pages + fill_pages),
                          (unsigned long long)check_memory(), (unsigned long long)all_writes());
    if (blocks > 0) {
        snprintf(reply + length, size - (size_t)length, " disk_blocks=%llu bad_blocks=%llu",
                 (unsigned long long)blocks, (unsigned long long)check_disk());
        resume_writer(&disk_writer);
    }
    resume_writers();
}

/* A request is "ID VERB [NUMBER [PATTERN NOISE FRESH]]"; the answer, whose length is returned,
 * begins with the same ID. That to "latency" is a struct instead. */
static size_t answer(const char *request, char *reply, size_t size)
{
    char id[32] = "", verb[16] = "", pattern[16] = "";
    long long value = 0;
    int noisy = 0, fresh = 0;
    int words = sscanf(request, "%31s %15s %lld %15s %d %d", id, verb, &value, pattern, &noisy, &fresh);
    bool number = words >= 3 && value >= 0;
    if (words == 2 && strcmp(verb, "latency") == 0)
        return report_durations(guest, strtoull(id, NULL, 10), reply);
    if (words >= 2 && strcmp(verb, "check") == 0) {
        check(id, reply, size);
        return strlen(reply);
    }
    if (words == 6 && strcmp(verb, "set") == 0 && pattern_of(pattern) < PATTERNS && noisy >= 0 &&
        noisy < STEP) {
        set_workload(value, (enum pattern)pattern_of(pattern), noisy, fresh != 0);
    } else if (words == 2 && strcmp(verb, "normal-beats") == 0) {
        static bool started;
        if (!started)
            start(beater, (void *)(uintptr_t)NORMAL_PRIORITY, 0, -1);
        started = true;
    } else if (number && strcmp(verb, "set-disk") == 0 && blocks > 0) {
        atomic_store(&disk_writer.rate, value);
    } else if (number && strcmp(verb, "spoil") == 0 && (uint64_t)value < pages + fill_pages) {
        memory[(uint64_t)value * WORDS + 1] = 1; /* damage a page, as above */
    } else if (number && strcmp(verb, "spoil-block") == 0 && (uint64_t)value < blocks) {
        pause_writer(&disk_writer);
        spoil_block((uint64_t)value);
        resume_writer(&disk_writer);
    } else {
        return (size_t)snprintf(reply, size, "%s error=unknown", id);
    }
    return (size_t)snprintf(reply, size, "%s ok=1", id);
}

/* Set an address and its port, which is a setting; return its size. */
static socklen_t set_address(struct sockaddr_storage *address, const char *text, const char *port)
{
    in_port_t number = htons((uint16_t)number_of(port));
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = number};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = number};
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, sizeof v6);
        return sizeof v6;
    }
    inet_pton(AF_INET, text, &v4.sin_addr);
    memcpy(address, &v4, sizeof v4);
    return sizeof v4;
}

static int listen_for_requests(void)
{
    int control = socket(observer.ss_family, SOCK_DGRAM, 0);
    struct sockaddr_storage here;
    set_address(&here, observer.ss_family == AF_INET6 ? "::" : "0.0.0.0", "control_port");
    if (bind(control, (struct sockaddr *)&here, address_size) != 0) {
        perror("workload: control port");
        exit(1);
    }
    return control;
}

int main(void)
{
    guest = (uint32_t)number_of("guest");
    pages = (uint64_t)number_of("pages");
    fill_pages = (uint64_t)number_of("fill_pages");
    address_size = set_address(&observer, text_of("observer"), "beat_port");
    read_phases(text_of("phases"));
    make_writers();
    make_pages();
    const char *device = text_of("disk");
    if (*device != 0) {
        disk_writer.write_one = write_block;
        atomic_store(&disk_writer.rate, number_of("disk_rate"));
        if (!open_disk(device)) {
            perror("workload: disk");
            return 1;
        }
    }
    int control = listen_for_requests();
    atomic_store(&phases_since, now());
    for (int i = 0; i < writer_count; i++)
        start(run_writer, &writers[i], 0, writer_count > 1 ? i : -1);
    if (blocks > 0)
        start(run_writer, &disk_writer, 0, -1);
    start(beater, NULL, 50, -1);
    printf("migrationlab: workload runs\n");
    fflush(stdout);
    for (;;) {
        char request[256], reply[sizeof(struct latency_report)];
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        ssize_t n = recvfrom(control, request, sizeof request - 1, 0, (struct sockaddr *)&peer, &length);
        if (n <= 0)
            continue;
        request[n] = 0;
        size_t answered = answer(request, reply, sizeof reply);
        sendto(control, reply, answered, 0, (struct sockaddr *)&peer, length);
    }
}
