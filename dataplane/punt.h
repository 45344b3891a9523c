/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets for the control thread: IKE and OpenVPN's control channel from configured servers
 * (dataplane/peers.h), ARP. And back: datagrams the control plane sends.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"

/* One IKE datagram (p->l3, UDP checked by the parser): to the control thread's queue, rate limited.
 * Returns the verdict. Worker only. */
enum dp_verdict dp_punt_ike(struct dp_worker *w, struct dp_pkt *p);

/* The same, or for an OpenVPN control packet of the server to which the port belongs. */
enum dp_verdict dp_punt_control(struct dp_worker *w, struct dp_pkt *p);

/* Puts one mbuf on the control thread's queue as it is. Worker only. */
enum dp_verdict dp_punt(struct dp_worker *w, struct rte_mbuf *m);

/* Makes the UDP/IPv4 packet of a datagram that the control plane sends; data starts at its IPv4
 * header. Returns 0, -EMSGSIZE or -ENOMEM. Control thread. */
int dp_punt_datagram(struct rte_mempool *pool, const struct ipc_punt *punt, const void *payload,
                     struct rte_mbuf **m);
