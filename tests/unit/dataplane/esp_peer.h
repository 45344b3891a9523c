/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of an SA, made of OpenSSL alone: an ESP implementation that shares no code with
 * ours.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PEER_ICV 16u

struct esp_peer {
	uint8_t key[36];    /* cipher key, then the salt */
	unsigned key_bytes; /* without the salt: 16, 24, 32 */
	uint32_t spi;       /* host order, like all here */
	int is_esn;
	int is_udp;
	uint32_t source;
	uint32_t destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t tos;
};

/* AES-GCM by EVP; return 0, or -1 if OpenSSL refuses or (open) the ICV is wrong. */
int peer_gcm_seal(const uint8_t *key, unsigned key_bytes, const uint8_t nonce[12],
                  const uint8_t *aad, unsigned aad_bytes, const uint8_t *in, unsigned length,
                  uint8_t *out, uint8_t icv[PEER_ICV]);
int peer_gcm_open(const uint8_t *key, unsigned key_bytes, const uint8_t nonce[12],
                  const uint8_t *aad, unsigned aad_bytes, const uint8_t *in, unsigned length,
                  uint8_t *out, const uint8_t icv[PEER_ICV]);

/* Writes the outer packet around TEXT, which has its trailer already; IV is what goes onto the
 * wire. Returns its bytes. */
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
