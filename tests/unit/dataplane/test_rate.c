/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What passes at a rate, over time, at any size of packet.
 */
#include "dataplane/rate.h"

#include "tests/unit/dataplane/nat_packet.h"

#define SECOND 1000000000ull

/* Bytes that pass in SECONDS, offered at TIMES the rate in packets of LENGTH bytes. */
static uint64_t passed(uint64_t bps, unsigned length, double times, unsigned seconds)
{
	struct dp_rate r = { 0 };
	double gap_ns = length * 8e9 / (double)bps / times;
	uint64_t bytes = 0;

	dp_rate_set(&r, bps);
	for (double at = 0; at < (double)seconds * 1e9; at += gap_ns)
		if (dp_rate_take(&r, length, 5 * SECOND + (uint64_t)at))
			bytes += length;
	return bytes;
}

static void test_the_rate_it_is(void **state)
{
	static const uint64_t rates[] = { 64000, 1000000, 20000000, 3000000000, 100000000000 };
	static const unsigned lengths[] = { 40, 576, 1400, 8896 };

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(rates); i++) {
		for (unsigned k = 0; k < RTE_DIM(lengths); k++) {
			unsigned seconds = rates[i] < 1000000 ? 60 : 1;
			uint64_t bps = rates[i], bytes = passed(bps, lengths[k], 3.0, seconds);
			uint64_t burst = RTE_MAX(bps / 8 / 50, (uint64_t)DP_RATE_BURST_BYTES);
			uint64_t fair = bps / 8 * seconds;

			if (rates[i] > 1000000000 && lengths[k] < 1000)
				continue; /* the same in more steps */
			assert_in_range(bytes, fair + burst - fair / 200,
			                fair + burst + 2 * lengths[k] + fair / 200);
			/* and below it nothing is lost */
			bytes = passed(bps, lengths[k], 0.99, seconds);
			assert_in_range(bytes, fair * 98 / 100 - lengths[k], fair + lengths[k]);
		}
	}
}

static void test_no_limit(void **state)
{
	struct dp_rate r = { 0 };

	(void)state;
	for (unsigned i = 0; i < 1000000; i++)
		assert_true(dp_rate_take(&r, 1500, 0));
}

/* A pause gives no more credit than the burst, a new configuration with the same rate none. */
static void test_credit(void **state)
{
	struct dp_rate r = { 0 };
	unsigned burst = 0, more = 0;

	(void)state;
	dp_rate_set(&r, 8000000); /* 20,000 bytes in 20 ms: at least DP_RATE_BURST_BYTES */
	while (dp_rate_take(&r, 1000, SECOND))
		burst++;
	assert_in_range(burst, 65, 67);
	dp_rate_set(&r, 8000000);
	assert_false(dp_rate_take(&r, 1000, SECOND));
	while (dp_rate_take(&r, 1000, 1000 * SECOND))
		more++;
	assert_int_equal(more, burst);
	dp_rate_set(&r, 80000000);
	assert_true(dp_rate_take(&r, 1000, 1000 * SECOND));
	dp_rate_set(&r, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(dp_rate_take(&r, 65535, 1000 * SECOND));
}

/* Three workers that see of each other what was spent at the beginning of each burst: all of them
 * together, by turns, two of them idle for long, or one alone. */
static uint64_t passed_of_three(uint64_t bps, unsigned seconds, const char *who)
{
	struct dp_rate r[3] = { 0 };
	uint64_t bytes = 0, at = 5 * SECOND;

	for (unsigned i = 0; i < 3; i++)
		dp_rate_set(&r[i], bps);
	for (unsigned burst = 0; at < (5 + seconds) * SECOND; burst++, at += 50000) {
		unsigned i = who[burst / 997 % strlen(who)] - '0'; /* 50 ms each */

		r[i].others_ns = 0;
		for (unsigned k = 0; k < 3; k++)
			r[i].others_ns += k == i ? 0 : r[k].spent_ns;
		for (unsigned n = 0; n < 32; n++)
			bytes += dp_rate_take(&r[i], 1400, at) ? 1400 : 0;
	}
	return bytes;
}

static void test_one_rate_of_all_workers(void **state)
{
	static const char *const who[] = { "0", "012", "0000000000000000000100000000000000000002",
		                           "0011222010" };
	const uint64_t bps = 100000000;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(who); i++) {
		uint64_t fair = bps / 8 * 20, burst = bps / 8 / 50;

		assert_in_range(passed_of_three(bps, 20, who[i]), fair - fair / 100,
		                fair + fair / 100 + 3 * burst);
	}
}

/* A new rate, and other workers' accounts that began long ago, or begin anew. */
static void test_begins_anew(void **state)
{
	struct dp_rate r = { .others_ns = 77 * SECOND };
	unsigned burst = 0;

	(void)state;
	dp_rate_set(&r, 8000000);
	while (dp_rate_take(&r, 1000, SECOND))
		burst++;
	assert_in_range(burst, 65, 67);
	r.others_ns = 0; /* that environment's slot was given to another one */
	assert_true(dp_rate_take(&r, 1000, SECOND));
	dp_rate_set(&r, 16000000);
	assert_true(dp_rate_take(&r, 1000, SECOND));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_rate_it_is),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_one_rate_of_all_workers),
		cmocka_unit_test(test_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
