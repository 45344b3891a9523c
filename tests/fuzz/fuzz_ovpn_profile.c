/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text as a customer's profile.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ovpn_profile.h"
#include "tests/fuzz/fuzz.h"

#define PATH "/etc/sallyport/acme.ovpn"

static void require(int condition)
{
	if (!condition)
		abort();
}

static void count_complaint(void *context, unsigned line, const char *directive, const char *text)
{
	(void)line;
	require(directive && text[0]);
	++*(unsigned *)context;
}

static void check_place(const struct cp_ovpn_place *place)
{
	require(!place->file[0] || place->file[0] == '/');
	require(!place->is_inline || strcmp(place->file, PATH) == 0);
}

/* What the client takes for granted of a profile without mistakes. */
static void check(const struct cp_ovpn_profile *profile)
{
	const struct cp_ovpn_settings *settings = &profile->settings;

	require(settings->remote_count <= CP_OVPN_REMOTES_MAX);
	for (size_t i = 0; i < settings->remote_count; i++) {
		const struct cp_ovpn_remote *remote = &settings->remotes[i];

		require(remote->address[0] && remote->port);
		require(remote->transport == IPPROTO_UDP || remote->transport == IPPROTO_TCP);
	}
	require(settings->cipher_count >= 1 && settings->cipher_count <= CP_OVPN_CIPHERS_MAX);
	for (size_t i = 0; i < settings->cipher_count; i++)
		require(strcmp(cp_ovpn_cipher_name(settings->ciphers[i]), "none") != 0);
	require(settings->digest && settings->framing && settings->wrapping);
	require((settings->wrapping == CP_OVPN_WRAP_NONE) == !settings->wrap_key.file[0]);
	check_place(&settings->ca);
	check_place(&settings->key);
	check_place(&settings->login);
	check_place(&settings->wrap_key);
	require(!profile->asks_password || settings->has_password);
	require(!settings->key.is_inline || profile->secret_line);
	require(settings->control_bytes >= 154 && settings->tun_mtu >= 576);
	require(settings->route_count <= IPC_PREFIXES_MAX);
	require(settings->filter_count <= CP_OVPN_FILTERS_MAX);
	require(settings->fingerprint_count <= CP_OVPN_FINGERPRINTS_MAX);
	require(profile->retry_min_s <= profile->retry_max_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cp_ovpn_profile *profile = malloc(sizeof(*profile));
	unsigned complaints = 0;

	/* a file with a NUL byte is refused before it is read as a profile */
	if (profile && !memchr(data, 0, size)) {
		cp_ovpn_profile_read(profile, PATH, (const char *)data, size, count_complaint,
		                     &complaints);
		if (!complaints)
			check(profile);
	}
	free(profile);
	return 0;
}
