/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's data channel, outbound: inner packets become packets of their tunnel's key.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/batch.h"

struct dp_sa_out;
struct dp_worker;

/* How many packets of the batch go into an OpenVPN tunnel. */
unsigned dp_ovpn_out_count(const struct dp_worker *w, const struct dp_batch *b);
/* Takes those out of B, which keeps the others; order is kept in both. */
void dp_ovpn_out_split(const struct dp_worker *w, struct dp_batch *b, struct dp_batch *openvpn);

/*
 * Puts the outer headers around each packet, which its tunnel's current key numbers: as
 * dp_esp_out_encapsulate(). The text is not sealed yet. Home worker only.
 */
void dp_ovpn_out_encapsulate(struct dp_worker *w, struct dp_batch *b);
/* Seals the whole burst in place. */
void dp_ovpn_out_seal(struct dp_worker *w, struct dp_batch *b);

/* Queues a ping under this key, to w->answers, which has room for one more. False: no buffer. */
bool dp_ovpn_out_ping(struct dp_worker *w, struct dp_sa_out *sa);

/* The same with the message that we end (OCC's exit), under the tunnel's current key if that is
 * OpenVPN's. Where there is no room or no buffer the server finds out by itself. */
void dp_ovpn_out_exit(struct dp_worker *w, uint16_t tunnel);
