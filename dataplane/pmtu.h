/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Path MTU discovery for our own ESP and OpenVPN packets, which have DF set (RFC 1191, RFC 4301
 * section 8.2); but for those of OpenVPN with CBC, whose packet id nobody can quote.
 *
 * Anybody may send us "fragmentation needed". It is believed only if it quotes a packet that we
 * sent a moment ago: SPI or OpenVPN header, addresses, ports and one of the last DP_PMTU_RECENT
 * sequence numbers of an outbound SA; an outsider who does not see our packets cannot. It lowers
 * the tunnel's MTU, never below DP_PMTU_FLOOR and never raises it; after DP_PMTU_SECONDS the link's
 * counts again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct dp_worker;

#define DP_PMTU_FLOOR 576u
#define DP_PMTU_RECENT 1024u
#define DP_PMTU_SECONDS 600u /* RFC 1191 section 6.3 */

/* What an error says about one packet; OpenVPN: the first 8 bytes of its packet in the place of
 * ESP's. */
struct dp_pmtu_quote {
	uint32_t source_be;
	uint32_t destination_be;
	uint32_t ports_be; /* as they stand in the UDP header; 0: native */
	uint32_t spi_be;
	uint32_t sequence; /* its low half */
	uint16_t mtu;      /* outer IPv4 bytes */
};

static inline bool dp_pmtu_is_too_big(const uint8_t *icmp)
{
	return icmp[0] == 3 && icmp[1] == 4;
}

/* Reads the error in the IPv4 packet of LENGTH bytes at L3 (its header has no options and is
 * checked). 0 or -EINVAL: damaged, or not about ESP. */
int dp_pmtu_read(const uint8_t *l3, unsigned length, struct dp_pmtu_quote *quote);

/* A dp_worker_fn: QUOTE is a struct dp_pmtu_quote. 0: an SA of this worker sent that, and its
 * tunnel's MTU is lower now; -ENOENT or -EINVAL. */
int dp_pmtu_learn(struct dp_worker *w, void *quote);

/* Forgets what was learned too long ago; about once a second. Worker only. */
void dp_pmtu_expire(struct dp_worker *w);
