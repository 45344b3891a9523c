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

/* An SPI of no worker is refused by the lookup like any unknown one. */
static uint16_t esp_home(const struct dp_worker *w, const struct dp_pkt *p)
{
	unsigned home;

	/* the parser promises four bytes at p->esp in UDP; native ESP may be shorter and has no
	 * home then */
	if (unlikely(p->l3 + p->l3_length - p->esp < 4))
		return UINT16_MAX;
	home = dp_sa_spi_worker(dp_load32(p->esp));
	return likely(home < w->worker_count) ? (uint16_t)home : UINT16_MAX;
}

static uint16_t openvpn_home(const struct dp_worker *w, const struct dp_pkt *p)
{
	return dp_worker_tunnel_home(w, p->tunnel);
}

/* Where the fragments of a datagram meet, before anybody knows its SPI: RFC 791's key but for the
 * identification. */
static uint16_t fragment_gatherer(const struct dp_worker *w, const struct dp_pkt *p)
{
	uint32_t hash = rte_hash_crc_8byte(dp_load64(p->l3 + 12), p->protocol);

	return (uint16_t)((uint64_t)hash * w->worker_count >> 32);
}

static uint16_t egress_out_owner(const struct dp_worker *w, const struct dp_pkt *p)
{
	return dp_egress_owner(dp_load32(p->l3 + 16), w->worker_count);
}

static uint16_t egress_in_owner(const struct dp_worker *w, const struct dp_pkt *p)
{
	const uint8_t *icmp = p->l3 + DP_IPV4_HEADER;
	uint32_t remote_be = 0;

	if (unlikely(p->protocol == IPPROTO_ICMP && !dp_ipv4_is_fragment(p->l3) &&
	             dp_nat_icmp_is_error(icmp)))
		remote_be = dp_icmp_quoted_destination_be(icmp, p->l3_length - DP_IPV4_HEADER);
	if (!remote_be)
		remote_be = dp_load32(p->l3 + 12);
	return dp_egress_owner(remote_be, w->worker_count);
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
	const struct dp_egress *e = w->generation ? w->generation->egress : NULL;
	uint32_t source_be = dp_load32(p->l3 + 12), number;

	if (way == TO_ENVIRONMENT)
		number = dp_environment_lookup(w->generation, dp_load32(p->l3 + 16))->slot;
	else if (way == FROM_POD && e)
		number = dp_egress_find(e->sources, e->source_count, source_be)->environment;
	else
		number = dp_crc4(source_be);
	return number % DP_HANDOFF_CLASSES;
}

/* How many more may cross to HOME before it is asked whose they are: up to one half of the queue,
 * everybody's. */
static uint32_t unasked(const struct dp_worker *w, uint16_t home)
{
	const struct rte_ring *queue = w->workers[home]->handoff_in;
	struct dp_handoff_share *s = &w->handoff_shares[home];
	uint32_t half = rte_ring_get_capacity(queue) / 2, fill = dp_handoff_waiting(queue);

	if (unlikely(fill >= half))
		return 0;
	if (unlikely(s->is_used))
		memset(s, 0, sizeof(*s));
	return half - fill;
}

/* Takes a place in the second half. */
static bool take_share(const struct dp_worker *w, const struct dp_pkt *p, uint16_t home,
                       enum way way)
{
	struct dp_handoff_share *s = &w->handoff_shares[home];
	uint32_t half = rte_ring_get_capacity(w->workers[home]->handoff_in) / 2;
	uint32_t part = half / DP_HANDOFF_CLASSES / (w->worker_count - 1u);
	unsigned class = class_of(w, p, way);

	s->is_used = 1;
	if (s->taken[class] >= RTE_MAX(part, 1u))
		return false;
	s->taken[class]++;
	return true;
}

/* The packets of MASK (bits by place in the batch) go to HOME, in order, all at once. */
static void send_to(struct dp_worker *w, struct dp_batch *b, uint32_t mask, uint16_t home,
                    enum way way)
{
	uint32_t room = unasked(w, home);
	struct rte_mbuf *m[DP_BURST];
	struct dp_pkt *sent[DP_BURST];
	unsigned n = 0, taken;

	for (; mask; mask &= mask - 1) {
		struct dp_pkt *p = &b->p[rte_bsf32(mask)];

		if (unlikely(n >= room) && !take_share(w, p, home, way)) {
			p->verdict = DP_HANDOFF_FULL;
			continue;
		}
		p->verdict = DP_TAKEN;
		sent[n] = p;
		m[n++] = p->m;
	}
	taken = rte_ring_enqueue_burst(w->workers[home]->handoff_in, (void **)m, n, NULL);
	for (unsigned i = taken; i < n; i++)
		sent[i]->verdict = DP_HANDOFF_FULL;
	w->count->handoffs += taken;
}

/* Where a packet belongs; UINT16_MAX: it stays here. */
typedef uint16_t (*home_fn)(const struct dp_worker *w, const struct dp_pkt *p);

/* One operation on the queue of each home that packets of the burst have. */
static inline void send_home(struct dp_worker *w, struct dp_batch *b, home_fn home_of, enum way way)
{
	uint16_t homes[DP_BURST];
	uint32_t elsewhere = 0;

#pragma GCC unroll 4
	for (unsigned i = 0; i < b->n; i++) {
		homes[i] = home_of(w, &b->p[i]);
		elsewhere |= (uint32_t)(homes[i] != w->index && homes[i] != UINT16_MAX) << i;
	}
	while (elsewhere) {
		uint16_t home = homes[rte_bsf32(elsewhere)];
		uint32_t mask = 0;

		for (uint32_t left = elsewhere; left; left &= left - 1)
			mask |= (uint32_t)(homes[rte_bsf32(left)] == home) << rte_bsf32(left);
		send_to(w, b, mask, home, way);
		elsewhere &= ~mask;
	}
}

/* Of packets that came by a hand-off. */
static inline void check_home(struct dp_worker *w, struct dp_batch *b, home_fn home_of)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t home = home_of(w, &b->p[i]);

		if (unlikely(home != w->index && home != UINT16_MAX))
			b->p[i].verdict = DP_HANDOFF_LOOP;
	}
}

void dp_handoff_forward(struct dp_worker *w, struct dp_batch *b)
{
	send_home(w, b, forward_home, TO_ENVIRONMENT);
}

void dp_handoff_forward_final(struct dp_worker *w, struct dp_batch *b)
{
	check_home(w, b, forward_home);
}

void dp_handoff_esp(struct dp_worker *w, struct dp_batch *b)
{
	send_home(w, b, esp_home, FROM_OUTSIDE);
}

void dp_handoff_esp_final(struct dp_worker *w, struct dp_batch *b)
{
	check_home(w, b, esp_home);
}

void dp_handoff_openvpn(struct dp_worker *w, struct dp_batch *b)
{
	send_home(w, b, openvpn_home, FROM_OUTSIDE);
}

void dp_handoff_openvpn_final(struct dp_worker *w, struct dp_batch *b)
{
	check_home(w, b, openvpn_home);
}

void dp_handoff_fragment(struct dp_worker *w, struct dp_batch *b)
{
	send_home(w, b, fragment_gatherer, FROM_OUTSIDE);
}

void dp_handoff_egress_out(struct dp_worker *w, struct dp_batch *b)
{
	send_home(w, b, egress_out_owner, FROM_POD);
}

void dp_handoff_egress_out_final(struct dp_worker *w, struct dp_batch *b)
{
	check_home(w, b, egress_out_owner);
}

void dp_handoff_egress_in(struct dp_worker *w, struct dp_batch *b)
{
	send_home(w, b, egress_in_owner, FROM_OUTSIDE);
}

void dp_handoff_egress_in_final(struct dp_worker *w, struct dp_batch *b)
{
	check_home(w, b, egress_in_owner);
}
