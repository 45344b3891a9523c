/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Static egress: TCP and UDP between the cluster and the Internet, with a static address of the
 * gateway in the place of the pod's. This worker is the owner of the remote address
 * (dataplane/egress.h). ICMP has stages of its own (dataplane/nat_echo.h, dataplane/nat_icmp.h).
 */
#pragma once

#include <stdbool.h>

#include "dataplane/batch.h"
#include "dataplane/egress.h"
#include "dataplane/nat_session.h"
#include "dataplane/worker.h"

/* Packets from the cluster to remote addresses; sets flow, port and nexthop_be. Worker only. */
void dp_nat_egress_out(struct dp_worker *w, struct dp_batch *b);

/* Packets from the uplink to static addresses: replies, and what comes to a mapped port. */
void dp_nat_egress_in(struct dp_worker *w, struct dp_batch *b);

/* Whether the policy allows this session of egress still; its quota is looked up anew. Worker
 * only. */
bool dp_nat_egress_allows(struct dp_worker *w, uint32_t session);

/*
 * Opens a session for a packet from a pod, TCP, UDP or ICMP echo: KEY is its outward key, what its
 * source becomes follows from the policy. DP_OK and the outward flow, or why not. A STALE session
 * (or NULL) is ended when nothing but quota, ports and room can be in the way.
 */
enum dp_verdict dp_nat_egress_open(struct dp_worker *w, const struct dp_flow_key *key,
                                   uint32_t sequence, struct dp_flow *stale, struct dp_flow **flow);

/* The largest segment that fits both ports: what a SYN may offer, bytes. */
static inline uint16_t dp_nat_egress_mss(const struct dp_worker *w)
{
	return (uint16_t)(RTE_MIN(w->ports[DP_PORT_UPLINK].mtu, w->ports[DP_PORT_CLUSTER].mtu) -
	                  40);
}
