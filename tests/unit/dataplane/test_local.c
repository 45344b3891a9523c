/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ARP, echo and IKE to the gateway itself: answered in place, punted as they are, or refused. */
#include "dataplane/local.h"

#include <arpa/inet.h>
#include <string.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define C DP_PORT_CLUSTER
#define U DP_PORT_UPLINK
#define ICMP 1u
#define ARP_FRAME (LINK_ETHER + 28u)
#define ROUTER 0x0a000001u

static uint8_t frame[2048];
static uint8_t *const ip = frame + LINK_ETHER;

static enum dp_verdict run(struct link_world *x, enum dp_port_id port, unsigned length)
{
	struct dp_pkt *p = link_parse(x, port, link_buffer(frame, length, LINK_HEADROOM));

	assert_int_equal(x->local.n, 1);
	dp_local(&x->w, &x->local);
	assert_int_not_equal(p->verdict, DP_OK);
	return p->verdict;
}

static void build_arp(const struct link_world *x, enum dp_port_id port, uint16_t operation,
                      uint32_t sender, uint32_t target)
{
	uint8_t *arp = frame + LINK_ETHER;

	memset(frame, 0, 256);
	link_ether(x, port, 0x0806, frame);
	memset(frame, 0xff, 6);
	nat_put32(arp, 0x00010800);
	nat_put16(arp + 4, 0x0604);
	nat_put16(arp + 6, operation);
	memcpy(arp + 8, link_neighbour, 6);
	nat_put32(arp + 14, sender);
	nat_put32(arp + 24, target);
}

enum fate { ANSWERED, PUNTED, DROPPED };

static void decides_on_arp(void **state)
{
	static const struct {
		const char *what;
		enum dp_port_id port;
		uint16_t operation;
		uint32_t sender, target;
		uint8_t at, value; /* changed in the frame, unless AT is 0 */
		enum fate fate;
	} table[] = {
		{ "who has the cluster port", C, 1, ROUTER, LINK_CLUSTER, 0, 0, ANSWERED },
		{ "who has the environment", C, 1, ROUTER, LINK_POD, 0, 0, ANSWERED },
		{ "who has the uplink port", U, 1, 0xcb007101, LINK_UPLINK, 0, 0, ANSWERED },
		{ "a probe, RFC 5227", C, 1, 0, LINK_CLUSTER, 0, 0, ANSWERED },
		{ "the environment asked for on the uplink", U, 1, 0xcb007101, LINK_POD, 0, 0,
		  PUNTED },
		{ "the uplink asked for on the cluster", C, 1, ROUTER, LINK_UPLINK, 0, 0, PUNTED },
		{ "somebody else", C, 1, ROUTER, 0x0a000009, 0, 0, PUNTED },
		{ "gratuitous request", C, 1, ROUTER, ROUTER, 0, 0, PUNTED },
		{ "gratuitous request for our address", C, 1, LINK_CLUSTER, LINK_CLUSTER, 0, 0,
		  PUNTED },
		{ "reply", C, 2, ROUTER, LINK_CLUSTER, 0, 0, PUNTED },
		{ "operation 0", C, 0, ROUTER, LINK_CLUSTER, 0, 0, DROPPED },
		{ "operation 3", C, 3, ROUTER, LINK_CLUSTER, 0, 0, DROPPED },
		{ "hardware type", C, 1, ROUTER, LINK_CLUSTER, 15, 6, DROPPED },
		{ "protocol type", C, 1, ROUTER, LINK_CLUSTER, 16, 9, DROPPED },
		{ "hardware length", C, 1, ROUTER, LINK_CLUSTER, 18, 5, DROPPED },
		{ "protocol length", C, 1, ROUTER, LINK_CLUSTER, 19, 16, DROPPED },
		{ "a sender that is not the frame's", C, 1, ROUTER, LINK_CLUSTER, 27, 9, DROPPED },
		{ "a reply whose sender is not the frame's", C, 2, ROUTER, LINK_CLUSTER, 27, 9,
		  DROPPED },
	};
	struct link_world *x = link_create();
	uint64_t replies = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		const uint8_t *own = x->ports[table[i].port].mac.addr_bytes, *out;
		enum dp_verdict verdict;
		void *punted = NULL;

		build_arp(x, table[i].port, table[i].operation, table[i].sender, table[i].target);
		if (table[i].at)
			frame[table[i].at] = table[i].value;
		verdict = run(x, table[i].port,
		              ARP_FRAME + 18); /* padded to 60 bytes, as on the wire */
		if (verdict != (table[i].fate == DROPPED ? DP_ARP_INVALID : DP_TAKEN) ||
		    x->tx[table[i].port].n != (table[i].fate == ANSWERED) ||
		    rte_ring_count(x->w.punt) != (table[i].fate == PUNTED))
			fail_msg("%s: verdict %u", table[i].what, verdict);
		if (table[i].fate == ANSWERED) {
			out = rte_pktmbuf_mtod(x->tx[table[i].port].m[0], const uint8_t *);
			assert_int_equal(x->tx[table[i].port].m[0]->data_len, ARP_FRAME);
			assert_int_equal(x->tx[table[i].port].m[0]->pkt_len, ARP_FRAME);
			assert_memory_equal(out, link_neighbour, 6);
			assert_memory_equal(out + 6, own, 6);
			assert_int_equal(nat_get16(out + 12), 0x0806);
			assert_int_equal(nat_get32(out + 14), 0x00010800);
			assert_int_equal(nat_get32(out + 18), 0x06040002);
			assert_memory_equal(out + 22, own, 6);
			assert_int_equal(nat_get32(out + 28), table[i].target);
			assert_memory_equal(out + 32, link_neighbour, 6);
			assert_int_equal(nat_get32(out + 38), table[i].sender);
			assert_int_equal(x->count.arp_replies, ++replies);
		} else if (table[i].fate == PUNTED) {
			struct rte_mbuf *m;

			assert_int_equal(rte_ring_dequeue(x->w.punt, &punted), 0);
			m = punted;
			assert_int_equal(m->packet_type, RTE_PTYPE_L2_ETHER_ARP);
			assert_int_equal(m->port, table[i].port);
			assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), frame + LINK_ETHER, 28);
			rte_pktmbuf_free(m);
		}
		link_clear(x);
	}
	assert_int_equal(link_destroy(x), 0);
}

static void refuses_cut_and_group_arp(void **state)
{
	struct link_world *x = link_create();

	(void)state;
	for (unsigned length = LINK_ETHER; length < ARP_FRAME; length++) {
		build_arp(x, C, 1, ROUTER, LINK_CLUSTER);
		assert_int_equal(run(x, C, length), DP_ARP_INVALID);
		link_clear(x);
	}
	build_arp(x, C, 1, ROUTER, LINK_CLUSTER);
	frame[6] = frame[LINK_ETHER + 8] = 0x03; /* both agree, but on a group */
	assert_int_equal(run(x, C, ARP_FRAME), DP_ARP_INVALID);
	assert_int_equal(link_destroy(x), 0);
}

static void keeps_arp_to_its_limits(void **state)
{
	struct link_world *x = link_create();

	(void)state;
	x->w.arp_answer_limit[C].per_second = x->w.arp_limit.per_second = 1;
	x->w.punt_limit.per_second = 1;
	build_arp(x, C, 1, ROUTER, LINK_CLUSTER);
	assert_int_equal(run(x, C, ARP_FRAME), DP_TAKEN);
	assert_int_equal(run(x, C, ARP_FRAME), DP_RATE_LIMITED);
	link_clear(x);
	build_arp(x, C, 2, ROUTER, LINK_CLUSTER);
	assert_int_equal(run(x, C, ARP_FRAME), DP_TAKEN);
	assert_int_equal(run(x, C, ARP_FRAME), DP_RATE_LIMITED);
	/* a flood of ARP does not stop IKE */
	memset(frame, 0, 256);
	link_ether(x, U, 0x0800, frame);
	nat_put16(ip + 22, LINK_IKE_PORT);
	nat_put16(ip + 24, 36);
	link_ipv4(ip, 17, LINK_SERVER, LINK_UPLINK, 36);
	assert_int_equal(run(x, U, LINK_ETHER + 56), DP_TAKEN);
	assert_int_equal(link_destroy(x), 0);
}

static unsigned build_echo(const struct link_world *x, enum dp_port_id port, uint8_t type,
                           uint32_t destination)
{
	memset(frame, 0, 256);
	link_ether(x, port, 0x0800, frame);
	ip[20] = type;
	nat_put16(ip + 22, (uint16_t)~link_sum(ip + 20, 16));
	return LINK_ETHER +
	       link_ipv4(ip, ICMP, port == C ? LINK_CLIENT : LINK_SERVER, destination, 16);
}

static void answers_echo_and_no_other_icmp(void **state)
{
	static const struct {
		enum dp_port_id port;
		uint32_t destination;
	} table[] = {
		{ C, LINK_CLUSTER },
		{ C, LINK_POD },
		{ U, LINK_UPLINK },
	};
	struct link_world *x = link_create();

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		for (unsigned type = 0; type < 20; type++) {
			enum dp_verdict verdict;

			if (table[i].destination == LINK_POD &&
			    (type == 3 || type == 11 || type == 12))
				continue; /* an error about a reply: translated at home */
			verdict = run(
				x, table[i].port,
				build_echo(x, table[i].port, (uint8_t)type, table[i].destination));

			assert_int_equal(verdict, type == 8 ? DP_TAKEN : DP_NOT_FOR_US);
			assert_int_equal(x->answers.n, type == 8);
			if (type == 8) {
				assert_int_equal(x->answers.p[0].port, table[i].port);
				assert_int_equal(nat_get32(x->answers.p[0].l3 + 12),
				                 table[i].destination);
			}
			link_clear(x);
		}
	}
	assert_int_equal(link_destroy(x), 0);
}

/* A limit that was reached has its own reason. */
static void limits_echo(void **state)
{
	struct link_world *x = link_create();

	(void)state;
	x->w.echo_limit[U].per_second = 1;
	assert_int_equal(run(x, U, build_echo(x, U, 8, LINK_UPLINK)), DP_TAKEN);
	assert_int_equal(run(x, U, build_echo(x, U, 8, LINK_UPLINK)), DP_RATE_LIMITED);
	assert_int_equal(x->count.answers_limited, 1);
	/* whoever floods us with pings cuts us off from nobody else */
	assert_int_equal(run(x, C, build_echo(x, C, 8, LINK_POD)), DP_TAKEN);
	build_arp(x, U, 1, LINK_SERVER, LINK_UPLINK);
	assert_int_equal(run(x, U, ARP_FRAME), DP_TAKEN);
	assert_int_equal(x->count.arp_replies, 1);
	assert_int_equal(link_destroy(x), 0);
}

static void leaves_verdicts_alone(void **state)
{
	struct link_world *x = link_create();
	struct dp_pkt *p;

	(void)state;
	build_arp(x, C, 1, ROUTER, LINK_CLUSTER);
	p = link_parse(x, C, link_buffer(frame, ARP_FRAME, LINK_HEADROOM));
	p->verdict = DP_TTL;
	dp_local(&x->w, &x->local);
	assert_int_equal(p->verdict, DP_TTL);
	assert_int_equal(x->tx[C].n, 0);
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_on_arp),
		cmocka_unit_test(refuses_cut_and_group_arp),
		cmocka_unit_test(keeps_arp_to_its_limits),
		cmocka_unit_test(answers_echo_and_no_other_icmp),
		cmocka_unit_test(limits_echo),
		cmocka_unit_test(leaves_verdicts_alone),
	};

	return cmocka_run_group_tests_name("local", tests, link_eal, NULL);
}
