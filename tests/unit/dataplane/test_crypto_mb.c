/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every suite against published vectors and OpenSSL. White box: the library's feature flags, the
 * states of the HMAC, the schedule that makes initialization vectors. */
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
	/* RFC 8439 section 2.8.2; RFC 7634 appendix A, an ESP packet */
	{ IPC_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	  "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	  "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	  "637265656e20776f756c642062652069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	  "3ff4def08e4b7a9de576d26586cec64b6116",
	  "1ae10b594f09e26a7e902ecbd0600691" },
	{ IPC_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "a0a1a2a31011121314151617", "0102030400000005",
	  "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
	  "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
	  "2425262728292a2b2c2d2e2f303132333435363701020204",
	  "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
	  "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
	  "cbec163fac469b502773f6fb94e664da9165b82829f641e0",
	  "76aaa8266b7fb0f7b11b369907e1ad43" },
};

struct cbc_vector {
	unsigned algorithm;
	const char *key, *iv, *plain, *cipher;
};

#define NIST_PLAIN                                                         \
	"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" \
	"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"

/* RFC 3602 section 4, cases 1 to 4; NIST SP 800-38A F.2.3 and F.2.5. */
static const struct cbc_vector cbc_vectors[] = {
	{ IPC_AES128_CBC_SHA1_96, "06a9214036b8a15b512e03d534120006",
	  "3dafba429d9eb430b422da802c9fac41", "53696e676c6520626c6f636b206d7367",
	  "e353779c1079aeb82708942dbe77181a" },
	{ IPC_AES128_CBC_SHA256_128, "c286696d887c9aa0611bbb3e2025a45a",
	  "562e17996d093d28ddb3ba695a2e6f58",
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	  "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1" },
	{ IPC_AES128_CBC_SHA384_192, "6c3ea0477630ce21a2ce334aa746c2cd",
	  "c782dc4c098c66cbd9cd27d825682c81",
	  "5468697320697320612034382d62797465206d657373616765202865786163"
	  "746c7920332041455320626c6f636b7329",
	  "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5"
	  "021c19216bad525c8579695d83ba2684" },
	{ IPC_AES128_CBC_SHA512_256, "56e47a38c5598974bc46903dba290349",
	  "8ce82eefbea0da3c44699ed7db51b7d9",
	  "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
	  "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
	  "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
	  "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55" },
	{ IPC_AES192_CBC_SHA256_128, "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
	  "000102030405060708090a0b0c0d0e0f", NIST_PLAIN,
	  "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"
	  "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd" },
	{ IPC_AES256_CBC_SHA512_256,
	  "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
	  "000102030405060708090a0b0c0d0e0f", NIST_PLAIN,
	  "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
	  "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b" },
};

struct hmac_vector {
	unsigned algorithm;
	int key; /* its bytes; -1: "Jefe" again and again; -2: 1, 2, 3, ...; -3: up to 32, then 10,
	            ... */
	const char *data, *icv;
};

#define HI_THERE "4869205468657265"
#define NOTHING "7768617420646f2079612077616e7420666f72206e6f7468696e673f"
#define TWICE_25(x) x x x x x x x x x x x x x x x x x x x x x x x x x

/* RFC 2202 cases 1 and 3, RFC 4868 section 2.7.2: RFC 4231's texts with keys as long as ESP's. */
static const struct hmac_vector hmac_vectors[] = {
	{ IPC_AES128_CBC_SHA1_96, 0x0b, HI_THERE, "b617318655057264e28bc0b6" },
	{ IPC_AES128_CBC_SHA1_96, 0xaa, TWICE_25("dddd"), "125d7342b9ac11cd91a39af4" },
	{ IPC_AES128_CBC_SHA256_128, 0x0b, HI_THERE, "198a607eb44bfbc69903a0f1cf2bbdc5" },
	{ IPC_AES128_CBC_SHA256_128, -1, NOTHING, "167f928588c5cc2eef8e3093caa0e87c" },
	{ IPC_AES128_CBC_SHA256_128, 0xaa, TWICE_25("dddd"), "cdcb1220d1ecccea91e53aba3092f962" },
	{ IPC_AES128_CBC_SHA256_128, -2, TWICE_25("cdcd"), "372efcf9b40b35c2115b1346903d2ef4" },
	{ IPC_AES128_CBC_SHA384_192, 0x0b, HI_THERE,
	  "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973" },
	{ IPC_AES128_CBC_SHA384_192, -1, NOTHING,
	  "2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d" },
	{ IPC_AES128_CBC_SHA384_192, 0xaa, TWICE_25("dddd"),
	  "809f439be00274321d4a538652164b53554a508184a0c316" },
	{ IPC_AES128_CBC_SHA384_192, -3, TWICE_25("cdcd"),
	  "5b540085c6e6358096532b2493609ed1cb298f774f87bb5c" },
	{ IPC_AES128_CBC_SHA512_256, 0x0b, HI_THERE,
	  "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8" },
	{ IPC_AES128_CBC_SHA512_256, -1, NOTHING,
	  "cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b15454" },
	{ IPC_AES128_CBC_SHA512_256, 0xaa, TWICE_25("dddd"),
	  "2ee7acd783624ca9398710f3ee05ae41b9f9b0510c87e49e586cc9bf961733d8" },
	{ IPC_AES128_CBC_SHA512_256, -2, TWICE_25("cdcd"),
	  "5e6688e5a3daec826ca32eaea224eff5e700628947470e13ad01302561bab108" },
};

static const uint8_t seed_of_ivs[DP_CRYPTO_SEED] = { 0x5e, 0xed, 1, 2, 3, 4, 5, 6, 7, 8, 9 };

static struct dp_crypto *crypto;

static unsigned before_text(const struct dp_crypto_suite *suite)
{
	return 20u + 8u + suite->iv_bytes;
}

/* A packet as the ESP stages hand it over: 20 bytes outer header, ESP header, IV, text, ICV. */
static struct dp_pkt *lay_out(struct dp_batch *b, uint8_t *buffer,
                              const struct dp_crypto_suite *suite, const uint8_t *nonce,
                              const uint8_t *aad, const uint8_t *text, unsigned length)
{
	struct dp_pkt *p = &b->p[b->n++];

	memset(p, 0, sizeof(*p));
	p->l3 = buffer;
	p->esp = buffer + 20;
	p->l3_length = (uint16_t)(before_text(suite) + length + suite->icv_bytes);
	memcpy(p->iv, nonce, 12);
	memcpy(p->aad, aad, 12);
	memcpy(p->esp, aad, 4);
	memcpy(p->esp + 4, aad + (suite->aad_bytes == 12 ? 8 : 4), 4);
	memcpy(buffer + before_text(suite), text, length);
	return p;
}

static unsigned key_length(const struct dp_crypto_suite *suite)
{
	return (unsigned)suite->key_bytes + suite->salt_bytes + suite->integrity_bytes;
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
		assert_int_equal(peer_aead_seal(v->algorithm, key, nonce, aad, suite.aad_bytes,
		                                plain, length, by_openssl, icv_by_openssl),
		                 0);
		assert_memory_equal(by_openssl, cipher, length);
		assert_memory_equal(icv_by_openssl, icv, sizeof(icv));

		assert_int_equal(dp_crypto_key_init(crypto, &schedule, v->algorithm, key,
		                                    key_length(&suite), seed_of_ivs),
		                 0);
		b->n = 0;
		lay_out(b, buffer, &suite, nonce, aad, plain, length);
		dp_crypto_encrypt(crypto, &suite, &schedule, b, 0, 1);
		dp_crypto_flush(crypto);
		assert_memory_equal(buffer + 36, cipher, length);
		assert_memory_equal(buffer + 36 + length, icv, sizeof(icv));
		dp_crypto_decrypt(crypto, &suite, &schedule, b, 0, 1);
		dp_crypto_flush(crypto);
		assert_int_equal(b->p[0].verdict, DP_OK);
		assert_memory_equal(buffer + 36, plain, length);
		free(b);
	}
}

/* What RFC 3602 encrypted is decrypted; the ICV around it is OpenSSL's. */
static void knows_published_vectors_of_cbc(void **state)
{
	static const uint8_t zero[16];

	(void)state;
	for (size_t i = 0; i < RTE_DIM(cbc_vectors); i++) {
		const struct cbc_vector *v = &cbc_vectors[i];
		const struct dp_crypto_suite *suite = dp_crypto_suite(v->algorithm);
		struct dp_batch *b = aligned_alloc(64, sizeof(*b));
		uint8_t key[IPC_KEY_MAX] = { 0 }, plain[64], cipher[64], buffer[256];
		struct dp_crypto_key schedule;
		unsigned length = from_hex(v->plain, plain);

		assert_int_equal(from_hex(v->key, key), suite->key_bytes);
		memset(key + suite->key_bytes, 0x77, suite->integrity_bytes);
		assert_int_equal(from_hex(v->cipher, cipher), length);
		assert_int_equal(dp_crypto_key_init(crypto, &schedule, v->algorithm, key,
		                                    key_length(suite), seed_of_ivs),
		                 0);
		b->n = 0;
		lay_out(b, buffer, suite, zero, zero, cipher, length);
		assert_int_equal(from_hex(v->iv, buffer + 28), 16);
		assert_int_equal(peer_hmac(v->algorithm, key + suite->key_bytes, buffer + 20,
		                           8 + 16 + length, NULL, buffer + 44 + length),
		                 0);
		dp_crypto_decrypt(crypto, suite, &schedule, b, 0, 1);
		assert_int_equal(b->p[0].verdict, DP_CRYPTO);
		dp_crypto_flush(crypto);
		assert_int_equal(b->p[0].verdict, DP_OK);
		assert_memory_equal(buffer + 44, plain, length);
		free(b);
	}
}

static void knows_published_vectors_of_hmac(void **state)
{
	(void)state;
	for (size_t i = 0; i < RTE_DIM(hmac_vectors); i++) {
		const struct hmac_vector *v = &hmac_vectors[i];
		const struct dp_crypto_suite *suite = dp_crypto_suite(v->algorithm);
		uint8_t key[64], data[64], icv[ICV_MAX], by_openssl[ICV_MAX], got[ICV_MAX];
		unsigned length = from_hex(v->data, data);
		struct cbc_key schedule;
		IMB_JOB *job;

		for (unsigned k = 0; k < suite->integrity_bytes; k++)
			key[k] = v->key == -1 ? (uint8_t) "Jefe"[k % 4]
			         : v->key < -1
			                 ? (uint8_t)(k + 1 - (v->key == -3 && k >= 32 ? 23 : 0))
			                 : (uint8_t)v->key;
		assert_int_equal(from_hex(v->icv, icv), suite->icv_bytes);
		peer_hmac(v->algorithm, key, data, length, NULL, by_openssl);
		assert_memory_equal(by_openssl, icv, suite->icv_bytes);
		hmac_init(crypto->mgr, suite, key, &schedule);
		job = IMB_GET_NEXT_JOB(crypto->mgr);
		job->cipher_mode = IMB_CIPHER_NULL;
		job->cipher_direction = IMB_DIR_ENCRYPT;
		job->chain_order = IMB_ORDER_HASH_CIPHER;
		job->hash_alg = hmac_of(suite).hash;
		job->src = data;
		job->hash_start_src_offset_in_bytes = 0;
		job->msg_len_to_hash_in_bytes = length;
		job->u.HMAC._hashed_auth_key_xor_ipad = schedule.inner;
		job->u.HMAC._hashed_auth_key_xor_opad = schedule.outer;
		job->auth_tag_output = got;
		job->auth_tag_output_len_in_bytes = suite->icv_bytes;
		job = IMB_SUBMIT_JOB(crypto->mgr);
		if (!job)
			job = IMB_FLUSH_JOB(crypto->mgr);
		assert_non_null(job);
		assert_int_equal(job->status, IMB_STATUS_COMPLETED);
		assert_memory_equal(got, icv, suite->icv_bytes);
	}
}

/* What OpenSSL makes of a packet: its text behind the IV, and its ICV. */
static void seal_by_openssl(const struct dp_crypto_suite *suite, const uint8_t *key,
                            const struct dp_pkt *p, const uint8_t *plain, unsigned length,
                            uint8_t *out, uint8_t icv[ICV_MAX])
{
	unsigned before = 8u + suite->iv_bytes;

	if (suite->integrity_bytes == 0) {
		assert_int_equal(peer_aead_seal(suite->algorithm, key, p->iv, p->aad,
		                                suite->aad_bytes, plain, length, out + before, icv),
		                 0);
		return;
	}
	memcpy(out, p->esp, before); /* the IV is ours to choose */
	assert_int_equal(peer_cbc(suite->algorithm, 1, key, out + 8, plain, length, out + before),
	                 0);
	assert_int_equal(peer_hmac(suite->algorithm, key + suite->key_bytes, out, before + length,
	                           suite->aad_bytes == 12 ? p->aad + 4 : NULL, icv),
	                 0);
}

/* Bursts of random sizes, one packet in the middle excluded by its verdict, some forged. */
static void agrees_with_openssl(void **state)
{
	struct dp_batch *b = aligned_alloc(64, sizeof(*b));
	uint8_t(*buffers)[SIZE_MAX_TESTED + 128] = malloc(DP_BURST * sizeof(*buffers));
	uint8_t(*plain)[SIZE_MAX_TESTED] = malloc(DP_BURST * sizeof(*plain)),
	*expected = malloc(SIZE_MAX_TESTED + 128);
	unsigned lengths[DP_BURST];
	uint64_t seed = 4711;

	(void)state;
	for (unsigned round = 0; round < RTE_DIM(suites) * 6; round++) {
		struct dp_crypto_suite suite = suites[round % RTE_DIM(suites)];
		const unsigned before = before_text(&suite), block = suite.block_bytes;
		struct dp_crypto_key schedule;
		uint8_t key[IPC_KEY_MAX], icv[ICV_MAX];

		suite.aad_bytes = round / RTE_DIM(suites) & 1 ? 8 : 12;
		for (unsigned i = 0; i < sizeof(key); i++)
			key[i] = (uint8_t)peer_random(&seed);
		assert_int_equal(dp_crypto_key_init(crypto, &schedule, suite.algorithm, key,
		                                    key_length(&suite), seed_of_ivs),
		                 0);
		b->n = 0;
		for (unsigned i = 0; i < DP_BURST; i++) {
			uint8_t nonce[12], aad[12];

			lengths[i] = (unsigned)(peer_random(&seed) >> 20) %
			             (i & 1 ? 200 : SIZE_MAX_TESTED - 16);
			lengths[i] = (lengths[i] + block) & ~(block - 1);
			for (unsigned j = 0; j < lengths[i]; j++)
				plain[i][j] = (uint8_t)peer_random(&seed);
			for (unsigned j = 0; j < 12; j++) {
				nonce[j] = (uint8_t)peer_random(&seed);
				aad[j] = (uint8_t)peer_random(&seed);
			}
			lay_out(b, buffers[i], &suite, nonce, aad, plain[i], lengths[i]);
		}
		b->p[5].verdict = DP_TOO_BIG;
		dp_crypto_encrypt(crypto, &suite, &schedule, b, 0, DP_BURST);
		dp_crypto_flush(crypto);
		assert_memory_equal(buffers[5] + before, plain[5], lengths[5]);
		for (unsigned i = 0; i < DP_BURST; i++) {
			if (i == 5)
				continue;
			assert_int_equal(b->p[i].verdict, DP_OK);
			seal_by_openssl(&suite, key, &b->p[i], plain[i], lengths[i], expected, icv);
			assert_memory_equal(buffers[i] + before, expected + before - 20,
			                    lengths[i]);
			assert_memory_equal(buffers[i] + before + lengths[i], icv, suite.icv_bytes);
		}
		/* one bit anywhere: text, ICV, additional data, nonce or IV */
		buffers[7][before + lengths[7] / 2] ^= 0x10;
		buffers[8][before + lengths[8] + suite.icv_bytes - 1] ^= 0x80;
		buffers[9][before + lengths[9]] ^= 1;
		if (suite.integrity_bytes) {
			buffers[10][20 + 7] ^= 1;
			buffers[11][before - 1] ^= 1;
		} else {
			b->p[10].aad[suite.aad_bytes - 1] ^= 1;
			b->p[11].iv[11] ^= 1;
		}
		if (suite.aad_bytes == 12)
			b->p[12].aad[7] ^= 1; /* the high bits */
		for (unsigned i = 13, at = 0; at < suite.icv_bytes; i++, at += 4)
			buffers[i][before + lengths[i] + at] ^= 1;
		dp_crypto_decrypt(crypto, &suite, &schedule, b, 0, DP_BURST);
		dp_crypto_flush(crypto);
		for (unsigned i = 0; i < DP_BURST; i++) {
			if ((i >= 7 && i <= 11 + (suite.aad_bytes == 12)) ||
			    (i >= 13 && (i - 13) * 4 < suite.icv_bytes)) {
				assert_int_equal(b->p[i].verdict, DP_ESP_ICV);
				continue;
			}
			assert_int_equal(b->p[i].verdict, i == 5 ? DP_TOO_BIG : DP_OK);
			assert_memory_equal(buffers[i] + before, plain[i], lengths[i]);
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

/* An ESP packet that came in fragments may be as long as IPv4 allows. */
static void takes_the_longest_datagrams(void **state)
{
	enum { LENGTH = 65424 };
	struct dp_batch *b = aligned_alloc(64, sizeof(*b));
	uint8_t(*buffers)[65536] = malloc(4 * sizeof(*buffers)), *plain = malloc(LENGTH),
	*expected = malloc(65536);
	uint8_t key[IPC_KEY_MAX] = { 3 }, nonce[12] = { 4 }, aad[12] = { 5 }, icv[ICV_MAX];
	uint64_t seed = 12;

	(void)state;
	for (unsigned i = 0; i < LENGTH; i++)
		plain[i] = (uint8_t)peer_random(&seed);
	for (unsigned s = 0; s < RTE_DIM(suites); s++) {
		struct dp_crypto_suite suite = suites[s];
		const unsigned before = before_text(&suite);
		struct dp_crypto_key schedule;

		suite.aad_bytes = 12;
		assert_int_equal(dp_crypto_key_init(crypto, &schedule, suite.algorithm, key,
		                                    key_length(&suite), seed_of_ivs),
		                 0);
		b->n = 0;
		for (unsigned i = 0; i < 4; i++)
			lay_out(b, buffers[i], &suite, nonce, aad, plain, LENGTH - 16 * i);
		dp_crypto_encrypt(crypto, &suite, &schedule, b, 0, 4);
		dp_crypto_flush(crypto);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(b->p[i].verdict, DP_OK);
			seal_by_openssl(&suite, key, &b->p[i], plain, LENGTH - 16 * i, expected,
			                icv);
			assert_memory_equal(buffers[i] + before, expected + before - 20,
			                    LENGTH - 16 * i);
			assert_memory_equal(buffers[i] + before + LENGTH - 16 * i, icv,
			                    suite.icv_bytes);
		}
		buffers[2][before + 60000] ^= 1;
		dp_crypto_decrypt(crypto, &suite, &schedule, b, 0, 4);
		dp_crypto_flush(crypto);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(b->p[i].verdict, i == 2 ? DP_ESP_ICV : DP_OK);
			if (i != 2)
				assert_memory_equal(buffers[i] + before, plain, LENGTH - 16 * i);
		}
	}
	free(b);
	free(buffers);
	free(plain);
	free(expected);
}

/* A vector of CBC is the sequence number under AES with the seed as its key; OpenSSL's CBC of one
 * block with a zero IV is just that. */
static void makes_vectors_from_the_seed(void **state)
{
	const struct dp_crypto_suite *suite = dp_crypto_suite(IPC_AES256_CBC_SHA1_96);
	uint8_t key[52] = { 1 }, nonce[12] = { 9, 9, 9, 9, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xfe };
	uint8_t number[16] = { 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xfe }, expected[16], buffer[128];
	static const uint8_t zero[16];
	struct dp_batch *b = aligned_alloc(64, sizeof(*b));
	struct dp_crypto_key schedule;

	(void)state;
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, suite->algorithm, key, sizeof(key),
	                                    seed_of_ivs),
	                 0);
	b->n = 0;
	lay_out(b, buffer, suite, nonce, zero, zero, 16);
	memset(b->p[0].iv + 12, 0xaa, 4); /* not part of the nonce */
	dp_crypto_encrypt(crypto, suite, &schedule, b, 0, 1);
	dp_crypto_flush(crypto);
	assert_int_equal(
		peer_cbc(IPC_AES128_CBC_SHA1_96, 1, seed_of_ivs, zero, number, 16, expected), 0);
	assert_memory_equal(b->p[0].esp + 8, expected, 16);
	free(b);
}

/* What is not completed does not go on. */
static void keeps_back_what_is_queued(void **state)
{
	const struct dp_crypto_suite *suite = dp_crypto_suite(IPC_AES128_CBC_SHA256_128);
	struct dp_batch *b = aligned_alloc(64, sizeof(*b));
	uint8_t key[48] = { 2 }, buffer[128], other[128];
	static const uint8_t zero[16];
	struct dp_crypto_key schedule;

	(void)state;
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, suite->algorithm, key, sizeof(key),
	                                    seed_of_ivs),
	                 0);
	b->n = 0;
	lay_out(b, buffer, suite, zero, zero, zero, 16);
	lay_out(b, other, suite, zero, zero, zero, 16);
	dp_crypto_encrypt(crypto, suite, &schedule, b, 0, 2);
	assert_int_equal(b->p[0].verdict, DP_CRYPTO);
	assert_int_equal(b->p[1].verdict, DP_CRYPTO);
	dp_crypto_flush(crypto);
	assert_int_equal(b->p[0].verdict, DP_OK);
	assert_int_equal(b->p[1].verdict, DP_OK);
	dp_crypto_flush(crypto); /* nothing to do */
	free(b);
}

static void refuses_wrong_keys(void **state)
{
	struct dp_crypto_key schedule;
	uint8_t key[IPC_KEY_MAX + 8] = { 0 };

	(void)state;
	for (unsigned algorithm = 1; algorithm <= IPC_AES256_CBC_SHA512_512; algorithm++) {
		struct peer_suite suite = peer_suite(algorithm);
		unsigned right =
			suite.key_bytes + (suite.integrity_bytes ? suite.integrity_bytes : 4);

		for (unsigned length = 0; length <= sizeof(key); length++)
			assert_int_equal(dp_crypto_key_init(crypto, &schedule, algorithm, key,
			                                    length, seed_of_ivs),
			                 length == right ? 0 : -EINVAL);
	}
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, 0, key, 20, seed_of_ivs), -ENOTSUP);
	assert_int_equal(dp_crypto_key_init(crypto, &schedule, 99, key, 20, seed_of_ivs), -ENOTSUP);
	assert_null(dp_crypto_suite(0));
	assert_null(dp_crypto_suite(26));
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
		cmocka_unit_test(knows_published_vectors_of_cbc),
		cmocka_unit_test(knows_published_vectors_of_hmac),
		cmocka_unit_test(agrees_with_openssl),
		cmocka_unit_test(takes_the_longest_datagrams),
		cmocka_unit_test(makes_vectors_from_the_seed),
		cmocka_unit_test(keeps_back_what_is_queued),
		cmocka_unit_test(refuses_wrong_keys),
		cmocka_unit_test(refuses_an_unknown_suite),
		cmocka_unit_test(asks_for_aes_instructions),
		cmocka_unit_test(names_the_architecture),
	};

	return cmocka_run_group_tests_name("crypto_mb", tests, set_up, tear_down);
}
