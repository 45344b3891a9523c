/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is too large comes in pieces that fit and that reassembly puts together again. */
#include "dataplane/fragment.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define TUNNEL 2
#define LENGTH_MAX 65535u

static struct dp_pkt *push(struct link_world *x, unsigned length, unsigned df)
{
	static uint8_t ip[LENGTH_MAX];
	struct dp_pkt *p = &x->path.p[x->path.n++];

	link_ipv4(ip, UDP, LINK_POD, LINK_CLIENT, length - 20);
	nat_put16(ip + 4, 77);
	nat_put16(ip + 6, (uint16_t)df);
	link_fix_checksum(ip);
	for (unsigned i = 20; i < length; i++)
		ip[i] = (uint8_t)(i * 7 + i / 256);
	nat_put16(ip + 24, (uint16_t)(length - 20));
	memset(p, 0, sizeof(*p));
	p->m = link_buffer(ip, length, 0);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *);
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = UDP;
	p->tunnel = TUNNEL;
	p->environment = 3;
	p->port = DP_PORT_CLUSTER;
	return p;
}

/* Everything that comes out, piece by piece, checked and put together again. */
static unsigned cut_and_join(struct link_world *x, struct dp_oversized *oversized, unsigned mtu,
                             const uint8_t *whole, unsigned length)
{
	struct dp_batch pieces;
	unsigned at = 20, n = 0;

	while (dp_fragment_next(&x->w, oversized, &pieces)) {
		struct dp_batch copy = pieces;

		assert_true(pieces.n <= DP_BURST);
		for (unsigned i = 0; i < pieces.n; i++, n++) {
			const struct dp_pkt *p = &pieces.p[i];
			unsigned field = nat_get16(p->l3 + 6);

			assert_true(p->l3_length <= mtu);
			assert_int_equal(p->l3_length, nat_get16(p->l3 + 2));
			assert_int_equal(p->m->data_len, p->l3_length);
			assert_ptr_equal(p->l3, rte_pktmbuf_mtod(p->m, uint8_t *));
			assert_true(rte_pktmbuf_headroom(p->m) >= RTE_PKTMBUF_HEADROOM);
			assert_int_equal(link_sum(p->l3, 20), 0xffff);
			assert_int_equal((field & 0x1fff) * 8, at - 20);
			assert_memory_equal(p->l3 + 20, whole + at, p->l3_length - 20);
			at += p->l3_length - 20;
			assert_int_equal(!!(field & 0x2000), at < length);
		}
		dp_reassemble_inner(&x->w, &copy);
		for (unsigned i = 0; i < copy.n; i++) {
			assert_int_equal(copy.p[i].verdict,
			                 at == length && i == copy.n - 1 ? DP_OK : DP_TAKEN);
			if (copy.p[i].verdict == DP_OK) {
				assert_memory_equal(copy.p[i].l3 + 20, whole + 20, length - 20);
				rte_pktmbuf_free(copy.p[i].m);
			}
		}
	}
	assert_int_equal(at, length);
	return n;
}

static void cuts_to_the_mtu(void **state)
{
	static const struct {
		unsigned length, mtu, pieces;
	} table[] = {
		{ 1439, 1438, 2 }, { 2000, 1438, 2 }, { 65535, 1438, 47 }, { 1500, 576, 3 },
		{ 69, 68, 2 },     { 4000, 68, 83 },  { 65535, 1500, 45 },
	};
	static uint8_t whole[LENGTH_MAX];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table) * 2; i++) {
		unsigned length = table[i / 2].length, mtu = table[i / 2].mtu;
		struct link_world *x = link_create();
		struct dp_oversized oversized;

		memcpy(whole, push(x, length, 0)->l3, length);
		if (i % 2) {
			x->tunnels[TUNNEL].inner_mtu = (uint16_t)mtu;
			dp_fragment_for_tunnel(&x->w, &x->path, &oversized);
		} else {
			x->ports[DP_PORT_CLUSTER].mtu = (uint16_t)mtu;
			dp_fragment_for_port(&x->w, &x->path, &oversized);
		}
		assert_int_equal(x->path.p[0].verdict, DP_TAKEN);
		assert_int_equal(cut_and_join(x, &oversized, mtu, whole, length),
		                 table[i / 2].pieces);
		assert_int_equal(x->count.fragments_out, table[i / 2].pieces);
		assert_int_equal(link_in_use(), 0);
		assert_int_equal(link_destroy(x), 0);
	}
}

static void leaves_the_rest_alone(void **state)
{
	struct link_world *x = link_create();
	struct dp_oversized oversized;
	struct dp_batch pieces;

	(void)state;
	x->tunnels[TUNNEL].inner_mtu = 1400;
	push(x, 1400, 0);
	push(x, 1401, 0x4000);
	push(x, 1401, 0)->verdict = DP_TTL;
	dp_fragment_for_tunnel(&x->w, &x->path, &oversized);
	assert_int_equal(oversized.packets.n, 0);
	assert_false(dp_fragment_next(&x->w, &oversized, &pieces));
	x->tunnels[TUNNEL].inner_mtu = 0; /* its SA went away: encapsulation says so */
	x->path.p[2].verdict = DP_OK;
	dp_fragment_for_tunnel(&x->w, &x->path, &oversized);
	assert_int_equal(oversized.packets.n, 0);
	assert_int_equal(link_destroy(x), 0);
}

/* Each datagram's pieces have an identification of their own, whatever the senders chose. */
static void numbers_datagrams_anew(void **state)
{
	struct link_world *x = link_create();
	struct dp_oversized oversized;
	struct dp_batch pieces;

	(void)state;
	x->tunnels[TUNNEL].inner_mtu = 1000;
	x->w.identification = 65535;
	for (unsigned i = 0; i < 3; i++)
		push(x, 1500, 0);
	dp_fragment_for_tunnel(&x->w, &x->path, &oversized);
	assert_true(dp_fragment_next(&x->w, &oversized, &pieces));
	assert_int_equal(pieces.n, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(nat_get16(pieces.p[i].l3 + 4), (uint16_t)(65535 + i / 2));
		rte_pktmbuf_free(pieces.p[i].m);
	}
	assert_false(dp_fragment_next(&x->w, &oversized, &pieces));
	assert_int_equal(link_destroy(x), 0);
}

static void drops_what_no_buffer_is_left_for(void **state)
{
	struct link_world *x = link_create();
	struct dp_oversized oversized;
	struct dp_batch pieces;
	struct rte_mbuf *all[600];
	unsigned n = 0;

	(void)state;
	x->tunnels[TUNNEL].inner_mtu = 1000;
	push(x, 3000, 0);
	push(x, 3000, 0);
	dp_fragment_for_tunnel(&x->w, &x->path, &oversized);
	while ((all[n] = rte_pktmbuf_alloc(x->w.mbufs)))
		n++;
	rte_pktmbuf_free(all[--n]);
	assert_true(dp_fragment_next(&x->w, &oversized, &pieces));
	assert_int_equal(pieces.n,
	                 2); /* the second packet's piece came into the first one's buffer */
	assert_int_equal(x->count.drop[DP_NO_MBUF], 2);
	rte_pktmbuf_free(pieces.p[0].m);
	rte_pktmbuf_free(pieces.p[1].m);
	rte_pktmbuf_free_bulk(all, n);
	assert_false(dp_fragment_next(&x->w, &oversized, &pieces));
	assert_int_equal(link_destroy(x), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_to_the_mtu),
		cmocka_unit_test(leaves_the_rest_alone),
		cmocka_unit_test(numbers_datagrams_anew),
		cmocka_unit_test(drops_what_no_buffer_is_left_for),
	};

	return cmocka_run_group_tests_name("fragment", tests, link_eal, NULL);
}
