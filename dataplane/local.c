/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ARP requests answered in place, replies to the control thread, echo answered, IKE punted. */
#include "dataplane/local.h"

#include <netinet/in.h>

#include <rte_ether.h>

#include "dataplane/answer.h"
#include "dataplane/egress.h"
#include "dataplane/exception.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/pmtu.h"
#include "dataplane/port.h"
#include "dataplane/punt.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define ARP_LENGTH 28u
enum {
	ARP_OPERATION = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET_IP = 24
};
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

static bool is_ours(const struct dp_worker *w, enum dp_port_id port, uint32_t address_be)
{
	if (address_be == w->ports[port].address_be)
		return true;
	if (port == DP_PORT_UPLINK)
		return w->generation && w->generation->egress &&
		       dp_egress_owns(w->generation->egress, address_be);
	return w->generation && dp_environment_lookup(w->generation, address_be);
}

/* RFC 826; the request becomes the reply in its own buffer. */
static enum dp_verdict answer_arp(struct dp_worker *w, struct dp_pkt *p, uint8_t *arp)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *);
	const struct dp_port *port = &w->ports[p->port];
	uint32_t asked_be = dp_load32(arp + ARP_TARGET_IP),
		 asker_be = dp_load32(arp + ARP_SENDER_IP);

	if (!dp_bucket_take(&w->arp_answer_limit[p->port], w->now_ns))
		return DP_RATE_LIMITED;
	memcpy(&eth->dst_addr, arp + ARP_SENDER_MAC, 6);
	eth->src_addr = port->mac;
	dp_store16(arp + ARP_OPERATION, rte_cpu_to_be_16(ARP_REPLY));
	memcpy(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, 6);
	memcpy(arp + ARP_SENDER_MAC, &port->mac, 6);
	dp_store32(arp + ARP_SENDER_IP, asked_be);
	dp_store32(arp + ARP_TARGET_IP, asker_be);
	p->m->data_len = sizeof(*eth) + ARP_LENGTH;
	p->m->pkt_len = p->m->data_len;
	w->count->arp_replies++;
	dp_port_send(w, p->port, p->m);
	return DP_TAKEN;
}

static enum dp_verdict local_arp(struct dp_worker *w, struct dp_pkt *p)
{
	uint8_t *arp = p->l3;
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, const struct rte_ether_hdr *);
	enum dp_verdict verdict;

	/* Ethernet and IPv4 addresses of their lengths, nothing else */
	if (p->m->data_len < sizeof(*eth) + ARP_LENGTH ||
	    dp_load32(arp) != rte_cpu_to_be_32(0x00010800) ||
	    dp_load16(arp + 4) != rte_cpu_to_be_16(0x0604) ||
	    memcmp(&eth->src_addr, arp + ARP_SENDER_MAC, 6) != 0 || (arp[ARP_SENDER_MAC] & 1))
		return DP_ARP_INVALID;
	switch (rte_be_to_cpu_16(dp_load16(arp + ARP_OPERATION))) {
	case ARP_REQUEST:
		if (is_ours(w, p->port, dp_load32(arp + ARP_TARGET_IP)) &&
		    dp_load32(arp + ARP_SENDER_IP) != dp_load32(arp + ARP_TARGET_IP))
			return answer_arp(w, p, arp);
		break;
	case ARP_REPLY:
		break;
	default:
		return DP_ARP_INVALID;
	}
	/* what neighbours say of themselves: the control thread decides whether to ask them */
	if (!dp_bucket_take(&w->arp_limit, w->now_ns))
		return DP_RATE_LIMITED;
	rte_pktmbuf_adj(p->m, sizeof(*eth));
	verdict = dp_punt(w, p->m);
	w->count->arp_in += verdict == DP_TAKEN;
	return verdict;
}

/* Only the control thread can ask all workers for the SA it is about (dataplane/pmtu.h). */
static enum dp_verdict punt_too_big(struct dp_worker *w, struct dp_pkt *p)
{
	if (!dp_bucket_take(&w->pmtu_limit, w->now_ns))
		return DP_RATE_LIMITED;
	rte_pktmbuf_adj(p->m, (uint16_t)(p->l3 - rte_pktmbuf_mtod(p->m, uint8_t *)));
	return dp_punt(w, p->m);
}

/* An environment's address is there for everybody but the pods of other environments. */
static enum dp_verdict answer_echo(struct dp_worker *w, struct dp_pkt *p)
{
	const struct dp_generation *g = w->generation;

	if (p->environment != DP_NONE_SLOT &&
	    dp_environment_is_foreign(g, g->by_slot[p->environment], dp_load32(p->l3 + 12)))
		return DP_SOURCE_REFUSED;
	return dp_answer_echo(w, p);
}

/* A flow that ends here, or an error about it. */
static bool is_exception(const struct dp_worker *w, const struct dp_pkt *p)
{
	const uint8_t *l4 = p->l3 + p->l3_header;

	if (p->port != DP_PORT_UPLINK)
		return false;
	if (p->protocol == IPPROTO_TCP)
		return dp_exception_has(w->exception, dp_load32(p->l3 + 12), dp_load16(l4),
		                        dp_load16(l4 + 2));
	return p->protocol == IPPROTO_ICMP && dp_nat_icmp_is_error(l4) &&
	       dp_exception_is_quoted(w->exception, w->ports[DP_PORT_UPLINK].address_be, l4,
	                              p->l3_length - p->l3_header);
}

static enum dp_verdict local_one(struct dp_worker *w, struct dp_pkt *p)
{
	if (p->m->packet_type == RTE_PTYPE_L2_ETHER_ARP)
		return local_arp(w, p);
	if (p->protocol == IPPROTO_UDP)
		return dp_punt_control(w, p);
	if (is_exception(w, p))
		return dp_exception_punt(w, p);
	if (p->protocol == IPPROTO_ICMP && p->port == DP_PORT_UPLINK &&
	    dp_pmtu_is_too_big(p->l3 + p->l3_header))
		return punt_too_big(w, p);
	if (p->protocol == IPPROTO_ICMP)
		return answer_echo(w, p);
	return DP_NOT_FOR_US;
}

void dp_local_echo(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if (p->verdict == DP_OK && !dp_nat_icmp_is_error(p->l3 + p->l3_header))
			p->verdict = answer_echo(w, p);
	}
}

void dp_local(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		if (b->p[i].verdict == DP_OK)
			b->p[i].verdict = local_one(w, &b->p[i]);
}
