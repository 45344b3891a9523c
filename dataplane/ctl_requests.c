/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function per request; those for leases are in ctl_leases.c. */
#include "dataplane/ctl_requests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/ipc_codec.h"
#include "common/log.h"
#include "dataplane/ctl_leases.h"
#include "dataplane/egress_use.h"
#include "dataplane/exception_port.h"
#include "dataplane/failover.h"
#include "dataplane/nat_session.h"
#include "dataplane/sa_list.h"
#include "dataplane/share.h"

#define LIST_ROOM(type) \
	((sizeof(((struct dp_reply *)0)->body) - sizeof(struct ipc_list)) / sizeof(type))

/* ---- configuration ---- */

static void say_why(struct dp_reply *reply, const char *why)
{
	struct ipc_refusal *refusal = (struct ipc_refusal *)reply->body;

	memset(refusal, 0, sizeof(*refusal));
	snprintf(refusal->reason, sizeof(refusal->reason), "%s", why);
	reply->length = sizeof(*refusal);
}

static void node(struct dp_requests *r, const struct ipc_node *n, struct dp_reply *reply)
{
	char why[256] = "";

	if (r->core->is_started) {
		reply->status = memcmp(&r->core->node, n, sizeof(*n)) == 0 ? 0 : -EBUSY;
		if (reply->status)
			say_why(reply,
			        "the dataplane runs with another node configuration; restart it to use this one");
		return;
	}
	reply->status = dp_core_start(r->core, n, why);
	if (reply->status) {
		sp_log(SP_LOG_ERR, "core: cannot start reason=\"%s\"", why);
		say_why(reply, why);
	}
}

static void commit(struct dp_requests *r, const struct ipc_generation *g, struct dp_reply *reply)
{
	char why[256] = "";
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	reply->status = dp_staging_commit(r->staging, r->core, g->generation, why);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (reply->status) {
		sp_log(SP_LOG_ERR, "commit: refused generation=%llu reason=\"%s\"",
		       (unsigned long long)g->generation, why);
		say_why(reply, why);
		return;
	}
	sp_log(SP_LOG_INFO, "commit: applied generation=%llu environments=%u forwards=%u ms=%ld",
	       (unsigned long long)g->generation, r->core->generation->environment_count,
	       r->core->generation->forward_count,
	       (long)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000));
}

/* ---- lists: the cursor is the worker's index + 1 in the top 16 bits, its own cursor below ---- */

#define CURSOR_SHIFT 48

struct list_request {
	uint64_t cursor;
	uint64_t next;
	unsigned max;
	unsigned count;
	struct ipc_sa_info *infos;
	struct ipc_session *sessions;
	struct dp_nat_slots *slots;
	uint16_t environment;
};

static void finish_list(struct dp_reply *reply, uint64_t next, unsigned count, size_t entry)
{
	*(struct ipc_list *)reply->body =
		(struct ipc_list){ .next = next, .count = count, .entry_size = (uint32_t)entry };
	reply->length = sizeof(struct ipc_list) + count * entry;
}

/* Lets FN list on the worker that the cursor names. Returns the cursor to go on with. */
static uint64_t list_on_worker(struct dp_core *core, uint64_t cursor, dp_worker_fn fn,
                               struct list_request *q)
{
	uint64_t worker = cursor >> CURSOR_SHIFT;

	if (worker >= core->worker_count)
		return 0;
	q->cursor = cursor & ((1ull << CURSOR_SHIFT) - 1);
	dp_worker_call(core->workers[worker], fn, q);
	if (q->next)
		return worker << CURSOR_SHIFT | q->next;
	return worker + 1 < core->worker_count ? (worker + 1) << CURSOR_SHIFT : 0;
}

static int on_sa_list(struct dp_worker *w, void *argument)
{
	struct list_request *q = argument;

	q->count = dp_sa_list(w, q->cursor, q->infos, q->max, &q->next);
	return 0;
}

static void sa_list(struct dp_requests *r, const struct ipc_cursor *c, struct dp_reply *reply)
{
	struct list_request q = { .max = LIST_ROOM(struct ipc_sa_info),
		                  .infos = (struct ipc_sa_info *)(reply->body +
		                                                  sizeof(struct ipc_list)) };
	uint64_t next = list_on_worker(r->core, c->cursor, on_sa_list, &q);

	finish_list(reply, next, q.count, sizeof(struct ipc_sa_info));
}

static int on_session_list(struct dp_worker *w, void *argument)
{
	struct list_request *q = argument;

	q->count =
		dp_nat_list(w, q->cursor, q->environment, q->sessions, q->slots, q->max, &q->next);
	return 0;
}

static void sessions(struct dp_requests *r, const struct ipc_session_query *query,
                     struct dp_reply *reply)
{
	struct dp_nat_slots slots[LIST_ROOM(struct ipc_session)];
	struct list_request q = {
		.max = RTE_MIN(query->limit, (uint32_t)LIST_ROOM(struct ipc_session)),
		.sessions = (struct ipc_session *)(reply->body + sizeof(struct ipc_list)),
		.slots = slots,
		.environment = DP_NONE_SLOT
	};
	uint64_t next;

	if (*query->environment) {
		q.environment = dp_core_find_environment(r->core, query->environment);
		if (q.environment == DP_NONE_SLOT) {
			reply->status = -ENOENT;
			return;
		}
	}
	next = list_on_worker(r->core, query->cursor, on_session_list, &q);
	for (unsigned i = 0; i < q.count; i++) {
		struct ipc_tunnel *names = &q.sessions[i].tunnel;

		if (slots[i].environment != DP_NONE_SLOT)
			memcpy(names->environment,
			       r->core->environment_slots[slots[i].environment].environment,
			       IPC_NAME_LEN);
		if (slots[i].tunnel != DP_NONE_SLOT)
			memcpy(names->server, r->core->tunnel_slots[slots[i].tunnel].server,
			       IPC_NAME_LEN);
	}
	finish_list(reply, next, q.count, sizeof(struct ipc_session));
}

/* What to fill in; each worker does so for what it is the home of, and alone knows while packets
 * flow. */
struct state_request {
	const struct dp_core *core;
	uint32_t first; /* of the generation */
	uint32_t count;
	struct ipc_environment_state *out;
};

/* A worker's part of what belongs to an environment on all of them. */
static void add_share(struct ipc_environment_state *out, const struct dp_share *s)
{
	out->sessions += s->sessions;
	out->sessions_closed += s->closed;
	out->refused_sessions += s->refused_sessions;
	out->refused_ports += s->refused_ports;
	out->refused_sources += s->refused_sources;
	out->rate_dropped_out += s->rate_dropped_out;
	out->rate_dropped_in += s->rate_dropped_in;
	if (s->refused_source_be)
		out->refused_source_be = s->refused_source_be;
}

static void describe_move(const struct dp_core *core, const struct dp_worker *w,
                          const struct dp_environment_state *s, struct ipc_environment_state *out)
{
	if (s->move_counter && s->moved_from != DP_NONE_SLOT)
		memcpy(out->moved_from, core->tunnel_slots[s->moved_from].server, IPC_NAME_LEN);
	out->moved_ns = s->moved_ns;
	out->detection_ns = s->detection_ns;
	out->switch_ns = s->switch_ns;
	memcpy(out->moves, s->moves, sizeof(out->moves));
	out->sessions_kept = s->sessions_kept;
	out->sessions_reset = s->sessions_reset;
	out->move_reason = s->move_reason;
	out->is_settled = s->is_settled || !s->moved_ns;
	out->is_lost = s->active != DP_NONE_SLOT &&
	               w->tunnels[s->active].liveness.state == IPC_LIVENESS_DEAD;
}

static int on_state(struct dp_worker *w, void *argument)
{
	const struct state_request *q = argument;

	for (uint32_t n = 0; n < q->count; n++) {
		const struct dp_environment *e = &q->core->generation->environments[q->first + n];
		const struct dp_environment_state *s = &w->environments[e->slot];
		struct ipc_environment_state *out = &q->out[n];

		add_share(out, dp_share_in(w->shares, e->slot));
		if (e->home != w->index)
			continue;
		memcpy(out->name, e->name, IPC_NAME_LEN);
		if (s->active != DP_NONE_SLOT)
			memcpy(out->active, q->core->tunnel_slots[s->active].server, IPC_NAME_LEN);
		out->move_counter = s->move_counter;
		out->packets_out = s->packets_out;
		out->bytes_out = s->bytes_out;
		out->packets_in = s->packets_in;
		out->bytes_in = s->bytes_in;
		out->home_worker = e->home;
		describe_move(q->core, w, s, out);
	}
	return 0;
}

static void state(struct dp_requests *r, const struct ipc_cursor *c, struct dp_reply *reply)
{
	uint32_t all = r->core->generation ? r->core->generation->environment_count : 0, end;
	struct state_request q = {
		.core = r->core,
		.out = (struct ipc_environment_state *)(reply->body + sizeof(struct ipc_list))
	};

	q.first = (uint32_t)RTE_MIN(c->cursor, (uint64_t)all);
	q.count = RTE_MIN(all - q.first, (uint32_t)LIST_ROOM(*q.out));
	end = q.first + q.count;
	memset(q.out, 0, q.count * sizeof(*q.out));
	dp_core_call_all(r->core, on_state, &q);
	finish_list(reply, end < all ? end : 0, q.count, sizeof(*q.out));
}

struct tunnels_request {
	const struct dp_core *core;
	uint32_t count;
	struct ipc_tunnel_info *out;
	uint16_t slots[LIST_ROOM(struct ipc_tunnel_info)];
};

static void describe_liveness(const struct dp_liveness *l, struct ipc_tunnel_info *out)
{
	out->alive_since_ns = l->alive_since_ns;
	out->answered_ns = l->answered_ns;
	out->probes_sent = l->asked;
	out->probes_answered = l->answered;
	out->probes_missed = l->missed;
	out->deaths = l->deaths;
	out->rtt_us = (uint32_t)((l->srtt_ns + 999) / 1000);
	out->rtt_deviation_us = (uint32_t)(l->rttvar_ns / 1000);
	out->liveness = l->state;
}

static int on_tunnels(struct dp_worker *w, void *argument)
{
	const struct tunnels_request *q = argument;

	for (uint32_t n = 0; n < q->count; n++) {
		const struct dp_slot *slot = &q->core->tunnel_slots[q->slots[n]];
		const struct dp_tunnel *t = &w->tunnels[q->slots[n]];
		struct ipc_tunnel_info *out = &q->out[n];

		if (dp_core_home(q->core, slot->environment_slot) != w->index)
			continue;
		memcpy(out->id.environment, slot->environment, IPC_NAME_LEN);
		memcpy(out->id.server, slot->server, IPC_NAME_LEN);
		out->inner_address_be = t->inner_be;
		out->remote_be = slot->peer.remote_be;
		out->heard_ns = t->heard_ns;
		out->packets_out = t->packets_out;
		out->bytes_out = t->bytes_out;
		out->packets_in = t->packets_in;
		out->bytes_in = t->bytes_in;
		out->inner_mtu = t->inner_mtu;
		out->is_up = t->is_up;
		out->is_active = w->environments[slot->environment_slot].active == q->slots[n];
		describe_liveness(&t->liveness, out);
	}
	return 0;
}

static void tunnels(struct dp_requests *r, const struct ipc_cursor *c, struct dp_reply *reply)
{
	struct tunnels_request q = { .core = r->core,
		                     .out = (struct ipc_tunnel_info *)(reply->body +
		                                                       sizeof(struct ipc_list)) };
	uint32_t i = (uint32_t)RTE_MIN(c->cursor, (uint64_t)DP_TUNNELS_MAX);

	for (; i < DP_TUNNELS_MAX && q.count < RTE_DIM(q.slots); i++)
		if (dp_core_has_tunnel(r->core, (uint16_t)i))
			q.slots[q.count++] = (uint16_t)i;
	memset(q.out, 0, q.count * sizeof(*q.out));
	dp_core_call_all(r->core, on_tunnels, &q);
	finish_list(reply, i < DP_TUNNELS_MAX ? i : 0, q.count, sizeof(*q.out));
}

static void egress(struct dp_requests *r, const struct ipc_cursor *c, struct dp_reply *reply)
{
	struct ipc_egress_use *out =
		(struct ipc_egress_use *)(reply->body + sizeof(struct ipc_list));
	uint32_t first = (uint32_t)RTE_MIN(c->cursor, (uint64_t)UINT32_MAX), all = 0, count = 0;

	if (r->egress_count)
		count = dp_egress_count_list(r->egress_count, first, out, (uint32_t)LIST_ROOM(*out),
		                             &all);
	finish_list(reply, first + count < all ? first + count : 0, count, sizeof(*out));
}

/* ---- moves ---- */

struct move_request {
	uint16_t environment;
	uint16_t tunnel;
	uint64_t expected;
	enum ipc_move_reason reason;
};

static int on_move(struct dp_worker *w, void *argument)
{
	struct move_request *q = argument;

	return dp_failover_move(w, q->environment, q->tunnel, q->expected, q->reason);
}

static void move(struct dp_requests *r, const struct ipc_move *m, struct dp_reply *reply)
{
	struct ipc_move *out = (struct ipc_move *)reply->body;
	const struct dp_environment_state *s;
	struct move_request q = { .expected = m->move_counter,
		                  .reason = (enum ipc_move_reason)m->reason };
	struct ipc_tunnel id;

	memcpy(id.environment, m->environment, IPC_NAME_LEN);
	memcpy(id.server, m->server, IPC_NAME_LEN);
	q.tunnel = dp_core_find_tunnel(r->core, &id);
	if (q.tunnel == DP_NONE_SLOT) {
		reply->status = -ENOENT;
		return;
	}
	q.environment = r->core->tunnel_slots[q.tunnel].environment_slot;
	reply->status = dp_worker_call(dp_core_tunnel_home(r->core, q.tunnel), on_move, &q);
	if (reply->status)
		return;
	s = &r->core->environments[q.environment];
	*out = *m;
	out->move_counter = s->move_counter;
	reply->length = sizeof(*out);
	r->changed |= IPC_CHANGED_TUNNELS;
}

/* ---- flows ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void flow_set(struct dp_requests *r, const struct ipc_flow *flow, struct dp_reply *reply)
{
	struct ipc_flow *out = (struct ipc_flow *)reply->body;

	*out = *flow;
	reply->descriptor = dp_exception_port_open(r->exception, out, now_ns());
	if (reply->descriptor < 0)
		reply->status = reply->descriptor;
	else
		reply->length = sizeof(*out);
}

void dp_request(struct dp_requests *r, const struct ipc_header *header, const void *body,
                struct dp_reply *reply)
{
	uint32_t count = (uint32_t)(ipc_body_length(header) / sizeof(struct ipc_forward));

	reply->status = 0;
	reply->length = 0;
	reply->descriptor = -1;
	if (!r->core->is_started && header->type != IPC_NODE) {
		reply->status = -ENOTCONN;
		return;
	}
	switch (header->type) {
	case IPC_NODE:
		node(r, body, reply);
		break;
	case IPC_CONFIG_BEGIN:
		dp_staging_begin(r->staging, ((const struct ipc_generation *)body)->generation);
		break;
	case IPC_CONFIG_ENVIRONMENT:
		reply->status = dp_staging_environment(r->staging, body);
		break;
	case IPC_CONFIG_SERVER:
		reply->status = dp_staging_server(r->staging, body);
		break;
	case IPC_CONFIG_FORWARDS:
		reply->status = dp_staging_forwards(r->staging, body, count);
		break;
	case IPC_CONFIG_EGRESS:
		reply->status = dp_staging_egress(r->staging, body);
		break;
	case IPC_CONFIG_INBOUND:
		reply->status = dp_staging_inbound(
			r->staging, body,
			(uint32_t)(ipc_body_length(header) / sizeof(struct ipc_inbound)));
		break;
	case IPC_CONFIG_COMMIT:
		commit(r, body, reply);
		break;
	case IPC_PEER_SET:
		reply->status = dp_lease_peer_set(r, body);
		break;
	case IPC_TUNNEL_SET:
		reply->status = dp_lease_tunnel_set(r, body);
		break;
	case IPC_SPI_ALLOC:
		dp_lease_spi_alloc(r, body, reply);
		break;
	case IPC_SA_ADD:
		reply->status = dp_lease_sa_add(r, body);
		break;
	case IPC_SA_UPDATE:
		reply->status = dp_lease_sa_update(r, body);
		break;
	case IPC_SA_DEL:
		reply->status = dp_lease_sa_delete(r, body);
		break;
	case IPC_SA_QUERY:
		dp_lease_sa_query(r, body, reply);
		break;
	case IPC_SA_LIST:
		sa_list(r, body, reply);
		break;
	case IPC_KEEPSAKE_SET:
		reply->status = dp_lease_keepsake_set(r, body);
		break;
	case IPC_KEEPSAKE_GET:
		dp_lease_keepsake_get(r, body, reply);
		break;
	case IPC_STATE:
		state(r, body, reply);
		break;
	case IPC_TUNNELS:
		tunnels(r, body, reply);
		break;
	case IPC_SESSIONS:
		sessions(r, body, reply);
		break;
	case IPC_EGRESS:
		egress(r, body, reply);
		break;
	case IPC_FLOW_SET:
		flow_set(r, body, reply);
		break;
	case IPC_FLOW_DEL:
		reply->status = dp_exception_port_close(r->exception, body, now_ns());
		break;
	case IPC_MOVE:
		move(r, body, reply);
		break;
	default:
		reply->status = -EPROTO;
		break;
	}
}
