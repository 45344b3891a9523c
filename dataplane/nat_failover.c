/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sweep looks at each session by itself, so it needs not know what failed. */
#include "dataplane/nat_failover.h"

#include <netinet/in.h>

#include "dataplane/answer.h"
#include "dataplane/asking.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_forward.h"
#include "dataplane/nat_session.h"
#include "dataplane/tcp_track.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define LOOKS 1024u /* sessions per loop; some 10 us */
#define RESETS 2u   /* at most, of one session */
#define TTL 64
#define TCP_HEADER 20u

void dp_nat_failover_begin(struct dp_worker *w)
{
	struct dp_failover *f = &w->failover;

	f->sweep_round++;
	f->sweep_left = w->flows ? w->flows->top : 0;
	if (f->sweep_left == 0) /* there is still a move to be settled */
		f->sweep_left = 1;
}

bool dp_nat_failover_keep(struct dp_worker *w, struct dp_flow *out,
                          const struct dp_forward *forward)
{
	const struct dp_environment *e = w->generation->by_slot[out->key.environment];
	const struct dp_tunnel *now = &w->tunnels[out->tunnel];
	uint16_t to = forward ? dp_failover_choose(w, forward) : DP_NONE_SLOT;
	bool is_here = now->is_usable && now->inner_be == out->source_be;
	bool is_there = to != DP_NONE_SLOT && w->tunnels[to].inner_be == out->source_be && e &&
	                (e->flags & IPC_ENVIRONMENT_KEEP_SESSIONS);

	if (is_there && to != out->tunnel) {
		out->tunnel = dp_flow_other(out)->tunnel = to;
		w->count->sessions_moved++;
	}
	return is_here || is_there;
}

/* ---- resets ---- */

static bool send_reset(struct dp_worker *w, const struct dp_flow *out, uint8_t flags,
                       uint32_t sequence, uint32_t acknowledgement)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->mbufs);
	uint8_t *l3, *tcp;

	if (!m)
		return false;
	l3 = (uint8_t *)rte_pktmbuf_append(m, 20 + TCP_HEADER);
	tcp = l3 + 20;
	dp_ipv4_write(l3, 20 + TCP_HEADER, TTL, IPPROTO_TCP, out->key.destination_be,
	              out->key.source_be);
	dp_store16(tcp, out->key.destination_port_be);
	dp_store16(tcp + 2, out->key.source_port_be);
	dp_store32(tcp + 4, rte_cpu_to_be_32(sequence));
	dp_store32(tcp + 8, rte_cpu_to_be_32(acknowledgement));
	dp_store32(tcp + 12, rte_cpu_to_be_32(0x50000000u | (uint32_t)flags << 16));
	dp_store32(tcp + 16, 0);
	dp_store16(tcp + 16, dp_l4_checksum(l3, tcp, TCP_HEADER, IPPROTO_TCP));
	dp_answer_queue(w, m, DP_PORT_CLUSTER);
	w->count->answers_rst++;
	return true;
}

/*
 * RFC 9293 section 3.10.7.4: the client takes a RST at the number it expects next. That is what it
 * has acknowledged, or, if it did not acknowledge all it got yet, up to the end of what was sent to
 * it: then both are said, the lower one first (what is below the window is ignored without a word).
 */
static bool reset_synchronized(struct dp_worker *w, const struct dp_flow *out)
{
	const struct dp_flow *in = dp_flow_other(out);

	if (!send_reset(w, out, DP_TCP_RST, out->acknowledged, 0))
		return false;
	return (int32_t)(in->sequence_end - out->acknowledged) <= 0 ||
	       send_reset(w, out, DP_TCP_RST, in->sequence_end, 0);
}

/* A SYN that was not answered is sent again: it may open a session through another tunnel. */
static bool reset_opening(struct dp_worker *w, const struct dp_flow *out,
                          const struct dp_forward *forward)
{
	if (forward && dp_failover_choose(w, forward) != DP_NONE_SLOT)
		return true;
	return send_reset(w, out, DP_TCP_RST | DP_TCP_ACK, 0, out->sequence_end);
}

bool dp_nat_failover_reset(struct dp_worker *w, const struct dp_flow *out,
                           const struct dp_forward *forward)
{
	if (out->key.protocol != IPPROTO_TCP || out->state == DP_FLOW_TIME_WAIT ||
	    out->state == DP_FLOW_CLOSED)
		return true;
	if (w->answers->n + RESETS > DP_BURST)
		return false;
	return out->state == DP_FLOW_OPENING ? reset_opening(w, out, forward)
	                                     : reset_synchronized(w, out);
}

/* ---- the sweep ---- */

static void count_kept(struct dp_worker *w, struct dp_environment_state *s)
{
	if (s->is_settled)
		return;
	if (s->sweep_round != w->failover.sweep_round)
		s->sessions_kept = 0; /* the sweep began anew */
	s->sweep_round = w->failover.sweep_round;
	s->sessions_kept++;
}

/* False: no buffer, or no room for the resets; later. */
static bool visit(struct dp_worker *w, uint32_t session)
{
	struct dp_flow *out = dp_flow_at(w->flows, session, DP_FLOW_OUTWARD);
	const struct dp_forward *forward;
	struct dp_environment_state *s;
	uint16_t before;

	if (out->state == DP_FLOW_FREE || out->tunnel == DP_NONE_SLOT ||
	    out->state == DP_FLOW_TIME_WAIT || out->state == DP_FLOW_CLOSED)
		return true;
	s = &w->environments[out->key.environment];
	forward = dp_nat_forward_of(w, out);
	before = out->tunnel;
	if (dp_nat_failover_keep(w, out, forward)) {
		if (out->tunnel != before)
			dp_greet_later(w, out->key.environment, out->tunnel, out->destination_be);
		count_kept(w, s);
		return true;
	}
	if (out->key.protocol == IPPROTO_TCP) {
		if (!dp_nat_failover_reset(w, out, forward))
			return false;
		s->sessions_reset++;
		w->count->sessions_reset++;
	}
	dp_session_end(w, session);
	return true;
}

/* What cannot leave a tunnel that died just now is not given up yet. */
static bool is_pending(const struct dp_worker *w, const struct dp_environment_state *s)
{
	const struct dp_tunnel *from =
		s->moved_from == DP_NONE_SLOT ? NULL : &w->tunnels[s->moved_from];

	return from && s->move_reason == IPC_MOVE_DEAD && from->is_usable &&
	       from->liveness.state == IPC_LIVENESS_DEAD;
}

static void settle(struct dp_worker *w)
{
	for (uint32_t i = 0; i < w->generation->environment_count; i++) {
		const struct dp_environment *e = &w->generation->environments[i];
		struct dp_environment_state *s = &w->environments[e->slot];

		if (e->home != w->index || s->is_settled || !s->moved_ns || is_pending(w, s))
			continue;
		if (s->sweep_round != w->failover.sweep_round)
			s->sessions_kept = 0;
		s->is_settled = 1;
		atomic_store_explicit(&w->failover.is_changed, 1, memory_order_relaxed);
	}
}

unsigned dp_nat_failover_sweep(struct dp_worker *w)
{
	struct dp_failover *f = &w->failover;
	uint32_t top = w->flows ? w->flows->top : 0;
	unsigned looked = 0;

	if (likely(f->sweep_left == 0) || !w->generation)
		return 0;
	while (f->sweep_left && looked < LOOKS) {
		if (f->sweep_next >= top)
			f->sweep_next = 0;
		if (top && !visit(w, f->sweep_next))
			return looked + 1;
		f->sweep_next++;
		f->sweep_left--;
		looked++;
	}
	if (f->sweep_left == 0)
		settle(w);
	return looked;
}
