/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Places are kept by a sum: what the guarantees still leave open. */
#include "dataplane/share.h"

#include <errno.h>

#include <rte_malloc.h>

#include "dataplane/ipv4.h"
#include "dataplane/nat_flow.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define ANSWERS_PER_SECOND 20000u
#define ERRORS_PER_SECOND 1000u

static const struct dp_port_window all_ports = { .first = 0, .count = DP_PORT_BLOCKS };

static void clear(struct dp_share *s)
{
	*s = (struct dp_share){ .ports = all_ports,
		                .answers = { .per_second = ANSWERS_PER_SECOND },
		                .errors = { .per_second = ERRORS_PER_SECOND },
		                .answers_inside = { .per_second = ANSWERS_PER_SECOND } };
}

int dp_shares_create(struct dp_share **shares, int socket)
{
	struct dp_share *s =
		rte_zmalloc_socket("shares", DP_SHARES * sizeof(*s), RTE_CACHE_LINE_SIZE, socket);

	if (!s)
		return -ENOMEM;
	for (unsigned i = 0; i < DP_SHARES; i++)
		clear(&s[i]);
	s[DP_SHARE_NOBODY].session_quota = s[DP_SHARE_INBOUND].session_quota = UINT32_MAX;
	*shares = s;
	return 0;
}

static uint32_t sessions_of(const struct dp_share *s)
{
	return atomic_load_explicit(&s->sessions, memory_order_relaxed);
}

/* What is kept for it and not in use. */
static uint32_t open_places(const struct dp_share *s)
{
	uint32_t sessions = sessions_of(s);

	return sessions < s->guaranteed ? s->guaranteed - sessions : 0;
}

/* Blocks of ports: quotas beside each other as long as there are enough, then from the beginning
 * again. */
static struct dp_port_window take_window(uint32_t quota, unsigned *next)
{
	struct dp_port_window window = { .first = (uint8_t)*next };
	uint32_t blocks = (quota + DP_PORT_BLOCK - 1) / DP_PORT_BLOCK;

	if (quota == 0 || blocks >= DP_PORT_BLOCKS)
		return all_ports;
	window.count = (uint8_t)blocks;
	*next = (*next + blocks) % DP_PORT_BLOCKS;
	return window;
}

/* Egress has its sessions at the owner of the remote address, whoever that is. */
static bool has_sessions_here(const struct dp_worker *w, const struct dp_environment *e)
{
	return e && (e->home == w->index || w->generation->egress);
}

void dp_shares_configure(struct dp_worker *w)
{
	const struct dp_generation *g = w->generation;
	unsigned next_block = 0, count = 0;

	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++)
		count += has_sessions_here(w, g->by_slot[i]);
	w->reserved = 0;
	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++) {
		const struct dp_environment *e = g->by_slot[i];
		struct dp_share *s = &w->shares[i];

		s->guaranteed = 0;
		if (!e)
			continue;
		s->session_quota = e->session_quota;
		s->ports = take_window(e->port_quota, &next_block);
		dp_rate_set(&s->out, e->rate_bps);
		dp_rate_set(&s->in, e->rate_bps);
		if (has_sessions_here(w, e))
			s->guaranteed = RTE_MIN(e->session_quota, w->flows->capacity / 2 / count);
		w->reserved += open_places(s);
	}
}

void dp_share_clear(struct dp_worker *w, uint16_t environment)
{
	clear(dp_share_in(w->shares, environment));
}

static uint32_t sessions_on_others(const struct dp_worker *w, uint16_t environment)
{
	uint32_t sum = 0;

	for (uint16_t i = 0; i < w->worker_count; i++)
		if (i != w->index)
			sum += sessions_of(dp_share_in(w->workers[i]->shares, environment));
	return sum;
}

enum dp_verdict dp_share_admit(const struct dp_worker *w, uint16_t environment)
{
	const struct dp_share *s = dp_share_in(w->shares, environment);
	uint32_t own = sessions_of(s);

	if (own + sessions_on_others(w, environment) >= s->session_quota)
		return DP_SESSION_QUOTA;
	if (own < s->guaranteed || w->flows->count + w->reserved < w->flows->capacity)
		return DP_OK;
	return DP_SESSION_TABLE_FULL;
}

void dp_share_session_begins(struct dp_worker *w, uint16_t environment)
{
	struct dp_share *s = dp_share_in(w->shares, environment);
	uint32_t sessions = sessions_of(s);

	if (sessions < s->guaranteed)
		w->reserved--;
	atomic_store_explicit(&s->sessions, sessions + 1, memory_order_relaxed);
}

void dp_share_session_ends(struct dp_worker *w, uint16_t environment)
{
	struct dp_share *s = dp_share_in(w->shares, environment);
	uint32_t sessions = sessions_of(s) - 1;

	atomic_store_explicit(&s->sessions, sessions, memory_order_relaxed);
	if (sessions < s->guaranteed)
		w->reserved++;
}

void dp_share_count(struct dp_worker *w, const struct dp_pkt *p)
{
	struct dp_share *s = dp_share_in(w->shares, p->environment);

	switch (p->verdict) {
	case DP_SESSION_QUOTA:
	case DP_SESSION_TABLE_FULL:
		s->refused_sessions++;
		break;
	case DP_PORT_QUOTA:
	case DP_PORTS_EXHAUSTED:
	case DP_EGRESS_PORTS:
		s->refused_ports++;
		break;
	case DP_SOURCE_REFUSED:
		s->refused_sources++;
		s->refused_source_be = dp_load32(p->l3 + 12);
		break;
	default:
		break;
	}
}
