/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Outer headers are written over from a template of the SA: two 16-byte stores, then what differs.
 */
#include "dataplane/esp_out.h"

#include "dataplane/ipv4.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#include <rte_ether.h>
#include <rte_prefetch.h>

#define ESP_HEADER 8u
#define TRAILER 2u /* pad length, next header */
#define NEXT_IPV4 4
#define TEMPLATE sizeof(((struct dp_sa_out *)0)->header)

/* The template is stored whole, up to the SPI: what native ESP does not need falls where the
 * Ethernet header comes, so room for that is asked for. */
_Static_assert(TEMPLATE <= 20 + 4 + RTE_ETHER_HDR_LEN, "the template fits before native ESP");

/* The text that carries LENGTH bytes: with padding and trailer. */
static inline unsigned text_bytes(const struct dp_crypto_suite *suite, unsigned length)
{
	return (length + TRAILER + suite->block_bytes - 1u) & ~(suite->block_bytes - 1u);
}

uint16_t dp_esp_inner_mtu(const struct dp_sa_out *sa, uint16_t link_mtu)
{
	unsigned around = sa->outer_bytes + ESP_HEADER + sa->suite.iv_bytes + sa->suite.icv_bytes;
	unsigned text;

	if (link_mtu <= around)
		return 0;
	text = (link_mtu - around) & ~(sa->suite.block_bytes - 1u);
	return text < TRAILER + DP_IPV4_HEADER ? 0 : (uint16_t)(text - TRAILER);
}

/* RFC 4303 section 2.4: 1, 2, 3, ...; AT has room for PAD + TRAILER and an ICV. */
static inline void write_trailer(uint8_t *at, unsigned pad)
{
	static const uint8_t first[4] = { 1, 2, 3, 4 };

	memcpy(at, first, sizeof(first));
	for (unsigned i = sizeof(first); i < pad; i++)
		at[i] = (uint8_t)(i + 1);
	at[pad] = (uint8_t)pad;
	at[pad + 1] = NEXT_IPV4;
}

static inline void write_outer(uint8_t *outer, const struct dp_sa_out *sa, uint8_t tos,
                               unsigned total)
{
	uint16_t total_be = rte_cpu_to_be_16((uint16_t)total);

	memcpy(outer + sa->outer_bytes + 4 - TEMPLATE, sa->header, TEMPLATE);
	outer[1] = tos; /* RFC 6040 section 4.1, normal mode: ECN goes along, and so does DSCP */
	dp_store16(outer + 2, total_be);
	dp_store16(outer + 10,
	           (uint16_t)~dp_checksum_fold(sa->header_sum + ((uint32_t)tos << 8) + total_be));
	if (sa->outer_bytes > DP_IPV4_HEADER)
		dp_store16(outer + 24, rte_cpu_to_be_16((uint16_t)(total - DP_IPV4_HEADER)));
}

/* RFC 4106 sections 4 and 5, RFC 7634 section 2: the IV is the sequence number, unique as long as
 * the key lives. CBC makes its own of it. */
static inline void write_nonce(struct dp_pkt *p, const struct dp_sa_out *sa, uint64_t sequence)
{
	uint64_t iv = rte_cpu_to_be_64(sequence);

	dp_store32(p->esp + 4, rte_cpu_to_be_32((uint32_t)sequence));
	memcpy(p->esp + ESP_HEADER, &iv, sizeof(iv));
	dp_store32(p->iv, sa->salt);
	memcpy(p->iv + 4, &iv, sizeof(iv));
	dp_store32(p->aad, sa->spi_be);
	if (sa->is_esn)
		memcpy(p->aad + 4, &iv, sizeof(iv)); /* high 32 bits, low 32 bits */
	else
		dp_store32(p->aad + 4, rte_cpu_to_be_32((uint32_t)sequence));
}

static inline enum dp_verdict encapsulate(struct dp_worker *w, struct dp_sa_out *sa,
                                          struct dp_pkt *p)
{
	struct rte_mbuf *m = p->m;
	uint8_t *inner = p->l3;
	unsigned length = p->l3_length, text = text_bytes(&sa->suite, length);
	unsigned before = sa->outer_bytes + ESP_HEADER + sa->suite.iv_bytes;
	unsigned total = before + text + sa->suite.icv_bytes;
	size_t offset = (size_t)(inner - (uint8_t *)m->buf_addr);
	uint8_t *outer = inner - before;

	if (unlikely(length > sa->inner_mtu)) {
		p->limit = sa->inner_mtu;
		return DP_TOO_BIG;
	}
	if (unlikely(offset < before + RTE_ETHER_HDR_LEN || offset + total - before > m->buf_len))
		return DP_CRYPTO;
	if (unlikely(sa->sequence >= sa->mark) && !dp_sa_out_at_mark(w, sa))
		return DP_ESP_SEQUENCE;
	sa->sequence++;
	write_trailer(inner + length, text - length - TRAILER);
	write_outer(outer, sa, inner[1], total);
	p->esp = outer + sa->outer_bytes;
	write_nonce(p, sa, sa->sequence);
	p->sa_out = sa;
	p->l3 = outer;
	p->l3_length = (uint16_t)total;
	p->l3_header = DP_IPV4_HEADER;
	p->protocol = outer[9];
	p->nexthop_be = sa->remote_be;
	p->port = DP_PORT_UPLINK;
	m->data_off = (uint16_t)(offset - before);
	m->data_len = (uint16_t)total;
	m->pkt_len = total;
	return DP_OK;
}

/* Packets [FROM, TO) of one tunnel; its counters are written once. */
static void encapsulate_run(struct dp_worker *w, struct dp_batch *b, unsigned from, unsigned to)
{
	struct dp_tunnel *tunnel =
		b->p[from].tunnel == DP_NONE_SLOT ? NULL : &w->tunnels[b->p[from].tunnel];
	struct dp_sa_out *sa = tunnel ? tunnel->out : NULL;
	uint64_t packets = 0, bytes = 0;

	for (unsigned i = from; i < to; i++) {
		struct dp_pkt *p = &b->p[i];
		unsigned length = p->l3_length;

		if (unlikely(p->verdict != DP_OK))
			continue;
		p->verdict = sa ? encapsulate(w, sa, p) : DP_NO_TUNNEL;
		if (likely(p->verdict == DP_OK)) {
			packets++;
			bytes += length;
		}
	}
	if (packets == 0)
		return;
	sa->packets += packets;
	sa->bytes += bytes;
	sa->used_ns = w->now_ns;
	tunnel->packets_out += packets;
	tunnel->bytes_out += bytes;
}

void dp_esp_out_encapsulate(struct dp_worker *w, struct dp_batch *b)
{
	unsigned to;

	for (unsigned i = 0; i < b->n; i++) {
		const struct dp_sa_out *sa;

		if (unlikely(b->p[i].verdict != DP_OK || b->p[i].tunnel == DP_NONE_SLOT))
			continue;
		sa = w->tunnels[b->p[i].tunnel].out;
		if (likely(sa != NULL)) {
			rte_prefetch0(sa);
			rte_prefetch0(&sa->packets);
		}
	}
	for (unsigned from = 0; from < b->n; from = to) {
		for (to = from + 1; to < b->n && b->p[to].tunnel == b->p[from].tunnel; to++)
			;
		encapsulate_run(w, b, from, to);
	}
}

void dp_esp_out_encrypt(struct dp_worker *w, struct dp_batch *b)
{
	unsigned from, to, packets = 0;

	for (from = 0; from < b->n; from = to) {
		struct dp_sa_out *sa = b->p[from].sa_out;

		to = from + 1;
		if (unlikely(b->p[from].verdict != DP_OK))
			continue;
		while (to < b->n && b->p[to].verdict == DP_OK && b->p[to].sa_out == sa)
			to++;
		dp_crypto_encrypt(w->crypto, &sa->suite, &sa->key, b, from, to);
		packets += to - from;
	}
	dp_crypto_flush(w->crypto);
	w->count->esp_out_packets += packets;
}
