/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as what an OpenVPN server says: messages, with a NUL between them, some of them the
 * parts of a push reply. The first byte says what the profile has.
 */
#include <stdlib.h>
#include <string.h>

#include "controlplane/ovpn_push.h"
#include "tests/fuzz/fuzz.h"

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check_push(const struct cp_ovpn_push *push)
{
	struct cp_range ranges[CP_RANGES_MAX];
	size_t count = cp_ovpn_push_ranges(push, ranges, CP_RANGES_MAX);

	require(count <= CP_RANGES_MAX);
	for (size_t i = 0; i < count; i++) {
		require(ranges[i].first <= ranges[i].last);
		require(i == 0 || ranges[i - 1].last < ranges[i].first);
	}
	require(push->peer_id == CP_OVPN_NO_PEER || push->peer_id <= 0xffffff);
	require(push->prefix_length <= 32 && push->tun_mtu >= 576);
	require(push->framing >= CP_OVPN_FRAMING_NONE && push->framing <= CP_OVPN_FRAMING_STUB_V2);
	require(strlen(push->ignored) < sizeof(push->ignored));
	require(strlen(push->domain) < sizeof(push->domain));
	require(strlen(push->token_account) < sizeof(push->token_account));
	require(!push->token || (push->token->length && push->token->length <= 256));
}

/* What is said of a message is printable. */
static void check_message(const char *text, size_t length)
{
	struct cp_ovpn_message message;

	if (cp_ovpn_message_parse(text, length, &message) != 0)
		return;
	require(message.type >= CP_OVPN_PUSH_REPLY && message.type <= CP_OVPN_UNKNOWN);
	require(strlen(message.text) < sizeof(message.text));
	for (const char *c = message.text; *c; c++)
		require((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void set_up(struct cp_ovpn_settings *settings, uint8_t choices)
{
	cp_ovpn_settings_init(settings);
	settings->route_nopull = choices & 1;
	settings->fallback = choices & 2 ? CP_OVPN_AES_256_CBC : 0;
	settings->dead_s = choices & 4 ? 20 : 0;
	if (choices & 8)
		settings->filters[settings->filter_count++] =
			(struct cp_ovpn_filter){ CP_OVPN_PULL_IGNORE, "dhcp-option" };
	if (choices & 16)
		settings->filters[settings->filter_count++] =
			(struct cp_ovpn_filter){ CP_OVPN_PULL_REJECT, "echo" };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cp_ovpn_settings settings;
	struct cp_ovpn_push push;
	char why[CP_WHY_LEN];
	int rc = 0;

	if (size == 0)
		return 0;
	set_up(&settings, data[0]);
	cp_ovpn_push_begin(&push, &settings);
	for (size_t at = 1; at <= size;) {
		const uint8_t *nul = at < size ? memchr(data + at, 0, size - at) : NULL;
		const size_t length = (nul ? (size_t)(nul - data) : size) - at;

		check_message((const char *)data + at, length);
		if (rc == 0) {
			why[0] = 0;
			rc = cp_ovpn_push_append(&push, (const char *)data + at, length, why);
			require(rc >= 0 || why[0]);
			require((rc == 1) == push.is_complete || rc < 0);
		}
		if (rc == 1)
			check_push(&push);
		at += length + 1;
	}
	cp_ovpn_push_fini(&push);
	return 0;
}
