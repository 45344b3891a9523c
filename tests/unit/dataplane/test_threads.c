/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that threads share, at once: running workers, the control thread's requests, readers
 * of statistics, next hops. The results are looked at, but the judge is ThreadSanitizer
 * (scripts/test unit-tsan).
 *
 * The dataplane is started as its control thread starts it, on ports that receive nothing
 * (net_null). Frames come in by a function that runs on a worker and passes them to the path as
 * received: those for another home cross the hand-off rings. Buffers never come back to be used
 * again, as the pool is an uninstrumented library's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/stats_layout.h"
#include "dataplane/ctl_requests.h"
#include "dataplane/nexthop.h"
#include "dataplane/path.h"
#include "dataplane/peers.h"
#include "dataplane/wire.h"

#define WORKERS 3u
#define ENVIRONMENTS 6u /* two of each home */
#define ROUNDS 150u
#define BURST 16u
#define HANDED 4000u
#define PEER_ROUNDS 3000u
#define PORT_ROUNDS 200000u
#define OTHERS 0x64400000u
#define UPLINK 0xcb00710au
#define UPLINK_ROUTER 0xcb007101u
#define CLUSTER 0x0a000002u
#define CLUSTER_ROUTER 0x0a000001u
#define POD 0x0a000020u /* + environment */
#define CLIENT 0x0a000105u
#define REMOTE 0xc6336465u /* + environment */
#define TARGET 0xc0a8641eu
#define TCP 6
#define SYN 2
#define ESP_BYTES 100u

static struct {
	struct dp_core core;
	struct dp_requests requests;
	struct dp_reply reply;
	char directory[64];
	uint32_t spi_in_be[ENVIRONMENTS];
	uint32_t spi_out;
	uint64_t generation;
	uint64_t next_port;
	atomic_bool is_over;
} x;

/* ---- the control thread's requests ---- */

static int request(uint16_t type, const void *body, size_t length)
{
	struct ipc_header header = { .type = type, .length = (uint32_t)(sizeof(header) + length) };

	dp_request(&x.requests, &header, body, &x.reply);
	return x.reply.status;
}

static struct ipc_tunnel tunnel_id(unsigned environment)
{
	struct ipc_tunnel id = { .server = "a" };

	snprintf(id.environment, sizeof(id.environment), "e%u", environment);
	return id;
}

/* Forwards of another target each time: sessions of the one before end. */
static void commit(void)
{
	struct ipc_generation g = { .generation = ++x.generation };

	assert_int_equal(request(IPC_CONFIG_BEGIN, &g, sizeof(g)), 0);
	for (unsigned i = 0; i < ENVIRONMENTS; i++) {
		struct ipc_environment e = { .pod_address_be = htonl(POD + i),
			                     .session_quota = 10000,
			                     .source_count = 1,
			                     .sources = { { .address_be = htonl(0x0a000000),
			                                    .length = 8 } } };
		struct ipc_server s = { .id = tunnel_id(i) };
		struct ipc_forward f = { .to_address_be =
			                         htonl(TARGET + (uint32_t)(x.generation % 3)),
			                 .to_port_be = htons(80),
			                 .port_be = htons(33000),
			                 .protocol = TCP };

		memcpy(e.name, s.id.environment, sizeof(e.name));
		memcpy(f.environment, s.id.environment, sizeof(f.environment));
		assert_int_equal(request(IPC_CONFIG_ENVIRONMENT, &e, sizeof(e)), 0);
		assert_int_equal(request(IPC_CONFIG_SERVER, &s, sizeof(s)), 0);
		assert_int_equal(request(IPC_CONFIG_FORWARDS, &f, sizeof(f)), 0);
	}
	assert_int_equal(request(IPC_CONFIG_COMMIT, &g, sizeof(g)), 0);
}

static struct ipc_sa_add sa_add(unsigned environment, enum ipc_direction direction, uint32_t spi_be)
{
	struct ipc_sa_add add = { .tunnel = tunnel_id(environment),
		                  .id = { .spi_be = spi_be, .direction = (uint8_t)direction },
		                  .local_be = htonl(UPLINK),
		                  .remote_be = htonl(REMOTE + environment),
		                  .local_port_be = htons(4500),
		                  .remote_port_be = htons(4500),
		                  .flags = IPC_SA_UDP | IPC_SA_ESN,
		                  .algorithm = IPC_AES128_GCM16,
		                  .key_length = 20,
		                  .replay_window = 64 };

	add.id.destination_be = direction == IPC_IN ? add.local_be : add.remote_be;
	memset(add.key, (int)environment, add.key_length);
	return add;
}

static void add_pair(unsigned environment)
{
	struct ipc_tunnel id = tunnel_id(environment);
	struct ipc_sa_add add;

	assert_int_equal(request(IPC_SPI_ALLOC, &id, sizeof(id)), 0);
	x.spi_in_be[environment] = ((const struct ipc_spi *)x.reply.body)->spi_be;
	add = sa_add(environment, IPC_IN, x.spi_in_be[environment]);
	assert_int_equal(request(IPC_SA_ADD, &add, sizeof(add)), 0);
	add = sa_add(environment, IPC_OUT, htonl(++x.spi_out));
	assert_int_equal(request(IPC_SA_ADD, &add, sizeof(add)), 0);
}

static void delete (unsigned environment, enum ipc_direction direction, uint32_t spi_be)
{
	struct ipc_sa_add add = sa_add(environment, direction, spi_be);

	assert_int_equal(request(IPC_SA_DEL, &add.id, sizeof(add.id)), 0);
}

/* A fresh pair, then the old one goes: as a rekey. */
static void rekey(unsigned environment, uint32_t old_spi_out)
{
	uint32_t old_in_be = x.spi_in_be[environment];

	add_pair(environment);
	delete (environment, IPC_IN, old_in_be);
	delete (environment, IPC_OUT, htonl(old_spi_out));
}

/* Reads a list to its end; returns how many entries it has. */
static unsigned list(uint16_t type)
{
	struct ipc_session_query query = { .limit = 1000 };
	unsigned n = 0;

	do {
		const struct ipc_list *l = (const struct ipc_list *)x.reply.body;
		bool is_sessions = type == IPC_SESSIONS;

		assert_int_equal(request(type, &query,
		                         is_sessions ? sizeof(query) : sizeof(struct ipc_cursor)),
		                 0);
		n += l->count;
		query.cursor = l->next;
	} while (query.cursor);
	return n;
}

/* ---- frames ---- */

struct injection {
	enum dp_port_id port;
	unsigned environment; /* the first one's; the others follow */
};

/* A SYN to an environment from the cluster, or a forged ESP packet for its current SA. */
static struct rte_mbuf *frame(enum dp_port_id port, unsigned environment, uint16_t source_port,
                              uint32_t spi_be)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(x.core.mbufs);
	uint16_t length = port == DP_PORT_CLUSTER ? 40 : 28 + ESP_BYTES;
	uint8_t *eth, *ip;

	if (!m)
		return NULL;
	eth = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + length));
	ip = eth + 14;
	memset(eth, 0, 14u + length);
	memcpy(eth, &x.core.ports[port].mac, 6);
	eth[12] = 8;
	m->port = port;
	if (port == DP_PORT_CLUSTER) {
		dp_ipv4_write(ip, length, 64, TCP, htonl(CLIENT), htonl(POD + environment));
		dp_store16(ip + 20, htons(source_port));
		dp_store16(ip + 22, htons(33000));
		ip[32] = 0x50;
		ip[33] = SYN;
	} else {
		dp_ipv4_write(ip, length, 64, 17, htonl(REMOTE + environment), htonl(UPLINK));
		dp_store16(ip + 20, htons(4500));
		dp_store16(ip + 22, htons(4500));
		dp_store16(ip + 24, htons(8 + ESP_BYTES));
		dp_store32(ip + 28, spi_be);
		dp_store32(ip + 32, htonl(1));
	}
	return m;
}

/* Runs on a worker: a burst for all environments, whatever their homes are. */
static int inject(struct dp_worker *w, void *argument)
{
	const struct injection *q = argument;
	struct rte_mbuf *m[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		unsigned environment = (q->environment + i) % ENVIRONMENTS;

		m[i] = frame(q->port, environment, (uint16_t)(1024 + x.next_port++ % 30000),
		             x.spi_in_be[environment]);
		if (!m[i])
			return -ENOMEM;
	}
	dp_path_received(w, q->port, m, BURST);
	return 0;
}

/* ---- next hops ---- */

static void resolve(void *context, enum dp_port_id port, uint32_t target_be, const uint8_t mac[6])
{
	uint32_t *asked_be = context;

	(void)mac;
	asked_be[port] = target_be; /* one of them is answered, once this call is over */
}

static void maintain(struct dp_nexthops *n, uint64_t now_ns)
{
	uint32_t asked_be[DP_PORT_COUNT] = { 0 };
	uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1 };

	dp_nexthop_maintain(n, now_ns, resolve, asked_be);
	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		dp_store32(arp + 14, asked_be[id]);
		memcpy(arp + 18, &x.core.ports[id].mac, 6);
		dp_store32(arp + 24, x.core.ports[id].address_be);
		if (asked_be[id])
			dp_nexthop_learn(n, id, &x.core.ports[id], arp, now_ns);
	}
}

/* ---- the tests ---- */

static void take_punted(void)
{
	struct rte_mbuf *m[64];
	unsigned n = rte_ring_dequeue_burst(x.core.punt, (void **)m, 64, NULL);

	rte_pktmbuf_free_bulk(m, n);
}

static uint64_t total(const struct sp_stats *stats, const char *name)
{
	for (uint32_t i = 0; i < sp_stats_count(stats); i++)
		if (strcmp(sp_stats_name(stats, i), name) == 0)
			return sp_stats_value(stats, i);
	fail_msg("no counter %s", name);
	return 0;
}

/* Counters only rise, whenever they are read. */
static void *read_statistics(void *argument)
{
	struct sp_stats *stats;
	char path[100];
	uint64_t before = 0;

	(void)argument;
	snprintf(path, sizeof(path), "%s/stats", x.directory);
	if (sp_stats_open(path, &stats) != 0)
		return (void *)"cannot be opened";
	while (!atomic_load(&x.is_over)) {
		uint64_t loops = total(stats, "worker/loops");

		if (loops < before)
			return (void *)"went back";
		before = loops;
		usleep(100);
	}
	sp_stats_close(stats);
	return NULL;
}

/* Another worker that hands off what it received: for that one's home, or not. */
static void *hand_off(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < HANDED && !atomic_load(&x.is_over); i++) {
		struct rte_mbuf *m =
			frame(DP_PORT_CLUSTER, i % ENVIRONMENTS, (uint16_t)(32000 + i), 0);

		if (!m)
			return (void *)"no buffer";
		if (rte_ring_enqueue(x.core.workers[WORKERS - 1 - i % WORKERS]->handoff_in, m) != 0)
			rte_pktmbuf_free(m);
		if (i % 8 == 0)
			usleep(500);
	}
	return NULL;
}

static void everything_at_once(void **state)
{
	struct sp_stats *stats;
	pthread_t reader, other;
	void *complaint;
	char path[100];

	(void)state;
	atomic_store(&x.is_over, false);
	assert_int_equal(pthread_create(&reader, NULL, read_statistics, NULL), 0);
	assert_int_equal(pthread_create(&other, NULL, hand_off, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct dp_worker *w = x.core.workers[round % WORKERS];
		struct injection out = { DP_PORT_CLUSTER, round }, in = { DP_PORT_UPLINK, round };
		unsigned environment = round % ENVIRONMENTS;

		assert_int_equal(dp_worker_call(w, inject, &out), 0);
		assert_int_equal(dp_worker_call(w, inject, &in), 0);
		assert_int_equal(list(IPC_TUNNELS), ENVIRONMENTS); /* while the others work */
		assert_int_equal(list(IPC_STATE), ENVIRONMENTS);
		if (round % 5 == 0)
			commit();
		if (round < ENVIRONMENTS) { /* from the first pair to the second */
			rekey(environment, 1000 + environment + 1);
		} else {
			rekey(environment, x.spi_out + 1 - ENVIRONMENTS);
		}
		maintain(x.core.nexthops, 1000000000ull * (round + 1));
		take_punted();
		assert_int_equal(list(IPC_SA_LIST), 2 * ENVIRONMENTS);
		list(IPC_SESSIONS);
	}
	atomic_store(&x.is_over, true);
	pthread_join(other, &complaint);
	if (complaint)
		fail_msg("hand-off: %s", (char *)complaint);
	pthread_join(reader, &complaint);
	if (complaint)
		fail_msg("statistics: %s", (char *)complaint);
	snprintf(path, sizeof(path), "%s/stats", x.directory);
	assert_int_equal(sp_stats_open(path, &stats), 0);
	assert_true(total(stats, "worker/handoffs") > ROUNDS * BURST);
	assert_true(total(stats, "sessions/created") > ROUNDS * BURST / 2);
	assert_true(total(stats, "esp/out-packets") > ROUNDS * BURST / 2);
	assert_true(total(stats, "drop/esp-icv") > ROUNDS * BURST / 2);
	assert_true(total(stats, "port/uplink/tx-packets") > 0);
	sp_stats_close(stats);
}

/* A server that stays is found, and so is a port that it has, whatever others do beside it. */
static void *look_for_peers(void *argument)
{
	const struct dp_worker *w = argument;
	const char *complaint = NULL;

	while (!complaint && !atomic_load(&x.is_over)) {
		if (!dp_peers_has(w->peers, htonl(REMOTE)))
			complaint = "a server is gone";
		else if (dp_peers_port(w->peers, htons(4500)) != DP_PEER_PORT_NATT)
			complaint = "a port is gone";
	}
	return (void *)complaint;
}

static void peers_that_stay_are_found(void **state)
{
	struct ipc_peer peer = { .natt_port_be = htons(4500), .ike_port_be = htons(500) };
	void *complaint;
	pthread_t reader;

	(void)state;
	atomic_store(&x.is_over, false);
	assert_int_equal(pthread_create(&reader, NULL, look_for_peers, x.core.workers[0]), 0);
	for (unsigned round = 0; round < PEER_ROUNDS; round++) {
		unsigned environment = 1 + round % (ENVIRONMENTS - 1);

		peer.id = tunnel_id(environment);
		peer.remote_be = htonl(OTHERS + round);
		assert_int_equal(request(IPC_PEER_SET, &peer, sizeof(peer)), 0);
	}
	/* one address and another port: the only one that is left with it */
	for (unsigned environment = 1; environment < ENVIRONMENTS; environment++) {
		peer = (struct ipc_peer){ .id = tunnel_id(environment) };
		assert_int_equal(request(IPC_PEER_SET, &peer, sizeof(peer)), 0);
	}
	peer = (struct ipc_peer){ .id = tunnel_id(0),
		                  .remote_be = htonl(REMOTE),
		                  .natt_port_be = htons(4500) };
	for (unsigned round = 0; round < PORT_ROUNDS; round++) {
		peer.ike_port_be = htons((uint16_t)(500 + round % 2));
		dp_core_set_peer(&x.core, dp_core_find_tunnel(&x.core, &peer.id), &peer);
	}
	atomic_store(&x.is_over, true);
	pthread_join(reader, &complaint);
	if (complaint)
		fail_msg("peers: %s", (char *)complaint);
}

static int start(void **state)
{
	struct ipc_node node = { .name = "threads",
		                 .cores = "auto",
		                 .workers = WORKERS,
		                 .sessions = 9000,
		                 .mbufs = 16384,
		                 .memory_mb = 512,
		                 .idle = IPC_IDLE_ADAPTIVE,
		                 .hugepages = IPC_HUGEPAGES_OFF };
	char why[256] = "";

	(void)state;
	snprintf(node.uplink.device, sizeof(node.uplink.device), "vdev:net_null0,no-rx=1");
	snprintf(node.cluster.device, sizeof(node.cluster.device), "vdev:net_null1,no-rx=1");
	node.uplink.address_be = htonl(UPLINK);
	node.uplink.router_be = htonl(UPLINK_ROUTER);
	node.cluster.address_be = htonl(CLUSTER);
	node.cluster.router_be = htonl(CLUSTER_ROUTER);
	node.uplink.prefix_length = node.cluster.prefix_length = 24;
	node.uplink.mtu = node.cluster.mtu = 1500;
	node.uplink.queues = node.cluster.queues = 1;
	snprintf(x.directory, sizeof(x.directory), "/tmp/sallyport-threads-XXXXXX");
	if (!mkdtemp(x.directory))
		return -1;
	setenv("RUNTIME_DIRECTORY", x.directory, 1); /* EAL's files */
	snprintf(x.core.instance, sizeof(x.core.instance), "threads-%d", (int)getpid());
	snprintf(x.core.run_dir, sizeof(x.core.run_dir), "%s", x.directory);
	x.core.epoch = 1;
	x.requests.core = &x.core;
	x.requests.staging = dp_staging_create();
	if (request(IPC_NODE, &node, sizeof(node)) != 0) {
		memcpy(why, x.reply.body, sizeof(why) - 1);
		print_error("%s\n", why);
		return -1;
	}
	commit();
	x.spi_out = 1000;
	for (unsigned i = 0; i < ENVIRONMENTS; i++) {
		struct ipc_tunnel_state up = { .id = tunnel_id(i),
			                       .inner_address_be = htonl(0x0a030005),
			                       .is_up = 1 };

		struct ipc_peer peer = { .id = up.id,
			                 .remote_be = htonl(REMOTE + i),
			                 .ike_port_be = htons(500),
			                 .natt_port_be = htons(4500) };

		if (request(IPC_PEER_SET, &peer, sizeof(peer)) != 0)
			return -1;
		add_pair(i);
		if (request(IPC_TUNNEL_SET, &up, sizeof(up)) != 0)
			return -1;
	}
	for (unsigned i = 1; i < 50; i++)
		maintain(x.core.nexthops, i * 100000000ull);
	return 0;
}

static int stop(void **state)
{
	char command[100];

	(void)state;
	dp_core_stop(&x.core);
	dp_staging_destroy(x.requests.staging);
	snprintf(command, sizeof(command), "rm -rf %s", x.directory);
	return system(command);
}

/* ---- one table of next hops, many threads ---- */

#define HOPS 500u
#define HOP_ROUNDS 300u

static uint32_t hop_be(unsigned i)
{
	return htonl(0x0a010000 + i);
}

/* Adds and looks up as a worker does; a MAC address is whole or not there. */
static void *use_hops(void *nexthops)
{
	const uint8_t expected[6] = { 2, 0, 0, 0, 0, 1 };
	uint8_t mac[6];

	for (unsigned i = 0; i < HOP_ROUNDS * HOPS && !atomic_load(&x.is_over); i++) {
		dp_nexthop_want(nexthops, DP_PORT_CLUSTER, hop_be(i * 7 % HOPS));
		if (dp_nexthop_lookup(nexthops, DP_PORT_CLUSTER, hop_be(i % HOPS), mac) &&
		    memcmp(mac, expected, 6) != 0)
			return (void *)"half a MAC address";
	}
	return NULL;
}

static void next_hops_of_many_threads(void **state)
{
	pthread_t users[3];
	struct dp_nexthops *n;
	uint8_t mac[6];
	unsigned resolved = 0;

	(void)state;
	atomic_store(&x.is_over, false);
	assert_int_equal(dp_nexthops_create(&n), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&users[i], NULL, use_hops, n), 0);
	for (unsigned i = 1; i <= 2 * HOPS; i++) /* and forgets them meanwhile */
		maintain(n, i * 300000000ull);
	atomic_store(&x.is_over, true);
	for (unsigned i = 0; i < 3; i++) {
		void *complaint;

		pthread_join(users[i], &complaint);
		if (complaint)
			fail_msg("%s", (char *)complaint);
	}
	for (unsigned i = 0; i < HOPS; i++)
		resolved += dp_nexthop_lookup(n, DP_PORT_CLUSTER, hop_be(i), mac);
	assert_true(resolved > 0);
	dp_nexthops_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(next_hops_of_many_threads), cmocka_unit_test(everything_at_once),
		cmocka_unit_test(peers_that_stay_are_found), /* it changes them */
	};

	return cmocka_run_group_tests(tests, start, stop);
}
