/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One look at the configuration per burst where no environment has a limit. */
#include "dataplane/rate.h"

#include "dataplane/generation.h"
#include "dataplane/nat_flow.h"
#include "dataplane/share.h"
#include "dataplane/worker.h"

enum direction { OUT, IN };

static inline struct dp_rate *rate_of(struct dp_share *s, enum direction direction)
{
	return direction == OUT ? &s->out : &s->in;
}

static void ask_others(const struct dp_worker *w, uint16_t environment, enum direction direction,
                       struct dp_rate *rate)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < w->worker_count; i++) {
		struct dp_share *s = dp_share_in(w->workers[i]->shares, environment);

		if (i != w->index)
			sum += atomic_load_explicit(&rate_of(s, direction)->spent_ns,
			                            memory_order_relaxed);
	}
	rate->others_ns = sum;
	rate->seen_ns = w->now_ns;
}

static inline void limit(struct dp_worker *w, struct dp_pkt *p, uint16_t environment,
                         enum direction direction)
{
	struct dp_share *s = dp_share_in(w->shares, environment);
	struct dp_rate *rate = rate_of(s, direction);

	if (rate->cost && w->worker_count > 1 && rate->seen_ns != w->now_ns)
		ask_others(w, environment, direction, rate);
	if (dp_rate_take(rate, p->l3_length, w->now_ns))
		return;
	p->verdict = DP_RATE;
	if (direction == OUT)
		s->rate_dropped_out++;
	else
		s->rate_dropped_in++;
}

static inline void limit_tunnels(struct dp_worker *w, struct dp_batch *b, enum direction direction)
{
	if (likely(b->n == 0 || !w->generation->has_rates))
		return;
	for (unsigned i = 0; i < b->n; i++)
		if (b->p[i].verdict == DP_OK)
			limit(w, &b->p[i], b->p[i].environment, direction);
}

static inline void limit_egress(struct dp_worker *w, struct dp_batch *b, enum direction direction)
{
	if (likely(b->n == 0 || !w->generation->has_rates))
		return;
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if (p->verdict == DP_OK)
			limit(w, p, w->flows->cold[dp_flow_session(w->flows, p->flow)].environment,
			      direction);
	}
}

void dp_rate_out(struct dp_worker *w, struct dp_batch *b)
{
	limit_tunnels(w, b, OUT);
}

void dp_rate_in(struct dp_worker *w, struct dp_batch *b)
{
	limit_tunnels(w, b, IN);
}

void dp_rate_egress_out(struct dp_worker *w, struct dp_batch *b)
{
	limit_egress(w, b, OUT);
}

void dp_rate_egress_in(struct dp_worker *w, struct dp_batch *b)
{
	limit_egress(w, b, IN);
}
