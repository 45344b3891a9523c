/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows and their ports; packets between the workers' queue and the TUN device. */
#include "dataplane/exception_port.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "dataplane/core.h"
#include "dataplane/egress.h"
#include "dataplane/exception.h"
#include "dataplane/exception_net.h"
#include "dataplane/ipv4.h"
#include "dataplane/nat_flow.h"
#include "dataplane/portpool.h"
#include "dataplane/wire.h"

#define PLACES 1024u /* ports, each with a flow at most */
#define PORT_FIRST 16384u
#define PORT_TRIES 64u
#define IDLE_NS 300000000000ull  /* sockets ask their peers each minute */
#define LINGER_NS 60000000000ull /* behind FLOW_DEL: FIN, RST, and what answers them */
#define REST_NS 120000000000ull  /* before a port has another flow: RFC 9293's TIME-WAIT */
#define AT_ONCE 256u             /* packets in each direction */
#define BURST 32u
#define TCP_HEADER 20u

/* A port of ours, which NAT does not give to anybody any more. */
struct place {
	uint64_t remote;   /* dp_exception_remote(); 0: no flow */
	uint64_t until_ns; /* of the flow; without one: when the port has rested */
	uint16_t port_be;
	bool is_closing;
};

struct dp_exception_port {
	struct dp_core *core;
	struct dp_exception_net net;
	unsigned count;
	struct place places[PLACES];
	uint16_t place_of[65536]; /* by port in network byte order: its place + 1; 0: none */
};

struct dp_exception_port *dp_exception_port_create(struct dp_core *core)
{
	struct dp_exception_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->core = core;
	port->net.tun = -1;
	return port;
}

void dp_exception_port_destroy(struct dp_exception_port *port)
{
	if (!port)
		return;
	dp_exception_net_destroy(&port->net);
	free(port);
}

/* ---- ports ---- */

static int reserve(struct dp_worker *w, void *port)
{
	dp_portpool_reserve(w->portpool, *(const uint16_t *)port);
	return 0;
}

/* Whether a session of egress has the port towards that remote: it was given before. */
static int is_taken(struct dp_worker *w, void *key)
{
	return dp_flow_lookup(w->flows, key, dp_flow_hash(w->flows, key)) != NULL;
}

/* A new port of ours towards the remote, reserved at all workers; NULL: none. */
static struct place *make_place(struct dp_exception_port *p, const struct ipc_flow *flow)
{
	struct dp_worker *owner =
		p->core->workers[dp_egress_owner(flow->remote_be, p->core->worker_count)];
	struct dp_flow_key key __rte_aligned(
		16) = { .source_be = flow->remote_be,
		        .destination_be = p->core->ports[DP_PORT_UPLINK].address_be,
		        .source_port_be = flow->remote_port_be,
		        .protocol = IPPROTO_TCP,
		        .direction = DP_FLOW_INWARD,
		        .environment = DP_SCOPE_EGRESS };

	for (unsigned i = 0; i < PORT_TRIES && p->count < PLACES; i++) {
		struct place *place = &p->places[p->count];
		uint16_t port;

		if (getrandom(&port, sizeof(port), 0) != sizeof(port) || port < PORT_FIRST)
			continue;
		key.destination_port_be = rte_cpu_to_be_16(port);
		if (p->place_of[key.destination_port_be])
			continue;
		dp_core_call_all(p->core, reserve, &port);
		if (dp_worker_call(owner, is_taken, &key))
			continue; /* it stays reserved: one of 64,000 */
		*place = (struct place){ .port_be = key.destination_port_be };
		p->place_of[place->port_be] = (uint16_t)++p->count;
		return place;
	}
	return NULL;
}

/* A port for a flow to there: one that has rested, or a new one. */
static struct place *find_place(struct dp_exception_port *p, const struct ipc_flow *flow,
                                uint64_t now_ns)
{
	for (unsigned i = 0; i < p->count; i++)
		if (!p->places[i].remote && now_ns >= p->places[i].until_ns)
			return &p->places[i];
	return make_place(p, flow);
}

/* ---- flows ---- */

static void end_flow(struct dp_exception_port *p, struct place *place, uint64_t now_ns)
{
	dp_exception_set(p->core->exception, place->port_be, 0);
	place->remote = 0;
	place->until_ns = now_ns + REST_NS;
	place->is_closing = false;
}

static int make_net(struct dp_exception_port *p)
{
	const struct dp_port *uplink = &p->core->ports[DP_PORT_UPLINK];
	int rc;

	if (p->net.tun >= 0)
		return 0;
	rc = dp_exception_net_create(&p->net, uplink->address_be, uplink->mtu);
	if (rc)
		sp_log(SP_LOG_ERR,
		       "exception: no TCP on the uplink's address, its namespace cannot be made reason=\"%s\"",
		       strerror(-rc));
	else
		sp_log(SP_LOG_INFO, "exception: made a namespace for TCP on the uplink's address");
	return rc;
}

int dp_exception_port_open(struct dp_exception_port *p, struct ipc_flow *flow, uint64_t now_ns)
{
	char remote[SP_ADDRESS_TEXT];
	struct place *place;
	int rc = make_net(p), fd;

	if (rc)
		return rc;
	place = find_place(p, flow, now_ns);
	if (!place)
		return -ENOSPC;
	fd = dp_exception_net_socket(&p->net, p->core->ports[DP_PORT_UPLINK].address_be,
	                             place->port_be);
	if (fd < 0)
		return fd;
	place->remote = dp_exception_remote(flow->remote_be, flow->remote_port_be);
	place->until_ns = now_ns + IDLE_NS;
	flow->local_port_be = place->port_be;
	dp_exception_set(p->core->exception, place->port_be, place->remote);
	sp_log(SP_LOG_INFO, "exception: registered a flow remote=%s:%u port=%u",
	       sp_address_format(remote, flow->remote_be), rte_be_to_cpu_16(flow->remote_port_be),
	       rte_be_to_cpu_16(flow->local_port_be));
	return fd;
}

/* The place of a flow, or NULL. */
static struct place *find_flow(struct dp_exception_port *p, uint64_t remote, uint16_t local_port_be)
{
	unsigned i = p->place_of[local_port_be];

	return i && remote && p->places[i - 1].remote == remote ? &p->places[i - 1] : NULL;
}

int dp_exception_port_close(struct dp_exception_port *p, const struct ipc_flow *flow,
                            uint64_t now_ns)
{
	struct place *place = find_flow(
		p, dp_exception_remote(flow->remote_be, flow->remote_port_be), flow->local_port_be);

	if (!place || place->is_closing)
		return -ENOENT;
	place->is_closing = true;
	place->until_ns = now_ns + LINGER_NS;
	return 0;
}

void dp_exception_port_expire(struct dp_exception_port *p, uint64_t now_ns)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->places[i].remote && now_ns >= p->places[i].until_ns)
			end_flow(p, &p->places[i], now_ns);
}

/* Something of the flow passed. */
static void touch(struct place *place, uint64_t now_ns)
{
	if (!place->is_closing)
		place->until_ns = now_ns + IDLE_NS;
}

/* ---- packets ---- */

static struct dp_counters *counters(const struct dp_exception_port *p)
{
	return dp_stats_cells(p->core->stats, p->core->worker_count);
}

int dp_exception_port_descriptor(const struct dp_exception_port *p)
{
	return p->net.tun;
}

/* Network to stack. A flow may have ended while its packet waited: the stack answers for itself. */
static unsigned carry_in(struct dp_exception_port *p, uint64_t now_ns)
{
	struct rte_mbuf *m[BURST];
	unsigned n = rte_ring_dequeue_burst(p->core->exception->in, (void **)m, BURST, NULL);

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *l3 = rte_pktmbuf_mtod(m[i], const uint8_t *),
			      *tcp = l3 + DP_IPV4_HEADER;
		struct place *place = NULL;

		if (l3[9] == IPPROTO_TCP)
			place = find_flow(p,
			                  dp_exception_remote(dp_load32(l3 + 12), dp_load16(tcp)),
			                  dp_load16(tcp + 2));
		if (place)
			touch(place, now_ns);
		if (write(p->net.tun, l3, m[i]->data_len) == m[i]->data_len)
			counters(p)->exception_in++;
		else
			counters(p)->drop[DP_EXCEPTION_QUEUE_FULL]++;
	}
	rte_pktmbuf_free_bulk(m, n);
	return n;
}

/* The flow that the stack's packet belongs to, or NULL: whatever else it says stays here. */
static struct place *check_out(struct dp_exception_port *p, const uint8_t *l3, size_t length)
{
	const uint8_t *tcp = l3 + DP_IPV4_HEADER;

	if (length < DP_IPV4_HEADER + TCP_HEADER || l3[0] != 0x45 || l3[9] != IPPROTO_TCP ||
	    rte_be_to_cpu_16(dp_load16(l3 + 2)) != length || dp_ipv4_is_fragment(l3) ||
	    dp_load32(l3 + 12) != p->core->ports[DP_PORT_UPLINK].address_be)
		return NULL;
	return find_flow(p, dp_exception_remote(dp_load32(l3 + 16), dp_load16(tcp + 2)),
	                 dp_load16(tcp));
}

/* Stack to network. False: there is nothing more. */
static bool carry_out(struct dp_exception_port *p, uint64_t now_ns)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->core->mbufs);
	struct place *place;
	ssize_t length;

	if (!m) { /* it waits in the device */
		counters(p)->drop[DP_NO_MBUF]++;
		return false;
	}
	length = read(p->net.tun, rte_pktmbuf_mtod(m, void *), rte_pktmbuf_tailroom(m));
	if (length <= 0) {
		rte_pktmbuf_free(m);
		return false;
	}
	place = check_out(p, rte_pktmbuf_mtod(m, const uint8_t *), (size_t)length);
	if (!place) {
		counters(p)->drop[DP_EXCEPTION_FLOW]++;
		rte_pktmbuf_free(m);
		return true;
	}
	touch(place, now_ns);
	rte_pktmbuf_append(m, (uint16_t)length);
	m->port = DP_PORT_UPLINK;
	m->packet_type = RTE_PTYPE_L3_IPV4;
	if (rte_ring_enqueue(p->core->workers[0]->send, m) == 0) {
		counters(p)->exception_out++;
	} else {
		counters(p)->drop[DP_TX_FULL]++;
		rte_pktmbuf_free(m);
	}
	return true;
}

bool dp_exception_port_run(struct dp_exception_port *p, uint64_t now_ns)
{
	unsigned in = 0, out = 0, n;

	if (p->net.tun < 0)
		return false;
	do {
		n = carry_in(p, now_ns);
		in += n;
	} while (n == BURST && in < AT_ONCE);
	while (out < AT_ONCE && carry_out(p, now_ns))
		out++;
	return in >= AT_ONCE || out >= AT_ONCE;
}
