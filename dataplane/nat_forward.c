/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarding stages: key and bucket of the whole burst, then its flows' lines, then the
 * packets.
 */
#include "dataplane/nat_forward.h"

#include <errno.h>
#include <netinet/in.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "dataplane/ipv4.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_reclaim.h"
#include "dataplane/nat_rewrite.h"
#include "dataplane/port.h"
#include "dataplane/portpool.h"
#include "dataplane/tcp_track.h"

#define IPV4_HEADER 20u
#define IPV4_TTL 8u
#define TCP_FLAGS (IPV4_HEADER + 13u)
#define TCP_CONTROL (DP_TCP_SYN | DP_TCP_FIN | DP_TCP_RST | DP_TCP_ACK)
#define SWEEP_AT_ONCE 4096u /* sessions; some 0.1 ms */
#define LIST_AT_ONCE 4096u

static uint16_t load16_be(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static uint32_t load32_be(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* ---- sessions ---- */

static struct dp_port_endpoint endpoint_of(const struct dp_flow *out)
{
	return (struct dp_port_endpoint){ .inner_be = out->source_be,
		                          .remote_be = out->destination_be,
		                          .remote_port_be = out->destination_port_be,
		                          .scope = out->key.environment,
		                          .protocol = out->key.protocol };
}

static void end_session(struct dp_worker *w, uint32_t session)
{
	const struct dp_flow *out = dp_flow_at(w->flows, session, DP_FLOW_OUTWARD);
	struct dp_port_endpoint endpoint = endpoint_of(out);

	dp_portpool_release(w->portpool, &endpoint, out->source_port_be);
	w->environments[out->key.environment].sessions--;
	w->count->sessions_ended++;
	w->count->sessions_now--;
	dp_flow_del(w->flows, session);
}

static bool is_source_allowed(const struct dp_environment *e, uint32_t source_be)
{
	for (uint32_t i = 0; i < e->source_count; i++) {
		const struct ipc_prefix *s = &e->sources[i];
		uint32_t mask = s->length ? UINT32_MAX << (32 - s->length) : 0;

		if (((source_be ^ s->address_be) & rte_cpu_to_be_32(mask)) == 0)
			return true;
	}
	return false;
}

static bool is_usable(const struct dp_worker *w, uint16_t tunnel)
{
	return tunnel != DP_NONE_SLOT && w->tunnels[tunnel].is_up && w->tunnels[tunnel].inner_be;
}

/* What may be cut is, behind translation. */
static inline bool is_too_big(const struct dp_pkt *p, uint16_t mtu)
{
	return unlikely(p->l3_length > mtu) && dp_ipv4_has_df(p->l3);
}

/* The forward's preferred tunnel, else the environment's active one, else none. */
static uint16_t choose_tunnel(const struct dp_worker *w, const struct dp_forward *fwd)
{
	uint16_t active = w->environments[fwd->environment].active;

	if (is_usable(w, fwd->tunnel))
		return fwd->tunnel;
	return is_usable(w, active) ? active : DP_NONE_SLOT;
}

/* Fills in both flows of a new session but for tracking. */
static void fill_session(struct dp_flow *out, struct dp_flow *in, uint16_t tunnel)
{
	out->source_be = in->key.destination_be;
	out->source_port_be = in->key.destination_port_be;
	out->destination_be = in->key.source_be;
	out->destination_port_be = in->key.source_port_be;
	in->source_be = out->key.destination_be;
	in->source_port_be = out->key.destination_port_be;
	in->destination_be = out->key.source_be;
	in->destination_port_be = out->key.source_port_be;
	out->tunnel = in->tunnel = tunnel;
	dp_nat_rewrite_prepare(out);
	dp_nat_rewrite_prepare(in);
}

/* A port towards the endpoint; for a TCP connection with this initial sequence number also that of
 * one that is over. */
static int find_port(struct dp_worker *w, const struct dp_port_endpoint *endpoint,
                     uint32_t sequence, uint16_t *port_be)
{
	int rc = dp_portpool_take(w->portpool, endpoint, port_be);
	uint32_t session;

	if (likely(rc != -EADDRINUSE) || endpoint->protocol != IPPROTO_TCP)
		return rc;
	session = dp_nat_reclaim_find(w, endpoint, sequence);
	if (session == DP_FLOW_NONE)
		return rc;
	end_session(w, session);
	w->count->sessions_reclaimed++;
	return dp_portpool_take(w->portpool, endpoint, port_be);
}

/* Takes a port and a place in the table. DP_OK and the outward flow, or why not. */
static enum dp_verdict create_session(struct dp_worker *w, const struct dp_forward *fwd,
                                      const struct dp_flow_key *key, uint16_t tunnel,
                                      uint32_t sequence, struct dp_flow **flow)
{
	struct dp_port_endpoint endpoint = { .inner_be = w->tunnels[tunnel].inner_be,
		                             .remote_be = fwd->to_address_be,
		                             .remote_port_be = fwd->to_port_be,
		                             .scope = fwd->environment,
		                             .protocol = key->protocol };
	struct dp_flow_key inward = { .source_be = fwd->to_address_be,
		                      .source_port_be = fwd->to_port_be,
		                      .destination_be = endpoint.inner_be,
		                      .protocol = key->protocol,
		                      .direction = DP_FLOW_INWARD,
		                      .environment = fwd->environment };
	enum dp_flow_state state = key->protocol == IPPROTO_UDP ? DP_FLOW_UDP : DP_FLOW_OPENING;

	if (find_port(w, &endpoint, sequence, &inward.destination_port_be) < 0)
		return DP_PORTS_EXHAUSTED;
	if (dp_flow_add(w->flows, key, &inward, state, w->now_s, flow) < 0) {
		dp_portpool_release(w->portpool, &endpoint, inward.destination_port_be);
		return DP_SESSION_TABLE_FULL;
	}
	fill_session(*flow, dp_flow_other(*flow), tunnel);
	dp_flow_schedule(w->flows, dp_flow_session(w->flows, *flow),
	                 w->now_s + dp_flow_timeout_s(state));
	w->environments[fwd->environment].sessions++;
	w->count->sessions_created++;
	w->count->sessions_now++;
	return DP_OK;
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
	struct dp_tcp_segment segment = { 0 };
	struct dp_flow *f = NULL;
	uint16_t tunnel;

	if (p->protocol == IPPROTO_TCP) {
		p->verdict = DP_L4_HEADER;
		if (!dp_tcp_read(p->l3 + IPV4_HEADER, p->l3_length - IPV4_HEADER, &segment))
			return NULL;
		p->verdict = (uint8_t)refusal;
		if (!dp_tcp_is_opening(&segment))
			return NULL;
	}
	p->verdict = DP_NO_FORWARD;
	if (!e)
		return NULL;
	p->verdict = DP_SOURCE_REFUSED;
	if (!is_source_allowed(e, key->source_be))
		return NULL;
	p->verdict = DP_NO_TUNNEL;
	tunnel = choose_tunnel(w, fwd);
	if (tunnel == DP_NONE_SLOT)
		return NULL;
	p->verdict = DP_TOO_BIG;
	p->limit = w->tunnels[tunnel].inner_mtu;
	if (is_too_big(p, p->limit))
		return NULL;
	if (stale)
		end_session(w, dp_flow_session(w->flows, stale));
	p->verdict = DP_SESSION_QUOTA;
	if (w->environments[fwd->environment].sessions >= e->session_quota)
		return NULL;
	p->verdict = (uint8_t)create_session(w, fwd, key, tunnel, segment.sequence, &f);
	if (p->verdict == DP_OK && p->protocol == IPPROTO_TCP)
		dp_tcp_open(f, dp_flow_other(f), &segment);
	return f;
}

/* ---- one packet ---- */

/* A TCP segment that is not ordinary data or acknowledgement of an established session. */
static __rte_noinline enum dp_tcp_verdict track_slow(struct dp_worker *w, const struct dp_pkt *p,
                                                     struct dp_flow *f)
{
	uint32_t before = dp_flow_timeout_s(f->state), after;
	struct dp_tcp_segment segment;
	enum dp_tcp_verdict verdict;

	if (!dp_tcp_read(p->l3 + IPV4_HEADER, p->l3_length - IPV4_HEADER, &segment))
		return DP_TCP_REFUSE;
	verdict = dp_tcp_track(f, dp_flow_other(f), &segment);
	after = dp_flow_timeout_s(f->state);
	if (after < before) /* the wheel finds longer ones itself */
		dp_flow_schedule(w->flows, dp_flow_session(w->flows, f), w->now_s + after);
	return verdict;
}

static inline enum dp_tcp_verdict track(struct dp_worker *w, const struct dp_pkt *p,
                                        struct dp_flow *f)
{
	const uint8_t *tcp = p->l3 + IPV4_HEADER;
	unsigned room, header;

	if (f->state == DP_FLOW_UDP)
		return DP_TCP_PASS;
	room = p->l3_length - IPV4_HEADER;
	header = (tcp[12] >> 4) * 4u;
	if (unlikely(f->state != DP_FLOW_ESTABLISHED || (tcp[13] & TCP_CONTROL) != DP_TCP_ACK ||
	             header - DP_TCP_HEADER_MIN > room - DP_TCP_HEADER_MIN))
		return track_slow(w, p, f);
	dp_tcp_track_established(f, rte_be_to_cpu_32(load32_be(tcp + 4)) + room - header,
	                         rte_be_to_cpu_32(load32_be(tcp + 8)),
	                         rte_be_to_cpu_16(load16_be(tcp + 14)));
	return DP_TCP_PASS;
}

static inline void translate(const struct dp_worker *w, const struct dp_pkt *p, struct dp_flow *f)
{
	uint8_t *tcp = p->l3 + IPV4_HEADER;

	dp_nat_rewrite(p->l3, f);
	if (p->protocol == IPPROTO_TCP &&
	    unlikely(p->l3[TCP_FLAGS] & DP_TCP_SYN)) /* tracking has checked the header */
		dp_nat_clamp_mss(tcp, (tcp[12] >> 4) * 4u, w->tunnels[f->tunnel].mss);
	f->bytes += p->l3_length;
	if (f->last_s != w->now_s)
		f->last_s = w->now_s;
}

/* What the parser does not check. */
static inline enum dp_verdict check_header(const struct dp_pkt *p)
{
	if (unlikely(p->l3_header != IPV4_HEADER))
		return DP_IP_OPTIONS;
	return unlikely(p->l3[IPV4_TTL] <= 1) ? DP_TTL : DP_OK;
}

static inline void find_candidates(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if (likely(p->verdict == DP_OK))
			p->flow = dp_flow_candidate(w->flows, p->hash);
	}
}

static inline struct dp_flow *find_flow(struct dp_worker *w, const struct dp_pkt *p)
{
	struct dp_flow *f = p->flow;

	if (likely(f && dp_flow_is(f, p->key)))
		return f;
	return dp_flow_lookup(w->flows, (const struct dp_flow_key *)p->key, p->hash);
}

/* ---- from the cluster ---- */

static inline const struct dp_forward *prepare_out(const struct dp_worker *w, struct dp_pkt *p)
{
	const struct dp_forward *fwd;

	p->verdict = unlikely(!w->generation) ? DP_NO_CONFIGURATION : (uint8_t)check_header(p);
	if (unlikely(p->verdict != DP_OK))
		return NULL;
	fwd = dp_forward_lookup(w->generation, dp_forward_key(load32_be(p->l3 + 16), p->protocol,
	                                                      load16_be(p->l3 + IPV4_HEADER + 2)));
	if (unlikely(!fwd)) {
		p->verdict = DP_NO_FORWARD;
		return NULL;
	}
	p->environment = fwd->environment;
	dp_flow_key_load(p->key, p->l3,
	                 dp_flow_word(p->protocol, DP_FLOW_OUTWARD, fwd->environment));
	p->hash = dp_flow_hash(w->flows, p->key);
	dp_flow_prefetch(w->flows, p->hash);
	return fwd;
}

/* Why the session cannot carry this packet any more, or DP_OK. */
static inline enum dp_verdict check_session(const struct dp_worker *w, const struct dp_flow *f,
                                            const struct dp_forward *fwd)
{
	const struct dp_tunnel *t = &w->tunnels[f->tunnel];

	if (unlikely(f->destination_be != fwd->to_address_be ||
	             f->destination_port_be != fwd->to_port_be))
		return DP_NO_SESSION;
	return unlikely(!t->is_up || t->inner_be != f->source_be) ? DP_NO_TUNNEL : DP_OK;
}

static inline void forward_out(struct dp_worker *w, struct dp_pkt *p, const struct dp_forward *fwd)
{
	struct dp_environment_state *state = &w->environments[fwd->environment];
	struct dp_flow *f = find_flow(w, p);
	enum dp_verdict obstacle = likely(f != NULL) ? check_session(w, f, fwd) : DP_NO_SESSION;
	enum dp_tcp_verdict tracked;

	p->flow = NULL; /* until the packet is rewritten: before, it can be answered */
	if (unlikely(obstacle == DP_OK && is_too_big(p, w->tunnels[f->tunnel].inner_mtu))) {
		p->limit = w->tunnels[f->tunnel].inner_mtu;
		p->verdict = DP_TOO_BIG;
		return;
	}
	tracked = likely(obstacle == DP_OK) ? track(w, p, f) : DP_TCP_REOPEN;
	if (unlikely(tracked == DP_TCP_REFUSE)) {
		p->verdict = DP_TCP_STATE;
		return;
	}
	if (unlikely(tracked == DP_TCP_REOPEN)) {
		f = open_session(w, p, fwd, f, obstacle);
		if (!f)
			return;
	}
	p->flow = f;
	p->tunnel = f->tunnel;
	translate(w, p, f);
	state->packets_out++;
	state->bytes_out += p->l3_length;
}

void dp_nat_forward_out(struct dp_worker *w, struct dp_batch *b)
{
	const struct dp_forward *fwd[DP_BURST];

	for (unsigned i = 0; i < b->n; i++)
		fwd[i] = likely(b->p[i].verdict == DP_OK) ? prepare_out(w, &b->p[i]) : NULL;
	find_candidates(w, b);
	for (unsigned i = 0; i < b->n; i++) {
		if (likely(fwd[i] != NULL))
			forward_out(w, &b->p[i], fwd[i]);
	}
}

/* ---- from a tunnel ---- */

static inline void prepare_in(const struct dp_worker *w, struct dp_pkt *p)
{
	p->verdict = (uint8_t)check_header(p);
	if (unlikely(p->verdict != DP_OK))
		return;
	if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)) {
		p->verdict = DP_INNER_NO_SESSION;
		return;
	}
	dp_flow_key_load(p->key, p->l3, dp_flow_word(p->protocol, DP_FLOW_INWARD, p->environment));
	p->hash = dp_flow_hash(w->flows, p->key);
	dp_flow_prefetch(w->flows, p->hash);
}

static inline void forward_in(struct dp_worker *w, struct dp_pkt *p)
{
	struct dp_environment_state *state = &w->environments[p->environment];
	struct dp_flow *f = find_flow(w, p);

	if (unlikely(!f || f->tunnel != p->tunnel)) {
		p->flow = NULL;
		p->verdict = DP_INNER_NO_SESSION;
		return;
	}
	if (unlikely(is_too_big(p, w->ports[DP_PORT_CLUSTER].mtu))) {
		p->flow = NULL;
		p->limit = w->ports[DP_PORT_CLUSTER].mtu;
		p->verdict = DP_TOO_BIG;
		return;
	}
	if (unlikely(track(w, p, f) != DP_TCP_PASS)) {
		p->verdict = DP_TCP_STATE;
		return;
	}
	p->flow = f;
	p->nexthop_be = f->destination_be;
	p->port = DP_PORT_CLUSTER;
	translate(w, p, f);
	state->packets_in++;
	state->bytes_in += p->l3_length;
}

void dp_nat_forward_in(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (likely(b->p[i].verdict == DP_OK))
			prepare_in(w, &b->p[i]);
	}
	find_candidates(w, b);
	for (unsigned i = 0; i < b->n; i++) {
		if (likely(b->p[i].verdict == DP_OK))
			forward_in(w, &b->p[i]);
	}
}

/* ---- between bursts ---- */

static uint32_t last_seen_s(struct dp_flow_table *t, uint32_t session)
{
	uint32_t out_s = dp_flow_at(t, session, DP_FLOW_OUTWARD)->last_s;
	uint32_t in_s = dp_flow_at(t, session, DP_FLOW_INWARD)->last_s;

	return (int32_t)(out_s - in_s) > 0 ? out_s : in_s;
}

static bool is_forwarded(const struct dp_worker *w, const struct dp_flow *out)
{
	const struct dp_forward *fwd = dp_forward_lookup(
		w->generation, dp_forward_key(out->key.destination_be, out->key.protocol,
	                                      out->key.destination_port_be));

	return fwd && fwd->environment == out->key.environment &&
	       fwd->to_address_be == out->destination_be &&
	       fwd->to_port_be == out->destination_port_be &&
	       w->generation->by_slot[fwd->environment] &&
	       is_source_allowed(w->generation->by_slot[fwd->environment], out->key.source_be);
}

/* Goes on with the purge of forwards, BUDGET places of the pool further. */
static unsigned sweep(struct dp_worker *w, unsigned budget)
{
	struct dp_flow_table *t = w->flows;
	unsigned ended = 0;

	while (t->sweep != DP_FLOW_NONE && budget-- > 0) {
		const struct dp_flow *out = dp_flow_at(t, t->sweep, DP_FLOW_OUTWARD);

		if (t->sweep >= t->top) {
			t->sweep = DP_FLOW_NONE;
			break;
		}
		if (out->state != DP_FLOW_FREE && !is_forwarded(w, out)) {
			end_session(w, t->sweep);
			ended++;
		}
		t->sweep++;
	}
	return ended;
}

unsigned dp_nat_expire(struct dp_worker *w, unsigned budget)
{
	struct dp_flow_table *t = w->flows;
	unsigned ended = sweep(w, budget);

	while (budget-- > 0) {
		uint32_t session = dp_flow_due(t, w->now_s), deadline_s;

		if (session == DP_FLOW_NONE)
			break;
		deadline_s = last_seen_s(t, session) +
		             dp_flow_timeout_s(dp_flow_at(t, session, DP_FLOW_OUTWARD)->state);
		if ((int32_t)(deadline_s - w->now_s) > 0) {
			dp_flow_schedule(t, session, deadline_s);
			continue;
		}
		end_session(w, session);
		ended++;
	}
	return ended;
}

void dp_nat_environment_purge(struct dp_worker *w, uint16_t slot)
{
	struct dp_flow_table *t = w->flows;

	for (uint32_t i = 0; i < t->top && w->environments[slot].sessions > 0; i++) {
		if (t->cold[i].environment == slot &&
		    dp_flow_at(t, i, DP_FLOW_OUTWARD)->state != DP_FLOW_FREE)
			end_session(w, i);
	}
}

void dp_nat_tunnel_purge(struct dp_worker *w, uint16_t tunnel)
{
	struct dp_flow_table *t = w->flows;

	for (uint32_t i = 0; i < t->top; i++) {
		const struct dp_flow *f = dp_flow_at(t, i, DP_FLOW_OUTWARD);

		if (f->tunnel == tunnel && f->state != DP_FLOW_FREE)
			end_session(w, i);
	}
}

void dp_nat_forward_purge(struct dp_worker *w)
{
	w->flows->sweep = 0;
	sweep(w, SWEEP_AT_ONCE);
}

/* ---- listing ---- */

static enum ipc_session_state public_state(enum dp_flow_state state)
{
	switch (state) {
	case DP_FLOW_OPENING:
	case DP_FLOW_ANSWERED:
		return IPC_SESSION_OPENING;
	case DP_FLOW_ESTABLISHED:
		return IPC_SESSION_ESTABLISHED;
	case DP_FLOW_CLOSING:
		return IPC_SESSION_CLOSING;
	case DP_FLOW_UDP:
		return IPC_SESSION_UDP;
	default:
		return IPC_SESSION_CLOSED;
	}
}

static void describe(const struct dp_worker *w, uint32_t session, struct ipc_session *s,
                     struct dp_nat_slots *slots)
{
	struct dp_flow_table *t = w->flows;
	const struct dp_flow *out = dp_flow_at(t, session, DP_FLOW_OUTWARD);
	const struct dp_flow *in = dp_flow_at(t, session, DP_FLOW_INWARD);

	*s = (struct ipc_session){
		.client_be = out->key.source_be,
		.inner_be = out->source_be,
		.target_be = out->destination_be,
		.client_port_be = out->key.source_port_be,
		.forward_port_be = out->key.destination_port_be,
		.inner_port_be = out->source_port_be,
		.target_port_be = out->destination_port_be,
		.protocol = out->key.protocol,
		.state = public_state(out->state),
		.age_s = w->now_s - t->cold[session].created_s,
		.idle_s = w->now_s - last_seen_s(t, session),
		.bytes_out = out->bytes,
		.bytes_in = in->bytes,
	};
	*slots =
		(struct dp_nat_slots){ .environment = out->key.environment, .tunnel = out->tunnel };
}

unsigned dp_nat_list(struct dp_worker *w, uint64_t cursor, uint16_t environment,
                     struct ipc_session *sessions, struct dp_nat_slots *slots, unsigned max,
                     uint64_t *next)
{
	struct dp_flow_table *t = w->flows;
	unsigned count = 0;
	uint64_t i = cursor;

	for (unsigned looked = 0; i < t->top && count < max && looked < LIST_AT_ONCE;
	     i++, looked++) {
		uint32_t session = (uint32_t)i;

		if (dp_flow_at(t, session, DP_FLOW_OUTWARD)->state == DP_FLOW_FREE)
			continue;
		if (environment != DP_NONE_SLOT && t->cold[session].environment != environment)
			continue;
		describe(w, session, &sessions[count], &slots[count]);
		count++;
	}
	*next = i < t->top ? i : 0;
	return count;
}
