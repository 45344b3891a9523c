/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source ports for translation, with endpoint-dependent reuse: a port is free towards one remote
 * address and port whatever else it is used for, so 64,000 sessions to each of any number of
 * targets share one inner address.
 *
 * Ports 1024 to 65535 in 252 blocks of 256. What is in use is in the session table: a port is drawn
 * (RFC 6056), and taken if no session there has it. Only a block of an endpoint that has many
 * sessions gets an entry here, 64 bytes with a bitmap; and endpoints that are nearly full get a
 * summary of which blocks may still have a free port. So taking a port, and refusing one, costs
 * about the same however full they are. Worker only; no allocation after create.
 */
#pragma once

#include <stdint.h>

#include "dataplane/nat_flow.h"

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
	uint8_t direction; /* enum dp_flow_direction, of replies' keys */
};

/* The key of replies to this port of the endpoint. */
static inline struct dp_flow_key dp_port_reply_key(const struct dp_port_endpoint *e,
                                                   uint16_t port_be)
{
	return (struct dp_flow_key){ .source_be = e->remote_be,
		                     .destination_be = e->inner_be,
		                     .source_port_be = e->remote_port_be,
		                     .destination_port_be = port_be,
		                     .protocol = e->protocol,
		                     .direction = e->direction,
		                     .environment = e->scope };
}

/* Of the sessions in FLOWS (borrowed), on NUMA node SOCKET. There are as many entries for blocks as
 * that many sessions can make necessary, whatever their endpoints are: nobody's sessions can take
 * another one's ports. IKE's port 4500 is reserved from the start. Returns 0 or -ENOMEM. Control
 * thread. */
int dp_portpool_create(struct dp_portpool **pool, struct dp_flow_table *flows, uint64_t seed,
                       int socket);
void dp_portpool_destroy(struct dp_portpool *pool);

/* Never gives PORT (host byte order) again, to no endpoint; who has it keeps it. */
void dp_portpool_reserve(struct dp_portpool *pool, uint16_t port);

/* Takes a port of the window towards the endpoint, for a session that begins before the next port
 * is taken, or gives it back. DRAW is random and decides which one is tried first. Returns 0 or
 * -EADDRINUSE: all are in use. */
int dp_portpool_take(struct dp_portpool *pool, const struct dp_port_endpoint *endpoint,
                     struct dp_port_window window, uint64_t draw, uint16_t *port_be);

/* The same is about to be taken: sends for the lines that it will need. */
void dp_portpool_expect(struct dp_portpool *pool, const struct dp_port_endpoint *endpoint,
                        struct dp_port_window window, uint64_t draw);

/* Gives a port back that was taken with the same endpoint; before its session leaves the table or
 * after. */
void dp_portpool_release(struct dp_portpool *pool, const struct dp_port_endpoint *endpoint,
                         uint16_t port_be);

/* Ports that are in use towards an endpoint. */
struct dp_port_use {
	struct dp_port_endpoint endpoint;
	uint32_t ports;
};

/*
 * Lists what the sessions of a scope use from *CURSOR on (0: the beginning), at most MAX; an
 * endpoint may be there many times. Returns how many, and in *CURSOR where to go on, 0: that was
 * the last part. Looks at a bounded number of sessions, so it may return none before the end.
 */
unsigned dp_portpool_list(const struct dp_portpool *pool, uint16_t scope, uint32_t *cursor,
                          struct dp_port_use *uses, unsigned max);

/* How many ports there are towards one endpoint: all that are not reserved. */
uint32_t dp_portpool_capacity(const struct dp_portpool *pool);

/* Blocks that have an entry now. */
uint32_t dp_portpool_blocks(const struct dp_portpool *pool);
