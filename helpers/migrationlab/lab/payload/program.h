/* What every part of the workload needs: clock, settings from the environment, threads. */
#pragma once
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint64_t SECOND = 1000000000, MILLISECOND = 1000000;

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

static const char *text_of(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "workload: %s must be set\n", name);
        exit(2);
    }
    return value;
}

static long long number_of(const char *name)
{
    return atoll(text_of(name));
}

/* Start a thread, on one of the processors or on any. */
static void start(void *(*body)(void *), void *argument, int priority, int processor)
{
    pthread_t thread;
    pthread_create(&thread, NULL, body, argument);
    if (priority > 0) {
        struct sched_param param = {.sched_priority = priority};
        pthread_setschedparam(thread, SCHED_FIFO, &param);
    }
    cpu_set_t usable, own;
    if (processor < 0 || sched_getaffinity(0, sizeof usable, &usable) != 0)
        return;
    CPU_ZERO(&own);
    for (int cpu = 0, left = processor % CPU_COUNT(&usable); cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &usable) && left-- == 0)
            CPU_SET(cpu, &own);
    pthread_setaffinity_np(thread, sizeof own, &own);
}
