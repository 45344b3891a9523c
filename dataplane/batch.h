/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A burst of packets on its way through the stages, with what the stages know of each.
 *
 * A stage is void dp_x(struct dp_worker *, struct dp_batch *): it loops over the batch and sets
 * verdicts; it never frees and never sends. dp_batch_compact() ends the way of all packets whose
 * verdict is not DP_OK.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_mbuf.h>

#include "dataplane/verdict.h"

#define DP_BURST 32u
#define DP_NONE_SLOT UINT16_MAX /* no environment, no tunnel */

struct dp_worker;
struct dp_flow;
struct dp_sa_in;
struct dp_sa_out;

enum dp_port_id { DP_PORT_UPLINK = 0, DP_PORT_CLUSTER = 1, DP_PORT_COUNT = 2 };

/* One packet. Line 0: what the stages pass on; line 1: what crypto and the flow lookup need. */
struct dp_pkt {
	struct rte_mbuf *m;
	uint8_t *l3; /* the IPv4 header in question: outer before ESP in, inner behind it, outer
	                again behind ESP out */
	struct dp_flow *flow; /* set once the packet is rewritten */
	union {
		struct dp_sa_in *sa_in;
		struct dp_sa_out *sa_out;
	};
	uint64_t hash; /* of key */
	union {
		struct {
			uint16_t l3_length; /* IPv4 total length, bytes */
			uint8_t l3_header;  /* IPv4 header, bytes */
			uint8_t protocol;
		};
		uint32_t shape; /* the three at once */
	};
	uint16_t environment; /* slot */
	uint16_t tunnel;      /* slot */
	union {
		struct {
			uint32_t nexthop_be; /* IPv4 address of the next hop, set by the stage that
			                        decides the way out */
			uint8_t verdict;     /* enum dp_verdict */
			uint8_t port;        /* enum dp_port_id: where it came from, then where it
			                        goes out */
			uint16_t limit;      /* DP_TOO_BIG: the MTU to tell */
		};
		uint64_t way; /* the four at once */
	};
	uint8_t *esp; /* ESP header */
	/* line 1 */
	uint8_t key[16] __rte_aligned(16); /* struct dp_flow_key */
	uint8_t iv[16];
	uint8_t aad[16];
	uint8_t icv[16]; /* computed one, ESP in */
} __rte_cache_aligned;
_Static_assert(sizeof(struct dp_pkt) == 128, "dp_pkt: two lines");
_Static_assert(offsetof(struct dp_pkt, key) == 64, "dp_pkt: line 1");

struct dp_batch {
	unsigned n;
	bool has_special;   /* not only whole TCP and UDP packets: fragments, ICMP, others. Set by
	                       the parser, dp_esp_in_decrypt() and dp_ovpn_in_open() */
	bool has_oversized; /* maybe packets that do not fit their tunnel or port. Set by the
	                       stages that translate */
	bool has_one_sa;    /* all are of one. Set by the stages that find it */
	bool has_one_port;  /* all leave by one. Set by dp_nexthop() */
	struct dp_pkt p[DP_BURST];
};

/* An mbuf's data, of one segment, grows by BYTES at its beginning. Both lengths at once: they stand
 * side by side. */
static inline void dp_mbuf_prepend(struct rte_mbuf *m, uint16_t bytes)
{
	uint8_t *at = (uint8_t *)m + offsetof(struct rte_mbuf, pkt_len);
	uint64_t lengths;

	_Static_assert(offsetof(struct rte_mbuf, data_len) ==
	                       offsetof(struct rte_mbuf, pkt_len) + sizeof(uint32_t),
	               "rte_mbuf: the lengths");
	memcpy(&lengths, at, sizeof(lengths));
	lengths += (uint64_t)bytes << 32 | bytes;
	memcpy(at, &lengths, sizeof(lengths));
	m->data_off -= bytes;
}

/* Its data is LENGTH bytes at BEGIN. What follows the lengths is a VLAN, which nobody has. */
static inline void dp_mbuf_set(struct rte_mbuf *m, const uint8_t *begin, uint16_t length)
{
	uint64_t lengths = (uint64_t)length << 32 | length;

	m->data_off = (uint16_t)(begin - (const uint8_t *)m->buf_addr);
	memcpy((uint8_t *)m + offsetof(struct rte_mbuf, pkt_len), &lengths, sizeof(lengths));
}

/* Does what dp_batch_compact() says where a packet ends. */
void dp_batch_compact_gaps(struct dp_worker *w, struct dp_batch *b);

/* Whether the way of any packet ends here. Behind each stage: a full burst takes one instruction
 * for each packet. */
static inline bool dp_batch_has_ended(const struct dp_batch *b)
{
	uint8_t ended = 0;

	if (likely(b->n == DP_BURST)) {
#pragma GCC unroll 32
		for (unsigned i = 0; i < DP_BURST; i++)
			ended |= b->p[i].verdict;
	} else {
		for (unsigned i = 0; i < b->n; i++)
			ended |= b->p[i].verdict;
	}
	return ended != DP_OK;
}

/* Counts and ends all packets whose verdict is not DP_OK (answers the sender where verdict.h says
 * so, frees the rest, leaves DP_TAKEN alone) and closes the gaps; order is kept. Worker only. */
static inline void dp_batch_compact(struct dp_worker *w, struct dp_batch *b)
{
	if (unlikely(dp_batch_has_ended(b)))
		dp_batch_compact_gaps(w, b);
}
