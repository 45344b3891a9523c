/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first stage: Ethernet and IPv4 headers checked (RFC 1812 section 5.2.2), offsets recorded
 * once, packets sorted by what is done with them.
 */
#pragma once

#include "dataplane/batch.h"

/*
 * Each takes N <= DP_BURST frames and appends every one to exactly one of the batches; a packet
 * that is refused is in LOCAL with its verdict. After it l3, l3_length, l3_header and protocol are
 * true for every packet whose verdict is DP_OK, its whole IPv4 packet is in the buffer, and TCP,
 * UDP and ICMP headers are complete, but for fragments. Worker only.
 */

/* FORWARD: TCP and UDP to the address of an environment, ICMP errors, and fragments of these and of
 * any ICMP. LOCAL: ARP, ICMP to our addresses, refusals. */
void dp_parse_cluster(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                      struct dp_batch *forward, struct dp_batch *local);

/* ESP: native or in UDP, p->esp is its header. FRAGMENTS: of a server's ESP or UDP. LOCAL: ARP,
 * ICMP to our address, IKE, refusals. */
void dp_parse_uplink(struct dp_worker *w, struct rte_mbuf **m, unsigned n, struct dp_batch *esp,
                     struct dp_batch *fragments, struct dp_batch *local);
