/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the encryption of a packet costs by itself: IPsec-MB called directly on the bytes that the
 * path would encrypt, and nothing else. The only module of the bench that knows the library.
 *
 * AES-GCM by the direct call; the others by jobs, which are flushed at the end of a burst. Keys are
 * any: the time does not depend on them.
 */
#pragma once

#include <stdint.h>

#include "dataplane/crypto_mb.h"

struct raw;

enum raw_direction { RAW_ENCRYPT, RAW_DECRYPT };

/* The encrypted part of one packet. */
struct raw_text {
	uint8_t *esp;  /* ESP header; what an HMAC covers begins here */
	uint8_t *text; /* the ICV is written behind it */
	uint32_t length;
};

/* ALGORITHM is one of enum ipc_algorithm. NULL: out of memory. */
struct raw *raw_create(const struct dp_crypto_suite *suite);
void raw_destroy(struct raw *raw);

/* Encrypts or decrypts N <= DP_BURST texts in place. */
void raw_burst(struct raw *raw, enum raw_direction direction, const struct raw_text *texts,
               unsigned n);

/* TSC cycles that a fixed piece of AES-GCM took just now: slow when somebody else uses the core's
 * units. */
uint32_t raw_probe(struct raw *raw);
