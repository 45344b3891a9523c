/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one environment may take of what all share on a worker, and what it was refused, so that
 * none can starve another one: places in the session table, ports, answers, translated errors,
 * searches for ports, its rate.
 *
 * Half of a worker's session table is kept for the environments at home there, with egress for all
 * of them, in equal parts but no more than their quotas; the other half is for whoever comes first.
 * So an environment that stays within its part finds a place whatever the others do, and where the
 * quotas of all together fit the table each finds a place up to its quota.
 *
 * A worker has a share for each slot, and two more for what belongs to no environment.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

#include "dataplane/batch.h"
#include "dataplane/bucket.h"
#include "dataplane/generation.h"
#include "dataplane/portpool.h"
#include "dataplane/rate.h"

/* Line 0: sessions and answers; lines 1 and 2: rate, which other workers read; line 3: what was
 * refused. */
struct dp_share {
	_Atomic uint32_t sessions; /* on this worker, which alone writes it; others add them up */
	uint32_t session_quota;    /* of all workers together */
	uint32_t guaranteed;       /* places in this worker's table that nobody else gets */
	uint16_t reclaim_port;     /* dp_nat_reclaim_find(): where in the window it goes on */
	struct dp_port_window ports;
	uint64_t reclaim_due_ns;
	struct dp_bucket answers; /* RST and ICMP errors to its sources */
	struct dp_bucket errors;  /* ICMP errors translated */
	uint32_t closed; /* of the sessions: TCP connections that are over; nat_session's */
	/* lines 1 and 2 */
	struct dp_rate out __rte_cache_aligned; /* towards the customer, the Internet */
	struct dp_rate in __rte_cache_aligned;
	/* line 3, since the environment has its slot */
	uint64_t refused_sessions __rte_cache_aligned;
	uint64_t refused_ports;
	uint64_t refused_sources;
	uint64_t rate_dropped_out;
	uint64_t rate_dropped_in;
	uint32_t refused_source_be; /* the last one */
	uint32_t pad;
	struct dp_bucket answers_inside; /* RST and ICMP errors into its tunnels */
};
_Static_assert(sizeof(struct dp_share) == 256, "dp_share: four lines");
_Static_assert(offsetof(struct dp_share, out) == 64, "dp_share: line 1");
_Static_assert(offsetof(struct dp_share, in) == 128, "dp_share: line 2");
_Static_assert(offsetof(struct dp_share, refused_sessions) == 192, "dp_share: line 3");

/* By slot, and behind them: */
#define DP_SHARE_NOBODY DP_ENVIRONMENTS_MAX         /* of no environment */
#define DP_SHARE_INBOUND (DP_ENVIRONMENTS_MAX + 1u) /* opened from the Internet */
#define DP_SHARES (DP_ENVIRONMENTS_MAX + 2u)

struct dp_worker;

/* The shares of one worker, on NUMA node SOCKET. Returns 0 or -ENOMEM; rte_free() frees them.
 * Control thread. */
int dp_shares_create(struct dp_share **shares, int socket);

/* Takes quotas and rates from w->generation. Worker only. */
void dp_shares_configure(struct dp_worker *w);

/* Forgets what is counted of an environment that is gone, sessions included. Worker only. */
void dp_share_clear(struct dp_worker *w, uint16_t environment);

/* Whether the environment (DP_NONE_SLOT: none) may have one more session here: DP_OK,
 * DP_SESSION_QUOTA or DP_SESSION_TABLE_FULL. Worker only. */
enum dp_verdict dp_share_admit(const struct dp_worker *w, uint16_t environment);

/* Counts a session that begins, one that ends. Worker only. */
void dp_share_session_begins(struct dp_worker *w, uint16_t environment);
void dp_share_session_ends(struct dp_worker *w, uint16_t environment);

/* Counts for its environment why a packet was refused. Worker only. */
void dp_share_count(struct dp_worker *w, const struct dp_pkt *p);

/* ENVIRONMENT: a slot, DP_NONE_SLOT, or one of the above. */
static inline struct dp_share *dp_share_in(struct dp_share *shares, uint16_t environment)
{
	return &shares[environment == DP_NONE_SLOT ? DP_SHARE_NOBODY : environment];
}
