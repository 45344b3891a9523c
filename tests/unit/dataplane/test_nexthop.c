/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ARP table: who is asked, who is believed, which packets wait and for how long. */
#include "dataplane/nexthop.c"

#include <arpa/inet.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define C DP_PORT_CLUSTER
#define U DP_PORT_UPLINK
#define ROUTER 0x0a000001u /* of the cluster: outside its /32 */
#define UPLINK_ROUTER 0xcb007101u
#define NEIGHBOUR 0xcb007144u /* on the uplink's subnet */
#define MS 1000000ull
#define SECOND 1000000000ull
#define MAC_A 0x01
#define MAC_B 0x02
#define MAC_C 0x03

enum operation { REQUEST = 1, REPLY = 2 };

/* The requests that maintain() sent. */
struct asked {
	unsigned count;
	unsigned unicast;
	enum dp_port_id port;
	uint32_t target;
	uint8_t mac[6];
};

static void on_request(void *context, enum dp_port_id port, uint32_t target_be,
                       const uint8_t mac[6])
{
	struct asked *a = context;

	a->count++;
	a->port = port;
	a->target = ntohl(target_be);
	if (mac) {
		a->unicast++;
		memcpy(a->mac, mac, 6);
	}
}

static unsigned ask(struct link_world *x, uint64_t now, struct asked *a)
{
	memset(a, 0, sizeof(*a));
	dp_nexthop_maintain(x->w.nexthops, now, on_request, a);
	return a->count;
}

static void hear(struct link_world *x, enum dp_port_id port, enum operation operation,
                 uint32_t sender, uint8_t mac, uint64_t now)
{
	uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, (uint8_t)operation, 0x02, 0, 0, 0, 0, mac };

	nat_put32(arp + 14, sender);
	memcpy(arp + 18, x->ports[port].mac.addr_bytes, 6);
	memcpy(arp + 24, &x->ports[port].address_be, 4);
	dp_nexthop_learn(x->w.nexthops, port, &x->ports[port], arp, now);
}

/* The last byte of the MAC address that the entry has; -1: unresolved. */
static int known(struct link_world *x, enum dp_port_id port, uint32_t address)
{
	uint8_t mac[6];

	return dp_nexthop_lookup(x->w.nexthops, port, htonl(address), mac) ? mac[5] : -1;
}

static void resolve(struct link_world *x, enum dp_port_id port, uint32_t address, uint8_t mac,
                    uint64_t now)
{
	struct asked a;

	dp_nexthop_want(x->w.nexthops, port, htonl(address));
	ask(x, now, &a);
	hear(x, port, REPLY, address, mac, now);
	assert_int_equal(known(x, port, address), mac);
}

/* One packet to DESTINATION through PORT; returns its verdict. */
static enum dp_verdict send_as(struct link_world *x, uint16_t environment, struct dp_flow *flow,
                               enum dp_port_id port, uint32_t destination, struct rte_mbuf **m)
{
	uint8_t ip[28] = { 0 };
	struct dp_pkt *p = &x->path.p[0];

	link_ipv4(ip, 17, LINK_POD, destination, 8);
	x->path.n = 1;
	memset(p, 0, sizeof(*p));
	p->m = link_buffer(ip, sizeof(ip), LINK_HEADROOM);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *);
	p->port = port;
	p->environment = environment;
	p->flow = flow;
	p->nexthop_be = htonl(destination);
	dp_nexthop(&x->w, &x->path);
	if (m)
		*m = p->m;
	x->path.n = 0;
	if (p->verdict != DP_TAKEN && (p->verdict != DP_OK || !m))
		rte_pktmbuf_free(p->m);
	return p->verdict;
}

static enum dp_verdict send_of(struct link_world *x, uint16_t environment, enum dp_port_id port,
                               uint32_t destination, struct rte_mbuf **m)
{
	return send_as(x, environment, NULL, port, destination, m);
}

static enum dp_verdict send_to(struct link_world *x, enum dp_port_id port, uint32_t destination,
                               struct rte_mbuf **m)
{
	return send_of(x, DP_NONE_SLOT, port, destination, m);
}

static void check_frame(struct link_world *x, struct rte_mbuf *m, enum dp_port_id port, uint8_t mac)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *),
		      to[6] = { 0x02, 0, 0, 0, 0, mac };

	assert_int_equal(m->data_len, LINK_ETHER + 28);
	assert_int_equal(m->pkt_len, LINK_ETHER + 28);
	assert_memory_equal(frame, to, 6);
	assert_memory_equal(frame + 6, x->ports[port].mac.addr_bytes, 6);
	assert_int_equal(nat_get16(frame + 12), 0x0800);
	assert_int_equal(frame[LINK_ETHER], 0x45);
}

/* A world for each test; what it lost is a failure. */
static int set_up(void **state)
{
	*state = link_create();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	return (int)link_destroy(*state);
}

static void routes_by_port(void **state)
{
	static const struct {
		const char *what;
		uint32_t address, router;
		uint8_t prefix, routes;
		struct {
			uint32_t address;
			uint8_t length;
		} route[2];
		uint32_t to, expected;
	} table[] = {
		{ "on the subnet",
		  0xcb00710a,
		  0xcb007101,
		  24,
		  0,
		  { { 0, 0 } },
		  0xcb0071fe,
		  0xcb0071fe },
		{ "behind the router",
		  0xcb00710a,
		  0xcb007101,
		  24,
		  0,
		  { { 0, 0 } },
		  0xc6336465,
		  0xcb007101 },
		{ "the router",
		  0xcb00710a,
		  0xcb007101,
		  24,
		  0,
		  { { 0, 0 } },
		  0xcb007101,
		  0xcb007101 },
		{ "no router", 0xcb00710a, 0, 24, 0, { { 0, 0 } }, 0xc6336465, 0 },
		{ "no router, on the subnet",
		  0xcb00710a,
		  0,
		  24,
		  0,
		  { { 0, 0 } },
		  0xcb007103,
		  0xcb007103 },
		{ "/31", 0xcb00710a, 0, 31, 0, { { 0, 0 } }, 0xcb00710b, 0xcb00710b },
		{ "/31, outside",
		  0xcb00710a,
		  0xcb00710b,
		  31,
		  0,
		  { { 0, 0 } },
		  0xcb00710c,
		  0xcb00710b },
		{ "/32: nobody is on the subnet",
		  0x0a000002,
		  0x0a000001,
		  32,
		  0,
		  { { 0, 0 } },
		  0x0a000003,
		  0x0a000001 },
		{ "/32: the router is outside the subnet",
		  0x0a000002,
		  0x0a000001,
		  32,
		  0,
		  { { 0, 0 } },
		  0x0a000001,
		  0x0a000001 },
		{ "/32: not even itself",
		  0x0a000002,
		  0x0a000001,
		  32,
		  0,
		  { { 0, 0 } },
		  0x0a000002,
		  0x0a000001 },
		{ "/32: a router of another network",
		  0x0a000002,
		  0xa9fe0101,
		  32,
		  1,
		  { { 0x0a000000, 16 } },
		  0x0a000105,
		  0xa9fe0101 },
		{ "/32: that router itself, in no route",
		  0x0a000002,
		  0xa9fe0101,
		  32,
		  1,
		  { { 0x0a000000, 16 } },
		  0xa9fe0101,
		  0xa9fe0101 },
		{ "in a route",
		  0x0a000002,
		  0x0a000001,
		  32,
		  2,
		  { { 0x0a000000, 16 }, { 0x0a640000, 10 } },
		  0x0a7fffff,
		  0x0a000001 },
		{ "in no route",
		  0x0a000002,
		  0x0a000001,
		  32,
		  2,
		  { { 0x0a000000, 16 }, { 0x0a640000, 16 } },
		  0x0a650001,
		  0 },
		{ "the default as a route",
		  0x0a000002,
		  0x0a000001,
		  32,
		  1,
		  { { 0, 0 } },
		  0x08080808,
		  0x0a000001 },
		{ "a host as a route",
		  0x0a000002,
		  0x0a000001,
		  32,
		  1,
		  { { 0x0a090909, 32 } },
		  0x0a090909,
		  0x0a000001 },
		{ "beside the host",
		  0x0a000002,
		  0x0a000001,
		  32,
		  1,
		  { { 0x0a090909, 32 } },
		  0x0a090908,
		  0 },
		{ "on the subnet, whatever the routes",
		  0x0a000002,
		  0x0a000001,
		  24,
		  1,
		  { { 0x0a090000, 16 } },
		  0x0a0000fe,
		  0x0a0000fe },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct dp_port port = { .address_be = htonl(table[i].address),
			                .router_be = htonl(table[i].router),
			                .mask_be = htonl((uint32_t)(0xffffffffull
			                                            << (32 - table[i].prefix))),
			                .route_count = table[i].routes };

		for (unsigned r = 0; r < table[i].routes; r++)
			port.routes[r] =
				(struct ipc_prefix){ .address_be = htonl(table[i].route[r].address),
				                     .length = table[i].route[r].length };
		if (ntohl(dp_port_route(&port, htonl(table[i].to))) != table[i].expected)
			fail_msg("%s: %08x", table[i].what,
			         ntohl(dp_port_route(&port, htonl(table[i].to))));
	}
}

static void resolves_the_routers_and_sends(void **state)
{
	struct link_world *x = *state;
	struct rte_mbuf *m;
	struct asked a;

	resolve(x, U, UPLINK_ROUTER, MAC_A, 1 * SECOND);
	resolve(x, C, ROUTER, MAC_B, 1 * SECOND);
	assert_int_equal(send_to(x, U, LINK_SERVER, &m), DP_OK);
	check_frame(x, m, U, MAC_A);
	rte_pktmbuf_free(m);
	assert_int_equal(send_to(x, C, LINK_CLIENT, &m), DP_OK);
	check_frame(x, m, C, MAC_B);
	rte_pktmbuf_free(m);
	assert_int_equal(send_to(x, C, 0xc0a80001, NULL), DP_NO_ROUTE);
	/* one address on two ports is two neighbours */
	assert_int_equal(known(x, U, ROUTER), -1);
	assert_int_equal(ask(x, 1 * SECOND, &a), 0);
	dp_nexthop_want(x->w.nexthops, U, 0); /* a port without a router */
	assert_int_equal(ask(x, 1 * SECOND, &a), 0);
}

/* In one burst, whatever came before: what is behind the router, on the link, on another port. */
static void finds_the_way_of_each(void **state)
{
	static const struct {
		enum dp_port_id port;
		uint32_t to;
		uint8_t mac; /* 0: not sent */
		enum dp_verdict verdict;
	} table[] = {
		{ U, LINK_SERVER, MAC_A, DP_OK },  { U, NEIGHBOUR, MAC_C, DP_OK },
		{ U, LINK_SERVER, MAC_A, DP_OK },  { U, LINK_SERVER + 1, MAC_A, DP_OK },
		{ U, NEIGHBOUR + 1, 0, DP_TAKEN }, { U, 0x08080808, MAC_A, DP_OK },
		{ C, 0x0a000105, MAC_B, DP_OK },   { C, 0x0a00ffff, MAC_B, DP_OK },
		{ C, 0x0a010000, 0, DP_NO_ROUTE }, { C, 0x0a000106, MAC_B, DP_OK },
		{ U, 0x0a000106, MAC_A, DP_OK },   { U, UPLINK_ROUTER, MAC_A, DP_OK },
		{ U, NEIGHBOUR, MAC_C, DP_OK },    { U, NEIGHBOUR, MAC_C, DP_OK },
		{ U, NEIGHBOUR + 2, 0, DP_TAKEN }, { U, NEIGHBOUR, MAC_C, DP_OK },
	};
	struct link_world *x = *state;
	struct dp_batch *b = &x->path;
	uint8_t ip[28] = { 0 };

	resolve(x, U, UPLINK_ROUTER, MAC_A, 1 * SECOND);
	resolve(x, C, ROUTER, MAC_B, 1 * SECOND);
	resolve(x, U, NEIGHBOUR, MAC_C, 1 * SECOND);
	b->n = RTE_DIM(table);
	for (unsigned i = 0; i < b->n; i++) {
		link_ipv4(ip, 17, LINK_POD, table[i].to, 8);
		b->p[i] = (struct dp_pkt){ .m = link_buffer(ip, sizeof(ip), LINK_HEADROOM),
			                   .environment = DP_NONE_SLOT,
			                   .nexthop_be = htonl(table[i].to),
			                   .port = (uint8_t)table[i].port };
		b->p[i].l3 = rte_pktmbuf_mtod(b->p[i].m, uint8_t *);
	}
	dp_nexthop(&x->w, b);
	for (unsigned i = 0; i < b->n; i++) {
		assert_int_equal(b->p[i].verdict, table[i].verdict);
		if (table[i].mac)
			check_frame(x, b->p[i].m, table[i].port, table[i].mac);
		if (table[i].verdict != DP_TAKEN)
			rte_pktmbuf_free(b->p[i].m);
	}
	b->n = 0;
}

static void holds_packets_until_the_answer(void **state)
{
	struct link_world *x = *state;
	struct asked a;

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(send_to(x, U, NEIGHBOUR, NULL), DP_TAKEN);
	dp_nexthop_poll(&x->w);
	assert_int_equal(x->tx[U].n, 0);
	assert_int_equal(ask(x, x->w.now_ns, &a), 1);
	assert_int_equal(a.target, NEIGHBOUR);
	assert_int_equal(a.port, U);
	assert_int_equal(a.unicast, 0);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, x->w.now_ns);
	dp_nexthop_poll(&x->w);
	assert_int_equal(x->tx[U].n, 3);
	for (unsigned i = 0; i < 3; i++)
		check_frame(x, x->tx[U].m[i], U, MAC_A);
	dp_nexthop_poll(&x->w);
	assert_int_equal(x->tx[U].n, 3);
}

static void drops_what_waited_too_long(void **state)
{
	struct link_world *x = *state;

	assert_int_equal(send_to(x, U, NEIGHBOUR, NULL), DP_TAKEN);
	x->w.now_ns += SECOND;
	assert_int_equal(send_to(x, U, NEIGHBOUR, NULL), DP_TAKEN);
	x->w.now_ns += HOLD_NS - SECOND;
	dp_nexthop_poll(&x->w);
	assert_int_equal(link_in_use(), 2);
	x->w.now_ns += 1;
	dp_nexthop_poll(&x->w);
	assert_int_equal(link_in_use(), 1);
	assert_int_equal(x->count.drop[DP_NEXTHOP_UNRESOLVED], 1);
	x->w.now_ns += SECOND;
	dp_nexthop_poll(&x->w);
	assert_int_equal(x->count.drop[DP_NEXTHOP_UNRESOLVED], 2);
	assert_int_equal(x->tx[U].n, 0);
}

static void bounds_what_waits(void **state)
{
	struct link_world *x = *state;

	for (unsigned i = 0; i < HOLD_PER_HOP; i++)
		assert_int_equal(send_to(x, U, NEIGHBOUR, NULL), DP_TAKEN);
	assert_int_equal(send_to(x, U, NEIGHBOUR, NULL), DP_NEXTHOP_QUEUE_FULL);
	for (unsigned i = HOLD_PER_HOP; i < HOLD_MAX; i++)
		assert_int_equal(send_to(x, U, 0xcb007100 + 150 + i / HOLD_PER_HOP, NULL),
		                 DP_TAKEN);
	assert_int_equal(link_in_use(), HOLD_MAX);
	assert_int_equal(send_to(x, U, 0xcb0071fe, NULL), DP_NEXTHOP_QUEUE_FULL);
	/* and nobody is asked for what does not wait */
	assert_int_equal(find(x->w.nexthops, make_key(U, htonl(0xcb0071fe))), -1);
}

/* One environment's packets leave room for those of others, and for their questions. */
static void bounds_what_waits_of_one(void **state)
{
	struct link_world *x = *state;

	for (unsigned i = 0; i < HOLD_PER_ENVIRONMENT; i++)
		assert_int_equal(send_of(x, 3, U, 0xcb007100 + 100 + i, NULL), DP_TAKEN);
	assert_int_equal(send_of(x, 3, U, 0xcb007100 + 99, NULL), DP_NEXTHOP_QUEUE_FULL);
	assert_int_equal(known(x, U, 0xcb007100 + 99), -1);
	assert_int_equal(send_of(x, 4, U, 0xcb007100 + 99, NULL), DP_TAKEN);
	assert_int_equal(send_to(x, U, 0xcb007100 + 98, NULL), DP_TAKEN);
	assert_int_equal(link_in_use(), HOLD_PER_ENVIRONMENT + 2);
}

/* Nor does what one environment sends to the Internet, or all those together that are of none. */
static void bounds_what_waits_of_egress(void **state)
{
	struct link_world *x = *state;
	struct dp_flow_key out = { .protocol = 17 }, in = { .protocol = 17 };
	struct dp_flow *flow[3];

	assert_int_equal(dp_flow_table_create(&x->w.flows, 8, 1, SOCKET_ID_ANY), 0);
	for (uint16_t i = 0; i < RTE_DIM(flow); i++) {
		static const uint16_t whose[] = { 3, 4, DP_NONE_SLOT };

		out.source_port_be = in.destination_port_be = i + 1u;
		in.direction = DP_FLOW_INWARD;
		assert_int_equal(dp_flow_add(x->w.flows, &out, &in, DP_FLOW_UDP, 0, &flow[i]), 0);
		x->w.flows->cold[dp_flow_session(x->w.flows, flow[i])].environment = whose[i];
	}
	for (unsigned i = 0; i < HOLD_PER_ENVIRONMENT; i++) {
		assert_int_equal(send_as(x, DP_NONE_SLOT, flow[0], U, 0xcb007100 + 20 + i, NULL),
		                 DP_TAKEN);
		assert_int_equal(send_as(x, DP_NONE_SLOT, flow[2], U, 0xcb007100 + 20 + i, NULL),
		                 DP_TAKEN);
	}
	assert_int_equal(send_as(x, DP_NONE_SLOT, flow[0], U, 0xcb007100 + 99, NULL),
	                 DP_NEXTHOP_QUEUE_FULL);
	assert_int_equal(send_as(x, DP_NONE_SLOT, flow[2], U, 0xcb007100 + 99, NULL),
	                 DP_NEXTHOP_QUEUE_FULL);
	assert_int_equal(send_of(x, 3, U, 0xcb007100 + 99, NULL), DP_NEXTHOP_QUEUE_FULL);
	assert_int_equal(send_as(x, DP_NONE_SLOT, flow[1], U, 0xcb007100 + 99, NULL), DP_TAKEN);
	assert_int_equal(send_to(x, U, 0xcb007100 + 98, NULL), DP_TAKEN);
	dp_flow_table_destroy(x->w.flows);
	x->w.flows = NULL;
}

static void ends_at_a_full_table(void **state)
{
	struct link_world *x = *state;
	uint32_t added = 0, refused;

	x->ports[U].mask_be = 0; /* everybody is a neighbour */
	while (added < PLACES &&
	       find_or_add(x->w.nexthops, make_key(U, htonl(0x14000000 + added))) >= 0)
		added++;
	refused = 0x14000000 + added;
	assert_in_range(added, PLACES / 2, PLACES);
	assert_int_equal(send_to(x, U, refused, NULL), DP_NEXTHOP_QUEUE_FULL);
	assert_int_equal(link_in_use(), 0);
	dp_nexthop_want(x->w.nexthops, U, htonl(refused));
	hear(x, U, REPLY, refused, MAC_A, SECOND);
	assert_int_equal(known(x, U, refused), -1);
	assert_int_equal(send_to(x, U, 0x14000000, NULL), DP_TAKEN);
}

/* Only the answer to a request of ours is believed. */
static void believes_solicited_replies_alone(void **state)
{
	struct link_world *x = *state;
	uint64_t now = 10 * SECOND;
	struct asked a;

	/* not asked for: no entry, no MAC */
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now);
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	dp_nexthop_want(x->w.nexthops, U, htonl(NEIGHBOUR));
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now); /* wanted, not asked yet */
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	ask(x, now, &a);
	hear(x, U, REQUEST, NEIGHBOUR, MAC_B,
	     now); /* gratuitous requests say nothing, asked or not */
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	hear(x, C, REPLY, NEIGHBOUR, MAC_B, now); /* on the other port */
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
	/* resolved: a second reply, unsolicited ones and gratuitous requests change nothing */
	hear(x, U, REPLY, NEIGHBOUR, MAC_B, now);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
	hear(x, U, REQUEST, NEIGHBOUR, MAC_B, now + 5 * SECOND);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
}

static void refuses_impossible_macs(void **state)
{
	static const uint8_t macs[][6] = { { 0 },
		                           { 0x01, 0, 0x5e, 0, 0, 1 },
		                           { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct link_world *x = *state;
	struct asked a;

	dp_nexthop_want(x->w.nexthops, U, htonl(NEIGHBOUR));
	ask(x, SECOND, &a);
	for (unsigned i = 0; i < RTE_DIM(macs); i++) {
		uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, REPLY };

		memcpy(arp + 8, macs[i], 6);
		nat_put32(arp + 14, NEIGHBOUR);
		memcpy(arp + 18, x->ports[U].mac.addr_bytes, 6);
		memcpy(arp + 24, &x->ports[U].address_be, 4);
		dp_nexthop_learn(x->w.nexthops, U, &x->ports[U], arp, SECOND);
		assert_int_equal(known(x, U, NEIGHBOUR), -1);
	}
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, SECOND);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
}

/* A reply that the switch shows us, or that goes to everybody, answers nothing. */
static void ignores_replies_to_others(void **state)
{
	struct link_world *x = *state;
	uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, REPLY, 0x02, 0, 0, 0, 0, MAC_B };
	struct asked a;

	nat_put32(arp + 14, NEIGHBOUR);
	dp_nexthop_want(x->w.nexthops, U, htonl(NEIGHBOUR));
	ask(x, SECOND, &a);
	memset(arp + 18, 0xff, 6); /* to everybody */
	nat_put32(arp + 24, LINK_UPLINK);
	dp_nexthop_learn(x->w.nexthops, U, &x->ports[U], arp, SECOND);
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	memcpy(arp + 18, x->ports[U].mac.addr_bytes, 6);
	nat_put32(arp + 24, LINK_UPLINK + 1); /* to another address */
	dp_nexthop_learn(x->w.nexthops, U, &x->ports[U], arp, SECOND);
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	nat_put32(arp + 24, LINK_UPLINK);
	dp_nexthop_learn(x->w.nexthops, U, &x->ports[U], arp, SECOND);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_B);
}

/* Somebody claims the address: the neighbour we know is asked first, and while it may answer nobody
 * else is believed. */
static void asks_the_known_neighbour_first(void **state)
{
	struct link_world *x = *state;
	uint64_t now = 10 * SECOND;
	struct asked a;

	resolve(x, U, NEIGHBOUR, MAC_A, now);
	now += 2 * SECOND;
	hear(x, U, REQUEST, NEIGHBOUR, MAC_A, now); /* nothing new */
	assert_int_equal(ask(x, now, &a), 0);
	hear(x, U, REQUEST, NEIGHBOUR, MAC_B, now);
	assert_int_equal(ask(x, now, &a), 1);
	assert_int_equal(a.unicast, 1);
	assert_int_equal(a.mac[5], MAC_A);
	hear(x, U, REPLY, NEIGHBOUR, MAC_B, now); /* nobody asked it */
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
	assert_int_equal(ask(x, now + RETRY_NS - 1, &a), 0);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now + RETRY_NS - 1);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
	assert_int_equal(ask(x, now + RETRY_NS + VERIFY_NS - 2, &a), 0);
}

/* The address has moved: what was there is silent, and then the new one's answer counts. */
static void asks_everybody_when_the_known_is_silent(void **state)
{
	struct link_world *x = *state;
	uint64_t now = 10 * SECOND;
	struct asked a;

	resolve(x, U, NEIGHBOUR, MAC_A, now);
	now += 2 * SECOND;
	hear(x, U, REPLY, NEIGHBOUR, MAC_B, now);
	assert_int_equal(ask(x, now, &a), 1);
	assert_int_equal(a.unicast, 1);
	now += RETRY_NS;
	assert_int_equal(ask(x, now, &a), 1);
	assert_int_equal(a.unicast, 0);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
	hear(x, U, REPLY, NEIGHBOUR, MAC_B, now);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_B);
	/* the same while it is verified as a matter of routine */
	now += VERIFY_NS;
	assert_int_equal(ask(x, now, &a), 1);
	assert_int_equal(a.unicast, 1);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now + 10 * MS);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_B);
	assert_int_equal(ask(x, now + RETRY_NS - 1, &a), 0);
	assert_int_equal(ask(x, now + RETRY_NS, &a), 1);
	assert_int_equal(a.unicast, 0);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now + RETRY_NS);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
}

/* A flood of claims must not use up the tries before the neighbour can answer. */
static void is_not_driven_by_claims(void **state)
{
	struct link_world *x = *state;
	uint64_t now = 10 * SECOND;
	unsigned asked = 0;
	struct asked a;

	resolve(x, U, NEIGHBOUR, MAC_A, now);
	now += 2 * SECOND;
	for (unsigned i = 0; i < 200; i++, now += 10 * MS) {
		hear(x, U, i % 2 ? REQUEST : REPLY, NEIGHBOUR, MAC_B, now);
		asked += ask(x, now, &a);
		if (asked == 1)
			break;
	}
	assert_int_equal(asked, 1);
	/* the known one is silent for a moment: everybody is asked, and no oftener than without the
	 * claims */
	for (unsigned i = 0; i < 90; i++, now += 10 * MS) {
		hear(x, U, REQUEST, NEIGHBOUR, MAC_B, now);
		asked += ask(x, now, &a);
	}
	assert_int_equal(asked, 2);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now);
	/* answered: the next question waits at least a second after the last one */
	for (unsigned i = 0; i < 5; i++, now += 10 * MS) {
		hear(x, U, REQUEST, NEIGHBOUR, MAC_B, now);
		asked += ask(x, now, &a);
	}
	assert_int_equal(asked, 2);
}

static void asks_again_while_unresolved_then_forgets(void **state)
{
	struct link_world *x = *state;
	uint64_t start = 10 * SECOND, last = 0;
	unsigned asked = 0;
	struct asked a;

	dp_nexthop_want(x->w.nexthops, U, htonl(NEIGHBOUR));
	for (uint64_t now = start; now < start + FORGET_NS + 2 * SECOND; now += 10 * MS) {
		if (ask(x, now, &a)) {
			assert_int_equal(a.unicast, 0);
			assert_true(!last || now - last >= RETRY_NS);
			last = now;
			asked++;
		}
	}
	assert_in_range(asked, RETRY_TRIES + FORGET_NS / SECOND - 1,
	                RETRY_TRIES + FORGET_NS / SECOND + 1);
	assert_int_equal(find(x->w.nexthops, make_key(U, htonl(NEIGHBOUR))), -1);
	/* and begins anew when it is wanted again */
	dp_nexthop_want(x->w.nexthops, U, htonl(NEIGHBOUR));
	hear(x, U, REPLY, NEIGHBOUR, MAC_A,
	     start + 100 * SECOND); /* late answer to the old question */
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	assert_int_equal(ask(x, start + 100 * SECOND, &a), 1);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, start + 100 * SECOND);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
}

/* A resolved neighbour is asked every 30 s, by unicast first (RFC 1122 section 2.3.2.1), and keeps
 * its MAC until 5 tries failed. */
static void verifies_what_it_knows(void **state)
{
	struct link_world *x = *state;
	uint64_t now = 10 * SECOND;
	struct asked a;

	resolve(x, U, NEIGHBOUR, MAC_A, now);
	assert_int_equal(ask(x, now + VERIFY_NS - 1, &a), 0);
	now += VERIFY_NS;
	assert_int_equal(ask(x, now, &a), 1);
	assert_int_equal(a.unicast, 1);
	assert_int_equal(a.mac[0], 0x02);
	assert_int_equal(a.mac[5], MAC_A);
	hear(x, U, REPLY, NEIGHBOUR, MAC_A, now);
	assert_int_equal(ask(x, now + VERIFY_NS - 1, &a), 0);
	/* now it is silent */
	now += VERIFY_NS;
	for (unsigned try = 0; try < VERIFY_TRIES; try++, now += VERIFY_RETRY_NS) {
		assert_int_equal(known(x, U, NEIGHBOUR), MAC_A);
		assert_int_equal(ask(x, now, &a), 1);
		assert_int_equal(a.unicast, try < 2);
		assert_int_equal(ask(x, now + VERIFY_RETRY_NS - 1, &a), 0);
	}
	assert_int_equal(ask(x, now, &a), 1);
	assert_int_equal(a.unicast, 0);
	assert_int_equal(known(x, U, NEIGHBOUR), -1);
	assert_int_equal(send_to(x, U, NEIGHBOUR, NULL), DP_TAKEN);
	/* back again, elsewhere */
	hear(x, U, REPLY, NEIGHBOUR, MAC_B, now);
	assert_int_equal(known(x, U, NEIGHBOUR), MAC_B);
	assert_int_equal(ask(x, now + VERIFY_NS - 1, &a), 0);
}

/* A flood of new neighbours: so many requests at a time and no more, and everybody's turn comes. */
static void asks_a_bounded_number_at_once(void **state)
{
	struct link_world *x = *state;
	const uint64_t now = 10 * SECOND;
	struct asked a;
	unsigned total = 0;

	for (uint32_t i = 0; i < 1000; i++)
		dp_nexthop_want(x->w.nexthops, DP_PORT_CLUSTER, htonl(0x0a000100u + i));
	for (unsigned call = 0; call < 1000 / REQUESTS_AT_ONCE + 1; call++) {
		assert_true(ask(x, now, &a) <= REQUESTS_AT_ONCE);
		total += a.count;
	}
	assert_int_equal(total, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_by_port),
		cmocka_unit_test_setup_teardown(resolves_the_routers_and_sends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(finds_the_way_of_each, set_up, tear_down),
		cmocka_unit_test_setup_teardown(holds_packets_until_the_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(drops_what_waited_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds_what_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds_what_waits_of_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds_what_waits_of_egress, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ends_at_a_full_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(believes_solicited_replies_alone, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(refuses_impossible_macs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ignores_replies_to_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_the_known_neighbour_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_everybody_when_the_known_is_silent, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(is_not_driven_by_claims, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_a_bounded_number_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_again_while_unresolved_then_forgets, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(verifies_what_it_knows, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nexthop", tests, link_eal, NULL);
}
