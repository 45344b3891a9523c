/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The port pool against a bitmap, full endpoints, reserved ports.
 */
#include "dataplane/portpool.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_byteorder.h>

#include "dataplane/keyed_hash.h"
#include "tests/unit/dataplane/nat_packet.h"

#define PORTS 65536u
#define USABLE 64511u /* 1024 to 65535 but 4500 */

static const struct dp_port_window all = { .first = 0, .count = DP_PORT_BLOCKS };
static uint64_t seed = 99;

static struct dp_port_endpoint endpoint(unsigned n)
{
	return (struct dp_port_endpoint){ .inner_be = 0x0500030a,
		                          .remote_be = 0x1e64a8c0 + (n << 24),
		                          .remote_port_be = 8080,
		                          .scope = 1,
		                          .protocol = 6 };
}

static struct dp_portpool *create(uint32_t blocks)
{
	struct dp_portpool *p = NULL;

	assert_int_equal(dp_portpool_create(&p, blocks, 5, -1), 0);
	return p;
}

/* Takes a port and notes it. */
static unsigned take(struct dp_portpool *p, unsigned n, uint8_t *taken)
{
	struct dp_port_endpoint e = endpoint(n);
	uint16_t port_be;
	unsigned port;

	assert_int_equal(dp_portpool_take(p, &e, all, &port_be), 0);
	port = rte_be_to_cpu_16(port_be);
	assert_in_range(port, 1024, 65535);
	assert_int_not_equal(port, 4500);
	assert_int_equal(taken[port], 0);
	taken[port] = 1;
	return port;
}

static void release(struct dp_portpool *p, unsigned n, unsigned port, uint8_t *taken)
{
	struct dp_port_endpoint e = endpoint(n);

	assert_int_equal(taken[port], 1);
	taken[port] = 0;
	dp_portpool_release(p, &e, rte_cpu_to_be_16((uint16_t)port));
}

static void check_exhausted(struct dp_portpool *p, unsigned n)
{
	struct dp_port_endpoint e = endpoint(n);
	uint16_t port_be;

	assert_int_equal(dp_portpool_take(p, &e, all, &port_be), -EADDRINUSE);
}

static unsigned random_port(const uint8_t *taken)
{
	unsigned port = (unsigned)dp_random(&seed) % PORTS;

	while (!taken[port])
		port = (port + 1) % PORTS;
	return port;
}

/* Takes and releases at random around several levels of fullness, three endpoints at once. */
static void test_model(void **state)
{
	static const unsigned levels[] = { 10, 2000, 60000, USABLE - 3, USABLE, 500, 0 };
	struct dp_portpool *p = create(3 * 252);
	static uint8_t taken[3][PORTS];
	unsigned count[3] = { 0 };

	(void)state;
	for (unsigned l = 0; l < sizeof(levels) / sizeof(*levels); l++) {
		for (unsigned n = 0; n < 3; n++) {
			for (; count[n] < levels[l]; count[n]++)
				take(p, n, taken[n]);
			for (; count[n] > levels[l]; count[n]--)
				release(p, n, random_port(taken[n]), taken[n]);
		}
		for (unsigned i = 0; i < 20000; i++) {
			unsigned n = i % 3;

			if (count[n] == USABLE)
				check_exhausted(p, n);
			if (count[n] && (dp_random(&seed) & 1 || count[n] == USABLE)) {
				release(p, n, random_port(taken[n]), taken[n]);
				count[n]--;
			} else {
				take(p, n, taken[n]);
				count[n]++;
			}
		}
	}
	for (unsigned n = 0; n < 3; n++) {
		for (; count[n]; count[n]--)
			release(p, n, random_port(taken[n]), taken[n]);
	}
	assert_int_equal(dp_portpool_blocks(p), 0);
	dp_portpool_destroy(p);
}

static void test_four_targets(void **state)
{
	struct dp_portpool *p = create(4 * 252);
	static uint8_t taken[4][PORTS];

	(void)state;
	for (unsigned i = 0; i < 200000; i++)
		take(p, i % 4, taken[i % 4]);
	assert_int_equal(dp_portpool_blocks(p), 4 * 252);
	dp_portpool_destroy(p);
}

/* Endpoints that differ in any part share nothing. */
static void test_apart(void **state)
{
	struct dp_portpool *p = create(2000);
	struct dp_port_endpoint e[6];
	uint16_t port_be;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		e[i] = endpoint(0);
	e[1].scope++;
	e[2].protocol = 17;
	e[3].remote_port_be++;
	e[4].inner_be++;
	e[5].remote_be++;
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < USABLE; k++)
			assert_int_equal(dp_portpool_take(p, &e[i], all, &port_be), 0);
		assert_int_equal(dp_portpool_take(p, &e[i], all, &port_be), -EADDRINUSE);
	}
	dp_portpool_destroy(p);
}

/* A full endpoint gives exactly what came back, however often, and refuses in between. */
static void test_exhausted(void **state)
{
	struct dp_portpool *p = create(252);
	static uint8_t taken[PORTS];

	(void)state;
	for (unsigned i = 0; i < USABLE; i++)
		take(p, 0, taken);
	for (unsigned i = 0; i < 200000; i++) /* at once, or this takes long */
		check_exhausted(p, 0);
	for (unsigned i = 0; i < 50000; i++) {
		unsigned port = random_port(taken);

		release(p, 0, port, taken);
		assert_int_equal(take(p, 0, taken), port);
		check_exhausted(p, 0);
	}
	dp_portpool_destroy(p);
}

/* Refusing costs about as little as giving: nothing that grows with the endpoint. */
static void test_refusal_time(void **state)
{
	enum { TIMES = 20000 };
	struct dp_portpool *p = create(252 + 252);
	static uint8_t taken[PORTS];
	uint64_t best_refusal = UINT64_MAX, best_pair = UINT64_MAX;

	(void)state;
	for (unsigned i = 0; i < USABLE; i++)
		take(p, 0, taken);
	check_exhausted(p, 0);
	for (unsigned round = 0; round < 10;
	     round++) { /* the best of rounds: others use this machine too */
		struct dp_port_endpoint full = endpoint(0), other = endpoint(1);
		uint64_t start = __builtin_ia32_rdtsc(), middle;
		uint16_t port_be;

		for (unsigned i = 0; i < TIMES; i++)
			dp_portpool_take(p, &full, all, &port_be);
		middle = __builtin_ia32_rdtsc();
		for (unsigned i = 0; i < TIMES; i++) {
			dp_portpool_take(p, &other, all, &port_be);
			dp_portpool_release(p, &other, port_be);
		}
		best_refusal = RTE_MIN(best_refusal, middle - start);
		best_pair = RTE_MIN(best_pair, (uint64_t)__builtin_ia32_rdtsc() - middle);
	}
	assert_true(best_refusal < 2 * best_pair);
	dp_portpool_destroy(p);
}

static void test_reserved(void **state)
{
	struct dp_portpool *p = create(252);
	static uint8_t taken[PORTS];
	unsigned first = 0, usable = USABLE, given;

	(void)state;
	dp_portpool_reserve(p, 80); /* never given anyway */
	dp_portpool_reserve(p, 1194);
	dp_portpool_reserve(p, 1024);
	dp_portpool_reserve(p, 65535);
	for (unsigned port = 2048; port < 2304; port++) /* a whole block, */
		dp_portpool_reserve(p, (uint16_t)port);
	for (unsigned port = 3000; port < 3400; port++) /* one and two halves */
		dp_portpool_reserve(p, (uint16_t)port);
	usable -= 3 + 256 + 400;
	first = take(p, 0, taken);
	dp_portpool_reserve(p, (uint16_t)first); /* in use: given no more after its release */
	for (given = 1; given < usable; given++)
		take(p, 0, taken);
	check_exhausted(p, 0);
	assert_int_equal(taken[1194] + taken[1024] + taken[65535] + taken[2048] + taken[2303] +
	                         taken[3399],
	                 0);
	release(p, 0, first, taken);
	check_exhausted(p, 0);
	for (unsigned port = 0; port < PORTS; port++) {
		if (taken[port])
			release(p, 0, port, taken);
	}
	assert_int_equal(dp_portpool_blocks(p), 0);
	for (given = 0; given < usable - 1; given++)
		assert_int_not_equal(take(p, 0, taken), first);
	check_exhausted(p, 0);
	dp_portpool_destroy(p);
}

/* Reserving ports of a nearly full endpoint, whose summary does not know. */
static void test_reserved_late(void **state)
{
	struct dp_portpool *p = create(252);
	static uint8_t taken[PORTS];

	(void)state;
	for (unsigned i = 0; i < USABLE; i++)
		take(p, 0, taken);
	release(p, 0, 5000, taken);
	release(p, 0, 6000, taken);
	dp_portpool_reserve(p, 5000);
	assert_int_equal(take(p, 0, taken), 6000);
	check_exhausted(p, 0);
	dp_portpool_destroy(p);
}

/* Without a block left it goes on with those there are, then says so. */
static void test_no_block(void **state)
{
	struct dp_portpool *p = create(2);
	struct dp_port_endpoint e = endpoint(0), other = endpoint(1);
	static uint8_t taken[PORTS];
	unsigned given = 0, port = 0;
	uint16_t port_be;

	(void)state;
	for (; given < 510; given++)
		port = take(p, 0, taken);
	while (dp_portpool_take(p, &e, all, &port_be) == 0)
		taken[rte_be_to_cpu_16(port_be)] = 1;
	assert_int_equal(dp_portpool_take(p, &e, all, &port_be), -ENOSPC);
	assert_int_equal(dp_portpool_take(p, &other, all, &port_be), -ENOSPC);
	release(p, 0, port, taken);
	assert_int_equal(take(p, 0, taken), port);
	for (unsigned i = 0; i < PORTS; i++) {
		if (taken[i])
			release(p, 0, i, taken);
	}
	assert_int_equal(dp_portpool_take(p, &other, all, &port_be), 0);
	dp_portpool_destroy(p);
}

/* Nobody can guess the next port: RFC 6056. Not in order, and all over the range. */
static void test_random(void **state)
{
	struct dp_portpool *p = create(1000);
	static uint8_t taken[PORTS];
	unsigned near = 0, quarter[4] = { 0 }, last = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned port = take(p, 0, taken);

		near += port - last + 256 <= 512;
		quarter[port / 16384]++;
		last = port;
	}
	assert_true(near < 40);
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(quarter[i], 150, 350);
	dp_portpool_destroy(p);
}

static void test_limits(void **state)
{
	struct dp_portpool *p = NULL;

	(void)state;
	assert_int_equal(dp_portpool_create(&p, 0, 5, -1), -EINVAL);
	assert_int_equal(dp_portpool_create(&p, 1u << 30, 5, -1), -ENOMEM);
	dp_portpool_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),         cmocka_unit_test(test_four_targets),
		cmocka_unit_test(test_apart),         cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_refusal_time),  cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_reserved_late), cmocka_unit_test(test_no_block),
		cmocka_unit_test(test_random),        cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, nat_eal, NULL);
}
