/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which SAs have carried as much as their server's limits allow: each is told once. Pure.
 */
#include "controlplane/rekey_limits.h"

bool cp_rekey_limits_any(const struct cp_config *config)
{
	for (size_t e = 0; e < config->environment_count; e++) {
		const struct cp_environment *environment = &config->environments[e];

		for (size_t s = 0; s < environment->server_count; s++) {
			if (environment->servers[s].child_rekey_bytes ||
			    environment->servers[s].child_rekey_packets)
				return true;
		}
	}
	return false;
}

/* An SA that was rekeyed stays for some seconds, over its limit. */
static bool was_told(const struct cp_rekey_limits *limits, uint32_t spi_be)
{
	for (size_t i = 0; i < CP_LIMITS_TOLD_MAX; i++) {
		if (limits->told[i] == spi_be)
			return true;
	}
	return false;
}

bool cp_rekey_limits_reached(struct cp_rekey_limits *limits, const struct cp_server *server,
                             const struct ipc_sa_info *info)
{
	const bool is_over =
		(server->child_rekey_bytes && info->bytes >= server->child_rekey_bytes) ||
		(server->child_rekey_packets && info->packets >= server->child_rekey_packets);

	if (!is_over || was_told(limits, info->id.spi_be))
		return false;
	limits->told[limits->next] = info->id.spi_be;
	limits->next = (limits->next + 1) % CP_LIMITS_TOLD_MAX;
	return true;
}
