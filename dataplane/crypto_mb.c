/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AES-GCM by IPsec-MB's direct calls: 27 cycles a packet less than its job interface on short
 * packets. The others by jobs: CBC and HMAC are only fast when many packets go through the lanes of
 * the vector units at once, whatever their keys.
 */
#include "dataplane/crypto_mb.h"

#include "common/secret.h"
#include "dataplane/wire.h"

#include <intel-ipsec-mb.h>

#include <rte_branch_prediction.h>

#include <assert.h>
#include <errno.h>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESP_HEADER 8u
#define GCM_ICV 16u
#define CBC_IV 16u
#define ICV_MAX 64u
#define HMAC_STATE_MAX 64u
#define HMAC_BLOCK_MAX 128u
#define LONG 640u /* bytes of text: prefetch_next() has the time to be of use */
#define SEEN 128u /* bytes from the ESP header on, which the stages before this one have seen */

/* The schedule of AES-CBC with an HMAC. */
struct cbc_key {
	uint8_t encrypt[16 * 15] __rte_aligned(16);
	uint8_t decrypt[16 * 15] __rte_aligned(16);
	uint8_t inner[HMAC_STATE_MAX] __rte_aligned(16); /* RFC 2104: the hash behind K xor ipad */
	uint8_t outer[HMAC_STATE_MAX] __rte_aligned(16);
	uint8_t iv[16 * 11] __rte_aligned(16); /* of the key that makes IVs, AES-128 */
};

_Static_assert(sizeof(struct dp_crypto_key) >= sizeof(struct gcm_key_data), "the schedule fits");
_Static_assert(sizeof(struct dp_crypto_key) >= sizeof(struct cbc_key), "the schedule fits");
_Static_assert(_Alignof(struct dp_crypto_key) >= _Alignof(struct gcm_key_data),
               "the schedule is aligned");

/* Of a queued packet that came in. */
struct tags {
	uint8_t computed[ICV_MAX];
	uint8_t received[ICV_MAX];
};

struct dp_crypto {
	struct gcm_context_data gcm __rte_cache_aligned; /* scratch of the library */
	IMB_MGR *mgr;
	char arch[24];
	bool has_jobs; /* since the last flush */
	struct tags tags[DP_BURST] __rte_cache_aligned;
};

/* An HMAC, chosen by the length of its key: RFC 2404 and 4868. */
struct hmac {
	IMB_HASH_ALG hash;
	unsigned block_bytes;
};

#define GCM_SUITE(id, key)                                                                         \
	{                                                                                          \
		.algorithm = id, .key_bytes = key, .salt_bytes = 4, .iv_bytes = 8,                 \
		.icv_bytes = GCM_ICV, .block_bytes = 4, .aad_bytes = 8, .text_at = ESP_HEADER + 8, \
		.tail_bytes = GCM_ICV                                                              \
	}
#define CBC_SUITE(id, key, integrity, icv)                                               \
	{                                                                                \
		.algorithm = id, .key_bytes = key, .iv_bytes = CBC_IV, .icv_bytes = icv, \
		.block_bytes = 16, .aad_bytes = 8, .integrity_bytes = integrity,         \
		.text_at = ESP_HEADER + CBC_IV, .tail_bytes = icv,                       \
		.hashed_bytes = ESP_HEADER + CBC_IV                                      \
	}

static const struct dp_crypto_suite suites[] = {
	GCM_SUITE(IPC_AES128_GCM16, 16),
	GCM_SUITE(IPC_AES192_GCM16, 24),
	GCM_SUITE(IPC_AES256_GCM16, 32),
	GCM_SUITE(IPC_CHACHA20_POLY1305, 32), /* RFC 7634: the same shape */
	CBC_SUITE(IPC_AES128_CBC_SHA1_96, 16, 20, 12),
	CBC_SUITE(IPC_AES128_CBC_SHA256_128, 16, 32, 16),
	CBC_SUITE(IPC_AES128_CBC_SHA384_192, 16, 48, 24),
	CBC_SUITE(IPC_AES128_CBC_SHA512_256, 16, 64, 32),
	CBC_SUITE(IPC_AES192_CBC_SHA1_96, 24, 20, 12),
	CBC_SUITE(IPC_AES192_CBC_SHA256_128, 24, 32, 16),
	CBC_SUITE(IPC_AES192_CBC_SHA384_192, 24, 48, 24),
	CBC_SUITE(IPC_AES192_CBC_SHA512_256, 24, 64, 32),
	CBC_SUITE(IPC_AES256_CBC_SHA1_96, 32, 20, 12),
	CBC_SUITE(IPC_AES256_CBC_SHA256_128, 32, 32, 16),
	CBC_SUITE(IPC_AES256_CBC_SHA384_192, 32, 48, 24),
	CBC_SUITE(IPC_AES256_CBC_SHA512_256, 32, 64, 32),
	CBC_SUITE(IPC_AES128_CBC_SHA1_160, 16, 20, 20),
	CBC_SUITE(IPC_AES128_CBC_SHA256_256, 16, 32, 32),
	CBC_SUITE(IPC_AES128_CBC_SHA512_512, 16, 64, 64),
	CBC_SUITE(IPC_AES192_CBC_SHA1_160, 24, 20, 20),
	CBC_SUITE(IPC_AES192_CBC_SHA256_256, 24, 32, 32),
	CBC_SUITE(IPC_AES192_CBC_SHA512_512, 24, 64, 64),
	CBC_SUITE(IPC_AES256_CBC_SHA1_160, 32, 20, 20),
	CBC_SUITE(IPC_AES256_CBC_SHA256_256, 32, 32, 32),
	CBC_SUITE(IPC_AES256_CBC_SHA512_512, 32, 64, 64),
};

const struct dp_crypto_suite *dp_crypto_suite(unsigned algorithm)
{
	for (size_t i = 0; i < RTE_DIM(suites); i++) {
		if (suites[i].algorithm == algorithm)
			return &suites[i];
	}
	return NULL;
}

static const char *arch_name(IMB_ARCH arch)
{
	switch (arch) {
	case IMB_ARCH_NOAESNI:
		return "SSE without AES-NI";
	case IMB_ARCH_SSE:
		return "SSE";
	case IMB_ARCH_AVX:
		return "AVX";
	case IMB_ARCH_AVX2:
		return "AVX2";
	case IMB_ARCH_AVX512:
		return "AVX512";
	default:
		return NULL;
	}
}

static bool has_aes(uint64_t features)
{
	return (features & IMB_FEATURE_AESNI) != 0;
}

/* FLAGS are the library's, to leave out features. */
static int create(struct dp_crypto **crypto, uint64_t flags, bool allow_slow)
{
	struct dp_crypto *c = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*c));
	IMB_ARCH arch = IMB_ARCH_NONE;
	int rc;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->mgr = alloc_mb_mgr(flags);
	if (!c->mgr) {
		rc = imb_get_errno(NULL) == IMB_ERR_NO_AESNI_EMU ? -ENOTSUP : -ENOMEM;
		goto err_memory;
	}
	rc = -ENOTSUP;
	if (!has_aes(c->mgr->features) && !allow_slow)
		goto err_manager;
	init_mb_mgr_auto(c->mgr, &arch);
	if (imb_get_errno(c->mgr) != 0 || !arch_name(arch)) {
		rc = has_aes(c->mgr->features) ? -ENODEV : -ENOTSUP;
		goto err_manager;
	}
	rc = -ENODEV;
	if ((c->mgr->features & IMB_FEATURE_SELF_TEST) &&
	    !(c->mgr->features & IMB_FEATURE_SELF_TEST_PASS))
		goto err_manager;
	snprintf(c->arch, sizeof(c->arch), "%s%s", arch_name(arch),
	         arch >= IMB_ARCH_AVX2 && (c->mgr->features & IMB_FEATURE_VAES) ? " VAES" : "");
	*crypto = c;
	return 0;

err_manager:
	free_mb_mgr(c->mgr);
err_memory:
	free(c);
	return rc;
}

int dp_crypto_create(struct dp_crypto **crypto, bool allow_slow)
{
	return create(crypto, 0, allow_slow);
}

void dp_crypto_destroy(struct dp_crypto *crypto)
{
	if (!crypto)
		return;
	free_mb_mgr(crypto->mgr);
	sp_wipe(crypto, sizeof(*crypto));
	free(crypto);
}

const char *dp_crypto_arch(const struct dp_crypto *crypto)
{
	return crypto->arch;
}

static struct hmac hmac_of(const struct dp_crypto_suite *suite)
{
	switch (suite->integrity_bytes) {
	case 20:
		return (struct hmac){ IMB_AUTH_HMAC_SHA_1, 64 };
	case 32:
		return (struct hmac){ IMB_AUTH_HMAC_SHA_256, 64 };
	case 48:
		return (struct hmac){ IMB_AUTH_HMAC_SHA_384, 128 };
	default:
		return (struct hmac){ IMB_AUTH_HMAC_SHA_512, 128 };
	}
}

static void hash_block(IMB_MGR *mgr, IMB_HASH_ALG hash, const uint8_t *block, uint8_t *state)
{
	switch (hash) {
	case IMB_AUTH_HMAC_SHA_1:
		IMB_SHA1_ONE_BLOCK(mgr, block, state);
		break;
	case IMB_AUTH_HMAC_SHA_256:
		IMB_SHA256_ONE_BLOCK(mgr, block, state);
		break;
	case IMB_AUTH_HMAC_SHA_384:
		IMB_SHA384_ONE_BLOCK(mgr, block, state);
		break;
	default:
		IMB_SHA512_ONE_BLOCK(mgr, block, state);
	}
}

/* RFC 2104 section 4: what the first block of each of the two hashes leaves. KEY is shorter than a
 * block. */
static void hmac_init(IMB_MGR *mgr, const struct dp_crypto_suite *suite, const uint8_t *key,
                      struct cbc_key *cbc)
{
	struct hmac hmac = hmac_of(suite);
	uint8_t block[HMAC_BLOCK_MAX];

	memset(block, 0x36, sizeof(block));
	for (unsigned i = 0; i < suite->integrity_bytes; i++)
		block[i] ^= key[i];
	hash_block(mgr, hmac.hash, block, cbc->inner);
	for (unsigned i = 0; i < hmac.block_bytes; i++)
		block[i] ^= 0x36 ^ 0x5c;
	hash_block(mgr, hmac.hash, block, cbc->outer);
	sp_wipe(block, sizeof(block));
}

static void cbc_init(IMB_MGR *mgr, const struct dp_crypto_suite *suite, const uint8_t *key,
                     const uint8_t *seed, struct cbc_key *cbc)
{
	uint8_t unused[16 * 11] __rte_aligned(16);

	switch (suite->key_bytes) {
	case 16:
		IMB_AES_KEYEXP_128(mgr, key, cbc->encrypt, cbc->decrypt);
		break;
	case 24:
		IMB_AES_KEYEXP_192(mgr, key, cbc->encrypt, cbc->decrypt);
		break;
	default:
		IMB_AES_KEYEXP_256(mgr, key, cbc->encrypt, cbc->decrypt);
	}
	IMB_AES_KEYEXP_128(mgr, seed, cbc->iv, unused);
	sp_wipe(unused, sizeof(unused));
	hmac_init(mgr, suite, key + suite->key_bytes, cbc);
}

int dp_crypto_key_init(struct dp_crypto *crypto, struct dp_crypto_key *schedule, unsigned algorithm,
                       const uint8_t *key, size_t length, const uint8_t seed[DP_CRYPTO_SEED])
{
	const struct dp_crypto_suite *suite = dp_crypto_suite(algorithm);
	struct gcm_key_data *gcm = (struct gcm_key_data *)schedule;

	if (!suite)
		return -ENOTSUP;
	if (length != (size_t)suite->key_bytes + suite->salt_bytes + suite->integrity_bytes)
		return -EINVAL;
	switch (algorithm) {
	case IPC_AES128_GCM16:
		IMB_AES128_GCM_PRE(crypto->mgr, key, gcm);
		return 0;
	case IPC_AES192_GCM16:
		IMB_AES192_GCM_PRE(crypto->mgr, key, gcm);
		return 0;
	case IPC_AES256_GCM16:
		IMB_AES256_GCM_PRE(crypto->mgr, key, gcm);
		return 0;
	case IPC_CHACHA20_POLY1305:
		memcpy(schedule, key, suite->key_bytes);
		return 0;
	default:
		cbc_init(crypto->mgr, suite, key, seed, (struct cbc_key *)schedule);
		return 0;
	}
}

void dp_crypto_key_wipe(struct dp_crypto_key *schedule)
{
	sp_wipe(schedule, sizeof(*schedule));
}

/* In constant time. */
static inline uint64_t icv_difference(const uint8_t *a, const uint8_t *b)
{
	return (dp_load64(a) ^ dp_load64(b)) | (dp_load64(a + 8) ^ dp_load64(b + 8));
}

static inline bool is_icv_equal(const uint8_t *a, const uint8_t *b)
{
	return icv_difference(a, b) == 0;
}

void dp_crypto_hmac_sha256(struct dp_crypto *crypto, const uint8_t key[32], const uint8_t *bytes,
                           size_t length, uint8_t to[32])
{
	uint8_t inner[64 + 64], outer[64 + 32];

	assert(length <= 64);
	memset(inner, 0x36, 64);
	memset(outer, 0x5c, 64);
	for (unsigned i = 0; i < 32; i++) {
		inner[i] ^= key[i];
		outer[i] ^= key[i];
	}
	memcpy(inner + 64, bytes, length);
	IMB_SHA256(crypto->mgr, inner, 64 + length, outer + 64);
	IMB_SHA256(crypto->mgr, outer, sizeof(outer), to);
	sp_wipe(inner, sizeof(inner));
	sp_wipe(outer, sizeof(outer));
}

static inline uint8_t *text_of(const struct dp_pkt *p, const struct dp_crypto_suite *suite)
{
	return p->esp + suite->text_at;
}

/* Behind the text. */
static inline uint8_t *end_of(const struct dp_pkt *p, const struct dp_crypto_suite *suite)
{
	return p->l3 + p->l3_length - suite->tail_bytes;
}

static inline uint8_t *icv_of(const struct dp_pkt *p, const struct dp_crypto_suite *suite)
{
	return suite->icv_at ? p->esp + suite->icv_at : end_of(p, suite);
}

/* Brings the next packet nearer while a long one is worked on: the cipher is through each before
 * the processor has noticed that it is read from one end to the other. */
static __rte_noinline void prefetch_next(const struct dp_pkt *next, const struct dp_pkt *end)
{
	const uint8_t *last;

	if (next == end || next->verdict != DP_OK)
		return;
	last = next->l3 + next->l3_length;
	for (const uint8_t *at = next->esp + SEEN; at < last; at += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(at);
}

static void gcm_encrypt(struct dp_crypto *c, aes_gcm_enc_dec_t encrypt,
                        const struct dp_crypto_suite *suite, const struct dp_crypto_key *key,
                        struct dp_batch *b, unsigned from, unsigned to)
{
	/* which no store changes */
	const size_t text_at = suite->text_at, tail = suite->tail_bytes, aad = suite->aad_bytes;
	const size_t icv_at = suite->icv_at;

	for (struct dp_pkt *p = b->p + from, *end = b->p + to; p < end; p++) {
		uint8_t *text = p->esp + text_at, *behind = p->l3 + p->l3_length - tail;
		uint64_t length = (uint64_t)(behind - text);

		if (unlikely(p->verdict != DP_OK))
			continue;
		if (length >= LONG)
			prefetch_next(p + 1, end);
		encrypt((const struct gcm_key_data *)key, &c->gcm, text, text, length, p->iv,
		        p->aad, aad, icv_at ? p->esp + icv_at : behind, GCM_ICV);
	}
}

static void gcm_decrypt(struct dp_crypto *c, aes_gcm_enc_dec_t decrypt,
                        const struct dp_crypto_suite *suite, const struct dp_crypto_key *key,
                        struct dp_batch *b, unsigned from, unsigned to)
{
	const size_t text_at = suite->text_at, tail = suite->tail_bytes, aad = suite->aad_bytes;
	const size_t icv_at = suite->icv_at;

	for (struct dp_pkt *p = b->p + from, *end = b->p + to; p < end; p++) {
		uint8_t *text = p->esp + text_at, *behind = p->l3 + p->l3_length - tail;
		uint64_t length = (uint64_t)(behind - text);

		if (unlikely(p->verdict != DP_OK))
			continue;
		if (length >= LONG)
			prefetch_next(p + 1, end);
		decrypt((const struct gcm_key_data *)key, &c->gcm, text, text, length, p->iv,
		        p->aad, aad, p->icv, GCM_ICV);
		if (unlikely(!is_icv_equal(p->icv, icv_at ? p->esp + icv_at : behind)))
			p->verdict = DP_ESP_ICV;
	}
}

/* ---- by jobs ---- */

/* ICVs have 12 to 32 bytes, or 64: in pieces of known size, because a copy of unknown size costs
 * more than all the rest of a job. */
#define ICV_SHORT 12u
#define ICV_PIECE 16u
#define ICV_LONG 64u

static inline void copy_icv(uint8_t *to, const uint8_t *from, unsigned length)
{
	if (length == ICV_SHORT) {
		memcpy(to, from, ICV_SHORT);
		return;
	}
	memcpy(to, from, ICV_PIECE);
	memcpy(to + length - ICV_PIECE, from + length - ICV_PIECE, ICV_PIECE);
	if (unlikely(length == ICV_LONG))
		memcpy(to + ICV_PIECE, from + ICV_PIECE, ICV_LONG - 2 * ICV_PIECE);
}

/* In constant time. */
static inline bool is_tag_equal(const struct tags *t, unsigned length)
{
	const uint8_t *a = t->computed, *b = t->received;
	uint64_t difference;

	if (length == ICV_SHORT)
		return ((dp_load64(a) ^ dp_load64(b)) | (dp_load64(a + 4) ^ dp_load64(b + 4))) == 0;
	difference = icv_difference(a, b) |
	             icv_difference(a + length - ICV_PIECE, b + length - ICV_PIECE);
	if (unlikely(length == ICV_LONG))
		difference |= icv_difference(a + ICV_PIECE, b + ICV_PIECE) |
		              icv_difference(a + 2 * ICV_PIECE, b + 2 * ICV_PIECE);
	return difference == 0;
}

/* Jobs come back in the order they were given, so the first one may bring others. */
static void take_completed(struct dp_crypto *c, IMB_JOB *job)
{
	for (; job; job = IMB_GET_COMPLETED_JOB(c->mgr)) {
		struct dp_pkt *p = job->user_data;

		if (unlikely(job->status != IMB_STATUS_COMPLETED))
			continue; /* remains DP_CRYPTO */
		if (job->cipher_direction == IMB_DIR_DECRYPT &&
		    unlikely(!is_tag_equal(job->user_data2,
		                           (unsigned)job->auth_tag_output_len_in_bytes)))
			p->verdict = DP_ESP_ICV;
		else
			p->verdict = DP_OK;
	}
}

/* Where the two directions differ: the order of the chain, and where the ICV goes. */
static inline void set_encrypt(IMB_JOB *job, uint8_t *icv)
{
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_CIPHER_HASH;
	job->auth_tag_output = icv;
}

static inline void set_decrypt(IMB_JOB *job, struct tags *tags, const uint8_t *icv, unsigned length)
{
	job->cipher_direction = IMB_DIR_DECRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->auth_tag_output = tags->computed;
	job->user_data2 = tags;
	copy_icv(tags->received, icv, length);
}

/* The text of a packet, in place. */
static inline void set_text(IMB_JOB *job, struct dp_pkt *p, const struct dp_crypto_suite *suite)
{
	uint8_t *text = text_of(p, suite);

	job->src = p->esp;
	job->dst = text;
	job->cipher_start_src_offset_in_bytes = suite->text_at;
	job->msg_len_to_cipher_in_bytes = (uint64_t)(end_of(p, suite) - text);
	job->auth_tag_output_len_in_bytes = suite->icv_bytes;
	job->user_data = p;
	p->verdict = DP_CRYPTO; /* until it is done */
}

static inline void set_chacha(IMB_JOB *job, struct dp_pkt *p, const struct dp_crypto_suite *suite,
                              const struct dp_crypto_key *key)
{
	set_text(job, p, suite);
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->enc_keys = key;
	job->dec_keys = key;
	job->key_len_in_bytes = 32;
	job->iv = p->iv;
	job->iv_len_in_bytes = 12;
	job->hash_start_src_offset_in_bytes = job->cipher_start_src_offset_in_bytes;
	job->msg_len_to_hash_in_bytes = job->msg_len_to_cipher_in_bytes;
	job->u.CHACHA20_POLY1305.aad = p->aad;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = suite->aad_bytes;
}

/* ESP's HMAC is over the packet from the header on, and then over the high 32 bits of an extended
 * sequence number: RFC 4303 section 2.2.1. Those are not sent, but lie where the ICV begins. */
static inline void set_cbc(IMB_JOB *job, struct dp_pkt *p, const struct dp_crypto_suite *suite,
                           const struct cbc_key *key, IMB_HASH_ALG hash)
{
	set_text(job, p, suite);
	job->cipher_mode = IMB_CIPHER_CBC;
	job->hash_alg = hash;
	job->enc_keys = key->encrypt;
	job->dec_keys = key->decrypt;
	job->key_len_in_bytes = suite->key_bytes;
	job->iv = text_of(p, suite) - CBC_IV;
	job->iv_len_in_bytes = CBC_IV;
	job->hash_start_src_offset_in_bytes = suite->text_at - suite->hashed_bytes;
	job->msg_len_to_hash_in_bytes = suite->hashed_bytes + job->msg_len_to_cipher_in_bytes;
	job->u.HMAC._hashed_auth_key_xor_ipad = key->inner;
	job->u.HMAC._hashed_auth_key_xor_opad = key->outer;
	if (suite->aad_bytes == 12) {
		memcpy(end_of(p, suite), p->aad + 4, 4);
		job->msg_len_to_hash_in_bytes += 4;
	}
}

static void chacha_encrypt(struct dp_crypto *c, const struct dp_crypto_suite *suite,
                           const struct dp_crypto_key *key, struct dp_batch *b, unsigned from,
                           unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct dp_pkt *p = &b->p[i];
		IMB_JOB *job;

		if (unlikely(p->verdict != DP_OK))
			continue;
		job = IMB_GET_NEXT_JOB(c->mgr);
		set_chacha(job, p, suite, key);
		set_encrypt(job, icv_of(p, suite));
		take_completed(c, IMB_SUBMIT_JOB_NOCHECK(c->mgr));
	}
}

static void chacha_decrypt(struct dp_crypto *c, const struct dp_crypto_suite *suite,
                           const struct dp_crypto_key *key, struct dp_batch *b, unsigned from,
                           unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct dp_pkt *p = &b->p[i];
		IMB_JOB *job;

		if (unlikely(p->verdict != DP_OK))
			continue;
		job = IMB_GET_NEXT_JOB(c->mgr);
		set_chacha(job, p, suite, key);
		set_decrypt(job, &c->tags[i], icv_of(p, suite), suite->icv_bytes);
		if (job->msg_len_to_cipher_in_bytes >= 256)
			prefetch_next(p + 1, b->p + to);
		take_completed(c, IMB_SUBMIT_JOB_NOCHECK(c->mgr));
	}
}

/* NIST SP 800-38A appendix C: the sequence number, which never comes again, encrypted under a key
 * of its own. RFC 3602 section 3 allows no counter. */
static inline void make_iv(IMB_MGR *mgr, const struct dp_pkt *p,
                           const struct dp_crypto_suite *suite, const struct cbc_key *key)
{
	static const uint8_t zero[CBC_IV];
	uint8_t number[CBC_IV] __rte_aligned(16);

	/* one store: what is stored in pieces has to wait before it is loaded as a whole */
	_mm_store_si128((__m128i *)number, _mm_loadl_epi64((const __m128i *)(p->iv + 4)));
	IMB_AES128_CFB_ONE(mgr, text_of(p, suite) - CBC_IV, zero, number, key->iv, CBC_IV);
}

static void cbc_encrypt(struct dp_crypto *c, const struct dp_crypto_suite *suite,
                        const struct cbc_key *key, struct dp_batch *b, unsigned from, unsigned to)
{
	IMB_HASH_ALG hash = hmac_of(suite).hash;

	/* one behind the other: the rounds of some packets overlap */
	for (unsigned i = from; i < to; i++) {
		if (likely(b->p[i].verdict == DP_OK))
			make_iv(c->mgr, &b->p[i], suite, key);
	}
	for (unsigned i = from; i < to; i++) {
		struct dp_pkt *p = &b->p[i];
		IMB_JOB *job;

		if (unlikely(p->verdict != DP_OK))
			continue;
		job = IMB_GET_NEXT_JOB(c->mgr);
		set_cbc(job, p, suite, key, hash);
		set_encrypt(job, icv_of(p, suite));
		take_completed(c, IMB_SUBMIT_JOB_NOCHECK(c->mgr));
	}
}

static void cbc_decrypt(struct dp_crypto *c, const struct dp_crypto_suite *suite,
                        const struct cbc_key *key, struct dp_batch *b, unsigned from, unsigned to)
{
	IMB_HASH_ALG hash = hmac_of(suite).hash;

	for (unsigned i = from; i < to; i++) {
		struct dp_pkt *p = &b->p[i];
		IMB_JOB *job;

		if (unlikely(p->verdict != DP_OK))
			continue;
		job = IMB_GET_NEXT_JOB(c->mgr);
		set_decrypt(job, &c->tags[i], icv_of(p, suite), suite->icv_bytes);
		set_cbc(job, p, suite, key, hash); /* writes over the ICV that was saved */
		take_completed(c, IMB_SUBMIT_JOB_NOCHECK(c->mgr));
	}
}

bool dp_crypto_flush(struct dp_crypto *crypto)
{
	IMB_JOB *job;

	if (likely(!crypto->has_jobs))
		return false;
	crypto->has_jobs = false;
	while ((job = IMB_FLUSH_JOB(crypto->mgr)) != NULL)
		take_completed(crypto, job);
	return true;
}

/* ---- of one SA ---- */

enum kind { BY_GCM, BY_CHACHA, BY_CBC, UNKNOWN };

static inline enum kind kind_of(const struct dp_crypto_suite *suite)
{
	switch (suite->algorithm) {
	case IPC_AES128_GCM16 ... IPC_AES256_GCM16:
		return BY_GCM;
	case IPC_CHACHA20_POLY1305:
		return BY_CHACHA;
	case IPC_AES128_CBC_SHA1_96 ... IPC_AES256_CBC_SHA512_512:
		return BY_CBC;
	default:
		return UNKNOWN;
	}
}

static inline aes_gcm_enc_dec_t gcm_call(const IMB_MGR *mgr, const struct dp_crypto_suite *suite,
                                         IMB_CIPHER_DIRECTION direction)
{
	bool is_encrypt = direction == IMB_DIR_ENCRYPT;

	switch (suite->key_bytes) {
	case 16:
		return is_encrypt ? mgr->gcm128_enc : mgr->gcm128_dec;
	case 24:
		return is_encrypt ? mgr->gcm192_enc : mgr->gcm192_dec;
	default:
		return is_encrypt ? mgr->gcm256_enc : mgr->gcm256_dec;
	}
}

/* An SA cannot have another algorithm than key_init took; were it so, nothing may leave or enter.
 */
static void refuse(struct dp_batch *b, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		if (b->p[i].verdict == DP_OK)
			b->p[i].verdict = DP_CRYPTO;
	}
}

void dp_crypto_encrypt(struct dp_crypto *crypto, const struct dp_crypto_suite *suite,
                       const struct dp_crypto_key *key, struct dp_batch *b, unsigned from,
                       unsigned to)
{
	crypto->has_jobs |= dp_crypto_is_queued(suite);
	switch (kind_of(suite)) {
	case BY_GCM:
		gcm_encrypt(crypto, gcm_call(crypto->mgr, suite, IMB_DIR_ENCRYPT), suite, key, b,
		            from, to);
		break;
	case BY_CHACHA:
		chacha_encrypt(crypto, suite, key, b, from, to);
		break;
	case BY_CBC:
		cbc_encrypt(crypto, suite, (const struct cbc_key *)key, b, from, to);
		break;
	case UNKNOWN:
		refuse(b, from, to);
	}
}

void dp_crypto_decrypt(struct dp_crypto *crypto, const struct dp_crypto_suite *suite,
                       const struct dp_crypto_key *key, struct dp_batch *b, unsigned from,
                       unsigned to)
{
	crypto->has_jobs |= dp_crypto_is_queued(suite);
	switch (kind_of(suite)) {
	case BY_GCM:
		gcm_decrypt(crypto, gcm_call(crypto->mgr, suite, IMB_DIR_DECRYPT), suite, key, b,
		            from, to);
		break;
	case BY_CHACHA:
		chacha_decrypt(crypto, suite, key, b, from, to);
		break;
	case BY_CBC:
		cbc_decrypt(crypto, suite, (const struct cbc_key *)key, b, from, to);
		break;
	case UNKNOWN:
		refuse(b, from, to);
	}
}
