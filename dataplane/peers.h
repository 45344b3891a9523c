/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which servers may send control packets, and to which UDP ports of ours.
 *
 * One set for all workers: the control thread adds and removes in place while they read. A worker
 * that reads meanwhile sees the set of before or behind the change. Removals wear the set: searches
 * get longer, until another one takes its place.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/ipc_proto.h"

#define DP_PEERS_MAX 16384u
#define DP_PEERS_PLACES (2 * DP_PEERS_MAX) /* a power of two */

enum dp_peer_port {
	DP_PEER_PORT_NONE = 0,
	DP_PEER_PORT_IKE,
	DP_PEER_PORT_NATT,
	DP_PEER_PORT_OPENVPN,
};

/* The one server that may send to a port of ours for OpenVPN. */
struct dp_ovpn_peer {
	uint32_t remote_be;
	uint16_t remote_port_be;
	uint16_t tunnel; /* slot */
};

struct dp_peers {
	_Atomic uint8_t ports[65536];    /* enum dp_peer_port; the index is the port in network byte
	                                    order */
	_Atomic uint64_t openvpn[65536]; /* struct dp_ovpn_peer, of such a port */
	/* open addressing by address_be; 0: empty; removed ones are passed over */
	_Atomic uint32_t addresses[DP_PEERS_PLACES];
	/* the control thread's: how many tunnels have each */
	uint32_t count;   /* addresses */
	uint32_t removed; /* places that are passed over */
	uint16_t address_users[DP_PEERS_PLACES];
	uint16_t ike_users[65536], natt_users[65536], openvpn_users[65536];
};

/* 0 or -ENOMEM. Control thread, like all that changes a set. */
int dp_peers_create(struct dp_peers **peers);
/* NULL is allowed. No worker reads it any more. */
void dp_peers_destroy(struct dp_peers *peers);

/* A tunnel's PEER, at most DP_PEERS_MAX of them and one more; and what was added so, away. A port
 * for OpenVPN has one tunnel. */
void dp_peers_add(struct dp_peers *peers, const struct ipc_peer *peer, uint16_t tunnel);
void dp_peers_del(struct dp_peers *peers, const struct ipc_peer *peer);

/* It is time for a fresh set with the same peers. */
static inline bool dp_peers_are_worn(const struct dp_peers *peers)
{
	return peers->removed > DP_PEERS_MAX / 2;
}

/* Whether this is the address of a configured server. Any thread. */
bool dp_peers_has(const struct dp_peers *peers, uint32_t address_be);

/* Whose port this is, DP_PEER_PORT_OPENVPN as it was said to be. Any thread. */
static inline struct dp_ovpn_peer dp_peers_openvpn(const struct dp_peers *peers, uint16_t port_be)
{
	uint64_t value = atomic_load_explicit(&peers->openvpn[port_be], memory_order_relaxed);
	struct dp_ovpn_peer peer;

	memcpy(&peer, &value, sizeof(peer));
	return peer;
}

/* What comes to this port of ours. Any thread. */
static inline enum dp_peer_port dp_peers_port(const struct dp_peers *peers, uint16_t port_be)
{
	return (enum dp_peer_port)atomic_load_explicit(&peers->ports[port_be],
	                                               memory_order_relaxed);
}
