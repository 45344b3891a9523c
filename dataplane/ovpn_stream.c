/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The crossing between data keys and byte streams, in both directions. */
#include "dataplane/ovpn_stream.h"

#include <rte_ether.h>

#include "dataplane/core.h"
#include "dataplane/ipv4.h"
#include "dataplane/ovpn.h"
#include "dataplane/peers.h"
#include "dataplane/punt.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#define UDP_HEADER 8u

static enum dp_verdict give(struct dp_worker *w, struct rte_mbuf *m)
{
	if (rte_ring_enqueue(w->stream, m) != 0)
		return DP_OVPN_STREAM_FULL;
	w->count->ovpn_stream_out++;
	return DP_TAKEN;
}

void dp_ovpn_stream_give(struct dp_worker *w, struct rte_mbuf *m)
{
	if (give(w, m) == DP_TAKEN)
		return;
	w->count->drop[DP_OVPN_STREAM_FULL]++;
	rte_pktmbuf_free(m);
}

void dp_ovpn_stream_take(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if (p->verdict != DP_OK || !(p->sa_out->lease.flags & IPC_SA_STREAM))
			continue;
		p->verdict = (uint8_t)give(w, p->m);
	}
}

static bool is_data(uint8_t first)
{
	return first >> 3 == DP_OVPN_DATA_V1 || first >> 3 == DP_OVPN_DATA_V2;
}

enum dp_verdict dp_ovpn_stream_open(struct dp_core *core, const struct ipc_punt *punt,
                                    const uint8_t *packet)
{
	const struct dp_port *uplink = &core->ports[DP_PORT_UPLINK];
	uint32_t length = RTE_ETHER_HDR_LEN + DP_IPV4_HEADER + UDP_HEADER + punt->length;
	bool is_large = RTE_PKTMBUF_HEADROOM + length > rte_pktmbuf_data_room_size(core->mbufs);
	struct rte_ether_hdr *eth;
	struct dp_ovpn_peer peer;
	struct rte_mbuf *m;

	if (punt->destination_be != uplink->address_be || punt->length == 0 ||
	    !is_data(packet[0]) ||
	    dp_peers_port(core->peers, punt->destination_port_be) != DP_PEER_PORT_OPENVPN)
		return DP_OVPN_PEER;
	/* whose it is; that it comes from there is for its key to say: the peer may be another
	 * server by now, at which a second login is being tried */
	peer = dp_peers_openvpn(core->peers, punt->destination_port_be);
	if (dp_punt_datagram(is_large ? core->datagrams : core->mbufs, punt, packet, &m) != 0)
		return DP_NO_MBUF;
	eth = (struct rte_ether_hdr *)rte_pktmbuf_prepend(m, sizeof(*eth));
	if (!eth) { /* no headroom: no buffer of ours */
		rte_pktmbuf_free(m);
		return DP_NO_MBUF;
	}
	memset(&eth->src_addr, 0, sizeof(eth->src_addr));
	eth->dst_addr = uplink->mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	m->port = DP_PORT_UPLINK;
	if (rte_ring_enqueue(dp_core_tunnel_home(core, peer.tunnel)->handoff_in, m) == 0)
		return DP_TAKEN;
	rte_pktmbuf_free(m);
	return DP_HANDOFF_FULL;
}
