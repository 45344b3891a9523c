/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One packet of egress from either port through all of its stages, about sessions that are there
 * and others, to mapped ports and from strangers.
 *
 * Input: one byte (bit 0: 1 is the cluster; bit 1: addresses, and with bit 2 ports, of a session
 * are put in; bit 3: an ICMP checksum is made right), then an IPv4 packet, whose header's checksum
 * is made right. It ends where its memory ends.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "dataplane/ipv4.h"
#include "dataplane/nat_echo.h"
#include "dataplane/nat_egress.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/nat_inbound.h"
#include "dataplane/portpool.h"
#include "dataplane/share.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dataplane/link_world.h"

#define PACKET_MAX 2048u
#define REMOTE 0xc6336401u /* 198.51.100.1 */
#define PORT 443u
#define POD_PORT 40000u
#define SESSIONS 1024u

static struct link_world *x;
static struct dp_worker *workers[1];
static uint16_t static_port[2]; /* of a TCP and a UDP session, host byte order */

static void require(int condition)
{
	if (!condition)
		abort();
}

static void set_policy(void)
{
	struct ipc_egress rule = { .address_count = 1, .source_count = 1 };
	struct ipc_inbound inbound = { .to_address_be = rte_cpu_to_be_32(LINK_CLIENT),
		                       .to_port_be = rte_cpu_to_be_16(8443),
		                       .port_be = rte_cpu_to_be_16(443),
		                       .protocol = 6 };
	const struct dp_egress_parts parts = { .rules = &rule,
		                               .rule_count = 1,
		                               .inbound = &inbound,
		                               .inbound_count = 1,
		                               .generation = &x->generation,
		                               .ports = x->ports };
	char why[256];

	rule.addresses_be[0] = rte_cpu_to_be_32(LINK_UPLINK);
	rule.sources[0] =
		(struct ipc_prefix){ .address_be = rte_cpu_to_be_32(0x0a000000), .length = 8 };
	require(dp_egress_build(&parts, &x->generation.egress, why) == 0);
}

/* A session each of TCP and UDP, opened by the stage itself. */
static void open_sessions(void)
{
	static const uint8_t protocols[2] = { 6, 17 };

	for (unsigned i = 0; i < 2; i++) {
		uint8_t frame[LINK_ETHER + 40] = { 0 }, *ip = frame + LINK_ETHER, *l4 = ip + 20;
		struct dp_pkt *p;

		link_ether(x, DP_PORT_CLUSTER, 0x0800, frame);
		l4[0] = POD_PORT >> 8;
		l4[1] = POD_PORT & 0xff;
		l4[2] = PORT >> 8;
		l4[3] = PORT & 0xff;
		if (protocols[i] == 6) {
			l4[12] = 0x50;
			l4[13] = 0x02;
		} else {
			l4[5] = 20;
		}
		link_ipv4(ip, protocols[i], LINK_CLIENT, REMOTE, 20);
		p = link_parse(x, DP_PORT_CLUSTER,
		               link_buffer(frame, sizeof(frame), LINK_HEADROOM));
		require(x->egress.n == 1);
		dp_nat_egress_out(&x->w, &x->egress);
		require(p->verdict == DP_OK);
		static_port[i] = rte_be_to_cpu_16(dp_load16(p->l3 + 20));
		link_clear(x);
	}
}

static void create(void)
{
	require(link_eal(NULL) == 0);
	x = link_create();
	require(x != NULL);
	workers[0] = &x->w;
	x->w.workers = workers;
	require(dp_flow_table_create(&x->w.flows, SESSIONS, 1, SOCKET_ID_ANY) == 0);
	require(dp_portpool_create(&x->w.portpool, x->w.flows, 2, SOCKET_ID_ANY) == 0);
	if (!x->w.shares)
		require(dp_shares_create(&x->w.shares, SOCKET_ID_ANY) == 0);
	set_policy();
	dp_shares_configure(&x->w);
	open_sessions();
}

/* Room for the next ones: what the inputs before have opened. */
static void forget_sessions(void)
{
	struct dp_flow_table *t = x->w.flows;

	for (uint32_t i = 2; t->count > SESSIONS / 2 && i < t->top; i++)
		if (dp_flow_at(t, i, DP_FLOW_OUTWARD)->state != DP_FLOW_FREE)
			dp_session_end(&x->w, i);
}

/* The packet becomes one of a session, whatever else it says. */
static void make_familiar(uint8_t *ip, size_t size, enum dp_port_id port, uint8_t how)
{
	bool is_udp = ip[9] == 17;
	uint16_t from = port == DP_PORT_CLUSTER ? POD_PORT : PORT;
	uint16_t to = port == DP_PORT_CLUSTER ? PORT : static_port[is_udp];

	if (!(how & 2))
		return;
	dp_store32(ip + 12, rte_cpu_to_be_32(port == DP_PORT_CLUSTER ? LINK_CLIENT : REMOTE));
	dp_store32(ip + 16, rte_cpu_to_be_32(port == DP_PORT_CLUSTER ? REMOTE : LINK_UPLINK));
	if (!(how & 4) || size < 24)
		return;
	dp_store16(ip + 20, rte_cpu_to_be_16(from));
	dp_store16(ip + 22, rte_cpu_to_be_16(to));
}

static void fix_icmp(uint8_t *ip, size_t size)
{
	if (ip[9] != 1 || size < 24)
		return;
	ip[22] = ip[23] = 0;
	dp_store16(ip + 22, dp_l4_checksum(NULL, ip + 20, (unsigned)size - 20, 0));
}

/* What every packet that leaves must be. */
static void check(const struct dp_batch *b, enum dp_port_id from)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct dp_pkt *p = &b->p[i];

		if (p->verdict != DP_OK)
			continue;
		require(dp_ipv4_sum(p->l3) == 0xffff);
		require(rte_pktmbuf_mtod(p->m, uint8_t *) == p->l3);
		require(p->m->data_len == p->l3_length && p->flow);
		if (from == DP_PORT_CLUSTER && p->port == DP_PORT_UPLINK)
			require(dp_load32(p->l3 + 12) == rte_cpu_to_be_32(LINK_UPLINK));
		if (from == DP_PORT_UPLINK)
			require(p->port == DP_PORT_CLUSTER &&
			        dp_load32(p->l3 + 16) != rte_cpu_to_be_32(LINK_UPLINK));
	}
}

static void process(enum dp_port_id port)
{
	struct dp_batch icmp;

	if (port == DP_PORT_CLUSTER)
		dp_reassemble_egress_out(&x->w, &x->egress);
	else
		dp_reassemble_egress_in(&x->w, &x->egress);
	dp_nat_icmp_split(&x->w, &x->egress, &icmp);
	dp_batch_compact(&x->w, &x->egress);
	if (port == DP_PORT_CLUSTER) {
		dp_nat_egress_out(&x->w, &x->egress);
		dp_nat_icmp_egress_out(&x->w, &icmp);
		dp_batch_compact(&x->w, &icmp);
		dp_nat_echo_out(&x->w, &icmp);
		dp_nat_hairpin(&x->w, &x->hairpin);
	} else {
		dp_nat_egress_in(&x->w, &x->egress);
		dp_nat_icmp_egress_in(&x->w, &icmp);
		dp_batch_compact(&x->w, &icmp);
		dp_nat_echo_in(&x->w, &icmp);
	}
	check(&x->egress, port);
	check(&icmp, port);
	check(&x->hairpin, port);
	dp_batch_compact(&x->w, &x->egress);
	dp_batch_compact(&x->w, &icmp);
	dp_batch_compact(&x->w, &x->hairpin);
	for (unsigned i = 0; i < icmp.n; i++)
		rte_pktmbuf_free(icmp.p[i].m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[LINK_ETHER + PACKET_MAX], *ip = frame + LINK_ETHER;
	enum dp_port_id port;
	uint8_t how;

	if (size < 1 + 20 || size - 1 > PACKET_MAX)
		return 0;
	if (!x)
		create();
	how = data[0];
	port = how & 1 ? DP_PORT_CLUSTER : DP_PORT_UPLINK;
	size--;
	memcpy(ip, data + 1, size);
	link_ether(x, port, 0x0800, frame);
	make_familiar(ip, size, port, how);
	if (how & 8)
		fix_icmp(ip, size);
	link_fix_checksum(ip);
	forget_sessions();
	link_parse(x, port, link_buffer(frame, (unsigned)(LINK_ETHER + size), LINK_HEADROOM));
	process(port);
	x->w.now_ns += (DP_REASSEMBLY_SECONDS + 1) * 1000000000ull;
	dp_reassembly_expire(&x->w, 8); /* what waits for other fragments goes */
	link_clear(x);
	require(link_in_use() == 0);
	return 0;
}
