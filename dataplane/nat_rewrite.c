/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of translation that only SYNs need.
 */
#include "dataplane/nat_rewrite.h"

#define OPTION_MSS 2u
#define OPTION_MSS_LENGTH 4u
#define TCP_CHECKSUM 16u

static void replace_word(uint8_t *tcp, unsigned at, uint16_t value_be)
{
	uint16_t old_be, checksum, delta;

	memcpy(&old_be, tcp + at, 2);
	memcpy(&checksum, tcp + TCP_CHECKSUM, 2);
	delta = dp_checksum_fold((uint64_t)(uint16_t)~old_be + value_be);
	if (at & 1) /* its bytes are in the halves of two words */
		delta = rte_bswap16(delta);
	checksum = dp_checksum_update(checksum, delta);
	memcpy(tcp + TCP_CHECKSUM, &checksum, 2);
	memcpy(tcp + at, &value_be, 2);
}

void dp_nat_clamp_mss(uint8_t *tcp, unsigned header, uint16_t mss)
{
	if (mss == 0)
		return;
	for (unsigned at = dp_tcp_option(tcp, header, DP_TCP_HEADER_MIN); at;
	     at = dp_tcp_option(tcp, header, at + tcp[at + 1])) {
		uint16_t old_be;

		if (tcp[at] != OPTION_MSS || tcp[at + 1] != OPTION_MSS_LENGTH)
			continue;
		memcpy(&old_be, tcp + at + 2, 2);
		if (rte_be_to_cpu_16(old_be) > mss)
			replace_word(tcp, at + 2, rte_cpu_to_be_16(mss));
	}
}
