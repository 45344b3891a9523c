/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared-memory segment of counters: a directory of names in front, cells behind. The dataplane
 * writes it (RUN_DIR/stats), everybody else maps it read-only. No secret and nothing per session is
 * ever in it.
 *
 * A counter has one cell of 8 bytes per worker and one for the control thread, which comes last and
 * counts as a worker here. Each worker's cells have cache lines of their own: worker W's cell of a
 * counter is at cells_offset + W * worker_stride + counter.offset. Only its worker writes it, with
 * plain 64-bit stores; readers add the cells up. The segment is valid when magic is set (stored
 * last); a new dataplane makes a new file, so a reader that sees another epoch maps it again.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SP_STATS_MAGIC 0x5354415453414c59ull
#define SP_STATS_VERSION 1u
#define SP_STATS_NAME_LEN 56u

struct sp_stats_header {
	uint64_t magic;
	uint32_t version;
	uint32_t counters; /* entries of the directory, which follows this header */
	uint64_t epoch;    /* the dataplane's, as in its HELLO */
	uint32_t workers;
	uint32_t worker_stride; /* bytes */
	uint64_t cells_offset;  /* bytes from the start of the segment */
	uint64_t size;          /* of the segment, bytes */
};

struct sp_stats_counter {
	char name[SP_STATS_NAME_LEN]; /* "drop/no-session", "port/uplink/rx-packets" */
	uint32_t offset;              /* within a worker's cells */
	uint32_t pad;
};

_Static_assert(sizeof(struct sp_stats_header) == 48, "sp_stats_header");
_Static_assert(sizeof(struct sp_stats_counter) == 64, "sp_stats_counter");

/* ---- reading ---- */

struct sp_stats; /* a mapped segment; one thread */

/* Maps the segment at PATH read-only and validates it. Returns 0, -ENOENT, -EINVAL (not a segment)
 * or -errno. */
int sp_stats_open(const char *path, struct sp_stats **stats);
void sp_stats_close(struct sp_stats *stats);
uint64_t sp_stats_epoch(const struct sp_stats *stats);
uint32_t sp_stats_count(const struct sp_stats *stats);
uint32_t sp_stats_workers(const struct sp_stats *stats);
/* Name of counter I and its value: all workers together, and of one worker. */
const char *sp_stats_name(const struct sp_stats *stats, uint32_t i);
uint64_t sp_stats_value(const struct sp_stats *stats, uint32_t i);
uint64_t sp_stats_worker_value(const struct sp_stats *stats, uint32_t i, uint32_t worker);
