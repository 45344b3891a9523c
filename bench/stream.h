/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frames that the generator sends to a gateway under test, and how it knows them when they come
 * back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#define STREAM_FRAMES 1024u /* of a stream, in turns */
#define STREAM_SIZE_MIN 64u
#define STREAM_SIZE_MAX 1420u /* fits every tunnel */
#define STREAM_IMIX 0u        /* as a size: 7 of 64, 4 of 576, 1 of 1420 bytes */

enum stream_path {
	STREAM_FORWARD, /* to a forwarded port, into the tunnel */
	STREAM_EGRESS,  /* to the Internet, and back */
};

struct stream {
	enum stream_path path;
	unsigned size; /* IPv4 bytes, or STREAM_IMIX */
	unsigned flows;
	struct rte_mbuf *frames[STREAM_FRAMES];
	unsigned next;
};

/* Fills the frames of STREAM, whose path, size and flows are set, from POOL; MAC is the gateway's
 * at its cluster port. UDP, checksums right. Returns 0 or -ENOMEM, and then nothing is taken. */
int stream_fill(struct stream *stream, struct rte_mempool *pool, const uint8_t mac[6]);

/* Gives the frames back. */
void stream_drain(struct stream *stream);

/* The next N <= STREAM_FRAMES frames, with the time NOW written into them; each is good for one
 * transmission by a driver that copies, and stays the stream's. */
void stream_take(struct stream *stream, struct rte_mbuf **m, unsigned n, uint64_t now);

/* Whether M is one of ours, unencrypted; *SENT is the time that stands in it. */
bool stream_has(const struct rte_mbuf *m, uint64_t *sent);

/* Whether M is a packet of ESP, native or in UDP; keepalives and IKE are not. */
bool stream_is_esp(const struct rte_mbuf *m);

/* Its sequence number's low 32 bits. */
uint32_t stream_esp_sequence(const struct rte_mbuf *m);

/* Makes an answer of it: addresses and ports of both ends are exchanged. */
void stream_turn(struct rte_mbuf *m);
