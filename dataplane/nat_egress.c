/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The egress stages: key and bucket of the whole burst, then its flows' lines, then the packets.
 */
#include "dataplane/nat_egress.h"

#include <netinet/in.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "dataplane/ipv4.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_inbound.h"
#include "dataplane/nat_step.h"
#include "dataplane/port.h"
#include "dataplane/tcp_track.h"
#include "dataplane/wire.h"

/* ---- sessions ---- */

static const struct dp_egress_range *find_source(const struct dp_egress *e, uint32_t source_be)
{
	return dp_egress_find(e->sources, e->source_count, source_be);
}

static bool is_refused(const struct dp_egress *e, uint32_t destination_be)
{
	return dp_egress_find(e->destinations, e->destination_count, destination_be)->is_refused ||
	       dp_egress_owns(e, destination_be);
}

static bool is_draining(const struct dp_worker *w, uint16_t environment)
{
	const struct dp_environment *e =
		environment == DP_NONE_SLOT ? NULL : w->generation->by_slot[environment];

	return e && (e->flags & IPC_ENVIRONMENT_DRAINING);
}

/* What the source becomes towards its destination, but for the port. */
static struct dp_port_endpoint egress_endpoint(const struct dp_egress *e,
                                               const struct dp_flow_key *key,
                                               const struct dp_egress_range *source)
{
	return (struct dp_port_endpoint){
		.inner_be = dp_egress_address(&e->pools[source->pool], key->source_be),
		.remote_be = key->destination_be,
		.remote_port_be = key->destination_port_be,
		.scope = DP_SCOPE_EGRESS,
		.protocol = key->protocol,
		.direction = DP_FLOW_INWARD,
	};
}

static enum dp_verdict open_for(struct dp_worker *w, const struct dp_flow_key *key, uint64_t hash,
                                uint32_t sequence, struct dp_flow *stale, struct dp_flow **flow)
{
	const struct dp_egress *e = w->generation->egress;
	const struct dp_egress_range *source = find_source(e, key->source_be);
	struct dp_session_plan plan = { .outward = key,
		                        .hash = hash,
		                        .sequence = sequence,
		                        .tunnel = DP_NONE_SLOT,
		                        .environment = source->environment,
		                        .kind = DP_SESSION_EGRESS };
	enum dp_verdict verdict;

	if (source->pool == DP_NONE_SLOT)
		return DP_EGRESS_SOURCE;
	if (is_refused(e, key->destination_be))
		return DP_EGRESS_DESTINATION;
	if (is_draining(w, source->environment))
		return DP_DRAINING;
	if (stale)
		dp_session_end(w, dp_flow_session(w->flows, stale));
	plan.endpoint = egress_endpoint(e, key, source);
	verdict = dp_session_create(w, &plan, flow);
	return verdict == DP_PORTS_EXHAUSTED ? DP_EGRESS_PORTS : verdict;
}

enum dp_verdict dp_nat_egress_open(struct dp_worker *w, const struct dp_flow_key *key,
                                   uint32_t sequence, struct dp_flow *stale, struct dp_flow **flow)
{
	return open_for(w, key, dp_flow_hash(w->flows, key), sequence, stale, flow);
}

/* For a packet without a session, or with one that is over. NULL: the verdict is set. */
static __rte_noinline struct dp_flow *open_session(struct dp_worker *w, struct dp_pkt *p,
                                                   struct dp_flow *stale)
{
	const struct dp_egress *e = w->generation->egress;
	const struct dp_flow_key *key = (const struct dp_flow_key *)p->key;
	struct dp_tcp_segment segment;
	struct dp_flow *f = NULL;
	enum dp_verdict verdict = dp_session_check_opening(p, &segment, DP_NO_SESSION);

	p->environment = find_source(e, key->source_be)->environment; /* whose refusal it is */
	/* who may not at all is told so in mid-stream, too */
	if (verdict == DP_NO_SESSION && find_source(e, key->source_be)->pool == DP_NONE_SLOT)
		verdict = DP_EGRESS_SOURCE;
	else if (verdict == DP_NO_SESSION && is_refused(e, key->destination_be))
		verdict = DP_EGRESS_DESTINATION;
	if (verdict == DP_OK)
		verdict = open_for(w, key, p->hash, segment.sequence, stale, &f);
	p->verdict = (uint8_t)verdict;
	if (verdict == DP_OK && p->protocol == IPPROTO_TCP)
		dp_tcp_open(f, dp_flow_other(f), &segment);
	return f;
}

static bool has_address(const struct dp_egress_pool *pool, uint32_t address_be)
{
	for (uint32_t i = 0; i < pool->count; i++)
		if (pool->addresses_be[i] == address_be)
			return true;
	return false;
}

bool dp_nat_egress_allows(struct dp_worker *w, uint32_t session)
{
	const struct dp_flow *out = dp_flow_at(w->flows, session, DP_FLOW_OUTWARD);
	const struct dp_egress *e = w->generation->egress;
	const struct dp_egress_range *source;

	if (!e)
		return false;
	if (w->flows->cold[session].kind != DP_SESSION_EGRESS)
		return dp_nat_inbound_allows(w, session);
	source = find_source(e, out->key.source_be);
	if (source->pool == DP_NONE_SLOT || !has_address(&e->pools[source->pool], out->source_be) ||
	    is_refused(e, out->key.destination_be))
		return false;
	if (source->environment != w->flows->cold[session].environment)
		dp_session_set_environment(w, session, source->environment);
	return true;
}

/* ---- from the cluster ---- */

static inline void prepare(const struct dp_flow_table *flows, struct dp_pkt *p,
                           enum dp_flow_direction direction)
{
	p->verdict = (uint8_t)dp_nat_check_header(p);
	if (unlikely(p->verdict != DP_OK))
		return;
	if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)) {
		p->verdict = DP_EGRESS_PROTOCOL;
		return;
	}
	p->hash = dp_flow_key_load(flows, p->key, p->l3,
	                           dp_flow_word(p->protocol, direction, DP_SCOPE_EGRESS));
	dp_flow_prefetch(flows, p->hash);
}

/* Sessions of the burst are going to be opened: for all of them, what that needs. */
static __rte_noinline void expect_sessions(struct dp_worker *w, const struct dp_batch *b)
{
	const struct dp_egress *e = w->generation->egress;

	for (const struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		const struct dp_flow_key *key = (const struct dp_flow_key *)p->key;
		const struct dp_egress_range *source;
		struct dp_port_endpoint endpoint;

		if (!dp_nat_may_open(w, p))
			continue;
		source = find_source(e, key->source_be);
		if (source->pool == DP_NONE_SLOT)
			continue;
		endpoint = egress_endpoint(e, key, source);
		dp_session_expect(w, p->hash, &endpoint, source->environment);
	}
}

/* Both directions: the keys of the batch, then the lines of its flows. True: a packet may have
 * none.
 */
static __rte_always_inline bool look_up(struct dp_worker *w, struct dp_batch *b,
                                        enum dp_flow_direction direction)
{
	const struct dp_flow_table *flows = w->flows;

	for (struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		if (likely(p->verdict == DP_OK))
			prepare(flows, p, direction);
	}
	return dp_nat_find_candidates(w, b);
}

/* Translates what is not plain, too large, or without a session (F is NULL); returns its session.
 * NULL: the verdict is set. The policy is asked when a session is opened, and for all of them after
 * a new generation. */
static __rte_noinline struct dp_flow *egress_out_otherwise(struct dp_worker *w, struct dp_batch *b,
                                                           struct dp_pkt *p, struct dp_flow *f,
                                                           uint16_t mtu)
{
	enum dp_tcp_verdict tracked;

	p->flow = NULL; /* until the packet is rewritten: before, it can be answered */
	b->has_oversized |= p->l3_length > mtu;
	if (dp_nat_is_too_big(p, mtu)) {
		p->environment =
			find_source(w->generation->egress, dp_load32(p->l3 + 12))->environment;
		p->limit = mtu;
		p->verdict = DP_TOO_BIG;
		return NULL;
	}
	tracked = f ? dp_nat_track(w, p, f) : DP_TCP_REOPEN;
	if (tracked == DP_TCP_REFUSE) {
		p->verdict = DP_TCP_STATE;
		return NULL;
	}
	if (tracked == DP_TCP_REOPEN)
		f = open_session(w, p, f);
	if (f)
		dp_nat_translate(w, p, f, dp_nat_egress_mss(w));
	return f;
}

void dp_nat_egress_out(struct dp_worker *w, struct dp_batch *b)
{
	uint16_t mtu = w->ports[DP_PORT_UPLINK].mtu;
	uint64_t packets = 0, bytes = 0;

	b->has_oversized = false;
	if (unlikely(look_up(w, b, DP_FLOW_OUTWARD)))
		expect_sessions(w, b);
	for (struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		struct dp_flow *f;

		if (unlikely(p->verdict != DP_OK)) {
			p->flow = NULL;
			continue;
		}
		f = dp_nat_find_flow(w, p);
		if (unlikely(!f || p->l3_length > mtu || !dp_nat_carry(w, p, f))) {
			f = egress_out_otherwise(w, b, p, f, mtu);
			if (!f)
				continue;
		}
		p->flow = f;
		dp_nat_leave(p, DP_PORT_UPLINK, f->destination_be);
		packets++;
		bytes += p->l3_length;
	}
	w->count->egress_out_packets += packets;
	w->count->egress_out_bytes += bytes;
}

/* ---- from the uplink ---- */

/* The same for a reply, or a connection to a mapped port. */
static __rte_noinline struct dp_flow *egress_in_otherwise(struct dp_worker *w, struct dp_batch *b,
                                                          struct dp_pkt *p, struct dp_flow *f,
                                                          uint16_t mtu)
{
	enum dp_tcp_verdict tracked;

	p->flow = NULL;
	b->has_oversized |= p->l3_length > mtu;
	if (dp_nat_is_too_big(p, mtu)) {
		p->limit = mtu;
		p->verdict = f ? DP_TOO_BIG : DP_EGRESS_UNSOLICITED;
		return NULL;
	}
	tracked = f ? dp_nat_track(w, p, f) : DP_TCP_REOPEN;
	if (tracked == DP_TCP_REFUSE) {
		p->verdict = DP_TCP_STATE;
		return NULL;
	}
	if (tracked == DP_TCP_REOPEN)
		f = dp_nat_inbound_open(w, p, f);
	if (f)
		dp_nat_translate(w, p, f, dp_nat_egress_mss(w));
	return f;
}

void dp_nat_egress_in(struct dp_worker *w, struct dp_batch *b)
{
	uint16_t mtu = w->ports[DP_PORT_CLUSTER].mtu;
	uint64_t packets = 0, bytes = 0;

	b->has_oversized = false;
	look_up(w, b, DP_FLOW_INWARD);
	for (struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		struct dp_flow *f;

		if (unlikely(p->verdict != DP_OK)) {
			p->flow = NULL;
			continue;
		}
		f = dp_nat_find_flow(w, p);
		if (unlikely(!f || p->l3_length > mtu || !dp_nat_carry(w, p, f))) {
			f = egress_in_otherwise(w, b, p, f, mtu);
			if (!f)
				continue;
		}
		p->flow = f;
		dp_nat_leave(p, DP_PORT_CLUSTER, f->destination_be);
		packets++;
		bytes += p->l3_length;
	}
	w->count->egress_in_packets += packets;
	w->count->egress_in_bytes += bytes;
}
