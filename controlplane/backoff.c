/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pause before the next attempt: doubles up to a cap, with jitter so that many tunnels do not
 * knock together. Pure.
 */
#include "controlplane/backoff.h"

void cp_backoff_init(struct cp_backoff *backoff, uint32_t min_ms, uint32_t max_ms, uint32_t seed)
{
	*backoff = (struct cp_backoff){
		.min_ms = min_ms,
		.max_ms = max_ms,
		.next_ms = min_ms,
		.random = seed ? seed : 1,
	};
}

void cp_backoff_reset(struct cp_backoff *backoff)
{
	backoff->next_ms = backoff->min_ms;
}

/* Xorshift: spread is all that is asked of it. */
static uint32_t take_random(struct cp_backoff *backoff)
{
	uint32_t x = backoff->random;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return backoff->random = x;
}

uint32_t cp_backoff_take_ms(struct cp_backoff *backoff)
{
	const uint64_t base_ms = backoff->next_ms;
	uint64_t pause_ms = base_ms * 3 / 4;

	if (base_ms >= 2)
		pause_ms += take_random(backoff) % (base_ms / 2 + 1);
	backoff->next_ms =
		base_ms * 2 < backoff->max_ms ? (uint32_t)(base_ms * 2) : backoff->max_ms;
	return pause_ms < backoff->max_ms ? (uint32_t)pause_ms : backoff->max_ms;
}
