/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor asks of a VPN protocol, IPsec (ike_daemon.h) or OpenVPN (ovpn_client.h).
 */
#include "controlplane/protocol.h"

#include <arpa/inet.h>

#include "controlplane/ike_config.h"
#include "controlplane/ike_daemon.h"
#include "controlplane/ike_kernel.h"

static void ike_choose(const struct cp_server *server, unsigned attempt, struct cp_remote *remote)
{
	(void)attempt;
	*remote = (struct cp_remote){ .address = server->address };
}

static void ike_fill_peer(const struct cp_server *server, unsigned remote, struct ipc_peer *peer)
{
	(void)remote;
	peer->ike_port_be = htons(server->ike_port);
	peer->natt_port_be = htons(server->natt_port);
}

static int ike_connect(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel, unsigned remote,
                       uint32_t remote_be, char why[CP_WHY_LEN])
{
	(void)remote;
	return cp_ike_config_initiate(ike, tunnel, remote_be, why);
}

const struct cp_protocol cp_protocol_ike = {
	.name = "ipsec",
	.check = cp_ike_config_check,
	.choose = ike_choose,
	.fill_peer = ike_fill_peer,
	.connect = ike_connect,
	.end = cp_ike_terminate,
	.end_late = cp_ike_terminate_late,
	.leave = cp_ike_terminate,
	.rekey = cp_ike_kernel_rekey,
	.ask = cp_ike_check,
};

const struct cp_protocol *cp_protocol_of(const struct cp_server *server)
{
	(void)server;
	return &cp_protocol_ike;
}

const struct cp_protocol *cp_protocol_of_number(uint32_t number)
{
	(void)number;
	return &cp_protocol_ike;
}
