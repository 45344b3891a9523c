/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one place where packets end: counted, answered where the sender should know, freed. */
#include "dataplane/batch.h"

#include "dataplane/answer.h"
#include "dataplane/share.h"
#include "dataplane/worker.h"

/* Not inlined: the packets that go on should not pay for those that do not. */
static __rte_noinline void end_packet(struct dp_worker *w, struct dp_pkt *p)
{
	if (p->verdict == DP_TAKEN)
		return;
	w->count->drop[p->verdict]++;
	dp_share_count(w, p);
	if (dp_verdict_answer(p->verdict) != DP_ANSWER_NONE && dp_answer(w, p))
		return;
	rte_pktmbuf_free(p->m);
}

void dp_batch_compact_gaps(struct dp_worker *w, struct dp_batch *b)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (unlikely(b->p[i].verdict != DP_OK)) {
			end_packet(w, &b->p[i]);
			continue;
		}
		if (kept != i)
			b->p[kept] = b->p[i];
		kept++;
	}
	b->n = kept;
}
