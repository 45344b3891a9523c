/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session table against a simple model, full, and its wheel.
 */
#include "dataplane/nat_flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "tests/unit/dataplane/nat_packet.h"

#define SEED 12345u

static uint64_t seed = 7;

/* Session N's keys. */
static struct dp_flow_key outward(uint32_t n)
{
	return (struct dp_flow_key){ .source_be = 0x0a000000 + n / 1000,
		                     .destination_be = 0x2100000a,
		                     .source_port_be = (uint16_t)(n % 1000),
		                     .destination_port_be = 33000,
		                     .protocol = IPPROTO_TCP,
		                     .direction = DP_FLOW_OUTWARD,
		                     .environment = 3 };
}

static struct dp_flow_key inward(uint32_t n)
{
	return (struct dp_flow_key){ .source_be = 0x1e64a8c0,
		                     .destination_be = 0x0500030a + (n >> 16),
		                     .source_port_be = 8080,
		                     .destination_port_be = (uint16_t)n,
		                     .protocol = IPPROTO_TCP,
		                     .direction = DP_FLOW_INWARD,
		                     .environment = 3 };
}

static struct dp_flow_table *create(uint32_t sessions)
{
	struct dp_flow_table *t = NULL;

	assert_int_equal(dp_flow_table_create(&t, sessions, SEED, -1), 0);
	return t;
}

static struct dp_flow *lookup(struct dp_flow_table *t, struct dp_flow_key key)
{
	return dp_flow_lookup(t, &key, dp_flow_hash(t, &key));
}

static int add(struct dp_flow_table *t, uint32_t n, struct dp_flow **f)
{
	struct dp_flow_key out = outward(n), in = inward(n);

	return dp_flow_add(t, &out, &in, DP_FLOW_OPENING, 100, f);
}

/* Both flows of session N are found, belong together, and the quick way leads to the same. */
static void check_there(struct dp_flow_table *t, uint32_t n)
{
	struct dp_flow_key key = outward(n);
	struct dp_flow *out = lookup(t, key), *in = lookup(t, inward(n)), *quick;

	assert_non_null(out);
	assert_ptr_equal(dp_flow_other(out), in);
	assert_ptr_equal(dp_flow_other(in), out);
	assert_int_equal(dp_flow_session(t, out), dp_flow_session(t, in));
	quick = dp_flow_candidate(t, dp_flow_hash(t, &key));
	if (quick && dp_flow_is(quick, &key))
		assert_ptr_equal(quick, out);
}

static void check_absent(struct dp_flow_table *t, uint32_t n)
{
	assert_null(lookup(t, outward(n)));
	assert_null(lookup(t, inward(n)));
}

/* Nothing is left in the buckets. */
static void check_empty(const struct dp_flow_table *t)
{
	for (uint32_t i = 0; i < t->bucket_count; i++) {
		assert_int_equal(t->buckets[i].overflow, 0);
		assert_int_equal(dp_flow_ways(&t->buckets[i], 0), (1u << 2 * DP_FLOW_WAYS) - 1);
	}
	assert_int_equal(t->count, 0);
}

static void test_model(void **state)
{
	enum { KEYS = 30000, CAPACITY = 20000, STEPS = 1000000 };
	struct dp_flow_table *t = create(CAPACITY);
	uint8_t *model = calloc(1, KEYS);
	uint32_t count = 0;

	(void)state;
	for (unsigned i = 0; i < STEPS; i++) {
		uint64_t r = dp_random(&seed);
		uint32_t n = (uint32_t)(r >> 32) % KEYS;
		struct dp_flow *f;

		if (r % 3 == 0) {
			(model[n] ? check_there : check_absent)(t, n);
		} else if (r % 3 == 1 || r % 16 == 0) {
			int result = add(t, n, &f);

			assert_int_equal(result, count == CAPACITY ? -ENOSPC
			                         : model[n]        ? -EEXIST
			                                           : 0);
			count += result == 0;
			model[n] |= result == 0;
		} else if (model[n]) {
			dp_flow_del(t, dp_flow_session(t, lookup(t, outward(n))));
			model[n] = 0;
			count--;
		}
		assert_int_equal(t->count, count);
	}
	for (uint32_t n = 0; n < KEYS; n++)
		(model[n] ? check_there : check_absent)(t, n);
	free(model);
	dp_flow_table_destroy(t);
}

static void test_full(void **state)
{
	enum { CAPACITY = 500000 };
	struct dp_flow_table *t = create(CAPACITY);
	unsigned overflow = 0;
	struct dp_flow *f;

	(void)state;
	for (uint32_t n = 0; n < CAPACITY; n++)
		assert_int_equal(add(t, n, &f), 0);
	assert_int_equal(add(t, CAPACITY, &f), -ENOSPC);
	check_absent(t, CAPACITY);
	for (uint32_t i = 0; i < t->bucket_count; i++)
		overflow += t->buckets[i].overflow;
	assert_true(overflow > 0);                /* the second bucket was needed, */
	assert_true(overflow < CAPACITY * 2 / 5); /* and not by many */
	for (uint32_t n = 0; n < CAPACITY; n++)
		check_there(t, n);
	for (uint32_t n = 0; n < CAPACITY; n++)
		dp_flow_del(t, dp_flow_session(t, lookup(t, outward(n))));
	check_empty(t);
	dp_flow_table_destroy(t);
}

/* A table with far too few buckets: keys move, then it refuses, and loses nothing. */
static void test_crowded(void **state)
{
	struct dp_flow_table *t = create(10000);
	uint32_t n, there = 0;
	uint8_t *model = calloc(1, 10000);
	struct dp_flow *f;

	(void)state;
	t->bucket_count = 100; /* 1,000 places */
	for (n = 0; n < 2000; n++) {
		int result = add(t, n, &f);

		assert_true(result == 0 || result == -ENOSPC);
		model[n] = result == 0;
		there += model[n];
	}
	assert_int_equal(t->count, there);
	assert_in_range(there, 470, 500);
	for (n = 0; n < 2000; n++)
		(model[n] ? check_there : check_absent)(t, n);
	for (n = 0; n < 2000; n++) {
		if (model[n])
			dp_flow_del(t, dp_flow_session(t, lookup(t, outward(n))));
		check_absent(t, n);
	}
	check_empty(t);
	free(model);
	dp_flow_table_destroy(t);
}

/* Keys that differ in one thing are different keys, the environment above all. */
static void test_apart(void **state)
{
	struct dp_flow_table *t = create(100000);
	struct dp_flow *f;

	(void)state;
	for (unsigned e = 0; e < 4096; e++) {
		struct dp_flow_key out = outward(1), in = inward(1);

		out.environment = in.environment = (uint16_t)e;
		assert_int_equal(dp_flow_add(t, &out, &in, DP_FLOW_OPENING, 0, &f), 0);
		f->bytes = e;
	}
	for (unsigned e = 0; e < 4096; e++) {
		struct dp_flow_key out = outward(1), in = inward(1);

		out.environment = in.environment = (uint16_t)e;
		assert_int_equal(lookup(t, out)->bytes, e);
		assert_int_equal(dp_flow_other(lookup(t, in))->bytes, e);
		in.direction = DP_FLOW_OUTWARD;
		assert_null(lookup(t, in));
		out.protocol = IPPROTO_UDP;
		assert_null(lookup(t, out));
	}
	dp_flow_table_destroy(t);
}

static void test_exists(void **state)
{
	struct dp_flow_table *t = create(10);
	struct dp_flow_key out = outward(1), in = inward(2);
	struct dp_flow *f;

	(void)state;
	assert_int_equal(add(t, 1, &f), 0);
	assert_int_equal(dp_flow_add(t, &out, &in, DP_FLOW_OPENING, 0, &f), -EEXIST);
	out = outward(2);
	in = inward(1);
	assert_int_equal(dp_flow_add(t, &out, &in, DP_FLOW_OPENING, 0, &f), -EEXIST);
	assert_int_equal(t->count, 1);
	dp_flow_table_destroy(t);
}

/* Another seed puts keys elsewhere, so that nobody can choose keys that collide. */
static void test_seed(void **state)
{
	struct dp_flow_table *a = create(1000), *b = NULL;
	unsigned equal = 0;

	(void)state;
	assert_int_equal(dp_flow_table_create(&b, 1000, SEED + 1, -1), 0);
	for (uint32_t n = 0; n < 1000; n++) {
		struct dp_flow_key key = outward(n);

		equal += dp_flow_first(a, dp_flow_hash(a, &key)) - a->buckets ==
		         dp_flow_first(b, dp_flow_hash(b, &key)) - b->buckets;
	}
	assert_true(equal < 50);
	dp_flow_table_destroy(a);
	dp_flow_table_destroy(b);
}

static void test_memory(void **state)
{
	static const uint32_t sizes[] = { 1u << 20, 1000000, 4u << 20, 100000000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_true(dp_flow_table_bytes(sizes[i]) <= (size_t)160 * sizes[i]);
}

static void test_limits(void **state)
{
	struct dp_flow_table *t = NULL;
	struct dp_flow *f;

	(void)state;
	assert_int_equal(dp_flow_table_create(&t, 0, SEED, -1), -EINVAL);
	assert_int_equal(dp_flow_table_create(&t, DP_FLOW_SESSIONS_MAX + 1, SEED, -1), -EINVAL);
	assert_int_equal(dp_flow_table_create(&t, DP_FLOW_SESSIONS_MAX, SEED, -1), -ENOMEM);
	t = create(1);
	assert_int_equal(add(t, 1, &f), 0);
	assert_int_equal(add(t, 2, &f), -ENOSPC);
	dp_flow_del(t, 0);
	assert_int_equal(add(t, 2, &f), 0);
	check_there(t, 2);
	dp_flow_table_destroy(t);
}

/* Each session comes off the wheel in its second, neither before nor after, in any order of
 * scheduling and ending; one that was far in the future once before, to be scheduled again. */
static void test_wheel(void **state)
{
	enum { COUNT = 2000, START = 1000000, LATEST = DP_FLOW_WHEEL - DP_FLOW_STEP - 1 };
	struct dp_flow_table *t = create(COUNT);
	uint32_t deadline[COUNT], left = COUNT;
	struct dp_flow *f;

	(void)state;
	assert_int_equal(dp_flow_due(t, START), DP_FLOW_NONE);
	for (uint32_t n = 0; n < COUNT; n++) {
		assert_int_equal(add(t, n, &f), 0);
		for (unsigned times = 0; times < 3; times++) { /* the last one counts */
			deadline[n] = START + 1 + (uint32_t)(dp_random(&seed) % LATEST);
			dp_flow_schedule(t, dp_flow_session(t, f), deadline[n]);
		}
	}
	for (uint32_t n = 0; n < COUNT; n += 5) {
		dp_flow_del(t, dp_flow_session(t, lookup(t, outward(n))));
		deadline[n] = 0;
		left--;
	}
	for (uint32_t now = START + 1; now < START + DP_FLOW_WHEEL; now++) {
		uint32_t session;

		while ((session = dp_flow_due(t, now)) != DP_FLOW_NONE) {
			uint32_t n = dp_flow_at(t, session, DP_FLOW_OUTWARD)->key.source_be;

			n = (n - 0x0a000000) * 1000 +
			    dp_flow_at(t, session, DP_FLOW_OUTWARD)->key.source_port_be;
			if (deadline[n] - START >= DP_FLOW_SLOTS && deadline[n] != now) {
				assert_in_range(deadline[n] - now, 1, DP_FLOW_STEP - 1);
				dp_flow_schedule(t, session, deadline[n]);
				continue;
			}
			assert_int_equal(deadline[n], now);
			dp_flow_del(t, session);
			left--;
		}
	}
	assert_int_equal(left, 0);
	assert_int_equal(t->count, 0);
	dp_flow_table_destroy(t);
}

/* A clock that jumps over several rounds of the wheel misses nothing; what is due at once comes at
 * once. */
static void test_wheel_jump(void **state)
{
	struct dp_flow_table *t = create(100);
	uint32_t seen = 0;
	struct dp_flow *f;

	(void)state;
	for (uint32_t n = 0; n < 100; n++) {
		assert_int_equal(add(t, n, &f), 0);
		dp_flow_schedule(t, dp_flow_session(t, f), n * 80);
	}
	while (dp_flow_due(t, 10 * DP_FLOW_WHEEL + 17) != DP_FLOW_NONE)
		seen++;
	assert_int_equal(seen, 100);
	dp_flow_schedule(t, 5, 10 * DP_FLOW_WHEEL); /* in the past: as soon as the clock moves */
	assert_int_equal(dp_flow_due(t, 10 * DP_FLOW_WHEEL + 18), 5);
	assert_int_equal(dp_flow_due(t, 10 * DP_FLOW_WHEEL + 18), DP_FLOW_NONE);
	dp_flow_table_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),   cmocka_unit_test(test_full),
		cmocka_unit_test(test_crowded), cmocka_unit_test(test_apart),
		cmocka_unit_test(test_exists),  cmocka_unit_test(test_seed),
		cmocka_unit_test(test_memory),  cmocka_unit_test(test_limits),
		cmocka_unit_test(test_wheel),   cmocka_unit_test(test_wheel_jump),
	};

	return cmocka_run_group_tests(tests, nat_eal, NULL);
}
