/*
 * How long the workload's writes to memory take, by the guest's clock: how many took how long.
 *
 * The counts only grow, so a report that the network loses costs nothing but resolution. A bucket
 * is an eighth of an octave of 16 ns wide, so a duration is known to 6 %; below 128 ns it is 16 ns
 * wide. capture/write_probe.py reads the report.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "program.h"

enum { UNIT_BITS = 4, PART_BITS = 3, BUCKETS = 256 };
/* Of each writer; a faster one has only a part of its writes timed. */
static const uint64_t MOST_TIMED = 16384;
static _Atomic uint32_t durations[BUCKETS];
static _Atomic uint64_t untimed_bits; /* a write is timed if its hash has none of these */

struct latency_report { /* little-endian on the wire, as the guest is x86 */
    char magic[4];
    uint32_t guest;
    uint64_t request, guest_ns;
    uint32_t durations[BUCKETS];
};

/* Time as many of a writer's writes as it may have timed a second; -1: it writes as fast as it can. */
static void time_part_of(int64_t rate)
{
    uint64_t bits = 0;
    while (rate > 0 && (uint64_t)rate / (bits + 1) > MOST_TIMED)
        bits = bits * 2 + 1;
    atomic_store(&untimed_bits, rate < 0 ? 255 : bits);
}

/* A hash, because each n-th write of a round over memory would always be to the same pages. */
static bool is_timed(uint64_t k)
{
    uint64_t hash = (k * 0x9e3779b97f4a7c15u) >> 32;
    return (hash & atomic_load_explicit(&untimed_bits, memory_order_relaxed)) == 0;
}

static void count_duration(uint64_t ns)
{
    uint64_t units = ns >> UNIT_BITS, bucket = units;
    if (units >= 1 << PART_BITS) {
        uint64_t octave = 63 - (uint64_t)__builtin_clzll(units) - PART_BITS;
        bucket = (octave << PART_BITS) + (units >> octave);
    }
    atomic_fetch_add_explicit(&durations[bucket < BUCKETS ? bucket : BUCKETS - 1], 1,
                              memory_order_relaxed);
}

static size_t report_durations(uint32_t guest, uint64_t request, char *reply)
{
    struct latency_report report = {.magic = "MLL1", .guest = guest, .request = request};
    report.guest_ns = now();
    for (int i = 0; i < BUCKETS; i++)
        report.durations[i] = atomic_load_explicit(&durations[i], memory_order_relaxed);
    memcpy(reply, &report, sizeof report);
    return sizeof report;
}
