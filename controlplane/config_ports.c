/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer ports of each tunnel: a server's pool knows a client that comes back by them, so they
 * follow from the configuration alone and are the same after a restart. An IPsec tunnel has a pair,
 * an OpenVPN tunnel one, which is its own.
 */
#include "controlplane/config_read.h"

#include <string.h>

#define IKE_PORT 500u
#define NATT_PORT 4500u
#define DERIVED_FIRST 10000u /* pairs of an even and the next port */
#define DERIVED_PAIRS 5000u
#define OPENVPN_FIRST 20000u
#define OPENVPN_PORTS 10000u

/* 0: none. */
static void set_ports(struct cp_server *server, unsigned port)
{
	if (server->openvpn) {
		server->openvpn->own_port = (uint16_t)port;
		return;
	}
	server->ike_port = (uint16_t)port;
	server->natt_port = (uint16_t)(port == IKE_PORT ? NATT_PORT : port ? port + 1 : 0);
}

static uint16_t first_port(const struct cp_server *server)
{
	return server->openvpn ? server->openvpn->own_port : server->ike_port;
}

bool cp_server_uses_port(const struct cp_server *server, uint16_t port)
{
	return port &&
	       (first_port(server) == port || (!server->openvpn && server->natt_port == port));
}

/* Of two IPsec tunnels, one port is for IKE or for NAT traversal, whoever uses it; and to one
 * server no two tunnels have the same. */
static bool do_collide(const struct cp_server *a, const struct cp_server *b)
{
	if (a->openvpn)
		return cp_server_uses_port(b, a->openvpn->own_port);
	if (b->openvpn)
		return cp_server_uses_port(a, b->openvpn->own_port);
	if (a->ike_port == b->natt_port || a->natt_port == b->ike_port)
		return true;
	return a->ike_port == b->ike_port && strcasecmp(a->address, b->address) == 0;
}

/* Another server that has its ports already and collides with SERVER; *HOME is its environment.
 * NULL: none. */
static const struct cp_server *find_collision(const struct cp_config *config,
                                              const struct cp_server *server,
                                              const struct cp_environment **home)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		*home = &config->environments[i];
		for (size_t j = 0; j < (*home)->server_count; j++) {
			const struct cp_server *other = &(*home)->servers[j];

			if (other != server && first_port(other) && do_collide(other, server))
				return other;
		}
	}
	return NULL;
}

/* FNV-1a: where the search for a tunnel's ports begins, whatever other tunnels there are. */
static unsigned hash_names(const char *environment, const char *server)
{
	uint32_t hash = 2166136261u;

	for (const char *c = environment; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	hash = (hash ^ '/') * 16777619u;
	for (const char *c = server; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	return hash;
}

static void derive(const struct cp_config *config, const struct cp_environment *environment,
                   struct cp_server *server)
{
	unsigned hash = hash_names(environment->name, server->name);
	const struct cp_environment *home;

	if (server->openvpn) {
		set_ports(server, OPENVPN_FIRST + hash % OPENVPN_PORTS);
		for (unsigned i = 1; i < OPENVPN_PORTS && find_collision(config, server, &home);
		     i++)
			set_ports(server, OPENVPN_FIRST + (hash + i) % OPENVPN_PORTS);
		return;
	}
	set_ports(server, IKE_PORT);
	/* there are more pairs than tunnels */
	for (unsigned i = 0; i < DERIVED_PAIRS && find_collision(config, server, &home); i++)
		set_ports(server, DERIVED_FIRST + 2 * ((hash + i) % DERIVED_PAIRS));
}

static const struct cp_node *find_key(const struct cp_node *root, const char *name)
{
	const struct cp_node *environment = cp_node_child(root, "environment");
	const struct cp_node *servers = environment ? cp_node_child(environment, "servers") : NULL;

	for (size_t i = 0; servers && i < servers->count; i++) {
		const struct cp_node *key = cp_node_child(&servers->children[i], "name");

		if (key && key->kind == CP_NODE_TEXT && strcmp(key->text, name) == 0)
			return cp_node_child(&servers->children[i], "local_port");
	}
	return NULL;
}

static void take_configured(struct cp_reader *reader, const struct cp_node *root,
                            struct cp_server *server)
{
	const struct cp_node *key = find_key(root, server->name);
	const struct cp_environment *home;
	const struct cp_server *other;

	set_ports(server, server->local_port);
	other = find_collision(reader->config, server, &home);
	if (key && other && other->openvpn)
		cp_mistake(reader, key, NULL, "%u is taken by server \"%s\" in %s",
		           server->local_port, other->name, home->file);
	else if (key && other)
		cp_mistake(reader, key, NULL,
		           "%u is taken by server \"%s\" in %s, which uses %u and %u",
		           server->local_port, other->name, home->file, other->ike_port,
		           other->natt_port);
}

/* After those that have their ports already. */
static void derive_all(struct cp_config *config)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		struct cp_environment *environment = &config->environments[i];

		for (size_t j = 0; j < environment->server_count; j++) {
			if (!first_port(&environment->servers[j]))
				derive(config, environment, &environment->servers[j]);
		}
	}
}

void cp_check_ports(struct cp_reader *reader, const struct cp_node *const *roots)
{
	struct cp_config *config = reader->config;

	for (size_t i = 0; i < config->environment_count; i++) {
		struct cp_environment *environment = &config->environments[i];

		for (size_t j = 0; j < environment->server_count; j++) {
			if (environment->servers[j].local_port)
				take_configured(reader, roots[i], &environment->servers[j]);
		}
	}
	derive_all(config);
}

/* The ports of the same tunnel in RUNNING, unless a configured pair is in their way. */
static void keep(const struct cp_config *config, const struct cp_environment *environment,
                 struct cp_server *server, const struct cp_config *running)
{
	const struct cp_environment *home = cp_config_environment(running, environment->name);
	const struct cp_server *old = home ? cp_config_server(home, server->name) : NULL;

	if (!old || old->local_port || !old->openvpn != !server->openvpn ||
	    strcasecmp(old->address, server->address) != 0)
		return;
	set_ports(server, first_port(old));
	if (find_collision(config, server, &home))
		set_ports(server, 0);
}

void cp_config_keep_ports(struct cp_config *config, const struct cp_config *running)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		struct cp_environment *environment = &config->environments[i];

		for (size_t j = 0; j < environment->server_count; j++) {
			if (!environment->servers[j].local_port)
				set_ports(&environment->servers[j], 0);
		}
	}
	for (size_t i = 0; i < config->environment_count; i++) {
		struct cp_environment *environment = &config->environments[i];

		for (size_t j = 0; j < environment->server_count; j++) {
			if (!first_port(&environment->servers[j]))
				keep(config, environment, &environment->servers[j], running);
		}
	}
	derive_all(config);
}
