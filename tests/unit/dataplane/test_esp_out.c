/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What we send is opened by an ESP implementation made of OpenSSL; what cannot be sent says why. */
#include <arpa/inet.h>
#include <string.h>

#include "dataplane/esp_out.h"
#include "tests/unit/dataplane/esp_world.h"

#define SPI 0xc1a2b3d4u
#define PLAIN_MAX 2000u

static const uint32_t flags_of[] = { 0, IPC_SA_UDP, IPC_SA_ESN, IPC_SA_ESN | IPC_SA_UDP };

/* Opens the batch's packet I and compares: outer header, sequence, trailer, inner packet, mbuf. */
static void check_sent(struct world *x, unsigned i, const struct esp_peer *peer, uint64_t sequence,
                       const uint8_t *inner, unsigned length)
{
	const struct peer_suite suite = peer_suite(peer->algorithm);
	const struct dp_pkt *p = &x->batch.p[i];
	uint8_t text[PLAIN_MAX];
	uint64_t got = sequence;
	const char *why;
	int n;

	assert_int_equal(p->verdict, DP_OK);
	assert_ptr_equal(rte_pktmbuf_mtod(p->m, uint8_t *), p->l3);
	assert_int_equal(p->m->data_len, p->l3_length);
	assert_int_equal(p->m->pkt_len, p->l3_length);
	assert_int_equal(p->l3_header, 20);
	assert_int_equal(p->protocol, peer->is_udp ? 17 : 50);
	assert_int_equal(p->port, DP_PORT_UPLINK);
	assert_int_equal(p->nexthop_be, htonl(WORLD_REMOTE));
	n = peer_open(peer, p->l3, p->l3_length, &got, text, &why);
	if (n < 0)
		fail_msg("packet %u, length %u: %s", i, length, why);
	assert_true(got == sequence);
	/* no more padding than needed */
	assert_int_equal(n, (length + 2 + suite.block_bytes - 1) / suite.block_bytes *
	                            suite.block_bytes);
	assert_int_equal(text[n - 1], 4);
	assert_int_equal(text[n - 2], n - 2 - length);
	for (unsigned k = 0; k < text[n - 2]; k++)
		assert_int_equal(text[length + k], k + 1);
	assert_memory_equal(text, inner, length);
}

static void is_opened_by_the_peer(void **state)
{
	static uint8_t inner[DP_BURST][PLAIN_MAX];

	(void)state;
	for (unsigned kind = 0; kind < IPC_AES256_CBC_SHA512_256 * 4; kind++) {
		struct world *x = world_create(0, 8);
		struct ipc_sa_add add = world_add_request(IPC_OUT, SPI, IPC_AES128_GCM16 + kind / 4,
		                                          flags_of[kind % 4]);
		struct esp_peer peer = world_peer(&add);
		uint64_t sequence = 0, bytes = 0;
		unsigned length = 28;

		assert_int_equal(world_add(x, &add, 3), 0);
		while (length <= x->tunnels[3].inner_mtu) {
			unsigned n = 0, lengths[DP_BURST];

			for (; n < DP_BURST && length <= x->tunnels[3].inner_mtu;
			     n++, length += n % 3 + 1) {
				peer_inner(inner[n], length, n & 1 ? 17 : 1, WORLD_INNER,
				           WORLD_TARGET);
				world_push_inner(x, inner[n], length, 3);
				lengths[n] = length;
				bytes += length;
			}
			world_out(x);
			for (unsigned i = 0; i < n; i++)
				check_sent(x, i, &peer, ++sequence, inner[i], lengths[i]);
			world_clear(x);
		}
		assert_true(x->tunnels[3].out->sequence == sequence);
		assert_true(x->tunnels[3].out->packets == sequence &&
		            x->tunnels[3].packets_out == sequence);
		assert_true(x->tunnels[3].out->bytes == bytes && x->tunnels[3].bytes_out == bytes);
		assert_true(x->tunnels[3].out->used_ns == x->w.now_ns);
		assert_true(x->count.esp_out_packets == sequence);
		world_destroy(x);
	}
}

/* The type of service goes outside whole, and the checksum follows. */
static void copies_the_type_of_service(void **state)
{
	struct world *x = world_create(0, 8);
	struct ipc_sa_add add = world_add_request(IPC_OUT, SPI, IPC_AES128_GCM16, IPC_SA_UDP);
	struct esp_peer peer = world_peer(&add);
	uint8_t inner[200];

	(void)state;
	assert_int_equal(world_add(x, &add, 0), 0);
	for (unsigned tos = 0; tos < 256; tos++) {
		peer_inner(inner, 100 + tos % 50, 17, WORLD_INNER, WORLD_TARGET);
		inner[1] = (uint8_t)tos;
		peer_checksum(inner);
		peer.tos = (uint8_t)tos;
		world_push_inner(x, inner, 100 + tos % 50, 0);
		world_out(x);
		check_sent(x, 0, &peer, tos + 1, inner, 100 + tos % 50);
		world_clear(x);
	}
	world_destroy(x);
}

/* Four tunnels in turns and in runs: each packet under its own key, numbers in the batch's order.
 */
static void keeps_tunnels_apart(void **state)
{
	struct world *x = world_create(0, 16);
	struct esp_peer peers[4];
	uint64_t sequence[4] = { 0 };
	static uint8_t inner[DP_BURST][120];
	uint64_t seed = 5;

	(void)state;
	for (unsigned t = 0; t < 4; t++) {
		struct ipc_sa_add add = world_add_request(IPC_OUT, SPI + t, IPC_AES128_GCM16 + t,
		                                          t & 1 ? IPC_SA_UDP : IPC_SA_ESN);

		peers[t] = world_peer(&add);
		assert_int_equal(world_add(x, &add, (uint16_t)t), 0);
	}
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < DP_BURST; i++) {
			unsigned t = round & 1 ? i / 8 : (unsigned)(peer_random(&seed) >> 33) % 4;
			struct dp_pkt *p;

			peer_inner(inner[i], 120, 17, WORLD_INNER, WORLD_TARGET);
			p = world_push_inner(x, inner[i], 120, (uint16_t)t);
			if (i % 11 == 4)
				p->verdict = DP_TTL; /* refused before: left alone */
		}
		world_out(x);
		for (unsigned i = 0; i < DP_BURST; i++) {
			unsigned t = x->batch.p[i].tunnel;

			if (i % 11 == 4) {
				assert_int_equal(x->batch.p[i].verdict, DP_TTL);
				assert_memory_equal(x->batch.p[i].l3, inner[i], 120);
				continue;
			}
			check_sent(x, i, &peers[t], ++sequence[t], inner[i], 120);
		}
		world_clear(x);
	}
	for (unsigned t = 0; t < 4; t++)
		assert_true(x->tunnels[t].packets_out == sequence[t]);
	world_destroy(x);
}

/* The same with every suite, eight at a time: what waits in the library's lanes for others is mixed
 * with what is encrypted at once. */
static void mixes_suites_in_a_burst(void **state)
{
	static uint8_t inner[DP_BURST][1400];
	uint64_t seed = 77;

	(void)state;
	for (unsigned first = 0; first < 2 * WORLD_TUNNELS; first++) {
		struct world *x = world_create(0, 32);
		struct esp_peer peers[WORLD_TUNNELS];
		uint64_t sequence[WORLD_TUNNELS] = { 0 };

		for (unsigned t = 0; t < WORLD_TUNNELS; t++) {
			struct ipc_sa_add add = world_add_request(
				IPC_OUT, SPI + t, IPC_AES128_GCM16 + (first + t * 3) % 16,
				flags_of[(peer_random(&seed) >> 20) % 4]);

			peers[t] = world_peer(&add);
			assert_int_equal(world_add(x, &add, (uint16_t)t), 0);
		}
		for (unsigned round = 0; round < 20; round++) {
			unsigned lengths[DP_BURST];

			for (unsigned i = 0; i < DP_BURST; i++) {
				lengths[i] = 28 + (unsigned)(peer_random(&seed) >> 33) % 1350;
				peer_inner(inner[i], lengths[i], 17, WORLD_INNER, WORLD_TARGET);
				world_push_inner(
					x, inner[i], lengths[i],
					(uint16_t)((peer_random(&seed) >> 33) % WORLD_TUNNELS));
			}
			world_out(x);
			for (unsigned i = 0; i < DP_BURST; i++) {
				unsigned t = x->batch.p[i].tunnel;

				check_sent(x, i, &peers[t], ++sequence[t], inner[i], lengths[i]);
			}
			world_clear(x);
		}
		world_destroy(x);
	}
}

/* A counter would do for AEADs, not for CBC: no vector comes twice, none tells the next one, and
 * two SAs with the same keys have others. */
static void makes_unpredictable_vectors(void **state)
{
	enum { PACKETS = 8 * DP_BURST };
	static uint8_t ivs[2 * PACKETS][16];
	uint8_t inner[64];
	unsigned n = 0;

	(void)state;
	peer_inner(inner, sizeof(inner), 17, WORLD_INNER, WORLD_TARGET);
	for (unsigned kind = 0; kind < 2; kind++) {
		struct world *x = world_create(0, 8);

		world_add_out(x, 0, SPI, IPC_AES256_CBC_SHA256_128, 0);
		while (n < (kind + 1) * PACKETS) {
			for (unsigned i = 0; i < DP_BURST; i++)
				world_push_inner(x, inner, sizeof(inner), 0);
			world_out(x);
			for (unsigned i = 0; i < DP_BURST; i++)
				memcpy(ivs[n++], x->batch.p[i].esp + 8, 16);
			world_clear(x);
		}
		world_destroy(x);
	}
	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < i; j++) {
			unsigned equal = 0;

			for (unsigned k = 0; k < 16; k++)
				equal += (unsigned)__builtin_popcount(
					(uint8_t) ~(ivs[i][k] ^ ivs[j][k]));
			assert_in_range(equal, 24,
			                104); /* of 128: random ones differ in about half */
		}
	}
}

static void needs_a_tunnel(void **state)
{
	struct world *x = world_create(0, 8);
	uint8_t inner[100];

	(void)state;
	peer_inner(inner, sizeof(inner), 17, WORLD_INNER, WORLD_TARGET);
	world_add_out(x, 1, SPI, IPC_AES128_GCM16, 0);
	world_push_inner(x, inner, sizeof(inner), 0);
	world_push_inner(x, inner, sizeof(inner), DP_NONE_SLOT);
	world_push_inner(x, inner, sizeof(inner), 1);
	world_out(x);
	assert_int_equal(x->batch.p[0].verdict, DP_NO_TUNNEL);
	assert_int_equal(x->batch.p[1].verdict, DP_NO_TUNNEL);
	assert_memory_equal(x->batch.p[1].l3, inner, sizeof(inner));
	assert_int_equal(x->batch.p[2].verdict, DP_OK);
	assert_int_equal(x->count.esp_out_packets, 1);
	world_destroy(x);
}

static void says_what_fits(void **state)
{
	static const struct {
		uint32_t flags;
		uint16_t link, inner;
	} table[] = {
		{ 0, 1500, 1446 },   { IPC_SA_UDP, 1500, 1438 },
		{ 0, 1499, 1442 },   { 0, 1496, 1442 },
		{ 0, 9000, 8946 },   { IPC_SA_UDP, 576, 514 },
		{ 0, 76, 22 },       { 0, 75, 0 },
		{ 0, 52, 0 },        { 0, 0, 0 },
		{ 0, 65535, 65478 },
	};
	struct world *x = world_create(0, 8);
	struct dp_sa_out *sa[2];
	uint8_t inner[1500];
	struct dp_pkt *p;

	(void)state;
	sa[0] = world_add_out(x, 0, SPI, IPC_AES256_GCM16, 0);
	sa[1] = world_add_out(x, 1, SPI + 1, IPC_AES256_GCM16, IPC_SA_UDP);
	for (unsigned i = 0; i < RTE_DIM(table); i++)
		assert_int_equal(dp_esp_inner_mtu(sa[table[i].flags == IPC_SA_UDP], table[i].link),
		                 table[i].inner);
	for (uint16_t t = 0; t < 2; t++) {
		unsigned limit = x->tunnels[t].inner_mtu;

		peer_inner(inner, limit, 17, WORLD_INNER, WORLD_TARGET);
		p = world_push_inner(x, inner, limit, t);
		world_out(x);
		assert_int_equal(p->verdict, DP_OK);
		assert_in_range(p->l3_length, WORLD_LINK_MTU - 3, WORLD_LINK_MTU);
		world_clear(x);
		peer_inner(inner, limit + 1, 17, WORLD_INNER, WORLD_TARGET);
		p = world_push_inner(x, inner, limit + 1, t);
		world_out(x);
		assert_int_equal(p->verdict, DP_TOO_BIG);
		assert_int_equal(p->limit, limit);
		assert_memory_equal(p->l3, inner, limit + 1);
		assert_int_equal(x->tunnels[t].out->sequence, 1);
		world_clear(x);
	}
	world_destroy(x);
}

/* For each suite and each link: the largest inner packet whose outer one fits, counted another way.
 */
static void fits_exactly_with_every_suite(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < IPC_AES256_CBC_SHA512_256 * 4; kind++) {
		struct world *x = world_create(0, 8);
		const struct dp_sa_out *sa =
			world_add_out(x, 0, SPI, IPC_AES128_GCM16 + kind / 4, flags_of[kind % 4]);
		const struct peer_suite suite = peer_suite(IPC_AES128_GCM16 + kind / 4);
		unsigned inner = 0, needs = 0;
		uint8_t packet[WORLD_LINK_MTU];

		for (unsigned link = 0; link <= 9100; link++) {
			for (;;) { /* bytes on the wire of one more */
				unsigned text = inner + 1 + 2;

				while (text % suite.block_bytes)
					text++;
				needs = 20 + (kind % 2 ? 8 : 0) + 8 + suite.iv_bytes + text +
				        suite.icv_bytes;
				if (needs > link)
					break;
				inner++;
			}
			assert_int_equal(dp_esp_inner_mtu(sa, (uint16_t)link),
			                 inner < 20 ? 0 : inner);
		}
		assert_int_equal(x->tunnels[0].inner_mtu, dp_esp_inner_mtu(sa, WORLD_LINK_MTU));
		assert_int_equal(x->tunnels[0].mss, x->tunnels[0].inner_mtu - 40);
		inner = x->tunnels[0].inner_mtu;
		for (unsigned more = 0; more < 2; more++) {
			struct dp_pkt *p;

			peer_inner(packet, inner + more, 17, WORLD_INNER, WORLD_TARGET);
			p = world_push_inner(x, packet, inner + more, 0);
			world_out(x);
			assert_int_equal(p->verdict, more ? DP_TOO_BIG : DP_OK);
			if (!more)
				assert_in_range(p->l3_length,
				                WORLD_LINK_MTU - suite.block_bytes + 1,
				                WORLD_LINK_MTU);
			world_clear(x);
		}
		world_destroy(x);
	}
}

/* Not a byte outside of the buffer: too little room in front or behind is a verdict. */
static void stays_within_the_buffer(void **state)
{
	enum { LENGTH = 101 };
	static const struct {
		unsigned algorithm, before, behind;
	} table[] = {
		{ IPC_AES128_GCM16, 28 + 8 + 8, 1 + 2 + 16 },
		{ IPC_CHACHA20_POLY1305, 28 + 8 + 8, 1 + 2 + 16 },
		{ IPC_AES128_CBC_SHA1_96, 28 + 8 + 16, 9 + 2 + 12 },
		{ IPC_AES256_CBC_SHA512_256, 28 + 8 + 16, 9 + 2 + 32 },
	};
	uint8_t inner[LENGTH];

	(void)state;
	peer_inner(inner, LENGTH, 17, WORLD_INNER, WORLD_TARGET);
	for (unsigned kind = 0; kind < RTE_DIM(table) * 6; kind++) {
		struct world *x = world_create(0, 8);
		unsigned row = kind / 6;
		int is_end = kind % 2, shift = (int)(kind / 2 % 3) - 1;
		int has_room = is_end ? shift <= 0 : shift >= 0;
		struct dp_pkt *p;
		uint8_t *buffer;
		unsigned at;

		world_add_out(x, 0, SPI, table[row].algorithm, IPC_SA_UDP | IPC_SA_ESN);
		p = world_push_inner(x, inner, LENGTH, 0);
		buffer = p->m->buf_addr;
		at = is_end ? p->m->buf_len - table[row].behind - LENGTH + (unsigned)shift
		            : table[row].before + 14u + (unsigned)shift;
		memmove(buffer + at, p->l3, LENGTH);
		p->l3 = buffer + at;
		p->m->data_off = (uint16_t)at;
		p->m->data_len = LENGTH;
		world_out(x);
		assert_int_equal(p->verdict, has_room ? DP_OK : DP_CRYPTO);
		if (!has_room)
			assert_memory_equal(buffer + at, inner, LENGTH);
		world_destroy(x);
	}
}

static void exhausts(enum ipc_algorithm algorithm, uint32_t flags, uint64_t last, uint64_t warning)
{
	struct world *x = world_create(0, 8);
	struct ipc_sa_add add = world_add_request(IPC_OUT, SPI, algorithm, flags);
	struct esp_peer peer = world_peer(&add);
	struct dp_sa_out *sa;
	uint8_t inner[100];

	assert_int_equal(world_add(x, &add, 0), 0);
	sa = x->tunnels[0].out;
	peer_inner(inner, sizeof(inner), 17, WORLD_INNER, WORLD_TARGET);
	sa->sequence = warning - 1;
	for (unsigned i = 0; i < 3; i++) {
		world_push_inner(x, inner, sizeof(inner), 0);
		world_out(x);
		check_sent(x, 0, &peer, warning + i, inner, sizeof(inner));
		assert_int_equal(dp_sa_take_changed(&x->w), i == 1);
		world_clear(x);
	}
	sa->sequence = last - 2;
	for (unsigned i = 0; i < 4; i++)
		world_push_inner(x, inner, sizeof(inner), 0);
	world_out(x);
	check_sent(x, 0, &peer, last - 1, inner, sizeof(inner));
	check_sent(x, 1, &peer, last, inner, sizeof(inner));
	assert_int_equal(x->batch.p[2].verdict, DP_ESP_SEQUENCE);
	assert_int_equal(x->batch.p[3].verdict, DP_ESP_SEQUENCE);
	assert_memory_equal(x->batch.p[2].l3, inner, sizeof(inner)); /* and nothing left */
	world_clear(x);
	world_push_inner(x, inner, sizeof(inner), 0);
	world_out(x);
	assert_int_equal(x->batch.p[0].verdict, DP_ESP_SEQUENCE);
	assert_true(sa->sequence == last);
	world_destroy(x);
}

static void stops_at_the_last_sequence_number(void **state)
{
	(void)state;
	exhausts(IPC_AES128_GCM16, 0, UINT32_MAX, UINT32_MAX / 4 * 3);
	exhausts(IPC_AES128_GCM16, IPC_SA_ESN, UINT64_MAX, UINT64_MAX / 4 * 3);
	exhausts(IPC_AES256_CBC_SHA384_192, 0, UINT32_MAX, UINT32_MAX / 4 * 3);
	exhausts(IPC_AES256_CBC_SHA384_192, IPC_SA_ESN, UINT64_MAX, UINT64_MAX / 4 * 3);
	exhausts(IPC_CHACHA20_POLY1305, IPC_SA_ESN, UINT64_MAX, UINT64_MAX / 4 * 3);
}

/* With extended numbers the 32 bits on the wire wrap, the authenticated high half goes on. */
static void goes_over_32_bits(void **state)
{
	uint8_t inner[100];

	(void)state;
	peer_inner(inner, sizeof(inner), 17, WORLD_INNER, WORLD_TARGET);
	for (unsigned algorithm = IPC_AES128_GCM16; algorithm <= IPC_AES256_CBC_SHA512_256;
	     algorithm++) {
		struct world *x = world_create(0, 8);
		struct ipc_sa_add add =
			world_add_request(IPC_OUT, SPI, algorithm, IPC_SA_ESN | IPC_SA_UDP);
		struct esp_peer peer = world_peer(&add);

		assert_int_equal(world_add(x, &add, 0), 0);
		x->tunnels[0].out->sequence = 0xfffffff0;
		for (unsigned i = 0; i < DP_BURST; i++)
			world_push_inner(x, inner, sizeof(inner), 0);
		world_out(x);
		for (unsigned i = 0; i < DP_BURST; i++)
			check_sent(x, i, &peer, 0xfffffff1ull + i, inner, sizeof(inner));
		world_destroy(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_opened_by_the_peer),
		cmocka_unit_test(copies_the_type_of_service),
		cmocka_unit_test(keeps_tunnels_apart),
		cmocka_unit_test(mixes_suites_in_a_burst),
		cmocka_unit_test(makes_unpredictable_vectors),
		cmocka_unit_test(needs_a_tunnel),
		cmocka_unit_test(says_what_fits),
		cmocka_unit_test(fits_exactly_with_every_suite),
		cmocka_unit_test(stays_within_the_buffer),
		cmocka_unit_test(stops_at_the_last_sequence_number),
		cmocka_unit_test(goes_over_32_bits),
	};

	return cmocka_run_group_tests_name("esp_out", tests, world_eal, NULL);
}
