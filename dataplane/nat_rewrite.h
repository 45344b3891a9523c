/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address and port translation of one packet: precomputed checksum differences, TTL, maximum
 * segment size.
 *
 * Checksums are updated, never recomputed, by RFC 1624 equation 4, HC' = HC - ~m - m' with
 * end-around borrow, which keeps 0x0000 and 0xffff apart. Differences are sums over 16-bit words as
 * they lie in memory; the ones' complement sum does not care about byte order (RFC 1071 section 2).
 */
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include <netinet/in.h>
#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "dataplane/nat_flow.h"
#include "dataplane/tcp_track.h"
#include "dataplane/wire.h"

#define DP_TCP_CHECKSUM_OFF 36u /* behind an IPv4 header of 20 bytes */
#define DP_UDP_CHECKSUM_OFF 26u
#define DP_ICMP_CHECKSUM_OFF 22u

/* The checksum after words changed whose ~old + new sums up to DELTA. */
static inline uint16_t dp_checksum_update(uint16_t checksum, uint16_t delta)
{
	uint16_t borrow = __builtin_sub_overflow(checksum, delta, &checksum);

	return (uint16_t)(checksum - borrow);
}

/* Fills in delta and checksum fields of a flow from its key and its new addresses and ports. */
static inline void dp_nat_rewrite_prepare(struct dp_flow *f)
{
	uint64_t addresses = (uint64_t)(uint32_t)~f->key.source_be +
	                     (uint32_t)~f->key.destination_be + f->source_be + f->destination_be;
	uint32_t ports = (uint32_t)(uint16_t)~f->key.source_port_be +
	                 (uint16_t)~f->key.destination_port_be + f->source_port_be +
	                 f->destination_port_be;

	/* the TTL is the low byte of its word in memory order: ~1 + 0 */
	f->ip_delta = (uint32_t)dp_checksum_fold(addresses + 0xfffe) << 16 | 1;
	f->l4_delta = dp_checksum_fold(addresses + ports);
	f->checksum_off =
		f->key.protocol == IPPROTO_UDP ? DP_UDP_CHECKSUM_OFF : DP_TCP_CHECKSUM_OFF;
	if (f->key.protocol == IPPROTO_ICMP) { /* no addresses in its checksum: RFC 792 */
		f->l4_delta = dp_checksum_fold(ports);
		f->checksum_off = DP_ICMP_CHECKSUM_OFF;
	}
}

/* TTL, addresses and ports of the packet at IP (no options, TTL over 1), as flow F says, and the
 * header's checksum. */
static inline void dp_nat_rewrite_header(uint8_t *ip, const struct dp_flow *f)
{
	__m128i words = _mm_load_si128((const __m128i *)&f->ip_delta);
	uint32_t word; /* TTL, protocol, checksum */
	uint32_t borrow;

	memcpy(&word, ip + 8, 4);
	borrow = __builtin_sub_overflow(word, f->ip_delta, &word);
	word -= borrow << 16;
	_mm_storeu_si128((__m128i *)(ip + 8), _mm_insert_epi32(words, (int)word, 0));
}

/* All of a packet of TCP, whose header is there. */
static inline void dp_nat_rewrite_tcp(uint8_t *ip, const struct dp_flow *f)
{
	uint16_t checksum;

	dp_nat_rewrite_header(ip, f);
	memcpy(&checksum, ip + DP_TCP_CHECKSUM_OFF, 2);
	checksum = dp_checksum_update(checksum, f->l4_delta);
	memcpy(ip + DP_TCP_CHECKSUM_OFF, &checksum, 2);
}

/* All of a packet of UDP, whose header is there. RFC 768: 0 says that there is no checksum; a
 * computed 0 is sent as ones. */
static inline void dp_nat_rewrite_udp(uint8_t *ip, const struct dp_flow *f)
{
	uint16_t old, checksum;

	dp_nat_rewrite_header(ip, f);
	memcpy(&old, ip + DP_UDP_CHECKSUM_OFF, 2);
	checksum = dp_checksum_update(old, f->l4_delta);
	if (unlikely(old == 0 || checksum == 0))
		checksum = old == 0 ? 0 : 0xffff;
	memcpy(ip + DP_UDP_CHECKSUM_OFF, &checksum, 2);
}

/* All of a packet of either. */
static inline void dp_nat_rewrite(uint8_t *ip, const struct dp_flow *f)
{
	if (f->key.protocol == IPPROTO_UDP)
		dp_nat_rewrite_udp(ip, f);
	else
		dp_nat_rewrite_tcp(ip, f);
}

/* Lowers each maximum segment size option of a SYN above MSS (host byte order; 0: leaves all). TCP
 * has a header of HEADER bytes, its data offset; all of it is there. */
void dp_nat_clamp_mss(uint8_t *tcp, unsigned header, uint16_t mss);
