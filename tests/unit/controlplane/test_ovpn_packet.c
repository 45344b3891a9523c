/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's control packets.
 */
#include "tests/unit/controlplane/hex.h"

#include <errno.h>

#include "controlplane/ovpn_packet.h"
#include "tests/unit/controlplane/ovpn_vectors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Every recorded body is read, and comes out again as it was. */
static void test_recorded_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ovpn_plain_session); i++) {
		const struct ovpn_recorded *recorded = &ovpn_plain_session[i];
		uint8_t bytes[2048], again[2048];
		struct cp_ovpn_body body;
		size_t length = unhex(recorded->packet, bytes, sizeof(bytes));
		uint8_t opcode = cp_ovpn_opcode(bytes[0]);

		assert_int_equal(cp_ovpn_key_id(bytes[0]), recorded->key_id);
		assert_int_equal(cp_ovpn_body_parse(&body, opcode, bytes + CP_OVPN_HEAD_LEN,
		                                    length - CP_OVPN_HEAD_LEN),
		                 0);
		assert_int_equal(cp_ovpn_body_length(&body, opcode), length - CP_OVPN_HEAD_LEN);
		assert_hex(again, cp_ovpn_body_write(&body, opcode, again), recorded->body);
	}
}

static void test_server_reset(void **state)
{
	uint8_t bytes[64], id[CP_OVPN_SESSION_ID_LEN];
	struct cp_ovpn_body body;
	uint16_t flags;

	(void)state;
	unhex(TV3_CLIENT_ID, id, sizeof(id));
	assert_int_equal(cp_ovpn_body_parse(&body, CP_OVPN_HARD_RESET_SERVER, bytes,
	                                    unhex(TV3_SERVER_BODY, bytes, sizeof(bytes))),
	                 0);
	assert_int_equal(body.ack_count, 1);
	assert_int_equal(body.acks[0], 0);
	assert_int_equal(body.id, 0);
	assert_memory_equal(body.peer_session_id, id, sizeof(id));
	assert_int_equal(cp_ovpn_early_parse(body.payload, body.payload_length, &flags), 0);
	assert_int_equal(flags, CP_OVPN_EARLY_RESEND_WKC);
}

static void test_malformed_bodies(void **state)
{
	static const char *const bodies[] = {
		"",                                   /* no count */
		"00",                                 /* no packet id */
		"00000000",                           /* a byte of it is missing */
		"0900000000",                         /* nine acknowledgements */
		"0100000000f990ad173622e6",           /* the session id is cut */
		"0100000000f990ad173622e63f000000",   /* the packet id is cut */
		"02000000000000000100000000f990ad17", /* cut behind the second one */
	};
	struct cp_ovpn_body body;
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++)
		assert_int_equal(cp_ovpn_body_parse(&body, CP_OVPN_CONTROL, bytes,
		                                    unhex(bodies[i], bytes, sizeof(bytes))),
		                 -EBADMSG);
	/* an ACK that acknowledges nothing, and one with something behind */
	assert_int_equal(
		cp_ovpn_body_parse(&body, CP_OVPN_ACK, bytes, unhex("00", bytes, sizeof(bytes))),
		-EBADMSG);
	assert_int_equal(cp_ovpn_body_parse(
				 &body, CP_OVPN_ACK, bytes,
				 unhex("0100000000f990ad173622e63f00000000", bytes, sizeof(bytes))),
	                 -EBADMSG);
}

static void test_early_negotiation(void **state)
{
	static const struct {
		const char *payload;
		int rc;
		uint16_t flags;
	} cases[] = {
		{ "", 0, 0 },
		{ "000100020001", 0, 1 },
		{ "00070003aabbcc000100020001", 0, 1 }, /* an unknown one before */
		{ "0001000200010007000000", -EBADMSG, 1 },
		{ "0001", -EBADMSG, 0 },
		{ "00010003000100", -EBADMSG, 0 },
		{ "0002ffff00", -EBADMSG, 0 },
	};
	uint8_t bytes[64];
	uint16_t flags;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t length = unhex(cases[i].payload, bytes, sizeof(bytes));

		assert_int_equal(cp_ovpn_early_parse(bytes, length, &flags), cases[i].rc);
		assert_int_equal(flags, cases[i].flags);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_bodies),
		cmocka_unit_test(test_server_reset),
		cmocka_unit_test(test_malformed_bodies),
		cmocka_unit_test(test_early_negotiation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
