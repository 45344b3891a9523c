/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source ports for translation, with endpoint-dependent reuse: a port is free towards one remote
 * address and port whatever else it is used for, so 64,000 sessions to each of any number of
 * targets share one inner address.
 *
 * Ports 1024 to 65535 in 252 blocks of 256. A block that has a port in use towards an endpoint is a
 * 64-byte entry of a hash table. Ports are random (RFC 6056). Endpoints that are nearly full get a
 * summary of which blocks still have a free port, so that taking one, and refusing one, costs the
 * same however full they are. Worker only; no allocation after create.
 */
#pragma once

#include <stdint.h>

struct dp_portpool;

#define DP_PORT_BLOCK 256u  /* ports */
#define DP_PORT_BLOCKS 252u /* of an endpoint */

/* Blocks that a port may come out of: FIRST and those behind it, around the end. */
struct dp_port_window {
	uint8_t first; /* below DP_PORT_BLOCKS */
	uint8_t count; /* 1 to DP_PORT_BLOCKS */
};

/* The side of the translation that is fixed; SCOPE keeps equal addresses of different environments
 * apart (slot). */
struct dp_port_endpoint {
	uint32_t inner_be;
	uint32_t remote_be;
	uint16_t remote_port_be;
	uint16_t scope;
	uint8_t protocol;
};

/* Room for BLOCKS blocks on NUMA node SOCKET. As many blocks as sessions never run out, whatever
 * their endpoints are: nobody's sessions can take another one's ports. IKE's port 4500 is reserved
 * from the start. Returns 0, -EINVAL or -ENOMEM. Control thread. */
int dp_portpool_create(struct dp_portpool **pool, uint32_t blocks, uint64_t seed, int socket);
void dp_portpool_destroy(struct dp_portpool *pool);

/* Never gives PORT (host byte order) again, to no endpoint; who has it keeps it. */
void dp_portpool_reserve(struct dp_portpool *pool, uint16_t port);

/* Takes a port of the window towards the endpoint. Returns 0, -EADDRINUSE (all are in use) or
 * -ENOSPC (no block is left). */
int dp_portpool_take(struct dp_portpool *pool, const struct dp_port_endpoint *endpoint,
                     struct dp_port_window window, uint16_t *port_be);

/* Gives a port back that was taken with the same endpoint. */
void dp_portpool_release(struct dp_portpool *pool, const struct dp_port_endpoint *endpoint,
                         uint16_t port_be);

/* Ports of one block that are in use towards an endpoint. */
struct dp_port_use {
	struct dp_port_endpoint endpoint;
	uint32_t ports;
};

/*
 * Lists the blocks of a scope from *CURSOR on (0: the beginning), at most MAX; returns how many,
 * and in *CURSOR where to go on, 0: that was the last part. Looks at a bounded number of blocks, so
 * it may return none before the end.
 */
unsigned dp_portpool_list(const struct dp_portpool *pool, uint16_t scope, uint32_t *cursor,
                          struct dp_port_use *uses, unsigned max);

/* How many ports there are towards one endpoint: all that are not reserved. */
uint32_t dp_portpool_capacity(const struct dp_portpool *pool);

/* Blocks in use now. */
uint32_t dp_portpool_blocks(const struct dp_portpool *pool);
