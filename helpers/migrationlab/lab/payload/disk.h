/* The disk that the workload writes, and the check of it. */
#pragma once
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "writers.h"

enum { CHUNK = 256 }; /* blocks that a check reads at once */
static struct writer disk_writer;
static int disk = -1;
static uint64_t blocks;
static uint64_t chunk[CHUNK * WORDS] __attribute__((aligned(PAGE))); /* of the control thread */

static void write_block(const struct writer *self, uint64_t k)
{
    static uint64_t block[WORDS] __attribute__((aligned(PAGE)));
    (void)self;
    write_words(block, k, 0, 0);
    /* A failed write counts as made: the check finds that it was not. */
    if (pwrite(disk, block, PAGE, (off_t)(k % blocks * PAGE)) != PAGE)
        perror("workload: disk");
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
            bad += !holds(chunk + (b - first) * WORDS, next - 1 - (next - 1 - b) % blocks, 0, 0);
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
            if (k > newest && holds(chunk + i * WORDS, k, 0, 0))
                newest = k;
        }
    }
    atomic_store(&disk_writer.writes, newest + 1);
    return true;
}

/* Damage a block, so that a test can see that the check finds it. */
static void spoil_block(uint64_t b)
{
    read_chunk(b);
    chunk[1] ^= 1;
    if (pwrite(disk, chunk, PAGE, (off_t)(b * PAGE)) != PAGE)
        perror("workload: disk");
}
