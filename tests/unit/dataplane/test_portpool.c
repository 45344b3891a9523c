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

static struct dp_flow_table *flows;
static const struct dp_port_window all = { .first = 0, .count = DP_PORT_BLOCKS };
static uint64_t seed = 99;

static struct dp_port_endpoint endpoint(unsigned n)
{
	return (struct dp_port_endpoint){ .inner_be = 0x0500030a,
		                          .remote_be = 0x1e64a8c0 + (n << 24),
		                          .remote_port_be = 8080,
		                          .scope = 1,
		                          .protocol = 6,
		                          .direction = DP_FLOW_INWARD };
}

/* A pool of SESSIONS sessions, with the table that they are in. */
static struct dp_portpool *create(uint32_t sessions)
{
	struct dp_portpool *p = NULL;

	assert_int_equal(dp_flow_table_create(&flows, sessions, 7, -1), 0);
	assert_int_equal(dp_portpool_create(&p, flows, 5, -1), 0);
	return p;
}

static void destroy(struct dp_portpool *p)
{
	dp_portpool_destroy(p);
	dp_flow_table_destroy(flows);
}

/* A port of the window for a session, which begins. Returns what dp_portpool_take() does. */
static int begin(struct dp_portpool *p, const struct dp_port_endpoint *e,
                 struct dp_port_window window, uint16_t *port_be)
{
	static uint64_t sessions;
	struct dp_flow_key outward = { .source_be = (uint32_t)sessions,
		                       .destination_be = (uint32_t)(sessions >> 32),
		                       .protocol = e->protocol };
	int rc = dp_portpool_take(p, e, window, dp_random(&seed), port_be);
	struct dp_flow_key inward;
	struct dp_flow *flow;

	if (rc)
		return rc;
	inward = dp_port_reply_key(e, *port_be);
	sessions++;
	assert_int_equal(dp_flow_add(flows, &outward, &inward, DP_FLOW_UDP, 0, &flow), 0);
	return 0;
}

static void end(struct dp_portpool *p, const struct dp_port_endpoint *e, uint16_t port_be)
{
	struct dp_flow_key inward = dp_port_reply_key(e, port_be);
	struct dp_flow *flow = dp_flow_lookup(flows, &inward, dp_flow_hash(flows, &inward));

	assert_non_null(flow);
	dp_portpool_release(p, e, port_be);
	dp_flow_del(flows, dp_flow_session(flows, flow));
}

/* Takes a port and notes it. */
static unsigned take(struct dp_portpool *p, unsigned n, uint8_t *taken)
{
	struct dp_port_endpoint e = endpoint(n);
	uint16_t port_be;
	unsigned port;

	assert_int_equal(begin(p, &e, all, &port_be), 0);
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
	end(p, &e, rte_cpu_to_be_16((uint16_t)port));
}

static void check_exhausted(struct dp_portpool *p, unsigned n)
{
	struct dp_port_endpoint e = endpoint(n);
	uint16_t port_be;

	assert_int_equal(dp_portpool_take(p, &e, all, dp_random(&seed), &port_be), -EADDRINUSE);
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
	struct dp_portpool *p = create(3 * USABLE);
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
	destroy(p);
}

static void test_four_targets(void **state)
{
	struct dp_portpool *p = create(200000);
	static uint8_t taken[4][PORTS];

	(void)state;
	for (unsigned i = 0; i < 200000; i++)
		take(p, i % 4, taken[i % 4]);
	/* crowded as they are, they have entries */
	assert_in_range(dp_portpool_blocks(p), 1, 4 * DP_PORT_BLOCKS);
	destroy(p);
}

/* Endpoints that differ in any part share nothing. */
static void test_apart(void **state)
{
	struct dp_portpool *p = create(8 * USABLE);
	struct dp_port_endpoint e[7];
	uint16_t port_be;

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		e[i] = endpoint(0);
	e[1].scope++;
	e[2].protocol = 17;
	e[3].remote_port_be++;
	e[4].inner_be++;
	e[5].remote_be++;
	e[6].direction = DP_FLOW_OUTWARD;
	for (unsigned i = 0; i < 7; i++) {
		for (unsigned k = 0; k < USABLE; k++)
			assert_int_equal(begin(p, &e[i], all, &port_be), 0);
		assert_int_equal(dp_portpool_take(p, &e[i], all, dp_random(&seed), &port_be),
		                 -EADDRINUSE);
	}
	destroy(p);
}

/* A full endpoint gives exactly what came back, however often, and refuses in between. */
static void test_exhausted(void **state)
{
	struct dp_portpool *p = create(USABLE);
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
	destroy(p);
}

/* Refusing costs about as little as giving: nothing that grows with the endpoint. */
static void test_refusal_time(void **state)
{
	enum { TIMES = 20000 };
	struct dp_portpool *p = create(2 * USABLE);
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
			dp_portpool_take(p, &full, all, dp_random(&seed), &port_be);
		middle = __builtin_ia32_rdtsc();
		for (unsigned i = 0; i < TIMES; i++) {
			begin(p, &other, all, &port_be);
			end(p, &other, port_be);
		}
		best_refusal = RTE_MIN(best_refusal, middle - start);
		best_pair = RTE_MIN(best_pair, (uint64_t)__builtin_ia32_rdtsc() - middle);
	}
	assert_true(best_refusal < 2 * best_pair);
	destroy(p);
}

static void test_reserved(void **state)
{
	struct dp_portpool *p = create(USABLE);
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
	destroy(p);
}

/* Reserving ports of a nearly full endpoint, whose summary does not know. */
static void test_reserved_late(void **state)
{
	struct dp_portpool *p = create(USABLE);
	static uint8_t taken[PORTS];

	(void)state;
	for (unsigned i = 0; i < USABLE; i++)
		take(p, 0, taken);
	release(p, 0, 5000, taken);
	release(p, 0, 6000, taken);
	dp_portpool_reserve(p, 5000);
	assert_int_equal(take(p, 0, taken), 6000);
	check_exhausted(p, 0);
	destroy(p);
}

/* However sessions come to lie, blocks have entries for those that are crowded: in the smallest
 * window, with as few sessions as make an entry, of many endpoints. */
static void test_entries(void **state)
{
	enum { ENDPOINTS = 40, MANY = 250, FEW = 64 };
	const struct dp_port_window window = { .first = 7, .count = 1 };
	struct dp_portpool *p = create(ENDPOINTS * FEW + MANY);
	static uint16_t ports_be[ENDPOINTS][MANY];

	(void)state;
	for (unsigned n = 0; n < ENDPOINTS; n++) {
		struct dp_port_endpoint e = endpoint(n);

		for (unsigned i = 0; i < MANY; i++) {
			assert_int_equal(begin(p, &e, window, &ports_be[n][i]), 0);
			assert_in_range(rte_be_to_cpu_16(ports_be[n][i]), 1024 + 7 * 256,
			                1024 + 8 * 256 - 1);
		}
		for (unsigned i = FEW; i < MANY; i++)
			end(p, &e, ports_be[n][i]);
		assert_int_equal(dp_portpool_blocks(p), n + 1);
	}
	for (unsigned n = 0; n < ENDPOINTS; n++) {
		struct dp_port_endpoint e = endpoint(n);

		end(p, &e, ports_be[n][0]);
		assert_int_equal(dp_portpool_blocks(p), ENDPOINTS - n - 1);
		/* what is in use is in the table still */
		for (unsigned i = 0; i < 256 - FEW + 1; i++)
			assert_int_equal(begin(p, &e, window, &ports_be[n][0]), 0);
		assert_int_equal(begin(p, &e, window, &ports_be[n][0]), -EADDRINUSE);
		for (unsigned i = 0; i < 256; i++)
			end(p, &e, rte_cpu_to_be_16((uint16_t)(1024 + 7 * 256 + i)));
	}
	assert_int_equal(dp_portpool_blocks(p), 0);
	destroy(p);
}

/* A port that is reserved and not the pool's, in use towards the endpoint, and one that is reserved
 * while a session has it: neither keeps an entry. */
static void test_reserved_in_use(void **state)
{
	const struct dp_port_window window = { .first = 0, .count = 1 };
	struct dp_portpool *p = create(1000);
	struct dp_port_endpoint e = endpoint(0);
	struct dp_flow_key outward = { .protocol = 6, .environment = 9 };
	struct dp_flow_key inward = dp_port_reply_key(&e, rte_cpu_to_be_16(1100));
	uint16_t ports_be[250];
	struct dp_flow *flow;

	(void)state;
	dp_portpool_reserve(p, 1100);
	assert_int_equal(dp_flow_add(flows, &outward, &inward, DP_FLOW_UDP, 0, &flow), 0);
	for (unsigned i = 0; i < 250; i++)
		assert_int_equal(begin(p, &e, window, &ports_be[i]), 0);
	assert_int_equal(dp_portpool_blocks(p), 1);
	for (unsigned i = 0; i < 5; i++)
		dp_portpool_reserve(p, rte_be_to_cpu_16(ports_be[i]));
	for (unsigned i = 0; i < 250 - 64; i++)
		end(p, &e, ports_be[i]);
	assert_int_equal(dp_portpool_blocks(p), 1);
	end(p, &e, ports_be[249]);
	assert_int_equal(dp_portpool_blocks(p), 0);
	for (unsigned i = 250 - 64; i < 249; i++)
		end(p, &e, ports_be[i]);
	destroy(p);
}

/* Nobody can guess the next port: RFC 6056. Not in order, and all over the range. */
static void test_random(void **state)
{
	struct dp_portpool *p = create(USABLE);
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
	destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),           cmocka_unit_test(test_four_targets),
		cmocka_unit_test(test_apart),           cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_refusal_time),    cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_reserved_late),   cmocka_unit_test(test_entries),
		cmocka_unit_test(test_reserved_in_use), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, nat_eal, NULL);
}
