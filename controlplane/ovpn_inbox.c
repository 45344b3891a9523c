/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other threads have for OpenVPN's thread: orders of the supervisor, datagrams of the
 * dataplane.
 */
#include "controlplane/ovpn_inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"

void cp_ovpn_inbox_init(struct cp_ovpn_inbox *inbox)
{
	pthread_condattr_t attributes;

	*inbox = (struct cp_ovpn_inbox){ .last = &inbox->first };
	pthread_mutex_init(&inbox->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&inbox->changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

void cp_ovpn_inbox_put(struct cp_ovpn_inbox *inbox, const struct cp_ovpn_order *order,
                       const void *payload, size_t length)
{
	const bool is_datagram = order->type == CP_OVPN_DATAGRAM;
	struct cp_ovpn_order *copy = malloc(sizeof(*copy) + length);

	if (!copy) {
		sp_log(SP_LOG_ERR, "ovpn: no memory, lost an order type=%d", (int)order->type);
		return;
	}
	*copy = *order;
	copy->next = NULL;
	if (length)
		memcpy(copy->payload, payload, length);
	pthread_mutex_lock(&inbox->lock);
	if (is_datagram && (inbox->is_frozen || inbox->datagrams >= CP_OVPN_DATAGRAMS_MAX)) {
		free(copy);
	} else {
		inbox->datagrams += is_datagram;
		*inbox->last = copy;
		inbox->last = &copy->next;
		pthread_cond_broadcast(&inbox->changed);
	}
	pthread_mutex_unlock(&inbox->lock);
}

void cp_ovpn_inbox_ring(struct cp_ovpn_inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->is_rung = true;
	pthread_cond_broadcast(&inbox->changed);
	pthread_mutex_unlock(&inbox->lock);
}

/* Called with the lock held. */
static struct cp_ovpn_order *take_first(struct cp_ovpn_inbox *inbox)
{
	struct cp_ovpn_order *order = inbox->first;

	if (!order)
		return NULL;
	inbox->first = order->next;
	if (!inbox->first)
		inbox->last = &inbox->first;
	inbox->datagrams -= order->type == CP_OVPN_DATAGRAM;
	return order;
}

struct cp_ovpn_order *cp_ovpn_inbox_take(struct cp_ovpn_inbox *inbox, uint64_t deadline_ms,
                                         bool *is_rung)
{
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
	struct cp_ovpn_order *order;
	int rc = 0;

	pthread_mutex_lock(&inbox->lock);
	inbox->is_idle = true;
	pthread_cond_broadcast(&inbox->changed);
	while (inbox->is_frozen || (!inbox->first && !inbox->is_rung && rc != ETIMEDOUT)) {
		if (inbox->is_frozen)
			pthread_cond_wait(&inbox->changed, &inbox->lock);
		else
			rc = pthread_cond_timedwait(&inbox->changed, &inbox->lock, &deadline);
	}
	inbox->is_idle = false;
	order = take_first(inbox);
	*is_rung = inbox->is_rung;
	inbox->is_rung = false;
	pthread_mutex_unlock(&inbox->lock);
	return order;
}

void cp_ovpn_inbox_freeze(struct cp_ovpn_inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->is_frozen = true;
	while (!inbox->is_idle)
		pthread_cond_wait(&inbox->changed, &inbox->lock);
	pthread_mutex_unlock(&inbox->lock);
}

void cp_ovpn_inbox_thaw(struct cp_ovpn_inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->is_frozen = false;
	pthread_cond_broadcast(&inbox->changed);
	pthread_mutex_unlock(&inbox->lock);
}
