/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapped ports: connections to a port of a static address that leads into the cluster, from the
 * Internet or, as a hairpin, from the cluster itself.
 *
 * From the Internet the source stays what it is: the reply goes to a remote address, whose owner
 * this worker is. From the cluster it becomes the static address and a port of the pool, so that
 * the reply comes back here (RFC 4787 REQ-9).
 */
#pragma once

#include <stdbool.h>

#include "dataplane/batch.h"
#include "dataplane/nat_flow.h"
#include "dataplane/worker.h"

/* Opens a session for a packet from the uplink (p->key: its inward key), in the place of STALE.
 * Returns its inward flow; NULL: the verdict is set. Worker only. */
struct dp_flow *dp_nat_inbound_open(struct dp_worker *w, struct dp_pkt *p, struct dp_flow *stale);

/* The stage for packets from the cluster to static addresses, TCP and UDP: to a mapped port, and
 * what answers. Worker only. */
void dp_nat_hairpin(struct dp_worker *w, struct dp_batch *b);

/* Whether a session of either kind has its mapping still. Worker only. */
bool dp_nat_inbound_allows(struct dp_worker *w, uint32_t session);
