/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences of fragments, of all three kinds, and the clock between them. Each fragment ends where
 * its memory ends, or has room behind it.
 *
 * Input: records of kind and room (1 byte: bits 0 and 1 kind, bit 2 room, bits 3 to 6 seconds that
 * pass first), protocol (1: bit 0 TCP), identification (1), fragment field (2), length (2), seed
 * (1).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/dataplane/link_world.h"

#define RECORD 8u
#define LENGTH_MAX 1500u
#define RECORDS_MAX 400u

static void require(int condition)
{
	if (!condition)
		abort();
}

static void build(uint8_t *frame, const struct link_world *x, const uint8_t *record,
                  unsigned length)
{
	uint8_t *ip = frame + LINK_ETHER;

	link_ether(x, DP_PORT_UPLINK, 0x0800, frame);
	link_ipv4(ip, record[1] & 1 ? 6 : 17, LINK_SERVER, LINK_POD, length);
	ip[1] = record[1] >> 6; /* ECN */
	ip[5] = record[2];
	ip[6] = record[3] & 0x3f;
	ip[7] = record[4];
	link_fix_checksum(ip);
	for (unsigned i = 0; i < length; i++)
		ip[20 + i] = (uint8_t)(record[7] * (i / 8 + ip[7]));
}

static struct rte_mbuf *make(const struct link_world *x, const uint8_t *frame, unsigned length,
                             int is_roomy)
{
	struct rte_mbuf *m;

	if (!is_roomy)
		return link_buffer(frame, length, 0);
	m = rte_pktmbuf_alloc(x->w.mbufs);
	require(m != NULL);
	memcpy(rte_pktmbuf_append(m, (uint16_t)length), frame, length);
	return m;
}

static void check_whole(const struct dp_pkt *p)
{
	const struct rte_mbuf *m = p->m;

	require(m->nb_segs == 1 && m->data_len == m->pkt_len &&
	        m->data_off + m->data_len <= m->buf_len);
	require(p->l3 >= rte_pktmbuf_mtod(m, uint8_t *));
	require(p->l3 + p->l3_length == rte_pktmbuf_mtod(m, uint8_t *) + m->data_len);
	require((unsigned)(p->l3[2] << 8 | p->l3[3]) == p->l3_length && p->l3[6] == 0 &&
	        p->l3[7] == 0);
	require(link_sum(p->l3, 20) == 0xffff);
}

static void put(struct link_world *x, const uint8_t *record)
{
	unsigned length = (unsigned)(record[5] << 8 | record[6]) % LENGTH_MAX;
	uint8_t frame[LINK_ETHER + 20 + LENGTH_MAX];
	struct dp_pkt *p = &x->path.p[0];

	build(frame, x, record, length);
	memset(p, 0, sizeof(*p));
	p->m = make(x, frame, LINK_ETHER + 20 + length, record[0] & 4);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *) + LINK_ETHER;
	p->l3_length = (uint16_t)(20 + length);
	p->l3_header = 20;
	p->protocol = p->l3[9];
	x->path.n = 1;
	switch (record[0] & 3) {
	case 0:
		dp_reassemble_cluster(&x->w, &x->path);
		break;
	case 1:
		dp_reassemble_outer(&x->w, &x->path);
		break;
	default:
		p->tunnel = record[0] & 1;
		dp_reassemble_inner(&x->w, &x->path);
	}
	require(p->verdict < DP_VERDICT_COUNT);
	if (p->verdict == DP_OK)
		check_whole(p);
	link_clear(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct link_world *x;

	if (!x) {
		require(link_eal(NULL) == 0);
		x = link_create();
		require(x != NULL);
	}
	for (unsigned i = 0; i < RECORDS_MAX && size >= RECORD;
	     i++, data += RECORD, size -= RECORD) {
		x->w.now_ns += (data[0] >> 3 & 15u) * 1000000000ull;
		dp_reassembly_expire(&x->w, 8);
		put(x, data);
		require(link_in_use() == x->count.fragments_waiting);
	}
	x->w.now_ns += (DP_REASSEMBLY_SECONDS + 1) * 1000000000ull;
	dp_reassembly_expire(&x->w, DP_REASSEMBLY_DATAGRAMS);
	link_clear(x); /* what the senders are told */
	require(link_in_use() == 0 && x->count.fragments_waiting == 0);
	return 0;
}
