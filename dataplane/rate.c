/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One look at the configuration per burst where no environment has a limit. */
#include "dataplane/rate.h"

#include "dataplane/generation.h"
#include "dataplane/share.h"
#include "dataplane/worker.h"

void dp_rate_out(struct dp_worker *w, struct dp_batch *b)
{
	if (likely(b->n == 0 || !w->generation->has_rates))
		return;
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_share *s = dp_share_in(w->shares, p->environment);

		if (p->verdict != DP_OK || dp_rate_take(&s->out, p->l3_length, w->now_ns))
			continue;
		p->verdict = DP_RATE;
		s->rate_dropped_out++;
	}
}

void dp_rate_in(struct dp_worker *w, struct dp_batch *b)
{
	if (likely(b->n == 0 || !w->generation->has_rates))
		return;
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_share *s = dp_share_in(w->shares, p->environment);

		if (p->verdict != DP_OK || dp_rate_take(&s->in, p->l3_length, w->now_ns))
			continue;
		p->verdict = DP_RATE;
		s->rate_dropped_in++;
	}
}
