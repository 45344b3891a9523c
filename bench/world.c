/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Its control plane is this file: the same requests, in the same order. */
#include "bench/world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_mbuf.h>

#include "bench/frames.h"
#include "dataplane/egress.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_session.h"
#include "dataplane/nexthop.h"
#include "dataplane/path.h"
#include "dataplane/wire.h"

#define ROUTER_UPLINK 0xcb007101u
#define ROUTER_CLUSTER 0x0a000001u
#define CLUSTER 0x0a000002u
#define NATT_PORT 4500u
#define IKE_PORT 500u
#define WINDOW 4096u /* of the inbound SA, packets */
#define SMALLEST 64u /* IPv4 bytes of a handshake's segments */

static const struct ipc_tunnel tunnel_id = { .environment = "bench", .server = "a" };

static int request(struct world *world, uint16_t type, const void *body, size_t length)
{
	struct ipc_header header = { .type = type, .length = (uint32_t)(sizeof(header) + length) };

	dp_request(&world->requests, &header, body, &world->reply);
	return world->reply.status;
}

/* ---- start ---- */

static struct ipc_node describe_node(const struct world_options *o)
{
	struct ipc_node node = { .name = "bench",
		                 .cores = "auto",
		                 .workers = 1,
		                 .sessions = 4096 + o->sessions * WORLD_KINDS,
		                 .idle = IPC_IDLE_ADAPTIVE,
		                 .hugepages = o->hugepages,
		                 .route_count = 1 };

	snprintf(node.uplink.device, sizeof(node.uplink.device), "vdev:net_null0,no-rx=1");
	snprintf(node.cluster.device, sizeof(node.cluster.device), "vdev:net_null1,no-rx=1");
	node.uplink.address_be = rte_cpu_to_be_32(WORLD_UPLINK);
	node.uplink.router_be = rte_cpu_to_be_32(ROUTER_UPLINK);
	node.uplink.prefix_length = 24;
	node.cluster.address_be = rte_cpu_to_be_32(CLUSTER);
	node.cluster.router_be = rte_cpu_to_be_32(ROUTER_CLUSTER);
	node.cluster.prefix_length = 32;
	node.uplink.mtu = node.cluster.mtu = 1500;
	node.uplink.queues = node.cluster.queues = 1;
	node.routes[0] =
		(struct ipc_prefix){ .address_be = rte_cpu_to_be_32(0x0a000000), .length = 8 };
	return node;
}

/* From here on the calling thread is the worker: dp_worker_call() calls directly. */
static void take_place_of_worker(struct world *world)
{
	atomic_store(&world->w->stop, true);
	rte_eal_wait_lcore(world->w->lcore);
}

static int send_forwards(struct world *world)
{
	unsigned count = (world->options.sessions - 1) / WORLD_CALLS_PER_TARGET + 1, n = 0;
	struct ipc_forward forwards[IPC_FORWARDS_MAX];

	for (unsigned i = 0; i < count; i++) {
		struct ipc_forward *f = &forwards[n++];
		int rc;

		*f = (struct ipc_forward){
			.to_address_be = rte_cpu_to_be_32(WORLD_TARGET + i),
			.to_port_be = rte_cpu_to_be_16(WORLD_TARGET_PORT),
			.port_be = rte_cpu_to_be_16((uint16_t)(WORLD_FORWARD_PORT + i)),
			.protocol = IPPROTO_TCP,
		};
		memcpy(f->environment, tunnel_id.environment, sizeof(f->environment));
		if (n < IPC_FORWARDS_MAX && i + 1 < count)
			continue;
		rc = request(world, IPC_CONFIG_FORWARDS, forwards, n * sizeof(*forwards));
		if (rc)
			return rc;
		n = 0;
	}
	return 0;
}

/* One environment, which everybody may call, and egress for everybody. Nothing answers probes here,
 * so none is sent. */
static int commit(struct world *world)
{
	struct ipc_generation g = { .generation = 1 };
	struct ipc_prefix everybody = { .address_be = rte_cpu_to_be_32(0x0a000000), .length = 8 };
	struct ipc_environment e = { .pod_address_be = rte_cpu_to_be_32(WORLD_POD),
		                     .session_quota = 4096 + world->options.sessions,
		                     .source_count = 1,
		                     .sources = { everybody },
		                     .flags = IPC_ENVIRONMENT_UNPROBED };
	struct ipc_server server = { .id = tunnel_id };
	struct ipc_egress egress = { .address_count = 1,
		                     .source_count = 1,
		                     .addresses_be = { rte_cpu_to_be_32(WORLD_UPLINK) },
		                     .sources = { everybody } };
	int rc;

	memcpy(e.name, tunnel_id.environment, sizeof(e.name));
	rc = request(world, IPC_CONFIG_BEGIN, &g, sizeof(g));
	if (rc == 0)
		rc = request(world, IPC_CONFIG_ENVIRONMENT, &e, sizeof(e));
	if (rc == 0)
		rc = request(world, IPC_CONFIG_SERVER, &server, sizeof(server));
	if (rc == 0)
		rc = send_forwards(world);
	if (rc == 0)
		rc = request(world, IPC_CONFIG_EGRESS, &egress, sizeof(egress));
	return rc ? rc : request(world, IPC_CONFIG_COMMIT, &g, sizeof(g));
}

static int raise_tunnel(struct world *world)
{
	struct ipc_peer peer = { .id = tunnel_id,
		                 .remote_be = rte_cpu_to_be_32(WORLD_SERVER),
		                 .ike_port_be = rte_cpu_to_be_16(IKE_PORT),
		                 .natt_port_be = rte_cpu_to_be_16(NATT_PORT) };
	struct ipc_tunnel_state up = { .id = tunnel_id,
		                       .inner_address_be = rte_cpu_to_be_32(WORLD_INNER),
		                       .is_up = 1 };
	int rc = request(world, IPC_PEER_SET, &peer, sizeof(peer));

	if (rc == 0)
		rc = world_rekey(world, IPC_AES128_GCM16, false);
	return rc ? rc : request(world, IPC_TUNNEL_SET, &up, sizeof(up));
}

/* Both routers answer as soon as they are asked. */
static void resolve(void *context, enum dp_port_id port, uint32_t target_be, const uint8_t mac[6])
{
	uint32_t *asked_be = context;

	(void)mac;
	asked_be[port] = target_be;
}

static void resolve_routers(struct world *world)
{
	uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2 };
	uint32_t asked_be[DP_PORT_COUNT] = { 0 };

	dp_nexthop_maintain(world->core.nexthops, world->w->now_ns, resolve, asked_be);
	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		dp_store32(arp + 14, asked_be[id]);
		memcpy(arp + 18, &world->core.ports[id].mac, 6);
		dp_store32(arp + 24, world->core.ports[id].address_be);
		dp_nexthop_learn(world->core.nexthops, id, &world->core.ports[id], arp,
		                 world->w->now_ns);
	}
}

int world_start(struct world *world, const struct world_options *options, char why[256])
{
	struct ipc_node node = describe_node(options);
	int rc;

	memset(world, 0, sizeof(*world));
	world->options = *options;
	snprintf(world->directory, sizeof(world->directory), "/tmp/sallyport-bench-XXXXXX");
	snprintf(why, 256, "cannot make %s", world->directory);
	if (!mkdtemp(world->directory))
		return -errno;
	setenv("RUNTIME_DIRECTORY", world->directory, 1); /* EAL's files */
	snprintf(world->core.instance, sizeof(world->core.instance), "bench-%d", (int)getpid());
	snprintf(world->core.run_dir, sizeof(world->core.run_dir), "%s", world->directory);
	world->core.epoch = 1;
	world->requests.core = &world->core;
	world->requests.staging = dp_staging_create();
	rc = world->requests.staging ? dp_core_start(&world->core, &node, why) : -ENOMEM;
	if (rc)
		return rc;
	world->w = world->core.workers[0];
	take_place_of_worker(world);
	rc = commit(world);
	snprintf(why, 256, "the configuration was refused: %.200s",
	         ((const struct ipc_refusal *)world->reply.body)->reason);
	if (rc == 0) {
		rc = dp_crypto_create(&world->crypto, false);
		snprintf(why, 256, "the tunnel cannot be raised");
	}
	if (rc == 0)
		rc = raise_tunnel(world);
	if (rc == 0)
		resolve_routers(world);
	return rc;
}

void world_stop(struct world *world)
{
	char command[100];

	for (unsigned i = 0; i < WORLD_KINDS; i++)
		free(world->ports_be[i]);
	dp_crypto_destroy(world->crypto);
	dp_core_stop(&world->core);
	dp_staging_destroy(world->requests.staging);
	snprintf(command, sizeof(command), "rm -rf %s", world->directory);
	if (*world->directory && system(command) != 0)
		fprintf(stderr, "bench: cannot remove %s\n", world->directory);
}

/* ---- keys ---- */

static struct ipc_sa_add describe_sa(const struct world *world, enum ipc_direction direction,
                                     uint32_t spi_be)
{
	const struct dp_crypto_suite *suite = world->suite;
	struct ipc_sa_add add = { .tunnel = tunnel_id,
		                  .id = { .spi_be = spi_be, .direction = (uint8_t)direction },
		                  .local_be = rte_cpu_to_be_32(WORLD_UPLINK),
		                  .remote_be = rte_cpu_to_be_32(WORLD_SERVER),
		                  .flags = world->is_udp ? IPC_SA_UDP : 0,
		                  .algorithm = suite->algorithm,
		                  .replay_window = WINDOW };

	if (world->is_udp)
		add.local_port_be = add.remote_port_be = rte_cpu_to_be_16(NATT_PORT);
	add.id.destination_be = direction == IPC_IN ? add.local_be : add.remote_be;
	add.key_length = (uint16_t)(suite->key_bytes + suite->salt_bytes + suite->integrity_bytes);
	memset(add.key, direction, add.key_length);
	return add;
}

static void remove_sa(struct world *world, enum ipc_direction direction, uint32_t spi_be)
{
	struct ipc_sa_add old = describe_sa(world, direction, spi_be);

	if (spi_be)
		request(world, IPC_SA_DEL, &old.id, sizeof(old.id));
}

int world_rekey(struct world *world, unsigned algorithm, bool is_udp)
{
	static const uint8_t seed[DP_CRYPTO_SEED];
	uint32_t old_in_be = world->spi_in_be, old_out_be = world->spi_out_be;
	struct ipc_sa_add in, out;
	int rc;

	world->suite = dp_crypto_suite(algorithm);
	world->is_udp = is_udp;
	if (!world->suite)
		return -ENOTSUP;
	rc = request(world, IPC_SPI_ALLOC, &tunnel_id, sizeof(tunnel_id));
	if (rc)
		return rc;
	world->spi_in_be = ((const struct ipc_spi *)world->reply.body)->spi_be;
	world->spi_out_be = rte_cpu_to_be_32(rte_be_to_cpu_32(old_out_be) + 1000);
	in = describe_sa(world, IPC_IN, world->spi_in_be);
	out = describe_sa(world, IPC_OUT, world->spi_out_be);
	rc = dp_crypto_key_init(world->crypto, &world->key, algorithm, in.key, in.key_length, seed);
	if (rc == 0)
		rc = request(world, IPC_SA_ADD, &in, sizeof(in));
	if (rc == 0)
		rc = request(world, IPC_SA_ADD, &out, sizeof(out));
	memcpy(&world->salt, in.key + world->suite->key_bytes, sizeof(world->salt));
	world->sequence = 0;
	remove_sa(world, IPC_IN, old_in_be);
	remove_sa(world, IPC_OUT, old_out_be);
	return rc;
}

/* ---- packets ---- */

void world_turn(struct world *world, enum dp_port_id port, struct rte_mbuf **m, unsigned n)
{
	struct dp_worker *w = world->w;

	dp_worker_tick(w);
	dp_failover_tick(w);
	dp_path_received(w, port, m, n);
	dp_worker_tend(w);
}

unsigned world_take(struct world *world, enum dp_port_id port, struct rte_mbuf **m)
{
	struct dp_tx *tx = &world->w->tx[port];
	unsigned n = tx->n;

	memcpy(m, tx->m, n * sizeof(*m));
	tx->n = 0;
	return n;
}

/* ---- sessions ---- */

/* The port that the session got, from its flow. */
static int note_port(struct world *world, enum world_kind kind, uint32_t session,
                     const struct rte_mbuf *m)
{
	struct dp_flow_key key __rte_aligned(16);
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, RTE_ETHER_HDR_LEN);
	const struct dp_flow *flow;
	uint64_t hash;
	uint16_t scope = kind == WORLD_EGRESS ? DP_SCOPE_EGRESS
	                                      : world->core.generation->environments[0].slot;

	hash = dp_flow_key_load(world->w->flows, &key, ip,
	                        dp_flow_word(IPPROTO_TCP, DP_FLOW_OUTWARD, scope));
	flow = dp_flow_lookup(world->w->flows, &key, hash);
	if (!flow)
		return -ENOENT;
	world->ports_be[kind][session] = flow->source_port_be;
	return 0;
}

/* One burst through the path; all of it must come out on the other side. */
static int pass(struct world *world, const struct frame *frame, struct rte_mbuf **m,
                const uint32_t *sessions, unsigned n)
{
	bool is_out = frame->way == FRAME_FROM_CLUSTER;
	struct rte_mbuf *sent[DP_TX_BUFFER];

	frames_write(world, frame, m, sessions, n);
	world_turn(world, is_out ? DP_PORT_CLUSTER : DP_PORT_UPLINK, m, n);
	return world_take(world, is_out ? DP_PORT_UPLINK : DP_PORT_CLUSTER, sent) == n ? 0 : -EIO;
}

static int open_burst(struct world *world, enum world_kind kind, struct rte_mbuf **m,
                      uint32_t first, unsigned n)
{
	enum frame_way back = kind == WORLD_EGRESS ? FRAME_FROM_UPLINK : FRAME_FROM_TUNNEL;
	struct frame syn = { kind, FRAME_FROM_CLUSTER, FRAME_SYN, SMALLEST };
	struct frame syn_ack = { kind, back, FRAME_SYN_ACK, SMALLEST };
	struct frame ack = { kind, FRAME_FROM_CLUSTER, FRAME_DATA, SMALLEST };
	uint32_t sessions[DP_BURST];
	int rc;

	for (unsigned i = 0; i < n; i++)
		sessions[i] = first + i;
	rc = pass(world, &syn, m, sessions, n);
	frames_write(world, &syn, m, sessions, n); /* translated meanwhile: what it was */
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = note_port(world, kind, sessions[i], m[i]);
	if (rc == 0)
		rc = pass(world, &syn_ack, m, sessions, n);
	return rc ? rc : pass(world, &ack, m, sessions, n);
}

int world_open(struct world *world, enum world_kind kind)
{
	struct rte_mbuf *m[DP_BURST];
	int rc = 0;

	if (world->ports_be[kind])
		return 0;
	world->ports_be[kind] = calloc(world->options.sessions, sizeof(uint16_t));
	if (!world->ports_be[kind] || rte_pktmbuf_alloc_bulk(world->core.mbufs, m, DP_BURST) != 0)
		return -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < world->options.sessions; i += DP_BURST)
		rc = open_burst(world, kind, m, i, RTE_MIN(DP_BURST, world->options.sessions - i));
	rte_pktmbuf_free_bulk(m, DP_BURST);
	return rc;
}
