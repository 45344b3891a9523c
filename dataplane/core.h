/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dataplane as its control thread sees it: what was started, the slots of environments and
 * tunnels, the committed configuration.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/generation.h"
#include "dataplane/port.h"
#include "dataplane/stats.h"
#include "dataplane/worker.h"

/* An environment or a tunnel keeps its slot from the commit that brings it to the one that removes
 * it, and until no session has it any more. */
struct dp_slot {
	char environment[IPC_NAME_LEN]; /* empty: free */
	char server[IPC_NAME_LEN];      /* tunnels */
	struct ipc_peer peer;           /* tunnels: where its control packets come from */
	struct sp_secret *keepsake;     /* tunnels: for the next control plane; NULL: none */
	uint16_t environment_slot;      /* tunnels */
};

/* Forgets what a slot holds: it is free then. */
void dp_slot_clear(struct dp_slot *slot);

struct dp_core {
	char instance[IPC_NAME_LEN];
	char run_dir[200];
	uint64_t epoch;
	bool is_started;   /* EAL, ports and workers run */
	char failure[256]; /* why they never will in this process, as EAL starts once: it ends;
	                      empty: they do or may */
	struct ipc_node node;
	/* what runs */
	uint16_t worker_count;
	struct dp_worker *workers[DP_WORKERS_MAX];
	struct dp_port ports[DP_PORT_COUNT];
	struct dp_tunnel *tunnels;
	struct dp_environment_state *environments;
	struct dp_nexthops *nexthops;
	struct rte_mempool *mbufs;
	struct rte_mempool *datagrams;
	struct rte_ring *punt;
	struct rte_ring *stream;
	struct dp_stats *stats;
	/* what is configured */
	struct dp_generation *generation; /* NULL before the first commit */
	struct dp_peers *peers;
	struct dp_exception *exception;
	struct dp_slot environment_slots[DP_ENVIRONMENTS_MAX];
	struct dp_slot tunnel_slots[DP_TUNNELS_MAX];
	uint16_t next_environment_slot; /* where the search for a free one starts: slots are reused
	                                   as late as possible */
	uint16_t next_tunnel_slot;
	bool is_settling; /* sessions of what is gone are ended still: their slots are not free */
};

/* Starts EAL, memory, ports and workers as NODE says; once per process. Returns 0, or -errno with
 * WHY (at least 256 bytes) in words. */
int dp_core_start(struct dp_core *core, const struct ipc_node *node, char why[256]);

/* Stops the workers and ports, wipes all keys. */
void dp_core_stop(struct dp_core *core);

/* The worker that owns an environment's slot. */
static inline uint16_t dp_core_home(const struct dp_core *core, uint16_t environment_slot)
{
	return dp_worker_home(core->worker_count, environment_slot);
}

/* The worker that owns a tunnel's slot. */
static inline struct dp_worker *dp_core_tunnel_home(const struct dp_core *core, uint16_t tunnel)
{
	return core->workers[dp_core_home(core, core->tunnel_slots[tunnel].environment_slot)];
}

/* Slots by name, of what is committed; DP_NONE_SLOT: none. */
uint16_t dp_core_find_environment(const struct dp_core *core, const char *environment);
uint16_t dp_core_find_tunnel(const struct dp_core *core, const struct ipc_tunnel *id);

/* Whether the committed configuration has the tunnel in this slot. */
bool dp_core_has_tunnel(const struct dp_core *core, uint16_t tunnel);

/* Where the tunnel's control packets come from, from now on; remote_be 0: from nowhere. */
void dp_core_set_peer(struct dp_core *core, uint16_t tunnel, const struct ipc_peer *peer);

/* Runs FN on every worker in turn; the first result that is not 0 is returned, but all run. */
int dp_core_call_all(struct dp_core *core, dp_worker_fn fn, void *argument);
