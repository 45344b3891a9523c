/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys of an OpenVPN environment and of its servers.
 */
#include "controlplane/config_read.h"

#include <string.h>

#define DRAFT(member) offsetof(struct cp_server_draft, member)
#define SETTING(member) offsetof(struct cp_server_draft, openvpn.member)

/* ---- keys ---- */

static void read_data_ciphers(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_ovpn_settings *settings = &((struct cp_server_draft *)target)->openvpn;
	const struct cp_node *entries = node->kind == CP_NODE_LIST ? node->children : node;
	const size_t count = node->kind == CP_NODE_LIST ? node->count : 1;

	if (count < 1 || count > CP_OVPN_CIPHERS_MAX) {
		cp_mistake(reader, node, NULL, "must have 1 to %u ciphers", CP_OVPN_CIPHERS_MAX);
		return;
	}
	settings->cipher_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!cp_node_is(reader, &entries[i], CP_NODE_TEXT))
			continue;
		if (cp_ovpn_cipher_parse(entries[i].text,
		                         &settings->ciphers[settings->cipher_count]) == 0)
			settings->cipher_count++;
		else
			cp_mistake(
				reader, &entries[i], NULL,
				"must be AES-256-GCM, AES-192-GCM, AES-128-GCM, CHACHA20-POLY1305, "
				"AES-256-CBC, AES-192-CBC or AES-128-CBC: this version does no other cipher");
	}
}

static void read_fallback(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	if (cp_node_is(reader, node, CP_NODE_TEXT) &&
	    cp_ovpn_cipher_parse(node->text,
	                         &((struct cp_server_draft *)target)->openvpn.fallback) != 0)
		cp_mistake(reader, node, NULL, "must be a cipher as in data_ciphers");
}

static const struct cp_choice digest_choices[] = {
	{ .name = "SHA1", .value = CP_OVPN_SHA1 },
	{ .name = "SHA256", .value = CP_OVPN_SHA256 },
	{ .name = "SHA512", .value = CP_OVPN_SHA512 },
	{ 0 },
};

static const struct cp_choice tls_version_choices[] = {
	{ .name = "1.2", .value = CP_OVPN_TLS_1_2 },
	{ .name = "1.3", .value = CP_OVPN_TLS_1_3 },
	{ 0 },
};

/* What stands before each payload; packets that the server compresses are another matter. */
static const struct {
	const char *name;
	enum cp_ovpn_framing framing;
	bool has_lz4;
} compressions[] = {
	{ "none", CP_OVPN_FRAMING_NONE, false },       { "comp-lzo", CP_OVPN_FRAMING_LZO, false },
	{ "stub", CP_OVPN_FRAMING_STUB, false },       { "lz4", CP_OVPN_FRAMING_STUB, true },
	{ "stub-v2", CP_OVPN_FRAMING_STUB_V2, false }, { "lz4-v2", CP_OVPN_FRAMING_STUB_V2, true },
};

static void read_compress(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_ovpn_settings *settings = &((struct cp_server_draft *)target)->openvpn;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
		if (strcmp(compressions[i].name, node->text) == 0) {
			settings->framing = compressions[i].framing;
			settings->has_lz4 = compressions[i].has_lz4;
			return;
		}
	}
	cp_mistake(reader, node, NULL,
	           "must be \"none\", \"comp-lzo\", \"stub\", \"stub-v2\", \"lz4\" or \"lz4-v2\"");
}

static bool is_wrap_key(const char *name)
{
	return strcmp(name, "tls_auth_file") == 0 || strcmp(name, "tls_crypt_file") == 0 ||
	       strcmp(name, "tls_crypt_v2_file") == 0;
}

static void read_wrap_key(struct cp_reader *reader, const struct cp_node *node,
                          enum cp_ovpn_wrapping wrapping, struct cp_server_draft *draft)
{
	struct cp_ovpn_settings *settings = &draft->openvpn;

	/* the second one in this group; one of the environment is replaced by one of the server */
	for (size_t i = 0; node->parent && i < node->parent->count; i++) {
		const struct cp_node *other = &node->parent->children[i];

		if (other < node && is_wrap_key(other->name)) {
			cp_mistake(reader, node, NULL, "must not stand beside %s: one wraps",
			           other->name);
			return;
		}
	}
	settings->wrapping = wrapping;
	settings->wrap_key.is_inline = false;
	cp_read_secret_path(reader, node, settings->wrap_key.file);
}

static void read_tls_auth(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_wrap_key(reader, node, CP_OVPN_TLS_AUTH, target);
}

static void read_tls_crypt(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_wrap_key(reader, node, CP_OVPN_TLS_CRYPT, target);
}

static void read_tls_crypt_v2(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	read_wrap_key(reader, node, CP_OVPN_TLS_CRYPT_V2, target);
}

static void read_crl(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_ovpn_place *crl = &((struct cp_server_draft *)target)->openvpn.crl;

	crl->is_inline = false;
	cp_read_certificate_path(reader, node, crl->file);
}

static void read_port(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return;
	if (node->integer < 1 || node->integer > 65535)
		cp_mistake(reader, node, NULL, "must be 1 to 65535, not %lld", node->integer);
	else
		((struct cp_server_draft *)target)->port = (uint16_t)node->integer;
}

const struct cp_key cp_openvpn_keys[] = {
	{ .name = "profile", .kind = CP_KEY_PATH, .offset = DRAFT(profile) },
	{ .name = "port", .kind = CP_KEY_CUSTOM, .read = read_port },
	{ .name = "transport", .kind = CP_KEY_TRANSPORT, .offset = DRAFT(transport) },
	{ .name = "data_ciphers", .kind = CP_KEY_CUSTOM, .read = read_data_ciphers },
	{ .name = "data_ciphers_fallback", .kind = CP_KEY_CUSTOM, .read = read_fallback },
	{ .name = "digest",
	  .kind = CP_KEY_CHOICE,
	  .offset = SETTING(digest),
	  .choices = digest_choices },
	{ .name = "compress", .kind = CP_KEY_CUSTOM, .read = read_compress },
	{ .name = "tls_auth_file", .kind = CP_KEY_CUSTOM, .read = read_tls_auth },
	{ .name = "key_direction",
	  .kind = CP_KEY_INT,
	  .offset = SETTING(key_direction),
	  .min = 0,
	  .max = 1 },
	{ .name = "tls_crypt_file", .kind = CP_KEY_CUSTOM, .read = read_tls_crypt },
	{ .name = "tls_crypt_v2_file", .kind = CP_KEY_CUSTOM, .read = read_tls_crypt_v2 },
	{ .name = "tls_version_min",
	  .kind = CP_KEY_CHOICE,
	  .offset = SETTING(tls_min),
	  .choices = tls_version_choices },
	{ .name = "remote_cert_tls", .kind = CP_KEY_BOOL, .offset = SETTING(remote_cert_tls) },
	{ .name = "crl_file", .kind = CP_KEY_CUSTOM, .read = read_crl },
	{ .name = "exit_notify",
	  .kind = CP_KEY_UINT32,
	  .offset = SETTING(exit_notify),
	  .min = 0,
	  .max = 10 },
	{ .name = "route_nopull", .kind = CP_KEY_BOOL, .offset = SETTING(route_nopull) },
	{ 0 },
};

static void read_local_port(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const long long port = node->integer;

	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return;
	if (port < 1024 || port > 65535 || port == 4500)
		cp_mistake(reader, node, NULL, "must be 1024 to 65535 but for 4500, not %lld",
		           port);
	else
		((struct cp_server_draft *)target)->server.local_port = (uint16_t)port;
}

const struct cp_key cp_openvpn_server_keys[] = {
	{ .name = "name", .kind = CP_KEY_NAME, .offset = DRAFT(server.name), .is_required = true },
	{ .name = "zone", .kind = CP_KEY_NAME, .offset = DRAFT(server.zone) },
	{ .name = "address", .kind = CP_KEY_CUSTOM, .read = cp_read_server_address },
	{ .name = "local_port", .kind = CP_KEY_CUSTOM, .read = read_local_port },
	{ .name = "priority",
	  .kind = CP_KEY_UINT16,
	  .offset = DRAFT(server.priority),
	  .min = 1,
	  .max = 65535 },
	{ 0 },
};
