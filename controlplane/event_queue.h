/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events of tunnels on their way to the supervisor's thread, from any thread, in order.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/tunnel_state.h"

#define CP_ALL_TUNNELS SIZE_MAX

struct cp_queued {
	size_t tunnel; /* or CP_ALL_TUNNELS */
	struct cp_event event;
	struct cp_queued *next;
};

struct cp_event_queue {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct cp_queued *first;
	struct cp_queued **last;
	bool is_rung;
};

void cp_event_queue_init(struct cp_event_queue *queue);

/* Never blocks for long. Without memory the event is lost, which is logged. */
void cp_event_queue_put(struct cp_event_queue *queue, size_t tunnel, const struct cp_event *event);

/* Wakes the taker up without an event; rings that it has not heard yet are one. */
void cp_event_queue_ring(struct cp_event_queue *queue);

/* Waits for an event, a ring or DEADLINE_MS (CLOCK_MONOTONIC). Returns the event, to be freed by
 * the caller, or NULL; *IS_RUNG: whether there was a ring since the last call. */
struct cp_queued *cp_event_queue_take(struct cp_event_queue *queue, uint64_t deadline_ms,
                                      bool *is_rung);

/* The next event if there is one, without waiting; else NULL. Rings are not heard by this. */
struct cp_queued *cp_event_queue_next(struct cp_event_queue *queue);
