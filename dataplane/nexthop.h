/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Next hops: IPv4 address to MAC address per port, resolved by ARP (RFC 826).
 *
 * One table for all workers. Workers read entries and add unresolved ones with a compare-and-swap;
 * only the control thread resolves, refreshes and removes. An entry's MAC changes only by a reply
 * to us that answers a request of ours. Gratuitous and unsolicited ARP never writes: it makes the
 * control thread ask the neighbour it knows, at its MAC, and everybody only if that stays silent
 * for 250 ms. So nobody takes the place of a neighbour that is there.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/batch.h"

struct dp_nexthops;
struct dp_port;

int dp_nexthops_create(struct dp_nexthops **nexthops);
void dp_nexthops_destroy(struct dp_nexthops *nexthops);

/* Packets of one worker that wait for an ARP answer; bounded. */
struct dp_hold *dp_hold_create(void);
/* Frees the packets too. */
void dp_hold_destroy(struct dp_hold *hold);

/* The stage before transmit: for p->port and p->nexthop_be, puts the Ethernet header in front of
 * p->l3, which must be where the mbuf's data starts. Packets without a resolved next hop are held
 * (DP_TAKEN). Worker only. */
void dp_nexthop(struct dp_worker *w, struct dp_batch *b);

/* Sends held packets that are resolved now and drops those that waited too long; once per loop.
 * Worker only. */
void dp_nexthop_poll(struct dp_worker *w);

/* ---- control thread ---- */

/* Sends one broadcast or (MAC given) unicast ARP request for TARGET through a worker. */
typedef void (*dp_arp_request_fn)(void *context, enum dp_port_id port, uint32_t target_be,
                                  const uint8_t mac[6]);

/* Makes sure that an entry exists: routers and servers are resolved before the first packet needs
 * them. */
void dp_nexthop_want(struct dp_nexthops *n, enum dp_port_id port, uint32_t address_be);

/* Learns from an ARP packet (from its hardware type on, 28 bytes) that came in by PORT, whose own
 * addresses OWN has, if a request of ours waits for it. */
void dp_nexthop_learn(struct dp_nexthops *n, enum dp_port_id port, const struct dp_port *own,
                      const uint8_t *arp, uint64_t now_ns);

/* Asks for what is unresolved or due to be verified, forgets what stopped answering; about every 10
 * ms. */
void dp_nexthop_maintain(struct dp_nexthops *n, uint64_t now_ns, dp_arp_request_fn request,
                         void *context);

/* Whether the address is resolved, and its MAC. */
bool dp_nexthop_lookup(const struct dp_nexthops *n, enum dp_port_id port, uint32_t address_be,
                       uint8_t mac[6]);
