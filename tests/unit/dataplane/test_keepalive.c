/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which SAs get a keepalive, when, and what is in it: under a clock of the test's. */
#include "dataplane/keepalive.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/port.h"
#include "dataplane/wire.h"
#include "tests/unit/dataplane/esp_world.h"

#define SECOND 1000000000ull
#define SPI 0x10000

struct state {
	struct world *x;
	struct dp_batch answers;
	struct dp_port ports[DP_PORT_COUNT];
};

static struct state *create(uint32_t capacity)
{
	static struct state s;

	memset(&s, 0, sizeof(s));
	s.x = world_create(0, capacity);
	s.x->w.answers = &s.answers;
	s.x->w.ports = s.ports;
	return &s;
}

static void clear(struct state *s)
{
	for (unsigned i = 0; i < s->answers.n; i++)
		rte_pktmbuf_free(s->answers.p[i].m);
	s->answers.n = 0;
}

static void destroy(struct state *s)
{
	clear(s);
	world_destroy(s->x);
}

/* Lets the time pass in loops of a millisecond and returns how many keepalives that made. */
static unsigned pass(struct state *s, uint64_t ns)
{
	uint64_t before = s->x->count.esp_keepalives, end_ns = s->x->w.now_ns + ns;

	while (s->x->w.now_ns < end_ns) {
		s->x->w.now_ns += DP_KEEPALIVE_STEP_NS;
		clear(s);
		dp_keepalive(&s->x->w);
	}
	return (unsigned)(s->x->count.esp_keepalives - before);
}

static void sends_one_byte_from_the_port_pair(void **state)
{
	static const uint8_t expected[29] = { 0x45, 0,    0,    29,   0,   0,  0x40, 0,  64,  17,
		                              0,    0,    203,  0,    113, 10, 198,  51, 100, 101,
		                              0x11, 0x95, 0x9c, 0x41, 0,   9,  0,    0,  0xff };
	struct state *s = create(8);
	struct ipc_sa_add add = world_add_request(IPC_OUT, SPI, IPC_AES128_GCM16, IPC_SA_UDP);
	const struct dp_pkt *p = &s->answers.p[0];
	uint8_t packet[29];

	(void)state;
	add.local_port_be = htons(4501);
	add.remote_port_be = htons(40001);
	assert_int_equal(world_add(s->x, &add, 1), 0);
	assert_int_equal(pass(s, DP_KEEPALIVE_NS), 1);
	assert_int_equal(s->answers.n, 1);
	assert_int_equal(p->m->pkt_len, sizeof(expected));
	assert_int_equal(p->port, DP_PORT_UPLINK);
	assert_int_equal(p->nexthop_be, htonl(WORLD_REMOTE));
	memcpy(packet, rte_pktmbuf_mtod(p->m, uint8_t *), sizeof(packet));
	assert_int_equal(dp_ipv4_sum(packet), 0xffff);
	memset(packet + 10, 0, 2);
	assert_memory_equal(packet, expected, sizeof(packet));
	destroy(s);
}

static void keeps_silent_while_others_speak(void **state)
{
	struct state *s = create(8);
	struct dp_sa_out *sa = world_add_out(s->x, 1, SPI, IPC_AES128_GCM16, IPC_SA_UDP);
	uint8_t inner[100];

	(void)state;
	for (unsigned i = 0; i < 10; i++) { /* 190 s with a packet each 19 s */
		assert_int_equal(pass(s, 19 * SECOND), 0);
		peer_inner(inner, sizeof(inner), 17, WORLD_INNER, WORLD_TARGET);
		world_push_inner(s->x, inner, sizeof(inner), 1);
		world_out(s->x);
		assert_int_equal(s->x->batch.p[0].verdict, DP_OK);
		world_clear(s->x);
	}
	/* then every 20 s, and used_ns remains that of packets */
	assert_int_equal(pass(s, 100 * SECOND), 5);
	assert_true(sa->used_ns == s->x->w.now_ns - 100 * SECOND);
	destroy(s);
}

static void chooses_current_sas_in_udp(void **state)
{
	struct state *s = create(64);
	struct dp_sa_out *old, *fresh;
	struct ipc_sa_id id;
	void *memory;

	(void)state;
	world_add_out(s->x, 1, SPI, IPC_AES128_GCM16, 0); /* native */
	world_add_in(s->x, 2, IPC_AES128_GCM16, IPC_SA_UDP);
	old = world_add_out(s->x, 3, SPI + 3, IPC_AES128_GCM16, IPC_SA_UDP);
	fresh = world_add_out(s->x, 3, SPI + 4, IPC_AES128_GCM16, IPC_SA_UDP);
	assert_int_equal(pass(s, 21 * SECOND), 1);
	assert_true(old->kept_ns == 0 && fresh->kept_ns != 0);
	/* the one before takes over again */
	id = (struct ipc_sa_id){ .spi_be = fresh->spi_be,
		                 .destination_be = htonl(WORLD_REMOTE),
		                 .direction = IPC_OUT };
	assert_int_equal(dp_sa_delete(&s->x->w, &id, &memory), 0);
	dp_sa_free(memory);
	assert_int_equal(pass(s, 2 * SECOND), 1);
	assert_true(old->kept_ns != 0);
	destroy(s);
}

/* However large the table: each one's turn comes within a second, a step looks at a few. */
static void spreads_a_full_table(void **state)
{
	struct state *s = create(1000 * DP_KEEPALIVE_ENTRIES);
	unsigned most = 0, all = 0;

	(void)state;
	for (unsigned i = 0; i < WORLD_TUNNELS; i++)
		for (unsigned k = 0; k < 40; k++) /* of each tunnel the last one */
			world_add_out(s->x, (uint16_t)i, SPI + 100 * i + k, IPC_AES128_GCM16,
			              IPC_SA_UDP);
	s->x->w.now_ns += DP_KEEPALIVE_NS;
	for (unsigned ms = 0; ms < 1000; ms++) {
		unsigned sent = pass(s, DP_KEEPALIVE_STEP_NS);

		all += sent;
		most = RTE_MAX(most, sent);
	}
	assert_int_equal(all, WORLD_TUNNELS);
	assert_true(most <= 2);
	/* a second call at the same time does nothing, */
	s->x->w.now_ns += 2 * DP_KEEPALIVE_NS;
	s->x->w.keepalive.next = 0;
	clear(s);
	dp_keepalive(&s->x->w);
	all = s->answers.n;
	for (unsigned i = 0; i < 2000; i++)
		dp_keepalive(&s->x->w);
	assert_int_equal(s->answers.n, all);
	/* and a full list of answers leaves it for later */
	pass(s, 2 * SECOND);
	s->x->w.now_ns += 2 * DP_KEEPALIVE_NS;
	clear(s);
	s->answers.n = DP_BURST;
	for (unsigned i = 0; i < 2000; i++, s->x->w.now_ns += DP_KEEPALIVE_STEP_NS)
		dp_keepalive(&s->x->w);
	s->answers.n = 0;
	assert_int_equal(pass(s, SECOND), WORLD_TUNNELS);
	destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_one_byte_from_the_port_pair),
		cmocka_unit_test(keeps_silent_while_others_speak),
		cmocka_unit_test(chooses_current_sas_in_udp),
		cmocka_unit_test(spreads_a_full_table),
	};

	return cmocka_run_group_tests(tests, world_eal, NULL);
}
