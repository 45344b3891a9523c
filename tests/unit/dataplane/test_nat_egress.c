/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Egress at its limits: 200,000 live connections to four destinations through one static address,
 * each of which gets its own answers; a destination whose ports run out, and the others beside it;
 * and the policy, address by address.
 */
#include "dataplane/nat_egress.h"

#include <netinet/in.h>
#include <stdlib.h>

#include <rte_byteorder.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "dataplane/port.h"
#include "dataplane/portpool.h"
#include "dataplane/share.h"
#include "tests/unit/dataplane/nat_packet.h"

#define POD 0x0a010000u    /* 10.1.0.0, and the others of 10.1.0.0/16 */
#define REMOTE 0xc6336400u /* 198.51.100.0 to .3 */
#define STATIC 0xcb00710au /* 203.0.113.10 */
#define UPLINK 0xcb007109u
#define CLUSTER 0x0a000002u
#define LIVE 200000u
#define SESSIONS 300000u
#define DESTINATIONS 4u
#define RESERVED 100u
#define ALL_PORTS (65536u - 1024u - 1u - RESERVED) /* without 4500 */
#define PROD 3
#define DEV 4

static struct {
	struct dp_worker w;
	struct dp_worker *workers[1];
	struct dp_counters count;
	struct dp_generation generation;
	struct dp_environment environments[2];
	struct dp_pod pods[4];
	struct dp_port ports[DP_PORT_COUNT];
	struct dp_batch batch;
	struct rte_mbuf mbuf[DP_BURST];
	uint8_t packet[DP_BURST][128];
	uint32_t connection_at[DESTINATIONS][65536]; /* + 1; 0: none */
	uint16_t *port_of;
} x;

static struct ipc_prefix prefix(uint32_t address, uint8_t length)
{
	return (struct ipc_prefix){ .address_be = rte_cpu_to_be_32(address), .length = length };
}

static void set_policy(const struct ipc_egress *rules, uint32_t count,
                       const struct ipc_inbound *inbound, uint32_t inbound_count)
{
	const struct dp_egress_parts parts = { .rules = rules,
		                               .rule_count = count,
		                               .inbound = inbound,
		                               .inbound_count = inbound_count,
		                               .generation = &x.generation,
		                               .ports = x.ports };
	char why[256];

	dp_egress_destroy(x.generation.egress);
	x.generation.egress = NULL;
	assert_int_equal(dp_egress_build(&parts, &x.generation.egress, why), 0);
}

static int set_up(void **state)
{
	struct ipc_egress rule = { .address_count = 1, .source_count = 1 };

	(void)state;
	memset(&x, 0, sizeof(x));
	x.w.count = &x.count;
	x.w.now_s = 5000;
	x.w.now_ns = 5000 * 1000000000ull;
	x.w.worker_count = 1;
	x.workers[0] = &x.w;
	x.w.workers = x.workers;
	x.w.generation = &x.generation;
	x.w.ports = x.ports;
	x.ports[DP_PORT_UPLINK] = (struct dp_port){ .mtu = 1500,
		                                    .address_be = rte_cpu_to_be_32(UPLINK),
		                                    .mask_be = rte_cpu_to_be_32(0xffffff00) };
	x.ports[DP_PORT_CLUSTER] = (struct dp_port){ .mtu = 8896,
		                                     .address_be = rte_cpu_to_be_32(CLUSTER),
		                                     .mask_be = rte_cpu_to_be_32(0xffffff00) };
	x.generation.pod_mask = RTE_DIM(x.pods) - 1;
	x.generation.pods = x.pods;
	x.generation.environments = x.environments;
	x.generation.environment_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		x.environments[i] = (struct dp_environment){ .slot = (uint16_t)(PROD + i),
			                                     .session_quota = i ? 10 : UINT32_MAX,
			                                     .source_count = 1 };
		x.environments[i].sources[0] = prefix(0x0a010000u + (i << 15), i ? 24 : 16);
		x.generation.by_slot[PROD + i] = &x.environments[i];
	}
	rule.addresses_be[0] = rte_cpu_to_be_32(STATIC);
	rule.sources[0] = prefix(0x0a000000, 8);
	set_policy(&rule, 1, NULL, 0);
	x.port_of = calloc(SESSIONS, sizeof(*x.port_of));
	assert_non_null(x.port_of);
	assert_int_equal(dp_shares_create(&x.w.shares, -1), 0);
	assert_int_equal(dp_flow_table_create(&x.w.flows, SESSIONS, 1, -1), 0);
	assert_int_equal(dp_portpool_create(&x.w.portpool, x.w.flows, 2, -1), 0);
	dp_shares_configure(&x.w);
	for (unsigned i = 0; i < RESERVED; i++)
		dp_portpool_reserve(x.w.portpool, (uint16_t)(10000 + i));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dp_egress_destroy(x.generation.egress);
	x.generation.egress = NULL; /* nothing is allowed any more */
	for (int more = dp_nat_sweep(&x.w); more;)
		more = dp_nat_sweep_on(&x.w);
	assert_int_equal(x.w.flows->count, 0);
	assert_int_equal(dp_portpool_blocks(x.w.portpool), 0);
	for (unsigned i = 0; i < DP_SHARES; i++) {
		assert_int_equal(x.w.shares[i].sessions, 0);
		assert_int_equal(x.w.shares[i].closed, 0);
	}
	dp_flow_table_destroy(x.w.flows);
	dp_portpool_destroy(x.w.portpool);
	rte_free(x.w.shares);
	free(x.port_of);
	return 0;
}

static void push(const struct nat_packet *packet)
{
	unsigned i = x.batch.n++, length = nat_build(x.packet[i], packet);
	struct dp_pkt *p = &x.batch.p[i];

	memset(p, 0, sizeof(*p));
	x.mbuf[i].buf_addr = x.packet[i];
	p->m = &x.mbuf[i];
	p->l3 = x.packet[i];
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = packet->protocol;
	p->environment = p->tunnel = DP_NONE_SLOT;
}

static uint32_t remote_of(uint32_t connection)
{
	return connection % DESTINATIONS;
}

/* Connections [FROM, TO), each with a pod's address and port of its own. Returns the verdict of the
 * last one. */
static uint8_t connect_all(uint32_t from, uint32_t to)
{
	uint8_t verdict = DP_OK;

	for (uint32_t next = from; next < to; next += x.batch.n) {
		x.batch.n = 0;
		for (uint32_t c = next; c < to && x.batch.n < DP_BURST; c++)
			push(&(struct nat_packet){ .source = POD + c / 1000,
			                           .destination = REMOTE + remote_of(c),
			                           .source_port = (uint16_t)(20000 + c % 1000),
			                           .destination_port = 443,
			                           .protocol = TCP,
			                           .flags = SYN,
			                           .sequence = c });
		dp_nat_egress_out(&x.w, &x.batch);
		for (unsigned i = 0; i < x.batch.n; i++) {
			const uint8_t *ip = x.packet[i];
			uint32_t c = next + i, *at;

			verdict = x.batch.p[i].verdict;
			if (verdict != DP_OK)
				continue;
			assert_true(nat_is_right(ip, x.batch.p[i].l3_length));
			assert_int_equal(nat_get32(ip + 12), STATIC);
			assert_int_equal(nat_get32(ip + 16), REMOTE + remote_of(c));
			x.port_of[c] = nat_get16(ip + 20);
			at = &x.connection_at[remote_of(c)][x.port_of[c]];
			assert_true(x.port_of[c] >= 1024 && x.port_of[c] != 4500);
			assert_true(x.port_of[c] < 10000 || x.port_of[c] >= 10000 + RESERVED);
			assert_int_equal(*at, 0); /* nobody else's */
			*at = c + 1;
		}
	}
	return verdict;
}

/* What each destination answers goes to who asked. */
static void answer_all(uint32_t from, uint32_t to, uint8_t flags)
{
	for (uint32_t next = from; next < to; next += x.batch.n) {
		x.batch.n = 0;
		for (uint32_t c = next; c < to && x.batch.n < DP_BURST; c++)
			push(&(struct nat_packet){ .source = REMOTE + remote_of(c),
			                           .destination = STATIC,
			                           .source_port = 443,
			                           .destination_port = x.port_of[c],
			                           .protocol = TCP,
			                           .flags = flags,
			                           .sequence = 7,
			                           .acknowledgement = c + 1 });
		dp_nat_egress_in(&x.w, &x.batch);
		for (unsigned i = 0; i < x.batch.n; i++) {
			const uint8_t *ip = x.packet[i];
			uint32_t c = next + i;

			assert_int_equal(x.batch.p[i].verdict, DP_OK);
			assert_true(nat_is_right(ip, x.batch.p[i].l3_length));
			assert_int_equal(nat_get32(ip + 16), POD + c / 1000);
			assert_int_equal(nat_get16(ip + 22), 20000 + c % 1000);
		}
	}
}

static void two_hundred_thousand_to_four_destinations(void **state)
{
	(void)state;
	assert_int_equal(connect_all(0, LIVE), DP_OK);
	assert_int_equal(x.w.flows->count, LIVE);
	assert_int_equal(x.count.sessions_now, LIVE);
	answer_all(0, LIVE, SYN | ACK);
}

static void one_destination_runs_out(void **state)
{
	uint32_t full = ALL_PORTS * DESTINATIONS, cursor = 0, used = 0, to_first = 0;
	struct dp_port_use uses[64];

	(void)state;
	assert_int_equal(dp_portpool_capacity(x.w.portpool), ALL_PORTS);
	assert_int_equal(connect_all(0, full), DP_OK); /* to the last port of each */
	assert_int_equal(connect_all(full, full + 1), DP_EGRESS_PORTS);
	assert_int_equal(x.w.flows->count, full);
	do {
		unsigned n = dp_portpool_list(x.w.portpool, DP_SCOPE_EGRESS, &cursor, uses, 64);

		for (unsigned i = 0; i < n; i++) {
			used += uses[i].ports;
			if (uses[i].endpoint.remote_be == rte_cpu_to_be_32(REMOTE))
				to_first += uses[i].ports;
		}
	} while (cursor);
	assert_int_equal(used, full);
	assert_int_equal(to_first, ALL_PORTS);
	/* one of them is refused by its host: its port is another one's, soon */
	answer_all(4, 5, RST | ACK);
	assert_int_equal(connect_all(full, full + 1), DP_EGRESS_PORTS);
	x.w.now_s += DP_TIMEOUT_CLOSED_S + 1;
	x.w.now_ns += (DP_TIMEOUT_CLOSED_S + 1) * 1000000000ull;
	while (x.w.flows->count == full)
		dp_nat_expire(&x.w, 1000);
	x.connection_at[0][x.port_of[4]] = 0;
	assert_int_equal(connect_all(full, full + 1), DP_OK);
	assert_int_equal(x.port_of[full], x.port_of[4]);
}

/* Development at its quota: production does not notice. */
static void quotas_are_apart(void **state)
{
	uint8_t verdict = DP_OK;

	(void)state;
	for (uint16_t i = 0; i < 100; i++) {
		x.batch.n = 0;
		push(&(struct nat_packet){ .source = 0x0a018007,
		                           .destination = REMOTE,
		                           .source_port = (uint16_t)(1000 + i),
		                           .destination_port = 53,
		                           .protocol = UDP });
		dp_nat_egress_out(&x.w, &x.batch);
		verdict = x.batch.p[0].verdict;
		assert_int_equal(verdict, i < 10 ? DP_OK : DP_SESSION_QUOTA);
	}
	assert_int_equal(x.w.shares[DEV].sessions, 10);
	assert_int_equal(connect_all(0, 1000), DP_OK);
	assert_int_equal(x.w.shares[PROD].sessions, 1000);
}

/* Who is drained keeps what it has; its neighbour, and who belongs to nobody, do not notice. */
static void drained_sources(void **state)
{
	struct dp_environment *drained = &x.environments[0];

	(void)state;
	assert_int_equal(connect_all(0, 100), DP_OK);
	drained->flags = IPC_ENVIRONMENT_DRAINING;
	assert_int_equal(connect_all(100, 101), DP_DRAINING);
	answer_all(1, 100, SYN | ACK);
	assert_int_equal(x.w.shares[PROD].sessions, 100);
	for (unsigned i = 0; i < 2; i++) {
		x.batch.n = 0;
		push(&(struct nat_packet){ .source = i ? 0x0a018007 : 0x0a630001,
		                           .destination = REMOTE,
		                           .source_port = 1000,
		                           .destination_port = 53,
		                           .protocol = UDP });
		dp_nat_egress_out(&x.w, &x.batch);
		assert_int_equal(x.batch.p[0].verdict, DP_OK);
	}
	answer_all(0, 1, RST | ACK);
	assert_int_equal(x.w.shares[PROD].sessions, 100);
	assert_int_equal(x.w.shares[PROD].closed, 1);
	/* to another environment's account, and whole */
	dp_session_set_environment(&x.w, 0, DEV);
	assert_int_equal(x.w.shares[PROD].closed, 0);
	assert_int_equal(x.w.shares[DEV].closed, 1);
}

/* Silence ends a session of each protocol when its time is over, not a second before. */
static void silence_ends_sessions(void **state)
{
	static const struct {
		uint8_t protocol;
		uint32_t seconds;
	} cases[] = { { TCP, 240 }, { UDP, 300 }, { IPPROTO_ICMP, 60 } };

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		const struct dp_flow_key key __rte_aligned(
			16) = { .source_be = rte_cpu_to_be_32(POD),
			        .destination_be = rte_cpu_to_be_32(REMOTE),
			        .source_port_be = rte_cpu_to_be_16(7),
			        .protocol = cases[i].protocol,
			        .direction = DP_FLOW_OUTWARD,
			        .environment = DP_SCOPE_EGRESS };
		struct dp_flow *f = NULL;

		dp_nat_expire(&x.w, 10);
		assert_int_equal(dp_nat_egress_open(&x.w, &key, 0, NULL, &f), DP_OK);
		for (uint32_t s = 1; s < cases[i].seconds; s++) {
			x.w.now_s++;
			assert_int_equal(dp_nat_expire(&x.w, 10), 0);
		}
		x.w.now_s++;
		assert_int_equal(dp_nat_expire(&x.w, 10), 1);
		assert_int_equal(x.w.flows->count, 0);
	}
}

static uint16_t pool_of(uint32_t source)
{
	const struct dp_egress *e = x.generation.egress;

	return dp_egress_find(e->sources, e->source_count, rte_cpu_to_be_32(source))->pool;
}

static uint16_t account_of(uint32_t source)
{
	const struct dp_egress *e = x.generation.egress;

	return dp_egress_find(e->sources, e->source_count, rte_cpu_to_be_32(source))->environment;
}

static bool is_refused(uint32_t destination)
{
	const struct dp_egress *e = x.generation.egress;

	return dp_egress_find(e->destinations, e->destination_count, rte_cpu_to_be_32(destination))
	        ->is_refused;
}

static void policy_by_address(void **state)
{
	struct ipc_egress rules[2] = {
		{ .address_count = 2, .source_count = 2, .allow_count = 2 },
		{ .environment = "dev", .address_count = 1, .source_count = 1 }
	};

	(void)state;
	rules[0].addresses_be[0] = rte_cpu_to_be_32(STATIC);
	rules[0].addresses_be[1] = rte_cpu_to_be_32(STATIC + 1);
	rules[0].sources[0] = prefix(0x0a010000, 16);
	rules[0].sources[1] = prefix(0xffffff00, 24); /* to the end of all addresses */
	rules[0].allow[0] = prefix(0x0a090000, 16);
	rules[0].allow[1] = prefix(UPLINK & 0xffffff00, 24);
	rules[1].addresses_be[0] = rte_cpu_to_be_32(STATIC + 2);
	rules[1].sources[0] = prefix(0x0a018000, 24);
	set_policy(rules, 2, NULL, 0);
	assert_int_equal(pool_of(0), DP_NONE_SLOT);
	assert_int_equal(pool_of(0x0a00ffff), DP_NONE_SLOT);
	assert_int_equal(pool_of(0x0a010000), 0);
	assert_int_equal(pool_of(0x0a017fff), 0);
	assert_int_equal(pool_of(0x0a018000), 1);
	assert_int_equal(pool_of(0x0a0180ff), 1);
	assert_int_equal(pool_of(0x0a018100), 0);
	assert_int_equal(pool_of(0x0a01ffff), 0);
	assert_int_equal(pool_of(0x0a020000), DP_NONE_SLOT);
	assert_int_equal(pool_of(0xffffffff), 0);
	assert_int_equal(account_of(0x0a010001), PROD);
	assert_int_equal(account_of(0x0a018001), DEV);
	assert_int_equal(account_of(0xffffffff), DP_NONE_SLOT);

	assert_false(is_refused(REMOTE));
	assert_true(is_refused(0x0a000000) && is_refused(0x0affffff) && !is_refused(0x0b000000));
	assert_true(is_refused(0xac100000) && is_refused(0xac1fffff) && !is_refused(0xac200000));
	assert_true(is_refused(0xc0a80000) && !is_refused(0xc0a90000));
	assert_true(is_refused(0xa9fea9fe) && is_refused(0x64400000) && !is_refused(0x64800000));
	assert_true(!is_refused(0x0a090001) && is_refused(0x0a0a0000)); /* allowed */
	assert_true(is_refused(UPLINK) && !is_refused(UPLINK + 1));     /* never our own */

	/* a source keeps its address; all of them are used; another one moves nobody else */
	{
		struct dp_egress_pool two = x.generation.egress->pools[0], three = two;
		unsigned first = 0, moved = 0;

		three.addresses_be[three.count++] = rte_cpu_to_be_32(STATIC + 9);
		for (uint32_t i = 0; i < 3000; i++) {
			uint32_t pod_be = rte_cpu_to_be_32(POD + i);
			uint32_t before_be = dp_egress_address(&two, pod_be);
			uint32_t after_be = dp_egress_address(&three, pod_be);

			first += before_be == two.addresses_be[0];
			moved += before_be != after_be;
			assert_true(after_be == before_be ||
			            after_be == rte_cpu_to_be_32(STATIC + 9));
		}
		assert_in_range(first, 1350, 1650);
		assert_in_range(moved, 850, 1150);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_hundred_thousand_to_four_destinations, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(one_destination_runs_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quotas_are_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(drained_sources, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence_ends_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(policy_by_address, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, nat_eal, NULL);
}
