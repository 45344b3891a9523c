/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device that gives back what it was sent: start, transmit buffers, frames of workers without a
 * queue. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

/* The device says that it can do more than it does, and what is asked of it is noted. */
static uint64_t boasted, wanted_offloads;

static int boasting_info_get(uint16_t port, struct rte_eth_dev_info *info)
{
	int rc = rte_eth_dev_info_get(port, info);

	info->tx_offload_capa |= boasted;
	return rc;
}

static int noting_configure(uint16_t port, uint16_t rx_queues, uint16_t tx_queues,
                            const struct rte_eth_conf *conf)
{
	struct rte_eth_conf plain = *conf;

	wanted_offloads = conf->txmode.offloads;
	plain.txmode.offloads &= ~boasted;
	return rte_eth_dev_configure(port, rx_queues, tx_queues, &plain);
}

#define rte_eth_dev_info_get boasting_info_get
#define rte_eth_dev_configure noting_configure
#include "dataplane/port.c"
#undef rte_eth_dev_info_get
#undef rte_eth_dev_configure

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define U DP_PORT_UPLINK
#define FRAME 60u
#define RX_MAX 4096u

static const struct ipc_port configuration = { .mtu = 1400, .prefix_length = 24 };
static uint16_t ethdev;

static int start(void **state)
{
	if (link_eal(state) != 0 || rte_eal_hotplug_add("vdev", "net_ring0", "") != 0)
		return -1;
	return rte_eth_dev_get_port_by_name("net_ring0", &ethdev);
}

static void open_port(struct link_world *x, uint16_t queues)
{
	struct rte_eth_dev_info info;
	struct ipc_port wanted = configuration;
	char why[200];

	wanted.address_be = htonl(LINK_UPLINK);
	wanted.router_be = htonl(0xcb007101);
	if (dp_port_start(&x->ports[U], &wanted, ethdev, queues, queues, x->w.mbufs, why,
	                  sizeof(why)) != 0)
		fail_msg("%s", why);
	assert_int_equal(x->ports[U].address_be, htonl(LINK_UPLINK));
	assert_int_equal(x->ports[U].mask_be, htonl(0xffffff00));
	assert_int_equal(x->ports[U].router_be, htonl(0xcb007101));
	assert_int_equal(x->ports[U].mtu, 1400);
	assert_int_equal(rte_eth_dev_info_get(ethdev, &info), 0);
	assert_int_equal(x->ports[U].rx_queues, RTE_MIN(queues, info.max_rx_queues));
	assert_int_equal(x->ports[U].tx_queues, RTE_MIN(queues, info.max_tx_queues));
}

static void close_port(struct link_world *x)
{
	assert_int_equal(rte_eth_dev_stop(x->ports[U].ethdev), 0);
}

static struct rte_mbuf *frame(unsigned number)
{
	uint8_t data[FRAME] = { 0 };

	nat_put32(data + 20, number);
	return link_buffer(data, sizeof(data), LINK_HEADROOM);
}

/* Takes everything from the device; the frames come as they were sent, numbered from FROM. */
static unsigned receive(unsigned from)
{
	struct rte_mbuf *m[DP_BURST];
	unsigned total = 0, n;

	while ((n = rte_eth_rx_burst(ethdev, 0, m, DP_BURST)) > 0) {
		for (unsigned i = 0; i < n; i++, total++)
			assert_int_equal(nat_get32(rte_pktmbuf_mtod(m[i], uint8_t *) + 20),
			                 from + total);
		rte_pktmbuf_free_bulk(m, n);
	}
	return total;
}

static void sends_at_the_end_of_a_burst(void **state)
{
	struct link_world *x = link_create();

	(void)state;
	open_port(x, 1);
	for (unsigned i = 0; i < DP_TX_BUFFER - 1; i++)
		dp_port_send(&x->w, U, frame(i));
	assert_int_equal(receive(0), 0);
	dp_port_send(&x->w, U, frame(DP_TX_BUFFER - 1)); /* full: it cannot wait */
	assert_int_equal(x->tx[U].n, 0);
	assert_int_equal(receive(0), DP_TX_BUFFER);
	for (unsigned i = 0; i < 5; i++) {
		x->path.p[i].m = frame(i);
		x->path.p[i].port = U;
	}
	x->path.n = 5;
	dp_port_transmit(&x->w, &x->path);
	assert_int_equal(x->path.n, 0);
	assert_int_equal(receive(0), 0);
	dp_port_flush(&x->w);
	assert_int_equal(receive(0), 5);
	assert_int_equal(x->count.tx_packets[U], DP_TX_BUFFER + 5);
	assert_int_equal(x->count.tx_bytes[U], (DP_TX_BUFFER + 5) * FRAME);
	assert_int_equal(x->count.tx_packets[DP_PORT_CLUSTER], 0);
	dp_port_flush(&x->w);
	assert_int_equal(x->count.tx_packets[U], DP_TX_BUFFER + 5);
	close_port(x);
	assert_int_equal(link_destroy(x), 0);
}

static void drops_what_the_device_does_not_take(void **state)
{
	struct link_world *x = link_create();
	struct rte_mbuf *one = frame(0);
	unsigned sent = 0, taken;

	(void)state;
	open_port(x, 1);
	rte_mbuf_refcnt_set(one, 60000);
	for (unsigned i = 0; i < RX_MAX; i++)
		dp_port_send(&x->w, U, one), sent++;
	dp_port_flush(&x->w);
	taken = sent - (unsigned)x->count.drop[DP_TX_FULL];
	assert_in_range(taken, 1, sent - 1);
	assert_int_equal(x->count.tx_packets[U], taken);
	assert_int_equal(x->count.tx_bytes[U], taken * FRAME);
	assert_int_equal(rte_mbuf_refcnt_read(one), 60000 - x->count.drop[DP_TX_FULL]);
	for (struct rte_mbuf *m; rte_eth_rx_burst(ethdev, 0, &m, 1) == 1;)
		rte_pktmbuf_free(m);
	assert_int_equal(rte_mbuf_refcnt_read(one), 60000 - sent);
	rte_mbuf_refcnt_set(one, 1);
	rte_pktmbuf_free(one);
	close_port(x);
	assert_int_equal(link_destroy(x), 0);
}

/* Worker 1 has no transmit queue: worker 0 sends for it. */
static void sends_for_workers_without_a_queue(void **state)
{
	struct link_world *x = link_create(), *other = link_create();
	struct dp_worker *workers[2] = { &x->w, &other->w };
	unsigned n = 0;

	(void)state;
	open_port(x, 1);
	other->ports[U] = x->ports[U];
	other->w.index = 1;
	x->w.workers = other->w.workers = workers;
	x->w.worker_count = other->w.worker_count = 2;
	for (unsigned i = 0; i < 40; i++)
		dp_port_send(&other->w, U, frame(i));
	dp_port_flush(&other->w);
	assert_int_equal(receive(0), 0);
	assert_int_equal(other->count.tx_packets[U], 0);
	while (dp_port_send_others(&x->w))
		n++;
	assert_int_equal(n, 2); /* no more than a burst at a time */
	dp_port_flush(&x->w);
	assert_int_equal(receive(0), 40);
	assert_int_equal(x->count.tx_packets[U], 40);
	/* more than the way between them takes */
	for (unsigned i = 0; i < 70; i++)
		dp_port_send(&other->w, U, frame(i));
	dp_port_flush(&other->w);
	assert_int_equal(other->count.drop[DP_TX_FULL], 70 - rte_ring_get_capacity(x->w.send));
	while (dp_port_send_others(&x->w))
		;
	dp_port_flush(&x->w);
	assert_int_equal(receive(0), rte_ring_get_capacity(x->w.send));
	close_port(x);
	link_destroy(other);
	assert_int_equal(link_destroy(x), 0);
}

/* What comes without an Ethernet header goes by the next hop, never beyond the room there is for
 * it. */
static void lets_packets_without_ethernet_find_their_way(void **state)
{
	struct link_world *x = link_create();
	uint8_t ip[28] = { 0 };

	(void)state;
	link_ipv4(ip, 17, LINK_UPLINK, LINK_SERVER, 8);
	for (unsigned i = 0; i < 40; i++) {
		struct rte_mbuf *m = link_buffer(ip, sizeof(ip), LINK_HEADROOM);

		m->port = U;
		m->packet_type = RTE_PTYPE_L3_IPV4;
		assert_int_equal(rte_ring_enqueue(x->w.send, m), 0);
	}
	assert_int_equal(dp_port_send_others(&x->w), DP_BURST);
	assert_int_equal(x->answers.n, DP_BURST);
	assert_int_equal(dp_port_send_others(&x->w), 0);
	assert_int_equal(x->answers.p[31].nexthop_be, htonl(LINK_SERVER));
	assert_int_equal(x->answers.p[31].port, U);
	assert_int_equal(x->answers.p[31].verdict, DP_OK);
	assert_int_equal(rte_ring_count(x->w.send), 40 - DP_BURST);
	assert_int_equal(link_destroy(x), 0);
}

/* A burst may have buffers of two pools: answers to whole datagrams are large ones. */
static void lets_no_device_mix_up_the_pools(void **state)
{
	struct link_world *x = link_create();

	(void)state;
	boasted = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	open_port(x, 1);
	boasted = 0;
	assert_int_equal(wanted_offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, 0);
	close_port(x);
	assert_int_equal(link_destroy(x), 0);
}

/* The kernel is asked only about an interface that it knows, and then has the last word. */
static void asks_the_kernel_what_it_dropped(void **state)
{
	struct dp_port port = { .interface = if_nametoindex("lo") };
	uint64_t dropped = UINT64_MAX;

	(void)state;
	assert_int_equal(dp_interface_rx_dropped(port.interface, &dropped), 0);
	assert_int_not_equal(dropped, UINT64_MAX);
	port.dropped_before = dropped - 100; /* may wrap: so do the kernel's */
	assert_in_range(dp_port_missed(&port, 7), 100, 100000);
	port.dropped_before = dropped;
	assert_true(dp_port_missed(&port, 1000000) >= 1000000);
	port.interface = INT32_MAX;
	assert_int_not_equal(dp_interface_rx_dropped(port.interface, &dropped), 0);
	assert_int_equal(dp_port_missed(&port, 7), 7);
	port.interface = 0;
	assert_int_equal(dp_port_missed(&port, 8), 8);
}

static void says_why_it_does_not_start(void **state)
{
	struct link_world *x = link_create();
	char why[200] = "";

	(void)state;
	open_port(x, 1000); /* as many queues as it has */
	close_port(x);
	assert_int_equal(dp_port_start(&x->ports[U], &configuration, 999, 1, 1, x->w.mbufs, why,
	                               sizeof(why)),
	                 -ENODEV);
	assert_non_null(strstr(why, "cannot read the device: "));
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_at_the_end_of_a_burst),
		cmocka_unit_test(drops_what_the_device_does_not_take),
		cmocka_unit_test(sends_for_workers_without_a_queue),
		cmocka_unit_test(lets_packets_without_ethernet_find_their_way),
		cmocka_unit_test(lets_no_device_mix_up_the_pools),
		cmocka_unit_test(asks_the_kernel_what_it_dropped),
		cmocka_unit_test(says_why_it_does_not_start),
	};

	return cmocka_run_group_tests_name("port", tests, start, NULL);
}
