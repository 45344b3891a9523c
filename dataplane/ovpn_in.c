/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As ESP: nothing behind the tag is believed before it is checked, and not all of it afterwards. */
#include "dataplane/ovpn_in.h"

#include "dataplane/inner.h"
#include "dataplane/ovpn_framing.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#include <rte_prefetch.h>

#define UDP_HEADER 8u
#define NUMBER 4u /* packet id */
#define CBC_BLOCK 16u

static inline unsigned packet_bytes(const struct dp_pkt *p)
{
	return (unsigned)(p->l3 + p->l3_length - p->esp);
}

static inline struct dp_sa_in *find_key(const struct dp_tunnel *t, uint8_t first)
{
	for (unsigned i = 0; i < DP_TUNNEL_KEYS; i++) {
		struct dp_sa_in *sa = t->keys[i];

		if (sa && sa->openvpn.first == first)
			return sa;
	}
	return NULL;
}

static inline bool is_from_peer(const struct dp_sa_in *sa, const struct dp_pkt *p)
{
	return dp_load64(p->l3 + 12) == sa->addresses_be &&
	       dp_load32(p->esp - UDP_HEADER) == sa->ports_be;
}

/* AEAD: the number, which begins the nonce, stands behind the header. */
static inline enum dp_verdict prepare_aead(struct dp_pkt *p, const struct dp_sa_in *sa)
{
	const uint8_t *number = p->esp + sa->suite.icv_at - NUMBER;

	if (unlikely(!dp_replay_check(&sa->replay, rte_be_to_cpu_32(dp_load32(number)))))
		return DP_OVPN_REPLAY;
	memcpy(p->iv, number, NUMBER);
	memcpy(p->iv + NUMBER, sa->openvpn.iv, sizeof(sa->openvpn.iv));
	/* all before the tag, but DATA_V1 without its header */
	memcpy(p->aad, number + NUMBER - sa->suite.aad_bytes, 8);
	return DP_OK;
}

/* Epoch and counter. */
static uint64_t epoch_number(const struct dp_pkt *p)
{
	return rte_be_to_cpu_64(dp_load64(p->esp + 4));
}

static bool check_epoch(const struct dp_sa_in *sa, uint64_t number)
{
	return dp_ovpn_epoch_is_late(&sa->late, number)
	               ? dp_ovpn_epoch_check_late(&sa->late, number)
	               : dp_replay_check(&sa->replay, number);
}

static __rte_noinline bool commit_epoch(struct dp_sa_in *sa, uint64_t number)
{
	return dp_ovpn_epoch_is_late(&sa->late, number)
	               ? dp_ovpn_epoch_commit_late(&sa->late, number)
	               : dp_replay_commit(&sa->replay, number);
}

static inline enum dp_verdict check_packet(struct dp_pkt *p, struct dp_sa_in *sa)
{
	unsigned bytes = packet_bytes(p), text = bytes - sa->suite.text_at;

	if (unlikely(rte_be_to_cpu_16(dp_load16(p->esp - 4)) != bytes + UDP_HEADER))
		return DP_OVPN_TRUNCATED;
	if (unlikely(bytes <= (unsigned)sa->suite.text_at + sa->suite.tail_bytes ||
	             text & (sa->suite.block_bytes - 1u)))
		return DP_OVPN_TRUNCATED;
	if (unlikely(!is_from_peer(sa, p)) && !(sa->openvpn.flags & IPC_OPENVPN_FLOAT))
		return DP_OVPN_PEER;
	p->environment = sa->environment;
	if (likely(sa->openvpn.shape < DP_OVPN_CBC))
		return prepare_aead(p, sa);
	if (sa->openvpn.shape == DP_OVPN_EPOCH && !check_epoch(sa, epoch_number(p)))
		return DP_OVPN_REPLAY;
	return DP_OK;
}

void dp_ovpn_in_lookup(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if (unlikely(p->verdict != DP_OK))
			continue;
		p->sa_in = find_key(&w->tunnels[p->tunnel], p->esp[0]);
		p->verdict = likely(p->sa_in) ? (uint8_t)check_packet(p, p->sa_in) : DP_OVPN_NO_KEY;
	}
}

/* The text of CBC: number, payload, PKCS #7 padding. *NUMBER_OUT is its number; false: the padding
 * is wrong. What is looked at is authentic. */
static bool read_cbc(uint8_t **payload, unsigned *length, uint64_t *number)
{
	const uint8_t *text = *payload;
	unsigned pad = text[*length - 1], wrong = 0;

	if (pad < 1 || pad > CBC_BLOCK || NUMBER + pad > *length)
		return false;
	for (unsigned i = 0; i < pad; i++)
		wrong |= text[*length - 1 - i] ^ pad;
	*number = rte_be_to_cpu_32(dp_load32(text));
	*payload += NUMBER;
	*length -= NUMBER + pad;
	return wrong == 0;
}

static __rte_noinline enum dp_verdict check_special(struct dp_batch *b, const struct dp_pkt *p,
                                                    uint8_t *inner, unsigned length)
{
	enum dp_verdict verdict = dp_inner_check(inner, length);

	b->has_special = true;
	return verdict == DP_OK ? dp_inner_take_ecn(p->l3, inner) : verdict;
}

static inline enum dp_verdict open_inner(struct dp_batch *b, struct dp_pkt *p, uint8_t *inner,
                                         unsigned length)
{
	enum dp_verdict verdict = DP_OK;

	if (unlikely(length < DP_IPV4_HEADER || !dp_inner_is_plain(p->l3, inner, length)))
		verdict = check_special(b, p, inner, length);
	if (likely(verdict == DP_OK))
		dp_inner_strip(p, inner);
	return verdict;
}

/* What is no IPv4 packet may be a message of the protocol itself. */
static __rte_noinline enum dp_verdict open_other(struct dp_worker *w, struct dp_sa_in *sa,
                                                 const uint8_t *payload, unsigned length)
{
	switch (dp_ovpn_message(payload, length)) {
	case DP_OVPN_MESSAGE_PING:
		return DP_OVPN_PING;
	case DP_OVPN_MESSAGE_EXIT:
		/* told once: a server may say it as often as it likes */
		w->sas->is_changed |= !sa->openvpn.is_exited;
		sa->openvpn.is_exited = 1;
		return DP_OVPN_OCC;
	case DP_OVPN_MESSAGE_OCC:
		return DP_OVPN_OCC;
	default:
		return DP_INNER_INVALID;
	}
}

static enum dp_verdict open_framed(struct dp_worker *w, struct dp_batch *b, struct dp_pkt *p,
                                   uint8_t *payload, unsigned length)
{
	struct dp_sa_in *sa = p->sa_in;
	enum dp_verdict verdict = dp_ovpn_unframe(w, p, sa, &payload, &length);

	if (verdict != DP_OK)
		return verdict;
	if (length > 0 && payload[0] == 0x45)
		return open_inner(b, p, payload, length);
	return open_other(w, sa, payload, length);
}

/* The server's address has changed: authentic, and newer than all before, so no replay took us
 * there. Who takes packets off the way and is faster could take us to and fro with each of them:
 * once in a while is enough for who moved. */
static __rte_noinline void float_to(struct dp_worker *w, const struct dp_pkt *p,
                                    const struct dp_sa_in *sa)
{
	const uint64_t floated_ns = sa->lease.floated_ns;

	if (floated_ns == 0 || w->now_ns - floated_ns >= DP_SA_FLOAT_NS)
		dp_sa_float(w, sa->tunnel, dp_load32(p->l3 + 12), dp_load16(p->esp - UDP_HEADER));
}

static inline enum dp_verdict finish(struct dp_worker *w, struct dp_batch *b, struct dp_pkt *p,
                                     struct dp_sa_in *sa)
{
	uint8_t *payload = p->esp + sa->suite.text_at;
	unsigned length = packet_bytes(p) - sa->suite.text_at - sa->suite.tail_bytes;
	uint64_t number = rte_be_to_cpu_32(dp_load32(p->iv)), top = sa->replay.top;

	if (sa->openvpn.shape == DP_OVPN_CBC && !read_cbc(&payload, &length, &number))
		return DP_OVPN_TRUNCATED;
	if (sa->openvpn.shape == DP_OVPN_EPOCH) {
		number = epoch_number(p);
		if (!commit_epoch(sa, number))
			return DP_OVPN_REPLAY;
	} else if (unlikely(!dp_replay_commit(&sa->replay, number))) {
		return DP_OVPN_REPLAY;
	}
	if (unlikely(!is_from_peer(sa, p)) && number > top)
		float_to(w, p, sa);
	if (unlikely(sa->openvpn.framing != IPC_OPENVPN_FRAMING_NONE))
		return open_framed(w, b, p, payload, length);
	if (likely(payload[0] == 0x45))
		return open_inner(b, p, payload, length);
	return open_other(w, sa, payload, length);
}

/* Packets [FROM, TO) of one key, opened. Only what is authentic and new counts as a sign of life.
 */
static void finish_run(struct dp_worker *w, struct dp_batch *b, unsigned from, unsigned to)
{
	struct dp_sa_in *sa = b->p[from].sa_in;
	struct dp_tunnel *tunnel = &w->tunnels[sa->tunnel];
	uint64_t packets = 0, bytes = 0;
	bool is_heard = false;

	for (unsigned i = from; i < to; i++) {
		struct dp_pkt *p = &b->p[i];

		if (unlikely(p->verdict != DP_OK)) {
			if (p->verdict == DP_ESP_ICV)
				p->verdict = DP_OVPN_ICV;
			continue;
		}
		p->verdict = (uint8_t)finish(w, b, p, sa);
		is_heard |= p->verdict != DP_OVPN_REPLAY && p->verdict != DP_OVPN_TRUNCATED;
		if (likely(p->verdict == DP_OK)) {
			packets++;
			bytes += p->l3_length;
		}
	}
	if (!is_heard)
		return;
	if (unlikely(sa->used_ns == 0))
		w->sas->is_changed = true; /* the server uses this key: so may we */
	sa->used_ns = w->now_ns;
	sa->packets += packets;
	sa->bytes += bytes;
	tunnel->heard_ns = w->now_ns;
	tunnel->packets_in += packets;
	tunnel->bytes_in += bytes;
	w->count->ovpn_in_packets += packets;
}

/* The end of the run of one key that begins at FROM; VERDICTS are those that belong to it. */
static inline unsigned end_of_run(const struct dp_batch *b, unsigned from)
{
	unsigned to = from + 1;

	while (to < b->n && b->p[to].verdict == DP_OK && b->p[to].sa_in == b->p[from].sa_in)
		to++;
	return to;
}

/* What came out of the queue; the rest of the batch is finished already. */
static void finish_queued(struct dp_worker *w, struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];

		if ((p->verdict == DP_OK || p->verdict == DP_ESP_ICV) &&
		    dp_crypto_is_queued(&p->sa_in->suite) &&
		    p->sa_in->openvpn.shape != DP_OVPN_EPOCH)
			finish_run(w, b, i, i + 1);
	}
}

/* One by one: each may be the first of the next epoch. */
static __rte_noinline void open_epochs(struct dp_worker *w, struct dp_batch *b, unsigned from)
{
	for (unsigned i = from; i < b->n; i++) {
		struct dp_pkt *p = &b->p[i];
		struct dp_sa_in *sa = p->sa_in;
		uint16_t epoch;

		if (p->verdict != DP_OK || !sa->epoch.number)
			continue;
		epoch = rte_be_to_cpu_16(dp_load16(p->esp + 4));
		if (epoch > sa->epoch.number)
			dp_ovpn_epoch_follow(w, sa, p);
		if (sa->late.epoch.number && epoch == sa->late.epoch.number) {
			dp_ovpn_epoch_open_late(w, sa, b, i);
		} else if (epoch != sa->epoch.number) {
			p->verdict = epoch < sa->epoch.number ? DP_OVPN_REPLAY : DP_OVPN_ICV;
			continue;
		} else {
			dp_ovpn_epoch_nonce(&sa->epoch, p->esp + 4, p->iv);
			memcpy(p->aad, p->esp, 12);
			dp_crypto_decrypt(w->crypto, &sa->suite, &sa->key, b, i, i + 1);
			dp_crypto_flush(w->crypto);
		}
		finish_run(w, b, i, i + 1);
	}
}

void dp_ovpn_in_open(struct dp_worker *w, struct dp_batch *b)
{
	unsigned to, first_epoch = b->n;

	b->has_special = false;
	for (unsigned from = 0; from < b->n; from = to) {
		struct dp_sa_in *sa = b->p[from].sa_in;

		to = from + 1;
		if (unlikely(b->p[from].verdict != DP_OK))
			continue;
		to = end_of_run(b, from);
		if (unlikely(sa->epoch.number)) {
			first_epoch = RTE_MIN(first_epoch, from);
			continue;
		}
		dp_crypto_decrypt(w->crypto, &sa->suite, &sa->key, b, from, to);
		if (likely(!dp_crypto_is_queued(&sa->suite)))
			finish_run(w, b, from, to);
	}
	if (dp_crypto_flush(w->crypto))
		finish_queued(w, b);
	open_epochs(w, b, first_epoch);
}
