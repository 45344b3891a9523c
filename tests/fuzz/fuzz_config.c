/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text as a configuration. A NUL byte separates gateway.conf and the environments.
 */
#include <stdlib.h>
#include <string.h>

#include "common/ipc_codec.h"
#include "controlplane/config.h"
#include "controlplane/ovpn_settings.h"
#include "tests/fuzz/fuzz.h"

#define TEXTS_MAX 5

/* libconfig 1.5 loses the string that it was reading when it meets a syntax error behind it. Asked
 * for by LeakSanitizer. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check_openvpn(const struct cp_server *server)
{
	const struct cp_ovpn_settings *settings = server->openvpn;

	require(settings->cipher_count >= 1 && settings->cipher_count <= CP_OVPN_CIPHERS_MAX);
	require(settings->remote_count <= CP_OVPN_REMOTES_MAX && settings->own_port);
	require(settings->digest && settings->framing && settings->wrapping);
	if (settings->profile[0])
		return; /* its text was not looked at */
	require(settings->remote_count == 1 && settings->ca.file[0] == '/');
	require(settings->remotes[0].port && settings->remotes[0].transport);
	require(settings->has_password || settings->certificate.file[0] == '/');
	require(!settings->has_password || (server->account[0] && server->secret_file[0] == '/'));
	require(!settings->certificate.file[0] == !settings->key.file[0]);
	require(settings->wrapping == CP_OVPN_WRAP_NONE || settings->wrap_key.file[0] == '/');
}

/* What the rest of the control plane takes for granted. */
static void check(const struct cp_config *config)
{
	require(ipc_name_check(config->name) == 0);
	require(config->uplink.address_be && config->cluster.address_be);
	require(config->uplink.device[0] && config->cluster.device[0]);
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_environment *environment = &config->environments[i];

		require(ipc_name_check(environment->name) == 0);
		require(cp_config_environment(config, environment->name) == environment);
		require(environment->pod_address_be && environment->session_quota);
		require(environment->source_count >= 1 &&
		        environment->source_count <= IPC_PREFIXES_MAX);
		require(environment->server_count >= 1 &&
		        environment->server_count <= CP_SERVERS_MAX);
		for (size_t j = 0; j < environment->server_count; j++) {
			const struct cp_server *server = &environment->servers[j];

			require(cp_config_server(environment, server->name) == server);
			require(server->retry_min_s <= server->retry_max_s);
			require(!server->openvpn == (environment->vpn == CP_VPN_IPSEC));
			if (server->openvpn) {
				check_openvpn(server);
				continue;
			}
			require(server->address[0] && server->identity[0] &&
			        server->secret_file[0] == '/');
			require(server->account[0] || server->certificate_file[0]);
			require(server->ike_proposals[0][0] && server->esp_proposals[0][0]);
		}
		for (size_t j = 0; j < environment->forward_count; j++) {
			const struct cp_forward *forward = &environment->forwards[j];

			require(forward->port_be && forward->to_port_be && forward->to_address_be &&
			        forward->protocol);
			require(!forward->server[0] ||
			        cp_config_server(environment, forward->server));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *texts[TEXTS_MAX];
	struct cp_mistakes mistakes;
	struct cp_config *config;
	size_t count = 0;
	char *copy = malloc(size + 1);
	int rc;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = 0;
	for (const char *text = copy; text <= copy + size && count < TEXTS_MAX;
	     text += strlen(text) + 1)
		texts[count++] = text;
	rc = cp_config_parse(texts[0], texts + 1, count - 1, &config, &mistakes);
	require((rc == 0) == (config != NULL) && (rc == 0) == (mistakes.count == 0));
	if (config)
		check(config);
	for (size_t i = 0; i < mistakes.count; i++)
		require(mistakes.list[i].file[0] && mistakes.list[i].text[0]);
	cp_mistakes_fini(&mistakes);
	cp_config_release(config);
	free(copy);
	return 0;
}
