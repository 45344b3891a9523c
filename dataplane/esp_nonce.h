/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nonce and additional data of an inbound packet: RFC 4106 sections 4 and 5.
 */
#pragma once

#include <stdint.h>

#include <immintrin.h>

#include <rte_byteorder.h>

#include "dataplane/batch.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"

/* Of 32-bit sequence numbers, as they stand behind the SPI. */
static inline void dp_esp_nonce_write(struct dp_pkt *p, const uint8_t *esp, uint32_t salt)
{
	/* 32-bit words: SPI, number, and the halves of the IV, each of which there is in any packet
	 */
	__m128i header = _mm_loadu_si128((const __m128i *)esp);
	__m128i iv = _mm_shuffle_epi32(header, _MM_SHUFFLE(3, 3, 2, 0));

	_mm_store_si128((__m128i *)p->iv, _mm_insert_epi32(iv, (int)salt, 0));
	_mm_store_si128((__m128i *)p->aad, header);
}

/* The additional data also keeps the whole sequence number until the packet's end in the replay
 * window. */
static inline void dp_esp_nonce_in(struct dp_pkt *p, const struct dp_sa_in *sa, uint64_t sequence)
{
	dp_esp_nonce_write(p, p->esp, sa->salt);
	if (!sa->is_esn)
		return;
	dp_store32(p->aad, sa->spi_be);
	dp_store32(p->aad + 4, rte_cpu_to_be_32((uint32_t)(sequence >> 32)));
	dp_store32(p->aad + 8, rte_cpu_to_be_32((uint32_t)sequence));
}

static inline uint64_t dp_esp_sequence_in(const struct dp_pkt *p, const struct dp_sa_in *sa)
{
	uint32_t first = rte_be_to_cpu_32(dp_load32(p->aad + 4));

	return sa->is_esn ? (uint64_t)first << 32 | rte_be_to_cpu_32(dp_load32(p->aad + 8)) : first;
}
