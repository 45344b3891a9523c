/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that wait for replies of the dataplane, by sequence number. Guarded by the owner's lock.
 */
#include "controlplane/dp_waiters.h"

#include <string.h>
#include <time.h>

void cp_dp_waiters_init(struct cp_dp_waiters *waiters)
{
	pthread_condattr_t attributes;

	waiters->list = NULL;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&waiters->answered, &attributes);
	pthread_condattr_destroy(&attributes);
}

void cp_dp_waiters_add(struct cp_dp_waiters *waiters, struct cp_dp_waiter *waiter)
{
	waiter->next = waiters->list;
	waiters->list = waiter;
}

void cp_dp_waiters_del(struct cp_dp_waiters *waiters, struct cp_dp_waiter *waiter)
{
	for (struct cp_dp_waiter **at = &waiters->list; *at; at = &(*at)->next) {
		if (*at == waiter) {
			*at = waiter->next;
			return;
		}
	}
}

bool cp_dp_waiters_answer(struct cp_dp_waiters *waiters, const struct ipc_header *header,
                          const void *body, size_t length, int descriptor)
{
	struct cp_dp_waiter *waiter = waiters->list;

	while (waiter && waiter->seq != header->seq)
		waiter = waiter->next;
	if (!waiter)
		return false;
	waiter->is_done = true;
	waiter->descriptor = descriptor;
	waiter->status = header->status;
	if (waiter->reply) {
		waiter->reply_length = length < waiter->reply_size ? length : waiter->reply_size;
		memcpy(waiter->reply, body, waiter->reply_length);
	}
	pthread_cond_broadcast(&waiters->answered);
	return true;
}

void cp_dp_waiters_end(struct cp_dp_waiters *waiters, int status)
{
	for (struct cp_dp_waiter *waiter = waiters->list; waiter; waiter = waiter->next) {
		if (!waiter->is_done)
			waiter->status = status;
		waiter->is_done = true;
	}
	pthread_cond_broadcast(&waiters->answered);
}

int cp_dp_waiters_wait(struct cp_dp_waiters *waiters, struct cp_dp_waiter *waiter,
                       pthread_mutex_t *lock, int64_t deadline_ms)
{
	const struct timespec deadline = {
		.tv_sec = deadline_ms / 1000,
		.tv_nsec = deadline_ms % 1000 * 1000000,
	};
	int rc = 0;

	while (!waiter->is_done && rc == 0)
		rc = -pthread_cond_timedwait(&waiters->answered, lock, &deadline);
	return waiter->is_done ? waiter->status : rc;
}
