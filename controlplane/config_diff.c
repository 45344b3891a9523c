/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is different between two configurations, in the operators' nouns.
 */
#include "controlplane/config_diff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/config_fields.h"

/* ---- the list ---- */

struct diff {
	struct cp_changes *changes;
	size_t room;
	bool is_out_of_memory;
};

/* A new entry, or NULL: no memory. */
static struct cp_change *add(struct diff *diff, enum cp_change_kind kind, enum cp_change_what what,
                             const char *environment, const char *server)
{
	struct cp_changes *changes = diff->changes;
	struct cp_change *change;

	if (changes->count == diff->room) {
		const size_t room = diff->room ? 2 * diff->room : 16;
		struct cp_change *list = reallocarray(changes->list, room, sizeof(*list));

		if (!list) {
			diff->is_out_of_memory = true;
			return NULL;
		}
		changes->list = list;
		diff->room = room;
	}
	change = &changes->list[changes->count++];
	*change = (struct cp_change){ .kind = kind, .what = what, .effect = CP_AT_ONCE };
	snprintf(change->environment, sizeof(change->environment), "%s", environment);
	snprintf(change->server, sizeof(change->server), "%s", server);
	return change;
}

/* The key that a server's secret has in the file. */
static const char *key_of(const struct cp_field *field, const void *base)
{
	const struct cp_server *server = base;

	if (field->offset != offsetof(struct cp_server, secret_file) ||
	    strcmp(field->key, "password_file") != 0)
		return field->key;
	if (server->openvpn)
		return "password_file";
	switch (server->auth) {
	case CP_AUTH_PSK:
		return "secret_file";
	case CP_AUTH_EAP_MSCHAPV2:
		return "password_file";
	case CP_AUTH_EAP_TLS:
	case CP_AUTH_CERTIFICATE:
		break;
	}
	return "key_file";
}

static void diff_fields(struct diff *diff, const struct cp_field *fields, const void *from,
                        const void *to, const char *environment, const char *server)
{
	for (const struct cp_field *field = fields; field->key; field++) {
		struct cp_change *change;

		if (cp_value_is_same(field, from, to))
			continue;
		change = add(diff, CP_CHANGED, CP_KEY, environment, server);
		if (!change)
			return;
		change->key = fields == cp_server_fields ? key_of(field, to) : field->key;
		change->effect = field->effect;
		cp_value_format(field, from, change->from);
		cp_value_format(field, to, change->to);
	}
}

/* ---- forwards ---- */

static void format_forward(const struct cp_forward *forward, char text[CP_VALUE_LEN])
{
	text[0] = 0;
	cp_value_append_address(text, forward->to_address_be);
	cp_value_append(text, ":%u", ntohs(forward->to_port_be));
	if (forward->server[0])
		cp_value_append(text, " by %s", forward->server);
}

static void add_forward(struct diff *diff, enum cp_change_kind kind, const char *environment,
                        const struct cp_forward *from, const struct cp_forward *to)
{
	struct cp_change *change = add(diff, kind, CP_FORWARD, environment, "");

	if (!change)
		return;
	change->protocol = (from ? from : to)->protocol;
	change->port_be = (from ? from : to)->port_be;
	if (from)
		format_forward(from, change->from);
	if (to)
		format_forward(to, change->to);
}

static bool is_same_forward(const struct cp_forward *a, const struct cp_forward *b)
{
	return a->to_address_be == b->to_address_be && a->to_port_be == b->to_port_be &&
	       strcmp(a->server, b->server) == 0;
}

static size_t place_of(const struct cp_forward *forward)
{
	return (forward->protocol == IPPROTO_UDP ? 65536u : 0u) + ntohs(forward->port_be);
}

static void diff_forwards(struct diff *diff, const struct cp_environment *from,
                          const struct cp_environment *to)
{
	/* by protocol and port, of FROM; what TO has too is taken out */
	const struct cp_forward **places = calloc(2 * 65536, sizeof(*places));

	if (!places) {
		diff->is_out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < from->forward_count; i++)
		places[place_of(&from->forwards[i])] = &from->forwards[i];
	for (size_t i = 0; i < to->forward_count; i++) {
		const struct cp_forward *new = &to->forwards[i], *old = places[place_of(new)];

		places[place_of(new)] = NULL;
		if (!old)
			add_forward(diff, CP_ADDED, to->name, NULL, new);
		else if (!is_same_forward(old, new))
			add_forward(diff, CP_CHANGED, to->name, old, new);
	}
	for (size_t i = 0; i < from->forward_count; i++) {
		if (places[place_of(&from->forwards[i])])
			add_forward(diff, CP_REMOVED, to->name, &from->forwards[i], NULL);
	}
	free(places);
}

/* ---- environments ---- */

static void diff_servers(struct diff *diff, const struct cp_environment *from,
                         const struct cp_environment *to)
{
	for (size_t i = 0; i < to->server_count; i++) {
		const struct cp_server *new = &to->servers[i];
		const struct cp_server *old = cp_config_server(from, new->name);

		if (old)
			diff_fields(diff, cp_server_fields, old, new, to->name, new->name);
		else
			add(diff, CP_ADDED, CP_SERVER, to->name, new->name);
		if (old && old->openvpn && new->openvpn)
			diff_fields(diff, cp_openvpn_fields, old->openvpn, new->openvpn, to->name,
			            new->name);
	}
	for (size_t i = 0; i < from->server_count; i++) {
		if (!cp_config_server(to, from->servers[i].name))
			add(diff, CP_REMOVED, CP_SERVER, to->name, from->servers[i].name);
	}
}

/* "2 servers, 14 forwards" */
static void format_size(const struct cp_environment *environment, char text[CP_VALUE_LEN])
{
	text[0] = 0;
	cp_value_append(text, "%zu server%s, %zu forward%s", environment->server_count,
	                environment->server_count == 1 ? "" : "s", environment->forward_count,
	                environment->forward_count == 1 ? "" : "s");
}

static void diff_environments(struct diff *diff, const struct cp_config *from,
                              const struct cp_config *to)
{
	struct cp_change *change;

	for (size_t i = 0; i < to->environment_count; i++) {
		const struct cp_environment *new = &to->environments[i];
		const struct cp_environment *old = cp_config_environment(from, new->name);

		if (!old) {
			change = add(diff, CP_ADDED, CP_ENVIRONMENT, new->name, "");
			if (change)
				format_size(new, change->to);
			continue;
		}
		diff_fields(diff, cp_environment_fields, old, new, new->name, "");
		diff_servers(diff, old, new);
		diff_forwards(diff, old, new);
	}
	for (size_t i = 0; i < from->environment_count; i++) {
		if (cp_config_environment(to, from->environments[i].name))
			continue;
		change = add(diff, CP_REMOVED, CP_ENVIRONMENT, from->environments[i].name, "");
		if (change)
			format_size(&from->environments[i], change->from);
	}
}

/* ---- public ---- */

int cp_config_diff(const struct cp_config *from, const struct cp_config *to,
                   struct cp_changes *changes)
{
	struct diff diff = { .changes = changes };

	*changes = (struct cp_changes){ 0 };
	diff_fields(&diff, cp_gateway_fields, from, to, "", "");
	diff_environments(&diff, from, to);
	if (!diff.is_out_of_memory)
		return 0;
	cp_changes_fini(changes);
	return -ENOMEM;
}

void cp_changes_fini(struct cp_changes *changes)
{
	free(changes->list);
	*changes = (struct cp_changes){ 0 };
}

void cp_config_keep_node(struct cp_config *config, const struct cp_config *running)
{
	memcpy(config->name, running->name, sizeof(config->name));
	config->uplink = running->uplink;
	config->cluster = running->cluster;
	memcpy(config->routes, running->routes, sizeof(config->routes));
	config->route_count = running->route_count;
	memcpy(config->cores, running->cores, sizeof(config->cores));
	config->workers = running->workers;
	config->sessions = running->sessions;
	config->mbufs = running->mbufs;
	config->memory_mb = running->memory_mb;
	config->idle = running->idle;
	config->hugepages = running->hugepages;
	config->replay_window = running->replay_window;
	config->allow_slow_crypto = running->allow_slow_crypto;
	memcpy(config->user, running->user, sizeof(config->user));
	config->ike_log_level = running->ike_log_level;
	config->health_be = running->health_be;
	config->health_port_be = running->health_port_be;
}

static bool need_renewal(const struct cp_field *fields, const void *a, const void *b)
{
	for (const struct cp_field *field = fields; field->key; field++) {
		if (field->effect == CP_RENEGOTIATES && !cp_value_is_same(field, a, b))
			return true;
	}
	return false;
}

bool cp_server_needs_renewal(const struct cp_server *a, const struct cp_server *b)
{
	if (!a->openvpn != !b->openvpn || need_renewal(cp_server_fields, a, b))
		return true;
	if (a->openvpn)
		return need_renewal(cp_openvpn_fields, a->openvpn, b->openvpn);
	return a->is_identity_set != b->is_identity_set;
}

const char *cp_change_kind_name(enum cp_change_kind kind)
{
	return kind == CP_ADDED ? "added" : kind == CP_REMOVED ? "removed" : "changed";
}

const char *cp_change_what_name(enum cp_change_what what)
{
	switch (what) {
	case CP_ENVIRONMENT:
		return "environment";
	case CP_SERVER:
		return "server";
	case CP_FORWARD:
		return "forward";
	case CP_KEY:
		break;
	}
	return "key";
}

const char *cp_effect_name(enum cp_effect effect)
{
	switch (effect) {
	case CP_AT_ONCE:
		return "at-once";
	case CP_RENEGOTIATES:
		return "renegotiates";
	case CP_NEEDS_CONTROLPLANE:
		return "needs-controlplane-restart";
	case CP_NEEDS_BOTH:
		break;
	}
	return "needs-restart";
}

static bool has_key(const struct cp_field *fields, const char *key)
{
	for (; fields->key; fields++) {
		if (strcmp(fields->key, key) == 0)
			return true;
	}
	return false;
}

bool cp_config_diff_knows(const char *path)
{
	/* in a field under another key, or what things are told apart by */
	static const char *const others[] = {
		"environment",
		"environment.name",
		"environment.servers",
		"environment.forwards",
		"environment.servers.name",
		"environment.secret_file",
		"environment.key_file",
		"environment.forwards.port",
		"environment.forwards.to",
		"environment.quota",
		"environment.forwards.transport",
		"environment.probe",
		"egress.inbound.port",
		"egress.inbound.to",
		"egress.inbound.transport",
		"egress.inbound.address",
		"environment.retry",
		"environment.forwards.server",
		"environment.port",
		"environment.transport",
		"environment.tls_auth_file",
		"environment.tls_crypt_file",
		"environment.tls_crypt_v2_file",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(path, others[i]) == 0)
			return true;
	}
	if (strncmp(path, "environment.", strlen("environment.")) != 0)
		return has_key(cp_gateway_fields, path);
	path += strlen("environment.");
	if (strncmp(path, "servers.", strlen("servers.")) == 0)
		return has_key(cp_server_fields, path + strlen("servers."));
	return has_key(cp_environment_fields, path) || has_key(cp_server_fields, path) ||
	       has_key(cp_openvpn_fields, path);
}
