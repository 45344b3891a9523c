/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses are counted by their tunnels; a removed one leaves a mark that searches pass over,
 * unless they would end behind it anyway. */
#include "dataplane/peers.h"

#include <assert.h>
#include <errno.h>

#include <rte_malloc.h>

#include "dataplane/crc.h"

#define MASK (DP_PEERS_PLACES - 1)
#define REMOVED UINT32_MAX /* the broadcast address, nobody's */

int dp_peers_create(struct dp_peers **peers)
{
	*peers = rte_zmalloc("peers", sizeof(**peers), RTE_CACHE_LINE_SIZE);
	return *peers ? 0 : -ENOMEM;
}

void dp_peers_destroy(struct dp_peers *peers)
{
	rte_free(peers);
}

static uint32_t read_place(const struct dp_peers *p, uint32_t at)
{
	return atomic_load_explicit(&p->addresses[at], memory_order_relaxed);
}

static void write_place(struct dp_peers *p, uint32_t at, uint32_t value)
{
	atomic_store_explicit(&p->addresses[at], value, memory_order_relaxed);
}

/* The address's place; if it has none, where it would go. */
static uint32_t find(const struct dp_peers *p, uint32_t address_be)
{
	uint32_t at = dp_crc4(address_be) & MASK, room = UINT32_MAX, value;

	for (uint32_t i = 0; i < DP_PEERS_PLACES && (value = read_place(p, at)) != 0; i++) {
		if (value == address_be)
			return at;
		if (value == REMOVED && room == UINT32_MAX)
			room = at;
		at = (at + 1) & MASK;
	}
	return room == UINT32_MAX ? at : room;
}

bool dp_peers_has(const struct dp_peers *p, uint32_t address_be)
{
	return address_be != 0 && address_be != REMOVED &&
	       read_place(p, find(p, address_be)) == address_be;
}

static void refresh_port(struct dp_peers *p, uint16_t port_be)
{
	enum dp_peer_port port = p->natt_users[port_be]      ? DP_PEER_PORT_NATT
	                         : p->ike_users[port_be]     ? DP_PEER_PORT_IKE
	                         : p->openvpn_users[port_be] ? DP_PEER_PORT_OPENVPN
	                                                     : DP_PEER_PORT_NONE;

	atomic_store_explicit(&p->ports[port_be], (uint8_t)port, memory_order_relaxed);
}

/* The control thread is the only one that writes. */
static void add_openvpn(struct dp_peers *p, const struct ipc_peer *peer, uint16_t tunnel)
{
	struct dp_ovpn_peer server = { peer->remote_be, peer->remote_port_be, tunnel };
	uint64_t value;

	memcpy(&value, &server, sizeof(value));
	atomic_store_explicit(&p->openvpn[peer->openvpn_port_be], value, memory_order_relaxed);
}

/* What its ports are for, from its PEER; HOW_MANY: 1 or -1. */
static void use_ports(struct dp_peers *p, const struct ipc_peer *peer, int how_many)
{
	if (peer->openvpn_port_be) {
		p->openvpn_users[peer->openvpn_port_be] =
			(uint16_t)(p->openvpn_users[peer->openvpn_port_be] + how_many);
		refresh_port(p, peer->openvpn_port_be);
		return;
	}
	p->ike_users[peer->ike_port_be] = (uint16_t)(p->ike_users[peer->ike_port_be] + how_many);
	p->natt_users[peer->natt_port_be] =
		(uint16_t)(p->natt_users[peer->natt_port_be] + how_many);
	refresh_port(p, peer->ike_port_be);
	refresh_port(p, peer->natt_port_be);
}

void dp_peers_add(struct dp_peers *p, const struct ipc_peer *peer, uint16_t tunnel)
{
	uint32_t at = find(p, peer->remote_be);

	if (p->address_users[at]++ == 0) {
		assert(p->count <= DP_PEERS_MAX);
		p->count++;
		p->removed -= read_place(p, at) == REMOVED;
		write_place(p, at, peer->remote_be);
	}
	if (peer->openvpn_port_be)
		add_openvpn(p, peer, tunnel);
	use_ports(p, peer, 1);
}

static void remove_at(struct dp_peers *p, uint32_t at)
{
	p->count--;
	p->removed++;
	write_place(p, at, REMOVED);
	if (read_place(p, (at + 1) & MASK) != 0)
		return;
	for (; read_place(p, at) == REMOVED; at = (at - 1) & MASK) {
		write_place(p, at, 0);
		p->removed--;
	}
}

void dp_peers_del(struct dp_peers *p, const struct ipc_peer *peer)
{
	uint32_t at = find(p, peer->remote_be);

	assert(p->address_users[at] > 0 && read_place(p, at) == peer->remote_be);
	if (--p->address_users[at] == 0)
		remove_at(p, at);
	use_ports(p, peer, -1);
}
