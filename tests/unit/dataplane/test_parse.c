/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames in, verdict and batch out: every check of the parser, and no step over a frame's end. */
#include "dataplane/parse.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define C DP_PORT_CLUSTER
#define U DP_PORT_UPLINK
#define ICMP 1u
#define ESP 50u
#define ARP 0u /* as a protocol of the table */

enum where { ON, GATHER, LOCAL }; /* the batch */

/* One frame: a good packet from the neighbour to the port, then changed. */
struct frame_case {
	const char *what;
	enum dp_port_id port;
	uint8_t protocol;
	uint16_t destination_port; /* UDP, TCP; 0: 33000 */
	uint16_t payload;          /* bytes behind the transport header */
	struct {
		uint8_t at; /* of the frame */
		uint8_t value;
	} patch[4];
	uint8_t patches;
	uint8_t keeps_checksum; /* after the patches it is not made right again */
	int16_t tail;           /* bytes more (link padding) or less than the packet has */
	enum dp_verdict verdict;
	enum where where;
};

#define PATCH(...) .patch = { __VA_ARGS__ }, .patches = sizeof((uint8_t[][2]){ __VA_ARGS__ }) / 2

static const struct frame_case cases[] = {
	/* the cluster's side */
	{ "TCP to the environment", C, TCP, .verdict = DP_OK, .where = ON },
	{ "UDP to the environment", C, UDP, .payload = 5, .verdict = DP_OK, .where = ON },
	{ "TCP with link padding", C, TCP, .tail = 6, .verdict = DP_OK, .where = ON },
	{ "DF alone is no fragment", C, TCP, PATCH({ 20, 0x40 }), .verdict = DP_OK, .where = ON },
	{ "ICMP to the environment", C, ICMP, .verdict = DP_OK, .where = LOCAL },
	{ "an ICMP error to the environment", C, ICMP, PATCH({ 34, 3 }), .verdict = DP_OK,
	  .where = ON },
	{ "ICMP time exceeded to the environment", C, ICMP, PATCH({ 34, 11 }), .verdict = DP_OK,
	  .where = ON },
	{ "an ICMP error to the port", C, ICMP, PATCH({ 33, 2 }, { 34, 3 }), .verdict = DP_OK,
	  .where = LOCAL },
	{ "ESP to the environment", C, ESP, .verdict = DP_NO_FORWARD, .where = LOCAL },
	{ "ICMP to the port", C, ICMP, PATCH({ 33, 2 }), .verdict = DP_OK, .where = LOCAL },
	{ "TCP to the port", C, TCP, PATCH({ 33, 2 }), .verdict = DP_NOT_FOR_US, .where = LOCAL },
	{ "TCP to somewhere else", C, TCP, PATCH({ 33, 77 }), .verdict = DP_NO_EGRESS,
	  .where = LOCAL },
	{ "ICMP to somewhere else", C, ICMP, PATCH({ 33, 77 }), .verdict = DP_NO_EGRESS,
	  .where = LOCAL },
	{ "ARP", C, ARP, .verdict = DP_OK, .where = LOCAL },
	{ "ARP to everybody", C, ARP, PATCH({ 0, 0xff }), .verdict = DP_OK, .where = LOCAL },
	{ "IPv6", C, TCP, PATCH({ 12, 0x86 }, { 13, 0xdd }), .verdict = DP_ETHERTYPE,
	  .where = LOCAL },
	{ "VLAN", C, TCP, PATCH({ 12, 0x81 }, { 13, 0x00 }), .verdict = DP_ETHERTYPE,
	  .where = LOCAL },
	{ "to another MAC address", C, TCP, PATCH({ 5, 9 }), .verdict = DP_NOT_FOR_US,
	  .where = LOCAL },
	{ "broadcast on the link", C, TCP, PATCH({ 0, 0xff }), .verdict = DP_NOT_FOR_US,
	  .where = LOCAL },
	{ "IP version 6", C, TCP, PATCH({ 14, 0x65 }), .verdict = DP_IP_VERSION, .where = LOCAL },
	{ "IP header of 16 bytes", C, TCP, PATCH({ 14, 0x44 }), .verdict = DP_IP_VERSION,
	  .where = LOCAL },
	{ "IP options", C, TCP, PATCH({ 14, 0x46 }), .verdict = DP_IP_OPTIONS, .where = LOCAL },
	{ "IP total shorter than its header", C, TCP, PATCH({ 17, 19 }), .verdict = DP_TRUNCATED,
	  .where = LOCAL },
	{ "IP total longer than the frame", C, TCP, .tail = -1, .verdict = DP_TRUNCATED,
	  .where = LOCAL },
	{ "IP checksum", C, TCP, PATCH({ 24, 0x11 }), .keeps_checksum = 1,
	  .verdict = DP_IP_CHECKSUM, .where = LOCAL },
	{ "more fragments", C, TCP, PATCH({ 20, 0x20 }), .verdict = DP_OK, .where = ON },
	{ "a later fragment", C, TCP, PATCH({ 21, 1 }), .verdict = DP_OK, .where = ON },
	{ "a late fragment", C, UDP, PATCH({ 20, 0x1f }), .verdict = DP_OK, .where = ON },
	{ "a later fragment without a TCP header", C, TCP, PATCH({ 17, 28 }, { 21, 4 }),
	  .verdict = DP_OK, .where = ON },
	{ "a fragment of ICMP", C, ICMP, PATCH({ 20, 0x20 }), .verdict = DP_OK, .where = ON },
	{ "a fragment of ESP", C, ESP, PATCH({ 20, 0x20 }), .verdict = DP_NO_FORWARD,
	  .where = LOCAL },
	{ "a fragment of ICMP to the port", C, ICMP, PATCH({ 20, 0x20 }, { 33, 2 }),
	  .verdict = DP_FRAGMENT, .where = LOCAL },
	{ "from 0.0.0.0/8", C, TCP, PATCH({ 26, 0 }), .verdict = DP_IP_ADDRESS, .where = LOCAL },
	{ "from 127.0.0.0/8", C, TCP, PATCH({ 26, 127 }), .verdict = DP_IP_ADDRESS,
	  .where = LOCAL },
	{ "from 224.0.0.0/4", C, TCP, PATCH({ 26, 224 }), .verdict = DP_IP_ADDRESS,
	  .where = LOCAL },
	{ "from 240.0.0.0/4", C, TCP, PATCH({ 26, 240 }), .verdict = DP_IP_ADDRESS,
	  .where = LOCAL },
	{ "from the broadcast address", C, TCP,
	  PATCH({ 26, 255 }, { 27, 255 }, { 28, 255 }, { 29, 255 }), .verdict = DP_IP_ADDRESS,
	  .where = LOCAL },
	{ "from 223 is fine", C, TCP, PATCH({ 26, 223 }), .verdict = DP_OK, .where = ON },
	{ "to 0.0.0.0/8", C, TCP, PATCH({ 30, 0 }), .verdict = DP_IP_ADDRESS, .where = LOCAL },
	{ "to 127.0.0.0/8", C, TCP, PATCH({ 30, 127 }), .verdict = DP_IP_ADDRESS, .where = LOCAL },
	{ "to multicast", C, TCP, PATCH({ 30, 225 }), .verdict = DP_IP_ADDRESS, .where = LOCAL },
	{ "from the port's own address", C, TCP, PATCH({ 28, 0 }, { 29, 2 }),
	  .verdict = DP_IP_ADDRESS, .where = LOCAL },
	{ "TCP header of 16 bytes", C, TCP, PATCH({ 46, 0x40 }), .verdict = DP_L4_HEADER,
	  .where = LOCAL },
	{ "TCP options behind the end", C, TCP, PATCH({ 46, 0x60 }), .verdict = DP_L4_HEADER,
	  .where = LOCAL },
	{ "TCP options up to the end", C, TCP, .payload = 4, PATCH({ 46, 0x60 }), .verdict = DP_OK,
	  .where = ON },
	{ "TCP cut off", C, TCP, PATCH({ 17, 39 }), .verdict = DP_L4_HEADER, .where = LOCAL },
	{ "UDP cut off", C, UDP, PATCH({ 17, 27 }), .verdict = DP_L4_HEADER, .where = LOCAL },
	{ "UDP length of 7", C, UDP, PATCH({ 39, 7 }), .verdict = DP_L4_HEADER, .where = LOCAL },
	{ "UDP length behind the end", C, UDP, PATCH({ 39, 9 }), .verdict = DP_L4_HEADER,
	  .where = LOCAL },
	{ "UDP length before the end", C, UDP, .payload = 4, PATCH({ 39, 9 }), .verdict = DP_OK,
	  .where = ON },
	{ "ICMP cut off", C, ICMP, PATCH({ 17, 27 }), .verdict = DP_L4_HEADER, .where = LOCAL },
	/* the uplink */
	{ "ESP", U, ESP, .payload = 40, .verdict = DP_OK, .where = ON },
	{ "ESP without a byte", U, ESP, PATCH({ 17, 20 }), .verdict = DP_OK, .where = ON },
	{ "ESP in UDP", U, UDP, 4500, .payload = 40, PATCH({ 42, 1 }), .verdict = DP_OK,
	  .where = ON },
	{ "ESP in UDP, only an SPI", U, UDP, 4500, .payload = 4, PATCH({ 45, 1 }), .verdict = DP_OK,
	  .where = ON },
	{ "IKE on 4500", U, UDP, 4500, .payload = 40,
	  PATCH({ 42, 0 }, { 43, 0 }, { 44, 0 }, { 45, 0 }), .verdict = DP_OK, .where = LOCAL },
	{ "IKE on 500", U, UDP, 500, .payload = 40, .verdict = DP_OK, .where = LOCAL },
	{ "NAT-T keepalive", U, UDP, 4500, .payload = 1, PATCH({ 42, 0xff }),
	  .verdict = DP_NATT_KEEPALIVE, .where = LOCAL },
	{ "one byte that is no keepalive", U, UDP, 4500, .payload = 1, PATCH({ 42, 0xfe }),
	  .verdict = DP_OK, .where = LOCAL },
	{ "two bytes on 4500", U, UDP, 4500, .payload = 2, PATCH({ 42, 0xff }), .verdict = DP_OK,
	  .where = LOCAL },
	{ "three bytes on 4500", U, UDP, 4500, .payload = 3, PATCH({ 42, 0xff }), .verdict = DP_OK,
	  .where = LOCAL },
	{ "UDP to another port", U, UDP, 4501, .payload = 8, .verdict = DP_NOT_FOR_US,
	  .where = LOCAL },
	{ "TCP", U, TCP, 4500, .verdict = DP_NOT_FOR_US, .where = LOCAL },
	{ "ICMP", U, ICMP, .verdict = DP_OK, .where = LOCAL },
	{ "GRE", U, ESP, PATCH({ 23, 47 }), .verdict = DP_NOT_FOR_US, .where = LOCAL },
	{ "ESP to another address", U, ESP, PATCH({ 33, 11 }), .verdict = DP_NOT_FOR_US,
	  .where = LOCAL },
	{ "a fragment of ESP", U, ESP, PATCH({ 20, 0x20 }), .verdict = DP_OK, .where = GATHER },
	{ "a later fragment of UDP", U, UDP, 4500, .payload = 8, PATCH({ 21, 0x20 }),
	  .verdict = DP_OK, .where = GATHER },
	{ "a fragment of no server", U, ESP, PATCH({ 20, 0x20 }, { 29, 99 }),
	  .verdict = DP_FRAGMENT, .where = LOCAL },
	{ "a fragment of TCP", U, TCP, PATCH({ 20, 0x20 }), .verdict = DP_FRAGMENT,
	  .where = LOCAL },
	{ "a fragment of ICMP", U, ICMP, PATCH({ 20, 0x20 }), .verdict = DP_FRAGMENT,
	  .where = LOCAL },
	{ "a fragment to another address", U, ESP, PATCH({ 20, 0x20 }, { 33, 11 }),
	  .verdict = DP_NOT_FOR_US, .where = LOCAL },
	{ "ARP on the uplink", U, ARP, .verdict = DP_OK, .where = LOCAL },
};

/* The good frame of a case; returns the length of its packet. */
static unsigned build(const struct link_world *x, enum dp_port_id port, uint8_t protocol,
                      uint16_t to_port, uint16_t payload, uint8_t *frame)
{
	struct nat_packet p = {
		.protocol = protocol, .source_port = 40000, .payload = payload, .flags = SYN
	};
	unsigned header = protocol == TCP ? 20 : 8;

	memset(frame, 0, 256);
	link_ether(x, port, protocol == ARP ? 0x0806 : 0x0800, frame);
	if (protocol == ARP)
		return 28;
	p.source = port == C ? LINK_CLIENT : LINK_SERVER;
	p.destination = port == C ? LINK_POD : LINK_UPLINK;
	p.destination_port = to_port ? to_port : 33000;
	if (protocol == TCP || protocol == UDP)
		return nat_build(frame + LINK_ETHER, &p);
	return link_ipv4(frame + LINK_ETHER, protocol, p.source, p.destination, header + payload);
}

/* What is for the environment's address belongs to it from here on, whatever becomes of it. */
static uint16_t expected_environment(const struct dp_pkt *p)
{
	const uint8_t *frame = rte_pktmbuf_mtod(p->m, const uint8_t *);
	uint32_t destination_be;

	memcpy(&destination_be, frame + LINK_ETHER + 16, 4);
	if (p->port != C || destination_be != rte_cpu_to_be_32(LINK_POD))
		return DP_NONE_SLOT;
	return p->verdict == DP_OK || p->verdict == DP_NO_FORWARD || p->verdict == DP_FRAGMENT
	               ? LINK_ENVIRONMENT
	               : DP_NONE_SLOT;
}

static void sorts_every_frame(void **state)
{
	struct link_world *x = link_create();
	uint8_t frame[256];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		const struct frame_case *c = &cases[i];
		unsigned length =
			build(x, c->port, c->protocol, c->destination_port, c->payload, frame);
		struct dp_pkt *p;

		for (unsigned k = 0; k < c->patches; k++)
			frame[c->patch[k].at] = c->patch[k].value;
		if (!c->keeps_checksum && c->protocol != ARP)
			link_fix_checksum(frame + LINK_ETHER);
		p = link_parse(
			x, c->port,
			link_buffer(frame, LINK_ETHER + length + (unsigned)c->tail, LINK_HEADROOM));
		if (p->verdict != c->verdict || (x->path.n == 1) != (c->where == ON) ||
		    (x->fragments.n == 1) != (c->where == GATHER))
			fail_msg("%s: verdict %u (%s), %s", c->what, p->verdict,
			         dp_verdict_name(p->verdict),
			         x->path.n        ? "on"
			         : x->fragments.n ? "gather"
			                          : "local");
		assert_int_equal(p->port, c->port);
		assert_int_equal(p->m->port, c->port);
		assert_ptr_equal(p->flow, NULL);
		assert_int_equal(p->environment, expected_environment(p));
		assert_int_equal(p->tunnel, DP_NONE_SLOT);
		if (p->verdict == DP_OK && c->protocol != ARP) {
			uint8_t *ip = rte_pktmbuf_mtod(p->m, uint8_t *) + LINK_ETHER;

			assert_ptr_equal(p->l3, ip);
			assert_int_equal(p->l3_length, nat_get16(ip + 2));
			assert_int_equal(p->l3_header, 20);
			assert_int_equal(p->protocol, ip[9]);
			/* the link's padding is gone */
			assert_int_equal(p->m->data_len, LINK_ETHER + p->l3_length);
			assert_int_equal(p->m->pkt_len, p->m->data_len);
			if (c->where == ON && c->port == U)
				assert_ptr_equal(p->esp, ip + (ip[9] == ESP ? 20 : 28));
		}
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void refuses_several_segments(void **state)
{
	struct link_world *x = link_create();
	uint8_t frame[256];
	unsigned length = build(x, C, TCP, 0, 0, frame);
	struct rte_mbuf *m = link_buffer(frame, LINK_ETHER + length, LINK_HEADROOM);

	(void)state;
	assert_int_equal(rte_pktmbuf_chain(m, link_buffer(frame, 10, 0)), 0);
	assert_int_equal(link_parse(x, C, m)->verdict, DP_MULTI_SEGMENT);
	assert_int_equal(x->local.n, 1);
	assert_int_equal(link_destroy(x), 0);
}

static void joins_segments_that_fit(void **state)
{
	struct link_world *x = link_create();
	uint8_t frame[256];
	unsigned length = LINK_ETHER + build(x, C, TCP, 0, 60, frame);
	struct rte_mbuf *m = rte_pktmbuf_alloc(x->w.mbufs);
	struct dp_pkt *p;

	(void)state;
	memcpy(rte_pktmbuf_append(m, 20), frame, 20);
	assert_int_equal(rte_pktmbuf_chain(m, link_buffer(frame + 20, 31, 0)), 0);
	assert_int_equal(rte_pktmbuf_chain(m, link_buffer(frame + 51, length - 51, 0)), 0);
	p = link_parse(x, C, m);
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(m->nb_segs, 1);
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), frame, length);
	assert_int_equal(link_destroy(x), 0);
}

static void forwards_nothing_before_a_configuration(void **state)
{
	static const struct {
		enum dp_port_id port;
		uint8_t protocol;
		enum dp_verdict verdict;
	} table[] = {
		{ C, TCP, DP_NO_CONFIGURATION },
		{ C, ICMP, DP_NO_CONFIGURATION },
		{ C, ARP, DP_OK },
		{ U, ICMP, DP_OK },
	};
	struct link_world *x = link_create();
	uint8_t frame[256];

	(void)state;
	x->w.generation = NULL;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		unsigned length = build(x, table[i].port, table[i].protocol, 0, 0, frame);
		struct dp_pkt *p = link_parse(
			x, table[i].port, link_buffer(frame, LINK_ETHER + length, LINK_HEADROOM));

		assert_int_equal(p->verdict, table[i].verdict);
		assert_int_equal(x->local.n, 1);
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

/* Every prefix of good frames, as it is and with an IPv4 length that agrees. The sanitizer does the
 * rest. */
static void never_reads_behind_a_frame(void **state)
{
	static const struct {
		enum dp_port_id port;
		uint8_t protocol;
		uint16_t to_port;
	} table[] = {
		{ C, TCP, 0 },    { C, UDP, 0 },   { C, ICMP, 0 }, { C, ARP, 0 }, { U, ESP, 0 },
		{ U, UDP, 4500 }, { U, UDP, 500 }, { U, ICMP, 0 }, { U, ARP, 0 },
	};
	struct link_world *x = link_create();

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table) * 2; i++) {
		uint8_t frame[256], *ip = frame + LINK_ETHER;
		unsigned t = i / 2, length = build(x, table[t].port, table[t].protocol,
		                                   table[t].to_port, 9, frame);

		for (unsigned cut = 0; cut < LINK_ETHER + length; cut++) {
			struct dp_pkt *p;

			if (i % 2 && cut >= LINK_ETHER + 20 && table[t].protocol != ARP) {
				nat_put16(ip + 2, (uint16_t)(cut - LINK_ETHER));
				link_fix_checksum(ip);
			}
			p = link_parse(x, table[t].port, link_buffer(frame, cut, 0));
			if (cut < LINK_ETHER)
				assert_int_equal(p->verdict, DP_TRUNCATED);
			else if (table[t].protocol != ARP && (i % 2 == 0 || cut < LINK_ETHER + 20))
				assert_int_equal(p->verdict, DP_TRUNCATED);
			link_clear(x);
		}
	}
	assert_int_equal(link_destroy(x), 0);
}

static void keeps_order_and_takes_all(void **state)
{
	struct link_world *x = link_create();
	struct dp_from_cluster *sorted = malloc(sizeof(*sorted));
	struct rte_mbuf *m[DP_BURST];
	uint8_t frame[256];

	(void)state;
	assert_non_null(sorted);
	for (unsigned i = 0; i < DP_BURST; i++) {
		unsigned length = build(x, C, i % 3 ? TCP : ICMP, 0, (uint16_t)i, frame);

		m[i] = link_buffer(frame, LINK_ETHER + length, LINK_HEADROOM);
	}
	dp_parse_cluster(&x->w, m, DP_BURST, sorted);
	x->path = sorted->forward;
	x->local = sorted->local;
	free(sorted);
	assert_int_equal(x->path.n + x->local.n, DP_BURST);
	assert_int_equal(x->local.n, 11);
	for (unsigned i = 0, path = 0, local = 0; i < DP_BURST; i++)
		assert_ptr_equal(i % 3 ? x->path.p[path++].m : x->local.p[local++].m, m[i]);
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_every_frame),
		cmocka_unit_test(refuses_several_segments),
		cmocka_unit_test(joins_segments_that_fit),
		cmocka_unit_test(forwards_nothing_before_a_configuration),
		cmocka_unit_test(never_reads_behind_a_frame),
		cmocka_unit_test(keeps_order_and_takes_all),
	};

	return cmocka_run_group_tests_name("parse", tests, link_eal, NULL);
}
