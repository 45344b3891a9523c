/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of sessions when tunnels fail or their environment moves. Worker only.
 *
 * A session stays where it is as long as its tunnel is usable. Otherwise, or where the customer
 * routes inner addresses (IPC_ENVIRONMENT_KEEP_SESSIONS), it goes on through the tunnel that a new
 * one would take, if that has the same inner address: nothing of it changes but the way. Else it
 * ends: a TCP client gets a RST at the sequence number that it expects next, as tracked; what it
 * may still send, a challenge (RFC 5961) above all, finds no session and is answered with a RST at
 * the number it acknowledges. UDP begins anew with its next packet.
 *
 * Those that send find out by themselves; the others are found by a sweep over the table, some of
 * it in each loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/nat_flow.h"
#include "dataplane/worker.h"

/* Begins the sweep, or begins it anew. */
void dp_nat_failover_begin(struct dp_worker *w);

/* Goes on with it; returns how many sessions it looked at, 0: there is nothing to do. Resets are
 * queued to w->answers. */
unsigned dp_nat_failover_sweep(struct dp_worker *w);

/* Whether the session whose outward flow this is goes on; FORWARD is its own, NULL: gone. Changes
 * its tunnel if need be. */
bool dp_nat_failover_keep(struct dp_worker *w, struct dp_flow *out,
                          const struct dp_forward *forward);

/*
 * Tells the client of the session whose outward flow this is that it ends: a RST, queued to
 * w->answers, if it is TCP and not over. FORWARD is its own, NULL: gone. False: there was no
 * buffer, or no room for it now, and nothing was sent.
 */
bool dp_nat_failover_reset(struct dp_worker *w, const struct dp_flow *out,
                           const struct dp_forward *forward);

/* Whether replies of the session whose inward flow this is may come out of TUNNEL, which is its
 * environment's but not its own: where the customer routes the inner address, and it is the same.
 */
static inline bool dp_nat_failover_is_way_back(const struct dp_worker *w, const struct dp_flow *in,
                                               uint16_t tunnel)
{
	const struct dp_environment *e = w->generation->by_slot[in->key.environment];

	return e && (e->flags & IPC_ENVIRONMENT_KEEP_SESSIONS) &&
	       w->tunnels[tunnel].inner_be == in->key.destination_be;
}
