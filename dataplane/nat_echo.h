/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP echo between the cluster and the Internet (RFC 5508 section 3): a session has the identifier
 * in the place of a port, and one from the pool outside.
 */
#pragma once

#include <stdint.h>

#include <rte_branch_prediction.h>

#include "dataplane/batch.h"
#include "dataplane/nat_flow.h"
#include "dataplane/wire.h"

#define DP_ECHO_IDENTIFIER 4u /* in the ICMP header */

/* Stages: echo requests of pods, and replies to them; p->flow set: another stage has translated the
 * packet. Other ICMP is refused. Worker only. */
void dp_nat_echo_out(struct dp_worker *w, struct dp_batch *b);
void dp_nat_echo_in(struct dp_worker *w, struct dp_batch *b);

/* The ports of an echo's KEY, whose packet comes from the side FROM: the identifier is the pod's
 * side's. */
static inline void dp_nat_echo_ports(struct dp_flow_key *key, const uint8_t *icmp,
                                     enum dp_flow_direction from)
{
	uint16_t identifier_be = dp_load16(icmp + DP_ECHO_IDENTIFIER);

	key->source_port_be = from == DP_FLOW_OUTWARD ? identifier_be : 0;
	key->destination_port_be = from == DP_FLOW_OUTWARD ? 0 : identifier_be;
}

/* Puts the identifier of KEY into an ICMP header; the checksum is the caller's business. */
static inline void dp_nat_echo_set(uint8_t *icmp, const struct dp_flow_key *key)
{
	/* one of the two is 0 */
	dp_store16(icmp + DP_ECHO_IDENTIFIER, key->source_port_be | key->destination_port_be);
}
