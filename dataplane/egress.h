/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy of static egress: who may leave for the Internet with which address, which
 * destinations are refused, and which ports lead into the cluster. Part of a generation: built by
 * the control thread, immutable, read by all workers.
 *
 * Every remote address has one owner among the workers, which alone keeps the sessions with it:
 * so one port pool sees all that is in use towards a destination.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/crc.h"
#include "dataplane/generation.h"
#include "dataplane/port.h"

#define DP_SCOPE_EGRESS DP_ENVIRONMENTS_MAX /* in the place of a slot in keys of egress */

/* What holds for all addresses from FIRST on, up to the next range; the first one begins at 0. */
struct dp_egress_range {
	uint32_t first;       /* host byte order */
	uint16_t pool;        /* sources: DP_NONE_SLOT may not leave */
	uint16_t environment; /* sources: the slot whose quota counts, DP_NONE_SLOT: none */
	bool is_refused;      /* destinations */
};

/* Static addresses of one rule. */
struct dp_egress_pool {
	uint32_t count;
	uint32_t addresses_be[IPC_EGRESS_ADDRESSES_MAX];
};

struct dp_egress_mapping {
	uint64_t key; /* dp_forward_key(); 0: empty place */
	uint32_t to_address_be;
	uint16_t to_port_be;
	uint16_t pad;
};

struct dp_egress {
	uint32_t address_mask; /* places - 1 */
	uint32_t mapping_mask;
	uint32_t source_count;
	uint32_t destination_count;
	uint32_t pool_count;
	uint32_t *addresses_be;             /* all static ones, open addressing; 0: empty */
	struct dp_egress_mapping *mappings; /* open addressing, at most half full */
	struct dp_egress_range *sources;
	struct dp_egress_range *destinations;
	struct dp_egress_pool *pools;
};

/* What a policy is made from. */
struct dp_egress_parts {
	const struct ipc_egress *rules; /* at least one */
	uint32_t rule_count;
	const struct ipc_inbound *inbound;
	uint32_t inbound_count;
	const struct dp_generation *generation; /* its environments */
	const struct dp_port *ports;            /* [DP_PORT_COUNT] */
};

/* Returns 0, or -errno with WHY (256 bytes) in words. Control thread. */
int dp_egress_build(const struct dp_egress_parts *parts, struct dp_egress **egress, char why[256]);
/* NULL is allowed. */
void dp_egress_destroy(struct dp_egress *e);

/* The range that an address is in. */
const struct dp_egress_range *dp_egress_find(const struct dp_egress_range *ranges, uint32_t count,
                                             uint32_t address_be);

/* The address of the pool that this source has, always the same one (RFC 4787 REQ-2). */
uint32_t dp_egress_address(const struct dp_egress_pool *pool, uint32_t source_be);

/* Whether this is a static address of ours. */
static inline bool dp_egress_owns(const struct dp_egress *e, uint32_t address_be)
{
	uint32_t i = dp_crc4(address_be) & e->address_mask;

	uint32_t found_be = e->addresses_be[i];

	while (unlikely(found_be && found_be != address_be)) {
		i = (i + 1) & e->address_mask;
		found_be = e->addresses_be[i];
	}
	return found_be != 0;
}

/* Where a port of a static address leads, or NULL. KEY: dp_forward_key(). */
static inline const struct dp_egress_mapping *dp_egress_mapping(const struct dp_egress *e,
                                                                uint64_t key)
{
	uint32_t i = dp_crc8(key) & e->mapping_mask;

	while (e->mappings[i].key) {
		if (e->mappings[i].key == key)
			return &e->mappings[i];
		i = (i + 1) & e->mapping_mask;
	}
	return NULL;
}

/* The worker that owns the sessions with a remote address. */
static inline uint16_t dp_egress_owner(uint32_t remote_be, uint16_t worker_count)
{
	return (uint16_t)((uint64_t)dp_crc4(remote_be) * worker_count >> 32);
}
