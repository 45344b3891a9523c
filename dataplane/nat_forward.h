/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port forwarding into tunnels: sessions are opened, found and translated in both directions.
 * Outbound packets of a changed forward are refused from the new generation on.
 */
#pragma once

#include <stdbool.h>

#include "dataplane/batch.h"
#include "dataplane/nat_flow.h"
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

/* The forward of the session whose outward flow this is, in this generation, or NULL. */
const struct dp_forward *dp_nat_forward_of(const struct dp_worker *w, const struct dp_flow *out);

/* Whether the generation forwards this session still: its forward is there with the same target,
 * and allows its source, and its tunnel is there. Worker only. */
bool dp_nat_forward_allows(const struct dp_worker *w, const struct dp_flow *outward);
