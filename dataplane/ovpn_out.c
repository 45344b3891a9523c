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

#include <rte_ether.h>
#include <rte_prefetch.h>

#define NUMBER 4u /* packet id */
#define CBC_BLOCK 16u
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
	unsigned n = 0;

	for (unsigned i = 0; i < b->n; i++)
		n += is_openvpn(w, &b->p[i]);
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

static inline void write_nonce(struct dp_pkt *p, const struct dp_sa_out *sa, uint32_t number_be)
{
	uint8_t *number = p->esp + sa->suite.icv_at - NUMBER;

	dp_store32(number, number_be);
	dp_store32(p->iv, number_be);
	memcpy(p->iv + NUMBER, sa->openvpn.iv, sizeof(sa->openvpn.iv));
	memcpy(p->aad, number + NUMBER - sa->suite.aad_bytes, 8);
}

static void write_epoch_nonce(struct dp_pkt *p, const struct dp_sa_out *sa)
{
	uint64_t number_be = rte_cpu_to_be_64(sa->sequence);

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
static inline enum dp_verdict encapsulate(struct dp_worker *w, struct dp_sa_out *sa,
                                          const struct dp_outer *form, struct dp_pkt *p,
                                          enum dp_ovpn_shape shape,
                                          enum ipc_openvpn_framing framing)
{
	struct rte_mbuf *m = p->m;
	uint8_t *text = p->l3, *outer;
	/* a ping has no type of service */
	uint16_t first = likely(text[0] == 0x45) ? dp_load16(text) & rte_cpu_to_be_16(0xff00 | DSCP)
	                                         : rte_cpu_to_be_16(0x4500);
	unsigned length = p->l3_length, before = sa->before, total;
	/* the most that may be added before, and behind */
	unsigned most = before + NUMBER + 1 + RTE_ETHER_HDR_LEN;
	size_t offset = (size_t)(text - (uint8_t *)m->buf_addr);
	uint32_t number_be;

	if (unlikely(length > sa->inner_mtu)) {
		p->limit = sa->inner_mtu;
		return DP_TOO_BIG;
	}
	if (unlikely(offset < most || offset + length + CBC_BLOCK + 1 > m->buf_len) &&
	    !make_room(m, &text, length, most))
		return DP_CRYPTO;
	if (unlikely(sa->sequence >= sa->mark) && !dp_sa_out_at_mark(w, sa))
		return DP_OVPN_SEQUENCE;
	sa->sequence++;
	number_be = rte_cpu_to_be_32((uint32_t)sa->sequence);
	text = frame(framing, text, &length);
	if (shape == DP_OVPN_CBC)
		text = pad_cbc(text, &length, number_be);
	outer = text - before;
	total = before + length + sa->suite.tail_bytes;
	dp_outer_write(outer, form, first, total);
	p->esp = outer + sa->outer_bytes;
	dp_store32(p->esp, sa->openvpn.first_be);
	if (shape == DP_OVPN_CBC) {
		memcpy(p->iv + 4, &sa->sequence, sizeof(sa->sequence)); /* for its IV */
		identify(w, outer);
	} else if (shape == DP_OVPN_EPOCH) {
		write_epoch_nonce(p, sa);
		identify(w, outer);
	} else {
		write_nonce(p, sa, number_be);
	}
	p->sa_out = sa;
	p->l3 = outer;
	p->l3_length = (uint16_t)total;
	p->l3_header = DP_IPV4_HEADER;
	p->protocol = outer[9];
	p->nexthop_be = sa->remote_be;
	p->port = DP_PORT_UPLINK;
	m->data_off = (uint16_t)(outer - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)total;
	m->pkt_len = total;
	return DP_OK;
}

/* What a run of packets adds to the counters. */
struct sum {
	uint64_t packets, bytes, volume;
};

static __rte_always_inline struct sum encapsulate_loop(struct dp_worker *w, struct dp_sa_out *sa,
                                                       struct dp_pkt *p, const struct dp_pkt *end,
                                                       enum dp_ovpn_shape shape,
                                                       enum ipc_openvpn_framing framing)
{
	const struct dp_outer form = dp_outer_of(sa);
	struct sum sum = { 0 };

	for (; p < end; p++) {
		unsigned length = p->l3_length;

		if (unlikely(p->verdict != DP_OK))
			continue;
		p->verdict = (uint8_t)encapsulate(w, sa, &form, p, shape, framing);
		if (likely(p->verdict == DP_OK)) {
			sum.packets++;
			sum.bytes += length;
			sum.volume += (length + 1 + 15) / 16 + 1; /* framing at most 1 byte */
		}
	}
	return sum;
}

/* Packets [P, END) under one key. */
static struct sum encapsulate_all(struct dp_worker *w, struct dp_sa_out *sa, struct dp_pkt *p,
                                  const struct dp_pkt *end)
{
	struct sum sum;

	if (likely(sa->openvpn.shape == DP_OVPN_AEAD &&
	           sa->openvpn.framing == IPC_OPENVPN_FRAMING_NONE))
		sum = encapsulate_loop(w, sa, p, end, DP_OVPN_AEAD, IPC_OPENVPN_FRAMING_NONE);
	else
		sum = encapsulate_loop(w, sa, p, end, sa->openvpn.shape, sa->openvpn.framing);
	sa->openvpn.volume += sum.volume;
	return sum;
}

/* Packets [FROM, TO) of one tunnel; its counters are written once. Returns how many go on. */
static unsigned encapsulate_run(struct dp_worker *w, struct dp_batch *b, unsigned from, unsigned to)
{
	struct dp_tunnel *tunnel = &w->tunnels[b->p[from].tunnel];
	struct dp_sa_out *sa = tunnel->out;
	struct sum sum = encapsulate_all(w, sa, &b->p[from], &b->p[to]);

	if (sum.packets == 0)
		return 0;
	sa->packets += sum.packets;
	sa->bytes += sum.bytes;
	sa->used_ns = w->now_ns;
	tunnel->packets_out += sum.packets;
	tunnel->bytes_out += sum.bytes;
	return (unsigned)sum.packets;
}

void dp_ovpn_out_encapsulate(struct dp_worker *w, struct dp_batch *b)
{
	unsigned to, packets = 0;

	for (unsigned from = 0; from < b->n; from = to) {
		for (to = from + 1; to < b->n && b->p[to].tunnel == b->p[from].tunnel; to++)
			;
		packets = encapsulate_run(w, b, from, to);
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
