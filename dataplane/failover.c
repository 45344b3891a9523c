/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The active tunnel and its move counter, which belong to the dataplane (docs/contract.md), and the
 * judgement that decides about them. */
#include "dataplane/failover.h"

#include <errno.h>
#include <string.h>

#include "dataplane/asking.h"
#include "dataplane/liveness.h"
#include "dataplane/nat_failover.h"
#include "dataplane/worker.h"

const unsigned dp_failover_bounds_ms[DP_FAILOVER_BOUNDS] = {
	10, 50, 100, 150, 200, 300, 500, 1000
};

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

/* ---- witnesses ---- */

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
	dp_liveness_tell(w);
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
			longest = RTE_MAX(
				longest, dp_liveness_deadline(&w->tunnels[e->tunnels[i]].liveness));
	return 2 * longest + DP_MISSES * DP_PROBE_SPACING_NS;
}

/* Nobody answers this host: another one, and nobody is to blame for it. */
static void doubt_target(struct dp_worker *w, const struct dp_environment *e)
{
	uint64_t before = w->environments[e->slot].target_key;

	dp_ask_another_host(w, e);
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

/* Probes take long to tell, or never do: the control plane can ask by IKE. */
static void want_opinion(struct dp_worker *w, struct dp_liveness *l)
{
	uint64_t now = w->failover.now_at;
	uint64_t wait =
		l->srtt_ns ? RTE_MAX(dp_liveness_deadline(l), DP_OPINION_NS) : DP_OPINION_NS;

	if (now - l->suspect_at < wait ||
	    (l->opinion_at && now - l->opinion_at < DP_OPINION_EACH_NS))
		return;
	l->opinion_at = now;
	dp_liveness_tell(w);
}

static void judge_suspect(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at;

	want_opinion(w, l);
	if (l->misses < DP_MISSES)
		return;
	if (find_witness(w, e, slot) != DP_NONE_SLOT || now - l->suspect_at >= DP_LOST_NS)
		dp_liveness_die(w, slot);
	else if (l->is_echoed &&
	         now - RTE_MAX(l->suspect_at, w->environments[e->slot].target_at) >= patience(w, e))
		doubt_target(w, e);
}

/* New sessions go elsewhere at once. Established ones that cannot are left where they are for
 * another moment: a way that has merely become longer would end them all for nothing. */
static void judge_dead(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	const struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at;
	uint16_t witness = find_witness(w, e, slot);

	if (witness != DP_NONE_SLOT && w->environments[e->slot].active == slot)
		move_from_dead(w, e, witness);
	if (w->tunnels[slot].is_usable &&
	    ((witness != DP_NONE_SLOT && now - l->suspect_at >= DP_LATE_NS) ||
	     now - l->lost_at >= DP_GRACE_NS))
		give_up_sessions(w, slot);
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
		dp_liveness_hear(w, slot);
	e = w->generation->by_slot[t->environment];
	if (e->flags & IPC_ENVIRONMENT_UNPROBED)
		return;
	if ((int64_t)(dp_liveness_sent_by_users(t) - l->user_packets) > 0) {
		l->user_packets = dp_liveness_sent_by_users(t);
		if (!l->unanswered_at)
			l->unanswered_at = now;
	}
	if (unlikely(now >= l->expiry_at))
		dp_liveness_expire(w, e, slot);
	if (unlikely(l->unanswered_at && now - l->unanswered_at >= DP_SILENCE_NS))
		dp_liveness_suspect(w, e, slot);
	if (unlikely(l->state == IPC_LIVENESS_SUSPECT))
		judge_suspect(w, e, slot);
	if (unlikely(l->state == IPC_LIVENESS_DEAD))
		judge_dead(w, e, slot);
	if (now >= l->due_at)
		dp_ask(w, e, slot);
	if (unlikely(w->environments[e->slot].greeting_count))
		dp_greet(w, e->slot);
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
			dp_liveness_rise(w, e->tunnels[i]);
		else if (!t->is_up && t->liveness.is_risen)
			dp_liveness_fall(w, e->tunnels[i]);
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

/* The control plane's opinion: nothing answers it either. */
static int move_by_opinion(struct dp_worker *w, const struct dp_environment *e, uint16_t to)
{
	uint16_t from = w->environments[e->slot].active;
	struct dp_liveness *l;

	if (from == DP_NONE_SLOT || from == to)
		return -EBUSY;
	l = &w->tunnels[from].liveness;
	if (l->state != IPC_LIVENESS_SUSPECT && l->state != IPC_LIVENESS_DEAD)
		return -EBUSY;
	if (l->state == IPC_LIVENESS_SUSPECT) {
		l->missed_ns = w->now_ns;
		dp_liveness_die(w, from);
	}
	move_from_dead(w, e, to);
	give_up_sessions(w, from);
	return 0;
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
	if (reason == IPC_MOVE_DEAD)
		return move_by_opinion(w, w->generation->by_slot[environment], tunnel);
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
