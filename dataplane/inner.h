/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet that came out of a tunnel, whichever protocol that speaks: checked, told what the outer
 * header knows of congestion, and freed from what was around it.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "dataplane/batch.h"
#include "dataplane/ipv4.h"
#include "dataplane/wire.h"

enum dp_ecn { DP_ECN_NOT_ECT = 0, DP_ECN_ECT1 = 1, DP_ECN_ECT0 = 2, DP_ECN_CE = 3 };

/* The header's checks of RFC 1812 section 5.2.2, and what we do not carry. */
static inline enum dp_verdict dp_inner_check(const uint8_t *inner, unsigned room)
{
	unsigned total;

	if (unlikely(room < DP_IPV4_HEADER || inner[0] != 0x45))
		return DP_INNER_INVALID;
	total = rte_be_to_cpu_16(dp_load16(inner + 2));
	if (unlikely(total - DP_IPV4_HEADER > room - DP_IPV4_HEADER)) /* or less than a header */
		return DP_INNER_INVALID;
	if (unlikely(dp_ipv4_sum(inner) != 0xffff))
		return DP_INNER_INVALID;
	if (unlikely(inner[8] <= 1 || dp_ipv4_is_martian(dp_load32(inner + 12))))
		return DP_INNER_INVALID;
	if (unlikely(dp_ipv4_is_fragment(inner)))
		return DP_OK; /* its transport header is looked at when the datagram is whole */
	if (unlikely(!dp_ipv4_is_transport_whole(inner[9], inner + DP_IPV4_HEADER,
	                                         total - DP_IPV4_HEADER)))
		return DP_L4_HEADER;
	return DP_OK;
}

/* RFC 6040 section 4.2: congestion marked outside is told inside. */
static inline enum dp_verdict dp_inner_take_ecn(const uint8_t *outer, uint8_t *inner)
{
	unsigned outside = outer[1] & 3u, inside = inner[1] & 3u, marked = inside;
	uint16_t before = dp_load16(inner);

	if (likely((outside & 1) == 0 ||
	           outside == inside)) /* nothing to tell: not ECT, or ECT(0) */
		return DP_OK;
	if (inside == DP_ECN_NOT_ECT)
		return outside == DP_ECN_CE ? DP_INNER_INVALID : DP_OK;
	if (outside == DP_ECN_CE)
		marked = DP_ECN_CE;
	else if (inside == DP_ECN_ECT0)
		marked = DP_ECN_ECT1;
	inner[1] = (uint8_t)((inner[1] & ~3u) | marked);
	/* RFC 1624 equation 3 */
	dp_store16(inner + 10,
	           (uint16_t)~dp_checksum_fold((uint64_t)(uint16_t)~dp_load16(inner + 10) +
	                                       (uint16_t)~before + dp_load16(inner)));
	return DP_OK;
}

/* Whether what has ROOM, of a header at least, is a whole TCP or UDP packet for which both of these
 * are sure to pass, and to change nothing: in few instructions, for nearly all packets. */
static inline bool dp_inner_is_plain(const uint8_t *outer, const uint8_t *inner, unsigned room)
{
	unsigned total = rte_be_to_cpu_16(dp_load16(inner + 2));

	if (inner[0] != 0x45 || total - DP_IPV4_HEADER > room - DP_IPV4_HEADER ||
	    dp_ipv4_sum(inner) != 0xffff)
		return false;
	if (inner[8] <= 1 || dp_ipv4_is_martian(dp_load32(inner + 12)) ||
	    dp_ipv4_is_fragment(inner))
		return false;
	return (outer[1] & 1) == 0 && /* not ECT, or ECT(0) */
	       (inner[9] == IPPROTO_TCP || inner[9] == IPPROTO_UDP) &&
	       dp_ipv4_is_transport_whole(inner[9], inner + DP_IPV4_HEADER, total - DP_IPV4_HEADER);
}

/* From here on the packet is the inner one: the mbuf's data is just that. */
static inline void dp_inner_strip(struct dp_pkt *p, uint8_t *inner)
{
	uint16_t total = rte_be_to_cpu_16(dp_load16(inner + 2));

	p->l3 = inner;
	p->l3_length = total;
	p->l3_header = DP_IPV4_HEADER;
	p->protocol = inner[9];
	dp_mbuf_set(p->m, inner, total);
}
