/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker with crypto, SA table, tunnels and buffers, without ports and threads: what tests of ESP
 * stages run on.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/peers.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"
#include "tests/unit/dataplane/esp_peer.h"

#define WORLD_TUNNELS 8u
#define WORLD_LOCAL 0xcb00710au  /* 203.0.113.10 */
#define WORLD_REMOTE 0xc6336465u /* 198.51.100.101 */
#define WORLD_TARGET 0xc0a8641eu /* 192.168.100.30 */
#define WORLD_INNER 0x0a030005u  /* 10.3.0.5 */
#define WORLD_LINK_MTU 1500u
#define WORLD_EPOCH 77u

struct world {
	struct dp_worker w;
	struct dp_counters count;
	struct dp_tunnel tunnels[WORLD_TUNNELS];
	struct dp_batch batch;
	struct dp_peers *peers; /* none */
	uint32_t random;
};

/* Starts EAL; a cmocka group setup. */
int world_eal(void **state);

struct world *world_create(uint16_t worker, uint32_t capacity);
/* Checks that every buffer was given back. */
void world_destroy(struct world *x);

/* An addition in either direction with a key of its own; SPI in host order. */
struct ipc_sa_add world_add_request(enum ipc_direction direction, uint32_t spi,
                                    enum ipc_algorithm algorithm, uint32_t flags);
/* dp_sa_add() with fresh memory, which is freed if it fails. */
int world_add(struct world *x, const struct ipc_sa_add *add, uint16_t tunnel);
/* Both, the SPI allocated first; they return the SA. Environment is TUNNEL + 100. */
struct dp_sa_in *world_add_in(struct world *x, uint16_t tunnel, enum ipc_algorithm algorithm,
                              uint32_t flags);
struct dp_sa_out *world_add_out(struct world *x, uint16_t tunnel, uint32_t spi,
                                enum ipc_algorithm algorithm, uint32_t flags);

/* The server's view of an addition: it sends what we call inbound, opens what we call outbound. */
struct esp_peer world_peer(const struct ipc_sa_add *add);

/* Appends an outer packet as the parser would hand it over (behind an Ethernet header). */
struct dp_pkt *world_push_outer(struct world *x, const uint8_t *packet, unsigned length);
/* Appends an inner packet as the NAT stages would. */
struct dp_pkt *world_push_inner(struct world *x, const uint8_t *packet, unsigned length,
                                uint16_t tunnel);
/* Frees the buffers of the batch and empties it. */
void world_clear(struct world *x);

/* Both stages of a direction. */
void world_in(struct world *x);
void world_out(struct world *x);
