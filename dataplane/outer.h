/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the packets that enter a tunnel share, whatever its protocol: the outer header, from the
 * template of their SA, and encryption.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

#include "dataplane/ipv4.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

/* The template of an SA, in registers while a run of its packets is written. */
struct dp_outer {
	__m128i begin, end; /* its bytes 0 to 15, and 12 to 27 */
	uint32_t sum;
};

static inline struct dp_outer dp_outer_of(const struct dp_sa_out *sa)
{
	return (struct dp_outer){ .begin = _mm_loadu_si128((const __m128i *)sa->header),
		                  .end = _mm_loadu_si128((const __m128i *)(sa->header + 12)),
		                  .sum = sa->header_sum };
}

/* FIRST: the first two bytes of the inner header, as all headers here begin; with them its type of
 * service goes along (RFC 6040 section 4.1, normal mode: ECN and DSCP). The UDP header falls where
 * native ESP has its own, which is written afterwards. */
static inline void dp_outer_write(uint8_t *outer, const struct dp_outer *form, uint16_t first,
                                  size_t total)
{
	uint32_t udp_be = __builtin_bswap32((uint32_t)total - DP_IPV4_HEADER) >> 16;
	uint32_t word = first | __builtin_bswap32((uint32_t)total), sum;
	__m128i own;

	sum = word + form->sum;
	sum += sum < word;
	/* its halves added to each other are in the upper one: the checksum in its place */
	sum = ~(sum + (sum << 16 | sum >> 16)) & 0xffff0000u;
	own = _mm_insert_epi32(_mm_cvtsi32_si128((int)word), (int)sum, 2);
	_mm_storeu_si128((__m128i *)outer, _mm_or_si128(form->begin, own));
	_mm_storeu_si128((__m128i *)(outer + 12), _mm_insert_epi32(form->end, (int)udp_be, 3));
}

/* What each packet under an SA is from now on, but for its length: the words `shape` and `way`. */
static inline struct dp_pkt dp_outer_packet(const struct dp_sa_out *sa)
{
	return (struct dp_pkt){ .l3_header = DP_IPV4_HEADER,
		                .protocol = sa->header[9],
		                .nexthop_be = sa->remote_be,
		                .verdict = DP_OK,
		                .port = DP_PORT_UPLINK };
}

/* The next number of a run, whose SEQUENCE and MARK are the SA's in registers; the caller gives
 * SEQUENCE back behind the run. False: there is none left. */
static inline bool dp_outer_take_number(struct dp_worker *w, struct dp_sa_out *sa,
                                        uint64_t *sequence, uint64_t *mark)
{
	if (unlikely(*sequence >= *mark)) {
		sa->sequence = *sequence;
		if (!dp_sa_out_at_mark(w, sa))
			return false;
		*mark = sa->mark;
	}
	++*sequence;
	return true;
}

/* Sends for the keys of packets [FROM, TO). */
static inline void dp_outer_prefetch_keys(const struct dp_batch *b, unsigned from, unsigned to)
{
	const struct dp_sa_out *last = NULL;

	for (const struct dp_pkt *p = b->p + from, *end = b->p + to; p < end; p++) {
		if (unlikely(p->verdict != DP_OK || p->sa_out == last))
			continue;
		last = p->sa_out;
		dp_crypto_key_prefetch(&last->key, &last->suite, p->l3_length);
	}
}

/* Encrypts the burst, each run of packets under its SA, whole; returns how many. Verdict: CRYPTO.
 */
static inline unsigned dp_outer_encrypt(struct dp_worker *w, struct dp_batch *b)
{
	unsigned to, ahead = 0, packets = 0;

	if (likely(b->has_one_sa)) {
		struct dp_sa_out *sa = b->p[0].sa_out;

		dp_crypto_encrypt(w->crypto, &sa->suite, &sa->key, b, 0, b->n);
		dp_crypto_flush(w->crypto);
		return b->n;
	}
	for (unsigned from = 0; from < b->n; from = to) {
		struct dp_sa_out *sa = b->p[from].sa_out;

		to = from + 1;
		if (unlikely(b->p[from].verdict != DP_OK))
			continue;
		while (to < b->n && b->p[to].verdict == DP_OK && b->p[to].sa_out == sa)
			to++;
		if (unlikely(to < b->n)) { /* the keys of those behind it, some packets ahead */
			unsigned until = RTE_MIN(to + DP_CRYPTO_KEYS_AHEAD, b->n);

			dp_outer_prefetch_keys(b, RTE_MAX(ahead, to), until);
			ahead = until;
		}
		dp_crypto_encrypt(w->crypto, &sa->suite, &sa->key, b, from, to);
		packets += to - from;
	}
	dp_crypto_flush(w->crypto);
	return packets;
}
