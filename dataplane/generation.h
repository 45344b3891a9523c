/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A committed configuration as the workers read it: immutable, built whole by the control thread,
 * published as one pointer.
 *
 * Slots of environments and tunnels are stable: an environment keeps its slot over generations by
 * its name, so flows and SAs may hold slots. Freed slots are reused only after their flows and SAs
 * are gone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"
#include "dataplane/crc.h"

#define DP_ENVIRONMENTS_MAX 4096u
#define DP_TUNNELS_MAX 16384u
#define DP_ENVIRONMENT_TUNNELS_MAX 16u
#define DP_WORKERS_MAX 64u

struct dp_environment {
	char name[IPC_NAME_LEN];
	uint32_t pod_address_be;
	uint32_t session_quota;
	uint32_t port_quota; /* towards one target; 0: all */
	uint64_t rate_bps;   /* in each direction; 0: no limit */
	uint16_t slot;
	uint16_t home; /* worker */
	uint16_t tunnel_count;
	uint16_t tunnels[DP_ENVIRONMENT_TUNNELS_MAX]; /* slots, preferred first */
	uint32_t source_count;
	struct ipc_prefix sources[IPC_PREFIXES_MAX];
	uint32_t flags;           /* IPC_ENVIRONMENT_* */
	uint32_t probe_target_be; /* 0: none */
	uint32_t first_forward;   /* place in the table + 1; 0: none */
	uint32_t last_forward;
};

struct dp_egress;

/* A forward, as the table has it; key 0 is an empty place. */
struct dp_forward {
	uint64_t key; /* dp_forward_key() */
	uint32_t to_address_be;
	uint16_t to_port_be;
	uint16_t environment; /* slot */
	uint16_t tunnel;      /* preferred one's slot, DP_NONE_SLOT: the active one */
	uint16_t pad[3];
	uint32_t next; /* of the same environment: place + 1; 0: that was the last */
	uint32_t pad1;
};
_Static_assert(sizeof(struct dp_forward) == 32, "dp_forward: two in a line");

/* Whose an address in the cluster is; address 0 is an empty place. */
struct dp_pod {
	uint32_t address_be;
	uint16_t environment; /* slot */
	uint16_t pad;
};
_Static_assert(sizeof(struct dp_pod) == 8, "dp_pod: eight in a line");

struct dp_generation {
	uint64_t id;
	uint32_t forward_mask; /* places - 1 */
	uint32_t forward_count;
	uint32_t environment_count;
	uint32_t pod_mask;
	bool has_rates;                      /* an environment has a limit */
	struct dp_forward *forwards;         /* open addressing, at most half full */
	struct dp_pod *pods;                 /* by address, open addressing */
	struct dp_environment *environments; /* dense */
	struct dp_egress *egress;            /* NULL: none */
	struct dp_environment *by_slot[DP_ENVIRONMENTS_MAX]; /* NULL: no such environment */
	uint16_t *tunnels;                                   /* slots, by home */
	uint32_t homes[DP_WORKERS_MAX + 1]; /* where a worker's begin, and the next one's */
};

/* Destination address, port and protocol as they stand in the packet; never 0 for a real forward.
 */
static inline uint64_t dp_forward_key(uint32_t address_be, uint8_t protocol, uint16_t port_be)
{
	return (uint64_t)address_be | (uint64_t)protocol << 32 | (uint64_t)port_be << 48;
}

static inline const struct dp_forward *dp_forward_lookup(const struct dp_generation *g,
                                                         uint64_t key)
{
	uint32_t i = dp_crc8(key) & g->forward_mask;

	while (g->forwards[i].key != key) {
		if (g->forwards[i].key == 0)
			return NULL;
		i = (i + 1) & g->forward_mask;
	}
	return &g->forwards[i];
}

static inline uint8_t dp_forward_protocol(const struct dp_forward *f)
{
	return (uint8_t)(f->key >> 32);
}

/* The slot of the environment whose pod address this is, or DP_NONE_SLOT. ADDRESS_BE is not 0.
 * As a rule it is at its first place, or that is empty. */
static inline uint16_t dp_environment_slot(const struct dp_generation *g, uint32_t address_be)
{
	uint32_t i = dp_crc4(address_be) & g->pod_mask;

	while (unlikely(g->pods[i].address_be && g->pods[i].address_be != address_be))
		i = (i + 1) & g->pod_mask;
	return g->pods[i].address_be ? g->pods[i].environment : DP_NONE_SLOT;
}

/* The environment itself, or NULL. */
static inline const struct dp_environment *dp_environment_lookup(const struct dp_generation *g,
                                                                 uint32_t address_be)
{
	uint16_t slot = dp_environment_slot(g, address_be);

	return slot == DP_NONE_SLOT ? NULL : g->by_slot[slot];
}

/* Whether this source may call the environment. */
static inline bool dp_environment_allows(const struct dp_environment *e, uint32_t source_be)
{
	for (uint32_t i = 0; i < e->source_count; i++) {
		const struct ipc_prefix *s = &e->sources[i];
		uint32_t mask = s->length ? UINT32_MAX << (32 - s->length) : 0;

		if (((source_be ^ s->address_be) & rte_cpu_to_be_32(mask)) == 0)
			return true;
	}
	return false;
}

/* Whether this is a source of other environments and not of this one. Routers and nodes, which are
 * nobody's, are not. */
static inline bool dp_environment_is_foreign(const struct dp_generation *g,
                                             const struct dp_environment *e, uint32_t source_be)
{
	bool is_others = false;

	for (uint32_t i = 0; i < g->environment_count && !is_others; i++)
		is_others = dp_environment_allows(&g->environments[i], source_be);
	return is_others && !dp_environment_allows(e, source_be);
}
