/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as what a predecessor left of an OpenVPN session: as they are, and as the right version
 * with the right length. A session that goes on with them can be left to the next one.
 */
#include "controlplane/ovpn_resume.c"

#include <stdlib.h>

#include "controlplane/ovpn_material.h"
#include "tests/fuzz/fuzz.h"

static void require(int condition)
{
	if (!condition)
		abort();
}

static unsigned ups;

static void on_send(void *context, const uint8_t *packet, size_t length)
{
	(void)context;
	(void)packet;
	require(length > CP_OVPN_HEAD_LEN && length <= CP_OVPN_PACKET_MAX);
}

/* As if the server had pushed it. */
static void on_up(void *context, const struct cp_ovpn_push *push)
{
	struct cp_range ranges[CP_RANGES_MAX];
	const size_t count = cp_ovpn_push_ranges(push, ranges, CP_RANGES_MAX);

	(void)context;
	ups++;
	require(count > 0 && count <= CP_RANGES_MAX);
	for (size_t i = 0; i < count; i++)
		require(ranges[i].first <= ranges[i].last);
	require(push->local_be && push->prefix_length <= 32 && push->dns_count <= CP_OVPN_DNS_MAX);
	require(push->peer_id == CP_OVPN_NO_PEER || push->peer_id <= IPC_OPENVPN_PEER_MAX);
}

static void on_key(void *context, const struct cp_ovpn_key *key)
{
	(void)context;
	(void)key;
	abort(); /* there is no server to negotiate with */
}

static void on_key_id(void *context, uint8_t key_id)
{
	(void)context;
	(void)key_id;
	abort();
}

static void on_send_exit(void *context)
{
	(void)context;
}

static void on_tell(void *context, const char *text)
{
	(void)context;
	(void)text;
}

static void on_ended(void *context, const struct cp_ovpn_end *end)
{
	(void)context;
	require(end->why[0]);
}

static const struct cp_ovpn_calls calls = {
	.send = on_send,
	.up = on_up,
	.key = on_key,
	.use = on_key_id,
	.forget = on_key_id,
	.send_exit = on_send_exit,
	.tell = on_tell,
	.ended = on_ended,
};

static struct cp_ovpn_session *make(struct sp_secret *token)
{
	const struct cp_ovpn_material material = { 0 };
	const struct cp_ovpn_link link = { .is_tcp = false };
	struct cp_ovpn_settings settings;
	char why[CP_WHY_LEN];

	cp_ovpn_settings_init(&settings);
	return cp_ovpn_session_create(&settings, &material, &link, token, 1, &calls, NULL, why);
}

/* Whether a session goes on with LENGTH bytes; LEFT: what it would leave in its turn. */
static bool resume(const struct saved *saved, size_t length, struct saved *left)
{
	struct sp_secret *token = sp_secret_create();
	struct cp_ovpn_session *session = token ? make(token) : NULL;
	bool is_resumed = false;

	ups = 0;
	if (session) {
		is_resumed =
			cp_ovpn_session_resume(session, (const uint8_t *)saved, length, 1) == 0;
		require(ups == is_resumed);
	}
	if (is_resumed) {
		require(cp_ovpn_session_save(session, (uint8_t *)left, sizeof(*left)) ==
		        sizeof(*left));
		cp_ovpn_session_tick(session, 60000);
		cp_ovpn_session_stop(session, 60000);
	}
	cp_ovpn_session_destroy(session);
	sp_secret_destroy(token);
	return is_resumed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t length = size < sizeof(struct saved) ? size : sizeof(struct saved);
	struct saved saved = { 0 }, left, again;

	memcpy(&saved, data, length);
	resume(&saved, length, &left);
	saved.version = VERSION;
	if (resume(&saved, sizeof(saved), &left))
		require(resume(&left, sizeof(left), &again));
	return 0;
}
