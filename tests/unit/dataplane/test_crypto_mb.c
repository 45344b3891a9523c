/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AES-GCM against published vectors and OpenSSL. White box: the library's feature flags. */
#include "dataplane/crypto_mb.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/dataplane/esp_peer.h"

#define SIZE_MAX_TESTED 9000u

static unsigned from_hex(const char *hex, uint8_t *out)
{
	unsigned n = 0, byte;

	for (; hex[0] && hex[1]; hex += 2) {
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
	}
	return n;
}

struct vector {
	unsigned algorithm;
	const char *key, *nonce, *aad, *plain, *cipher, *icv;
};

/* McGrew and Viega, The Galois/Counter Mode of Operation, cases 3, 9 and 15;
 * draft-mcgrew-gcm-test-01, ESP with 64 and with 32 bits of sequence number. */
static const struct vector vectors[] = {
	{ IPC_AES128_GCM16, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
	  "4d5c2af327cd64a62cf35abd2ba6fab4" },
	{ IPC_AES192_GCM16, "feffe9928665731c6d6a8f9467308308feffe9928665731c",
	  "cafebabefacedbaddecaf888", "",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	  "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c"
	  "7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710acade256",
	  "9924a7c8587336bfb118024db8674a14" },
	{ IPC_AES256_GCM16, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	  "b094dac5d93471bdec1a502270e3cc6c" },
	{ IPC_AES128_GCM16, "4c80cdefbb5d10da906ac73c3613a634", "2e443b684956ed7e3b244cfe",
	  "000043218765432100000000",
	  "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
	  "00000000045f736970045f756470037369700963796265726369747902646b00"
	  "0021000101020201",
	  "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
	  "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce"
	  "61bc17d768fd9732",
	  "459018148f6cbe722fd04796562dfdb4" },
	{ IPC_AES128_GCM16, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	  "0000a5f80000000a",
	  "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d00100"
	  "000100000000000003736970096379626572636974790264"
	  "6b00000100010001",
	  "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c"
	  "3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4"
	  "ec3b9ba95d918bd1",
	  "83b70d3aa8bc6ee4c309e9d85a41ad4a" },
};

static struct dp_crypto *crypto;

/* A packet as the ESP stages hand it over: 20 bytes outer header, ESP header, IV, text, ICV. */
static struct dp_pkt *lay_out(struct dp_batch *b, uint8_t *buffer, const uint8_t *nonce,
                              const uint8_t *aad, const uint8_t *text, unsigned length)
{
	struct dp_pkt *p = &b->p[b->n++];

	memset(p, 0, sizeof(*p));
	p->l3 = buffer;
	p->esp = buffer + 20;
	p->l3_length = (uint16_t)(20 + 8 + 8 + length + GCM_ICV);
	memcpy(p->iv, nonce, 12);
	memcpy(p->aad, aad, 12);
	memcpy(buffer + 36, text, length);
	return p;
}

static void knows_published_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < RTE_DIM(vectors); i++) {
		const struct vector *v = &vectors[i];
		uint8_t key[36] = { 0 }, nonce[12], aad[16] = { 0 }, plain[128], cipher[128],
			icv[16], buffer[256];
		uint8_t by_openssl[128], icv_by_openssl[16];
		struct dp_crypto_suite suite = *dp_crypto_suite(v->algorithm);
		struct dp_batch *b = aligned_alloc(64, sizeof(*b));
		struct dp_crypto_key schedule;
		unsigned length = from_hex(v->plain, plain);

		assert_int_equal(from_hex(v->key, key), suite.key_bytes);
		assert_int_equal(from_hex(v->nonce, nonce), 12);
		suite.aad_bytes = (uint8_t)from_hex(v->aad, aad);
		assert_int_equal(from_hex(v->cipher, cipher), length);
		from_hex(v->icv, icv);
		assert_int_equal(peer_gcm_seal(key, suite.key_bytes, nonce, aad, suite.aad_bytes,
		                               plain, length, by_openssl, icv_by_openssl),
		                 0);
		assert_memory_equal(by_openssl, cipher, length);
		assert_memory_equal(icv_by_openssl, icv, sizeof(icv));

		assert_int_equal(dp_crypto_key_init(crypto, &schedule, v->algorithm, key,
		                                    suite.key_bytes + 4u),
		                 0);
		b->n = 0;
		lay_out(b, buffer, nonce, aad, plain, length);
		dp_crypto_encrypt(crypto, &suite, &schedule, b, 0, 1);
		assert_memory_equal(buffer + 36, cipher, length);
		assert_memory_equal(buffer + 36 + length, icv, sizeof(icv));
		dp_crypto_decrypt(crypto, &suite, &schedule, b, 0, 1);
		assert_int_equal(b->p[0].verdict, DP_OK);
		assert_memory_equal(buffer + 36, plain, length);
		free(b);
	}
}

/* Bursts of random sizes, one packet in the middle excluded by its verdict, one forged. */
static void agrees_with_openssl(void **state)
{
	static const unsigned algorithms[] = { IPC_AES128_GCM16, IPC_AES192_GCM16,
		                               IPC_AES256_GCM16 };
	struct dp_batch *b = aligned_alloc(64, sizeof(*b));
	uint8_t(*buffers)[SIZE_MAX_TESTED + 64] = malloc(DP_BURST * sizeof(*buffers));
	uint8_t(*plain)[SIZE_MAX_TESTED] = malloc(DP_BURST * sizeof(*plain)),
	*expected = malloc(SIZE_MAX_TESTED);
	unsigned lengths[DP_BURST];
	uint64_t seed = 4711;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		unsigned algorithm = algorithms[round % 3];
		struct dp_crypto_suite suite = *dp_crypto_suite(algorithm);
		struct dp_crypto_key schedule;
		uint8_t key[36], icv[16];

		suite.aad_bytes = round & 1 ? 8 : 12;
		for (unsigned i = 0; i < sizeof(key); i++)
			key[i] = (uint8_t)peer_random(&seed);
		assert_int_equal(
			dp_crypto_key_init(crypto, &schedule, algorithm, key, suite.key_bytes + 4u),
			0);
		b->n = 0;
		for (unsigned i = 0; i < DP_BURST; i++) {
			uint8_t nonce[12], aad[12];

			lengths[i] = (unsigned)(peer_random(&seed) >> 20) %
			             (i & 1 ? 200 : SIZE_MAX_TESTED - 4);
			lengths[i] = (lengths[i] + 4) & ~3u;
			for (unsigned j = 0; j < lengths[i]; j++)
				plain[i][j] = (uint8_t)peer_random(&seed);
			for (unsigned j = 0; j < 12; j++) {
				nonce[j] = (uint8_t)peer_random(&seed);
				aad[j] = (uint8_t)peer_random(&seed);
			}
			lay_out(b, buffers[i], nonce, aad, plain[i], lengths[i]);
		}
		b->p[5].verdict = DP_TOO_BIG;
		dp_crypto_encrypt(crypto, &suite, &schedule, b, 0, DP_BURST);
		assert_memory_equal(buffers[5] + 36, plain[5], lengths[5]);
		for (unsigned i = 0; i < DP_BURST; i++) {
			if (i == 5)
				continue;
			assert_int_equal(peer_gcm_seal(key, suite.key_bytes, b->p[i].iv,
			                               b->p[i].aad, suite.aad_bytes, plain[i],
			                               lengths[i], expected, icv),
			                 0);
			assert_memory_equal(buffers[i] + 36, expected, lengths[i]);
			assert_memory_equal(buffers[i] + 36 + lengths[i], icv, sizeof(icv));
		}
		/* one bit anywhere: text, ICV, additional data, nonce */
		buffers[7][36 + lengths[7] / 2] ^= 0x10;
		buffers[8][36 + lengths[8] + 15] ^= 0x80;
		buffers[9][36 + lengths[9]] ^= 1;
		b->p[10].aad[suite.aad_bytes - 1] ^= 1;
		b->p[11].iv[11] ^= 1;
		dp_crypto_decrypt(crypto, &suite, &schedule, b, 0, DP_BURST);
		for (unsigned i = 0; i < DP_BURST; i++) {
			if (i >= 7 && i <= 11) {
				assert_int_equal(b->p[i].verdict, DP_ESP_ICV);
				continue;
			}
			assert_int_equal(b->p[i].verdict, i == 5 ? DP_TOO_BIG : DP_OK);
			assert_memory_equal(buffers[i] + 36, plain[i], lengths[i]);
		}
		dp_crypto_key_wipe(&schedule);
		for (size_t i = 0; i < sizeof(schedule); i++)
			assert_int_equal(schedule.schedule[i], 0);
	}
	free(b);
	free(buffers);
	free(plain);
	free(expected);
}

static void refuses_wrong_keys(void **state)
{
	struct dp_crypto_key schedule;
	uint8_t key[64] = { 0 };

	(void)state;
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, IPC_AES128_GCM16, key, 16), -EINVAL);
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, IPC_AES128_GCM16, key, 36), -EINVAL);
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, IPC_AES256_GCM16, key, 32), -EINVAL);
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, 0, key, 20), -ENOTSUP);
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, 99, key, 20), -ENOTSUP);
	assert_null(dp_crypto_suite(0));
	assert_null(dp_crypto_suite(99));
}

/* What is not encrypted must not go on as if it were. */
static void refuses_an_unknown_suite(void **state)
{
	struct dp_batch *b = aligned_alloc(64, sizeof(*b));
	const struct dp_crypto_suite unknown = { .algorithm = 99 };
	static struct dp_crypto_key schedule;

	(void)state;
	memset(b, 0, sizeof(*b));
	b->n = 3;
	b->p[1].verdict = DP_TOO_BIG;
	dp_crypto_encrypt(crypto, &unknown, &schedule, b, 0, 2);
	assert_int_equal(b->p[0].verdict, DP_CRYPTO);
	assert_int_equal(b->p[1].verdict, DP_TOO_BIG);
	assert_int_equal(b->p[2].verdict, DP_OK);
	dp_crypto_decrypt(crypto, &unknown, &schedule, b, 2, 3);
	assert_int_equal(b->p[2].verdict, DP_CRYPTO);
	free(b);
}

static void asks_for_aes_instructions(void **state)
{
	struct dp_crypto *c = NULL;
	int rc;

	(void)state;
	assert_int_equal(create(&c, IMB_FLAG_AESNI_OFF, false), -ENOTSUP);
	assert_null(c);
	/* the library may come without the emulation: then nothing helps */
	rc = create(&c, IMB_FLAG_AESNI_OFF, true);
	if (rc != 0) {
		assert_int_equal(rc, -ENOTSUP);
		assert_null(c);
		return;
	}
	assert_non_null(strstr(dp_crypto_arch(c), "without AES-NI"));
	dp_crypto_destroy(c);
}

static void names_the_architecture(void **state)
{
	struct dp_crypto *c = NULL;

	(void)state;
	assert_int_equal(dp_crypto_create(&c, false), 0);
	assert_true(strncmp(dp_crypto_arch(c), "SSE", 3) == 0 ||
	            strncmp(dp_crypto_arch(c), "AVX", 3) == 0);
	assert_int_equal(strstr(dp_crypto_arch(c), "VAES") != NULL,
	                 (c->mgr->features & IMB_FEATURE_VAES) &&
	                         c->mgr->used_arch >= IMB_ARCH_AVX2);
	dp_crypto_destroy(c);
	dp_crypto_destroy(NULL);
}

static int set_up(void **state)
{
	(void)state;
	if (dp_crypto_create(&crypto, true) != 0)
		return -1;
	print_message("IPsec-MB: %s\n", dp_crypto_arch(crypto));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dp_crypto_destroy(crypto);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_published_vectors),
		cmocka_unit_test(agrees_with_openssl),
		cmocka_unit_test(refuses_wrong_keys),
		cmocka_unit_test(refuses_an_unknown_suite),
		cmocka_unit_test(asks_for_aes_instructions),
		cmocka_unit_test(names_the_architecture),
	};

	return cmocka_run_group_tests_name("crypto_mb", tests, set_up, tear_down);
}
