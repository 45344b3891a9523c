/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer header of a packet that enters a tunnel, from the template of its SA.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

#include "dataplane/ipv4.h"
#include "dataplane/sa.h"

/* FIRST: the first two bytes of the inner header, as all headers here begin; with them its type of
 * service goes along (RFC 6040 section 4.1, normal mode: ECN and DSCP). The UDP header falls where
 * native ESP has its own, which is written afterwards. */
static inline void dp_outer_write(uint8_t *outer, const struct dp_sa_out *sa, uint16_t first,
                                  size_t total)
{
	uint32_t udp_be = __builtin_bswap32((uint32_t)total - DP_IPV4_HEADER) >> 16;
	uint32_t word = first | __builtin_bswap32((uint32_t)total), sum;
	__m128i begin = _mm_loadu_si128((const __m128i *)sa->header);
	__m128i end = _mm_loadu_si128((const __m128i *)(sa->header + 12));
	__m128i own;

	sum = word + sa->header_sum;
	sum += sum < word;
	/* its halves added to each other are in the upper one: the checksum in its place */
	sum = ~(sum + (sum << 16 | sum >> 16)) & 0xffff0000u;
	own = _mm_insert_epi32(_mm_cvtsi32_si128((int)word), (int)sum, 2);
	_mm_storeu_si128((__m128i *)outer, _mm_or_si128(begin, own));
	_mm_storeu_si128((__m128i *)(outer + 12), _mm_insert_epi32(end, (int)udp_be, 3));
}
