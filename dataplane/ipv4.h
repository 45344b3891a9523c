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

/* Addresses that no packet on the wire comes from or is sent to in unicast: RFC 1812
 * sections 5.3.7, 4.2.2.11; RFC 1122 section 3.2.1.3. */
static inline bool dp_ipv4_is_martian(uint32_t address_be)
{
	uint32_t top = rte_be_to_cpu_32(address_be) >> 24;

	return top == 0 || top == 127 || top >= 224;
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
	unsigned claimed;

	switch (protocol) {
	case IPPROTO_TCP:
		if (length < 20)
			return false;
		claimed = (l4[12] >> 4) * 4u;
		return claimed >= 20 && claimed <= length;
	case IPPROTO_UDP:
		if (length < 8)
			return false;
		claimed = rte_be_to_cpu_16(dp_load16(l4 + 4));
		return claimed >= 8 && claimed <= length;
	case IPPROTO_ICMP:
		return length >= 8;
	default:
		return true;
	}
}
