/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and stop of everything the packets need, in one ladder. */
#include "dataplane/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <rte_pause.h>

#include "common/log.h"
#include "common/secret.h"
#include "dataplane/commit.h"
#include "dataplane/crypto_mb.h"
#include "dataplane/device.h"
#include "dataplane/egress.h"
#include "dataplane/exception.h"
#include "dataplane/handoff.h"
#include "dataplane/nat_flow.h"
#include "dataplane/larval.h"
#include "dataplane/mbufs.h"
#include "dataplane/nexthop.h"
#include "dataplane/ovpn_stream.h"
#include "dataplane/peers.h"
#include "dataplane/portpool.h"
#include "dataplane/reassembly.h"
#include "dataplane/resync.h"
#include "dataplane/sa.h"
#include "dataplane/share.h"

#define RING_SIZE 2048u
#define SAS_PER_WORKER 32768u
#define ANSWERS_PER_SECOND 20000u
#define ARP_PER_SECOND 1000u
#define PUNTS_PER_SECOND 5000u
#define SERVER_PUNTS_PER_SECOND 500u
#define PMTUS_PER_SECOND 20u
#define EXCEPTIONS_PER_SECOND 100000u

static const char *const port_names[DP_PORT_COUNT] = {
	[DP_PORT_UPLINK] = "uplink", [DP_PORT_CLUSTER] = "cluster"
};

static int say(char why[256], const char *what, int rc)
{
	snprintf(why, 256, "%s: %s", what, strerror(-rc));
	return rc;
}

static uint64_t random64(void)
{
	uint64_t value = 0;

	while (getrandom(&value, sizeof(value), 0) != sizeof(value) || value == 0)
		;
	return value;
}

/* ---- one worker ---- */

static struct rte_ring *make_ring(const char *what, uint16_t worker, unsigned flags)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s-%u", what, worker);
	return rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, flags);
}

static int make_tables(struct dp_core *core, struct dp_worker *w, int socket, char why[256])
{
	uint32_t sessions = core->node.sessions / core->worker_count;
	bool allow_slow = core->node.flags & IPC_NODE_ALLOW_SLOW_CRYPTO;
	int rc = dp_crypto_create(&w->crypto, allow_slow);

	if (rc == -ENOTSUP) {
		snprintf(why, 256,
		         "this CPU has no AES-NI; allow_slow_crypto = true starts without it");
		return rc;
	}
	if (rc)
		return say(why, "IPsec-MB", rc);
	rc = dp_sa_table_create(&w->sas, w->index, SAS_PER_WORKER, socket);
	if (rc)
		return say(why, "table of security associations", rc);
	rc = dp_flow_table_create(&w->flows, sessions, random64(), socket);
	if (rc)
		return say(why, "session table", rc);
	w->count->session_capacity = sessions;
	rc = dp_portpool_create(&w->portpool, w->flows, random64(), socket);
	if (rc)
		return say(why, "port pool", rc);
	rc = dp_shares_create(&w->shares, socket);
	if (rc)
		return say(why, "shares", rc);
	rc = dp_reassembly_create(&w->reassembly, random64(), socket);
	if (rc)
		return say(why, "reassembly", rc);
	w->tx = rte_zmalloc_socket("tx", DP_PORT_COUNT * sizeof(*w->tx), RTE_CACHE_LINE_SIZE,
	                           socket);
	w->answers =
		rte_zmalloc_socket("answers", sizeof(*w->answers), RTE_CACHE_LINE_SIZE, socket);
	w->answers_inside =
		rte_zmalloc_socket("answers", sizeof(*w->answers), RTE_CACHE_LINE_SIZE, socket);
	w->hold = dp_hold_create();
	w->larval = dp_larval_create();
	w->handoff_in = make_ring("handoff", w->index, RING_F_SC_DEQ);
	w->handoff_shares = dp_handoff_shares_create(core->worker_count, socket);
	w->send = make_ring("send", w->index, RING_F_SC_DEQ);
	if (!w->tx || !w->answers || !w->answers_inside || !w->hold || !w->larval ||
	    !w->handoff_in || !w->handoff_shares || !w->send)
		return say(why, "worker's buffers", -ENOMEM);
	return 0;
}

static int make_worker(struct dp_core *core, uint16_t index, char why[256])
{
	unsigned lcore = index + 1u; /* as device.c numbers them */
	int socket = (int)rte_lcore_to_socket_id(lcore);
	struct dp_worker *w = rte_zmalloc_socket("worker", sizeof(*w), RTE_CACHE_LINE_SIZE, socket);

	if (!w)
		return say(why, "worker", -ENOMEM);
	core->workers[index] = w;
	w->index = index;
	w->lcore = lcore;
	w->worker_count = core->worker_count;
	w->is_adaptive = core->node.idle == IPC_IDLE_ADAPTIVE;
	w->tunnels = core->tunnels;
	w->environments = core->environments;
	w->nexthops = core->nexthops;
	w->peers = core->peers;
	w->exception = core->exception;
	w->ports = core->ports;
	w->workers = core->workers;
	w->punt = core->punt;
	w->stream = core->stream;
	w->mbufs = core->mbufs;
	w->datagrams = core->datagrams;
	w->identification = (uint16_t)random64();
	w->count = dp_stats_cells(core->stats, index);
	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++)
		w->echo_limit[id].per_second = w->arp_answer_limit[id].per_second =
			ANSWERS_PER_SECOND;
	w->arp_limit.per_second = ARP_PER_SECOND;
	w->punt_limit.per_second = PUNTS_PER_SECOND;
	for (unsigned i = 0; i < DP_SERVER_LIMITS; i++)
		w->server_limit[i].per_second = SERVER_PUNTS_PER_SECOND;
	w->resync_limit.per_second = DP_RESYNC_WORKER_PER_SECOND;
	w->epoch_limit.per_second = DP_OVPN_EPOCH_WORKER_PER_SECOND;
	w->pmtu_limit.per_second = PMTUS_PER_SECOND;
	w->exception_limit.per_second = EXCEPTIONS_PER_SECOND;
	w->failover.secret[0] = random64();
	w->failover.secret[1] = random64();
	dp_worker_clock_init(w);
	return make_tables(core, w, socket, why);
}

static void destroy_worker(struct dp_worker *w)
{
	if (!w)
		return;
	if (w->sas)
		dp_sa_table_destroy(w->sas);
	if (w->flows)
		dp_flow_table_destroy(w->flows);
	if (w->portpool)
		dp_portpool_destroy(w->portpool);
	rte_free(w->shares);
	dp_reassembly_destroy(w->reassembly);
	if (w->crypto)
		dp_crypto_destroy(w->crypto);
	dp_hold_destroy(w->hold);
	dp_larval_destroy(w->larval);
	rte_ring_free(w->handoff_in);
	rte_free(w->handoff_shares);
	rte_ring_free(w->send);
	rte_free(w->answers_inside);
	rte_free(w->answers);
	rte_free(w->tx);
	rte_free(w);
}

/* ---- shared ---- */

static int make_shared(struct dp_core *core, char why[256])
{
	int rc;

	core->tunnels = rte_zmalloc("tunnels", DP_TUNNELS_MAX * sizeof(*core->tunnels),
	                            RTE_CACHE_LINE_SIZE);
	core->environments =
		rte_zmalloc("environments", DP_ENVIRONMENTS_MAX * sizeof(*core->environments),
	                    RTE_CACHE_LINE_SIZE);
	core->punt = rte_ring_create("punt", RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	core->stream =
		rte_ring_create("stream", DP_OVPN_STREAM_WAITING, SOCKET_ID_ANY, RING_F_SC_DEQ);
	core->mbufs = dp_mbufs_create(dp_eal_mbuf_count(&core->node, core->worker_count),
	                              dp_eal_mbuf_room(&core->node));
	core->datagrams = rte_pktmbuf_pool_create("datagrams", DP_DATAGRAM_BUFFERS, 0, 0,
	                                          UINT16_MAX, SOCKET_ID_ANY);
	if (!core->tunnels || !core->environments || !core->punt || !core->stream || !core->mbufs ||
	    !core->datagrams)
		return say(why, "shared tables (more memory: dataplane.memory_mb, hugepages)",
		           -ENOMEM);
	rc = dp_nexthops_create(&core->nexthops);
	if (rc)
		return say(why, "next hops", rc);
	rc = dp_peers_create(&core->peers);
	if (rc)
		return say(why, "set of servers", rc);
	rc = dp_exception_create(&core->exception);
	if (rc)
		return say(why, "flows that end here", rc);
	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		core->tunnels[i].environment = DP_NONE_SLOT;
	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++)
		core->environments[i].active = DP_NONE_SLOT;
	rc = dp_stats_create(&core->stats, core->run_dir, core->epoch, core->worker_count + 1u);
	return rc ? say(why, "statistics segment", rc) : 0;
}

/* DPDK's port of one of our two devices. */
static int find_ethdev(const struct dp_eal *eal, enum dp_port_id id, uint16_t *ethdev)
{
	uint16_t candidate;

	if (*eal->names[id])
		return rte_eth_dev_get_port_by_name(eal->names[id], ethdev);
	RTE_ETH_FOREACH_DEV(candidate) {
		struct rte_ether_addr mac;

		if (rte_eth_macaddr_get(candidate, &mac) == 0 &&
		    memcmp(&mac, eal->macs[id], 6) == 0) {
			*ethdev = candidate;
			return 0;
		}
	}
	return -ENODEV;
}

static int start_ports(struct dp_core *core, const struct dp_eal *eal, char why[256])
{
	const struct ipc_port *c[DP_PORT_COUNT] = {
		[DP_PORT_UPLINK] = &core->node.uplink, [DP_PORT_CLUSTER] = &core->node.cluster
	};

	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		uint16_t queues = c[id]->queues ? c[id]->queues : core->worker_count, ethdev;
		char text[200];
		int rc = find_ethdev(eal, id, &ethdev);

		if (rc) {
			snprintf(why, 256, "%s: device \"%s\" was not found", port_names[id],
			         c[id]->device);
			return -ENODEV;
		}
		rc = dp_port_start(&core->ports[id], c[id], ethdev, queues, core->worker_count,
		                   core->mbufs, text, sizeof(text));
		if (rc) {
			snprintf(why, 256, "%s: device \"%.120s\": %.100s", port_names[id],
			         c[id]->device, text);
			return rc;
		}
		sp_log(SP_LOG_INFO, "port: started name=%s device=%s driver-queues=%u/%u mtu=%u",
		       port_names[id], c[id]->device, core->ports[id].rx_queues,
		       core->ports[id].tx_queues, core->ports[id].mtu);
	}
	core->ports[DP_PORT_CLUSTER].route_count = core->node.route_count;
	memcpy(core->ports[DP_PORT_CLUSTER].routes, core->node.routes, sizeof(core->node.routes));
	dp_nexthop_want(core->nexthops, DP_PORT_UPLINK, core->ports[DP_PORT_UPLINK].router_be);
	dp_nexthop_want(core->nexthops, DP_PORT_CLUSTER, core->ports[DP_PORT_CLUSTER].router_be);
	return 0;
}

/* Has the kernel give pages for all of it now. */
static int populate(const struct rte_memseg_list *list, const struct rte_memseg *segment,
                    size_t bytes, void *unused)
{
	(void)unused;
	if (list->external)
		return 0;
	return madvise(segment->addr, bytes, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

static int start_eal(struct dp_core *core, struct dp_eal *eal, char why[256])
{
	char *argv[DP_EAL_ARGUMENTS_MAX]; /* EAL writes into it: the strings stay eal's */
	int rc;

	for (int i = 0; i < eal->argc; i++)
		sp_log(SP_LOG_DEBUG, "eal: argument %s", eal->argv[i]);
	memcpy(argv, eal->argv, sizeof(argv));
	rc = rte_eal_init(eal->argc, argv);
	if (rc < 0) {
		snprintf(
			why, 256,
			"EAL did not start: %s (its own lines above say more; a device that is not there, or too little memory?)",
			rte_strerror(rte_errno));
		return -ENODEV;
	}
	/* a worker never waits for a page, and memory that is not there is missing now, not later
	 */
	rc = rte_memseg_contig_walk(populate, NULL);
	if (rc < 0) {
		snprintf(why, 256, "the kernel has not enough memory (dataplane.memory_mb): %s",
		         strerror(-rc));
		return rc;
	}
	core->worker_count = eal->workers;
	return 0;
}

int dp_core_start(struct dp_core *core, const struct ipc_node *node, char why[256])
{
	struct dp_eal eal;
	int rc = dp_eal_prepare(&eal, node, core->instance, why);

	if (rc)
		return rc;
	core->node = *node;
	rc = start_eal(core, &eal, why);
	if (rc == 0)
		rc = make_shared(core, why);
	if (rc == 0)
		rc = start_ports(core, &eal, why);
	for (uint16_t i = 0; rc == 0 && i < core->worker_count; i++)
		rc = make_worker(core, i, why);
	if (rc == 0)
		sp_log(SP_LOG_INFO,
		       "core: started workers=%u memory=%s crypto=%s mbufs=%u sessions=%u",
		       core->worker_count, eal.has_hugepages ? "hugepages" : "no-huge",
		       dp_crypto_arch(core->workers[0]->crypto),
		       dp_eal_mbuf_count(node, core->worker_count), node->sessions);
	/* all tables stand before the first worker looks at another one's ring */
	for (uint16_t i = 0; rc == 0 && i < core->worker_count; i++)
		rc = rte_eal_remote_launch(dp_worker_run, core->workers[i],
		                           core->workers[i]->lcore);
	dp_eal_fini(&eal);
	core->is_started = rc == 0;
	if (rc)
		snprintf(core->failure, sizeof(core->failure), "%s", why);
	return rc;
}

void dp_core_stop(struct dp_core *core)
{
	for (uint16_t i = 0; i < core->worker_count; i++)
		if (core->workers[i])
			atomic_store(&core->workers[i]->stop, true);
	if (core->is_started)
		rte_eal_mp_wait_lcore();
	/* EAL has waited; that what they wrote is seen here is promised by this alone */
	for (uint16_t i = 0; core->is_started && i < core->worker_count; i++)
		while (!atomic_load_explicit(&core->workers[i]->has_stopped, memory_order_acquire))
			rte_pause();
	for (enum dp_port_id id = 0; core->is_started && id < DP_PORT_COUNT; id++) {
		rte_eth_dev_stop(core->ports[id].ethdev);
		rte_eth_dev_close(core->ports[id].ethdev);
	}
	for (uint16_t i = 0; i < core->worker_count; i++) {
		destroy_worker(core->workers[i]);
		core->workers[i] = NULL;
	}
	dp_exception_destroy(core->exception);
	core->exception = NULL;
	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		dp_slot_clear(&core->tunnel_slots[i]);
	dp_generation_destroy(core->generation);
	core->generation = NULL;
	dp_stats_destroy(core->stats);
	core->stats = NULL;
	if (core->worker_count)
		rte_eal_cleanup();
}

void dp_slot_clear(struct dp_slot *slot)
{
	sp_secret_destroy(slot->keepsake);
	memset(slot, 0, sizeof(*slot));
}

uint16_t dp_core_find_environment(const struct dp_core *core, const char *environment)
{
	const struct dp_generation *g = core->generation;

	for (uint32_t i = 0; g && i < g->environment_count; i++)
		if (strcmp(g->environments[i].name, environment) == 0)
			return g->environments[i].slot;
	return DP_NONE_SLOT;
}

uint16_t dp_core_find_tunnel(const struct dp_core *core, const struct ipc_tunnel *id)
{
	uint16_t slot = dp_core_find_environment(core, id->environment);
	const struct dp_environment *e =
		slot == DP_NONE_SLOT ? NULL : core->generation->by_slot[slot];

	for (unsigned i = 0; e && i < e->tunnel_count; i++)
		if (strcmp(core->tunnel_slots[e->tunnels[i]].server, id->server) == 0)
			return e->tunnels[i];
	return DP_NONE_SLOT;
}

bool dp_core_has_tunnel(const struct dp_core *core, uint16_t tunnel)
{
	const struct dp_slot *slot = &core->tunnel_slots[tunnel];
	const struct dp_environment *e = core->generation && *slot->environment
	                                         ? core->generation->by_slot[slot->environment_slot]
	                                         : NULL;

	for (unsigned i = 0; e && i < e->tunnel_count; i++)
		if (e->tunnels[i] == tunnel)
			return true;
	return false;
}

static int use_peers(struct dp_worker *w, void *peers)
{
	w->peers = peers;
	return 0;
}

static void renew_peers(struct dp_core *core)
{
	struct dp_peers *fresh;

	if (dp_peers_create(&fresh) != 0) /* the next change tries again */
		return;
	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		if (core->tunnel_slots[i].peer.remote_be)
			dp_peers_add(fresh, &core->tunnel_slots[i].peer, (uint16_t)i);
	dp_core_call_all(core, use_peers, fresh);
	dp_peers_destroy(core->peers);
	core->peers = fresh;
}

void dp_core_set_peer(struct dp_core *core, uint16_t tunnel, const struct ipc_peer *peer)
{
	struct dp_slot *slot = &core->tunnel_slots[tunnel];
	struct ipc_peer old = slot->peer;

	/* what both have is there all the time */
	if (peer->remote_be)
		dp_peers_add(core->peers, peer, tunnel);
	slot->peer = *peer;
	if (old.remote_be)
		dp_peers_del(core->peers, &old);
	if (unlikely(dp_peers_are_worn(core->peers)))
		renew_peers(core);
}

int dp_core_call_all(struct dp_core *core, dp_worker_fn fn, void *argument)
{
	int first = 0;

	for (uint16_t i = 0; i < core->worker_count; i++) {
		int rc = dp_worker_call(core->workers[i], fn, argument);

		if (rc && !first)
			first = rc;
	}
	return first;
}
