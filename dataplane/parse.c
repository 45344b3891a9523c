/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks headers before anything trusts them, and sorts. */
#include "dataplane/parse.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_prefetch.h>

#include "dataplane/ipv4.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/peers.h"
#include "dataplane/port.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define ETHER_LENGTH 14
#define UDP_LENGTH 8
#define NATT_KEEPALIVE 0xff

static enum dp_verdict check_ipv4(struct dp_pkt *p, unsigned room)
{
	const uint8_t *l3 = p->l3;
	unsigned total, header;

	if (unlikely(room < DP_IPV4_HEADER))
		return DP_TRUNCATED;
	header = (l3[0] & 0xf) * 4u;
	if (unlikely(l3[0] >> 4 != 4 || header < DP_IPV4_HEADER))
		return DP_IP_VERSION;
	total = rte_be_to_cpu_16(dp_load16(l3 + 2));
	if (unlikely(total < header || total > room))
		return DP_TRUNCATED;
	if (unlikely(header != DP_IPV4_HEADER))
		return DP_IP_OPTIONS;
	if (unlikely(dp_ipv4_sum(l3) != 0xffff))
		return DP_IP_CHECKSUM;
	if (unlikely(dp_ipv4_is_martian(dp_load32(l3 + 12)) ||
	             dp_ipv4_is_martian(dp_load32(l3 + 16))))
		return DP_IP_ADDRESS;
	p->l3_length = (uint16_t)total;
	p->l3_header = DP_IPV4_HEADER;
	p->protocol = l3[9];
	/* a fragment's transport header is looked at when the datagram is whole */
	if (unlikely(dp_ipv4_is_fragment(l3)))
		return DP_OK;
	return dp_ipv4_is_transport_whole(p->protocol, l3 + DP_IPV4_HEADER, total - DP_IPV4_HEADER)
	               ? DP_OK
	               : DP_L4_HEADER;
}

/* Ethernet, then IPv4; ARP is DP_OK with packet_type RTE_PTYPE_L2_ETHER_ARP. */
static enum dp_verdict check_frame(struct dp_worker *w, enum dp_port_id port, struct dp_pkt *p)
{
	struct rte_mbuf *m = p->m;
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	enum dp_verdict verdict;

	m->packet_type = 0;
	if (unlikely(m->nb_segs != 1 && rte_pktmbuf_linearize(m) != 0))
		return DP_MULTI_SEGMENT;
	if (unlikely(m->data_len < ETHER_LENGTH))
		return DP_TRUNCATED;
	p->l3 = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_LENGTH;
	if (unlikely(eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))) {
		m->packet_type = RTE_PTYPE_L2_ETHER_ARP;
		return DP_OK;
	}
	if (unlikely(eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)))
		return DP_ETHERTYPE;
	if (unlikely(!rte_is_same_ether_addr(&eth->dst_addr, &w->ports[port].mac)))
		return DP_NOT_FOR_US;
	verdict = check_ipv4(p, m->data_len - ETHER_LENGTH);
	if (unlikely(verdict != DP_OK))
		return verdict;
	if (unlikely(dp_load32(p->l3 + 12) == w->ports[port].address_be))
		return DP_IP_ADDRESS;
	/* link padding ends here */
	m->data_len = (uint16_t)(ETHER_LENGTH + p->l3_length);
	m->pkt_len = m->data_len;
	return DP_OK;
}

static struct dp_pkt *begin(struct dp_worker *w, struct dp_batch *b, struct rte_mbuf *m,
                            enum dp_port_id port)
{
	struct dp_pkt *p = &b->p[b->n];

	p->m = m;
	p->flow = NULL;
	p->esp = NULL;
	p->environment = DP_NONE_SLOT;
	p->tunnel = DP_NONE_SLOT;
	p->protocol = 0;
	p->port = port;
	m->port = port;
	p->verdict = check_frame(w, port, p);
	return p;
}

static void prefetch(struct rte_mbuf **m, unsigned i, unsigned n)
{
	if (i + 4 < n)
		rte_prefetch0(rte_pktmbuf_mtod(m[i + 4], void *));
}

/* TCP and UDP to an environment's address go forward, fragments and ICMP errors too; everything
 * else is dealt with here. */
static bool is_forward(struct dp_worker *w, struct dp_pkt *p)
{
	uint32_t destination;

	if (unlikely(p->verdict != DP_OK || p->m->packet_type == RTE_PTYPE_L2_ETHER_ARP))
		return false;
	destination = dp_load32(p->l3 + 16);
	if (unlikely(!w->generation)) {
		p->verdict = DP_NO_CONFIGURATION;
		return false;
	}
	if (likely(dp_environment_lookup(w->generation, destination) != NULL)) {
		if (likely(p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP))
			return true;
		if (p->protocol == IPPROTO_ICMP) /* fragments: what they are shows when they are
		                                    whole */
			return dp_ipv4_is_fragment(p->l3) ||
			       dp_nat_icmp_is_error(p->l3 + DP_IPV4_HEADER);
		p->verdict = DP_NO_FORWARD;
		return false;
	}
	if (destination == w->ports[DP_PORT_CLUSTER].address_be) {
		if (p->protocol != IPPROTO_ICMP)
			p->verdict = DP_NOT_FOR_US;
		else if (dp_ipv4_is_fragment(p->l3))
			p->verdict = DP_FRAGMENT;
		return false;
	}
	p->verdict = DP_NO_EGRESS;
	return false;
}

void dp_parse_cluster(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                      struct dp_batch *forward, struct dp_batch *local)
{
	for (unsigned i = 0; i < n; i++) {
		struct dp_pkt *p;

		prefetch(m, i, n);
		p = begin(w, forward, m[i], DP_PORT_CLUSTER);
		if (likely(is_forward(w, p)))
			forward->n++;
		else
			local->p[local->n++] = *p;
	}
}

/* What is in a UDP datagram to our address: ESP (RFC 3948 section 2.1), IKE, a keepalive, or
 * nothing of ours. */
static bool is_udp_esp(struct dp_worker *w, struct dp_pkt *p)
{
	uint8_t *udp = p->l3 + DP_IPV4_HEADER;
	unsigned length = rte_be_to_cpu_16(dp_load16(udp + 4)) - UDP_LENGTH;

	switch (dp_peers_port(w->peers, dp_load16(udp + 2))) {
	case DP_PEER_PORT_NATT:
		if (likely(length >= 4 && dp_load32(udp + UDP_LENGTH) != 0)) {
			p->esp = udp + UDP_LENGTH;
			return true;
		}
		if (length == 1 && udp[UDP_LENGTH] == NATT_KEEPALIVE)
			p->verdict = DP_NATT_KEEPALIVE;
		break;
	case DP_PEER_PORT_IKE:
		break;
	case DP_PEER_PORT_NONE:
		p->verdict = DP_NOT_FOR_US;
		break;
	}
	return false;
}

/* Only servers send us fragments: of ESP, of ESP in UDP and of IKE. */
static bool is_fragment_of_server(const struct dp_worker *w, const struct dp_pkt *p)
{
	return (p->protocol == IPPROTO_ESP || p->protocol == IPPROTO_UDP) &&
	       dp_peers_has(w->peers, dp_load32(p->l3 + 12));
}

/* For us, and no ARP; fragments that are not a server's are refused. */
static bool is_ours(struct dp_worker *w, struct dp_pkt *p)
{
	if (unlikely(p->verdict != DP_OK || p->m->packet_type == RTE_PTYPE_L2_ETHER_ARP))
		return false;
	if (unlikely(dp_load32(p->l3 + 16) != w->ports[DP_PORT_UPLINK].address_be))
		p->verdict = DP_NOT_FOR_US;
	else if (unlikely(dp_ipv4_is_fragment(p->l3) && !is_fragment_of_server(w, p)))
		p->verdict = DP_FRAGMENT;
	return p->verdict == DP_OK;
}

static bool is_esp(struct dp_worker *w, struct dp_pkt *p)
{
	switch (p->protocol) {
	case IPPROTO_ESP:
		p->esp = p->l3 + DP_IPV4_HEADER;
		return true;
	case IPPROTO_UDP:
		return is_udp_esp(w, p);
	case IPPROTO_ICMP:
		return false;
	default:
		p->verdict = DP_NOT_FOR_US;
		return false;
	}
}

void dp_parse_uplink(struct dp_worker *w, struct rte_mbuf **m, unsigned n, struct dp_batch *esp,
                     struct dp_batch *fragments, struct dp_batch *local)
{
	for (unsigned i = 0; i < n; i++) {
		struct dp_pkt *p;

		prefetch(m, i, n);
		p = begin(w, esp, m[i], DP_PORT_UPLINK);
		if (unlikely(!is_ours(w, p)))
			local->p[local->n++] = *p;
		else if (unlikely(dp_ipv4_is_fragment(p->l3)))
			fragments->p[fragments->n++] = *p;
		else if (likely(is_esp(w, p)))
			esp->n++;
		else
			local->p[local->n++] = *p;
	}
}
