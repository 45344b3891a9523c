/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps that every translating stage takes with a packet, inline: find its flow, track its
 * connection, rewrite it. Worker only.
 */
#pragma once

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "dataplane/batch.h"
#include "dataplane/ipv4.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_rewrite.h"
#include "dataplane/nat_session.h"
#include "dataplane/tcp_track.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define DP_TCP_CONTROL (DP_TCP_SYN | DP_TCP_FIN | DP_TCP_RST | DP_TCP_ACK)

/* What the parser does not check. */
static inline enum dp_verdict dp_nat_check_header(const struct dp_pkt *p)
{
	if (unlikely(p->l3_header != DP_IPV4_HEADER))
		return DP_IP_OPTIONS;
	return unlikely(p->l3[8] <= 1) ? DP_TTL : DP_OK;
}

/* What may be cut is, behind translation. */
static inline bool dp_nat_is_too_big(const struct dp_pkt *p, uint16_t mtu)
{
	return unlikely(p->l3_length > mtu) && dp_ipv4_has_df(p->l3);
}

/* Sends for the lines of the batch's flows; p->hash is set, and its bucket is on the way. Each
 * p->flow is then one that may be its packet's, or any. True: a packet may have none. */
static inline bool dp_nat_find_candidates(struct dp_worker *w, struct dp_batch *b)
{
	const struct dp_flow_table *flows = w->flows;
	bool has_new = false;

	for (struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		struct dp_flow *f = dp_flow_candidate(flows, p->hash);

		p->flow = likely(f != NULL) ? f : flows->flows;
		has_new |= !f;
	}
	return has_new;
}

/* Whether the packet, of which dp_nat_find_candidates() found none, may open a session. */
static inline bool dp_nat_may_open(const struct dp_worker *w, const struct dp_pkt *p)
{
	return p->verdict == DP_OK && p->flow == w->flows->flows &&
	       (p->protocol != IPPROTO_TCP || p->l3[DP_IPV4_HEADER + 13] & DP_TCP_SYN);
}

/* The flow of p->key, or NULL. */
static inline struct dp_flow *dp_nat_find_flow(struct dp_worker *w, const struct dp_pkt *p)
{
	struct dp_flow *f = p->flow;

	if (likely(dp_flow_is(f, p->key)))
		return f;
	return dp_flow_lookup(w->flows, (const struct dp_flow_key *)p->key, p->hash);
}

/* The data offset, flags and window of a TCP header. */
static inline uint32_t dp_nat_tcp_word(const uint8_t *tcp)
{
	return rte_be_to_cpu_32(dp_load32(tcp + 12));
}

/* Whether this is data or an acknowledgement of an established connection: neither SYN, FIN nor
 * RST. */
static inline bool dp_nat_is_plain(const struct dp_pkt *p, const struct dp_flow *f, uint32_t word)
{
	return f->state == DP_FLOW_ESTABLISHED &&
	       (word & DP_TCP_CONTROL << 16) == DP_TCP_ACK << 16 &&
	       (word >> 28) * 4u - DP_TCP_HEADER_MIN <=
	               p->l3_length - (DP_IPV4_HEADER + DP_TCP_HEADER_MIN);
}

static inline void dp_nat_track_plain(const struct dp_pkt *p, struct dp_flow *f, uint32_t word)
{
	const uint8_t *tcp = p->l3 + DP_IPV4_HEADER;

	dp_tcp_track_established(f,
	                         rte_be_to_cpu_32(dp_load32(tcp + 4)) + p->l3_length -
	                                 DP_IPV4_HEADER - (word >> 28) * 4u,
	                         rte_be_to_cpu_32(dp_load32(tcp + 8)), (uint16_t)word);
}

static inline void dp_nat_count(const struct dp_worker *w, const struct dp_pkt *p,
                                struct dp_flow *f)
{
	f->bytes += p->l3_length;
	if (f->last_s != w->now_s)
		f->last_s = w->now_s;
}

/* Tracks and rewrites what nearly all packets are: UDP, or plain TCP. False: it is something else,
 * and nothing was done; then dp_nat_track() and dp_nat_translate(). */
static __rte_always_inline bool dp_nat_carry(const struct dp_worker *w, const struct dp_pkt *p,
                                             struct dp_flow *f)
{
	if (f->state == DP_FLOW_UDP) {
		dp_nat_rewrite_udp(p->l3, f);
	} else {
		uint32_t word = dp_nat_tcp_word(p->l3 + DP_IPV4_HEADER);

		if (unlikely(!dp_nat_is_plain(p, f, word)))
			return false;
		dp_nat_track_plain(p, f, word);
		dp_nat_rewrite_tcp(p->l3, f);
	}
	dp_nat_count(w, p, f);
	return true;
}

/* The packet in the direction of F. */
static inline enum dp_tcp_verdict dp_nat_track(struct dp_worker *w, const struct dp_pkt *p,
                                               struct dp_flow *f)
{
	uint32_t word;

	if (f->state == DP_FLOW_UDP)
		return DP_TCP_PASS;
	word = dp_nat_tcp_word(p->l3 + DP_IPV4_HEADER);
	if (!dp_nat_is_plain(p, f, word))
		return dp_session_track(w, p, f);
	dp_nat_track_plain(p, f, word);
	return DP_TCP_PASS;
}

/* Rewrites the packet as F says; a SYN offers at most MSS (host byte order; 0: what it wants). */
static inline void dp_nat_translate(const struct dp_worker *w, const struct dp_pkt *p,
                                    struct dp_flow *f, uint16_t mss)
{
	uint8_t *tcp = p->l3 + DP_IPV4_HEADER;

	dp_nat_rewrite(p->l3, f);
	if (p->protocol == IPPROTO_TCP &&
	    (tcp[13] & DP_TCP_SYN)) /* tracking has checked the header */
		dp_nat_clamp_mss(tcp, (tcp[12] >> 4) * 4u, mss);
	dp_nat_count(w, p, f);
}

/* A packet that goes from port to port leaves its frame behind: its data begins with the IPv4
 * header, as dp_nexthop() wants it. */
static inline void dp_nat_leave(struct dp_pkt *p, enum dp_port_id port, uint32_t nexthop_be)
{
	dp_mbuf_set(p->m, p->l3, p->l3_length);
	p->nexthop_be = nexthop_be;
	p->port = (uint8_t)port;
}
