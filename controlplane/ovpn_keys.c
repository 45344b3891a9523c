/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's "key method 2", and how the keys of the data channel come of it.
 */
#include "controlplane/ovpn_keys.h"

#include "controlplane/ovpn_bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#define KEY_METHOD 2
#define MASTER_LEN 48u
#define HALF 128u    /* of key2: one direction */
#define HMAC_OFF 64u /* in a half */
#define IV_LEN 8u    /* the implicit part of an AEAD nonce */
#define EPOCH_KEY_LEN 32u

/* A message that is being written; `length` grows on where it does not fit. */
struct writer {
	uint8_t *bytes;
	size_t length;
};

static void put(struct writer *writer, const void *bytes, size_t length)
{
	if (writer->length + length <= CP_OVPN_KEY_METHOD_MAX)
		memcpy(writer->bytes + writer->length, bytes, length);
	writer->length += length;
}

/* A string: its length with the NUL, itself, NUL. NULL: an absent one. */
static void put_string(struct writer *writer, const void *text, size_t length)
{
	uint8_t prefix[2] = { 0, 0 };

	if (text)
		cp_put_be16(prefix, (uint16_t)(length + 1));
	put(writer, prefix, sizeof(prefix));
	if (!text)
		return;
	put(writer, text, length);
	put(writer, "", 1);
}

long cp_ovpn_client_hello_write(const struct cp_ovpn_client_hello *hello,
                                uint8_t bytes[CP_OVPN_KEY_METHOD_MAX])
{
	static const uint8_t head[] = { 0, 0, 0, 0, KEY_METHOD };
	struct writer writer = { .bytes = bytes };

	put(&writer, head, sizeof(head));
	put(&writer, hello->entropy->pre_master, sizeof(hello->entropy->pre_master));
	put(&writer, hello->entropy->random1, sizeof(hello->entropy->random1));
	put(&writer, hello->entropy->random2, sizeof(hello->entropy->random2));
	put_string(&writer, hello->options, strlen(hello->options));
	put_string(&writer, hello->account, hello->account ? strlen(hello->account) : 0);
	put_string(&writer, hello->account ? hello->password->data : NULL,
	           hello->account ? hello->password->length : 0);
	put_string(&writer, hello->peer_info, strlen(hello->peer_info));
	return writer.length < CP_OVPN_KEY_METHOD_MAX ? (long)writer.length : -EMSGSIZE;
}

int cp_ovpn_server_hello_parse(struct cp_ovpn_server_hello *hello, const uint8_t *bytes,
                               size_t length)
{
	const size_t randoms = 5;
	size_t at = randoms + sizeof(hello->entropy.random1) + sizeof(hello->entropy.random2);
	uint16_t text_length;

	memset(hello, 0, sizeof(*hello));
	if (length < at || cp_get_be32(bytes) != 0 || (bytes[4] & 0x0f) != KEY_METHOD)
		return -EBADMSG;
	memcpy(hello->entropy.random1, bytes + randoms, sizeof(hello->entropy.random1));
	memcpy(hello->entropy.random2, bytes + randoms + sizeof(hello->entropy.random1),
	       sizeof(hello->entropy.random2));
	if (length < at + 2)
		return 0; /* no options string: nothing that we need */
	text_length = cp_get_be16(bytes + at);
	at += 2;
	if (text_length > length - at || text_length > sizeof(hello->options))
		return -EBADMSG;
	if (text_length == 0)
		return 0;
	if (bytes[at + text_length - 1] != 0)
		return -EBADMSG;
	memcpy(hello->options, bytes + at, text_length);
	return 0;
}

struct seed {
	size_t length;
	uint8_t bytes[128];
};

static void grow(struct seed *seed, const void *bytes, size_t length)
{
	memcpy(seed->bytes + seed->length, bytes, length);
	seed->length += length;
}

/* TLS 1.0's PRF: MD5 and SHA-1. */
static int prf(const uint8_t *secret, size_t secret_length, struct seed *seed, uint8_t *out,
               size_t length)
{
	char digest[] = "MD5-SHA1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)secret,
		                                  secret_length),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed->bytes, seed->length),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int ok = context && EVP_KDF_derive(context, out, length, params) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return ok ? 0 : -EIO;
}

int cp_ovpn_derive_classic(const struct cp_ovpn_entropy *client,
                           const struct cp_ovpn_entropy *server,
                           const uint8_t client_id[CP_OVPN_SESSION_ID_LEN],
                           const uint8_t server_id[CP_OVPN_SESSION_ID_LEN],
                           uint8_t key2[CP_OVPN_KEY2_LEN])
{
	static const char master_label[] = "OpenVPN master secret";
	static const char key_label[] = "OpenVPN key expansion";
	uint8_t master[MASTER_LEN];
	struct seed seed = { 0 };
	int rc;

	grow(&seed, master_label, strlen(master_label));
	grow(&seed, client->random1, sizeof(client->random1));
	grow(&seed, server->random1, sizeof(server->random1));
	rc = prf(client->pre_master, sizeof(client->pre_master), &seed, master, sizeof(master));
	if (rc == 0) {
		seed.length = 0;
		grow(&seed, key_label, strlen(key_label));
		grow(&seed, client->random2, sizeof(client->random2));
		grow(&seed, server->random2, sizeof(server->random2));
		grow(&seed, client_id, CP_OVPN_SESSION_ID_LEN);
		grow(&seed, server_id, CP_OVPN_SESSION_ID_LEN);
		rc = prf(master, sizeof(master), &seed, key2, CP_OVPN_KEY2_LEN);
	}
	sp_wipe(master, sizeof(master));
	sp_wipe(&seed, sizeof(seed));
	return rc;
}

static const struct {
	size_t key_length;
	uint16_t algorithm;                      /* AEAD */
	uint16_t algorithms[CP_OVPN_SHA512 + 1]; /* CBC, by digest */
} ciphers[] = {
	[CP_OVPN_AES_256_GCM] = { 32, IPC_AES256_GCM16, { 0 } },
	[CP_OVPN_AES_192_GCM] = { 24, IPC_AES192_GCM16, { 0 } },
	[CP_OVPN_AES_128_GCM] = { 16, IPC_AES128_GCM16, { 0 } },
	[CP_OVPN_CHACHA20_POLY1305] = { 32, IPC_CHACHA20_POLY1305, { 0 } },
	[CP_OVPN_AES_256_CBC] = { 32,
	                          0,
	                          { [CP_OVPN_SHA1] = IPC_AES256_CBC_SHA1_160,
	                            [CP_OVPN_SHA256] = IPC_AES256_CBC_SHA256_256,
	                            [CP_OVPN_SHA512] = IPC_AES256_CBC_SHA512_512 } },
	[CP_OVPN_AES_192_CBC] = { 24,
	                          0,
	                          { [CP_OVPN_SHA1] = IPC_AES192_CBC_SHA1_160,
	                            [CP_OVPN_SHA256] = IPC_AES192_CBC_SHA256_256,
	                            [CP_OVPN_SHA512] = IPC_AES192_CBC_SHA512_512 } },
	[CP_OVPN_AES_128_CBC] = { 16,
	                          0,
	                          { [CP_OVPN_SHA1] = IPC_AES128_CBC_SHA1_160,
	                            [CP_OVPN_SHA256] = IPC_AES128_CBC_SHA256_256,
	                            [CP_OVPN_SHA512] = IPC_AES128_CBC_SHA512_512 } },
};

static const size_t digest_lengths[] = {
	[CP_OVPN_SHA1] = 20, [CP_OVPN_SHA256] = 32, [CP_OVPN_SHA512] = 64
};

static bool is_zero(const uint8_t *bytes, size_t length)
{
	uint8_t all = 0;

	for (size_t i = 0; i < length; i++)
		all |= bytes[i];
	return all == 0;
}

/* The cipher's key and what stands at HMAC_OFF, SECOND bytes of it. */
static void cut_half(const uint8_t *half, size_t first, size_t second, uint8_t *key)
{
	memcpy(key, half, first);
	memcpy(key + first, half + HMAC_OFF, second);
}

int cp_ovpn_cut(const uint8_t key2[CP_OVPN_KEY2_LEN], enum cp_ovpn_cipher cipher,
                enum cp_ovpn_digest digest, struct cp_ovpn_key *key)
{
	bool is_aead = cp_ovpn_cipher_is_aead(cipher);
	size_t first = ciphers[cipher].key_length;
	size_t second = is_aead ? IV_LEN : digest_lengths[digest];

	if (is_zero(key2, first) || is_zero(key2 + HALF, first))
		return -EINVAL;
	if (key->format == IPC_OPENVPN_FORMAT_EPOCH) {
		first = EPOCH_KEY_LEN;
		second = 0;
	}
	key->algorithm = is_aead ? ciphers[cipher].algorithm : ciphers[cipher].algorithms[digest];
	key->length = (uint16_t)(first + second);
	cut_half(key2, first, second, key->send);
	cut_half(key2 + HALF, first, second, key->receive);
	if (is_aead)
		snprintf(key->cipher, sizeof(key->cipher), "%s", cp_ovpn_cipher_name(cipher));
	else
		snprintf(key->cipher, sizeof(key->cipher), "%s, %s", cp_ovpn_cipher_name(cipher),
		         cp_ovpn_digest_name(digest));
	return 0;
}
