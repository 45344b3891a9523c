/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwarding: packets in, packets and verdicts out; sessions opened, refused, replaced and ended
 * under a clock of the test's.
 *
 * Environment 3, 10.0.0.33, tunnels 30 (active) and 31; environment 4, 10.0.0.34, tunnel 40. Both
 * have the same customer network and the same inner address, as two customers may.
 */
#include "dataplane/nat_forward.h"
#include "dataplane/nat_session.h"

#include <stdlib.h>

#include <rte_byteorder.h>
#include <rte_malloc.h>

#include "dataplane/nat_flow.h"
#include "dataplane/port.h"
#include "dataplane/portpool.h"
#include "dataplane/share.h"
#include "dataplane/tcp_track.h"
#include "tests/unit/dataplane/nat_packet.h"

#define CLIENT 0x0a000107u /* 10.0.1.7 */
#define POD 0x0a000021u    /* 10.0.0.33 */
#define POD_B 0x0a000022u  /* 10.0.0.34 */
#define TARGET 0xc0a8641eu /* 192.168.100.30 */
#define INNER 0x0a030005u  /* 10.3.0.5 */
#define INNER_2 0x0a030006u
#define PROD 3
#define DEV 4
#define TUNNEL 30
#define TUNNEL_2 31
#define TUNNEL_DEV 40
#define NOW 5000u
#define MSS 1360
#define SESSIONS 3000
#define KEPT (SESSIONS / 2 / 2) /* of each environment */

static struct {
	struct dp_worker w;
	struct dp_counters count;
	struct dp_generation generation;
	struct dp_environment environment[2];
	struct dp_forward forwards[64];
	struct dp_port ports[DP_PORT_COUNT];
	struct dp_batch batch;
	uint8_t *packet[DP_BURST];
} x;

static void add_forward(uint32_t address, uint8_t protocol, uint16_t port, uint32_t to,
                        uint16_t to_port, uint16_t environment, uint16_t tunnel)
{
	uint64_t key = dp_forward_key(rte_cpu_to_be_32(address), protocol, rte_cpu_to_be_16(port));
	uint32_t i = dp_crc8(key) & x.generation.forward_mask;

	while (x.forwards[i].key && x.forwards[i].key != key)
		i = (i + 1) & x.generation.forward_mask;
	x.forwards[i] = (struct dp_forward){ .key = key,
		                             .to_address_be = rte_cpu_to_be_32(to),
		                             .to_port_be = rte_cpu_to_be_16(to_port),
		                             .environment = environment,
		                             .tunnel = tunnel };
}

static void set_tunnel(uint16_t slot, uint16_t environment, uint32_t inner)
{
	x.w.tunnels[slot] = (struct dp_tunnel){ .inner_be = rte_cpu_to_be_32(inner),
		                                .environment = environment,
		                                .inner_mtu = MSS + 40,
		                                .mss = MSS,
		                                .is_up = inner != 0,
		                                .is_usable = inner != 0 };
}

static void set_environment(unsigned i, uint16_t slot, uint32_t pod, uint16_t active)
{
	struct dp_environment *e = &x.environment[i];

	*e = (struct dp_environment){ .pod_address_be = rte_cpu_to_be_32(pod),
		                      .session_quota = 2000,
		                      .slot = slot,
		                      .source_count = 2 };
	e->sources[0] =
		(struct ipc_prefix){ .address_be = rte_cpu_to_be_32(0xac100000), .length = 12 };
	e->sources[1] =
		(struct ipc_prefix){ .address_be = rte_cpu_to_be_32(0x0a000100), .length = 24 };
	x.generation.by_slot[slot] = e;
	x.w.environments[slot].active = active;
}

static void set_forwards(void)
{
	memset(x.forwards, 0, sizeof(x.forwards));
	add_forward(POD, TCP, 33000, TARGET, 8080, PROD, DP_NONE_SLOT);
	add_forward(POD, TCP, 33001, TARGET, 22, PROD, TUNNEL_2);
	add_forward(POD, UDP, 53, TARGET, 53, PROD, DP_NONE_SLOT);
	add_forward(POD_B, TCP, 33000, TARGET, 8080, DEV, DP_NONE_SLOT);
}

static int set_up(void **state)
{
	(void)state;
	memset(&x, 0, sizeof(x));
	nat_answers(&x.w);
	x.w.count = &x.count;
	x.w.ports = x.ports;
	x.ports[DP_PORT_CLUSTER].mtu = 1500;
	x.w.now_s = NOW;
	x.w.generation = &x.generation;
	x.w.tunnels = aligned_alloc(64, sizeof(struct dp_tunnel) * 64);
	x.w.environments = aligned_alloc(64, sizeof(struct dp_environment_state) * 64);
	memset(x.w.tunnels, 0, sizeof(struct dp_tunnel) * 64);
	memset(x.w.environments, 0, sizeof(struct dp_environment_state) * 64);
	x.generation.forwards = x.forwards;
	x.generation.forward_mask = 63;
	set_environment(0, PROD, POD, TUNNEL);
	set_environment(1, DEV, POD_B, TUNNEL_DEV);
	set_tunnel(TUNNEL, PROD, INNER);
	set_tunnel(TUNNEL_2, PROD, INNER_2);
	set_tunnel(TUNNEL_DEV, DEV, INNER);
	set_forwards();
	assert_int_equal(dp_flow_table_create(&x.w.flows, SESSIONS, 1, -1), 0);
	assert_int_equal(dp_portpool_create(&x.w.portpool, x.w.flows, 2, -1), 0);
	assert_int_equal(dp_shares_create(&x.w.shares, -1), 0);
	dp_shares_configure(&x.w);
	return 0;
}

static uint32_t sessions_of(uint16_t environment)
{
	return dp_share_in(x.w.shares, environment)->sessions;
}

static void clear(void)
{
	for (unsigned i = 0; i < x.batch.n; i++)
		free(x.packet[i]);
	x.batch.n = 0;
}

/* Whatever a test did: what was counted is there, and ending it leaves nothing. */
static int tear_down(void **state)
{
	(void)state;
	clear();
	assert_int_equal(x.count.sessions_now, x.w.flows->count);
	assert_int_equal(x.count.sessions_created - x.count.sessions_ended, x.w.flows->count);
	assert_int_equal(sessions_of(PROD) + sessions_of(DEV), x.w.flows->count);
	x.generation.by_slot[PROD] = x.generation.by_slot[DEV] = NULL;
	for (int more = dp_nat_sweep(&x.w); more;)
		more = dp_nat_sweep_on(&x.w);
	assert_int_equal(x.w.flows->count, 0);
	assert_int_equal(dp_share_in(x.w.shares, PROD)->closed, 0);
	assert_int_equal(dp_portpool_blocks(x.w.portpool), 0);
	dp_flow_table_destroy(x.w.flows);
	dp_portpool_destroy(x.w.portpool);
	rte_free(x.w.shares);
	free(x.w.tunnels);
	free(x.w.environments);
	return 0;
}

/* Appends a packet to the batch, in memory that ends where it ends. */
static struct dp_pkt *push(const struct nat_packet *packet)
{
	uint8_t bytes[2048];
	unsigned length = nat_build(bytes, packet), i = x.batch.n++;
	struct dp_pkt *p = &x.batch.p[i];

	x.packet[i] = malloc(length);
	memcpy(x.packet[i], bytes, length);
	memset(p, 0, sizeof(*p));
	p->l3 = x.packet[i];
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = packet->protocol;
	/* as the parser does, by the destination */
	p->environment = packet->destination == POD     ? PROD
	                 : packet->destination == POD_B ? DEV
	                                                : DP_NONE_SLOT;
	p->tunnel = DP_NONE_SLOT;
	return p;
}

static struct dp_pkt *out(const struct nat_packet *packet)
{
	clear();
	push(packet);
	dp_nat_forward_out(&x.w, &x.batch);
	return &x.batch.p[0];
}

static struct dp_pkt *in_from(const struct nat_packet *packet, uint16_t environment,
                              uint16_t tunnel)
{
	struct dp_pkt *p;

	clear();
	p = push(packet);
	p->environment = environment;
	p->tunnel = tunnel;
	dp_nat_forward_in(&x.w, &x.batch);
	return p;
}

static struct dp_pkt *in(const struct nat_packet *packet)
{
	return in_from(packet, PROD, TUNNEL);
}

/* From the client, port PORT, initial number 1000. */
static struct nat_packet request(uint16_t port, uint8_t flags)
{
	return (struct nat_packet){ .source = CLIENT,
		                    .destination = POD,
		                    .source_port = port,
		                    .destination_port = 33000,
		                    .protocol = TCP,
		                    .flags = flags,
		                    .sequence = flags & SYN ? 1000 : 1001,
		                    .acknowledgement = flags & SYN ? 0 : 5001,
		                    .window = 1000 };
}

/* From the target to inner port PORT, initial number 5000. */
static struct nat_packet reply(uint16_t port, uint8_t flags)
{
	return (struct nat_packet){ .source = TARGET,
		                    .destination = INNER,
		                    .source_port = 8080,
		                    .destination_port = port,
		                    .protocol = TCP,
		                    .flags = flags,
		                    .sequence = flags & SYN ? 5000 : 5001,
		                    .acknowledgement = 1001,
		                    .window = 2000 };
}

static void expect(const struct dp_pkt *p, enum dp_verdict verdict)
{
	if (p->verdict != verdict)
		fail_msg("verdict %u instead of %u", p->verdict, verdict);
}

static uint8_t send_request(uint16_t port, uint8_t flags)
{
	struct nat_packet r = request(port, flags);

	return out(&r)->verdict;
}

/* Opens a session and returns its inner port. */
static uint16_t open_port(uint16_t port)
{
	struct nat_packet syn = request(port, SYN);
	struct dp_pkt *p = out(&syn);

	expect(p, DP_OK);
	return nat_get16(p->l3 + 20);
}

static uint16_t establish(uint16_t port)
{
	uint16_t inner = open_port(port);
	struct nat_packet answer = reply(inner, SYN | ACK), ack = request(port, ACK);

	expect(in(&answer), DP_OK);
	expect(out(&ack), DP_OK);
	assert_int_equal(x.batch.p[0].flow->state, DP_FLOW_ESTABLISHED);
	return inner;
}

/* Brings a session into a state and returns its inner port. */
static uint16_t reach(uint16_t port, enum dp_flow_state state)
{
	uint16_t inner = state == DP_FLOW_OPENING || state == DP_FLOW_ANSWERED ? open_port(port)
	                                                                       : establish(port);
	struct nat_packet answer = reply(inner, SYN | ACK), fin_in = reply(inner, FIN | ACK);
	struct nat_packet fin = request(port, FIN | ACK), ack = request(port, ACK),
			  rst = reply(inner, RST | ACK);

	switch (state) {
	case DP_FLOW_ANSWERED:
		expect(in(&answer), DP_OK);
		break;
	case DP_FLOW_CLOSING:
		expect(out(&fin), DP_OK);
		break;
	case DP_FLOW_TIME_WAIT:
		expect(out(&fin), DP_OK);
		fin_in.acknowledgement = 1002;
		expect(in(&fin_in), DP_OK);
		ack.sequence = 1002;
		ack.acknowledgement = 5002;
		expect(out(&ack), DP_OK);
		break;
	case DP_FLOW_CLOSED:
		expect(in(&rst), DP_OK);
		break;
	default:
		break;
	}
	assert_int_equal(x.batch.p[0].flow->state, state);
	return inner;
}

/* ---- translation ---- */

static void test_there_and_back(void **state)
{
	struct nat_packet syn = request(40000, SYN), answer, data = request(40000, ACK);
	struct dp_pkt *p = out(&syn);
	uint16_t inner_port;

	(void)state;
	expect(p, DP_OK);
	assert_int_equal(p->environment, PROD);
	assert_int_equal(p->tunnel, TUNNEL);
	assert_non_null(p->flow);
	assert_true(nat_is_right(p->l3, p->l3_length));
	assert_int_equal(nat_get32(p->l3 + 12), INNER);
	assert_int_equal(nat_get32(p->l3 + 16), TARGET);
	assert_int_equal(nat_get16(p->l3 + 22), 8080);
	assert_int_equal(p->l3[8], 63);
	inner_port = nat_get16(p->l3 + 20);
	assert_in_range(inner_port, 1024, 65535);

	answer = reply(inner_port, SYN | ACK);
	p = in(&answer);
	expect(p, DP_OK);
	assert_true(nat_is_right(p->l3, p->l3_length));
	assert_int_equal(nat_get32(p->l3 + 12), POD);
	assert_int_equal(nat_get32(p->l3 + 16), CLIENT);
	assert_int_equal(nat_get16(p->l3 + 20), 33000);
	assert_int_equal(nat_get16(p->l3 + 22), 40000);
	assert_int_equal(p->l3[8], 63);
	assert_int_equal(p->nexthop_be, rte_cpu_to_be_32(CLIENT));
	assert_int_equal(p->port, DP_PORT_CLUSTER);

	data.payload = 500;
	for (unsigned i = 0; i < 3; i++) {
		p = out(&data);
		expect(p, DP_OK);
		assert_true(nat_is_right(p->l3, p->l3_length));
		assert_int_equal(nat_get16(p->l3 + 20), inner_port);
		for (unsigned j = 0; j < 500; j++)
			assert_int_equal(p->l3[40 + j], (uint8_t)j);
	}
	assert_int_equal(p->flow->bytes, 40 + 3 * 540);
	assert_int_equal(dp_flow_other(p->flow)->bytes, 40);
	assert_int_equal(x.w.environments[PROD].packets_out, 4);
	assert_int_equal(x.w.environments[PROD].bytes_out, 40 + 3 * 540);
	assert_int_equal(x.w.environments[PROD].packets_in, 1);
	assert_int_equal(x.w.environments[PROD].bytes_in, 40);
	assert_int_equal(sessions_of(PROD), 1);
	assert_int_equal(x.w.environments[DEV].packets_out, 0);
	assert_int_equal(x.count.sessions_created, 1);
}

static void test_udp(void **state)
{
	struct nat_packet query = { .source = CLIENT,
		                    .destination = POD,
		                    .source_port = 777,
		                    .destination_port = 53,
		                    .protocol = UDP,
		                    .payload = 33 },
			  answer;
	struct dp_pkt *p = out(&query);

	(void)state;
	expect(p, DP_OK);
	assert_true(nat_is_right(p->l3, p->l3_length));
	assert_int_not_equal(nat_get16(p->l3 + 26), 0);
	assert_int_equal(nat_get32(p->l3 + 16), TARGET);
	assert_int_equal(p->flow->state, DP_FLOW_UDP);
	answer = (struct nat_packet){ .source = TARGET,
		                      .destination = INNER,
		                      .source_port = 53,
		                      .destination_port = nat_get16(p->l3 + 20),
		                      .protocol = UDP };
	p = in(&answer);
	expect(p, DP_OK);
	assert_true(nat_is_right(p->l3, p->l3_length));
	assert_int_equal(nat_get16(p->l3 + 22), 777);
	expect(out(&query), DP_OK);
	assert_int_equal(x.count.sessions_created, 1);
	query.payload = 0;
	expect(out(&query), DP_OK);
}

/* A burst of everything at once: new sessions, two packets of one new session, known ones, refused
 * ones. */
static void test_burst(void **state)
{
	struct nat_packet packet;

	(void)state;
	establish(40000);
	clear();
	for (unsigned i = 0; i < DP_BURST; i++) {
		switch (i % 4) {
		case 0:
			packet = request(40000, ACK);
			break;
		case 1:
			packet = request((uint16_t)(41000 + i), SYN);
			break;
		case 2: /* again */
			packet = request((uint16_t)(41000 + i - 1), SYN);
			break;
		default:
			packet = request((uint16_t)(42000 + i), ACK);
			break;
		}
		push(&packet);
	}
	x.batch.p[0].verdict = DP_TAKEN; /* not ours any more */
	dp_nat_forward_out(&x.w, &x.batch);
	expect(&x.batch.p[0], DP_TAKEN);
	assert_int_equal(nat_get32(x.batch.p[0].l3 + 16), POD);
	for (unsigned i = 1; i < DP_BURST; i++) {
		const struct dp_pkt *p = &x.batch.p[i];

		expect(p, i % 4 == 3 ? DP_NO_SESSION : DP_OK);
		assert_true(nat_is_right(p->l3, p->l3_length));
		assert_int_equal(nat_get32(p->l3 + 16), i % 4 == 3 ? POD : TARGET);
		if (i % 4 == 2)
			assert_ptr_equal(p->flow, p[-1].flow);
	}
	assert_int_equal(x.count.sessions_created, 1 + DP_BURST / 4);
}

/* ---- refusals ---- */

static void test_refused(void **state)
{
	static const struct {
		struct nat_packet packet;
		enum dp_verdict verdict;
	} cases[] = {
		{ { .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = SYN,
		    .ttl = 1 },
		  DP_TTL },
		{ { .destination = POD, .destination_port = 33009, .protocol = TCP, .flags = SYN },
		  DP_NO_FORWARD },
		{ { .destination = POD, .destination_port = 33000, .protocol = UDP },
		  DP_NO_FORWARD },
		{ { .destination = POD_B,
		    .destination_port = 33001,
		    .protocol = TCP,
		    .flags = SYN },
		  DP_NO_FORWARD },
		{ { .destination = POD, .destination_port = 33000, .protocol = TCP, .flags = ACK },
		  DP_NO_SESSION },
		{ { .destination = POD, .destination_port = 33000, .protocol = TCP, .flags = RST },
		  DP_NO_SESSION },
		{ { .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = FIN | ACK },
		  DP_NO_SESSION },
		{ { .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = SYN | ACK },
		  DP_NO_SESSION },
		{ { .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = SYN | FIN },
		  DP_NO_SESSION },
		{ { .destination = POD, .destination_port = 33000, .protocol = TCP },
		  DP_NO_SESSION },
		{ { .source = 0x0a000201,
		    .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = SYN },
		  DP_SOURCE_REFUSED },
		{ { .source = 0x0a000201,
		    .destination = POD,
		    .destination_port = 53,
		    .protocol = UDP },
		  DP_SOURCE_REFUSED },
		{ { .source = 0xac1fffff,
		    .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = SYN },
		  DP_OK },
		{ { .source = 0xac200000,
		    .destination = POD,
		    .destination_port = 33000,
		    .protocol = TCP,
		    .flags = SYN },
		  DP_SOURCE_REFUSED },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct nat_packet packet = cases[i].packet;
		uint8_t before[64];
		struct dp_pkt *p;

		packet.source = packet.source ? packet.source : CLIENT;
		nat_build(before, &packet);
		p = out(&packet);
		if (p->verdict != cases[i].verdict)
			fail_msg("case %u: verdict %u", i, p->verdict);
		if (p->verdict != DP_OK) /* the answer is made from it */
			assert_memory_equal(p->l3, before, p->l3_length);
	}
	assert_int_equal(x.count.sessions_created, 1);
}

static void test_broken_tcp_header(void **state)
{
	static const uint8_t offsets[] = { 0, 4, 6, 15 };

	(void)state;
	establish(40000);
	for (unsigned i = 0; i < sizeof(offsets); i++) {
		for (unsigned is_known = 0; is_known < 2; is_known++) {
			struct nat_packet packet =
				request(is_known ? 40000 : 50000, is_known ? ACK : SYN);

			clear();
			push(&packet)->l3[32] = (uint8_t)(offsets[i] << 4);
			dp_nat_forward_out(&x.w, &x.batch);
			expect(&x.batch.p[0], is_known ? DP_TCP_STATE : DP_L4_HEADER);
		}
	}
}

static void test_options(void **state)
{
	struct nat_packet syn = request(1, SYN);

	(void)state;
	push(&syn)->l3_header = 24;
	dp_nat_forward_out(&x.w, &x.batch);
	expect(&x.batch.p[0], DP_IP_OPTIONS);
	dp_nat_forward_in(&x.w, &x.batch); /* a verdict stays */
	expect(&x.batch.p[0], DP_IP_OPTIONS);
	clear();
	push(&syn)->l3_header = 24;
	dp_nat_forward_in(&x.w, &x.batch);
	expect(&x.batch.p[0], DP_IP_OPTIONS);
}

static void test_tunnels(void **state)
{
	struct nat_packet preferring = request(1, SYN);
	struct dp_pkt *p;

	(void)state;
	preferring.destination_port = 33001;
	p = out(&preferring);
	expect(p, DP_OK);
	assert_int_equal(p->tunnel, TUNNEL_2);
	assert_int_equal(nat_get32(p->l3 + 12), INNER_2);
	set_tunnel(TUNNEL_2, PROD, 0);
	preferring.source_port = 2;
	p = out(&preferring); /* the active one instead */
	expect(p, DP_OK);
	assert_int_equal(p->tunnel, TUNNEL);
	x.w.environments[PROD].active = DP_NONE_SLOT;
	assert_int_equal(send_request(3, SYN), DP_NO_TUNNEL);
	x.w.environments[PROD].active = TUNNEL;
	x.w.tunnels[TUNNEL].is_up = x.w.tunnels[TUNNEL].is_usable = 0;
	assert_int_equal(send_request(3, SYN), DP_NO_TUNNEL);
	set_tunnel(TUNNEL, PROD, 0);
	x.w.tunnels[TUNNEL].is_up = 1; /* up, without an address */
	assert_int_equal(send_request(3, SYN), DP_NO_TUNNEL);
	set_tunnel(TUNNEL, PROD, INNER);
	assert_int_equal(send_request(3, SYN), DP_OK);
}

/* A session whose tunnel went down or has another inner address carries nothing; a new connection
 * takes its place. */
static void test_tunnel_lost(void **state)
{
	struct nat_packet syn = request(40000, SYN);
	uint16_t inner;

	(void)state;
	establish(40000);
	x.w.tunnels[TUNNEL].is_up = x.w.tunnels[TUNNEL].is_usable = 0;
	assert_int_equal(send_request(40000, ACK), DP_NO_TUNNEL);
	x.w.tunnels[TUNNEL].is_up = x.w.tunnels[TUNNEL].is_usable = 1;
	assert_int_equal(send_request(40000, ACK), DP_OK);
	set_tunnel(TUNNEL, PROD, INNER + 1);
	assert_int_equal(send_request(40000, ACK), DP_NO_TUNNEL);
	assert_int_equal(x.count.sessions_ended, 0);
	expect(out(&syn), DP_OK);
	assert_int_equal(nat_get32(x.batch.p[0].l3 + 12), INNER + 1);
	assert_int_equal(x.count.sessions_ended, 1);
	assert_int_equal(x.w.flows->count, 1);
	inner = nat_get16(x.batch.p[0].l3 + 20);
	assert_int_equal(x.batch.p[0].flow->state, DP_FLOW_OPENING);
	assert_int_equal(
		rte_be_to_cpu_16(dp_flow_other(x.batch.p[0].flow)->key.destination_port_be), inner);
}

static void test_quota(void **state)
{
	struct nat_packet other = request(1, SYN);

	(void)state;
	x.environment[0].session_quota = 5;
	dp_shares_configure(&x.w);
	for (uint16_t i = 0; i < 5; i++)
		open_port((uint16_t)(100 + i));
	assert_int_equal(send_request(200, SYN), DP_SESSION_QUOTA);
	assert_int_equal(send_request(100, SYN), DP_OK); /* a session it has */
	other.destination = POD_B;
	expect(out(&other), DP_OK); /* another environment's quota */
	x.w.now_s += 240;
	assert_int_equal(send_request(100, SYN), DP_OK);
	dp_nat_expire(&x.w, 100);
	assert_int_equal(send_request(200, SYN), DP_OK);
}

static void test_table_full(void **state)
{
	struct nat_packet other = request(1, SYN);
	unsigned blocks;

	(void)state;
	x.environment[0].session_quota = SESSIONS + 1;
	dp_shares_configure(&x.w);
	for (uint16_t i = 0; i < SESSIONS - KEPT; i++)
		assert_int_equal(send_request((uint16_t)(1000 + i), SYN), DP_OK);
	blocks = dp_portpool_blocks(x.w.portpool);
	for (uint16_t i = 0; i < 100; i++)
		assert_int_equal(send_request((uint16_t)(10000 + i), SYN), DP_SESSION_TABLE_FULL);
	assert_int_equal(dp_portpool_blocks(x.w.portpool), blocks); /* the port went back */
	assert_int_equal(send_request(1000, SYN), DP_OK);
	/* the other one's part was kept for it, and is its alone */
	other.destination = POD_B;
	for (uint16_t i = 0; i < KEPT; i++) {
		other.source_port = (uint16_t)(1000 + i);
		expect(out(&other), DP_OK);
	}
	other.source_port = 50000;
	expect(out(&other), DP_SESSION_TABLE_FULL);
	assert_int_equal(send_request(10000, SYN), DP_SESSION_TABLE_FULL);
	assert_int_equal(x.w.flows->count, SESSIONS);
	assert_int_equal(dp_share_in(x.w.shares, PROD)->refused_sessions, 0); /* batch.c counts */
}

/* Quotas that fit the table together: each finds a place up to its own, whatever the order. */
static void test_quotas_that_fit(void **state)
{
	struct nat_packet other = request(1, SYN);

	(void)state;
	x.environment[0].session_quota = SESSIONS - 10;
	x.environment[1].session_quota = 10;
	dp_shares_configure(&x.w);
	for (uint16_t i = 0; i < SESSIONS - 10; i++)
		assert_int_equal(send_request((uint16_t)(1000 + i), SYN), DP_OK);
	assert_int_equal(send_request(50000, SYN), DP_SESSION_QUOTA);
	other.destination = POD_B;
	for (uint16_t i = 0; i < 10; i++) {
		other.source_port = (uint16_t)(1000 + i);
		expect(out(&other), DP_OK);
	}
	other.source_port = 50000;
	expect(out(&other), DP_SESSION_QUOTA);
	/* a change while sessions are there: what they have stays, what is kept is counted anew */
	x.environment[0].session_quota = 5;
	dp_shares_configure(&x.w);
	assert_int_equal(send_request(1000, SYN), DP_OK);
	assert_int_equal(send_request(50000, SYN), DP_SESSION_QUOTA);
	assert_int_equal(x.w.reserved, 0);
	x.generation.by_slot[PROD] = NULL;
	for (int more = dp_nat_sweep(&x.w); more;)
		more = dp_nat_sweep_on(&x.w);
	x.generation.by_slot[PROD] = &x.environment[0];
	assert_int_equal(x.w.reserved, 5);
	open_port(50000);
	assert_int_equal(x.w.reserved, 4);
}

/* Its own part of the ports towards one target, nobody else's. */
static void test_port_quota(void **state)
{
	enum { QUOTA = 300 };
	struct nat_packet other = request(1, SYN);
	unsigned lowest = 65536, highest = 0;

	(void)state;
	x.environment[0].port_quota = QUOTA;
	x.environment[0].session_quota = SESSIONS;
	dp_shares_configure(&x.w);
	for (unsigned port = 1024; port < 65536; port++) {
		if (port % 256 >= 4) /* four of each block are left */
			dp_portpool_reserve(x.w.portpool, (uint16_t)port);
	}
	for (uint16_t i = 0; i < 8; i++) { /* two blocks */
		unsigned port = open_port((uint16_t)(100 + i));

		lowest = RTE_MIN(lowest, port);
		highest = RTE_MAX(highest, port);
	}
	assert_true(highest - lowest < 512);
	assert_int_equal(send_request(200, SYN), DP_PORT_QUOTA);
	other.destination_port = 33001; /* another target */
	other.source_port = 200;
	expect(out(&other), DP_OK);
	other = request(1, SYN);
	other.destination = POD_B;
	for (uint16_t i = 0; i < 100; i++) {
		other.source_port = (uint16_t)(100 + i);
		expect(out(&other), DP_OK);
	}
	assert_int_equal(send_request(200, SYN), DP_PORT_QUOTA);
	x.environment[0].port_quota = 0;
	dp_shares_configure(&x.w);
	assert_int_equal(send_request(200, SYN), DP_OK);
}

static void test_ports_exhausted(void **state)
{
	(void)state;
	for (unsigned port = 1024; port < 65536; port++) {
		if (port != 20000)
			dp_portpool_reserve(x.w.portpool, (uint16_t)port);
	}
	assert_int_equal(open_port(1), 20000);
	assert_int_equal(send_request(2, SYN), DP_PORTS_EXHAUSTED);
	assert_int_equal(x.w.flows->count, 1);
	x.w.now_s += 240;
	assert_int_equal(dp_nat_expire(&x.w, 10), 1);
	assert_int_equal(open_port(2), 20000);
}

/* What does not fit the tunnel goes back as it came, and changes nothing. */
static void test_too_big(void **state)
{
	struct nat_packet data = request(40000, ACK), query = { .source = CLIENT,
		                                                .destination = POD,
		                                                .source_port = 777,
		                                                .destination_port = 53,
		                                                .protocol = UDP,
		                                                .payload = MSS + 40 - 28 };
	uint8_t before[2048];
	struct dp_pkt *p;

	(void)state;
	establish(40000);
	for (unsigned excess = 0; excess < 2; excess++) {
		data.payload = (uint16_t)(MSS + excess);
		nat_build(before, &data);
		p = out(&data);
		expect(p, excess ? DP_TOO_BIG : DP_OK);
	}
	assert_int_equal(p->limit, MSS + 40);
	assert_null(p->flow);
	assert_memory_equal(p->l3, before, p->l3_length);
	assert_int_equal(x.w.environments[PROD].packets_out, 3);
	query.payload++;
	p = out(&query);
	expect(p, DP_TOO_BIG);
	assert_int_equal(p->limit, MSS + 40);
	assert_int_equal(x.w.flows->count, 1);
	query.payload--;
	expect(out(&query), DP_OK);
}

/* ---- replies ---- */

static void test_inward_refused(void **state)
{
	uint16_t inner = establish(40000);
	struct nat_packet good = reply(inner, ACK), packet;

	(void)state;
	expect(in(&good), DP_OK);
	expect(in_from(&good, PROD, TUNNEL_2), DP_INNER_OTHER_TUNNEL);
	expect(in_from(&good, DEV, TUNNEL_DEV), DP_INNER_NO_SESSION);
	expect(in_from(&good, DEV, TUNNEL), DP_INNER_NO_SESSION);
	packet = good;
	packet.destination_port++;
	expect(in(&packet), DP_INNER_NO_SESSION);
	packet = good;
	packet.source_port++;
	expect(in(&packet), DP_INNER_NO_SESSION);
	packet = good;
	packet.source++;
	expect(in(&packet), DP_INNER_NO_SESSION);
	packet = good;
	packet.destination = INNER_2;
	expect(in(&packet), DP_INNER_NO_SESSION);
	packet = good;
	packet.protocol = UDP;
	expect(in(&packet), DP_INNER_NO_SESSION);
	packet = good;
	packet.ttl = 1;
	expect(in(&packet), DP_TTL);
	packet = good;
	packet.flags = RST;
	packet.sequence = 900000;
	expect(in(&packet), DP_TCP_STATE);
	packet = reply(inner, SYN);
	expect(in(&packet), DP_TCP_STATE);
	packet = request(40000, ACK); /* the outward key, from the tunnel */
	expect(in(&packet), DP_INNER_NO_SESSION);
	clear();
	push(&good)->protocol = 1;
	x.batch.p[0].environment = PROD;
	dp_nat_forward_in(&x.w, &x.batch);
	expect(&x.batch.p[0], DP_INNER_NO_SESSION);
	assert_int_equal(x.w.environments[PROD].packets_in, 2);
	assert_int_equal(x.w.environments[DEV].packets_in, 0);
}

/* Same client, ports, target and inner address in two environments: two sessions that never meet.
 */
static void test_environments(void **state)
{
	struct nat_packet a = request(40000, SYN), b = request(40000, SYN), answer;
	uint16_t port_a, port_b;

	(void)state;
	for (unsigned port = 1024; port < 65536; port++) {
		if (port != 20000) /* so that both get the same */
			dp_portpool_reserve(x.w.portpool, (uint16_t)port);
	}
	b.destination = POD_B;
	expect(out(&a), DP_OK);
	port_a = nat_get16(x.batch.p[0].l3 + 20);
	expect(out(&b), DP_OK);
	assert_int_equal(x.batch.p[0].environment, DEV);
	assert_int_equal(x.batch.p[0].tunnel, TUNNEL_DEV);
	port_b = nat_get16(x.batch.p[0].l3 + 20);
	assert_int_equal(port_a, port_b);
	answer = reply(port_a, SYN | ACK);
	expect(in_from(&answer, PROD, TUNNEL), DP_OK);
	assert_int_equal(nat_get32(x.batch.p[0].l3 + 12), POD);
	expect(in_from(&answer, DEV, TUNNEL_DEV), DP_OK);
	assert_int_equal(nat_get32(x.batch.p[0].l3 + 12), POD_B);
}

/* ---- maximum segment size ---- */

static void test_mss(void **state)
{
	static const uint8_t options[] = { 1, 2, 4, 0x23, 0x28, 3, 3, 7 },
			     broken[] = { 8, 0, 2, 4, 0x23, 0x28, 0, 0 };
	struct nat_packet syn = request(1, SYN), answer;
	struct dp_pkt *p;

	(void)state;
	syn.options = options;
	syn.option_length = 8;
	for (unsigned i = 0; i < 2; i++) { /* the SYN and its retransmission */
		p = out(&syn);
		expect(p, DP_OK);
		assert_true(nat_is_right(p->l3, p->l3_length));
		assert_int_equal(nat_get16(p->l3 + 43), MSS);
	}
	answer = reply(nat_get16(p->l3 + 20), SYN | ACK);
	answer.options = options;
	answer.option_length = 8;
	p = in(&answer);
	expect(p, DP_OK);
	assert_true(nat_is_right(p->l3, p->l3_length));
	assert_int_equal(nat_get16(p->l3 + 43), MSS);
	assert_int_equal(dp_flow_other(p->flow)->scale, 7);
	syn = request(2, SYN);
	syn.options = broken;
	syn.option_length = 8;
	p = out(&syn);
	expect(p, DP_OK);
	assert_true(nat_is_right(p->l3, p->l3_length));
	assert_int_equal(nat_get16(p->l3 + 44), 9000);
	syn = request(3, SYN);
	expect(out(&syn), DP_OK);
}

/* Random bytes behind an IPv4 header, to sessions there are: never a write outside, never a wrong
 * checksum. */
static void test_random_segments(void **state)
{
	uint64_t seed = 11;
	uint16_t inner = establish(40000);

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		struct nat_packet o = request((uint16_t)(40000 + (i >> 12)), ACK),
				  r = reply(inner, ACK);
		bool is_out = i & 1;
		struct dp_pkt *p;

		clear();
		o.payload = r.payload = (uint16_t)(dp_random(&seed) % 50);
		p = push(is_out ? &o : &r);
		p->environment = PROD;
		p->tunnel = TUNNEL;
		for (unsigned j = 24; j < p->l3_length; j++)
			p->l3[j] = (uint8_t)dp_random(&seed);
		if (dp_random(&seed) & 1)
			p->l3[33] = SYN;
		nat_fill_checksums(p->l3, p->l3_length);
		if (is_out)
			dp_nat_forward_out(&x.w, &x.batch);
		else
			dp_nat_forward_in(&x.w, &x.batch);
		assert_true(nat_is_right(p->l3, p->l3_length));
	}
}

/* ---- time ---- */

static void test_expiry(void **state)
{
	static const struct {
		enum dp_flow_state state;
		unsigned seconds;
	} cases[] = {
		{ DP_FLOW_OPENING, 240 }, { DP_FLOW_ANSWERED, 240 },  { DP_FLOW_ESTABLISHED, 7440 },
		{ DP_FLOW_CLOSING, 240 }, { DP_FLOW_TIME_WAIT, 120 }, { DP_FLOW_CLOSED, 10 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t start;

		dp_nat_expire(&x.w, 10);
		reach((uint16_t)(100 + i), cases[i].state);
		start = x.w.now_s;
		while (x.w.now_s < start + cases[i].seconds - 1) {
			x.w.now_s++;
			if (dp_nat_expire(&x.w, 10) != 0)
				fail_msg("state %u: ended after %u s", cases[i].state,
				         x.w.now_s - start);
		}
		x.w.now_s++;
		assert_int_equal(dp_nat_expire(&x.w, 10), 1);
		assert_int_equal(x.w.flows->count, 0);
		assert_int_equal(dp_portpool_blocks(x.w.portpool), 0);
	}
}

/* Packets in either direction keep a session, and the wheel does not mind the clock's jumps. */
static void test_refresh(void **state)
{
	uint16_t inner = establish(40000);
	struct nat_packet data = request(40000, ACK), answer = reply(inner, ACK);
	struct nat_packet query = { .source = CLIENT,
		                    .destination = POD,
		                    .source_port = 777,
		                    .destination_port = 53,
		                    .protocol = UDP,
		                    .payload = 33 };

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		x.w.now_s += 7439;
		assert_int_equal(dp_nat_expire(&x.w, 10), 0);
		expect(i % 2 ? out(&data) : in(&answer), DP_OK);
	}
	expect(out(&query), DP_OK);
	x.w.now_s += 299;
	expect(out(&query), DP_OK);
	x.w.now_s += 299;
	assert_int_equal(dp_nat_expire(&x.w, 10), 0);
	x.w.now_s += 1;
	assert_int_equal(dp_nat_expire(&x.w, 10), 1);
	x.w.now_s += 100000;
	assert_int_equal(dp_nat_expire(&x.w, 10), 1);
}

static void test_expiry_budget(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 100; i++)
		open_port((uint16_t)(1000 + i));
	x.w.now_s += 1000;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(dp_nat_expire(&x.w, 10), 10);
	assert_int_equal(dp_nat_expire(&x.w, 10), 0);
}

static void test_reopen(void **state)
{
	struct nat_packet syn = request(40000, SYN);
	uint16_t inner;

	(void)state;
	reach(40000, DP_FLOW_TIME_WAIT);
	assert_int_equal(send_request(40000, SYN), DP_TCP_STATE); /* number 1000 again */
	syn.sequence = 70000;
	expect(out(&syn), DP_OK);
	assert_int_equal(x.batch.p[0].flow->state, DP_FLOW_OPENING);
	assert_int_equal(x.w.flows->count, 1);
	assert_int_equal(x.count.sessions_created, 2);
	inner = nat_get16(x.batch.p[0].l3 + 20);
	assert_true(nat_is_right(x.batch.p[0].l3, 40));
	assert_int_equal(rte_be_to_cpu_16(x.batch.p[0].flow->source_port_be), inner);
	reach(50000, DP_FLOW_CLOSED);
	assert_int_equal(send_request(50000, SYN), DP_OK);
	assert_int_equal(x.w.flows->count, 2);
}

/* Connections that are over are told apart from open ones for as long as they are remembered. */
static void test_closed(void **state)
{
	const struct dp_share *share = dp_share_in(x.w.shares, PROD);
	struct nat_packet syn = request(50, SYN);
	uint16_t port = 50;

	(void)state;
	for (enum dp_flow_state s = DP_FLOW_OPENING; s <= DP_FLOW_CLOSED; s++)
		reach(port++, s);
	assert_int_equal(share->sessions, 6);
	assert_int_equal(share->closed, 2); /* TIME_WAIT and CLOSED */
	syn.source_port = (uint16_t)(port - 1);
	expect(out(&syn), DP_OK); /* that one begins anew */
	assert_int_equal(share->sessions, 6);
	assert_int_equal(share->closed, 1);
	x.w.now_s += DP_TIMEOUT_TIME_WAIT_S;
	assert_int_equal(dp_nat_expire(&x.w, 100), 1);
	assert_int_equal(share->sessions, 5);
	assert_int_equal(share->closed, 0);
	reach(port, DP_FLOW_TIME_WAIT); /* the sweep of the end finds it */
}

/* ---- configuration ---- */

static void test_forward_purge(void **state)
{
	struct nat_packet other = request(1, SYN), query = { .source = CLIENT,
		                                             .destination = POD,
		                                             .source_port = 777,
		                                             .destination_port = 53,
		                                             .protocol = UDP };
	uint16_t inner = establish(40000);
	struct nat_packet answer = reply(inner, ACK), last = request(40000, ACK);
	const uint8_t *rst;

	(void)state;
	other.destination_port = 33001;
	expect(out(&other), DP_OK);
	expect(out(&query), DP_OK);
	dp_nat_sweep(&x.w);
	assert_int_equal(x.w.flows->count, 3); /* nothing changed, nothing ends */
	add_forward(POD, TCP, 33000, TARGET + 1, 8080, PROD, DP_NONE_SLOT);
	dp_nat_doubt(&x.w);                                        /* with a new generation */
	assert_int_equal(send_request(40000, ACK), DP_NO_SESSION); /* at once */
	expect(out(&query), DP_OK);                                /* its forward is the same */
	dp_nat_sweep(&x.w);
	assert_int_equal(x.w.answers->n, 1); /* its client is told, at the number that it expects */
	rst = x.w.answers->p[0].l3;
	assert_int_equal(nat_get32(rst + 12), POD);
	assert_int_equal(nat_get32(rst + 16), CLIENT);
	assert_int_equal(nat_get16(rst + 20), 33000);
	assert_int_equal(nat_get16(rst + 22), 40000);
	assert_int_equal(nat_get32(rst + 24), last.acknowledgement);
	assert_int_equal(rst[33], DP_TCP_RST);
	assert_true(nat_is_right(rst, 40));
	expect(in(&answer), DP_INNER_NO_SESSION);
	assert_int_equal(x.w.flows->count, 2);
	assert_int_equal(send_request(40000, SYN), DP_OK);
	assert_int_equal(nat_get32(x.batch.p[0].l3 + 16), TARGET + 1);
	memset(x.forwards, 0, sizeof(x.forwards));
	add_forward(POD, UDP, 53, TARGET, 53, PROD, DP_NONE_SLOT);
	dp_nat_sweep(&x.w);
	assert_int_equal(x.w.flows->count, 1);
	expect(out(&query), DP_OK);
	x.environment[0].source_count = 1; /* its source is no longer allowed */
	dp_nat_sweep(&x.w);
	assert_int_equal(x.w.flows->count, 0);
}

/* A changed target: the SYN of a new connection with the old one's ports gets the new target. */
static void test_forward_changed(void **state)
{
	(void)state;
	establish(40000);
	add_forward(POD, TCP, 33000, TARGET, 8081, PROD, DP_NONE_SLOT);
	assert_int_equal(send_request(40000, SYN), DP_OK);
	assert_int_equal(nat_get16(x.batch.p[0].l3 + 22), 8081);
	assert_int_equal(x.w.flows->count, 1);
}

/* More sessions than one call looks at: the wheel's calls finish the work. */
static void test_purge_goes_on(void **state)
{
	enum { COUNT = 10000 };
	unsigned calls = 0;

	(void)state;
	dp_portpool_destroy(x.w.portpool);
	dp_flow_table_destroy(x.w.flows);
	assert_int_equal(dp_flow_table_create(&x.w.flows, 2 * COUNT, 1, -1), 0);
	assert_int_equal(dp_portpool_create(&x.w.portpool, x.w.flows, 2, -1), 0);
	x.environment[0].session_quota = COUNT;
	dp_shares_configure(&x.w);
	for (unsigned i = 0; i < COUNT; i++)
		open_port((uint16_t)(1000 + i));
	memset(x.forwards, 0, sizeof(x.forwards));
	assert_int_equal(dp_nat_sweep(&x.w), 1);
	/* no more than can be told at a time; nobody sends it, so they all wait */
	assert_int_equal(x.w.answers->n, DP_BURST - 1);
	assert_int_equal(x.w.flows->count, COUNT - (DP_BURST - 1));
	assert_int_equal(dp_nat_expire(&x.w, 100), 0);
	for (; x.w.flows->count && calls < COUNT / 10; calls++) {
		nat_answers(&x.w);
		assert_in_range(dp_nat_expire(&x.w, 100), 1, 15); /* ending takes time, too */
		assert_true(x.w.answers->n > 0);
	}
	assert_int_equal(x.w.flows->count, 0);
}

static void test_environment_gone(void **state)
{
	struct nat_packet other = request(1, SYN);

	(void)state;
	for (uint16_t i = 0; i < 50; i++) {
		open_port((uint16_t)(100 + i));
		other.destination = POD_B;
		other.source_port = (uint16_t)(100 + i);
		expect(out(&other), DP_OK);
	}
	x.generation.by_slot[PROD] = NULL;
	assert_int_equal(dp_nat_sweep(&x.w), 1);
	assert_int_equal(dp_nat_sweep_on(&x.w), 0); /* the others without a word */
	assert_int_equal(sessions_of(PROD), 0);
	assert_int_equal(sessions_of(DEV), 50);
	expect(out(&other), DP_OK);
	assert_int_equal(x.count.sessions_created, 100);
}

static void test_tunnel_gone(void **state)
{
	struct nat_packet other = request(1, SYN);

	(void)state;
	for (uint16_t i = 0; i < 50; i++) {
		open_port((uint16_t)(100 + i));
		other.destination_port = 33001;
		other.source_port = (uint16_t)(100 + i);
		expect(out(&other), DP_OK);
	}
	x.w.tunnels[TUNNEL] = (struct dp_tunnel){ .environment = DP_NONE_SLOT };
	expect(out(&other), DP_OK);
	assert_int_equal(send_request(100, ACK), DP_NO_TUNNEL); /* before anything is ended */
	for (int more = dp_nat_sweep(&x.w); more;)
		more = dp_nat_sweep_on(&x.w);
	assert_int_equal(sessions_of(PROD), 50);
	expect(out(&other), DP_OK);
	assert_int_equal(x.count.sessions_created, 100);
	assert_int_equal(send_request(100, ACK), DP_NO_SESSION);
}

static void test_list(void **state)
{
	struct nat_packet other = request(9, SYN);
	struct ipc_session s[7];
	struct dp_nat_slots slots[7];
	uint64_t cursor = 0;
	unsigned seen = 0, n;
	uint16_t inner = establish(40000);

	(void)state;
	x.w.now_s += 30;
	assert_int_equal(send_request(40000, ACK), DP_OK);
	x.w.now_s += 3;
	n = dp_nat_list(&x.w, 0, DP_NONE_SLOT, s, slots, 7, &cursor);
	assert_int_equal(n, 1);
	assert_int_equal(cursor, 0);
	assert_int_equal(s[0].client_be, rte_cpu_to_be_32(CLIENT));
	assert_int_equal(s[0].inner_be, rte_cpu_to_be_32(INNER));
	assert_int_equal(s[0].target_be, rte_cpu_to_be_32(TARGET));
	assert_int_equal(s[0].client_port_be, rte_cpu_to_be_16(40000));
	assert_int_equal(s[0].forward_port_be, rte_cpu_to_be_16(33000));
	assert_int_equal(s[0].inner_port_be, rte_cpu_to_be_16(inner));
	assert_int_equal(s[0].target_port_be, rte_cpu_to_be_16(8080));
	assert_int_equal(s[0].protocol, TCP);
	assert_int_equal(s[0].state, IPC_SESSION_ESTABLISHED);
	assert_int_equal(s[0].age_s, 33);
	assert_int_equal(s[0].idle_s, 3);
	assert_int_equal(s[0].bytes_out, 120);
	assert_int_equal(s[0].bytes_in, 40);
	assert_int_equal(slots[0].environment, PROD);
	assert_int_equal(slots[0].tunnel, TUNNEL);

	other.destination = POD_B;
	expect(out(&other), DP_OK);
	for (uint16_t i = 0; i < 20; i++)
		open_port((uint16_t)(100 + i));
	do {
		seen += dp_nat_list(&x.w, cursor, PROD, s, slots, 7, &cursor);
	} while (cursor);
	assert_int_equal(seen, 21);
	assert_int_equal(dp_nat_list(&x.w, 0, DEV, s, slots, 7, &cursor), 1);
	assert_int_equal(slots[0].tunnel, TUNNEL_DEV);
	assert_int_equal(s[0].state, IPC_SESSION_OPENING);
}

static void test_no_configuration(void **state)
{
	(void)state;
	x.w.generation = NULL;
	assert_int_equal(send_request(1, SYN), DP_NO_CONFIGURATION);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_there_and_back),
		T(test_udp),
		T(test_burst),
		T(test_refused),
		T(test_broken_tcp_header),
		T(test_options),
		T(test_tunnels),
		T(test_tunnel_lost),
		T(test_quota),
		T(test_table_full),
		T(test_quotas_that_fit),
		T(test_port_quota),
		T(test_ports_exhausted),
		T(test_too_big),
		T(test_inward_refused),
		T(test_environments),
		T(test_mss),
		T(test_random_segments),
		T(test_expiry),
		T(test_refresh),
		T(test_expiry_budget),
		T(test_reopen),
		T(test_closed),
		T(test_forward_purge),
		T(test_forward_changed),
		T(test_purge_goes_on),
		T(test_environment_gone),
		T(test_tunnel_gone),
		T(test_list),
		T(test_no_configuration),
	};

	return cmocka_run_group_tests(tests, nat_eal, NULL);
}
