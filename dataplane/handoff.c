/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one crossing between workers. */
#include "dataplane/handoff.h"

#include <rte_hash_crc.h>
#include <rte_malloc.h>

#include "dataplane/egress.h"
#include "dataplane/icmp_quote.h"
#include "dataplane/ipv4.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

static uint16_t forward_home(const struct dp_worker *w, const struct dp_pkt *p)
{
	return dp_environment_lookup(w->generation, dp_load32(p->l3 + 16))->home;
}

static uint16_t esp_home(const struct dp_pkt *p)
{
	/* the parser promises four bytes at p->esp in UDP; native ESP may be shorter and has no
	 * home then */
	if (p->l3 + p->l3_length - p->esp < 4)
		return UINT16_MAX;
	return (uint16_t)dp_sa_spi_worker(dp_load32(p->esp));
}

/* Where the fragments of a datagram meet, before anybody knows its SPI: RFC 791's key but for the
 * identification. */
static uint16_t fragment_gatherer(const struct dp_worker *w, const struct dp_pkt *p)
{
	uint32_t hash = rte_hash_crc_8byte(dp_load64(p->l3 + 12), p->protocol);

	return (uint16_t)((uint64_t)hash * w->worker_count >> 32);
}

/* What tells whose packet it is. */
enum way { TO_ENVIRONMENT, FROM_POD, FROM_OUTSIDE };

struct dp_handoff_share *dp_handoff_shares_create(uint16_t workers, int socket)
{
	return rte_zmalloc_socket("handoff shares", workers * sizeof(struct dp_handoff_share),
	                          RTE_CACHE_LINE_SIZE, socket);
}

static unsigned class_of(const struct dp_worker *w, const struct dp_pkt *p, enum way way)
{
	const struct dp_egress *e = w->generation->egress;
	uint32_t source_be = dp_load32(p->l3 + 12), number;

	if (way == TO_ENVIRONMENT)
		number = dp_environment_lookup(w->generation, dp_load32(p->l3 + 16))->slot;
	else if (way == FROM_POD && e)
		number = dp_egress_find(e->sources, e->source_count, source_be)->environment;
	else
		number = dp_crc4(source_be);
	return number % DP_HANDOFF_CLASSES;
}

/* rte_ring_count(), but as other threads may write meanwhile. */
static uint32_t fill_of(const struct rte_ring *queue)
{
	return (__atomic_load_n(&queue->prod.tail, __ATOMIC_RELAXED) -
	        __atomic_load_n(&queue->cons.tail, __ATOMIC_RELAXED)) &
	       queue->mask;
}

/* Up to one half of the queue everybody. */
static bool may_cross(const struct dp_worker *w, const struct dp_pkt *p, uint16_t home,
                      enum way way)
{
	const struct rte_ring *queue = w->workers[home]->handoff_in;
	struct dp_handoff_share *s = &w->handoff_shares[home];
	uint32_t half = rte_ring_get_capacity(queue) / 2, part;
	unsigned class;

	if (likely(fill_of(queue) < half)) {
		if (unlikely(s->is_used))
			memset(s, 0, sizeof(*s));
		return true;
	}
	part = half / DP_HANDOFF_CLASSES / (w->worker_count - 1u); /* slow side only */
	class = class_of(w, p, way);
	s->is_used = 1;
	if (s->taken[class] >= RTE_MAX(part, 1u))
		return false;
	s->taken[class]++;
	return true;
}

static enum dp_verdict send_home(struct dp_worker *w, struct dp_pkt *p, uint16_t home, enum way way)
{
	if (!may_cross(w, p, home, way))
		return DP_HANDOFF_FULL;
	if (rte_ring_enqueue(w->workers[home]->handoff_in, p->m) != 0)
		return DP_HANDOFF_FULL;
	w->count->handoffs++;
	return DP_TAKEN;
}

void dp_handoff_forward(struct dp_worker *w, struct dp_batch *b)
{
	if (w->worker_count == 1)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t home = forward_home(w, &b->p[i]);

		if (home != w->index)
			b->p[i].verdict = send_home(w, &b->p[i], home, TO_ENVIRONMENT);
	}
}

void dp_handoff_esp(struct dp_worker *w, struct dp_batch *b)
{
	if (w->worker_count == 1)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t home = esp_home(&b->p[i]);

		/* an SPI of no worker is refused by the lookup like any unknown one */
		if (home != w->index && home < w->worker_count)
			b->p[i].verdict = send_home(w, &b->p[i], home, FROM_OUTSIDE);
	}
}

void dp_handoff_openvpn(struct dp_worker *w, struct dp_batch *b)
{
	if (w->worker_count == 1)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t home = dp_worker_tunnel_home(w, b->p[i].tunnel);

		if (home != w->index)
			b->p[i].verdict = send_home(w, &b->p[i], home, FROM_OUTSIDE);
	}
}

void dp_handoff_openvpn_final(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (dp_worker_tunnel_home(w, b->p[i].tunnel) != w->index)
			b->p[i].verdict = DP_HANDOFF_LOOP;
}

void dp_handoff_fragment(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t gatherer = fragment_gatherer(w, &b->p[i]);

		if (gatherer != w->index)
			b->p[i].verdict = send_home(w, &b->p[i], gatherer, FROM_OUTSIDE);
	}
}

static uint16_t egress_out_owner(const struct dp_worker *w, const struct dp_pkt *p)
{
	return dp_egress_owner(dp_load32(p->l3 + 16), w->worker_count);
}

static uint16_t egress_in_owner(const struct dp_worker *w, const struct dp_pkt *p)
{
	const uint8_t *icmp = p->l3 + DP_IPV4_HEADER;
	uint32_t remote_be = 0;

	if (p->protocol == IPPROTO_ICMP && !dp_ipv4_is_fragment(p->l3) &&
	    dp_nat_icmp_is_error(icmp))
		remote_be = dp_icmp_quoted_destination_be(icmp, p->l3_length - DP_IPV4_HEADER);
	if (!remote_be)
		remote_be = dp_load32(p->l3 + 12);
	return dp_egress_owner(remote_be, w->worker_count);
}

void dp_handoff_egress_out(struct dp_worker *w, struct dp_batch *b)
{
	if (w->worker_count == 1)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t owner = egress_out_owner(w, &b->p[i]);

		if (owner != w->index)
			b->p[i].verdict = send_home(w, &b->p[i], owner, FROM_POD);
	}
}

void dp_handoff_egress_in(struct dp_worker *w, struct dp_batch *b)
{
	if (w->worker_count == 1)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t owner = egress_in_owner(w, &b->p[i]);

		if (owner != w->index)
			b->p[i].verdict = send_home(w, &b->p[i], owner, FROM_OUTSIDE);
	}
}

void dp_handoff_egress_out_final(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (egress_out_owner(w, &b->p[i]) != w->index)
			b->p[i].verdict = DP_HANDOFF_LOOP;
}

void dp_handoff_egress_in_final(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (egress_in_owner(w, &b->p[i]) != w->index)
			b->p[i].verdict = DP_HANDOFF_LOOP;
}

void dp_handoff_forward_final(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (forward_home(w, &b->p[i]) != w->index)
			b->p[i].verdict = DP_HANDOFF_LOOP;
}

void dp_handoff_esp_final(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t home = esp_home(&b->p[i]);

		if (home != w->index && home < w->worker_count)
			b->p[i].verdict = DP_HANDOFF_LOOP;
	}
}
