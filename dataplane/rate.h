/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An environment's rate, bits of its IPv4 packets a second in one direction, kept as the generic
 * cell rate algorithm: the time at which all that passed is paid for at that rate may lie at most
 * TOLERANCE ahead. What comes earlier is dropped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

#include "dataplane/batch.h"

#define DP_RATE_TOLERANCE_NS 20000000ull /* a burst that passes at once: as much as in 20 ms, */
#define DP_RATE_BURST_BYTES 65536u       /* but at least this */

struct dp_rate {
	uint64_t cost; /* nanoseconds per byte, 48.16 fixed point; 0: no limit */
	uint64_t tolerance_ns;
	uint64_t paid_ns;  /* when all that passed is paid for */
	uint64_t fraction; /* of a nanosecond, 16 bits of it */
};

/* A new limit, bits a second; 0: none. What was taken on credit stays so where the limit stays. */
static inline void dp_rate_set(struct dp_rate *r, uint64_t bps)
{
	uint64_t cost = bps ? (8000000000ull << 16) / bps : 0;

	if (cost == r->cost)
		return;
	*r = (struct dp_rate){ .cost = cost, .tolerance_ns = DP_RATE_TOLERANCE_NS };
	if (r->tolerance_ns < cost * DP_RATE_BURST_BYTES >> 16)
		r->tolerance_ns = cost * DP_RATE_BURST_BYTES >> 16;
}

/* Whether a packet of LENGTH bytes passes now; then it is paid. */
static inline bool dp_rate_take(struct dp_rate *r, unsigned length, uint64_t now_ns)
{
	uint64_t price;

	if (likely(r->cost == 0))
		return true;
	if (r->paid_ns > now_ns + r->tolerance_ns)
		return false;
	if (r->paid_ns < now_ns) {
		r->paid_ns = now_ns;
		r->fraction = 0;
	}
	price = r->cost * length + r->fraction;
	r->paid_ns += price >> 16;
	r->fraction = price & 0xffff;
	return true;
}

/* Stages, behind translation: what was refused costs nobody's rate. Out: towards the customer; in:
 * to the cluster. */
void dp_rate_out(struct dp_worker *w, struct dp_batch *b);
void dp_rate_in(struct dp_worker *w, struct dp_batch *b);
