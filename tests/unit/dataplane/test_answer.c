/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a refused sender is told: RFC 9293 section 3.10.7, RFC 792, RFC 1812 section 4.3. */
#include "dataplane/answer.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/nexthop.h"
#include "dataplane/share.h"
#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define C DP_PORT_CLUSTER
#define U DP_PORT_UPLINK
#define ICMP 1u

static uint8_t frame[2048];
static uint8_t *const ip = frame + LINK_ETHER;

/* The client to a forward. */
static struct nat_packet call(uint8_t protocol, uint8_t flags)
{
	return (struct nat_packet){ .protocol = protocol,
		                    .source = LINK_CLIENT,
		                    .destination = LINK_POD,
		                    .source_port = 40000,
		                    .destination_port = 33000,
		                    .flags = flags };
}

/* A packet from the client, parsed; the stage that refuses it follows. */
static struct dp_pkt *receive(struct link_world *x, unsigned length, unsigned headroom)
{
	struct dp_pkt *p;

	link_ether(x, C, 0x0800, frame);
	p = link_parse(x, C, link_buffer(frame, LINK_ETHER + length, headroom));
	assert_true(p->verdict == DP_OK || p->verdict == DP_NO_EGRESS);
	return p;
}

/* Refuses the packet, as the end of a stage does; returns the answer's packet or NULL. */
static struct dp_pkt *refuse(struct link_world *x, struct dp_pkt *p, enum dp_verdict verdict)
{
	p->verdict = (uint8_t)verdict;
	dp_batch_compact(&x->w, x->path.n ? &x->path : &x->local);
	assert_int_equal(x->path.n + x->local.n, 0);
	return x->answers.n ? &x->answers.p[0] : NULL;
}

static struct dp_pkt *refuse_tcp(struct link_world *x, const struct nat_packet *tcp,
                                 enum dp_verdict verdict)
{
	return refuse(x, receive(x, nat_build(ip, tcp), LINK_HEADROOM), verdict);
}

/* The answer is queued as the next stages want it. */
static const uint8_t *check_answer(const struct dp_pkt *a, unsigned length, uint8_t protocol,
                                   uint32_t source)
{
	const uint8_t *l3 = rte_pktmbuf_mtod(a->m, const uint8_t *);

	assert_ptr_equal(a->l3, l3);
	assert_int_equal(a->l3_length, length);
	assert_int_equal(a->m->data_len, length);
	assert_int_equal(a->m->pkt_len, length);
	assert_int_equal(a->verdict, DP_OK);
	assert_int_equal(a->port, C);
	assert_null(a->flow);
	assert_int_equal(a->nexthop_be, htonl(LINK_CLIENT));
	assert_int_equal(l3[0], 0x45);
	assert_int_equal(nat_get16(l3 + 2), length);
	assert_int_equal(l3[8], 64);
	assert_int_equal(l3[9], protocol);
	assert_int_equal(nat_get32(l3 + 12), source);
	assert_int_equal(nat_get32(l3 + 16), LINK_CLIENT);
	assert_int_equal(link_sum(l3, 20), 0xffff);
	return l3;
}

static void resets_as_the_sender_accepts(void **state)
{
	static const uint8_t options[4] = { 2, 4, 5, 0xb4 };
	static const struct {
		uint8_t flags;
		uint32_t sequence, acknowledgement;
		uint16_t payload;
		uint8_t with_options;
		uint8_t reply_flags;
		uint32_t reply_sequence, reply_acknowledgement;
	} table[] = {
		/* without ACK: sequence 0, the whole segment is acknowledged */
		{ SYN, 1000, 0, 0, 0, RST | ACK, 0, 1001 },
		{ SYN, 1000, 0, 0, 1, RST | ACK, 0, 1001 },
		{ SYN, 0xffffffff, 0, 0, 0, RST | ACK, 0, 0 },
		{ SYN, 1000, 0, 100, 0, RST | ACK, 0, 1101 },
		{ FIN, 1000, 0, 10, 0, RST | ACK, 0, 1011 },
		{ SYN | FIN, 1000, 0, 0, 0, RST | ACK, 0, 1002 },
		{ 0, 1000, 0, 7, 0, RST | ACK, 0, 1007 },
		{ 0, 1000, 0, 0, 0, RST | ACK, 0, 1000 },
		{ SYN, 1000, 7777, 0, 0, RST | ACK, 0,
		  1001 }, /* a number without its flag says nothing */
		/* with ACK: the sender's own acknowledgement is the sequence */
		{ ACK, 1000, 5000, 0, 0, RST, 5000, 0 },
		{ ACK, 1000, 5000, 300, 1, RST, 5000, 0 },
		{ ACK | FIN, 1000, 0xfffffff0, 1, 0, RST, 0xfffffff0, 0 },
		{ SYN | ACK, 1000, 1, 0, 0, RST, 1, 0 },
		{ ACK | 0x08, 1000, 5000, 3, 0, RST, 5000, 0 },
	};
	static const enum dp_verdict verdicts[] = { DP_NO_FORWARD, DP_NO_SESSION, DP_NO_TUNNEL,
		                                    DP_SOURCE_REFUSED };
	struct link_world *x = link_create();
	uint64_t count = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct nat_packet tcp = call(TCP, table[i].flags);
		struct dp_pkt *a;
		const uint8_t *l3;

		tcp.sequence = table[i].sequence;
		tcp.acknowledgement = table[i].acknowledgement;
		tcp.payload = table[i].payload;
		if (table[i].with_options) {
			tcp.options = options;
			tcp.option_length = sizeof(options);
		}
		a = refuse_tcp(x, &tcp, verdicts[i % RTE_DIM(verdicts)]);
		assert_non_null(a);
		l3 = check_answer(a, 40, TCP, LINK_POD);
		assert_true(nat_is_right(l3, 40));
		assert_int_equal(nat_get16(l3 + 20), 33000);
		assert_int_equal(nat_get16(l3 + 22), 40000);
		if (nat_get32(l3 + 24) != table[i].reply_sequence ||
		    nat_get32(l3 + 28) != table[i].reply_acknowledgement ||
		    l3[33] != table[i].reply_flags)
			fail_msg("segment %u: flags %02x sequence %u acknowledgement %u", i, l3[33],
			         nat_get32(l3 + 24), nat_get32(l3 + 28));
		assert_int_equal(l3[32], 0x50);
		assert_int_equal(nat_get32(l3 + 34) >> 16, 0); /* window */
		assert_int_equal(x->count.answers_rst, ++count);
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void answers_icmp_by_verdict(void **state)
{
	static const struct {
		enum dp_verdict verdict;
		uint8_t protocol;
		uint16_t limit;
		uint8_t type, code;
		uint32_t from;
		uint16_t mtu;
	} table[] = {
		{ DP_NO_FORWARD, UDP, 0, 3, 3, LINK_POD, 0 },
		{ DP_NO_SESSION, UDP, 0, 3, 3, LINK_POD, 0 },
		{ DP_SOURCE_REFUSED, UDP, 0, 3, 13, LINK_CLUSTER, 0 },
		{ DP_NO_EGRESS, ICMP, 0, 3, 13, LINK_CLUSTER, 0 },
		{ DP_NO_TUNNEL, UDP, 0, 3, 0, LINK_CLUSTER, 0 },
		{ DP_SESSION_TABLE_FULL, UDP, 0, 3, 0, LINK_CLUSTER, 0 },
		{ DP_TOO_BIG, UDP, 1422, 3, 4, LINK_CLUSTER, 1422 },
		{ DP_TOO_BIG, TCP, 1280, 3, 4, LINK_CLUSTER, 1280 },
		{ DP_TTL, TCP, 0, 11, 0, LINK_CLUSTER, 0 },
		{ DP_TTL, UDP, 0, 11, 0, LINK_CLUSTER, 0 },
	};
	struct link_world *x = link_create();

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		for (unsigned payload = 0; payload <= 1400; payload += payload < 10 ? 1 : 135) {
			struct nat_packet n = call(table[i].protocol, ACK);
			unsigned length, quote;
			struct dp_pkt *p, *a;
			const uint8_t *l3;

			n.payload = (uint16_t)payload;
			if (table[i].protocol == ICMP) {
				memset(ip + 20, 0, 8 + payload);
				ip[20] = 8;
				length = link_ipv4(ip, ICMP, LINK_CLIENT, 0x08080808, 8 + payload);
			} else {
				length = nat_build(ip, &n);
			}
			quote = length < 548 ? length : 548;
			p = receive(x, length, LINK_HEADROOM);
			p->limit = table[i].limit;
			a = refuse(x, p, table[i].verdict);
			assert_non_null(a);
			l3 = check_answer(a, 28 + quote, ICMP, table[i].from);
			assert_int_equal(l3[20], table[i].type);
			assert_int_equal(l3[21], table[i].code);
			assert_int_equal(link_sum(l3 + 20, 8 + quote), 0xffff);
			assert_int_equal(nat_get16(l3 + 24), 0);
			assert_int_equal(nat_get16(l3 + 26), table[i].mtu);
			assert_memory_equal(l3 + 28, ip, quote); /* as the sender sent it */
			link_clear(x);
		}
	}
	assert_true(x->count.answers_icmp > 100);
	assert_int_equal(link_destroy(x), 0);
}

/* RFC 9293: a RST is not answered; RFC 1812 section 4.3.2.7: nor is an ICMP error, nor what is no
 * request. */
static void stays_silent(void **state)
{
	struct link_world *x = link_create();
	struct nat_packet tcp = call(TCP, RST);
	struct dp_pkt *p;

	(void)state;
	assert_null(refuse_tcp(x, &tcp, DP_NO_SESSION));
	tcp.flags = RST | ACK;
	assert_null(refuse_tcp(x, &tcp, DP_NO_FORWARD));
	for (unsigned type = 0; type < 20; type++) {
		memset(ip + 20, 0, 8);
		ip[20] = (uint8_t)type;
		p = receive(x, link_ipv4(ip, ICMP, LINK_CLIENT, 0x08080808, 8), LINK_HEADROOM);
		assert_int_equal(refuse(x, p, DP_NO_EGRESS) != NULL, type == 8);
		link_clear(x);
	}
	/* a verdict without an answer */
	tcp.flags = SYN;
	assert_null(refuse_tcp(x, &tcp, DP_TCP_STATE));
	assert_int_equal(x->count.drop[DP_TCP_STATE], 1);
	/* rewritten already: it is not as the sender sent it */
	p = receive(x, nat_build(ip, &tcp), LINK_HEADROOM);
	p->flow = (struct dp_flow *)x;
	assert_null(refuse(x, p, DP_NO_TUNNEL));
	/* from the Internet's side */
	p = receive(x, nat_build(ip, &tcp), LINK_HEADROOM);
	p->port = U;
	assert_null(refuse(x, p, DP_NO_FORWARD));
	assert_int_equal(x->count.answers_limited, 0);
	assert_int_equal(x->count.answers_rst, 0);
	assert_int_equal(x->count.drop[DP_NO_FORWARD], 2);
	assert_int_equal(link_destroy(x), 0);
}

/* The answer and its Ethernet header, which dp_nexthop() writes, start before the packet's own. */
static void needs_headroom(void **state)
{
	struct link_world *x = link_create();
	struct nat_packet udp = call(UDP, 0);

	(void)state;
	for (unsigned headroom = 0; headroom <= 40; headroom += 2) {
		struct dp_pkt *a =
			refuse(x, receive(x, nat_build(ip, &udp), headroom), DP_NO_FORWARD);

		assert_int_equal(a != NULL, headroom >= 28);
		if (a)
			assert_true(rte_pktmbuf_headroom(a->m) >= LINK_ETHER);
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void keeps_to_its_limits(void **state)
{
	struct link_world *x = link_create();
	struct dp_share *share = dp_share_in(x->w.shares, LINK_ENVIRONMENT);
	struct nat_packet tcp = call(TCP, SYN);

	(void)state;
	share->answers.per_second = 3;
	for (unsigned i = 0; i < 5; i++)
		refuse_tcp(x, &tcp, DP_NO_FORWARD);
	assert_int_equal(x->answers.n, 3);
	assert_int_equal(x->count.answers_rst, 3);
	assert_int_equal(x->count.answers_limited, 2);
	x->w.now_ns += 1000000000;
	refuse_tcp(x, &tcp, DP_NO_FORWARD);
	assert_int_equal(x->answers.n, 4);
	/* no more than a burst of answers waits */
	share->answers = (struct dp_bucket){ .per_second = 1000000 };
	for (unsigned i = 0; i < DP_BURST; i++)
		refuse_tcp(x, &tcp, DP_NO_FORWARD);
	assert_int_equal(x->answers.n, DP_BURST);
	assert_int_equal(x->count.answers_rst, DP_BURST);
	assert_int_equal(x->count.drop[DP_NO_FORWARD], 6 + DP_BURST);
	assert_int_equal(link_destroy(x), 0);
}

static void answers_echo_in_place(void **state)
{
	struct link_world *x = link_create();

	(void)state;
	for (unsigned payload = 0; payload < 70; payload++) {
		struct dp_pkt *p, *a;
		const uint8_t *l3;
		unsigned length;

		memset(ip + 20, 0, 8);
		for (unsigned i = 0; i < payload; i++)
			ip[28 + i] = (uint8_t)(i * 7);
		ip[20] = 8;
		nat_put32(ip + 24, 0x12345678); /* identifier, sequence */
		nat_put16(ip + 22, (uint16_t)~link_sum(ip + 20, 8 + payload));
		length = link_ipv4(ip, ICMP, LINK_CLIENT, LINK_CLUSTER, 8 + payload);
		p = receive(x, length, LINK_HEADROOM);
		assert_int_equal(dp_answer_echo(&x->w, p), DP_TAKEN);
		p->verdict = DP_TAKEN;
		a = &x->answers.p[0];
		l3 = check_answer(a, length, ICMP, LINK_CLUSTER);
		assert_int_equal(l3[20], 0);
		assert_int_equal(l3[21], 0);
		assert_int_equal(link_sum(l3 + 20, 8 + payload), 0xffff);
		assert_memory_equal(l3 + 24, ip + 24, 4 + payload);
		link_clear(x);
		/* a damaged one is not */
		ip[27] ^= 1;
		assert_int_equal(dp_answer_echo(&x->w, receive(x, length, LINK_HEADROOM)),
		                 DP_NOT_FOR_US);
		link_clear(x);
	}
	assert_int_equal(x->count.echo_replies, 70);
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resets_as_the_sender_accepts),
		cmocka_unit_test(answers_icmp_by_verdict),
		cmocka_unit_test(stays_silent),
		cmocka_unit_test(needs_headroom),
		cmocka_unit_test(keeps_to_its_limits),
		cmocka_unit_test(answers_echo_in_place),
	};

	return cmocka_run_group_tests_name("answer", tests, link_eal, NULL);
}
