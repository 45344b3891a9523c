/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which packets are of a flow that ends here, and their way to the control thread. */
#include "dataplane/exception.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/local.h"
#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define C DP_PORT_CLUSTER
#define U DP_PORT_UPLINK
#define ICMP 1u
#define PORT 443u
#define OWN_PORT 50000u
#define STRANGER 0xc6336401u

static uint8_t frame[2048];
static uint8_t *const ip = frame + LINK_ETHER;

static struct dp_exception *table(struct link_world *x)
{
	return (struct dp_exception *)(uintptr_t)x->w.exception;
}

/* With one flow: the server's port 443 and our port 50000. */
static struct link_world *create(void)
{
	struct link_world *x = link_create();

	assert_non_null(x);
	x->w.exception_limit.per_second = 1000000;
	dp_exception_set(table(x), htons(OWN_PORT),
	                 dp_exception_remote(htonl(LINK_SERVER), htons(PORT)));
	return x;
}

/* A frame of TCP; returns its length. */
static unsigned build_tcp(const struct link_world *x, enum dp_port_id port, uint32_t source,
                          uint16_t source_port, uint16_t own_port)
{
	const struct nat_packet packet = { .source = source,
		                           .destination = port == U ? LINK_UPLINK : LINK_CLUSTER,
		                           .source_port = source_port,
		                           .destination_port = own_port,
		                           .protocol = TCP,
		                           .ttl = 60,
		                           .flags = ACK,
		                           .payload = 5 };

	link_ether(x, port, 0x0800, frame);
	return LINK_ETHER + nat_build(ip, &packet);
}

/* An ICMP error of a router that quotes a packet of ours. */
static unsigned build_error(const struct link_world *x, uint8_t type, uint32_t source,
                            uint32_t remote, uint16_t own_port, unsigned quoted)
{
	const struct nat_packet packet = { .source = source,
		                           .destination = remote,
		                           .source_port = own_port,
		                           .destination_port = PORT,
		                           .protocol = TCP,
		                           .ttl = 60,
		                           .flags = ACK,
		                           .payload = 100 };

	memset(ip, 0, 400);
	nat_build(ip + 28, &packet);
	ip[20] = type;
	ip[21] = 4;
	link_ether(x, U, 0x0800, frame);
	return LINK_ETHER + link_ipv4(ip, ICMP, STRANGER, LINK_UPLINK, 8 + quoted);
}

static enum dp_verdict run(struct link_world *x, enum dp_port_id port, unsigned length)
{
	struct dp_pkt *p = link_parse(x, port, link_buffer(frame, length, LINK_HEADROOM));

	assert_int_equal(x->local.n, 1);
	dp_local(&x->w, &x->local);
	return (enum dp_verdict)p->verdict;
}

static void knows_its_flows(void **state)
{
	struct link_world *x = link_create();
	struct dp_exception *e = table(x);
	const uint32_t server = htonl(LINK_SERVER);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		/* twice the same is once */
		for (unsigned k = 0; k < 2; k++)
			dp_exception_set(e, htons(OWN_PORT),
			                 dp_exception_remote(server, htons(PORT)));
		dp_exception_set(e, htons(OWN_PORT + 1), dp_exception_remote(server, htons(PORT)));
		assert_int_equal(e->count, 2);
		assert_true(dp_exception_has(e, server, htons(PORT), htons(OWN_PORT)));
		assert_false(dp_exception_has(e, server, htons(PORT), htons(OWN_PORT + 2)));
		assert_false(dp_exception_has(e, server, htons(PORT + 1), htons(OWN_PORT)));
		assert_false(dp_exception_has(e, htonl(STRANGER), htons(PORT), htons(OWN_PORT)));
		for (unsigned k = 0; k < 2; k++)
			dp_exception_set(e, htons(OWN_PORT), 0);
		assert_int_equal(e->count, 1);
		assert_false(dp_exception_has(e, server, htons(PORT), htons(OWN_PORT)));
		assert_true(dp_exception_has(e, server, htons(PORT), htons(OWN_PORT + 1)));
		assert_false(dp_exception_has(e, 0, 0, htons(OWN_PORT)));
		dp_exception_set(e, htons(OWN_PORT + 1), 0);
		assert_int_equal(e->count, 0);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void takes_segments(void **state)
{
	static const struct {
		enum dp_port_id port;
		uint32_t source;
		uint16_t source_port, own_port;
		enum dp_verdict verdict;
	} table[] = {
		{ U, LINK_SERVER, PORT, OWN_PORT, DP_TAKEN },
		{ U, LINK_SERVER, PORT, OWN_PORT + 1, DP_NOT_FOR_US },
		{ U, LINK_SERVER, PORT + 1, OWN_PORT, DP_NOT_FOR_US },
		{ U, STRANGER, PORT, OWN_PORT, DP_NOT_FOR_US },
		{ C, LINK_SERVER, PORT, OWN_PORT, DP_NOT_FOR_US },
	};
	struct link_world *x = create();

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		unsigned length = build_tcp(x, table[i].port, table[i].source, table[i].source_port,
		                            table[i].own_port);
		struct rte_mbuf *m = NULL;

		assert_int_equal(run(x, table[i].port, length), table[i].verdict);
		if (table[i].verdict != DP_TAKEN)
			continue;
		assert_int_equal(rte_ring_dequeue(x->w.exception->in, (void **)&m), 0);
		assert_int_equal(m->data_len, length - LINK_ETHER);
		assert_memory_equal(rte_pktmbuf_mtod(m, void *), ip, length - LINK_ETHER);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void takes_errors_about_it(void **state)
{
	static const struct {
		uint8_t type;
		uint32_t source, remote;
		uint16_t own_port;
		unsigned quoted;
		enum dp_verdict verdict;
	} table[] = {
		{ 3, LINK_UPLINK, LINK_SERVER, OWN_PORT, 28, DP_TAKEN },
		{ 11, LINK_UPLINK, LINK_SERVER, OWN_PORT, 100, DP_TAKEN },
		/* too little, another's, of nobody: not the stack's business */
		{ 11, LINK_UPLINK, LINK_SERVER, OWN_PORT, 27, DP_NOT_FOR_US },
		{ 11, STRANGER, LINK_SERVER, OWN_PORT, 28, DP_NOT_FOR_US },
		{ 11, LINK_UPLINK, STRANGER, OWN_PORT, 28, DP_NOT_FOR_US },
		{ 11, LINK_UPLINK, LINK_SERVER, OWN_PORT + 1, 28, DP_NOT_FOR_US },
		/* no error: an answer to an echo request */
		{ 0, LINK_UPLINK, LINK_SERVER, OWN_PORT, 28, DP_NOT_FOR_US },
	};
	struct link_world *x = create();

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		unsigned length = build_error(x, table[i].type, table[i].source, table[i].remote,
		                              table[i].own_port, table[i].quoted);

		assert_int_equal(run(x, U, length), table[i].verdict);
		assert_int_equal(rte_ring_count(x->w.exception->in), table[i].verdict == DP_TAKEN);
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

/* A flood in the name of the server has an end, and takes no other kind's place. */
static void keeps_to_its_limits(void **state)
{
	struct link_world *x = create();
	unsigned length = build_tcp(x, U, LINK_SERVER, PORT, OWN_PORT), n = 0;

	(void)state;
	while (run(x, U, length) == DP_TAKEN)
		n++;
	assert_int_equal(n, rte_ring_get_capacity(x->w.exception->in));
	assert_int_equal(x->local.p[0].verdict, DP_EXCEPTION_QUEUE_FULL);
	assert_int_equal(rte_ring_count(x->w.punt), 0);
	link_clear(x);
	x->w.exception_limit = (struct dp_bucket){ .per_second = 2 };
	assert_int_equal(run(x, U, length), DP_TAKEN);
	assert_int_equal(run(x, U, length), DP_TAKEN);
	assert_int_equal(run(x, U, length), DP_RATE_LIMITED);
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_its_flows),
		cmocka_unit_test(takes_segments),
		cmocka_unit_test(takes_errors_about_it),
		cmocka_unit_test(keeps_to_its_limits),
	};

	return cmocka_run_group_tests_name("exception", tests, link_eal, NULL);
}
