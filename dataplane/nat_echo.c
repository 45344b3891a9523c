/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Echo is rare: packet after packet, the IPv4 checksum is computed anew. */
#include "dataplane/nat_echo.h"

#include <netinet/in.h>

#include "dataplane/nat_egress.h"
#include "dataplane/nat_rewrite.h"
#include "dataplane/nat_step.h"
#include "dataplane/port.h"

enum { ECHO_REPLY = 0, ECHO_REQUEST = 8 };

static struct dp_flow_key make_key(const struct dp_pkt *p, enum dp_flow_direction direction)
{
	struct dp_flow_key key = { .source_be = dp_load32(p->l3 + 12),
		                   .destination_be = dp_load32(p->l3 + 16),
		                   .protocol = IPPROTO_ICMP,
		                   .direction = direction,
		                   .environment = DP_SCOPE_EGRESS };

	dp_nat_echo_ports(&key, p->l3 + DP_IPV4_HEADER, direction);
	return key;
}

/* The checksum of ICMP is updated, never computed: damage stays visible. */
static void translate(const struct dp_worker *w, struct dp_pkt *p, struct dp_flow *f)
{
	uint8_t *l3 = p->l3, *icmp = l3 + DP_IPV4_HEADER;

	l3[8]--;
	dp_store32(l3 + 12, f->source_be);
	dp_store32(l3 + 16, f->destination_be);
	dp_store16(l3 + 10, 0);
	dp_store16(l3 + 10, (uint16_t)~dp_ipv4_sum(l3));
	dp_store16(icmp + DP_ECHO_IDENTIFIER, f->source_port_be | f->destination_port_be);
	dp_store16(l3 + f->checksum_off,
	           dp_checksum_update(dp_load16(l3 + f->checksum_off), f->l4_delta));
	f->bytes += p->l3_length;
	f->last_s = w->now_s;
	p->flow = f;
}

static bool check(struct dp_worker *w, struct dp_pkt *p, uint8_t type, enum dp_verdict refusal,
                  enum dp_port_id out)
{
	p->verdict = (uint8_t)dp_nat_check_header(p);
	if (p->verdict != DP_OK)
		return false;
	p->verdict = (uint8_t)refusal;
	if (p->l3[DP_IPV4_HEADER] != type)
		return false;
	p->verdict = DP_TOO_BIG;
	p->limit = w->ports[out].mtu;
	if (dp_nat_is_too_big(p, p->limit))
		return false;
	p->verdict = DP_OK;
	return true;
}

static void echo_out(struct dp_worker *w, struct dp_pkt *p)
{
	struct dp_flow_key key __rte_aligned(16) = make_key(p, DP_FLOW_OUTWARD);
	struct dp_flow *f;

	if (!check(w, p, ECHO_REQUEST, DP_EGRESS_PROTOCOL, DP_PORT_UPLINK))
		return;
	f = dp_flow_lookup(w->flows, &key, dp_flow_hash(w->flows, &key));
	if (!f)
		p->verdict = (uint8_t)dp_nat_egress_open(w, &key, 0, NULL, &f);
	if (p->verdict != DP_OK)
		return;
	translate(w, p, f);
	dp_nat_leave(p, DP_PORT_UPLINK, f->destination_be);
	w->count->egress_out_packets++;
	w->count->egress_out_bytes += p->l3_length;
}

static void echo_in(struct dp_worker *w, struct dp_pkt *p)
{
	struct dp_flow_key key __rte_aligned(16) = make_key(p, DP_FLOW_INWARD);
	struct dp_flow *f = dp_flow_lookup(w->flows, &key, dp_flow_hash(w->flows, &key));

	p->verdict = DP_EGRESS_UNSOLICITED;
	if (!f || !check(w, p, ECHO_REPLY, DP_EGRESS_UNSOLICITED, DP_PORT_CLUSTER))
		return;
	translate(w, p, f);
	dp_nat_leave(p, DP_PORT_CLUSTER, f->destination_be);
	w->count->egress_in_packets++;
	w->count->egress_in_bytes += p->l3_length;
}

void dp_nat_echo_out(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (b->p[i].verdict == DP_OK && !b->p[i].flow)
			echo_out(w, &b->p[i]);
}

void dp_nat_echo_in(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (b->p[i].verdict == DP_OK && !b->p[i].flow)
			echo_in(w, &b->p[i]);
}
