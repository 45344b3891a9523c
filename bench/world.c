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
#include "dataplane/ovpn_sa.h"
#include "dataplane/path.h"
#include "dataplane/wire.h"

#define ROUTER_UPLINK 0xcb007101u
#define ROUTER_CLUSTER 0x0a000001u
#define CLUSTER 0x0a000002u
#define NATT_PORT 4500u
#define IKE_PORT 500u
#define WINDOW 4096u    /* of the inbound SA, packets */
#define SPI_STEP 65536u /* of outbound SAs, from rekeying to rekeying */
#define SMALLEST 64u    /* IPv4 bytes of a handshake's segments */

static int request(struct world *world, uint16_t type, const void *body, size_t length)
{
	struct ipc_header header = { .type = type, .length = (uint32_t)(sizeof(header) + length) };

	dp_request(&world->requests, &header, body, &world->reply);
	return world->reply.status;
}

/* ---- what belongs where ---- */

uint32_t world_environment(const struct world *world, uint32_t session)
{
	return session % world->options.used;
}

uint32_t world_forward(const struct world *world, uint32_t session)
{
	return session / world->options.used % world->options.forwards;
}

uint32_t world_tunnel(const struct world *world, uint32_t session)
{
	return world_environment(world, session) * world->options.servers +
	       world_forward(world, session) % world->options.servers;
}

uint32_t world_remote_be(uint32_t session)
{
	return rte_cpu_to_be_32(WORLD_REMOTE + session % WORLD_REMOTES);
}

static uint16_t slot_of(const struct world *world, uint32_t session)
{
	return world->core.generation->environments[world_environment(world, session)].slot;
}

struct dp_worker *world_home(const struct world *world, enum world_kind kind, uint32_t session)
{
	uint16_t home = kind == WORLD_EGRESS ? dp_egress_owner(world_remote_be(session),
	                                                       world->core.worker_count)
	                                     : dp_core_home(&world->core, slot_of(world, session));

	return world->core.workers[home];
}

static struct ipc_tunnel tunnel_id(const struct world *world, uint32_t tunnel)
{
	struct ipc_tunnel id = { 0 };

	snprintf(id.environment, sizeof(id.environment), "bench-%u",
	         tunnel / world->options.servers);
	snprintf(id.server, sizeof(id.server), "s%u", tunnel % world->options.servers);
	return id;
}

static uint32_t server_be(uint32_t tunnel)
{
	return rte_cpu_to_be_32(WORLD_SERVER + tunnel);
}

/* ---- start ---- */

static struct world_options complete(const struct world_options *o)
{
	struct world_options c = *o;
	uint32_t *at_least_one[] = { &c.workers, &c.environments, &c.servers };

	for (unsigned i = 0; i < RTE_DIM(at_least_one); i++)
		*at_least_one[i] = RTE_MAX(*at_least_one[i], 1u);
	if (c.used == 0)
		c.used = c.environments;
	if (c.forwards == 0)
		c.forwards = (c.sessions - 1) / WORLD_CALLS_PER_TARGET / c.used + 1;
	if (c.capacity == 0)
		c.capacity = 4096 + c.sessions * WORLD_KINDS;
	return c;
}

static struct ipc_node describe_node(const struct world_options *o)
{
	struct ipc_node node = { .name = "bench",
		                 .cores = "auto",
		                 .workers = o->workers,
		                 .sessions = o->capacity,
		                 .memory_mb = o->memory_mb,
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

/* From here on the calling threads are the workers: dp_worker_call() calls directly. */
static void take_place_of_workers(struct world *world)
{
	for (unsigned i = 0; i < world->core.worker_count; i++) {
		struct dp_worker *w = world->core.workers[i];

		atomic_store(&w->stop, true);
		rte_eal_wait_lcore(w->lcore);
	}
}

/* One environment, which everybody may call. Nothing answers probes here, so none is sent. */
static int send_environment(struct world *world, uint32_t environment,
                            const struct ipc_prefix *everybody)
{
	const struct world_options *o = &world->options;
	uint32_t first = environment * o->servers;
	struct ipc_environment e = { .pod_address_be = rte_cpu_to_be_32(WORLD_POD + environment),
		                     .session_quota = o->capacity,
		                     .source_count = 1,
		                     .sources = { *everybody },
		                     .flags = IPC_ENVIRONMENT_UNPROBED };
	struct ipc_forward forwards[IPC_FORWARDS_MAX];
	unsigned n = 0;
	int rc;

	memcpy(e.name, tunnel_id(world, first).environment, sizeof(e.name));
	rc = request(world, IPC_CONFIG_ENVIRONMENT, &e, sizeof(e));
	for (uint32_t i = 0; rc == 0 && i < o->servers; i++) {
		struct ipc_server server = { .id = tunnel_id(world, first + i) };

		rc = request(world, IPC_CONFIG_SERVER, &server, sizeof(server));
	}
	for (uint32_t i = 0; rc == 0 && i < o->forwards; i++) {
		struct ipc_tunnel preferred = tunnel_id(world, first + i % o->servers);
		struct ipc_forward *f = &forwards[n++];

		*f = (struct ipc_forward){
			.to_address_be = rte_cpu_to_be_32(WORLD_TARGET + i),
			.to_port_be = rte_cpu_to_be_16(WORLD_TARGET_PORT),
			.port_be = rte_cpu_to_be_16((uint16_t)(WORLD_FORWARD_PORT + i)),
			.protocol = IPPROTO_TCP,
		};
		memcpy(f->environment, preferred.environment, sizeof(f->environment));
		memcpy(f->server, preferred.server, sizeof(f->server));
		if (n < IPC_FORWARDS_MAX && i + 1 < o->forwards)
			continue;
		rc = request(world, IPC_CONFIG_FORWARDS, forwards, n * sizeof(*forwards));
		n = 0;
	}
	return rc;
}

/* All environments, and egress for everybody. */
static int commit(struct world *world)
{
	struct ipc_generation g = { .generation = 1 };
	struct ipc_prefix everybody = { .address_be = rte_cpu_to_be_32(0x0a000000), .length = 8 };
	struct ipc_egress egress = { .address_count = 1,
		                     .source_count = 1,
		                     .addresses_be = { rte_cpu_to_be_32(WORLD_UPLINK) },
		                     .sources = { everybody } };
	int rc = request(world, IPC_CONFIG_BEGIN, &g, sizeof(g));

	for (uint32_t i = 0; rc == 0 && i < world->options.environments; i++)
		rc = send_environment(world, i, &everybody);
	if (rc == 0)
		rc = request(world, IPC_CONFIG_EGRESS, &egress, sizeof(egress));
	return rc ? rc : request(world, IPC_CONFIG_COMMIT, &g, sizeof(g));
}

static int raise_tunnels(struct world *world)
{
	int rc = world_rekey(world, IPC_AES128_GCM16, WORLD_ESP);

	for (uint32_t i = 0; rc == 0 && i < world->tunnel_count; i++) {
		struct ipc_tunnel_state up = { .id = tunnel_id(world, i),
			                       .inner_address_be = rte_cpu_to_be_32(
						       WORLD_INNER + i % world->options.servers),
			                       .is_up = 1 };

		rc = request(world, IPC_TUNNEL_SET, &up, sizeof(up));
	}
	return rc;
}

/* Both routers answer as soon as they are asked. */
static void resolve(void *context, enum dp_port_id port, uint32_t target_be, const uint8_t mac[6])
{
	uint32_t *asked_be = context;

	(void)mac;
	asked_be[port] = target_be;
}

void world_resolve(struct world *world)
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

static int make_tunnels(struct world *world)
{
	int rc = 0;

	world->tunnel_count = world->options.used * world->options.servers;
	world->tunnels =
		aligned_alloc(RTE_CACHE_LINE_SIZE, world->tunnel_count * sizeof(*world->tunnels));
	if (!world->tunnels)
		return -ENOMEM;
	memset(world->tunnels, 0, world->tunnel_count * sizeof(*world->tunnels));
	for (unsigned i = 0; rc == 0 && i < world->core.worker_count; i++)
		rc = dp_crypto_create(&world->crypto[i], false);
	return rc ? rc : raise_tunnels(world);
}

int world_start(struct world *world, const struct world_options *options, char why[256])
{
	struct ipc_node node;
	int rc;

	memset(world, 0, sizeof(*world));
	world->options = complete(options);
	node = describe_node(&world->options);
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
	take_place_of_workers(world);
	rc = commit(world);
	snprintf(why, 256, "the configuration was refused: %.200s",
	         ((const struct ipc_refusal *)world->reply.body)->reason);
	if (rc)
		return rc;
	snprintf(why, 256, "the tunnels cannot be raised");
	rc = make_tunnels(world);
	if (rc == 0)
		world_resolve(world);
	return rc;
}

void world_stop(struct world *world)
{
	char command[100];

	for (unsigned i = 0; i < WORLD_KINDS; i++)
		free(world->ports_be[i]);
	for (unsigned i = 0; i < WORLD_WORKERS_MAX; i++)
		dp_crypto_destroy(world->crypto[i]);
	free(world->tunnels);
	dp_core_stop(&world->core);
	dp_staging_destroy(world->requests.staging);
	snprintf(command, sizeof(command), "rm -rf %s", world->directory);
	if (*world->directory && system(command) != 0)
		fprintf(stderr, "bench: cannot remove %s\n", world->directory);
}

/* ---- keys ---- */

static uint16_t openvpn_port_be(uint32_t tunnel)
{
	return rte_cpu_to_be_16((uint16_t)(WORLD_OPENVPN_PORT + tunnel));
}

static struct ipc_sa_add describe_sa(const struct world *world, uint32_t tunnel,
                                     enum ipc_direction direction, uint32_t spi_be)
{
	const struct dp_crypto_suite *suite = world->suite;
	struct ipc_sa_add add = { .tunnel = tunnel_id(world, tunnel),
		                  .id = { .spi_be = spi_be, .direction = (uint8_t)direction },
		                  .local_be = rte_cpu_to_be_32(WORLD_UPLINK),
		                  .remote_be = server_be(tunnel),
		                  .algorithm = suite->algorithm,
		                  .replay_window = WINDOW };

	if (world->protocol == WORLD_ESP_UDP) {
		add.flags = IPC_SA_UDP;
		add.local_port_be = add.remote_port_be = rte_cpu_to_be_16(NATT_PORT);
	} else if (world->protocol == WORLD_OPENVPN) {
		add.flags = IPC_SA_OPENVPN;
		add.local_port_be = openvpn_port_be(tunnel);
		add.remote_port_be = rte_cpu_to_be_16(WORLD_OPENVPN_SERVER_PORT);
		add.openvpn.key_id = world->key_id;
	}
	add.id.destination_be = direction == IPC_IN ? add.local_be : add.remote_be;
	add.key_length = (uint16_t)(suite->key_bytes + suite->salt_bytes + suite->integrity_bytes);
	if (world->protocol == WORLD_OPENVPN)
		add.key_length = (uint16_t)(suite->key_bytes + sizeof(world->tunnels->iv));
	memset(add.key, direction, add.key_length);
	return add;
}

static void remove_sa(struct world *world, uint32_t tunnel, enum ipc_direction direction,
                      uint32_t spi_be)
{
	struct ipc_sa_add old = describe_sa(world, tunnel, direction, spi_be);

	if (spi_be)
		request(world, IPC_SA_DEL, &old.id, sizeof(old.id));
}

static int set_peer(struct world *world, uint32_t tunnel)
{
	struct ipc_peer peer = { .id = tunnel_id(world, tunnel), .remote_be = server_be(tunnel) };

	if (world->protocol == WORLD_OPENVPN) {
		peer.openvpn_port_be = openvpn_port_be(tunnel);
		peer.remote_port_be = rte_cpu_to_be_16(WORLD_OPENVPN_SERVER_PORT);
	} else {
		peer.ike_port_be = rte_cpu_to_be_16(IKE_PORT);
		peer.natt_port_be = rte_cpu_to_be_16(NATT_PORT);
	}
	return request(world, IPC_PEER_SET, &peer, sizeof(peer));
}

static int rekey(struct world *world, uint32_t tunnel)
{
	static const uint8_t seed[DP_CRYPTO_SEED];
	struct world_tunnel *t = &world->tunnels[tunnel];
	uint32_t old_in_be = t->spi_in_be, old_out_be = t->spi_out_be;
	struct ipc_tunnel id = tunnel_id(world, tunnel);
	struct ipc_sa_add in, out;
	int rc = request(world, IPC_SPI_ALLOC, &id, sizeof(id));

	if (rc)
		return rc;
	t->spi_in_be = ((const struct ipc_spi *)world->reply.body)->spi_be;
	t->spi_out_be = rte_cpu_to_be_32(old_out_be ? rte_be_to_cpu_32(old_out_be) + SPI_STEP
	                                            : SPI_STEP + tunnel);
	in = describe_sa(world, tunnel, IPC_IN, t->spi_in_be);
	out = describe_sa(world, tunnel, IPC_OUT, t->spi_out_be);
	rc = dp_crypto_key_init(world->crypto[0], &t->key, world->suite->algorithm, in.key,
	                        (size_t)world->suite->key_bytes + world->suite->salt_bytes +
	                                world->suite->integrity_bytes,
	                        seed);
	if (rc == 0)
		rc = set_peer(world, tunnel);
	if (rc == 0)
		rc = request(world, IPC_SA_ADD, &in, sizeof(in));
	if (rc == 0)
		rc = request(world, IPC_SA_ADD, &out, sizeof(out));
	memcpy(&t->salt, in.key + world->suite->key_bytes, sizeof(t->salt));
	memcpy(t->iv, in.key + world->suite->key_bytes, sizeof(t->iv));
	t->sequence = 0;
	remove_sa(world, tunnel, IPC_IN, old_in_be);
	remove_sa(world, tunnel, IPC_OUT, old_out_be);
	return rc;
}

int world_rekey(struct world *world, unsigned algorithm, enum world_protocol protocol)
{
	const struct ipc_sa_add like = { .algorithm = (uint16_t)algorithm };
	int rc = 0;

	world->suite = dp_crypto_suite(algorithm);
	world->protocol = protocol;
	if (!world->suite)
		return -ENOTSUP;
	if (protocol == WORLD_OPENVPN) {
		world->openvpn_suite = dp_ovpn_suite(&like);
		world->suite = &world->openvpn_suite;
		world->key_id ^= 1;
	}
	for (uint32_t i = 0; rc == 0 && i < world->tunnel_count; i++)
		rc = rekey(world, i);
	return rc;
}

/* ---- packets ---- */

void world_turn(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n)
{
	dp_worker_tick(w);
	dp_failover_tick(w);
	dp_path_received(w, port, m, n);
	dp_worker_tend(w);
}

unsigned world_take(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m)
{
	struct dp_tx *tx = &w->tx[port];
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
	struct dp_flow_table *flows = world_home(world, kind, session)->flows;
	struct dp_flow_key key __rte_aligned(16);
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, RTE_ETHER_HDR_LEN);
	const struct dp_flow *flow;
	uint64_t hash;
	uint16_t scope = kind == WORLD_EGRESS ? DP_SCOPE_EGRESS : slot_of(world, session);

	hash = dp_flow_key_load(flows, &key, ip, dp_flow_word(IPPROTO_TCP, DP_FLOW_OUTWARD, scope));
	flow = dp_flow_lookup(flows, &key, hash);
	if (!flow)
		return -ENOENT;
	world->ports_be[kind][session] = flow->source_port_be;
	return 0;
}

/* One burst of sessions of one worker through the path; all of it must come out on the other side.
 */
static int pass(struct world *world, const struct frame *frame, struct rte_mbuf **m,
                const uint32_t *sessions, unsigned n)
{
	struct dp_worker *w = world_home(world, frame->sessions, sessions[0]);
	bool is_out = frame->way == FRAME_FROM_CLUSTER;
	struct rte_mbuf *sent[DP_TX_BUFFER];

	frames_write(world, frame, m, sessions, n);
	world_turn(w, is_out ? DP_PORT_CLUSTER : DP_PORT_UPLINK, m, n);
	return world_take(w, is_out ? DP_PORT_UPLINK : DP_PORT_CLUSTER, sent) == n ? 0 : -EIO;
}

static int open_burst(struct world *world, enum world_kind kind, struct rte_mbuf **m,
                      const uint32_t *sessions, unsigned n)
{
	enum frame_way back = kind == WORLD_EGRESS ? FRAME_FROM_UPLINK : FRAME_FROM_TUNNEL;
	struct frame syn = { kind, FRAME_FROM_CLUSTER, FRAME_SYN, SMALLEST, 0 };
	struct frame syn_ack = { kind, back, FRAME_SYN_ACK, SMALLEST, 0 };
	struct frame ack = { kind, FRAME_FROM_CLUSTER, FRAME_DATA, SMALLEST, 0 };
	int rc = pass(world, &syn, m, sessions, n);

	frames_write(world, &syn, m, sessions, n); /* translated meanwhile: what it was */
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = note_port(world, kind, sessions[i], m[i]);
	if (rc == 0)
		rc = pass(world, &syn_ack, m, sessions, n);
	return rc ? rc : pass(world, &ack, m, sessions, n);
}

/* The sessions of one worker, burst by burst. */
static int open_at(struct world *world, enum world_kind kind, const struct dp_worker *home,
                   struct rte_mbuf **m)
{
	uint32_t sessions[DP_BURST];
	unsigned n = 0;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < world->options.sessions; i++) {
		if (world_home(world, kind, i) != home)
			continue;
		sessions[n++] = i;
		if (n < DP_BURST)
			continue;
		rc = open_burst(world, kind, m, sessions, n);
		n = 0;
	}
	return rc || n == 0 ? rc : open_burst(world, kind, m, sessions, n);
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
	for (unsigned i = 0; rc == 0 && i < world->core.worker_count; i++)
		rc = open_at(world, kind, world->core.workers[i], m);
	rte_pktmbuf_free_bulk(m, DP_BURST);
	return rc;
}
