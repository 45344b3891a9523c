/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of environments.d: an environment, its servers and its forwards; and what must hold between environments.
 */
#include "controlplane/config_read.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/netaddr.h"
#include "common/secret.h"

#define LATER "is not done by this version"

/* A server while it is read. The environment has one too: what its servers inherit. */
struct draft {
	struct cp_server server;
	char password_file[CP_PATH_LEN]; /* EAP-MSCHAPv2 */
	char psk_file[CP_PATH_LEN];      /* PSK: secret_file */
};

struct environment_draft {
	struct cp_environment environment;
	struct draft inherited;
	uint16_t next_priority;
};

/* ---- what a server has and an environment may set for all of its servers ---- */

static void report_file(struct cp_reader *reader, const struct cp_node *node, int rc)
{
	if (rc == -EACCES)
		cp_mistake(reader, node, NULL, "%s: must be readable by us and by no others (mode 0400, 0440, 0600 or 0640)",
			   node->text);
	else if (rc == -ENODATA)
		cp_mistake(reader, node, NULL, "%s: must not be empty", node->text);
	else if (rc == -EFBIG)
		cp_mistake(reader, node, NULL, "%s: must have at most %u bytes", node->text, SP_SECRET_MAX);
	else if (rc == -EINVAL || rc == -EISDIR)
		cp_mistake(reader, node, NULL, "%s: must be a regular file", node->text);
	else if (rc != 0)
		cp_mistake(reader, node, NULL, "%s: %s", node->text, strerror(-rc));
}

/* Returns the absolute path in NODE in TARGET, or leaves TARGET as it was; whether it was good. */
static bool read_path(struct cp_reader *reader, const struct cp_node *node, char *target)
{
	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return false;
	if (node->text[0] != '/' || strlen(node->text) >= CP_PATH_LEN) {
		cp_mistake(reader, node, NULL, "must be an absolute path of at most %u characters", CP_PATH_LEN - 1);
		return false;
	}
	memcpy(target, node->text, strlen(node->text) + 1);
	return true;
}

static void read_secret_path(struct cp_reader *reader, const struct cp_node *node, char *target)
{
	if (read_path(reader, node, target) && reader->looks_at_files)
		report_file(reader, node, sp_secret_check_file(target));
}

static void read_password_file(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_secret_path(reader, node, ((struct draft *)target)->password_file);
}

static void read_psk_file(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_secret_path(reader, node, ((struct draft *)target)->psk_file);
}

/* A certificate is no secret: any mode, as long as we can read something from it. */
static int check_ca_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else if (st.st_size == 0)
		rc = -ENODATA;
	close(fd);
	return rc;
}

static void read_server_ca(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct draft *draft = target;
	int rc;

	if (!read_path(reader, node, draft->server.ca_file) || !reader->looks_at_files)
		return;
	rc = check_ca_file(draft->server.ca_file);
	if (rc == -EACCES)
		cp_mistake(reader, node, NULL, "%s: %s", node->text, strerror(EACCES));
	else
		report_file(reader, node, rc);
}

typedef const char *(*fault_fn)(const char *text);

/* One text or a list of them, in the order of preference. */
static void read_proposals(struct cp_reader *reader, const struct cp_node *node, fault_fn fault_of,
			   char target[CP_PROPOSALS_MAX][CP_TEXT_LEN])
{
	const struct cp_node *entries = node->kind == CP_NODE_LIST ? node->children : node;
	size_t count = node->kind == CP_NODE_LIST ? node->count : 1;

	if (count < 1 || count > CP_PROPOSALS_MAX) {
		cp_mistake(reader, node, NULL, "must have 1 to %u proposals", CP_PROPOSALS_MAX);
		return;
	}
	memset(target, 0, CP_PROPOSALS_MAX * sizeof(target[0]));
	for (size_t i = 0; i < count; i++) {
		const char *fault;

		if (!cp_node_is(reader, &entries[i], CP_NODE_TEXT))
			continue;
		fault = fault_of(entries[i].text);
		if (fault)
			cp_mistake(reader, &entries[i], NULL, "%s", fault);
		else if (strlen(entries[i].text) >= CP_TEXT_LEN)
			cp_mistake(reader, &entries[i], NULL, "must be shorter: at most %u characters", CP_TEXT_LEN - 1);
		else
			memcpy(target[i], entries[i].text, strlen(entries[i].text) + 1);
	}
}

static void read_ike_proposals(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_proposals(reader, node, cp_ike_proposal_fault, ((struct draft *)target)->server.ike_proposals);
}

static void read_esp_proposals(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_proposals(reader, node, cp_esp_proposal_fault, ((struct draft *)target)->server.esp_proposals);
}

#define SERVER_FIELD(member) offsetof(struct draft, server.member)

static const struct cp_key retry_keys[] = {
	{.name = "min", .kind = CP_KEY_UINT32, .offset = SERVER_FIELD(retry_min_s), .min = 1, .max = 3600},
	{.name = "max", .kind = CP_KEY_UINT32, .offset = SERVER_FIELD(retry_max_s), .min = 1, .max = 3600},
	{0},
};

static void read_retry(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = {{retry_keys, target}};
	struct draft *draft = target;

	cp_keys_read(reader, node, sections, 1);
	if (draft->server.retry_min_s > draft->server.retry_max_s)
		cp_mistake(reader, node, NULL, "min (%u) must not be greater than max (%u)", draft->server.retry_min_s,
			   draft->server.retry_max_s);
}

/* 0 or a span of seconds. */
static void read_rekey(struct cp_reader *reader, const struct cp_node *node, long long max, uint32_t *target)
{
	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return;
	if (node->integer != 0 && (node->integer < 3 || node->integer > max))
		cp_mistake(reader, node, NULL, "must be 0 (never) or 3 to %lld seconds, not %lld", max, node->integer);
	else
		*target = (uint32_t)node->integer;
}

static void read_ike_rekey(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_rekey(reader, node, 604800, &((struct draft *)target)->server.ike_rekey_s);
}

static void read_child_rekey(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_rekey(reader, node, 86400, &((struct draft *)target)->server.child_rekey_s);
}

static const struct cp_choice auth_choices[] = {
	{.name = "eap-mschapv2", .value = CP_AUTH_EAP_MSCHAPV2},
	{.name = "psk", .value = CP_AUTH_PSK},
	{.name = "eap-tls", .why = LATER ": use \"eap-mschapv2\" or \"psk\""},
	{0},
};

static const struct cp_key tunnel_keys[] = {
	{.name = "auth", .kind = CP_KEY_CHOICE, .offset = SERVER_FIELD(auth), .choices = auth_choices},
	{.name = "account", .kind = CP_KEY_TEXT, .offset = SERVER_FIELD(account), .max = CP_TEXT_LEN},
	{.name = "password_file", .kind = CP_KEY_CUSTOM, .read = read_password_file},
	{.name = "secret_file", .kind = CP_KEY_CUSTOM, .read = read_psk_file},
	{.name = "server_ca", .kind = CP_KEY_CUSTOM, .read = read_server_ca},
	{.name = "server_identity", .kind = CP_KEY_TEXT, .offset = SERVER_FIELD(identity), .max = CP_TEXT_LEN},
	{.name = "ike_proposals", .kind = CP_KEY_CUSTOM, .read = read_ike_proposals},
	{.name = "esp_proposals", .kind = CP_KEY_CUSTOM, .read = read_esp_proposals},
	{.name = "ike_rekey", .kind = CP_KEY_CUSTOM, .read = read_ike_rekey},
	{.name = "child_rekey", .kind = CP_KEY_CUSTOM, .read = read_child_rekey},
	{.name = "dpd", .kind = CP_KEY_UINT32, .offset = SERVER_FIELD(dpd_s), .min = 1, .max = 3600},
	{.name = "force_encapsulation", .kind = CP_KEY_BOOL, .offset = SERVER_FIELD(force_udp)},
	{.name = "retry", .kind = CP_KEY_CUSTOM, .read = read_retry},
	{0},
};

static void set_defaults(struct cp_server *server)
{
	/* What a stock strongSwan accepts by default, strongest first; AEAD and others may not share a proposal. */
	static const char *const ike[] = {
		"aes256gcm16-aes128gcm16-prfsha384-prfsha256-ecp384-ecp256-modp3072-modp2048",
		"aes256-aes128-sha384-sha256-ecp384-ecp256-modp3072-modp2048",
	};
	static const char *const esp[] = {"aes256gcm16", "aes128gcm16"};

	for (size_t i = 0; i < sizeof(ike) / sizeof(ike[0]); i++)
		strcpy(server->ike_proposals[i], ike[i]);
	for (size_t i = 0; i < sizeof(esp) / sizeof(esp[0]); i++)
		strcpy(server->esp_proposals[i], esp[i]);
	server->ike_rekey_s = 14400;
	server->child_rekey_s = 3600;
	server->dpd_s = 30;
	server->retry_min_s = 1;
	server->retry_max_s = 60;
}

/* ---- environment.servers ---- */

static void read_server_address(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct draft *draft = target;
	const char *fault;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	fault = cp_server_address_fault(node->text);
	if (fault)
		cp_mistake(reader, node, NULL, "%s", fault);
	else if (strlen(node->text) >= sizeof(draft->server.address))
		cp_mistake(reader, node, NULL, "must be shorter: at most %u characters", CP_TEXT_LEN - 1);
	else
		memcpy(draft->server.address, node->text, strlen(node->text) + 1);
}

static const struct cp_key server_keys[] = {
	{.name = "name", .kind = CP_KEY_NAME, .offset = SERVER_FIELD(name), .is_required = true},
	{.name = "zone", .kind = CP_KEY_NAME, .offset = SERVER_FIELD(zone)},
	{.name = "address", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_server_address},
	{.name = "priority", .kind = CP_KEY_UINT16, .offset = SERVER_FIELD(priority), .min = 1, .max = 65535},
	{0},
};

static bool is_set(const struct cp_node *server, const struct cp_node *environment, const char *key)
{
	return cp_node_child(server, key) || cp_node_child(environment, key);
}

/* The keys that a way of authentication needs, and those that make no sense with it. */
static void resolve_auth(struct cp_reader *reader, const struct cp_node *node, const struct cp_node *environment,
			 struct draft *draft)
{
	static const char *const eap_needs[] = {"account", "password_file", "server_ca", NULL};
	static const char *const psk_needs[] = {"account", "secret_file", NULL};
	struct cp_server *server = &draft->server;
	bool is_psk = server->auth == CP_AUTH_PSK;
	const char *useless = is_psk ? "password_file" : "secret_file";

	if (!is_set(node, environment, "auth"))
		cp_mistake(reader, node, "auth", "is missing: must be \"eap-mschapv2\" or \"psk\", here or in the environment");
	if (!server->auth)
		return;
	for (const char *const *key = is_psk ? psk_needs : eap_needs; *key; key++) {
		if (!is_set(node, environment, *key))
			cp_mistake(reader, node, *key, "is missing: auth = \"%s\" needs it, here or in the environment",
				   is_psk ? "psk" : "eap-mschapv2");
	}
	if (cp_node_child(node, useless))
		cp_mistake(reader, cp_node_child(node, useless), NULL, "has no use with auth = \"%s\"",
			   is_psk ? "psk" : "eap-mschapv2");
	if (is_psk && cp_node_child(node, "server_ca"))
		cp_mistake(reader, cp_node_child(node, "server_ca"), NULL, "has no use with auth = \"psk\"");
	if (is_psk)
		memset(server->ca_file, 0, sizeof(server->ca_file));
	memcpy(server->secret_file, is_psk ? draft->psk_file : draft->password_file, CP_PATH_LEN);
}

static void read_server(struct cp_reader *reader, const struct cp_node *node, struct environment_draft *target)
{
	struct cp_environment *environment = &target->environment;
	struct draft draft = target->inherited;
	const struct cp_section sections[] = {{server_keys, &draft}, {tunnel_keys, &draft}};

	draft.server.priority = ++target->next_priority;
	cp_keys_read(reader, node, sections, 2);
	if (node->kind != CP_NODE_GROUP)
		return;
	resolve_auth(reader, node, node->parent->parent, &draft);
	if (!draft.server.identity[0])
		memcpy(draft.server.identity, draft.server.address, sizeof(draft.server.identity));
	if (draft.server.name[0] && cp_config_server(environment, draft.server.name))
		cp_mistake(reader, cp_node_child(node, "name"), NULL, "\"%s\" is the name of an earlier server", draft.server.name);
	environment->servers[environment->server_count++] = draft.server;
}

static void read_servers(struct cp_reader *reader, const struct cp_node *node, struct environment_draft *target)
{
	if (!cp_node_is(reader, node, CP_NODE_LIST))
		return;
	if (node->count < 1 || node->count > CP_SERVERS_MAX) {
		cp_mistake(reader, node, NULL, "must have 1 to %u servers", CP_SERVERS_MAX);
		return;
	}
	for (size_t i = 0; i < node->count; i++)
		read_server(reader, &node->children[i], target);
}

/* The order of priority; equal ones keep the order of the file. */
static void sort_servers(struct cp_environment *environment)
{
	for (size_t i = 1; i < environment->server_count; i++) {
		struct cp_server server = environment->servers[i];
		size_t j = i;

		for (; j > 0 && environment->servers[j - 1].priority > server.priority; j--)
			environment->servers[j] = environment->servers[j - 1];
		environment->servers[j] = server;
	}
}

/* ---- environment.forwards ---- */

static void read_forward_to(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_forward *forward = target;
	uint32_t address_be;
	uint16_t port_be;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (sp_endpoint_parse(node->text, &address_be, &port_be) != 0 || sp_address_is_martian(address_be)) {
		cp_mistake(reader, node, NULL, "must be a unicast IPv4 address and a port, as \"192.168.100.30:8080\"");
		return;
	}
	forward->to_address_be = address_be;
	forward->to_port_be = port_be;
}

static void read_transport(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	(void)target;
	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (strcmp(node->text, "udp") == 0)
		cp_mistake(reader, node, NULL, "\"udp\" " LATER ": must be \"tcp\"");
	else if (strcmp(node->text, "tcp") != 0)
		cp_mistake(reader, node, NULL, "must be \"tcp\"");
}

static const struct cp_key forward_keys[] = {
	{.name = "port", .kind = CP_KEY_PORT_BE, .offset = offsetof(struct cp_forward, port_be), .is_required = true},
	{.name = "to", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_forward_to},
	{.name = "transport", .kind = CP_KEY_CUSTOM, .read = read_transport},
	{.name = "server", .kind = CP_KEY_NAME, .offset = offsetof(struct cp_forward, server)},
	{0},
};

static void read_forwards(struct cp_reader *reader, const struct cp_node *node, struct cp_environment *environment)
{
	const struct cp_node **holders;

	if (!cp_node_is(reader, node, CP_NODE_LIST) || node->count == 0)
		return;
	if (node->count > CP_FORWARDS_MAX) {
		cp_mistake(reader, node, NULL, "must have at most %u forwards", CP_FORWARDS_MAX);
		return;
	}
	environment->forwards = calloc(node->count, sizeof(*environment->forwards));
	holders = calloc(65536, sizeof(*holders)); /* of each TCP port */
	if (!environment->forwards || !holders) {
		reader->is_out_of_memory = true;
		free(holders);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		struct cp_forward *forward = &environment->forwards[environment->forward_count++];
		const struct cp_section sections[] = {{forward_keys, forward}};
		const struct cp_node *entry = &node->children[i], **holder;

		forward->protocol = IPPROTO_TCP;
		cp_keys_read(reader, entry, sections, 1);
		holder = &holders[ntohs(forward->port_be)];
		if (forward->port_be && *holder)
			cp_mistake(reader, cp_node_child(entry, "port"), NULL, "%u is already forwarded at line %u",
				   ntohs(forward->port_be), (*holder)->line);
		else
			*holder = cp_node_child(entry, "port");
		if (forward->server[0] && !cp_config_server(environment, forward->server))
			cp_mistake(reader, cp_node_child(entry, "server"), NULL, "\"%s\" is not a server of this environment",
				   forward->server);
	}
	free(holders);
}

/* ---- environment ---- */

static void read_vpn(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	(void)target;
	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (strcmp(node->text, "openvpn") == 0)
		cp_mistake(reader, node, NULL, "\"openvpn\" " LATER ": must be \"ipsec\"");
	else if (strcmp(node->text, "ipsec") != 0)
		cp_mistake(reader, node, NULL, "must be \"ipsec\"");
}

static const struct cp_key quota_keys[] = {
	{.name = "sessions", .kind = CP_KEY_UINT32, .offset = offsetof(struct cp_environment, session_quota), .min = 1, .max = 16777216},
	{0},
};

static void read_quota(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = {{quota_keys, target}};

	cp_keys_read(reader, node, sections, 1);
}

#define ENVIRONMENT_FIELD(member) offsetof(struct cp_environment, member)

static const struct cp_key environment_keys[] = {
	{.name = "name", .kind = CP_KEY_NAME, .offset = ENVIRONMENT_FIELD(name), .is_required = true},
	{.name = "pod_address", .kind = CP_KEY_HOST_BE, .offset = ENVIRONMENT_FIELD(pod_address_be), .is_required = true},
	{.name = "sources", .kind = CP_KEY_PREFIXES, .offset = ENVIRONMENT_FIELD(sources),
	 .count = ENVIRONMENT_FIELD(source_count), .is_required = true},
	{.name = "vpn", .kind = CP_KEY_CUSTOM, .read = read_vpn},
	{.name = "quota", .kind = CP_KEY_CUSTOM, .read = read_quota},
	{.name = "servers", .kind = CP_KEY_CUSTOM, .is_required = true},
	{.name = "forwards", .kind = CP_KEY_CUSTOM},
	{.name = "probe", .kind = CP_KEY_REFUSED, .why = LATER},
	{.name = "failback", .kind = CP_KEY_REFUSED, .why = LATER},
	{.name = "keep_sessions", .kind = CP_KEY_REFUSED, .why = LATER},
	{0},
};

/* A secret that is set for all servers and read by none is a mistake in `auth`. */
static void check_unused(struct cp_reader *reader, const struct cp_node *node, const struct cp_environment *environment)
{
	static const struct {
		enum cp_auth auth;
		const char *key, *text;
	} uses[] = {
		{CP_AUTH_EAP_MSCHAPV2, "password_file", "has no use: no server has auth = \"eap-mschapv2\""},
		{CP_AUTH_PSK, "secret_file", "has no use: no server has auth = \"psk\""},
	};

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		const struct cp_node *key = cp_node_child(node, uses[i].key);
		bool is_used = !key || environment->server_count == 0;

		for (size_t j = 0; j < environment->server_count; j++)
			is_used |= environment->servers[j].auth == uses[i].auth || !environment->servers[j].auth;
		if (!is_used)
			cp_mistake(reader, key, NULL, "%s", uses[i].text);
	}
}

static void read_environment(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct environment_draft *draft = target;
	struct cp_environment *environment = &draft->environment;
	const struct cp_section sections[] = {{environment_keys, environment}, {tunnel_keys, &draft->inherited}};
	const struct cp_node *sources = cp_node_child(node, "sources");
	const struct cp_node *servers = cp_node_child(node, "servers");
	const struct cp_node *forwards = cp_node_child(node, "forwards");

	/* Servers inherit from the keys beside them and forwards name servers, hence the order. */
	cp_keys_read(reader, node, sections, 2);
	if (sources && sources->kind == CP_NODE_LIST && sources->count == 0)
		cp_mistake(reader, sources, NULL, "must name at least one prefix: who may call the environment");
	if (servers)
		read_servers(reader, servers, draft);
	if (forwards)
		read_forwards(reader, forwards, environment);
	check_unused(reader, node, environment);
	sort_servers(environment);
}

static const char belongs_in_gateway[] = "belongs in gateway.conf";

static const struct cp_key root_keys[] = {
	{.name = "environment", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_environment},
	{.name = "gateway", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway},
	{.name = "dataplane", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway},
	{.name = "controlplane", .kind = CP_KEY_REFUSED, .why = belongs_in_gateway},
	{0},
};

const struct cp_key_group cp_environment_key_groups[] = {
	{"", root_keys},
	{"environment.", environment_keys},
	{"environment.", tunnel_keys},
	{"environment.retry.", retry_keys},
	{"environment.quota.", quota_keys},
	{"environment.servers.", server_keys},
	{"environment.forwards.", forward_keys},
	{NULL, NULL},
};

void cp_read_environment(struct cp_reader *reader, const struct cp_node *root)
{
	struct cp_config *config = reader->config;
	struct environment_draft *draft = calloc(1, sizeof(*draft));
	const struct cp_section sections[] = {{root_keys, draft}};

	if (!draft) {
		reader->is_out_of_memory = true;
		return;
	}
	set_defaults(&draft->inherited.server);
	draft->environment.vpn = CP_VPN_IPSEC;
	draft->environment.session_quota = config->sessions;
	snprintf(draft->environment.file, sizeof(draft->environment.file), "%s", root->file);
	cp_keys_read(reader, root, sections, 1);
	config->environments[config->environment_count++] = draft->environment;
	free(draft);
}

/* ---- between environments ---- */

static void check_name(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_environment *environments = reader->config->environments;

	for (size_t i = 0; i < own; i++) {
		if (environments[own].name[0] && strcmp(environments[i].name, environments[own].name) == 0) {
			cp_mistake(reader, cp_node_child(node, "name"), NULL, "\"%s\" is the name of the environment in %s",
				   environments[own].name, environments[i].file);
			return;
		}
	}
}

static void check_pod_address(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_config *config = reader->config;
	const struct cp_node *key = cp_node_child(node, "pod_address");
	uint32_t address_be = config->environments[own].pod_address_be;

	if (!key || !address_be)
		return;
	if (address_be == config->uplink.address_be || address_be == config->cluster.address_be)
		cp_mistake(reader, key, NULL, "must not be the address of a port of the gateway");
	else if (address_be == config->uplink.router_be || address_be == config->cluster.router_be)
		cp_mistake(reader, key, NULL, "must not be the address of a router");
	for (size_t i = 0; i < own; i++) {
		if (config->environments[i].pod_address_be == address_be) {
			cp_mistake(reader, key, NULL, "is the pod_address of the environment in %s", config->environments[i].file);
			return;
		}
	}
}

/* The server that an account is on already, among the environments and servers before (LAST, END). */
static const struct cp_environment *find_account(const struct cp_config *config, const struct cp_server *server, size_t last,
						 const struct cp_server *end)
{
	for (size_t i = 0; i <= last; i++) {
		const struct cp_environment *environment = &config->environments[i];

		for (size_t j = 0; j < environment->server_count; j++) {
			const struct cp_server *other = &environment->servers[j];

			if (other == end)
				return NULL;
			if (strcasecmp(other->address, server->address) == 0 && strcmp(other->account, server->account) == 0)
				return environment;
		}
	}
	return NULL;
}

static const struct cp_node *find_server_node(const struct cp_node *environment, const char *name)
{
	const struct cp_node *servers = cp_node_child(environment, "servers");

	for (size_t i = 0; servers && i < servers->count; i++) {
		const struct cp_node *key = cp_node_child(&servers->children[i], "name");

		if (key && key->kind == CP_NODE_TEXT && strcmp(key->text, name) == 0)
			return &servers->children[i];
	}
	return environment;
}

/* The same account twice on one server: each login would throw the other one out. */
static void check_accounts(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_config *config = reader->config;
	const struct cp_environment *environment = &config->environments[own], *other;

	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *server = &environment->servers[i];

		if (!server->account[0] || !server->address[0])
			continue;
		other = find_account(config, server, own, server);
		if (other)
			cp_mistake(reader, find_server_node(node, server->name), NULL,
				   "account \"%s\" is already used on server %s in %s: one would throw the other out",
				   server->account, server->address, other->file);
	}
}

static void check_server_addresses(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_config *config = reader->config;
	const struct cp_environment *environment = &config->environments[own];

	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *server = &environment->servers[i];
		const struct cp_node *at = find_server_node(node, server->name);
		uint32_t address_be;

		if (sp_address_parse(server->address, &address_be) == 0 &&
		    (address_be == config->uplink.address_be || address_be == config->cluster.address_be))
			cp_mistake(reader, at, "address", "must not be the gateway's own address");
	}
}

void cp_check_environments(struct cp_reader *reader, const struct cp_node *const *roots)
{
	const struct cp_config *config = reader->config;
	size_t forwards = 0;

	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_node *node = cp_node_child(roots[i], "environment");

		forwards += config->environments[i].forward_count;
		if (!node || node->kind != CP_NODE_GROUP)
			continue;
		check_name(reader, node, i);
		check_pod_address(reader, node, i);
		check_accounts(reader, node, i);
		check_server_addresses(reader, node, i);
	}
	if (forwards > CP_FORWARDS_MAX)
		cp_mistake_at(reader, "environments.d", 0, "all environments together must have at most %u forwards",
			      CP_FORWARDS_MAX);
}
