/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#define CLIENT 0x0a000114u  /* 10.0.1.20, as the laboratory has it */
#define POD 0x0a000021u     /* 10.0.0.33 */
#define REMOTES 0xc6336432u /* 198.51.100.50 and the next ones */
#define REMOTE_COUNT 64u
#define FORWARD_PORT 33003u
#define REMOTE_PORT 9u /* discard */
#define FIRST_PORT 10000u
#define TTL 64
#define NATT_PORT 4500u
#define MARK 0x53504d31u

/* What is in the payload's beginning. The time stands there twice, once inverted, so that the
 * checksum does not depend on it. */
struct mark {
	uint32_t mark;
	uint64_t sent;
	uint64_t inverted;
} __attribute__((packed));

struct frame {
	struct rte_ether_hdr ethernet;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	struct mark mark;
} __attribute__((packed, aligned(2)));

#define UDP_OFFSET (sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr))

_Static_assert(sizeof(struct frame) <= sizeof(struct rte_ether_hdr) + STREAM_SIZE_MIN,
               "the smallest packet has room for the mark");

static const uint8_t client_mac[6] = { 2, 0, 0, 0, 0, 1 };

static unsigned size_of(const struct stream *stream, unsigned number)
{
	unsigned turn = number % 12;

	if (stream->size != STREAM_IMIX)
		return stream->size;
	return turn < 7 ? STREAM_SIZE_MIN : turn < 11 ? 576 : STREAM_SIZE_MAX;
}

static void set_time(struct frame *frame, uint64_t now)
{
	frame->mark.sent = now;
	frame->mark.inverted = ~now;
}

static void write_frame(const struct stream *stream, unsigned number, struct rte_mbuf *m,
                        const uint8_t mac[6])
{
	struct frame *frame = rte_pktmbuf_mtod(m, struct frame *);
	const unsigned size = size_of(stream, number), flow = number % stream->flows;
	const bool is_forward = stream->path == STREAM_FORWARD;

	m->data_len = (uint16_t)(sizeof(frame->ethernet) + size);
	m->pkt_len = m->data_len;
	memset(frame, 0, m->data_len);
	memcpy(&frame->ethernet.dst_addr, mac, 6);
	memcpy(&frame->ethernet.src_addr, client_mac, 6);
	frame->ethernet.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	frame->ip.version_ihl = RTE_IPV4_VHL_DEF;
	frame->ip.total_length = rte_cpu_to_be_16((uint16_t)size);
	frame->ip.fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	frame->ip.time_to_live = TTL;
	frame->ip.next_proto_id = IPPROTO_UDP;
	frame->ip.src_addr = rte_cpu_to_be_32(CLIENT);
	frame->ip.dst_addr = rte_cpu_to_be_32(is_forward ? POD : REMOTES + flow % REMOTE_COUNT);
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
	frame->udp.src_port = rte_cpu_to_be_16((uint16_t)(FIRST_PORT + flow));
	frame->udp.dst_port = rte_cpu_to_be_16(is_forward ? FORWARD_PORT : REMOTE_PORT);
	frame->udp.dgram_len = rte_cpu_to_be_16((uint16_t)(size - sizeof(frame->ip)));
	frame->mark.mark = rte_cpu_to_be_32(MARK);
	set_time(frame, 0);
	frame->udp.dgram_cksum = rte_ipv4_udptcp_cksum(&frame->ip, &frame->udp);
}

int stream_fill(struct stream *stream, struct rte_mempool *pool, const uint8_t mac[6])
{
	if (rte_pktmbuf_alloc_bulk(pool, stream->frames, STREAM_FRAMES) != 0)
		return -ENOMEM;
	for (unsigned i = 0; i < STREAM_FRAMES; i++)
		write_frame(stream, i, stream->frames[i], mac);
	stream->next = 0;
	return 0;
}

void stream_drain(struct stream *stream)
{
	rte_pktmbuf_free_bulk(stream->frames, STREAM_FRAMES);
}

void stream_take(struct stream *stream, struct rte_mbuf **m, unsigned n, uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		m[i] = stream->frames[stream->next];
		stream->next = (stream->next + 1) % STREAM_FRAMES;
		set_time(rte_pktmbuf_mtod(m[i], struct frame *), now);
		rte_mbuf_refcnt_update(m[i], 1); /* the driver's own, which it frees */
	}
}

static bool is_ipv4(const struct rte_mbuf *m, uint8_t protocol)
{
	const struct frame *frame = rte_pktmbuf_mtod(m, const struct frame *);

	return m->data_len >= sizeof(frame->ethernet) + sizeof(frame->ip) + sizeof(frame->udp) &&
	       frame->ethernet.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) &&
	       frame->ip.version_ihl == RTE_IPV4_VHL_DEF && frame->ip.next_proto_id == protocol;
}

bool stream_has(const struct rte_mbuf *m, uint64_t *sent)
{
	const struct frame *frame = rte_pktmbuf_mtod(m, const struct frame *);

	if (m->data_len < sizeof(*frame) || !is_ipv4(m, IPPROTO_UDP) ||
	    frame->mark.mark != rte_cpu_to_be_32(MARK))
		return false;
	*sent = frame->mark.sent;
	return frame->mark.inverted == ~frame->mark.sent;
}

/* Its header, which is aligned to 2; NULL: it is not ESP. */
static const uint8_t *find_esp(const struct rte_mbuf *m)
{
	const uint8_t *transport = rte_pktmbuf_mtod_offset(m, const uint8_t *, UDP_OFFSET);
	const struct frame *frame = rte_pktmbuf_mtod(m, const struct frame *);
	uint32_t spi;

	if (is_ipv4(m, IPPROTO_ESP))
		return transport;
	if (!is_ipv4(m, IPPROTO_UDP) || frame->udp.dst_port != rte_cpu_to_be_16(NATT_PORT) ||
	    m->data_len < sizeof(struct frame))
		return NULL;
	transport += sizeof(struct rte_udp_hdr);
	memcpy(&spi, transport, sizeof(spi));
	return spi ? transport : NULL;
}

bool stream_is_esp(const struct rte_mbuf *m)
{
	return find_esp(m) != NULL;
}

uint32_t stream_esp_sequence(const struct rte_mbuf *m)
{
	uint32_t sequence_be;

	memcpy(&sequence_be, find_esp(m) + 4, sizeof(sequence_be));
	return rte_be_to_cpu_32(sequence_be);
}

void stream_turn(struct rte_mbuf *m)
{
	struct frame *frame = rte_pktmbuf_mtod(m, struct frame *);
	const struct rte_ether_addr mac = frame->ethernet.src_addr;
	const uint32_t address_be = frame->ip.src_addr;
	const uint16_t port_be = frame->udp.src_port;

	frame->ethernet.src_addr = frame->ethernet.dst_addr;
	frame->ethernet.dst_addr = mac;
	frame->ip.src_addr = frame->ip.dst_addr;
	frame->ip.dst_addr = address_be;
	frame->udp.src_port = frame->udp.dst_port;
	frame->udp.dst_port = port_be;
}
