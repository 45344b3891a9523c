/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who finds room in another worker's queue. */
#include "dataplane/handoff.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>

#include "dataplane/egress.h"
#include "dataplane/worker.h"
#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define QUEUE 2048u
#define PRODUCTION 0x0a000021u /* pod addresses */
#define DEVELOPMENT 0x0a000022u
#define REMOTE 0xc6336401u

/* A sender, worker 0, and the home of everybody, worker 1. */
static struct {
	struct dp_worker sender, home;
	struct dp_worker *workers[2];
	struct dp_counters count;
	struct dp_generation generation;
	struct dp_environment production, development;
	struct dp_pod pods[4];
	struct dp_batch batch;
	struct dp_egress egress;
	struct dp_egress_range sources[3];
	struct rte_mbuf buffer; /* what crosses is never looked into */
	uint8_t l3[DP_BURST][28];
} x;

static void add(struct dp_environment *e, uint32_t pod, uint16_t slot)
{
	uint32_t at = dp_crc4(htonl(pod)) & 3;

	*e = (struct dp_environment){ .pod_address_be = htonl(pod), .slot = slot, .home = 1 };
	while (x.pods[at].address_be)
		at = (at + 1) & 3;
	x.pods[at] = (struct dp_pod){ .address_be = e->pod_address_be, .environment = slot };
	x.generation.by_slot[slot] = e;
}

static void setup(void)
{
	static unsigned number;
	char name[32];

	memset(&x, 0, sizeof(x));
	snprintf(name, sizeof(name), "queue-%u", number++);
	x.home.handoff_in = rte_ring_create(name, QUEUE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	assert_non_null(x.home.handoff_in);
	x.workers[0] = &x.sender;
	x.workers[1] = &x.home;
	add(&x.production, PRODUCTION, 0);
	add(&x.development, DEVELOPMENT, 1);
	x.generation.pods = x.pods;
	x.generation.pod_mask = 3;
	/* 10.0.1.0/24 is production's, 10.0.3.0/24 development's */
	x.sources[0] = (struct dp_egress_range){ .first = 0, .environment = DP_NONE_SLOT };
	x.sources[1] = (struct dp_egress_range){ .first = 0x0a000100, .environment = 0 };
	x.sources[2] = (struct dp_egress_range){ .first = 0x0a000300, .environment = 1 };
	x.egress = (struct dp_egress){ .sources = x.sources, .source_count = 3 };
	x.generation.egress = &x.egress;
	x.sender.worker_count = 2;
	x.sender.workers = x.workers;
	x.sender.count = &x.count;
	x.sender.generation = &x.generation;
	x.sender.handoff_shares = dp_handoff_shares_create(2, SOCKET_ID_ANY);
	assert_non_null(x.sender.handoff_shares);
}

static void teardown(void)
{
	rte_ring_free(x.home.handoff_in);
	rte_free(x.sender.handoff_shares);
}

/* How many of N packets cross. */
static unsigned cross(void (*stage)(struct dp_worker *, struct dp_batch *), uint32_t source,
                      uint32_t destination, unsigned n)
{
	unsigned crossed = 0;

	assert_true(n <= DP_BURST);
	memset(&x.batch, 0, sizeof(x.batch));
	for (unsigned i = 0; i < n; i++) {
		link_ipv4(x.l3[i], TCP, source, destination, 8);
		x.batch.p[i] = (struct dp_pkt){ .m = &x.buffer, .l3 = x.l3[i], .l3_length = 28 };
		memset(x.l3[i] + 20, 0, 8);
		x.l3[i][20] = 1 << 2; /* an SPI whose home is worker 1 */
		x.batch.p[i].esp = x.l3[i] + 20;
	}
	x.batch.n = n;
	stage(&x.sender, &x.batch);
	for (unsigned i = 0; i < n; i++) {
		assert_true(x.batch.p[i].verdict == DP_TAKEN ||
		            x.batch.p[i].verdict == DP_HANDOFF_FULL);
		crossed += x.batch.p[i].verdict == DP_TAKEN;
	}
	return crossed;
}

static void drain(unsigned n)
{
	void *out[DP_BURST];

	rte_ring_dequeue_burst(x.home.handoff_in, out, n, NULL);
}

/* A remote address that worker 1 owns. */
static uint32_t remote(void)
{
	uint32_t address = REMOTE;

	while (dp_egress_owner(htonl(address), 2) != 1)
		address++;
	return address;
}

/* A flood of ten times what the home takes: who sends little loses nothing, for ever. */
static void a_flood_leaves_room_for_others(void **state)
{
	const struct {
		void (*stage)(struct dp_worker *, struct dp_batch *);
		uint32_t flood[2], other[2]; /* source, destination */
	} ways[] = {
		{ dp_handoff_forward, { 0x0a000305, DEVELOPMENT }, { 0x0a000105, PRODUCTION } },
		{ dp_handoff_esp, { 0xc6336465, LINK_UPLINK }, { 0xc6336466, LINK_UPLINK } },
		{ dp_handoff_egress_out, { 0x0a000300, remote() }, { 0x0a000105, remote() } },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(ways); i++) {
		unsigned flooded = 0, lost = 0;

		setup();
		for (unsigned loop = 0; loop < 3000; loop++) {
			for (unsigned k = 0; k < 10; k++) /* of many sources where they are pods */
				flooded += cross(ways[i].stage,
				                 ways[i].flood[0] + (i == 1 ? 0 : (loop + k) % 200),
				                 ways[i].flood[1], DP_BURST);
			lost += 2 - cross(ways[i].stage, ways[i].other[0], ways[i].other[1], 2);
			drain(DP_BURST);
		}
		assert_int_equal(lost, 0);
		/* and the home has always something to do */
		assert_in_range(flooded, 2900 * (DP_BURST - 2), 3000 * DP_BURST + QUEUE);
		teardown();
	}
}

/* With the queue empty again all is as in the beginning. */
static void half_of_it_is_anybodys(void **state)
{
	unsigned crossed = 0, again = 0;

	(void)state;
	setup();
	for (unsigned i = 0; i < QUEUE / DP_BURST; i++)
		crossed += cross(dp_handoff_forward, 0x0a000305, DEVELOPMENT, DP_BURST);
	assert_in_range(crossed, QUEUE / 2, QUEUE / 2 + QUEUE / 2 / DP_HANDOFF_CLASSES);
	for (unsigned i = 0; i < QUEUE / DP_BURST; i++)
		drain(DP_BURST);
	for (unsigned i = 0; i < QUEUE / DP_BURST; i++)
		again += cross(dp_handoff_forward, 0x0a000305, DEVELOPMENT, DP_BURST);
	assert_int_equal(again, crossed);
	teardown();
}

/* Behind a commit that has an environment no more its tunnel's keys are still there, until their
 * home takes them down: nobody else may touch them. */
static void keys_of_a_former_environment_are_their_homes(void **state)
{
	struct dp_tunnel tunnels[2] = { { .environment = 0 }, { .environment = DP_NONE_SLOT } };

	(void)state;
	setup();
	x.sender.tunnels = tunnels;
	x.generation.by_slot[0] = NULL;
	memset(&x.batch, 0, sizeof(x.batch));
	x.batch.n = 1;
	x.batch.p[0] = (struct dp_pkt){ .m = &x.buffer, .l3 = x.l3[0], .tunnel = 0 };
	dp_handoff_openvpn(&x.sender, &x.batch);
	assert_int_equal(x.batch.p[0].verdict, DP_TAKEN);
	x.batch.p[0] = (struct dp_pkt){ .m = &x.buffer, .l3 = x.l3[0], .tunnel = 0 };
	dp_handoff_openvpn_final(&x.sender, &x.batch);
	assert_int_equal(x.batch.p[0].verdict, DP_HANDOFF_LOOP);
	/* it has none: refused here */
	x.batch.p[0] = (struct dp_pkt){ .m = &x.buffer, .l3 = x.l3[0], .tunnel = 1 };
	dp_handoff_openvpn(&x.sender, &x.batch);
	assert_int_equal(x.batch.p[0].verdict, DP_OK);
	teardown();
}

/* A burst for three workers: each of the others gets its own in the order in which they came; what
 * nobody is at home to stays. */
static void a_burst_is_sorted_by_homes(void **state)
{
	static const uint8_t homes[] = { 2, 1, 0, 1, 9, 2, 2, 1 };
	const unsigned n = RTE_DIM(homes);
	struct dp_worker third = { .index = 2 }, *workers[3] = { &x.sender, &x.home, &third };
	struct rte_mbuf buffers[RTE_DIM(homes)];
	void *came[3][DP_BURST];
	unsigned count[3] = { 0 };

	(void)state;
	setup();
	third.handoff_in = rte_ring_create("third", QUEUE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	assert_non_null(third.handoff_in);
	rte_free(x.sender.handoff_shares);
	x.sender.handoff_shares = dp_handoff_shares_create(3, SOCKET_ID_ANY);
	assert_non_null(x.sender.handoff_shares);
	x.sender.workers = workers;
	x.sender.worker_count = 3;
	memset(&x.batch, 0, sizeof(x.batch));
	x.batch.n = n;
	for (unsigned i = 0; i < n; i++) {
		x.l3[i][20] = (uint8_t)(homes[i] << 2);
		x.batch.p[i] = (struct dp_pkt){
			.m = &buffers[i], .l3 = x.l3[i], .l3_length = 28, .esp = x.l3[i] + 20
		};
	}
	dp_handoff_esp(&x.sender, &x.batch);
	assert_int_equal(rte_ring_dequeue_burst(x.home.handoff_in, came[1], DP_BURST, NULL), 3);
	assert_int_equal(rte_ring_dequeue_burst(third.handoff_in, came[2], DP_BURST, NULL), 3);
	assert_int_equal(x.count.handoffs, 6);
	for (unsigned i = 0; i < n; i++) {
		bool is_here = homes[i] == 0 || homes[i] > 2;

		assert_int_equal(x.batch.p[i].verdict, is_here ? DP_OK : DP_TAKEN);
		if (!is_here)
			assert_ptr_equal(came[homes[i]][count[homes[i]]++], &buffers[i]);
	}
	dp_batch_compact(&x.sender, &x.batch);
	assert_int_equal(x.batch.n, 2);
	assert_ptr_equal(x.batch.p[0].m, &buffers[2]);
	assert_ptr_equal(x.batch.p[1].m, &buffers[4]);
	rte_ring_free(third.handoff_in);
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_sorted_by_homes),
		cmocka_unit_test(a_flood_leaves_room_for_others),
		cmocka_unit_test(half_of_it_is_anybodys),
		cmocka_unit_test(keys_of_a_former_environment_are_their_homes),
	};

	return cmocka_run_group_tests_name("handoff", tests, link_eal, NULL);
}
