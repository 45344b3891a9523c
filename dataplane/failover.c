/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The active tunnel and its move counter, which belong to the dataplane (docs/contract.md), and the
 * liveness that decides about them. */
#include "dataplane/failover.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "dataplane/nat_failover.h"
#include "dataplane/probe.h"
#include "dataplane/worker.h"

#define FORWARDS_AT_ONCE 16u /* looked at for a TCP one */

const unsigned dp_failover_bounds_ms[DP_FAILOVER_BOUNDS] = {
	10, 50, 100, 150, 200, 300, 500, 1000
};

static void tell(struct dp_worker *w)
{
	atomic_store_explicit(&w->failover.is_changed, 1, memory_order_relaxed);
}

/* ---- the clock ---- */

void dp_failover_tick(struct dp_worker *w)
{
	struct dp_failover *f = &w->failover;
	uint64_t passed_ns = f->last_ns ? w->now_ns - f->last_ns : 0;

	f->last_ns = w->now_ns;
	if (unlikely(passed_ns > DP_FAILOVER_GAP_NS))
		f->stood_ns += passed_ns - DP_FAILOVER_STEP_NS;
	f->now_at = w->now_ns - f->stood_ns;
	if (unlikely(passed_ns >= DP_FAILOVER_VOID_NS))
		f->void_at = f->now_at;
}

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

/* The host that the last session went to, and between, in turn, the forwards' and the configured
 * one. */
static void turn_target(struct dp_worker *w, const struct dp_environment *e)
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

/* ---- round trips ---- */

/* RFC 6298 section 2. Each probe is known by itself, so there is no doubt which one was answered.
 */
static void take_sample(struct dp_liveness *l, uint64_t rtt_ns)
{
	uint64_t difference = l->srtt_ns > rtt_ns ? l->srtt_ns - rtt_ns : rtt_ns - l->srtt_ns;

	if (l->srtt_ns == 0) {
		l->srtt_ns = rtt_ns ? rtt_ns : 1;
		l->rttvar_ns = rtt_ns / 2;
		return;
	}
	l->rttvar_ns = l->rttvar_ns - l->rttvar_ns / 4 + difference / 4;
	l->srtt_ns = l->srtt_ns - l->srtt_ns / 8 + rtt_ns / 8;
}

static uint64_t deadline_of(const struct dp_liveness *l)
{
	uint64_t ns = l->srtt_ns + 4 * l->rttvar_ns;

	if (l->srtt_ns == 0)
		return DP_PROBE_DEADLINE_FIRST_NS;
	ns = RTE_MAX(ns, DP_PROBE_DEADLINE_MIN_NS);
	return RTE_MIN(ns, DP_PROBE_DEADLINE_MAX_NS);
}

void dp_failover_answered(struct dp_worker *w, uint16_t tunnel, enum dp_probe_kind kind,
                          uint64_t sent_at)
{
	struct dp_liveness *l = &w->tunnels[tunnel].liveness;
	struct dp_environment_state *s = &w->environments[w->tunnels[tunnel].environment];
	uint64_t now = w->failover.now_at;

	if (kind == DP_PROBE_SYN && !l->is_syn_pending)
		return; /* said twice */
	for (unsigned i = 0; kind == DP_PROBE_ECHO && i < DP_PROBES_MAX; i++)
		if (l->sent_at[i] == sent_at)
			l->sent_at[i] = 0;
	if (kind == DP_PROBE_ECHO)
		l->is_echoed = 1;
	else
		l->is_syn_pending = 0;
	if (sent_at <= l->answered_sent_at || sent_at > now)
		return;
	if (sent_at > w->failover.void_at)
		take_sample(l, now - sent_at);
	l->answered_sent_at = sent_at;
	l->answered_at = now;
	l->answered_ns = w->now_ns;
	l->answered++;
	w->count->probes_answered++;
	s->target_answered_at = now;
}

/* ---- alive, suspect, dead ---- */

static uint64_t sent_by_users(const struct dp_tunnel *t)
{
	return t->packets_out - t->liveness.probe_packets;
}

static struct dp_liveness *active_of(const struct dp_worker *w, const struct dp_environment *e)
{
	uint16_t active = w->environments[e->slot].active;

	return active == DP_NONE_SLOT ? NULL : &w->tunnels[active].liveness;
}

/* A new life: what was learned of the server's network is forgotten, what was counted is not. */
static void rise(struct dp_worker *w, uint16_t slot)
{
	struct dp_tunnel *t = &w->tunnels[slot];
	struct dp_liveness *l = &t->liveness;

	*l = (struct dp_liveness){ .heard_ns = t->heard_ns,
		                   .user_packets = t->packets_out,
		                   .due_at = w->failover.now_at,
		                   .expiry_at = UINT64_MAX,
		                   .syn_port_be = l->syn_port_be,
		                   .alive_since_ns = w->now_ns,
		                   .is_risen = 1,
		                   .deaths = l->deaths,
		                   .asked = l->asked,
		                   .answered = l->answered,
		                   .missed = l->missed,
		                   .held_until_ns = l->held_until_ns,
		                   .probe_packets = l->probe_packets };
	l->user_packets = sent_by_users(t);
	t->is_usable = 1;
}

static void fall(struct dp_worker *w, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;

	l->state = IPC_LIVENESS_UNKNOWN;
	l->is_risen = 0;
	l->suspect_at = 0;
	l->alive_since_ns = 0;
	w->tunnels[slot].is_usable = 0;
	dp_nat_failover_begin(w);
	tell(w);
}

static void hear(struct dp_worker *w, uint16_t slot)
{
	struct dp_tunnel *t = &w->tunnels[slot];
	struct dp_liveness *l = &t->liveness;

	l->heard_ns = t->heard_ns;
	l->heard_at = w->failover.now_at;
	l->user_packets = sent_by_users(t);
	l->unanswered_at = 0;
	l->suspect_at = 0;
	l->misses = 0;
	if (likely(l->state == IPC_LIVENESS_ALIVE))
		return;
	if (l->state == IPC_LIVENESS_DEAD) {
		l->alive_since_ns = w->now_ns;
		l->held_until_ns = w->now_ns + DP_HOLD_NS;
		t->is_usable = 1;
	}
	if (l->state != IPC_LIVENESS_SUSPECT)
		tell(w);
	l->state = IPC_LIVENESS_ALIVE;
}

/* It is asked at once, and so are the others: one of them has to be the witness. */
static void suspect(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at;

	if (l->state == IPC_LIVENESS_SUSPECT || l->state == IPC_LIVENESS_DEAD)
		return;
	l->state = IPC_LIVENESS_SUSPECT;
	l->suspect_at = now;
	for (unsigned i = 0; i < e->tunnel_count; i++) {
		struct dp_liveness *other = &w->tunnels[e->tunnels[i]].liveness;

		other->due_at = RTE_MIN(other->due_at, now);
	}
}

static void count_miss(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;

	suspect(w, e, slot);
	if (l->misses < UINT8_MAX)
		l->misses++;
	if (l->misses == DP_MISSES)
		l->missed_ns = w->now_ns;
}

static bool is_missed(const struct dp_worker *w, const struct dp_liveness *l, uint64_t sent_at)
{
	return sent_at > w->failover.void_at && sent_at > l->heard_at;
}

/* Probes whose deadline has passed. */
static void expire(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at, deadline = deadline_of(l);

	for (; l->oldest != l->next; l->oldest++) {
		uint64_t sent_at = l->sent_at[l->oldest % DP_PROBES_MAX];

		if (sent_at == 0)
			continue;
		if (now - sent_at < deadline)
			break;
		l->missed++;
		w->count->probes_missed++;
		if (l->is_echoed && is_missed(w, l, sent_at))
			count_miss(w, e, slot);
	}
	if (l->is_syn_pending && now - l->syn_at >= deadline) {
		l->is_syn_pending = 0;
		l->missed++;
		w->count->probes_missed++;
		if (is_missed(w, l, l->syn_at))
			count_miss(w, e, slot);
	}
	l->expiry_at = UINT64_MAX;
	if (l->oldest != l->next)
		l->expiry_at = l->sent_at[l->oldest % DP_PROBES_MAX] + deadline;
	if (l->is_syn_pending)
		l->expiry_at = RTE_MIN(l->expiry_at, l->syn_at + deadline);
}

/* Has another tunnel answered a probe that was sent since SINCE_AT, and lately? */
static bool has_answered(const struct dp_worker *w, uint16_t slot, uint64_t since_at)
{
	const struct dp_tunnel *t = &w->tunnels[slot];

	return t->is_up && t->liveness.state == IPC_LIVENESS_ALIVE &&
	       t->liveness.answered_sent_at >= since_at &&
	       w->failover.now_at - t->liveness.answered_at <= DP_FRESH_NS;
}

/* The most preferred tunnel that answers the host which SLOT does not, or DP_NONE_SLOT. */
static uint16_t find_witness(const struct dp_worker *w, const struct dp_environment *e,
                             uint16_t slot)
{
	uint64_t since_at =
		RTE_MAX(w->tunnels[slot].liveness.suspect_at, w->environments[e->slot].target_at);

	for (unsigned i = 0; i < e->tunnel_count; i++)
		if (e->tunnels[i] != slot && has_answered(w, e->tunnels[i], since_at))
			return e->tunnels[i];
	return DP_NONE_SLOT;
}

static void die(struct dp_worker *w, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;

	l->state = IPC_LIVENESS_DEAD;
	l->lost_at = w->failover.now_at;
	l->alive_since_ns = 0;
	l->deaths++;
	w->count->tunnel_deaths++;
	tell(w);
}

static void give_up_sessions(struct dp_worker *w, uint16_t slot)
{
	w->tunnels[slot].is_usable = 0;
	dp_nat_failover_begin(w);
}

/* ---- moves ---- */

static void count_time(uint64_t *buckets, uint64_t *sum_ns, uint64_t ns)
{
	unsigned i = 0;

	while (i < DP_FAILOVER_BOUNDS && ns > dp_failover_bounds_ms[i] * 1000000ull)
		i++;
	buckets[i]++;
	*sum_ns += ns;
}

/* The one place where an environment moves: the store to active is the move. */
static void publish(struct dp_worker *w, uint16_t environment, uint16_t to,
                    enum ipc_move_reason reason)
{
	struct dp_environment_state *s = &w->environments[environment];

	s->moved_from = reason == IPC_MOVE_REMOVED ? DP_NONE_SLOT : s->active;
	s->active = to;
	s->move_counter++;
	s->moved_ns = w->now_ns;
	s->detection_ns = s->switch_ns = 0;
	s->move_reason = (uint8_t)reason;
	s->moves[reason]++;
	s->sessions_kept = s->sessions_reset = 0;
	s->is_settled = 0;
	w->count->moves[reason - 1]++;
	dp_nat_failover_begin(w);
	tell(w);
}

/* The active tunnel is dead and another one answers. */
static void move_from_dead(struct dp_worker *w, const struct dp_environment *e, uint16_t to)
{
	struct dp_environment_state *s = &w->environments[e->slot];
	const struct dp_tunnel *t = &w->tunnels[s->active];
	uint64_t heard_ns = t->heard_ns ? t->heard_ns : t->liveness.missed_ns;

	publish(w, e->slot, to, IPC_MOVE_DEAD);
	s->detection_ns = t->liveness.missed_ns - heard_ns;
	s->switch_ns = w->now_ns - t->liveness.missed_ns;
	count_time(w->count->detection, &w->count->detection_ns, s->detection_ns);
	count_time(w->count->switching, &w->count->switching_ns, s->switch_ns);
}

/* Time for the others to answer: then the host is in question, not the tunnel. */
static uint64_t patience(const struct dp_worker *w, const struct dp_environment *e)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < e->tunnel_count; i++)
		if (w->tunnels[e->tunnels[i]].is_up)
			longest =
				RTE_MAX(longest, deadline_of(&w->tunnels[e->tunnels[i]].liveness));
	return 2 * longest + DP_MISSES * DP_PROBE_SPACING_NS;
}

/* Nobody answers this host: another one, and nobody is to blame for it. */
static void doubt_target(struct dp_worker *w, const struct dp_environment *e)
{
	uint64_t before = w->environments[e->slot].target_key;

	turn_target(w, e);
	if (w->environments[e->slot].target_key == before)
		return;
	for (unsigned i = 0; i < e->tunnel_count; i++) {
		struct dp_liveness *l = &w->tunnels[e->tunnels[i]].liveness;

		if (l->state == IPC_LIVENESS_SUSPECT) {
			l->misses = 0;
			l->due_at = w->failover.now_at;
		}
		l->oldest = l->next;
	}
}

static void judge_suspect(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at;

	if (l->misses < DP_MISSES)
		return;
	if (find_witness(w, e, slot) != DP_NONE_SLOT || now - l->suspect_at >= DP_LOST_NS)
		die(w, slot);
	else if (l->is_echoed &&
	         now - RTE_MAX(l->suspect_at, w->environments[e->slot].target_at) >= patience(w, e))
		doubt_target(w, e);
}

static void judge_dead(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	uint16_t witness = find_witness(w, e, slot);

	if (witness != DP_NONE_SLOT && w->environments[e->slot].active == slot)
		move_from_dead(w, e, witness);
	if (w->tunnels[slot].is_usable &&
	    (witness != DP_NONE_SLOT ||
	     w->failover.now_at - w->tunnels[slot].liveness.lost_at >= DP_GRACE_NS))
		give_up_sessions(w, slot);
}

/* ---- asking ---- */

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
		return RTE_MAX(DP_PROBE_SPACING_NS, deadline_of(l) / 8);
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
	l->expiry_at = RTE_MIN(l->expiry_at, w->failover.now_at + deadline_of(l));
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

static void ask(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	const struct dp_environment_state *s = &w->environments[e->slot];
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at;

	if (!target_of(w, e) ||
	    (s->target_answered_at < s->target_at && now - s->target_at >= DP_TURN_NS))
		turn_target(w, e);
	else if (!s->target_at)
		set_target(w, e, s->target_key);
	l->due_at = now + interval(w, e, l);
	ask_by_echo(w, e, slot);
	ask_by_syn(w, e, slot);
}

/* ---- the poll ---- */

static void look(struct dp_worker *w, uint16_t slot)
{
	struct dp_tunnel *t = &w->tunnels[slot];
	struct dp_liveness *l = &t->liveness;
	const struct dp_environment *e;
	uint64_t now = w->failover.now_at;

	if (!t->is_up)
		return;
	if (t->heard_ns != l->heard_ns)
		hear(w, slot);
	e = w->generation->by_slot[t->environment];
	if (e->flags & IPC_ENVIRONMENT_UNPROBED)
		return;
	if ((int64_t)(sent_by_users(t) - l->user_packets) > 0) {
		l->user_packets = sent_by_users(t);
		if (!l->unanswered_at)
			l->unanswered_at = now;
	}
	if (unlikely(now >= l->expiry_at))
		expire(w, e, slot);
	if (unlikely(l->unanswered_at && now - l->unanswered_at >= DP_SILENCE_NS))
		suspect(w, e, slot);
	if (unlikely(l->state == IPC_LIVENESS_SUSPECT))
		judge_suspect(w, e, slot);
	if (unlikely(l->state == IPC_LIVENESS_DEAD))
		judge_dead(w, e, slot);
	if (now >= l->due_at)
		ask(w, e, slot);
}

unsigned dp_failover_poll(struct dp_worker *w)
{
	struct dp_failover *f = &w->failover;
	unsigned work = dp_nat_failover_sweep(w);
	uint32_t first, count;

	if (likely(f->now_at < f->due_at) || !w->generation)
		return work;
	first = w->generation->homes[w->index];
	count = w->generation->homes[w->index + 1] - first;
	f->due_at = f->now_at + DP_FAILOVER_STEP_NS;
	for (uint32_t i = 0; i < RTE_MIN(count, DP_FAILOVER_LOOKS); i++) {
		if (w->answers_inside->n == DP_BURST) {
			f->due_at = f->now_at; /* there is room again in the next loop */
			break;
		}
		f->next = f->next + 1 < count ? f->next + 1 : 0;
		look(w, w->generation->tunnels[first + f->next]);
	}
	return work;
}

/* ---- what the control thread asks for ---- */

static bool is_better(const struct dp_worker *w, uint16_t tunnel, uint16_t than)
{
	return than == DP_NONE_SLOT || (w->tunnels[than].liveness.state == IPC_LIVENESS_DEAD &&
	                                w->tunnels[tunnel].liveness.state != IPC_LIVENESS_DEAD);
}

static enum ipc_move_reason reason_of(const struct dp_environment_state *s, bool is_configured)
{
	if (s->active == DP_NONE_SLOT)
		return IPC_MOVE_UP;
	return is_configured ? IPC_MOVE_DOWN : IPC_MOVE_REMOVED;
}

int dp_failover_refresh(struct dp_worker *w, uint16_t environment)
{
	const struct dp_environment *e = w->generation->by_slot[environment];
	struct dp_environment_state *s = &w->environments[environment];
	uint16_t best = DP_NONE_SLOT;
	bool is_active_up = false, is_configured = false;

	for (unsigned i = 0; e && i < e->tunnel_count; i++) {
		struct dp_tunnel *t = &w->tunnels[e->tunnels[i]];

		is_configured |= e->tunnels[i] == s->active;
		t->is_up = t->is_wanted && t->out && t->inner_be;
		if (t->is_up && !t->liveness.is_risen)
			rise(w, e->tunnels[i]);
		else if (!t->is_up && t->liveness.is_risen)
			fall(w, e->tunnels[i]);
		if (!t->is_up)
			continue;
		is_active_up |= e->tunnels[i] == s->active;
		if (is_better(w, e->tunnels[i], best))
			best = e->tunnels[i];
	}
	if (is_active_up || best == s->active)
		return 0;
	publish(w, environment, best, reason_of(s, is_configured));
	return 1;
}

int dp_failover_move(struct dp_worker *w, uint16_t environment, uint16_t tunnel, uint64_t expected,
                     enum ipc_move_reason reason)
{
	if (w->environments[environment].move_counter != expected)
		return -ESTALE;
	if (!w->tunnels[tunnel].is_up)
		return -ENETDOWN;
	if (w->tunnels[tunnel].liveness.state == IPC_LIVENESS_DEAD)
		return -EHOSTUNREACH;
	publish(w, environment, tunnel, reason);
	return 0;
}

static bool takes_sessions(const struct dp_worker *w, uint16_t tunnel)
{
	const struct dp_tunnel *t;

	if (tunnel == DP_NONE_SLOT)
		return false;
	t = &w->tunnels[tunnel];
	return t->is_up && t->inner_be && t->liveness.state != IPC_LIVENESS_DEAD;
}

uint16_t dp_failover_choose(const struct dp_worker *w, const struct dp_forward *forward)
{
	uint16_t active = w->environments[forward->environment].active;

	if (takes_sessions(w, forward->tunnel) &&
	    w->now_ns >= w->tunnels[forward->tunnel].liveness.held_until_ns)
		return forward->tunnel;
	return takes_sessions(w, active) ? active : DP_NONE_SLOT;
}
