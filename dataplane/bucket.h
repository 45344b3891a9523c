/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A limit per second: tokens that come back with the worker's clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Tokens per second, refilled from the worker's clock. */
struct dp_bucket {
	uint64_t last_ns;
	uint32_t tokens;
	uint32_t per_second;
};

/* Takes a token; false: over the limit. */
static inline bool dp_bucket_take(struct dp_bucket *b, uint64_t now_ns)
{
	if (b->tokens == 0) {
		uint64_t ns_per_token = 1000000000u / b->per_second; /* slow side only */
		uint64_t earned = (now_ns - b->last_ns) / ns_per_token;

		if (earned == 0)
			return false;
		b->tokens = earned > b->per_second ? b->per_second : (uint32_t)earned;
		b->last_ns = now_ns;
	}
	b->tokens--;
	return true;
}
