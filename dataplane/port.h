/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ports: receive queues and transmit buffers of a worker, addresses and routes of a port.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"

/* Read-only once the workers run. */
struct dp_port {
	uint16_t ethdev; /* DPDK's port id */
	uint16_t rx_queues;
	uint16_t tx_queues; /* worker W sends by itself if W < tx_queues, else through another
	                       worker */
	uint16_t mtu;       /* IPv4 bytes */
	uint32_t address_be;
	uint32_t mask_be;
	uint32_t router_be; /* 0: none */
	struct rte_ether_addr mac;
	uint32_t route_count; /* what is behind the router; 0: everything */
	struct ipc_prefix routes[IPC_PREFIXES_MAX];
	uint32_t interface; /* the kernel's, which counts what net_af_xdp misses; 0: the driver does
	                     */
	uint64_t dropped_before; /* by the interface, before the start */
};

#define DP_TX_BUFFER 64u

/* A worker's frames that wait for the end of the burst. */
struct dp_tx {
	unsigned n;
	struct rte_mbuf *m[DP_TX_BUFFER];
};

/* Starts one port on the ethdev that DEVICE was probed as. QUEUES: receive queues wanted, bounded
 * by what it has. Returns 0 or -errno with WHY filled in. Control thread, before the workers run.
 */
int dp_port_start(struct dp_port *port, const struct ipc_port *configuration, uint16_t ethdev,
                  uint16_t queues, uint16_t workers, struct rte_mempool *mbufs, char *why,
                  size_t why_size);

/* Of frames that came, how many found no room because we were too slow; IMISSED is what the driver
 * says of it. Control thread. */
uint64_t dp_port_missed(const struct dp_port *port, uint64_t imissed);

/* Queues one whole Ethernet frame; takes the mbuf. Worker only. */
void dp_port_send(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf *m);

/* The stage at the end of the path: all packets of the batch leave as frames through their ports;
 * the batch is empty after it. */
void dp_port_transmit(struct dp_worker *w, struct dp_batch *b);

/* Sends what is queued; once per loop. Worker only. */
void dp_port_flush(struct dp_worker *w);

/* Takes what other workers and the control thread want sent; m->port names the port, a packet_type
 * of RTE_PTYPE_L3_IPV4 says that the Ethernet header is still missing. Returns how many were taken.
 */
unsigned dp_port_send_others(struct dp_worker *w);

/* Addresses on the port's own link need no router. */
static inline bool dp_port_is_on_link(const struct dp_port *port, uint32_t address_be)
{
	return ((address_be ^ port->address_be) & port->mask_be) == 0 &&
	       port->mask_be != UINT32_MAX;
}

/* The address to ask ARP for to reach ADDRESS through this port; 0: there is no way. It is the same
 * for all addresses under *MASK_BE that are not on the link. */
static inline uint32_t dp_port_find_route(const struct dp_port *port, uint32_t address_be,
                                          uint32_t *mask_be)
{
	*mask_be = UINT32_MAX;
	if (dp_port_is_on_link(port, address_be))
		return address_be;
	if (address_be == port->router_be)
		return port->router_be;
	if (port->route_count == 0) {
		*mask_be = 0;
		return port->router_be;
	}
	for (uint32_t i = 0; i < port->route_count; i++) {
		uint8_t length = port->routes[i].length;
		uint32_t route_mask_be = length ? rte_cpu_to_be_32(UINT32_MAX << (32 - length)) : 0;

		if (((address_be ^ port->routes[i].address_be) & route_mask_be) == 0) {
			*mask_be = route_mask_be;
			return port->router_be;
		}
	}
	return 0;
}

static inline uint32_t dp_port_route(const struct dp_port *port, uint32_t address_be)
{
	uint32_t mask_be;

	return dp_port_find_route(port, address_be, &mask_be);
}
