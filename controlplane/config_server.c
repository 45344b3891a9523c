/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The servers of an environment: where they are, how to log in there, and what they inherit.
 */
#include "controlplane/config_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/secret.h"

/* ---- what a server has and an environment may set for all of its servers ---- */

static void report_file(struct cp_reader *reader, const struct cp_node *node, int rc)
{
	if (rc == -EACCES)
		cp_mistake(
			reader, node, NULL,
			"%s: must be readable by us and by no others (mode 0400, 0440, 0600 or 0640)",
			node->text);
	else if (rc == -ENODATA)
		cp_mistake(reader, node, NULL, "%s: must not be empty", node->text);
	else if (rc == -EFBIG)
		cp_mistake(reader, node, NULL, "%s: must have at most %u bytes", node->text,
		           SP_SECRET_MAX);
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
		cp_mistake(reader, node, NULL, "must be an absolute path of at most %u characters",
		           CP_PATH_LEN - 1);
		return false;
	}
	memcpy(target, node->text, strlen(node->text) + 1);
	return true;
}

void cp_read_secret_path(struct cp_reader *reader, const struct cp_node *node,
                         char target[CP_PATH_LEN])
{
	if (read_path(reader, node, target) && reader->looks_at_files)
		report_file(reader, node, sp_secret_check_file(target));
}

static void read_password_file(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	cp_read_secret_path(reader, node, ((struct cp_server_draft *)target)->password_file);
}

static void read_psk_file(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	cp_read_secret_path(reader, node, ((struct cp_server_draft *)target)->psk_file);
}

/* What a private key's file must not be is told here; whether it fits the certificate, when it is
 * used. */
static void check_key_file(struct cp_reader *reader, const struct cp_node *node, const char *path)
{
	struct sp_secret *secret = sp_secret_create();
	int rc = secret ? sp_secret_read_file(secret, path) : -ENOMEM;

	if (rc == 0 && cp_key_text_is_encrypted((const char *)secret->data, secret->length))
		cp_mistake(
			reader, node, NULL,
			"%s: must not be encrypted: there is nobody to ask for its password at night; decrypt it (openssl pkey) "
			"and protect it by its mode",
			path);
	report_file(reader, node, rc);
	sp_secret_destroy(secret);
}

static void read_key_file(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_server_draft *draft = target;

	if (read_path(reader, node, draft->key_file) && reader->looks_at_files)
		check_key_file(reader, node, draft->key_file);
}

/* A certificate is no secret: any mode, as long as we can read something from it. */
static int check_certificate_file(const char *path)
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

void cp_read_certificate_path(struct cp_reader *reader, const struct cp_node *node,
                              char path[CP_PATH_LEN])
{
	int rc;

	if (!read_path(reader, node, path) || !reader->looks_at_files)
		return;
	rc = check_certificate_file(path);
	if (rc == -EACCES)
		cp_mistake(reader, node, NULL, "%s: %s", node->text, strerror(EACCES));
	else
		report_file(reader, node, rc);
}

static void read_server_ca(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	cp_read_certificate_path(reader, node, ((struct cp_server_draft *)target)->server.ca_file);
}

static void read_own_certificate(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	cp_read_certificate_path(reader, node,
	                         ((struct cp_server_draft *)target)->server.certificate_file);
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
			cp_mistake(reader, &entries[i], NULL,
			           "must be shorter: at most %u characters", CP_TEXT_LEN - 1);
		else
			memcpy(target[i], entries[i].text, strlen(entries[i].text) + 1);
	}
}

static void read_ike_proposals(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_proposals(reader, node, cp_ike_proposal_fault,
	               ((struct cp_server_draft *)target)->server.ike_proposals);
}

static void read_esp_proposals(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_proposals(reader, node, cp_esp_proposal_fault,
	               ((struct cp_server_draft *)target)->server.esp_proposals);
}

#define SERVER_FIELD(member) offsetof(struct cp_server_draft, server.member)

const struct cp_key cp_retry_keys[] = {
	{ .name = "min",
	  .kind = CP_KEY_UINT32,
	  .offset = SERVER_FIELD(retry_min_s),
	  .min = 1,
	  .max = 3600 },
	{ .name = "max",
	  .kind = CP_KEY_UINT32,
	  .offset = SERVER_FIELD(retry_max_s),
	  .min = 1,
	  .max = 3600 },
	{ 0 },
};

static void read_retry(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = { { cp_retry_keys, target } };
	struct cp_server_draft *draft = target;

	cp_keys_read(reader, node, sections, 1);
	if (draft->server.retry_min_s > draft->server.retry_max_s)
		cp_mistake(reader, node, NULL, "min (%u) must not be greater than max (%u)",
		           draft->server.retry_min_s, draft->server.retry_max_s);
}

/* 0 or a span of seconds. */
static void read_rekey(struct cp_reader *reader, const struct cp_node *node, long long max,
                       uint32_t *target)
{
	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return;
	if (node->integer != 0 && (node->integer < 3 || node->integer > max))
		cp_mistake(reader, node, NULL, "must be 0 (never) or 3 to %lld seconds, not %lld",
		           max, node->integer);
	else
		*target = (uint32_t)node->integer;
}

static void read_ike_rekey(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_rekey(reader, node, 604800, &((struct cp_server_draft *)target)->server.ike_rekey_s);
}

static void read_child_rekey(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_rekey(reader, node, 86400, &((struct cp_server_draft *)target)->server.child_rekey_s);
}

/* A number, or a text with a unit, as the numbers of the file are too small for it. */
static void read_amount(struct cp_reader *reader, const struct cp_node *node, uint64_t min,
                        uint64_t *target)
{
	uint64_t amount = 0;

	if (node->kind == CP_NODE_INTEGER && node->integer >= 0)
		amount = (uint64_t)node->integer;
	else if (node->kind != CP_NODE_TEXT || cp_amount_parse(node->text, &amount) != 0)
		amount = UINT64_MAX;
	if (amount == UINT64_MAX || (amount != 0 && amount < min))
		cp_mistake(reader, node, NULL,
		           "must be 0 (no limit) or %llu to 2^60, as \"500M\" or \"64G\"",
		           (unsigned long long)min);
	else
		*target = amount;
}

static void read_child_rekey_bytes(struct cp_reader *reader, const struct cp_node *node,
                                   void *target)
{
	read_amount(reader, node, 1u << 20,
	            &((struct cp_server_draft *)target)->server.child_rekey_bytes);
}

static void read_child_rekey_packets(struct cp_reader *reader, const struct cp_node *node,
                                     void *target)
{
	read_amount(reader, node, 1000,
	            &((struct cp_server_draft *)target)->server.child_rekey_packets);
}

static const struct cp_choice auth_choices[] = {
	{ .name = "eap-mschapv2", .value = CP_AUTH_EAP_MSCHAPV2 },
	{ .name = "eap-tls", .value = CP_AUTH_EAP_TLS },
	{ .name = "certificate", .value = CP_AUTH_CERTIFICATE },
	{ .name = "psk", .value = CP_AUTH_PSK },
	{ 0 },
};

static const struct cp_choice revocation_choices[] = {
	{ .name = "off", .value = CP_REVOCATION_OFF },
	{ .name = "if-available", .value = CP_REVOCATION_IF_AVAILABLE },
	{ .name = "strict", .value = CP_REVOCATION_STRICT },
	{ 0 },
};

const struct cp_key cp_tunnel_keys[] = {
	{ .name = "account",
	  .kind = CP_KEY_TEXT,
	  .offset = SERVER_FIELD(account),
	  .max = CP_TEXT_LEN },
	{ .name = "password_file", .kind = CP_KEY_CUSTOM, .read = read_password_file },
	{ .name = "certificate_file", .kind = CP_KEY_CUSTOM, .read = read_own_certificate },
	{ .name = "key_file", .kind = CP_KEY_CUSTOM, .read = read_key_file },
	{ .name = "server_ca", .kind = CP_KEY_CUSTOM, .read = read_server_ca },
	{ .name = "server_identity",
	  .kind = CP_KEY_TEXT,
	  .offset = SERVER_FIELD(identity),
	  .max = CP_TEXT_LEN },
	{ .name = "child_rekey", .kind = CP_KEY_CUSTOM, .read = read_child_rekey },
	{ .name = "child_rekey_bytes", .kind = CP_KEY_CUSTOM, .read = read_child_rekey_bytes },
	{ .name = "child_rekey_packets", .kind = CP_KEY_CUSTOM, .read = read_child_rekey_packets },
	{ .name = "dpd",
	  .kind = CP_KEY_UINT32,
	  .offset = SERVER_FIELD(dpd_s),
	  .min = 1,
	  .max = 3600 },
	{ .name = "retry", .kind = CP_KEY_CUSTOM, .read = read_retry },
	{ 0 },
};

const struct cp_key cp_ipsec_keys[] = {
	{ .name = "auth",
	  .kind = CP_KEY_CHOICE,
	  .offset = SERVER_FIELD(auth),
	  .choices = auth_choices },
	{ .name = "secret_file", .kind = CP_KEY_CUSTOM, .read = read_psk_file },
	{ .name = "revocation",
	  .kind = CP_KEY_CHOICE,
	  .offset = SERVER_FIELD(revocation),
	  .choices = revocation_choices },
	{ .name = "aaa_identity",
	  .kind = CP_KEY_TEXT,
	  .offset = SERVER_FIELD(aaa_identity),
	  .max = CP_TEXT_LEN },
	{ .name = "ike_proposals", .kind = CP_KEY_CUSTOM, .read = read_ike_proposals },
	{ .name = "esp_proposals", .kind = CP_KEY_CUSTOM, .read = read_esp_proposals },
	{ .name = "ike_rekey", .kind = CP_KEY_CUSTOM, .read = read_ike_rekey },
	{ .name = "force_encapsulation", .kind = CP_KEY_BOOL, .offset = SERVER_FIELD(force_udp) },
	{ 0 },
};

void cp_server_set_defaults(struct cp_server *server)
{
	/* What a stock strongSwan accepts by default; AEAD and others may not share a proposal. The
	 * first group is the one that its own default begins with: any other one costs a round
	 * trip, as the first message has to guess. No SHA-1 unless it is asked for. */
	static const char *const ike[] = {
		"aes256gcm16-aes128gcm16-prfsha384-prfsha256-x25519-ecp256-ecp384-modp3072-modp2048",
		"aes256-aes128-sha384-sha256-x25519-ecp256-ecp384-modp3072-modp2048",
	};
	static const char *const esp[] = { "aes256gcm16", "aes128gcm16", "chacha20poly1305",
		                           "aes256-sha256", "aes128-sha256" };

	for (size_t i = 0; i < sizeof(ike) / sizeof(ike[0]); i++)
		strcpy(server->ike_proposals[i], ike[i]);
	for (size_t i = 0; i < sizeof(esp) / sizeof(esp[0]); i++)
		strcpy(server->esp_proposals[i], esp[i]);
	server->revocation = CP_REVOCATION_IF_AVAILABLE;
	server->ike_rekey_s = 14400;
	server->child_rekey_s = 3600;
	server->dpd_s = 30;
	server->retry_min_s = 1;
	server->retry_max_s = 60;
}

/* ---- environment.servers ---- */

void cp_read_server_address(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_server_draft *draft = target;
	const char *fault;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	fault = cp_server_address_fault(node->text);
	if (fault)
		cp_mistake(reader, node, NULL, "%s", fault);
	else if (strlen(node->text) >= sizeof(draft->server.address))
		cp_mistake(reader, node, NULL, "must be shorter: at most %u characters",
		           CP_TEXT_LEN - 1);
	else
		memcpy(draft->server.address, node->text, strlen(node->text) + 1);
}

static void read_local_port(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	long long port = node->integer;

	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return;
	/* the next one is used too */
	if (port != 500 && (port < 1024 || port > 65534 || port == 4499 || port == 4500))
		cp_mistake(
			reader, node, NULL,
			"must be 500 (with 4500) or 1024 to 65534 but for 4499 and 4500, not %lld",
			port);
	else
		((struct cp_server_draft *)target)->server.local_port = (uint16_t)port;
}

const struct cp_key cp_server_keys[] = {
	{ .name = "name", .kind = CP_KEY_NAME, .offset = SERVER_FIELD(name), .is_required = true },
	{ .name = "zone", .kind = CP_KEY_NAME, .offset = SERVER_FIELD(zone) },
	{ .name = "address",
	  .kind = CP_KEY_CUSTOM,
	  .is_required = true,
	  .read = cp_read_server_address },
	{ .name = "local_port", .kind = CP_KEY_CUSTOM, .read = read_local_port },
	{ .name = "priority",
	  .kind = CP_KEY_UINT16,
	  .offset = SERVER_FIELD(priority),
	  .min = 1,
	  .max = 65535 },
	{ 0 },
};

static void read_ipsec_server(struct cp_reader *reader, const struct cp_node *node,
                              struct cp_server_draft *draft)
{
	const struct cp_section sections[] = { { cp_server_keys, draft },
		                               { cp_tunnel_keys, draft },
		                               { cp_ipsec_keys, draft },
		                               { cp_openvpn_keys, NULL } };

	cp_keys_read(reader, node, sections, 4);
	if (node->kind != CP_NODE_GROUP)
		return;
	cp_resolve_auth(reader, node, node->parent->parent, draft);
	draft->server.is_identity_set = draft->server.identity[0];
	if (!draft->server.identity[0])
		memcpy(draft->server.identity, draft->server.address,
		       sizeof(draft->server.identity));
}

static void read_server(struct cp_reader *reader, const struct cp_node *node,
                        struct cp_environment_draft *target)
{
	struct cp_environment *environment = &target->environment;
	struct cp_server_draft draft = target->inherited;

	draft.server.priority = ++target->next_priority;
	if (environment->vpn == CP_VPN_OPENVPN)
		cp_read_openvpn_server(reader, node, node->parent->parent, &draft);
	else
		read_ipsec_server(reader, node, &draft);
	if (node->kind != CP_NODE_GROUP)
		return;
	if (draft.server.name[0] && cp_config_server(environment, draft.server.name))
		cp_mistake(reader, cp_node_child(node, "name"), NULL,
		           "\"%s\" is the name of an earlier server", draft.server.name);
	environment->servers[environment->server_count++] = draft.server;
}

void cp_read_servers(struct cp_reader *reader, const struct cp_node *node,
                     struct cp_environment_draft *target)
{
	if (!cp_node_is(reader, node, CP_NODE_LIST))
		return;
	if (node->count < 1 || node->count > CP_SERVERS_MAX) {
		cp_mistake(reader, node, NULL, "must have 1 to %u servers", CP_SERVERS_MAX);
		return;
	}
	for (size_t i = 0; i < node->count; i++)
		read_server(reader, &node->children[i], target);
	cp_sort_servers(&target->environment, reader->config->zone);
}
