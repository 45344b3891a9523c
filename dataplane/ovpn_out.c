/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As ESP in UDP, from the same template; what differs stands before the text, not behind it. */
#include "dataplane/ovpn_out.h"

#include "dataplane/answer.h"
#include "dataplane/ipv4.h"
#include "dataplane/outer.h"
#include "dataplane/ovpn_framing.h"
#include "dataplane/ovpn_stream.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#include <immintrin.h>

#include <rte_ether.h>
#include <rte_prefetch.h>

#define NUMBER 4u /* packet id */
#define CBC_BLOCK 16u
#define IN_FRONT 52u /* bytes of all headers in front of a packet, at least */
/* Of the type of service; the server does not read the congestion mark of outer headers, so none is
 * set there: RFC 6040 section 4.1, compatibility mode. */
#define DSCP 0xfcu
#define LZO_NOT 0xfau
#define STUB_NOT 0xfbu

static inline bool is_openvpn(const struct dp_worker *w, const struct dp_pkt *p)
{
	const struct dp_sa_out *sa = p->tunnel == DP_NONE_SLOT ? NULL : w->tunnels[p->tunnel].out;

	return sa && (sa->lease.flags & IPC_SA_OPENVPN);
}

unsigned dp_ovpn_out_count(const struct dp_worker *w, const struct dp_batch *b)
{
	unsigned n = 0, one = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (i == 0 || unlikely(b->p[i].tunnel != b->p[i - 1].tunnel))
			one = is_openvpn(w, &b->p[i]);
		n += one;
	}
	return n;
}

void dp_ovpn_out_split(const struct dp_worker *w, struct dp_batch *b, struct dp_batch *openvpn)
{
	unsigned kept = 0;

	openvpn->n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		if (is_openvpn(w, &b->p[i]))
			openvpn->p[openvpn->n++] = b->p[i];
		else
			b->p[kept++] = b->p[i];
	}
	b->n = kept;
}

/* In place; returns where it begins now. There is room on either side. */
static inline uint8_t *frame(enum ipc_openvpn_framing framing, uint8_t *payload, unsigned *length)
{
	switch (framing) {
	case IPC_OPENVPN_FRAMING_LZO_NO:
		*--payload = LZO_NOT;
		break;
	case IPC_OPENVPN_FRAMING_STUB:
		payload[*length] = payload[0];
		payload[0] = STUB_NOT;
		break;
	default: /* IPv4 and pings never begin with stub-v2's escape */
		return payload;
	}
	++*length;
	return payload;
}

/* Number and PKCS #7 padding, which belong to CBC's text. */
static inline uint8_t *pad_cbc(uint8_t *payload, unsigned *length, uint32_t number_be)
{
	unsigned pad = CBC_BLOCK - ((NUMBER + *length) & (CBC_BLOCK - 1u));

	memset(payload + *length, (int)pad, pad);
	dp_store32(payload - NUMBER, number_be);
	*length += NUMBER + pad;
	return payload - NUMBER;
}

/* What a run of packets needs of its key, in registers: no store to a packet changes it. */
struct run {
	struct dp_outer outer;
	uint64_t sequence, mark; /* as in the SA, which gets the first one back */
	uint64_t way;            /* of each packet */
	uint64_t packets, bytes; /* inner packets that go on */
	uint64_t volume;
	uint64_t iv;    /* the implicit one, behind a nonce's number */
	uint32_t shape; /* of each packet, but for its length */
	uint32_t first_be;
	uint32_t before, tail, outer_bytes;
	uint16_t inner_mtu;
};

static inline struct run begin_run(const struct dp_sa_out *sa)
{
	const struct dp_pkt to = dp_outer_packet(sa);

	_Static_assert(sizeof(sa->openvpn.iv) == sizeof(uint64_t), "the rest of a nonce");
	return (struct run){ .outer = dp_outer_of(sa),
		             .sequence = sa->sequence,
		             .mark = sa->mark,
		             .way = to.way,
		             .iv = dp_load64(sa->openvpn.iv),
		             .shape = to.shape,
		             .first_be = sa->openvpn.first_be,
		             .before = sa->before,
		             .tail = sa->suite.tail_bytes,
		             .outer_bytes = sa->outer_bytes,
		             .inner_mtu = sa->inner_mtu };
}

/* The header, of one byte (DATA_V1) or four, and the number, which the ICV follows; nonce and
 * additional data for the cipher: number alone, or header and number. */
static inline void write_nonce(struct dp_pkt *p, const struct run *run, enum dp_ovpn_shape shape)
{
	uint32_t number_be = rte_cpu_to_be_32((uint32_t)run->sequence);
	uint64_t head = run->first_be | (uint64_t)number_be << (shape == DP_OVPN_AEAD_V1 ? 8 : 32);
	__m128i nonce = _mm_slli_si128(_mm_cvtsi64_si128((long long)run->iv), NUMBER);

	memcpy(p->esp, &head, sizeof(head));
	_mm_store_si128((__m128i *)p->iv, _mm_insert_epi32(nonce, (int)number_be, 0));
	_mm_store_si128((__m128i *)p->aad,
	                _mm_cvtsi64_si128(shape == DP_OVPN_AEAD_V1 ? number_be : (long long)head));
}

static void write_epoch_nonce(struct dp_pkt *p, const struct dp_sa_out *sa, const struct run *run)
{
	uint64_t number_be = rte_cpu_to_be_64(run->sequence);

	dp_store32(p->esp, run->first_be);
	memcpy(p->esp + 4, &number_be, sizeof(number_be));
	dp_ovpn_epoch_nonce(&sa->epoch, p->esp + 4, p->iv);
	memcpy(p->aad, p->esp, 12);
}

/* Those without DF have an identification: RFC 6864 section 4. */
static inline void identify(struct dp_worker *w, uint8_t *outer)
{
	uint16_t identification_be = rte_cpu_to_be_16(w->identification++);

	dp_store16(outer + 4, identification_be);
	/* RFC 1624 equation 3, of a field that was 0 */
	dp_store16(outer + 10,
	           (uint16_t)~dp_checksum_fold((uint64_t)(uint16_t)~dp_load16(outer + 10) +
	                                       identification_be));
}

/* Further back in the buffer, for a key whose ICV is long. */
static __rte_noinline bool make_room(struct rte_mbuf *m, uint8_t **text, unsigned length,
                                     unsigned before)
{
	uint8_t *to = (uint8_t *)m->buf_addr + before;

	if (before + length + CBC_BLOCK + 1 > m->buf_len)
		return false;
	memmove(to, *text, length);
	*text = to;
	return true;
}

/* SHAPE and FRAMING are the key's: constants where they are the usual ones. */
static __rte_always_inline enum dp_verdict encapsulate(struct dp_worker *w, struct dp_sa_out *sa,
                                                       struct run *run, struct dp_pkt *p,
                                                       enum dp_ovpn_shape shape,
                                                       enum ipc_openvpn_framing framing)
{
	struct rte_mbuf *m = p->m;
	uint8_t *text = p->l3, *outer;
	/* a ping has no type of service */
	uint16_t first = likely(text[0] == 0x45) ? dp_load16(text) & rte_cpu_to_be_16(0xff00 | DSCP)
	                                         : rte_cpu_to_be_16(0x4500);
	unsigned length = p->l3_length, total;
	/* the most that may be added before, and behind */
	unsigned most = run->before + NUMBER + 1 + RTE_ETHER_HDR_LEN;
	size_t offset = (size_t)(text - (uint8_t *)m->buf_addr);

	if (unlikely(length > run->inner_mtu)) {
		p->limit = run->inner_mtu;
		return DP_TOO_BIG;
	}
	if (unlikely(offset < most || offset + length + CBC_BLOCK + 1 > m->buf_len) &&
	    !make_room(m, &text, length, most))
		return DP_CRYPTO;
	if (unlikely(!dp_outer_take_number(w, sa, &run->sequence, &run->mark)))
		return DP_OVPN_SEQUENCE;
	run->packets++;
	run->bytes += length;
	run->volume += (length + 1 + 15) / 16 + 1; /* framing at most 1 byte */
	text = frame(framing, text, &length);
	if (shape == DP_OVPN_CBC)
		text = pad_cbc(text, &length, rte_cpu_to_be_32((uint32_t)run->sequence));
	outer = text - run->before;
	total = run->before + length + run->tail;
	dp_outer_write(outer, &run->outer, first, total);
	p->esp = outer + run->outer_bytes;
	if (shape == DP_OVPN_CBC) {
		dp_store32(p->esp, run->first_be);
		memcpy(p->iv + 4, &run->sequence, sizeof(run->sequence)); /* for its IV */
		identify(w, outer);
	} else if (shape == DP_OVPN_EPOCH) {
		write_epoch_nonce(p, sa, run);
		identify(w, outer);
	} else {
		write_nonce(p, run, shape);
	}
	p->sa_out = sa;
	p->l3 = outer;
	p->shape = run->shape | total;
	p->way = run->way;
	dp_mbuf_set(m, outer, (uint16_t)total);
	return DP_OK;
}

static __rte_always_inline void encapsulate_loop(struct dp_worker *w, struct dp_sa_out *sa,
                                                 struct run *run, struct dp_pkt *p,
                                                 const struct dp_pkt *end, enum dp_ovpn_shape shape,
                                                 enum ipc_openvpn_framing framing)
{
	for (; p < end; p++) {
		enum dp_verdict verdict;

		if (unlikely(p->verdict != DP_OK))
			continue;
		verdict = encapsulate(w, sa, run, p, shape, framing);
		if (unlikely(verdict != DP_OK))
			p->verdict = (uint8_t)verdict;
	}
}

/* Packets [P, END) under one key. */
static struct run encapsulate_all(struct dp_worker *w, struct dp_sa_out *sa, struct dp_pkt *p,
                                  const struct dp_pkt *end)
{
	struct run run = begin_run(sa);

	if (likely(sa->openvpn.shape == DP_OVPN_AEAD &&
	           sa->openvpn.framing == IPC_OPENVPN_FRAMING_NONE))
		encapsulate_loop(w, sa, &run, p, end, DP_OVPN_AEAD, IPC_OPENVPN_FRAMING_NONE);
	else
		encapsulate_loop(w, sa, &run, p, end, sa->openvpn.shape, sa->openvpn.framing);
	sa->sequence = run.sequence;
	sa->openvpn.volume += run.volume;
	return run;
}

/* Packets [P, END) of one tunnel; its counters are written once. Returns how many go on. */
static unsigned encapsulate_run(struct dp_worker *w, struct dp_pkt *p, const struct dp_pkt *end)
{
	struct dp_tunnel *tunnel = &w->tunnels[p->tunnel];
	struct dp_sa_out *sa = tunnel->out;
	struct run run = encapsulate_all(w, sa, p, end);

	if (run.packets == 0)
		return 0;
	sa->packets += run.packets;
	sa->bytes += run.bytes;
	sa->used_ns = w->now_ns;
	tunnel->packets_out += run.packets;
	tunnel->bytes_out += run.bytes;
	return (unsigned)run.packets;
}

void dp_ovpn_out_encapsulate(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_pkt *end = b->p + b->n, *to;
	unsigned packets = 0;

	for (struct dp_pkt *p = b->p; p < end; p = to) {
		/* nobody has looked yet at what is in front of it */
		for (to = p; to < end && to->tunnel == p->tunnel; to++)
			rte_prefetch0(to->l3 - IN_FRONT);
		packets = encapsulate_run(w, p, to);
	}
	b->has_one_sa = packets == b->n;
}

/* Behind all that the key has sealed: it may be another one then. */
static inline void check_volume(struct dp_worker *w, struct dp_sa_out *sa)
{
	if (unlikely(sa->openvpn.volume >= sa->openvpn.volume_mark))
		dp_sa_out_at_volume(w, sa);
}

void dp_ovpn_out_seal(struct dp_worker *w, struct dp_batch *b)
{
	w->count->ovpn_out_packets += dp_outer_encrypt(w, b);
	if (likely(b->has_one_sa)) {
		check_volume(w, b->p[0].sa_out);
		return;
	}
	for (unsigned i = 0; i < b->n; i++)
		if (likely(b->p[i].verdict == DP_OK))
			check_volume(w, b->p[i].sa_out);
}

/* A message of the protocol itself. */
static bool say(struct dp_worker *w, struct dp_sa_out *sa, const uint8_t *message, unsigned length)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->mbufs);
	struct dp_batch one = { .n = 1 };
	struct dp_pkt *p = &one.p[0];

	if (!m)
		return false;
	p->m = m;
	p->l3 = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)length);
	memcpy(p->l3, message, length);
	p->l3_length = (uint16_t)length;
	p->tunnel = sa->tunnel;
	encapsulate_all(w, sa, p, p + 1);
	if (p->verdict == DP_OK) {
		dp_crypto_encrypt(w->crypto, &sa->suite, &sa->key, &one, 0, 1);
		dp_crypto_flush(w->crypto);
	}
	if (p->verdict != DP_OK) {
		w->count->drop[p->verdict]++;
		rte_pktmbuf_free(m);
		return true;
	}
	if (sa->lease.flags & IPC_SA_STREAM)
		dp_ovpn_stream_give(w, m);
	else
		dp_answer_queue(w, m, DP_PORT_UPLINK);
	w->count->ovpn_pings++;
	return true;
}

bool dp_ovpn_out_ping(struct dp_worker *w, struct dp_sa_out *sa)
{
	return say(w, sa, dp_ovpn_ping_payload, DP_OVPN_PING_BYTES);
}

void dp_ovpn_out_exit(struct dp_worker *w, uint16_t tunnel)
{
	struct dp_sa_out *sa = w->tunnels[tunnel].out;

	if (sa && sa->lease.flags & IPC_SA_OPENVPN && w->answers->n < DP_BURST)
		(void)say(w, sa, dp_ovpn_exit_payload, DP_OVPN_EXIT_BYTES);
}
