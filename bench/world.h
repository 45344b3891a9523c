/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gateway to be measured: the dataplane started and configured as its control plane does it, on
 * ports that receive and send nothing (net_null), with one environment, one tunnel and egress. The
 * measuring thread takes the worker's place, so there is no other thread that it would wait for.
 */
#pragma once

#include <stdint.h>

#include "dataplane/crypto_mb.h"
#include "dataplane/ctl_requests.h"

#define WORLD_CLIENTS 4096u           /* pods */
#define WORLD_CALLS_PER_TARGET 32768u /* sessions of a forward: each has a port of its own */
#define WORLD_POD 0x0a000021u         /* 10.0.0.33, what the environment's clients call */
#define WORLD_CLIENT 0x0a400000u      /* 10.64.0.0, + client */
#define WORLD_TARGET 0xc0a86400u      /* 192.168.100.0, + forward */
#define WORLD_TARGET_PORT 8080u
#define WORLD_FORWARD_PORT 20000u /* + forward */
#define WORLD_CLIENT_PORT 1024u   /* + round of the clients */
#define WORLD_REMOTE 0xc6120000u  /* 198.18.0.0, RFC 2544, + remote; for egress */
#define WORLD_REMOTES 1024u
#define WORLD_REMOTE_PORT 443u
#define WORLD_INNER 0x0a030005u  /* our address in the tunnel */
#define WORLD_UPLINK 0xcb00710au /* 203.0.113.10, the static address too */
#define WORLD_SERVER 0xc6336465u /* 198.51.100.101 */

enum world_kind { WORLD_FORWARDS, WORLD_EGRESS, WORLD_KINDS };

struct world_options {
	uint32_t sessions; /* of each kind; at most WORLD_CALLS_PER_TARGET * 512 */
	uint8_t hugepages; /* enum ipc_hugepages */
};

struct world {
	struct dp_core core;
	struct dp_requests requests;
	struct dp_reply reply;
	struct dp_worker *w;
	struct world_options options;
	char directory[64];
	/* the tunnel's server, as far as it sends */
	const struct dp_crypto_suite *suite;
	struct dp_crypto *crypto;
	struct dp_crypto_key key;
	uint32_t salt;
	uint32_t spi_in_be;
	uint32_t spi_out_be;
	uint64_t sequence;               /* last one it sent */
	bool is_udp;                     /* ESP in UDP */
	uint16_t *ports_be[WORLD_KINDS]; /* by session: our port towards the target or remote; NULL:
	                                    none is open */
};

/* Starts everything but sessions; once per process. Returns 0, or -errno with WHY in words. */
int world_start(struct world *world, const struct world_options *options, char why[256]);
void world_stop(struct world *world);

/* Gives the tunnel new SAs: another cipher (enum ipc_algorithm), ESP in UDP or not. */
int world_rekey(struct world *world, unsigned algorithm, bool is_udp);

/* Opens all sessions of a kind, by TCP handshakes that pass through the path. */
int world_open(struct world *world, enum world_kind kind);

/* One turn of the worker's loop with this burst, but for the ports. */
void world_turn(struct world *world, enum dp_port_id port, struct rte_mbuf **m, unsigned n);

/* What was sent through PORT and not taken yet: returns how many, in M (room for DP_TX_BUFFER). */
unsigned world_take(struct world *world, enum dp_port_id port, struct rte_mbuf **m);
