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

/* ESP header and IV on the wire, nonce and additional data for the cipher, with 12 bytes of each
 * that matter. RFC 4106 sections 4 and 5, RFC 7634 section 2: the IV is the sequence number, unique
 * as long as the key lives. CBC makes its own of it. */
static inline void write_esp(struct dp_pkt *p, uint8_t *esp, const struct dp_sa_out *sa)
{
	/* 32-bit words: H and L are the halves of the sequence number. H L H L */
	__m128i sequence = _mm_set1_epi64x((long long)__builtin_bswap64(sa->sequence));
	__m128i header = _mm_insert_epi32(sequence, (int)sa->spi_be, 0);       /* SPI L H L */
	__m128i extended = _mm_shuffle_epi32(header, _MM_SHUFFLE(3, 3, 2, 0)); /* SPI H L L */

	_mm_storeu_si128((__m128i *)esp, header);
	_mm_store_si128((__m128i *)p->aad, sa->is_esn ? extended : header);
	_mm_store_si128((__m128i *)p->iv, _mm_insert_epi32(extended, (int)sa->salt, 0));
}

static inline enum dp_verdict encapsulate(struct dp_worker *w, struct dp_sa_out *sa,
                                          struct dp_pkt *p)
{
	struct rte_mbuf *m = p->m;
	uint8_t *inner = p->l3, *outer = inner - sa->before;
	size_t length = p->l3_length;
	size_t pad = -(length + DP_ESP_TRAILER) & (sa->suite.block_bytes - 1u);
	size_t total = length + pad + sa->around;
	ptrdiff_t offset = outer - (uint8_t *)m->buf_addr;

	if (unlikely(length > sa->inner_mtu)) {
		p->limit = sa->inner_mtu;
		return DP_TOO_BIG;
	}
	if (unlikely(offset < RTE_ETHER_HDR_LEN || (size_t)offset + total > m->buf_len))
		return DP_CRYPTO;
	if (unlikely(sa->sequence >= sa->mark) && !dp_sa_out_at_mark(w, sa))
		return DP_ESP_SEQUENCE;
	sa->sequence++;
	write_trailer(inner + length, pad);
	dp_outer_write(outer, sa, dp_load16(inner), total);
	p->esp = outer + sa->outer_bytes;
	write_esp(p, p->esp, sa);
	p->sa_out = sa;
	p->l3 = outer;
	p->l3_length = (uint16_t)total;
	p->protocol = sa->header[9];
	p->nexthop_be = sa->remote_be;
	p->port = DP_PORT_UPLINK;
	m->data_off = (uint16_t)offset;
	m->data_len = (uint16_t)total;
	m->pkt_len = (uint32_t)total;
	return DP_OK;
}

/* From P on, as many packets as are of one tunnel, whose counters are written once; returns the
 * next packet. */
static struct dp_pkt *encapsulate_run(struct dp_worker *w, struct dp_pkt *p,
                                      const struct dp_pkt *end)
{
	uint16_t slot = p->tunnel;
	struct dp_tunnel *tunnel = slot == DP_NONE_SLOT ? NULL : &w->tunnels[slot];
	struct dp_sa_out *sa = tunnel ? tunnel->out : NULL;
	uint64_t packets = 0, bytes = 0;

	for (; p < end && p->tunnel == slot; p++) {
		uint16_t length = p->l3_length;
		enum dp_verdict verdict;

		if (unlikely(p->verdict != DP_OK))
			continue;
		verdict = likely(sa != NULL) ? encapsulate(w, sa, p) : DP_NO_TUNNEL;
		if (unlikely(verdict != DP_OK)) {
			p->verdict = (uint8_t)verdict;
			continue;
		}
		packets++;
		bytes += length;
	}
	if (packets == 0)
		return p;
	sa->packets += packets;
	sa->bytes += bytes;
	sa->used_ns = w->now_ns;
	tunnel->packets_out += packets;
	tunnel->bytes_out += bytes;
	return p;
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
	struct dp_pkt *end = b->p + b->n;

	if (b->n > 1 && unlikely(end[-1].tunnel != b->p->tunnel)) {
		for (const struct dp_pkt *p = b->p; p < end; p++)
			prefetch_sa(w, p->tunnel);
	}
	for (struct dp_pkt *p = b->p; p < end;)
		p = encapsulate_run(w, p, end);
}

void dp_esp_out_encrypt(struct dp_worker *w, struct dp_batch *b)
{
	w->count->esp_out_packets += dp_outer_encrypt(w, b);
}
