/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each way of logging in needs of a server's keys, and what it has no use for.
 */
#include "controlplane/config_read.h"

#include <string.h>

static bool is_set(const struct cp_node *server, const struct cp_node *environment, const char *key)
{
	return cp_node_child(server, key) || cp_node_child(environment, key);
}

/* What a way of authentication needs, by keys; a key that is in none of its lists has no use with
 * it. */
struct auth_use {
	const char *name;
	const char *needs[5];
	const char *may_have;
};

static const char *const auth_keys[] = { "password_file", "secret_file", "certificate_file",
	                                 "key_file",      "server_ca",   "revocation",
	                                 "aaa_identity" };

static const struct auth_use auth_uses[] = {
	[CP_AUTH_PSK] = { "psk", { "account", "secret_file" }, "" },
	[CP_AUTH_EAP_MSCHAPV2] = { "eap-mschapv2",
	                           { "account", "password_file", "server_ca" },
	                           "revocation" },
	[CP_AUTH_EAP_TLS] = { "eap-tls",
	                      { "certificate_file", "key_file", "server_ca" },
	                      "revocation aaa_identity" },
	[CP_AUTH_CERTIFICATE] = { "certificate",
	                          { "certificate_file", "key_file", "server_ca" },
	                          "revocation" },
};

bool cp_auth_uses(enum cp_auth auth, const char *key)
{
	const struct auth_use *use = &auth_uses[auth];

	for (const char *const *need = use->needs; *need; need++) {
		if (strcmp(*need, key) == 0)
			return true;
	}
	return strstr(use->may_have, key) != NULL;
}

void cp_resolve_auth(struct cp_reader *reader, const struct cp_node *node,
                     const struct cp_node *environment, struct cp_server_draft *draft)
{
	struct cp_server *server = &draft->server;
	const struct auth_use *use = &auth_uses[server->auth];

	if (!is_set(node, environment, "auth"))
		cp_mistake(
			reader, node, "auth",
			"is missing: must be \"eap-mschapv2\", \"eap-tls\", \"certificate\" or \"psk\", here or in the environment");
	if (!server->auth)
		return;
	for (const char *const *key = use->needs; *key; key++) {
		if (!is_set(node, environment, *key))
			cp_mistake(reader, node, *key,
			           "is missing: auth = \"%s\" needs it, here or in the environment",
			           use->name);
	}
	for (size_t i = 0; i < sizeof(auth_keys) / sizeof(auth_keys[0]); i++) {
		const struct cp_node *key = cp_node_child(node, auth_keys[i]);

		if (key && !cp_auth_uses(server->auth, auth_keys[i]))
			cp_mistake(reader, key, NULL, "has no use with auth = \"%s\"", use->name);
	}
	if (!cp_auth_uses(server->auth, "server_ca"))
		memset(server->ca_file, 0, sizeof(server->ca_file));
	if (!cp_auth_uses(server->auth, "certificate_file"))
		memset(server->certificate_file, 0, sizeof(server->certificate_file));
	memcpy(server->secret_file,
	       server->auth == CP_AUTH_PSK            ? draft->psk_file
	       : server->auth == CP_AUTH_EAP_MSCHAPV2 ? draft->password_file
	                                              : draft->key_file,
	       CP_PATH_LEN);
}
