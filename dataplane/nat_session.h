/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of sessions, whoever translates with them: begun with a port and a place in the table,
 * tracked, looked through, listed and ended. Worker only.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/nat_flow.h"
#include "dataplane/portpool.h"
#include "dataplane/tcp_track.h"
#include "dataplane/worker.h"

enum dp_session_kind {
	DP_SESSION_FORWARD = 0,
	DP_SESSION_EGRESS,
	DP_SESSION_INBOUND, /* from the Internet to a mapped port: it has no port of the pool */
	DP_SESSION_HAIRPIN, /* from the cluster to a mapped port */
};

/* What a new session is made of. */
struct dp_session_plan {
	const struct dp_flow_key *outward; /* as its first packet came */
	uint64_t hash;                     /* of that */
	struct dp_port_endpoint endpoint;  /* what it becomes, but for the port */
	uint32_t sequence;                 /* TCP: the initial one */
	uint16_t tunnel;                   /* slot */
	uint16_t environment;              /* slot of whose quota it is part; DP_NONE_SLOT: none */
	enum dp_session_kind kind;
};

/*
 * Takes a port and a place in the table: DP_OK and the outward flow, or why its environment has
 * none: DP_SESSION_QUOTA, DP_SESSION_TABLE_FULL, DP_PORT_QUOTA, DP_PORTS_EXHAUSTED. For a TCP
 * connection the port may be that of one that is over (dataplane/nat_reclaim.h). Tracking begins
 * with dp_tcp_open().
 */
enum dp_verdict dp_session_create(struct dp_worker *w, const struct dp_session_plan *plan,
                                  struct dp_flow **flow);

/* The same for keys that are both known. DP_OK or DP_SESSION_TABLE_FULL. */
enum dp_verdict dp_session_add(struct dp_worker *w, const struct dp_session_plan *plan,
                               const struct dp_flow_key *inward, struct dp_flow **flow);

/* A session is about to be created by dp_session_create(), before the clock goes on: sends for the
 * lines of memory that this will need. HASH: of its outward key. */
void dp_session_expect(struct dp_worker *w, uint64_t hash, const struct dp_port_endpoint *endpoint,
                       uint16_t environment);

/* Why the packet cannot open a session, or DP_OK; SEGMENT is filled in for TCP, of which only a SYN
 * can. REFUSAL: what another segment of it is. */
enum dp_verdict dp_session_check_opening(const struct dp_pkt *p, struct dp_tcp_segment *segment,
                                         enum dp_verdict refusal);

void dp_session_end(struct dp_worker *w, uint32_t session);

/* Makes the session part of another environment's quota (DP_NONE_SLOT: of none's). */
void dp_session_set_environment(struct dp_worker *w, uint32_t session, uint16_t environment);

/* Tracks a TCP segment that is not ordinary data or acknowledgement of an established session. */
enum dp_tcp_verdict dp_session_track(struct dp_worker *w, const struct dp_pkt *p,
                                     struct dp_flow *f);

/* Between two bursts: looks at up to BUDGET sessions whose time has come, and goes on with a sweep,
 * BUDGET sessions further. Returns how many sessions it ended. */
unsigned dp_nat_expire(struct dp_worker *w, unsigned budget);

/*
 * After a new generation: begins a sweep, which ends the sessions that the generation does not
 * allow any more; their clients in the cluster get a RST, as many as a burst of answers has room
 * for (dp_nat_sweep_on() ends the others without a word). One step of bounded time; 1: there is
 * more to do, which dp_nat_expire() goes on with, or dp_nat_sweep_on(), a step each. 0: no session
 * is left of what is gone.
 */
int dp_nat_sweep(struct dp_worker *w);
int dp_nat_sweep_on(struct dp_worker *w);

/* With the new generation itself, whose sweep is still to come: no session is taken to be allowed
 * before that has looked at all. */
static inline void dp_nat_doubt(struct dp_worker *w)
{
	w->flows->sweep = 0;
}

/* Whether all sessions are known to be what the generation allows. */
static inline bool dp_nat_is_swept(const struct dp_worker *w)
{
	return w->flows->sweep == DP_FLOW_NONE && w->generation;
}

/* Where a listed session belongs; the names are in the generation. */
struct dp_nat_slots {
	uint16_t environment;
	uint16_t tunnel;
};

/*
 * Fills SESSIONS (but for their tunnel's names) and SLOTS with up to MAX sessions of ENVIRONMENT
 * (DP_NONE_SLOT: of all), from CURSOR on (0: the beginning). Returns how many; NEXT is the next
 * cursor, 0 behind the last session. Looks at a bounded number of sessions per call, so it may
 * return none before the end.
 */
unsigned dp_nat_list(struct dp_worker *w, uint64_t cursor, uint16_t environment,
                     struct ipc_session *sessions, struct dp_nat_slots *slots, unsigned max,
                     uint64_t *next);
