/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP errors about packets of sessions, translated with the header they quote (RFC 5508 section
 * 4).
 *
 * Destination unreachable ("fragmentation needed" with its MTU), time exceeded and parameter
 * problem pass, in either direction, if the packet they quote is one that we sent to where the
 * error comes from: a session of that environment, and of that tunnel. Whoever made the error, on
 * the other side it comes from the address that the receiver talks to (pod address or inner
 * address): the addresses of one side mean nothing on the other, and might be somebody else's
 * there. A session's state never changes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/batch.h"

/* Moves ICMP packets from B to ERRORS; in B they are DP_TAKEN. Worker only. */
void dp_nat_icmp_split(struct dp_worker *w, struct dp_batch *b, struct dp_batch *errors);

/* Stages for those: from pods into the tunnel of the session, and out of a tunnel to the client.
 * Verdicts: NO_SESSION_QUOTED, TTL, RATE_LIMITED. Worker only. */
void dp_nat_icmp_out(struct dp_worker *w, struct dp_batch *b);
void dp_nat_icmp_in(struct dp_worker *w, struct dp_batch *b);

/* The same for errors about egress, from the cluster and from the uplink; other ICMP is left alone.
 * What comes from the Internet keeps its source, which means the same here. */
void dp_nat_icmp_egress_out(struct dp_worker *w, struct dp_batch *b);
void dp_nat_icmp_egress_in(struct dp_worker *w, struct dp_batch *b);

/* Whether an ICMP header is that of an error we translate. */
static inline bool dp_nat_icmp_is_error(const uint8_t *icmp)
{
	return icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12;
}
