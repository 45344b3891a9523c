/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control packets: which server may send them, what they must look like, and the way back. */
#include "dataplane/punt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define U DP_PORT_UPLINK

static uint8_t frame[16384];
static uint8_t *const ip = frame + LINK_ETHER;

static unsigned build(const struct link_world *x, uint32_t source, uint16_t to_port,
                      uint16_t payload)
{
	struct nat_packet udp = { .protocol = UDP,
		                  .source = source,
		                  .destination = LINK_UPLINK,
		                  .source_port = to_port,
		                  .destination_port = to_port,
		                  .payload = payload };

	link_ether(x, U, 0x0800, frame);
	return LINK_ETHER + nat_build(ip, &udp);
}

static enum dp_verdict punt(struct link_world *x, unsigned length)
{
	struct dp_pkt *p = link_parse(x, U, link_buffer(frame, length, LINK_HEADROOM));

	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(x->local.n, 1);
	p->verdict = (uint8_t)dp_punt_ike(&x->w, p);
	return p->verdict;
}

static void takes_ike_of_configured_servers(void **state)
{
	static const struct {
		const char *what;
		uint32_t source;
		uint16_t to_port, payload;
		enum dp_verdict verdict;
	} table[] = {
		{ "IKE", LINK_SERVER, 500, 28, DP_TAKEN },
		{ "IKE on the NAT-T port", LINK_SERVER, 4500, 300, DP_TAKEN },
		{ "odd length", LINK_SERVER, 500, 29, DP_TAKEN },
		{ "the longest", LINK_SERVER, 500, IPC_PUNT_MAX, DP_TAKEN },
		{ "too long", LINK_SERVER, 500, IPC_PUNT_MAX + 1, DP_IKE_MALFORMED },
		{ "shorter than its header", LINK_SERVER, 500, 27, DP_IKE_MALFORMED },
		{ "empty", LINK_SERVER, 500, 0, DP_IKE_MALFORMED },
		{ "another address", LINK_SERVER + 1, 500, 28, DP_IKE_UNKNOWN_PEER },
		{ "another address, malformed", LINK_SERVER + 1, 500, 3, DP_IKE_UNKNOWN_PEER },
	};
	struct link_world *x = link_create();
	uint64_t taken = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		unsigned length = build(x, table[i].source, table[i].to_port, table[i].payload);
		enum dp_verdict verdict;
		void *m = NULL;

		memset(ip + 28, 0,
		       RTE_MIN(4u, (unsigned)table[i].payload)); /* the non-ESP marker, RFC 3948
		                                                    section 2.2 */
		nat_fill_checksums(ip, length - LINK_ETHER);
		verdict = punt(x, length);
		if (verdict != table[i].verdict)
			fail_msg("%s: %s", table[i].what, dp_verdict_name(verdict));
		if (verdict == DP_TAKEN) {
			assert_int_equal(rte_ring_dequeue(x->w.punt, &m), 0);
			assert_int_equal(((struct rte_mbuf *)m)->data_len, length - LINK_ETHER);
			assert_int_equal(((struct rte_mbuf *)m)->packet_type, 0);
			assert_memory_equal(rte_pktmbuf_mtod((struct rte_mbuf *)m, uint8_t *), ip,
			                    length - LINK_ETHER);
			rte_pktmbuf_free(m);
			assert_int_equal(x->count.ike_in, ++taken);
		}
		assert_int_equal(rte_ring_count(x->w.punt), 0);
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void checks_the_checksum_if_there_is_one(void **state)
{
	struct link_world *x = link_create();
	unsigned length = build(x, LINK_SERVER, 500, 61);

	(void)state;
	for (unsigned i = 20; i < length - LINK_ETHER; i++) {
		if (i >= 22 && i < 26) /* ports to, length: the parser's */
			continue;
		ip[i] ^= 0x10;
		assert_int_equal(punt(x, length), DP_IKE_MALFORMED);
		ip[i] ^= 0x10;
		link_clear(x);
	}
	nat_put16(ip + 26, 0); /* RFC 768: none */
	ip[40] ^= 0x10;
	assert_int_equal(punt(x, length), DP_TAKEN);
	assert_int_equal(link_destroy(x), 0);
}

static void keeps_to_its_limits(void **state)
{
	struct link_world *x = link_create();
	unsigned length = build(x, LINK_SERVER, 500, 40);

	(void)state;
	x->w.punt_limit.per_second = 2;
	assert_int_equal(punt(x, length), DP_TAKEN);
	assert_int_equal(punt(x, length), DP_TAKEN);
	assert_int_equal(punt(x, length), DP_RATE_LIMITED);
	x->w.punt_limit = (struct dp_bucket){ .per_second = 1000000 };
	link_clear(x);
	for (unsigned i = rte_ring_get_capacity(x->w.punt); i; i--)
		assert_int_equal(punt(x, length), DP_TAKEN);
	assert_int_equal(punt(x, length), DP_PUNT_QUEUE_FULL);
	assert_int_equal(x->count.ike_in, 2 + rte_ring_get_capacity(x->w.punt));
	assert_int_equal(link_destroy(x), 0);
}

/* A flood in the name of one server leaves room for the others. */
static void limits_each_server(void **state)
{
	static const uint32_t servers[] = { LINK_SERVER, LINK_SERVER + 1 };
	struct ipc_peer peers[2] = { 0 };
	struct link_world *x = link_create();

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		peers[i] = (struct ipc_peer){ .remote_be = htonl(servers[i]),
			                      .ike_port_be = htons(LINK_IKE_PORT),
			                      .natt_port_be = htons(LINK_NATT_PORT) };
	for (unsigned i = 0; i < 2; i++)
		dp_peers_add((struct dp_peers *)(uintptr_t)x->w.peers, &peers[i], 0);
	for (unsigned i = 0; i < DP_SERVER_LIMITS; i++)
		x->w.server_limit[i].per_second = 2;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(punt(x, build(x, servers[0], 500, 40)),
		                 i < 2 ? DP_TAKEN : DP_RATE_LIMITED);
	assert_int_equal(punt(x, build(x, servers[1], 500, 40)), DP_TAKEN);
	assert_int_equal(x->count.ike_in, 3);
	assert_int_equal(link_destroy(x), 0);
}

/* A token bucket: what a second earns, no more, and a burst of it after a rest. */
static void gives_tokens(void **state)
{
	static const struct {
		uint64_t after_ns;
		unsigned taken;
	} table[] = {
		{ 0, 10 },          { 99999999, 0 },    { 100000000, 1 },    { 250000000, 2 },
		{ 1000000000, 10 }, { 1500000000, 10 }, { 50000000000, 10 },
	};
	struct dp_bucket b = { .per_second = 10 };
	uint64_t now = 5000000000;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		for (unsigned n = 0; n < table[i].taken; n++)
			assert_true(dp_bucket_take(&b, now + table[i].after_ns));
		assert_false(dp_bucket_take(&b, now + table[i].after_ns));
		if (table[i].taken)
			now += table[i].after_ns;
	}
}

static void builds_datagrams(void **state)
{
	static const uint16_t lengths[] = { 0, 1, 2, 28, 333, 1472, 2000 };
	struct link_world *x = link_create();
	struct rte_mbuf *m;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(lengths); i++) {
		struct ipc_punt out = { .source_be = htonl(LINK_UPLINK),
			                .destination_be = htonl(LINK_SERVER),
			                .source_port_be = htons(4500),
			                .destination_port_be = htons(4501),
			                .length = lengths[i] };
		const uint8_t *l3;

		for (unsigned k = 0; k < lengths[i]; k++)
			frame[k] = (uint8_t)(k * 31);
		assert_int_equal(dp_punt_datagram(x->w.mbufs, &out, frame, &m), 0);
		l3 = rte_pktmbuf_mtod(m, const uint8_t *);
		assert_int_equal(m->data_len, 28 + lengths[i]);
		assert_int_equal(nat_get16(l3 + 2), 28 + lengths[i]);
		assert_int_equal(l3[9], UDP);
		assert_int_equal(nat_get32(l3 + 12), LINK_UPLINK);
		assert_int_equal(nat_get32(l3 + 16), LINK_SERVER);
		assert_int_equal(nat_get16(l3 + 20), 4500);
		assert_int_equal(nat_get16(l3 + 22), 4501);
		assert_int_equal(nat_get16(l3 + 24), 8 + lengths[i]);
		assert_int_not_equal(nat_get16(l3 + 26), 0);
		assert_true(nat_is_right(l3, m->data_len));
		assert_memory_equal(l3 + 28, frame, lengths[i]);
		assert_true(rte_pktmbuf_headroom(m) >= LINK_ETHER);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void refuses_datagrams_that_do_not_fit(void **state)
{
	struct link_world *x = link_create();
	struct ipc_punt out = { .length = 2100 }; /* longer than a buffer */
	struct rte_mbuf *m, *all[1024];
	unsigned n = 0;

	(void)state;
	assert_int_equal(dp_punt_datagram(x->w.mbufs, &out, frame, &m), -EMSGSIZE);
	out.length = 65508;
	assert_int_equal(dp_punt_datagram(x->w.mbufs, &out, frame, &m), -EMSGSIZE);
	assert_int_equal(link_in_use(), 0);
	out.length = 100;
	while (n < RTE_DIM(all) && dp_punt_datagram(x->w.mbufs, &out, frame, &all[n]) == 0)
		n++;
	assert_int_equal(dp_punt_datagram(x->w.mbufs, &out, frame, &m), -ENOMEM);
	rte_pktmbuf_free_bulk(all, n);
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_ike_of_configured_servers),
		cmocka_unit_test(checks_the_checksum_if_there_is_one),
		cmocka_unit_test(keeps_to_its_limits),
		cmocka_unit_test(limits_each_server),
		cmocka_unit_test(gives_tokens),
		cmocka_unit_test(builds_datagrams),
		cmocka_unit_test(refuses_datagrams_that_do_not_fit),
	};

	return cmocka_run_group_tests_name("punt", tests, link_eal, NULL);
}
