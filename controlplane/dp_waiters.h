/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that wait for replies of the dataplane, by sequence number. Guarded by the owner's lock.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"

/* Lives on the waiting thread's stack. */
struct cp_dp_waiter {
	uint32_t seq;
	bool is_done;
	int status;
	void *reply; /* NULL: not wanted */
	size_t reply_size;
	size_t reply_length; /* of what was copied there */
	int descriptor;      /* that came with it, the waiter's; -1: none */
	struct cp_dp_waiter *next;
};

struct cp_dp_waiters {
	pthread_cond_t answered;
	struct cp_dp_waiter *list;
};

void cp_dp_waiters_init(struct cp_dp_waiters *waiters);
void cp_dp_waiters_add(struct cp_dp_waiters *waiters, struct cp_dp_waiter *waiter);
void cp_dp_waiters_del(struct cp_dp_waiters *waiters, struct cp_dp_waiter *waiter);

/* A reply came, and DESCRIPTOR with it (-1: none): hands both to who waits for it. Returns whether
 * somebody still does. */
bool cp_dp_waiters_answer(struct cp_dp_waiters *waiters, const struct ipc_header *header,
                          const void *body, size_t length, int descriptor);

/* Nothing more will come: everybody gets STATUS. */
void cp_dp_waiters_end(struct cp_dp_waiters *waiters, int status);

/* Waits with LOCK held, until WAITER is done or DEADLINE_MS (CLOCK_MONOTONIC). Returns its status
 * or -ETIMEDOUT. */
int cp_dp_waiters_wait(struct cp_dp_waiters *waiters, struct cp_dp_waiter *waiter,
                       pthread_mutex_t *lock, int64_t deadline_ms);
