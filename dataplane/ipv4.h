/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes an IPv4 packet acceptable, asked of outer headers by the parser and of inner ones
 * behind ESP.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>

#include <rte_byteorder.h>

#include "dataplane/wire.h"

#define DP_IPV4_HEADER 20u
#define DP_IPV4_FIRST 0x45 /* the first byte of a header without options */

/* Addresses that no packet on the wire comes from or is sent to in unicast: RFC 1812
 * sections 5.3.7, 4.2.2.11; RFC 1122 section 3.2.1.3. */
static inline bool dp_ipv4_is_martian(uint32_t address_be)
{
	static const bool is_martian[256] = { [224 ... 255] = true, [0] = true, [127] = true };
	uint8_t first;

	memcpy(&first, &address_be, sizeof(first));
	return is_martian[first];
}

/* More fragments, or an offset. */
static inline bool dp_ipv4_is_fragment(const uint8_t *l3)
{
	return (dp_load16(l3 + 6) & rte_cpu_to_be_16(0x3fff)) != 0;
}

static inline bool dp_ipv4_has_df(const uint8_t *l3)
{
	return (l3[6] & 0x40) != 0;
}

/* Whether the TCP, UDP or ICMP header is within LENGTH bytes at L4 and its own length agrees; true
 * for other protocols. */
static inline bool dp_ipv4_is_transport_whole(uint8_t protocol, const uint8_t *l4, unsigned length)
{
	if (protocol == IPPROTO_TCP)
		return length >= 20 && ((l4[12] >> 2) & 0x3cu) - 20 <= length - 20;
	if (protocol == IPPROTO_UDP)
		return length >= 8 &&
		       (__builtin_bswap32(dp_load32(l4 + 4)) >> 16) - 8 <= length - 8;
	return protocol != IPPROTO_ICMP || length >= 8;
}
