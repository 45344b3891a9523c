/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets with DF clear that are larger than their way out, cut to pieces that fit (RFC 791
 * section 3.2).
 *
 * Into a tunnel they are cut before encryption (RFC 4301 section 8.1 leaves the choice), so that
 * the server decrypts each by itself and nobody has to put ESP together. Pieces get an
 * identification of our own: behind one inner address, two pods may use the same.
 */
#pragma once

#include <stdint.h>

#include "dataplane/batch.h"

/* Packets that do not fit, and how far the first of them has been cut. */
struct dp_oversized {
	struct dp_batch packets;
	unsigned next;           /* packet */
	uint16_t offset;         /* payload bytes of it that are done */
	uint16_t identification; /* of its pieces */
};

/* Moves packets that are larger than their tunnel's MTU from B to OVERSIZED; in B they are
 * DP_TAKEN. Worker only. */
void dp_fragment_for_tunnel(struct dp_worker *w, struct dp_batch *b,
                            struct dp_oversized *oversized);
/* The same with the MTU of the port they leave by. */
void dp_fragment_for_port(struct dp_worker *w, struct dp_batch *b, struct dp_oversized *oversized);

/* Fills PIECES with the next at most DP_BURST of them; false: there are none left, and none in
 * PIECES. A packet that is done, or that no buffer is left for (DP_NO_MBUF), is freed. */
bool dp_fragment_next(struct dp_worker *w, struct dp_oversized *oversized, struct dp_batch *pieces);
