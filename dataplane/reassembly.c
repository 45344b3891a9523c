/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams by key in a chained hash, their fragments in order of offset, all of them in order of
 * age. */
#include "dataplane/reassembly.h"

#include <errno.h>

#include <rte_ether.h>
#include <rte_malloc.h>

#include "dataplane/answer.h"
#include "dataplane/crc.h"
#include "dataplane/egress.h"
#include "dataplane/generation.h"
#include "dataplane/ipv4.h"
#include "dataplane/keyed_hash.h"
#include "dataplane/worker.h"

#define NONE UINT16_MAX
#define BUCKETS 512u /* power of two */
#define SERVER_CLASSES 64u
#define EGRESS_OUT_SCOPE (DP_ENVIRONMENTS_MAX + SERVER_CLASSES)
#define EGRESS_IN_SCOPE (EGRESS_OUT_SCOPE + 1u)
#define SCOPES (EGRESS_IN_SCOPE + 1u)
#define TIMEOUT_NS (DP_REASSEMBLY_SECONDS * 1000000000ull)
#define DATAGRAM_MAX UINT16_MAX
#define MORE_FRAGMENTS 0x2000u
#define OFFSET_MASK 0x1fffu
#define ECN_CE 3u

enum kind { CLUSTER = 1, INNER, OUTER, EGRESS_OUT, EGRESS_IN };

/* Everything that tells two datagrams apart; sixteen bytes, hashed as two words. */
struct key {
	uint32_t source_be;
	uint32_t destination_be;
	uint16_t identification_be;
	uint8_t protocol;
	uint8_t kind;
	uint16_t scope;  /* environment's slot, or DP_ENVIRONMENTS_MAX + class of server, or egress
	                    of nobody's, or from the Internet */
	uint16_t tunnel; /* slot; INNER alone */
};
_Static_assert(sizeof(struct key) == 16, "key: two words, no padding");

struct fragment {
	struct rte_mbuf *m;
	uint8_t *l3;
	uint16_t offset; /* bytes */
	uint16_t length;
	uint16_t next;
};

struct datagram {
	struct key key;
	uint64_t deadline_ns;
	uint32_t total;       /* payload bytes; 0: the last fragment has not come */
	uint32_t have;        /* payload bytes that came */
	uint16_t first, last; /* fragments, by offset */
	uint16_t count;
	uint16_t chain;          /* next in the bucket, or in the free list */
	uint16_t older, younger; /* by deadline */
	uint8_t ecn_seen;        /* bit N: a fragment had ECN field N */
	uint8_t refused;         /* enum dp_verdict: its fragments are refused; DP_OK: they wait */
};

struct scope {
	uint16_t datagrams;
	uint16_t buffers;
};

struct dp_reassembly {
	struct dp_hash_seed seed;
	uint16_t buckets[BUCKETS];
	uint16_t free_datagram, free_fragment;
	uint16_t oldest, youngest;
	struct scope scopes[SCOPES];
	struct datagram datagrams[DP_REASSEMBLY_DATAGRAMS];
	struct fragment fragments[DP_REASSEMBLY_BUFFERS];
};

int dp_reassembly_create(struct dp_reassembly **reassembly, uint64_t seed, int socket)
{
	struct dp_reassembly *r =
		rte_zmalloc_socket("reassembly", sizeof(*r), RTE_CACHE_LINE_SIZE, socket);

	if (!r)
		return -ENOMEM;
	dp_hash_seed_init(&r->seed, seed);
	for (unsigned i = 0; i < BUCKETS; i++)
		r->buckets[i] = NONE;
	for (unsigned i = 0; i < DP_REASSEMBLY_DATAGRAMS; i++)
		r->datagrams[i].chain = i + 1 < DP_REASSEMBLY_DATAGRAMS ? (uint16_t)(i + 1) : NONE;
	for (unsigned i = 0; i < DP_REASSEMBLY_BUFFERS; i++)
		r->fragments[i].next = i + 1 < DP_REASSEMBLY_BUFFERS ? (uint16_t)(i + 1) : NONE;
	r->oldest = r->youngest = NONE;
	*reassembly = r;
	return 0;
}

void dp_reassembly_destroy(struct dp_reassembly *r)
{
	if (!r)
		return;
	for (uint16_t i = r->oldest; i != NONE; i = r->datagrams[i].younger)
		for (uint16_t f = r->datagrams[i].first; f != NONE; f = r->fragments[f].next)
			rte_pktmbuf_free(r->fragments[f].m);
	rte_free(r);
}

/* ---- datagrams ---- */

static uint16_t *bucket_of(struct dp_reassembly *r, const struct key *key)
{
	uint64_t word[2];

	memcpy(word, key, sizeof(word));
	return &r->buckets[dp_hash16(&r->seed, word[0], word[1]) & (BUCKETS - 1)];
}

static struct datagram *find(struct dp_reassembly *r, const struct key *key)
{
	for (uint16_t i = *bucket_of(r, key); i != NONE; i = r->datagrams[i].chain)
		if (memcmp(&r->datagrams[i].key, key, sizeof(*key)) == 0)
			return &r->datagrams[i];
	return NULL;
}

static struct datagram *begin(struct dp_reassembly *r, const struct key *key, uint64_t now_ns)
{
	struct scope *scope = &r->scopes[key->scope];
	uint16_t *bucket = bucket_of(r, key), at = r->free_datagram;
	struct datagram *d;

	if (at == NONE || scope->datagrams == DP_REASSEMBLY_SCOPE_DATAGRAMS)
		return NULL;
	d = &r->datagrams[at];
	r->free_datagram = d->chain;
	*d = (struct datagram){ .key = *key,
		                .deadline_ns = now_ns + TIMEOUT_NS,
		                .first = NONE,
		                .last = NONE,
		                .chain = *bucket,
		                .older = r->youngest,
		                .younger = NONE };
	*bucket = at;
	if (r->youngest != NONE)
		r->datagrams[r->youngest].younger = at;
	else
		r->oldest = at;
	r->youngest = at;
	scope->datagrams++;
	return d;
}

/* Forgets a datagram that has no fragments any more. */
static void end(struct dp_reassembly *r, struct datagram *d)
{
	uint16_t at = (uint16_t)(d - r->datagrams), *link = bucket_of(r, &d->key);

	while (*link != at)
		link = &r->datagrams[*link].chain;
	*link = d->chain;
	if (d->older != NONE)
		r->datagrams[d->older].younger = d->younger;
	else
		r->oldest = d->younger;
	if (d->younger != NONE)
		r->datagrams[d->younger].older = d->older;
	else
		r->youngest = d->older;
	r->scopes[d->key.scope].datagrams--;
	d->chain = r->free_datagram;
	r->free_datagram = at;
}

/* Takes the first fragment off; its buffer is the caller's. */
static struct fragment take_first(struct dp_worker *w, struct datagram *d)
{
	struct dp_reassembly *r = w->reassembly;
	uint16_t at = d->first;
	struct fragment f = r->fragments[at];

	d->first = f.next;
	if (d->first == NONE)
		d->last = NONE;
	d->count--;
	w->count->fragments_waiting--;
	r->scopes[d->key.scope].buffers--;
	r->fragments[at].next = r->free_fragment;
	r->free_fragment = at;
	return f;
}

static void drop_fragments(struct dp_worker *w, struct datagram *d, enum dp_verdict verdict)
{
	w->count->drop[verdict] += d->count;
	while (d->first != NONE)
		rte_pktmbuf_free(take_first(w, d).m);
}

/* What came of it is dropped now; what still comes, until its time is over. */
static enum dp_verdict refuse(struct dp_worker *w, struct datagram *d, enum dp_verdict verdict)
{
	drop_fragments(w, d, verdict);
	d->refused = (uint8_t)verdict;
	return verdict;
}

/* ---- one fragment ---- */

/* The transport header, or what stands in for one, has to be in the first fragment: RFC 1858
 * section 2.1. */
static unsigned first_least(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? 20 : 8;
}

static enum dp_verdict check_fragment(const struct dp_pkt *p, unsigned offset, bool is_last,
                                      unsigned lead)
{
	unsigned length = p->l3_length - DP_IPV4_HEADER;

	if (length == 0 || (!is_last && length % 8 != 0))
		return DP_FRAGMENT_INVALID;
	if (lead + DP_IPV4_HEADER + offset + length > DATAGRAM_MAX)
		return DP_FRAGMENT_INVALID;
	if (offset == 0 && length < first_least(p->protocol))
		return DP_FRAGMENT_INVALID;
	return DP_OK;
}

/*
 * Where the fragment belongs: *AFTER is the one before it, NONE for the first place. Fragments
 * mostly come in order, or in reverse: both ends are looked at first.
 */
static enum dp_verdict find_place(const struct dp_reassembly *r, const struct datagram *d,
                                  const struct dp_pkt *p, unsigned offset, unsigned length,
                                  uint16_t *after)
{
	uint16_t before = NONE, next = d->first;

	if (d->last != NONE && offset > r->fragments[d->last].offset) {
		before = d->last;
		next = NONE;
	}
	for (; next != NONE && r->fragments[next].offset <= offset; next = r->fragments[next].next)
		before = next;
	*after = before;
	if (before != NONE) {
		const struct fragment *f = &r->fragments[before];

		if (f->offset == offset && f->length == length &&
		    memcmp(f->l3 + DP_IPV4_HEADER, p->l3 + DP_IPV4_HEADER, length) == 0)
			return DP_FRAGMENT_DUPLICATE;
		if (f->offset + f->length > offset)
			return DP_FRAGMENT_OVERLAP;
	}
	if (next != NONE && offset + length > r->fragments[next].offset)
		return DP_FRAGMENT_OVERLAP;
	return DP_OK;
}

/* The end is where the last fragment says, once and for all. */
static enum dp_verdict check_end(const struct dp_reassembly *r, const struct datagram *d,
                                 unsigned end_bytes, bool is_last)
{
	if (d->total != 0)
		return (is_last ? end_bytes == d->total : end_bytes < d->total)
		               ? DP_OK
		               : DP_FRAGMENT_INVALID;
	if (is_last && d->last != NONE &&
	    r->fragments[d->last].offset + r->fragments[d->last].length > end_bytes)
		return DP_FRAGMENT_INVALID;
	return DP_OK;
}

static enum dp_verdict insert(struct dp_reassembly *r, struct datagram *d, const struct dp_pkt *p,
                              unsigned offset, uint16_t after)
{
	struct scope *scope = &r->scopes[d->key.scope];
	uint16_t at = r->free_fragment;
	struct fragment *f;

	if (at == NONE || scope->buffers == DP_REASSEMBLY_SCOPE_BUFFERS)
		return DP_FRAGMENT_QUOTA;
	f = &r->fragments[at];
	r->free_fragment = f->next;
	*f = (struct fragment){ .m = p->m,
		                .l3 = p->l3,
		                .offset = (uint16_t)offset,
		                .length = (uint16_t)(p->l3_length - DP_IPV4_HEADER),
		                .next = after == NONE ? d->first : r->fragments[after].next };
	if (after == NONE)
		d->first = at;
	else
		r->fragments[after].next = at;
	if (f->next == NONE)
		d->last = at;
	scope->buffers++;
	d->count++;
	d->have += f->length;
	d->ecn_seen |= (uint8_t)(1u << (p->l3[1] & 3));
	return DP_TAKEN;
}

/* ---- the whole ---- */

/* One congested fragment makes a congested datagram, unless its sender is not capable of ECN: RFC
 * 3168 section 5.3. */
static enum dp_verdict join_ecn(const struct datagram *d, uint8_t *l3)
{
	if (likely(!(d->ecn_seen & 1u << ECN_CE) || d->ecn_seen == 1u << ECN_CE))
		return DP_OK;
	if (d->ecn_seen & 1u)
		return DP_FRAGMENT_INVALID;
	l3[1] |= ECN_CE;
	return DP_OK;
}

/*
 * The buffer that the whole datagram goes into, with LEAD bytes before it: the first fragment's own
 * if there is room behind it, else a large one. *L3 is where the IPv4 header is, copied already.
 */
static struct rte_mbuf *make_room(struct dp_worker *w, const struct fragment *first, unsigned total,
                                  unsigned lead, uint8_t **l3)
{
	struct rte_mbuf *m = first->m;
	size_t at = (size_t)(first->l3 - (uint8_t *)m->buf_addr);

	*l3 = first->l3;
	if (at + total <= m->buf_len)
		return m;
	m = rte_pktmbuf_alloc(w->datagrams);
	if (!m)
		return NULL;
	at = RTE_MIN((size_t)RTE_PKTMBUF_HEADROOM, (size_t)m->buf_len - total);
	*l3 = (uint8_t *)m->buf_addr + at;
	memcpy(*l3 - lead, first->l3 - lead, lead + DP_IPV4_HEADER + first->length);
	m->port = first->m->port;
	return m;
}

static enum dp_verdict join(struct dp_worker *w, struct datagram *d, struct dp_pkt *p,
                            unsigned lead)
{
	struct dp_reassembly *r = w->reassembly;
	unsigned total = DP_IPV4_HEADER + d->total;
	enum dp_verdict verdict = join_ecn(d, r->fragments[d->first].l3);
	struct fragment f;
	struct rte_mbuf *m;
	uint8_t *l3;

	if (unlikely(verdict != DP_OK))
		return verdict;
	m = make_room(w, &r->fragments[d->first], total, lead, &l3);
	if (unlikely(!m))
		return DP_NO_MBUF;
	f = take_first(w, d);
	if (f.m != m)
		rte_pktmbuf_free(f.m);
	while (d->first != NONE) {
		f = take_first(w, d);
		memcpy(l3 + DP_IPV4_HEADER + f.offset, f.l3 + DP_IPV4_HEADER, f.length);
		rte_pktmbuf_free(f.m);
	}
	dp_store16(l3 + 2, rte_cpu_to_be_16((uint16_t)total));
	dp_store16(l3 + 6, 0);
	dp_store16(l3 + 10, 0);
	dp_store16(l3 + 10, (uint16_t)~dp_ipv4_sum(l3));
	m->data_off = (uint16_t)(l3 - lead - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)(lead + total);
	m->pkt_len = m->data_len;
	p->m = m;
	p->l3 = l3;
	p->l3_length = (uint16_t)total;
	w->count->reassembled++;
	return dp_ipv4_is_transport_whole(p->protocol, l3 + DP_IPV4_HEADER, d->total)
	               ? DP_OK
	               : DP_L4_HEADER;
}

/* Anybody can send these: a server's address is easily forged. */
static bool is_from_stranger(const struct key *key)
{
	return key->kind == OUTER || key->kind == EGRESS_IN;
}

/*
 * Where strangers' fragments are at their limit, or all places are taken, their oldest datagram
 * makes way. What is worth waiting for is whole long before that.
 */
static void make_way(struct dp_worker *w, const struct key *key)
{
	struct dp_reassembly *r = w->reassembly;
	const struct scope *scope = &r->scopes[key->scope];
	bool is_limit =
		is_from_stranger(key) && (scope->datagrams == DP_REASSEMBLY_SCOPE_DATAGRAMS ||
	                                  scope->buffers == DP_REASSEMBLY_SCOPE_BUFFERS);
	uint16_t at = r->oldest;

	if (likely(!is_limit && r->free_datagram != NONE && r->free_fragment != NONE))
		return;
	while (at != NONE && (!is_from_stranger(&r->datagrams[at].key) ||
	                      (is_limit && r->datagrams[at].key.scope != key->scope)))
		at = r->datagrams[at].younger;
	if (at == NONE)
		return;
	drop_fragments(w, &r->datagrams[at], DP_FRAGMENT_QUOTA);
	end(r, &r->datagrams[at]);
}

/* LEAD: bytes before the IPv4 header that the whole datagram keeps. */
static enum dp_verdict put(struct dp_worker *w, struct dp_pkt *p, const struct key *key,
                           unsigned lead)
{
	struct dp_reassembly *r = w->reassembly;
	uint16_t field = rte_be_to_cpu_16(dp_load16(p->l3 + 6)), after;
	unsigned offset = (field & OFFSET_MASK) * 8u, length = p->l3_length - DP_IPV4_HEADER;
	bool is_last = !(field & MORE_FRAGMENTS);
	enum dp_verdict verdict;
	struct datagram *d;

	w->count->fragments_in++;
	make_way(w, key);
	d = find(r, key);
	if (!d)
		d = begin(r, key, w->now_ns);
	if (!d)
		return DP_FRAGMENT_QUOTA;
	if (d->refused != DP_OK)
		return (enum dp_verdict)d->refused;
	verdict = check_fragment(p, offset, is_last, lead);
	if (verdict == DP_OK)
		verdict = find_place(r, d, p, offset, length, &after);
	if (verdict == DP_FRAGMENT_DUPLICATE)
		return verdict;
	if (verdict == DP_OK)
		verdict = check_end(r, d, offset + length, is_last);
	if (verdict != DP_OK)
		return refuse(w, d, verdict);
	verdict = insert(r, d, p, offset, after);
	if (verdict != DP_TAKEN)
		return refuse(w, d, verdict);
	w->count->fragments_waiting++;
	if (is_last)
		d->total = offset + length;
	if (d->have != d->total)
		return DP_TAKEN;
	verdict = join(w, d, p, lead);
	if (d->first != NONE) { /* it did not come to that: this packet is one of those that wait */
		drop_fragments(w, d, verdict);
		verdict = DP_TAKEN;
	}
	end(r, d);
	return verdict;
}

/* ---- stages ---- */

static struct key key_of(const struct dp_pkt *p, enum kind kind, uint16_t scope, uint16_t tunnel)
{
	return (struct key){ .source_be = dp_load32(p->l3 + 12),
		             .destination_be = dp_load32(p->l3 + 16),
		             .identification_be = dp_load16(p->l3 + 4),
		             .protocol = p->protocol,
		             .kind = kind,
		             .scope = scope,
		             .tunnel = tunnel };
}

void dp_reassemble_cluster(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		const struct dp_environment *e;
		struct key key;

		if (likely(p->verdict != DP_OK || !dp_ipv4_is_fragment(p->l3)))
			continue;
		e = dp_environment_lookup(w->generation, dp_load32(p->l3 + 16));
		key = key_of(p, CLUSTER, e->slot, DP_NONE_SLOT);
		p->verdict = put(w, p, &key, 0);
	}
}

void dp_reassemble_inner(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct key key;

		if (likely(p->verdict != DP_OK || !dp_ipv4_is_fragment(p->l3)))
			continue;
		if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP &&
		    p->protocol != IPPROTO_ICMP) {
			p->verdict = DP_FRAGMENT;
			continue;
		}
		key = key_of(p, INNER, p->environment, p->tunnel);
		p->verdict = put(w, p, &key, 0);
	}
}

void dp_reassemble_outer(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		uint32_t class = dp_crc4(dp_load32(p->l3 + 12)) % SERVER_CLASSES;
		struct key key =
			key_of(p, OUTER, (uint16_t)(DP_ENVIRONMENTS_MAX + class), DP_NONE_SLOT);

		if (likely(p->verdict == DP_OK))
			p->verdict = put(w, p, &key, RTE_ETHER_HDR_LEN);
	}
}

/* The environment whose sources hold the pod, or one more for all that are nobody's. */
static uint16_t sender_of(const struct dp_worker *w, const struct dp_pkt *p)
{
	const struct dp_egress *e = w->generation->egress;
	uint16_t environment =
		dp_egress_find(e->sources, e->source_count, dp_load32(p->l3 + 12))->environment;

	return environment == DP_NONE_SLOT ? EGRESS_OUT_SCOPE : environment;
}

static void reassemble_egress(struct dp_worker *w, struct dp_batch *b, enum kind kind)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct key key;

		if (likely(p->verdict != DP_OK || !dp_ipv4_is_fragment(p->l3)))
			continue;
		if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP &&
		    p->protocol != IPPROTO_ICMP) {
			p->verdict = DP_FRAGMENT;
			continue;
		}
		key = key_of(p, kind, kind == EGRESS_OUT ? sender_of(w, p) : EGRESS_IN_SCOPE,
		             DP_NONE_SLOT);
		p->verdict = put(w, p, &key, 0);
	}
}

void dp_reassemble_egress_out(struct dp_worker *w, struct dp_batch *b)
{
	reassemble_egress(w, b, EGRESS_OUT);
}

void dp_reassemble_egress_in(struct dp_worker *w, struct dp_batch *b)
{
	reassemble_egress(w, b, EGRESS_IN);
}

/* RFC 792, RFC 1122 section 3.3.2: only with the first fragment, which the error quotes. Servers
 * and the Internet are told nothing: their addresses are easily forged. */
static void tell_sender(struct dp_worker *w, struct datagram *d)
{
	struct dp_pkt p = { .verdict = DP_FRAGMENT_TIMEOUT };
	const struct fragment *first;

	if (d->first == NONE || (d->key.kind != CLUSTER && d->key.kind != INNER))
		return;
	first = &w->reassembly->fragments[d->first];
	if (first->offset != 0)
		return;
	p.m = first->m;
	p.l3 = first->l3;
	p.l3_header = DP_IPV4_HEADER;
	p.l3_length = (uint16_t)(DP_IPV4_HEADER + first->length);
	p.protocol = d->key.protocol;
	p.environment = d->key.scope;
	p.tunnel = d->key.tunnel;
	p.port = d->key.kind == CLUSTER ? DP_PORT_CLUSTER : DP_PORT_UPLINK;
	if (!dp_answer(w, &p))
		return;
	take_first(w, d);
	w->count->drop[DP_FRAGMENT_TIMEOUT]++;
}

void dp_reassembly_expire(struct dp_worker *w, unsigned budget)
{
	struct dp_reassembly *r = w->reassembly;

	while (r->oldest != NONE && budget-- > 0) {
		struct datagram *d = &r->datagrams[r->oldest];

		if (likely(w->now_ns < d->deadline_ns))
			return;
		tell_sender(w, d);
		drop_fragments(w, d, DP_FRAGMENT_TIMEOUT);
		end(r, d);
	}
}

void dp_reassembly_forget(struct dp_worker *w, uint16_t environment, uint16_t tunnel)
{
	struct dp_reassembly *r = w->reassembly;
	uint16_t next;

	for (uint16_t i = r->oldest; i != NONE; i = next) {
		struct datagram *d = &r->datagrams[i];

		next = d->younger;
		if (d->key.kind == OUTER || d->key.scope != environment || d->key.tunnel != tunnel)
			continue;
		drop_fragments(w, d, DP_FRAGMENT_TIMEOUT);
		end(r, d);
	}
}
