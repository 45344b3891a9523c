/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of the counters' segment. The directory is copied when it is opened, so that what was
 * validated cannot change.
 */
#include "common/stats_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNTERS_MAX 65536u
#define WORKERS_MAX 1024u

struct sp_stats {
	struct sp_stats_header header;
	struct sp_stats_counter *directory;
	const uint8_t *base;
	size_t size; /* of the mapping */
};

static bool header_is_valid(const struct sp_stats_header *h, size_t size)
{
	uint64_t directory_end =
		sizeof(*h) + (uint64_t)h->counters * sizeof(struct sp_stats_counter);

	return h->magic == SP_STATS_MAGIC && h->version == SP_STATS_VERSION &&
	       h->counters <= COUNTERS_MAX && h->workers >= 1 && h->workers <= WORKERS_MAX &&
	       h->worker_stride % sizeof(uint64_t) == 0 &&
	       h->cells_offset % sizeof(uint64_t) == 0 && h->cells_offset >= directory_end &&
	       h->size <= size && h->cells_offset <= h->size &&
	       (uint64_t)h->workers * h->worker_stride <= h->size - h->cells_offset;
}

static bool counter_is_valid(const struct sp_stats_header *h, const struct sp_stats_counter *c)
{
	return c->name[0] && memchr(c->name, 0, sizeof(c->name)) &&
	       c->offset % sizeof(uint64_t) == 0 &&
	       (uint64_t)c->offset + sizeof(uint64_t) <= h->worker_stride;
}

static int validate(struct sp_stats *stats)
{
	const struct sp_stats_header *mapped = (const void *)stats->base;
	size_t bytes;

	/* Stored last by the writer: what is read after it is complete. */
	if (__atomic_load_n(&mapped->magic, __ATOMIC_ACQUIRE) != SP_STATS_MAGIC)
		return -EINVAL;
	stats->header = *mapped;
	if (!header_is_valid(&stats->header, stats->size))
		return -EINVAL;
	bytes = stats->header.counters * sizeof(struct sp_stats_counter);
	stats->directory = malloc(bytes ? bytes : 1);
	if (!stats->directory)
		return -ENOMEM;
	memcpy(stats->directory, stats->base + sizeof(stats->header), bytes);
	for (uint32_t i = 0; i < stats->header.counters; i++) {
		if (!counter_is_valid(&stats->header, &stats->directory[i]))
			return -EINVAL;
	}
	return 0;
}

/* Maps the file; the descriptor is not kept. */
static int map_file(struct sp_stats *stats, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	void *base;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(stats->header)) {
		rc = -EINVAL;
	} else {
		base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (base == MAP_FAILED) {
			rc = -errno;
		} else {
			stats->base = base;
			stats->size = (size_t)st.st_size;
		}
	}
	close(fd);
	return rc;
}

int sp_stats_open(const char *path, struct sp_stats **stats)
{
	struct sp_stats *s = calloc(1, sizeof(*s));
	int rc;

	*stats = NULL;
	if (!s)
		return -ENOMEM;
	rc = map_file(s, path);
	if (rc == 0)
		rc = validate(s);
	if (rc != 0) {
		sp_stats_close(s);
		return rc;
	}
	*stats = s;
	return 0;
}

void sp_stats_close(struct sp_stats *stats)
{
	if (!stats)
		return;
	if (stats->base)
		munmap((void *)(uintptr_t)stats->base, stats->size);
	free(stats->directory);
	free(stats);
}

uint64_t sp_stats_epoch(const struct sp_stats *stats)
{
	return stats->header.epoch;
}

uint32_t sp_stats_count(const struct sp_stats *stats)
{
	return stats->header.counters;
}

uint32_t sp_stats_workers(const struct sp_stats *stats)
{
	return stats->header.workers;
}

const char *sp_stats_name(const struct sp_stats *stats, uint32_t i)
{
	return stats->directory[i].name;
}

uint64_t sp_stats_value(const struct sp_stats *stats, uint32_t i)
{
	uint64_t sum = 0;

	for (uint32_t worker = 0; worker < stats->header.workers; worker++)
		sum += sp_stats_worker_value(stats, i, worker);
	return sum;
}

uint64_t sp_stats_worker_value(const struct sp_stats *stats, uint32_t i, uint32_t worker)
{
	const uint8_t *cell = stats->base + stats->header.cells_offset +
	                      (uint64_t)worker * stats->header.worker_stride +
	                      stats->directory[i].offset;

	return __atomic_load_n((const uint64_t *)(const void *)cell, __ATOMIC_RELAXED);
}
