/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One account at one server, under two names: `sallyport check` refuses what it can see in the
 * files; that two DNS names are one server is seen here, before the second login throws the first
 * one out.
 */
#include "controlplane/supervisor_private.h"

#include <stdio.h>

#include "common/netaddr.h"

static bool is_there(const struct tunnel *tunnel, uint32_t remote_be)
{
	const struct cp_tunnel_state *state = &tunnel->state;

	return tunnel->is_configured && state->remote_be == remote_be &&
	       (state->child_count || state->is_queued || state->is_negotiating);
}

bool cp_supervisor_has_rival(const struct cp_supervisor *supervisor, size_t index,
                             uint32_t remote_be, char why[CP_WHY_LEN])
{
	const struct cp_server *server = supervisor->tunnels[index].ike->server;
	char address[SP_ADDRESS_TEXT];

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct tunnel *other = &supervisor->tunnels[i];

		if (i == index || !is_there(other, remote_be) ||
		    !cp_server_is_rival(other->ike->server, server))
			continue;
		snprintf(
			why, CP_WHY_LEN,
			"%.60s is %s, where %.63s is logged in with the same account: one would throw the other out",
			server->address, sp_address_format(address, remote_be), other->ike->name);
		return true;
	}
	return false;
}
