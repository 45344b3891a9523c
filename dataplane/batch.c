/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one place where packets end: counted, answered where the sender should know, freed. */
#include "dataplane/batch.h"

#include "dataplane/answer.h"
#include "dataplane/share.h"
#include "dataplane/worker.h"

/* Not inlined: the packets that go on should not pay for those that do not. */
static __rte_noinline void end_packet(struct dp_worker *w, struct dp_pkt *p)
{
	w->count->drop[p->verdict]++;
	dp_share_count(w, p);
	if (dp_verdict_answer(p->verdict) != DP_ANSWER_NONE && dp_answer(w, p))
		return;
	rte_pktmbuf_free(p->m);
}

/* Bits by place, so that no branch depends on a single packet: which of them end cannot be
 * foreseen. */
void dp_batch_compact_gaps(struct dp_worker *w, struct dp_batch *b)
{
	uint64_t kept = 0, ended = 0;
	unsigned n;

	_Static_assert(DP_BURST < 64, "a bit for each packet");
	for (unsigned i = 0; i < b->n; i++) {
		uint8_t verdict = b->p[i].verdict;

		kept |= (uint64_t)(verdict == DP_OK) << i;
		ended |= (uint64_t)(verdict != DP_OK && verdict != DP_TAKEN) << i;
	}
	for (; ended; ended &= ended - 1)
		end_packet(w, &b->p[rte_bsf64(ended)]);
	n = rte_bsf64(~kept); /* those in front of the first gap stay */
	for (uint64_t left = kept >> n << n; left; left &= left - 1)
		b->p[n++] = b->p[rte_bsf64(left)];
	b->n = n;
}
