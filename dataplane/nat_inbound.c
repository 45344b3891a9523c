/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions that begin at a mapped port. */
#include "dataplane/nat_inbound.h"

#include <netinet/in.h>

#include "dataplane/nat_egress.h"
#include "dataplane/nat_step.h"
#include "dataplane/port.h"
#include "dataplane/share.h"

/* Anybody can open these: a flood of them leaves most of the table to the cluster. */
#define INBOUND_PART 4u

static const struct dp_egress_mapping *find_mapping(const struct dp_worker *w,
                                                    const struct dp_flow_key *key)
{
	return dp_egress_mapping(
		w->generation->egress,
		dp_forward_key(key->destination_be, key->protocol, key->destination_port_be));
}

/* ---- from the Internet ---- */

/* Pods live on the other side: who says from the uplink that it is one is not. */
static bool is_of_cluster(const struct dp_worker *w, uint32_t address_be)
{
	const struct dp_egress *e = w->generation->egress;
	const struct dp_egress_range *range =
		dp_egress_find(e->sources, e->source_count, address_be);

	return range->pool != DP_NONE_SLOT || range->environment != DP_NONE_SLOT;
}

struct dp_flow *dp_nat_inbound_open(struct dp_worker *w, struct dp_pkt *p, struct dp_flow *stale)
{
	const struct dp_flow_key *key = (const struct dp_flow_key *)p->key;
	const struct dp_egress_mapping *mapping = find_mapping(w, key);
	struct dp_flow_key outward = { .destination_be = key->source_be,
		                       .destination_port_be = key->source_port_be,
		                       .protocol = key->protocol,
		                       .direction = DP_FLOW_OUTWARD,
		                       .environment = DP_SCOPE_EGRESS };
	struct dp_session_plan plan = { .outward = &outward,
		                        .tunnel = DP_NONE_SLOT,
		                        .environment = DP_NONE_SLOT,
		                        .kind = DP_SESSION_INBOUND };
	struct dp_tcp_segment segment;
	struct dp_flow *f = NULL;

	p->verdict = DP_EGRESS_UNSOLICITED;
	if (!mapping)
		return NULL;
	p->verdict = DP_IP_ADDRESS;
	if (is_of_cluster(w, key->source_be))
		return NULL;
	p->verdict = (uint8_t)dp_session_check_opening(p, &segment, DP_EGRESS_UNSOLICITED);
	if (p->verdict != DP_OK)
		return NULL;
	if (stale)
		dp_session_end(w, dp_flow_session(w->flows, stale));
	outward.source_be = mapping->to_address_be;
	outward.source_port_be = mapping->to_port_be;
	plan.environment = dp_egress_find(w->generation->egress->sources,
	                                  w->generation->egress->source_count, outward.source_be)
	                           ->environment;
	p->verdict = DP_SESSION_QUOTA;
	if (dp_share_in(w->shares, DP_SHARE_INBOUND)->sessions >= w->flows->capacity / INBOUND_PART)
		return NULL;
	p->verdict = (uint8_t)dp_share_admit(w, DP_SHARE_INBOUND);
	if (p->verdict != DP_OK)
		return NULL;
	p->verdict = (uint8_t)dp_session_add(w, &plan, key, &f);
	if (p->verdict != DP_OK)
		return NULL;
	if (p->protocol == IPPROTO_TCP)
		dp_tcp_open(dp_flow_other(f), f, &segment);
	return dp_flow_other(f);
}

/* ---- from the cluster ---- */

static struct dp_flow *open_hairpin(struct dp_worker *w, struct dp_pkt *p, struct dp_flow *stale)
{
	const struct dp_flow_key *key = (const struct dp_flow_key *)p->key;
	const struct dp_egress *e = w->generation->egress;
	const struct dp_egress_range *source =
		dp_egress_find(e->sources, e->source_count, key->source_be);
	const struct dp_egress_mapping *mapping = find_mapping(w, key);
	struct dp_session_plan plan = { .outward = key,
		                        .hash = p->hash,
		                        .tunnel = DP_NONE_SLOT,
		                        .environment = source->environment,
		                        .kind = DP_SESSION_HAIRPIN };
	struct dp_tcp_segment segment;
	struct dp_flow *f = NULL;

	p->environment = source->environment;
	p->verdict = DP_EGRESS_DESTINATION;
	if (!mapping)
		return NULL;
	p->verdict = DP_EGRESS_SOURCE;
	if (source->pool == DP_NONE_SLOT)
		return NULL;
	p->verdict = (uint8_t)dp_session_check_opening(p, &segment, DP_NO_SESSION);
	if (p->verdict != DP_OK)
		return NULL;
	if (stale)
		dp_session_end(w, dp_flow_session(w->flows, stale));
	plan.sequence = segment.sequence;
	plan.endpoint = (struct dp_port_endpoint){ .inner_be = key->destination_be,
		                                   .remote_be = mapping->to_address_be,
		                                   .remote_port_be = mapping->to_port_be,
		                                   .scope = DP_SCOPE_EGRESS,
		                                   .protocol = key->protocol,
		                                   .direction = DP_FLOW_OUTWARD };
	p->verdict = (uint8_t)dp_session_create(w, &plan, &f);
	if (p->verdict == DP_PORTS_EXHAUSTED)
		p->verdict = DP_EGRESS_PORTS;
	if (p->verdict == DP_OK && p->protocol == IPPROTO_TCP)
		dp_tcp_open(f, dp_flow_other(f), &segment);
	return f;
}

static void hairpin(struct dp_worker *w, struct dp_pkt *p)
{
	uint16_t mtu = w->ports[DP_PORT_CLUSTER].mtu, mss = (uint16_t)(mtu - 40);
	enum dp_tcp_verdict tracked;
	struct dp_flow *f;

	p->verdict = (uint8_t)dp_nat_check_header(p);
	if (p->verdict != DP_OK)
		return;
	if (dp_nat_is_too_big(p, mtu)) {
		p->limit = mtu;
		p->verdict = DP_TOO_BIG;
		return;
	}
	p->hash = dp_flow_key_load(w->flows, p->key, p->l3,
	                           dp_flow_word(p->protocol, DP_FLOW_OUTWARD, DP_SCOPE_EGRESS));
	f = dp_flow_lookup(w->flows, (const struct dp_flow_key *)p->key, p->hash);
	tracked = f ? dp_nat_track(w, p, f) : DP_TCP_REOPEN;
	if (tracked == DP_TCP_REFUSE)
		p->verdict = DP_TCP_STATE;
	else if (tracked == DP_TCP_REOPEN)
		f = open_hairpin(w, p, f);
	if (p->verdict != DP_OK)
		return;
	p->flow = f;
	dp_nat_leave(p, DP_PORT_CLUSTER, f->destination_be);
	dp_nat_translate(w, p, f, mss);
}

void dp_nat_hairpin(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (b->p[i].verdict == DP_OK)
			hairpin(w, &b->p[i]);
	}
}

/* ---- after a new generation ---- */

bool dp_nat_inbound_allows(struct dp_worker *w, uint32_t session)
{
	const struct dp_flow *out = dp_flow_at(w->flows, session, DP_FLOW_OUTWARD), *in = out + 1;
	bool is_hairpin = w->flows->cold[session].kind == DP_SESSION_HAIRPIN;
	/* who calls the mapped port, as it came, and what it became */
	const struct dp_flow *call = is_hairpin ? out : in;
	const struct dp_egress_mapping *mapping = find_mapping(w, &call->key);
	/* the pod's range: of the caller, or of the mapped one */
	const struct dp_egress_range *source =
		dp_egress_find(w->generation->egress->sources, w->generation->egress->source_count,
	                       out->key.source_be);

	if (!mapping || mapping->to_address_be != call->destination_be ||
	    mapping->to_port_be != call->destination_port_be)
		return false;
	if (is_hairpin && source->pool == DP_NONE_SLOT)
		return false;
	if (source->environment != w->flows->cold[session].environment)
		dp_session_set_environment(w, session, source->environment);
	return true;
}
