/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's side of ESP is the dataplane's own crypto module with the server's key. */
#include "bench/frames.h"

#include <string.h>

#include <rte_ether.h>

#include "dataplane/ipv4.h"
#include "dataplane/ovpn.h"
#include "dataplane/tcp_track.h"

#define ESP_HEADER 8u
#define UDP_HEADER 8u
#define TRAILER 2u
#define NEXT_IPV4 4
#define TTL 64
#define PAYLOAD_BEGIN 1000u /* sequence number behind a SYN */

static const uint8_t neighbour[6] = { 2, 0, 0, 0, 0, 2 };

/* Addresses and ports, network byte order. */
struct tuple {
	uint32_t source_be, destination_be;
	uint16_t source_port_be, destination_port_be;
};

static struct tuple from_client(const struct world *world, enum world_kind kind, uint32_t session)
{
	struct tuple t = {
		.source_be = rte_cpu_to_be_32(WORLD_CLIENT + session % WORLD_CLIENTS),
		.source_port_be =
			rte_cpu_to_be_16((uint16_t)(WORLD_CLIENT_PORT + session / WORLD_CLIENTS)),
		.destination_be = rte_cpu_to_be_32(WORLD_POD + world_environment(world, session)),
		.destination_port_be = rte_cpu_to_be_16(
			(uint16_t)(WORLD_FORWARD_PORT + world_forward(world, session))),
	};

	if (kind == WORLD_EGRESS) {
		t.destination_be = world_remote_be(session);
		t.destination_port_be = rte_cpu_to_be_16(WORLD_REMOTE_PORT);
	}
	return t;
}

static struct tuple from_server(const struct world *world, enum world_kind kind, uint32_t session)
{
	uint32_t forward = world_forward(world, session);
	struct tuple t = {
		.source_be = rte_cpu_to_be_32(WORLD_TARGET + forward),
		.source_port_be = rte_cpu_to_be_16(WORLD_TARGET_PORT),
		.destination_be = rte_cpu_to_be_32(WORLD_INNER + forward % world->options.servers),
		.destination_port_be = world->ports_be[kind][session],
	};

	if (kind == WORLD_EGRESS) {
		t.source_be = world_remote_be(session);
		t.source_port_be = rte_cpu_to_be_16(WORLD_REMOTE_PORT);
		t.destination_be = rte_cpu_to_be_32(WORLD_UPLINK);
	}
	return t;
}

static uint8_t flags_of(enum frame_kind kind)
{
	switch (kind) {
	case FRAME_SYN:
		return DP_TCP_SYN;
	case FRAME_SYN_ACK:
		return DP_TCP_SYN | DP_TCP_ACK;
	default:
		return DP_TCP_ACK;
	}
}

/* An IPv4 packet with a TCP header at IP. Its TCP checksum is any: nobody looks at it here. */
static void write_packet(uint8_t *ip, const struct frame *frame, const struct tuple *t)
{
	bool is_data = frame->kind == FRAME_DATA;
	uint8_t *tcp = ip + DP_IPV4_HEADER;

	dp_ipv4_write(ip, frame->size, TTL, IPPROTO_TCP, t->source_be, t->destination_be);
	dp_store16(tcp, t->source_port_be);
	dp_store16(tcp + 2, t->destination_port_be);
	dp_store32(tcp + 4, rte_cpu_to_be_32(is_data ? PAYLOAD_BEGIN : PAYLOAD_BEGIN - 1));
	dp_store32(tcp + 8, rte_cpu_to_be_32(frame->kind == FRAME_SYN ? 0 : PAYLOAD_BEGIN));
	tcp[12] = 0x50;
	tcp[13] = flags_of(frame->kind);
	dp_store16(tcp + 14, UINT16_MAX);
	dp_store16(tcp + 16, 0x1234);
	dp_store16(tcp + 18, 0);
}

/* ---- as the server sends it ---- */

static unsigned text_bytes(const struct world *world, unsigned size)
{
	const struct dp_crypto_suite *suite = world->suite;

	if (world->protocol == WORLD_OPENVPN)
		return size;
	return (size + TRAILER + suite->block_bytes - 1u) & ~(suite->block_bytes - 1u);
}

/* Outer bytes before the ESP header. */
static unsigned outer_bytes(const struct world *world)
{
	return DP_IPV4_HEADER + (world->protocol == WORLD_ESP ? 0 : UDP_HEADER);
}

static void write_trailer(uint8_t *end, unsigned pad)
{
	for (unsigned i = 0; i < pad; i++)
		end[i] = (uint8_t)(i + 1);
	end[pad] = (uint8_t)pad;
	end[pad + 1] = NEXT_IPV4;
}

/* The trailer of the inner packet and everything in front of it, ready to be sealed as P. */
static void wrap(struct world *world, uint32_t tunnel, struct dp_pkt *p, uint8_t *outer,
                 unsigned size)
{
	struct world_tunnel *t = &world->tunnels[tunnel];
	const struct dp_crypto_suite *suite = world->suite;
	unsigned before = outer_bytes(world) + suite->text_at;
	unsigned text = text_bytes(world, size);
	uint16_t total = (uint16_t)(before + text + suite->tail_bytes);
	uint32_t ports = 4500u << 16 | 4500u;
	uint64_t iv;

	if (world->protocol == WORLD_OPENVPN)
		ports = WORLD_OPENVPN_SERVER_PORT << 16 | (WORLD_OPENVPN_PORT + tunnel);
	else
		write_trailer(outer + before + size, text - size - TRAILER);
	dp_ipv4_write(outer, total, TTL, world->protocol == WORLD_ESP ? IPPROTO_ESP : IPPROTO_UDP,
	              rte_cpu_to_be_32(WORLD_SERVER + tunnel), rte_cpu_to_be_32(WORLD_UPLINK));
	if (world->protocol != WORLD_ESP) {
		dp_store32(outer + 20, rte_cpu_to_be_32(ports));
		dp_store32(outer + 24, rte_cpu_to_be_32((uint32_t)(total - DP_IPV4_HEADER) << 16));
	}
	iv = rte_cpu_to_be_64(atomic_fetch_add(&t->sequence, 1) + 1);
	p->verdict = DP_OK;
	p->l3 = outer;
	p->l3_length = total;
	p->esp = outer + outer_bytes(world);
	memcpy(p->esp + 4, (uint8_t *)&iv + 4, 4);
	if (world->protocol == WORLD_OPENVPN) {
		dp_store32(p->esp, rte_cpu_to_be_32((DP_OVPN_DATA_V2 << 3 | world->key_id) << 24));
		memcpy(p->iv, (uint8_t *)&iv + 4, 4);
		memcpy(p->iv + 4, t->iv, sizeof(t->iv));
	} else {
		dp_store32(p->esp, t->spi_in_be);
		memcpy(p->esp + ESP_HEADER, &iv, sizeof(iv));
		dp_store32(p->iv, t->salt);
		memcpy(p->iv + 4, &iv, sizeof(iv));
	}
	memcpy(p->aad, p->esp, 8);
}

static void set_length(struct rte_mbuf *m, unsigned length)
{
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->data_len = (uint16_t)length;
	m->pkt_len = length;
}

static uint8_t *frame_begin(const struct rte_mbuf *m)
{
	return (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;
}

static void write_ethernet(const struct world *world, enum dp_port_id port, uint8_t *frame)
{
	memcpy(frame, &world->w->ports[port].mac, 6);
	memcpy(frame + 6, neighbour, 6);
	dp_store16(frame + 12, rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4));
}

/* Bytes in front of the packet that FRAME describes, Ethernet header included. */
static unsigned before_packet(const struct world *world, const struct frame *frame)
{
	return RTE_ETHER_HDR_LEN +
	       (frame->way == FRAME_FROM_TUNNEL ? outer_bytes(world) + world->suite->text_at : 0u);
}

/* As each tunnel's server does it. */
static void seal(struct world *world, const struct frame *frame, struct dp_batch *b,
                 const uint32_t *sessions)
{
	struct dp_crypto *crypto = world->crypto[frame->writer];

	for (unsigned i = 0; i < b->n; i++)
		dp_crypto_encrypt(crypto, world->suite,
		                  &world->tunnels[world_tunnel(world, sessions[i])].key, b, i,
		                  i + 1);
	dp_crypto_flush(crypto);
}

void frames_write(struct world *world, const struct frame *frame, struct rte_mbuf **m,
                  const uint32_t *sessions, unsigned n)
{
	enum dp_port_id port = frame->way == FRAME_FROM_CLUSTER ? DP_PORT_CLUSTER : DP_PORT_UPLINK;
	struct dp_batch sealed = { .n = n };

	for (unsigned i = 0; i < n; i++) {
		uint8_t *begin = frame_begin(m[i]);
		struct tuple t = frame->way == FRAME_FROM_CLUSTER
		                         ? from_client(world, frame->sessions, sessions[i])
		                         : from_server(world, frame->sessions, sessions[i]);

		write_ethernet(world, port, begin);
		write_packet(begin + before_packet(world, frame), frame, &t);
		set_length(m[i], RTE_ETHER_HDR_LEN + frame->size);
		if (frame->way != FRAME_FROM_TUNNEL)
			continue;
		wrap(world, world_tunnel(world, sessions[i]), &sealed.p[i],
		     begin + RTE_ETHER_HDR_LEN, frame->size);
		set_length(m[i], RTE_ETHER_HDR_LEN + (unsigned)sealed.p[i].l3_length);
	}
	if (frame->way == FRAME_FROM_TUNNEL)
		seal(world, frame, &sealed, sessions);
}

void frames_write_call(const struct world *world, struct rte_mbuf *m, const struct frame_call *call)
{
	const struct frame frame = { WORLD_EGRESS, FRAME_FROM_CLUSTER, FRAME_SYN, 64, 0 };
	struct tuple t = { .source_be = rte_cpu_to_be_32(WORLD_CLIENT + call->client),
		           .source_port_be = rte_cpu_to_be_16(call->client_port),
		           .destination_be = call->remote_be,
		           .destination_port_be = rte_cpu_to_be_16(WORLD_REMOTE_PORT) };
	uint8_t *begin = frame_begin(m);

	write_ethernet(world, DP_PORT_CLUSTER, begin);
	write_packet(begin + RTE_ETHER_HDR_LEN, &frame, &t);
	set_length(m, RTE_ETHER_HDR_LEN + frame.size);
}

struct raw_text frames_text(const struct world *world, const struct frame *frame,
                            const struct rte_mbuf *m)
{
	uint8_t *text = frame_begin(m) + before_packet(world, frame);

	return (struct raw_text){ .esp = text - world->suite->text_at,
		                  .text = text,
		                  .length = text_bytes(world, frame->size) };
}
