/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data keys of an OpenVPN session in the dataplane: a pair of SAs each, under one SPI.
 *
 * The inbound SA is added when the key is there, the outbound one when it is to be sent with; until
 * then its key waits here. A key whose addition was not acknowledged is burned: it is taken back,
 * and never given again. OpenVPN's thread, but for cp_ovpn_leases_has().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"
#include "controlplane/dp_client.h"
#include "controlplane/ike_sas.h"
#include "controlplane/ovpn_session.h"

#define CP_OVPN_LEASES_MAX 2u /* of a session: the newest and the one before */

/* A key: in place while spi_be is not 0. */
struct cp_ovpn_lease {
	uint32_t spi_be;
	uint32_t child; /* its number for the supervisor */
	uint8_t key_id;
	bool is_sending;         /* its outbound SA is there */
	bool is_exited;          /* the server said under it that it ends */
	bool is_heard;           /* a packet under it was authentic */
	uint64_t heard_ns;       /* the last one, as the dataplane told */
	uint32_t destination_be; /* of its outbound SA's id: where the server was then */
	char cipher[64];
	struct sp_secret *outbound; /* struct ipc_sa_add, until it is added */
};

/* Where its packets go from and to, and how it is to live. */
struct cp_ovpn_path {
	struct ipc_tunnel tunnel;
	uint32_t local_be;
	uint32_t remote_be;
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint16_t stream_port_be; /* our own of its TCP connection; 0: datagrams */
	uint32_t replay_window;  /* packets */
	uint32_t hard_seconds;
	uint16_t ping_s; /* 0: never */
};

struct cp_ovpn_leases {
	struct cp_dp *dp;
	struct cp_ike_sas *known; /* of all sessions; any thread */
	struct cp_ovpn_path path;
	size_t tunnel; /* its number */
	struct cp_ovpn_lease keys[CP_OVPN_LEASES_MAX];
};

/* Adds the inbound SA; keys of other sessions with this tunnel go where they are in its way.
 * Returns 0 with *LEASE; or -errno with WHY in words: then nothing is left. */
int cp_ovpn_leases_add(struct cp_ovpn_leases *leases, const struct cp_ovpn_key *key, uint32_t child,
                       struct cp_ovpn_lease **lease, char why[CP_WHY_LEN]);

/* Adds the outbound SA. Returns 0, or -errno: then the key is gone for sending. */
int cp_ovpn_leases_use(struct cp_ovpn_leases *leases, struct cp_ovpn_lease *lease);

/* Removes both. */
void cp_ovpn_leases_remove(struct cp_ovpn_leases *leases, struct cp_ovpn_lease *lease);
void cp_ovpn_leases_remove_all(struct cp_ovpn_leases *leases);

/* Wipes what waits and forgets them all; in the dataplane they stay. */
void cp_ovpn_leases_forget(struct cp_ovpn_leases *leases);

struct cp_ovpn_lease *cp_ovpn_leases_find(struct cp_ovpn_leases *leases, uint8_t key_id);

/* Whether it is the one that is sent with, and the dataplane cannot any more: its numbers are used
 * up. */
bool cp_ovpn_leases_is_spent(const struct cp_ovpn_leases *leases,
                             const struct cp_ovpn_lease *lease);

/* Asks the dataplane for the inbound SA. True: packets were authentic since it was asked last; the
 * path leads to where they came from. A key that it does not have any more has spi_be 0 afterwards.
 */
bool cp_ovpn_leases_look(struct cp_ovpn_leases *leases, struct cp_ovpn_lease *lease);
