/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is decided about an ICMP error before anything is looked up, by the packet that it quotes.
 *
 * ICMP: the error's header, of which and of whose quote ROOM >= 8 bytes are there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>

#include "dataplane/ipv4.h"
#include "dataplane/peers.h"
#include "dataplane/wire.h"

#define DP_ICMP_HEADER 8u
#define DP_ICMP_QUOTE_LEAST (DP_IPV4_HEADER + 8u) /* RFC 792; more is quoted as a rule */

/* Whether it quotes our own ESP or IKE. */
static inline bool dp_icmp_quotes_tunnel(const struct dp_peers *peers, const uint8_t *icmp,
                                         unsigned room)
{
	const uint8_t *quote = icmp + DP_ICMP_HEADER;

	if (room < DP_ICMP_HEADER + DP_ICMP_QUOTE_LEAST || quote[0] != 0x45)
		return false;
	return quote[9] == IPPROTO_ESP ||
	       (quote[9] == IPPROTO_UDP &&
	        dp_peers_port(peers, dp_load16(quote + DP_IPV4_HEADER)) != DP_PEER_PORT_NONE);
}

/* Where the quoted packet went; 0: too little is quoted. */
static inline uint32_t dp_icmp_quoted_destination_be(const uint8_t *icmp, unsigned room)
{
	return room < DP_ICMP_HEADER + DP_ICMP_QUOTE_LEAST ? 0
	                                                   : dp_load32(icmp + DP_ICMP_HEADER + 16);
}
