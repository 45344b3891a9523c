/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of environments.d: an environment with its servers and its forwards.
 */
#include "controlplane/config_read.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"

/* ---- environment.forwards ---- */

static void read_forward_to(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_forward *forward = target;

	cp_read_endpoint(reader, node, "192.168.100.30:8080", &forward->to_address_be,
	                 &forward->to_port_be);
}

static const struct cp_key forward_keys[] = {
	{ .name = "port",
	  .kind = CP_KEY_PORT_BE,
	  .offset = offsetof(struct cp_forward, port_be),
	  .is_required = true },
	{ .name = "to", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_forward_to },
	{ .name = "transport",
	  .kind = CP_KEY_TRANSPORT,
	  .offset = offsetof(struct cp_forward, protocol) },
	{ .name = "server", .kind = CP_KEY_NAME, .offset = offsetof(struct cp_forward, server) },
	{ 0 },
};

static void read_forwards(struct cp_reader *reader, const struct cp_node *node,
                          struct cp_environment *environment)
{
	const struct cp_node **holders;

	if (!cp_node_is(reader, node, CP_NODE_LIST) || node->count == 0)
		return;
	if (node->count > CP_FORWARDS_MAX) {
		cp_mistake(reader, node, NULL, "must have at most %u forwards", CP_FORWARDS_MAX);
		return;
	}
	environment->forwards = calloc(node->count, sizeof(*environment->forwards));
	holders = calloc(2 * 65536, sizeof(*holders)); /* of each TCP port, then of each UDP port */
	if (!environment->forwards || !holders) {
		reader->is_out_of_memory = true;
		free(holders);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		struct cp_forward *forward = &environment->forwards[environment->forward_count++];
		const struct cp_section sections[] = { { forward_keys, forward } };
		const struct cp_node *entry = &node->children[i], **holder;

		forward->protocol = IPPROTO_TCP;
		cp_keys_read(reader, entry, sections, 1);
		holder = &holders[(forward->protocol == IPPROTO_UDP ? 65536 : 0) +
		                  ntohs(forward->port_be)];
		if (forward->port_be && *holder)
			cp_mistake(reader, cp_node_child(entry, "port"), NULL,
			           "%u is already forwarded at line %u", ntohs(forward->port_be),
			           (*holder)->line);
		else
			*holder = cp_node_child(entry, "port");
		if (forward->server[0] && !cp_config_server(environment, forward->server))
			cp_mistake(reader, cp_node_child(entry, "server"), NULL,
			           "\"%s\" is not a server of this environment", forward->server);
	}
	free(holders);
}

/* ---- environment ---- */

static const struct cp_choice vpn_choices[] = {
	{ .name = "ipsec", .value = CP_VPN_IPSEC },
	{ .name = "openvpn", .value = CP_VPN_OPENVPN },
	{ 0 },
};

#define ENVIRONMENT_FIELD(member) offsetof(struct cp_environment, member)

static const struct cp_key environment_keys[] = {
	{ .name = "name",
	  .kind = CP_KEY_NAME,
	  .offset = ENVIRONMENT_FIELD(name),
	  .is_required = true },
	{ .name = "pod_address",
	  .kind = CP_KEY_HOST_BE,
	  .offset = ENVIRONMENT_FIELD(pod_address_be),
	  .is_required = true },
	{ .name = "sources",
	  .kind = CP_KEY_PREFIXES,
	  .offset = ENVIRONMENT_FIELD(sources),
	  .count = ENVIRONMENT_FIELD(source_count),
	  .is_required = true },
	{ .name = "vpn",
	  .kind = CP_KEY_CHOICE,
	  .offset = ENVIRONMENT_FIELD(vpn),
	  .choices = vpn_choices },
	{ .name = "snat_address", .kind = CP_KEY_CUSTOM, .read = cp_read_environment_snat },
	{ .name = "servers", .kind = CP_KEY_CUSTOM, .is_required = true },
	{ .name = "forwards", .kind = CP_KEY_CUSTOM },
	{ 0 },
};

/* A secret or certificate that is set for all servers and used by none is a mistake in `auth`. */
static void check_unused(struct cp_reader *reader, const struct cp_node *node,
                         const struct cp_environment *environment)
{
	static const struct {
		const char *key, *auths;
	} uses[] = {
		{ "password_file", "\"eap-mschapv2\"" },
		{ "secret_file", "\"psk\"" },
		{ "certificate_file", "\"eap-tls\" or \"certificate\"" },
		{ "key_file", "\"eap-tls\" or \"certificate\"" },
		{ "aaa_identity", "\"eap-tls\"" },
	};

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		const struct cp_node *key = cp_node_child(node, uses[i].key);
		bool is_used = !key || environment->server_count == 0;

		for (size_t j = 0; j < environment->server_count; j++)
			is_used |= !environment->servers[j].auth ||
			           cp_auth_uses(environment->servers[j].auth, uses[i].key);
		if (!is_used)
			cp_mistake(reader, key, NULL, "has no use: no server has auth = %s",
			           uses[i].auths);
	}
}

/* Which keys there may be depends on it. */
static bool is_openvpn(const struct cp_node *environment)
{
	const struct cp_node *vpn = cp_node_child(environment, "vpn");

	return vpn && vpn->kind == CP_NODE_TEXT && strcmp(vpn->text, "openvpn") == 0;
}

static void read_environment(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_environment_draft *draft = target;
	struct cp_environment *environment = &draft->environment;
	const bool has_openvpn = is_openvpn(node);
	const struct cp_section sections[] = {
		{ environment_keys, environment },
		{ cp_failover_keys, environment },
		{ cp_limit_keys, environment },
		{ cp_tunnel_keys, &draft->inherited },
		{ cp_ipsec_keys, has_openvpn ? NULL : &draft->inherited },
		{ cp_openvpn_keys, has_openvpn ? &draft->inherited : NULL }
	};
	const struct cp_node *sources = cp_node_child(node, "sources");
	const struct cp_node *servers = cp_node_child(node, "servers");
	const struct cp_node *forwards = cp_node_child(node, "forwards");

	/* Servers inherit from the keys beside them and forwards name servers, hence the order. */
	cp_keys_read(reader, node, sections, sizeof(sections) / sizeof(sections[0]));
	if (sources && sources->kind == CP_NODE_LIST && sources->count == 0)
		cp_mistake(reader, sources, NULL,
		           "must name at least one prefix: who may call the environment");
	if (servers)
		cp_read_servers(reader, servers, draft);
	if (forwards)
		read_forwards(reader, forwards, environment);
	check_unused(reader, node, environment);
}

static const char belongs_in_gateway[] = "belongs in gateway.conf";

static const struct cp_key root_keys[] = {
	{ .name = "environment",
	  .kind = CP_KEY_CUSTOM,
	  .is_required = true,
	  .read = read_environment },
	{ .name = "gateway", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway },
	{ .name = "dataplane", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway },
	{ .name = "controlplane", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway },
	{ .name = "egress", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway },
	{ 0 },
};

const struct cp_key_group cp_environment_key_groups[] = {
	{ "", root_keys },
	{ "environment.", environment_keys },
	{ "environment.", cp_failover_keys },
	{ "environment.probe.", cp_probe_keys },
	{ "environment.", cp_tunnel_keys },
	{ "environment.", cp_ipsec_keys },
	{ "environment.", cp_openvpn_keys },
	{ "environment.retry.", cp_retry_keys },
	{ "environment.", cp_limit_keys },
	{ "environment.quota.", cp_quota_keys },
	{ "environment.servers.", cp_server_keys },
	{ "environment.servers.", cp_openvpn_server_keys },
	{ "environment.forwards.", forward_keys },
	{ NULL, NULL },
};

void cp_read_environment(struct cp_reader *reader, const struct cp_node *root)
{
	struct cp_config *config = reader->config;
	struct cp_environment_draft *draft = calloc(1, sizeof(*draft));
	const struct cp_section sections[] = { { root_keys, draft } };

	if (!draft) {
		reader->is_out_of_memory = true;
		return;
	}
	cp_server_set_defaults(&draft->inherited.server);
	cp_ovpn_settings_init(&draft->inherited.openvpn);
	draft->environment.vpn = CP_VPN_IPSEC;
	draft->environment.session_quota = config->sessions;
	cp_failover_set_defaults(&draft->environment);
	snprintf(draft->environment.file, sizeof(draft->environment.file), "%s", root->file);
	cp_keys_read(reader, root, sections, 1);
	config->environments[config->environment_count++] = draft->environment;
	free(draft);
}
