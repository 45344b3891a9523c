/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the shared-memory segment of counters (common/stats_layout.h): names in front, the workers'
 * struct dp_counters behind.
 */
#pragma once

#include <stdint.h>

#include "dataplane/worker.h"

struct dp_stats;

/* Creates RUN_DIR/stats anew for WORKERS sets of cells (the last one is the control thread's),
 * replacing that of an earlier dataplane. Returns 0 or -errno. Control thread. */
int dp_stats_create(struct dp_stats **stats, const char *run_dir, uint64_t epoch, uint32_t workers);

/* Unmaps; the file stays, so that the counters of a dataplane that ended can be read. */
void dp_stats_destroy(struct dp_stats *stats);

/* The cells of one worker; WORKER = number of workers: of the control thread. */
struct dp_counters *dp_stats_cells(struct dp_stats *stats, uint32_t worker);
