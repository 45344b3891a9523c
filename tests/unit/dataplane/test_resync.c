/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server that went on while 2^32 packets and more were lost is found again, and what a forger
 * sends finds nothing, moves nothing, and costs no more than the limits say. */
#include <arpa/inet.h>
#include <string.h>

#include "dataplane/resync.h"
#include "tests/unit/dataplane/esp_world.h"

#define SECOND 1000000000ull
#define SUBSPACE 0x100000000ull
#define INNER_BYTES 102u

struct link {
	struct world *x;
	struct dp_sa_in *sa;
	struct esp_peer peer;
};

static struct link link_add_suite(struct world *x, uint16_t tunnel, enum ipc_algorithm algorithm,
                                  uint32_t flags)
{
	struct link l = { .x = x };
	struct ipc_sa_add add;
	uint32_t spi_be;

	assert_int_equal(dp_sa_spi_alloc(&x->w, tunnel, 0x2000u + tunnel, &spi_be), 0);
	add = world_add_request(IPC_IN, ntohl(spi_be), algorithm, flags);
	assert_int_equal(world_add(x, &add, tunnel), 0);
	l.sa = dp_sa_lookup(x->w.sas, spi_be)->sa;
	l.peer = world_peer(&add);
	return l;
}

static struct link link_add(struct world *x, uint16_t tunnel, uint32_t flags)
{
	return link_add_suite(x, tunnel, IPC_AES128_GCM16, flags);
}

static struct dp_pkt *push(struct link *l, uint64_t sequence, unsigned length)
{
	unsigned block = peer_suite(l->peer.algorithm).block_bytes, total;
	uint8_t text[3100], packet[3300];

	peer_inner(text, length, 17, WORLD_TARGET, WORLD_INNER);
	total = peer_seal(&l->peer, sequence, sequence, text,
	                  peer_trailer(text, length, (2 * block - 2 - length % block) % block, 4),
	                  packet);
	assert_int_not_equal(total, 0);
	return world_push_outer(l->x, packet, total);
}

static uint8_t finish(struct link *l, struct dp_pkt *p)
{
	uint8_t verdict;

	world_in(l->x);
	verdict = p->verdict;
	world_clear(l->x);
	return verdict;
}

static uint8_t send_packet(struct link *l, uint64_t sequence)
{
	return finish(l, push(l, sequence, INNER_BYTES));
}

/* The same, but one bit of the ICV is another one. */
static uint8_t forge(struct link *l, uint64_t sequence)
{
	struct dp_pkt *p = push(l, sequence, INNER_BYTES);

	p->l3[p->l3_length - 1] ^= 1;
	return finish(l, p);
}

/* From here on each packet is a reason to try. */
static void fail_enough(struct link *l, uint64_t sequence)
{
	for (unsigned i = 0; i < DP_RESYNC_FAILURES; i++)
		assert_int_equal(forge(l, sequence), DP_ESP_ICV);
}

static void finds_the_server_after_a_loss(void **state)
{
	static const struct {
		uint64_t before, after;
		bool is_found;
	} table[] = {
		{ 1000, SUBSPACE + 5000, true },
		{ 1000, SUBSPACE + 1000, true },
		{ 1000, 3 * SUBSPACE + 200000, true },
		{ 1000, DP_RESYNC_HALVES * SUBSPACE + 5000, true },
		{ 1000, (DP_RESYNC_HALVES + 1) * SUBSPACE + 5000, false },
		{ 10 * SUBSPACE - 5, 12 * SUBSPACE + 5, true },
		{ 10 * SUBSPACE + 5, 11 * SUBSPACE - 40,
		  true }, /* looks like the subspace before */
		{ 1000, UINT64_MAX - 5000, false },
		{ UINT64_MAX - 3 * SUBSPACE, UINT64_MAX - SUBSPACE - 100, true },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct world *x = world_create(0, 8);
		struct link l = link_add(x, 1, IPC_SA_ESN | (i & 1 ? IPC_SA_UDP : 0));
		uint64_t sequence = table[i].after, lost = 0;

		dp_replay_commit(&l.sa->replay, table[i].before - 1);
		assert_int_equal(send_packet(&l, table[i].before), DP_OK);
		/* what looks as if it were before the window is refused before it can fail */
		while (send_packet(&l, sequence) != DP_OK && lost < 4 * DP_RESYNC_FAILURES) {
			sequence++;
			lost++;
		}
		if (table[i].is_found != (lost < 4 * DP_RESYNC_FAILURES))
			fail_msg("row %u: %u packets lost", i, (unsigned)lost);
		if (table[i].is_found) {
			assert_true(l.sa->replay.top == sequence);
			assert_int_equal(x->count.esp_resyncs, 1);
			assert_int_equal(send_packet(&l, sequence), DP_ESP_REPLAY);
			assert_int_equal(send_packet(&l, sequence + 1), DP_OK);
			assert_int_equal(x->count.esp_resyncs, 1);
		} else {
			assert_true(l.sa->replay.top == table[i].before);
			assert_int_equal(send_packet(&l, table[i].before + 1),
			                 DP_OK); /* and nothing is broken */
		}
		world_destroy(x);
	}
}

/* Whatever computes the ICV, and whatever else is in the burst: of those packets nothing is lost.
 */
static void finds_it_with_every_suite(void **state)
{
	(void)state;
	for (unsigned algorithm = IPC_AES128_GCM16; algorithm <= IPC_AES256_CBC_SHA512_256;
	     algorithm++) {
		struct world *x = world_create(0, 8);
		struct link l = link_add_suite(x, 1, algorithm, IPC_SA_ESN | IPC_SA_UDP),
			    other = link_add_suite(x, 2, IPC_AES256_CBC_SHA256_128, 0);
		const uint64_t far = 5 * SUBSPACE + 70000;

		assert_int_equal(send_packet(&l, 1000), DP_OK);
		fail_enough(&l, 2000);
		push(&other, 1, INNER_BYTES);
		push(&l, far, INNER_BYTES);
		push(&other, 2, INNER_BYTES);
		world_in(x);
		for (unsigned i = 0; i < x->batch.n; i++)
			if (x->batch.p[i].verdict != DP_OK)
				fail_msg("suite %u, packet %u: %s", algorithm, i,
				         dp_verdict_name(x->batch.p[i].verdict));
		world_clear(x);
		assert_true(l.sa->replay.top == far);
		assert_int_equal(x->count.esp_resyncs, 1);
		assert_int_equal(x->count.esp_resync_tries, 5);
		assert_int_equal(send_packet(&l, far), DP_ESP_REPLAY);
		assert_int_equal(send_packet(&l, far + 1), DP_OK);
		/* forged ones find nothing and move nothing */
		fail_enough(&l, far + 2000);
		assert_int_equal(forge(&l, far + 9 * SUBSPACE + 3000), DP_ESP_ICV);
		assert_true(l.sa->replay.top == far + 1);
		assert_int_equal(x->count.esp_resyncs, 1);
		world_destroy(x);
	}
}

/* In the first subspace, but so far ahead that it looks like one before the beginning. */
static void finds_a_number_that_cannot_be_inferred(void **state)
{
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, IPC_SA_ESN);

	(void)state;
	assert_int_equal(send_packet(&l, 5), DP_OK);
	assert_int_equal(send_packet(&l, SUBSPACE - 20), DP_ESP_REPLAY);
	fail_enough(&l, 100);
	assert_int_equal(send_packet(&l, SUBSPACE - 20), DP_OK);
	assert_true(l.sa->replay.top == SUBSPACE - 20);
	world_destroy(x);
}

static void tries_only_after_failures_in_a_row(void **state)
{
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, IPC_SA_ESN), plain = link_add(x, 2, 0);

	(void)state;
	assert_int_equal(send_packet(&l, 1), DP_OK);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 1; i < DP_RESYNC_FAILURES; i++)
			assert_int_equal(forge(&l, 100), DP_ESP_ICV);
		assert_int_equal(send_packet(&l, 2 + round), DP_OK); /* begins anew */
	}
	assert_int_equal(x->count.esp_resync_tries, 0);
	fail_enough(&l, 100);
	assert_int_equal(forge(&l, 100), DP_ESP_ICV);
	assert_int_equal(x->count.esp_resync_tries, DP_RESYNC_HALVES);
	/* numbers of 32 bits have no other half */
	assert_int_equal(send_packet(&plain, 1), DP_OK);
	fail_enough(&plain, 100);
	assert_int_equal(forge(&plain, 100), DP_ESP_ICV);
	assert_int_equal(x->count.esp_resync_tries, DP_RESYNC_HALVES);
	world_destroy(x);
}

/* Packets of one second, forged and genuine ones: what they cost, and that the window stays. */
static void is_bounded_and_moves_nothing_for_forged_packets(void **state)
{
	struct world *x = world_create(0, 64);
	struct link l[WORLD_TUNNELS];
	struct dp_replay before;
	uint64_t tries = 0;

	(void)state;
	for (uint16_t t = 0; t < WORLD_TUNNELS; t++) {
		l[t] = link_add(x, t, IPC_SA_ESN);
		assert_int_equal(send_packet(&l[t], 70), DP_OK);
		fail_enough(&l[t], 1000);
	}
	before = l[0].sa->replay;
	for (unsigned second = 0; second < 3; second++) {
		for (unsigned i = 0; i < 50; i++)
			assert_int_equal(forge(&l[0], 1000 + i + (uint64_t)i * SUBSPACE),
			                 DP_ESP_ICV);
		tries += (uint64_t)DP_RESYNC_PACKETS_PER_SECOND * DP_RESYNC_HALVES;
		assert_true(x->count.esp_resync_tries == tries);
		x->w.now_ns += SECOND;
	}
	assert_memory_equal(&l[0].sa->replay, &before, sizeof(before));
	/* genuine ones of the past are no better: they look like the next subspace */
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(send_packet(&l[0], 2), DP_ESP_ICV);
	assert_int_equal(send_packet(&l[0], 70), DP_ESP_REPLAY);
	assert_memory_equal(&l[0].sa->replay, &before, sizeof(before));
	/* all SAs of the worker together */
	x->w.resync_limit.tokens = 10;
	x->w.resync_limit.last_ns = x->w.now_ns;
	x->w.resync_limit.per_second = 10;
	tries = x->count.esp_resync_tries;
	for (uint16_t t = 1; t < WORLD_TUNNELS; t++)
		for (unsigned i = 0; i < 50; i++)
			assert_int_equal(forge(&l[t], 1000), DP_ESP_ICV);
	assert_true(x->count.esp_resync_tries == tries + 10 * DP_RESYNC_HALVES);
	assert_int_equal(x->count.esp_resyncs, 0);
	for (uint16_t t = 1; t < WORLD_TUNNELS; t++) {
		assert_true(l[t].sa->replay.top == 70);
		assert_int_equal(send_packet(&l[t], 71), DP_OK);
	}
	world_destroy(x);
}

/* A packet that is too long to be tried waits for a shorter one. */
static void tries_no_long_packets(void **state)
{
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, IPC_SA_ESN);

	(void)state;
	assert_int_equal(send_packet(&l, 1), DP_OK);
	fail_enough(&l, 100);
	assert_int_equal(finish(&l, push(&l, SUBSPACE + 10, 1602)), DP_ESP_ICV);
	assert_int_equal(x->count.esp_resync_tries, 0);
	assert_int_equal(finish(&l, push(&l, SUBSPACE + 11, 1502)), DP_OK);
	assert_true(l.sa->replay.top == SUBSPACE + 11);
	world_destroy(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_server_after_a_loss),
		cmocka_unit_test(finds_it_with_every_suite),
		cmocka_unit_test(finds_a_number_that_cannot_be_inferred),
		cmocka_unit_test(tries_only_after_failures_in_a_row),
		cmocka_unit_test(is_bounded_and_moves_nothing_for_forged_packets),
		cmocka_unit_test(tries_no_long_packets),
	};

	return cmocka_run_group_tests(tests, world_eal, NULL);
}
