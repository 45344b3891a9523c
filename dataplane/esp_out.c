/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything in front of the inner packet is three 16-byte stores: the SA's outer header, in two,
 * with what differs put in on the way, then the ESP header and the initialization vector. */
#include "dataplane/esp_out.h"

#include "dataplane/ipv4.h"
#include "dataplane/outer.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#include <immintrin.h>

#include <rte_ether.h>
#include <rte_prefetch.h>

#define NEXT_IPV4 4
#define IN_FRONT 36u /* bytes that all the headers in front of a packet have */

uint16_t dp_esp_inner_mtu(const struct dp_sa_out *sa, uint16_t link_mtu)
{
	unsigned around =
		sa->outer_bytes + DP_ESP_HEADER + sa->suite.iv_bytes + sa->suite.icv_bytes;
	unsigned text;

	if (link_mtu <= around)
		return 0;
	text = (link_mtu - around) & ~(sa->suite.block_bytes - 1u);
	return text < DP_ESP_TRAILER + DP_IPV4_HEADER ? 0 : (uint16_t)(text - DP_ESP_TRAILER);
}

/* RFC 4303 section 2.4: 1, 2, 3, ..., then how many, and the next header. AT has room for PAD +
 * DP_ESP_TRAILER bytes and an ICV, the shortest of which is as long as what is written too far. */
static inline void write_trailer(uint8_t *at, size_t pad)
{
	static const uint64_t whole[] = { 0x0400, 0x040101, 0x04020201, 0x0403030201 };
	static const uint8_t count[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

	if (likely(pad < RTE_DIM(whole))) {
		memcpy(at, &whole[pad], sizeof(whole[pad]));
		return;
	}
	memcpy(at, count, sizeof(count));
	at[pad] = (uint8_t)pad;
	at[pad + 1] = NEXT_IPV4;
}

/* What a run of packets needs of its SA, in registers: no store to a packet changes it. */
struct run {
	struct dp_outer outer;
	uint64_t sequence, mark; /* as in the SA, which gets the first one back */
	__m128i numbers;         /* the first one twice */
	__m128i bytes;           /* of inner packets */
	uint64_t way;            /* of each packet */
	uint32_t shape;          /* of each packet, but for its length */
	uint32_t spi_be, salt;
	uint32_t before, around, outer_bytes;
	uint32_t block_mask;
	uint16_t inner_mtu;
	bool is_esn;
};

static inline struct run begin_run(const struct dp_sa_out *sa)
{
	const struct dp_pkt to = dp_outer_packet(sa);

	return (struct run){ .outer = dp_outer_of(sa),
		             .sequence = sa->sequence,
		             .mark = sa->mark,
		             .numbers = _mm_set1_epi64x((long long)sa->sequence),
		             .bytes = _mm_setzero_si128(),
		             .way = to.way,
		             .shape = to.shape,
		             .spi_be = sa->spi_be,
		             .salt = sa->salt,
		             .before = sa->before,
		             .around = sa->around,
		             .outer_bytes = sa->outer_bytes,
		             .block_mask = sa->suite.block_bytes - 1u,
		             .inner_mtu = sa->inner_mtu,
		             .is_esn = sa->is_esn };
}

/* ESP header and IV on the wire, nonce and additional data for the cipher, with 12 bytes of each
 * that matter. RFC 4106 sections 4 and 5, RFC 7634 section 2: the IV is the sequence number, unique
 * as long as the key lives. CBC makes its own of it. */
static inline void write_esp(struct dp_pkt *p, uint8_t *esp, const struct run *run)
{
	/* 32-bit words: H and L are the halves of the sequence number. H L H L */
	const __m128i swap = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
	__m128i sequence = _mm_shuffle_epi8(run->numbers, swap);
	__m128i header = _mm_insert_epi32(sequence, (int)run->spi_be, 0);      /* SPI L H L */
	__m128i extended = _mm_shuffle_epi32(header, _MM_SHUFFLE(3, 3, 2, 0)); /* SPI H L L */

	_mm_storeu_si128((__m128i *)esp, header);
	_mm_store_si128((__m128i *)p->aad, run->is_esn ? extended : header);
	_mm_store_si128((__m128i *)p->iv, _mm_insert_epi32(extended, (int)run->salt, 0));
}

static __rte_always_inline enum dp_verdict encapsulate(struct dp_worker *w, struct dp_sa_out *sa,
                                                       struct run *run, struct dp_pkt *p)
{
	struct rte_mbuf *m = p->m;
	uint8_t *inner = p->l3, *outer = inner - run->before;
	uint32_t length = p->l3_length;
	uint32_t pad = -(length + DP_ESP_TRAILER) & run->block_mask;
	uint32_t total = length + pad + run->around;
	uint32_t offset = (uint32_t)(outer - (uint8_t *)m->buf_addr);

	if (unlikely(length > run->inner_mtu)) {
		p->limit = run->inner_mtu;
		return DP_TOO_BIG;
	}
	/* room for the frame's header before it, which may begin before the buffer, and for all */
	if (unlikely((int)offset < (int)RTE_ETHER_HDR_LEN || offset + total > m->buf_len))
		return DP_CRYPTO;
	if (unlikely(!dp_outer_take_number(w, sa, &run->sequence, &run->mark)))
		return DP_ESP_SEQUENCE;
	run->numbers = _mm_add_epi64(run->numbers, _mm_set1_epi64x(1));
	write_trailer(inner + length, pad);
	dp_outer_write(outer, &run->outer, dp_load16(inner), total);
	p->esp = outer + run->outer_bytes;
	write_esp(p, p->esp, run);
	p->sa_out = sa;
	p->l3 = outer;
	p->shape = run->shape | total;
	p->way = run->way;
	dp_mbuf_set(m, outer, (uint16_t)total);
	return DP_OK;
}

/* Packets [P, END), all through TUNNEL; its counters are written once. Returns how many go on. */
static unsigned encapsulate_run(struct dp_worker *w, struct dp_tunnel *tunnel, struct dp_pkt *p,
                                const struct dp_pkt *end)
{
	struct dp_sa_out *sa = tunnel->out;
	struct run run = begin_run(sa);
	uint64_t packets = (uint64_t)(end - p), bytes;

	for (; p < end; p++) {
		__m128i length = _mm_cvtsi32_si128(p->l3_length);
		enum dp_verdict verdict;

		if (unlikely(p->verdict != DP_OK)) {
			packets--;
			continue;
		}
		verdict = encapsulate(w, sa, &run, p);
		if (unlikely(verdict != DP_OK)) {
			p->verdict = (uint8_t)verdict;
			packets--;
			continue;
		}
		run.bytes = _mm_add_epi64(run.bytes, length);
	}
	sa->sequence = run.sequence;
	if (packets == 0)
		return 0;
	bytes = (uint64_t)_mm_cvtsi128_si64(run.bytes);
	sa->packets += packets;
	sa->bytes += bytes;
	sa->used_ns = w->now_ns;
	tunnel->packets_out += packets;
	tunnel->bytes_out += bytes;
	return (unsigned)packets;
}

static void refuse_run(struct dp_pkt *p, const struct dp_pkt *end)
{
	for (; p < end; p++)
		if (p->verdict == DP_OK)
			p->verdict = DP_NO_TUNNEL;
}

/* The lines of the SA that its packets need. */
static inline void prefetch_sa(const struct dp_worker *w, uint16_t tunnel)
{
	const struct dp_sa_out *sa = tunnel == DP_NONE_SLOT ? NULL : w->tunnels[tunnel].out;

	if (likely(sa != NULL)) {
		rte_prefetch0(sa);
		rte_prefetch0(&sa->packets);
	}
}

void dp_esp_out_encapsulate(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_pkt *end = b->p + b->n, *to;
	unsigned packets = 0;

	if (b->n > 1 && unlikely(end[-1].tunnel != b->p->tunnel)) {
		for (const struct dp_pkt *p = b->p; p < end; p++)
			prefetch_sa(w, p->tunnel);
	}
	for (struct dp_pkt *p = b->p; p < end; p = to) {
		uint16_t slot = p->tunnel;
		struct dp_tunnel *tunnel = slot == DP_NONE_SLOT ? NULL : &w->tunnels[slot];

		/* nobody has looked yet at what is in front of it */
		for (to = p; to < end && to->tunnel == slot; to++)
			rte_prefetch0(to->l3 - IN_FRONT);
		if (likely(tunnel && tunnel->out))
			packets = encapsulate_run(w, tunnel, p, to);
		else
			refuse_run(p, to);
	}
	b->has_one_sa = packets == b->n;
}

void dp_esp_out_encrypt(struct dp_worker *w, struct dp_batch *b)
{
	w->count->esp_out_packets += dp_outer_encrypt(w, b);
}
