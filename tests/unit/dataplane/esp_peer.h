/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of an SA, made of OpenSSL alone: an ESP implementation that shares no code with
 * ours.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PEER_ICV 16u /* of the AEADs */
#define PEER_ICV_MAX 64u
#define PEER_KEY_MAX 96u
#define PEER_BEFORE_MAX 52u /* outer headers, ESP header, IV */

/* Read from the RFCs once more, not from dataplane/crypto_mb.c. */
struct peer_suite {
	unsigned key_bytes;       /* of the cipher, without the salt */
	unsigned integrity_bytes; /* key of the HMAC, 0: an AEAD */
	unsigned iv_bytes;
	unsigned icv_bytes;
	unsigned block_bytes; /* the text is a multiple of it */
};

struct esp_peer {
	uint8_t key[PEER_KEY_MAX]; /* as in the contract */
	unsigned algorithm;        /* enum ipc_algorithm */
	uint32_t spi;              /* host order, like all here */
	int is_esn;
	int is_udp;
	uint32_t source;
	uint32_t destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t tos;
};

struct peer_suite peer_suite(unsigned algorithm);

/* AES-GCM or ChaCha20-Poly1305 by EVP; return 0, or -1 if OpenSSL refuses or (open) the ICV is
 * wrong. */
int peer_aead_seal(unsigned algorithm, const uint8_t *key, const uint8_t nonce[12],
                   const uint8_t *aad, unsigned aad_bytes, const uint8_t *in, unsigned length,
                   uint8_t *out, uint8_t icv[PEER_ICV]);
int peer_aead_open(unsigned algorithm, const uint8_t *key, const uint8_t nonce[12],
                   const uint8_t *aad, unsigned aad_bytes, const uint8_t *in, unsigned length,
                   uint8_t *out, const uint8_t icv[PEER_ICV]);

/* AES-CBC without padding of its own; LENGTH is a multiple of 16. 0, or -1 if OpenSSL refuses. */
int peer_cbc(unsigned algorithm, int is_encrypt, const uint8_t *key, const uint8_t iv[16],
             const uint8_t *in, unsigned length, uint8_t *out);
/* The ICV of BYTES, and of the high bits of a sequence number where HIGH is not NULL; KEY is the
 * HMAC's. */
int peer_hmac(unsigned algorithm, const uint8_t *key, const uint8_t *bytes, unsigned length,
              const uint8_t *high, uint8_t icv[PEER_ICV_MAX]);

/* Writes the outer packet around TEXT, which has its trailer already; IV is what goes onto the
 * wire, or what that is made of where it is longer. Returns its bytes. */
unsigned peer_seal(const struct esp_peer *peer, uint64_t sequence, uint64_t iv, const uint8_t *text,
                   unsigned length, uint8_t *packet);

/* Checks every byte of an outer packet but TTL, and decrypts it; *SEQUENCE gives the high bits to
 * expect and gets the low ones. Returns the text's bytes, or -1 and what was wrong in *WHY. */
int peer_open(const struct esp_peer *peer, const uint8_t *packet, unsigned length,
              uint64_t *sequence, uint8_t *text, const char **why);

/* An IPv4 packet of LENGTH bytes with random payload, valid in all its checksums. */
void peer_inner(uint8_t *packet, unsigned length, uint8_t protocol, uint32_t source,
                uint32_t destination);

/* Appends PAD bytes of padding and the trailer; returns the text's bytes. */
unsigned peer_trailer(uint8_t *text, unsigned length, unsigned pad, uint8_t next_header);

/* Sets the IPv4 header checksum. */
void peer_checksum(uint8_t *packet);

/* A small deterministic generator (xorshift64*). */
uint64_t peer_random(uint64_t *state);
