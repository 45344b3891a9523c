/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's reliability layer, on a virtual clock.
 */
#include "tests/unit/controlplane/hex.h"

#include "controlplane/ovpn_reliable.h"

#define TIMEOUT_MS 2000u

static const uint8_t text[] = "payload";

static void push(struct cp_ovpn_reliable *reliable, uint64_t now_ms)
{
	cp_ovpn_reliable_push(reliable, CP_OVPN_CONTROL, text, sizeof(text), now_ms);
}

static bool receive(struct cp_ovpn_reliable *reliable, uint32_t id)
{
	return cp_ovpn_reliable_receive(reliable, CP_OVPN_CONTROL, id, text, sizeof(text));
}

/* The ids that are due at NOW_MS, as a text. */
static const char *due(struct cp_ovpn_reliable *reliable, uint64_t now_ms)
{
	static char ids[64];
	const struct cp_ovpn_outgoing *packet;
	size_t at = 0;

	ids[0] = 0;
	while ((packet = cp_ovpn_reliable_due(reliable, now_ms)))
		at += (size_t)snprintf(ids + at, sizeof(ids) - at, "%u ", packet->id);
	return ids;
}

static void acked(struct cp_ovpn_reliable *reliable, uint32_t id)
{
	cp_ovpn_reliable_acked(reliable, &id, 1);
}

static void test_retransmissions(void **state)
{
	static const uint64_t times_ms[] = { 100, 2100, 6100, 14100, 22100, 30100 };
	struct cp_ovpn_reliable reliable;

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	assert_true(cp_ovpn_reliable_deadline_ms(&reliable) == UINT64_MAX);
	push(&reliable, 100);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(cp_ovpn_reliable_deadline_ms(&reliable), times_ms[i]);
		assert_string_equal(due(&reliable, times_ms[i] - 1), "");
		assert_string_equal(due(&reliable, times_ms[i]), "0 ");
	}
	assert_int_equal(reliable.retransmissions, 5);
	assert_false(cp_ovpn_reliable_is_acked(&reliable));
	acked(&reliable, 0);
	assert_true(cp_ovpn_reliable_is_acked(&reliable));
	assert_string_equal(due(&reliable, 1000000), "");
}

static void test_send_window(void **state)
{
	struct cp_ovpn_reliable reliable;

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	for (int i = 0; i < 6; i++) {
		assert_true(cp_ovpn_reliable_has_room(&reliable));
		push(&reliable, 0);
	}
	assert_false(cp_ovpn_reliable_has_room(&reliable));
	acked(&reliable, 2); /* never sent: says nothing */
	assert_string_equal(due(&reliable, 0), "0 1 2 3 4 5 ");
	acked(&reliable, 2);
	acked(&reliable, 77);
	assert_false(cp_ovpn_reliable_has_room(&reliable)); /* 0 is still the oldest one */
	acked(&reliable, 0);
	assert_true(cp_ovpn_reliable_has_room(&reliable));
	push(&reliable, 0);
	assert_false(cp_ovpn_reliable_has_room(&reliable)); /* 1 */
	assert_string_equal(due(&reliable, 0), "6 ");
}

/* Three later ones arrived: the first one did not. */
static void test_early_retransmission(void **state)
{
	struct cp_ovpn_reliable reliable;

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	for (int i = 0; i < 5; i++)
		push(&reliable, 0);
	due(&reliable, 0);
	acked(&reliable, 1);
	acked(&reliable, 2);
	assert_string_equal(due(&reliable, 10), "");
	acked(&reliable, 3);
	assert_int_equal(cp_ovpn_reliable_deadline_ms(&reliable), 0);
	assert_string_equal(due(&reliable, 10), "0 ");
	assert_string_equal(due(&reliable, 10), "");
}

static void test_hurry(void **state)
{
	struct cp_ovpn_reliable reliable;

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	push(&reliable, 0);
	due(&reliable, 0);
	due(&reliable, 2000);
	cp_ovpn_reliable_hurry(&reliable, 2500);
	assert_string_equal(due(&reliable, 2500), "0 ");
	assert_int_equal(cp_ovpn_reliable_deadline_ms(&reliable), 4500);
}

/* Whatever the order, and each once. */
static void test_delivery(void **state)
{
	static const uint32_t order[] = { 2, 0, 2, 1, 0, 11, 5, 3, 4 };
	struct cp_ovpn_reliable reliable;
	uint32_t acks[CP_OVPN_ACKS_MAX];
	unsigned delivered = 0;

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct cp_ovpn_incoming *packet;

		assert_true(receive(&reliable, order[i]));
		assert_true(cp_ovpn_reliable_take_acks(&reliable, acks, 8) > 0);
		assert_int_equal(acks[0], order[i]); /* also what came twice */
		while ((packet = cp_ovpn_reliable_next(&reliable))) {
			assert_int_equal(packet->length, sizeof(text));
			assert_memory_equal(packet->payload, text, sizeof(text));
			delivered++;
		}
	}
	assert_int_equal(delivered, 6); /* 0..5; 11 waits */
	assert_int_equal(reliable.next_in, 6);
}

static void test_receive_window(void **state)
{
	struct cp_ovpn_reliable reliable;
	uint8_t large[CP_OVPN_PAYLOAD_MAX + 1] = { 0 };
	uint32_t acks[8];

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	assert_true(receive(&reliable, 11));
	assert_false(receive(&reliable, 12));
	assert_false(receive(&reliable, UINT32_MAX / 2));
	assert_false(cp_ovpn_reliable_receive(&reliable, CP_OVPN_CONTROL, 1, large, sizeof(large)));
	assert_int_equal(cp_ovpn_reliable_take_acks(&reliable, acks, 8), 1);
	/* eight are owed: the ninth has to come again */
	for (uint32_t id = 0; id < 8; id++)
		assert_true(receive(&reliable, id));
	assert_false(receive(&reliable, 8));
	assert_null(reliable.in[8].is_used ? "kept" : NULL);
}

/* What was acknowledged before goes along again, the latest first. */
static void test_repeated_acks(void **state)
{
	struct cp_ovpn_reliable reliable;
	uint32_t acks[8];

	(void)state;
	cp_ovpn_reliable_init(&reliable, TIMEOUT_MS);
	assert_int_equal(cp_ovpn_reliable_take_acks(&reliable, acks, 4), 0);
	receive(&reliable, 0);
	assert_int_equal(cp_ovpn_reliable_take_acks(&reliable, acks, 4), 1);
	assert_int_equal(reliable.ack_count, 0);
	assert_int_equal(cp_ovpn_reliable_take_acks(&reliable, acks, 4), 1);
	assert_int_equal(acks[0], 0);
	for (uint32_t id = 1; id < 12; id++) {
		receive(&reliable, id);
		assert_int_equal(cp_ovpn_reliable_take_acks(&reliable, acks, 4),
		                 id < 3 ? id + 1 : 4);
		assert_int_equal(acks[0], id);
		assert_int_equal(acks[1], id - 1);
	}
	assert_int_equal(cp_ovpn_reliable_take_acks(&reliable, acks, 8), 8);
	assert_int_equal(acks[7], 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retransmissions),
		cmocka_unit_test(test_send_window),
		cmocka_unit_test(test_early_retransmission),
		cmocka_unit_test(test_hurry),
		cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_receive_window),
		cmocka_unit_test(test_repeated_acks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
