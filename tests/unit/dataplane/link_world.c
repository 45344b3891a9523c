/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/dataplane/link_world.h"
#include "dataplane/exception.h"
#include "dataplane/share.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_malloc.h>

#define BUFFERS 511u

const uint8_t link_neighbour[6] = { 0x02, 0, 0, 0, 0xaa, 0x01 };

static struct rte_mempool *pool, *datagrams;

int link_eal(void **state)
{
	static char *arguments[] = {
		"test",        "--no-huge",      "--no-pci",          "-m",         "64",
		"--no-shconf", "--no-telemetry", "--log-level=error", "--lcores=0", NULL
	};

	(void)state;
	if (pool)
		return 0;
	if (rte_eal_init((int)RTE_DIM(arguments) - 1, arguments) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
	                               SOCKET_ID_ANY);
	datagrams = rte_pktmbuf_pool_create("datagrams", LINK_DATAGRAMS, 0, 0, UINT16_MAX,
	                                    SOCKET_ID_ANY);
	return pool && datagrams ? 0 : -1;
}

unsigned link_in_use(void)
{
	return rte_mempool_in_use_count(pool) + rte_mempool_in_use_count(datagrams);
}

static void free_area(void *area, void *shared)
{
	free(area);
	free(shared);
}

struct rte_mbuf *link_buffer(const void *data, unsigned length, unsigned headroom)
{
	struct rte_mbuf_ext_shared_info *shared = calloc(1, sizeof(*shared));
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	unsigned size = headroom + length;
	uint8_t *area = malloc(size ? size : 1);

	assert(shared && m && area && size <= UINT16_MAX);
	shared->free_cb = free_area;
	shared->fcb_opaque = shared;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(m, area, RTE_BAD_IOVA, (uint16_t)size, shared);
	m->data_off = (uint16_t)headroom;
	m->data_len = (uint16_t)length;
	m->pkt_len = length;
	memset(area, 0xdd, headroom);
	if (length)
		memcpy(area + headroom, data, length);
	return m;
}

void link_ether(const struct link_world *x, enum dp_port_id port, uint16_t type, uint8_t *frame)
{
	memcpy(frame, &x->ports[port].mac, 6);
	memcpy(frame + 6, link_neighbour, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

uint16_t link_sum(const uint8_t *p, unsigned length)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < length; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

void link_fix_checksum(uint8_t *ip)
{
	uint16_t checksum;

	ip[10] = ip[11] = 0;
	checksum = (uint16_t)~link_sum(ip, 20);
	ip[10] = (uint8_t)(checksum >> 8);
	ip[11] = (uint8_t)checksum;
}

unsigned link_ipv4(uint8_t *ip, uint8_t protocol, uint32_t source, uint32_t destination,
                   unsigned length)
{
	source = htonl(source);
	destination = htonl(destination);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[2] = (uint8_t)((20 + length) >> 8);
	ip[3] = (uint8_t)(20 + length);
	ip[8] = 61;
	ip[9] = protocol;
	memcpy(ip + 12, &source, 4);
	memcpy(ip + 16, &destination, 4);
	link_fix_checksum(ip);
	return 20 + length;
}

static void set_ports(struct link_world *x)
{
	x->ports[DP_PORT_UPLINK] = (struct dp_port){ .mtu = 1500,
		                                     .address_be = htonl(LINK_UPLINK),
		                                     .mask_be = htonl(0xffffff00),
		                                     .router_be = htonl(0xcb007101),
		                                     .mac.addr_bytes = { 0x02, 0, 0, 0, 0, 1 },
		                                     .tx_queues = 1 };
	x->ports[DP_PORT_CLUSTER] =
		(struct dp_port){ .mtu = 1500,
		                  .address_be = htonl(LINK_CLUSTER),
		                  .mask_be = UINT32_MAX,
		                  .router_be = htonl(0x0a000001),
		                  .mac.addr_bytes = { 0x02, 0, 0, 0, 0, 2 },
		                  .tx_queues = 1,
		                  .route_count = 1,
		                  .routes = { { .address_be = htonl(0x0a000000), .length = 16 } } };
}

static void set_generation(struct link_world *x)
{
	x->environment =
		(struct dp_environment){ .name = "production", .pod_address_be = htonl(LINK_POD) };
	x->generation.pod_mask = RTE_DIM(x->pods) - 1;
	x->generation.pods = x->pods;
	x->generation.environments = &x->environment;
	x->generation.environment_count = 1;
	x->generation.by_slot[0] = &x->environment;
	x->pods[dp_crc4(htonl(LINK_POD)) & x->generation.pod_mask].address_be = htonl(LINK_POD);
}

static struct rte_ring *make_ring(const char *what)
{
	static unsigned number; /* a failed test leaves its rings behind */
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s-%u", what, number++);
	return rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SC_DEQ);
}

static struct dp_exception *make_exception(void)
{
	struct dp_exception *e = calloc(1, sizeof(*e));

	if (e)
		e->in = make_ring("exception");
	return e;
}

struct link_world *link_create(void)
{
	const struct ipc_peer peer = { .remote_be = htonl(LINK_SERVER),
		                       .ike_port_be = htons(LINK_IKE_PORT),
		                       .natt_port_be = htons(LINK_NATT_PORT) };
	struct link_world *x = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*x));
	struct dp_peers *peers = NULL;

	if (!x)
		return NULL;
	memset(x, 0, sizeof(*x));
	set_ports(x);
	set_generation(x);
	x->in_use = link_in_use();
	x->w.worker_count = 1;
	x->w.now_ns = 1000 * 1000000000ull;
	x->w.now_s = 1000;
	x->w.count = &x->count;
	x->w.ports = x->ports;
	x->w.tx = x->tx;
	x->w.answers = &x->answers;
	x->w.generation = &x->generation;
	x->w.answers_inside = &x->answers_inside;
	x->w.tunnels = x->tunnels;
	x->w.mbufs = pool;
	x->w.datagrams = datagrams;
	x->w.arp_limit.per_second = x->w.punt_limit.per_second = x->w.pmtu_limit.per_second =
		1000000;
	for (unsigned i = 0; i < DP_SERVER_LIMITS; i++)
		x->w.server_limit[i].per_second = 1000000;
	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++)
		x->w.echo_limit[id].per_second = x->w.arp_answer_limit[id].per_second = 1000000;
	if (dp_peers_create(&peers) == 0)
		dp_peers_add(peers, &peer, 0);
	x->w.peers = peers;
	x->w.exception = make_exception();
	x->w.punt = make_ring("punt");
	x->w.send = make_ring("send");
	x->w.hold = dp_hold_create();
	if (!x->w.peers || !x->w.exception || !x->w.punt || !x->w.send || !x->w.hold ||
	    dp_nexthops_create(&x->w.nexthops) != 0 ||
	    dp_shares_create(&x->w.shares, SOCKET_ID_ANY) != 0 ||
	    dp_reassembly_create(&x->w.reassembly, 1, SOCKET_ID_ANY) != 0) {
		link_destroy(x);
		return NULL;
	}
	return x;
}

static void clear_batch(struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (b->p[i].verdict != DP_TAKEN)
			rte_pktmbuf_free(b->p[i].m);
	b->n = 0;
}

static void clear_parsed(struct link_world *x)
{
	clear_batch(&x->path);
	clear_batch(&x->egress);
	clear_batch(&x->hairpin);
	clear_batch(&x->fragments);
	clear_batch(&x->local);
}

struct dp_pkt *link_parse(struct link_world *x, enum dp_port_id port, struct rte_mbuf *m)
{
	struct dp_batch *to[] = { &x->path, &x->egress, &x->hairpin, &x->fragments, &x->local };
	struct dp_from_cluster from_cluster;
	struct dp_from_uplink from_uplink;
	struct dp_pkt *p = NULL;

	clear_parsed(x);
	if (port == DP_PORT_UPLINK) {
		dp_parse_uplink(&x->w, &m, 1, &from_uplink);
		x->path = from_uplink.esp;
		x->egress = from_uplink.egress;
		x->fragments = from_uplink.fragments;
		x->local = from_uplink.local;
	} else {
		dp_parse_cluster(&x->w, &m, 1, &from_cluster);
		x->path = from_cluster.forward;
		x->egress = from_cluster.egress;
		x->hairpin = from_cluster.hairpin;
		x->local = from_cluster.local;
	}
	for (unsigned i = 0; i < RTE_DIM(to); i++) {
		assert(to[i]->n == 0 || (to[i]->n == 1 && !p));
		p = to[i]->n ? &to[i]->p[0] : p;
	}
	assert(p);
	return p;
}

static void clear_ring(struct rte_ring *ring)
{
	void *m;

	while (ring && rte_ring_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
}

void link_clear(struct link_world *x)
{
	clear_parsed(x);
	clear_batch(&x->answers);
	clear_batch(&x->answers_inside);
	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		rte_pktmbuf_free_bulk(x->tx[id].m, x->tx[id].n);
		x->tx[id].n = 0;
	}
	clear_ring(x->w.punt);
	clear_ring(x->w.send);
	clear_ring(x->w.exception ? x->w.exception->in : NULL);
}

unsigned link_destroy(struct link_world *x)
{
	unsigned in_use;

	link_clear(x);
	dp_reassembly_destroy(x->w.reassembly);
	dp_hold_destroy(x->w.hold);
	dp_nexthops_destroy(x->w.nexthops);
	rte_ring_free(x->w.punt);
	rte_ring_free(x->w.send);
	if (x->w.exception)
		rte_ring_free(x->w.exception->in);
	free((struct dp_exception *)(uintptr_t)x->w.exception);
	dp_peers_destroy((struct dp_peers *)(uintptr_t)x->w.peers);
	in_use = x->in_use;
	free(x);
	return link_in_use() - in_use;
}
