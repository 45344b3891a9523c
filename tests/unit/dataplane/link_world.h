/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker with two ports, answers, next hops and a queue to the control thread, without threads or
 * devices: what tests of the first and the last stages run on, and the fuzz target of the parser.
 *
 * A frame ends where its memory ends, so that a sanitizer sees a read behind it.
 */
#pragma once

#include <stdint.h>

#include "dataplane/nexthop.h"
#include "dataplane/parse.h"
#include "dataplane/peers.h"
#include "dataplane/port.h"
#include "dataplane/punt.h"
#include "dataplane/reassembly.h"
#include "dataplane/worker.h"

#define LINK_UPLINK 0xcb00710au  /* 203.0.113.10/24, router .1 */
#define LINK_CLUSTER 0x0a000002u /* 10.0.0.2/32, router 10.0.0.1, routes 10.0.0.0/16 */
#define LINK_ENVIRONMENT 0       /* slot */
#define LINK_POD 0x0a000021u     /* 10.0.0.33, the environment's address */
#define LINK_CLIENT 0x0a000105u  /* 10.0.1.5 */
#define LINK_SERVER 0xc6336465u  /* 198.51.100.101, may send IKE */
#define LINK_IKE_PORT 500u
#define LINK_NATT_PORT 4500u
#define LINK_HEADROOM 128u
#define LINK_ETHER 14u
#define LINK_DATAGRAMS 8u /* large buffers */

struct link_world {
	struct dp_worker w;
	struct dp_counters count;
	struct dp_port ports[DP_PORT_COUNT];
	struct dp_tx tx[DP_PORT_COUNT];
	struct dp_batch answers;
	struct dp_batch answers_inside;
	struct dp_batch path;      /* parser: what goes on to or comes from a tunnel */
	struct dp_batch egress;    /* parser: to or from the Internet */
	struct dp_batch hairpin;   /* parser: from the cluster to a static address */
	struct dp_batch fragments; /* parser: a server's */
	struct dp_batch local;     /* parser: all the rest */
	struct dp_tunnel tunnels[8];
	struct dp_generation generation;
	struct dp_environment environment;
	struct dp_pod pods[4];
	unsigned in_use; /* buffers, before */
};

/* Starts EAL; a cmocka group setup. 0 or -1. */
int link_eal(void **state);

/* NULL: no memory. */
struct link_world *link_create(void);
/* Frees what is queued anywhere. Returns the number of buffers that were lost since link_create().
 */
unsigned link_destroy(struct link_world *x);
/* Buffers in use. */
unsigned link_in_use(void);

/* A buffer with LENGTH bytes of data behind HEADROOM bytes, and nothing behind them. */
struct rte_mbuf *link_buffer(const void *data, unsigned length, unsigned headroom);

/* An Ethernet header from a neighbour to the port. */
void link_ether(const struct link_world *x, enum dp_port_id port, uint16_t type, uint8_t *frame);
/* The neighbour's MAC address. */
extern const uint8_t link_neighbour[6];

/* Puts a plain IPv4 header in front of LENGTH bytes at IP + 20; returns the packet's length. */
unsigned link_ipv4(uint8_t *ip, uint8_t protocol, uint32_t source, uint32_t destination,
                   unsigned length);
/* Writes the header's checksum anew, whatever the header says. */
void link_fix_checksum(uint8_t *ip);
/* One's complement sum, folded: 0xffff where a checksum is right. */
uint16_t link_sum(const uint8_t *p, unsigned length);

/* Parses one frame into the batches (which it empties first) and returns its packet. */
struct dp_pkt *link_parse(struct link_world *x, enum dp_port_id port, struct rte_mbuf *m);
/* Frees the packets of these batches, answers and what waits to be sent or punted. */
void link_clear(struct link_world *x);
