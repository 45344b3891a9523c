/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is believed of "fragmentation needed" about ESP, and how long; the wire's side is
 * tests/packet/test_icmp.py. */
#include "dataplane/pmtu.h"

#include <arpa/inet.h>
#include <errno.h>

#include "dataplane/esp_out.h"
#include "dataplane/generation.h"
#include "dataplane/port.h"
#include "tests/unit/dataplane/esp_world.h"

#define SPI 0x40000001u
#define TUNNEL 3

static struct dp_port ports[DP_PORT_COUNT];
static struct dp_generation generation;
static struct dp_environment environment;

static struct world *start(uint32_t flags)
{
	struct world *x = world_create(0, 8);

	ports[DP_PORT_UPLINK].mtu = WORLD_LINK_MTU;
	environment = (struct dp_environment){ .tunnel_count = 1, .tunnels = { TUNNEL } };
	generation.environments = &environment;
	generation.environment_count = 1;
	x->w.ports = ports;
	x->w.generation = &generation;
	world_add_out(x, TUNNEL, SPI, IPC_AES128_GCM16, flags)->sequence = 5000;
	return x;
}

static struct dp_pmtu_quote quote_of(const struct dp_sa_out *sa, uint64_t sequence, uint16_t mtu)
{
	struct dp_pmtu_quote quote = { .source_be = sa->lease.local_be,
		                       .destination_be = sa->remote_be,
		                       .spi_be = sa->spi_be,
		                       .sequence = (uint32_t)sequence,
		                       .mtu = mtu };
	uint16_t ports_be[2] = { sa->lease.local_port_be, sa->lease.remote_port_be };

	memcpy(&quote.ports_be, ports_be, sizeof(ports_be));
	return quote;
}

static int learn(struct world *x, uint64_t sequence, uint16_t mtu)
{
	struct dp_pmtu_quote quote = quote_of(x->tunnels[TUNNEL].out, sequence, mtu);

	return dp_pmtu_learn(&x->w, &quote);
}

static void lowers_and_never_raises(void **state)
{
	static const struct {
		uint16_t mtu;
		int rc;
		uint16_t path;
	} table[] = {
		{ 1500, -EINVAL, 0 }, { 9000, -EINVAL, 0 },    { 0, -EINVAL, 0 },
		{ 1400, 0, 1400 },    { 1400, -EINVAL, 1400 }, { 1450, -EINVAL, 1400 },
		{ 1399, 0, 1399 },    { 68, 0, 576 },          { 1, -EINVAL, 576 },
	};

	(void)state;
	for (uint32_t flags = 0; flags <= IPC_SA_UDP; flags += IPC_SA_UDP) {
		struct world *x = start(flags);
		struct dp_tunnel *t = &x->tunnels[TUNNEL];

		for (unsigned i = 0; i < RTE_DIM(table); i++) {
			uint16_t link = table[i].path ? table[i].path : WORLD_LINK_MTU;

			assert_int_equal(learn(x, 5000, table[i].mtu), table[i].rc);
			assert_int_equal(t->path_mtu, table[i].path);
			assert_int_equal(t->inner_mtu, dp_esp_inner_mtu(t->out, link));
			assert_int_equal(t->mss, t->inner_mtu - 40);
		}
		world_destroy(x);
	}
}

static void believes_what_was_sent_lately(void **state)
{
	static const struct {
		uint64_t now, quoted;
		int rc;
	} table[] = {
		{ 5000, 5001, -ENOENT },
		{ 5000, 5000 - 1023, 0 },
		{ 5000, 5000 - 1024, -ENOENT },
		{ 5000, 0, -ENOENT },
		{ 0, 0, -ENOENT },
		{ 1, 1, 0 },
		{ 1, 0, -ENOENT },
		{ 1, UINT32_MAX, -ENOENT },
		{ (1ull << 32) + 10, (1ull << 32) - 5,
		  0 }, /* extended numbers, across the low half's end */
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct world *x = start(IPC_SA_ESN);

		x->tunnels[TUNNEL].out->sequence = table[i].now;
		assert_int_equal(learn(x, table[i].quoted, 1300), table[i].rc);
		world_destroy(x);
	}
}

static void wants_the_whole_tuple(void **state)
{
	struct world *x = start(IPC_SA_UDP);
	struct dp_pmtu_quote good = quote_of(x->tunnels[TUNNEL].out, 5000, 1300), q;

	(void)state;
	q = good;
	q.spi_be ^= 1;
	assert_int_equal(dp_pmtu_learn(&x->w, &q), -ENOENT);
	q = good;
	q.source_be ^= 1;
	assert_int_equal(dp_pmtu_learn(&x->w, &q), -ENOENT);
	q = good;
	q.destination_be ^= 1;
	assert_int_equal(dp_pmtu_learn(&x->w, &q), -ENOENT);
	q = good;
	q.ports_be = 0;
	assert_int_equal(dp_pmtu_learn(&x->w, &q), -ENOENT);
	assert_int_equal(x->tunnels[TUNNEL].path_mtu, 0);
	assert_int_equal(dp_pmtu_learn(&x->w, &good), 0);
	world_destroy(x);
}

/* Both SAs of a rekey have it, new ones too; after ten minutes the link's counts again. */
static void holds_for_ten_minutes(void **state)
{
	struct world *x = start(0);
	struct dp_tunnel *t = &x->tunnels[TUNNEL];
	uint16_t full = t->inner_mtu, lowered;

	(void)state;
	assert_int_equal(learn(x, 5000, 1300), 0);
	lowered = t->inner_mtu;
	assert_true(lowered < full);
	world_add_out(x, TUNNEL, SPI + 1, IPC_AES128_GCM16, 0);
	assert_int_equal(t->out->inner_mtu, lowered);
	assert_int_equal(t->out->older->inner_mtu, lowered);
	assert_int_equal(t->inner_mtu, lowered);
	x->w.now_s += DP_PMTU_SECONDS - 1;
	dp_pmtu_expire(&x->w);
	assert_int_equal(t->inner_mtu, lowered);
	x->w.now_s += 1;
	dp_pmtu_expire(&x->w);
	assert_int_equal(t->inner_mtu, full);
	assert_int_equal(t->out->older->inner_mtu, full);
	assert_int_equal(t->path_mtu, 0);
	world_destroy(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowers_and_never_raises),
		cmocka_unit_test(believes_what_was_sent_lately),
		cmocka_unit_test(wants_the_whole_tuple),
		cmocka_unit_test(holds_for_ten_minutes),
	};

	return cmocka_run_group_tests_name("pmtu", tests, world_eal, NULL);
}
