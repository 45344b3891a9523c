/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN server may send on the control channel. The first byte says how the rest is read:
 * as one packet's body, as wrapped packets, as steps of the reliability layer, as key method 2, or
 * as packets for a session that waits for its server.
 */
#include <stdlib.h>
#include <string.h>

#include "controlplane/ovpn_about.h"
#include "controlplane/ovpn_bytes.h"
#include "controlplane/ovpn_keys.h"
#include "controlplane/ovpn_material.h"
#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_reliable.h"
#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_wrap.h"
#include "tests/fuzz/fuzz.h"

static void require(int condition)
{
	if (!condition)
		abort();
}

/* What can be read can be written, and is the same then. */
static void feed_body(const uint8_t *data, size_t size)
{
	struct cp_ovpn_body body;
	uint8_t opcode, *again;
	uint16_t flags;

	if (size < 1)
		return;
	opcode = data[0] & 15;
	cp_ovpn_early_parse(data + 1, size - 1, &flags);
	if (cp_ovpn_body_parse(&body, opcode, data + 1, size - 1) < 0)
		return;
	require(cp_ovpn_body_length(&body, opcode) == size - 1);
	again = malloc(size);
	if (!again)
		return;
	require(cp_ovpn_body_write(&body, opcode, again) == size - 1);
	require(memcmp(again, data + 1, size - 1) == 0);
	free(again);
}

/* Takes the next packet off INPUT: a length in one byte and so much. */
static const uint8_t *take(const uint8_t **input, size_t *size, size_t *length)
{
	const uint8_t *packet = *input + 1;

	if (*size < 1)
		return NULL;
	*length = **input < *size - 1 ? **input : *size - 1;
	*input += 1 + *length;
	*size -= 1 + *length;
	return packet;
}

static void feed_wraps(const uint8_t *data, size_t size)
{
	struct cp_ovpn_wrap wraps[3];
	uint8_t key[CP_OVPN_STATIC_KEY_LEN], body[256];
	const uint8_t *packet;
	size_t length;

	memset(key, 7, sizeof(key));
	cp_ovpn_wrap_nothing(&wraps[0]);
	cp_ovpn_wrap_auth(&wraps[1], key, CP_OVPN_DIRECTION_NONE, "SHA256", 1);
	cp_ovpn_wrap_crypt(&wraps[2], key, 1);
	while ((packet = take(&data, &size, &length))) {
		for (size_t i = 0; i < 3; i++) {
			long found = cp_ovpn_unwrap(&wraps[i], packet, length, body);

			require(found < 0 || (size_t)found + CP_OVPN_HEAD_LEN +
			                                     cp_ovpn_wrap_overhead(&wraps[i]) ==
			                             length);
		}
	}
}

/* Each byte a step; what comes out is in order, and each once. */
static void feed_reliable(const uint8_t *data, size_t size)
{
	struct cp_ovpn_reliable *reliable = malloc(sizeof(*reliable));
	uint32_t expected = 0, acks[CP_OVPN_ACKS_MAX];
	const struct cp_ovpn_incoming *packet;
	uint64_t now_ms = 0;

	if (!reliable)
		return;
	cp_ovpn_reliable_init(reliable, 2000);
	for (size_t i = 0; i < size; i++) {
		uint32_t id = reliable->next_in + data[i] / 8u - 8;

		switch (data[i] % 8) {
		case 0:
		case 1:
		case 2:
			cp_ovpn_reliable_receive(reliable, CP_OVPN_CONTROL, id, (uint8_t *)&id,
			                         sizeof(id));
			break;
		case 3:
			while ((packet = cp_ovpn_reliable_next(reliable))) {
				require(memcmp(packet->payload, &expected, sizeof(expected)) == 0);
				expected++;
			}
			break;
		case 4:
			if (cp_ovpn_reliable_has_room(reliable))
				cp_ovpn_reliable_push(reliable, CP_OVPN_CONTROL, data, i % 64,
				                      now_ms);
			break;
		case 5:
			id = reliable->next_out - data[i] / 8u;
			cp_ovpn_reliable_acked(reliable, &id, 1);
			break;
		case 6:
			now_ms += data[i] * 50u;
			while (cp_ovpn_reliable_due(reliable, now_ms))
				;
			require(cp_ovpn_reliable_deadline_ms(reliable) > now_ms);
			break;
		default:
			require(cp_ovpn_reliable_take_acks(reliable, acks, 1 + data[i] / 8u % 8) <=
			        CP_OVPN_ACKS_MAX);
			break;
		}
	}
	free(reliable);
}

static void feed_hello(const uint8_t *data, size_t size)
{
	struct cp_ovpn_server_hello hello;
	char cipher[64];

	if (cp_ovpn_server_hello_parse(&hello, data, size) < 0)
		return;
	require(memchr(hello.options, 0, sizeof(hello.options)) != NULL);
	if (cp_ovpn_about_server_cipher(hello.options, cipher, sizeof(cipher)))
		require(cipher[0] != 0);
}

/* ---- a session ---- */

struct end {
	uint8_t own_id[CP_OVPN_SESSION_ID_LEN];
	int is_over;
};

static void on_send(void *context, const uint8_t *packet, size_t length)
{
	struct end *end = context;

	require(!end->is_over && length >= CP_OVPN_HEAD_LEN && length <= CP_OVPN_PACKET_MAX);
	memcpy(end->own_id, packet + 1, sizeof(end->own_id));
}

static void on_up(void *context, const struct cp_ovpn_push *push)
{
	(void)context;
	(void)push;
	abort(); /* nobody gets through TLS by chance */
}

static void on_key(void *context, const struct cp_ovpn_key *key)
{
	(void)context;
	(void)key;
	abort();
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
	abort();
}

static void on_stuck(void *context)
{
	(void)context;
}

static void on_tell(void *context, const char *text)
{
	(void)context;
	(void)text;
}

static void on_ended(void *context, const struct cp_ovpn_end *ended)
{
	struct end *end = context;

	require(!end->is_over && ended->why[0] && ended->next);
	end->is_over = 1;
}

static const struct cp_ovpn_calls calls = {
	.send = on_send,
	.up = on_up,
	.key = on_key,
	.use = on_key_id,
	.forget = on_key_id,
	.unrenewed = on_tell,
	.stuck = on_stuck,
	.send_exit = on_send_exit,
	.tell = on_tell,
	.ended = on_ended,
};

/* Packets without a wrapping. A session id that is echoed is ours, so that they get anywhere. */
static void feed_session(const uint8_t *data, size_t size)
{
	struct cp_ovpn_settings settings;
	struct cp_ovpn_material material = { 0 };
	struct sp_secret *token = sp_secret_create();
	struct cp_ovpn_session *session;
	char why[CP_WHY_LEN];
	uint64_t now_ms = 1;
	const uint8_t *packet;
	size_t length;
	struct end end = { 0 };

	cp_ovpn_settings_init(&settings);
	session = token ? cp_ovpn_session_create(&settings, &material,
	                                         &(struct cp_ovpn_link){ false, false }, token, 1,
	                                         &calls, &end, why)
	                : NULL;
	if (!session) {
		sp_secret_destroy(token);
		return;
	}
	cp_ovpn_session_start(session, now_ms);
	while ((packet = take(&data, &size, &length))) {
		uint8_t copy[256] = { 0 };
		size_t echo;

		memcpy(copy, packet, length);
		echo = CP_OVPN_HEAD_LEN + 1 + 4u * copy[CP_OVPN_HEAD_LEN];
		if (copy[CP_OVPN_HEAD_LEN] > 0 && echo + CP_OVPN_SESSION_ID_LEN <= length)
			memcpy(copy + echo, end.own_id, CP_OVPN_SESSION_ID_LEN);
		cp_ovpn_session_receive(session, copy, length, now_ms);
		now_ms += length;
		cp_ovpn_session_tick(session, now_ms);
		require(cp_ovpn_session_deadline_ms(session) > now_ms);
	}
	cp_ovpn_session_stop(session, now_ms);
	require(end.is_over);
	cp_ovpn_session_destroy(session);
	sp_secret_destroy(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const feeds[])(const uint8_t *, size_t) = { feed_body, feed_wraps,
		                                                  feed_reliable, feed_hello,
		                                                  feed_session };

	if (size > 0)
		feeds[data[0] % 5](data + 1, size - 1);
	return 0;
}
