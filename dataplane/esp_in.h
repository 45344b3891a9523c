/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ESP from the servers: tunnel mode, native or in UDP (RFC 4303 section 3.4, RFC 3948).
 */
#pragma once

#include "dataplane/batch.h"

/*
 * Before: l3, l3_length, l3_header, protocol and esp are those of an outer packet that the parser
 * passed. Finds the SA and refuses what is not from its peer, or was seen before; sets sa_in,
 * environment, tunnel, iv and aad. Verdicts: ESP_TRUNCATED, ESP_NO_SA, ESP_NO_KEY,
 * ESP_ENCAPSULATION, ESP_PEER, ESP_REPLAY. Worker only.
 */
void dp_esp_in_lookup(struct dp_worker *w, struct dp_batch *b);

/*
 * Decrypts the burst, moves the replay windows and checks what comes out; then l3,
 * l3_length, l3_header and protocol are the inner packet's and the mbuf's data is exactly that
 * packet. Verdicts: CRYPTO, ESP_ICV, ESP_REPLAY, ESP_PADDING, ESP_DUMMY, INNER_INVALID, L4_HEADER.
 * Fragments pass: dp_reassemble_inner() comes next. Worker only.
 */
void dp_esp_in_decrypt(struct dp_worker *w, struct dp_batch *b);
