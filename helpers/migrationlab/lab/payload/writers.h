/* Writers at set rates, each in a thread of its own, and the phases of these rates. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>

#include "pages.h"
#include "program.h"

enum { MOST_PHASES = 16 };
/* After a stall of the machine, the burst that catches up is not longer than this. */
static const uint64_t LONGEST_CREDIT = 20000000;

/* A writer at a set rate, in a thread of its own. */
struct writer {
    _Atomic uint64_t writes; /* the number of the next write */
    _Atomic int64_t rate;    /* writes a second; -1: as fast as it goes */
    /* Odd while the writer must pause; the writer stores the wish that it has seen. With two flags
     * a writer that is slow to wake could be taken for a paused one. */
    _Atomic uint64_t pause_wish, pause_seen;
    void (*write_one)(const struct writer *self, uint64_t k);
    bool has_phases;
    struct area area; /* of memory */
};

static struct phase {
    uint64_t share, lasts_ms; /* in millionths of the rate */
} phases[MOST_PHASES];
static int phase_count;
static bool phases_repeat;
static _Atomic uint64_t phases_since;

static void write_some(struct writer *writer, uint64_t count)
{
    uint64_t k = atomic_load(&writer->writes);
    for (uint64_t i = 0; i < count; i++)
        writer->write_one(writer, k + i);
    atomic_store(&writer->writes, k + count);
}

/* The rate of a writer in the present phase. */
static int64_t present_rate(const struct writer *writer, uint64_t t)
{
    int64_t rate = atomic_load(&writer->rate);
    if (phase_count == 0 || !writer->has_phases)
        return rate;
    uint64_t all = 0, at = (t - atomic_load(&phases_since)) / MILLISECOND;
    for (int i = 0; i < phase_count; i++)
        all += phases[i].lasts_ms;
    if (phases_repeat)
        at %= all;
    int i = 0;
    for (; i < phase_count - 1 && at >= phases[i].lasts_ms; i++)
        at -= phases[i].lasts_ms;
    if (rate < 0)
        return phases[i].share > 0 ? rate : 0;
    return (int64_t)((uint64_t)rate * phases[i].share / MILLION);
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
        uint64_t t = now();
        int64_t wanted = present_rate(writer, t);
        if (wanted < 0) {
            write_some(writer, 64);
            paid = t;
            continue;
        }
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

static void read_phases(const char *text)
{
    char *end = (char *)text;
    phases_repeat = true;
    while (*end != 0 && phase_count < MOST_PHASES) {
        struct phase *phase = &phases[phase_count++];
        phase->share = strtoull(end, &end, 10);
        if (*end == ':')
            phase->lasts_ms = strtoull(end + 1, &end, 10);
        else
            phases_repeat = false;
        if (*end == ',')
            end++;
    }
}
