/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The anti-replay window of an inbound SA: RFC 4303 section 3.4.3 and appendix A (extended sequence
 * numbers).
 *
 * A ring of bits, one for each sequence number, as RFC 6479 has it but cleared bit by bit: so the
 * window is exactly as wide as asked for. Check before decryption, commit after authentication:
 * only an authentic packet moves the window. A window belongs to the SA's worker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DP_REPLAY_WINDOW_MAX 4096u /* packets */
#define DP_REPLAY_WORDS (DP_REPLAY_WINDOW_MAX / 64)

/* The word that the highest number is in stands in the head: packets in order, but for one of 64,
 * need no other line. */
struct dp_replay {
	uint64_t top;       /* highest authenticated sequence number, 0: none */
	uint64_t newest;    /* its word; the one in the ring is not true */
	uint32_t window;    /* packets, a multiple of 64 */
	uint32_t word_mask; /* words of the ring in use - 1 */
	uint64_t bits[DP_REPLAY_WORDS];
};
_Static_assert(offsetof(struct dp_replay, bits) == 24,
               "dp_replay: the head fits the end of a line");

/* WINDOW is rounded up to a multiple of 64, at least 64 and at most DP_REPLAY_WINDOW_MAX. */
static inline void dp_replay_init(struct dp_replay *r, uint32_t window)
{
	uint32_t words = 1;

	window = window > DP_REPLAY_WINDOW_MAX ? DP_REPLAY_WINDOW_MAX
	         : window                      ? (window + 63u) & ~63u
	                                       : 64u;
	while (words * 64u < window)
		words *= 2;
	memset(r, 0, sizeof(*r));
	r->window = window;
	r->word_mask = words - 1;
	r->newest = 1; /* 0 is never a valid sequence number */
}

/* The 64-bit number that the 32 bits on the wire stand for: RFC 4303 appendix A2.2. 0, which no
 * check accepts, for one below the beginning of the sequence. */
static inline uint64_t dp_replay_infer(const struct dp_replay *r, uint32_t sequence)
{
	uint32_t low = (uint32_t)r->top, high = (uint32_t)(r->top >> 32);
	uint32_t bottom = low - (r->window - 1);

	if (low >= r->window - 1) {
		high += sequence < bottom; /* case A: the window lies in one subspace */
	} else if (sequence >= bottom) {
		if (high == 0) /* case B: it reaches back into the one before */
			return 0;
		high--;
	}
	return (uint64_t)high << 32 | sequence;
}

/* The place in the ring of the word that SEQUENCE is in. */
static inline uint32_t dp_replay_place(const struct dp_replay *r, uint64_t sequence)
{
	return (uint32_t)(sequence >> 6) & r->word_mask;
}

/* Whether a packet of this number may still be accepted. */
static inline bool dp_replay_check(const struct dp_replay *r, uint64_t sequence)
{
	uint32_t place = dp_replay_place(r, sequence);
	uint64_t word;

	if (sequence > r->top)
		return true;
	word = place == dp_replay_place(r, r->top) ? r->newest : r->bits[place];
	return r->top - sequence < r->window && !(word >> (sequence & 63) & 1);
}

/* Clears the bits of [FIRST, END); both have the same meaning as in the ring's last turn. */
static inline void dp_replay_forget(struct dp_replay *r, uint64_t first, uint64_t end)
{
	if (end - first >= (uint64_t)(r->word_mask + 1) * 64) {
		memset(r->bits, 0, (r->word_mask + 1) * sizeof(r->bits[0]));
		return;
	}
	while (first >> 6 != end >> 6) {
		r->bits[(first >> 6) & r->word_mask] &= ~(UINT64_MAX << (first & 63));
		first = (first | 63) + 1;
	}
	r->bits[(first >> 6) & r->word_mask] &=
		~((((uint64_t)1 << (end & 63)) - 1) & (UINT64_MAX << (first & 63)));
}

/* The window's end goes to SEQUENCE, which is in another word than the highest number so far. */
static inline void dp_replay_advance(struct dp_replay *r, uint64_t sequence)
{
	r->bits[dp_replay_place(r, r->top)] = r->newest;
	dp_replay_forget(r, r->top + 1, sequence);
	r->newest = r->bits[dp_replay_place(r, sequence)];
	r->top = sequence;
}

/* Records an authentic packet; false if its number was recorded since the check, or fell out of the
 * window. */
static inline bool dp_replay_commit(struct dp_replay *r, uint64_t sequence)
{
	uint64_t bit = (uint64_t)1 << (sequence & 63);

	if (sequence > r->top && (sequence ^ r->top) < 64) {
		/* what is between was of the ring's last turn */
		r->newest &= ~((bit - 1) & (UINT64_MAX << 1 << (r->top & 63)));
		r->newest |= bit;
		r->top = sequence;
		return true;
	}
	if (sequence > r->top)
		dp_replay_advance(r, sequence);
	else if (!dp_replay_check(r, sequence))
		return false;
	if (dp_replay_place(r, sequence) == dp_replay_place(r, r->top))
		r->newest |= bit;
	else
		r->bits[dp_replay_place(r, sequence)] |= bit;
	return true;
}
