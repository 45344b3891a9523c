/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets before their key: bounds, order, time; and keys before their negotiation's end. */
#include "dataplane/larval.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/dataplane/esp_world.h"

#define FRAMES 4096u

/* What is held is never looked into: any address serves as an mbuf. */
static struct rte_mbuf frames[FRAMES];

static void reset(struct world *x)
{
	memset(frames, 0, sizeof(frames));
	for (unsigned i = 0; i < FRAMES; i++)
		frames[i].hash.usr = i;
	(void)x;
}

static enum dp_verdict hold(struct world *x, unsigned frame, uint32_t spi)
{
	struct dp_pkt p = { .m = &frames[frame] };

	return dp_larval_hold(&x->w, &p, htonl(spi));
}

static void gives_back_in_order(void **state)
{
	struct world *x = world_create(0, 4);
	struct rte_mbuf *m[DP_BURST];
	unsigned next = 0, n;

	(void)state;
	reset(x);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(hold(x, 2 * i, 7), DP_TAKEN);
		assert_int_equal(hold(x, 2 * i + 1, 8), DP_TAKEN);
	}
	assert_int_equal(x->count.esp_held, 200);
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 0);
	dp_larval_release(&x->w, htonl(9));
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 0);
	for (uint32_t spi = 7; spi <= 8; spi++) {
		dp_larval_release(&x->w, htonl(spi));
		dp_larval_release(&x->w, htonl(spi)); /* once is enough */
		next = spi - 7;
		while ((n = dp_larval_take(&x->w, m, DP_BURST)) != 0) {
			for (unsigned i = 0; i < n; i++, next += 2)
				assert_int_equal(m[i]->hash.usr, next);
		}
		assert_int_equal(next, 200 + spi - 7);
	}
	assert_int_equal(x->count.drop[DP_ESP_NO_KEY], 0);
	world_destroy(x);
}

static void is_bounded(void **state)
{
	struct world *x = world_create(0, 4);
	struct rte_mbuf *m[DP_BURST];
	unsigned frame = 0, taken = 0, n;

	(void)state;
	reset(x);
	for (unsigned i = 0; i < DP_LARVAL_PER_SPI; i++)
		assert_int_equal(hold(x, frame++, 1), DP_TAKEN);
	assert_int_equal(hold(x, frame, 1), DP_ESP_NO_KEY);
	for (uint32_t spi = 2; frame < DP_LARVAL_MAX; spi++)
		assert_int_equal(hold(x, frame++, spi), DP_TAKEN);
	assert_int_equal(hold(x, frame, 9999), DP_ESP_NO_KEY);
	dp_larval_release(&x->w, htonl(1));
	while ((n = dp_larval_take(&x->w, m, DP_BURST)) != 0)
		taken += n;
	assert_int_equal(taken, DP_LARVAL_PER_SPI);
	assert_int_equal(hold(x, frame, 9999), DP_TAKEN);
	for (uint32_t spi = 2; spi < 10000; spi++)
		dp_larval_release(&x->w, htonl(spi));
	while ((n = dp_larval_take(&x->w, m, DP_BURST)) != 0)
		taken += n;
	assert_int_equal(taken, DP_LARVAL_MAX + 1);
	world_destroy(x);
}

/* A real packet: it is freed when its time is over. */
static void push_larval(struct world *x, uint32_t spi_be)
{
	uint8_t packet[100] = { 0x45, [9] = 50 };

	memcpy(packet + 20, &spi_be, 4);
	packet[27] = 1;
	assert_int_equal(world_push_outer(x, packet, sizeof(packet))->verdict, DP_OK);
	world_in(x);
	assert_int_equal(x->batch.p[x->batch.n - 1].verdict, DP_TAKEN);
	world_clear(x);
}

static void drops_after_a_while(void **state)
{
	struct world *x = world_create(0, 4);
	struct rte_mbuf *m[DP_BURST];
	uint32_t spi_be;

	(void)state;
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 4242, &spi_be), 0);
	push_larval(x, spi_be);
	x->w.now_ns += DP_LARVAL_NS / 2;
	push_larval(x, spi_be);
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 0);
	assert_int_equal(x->count.drop[DP_ESP_NO_KEY], 0);
	x->w.now_ns += DP_LARVAL_NS / 2 + 1;
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 0);
	assert_int_equal(x->count.drop[DP_ESP_NO_KEY], 1);
	dp_larval_release(&x->w, spi_be);
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 1);
	rte_pktmbuf_free(m[0]);
	world_destroy(x);
}

static void releases_with_the_key(void **state)
{
	struct world *x = world_create(0, 4);
	struct rte_mbuf *m[DP_BURST];
	struct ipc_sa_add add;
	uint32_t spi_be;

	(void)state;
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 4242, &spi_be), 0);
	push_larval(x, spi_be);
	push_larval(x, spi_be);
	add = world_add_request(IPC_IN, 4242, IPC_AES128_GCM16, 0);
	assert_int_equal(world_add(x, &add, 2), -ENOENT); /* another tunnel's */
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 0);
	assert_int_equal(world_add(x, &add, 1), 0);
	assert_int_equal(dp_larval_take(&x->w, m, DP_BURST), 2);
	rte_pktmbuf_free_bulk(m, 2);
	world_destroy(x);
}

/* ---- early keys ---- */

static void confirms_an_early_key(void **state)
{
	struct world *x = world_create(0, 4);
	struct ipc_sa_add early, add;
	struct ipc_sa_info info;
	struct dp_sa_in *sa;
	uint32_t spi_be;

	(void)state;
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 4242, &spi_be), 0);
	early = add = world_add_request(IPC_IN, 4242, IPC_AES128_GCM16, IPC_SA_UDP);
	early.flags |= IPC_SA_EARLY;
	assert_int_equal(dp_sa_confirm(&x->w, &add, 1, 5), -ENOENT); /* nothing there yet */
	assert_int_equal(world_add(x, &early, 1), 0);
	assert_int_equal(world_add(x, &early, 1), -EEXIST);
	assert_int_equal(dp_sa_confirm(&x->w, &early, 1, 5), -ENOENT);
	assert_int_equal(dp_sa_confirm(&x->w, &add, 2, 5), -ENOENT); /* another tunnel's */
	sa = dp_sa_lookup(x->w.sas, spi_be)->sa;
	assert_true(dp_replay_commit(&sa->replay, 77));
	sa->packets = 3;
	assert_int_equal(dp_sa_query(&x->w, &add.id, &info), 0);
	assert_int_equal(info.flags, IPC_SA_UDP | IPC_SA_EARLY);
	add.hard_seconds = 100;
	assert_int_equal(dp_sa_confirm(&x->w, &add, 1, 5), 0);
	assert_ptr_equal(dp_sa_lookup(x->w.sas, spi_be)->sa, sa);
	assert_int_equal(dp_sa_query(&x->w, &add.id, &info), 0);
	assert_int_equal(info.packets, 3);
	assert_int_equal(info.sequence, 77);
	assert_int_equal(info.control_epoch, 5);
	assert_int_equal(info.flags, IPC_SA_UDP);
	assert_int_equal(dp_sa_confirm(&x->w, &add, 1, 5), -ENOENT); /* once */
	world_destroy(x);
}

static void check_other_than_expected(unsigned expected, unsigned negotiated)
{
	struct world *x = world_create(0, 4);
	struct ipc_sa_add early, add;
	struct dp_sa_in *sa;
	uint8_t inner[100], text[112], packet[300];
	struct esp_peer peer;
	uint32_t spi_be;
	unsigned length;

	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 4242, &spi_be), 0);
	early = world_add_request(IPC_IN, 4242, expected, IPC_SA_EARLY);
	add = world_add_request(IPC_IN, 4242, negotiated, 0);
	assert_int_equal(world_add(x, &early, 1), 0);
	sa = dp_sa_lookup(x->w.sas, spi_be)->sa;
	assert_true(dp_replay_commit(&sa->replay, 77));
	add.key_length--;
	assert_int_equal(dp_sa_confirm(&x->w, &add, 1, 5), -EINVAL);
	assert_int_equal(sa->is_early, 1);
	add.key_length++;
	assert_int_equal(dp_sa_confirm(&x->w, &add, 1, 5), 0);
	assert_int_equal(sa->replay.top, 0);
	peer_inner(inner, sizeof(inner), 17, WORLD_TARGET, WORLD_INNER);
	peer = world_peer(&add);
	memcpy(text, inner, sizeof(inner));
	length = peer_trailer(text, sizeof(inner), 10, 4);
	length = peer_seal(&peer, 1, 1, text, length, packet);
	world_push_outer(x, packet, length);
	world_in(x);
	assert_int_equal(x->batch.p[0].verdict, DP_OK);
	assert_memory_equal(x->batch.p[0].l3, inner, sizeof(inner));
	world_destroy(x);
}

static void takes_what_was_negotiated_instead(void **state)
{
	(void)state;
	check_other_than_expected(IPC_AES128_GCM16, IPC_AES256_GCM16);
	check_other_than_expected(IPC_AES128_GCM16, IPC_AES256_CBC_SHA512_256);
	check_other_than_expected(IPC_AES128_CBC_SHA256_128, IPC_CHACHA20_POLY1305);
	check_other_than_expected(IPC_AES192_CBC_SHA1_96, IPC_AES256_GCM16);
}

static void has_no_early_outbound_key(void **state)
{
	struct world *x = world_create(0, 4);
	struct ipc_sa_add add = world_add_request(IPC_OUT, 4242, IPC_AES128_GCM16, IPC_SA_EARLY);

	(void)state;
	assert_int_equal(world_add(x, &add, 1), -EINVAL);
	world_destroy(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_in_order),
		cmocka_unit_test(is_bounded),
		cmocka_unit_test(drops_after_a_while),
		cmocka_unit_test(releases_with_the_key),
		cmocka_unit_test(confirms_an_early_key),
		cmocka_unit_test(takes_what_was_negotiated_instead),
		cmocka_unit_test(has_no_early_outbound_key),
	};

	return cmocka_run_group_tests(tests, world_eal, NULL);
}
