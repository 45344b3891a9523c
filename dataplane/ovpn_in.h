/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's data channel, inbound: from the tunnel and the key id to the inner packet.
 */
#pragma once

#include "dataplane/batch.h"

struct dp_worker;

/*
 * Finds the key of each packet, whose tunnel and OpenVPN header (p->esp) the parser has set, checks
 * header, peer and the number against the replay window, and prepares nonce and additional data.
 * Home worker only.
 */
void dp_ovpn_in_lookup(struct dp_worker *w, struct dp_batch *b);

/*
 * Opens the whole burst, commits the numbers to the replay windows (again checked: a burst may
 * carry a number twice), undoes the server's framing, and makes each packet its inner one: then l3,
 * l3_length and protocol are the inner packet's, and its transport header is complete unless it is
 * a fragment. Pings and OCC messages end here. Batches must have passed dp_ovpn_in_lookup().
 */
void dp_ovpn_in_open(struct dp_worker *w, struct dp_batch *b);
