/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the IKE side share, and OpenVPN's client with them: the configured tunnels, by
 * number and by name, and where events go.
 */
#include "controlplane/ike_tunnels.h"

#include "controlplane/ovpn_settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Settings that a thread of libcharon may still look at. */
struct cp_ike_settings {
	const struct cp_server *server;
	uint64_t replaced_ms;
	struct cp_ike_settings *next;
};

int cp_ike_tunnels_init(struct cp_ike *ike)
{
	pthread_rwlock_init(&ike->lock, NULL);
	ike->tunnels = calloc(CP_IKE_TUNNELS_MAX, sizeof(*ike->tunnels));
	return ike->tunnels ? 0 : -ENOMEM;
}

static void free_copy(const struct cp_server *server)
{
	if (server)
		free(server->openvpn);
	free((void *)server);
}

static const struct cp_server *copy_of(const struct cp_server *server)
{
	struct cp_server *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *server;
	if (!server->openvpn)
		return copy;
	copy->openvpn = malloc(sizeof(*copy->openvpn));
	if (!copy->openvpn) {
		free(copy);
		return NULL;
	}
	*copy->openvpn = *server->openvpn;
	return copy;
}

int cp_ike_tunnel_set(struct cp_ike *ike, size_t number, const struct cp_server *server,
                      uint64_t now_ms)
{
	struct cp_ike_tunnel *tunnel = &ike->tunnels[number];
	struct cp_ike_settings *replaced = malloc(sizeof(*replaced));
	const struct cp_server *copy = copy_of(server);

	if (!replaced || !copy) {
		free(replaced);
		free_copy(copy);
		return -ENOMEM;
	}
	*replaced = (struct cp_ike_settings){ .server = tunnel->server,
		                              .replaced_ms = now_ms,
		                              .next = ike->replaced };
	ike->replaced = replaced;
	tunnel->server = copy;
	return 0;
}

int cp_ike_tunnel_add(struct cp_ike *ike, size_t number, const struct ipc_tunnel *id,
                      const struct cp_server *server, uint64_t now_ms)
{
	struct cp_ike_tunnel *tunnel = &ike->tunnels[number];

	if (cp_ike_tunnel_set(ike, number, server, now_ms) != 0)
		return -ENOMEM;
	pthread_rwlock_wrlock(&ike->lock);
	tunnel->id = *id;
	tunnel->suite = 0;
	snprintf(tunnel->name, sizeof(tunnel->name), "%s/%s", id->environment, id->server);
	if (number >= ike->tunnel_count)
		ike->tunnel_count = number + 1;
	pthread_rwlock_unlock(&ike->lock);
	return 0;
}

void cp_ike_tunnels_tidy(struct cp_ike *ike, uint64_t now_ms)
{
	struct cp_ike_settings **at = &ike->replaced;

	while (*at) {
		struct cp_ike_settings *replaced = *at;

		if (now_ms - replaced->replaced_ms < CP_IKE_SETTINGS_KEEP_MS) {
			at = &replaced->next;
			continue;
		}
		*at = replaced->next;
		free_copy(replaced->server);
		free(replaced);
	}
}

const struct cp_ike_tunnel *cp_ike_find(struct cp_ike *ike, const char *name)
{
	const struct cp_ike_tunnel *found = NULL;

	if (!name)
		return NULL;
	pthread_rwlock_rdlock(&ike->lock);
	for (size_t i = 0; !found && i < ike->tunnel_count; i++) {
		if (strcmp(ike->tunnels[i].name, name) == 0)
			found = &ike->tunnels[i];
	}
	pthread_rwlock_unlock(&ike->lock);
	return found;
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
