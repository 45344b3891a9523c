/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's thread: it has all logins (ovpn_login.h) and does what the supervisor orders.
 *
 * Logins and keys have numbers in which CP_OVPN_NUMBERS is set; what becomes of them is told by
 * cp_ike_report(), as it is of IKE_SAs.
 */
#pragma once

#include <stdbool.h>

#include "controlplane/ike_tunnels.h"

struct cp_ovpn_client;

/* Starts the thread; it runs until the process ends. ike->openvpn is it then. Returns 0 or -errno.
 */
int cp_ovpn_client_start(struct cp_ike *ike);

/* A datagram that the dataplane does not keep for itself: true if it came to a port of an OpenVPN
 * tunnel. Does not block. Any thread, as what follows. */
bool cp_ovpn_client_receive(const struct cp_ike *ike, const struct ipc_punt *punt,
                            const void *payload);

/* A sealed packet, for the TCP connection from its source's port. It is dropped if that does not
 * take it. */
void cp_ovpn_client_send(const struct cp_ike *ike, const struct ipc_punt *punt, const void *packet);

/* Keys in the dataplane changed, or were used for the first time. */
void cp_ovpn_client_keys_changed(const struct cp_ike *ike);

/* Whether this SA was acknowledged and not removed since. */
bool cp_ovpn_client_has(const struct cp_ike *ike, const struct ipc_sa_id *id);

/* Data packets for SERVER that its TCP connections had no room for, so far. */
uint64_t cp_ovpn_client_dropped(const struct cp_ike *ike, const struct cp_server *server);

/* Stops it as if time stood still, and goes on. */
void cp_ovpn_client_freeze(const struct cp_ike *ike);
void cp_ovpn_client_thaw(const struct cp_ike *ike);
