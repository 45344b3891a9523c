/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port forwarding into tunnels: sessions are opened, found, translated in both directions and ended
 * here.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"
#include "dataplane/worker.h"

/*
 * Packets from the cluster to an environment's pod address whose home this worker is; the parser
 * has set l3, l3_length, l3_header and protocol (TCP or UDP, its header is there). Sets
 * environment, tunnel and flow.
 */
void dp_nat_forward_out(struct dp_worker *w, struct dp_batch *b);

/* Packets out of a tunnel, parsed likewise, environment and tunnel set by their SA. Sets flow,
 * nexthop_be and port. */
void dp_nat_forward_in(struct dp_worker *w, struct dp_batch *b);

/* Between two bursts: looks at up to BUDGET sessions whose time has come, and goes on with a purge
 * of forwards, BUDGET sessions further. Returns how many sessions it ended. */
unsigned dp_nat_expire(struct dp_worker *w, unsigned budget);

/* Ends all sessions of the environment in this slot before it returns. */
void dp_nat_environment_purge(struct dp_worker *w, uint16_t slot);

/* The same for all sessions through the tunnel in this slot. */
void dp_nat_tunnel_purge(struct dp_worker *w, uint16_t tunnel);

/*
 * After a new generation: ends sessions whose forward is gone, has another target, or no longer
 * allows their source. Outbound packets of a changed forward are refused from the generation on;
 * ending the sessions begins here, and dp_nat_expire() goes on with what is more than a burst's
 * worth.
 */
void dp_nat_forward_purge(struct dp_worker *w);

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
