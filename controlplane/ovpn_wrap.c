/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What protects OpenVPN's control packets before TLS does.
 *
 *   nothing    head, body
 *   tls-auth   head, HMAC, id, time, body        the HMAC covers id, time, head, body
 *   tls-crypt  head, id, time, tag, ciphertext   the tag covers head, id, time, body
 */
#include "controlplane/ovpn_wrap.h"

#include "common/secret.h"
#include "controlplane/ovpn_bytes.h"
#include "controlplane/ovpn_packet.h"

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#define HALF 128u    /* of a static key: cipher, HMAC */
#define HMAC_OFF 64u /* in a half */
#define STAMP_LEN 8u /* id, time */
#define CRYPT_TAG_LEN 32u
#define CRYPT_AD_LEN (CP_OVPN_HEAD_LEN + STAMP_LEN)
#define EARLY_ID 0x0f000000u /* counting from here says: we know early negotiation */
#define REPLAY_WINDOW 64u

struct piece {
	const uint8_t *bytes;
	size_t length;
};

/* HMAC over COUNT pieces. */
static int mac(const char *digest, const uint8_t *key, size_t key_length,
               const struct piece *pieces, size_t count, uint8_t tag[CP_OVPN_DIGEST_MAX])
{
	char name[16]; /* OpenSSL's parameters are not const */
	OSSL_PARAM params[2];
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	size_t length = 0;
	int ok;

	strcpy(name, digest);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0);
	params[1] = OSSL_PARAM_construct_end();
	ok = context && EVP_MAC_init(context, key, key_length, params);
	for (size_t i = 0; ok && i < count; i++)
		ok = EVP_MAC_update(context, pieces[i].bytes, pieces[i].length);
	ok = ok && EVP_MAC_final(context, tag, &length, CP_OVPN_DIGEST_MAX);
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(hmac);
	return ok ? 0 : -EIO;
}

/* AES-256-CTR: the same both ways. */
static int count_mode(const uint8_t key[32], const uint8_t iv[16], const uint8_t *from,
                      size_t length, uint8_t *to)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int written = 0;
	int ok = context && EVP_EncryptInit_ex(context, EVP_aes_256_ctr(), NULL, key, iv) &&
	         EVP_EncryptUpdate(context, to, &written, from, (int)length);

	EVP_CIPHER_CTX_free(context);
	return ok && (size_t)written == length ? 0 : -EIO;
}

void cp_ovpn_wrap_nothing(struct cp_ovpn_wrap *wrap)
{
	memset(wrap, 0, sizeof(*wrap));
}

int cp_ovpn_wrap_auth(struct cp_ovpn_wrap *wrap, const uint8_t key[CP_OVPN_STATIC_KEY_LEN],
                      enum cp_ovpn_direction direction, const char *digest, uint32_t unix_s)
{
	const EVP_MD *md = EVP_get_digestbyname(digest);
	unsigned send = direction == CP_OVPN_DIRECTION_1;
	unsigned receive = direction == CP_OVPN_DIRECTION_0;

	memset(wrap, 0, sizeof(*wrap));
	if (!md || strlen(digest) >= sizeof(wrap->digest) || EVP_MD_get_size(md) <= 0)
		return -EINVAL;
	wrap->kind = CP_OVPN_WRAP_AUTH;
	strcpy(wrap->digest, digest);
	wrap->digest_length = (size_t)EVP_MD_get_size(md);
	memcpy(wrap->send_hmac, key + send * HALF + HMAC_OFF, wrap->digest_length);
	memcpy(wrap->receive_hmac, key + receive * HALF + HMAC_OFF, wrap->digest_length);
	wrap->unix_s = unix_s;
	return 0;
}

void cp_ovpn_wrap_crypt(struct cp_ovpn_wrap *wrap, const uint8_t key[CP_OVPN_STATIC_KEY_LEN],
                        uint32_t unix_s)
{
	memset(wrap, 0, sizeof(*wrap));
	wrap->kind = CP_OVPN_WRAP_CRYPT;
	strcpy(wrap->digest, "SHA256");
	wrap->digest_length = CRYPT_TAG_LEN;
	memcpy(wrap->send_cipher, key + HALF, sizeof(wrap->send_cipher));
	memcpy(wrap->send_hmac, key + HALF + HMAC_OFF, CRYPT_TAG_LEN);
	memcpy(wrap->receive_cipher, key, sizeof(wrap->receive_cipher));
	memcpy(wrap->receive_hmac, key + HMAC_OFF, CRYPT_TAG_LEN);
	wrap->unix_s = unix_s;
}

int cp_ovpn_wrap_crypt_v2(struct cp_ovpn_wrap *wrap, const uint8_t key[CP_OVPN_STATIC_KEY_LEN],
                          const uint8_t *wkc, size_t wkc_length, uint32_t unix_s)
{
	/* its last two bytes are its length */
	if (wkc_length < 2 || wkc_length > CP_OVPN_WKC_MAX ||
	    cp_get_be16(wkc + wkc_length - 2) != wkc_length)
		return -EINVAL;
	cp_ovpn_wrap_crypt(wrap, key, unix_s);
	wrap->last_id = EARLY_ID;
	memcpy(wrap->wkc, wkc, wkc_length);
	wrap->wkc_length = wkc_length;
	return 0;
}

size_t cp_ovpn_wrap_overhead(const struct cp_ovpn_wrap *wrap)
{
	return wrap->kind == CP_OVPN_WRAP_NOTHING ? 0 : STAMP_LEN + wrap->digest_length;
}

static long wrap_auth(const struct cp_ovpn_wrap *wrap, const uint8_t *head,
                      const uint8_t stamp[STAMP_LEN], const uint8_t *body, size_t body_length,
                      uint8_t *packet)
{
	const struct piece pieces[] = {
		{ stamp, STAMP_LEN },
		{ head, CP_OVPN_HEAD_LEN },
		{ body, body_length },
	};
	uint8_t tag[CP_OVPN_DIGEST_MAX];
	size_t at = CP_OVPN_HEAD_LEN;
	int rc = mac(wrap->digest, wrap->send_hmac, wrap->digest_length, pieces, 3, tag);

	if (rc < 0)
		return rc;
	memcpy(packet, head, CP_OVPN_HEAD_LEN);
	memcpy(packet + at, tag, wrap->digest_length);
	at += wrap->digest_length;
	memcpy(packet + at, stamp, STAMP_LEN);
	at += STAMP_LEN;
	memcpy(packet + at, body, body_length);
	return (long)(at + body_length);
}

static long wrap_crypt(const struct cp_ovpn_wrap *wrap, const uint8_t *head,
                       const uint8_t stamp[STAMP_LEN], const uint8_t *body, size_t body_length,
                       uint8_t *packet)
{
	const struct piece pieces[] = { { packet, CRYPT_AD_LEN }, { body, body_length } };
	uint8_t tag[CP_OVPN_DIGEST_MAX];
	int rc;

	memcpy(packet, head, CP_OVPN_HEAD_LEN);
	memcpy(packet + CP_OVPN_HEAD_LEN, stamp, STAMP_LEN);
	rc = mac(wrap->digest, wrap->send_hmac, CRYPT_TAG_LEN, pieces, 2, tag);
	if (rc == 0)
		rc = count_mode(wrap->send_cipher, tag, body, body_length,
		                packet + CRYPT_AD_LEN + CRYPT_TAG_LEN);
	if (rc < 0)
		return rc;
	memcpy(packet + CRYPT_AD_LEN, tag, CRYPT_TAG_LEN);
	return (long)(CRYPT_AD_LEN + CRYPT_TAG_LEN + body_length);
}

static int carries_wkc(uint8_t first_byte)
{
	return cp_ovpn_opcode(first_byte) == CP_OVPN_HARD_RESET_CLIENT_V3 ||
	       cp_ovpn_opcode(first_byte) == CP_OVPN_CONTROL_WKC;
}

long cp_ovpn_wrap(struct cp_ovpn_wrap *wrap, const uint8_t *head, const uint8_t *body,
                  size_t body_length, uint8_t *packet, size_t room)
{
	size_t wkc_length = carries_wkc(head[0]) ? wrap->wkc_length : 0;
	uint8_t stamp[STAMP_LEN];
	long length;

	if (CP_OVPN_HEAD_LEN + cp_ovpn_wrap_overhead(wrap) + body_length + wkc_length > room)
		return -ENOSPC;
	if (wrap->kind == CP_OVPN_WRAP_NOTHING) {
		memcpy(packet, head, CP_OVPN_HEAD_LEN);
		memcpy(packet + CP_OVPN_HEAD_LEN, body, body_length);
		return (long)(CP_OVPN_HEAD_LEN + body_length);
	}
	cp_put_be32(stamp, ++wrap->last_id);
	cp_put_be32(stamp + 4, wrap->unix_s);
	length = wrap->kind == CP_OVPN_WRAP_AUTH
	                 ? wrap_auth(wrap, head, stamp, body, body_length, packet)
	                 : wrap_crypt(wrap, head, stamp, body, body_length, packet);
	if (length < 0)
		return length;
	memcpy(packet + length, wrap->wkc, wkc_length);
	return length + (long)wkc_length;
}

/* Only for what is authentic. */
static int check_replay(struct cp_ovpn_wrap *wrap, const uint8_t stamp[STAMP_LEN])
{
	uint32_t id = cp_get_be32(stamp), unix_s = cp_get_be32(stamp + 4);

	if (id == 0 || unix_s < wrap->peer_unix_s)
		return -EALREADY;
	if (unix_s > wrap->peer_unix_s || id > wrap->peer_id) {
		uint32_t step = unix_s > wrap->peer_unix_s ? REPLAY_WINDOW : id - wrap->peer_id;

		wrap->peer_window = step < REPLAY_WINDOW ? wrap->peer_window << step : 0;
		wrap->peer_window |= 1;
		wrap->peer_unix_s = unix_s;
		wrap->peer_id = id;
		return 0;
	}
	if (wrap->peer_id - id >= REPLAY_WINDOW ||
	    wrap->peer_window & UINT64_C(1) << (wrap->peer_id - id))
		return -EALREADY;
	wrap->peer_window |= UINT64_C(1) << (wrap->peer_id - id);
	return 0;
}

static long unwrap_auth(struct cp_ovpn_wrap *wrap, const uint8_t *packet, size_t length,
                        uint8_t *body)
{
	const uint8_t *stamp = packet + CP_OVPN_HEAD_LEN + wrap->digest_length;
	size_t clear = CP_OVPN_HEAD_LEN + wrap->digest_length + STAMP_LEN;
	uint8_t tag[CP_OVPN_DIGEST_MAX];
	int rc;

	if (length < clear)
		return -EBADMSG;
	const struct piece pieces[] = {
		{ stamp, STAMP_LEN },
		{ packet, CP_OVPN_HEAD_LEN },
		{ packet + clear, length - clear },
	};
	rc = mac(wrap->digest, wrap->receive_hmac, wrap->digest_length, pieces, 3, tag);
	if (rc < 0)
		return rc;
	if (!sp_secret_equal(tag, packet + CP_OVPN_HEAD_LEN, wrap->digest_length))
		return -EBADMSG;
	rc = check_replay(wrap, stamp);
	if (rc < 0)
		return rc;
	memcpy(body, packet + clear, length - clear);
	return (long)(length - clear);
}

static long unwrap_crypt(struct cp_ovpn_wrap *wrap, const uint8_t *packet, size_t length,
                         uint8_t *body)
{
	const uint8_t *tag = packet + CRYPT_AD_LEN;
	size_t clear = CRYPT_AD_LEN + CRYPT_TAG_LEN;
	uint8_t expected[CP_OVPN_DIGEST_MAX];
	int rc;

	if (length < clear)
		return -EBADMSG;
	const struct piece pieces[] = { { packet, CRYPT_AD_LEN }, { body, length - clear } };
	rc = count_mode(wrap->receive_cipher, tag, packet + clear, length - clear, body);
	if (rc == 0)
		rc = mac(wrap->digest, wrap->receive_hmac, CRYPT_TAG_LEN, pieces, 2, expected);
	if (rc < 0)
		return rc;
	if (!sp_secret_equal(tag, expected, CRYPT_TAG_LEN))
		return -EBADMSG;
	rc = check_replay(wrap, packet + CP_OVPN_HEAD_LEN);
	return rc < 0 ? rc : (long)(length - clear);
}

long cp_ovpn_unwrap(struct cp_ovpn_wrap *wrap, const uint8_t *packet, size_t length, uint8_t *body)
{
	if (length < CP_OVPN_HEAD_LEN)
		return -EBADMSG;
	switch (wrap->kind) {
	case CP_OVPN_WRAP_NOTHING:
		memcpy(body, packet + CP_OVPN_HEAD_LEN, length - CP_OVPN_HEAD_LEN);
		return (long)(length - CP_OVPN_HEAD_LEN);
	case CP_OVPN_WRAP_AUTH:
		return unwrap_auth(wrap, packet, length, body);
	case CP_OVPN_WRAP_CRYPT:
		return unwrap_crypt(wrap, packet, length, body);
	}
	return -EBADMSG;
}
