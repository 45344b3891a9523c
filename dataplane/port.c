/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports: start, transmit buffers, frames sent on behalf of workers that have no queue of their own.
 */
#include "dataplane/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "common/netaddr.h"
#include "dataplane/answer.h"
#include "dataplane/interface.h"
#include "dataplane/worker.h"

#define RX_DESCRIPTORS 1024
#define TX_DESCRIPTORS 1024

static int fail(char *why, size_t size, const char *what, int rc)
{
	snprintf(why, size, "%s: %s", what, rte_strerror(-rc));
	return rc;
}

static int start_queues(const struct dp_port *port, struct rte_mempool *mbufs, char *why,
                        size_t size)
{
	int socket = rte_eth_dev_socket_id(port->ethdev);
	uint16_t rx = RX_DESCRIPTORS, tx = TX_DESCRIPTORS;
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &rx, &tx);

	if (rc)
		return fail(why, size, "cannot size the queues", rc);
	for (uint16_t q = 0; q < port->rx_queues; q++) {
		rc = rte_eth_rx_queue_setup(port->ethdev, q, rx, (unsigned)socket, NULL, mbufs);
		if (rc)
			return fail(why, size, "cannot set up a receive queue", rc);
	}
	for (uint16_t q = 0; q < port->tx_queues; q++) {
		rc = rte_eth_tx_queue_setup(port->ethdev, q, tx, (unsigned)socket, NULL);
		if (rc)
			return fail(why, size, "cannot set up a transmit queue", rc);
	}
	rc = rte_eth_dev_start(port->ethdev);
	return rc ? fail(why, size, "cannot start the device", rc) : 0;
}

/* net_af_packet refuses more than 1500, although its rings take it (device.c): the kernel is asked
 * directly. */
static int set_kernel_mtu(const char *interface, uint16_t mtu)
{
	struct ifreq request = { .ifr_mtu = mtu };
	int fd, rc;

	if (snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface) >=
	    (int)sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = ioctl(fd, SIOCSIFMTU, &request) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int set_mtu(uint16_t ethdev, const struct ipc_port *configuration, bool is_af_packet)
{
	int rc = rte_eth_dev_set_mtu(ethdev, configuration->mtu);

	if (rc == -EINVAL && is_af_packet)
		rc = set_kernel_mtu(strchr(configuration->device, ':') + 1, configuration->mtu);
	return rc == -ENOTSUP ? 0 : rc;
}

int dp_port_start(struct dp_port *port, const struct ipc_port *configuration, uint16_t ethdev,
                  uint16_t queues, uint16_t workers, struct rte_mempool *mbufs, char *why,
                  size_t why_size)
{
	struct rte_eth_conf conf = { .rxmode = { .mq_mode = RTE_ETH_MQ_RX_NONE } };
	struct rte_eth_dev_info info;
	bool is_af_packet;
	int rc = rte_eth_dev_info_get(ethdev, &info);

	if (rc)
		return fail(why, why_size, "cannot read the device", rc);
	*port = (struct dp_port){
		.ethdev = ethdev,
		.mtu = configuration->mtu,
		.address_be = configuration->address_be,
		.mask_be = sp_prefix_mask_be(configuration->prefix_length),
		.router_be = configuration->router_be,
		.rx_queues = RTE_MIN(queues, info.max_rx_queues),
		.tx_queues = RTE_MIN(workers, info.max_tx_queues),
	};
	/* net_af_xdp of DPDK 22.11 does not read how many frames its full rings refused */
	if (info.driver_name && strcmp(info.driver_name, "net_af_xdp") == 0 &&
	    dp_interface_rx_dropped(info.if_index, &port->dropped_before) == 0)
		port->interface = info.if_index;
	if (port->rx_queues == 0 || port->tx_queues == 0)
		return fail(why, why_size, "the device has no queues", -ENODEV);
	/* the socket of net_af_packet carries both directions: a transmit queue needs its receive
	 * queue */
	is_af_packet = info.driver_name && strcmp(info.driver_name, "net_af_packet") == 0;
	if (is_af_packet)
		port->tx_queues = RTE_MIN(port->tx_queues, port->rx_queues);
	if (port->rx_queues > 1) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) &
			info.flow_type_rss_offloads;
		if (!conf.rx_adv_conf.rss_conf.rss_hf)
			conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	}
	if (!is_af_packet)
		conf.rxmode.mtu = RTE_MIN(configuration->mtu, info.max_mtu);
	/* no RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, which gives all buffers back to one pool: answers
	 * about whole datagrams leave in large ones */
	rc = rte_eth_dev_configure(ethdev, port->rx_queues, port->tx_queues, &conf);
	if (rc)
		return fail(why, why_size, "cannot configure the device", rc);
	rc = set_mtu(ethdev, configuration, is_af_packet);
	if (rc)
		return fail(why, why_size, "cannot set the MTU", rc);
	rc = rte_eth_macaddr_get(ethdev, &port->mac);
	if (rc)
		return fail(why, why_size, "cannot read the MAC address", rc);
	return start_queues(port, mbufs, why, why_size);
}

uint64_t dp_port_missed(const struct dp_port *port, uint64_t imissed)
{
	uint64_t dropped;

	if (!port->interface || dp_interface_rx_dropped(port->interface, &dropped) != 0)
		return imissed;
	return RTE_MAX(imissed, dropped - port->dropped_before);
}

static void flush_port(struct dp_worker *w, enum dp_port_id id)
{
	struct dp_port *port = &w->ports[id];
	struct dp_tx *tx = &w->tx[id];
	uint64_t bytes = 0;
	unsigned sent;

	if (w->index >= port->tx_queues) {
		struct dp_worker *owner = w->workers[w->index % port->tx_queues];

		for (unsigned i = 0; i < tx->n; i++)
			tx->m[i]->port = id;
		sent = rte_ring_enqueue_burst(owner->send, (void **)tx->m, tx->n, NULL);
	} else {
		for (unsigned i = 0; i < tx->n; i++)
			bytes += tx->m[i]->pkt_len;
		sent = rte_eth_tx_burst(port->ethdev, w->index, tx->m, (uint16_t)tx->n);
		w->count->tx_packets[id] += sent;
		for (unsigned i = sent; i < tx->n; i++)
			bytes -= tx->m[i]->pkt_len;
		w->count->tx_bytes[id] += bytes;
	}
	if (unlikely(sent < tx->n)) {
		w->count->drop[DP_TX_FULL] += tx->n - sent;
		rte_pktmbuf_free_bulk(&tx->m[sent], tx->n - sent);
	}
	tx->n = 0;
}

void dp_port_send(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf *m)
{
	struct dp_tx *tx = &w->tx[port];

	tx->m[tx->n++] = m;
	if (unlikely(tx->n == DP_TX_BUFFER))
		flush_port(w, port);
}

/* From FROM on, as many packets as leave by the same port and have room there; returns the next. */
static inline unsigned transmit_run(struct dp_worker *w, const struct dp_batch *b, unsigned from)
{
	enum dp_port_id port = b->p[from].port;
	struct dp_tx *tx = &w->tx[port];
	unsigned to = from, last = RTE_MIN(b->n, from + DP_TX_BUFFER - tx->n);

	for (struct rte_mbuf **m = &tx->m[tx->n]; to < last && b->p[to].port == port; to++)
		*m++ = b->p[to].m;
	tx->n += to - from;
	if (unlikely(tx->n == DP_TX_BUFFER))
		flush_port(w, port);
	return to;
}

/* All, as is the rule. */
static inline void transmit_all(struct dp_tx *tx, const struct dp_batch *b)
{
	struct rte_mbuf **m = &tx->m[tx->n];

#pragma GCC unroll 4
	for (unsigned i = 0; i < b->n; i++)
		m[i] = b->p[i].m;
	tx->n += b->n;
}

void dp_port_transmit(struct dp_worker *w, struct dp_batch *b)
{
	if (unlikely(b->n == 0))
		return;
	if (likely(b->has_one_port && w->tx[b->p[0].port].n + b->n < DP_TX_BUFFER)) {
		transmit_all(&w->tx[b->p[0].port], b);
		b->n = 0;
		return;
	}
	for (unsigned i = 0; i < b->n;)
		i = transmit_run(w, b, i);
	b->n = 0;
}

void dp_port_flush(struct dp_worker *w)
{
	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++)
		if (w->tx[id].n)
			flush_port(w, id);
}

unsigned dp_port_send_others(struct dp_worker *w)
{
	struct rte_mbuf *m[DP_BURST];
	unsigned n = rte_ring_dequeue_burst(w->send, (void **)m, DP_BURST - w->answers->n, NULL);

	for (unsigned i = 0; i < n; i++) {
		if (m[i]->packet_type == RTE_PTYPE_L3_IPV4)
			dp_answer_queue(w, m[i], (enum dp_port_id)m[i]->port);
		else
			dp_port_send(w, m[i]->port, m[i]);
	}
	return n;
}
