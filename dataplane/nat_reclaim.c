/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports were given at random, so that some in a row are a sample of all. */
#include "dataplane/nat_reclaim.h"

#include <rte_byteorder.h>

#include "dataplane/nat_flow.h"
#include "dataplane/share.h"
#include "dataplane/tcp_track.h"
#include "dataplane/worker.h"

#define FIRST_PORT 1024u
#define PORTS (65536u - FIRST_PORT)

/* Seconds since the session's last packet. */
static uint32_t silence_s(const struct dp_worker *w, const struct dp_flow *in)
{
	uint32_t in_s = w->now_s - in->last_s, out_s = w->now_s - dp_flow_other(in)->last_s;

	return in_s < out_s ? in_s : out_s;
}

static bool is_reclaimable(const struct dp_flow *in, uint32_t silence, uint32_t sequence)
{
	uint32_t enough = in->flags & DP_TCP_FLOW_LAST ? DP_RECLAIM_CLIENT_CLOSED_S
	                                               : DP_RECLAIM_TARGET_CLOSED_S;

	/* one that was opened from the other side has no port of the pool */
	if (in->flags & DP_TCP_FLOW_OPENER)
		return false;
	return in->state == DP_FLOW_TIME_WAIT && silence >= enough &&
	       (int32_t)(sequence - dp_flow_other(in)->sequence_end) > 0;
}

uint32_t dp_nat_reclaim_find(struct dp_worker *w, const struct dp_port_endpoint *e,
                             uint16_t environment, uint32_t sequence)
{
	struct dp_share *share = dp_share_in(w->shares, environment);
	struct dp_port_window window = share->ports;
	struct dp_flow_key key = { .source_be = e->remote_be,
		                   .source_port_be = e->remote_port_be,
		                   .destination_be = e->inner_be,
		                   .protocol = e->protocol,
		                   .direction = DP_FLOW_INWARD,
		                   .environment = e->scope };
	unsigned first = window.first * DP_PORT_BLOCK, ports = window.count * DP_PORT_BLOCK;
	uint32_t found = DP_FLOW_NONE, longest = 0;
	unsigned candidates = 0;

	if (w->now_ns < share->reclaim_due_ns)
		return DP_FLOW_NONE;
	for (unsigned i = 0; i < DP_RECLAIM_LOOKUPS && candidates < DP_RECLAIM_CANDIDATES; i++) {
		const struct dp_flow *in;
		uint32_t silence;

		share->reclaim_port = (uint16_t)((share->reclaim_port + 1u) % ports);
		key.destination_port_be = rte_cpu_to_be_16(
			(uint16_t)(FIRST_PORT + (first + share->reclaim_port) % PORTS));
		in = dp_flow_lookup(w->flows, &key, dp_flow_hash(w->flows, &key));
		if (!in)
			continue;
		silence = silence_s(w, in);
		if (!is_reclaimable(in, silence, sequence))
			continue;
		candidates++;
		if (silence > longest) {
			longest = silence;
			found = dp_flow_session(w->flows, in);
		}
	}
	if (found == DP_FLOW_NONE)
		share->reclaim_due_ns = w->now_ns + DP_RECLAIM_PAUSE_NS;
	return found;
}
