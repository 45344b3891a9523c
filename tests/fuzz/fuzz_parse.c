/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One frame from either port through the first stages: parse, hand-off, local, and the answers to
 * the cluster. The frame ends where its memory ends.
 *
 * Input: one byte (bit 0: 1 is the cluster; bits 1 to 6: the verdict that a later stage refuses
 * with what would go on; bit 7: little headroom), then the frame. Its destination MAC address is
 * made the port's, unless it is a group's, and a wrong IPv4 checksum is made right if the
 * identification says so: both would keep nearly every input out.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/exception.h"
#include "dataplane/handoff.h"
#include "dataplane/ipv4.h"
#include "dataplane/local.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dataplane/link_world.h"

#define FRAME_MAX 4096u
#define IP_MIN 20u
#define FIX_CHECKSUM 0x5a /* first byte of the identification */

static void require(int condition)
{
	if (!condition)
		abort();
}

/* What every stage may rely on once the parser let a packet pass. */
static void check_promises(const struct dp_pkt *p)
{
	const uint8_t *data = rte_pktmbuf_mtod(p->m, const uint8_t *);

	if (p->verdict != DP_OK || p->m->packet_type == RTE_PTYPE_L2_ETHER_ARP)
		return;
	require(p->l3 == data + LINK_ETHER && p->l3_header == IP_MIN);
	require(p->m->data_len == LINK_ETHER + p->l3_length && p->m->pkt_len == p->m->data_len);
	require(p->l3_length >= IP_MIN && p->protocol == p->l3[9]);
	if (dp_ipv4_is_fragment(p->l3))
		return; /* its transport header is none of the parser's business */
	require(p->protocol != 6 || p->l3_length >= p->l3_header + 20);
	require((p->protocol != 17 && p->protocol != 1) || p->l3_length >= p->l3_header + 8);
	require(!p->esp || (p->esp >= p->l3 + IP_MIN && p->esp <= p->l3 + p->l3_length));
}

static void make_plausible(const struct link_world *x, enum dp_port_id port, uint8_t *frame,
                           size_t size)
{
	if (size >= LINK_ETHER && !(frame[0] & 1))
		memcpy(frame, &x->ports[port].mac, 6);
	if (size >= LINK_ETHER + IP_MIN && frame[12] == 8 && frame[13] == 0 &&
	    frame[LINK_ETHER + 4] == FIX_CHECKSUM)
		link_fix_checksum(frame + LINK_ETHER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct link_world *x;
	static struct dp_worker *workers[1];
	uint8_t frame[FRAME_MAX];
	enum dp_port_id port;
	enum dp_verdict verdict;
	struct dp_pkt *p;

	if (size < 1 || size - 1 > FRAME_MAX)
		return 0;
	if (!x) {
		require(link_eal(NULL) == 0);
		x = link_create();
		require(x != NULL);
		workers[0] = &x->w;
		x->w.workers = workers;
		x->w.exception_limit.per_second = 1000000;
		dp_exception_set((struct dp_exception *)(uintptr_t)x->w.exception, htons(50000),
		                 dp_exception_remote(htonl(LINK_SERVER), htons(443)));
	}
	port = data[0] & 1 ? DP_PORT_CLUSTER : DP_PORT_UPLINK;
	verdict = (enum dp_verdict)((data[0] >> 1 & 0x3f) % DP_VERDICT_COUNT);
	memcpy(frame, data + 1, size - 1);
	make_plausible(x, port, frame, size - 1);
	x->w.now_ns += 1000000;
	p = link_parse(x, port,
	               link_buffer(frame, (unsigned)size - 1, data[0] & 0x80 ? 16 : LINK_HEADROOM));
	check_promises(p);
	if (x->path.n) {
		require(p->verdict == DP_OK);
		if (port == DP_PORT_CLUSTER)
			dp_handoff_forward_final(&x->w, &x->path);
		else
			dp_handoff_esp_final(&x->w, &x->path);
		require(p->verdict == DP_OK);
		p->limit = 1400;
		p->verdict = verdict == DP_TAKEN ? DP_OK : (uint8_t)verdict;
	}
	dp_handoff_fragment(&x->w, &x->fragments);
	dp_local(&x->w, &x->local);
	dp_batch_compact(&x->w, &x->path);
	dp_batch_compact(&x->w, &x->local);
	require(x->local.n == 0); /* everything has its verdict */
	dp_nexthop(&x->w, &x->answers);
	for (unsigned i = 0; i < x->answers.n; i++)
		require(x->answers.p[i].verdict != DP_OK); /* nobody is resolved here */
	link_clear(x);
	x->w.now_ns += 10000000000; /* what waits for ARP goes */
	dp_nexthop_poll(&x->w);
	require(link_in_use() == 0);
	return 0;
}
