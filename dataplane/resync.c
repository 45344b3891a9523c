/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tries run on a copy of the packet, because decryption overwrites what it reads. */
#include "dataplane/resync.h"

#include <string.h>

#include "dataplane/crypto_mb.h"
#include "dataplane/esp_nonce.h"
#include "dataplane/worker.h"

/* Decrypts a copy of the packet as if it had this number. */
static bool is_authentic(struct dp_worker *w, const struct dp_pkt *p, uint64_t sequence)
{
	struct dp_sa_in *sa = p->sa_in;
	uint8_t copy[DP_RESYNC_LENGTH_MAX] __rte_aligned(64);
	struct dp_batch b;
	struct dp_pkt *try = &b.p[0];

	b.n = 1;
	*try = *p;
	memcpy(copy, p->l3, p->l3_length);
	try->l3 = copy;
	try->esp = copy + (p->esp - p->l3);
	try->verdict = DP_OK;
	dp_esp_nonce_in(try, sa, sequence);
	dp_crypto_decrypt(w->crypto, &sa->suite, &sa->key, &b, 0, 1);
	dp_crypto_flush(w->crypto); /* nothing else is queued: the burst is not decrypted yet */
	w->count->esp_resync_tries++;
	return try->verdict == DP_OK;
}

uint64_t dp_resync(struct dp_worker *w, const struct dp_pkt *p, uint64_t inferred)
{
	struct dp_sa_in *sa = p->sa_in;
	uint32_t low = rte_be_to_cpu_32(dp_load32(p->esp + 4));
	/* 0 stands for a number below the beginning: then the first half that may be is 0 */
	uint64_t first = inferred ? (inferred >> 32) + 1 : 0;

	if (p->l3_length > DP_RESYNC_LENGTH_MAX)
		return inferred;
	if (!dp_bucket_take(&sa->resync_limit, w->now_ns) ||
	    !dp_bucket_take(&w->resync_limit, w->now_ns))
		return inferred;
	for (uint64_t half = first; half < first + DP_RESYNC_HALVES && half <= UINT32_MAX; half++) {
		uint64_t sequence = half << 32 | low;

		if (!dp_replay_check(&sa->replay, sequence) || !is_authentic(w, p, sequence))
			continue;
		w->count->esp_resyncs++;
		return sequence;
	}
	return inferred;
}
