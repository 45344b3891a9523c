/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first stage: Ethernet and IPv4 headers checked (RFC 1812 section 5.2.2), offsets recorded
 * once, packets sorted by what is done with them.
 */
#pragma once

#include "dataplane/batch.h"

/*
 * Each takes N <= DP_BURST frames and puts every one into exactly one of the batches, which it
 * empties first; a packet that is refused is in LOCAL with its verdict. After it l3, l3_length,
 * l3_header and protocol are true for every packet whose verdict is DP_OK, its whole IPv4 packet is
 * in the buffer, and TCP, UDP and ICMP headers are complete, but for fragments. Worker only.
 */

/* What came from the cluster. */
struct dp_from_cluster {
	struct dp_batch forward; /* TCP and UDP to the address of an environment, ICMP errors, and
	                            fragments of these and of any ICMP */
	struct dp_batch egress;  /* to the world outside, any protocol */
	struct dp_batch hairpin; /* TCP and UDP to a static address */
	struct dp_batch local;   /* ARP, ICMP to our addresses, refusals */
};

/* What came from the uplink. */
struct dp_from_uplink {
	struct dp_batch esp;     /* native or in UDP, p->esp is its header */
	struct dp_batch openvpn; /* data packets, p->esp is their header, p->tunnel their tunnel */
	struct dp_batch egress;  /* to a static address: TCP, UDP, fragments of them, and ICMP that
	                            may be about egress */
	struct dp_batch fragments; /* of a server's ESP or UDP */
	struct dp_batch local;     /* ARP, ICMP to our address, IKE, refusals */
};

void dp_parse_cluster(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                      struct dp_from_cluster *sorted);
void dp_parse_uplink(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                     struct dp_from_uplink *sorted);
