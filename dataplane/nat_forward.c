/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarding stages: key and bucket of the whole burst, then its flows' lines, then the
 * packets.
 */
#include "dataplane/nat_forward.h"

#include <netinet/in.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_prefetch.h>

#include "dataplane/ipv4.h"
#include "dataplane/nat_failover.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_session.h"
#include "dataplane/nat_step.h"
#include "dataplane/port.h"
#include "dataplane/tcp_track.h"
#include "dataplane/wire.h"

/* ---- sessions ---- */

/* Towards the forward's target through the tunnel. */
static struct dp_port_endpoint forward_endpoint(const struct dp_worker *w,
                                                const struct dp_forward *fwd, uint16_t tunnel,
                                                uint8_t protocol)
{
	return (struct dp_port_endpoint){ .inner_be = w->tunnels[tunnel].inner_be,
		                          .remote_be = fwd->to_address_be,
		                          .remote_port_be = fwd->to_port_be,
		                          .scope = fwd->environment,
		                          .protocol = protocol,
		                          .direction = DP_FLOW_INWARD };
}

/*
 * Opens a session for the packet, in the place of STALE where there is one: a session that is over,
 * or whose forward or tunnel is no longer what it was. NULL: the verdict is set.
 */
static __rte_noinline struct dp_flow *open_session(struct dp_worker *w, struct dp_pkt *p,
                                                   const struct dp_forward *fwd,
                                                   struct dp_flow *stale, enum dp_verdict refusal)
{
	const struct dp_environment *e = w->generation->by_slot[fwd->environment];
	const struct dp_flow_key *key = (const struct dp_flow_key *)p->key;
	struct dp_tcp_segment segment;
	struct dp_session_plan plan;
	struct dp_flow *f = NULL;
	uint16_t tunnel;

	p->verdict = (uint8_t)dp_session_check_opening(p, &segment, refusal);
	if (p->verdict != DP_OK)
		return NULL;
	p->verdict = DP_NO_FORWARD;
	if (!e)
		return NULL;
	p->verdict = DP_SOURCE_REFUSED;
	if (!dp_environment_allows(e, key->source_be))
		return NULL;
	p->verdict = DP_DRAINING;
	if (e->flags & IPC_ENVIRONMENT_DRAINING)
		return NULL;
	p->verdict = DP_NO_TUNNEL;
	w->environments[fwd->environment].opened_key = fwd->key;
	tunnel = dp_failover_choose(w, fwd);
	if (tunnel == DP_NONE_SLOT)
		return NULL;
	p->verdict = DP_TOO_BIG;
	p->limit = w->tunnels[tunnel].inner_mtu;
	if (dp_nat_is_too_big(p, p->limit))
		return NULL;
	if (stale)
		dp_session_end(w, dp_flow_session(w->flows, stale));
	plan = (struct dp_session_plan){ .outward = key,
		                         .hash = p->hash,
		                         .endpoint =
		                                 forward_endpoint(w, fwd, tunnel, key->protocol),
		                         .sequence = segment.sequence,
		                         .tunnel = tunnel,
		                         .environment = fwd->environment,
		                         .kind = DP_SESSION_FORWARD };
	p->verdict = (uint8_t)dp_session_create(w, &plan, &f);
	if (p->verdict == DP_OK && p->protocol == IPPROTO_TCP)
		dp_tcp_open(f, dp_flow_other(f), &segment);
	return f;
}

/* ---- from the cluster ---- */

static inline void prepare(const struct dp_flow_table *flows, struct dp_pkt *p,
                           enum dp_flow_direction direction)
{
	p->hash = dp_flow_key_load(flows, p->key, p->l3,
	                           dp_flow_word(p->protocol, direction, p->environment));
	dp_flow_prefetch(flows, p->hash);
}

/* Why the session, whose tunnel is T, cannot carry this packet any more, or DP_OK. */
static inline enum dp_verdict check_session(const struct dp_tunnel *t, const struct dp_flow *f,
                                            const struct dp_forward *fwd)
{
	if (unlikely(f->destination_be != fwd->to_address_be ||
	             f->destination_port_be != fwd->to_port_be))
		return DP_NO_SESSION;
	return unlikely(!t->is_usable || t->inner_be != f->source_be) ? DP_NO_TUNNEL : DP_OK;
}

/* What tracking says of the packet: the session that carries it, F or a new one in its place. NULL:
 * the verdict is set. */
static struct dp_flow *follow(struct dp_worker *w, struct dp_pkt *p, const struct dp_forward *fwd,
                              struct dp_flow *f, enum dp_tcp_verdict tracked,
                              enum dp_verdict obstacle)
{
	if (tracked == DP_TCP_REOPEN)
		return open_session(w, p, fwd, f, obstacle);
	if (tracked == DP_TCP_PASS)
		return f;
	p->verdict = DP_TCP_STATE;
	return NULL;
}

static const struct dp_forward *find_forward(const struct dp_generation *g, const struct dp_pkt *p)
{
	return g ? dp_forward_lookup(g, dp_forward_key(dp_load32(p->l3 + 16), p->protocol,
	                                               dp_load16(p->l3 + DP_IPV4_HEADER + 2)))
	         : NULL;
}

/* Sessions of the burst are going to be opened: for all of them, what that needs. */
static __rte_noinline void expect_sessions(struct dp_worker *w, const struct dp_batch *b)
{
	for (const struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		const struct dp_forward *fwd;
		struct dp_port_endpoint endpoint;
		uint16_t tunnel;

		if (!dp_nat_may_open(w, p))
			continue;
		fwd = find_forward(w->generation, p);
		tunnel = fwd ? dp_failover_choose(w, fwd) : DP_NONE_SLOT;
		if (tunnel == DP_NONE_SLOT)
			continue;
		endpoint = forward_endpoint(w, fwd, tunnel, p->protocol);
		dp_session_expect(w, p->hash, &endpoint, fwd->environment);
	}
}

/* Translates a packet that is not plain or too large, that has no session (F is NULL), or one that
 * may not carry it any more; returns its session. NULL: the verdict is set. */
static __rte_noinline struct dp_flow *carry_otherwise(struct dp_worker *w, struct dp_pkt *p,
                                                      struct dp_flow *f)
{
	const struct dp_forward *fwd = find_forward(w->generation, p);
	enum dp_verdict obstacle;

	p->flow = NULL; /* until the packet is rewritten: before, it can be answered */
	if (!fwd) {
		p->verdict = w->generation ? DP_NO_FORWARD : DP_NO_CONFIGURATION;
		return NULL;
	}
	obstacle = f ? check_session(&w->tunnels[f->tunnel], f, fwd) : DP_NO_SESSION;
	/* its tunnel failed: another one may do */
	if (obstacle == DP_NO_TUNNEL && dp_nat_failover_keep(w, f, fwd))
		obstacle = DP_OK;
	if (obstacle != DP_OK) {
		f = follow(w, p, fwd, f, DP_TCP_REOPEN, obstacle);
	} else if (dp_nat_is_too_big(p, w->tunnels[f->tunnel].inner_mtu)) {
		p->limit = w->tunnels[f->tunnel].inner_mtu;
		p->verdict = DP_TOO_BIG;
		return NULL;
	} else {
		f = follow(w, p, fwd, f, dp_nat_track(w, p, f), DP_OK);
	}
	if (f)
		dp_nat_translate(w, p, f, w->tunnels[f->tunnel].mss);
	return f;
}

static inline void count_out(struct dp_worker *w, uint16_t environment, uint64_t packets,
                             uint64_t bytes)
{
	w->environments[environment].packets_out += packets;
	w->environments[environment].bytes_out += bytes;
}

/* More than these are not sure to be in the cache. */
#define CACHED_SAS 64u

/* Of the flows that are candidates, and the environments that count their packets. */
static __rte_noinline void prefetch_tunnels(const struct dp_worker *w, const struct dp_batch *b)
{
	for (const struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		rte_prefetch0(&w->tunnels[p->flow->tunnel]);
		rte_prefetch0(&w->environments[p->environment]);
	}
}

/* Whether the session's tunnel takes the packet as it is. */
static inline bool is_fit(const struct dp_tunnel *t, const struct dp_flow *f,
                          const struct dp_pkt *p)
{
	return likely(t->is_usable && t->inner_be == f->source_be && p->l3_length <= t->inner_mtu);
}

void dp_nat_forward_out(struct dp_worker *w, struct dp_batch *b)
{
	const struct dp_flow_table *flows = w->flows;
	const struct dp_tunnel *tunnels = w->tunnels;
	struct dp_pkt *const end = b->p + b->n;
	/* else each session's forward has to be asked whether it is still what it was */
	const bool is_swept = dp_nat_is_swept(w);
	uint16_t environment = DP_NONE_SLOT;
	uint64_t packets = 0, bytes = 0; /* of this environment, since one of another came */

	b->has_oversized = false;
	for (struct dp_pkt *p = b->p; p < end; p++) {
		if (unlikely(p->verdict != DP_OK))
			continue;
		p->verdict = (uint8_t)dp_nat_check_header(p);
		prepare(flows, p, DP_FLOW_OUTWARD);
	}
	if (unlikely(dp_nat_find_candidates(w, b)))
		expect_sessions(w, b);
	if (unlikely(w->count->sas_now > CACHED_SAS))
		prefetch_tunnels(w, b);
	for (struct dp_pkt *p = b->p; p < end; p++) {
		struct dp_flow *f;

		if (unlikely(p->verdict != DP_OK)) {
			p->flow = NULL;
			continue;
		}
		f = dp_nat_find_flow(w, p);
		if (unlikely(!f || !is_swept || !is_fit(&tunnels[f->tunnel], f, p) ||
		             !dp_nat_carry(w, p, f))) {
			f = carry_otherwise(w, p, f);
			if (!f)
				continue;
			b->has_oversized |= p->l3_length > tunnels[f->tunnel].inner_mtu;
		}
		p->flow = f;
		p->tunnel = f->tunnel;
		if (unlikely(p->environment != environment)) {
			if (packets)
				count_out(w, environment, packets, bytes);
			environment = p->environment;
			packets = bytes = 0;
		}
		packets++;
		bytes += p->l3_length;
	}
	if (likely(packets))
		count_out(w, environment, packets, bytes);
}

/* ---- from a tunnel ---- */

/* The same for a reply. */
static __rte_noinline struct dp_flow *carry_back_otherwise(struct dp_worker *w, struct dp_pkt *p,
                                                           struct dp_flow *f, uint16_t mtu)
{
	p->flow = NULL;
	if (!f || (f->tunnel != p->tunnel && !dp_nat_failover_is_way_back(w, f, p->tunnel))) {
		p->verdict = f ? DP_INNER_OTHER_TUNNEL : DP_INNER_NO_SESSION;
		return NULL;
	}
	if (dp_nat_is_too_big(p, mtu)) {
		p->limit = mtu;
		p->verdict = DP_TOO_BIG;
		return NULL;
	}
	if (dp_nat_track(w, p, f) != DP_TCP_PASS) {
		p->verdict = DP_TCP_STATE;
		return NULL;
	}
	dp_nat_translate(w, p, f, w->tunnels[f->tunnel].mss);
	return f;
}

static inline void count_in(struct dp_worker *w, uint16_t environment, uint64_t packets,
                            uint64_t bytes)
{
	w->environments[environment].packets_in += packets;
	w->environments[environment].bytes_in += bytes;
}

void dp_nat_forward_in(struct dp_worker *w, struct dp_batch *b)
{
	const struct dp_flow_table *flows = w->flows;
	struct dp_pkt *const end = b->p + b->n;
	uint16_t mtu = w->ports[DP_PORT_CLUSTER].mtu, environment = DP_NONE_SLOT;
	uint64_t packets = 0, bytes = 0; /* of this environment, since one of another came */

	b->has_oversized = false;
	for (struct dp_pkt *p = b->p; p < end; p++) {
		if (unlikely(p->verdict != DP_OK))
			continue;
		p->verdict = (uint8_t)dp_nat_check_header(p);
		if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP &&
		             p->verdict == DP_OK))
			p->verdict = DP_INNER_NO_SESSION;
		prepare(flows, p, DP_FLOW_INWARD);
	}
	dp_nat_find_candidates(w, b);
	for (struct dp_pkt *p = b->p; p < end; p++) {
		struct dp_flow *f;

		if (unlikely(p->verdict != DP_OK)) {
			p->flow = NULL;
			continue;
		}
		f = dp_nat_find_flow(w, p);
		if (unlikely(!f || f->tunnel != p->tunnel || p->l3_length > mtu ||
		             !dp_nat_carry(w, p, f))) {
			f = carry_back_otherwise(w, p, f, mtu);
			if (!f)
				continue;
			b->has_oversized |= p->l3_length > mtu;
		}
		p->flow = f;
		p->nexthop_be = f->destination_be;
		p->port = DP_PORT_CLUSTER;
		if (unlikely(p->environment != environment)) {
			if (packets)
				count_in(w, environment, packets, bytes);
			environment = p->environment;
			packets = bytes = 0;
		}
		packets++;
		bytes += p->l3_length;
	}
	if (likely(packets))
		count_in(w, environment, packets, bytes);
}

const struct dp_forward *dp_nat_forward_of(const struct dp_worker *w, const struct dp_flow *out)
{
	const struct dp_forward *fwd = dp_forward_lookup(
		w->generation, dp_forward_key(out->key.destination_be, out->key.protocol,
	                                      out->key.destination_port_be));

	return fwd && fwd->environment == out->key.environment ? fwd : NULL;
}

bool dp_nat_forward_allows(const struct dp_worker *w, const struct dp_flow *out)
{
	const struct dp_tunnel *tunnel = &w->tunnels[out->tunnel];
	const struct dp_forward *fwd = dp_nat_forward_of(w, out);

	return fwd && tunnel->environment == out->key.environment &&
	       fwd->to_address_be == out->destination_be &&
	       fwd->to_port_be == out->destination_port_be &&
	       w->generation->by_slot[fwd->environment] &&
	       dp_environment_allows(w->generation->by_slot[fwd->environment], out->key.source_be);
}
