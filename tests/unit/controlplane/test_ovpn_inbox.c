/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits for OpenVPN's thread: in order, bounded, and at a stand while somebody else acts.
 */
#include "tests/unit/common/unit.h"

#include <time.h>

#include "controlplane/ovpn_inbox.h"

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void put(struct cp_ovpn_inbox *inbox, enum cp_ovpn_order_type type, uint32_t login,
                const char *payload)
{
	const struct cp_ovpn_order order = { .type = type,
		                             .login = login,
		                             .punt.length = (uint32_t)strlen(payload) };

	cp_ovpn_inbox_put(inbox, &order, payload, strlen(payload));
}

/* What is there now; NULL: nothing. */
static struct cp_ovpn_order *take(struct cp_ovpn_inbox *inbox)
{
	bool is_rung;

	return cp_ovpn_inbox_take(inbox, 0, &is_rung);
}

static void test_order(void **state)
{
	struct cp_ovpn_inbox inbox;
	struct cp_ovpn_order *order;

	(void)state;
	cp_ovpn_inbox_init(&inbox);
	assert_null(take(&inbox));
	put(&inbox, CP_OVPN_END, 1, "");
	put(&inbox, CP_OVPN_DATAGRAM, 2, "payload");
	put(&inbox, CP_OVPN_BROKEN, 3, "why");
	order = take(&inbox);
	assert_int_equal(order->type, CP_OVPN_END);
	assert_int_equal(order->login, 1);
	free(order);
	order = take(&inbox);
	assert_int_equal(order->login, 2);
	assert_memory_equal(order->payload, "payload", 7);
	free(order);
	order = take(&inbox);
	assert_memory_equal(order->payload, "why", 3);
	free(order);
	assert_null(take(&inbox));
	put(&inbox, CP_OVPN_ASK, 4, ""); /* it is good for more */
	order = take(&inbox);
	assert_int_equal(order->login, 4);
	free(order);
}

/* A flood of datagrams costs datagrams, never an order. */
static void test_bounds(void **state)
{
	struct cp_ovpn_inbox inbox;
	struct cp_ovpn_order *order;
	size_t datagrams = 0;

	(void)state;
	cp_ovpn_inbox_init(&inbox);
	for (unsigned i = 0; i < CP_OVPN_DATAGRAMS_MAX + 10; i++)
		put(&inbox, CP_OVPN_DATAGRAM, i, "x");
	put(&inbox, CP_OVPN_LEAVE, 7, "");
	while ((order = take(&inbox))) {
		datagrams += order->type == CP_OVPN_DATAGRAM;
		if (order->type == CP_OVPN_LEAVE)
			assert_int_equal(order->login, 7);
		free(order);
	}
	assert_int_equal(datagrams, CP_OVPN_DATAGRAMS_MAX);
	put(&inbox, CP_OVPN_DATAGRAM, 1, "x"); /* there is room again */
	order = take(&inbox);
	assert_non_null(order);
	free(order);
}

static void test_ring(void **state)
{
	struct cp_ovpn_inbox inbox;
	const uint64_t begun_ms = now_ms();
	bool is_rung;

	(void)state;
	cp_ovpn_inbox_init(&inbox);
	cp_ovpn_inbox_ring(&inbox);
	cp_ovpn_inbox_ring(&inbox);
	assert_null(cp_ovpn_inbox_take(&inbox, begun_ms + 3600000, &is_rung));
	assert_true(is_rung);
	assert_null(cp_ovpn_inbox_take(&inbox, begun_ms + 20, &is_rung));
	assert_false(is_rung);
	assert_true(now_ms() >= begun_ms + 20);
}

struct taker {
	struct cp_ovpn_inbox *inbox;
	_Atomic unsigned taken;
	_Atomic uint32_t last;
};

/* Until it is told to end. */
static void *run(void *argument)
{
	struct taker *taker = argument;
	bool is_rung, is_last = false;

	while (!is_last) {
		struct cp_ovpn_order *order =
			cp_ovpn_inbox_take(taker->inbox, now_ms() + 3600000, &is_rung);

		if (!order)
			continue;
		taker->last = order->login;
		is_last = order->type == CP_OVPN_END;
		taker->taken++;
		free(order);
	}
	return NULL;
}

/* Behind freeze() nothing is being done, orders wait, and datagrams are lost. */
static void test_freeze(void **state)
{
	struct cp_ovpn_inbox inbox;
	struct taker taker = { .inbox = &inbox };
	pthread_t thread;

	(void)state;
	cp_ovpn_inbox_init(&inbox);
	assert_int_equal(pthread_create(&thread, NULL, run, &taker), 0);
	put(&inbox, CP_OVPN_ASK, 1, "");
	while (taker.taken < 1)
		sched_yield();
	cp_ovpn_inbox_freeze(&inbox);
	put(&inbox, CP_OVPN_DATAGRAM, 2, "lost");
	put(&inbox, CP_OVPN_ASK, 3, "");
	cp_ovpn_inbox_ring(&inbox);
	assert_int_equal(taker.taken, 1);
	cp_ovpn_inbox_thaw(&inbox);
	while (taker.taken < 2)
		sched_yield();
	assert_int_equal(taker.last, 3);
	put(&inbox, CP_OVPN_END, 4, "");
	pthread_join(thread, NULL);
	assert_int_equal(taker.taken, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_freeze),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
