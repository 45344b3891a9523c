/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control thread's loop: connections, requests, punted packets, ARP, expiry. */
#include "dataplane/ctl.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "common/ipc_codec.h"
#include "common/ipc_sock.h"
#include "common/log.h"
#include "common/netaddr.h"
#include "common/secret.h"
#include "dataplane/ctl_requests.h"
#include "dataplane/egress_use.h"
#include "dataplane/exception_port.h"
#include "dataplane/failover.h"
#include "dataplane/nexthop.h"
#include "dataplane/ovpn_stream.h"
#include "dataplane/pmtu.h"
#include "dataplane/punt.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"

#define TICK_MS 1       /* punted packets wait at most this long */
#define IDLE_TICK_MS 50 /* before ports and workers run */
#define ARP_NS 10000000ull
#define SECOND_NS 1000000000ull
#define PUNT_BURST 64u
#define STREAM_AT_ONCE 256u
#define EXPIRE_AT_ONCE 64u
#define REQUESTS_AT_ONCE 256u
#define ARP_LENGTH 28u
#define DATAGRAM_HEADERS 28u /* IPv4 and UDP */
#define SEND_BUFFER (512 * 1024)

struct ctl {
	struct dp_core *core;
	struct dp_requests requests;
	struct dp_reply reply;
	uid_t user;
	int listener;
	int client;   /* served; -1: none */
	int newcomer; /* accepted, its HELLO is awaited; -1: none */
	uint64_t newcomer_since_ns;
	uint64_t arp_due_ns;
	uint64_t second_due_ns;
	uint64_t refusal_due_ns; /* before it, no datagram that was refused is told of */
	bool link_up[DP_PORT_COUNT];
	bool is_behind; /* packets of the exception port or of streams wait */
	uint8_t message[IPC_MSG_MAX] __attribute__((aligned(8)));
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void close_client(struct ctl *c, const char *reason)
{
	if (c->client < 0)
		return;
	close(c->client);
	c->client = -1;
	sp_log(SP_LOG_WARN, "control: disconnected reason=\"%s\" (forwarding goes on)", reason);
}

static void close_newcomer(struct ctl *c, const char *reason)
{
	if (c->newcomer < 0)
		return;
	close(c->newcomer);
	c->newcomer = -1;
	sp_log(SP_LOG_WARN, "control: refused a connection reason=\"%s\"", reason);
}

/* The control thread's cells, behind those of the workers. */
static struct dp_counters *own_counters(struct ctl *c)
{
	return dp_stats_cells(c->core->stats, c->core->worker_count);
}

/* ---- HELLO ---- */

static int send_hello(struct ctl *c, int fd, uint16_t flags, uint32_t seq, int32_t status)
{
	struct ipc_hello hello = { .magic = IPC_MAGIC,
		                   .major = IPC_VERSION_MAJOR,
		                   .minor = IPC_VERSION_MINOR,
		                   .epoch = c->core->epoch,
		                   .pid = (uint32_t)getpid(),
		                   .flags = c->core->is_started ? IPC_HELLO_STARTED : 0,
		                   .generation =
		                           c->core->generation ? c->core->generation->id : 0 };

	snprintf(hello.instance, sizeof(hello.instance), "%s", c->core->instance);
	return ipc_send(fd, IPC_HELLO, flags, seq, status, &hello, sizeof(hello), NULL, 0);
}

/* The newcomer's first message: its HELLO makes it the one that is served. */
static void greet(struct ctl *c)
{
	ssize_t length = ipc_receive(c->newcomer, c->message, sizeof(c->message));
	const struct ipc_header *header;
	const struct ipc_hello *hello;
	const void *body;
	int rc;

	if (length == -EAGAIN)
		return;
	if (length <= 0) {
		close_newcomer(c, length ? strerror((int)-length) : "it left without a HELLO");
		return;
	}
	rc = ipc_decode(c->message, (size_t)length, &header, &body);
	if (rc || header->type != IPC_HELLO || (header->flags & IPC_REPLY)) {
		close_newcomer(c, "its first message is no HELLO");
		return;
	}
	hello = body;
	rc = ipc_hello_check(hello, c->core->instance);
	if (rc) {
		send_hello(c, c->newcomer, IPC_REPLY, header->seq, rc);
		close_newcomer(c, rc == -EXDEV             ? "it belongs to another instance"
		                  : rc == -EPROTONOSUPPORT ? "another version of the contract"
		                                           : "no HELLO of ours");
		return;
	}
	if (send_hello(c, c->newcomer, IPC_REPLY, header->seq, 0)) {
		close_newcomer(c, "its socket does not take the answer");
		return;
	}
	if (c->client >= 0)
		close_client(c, "a newer control plane took over");
	c->client = c->newcomer;
	c->newcomer = -1;
	c->requests.control_epoch = hello->epoch;
	sp_log(SP_LOG_INFO, "control: connected pid=%u epoch=%016llx", hello->pid,
	       (unsigned long long)hello->epoch);
}

static void accept_newcomer(struct ctl *c)
{
	int fd = ipc_accept(c->listener, c->user);

	if (fd == -EAGAIN)
		return;
	if (fd < 0) {
		sp_log(SP_LOG_WARN, "control: refused a connection reason=\"%s\"",
		       fd == -EPERM ? "uid not allowed" : strerror(-fd));
		return;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ SEND_BUFFER }, sizeof(int)) != 0)
		sp_log(SP_LOG_DEBUG, "control: a small send buffer reason=\"%s\"", strerror(errno));
	close_newcomer(c, "another one came before its HELLO");
	c->newcomer = fd;
	c->newcomer_since_ns = now_ns();
}

/* ---- requests ---- */

/* Datagrams have no reply: they are counted, and one a second is told of. */
static void refuse_datagram(struct ctl *c, const struct ipc_punt *punt, enum dp_verdict reason)
{
	char source[SP_ADDRESS_TEXT];
	uint64_t now = now_ns();

	own_counters(c)->drop[reason]++;
	if (now < c->refusal_due_ns)
		return;
	c->refusal_due_ns = now + SECOND_NS;
	sp_log(SP_LOG_WARN, "ike: a datagram was not sent source=%s bytes=%u reason=%s",
	       sp_address_format(source, punt->source_be), punt->length, dp_verdict_name(reason));
}

static void transmit_datagram(struct ctl *c, const struct ipc_punt *punt)
{
	struct dp_worker *w;
	struct rte_mbuf *m;
	bool is_large;
	int rc;

	if (!c->core->is_started) /* nothing to count in, nobody to send it */
		return;
	if (punt->source_be != c->core->ports[DP_PORT_UPLINK].address_be) {
		refuse_datagram(c, punt, DP_IKE_SOURCE);
		return;
	}
	w = c->core->workers[0];
	is_large = DATAGRAM_HEADERS + punt->length > c->core->ports[DP_PORT_UPLINK].mtu;
	rc = dp_punt_datagram(is_large ? c->core->datagrams : c->core->mbufs, punt, punt + 1, &m);
	if (rc) {
		refuse_datagram(c, punt, rc == -ENOMEM ? DP_NO_MBUF : DP_IKE_MALFORMED);
		return;
	}
	if (is_large) /* leaves in fragments */
		dp_ipv4_clear_df(rte_pktmbuf_mtod(m, uint8_t *));
	m->port = DP_PORT_UPLINK;
	m->packet_type = RTE_PTYPE_L3_IPV4;
	if (rte_ring_enqueue(w->send, m) != 0) {
		own_counters(c)->drop[DP_TX_FULL]++;
		rte_pktmbuf_free(m);
		return;
	}
	own_counters(c)->ike_out++;
}

/* Out of a byte stream. */
static void open_packet(struct ctl *c, const struct ipc_punt *punt)
{
	enum dp_verdict verdict;

	if (!c->core->is_started)
		return;
	verdict = dp_ovpn_stream_open(c->core, punt, (const uint8_t *)(punt + 1));
	if (verdict == DP_TAKEN)
		own_counters(c)->ovpn_stream_in++;
	else
		own_counters(c)->drop[verdict]++;
}

static int send_reply(struct ctl *c, const struct ipc_header *request)
{
	struct dp_reply *reply = &c->reply;
	int rc;

	if (reply->descriptor < 0)
		return ipc_send(c->client, request->type, IPC_REPLY, request->seq, reply->status,
		                reply->body, reply->length, NULL, 0);
	rc = ipc_send_descriptor(c->client, request->type, IPC_REPLY, request->seq, reply->body,
	                         reply->length, reply->descriptor);
	close(reply->descriptor);
	return rc;
}

/* One message of the client. False: the connection is over. */
static bool serve_one(struct ctl *c)
{
	ssize_t length = ipc_receive(c->client, c->message, sizeof(c->message));
	const struct ipc_header *header;
	struct ipc_header request;
	const void *body;
	int rc;

	if (length == -EAGAIN)
		return false;
	if (length <= 0) {
		close_client(c, length ? strerror((int)-length) : "closed by the control plane");
		return false;
	}
	rc = ipc_decode(c->message, (size_t)length, &header, &body);
	if (rc == 0 && header->type == IPC_PUNT_TX) {
		transmit_datagram(c, body);
		return true;
	}
	if (rc == 0 && header->type == IPC_STREAM_TX) {
		open_packet(c, body);
		return true;
	}
	if ((size_t)length < sizeof(struct ipc_header)) {
		close_client(c, "half a header");
		return false;
	}
	memcpy(&request, c->message, sizeof(request)); /* outlives the wiped message */
	c->reply.length = 0;
	c->reply.descriptor = -1;
	c->reply.status = rc;
	if (rc)
		sp_log(SP_LOG_WARN, "control: refused a message type=%s reason=\"%s\"",
		       ipc_type_name(request.type), strerror(-rc));
	else
		dp_request(&c->requests, header, body, &c->reply);
	if (request.type == IPC_SA_ADD || request.type == IPC_KEEPSAKE_SET)
		sp_wipe(c->message, sizeof(c->message));
	rc = send_reply(c, &request);
	if (request.type == IPC_KEEPSAKE_GET)
		sp_wipe(c->reply.body, sizeof(c->reply.body));
	if (rc)
		close_client(c, "it does not read its replies");
	return rc == 0;
}

static void serve(struct ctl *c)
{
	for (unsigned i = 0; i < REQUESTS_AT_ONCE && c->client >= 0; i++)
		if (!serve_one(c))
			return;
}

/* Level triggered: what does not fit now is told again later. */
static void send_events(struct ctl *c)
{
	struct ipc_event event = { .changed = c->requests.changed };

	if (event.changed && c->client >= 0 &&
	    ipc_send(c->client, IPC_EVENT, 0, 0, 0, &event, sizeof(event), NULL, 0) == 0)
		c->requests.changed = 0;
}

/* ---- packets ---- */

/* Whether the client's queue is at most a quarter full (then poll(2) calls it writable): what
 * anybody can send leaves room for replies, without which the connection ends. */
static bool has_room(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	return poll(&room, 1, 0) == 1 && room.revents == POLLOUT;
}

static void forward_datagram(struct ctl *c, const struct rte_mbuf *m, enum ipc_type type,
                             enum dp_verdict full)
{
	const uint8_t *l3 = rte_pktmbuf_mtod(m, const uint8_t *), *udp = l3 + 20;
	struct ipc_punt punt = { .source_be = dp_load32(l3 + 12),
		                 .destination_be = dp_load32(l3 + 16),
		                 .source_port_be = dp_load16(udp),
		                 .destination_port_be = dp_load16(udp + 2),
		                 .length = rte_be_to_cpu_16(dp_load16(udp + 4)) - 8u };

	if (c->client < 0)
		own_counters(c)->drop[DP_NO_CONTROL_PLANE]++;
	else if (!has_room(c->client) || ipc_send(c->client, (uint16_t)type, 0, 0, 0, &punt,
	                                          sizeof(punt), udp + 8, punt.length) != 0)
		own_counters(c)->drop[full]++;
}

/* The SA it quotes may be at home on any worker. */
static void learn_pmtu(struct ctl *c, const struct rte_mbuf *m)
{
	struct dp_pmtu_quote quote;
	bool is_learned = false;

	if (dp_pmtu_read(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &quote) == 0)
		for (uint16_t i = 0; i < c->core->worker_count && !is_learned; i++)
			is_learned =
				dp_worker_call(c->core->workers[i], dp_pmtu_learn, &quote) == 0;
	own_counters(c)->drop[is_learned ? DP_PMTU_ACCEPTED : DP_PMTU_REFUSED]++;
	if (is_learned)
		c->requests.changed |= IPC_CHANGED_TUNNELS;
}

static unsigned take_punted(struct ctl *c)
{
	struct rte_mbuf *m[PUNT_BURST];
	unsigned n = rte_ring_dequeue_burst(c->core->punt, (void **)m, PUNT_BURST, NULL);

	for (unsigned i = 0; i < n; i++) {
		if (m[i]->packet_type == RTE_PTYPE_L2_ETHER_ARP)
			dp_nexthop_learn(c->core->nexthops, (enum dp_port_id)m[i]->port,
			                 &c->core->ports[m[i]->port],
			                 rte_pktmbuf_mtod(m[i], uint8_t *), now_ns());
		else if (rte_pktmbuf_mtod(m[i], const uint8_t *)[9] == IPPROTO_ICMP)
			learn_pmtu(c, m[i]);
		else
			forward_datagram(c, m[i], IPC_PUNT_RX, DP_PUNT_QUEUE_FULL);
	}
	rte_pktmbuf_free_bulk(m, n);
	return n;
}

/* What is for byte streams, a bounded number. Returns whether there is more. */
static bool take_stream(struct ctl *c)
{
	struct rte_mbuf *m[PUNT_BURST];
	unsigned n = PUNT_BURST;

	for (unsigned taken = 0; n == PUNT_BURST && taken < STREAM_AT_ONCE; taken += n) {
		n = rte_ring_dequeue_burst(c->core->stream, (void **)m, PUNT_BURST, NULL);
		for (unsigned i = 0; i < n; i++)
			forward_datagram(c, m[i], IPC_STREAM_RX, DP_OVPN_STREAM_FULL);
		rte_pktmbuf_free_bulk(m, n);
	}
	return n == PUNT_BURST;
}

/* RFC 826. */
static void send_arp_request(void *context, enum dp_port_id id, uint32_t target_be,
                             const uint8_t mac[6])
{
	struct ctl *c = context;
	const struct dp_port *port = &c->core->ports[id];
	struct rte_mbuf *m = rte_pktmbuf_alloc(c->core->mbufs);
	struct rte_ether_hdr *eth;
	uint8_t *arp;

	if (!m)
		return;
	eth = (struct rte_ether_hdr *)rte_pktmbuf_append(m, sizeof(*eth) + ARP_LENGTH);
	arp = (uint8_t *)(eth + 1);
	if (mac)
		memcpy(&eth->dst_addr, mac, 6);
	else
		memset(&eth->dst_addr, 0xff, 6);
	eth->src_addr = port->mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP);
	dp_store32(arp, rte_cpu_to_be_32(0x00010800));
	dp_store32(arp + 4, rte_cpu_to_be_32(0x06040001));
	memcpy(arp + 8, &port->mac, 6);
	dp_store32(arp + 14, port->address_be);
	memset(arp + 18, 0, 6);
	dp_store32(arp + 24, target_be);
	m->port = id;
	m->packet_type = 0;
	if (rte_ring_enqueue(c->core->workers[0]->send, m) != 0)
		rte_pktmbuf_free(m);
}

/* ---- every second ---- */

struct expired {
	void *memory[EXPIRE_AT_ONCE];
	unsigned count;
	bool changed;
};

static int on_expire(struct dp_worker *w, void *argument)
{
	struct expired *e = argument;

	dp_pmtu_expire(w);
	e->count = dp_sa_expire(w, e->memory, EXPIRE_AT_ONCE);
	e->changed |= dp_sa_take_changed(w) || e->count;
	return 0;
}

static int on_refresh(struct dp_worker *w, void *argument)
{
	int *moved = argument;

	for (uint32_t i = 0; w->generation && i < w->generation->environment_count; i++)
		if (w->generation->environments[i].home == w->index)
			*moved |= dp_failover_refresh(w, w->generation->environments[i].slot);
	return 0;
}

static void expire_sas(struct ctl *c)
{
	for (uint16_t i = 0; i < c->core->worker_count; i++) {
		struct expired e = { .changed = false };
		int moved = 0;

		do {
			dp_worker_call(c->core->workers[i], on_expire, &e);
			for (unsigned k = 0; k < e.count; k++)
				dp_sa_free(e.memory[k]);
		} while (e.count == EXPIRE_AT_ONCE);
		if (!e.changed)
			continue;
		c->requests.changed |= IPC_CHANGED_SAS;
		dp_worker_call(c->core->workers[i], on_refresh, &moved);
		if (moved)
			c->requests.changed |= IPC_CHANGED_TUNNELS;
	}
}

static void watch_failover(struct ctl *c)
{
	for (uint16_t i = 0; i < c->core->worker_count; i++)
		if (atomic_exchange_explicit(&c->core->workers[i]->failover.is_changed, 0,
		                             memory_order_relaxed))
			c->requests.changed |= IPC_CHANGED_TUNNELS;
}

static void watch_links(struct ctl *c)
{
	static const char *const names[DP_PORT_COUNT] = {
		[DP_PORT_UPLINK] = "uplink", [DP_PORT_CLUSTER] = "cluster"
	};

	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		struct rte_eth_link link;

		if (rte_eth_link_get_nowait(c->core->ports[id].ethdev, &link) < 0 ||
		    link.link_status == c->link_up[id])
			continue;
		c->link_up[id] = link.link_status;
		c->requests.changed |= IPC_CHANGED_PORTS;
		sp_log(link.link_status ? SP_LOG_INFO : SP_LOG_ERR, "port: link name=%s state=%s",
		       names[id], link.link_status ? "up" : "down");
	}
}

/* What never came to a worker, or did not leave: the devices' own word, apart from our drops. */
static void read_ports(struct ctl *c)
{
	struct dp_counters *count = own_counters(c);

	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		struct rte_eth_stats stats;

		if (rte_eth_stats_get(c->core->ports[id].ethdev, &stats) != 0)
			continue;
		count->rx_missed[id] = dp_port_missed(&c->core->ports[id], stats.imissed);
		count->rx_no_buffer[id] = stats.rx_nombuf;
		count->rx_errors[id] = stats.ierrors;
		count->tx_errors[id] = stats.oerrors;
	}
}

static void keep_house(struct ctl *c, uint64_t now)
{
	if (now >= c->arp_due_ns) {
		c->arp_due_ns = now + ARP_NS;
		dp_nexthop_maintain(c->core->nexthops, now, send_arp_request, c);
		dp_egress_count_step(c->requests.egress_count, c->core, now);
	}
	if (now >= c->second_due_ns) {
		c->second_due_ns = now + SECOND_NS;
		own_counters(c)->egress_busiest_ports =
			dp_egress_count_busiest(c->requests.egress_count);
		own_counters(c)->mbufs_free = rte_mempool_avail_count(c->core->mbufs);
		expire_sas(c);
		dp_exception_port_expire(c->requests.exception, now);
		read_ports(c);
		watch_links(c);
	}
}

/* ---- the loop ---- */

static int patience_ms(const struct ctl *c)
{
	if (c->is_behind)
		return 0;
	return c->core->is_started ? TICK_MS : IDLE_TICK_MS;
}

static void turn(struct ctl *c)
{
	struct pollfd fds[] = {
		{ .fd = c->listener, .events = POLLIN },
		{ .fd = c->client, .events = POLLIN },
		{ .fd = c->newcomer, .events = POLLIN },
		{ .fd = dp_exception_port_descriptor(c->requests.exception), .events = POLLIN },
	};
	uint64_t now;

	if (poll(fds, RTE_DIM(fds), patience_ms(c)) < 0 && errno != EINTR)
		return;
	if (fds[1].revents && c->client >= 0)
		serve(c);
	if (fds[2].revents && c->newcomer >= 0)
		greet(c);
	if (fds[0].revents)
		accept_newcomer(c);
	now = now_ns();
	if (c->newcomer >= 0 && now - c->newcomer_since_ns > SECOND_NS)
		close_newcomer(c, "no HELLO within a second");
	if (!c->core->is_started)
		return;
	while (take_punted(c) == PUNT_BURST)
		;
	c->is_behind = dp_exception_port_run(c->requests.exception, now);
	c->is_behind |= take_stream(c);
	keep_house(c, now);
	watch_failover(c);
	send_events(c);
}

int dp_ctl_run(struct dp_core *core, uid_t user, gid_t group, const volatile sig_atomic_t *stop)
{
	struct ctl *c = calloc(1, sizeof(*c));
	char path[256];
	int rc = 0;

	if (!c)
		return -ENOMEM;
	c->core = core;
	c->client = c->newcomer = -1;
	c->user = user;
	c->requests.core = core;
	c->requests.staging = dp_staging_create();
	c->requests.egress_count = dp_egress_count_create();
	c->requests.exception = dp_exception_port_create(core);
	snprintf(path, sizeof(path), "%s/dataplane.sock", core->run_dir);
	c->listener = ipc_listen(path, group);
	if (!c->requests.staging || !c->requests.egress_count || !c->requests.exception ||
	    c->listener < 0) {
		rc = c->listener < 0 ? c->listener : -ENOMEM;
		sp_log(SP_LOG_ERR, "control: cannot listen path=%s reason=\"%s\"", path,
		       strerror(-rc));
	} else {
		sp_log(SP_LOG_INFO, "control: waiting for the control plane path=%s", path);
		while (!*stop && !*core->failure)
			turn(c);
		if (*core->failure) {
			/* EAL starts once a process: whoever supervises us gives the next NODE a
			 * new one */
			sp_log(SP_LOG_ERR, "control: ends, its start failed reason=\"%s\"",
			       core->failure);
			rc = -ENODEV;
		}
		unlink(path);
	}
	if (c->client >= 0)
		close(c->client);
	if (c->newcomer >= 0)
		close(c->newcomer);
	if (c->listener >= 0)
		close(c->listener);
	dp_exception_port_destroy(c->requests.exception);
	dp_egress_count_destroy(c->requests.egress_count);
	dp_staging_destroy(c->requests.staging);
	sp_wipe(c->message, sizeof(c->message));
	free(c);
	return rc;
}
