/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probes as they leave, and what is taken for an answer: nothing that was not asked. */
#include "dataplane/probe.c"

#include <arpa/inet.h>
#include <stdlib.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define SLOT 2u
#define A 1u
#define B 2u
#define STRANGER 3u
#define INNER_A 0x0a030005u
#define INNER_B 0x0a030006u
#define HOST 0xc0a8641eu
#define NOW 5000000000ull

static struct {
	struct link_world *x;
	struct dp_worker *w;
	struct dp_environment environment;
	struct dp_environment other;
	unsigned answers;
	uint16_t tunnel;
	enum dp_probe_kind kind;
	uint64_t sent_at;
} s;

void dp_liveness_answered(struct dp_worker *w, uint16_t tunnel, enum dp_probe_kind kind,
                          uint64_t sent_at)
{
	(void)w;
	s.answers++;
	s.tunnel = tunnel;
	s.kind = kind;
	s.sent_at = sent_at;
}

static const struct dp_forward forward = { .key = 1,
	                                   .to_address_be = RTE_STATIC_BSWAP32(HOST),
	                                   .to_port_be = RTE_STATIC_BSWAP16(8080) };

static void set_tunnel(unsigned slot, uint16_t environment, uint32_t inner)
{
	s.x->tunnels[slot] = (struct dp_tunnel){ .inner_be = htonl(inner),
		                                 .environment = environment,
		                                 .is_up = 1 };
}

static int set_up(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	s.x = link_create();
	if (!s.x)
		return -1;
	s.w = &s.x->w;
	s.w->failover.now_at = NOW;
	s.w->failover.secret[0] = 1;
	s.w->failover.secret[1] = 2;
	s.environment =
		(struct dp_environment){ .slot = SLOT, .tunnel_count = 2, .tunnels = { A, B } };
	s.other = (struct dp_environment){ .slot = SLOT + 1,
		                           .tunnel_count = 1,
		                           .tunnels = { STRANGER } };
	s.x->generation.by_slot[SLOT] = &s.environment;
	s.x->generation.by_slot[SLOT + 1] = &s.other;
	set_tunnel(A, SLOT, INNER_A);
	set_tunnel(B, SLOT, INNER_B);
	set_tunnel(STRANGER, SLOT + 1, INNER_A);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	link_clear(s.x);
	return link_destroy(s.x) ? -1 : 0;
}

/* The packet that was queued last, copied. */
static unsigned take(uint8_t *to)
{
	const struct dp_pkt *p = &s.x->answers_inside.p[s.x->answers_inside.n - 1];

	assert_true(s.x->answers_inside.n > 0);
	assert_int_equal(p->port, DP_PORT_UPLINK);
	assert_int_equal(link_sum(p->l3, 20), 0xffff);
	if (p->l3[9] == IPPROTO_ICMP)
		assert_int_equal(link_sum(p->l3 + 20, p->l3_length - 20u), 0xffff);
	else
		assert_true(nat_is_right(p->l3, p->l3_length));
	memcpy(to, p->l3, p->l3_length);
	return p->l3_length;
}

static void turn_around(uint8_t *packet)
{
	uint32_t source = dp_load32(packet + 12);

	dp_store32(packet + 12, dp_load32(packet + 16));
	dp_store32(packet + 16, source);
}

static unsigned ask_by_echo(uint16_t tunnel, uint8_t *answer)
{
	unsigned length;

	assert_true(dp_probe_send_echo(s.w, tunnel, htonl(HOST)));
	length = take(answer);
	turn_around(answer);
	answer[20] = ICMP_ECHO_REPLY;
	return length;
}

/* What the stage of answers makes of the packet out of this tunnel. */
static enum dp_verdict give(uint8_t *packet, unsigned length, uint16_t environment, uint16_t tunnel)
{
	bool is_icmp = packet[9] == IPPROTO_ICMP;
	struct rte_mbuf *m;
	struct dp_pkt *p = &s.x->path.p[0];

	if (is_icmp) {
		link_fix_checksum(packet);
		dp_store16(packet + 22, 0);
		dp_store16(packet + 22, dp_l4_checksum(NULL, packet + 20, length - 20, 0));
	} else {
		nat_fill_checksums(packet, length);
	}
	m = link_buffer(packet, length, LINK_HEADROOM);
	*p = (struct dp_pkt){ .m = m,
		              .l3 = rte_pktmbuf_mtod(m, uint8_t *),
		              .l3_length = (uint16_t)length,
		              .l3_header = 20,
		              .protocol = packet[9],
		              .environment = environment,
		              .tunnel = tunnel,
		              .verdict = is_icmp ? DP_OK : DP_INNER_NO_SESSION };
	s.x->path.n = 1;
	if (is_icmp)
		dp_probe_take_echoes(s.w, &s.x->path);
	else
		dp_probe_take_segments(s.w, &s.x->path);
	if (p->verdict != DP_TAKEN)
		rte_pktmbuf_free(m);
	s.x->path.n = 0;
	return (enum dp_verdict)p->verdict;
}

static void echo_is_answered(void **state)
{
	uint8_t packet[256];
	unsigned length = ask_by_echo(A, packet);

	(void)state;
	assert_int_equal(nat_get32(packet + 12), HOST);
	assert_int_equal(nat_get32(packet + 16), INNER_A);
	assert_int_equal(give(packet, length, SLOT, A), DP_PROBE);
	assert_int_equal(s.answers, 1);
	assert_int_equal(s.tunnel, A);
	assert_int_equal(s.kind, DP_PROBE_ECHO);
	assert_true(s.sent_at == NOW);
	/* the same inner address: it may come back another way; another environment's tunnel is
	 * none */
	set_tunnel(B, SLOT, INNER_A);
	assert_int_equal(give(packet, length, SLOT, B), DP_PROBE);
	assert_int_equal(s.tunnel, A);
	assert_int_equal(give(packet, length, SLOT + 1, STRANGER), DP_OK);
	assert_int_equal(s.answers, 2);
}

/* Each byte that was asked counts, and so does who says it. */
static void echo_cannot_be_forged(void **state)
{
	uint8_t packet[256], changed[256];
	unsigned length = ask_by_echo(A, packet);

	(void)state;
	for (unsigned at = 12; at < length; at++) {
		if (at >= 22 && at < 28) /* checksum; identifier and number: for others to see */
			continue;
		memcpy(changed, packet, length);
		changed[at] ^= 0x40;
		assert_int_equal(give(changed, length, SLOT, A), DP_OK);
	}
	assert_int_equal(give(packet, length - 1, SLOT, A), DP_OK);
	/* another worker's secret, another tunnel's question */
	s.w->failover.secret[0] ^= 1;
	assert_int_equal(give(packet, length, SLOT, A), DP_OK);
	s.w->failover.secret[0] ^= 1;
	packet[36] = B;
	assert_int_equal(give(packet, length, SLOT, A), DP_OK);
	assert_int_equal(s.answers, 0);
	s.x->tunnels[A].is_up = 0;
	packet[36] = A;
	assert_int_equal(give(packet, length, SLOT, A), DP_OK);
	s.x->tunnels[A].is_up = 1;
	assert_int_equal(give(packet, length, SLOT, A), DP_PROBE);
}

static void echoes_differ(void **state)
{
	uint8_t one[256], two[256];

	(void)state;
	ask_by_echo(A, one);
	ask_by_echo(B, two);
	assert_memory_not_equal(one + 24, two + 24, 4);
	assert_memory_not_equal(one + 44, two + 44, 8);
	s.w->failover.now_at++;
	ask_by_echo(A, two);
	assert_memory_not_equal(one + 24, two + 24, 4);
	assert_memory_not_equal(one + 44, two + 44, 8);
}

/* SipHash-2-4 with 24 bytes: 00 01 .. 17 under the key 00 01 .. 0f, as OpenSSL has it. */
static void sip_is_siphash(void **state)
{
	static const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

	(void)state;
	assert_true(sip(key, 0x0706050403020100, 0x0f0e0d0c0b0a0908, 0x1716151413121110) ==
	            0xb8ad50c6f649af94);
}

static unsigned ask_by_syn(uint16_t tunnel, uint8_t *answer, uint8_t flags)
{
	uint16_t port;

	assert_true(dp_probe_send_syn(s.w, tunnel, &forward));
	assert_int_equal(take(answer), 44);
	assert_int_equal(answer[33], SYN);
	assert_in_range(nat_get16(answer + 20), DP_PROBE_PORT_FIRST, DP_PROBE_PORT_LAST);
	assert_int_equal(nat_get16(answer + 22), 8080);
	turn_around(answer);
	port = dp_load16(answer + 20);
	dp_store16(answer + 20, dp_load16(answer + 22));
	dp_store16(answer + 22, port);
	nat_put32(answer + 28, nat_get32(answer + 24) + 1);
	nat_put32(answer + 24, 777);
	answer[33] = flags;
	return 44;
}

static void syn_is_answered_and_ended(void **state)
{
	uint8_t packet[256], reset[256];
	unsigned length = ask_by_syn(A, packet, SYN | ACK), queued = s.x->answers_inside.n;

	(void)state;
	s.x->tunnels[A].liveness.syn_at = 42;
	assert_int_equal(give(packet, length, SLOT, A), DP_TAKEN);
	assert_int_equal(s.answers, 1);
	assert_int_equal(s.kind, DP_PROBE_SYN);
	assert_true(s.sent_at == 42);
	assert_int_equal(s.x->answers_inside.n, queued + 1);
	assert_int_equal(take(reset), 40);
	assert_int_equal(reset[33], RST);
	assert_int_equal(nat_get32(reset + 24), nat_get32(packet + 28));
	assert_memory_equal(reset + 20, packet + 22, 2);
	assert_int_equal(nat_get32(reset + 16), HOST);
	/* a host that refuses lives, too */
	length = ask_by_syn(B, packet, RST | ACK);
	queued = s.x->answers_inside.n;
	assert_int_equal(give(packet, length, SLOT, B), DP_PROBE);
	assert_int_equal(s.tunnel, B);
	assert_int_equal(s.x->answers_inside.n, queued);
}

static void syn_cannot_be_forged(void **state)
{
	static const uint8_t flags[] = { SYN, ACK, RST, FIN | ACK, SYN | ACK | RST, 0 };
	uint8_t packet[256], changed[256];
	unsigned length = ask_by_syn(A, packet, SYN | ACK);

	(void)state;
	for (unsigned at = 12; at < 32; at++) {
		if (at >= 24 && at < 28)
			continue; /* the host's own number */
		memcpy(changed, packet, length);
		changed[at] ^= 0x01;
		assert_int_equal(give(changed, length, SLOT, A), DP_INNER_NO_SESSION);
	}
	for (unsigned i = 0; i < sizeof(flags); i++) {
		memcpy(changed, packet, length);
		changed[33] = flags[i];
		assert_int_equal(give(changed, length, SLOT, A), DP_INNER_NO_SESSION);
	}
	assert_int_equal(give(packet, length, SLOT + 1, STRANGER), DP_INNER_NO_SESSION);
	assert_int_equal(s.answers, 0);
	assert_int_equal(give(packet, length, SLOT, A), DP_TAKEN);
}

/* Ports in turn, so that a RST which was lost blocks none for long; all of them below 1024. */
static void syn_ports_take_turns(void **state)
{
	uint8_t packet[256];
	uint16_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 1200; i++) {
		uint16_t port;

		ask_by_syn(A, packet, 0);
		port = nat_get16(packet + 22);
		assert_in_range(port, DP_PROBE_PORT_FIRST, DP_PROBE_PORT_LAST);
		assert_int_not_equal(port, last);
		last = port;
		link_clear(s.x);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(echo_is_answered),
		TEST(echo_cannot_be_forged),
		TEST(echoes_differ),
		TEST(syn_is_answered_and_ended),
		TEST(syn_cannot_be_forged),
		TEST(syn_ports_take_turns),
		cmocka_unit_test(sip_is_siphash),
	};

	return cmocka_run_group_tests_name("probe", tests, link_eal, NULL);
}
