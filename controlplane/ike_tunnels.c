/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the IKE side share: the configured IPsec tunnels, by number and by name, and
 * where events go.
 */
#include "controlplane/ike_tunnels.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cp_ike_tunnels_init(struct cp_ike *ike)
{
	size_t count = 0;

	for (size_t e = 0; e < ike->config->environment_count; e++)
		count += ike->config->environments[e].server_count;
	ike->tunnels = calloc(count ? count : 1, sizeof(*ike->tunnels));
	if (!ike->tunnels)
		return -ENOMEM;
	for (size_t e = 0; e < ike->config->environment_count; e++) {
		const struct cp_environment *environment = &ike->config->environments[e];

		for (size_t s = 0; s < environment->server_count; s++) {
			struct cp_ike_tunnel *tunnel = &ike->tunnels[ike->tunnel_count++];

			tunnel->server = &environment->servers[s];
			snprintf(tunnel->id.environment, IPC_NAME_LEN, "%s", environment->name);
			snprintf(tunnel->id.server, IPC_NAME_LEN, "%s", tunnel->server->name);
			snprintf(tunnel->name, sizeof(tunnel->name), "%s/%s",
			         tunnel->id.environment, tunnel->id.server);
		}
	}
	return 0;
}

const struct cp_ike_tunnel *cp_ike_find(const struct cp_ike *ike, const char *name)
{
	for (size_t i = 0; name && i < ike->tunnel_count; i++) {
		if (strcmp(ike->tunnels[i].name, name) == 0)
			return &ike->tunnels[i];
	}
	return NULL;
}

void cp_ike_report(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                   const struct cp_event *event)
{
	ike->report(ike->context, (size_t)(tunnel - ike->tunnels), event);
}

void cp_ike_explain(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel, uint32_t ike_id,
                    enum cp_rank rank, const char *format, ...)
{
	struct cp_event event = { .type = CP_EVENT_REASON, .ike_id = ike_id, .rank = rank };
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(event.why, sizeof(event.why), format, arguments);
	va_end(arguments);
	cp_ike_report(ike, tunnel, &event);
}
