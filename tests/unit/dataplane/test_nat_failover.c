/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of sessions when their tunnel fails: who goes on, who is told what, and how much of
 * it at once. */
#include "dataplane/nat_failover.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <rte_malloc.h>

#include "dataplane/nat_session.h"
#include "dataplane/share.h"
#include "dataplane/wire.h"
#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define SLOT 2u
#define OTHER_SLOT 3u
#define A 1u
#define B 2u
#define INNER 0x0a030005u
#define INNER_2 0x0a030006u
#define TARGET 0xc0a8641eu
#define SESSIONS 5000u

static struct {
	struct link_world *x;
	struct dp_worker *w;
	struct dp_environment_state *environments;
	struct dp_environment list[2];
	struct dp_forward forwards[8];
} s;

static void add_forward(uint8_t protocol, uint16_t port, uint16_t environment)
{
	uint64_t key = dp_forward_key(htonl(LINK_POD), protocol, htons(port));
	uint32_t at = dp_crc8(key) & 7;

	while (s.forwards[at].key)
		at = (at + 1) & 7;
	s.forwards[at] = (struct dp_forward){ .key = key,
		                              .to_address_be = htonl(TARGET),
		                              .to_port_be = htons(80),
		                              .environment = environment,
		                              .tunnel = DP_NONE_SLOT };
}

static void set_tunnel(unsigned slot, uint32_t inner)
{
	s.x->tunnels[slot] = (struct dp_tunnel){
		.inner_be = htonl(inner), .environment = SLOT, .is_up = 1, .is_usable = 1
	};
}

static int set_up(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	s.x = link_create();
	if (!s.x)
		return -1;
	s.w = &s.x->w;
	s.environments = aligned_alloc(64, 8 * sizeof(*s.environments));
	memset(s.environments, 0, 8 * sizeof(*s.environments));
	s.w->environments = s.environments;
	s.environments[SLOT].active = A;
	if (dp_shares_create(&s.w->shares, -1) != 0)
		return -1;
	s.list[0] = (struct dp_environment){ .slot = SLOT, .session_quota = SESSIONS };
	s.list[1] = (struct dp_environment){ .slot = OTHER_SLOT };
	s.x->generation.environments = s.list;
	s.x->generation.environment_count = 2;
	s.x->generation.by_slot[SLOT] = &s.list[0];
	s.x->generation.by_slot[OTHER_SLOT] = &s.list[1];
	s.x->generation.forwards = s.forwards;
	s.x->generation.forward_mask = 7;
	set_tunnel(A, INNER);
	set_tunnel(B, INNER_2);
	add_forward(TCP, 33000, SLOT);
	add_forward(UDP, 53, SLOT);
	if (dp_flow_table_create(&s.w->flows, SESSIONS, 1, -1) != 0 ||
	    dp_portpool_create(&s.w->portpool, s.w->flows, 2, -1) != 0)
		return -1;
	dp_shares_configure(s.w);
	return 0;
}

/* Whatever a test did: what is left can be ended, and then nothing is. */
static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(s.w->shares[SLOT].sessions, s.w->flows->count);
	assert_int_equal(s.x->count.sessions_now, s.w->flows->count);
	for (uint32_t i = 0; i < s.w->flows->top; i++)
		if (dp_flow_at(s.w->flows, i, DP_FLOW_OUTWARD)->state != DP_FLOW_FREE)
			dp_session_end(s.w, i);
	assert_int_equal(s.w->flows->count, 0);
	assert_int_equal(s.w->shares[SLOT].sessions, 0);
	assert_int_equal(dp_portpool_blocks(s.w->portpool), 0);
	dp_flow_table_destroy(s.w->flows);
	dp_portpool_destroy(s.w->portpool);
	link_clear(s.x);
	free(s.environments);
	rte_free(s.w->shares);
	return link_destroy(s.x) ? -1 : 0;
}

/* A session through A: STATE as TCP tracking leaves it. */
static struct dp_flow *add(uint8_t protocol, uint16_t client_port, enum dp_flow_state flow_state)
{
	struct dp_flow_key key = { .source_be = htonl(LINK_CLIENT),
		                   .destination_be = htonl(LINK_POD),
		                   .source_port_be = htons(client_port),
		                   .destination_port_be = htons(protocol == TCP ? 33000 : 53),
		                   .protocol = protocol,
		                   .direction = DP_FLOW_OUTWARD,
		                   .environment = SLOT };
	struct dp_session_plan plan = { .outward = &key,
		                        .endpoint = { .inner_be = htonl(INNER),
		                                      .remote_be = htonl(TARGET),
		                                      .remote_port_be = htons(80),
		                                      .scope = SLOT,
		                                      .protocol = protocol },
		                        .tunnel = A,
		                        .environment = SLOT };
	struct dp_flow *out;

	assert_int_equal(dp_session_create(s.w, &plan, &out), DP_OK);
	out->state = dp_flow_other(out)->state = (uint8_t)flow_state;
	out->acknowledged = 7000;
	out->sequence_end = 2000;
	dp_flow_other(out)->sequence_end = 7000;
	dp_flow_other(out)->acknowledged = 2000;
	return out;
}

static void fail_a(void)
{
	s.x->tunnels[A].is_usable = 0;
	s.x->tunnels[A].liveness.state = IPC_LIVENESS_DEAD;
	s.environments[SLOT].active = B;
	s.environments[SLOT].moved_ns = s.w->now_ns;
	s.environments[SLOT].is_settled = 0;
	dp_nat_failover_begin(s.w);
}

/* Loops until the sweep has ended; returns how many it took. What is queued is sent by each. */
static unsigned sweep(void)
{
	unsigned loops = 0;

	while (dp_nat_failover_sweep(s.w)) {
		assert_true(++loops < 10000);
		link_clear(s.x);
	}
	return loops;
}

static void expect_reset(unsigned i, uint8_t flags, uint32_t sequence, uint32_t acknowledgement)
{
	const struct dp_pkt *p = &s.x->answers.p[i];

	assert_true(i < s.x->answers.n);
	assert_int_equal(p->port, DP_PORT_CLUSTER);
	assert_int_equal(p->l3_length, 40);
	assert_true(nat_is_right(p->l3, 40));
	assert_int_equal(nat_get32(p->l3 + 12), LINK_POD);
	assert_int_equal(nat_get32(p->l3 + 16), LINK_CLIENT);
	assert_int_equal(nat_get16(p->l3 + 20), 33000);
	assert_int_equal(nat_get32(p->l3 + 24), sequence);
	assert_int_equal(nat_get32(p->l3 + 28), acknowledgement);
	assert_int_equal(p->l3[33], flags);
}

static void resets_at_the_expected_number(void **state)
{
	struct dp_flow *out;

	(void)state;
	add(TCP, 1, DP_FLOW_ESTABLISHED);
	out = add(TCP, 2, DP_FLOW_CLOSING); /* not all was acknowledged, across the wrap */
	out->acknowledged = UINT32_MAX - 9;
	dp_flow_other(out)->sequence_end = 90;
	out = add(TCP, 3, DP_FLOW_ANSWERED);
	fail_a();
	dp_nat_failover_sweep(s.w);
	assert_int_equal(s.x->answers.n, 4);
	expect_reset(0, RST, 7000, 0);
	expect_reset(1, RST, UINT32_MAX - 9, 0);
	expect_reset(2, RST, 90, 0);
	expect_reset(3, RST, 7000, 0);
	assert_int_equal(s.w->flows->count, 0);
	assert_int_equal(s.environments[SLOT].sessions_reset, 3);
	assert_int_equal(s.x->count.sessions_reset, 3);
	sweep();
	assert_true(s.environments[SLOT].is_settled);
	assert_int_equal(s.environments[SLOT].sessions_kept, 0);
}

/* As long as a dead tunnel's sessions are not given up, the move is not over. */
static void waits_for_what_may_be_late(void **state)
{
	struct dp_environment_state *e = &s.environments[SLOT];

	(void)state;
	add(TCP, 1, DP_FLOW_ESTABLISHED);
	fail_a();
	e->moved_from = A;
	e->move_reason = IPC_MOVE_DEAD;
	s.x->tunnels[A].is_usable = 1;
	sweep();
	assert_int_equal(s.x->count.sessions_reset, 0);
	assert_false(e->is_settled);
	s.x->tunnels[A].is_usable = 0;
	dp_nat_failover_begin(s.w);
	sweep();
	assert_true(e->is_settled);
	assert_int_equal(e->sessions_reset, 1);
	assert_int_equal(e->sessions_kept, 0);
}

/* A SYN comes again, and opens a session through another tunnel; where there is none, it is
 * refused. */
static void lets_connections_open_elsewhere(void **state)
{
	(void)state;
	add(TCP, 1, DP_FLOW_OPENING);
	fail_a();
	dp_nat_failover_sweep(s.w);
	assert_int_equal(s.x->answers.n, 0);
	assert_int_equal(s.w->flows->count, 0);
	sweep();
	add(TCP, 1, DP_FLOW_OPENING);
	fail_a();
	s.environments[SLOT].active = DP_NONE_SLOT;
	dp_nat_failover_sweep(s.w);
	assert_int_equal(s.x->answers.n, 1);
	expect_reset(0, RST | ACK, 0, 2000);
}

/* What is over keeps its port; UDP ends without a word. */
static void knows_what_needs_no_reset(void **state)
{
	(void)state;
	add(TCP, 1, DP_FLOW_TIME_WAIT);
	add(TCP, 2, DP_FLOW_CLOSED);
	add(UDP, 3, DP_FLOW_UDP);
	fail_a();
	sweep();
	assert_int_equal(s.x->answers.n, 0);
	assert_int_equal(s.w->flows->count, 2);
	assert_int_equal(s.x->count.sessions_reset, 0);
}

static void takes_sessions_along(void **state)
{
	struct dp_flow *tcp = add(TCP, 1, DP_FLOW_ESTABLISHED), *udp = add(UDP, 2, DP_FLOW_UDP);

	(void)state;
	s.list[0].flags = IPC_ENVIRONMENT_KEEP_SESSIONS;
	set_tunnel(B, INNER);
	fail_a();
	sweep();
	assert_int_equal(s.x->answers.n, 0);
	assert_int_equal(tcp->tunnel, B);
	assert_int_equal(dp_flow_other(tcp)->tunnel, B);
	assert_int_equal(udp->tunnel, B);
	assert_int_equal(s.environments[SLOT].sessions_kept, 2);
	assert_int_equal(s.x->count.sessions_moved, 2);
	assert_int_equal(s.environments[SLOT].greeting_count, 1); /* its host hears of it */
	assert_int_equal(s.environments[SLOT].greetings[0].host_be, htonl(TARGET));
	assert_int_equal(s.environments[SLOT].greetings[0].tunnel, B);
	/* back again, by hand: A is alive */
	set_tunnel(A, INNER);
	s.environments[SLOT].active = A;
	s.environments[SLOT].is_settled = 0;
	dp_nat_failover_begin(s.w);
	sweep();
	assert_int_equal(tcp->tunnel, A);
	assert_int_equal(s.environments[SLOT].sessions_kept, 2);
	/* another address inside: it is no way for them, but A still is */
	set_tunnel(B, INNER_2);
	s.environments[SLOT].active = B;
	dp_nat_failover_begin(s.w);
	sweep();
	assert_int_equal(tcp->tunnel, A);
	fail_a();
	sweep();
	assert_int_equal(s.w->flows->count, 0);
	assert_int_equal(s.environments[SLOT].sessions_reset, 1);
}

/* Equal addresses do not mean that a customer routes them. */
static void does_not_take_along_unasked(void **state)
{
	struct dp_flow *tcp = add(TCP, 1, DP_FLOW_ESTABLISHED);

	(void)state;
	set_tunnel(B, INNER);
	s.environments[SLOT].active = B;
	dp_nat_failover_begin(s.w);
	sweep();
	assert_int_equal(tcp->tunnel, A); /* it works there */
	fail_a();
	sweep();
	assert_int_equal(s.x->count.sessions_reset, 1);
}

/* A few in each loop; a loop never queues more than a burst, and nothing gets lost between. */
static void is_bounded(void **state)
{
	unsigned resets = 0, loops = 0;

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++)
		add(TCP, (uint16_t)(1 + i), DP_FLOW_ESTABLISHED);
	fail_a();
	while (dp_nat_failover_sweep(s.w)) {
		assert_in_range(s.x->answers.n, 0, DP_BURST);
		resets += s.x->answers.n;
		loops++;
		link_clear(s.x);
	}
	assert_int_equal(resets, SESSIONS);
	assert_int_equal(s.environments[SLOT].sessions_reset, SESSIONS);
	assert_in_range(loops, SESSIONS / DP_BURST, SESSIONS / DP_BURST * 2);
	/* the table is whole again */
	add(TCP, 1, DP_FLOW_ESTABLISHED);
}

/* Another move in the middle: all are looked at again, and counted once. */
static void begins_anew(void **state)
{
	(void)state;
	s.list[0].flags = IPC_ENVIRONMENT_KEEP_SESSIONS;
	set_tunnel(B, INNER);
	for (unsigned i = 0; i < SESSIONS; i++)
		add(TCP, (uint16_t)(1 + i), DP_FLOW_ESTABLISHED);
	fail_a();
	assert_true(dp_nat_failover_sweep(s.w));
	set_tunnel(A, INNER);
	s.environments[SLOT].active = A;
	s.x->tunnels[B].is_usable = 0;
	dp_nat_failover_begin(s.w);
	sweep();
	for (unsigned i = 0; i < SESSIONS; i++)
		assert_int_equal(dp_flow_at(s.w->flows, i, DP_FLOW_OUTWARD)->tunnel, A);
	assert_int_equal(s.environments[SLOT].sessions_kept, SESSIONS);
	assert_int_equal(s.x->count.sessions_reset, 0);
}

/* No buffer: a reset waits for one, the session with it. */
static void waits_for_buffers(void **state)
{
	struct rte_mbuf *taken[1 << 12];
	unsigned n = 0;

	(void)state;
	add(TCP, 1, DP_FLOW_ESTABLISHED);
	fail_a();
	while (n < RTE_DIM(taken) && (taken[n] = rte_pktmbuf_alloc(s.w->mbufs)))
		n++;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(dp_nat_failover_sweep(s.w), 1);
	assert_int_equal(s.w->flows->count, 1);
	rte_pktmbuf_free_bulk(taken, n);
	sweep();
	assert_int_equal(s.w->flows->count, 0);
	assert_int_equal(s.x->count.sessions_reset, 1);
}

/* A forward whose address belongs to another environment now is no way for this one's sessions. */
static void never_crosses_environments(void **state)
{
	(void)state;
	s.list[0].flags = s.list[1].flags = IPC_ENVIRONMENT_KEEP_SESSIONS;
	set_tunnel(B, INNER);
	s.x->tunnels[B].environment = OTHER_SLOT;
	s.environments[OTHER_SLOT].active = B;
	add(TCP, 1, DP_FLOW_ESTABLISHED);
	memset(s.forwards, 0, sizeof(s.forwards));
	add_forward(TCP, 33000, OTHER_SLOT);
	fail_a();
	s.environments[SLOT].active = DP_NONE_SLOT;
	sweep();
	assert_int_equal(s.x->count.sessions_moved, 0);
	assert_int_equal(s.x->count.sessions_reset, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(resets_at_the_expected_number),
		TEST(waits_for_what_may_be_late),
		TEST(lets_connections_open_elsewhere),
		TEST(knows_what_needs_no_reset),
		TEST(takes_sessions_along),
		TEST(does_not_take_along_unasked),
		TEST(is_bounded),
		TEST(begins_anew),
		TEST(waits_for_buffers),
		TEST(never_crosses_environments),
	};

	return cmocka_run_group_tests_name("nat_failover", tests, link_eal, NULL);
}
