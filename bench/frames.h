/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of the sessions of a world, written into buffers that are there.
 */
#pragma once

#include <stdint.h>

#include <rte_mbuf.h>

#include "bench/raw.h"
#include "bench/world.h"

/* What a segment is besides an acknowledgement. */
enum frame_kind { FRAME_DATA, FRAME_SYN, FRAME_SYN_ACK };

/* Where packets come from. */
enum frame_way { FRAME_FROM_CLUSTER, FRAME_FROM_TUNNEL, FRAME_FROM_UPLINK };

struct frame {
	enum world_kind sessions;
	enum frame_way way;
	enum frame_kind kind;
	uint16_t size;   /* IPv4 bytes, inner ones of a tunnel */
	unsigned writer; /* whose crypto encrypts: the worker's index of the thread */
};

/* A call from the cluster to somebody in the Internet. */
struct frame_call {
	uint32_t client;
	uint32_t remote_be;
	uint16_t client_port;
};

/* Writes one burst, N <= DP_BURST, of the sessions with these numbers; payload is what was in the
 * buffer. What comes out of the tunnel has the server's next sequence numbers. Buffers are
 * unshared and large enough. */
void frames_write(struct world *world, const struct frame *frame, struct rte_mbuf **m,
                  const uint32_t *sessions, unsigned n);

/* Writes a SYN. */
void frames_write_call(const struct world *world, struct rte_mbuf *m,
                       const struct frame_call *call);

/* Where the text is, or will be, that is encrypted of such a packet. */
struct raw_text frames_text(const struct world *world, const struct frame *frame,
                            const struct rte_mbuf *m);
