/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/dataplane/esp_peer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <string.h>

#include "common/ipc_proto.h"

#define IPV4 20u
#define UDP 8u
#define ESP 8u

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint32_t sum(const uint8_t *p, unsigned length, uint32_t s)
{
	for (unsigned i = 0; i + 1 < length; i += 2)
		s += get16(p + i);
	if (length & 1)
		s += (uint32_t)p[length - 1] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

uint64_t peer_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

struct peer_suite peer_suite(unsigned algorithm)
{
	static const unsigned keys[] = { 16, 24, 32 }, integrity[] = { 20, 32, 48, 64 },
			      icvs[] = { 12, 16, 24, 32 };

	if (algorithm < IPC_CHACHA20_POLY1305)
		return (struct peer_suite){ keys[algorithm - IPC_AES128_GCM16], 0, 8, 16, 4 };
	if (algorithm == IPC_CHACHA20_POLY1305)
		return (struct peer_suite){ 32, 0, 8, 16, 4 };
	if (algorithm >= IPC_AES128_CBC_SHA1_160) { /* OpenVPN's: a whole HMAC */
		static const unsigned whole[] = { 20, 32, 64 };
		unsigned bytes = whole[(algorithm - IPC_AES128_CBC_SHA1_160) % 3];

		return (struct peer_suite){ keys[(algorithm - IPC_AES128_CBC_SHA1_160) / 3], bytes,
			                    16, bytes, 16 };
	}
	algorithm -= IPC_AES128_CBC_SHA1_96;
	return (struct peer_suite){ keys[algorithm / 4], integrity[algorithm % 4], 16,
		                    icvs[algorithm % 4], 16 };
}

static const EVP_CIPHER *aead(unsigned algorithm)
{
	switch (algorithm) {
	case IPC_AES128_GCM16:
		return EVP_aes_128_gcm();
	case IPC_AES192_GCM16:
		return EVP_aes_192_gcm();
	case IPC_AES256_GCM16:
		return EVP_aes_256_gcm();
	default:
		return EVP_chacha20_poly1305();
	}
}

int peer_aead_seal(unsigned algorithm, const uint8_t *key, const uint8_t nonce[12],
                   const uint8_t *aad, unsigned aad_bytes, const uint8_t *in, unsigned length,
                   uint8_t *out, uint8_t icv[PEER_ICV])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n, ok;

	ok = c && EVP_EncryptInit_ex(c, aead(algorithm), NULL, key, nonce) == 1 &&
	     EVP_EncryptUpdate(c, NULL, &n, aad, (int)aad_bytes) == 1 &&
	     (length == 0 || EVP_EncryptUpdate(c, out, &n, in, (int)length) == 1) &&
	     EVP_EncryptFinal_ex(c, out + length, &n) == 1 &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, PEER_ICV, icv) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -1;
}

int peer_aead_open(unsigned algorithm, const uint8_t *key, const uint8_t nonce[12],
                   const uint8_t *aad, unsigned aad_bytes, const uint8_t *in, unsigned length,
                   uint8_t *out, const uint8_t icv[PEER_ICV])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t tag[PEER_ICV];
	int n, ok;

	memcpy(tag, icv, sizeof(tag));
	ok = c && EVP_DecryptInit_ex(c, aead(algorithm), NULL, key, nonce) == 1 &&
	     EVP_DecryptUpdate(c, NULL, &n, aad, (int)aad_bytes) == 1 &&
	     (length == 0 || EVP_DecryptUpdate(c, out, &n, in, (int)length) == 1) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, PEER_ICV, tag) == 1 &&
	     EVP_DecryptFinal_ex(c, out + length, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -1;
}

int peer_cbc(unsigned algorithm, int is_encrypt, const uint8_t *key, const uint8_t iv[16],
             const uint8_t *in, unsigned length, uint8_t *out)
{
	const unsigned key_bytes = peer_suite(algorithm).key_bytes;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n, ok;

	ok = c &&
	     EVP_CipherInit_ex(c,
	                       key_bytes == 16   ? EVP_aes_128_cbc()
	                       : key_bytes == 24 ? EVP_aes_192_cbc()
	                                         : EVP_aes_256_cbc(),
	                       NULL, key, iv, is_encrypt) == 1 &&
	     EVP_CIPHER_CTX_set_padding(c, 0) == 1 &&
	     (length == 0 || EVP_CipherUpdate(c, out, &n, in, (int)length) == 1) &&
	     EVP_CipherFinal_ex(c, out + length, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -1;
}

int peer_hmac(unsigned algorithm, const uint8_t *key, const uint8_t *bytes, unsigned length,
              const uint8_t *high, uint8_t icv[PEER_ICV_MAX])
{
	const struct peer_suite suite = peer_suite(algorithm);
	const EVP_MD *md = suite.integrity_bytes == 20   ? EVP_sha1()
	                   : suite.integrity_bytes == 32 ? EVP_sha256()
	                   : suite.integrity_bytes == 48 ? EVP_sha384()
	                                                 : EVP_sha512();
	static uint8_t all[65536];
	uint8_t whole[EVP_MAX_MD_SIZE];
	unsigned n;

	if (length + 4 > sizeof(all))
		return -1;
	memcpy(all, bytes, length);
	if (high)
		memcpy(all + length, high, 4);
	if (!HMAC(md, key, (int)suite.integrity_bytes, all, length + (high ? 4u : 0u), whole, &n))
		return -1;
	memcpy(icv, whole, suite.icv_bytes);
	return 0;
}

void peer_checksum(uint8_t *packet)
{
	put16(packet + 10, 0);
	put16(packet + 10, ~sum(packet, IPV4, 0) & 0xffff);
}

/* SPI, then the sequence number in 32 or 64 bits: RFC 4106 section 5. */
static unsigned make_aad(const struct esp_peer *peer, uint64_t sequence, uint8_t aad[12])
{
	put32(aad, peer->spi);
	if (!peer->is_esn) {
		put32(aad + 4, (uint32_t)sequence);
		return 8;
	}
	put32(aad + 4, (uint32_t)(sequence >> 32));
	put32(aad + 8, (uint32_t)sequence);
	return 12;
}

/* The ESP packet from its header on; the text is at its place behind the IV. */
static int seal_cbc(const struct esp_peer *peer, const struct peer_suite *suite, uint64_t sequence,
                    uint8_t *esp, unsigned length)
{
	uint8_t *iv = esp + ESP, *text = iv + suite->iv_bytes, high[4];

	put32(high, (uint32_t)(sequence >> 32));
	if (peer_cbc(peer->algorithm, 1, peer->key, iv, text, length, text) != 0)
		return -1;
	return peer_hmac(peer->algorithm, peer->key + suite->key_bytes, esp,
	                 ESP + suite->iv_bytes + length, peer->is_esn ? high : NULL, text + length);
}

static int open_cbc(const struct esp_peer *peer, const struct peer_suite *suite, uint64_t sequence,
                    const uint8_t *esp, unsigned length, uint8_t *text)
{
	const uint8_t *iv = esp + ESP, *in = iv + suite->iv_bytes;
	uint8_t high[4], icv[PEER_ICV_MAX];

	put32(high, (uint32_t)(sequence >> 32));
	if (peer_hmac(peer->algorithm, peer->key + suite->key_bytes, esp,
	              ESP + suite->iv_bytes + length, peer->is_esn ? high : NULL, icv) != 0 ||
	    memcmp(icv, in + length, suite->icv_bytes) != 0)
		return -1;
	return peer_cbc(peer->algorithm, 0, peer->key, iv, in, length, text);
}

static int seal_aead(const struct esp_peer *peer, const struct peer_suite *suite, uint64_t sequence,
                     uint8_t *esp, unsigned length)
{
	uint8_t *text = esp + ESP + suite->iv_bytes, nonce[12], aad[12];

	memcpy(nonce, peer->key + suite->key_bytes, 4);
	memcpy(nonce + 4, esp + ESP, 8);
	return peer_aead_seal(peer->algorithm, peer->key, nonce, aad, make_aad(peer, sequence, aad),
	                      text, length, text, text + length);
}

static int open_aead(const struct esp_peer *peer, const struct peer_suite *suite, uint64_t sequence,
                     const uint8_t *esp, unsigned length, uint8_t *text)
{
	const uint8_t *in = esp + ESP + suite->iv_bytes;
	uint8_t nonce[12], aad[12];

	memcpy(nonce, peer->key + suite->key_bytes, 4);
	memcpy(nonce + 4, esp + ESP, 8);
	return peer_aead_open(peer->algorithm, peer->key, nonce, aad, make_aad(peer, sequence, aad),
	                      in, length, text, in + length);
}

unsigned peer_seal(const struct esp_peer *peer, uint64_t sequence, uint64_t iv, const uint8_t *text,
                   unsigned length, uint8_t *packet)
{
	const struct peer_suite suite = peer_suite(peer->algorithm);
	unsigned outer = IPV4 + (peer->is_udp ? UDP : 0),
		 total = outer + ESP + suite.iv_bytes + length + suite.icv_bytes;
	uint64_t more = iv * 2 + 1; /* never 0 */
	uint8_t *esp = packet + outer;

	memset(packet, 0, outer);
	packet[0] = 0x45;
	packet[1] = peer->tos;
	put16(packet + 2, total);
	packet[8] = 61;
	packet[9] = peer->is_udp ? 17 : 50;
	put32(packet + 12, peer->source);
	put32(packet + 16, peer->destination);
	peer_checksum(packet);
	if (peer->is_udp) {
		put16(packet + IPV4, peer->source_port);
		put16(packet + IPV4 + 2, peer->destination_port);
		put16(packet + IPV4 + 4, total - IPV4);
	}
	put32(esp, peer->spi);
	put32(esp + 4, (uint32_t)sequence);
	put32(esp + 8, (uint32_t)(iv >> 32));
	put32(esp + 12, (uint32_t)iv);
	for (unsigned i = 8; i < suite.iv_bytes; i++)
		esp[ESP + i] = (uint8_t)peer_random(&more);
	memmove(esp + ESP + suite.iv_bytes, text, length);
	if ((suite.integrity_bytes ? seal_cbc : seal_aead)(peer, &suite, sequence, esp, length) !=
	    0)
		return 0;
	return total;
}

static const char *check_outer(const struct esp_peer *peer, const uint8_t *packet, unsigned length)
{
	if (length < IPV4 + ESP || get16(packet + 2) != length)
		return "length";
	if (packet[0] != 0x45 || packet[1] != peer->tos)
		return "version, header length or type of service";
	if (get16(packet + 4) != 0 || get16(packet + 6) != 0x4000)
		return "identification or fragment field";
	if (packet[8] < 32 || packet[9] != (peer->is_udp ? 17 : 50))
		return "time to live or protocol";
	if (sum(packet, IPV4, 0) != 0xffff)
		return "header checksum";
	if (get32(packet + 12) != peer->source || get32(packet + 16) != peer->destination)
		return "addresses";
	if (!peer->is_udp)
		return NULL;
	if (get16(packet + 20) != peer->source_port || get16(packet + 22) != peer->destination_port)
		return "ports";
	if (get16(packet + 24) != length - IPV4 || get16(packet + 26) != 0)
		return "UDP length or checksum";
	return NULL;
}

int peer_open(const struct esp_peer *peer, const uint8_t *packet, unsigned length,
              uint64_t *sequence, uint8_t *text, const char **why)
{
	const struct peer_suite suite = peer_suite(peer->algorithm);
	const unsigned around =
		IPV4 + (peer->is_udp ? UDP : 0) + ESP + suite.iv_bytes + suite.icv_bytes;
	const uint8_t *esp = packet + IPV4 + (peer->is_udp ? UDP : 0);

	*why = length < around ? "too short" : check_outer(peer, packet, length);
	if (*why)
		return -1;
	if (get32(esp) != peer->spi) {
		*why = "SPI";
		return -1;
	}
	*sequence = (*sequence >> 32) << 32 | get32(esp + 4);
	if ((suite.integrity_bytes ? open_cbc : open_aead)(peer, &suite, *sequence, esp,
	                                                   length - around, text) != 0) {
		*why = "ICV";
		return -1;
	}
	return (int)(length - around);
}

void peer_inner(uint8_t *packet, unsigned length, uint8_t protocol, uint32_t source,
                uint32_t destination)
{
	static uint64_t state = 0x1234567;
	uint8_t *l4 = packet + IPV4;
	unsigned l4_bytes = length - IPV4, field = protocol == 6 ? 16 : 6;
	uint32_t pseudo;

	for (unsigned i = 0; i < length; i++)
		packet[i] = (uint8_t)peer_random(&state);
	packet[0] = 0x45;
	packet[1] = 0;
	put16(packet + 2, length);
	put16(packet + 6, 0x4000);
	packet[8] = 64;
	packet[9] = protocol;
	put32(packet + 12, source);
	put32(packet + 16, destination);
	peer_checksum(packet);
	if (protocol == 6)
		l4[12] = 0x50;
	else if (protocol == 17)
		put16(l4 + 4, l4_bytes);
	else
		return;
	put16(l4 + field, 0);
	pseudo = sum(packet + 12, 8, (uint32_t)protocol + l4_bytes);
	put16(l4 + field, ~sum(l4, l4_bytes, pseudo) & 0xffff);
}

unsigned peer_trailer(uint8_t *text, unsigned length, unsigned pad, uint8_t next_header)
{
	for (unsigned i = 0; i < pad; i++)
		text[length + i] = (uint8_t)(i + 1);
	text[length + pad] = (uint8_t)pad;
	text[length + pad + 1] = next_header;
	return length + pad + 2;
}
