/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP from both sides about sessions that are there and others, and errors about ESP as the
 * control thread reads them.
 *
 * Input: one byte (bit 0: out of a tunnel; bit 1: the checksum is made right; bit 2: addresses and
 * ports of the session are put in; bit 3: UDP), then an ICMP message. It ends where its memory
 * ends.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "dataplane/nat_flow.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/nat_rewrite.h"
#include "dataplane/pmtu.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dataplane/link_world.h"

#define MESSAGE_MAX 2048u
#define PASSED_ON_MAX 1260u /* of a longer one the end is cut off */
#define TARGET 0xc0a8641eu
#define INNER 0x0a090807u
#define SLOT 0u
#define TUNNEL 2u

static struct link_world *x;

static void require(int condition)
{
	if (!condition)
		abort();
}

static void add_session(uint8_t protocol)
{
	struct dp_flow_key out = { .source_be = rte_cpu_to_be_32(LINK_CLIENT),
		                   .destination_be = rte_cpu_to_be_32(LINK_POD),
		                   .source_port_be = rte_cpu_to_be_16(40000),
		                   .destination_port_be = rte_cpu_to_be_16(33000),
		                   .protocol = protocol,
		                   .direction = DP_FLOW_OUTWARD,
		                   .environment = SLOT };
	struct dp_flow_key in = { .source_be = rte_cpu_to_be_32(TARGET),
		                  .destination_be = rte_cpu_to_be_32(INNER),
		                  .source_port_be = rte_cpu_to_be_16(8080),
		                  .destination_port_be = rte_cpu_to_be_16(2000),
		                  .protocol = protocol,
		                  .direction = DP_FLOW_INWARD,
		                  .environment = SLOT };
	struct dp_flow *f, *g;

	require(dp_flow_add(x->w.flows, &out, &in, DP_FLOW_UDP, x->w.now_s, &f) == 0);
	g = dp_flow_other(f);
	f->source_be = in.destination_be;
	f->source_port_be = in.destination_port_be;
	f->destination_be = in.source_be;
	f->destination_port_be = in.source_port_be;
	g->source_be = out.destination_be;
	g->source_port_be = out.destination_port_be;
	g->destination_be = out.source_be;
	g->destination_port_be = out.source_port_be;
	f->tunnel = g->tunnel = TUNNEL;
	dp_nat_rewrite_prepare(f);
	dp_nat_rewrite_prepare(g);
}

static void start(void)
{
	require(link_eal(NULL) == 0);
	x = link_create();
	require(x != NULL);
	require(dp_flow_table_create(&x->w.flows, 16, 1, SOCKET_ID_ANY) == 0);
	add_session(6);
	add_session(17);
}

/* The session's packet as it went to the side that the error comes from. */
static void put_session(uint8_t *quote, int is_inside, uint8_t protocol)
{
	uint32_t source = rte_cpu_to_be_32(is_inside ? INNER : LINK_POD);
	uint32_t destination = rte_cpu_to_be_32(is_inside ? TARGET : LINK_CLIENT);
	uint16_t from = rte_cpu_to_be_16(is_inside ? 2000 : 33000),
		 to = rte_cpu_to_be_16(is_inside ? 8080 : 40000);

	quote[0] = 0x45;
	quote[6] &= 0xe0;
	quote[7] = 0;
	quote[9] = protocol;
	memcpy(quote + 12, &source, 4);
	memcpy(quote + 16, &destination, 4);
	memcpy(quote + 20, &from, 2);
	memcpy(quote + 22, &to, 2);
}

static void check(const struct dp_pkt *p, unsigned length, int is_inside)
{
	if (length > PASSED_ON_MAX)
		length = PASSED_ON_MAX;
	require(p->l3_length == 20 + length && p->flow != NULL);
	require(link_sum(p->l3, 20) == 0xffff && link_sum(p->l3 + 20, length) == 0xffff);
	require(dp_load32(p->l3 + 16) == rte_cpu_to_be_32(is_inside ? LINK_CLIENT : TARGET));
	require(dp_load32(p->l3 + 12) == rte_cpu_to_be_32(is_inside ? LINK_POD : INNER));
	require(dp_load32(p->l3 + 40) == rte_cpu_to_be_32(is_inside ? LINK_CLIENT : TARGET));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t packet[20 + MESSAGE_MAX], *icmp = packet + 20;
	struct dp_batch errors;
	struct dp_pmtu_quote quote;
	unsigned length;
	int is_inside;
	struct dp_pkt *p;

	if (size < 9 || size - 1 > MESSAGE_MAX)
		return 0;
	if (!x)
		start();
	length = (unsigned)size - 1;
	is_inside = data[0] & 1;
	link_ipv4(packet, 1, is_inside ? TARGET : LINK_CLIENT, is_inside ? INNER : LINK_POD,
	          length);
	memcpy(icmp, data + 1, length);
	if (data[0] & 4 && length >= 8 + 28)
		put_session(icmp + 8, is_inside, data[0] & 8 ? 17 : 6);
	if (data[0] & 2) {
		dp_store16(icmp + 2, 0);
		dp_store16(icmp + 2, dp_l4_checksum(NULL, icmp, length, 0));
	}
	x->w.now_ns += 1000000;
	p = &x->path.p[0];
	memset(p, 0, sizeof(*p));
	p->m = link_buffer(packet, 20 + length, 0);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *);
	p->l3_length = (uint16_t)(20 + length);
	p->l3_header = 20;
	p->protocol = 1;
	p->tunnel = is_inside ? TUNNEL : DP_NONE_SLOT;
	x->path.n = 1;
	(void)dp_pmtu_read(p->l3, p->l3_length, &quote);
	dp_nat_icmp_split(&x->w, &x->path, &errors);
	require(errors.n == 1 && p->verdict == DP_TAKEN);
	if (is_inside)
		dp_nat_icmp_in(&x->w, &errors);
	else
		dp_nat_icmp_out(&x->w, &errors);
	if (errors.p[0].verdict == DP_OK)
		check(&errors.p[0], length, is_inside);
	rte_pktmbuf_free(errors.p[0].m);
	require(link_in_use() == 0);
	return 0;
}
