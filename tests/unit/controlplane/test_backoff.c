/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's back-off.
 */
#include "tests/unit/common/unit.h"

#include "controlplane/backoff.h"

static void test_doubles_up_to_the_cap(void **state)
{
	struct cp_backoff backoff;
	uint32_t base_ms = 1000;

	(void)state;
	cp_backoff_init(&backoff, 1000, 60000, 7);
	for (int i = 0; i < 12; i++) {
		uint32_t pause_ms = cp_backoff_take_ms(&backoff);

		assert_in_range(pause_ms, base_ms * 3 / 4, base_ms * 5 / 4);
		assert_true(pause_ms <= 60000);
		base_ms = base_ms * 2 < 60000 ? base_ms * 2 : 60000;
	}
}

static void test_reset_starts_over(void **state)
{
	struct cp_backoff backoff;

	(void)state;
	cp_backoff_init(&backoff, 1000, 60000, 7);
	for (int i = 0; i < 8; i++)
		cp_backoff_take_ms(&backoff);
	cp_backoff_reset(&backoff);
	assert_in_range(cp_backoff_take_ms(&backoff), 750, 1250);
}

static void test_jitter_spreads(void **state)
{
	uint32_t lowest_ms = UINT32_MAX, highest_ms = 0;

	(void)state;
	for (uint32_t seed = 0; seed < 200; seed++) {
		struct cp_backoff backoff;
		uint32_t pause_ms;

		cp_backoff_init(&backoff, 10000, 100000, seed * 2654435761u);
		cp_backoff_take_ms(&backoff);
		cp_backoff_reset(&backoff);
		pause_ms = cp_backoff_take_ms(&backoff);
		lowest_ms = pause_ms < lowest_ms ? pause_ms : lowest_ms;
		highest_ms = pause_ms > highest_ms ? pause_ms : highest_ms;
	}
	assert_true(lowest_ms < 8200);
	assert_true(highest_ms > 11800);
}

static void test_extremes_do_not_overflow(void **state)
{
	struct cp_backoff backoff;

	(void)state;
	cp_backoff_init(&backoff, 0, 0, 1);
	assert_int_equal(cp_backoff_take_ms(&backoff), 0);
	cp_backoff_init(&backoff, 3600000, 3600000, 1);
	for (int i = 0; i < 4; i++)
		assert_in_range(cp_backoff_take_ms(&backoff), 2700000, 3600000);
	cp_backoff_init(&backoff, UINT32_MAX, UINT32_MAX, 1);
	assert_true(cp_backoff_take_ms(&backoff) >= UINT32_MAX / 4 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_up_to_the_cap),
		cmocka_unit_test(test_reset_starts_over),
		cmocka_unit_test(test_jitter_spreads),
		cmocka_unit_test(test_extremes_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
