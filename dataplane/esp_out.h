/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ESP towards the servers: tunnel mode, native or in UDP (RFC 4303 section 3.3, RFC 3948
 * section 2.1).
 */
#pragma once

#include <stdint.h>

#include "dataplane/batch.h"

#define DP_ESP_HEADER 8u  /* SPI, sequence number */
#define DP_ESP_TRAILER 2u /* pad length, next header */

struct dp_sa_out;

/*
 * Before: tunnel is the slot, l3 and l3_length the inner IPv4 packet. Puts outer header, ESP
 * header, padding and trailer around it with the next sequence number of the tunnel's SA, and moves
 * the mbuf's data to it; l3, l3_length, esp, protocol, nexthop_be and port are those of the outer
 * packet then. The text is still in the clear: dp_esp_out_encrypt() comes next. Verdicts:
 * NO_TUNNEL, TOO_BIG (limit is set), ESP_SEQUENCE, CRYPTO (no room in the buffer). Worker only.
 */
void dp_esp_out_encapsulate(struct dp_worker *w, struct dp_batch *b);

/* Encrypts the burst. Verdict: CRYPTO. Worker only. */
void dp_esp_out_encrypt(struct dp_worker *w, struct dp_batch *b);

/* The largest inner packet whose ESP packet fits LINK_MTU, bytes; 0 if none does. */
uint16_t dp_esp_inner_mtu(const struct dp_sa_out *sa, uint16_t link_mtu);
