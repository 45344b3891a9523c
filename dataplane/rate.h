/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An environment's rate, bits of its IPv4 packets a second in one direction, kept as the generic
 * cell rate algorithm: the time at which all that passed is paid for at that rate may lie at most
 * TOLERANCE ahead. What comes earlier is dropped.
 *
 * Its sessions of egress are with several workers, and the rate is of all together. Each writes
 * what passed through it and reads what passed through the others; none waits. A worker moves its
 * own beginning of the account forward over idle times only when it looks, so one that looks seldom
 * takes too little for paid, never too much: it lets another burst pass at worst.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

#include "dataplane/batch.h"

#define DP_RATE_TOLERANCE_NS 20000000ull /* a burst that passes at once: as much as in 20 ms, */
#define DP_RATE_BURST_BYTES 65536u       /* but at least this */

/* One worker's part; all sums are modulo 2^64. */
struct dp_rate {
	uint64_t cost; /* nanoseconds per byte, 48.16 fixed point; 0: no limit */
	uint64_t tolerance_ns;
	uint64_t begin_ns;         /* all is paid for at begin + spent + others */
	uint64_t fraction;         /* of a nanosecond, 16 bits of it */
	uint64_t others_ns;        /* what the other workers had spent at SEEN */
	uint64_t seen_ns;          /* when they were asked: at most once a burst */
	_Atomic uint64_t spent_ns; /* written by this worker alone */
};
_Static_assert(sizeof(struct dp_rate) <= 64, "dp_rate: one line");

/* A new limit, bits a second; 0: none. What was taken on credit stays so where the limit stays. */
static inline void dp_rate_set(struct dp_rate *r, uint64_t bps)
{
	uint64_t cost = bps ? (8000000000ull << 16) / bps : 0;

	if (cost == r->cost)
		return;
	r->cost = cost;
	r->fraction = 0;
	r->begin_ns = 0 - r->others_ns - atomic_load_explicit(&r->spent_ns, memory_order_relaxed);
	r->tolerance_ns = DP_RATE_TOLERANCE_NS;
	if (r->tolerance_ns < cost * DP_RATE_BURST_BYTES >> 16)
		r->tolerance_ns = cost * DP_RATE_BURST_BYTES >> 16;
}

/* Whether a packet of LENGTH bytes passes now; then it is paid. */
static inline bool dp_rate_take(struct dp_rate *r, unsigned length, uint64_t now_ns)
{
	uint64_t spent_ns, price;
	int64_t ahead_ns;

	if (likely(r->cost == 0))
		return true;
	spent_ns = atomic_load_explicit(&r->spent_ns, memory_order_relaxed);
	ahead_ns = (int64_t)(r->begin_ns + spent_ns + r->others_ns - now_ns);
	if (ahead_ns > (int64_t)r->tolerance_ns)
		return false;
	if (ahead_ns < 0) {
		r->begin_ns -= (uint64_t)ahead_ns;
		r->fraction = 0;
	}
	price = r->cost * length + r->fraction;
	atomic_store_explicit(&r->spent_ns, spent_ns + (price >> 16), memory_order_relaxed);
	r->fraction = price & 0xffff;
	return true;
}

/* Stages, behind translation: what was refused costs nobody's rate. Out: towards the customer; in:
 * to the cluster. */
void dp_rate_out(struct dp_worker *w, struct dp_batch *b);
void dp_rate_in(struct dp_worker *w, struct dp_batch *b);

/* The same for egress: towards the Internet, and to the cluster. */
void dp_rate_egress_out(struct dp_worker *w, struct dp_batch *b);
void dp_rate_egress_in(struct dp_worker *w, struct dp_batch *b);
