/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of an environment's tunnels carries its traffic: who is alive, and the move away from one
 * that is not. Runs on the environment's home worker, with or without a control plane.
 *
 * Alive is a tunnel out of which any authentic packet comes. Each tunnel is asked now and then
 * (dataplane/probe.h), and at once when it is silent for DP_SILENCE_NS though something was sent
 * into it. Silence is only held against it behind DP_MISSES probes in a row that nothing was heard
 * after, and only if another tunnel of the environment answers the same host meanwhile: that one is
 * the witness that the host lives, and where the traffic can go. Where nobody answers, other hosts
 * are asked in turn, and nothing moves.
 *
 * The failover has a clock of its own, which stands still while the worker does: who was not there
 * to hear cannot say that it was silent.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "common/ipc_proto.h"

/* Of the failover's clock. */
#define DP_FAILOVER_STEP_NS 1000000u
#define DP_FAILOVER_LOOKS 256u        /* tunnels looked at per step */
#define DP_FAILOVER_GAP_NS 20000000u  /* between two loops: the worker stood still */
#define DP_FAILOVER_VOID_NS 50000000u /* a gap in which answers may have been lost */
#define DP_SILENCE_NS 50000000ull
#define DP_MISSES 3u
#define DP_PROBE_DEADLINE_MIN_NS 50000000ull
#define DP_PROBE_DEADLINE_MAX_NS 3000000000ull
#define DP_PROBE_DEADLINE_FIRST_NS 1000000000ull /* RFC 6298 section 2.1: no sample yet */
#define DP_PROBE_SPACING_NS 25000000ull          /* at least, of a tunnel that is suspect */
#define DP_PROBE_IDLE_NS 500000000ull   /* of one that is not; longer for thousands of tunnels */
#define DP_PROBE_IDLE_EACH_NS 100000ull /* times the worker's tunnels */
#define DP_PROBE_SYN_NS 1000000000ull
#define DP_PROBE_SYN_IDLE_NS 10000000000ull
#define DP_FRESH_NS 1000000000ull        /* an answer counts so long */
#define DP_HURRY_NS 3000000000ull        /* probes are close together so long behind a suspicion */
#define DP_LOST_NS 2000000000ull         /* suspect so long without a witness: dead */
#define DP_OPINION_NS 200000000ull       /* suspect so long: the control plane is told, */
#define DP_OPINION_EACH_NS 1000000000ull /* and not more often than this */
#define DP_LATE_NS 120000000ull          /* suspect so long: what has not come is not merely late */
#define DP_GRACE_NS 10000000000ull       /* and then its sessions are kept so long */
#define DP_GREET_TIMES 3u
#define DP_GREET_NS 100000000ull  /* between two greetings */
#define DP_TURN_NS 3000000000ull  /* another host is asked where one never answered so long */
#define DP_HOLD_NS 30000000000ull /* alive so long before it is anybody's preferred one again */

#define DP_FAILOVER_BOUNDS 8u
extern const unsigned dp_failover_bounds_ms[DP_FAILOVER_BOUNDS]; /* of the histograms, inclusive */

struct dp_forward;
struct dp_worker;

struct dp_failover {
	uint64_t last_ns;  /* of dp_worker.now_ns */
	uint64_t stood_ns; /* in all, in which the worker stood still */
	uint64_t now_at;   /* the failover's clock */
	uint64_t void_at;  /* probes sent until then may have lost their answers */
	uint64_t due_at;   /* the next step */
	uint32_t next;     /* tunnel of the generation's list */
	/* dataplane/nat_failover.h */
	uint32_t sweep_next; /* session */
	uint32_t sweep_left;
	uint32_t sweep_round;
	uint64_t secret[2];     /* of probes; random */
	atomic_uint is_changed; /* something for IPC_CHANGED_TUNNELS; the control thread takes it */
};

/* Follows dp_worker.now_ns; once per loop, before anything is received. */
void dp_failover_tick(struct dp_worker *w);

/* Once per loop: looks at the next tunnels, queues probes (to w->answers_inside), declares dead,
 * moves, and goes on with what became of sessions. Returns how much there was to do. */
unsigned dp_failover_poll(struct dp_worker *w);

/* Looks at the environment's tunnels anew, after any of them, its SAs or its configuration changed:
 * decides which are up, and moves the environment to the most preferred one that is up and not dead
 * if its active one is not up. Returns 1 if it moved, else 0. */
int dp_failover_refresh(struct dp_worker *w, uint16_t environment);

/* Compare and set: makes TUNNEL the active one if the move counter is EXPECTED. -ESTALE: it is not;
 * -ENETDOWN: the tunnel is not up; -EHOSTUNREACH: it is dead; 0: it is the active one now (the
 * counter rises even if it was before). REASON is IPC_MOVE_BY_HAND, IPC_MOVE_BACK, or
 * IPC_MOVE_DEAD: the active tunnel, which is suspect, does not answer by IKE either, so it is dead;
 * -EBUSY: it was heard meanwhile. */
int dp_failover_move(struct dp_worker *w, uint16_t environment, uint16_t tunnel, uint64_t expected,
                     enum ipc_move_reason reason);

/* The tunnel for a new session of this forward: its preferred one, else the active one; neither if
 * it is down or dead: DP_NONE_SLOT. */
uint16_t dp_failover_choose(const struct dp_worker *w, const struct dp_forward *forward);
