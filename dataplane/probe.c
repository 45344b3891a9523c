/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probes are built here and go into the tunnel as answers do, at the end of the burst. */
#include "dataplane/probe.h"

#include <netinet/in.h>

#include "dataplane/answer.h"
#include "dataplane/ipv4.h"
#include "dataplane/liveness.h"
#include "dataplane/tcp_track.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define TTL 64
#define ICMP_HEADER 8u
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO 8
#define TCP_HEADER 20u
#define TCP_MSS 24u /* header with the option */
#define SYN_WINDOW 1024u
#define SYN_MSS 536u /* RFC 9293 section 3.7.1 */

/* What an echo carries, in this host's byte order: it comes back as it went. */
struct payload {
	uint64_t sent_at;
	uint64_t tunnel; /* and GREETING */
	uint64_t token;
};

#define GREETING (1ull << 32)

#define ECHO_LENGTH (DP_IPV4_HEADER + ICMP_HEADER + sizeof(struct payload))

static uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 of three words (Aumasson and Bernstein, 2012). */
static uint64_t sip(const uint64_t key[2], uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t words[4] = { a, b, c, 24ull << 56 };
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
		          key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };

	for (unsigned i = 0; i < 4; i++) {
		v[3] ^= words[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t token_of(const struct dp_worker *w, uint64_t tunnel, uint64_t sent_at,
                         uint32_t inner_be, uint32_t target_be)
{
	return sip(w->failover.secret, tunnel, sent_at, (uint64_t)inner_be << 32 | target_be);
}

/* ---- questions ---- */

static bool send_echo(struct dp_worker *w, uint16_t tunnel, uint32_t target_be, uint64_t kind)
{
	uint32_t inner_be = w->tunnels[tunnel].inner_be;
	struct payload payload = { .sent_at = w->failover.now_at, .tunnel = tunnel | kind };
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->mbufs);
	uint8_t *l3, *icmp;

	if (!m)
		return false;
	payload.token = token_of(w, payload.tunnel, payload.sent_at, inner_be, target_be);
	l3 = (uint8_t *)rte_pktmbuf_append(m, ECHO_LENGTH);
	icmp = l3 + DP_IPV4_HEADER;
	dp_ipv4_write(l3, ECHO_LENGTH, TTL, IPPROTO_ICMP, inner_be, target_be);
	icmp[0] = ICMP_ECHO;
	icmp[1] = 0;
	dp_store16(icmp + 2, 0);
	dp_store32(icmp + 4, (uint32_t)payload.token); /* identifier, sequence number */
	memcpy(icmp + ICMP_HEADER, &payload, sizeof(payload));
	dp_store16(icmp + 2, dp_l4_checksum(NULL, icmp, ICMP_HEADER + sizeof(payload), 0));
	dp_answer_queue_inside(w, m, tunnel);
	return true;
}

bool dp_probe_send_echo(struct dp_worker *w, uint16_t tunnel, uint32_t target_be)
{
	return send_echo(w, tunnel, target_be, 0);
}

bool dp_probe_greet(struct dp_worker *w, uint16_t tunnel, uint32_t host_be)
{
	return send_echo(w, tunnel, host_be, GREETING);
}

static void write_segment(uint8_t *l3, unsigned header, uint32_t source_be, uint32_t destination_be,
                          uint32_t ports, uint32_t sequence_be, uint8_t flags)
{
	uint8_t *tcp = l3 + DP_IPV4_HEADER;

	dp_store32(tcp, ports);
	dp_store32(tcp + 4, sequence_be);
	dp_store32(tcp + 8, 0);
	dp_store32(tcp + 12, rte_cpu_to_be_32(header << 26 | (uint32_t)flags << 16 |
	                                      (flags & DP_TCP_SYN ? SYN_WINDOW : 0)));
	dp_store32(tcp + 16, 0);
	dp_ipv4_write(l3, (uint16_t)(DP_IPV4_HEADER + header), TTL, IPPROTO_TCP, source_be,
	              destination_be);
	dp_store16(tcp + 16, dp_l4_checksum(l3, tcp, (uint16_t)header, IPPROTO_TCP));
}

static uint32_t port_pair(uint16_t source_be, uint16_t destination_be)
{
	uint8_t bytes[4];

	dp_store16(bytes, source_be);
	dp_store16(bytes + 2, destination_be);
	return dp_load32(bytes);
}

bool dp_probe_send_syn(struct dp_worker *w, uint16_t tunnel, const struct dp_forward *forward)
{
	struct dp_tunnel *t = &w->tunnels[tunnel];
	struct dp_liveness *l = &t->liveness;
	uint64_t random = sip(w->failover.secret, tunnel, w->failover.now_at, forward->key);
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->mbufs);
	unsigned port = rte_be_to_cpu_16(l->syn_port_be) + 1u;
	uint8_t *l3;

	if (!m)
		return false;
	if (port < DP_PROBE_PORT_FIRST || port > DP_PROBE_PORT_LAST)
		port = DP_PROBE_PORT_FIRST;
	l->syn_port_be = rte_cpu_to_be_16((uint16_t)port);
	l->syn_sequence = (uint32_t)random;
	l->syn_target_be = forward->to_address_be;
	l->syn_target_port_be = forward->to_port_be;
	l3 = (uint8_t *)rte_pktmbuf_append(m, DP_IPV4_HEADER + TCP_MSS);
	dp_store32(l3 + DP_IPV4_HEADER + TCP_HEADER, rte_cpu_to_be_32(0x02040000u | SYN_MSS));
	write_segment(l3, TCP_MSS, t->inner_be, forward->to_address_be,
	              port_pair(l->syn_port_be, forward->to_port_be),
	              rte_cpu_to_be_32(l->syn_sequence), DP_TCP_SYN);
	dp_answer_queue_inside(w, m, tunnel);
	return true;
}

/* ---- answers ---- */

/* An answer may take another way back: through any tunnel of the environment with the same inner
 * address. */
static bool is_way_back(const struct dp_worker *w, uint16_t asked, const struct dp_pkt *p)
{
	const struct dp_tunnel *t = &w->tunnels[asked];

	return t->environment == p->environment && t->is_up && t->inner_be == dp_load32(p->l3 + 16);
}

static bool take_echo(struct dp_worker *w, const struct dp_pkt *p)
{
	const uint8_t *icmp = p->l3 + DP_IPV4_HEADER;
	struct payload payload;
	uint64_t tunnel;

	if (p->l3_length != ECHO_LENGTH || icmp[0] != ICMP_ECHO_REPLY || icmp[1] != 0)
		return false;
	memcpy(&payload, icmp + ICMP_HEADER, sizeof(payload));
	tunnel = payload.tunnel & ~GREETING;
	if (tunnel >= DP_TUNNELS_MAX || !is_way_back(w, (uint16_t)tunnel, p))
		return false;
	if (payload.token != token_of(w, payload.tunnel, payload.sent_at, dp_load32(p->l3 + 16),
	                              dp_load32(p->l3 + 12)) ||
	    dp_checksum_fold(dp_checksum_add(icmp, ECHO_LENGTH - DP_IPV4_HEADER, 0)) != 0xffff)
		return false;
	if (tunnel == payload.tunnel)
		dp_liveness_answered(w, (uint16_t)tunnel, DP_PROBE_ECHO, payload.sent_at);
	return true;
}

void dp_probe_take_echoes(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (b->p[i].verdict == DP_OK && take_echo(w, &b->p[i]))
			b->p[i].verdict = DP_PROBE;
	}
}

/* The tunnel whose last SYN this segment answers, or DP_NONE_SLOT. */
static uint16_t find_syn(const struct dp_worker *w, const struct dp_pkt *p)
{
	const struct dp_environment *e = w->generation->by_slot[p->environment];
	const uint8_t *tcp = p->l3 + DP_IPV4_HEADER;
	uint32_t acknowledged = rte_be_to_cpu_32(dp_load32(tcp + 8));

	for (unsigned i = 0; e && i < e->tunnel_count; i++) {
		const struct dp_liveness *l = &w->tunnels[e->tunnels[i]].liveness;

		if (is_way_back(w, e->tunnels[i], p) && l->syn_port_be == dp_load16(tcp + 2) &&
		    l->syn_target_port_be == dp_load16(tcp) &&
		    l->syn_target_be == dp_load32(p->l3 + 12) &&
		    l->syn_sequence + 1 == acknowledged)
			return e->tunnels[i];
	}
	return DP_NONE_SLOT;
}

/* A SYN-ACK opened half a connection: it ends here. Takes the buffer if there is room. */
static void reset(struct dp_worker *w, struct dp_pkt *p)
{
	uint8_t *l3 = p->l3, *tcp = l3 + DP_IPV4_HEADER;

	p->verdict = DP_PROBE;
	if (!(tcp[13] & DP_TCP_SYN) || w->answers_inside->n == DP_BURST)
		return;
	p->verdict = DP_TAKEN;
	write_segment(l3, TCP_HEADER, dp_load32(l3 + 16), dp_load32(l3 + 12),
	              port_pair(dp_load16(tcp + 2), dp_load16(tcp)), dp_load32(tcp + 8),
	              DP_TCP_RST);
	p->m->data_len = DP_IPV4_HEADER + TCP_HEADER;
	p->m->pkt_len = p->m->data_len;
	w->tunnels[p->tunnel].liveness.probe_packets++;
	dp_answer_queue_inside(w, p->m, p->tunnel);
}

static void take_segment(struct dp_worker *w, struct dp_pkt *p)
{
	const uint8_t *tcp = p->l3 + DP_IPV4_HEADER;
	uint16_t port = rte_be_to_cpu_16(dp_load16(tcp + 2)), tunnel;
	uint8_t flags = tcp[13] & (DP_TCP_SYN | DP_TCP_ACK | DP_TCP_RST | DP_TCP_FIN);

	if (p->protocol != IPPROTO_TCP || p->l3_header != DP_IPV4_HEADER ||
	    port < DP_PROBE_PORT_FIRST || port > DP_PROBE_PORT_LAST)
		return;
	if (flags != (DP_TCP_SYN | DP_TCP_ACK) && flags != (DP_TCP_RST | DP_TCP_ACK))
		return;
	tunnel = find_syn(w, p);
	if (tunnel == DP_NONE_SLOT)
		return;
	dp_liveness_answered(w, tunnel, DP_PROBE_SYN, w->tunnels[tunnel].liveness.syn_at);
	reset(w, p);
}

void dp_probe_take_segments(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (unlikely(b->p[i].verdict == DP_INNER_NO_SESSION))
			take_segment(w, &b->p[i]);
	}
}
