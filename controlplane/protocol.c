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

static void ike_end(struct cp_ike *ike, uint32_t login)
{
	(void)ike;
	cp_ike_terminate(login);
}

static void ike_end_late(struct cp_ike *ike, uint32_t login, unsigned seconds)
{
	(void)ike;
	cp_ike_terminate_late(login, seconds);
}

static void ike_rekey(struct cp_ike *ike, const struct ipc_sa_id *id)
{
	(void)ike;
	cp_ike_kernel_rekey(id->spi_be, id->destination_be);
}

static void ike_ask(struct cp_ike *ike, uint32_t login)
{
	(void)ike;
	cp_ike_check(login);
}

const struct cp_protocol cp_protocol_ike = {
	.name = "ipsec",
	.check = cp_ike_config_check,
	.choose = ike_choose,
	.fill_peer = ike_fill_peer,
	.connect = ike_connect,
	.end = ike_end,
	.end_late = ike_end_late,
	.leave = ike_end,
	.rekey = ike_rekey,
	.ask = ike_ask,
};

const struct cp_protocol *cp_protocol_of(const struct cp_server *server)
{
	return server->openvpn ? &cp_protocol_openvpn : &cp_protocol_ike;
}

const struct cp_protocol *cp_protocol_of_number(uint32_t number)
{
	return number & CP_OVPN_NUMBERS ? &cp_protocol_openvpn : &cp_protocol_ike;
}
