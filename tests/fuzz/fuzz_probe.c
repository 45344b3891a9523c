/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets out of a tunnel that may be answers to probes: nothing is read behind them, and nothing
 * is taken that was not asked.
 *
 * Input: one byte (bit 0: TCP, otherwise ICMP; bit 1: addresses and ports are those of the probe;
 * bit 2: the checksum of ICMP is made right), then what is behind the IPv4 header. It ends where
 * its memory ends.
 */
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>

#include "dataplane/ipv4.h"
#include "dataplane/probe.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dataplane/link_world.h"

#define MESSAGE_MAX 512u
#define TARGET 0xc0a8641eu
#define INNER 0x0a090807u
#define SLOT 0u
#define TUNNEL 2u

static struct link_world *x;
static struct dp_tunnel tunnels[DP_TUNNELS_MAX]; /* an answer may name any */
static struct dp_environment environment;
static struct dp_environment_state *states;
static const struct dp_forward forward = { .key = 1,
	                                   .to_address_be = RTE_STATIC_BSWAP32(TARGET),
	                                   .to_port_be = RTE_STATIC_BSWAP16(8080) };

static void require(int condition)
{
	if (!condition)
		abort();
}

/* One probe of each kind is out, and its answer is not on the way. */
static void start(void)
{
	require(link_eal(NULL) == 0);
	x = link_create();
	states = aligned_alloc(RTE_CACHE_LINE_SIZE, DP_ENVIRONMENT_TUNNELS_MAX * sizeof(*states));
	require(x != NULL && states != NULL);
	memset(states, 0, DP_ENVIRONMENT_TUNNELS_MAX * sizeof(*states));
	x->w.environments = states;
	x->w.tunnels = tunnels;
	x->w.failover.now_at = 1000;
	x->w.failover.secret[0] = 0x1234;
	environment =
		(struct dp_environment){ .slot = SLOT, .tunnel_count = 1, .tunnels = { TUNNEL } };
	x->generation.by_slot[SLOT] = &environment;
	tunnels[TUNNEL] = (struct dp_tunnel){ .inner_be = RTE_STATIC_BSWAP32(INNER),
		                              .environment = SLOT,
		                              .is_up = 1 };
	require(dp_probe_send_echo(&x->w, TUNNEL, forward.to_address_be));
	require(dp_probe_send_syn(&x->w, TUNNEL, &forward));
	tunnels[TUNNEL].liveness.is_syn_pending = 1;
	link_clear(x);
}

static unsigned build(uint8_t *packet, const uint8_t *data, size_t size)
{
	uint8_t how = data[0], protocol = how & 1 ? IPPROTO_TCP : IPPROTO_ICMP;
	unsigned length = DP_IPV4_HEADER + (unsigned)size - 1;
	uint8_t *l4 = packet + DP_IPV4_HEADER;

	memcpy(l4, data + 1, size - 1);
	dp_ipv4_write(packet, (uint16_t)length, 64, protocol, forward.to_address_be,
	              tunnels[TUNNEL].inner_be);
	if ((how & 2) && (how & 1) && size > 4) {
		dp_store16(l4, forward.to_port_be);
		dp_store16(l4 + 2, tunnels[TUNNEL].liveness.syn_port_be);
	}
	if ((how & 4) && !(how & 1) && size > 4) {
		dp_store16(l4 + 2, 0);
		dp_store16(l4 + 2, dp_l4_checksum(NULL, l4, (unsigned)size - 1, 0));
	}
	return length;
}

/* Only a segment that acknowledges the SYN's random number is an answer. */
static int is_asked_for(const uint8_t *packet)
{
	return packet[9] == IPPROTO_TCP && rte_be_to_cpu_32(dp_load32(packet + 28)) ==
	                                           tunnels[TUNNEL].liveness.syn_sequence + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t packet[DP_IPV4_HEADER + MESSAGE_MAX];
	struct dp_batch *b;
	struct dp_pkt *p;
	unsigned length;

	if (!x)
		start();
	if (size < 2 || size - 1 > MESSAGE_MAX)
		return 0;
	length = build(packet, data, size);
	/* what the ESP stage lets through */
	if (!dp_ipv4_is_transport_whole(packet[9], packet + DP_IPV4_HEADER,
	                                length - DP_IPV4_HEADER))
		return 0;
	b = &x->path;
	p = &b->p[0];
	*p = (struct dp_pkt){ .m = link_buffer(packet, length, LINK_HEADROOM),
		              .l3_length = (uint16_t)length,
		              .l3_header = DP_IPV4_HEADER,
		              .protocol = packet[9],
		              .environment = SLOT,
		              .tunnel = TUNNEL,
		              .verdict = packet[9] == IPPROTO_TCP ? DP_INNER_NO_SESSION : DP_OK };
	require(p->m != NULL);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *);
	b->n = 1;
	if (packet[9] == IPPROTO_TCP)
		dp_probe_take_segments(&x->w, b);
	else
		dp_probe_take_echoes(&x->w, b);
	if (p->verdict == DP_PROBE || p->verdict == DP_TAKEN)
		require(is_asked_for(packet));
	if (p->verdict == DP_TAKEN)
		b->n = 0;
	link_clear(x);
	tunnels[TUNNEL].liveness.is_syn_pending = 1;
	return 0;
}
