/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One byte from the SA's outer port pair, without a checksum as all its datagrams; OpenVPN has a
 * message of its own. */
#include "dataplane/keepalive.h"

#include "dataplane/answer.h"
#include "dataplane/ipv4.h"
#include "dataplane/ovpn_out.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define UDP_HEADER 8u
#define TTL 64
#define LENGTH (DP_IPV4_HEADER + UDP_HEADER + 1u)

/* After how long one is due; 0: never. */
static uint64_t silence_ns(const struct dp_sa_out *sa)
{
	if (sa->lease.flags & IPC_SA_OPENVPN)
		return sa->openvpn.ping_s * 1000000000ull;
	return sa->lease.flags & IPC_SA_UDP ? DP_KEEPALIVE_NS : 0;
}

static bool is_due(const struct dp_worker *w, const struct dp_sa_out *sa)
{
	uint64_t sent_ns = RTE_MAX(sa->used_ns, sa->kept_ns);
	uint64_t since_ns = RTE_MAX(sent_ns, sa->lease.added_ns), after_ns = silence_ns(sa);

	return after_ns && w->tunnels[sa->tunnel].out == sa && w->now_ns - since_ns >= after_ns;
}

/* False: no buffer now; the SA stays due. */
static bool send_udp(struct dp_worker *w, const struct dp_sa_out *sa)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->mbufs);
	const struct dp_sa_lease *lease = &sa->lease;
	uint8_t *ip;

	if (!m)
		return false;
	ip = (uint8_t *)rte_pktmbuf_append(m, LENGTH);
	dp_ipv4_write(ip, LENGTH, TTL, IPPROTO_UDP, lease->local_be, lease->remote_be);
	dp_store16(ip + 20, lease->local_port_be);
	dp_store16(ip + 22, lease->remote_port_be);
	dp_store16(ip + 24, rte_cpu_to_be_16(UDP_HEADER + 1));
	dp_store16(ip + 26, 0);
	ip[28] = 0xff;
	dp_answer_queue(w, m, DP_PORT_UPLINK);
	w->count->esp_keepalives++;
	return true;
}

static bool send_one(struct dp_worker *w, struct dp_sa_out *sa)
{
	return sa->lease.flags & IPC_SA_OPENVPN ? dp_ovpn_out_ping(w, sa) : send_udp(w, sa);
}

void dp_keepalive(struct dp_worker *w)
{
	struct dp_keepalive *k = &w->keepalive;

	if (likely(w->now_ns < k->due_ns))
		return;
	k->due_ns = w->now_ns + DP_KEEPALIVE_STEP_NS;
	for (unsigned i = 0; i < DP_KEEPALIVE_ENTRIES && w->answers->n < DP_BURST; i++) {
		struct dp_sa_entry *e = &w->sas->entries[k->next];

		if (e->kind == DP_SA_OUT && is_due(w, e->out) && send_one(w, e->out))
			e->out->kept_ns = w->now_ns;
		k->next = k->next + 1 < w->sas->capacity ? k->next + 1 : 0;
	}
}
