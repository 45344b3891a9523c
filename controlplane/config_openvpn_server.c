/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of an OpenVPN environment: its profile, what profile and keys come to, and what a login
 * needs.
 *
 * It is read in the order defaults, profile, keys of the environment, keys of the server, so that
 * what is nearer wins.
 */
#include "controlplane/config_read.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ovpn_material.h"
#include "controlplane/ovpn_profile.h"
#include "controlplane/ovpn_text.h"

/* ---- what the keys come to ---- */

/* A profile that was not read might have said the rest. */
static bool is_whole(const struct cp_server_draft *draft)
{
	return !draft->profile[0] || draft->has_read_profile;
}

/* remote-random: where to begin follows from the names, so that gateways spread and each begins
 * where it did before. */
static void spread_remotes(const struct cp_config *config, struct cp_server_draft *draft)
{
	struct cp_ovpn_settings *settings = &draft->openvpn;
	struct cp_ovpn_remote turned[CP_OVPN_REMOTES_MAX];
	uint32_t hash = 2166136261u;

	for (const char *c = config->name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	for (const char *c = draft->server.name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	for (size_t i = 0; i < settings->remote_count; i++)
		turned[i] = settings->remotes[(hash + i) % settings->remote_count];
	memcpy(settings->remotes, turned, settings->remote_count * sizeof(turned[0]));
}

static void resolve_remotes(struct cp_reader *reader, const struct cp_node *node,
                            struct cp_server_draft *draft)
{
	struct cp_ovpn_settings *settings = &draft->openvpn;

	if (draft->server.address[0]) {
		struct cp_ovpn_remote remote = settings->remotes[0];

		if (!settings->remote_count)
			remote = (struct cp_ovpn_remote){ .port = CP_OVPN_PORT,
				                          .transport = IPPROTO_UDP };
		memcpy(remote.address, draft->server.address, sizeof(remote.address));
		settings->remotes[0] = remote;
		settings->remote_count = 1;
	} else if (settings->remote_count) {
		if (settings->is_random)
			spread_remotes(reader->config, draft);
		memcpy(draft->server.address, settings->remotes[0].address,
		       sizeof(draft->server.address));
	} else if (!cp_node_child(node, "address") && is_whole(draft)) {
		cp_mistake(reader, node, "address", "is missing%s",
		           draft->profile[0] ? ": the profile has no remote" : "");
	}
	for (size_t i = 0; i < settings->remote_count; i++) {
		if (draft->port)
			settings->remotes[i].port = draft->port;
		if (draft->transport)
			settings->remotes[i].transport = draft->transport;
	}
}

static void set_place(struct cp_ovpn_place *place, char file[CP_PATH_LEN])
{
	if (!file[0])
		return;
	memcpy(place->file, file, sizeof(place->file));
	place->is_inline = false;
	memset(file, 0, CP_PATH_LEN);
}

/* Account and password; certificate and key; one of the two at least. */
static void resolve_login(struct cp_reader *reader, const struct cp_node *node,
                          struct cp_server_draft *draft)
{
	struct cp_ovpn_settings *settings = &draft->openvpn;
	struct cp_server *server = &draft->server;
	const bool has_password_file = draft->password_file[0];

	set_place(&settings->certificate, server->certificate_file);
	set_place(&settings->key, draft->key_file);
	if (has_password_file) {
		settings->has_password = true;
		memset(&settings->login, 0, sizeof(settings->login));
		memcpy(server->secret_file, draft->password_file, sizeof(server->secret_file));
	}
	if (has_password_file && !server->account[0])
		cp_mistake(reader, node, "account", "is missing: password_file needs it");
	if (!has_password_file && server->account[0])
		cp_mistake(reader, node, "password_file", "is missing: account needs it");
	else if (!has_password_file && draft->asks_password)
		cp_mistake(reader, node, "password_file",
		           "is missing, as is account: the profile asks for them (auth-user-pass)");
	if (settings->certificate.file[0] && !settings->key.file[0])
		cp_mistake(reader, node, "key_file", "is missing: a certificate needs its key");
	if (settings->key.file[0] && !settings->certificate.file[0])
		cp_mistake(reader, node, "certificate_file",
		           "is missing: a key needs its certificate");
	if (!settings->has_password && !server->account[0] && !settings->certificate.file[0] &&
	    !settings->key.file[0] && is_whole(draft))
		cp_mistake(
			reader, node, "account",
			"is missing: a server asks for account and password_file, certificate_file and key_file, or both");
}

static void resolve_server_checks(struct cp_reader *reader, const struct cp_node *node,
                                  struct cp_server_draft *draft)
{
	struct cp_ovpn_settings *settings = &draft->openvpn;
	struct cp_server *server = &draft->server;

	set_place(&settings->ca, server->ca_file);
	if (!settings->ca.file[0] && !settings->fingerprint_count && is_whole(draft))
		cp_mistake(reader, node, "server_ca",
		           "is missing: vpn = \"openvpn\" needs it, here or in the environment");
	if (server->identity[0]) {
		settings->name_mode = CP_OVPN_NAME_EXACT;
		snprintf(settings->name, sizeof(settings->name), "%s", server->identity);
	}
	if (settings->key_direction >= 0 && settings->wrapping != CP_OVPN_TLS_AUTH)
		settings->key_direction = -1; /* a profile may say it beside tls-crypt */
}

/* ---- the profile ---- */

struct complaints {
	struct cp_reader *reader;
	const char *path;
};

static void complain(void *context, unsigned line, const char *directive, const char *text)
{
	struct complaints *complaints = context;

	cp_mistake_at(complaints->reader, complaints->path, line, "%s%s%s", directive,
	              *directive ? ": " : "", text);
}

static void take_profile(struct cp_server_draft *draft, const struct cp_ovpn_profile *profile)
{
	draft->openvpn = profile->settings;
	draft->asks_password = profile->asks_password;
	draft->server.child_rekey_s = profile->settings.reneg_s;
	draft->server.child_rekey_bytes = profile->reneg_bytes;
	draft->server.child_rekey_packets = profile->reneg_packets;
	if (profile->retry_min_s) {
		draft->server.retry_min_s = profile->retry_min_s;
		draft->server.retry_max_s = profile->retry_max_s;
	}
}

/* Where another mistake names PATH already, it is not told again for each server. */
static bool is_told(const struct cp_reader *reader, const char *path)
{
	const size_t length = strlen(path);

	for (size_t i = 0; i < reader->mistakes->count; i++) {
		const struct cp_mistake *mistake = &reader->mistakes->list[i];

		if (strcmp(mistake->file, path) == 0 ||
		    (strncmp(mistake->text, path, length) == 0 && mistake->text[length] == ':'))
			return true;
	}
	return false;
}

static const char *profile_fault(int rc)
{
	switch (rc) {
	case -EFBIG:
		return "is too long for a profile";
	case -ENODATA:
		return "must not be empty";
	case -EILSEQ:
		return "must be text: it contains a NUL byte";
	case -EINVAL:
	case -EISDIR:
		return "must be a regular file";
	}
	return strerror(-rc);
}

/* NODE is its key. */
static void read_profile(struct cp_reader *reader, const struct cp_node *node,
                         struct cp_server_draft *draft)
{
	struct complaints complaints = { .reader = reader, .path = draft->profile };
	struct cp_ovpn_profile *profile = calloc(1, sizeof(*profile));
	const bool is_new = !is_told(reader, draft->profile);
	struct cp_mistakes scratch = { 0 };
	struct cp_reader quiet = { .mistakes = &scratch };
	struct cp_ovpn_text text = { 0 };
	int rc = profile ? cp_ovpn_text_read(&text, draft->profile) : -ENOMEM;

	if (!is_new)
		complaints.reader = &quiet;
	if (rc == 0) {
		cp_ovpn_profile_read(profile, draft->profile, text.bytes, text.length, complain,
		                     &complaints);
		take_profile(draft, profile);
		draft->has_read_profile = true;
		if (profile->secret_line && !text.is_private)
			complain(
				&complaints, profile->secret_line, "",
				"the profile holds a secret: it must be readable by us and by no others (mode 0400, 0440, 0600 or 0640)");
	} else if (rc == -ENOMEM) {
		reader->is_out_of_memory = true;
	} else if (is_new) {
		cp_mistake(reader, node, NULL, "%s: %s", draft->profile, profile_fault(rc));
	}
	reader->is_out_of_memory |= quiet.is_out_of_memory;
	cp_mistakes_fini(&scratch);
	cp_ovpn_text_wipe(&text);
	free(profile);
}

/* ---- what is in the files ---- */

/* FNV-1a of the first certificate, blanks apart. */
static uint64_t hash_certificate(const char *text)
{
	const char *start = strstr(text, "-----BEGIN CERTIFICATE-----");
	const char *end = start ? strstr(start, "-----END CERTIFICATE-----") : NULL;
	uint64_t hash = UINT64_C(14695981039346656037);

	if (!end)
		return 0;
	for (; start < end; start++) {
		if ((unsigned char)*start > ' ')
			hash = (hash ^ (uint8_t)*start) * UINT64_C(1099511628211);
	}
	return hash;
}

/* Reads them as a login would; what is wrong is told once for all servers that share it. */
static void try_material(struct cp_reader *reader, const struct cp_node *node,
                         struct cp_server_draft *draft)
{
	struct cp_ovpn_material material;
	char why[CP_WHY_LEN];
	size_t length;

	draft->server.openvpn = &draft->openvpn;
	if (cp_ovpn_material_load(&draft->server, &material, why) == 0) {
		draft->openvpn.certificate_hash =
			material.certificate ? hash_certificate(material.certificate) : 0;
		memcpy(draft->server.account, material.account, sizeof(draft->server.account));
		cp_ovpn_material_wipe(&material);
	} else {
		char path[CP_WHY_LEN];

		length = strcspn(why, ":");
		snprintf(path, sizeof(path), "%.*s", (int)length, why);
		if (!is_told(reader, path))
			cp_mistake(reader, node, NULL, "%s", why);
	}
	draft->server.openvpn = NULL;
}

/* ---- a server ---- */

/* The keys of an environment were read once aloud, when their mistakes were reported. */
static void read_quietly(struct cp_reader *reader, const struct cp_node *group,
                         const struct cp_section *sections, size_t count)
{
	struct cp_mistakes scratch = { 0 };
	struct cp_reader quiet = { .config = reader->config, .mistakes = &scratch };

	cp_keys_read(&quiet, group, sections, count);
	reader->is_out_of_memory |= quiet.is_out_of_memory;
	cp_mistakes_fini(&scratch);
}

void cp_read_openvpn_server(struct cp_reader *reader, const struct cp_node *node,
                            const struct cp_node *environment, struct cp_server_draft *draft)
{
	const struct cp_section inherited[] = { { cp_tunnel_keys, draft },
		                                { cp_openvpn_keys, draft } };
	const struct cp_section own[] = { { cp_openvpn_server_keys, draft },
		                          { cp_tunnel_keys, draft },
		                          { cp_openvpn_keys, draft },
		                          { cp_ipsec_keys, NULL } };
	const struct cp_node *profile = cp_node_child(node, "profile");
	const uint16_t priority = draft->server.priority;
	size_t known;

	*draft = (struct cp_server_draft){ .server.priority = priority };
	cp_server_set_defaults(&draft->server);
	cp_ovpn_settings_init(&draft->openvpn);
	draft->server.dpd_s = 0;
	draft->openvpn.remote_cert_tls = true;
	if (!profile)
		profile = cp_node_child(environment, "profile");
	if (profile && profile->kind == CP_NODE_TEXT && strlen(profile->text) < CP_PATH_LEN) {
		memcpy(draft->profile, profile->text, strlen(profile->text) + 1);
		if (reader->looks_at_files && profile->text[0] == '/')
			read_profile(reader, profile, draft);
	}
	read_quietly(reader, environment, inherited, 2);
	cp_keys_read(reader, node, own, 4);
	if (node->kind != CP_NODE_GROUP)
		return;
	known = reader->mistakes->count;
	resolve_remotes(reader, node, draft);
	resolve_login(reader, node, draft);
	resolve_server_checks(reader, node, draft);
	snprintf(draft->openvpn.profile, sizeof(draft->openvpn.profile), "%s", draft->profile);
	draft->openvpn.reneg_s = draft->server.child_rekey_s;
	draft->openvpn.dead_s = draft->server.dpd_s;
	if (reader->looks_at_files && is_whole(draft) && reader->mistakes->count == known)
		try_material(reader, profile ? profile : node, draft);
	draft->server.openvpn = malloc(sizeof(*draft->server.openvpn));
	if (draft->server.openvpn)
		*draft->server.openvpn = draft->openvpn;
	else
		reader->is_out_of_memory = true;
}
