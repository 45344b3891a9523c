/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One flow says it all: the quoted packet went where the error comes from, so its tuple turned
 * around is the key of what comes from there; the flow of the other direction has as its key what
 * the packet looked like when we received it.
 */
#include "dataplane/nat_icmp.h"

#include "dataplane/egress.h"
#include "dataplane/icmp_quote.h"
#include "dataplane/ipv4.h"
#include "dataplane/nat_echo.h"
#include "dataplane/nat_failover.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_rewrite.h"
#include "dataplane/nat_step.h"
#include "dataplane/share.h"
#include "dataplane/worker.h"

#define ERROR_MAX 1280u /* RFC 1812 section 4.3.2.3 asks for 576; it has to fit any way out */

void dp_nat_icmp_split(struct dp_worker *w, struct dp_batch *b, struct dp_batch *errors)
{
	(void)w;
	errors->n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if (likely(p->protocol != IPPROTO_ICMP || p->verdict != DP_OK))
			continue;
		errors->p[errors->n++] = *p;
		p->verdict = DP_TAKEN;
	}
}

/* An undamaged error that quotes enough of a TCP or UDP packet or an echo of ours; never one about
 * another error. */
static bool is_error_whole(const struct dp_pkt *p)
{
	const uint8_t *icmp = p->l3 + DP_IPV4_HEADER, *quote = icmp + DP_ICMP_HEADER;
	unsigned length = p->l3_length - DP_IPV4_HEADER;

	if (length < DP_ICMP_HEADER + DP_ICMP_QUOTE_LEAST || !dp_nat_icmp_is_error(icmp))
		return false;
	if (quote[0] != 0x45 || (dp_load16(quote + 6) & rte_cpu_to_be_16(0x1fff)))
		return false;
	if (quote[9] != IPPROTO_TCP && quote[9] != IPPROTO_UDP && quote[9] != IPPROTO_ICMP)
		return false;
	return dp_checksum_fold(dp_checksum_add(icmp, length, 0)) == 0xffff;
}

/* The flow of packets from where the error comes from. */
static struct dp_flow *find_flow(struct dp_worker *w, const uint8_t *quote,
                                 enum dp_flow_direction from, uint16_t environment)
{
	struct dp_flow_key key __rte_aligned(16) = { .source_be = dp_load32(quote + 16),
		                                     .destination_be = dp_load32(quote + 12),
		                                     .source_port_be = dp_load16(quote + 22),
		                                     .destination_port_be = dp_load16(quote + 20),
		                                     .protocol = quote[9],
		                                     .direction = from,
		                                     .environment = environment };

	if (quote[9] == IPPROTO_ICMP)
		dp_nat_echo_ports(&key, quote + DP_IPV4_HEADER, from);

	return dp_flow_lookup(w->flows, &key, dp_flow_hash(w->flows, &key));
}

/* Undoes the translation of the quoted packet, whose key was SENT; its checksum may be cut off, or
 * have been damaged before. */
static void restore_quote(uint8_t *quote, unsigned room, const struct dp_flow *sent)
{
	uint16_t addresses = dp_checksum_fold((uint64_t)(uint32_t)~dp_load32(quote + 12) +
	                                      (uint32_t)~dp_load32(quote + 16) +
	                                      sent->key.source_be + sent->key.destination_be);
	unsigned at = sent->checksum_off;

	dp_store16(quote + 10, dp_checksum_update(dp_load16(quote + 10), addresses));
	if (at + 2 <= room && (quote[9] != IPPROTO_UDP || dp_load16(quote + at) != 0)) {
		uint16_t checksum =
			dp_checksum_update(dp_load16(quote + at), (uint16_t)~sent->l4_delta);

		dp_store16(quote + at,
		           checksum == 0 && quote[9] == IPPROTO_UDP ? 0xffff : checksum);
	}
	dp_store32(quote + 12, sent->key.source_be);
	dp_store32(quote + 16, sent->key.destination_be);
	if (quote[9] == IPPROTO_ICMP) {
		dp_nat_echo_set(quote + DP_IPV4_HEADER, &sent->key);
		return;
	}
	dp_store16(quote + 20, sent->key.source_port_be);
	dp_store16(quote + 22, sent->key.destination_port_be);
}

/* One that came in fragments: what it quotes beyond is cut off, and with it what RFC 4884 may have
 * put behind the quote. */
static void shorten(struct dp_pkt *p)
{
	rte_pktmbuf_trim(p->m, (uint16_t)(p->l3_length - ERROR_MAX));
	p->l3_length = ERROR_MAX;
	dp_store16(p->l3 + 2, rte_cpu_to_be_16(ERROR_MAX));
	p->l3[DP_IPV4_HEADER + 5] = 0; /* the quote's length, where something is behind it */
}

/* FROM: who says so, on the receiver's side. */
static void translate(struct dp_pkt *p, const struct dp_flow *sent, uint32_t from_be)
{
	uint8_t *l3 = p->l3, *icmp = l3 + DP_IPV4_HEADER;
	unsigned length;

	if (unlikely(p->l3_length > ERROR_MAX))
		shorten(p);
	length = p->l3_length - DP_IPV4_HEADER;
	restore_quote(icmp + DP_ICMP_HEADER, length - DP_ICMP_HEADER, sent);
	dp_store16(icmp + 2, 0);
	dp_store16(icmp + 2, dp_l4_checksum(NULL, icmp, length, 0));
	l3[8]--;
	dp_store32(l3 + 12, from_be);
	dp_store32(l3 + 16, sent->key.source_be);
	dp_store16(l3 + 10, 0);
	dp_store16(l3 + 10, (uint16_t)~dp_ipv4_sum(l3));
}

/* The environment that a flow is part of; egress has one scope for all. */
static uint16_t whose_is(const struct dp_worker *w, const struct dp_flow *f)
{
	return w->flows->cold[dp_flow_session(w->flows, f)].environment;
}

/* The flow whose packet is quoted, as it was received; NULL: the verdict is set. */
static struct dp_flow *find_sent(struct dp_worker *w, struct dp_pkt *p, enum dp_flow_direction from)
{
	const uint8_t *quote = p->l3 + DP_IPV4_HEADER + DP_ICMP_HEADER;
	struct dp_flow *f = is_error_whole(p) ? find_flow(w, quote, from, p->environment) : NULL;

	/* the error came to the address that the quoted packet came from, as we sent it */
	p->verdict = DP_NO_SESSION_QUOTED;
	if (!f || dp_load32(p->l3 + 16) != f->key.destination_be ||
	    (from == DP_FLOW_INWARD && f->tunnel != p->tunnel &&
	     !dp_nat_failover_is_way_back(w, f, p->tunnel)))
		return NULL;
	p->verdict = DP_TTL;
	if (p->l3[8] <= 1)
		return NULL;
	p->verdict = DP_RATE_LIMITED;
	if (!dp_bucket_take(&dp_share_in(w->shares, whose_is(w, f))->errors, w->now_ns))
		return NULL;
	p->verdict = DP_OK;
	w->count->icmp_translated++;
	return dp_flow_other(f);
}

/* From a pod of another environment: it cannot have seen what it quotes. */
static bool is_foreign(const struct dp_worker *w, const struct dp_pkt *p)
{
	return dp_environment_is_foreign(w->generation, w->generation->by_slot[p->environment],
	                                 dp_load32(p->l3 + 12));
}

void dp_nat_icmp_out(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_flow *sent;

		if (p->verdict != DP_OK)
			continue;
		p->environment = dp_environment_lookup(w->generation, dp_load32(p->l3 + 16))->slot;
		sent = find_sent(w, p, DP_FLOW_OUTWARD);
		if (!sent)
			continue;
		if (is_foreign(w, p)) {
			p->verdict = DP_SOURCE_REFUSED;
			continue;
		}
		translate(p, sent, sent->key.destination_be);
		p->flow = sent;
		p->tunnel = sent->tunnel;
	}
}

void dp_nat_icmp_in(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_flow *sent = p->verdict == DP_OK ? find_sent(w, p, DP_FLOW_INWARD) : NULL;

		if (!sent)
			continue;
		translate(p, sent, sent->key.destination_be);
		p->flow = sent;
		p->nexthop_be = sent->key.source_be;
		p->port = DP_PORT_CLUSTER;
	}
}

/* ---- egress ---- */

static bool is_error(const struct dp_pkt *p)
{
	return p->verdict == DP_OK && dp_nat_icmp_is_error(p->l3 + DP_IPV4_HEADER);
}

/* The same of a packet to the Internet, in the direction of SENT's replies. */
static bool is_foreign_to(const struct dp_worker *w, const struct dp_pkt *p,
                          const struct dp_flow *sent)
{
	const struct dp_egress *e = w->generation->egress;
	uint16_t environment =
		dp_egress_find(e->sources, e->source_count, dp_load32(p->l3 + 12))->environment;

	return environment != DP_NONE_SLOT && environment != whose_is(w, sent);
}

void dp_nat_icmp_egress_out(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_flow *sent;

		if (!is_error(p))
			continue;
		p->environment = DP_SCOPE_EGRESS;
		sent = find_sent(w, p, DP_FLOW_OUTWARD);
		if (!sent)
			continue;
		if (is_foreign_to(w, p, sent)) {
			p->verdict = DP_SOURCE_REFUSED;
			continue;
		}
		translate(p, sent, sent->key.destination_be);
		p->flow = sent;
		dp_nat_leave(p, DP_PORT_UPLINK, sent->key.source_be);
	}
}

void dp_nat_icmp_egress_in(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_flow *sent;

		if (!is_error(p))
			continue;
		p->environment = DP_SCOPE_EGRESS;
		sent = find_sent(w, p, DP_FLOW_INWARD);
		if (!sent)
			continue;
		translate(p, sent, dp_load32(p->l3 + 12));
		p->flow = sent;
		dp_nat_leave(p, DP_PORT_CLUSTER, sent->key.source_be);
	}
}
