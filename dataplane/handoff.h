/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that arrived at another worker than their home go there before anything is looked up;
 * state never moves.
 *
 * What crosses is the frame as it was received, with m->port: the home parses it again, against its
 * own configuration, so nothing that was looked up elsewhere is ever trusted. A server's fragments
 * meet at the worker that their addresses choose; what they become is a frame as if received there,
 * and goes home like any other.
 */
#pragma once

#include <stdint.h>

#include <rte_common.h>
#include <rte_ring.h>

#include "dataplane/batch.h"

#define DP_HANDOFF_CLASSES 64u

/*
 * What one worker has put into another one's queue since that became half full, by class: an
 * environment (1 of 64 by slot), or a sender outside (1 of 64 by address), of whom nothing else is
 * known yet. The second half is for all of them in equal parts, so that nobody's flood keeps the
 * others out.
 */
struct dp_handoff_share {
	uint16_t taken[DP_HANDOFF_CLASSES];
	uint16_t is_used;
} __rte_cache_aligned;

/* Shares of WORKERS queues, on NUMA node SOCKET; NULL: no memory. Control thread; rte_free() frees
 * them. */
struct dp_handoff_share *dp_handoff_shares_create(uint16_t workers, int socket);

/* How many wait in a worker's handoff_in: rte_ring_count(), but as other threads may write
 * meanwhile. What was taken is read first: read last, it could be more than what was put. */
static inline uint32_t dp_handoff_waiting(const struct rte_ring *queue)
{
	uint32_t taken = __atomic_load_n(&queue->cons.tail, __ATOMIC_ACQUIRE);

	return (__atomic_load_n(&queue->prod.tail, __ATOMIC_RELAXED) - taken) & queue->mask;
}

/* Stages: packets for environments (cluster side), for SPIs or of OpenVPN tunnels (uplink side), of
 * another home are sent there (DP_TAKEN). */
void dp_handoff_forward(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_esp(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_openvpn(struct dp_worker *w, struct dp_batch *b);

/* Stage: fragments of servers go to where theirs are gathered; always the same worker, so there is
 * no final one. */
void dp_handoff_fragment(struct dp_worker *w, struct dp_batch *b);

/* Stages: egress goes to the owner of the remote address, which is the destination of what comes
 * from the cluster, and the source of what comes from the uplink; an error's is the one that it
 * quotes. */
void dp_handoff_egress_out(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_egress_in(struct dp_worker *w, struct dp_batch *b);

/* The same stages for packets that came by a hand-off: one whose home is still elsewhere is dropped
 * (DP_HANDOFF_LOOP). */
void dp_handoff_forward_final(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_esp_final(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_openvpn_final(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_egress_out_final(struct dp_worker *w, struct dp_batch *b);
void dp_handoff_egress_in_final(struct dp_worker *w, struct dp_batch *b);
