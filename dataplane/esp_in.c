/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nothing behind the ICV is believed before it is checked, and not all of it afterwards: the peer
 * is only authentic. */
#include "dataplane/esp_in.h"

#include "dataplane/esp_nonce.h"
#include "dataplane/inner.h"
#include "dataplane/ipv4.h"
#include "dataplane/larval.h"
#include "dataplane/resync.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#include <immintrin.h>

#include <rte_prefetch.h>

#define ESP_HEADER 8u
#define UDP_HEADER 8u
#define TRAILER 2u /* pad length, next header */
#define NEXT_IPV4 4
#define NEXT_NONE 59

static inline unsigned esp_bytes(const struct dp_pkt *p)
{
	return (unsigned)(p->l3 + p->l3_length - p->esp);
}

/* Enough for an SPI and a sequence number, and in UDP nothing behind the datagram. */
static inline bool is_esp_header_whole(const struct dp_pkt *p)
{
	if (unlikely(esp_bytes(p) < ESP_HEADER))
		return false;
	return p->protocol != IPPROTO_UDP ||
	       rte_be_to_cpu_16(dp_load16(p->esp - 4)) == esp_bytes(p) + UDP_HEADER;
}

static inline bool is_from_peer(const struct dp_sa_in *sa, const struct dp_pkt *p)
{
	if (dp_load64(p->l3 + 12) != sa->addresses_be)
		return false;
	return sa->outer_protocol != IPPROTO_UDP || dp_load32(p->esp - UDP_HEADER) == sa->ports_be;
}

/* The whole number of a packet of an SA with extended ones; 0 is never accepted. */
static __rte_noinline uint64_t extend_sequence(struct dp_worker *w, struct dp_pkt *p,
                                               struct dp_sa_in *sa, uint32_t low)
{
	uint64_t sequence = dp_replay_infer(&sa->replay, low);

	return unlikely(dp_resync_is_due(sa)) ? dp_resync(w, p, sequence) : sequence;
}

/* Bytes of ESP that are not text. */
static inline unsigned around(const struct dp_sa_in *sa)
{
	return ESP_HEADER + sa->suite.iv_bytes + sa->suite.icv_bytes;
}

static __rte_always_inline enum dp_verdict check_packet(struct dp_worker *w, struct dp_pkt *p,
                                                        struct dp_sa_in *sa, unsigned not_text)
{
	uint64_t sequence = rte_be_to_cpu_32(dp_load32(p->esp + 4));
	unsigned block = sa->suite.block_bytes, text = esp_bytes(p) - not_text;

	if (unlikely(p->protocol != sa->outer_protocol))
		return DP_ESP_ENCAPSULATION;
	if (unlikely(!is_from_peer(sa, p)))
		return DP_ESP_PEER;
	if (unlikely((int)text < (int)block || (text & (block - 1))))
		return DP_ESP_TRUNCATED;
	if (sa->is_esn)
		sequence = extend_sequence(w, p, sa, (uint32_t)sequence);
	if (unlikely(!dp_replay_check(&sa->replay, sequence)))
		return DP_ESP_REPLAY;
	dp_esp_nonce_in(p, sa, sequence);
	p->environment = sa->environment;
	p->tunnel = sa->tunnel;
	return DP_OK;
}

static inline void find_sa(struct dp_worker *w, struct dp_pkt *p)
{
	const struct dp_sa_place *place = dp_sa_lookup(w->sas, dp_load32(p->esp));

	if (unlikely(!place || !place->sa)) {
		p->verdict = place ? (uint8_t)dp_larval_hold(w, p, place->spi_be) : DP_ESP_NO_SA;
		return;
	}
	p->sa_in = place->sa;
	rte_prefetch0(place->sa);
	rte_prefetch0(&place->sa->packets);
}

/* What is written for a packet once it is authentic. */
static inline void prefetch_state(const struct dp_worker *w, const struct dp_pkt *p)
{
	const struct dp_sa_in *sa = p->sa_in;

	rte_prefetch0(&w->tunnels[sa->tunnel]);
	rte_prefetch0(&w->environments[sa->environment]);
}

/* Sends for the keys of packets [P, END), of several SAs. */
static inline void prefetch_keys(const struct dp_pkt *p, const struct dp_pkt *end)
{
	for (; p < end; p++) {
		if (likely(p->verdict == DP_OK))
			dp_crypto_key_prefetch(&p->sa_in->key, &p->sa_in->suite, p->l3_length);
	}
}

/* Packets [P, END) of several SAs: what is needed of each is on its way while the others are looked
 * at. */
static __rte_noinline void look_up_each(struct dp_worker *w, struct dp_pkt *first,
                                        const struct dp_pkt *end)
{
	for (struct dp_pkt *p = first; p < end; p++) {
		if (unlikely(p->verdict != DP_OK))
			continue;
		if (unlikely(!is_esp_header_whole(p)))
			p->verdict = DP_ESP_TRUNCATED;
		else
			rte_prefetch0(&w->sas->in[dp_sa_home(w->sas, dp_load32(p->esp))]);
	}
	for (struct dp_pkt *p = first; p < end; p++) {
		if (likely(p->verdict == DP_OK))
			find_sa(w, p);
	}
	for (struct dp_pkt *p = first; p < end; p++) {
		if (unlikely(p->verdict != DP_OK))
			continue;
		p->verdict = (uint8_t)check_packet(w, p, p->sa_in, around(p->sa_in));
		prefetch_state(w, p);
	}
	prefetch_keys(first, RTE_MIN(first + DP_CRYPTO_KEYS_AHEAD, end));
}

/* Packets [P, END) as long as they are of this SA; returns the first one that is not. What nearly
 * all of them pass is check_packet() in short, with the SA in registers. */
static inline struct dp_pkt *look_up_run(struct dp_worker *w, struct dp_sa_in *sa, struct dp_pkt *p,
                                         const struct dp_pkt *end)
{
	const unsigned not_text = around(sa), block_mask = sa->suite.block_bytes - 1u;
	const uint64_t addresses_be = sa->addresses_be;
	const uint32_t spi_be = sa->spi_be, ports_be = sa->ports_be, salt = sa->salt;
	/* what is above it, nobody has seen: no look at the window */
	const uint64_t top = sa->is_esn ? UINT64_MAX : sa->replay.top;
	const uint8_t protocol = sa->outer_protocol;
	const uint16_t environment = sa->environment, tunnel = sa->tunnel;

	for (; p < end; p++) {
		const uint8_t *esp = p->esp;
		unsigned text;

		if (unlikely(p->verdict != DP_OK))
			continue;
		if (unlikely(!is_esp_header_whole(p))) {
			p->verdict = DP_ESP_TRUNCATED;
			continue;
		}
		if (unlikely(dp_load32(esp) != spi_be))
			break;
		p->sa_in = sa;
		text = esp_bytes(p) - not_text;
		if (unlikely(p->protocol != protocol || dp_load64(p->l3 + 12) != addresses_be ||
		             (protocol == IPPROTO_UDP && dp_load32(esp - UDP_HEADER) != ports_be) ||
		             (int)text <= (int)block_mask || (text & block_mask) ||
		             rte_be_to_cpu_32(dp_load32(esp + 4)) <= top)) {
			p->verdict = (uint8_t)check_packet(w, p, sa, not_text);
			continue;
		}
		dp_esp_nonce_write(p, esp, salt);
		p->environment = environment;
		p->tunnel = tunnel;
	}
	return p;
}

void dp_esp_in_lookup(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_pkt *p = b->p, *end = p + b->n;
	const struct dp_sa_place *place = NULL;

	if (likely(p < end && p->verdict == DP_OK && is_esp_header_whole(p)))
		place = dp_sa_lookup(w->sas, dp_load32(p->esp));
	if (likely(place && place->sa)) /* as a rule all are of one SA */
		p = look_up_run(w, place->sa, p, end);
	b->has_one_sa = p == end && !dp_batch_has_ended(b);
	if (unlikely(p < end))
		look_up_each(w, p, end);
}

/* RFC 4303 section 2.4: the padding is 1, 2, 3, ... */
static inline bool is_padding_valid(const uint8_t *padding, unsigned length)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < length; i++)
		wrong |= padding[i] ^ (i + 1);
	return wrong == 0;
}

/* Reads the trailer of the text; *ROOM is what it leaves to the inner packet. */
static inline enum dp_verdict check_trailer(const uint8_t *text, unsigned length, unsigned *room)
{
	unsigned pad = text[length - 2], next = text[length - 1];

	if (unlikely(pad + TRAILER > length))
		return DP_ESP_PADDING;
	*room = length - TRAILER - pad;
	if (unlikely(!is_padding_valid(text + *room, pad)))
		return DP_ESP_PADDING;
	if (likely(next == NEXT_IPV4))
		return DP_OK;
	return next == NEXT_NONE ? DP_ESP_DUMMY : DP_ESP_PADDING;
}

/* Check by check: what is wrong with the text, if anything is. */
static __rte_noinline enum dp_verdict check_text(struct dp_pkt *p, uint8_t *text, unsigned length)
{
	unsigned room;
	enum dp_verdict verdict = check_trailer(text, length, &room);

	if (verdict != DP_OK)
		return verdict;
	verdict = dp_inner_check(text, room);
	if (verdict != DP_OK)
		return verdict;
	return dp_inner_take_ecn(p->l3, text);
}

/* The same padding in one comparison. It ends at END; before it there are 16 bytes or more of text,
 * IV and ESP header. */
static inline bool is_short_padding_valid(const uint8_t *end, unsigned length)
{
	const __m128i last =
		_mm_set_epi8(0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, -13, -14, -15);
	__m128i wanted = _mm_add_epi8(_mm_set1_epi8((char)length), last);
	__m128i wrong = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(end - 16)), wanted);

	return length <= 16 && _mm_testz_si128(wrong, _mm_cmpgt_epi8(wanted, _mm_setzero_si128()));
}

/* Whether this is a whole TCP or UDP packet for which all of check_text() is sure to pass, and to
 * change nothing: in few instructions, for nearly all packets. */
static inline bool is_plain(const uint8_t *outer, const uint8_t *text, unsigned length)
{
	const uint8_t *end = text + length - TRAILER;
	unsigned room = length - TRAILER - end[0];

	return (int)room >= (int)DP_IPV4_HEADER && end[1] == NEXT_IPV4 &&
	       is_short_padding_valid(end, end[0]) && dp_inner_is_plain(outer, text, room);
}

static inline enum dp_verdict open_text(struct dp_batch *b, struct dp_pkt *p, unsigned before,
                                        unsigned icv)
{
	uint8_t *text = p->esp + before;
	unsigned length = (unsigned)(p->l3 + p->l3_length - text) - icv;
	enum dp_verdict verdict = DP_OK;

	if (unlikely(!is_plain(p->l3, text, length))) {
		b->has_special = true;
		verdict = check_text(p, text, length);
	}
	if (likely(verdict == DP_OK))
		dp_inner_strip(p, text);
	return verdict;
}

/* Packets [FROM, TO) of one SA, decrypted. Only what is authentic and new counts as a sign of life.
 */
static void finish_run(struct dp_worker *w, struct dp_batch *b, unsigned from, unsigned to)
{
	struct dp_sa_in *sa = b->p[from].sa_in;
	struct dp_tunnel *tunnel = &w->tunnels[sa->tunnel];
	uint64_t packets = 0, bytes = 0;
	unsigned before = ESP_HEADER + sa->suite.iv_bytes, icv = sa->suite.icv_bytes;
	bool is_heard = false;

	for (struct dp_pkt *p = &b->p[from]; p < &b->p[to]; p++) {
		if (unlikely(p->verdict != DP_OK))
			continue;
		if (unlikely(!dp_replay_commit(&sa->replay, dp_esp_sequence_in(p, sa)))) {
			p->verdict = DP_ESP_REPLAY;
			continue;
		}
		is_heard = true;
		p->verdict = (uint8_t)open_text(b, p, before, icv);
		if (likely(p->verdict == DP_OK)) {
			packets++;
			bytes += p->l3_length;
		}
	}
	if (!is_heard)
		return;
	sa->failures = 0;
	sa->used_ns = w->now_ns;
	sa->packets += packets;
	sa->bytes += bytes;
	tunnel->heard_ns = w->now_ns;
	tunnel->packets_in += packets;
	tunnel->bytes_in += bytes;
	w->count->esp_in_packets += packets;
}

/* What came out of the queue; the rest of the batch is finished already. */
static void finish_queued(struct dp_worker *w, struct dp_batch *b)
{
	unsigned to;

	for (unsigned from = 0; from < b->n; from = to) {
		struct dp_sa_in *sa = b->p[from].sa_in;

		to = from + 1;
		if (b->p[from].verdict != DP_OK || !dp_crypto_is_queued(&sa->suite))
			continue;
		while (to < b->n && b->p[to].verdict == DP_OK && b->p[to].sa_in == sa)
			to++;
		finish_run(w, b, from, to);
	}
}

static void count_failures(struct dp_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (unlikely(b->p[i].verdict == DP_ESP_ICV))
			b->p[i].sa_in->failures++;
	}
}

void dp_esp_in_decrypt(struct dp_worker *w, struct dp_batch *b)
{
	unsigned to, ahead = 0;

	b->has_special = false;
	for (unsigned from = 0; from < b->n; from = to) {
		struct dp_sa_in *sa = b->p[from].sa_in;

		to = from + 1;
		if (unlikely(b->p[from].verdict != DP_OK))
			continue;
		if (likely(b->has_one_sa))
			to = b->n;
		while (to < b->n && b->p[to].verdict == DP_OK && b->p[to].sa_in == sa)
			to++;
		if (unlikely(to < b->n)) { /* the keys of those behind it, some packets ahead */
			unsigned until = RTE_MIN(to + DP_CRYPTO_KEYS_AHEAD, b->n);

			prefetch_keys(&b->p[RTE_MAX(ahead, to)], &b->p[until]);
			ahead = until;
		}
		dp_crypto_decrypt(w->crypto, &sa->suite, &sa->key, b, from, to);
		if (likely(!dp_crypto_is_queued(&sa->suite)))
			finish_run(w, b, from, to);
	}
	if (dp_crypto_flush(w->crypto))
		finish_queued(w, b);
	if (unlikely(dp_batch_has_ended(b)))
		count_failures(b);
}
