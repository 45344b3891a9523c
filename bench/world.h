/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gateway to be measured: the dataplane started and configured as its control plane does it, on
 * ports that receive and send nothing (net_null), with environments, tunnels and egress. The
 * measuring threads take the workers' places, so there is no other thread that one would wait for.
 *
 * A session has a number, and by that an environment, one of its forwards, the tunnel that this
 * forward prefers, and its home worker.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "dataplane/crypto_mb.h"
#include "dataplane/ctl_requests.h"

#define WORLD_CLIENTS 4096u           /* pods */
#define WORLD_CALLS_PER_TARGET 32768u /* sessions of a forward: each has a port of its own */
#define WORLD_POD 0x0a000021u         /* 10.0.0.33, + environment; what its clients call */
#define WORLD_CLIENT 0x0a400000u      /* 10.64.0.0, + client */
#define WORLD_TARGET 0xc0a86400u      /* 192.168.100.0, + forward */
#define WORLD_TARGET_PORT 8080u
#define WORLD_FORWARD_PORT 20000u /* + forward */
#define WORLD_CLIENT_PORT 1024u   /* + round of the clients */
#define WORLD_REMOTE 0xc6120000u  /* 198.18.0.0, RFC 2544, + remote; for egress */
#define WORLD_REMOTES 1024u
#define WORLD_REMOTE_PORT 443u
#define WORLD_INNER 0x0a030005u  /* our address in a tunnel, + server */
#define WORLD_UPLINK 0xcb00710au /* 203.0.113.10, the static address too */
#define WORLD_SERVER 0xc6130001u /* 198.19.0.1, RFC 2544, + tunnel */
#define WORLD_WORKERS_MAX 2u

enum world_kind { WORLD_FORWARDS, WORLD_EGRESS, WORLD_KINDS };

/* 0 is 1, where it says nothing else. */
struct world_options {
	uint32_t sessions;     /* of each kind; at most WORLD_CALLS_PER_TARGET times all forwards */
	uint32_t capacity;     /* of the session tables of all workers; 0: both kinds' sessions */
	uint32_t workers;      /* WORLD_WORKERS_MAX */
	uint32_t environments; /* DP_ENVIRONMENTS_MAX */
	uint32_t used; /* environments that have sessions and tunnels that are up; 0: all of them */
	uint32_t servers;   /* of each environment, DP_ENVIRONMENT_TUNNELS_MAX */
	uint32_t forwards;  /* of each environment; 0: as many as sessions need */
	uint32_t memory_mb; /* 0: what the dataplane takes by itself */
	uint8_t hugepages;  /* enum ipc_hugepages */
};

/* What tunnels speak. */
enum world_protocol { WORLD_ESP, WORLD_ESP_UDP, WORLD_OPENVPN };
#define WORLD_OPENVPN_PORT 40000u /* + tunnel: ours */
#define WORLD_OPENVPN_SERVER_PORT 1194u

/* The server's side of a tunnel, as far as it sends. */
struct world_tunnel {
	struct dp_crypto_key key;
	_Atomic uint64_t sequence; /* last one it sent */
	uint32_t salt;
	uint8_t iv[8]; /* OpenVPN: implicit part of the nonce */
	uint32_t spi_in_be;
	uint32_t spi_out_be;
};

struct world {
	struct dp_core core;
	struct dp_requests requests;
	struct dp_reply reply;
	struct dp_worker *w; /* the first one */
	struct world_options options;
	char directory[64];
	struct world_tunnel *tunnels;
	uint32_t tunnel_count;
	const struct dp_crypto_suite *suite;
	struct dp_crypto *crypto[WORLD_WORKERS_MAX]; /* of those who write frames */
	struct dp_crypto_suite openvpn_suite;        /* what suite is, of WORLD_OPENVPN */
	enum world_protocol protocol;
	uint8_t key_id;                  /* OpenVPN: of the newest keys */
	uint16_t *ports_be[WORLD_KINDS]; /* by session: our port towards the target or remote; NULL:
	                                    none is open */
};

/* Starts everything but sessions; once per process. Returns 0, or -errno with WHY in words. */
int world_start(struct world *world, const struct world_options *options, char why[256]);
void world_stop(struct world *world);

/* Where a session belongs. */
uint32_t world_environment(const struct world *world, uint32_t session);
uint32_t world_forward(const struct world *world, uint32_t session); /* of its environment */
uint32_t world_tunnel(const struct world *world, uint32_t session);
uint32_t world_remote_be(uint32_t session); /* of egress */
struct dp_worker *world_home(const struct world *world, enum world_kind kind, uint32_t session);

/* Gives all tunnels new SAs: another cipher (enum ipc_algorithm; OpenVPN: AEAD alone), another
 * protocol. */
int world_rekey(struct world *world, unsigned algorithm, enum world_protocol protocol);

/* Opens all sessions of a kind, by TCP handshakes that pass through the path; all workers' by the
 * calling thread. */
int world_open(struct world *world, enum world_kind kind);

/* One turn of the worker's loop with this burst, but for the ports and what others hand over. */
void world_turn(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n);

/* The routers answer who asks for them. */
void world_resolve(struct world *world);

/* What was sent through PORT and not taken yet: returns how many, in M (room for DP_TX_BUFFER). */
unsigned world_take(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m);
