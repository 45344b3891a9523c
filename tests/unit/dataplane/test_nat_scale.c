/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One inner address at its limits: 200,000 live sessions to four endpoints, each of which gets its
 * own answers; then an endpoint whose ports run out, what refusing costs, and whose ports are taken
 * back.
 *
 * The stages are those of the dataplane; the four servers and all clients are played here. Cost is
 * counted in hashes, one for each look into the session table or the port pool: that is why the
 * sources are included here.
 */
#include <stdlib.h>
#include <rte_malloc.h>

#include "dataplane/keyed_hash.h"

static uint64_t hashes;

static inline uint64_t counted_hash16(const struct dp_hash_seed *seed, uint64_t a, uint64_t b)
{
	hashes++;
	return dp_hash16(seed, a, b);
}

#define dp_hash16 counted_hash16
#include "dataplane/nat_flow.c"
#include "dataplane/portpool.c"
#undef FIRST_PORT
#undef NONE
#include "dataplane/nat_reclaim.c"
#include "dataplane/nat_session.c"
#include "dataplane/nat_forward.c"
#include "dataplane/share.h"

#include "tests/unit/dataplane/nat_packet.h"

#define CLIENTS 0x0a010000u /* 10.1.0.0/16 */
#define POD 0x0a000021u
#define TARGET 0xc0a86400u /* 192.168.100.0 to .3 */
#define INNER 0x0a030005u
#define SLOT 3
#define TUNNEL 7
#define ENDPOINTS 4u
#define LIVE 200000u
#define CAPACITY 250000u
#define ALL_PORTS (65536u - 1024u)
#define RESERVED_FIRST 20000u
#define RESERVED 100u
#define USABLE (ALL_PORTS - RESERVED - 1u) /* and 4500 */
#define PAYLOAD 24u
#define SERVER_ISN 5000u
#define SECOND 1000000000ull

/* A connection by its number; which client and which endpoint follow from it. */
struct segment {
	uint32_t connection;
	uint8_t flags;
	uint32_t sequence, acknowledgement; /* behind the initial numbers */
	bool has_payload;
};

static struct {
	struct dp_worker w;
	struct dp_counters count;
	struct dp_generation generation;
	struct dp_environment environment;
	struct dp_forward forwards[16];
	struct dp_tunnel tunnels[TUNNEL + 1];
	struct dp_environment_state environments[SLOT + 1];
	struct dp_port ports[DP_PORT_COUNT];
	struct dp_batch batch;
	uint8_t packet[DP_BURST][128];
	/* the servers: which connection has which port */
	uint32_t connection_at[ENDPOINTS][65536]; /* + 1; 0: none */
	uint16_t *port_of;                        /* [CAPACITY] */
	uint32_t client_isn;
} x;

static uint32_t client_of(uint32_t connection)
{
	return CLIENTS + connection / 1000;
}

static uint16_t client_port_of(uint32_t connection)
{
	return (uint16_t)(10000 + connection % 1000);
}

static uint32_t endpoint_number(uint32_t connection)
{
	return connection % ENDPOINTS;
}

static void fill(uint8_t *payload, uint32_t connection, uint32_t direction)
{
	uint64_t state = (uint64_t)connection << 8 | direction;

	for (unsigned i = 0; i < PAYLOAD; i++)
		payload[i] = (uint8_t)(dp_random(&state) >> 40);
}

static int set_up(void **state)
{
	(void)state;
	memset(&x, 0, sizeof(x));
	x.w.count = &x.count;
	x.w.now_s = 5000;
	x.w.now_ns = 5000 * SECOND;
	x.w.generation = &x.generation;
	x.w.tunnels = x.tunnels;
	x.w.ports = x.ports;
	x.ports[DP_PORT_CLUSTER].mtu = 1500;
	x.w.environments = x.environments;
	x.tunnels[TUNNEL] = (struct dp_tunnel){ .inner_be = rte_cpu_to_be_32(INNER),
		                                .environment = SLOT,
		                                .inner_mtu = 1400,
		                                .mss = 1360,
		                                .is_up = 1,
		                                .is_usable = 1 };
	x.environments[SLOT].active = TUNNEL;
	x.environment = (struct dp_environment){ .session_quota = UINT32_MAX,
		                                 .slot = SLOT,
		                                 .source_count = 1 };
	x.environment.sources[0] =
		(struct ipc_prefix){ .address_be = rte_cpu_to_be_32(CLIENTS), .length = 16 };
	x.generation.by_slot[SLOT] = &x.environment;
	x.generation.forwards = x.forwards;
	x.generation.forward_mask = 15;
	for (uint32_t e = 0; e < ENDPOINTS; e++) {
		uint64_t key = dp_forward_key(rte_cpu_to_be_32(POD), TCP,
		                              rte_cpu_to_be_16((uint16_t)(33000 + e)));
		uint32_t i = dp_crc8(key) & 15;

		while (x.forwards[i].key)
			i = (i + 1) & 15;
		x.forwards[i] = (struct dp_forward){ .key = key,
			                             .to_address_be = rte_cpu_to_be_32(TARGET + e),
			                             .to_port_be = rte_cpu_to_be_16(8080),
			                             .environment = SLOT,
			                             .tunnel = DP_NONE_SLOT };
	}
	nat_answers(&x.w);
	x.client_isn = 1000;
	x.port_of = calloc(CAPACITY + 70000, sizeof(*x.port_of));
	assert_non_null(x.port_of);
	assert_int_equal(dp_flow_table_create(&x.w.flows, CAPACITY, 1, -1), 0);
	assert_int_equal(dp_portpool_create(&x.w.portpool, x.w.flows, 2, -1), 0);
	assert_int_equal(dp_shares_create(&x.w.shares, -1), 0);
	dp_shares_configure(&x.w);
	for (unsigned i = 0; i < RESERVED; i++)
		dp_portpool_reserve(x.w.portpool, (uint16_t)(RESERVED_FIRST + i));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(x.count.sessions_now, x.w.flows->count);
	x.generation.by_slot[SLOT] = NULL;
	for (int more = dp_nat_sweep(&x.w); more;)
		more = dp_nat_sweep_on(&x.w);
	assert_int_equal(x.w.flows->count, 0);
	assert_int_equal(dp_portpool_blocks(x.w.portpool), 0);
	dp_flow_table_destroy(x.w.flows);
	dp_portpool_destroy(x.w.portpool);
	rte_free(x.w.shares);
	free(x.port_of);
	return 0;
}

static void advance(uint32_t seconds)
{
	x.w.now_s += seconds;
	x.w.now_ns += seconds * SECOND;
}

static void push(const struct nat_packet *packet, const uint8_t *payload)
{
	unsigned i = x.batch.n++, length = nat_build(x.packet[i], packet);
	struct dp_pkt *p = &x.batch.p[i];

	if (payload) {
		memcpy(x.packet[i] + 40, payload, PAYLOAD);
		nat_fill_checksums(x.packet[i], length);
	}
	memset(p, 0, sizeof(*p));
	p->l3 = x.packet[i];
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = TCP;
	p->environment = SLOT;
	p->tunnel = TUNNEL;
}

/* Segments of clients, up to a burst; what comes out is checked as a server would, which learns the
 * ports from SYNs. The verdict of the last one. */
static uint8_t from_clients(const struct segment *s, unsigned n)
{
	uint8_t payload[PAYLOAD];

	x.batch.n = 0;
	for (unsigned i = 0; i < n; i++) {
		fill(payload, s[i].connection, 0);
		push(
			&(struct nat_packet){
				.source = client_of(s[i].connection),
				.destination = POD,
				.source_port = client_port_of(s[i].connection),
				.destination_port =
					(uint16_t)(33000 + endpoint_number(s[i].connection)),
				.protocol = TCP,
				.flags = s[i].flags,
				.sequence = x.client_isn + s[i].sequence,
				.acknowledgement =
					s[i].flags & ACK ? SERVER_ISN + s[i].acknowledgement : 0,
				.window = 1000,
				.payload = s[i].has_payload ? PAYLOAD : 0 },
			s[i].has_payload ? payload : NULL);
	}
	dp_nat_forward_out(&x.w, &x.batch);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *ip = x.packet[i];
		uint32_t connection = s[i].connection, e = endpoint_number(connection);
		uint16_t port = nat_get16(ip + 20);

		if (x.batch.p[i].verdict != DP_OK)
			continue;
		assert_true(nat_is_right(ip, x.batch.p[i].l3_length));
		assert_true(nat_get32(ip + 12) == INNER && nat_get32(ip + 16) == TARGET + e &&
		            nat_get16(ip + 22) == 8080);
		if (s[i].flags == SYN) {
			assert_int_equal(x.connection_at[e][port], 0); /* nobody else's */
			assert_true(port >= 1024 && port != 4500 &&
			            (port < RESERVED_FIRST || port >= RESERVED_FIRST + RESERVED));
			x.connection_at[e][port] = connection + 1;
			x.port_of[connection] = port;
		}
		assert_int_equal(x.connection_at[e][port], connection + 1);
		fill(payload, connection, 0);
		if (s[i].has_payload)
			assert_memory_equal(ip + 40, payload, PAYLOAD);
	}
	return n ? x.batch.p[n - 1].verdict : DP_OK;
}

/* Segments of servers; what comes out is checked as its client would. */
static void from_servers(const struct segment *s, unsigned n)
{
	uint8_t payload[PAYLOAD];

	x.batch.n = 0;
	for (unsigned i = 0; i < n; i++) {
		fill(payload, s[i].connection, 1);
		push(&(struct nat_packet){ .source = TARGET + endpoint_number(s[i].connection),
		                           .destination = INNER,
		                           .source_port = 8080,
		                           .destination_port = x.port_of[s[i].connection],
		                           .protocol = TCP,
		                           .flags = s[i].flags,
		                           .sequence = SERVER_ISN + s[i].sequence,
		                           .acknowledgement = x.client_isn + s[i].acknowledgement,
		                           .window = 2000,
		                           .payload = s[i].has_payload ? PAYLOAD : 0 },
		     s[i].has_payload ? payload : NULL);
	}
	dp_nat_forward_in(&x.w, &x.batch);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *ip = x.packet[i];
		uint32_t connection = s[i].connection;

		assert_int_equal(x.batch.p[i].verdict, DP_OK);
		assert_true(nat_is_right(ip, x.batch.p[i].l3_length));
		assert_true(nat_get32(ip + 12) == POD &&
		            nat_get16(ip + 20) == 33000 + endpoint_number(connection));
		assert_true(nat_get32(ip + 16) == client_of(connection) &&
		            nat_get16(ip + 22) == client_port_of(connection));
		fill(payload, connection, 1);
		if (s[i].has_payload)
			assert_memory_equal(ip + 40, payload, PAYLOAD);
	}
}

/* One step of the COUNT connections FIRST, FIRST + STRIDE, ...; in a stride that meets all, order
 * is that of no table. */
static void step(uint32_t first, uint32_t stride, uint32_t count, bool is_client,
                 struct segment kind)
{
	struct segment s[DP_BURST];

	for (uint32_t done = 0; done < count;) {
		unsigned n = 0;

		for (; n < DP_BURST && done < count; n++, done++) {
			s[n] = kind;
			s[n].connection = count == LIVE ? (uint32_t)((uint64_t)done * stride % LIVE)
			                                : first + done * stride;
		}
		if (is_client) {
			from_clients(s, n);
			for (unsigned i = 0; i < n; i++)
				assert_int_equal(x.batch.p[i].verdict, DP_OK);
		} else {
			from_servers(s, n);
		}
	}
}

static void establish(uint32_t first, uint32_t stride, uint32_t count)
{
	step(first, stride, count, true, (struct segment){ .flags = SYN });
	step(first, stride, count, false,
	     (struct segment){ .flags = SYN | ACK, .acknowledgement = 1 });
	step(first, stride, count, true,
	     (struct segment){ .flags = ACK, .sequence = 1, .acknowledgement = 1 });
}

static uint8_t send_syn(uint32_t connection)
{
	struct segment syn = { .connection = connection, .flags = SYN };

	return from_clients(&syn, 1);
}

/* Hashes for opening COUNT connections, one each fourth number from FIRST on. */
static uint64_t cost_of_opening(uint32_t first, uint32_t count)
{
	uint64_t before = hashes;

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(send_syn(first + ENDPOINTS * i), DP_OK);
	return hashes - before;
}

static void test_200000_sessions(void **state)
{
	uint32_t next = LIVE, open[ENDPOINTS] = { 0 };
	uint64_t before, cost;

	(void)state;
	establish(0, 77773, LIVE);
	assert_int_equal(x.count.sessions_now, LIVE);
	/* all of them ask, then all of them are answered, each time in another order */
	step(0, 1, LIVE, true,
	     (struct segment){
		     .flags = ACK, .sequence = 1, .acknowledgement = 1, .has_payload = true });
	step(0, 33331, LIVE, false,
	     (struct segment){ .flags = ACK,
	                       .sequence = 1,
	                       .acknowledgement = 1 + PAYLOAD,
	                       .has_payload = true });
	assert_int_equal(x.count.sessions_now, LIVE);
	assert_int_equal(x.w.tunnels[TUNNEL].inner_be, rte_cpu_to_be_32(INNER));

	/* the first endpoint has as many ports as there are, and then no more */
	cost = cost_of_opening(LIVE + 1, 500);
	for (uint32_t e = 0; e < ENDPOINTS; e++)
		for (uint32_t port = 0; port < 65536; port++)
			open[e] += x.connection_at[e][port] != 0;
	for (; open[0] < USABLE; open[0]++, next += ENDPOINTS)
		assert_int_equal(send_syn(next), DP_OK);
	assert_int_equal(send_syn(next), DP_PORTS_EXHAUSTED);
	assert_int_equal(x.count.sessions_now, LIVE + 500 + USABLE - LIVE / ENDPOINTS);
	/* refusing costs next to nothing: a look at the session table and one at the endpoint's
	 * summary */
	before = hashes;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(send_syn(next + ENDPOINTS * i), DP_PORTS_EXHAUSTED);
	assert_true(hashes - before <= 3 * 1000);
	/* a search for what may be taken back comes once in a while, and has its limit */
	x.w.now_ns += DP_RECLAIM_PAUSE_NS;
	before = hashes;
	assert_int_equal(send_syn(next), DP_PORTS_EXHAUSTED);
	assert_true(hashes - before > DP_RECLAIM_LOOKUPS &&
	            hashes - before <= 2 * DP_RECLAIM_LOOKUPS + 3);
	/* and the others do not notice */
	before = cost_of_opening(LIVE + 2, 500);
	assert_true(before <= cost + cost / 20);
}

/* Ends the connections; the client is the first, or the target. */
static void close_from(uint32_t first, uint32_t stride, uint32_t count, bool is_client_first)
{
	if (is_client_first) {
		step(first, stride, count, true,
		     (struct segment){ .flags = FIN | ACK, .sequence = 1, .acknowledgement = 1 });
		step(first, stride, count, false,
		     (struct segment){ .flags = FIN | ACK, .sequence = 1, .acknowledgement = 2 });
		step(first, stride, count, true,
		     (struct segment){ .flags = ACK, .sequence = 2, .acknowledgement = 2 });
	} else {
		step(first, stride, count, false,
		     (struct segment){ .flags = FIN | ACK, .sequence = 1, .acknowledgement = 1 });
		step(first, stride, count, true,
		     (struct segment){ .flags = FIN | ACK, .sequence = 1, .acknowledgement = 2 });
		step(first, stride, count, false,
		     (struct segment){ .flags = ACK, .sequence = 2, .acknowledgement = 2 });
	}
}

/* A new connection in the place of one that may go: the server has forgotten that. */
static void expect_reclaimed(uint32_t connection)
{
	uint64_t before = x.count.sessions_reclaimed;
	struct nat_packet late;
	uint16_t port;
	uint32_t old;

	x.batch.n = 0;
	push(&(struct nat_packet){ .source = client_of(connection),
	                           .destination = POD,
	                           .source_port = client_port_of(connection),
	                           .destination_port = 33000,
	                           .protocol = TCP,
	                           .flags = SYN,
	                           .sequence = x.client_isn + 100,
	                           .window = 1000 },
	     NULL);
	dp_nat_forward_out(&x.w, &x.batch);
	assert_int_equal(x.batch.p[0].verdict, DP_OK);
	assert_true(x.count.sessions_reclaimed == before + 1);
	port = nat_get16(x.packet[0] + 20);
	old = x.connection_at[0][port] - 1;
	assert_int_equal(old % (2 * ENDPOINTS), 0); /* one that was closed */
	x.connection_at[0][port] = connection + 1;
	/* who still has the old one is told */
	late = (struct nat_packet){ .source = client_of(old),
		                    .destination = POD,
		                    .source_port = client_port_of(old),
		                    .destination_port = 33000,
		                    .protocol = TCP,
		                    .flags = ACK,
		                    .sequence = x.client_isn + 2,
		                    .acknowledgement = SERVER_ISN + 2,
		                    .window = 1000 };
	x.batch.n = 0;
	push(&late, NULL);
	dp_nat_forward_out(&x.w, &x.batch);
	assert_int_equal(x.batch.p[0].verdict, DP_NO_SESSION);
}

static void check_reclaiming(bool is_client_first, uint32_t silence_s)
{
	uint32_t next = ENDPOINTS * USABLE;

	establish(0, ENDPOINTS, USABLE);
	close_from(0, 2 * ENDPOINTS, USABLE / 2, is_client_first); /* every second one */
	assert_int_equal(send_syn(next), DP_PORTS_EXHAUSTED);
	advance(silence_s - 1);
	assert_int_equal(send_syn(next), DP_PORTS_EXHAUSTED);
	advance(1);
	/* a number that the target in TIME-WAIT would not take: the old ones end at 2 */
	x.client_isn -= 100;
	assert_int_equal(send_syn(next), DP_PORTS_EXHAUSTED);
	x.client_isn += 100;
	x.w.now_ns += DP_RECLAIM_PAUSE_NS;
	for (unsigned i = 0; i < 1000; i++)
		expect_reclaimed(next + ENDPOINTS * i);
	assert_int_equal(x.count.sessions_now, USABLE);
	/* the other half is as it was */
	step(ENDPOINTS, 2 * ENDPOINTS, USABLE / 2, false,
	     (struct segment){
		     .flags = ACK, .sequence = 1, .acknowledgement = 1, .has_payload = true });
}

static void test_reclaims_when_the_client_closed(void **state)
{
	(void)state;
	check_reclaiming(true, DP_RECLAIM_CLIENT_CLOSED_S);
}

static void test_reclaims_when_the_target_closed(void **state)
{
	(void)state;
	check_reclaiming(false, DP_RECLAIM_TARGET_CLOSED_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_200000_sessions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reclaims_when_the_client_closed, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_reclaims_when_the_target_closed, set_up,
		                                tear_down),
	};

	return cmocka_run_group_tests(tests, nat_eal, NULL);
}
