/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor asks of a VPN protocol, IPsec (ike_daemon.h) or OpenVPN (ovpn_client.h).
 *
 * A login is an IKE_SA or an OpenVPN session, a child is a CHILD_SA or a pair of data keys. Both
 * have numbers of which no two are equal, whatever the protocol: struct cp_event tells of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/ike_tunnels.h"

/* Set in the numbers of OpenVPN's logins and children; libcharon counts from 1. */
#define CP_OVPN_NUMBERS 0x80000000u

/* Where a login goes. */
struct cp_remote {
	unsigned number;     /* of the remotes that the settings have */
	const char *address; /* as configured */
};

/* None of them blocks for long; supervisor's thread. */
struct cp_protocol {
	const char *name;

	/* Whether what SERVER is set to can be done; -EINVAL and WHY. */
	int (*check)(const struct cp_server *server, char why[CP_WHY_LEN]);

	/* Where attempt number ATTEMPT, from 0, goes. */
	void (*choose)(const struct cp_server *server, unsigned attempt, struct cp_remote *remote);

	/* Fills in the outer ports, ours and the server's. */
	void (*fill_peer)(const struct cp_server *server, unsigned remote, struct ipc_peer *peer);

	/* Begins a login at REMOTE_BE; what becomes of it are events. Returns 0, or -errno with
	 * WHY. */
	int (*connect)(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel, unsigned remote,
	               uint32_t remote_be, char why[CP_WHY_LEN]);

	/* Ends a login: at once; after SECONDS; or for good, because its tunnel was removed. */
	void (*end)(struct cp_ike *ike, uint32_t login);
	void (*end_late)(struct cp_ike *ike, uint32_t login, unsigned seconds);
	void (*leave)(struct cp_ike *ike, uint32_t login);

	/* New keys in place of this SA, of either direction, and of the one that belongs to it. */
	void (*rekey)(struct cp_ike *ike, const struct ipc_sa_id *id);

	/* Asks the server whether it still knows this login: CP_EVENT_ANSWERED, _UNANSWERED or
	 * _SILENT follow. */
	void (*ask)(struct cp_ike *ike, uint32_t login);
};

extern const struct cp_protocol cp_protocol_ike;
extern const struct cp_protocol cp_protocol_openvpn;

/* The protocol that SERVER is set to. */
const struct cp_protocol *cp_protocol_of(const struct cp_server *server);

/* The protocol of a login or a child by its number. */
const struct cp_protocol *cp_protocol_of_number(uint32_t number);
