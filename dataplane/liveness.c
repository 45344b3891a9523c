/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Round trips, misses, and what follows from them. */
#include "dataplane/liveness.h"

#include "dataplane/nat_failover.h"
#include "dataplane/worker.h"

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

uint64_t dp_liveness_deadline(const struct dp_liveness *l)
{
	uint64_t ns = l->srtt_ns + 4 * l->rttvar_ns;

	if (l->srtt_ns == 0)
		return DP_PROBE_DEADLINE_FIRST_NS;
	ns = RTE_MAX(ns, DP_PROBE_DEADLINE_MIN_NS);
	return RTE_MIN(ns, DP_PROBE_DEADLINE_MAX_NS);
}

void dp_liveness_answered(struct dp_worker *w, uint16_t tunnel, enum dp_probe_kind kind,
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

void dp_liveness_rise(struct dp_worker *w, uint16_t slot)
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
	l->user_packets = dp_liveness_sent_by_users(t);
	t->is_usable = 1;
}

void dp_liveness_fall(struct dp_worker *w, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;

	l->state = IPC_LIVENESS_UNKNOWN;
	l->is_risen = 0;
	l->suspect_at = 0;
	l->alive_since_ns = 0;
	w->tunnels[slot].is_usable = 0;
	dp_nat_failover_begin(w);
	dp_liveness_tell(w);
}

void dp_liveness_hear(struct dp_worker *w, uint16_t slot)
{
	struct dp_tunnel *t = &w->tunnels[slot];
	struct dp_liveness *l = &t->liveness;

	l->heard_ns = t->heard_ns;
	l->heard_at = w->failover.now_at;
	l->user_packets = dp_liveness_sent_by_users(t);
	l->unanswered_at = 0;
	l->suspect_at = 0;
	l->misses = 0;
	if (likely(l->state == IPC_LIVENESS_ALIVE))
		return;
	if (l->state == IPC_LIVENESS_DEAD) {
		l->alive_since_ns = w->now_ns;
		l->held_until_ns = w->now_ns + DP_HOLD_NS;
		if (t->is_usable) /* what was moved away from it is settled now */
			dp_nat_failover_begin(w);
		t->is_usable = 1;
	}
	if (l->state != IPC_LIVENESS_SUSPECT)
		dp_liveness_tell(w);
	l->state = IPC_LIVENESS_ALIVE;
}

void dp_liveness_suspect(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
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

	dp_liveness_suspect(w, e, slot);
	if (l->misses < UINT8_MAX)
		l->misses++;
	if (l->misses == DP_MISSES)
		l->missed_ns = w->now_ns;
}

static bool is_missed(const struct dp_worker *w, const struct dp_liveness *l, uint64_t sent_at)
{
	return sent_at > w->failover.void_at && sent_at > l->heard_at;
}

void dp_liveness_expire(struct dp_worker *w, const struct dp_environment *e, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;
	uint64_t now = w->failover.now_at, deadline = dp_liveness_deadline(l);

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

void dp_liveness_die(struct dp_worker *w, uint16_t slot)
{
	struct dp_liveness *l = &w->tunnels[slot].liveness;

	l->state = IPC_LIVENESS_DEAD;
	l->lost_at = w->failover.now_at;
	l->alive_since_ns = 0;
	l->deaths++;
	w->count->tunnel_deaths++;
	dp_liveness_tell(w);
}
