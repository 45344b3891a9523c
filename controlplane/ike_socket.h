/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libcharon takes for its UDP sockets: datagrams go to and come from the dataplane.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them. IKE outlives both. Return 0
 * or -errno. */
int cp_ike_socket_attach(struct cp_ike *ike);
void cp_ike_socket_detach(void);

/* Hands a datagram from the network to libcharon; any thread, never blocks. What it has no room for
 * is lost. */
void cp_ike_socket_receive(const struct ipc_punt *punt, const void *payload);
