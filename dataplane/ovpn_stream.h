/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN over TCP, as the dataplane sees it: packets of a key with IPC_SA_STREAM are made and
 * opened as datagrams are, but cross to the control plane and back in place of the uplink. So
 * numbers, keys and everything inside of the tunnel are the same.
 */
#pragma once

#include <stdbool.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"

struct dp_core;
struct dp_worker;

#define DP_OVPN_STREAM_WAITING 1024u /* packets for the control thread, of all workers */

/* A stage behind sealing: takes the packets whose key is a stream's to the control thread, as the
 * whole datagrams that they would be. Worker only. */
void dp_ovpn_stream_take(struct dp_worker *w, struct dp_batch *b);

/* The same for a single one, which is freed if there is no room. */
void dp_ovpn_stream_give(struct dp_worker *w, struct rte_mbuf *m);

/* A packet out of a stream takes the way of a datagram from there, beginning at its home worker.
 * Returns DP_TAKEN, or why not. Control thread. */
enum dp_verdict dp_ovpn_stream_open(struct dp_core *core, const struct ipc_punt *punt,
                                    const uint8_t *packet);
