/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an ESP implementation made of OpenSSL sends comes out whole; everything else ends with its
 * own verdict. */
#include <arpa/inet.h>
#include <string.h>

#include "dataplane/esp_in.h"
#include "tests/unit/dataplane/esp_world.h"

#define TEXT_MAX 2000u
#define TCP 6
#define UDP 17
#define ICMP 1

static const uint32_t flags_of[] = { 0, IPC_SA_UDP, IPC_SA_ESN, IPC_SA_ESN | IPC_SA_UDP };
/* One of each way of working. */
static const unsigned kinds[] = { IPC_AES128_GCM16,          IPC_CHACHA20_POLY1305,
	                          IPC_AES128_CBC_SHA1_96,    IPC_AES192_CBC_SHA256_128,
	                          IPC_AES256_CBC_SHA384_192, IPC_AES256_CBC_SHA512_256 };

/* One inbound SA and the server that sends on it. */
struct link {
	struct world *x;
	struct dp_sa_in *sa;
	struct esp_peer peer;
	uint16_t tunnel;
};

static struct link link_add(struct world *x, uint16_t tunnel, unsigned algorithm, uint32_t flags,
                            uint32_t window)
{
	struct link l = { .x = x, .tunnel = tunnel };
	struct ipc_sa_add add;
	uint32_t spi_be;

	assert_int_equal(dp_sa_spi_alloc(&x->w, tunnel, 0x2000u + tunnel, &spi_be), 0);
	add = world_add_request(IPC_IN, ntohl(spi_be), algorithm, flags);
	add.replay_window = window;
	assert_int_equal(world_add(x, &add, tunnel), 0);
	l.sa = dp_sa_lookup(x->w.sas, spi_be)->sa;
	l.peer = world_peer(&add);
	return l;
}

/* Seals TEXT as it is and puts the packet into the batch. */
static struct dp_pkt *send_text(struct link *l, uint64_t sequence, const uint8_t *text,
                                unsigned length)
{
	uint8_t packet[TEXT_MAX + 100];
	unsigned total = peer_seal(&l->peer, sequence, sequence * 3 + 1, text, length, packet);

	assert_int_not_equal(total, 0);
	return world_push_outer(l->x, packet, total);
}

/* An inner packet with the least padding. */
static struct dp_pkt *send_packet(struct link *l, uint64_t sequence, const uint8_t *inner,
                                  unsigned length)
{
	uint8_t text[TEXT_MAX];

	const unsigned block = peer_suite(l->peer.algorithm).block_bytes;

	memcpy(text, inner, length);
	return send_text(l, sequence, text,
	                 peer_trailer(text, length, (block - (length + 2) % block) % block, 4));
}

static void check_inner(const struct link *l, const struct dp_pkt *p, const uint8_t *inner,
                        unsigned length)
{
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(p->environment, l->tunnel + 100);
	assert_int_equal(p->tunnel, l->tunnel);
	assert_int_equal(p->l3_length, length);
	assert_int_equal(p->l3_header, 20);
	assert_int_equal(p->protocol, inner[9]);
	assert_ptr_equal(rte_pktmbuf_mtod(p->m, uint8_t *), p->l3);
	assert_int_equal(p->m->data_len, length);
	assert_int_equal(p->m->pkt_len, length);
	assert_memory_equal(p->l3, inner, length);
}

static void passes_what_the_peer_sends(void **state)
{
	static uint8_t inner[DP_BURST][TEXT_MAX];

	(void)state;
	for (unsigned kind = 0; kind < IPC_AES256_CBC_SHA512_256 * 4; kind++) {
		struct world *x = world_create(0, 8);
		struct link l = link_add(x, 2, IPC_AES128_GCM16 + kind / 4, flags_of[kind % 4], 64);
		uint64_t sequence = 0, bytes = 0;
		unsigned length = 40;

		while (length <= 1438) {
			unsigned n = 0, lengths[DP_BURST];

			for (; n < DP_BURST && length <= 1438; n++, length += n % 3 + 1) {
				peer_inner(inner[n], length,
				           n % 3 == 0   ? TCP
				           : n % 3 == 1 ? UDP
				                        : ICMP,
				           WORLD_TARGET, WORLD_INNER);
				send_packet(&l, ++sequence, inner[n], length);
				lengths[n] = length;
				bytes += length;
			}
			world_in(x);
			for (unsigned i = 0; i < n; i++)
				check_inner(&l, &x->batch.p[i], inner[i], lengths[i]);
			world_clear(x);
		}
		assert_true(l.sa->packets == sequence && x->tunnels[2].packets_in == sequence);
		assert_true(l.sa->bytes == bytes && x->tunnels[2].bytes_in == bytes);
		assert_true(l.sa->used_ns == x->w.now_ns);
		assert_true(x->tunnels[2].heard_ns == x->w.now_ns);
		assert_true(x->count.esp_in_packets == sequence);
		assert_true(l.sa->replay.top == sequence);
		world_destroy(x);
	}
}

/* Padding may be long, and more than padding may follow the packet: RFC 4303 sections 2.4 and 2.7.
 */
static void passes_padding_of_any_length(void **state)
{
	uint8_t inner[60], text[TEXT_MAX];

	(void)state;
	peer_inner(inner, sizeof(inner), UDP, WORLD_TARGET, WORLD_INNER);
	for (unsigned kind = 0; kind < RTE_DIM(kinds); kind++) {
		struct world *x = world_create(0, 8);
		struct link l = link_add(x, 1, kinds[kind], 0, 64);
		unsigned block = peer_suite(kinds[kind]).block_bytes;
		uint64_t sequence = 0;

		for (unsigned pad = 2; pad < 256; pad += block) {
			memcpy(text, inner, sizeof(inner));
			send_text(&l, ++sequence, text, peer_trailer(text, sizeof(inner), pad, 4));
			world_in(x);
			check_inner(&l, &x->batch.p[0], inner, sizeof(inner));
			world_clear(x);
		}
		for (unsigned tfc = 16; tfc < 1300; tfc += 112) {
			memcpy(text, inner, sizeof(inner));
			memset(text + sizeof(inner), 0xa5, tfc);
			send_text(&l, ++sequence, text,
			          peer_trailer(text, sizeof(inner) + tfc, 2, 4));
			world_in(x);
			check_inner(&l, &x->batch.p[0], inner, sizeof(inner));
			world_clear(x);
		}
		/* a dummy of any content, RFC 4303 section 2.6 */
		memset(text, 0x3c, 62);
		send_text(&l, ++sequence, text, peer_trailer(text, 62, 0, 59));
		world_in(x);
		assert_int_equal(x->batch.p[0].verdict, DP_ESP_DUMMY);
		world_destroy(x);
	}
}

/* Packets of four SAs in any order: each opened with its own key, order kept. */
static void keeps_sas_apart(void **state)
{
	struct world *x = world_create(0, 16);
	struct link l[4];
	static uint8_t inner[DP_BURST][100];
	uint64_t sequence[4] = { 0 }, seed = 3;

	(void)state;
	for (uint16_t t = 0; t < 4; t++)
		l[t] = link_add(x, t, IPC_AES128_GCM16 + t, t & 1 ? IPC_SA_UDP : IPC_SA_ESN, 128);
	for (unsigned round = 0; round < 50; round++) {
		unsigned from[DP_BURST];

		for (unsigned i = 0; i < DP_BURST; i++) {
			from[i] = round & 1 ? i / 8 : (unsigned)(peer_random(&seed) >> 33) % 4;
			peer_inner(inner[i], 100, UDP, WORLD_TARGET, WORLD_INNER);
			send_packet(&l[from[i]], ++sequence[from[i]], inner[i], 100);
			if (i % 13 == 7)
				x->batch.p[i].verdict = DP_IP_CHECKSUM;
		}
		world_in(x);
		for (unsigned i = 0; i < DP_BURST; i++) {
			if (i % 13 == 7)
				assert_int_equal(x->batch.p[i].verdict, DP_IP_CHECKSUM);
			else
				check_inner(&l[from[i]], &x->batch.p[i], inner[i], 100);
		}
		world_clear(x);
	}
	world_destroy(x);
}

/* Eight SAs of different suites in one burst, some packets forged, some twice: each has its own
 * verdict, none disturbs another one, and the order is kept. */
static void mixes_suites_in_a_burst(void **state)
{
	static uint8_t inner[DP_BURST][1400];
	uint64_t seed = 99;

	(void)state;
	for (unsigned first = 0; first < 2 * WORLD_TUNNELS; first++) {
		struct world *x = world_create(0, 16);
		struct link l[WORLD_TUNNELS];
		uint64_t sequence[WORLD_TUNNELS] = { 0 }, packets[WORLD_TUNNELS] = { 0 };

		for (uint16_t t = 0; t < WORLD_TUNNELS; t++)
			l[t] = link_add(x, t, IPC_AES128_GCM16 + (first + t * 3u) % 16,
			                flags_of[(peer_random(&seed) >> 20) % 4], 128);
		for (unsigned round = 0; round < 20; round++) {
			unsigned from[DP_BURST], lengths[DP_BURST];
			enum dp_verdict expected[DP_BURST];
			bool is_sent[WORLD_TUNNELS] = { false };

			for (unsigned i = 0; i < DP_BURST; i++) {
				unsigned t = from[i] =
					(unsigned)(peer_random(&seed) >> 33) % WORLD_TUNNELS;
				unsigned what = (unsigned)(peer_random(&seed) >> 33) % 8;
				struct dp_pkt *p;

				lengths[i] = 28 + (unsigned)(peer_random(&seed) >> 33) % 1350;
				peer_inner(inner[i], lengths[i], UDP, WORLD_TARGET, WORLD_INNER);
				expected[i] = DP_OK;
				if (what == 0 && is_sent[t])
					expected[i] =
						DP_ESP_REPLAY; /* the number of the one before */
				else
					sequence[t]++;
				p = send_packet(&l[t], sequence[t], inner[i], lengths[i]);
				is_sent[t] = true;
				if (what == 1) { /* anywhere behind the numbers */
					unsigned bytes =
						(unsigned)(p->l3 + p->l3_length - p->esp) - 8;

					p->esp[8 + (peer_random(&seed) >> 20) % bytes] ^= 0x20;
					expected[i] = DP_ESP_ICV;
					is_sent[t] = false;
				} else if (expected[i] == DP_OK) {
					packets[t]++;
				}
			}
			world_in(x);
			for (unsigned i = 0; i < DP_BURST; i++) {
				if (expected[i] == DP_OK)
					check_inner(&l[from[i]], &x->batch.p[i], inner[i],
					            lengths[i]);
				else
					assert_int_equal(x->batch.p[i].verdict, expected[i]);
			}
			world_clear(x);
		}
		for (unsigned t = 0; t < WORLD_TUNNELS; t++)
			assert_true(l[t].sa->packets == packets[t] &&
			            x->tunnels[t].packets_in == packets[t]);
		world_destroy(x);
	}
}

/* ---- before decryption ---- */

enum outer_change {
	TOO_SHORT_FOR_A_HEADER,
	TOO_SHORT_FOR_A_TEXT,
	NOT_A_MULTIPLE_OF_4,
	NOT_A_MULTIPLE_OF_16,
	UNKNOWN_SPI,
	SPI_0,
	LARVAL_SPI,
	OTHER_ENCAPSULATION,
	OTHER_SOURCE,
	OTHER_DESTINATION,
	OTHER_SOURCE_PORT,
	OTHER_DESTINATION_PORT,
	SHORT_UDP_LENGTH,
	LONG_UDP_LENGTH,
	SEQUENCE_0,
};

static void set16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void cut(struct dp_pkt *p, unsigned esp_bytes)
{
	p->l3_length = (uint16_t)(p->esp - p->l3 + esp_bytes);
	set16(p->l3 + 2, p->l3_length);
	if (p->protocol == 17)
		set16(p->esp - 4, esp_bytes + 8);
}

static void change_outer(struct world *x, struct dp_pkt *p, const struct peer_suite *suite,
                         enum outer_change change)
{
	unsigned around = 8 + suite->iv_bytes + suite->icv_bytes;
	uint32_t spi_be;

	switch (change) {
	case TOO_SHORT_FOR_A_HEADER:
		cut(p, 7);
		break;
	case TOO_SHORT_FOR_A_TEXT:
		cut(p, around);
		break;
	case NOT_A_MULTIPLE_OF_4:
		cut(p, around + 42);
		break;
	case NOT_A_MULTIPLE_OF_16:
		cut(p, around + 24);
		break;
	case UNKNOWN_SPI:
		p->esp[3] ^= 0x80;
		break;
	case SPI_0:
		memset(p->esp, 0, 4);
		break;
	case LARVAL_SPI:
		assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 0x999, &spi_be), 0);
		memcpy(p->esp, &spi_be, 4);
		break;
	case OTHER_ENCAPSULATION:
		p->protocol = p->protocol == 17 ? 50 : 17;
		set16(p->esp - 4, (unsigned)(p->l3 + p->l3_length - p->esp) + 8);
		break;
	case OTHER_SOURCE:
		p->l3[15] ^= 1;
		break;
	case OTHER_DESTINATION:
		p->l3[19] ^= 1;
		break;
	case OTHER_SOURCE_PORT:
		p->esp[-7] ^= 1;
		break;
	case OTHER_DESTINATION_PORT:
		p->esp[-5] ^= 1;
		break;
	case SHORT_UDP_LENGTH:
		set16(p->esp - 4, (unsigned)(p->l3 + p->l3_length - p->esp) + 8 - 4);
		break;
	case LONG_UDP_LENGTH:
		set16(p->esp - 4, (unsigned)(p->l3 + p->l3_length - p->esp) + 8 + 4);
		break;
	case SEQUENCE_0:
		memset(p->esp + 4, 0, 4);
		break;
	}
}

static void refuses_before_decryption(void **state)
{
	static const struct {
		uint32_t flags;
		enum outer_change change;
		enum dp_verdict verdict;
	} table[] = {
		{ 0, TOO_SHORT_FOR_A_HEADER, DP_ESP_TRUNCATED },
		{ 0, TOO_SHORT_FOR_A_TEXT, DP_ESP_TRUNCATED },
		{ 0, NOT_A_MULTIPLE_OF_4, DP_ESP_TRUNCATED },
		{ IPC_SA_ESN, NOT_A_MULTIPLE_OF_16, DP_ESP_TRUNCATED },
		{ IPC_SA_UDP, TOO_SHORT_FOR_A_HEADER, DP_ESP_TRUNCATED },
		{ IPC_SA_UDP, TOO_SHORT_FOR_A_TEXT, DP_ESP_TRUNCATED },
		{ IPC_SA_UDP, SHORT_UDP_LENGTH, DP_ESP_TRUNCATED },
		{ IPC_SA_UDP, LONG_UDP_LENGTH, DP_ESP_TRUNCATED },
		{ 0, UNKNOWN_SPI, DP_ESP_NO_SA },
		{ 0, SPI_0, DP_ESP_NO_SA },
		{ 0, LARVAL_SPI, DP_TAKEN }, /* held: test_larval.c */
		{ 0, OTHER_ENCAPSULATION, DP_ESP_ENCAPSULATION },
		{ IPC_SA_UDP, OTHER_ENCAPSULATION, DP_ESP_ENCAPSULATION },
		{ 0, OTHER_SOURCE, DP_ESP_PEER },
		{ IPC_SA_UDP, OTHER_SOURCE, DP_ESP_PEER },
		{ IPC_SA_UDP, OTHER_DESTINATION, DP_ESP_PEER },
		{ IPC_SA_UDP, OTHER_SOURCE_PORT, DP_ESP_PEER },
		{ IPC_SA_UDP, OTHER_DESTINATION_PORT, DP_ESP_PEER },
		{ 0, SEQUENCE_0, DP_ESP_REPLAY },
		{ IPC_SA_ESN, SEQUENCE_0, DP_ESP_REPLAY },
	};
	uint8_t inner[100];

	(void)state;
	peer_inner(inner, sizeof(inner), UDP, WORLD_TARGET, WORLD_INNER);
	for (unsigned row = 0; row < RTE_DIM(table) * RTE_DIM(kinds); row++) {
		unsigned i = row % RTE_DIM(table), algorithm = kinds[row / RTE_DIM(table)];
		struct peer_suite suite = peer_suite(algorithm);
		struct world *x = world_create(0, 8);
		struct link l = link_add(x, 1, algorithm, table[i].flags, 64);
		enum dp_verdict verdict = table[i].verdict;
		struct dp_pkt *p;

		if (table[i].change == NOT_A_MULTIPLE_OF_16 && suite.block_bytes == 4)
			verdict = DP_ESP_ICV;
		send_packet(&l, 5, inner, sizeof(inner)); /* neighbours are not touched */
		p = send_packet(&l, 6, inner, sizeof(inner));
		send_packet(&l, 7, inner, sizeof(inner));
		change_outer(x, p, &suite, table[i].change);
		world_in(x);
		if (p->verdict != verdict)
			fail_msg("row %u: verdict %u instead of %u", row, p->verdict, verdict);
		check_inner(&l, &x->batch.p[0], inner, sizeof(inner));
		check_inner(&l, &x->batch.p[2], inner, sizeof(inner));
		assert_true(l.sa->replay.top == 7);
		assert_int_equal(l.sa->packets, 2);
		world_destroy(x);
	}
}

/* ---- authentication and replay ---- */

static void does_not_move_for_a_forged_packet(void **state)
{
	uint8_t inner[100];

	(void)state;
	peer_inner(inner, sizeof(inner), UDP, WORLD_TARGET, WORLD_INNER);
	for (unsigned kind = 0; kind < RTE_DIM(kinds) * 2; kind++) {
		struct world *x = world_create(0, 8);
		struct link l = link_add(x, 1, kinds[kind / 2], kind & 1 ? IPC_SA_ESN : 0, 64);
		struct dp_replay before;
		unsigned length;

		send_packet(&l, 10, inner, sizeof(inner));
		length = (unsigned)(x->batch.p[0].l3 + x->batch.p[0].l3_length - x->batch.p[0].esp);
		world_in(x);
		world_clear(x);
		before = l.sa->replay;
		x->w.now_ns += 1000;
		/* every part of the packet, one bit each: SPI and addresses aside, which are the
		 * lookup's */
		for (unsigned at = 4; at < length; at++) {
			struct dp_pkt *p = send_packet(&l, 1000000, inner, sizeof(inner));

			p->esp[at] ^= (uint8_t)(1u << at % 8);
			world_in(x);
			if (at < 8) /* another sequence number is still not below the window */
				assert_true(p->verdict == DP_ESP_ICV ||
				            p->verdict == DP_ESP_REPLAY);
			else
				assert_int_equal(p->verdict, DP_ESP_ICV);
			world_clear(x);
		}
		assert_memory_equal(&l.sa->replay, &before, sizeof(before));
		assert_int_equal(l.sa->packets, 1);
		/* and it is no sign of life */
		assert_true(x->tunnels[1].heard_ns == x->w.now_ns - 1000);
		/* the real one with this number is welcome */
		send_packet(&l, 11, inner, sizeof(inner));
		world_in(x);
		check_inner(&l, &x->batch.p[0], inner, sizeof(inner));
		world_destroy(x);
	}
}

static void check_duplicates(unsigned algorithm)
{
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, algorithm, IPC_SA_UDP, 64),
		    other = link_add(x, 2, IPC_AES128_GCM16, 0, 64);
	static const struct {
		int is_other;
		unsigned sequence;
		enum dp_verdict verdict;
	} burst[] = {
		{ 0, 1, DP_OK },   { 0, 1, DP_ESP_REPLAY },  { 1, 1, DP_OK },
		{ 0, 2, DP_OK },   { 1, 1, DP_ESP_REPLAY },  { 0, 1, DP_ESP_REPLAY },
		{ 0, 100, DP_OK }, { 0, 36, DP_ESP_REPLAY }, /* fell out within the burst */
		{ 0, 37, DP_OK },  { 0, 37, DP_ESP_REPLAY }, { 0, 100, DP_ESP_REPLAY },
	};
	uint8_t inner[100];

	peer_inner(inner, sizeof(inner), UDP, WORLD_TARGET, WORLD_INNER);
	for (unsigned i = 0; i < RTE_DIM(burst); i++)
		send_packet(burst[i].is_other ? &other : &l, burst[i].sequence, inner,
		            sizeof(inner));
	world_in(x);
	for (unsigned i = 0; i < RTE_DIM(burst); i++) {
		if (x->batch.p[i].verdict != burst[i].verdict)
			fail_msg("packet %u: verdict %u", i, x->batch.p[i].verdict);
	}
	assert_int_equal(l.sa->packets, 4);
	assert_int_equal(other.sa->packets, 1);
	world_clear(x);
	/* and between bursts before any work is done */
	x->w.now_ns += 1000;
	send_packet(&l, 100, inner, sizeof(inner));
	dp_esp_in_lookup(&x->w, &x->batch);
	assert_int_equal(x->batch.p[0].verdict, DP_ESP_REPLAY);
	dp_esp_in_decrypt(&x->w, &x->batch);
	assert_true(x->tunnels[1].heard_ns == x->w.now_ns - 1000);
	world_destroy(x);
}

static void catches_duplicates_within_a_burst(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < RTE_DIM(kinds); kind++)
		check_duplicates(kinds[kind]);
}

static void check_extended_numbers(unsigned algorithm)
{
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, algorithm, IPC_SA_ESN | IPC_SA_UDP, 128);
	uint8_t inner[100];
	uint64_t late;

	peer_inner(inner, sizeof(inner), UDP, WORLD_TARGET, WORLD_INNER);
	dp_replay_commit(&l.sa->replay, 0xffffffc0);
	for (uint64_t sequence = 0xffffffc1; sequence < 0x100000050; sequence += 1 + sequence % 2) {
		send_packet(&l, sequence, inner, sizeof(inner));
		world_in(x);
		check_inner(&l, &x->batch.p[0], inner, sizeof(inner));
		world_clear(x);
	}
	late = l.sa->replay.top - 0x60; /* from the subspace before, within the window */
	assert_true(late < 0x100000000);
	late += !dp_replay_check(&l.sa->replay, late);
	send_packet(&l, late, inner, sizeof(inner));
	send_packet(&l, late, inner, sizeof(inner));
	/* the same 32 bits, but of the subspace before: the high bits are authenticated */
	send_packet(&l, 0x51, inner, sizeof(inner));
	world_in(x);
	assert_int_equal(x->batch.p[0].verdict, DP_OK);
	assert_int_equal(x->batch.p[1].verdict, DP_ESP_REPLAY);
	assert_int_equal(x->batch.p[2].verdict, DP_ESP_ICV);
	world_destroy(x);
}

static void follows_extended_numbers_over_32_bits(void **state)
{
	(void)state;
	for (unsigned algorithm = IPC_AES128_GCM16; algorithm <= IPC_AES256_CBC_SHA512_256;
	     algorithm++)
		check_extended_numbers(algorithm);
}

/* ---- behind the ICV ---- */

static void refuses_wrong_trailers(void **state)
{
	static const struct {
		unsigned pad;
		uint8_t pad_length, next;
		int broken_at;
		enum dp_verdict verdict;
	} table[] = {
		{ 2, 2, 4, -1, DP_OK },
		{ 2, 2, 59, -1, DP_ESP_DUMMY },
		{ 2, 2, 41, -1, DP_ESP_PADDING },
		{ 2, 2, 17, -1, DP_ESP_PADDING },
		{ 2, 2, 4, 0, DP_ESP_PADDING },
		{ 2, 2, 4, 1, DP_ESP_PADDING },
		{ 254, 254, 4, 253, DP_ESP_PADDING },
		{ 254, 254, 59, 100, DP_ESP_PADDING },
		{ 2, 103, 4, -1, DP_ESP_PADDING }, /* reaches beyond the text */
		{ 2, 255, 4, -1, DP_ESP_PADDING },
		{ 2, 255, 59, -1, DP_ESP_PADDING },
		{ 2, 102, 4, -1, DP_ESP_PADDING },
	};
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, IPC_AES128_GCM16, 0, 64);
	uint8_t text[TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		unsigned length;

		peer_inner(text, 100, UDP, WORLD_TARGET, WORLD_INNER);
		length = peer_trailer(text, 100, table[i].pad, table[i].next);
		text[length - 2] = table[i].pad_length;
		if (table[i].broken_at >= 0)
			text[100 + table[i].broken_at] ^= 0x40;
		x->w.now_ns++;
		send_text(&l, i + 1, text, length);
		world_in(x);
		if (x->batch.p[0].verdict != table[i].verdict)
			fail_msg("row %u: verdict %u", i, x->batch.p[0].verdict);
		/* authentic all the same: it counts as a sign of life and may not come twice */
		assert_true(l.sa->replay.top == i + 1);
		assert_true(x->tunnels[1].heard_ns == x->w.now_ns);
		world_clear(x);
	}
	assert_int_equal(l.sa->packets, 1);
	/* a text of nothing but a trailer */
	send_text(&l, 50, text, peer_trailer(text, 0, 2, 59));
	send_text(&l, 51, text, peer_trailer(text, 0, 2, 4));
	world_in(x);
	assert_int_equal(x->batch.p[0].verdict, DP_ESP_DUMMY);
	assert_int_equal(x->batch.p[1].verdict, DP_INNER_INVALID);
	world_destroy(x);
}

enum inner_change {
	NOTHING,
	VERSION_6,
	HEADER_16,
	HEADER_24,
	TOTAL_19,
	TOTAL_TOO_LONG,
	BAD_CHECKSUM,
	TTL_0,
	TTL_1,
	TTL_2,
	SOURCE_THIS_NET,
	SOURCE_LOOPBACK,
	SOURCE_MULTICAST,
	SOURCE_BROADCAST,
	MORE_FRAGMENTS,
	LAST_FRAGMENT,
	TCP_CUT,
	TCP_OFFSET_4,
	TCP_OFFSET_15,
	UDP_CUT,
	UDP_LENGTH_7,
	UDP_LENGTH_LONG,
	ICMP_CUT,
	HEADER_ALONE,
};

static unsigned change_inner(uint8_t *inner, unsigned length, enum inner_change change)
{
	switch (change) {
	case NOTHING:
		return length;
	case VERSION_6:
		inner[0] = 0x65;
		break;
	case HEADER_16:
		inner[0] = 0x44;
		break;
	case HEADER_24:
		inner[0] = 0x46;
		break;
	case TOTAL_19:
		set16(inner + 2, 19);
		break;
	case TOTAL_TOO_LONG:
		set16(inner + 2, length + 1);
		break;
	case BAD_CHECKSUM:
		inner[10] ^= 1;
		return length;
	case TTL_0:
	case TTL_1:
	case TTL_2:
		inner[8] = (uint8_t)(change - TTL_0);
		break;
	case SOURCE_THIS_NET:
		inner[12] = 0;
		break;
	case SOURCE_LOOPBACK:
		inner[12] = 127;
		break;
	case SOURCE_MULTICAST:
		inner[12] = 224;
		break;
	case SOURCE_BROADCAST:
		memset(inner + 12, 255, 4);
		break;
	case MORE_FRAGMENTS:
		inner[6] = 0x20;
		break;
	case LAST_FRAGMENT:
		set16(inner + 6, 0x1fff);
		break;
	case TCP_CUT:
		length = 39;
		break;
	case TCP_OFFSET_4:
		inner[32] = 0x40;
		break;
	case TCP_OFFSET_15:
		length = 79;
		inner[32] = 0xf0;
		break;
	case UDP_CUT:
	case ICMP_CUT:
		length = 27;
		break;
	case UDP_LENGTH_7:
		set16(inner + 24, 7);
		break;
	case UDP_LENGTH_LONG:
		set16(inner + 24, length - 20 + 1);
		break;
	case HEADER_ALONE:
		length = 20;
		break;
	}
	if (change >= TCP_CUT)
		set16(inner + 2, length);
	peer_checksum(inner);
	return length;
}

static void refuses_wrong_inner_packets(void **state)
{
	static const struct {
		uint8_t protocol;
		enum inner_change change;
		enum dp_verdict verdict;
	} table[] = {
		{ TCP, NOTHING, DP_OK },
		{ UDP, NOTHING, DP_OK },
		{ ICMP, NOTHING, DP_OK },
		{ 47, NOTHING, DP_OK },
		{ UDP, VERSION_6, DP_INNER_INVALID },
		{ UDP, HEADER_16, DP_INNER_INVALID },
		{ UDP, HEADER_24, DP_INNER_INVALID },
		{ UDP, TOTAL_19, DP_INNER_INVALID },
		{ UDP, TOTAL_TOO_LONG, DP_INNER_INVALID },
		{ UDP, BAD_CHECKSUM, DP_INNER_INVALID },
		{ UDP, TTL_0, DP_INNER_INVALID },
		{ UDP, TTL_1, DP_INNER_INVALID },
		{ UDP, TTL_2, DP_OK },
		{ UDP, SOURCE_THIS_NET, DP_INNER_INVALID },
		{ UDP, SOURCE_LOOPBACK, DP_INNER_INVALID },
		{ UDP, SOURCE_MULTICAST, DP_INNER_INVALID },
		{ UDP, SOURCE_BROADCAST, DP_INNER_INVALID },
		{ UDP, MORE_FRAGMENTS, DP_OK },
		{ TCP, LAST_FRAGMENT, DP_OK },
		{ TCP, TCP_CUT, DP_L4_HEADER },
		{ TCP, TCP_OFFSET_4, DP_L4_HEADER },
		{ TCP, TCP_OFFSET_15, DP_L4_HEADER },
		{ UDP, UDP_CUT, DP_L4_HEADER },
		{ UDP, UDP_LENGTH_7, DP_L4_HEADER },
		{ UDP, UDP_LENGTH_LONG, DP_L4_HEADER },
		{ ICMP, ICMP_CUT, DP_L4_HEADER },
		{ TCP, HEADER_ALONE, DP_L4_HEADER },
		{ 47, HEADER_ALONE, DP_OK },
	};
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, IPC_AES128_GCM16, 0, 64);
	unsigned passed = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		uint8_t inner[200];
		unsigned length;

		peer_inner(inner, 100, table[i].protocol, WORLD_TARGET, WORLD_INNER);
		length = change_inner(inner, 100, table[i].change);
		send_packet(&l, i + 1, inner, length);
		world_in(x);
		if (x->batch.p[0].verdict != table[i].verdict)
			fail_msg("row %u: verdict %u instead of %u", i, x->batch.p[0].verdict,
			         table[i].verdict);
		if (table[i].verdict == DP_OK) {
			check_inner(&l, &x->batch.p[0], inner, length);
			passed++;
		}
		world_clear(x);
	}
	assert_int_equal(l.sa->packets, passed);
	world_destroy(x);
}

/* RFC 6040 figure 4, every combination. */
static void tells_congestion_inside(void **state)
{
	enum { DROP = 4 };
	/* [inner][outer]; Not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3 */
	static const uint8_t figure[4][4] = {
		{ 0, 0, 0, DROP }, { 1, 1, 1, 3 }, { 2, 1, 2, 3 }, { 3, 3, 3, 3 }
	};
	struct world *x = world_create(0, 8);
	struct link l = link_add(x, 1, IPC_AES128_GCM16, 0, 64);
	uint64_t sequence = 0;

	(void)state;
	for (unsigned inside = 0; inside < 4; inside++) {
		for (unsigned outside = 0; outside < 4; outside++) {
			for (unsigned dscp = 0; dscp < 64; dscp++) {
				uint8_t inner[60];

				peer_inner(inner, sizeof(inner), UDP, WORLD_TARGET, WORLD_INNER);
				inner[1] = (uint8_t)(dscp << 2 | inside);
				peer_checksum(inner);
				l.peer.tos = (uint8_t)((63 - dscp) << 2 | outside);
				send_packet(&l, ++sequence, inner, sizeof(inner));
				world_in(x);
				if (figure[inside][outside] == DROP) {
					assert_int_equal(x->batch.p[0].verdict, DP_INNER_INVALID);
				} else {
					inner[1] = (uint8_t)(dscp << 2 | figure[inside][outside]);
					peer_checksum(inner);
					check_inner(&l, &x->batch.p[0], inner, sizeof(inner));
				}
				world_clear(x);
			}
		}
	}
	world_destroy(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_what_the_peer_sends),
		cmocka_unit_test(passes_padding_of_any_length),
		cmocka_unit_test(keeps_sas_apart),
		cmocka_unit_test(mixes_suites_in_a_burst),
		cmocka_unit_test(refuses_before_decryption),
		cmocka_unit_test(does_not_move_for_a_forged_packet),
		cmocka_unit_test(catches_duplicates_within_a_burst),
		cmocka_unit_test(follows_extended_numbers_over_32_bits),
		cmocka_unit_test(refuses_wrong_trailers),
		cmocka_unit_test(refuses_wrong_inner_packets),
		cmocka_unit_test(tells_congestion_inside),
	};

	return cmocka_run_group_tests_name("esp_in", tests, world_eal, NULL);
}
