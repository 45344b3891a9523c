/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets for the control thread: IKE from configured servers, ARP. And back: datagrams the control
 * plane sends.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"

#define DP_PEERS_MAX 16384u

enum dp_punt_port { DP_PUNT_PORT_NONE = 0, DP_PUNT_PORT_IKE, DP_PUNT_PORT_NATT };

/* Which UDP ports of ours are IKE's, and which servers may send to them: immutable, published like
 * a generation. */
struct dp_peers {
	uint8_t ports[65536]; /* enum dp_punt_port; the index is the port in network byte order */
	uint32_t mask;        /* places - 1 */
	uint32_t count;
	uint32_t addresses[]; /* open addressing by address_be; 0: empty */
};

/* Builds a set from COUNT peers; their natt and ike ports are all marked. NULL: no memory. Caller
 * frees with rte_free(). */
struct dp_peers *dp_peers_build(const struct ipc_peer *peers, uint32_t count);

/* Whether this is the address of a configured server. */
bool dp_punt_is_peer(const struct dp_peers *peers, uint32_t address_be);

static inline enum dp_punt_port dp_punt_port(const struct dp_peers *peers, uint16_t port_be)
{
	return (enum dp_punt_port)peers->ports[port_be];
}

/* One IKE datagram (p->l3, UDP checked by the parser): to the control thread's queue, rate limited.
 * Returns the verdict. Worker only. */
enum dp_verdict dp_punt_ike(struct dp_worker *w, struct dp_pkt *p);

/* Puts one mbuf on the control thread's queue as it is. Worker only. */
enum dp_verdict dp_punt(struct dp_worker *w, struct rte_mbuf *m);

/* Makes the UDP/IPv4 packet of a datagram that the control plane sends; data starts at its IPv4
 * header. Returns 0, -EMSGSIZE or -ENOMEM. Control thread. */
int dp_punt_datagram(struct rte_mempool *pool, const struct ipc_punt *punt, const void *payload,
                     struct rte_mbuf **m);
