/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seeded hash of 16 bytes for tables whose keys strangers choose, and the generator that makes
 * its seeds.
 *
 * The first product is NH (RFC 4418 section 5.2.2 with 64-bit words): whatever two keys an attacker
 * picks without knowing the seed, they meet with probability 2^-64. A CRC will not do: two keys
 * that collide under one seed collide under all.
 */
#pragma once

#include <stdint.h>

struct dp_hash_seed {
	uint64_t word[4];
};

/* SplitMix64: one step of *STATE. */
static inline uint64_t dp_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline void dp_hash_seed_init(struct dp_hash_seed *s, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		s->word[i] = dp_random(&seed);
}

static inline uint64_t dp_hash16(const struct dp_hash_seed *s, uint64_t low, uint64_t high)
{
	unsigned __int128 x = (unsigned __int128)(low + s->word[0]) * (high + s->word[1]);

	x = (unsigned __int128)((uint64_t)x + s->word[2]) * ((uint64_t)(x >> 64) + s->word[3]);
	return (uint64_t)x ^ (uint64_t)(x >> 64);
}
