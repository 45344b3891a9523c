/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events of tunnels on their way to the supervisor's thread, from any thread, in order.
 */
#include "controlplane/event_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/log.h"

void cp_event_queue_init(struct cp_event_queue *queue)
{
	pthread_condattr_t attributes;

	*queue = (struct cp_event_queue){ .last = &queue->first };
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->arrived, &attributes);
	pthread_condattr_destroy(&attributes);
}

void cp_event_queue_put(struct cp_event_queue *queue, size_t tunnel, const struct cp_event *event)
{
	struct cp_queued *queued = malloc(sizeof(*queued));

	if (!queued) {
		sp_log(SP_LOG_ERR, "supervisor: no memory, lost an event type=%d",
		       (int)event->type);
		return;
	}
	*queued = (struct cp_queued){ .tunnel = tunnel, .event = *event };
	pthread_mutex_lock(&queue->lock);
	*queue->last = queued;
	queue->last = &queued->next;
	pthread_cond_signal(&queue->arrived);
	pthread_mutex_unlock(&queue->lock);
}

void cp_event_queue_ring(struct cp_event_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->is_rung = true;
	pthread_cond_signal(&queue->arrived);
	pthread_mutex_unlock(&queue->lock);
}

/* Called with the lock held. */
static struct cp_queued *take_first(struct cp_event_queue *queue)
{
	struct cp_queued *queued = queue->first;

	if (queued) {
		queue->first = queued->next;
		if (!queue->first)
			queue->last = &queue->first;
	}
	return queued;
}

struct cp_queued *cp_event_queue_take(struct cp_event_queue *queue, uint64_t deadline_ms,
                                      bool *is_rung)
{
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
	struct cp_queued *queued;
	int rc = 0;

	pthread_mutex_lock(&queue->lock);
	while (!queue->first && !queue->is_rung && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&queue->arrived, &queue->lock, &deadline);
	queued = take_first(queue);
	*is_rung = queue->is_rung;
	queue->is_rung = false;
	pthread_mutex_unlock(&queue->lock);
	return queued;
}

struct cp_queued *cp_event_queue_next(struct cp_event_queue *queue)
{
	struct cp_queued *queued;

	pthread_mutex_lock(&queue->lock);
	queued = take_first(queue);
	pthread_mutex_unlock(&queue->lock);
	return queued;
}
