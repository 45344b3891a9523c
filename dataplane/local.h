/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stage for what is meant for the gateway itself: ARP, ICMP echo, IKE.
 */
#pragma once

#include "dataplane/batch.h"

/* Every packet of the batch gets a verdict other than DP_OK (DP_TAKEN where it was answered or
 * punted). Worker only. */
void dp_local(struct dp_worker *w, struct dp_batch *b);

/* Of ICMP packets to environments' addresses, answers what is no error: echo requests that came in
 * fragments, and were whole only behind dp_local(). Worker only. */
void dp_local_echo(struct dp_worker *w, struct dp_batch *b);
