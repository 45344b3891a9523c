/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which errors about our packets are believed, and for how long. */
#include "dataplane/pmtu.h"

#include <errno.h>

#include "dataplane/generation.h"
#include "dataplane/ipv4.h"
#include "dataplane/peers.h"
#include "dataplane/port.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#define ICMP_HEADER 8u
#define UDP_HEADER 8u
#define ESP_HEADER 8u

int dp_pmtu_read(const uint8_t *l3, unsigned length, struct dp_pmtu_quote *quote)
{
	const uint8_t *icmp = l3 + DP_IPV4_HEADER, *sent = icmp + ICMP_HEADER,
		      *esp = sent + DP_IPV4_HEADER;
	unsigned room = length - DP_IPV4_HEADER;

	if (room < ICMP_HEADER + DP_IPV4_HEADER + ESP_HEADER ||
	    dp_checksum_fold(dp_checksum_add(icmp, room, 0)) != 0xffff)
		return -EINVAL;
	if (sent[0] != 0x45 || dp_ipv4_is_fragment(sent))
		return -EINVAL;
	*quote = (struct dp_pmtu_quote){ .source_be = dp_load32(sent + 12),
		                         .destination_be = dp_load32(sent + 16),
		                         .mtu = rte_be_to_cpu_16(dp_load16(icmp + 6)) };
	if (sent[9] == IPPROTO_UDP) {
		if (room < ICMP_HEADER + DP_IPV4_HEADER + UDP_HEADER + ESP_HEADER)
			return -EINVAL;
		quote->ports_be = dp_load32(esp);
		esp += UDP_HEADER;
	} else if (sent[9] != IPPROTO_ESP) {
		return -EINVAL;
	}
	quote->spi_be = dp_load32(esp);
	quote->sequence = rte_be_to_cpu_32(dp_load32(esp + 4));
	return 0;
}

/* Did this SA send it, lately? */
static bool has_sent(const struct dp_sa_out *sa, const struct dp_pmtu_quote *quote)
{
	const struct dp_sa_lease *lease = &sa->lease;
	uint32_t ports_be = 0, age = (uint32_t)sa->sequence - quote->sequence;
	uint16_t ports[2] = { lease->local_port_be, lease->remote_port_be };

	if (lease->flags & IPC_SA_UDP)
		memcpy(&ports_be, ports, sizeof(ports));
	return lease->local_be == quote->source_be && ports_be == quote->ports_be &&
	       age < DP_PMTU_RECENT && age < sa->sequence;
}

/* The packet id in what is quoted of an OpenVPN packet, if that is one of this key. */
static bool read_openvpn(const struct dp_sa_out *sa, const struct dp_pmtu_quote *quote,
                         uint32_t *number)
{
	uint8_t bytes[8];

	dp_store32(bytes, quote->spi_be);
	dp_store32(bytes + 4, rte_cpu_to_be_32(quote->sequence));
	switch (sa->openvpn.shape) {
	case DP_OVPN_AEAD:
		*number = quote->sequence;
		return quote->spi_be == sa->openvpn.first_be;
	case DP_OVPN_AEAD_V1:
		*number = rte_be_to_cpu_32(dp_load32(bytes + 1));
		return memcmp(bytes, &sa->openvpn.first_be, 1) == 0;
	default: /* it is encrypted; those packets may be fragmented on their way */
		return false;
	}
}

/* The OpenVPN key that sent it, lately, if the tunnel is at home here. */
static const struct dp_sa_out *find_openvpn(const struct dp_worker *w,
                                            const struct dp_pmtu_quote *quote)
{
	uint16_t ports[2], tunnel;

	memcpy(ports, &quote->ports_be, sizeof(ports));
	if (dp_peers_port(w->peers, ports[0]) != DP_PEER_PORT_OPENVPN)
		return NULL;
	tunnel = dp_peers_openvpn(w->peers, ports[0]).tunnel;
	if (dp_worker_tunnel_home(w, tunnel) != w->index)
		return NULL;
	for (const struct dp_sa_out *sa = w->tunnels[tunnel].out; sa; sa = sa->older) {
		const struct dp_sa_lease *lease = &sa->lease;
		uint32_t number;

		if ((lease->flags & IPC_SA_OPENVPN) && lease->remote_be == quote->destination_be &&
		    lease->local_be == quote->source_be && lease->remote_port_be == ports[1] &&
		    read_openvpn(sa, quote, &number) &&
		    (uint32_t)sa->sequence - number < DP_PMTU_RECENT && number != 0 &&
		    number <= sa->sequence)
			return sa;
	}
	return NULL;
}

static const struct dp_sa_out *find_esp(const struct dp_worker *w,
                                        const struct dp_pmtu_quote *quote)
{
	const struct dp_sa_out *sa = dp_sa_out_lookup(w->sas, quote->spi_be, quote->destination_be);

	return sa && !(sa->lease.flags & IPC_SA_OPENVPN) && has_sent(sa, quote) ? sa : NULL;
}

int dp_pmtu_learn(struct dp_worker *w, void *argument)
{
	const struct dp_pmtu_quote *quote = argument;
	const struct dp_sa_out *sa = find_esp(w, quote);
	uint16_t mtu = RTE_MAX(quote->mtu, (uint16_t)DP_PMTU_FLOOR), now_mtu;
	struct dp_tunnel *t;

	if (!sa && quote->ports_be)
		sa = find_openvpn(w, quote);
	if (!sa)
		return -ENOENT;
	t = &w->tunnels[sa->tunnel];
	now_mtu = t->path_mtu ? t->path_mtu : w->ports[DP_PORT_UPLINK].mtu;
	if (quote->mtu == 0 || mtu >= now_mtu)
		return -EINVAL;
	t->path_mtu = mtu;
	t->path_until_s = w->now_s + DP_PMTU_SECONDS;
	dp_sa_set_link_mtu(w, sa->tunnel, mtu);
	return 0;
}

void dp_pmtu_expire(struct dp_worker *w)
{
	const struct dp_generation *g = w->generation;

	for (uint32_t i = 0; g && i < g->environment_count; i++) {
		const struct dp_environment *e = &g->environments[i];

		for (unsigned k = 0; k < e->tunnel_count && e->home == w->index; k++) {
			struct dp_tunnel *t = &w->tunnels[e->tunnels[k]];

			if (!t->path_mtu || w->now_s < t->path_until_s)
				continue;
			t->path_mtu = 0;
			dp_sa_set_link_mtu(w, e->tunnels[k], w->ports[DP_PORT_UPLINK].mtu);
		}
	}
}
