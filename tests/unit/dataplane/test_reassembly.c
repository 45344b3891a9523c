/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments in, datagrams and verdicts out, against a model that knows of every byte whether it has
 * come; a clock of the test's own; no buffer is ever lost.
 */
#include "dataplane/reassembly.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <rte_malloc.h>

#include "dataplane/egress.h"
#include "dataplane/handoff.h"
#include "dataplane/keyed_hash.h"
#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define PAYLOAD_MAX 65515u
#define SOURCE 0xc0a8641eu
#define DESTINATION 0x0a030005u
#define MORE 0x2000u
#define SECOND 1000000000ull

struct identity {
	uint32_t source, destination;
	uint16_t number;
	uint8_t protocol;
	uint16_t environment, tunnel;
};

static const struct identity usual = { SOURCE, DESTINATION, 7, UDP, 3, 5 };

/* A whole datagram's payload: a UDP header that agrees, then bytes that differ everywhere. */
static void fill(uint8_t *payload, unsigned length, uint64_t seed)
{
	for (unsigned i = 0; i < length; i++)
		payload[i] = (uint8_t)(dp_random(&seed) >> 40);
	nat_put16(payload + 4, (uint16_t)length);
}

/* The fragment as a stage gets it; in a buffer that ends where it ends, or in an ordinary one. */
static struct dp_pkt *push(struct link_world *x, const struct identity *id, unsigned offset,
                           unsigned field_more, const uint8_t *payload, unsigned length,
                           int is_roomy)
{
	struct dp_pkt *p = &x->path.p[x->path.n++];
	uint8_t *ip = malloc(20 + length);

	link_ipv4(ip, id->protocol, id->source, id->destination, length);
	nat_put16(ip + 4, id->number);
	nat_put16(ip + 6, (uint16_t)(field_more | offset / 8));
	link_fix_checksum(ip);
	if (length)
		memcpy(ip + 20, payload, length);
	memset(p, 0, sizeof(*p));
	if (is_roomy) {
		p->m = rte_pktmbuf_alloc(x->w.mbufs);
		memcpy(rte_pktmbuf_append(p->m, (uint16_t)(20 + length)), ip, 20 + length);
	} else {
		p->m = link_buffer(ip, 20 + length, 0);
	}
	free(ip);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *);
	p->l3_length = (uint16_t)(20 + length);
	p->l3_header = 20;
	p->protocol = id->protocol;
	p->environment = id->environment;
	p->tunnel = id->tunnel;
	return p;
}

/* One fragment through the stage; what was refused is freed. */
static enum dp_verdict one(struct link_world *x, const struct identity *id, unsigned offset,
                           unsigned more, const uint8_t *payload, unsigned length)
{
	struct dp_pkt *p;

	link_clear(x);
	p = push(x, id, offset, more, payload, length, length % 3 == 0);
	dp_reassemble_inner(&x->w, &x->path);
	return (enum dp_verdict)p->verdict;
}

static void check_whole(const struct link_world *x, const struct identity *id,
                        const uint8_t *payload, unsigned length)
{
	const struct dp_pkt *p = &x->path.p[0];
	const uint8_t *l3 = rte_pktmbuf_mtod(p->m, const uint8_t *);

	assert_int_equal(p->m->nb_segs, 1);
	assert_int_equal(p->m->data_len, 20 + length);
	assert_int_equal(p->m->pkt_len, 20 + length);
	assert_ptr_equal(p->l3, l3);
	assert_int_equal(p->l3_length, 20 + length);
	assert_int_equal(nat_get16(l3 + 2), 20 + length);
	assert_int_equal(nat_get16(l3 + 4), id->number);
	assert_int_equal(nat_get16(l3 + 6), 0);
	assert_int_equal(link_sum(l3, 20), 0xffff);
	assert_int_equal(l3[9], id->protocol);
	assert_int_equal(nat_get32(l3 + 12), id->source);
	assert_int_equal(nat_get32(l3 + 16), id->destination);
	assert_memory_equal(l3 + 20, payload, length);
}

/* ---- the model ---- */

struct model {
	struct {
		unsigned offset, length;
		uint64_t sum;
	} parts[512];
	unsigned count, total, have;
	enum dp_verdict refused;
	uint8_t is_here[PAYLOAD_MAX + 8];
};

static uint64_t sum_of(const uint8_t *p, unsigned length)
{
	uint64_t sum = length;

	for (unsigned i = 0; i < length; i++)
		sum = sum * 1099511628211u + p[i] + 1;
	return sum;
}

static enum dp_verdict judge(const struct model *m, unsigned offset, unsigned more,
                             const uint8_t *payload, unsigned length)
{
	if (m->refused)
		return m->refused;
	if (length == 0 || (more && length % 8) || offset + length > PAYLOAD_MAX ||
	    (offset == 0 && length < 8))
		return DP_FRAGMENT_INVALID;
	for (unsigned i = 0; i < m->count; i++)
		if (m->parts[i].offset == offset && m->parts[i].length == length &&
		    m->parts[i].sum == sum_of(payload, length))
			return DP_FRAGMENT_DUPLICATE;
	for (unsigned i = offset; i < offset + length; i++)
		if (m->is_here[i])
			return DP_FRAGMENT_OVERLAP;
	if (m->total && (more ? offset + length >= m->total : offset + length != m->total))
		return DP_FRAGMENT_INVALID;
	for (unsigned i = 0; i < m->count && !more; i++)
		if (m->parts[i].offset + m->parts[i].length > offset + length)
			return DP_FRAGMENT_INVALID;
	return DP_TAKEN;
}

/* The UDP length has to be within what came. */
static enum dp_verdict judge_whole(const struct model *m, const uint8_t *datagram)
{
	return nat_get16(datagram + 4) <= m->total ? DP_OK : DP_L4_HEADER;
}

static enum dp_verdict model_put(struct model *m, unsigned offset, unsigned more,
                                 const uint8_t *payload, unsigned length)
{
	enum dp_verdict verdict = judge(m, offset, more, payload, length);

	if (verdict == DP_FRAGMENT_DUPLICATE)
		return verdict;
	if (verdict != DP_TAKEN)
		return m->refused = verdict;
	m->parts[m->count].offset = offset;
	m->parts[m->count].length = length;
	m->parts[m->count++].sum = sum_of(payload, length);
	memset(m->is_here + offset, 1, length);
	m->have += length;
	if (!more)
		m->total = offset + length;
	return m->have == m->total ? DP_OK : DP_TAKEN;
}

struct piece {
	unsigned offset, length, more;
};

/* Random cuts, then damage of a kind. */
static unsigned cut(struct piece *pieces, unsigned length, uint64_t *random)
{
	unsigned n = 0, step = 8 + (unsigned)(dp_random(random) % 180) * 8,
		 damage = (unsigned)(dp_random(random) % 10);

	while (length / step > 200)
		step *= 2;
	for (unsigned at = 0; at < length;) {
		unsigned take = (unsigned)(dp_random(random) % step) & ~7u;

		take = RTE_MAX(8u, take);
		take = RTE_MIN(length - at, take);

		pieces[n++] = (struct piece){ at, take, at + take < length ? MORE : 0 };
		at += take;
		if (n == 400) {
			pieces[n - 1].length += length - at;
			pieces[n - 1].more = 0;
			break;
		}
	}
	for (unsigned i = n - 1; i > 0 && dp_random(random) % 4; i--) { /* mostly out of order */
		unsigned k = (unsigned)(dp_random(random) % (i + 1));
		struct piece swap = pieces[i];

		pieces[i] = pieces[k];
		pieces[k] = swap;
	}
	if (damage < 4) {
		unsigned i = (unsigned)(dp_random(random) % n),
			 to = (unsigned)(dp_random(random) % (n + 1));
		struct piece extra = pieces[i];

		if (damage == 1)
			extra.length += 8;
		else if (damage == 2 && extra.offset)
			extra.offset -= 8;
		else if (damage == 3)
			extra.more ^= MORE;
		extra.length = RTE_MIN(extra.length, length - extra.offset);
		memmove(&pieces[to + 1], &pieces[to], (n - to) * sizeof(*pieces));
		pieces[to] = extra;
		n++;
	} else if (damage == 4) {
		pieces[dp_random(random) % n].length -= 1;
	}
	return n;
}

static void agrees_with_a_model(void **state)
{
	static struct piece pieces[512];
	static uint8_t payload[PAYLOAD_MAX + 64];
	struct link_world *x = link_create();
	struct model *m = malloc(sizeof(*m));
	uint64_t random = 20;
	unsigned wholes = 0, joined = 0, refused = 0;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		unsigned length = 16 + (unsigned)(dp_random(&random) %
		                                  (round % 50 ? 6000 : PAYLOAD_MAX - 16)),
			 n;
		struct identity id = usual;

		id.number = (uint16_t)round;
		fill(payload, length, round);
		memset(m, 0, sizeof(*m));
		n = cut(pieces, length, &random);
		for (unsigned i = 0; i < n; i++) {
			const struct piece *c = &pieces[i];
			enum dp_verdict expected, got;

			if (c->offset == 0 && !c->more)
				continue; /* no fragment */
			expected = model_put(m, c->offset, c->more, payload + c->offset, c->length);
			got = one(x, &id, c->offset, c->more, payload + c->offset, c->length);
			if (m->count > DP_REASSEMBLY_SCOPE_BUFFERS)
				break; /* the quota's test */
			if (expected == DP_OK)
				expected = judge_whole(m, payload);
			if (got != expected)
				fail_msg("round %u, piece %u (%u + %u): %s instead of %s", round, i,
				         c->offset, c->length, dp_verdict_name(got),
				         dp_verdict_name(expected));
			if (got == DP_OK) {
				check_whole(x, &id, payload, m->total);
				wholes++;
			}
			joined += m->total && m->have == m->total;
			if (m->total && m->have == m->total)
				break; /* what comes later begins anew */
			refused += m->refused != DP_OK;
		}
		link_clear(x);
		x->w.now_ns += (DP_REASSEMBLY_SECONDS + 1) * SECOND;
		dp_reassembly_expire(&x->w, 10);
		assert_int_equal(x->count.fragments_waiting, 0);
		assert_int_equal(link_in_use(), 0);
	}
	assert_true(wholes > 1000 && refused > 500);
	assert_int_equal(x->count.reassembled, joined);
	free(m);
	assert_int_equal(link_destroy(x), 0);
}

/* 65,535 bytes in 45 pieces, forwards and backwards; one byte more is refused. */
static void takes_the_largest_datagram(void **state)
{
	static uint8_t payload[PAYLOAD_MAX + 8];
	struct link_world *x = link_create();
	struct identity id = usual;
	unsigned n = (PAYLOAD_MAX + 1479) / 1480;

	(void)state;
	fill(payload, PAYLOAD_MAX, 1);
	for (unsigned direction = 0; direction < 2; direction++) {
		enum dp_verdict verdict = DP_TAKEN;

		id.number++;
		for (unsigned i = 0; i < n; i++) {
			unsigned at = (direction ? n - 1 - i : i) * 1480,
				 length = RTE_MIN(1480u, PAYLOAD_MAX - at);

			assert_int_equal(verdict, DP_TAKEN);
			verdict = one(x, &id, at, at + length < PAYLOAD_MAX ? MORE : 0,
			              payload + at, length);
		}
		assert_int_equal(verdict, DP_OK);
		check_whole(x, &id, payload, PAYLOAD_MAX);
	}
	link_clear(x);
	id.number++;
	assert_int_equal(one(x, &id, 65512, 0, payload, 4), DP_FRAGMENT_INVALID);
	assert_int_equal(link_destroy(x), 0);
}

/* The same addresses and the same identification at once: of two environments, of two tunnels, of
 * each key's part. */
static void keeps_apart_what_is_apart(void **state)
{
	const struct identity ids[] = {
		usual,
		{ SOURCE, DESTINATION, 7, UDP, 4, 5 },
		{ SOURCE, DESTINATION, 7, UDP, 3, 6 },
		{ SOURCE + 1, DESTINATION, 7, UDP, 3, 5 },
		{ SOURCE, DESTINATION + 1, 7, UDP, 3, 5 },
		{ SOURCE, DESTINATION, 8, UDP, 3, 5 },
		{ SOURCE, DESTINATION, 7, TCP, 3, 5 },
	};
	struct link_world *x = link_create();
	uint8_t payload[RTE_DIM(ids)][200];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(ids); i++) {
		fill(payload[i], 200, i);
		payload[i][12] = 0x50; /* a TCP header's length */
		assert_int_equal(one(x, &ids[i], 0, MORE, payload[i], 104), DP_TAKEN);
	}
	assert_int_equal(x->count.fragments_waiting, RTE_DIM(ids));
	for (unsigned i = 0; i < RTE_DIM(ids); i++) {
		assert_int_equal(one(x, &ids[i], 104, 0, payload[i] + 104, 96), DP_OK);
		check_whole(x, &ids[i], payload[i], 200);
	}
	assert_int_equal(link_destroy(x), 0);
}

/* Neither kind of fragment completes the other: the same numbers from the cluster, a tunnel and a
 * server. */
static void keeps_the_kinds_apart(void **state)
{
	struct identity id = { SOURCE, LINK_POD, 7, UDP, 0, DP_NONE_SLOT };
	struct link_world *x = link_create();
	uint8_t payload[64];
	struct dp_pkt *p;

	(void)state;
	fill(payload, 64, 1);
	assert_int_equal(one(x, &id, 0, MORE, payload, 32), DP_TAKEN);
	link_clear(x);
	p = push(x, &id, 32, 0, payload + 32, 32, 1);
	dp_reassemble_cluster(&x->w, &x->path);
	assert_int_equal(p->verdict, DP_TAKEN);
	link_clear(x);
	p = push(x, &id, 32, 0, payload + 32, 32, 1);
	dp_reassemble_outer(&x->w, &x->path);
	assert_int_equal(p->verdict, DP_TAKEN);
	assert_int_equal(x->count.fragments_waiting, 3);
	link_clear(x);
	p = push(x, &id, 0, MORE, payload, 32, 1);
	dp_reassemble_cluster(&x->w, &x->path);
	assert_int_equal(p->verdict, DP_OK);
	check_whole(x, &id, payload, 64);
	assert_int_equal(link_destroy(x), 0);
}

static void gives_up_after_its_time(void **state)
{
	struct link_world *x = link_create();
	struct identity id = usual;
	uint8_t payload[64];

	(void)state;
	fill(payload, 64, 1);
	assert_int_equal(one(x, &id, 0, MORE, payload, 32), DP_TAKEN);
	x->w.now_ns += SECOND;
	id.number++;
	assert_int_equal(one(x, &id, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(one(x, &id, 48, 0, payload + 48, 16), DP_TAKEN);
	x->w.now_ns += (DP_REASSEMBLY_SECONDS - 1) * SECOND - 1;
	dp_reassembly_expire(&x->w, 10);
	assert_int_equal(x->count.drop[DP_FRAGMENT_TIMEOUT], 0);
	x->w.now_ns += 1;
	dp_reassembly_expire(&x->w, 10);
	assert_int_equal(x->count.drop[DP_FRAGMENT_TIMEOUT], 1);
	assert_int_equal(x->count.fragments_waiting, 2);
	x->w.now_ns += SECOND;
	dp_reassembly_expire(&x->w, 10);
	assert_int_equal(x->count.drop[DP_FRAGMENT_TIMEOUT], 3);
	assert_int_equal(link_in_use(), 0);
	/* the missing one comes too late: it begins a datagram that stays alone */
	assert_int_equal(one(x, &id, 32, MORE, payload + 32, 16), DP_TAKEN);
	assert_int_equal(link_destroy(x), 0);
}

/* "Fragment reassembly time exceeded": only where the first fragment has come, towards pods and
 * into the tunnel it came out of; it quotes that fragment as it came. */
static void tells_the_sender_that_time_is_over(void **state)
{
	static const struct {
		const char *what;
		enum { FROM_POD, FROM_TUNNEL, FROM_SERVER } from;
		uint32_t destination;
		unsigned offset, length;
		uint8_t protocol;
		int is_told;
	} table[] = {
		{ "the first one of a pod", FROM_POD, LINK_POD, 0, 104, UDP, 1 },
		{ "the first one of a ping", FROM_POD, LINK_POD, 0, 104, 1, 1 },
		{ "a later one of a pod", FROM_POD, LINK_POD, 104, 104, UDP, 0 },
		{ "the first one out of a tunnel", FROM_TUNNEL, DESTINATION, 0, 104, UDP, 1 },
		{ "a later one out of a tunnel", FROM_TUNNEL, DESTINATION, 104, 104, UDP, 0 },
		{ "out of a tunnel, to no address of ours", FROM_TUNNEL, DESTINATION + 1, 0, 104,
		  UDP, 0 },
		{ "the first one of a server", FROM_SERVER, LINK_UPLINK, 0, 104, UDP, 0 },
	};
	uint8_t payload[104], sent[124];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct link_world *x = link_create();
		struct identity id = usual;
		const struct dp_pkt *a;
		struct dp_pkt *p;

		fill(payload, sizeof(payload), i);
		payload[0] = 8; /* an ICMP echo request */
		id.destination = table[i].destination;
		id.protocol = table[i].protocol;
		x->tunnels[id.tunnel].inner_be = htonl(DESTINATION);
		p = push(x, &id, table[i].offset, MORE, payload, table[i].length, 1);
		memcpy(sent, p->l3, sizeof(sent));
		if (table[i].from == FROM_POD)
			dp_reassemble_cluster(&x->w, &x->path);
		else if (table[i].from == FROM_TUNNEL)
			dp_reassemble_inner(&x->w, &x->path);
		else
			dp_reassemble_outer(&x->w, &x->path);
		assert_int_equal(p->verdict, DP_TAKEN);
		x->w.now_ns += DP_REASSEMBLY_SECONDS * SECOND;
		dp_reassembly_expire(&x->w, 8);
		assert_int_equal(x->count.drop[DP_FRAGMENT_TIMEOUT], 1);
		assert_int_equal(x->count.fragments_waiting, 0);
		if (x->answers.n + x->answers_inside.n != (unsigned)table[i].is_told)
			fail_msg("%s", table[i].what);
		if (table[i].is_told) {
			a = table[i].from == FROM_POD ? &x->answers.p[0] : &x->answers_inside.p[0];
			assert_int_equal(a->l3_length, 28 + sizeof(sent));
			assert_int_equal(nat_get32(a->l3 + 12), id.destination);
			assert_int_equal(nat_get32(a->l3 + 16), SOURCE);
			assert_int_equal(a->l3[20], 11);
			assert_int_equal(a->l3[21], 1);
			assert_int_equal(link_sum(a->l3, 20), 0xffff);
			assert_int_equal(link_sum(a->l3 + 20, a->l3_length - 20u), 0xffff);
			assert_memory_equal(a->l3 + 28, sent, sizeof(sent));
			assert_int_equal(a->port, table[i].from == FROM_POD ? DP_PORT_CLUSTER
			                                                    : DP_PORT_UPLINK);
		}
		assert_int_equal(link_destroy(x), 0);
	}
}

/* A tunnel that goes takes along what waits: its slot may be another environment's next. */
static void forgets_a_tunnel(void **state)
{
	struct link_world *x = link_create();
	struct identity other = usual, environment = usual;
	uint8_t payload[64];

	(void)state;
	other.tunnel = 6;
	environment.environment = 4;
	fill(payload, 64, 1);
	assert_int_equal(one(x, &usual, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(one(x, &other, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(one(x, &environment, 0, MORE, payload, 32), DP_TAKEN);
	dp_reassembly_forget(&x->w, usual.environment, usual.tunnel);
	assert_int_equal(x->count.drop[DP_FRAGMENT_TIMEOUT], 1);
	assert_int_equal(x->answers.n + x->answers_inside.n, 0);
	assert_int_equal(one(x, &usual, 32, 0, payload + 32, 32), DP_TAKEN);
	assert_int_equal(one(x, &other, 32, 0, payload + 32, 32), DP_OK);
	assert_int_equal(one(x, &environment, 32, 0, payload + 32, 32), DP_OK);
	assert_int_equal(link_destroy(x), 0);
}

/* A flood in one environment leaves room for another; whatever was refused, the count is right in
 * the end. */
static void has_quotas(void **state)
{
	struct link_world *x = link_create();
	struct identity id = usual, other = { SOURCE, DESTINATION, 7, UDP, 4, 6 };
	uint8_t payload[64];
	unsigned taken = 0;

	(void)state;
	fill(payload, 64, 1);
	for (unsigned i = 0; i < 100; i++) { /* datagrams */
		id.number = (uint16_t)i;
		taken += one(x, &id, 0, MORE, payload, 32) == DP_TAKEN;
	}
	assert_int_equal(taken, DP_REASSEMBLY_SCOPE_DATAGRAMS);
	id.number = 0; /* those that wait go on */
	assert_int_equal(one(x, &id, 32, 0, payload + 32, 32), DP_OK);
	id.number = 200;
	assert_int_equal(one(x, &id, 0, MORE, payload, 32), DP_TAKEN);
	for (unsigned i = 0; i < DP_REASSEMBLY_SCOPE_BUFFERS - DP_REASSEMBLY_SCOPE_DATAGRAMS; i++)
		assert_int_equal(one(x, &id, 32 + i * 16, MORE, payload, 8), DP_TAKEN);
	assert_int_equal(one(x, &id, 60000, MORE, payload, 8), DP_FRAGMENT_QUOTA); /* buffers */
	assert_int_equal(x->count.drop[DP_FRAGMENT_QUOTA],
	                 DP_REASSEMBLY_SCOPE_BUFFERS - DP_REASSEMBLY_SCOPE_DATAGRAMS + 1);
	assert_int_equal(one(x, &other, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(one(x, &other, 32, 0, payload + 32, 32), DP_OK);
	link_clear(x);
	for (unsigned i = 0; i < 3 * DP_REASSEMBLY_DATAGRAMS;
	     i++) { /* all of them, by many environments */
		other.environment = (uint16_t)(100 + i / 10);
		other.number = (uint16_t)i;
		one(x, &other, 0, MORE, payload, 32);
	}
	link_clear(x);
	assert_true(x->count.fragments_waiting < DP_REASSEMBLY_DATAGRAMS);
	x->w.now_ns += DP_REASSEMBLY_SECONDS * SECOND;
	for (unsigned i = 0; i < DP_REASSEMBLY_DATAGRAMS / 8; i++)
		dp_reassembly_expire(&x->w, 8);
	assert_int_equal(x->count.fragments_waiting, 0);
	assert_int_equal(link_in_use(), 0);
	assert_int_equal(one(x, &usual, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(link_destroy(x), 0);
}

/* Egress: sources of environment 3 at 10.0.3.0/24, of 4 at 10.0.4.0/24, of none elsewhere. */
static struct dp_egress_range sources[] = {
	{ .environment = DP_NONE_SLOT },
	{ .first = 0x0a000300, .environment = 3 },
	{ .first = 0x0a000400, .environment = 4 },
	{ .first = 0x0a000500, .environment = DP_NONE_SLOT },
};

/* One fragment through the stage of its kind. */
static enum dp_verdict through(struct link_world *x,
                               void (*stage)(struct dp_worker *, struct dp_batch *),
                               uint32_t source, uint16_t number, unsigned offset,
                               const uint8_t *payload)
{
	const struct identity id = { source, DESTINATION, number, UDP, DP_NONE_SLOT, DP_NONE_SLOT };
	struct dp_pkt *p;

	link_clear(x);
	p = push(x, &id, offset, offset ? 0 : MORE, payload + offset, 32, 1);
	stage(&x->w, &x->path);
	return (enum dp_verdict)p->verdict;
}

/* One environment's pods that send halves to the Internet leave room for those of others. */
static void has_quotas_of_egress(void **state)
{
	struct dp_egress egress = { .sources = sources, .source_count = RTE_DIM(sources) };
	struct link_world *x = link_create();
	uint8_t payload[64];
	unsigned taken = 0;

	(void)state;
	x->generation.egress = &egress;
	fill(payload, 64, 1);
	for (unsigned i = 0; i < 100; i++)
		taken += through(x, dp_reassemble_egress_out, 0x0a000305, (uint16_t)i, 0,
		                 payload) == DP_TAKEN;
	assert_int_equal(taken, DP_REASSEMBLY_SCOPE_DATAGRAMS);
	for (uint32_t source = 0x0a000405; source <= 0x0a000505; source += 0x100) {
		assert_int_equal(through(x, dp_reassemble_egress_out, source, 1, 0, payload),
		                 DP_TAKEN);
		assert_int_equal(through(x, dp_reassemble_egress_out, source, 1, 32, payload),
		                 DP_OK);
	}
	/* with the environment they are forgotten */
	dp_reassembly_forget(&x->w, 3, DP_NONE_SLOT);
	assert_int_equal(x->count.fragments_waiting, 0);
	assert_int_equal(link_destroy(x), 0);
}

/* Whatever comes from outside in the name of however many servers, there is room: for pods, for
 * tunnels, and for the servers themselves. */
static void strangers_make_way(void **state)
{
	struct dp_egress egress = { .sources = sources, .source_count = RTE_DIM(sources) };
	struct link_world *x = link_create();
	uint8_t payload[64];

	(void)state;
	x->generation.egress = &egress;
	fill(payload, 64, 1);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(through(x, dp_reassemble_outer, LINK_SERVER + i % 10, (uint16_t)i,
		                         0, payload),
		                 DP_TAKEN);
		assert_int_equal(
			through(x, dp_reassemble_egress_in, LINK_SERVER + i, 1, 0, payload),
			DP_TAKEN);
	}
	assert_in_range(x->count.fragments_waiting, DP_REASSEMBLY_DATAGRAMS / 2,
	                DP_REASSEMBLY_DATAGRAMS);
	assert_int_equal(one(x, &usual, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(one(x, &usual, 32, 0, payload + 32, 32), DP_OK);
	assert_int_equal(through(x, dp_reassemble_egress_out, 0x0a000305, 1, 0, payload), DP_TAKEN);
	assert_int_equal(through(x, dp_reassemble_outer, LINK_SERVER, 5000, 0, payload), DP_TAKEN);
	for (unsigned i = 0; i < DP_REASSEMBLY_SCOPE_DATAGRAMS / 2; i++)
		through(x, dp_reassemble_outer, LINK_SERVER, (uint16_t)(6000 + i), 0, payload);
	assert_int_equal(through(x, dp_reassemble_outer, LINK_SERVER, 5000, 32, payload), DP_OK);
	assert_int_equal(through(x, dp_reassemble_egress_out, 0x0a000305, 1, 32, payload), DP_OK);
	/* but what others have does not make way for them */
	assert_int_equal(one(x, &usual, 0, MORE, payload, 32), DP_TAKEN);
	for (unsigned i = 0; i < 3000; i++)
		through(x, dp_reassemble_outer, LINK_SERVER + i % 10, (uint16_t)i, 0, payload);
	assert_int_equal(one(x, &usual, 32, 0, payload + 32, 32), DP_OK);
	assert_int_equal(link_destroy(x), 0);
}

static void refuses_what_cannot_be(void **state)
{
	static const struct {
		const char *what;
		uint8_t protocol;
		unsigned offset, more, length;
	} table[] = {
		{ "UDP header cut off", UDP, 0, MORE, 0 },
		{ "TCP header cut off", TCP, 0, MORE, 16 },
		{ "nothing in it", UDP, 8, 0, 0 },
		{ "not a multiple of 8", UDP, 8, MORE, 9 },
		{ "behind the largest datagram", UDP, 65504, 0, 12 },
	};
	struct link_world *x = link_create();
	uint8_t payload[64];

	(void)state;
	fill(payload, 64, 1);
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct identity id = usual;

		id.number = (uint16_t)(100 + i);
		id.protocol = table[i].protocol;
		if (one(x, &id, table[i].offset, table[i].more, payload, table[i].length) !=
		    DP_FRAGMENT_INVALID)
			fail_msg("%s", table[i].what);
		/* and so is the rest of it */
		assert_int_equal(one(x, &id, 24, 0, payload, 8), DP_FRAGMENT_INVALID);
	}
	assert_int_equal(x->count.fragments_waiting, 0);
	/* other protocols are not put together; the transport's own length has to fit the whole */
	assert_int_equal(one(x, &(struct identity){ SOURCE, DESTINATION, 1, 47, 3, 5 }, 0, MORE,
	                     payload, 32),
	                 DP_FRAGMENT);
	nat_put16(payload + 4, 65);
	assert_int_equal(one(x, &usual, 0, MORE, payload, 32), DP_TAKEN);
	assert_int_equal(one(x, &usual, 32, 0, payload + 32, 32), DP_L4_HEADER);
	assert_int_equal(link_destroy(x), 0);
}

/* RFC 3168 section 5.3. */
static void joins_congestion_marks(void **state)
{
	static const struct {
		uint8_t ecn[2];
		enum dp_verdict verdict;
		uint8_t whole;
	} table[] = {
		{ { 0, 0 }, DP_OK, 0 },    { { 2, 2 }, DP_OK, 2 }, { { 2, 3 }, DP_OK, 3 },
		{ { 3, 1 }, DP_OK, 3 },    { { 3, 3 }, DP_OK, 3 }, { { 0, 3 }, DP_TAKEN, 0 },
		{ { 3, 0 }, DP_TAKEN, 0 },
	};
	struct link_world *x = link_create();
	uint8_t payload[64];

	(void)state;
	fill(payload, 64, 1);
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct identity id = usual;
		uint64_t before = x->count.drop[DP_FRAGMENT_INVALID];

		id.number = (uint16_t)i;
		link_clear(x);
		for (unsigned k = 0; k < 2; k++) {
			struct dp_pkt *p =
				push(x, &id, k * 32, k ? 0 : MORE, payload + k * 32, 32, 1);

			p->l3[1] = table[i].ecn[k];
			link_fix_checksum(p->l3);
		}
		dp_reassemble_inner(&x->w, &x->path);
		assert_int_equal(x->path.p[0].verdict, DP_TAKEN);
		assert_int_equal(x->path.p[1].verdict, table[i].verdict);
		if (table[i].verdict == DP_OK) {
			assert_int_equal(x->path.p[1].l3[1], table[i].whole);
			assert_int_equal(link_sum(x->path.p[1].l3, 20), 0xffff);
		} else {
			assert_int_equal(x->count.drop[DP_FRAGMENT_INVALID], before + 2);
		}
	}
	assert_int_equal(link_destroy(x), 0);
}

/* Without a large buffer the datagram is lost, and nothing else is. */
static void runs_out_of_large_buffers(void **state)
{
	struct link_world *x = link_create();
	struct rte_mbuf *all[LINK_DATAGRAMS];
	uint8_t payload[2048];

	(void)state;
	fill(payload, 2048, 1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(x->w.datagrams, all, LINK_DATAGRAMS), 0);
	assert_int_equal(one(x, &usual, 1024, 0, payload + 1024, 1024), DP_TAKEN);
	assert_int_equal(one(x, &usual, 0, MORE, payload, 1024), DP_TAKEN);
	assert_int_equal(x->count.drop[DP_NO_MBUF], 2);
	assert_int_equal(x->count.fragments_waiting, 0);
	rte_pktmbuf_free_bulk(all, LINK_DATAGRAMS);
	assert_int_equal(one(x, &usual, 1024, 0, payload + 1024, 1024), DP_TAKEN);
	assert_int_equal(one(x, &usual, 0, MORE, payload, 1024), DP_OK);
	check_whole(x, &usual, payload, 2048);
	assert_int_equal(link_destroy(x), 0);
}

/* A server's fragments become a frame that the parser takes, and all of a datagram go to one
 * worker. */
static void gathers_a_frame(void **state)
{
	struct link_world *x = link_create(), *y = link_create();
	struct dp_worker *workers[2] = { &x->w, &y->w };
	uint8_t frame[LINK_ETHER + 20 + 1000], payload[3000];
	struct link_world *gatherer = NULL;
	struct dp_pkt *p;

	(void)state;
	x->w.workers = y->w.workers = workers;
	x->w.worker_count = y->w.worker_count = 2;
	y->w.index = 1;
	x->w.handoff_in = x->w.send;
	y->w.handoff_in = y->w.send;
	x->w.handoff_shares = dp_handoff_shares_create(2, SOCKET_ID_ANY);
	y->w.handoff_shares = dp_handoff_shares_create(2, SOCKET_ID_ANY);
	assert_true(x->w.handoff_shares && y->w.handoff_shares);
	fill(payload, sizeof(payload), 1);
	nat_put16(payload, 4500);
	nat_put16(payload + 2, 4500);
	for (unsigned i = 0; i < 3; i++) {
		struct link_world *at = i % 2 ? x : y, *to;
		void *m = NULL;

		link_ether(x, DP_PORT_UPLINK, 0x0800, frame);
		link_ipv4(frame + LINK_ETHER, UDP, LINK_SERVER, LINK_UPLINK, 1000);
		nat_put16(frame + LINK_ETHER + 6, (uint16_t)((i < 2 ? MORE : 0) | i * 125));
		link_fix_checksum(frame + LINK_ETHER);
		memcpy(frame + LINK_ETHER + 20, payload + i * 1000, 1000);
		p = link_parse(at, DP_PORT_UPLINK, link_buffer(frame, sizeof(frame), 0));
		dp_handoff_fragment(&at->w, &at->fragments);
		to = p->verdict == DP_OK ? at : at == x ? y : x;
		assert_true(!gatherer || gatherer == to);
		gatherer = to;
		if (to != at) {
			assert_int_equal(rte_ring_dequeue(to->w.handoff_in, &m), 0);
			p = link_parse(to, DP_PORT_UPLINK, m);
			dp_handoff_fragment(&to->w, &to->fragments);
		}
		dp_reassemble_outer(&to->w, &to->fragments);
		assert_int_equal(p->verdict, i < 2 ? DP_TAKEN : DP_OK);
	}
	p->verdict = DP_TAKEN;
	p = link_parse(gatherer, DP_PORT_UPLINK, p->m);
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(gatherer->path.n, 1);
	assert_memory_equal(p->l3 + 20, payload, sizeof(payload));
	rte_free(x->w.handoff_shares);
	rte_free(y->w.handoff_shares);
	link_destroy(x);
	assert_int_equal(link_destroy(y), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(takes_the_largest_datagram),
		cmocka_unit_test(keeps_apart_what_is_apart),
		cmocka_unit_test(keeps_the_kinds_apart),
		cmocka_unit_test(gives_up_after_its_time),
		cmocka_unit_test(tells_the_sender_that_time_is_over),
		cmocka_unit_test(forgets_a_tunnel),
		cmocka_unit_test(has_quotas),
		cmocka_unit_test(has_quotas_of_egress),
		cmocka_unit_test(strangers_make_way),
		cmocka_unit_test(refuses_what_cannot_be),
		cmocka_unit_test(joins_congestion_marks),
		cmocka_unit_test(runs_out_of_large_buffers),
		cmocka_unit_test(gathers_a_frame),
	};

	return cmocka_run_group_tests_name("reassembly", tests, link_eal, NULL);
}
