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
		                         .endpoint = { .inner_be = w->tunnels[tunnel].inner_be,
		                                       .remote_be = fwd->to_address_be,
		                                       .remote_port_be = fwd->to_port_be,
		                                       .scope = fwd->environment,
		                                       .protocol = key->protocol,
		                                       .direction = DP_FLOW_INWARD },
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

static inline uint64_t key_of(const struct dp_pkt *p)
{
	return dp_forward_key(dp_load32(p->l3 + 16), p->protocol,
	                      dp_load16(p->l3 + DP_IPV4_HEADER + 2));
}

static inline const struct dp_forward *prepare_out(const struct dp_generation *g,
                                                   const struct dp_flow_table *flows,
                                                   struct dp_pkt *p)
{
	const struct dp_forward *fwd;

	p->verdict = unlikely(!g) ? DP_NO_CONFIGURATION : (uint8_t)dp_nat_check_header(p);
	if (unlikely(p->verdict != DP_OK))
		return NULL;
	fwd = dp_forward_lookup(g, key_of(p));
	if (unlikely(!fwd)) {
		p->verdict = DP_NO_FORWARD;
		return NULL;
	}
	p->environment = fwd->environment;
	p->hash = dp_flow_key_load(flows, p->key, p->l3,
	                           dp_flow_word(p->protocol, DP_FLOW_OUTWARD, fwd->environment));
	dp_flow_prefetch(flows, p->hash);
	return fwd;
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
static __rte_noinline struct dp_flow *follow(struct dp_worker *w, struct dp_pkt *p,
                                             const struct dp_forward *fwd, struct dp_flow *f,
                                             enum dp_tcp_verdict tracked, enum dp_verdict obstacle)
{
	p->flow = NULL; /* until the packet is rewritten: before, it can be answered */
	if (tracked == DP_TCP_REOPEN)
		return open_session(w, p, fwd, f, obstacle);
	if (tracked == DP_TCP_PASS)
		return f;
	p->verdict = DP_TCP_STATE;
	return NULL;
}

/* The packet has no session, F cannot carry it, or it is too large. NULL: the verdict is set. */
static __rte_noinline struct dp_flow *carry_otherwise(struct dp_worker *w, struct dp_pkt *p,
                                                      const struct dp_forward *fwd,
                                                      struct dp_flow *f, enum dp_verdict obstacle)
{
	p->flow = NULL;
	/* its tunnel failed: another one may do */
	if (obstacle == DP_NO_TUNNEL && dp_nat_failover_keep(w, f, fwd))
		obstacle = DP_OK;
	if (obstacle != DP_OK)
		return follow(w, p, fwd, f, DP_TCP_REOPEN, obstacle);
	if (dp_nat_is_too_big(p, w->tunnels[f->tunnel].inner_mtu)) {
		p->limit = w->tunnels[f->tunnel].inner_mtu;
		p->verdict = DP_TOO_BIG;
		return NULL;
	}
	return follow(w, p, fwd, f, dp_nat_track(w, p, f), DP_OK);
}

static inline struct dp_flow *carry(struct dp_worker *w, const struct dp_tunnel *tunnels,
                                    struct dp_pkt *p, const struct dp_forward *fwd,
                                    bool *has_oversized)
{
	struct dp_flow *f = dp_nat_find_flow(w, p);
	const struct dp_tunnel *t;
	enum dp_tcp_verdict tracked;
	enum dp_verdict obstacle = DP_NO_SESSION;

	if (likely(f != NULL)) {
		t = &tunnels[f->tunnel];
		obstacle = check_session(t, f, fwd);
	}
	if (unlikely(obstacle != DP_OK || p->l3_length > t->inner_mtu)) {
		*has_oversized = true;
		return carry_otherwise(w, p, fwd, f, obstacle);
	}
	tracked = dp_nat_track(w, p, f);
	if (likely(tracked == DP_TCP_PASS))
		return f;
	*has_oversized = true; /* of another session, which may have another tunnel */
	return follow(w, p, fwd, f, tracked, DP_OK);
}

static inline void count_out(struct dp_worker *w, uint16_t environment, uint64_t packets,
                             uint64_t bytes)
{
	w->environments[environment].packets_out += packets;
	w->environments[environment].bytes_out += bytes;
}

/* More than these are not sure to be in the cache. */
#define CACHED_FORWARDS 1024u /* places */
#define CACHED_SAS 64u

static __rte_noinline void prefetch_forwards(const struct dp_generation *g,
                                             const struct dp_batch *b)
{
	for (const struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		if (likely(p->verdict == DP_OK))
			rte_prefetch0(dp_forward_home(g, key_of(p)));
	}
}

/* Of the flows that are candidates, and the environments that count their packets. */
static __rte_noinline void prefetch_tunnels(const struct dp_worker *w, const struct dp_batch *b)
{
	for (const struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		if (unlikely(p->verdict != DP_OK || !p->flow))
			continue;
		rte_prefetch0(&w->tunnels[p->flow->tunnel]);
		rte_prefetch0(&w->environments[p->environment]);
	}
}

void dp_nat_forward_out(struct dp_worker *w, struct dp_batch *b)
{
	const struct dp_forward *forwards[DP_BURST], **fwd = forwards;
	const struct dp_flow_table *flows = w->flows;
	const struct dp_tunnel *tunnels = w->tunnels;
	struct dp_pkt *const end = b->p + b->n;
	uint16_t environment = DP_NONE_SLOT;
	uint64_t packets = 0, bytes = 0; /* of this environment, since one of another came */

	b->has_oversized = false;
	if (likely(w->generation) && unlikely(w->generation->forward_mask >= CACHED_FORWARDS))
		prefetch_forwards(w->generation, b);
	for (struct dp_pkt *p = b->p; p < end; p++)
		*fwd++ = likely(p->verdict == DP_OK) ? prepare_out(w->generation, flows, p) : NULL;
	dp_nat_find_candidates(w, b);
	if (unlikely(w->count->sas_now > CACHED_SAS))
		prefetch_tunnels(w, b);
	fwd = forwards;
	for (struct dp_pkt *p = b->p; p < end; p++, fwd++) {
		struct dp_flow *f =
			likely(*fwd != NULL) ? carry(w, tunnels, p, *fwd, &b->has_oversized) : NULL;

		if (unlikely(!f))
			continue;
		p->flow = f;
		p->tunnel = f->tunnel;
		dp_nat_translate(w, p, f, &tunnels[f->tunnel].mss);
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

static inline void prepare_in(const struct dp_flow_table *flows, struct dp_pkt *p)
{
	p->verdict = (uint8_t)dp_nat_check_header(p);
	if (unlikely(p->verdict != DP_OK))
		return;
	if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)) {
		p->verdict = DP_INNER_NO_SESSION;
		return;
	}
	p->hash = dp_flow_key_load(flows, p->key, p->l3,
	                           dp_flow_word(p->protocol, DP_FLOW_INWARD, p->environment));
	dp_flow_prefetch(flows, p->hash);
}

static inline void forward_in(struct dp_worker *w, struct dp_pkt *p, uint16_t mtu)
{
	struct dp_flow *f = dp_nat_find_flow(w, p);

	if (unlikely(!f ||
	             (f->tunnel != p->tunnel && !dp_nat_failover_is_way_back(w, f, p->tunnel)))) {
		p->flow = NULL;
		p->verdict = f ? DP_INNER_OTHER_TUNNEL : DP_INNER_NO_SESSION;
		return;
	}
	if (unlikely(dp_nat_is_too_big(p, mtu))) {
		p->flow = NULL;
		p->limit = mtu;
		p->verdict = DP_TOO_BIG;
		return;
	}
	if (unlikely(dp_nat_track(w, p, f) != DP_TCP_PASS)) {
		p->verdict = DP_TCP_STATE;
		return;
	}
	p->flow = f;
	p->nexthop_be = f->destination_be;
	p->port = DP_PORT_CLUSTER;
	dp_nat_translate(w, p, f, &w->tunnels[f->tunnel].mss);
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

	for (struct dp_pkt *p = b->p; p < end; p++) {
		if (likely(p->verdict == DP_OK))
			prepare_in(flows, p);
	}
	dp_nat_find_candidates(w, b);
	for (struct dp_pkt *p = b->p; p < end; p++) {
		if (unlikely(p->verdict != DP_OK))
			continue;
		forward_in(w, p, mtu);
		if (unlikely(p->verdict != DP_OK))
			continue;
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
