/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports, places and timeouts of sessions; what the operator is shown of them. */
#include "dataplane/nat_session.h"

#include <errno.h>
#include <netinet/in.h>

#include <rte_branch_prediction.h>

#include "dataplane/egress.h"
#include "dataplane/ipv4.h"
#include "dataplane/nat_egress.h"
#include "dataplane/nat_failover.h"
#include "dataplane/nat_forward.h"
#include "dataplane/nat_reclaim.h"
#include "dataplane/nat_rewrite.h"
#include "dataplane/share.h"

#define SWEEP_AT_ONCE 4096u /* looks at sessions; some 0.1 ms */
#define END_COST 8u         /* looks: what ending one takes beyond */
#define LIST_AT_ONCE 4096u

_Static_assert((int)DP_SESSION_EGRESS == (int)IPC_SESSION_EGRESS &&
                       (int)DP_SESSION_HAIRPIN == (int)IPC_SESSION_HAIRPIN,
               "kinds are those of the contract");

/* ---- from beginning to end ---- */

static struct dp_port_endpoint endpoint_of(const struct dp_flow *out)
{
	return (struct dp_port_endpoint){ .inner_be = out->source_be,
		                          .remote_be = out->destination_be,
		                          .remote_port_be = out->destination_port_be,
		                          .scope = out->key.environment,
		                          .protocol = out->key.protocol,
		                          .direction = dp_flow_other(out)->key.direction };
}

/* Whose share a session is part of; what strangers open is counted apart. */
static uint16_t account_of(enum dp_session_kind kind, uint16_t environment)
{
	return kind == DP_SESSION_INBOUND ? DP_SHARE_INBOUND : environment;
}

/* A connection that both sides closed, or that was reset, keeps its place for a while. */
static bool is_over(const struct dp_flow *f)
{
	return f->state == DP_FLOW_TIME_WAIT || f->state == DP_FLOW_CLOSED;
}

/* Counts the session, which is over, in its share (+1), or no longer (-1). */
static void count_closed(struct dp_worker *w, uint32_t session, int change)
{
	const struct dp_flow_cold *cold = &w->flows->cold[session];

	dp_share_in(w->shares, account_of(cold->kind, cold->environment))->closed +=
		(uint32_t)change;
}

void dp_session_end(struct dp_worker *w, uint32_t session)
{
	const struct dp_flow *out = dp_flow_at(w->flows, session, DP_FLOW_OUTWARD);
	const struct dp_flow_cold *cold = &w->flows->cold[session];
	struct dp_port_endpoint endpoint = endpoint_of(out);

	if (cold->kind != DP_SESSION_INBOUND)
		dp_portpool_release(w->portpool, &endpoint, out->source_port_be);
	if (is_over(out))
		count_closed(w, session, -1);
	dp_share_session_ends(w, account_of(cold->kind, cold->environment));
	w->count->sessions_ended++;
	w->count->sessions_now--;
	dp_flow_del(w->flows, session);
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

/* The random number that a session's port is drawn by, the same one all through a burst (RFC 6056:
 * nobody outside knows the hash's seed). */
static uint64_t draw_for(const struct dp_worker *w, uint64_t hash)
{
	uint64_t state = hash + w->now_tsc;

	return dp_random(&state);
}

/* A port of the window towards the endpoint; for a TCP connection also that of one that is over. */
static int find_port(struct dp_worker *w, const struct dp_session_plan *plan,
                     struct dp_port_window window, uint16_t *port_be)
{
	const struct dp_port_endpoint *endpoint = &plan->endpoint;
	uint64_t draw = draw_for(w, plan->hash);
	int rc = dp_portpool_take(w->portpool, endpoint, window, draw, port_be);
	uint32_t session;

	if (likely(rc != -EADDRINUSE) || endpoint->protocol != IPPROTO_TCP)
		return rc;
	session = dp_nat_reclaim_find(w, endpoint, plan->environment, plan->sequence);
	if (session == DP_FLOW_NONE)
		return rc;
	dp_session_end(w, session);
	w->count->sessions_reclaimed++;
	return dp_portpool_take(w->portpool, endpoint, window, draw, port_be);
}

static enum dp_flow_state first_state(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_UDP:
		return DP_FLOW_UDP;
	case IPPROTO_ICMP:
		return DP_FLOW_ECHO;
	default:
		return DP_FLOW_OPENING;
	}
}

enum dp_verdict dp_session_add(struct dp_worker *w, const struct dp_session_plan *plan,
                               const struct dp_flow_key *inward, struct dp_flow **flow)
{
	enum dp_flow_state state = first_state(inward->protocol);
	uint32_t session;

	if (dp_flow_add(w->flows, plan->outward, inward, state, w->now_s, flow) < 0)
		return DP_SESSION_TABLE_FULL;
	session = dp_flow_session(w->flows, *flow);
	fill_session(*flow, dp_flow_other(*flow), plan->tunnel);
	w->flows->cold[session].environment = plan->environment;
	w->flows->cold[session].kind = (uint8_t)plan->kind;
	dp_flow_schedule(w->flows, session, w->now_s + dp_flow_timeout_s(state));
	dp_share_session_begins(w, account_of(plan->kind, plan->environment));
	w->count->sessions_created++;
	w->count->sessions_now++;
	return DP_OK;
}

enum dp_verdict dp_session_create(struct dp_worker *w, const struct dp_session_plan *plan,
                                  struct dp_flow **flow)
{
	const struct dp_port_endpoint *endpoint = &plan->endpoint;
	struct dp_flow_key inward;
	struct dp_port_window window = dp_share_in(w->shares, plan->environment)->ports;
	enum dp_verdict verdict;
	uint16_t port_be;

	verdict = dp_share_admit(w, plan->environment);
	if (verdict != DP_OK)
		return verdict;
	if (find_port(w, plan, window, &port_be) < 0)
		return window.count < DP_PORT_BLOCKS ? DP_PORT_QUOTA : DP_PORTS_EXHAUSTED;
	inward = dp_port_reply_key(endpoint, port_be);
	verdict = dp_session_add(w, plan, &inward, flow);
	if (verdict != DP_OK)
		dp_portpool_release(w->portpool, endpoint, port_be);
	return verdict;
}

void dp_session_expect(struct dp_worker *w, uint64_t hash, const struct dp_port_endpoint *endpoint,
                       uint16_t environment)
{
	dp_portpool_expect(w->portpool, endpoint, dp_share_in(w->shares, environment)->ports,
	                   draw_for(w, hash));
}

enum dp_verdict dp_session_check_opening(const struct dp_pkt *p, struct dp_tcp_segment *segment,
                                         enum dp_verdict refusal)
{
	memset(segment, 0, sizeof(*segment));
	if (p->protocol != IPPROTO_TCP)
		return DP_OK;
	if (!dp_tcp_read(p->l3 + DP_IPV4_HEADER, p->l3_length - DP_IPV4_HEADER, segment))
		return DP_L4_HEADER;
	return dp_tcp_is_opening(segment) ? DP_OK : refusal;
}

enum dp_tcp_verdict dp_session_track(struct dp_worker *w, const struct dp_pkt *p, struct dp_flow *f)
{
	uint32_t before = dp_flow_timeout_s(f->state), after;
	const bool was_over = is_over(f);
	struct dp_tcp_segment segment;
	enum dp_tcp_verdict verdict;

	if (!dp_tcp_read(p->l3 + DP_IPV4_HEADER, p->l3_length - DP_IPV4_HEADER, &segment))
		return DP_TCP_REFUSE;
	verdict = dp_tcp_track(f, dp_flow_other(f), &segment);
	if (is_over(f) && !was_over)
		count_closed(w, dp_flow_session(w->flows, f), 1);
	after = dp_flow_timeout_s(f->state);
	if (after < before) /* the wheel finds longer ones itself */
		dp_flow_schedule(w->flows, dp_flow_session(w->flows, f), w->now_s + after);
	return verdict;
}

/* ---- between bursts ---- */

static uint32_t last_seen_s(struct dp_flow_table *t, uint32_t session)
{
	uint32_t out_s = dp_flow_at(t, session, DP_FLOW_OUTWARD)->last_s;
	uint32_t in_s = dp_flow_at(t, session, DP_FLOW_INWARD)->last_s;

	return (int32_t)(out_s - in_s) > 0 ? out_s : in_s;
}

/* By the generation of now. */
static bool is_allowed(struct dp_worker *w, uint32_t session)
{
	struct dp_flow *out = dp_flow_at(w->flows, session, DP_FLOW_OUTWARD);

	if (out->key.environment == DP_SCOPE_EGRESS)
		return dp_nat_egress_allows(w, session);
	/* one whose tunnel is gone may go on through another one */
	if (unlikely(w->tunnels[out->tunnel].environment != out->key.environment))
		dp_nat_failover_keep(w, out, dp_nat_forward_of(w, out));
	return dp_nat_forward_allows(w, out);
}

void dp_session_set_environment(struct dp_worker *w, uint32_t session, uint16_t environment)
{
	struct dp_flow_cold *cold = &w->flows->cold[session];
	const bool has_closed = is_over(dp_flow_at(w->flows, session, DP_FLOW_OUTWARD));

	if (has_closed)
		count_closed(w, session, -1);
	dp_share_session_ends(w, account_of(cold->kind, cold->environment));
	cold->environment = environment;
	dp_share_session_begins(w, account_of(cold->kind, cold->environment));
	if (has_closed)
		count_closed(w, session, 1);
}

/* Whether clients that cannot be told now that their session ends are left for the next step. */
enum patience { PATIENT, IMPATIENT };

/* Goes on with the sweep, for a time of BUDGET looks. */
static unsigned sweep(struct dp_worker *w, unsigned budget, enum patience patience)
{
	struct dp_flow_table *t = w->flows;
	unsigned ended = 0;

	for (unsigned spent = 0; t->sweep != DP_FLOW_NONE && spent < budget; spent++) {
		struct dp_flow *out = dp_flow_at(t, t->sweep, DP_FLOW_OUTWARD);

		if (t->sweep >= t->top) {
			t->sweep = DP_FLOW_NONE;
			break;
		}
		if (out->state != DP_FLOW_FREE && !is_allowed(w, t->sweep)) {
			if (out->key.environment != DP_SCOPE_EGRESS &&
			    !dp_nat_failover_reset(w, out, NULL) && patience == PATIENT)
				break;
			dp_session_end(w, t->sweep);
			ended++;
			spent += END_COST;
		}
		t->sweep++;
	}
	return ended;
}

/* Sessions whose time has come, at most MAX: sends for their lines. */
static void take_due(struct dp_worker *w, struct dp_flow_due *due, unsigned max)
{
	for (due->n = 0; due->n < max; due->n++) {
		uint32_t session = dp_flow_due(w->flows, w->now_s);

		if (session == DP_FLOW_NONE)
			break;
		dp_flow_prefetch_session(w->flows, session);
		due->sessions[due->n] = session;
	}
}

/* Those whose lines are here: sends for their buckets. */
static void advance_due(struct dp_worker *w, const struct dp_flow_due *due,
                        struct dp_flow_due *next)
{
	for (next->n = 0; next->n < due->n; next->n++) {
		dp_flow_prefetch_buckets(w->flows, due->sessions[next->n]);
		next->sessions[next->n] = due->sessions[next->n];
	}
}

/* Schedules the session anew if it was heard since, or ends it: true. */
static bool end_or_keep(struct dp_worker *w, uint32_t session)
{
	struct dp_flow_table *t = w->flows;
	uint32_t deadline_s = last_seen_s(t, session) +
	                      dp_flow_timeout_s(dp_flow_at(t, session, DP_FLOW_OUTWARD)->state);

	if ((int32_t)(deadline_s - w->now_s) > 0) {
		dp_flow_schedule(t, session, deadline_s);
		return false;
	}
	dp_session_end(w, session);
	return true;
}

/*
 * A session's lines and its buckets come from memory, as a rule. So one turn of the loop sends for
 * the lines, the next one for the buckets, and the one behind ends it. What is not a whole set of
 * sessions is not worth the wait.
 */
unsigned dp_nat_expire(struct dp_worker *w, unsigned budget)
{
	struct dp_flow_table *t = w->flows;
	unsigned ended = sweep(w, budget, PATIENT), set = RTE_MIN(budget, DP_FLOW_DUE_ROOM);

	do {
		for (unsigned i = 0; i < t->next.n; i++)
			if (dp_flow_is_due(t, t->next.sessions[i]))
				ended += end_or_keep(w, t->next.sessions[i]);
		budget -= RTE_MIN(budget, t->next.n);
		advance_due(w, &t->near, &t->next);
		take_due(w, &t->near, set);
	} while (budget && t->next.n + t->near.n);
	return ended;
}

int dp_nat_sweep(struct dp_worker *w)
{
	w->flows->sweep = 0;
	sweep(w, SWEEP_AT_ONCE, PATIENT);
	return w->flows->sweep != DP_FLOW_NONE;
}

int dp_nat_sweep_on(struct dp_worker *w)
{
	sweep(w, SWEEP_AT_ONCE, IMPATIENT);
	return w->flows->sweep != DP_FLOW_NONE;
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
	case DP_FLOW_ECHO:
		return IPC_SESSION_ECHO;
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
		.kind = t->cold[session].kind, /* the contract's numbers are ours */
	};
	*slots = (struct dp_nat_slots){ .environment = t->cold[session].environment,
		                        .tunnel = out->tunnel };
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
