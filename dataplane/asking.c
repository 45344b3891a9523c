/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Echo first; a SYN where echo says nothing. */
#include "dataplane/asking.h"

#include <netinet/in.h>

#include "dataplane/liveness.h"
#include "dataplane/probe.h"
#include "dataplane/worker.h"

#define FORWARDS_AT_ONCE 16u /* looked at for a TCP one */

/* ---- whom to ask ---- */

/* The forward with this key, if it is still the environment's. */
static const struct dp_forward *forward_of(const struct dp_worker *w,
                                           const struct dp_environment *e, uint64_t key)
{
	const struct dp_forward *f = key ? dp_forward_lookup(w->generation, key) : NULL;

	return f && f->environment == e->slot ? f : NULL;
}

static uint32_t target_of(const struct dp_worker *w, const struct dp_environment *e)
{
	const struct dp_forward *f = forward_of(w, e, w->environments[e->slot].target_key);

	return f ? f->to_address_be : w->environments[e->slot].target_key ? 0 : e->probe_target_be;
}

static void set_target(struct dp_worker *w, const struct dp_environment *e, uint64_t key)
{
	w->environments[e->slot].target_key = key;
	w->environments[e->slot].target_at = w->failover.now_at;
}

void dp_ask_another_host(struct dp_worker *w, const struct dp_environment *e)
{
	struct dp_environment_state *s = &w->environments[e->slot];
	const struct dp_forward *opened = forward_of(w, e, s->opened_key);
	const struct dp_forward *last = forward_of(w, e, s->turn_key);
	uint32_t next;

	if (opened && s->target_key != opened->key) {
		set_target(w, e, opened->key);
		return;
	}
	next = last ? last->next : e->first_forward;
	if (!next && !e->probe_target_be)
		next = e->first_forward;
	s->turn_key = next ? w->generation->forwards[next - 1].key : 0;
	set_target(w, e, s->turn_key);
}

static bool is_tcp(const struct dp_forward *f)
{
	return f && dp_forward_protocol(f) == IPPROTO_TCP;
}

/* The forward whose target a SYN may go to, or NULL. */
static const struct dp_forward *tcp_forward(const struct dp_worker *w,
                                            const struct dp_environment *e)
{
	const struct dp_environment_state *s = &w->environments[e->slot];
	const struct dp_forward *f = forward_of(w, e, s->target_key);
	uint32_t next = e->first_forward;

	if (is_tcp(f))
		return f;
	f = forward_of(w, e, s->opened_key);
	if (is_tcp(f))
		return f;
	for (unsigned i = 0; next && i < FORWARDS_AT_ONCE; i++) {
		f = &w->generation->forwards[next - 1];
		if (is_tcp(f))
			return f;
		next = f->next;
	}
	return NULL;
}

/* ---- asking ---- */

static struct dp_liveness *active_of(const struct dp_worker *w, const struct dp_environment *e)
{
	uint16_t active = w->environments[e->slot].active;

	return active == DP_NONE_SLOT ? NULL : &w->tunnels[active].liveness;
}

/* The active tunnel fails and this one has not shown yet that it does not. */
static bool is_needed(const struct dp_worker *w, const struct dp_environment *e,
                      const struct dp_liveness *l)
{
	const struct dp_liveness *active = active_of(w, e);

	return active && active != l && active->suspect_at &&
	       l->answered_sent_at < active->suspect_at;
}

static uint64_t interval(const struct dp_worker *w, const struct dp_environment *e,
                         const struct dp_liveness *l)
{
	const struct dp_liveness *active = active_of(w, e);
	uint32_t tunnels = w->generation->homes[w->index + 1] - w->generation->homes[w->index];
	uint64_t since_at = is_needed(w, e, l)                 ? active->suspect_at
	                    : l->state == IPC_LIVENESS_SUSPECT ? l->suspect_at
	                                                       : 0;

	if (since_at && (l->is_echoed || is_needed(w, e, l)) &&
	    w->failover.now_at - since_at < DP_HURRY_NS)
		return RTE_MAX(DP_PROBE_SPACING_NS, dp_liveness_deadline(l) / 8);
	return RTE_MAX(DP_PROBE_IDLE_NS, tunnels * DP_PROBE_IDLE_EACH_NS);
}

/* A SYN is for where echo says nothing, and for hosts that nobody hears from any more. */
static uint64_t syn_due_at(const struct dp_worker *w, const struct dp_environment *e,
                           const struct dp_liveness *l)
{
	const struct dp_liveness *active = active_of(w, e);
	bool is_urgent = l->state == IPC_LIVENESS_SUSPECT || l->state == IPC_LIVENESS_DEAD ||
	                 (active && active->suspect_at &&
	                  w->failover.now_at - active->suspect_at < DP_HURRY_NS);

	if (l->is_syn_pending || (l->is_echoed && l->misses < DP_MISSES))
		return UINT64_MAX;
	if (!l->syn_at) /* echo has the first word */
		return is_urgent || l->next >= DP_MISSES ? 0 : UINT64_MAX;
	return l->syn_at + (is_urgent ? DP_PROBE_SYN_NS : DP_PROBE_SYN_IDLE_NS);
}

static void count_probe(struct dp_worker *w, struct dp_liveness *l)
{
	l->probe_packets++;
	l->asked++;
	l->expiry_at = RTE_MIN(l->expiry_at, w->failover.now_at + dp_liveness_deadline(l));
	w->count->probes_sent++;
}

static void ask_by_echo(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint32_t target_be = target_of(w, e);

	if (!target_be || (uint8_t)(l->next - l->oldest) >= DP_PROBES_MAX ||
	    !dp_probe_send_echo(w, slot, target_be))
		return;
	l->sent_at[l->next++ % DP_PROBES_MAX] = w->failover.now_at;
	count_probe(w, l);
}

static void ask_by_syn(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t due_at = syn_due_at(w, e, l);
	const struct dp_forward *tcp;

	if (w->failover.now_at < due_at) {
		l->due_at = RTE_MIN(l->due_at, due_at);
		return;
	}
	tcp = tcp_forward(w, e);
	if (!tcp || w->answers_inside->n == DP_BURST || !dp_probe_send_syn(w, slot, tcp))
		return;
	l->syn_at = w->failover.now_at;
	l->is_syn_pending = 1;
	count_probe(w, l);
}

void dp_ask(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	const struct dp_environment_state *s = &w->environments[e->slot];
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at;

	if (!target_of(w, e) ||
	    (s->target_answered_at < s->target_at && now - s->target_at >= DP_TURN_NS))
		dp_ask_another_host(w, e);
	else if (!s->target_at)
		set_target(w, e, s->target_key);
	l->due_at = now + interval(w, e, l);
	ask_by_echo(w, e, slot);
	ask_by_syn(w, e, slot);
}

/* ---- greetings ---- */

void dp_greet_later(struct dp_worker *w, uint16_t environment, uint16_t tunnel, uint32_t host_be)
{
	struct dp_environment_state *s = &w->environments[environment];

	for (unsigned i = 0; i < s->greeting_count; i++)
		if (s->greetings[i].host_be == host_be && s->greetings[i].tunnel == tunnel)
			return;
	if (s->greeting_count == DP_GREETINGS_MAX)
		return;
	s->greetings[s->greeting_count++] =
		(struct dp_greeting){ .host_be = host_be, .tunnel = tunnel };
	s->greetings_left = DP_GREET_TIMES;
	s->greet_at = w->failover.now_at;
}

void dp_greet(struct dp_worker *w, uint16_t environment)
{
	struct dp_environment_state *s = &w->environments[environment];

	if (w->failover.now_at < s->greet_at || w->answers_inside->n + s->greeting_count > DP_BURST)
		return;
	for (unsigned i = 0; i < s->greeting_count; i++) {
		struct dp_tunnel *t = &w->tunnels[s->greetings[i].tunnel];

		if (t->environment == environment && t->is_up &&
		    dp_probe_greet(w, s->greetings[i].tunnel, s->greetings[i].host_be))
			t->liveness.probe_packets++;
	}
	s->greet_at = w->failover.now_at + DP_GREET_NS;
	if (--s->greetings_left == 0)
		s->greeting_count = 0;
}
