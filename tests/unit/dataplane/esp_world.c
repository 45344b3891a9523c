/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/dataplane/esp_world.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/esp_in.h"
#include "dataplane/esp_out.h"
#include "dataplane/larval.h"
#include "dataplane/peers.h"
#include "dataplane/resync.h"

#define BUFFERS 127u
#define ETHERNET 14u

static struct rte_mempool *pool;

int world_eal(void **state)
{
	char *arguments[] = { "test",           "--no-huge", "--no-pci", "--no-shconf",
		              "--no-telemetry", "-m",        "64",       "--log-level=error" };

	(void)state;
	if (pool)
		return 0;
	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
	                               SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

struct world *world_create(uint16_t worker, uint32_t capacity)
{
	struct world *x = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*x));

	assert_non_null(x);
	memset(x, 0, sizeof(*x));
	x->w.index = worker;
	x->w.tunnels = x->tunnels;
	x->w.count = &x->count;
	x->w.mbufs = pool;
	x->w.now_s = 1000;
	x->w.now_ns = 1000 * 1000000000ull;
	x->w.now_tsc = 5000;
	x->w.resync_limit.per_second = DP_RESYNC_WORKER_PER_SECOND;
	x->w.epoch_limit.per_second = DP_OVPN_EPOCH_WORKER_PER_SECOND;
	for (unsigned i = 0; i < WORLD_TUNNELS; i++)
		x->tunnels[i].environment = (uint16_t)(i + 100);
	assert_int_equal(dp_crypto_create(&x->w.crypto, true), 0);
	assert_int_equal(dp_sa_table_create(&x->w.sas, worker, capacity, SOCKET_ID_ANY), 0);
	assert_int_equal(dp_peers_create(&x->peers), 0);
	x->w.peers = x->peers;
	x->w.larval = dp_larval_create();
	assert_non_null(x->w.larval);
	x->random = 0x01234567;
	return x;
}

void world_destroy(struct world *x)
{
	world_clear(x);
	dp_sa_table_destroy(x->w.sas);
	dp_crypto_destroy(x->w.crypto);
	dp_larval_destroy(x->w.larval);
	dp_peers_destroy(x->peers);
	free(x);
	assert_int_equal(rte_mempool_avail_count(pool), BUFFERS);
}

struct ipc_sa_add world_add_request(enum ipc_direction direction, uint32_t spi,
                                    enum ipc_algorithm algorithm, uint32_t flags)
{
	const struct peer_suite suite = peer_suite(algorithm);
	struct ipc_sa_add add = {
		.tunnel = { .environment = "production", .server = "a" },
		.id = { .spi_be = htonl(spi), .direction = (uint8_t)direction },
		.local_be = htonl(WORLD_LOCAL),
		.remote_be = htonl(WORLD_REMOTE),
		.flags = flags,
		.algorithm = (uint16_t)algorithm,
		.key_length = (uint16_t)(suite.key_bytes +
		                         (suite.integrity_bytes ? suite.integrity_bytes : 4u)),
		.replay_window = 64,
	};
	uint64_t state = 0x9e3779b97f4a7c15ull ^ spi ^ (uint64_t)direction << 40;

	add.id.destination_be = direction == IPC_IN ? add.local_be : add.remote_be;
	if (flags & IPC_SA_UDP) {
		add.local_port_be = htons(4500);
		add.remote_port_be = htons(4500);
	}
	for (unsigned i = 0; i < add.key_length; i++)
		add.key[i] = (uint8_t)(peer_random(&state) >> 32);
	return add;
}

int world_add(struct world *x, const struct ipc_sa_add *add, uint16_t tunnel)
{
	void *memory = dp_sa_alloc(x->w.sas, (enum ipc_direction)add->id.direction);
	int rc;

	assert_non_null(memory);
	rc = dp_sa_add(&x->w, add, tunnel, (uint16_t)(tunnel + 100), WORLD_EPOCH, WORLD_LINK_MTU,
	               memory);
	if (rc != 0)
		dp_sa_free(memory);
	return rc;
}

struct dp_sa_in *world_add_in(struct world *x, uint16_t tunnel, enum ipc_algorithm algorithm,
                              uint32_t flags)
{
	struct ipc_sa_add add;
	uint32_t spi_be;

	assert_int_equal(dp_sa_spi_alloc(&x->w, tunnel, x->random++, &spi_be), 0);
	add = world_add_request(IPC_IN, ntohl(spi_be), algorithm, flags);
	assert_int_equal(world_add(x, &add, tunnel), 0);
	return dp_sa_lookup(x->w.sas, spi_be)->sa;
}

struct dp_sa_out *world_add_out(struct world *x, uint16_t tunnel, uint32_t spi,
                                enum ipc_algorithm algorithm, uint32_t flags)
{
	struct ipc_sa_add add = world_add_request(IPC_OUT, spi, algorithm, flags);

	assert_int_equal(world_add(x, &add, tunnel), 0);
	return x->tunnels[tunnel].out;
}

struct esp_peer world_peer(const struct ipc_sa_add *add)
{
	int is_in = add->id.direction == IPC_IN;
	struct esp_peer peer = {
		.algorithm = add->algorithm,
		.spi = ntohl(add->id.spi_be),
		.is_esn = (add->flags & IPC_SA_ESN) != 0,
		.is_udp = (add->flags & IPC_SA_UDP) != 0,
		.source = ntohl(is_in ? add->remote_be : add->local_be),
		.destination = ntohl(is_in ? add->local_be : add->remote_be),
		.source_port = ntohs(is_in ? add->remote_port_be : add->local_port_be),
		.destination_port = ntohs(is_in ? add->local_port_be : add->remote_port_be),
	};

	memcpy(peer.key, add->key, add->key_length);
	return peer;
}

static struct dp_pkt *push(struct world *x, const uint8_t *packet, unsigned length)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct dp_pkt *p = &x->batch.p[x->batch.n];
	uint8_t *frame;

	assert_non_null(m);
	assert_true(x->batch.n < DP_BURST);
	x->batch.n++;
	frame = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ETHERNET + length));
	assert_non_null(frame);
	memset(frame, 0xee, ETHERNET);
	memcpy(frame + ETHERNET, packet, length);
	memset(p, 0, sizeof(*p));
	p->m = m;
	p->l3 = frame + ETHERNET;
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = packet[9];
	p->environment = DP_NONE_SLOT;
	p->tunnel = DP_NONE_SLOT;
	p->verdict = DP_OK;
	return p;
}

struct dp_pkt *world_push_outer(struct world *x, const uint8_t *packet, unsigned length)
{
	struct dp_pkt *p = push(x, packet, length);

	p->port = DP_PORT_UPLINK;
	p->esp = p->l3 + (p->protocol == IPPROTO_UDP ? 28 : 20);
	return p;
}

struct dp_pkt *world_push_inner(struct world *x, const uint8_t *packet, unsigned length,
                                uint16_t tunnel)
{
	struct dp_pkt *p = push(x, packet, length);

	p->port = DP_PORT_CLUSTER;
	p->tunnel = tunnel;
	p->environment = (uint16_t)(tunnel + 100);
	return p;
}

void world_clear(struct world *x)
{
	for (unsigned i = 0; i < x->batch.n; i++) {
		if (x->batch.p[i].verdict != DP_TAKEN)
			rte_pktmbuf_free(x->batch.p[i].m);
	}
	x->batch.n = 0;
}

void world_in(struct world *x)
{
	dp_esp_in_lookup(&x->w, &x->batch);
	dp_esp_in_decrypt(&x->w, &x->batch);
}

void world_out(struct world *x)
{
	dp_esp_out_encapsulate(&x->w, &x->batch);
	dp_esp_out_encrypt(&x->w, &x->batch);
}
