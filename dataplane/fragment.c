/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies, not references: each piece gets headers of its own around it. */
#include "dataplane/fragment.h"

#include "dataplane/ipv4.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"

#define MORE_FRAGMENTS 0x2000u
#define MTU_LEAST 68u /* RFC 791 section 3.2 */

static void move(struct dp_pkt *p, struct dp_oversized *oversized, uint16_t mtu)
{
	p->limit = mtu;
	oversized->packets.p[oversized->packets.n++] = *p;
	p->verdict = DP_TAKEN;
}

/* What may not be cut never comes here: translation has refused it. */
static inline bool is_oversized(const struct dp_pkt *p, uint16_t mtu)
{
	return unlikely(p->l3_length > mtu) && p->verdict == DP_OK && mtu >= MTU_LEAST &&
	       !dp_ipv4_has_df(p->l3);
}

void dp_fragment_for_tunnel(struct dp_worker *w, struct dp_batch *b, struct dp_oversized *oversized)
{
	oversized->packets.n = oversized->next = oversized->offset = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		uint16_t mtu = w->tunnels[p->tunnel].inner_mtu;

		if (is_oversized(p, mtu))
			move(p, oversized, mtu);
	}
}

void dp_fragment_for_port(struct dp_worker *w, struct dp_batch *b, struct dp_oversized *oversized)
{
	const struct dp_port *ports = w->ports;
	uint16_t both = RTE_MIN(ports[DP_PORT_UPLINK].mtu, ports[DP_PORT_CLUSTER].mtu);

	oversized->packets.n = oversized->next = oversized->offset = 0;
	for (struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		if (likely(p->l3_length <= both))
			continue;
		if (is_oversized(p, ports[p->port].mtu))
			move(p, oversized, ports[p->port].mtu);
	}
}

/* One piece from OFFSET on, behind an empty headroom. Returns the payload bytes in it, 0: no
 * buffer. */
static unsigned cut(struct dp_worker *w, const struct dp_pkt *whole, unsigned offset,
                    uint16_t identification, struct dp_pkt *piece)
{
	unsigned left = whole->l3_length - DP_IPV4_HEADER - offset;
	unsigned most = (whole->limit - DP_IPV4_HEADER) & ~7u, take = RTE_MIN(left, most);
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->mbufs);
	uint8_t *l3;

	if (unlikely(!m))
		return 0;
	l3 = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(DP_IPV4_HEADER + take));
	if (unlikely(!l3)) {
		rte_pktmbuf_free(m);
		return 0;
	}
	memcpy(l3, whole->l3, DP_IPV4_HEADER);
	memcpy(l3 + DP_IPV4_HEADER, whole->l3 + DP_IPV4_HEADER + offset, take);
	dp_store16(l3 + 2, rte_cpu_to_be_16((uint16_t)(DP_IPV4_HEADER + take)));
	dp_store16(l3 + 4, rte_cpu_to_be_16(identification));
	dp_store16(l3 + 6,
	           rte_cpu_to_be_16((uint16_t)(offset / 8 | (take < left ? MORE_FRAGMENTS : 0))));
	dp_store16(l3 + 10, 0);
	dp_store16(l3 + 10, (uint16_t)~dp_ipv4_sum(l3));
	*piece = *whole;
	piece->m = m;
	piece->l3 = l3;
	piece->l3_length = (uint16_t)(DP_IPV4_HEADER + take);
	return take;
}

bool dp_fragment_next(struct dp_worker *w, struct dp_oversized *oversized, struct dp_batch *pieces)
{
	pieces->n = 0;
	while (pieces->n < DP_BURST && oversized->next < oversized->packets.n) {
		const struct dp_pkt *whole = &oversized->packets.p[oversized->next];
		unsigned took;

		if (oversized->offset == 0)
			oversized->identification = w->identification++;
		took = cut(w, whole, oversized->offset, oversized->identification,
		           &pieces->p[pieces->n]);
		oversized->offset = (uint16_t)(oversized->offset + took);
		if (took) {
			w->count->fragments_out++;
			pieces->n++;
		} else {
			w->count->drop[DP_NO_MBUF]++;
		}
		if (took == 0 || oversized->offset == whole->l3_length - DP_IPV4_HEADER) {
			rte_pktmbuf_free(whole->m);
			oversized->next++;
			oversized->offset = 0;
		}
	}
	return pieces->n != 0;
}
