/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unaligned access to packet bytes and the Internet checksum (RFC 1071).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>

static inline uint16_t dp_load16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t dp_load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t dp_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void dp_store16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void dp_store32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Folds a sum of 16-bit words to 16 bits. Both halves are added to each other: the upper one gets
 * the carry of the lower one. */
static inline uint16_t dp_checksum_fold(uint64_t sum)
{
	uint32_t x = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);

	return (uint16_t)((x + (x << 16 | x >> 16)) >> 16);
}

/* Adds LENGTH bytes to a sum; not folded. */
static inline uint64_t dp_checksum_add(const uint8_t *p, unsigned length, uint64_t sum)
{
	for (; length > 1; length -= 2, p += 2)
		sum += dp_load16(p);
	if (length)
		sum += *p;
	return sum;
}

/* The 20-byte IPv4 header's sum: 0xffff when its checksum is right. */
static inline uint16_t dp_ipv4_sum(const uint8_t *l3)
{
	uint64_t sum, rest = dp_load32(l3 + 16);
	uint32_t x;
	bool carry; /* end-around; the compilers make additions with carry of it */

	rest += __builtin_add_overflow(dp_load64(l3), dp_load64(l3 + 8), &sum);
	carry = __builtin_add_overflow(sum, rest, &sum);
	sum += carry;
	carry = __builtin_add_overflow((uint32_t)sum, (uint32_t)(sum >> 32), &x);
	x += carry;
	return (uint16_t)((x + (x << 16 | x >> 16)) >> 16);
}

/* Full checksum of a TCP, UDP or ICMPv4 (PSEUDO 0) segment of LENGTH bytes at L4; the field itself
 * must be zero. */
static inline uint16_t dp_l4_checksum(const uint8_t *l3, const uint8_t *l4, unsigned length,
                                      uint8_t pseudo)
{
	uint64_t sum = pseudo ? dp_checksum_add(l3 + 12, 8, 0) + rte_cpu_to_be_16(pseudo) +
	                                rte_cpu_to_be_16((uint16_t)length)
	                      : 0;

	return (uint16_t)~dp_checksum_fold(dp_checksum_add(l4, length, sum));
}

/* Writes a plain 20-byte IPv4 header: DF, identification 0, checksum filled in. */
static inline void dp_ipv4_write(uint8_t *l3, uint16_t total, uint8_t ttl, uint8_t protocol,
                                 uint32_t source_be, uint32_t destination_be)
{
	dp_store32(l3, rte_cpu_to_be_32(0x45000000u | total));
	dp_store32(l3 + 4, rte_cpu_to_be_32(0x00004000u));
	dp_store32(l3 + 8, rte_cpu_to_be_32((uint32_t)ttl << 24 | (uint32_t)protocol << 16));
	dp_store32(l3 + 12, source_be);
	dp_store32(l3 + 16, destination_be);
	dp_store16(l3 + 10, (uint16_t)~dp_ipv4_sum(l3));
}

/* Lets such a packet be fragmented, by us: only there it gets an identification. */
static inline void dp_ipv4_clear_df(uint8_t *l3)
{
	dp_store16(l3 + 6, 0);
	dp_store16(l3 + 10, 0);
	dp_store16(l3 + 10, (uint16_t)~dp_ipv4_sum(l3));
}
