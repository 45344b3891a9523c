/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control packets to and from the control thread. */
#include "dataplane/punt.h"

#include <errno.h>
#include <netinet/in.h>

#include "dataplane/crc.h"
#include "dataplane/peers.h"
#include "dataplane/port.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define UDP_LENGTH 8u
#define IKE_HEADER 28u      /* RFC 7296 section 3.1 */
#define OPENVPN_CONTROL 14u /* opcode, session id, no acknowledgements, packet id */
#define PUNT_TTL 64

/* A source address is easily forged: a flood in the name of one server must not stop the others'
 * IKE. Servers that share a place share its limit. */
static struct dp_bucket *server_limit(struct dp_worker *w, uint32_t address_be)
{
	return &w->server_limit[dp_crc4(address_be) & (DP_SERVER_LIMITS - 1)];
}

enum dp_verdict dp_punt(struct dp_worker *w, struct rte_mbuf *m)
{
	return rte_ring_enqueue(w->punt, m) == 0 ? DP_TAKEN : DP_PUNT_QUEUE_FULL;
}

static unsigned payload_bytes(const uint8_t *udp)
{
	return rte_be_to_cpu_16(dp_load16(udp + 4)) - UDP_LENGTH;
}

/* RFC 768: zero is no checksum */
static bool is_checksum_right(const struct dp_pkt *p, const uint8_t *udp)
{
	uint64_t pseudo = dp_checksum_add(
		p->l3 + 12, 8, (uint64_t)rte_cpu_to_be_16(IPPROTO_UDP) + dp_load16(udp + 4));

	return !dp_load16(udp + 6) ||
	       dp_checksum_fold(dp_checksum_add(udp, payload_bytes(udp) + UDP_LENGTH, pseudo)) ==
	               0xffff;
}

static enum dp_verdict punt_limited(struct dp_worker *w, struct dp_pkt *p, uint64_t *count)
{
	enum dp_verdict verdict;

	if (!dp_bucket_take(server_limit(w, dp_load32(p->l3 + 12)), w->now_ns) ||
	    !dp_bucket_take(&w->punt_limit, w->now_ns))
		return DP_RATE_LIMITED;
	rte_pktmbuf_adj(p->m, (uint16_t)(p->l3 - rte_pktmbuf_mtod(p->m, uint8_t *)));
	verdict = dp_punt(w, p->m);
	*count += verdict == DP_TAKEN;
	return verdict;
}

enum dp_verdict dp_punt_ike(struct dp_worker *w, struct dp_pkt *p)
{
	const uint8_t *udp = p->l3 + p->l3_header;
	unsigned length = payload_bytes(udp);

	if (!dp_peers_has(w->peers, dp_load32(p->l3 + 12)))
		return DP_IKE_UNKNOWN_PEER;
	if (length < IKE_HEADER || length > IPC_PUNT_MAX || !is_checksum_right(p, udp))
		return DP_IKE_MALFORMED;
	return punt_limited(w, p, &w->count->ike_in);
}

static enum dp_verdict punt_openvpn(struct dp_worker *w, struct dp_pkt *p)
{
	const uint8_t *udp = p->l3 + p->l3_header;
	struct dp_ovpn_peer peer = dp_peers_openvpn(w->peers, dp_load16(udp + 2));
	unsigned length = payload_bytes(udp);

	if (dp_load32(p->l3 + 12) != peer.remote_be || dp_load16(udp) != peer.remote_port_be)
		return DP_OVPN_UNKNOWN_PEER;
	if (length < OPENVPN_CONTROL || length > IPC_PUNT_MAX || !is_checksum_right(p, udp))
		return DP_OVPN_MALFORMED;
	return punt_limited(w, p, &w->count->ovpn_control_in);
}

enum dp_verdict dp_punt_control(struct dp_worker *w, struct dp_pkt *p)
{
	if (dp_peers_port(w->peers, dp_load16(p->l3 + p->l3_header + 2)) == DP_PEER_PORT_OPENVPN)
		return punt_openvpn(w, p);
	return dp_punt_ike(w, p);
}

int dp_punt_datagram(struct rte_mempool *pool, const struct ipc_punt *punt, const void *payload,
                     struct rte_mbuf **m)
{
	uint32_t total = 20 + UDP_LENGTH + punt->length;
	struct rte_mbuf *out;
	uint8_t *l3, *udp;
	uint16_t checksum;

	if (total > UINT16_MAX)
		return -EMSGSIZE;
	out = rte_pktmbuf_alloc(pool);
	if (!out)
		return -ENOMEM;
	l3 = (uint8_t *)rte_pktmbuf_append(out, (uint16_t)total);
	if (!l3) {
		rte_pktmbuf_free(out);
		return -EMSGSIZE;
	}
	udp = l3 + 20;
	dp_ipv4_write(l3, (uint16_t)total, PUNT_TTL, IPPROTO_UDP, punt->source_be,
	              punt->destination_be);
	dp_store16(udp, punt->source_port_be);
	dp_store16(udp + 2, punt->destination_port_be);
	dp_store16(udp + 4, rte_cpu_to_be_16((uint16_t)(UDP_LENGTH + punt->length)));
	dp_store16(udp + 6, 0);
	memcpy(udp + UDP_LENGTH, payload, punt->length);
	checksum = dp_l4_checksum(l3, udp, UDP_LENGTH + punt->length, IPPROTO_UDP);
	dp_store16(udp + 6, checksum ? checksum : 0xffff);
	*m = out;
	return 0;
}
