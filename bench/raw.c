/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both touch the same memory in the same order as the path does, with a prefetch ahead of them. */
#include "bench/raw.h"

#include <intel-ipsec-mb.h>

#include <stdlib.h>
#include <string.h>

#include <x86intrin.h>

#define AHEAD 4u /* texts */
#define PROBE_TEXTS 24u
#define PROBE_BYTES 68u
#define PROBE_ROOM 128u

struct raw {
	struct gcm_key_data gcm __rte_aligned(64);
	struct gcm_context_data context __rte_aligned(64);
	uint8_t encrypt[16 * 15] __rte_aligned(16);
	uint8_t decrypt[16 * 15] __rte_aligned(16);
	uint8_t hmac[2][64] __rte_aligned(16);
	uint8_t iv[DP_BURST][16] __rte_aligned(16);
	uint8_t aad[DP_BURST][16];
	uint8_t tag[DP_BURST][32];
	uint8_t probe[PROBE_TEXTS][PROBE_ROOM] __rte_aligned(64);
	struct gcm_key_data probe_key __rte_aligned(64);
	struct gcm_context_data probe_context __rte_aligned(64);
	struct dp_crypto_suite suite;
	IMB_MGR *mgr;
};

struct raw *raw_create(const struct dp_crypto_suite *suite)
{
	static const uint8_t key[32] = "any key is as good as any other";
	struct raw *raw = aligned_alloc(64, sizeof(*raw));

	if (!raw)
		return NULL;
	memset(raw, 0, sizeof(*raw));
	raw->suite = *suite;
	raw->mgr = alloc_mb_mgr(0);
	if (!raw->mgr) {
		free(raw);
		return NULL;
	}
	init_mb_mgr_auto(raw->mgr, NULL);
	IMB_AES128_GCM_PRE(raw->mgr, key, &raw->probe_key);
	if (suite->key_bytes == 16) {
		IMB_AES128_GCM_PRE(raw->mgr, key, &raw->gcm);
		IMB_AES_KEYEXP_128(raw->mgr, key, raw->encrypt, raw->decrypt);
	} else {
		IMB_AES256_GCM_PRE(raw->mgr, key, &raw->gcm);
		IMB_AES_KEYEXP_256(raw->mgr, key, raw->encrypt, raw->decrypt);
	}
	return raw;
}

void raw_destroy(struct raw *raw)
{
	if (!raw)
		return;
	free_mb_mgr(raw->mgr);
	free(raw);
}

static inline void prefetch(const struct raw_text *texts, unsigned i, unsigned n)
{
	if (i + AHEAD < n)
		__builtin_prefetch(texts[i + AHEAD].text, 1);
}

static void gcm(struct raw *raw, aes_gcm_enc_dec_t call, enum raw_direction direction,
                const struct raw_text *texts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct raw_text *t = &texts[i];

		prefetch(texts, i, n);
		call(&raw->gcm, &raw->context, t->text, t->text, t->length, raw->iv[i], raw->aad[i],
		     8, direction == RAW_ENCRYPT ? t->text + t->length : raw->tag[i], 16);
	}
}

static void set_job(struct raw *raw, IMB_JOB *job, const struct raw_text *t,
                    enum raw_direction direction, unsigned i)
{
	bool is_encrypt = direction == RAW_ENCRYPT;
	unsigned before = (unsigned)(t->text - t->esp);

	job->cipher_direction = is_encrypt ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = is_encrypt ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->src = t->esp;
	job->dst = t->text;
	job->cipher_start_src_offset_in_bytes = before;
	job->msg_len_to_cipher_in_bytes = t->length;
	job->auth_tag_output = is_encrypt ? t->text + t->length : raw->tag[i];
	job->auth_tag_output_len_in_bytes = raw->suite.icv_bytes;
	if (raw->suite.integrity_bytes == 0) {
		job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
		job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
		job->enc_keys = job->dec_keys = raw->encrypt;
		job->key_len_in_bytes = 32;
		job->iv = raw->iv[i];
		job->iv_len_in_bytes = 12;
		job->hash_start_src_offset_in_bytes = before;
		job->msg_len_to_hash_in_bytes = t->length;
		job->u.CHACHA20_POLY1305.aad = raw->aad[i];
		job->u.CHACHA20_POLY1305.aad_len_in_bytes = 8;
		return;
	}
	job->cipher_mode = IMB_CIPHER_CBC;
	job->hash_alg = IMB_AUTH_HMAC_SHA_256;
	job->enc_keys = raw->encrypt;
	job->dec_keys = raw->decrypt;
	job->key_len_in_bytes = raw->suite.key_bytes;
	job->iv = raw->iv[i];
	job->iv_len_in_bytes = 16;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = before + t->length;
	job->u.HMAC._hashed_auth_key_xor_ipad = raw->hmac[0];
	job->u.HMAC._hashed_auth_key_xor_opad = raw->hmac[1];
}

static void jobs(struct raw *raw, enum raw_direction direction, const struct raw_text *texts,
                 unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		IMB_JOB *job = IMB_GET_NEXT_JOB(raw->mgr);

		prefetch(texts, i, n);
		set_job(raw, job, &texts[i], direction, i);
		for (job = IMB_SUBMIT_JOB_NOCHECK(raw->mgr); job;
		     job = IMB_GET_COMPLETED_JOB(raw->mgr))
			;
	}
	while (IMB_FLUSH_JOB(raw->mgr))
		;
}

void raw_burst(struct raw *raw, enum raw_direction direction, const struct raw_text *texts,
               unsigned n)
{
	switch (raw->suite.algorithm) {
	case IPC_AES128_GCM16:
		gcm(raw, direction == RAW_ENCRYPT ? raw->mgr->gcm128_enc : raw->mgr->gcm128_dec,
		    direction, texts, n);
		break;
	case IPC_AES256_GCM16:
		gcm(raw, direction == RAW_ENCRYPT ? raw->mgr->gcm256_enc : raw->mgr->gcm256_dec,
		    direction, texts, n);
		break;
	default:
		jobs(raw, direction, texts, n);
	}
}

uint32_t raw_probe(struct raw *raw)
{
	uint64_t begin;
	unsigned unused;

	_mm_lfence();
	begin = __rdtsc();
	_mm_lfence();
	for (unsigned i = 0; i < PROBE_TEXTS; i++)
		IMB_AES128_GCM_ENC(raw->mgr, &raw->probe_key, &raw->probe_context, raw->probe[i],
		                   raw->probe[i], PROBE_BYTES, raw->iv[0], raw->aad[0], 8,
		                   raw->tag[0], 16);
	begin = __rdtscp(&unused) - begin;
	_mm_lfence();
	return (uint32_t)begin;
}
