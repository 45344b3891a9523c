/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks headers before anything trusts them, and sorts. */
#include "dataplane/parse.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_prefetch.h>

#include "dataplane/egress.h"
#include "dataplane/exception.h"
#include "dataplane/icmp_quote.h"
#include "dataplane/ipv4.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/ovpn.h"
#include "dataplane/peers.h"
#include "dataplane/port.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define ETHER_LENGTH 14
#define UDP_LENGTH 8
#define WHOLE_LEAST 40u /* bytes of an IPv4 packet that the short way takes */
#define NATT_KEEPALIVE 0xff
#define ICMP_ECHO 8

/* Of a header's first eight bytes in memory order: version and length, more fragments and offset.
 */
#define HEADER_AND_FRAGMENT 0xff3f0000000000ffu

/* What frames that come by a port have. */
struct link {
	uint64_t mac; /* 48 bits, in memory order */
	uint32_t address_be;
	bool is_static; /* the uplink's address is one of egress, too */
};

/* Whether this is a static address. */
static bool is_static(const struct dp_worker *w, uint32_t address_be)
{
	return w->generation && w->generation->egress &&
	       dp_egress_owns(w->generation->egress, address_be);
}

static struct link link_of(const struct dp_worker *w, enum dp_port_id port)
{
	uint32_t address_be = w->ports[port].address_be;
	struct link link = { .address_be = address_be, .is_static = is_static(w, address_be) };

	memcpy(&link.mac, &w->ports[port].mac, sizeof(w->ports[port].mac));
	return link;
}

/* Why a header that does not begin as all do is refused. */
static enum dp_verdict refuse_header(const uint8_t *l3, unsigned room)
{
	unsigned header = (l3[0] & 0xf) * 4u, total = rte_be_to_cpu_16(dp_load16(l3 + 2));

	if (l3[0] >> 4 != 4 || header < DP_IPV4_HEADER)
		return DP_IP_VERSION;
	return total < header || total > room ? DP_TRUNCATED : DP_IP_OPTIONS;
}

static inline enum dp_verdict check_ipv4(struct dp_pkt *p, const uint8_t *l3, unsigned room)
{
	unsigned total;

	if (unlikely(room < DP_IPV4_HEADER))
		return DP_TRUNCATED;
	if (unlikely(l3[0] != DP_IPV4_FIRST))
		return refuse_header(l3, room);
	total = __builtin_bswap32(dp_load32(l3)) & UINT16_MAX;
	if (unlikely(total - DP_IPV4_HEADER > room - DP_IPV4_HEADER))
		return DP_TRUNCATED;
	if (unlikely(dp_ipv4_sum(l3) != 0xffff))
		return DP_IP_CHECKSUM;
	if (unlikely((unsigned)dp_ipv4_is_martian(dp_load32(l3 + 12)) |
	             (unsigned)dp_ipv4_is_martian(dp_load32(l3 + 16))))
		return DP_IP_ADDRESS;
	p->l3_length = (uint16_t)total;
	p->l3_header = DP_IPV4_HEADER;
	p->protocol = l3[9];
	/* a fragment's transport header is looked at when the datagram is whole */
	if (unlikely(dp_ipv4_is_fragment(l3)))
		return DP_OK;
	return dp_ipv4_is_transport_whole(l3[9], l3 + DP_IPV4_HEADER, total - DP_IPV4_HEADER)
	               ? DP_OK
	               : DP_L4_HEADER;
}

/* Ethernet, then IPv4; ARP is DP_OK with packet_type RTE_PTYPE_L2_ETHER_ARP. */
static inline enum dp_verdict check_frame(const struct link *link, struct dp_pkt *p,
                                          struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	enum dp_verdict verdict;
	uint16_t ether_type_be;
	unsigned room;

	if (unlikely(m->nb_segs != 1 && rte_pktmbuf_linearize(m) != 0))
		return DP_MULTI_SEGMENT;
	room = m->data_len - ETHER_LENGTH;
	if (unlikely(m->data_len < ETHER_LENGTH))
		return DP_TRUNCATED;
	p->l3 = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_LENGTH;
	ether_type_be = dp_load16(frame + 12);
	if (unlikely(ether_type_be != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))) {
		if (ether_type_be != rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))
			return DP_ETHERTYPE;
		m->packet_type = RTE_PTYPE_L2_ETHER_ARP;
		return DP_OK;
	}
	if (unlikely((dp_load64(frame) ^ link->mac) << 16))
		return DP_NOT_FOR_US;
	verdict = check_ipv4(p, frame + ETHER_LENGTH, room);
	if (unlikely(verdict != DP_OK))
		return verdict;
	if (unlikely(dp_load32(frame + ETHER_LENGTH + 12) == link->address_be))
		return DP_IP_ADDRESS;
	/* link padding ends here */
	m->data_len = (uint16_t)(ETHER_LENGTH + p->l3_length);
	m->pkt_len = m->data_len;
	return DP_OK;
}

/* Whether this is what nearly all frames are: to us, all of an IPv4 packet without options, no
 * fragment, and all that check_frame() asks is so. In few instructions; P is filled in then. */
static inline bool is_whole_frame(const struct link *link, struct dp_pkt *p, struct rte_mbuf *m)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *), *l3 = frame + ETHER_LENGTH;
	unsigned length = m->data_len, total, protocol;

	if (unlikely(length < ETHER_LENGTH + WHOLE_LEAST || m->nb_segs != 1))
		return false;
	if (unlikely(dp_load16(frame + 12) != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
	             (dp_load64(frame) ^ link->mac) << 16))
		return false;
	total = __builtin_bswap32(dp_load32(l3)) & UINT16_MAX;
	if (unlikely((dp_load64(l3) & HEADER_AND_FRAGMENT) != DP_IPV4_FIRST ||
	             total - WHOLE_LEAST > length - (ETHER_LENGTH + WHOLE_LEAST)))
		return false;
	if (unlikely(dp_ipv4_sum(l3) != 0xffff || dp_ipv4_is_martian(dp_load32(l3 + 12)) ||
	             dp_ipv4_is_martian(dp_load32(l3 + 16)) ||
	             dp_load32(l3 + 12) == link->address_be))
		return false;
	protocol = l3[9];
	if (unlikely(!dp_ipv4_is_transport_whole((uint8_t)protocol, l3 + DP_IPV4_HEADER,
	                                         total - DP_IPV4_HEADER)))
		return false;
	p->l3 = l3;
	p->l3_length = (uint16_t)total;
	p->l3_header = DP_IPV4_HEADER;
	p->protocol = (uint8_t)protocol;
	m->data_len = (uint16_t)(ETHER_LENGTH + total);
	m->pkt_len = ETHER_LENGTH + total;
	return true;
}

/* Returns is_whole_frame(). */
static inline bool begin(const struct link *link, enum dp_port_id port, struct dp_pkt *p,
                         struct rte_mbuf *m)
{
	p->m = m;
	p->flow = NULL;
	p->esp = NULL;
	p->environment = DP_NONE_SLOT;
	p->tunnel = DP_NONE_SLOT;
	p->verdict = DP_OK;
	p->port = (uint8_t)port;
	p->limit = 0;
	m->port = port;
	m->packet_type = 0;
	if (likely(is_whole_frame(link, p, m)))
		return true;
	p->protocol = 0;
	p->verdict = (uint8_t)check_frame(link, p, m);
	return false;
}

/* The headers of a later frame. */
static inline void prefetch(struct rte_mbuf *const *m, struct rte_mbuf *const *end)
{
	if (likely(m + 4 < end))
		rte_prefetch0(rte_pktmbuf_mtod(m[4], void *));
}

/* P was sorted into B and not, like those before it, into LAST, where it stands: it gets its place.
 * Returns it. */
static __rte_noinline struct dp_pkt *move(struct dp_batch *b, struct dp_batch *last,
                                          const struct dp_pkt *p)
{
	last->n = (unsigned)(p - last->p);
	b->p[b->n] = *p;
	return &b->p[b->n];
}

/* A batch that is empty. */
static void empty(struct dp_batch *b)
{
	b->n = 0;
	b->has_special = b->has_oversized = b->has_one_sa = b->has_one_port = false;
}

static inline bool is_tcp_or_udp(const struct dp_pkt *p)
{
	return p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;
}

/* Whole, TCP or UDP. */
static inline bool is_ordinary(const struct dp_pkt *p)
{
	return likely(is_tcp_or_udp(p) && !dp_ipv4_is_fragment(p->l3));
}

/* For the stages of a batch that may have anything. */
static inline struct dp_batch *sort_any(const struct dp_pkt *p, struct dp_batch *b)
{
	if (unlikely(!is_ordinary(p)))
		b->has_special = true;
	return b;
}

/* To an environment's address. */
static inline struct dp_batch *sort_forward(struct dp_pkt *p, struct dp_from_cluster *sorted)
{
	if (is_ordinary(p))
		return &sorted->forward;
	if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP ||
	    (p->protocol == IPPROTO_ICMP &&
	     (dp_ipv4_is_fragment(p->l3) || /* what it is shows when it is whole */
	      dp_nat_icmp_is_error(p->l3 + DP_IPV4_HEADER)))) {
		sorted->forward.has_special = true;
		return &sorted->forward;
	}
	if (p->protocol != IPPROTO_ICMP)
		p->verdict = DP_NO_FORWARD;
	return &sorted->local;
}

/* To the cluster port's address, or a static one. */
static struct dp_batch *sort_own(struct dp_pkt *p, struct dp_from_cluster *sorted,
                                 enum dp_verdict refusal)
{
	if (dp_ipv4_is_fragment(p->l3))
		p->verdict = p->protocol == IPPROTO_ICMP ? DP_FRAGMENT : refusal;
	else if (p->protocol != IPPROTO_ICMP)
		p->verdict = refusal;
	return &sorted->local;
}

static struct dp_batch *sort_from_cluster(struct dp_worker *w, struct dp_pkt *p,
                                          struct dp_from_cluster *sorted)
{
	const struct dp_generation *g = w->generation;
	uint32_t destination_be;
	uint16_t environment;

	if (unlikely(p->verdict != DP_OK || p->m->packet_type == RTE_PTYPE_L2_ETHER_ARP))
		return &sorted->local;
	destination_be = dp_load32(p->l3 + 16);
	if (unlikely(!g)) {
		p->verdict = DP_NO_CONFIGURATION;
		return &sorted->local;
	}
	environment = dp_environment_slot(g, destination_be);
	if (environment != DP_NONE_SLOT) {
		p->environment = environment;
		return sort_forward(p, sorted);
	}
	if (unlikely(destination_be == w->ports[DP_PORT_CLUSTER].address_be))
		return sort_own(p, sorted, DP_NOT_FOR_US);
	if (unlikely(!g->egress)) {
		p->verdict = DP_NO_EGRESS;
		return &sorted->local;
	}
	if (likely(!dp_egress_owns(g->egress, destination_be)))
		return sort_any(p, &sorted->egress);
	if (is_ordinary(p))
		return &sorted->hairpin;
	return sort_own(p, sorted, DP_EGRESS_DESTINATION);
}

/* The same for a whole frame's packet: nearly all are TCP or UDP, to an environment or outside. */
static inline struct dp_batch *sort_whole_from_cluster(struct dp_worker *w,
                                                       const struct dp_generation *g,
                                                       uint32_t own_be, struct dp_pkt *p,
                                                       struct dp_from_cluster *sorted)
{
	uint32_t destination_be = dp_load32(p->l3 + 16);
	uint16_t environment;

	if (unlikely(!g || !is_tcp_or_udp(p)))
		return sort_from_cluster(w, p, sorted);
	environment = dp_environment_slot(g, destination_be);
	if (environment != DP_NONE_SLOT) {
		p->environment = environment;
		return &sorted->forward;
	}
	if (unlikely(!g->egress || destination_be == own_be ||
	             dp_egress_owns(g->egress, destination_be)))
		return sort_from_cluster(w, p, sorted);
	return &sorted->egress;
}

void dp_parse_cluster(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                      struct dp_from_cluster *sorted)
{
	const struct link link = link_of(w, DP_PORT_CLUSTER);
	const struct dp_generation *g = w->generation;
	struct dp_batch *last = &sorted->forward; /* packets of a kind come in a row */
	struct dp_pkt *p = last->p;

	empty(&sorted->forward);
	empty(&sorted->egress);
	empty(&sorted->hairpin);
	empty(&sorted->local);
	for (struct rte_mbuf **end = m + n; m < end; m++, p++) {
		struct dp_batch *b;

		prefetch(m, end);
		if (likely(begin(&link, DP_PORT_CLUSTER, p, *m)))
			b = sort_whole_from_cluster(w, g, link.address_be, p, sorted);
		else
			b = sort_from_cluster(w, p, sorted);
		if (unlikely(b != last)) {
			p = move(b, last, p);
			last = b;
		}
	}
	last->n = (unsigned)(p - last->p);
}

/* To the uplink's own address, which may be a static one: else it is nobody's business. */
static inline struct dp_batch *sort_egress(const struct link *link, struct dp_pkt *p,
                                           struct dp_from_uplink *sorted)
{
	if (likely(link->is_static))
		return &sorted->egress;
	p->verdict = DP_NOT_FOR_US;
	return &sorted->local;
}

/* Data packets are told from control packets by their first byte. */
static struct dp_batch *sort_openvpn(const struct dp_worker *w, struct dp_pkt *p,
                                     struct dp_from_uplink *sorted, uint8_t *payload,
                                     unsigned length)
{
	unsigned opcode = length ? payload[0] >> 3 : 0;

	if (unlikely(opcode != DP_OVPN_DATA_V2 && opcode != DP_OVPN_DATA_V1))
		return &sorted->local;
	p->esp = payload;
	p->tunnel = dp_peers_openvpn(w->peers, dp_load16(p->l3 + DP_IPV4_HEADER + 2)).tunnel;
	return &sorted->openvpn;
}

/* What is in a UDP datagram to our address: ESP (RFC 3948 section 2.1), IKE, a keepalive, or an
 * answer to somebody in the cluster. */
static struct dp_batch *sort_udp(const struct dp_worker *w, const struct link *link,
                                 struct dp_pkt *p, struct dp_from_uplink *sorted)
{
	uint8_t *udp = p->l3 + DP_IPV4_HEADER;
	unsigned length = rte_be_to_cpu_16(dp_load16(udp + 4)) - UDP_LENGTH;

	switch (dp_peers_port(w->peers, dp_load16(udp + 2))) {
	case DP_PEER_PORT_NATT:
		if (likely(length >= 4 && dp_load32(udp + UDP_LENGTH) != 0)) {
			p->esp = udp + UDP_LENGTH;
			return &sorted->esp;
		}
		if (length == 1 && udp[UDP_LENGTH] == NATT_KEEPALIVE)
			p->verdict = DP_NATT_KEEPALIVE;
		return &sorted->local;
	case DP_PEER_PORT_IKE:
		return &sorted->local;
	case DP_PEER_PORT_OPENVPN:
		return sort_openvpn(w, p, sorted, udp + UDP_LENGTH, length);
	default:
		return sort_egress(link, p, sorted);
	}
}

/* Only servers send us fragments: of ESP, of ESP in UDP and of IKE. */
static bool is_of_server(const struct dp_worker *w, const struct dp_pkt *p)
{
	return (p->protocol == IPPROTO_ESP || p->protocol == IPPROTO_UDP) &&
	       dp_peers_has(w->peers, dp_load32(p->l3 + 12));
}

/* Requests are ours, and errors about our ESP (dataplane/pmtu.h). */
static struct dp_batch *sort_icmp(const struct dp_worker *w, struct dp_pkt *p,
                                  struct dp_from_uplink *sorted)
{
	const uint8_t *icmp = p->l3 + DP_IPV4_HEADER;
	unsigned room = p->l3_length - DP_IPV4_HEADER;

	if (icmp[0] == ICMP_ECHO || !is_static(w, dp_load32(p->l3 + 16)))
		return &sorted->local;
	if (dp_nat_icmp_is_error(icmp) &&
	    (dp_icmp_quotes_tunnel(w->peers, icmp, room) ||
	     dp_exception_is_quoted(w->exception, w->ports[DP_PORT_UPLINK].address_be, icmp, room)))
		return &sorted->local;
	return sort_any(p, &sorted->egress);
}

/* To a connection of our own, or an answer to somebody in the cluster. */
static inline struct dp_batch *sort_tcp(const struct dp_worker *w, const struct link *link,
                                        struct dp_pkt *p, struct dp_from_uplink *sorted)
{
	const uint8_t *tcp = p->l3 + DP_IPV4_HEADER;

	if (unlikely(dp_exception_has(w->exception, dp_load32(p->l3 + 12), dp_load16(tcp),
	                              dp_load16(tcp + 2))))
		return &sorted->local;
	return sort_egress(link, p, sorted);
}

/* To the uplink's own address, no fragment. */
static inline struct dp_batch *sort_ours(const struct dp_worker *w, const struct link *link,
                                         struct dp_pkt *p, struct dp_from_uplink *sorted)
{
	switch (p->protocol) {
	case IPPROTO_ESP:
		p->esp = p->l3 + DP_IPV4_HEADER;
		return &sorted->esp;
	case IPPROTO_UDP:
		return sort_udp(w, link, p, sorted);
	case IPPROTO_TCP:
		return sort_tcp(w, link, p, sorted);
	case IPPROTO_ICMP:
		return sort_icmp(w, p, sorted);
	default:
		sorted->egress.has_special = true;
		return sort_egress(link, p, sorted);
	}
}

static struct dp_batch *sort_fragment(const struct dp_worker *w, struct dp_pkt *p,
                                      struct dp_from_uplink *sorted)
{
	if (is_of_server(w, p))
		return &sorted->fragments;
	if (is_static(w, dp_load32(p->l3 + 16)))
		return sort_any(p, &sorted->egress);
	p->verdict = DP_FRAGMENT;
	return &sorted->local;
}

static struct dp_batch *sort_from_uplink(const struct dp_worker *w, const struct link *link,
                                         struct dp_pkt *p, struct dp_from_uplink *sorted)
{
	if (unlikely(p->verdict != DP_OK || p->m->packet_type == RTE_PTYPE_L2_ETHER_ARP))
		return &sorted->local;
	if (likely(dp_load32(p->l3 + 16) == link->address_be))
		return dp_ipv4_is_fragment(p->l3) ? sort_fragment(w, p, sorted)
		                                  : sort_ours(w, link, p, sorted);
	/* another static address: no tunnel ends there */
	if (!is_static(w, dp_load32(p->l3 + 16))) {
		p->verdict = DP_NOT_FOR_US;
		return &sorted->local;
	}
	if (p->protocol == IPPROTO_ICMP && !dp_ipv4_is_fragment(p->l3))
		return sort_icmp(w, p, sorted);
	return sort_any(p, &sorted->egress);
}

void dp_parse_uplink(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                     struct dp_from_uplink *sorted)
{
	const struct link link = link_of(w, DP_PORT_UPLINK);
	struct dp_batch *last = &sorted->esp;
	struct dp_pkt *p = last->p;

	empty(&sorted->esp);
	empty(&sorted->openvpn);
	empty(&sorted->egress);
	empty(&sorted->fragments);
	empty(&sorted->local);
	for (struct rte_mbuf **end = m + n; m < end; m++, p++) {
		struct dp_batch *b;

		prefetch(m, end);
		if (likely(begin(&link, DP_PORT_UPLINK, p, *m) &&
		           dp_load32(p->l3 + 16) == link.address_be))
			b = sort_ours(w, &link, p, sorted);
		else
			b = sort_from_uplink(w, &link, p, sorted);
		if (unlikely(b != last)) {
			p = move(b, last, p);
			last = b;
		}
	}
	last->n = (unsigned)(p - last->p);
}
