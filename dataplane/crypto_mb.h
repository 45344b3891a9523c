/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ciphers: Intel IPsec-MB behind a table of algorithms and two calls for a burst.
 *
 * The only module that knows the library. One struct dp_crypto for each worker, used by that worker
 * alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"

struct dp_crypto;

/* What ESP and OpenVPN must know of an algorithm, and where things are in a packet; SAs carry a
 * copy. */
struct dp_crypto_suite {
	uint8_t algorithm; /* enum ipc_algorithm */
	uint8_t key_bytes; /* of the cipher, without the salt */
	uint8_t salt_bytes;
	uint8_t iv_bytes; /* on the wire, between the ESP header and the text */
	uint8_t icv_bytes;
	uint8_t block_bytes;     /* the text is a multiple of it; a power of two, at least 4 */
	uint8_t aad_bytes;       /* set by the SA: 8, or 12 with extended sequence numbers */
	uint8_t integrity_bytes; /* key of the HMAC; 0: the cipher does it all */
	/* places, bytes behind the header's first one; the table has ESP's */
	uint8_t text_at;      /* of the text; CBC: its IV is before it */
	uint8_t icv_at;       /* of the ICV; 0: it follows the text */
	uint8_t tail_bytes;   /* of the packet behind the text */
	uint8_t hashed_bytes; /* before the text, that the HMAC covers too */
};
_Static_assert(sizeof(struct dp_crypto_suite) == 12, "dp_crypto_suite");

#define DP_CRYPTO_SEED 16u

/* Key schedule, embedded in the SA: room for what any algorithm of the library precomputes (GCM
 * needs most: 1008 bytes). */
struct dp_crypto_key {
	uint8_t schedule[1024];
} __rte_cache_aligned;

#define DP_CRYPTO_KEYS_AHEAD 12u /* packets: what these take is longer than memory does */

/* One line of a key, counted from its beginning or from its end. */
static inline void dp_crypto_key_prefetch_line(const struct dp_crypto_key *key, int line)
{
	const uint8_t *from = line < 0 ? key->schedule + sizeof(key->schedule) : key->schedule;

	rte_prefetch0(from + (ptrdiff_t)line * RTE_CACHE_LINE_SIZE);
}

/* Sends for what a packet of LENGTH bytes, all headers included, needs of the key, which is not in
 * the cache. What AES-GCM reads, in its implementation for VAES: the round keys, at the beginning,
 * and a power of the hash key for each block, the lowest ones at the end. */
static inline void dp_crypto_key_prefetch(const struct dp_crypto_key *key,
                                          const struct dp_crypto_suite *suite, unsigned length)
{
	int powers = (int)((length + 27) / RTE_CACHE_LINE_SIZE); /* lines */

	dp_crypto_key_prefetch_line(key, 0);
	dp_crypto_key_prefetch_line(key, 1);
	dp_crypto_key_prefetch_line(key, 2);
	if (suite->key_bytes > 16)
		dp_crypto_key_prefetch_line(key, 3);
	dp_crypto_key_prefetch_line(key, -1);
	dp_crypto_key_prefetch_line(key, -2);
	for (int line = 3; unlikely(line <= RTE_MIN(powers, 12)); line++)
		dp_crypto_key_prefetch_line(key, -line);
}

/* NULL: not known. aad_bytes is that of 32-bit sequence numbers. */
const struct dp_crypto_suite *dp_crypto_suite(unsigned algorithm);

/* 0; -ENOMEM; -ENODEV: the library does not work here; -ENOTSUP: the processor has no AES
 * instructions, and ALLOW_SLOW is false or the library was built without their emulation (Debian's
 * is). */
int dp_crypto_create(struct dp_crypto **crypto, bool allow_slow);
void dp_crypto_destroy(struct dp_crypto *crypto);

/* The library's implementation in use, "AVX512 VAES" for instance. */
const char *dp_crypto_arch(const struct dp_crypto *crypto);

/* Expands KEY, of LENGTH bytes: cipher key, salt (not used here), key of the HMAC. SEED is random
 * and secret: the initialization vectors of CBC come from it. -ENOTSUP: unknown algorithm; -EINVAL:
 * wrong length. */
int dp_crypto_key_init(struct dp_crypto *crypto, struct dp_crypto_key *schedule, unsigned algorithm,
                       const uint8_t *key, size_t length, const uint8_t seed[DP_CRYPTO_SEED]);
void dp_crypto_key_wipe(struct dp_crypto_key *schedule);

/* HMAC-SHA-256 (RFC 2104) of LENGTH <= 64 bytes under a key of 32. Not for packets. */
void dp_crypto_hmac_sha256(struct dp_crypto *crypto, const uint8_t key[32], const uint8_t *bytes,
                           size_t length, uint8_t to[32]);

/* Whether packets of this suite are worked on together, with those of other SAs: they are done
 * after dp_crypto_flush(), not before. */
static inline bool dp_crypto_is_queued(const struct dp_crypto_suite *suite)
{
	return suite->algorithm >= IPC_CHACHA20_POLY1305;
}

/*
 * Encrypt or decrypt in place the packets [FROM, TO) of a batch, all of one SA; those whose verdict
 * is not DP_OK are left alone. Per packet: esp is the ESP or OpenVPN header, from which the suite
 * counts to the text and the ICV; the packet ends at l3 + l3_length; iv is the nonce (of which CBC
 * takes the sequence number, bytes 4 to 11, to make an IV of it), aad the additional data.
 * Decryption compares the ICV in constant time and sets DP_ESP_ICV where it is wrong. A queued
 * packet is DP_CRYPTO until it is done.
 */
void dp_crypto_encrypt(struct dp_crypto *crypto, const struct dp_crypto_suite *suite,
                       const struct dp_crypto_key *key, struct dp_batch *b, unsigned from,
                       unsigned to);
void dp_crypto_decrypt(struct dp_crypto *crypto, const struct dp_crypto_suite *suite,
                       const struct dp_crypto_key *key, struct dp_batch *b, unsigned from,
                       unsigned to);

/* Completes what is queued; whether there was anything. Before the batch goes on and before any of
 * its SAs may go away. */
bool dp_crypto_flush(struct dp_crypto *crypto);
